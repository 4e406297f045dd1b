//! A segment on its way in from a peer: nothing of it is believed. Frame by frame it must be one
//! chain, and end where a frame that this node trusts goes on.

use std::fmt;

use tollbook_audit::frame::{FRAME_BYTES_MAX, FrameError, Header, next_frame};
use tollbook_audit::limits::{SEGMENT_BYTES_MAX, SEGMENT_SPAN_US_MAX};

use crate::engine::Missing;

/// A place between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPlace {
    /// Which log.
    pub log_id: [u8; 16],
    /// Frames before it.
    pub frames: u64,
    /// Records before it.
    pub records: u64,
    /// Hash of the frame before it.
    pub hash: [u8; 32],
}

/// What is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The beginning of the open segment, up to the head of a snapshot's state.
    Head,
    /// A closed segment.
    Segment,
}

/// A segment, or the open segment's beginning, of which bytes come in order. Holds less than one
/// frame of them.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) part: Part,
    pub(crate) segment: u64,
    pub(crate) until: ChainPlace,
    /// Which writer of the temporary file this is; none before the first bytes.
    pub(crate) ticket: Option<u64>,
    /// Where it first differs from what the book holds in that place.
    pub(crate) differs_at: Option<u64>,
    /// How long it must be, where that is known.
    length: Option<u64>,
    bytes: u64,
    /// The beginning of a frame whose end has not come.
    pending: Vec<u8>,
    walked: Option<Walked>,
}

/// The frames so far.
#[derive(Clone, Copy, Debug)]
struct Walked {
    bytes: u64,
    next_frame: u64,
    next_record: u64,
    hash: [u8; 32],
    since_us: u64,
    config_epoch: u32,
}

/// Bytes that are not the segment that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment} does not fit this node's book at byte {offset}: {misfit}")]
pub struct Unfit {
    /// Index of its first record.
    pub segment: u64,
    /// Where the frame begins that does not fit.
    pub offset: u64,
    /// What is wrong with it.
    pub misfit: Misfit,
}

/// What is wrong with a frame of an incoming segment. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Its hash of the frame before, or the segment's last hash, is another.
    Chain,
    /// No frame, or a damaged one.
    Frame(FrameError),
    /// Frames or records are left out, doubled or in another order.
    Order,
    /// It is of another log.
    OtherLog,
    /// The segment ends before it.
    Short,
    /// Another incoming has taken the place of this one.
    Superseded,
    /// It belongs to a later segment.
    TooLong,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("the chain of hashes is another"),
            Self::Frame(error) => error.fmt(f),
            Self::Order => f.write_str("frames or records do not follow each other"),
            Self::OtherLog => f.write_str("it is of another log"),
            Self::Short => f.write_str("it ends too early"),
            Self::Superseded => f.write_str("another one has taken its place"),
            Self::TooLong => f.write_str("it goes on into the next segment"),
        }
    }
}

impl Incoming {
    /// A closed segment that ends where a hole does.
    #[must_use]
    pub const fn segment(segment: u64, missing: &Missing) -> Self {
        Self::new(Part::Segment, segment, missing.until, None)
    }

    /// The beginning of the open segment, `bytes` long, up to the head of a state.
    #[must_use]
    pub const fn head(segment: u64, bytes: u64, head: ChainPlace) -> Self {
        Self::new(Part::Head, segment, head, Some(bytes))
    }

    const fn new(part: Part, segment: u64, until: ChainPlace, length: Option<u64>) -> Self {
        Self {
            part,
            segment,
            until,
            ticket: None,
            differs_at: None,
            length,
            bytes: 0,
            pending: Vec::new(),
            walked: None,
        }
    }

    /// How many bytes came so far: where the next ones begin.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the last frame has come.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.walked
            .is_some_and(|walked| walked.next_frame == self.until.frames)
    }

    /// Checks the frames that these bytes complete.
    pub(crate) fn check(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while !rest.is_empty() && !self.is_whole() {
            let frame = next_frame(rest).map_err(|error| self.unfit(Misfit::Frame(error)))?;
            let Some(frame) = frame else { break };
            let length = frame.bytes.len() as u64;
            self.walk(&frame.header, frame.hash, length)
                .map_err(|misfit| self.unfit(misfit))?;
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
        }
        if self.is_whole() && !rest.is_empty() {
            return Err(self.unfit(Misfit::TooLong));
        }
        assert!(rest.len() < FRAME_BYTES_MAX, "else it were whole");
        self.pending = rest.to_vec();
        Ok(())
    }

    /// All of it has come, and the chain goes on where it ends.
    pub(crate) fn check_whole(&self) -> Result<(), Unfit> {
        if self.is_whole() {
            Ok(())
        } else {
            Err(self.unfit(Misfit::Short))
        }
    }

    pub(crate) fn unfit(&self, misfit: Misfit) -> Unfit {
        Unfit {
            segment: self.segment,
            offset: self.walked.map_or(0, |walked| walked.bytes),
            misfit,
        }
    }

    fn walk(&mut self, header: &Header, hash: [u8; 32], length: u64) -> Result<(), Misfit> {
        if header.log_id != self.until.log_id {
            return Err(Misfit::OtherLog);
        }
        let walked = self.place_of(header, length)?;
        let next_frame = header.frame_no.saturating_add(1);
        let next_record = header.first_index.saturating_add(u64::from(header.count));
        let bytes = walked.bytes.saturating_add(length);
        if next_frame > self.until.frames || next_record > self.until.records {
            return Err(Misfit::TooLong);
        }
        if next_frame == self.until.frames {
            let ends = next_record == self.until.records
                && self.length.is_none_or(|length| length == bytes);
            if !ends {
                return Err(Misfit::Order);
            }
            if hash != self.until.hash {
                return Err(Misfit::Chain);
            }
        }
        self.walked = Some(Walked {
            bytes,
            next_frame,
            next_record,
            hash,
            config_epoch: header.config_epoch,
            ..walked
        });
        Ok(())
    }

    /// Whether a frame may stand here, and what comes before it.
    fn place_of(&self, header: &Header, length: u64) -> Result<Walked, Misfit> {
        let Some(walked) = self.walked else {
            if header.first_index != self.segment {
                return Err(Misfit::Order);
            }
            return Ok(Walked {
                bytes: 0,
                next_frame: header.frame_no,
                next_record: header.first_index,
                hash: header.prev_frame_hash,
                since_us: header.wall_us.0,
                config_epoch: header.config_epoch,
            });
        };
        if (header.frame_no, header.first_index) != (walked.next_frame, walked.next_record) {
            return Err(Misfit::Order);
        }
        if header.prev_frame_hash != walked.hash {
            return Err(Misfit::Chain);
        }
        // Two segments given as one are one chain too: these are what a segment closes at.
        let closed = walked.bytes.saturating_add(length) > SEGMENT_BYTES_MAX
            || header.wall_us.0.saturating_sub(walked.since_us) >= SEGMENT_SPAN_US_MAX
            || header.config_epoch != walked.config_epoch;
        if closed {
            return Err(Misfit::TooLong);
        }
        Ok(walked)
    }
}
