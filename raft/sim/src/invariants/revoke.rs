//! Once a revoke is acknowledged no intent of that grant commits, at any node. Source: DESIGN.md,
//! "What none of the others does", 6.

use std::collections::{BTreeMap, BTreeSet};

use tollbook_state::CommandResult;
use tollbook_state::command::{Command, GrantId};

use super::{Evidence, Witness};
use crate::book::grant_text;

pub(super) fn check(evidence: &Evidence<'_>, _witness: &Witness) -> Result<(), String> {
    in_the_book(evidence)?;
    as_clients_saw_it(evidence)
}

/// After the record of the revoke none is admitted.
fn in_the_book(evidence: &Evidence<'_>) -> Result<(), String> {
    let mut revoked = BTreeSet::new();
    for (index, entry) in evidence.book.entries.iter().enumerate() {
        if entry.text("action") == "grant_revoke" {
            revoked.insert(entry.text("target"));
        }
        if entry.is_admission() && revoked.contains(entry.text("grant")) {
            return Err(format!(
                "record {index} admits a call of grant {}, which was revoked before",
                entry.text("grant")
            ));
        }
    }
    let acknowledged = acknowledgements(evidence);
    match acknowledged
        .keys()
        .find(|grant| !revoked.contains(grant_text(**grant).as_str()))
    {
        Some(grant) => Err(format!(
            "the revoke of grant {} was acknowledged and is not in the book",
            grant_text(*grant)
        )),
        None => Ok(()),
    }
}

/// What was asked for after the acknowledgement, anywhere, was not admitted.
fn as_clients_saw_it(evidence: &Evidence<'_>) -> Result<(), String> {
    let acknowledged = acknowledgements(evidence);
    for attempt in &evidence.history.attempts {
        let Command::Intent(intent) = &attempt.command else {
            continue;
        };
        let admitted = matches!(attempt.result(), Some(CommandResult::Admitted(_)));
        let after = acknowledged
            .get(&intent.grant)
            .is_some_and(|told| attempt.asked_us > *told);
        if admitted && after {
            return Err(format!(
                "node {} admitted a call of grant {} that was asked for after the revoke was \
                 acknowledged",
                attempt.node,
                grant_text(intent.grant)
            ));
        }
    }
    Ok(())
}

fn acknowledgements(evidence: &Evidence<'_>) -> BTreeMap<GrantId, u64> {
    let mut acknowledged = BTreeMap::new();
    for attempt in &evidence.history.attempts {
        if let Command::GrantRevoke { grant, .. } = &attempt.command
            && let Some(CommandResult::Put { .. }) = attempt.result()
            && let Some(told) = attempt.told_us()
        {
            let first = acknowledged.entry(*grant).or_insert(told);
            *first = told.min(*first);
        }
    }
    acknowledged
}
