//! The published policies behave as published.

use std::collections::BTreeMap;
use std::path::Path;

use tollbook_policy::{Counters, Policy};

use crate::common::{document, load, rows, run, text};

fn seed(name: &str) -> Policy {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/policies");
    load(&std::fs::read_to_string(folder.join(name)).expect("a published policy"))
}

/// Runs calls to policies of the folder, each policy with counters of its own; says how many calls
/// to how many policies.
fn calls(file: &str) -> (usize, usize) {
    let mut policies: BTreeMap<String, (Policy, Counters)> = BTreeMap::new();
    let mut count = 0;
    for row in rows(file) {
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
        if row.get("message").is_some() {
            let message = denied.and_then(|denied| denied.message);
            assert_eq!(message, text(row, "message"), "{}", row.raw());
        }
        count += 1;
    }
    (count, policies.len())
}

#[test]
fn every_published_call_gets_its_published_verdict() {
    assert_eq!(calls(include_str!("../data/calls.jsonl")), (89, 7));
}

#[test]
fn the_strict_policies_close_the_holes_and_pass_the_honest_calls() {
    let (count, policies) = calls(include_str!("../corpus/strict.jsonl"));
    assert!(count > 120);
    assert_eq!(policies, 6);
}

#[test]
fn the_linter_has_nothing_to_say_of_the_strict_policies() {
    for name in [
        "github-issues-strict.json",
        "http-egress-strict.json",
        "kubernetes-namespaces-strict.json",
        "refund-strict.json",
        "shell-exec-strict.json",
        "slack-channels-strict.json",
    ] {
        assert_eq!(seed(name).warnings(), [], "{name}");
    }
}

/// The texts of a corpus file's group of that title, each with whether it is allowed.
fn texts(file: &str, title: &str) -> Vec<(String, bool)> {
    let mut here = false;
    let mut texts = Vec::new();
    for row in rows(file) {
        let row = row.root();
        if let Some(begins) = text(row, "title") {
            here = begins == title;
        } else if here && let Some(one) = row.get("args").and_then(|args| text(args, "a")) {
            texts.push((one, row.get("allow").is_some()));
        }
    }
    texts
}

/// Whether the strict policy of that name allows a call with these arguments, counters at zero.
fn strict_allows(policy: &Policy, tool: &str, args: &serde_json::Value) -> bool {
    let args = document(&args.to_string());
    run(policy, &mut Counters::new(), tool, Some(args.root())).is_none()
}

#[test]
fn no_known_way_around_passes_the_strict_allowlists() {
    let egress = seed("http-egress-strict.json");
    let title = "addresses below listed ones: honest calls and known ways around";
    let addresses = texts(include_str!("../corpus/url-bypasses.jsonl"), title);
    assert!(addresses.len() > 400);
    for (url, allowed) in addresses {
        // The corpus lists one place more than the policy.
        let allowed = allowed && !url.contains("wild.example");
        let args = serde_json::json!({"url": url, "body_bytes": 1});
        let passes = strict_allows(&egress, "http_request.post", &args);
        assert_eq!(passes, allowed, "{url}");
    }
    let shell = seed("shell-exec-strict.json");
    let paths = texts(
        include_str!("../corpus/path-bypasses.jsonl"),
        "the relative root",
    );
    assert!(paths.len() > 30);
    for (path, allowed) in paths {
        let args = serde_json::json!({ "path": path });
        let hidden = path.split('/').any(|name| {
            name.starts_with('.') && !matches!(name, "." | "..") && !name.starts_with("..")
        });
        let passes = strict_allows(&shell, "read_file", &args);
        assert_eq!(passes, allowed && !hidden, "{path}");
        let command = serde_json::json!({"command": format!("cat {path}")});
        let passes = strict_allows(&shell, "execute_command", &command);
        assert!(allowed || !passes, "cat {path}");
    }
}

#[test]
fn the_linter_warns_of_the_holes_of_published_allowlists() {
    for (name, codes) in [
        ("github-issues.json", &["TB-POL-119", "TB-POL-104"][..]),
        (
            "http-egress.json",
            &[
                "TB-POL-114",
                "TB-POL-119",
                "TB-POL-104",
                "TB-POL-118",
                "TB-POL-117",
            ],
        ),
        ("kubernetes-namespaces.json", &["TB-POL-114", "TB-POL-119"]),
        ("refund-over-100.json", &["TB-POL-108"]),
        ("refund-over-1000.json", &["TB-POL-108"]),
        (
            "shell-exec.json",
            &[
                "TB-POL-114",
                "TB-POL-119",
                "TB-POL-107",
                "TB-POL-105",
                "TB-POL-117",
            ],
        ),
        (
            "slack-channels.json",
            &["TB-POL-114", "TB-POL-119", "TB-POL-109"],
        ),
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
