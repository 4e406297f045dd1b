//! Each admitted call has exactly one intent, at most one outcome, and one late one after an
//! `unknown`; a denied call has no outcome; nothing is sent without its intent; a grant's own
//! counter has no gap. Source: CALLS.md, "Outcomes"; DESIGN.md, 1; AUDIT.md, "Records".

use std::collections::BTreeMap;

use super::{Evidence, Witness};
use crate::book::{Entry, call_text};

/// What the book has of one call so far.
#[derive(Debug, PartialEq, Eq)]
enum Life {
    Denied,
    Open,
    /// Closed without knowing how it ended.
    Unknown,
    Ended,
}

pub(super) fn check(evidence: &Evidence<'_>, _witness: &Witness) -> Result<(), String> {
    let mut calls: BTreeMap<&str, Life> = BTreeMap::new();
    let mut counters: BTreeMap<&str, u64> = BTreeMap::new();
    for (index, entry) in evidence.book.entries.iter().enumerate() {
        if entry.value.get("gs").is_some() {
            let last = counters.entry(entry.text("grant")).or_default();
            if entry.number("gs") != *last + 1 {
                return Err(format!("record {index} skips a number of its grant"));
            }
            *last += 1;
        }
        live(&mut calls, entry).map_err(|what| format!("record {index}: {what}"))?;
    }
    for call in evidence.history.sent.keys() {
        let text = call_text(*call);
        match calls.get(text.as_str()) {
            Some(Life::Open | Life::Unknown | Life::Ended) => {}
            Some(Life::Denied) => return Err(format!("call {text} was denied, and sent")),
            None => return Err(format!("call {text} was sent, and has no intent")),
        }
    }
    Ok(())
}

fn live<'a>(calls: &mut BTreeMap<&'a str, Life>, entry: &'a Entry) -> Result<(), String> {
    let call = entry.text("call");
    match entry.kind() {
        "intent" => {
            let life = if entry.is_admission() {
                Life::Open
            } else {
                Life::Denied
            };
            match calls.insert(call, life) {
                None => Ok(()),
                Some(_) => Err(format!("call {call} has two intents")),
            }
        }
        "outcome" => {
            let late = entry.value.get("late").is_some();
            let unknown = entry.text("status") == "unknown";
            let next = if unknown { Life::Unknown } else { Life::Ended };
            match calls.insert(call, next) {
                Some(Life::Open) if !late => Ok(()),
                Some(Life::Unknown) if late && !unknown => Ok(()),
                before => Err(format!("an outcome of call {call}, which is {before:?}")),
            }
        }
        _ => Ok(()),
    }
}
