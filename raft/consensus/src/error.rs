//! What callers branch on.

use crate::fatal::Failure;

/// Why a command has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// No leader was found in time. It was not proposed.
    #[error("the cluster has no leader")]
    NoLeader,
    /// Too many commands wait. It was not proposed.
    #[error("too many commands wait for their batch")]
    QueueFull,
    /// The node stops. It was not proposed.
    #[error("the node is stopping")]
    Stopping,
    /// It is longer than an entry may be. It was not proposed.
    #[error("the command has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It was proposed, and nobody knows whether it is committed. Treat it as if it were.
    #[error("the outcome of the commit is not known: it may have been done")]
    Unknown,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The book holds frames that no entry of the log makes.
    #[error(
        "the book holds {book} frames, the log makes {log}: the log has lost entries; \
         restore a backup with `tollbook backup restore`"
    )]
    BookAhead {
        /// Frames in the segments.
        book: u64,
        /// Frames that state and log account for.
        log: u64,
    },
    /// The book lacks frames that the durable state counts.
    #[error(
        "the book holds {book} frames, the state counts {state}: segments are lost or damaged; \
         restore a backup with `tollbook backup restore`"
    )]
    BookBehind {
        /// Frames in the segments.
        book: u64,
        /// Frames that the state counts.
        state: u64,
    },
    /// The book's frame at the state's end is another one.
    #[error(
        "frame {frame_no} of the book is not the one that the state was made with; \
         restore a backup with `tollbook backup restore`"
    )]
    BookDiffers {
        /// Its number.
        frame_no: u64,
    },
    /// The consensus library refuses.
    #[error("consensus does not start")]
    Consensus {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The storage fails, or contradicts itself.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The state's rows cannot be read.
    #[error("the stored state cannot be read")]
    Load {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory is another node's.
    #[error("this directory belongs to a node of another number than {node}; correct `node.id`")]
    NotMember {
        /// Who was to start.
        node: u32,
    },
    /// The log ends before what this node has signed.
    #[error(
        "this node signed {signed} records, its log holds {records}: the log has lost entries; \
         restore a backup with `tollbook backup restore`"
    )]
    SignedAhead {
        /// Size of the newest checkpoint that it signed.
        signed: u64,
        /// Records that its log holds.
        records: u64,
    },
    /// The log holds other records than this node has signed.
    #[error(
        "this node signed other {size} records than its log holds; keep both and restore a \
         backup with `tollbook backup restore`"
    )]
    SignedDiffers {
        /// Size of both.
        size: u64,
    },
    /// No thread can be made.
    #[error("cannot start a thread")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
}
