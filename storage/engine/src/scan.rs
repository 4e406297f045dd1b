//! Finds the last whole frame of a segment, with the scanner that the verifier uses.

use tollbook_audit::frame::{FRAME_BYTES_MAX, FrameView, next_frame};

use crate::engine::SegmentTail;
use crate::error::EngineError;
use crate::limits::SCAN_CHUNK_BYTES;

/// Where a segment's whole frames end, and the last of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) offset: u64,
    pub(crate) last: Option<SegmentTail>,
}

/// Walks the whole frames of a segment of `length` bytes, of which `read` gives up to so many from
/// an offset on. What follows the last of them is not looked at: a torn write can leave anything.
pub(crate) fn end_of(
    read: impl Fn(u64, usize) -> Result<Vec<u8>, EngineError>,
    segment: u64,
    length: u64,
) -> Result<End, EngineError> {
    let mut end = End {
        offset: 0,
        last: None,
    };
    while end.offset < length {
        let chunk = read(end.offset, SCAN_CHUNK_BYTES)?;
        let mut rest = chunk.as_slice();
        while let Ok(Some(frame)) = next_frame(rest) {
            end.last = Some(tail(segment, &frame));
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
        }
        let walked = chunk.len() - rest.len();
        end.offset += walked as u64;
        // A frame is shorter than a chunk: one that does not begin a whole frame here never will.
        if walked == 0 {
            break;
        }
    }
    Ok(end)
}

/// The number of the whole frame that covers the byte `at`, if one does.
pub(crate) fn frame_over(
    read: impl Fn(u64, usize) -> Result<Vec<u8>, EngineError>,
    segment: u64,
    at: u64,
) -> Result<Option<u64>, EngineError> {
    // The whole frames that end at or before it end where the one in question begins.
    let begin = end_of(
        |offset, length| {
            let before = usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
            read(offset, length.min(before))
        },
        segment,
        at,
    )?;
    let bytes = read(begin.offset, FRAME_BYTES_MAX)?;
    let frame = next_frame(&bytes).ok().flatten();
    Ok(frame.map(|frame| frame.header.frame_no))
}

/// The frame that these bytes are, if they are one whole frame and nothing else.
pub(crate) fn whole_frame(segment: u64, bytes: &[u8]) -> Option<SegmentTail> {
    let frame = next_frame(bytes).ok()??;
    (frame.bytes.len() == bytes.len()).then(|| tail(segment, &frame))
}

fn tail(segment: u64, frame: &FrameView<'_>) -> SegmentTail {
    SegmentTail {
        segment,
        frame_no: frame.header.frame_no,
        next_record: frame
            .header
            .first_index
            .saturating_add(u64::from(frame.header.count)),
        hash: frame.hash,
    }
}

const _: () = assert!(FRAME_BYTES_MAX < SCAN_CHUNK_BYTES);
