//! The state as one piece, for a node whose log begins after what it needs.
//!
//! The state is durable by itself, so a snapshot is nothing that must be kept: openraft asks for
//! one before it lets the log be purged and means only its place. The bytes are made when someone
//! asks for them, from the state as it is then.

use std::io;
use std::sync::Arc;

use openraft::RaftSnapshotBuilder;

use tollbook_audit::Head;
use tollbook_state::State;
use tollbook_storage::Engine;

use crate::codec::{self, Mark, Rows};
use crate::fatal::{Failure, Fatal};
use crate::types::{Snapshot, SnapshotMeta, TypeConfig};

/// A snapshot's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// Made when it is asked for.
    Later,
    /// Mark and rows.
    Whole(bytes::Bytes),
}

/// Names the place of a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    pub(crate) meta: SnapshotMeta,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Image;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot: Image::Later,
        })
    }
}

/// The whole state as it is. The caller is the one that applies, so nothing changes meanwhile.
pub(crate) fn take<E: Engine>(engine: &Arc<E>, mark: &Mark, fatal: &Fatal) -> io::Result<Image> {
    let mut rows = Rows::new();
    engine
        .each_row(&mut |key, value| rows.push((key.to_vec(), value.to_vec())))
        .map_err(|error| fatal.fail(error))?;
    Ok(Image::Whole(codec::encode_image(mark, &rows)))
}

/// The head of the state in an image from another node, if its log has begun.
pub(crate) fn head(image: &bytes::Bytes) -> Result<Option<Head>, Failure> {
    let (_, rows) = codec::decode_image(image)?;
    let state = State::load(rows.into_iter()).map_err(|_| Failure::Stored {
        reason: "a snapshot whose rows are no state",
    })?;
    Ok(state.head().cloned())
}

/// What an image from another node holds. Damaged bytes are refused, and nothing is changed.
pub(crate) fn open(image: &Image) -> Result<(Mark, Rows), Failure> {
    match image {
        Image::Later => Err(Failure::Stored {
            reason: "a snapshot without content",
        }),
        Image::Whole(bytes) => Ok(codec::decode_image(bytes)?),
    }
}
