//! `eval --trace`, `test` and `diff`, where a golden file says too little.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::{code, data, run, run_with, stderr, stdout};

const SECRET: &str = "hunter2";

#[test]
fn no_value_is_shown_unless_it_is_asked_for() {
    let policy = data("eval/refunds.json");
    let policy = policy.to_str().unwrap();
    let call = format!(
        r#"{{"tool":"refund","arguments":{{"note":"{SECRET}","amount":{{"{SECRET}":1}},
        "items":[{{"sku":"{SECRET}"}}],"token":"{SECRET}"}}}}"#
    );
    let eval = [
        "policy", "eval", "--policy", policy, "--call", "-", "--trace",
    ];
    for form in [&[][..], &["--output", "table"], &["--output", "json"]] {
        let plain = run_with(&[&eval[..], form].concat(), call.as_bytes());
        assert_eq!(code(&plain), 3, "{}", stderr(&plain));
        assert!(!stdout(&plain).contains(SECRET), "{}", stdout(&plain));
        assert!(stdout(&plain).contains("string"), "{}", stdout(&plain));
        let asked = [&eval[..], form, &["--show-values"]].concat();
        let shown = run_with(&asked, call.as_bytes());
        assert!(stdout(&shown).contains(SECRET), "{}", stdout(&shown));
    }
    let alone = run_with(
        &[
            "policy",
            "eval",
            "--policy",
            policy,
            "--call",
            "-",
            "--show-values",
        ],
        b"",
    );
    assert_eq!(code(&alone), 2);
    assert!(stderr(&alone).contains("--trace"), "{}", stderr(&alone));
}

#[test]
fn a_shown_value_is_short_and_safe_for_a_terminal() {
    let policy = data("eval/refunds.json");
    let policy = policy.to_str().unwrap();
    let long = "\u{202e}\u{9b}x".repeat(10_000);
    let call = format!(r#"{{"tool":"refund","arguments":{{"note":"{long}"}}}}"#);
    let eval = [
        "policy",
        "eval",
        "--policy",
        policy,
        "--call",
        "-",
        "--trace",
        "--show-values",
    ];
    let output = run_with(&eval, call.as_bytes());
    assert!(output.stdout.len() < 10_000, "{}", output.stdout.len());
    let table = run_with(
        &[&eval[..], &["--output", "table"]].concat(),
        call.as_bytes(),
    );
    for text in [stdout(&output), stdout(&table)] {
        assert!(!text.contains(['\u{202e}', '\u{9b}', '\u{1b}']), "{text}");
        assert!(text.contains('…'), "{text}");
    }
}

#[test]
fn a_trace_is_one_line_of_json_with_the_verdict_as_before() {
    let (policy, calls) = (data("eval/refunds.json"), data("eval/calls.jsonl"));
    let (policy, calls) = (policy.to_str().unwrap(), calls.to_str().unwrap());
    let eval = [
        "policy", "eval", "--policy", policy, "--call", calls, "--jsonl",
    ];
    let plain = stdout(&run(&eval));
    let traced = stdout(&run(&[&eval[..], &["--trace"]].concat()));
    assert_eq!(plain.lines().count(), 12);
    assert_eq!(traced.lines().count(), 12);
    for (plain, traced) in plain.lines().zip(traced.lines()) {
        let plain: Value = serde_json::from_str(plain).unwrap();
        let mut traced: Value = serde_json::from_str(traced).unwrap();
        let trace = traced.as_object_mut().unwrap().remove("trace").unwrap();
        assert_eq!(traced, plain);
        let decides = trace.as_array().unwrap().iter();
        let decides = decides.filter(|step| step["decides"] == true).count();
        assert_eq!(
            decides,
            usize::from(plain["verdict"] == "deny"),
            "{plain} {trace}"
        );
    }
}

#[test]
fn results_are_written_as_xml_that_a_parser_reads() {
    let space = TempDir::new().unwrap();
    let file = space.path().join("results.xml");
    let cases = data("test/failing.json");
    let output = run(&[
        "policy",
        "test",
        cases.to_str().unwrap(),
        "--junit",
        file.to_str().unwrap(),
    ]);
    assert_eq!(code(&output), 3);
    assert!(stdout(&output).contains("7 cases"), "{}", stdout(&output));
    let xml = fs::read_to_string(&file).unwrap();
    let elements = well_formed(&xml);
    let count = |name: &str| elements.iter().filter(|one| *one == name).count();
    assert_eq!(
        (count("testsuite"), count("testcase"), count("failure")),
        (1, 7, 6)
    );
    let nowhere = space.path().join("no/results.xml");
    let output = run(&[
        "policy",
        "test",
        cases.to_str().unwrap(),
        "--junit",
        nowhere.to_str().unwrap(),
    ]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).starts_with("error[TB-FILE-WRITE]"),
        "{}",
        stderr(&output)
    );
}

/// Reads the XML that we write, strictly; gives the names of all elements.
fn well_formed(xml: &str) -> Vec<String> {
    let mut rest = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
        .expect("a declaration");
    let (mut open, mut all): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let text = |text: &str| {
        for part in text.split('&').skip(1) {
            let entity = part.split_once(';').expect("an entity ends").0;
            assert!(
                ["amp", "lt", "gt", "quot", "apos", "#9", "#10", "#13"].contains(&entity),
                "{part}"
            );
        }
        assert!(
            !text.contains(|c: char| c == '\u{fffe}' || (c < ' ' && c != '\n')),
            "{text:?}"
        );
    };
    while let Some((before, tag)) = rest.split_once('<') {
        text(before);
        assert!(!before.contains('>') && (!open.is_empty() || before.trim().is_empty()));
        let (tag, after) = tag.split_once('>').expect("a tag ends");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (tag, is_empty) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut pieces = attributes.split('"');
        while let (Some(key), Some(value)) = (pieces.next(), pieces.next()) {
            assert!(key.trim().ends_with('='), "{tag}");
            text(value);
        }
        all.push(name.to_owned());
        if !is_empty {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    all
}

#[test]
fn coverage_is_demanded_only_where_it_is_asked_for() {
    let space = TempDir::new().unwrap();
    let policy = data("test/refunds.json");
    fs::copy(policy, space.path().join("refunds.json")).unwrap();
    let one = space.path().join("one.json");
    let case = r#"{"policy":"refunds.json","cases":
        [{"name":"n","expect":"deny","call":{"tool":"close"}}]}"#;
    fs::write(&one, case).unwrap();
    let one = one.to_str().unwrap();
    assert_eq!(code(&run(&["policy", "test", one])), 0);
    let demanded = run(&["policy", "test", one, "--require-coverage"]);
    assert_eq!(code(&demanded), 3);
    assert!(
        stdout(&demanded).contains("no case is denied by /hide/wipe"),
        "{}",
        stdout(&demanded)
    );
    let good = data("test/good.json");
    let whole = run(&[
        "policy",
        "test",
        good.to_str().unwrap(),
        "--require-coverage",
    ]);
    assert_eq!(code(&whole), 0, "{}", stdout(&whole));
    // Two files of one policy cover it together.
    let output = run(&["policy", "test", one, one, "--output", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["coverage"].as_array().unwrap().len(), 1);
    let rules = report["coverage"][0]["rules"].as_array().unwrap();
    let close = rules
        .iter()
        .find(|one| one["pointer"] == "/tools/close/deny");
    assert_eq!(close.unwrap()["denied"], 2, "{report}");
}

#[test]
fn a_policy_beside_its_published_self_differs_by_what_was_changed() {
    let folder = data("").join("../../../../deploy/policies");
    let (small, large) = (
        folder.join("refund-over-100.json"),
        folder.join("refund-over-1000.json"),
    );
    let (small, large) = (small.to_str().unwrap(), large.to_str().unwrap());
    let output = run(&["policy", "diff", small, large, "--output", "json"]);
    assert_eq!(code(&output), 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["same"], false);
    let same = run(&["policy", "diff", small, small]);
    assert_eq!(code(&same), 0);
    assert!(stdout(&same).starts_with("same digest, no change of meaning: "));
}
