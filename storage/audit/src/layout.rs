//! Names of the files in a log directory.

use alloc::format;
use alloc::string::String;

/// Folder of the segments.
pub const SEGMENTS: &str = "seg";
/// Folder of the signed checkpoints, one file a size.
pub const CHECKPOINTS: &str = "checkpoints";
/// The newest signed checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The auditor's trust file, where none is named.
pub const TRUST: &str = "trust.policy";

const SEGMENT_SUFFIX: &str = ".tbs";
const NOTE_SUFFIX: &str = ".note";

/// Name of the segment whose first record has this index.
#[must_use]
pub fn segment_name(first_index: u64) -> String {
    format!("{first_index:020}{SEGMENT_SUFFIX}")
}

/// First index of a segment by its name; `None` for any other name.
#[must_use]
pub fn parse_segment_name(name: &str) -> Option<u64> {
    let first_index = name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()?;
    (segment_name(first_index) == name).then_some(first_index)
}

/// Name of the signed checkpoint of this size.
#[must_use]
pub fn note_name(size: u64) -> String {
    format!("{size}{NOTE_SUFFIX}")
}

/// Size of a checkpoint by its file's name; `None` for any other name.
#[must_use]
pub fn parse_note_name(name: &str) -> Option<u64> {
    let size = name.strip_suffix(NOTE_SUFFIX)?.parse().ok()?;
    (note_name(size) == name).then_some(size)
}
