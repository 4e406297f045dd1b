//! What must hold of any run, each looked at from outside: what callers were told, what the witness
//! saw, and what the books say. One function a promise; each gives a line for every breach.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::book::{Book, Pages};
use super::client::{Answer, Called};
use super::witness::Seen;

#[cfg(test)]
mod tests;

/// Lines a promise that are shown; of more, the count.
const SHOWN_MAX: usize = 5;

/// What a run left behind.
pub(super) struct Run {
    pub(super) made: Vec<Called>,
    pub(super) seen: Vec<Seen>,
    /// When which grant's revocation was acknowledged.
    pub(super) revoked: BTreeMap<String, u64>,
    pub(super) book: Book,
    /// Every node's records, by its name.
    pub(super) pages: Vec<(String, Pages)>,
    /// Every node's checkpoints: the three lines that are signed, by their size.
    pub(super) notes: Vec<(String, BTreeMap<u64, String>)>,
}

/// CALLS.md of the design, "Admission": no more is reserved than the limit allows. Source: the
/// witness.
pub(super) fn no_more_than_the_limit(run: &Run, label: &str, limit: u64) -> Vec<String> {
    let own = numbers(run, label);
    let seen = run.seen.iter().filter(|seen| own.contains(&seen.number));
    let count = u64::try_from(seen.count()).unwrap_or(u64::MAX);
    let over = count > limit;
    let line = format!("`{label}`: the witness saw {count} calls; the limit is {limit}");
    over.then_some(line).into_iter().collect()
}

/// After healing all of the limit can be used up. Source: the book's intents without those that
/// were given back, once every node denies.
pub(super) fn all_of_the_limit(run: &Run, label: &str, limit: u64) -> Vec<String> {
    let charged = run.book.charged(label);
    let line = format!("`{label}`: {charged} calls are charged; the limit is {limit}");
    (charged != limit).then_some(line).into_iter().collect()
}

/// The upstream hears of a call only after its intent is in the book. Source: the witness against
/// the book.
pub(super) fn an_intent_before_each_call(run: &Run) -> Vec<String> {
    let breach = |seen: &Seen| {
        let Seen { number, at_us } = *seen;
        match run.book.intents.get(&number) {
            None => Some(format!(
                "call {number} reached the server; no book has its intent"
            )),
            Some(intent) if !intent.allowed => Some(format!(
                "call {number} reached the server; record {} denies it",
                intent.index
            )),
            Some(intent) if intent.at_us > at_us => Some(format!(
                "call {number} reached the server {} µs before the time of record {}",
                intent.at_us - at_us,
                intent.index
            )),
            Some(_) => None,
        }
    };
    run.seen.iter().filter_map(breach).collect()
}

/// Nothing is sent twice, and no call is admitted twice. Source: the witness, and the book.
pub(super) fn nothing_twice(run: &Run) -> Vec<String> {
    let mut before = HashSet::new();
    let again = run.seen.iter().filter(|seen| !before.insert(seen.number));
    let sent = again.map(|seen| format!("call {} reached the server twice", seen.number));
    let twice = run.book.twice.iter();
    let admitted = twice.map(|number| format!("call {number} has two intents in the book"));
    sent.chain(admitted).collect()
}

/// A revocation that was acknowledged holds at every node. Source: the callers' clock and the
/// witness, and the order of the book.
pub(super) fn no_call_after_a_revoke(run: &Run) -> Vec<String> {
    let seen: HashSet<u64> = run.seen.iter().map(|seen| seen.number).collect();
    let mut lines = Vec::new();
    for (label, acknowledged) in &run.revoked {
        let Some(record) = run.book.revoked.get(label) else {
            lines.push(format!("`{label}` is revoked, says a node; no book has it"));
            continue;
        };
        for call in run.made.iter().filter(|call| call.label == *label) {
            let number = call.number;
            let intent = run
                .book
                .intents
                .get(&number)
                .filter(|intent| intent.allowed);
            if intent.is_some_and(|intent| intent.index > *record) {
                lines.push(format!(
                    "call {number} of `{label}` is admitted after {record}"
                ));
            }
            if call.from_us > *acknowledged && seen.contains(&number) {
                lines.push(format!(
                    "call {number} of `{label}` began after it was revoked, and reached the server"
                ));
            }
        }
    }
    lines
}

/// What a caller was told is in the book, and a reply is one of the server's. Source: the callers
/// against the book and the witness.
pub(super) fn every_answer_is_on_record(run: &Run) -> Vec<String> {
    let seen: HashSet<u64> = run.seen.iter().map(|seen| seen.number).collect();
    let breach = |call: &Called| {
        let number = call.number;
        let intent = run.book.intents.get(&number);
        let outcome = intent.and_then(|intent| intent.outcome.as_ref());
        match call.answer {
            Answer::Done if !seen.contains(&number) => Some(format!(
                "call {number} was answered; the server never saw it"
            )),
            Answer::Done if outcome.is_none_or(|outcome| outcome.0 != "ok") => {
                let has = outcome.map_or("no outcome", |outcome| outcome.0.as_str());
                Some(format!("call {number} was answered; the book has {has}"))
            }
            Answer::Denied if intent.is_none_or(|intent| intent.allowed) => Some(format!(
                "call {number} was denied; the book does not say so"
            )),
            Answer::Done
            | Answer::Denied
            | Answer::Nothing
            | Answer::Refused(_)
            | Answer::Unsettled => None,
        }
    };
    run.made.iter().filter_map(breach).collect()
}

/// All nodes write the same bytes. Source: the files of each.
pub(super) fn the_same_records(run: &Run) -> Vec<String> {
    let mut known: BTreeMap<u64, (&str, &[u8])> = BTreeMap::new();
    let mut lines = Vec::new();
    for (name, pages) in &run.pages {
        for (index, bytes) in pages {
            let (other, same) = known.entry(*index).or_insert((name, bytes));
            if *same != bytes.as_slice() {
                lines.push(format!("record {index} of {name} is not that of {other}"));
            }
        }
    }
    lines
}

/// All nodes hold the same root at the same size. Source: the checkpoints of each.
pub(super) fn the_same_roots(run: &Run) -> Vec<String> {
    let mut known: HashMap<u64, (&str, &str)> = HashMap::new();
    let mut lines = Vec::new();
    for (name, notes) in &run.notes {
        for (size, note) in notes {
            let (other, same) = known.entry(*size).or_insert((name, note));
            if *same != note {
                lines.push(format!(
                    "the root at size {size} of {name} is not that of {other}"
                ));
            }
        }
    }
    lines
}

/// The first of many lines, and how many more there are.
pub(super) fn shortened(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        lines.truncate(SHOWN_MAX);
        lines.push(format!("and {more} more of this kind"));
    }
    lines
}

fn numbers(run: &Run, label: &str) -> HashSet<u64> {
    let own = run.made.iter().filter(|call| call.label == label);
    own.map(|call| call.number).collect()
}
