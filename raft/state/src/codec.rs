//! The one encoding of batches and stored values: a version byte, then postcard.
//!
//! Decoding never panics. An unknown version is an error of its own: what a newer node wrote must
//! not be guessed at.

use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::command::{Batch, Command, Place};

/// Version of every encoding in this crate.
pub const VERSION: u8 = 1;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// No bytes at all.
    #[error("no bytes")]
    Empty,
    /// Not an encoding of the type asked for.
    #[error("the bytes do not decode")]
    Malformed,
    /// A whole value, then more bytes.
    #[error("{count} bytes follow the value")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// Written by a version that this one does not know.
    #[error("encoding version {version} is not known; this program knows {VERSION}")]
    UnknownVersion {
        /// The first byte.
        version: u8,
    },
}

/// Bytes of a batch, as they stand in a Raft entry.
#[must_use]
pub fn encode_batch(batch: &Batch) -> Vec<u8> {
    encode(batch)
}

/// Bytes of one command, for `encode_batch_of`.
///
/// # Panics
/// Never: plain data of known length always encodes.
#[must_use]
pub fn encode_command(command: &Command) -> Vec<u8> {
    postcard::to_allocvec(command).expect("plain data of known length always encodes")
}

/// The same bytes as `encode_batch`, from commands that are encoded already: a proposer encodes
/// each command once, knows its size, and packs by size.
#[must_use]
pub fn encode_batch_of(place: Place, commands: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = encode(&(place, commands.len()));
    for command in commands {
        bytes.extend_from_slice(command);
    }
    bytes
}

/// Reads what `encode_batch` wrote.
pub fn decode_batch(bytes: &[u8]) -> Result<Batch, CodecError> {
    decode(bytes)
}

/// The place alone, readable even where the commands are not.
pub fn decode_place(bytes: &[u8]) -> Result<Place, CodecError> {
    let body = body(bytes)?;
    let (place, _) = postcard::take_from_bytes(body).map_err(|_| CodecError::Malformed)?;
    Ok(place)
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, Vec::from([VERSION]))
        .expect("plain data of known length always encodes")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let body = body(bytes)?;
    let (value, rest) = postcard::take_from_bytes(body).map_err(|_| CodecError::Malformed)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CodecError::Trailing { count: rest.len() })
    }
}

fn body(bytes: &[u8]) -> Result<&[u8], CodecError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => Ok(body),
        Some((&version, _)) => Err(CodecError::UnknownVersion { version }),
        None => Err(CodecError::Empty),
    }
}

/// `Micros` as a plain integer; `tollbook-audit` knows no serde.
pub(crate) mod micros {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::command::Micros;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(t: &Micros, to: S) -> Result<S::Ok, S::Error> {
        t.0.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Micros, D::Error> {
        u64::deserialize(from).map(Micros)
    }
}

/// The same for a time that may be absent.
pub(crate) mod micros_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::command::Micros;

    pub(crate) fn serialize<S: Serializer>(t: &Option<Micros>, to: S) -> Result<S::Ok, S::Error> {
        t.map(|t| t.0).serialize(to)
    }

    pub(crate) fn deserialize<'de, D>(from: D) -> Result<Option<Micros>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Option::<u64>::deserialize(from)?.map(Micros))
    }
}
