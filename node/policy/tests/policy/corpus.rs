//! The corpus: data files of cases, one a rule of the contract, and their runner.
//!
//! A row with `policy` begins a group with counters at zero; its title is the sentence that the
//! group holds to. The rows after it are calls, methods and malformed arguments. The files of
//! `loading.jsonl` and `strict.jsonl` have runners of their own.

use std::fs;
use std::path::Path;

use tollbook_policy::json::{ParseErrorKind, ProfileErrorKind, ProfileLimits, Value, parse};
use tollbook_policy::{
    AuditLevel, Cause, Counters, Explanation, MethodVerdict, Policy, check, method_without_policy,
};

use crate::common::{load, resolve, rows, run, text};

/// A policy and what its calls have used so far.
struct Group {
    title: String,
    policy: Policy,
    counters: Counters,
}

/// Runs the rows of one file; says how many. All that fail are shown at once.
fn run_file(file: &str) -> usize {
    let mut group = None;
    let mut failed = Vec::new();
    let mut count = 0;
    for row in rows(file) {
        let row = row.root();
        let came = match row.get("policy") {
            Some(policy) => {
                let begun = group.insert(Group {
                    title: text(row, "title").unwrap_or_default(),
                    policy: load(policy.raw()),
                    counters: Counters::new(),
                });
                audit(&begun.policy, row)
            }
            None => {
                count += 1;
                run_row(group.as_mut(), row)
            }
        };
        if let Err(came) = came {
            let title = group.as_ref().map_or("", |group| &group.title);
            let row: String = row.raw().chars().take(300).collect();
            failed.push(format!("{title}: {row}\n    {came}"));
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

/// Runs one row; what came instead, if it is not what the row says.
fn run_row(group: Option<&mut Group>, row: Value<'_>) -> Result<(), String> {
    if let Some(args) = text(row, "malformed") {
        return malformed(row, args);
    }
    let group = group.expect("a policy first");
    if let Some(wanted) = text(row, "is") {
        let came = method(&group.policy, row);
        return if came == wanted {
            Ok(())
        } else {
            Err(came.to_owned())
        };
    }
    let tool = text(row, "tool").expect("a tool");
    let denied = run(&group.policy, &mut group.counters, &tool, row.get("args"));
    if is_as_written(row, denied.as_ref()) {
        Ok(())
    } else {
        Err(format!("{denied:?}"))
    }
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

/// What becomes of the row's method.
fn method(policy: &Policy, row: Value<'_>) -> &'static str {
    let asked = |who: &str| text(row, who);
    let verdict = match (asked("client"), asked("server"), asked("without_policy")) {
        (Some(name), _, _) => policy.method(&name),
        (None, Some(name), _) => policy.server_request(&name),
        (None, None, Some(name)) => method_without_policy(&name),
        (None, None, None) => panic!("nobody asks: {}", row.raw()),
    };
    match verdict {
        MethodVerdict::Allow(permit) => {
            assert!(permit.charges().is_empty());
            "allow"
        }
        MethodVerdict::Call => "call",
        MethodVerdict::Deny(Cause::Method { listed: true }) => "/methods/deny",
        MethodVerdict::Deny(Cause::Method { listed: false }) => "/default",
        MethodVerdict::Deny(Cause::NoPolicy) => "no policy",
        MethodVerdict::Deny(Cause::Default | Cause::Hidden | Cause::Rule { .. }) => "a tool's rule",
        MethodVerdict::Drop => "drop",
        MethodVerdict::Pass => "pass",
    }
}

/// Whether the arguments make the call malformed, for the reason that the row says.
fn malformed(row: Value<'_>, args: String) -> Result<(), String> {
    let wanted = match text(row, "kind").as_deref() {
        Some("integer") => ProfileErrorKind::IntegerRange,
        Some("number") => ProfileErrorKind::NumberRange,
        kind => panic!("no kind: {kind:?}"),
    };
    match parse(args, &ProfileLimits::CALL) {
        Err(error) if error.kind == ParseErrorKind::Profile(wanted) => Ok(()),
        came => Err(format!("{came:?}")),
    }
}

/// Whether the policy keeps of arguments what its row says, if it says so.
fn audit(policy: &Policy, row: Value<'_>) -> Result<(), String> {
    for (tool, wanted) in row.get("audit").into_iter().flat_map(Value::entries) {
        let tool = tool.as_str().expect("a tool");
        let level = match policy.audit_level(&tool) {
            AuditLevel::Commit => "commit",
            AuditLevel::Keys => "keys",
            AuditLevel::Sealed => "sealed",
        };
        if !wanted.is_str(level) {
            return Err(format!("{tool}: {level}"));
        }
    }
    let Some(clear) = row.get("clear") else {
        return Ok(());
    };
    let wanted: Vec<_> = clear.elements().filter_map(Value::as_str).collect();
    let came: Vec<&str> = policy.audit_clear().collect();
    if came == wanted {
        Ok(())
    } else {
        Err(format!("{came:?}"))
    }
}

#[test]
fn every_rule_of_the_contract_holds_in_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/rules");
    let mut count = 0;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        count += run_file(&fs::read_to_string(&path).expect("a file"));
        files.push(name.into_owned());
    }
    files.sort_unstable();
    assert_eq!(files, RULES);
    assert!(count > 1_500, "{count}");
}

/// The contract's rules that have a file.
const RULES: [&str; 27] = [
    "absent",
    "amounts",
    "audit",
    "comparison",
    "contains",
    "counters",
    "default",
    "deny-and-only",
    "deny_if",
    "eq",
    "every-element",
    "exists",
    "folding-keys",
    "hide",
    "in",
    "indeterminate",
    "limits",
    "malformed",
    "messages",
    "methods",
    "numbers",
    "order",
    "paths",
    "pointers",
    "regex",
    "require",
    "star",
];

#[test]
fn every_step_of_the_decision_is_taken_in_its_order() {
    assert!(run_file(include_str!("../corpus/order.jsonl")) > 30);
}

#[test]
fn conditions_are_true_false_or_indeterminate_as_the_contract_says() {
    assert!(run_file(include_str!("../corpus/conditions.jsonl")) > 100);
}

#[test]
fn paths_are_read_as_the_contract_says() {
    assert!(run_file(include_str!("../corpus/paths.jsonl")) > 60);
}

#[test]
fn limits_are_charged_as_the_contract_says() {
    assert!(run_file(include_str!("../corpus/limits.jsonl")) > 40);
}

#[test]
fn what_goes_beyond_the_published_language_does_as_it_says() {
    assert!(run_file(include_str!("../corpus/beyond.jsonl")) > 80);
}

#[test]
fn no_known_way_around_an_address_or_directory_is_open() {
    assert!(run_file(include_str!("../corpus/url-bypasses.jsonl")) > 400);
    assert!(run_file(include_str!("../corpus/path-bypasses.jsonl")) > 250);
}

#[test]
fn methods_follow_their_section_and_the_default() {
    assert!(run_file(include_str!("../corpus/methods.jsonl")) > 40);
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
