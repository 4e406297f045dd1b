//! The book's files: `<first_index:020>.tbs`, one after another, only the newest still growing.
//!
//! Frames come from the one that applies entries, live and at recovery alike, and each says where
//! it belongs. A frame that the book holds must come again as it was; a frame at its end is
//! written. The logic stands here once; [`Files`] is what differs between a directory and the twin.

use std::collections::BTreeMap;

use crate::engine::{SegmentFrame, SegmentTail, Wrote};
use crate::error::EngineError;
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
}

impl<F: Files> Segments<F> {
    /// Finds the end of the book. Changes nothing: a torn tail is cut by the first write, so that
    /// who looks at the tail and refuses to go on leaves everything as it was.
    pub(crate) fn open(files: F) -> Result<Self, EngineError> {
        let mut closed = files.list()?;
        let Some((segment, length)) = closed.pop_last() else {
            return Ok(Self {
                files,
                closed,
                newest: None,
                tail: None,
            });
        };
        let end = scan::end_of(&files, segment, length)?;
        let mut tail = end.last;
        if tail.is_none()
            && let Some((&before, &length)) = closed.last_key_value()
        {
            // A crash left the newest file without a whole frame: the book ends before it.
            let end = scan::end_of(&files, before, length)?;
            if end.offset != length {
                return Err(EngineError::SegmentDamaged {
                    segment: before,
                    offset: end.offset,
                });
            }
            tail = end.last;
        }
        let torn = length - end.offset;
        let newest = Some(Newest {
            segment,
            end: end.offset,
            torn,
            unsynced: true,
        });
        Ok(Self {
            files,
            closed,
            newest,
            tail,
        })
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
    const fn empty(segment: u64) -> Self {
        Self {
            segment,
            end: 0,
            torn: 0,
            unsynced: true,
        }
    }
}
