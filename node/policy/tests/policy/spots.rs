//! Findings point into the text that they are about, whatever the text is.

use std::path::Path;

use tollbook_policy::{Finding, Severity, check};

/// What a slip of the hand puts in a text, or what somebody puts there who looks for a crash.
const SLIPS: [&str; 18] = [
    "", " ", "\"", ",", "{", "}", "[", "]", ":", "'", "\\", "\n", "x", "0", "-", "//", "é", "\u{0}",
];

fn findings(text: &str) -> Vec<Finding> {
    check(text).map_or_else(|found| found, |policy| policy.warnings().to_vec())
}

/// The place of a finding is one of the text, and ends where or after it begins.
fn are_places(text: &str, findings: &[Finding]) {
    for found in findings {
        let begin = (found.line, found.column);
        let end = (found.end_line, found.end_column);
        assert!(begin <= end, "{found:#?}\n{text}");
        for (line, column) in [begin, end] {
            let line = text.split('\n').nth(line as usize - 1);
            let columns = line.map(|line| line.chars().count() + 1);
            let within = columns.is_some_and(|columns| column as usize <= columns);
            assert!(within && column > 0, "{found:#?}\n{text}");
        }
        assert!(found.message.len() < 2_000, "{found:#?}");
        assert!(!found.message.contains(char::is_control), "{found:#?}");
    }
}

fn published(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/policies");
    std::fs::read_to_string(folder.join(name)).expect("a published policy")
}

#[test]
fn every_beginning_of_a_policy_is_refused_in_its_place() {
    for name in ["shell-exec.json", "slack-channels.json", "http-egress.json"] {
        let text = published(name);
        let text = text.trim_end();
        for (end, _) in text.char_indices() {
            let beginning = text.get(..end).expect("a character begins there");
            let found = findings(beginning);
            are_places(beginning, &found);
            assert_eq!(found.len(), 1, "{beginning}");
            assert_eq!(
                found.first().map(|found| found.severity),
                Some(Severity::Error)
            );
        }
    }
}

#[test]
fn every_slip_of_the_hand_has_a_place() {
    let mut texts: Vec<String> = vec![published("refund-over-100.json")];
    texts.push(
        r#"{"version":"1","hide":["é"],"tools":{"t":{"require":[{"conditions":[
        {"path":"args[\"é\\n\"].b","op":"regex","value":"^[a-z]{2}(\\d|\"é\")*$"}]}]}}}"#
            .to_owned(),
    );
    let mut refused = 0;
    for text in &texts {
        for (at, c) in text.char_indices() {
            let (before, rest) = text.split_at(at);
            let after = rest.get(c.len_utf8()..).expect("a character");
            for slip in SLIPS {
                for changed in [
                    [before, slip, after].concat(),
                    [before, slip, rest].concat(),
                ] {
                    let found = findings(&changed);
                    are_places(&changed, &found);
                    let bad = |found: &Finding| found.severity == Severity::Error;
                    refused += usize::from(found.iter().any(bad));
                }
            }
        }
    }
    assert!(refused > 10_000, "{refused}");
}
