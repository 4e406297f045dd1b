//! Which automaton searches: a complete table of states, one that is made as it is needed, or the
//! one that counts its steps. What is no part of any match is skipped first.
//!
//! Each of them either has the answer, which is a fact about the pattern and the text, or none: two
//! that have one cannot differ. So that the same searches end without one on every node, what is
//! kept from one search to the next is used only where the answer is sure in any case.
//!
//! Only forwards: whether there is a match is known where the first one ends, and an automaton
//! that runs backwards to where it began would take most of the memory.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, Input, MatchKind, hybrid};
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Dot, Hir, Look, Repetition};

use super::error::{GoRegexError, GoRegexErrorKind};
use super::vm::{self, Threads};
use super::{Limits, SKIP_BEGINNINGS_MAX, SKIP_BYTES_MAX};

/// What a byte of a beginning counts as: a state of a table, most of whose classes are unused.
const SKIP_MEMORY_A_BYTE: usize = 256;
/// Shorter texts are searched before a prefilter is set up.
const SKIP_TEXT_BYTES_MIN: usize = 64;
/// How much larger a cache that is kept for the next search may be than one that is empty.
const CACHE_KEPT_BYTES_MAX: usize = 256 << 10;
/// So many steps for a table count as a byte made, when what many patterns cost is counted.
const STEPS_A_BYTE: usize = 32;
/// What a state of the lazy table takes beside its row, at the least.
const LAZY_STATE_BYTES_MIN: usize = 64;

/// Working memory that searches at the same time take turns in.
type Caches<C> = Pool<C, Box<dyn Fn() -> C + Send + Sync + UnwindSafe + RefUnwindSafe>>;

/// A compiled expression.
pub(super) struct Engine {
    nfa: NFA,
    /// Whether a search begins at its first byte only: see [`begin_at_characters`].
    anchored: Anchored,
    /// Finds where a match may begin at the earliest.
    skip: Option<Prefilter>,
    searcher: Searcher,
    steps_max: usize,
}

/// What searches.
enum Searcher {
    /// Takes the same time for every byte of any text, and always has an answer.
    Table(Box<dense::DFA<Vec<u32>>>),
    /// For patterns whose table would be too large. Without an answer from the lazy table, the
    /// threads are followed one by one.
    Threads {
        lazy: Option<Box<Lazy>>,
        threads: Caches<Threads>,
        /// What the threads cost for a byte, at most.
        cost: usize,
    },
}

/// The table that is made as it is needed, and gives up when it is full.
struct Lazy {
    dfa: hybrid::dfa::DFA,
    caches: Caches<hybrid::dfa::Cache>,
    /// How large a cache may be that is kept for the next search.
    kept_bytes_max: usize,
}

impl Engine {
    /// Adds the bytes of all automata that were made to `made`, also of those that were too large.
    pub(super) fn new(hir: &Hir, limits: &Limits, made: &mut usize) -> Result<Self, GoRegexError> {
        let skip = if hir.properties().look_set_prefix().contains(Look::Start) {
            // Looking for how a match begins is no use where it can begin in one place only.
            None
        } else {
            skip(hir, made)
        };
        let (nfa, anchored) = if hir.properties().look_set().contains(Look::WordAsciiNegate) {
            (nfa(&begin_at_characters(hir), limits, made)?, Anchored::Yes)
        } else {
            (nfa(hir, limits, made)?, Anchored::No)
        };
        let cost = vm::cost(&nfa);
        let searcher = match table(&nfa, anchored, cost, limits, made) {
            Some(table) => Searcher::Table(Box::new(table)),
            None => {
                let model = nfa.clone();
                let threads = Pool::new(Box::new(move || Threads::new(&model)) as Box<_>);
                Searcher::Threads {
                    lazy: lazy(nfa.clone(), limits).map(Box::new),
                    threads,
                    cost,
                }
            }
        };
        Ok(Self {
            nfa,
            anchored,
            skip,
            searcher,
            steps_max: limits.search_steps_max,
        })
    }

    /// Whether the text has a match; `None` if finding out takes over the limit of steps. The same
    /// answer for the same pattern and text, whatever was searched before.
    pub(super) fn search(&self, text: &str) -> Option<bool> {
        let from = match &self.skip {
            Some(skip) if text.len() >= SKIP_TEXT_BYTES_MIN => {
                match skip.find(text.as_bytes(), (0..text.len()).into()) {
                    Some(found) => found.start,
                    None => return Some(false),
                }
            }
            _ => 0,
        };
        let input = Input::new(text)
            .range(from..)
            .anchored(self.anchored)
            .earliest(true);
        let (lazy, threads, cost) = match &self.searcher {
            Searcher::Table(table) => {
                let found = table.try_search_fwd(&input);
                return found.ok().map(|found| found.is_some());
            }
            Searcher::Threads {
                lazy,
                threads,
                cost,
            } => (lazy, threads, *cost),
        };
        if let Some(Lazy {
            dfa,
            caches,
            kept_bytes_max,
        }) = lazy.as_deref()
        {
            let mut cache = caches.get();
            // Where the threads surely have an answer, what earlier searches left in the cache
            // only saves time. Elsewhere it would decide whether there is an answer. Made anew,
            // for a reset keeps what lists had grown to and counts that, up to a panic.
            if cost.saturating_mul(text.len() + 1) > self.steps_max {
                *cache = dfa.create_cache();
            }
            let found = dfa.try_search_fwd(&mut cache, &input);
            // Left full, it would make every later search give up too: one text made for that
            // would slow down all that follow it. And large ones are not kept for every pattern.
            if found.is_err() || cache.memory_usage() > *kept_bytes_max {
                *cache = dfa.create_cache();
            }
            if let Ok(found) = found {
                return Some(found.is_some());
            }
        }
        let mut left = self.steps_max;
        vm::search(
            &self.nfa,
            &mut threads.get(),
            (self.start(), from),
            text.as_bytes(),
            &mut left,
        )
    }

    fn start(&self) -> StateID {
        match self.anchored {
            Anchored::No => self.nfa.start_unanchored(),
            Anchored::Yes | Anchored::Pattern(_) => self.nfa.start_anchored(),
        }
    }

    pub(super) fn has_table(&self) -> bool {
        matches!(self.searcher, Searcher::Table(_))
    }

    pub(super) fn size_bytes(&self) -> usize {
        let table = match &self.searcher {
            Searcher::Table(table) => table.memory_usage(),
            Searcher::Threads { .. } => 0,
        };
        let skip = self.skip.as_ref().map_or(0, Prefilter::memory_usage);
        table + skip + self.nfa.memory_usage()
    }
}

/// What finds the beginnings that a match can have. A few letters of either case can stand for
/// hundreds of them, so they are counted: not the memory that comes of them, which differs between
/// processors, and with it whether a policy loads would.
fn skip(hir: &Hir, made: &mut usize) -> Option<Prefilter> {
    let mut beginnings = Extractor::new().kind(ExtractKind::Prefix).extract(hir);
    beginnings.optimize_for_prefix_by_preference();
    let beginnings = beginnings.literals()?;
    let bytes: usize = beginnings.iter().map(|one| one.as_bytes().len()).sum();
    if beginnings.len() > SKIP_BEGINNINGS_MAX || bytes > SKIP_BYTES_MAX {
        return None;
    }
    *made = made.saturating_add(bytes.saturating_mul(SKIP_MEMORY_A_BYTE));
    Prefilter::new(MatchKind::LeftmostFirst, beginnings)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("has_table", &self.has_table())
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

/// The expression behind any number of characters. An automaton that may begin at every byte would
/// let `\B` hold between the bytes of a character, where Go never looks.
fn begin_at_characters(hir: &Hir) -> Hir {
    let any = Hir::repetition(Repetition {
        min: 0,
        max: None,
        greedy: false,
        sub: Box::new(Hir::dot(Dot::AnyChar)),
    });
    Hir::concat([any, hir.clone()].into())
}

pub(super) fn nfa(hir: &Hir, limits: &Limits, made: &mut usize) -> Result<NFA, GoRegexError> {
    // While it is made it has states that the finished automaton does without.
    let max = limits.nfa_bytes_max.saturating_mul(2);
    let config = thompson::Config::new()
        .which_captures(WhichCaptures::None)
        // Only texts are searched, and no match begins inside a character.
        .utf8(false)
        .nfa_size_limit(Some(max));
    let nfa = thompson::Compiler::new()
        .configure(config)
        .build_from_hir(hir);
    let bytes = nfa.as_ref().map_or(max, NFA::memory_usage);
    *made = made.saturating_add(bytes);
    // Every error here is a size: of the automaton, or of the numbers for its states.
    let nfa = nfa.ok().filter(|_| bytes <= limits.nfa_bytes_max);
    nfa.ok_or(GoRegexError {
        at: 0,
        kind: GoRegexErrorKind::SizeLimit {
            max: limits.nfa_bytes_max,
        },
    })
}

/// The table of all states, unless it would be too large or take too long to make.
fn table(
    nfa: &NFA,
    anchored: Anchored,
    cost: usize,
    limits: &Limits,
    made: &mut usize,
) -> Option<dense::DFA<Vec<u32>>> {
    // Each entry of the table takes the ways between states that no byte takes, at most all.
    let entries = limits.table_steps_max / vm::detours(nfa).max(1);
    let bytes_max = limits
        .dfa_bytes_max
        .min(entries.saturating_mul(size_of::<u32>()));
    // And it takes the states that a row stands for, for each class of bytes once.
    let columns = nfa.byte_classes().alphabet_len();
    let sets_bytes_max = limits
        .determinize_bytes_max
        .min(limits.table_steps_max / columns.max(1));
    let start = match anchored {
        Anchored::No => StartKind::Unanchored,
        Anchored::Yes | Anchored::Pattern(_) => StartKind::Anchored,
    };
    let config = dense::Config::new()
        .start_kind(start)
        .dfa_size_limit(Some(bytes_max))
        .determinize_size_limit(Some(sets_bytes_max));
    let table = dense::Builder::new()
        .configure(config)
        .build_from_nfa(nfa)
        .ok();
    let bytes = table
        .as_ref()
        .map_or(limits.dfa_bytes_max, dense::DFA::memory_usage);
    // A small table may take as long to make as a large one, but none takes longer.
    let steps = (bytes / size_of::<u32>()).saturating_mul(cost);
    let worth = bytes.max((steps / STEPS_A_BYTE).min(limits.dfa_bytes_max));
    *made = made.saturating_add(worth);
    table
}

/// The table that is made as it is needed, and gives up when it is full.
fn lazy(nfa: NFA, limits: &Limits) -> Option<Lazy> {
    let classes = nfa.byte_classes();
    let row = size_of::<u32>().checked_shl(u32::try_from(classes.stride2()).ok()?)?;
    // As for the whole table: each entry takes the ways that no byte takes, and the states that
    // its row stands for.
    let steps = limits.lazy_steps_max / classes.alphabet_len().max(1);
    let rows = steps / vm::detours(&nfa).max(1);
    if rows == 0 {
        return None;
    }
    let capacity = rows.saturating_mul(row + LAZY_STATE_BYTES_MIN).min(steps);
    let config = hybrid::dfa::Config::new()
        // A large pattern gets room for a few states in any case.
        .cache_capacity(capacity.min(limits.cache_bytes_max))
        .skip_cache_capacity_check(true)
        // It is never cleared: full, it gives up.
        .minimum_cache_clear_count(Some(0));
    let dfa = hybrid::dfa::Builder::new()
        .configure(config)
        .build_from_nfa(nfa)
        .ok()?;
    let kept_bytes_max = dfa.create_cache().memory_usage() + CACHE_KEPT_BYTES_MAX;
    let model = dfa.clone();
    let caches = Pool::new(Box::new(move || model.create_cache()) as Box<_>);
    Some(Lazy {
        dfa,
        caches,
        kept_bytes_max,
    })
}
