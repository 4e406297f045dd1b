//! The automaton that stands in last: it follows every thread of a pattern at once, and counts.
//!
//! What it counts depends on the pattern and the text alone, never on time, memory or what was
//! searched before, so that every node stops at the same step.

use alloc::vec;
use alloc::vec::Vec;
use core::mem;

use regex_automata::nfa::thompson::{NFA, State, Transition};
use regex_automata::util::primitives::StateID;

/// Working memory of one search.
#[derive(Clone, Debug)]
pub(super) struct Threads {
    here: Vec<StateID>,
    next: Vec<StateID>,
    /// States whose ways out are still to be followed.
    pending: Vec<StateID>,
    /// At which step of all searches a state was last reached.
    reached: Vec<u32>,
    step: u32,
}

impl Threads {
    pub(super) fn new(nfa: &NFA) -> Self {
        Self {
            here: Vec::new(),
            next: Vec::new(),
            pending: Vec::new(),
            reached: vec![0; nfa.states().len()],
            step: 0,
        }
    }

    fn begin_step(&mut self) {
        if let Some(step) = self.step.checked_add(1) {
            self.step = step;
        } else {
            self.reached.fill(0);
            self.step = 1;
        }
    }

    /// Whether this state is reached for the first time in this step.
    fn reach(&mut self, id: StateID) -> bool {
        let last = self.reached.get_mut(id.as_usize());
        last.is_some_and(|last| mem::replace(last, self.step) != self.step)
    }
}

/// What one step through all states of an automaton costs at most.
pub(super) fn cost(nfa: &NFA) -> usize {
    nfa.states().iter().map(state_cost).sum()
}

/// How many ways an automaton has that take no byte.
pub(super) fn detours(nfa: &NFA) -> usize {
    let taking_none = nfa.states().iter().filter(|state| state.is_epsilon());
    taking_none.map(state_cost).sum()
}

fn state_cost(state: &State) -> usize {
    match state {
        State::Union { alternates } => 1 + alternates.len(),
        State::BinaryUnion { .. } => 3,
        State::Look { .. } | State::Capture { .. } => 2,
        State::ByteRange { trans } if continues(*trans) => 0,
        State::Sparse(ways) if ways.transitions.iter().copied().all(continues) => 0,
        // For being reached and for the byte it takes; and the same for the byte after that, since
        // a thread can begin inside a character, and end there.
        State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => 4,
        State::Fail | State::Match { .. } => 1,
    }
}

/// Whether it takes the second or a later byte of a character only. No more threads are inside a
/// character than there were before it, and those are counted.
fn continues(way: Transition) -> bool {
    (0x80..=0xBF).contains(&way.start) && (0x80..=0xBF).contains(&way.end)
}

/// Whether there is a match when `start` is at `from`; `None` if finding out takes more steps than
/// are `left`. Takes what it needs from those.
pub(super) fn search(
    nfa: &NFA,
    threads: &mut Threads,
    (start, from): (StateID, usize),
    text: &[u8],
    left: &mut usize,
) -> Option<bool> {
    threads.next.clear();
    threads.begin_step();
    threads.pending.push(start);
    if follow(nfa, threads, text, from, left)? {
        return Some(true);
    }
    let bytes = text.get(from..).unwrap_or_default();
    for (at, &byte) in (from + 1..).zip(bytes) {
        mem::swap(&mut threads.here, &mut threads.next);
        if threads.here.is_empty() {
            return Some(false);
        }
        threads.next.clear();
        threads.begin_step();
        *left = left.checked_sub(threads.here.len())?;
        let here = mem::take(&mut threads.here);
        threads.pending.extend(
            here.iter()
                .rev()
                .filter_map(|&id| after(nfa.state(id), byte)),
        );
        threads.here = here;
        if follow(nfa, threads, text, at, left)? {
            return Some(true);
        }
    }
    Some(false)
}

/// Follows all pending states to those that take a byte; true if a match is among them.
fn follow(
    nfa: &NFA,
    threads: &mut Threads,
    text: &[u8],
    at: usize,
    left: &mut usize,
) -> Option<bool> {
    let mut found = false;
    while let Some(id) = threads.pending.pop() {
        *left = left.checked_sub(1).or_else(|| {
            threads.pending.clear();
            None
        })?;
        if !threads.reach(id) {
            continue;
        }
        match nfa.state(id) {
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => threads.next.push(id),
            State::Look { look, next } => {
                if nfa.look_matcher().matches(*look, text, at) {
                    threads.pending.push(*next);
                }
            }
            State::Union { alternates } => threads.pending.extend(alternates.iter().rev()),
            State::BinaryUnion { alt1, alt2 } => threads.pending.extend([*alt2, *alt1]),
            State::Capture { next, .. } => threads.pending.push(*next),
            State::Fail => {}
            State::Match { .. } => found = true,
        }
    }
    Some(found)
}

/// Where a byte leads from a state that takes one.
fn after(state: &State, byte: u8) -> Option<StateID> {
    match state {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(ways) => {
            let at = ways.transitions.partition_point(|way| way.end < byte);
            let way = ways.transitions.get(at)?;
            way.matches_byte(byte).then_some(way.next)
        }
        State::Dense(ways) => ways.matches_byte(byte),
        State::Look { .. }
        | State::Union { .. }
        | State::BinaryUnion { .. }
        | State::Capture { .. }
        | State::Fail
        | State::Match { .. } => None,
    }
}
