//! Regular expressions as Go 1.27's `regexp` reads them: its grammar, its ASCII classes, its
//! tables of Unicode, its limits. What it refuses is refused, and so is what we do not support:
//! no pattern is ever handed to another parser.
//!
//! Beyond Go's own refusals, these are refused, all when the pattern is compiled: what goes over
//! [`Limits`], and half a surrogate pair alone ([`GoRegexErrorKind::SurrogateAlone`]). What is
//! accepted has Go's verdict on every text. Texts are `str`, so that bytes which are not UTF-8,
//! where Go has rules of its own, cannot occur.
//!
//! No engine here backtracks: a search takes time in proportion to the text, at worst times the
//! states of the pattern.

mod class;
mod cursor;
mod engine;
mod error;
mod parse;
mod piece;
mod set;
mod unicode;

#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use self::engine::Engine;
pub use self::error::{GoRegexError, GoRegexErrorKind};

/// The version of Unicode in `\p{…}` and in letters that are the same but for their case.
pub const UNICODE_VERSION: &str = "17.0.0";

/// How long a pattern may be.
pub const PATTERN_BYTES_MAX: usize = 4_096;
/// How large each compiled automaton of a pattern may be.
pub const NFA_BYTES_MAX: usize = 1 << 20;
/// How large a table of all states may be; a pattern that needs a larger one does without.
pub const DFA_BYTES_MAX: usize = 256 << 10;
/// How much memory may be used while such a table is made.
pub const DETERMINIZE_BYTES_MAX: usize = 1 << 20;
/// How large the cache of states may be that a search in a long text fills.
pub const CACHE_BYTES_MAX: usize = 1 << 20;
/// How many ranges of characters the classes of a pattern may have, all together.
pub const CLASS_RANGES_MAX: usize = 32_768;
/// How deep repetitions and choices may nest. The libraries below recurse that far.
pub const DEPTH_MAX: u32 = 250;

/// What a pattern may cost. Going over one of these is an error, but for the DFA's: without a DFA
/// a pattern is only slower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`PATTERN_BYTES_MAX`].
    pub pattern_bytes_max: usize,
    /// See [`NFA_BYTES_MAX`].
    pub nfa_bytes_max: usize,
    /// See [`DFA_BYTES_MAX`].
    pub dfa_bytes_max: usize,
    /// See [`DETERMINIZE_BYTES_MAX`].
    pub determinize_bytes_max: usize,
    /// See [`CACHE_BYTES_MAX`].
    pub cache_bytes_max: usize,
    /// See [`CLASS_RANGES_MAX`].
    pub class_ranges_max: usize,
    /// See [`DEPTH_MAX`].
    pub depth_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pattern_bytes_max: PATTERN_BYTES_MAX,
            nfa_bytes_max: NFA_BYTES_MAX,
            dfa_bytes_max: DFA_BYTES_MAX,
            determinize_bytes_max: DETERMINIZE_BYTES_MAX,
            cache_bytes_max: CACHE_BYTES_MAX,
            class_ranges_max: CLASS_RANGES_MAX,
            depth_max: DEPTH_MAX,
        }
    }
}

/// A compiled pattern. Safe to use from many threads at once.
pub struct GoRegex {
    pattern: String,
    engine: Engine,
}

impl GoRegex {
    /// Compiles a pattern, in bounded time and memory.
    pub fn new(pattern: &str, limits: &Limits) -> Result<Self, GoRegexError> {
        if pattern.len() > limits.pattern_bytes_max {
            let kind = GoRegexErrorKind::PatternTooLong {
                max: limits.pattern_bytes_max,
            };
            return Err(GoRegexError {
                at: limits.pattern_bytes_max,
                kind,
            });
        }
        let engine = Engine::new(&parse::parse(pattern, limits)?, limits)?;
        Ok(Self {
            pattern: pattern.to_owned(),
            engine,
        })
    }

    /// Whether the text has a match anywhere, as Go's `MatchString` says.
    pub fn is_match(&self, text: &str) -> bool {
        self.engine.is_match(text)
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether short texts are searched with a table of all states. Without, a search is slower.
    pub fn has_dfa(&self) -> bool {
        self.engine.has_table()
    }

    /// How much memory the compiled pattern takes, without the caches that searches fill.
    pub fn size_bytes(&self) -> usize {
        self.pattern.len() + self.engine.size_bytes()
    }
}

impl fmt::Debug for GoRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GoRegex").field(&self.pattern).finish()
    }
}
