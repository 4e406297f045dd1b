//! Each intent was decided under what is in force where it stands in the book: the revisions of
//! its grant, its server and its policy. Source: CALLS.md, "Admission", 2.

use std::collections::BTreeMap;

use tollbook_audit::hex;
use tollbook_state::command::Command;

use super::{Evidence, Witness};
use crate::book::{Entry, call_text, grant_text};

pub(super) fn check(evidence: &Evidence<'_>, _witness: &Witness) -> Result<(), String> {
    let decided = decided(evidence);
    let named = named(evidence);
    let mut revisions: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (index, entry) in evidence.book.entries.iter().enumerate() {
        if let Some(object) = object(entry) {
            revisions.insert((object, entry.text("target")), entry.number("revision"));
        }
        if entry.kind() != "intent" {
            continue;
        }
        let wrong = |what: &str| Err(format!("record {index} was decided under another {what}"));
        let (grant, server) = (entry.text("grant"), entry.text("server"));
        let in_force = |object, target| revisions.get(&(object, target)).copied();
        if in_force("grant", grant) != Some(entry.number("grant_revision")) {
            return wrong("revision of its grant");
        }
        if in_force("server", server) != Some(entry.number("server_revision")) {
            return wrong("revision of its server");
        }
        let policy = entry.value.get("policy");
        let part = |name| policy.and_then(|policy| policy.get(name));
        let name = part("name").and_then(|name| name.as_str());
        let revision = part("revision").and_then(serde_json::Value::as_u64);
        if name.is_some_and(|name| in_force("policy", name) != revision) {
            return wrong("revision of its policy");
        }
        let digest = part("digest").and_then(|digest| digest.as_str());
        let asked = decided.get(entry.text("call"));
        if asked.is_some_and(|asked| asked.as_deref() != digest) {
            return wrong("policy than it says");
        }
        let possible = named.get(&(grant.to_owned(), entry.number("grant_revision")));
        if !possible.is_some_and(|names| names.iter().any(|known| known.as_deref() == name)) {
            return wrong("policy than its grant names");
        }
    }
    Ok(())
}

fn object(entry: &Entry) -> Option<&'static str> {
    match entry.text("action") {
        "grant_put" | "grant_rotate" | "grant_revoke" => Some("grant"),
        "policy_put" => Some("policy"),
        "server_put" => Some("server"),
        _ => None,
    }
}

/// The policy's digest under which each call was decided.
fn decided(evidence: &Evidence<'_>) -> BTreeMap<String, Option<String>> {
    let mut decided = BTreeMap::new();
    for attempt in &evidence.history.attempts {
        if let Command::Intent(intent) = &attempt.command {
            for element in &intent.elements {
                let digest = intent.policy.map(|digest| hex(&digest.0));
                decided.insert(call_text(element.call), digest);
            }
        }
    }
    decided
}

/// The policies that each revision of a grant may name: several clients may have made it, and
/// neither a new token nor a revoke changes it.
fn named(evidence: &Evidence<'_>) -> BTreeMap<(String, u64), Vec<Option<String>>> {
    let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for attempt in &evidence.history.attempts {
        if let Command::GrantPut(put) = &attempt.command {
            named
                .entry((grant_text(put.grant), put.expected + 1))
                .or_default()
                .push(put.policy.clone());
        }
    }
    for entry in &evidence.book.entries {
        if matches!(entry.text("action"), "grant_rotate" | "grant_revoke") {
            let (grant, revision) = (entry.text("target").to_owned(), entry.number("revision"));
            let before = named.get(&(grant.clone(), revision.saturating_sub(1)));
            let before = before.cloned().unwrap_or_default();
            named.entry((grant, revision)).or_default().extend(before);
        }
    }
    named
}
