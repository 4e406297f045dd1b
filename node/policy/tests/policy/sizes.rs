//! Every limit on a policy has a name and an error of its own, and holds at its edge.

use tollbook_policy::{Counters, check, limits};

use crate::common::{document, load, run};

/// Codes of the errors.
fn errors(text: &str) -> Vec<&'static str> {
    match check(text) {
        Ok(_) => Vec::new(),
        Err(findings) => findings.iter().map(|finding| finding.code).collect(),
    }
}

fn with_tools(tools: &str) -> String {
    format!(r#"{{"version":"1","tools":{{{tools}}}}}"#)
}

fn with_condition(path: &str, operator: &str, value: &str) -> String {
    with_tools(&format!(
        r#""t":{{"deny_if":[{{"conditions":[{{"path":"{path}","op":"{operator}",
        "value":{value}}}]}}]}}"#
    ))
}

fn joined(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

#[track_caller]
fn holds_at(limit: usize, code: &str, text: impl Fn(usize) -> String) {
    assert_eq!(errors(&text(limit)), [""; 0], "at {limit}");
    assert_eq!(errors(&text(limit + 1)), [code], "above {limit}");
}

#[test]
fn bytes_of_the_document() {
    holds_at(limits::POLICY_BYTES, "TB-POL-002", |bytes| {
        let text = r#"{"version":"1"}"#;
        format!("{text}{}", " ".repeat(bytes - text.len()))
    });
}

#[test]
fn values_and_keys_of_the_document() {
    holds_at(limits::POLICY_NODES, "TB-POL-004", |nodes| {
        // The list and what stands around it are 19 nodes.
        let list = format!("[{}]", joined(nodes - 19, |_| "1".to_owned()));
        with_condition("args.x", "eq", &list)
    });
}

#[test]
fn depth_of_the_document() {
    // The value stands in seven arrays and objects.
    holds_at(limits::POLICY_DEPTH as usize - 7, "TB-POL-003", |depth| {
        with_condition(
            "args.x",
            "eq",
            &format!("{}1{}", "[".repeat(depth), "]".repeat(depth)),
        )
    });
}

#[test]
fn tools() {
    holds_at(limits::TOOLS, "TB-POL-070", |count| {
        with_tools(&joined(count, |index| format!(r#""t{index}":{{}}"#)))
    });
}

#[test]
fn limits_that_one_call_meets() {
    let limit =
        |index| format!(r#"{{"counter":"c{index}","window":"day","scope":"grant","max":1}}"#);
    holds_at(limits::LIMITS_PER_CALL, "TB-POL-073", |count| {
        with_tools(&format!(r#""t":{{"limits":[{}]}}"#, joined(count, limit)))
    });
    holds_at(limits::LIMITS_PER_CALL, "TB-POL-073", |count| {
        let own = joined(count - 3, limit);
        let all = joined(3, |index| limit(1_000 + index));
        with_tools(&format!(
            r#""t":{{"limits":[{own}]}},"*":{{"limits":[{all}]}}"#
        ))
    });
}

#[test]
fn names_messages_and_paths() {
    holds_at(limits::NAME_BYTES, "TB-POL-074", |bytes| {
        with_tools(&format!(r#""{}":{{}}"#, "n".repeat(bytes)))
    });
    holds_at(limits::COUNTER_BYTES, "TB-POL-074", |bytes| {
        let name = "é".repeat(bytes / 2) + &"n".repeat(bytes % 2);
        with_tools(&format!(
            r#""t":{{"limits":[{{"counter":"{name}","window":"day","scope":"grant","max":1}}]}}"#
        ))
    });
    holds_at(limits::MESSAGE_BYTES, "TB-POL-075", |bytes| {
        with_tools(&format!(r#""t":{{"deny":"{}"}}"#, "m".repeat(bytes)))
    });
    holds_at(limits::PATH_BYTES, "TB-POL-076", |bytes| {
        with_condition(&format!("args.{}", "p".repeat(bytes - 5)), "eq", "1")
    });
    holds_at(limits::PATH_STEPS, "TB-POL-030", |steps| {
        with_condition(&format!("args{}", ".p".repeat(steps)), "eq", "1")
    });
}

#[test]
fn patterns() {
    holds_at(limits::PATTERN_BYTES, "TB-POL-077", |bytes| {
        with_condition("args.x", "regex", &format!("\"{}\"", "x".repeat(bytes)))
    });
    let huge = with_condition("args.x", "regex", r#""(\\pL{100}\\pN{100}){9}""#);
    assert_eq!(errors(&huge), ["TB-POL-078"]);
    let conditions = |count, pattern: &dyn Fn(usize) -> String| {
        let condition = |index| {
            let pattern = pattern(index);
            format!(r#"{{"path":"args.x","op":"regex","value":"{pattern}"}}"#)
        };
        let conditions = joined(count, condition);
        with_tools(&format!(
            r#""t":{{"deny_if":[{{"conditions":[{conditions}]}}]}}"#
        ))
    };
    let different = conditions(200, &|index| format!(r"\\pL{{40}}{index}"));
    assert_eq!(errors(&different), ["TB-POL-078"]);
    let the_same = conditions(200, &|_| r"\\pL{40}".to_owned());
    assert_eq!(errors(&the_same), [""; 0]);
}

#[test]
fn a_text_too_long_to_search_is_indeterminate() {
    let policy = with_tools(
        r#""r":{"require":[{"conditions":[{"path":"args.x","op":"regex","value":"^x+$"}]}]},
        "d":{"deny_if":[{"conditions":[{"path":"args.x","op":"regex","value":"y"}]}]},
        "n":{"deny_if":[{"conditions":[{"path":"args.x","op":"not_regex","value":"x"}]}]}"#,
    );
    let policy = load(&policy);
    let reason = |tool: &str, text: &str| {
        let args = document(&format!(r#"{{"x":"{text}"}}"#));
        let denied = run(&policy, &mut Counters::new(), tool, Some(args.root()));
        denied.map(|denied| denied.reason)
    };
    let at = "x".repeat(limits::REGEX_TEXT_BYTES);
    for tool in ["r", "d", "n"] {
        assert_eq!(reason(tool, &at), None, "{tool}");
        // Six bytes of the call for one of the text.
        assert_eq!(
            reason(
                tool,
                &format!("{}\\u0078", at.strip_suffix('x').expect("x"))
            ),
            None
        );
    }
    for beyond in [
        format!("{at}x"),
        format!("{}é", at.strip_suffix('x').expect("x")),
    ] {
        assert_eq!(reason("r", &beyond), Some(None));
        assert_eq!(reason("d", &beyond), Some(Some("indeterminate")));
        assert_eq!(reason("n", &beyond), Some(Some("indeterminate")));
    }
}

#[test]
fn findings_are_listed_up_to_a_number() {
    let tools = joined(limits::FINDINGS + 50, |index| format!(r#""t{index}":1"#));
    let found = errors(&with_tools(&tools));
    assert_eq!(found.len(), limits::FINDINGS + 1);
    assert_eq!(found.first(), Some(&"TB-POL-012"));
    assert_eq!(found.last(), Some(&"TB-POL-099"));
}

/// Padding takes no text out of a `deny_if`.
#[test]
fn an_address_or_path_too_long_to_read_is_indeterminate() {
    let limit = limits::PLACE_TEXT_BYTES;
    for (operator, list, start) in [
        ("path_in", r#"["/etc"]"#, "/etc/"),
        ("url_in", r#"["https://a.example/"]"#, "https://a.example/?"),
    ] {
        let policy = load(&with_condition("args.a", operator, list));
        for (length, reason) in [(limit, None), (limit + 1, Some("indeterminate"))] {
            let text = format!("{start}{}", "x".repeat(length - start.len()));
            let args = document(&format!(r#"{{"a":"{text}"}}"#));
            let denied = run(&policy, &mut Counters::new(), "t", Some(args.root()));
            let denied = denied.expect("a denial");
            assert_eq!(denied.reason, reason, "{operator}, {length}");
        }
    }
}
