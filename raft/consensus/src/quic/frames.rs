//! Messages in a stream of bytes: four bytes of length, big-endian, then as many bytes.

use std::mem;

use bytes::{Bytes, BytesMut};

/// Bytes ahead of a message.
const LENGTH_BYTES: usize = 4;

/// The length is above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {bytes} bytes; at most {limit}")]
pub struct FrameTooLong {
    /// What it says.
    pub bytes: usize,
    /// What is taken.
    pub limit: usize,
}

/// Takes chunks as they come and gives messages as they are complete. Holds what was pushed and
/// not taken, and makes no room for what a length only promises.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// A chunk as it came: most messages lie in one and are not copied.
    whole: Bytes,
    /// What lies across chunks. When there is any, `whole` is empty.
    joined: BytesMut,
}

impl FrameReader {
    /// Takes the next chunk.
    pub fn push(&mut self, chunk: Bytes) {
        if self.is_empty() {
            self.whole = chunk;
            return;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&mem::take(&mut self.whole));
        }
        self.joined.extend_from_slice(&chunk);
    }

    /// The next message, if it is here.
    ///
    /// # Errors
    /// When its length is above `limit`. The stream is of no use from there on.
    pub fn frame(&mut self, limit: usize) -> Result<Option<Bytes>, FrameTooLong> {
        let Some(length) = self.held().first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let bytes = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if bytes > limit {
            return Err(FrameTooLong { bytes, limit });
        }
        if self.len() - LENGTH_BYTES < bytes {
            return Ok(None);
        }
        drop(self.split(LENGTH_BYTES));
        Ok(Some(self.split(bytes)))
    }

    /// The next bytes, if they are here: what stands ahead of messages.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.held().first_chunk::<N>()?;
        drop(self.split(N));
        Some(taken)
    }

    /// Bytes that were pushed and not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held().len()
    }

    /// Whether the stream could end here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    fn held(&self) -> &[u8] {
        if self.joined.is_empty() {
            &self.whole
        } else {
            &self.joined
        }
    }

    fn split(&mut self, bytes: usize) -> Bytes {
        if self.joined.is_empty() {
            self.whole.split_to(bytes)
        } else {
            self.joined.split_to(bytes).freeze()
        }
    }
}

/// The length that goes ahead of a message. Nothing when it does not fit, which no limit lets
/// come to pass.
pub(super) fn length(message: &Bytes) -> Option<Bytes> {
    let length = u32::try_from(message.len()).ok()?;
    Some(Bytes::copy_from_slice(&length.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 300;

    fn written(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend(length(&Bytes::copy_from_slice(message)).unwrap());
            bytes.extend(message);
        }
        bytes
    }

    fn read(bytes: &[u8], cuts: &[usize]) -> Result<(Vec<Vec<u8>>, usize), FrameTooLong> {
        let mut reader = FrameReader::default();
        let mut messages = Vec::new();
        let mut rest = bytes;
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let cut = rest.len().min(*cuts.next().unwrap());
            let (chunk, after) = rest.split_at(cut);
            rest = after;
            reader.push(Bytes::copy_from_slice(chunk));
            while let Some(message) = reader.frame(LIMIT)? {
                messages.push(message.to_vec());
            }
            // What is held is less than one message: a promise takes no memory.
            assert!(reader.len() < LENGTH_BYTES + LIMIT);
        }
        Ok((messages, reader.len()))
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..LIMIT), 0..8),
            cuts in prop::collection::vec(1_usize..400, 1..5),
        ) {
            let found = read(&written(&messages), &cuts);
            prop_assert_eq!(found, Ok((messages, 0)));
        }

        #[test]
        fn any_bytes_read_alike_however_they_are_cut(
            bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..900),
            cuts in prop::collection::vec(1_usize..400, 1..5),
        ) {
            prop_assert_eq!(read(&bytes, &cuts), read(&bytes, &[usize::MAX]));
        }

        #[test]
        fn what_is_cut_off_is_no_message(
            message in prop::collection::vec(any::<u8>(), 1..LIMIT),
            missing in 1_usize..LIMIT,
        ) {
            let mut bytes = written(&[message]);
            bytes.truncate(bytes.len().saturating_sub(missing).max(1));
            let (found, left) = read(&bytes, &[7]).unwrap();
            prop_assert!(found.is_empty());
            prop_assert_eq!(left, bytes.len());
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_bytes_come() {
        let mut reader = FrameReader::default();
        reader.push(Bytes::from_static(&[0xff; 4]));
        let bytes = u32::MAX as usize;
        let limit = LIMIT;
        assert_eq!(reader.frame(LIMIT), Err(FrameTooLong { bytes, limit }));
    }

    #[test]
    fn a_message_within_a_chunk_is_not_copied() {
        let chunk = Bytes::from(written(&[vec![7; 100], vec![8; 100]]));
        let at = chunk.as_ptr();
        let mut reader = FrameReader::default();
        reader.push(chunk);
        let message = reader.frame(LIMIT).unwrap().unwrap();
        assert_eq!(message.as_ptr(), at.wrapping_add(LENGTH_BYTES));
    }
}
