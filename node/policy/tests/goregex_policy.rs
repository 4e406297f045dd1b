//! What a pattern's limits mean for a policy and its calls.

use tollbook_policy::json::{Json, ProfileLimits, parse};
use tollbook_policy::{Cause, Policy, Severity, Verdict, check};

/// Counts on a character far back, so that it has no table; agents choose the text.
const SLOW: &str = "[01]*1[01]{99}x";

fn policy(tools: &str) -> Policy {
    let text = format!(r#"{{"version":"1","tools":{{{tools}}}}}"#);
    let loaded = check(&text);
    assert!(loaded.is_ok(), "{loaded:?}");
    loaded.expect("it loads")
}

fn call(text: &str) -> Json {
    parse(format!(r#"{{"x":"{text}"}}"#), &ProfileLimits::CALL).expect("a call")
}

fn condition(operator: &str, pattern: &str) -> String {
    format!(r#"[{{"conditions":[{{"path":"args.x","op":"{operator}","value":"{pattern}"}}]}}]"#)
}

/// Zeros and ones without a pattern of their own.
fn bits(count: usize) -> String {
    let mut state = 1_u32;
    let bit = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { '0' } else { '1' }
    };
    std::iter::repeat_with(bit).take(count).collect()
}

#[test]
fn a_search_that_takes_too_many_steps_is_indeterminate() {
    let [matches, does_not] = ["regex", "not_regex"].map(|operator| condition(operator, SLOW));
    let policy = policy(&format!(
        r#""r":{{"require":{matches}}},"n":{{"require":{does_not}}},
        "d":{{"deny_if":{matches}}},"e":{{"deny_if":{does_not}}}"#
    ));
    let deny = |rule, indeterminate| {
        Some(Cause::Rule {
            rule,
            indeterminate,
        })
    };
    let verdict = |tool: &str, call: &Json| match policy.decide(tool, Some(call.root())) {
        Verdict::Deny(cause) => Some(cause),
        Verdict::Allow(_) => None,
    };
    let (long, short) = (call(&bits(1 << 20)), call(&bits(1 << 10)));
    let [d, e, n, r] = [0, 1, 2, 3];
    // Twice: what was searched before has no say.
    for _ in 0..2 {
        assert_eq!(verdict("r", &long), deny(r, false));
        assert_eq!(verdict("n", &long), deny(n, false));
        assert_eq!(verdict("d", &long), deny(d, true));
        assert_eq!(verdict("e", &long), deny(e, true));
        assert_eq!(verdict("r", &short), deny(r, false));
        assert_eq!(verdict("n", &short), None);
        assert_eq!(verdict("d", &short), None);
        assert_eq!(verdict("e", &short), deny(e, false));
    }
}

/// As many different patterns as a document can hold, made from one.
fn many(pattern: &str) -> String {
    let mut conditions = String::new();
    for index in 0..1_500 {
        let comma = if index == 0 { "" } else { "," };
        let pattern = pattern.replace('%', &index.to_string());
        conditions += &format!(r#"{comma}{{"path":"args.x","op":"regex","value":"{pattern}"}}"#);
    }
    let rules = format!(r#"[{{"conditions":[{conditions}]}}]"#);
    format!(r#"{{"version":"1","tools":{{"t":{{"deny_if":{rules}}}}}}}"#)
}

#[test]
fn patterns_that_make_much_are_refused_though_they_keep_little() {
    for pattern in [
        "[01]*1[01]{41}x%",
        "(a|b)*a(a|b){16}%",
        "(?:a?){1000}a{1000}%",
        r"\\pL{500}%",
        r"(?i)[^\\pL\\pN]{200}%(",
    ] {
        let findings = check(&many(pattern)).expect_err(pattern);
        // The first hundreds of them come to the limit; the others are not compiled any more.
        assert!(findings.len() <= 201, "{pattern}: {}", findings.len());
        let last = findings.last().map(ToString::to_string).unwrap_or_default();
        assert!(
            last.contains("TB-POL-078") || last.contains("TB-POL-099"),
            "{last}"
        );
    }
    assert!(check(&many("^https://host%\\\\.acme\\\\.com/[a-z]+$")).is_ok());
}

#[test]
fn a_pattern_that_nests_too_deep_has_an_error_of_its_own() {
    let nested = |levels: usize| {
        let pattern = "(?:b|c".repeat(levels) + "a" + &")".repeat(levels);
        let require = condition("regex", &pattern);
        check(&format!(
            r#"{{"version":"1","tools":{{"t":{{"require":{require}}}}}}}"#
        ))
    };
    assert!(nested(124).is_ok());
    let findings = nested(125).expect_err("it is too deep");
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    let codes: Vec<_> = errors.map(|finding| finding.code).collect();
    assert_eq!(codes, ["TB-POL-079"]);
}
