//! The verifier's checks by name.

use core::fmt;

use crate::frame::FrameError;
use crate::note::NoteError;
use crate::read::RecordError;
use crate::trust::TrustError;

/// Every check that can fail. Alphabetical; [`Check::name`] is part of the report's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// An intent or outcome without `call`.
    CallMissing,
    /// An intent for a call that is open.
    CallTwice,
    /// `prev_frame_hash` is not the hash of the frame before.
    Chain,
    /// A checkpoint's size is not the one in its file's name.
    CheckpointName {
        /// What the note says.
        size: u64,
    },
    /// The last record of a checkpoint is not a seal.
    CheckpointSeal,
    /// `config_epoch` went back, or went on by more than one.
    ConfigEpoch,
    /// `first_index` is not the number of records before.
    FirstIndex,
    /// The frame itself.
    Frame(FrameError),
    /// `frame_no` is not the number of frames before.
    FrameNumber,
    /// The first record is not a genesis record, or another one is.
    Genesis,
    /// `gs` is not the grant's next.
    GrantSequence {
        /// What it should be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A `key` record does not follow on the key in force.
    KeyFormer,
    /// `log_id` is not that of origin and genesis record: frames of another log.
    LogId,
    /// `log_index` went back.
    LogIndex,
    /// No checkpoint is there, so nothing vouches for the records.
    NoCheckpoint,
    /// No checkpoint has the cosignatures that the trust file asks for.
    NoQuorum,
    /// The note itself, or its signature.
    Note(NoteError),
    /// The genesis record's origin is not one that the trust file names.
    Origin,
    /// An outcome's grant is not that of its intent.
    OutcomeGrant,
    /// A late outcome where none can be.
    OutcomeLate,
    /// An outcome without an open, allowed intent before it.
    OutcomeWithoutIntent,
    /// A file cannot be read.
    Read,
    /// The record itself.
    Record(RecordError),
    /// `config_epoch` goes on without the record that says why, or that record stands elsewhere.
    RecordEpoch,
    /// A record's `node` is not its frame's.
    RecordNode,
    /// A `lead` record of another term than its frame's, or not above the one before.
    RecordTerm,
    /// A record's `t` is not its frame's `wall_us`.
    RecordTime,
    /// The tree's root at a checkpoint's size is not the checkpoint's.
    Root {
        /// The checkpoint's size.
        size: u64,
    },
    /// A seal shares its frame.
    SealAlone,
    /// A seal says something else than the header of its frame.
    SealHeader,
    /// A seal's `previous` is not the hash of the checkpoint at the seal before.
    SealPrevious,
    /// A segment's name is not the index of its first record.
    SegmentName,
    /// Fewer records than a checkpoint says.
    Short {
        /// The checkpoint's size.
        size: u64,
    },
    /// `term` went back.
    Term,
    /// A segment ends within a frame.
    Torn,
    /// The trust file.
    Trust(TrustError),
    /// A record that only a newer program can read.
    Unsupported,
    /// `wall_us` went back.
    Wall,
}

impl Check {
    /// The check's stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CallMissing => "call_missing",
            Self::CallTwice => "call_twice",
            Self::Chain => "chain",
            Self::CheckpointName { .. } => "checkpoint_name",
            Self::CheckpointSeal => "checkpoint_seal",
            Self::ConfigEpoch => "config_epoch",
            Self::FirstIndex => "first_index",
            Self::Frame(_) => "frame",
            Self::FrameNumber => "frame_number",
            Self::Genesis => "genesis",
            Self::GrantSequence { .. } => "grant_sequence",
            Self::KeyFormer => "key_former",
            Self::LogId => "log_id",
            Self::LogIndex => "log_index",
            Self::NoCheckpoint => "no_checkpoint",
            Self::NoQuorum => "no_quorum",
            Self::Note(_) => "note",
            Self::Origin => "origin",
            Self::OutcomeGrant => "outcome_grant",
            Self::OutcomeLate => "outcome_late",
            Self::OutcomeWithoutIntent => "outcome_without_intent",
            Self::Read => "read",
            Self::Record(_) => "record",
            Self::RecordEpoch => "record_epoch",
            Self::RecordNode => "record_node",
            Self::RecordTerm => "record_term",
            Self::RecordTime => "record_time",
            Self::Root { .. } => "root",
            Self::SealAlone => "seal_alone",
            Self::SealHeader => "seal_header",
            Self::SealPrevious => "seal_previous",
            Self::SegmentName => "segment_name",
            Self::Short { .. } => "short",
            Self::Term => "term",
            Self::Torn => "torn",
            Self::Trust(_) => "trust",
            Self::Unsupported => "unsupported",
            Self::Wall => "wall",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallMissing => f.write_str("an intent or outcome names no call"),
            Self::CallTwice => f.write_str("an intent for a call that is open already"),
            Self::Chain => f.write_str("not chained to the frame before"),
            Self::CheckpointName { size } => {
                write!(
                    f,
                    "a checkpoint of {size} records under the name of another size"
                )
            }
            Self::CheckpointSeal => f.write_str("a checkpoint whose last record is not a seal"),
            Self::ConfigEpoch => f.write_str("the epoch went back, or over one"),
            Self::FirstIndex => f.write_str("first index is not the number of records before"),
            Self::Frame(error) => error.fmt(f),
            Self::FrameNumber => f.write_str("frame number is not the number of frames before"),
            Self::Genesis => f.write_str("a genesis record must be the first and only the first"),
            Self::GrantSequence { expected, found } => {
                write!(f, "the grant's counter should be {expected} and is {found}")
            }
            Self::KeyFormer => f.write_str("a log key that does not follow on the one in force"),
            Self::LogId => f.write_str("frame of another log"),
            Self::LogIndex => f.write_str("the Raft index went back"),
            Self::NoCheckpoint => f.write_str("no signed checkpoint, so nothing vouches for it"),
            Self::NoQuorum => f.write_str("no checkpoint has the cosignatures that are asked for"),
            Self::Note(error) => error.fmt(f),
            Self::Origin => f.write_str("the log's origin is not in the trust file"),
            Self::OutcomeGrant => f.write_str("an outcome under another grant than its intent"),
            Self::OutcomeLate => f.write_str("a late outcome of a call that is not unknown"),
            Self::OutcomeWithoutIntent => f.write_str("an outcome without an open intent"),
            Self::Read => f.write_str("cannot be read"),
            Self::Record(error) => error.fmt(f),
            Self::RecordEpoch => f.write_str("the epoch and the records that begin one disagree"),
            Self::RecordNode => f.write_str("the record's node is not the frame's"),
            Self::RecordTerm => f.write_str("who leads is not told in its own term, in order"),
            Self::RecordTime => f.write_str("the record's time is not the frame's"),
            Self::Root { size } => {
                write!(
                    f,
                    "the first {size} records do not have the root that was signed"
                )
            }
            Self::SealAlone => f.write_str("a seal that is not alone in its frame"),
            Self::SealHeader => f.write_str("a seal that contradicts its frame's header"),
            Self::SealPrevious => f.write_str("a seal that does not name the checkpoint before"),
            Self::SegmentName => f.write_str("the segment's name is not its first index"),
            Self::Short { size } => {
                write!(
                    f,
                    "records are missing: a checkpoint was signed over {size}"
                )
            }
            Self::Term => f.write_str("the Raft term went back"),
            Self::Torn => f.write_str("the segment ends within a frame"),
            Self::Trust(error) => error.fmt(f),
            Self::Unsupported => f.write_str("written by a newer program than this one"),
            Self::Wall => f.write_str("the clock went back"),
        }
    }
}
