//! Never one call over: what is reserved of a counter never exceeds the limit it is charged to,
//! recomputed from the records alone. Source: DESIGN.md, "What none of the others does", 5;
//! CALLS.md, "Admission", 3, and "Outcomes": refunds, never below zero.

use std::collections::BTreeMap;

use serde_json::Value;

use tollbook_state::command::{Charge, Command, Decision, LimitRow, Micros, Scope, Window};
use tollbook_state::windows;

use super::{Evidence, Witness};
use crate::book::{Entry, call_text};
use crate::workload::limits_of;

/// Counter, window, whose, begin.
type Key = (String, String, String, u64);

/// What a call holds.
type Held = Vec<(Key, u64)>;

#[derive(Default)]
struct Tally {
    used: BTreeMap<Key, u64>,
    held: BTreeMap<String, Held>,
}

pub(super) fn check(evidence: &Evidence<'_>, _witness: &Witness) -> Result<(), String> {
    let asked = asked(evidence);
    let mut tally = Tally::default();
    for (index, entry) in evidence.book.entries.iter().enumerate() {
        let result = match entry.kind() {
            "intent" if entry.is_admission() => match asked.get(entry.text("call")) {
                Some(asked) => tally.reserve(entry, asked),
                None => Err("nobody asked for this call".into()),
            },
            "outcome" => tally.refund(entry),
            _ => Ok(()),
        };
        result.map_err(|what| format!("record {index}: {what}"))?;
    }
    Ok(())
}

/// What a client asked to have charged.
struct Asked {
    charges: Vec<Charge>,
    limits: Vec<LimitRow>,
}

fn asked(evidence: &Evidence<'_>) -> BTreeMap<String, Asked> {
    let mut asked = BTreeMap::new();
    for attempt in &evidence.history.attempts {
        let Command::Intent(intent) = &attempt.command else {
            continue;
        };
        for element in &intent.elements {
            if let Decision::Allow { charges } = &element.decision {
                asked.insert(
                    call_text(element.call),
                    Asked {
                        charges: charges.clone(),
                        limits: intent.policy.map(limits_of).unwrap_or_default(),
                    },
                );
            }
        }
    }
    asked
}

impl Tally {
    fn reserve(&mut self, entry: &Entry, asked: &Asked) -> Result<(), String> {
        let reservations = entry.list("reservations");
        if reservations.len() != asked.charges.len() {
            return Err("not what was asked for is reserved".into());
        }
        let mut held = Held::new();
        for (charge, reserved) in asked.charges.iter().zip(reservations) {
            let row = usize::try_from(charge.limit)
                .ok()
                .and_then(|row| asked.limits.get(row))
                .ok_or("a limit that is not there")?;
            let (key, amount) = read(entry, reserved);
            let begin = windows::span(row.window, Micros(entry.number("t"))).start.0;
            let due = (row.counter.as_str(), window_text(row.window), begin);
            if due != (key.0.as_str(), key.1.as_str(), key.3)
                || text(reserved, "scope") != scope_text(row.scope)
                || charge.amount != Some(amount)
            {
                return Err(format!("{due:?} was to be reserved, {key:?} is"));
            }
            let used = self.used.entry(key.clone()).or_default();
            *used += amount;
            if *used > row.max {
                return Err(format!("{used} of {} are reserved of {key:?}", row.max));
            }
            held.push((key, amount));
        }
        self.held.insert(entry.text("call").to_owned(), held);
        Ok(())
    }

    fn refund(&mut self, entry: &Entry) -> Result<(), String> {
        let refunds = entry.list("refunds");
        if refunds.is_empty() {
            return Ok(());
        }
        // Taken out: what is given back once is not held any more.
        let mut held = self.held.remove(entry.text("call")).unwrap_or_default();
        for refund in refunds {
            let counter = text(refund, "counter");
            let amount = number(refund, "amount");
            let at = held.iter().position(|(key, holds)| {
                key.0 == counter
                    && key.1 == text(refund, "window")
                    && key.3 == number(refund, "window_start")
                    && key.2.starts_with(text(refund, "scope"))
                    && *holds == amount
            });
            let at = at.ok_or_else(|| format!("{refund} is given back, and was not held"))?;
            let (key, _) = held.swap_remove(at);
            let used = self.used.entry(key).or_default();
            *used = used
                .checked_sub(amount)
                .ok_or("more is given back than was used")?;
        }
        Ok(())
    }
}

fn read(entry: &Entry, reserved: &Value) -> (Key, u64) {
    let scope = text(reserved, "scope");
    let whose = match scope {
        "grant" => entry.text("grant").to_owned(),
        "policy" => entry
            .value
            .get("policy")
            .map(|policy| text(policy, "name").to_owned())
            .unwrap_or_default(),
        "server" => entry.text("server").to_owned(),
        _ if entry.value.get("owner").is_some() => entry.text("owner").to_owned(),
        _ => format!("ownerless {}", entry.text("grant")),
    };
    let key = (
        text(reserved, "counter").to_owned(),
        text(reserved, "window").to_owned(),
        format!("{scope} {whose}"),
        number(reserved, "window_start"),
    );
    (key, number(reserved, "amount"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or(0)
}

const fn window_text(window: Window) -> &'static str {
    match window {
        Window::Minute => "minute",
        Window::Hour => "hour",
        Window::Day => "day",
        Window::Month => "month",
    }
}

const fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::Grant => "grant",
        Scope::Policy => "policy",
        Scope::Server => "server",
        Scope::Owner => "owner",
    }
}
