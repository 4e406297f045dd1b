//! The published policies behave as published.

use std::collections::BTreeMap;
use std::path::Path;

use tollbook_policy::{Counters, Policy};

use crate::common::{load, rows, run, text};

fn seed(name: &str) -> Policy {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/policies");
    load(&std::fs::read_to_string(folder.join(name)).expect("a published policy"))
}

#[test]
fn every_published_call_gets_its_published_verdict() {
    let mut policies: BTreeMap<String, (Policy, Counters)> = BTreeMap::new();
    let mut count = 0;
    for row in rows(include_str!("../data/calls.jsonl")) {
        let row = row.root();
        let name = text(row, "policy").expect("a policy");
        let (policy, counters) = policies
            .entry(name.clone())
            .or_insert_with(|| (seed(&name), Counters::new()));
        let tool = text(row, "tool").expect("a tool");
        let denied = run(policy, counters, &tool, row.get("arguments"));
        let verdict = if denied.is_some() { "deny" } else { "allow" };
        assert_eq!(
            Some(verdict.to_owned()),
            text(row, "verdict"),
            "{}",
            row.raw()
        );
        let rule = denied.as_ref().map(|denied| denied.rule.clone());
        assert_eq!(rule, text(row, "rule"), "{}", row.raw());
        let message = denied.and_then(|denied| denied.message);
        assert_eq!(message, text(row, "message"), "{}", row.raw());
        count += 1;
    }
    assert_eq!(count, 89);
    assert_eq!(policies.len(), 7);
}

#[test]
fn the_linter_warns_of_the_holes_of_published_allowlists() {
    for (name, codes) in [
        ("github-issues.json", &["TB-POL-104"][..]),
        ("http-egress.json", &["TB-POL-104"][..]),
        ("kubernetes-namespaces.json", &[]),
        ("refund-over-100.json", &[]),
        ("refund-over-1000.json", &[]),
        ("shell-exec.json", &["TB-POL-105"][..]),
        ("slack-channels.json", &[]),
    ] {
        let policy = seed(name);
        let found: Vec<&str> = policy
            .warnings()
            .iter()
            .map(|finding| finding.code)
            .collect();
        assert_eq!(found, codes, "{name}");
    }
}
