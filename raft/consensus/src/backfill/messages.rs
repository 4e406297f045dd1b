//! What is asked and answered about segments: `version ‖ kind ‖ body`, integers big endian. No
//! check of their own: what they carry is checked by the chain, and the transport is sealed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use tollbook_storage::{Engine, EngineError, Extent};

use super::limits::{LIST_ENTRIES_LIMIT, READ_BYTES_LIMIT};

const VERSION: u8 = 1;

const LIST: u8 = 1;
const READ: u8 = 2;
const REFUSED: u8 = 0;

/// A question about segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The whole segments below a record index, newest first, as many as go into one answer.
    List { below: u64 },
    /// Bytes of a segment.
    Read {
        segment: u64,
        offset: u64,
        length: u32,
    },
}

/// A whole segment of a peer, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Index of its first record.
    pub(crate) segment: u64,
    /// Index of the first record of the next.
    pub(crate) next: u64,
    pub(crate) bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Bytes(Bytes),
    List(Vec<Listed>),
    /// The question cannot be read, or the answer cannot be had.
    Refused,
}

impl Request {
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        match self {
            Self::List { below } => {
                out.put_u8(LIST);
                out.put_u64(below);
            }
            Self::Read {
                segment,
                offset,
                length,
            } => {
                out.put_u8(READ);
                out.put_u64(segment);
                out.put_u64(offset);
                out.put_u32(length);
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let request = match head(&mut bytes)? {
            LIST => Self::List {
                below: bytes.try_get_u64().ok()?,
            },
            READ => Self::Read {
                segment: bytes.try_get_u64().ok()?,
                offset: bytes.try_get_u64().ok()?,
                length: bytes.try_get_u32().ok()?,
            },
            _ => return None,
        };
        bytes.is_empty().then_some(request)
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        match self {
            Self::Bytes(bytes) => {
                out.put_u8(READ);
                out.put_slice(bytes);
            }
            Self::List(list) => {
                out.put_u8(LIST);
                for listed in list {
                    out.put_u64(listed.segment);
                    out.put_u64(listed.next);
                    out.put_u64(listed.bytes);
                }
            }
            Self::Refused => out.put_u8(REFUSED),
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut rest = &bytes[..];
        match head(&mut rest)? {
            READ => Some(Self::Bytes(bytes.slice_ref(rest))),
            LIST => {
                let mut list = Vec::new();
                while !rest.is_empty() && list.len() as u64 <= u64::from(LIST_ENTRIES_LIMIT) {
                    list.push(Listed {
                        segment: rest.try_get_u64().ok()?,
                        next: rest.try_get_u64().ok()?,
                        bytes: rest.try_get_u64().ok()?,
                    });
                }
                rest.is_empty().then_some(Self::List(list))
            }
            REFUSED if rest.is_empty() => Some(Self::Refused),
            _ => None,
        }
    }
}

/// The kind, of a message of this version.
fn head(bytes: &mut &[u8]) -> Option<u8> {
    let version = bytes.try_get_u8().ok()?;
    let kind = bytes.try_get_u8().ok()?;
    (version == VERSION).then_some(kind)
}

/// Answers a peer's question from this node's book. Blocks where the engine does: a read of at
/// most [`READ_BYTES_LIMIT`] bytes.
pub fn answer<E: Engine>(engine: &E, message: &[u8]) -> Bytes {
    let answer = match Request::decode(message) {
        Some(Request::List { below }) => Answer::List(list(engine, below)),
        Some(Request::Read {
            segment,
            offset,
            length,
        }) => read(engine, segment, offset, length).unwrap_or_else(|error| {
            // Reading harms nothing, so the node goes on.
            tracing::error!(segment, offset, %error, "a segment cannot be read for a peer");
            Answer::Refused
        }),
        None => Answer::Refused,
    };
    answer.encode()
}

fn list<E: Engine>(engine: &E, below: u64) -> Vec<Listed> {
    let held = engine.segments();
    let next = held.iter().skip(1).map(|held| held.segment);
    let mut list: Vec<Listed> = held
        .iter()
        .zip(next)
        .filter(|(held, _)| held.extent == Extent::Whole && held.segment < below)
        .map(|(held, next)| Listed {
            segment: held.segment,
            next,
            bytes: held.bytes,
        })
        .collect();
    list.reverse();
    list.truncate(usize::try_from(LIST_ENTRIES_LIMIT).unwrap_or(usize::MAX));
    list
}

fn read<E: Engine>(
    engine: &E,
    segment: u64,
    offset: u64,
    length: u32,
) -> Result<Answer, EngineError> {
    let length = usize::try_from(length.min(READ_BYTES_LIMIT)).unwrap_or(usize::MAX);
    let bytes = engine.read_segment(segment, offset, length)?;
    Ok(Answer::Bytes(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back_and_others_refused() {
        let requests = [
            Request::List { below: 7 },
            Request::Read {
                segment: 1,
                offset: 2,
                length: 3,
            },
        ];
        for request in requests {
            let bytes = request.encode();
            assert_eq!(Request::decode(&bytes), Some(request));
            for cut in 0..bytes.len() {
                assert_eq!(Request::decode(&bytes[..cut]), None);
            }
            assert_eq!(Request::decode(&[&bytes[..], &[0]].concat()), None);
        }
        let listed = Listed {
            segment: 1,
            next: 2,
            bytes: 3,
        };
        let list = vec![listed; 3];
        for answer in [
            Answer::Bytes(Bytes::from_static(b"abc")),
            Answer::List(list.clone()),
            Answer::Refused,
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        let bytes = Answer::List(list).encode();
        assert_eq!(Answer::decode(&bytes.slice(..bytes.len() - 1)), None);
        let too_many = Answer::List(vec![listed; LIST_ENTRIES_LIMIT as usize + 2]);
        assert_eq!(Answer::decode(&too_many.encode()), None);
        assert_eq!(Answer::decode(&Bytes::from_static(&[2, 0])), None);
        assert_eq!(Answer::decode(&Bytes::from_static(&[1, 9])), None);
    }
}
