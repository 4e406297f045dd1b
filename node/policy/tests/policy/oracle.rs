//! A naive interpreter of the contract, read off its tables, against the compiled policy.
//!
//! It reads the policy's JSON anew for every call, gathers what each condition comes to for every
//! element before it looks at any, and shares no code with the crate but the reading of JSON.

use std::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof, proptest};

use tollbook_policy::Counters;
use tollbook_policy::json::{Kind, Value};

use crate::common::{document, load, run, text};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    True,
    False,
    Indeterminate,
}

use Truth::{False, Indeterminate, True};

/// Rule and reason of the denial, if it is one.
type Naive = Option<(String, Option<&'static str>)>;

fn decide(
    policy: Value<'_>,
    tool: &str,
    args: Option<Value<'_>>,
    used: &mut BTreeMap<String, i128>,
) -> Naive {
    let deny = |rule: String, reason| Some((rule, reason));
    if tool == "*" {
        return deny("/default".into(), None);
    }
    if let Some(hide) = policy.get("hide")
        && hide.elements().any(|name| name.is_str(tool))
    {
        return deny(format!("/hide/{tool}"), None);
    }
    let tools = policy.get("tools").expect("tools");
    let own = tools.get(tool);
    if own.is_none()
        && !policy
            .get("default")
            .is_some_and(|default| default.is_str("allow"))
    {
        return deny("/default".into(), None);
    }
    if let Some(own) = own {
        if own.get("deny").is_some() {
            return deny(format!("/tools/{tool}/deny"), None);
        }
        if let Some(only) = own.get("only") {
            for (key, _) in args.into_iter().flat_map(Value::entries) {
                let key = key.as_str().expect("a key");
                if !only.elements().any(|allowed| allowed.is_str(&key)) {
                    return deny(format!("/tools/{tool}/only"), None);
                }
            }
        }
    }
    let mut sources = Vec::new();
    sources.extend(own.map(|rules| (tool, rules)));
    sources.extend(tools.get("*").map(|rules| ("*", rules)));
    unmet(&sources, args)
        .or_else(|| matching(&sources, args))
        .map_or_else(|| charge(&sources, args, used), Some)
}

/// A tool's name and its rules: its own first, then those of `*`.
type Source<'p, 'd> = (&'p str, Value<'d>);

fn unmet(sources: &[Source<'_, '_>], args: Option<Value<'_>>) -> Naive {
    for (name, rules) in sources {
        for rule in rules.get("require").into_iter().flat_map(Value::elements) {
            for condition in rule.get("conditions").expect("conditions").elements() {
                let (ends, hit_empty) = truths(condition, args);
                if hit_empty || ends.iter().any(|truth| *truth != True) {
                    return Some((pointer(name, "require", condition), None));
                }
            }
        }
    }
    None
}

fn matching(sources: &[Source<'_, '_>], args: Option<Value<'_>>) -> Naive {
    for (name, rules) in sources {
        for rule in rules.get("deny_if").into_iter().flat_map(Value::elements) {
            let conditions: Vec<Value<'_>> = rule
                .get("conditions")
                .expect("conditions")
                .elements()
                .collect();
            let whole: Vec<Truth> = conditions.iter().map(|one| any(*one, args)).collect();
            if whole.contains(&False) {
                continue;
            }
            let doubtful = whole.iter().position(|truth| *truth == Indeterminate);
            let reason = doubtful.map(|_| "indeterminate");
            let named = conditions[doubtful.unwrap_or(0)];
            return Some((pointer(name, "deny_if", named), reason));
        }
    }
    None
}

fn charge(
    sources: &[Source<'_, '_>],
    args: Option<Value<'_>>,
    used: &mut BTreeMap<String, i128>,
) -> Naive {
    let deny = |rule: String, reason| Some((rule, Some(reason)));
    let mut after = used.clone();
    for (name, rules) in sources {
        for limit in rules.get("limits").into_iter().flat_map(Value::elements) {
            let counter = text(limit, "counter").expect("a counter");
            let rule = format!("/tools/{name}/limits/{counter}");
            let amount = match text(limit, "increment_from") {
                None => 1,
                Some(path) => match read(args, &steps(&path))[..] {
                    [End::Value(value)] => match exact(value) {
                        Some(scaled) if scaled >= 0 && scaled % SCALE == 0 => scaled / SCALE,
                        Some(_) | None => return deny(rule, "amount"),
                    },
                    _ => return deny(rule, "amount"),
                },
            };
            let total = after.entry(counter).or_insert(0);
            *total += amount;
            if *total > exact(limit.get("max").expect("max")).expect("a number") / SCALE {
                return deny(rule, "limit");
            }
        }
    }
    *used = after;
    None
}

fn pointer(tool: &str, step: &str, condition: Value<'_>) -> String {
    let (path, op) = (text(condition, "path"), text(condition, "op"));
    format!(
        "/tools/{tool}/{step}/{}-{}",
        path.expect("a path"),
        op.expect("an op")
    )
}

fn any(condition: Value<'_>, args: Option<Value<'_>>) -> Truth {
    let (ends, _) = truths(condition, args);
    if ends.contains(&True) {
        True
    } else if ends.contains(&Indeterminate) {
        Indeterminate
    } else {
        False
    }
}

/// What the condition comes to at each end of its path; and whether an array on the way is empty.
fn truths(condition: Value<'_>, args: Option<Value<'_>>) -> (Vec<Truth>, bool) {
    let path = text(condition, "path").expect("a path");
    let op = text(condition, "op").expect("an op");
    let ends = read(args, &steps(&path));
    let hit_empty = ends.iter().any(|end| matches!(end, End::Nowhere));
    let judged = ends.into_iter().filter(|end| !matches!(end, End::Nowhere));
    (
        judged
            .map(|end| judge(&op, condition.get("value"), &end))
            .collect(),
        hit_empty,
    )
}

enum End<'d> {
    Absent,
    Doubt,
    /// In an empty array.
    Nowhere,
    Value(Value<'d>),
}

/// `args.a[*]["b c"][0]` as `a`, `*`, `b c`, `0`, each with what it is.
fn steps(path: &str) -> Vec<(char, String)> {
    let mut steps = Vec::new();
    let spaced = path
        .replacen("args", "", 1)
        .replace("[\"", "\u{1}k")
        .replace("\"]", "");
    let spaced = spaced
        .replace('.', "\u{1}k")
        .replace("[*]", "\u{1}*")
        .replace(']', "");
    for step in spaced.replace('[', "\u{1}i").split('\u{1}').skip(1) {
        let kind = step.chars().next().expect("a kind");
        steps.push((kind, step.strip_prefix(kind).unwrap_or_default().to_owned()));
    }
    steps
}

fn read<'d>(here: Option<Value<'d>>, steps: &[(char, String)]) -> Vec<End<'d>> {
    let Some(here) = here.filter(|value| !value.is_null()) else {
        return vec![End::Absent];
    };
    let Some(((kind, name), rest)) = steps.split_first() else {
        return vec![End::Value(here)];
    };
    match (kind, here.kind()) {
        ('k', Kind::Object) => {
            let folds = |key: &str| key.to_lowercase() == name.to_lowercase();
            let keys: Vec<String> = here
                .entries()
                .map(|(key, _)| key.as_str().expect("a key").into())
                .collect();
            if keys.iter().any(|key| key != name && folds(key)) {
                return vec![End::Doubt];
            }
            read(here.get(name), rest)
        }
        ('i', Kind::Array) => read(here.element(name.parse().expect("an index")), rest),
        ('*', Kind::Array) if here.is_empty() => vec![End::Nowhere],
        ('*', Kind::Array) => here
            .elements()
            .flat_map(|element| read(Some(element), rest))
            .collect(),
        _ => vec![End::Doubt],
    }
}

fn judge(op: &str, operand: Option<Value<'_>>, end: &End<'_>) -> Truth {
    let value = match *end {
        End::Doubt | End::Nowhere => return Indeterminate,
        End::Absent if op == "exists" => {
            return truth(operand.is_some_and(|operand| operand.as_bool() == Some(false)));
        }
        End::Absent => return False,
        End::Value(value) => value,
    };
    if op == "exists" {
        return truth(operand.is_none_or(|operand| operand.as_bool() == Some(true)));
    }
    let operand = operand.expect("an operand");
    if !all_exact(value) {
        return Indeterminate;
    }
    let holds = match op {
        "eq" | "neq" => {
            if value.kind() != operand.kind() {
                return Indeterminate;
            }
            equal(value, operand) == (op == "eq")
        }
        "lt" | "lte" | "gt" | "gte" => {
            if value.kind() != Kind::Number {
                return Indeterminate;
            }
            let (one, two) = (exact(value).expect("exact"), exact(operand).expect("exact"));
            match op {
                "lt" => one < two,
                "lte" => one <= two,
                "gt" => one > two,
                _ => one >= two,
            }
        }
        "in" | "not_in" => {
            if !operand
                .elements()
                .any(|member| member.kind() == value.kind())
            {
                return Indeterminate;
            }
            operand.elements().any(|member| equal(value, member)) == (op == "in")
        }
        "contains" | "not_contains" => {
            let found = match (value.kind(), operand.as_str()) {
                (Kind::Array, _) => value.elements().any(|element| equal(element, operand)),
                (Kind::String, Some(part)) => value.as_str().expect("a string").contains(&*part),
                _ => return Indeterminate,
            };
            found == (op == "contains")
        }
        "regex" | "not_regex" => {
            let (Some(text), Some(pattern)) = (value.as_str(), operand.as_str()) else {
                return Indeterminate;
            };
            // Only patterns whose meaning is plain.
            let found = match &*pattern {
                "^a" => text.starts_with('a'),
                "b$" => text.ends_with('b'),
                "^$" => text.is_empty(),
                _ => text.contains(&*pattern),
            };
            found == (op == "regex")
        }
        other => panic!("{other}"),
    };
    truth(holds)
}

fn truth(holds: bool) -> Truth {
    if holds { True } else { False }
}

fn equal(one: Value<'_>, two: Value<'_>) -> bool {
    one.kind() == two.kind()
        && match one.kind() {
            Kind::Null => true,
            Kind::Bool => one.as_bool() == two.as_bool(),
            Kind::Number => exact(one).is_some() && exact(one) == exact(two),
            Kind::String => one.as_str() == two.as_str(),
            Kind::Array => {
                one.len() == two.len()
                    && one
                        .elements()
                        .zip(two.elements())
                        .all(|(one, two)| equal(one, two))
            }
            Kind::Object => {
                one.len() == two.len()
                    && one.entries().all(|(key, value)| {
                        let key = key.as_str().expect("a key");
                        two.get(&key).is_some_and(|other| equal(value, other))
                    })
            }
        }
}

fn all_exact(value: Value<'_>) -> bool {
    (value.kind() != Kind::Number || exact(value).is_some())
        && value.elements().all(all_exact)
        && value.entries().all(|(_, member)| all_exact(member))
}

const SCALE: i128 = 10_i128.pow(20);

/// The number times [`SCALE`], which the numbers below leave whole; None if it is ambiguous.
fn exact(value: Value<'_>) -> Option<i128> {
    let text = value.number_text()?;
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, part].concat();
    let significant = digits
        .trim_start_matches(['-', '0'])
        .trim_end_matches('0')
        .len();
    let shift = 20 + power.parse::<i32>().expect("small") - i32::try_from(part.len()).expect("few");
    let scaled = digits.parse::<i128>().expect("few digits")
        * 10_i128.pow(u32::try_from(shift).expect("few decimals"));
    let too_large = scaled % SCALE == 0 && (scaled / SCALE).abs() > 9_007_199_254_740_991;
    (significant <= 17 && !too_large).then_some(scaled)
}

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

fn policy() -> impl Strategy<Value = String> {
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

fn call() -> impl Strategy<Value = (String, Option<String>)> {
    let tools = prop_oneof![8 => Just("t"), 1 => prop::sample::select(&["empty", "u", "h", "*"])];
    let key = prop_oneof![6 => one_of(&["a", "b", "l"]), 1 => one_of(KEYS)];
    let args = prop::collection::btree_map(key, value(), 0..4).prop_map(object);
    (
        tools.prop_map(str::to_owned),
        prop::option::weighted(0.95, args),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn compiled_and_naive_agree(text in policy(), calls in prop::collection::vec(call(), 8)) {
        let policy = load(&text);
        let naive = document(&text);
        let (mut counters, mut used) = (Counters::new(), BTreeMap::new());
        for (tool, args) in calls {
            let args = args.map(|args| document(&args));
            let args = args.as_ref().map(|args| args.root());
            let ours = run(&policy, &mut counters, &tool, args);
            let ours = ours.map(|denied| (denied.rule, denied.reason));
            let theirs = decide(naive.root(), &tool, args, &mut used);
            assert_eq!(ours, theirs, "{tool} {:?}\n{text}", args.map(Value::raw));
        }
    }
}
