//! Bytes as the text of a policy.

use std::sync::LazyLock;

use tollbook_policy::json::{Json, ProfileLimits, parse};
use tollbook_policy::{Finding, Policy, check};

use crate::outcome::Outcome;
use crate::tree::{Spelling, Tree};

/// Tools of a policy that are called, besides two that it does not list.
const TOOLS_MAX: usize = 8;
const DEPTH: u32 = tollbook_policy::limits::POLICY_DEPTH;

/// Arguments under the names that policies of the corpus ask for.
const ARGUMENTS: [&str; 7] = [
    "{}",
    r#"{"a":1,"b":"a","l":[1,"a",{"a":2}],"channel":"general","amount":100.5,"n":3}"#,
    r#"{"A":1,"a":"https://docs.acme.com/x","url":"https://a.example/../b","path":"src/../x"}"#,
    r#"{"a":null,"b":{"a":[[],[{"c":true}]]},"l":[],"amount":"5000","path":["a"],"url":{}}"#,
    r#"{"a":9007199254740993,"b":1.000000000000000001,"n":-1,"amount":1e300,"channel":["x"]}"#,
    r#"{"a":true,"a b":"\u0061\ud83d\ude00","items":[{"url":"http://h"},{}],"to":["x@y.z"]}"#,
    r#"{"a":{"b":{"c":[0.5,[1]]}},"\u0061mount":0,"straße":"STRASSE","command":"ls; rm -rf"}"#,
];

static CALLS: LazyLock<Vec<Json>> = LazyLock::new(|| ARGUMENTS.map(arguments).into());

fn arguments(text: &str) -> Json {
    parse(text.to_owned(), &ProfileLimits::CALL).expect("each of them is a document")
}

/// Loads or is refused, and either way says the same again; a policy that loads decides every
/// call alike however it is spelt, and names places that are in it.
///
/// # Panics
/// If that does not hold.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match check(text) {
        Err(findings) => refused(text, &findings),
        Ok(policy) => loaded(text, &policy),
    }
}

fn refused(text: &str, findings: &[Finding]) {
    assert!(!findings.is_empty());
    let again = check(text).map(|policy| policy.digest());
    assert_eq!(again.err().as_deref(), Some(findings));
    let lines = u32::try_from(text.split('\n').count()).expect("few");
    for finding in findings {
        assert!((1..=lines).contains(&finding.line), "{finding:?}");
        assert!(finding.column >= 1, "{finding:?}");
    }
}

fn loaded(text: &str, policy: &Policy) {
    let tree = Tree::read(text, DEPTH).expect("what loads is JSON");
    assert!(tree.is_unambiguous());
    for row in policy.rules() {
        assert!(tree.at(&row.pointer).is_some(), "{row:?}");
    }
    for row in policy.limits() {
        assert!(tree.at(&row.pointer).is_some(), "{row:?}");
    }
    let odd = tree.write(Spelling::Odd);
    let others = [
        Some(text),
        (odd.len() <= tollbook_policy::limits::POLICY_BYTES).then_some(&odd),
    ];
    let tools = tree.get("tools").map(Tree::members).unwrap_or_default();
    let named = tools.iter().map(|(name, _)| &**name).take(TOOLS_MAX);
    let tools: Vec<&str> = named.chain(["t", "*"]).collect();
    for other in others.into_iter().flatten() {
        let other = check(other).expect("the same document");
        assert_eq!(other.digest(), policy.digest());
        assert_eq!(other.rules(), policy.rules());
        assert_eq!(other.limits(), policy.limits());
        for tool in &tools {
            assert_eq!(other.shows(tool), policy.shows(tool));
            for arguments in CALLS.iter().map(|call| Some(call.root())).chain([None]) {
                let outcome = Outcome::of(policy, tool, arguments);
                assert_eq!(Outcome::of(&other, tool, arguments), outcome);
                if !policy.shows(tool) {
                    assert!(matches!(outcome, Outcome::Deny(_)));
                }
            }
        }
    }
}
