//! The head of the log: all that is needed to append to it. Part of the replicated state, so every
//! replica makes the same frames.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};

use crate::frame::{Frame, Header};
use crate::hex;
use crate::limits::{
    FRAME_BODY_BYTES_MAX, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_SPAN_US_MAX,
};
use crate::note::Checkpoint;
use crate::record::{Common, Micros, Record, Seal};
use crate::tree::{self, Tree};

const VERSION: u8 = 1;

/// What a frame says of the Raft entry that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryMeta {
    /// Term of the entry.
    pub term: u64,
    /// Index of the entry.
    pub log_index: u64,
    /// Membership in force; a change begins a new segment.
    pub config_epoch: u32,
    /// The node that proposed it; the leader for entries without a proposer.
    pub node: u32,
    /// The entry's time on the log's clock. `t` of its records is the same.
    pub wall_us: Micros,
}

/// The end of a log and what continues it. Changed by [`Head::append`] and [`Head::seal`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// First line of every checkpoint.
    origin: String,
    /// First 16 bytes of SHA-256 over origin, line feed and genesis record.
    log_id: [u8; 16],
    /// Number of the next frame.
    frame_no: u64,
    /// Hash of the last frame.
    chain: [u8; 32],
    /// Over all records.
    tree: Tree,
    /// Of the last frame.
    last: EntryMeta,
    /// The open segment.
    segment: Segment,
    /// Size at the last seal; 0 before the first.
    sealed_size: u64,
    /// SHA-256 of the three-line body at the last seal.
    previous: Option<[u8; 32]>,
}

/// The segment that the last frame went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    first_index: u64,
    bytes: u64,
    since: Micros,
}

/// A seal and the checkpoint that it ends: what may be signed once it is committed, applied and
/// synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The seal's own frame.
    pub frame: Frame,
    /// Origin, size and root with the seal as last leaf.
    pub checkpoint: Checkpoint,
}

impl Head {
    /// Begins a log: `records` are those of the first entry, the genesis record first.
    ///
    /// # Panics
    /// When there is no record: the state makes a genesis record or does not call this.
    #[must_use]
    pub fn begin(origin: &str, entry: &EntryMeta, records: &[Vec<u8>]) -> (Self, Vec<Frame>) {
        let genesis = records.first().expect("the genesis record");
        let mut head = Self {
            origin: origin.into(),
            log_id: log_id(origin, genesis),
            frame_no: 0,
            chain: [0; 32],
            tree: Tree::new(),
            last: *entry,
            segment: Segment {
                first_index: 0,
                bytes: 0,
                since: entry.wall_us,
            },
            sealed_size: 0,
            previous: None,
        };
        let frames = head.append(entry, records);
        (head, frames)
    }

    /// Appends one entry's records and returns its frames: none for no records. The state calls it
    /// once more in the same entry when records follow a seal.
    ///
    /// # Panics
    /// When `entry` is older than the last one, or a record is longer than the encoder makes them.
    /// The state's clock and Raft's order keep both true whatever an entry holds.
    pub fn append(&mut self, entry: &EntryMeta, records: &[Vec<u8>]) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut rest = records;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest));
            frames.push(self.frame(entry, now));
            rest = later;
        }
        frames
    }

    /// Appends a seal, alone in its frame; `None` when no record has followed the last one, so that
    /// an idle log does not grow. `beacon`: hash of the newest note cosigned from outside.
    ///
    /// # Panics
    /// As [`Head::append`].
    pub fn seal(&mut self, entry: &EntryMeta, beacon: Option<&str>) -> Option<Sealed> {
        if !self.seal_is_due() {
            return None;
        }
        let previous = self.previous.map(|hash| hex(&hash));
        let seal = Record::Seal(Seal {
            chain: &hex(&self.chain),
            index: self.size(),
            frame: self.frame_no,
            term: entry.term,
            log_index: entry.log_index,
            config_epoch: entry.config_epoch,
            previous: previous.as_deref(),
            beacon,
        });
        let mut record = Vec::new();
        let common = Common {
            call: None,
            t: entry.wall_us,
            node: entry.node,
        };
        seal.encode(&common, &mut record);
        let frame = self.frame(entry, &[record]);
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            size: self.size(),
            root: self.tree.root(),
        };
        self.sealed_size = self.size();
        self.previous = Some(Sha256::digest(checkpoint.body()).into());
        Some(Sealed { frame, checkpoint })
    }

    /// Whether a record other than a seal has followed the last seal.
    #[must_use]
    pub const fn seal_is_due(&self) -> bool {
        self.tree.size() != self.sealed_size
    }

    /// Number of records.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Number of records at the last seal; 0 before the first.
    #[must_use]
    pub const fn sealed_size(&self) -> u64 {
        self.sealed_size
    }

    /// Root over all records.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.tree.root()
    }

    /// Number of frames.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frame_no
    }

    /// Hash of the last frame.
    #[must_use]
    pub const fn chain(&self) -> [u8; 32] {
        self.chain
    }

    /// The open segment (index of its first record) and how many bytes it has: where the next
    /// frame goes, unless it opens a segment of its own.
    #[must_use]
    pub const fn segment(&self) -> (u64, u64) {
        (self.segment.first_index, self.segment.bytes)
    }

    /// Which log this is.
    #[must_use]
    pub const fn log_id(&self) -> [u8; 16] {
        self.log_id
    }

    /// First line of its checkpoints.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The entry of the last frame.
    #[must_use]
    pub const fn last(&self) -> &EntryMeta {
        &self.last
    }

    fn frame(&mut self, entry: &EntryMeta, records: &[Vec<u8>]) -> Frame {
        assert!(
            entry.wall_us >= self.last.wall_us,
            "the log's clock never goes back"
        );
        assert!(entry.term >= self.last.term, "terms never go back");
        assert!(
            entry.log_index >= self.last.log_index,
            "entries are applied in order"
        );
        let first_index = self.size();
        let mut header = Header {
            body_len: 0,
            count: 0,
            first_index,
            frame_no: self.frame_no,
            term: entry.term,
            log_index: entry.log_index,
            config_epoch: entry.config_epoch,
            node: entry.node,
            wall_us: entry.wall_us,
            log_id: self.log_id,
            prev_frame_hash: self.chain,
        };
        let (bytes, hash) = header.frame(records);
        let length = u64::try_from(bytes.len()).expect("a frame is short");
        if self.segment_is_over(entry, length) {
            self.segment = Segment {
                first_index,
                bytes: 0,
                since: entry.wall_us,
            };
        }
        let segment_offset = self.segment.bytes;
        self.segment.bytes += length;
        for record in records {
            self.tree.push(tree::leaf_hash(record));
        }
        self.chain = hash;
        self.frame_no += 1;
        self.last = *entry;
        Frame {
            bytes,
            first_index,
            count: header.count,
            frame_no: header.frame_no,
            hash,
            segment_first_index: self.segment.first_index,
            segment_offset,
            log_index: entry.log_index,
        }
    }

    /// Decided from the log alone, so that every replica and every replay cuts it alike.
    const fn segment_is_over(&self, entry: &EntryMeta, length: u64) -> bool {
        let age = entry.wall_us.0.saturating_sub(self.segment.since.0);
        self.segment.bytes > 0
            && (self.segment.bytes.saturating_add(length) > SEGMENT_BYTES_MAX
                || age >= SEGMENT_SPAN_US_MAX
                || entry.config_epoch != self.last.config_epoch)
    }

    /// The head's bytes, as the state keeps them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.origin.len() + 32 * self.tree.peaks().len());
        out.push(VERSION);
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.frame_no.to_le_bytes());
        out.extend_from_slice(&self.chain);
        out.extend_from_slice(&self.last.term.to_le_bytes());
        out.extend_from_slice(&self.last.log_index.to_le_bytes());
        out.extend_from_slice(&self.last.config_epoch.to_le_bytes());
        out.extend_from_slice(&self.last.node.to_le_bytes());
        out.extend_from_slice(&self.last.wall_us.0.to_le_bytes());
        out.extend_from_slice(&self.segment.first_index.to_le_bytes());
        out.extend_from_slice(&self.segment.bytes.to_le_bytes());
        out.extend_from_slice(&self.segment.since.0.to_le_bytes());
        out.extend_from_slice(&self.sealed_size.to_le_bytes());
        out.push(u8::from(self.previous.is_some()));
        out.extend_from_slice(&self.previous.unwrap_or_default());
        out.extend_from_slice(&self.tree.size().to_le_bytes());
        for peak in self.tree.peaks() {
            out.extend_from_slice(peak);
        }
        out.extend_from_slice(self.origin.as_bytes());
        out
    }

    /// Reads what [`Head::to_bytes`] wrote; anything else is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut cursor = Cursor(bytes);
        let [version] = cursor.take()?;
        if version != VERSION {
            return Err(HeadError::Version { version });
        }
        let log_id = cursor.take()?;
        let frame_no = cursor.u64()?;
        let chain = cursor.take()?;
        let last = EntryMeta {
            term: cursor.u64()?,
            log_index: cursor.u64()?,
            config_epoch: u32::from_le_bytes(cursor.take()?),
            node: u32::from_le_bytes(cursor.take()?),
            wall_us: Micros(cursor.u64()?),
        };
        let segment = Segment {
            first_index: cursor.u64()?,
            bytes: cursor.u64()?,
            since: Micros(cursor.u64()?),
        };
        let sealed_size = cursor.u64()?;
        let previous = match cursor.take()? {
            [0] => cursor.take::<32>().map(|_| None)?,
            [1] => Some(cursor.take()?),
            [_] => return Err(HeadError::Malformed),
        };
        let size = cursor.u64()?;
        let mut peaks = Vec::new();
        for _ in 0..size.count_ones() {
            peaks.push(cursor.take()?);
        }
        let tree = Tree::from_peaks(size, peaks).ok_or(HeadError::Malformed)?;
        let origin = core::str::from_utf8(cursor.0).map_err(|_| HeadError::Malformed)?;
        if sealed_size > size {
            return Err(HeadError::Malformed);
        }
        let origin = origin.into();
        Ok(Self {
            origin,
            log_id,
            frame_no,
            chain,
            tree,
            last,
            segment,
            sealed_size,
            previous,
        })
    }
}

/// First 16 bytes of SHA-256 over origin, line feed and genesis record.
#[must_use]
pub fn log_id(origin: &str, genesis: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(origin)
        .chain_update(b"\n")
        .chain_update(genesis)
        .finalize()
        .into();
    let mut id = [0; 16];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    id
}

/// How many of these records the next frame takes: at least one.
fn fitting(records: &[Vec<u8>]) -> usize {
    let mut body_len = 0;
    let mut count = 0;
    for record in records {
        assert!(!record.is_empty(), "a record is a JSON object");
        assert!(
            record.len() <= RECORD_BYTES_MAX,
            "the encoder keeps to this"
        );
        body_len += record.len() + 2;
        if body_len > FRAME_BODY_BYTES_MAX {
            break;
        }
        count += 1;
    }
    count
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], HeadError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(HeadError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u64(&mut self) -> Result<u64, HeadError> {
        Ok(u64::from_le_bytes(self.take()?))
    }
}

/// Why bytes are not a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// Too short, or fields that contradict each other.
    Malformed,
    /// A version that this reader does not know.
    Version {
        /// The first byte.
        version: u8,
    },
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the log's head is malformed"),
            Self::Version { version } => write!(f, "head version {version} is not known"),
        }
    }
}

impl core::error::Error for HeadError {}
