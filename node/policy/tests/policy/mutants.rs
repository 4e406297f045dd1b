//! Policies with something wrong in any place: never a panic, and each finding is in the text.

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};

use tollbook_policy::json::{ProfileLimits, parse};
use tollbook_policy::{Cause, Verdict, check};

use crate::common::{document, resolve};

const SEEDS: &[&str] = &[
    include_str!("../../../../deploy/policies/http-egress.json"),
    include_str!("../../../../deploy/policies/kubernetes-namespaces.json"),
    include_str!("../../../../deploy/policies/shell-exec.json"),
    include_str!("../corpus/rows.json"),
];

const PIECES: &[&str] = &[
    "",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "1",
    "-1",
    "1e400",
    "0.5",
    "9007199254740993",
    "\"\"",
    "{}",
    "[]",
    "\"*\"",
    "\"args.a[*]\"",
    "\"args\"",
    "\"a\":1,",
    "\"regex\"",
    "\"(\"",
    "\"exists\"",
    "\"url_in\"",
    "\"path_in\"",
    "\"not_in\"",
    "\"limits\"",
    "\"only\":[\"a\"],",
    "\"hide\":[\"a\"],",
    "\u{feff}",
    "é",
    "\\ud800",
    "\u{7f}",
    "\n",
];

/// A seed with a few stretches replaced.
fn mutant() -> impl Strategy<Value = String> {
    let change = (
        any::<prop::sample::Index>(),
        0_usize..12,
        prop::sample::select(PIECES),
    );
    (
        prop::sample::select(SEEDS),
        prop::collection::vec(change, 1..4),
    )
        .prop_map(|(seed, changes)| {
            changes
                .into_iter()
                .fold(seed.to_owned(), |text, (place, length, piece)| {
                    let mut letters: Vec<char> = text.chars().collect();
                    let from = place.index(letters.len() + 1);
                    let to = (from + length).min(letters.len());
                    letters.splice(from..to, piece.chars());
                    letters.into_iter().collect()
                })
        })
}

/// Checks one text and holds what comes of it to what every text must come to.
fn hold(text: &str) {
    let findings = match check(text) {
        Ok(policy) => {
            for tool in ["a", "http_request.post", "delete_pod", "*", ""] {
                for args in [
                    "{}",
                    r#"{"url":1,"A":2}"#,
                    r#"{"command":["x"],"b":[{"c":1}]}"#,
                ] {
                    let args = document(args);
                    let verdict = policy.decide(tool, Some(args.root()));
                    if let Verdict::Deny(cause) = verdict {
                        assert!(!policy.explain(cause, tool).rule.is_empty());
                        assert!(cause != Cause::NoPolicy);
                    }
                }
            }
            policy.warnings().to_vec()
        }
        Err(findings) => {
            assert!(!findings.is_empty());
            findings
        }
    };
    let mut last = (0, 0);
    for finding in &findings {
        let place = (finding.line, finding.column);
        assert!(place >= last, "{findings:?}");
        last = place;
        let line = text
            .split('\n')
            .nth(finding.line as usize - 1)
            .expect("a line of the text");
        assert!(
            finding.column as usize <= line.chars().count() + 1,
            "{finding}"
        );
        if let Ok(json) = parse(text.to_owned(), &ProfileLimits::CALL) {
            assert!(
                resolve(json.root(), &finding.pointer).is_some(),
                "{finding}\n{text}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn a_mutant_is_refused_in_its_place_or_decides(text in mutant()) {
        hold(&text);
    }

    #[test]
    fn any_text_is_refused_in_its_place(text in any::<String>()) {
        hold(&text);
    }
}
