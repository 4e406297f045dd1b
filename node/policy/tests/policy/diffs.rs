//! What a diff calls loosening only loosens, what it calls tightening only tightens, and what it
//! does not see does not matter.

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use serde_json::Value;

use tollbook_policy::{Change, Counters, Direction, Policy, check, diff};

use crate::common::{document, load, run};
use crate::strategies::{call, policy};

/// All places of a document, the root left out.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    let mut deeper = |token: &str, value: &Value| {
        let at = format!("{at}/{}", token.replace('~', "~0").replace('/', "~1"));
        all.push(at.clone());
        places(value, &at, all);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| deeper(key, value)),
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                deeper(&index.to_string(), value);
            }
        }
        _ => {}
    }
}

/// Something of a policy is taken out, or something of another is put in its place.
fn edited() -> impl Strategy<Value = (String, String)> {
    let edit = (any::<bool>(), any::<prop::sample::Index>());
    (policy(), policy(), prop::collection::vec(edit, 1..3)).prop_map(|(text, other, edits)| {
        let old: Value = serde_json::from_str(&text).expect("a policy");
        let other: Value = serde_json::from_str(&other).expect("a policy");
        let mut new = old.clone();
        for (is_graft, index) in edits {
            let mut all = Vec::new();
            places(if is_graft { &other } else { &new }, "", &mut all);
            let place = index.get(&all).clone();
            let (parent, name) = place.rsplit_once('/').expect("a place has a parent");
            let graft = other.pointer(&place).filter(|_| is_graft).cloned();
            match (new.pointer_mut(parent), graft) {
                (Some(Value::Object(members)), Some(graft)) => {
                    members.insert(name.replace("~1", "/").replace("~0", "~"), graft);
                }
                (Some(Value::Array(elements)), Some(graft)) => {
                    match elements.get_mut(name.parse::<usize>().expect("an index")) {
                        Some(element) => *element = graft,
                        None => elements.push(graft),
                    }
                }
                (Some(Value::Object(members)), None) => {
                    members.remove(&name.replace("~1", "/").replace("~0", "~"));
                }
                (Some(Value::Array(elements)), None) => {
                    elements.remove(name.parse::<usize>().expect("an index"));
                }
                (_, _) => {}
            }
        }
        (old.to_string(), new.to_string())
    })
}

fn changes(old: &str, new: &str) -> Vec<Change> {
    diff(document(old).root(), document(new).root())
}

fn allows(policy: &Policy, tool: &str, args: Option<&str>) -> bool {
    let args = args.map(document);
    let args = args.as_ref().map(|args| args.root());
    run(policy, &mut Counters::new(), tool, args).is_none()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn directions_hold((old, new) in edited(), calls in prop::collection::vec(call(), 8)) {
        // Most edits leave a policy that loads; the others say nothing here.
        let Ok(after) = check(&new) else {
            return Ok(());
        };
        let before = load(&old);
        let found = changes(&old, &new);
        assert_eq!(found.is_empty(), before.digest() == after.digest(), "{old}\n{new}");
        let has = |direction| found.iter().any(|change| change.direction == direction);
        let may_loosen = has(Direction::Loosens) || has(Direction::Changes);
        let may_tighten = has(Direction::Tightens) || has(Direction::Changes);
        for (tool, args) in calls {
            let args = args.as_deref();
            let old_allows = allows(&before, &tool, args);
            let new_allows = allows(&after, &tool, args);
            let what = format!("{tool} {args:?}\n{old}\n{new}\n{found:#?}");
            assert!(may_loosen || old_allows || !new_allows, "loosened: {what}");
            assert!(may_tighten || new_allows || !old_allows, "tightened: {what}");
        }
        // The other way round each direction is the other.
        let back = changes(&new, &old);
        let mut back: Vec<Direction> = back.iter().map(|one| one.direction).collect();
        let mut there: Vec<Direction> = found.iter().map(|one| match one.direction {
            Direction::Loosens => Direction::Tightens,
            Direction::Tightens => Direction::Loosens,
            same => same,
        }).collect();
        back.sort_unstable();
        there.sort_unstable();
        assert_eq!(there, back, "{old}\n{new}\n{found:#?}");
    }
}

fn shown(old: &str, new: &str) -> Vec<String> {
    load(old);
    load(new);
    let line = |change: Change| {
        let place = |place: Option<String>| place.unwrap_or_else(|| "-".to_owned());
        let places = format!("{} {}", place(change.old), place(change.new));
        format!("{} {places}: {}", change.direction.name(), change.text)
    };
    changes(old, new).into_iter().map(line).collect()
}

/// A policy with these members of the tool `t`.
fn with(members: &str) -> String {
    format!(r#"{{"version":"1","tools":{{"t":{{{members}}}}}}}"#)
}

fn require(conditions: &str) -> String {
    with(&format!(r#""require":[{{"conditions":[{conditions}]}}]"#))
}

fn deny_if(conditions: &str) -> String {
    with(&format!(r#""deny_if":[{{"conditions":[{conditions}]}}]"#))
}

fn condition(op: &str, value: &str) -> String {
    format!(r#"{{"path":"args.x","op":"{op}","value":{value}}}"#)
}

#[test]
fn a_value_that_moves_has_a_direction_where_it_is_certain() {
    for (op, old, new, in_require) in [
        ("lte", "1", "2", "loosens"),
        ("lt", "2", "1", "tightens"),
        ("gte", "1", "2", "tightens"),
        ("gt", "-1", "-2.5", "loosens"),
        ("in", r#"["a"]"#, r#"["a","b"]"#, "loosens"),
        ("in", r#"["b","a"]"#, r#"["a"]"#, "tightens"),
        ("in", r#"["b","a"]"#, r#"["a","b"]"#, "neutral"),
        ("in", r#"["a"]"#, r#"["a",1]"#, "changes"),
        ("in", r#"["a"]"#, r#"["b"]"#, "changes"),
        ("not_in", r#"["a"]"#, r#"["a","b"]"#, "tightens"),
        (
            "url_in",
            r#"["https://a/"]"#,
            r#"["https://a/","https://b/"]"#,
            "loosens",
        ),
        ("path_in", r#"["/a","/b"]"#, r#"["/a"]"#, "tightens"),
        ("regex", r#""^a$""#, r#""^b$""#, "changes"),
        ("eq", "1", "2", "changes"),
        ("exists", "true", "false", "changes"),
    ] {
        let (old, new) = (condition(op, old), condition(op, new));
        let found = changes(&require(&old), &require(&new));
        assert_eq!(found.len(), 1, "{old} {new} {found:?}");
        assert_eq!(found[0].direction.name(), in_require, "{old} {new}");
        let found = changes(&deny_if(&old), &deny_if(&new));
        let in_deny_if = match in_require {
            "loosens" => "tightens",
            "tightens" => "loosens",
            other => other,
        };
        assert_eq!(found[0].direction.name(), in_deny_if, "{old} {new}");
    }
}

#[test]
fn every_kind_of_change_is_named_with_its_places() {
    let (x, y) = (
        condition("eq", "1"),
        condition("eq", "1").replace("args.x", "args.y"),
    );
    let limit = |rest: &str| {
        with(&format!(
            r#""limits":[{{"counter":"c","window":"day","scope":"grant",{rest}}}]"#
        ))
    };
    let top = |rest: &str| format!(r#"{{"version":"1"{rest}}}"#);
    let cases: Vec<(String, String, &[&str])> = vec![
        (
            top(""),
            top(r#","default":"deny""#),
            &[
                "neutral - -: written otherwise: an order, or a default spelt out; \
             nothing decides otherwise",
            ],
        ),
        (
            top(r#","default":"deny""#),
            top(r#","default":"allow""#),
            &[
                "loosens /default /default: deny becomes allow for tools and methods that \
                 nothing names",
            ],
        ),
        (
            top(r#","hide":["a","b"]"#),
            top(r#","hide":["b","c"]"#),
            &[
                "neutral /hide/0 -: no longer hidden; every call is denied with or without",
                "neutral - /hide/1: hidden; every call is denied with or without",
            ],
        ),
        (
            top(r#","tools":{"a/b":{}}"#),
            top(""),
            &["tightens /tools/a~1b -: no longer listed: every call is denied"],
        ),
        (
            top(r#","default":"allow""#),
            top(r#","default":"allow","tools":{"a":{}}"#),
            &["neutral - /tools/a: listed; it was allowed by default"],
        ),
        (
            top(""),
            top(r#","tools":{"a":{"deny":"no"}}"#),
            &["neutral - /tools/a: listed, and every call denied: it is visible now"],
        ),
        (
            top(""),
            require(&x),
            &["loosens - /tools/t: newly allowed, under 1 `require`, 0 `deny_if` and 0 `limits`"],
        ),
        // Rules go with their tool, and then the default lets all of it pass.
        (
            require(&x),
            top(r#","default":"allow""#),
            &["loosens /default? -: "],
        ),
        (
            with(""),
            with(r#""deny":"no","only":["a"]"#),
            &[
                "tightens - /tools/t/deny: `deny` added: every call is denied",
                "tightens - /tools/t/only: `only` added: other arguments are denied",
            ],
        ),
        (
            with(r#""deny":"no""#),
            with(r#""deny":"never","only":["a"]"#),
            &[
                "neutral /tools/t/deny /tools/t/deny: the message of `deny` changes",
                "neutral - /tools/t/only: `only` added: other arguments are denied \
             (`deny` refuses every call before and after)",
            ],
        ),
        (
            with(r#""only":["a","b"]"#),
            with(r#""only":["b","c"]"#),
            &[
                "tightens /tools/t/only /tools/t/only: argument `a` is no longer allowed",
                "loosens /tools/t/only /tools/t/only: argument `c` is allowed too",
            ],
        ),
        (
            require(&x),
            require(&format!("{x},{y}")),
            &[
                "tightens /tools/t/require/0 /tools/t/require/0: `require` changes: \
             with `args.y eq 1`",
            ],
        ),
        (
            deny_if(&x),
            deny_if(&format!("{y},{x}")),
            &[
                "loosens /tools/t/deny_if/0 /tools/t/deny_if/0: `deny_if` changes: \
             with `args.y eq 1`",
            ],
        ),
        (
            require(&x),
            require(&y),
            &[
                "loosens /tools/t/require/0 -: `require` dropped: `args.x eq 1`",
                "tightens - /tools/t/require/0: `require` added: `args.y eq 1`",
            ],
        ),
        (
            limit(r#""max":5"#),
            limit(r#""max":6,"increment":2"#),
            &[
                "changes /tools/t/limits/0 /tools/t/limits/0: limit `c` a day, by grant, \
                 at most 5 changes: max raised from 5 to 6; increment from 1 to 2",
            ],
        ),
        (
            limit(r#""max":5,"increment":1.0"#),
            limit(r#""max":4"#),
            &[
                "tightens /tools/t/limits/0 /tools/t/limits/0: limit `c` a day, by grant, \
                 at most 5 changes: max lowered from 5 to 4",
            ],
        ),
        (
            limit(r#""max":5"#),
            limit(r#""max":5,"increment_from":"args.n""#),
            &[
                "changes /tools/t/limits/0 /tools/t/limits/0: limit `c` a day, by grant, \
                 at most 5 changes: charged by `args.n`, not by a fixed amount",
            ],
        ),
        (
            with(""),
            limit(r#""max":5"#),
            &["tightens - /tools/t/limits/0: limit added: `c` a day, by grant, at most 5"],
        ),
        (
            top(r#","methods":{"allow":["resources/read"]}"#),
            top(r#","methods":{"deny":["prompts/*"]}"#),
            &[
                "tightens /methods/allow/0 -: `resources/read` is no longer among the methods that \
             are allowed",
                "tightens - /methods/deny/0: `prompts/*` is among the methods that are denied",
            ],
        ),
        (
            top(r#","description":"a""#),
            top(r#","audit":{"level":"keys"}"#),
            &[
                "neutral - /audit: what the book keeps of arguments changes",
                "neutral /description -: the description changes",
            ],
        ),
    ];
    for (old, new, wanted) in cases {
        if wanted[0].starts_with("loosens /default?") {
            let found = shown(&old, &new);
            assert_eq!(found.len(), 3, "{found:#?}");
            assert!(
                found
                    .iter()
                    .filter(|line| line.starts_with("loosens"))
                    .count()
                    == 2
            );
            continue;
        }
        assert_eq!(shown(&old, &new), wanted, "{old}\n{new}");
    }
}

#[test]
fn rules_that_only_move_change_nothing() {
    let rule = |n: u8| format!(r#"{{"conditions":[{{"path":"args.x","op":"gt","value":{n}}}]}}"#);
    let old = with(&format!(
        r#""deny_if":[{},{},{}]"#,
        rule(1),
        rule(2),
        rule(3)
    ));
    let new = with(&format!(
        r#""deny_if":[{},{},{}]"#,
        rule(3),
        rule(1),
        rule(2)
    ));
    let wanted = "neutral - -: the order of `deny_if` changes: another rule may be the one named";
    assert_eq!(shown(&old, &new), [wanted]);
    let fewer = with(&format!(r#""deny_if":[{},{}]"#, rule(1), rule(3)));
    let wanted = "loosens /tools/t/deny_if/1 -: `deny_if` dropped: `args.x gt 2`";
    assert_eq!(shown(&old, &fewer), [wanted]);
}
