//! Data files of cases. A row with `policy` begins a group with counters at zero; the rows after
//! it are calls, methods and names to that policy, or texts that must not load.

use tollbook_policy::json::Value;
use tollbook_policy::{Cause, Counters, Explanation, MethodVerdict, Policy, check};

use crate::common::{load, resolve, rows, run, text};

/// Runs the calls of one file; says how many. All rows that fail are shown at once.
fn calls(file: &str) -> usize {
    let mut current: Option<(String, Policy, Counters)> = None;
    let mut count = 0;
    let mut failed = Vec::new();
    for row in rows(file) {
        let row = row.root();
        if let Some(policy) = row.get("policy") {
            let title = text(row, "title").expect("a title");
            current = Some((title, load(policy.raw()), Counters::new()));
            continue;
        }
        let (title, policy, counters) = current.as_mut().expect("a policy first");
        let tool = text(row, "tool").expect("a tool");
        let denied = run(policy, counters, &tool, row.get("args"));
        count += 1;
        if !is_as_written(row, denied.as_ref()) {
            let row: String = row.raw().chars().take(300).collect();
            failed.push(format!("{title}: {row}\n    {denied:?}"));
        }
    }
    assert!(
        failed.is_empty(),
        "{} rows:\n{}",
        failed.len(),
        failed.join("\n")
    );
    count
}

/// Whether a row's verdict is this one: rule, reason, message and, if it says, pointer.
fn is_as_written(row: Value<'_>, denied: Option<&Explanation>) -> bool {
    let Some(denied) = denied else {
        return row.get("allow").is_some();
    };
    text(row, "deny").as_ref() == Some(&denied.rule)
        && text(row, "reason").as_deref() == denied.reason
        && text(row, "message") == denied.message
        && (row.get("pointer").is_none() || text(row, "pointer") == denied.pointer)
}

#[test]
fn every_step_of_the_decision_is_taken_in_its_order() {
    assert!(calls(include_str!("../corpus/order.jsonl")) > 30);
}

#[test]
fn conditions_are_true_false_or_indeterminate_as_the_contract_says() {
    assert!(calls(include_str!("../corpus/conditions.jsonl")) > 100);
}

#[test]
fn paths_are_read_as_the_contract_says() {
    assert!(calls(include_str!("../corpus/paths.jsonl")) > 60);
}

#[test]
fn limits_are_charged_as_the_contract_says() {
    assert!(calls(include_str!("../corpus/limits.jsonl")) > 40);
}

#[test]
fn what_goes_beyond_the_published_language_does_as_it_says() {
    assert!(calls(include_str!("../corpus/beyond.jsonl")) > 80);
}

#[test]
fn no_known_way_around_an_address_or_directory_is_open() {
    assert!(calls(include_str!("../corpus/url-bypasses.jsonl")) > 400);
    assert!(calls(include_str!("../corpus/path-bypasses.jsonl")) > 250);
}

#[test]
fn methods_follow_their_section_and_the_default() {
    let mut current: Option<Policy> = None;
    for row in rows(include_str!("../corpus/methods.jsonl")) {
        let row = row.root();
        if let Some(policy) = row.get("policy") {
            current = Some(load(policy.raw()));
            continue;
        }
        let policy = current.as_ref().expect("a policy first");
        let verdict = match (text(row, "client"), text(row, "server")) {
            (Some(name), _) => policy.method(&name),
            (None, Some(name)) => policy.server_request(&name),
            (None, None) => panic!("neither client nor server: {}", row.raw()),
        };
        let word = match verdict {
            MethodVerdict::Allow(permit) => {
                assert!(permit.charges().is_empty());
                "allow"
            }
            MethodVerdict::Call => "call",
            MethodVerdict::Deny(Cause::Method { listed: true }) => "/methods/deny",
            MethodVerdict::Deny(Cause::Method { listed: false }) => "/default",
            MethodVerdict::Deny(cause) => panic!("{cause:?}: {}", row.raw()),
            MethodVerdict::Drop => "drop",
            MethodVerdict::Pass => "pass",
        };
        assert_eq!(Some(word.to_owned()), text(row, "is"), "{}", row.raw());
    }
}

#[test]
fn lists_show_what_may_be_called() {
    for (policy, shown, not_shown) in [
        (
            r#"{"version":"1","tools":{"a":{},"*":{}}}"#,
            &["a"][..],
            &["b", "*", "A", ""][..],
        ),
        (
            r#"{"version":"1","hide":["a"],"tools":{"a":{},"c":{}}}"#,
            &["c"],
            &["a", "b"],
        ),
        (
            r#"{"version":"1","default":"allow","hide":["a"]}"#,
            &["b", "A"],
            &["a", "*"],
        ),
        (
            r#"{"version":"1","tools":{"a":{"deny":"no"}}}"#,
            &["a"],
            &["b"],
        ),
    ] {
        let policy = load(policy);
        for tool in shown {
            assert!(policy.shows(tool), "{tool}");
        }
        for tool in not_shown {
            assert!(!policy.shows(tool), "{tool}");
        }
    }
}

/// One finding as the files write it: `TB-POL-010 1:14 /tools/x`.
fn finding_lines(text: &str) -> Vec<String> {
    let findings = match check(text) {
        Ok(policy) => policy.warnings().to_vec(),
        Err(findings) => findings,
    };
    let line = |found: &tollbook_policy::Finding| {
        let place = format!("{}:{} {}", found.line, found.column, found.pointer);
        format!("{} {}", found.code, place.trim_end())
    };
    findings.iter().map(line).collect()
}

#[test]
fn every_error_of_a_text_is_found_in_its_place() {
    let mut codes = std::collections::BTreeSet::new();
    for row in rows(include_str!("../corpus/loading.jsonl")) {
        let row = row.root();
        let given = text(row, "text")
            .or_else(|| row.get("policy").map(|policy| policy.raw().to_owned()))
            .expect("a text or policy");
        let wanted: Vec<String> = row
            .get("findings")
            .expect("findings")
            .elements()
            .map(|line| line.as_str().expect("a line").into_owned())
            .collect();
        assert_eq!(finding_lines(&given), wanted, "{given}");
        codes.extend(
            wanted
                .iter()
                .filter_map(|line| line.split(' ').next())
                .map(str::to_owned),
        );
        if let Some(says) = text(row, "says") {
            let all: Vec<String> = check(&given)
                .map_or_else(|findings| findings, |policy| policy.warnings().to_vec())
                .iter()
                .map(ToString::to_string)
                .collect();
            assert!(
                all.join("\n").contains(&says),
                "{says} is not in\n{}",
                all.join("\n")
            );
        }
    }
    assert!(codes.len() >= 35, "{codes:?}");
}

#[test]
fn rows_and_pointers_name_places_of_the_document() {
    let text = include_str!("../corpus/rows.json");
    let policy = load(text);
    let document = crate::common::document(text);
    let pointers = policy.rules().iter().map(|row| &row.pointer);
    for pointer in pointers.chain(policy.limits().iter().map(|row| &row.pointer)) {
        assert!(resolve(document.root(), pointer).is_some(), "{pointer}");
    }
    let rules: Vec<&str> = policy.rules().iter().map(|row| &*row.rule).collect();
    assert_eq!(
        rules,
        [
            "/tools/*/require/args.a-exists",
            "/tools/a/b~c/deny",
            "/tools/a/b~c/only",
            "/tools/z/require/args[\"a b\"]-eq",
            "/tools/z/require/args.b[*].c-in",
            "/tools/z/deny_if/args.x-gt",
        ]
    );
}
