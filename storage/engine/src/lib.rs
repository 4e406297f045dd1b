//! Keeps bytes. Knows no Raft, no command and no record: only which write must outlive which
//! crash, and in which order.
//!
//! One trait, [`Engine`], with two implementations: `Rocks`, on `RocksDB` and plain files, and
//! [`Memory`], its twin, which loses what was not synced.

#[cfg(feature = "rocksdb")]
mod directory;
mod engine;
mod error;
mod incoming;
mod memory;
mod parts;
#[cfg(feature = "rocksdb")]
mod rocks;
mod scan;
mod segments;

pub use self::engine::{
    Applied, Engine, Extent, HeadPlace, HeldSegment, MetaKey, Missing, SegmentFrame, SegmentTail,
    StateWrite, Wrote,
};
pub use self::error::{EngineError, TakeError};
pub use self::incoming::{ChainPlace, Incoming, Misfit, Unfit};
pub use self::memory::{Crash, Disk, Memory};
#[cfg(feature = "rocksdb")]
pub use self::rocks::{Paths, Rocks};

/// Named limits of this crate.
pub mod limits {
    /// Bytes of log and state that may gather in memory before the engine itself flushes, in the
    /// caller's write. A caller who flushes in time never meets it.
    pub const UNFLUSHED_BYTES_LIMIT: u64 = 128 << 20;

    /// Size of one family's memory table. Above [`UNFLUSHED_BYTES_LIMIT`] with room for `RocksDB`'s
    /// own overhead, so that `RocksDB` never flushes by itself: only our flush syncs the segments
    /// first.
    pub const TABLE_BYTES_LIMIT: usize = 512 << 20;

    /// Times that a flush is asked whether it is done, a millisecond apart.
    pub const FLUSH_POLLS_LIMIT: u32 = 120_000;

    /// Bytes of an incoming segment after which its file is synced, so that its end is no sync of
    /// hundreds of megabytes that the log's would wait for.
    pub const SYNC_INCOMING_BYTES: u64 = 4 << 20;

    /// Bytes read at a time when a segment is scanned.
    pub const SCAN_CHUNK_BYTES: usize = 1 << 20;
}
