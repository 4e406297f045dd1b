//! The book's files: `<first_index:020>.tbs`, one after another, only the newest still growing.
//! There may be holes below it: a node that began with a snapshot has the open segment's beginning
//! first, and gets the rest from its peers. Each hole ends at a segment whose first frame names the
//! hash that what fills it must end with.
//!
//! Frames come from the one that applies entries, live and at recovery alike, and each says where
//! it belongs. A frame that the book holds must come again as it was; a frame at its end is
//! written. The logic stands here once; [`Files`] is what differs between a directory and the twin.

use std::collections::BTreeMap;

use tollbook_audit::frame::{HASH_BYTES, HEADER_BYTES, Header};

use crate::engine::{Extent, HeadPlace, HeldSegment, Missing, SegmentFrame, SegmentTail, Wrote};
use crate::error::EngineError;
use crate::incoming::{ChainPlace, Incoming, Part};
use crate::limits::SCAN_CHUNK_BYTES;
use crate::scan;

/// A directory of append-only files, named by number.
pub(crate) trait Files {
    /// Number and length of each, their names durable.
    fn list(&self) -> Result<BTreeMap<u64, u64>, EngineError>;
    /// Bytes of `segment` from `offset` on, up to `length` of them; fewer at its end.
    fn read_at(&self, segment: u64, offset: u64, length: usize) -> Result<Vec<u8>, EngineError>;
    /// Makes an empty file, whose name is durable on return.
    fn create(&mut self, segment: u64) -> Result<(), EngineError>;
    /// Writes at `offset`, which is the file's end. Not durable.
    fn append(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> Result<(), EngineError>;
    /// Cuts the file, durably.
    fn cut(&mut self, segment: u64, length: u64) -> Result<(), EngineError>;
    /// Makes the file durable.
    fn sync(&mut self, segment: u64) -> Result<(), EngineError>;
    /// Gives the synced temporary file its name, as one step, durable on return: among the
    /// segments, in the place of one that is there, or as the head that waits.
    fn place(&mut self, part: Part, segment: u64) -> Result<(), EngineError>;
    /// Length of the head that waits, if one does.
    fn staged(&self) -> Result<Option<u64>, EngineError>;
    /// Bytes of the head that waits.
    fn read_staged(&self, offset: u64, length: usize) -> Result<Vec<u8>, EngineError>;
    /// Gives the head that waits its name among the segments, as [`Files::place`].
    fn adopt(&mut self, segment: u64) -> Result<(), EngineError>;
    /// Removes the head that waits.
    fn discard(&mut self) -> Result<(), EngineError>;
}

/// The newest file.
#[derive(Clone, Copy, Debug)]
struct Newest {
    segment: u64,
    /// Its length in whole frames.
    end: u64,
    /// Bytes past them: what a crash tore.
    torn: u64,
    /// Has bytes that no sync covers. True after opening: a process that died may have left
    /// frames with the operating system.
    unsynced: bool,
}

/// The book, open for writing or comparing.
#[derive(Debug)]
pub(crate) struct Segments<F> {
    files: F,
    /// Length of each closed file, all of it whole frames and synced.
    closed: BTreeMap<u64, u64>,
    newest: Option<Newest>,
    tail: Option<SegmentTail>,
    /// What must come before each segment that does not go on where the one before it ends.
    holes: BTreeMap<u64, ChainPlace>,
}

impl<F: Files> Segments<F> {
    /// Finds the end of the book. Changes nothing: a torn tail is cut by the first write, so that
    /// who looks at the tail and refuses to go on leaves everything as it was.
    pub(crate) fn open(files: F) -> Result<Self, EngineError> {
        let mut book = Self {
            closed: files.list()?,
            files,
            newest: None,
            tail: None,
            holes: BTreeMap::new(),
        };
        if let Some((segment, length)) = book.closed.pop_last() {
            let end = book.find_end(segment, length)?;
            book.newest = Some(Newest {
                segment,
                end: end.offset,
                torn: length - end.offset,
                unsynced: true,
            });
            book.tail = match end.last {
                Some(last) => Some(last),
                None => book.tail_before()?,
            };
        }
        let held: Vec<u64> = book.held().map(|(segment, _)| segment).collect();
        for segment in held {
            book.find_hole(segment)?;
        }
        Ok(book)
    }

    /// A crash left the newest file without a whole frame: the book ends before it.
    fn tail_before(&self) -> Result<Option<SegmentTail>, EngineError> {
        let Some((&segment, &length)) = self.closed.last_key_value() else {
            return Ok(None);
        };
        let end = self.find_end(segment, length)?;
        if end.offset == length {
            Ok(end.last)
        } else {
            let offset = end.offset;
            Err(EngineError::SegmentDamaged { segment, offset })
        }
    }

    fn find_end(&self, segment: u64, length: u64) -> Result<scan::End, EngineError> {
        let read = |offset, length| self.files.read_at(segment, offset, length);
        scan::end_of(read, segment, length)
    }

    pub(crate) fn tail(&self) -> Option<SegmentTail> {
        self.tail
    }

    pub(crate) fn read(
        &self,
        segment: u64,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, EngineError> {
        let Some(end) = self.end_of(segment) else {
            return Ok(Vec::new());
        };
        let held = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.files.read_at(segment, offset, length.min(held))
    }

    /// Writes or compares.
    pub(crate) fn append(&mut self, frame: SegmentFrame<'_>) -> Result<Wrote, EngineError> {
        match self.end_of(frame.segment) {
            Some(end) if frame.offset < end => self.compare(frame),
            Some(_) => self.write(frame),
            None => {
                self.expect_next(frame, 0)?;
                self.roll(frame.segment)?;
                self.write(frame)
            }
        }
    }

    /// Makes all frames durable.
    pub(crate) fn sync(&mut self) -> Result<(), EngineError> {
        let Some(newest) = self.newest.as_mut().filter(|newest| newest.unsynced) else {
            return Ok(());
        };
        self.files.sync(newest.segment)?;
        newest.unsynced = false;
        Ok(())
    }

    /// The file that has frames which no sync covers, and how far they go.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn unsynced(&self) -> Option<(u64, u64)> {
        let newest = self.newest.filter(|newest| newest.unsynced)?;
        Some((newest.segment, newest.end))
    }

    /// A sync of the file itself covered it up to `end`. A file that was closed meanwhile was
    /// synced as it closed.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn synced(&mut self, segment: u64, end: u64) {
        if let Some(newest) = self.newest.as_mut()
            && (newest.segment, newest.end) == (segment, end)
        {
            newest.unsynced = false;
        }
    }

    #[cfg(feature = "rocksdb")]
    pub(crate) fn files(&mut self) -> &mut F {
        &mut self.files
    }

    /// What is held, in order.
    pub(crate) fn segments(&self) -> Vec<HeldSegment> {
        let mut segments = Vec::new();
        let mut above = None;
        for (segment, bytes) in self.held().rev() {
            let extent = match above {
                None => Extent::Growing,
                Some(above) if self.holes.contains_key(&above) => Extent::Partial,
                Some(_) => Extent::Whole,
            };
            segments.push(HeldSegment {
                segment,
                bytes,
                extent,
            });
            above = Some(segment);
        }
        segments.reverse();
        segments
    }

    /// What is not held, in order.
    pub(crate) fn missing(&self) -> Vec<Missing> {
        let missing = |(&segment, &until): (&u64, &ChainPlace)| Missing {
            below: self.below(segment),
            until,
        };
        self.holes.iter().map(missing).collect()
    }

    /// Puts in place what has come whole into the temporary file, which is synced.
    pub(crate) fn put(&mut self, incoming: &Incoming) -> Result<(), EngineError> {
        let segment = incoming.segment;
        if let Some(at) = incoming.differs_at {
            self.refuse_another(segment, at)?;
        }
        match incoming.part {
            // A crash here leaves the head beside the book: adopted if the state counts it.
            Part::Head => self.files.place(Part::Head, segment),
            Part::Segment => self.fill(incoming),
        }
    }

    /// The head's beginning that waits.
    pub(crate) fn staged(&self) -> Result<Option<HeadPlace>, EngineError> {
        let Some(bytes) = self.files.staged()? else {
            return Ok(None);
        };
        let header = self.files.read_staged(0, HEADER_BYTES)?;
        let at = bytes.saturating_sub(HASH_BYTES as u64);
        let hash = self.files.read_staged(at, HASH_BYTES)?;
        Ok(Header::parse(&header)
            .ok()
            .flatten()
            .zip(<[u8; HASH_BYTES]>::try_from(hash.as_slice()).ok())
            .map(|(header, hash)| HeadPlace {
                segment: header.first_index,
                bytes,
                hash,
            }))
    }

    /// Makes the head's beginning the newest file.
    pub(crate) fn adopt(&mut self) -> Result<(), EngineError> {
        let Some(HeadPlace { segment, bytes, .. }) = self.staged()? else {
            return Ok(());
        };
        let end = scan::end_of(
            |offset, length| self.files.read_staged(offset, length),
            segment,
            bytes,
        )?;
        let offset = end.offset;
        let Some(last) = end.last.filter(|_| offset == bytes) else {
            return Err(EngineError::SegmentDamaged { segment, offset });
        };
        self.expect_newest(segment, last.frame_no)?;
        if let Some(at) = self.differs_from_staged(segment, bytes)? {
            self.refuse_another(segment, at)?;
        }
        if self.end_of(segment).is_some_and(|end| end >= bytes) {
            return self.files.discard();
        }
        self.cut_torn()?;
        self.sync()?;
        self.files.adopt(segment)?;
        // A crash before leaves it beside the book, and the state that counts it adopts it then.
        if let Some(before) = self.newest.replace(Newest::whole(segment, bytes))
            && before.segment != segment
        {
            self.closed.insert(before.segment, before.end);
        }
        self.tail = Some(last);
        self.find_hole(segment)
    }

    /// Removes the head's beginning that waits.
    pub(crate) fn discard(&mut self) -> Result<(), EngineError> {
        match self.files.staged()? {
            Some(_) => self.files.discard(),
            None => Ok(()),
        }
    }

    fn fill(&mut self, incoming: &Incoming) -> Result<(), EngineError> {
        let (segment, until) = (incoming.segment, incoming.until);
        if self.holes.get(&until.records) != Some(&until) {
            // Filled meanwhile.
            return Ok(());
        }
        // Frames that it lacks, or another cut into segments: this node's own must be in it.
        if let Some(below) = self.below(until.records).filter(|&below| below > segment) {
            self.refuse_another(below, 0)?;
        }
        if self
            .end_of(segment)
            .is_some_and(|end| end > incoming.bytes())
        {
            self.refuse_another(segment, incoming.bytes())?;
        }
        self.files.place(Part::Segment, segment)?;
        // A crash before leaves what was there, with a temporary file; from here on it is whole.
        self.closed.insert(segment, incoming.bytes());
        self.find_hole(segment)?;
        self.find_hole(until.records)
    }

    /// Refuses if a whole frame of ours covers this byte, at which another has something else.
    /// Bytes that are no frame are damage, and may be replaced.
    fn refuse_another(&self, segment: u64, at: u64) -> Result<(), EngineError> {
        let read = |offset, length| self.read(segment, offset, length);
        match scan::frame_over(read, segment, at)? {
            Some(frame_no) => Err(EngineError::FrameDiffers { segment, frame_no }),
            None => Ok(()),
        }
    }

    fn differs_from_staged(&self, segment: u64, bytes: u64) -> Result<Option<u64>, EngineError> {
        let end = self.end_of(segment).unwrap_or(0).min(bytes);
        let mut offset = 0;
        while offset < end {
            let length = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let ours = self.read(segment, offset, length.min(SCAN_CHUNK_BYTES))?;
            let theirs = self.files.read_staged(offset, ours.len())?;
            let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            offset += same as u64;
            if same < ours.len() || ours.is_empty() {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// Segments with frames, in order, and their lengths.
    fn held(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let newest = self.newest.map(|newest| (newest.segment, newest.end));
        let closed = self
            .closed
            .iter()
            .map(|(&segment, &bytes)| (segment, bytes));
        closed.chain(newest).filter(|&(_, bytes)| bytes > 0)
    }

    /// The nearest segment below.
    fn below(&self, segment: u64) -> Option<u64> {
        let below = self.closed.range(..segment).rev();
        below.map(|(&segment, _)| segment).next()
    }

    /// Looks whether the segment goes on where the one below it ends, by the hash between them.
    fn find_hole(&mut self, segment: u64) -> Result<(), EngineError> {
        self.holes.remove(&segment);
        let bytes = self.read(segment, 0, HEADER_BYTES)?;
        let Some(header) = Header::parse(&bytes).ok().flatten() else {
            // No frame opens it: it is not held, and what is below belongs to the next hole.
            tracing::error!(segment, "a segment of the book is damaged at its beginning");
            self.closed.remove(&segment);
            return Ok(());
        };
        let before = match self.below(segment) {
            Some(below) => {
                let end = self.closed.get(&below).copied().unwrap_or_default();
                self.read(below, end.saturating_sub(HASH_BYTES as u64), HASH_BYTES)?
            }
            None if segment == 0 => vec![0; HASH_BYTES],
            None => Vec::new(),
        };
        if before != header.prev_frame_hash {
            let place = ChainPlace {
                log_id: header.log_id,
                frames: header.frame_no,
                records: header.first_index,
                hash: header.prev_frame_hash,
            };
            self.holes.insert(segment, place);
        }
        Ok(())
    }

    /// Length of a file in whole frames.
    fn end_of(&self, segment: u64) -> Option<u64> {
        match self.newest {
            Some(newest) if newest.segment == segment => Some(newest.end),
            Some(_) | None => self.closed.get(&segment).copied(),
        }
    }

    fn compare(&self, frame: SegmentFrame<'_>) -> Result<Wrote, EngineError> {
        let held = self.read(frame.segment, frame.offset, frame.bytes.len())?;
        if held == frame.bytes {
            Ok(Wrote::Compared)
        } else {
            Err(EngineError::FrameDiffers {
                segment: frame.segment,
                frame_no: frame.frame_no,
            })
        }
    }

    fn write(&mut self, frame: SegmentFrame<'_>) -> Result<Wrote, EngineError> {
        let newest = self.newest.filter(|newest| newest.segment == frame.segment);
        let end = newest.map_or(0, |newest| newest.end);
        self.expect_next(frame, end)?;
        let tail = scan::whole_frame(frame.segment, frame.bytes)
            .filter(|tail| tail.frame_no == frame.frame_no && newest.is_some())
            .ok_or_else(|| self.gap(frame))?;
        self.cut_torn()?;
        self.files.append(frame.segment, end, frame.bytes)?;
        // A crash here leaves a torn tail or a frame ahead of the state: cut, or compared.
        let end = end + frame.bytes.len() as u64;
        self.newest = Some(Newest {
            segment: frame.segment,
            end,
            torn: 0,
            unsynced: true,
        });
        self.tail = Some(tail);
        Ok(Wrote::Written)
    }

    /// A head's beginning is at or behind the end of the book.
    fn expect_newest(&self, segment: u64, frame_no: u64) -> Result<(), EngineError> {
        match self.newest {
            Some(newest) if newest.segment > segment => Err(EngineError::FrameGap {
                segment,
                last: self.tail.map(|tail| tail.frame_no),
                found: frame_no,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// A frame is written at the end of the book, in a row, or not at all.
    fn expect_next(&self, frame: SegmentFrame<'_>, end: u64) -> Result<(), EngineError> {
        let next = self
            .tail
            .is_none_or(|tail| frame.frame_no == tail.frame_no + 1);
        let newest = self
            .newest
            .is_none_or(|newest| frame.segment >= newest.segment);
        if next && newest && frame.offset == end {
            Ok(())
        } else {
            Err(self.gap(frame))
        }
    }

    fn gap(&self, frame: SegmentFrame<'_>) -> EngineError {
        EngineError::FrameGap {
            segment: frame.segment,
            last: self.tail.map(|tail| tail.frame_no),
            found: frame.frame_no,
        }
    }

    /// Closes the newest file, synced, and begins another.
    fn roll(&mut self, segment: u64) -> Result<(), EngineError> {
        self.cut_torn()?;
        self.sync()?;
        // A crash here leaves the next file out; the replay makes it.
        self.files.create(segment)?;
        // A crash here leaves it empty; the replay fills it.
        if let Some(newest) = self.newest.replace(Newest::empty(segment)) {
            self.closed.insert(newest.segment, newest.end);
        }
        Ok(())
    }

    fn cut_torn(&mut self) -> Result<(), EngineError> {
        let Some(newest) = self.newest.as_mut().filter(|newest| newest.torn > 0) else {
            return Ok(());
        };
        let Newest {
            segment,
            end,
            torn,
            unsynced: _,
        } = *newest;
        tracing::warn!(segment, end, torn, "torn tail of the book cut off");
        self.files.cut(segment, end)?;
        newest.torn = 0;
        Ok(())
    }
}

impl Newest {
    const fn whole(segment: u64, end: u64) -> Self {
        Self {
            segment,
            end,
            torn: 0,
            unsynced: false,
        }
    }

    const fn empty(segment: u64) -> Self {
        Self {
            segment,
            end: 0,
            torn: 0,
            unsynced: true,
        }
    }
}
