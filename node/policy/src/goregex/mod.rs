//! Regular expressions as Go 1.27's `regexp` reads them: its grammar, its ASCII classes, its
//! tables of Unicode, its limits. What it refuses is refused, and so is what we do not support:
//! no pattern is ever handed to another parser.
//!
//! Beyond Go's own refusals, these are refused, all when the pattern is compiled: what goes over
//! [`Limits`], and half a surrogate pair after `^` ([`GoRegexErrorKind::SurrogateAlone`]). What is
//! accepted has Go's verdict on every text. Texts are `str`, so that bytes which are not UTF-8,
//! where Go has rules of its own, cannot occur.
//!
//! No engine here backtracks: a search takes time in proportion to the text, at worst times the
//! states of the pattern, and without an answer ends after [`SEARCH_STEPS_MAX`].

mod class;
mod cursor;
mod engine;
mod error;
mod parse;
mod piece;
mod set;
mod shape;
mod unicode;
mod vm;

#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use self::class::Library;
use self::engine::Engine;
pub use self::error::{GoRegexError, GoRegexErrorKind};
pub(crate) use self::shape::{Hole, Shape};

/// The version of Unicode in `\p{…}` and in letters that are the same but for their case.
pub const UNICODE_VERSION: &str = "17.0.0";

/// How long a pattern may be.
pub const PATTERN_BYTES_MAX: usize = 4_096;
/// How large each compiled automaton of a pattern may be.
pub const NFA_BYTES_MAX: usize = 1 << 20;
/// How large a table of all states may be; a pattern that needs a larger one does without.
pub const DFA_BYTES_MAX: usize = 256 << 10;
/// How much memory may be used while such a table is made.
pub const DETERMINIZE_BYTES_MAX: usize = 256 << 10;
/// How many steps making such a table may take: entries times ways to get there, and states times
/// classes of bytes.
pub const TABLE_STEPS_MAX: usize = 8 << 20;
/// How many ways a match may have to begin for them to be looked for first.
pub const SKIP_BEGINNINGS_MAX: usize = 128;
/// How many bytes those may have together.
pub const SKIP_BYTES_MAX: usize = 1 << 10;
/// How large the cache of states may be that a search without a table fills.
pub const CACHE_BYTES_MAX: usize = 2 << 20;
/// How many steps it may take to fill, counted as for the table.
pub const LAZY_STEPS_MAX: usize = 24 << 20;
/// How many steps one search may take without a table: the bytes of the text, times the states of
/// the pattern that a match could then be in. Over it, the search has no answer.
pub const SEARCH_STEPS_MAX: usize = 12 << 20;
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
    /// See [`TABLE_STEPS_MAX`].
    pub table_steps_max: usize,
    /// See [`CACHE_BYTES_MAX`].
    pub cache_bytes_max: usize,
    /// See [`LAZY_STEPS_MAX`].
    pub lazy_steps_max: usize,
    /// See [`SEARCH_STEPS_MAX`].
    pub search_steps_max: usize,
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
            table_steps_max: TABLE_STEPS_MAX,
            cache_bytes_max: CACHE_BYTES_MAX,
            lazy_steps_max: LAZY_STEPS_MAX,
            search_steps_max: SEARCH_STEPS_MAX,
            class_ranges_max: CLASS_RANGES_MAX,
            depth_max: DEPTH_MAX,
        }
    }
}

/// Compiles patterns, and counts what that costs.
#[derive(Debug)]
pub struct Compiler {
    limits: Limits,
    library: Library,
    automaton_bytes: usize,
}

impl Compiler {
    /// Every pattern by itself will be held to these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            library: Library::new(unicode::GO),
            automaton_bytes: 0,
        }
    }

    /// Compiles a pattern, in bounded time and memory.
    pub fn compile(&mut self, pattern: &str) -> Result<GoRegex, GoRegexError> {
        let max = self.limits.pattern_bytes_max;
        if pattern.len() > max {
            return Err(GoRegexError {
                at: max,
                kind: GoRegexErrorKind::PatternTooLong { max },
            });
        }
        let hir = parse::parse(pattern, &self.limits, &mut self.library)?;
        let engine = Engine::new(&hir, &self.limits, &mut self.automaton_bytes)?;
        Ok(GoRegex {
            pattern: pattern.to_owned(),
            engine,
        })
    }

    /// How many bytes of classes and automata all patterns so far have made, kept or not, those
    /// that were refused too: a pattern of a few bytes can make megabytes before it turns out to
    /// be too large. Time grows with it.
    pub fn made_bytes(&self) -> usize {
        self.automaton_bytes
            .saturating_add(self.library.made_bytes())
    }
}

/// A compiled pattern. Safe to use from many threads at once.
pub struct GoRegex {
    pattern: String,
    engine: Engine,
}

impl GoRegex {
    /// Compiles one pattern.
    pub fn new(pattern: &str, limits: &Limits) -> Result<Self, GoRegexError> {
        Compiler::new(limits.clone()).compile(pattern)
    }

    /// Whether the text has a match anywhere, as Go's `MatchString` says; `None` if finding out
    /// takes over [`Limits::search_steps_max`], which no pattern with a table can. The same answer
    /// for the same pattern, limits and text, always.
    pub fn is_match(&self, text: &str) -> Option<bool> {
        self.engine.search(text)
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether texts are searched with a table of all states. Without, a search is slower.
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
