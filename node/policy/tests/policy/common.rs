//! What the runners of data files share.

use tollbook_policy::json::{Json, ProfileLimits, Value, parse};
use tollbook_policy::{Counters, Explanation, Policy, Verdict, check};

/// The rows of a file of one JSON value a line.
pub(crate) fn rows(text: &str) -> Vec<Json> {
    let lines = text.split('\n').filter(|line| !line.trim().is_empty());
    lines.map(document).collect()
}

/// One document.
pub(crate) fn document(text: &str) -> Json {
    match parse(text.to_owned(), &ProfileLimits::CALL) {
        Ok(json) => json,
        Err(error) => panic!("byte {}: {error}: {text}", error.at),
    }
}

/// A policy that must load.
pub(crate) fn load(text: &str) -> Policy {
    check(text).unwrap_or_else(|findings| {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        panic!("does not load:\n{}\n{text}", lines.join("\n"))
    })
}

/// Decides and charges one call; none if it is allowed.
pub(crate) fn run(
    policy: &Policy,
    counters: &mut Counters,
    tool: &str,
    arguments: Option<Value<'_>>,
) -> Option<Explanation> {
    match policy.decide(tool, arguments) {
        Verdict::Deny(cause) => Some(policy.explain(cause, tool)),
        Verdict::Allow(permit) => match counters.charge(policy, &permit) {
            Ok(()) => None,
            Err((limit, cause)) => Some(policy.explain_limit(limit, cause)),
        },
    }
}

/// A member that is a string, if it is there and not `null`.
pub(crate) fn text(row: Value<'_>, name: &str) -> Option<String> {
    row.get(name)
        .and_then(|value| value.as_str().map(Into::into))
}

/// A naive RFC 6901.
pub(crate) fn resolve<'d>(root: Value<'d>, pointer: &str) -> Option<Value<'d>> {
    pointer.split('/').skip(1).try_fold(root, |value, token| {
        let token = token.replace("~1", "/").replace("~0", "~");
        value
            .get(&token)
            .or_else(|| value.element(token.parse().ok()?))
    })
}
