//! What a client was told is in the book, where it was told, for ever; and what it was told is
//! refused is not. Source: DESIGN.md, 1; AUDIT.md, promises 1 and 2; each variant of
//! `CommitError`.

use std::collections::BTreeMap;

use tollbook_state::command::{CallId, Command, Intent};
use tollbook_state::{AdmittedCall, CommandResult, ElementResult, Sealed};

use super::{Evidence, Witness};
use crate::book::{Book, call_text, grant_text, server_text};
use crate::history::{Attempt, End, is_certain};

pub(super) fn check(evidence: &Evidence<'_>, _witness: &Witness) -> Result<(), String> {
    let intents: BTreeMap<&str, usize> = evidence
        .book
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.kind() == "intent")
        .map(|(index, entry)| (entry.text("call"), index))
        .collect();
    for attempt in &evidence.history.attempts {
        let Some(End { at_us: _, result }) = &attempt.end else {
            continue;
        };
        let held = match result {
            Ok(result) => told(evidence.book, attempt, result, &intents),
            Err(error) if is_certain(*error) => refused(attempt, &intents),
            Err(_) => Ok(()),
        };
        held.map_err(|what| {
            format!(
                "node {} at {} ms: {what}",
                attempt.node,
                attempt.asked_us / 1000
            )
        })?;
    }
    Ok(())
}

fn told(
    book: &Book,
    attempt: &Attempt,
    result: &CommandResult,
    intents: &BTreeMap<&str, usize>,
) -> Result<(), String> {
    match result {
        CommandResult::Admitted(calls) => calls.iter().try_for_each(|call| {
            let AdmittedCall { call, t, index, .. } = call;
            is_intent(book, *index, *call, t.0, "allow")
        }),
        CommandResult::Denied(elements) => elements.iter().try_for_each(|element| match element {
            ElementResult::Denied(denial) => {
                is_intent(book, denial.index, denial.call, denial.t.0, "deny")
            }
            ElementResult::NotRun(call) => has_no_intent(*call, intents),
        }),
        // The same start again is no news.
        CommandResult::Recorded { count: 0, .. } => Ok(()),
        CommandResult::Recorded { first, count: _ } => {
            let kind = if matches!(attempt.command, Command::Outcome(_)) {
                "outcome"
            } else if matches!(attempt.command, Command::Genesis(_)) {
                "genesis"
            } else {
                "node"
            };
            match book.get(*first) {
                Some(entry) if entry.kind() == kind => Ok(()),
                Some(_) | None => Err(format!("record {first} was told to be its {kind}")),
            }
        }
        CommandResult::Sealed(Sealed { size, .. }) => match book.get(size - 1) {
            Some(entry) if entry.kind() == "seal" => Ok(()),
            Some(_) | None => Err(format!("record {} was told to be a seal", size - 1)),
        },
        CommandResult::Put {
            revision,
            changed: true,
        } => is_put(book, &attempt.command, *revision),
        // None of these leaves an intent.
        CommandResult::Stale
        | CommandResult::Full(_)
        | CommandResult::Rejected(_)
        | CommandResult::Unauthorised(_)
        | CommandResult::NotFound => refused(attempt, intents),
        CommandResult::Put { changed: false, .. }
        | CommandResult::Conflict { .. }
        | CommandResult::InUse { .. }
        | CommandResult::JoinRefused(_)
        | CommandResult::Joined { .. }
        | CommandResult::LabelTaken { .. }
        | CommandResult::NotSpoken { .. }
        | CommandResult::StartRefused { .. }
        | CommandResult::NameTaken { .. }
        | CommandResult::NotOpen
        | CommandResult::NothingToSeal
        | CommandResult::Settled { .. } => Ok(()),
    }
}

fn is_intent(book: &Book, index: u64, call: CallId, t: u64, verdict: &str) -> Result<(), String> {
    let call = call_text(call);
    match book.get(index) {
        Some(entry)
            if entry.kind() == "intent"
                && entry.text("call") == call
                && entry.text("verdict") == verdict
                && entry.number("t") == t =>
        {
            Ok(())
        }
        Some(entry) => Err(format!(
            "record {index} was told to be the intent of call {call}, and is {}",
            entry.value
        )),
        None => Err(format!(
            "record {index}, the intent of call {call}, is lost: the book has {}",
            book.entries.len()
        )),
    }
}

fn is_put(book: &Book, command: &Command, revision: u64) -> Result<(), String> {
    let (action, target) = if let Command::GrantPut(put) = command {
        ("grant_put", grant_text(put.grant))
    } else if let Command::GrantRevoke { grant, .. } = command {
        ("grant_revoke", grant_text(*grant))
    } else if let Command::GrantRotate(rotate) = command {
        ("grant_rotate", grant_text(rotate.grant))
    } else if let Command::PolicyPut(put) = command {
        ("policy_put", put.name.clone())
    } else if let Command::ServerPut(put) = command {
        ("server_put", server_text(put.server))
    } else {
        return Ok(());
    };
    let found = book.entries.iter().any(|entry| {
        entry.text("action") == action
            && entry.text("target") == target
            && entry.number("revision") == revision
    });
    if found {
        Ok(())
    } else {
        Err(format!(
            "{action} of {target} in revision {revision} is lost"
        ))
    }
}

fn refused(attempt: &Attempt, intents: &BTreeMap<&str, usize>) -> Result<(), String> {
    let Command::Intent(Intent { elements, .. }) = &attempt.command else {
        return Ok(());
    };
    elements
        .iter()
        .try_for_each(|element| has_no_intent(element.call, intents))
}

fn has_no_intent(call: CallId, intents: &BTreeMap<&str, usize>) -> Result<(), String> {
    let call = call_text(call);
    match intents.get(call.as_str()) {
        None => Ok(()),
        Some(index) => Err(format!(
            "call {call} was refused, and has an intent at {index}"
        )),
    }
}
