//! Policies that use all of the language, and calls that mostly meet what they ask for.

use tollbook_fuzz::{Dice, Tree};

use super::naive::{Step, steps};
use super::place::{HOSTS, PATTERNS};
use super::{KEYS, text};

/// Tools that calls name; policies list some of them.
pub(super) const TOOLS: [&str; 7] = ["t", "u", "a/b~c", "empty", "h", "unlisted", "*"];

const EXACT: [&str; 27] = [
    "0",
    "-0",
    "0e5",
    "1",
    "1.0",
    "1e0",
    "10e-1",
    "2",
    "3",
    "-1",
    "0.5",
    "5e-1",
    "1.5",
    "10",
    "1E1",
    "100",
    "1e-7",
    "-1e-7",
    "5e-324",
    "0.12345678901234567",
    "0.12345678901234568",
    "1234567890.1234567",
    "9007199254740991",
    "-9007199254740991",
    "9.007199254740991e15",
    "900719925474099.2",
    "1e15",
];
const AMBIGUOUS: [&str; 13] = [
    "12345678901.2345678",
    "0.123456789012345678",
    "-100000000000000001e-17",
    "1.00000000000000001",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740992.0",
    "1.000000000000000001",
    "123456789012345678e-10",
    "1e16",
    "1e300",
    "18446744073709551615",
    "10000000000000000000.5",
];
const TEXTS: [&str; 17] = [
    "", "a", "b", "ab", "A", "Ab", "é", "a/b", "x ab y", "ab_", "\u{212a}", "7", "42", "\n", "1",
    "true", "😀",
];
const PLACES: [&str; 8] = [
    "https://docs.acme.com/",
    "https://*.acme.com/",
    "https://github.com/acme/",
    "http://127.0.0.1:8080/",
    "https://[::1]/a",
    "https://DOCS.acme.COM/a/b",
    "wss://*.acme.com:444/a/",
    "https://xn--bcher-kva.example:443/\u{e9}",
];
const DIRECTORIES: [&str; 7] = [".", "src", "./src//a/", "/srv/data", "/", "src/a/b", "/srv"];
const OPERATORS: [&str; 19] = [
    "eq",
    "neq",
    "lt",
    "lte",
    "gt",
    "gte",
    "in",
    "not_in",
    "exists",
    "regex",
    "not_regex",
    "contains",
    "not_contains",
    "url_in",
    "path_in",
    "url_in",
    "url_in",
    "path_in",
    "exists",
];
const SCOPES: [&str; 4] = ["grant", "policy", "server", "owner"];
const WINDOWS: [&str; 4] = ["minute", "hour", "day", "month"];
const COUNTERS: [&str; 3] = ["c", "d", "a/b"];

pub(super) fn string(text: &str) -> Tree {
    Tree::Text(text.to_owned())
}

fn number(text: &str) -> Tree {
    Tree::Number(text.to_owned())
}

fn object<const N: usize>(members: [(&str, Option<Tree>); N]) -> Tree {
    let there = members
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Tree::Object(there.collect())
}

fn some_of<T>(dice: &mut Dice, most: usize, mut make: impl FnMut(&mut Dice) -> T) -> Vec<T> {
    let count = 1 + dice.below(most);
    (0..count).map(|_| make(dice)).collect()
}

fn scalar(dice: &mut Dice) -> Tree {
    match dice.below(10) {
        0..4 => number(dice.pick(&EXACT)),
        4..8 => string(dice.pick(&TEXTS)),
        _ => Tree::Bool(dice.percent(50)),
    }
}

/// What a call may hold.
fn value(dice: &mut Dice, depth: usize) -> Tree {
    match dice.below(20) {
        0 => Tree::Null,
        1 => number(dice.pick(&AMBIGUOUS)),
        2 => string(&url(dice)),
        3 => string(&path(dice)),
        4 | 5 if depth > 0 => {
            let count = dice.below(3);
            Tree::Array((0..count).map(|_| value(dice, depth - 1)).collect())
        }
        6 | 7 if depth > 0 => {
            let mut members: Vec<(String, Tree)> = Vec::new();
            for _ in 0..dice.below(3) {
                add(&mut members, key(dice), value(dice, depth - 1));
            }
            Tree::Object(members)
        }
        _ => scalar(dice),
    }
}

/// No key twice.
fn add(members: &mut Vec<(String, Tree)>, key: &str, value: Tree) {
    if !members.iter().any(|(other, _)| other == key) {
        members.push((key.to_owned(), value));
    }
}

/// Mostly the first of a group of keys that fold together.
fn key(dice: &mut Dice) -> &'static str {
    let group = KEYS[dice.below(KEYS.len())];
    if dice.percent(90) {
        group[0]
    } else {
        group[dice.below(group.len())]
    }
}

/// Scheme, host, port and path of addresses that are in [`PLACES`].
const ADDRESSES: [[&str; 4]; 7] = [
    ["https", "docs.acme.com", "", "/a/b"],
    ["https", "x.y.acme.com", "", "/"],
    ["https", "github.com", "", "/acme/x"],
    ["http", "127.0.0.1", ":8080", "/x"],
    ["https", "[::1]", "", "/a"],
    ["wss", "x.y.acme.com", ":444", "/a/"],
    ["https", "xn--bcher-kva.example", ":443", "/\u{e9}/x"],
];
const PATHS: [&str; 34] = [
    "",
    "/",
    "/a",
    "/a/b",
    "/a/b/",
    "/a/bc",
    "/a/x/../b",
    "/a/b/..",
    "/a/./b/x",
    "/acme",
    "/acme/x",
    "/acme/../x",
    "/acmex",
    "/x/../acme/..",
    "/%2e%2E/acme",
    "/a%2Fb",
    "/a%5cb",
    "/\u{e9}",
    "/%C3%A9/x",
    "/a//b",
    "/../a",
    "/a/b?/../..",
    "/a/b#/..",
    "?@",
    "/a\\b",
    "/a b",
    "/a/\tb",
    "/acme/@x",
    "/acme//../x",
    "/acme/;/../x",
    "/acme;v=1/x",
    "/acme/.../x",
    "/acme/%252e%252e/x",
    "/acme/%zz",
];

/// An address that is in a place, with up to two parts of another one.
fn url(dice: &mut Dice) -> String {
    let [mut scheme, mut host, mut port, mut path] = ADDRESSES[dice.below(ADDRESSES.len())];
    let (mut before, mut slashes, mut user) = ("", "://", "");
    for _ in 0..dice.below(3) {
        match dice.below(10) {
            0 => before = dice.pick(&[" ", "\u{a0}", "x"]),
            1 => scheme = dice.pick(&["https", "HTTPS", "http", "wss", "file", "a+b"]),
            2 => slashes = dice.pick(&[":", ":/", ":///", ":\\\\", "//"]),
            3 => user = dice.pick(&["u@", "docs.acme.com@", "docs.acme.com:1@", "@"]),
            4 => port = dice.pick(&["", ":443", ":0443", ":8080", ":444", ":", ":99999", ":x"]),
            5..8 => host = HOSTS[dice.below(HOSTS.len())].0,
            _ => path = dice.pick(&PATHS),
        }
    }
    format!("{before}{scheme}{slashes}{user}{host}{port}{path}")
}

fn path(dice: &mut Dice) -> String {
    let starts = [
        "",
        "src/",
        "src/a/",
        "src/a/b/",
        "/srv/data/",
        "/srv/",
        "/",
        "./",
        "../",
        "//",
        "~",
        "C:",
    ];
    let segments = [
        "src", "a", "b", "..", "..", ".", "", "srv", "data", "...", "x\\y", "\0", "é",
    ];
    let clean = if dice.percent(70) { 7 } else { starts.len() };
    let mut text = dice.pick(&starts[..clean]).to_owned();
    for index in 0..dice.below(6) {
        text.push_str(if index > 0 { "/" } else { "" });
        let clean = if dice.percent(90) { 9 } else { segments.len() };
        text.push_str(dice.pick(&segments[..clean]));
    }
    text
}

/// A path to a value, as a policy writes it.
fn args_path(dice: &mut Dice, may_go_through_all: bool) -> String {
    let mut path = String::from("args");
    let length = match dice.below(20) {
        0 => 0,
        1..12 => 1,
        12..17 => 2,
        _ => 2 + dice.below(3),
    };
    for index in 0..length {
        match dice.below(if index == 0 { 6 } else { 12 }) {
            0..6 => {
                let key = key(dice);
                let bare = !key.is_empty()
                    && !key.contains(|c: char| ".[]\"".contains(c) || c.is_whitespace());
                if bare && dice.percent(80) {
                    path.push_str(&format!(".{key}"));
                } else {
                    let quoted = string(key).write(tollbook_fuzz::Spelling::Plain);
                    path.push_str(&format!("[{quoted}]"));
                }
            }
            6..10 if may_go_through_all => path.push_str("[*]"),
            _ => path.push_str(dice.pick(&["[0]", "[0]", "[1]", "[2]"])),
        }
    }
    path
}

fn operand(dice: &mut Dice, operator: &str) -> Option<Tree> {
    let strings = |texts: Vec<&str>| Tree::Array(texts.into_iter().map(string).collect());
    Some(match operator {
        "eq" | "neq" => match dice.below(5) {
            0 => Tree::Array(some_of(dice, 2, scalar)),
            1 => {
                let mut members = Vec::new();
                for _ in 0..dice.below(3) {
                    add(&mut members, key(dice), scalar(dice));
                }
                Tree::Object(members)
            }
            _ => scalar(dice),
        },
        "lt" | "lte" | "gt" | "gte" => number(dice.pick(&EXACT)),
        "in" | "not_in" => Tree::Array(some_of(dice, 4, scalar)),
        "exists" => match dice.below(3) {
            0 => return None,
            one => Tree::Bool(one == 1),
        },
        "regex" | "not_regex" => string(PATTERNS[dice.below(PATTERNS.len())].0),
        "contains" | "not_contains" => scalar(dice),
        "url_in" => strings(some_of(dice, 2, |dice| dice.pick(&PLACES))),
        "path_in" => strings(some_of(dice, 2, |dice| dice.pick(&DIRECTORIES))),
        other => panic!("{other}"),
    })
}

fn condition(dice: &mut Dice) -> Tree {
    let operator = dice.pick(&OPERATORS);
    object([
        ("path", Some(string(&args_path(dice, true)))),
        ("op", Some(string(operator))),
        ("value", operand(dice, operator)),
    ])
}

fn rules(dice: &mut Dice, present: usize) -> Option<Tree> {
    let rule = |dice: &mut Dice| {
        let most = if dice.percent(60) { 1 } else { 3 };
        let conditions = Tree::Array(some_of(dice, most, condition));
        object([("conditions", Some(conditions)), ("on_deny", message(dice))])
    };
    dice.percent(present)
        .then(|| Tree::Array(some_of(dice, 2, rule)))
}

fn message(dice: &mut Dice) -> Option<Tree> {
    dice.percent(50)
        .then(|| string(dice.pick(&["no", "nein \"é\"", "out\nof it"])))
}

/// Charges to some of the counters that are left.
fn limits(dice: &mut Dice, left: &mut Vec<[&'static str; 3]>) -> Option<Tree> {
    if dice.percent(60) {
        return None;
    }
    let count = (1 + dice.below(3)).min(left.len());
    let taken: Vec<_> = left.drain(left.len() - count..).collect();
    let limits = taken.into_iter().map(|[counter, window, scope]| {
        let (increment, from) = match dice.below(4) {
            0 => (Some(number(dice.pick(&["1", "2", "3.0", "1e1"]))), None),
            1 => (None, Some(string(&args_path(dice, false)))),
            _ => (None, None),
        };
        object([
            ("counter", Some(string(counter))),
            ("window", Some(string(window))),
            ("scope", Some(string(scope))),
            (
                "max",
                Some(number(dice.pick(&[
                    "0",
                    "1",
                    "3",
                    "7",
                    "2e1",
                    "100",
                    "9007199254740991",
                ]))),
            ),
            ("increment", increment),
            ("increment_from", from),
            ("on_deny", message(dice)),
        ])
    });
    let limits: Vec<Tree> = limits.collect();
    (!limits.is_empty()).then_some(Tree::Array(limits))
}

fn tool(dice: &mut Dice, left: &mut Vec<[&'static str; 3]>, is_star: bool) -> Tree {
    let only = (!is_star && dice.percent(12)).then(|| {
        let count = 4 + dice.below(KEYS.len() - 4);
        let mut names: Vec<&str> = KEYS.iter().map(|group| group[0]).collect();
        names.retain(|name| !name.is_empty());
        dice.shuffle(&mut names);
        Tree::Array(names.into_iter().take(count).map(string).collect())
    });
    let deny = !is_star && dice.percent(4);
    object([
        ("only", only),
        ("require", rules(dice, 20)),
        ("limits", limits(dice, left)),
        ("deny_if", rules(dice, 55)),
        ("deny", deny.then(|| string("never"))),
    ])
}

fn methods(dice: &mut Dice) -> Option<Tree> {
    let names = [
        "resources/*",
        "prompts/get",
        "tasks/*",
        "sampling/*",
        "roots/list",
        "vendor/x",
    ];
    let mut list = || {
        let mut names = names;
        dice.shuffle(&mut names);
        Tree::Array(
            names[..1 + dice.below(2)]
                .iter()
                .map(|name| string(name))
                .collect(),
        )
    };
    let (allow, deny) = (list(), list());
    dice.percent(40)
        .then(|| object([("allow", Some(allow)), ("deny", Some(deny))]))
}

pub(crate) fn policy(dice: &mut Dice) -> Tree {
    let mut counters = Vec::new();
    for counter in COUNTERS {
        for window in WINDOWS {
            counters.extend(SCOPES.map(|scope| [counter, window, scope]));
        }
    }
    dice.shuffle(&mut counters);
    // Few, so that tools share some: whatever `*` charges is left to no other.
    counters.truncate(8);
    let mut tools: Vec<(String, Tree)> = Vec::new();
    if dice.percent(40) {
        tools.push(("*".into(), tool(dice, &mut counters, true)));
    }
    for name in ["t", "u", "a/b~c"] {
        let mut left = counters.clone();
        dice.shuffle(&mut left);
        tools.push((name.into(), tool(dice, &mut left, false)));
    }
    tools.push(("empty".into(), Tree::Object(Vec::new())));
    dice.shuffle(&mut tools);
    let hide: &[&str] = dice.pick(&[&["h"][..], &["h", "t"], &["h", "a/b~c"], &["h"], &["h"]]);
    object([
        ("version", Some(string("1"))),
        (
            "default",
            match dice.below(3) {
                0 => None,
                1 => Some(string("allow")),
                _ => Some(string("deny")),
            },
        ),
        (
            "hide",
            dice.percent(50)
                .then(|| Tree::Array(hide.iter().map(|name| string(name)).collect())),
        ),
        ("methods", methods(dice)),
        ("tools", Some(Tree::Object(tools))),
    ])
}

/// A tool and its arguments; half of them are made for the policy's conditions.
pub(crate) fn call(dice: &mut Dice, policy: &Tree) -> (&'static str, Option<Tree>) {
    let tool = match dice.below(12) {
        at @ 0..7 => TOOLS[at],
        at => ["t", "u", "a/b~c"][at % 3],
    };
    if dice.percent(4) {
        return (tool, None);
    }
    let mut args = Tree::Object(Vec::new());
    let tools = policy.get("tools").expect("tools");
    for name in [tool, "*"] {
        let Some(rules) = tools.get(name).filter(|_| dice.percent(80)) else {
            continue;
        };
        for limit in rules.get("limits").map(Tree::elements).unwrap_or_default() {
            if let Some(path) = limit.get("increment_from").and_then(Tree::text) {
                let amount =
                    dice.pick(&["0", "1", "2", "3", "1e1", "-1", "0.5", "9007199254740992"]);
                put(dice, &mut args, &steps(path), number(amount));
            }
        }
        for step in ["require", "deny_if"] {
            for rule in rules.get(step).map(Tree::elements).unwrap_or_default() {
                for condition in rule
                    .get("conditions")
                    .map(Tree::elements)
                    .unwrap_or_default()
                {
                    if dice.percent(75) {
                        let value = near(dice, condition);
                        put(dice, &mut args, &steps(&text(condition, "path")), value);
                    }
                }
            }
        }
    }
    if let Tree::Object(members) = &mut args {
        for _ in 0..dice.below(3) {
            add(members, key(dice), value(dice, 3));
        }
    }
    (tool, Some(args))
}

/// A value that the condition is about, mostly.
fn near(dice: &mut Dice, condition: &Tree) -> Tree {
    let operator = text(condition, "op");
    let operand = condition.get("value");
    match (&*operator, operand) {
        _ if dice.percent(20) => value(dice, 2),
        ("url_in", _) => string(&url(dice)),
        ("path_in", _) => string(&path(dice)),
        ("regex" | "not_regex", _) => string(dice.pick(&TEXTS)),
        _ if dice.percent(5) => number(dice.pick(&AMBIGUOUS)),
        ("lt" | "lte" | "gt" | "gte", _) => number(dice.pick(&EXACT)),
        ("in" | "not_in", Some(Tree::Array(members))) => members[dice.below(members.len())].clone(),
        ("contains" | "not_contains", Some(operand)) if dice.percent(50) => {
            Tree::Array(vec![scalar(dice), operand.clone()])
        }
        ("contains" | "not_contains", Some(Tree::Text(part))) => string(&format!("é{part}b")),
        ("eq" | "neq", Some(operand)) if dice.percent(60) => operand.clone(),
        _ => scalar(dice),
    }
}

/// Puts a value where the steps lead, if nothing of another type is in the way.
fn put(dice: &mut Dice, into: &mut Tree, steps: &[Step], value: Tree) {
    let Some((step, rest)) = steps.split_first() else {
        if !matches!(into, Tree::Object(members) if !members.is_empty()) {
            *into = value;
        }
        return;
    };
    let empty = || match rest.first() {
        Some(Step::Key(_)) => Tree::Object(Vec::new()),
        Some(Step::Every | Step::Index(_)) => Tree::Array(Vec::new()),
        None => Tree::Null,
    };
    match (step, into) {
        (Step::Key(key), Tree::Object(members)) => {
            add(members, key, empty());
            let member = members.iter_mut().find(|(other, _)| other == key);
            put(dice, &mut member.expect("put there above").1, rest, value);
        }
        (Step::Index(index), Tree::Array(elements)) => {
            while elements.len() <= *index {
                elements.push(empty());
            }
            put(dice, &mut elements[*index], rest, value);
        }
        (Step::Every, Tree::Array(elements)) => {
            if elements.is_empty() {
                elements.extend((0..1 + dice.below(2)).map(|_| empty()));
            }
            for element in elements {
                put(dice, element, rest, value.clone());
            }
        }
        _ => {}
    }
}
