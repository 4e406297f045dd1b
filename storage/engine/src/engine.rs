//! The trait. Each method says what it makes durable and what order it keeps.
//!
//! Three stores with three rules. The *log* (and `meta`) goes through a write-ahead log and is
//! durable, in order, after [`Engine::sync`]. The *state* is made from the log: it may be lost
//! back to the last [`Engine::flush`], whole entries at a time, and is made again. The *segments*
//! are made from the log too, and [`Engine::append_frame`] writes or compares. What this node's log
//! does not make, because it began with a snapshot, comes from peers and is checked on the way in:
//! [`Engine::take_in`].

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{EngineError, TakeError};
use crate::incoming::{ChainPlace, Incoming};

/// Rows beside the log, in its own durability order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetaKey {
    /// A commit index that the log is known to have reached.
    Committed,
    /// Up to where the log was purged. Written by [`Engine::purge_log`] only.
    Purged,
    /// The last vote.
    Vote,
}

/// One row of the state: a new value, or none to remove it.
pub type StateWrite = (Vec<u8>, Option<Vec<u8>>);

/// How far the state has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Index of the last applied entry.
    pub index: u64,
    /// What the caller stored with it.
    pub mark: Vec<u8>,
}

/// A frame on its way into the book.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFrame<'a> {
    /// First record index of the segment that it belongs to.
    pub segment: u64,
    /// Where in that segment it begins.
    pub offset: u64,
    /// Its number.
    pub frame_no: u64,
    /// Its bytes, header to hash.
    pub bytes: &'a [u8],
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// The segment held it already, byte for byte.
    Compared,
    /// It is new, and durable after the next [`Engine::sync_segments`].
    Written,
}

/// The last whole frame of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentTail {
    /// First record index of its segment.
    pub segment: u64,
    /// Its number.
    pub frame_no: u64,
    /// One past the index of its last record.
    pub next_record: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// A segment as this node holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldSegment {
    /// Index of its first record.
    pub segment: u64,
    /// Its length in whole frames.
    pub bytes: u64,
    /// Whether that is all of it.
    pub extent: Extent,
}

/// How much of a segment is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It is the newest: frames are written to it.
    Growing,
    /// The next segment held does not go on where it ends.
    Partial,
    /// All of it.
    Whole,
}

/// A hole in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The nearest segment below it, which may lack its own end.
    pub below: Option<u64>,
    /// Where it ends: before the first frame of a segment that is held.
    pub until: ChainPlace,
}

/// The end of a state's head in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadPlace {
    /// First record index of the open segment.
    pub segment: u64,
    /// How many bytes of it there are.
    pub bytes: u64,
    /// Hash of the frame that ends there.
    pub hash: [u8; 32],
}

/// A place to keep a node's log, state and book.
///
/// Methods block. They may be called from several threads: log and meta by the consensus core,
/// `sync` by the flusher, state and frames by the one that applies, the flushes by a fourth.
/// After an error of a method that writes or syncs, nothing more may be written.
pub trait Engine: Send + Sync + 'static {
    /// Appends entries from index `first` on. Readable on return; durable after the next
    /// [`Engine::sync`]. Refused if `first` does not follow the last index; an empty log begins
    /// anywhere.
    fn append_log(&self, first: u64, entries: &[Bytes]) -> Result<(), EngineError>;

    /// Entries of `range` that the log holds, from its start on, until `bytes_limit` is passed:
    /// at least one if the log has the range's first.
    fn read_log(
        &self,
        range: Range<u64>,
        bytes_limit: usize,
    ) -> Result<Vec<(u64, Bytes)>, EngineError>;

    /// First and last index, if there are entries.
    fn log_range(&self) -> Option<(u64, u64)>;

    /// Removes entries from index `from` on. Ordered with appends; durable after `sync`.
    fn truncate_log(&self, from: u64) -> Result<(), EngineError>;

    /// Removes entries up to and with `upto`, and writes [`MetaKey::Purged`], as one step. The
    /// caller has made sure that neither state nor book needs them: see [`Engine::flush`].
    fn purge_log(&self, upto: u64, purged: &[u8]) -> Result<(), EngineError>;

    /// Writes a row. Ordered with appends; durable after `sync`.
    fn put_meta(&self, key: MetaKey, value: &[u8]) -> Result<(), EngineError>;

    /// Reads a row.
    fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, EngineError>;

    /// Makes durable all that was written to log and meta before the call.
    fn sync(&self) -> Result<(), EngineError>;

    /// How long the next [`Engine::sync`] takes beside its call. The twin cannot block, so who
    /// wants to sync waits that long first; a real disk takes its time in the call.
    fn sync_takes(&self) -> Duration {
        Duration::ZERO
    }

    /// Writes an entry's rows and the mark, as one step: after a crash all of it is there, and
    /// all of the entries before, or nothing. Not durable before [`Engine::flush`]. The frames of
    /// the entry go first, through [`Engine::append_frame`].
    fn apply(&self, index: u64, mark: &[u8], writes: &[StateWrite]) -> Result<(), EngineError>;

    /// Replaces the whole state, as one step, and makes it durable.
    fn replace_state(
        &self,
        index: u64,
        mark: &[u8],
        rows: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), EngineError>;

    /// How far the state has come, if anything was applied.
    fn applied(&self) -> Result<Option<Applied>, EngineError>;

    /// Shows each row of the state, in the order of keys, without the mark.
    fn each_row(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), EngineError>;

    /// Makes the state durable, the segments first: a durable state never lacks a frame that it
    /// counts. Returns the index that is now durable, at least what was applied at the call. Slow
    /// (it writes the tables); other methods go on meanwhile.
    fn flush(&self) -> Result<Option<u64>, EngineError>;

    /// Puts a frame at its place: writes it at the end of the book, cutting off a torn tail
    /// first, or compares it with what the segment holds there. A frame for a newer segment
    /// closes and syncs the one before.
    fn append_frame(&self, frame: SegmentFrame<'_>) -> Result<Wrote, EngineError>;

    /// Makes durable all frames that were appended before the call.
    fn sync_segments(&self) -> Result<(), EngineError>;

    /// The last whole frame of the book, torn tails left out.
    fn segment_tail(&self) -> Option<SegmentTail>;

    /// Up to `length` bytes of a segment from `offset` on; fewer at the end of its whole frames,
    /// none of a segment that is not there.
    fn read_segment(
        &self,
        segment: u64,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, EngineError>;

    /// What the book holds, in order.
    fn segments(&self) -> Vec<HeldSegment>;

    /// What the book lacks below the frames that it holds, in order.
    fn missing(&self) -> Vec<Missing>;

    /// Checks the next bytes of a segment from a peer and writes them to a temporary file beside
    /// the book. Not durable; what a crash leaves of it is removed at the next start. One incoming
    /// of each kind at a time: the first bytes of another end the one before.
    fn take_in(&self, incoming: &mut Incoming, bytes: &[u8]) -> Result<(), TakeError>;

    /// Puts the incoming in place as one step, durable on return: a segment into its hole, a
    /// head's beginning beside the book, for [`Engine::adopt_head`]. Refused when it is not whole.
    /// A frame that the book held already must be in it as it was, byte for byte.
    fn put_in(&self, incoming: Incoming) -> Result<(), TakeError>;

    /// The head's beginning that waits beside the book.
    fn staged_head(&self) -> Result<Option<HeadPlace>, EngineError>;

    /// Makes the head's beginning the end of the book, as one step, durable on return. The state
    /// that counts it must be durable before; frames go on behind it.
    fn adopt_head(&self) -> Result<(), EngineError>;

    /// Removes the head's beginning that waits beside the book.
    fn discard_head(&self) -> Result<(), EngineError>;
}
