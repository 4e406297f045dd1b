//! What a policy may be at most. Each limit has a finding of its own.

/// Bytes of a policy's text.
pub const POLICY_BYTES: usize = 1 << 20;
/// Values and keys of a policy, all together.
pub const POLICY_NODES: usize = 100_000;
/// Arrays and objects inside one another.
pub const POLICY_DEPTH: u32 = 64;
/// Entries of `tools`.
pub const TOOLS: usize = 4_096;
/// Rules of `require` and `deny_if`, all together.
pub const RULES: usize = 10_000;
/// Conditions of all rules together.
pub const CONDITIONS: usize = 20_000;
/// Limits that one call can meet, its tool's own and those of `*`: as many as a record can name.
pub const LIMITS_PER_CALL: usize = 24;
/// Bytes of the name of a tool, method or top-level argument.
pub const NAME_BYTES: usize = 256;
/// Bytes of a counter's name.
pub const COUNTER_BYTES: usize = 128;
/// Bytes of an `on_deny` or `deny` message.
pub const MESSAGE_BYTES: usize = 1_024;
/// Bytes of a path.
pub const PATH_BYTES: usize = 512;
/// Steps of a path.
pub const PATH_STEPS: usize = 64;
/// Bytes of one pattern.
pub const PATTERN_BYTES: usize = crate::goregex::PATTERN_BYTES_MAX;
/// Bytes that compiling all patterns makes, kept or not: see [`crate::goregex::Compiler`].
pub const AUTOMATON_BYTES: usize = 32 << 20;
/// Findings that are listed before the rest becomes one.
pub const FINDINGS: usize = 200;
/// Bytes of text that a pattern searches; a longer text is indeterminate, as is one that takes more
/// than [`crate::goregex::SEARCH_STEPS_MAX`].
pub const REGEX_TEXT_BYTES: usize = 1 << 20;
/// Bytes of a text that `url_in` or `path_in` judges; a longer text is indeterminate.
pub const PLACE_TEXT_BYTES: usize = 64 << 10;
