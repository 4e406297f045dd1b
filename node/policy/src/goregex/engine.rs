//! Which automaton searches: a complete table for short texts, a lazy one with prefilters for long.
//!
//! Only forwards: whether there is a match is known where the first one ends, and an automaton
//! that runs backwards to where it began would take most of the memory.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::look::Look;
use regex_automata::util::pool::Pool;
use regex_automata::util::prefilter::Prefilter;
use regex_automata::{Input, MatchKind, hybrid};
use regex_syntax::hir::Hir;

use super::Limits;
use super::error::{GoRegexError, GoRegexErrorKind};

/// Up to this length the table of all states is the faster one: above, a prefilter wins.
const DFA_TEXT_BYTES_MAX: usize = 512;
/// Making the table takes time in proportion to the states of the NFA, for each of its own states.
const DFA_NFA_STATES_MAX: usize = 2_000;
/// The lazy table gives up when it was filled this often and each state then served fewer than
/// so many bytes: making states would be slower than doing without.
const LAZY_FILLED_MAX: usize = 3;
const LAZY_BYTES_A_STATE_MIN: usize = 10;

/// Working memory that searches at the same time take turns in.
type Caches<C> = Pool<C, Box<dyn Fn() -> C + Send + Sync + UnwindSafe + RefUnwindSafe>>;

/// A compiled expression. Each engine stands in for the one before it where that has no answer.
pub(super) struct Engine {
    table: Option<dense::DFA<Vec<u32>>>,
    lazy: Option<(hybrid::dfa::DFA, Caches<hybrid::dfa::Cache>)>,
    /// Always has an answer, in time linear in the text for all its states together.
    vm: (PikeVM, Caches<pikevm::Cache>),
    /// A search may end where the first match ends. Not with `\B`, which by bytes holds inside a
    /// character too: such an empty match is passed over by searching on after it, and would take
    /// a match with it that begins at that very character and ends later.
    earliest: bool,
}

impl Engine {
    pub(super) fn new(hir: &Hir, limits: &Limits) -> Result<Self, GoRegexError> {
        let kind = GoRegexErrorKind::SizeLimit {
            max: limits.nfa_bytes_max,
        };
        let too_large = GoRegexError { at: 0, kind };
        // While it is made it has states that the finished automaton does without.
        let config = thompson::Config::new()
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(limits.nfa_bytes_max.saturating_mul(2)));
        // Every error here is a size: of the automaton, or of the numbers for its states.
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(hir);
        let nfa = nfa.map_err(|_| too_large)?;
        if nfa.memory_usage() > limits.nfa_bytes_max {
            return Err(too_large);
        }
        let earliest = !nfa.look_set_any().contains(Look::WordAsciiNegate);
        let vm = PikeVM::new_from_nfa(nfa.clone()).map_err(|_| too_large)?;
        let cache = vm.clone();
        let caches = Pool::new(Box::new(move || cache.create_cache()) as Box<_>);
        Ok(Self {
            table: table(&nfa, limits),
            lazy: lazy(nfa, hir, limits),
            vm: (vm, caches),
            earliest,
        })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        let input = Input::new(text).earliest(self.earliest);
        if let Some(table) = self
            .table
            .as_ref()
            .filter(|_| text.len() <= DFA_TEXT_BYTES_MAX)
            && let Ok(found) = table.try_search_fwd(&input)
        {
            return found.is_some();
        }
        if let Some((lazy, caches)) = &self.lazy {
            let mut cache = caches.get();
            if let Ok(found) = lazy.try_search_fwd(&mut cache, &input) {
                return found.is_some();
            }
            // Left full, it would make every later search give up too: one text made for that
            // would slow down all that follow it.
            cache.reset(lazy);
        }
        let (vm, caches) = &self.vm;
        vm.search_slots(&mut caches.get(), &input, &mut [])
            .is_some()
    }

    /// The engine with nothing but what stands in last.
    #[cfg(test)]
    pub(super) fn without_tables(self) -> Self {
        Self {
            table: None,
            lazy: None,
            vm: self.vm,
            earliest: self.earliest,
        }
    }

    pub(super) fn has_table(&self) -> bool {
        self.table.is_some()
    }

    pub(super) fn size_bytes(&self) -> usize {
        let table = self.table.as_ref().map_or(0, dense::DFA::memory_usage);
        table + self.vm.0.get_nfa().memory_usage()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("has_table", &self.has_table())
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

/// The table of all states, unless it would be too large.
fn table(nfa: &NFA, limits: &Limits) -> Option<dense::DFA<Vec<u32>>> {
    if nfa.states().len() > DFA_NFA_STATES_MAX {
        return None;
    }
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(limits.dfa_bytes_max))
        .determinize_size_limit(Some(limits.determinize_bytes_max));
    dense::Builder::new()
        .configure(config)
        .build_from_nfa(nfa)
        .ok()
}

/// The table that is made as it is needed. A large pattern gets room for a few states in any case.
fn lazy(
    nfa: NFA,
    hir: &Hir,
    limits: &Limits,
) -> Option<(hybrid::dfa::DFA, Caches<hybrid::dfa::Cache>)> {
    // Looking ahead for how a match begins is no use where it can begin in one place only.
    let prefilter = match nfa.is_always_start_anchored() {
        true => None,
        false => Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, hir),
    };
    let config = hybrid::dfa::Config::new()
        .specialize_start_states(prefilter.is_some())
        .prefilter(prefilter)
        .cache_capacity(limits.cache_bytes_max)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(LAZY_FILLED_MAX))
        .minimum_bytes_per_state(Some(LAZY_BYTES_A_STATE_MIN));
    let lazy = hybrid::dfa::Builder::new()
        .configure(config)
        .build_from_nfa(nfa)
        .ok()?;
    let cache = lazy.clone();
    let caches = Pool::new(Box::new(move || cache.create_cache()) as Box<_>);
    Some((lazy, caches))
}
