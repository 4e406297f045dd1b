//! Frames: what a segment is made of. One writer, one reader, for the live node, its recovery and
//! the verifier alike.

use alloc::vec::Vec;
use core::fmt;

use crate::limits::{FRAME_BODY_BYTES_MAX, RECORD_BYTES_MAX};
use crate::record::Micros;

/// Length of a frame's header.
pub const HEADER_BYTES: usize = 128;
/// Length of the hash that ends a frame.
pub const HASH_BYTES: usize = 32;
/// Longest frame.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + FRAME_BODY_BYTES_MAX + HASH_BYTES;

/// BLAKE3 `derive_key` context of a frame's hash.
pub const FRAME_CONTEXT: &str = "tollbook 2026 audit frame v1";

const MAGIC: [u8; 4] = *b"TBF1";
const VERSION: u16 = 1;
const FLAGS: u16 = 0;

/// A finished frame and where in the log it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Header, body and hash, as a segment holds them.
    pub bytes: Vec<u8>,
    /// Index of its first record in the log.
    pub first_index: u64,
    /// Number of its records, at least one.
    pub count: u32,
    /// 0, 1, 2, … over the whole log.
    pub frame_no: u64,
    /// Its hash, which the next frame repeats.
    pub hash: [u8; 32],
    /// The segment that it belongs to: the index of that segment's first record.
    pub segment_first_index: u64,
    /// Where in that segment its bytes begin. 0: it opens the segment.
    pub segment_offset: u64,
    /// Index of the Raft entry that it came from.
    pub log_index: u64,
}

/// A frame's header without its constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the body.
    pub body_len: u32,
    /// Number of records in the body.
    pub count: u32,
    /// Index of the first of them.
    pub first_index: u64,
    /// 0, 1, 2, … over the whole log.
    pub frame_no: u64,
    /// Raft term of the entry.
    pub term: u64,
    /// Raft index of the entry.
    pub log_index: u64,
    /// Membership in force.
    pub config_epoch: u32,
    /// The node that proposed the entry.
    pub node: u32,
    /// The entry's time; never goes back.
    pub wall_us: Micros,
    /// Which log.
    pub log_id: [u8; 16],
    /// Hash of the frame before; zero in the first.
    pub prev_frame_hash: [u8; 32],
}

/// What is wrong with bytes that should be a frame. Alphabetical; each is a named check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The body is longer than a frame may be.
    BodyTooLong {
        /// What the header says.
        body_len: u32,
    },
    /// The hash at its end is not the hash of header and body.
    HashDiffers,
    /// Does not begin as a frame.
    Magic,
    /// A record's length passes the end of the body, is zero or is over the limit; or records end
    /// before the body does.
    RecordLength {
        /// Which record of the frame, from 0.
        record: u32,
    },
    /// A reserved byte or flag is not zero.
    Reserved,
    /// A version that this reader does not know.
    Version {
        /// What the header says.
        version: u16,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BodyTooLong { body_len } => {
                write!(
                    f,
                    "body of {body_len} bytes is longer than {FRAME_BODY_BYTES_MAX}"
                )
            }
            Self::HashDiffers => f.write_str("frame hash differs from header and body"),
            Self::Magic => f.write_str("no frame begins here"),
            Self::RecordLength { record } => {
                write!(
                    f,
                    "length of record {record} of the frame does not fit its body"
                )
            }
            Self::Reserved => f.write_str("reserved bytes or flags are not zero"),
            Self::Version { version } => write!(f, "frame version {version} is not known"),
        }
    }
}

impl core::error::Error for FrameError {}

/// A whole frame in borrowed bytes, its hash and its record lengths checked.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// The header.
    pub header: Header,
    /// Hash over header and body.
    pub hash: [u8; 32],
    /// Header, body and hash.
    pub bytes: &'a [u8],
    body: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// The records, in order.
    #[must_use]
    pub const fn records(&self) -> Records<'a> {
        Records { rest: self.body }
    }
}

/// Records of one frame.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (record, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.rest = rest;
        Some(record)
    }
}

/// The frame at the beginning of `bytes`, all its own checks done.
///
/// `Ok(None)`: what is there can be the beginning of a frame, but it is not whole.
pub fn next_frame(bytes: &[u8]) -> Result<Option<FrameView<'_>>, FrameError> {
    let Some(header) = Header::parse(bytes)? else {
        return Ok(None);
    };
    let hashed_len = header.hashed_len();
    let Some((hashed, rest)) = bytes.split_at_checked(hashed_len) else {
        return Ok(None);
    };
    let Some(stored) = rest.first_chunk::<HASH_BYTES>() else {
        return Ok(None);
    };
    let hash = frame_hash(hashed);
    if hash != *stored {
        return Err(FrameError::HashDiffers);
    }
    let (_, body) = hashed.split_at(HEADER_BYTES);
    check_lengths(body, header.count)?;
    let bytes = bytes.get(..hashed_len + HASH_BYTES).unwrap_or(bytes);
    Ok(Some(FrameView {
        header,
        hash,
        bytes,
        body,
    }))
}

fn check_lengths(body: &[u8], count: u32) -> Result<(), FrameError> {
    let mut rest = Records { rest: body };
    for record in 0..count {
        match rest.next() {
            Some(bytes) if !bytes.is_empty() && bytes.len() <= RECORD_BYTES_MAX => {}
            Some(_) | None => return Err(FrameError::RecordLength { record }),
        }
    }
    if count == 0 || !rest.rest.is_empty() {
        return Err(FrameError::RecordLength { record: count });
    }
    Ok(())
}

fn frame_hash(header_and_body: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(FRAME_CONTEXT)
        .update(header_and_body)
        .finalize()
        .as_bytes()
}

impl Header {
    /// Reads a header; `Ok(None)` when the bytes end within it and agree so far.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        if !bytes.iter().zip(MAGIC).all(|(have, want)| *have == want) {
            return Err(FrameError::Magic);
        }
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let version = u16::from_le_bytes(field(bytes, 4));
        if version != VERSION {
            return Err(FrameError::Version { version });
        }
        if u16::from_le_bytes(field(bytes, 6)) != FLAGS || field::<16>(bytes, 112) != [0; 16] {
            return Err(FrameError::Reserved);
        }
        let header = Self {
            body_len: u32::from_le_bytes(field(bytes, 8)),
            count: u32::from_le_bytes(field(bytes, 12)),
            first_index: u64::from_le_bytes(field(bytes, 16)),
            frame_no: u64::from_le_bytes(field(bytes, 24)),
            term: u64::from_le_bytes(field(bytes, 32)),
            log_index: u64::from_le_bytes(field(bytes, 40)),
            config_epoch: u32::from_le_bytes(field(bytes, 48)),
            node: u32::from_le_bytes(field(bytes, 52)),
            wall_us: Micros(u64::from_le_bytes(field(bytes, 56))),
            log_id: field(bytes, 64),
            prev_frame_hash: field(bytes, 80),
        };
        if header.body_len > u32::try_from(FRAME_BODY_BYTES_MAX).unwrap_or(u32::MAX) {
            return Err(FrameError::BodyTooLong {
                body_len: header.body_len,
            });
        }
        Ok(Some(header))
    }

    /// Length of header and body: where the frame's hash begins.
    pub(crate) fn hashed_len(&self) -> usize {
        HEADER_BYTES.saturating_add(usize::try_from(self.body_len).unwrap_or(usize::MAX))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&FLAGS.to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.first_index.to_le_bytes());
        out.extend_from_slice(&self.frame_no.to_le_bytes());
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(&self.log_index.to_le_bytes());
        out.extend_from_slice(&self.config_epoch.to_le_bytes());
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.wall_us.0.to_le_bytes());
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.prev_frame_hash);
        out.extend_from_slice(&[0; 16]);
    }

    /// The whole frame of these records. `body_len` and `count` are set from them.
    pub(crate) fn frame(&mut self, records: &[Vec<u8>]) -> (Vec<u8>, [u8; 32]) {
        let body_len: usize = records.iter().map(|record| record.len() + 2).sum();
        assert!(!records.is_empty(), "a frame holds a record");
        assert!(
            body_len <= FRAME_BODY_BYTES_MAX,
            "head::append splits before"
        );
        self.body_len = u32::try_from(body_len).expect("at most 65,536");
        self.count = u32::try_from(records.len()).expect("fewer records than bytes");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body_len + HASH_BYTES);
        self.write(&mut bytes);
        for record in records {
            let length = u16::try_from(record.len()).expect("a record is at most 32 KiB");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(record);
        }
        let hash = frame_hash(&bytes);
        bytes.extend_from_slice(&hash);
        (bytes, hash)
    }
}

/// `N` bytes of the header from `at`; offsets are the constants above, all within it.
fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    header
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}
