//! What a diff calls loosening only loosens, what it calls tightening only tightens, and what it
//! does not see does not matter.

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use serde_json::Value;

use tollbook_policy::{Change, Counters, Direction, Policy, check, diff};

use crate::common::{document, load, rows, run};
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
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
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
                    // What is an array here may be an object in the other.
                    match elements.get_mut(name.parse().unwrap_or(usize::MAX)) {
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
            same @ (Direction::Changes | Direction::Neutral) => same,
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
    let mut count = 0;
    for row in rows(include_str!("../corpus/diffs.jsonl")) {
        let row = row.root();
        let side = |name| row.get(name).expect("a policy").raw();
        let wanted = row.get("changes").expect("changes").elements();
        let wanted: Vec<_> = wanted.map(|line| line.as_str().expect("a line")).collect();
        assert_eq!(shown(side("old"), side("new")), wanted, "{}", row.raw());
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn one_rule_fewer_is_one_change() {
    let rule = |n: u8| format!(r#"{{"conditions":[{{"path":"args.x","op":"gt","value":{n}}}]}}"#);
    let old = with(&format!(
        r#""deny_if":[{},{},{}]"#,
        rule(1),
        rule(2),
        rule(3)
    ));
    let fewer = with(&format!(r#""deny_if":[{},{}]"#, rule(1), rule(3)));
    let wanted = "loosens /tools/t/deny_if/1 -: `deny_if` dropped: `args.x gt 2`";
    assert_eq!(shown(&old, &fewer), [wanted]);
}
