//! The one layout changes no meaning and is reached in one step.

use std::path::Path;

use proptest::prelude::{ProptestConfig, proptest};

use tollbook_policy::json::{Kind, Value};
use tollbook_policy::{check, layout};

use crate::common::{document, load, rows};
use crate::strategies::policy;

fn hold(text: &str) {
    let laid = layout(text).expect("a policy that loads");
    assert_eq!(load(&laid).digest(), load(text).digest(), "{text}\n{laid}");
    assert_eq!(layout(&laid).expect("a policy still"), laid);
    assert!(laid.ends_with("}\n"), "{laid}");
    for line in laid.lines() {
        assert_eq!(line.trim_end(), line);
        // Longer is only what cannot be broken: one scalar, with its key.
        let parts = line.trim_start().matches(['{', '[', ',']).count();
        assert!(
            line.chars().count() <= 100 || parts <= 1 || line.contains(": \""),
            "{line}"
        );
    }
    // The very same strings and numbers, but in another order.
    let mut before = tokens(text);
    let mut after = tokens(&laid);
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after);
}

/// All strings, numbers and words, as written.
fn tokens(text: &str) -> Vec<String> {
    fn gather<'d>(value: Value<'d>, tokens: &mut Vec<&'d str>) {
        match value.kind() {
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => tokens.push(value.raw()),
            Kind::Array => value.elements().for_each(|element| gather(element, tokens)),
            Kind::Object => {
                for (key, member) in value.entries() {
                    tokens.push(key.raw());
                    gather(member, tokens);
                }
            }
        }
    }
    let json = document(text);
    let mut tokens = Vec::new();
    gather(json.root(), &mut tokens);
    tokens.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_policy_of_the_corpora_keeps_its_meaning() {
    let mut count = 0;
    for file in [
        include_str!("../corpus/beyond.jsonl"),
        include_str!("../corpus/conditions.jsonl"),
        include_str!("../corpus/limits.jsonl"),
        include_str!("../corpus/loading.jsonl"),
        include_str!("../corpus/methods.jsonl"),
        include_str!("../corpus/order.jsonl"),
        include_str!("../corpus/paths.jsonl"),
    ] {
        for row in rows(file) {
            let policy = row
                .root()
                .get("policy")
                .map(|policy| policy.raw().to_owned());
            let text = row
                .root()
                .get("text")
                .and_then(|text| text.as_str().map(Into::into));
            let Some(text) = policy.or(text).filter(|text: &String| check(text).is_ok()) else {
                continue;
            };
            hold(&text);
            count += 1;
        }
    }
    hold(include_str!("../corpus/rows.json"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/policies");
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        hold(&std::fs::read_to_string(path).expect("a policy"));
        count += 1;
    }
    assert!(count > 60, "{count}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn any_policy_keeps_its_meaning(text in policy()) {
        hold(&text);
    }
}

#[test]
fn members_have_the_order_of_the_documentation_and_short_ones_one_line() {
    let text = r#"{"tools":{"b":{"limits":[{"max":1e1,"on_deny":"no","scope":"grant","window":"day",
        "counter":"c"}],"require":[{
        "on_deny":"A message that is so long that the rule has no room on one line.",
        "conditions":[{"value":["x","\u0079"],"op":"in","path":"args.a"}]}]},"a":{},
        "c":{"deny_if":[{"conditions":[{"op":"eq","path":"args.o","value":{"z":1.50,"a":[]}}]}]}},
        "hide":["h"],"default":"deny","version":"1"}"#;
    let wanted = r#"{
  "version": "1",
  "default": "deny",
  "hide": ["h"],
  "tools": {
    "b": {
      "require": [
        {
          "conditions": [{ "path": "args.a", "op": "in", "value": ["x", "\u0079"] }],
          "on_deny": "A message that is so long that the rule has no room on one line."
        }
      ],
      "limits": [
        { "counter": "c", "window": "day", "scope": "grant", "max": 1e1, "on_deny": "no" }
      ]
    },
    "a": {},
    "c": {
      "deny_if": [
        { "conditions": [{ "path": "args.o", "op": "eq", "value": { "z": 1.50, "a": [] } }] }
      ]
    }
  }
}
"#;
    assert_eq!(layout(text).expect("a policy"), wanted);
}

#[test]
fn what_does_not_fit_is_broken_where_it_can_be() {
    let names: Vec<String> = (0..9)
        .map(|n| format!("\"a_rather_long_tool_{n}\""))
        .collect();
    let laid = layout(&format!(
        r#"{{"version":"1","hide":[{}]}}"#,
        names.join(",")
    ));
    let wanted = format!(
        "{{\n  \"version\": \"1\",\n  \"hide\": [\n    {}\n  ]\n}}\n",
        names.join(",\n    ")
    );
    assert_eq!(laid.expect("a policy"), wanted);
}

#[test]
fn a_policy_with_errors_is_not_laid_out() {
    let found = layout(r#"{"version":"1","tols":{}}"#).expect_err("an error");
    assert_eq!(found[0].code, "TB-POL-010");
}
