//! What warnings say is held against what the rules do: for every policy of a few conditions, and
//! for every text that a warning shows.

use std::path::Path;

use tollbook_policy::json::Value;
use tollbook_policy::{Counters, Explanation, Finding, Policy, Verdict, check};

use crate::common::{document, load, resolve, run};

/// Conditions on one path, each about another kind of value.
const CONDITIONS: [&str; 24] = [
    r#""op":"eq","value":1"#,
    r#""op":"eq","value":2"#,
    r#""op":"eq","value":"a""#,
    r#""op":"eq","value":[1]"#,
    r#""op":"neq","value":1"#,
    r#""op":"neq","value":"a""#,
    r#""op":"in","value":[1,2]"#,
    r#""op":"in","value":["a","b"]"#,
    r#""op":"in","value":[2,"b"]"#,
    r#""op":"in","value":[true]"#,
    r#""op":"not_in","value":[1]"#,
    r#""op":"not_in","value":["a",1]"#,
    r#""op":"gt","value":1"#,
    r#""op":"gte","value":2"#,
    r#""op":"lt","value":2"#,
    r#""op":"lte","value":1"#,
    r#""op":"exists""#,
    r#""op":"exists","value":false"#,
    r#""op":"regex","value":"^a""#,
    r#""op":"not_regex","value":"^a""#,
    r#""op":"contains","value":"a""#,
    r#""op":"contains","value":1"#,
    r#""op":"not_contains","value":"b""#,
    r#""op":"path_in","value":["a"]"#,
];

const VALUES: [&str; 22] = [
    "{}",
    r#"{"x":null}"#,
    r#"{"x":0}"#,
    r#"{"x":1}"#,
    r#"{"x":1.5}"#,
    r#"{"x":2}"#,
    r#"{"x":3}"#,
    r#"{"x":9007199254740993}"#,
    r#"{"x":"a"}"#,
    r#"{"x":"ab"}"#,
    r#"{"x":"b"}"#,
    r#"{"x":"a/b"}"#,
    r#"{"x":"1"}"#,
    r#"{"x":""}"#,
    r#"{"x":true}"#,
    r#"{"x":false}"#,
    r#"{"x":[]}"#,
    r#"{"x":[1]}"#,
    r#"{"x":["a"]}"#,
    r#"{"x":["b",1]}"#,
    r#"{"x":{}}"#,
    r#"{"X":1}"#,
];

fn denied(policy: &Policy, arguments: &str) -> Option<Explanation> {
    let arguments = document(arguments);
    run(policy, &mut Counters::new(), "t", Some(arguments.root()))
}

/// Every denial of a call must fit what the warnings say of the rule that denied it.
fn holds(text: &str) -> usize {
    let policy = load(text);
    let warnings: Vec<&Finding> = policy.warnings().iter().collect();
    let of = |code: &str| {
        let code = code.to_owned();
        warnings.iter().filter(move |found| found.code == code)
    };
    if warnings.is_empty() {
        return 0;
    }
    for arguments in VALUES {
        let denied = denied(&policy, arguments);
        let what = || format!("{text}\n{arguments}\n{denied:#?}\n{warnings:#?}");
        if of("TB-POL-110").next().is_some() {
            assert!(denied.is_some(), "{}", what());
        }
        let Some(denied) = &denied else { continue };
        let pointer = denied.pointer.as_deref().unwrap_or_default();
        for found in of("TB-POL-109") {
            let rule = found
                .pointer
                .split("/conditions")
                .next()
                .unwrap_or_default();
            if pointer.starts_with(&format!("{rule}/")) {
                let at_most = found.message.contains("at most what it cannot judge");
                assert!(at_most, "{}", what());
                assert_eq!(denied.reason, Some("indeterminate"), "{}", what());
            }
        }
    }
    for _ in of("TB-POL-108") {
        let rule = denied(&policy, "{}").map(|denied| denied.rule);
        let by_deny_if = rule.is_some_and(|rule| rule.contains("/deny_if/"));
        assert!(!by_deny_if, "{text}\n{warnings:#?}");
    }
    warnings.len()
}

fn rule(conditions: &[&str]) -> String {
    let all: Vec<String> = conditions
        .iter()
        .map(|condition| format!(r#"{{"path":"args.x",{condition}}}"#))
        .collect();
    format!(r#"{{"conditions":[{}]}}"#, all.join(","))
}

fn tool(require: &[String], deny_if: &[String]) -> String {
    let list = |name: &str, rules: &[String]| match rules {
        [] => String::new(),
        rules => format!(r#""{name}":[{}],"#, rules.join(",")),
    };
    let (require, deny_if) = (list("require", require), list("deny_if", deny_if));
    let rules = format!("{require}{deny_if}");
    let rules = rules.trim_end_matches(',');
    format!(r#"{{"version":"1","tools":{{"t":{{{rules}}}}}}}"#)
}

#[test]
fn rules_that_never_decide_never_do_in_any_policy_of_few_conditions() {
    let mut warned = 0;
    for one in CONDITIONS {
        for two in CONDITIONS {
            warned += holds(&tool(&[rule(&[one])], &[rule(&[two])]));
            warned += holds(&tool(&[rule(&[one, two])], &[]));
            warned += holds(&tool(&[], &[rule(&[one]), rule(&[two])]));
            warned += holds(&tool(&[], &[rule(&[one, two])]));
            for three in CONDITIONS.iter().step_by(2) {
                warned += holds(&tool(&[rule(&[one])], &[rule(&[two]), rule(&[three])]));
                warned += holds(&tool(&[rule(&[one]), rule(&[two])], &[rule(&[three])]));
                warned += holds(&tool(&[rule(&[one])], &[rule(&[two, three])]));
            }
        }
    }
    assert!(warned > 5_000, "{warned}");
}

/// The texts of a message that says that they pass.
fn passing(message: &str) -> Vec<String> {
    let Some((_, texts)) = message.split_once(": ") else {
        return Vec::new();
    };
    let texts = texts.split('`').skip(1).step_by(2);
    texts.map(|text| text.replace("\\n", "\n")).collect()
}

/// The texts that a warning of a policy shows, tried on the tool that it is about.
fn shown_texts_pass(text: &str) -> usize {
    let Ok(policy) = check(text) else {
        panic!("does not load: {text}")
    };
    let json = document(text);
    let mut tried = 0;
    for found in policy.warnings() {
        let codes = ["TB-POL-103", "TB-POL-104", "TB-POL-105", "TB-POL-107"];
        if !codes.contains(&found.code) {
            continue;
        }
        let condition = found.pointer.trim_end_matches("/value");
        let condition = resolve(json.root(), condition).expect("a condition");
        let path = condition.get("path").and_then(Value::as_str);
        let key = path.as_deref().and_then(|path| path.strip_prefix("args."));
        let key = key.expect("a plain path");
        let tool = found.pointer.split('/').nth(2).expect("a tool");
        for text in passing(&found.message) {
            let quoted = serde_json::to_string(&text).expect("a text");
            let arguments = document(&format!(r#"{{"{key}":{quoted}}}"#));
            let verdict = policy.decide(tool, Some(arguments.root()));
            let passes = matches!(verdict, Verdict::Allow(_));
            assert!(passes, "{text}\n{found:#?}\n{verdict:#?}");
            tried += 1;
        }
    }
    tried
}

#[test]
fn every_text_that_a_warning_shows_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tried = 0;
    for folder in ["../../deploy/policies", "../gateway/tests/cli/lint"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                tried += shown_texts_pass(&std::fs::read_to_string(path).expect("a text"));
            }
        }
    }
    assert!(tried >= 20, "{tried}");
}
