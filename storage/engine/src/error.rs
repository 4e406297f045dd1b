//! What can go wrong. Nothing here is worth a retry: after a failed write or sync nobody knows
//! what the disk holds, so the caller stops the process and lets recovery find out.

use std::io;
use std::path::PathBuf;

use crate::incoming::Unfit;

/// Why bytes from a peer are not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The storage failed, or what this node holds contradicts what it was given.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// They are not what was asked for. Nothing is changed; another peer may have it.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// Failure of the storage.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A frame that was made again, or that came with its whole segment, differs from the one that
    /// the segment holds.
    #[error(
        "frame {frame_no} made again differs from the one in segment {segment}: \
         the log and the book disagree; keep both and see `tollbook backup restore`"
    )]
    FrameDiffers {
        /// First record index of the segment.
        segment: u64,
        /// The frame's number.
        frame_no: u64,
    },

    /// A frame does not follow the last one of the book.
    #[error(
        "frame {found} of segment {segment} does not follow frame {last:?}, the last of the book"
    )]
    FrameGap {
        /// First record index of the segment that the frame is for.
        segment: u64,
        /// The last frame that the book holds, if it has one.
        last: Option<u64>,
        /// The frame that was to be written.
        found: u64,
    },

    /// Another process has the directory open.
    #[error("data directory `{}` is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },

    /// A file operation failed.
    #[error("cannot {op} `{}`", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// Entries to append do not follow the log's last.
    #[error("entry {found} cannot follow entry {last}")]
    LogGap {
        /// The log's last index.
        last: u64,
        /// The first index to be appended.
        found: u64,
    },

    /// A row of the database is not what was written there.
    #[error("row of family `{family}` cannot be read: {length} bytes where others belong")]
    Malformed {
        /// `log`, `meta` or `state`.
        family: &'static str,
        /// How many bytes the row has.
        length: usize,
    },

    /// The directory was written by a newer version of the program.
    #[error("data directory has format {found}, this program knows {known}; use a newer version")]
    NewerFormat {
        /// Format of the directory.
        found: u32,
        /// Newest format that this program reads.
        known: u32,
    },

    /// The simulated disk has lost its power.
    #[error("simulated power loss")]
    PowerLost,

    /// A closed segment ends in the middle of a frame.
    #[error("segment {segment} is damaged at byte {offset}")]
    SegmentDamaged {
        /// First record index of the segment.
        segment: u64,
        /// Where its last whole frame ends.
        offset: u64,
    },

    /// The database failed.
    #[error("database cannot {op}")]
    Store {
        /// What was tried.
        op: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
