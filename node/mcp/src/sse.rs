//! Server-sent events, cut out of a byte stream without changing a byte.
//!
//! A stream is cut into [`Event`]s whose raw bytes, put together again, are the stream. What is
//! forwarded is the raw bytes; the data is for looking at. Comments and stray line feeds come as
//! pieces of their own at once, so that a keep-alive is not held back until the next event.
//!
//! Byte order marks are the one exception. The specification has a reader skip one at the start of
//! the stream, but not every reader does, and some skip one at the start of whatever chunk they
//! decode: a line after a mark is data to some and nothing to others. So the one at the start is
//! taken away, and one before any other line ends the stream.

use std::mem;

use thiserror::Error;

/// U+FEFF in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A piece of a stream: an event with the blank line that ends it, or bytes between events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The exact bytes.
    pub raw: Vec<u8>,
    /// The `data` lines, joined with line feeds. None: no data, so nobody is told of it.
    pub data: Option<Vec<u8>>,
    /// The last `event` line.
    pub name: Option<Vec<u8>>,
    /// The last `id` line. A stream that ends after one may be resumed.
    pub id: Option<Vec<u8>>,
}

/// A stream that cannot be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SseError {
    /// A line that begins with a byte order mark.
    #[error("a byte order mark inside the stream")]
    ByteOrderMark,
    /// An event that does not end within the limit.
    #[error("an event of more than {limit} bytes")]
    EventTooLarge {
        /// The limit.
        limit: usize,
    },
}

/// Cuts a stream into events as its bytes arrive, in whatever chunks.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    /// The event being gathered.
    event: Event,
    /// Where the line being gathered begins in the event's raw bytes.
    line: usize,
    /// Whether the event has a line that is no comment.
    has_fields: bool,
    /// Whether the last byte was a carriage return that ended a line: a line feed belongs to it.
    after_return: bool,
    /// Whether the next line is the stream's first, which may begin with a byte order mark.
    is_first_line: bool,
}

impl Splitter {
    /// A splitter for one stream, whose events may have up to `limit` bytes each.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            event: Event::default(),
            line: 0,
            has_fields: false,
            after_return: false,
            is_first_line: true,
        }
    }

    /// Takes the next bytes and gives the pieces that they complete. After an error the stream
    /// must be given up.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, SseError> {
        let mut done = Vec::new();
        if chunk.is_empty() {
            return Ok(done);
        }
        let mut rest = chunk;
        if mem::take(&mut self.after_return)
            && let Some((b'\n', after)) = rest.split_first()
        {
            rest = after;
            self.end_of_return(&mut done);
        }
        while !rest.is_empty() {
            let (line, ending, after) = split_line(rest);
            self.extend(line)?;
            if !ending.is_empty() {
                self.end_line(ending, &mut done)?;
                self.after_return = ending == b"\r" && after.is_empty();
            }
            rest = after;
        }
        Ok(done)
    }

    /// The bytes of an event that the stream ended in the middle of. Nobody is told of such an
    /// event, so dropping it changes nothing for a client.
    pub fn finish(self) -> Vec<u8> {
        self.event.raw
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.event.raw.len() + bytes.len() > self.limit {
            return Err(SseError::EventTooLarge { limit: self.limit });
        }
        self.event.raw.extend_from_slice(bytes);
        Ok(())
    }

    /// A line feed after a carriage return that ended the last chunk.
    fn end_of_return(&mut self, done: &mut Vec<Event>) {
        self.event.raw.push(b'\n');
        self.line = self.event.raw.len();
        if self.line == 1 {
            done.push(mem::take(&mut self.event));
            self.line = 0;
        }
    }

    fn end_line(&mut self, ending: &[u8], done: &mut Vec<Event>) -> Result<(), SseError> {
        if mem::take(&mut self.is_first_line) && self.event.raw.starts_with(MARK) {
            self.event.raw.drain(..MARK.len());
        }
        let line = self.event.raw.get(self.line..).unwrap_or_default();
        if line.starts_with(MARK) {
            return Err(SseError::ByteOrderMark);
        }
        let is_blank = line.is_empty();
        let is_comment = line.first() == Some(&b':');
        match field(line) {
            Some((b"data", value)) => {
                let value = value.to_vec();
                match &mut self.event.data {
                    None => self.event.data = Some(value),
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(&value);
                    }
                }
            }
            Some((b"event", value)) => self.event.name = Some(value.to_vec()),
            Some((b"id", value)) if !value.contains(&0) => self.event.id = Some(value.to_vec()),
            Some(_) | None => {}
        }
        self.has_fields |= !is_blank && !is_comment;
        self.event.raw.extend_from_slice(ending);
        self.line = self.event.raw.len();
        // A comment before any field is nobody's: it need not wait.
        if is_blank || !self.has_fields {
            self.line = 0;
            self.has_fields = false;
            done.push(mem::take(&mut self.event));
        }
        Ok(())
    }
}

/// An event's bytes so that every client reads the same lines in them. By the standard lines end at
/// CR and LF; clients that split text as Python does also end them at other characters, and would
/// see a `data` line in the middle of a comment or of a string. In JSON those characters stand
/// inside strings, where an escape means the same, or nowhere.
pub fn one_reading(raw: Vec<u8>) -> Vec<u8> {
    let ends_lines = |at: usize| match raw.get(at..).unwrap_or_default() {
        [0x0b | 0x0c | 0x1c | 0x1d | 0x1e, ..] => Some((1, "")),
        [0xc2, 0x85, ..] => Some((2, "\\u0085")),
        [0xe2, 0x80, 0xa8, ..] => Some((3, "\\u2028")),
        [0xe2, 0x80, 0xa9, ..] => Some((3, "\\u2029")),
        _ => None,
    };
    if !(0..raw.len()).any(|at| ends_lines(at).is_some()) {
        return raw;
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        if let Some((len, escape)) = ends_lines(at) {
            out.extend_from_slice(escape.as_bytes());
            at += len;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    out
}

/// One event that carries a message of our own.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut raw = b"event: message\n".to_vec();
    data_lines(message, &mut raw);
    raw.push(b'\n');
    raw
}

/// The event with other data and all its other lines. Only what has data can be given other data.
///
/// Every line ends with a line feed then: if a line that goes stood between a carriage return and
/// a line feed, keeping both would make one line end of two, and the event would not end.
pub fn with_data(event: &Event, message: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(event.raw.len());
    let mut rest = event.raw.as_slice();
    let mut is_written = false;
    while !rest.is_empty() {
        let (line, _, after) = split_line(rest);
        rest = after;
        if !matches!(field(line), Some((b"data", _))) {
            raw.extend_from_slice(line);
            raw.push(b'\n');
        } else if !mem::replace(&mut is_written, true) {
            data_lines(message, &mut raw);
        }
    }
    raw
}

/// The first line, its end (nothing if the bytes stop before it) and what follows.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'\r'))
        .unwrap_or(bytes.len());
    let (line, after) = bytes.split_at(end);
    let ending_len = if after.starts_with(b"\r\n") {
        2
    } else {
        after.len().min(1)
    };
    let (ending, after) = after.split_at(ending_len);
    (line, ending, after)
}

/// `data` lines that mean `message`. Line ends of any kind become lines: in JSON they can only
/// stand between tokens, where it does not matter which they are.
fn data_lines(message: &[u8], raw: &mut Vec<u8>) {
    for line in message.split(|byte| matches!(byte, b'\n' | b'\r')) {
        raw.extend_from_slice(b"data: ");
        raw.extend_from_slice(line);
        raw.push(b'\n');
    }
}

/// Name and value of a line that is neither blank nor a comment. One space after the colon goes.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':');
    match colon {
        Some(0) => None,
        None if line.is_empty() => None,
        None => Some((line, b"")),
        Some(colon) => {
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            Some((name, value.strip_prefix(b" ").unwrap_or(value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_some_clients_end_lines_at_are_escaped_or_gone() {
        let plain = b"data: {\"a\":\"\xc3\xbc\"}\n\n".to_vec();
        assert_eq!(one_reading(plain.clone()), plain);
        let hidden = ":x\u{2028}data: {}\u{85}\u{b}\n\n".to_owned().into_bytes();
        assert_eq!(one_reading(hidden), b":x\\u2028data: {}\\u0085\n\n");
    }
}
