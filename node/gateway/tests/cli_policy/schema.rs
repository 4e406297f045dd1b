//! The schema that editors use says what the checker says: the same fields, the same operators, and
//! the same verdict on the structure of every policy of the corpora.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use tollbook_policy::goregex::{GoRegex, Limits};
use tollbook_policy::{Finding, Severity, check};

use crate::{code, data, run, stdout};

fn schema() -> Value {
    let output = run(&["policy", "schema"]);
    assert_eq!(code(&output), 0);
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// A validator of the part of JSON Schema 2020-12 that the schema uses. It knows no other keyword.
/// (`make peers` holds the schema to a whole validator.)
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let keywords = schema.as_object().unwrap().iter();
    keywords.into_iter().all(|(keyword, wanted)| {
        let at = At {
            root,
            schema,
            wanted,
        };
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "then" => true,
            "required"
            | "properties"
            | "additionalProperties"
            | "propertyNames"
            | "maxProperties" => at.fits_object(keyword, value),
            "items" | "minItems" | "maxItems" | "uniqueItems" => at.fits_array(keyword, value),
            "minLength" | "maxLength" | "pattern" | "minimum" | "maximum" => {
                at.fits_scalar(keyword, value)
            }
            _ => at.fits_any(keyword, value),
        }
    })
}

/// A keyword's value, and what it stands in.
struct At<'s> {
    root: &'s Value,
    schema: &'s Value,
    wanted: &'s Value,
}

impl At<'_> {
    fn sub(&self, schema: &Value, value: &Value) -> bool {
        is_valid(self.root, schema, value)
    }

    fn wanted_size(&self) -> usize {
        usize::try_from(self.wanted.as_u64().unwrap()).unwrap()
    }

    fn list(&self) -> &[Value] {
        self.wanted.as_array().unwrap()
    }

    fn fits_any(&self, keyword: &str, value: &Value) -> bool {
        let wanted = self.wanted;
        match keyword {
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                self.sub(self.root.pointer(pointer).unwrap(), value)
            }
            "type" => {
                let names = wanted
                    .as_array()
                    .map_or_else(|| std::slice::from_ref(wanted), Vec::as_slice);
                names
                    .iter()
                    .any(|name| is_type(name.as_str().unwrap(), value))
            }
            "const" => wanted == value,
            "enum" => self.list().contains(value),
            "allOf" => self.list().iter().all(|one| self.sub(one, value)),
            "oneOf" => {
                self.list()
                    .iter()
                    .filter(|one| self.sub(one, value))
                    .count()
                    == 1
            }
            "not" => !self.sub(wanted, value),
            "if" => !self.sub(wanted, value) || self.sub(&self.schema["then"], value),
            other => panic!("the schema uses `{other}`, which this validator does not know"),
        }
    }

    fn fits_object(&self, keyword: &str, value: &Value) -> bool {
        let Some(members) = value.as_object() else {
            return true;
        };
        let wanted = self.wanted;
        match keyword {
            "required" => {
                let mut names = self.list().iter();
                names.all(|name| members.contains_key(name.as_str().unwrap()))
            }
            "properties" => {
                let mut known = wanted.as_object().unwrap().iter();
                known.all(|(name, one)| members.get(name).is_none_or(|value| self.sub(one, value)))
            }
            "additionalProperties" => {
                let known = self.schema["properties"].as_object();
                let mut others = members
                    .iter()
                    .filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                others.all(|(_, value)| wanted.as_bool().unwrap_or_else(|| self.sub(wanted, value)))
            }
            "propertyNames" => {
                let mut names = members.keys();
                names.all(|name| self.sub(wanted, &Value::String(name.clone())))
            }
            "maxProperties" => members.len() <= self.wanted_size(),
            other => panic!("`{other}` is not about objects"),
        }
    }

    fn fits_array(&self, keyword: &str, value: &Value) -> bool {
        let Some(all) = value.as_array() else {
            return true;
        };
        match keyword {
            "items" => all.iter().all(|one| self.sub(self.wanted, one)),
            "minItems" => all.len() >= self.wanted_size(),
            "maxItems" => all.len() <= self.wanted_size(),
            "uniqueItems" => {
                let mut rest = all.iter().enumerate();
                rest.all(|(index, one)| !all[..index].contains(one))
            }
            other => panic!("`{other}` is not about arrays"),
        }
    }

    fn fits_scalar(&self, keyword: &str, value: &Value) -> bool {
        let length = value.as_str().map(|text| text.chars().count());
        let number = value.as_f64();
        match keyword {
            "minLength" => length.is_none_or(|length| length >= self.wanted_size()),
            "maxLength" => length.is_none_or(|length| length <= self.wanted_size()),
            "pattern" => value.as_str().is_none_or(|text| {
                let pattern = self.wanted.as_str().unwrap();
                GoRegex::new(pattern, &Limits::default())
                    .unwrap()
                    .is_match(text)
                    .unwrap()
            }),
            "minimum" => number.is_none_or(|number| number >= self.wanted.as_f64().unwrap()),
            "maximum" => number.is_none_or(|number| number <= self.wanted.as_f64().unwrap()),
            other => panic!("`{other}` is not about scalars"),
        }
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type `{other}`"),
    }
}

/// Every text of the corpora that is JSON, with what the checker finds.
fn corpus() -> Vec<(Value, Vec<Finding>)> {
    let folder = data("").join("../../../policy/tests/corpus");
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        for row in fs::read_to_string(path).unwrap().lines() {
            // As it is written: a number too large for ours must reach the checker.
            let row: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
                serde_json::from_str(row).unwrap();
            let text = row
                .get("text")
                .map(|text| serde_json::from_str(text.get()).unwrap());
            let policy = row.get("policy").map(|policy| policy.get().to_owned());
            texts.extend(text.or(policy));
        }
    }
    for entry in fs::read_dir(data("").join("../../../../deploy/policies")).unwrap() {
        texts.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let read = |text: String| Some((serde_json::from_str(&text).ok()?, found(&text)));
    texts.into_iter().filter_map(read).collect()
}

/// All errors.
fn found(text: &str) -> Vec<Finding> {
    let all = check(text).err().unwrap_or_default();
    let errors = all
        .into_iter()
        .filter(|one| one.severity == Severity::Error);
    errors.collect()
}

/// What the structure does not show: keys given twice, texts and numbers that are read in two ways,
/// patterns, addresses, two limits on one counter.
const BEYOND_STRUCTURE: [&str; 7] = [
    "TB-POL-001",
    "TB-POL-005",
    "TB-POL-006",
    "TB-POL-034",
    "TB-POL-035",
    "TB-POL-045",
    "TB-POL-051",
];

#[test]
fn what_loads_is_valid_and_what_is_built_wrongly_is_not() {
    let schema = schema();
    let (mut loaded, mut refused) = (0, 0);
    for (policy, errors) in corpus() {
        let valid = is_valid(&schema, &schema, &policy);
        if errors.is_empty() {
            assert!(valid, "{policy}");
            loaded += 1;
        } else if !errors
            .iter()
            .any(|one| BEYOND_STRUCTURE.contains(&one.code))
        {
            assert!(!valid, "{errors:?}\n{policy}");
            refused += 1;
        }
    }
    assert!(loaded > 150 && refused > 25, "{loaded} {refused}");
}

/// What stands in backticks in the help of a finding, or else in its message.
fn words(finding: &Finding) -> BTreeSet<String> {
    let text = finding.help.as_ref().unwrap_or(&finding.message);
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

fn only(text: &str, code: &str) -> Finding {
    let all = found(text);
    let found = all.iter().find(|one| one.code == code);
    found
        .unwrap_or_else(|| panic!("{code} is not among {all:?}"))
        .clone()
}

/// Where the schema describes an object, and a policy with a field there that nobody knows.
const OBJECTS: [(&str, &str); 9] = [
    ("", r#"{"version":"1","zzzzzzzz":1}"#),
    (
        "/properties/methods",
        r#"{"version":"1","methods":{"zzzzzzzz":1}}"#,
    ),
    (
        "/properties/audit",
        r#"{"version":"1","audit":{"zzzzzzzz":1}}"#,
    ),
    (
        "/properties/audit/properties/tools/additionalProperties",
        r#"{"version":"1","audit":{"tools":{"a":{"zzzzzzzz":1}}}}"#,
    ),
    (
        "/$defs/tool",
        r#"{"version":"1","tools":{"a":{"zzzzzzzz":1}}}"#,
    ),
    (
        "/$defs/rule",
        r#"{"version":"1","tools":{"a":{"require":[{"zzzzzzzz":1}]}}}"#,
    ),
    (
        "/$defs/condition",
        r#"{"version":"1","tools":{"a":{"require":[{"conditions":[{"zzzzzzzz":1}]}]}}}"#,
    ),
    (
        "/$defs/limit",
        r#"{"version":"1","tools":{"a":{"limits":[{"zzzzzzzz":1}]}}}"#,
    ),
    ("/$defs/star", ""),
];

#[test]
fn the_schema_knows_the_fields_that_the_checker_knows() {
    let schema = schema();
    for (pointer, policy) in OBJECTS {
        let object = schema.pointer(pointer).unwrap();
        assert_eq!(object["additionalProperties"], false, "{pointer}");
        let fields = object["properties"].as_object().unwrap();
        let fields: BTreeSet<String> = fields.keys().cloned().collect();
        if pointer == "/$defs/star" {
            // Under `*` there is no `deny` and no `only`: those have an error of their own.
            let tool = schema["$defs"]["tool"]["properties"].as_object().unwrap();
            let tool: BTreeSet<String> = tool.keys().cloned().collect();
            let missing: Vec<_> = tool.difference(&fields).collect();
            assert_eq!(missing, ["deny", "only"]);
            assert!(fields.is_subset(&tool));
            continue;
        }
        let finding = only(policy, "TB-POL-010");
        assert!(finding.pointer.ends_with("/zzzzzzzz"));
        assert_eq!(fields, words(&finding), "{pointer}: {finding}");
    }
}

#[test]
fn the_schema_knows_the_operators_and_words_that_the_checker_knows() {
    let schema = schema();
    let listed = |pointer: &str| -> BTreeSet<String> {
        let words = schema.pointer(pointer).unwrap().as_array().unwrap();
        let word = |word: &Value| {
            let word = word.get("const").unwrap_or(word);
            word.as_str().unwrap().to_owned()
        };
        words.iter().map(word).collect()
    };
    let rule = r#"{"version":"1","tools":{"a":{"require":[{"conditions":
        [{"path":"args.a","op":"zzzzzzzz","value":1}]}]}}}"#;
    let help = only(rule, "TB-POL-031").help.unwrap();
    let operators: BTreeSet<String> = help
        .trim_start_matches("the operators are ")
        .replace('`', "")
        .split(", ")
        .map(str::to_owned)
        .collect();
    assert_eq!(listed("/$defs/condition/properties/op/oneOf"), operators);
    // Each operator says what its `value` may be, and once.
    let branches = schema["$defs"]["condition"]["allOf"].as_array().unwrap();
    let mut typed: Vec<String> = branches
        .iter()
        .flat_map(|branch| branch["if"]["properties"]["op"]["enum"].as_array().unwrap())
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    typed.sort();
    assert_eq!(typed, Vec::from_iter(operators));
    let limit = |window: &str, scope: &str| {
        format!(
            r#"{{"version":"1","tools":{{"a":{{"limits":[{{"counter":"c","window":"{window}",
            "scope":"{scope}","max":1}}]}}}}}}"#
        )
    };
    let audit = r#"{"version":"1","audit":{"level":"zzzzzzzz"}}"#;
    for (pointer, text, code) in [
        (
            "/properties/default/enum",
            r#"{"version":"1","default":"zzzzzzzz"}"#,
            "TB-POL-021",
        ),
        (
            "/$defs/limit/properties/window/enum",
            &limit("zzzzzzzz", "grant"),
            "TB-POL-041",
        ),
        (
            "/$defs/limit/properties/scope/enum",
            &limit("day", "zzzzzzzz"),
            "TB-POL-042",
        ),
        ("/$defs/level/enum", audit, "TB-POL-060"),
    ] {
        let finding = only(text, code);
        let told: BTreeSet<String> = finding.message.split('`').map(str::to_owned).collect();
        for word in listed(pointer) {
            assert!(told.contains(&word), "{pointer} {word}: {finding}");
        }
        // And none more: what is given, what it is for, and the words.
        let quoted = finding.message.matches('`').count() / 2;
        let names = finding
            .message
            .split(" is ")
            .next()
            .unwrap()
            .matches('`')
            .count()
            / 2;
        assert_eq!(quoted, listed(pointer).len() + 1 + names, "{finding}");
    }
}

#[test]
fn a_value_goes_by_its_operator() {
    let schema = schema();
    let condition = schema.pointer("/$defs/condition").unwrap();
    for (op, good, bad) in [
        ("eq", json!({ "a": [1] }), json!([])),
        ("lt", json!(1.5), json!("1")),
        ("in", json!(["a", 1]), json!([[]])),
        ("exists", json!(false), json!("x")),
        ("regex", json!("^a$"), json!(1)),
        ("contains", json!(true), json!({})),
        ("url_in", json!(["https://a/"]), json!("https://a/")),
        ("path_in", json!(["docs"]), json!([1])),
    ] {
        let with = |value: &Value| json!({ "path": "args.x", "op": op, "value": value });
        assert!(is_valid(&schema, condition, &with(&good)), "{op} {good}");
        assert!(!is_valid(&schema, condition, &with(&bad)), "{op} {bad}");
        assert!(!is_valid(&schema, condition, &with(&Value::Null)), "{op}");
        let none = is_valid(&schema, condition, &json!({ "path": "args.x", "op": op }));
        assert_eq!(none, op == "exists", "{op}");
    }
}
