//! What is said on one stream: a call or a channel, either end.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::pin_mut;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::warn;

use super::codes::{Code, Lost};
use super::frames::{FrameReader, FrameTooLong, length};
use super::limits::{
    BULK_BYTES_LIMIT, MESSAGE_BYTES_FREE, READ_CHUNKS, URGENT_BYTES_LIMIT, USUAL_BYTES_LIMIT,
    WRITE_MESSAGES,
};
use super::links::Live;
use super::shared::Shared;
use crate::transport::{CHANNEL_MESSAGES, Channel, Urgency};

/// What a listener sends ahead of a channel's messages: that it has taken it.
const TAKEN: u8 = 1;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Channel,
}

/// A stream's first two bytes: what it is for, and how urgent. The listener answers as urgently.
pub(super) type Opening = (Kind, Urgency);

fn write_opening((kind, urgency): Opening) -> [u8; 2] {
    let kind = match kind {
        Kind::Call => 1,
        Kind::Channel => 2,
    };
    let urgency = match urgency {
        Urgency::Bulk => 1,
        Urgency::Usual => 2,
        Urgency::Urgent => 3,
    };
    [kind, urgency]
}

fn read_opening([kind, urgency]: [u8; 2]) -> Option<Opening> {
    let kind = match kind {
        1 => Kind::Call,
        2 => Kind::Channel,
        _ => return None,
    };
    let urgency = match urgency {
        1 => Urgency::Bulk,
        2 => Urgency::Usual,
        3 => Urgency::Urgent,
        _ => return None,
    };
    Some((kind, urgency))
}

/// Bytes of one message of an urgency.
pub(super) const fn limit(urgency: Urgency) -> usize {
    match urgency {
        Urgency::Bulk => BULK_BYTES_LIMIT,
        Urgency::Usual => USUAL_BYTES_LIMIT,
        Urgency::Urgent => URGENT_BYTES_LIMIT,
    }
}

const fn priority(urgency: Urgency) -> i32 {
    match urgency {
        Urgency::Bulk => 0,
        Urgency::Usual => 1,
        Urgency::Urgent => 2,
    }
}

/// Why nothing more is read.
#[derive(Debug)]
pub(super) enum ReadFailure {
    /// The peer or the connection has ended it.
    Lost(Lost),
    /// What it sends is against the rules.
    Refused(Code),
}

impl From<FrameTooLong> for ReadFailure {
    fn from(_: FrameTooLong) -> Self {
        Self::Refused(Code::TooLong)
    }
}

impl From<ReadFailure> for Lost {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Lost(lost) => lost,
            ReadFailure::Refused(Code::TooLong) => Self::new("its message is longer than allowed"),
            ReadFailure::Refused(_) => Self::new("what it sends cannot be read"),
        }
    }
}

/// The reading end of a stream. Every read may be given up and begun again.
pub(super) struct Reader {
    stream: RecvStream,
    frames: FrameReader,
    budget: Arc<Semaphore>,
    counted: Option<OwnedSemaphorePermit>,
}

impl Reader {
    pub(super) fn new(stream: RecvStream, budget: &Arc<Semaphore>) -> Self {
        Self {
            stream,
            frames: FrameReader::default(),
            budget: Arc::clone(budget),
            counted: None,
        }
    }

    pub(super) async fn opening(&mut self) -> Result<Opening, ReadFailure> {
        read_opening(self.bytes().await?).ok_or(ReadFailure::Refused(Code::Malformed))
    }

    /// The next bytes that are no message.
    pub(super) async fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ReadFailure> {
        loop {
            if let Some(bytes) = self.frames.take() {
                return Ok(bytes);
            }
            if !self.fill().await? {
                return Err(ReadFailure::Refused(Code::Malformed));
            }
        }
    }

    /// The next message, or nothing at the stream's end.
    pub(super) async fn frame(&mut self, limit: usize) -> Result<Option<Bytes>, ReadFailure> {
        loop {
            if let Some(message) = self.frames.frame(limit)? {
                return Ok(Some(self.with_count(message)));
            }
            if !self.fill().await? {
                return if self.frames.is_empty() {
                    Ok(None)
                } else {
                    Err(ReadFailure::Refused(Code::Malformed))
                };
            }
        }
    }

    /// One message and the end. quinn ends a stream in order when whoever writes it is dropped,
    /// so only a message of full length that ends where the stream does is one.
    pub(super) async fn only(&mut self, limit: usize) -> Result<Bytes, ReadFailure> {
        let message = self.frame(limit).await?;
        let message = message.ok_or(ReadFailure::Refused(Code::Malformed))?;
        match self.frame(limit).await? {
            None => Ok(message),
            Some(_) => Err(ReadFailure::Refused(Code::Malformed)),
        }
    }

    pub(super) fn stop(&mut self, code: Code) {
        // An error says that the stream has ended already.
        drop(self.stream.stop(code.wire()));
    }

    /// Takes more, or says that there is no more.
    async fn fill(&mut self) -> Result<bool, ReadFailure> {
        let mut chunks: [Bytes; READ_CHUNKS] = Default::default();
        let read = self.stream.read_chunks(&mut chunks).await;
        let Some(count) = read.map_err(|error| ReadFailure::Lost(error.into()))? else {
            return Ok(false);
        };
        for chunk in chunks.into_iter().take(count) {
            self.frames.push(chunk);
        }
        self.count()?;
        Ok(true)
    }

    /// Counts what is held of a long message against what all streams may hold.
    fn count(&mut self) -> Result<(), ReadFailure> {
        let units = self.frames.len() / MESSAGE_BYTES_FREE;
        let counted = self
            .counted
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = units.checked_sub(counted).filter(|more| *more > 0) else {
            return Ok(());
        };
        let more = u32::try_from(more).map_err(|_| ReadFailure::Refused(Code::Busy))?;
        let more = Arc::clone(&self.budget)
            .try_acquire_many_owned(more)
            .map_err(|_| ReadFailure::Refused(Code::Busy))?;
        match &mut self.counted {
            Some(counted) => counted.merge(more),
            None => self.counted = Some(more),
        }
        Ok(())
    }

    /// A long message stays counted for as long as it is kept.
    fn with_count(&mut self, message: Bytes) -> Bytes {
        match self.counted.take() {
            None => message,
            Some(counted) => Bytes::from_owner(Counted {
                message,
                _counted: counted,
            }),
        }
    }
}

struct Counted {
    message: Bytes,
    _counted: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

/// The writing end of a stream, which is broken off when it is dropped unfinished: quinn would
/// end it as if all had been said.
pub(super) struct Writer(Option<SendStream>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.reset(Code::Gone);
    }
}

impl Writer {
    pub(super) fn new(stream: SendStream, urgency: Urgency) -> Self {
        // An error says that the stream has ended already, which writing to it finds out.
        drop(stream.set_priority(priority(urgency)));
        Self(Some(stream))
    }

    pub(super) async fn write(&mut self, chunks: &mut [Bytes]) -> Result<(), Lost> {
        match &mut self.0 {
            Some(stream) => Ok(stream.write_all_chunks(chunks).await?),
            None => Err(Lost::new("the stream has ended")),
        }
    }

    /// Says that all was said. Gives back the stream, whose life keeps the connection's.
    pub(super) fn finish(&mut self) -> Option<SendStream> {
        let mut stream = self.0.take()?;
        stream.finish().ok()?;
        Some(stream)
    }

    pub(super) fn reset(&mut self, code: Code) {
        if let Some(mut stream) = self.0.take() {
            // An error says that the stream has ended already.
            drop(stream.reset(code.wire()));
        }
    }
}

/// Sends a message as the only one.
pub(super) async fn say(writer: &mut Writer, ahead: &[u8], message: Bytes) -> Result<(), Lost> {
    let length = length(&message).ok_or_else(|| Lost::new("the message is too long"))?;
    let ahead = Bytes::from([ahead, &length].concat());
    writer.write(&mut [ahead, message]).await?;
    writer
        .finish()
        .map(drop)
        .ok_or_else(|| Lost::new("the stream has ended"))
}

/// How far a call came before it failed.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// Not all of it was sent: nobody has it.
    Unsent(Lost),
    /// It may have arrived.
    Sent(Lost),
}

/// The dialer's end of a call.
pub(super) async fn call(
    connection: &Connection,
    budget: &Arc<Semaphore>,
    urgency: Urgency,
    message: Bytes,
) -> Result<Bytes, CallFailure> {
    let opened = connection.open_bi().await;
    let (send, receive) = opened.map_err(|error| CallFailure::Unsent(error.into()))?;
    let mut writer = Writer::new(send, urgency);
    let ahead = write_opening((Kind::Call, urgency));
    say(&mut writer, &ahead, message)
        .await
        .map_err(CallFailure::Unsent)?;
    let mut reader = Reader::new(receive, budget);
    reader.only(limit(urgency)).await.map_err(|failure| {
        let lost = Lost::from(failure);
        if lost.undelivered {
            CallFailure::Unsent(lost)
        } else {
            CallFailure::Sent(lost)
        }
    })
}

/// The dialer's end of a channel, once the listener has taken it.
pub(super) async fn open(
    shared: &Arc<Shared>,
    live: &Live,
    urgency: Urgency,
) -> Result<Channel, Lost> {
    let (send, receive) = live.connection.open_bi().await?;
    let mut writer = Writer::new(send, urgency);
    let ahead = write_opening((Kind::Channel, urgency));
    writer.write(&mut [Bytes::copy_from_slice(&ahead)]).await?;
    let mut reader = Reader::new(receive, &shared.budget);
    if reader.bytes().await? != [TAKEN] {
        return Err(Lost::new("what it sends cannot be read"));
    }
    Ok(pump(shared, writer, reader, urgency, Some(&live.used)))
}

/// The listener's end of a channel.
pub(super) async fn take(
    shared: &Arc<Shared>,
    mut writer: Writer,
    reader: Reader,
    urgency: Urgency,
) -> Result<Channel, Lost> {
    writer.write(&mut [Bytes::from_static(&[TAKEN])]).await?;
    Ok(pump(shared, writer, reader, urgency, None))
}

fn pump(
    shared: &Arc<Shared>,
    writer: Writer,
    reader: Reader,
    urgency: Urgency,
    used: Option<&mpsc::Sender<()>>,
) -> Channel {
    let (send, outbound) = mpsc::channel(CHANNEL_MESSAGES);
    let (inbound, receive) = mpsc::channel(CHANNEL_MESSAGES);
    let (writing, reading) = (used.cloned(), used.cloned());
    let all = Arc::clone(shared);
    shared.spawn(async move {
        write_all(writer, outbound, urgency).await;
        drop(writing);
    });
    shared.spawn(async move {
        read_all(all, reader, inbound, urgency).await;
        drop(reading);
    });
    Channel { send, receive }
}

/// From the channel to the stream, until either ends. What the channel holds then is lost with
/// the connection; what it held when its sender was dropped is sent.
async fn write_all(mut writer: Writer, mut outbound: mpsc::Receiver<Bytes>, urgency: Urgency) {
    let Some(stream) = &writer.0 else { return };
    let stopped = stream.stopped();
    pin_mut!(stopped);
    let mut messages = Vec::with_capacity(WRITE_MESSAGES);
    let mut chunks = Vec::with_capacity(2 * WRITE_MESSAGES);
    loop {
        let count = tokio::select! {
            biased;
            // The peer does not read on, or is lost. Whoever sends sees the channel closed.
            _ = &mut stopped => return,
            count = outbound.recv_many(&mut messages, WRITE_MESSAGES) => count,
        };
        if count == 0 {
            // The stream is kept until all of it has arrived: with it goes the connection.
            let _kept = writer.finish();
            drop(stopped.await);
            return;
        }
        for message in messages.drain(..) {
            let length = length(&message).filter(|_| message.len() <= limit(urgency));
            let Some(length) = length else {
                let (bytes, limit) = (message.len(), limit(urgency));
                warn!(
                    bytes,
                    limit,
                    ?urgency,
                    "a message above the limit ends its stream"
                );
                writer.reset(Code::TooLong);
                return;
            };
            chunks.push(length);
            chunks.push(message);
        }
        if writer.write(&mut chunks).await.is_err() {
            return;
        }
        chunks.clear();
    }
}

/// From the stream to the channel, until either ends.
async fn read_all(
    shared: Arc<Shared>,
    mut reader: Reader,
    inbound: mpsc::Sender<Bytes>,
    urgency: Urgency,
) {
    loop {
        let frame = tokio::select! {
            biased;
            () = inbound.closed() => {
                reader.stop(Code::Gone);
                return;
            }
            frame = reader.frame(limit(urgency)) => frame,
        };
        match frame {
            Ok(Some(message)) => {
                // The loop finds out that nobody takes it.
                drop(inbound.send(message).await);
            }
            Ok(None) | Err(ReadFailure::Lost(_)) => return,
            Err(ReadFailure::Refused(code)) => {
                shared.refused_stream(code);
                reader.stop(code);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_read_as_they_were_written_and_no_others_do() {
        let mut good = 0;
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let bytes = [first, second];
                if let Some(opening) = read_opening(bytes) {
                    assert_eq!(write_opening(opening), bytes);
                    good += 1;
                }
            }
        }
        assert_eq!(good, 6);
    }
}
