//! A chain of real frames.

use std::collections::BTreeMap;

use tollbook_audit::Frame;
use tollbook_audit::frame::next_frame;
use tollbook_audit::head::{EntryMeta, Head};
use tollbook_audit::record::Micros;
use tollbook_storage::{ChainPlace, HeadPlace, SegmentFrame};

pub(crate) struct Frames(Vec<Frame>);

impl Frames {
    /// One record of `bytes` bytes each, all in one segment.
    pub(crate) fn new(count: usize, bytes: usize) -> Self {
        Self::with_cuts(count, bytes, &[])
    }

    /// The frames numbered in `cuts` begin a segment.
    pub(crate) fn with_cuts(count: usize, bytes: usize, cuts: &[usize]) -> Self {
        let mut epoch = 0;
        let mut entry = |frame: usize| {
            epoch += u32::from(cuts.contains(&frame));
            EntryMeta {
                term: 1,
                log_index: frame as u64,
                config_epoch: epoch,
                node: 1,
                wall_us: Micros(frame as u64 + 1),
            }
        };
        let record = vec![b'x'; bytes];
        let (mut head, mut frames) = Head::begin("test", &entry(0), std::slice::from_ref(&record));
        for frame in 1..count {
            frames.extend(head.append(&entry(frame), std::slice::from_ref(&record)));
        }
        Self(frames)
    }

    pub(crate) fn get(&self, frame: usize) -> SegmentFrame<'_> {
        let frame = &self.0[frame];
        SegmentFrame {
            segment: frame.segment_first_index,
            offset: frame.segment_offset,
            frame_no: frame.frame_no,
            bytes: &frame.bytes,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = SegmentFrame<'_>> {
        (0..self.0.len()).map(|frame| self.get(frame))
    }

    /// The first so many frames as a book holds them.
    pub(crate) fn book(&self, count: usize) -> BTreeMap<u64, Vec<u8>> {
        let mut book: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for frame in self.0.iter().take(count) {
            let segment = book.entry(frame.segment_first_index).or_default();
            segment.extend_from_slice(&frame.bytes);
        }
        book
    }

    /// The place behind the first so many frames.
    pub(crate) fn place(&self, count: usize) -> ChainPlace {
        let last = &self.0[count - 1];
        let header = next_frame(&last.bytes).unwrap().unwrap().header;
        ChainPlace {
            log_id: header.log_id,
            frames: last.frame_no + 1,
            records: last.first_index + u64::from(last.count),
            hash: last.hash,
        }
    }

    /// The head behind the first so many frames.
    pub(crate) fn head(&self, count: usize) -> HeadPlace {
        let last = &self.0[count - 1];
        HeadPlace {
            segment: last.segment_first_index,
            bytes: last.segment_offset + last.bytes.len() as u64,
            hash: last.hash,
        }
    }
}
