//! Random policies and calls that have much to do with one another.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, prop, prop_oneof};

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(words).prop_map(str::to_owned)
}

const EXACT: &[&str] = &[
    "0",
    "-0",
    "1",
    "1.0",
    "1e0",
    "10e-1",
    "2",
    "-1",
    "0.5",
    "5e-1",
    "1.5",
    "10",
    "1e1",
    "9007199254740991",
    "-9007199254740991",
];
const TEXTS: &[&str] = &[
    r#""""#,
    r#""a""#,
    r#""b""#,
    r#""ab""#,
    r#""\u0061""#,
    r#""A""#,
    r#""é""#,
];
const AMBIGUOUS: &[&str] = &[
    "9007199254740992",
    "1.000000000000000001",
    "9007199254740992.0",
];
const KEYS: &[&str] = &["a", "b", "l", "A", "a b"];

fn value() -> impl Strategy<Value = String> + Clone {
    let scalar = prop_oneof![
        4 => one_of(EXACT),
        4 => one_of(TEXTS),
        2 => one_of(&["true", "false"]),
        1 => one_of(AMBIGUOUS),
        1 => Just("null".to_owned()),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::btree_map(one_of(KEYS), inner, 0..3).prop_map(object),
        ]
    })
}

fn object(members: BTreeMap<String, String>) -> String {
    let members = members
        .into_iter()
        .map(|(key, value)| format!("\"{key}\":{value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn path() -> impl Strategy<Value = String> + Clone {
    let step = prop::sample::select(&[".a", ".b", ".l", "[\"a b\"]", "[0]", "[1]", "[*]"]);
    prop_oneof![
        1 => Just("args".to_owned()),
        8 => one_of(&["args.a", "args.l[*]", "args.b", "args.a.b", "args.l[0]"]),
        6 => prop::collection::vec(step, 1..4).prop_map(|steps| format!("args{}", steps.concat())),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![one_of(EXACT), one_of(TEXTS), one_of(&["true", "false"])];
    let list = prop::collection::vec(scalar.clone(), 1..4)
        .prop_map(|members| format!("[{}]", members.join(",")));
    let constant = prop_oneof![
        3 => scalar.clone(),
        1 => list.clone(),
        1 => prop::collection::btree_map(one_of(KEYS), scalar.clone(), 0..3).prop_map(object),
    ];
    let test = prop_oneof![
        (one_of(&["eq", "neq"]), constant),
        (one_of(&["lt", "lte", "gt", "gte"]), one_of(EXACT)),
        (one_of(&["in", "not_in"]), list),
        (one_of(&["contains", "not_contains"]), scalar),
        (
            one_of(&["regex", "not_regex"]),
            one_of(&[r#""^a""#, r#""b$""#, r#""^$""#, r#""a""#])
        ),
        (one_of(&["exists"]), one_of(&["true", "false", ""])),
    ];
    (path(), test).prop_map(|(path, (op, value))| {
        let path = path.replace('"', "\\\"");
        let value = if value.is_empty() {
            value
        } else {
            format!(",\"value\":{value}")
        };
        format!(r#"{{"path":"{path}","op":"{op}"{value}}}"#)
    })
}

/// Rules, present in so many of all cases.
fn rules(present: f64) -> impl Strategy<Value = Option<String>> {
    let conditions = prop_oneof![
        2 => prop::collection::vec(condition(), 1),
        1 => prop::collection::vec(condition(), 2),
    ];
    let rule = conditions.prop_map(|all| format!(r#"{{"conditions":[{}]}}"#, all.join(",")));
    prop::option::weighted(
        present,
        prop::collection::vec(rule, 1..3).prop_map(|rules| format!("[{}]", rules.join(","))),
    )
}

/// Limits whose counters begin with `name`, so that no call meets one twice.
fn limits(name: &'static str) -> impl Strategy<Value = Option<String>> {
    let limit = (
        0_u8..6,
        prop::option::of(one_of(&["args.a", "args.b", "args.l[0]"])),
    );
    prop::option::of(prop::collection::vec(limit, 1..3).prop_map(move |limits| {
        let limits = limits.into_iter().enumerate().map(|(index, (max, from))| {
            let from = from.map(|path| format!(r#","increment_from":"{path}""#));
            format!(
                r#"{{"counter":"{name}{index}","window":"day","scope":"grant","max":{max}{}}}"#,
                from.unwrap_or_default()
            )
        });
        format!("[{}]", limits.collect::<Vec<_>>().join(","))
    }))
}

fn tool(name: &'static str) -> impl Strategy<Value = String> {
    let may_refuse = name != "*";
    let only = prop::option::weighted(0.1, Just(r#"["a","l"]"#.to_owned()));
    let deny = prop::option::weighted(0.03, Just("\"no\"".to_owned()));
    (rules(0.25), rules(0.6), limits(name), only, deny).prop_map(
        move |(require, deny_if, limits, only, deny)| {
            let (only, deny) = if may_refuse {
                (only, deny)
            } else {
                (None, None)
            };
            let members = [
                ("require", require),
                ("deny_if", deny_if),
                ("limits", limits),
                ("only", only),
                ("deny", deny),
            ];
            let members = members
                .into_iter()
                .filter_map(|(key, value)| value.map(|value| (key.to_owned(), value)));
            object(members.collect())
        },
    )
}

/// A policy that loads.
pub(crate) fn policy() -> impl Strategy<Value = String> {
    let default = one_of(&["", r#","default":"allow""#, r#","default":"deny""#]);
    let hide = prop_oneof![
        1 => Just(r#","hide":["h","t"]"#.to_owned()),
        10 => one_of(&["", r#","hide":["h"]"#]),
    ];
    let star = prop::option::of(tool("*"));
    (default, hide, tool("t"), star).prop_map(|(default, hide, t, star)| {
        let star = star
            .map(|star| format!(r#","*":{star}"#))
            .unwrap_or_default();
        format!(r#"{{"version":"1"{default}{hide},"tools":{{"t":{t},"empty":{{}}{star}}}}}"#)
    })
}

/// A tool, and arguments as JSON.
pub(crate) fn call() -> impl Strategy<Value = (String, Option<String>)> {
    let tools = prop_oneof![8 => Just("t"), 1 => prop::sample::select(&["empty", "u", "h", "*"])];
    let key = prop_oneof![6 => one_of(&["a", "b", "l"]), 1 => one_of(KEYS)];
    let args = prop::collection::btree_map(key, value(), 0..4).prop_map(object);
    (
        tools.prop_map(str::to_owned),
        prop::option::weighted(0.95, args),
    )
}
