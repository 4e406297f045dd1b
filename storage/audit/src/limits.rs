//! Every bound of the format, by name. `FORMAT.md` repeats them; a change is a new version.

/// Longest record. What one record's fields may take adds up to less, so the encoder cannot pass
/// it.
pub const RECORD_BYTES_MAX: usize = 32 * 1024;

/// Longest body of a frame. The next record that would pass it begins a new frame.
pub const FRAME_BODY_BYTES_MAX: usize = 65_536;

/// A segment that a frame would take over this is closed before that frame.
pub const SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A segment is closed before a frame that is this much younger than the segment's first.
pub const SEGMENT_SPAN_US_MAX: u64 = 3_600_000_000;

/// Largest integer that is written as a JSON number; a larger one is a string of digits.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Ids, hashes, statuses, reasons: encoded bytes.
pub const ID_BYTES_MAX: usize = 128;
/// Windows and scopes: encoded bytes.
pub const WINDOW_BYTES_MAX: usize = 16;
/// Names and labels that people choose, tools, methods: encoded bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Rule, pointer: encoded bytes.
pub const POINTER_BYTES_MAX: usize = 2_048;
/// The policy's `on_deny` message; origins, keys, note bodies: encoded bytes.
pub const TEXT_BYTES_MAX: usize = 2_048;
/// One top-level argument key: encoded bytes.
pub const ARGUMENT_KEY_BYTES_MAX: usize = 64;

/// Argument keys and commitments that one intent names; the rest is a count.
pub const ARGUMENTS_MAX: usize = 64;
/// Reservations or refunds that one record names; the rest is a count.
pub const RESERVATIONS_MAX: usize = 24;
/// Members that one record names; the rest is a count.
pub const MEMBERS_MAX: usize = 32;

/// Longest signed note that is read. C2SP asks for at least 16 signatures.
pub const NOTE_BYTES_MAX: usize = 65_536;
/// Signature lines in a note.
pub const SIGNATURES_MAX: usize = 64;
/// Longest origin or key name.
pub const ORIGIN_BYTES_MAX: usize = 255;
/// Longest trust file.
pub const TRUST_BYTES_MAX: usize = 256 * 1024;
/// Logs, witnesses and groups in a trust file, each.
pub const TRUST_ENTRIES_MAX: usize = 64;

/// Open calls that a report names; it counts all.
pub const OPEN_NAMED_MAX: usize = 256;
