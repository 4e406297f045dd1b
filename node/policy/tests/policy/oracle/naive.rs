//! The contract's tables, step by step, without a thought for speed.
//!
//! It gathers what each condition comes to at every end of its path before it looks at any.

use std::collections::BTreeMap;

use tollbook_fuzz::Tree;

use super::number::Decimal;
use super::{fold, place, text};

/// Why a call is denied, for the tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    Amount,
    Default,
    Deny,
    DenyIf,
    DenyIfInDoubt,
    Hide,
    Limit,
    Only,
    Require,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) by: By,
    pub(super) rule: String,
    pub(super) pointer: String,
    pub(super) reason: Option<&'static str>,
    pub(super) message: Option<String>,
}

/// Counter, window and scope, and what is used of it.
pub(super) type Used = BTreeMap<(String, String, String), u64>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    True,
    False,
    Indeterminate,
}

use Truth::{False, Indeterminate, True};

/// A tool's name and its rules.
type Source<'p> = (&'p str, &'p Tree);

pub(super) fn decide(
    policy: &Tree,
    tool: &str,
    args: Option<&Tree>,
    used: &mut Used,
) -> Option<Denial> {
    let nothing = Tree::Object(Vec::new());
    let tools = policy.get("tools").unwrap_or(&nothing);
    let own = tools.get(tool).filter(|_| tool != "*");
    if let Some(denial) = outright(policy, tool, own, args) {
        return Some(denial);
    }
    let mut sources: Vec<Source<'_>> = Vec::new();
    sources.extend(own.map(|rules| (tool, rules)));
    sources.extend(tools.get("*").map(|rules| ("*", rules)));
    unmet(&sources, args)
        .or_else(|| matching(&sources, args))
        .or_else(|| charge(&sources, args, used))
}

/// Whether `tools/list` names the tool.
pub(super) fn shows(policy: &Tree, tool: &str) -> bool {
    let listed = policy.get("tools").and_then(|tools| tools.get(tool));
    let by_default = policy.get("default").and_then(Tree::text) == Some("allow");
    tool != "*" && !hidden(policy, tool) && (by_default || listed.is_some())
}

fn hidden(policy: &Tree, tool: &str) -> bool {
    let hide = policy.get("hide").map(Tree::elements).unwrap_or_default();
    hide.iter().any(|name| name.text() == Some(tool))
}

/// All that looks at no value.
fn outright(policy: &Tree, tool: &str, own: Option<&Tree>, args: Option<&Tree>) -> Option<Denial> {
    let deny = |by, rule: String, pointer: String, message: Option<&str>| {
        let (reason, message) = (None, message.map(str::to_owned));
        Some(Denial {
            by,
            rule,
            pointer,
            reason,
            message,
        })
    };
    let by_default = policy.get("default").and_then(Tree::text) == Some("allow");
    if tool != "*" && hidden(policy, tool) {
        return deny(By::Hide, format!("/hide/{tool}"), "/hide".into(), None);
    }
    if tool == "*" || (own.is_none() && !by_default) {
        return deny(By::Default, "/default".into(), "/default".into(), None);
    }
    let own = own?;
    let (shown, pointer) = (format!("/tools/{tool}"), format!("/tools/{}", token(tool)));
    if let Some(message) = own.get("deny") {
        let (shown, pointer) = (format!("{shown}/deny"), format!("{pointer}/deny"));
        return deny(By::Deny, shown, pointer, message.text());
    }
    let only = own.get("only")?.elements();
    let strange = |key: &str| !only.iter().any(|allowed| allowed.text() == Some(key));
    if args?.members().iter().any(|(key, _)| strange(key)) {
        let (shown, pointer) = (format!("{shown}/only"), format!("{pointer}/only"));
        return deny(By::Only, shown, pointer, None);
    }
    None
}

fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn list<'p>(rules: &'p Tree, name: &str) -> &'p [Tree] {
    rules.get(name).map(Tree::elements).unwrap_or_default()
}

fn unmet(sources: &[Source<'_>], args: Option<&Tree>) -> Option<Denial> {
    for (name, rules) in sources {
        for (index, rule) in list(rules, "require").iter().enumerate() {
            for (at, condition) in list(rule, "conditions").iter().enumerate() {
                let (ends, hit_empty) = truths(condition, args);
                if hit_empty || ends.iter().any(|truth| *truth != True) {
                    return Some(of_rule(By::Require, name, "require", rule, (index, at)));
                }
            }
        }
    }
    None
}

fn matching(sources: &[Source<'_>], args: Option<&Tree>) -> Option<Denial> {
    for (name, rules) in sources {
        for (index, rule) in list(rules, "deny_if").iter().enumerate() {
            let conditions = list(rule, "conditions");
            let whole: Vec<Truth> = conditions.iter().map(|one| any(one, args)).collect();
            if whole.contains(&False) {
                continue;
            }
            let doubtful = whole.iter().position(|truth| *truth == Indeterminate);
            let by = doubtful.map_or(By::DenyIf, |_| By::DenyIfInDoubt);
            let at = doubtful.unwrap_or(0);
            return Some(Denial {
                reason: doubtful.map(|_| "indeterminate"),
                ..of_rule(by, name, "deny_if", rule, (index, at))
            });
        }
    }
    None
}

fn of_rule(by: By, tool: &str, step: &str, rule: &Tree, (index, at): (usize, usize)) -> Denial {
    let condition = &list(rule, "conditions")[at];
    let (path, op) = (text(condition, "path"), text(condition, "op"));
    Denial {
        by,
        rule: format!("/tools/{tool}/{step}/{path}-{op}"),
        pointer: format!("/tools/{}/{step}/{index}/conditions/{at}", token(tool)),
        reason: None,
        message: rule.get("on_deny").and_then(Tree::text).map(str::to_owned),
    }
}

fn charge(sources: &[Source<'_>], args: Option<&Tree>, used: &mut Used) -> Option<Denial> {
    let mut after = used.clone();
    for (name, rules) in sources {
        for (index, limit) in list(rules, "limits").iter().enumerate() {
            let counter = text(limit, "counter");
            let deny = |by, reason| {
                Some(Denial {
                    by,
                    rule: format!("/tools/{name}/limits/{counter}"),
                    pointer: format!("/tools/{}/limits/{index}", token(name)),
                    reason: Some(reason),
                    message: limit.get("on_deny").and_then(Tree::text).map(str::to_owned),
                })
            };
            let whole = |number: &Tree| Decimal::exact(number).and_then(|number| number.whole());
            let amount = match (limit.get("increment"), limit.get("increment_from")) {
                (Some(number), _) => whole(number),
                (None, Some(path)) => match read(args, &steps(path.text().expect("a path")))[..] {
                    [End::Value(value)] => whole(value),
                    _ => None,
                },
                (None, None) => Some(1),
            };
            let Some(amount) = amount else {
                return deny(By::Amount, "amount");
            };
            let key = (counter.clone(), text(limit, "window"), text(limit, "scope"));
            let total = after.entry(key).or_insert(0);
            *total += amount;
            if *total > whole(limit.get("max").expect("max")).expect("a whole number") {
                return deny(By::Limit, "limit");
            }
        }
    }
    *used = after;
    None
}

fn any(condition: &Tree, args: Option<&Tree>) -> Truth {
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
fn truths(condition: &Tree, args: Option<&Tree>) -> (Vec<Truth>, bool) {
    let op = text(condition, "op");
    let ends = read(args, &steps(&text(condition, "path")));
    let hit_empty = ends.iter().any(|end| matches!(end, End::Nowhere));
    let judged = ends.iter().filter(|end| !matches!(end, End::Nowhere));
    let truths = judged.map(|end| judge(&op, condition.get("value"), end));
    (truths.collect(), hit_empty)
}

enum End<'d> {
    Absent,
    Doubt,
    /// In an empty array.
    Nowhere,
    Value(&'d Tree),
}

pub(super) enum Step {
    Every,
    Index(usize),
    Key(String),
}

/// The steps of a path that loads.
pub(super) fn steps(path: &str) -> Vec<Step> {
    let mut rest = path.strip_prefix("args").expect("paths begin so");
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, after) = after.split_at(end);
            steps.push(Step::Key(key.to_owned()));
            rest = after;
            continue;
        }
        let inner = rest.strip_prefix('[').expect("a bracket");
        if inner.starts_with('"') {
            let mut quoted = serde_json::Deserializer::from_str(inner).into_iter::<String>();
            steps.push(Step::Key(quoted.next().expect("a key").expect("JSON")));
            let (_, after) = inner.split_at(quoted.byte_offset());
            rest = after.strip_prefix(']').expect("a closing bracket");
        } else {
            let (index, after) = inner.split_once(']').expect("a closing bracket");
            let index_step = || Step::Index(index.parse().expect("an index"));
            steps.push(if index == "*" {
                Step::Every
            } else {
                index_step()
            });
            rest = after;
        }
    }
    steps
}

fn read<'d>(here: Option<&'d Tree>, steps: &[Step]) -> Vec<End<'d>> {
    let Some(here) = here.filter(|value| **value != Tree::Null) else {
        return vec![End::Absent];
    };
    let Some((step, rest)) = steps.split_first() else {
        return vec![End::Value(here)];
    };
    match (step, here) {
        (Step::Key(name), Tree::Object(members)) => {
            let another = |key: &str| key != name && fold(key) == fold(name);
            if members.iter().any(|(key, _)| another(key)) {
                return vec![End::Doubt];
            }
            read(here.get(name), rest)
        }
        (Step::Index(index), Tree::Array(elements)) => read(elements.get(*index), rest),
        (Step::Every, Tree::Array(elements)) if elements.is_empty() => vec![End::Nowhere],
        (Step::Every, Tree::Array(elements)) => elements
            .iter()
            .flat_map(|element| read(Some(element), rest))
            .collect(),
        (Step::Every | Step::Index(_) | Step::Key(_), _) => vec![End::Doubt],
    }
}

fn judge(op: &str, operand: Option<&Tree>, end: &End<'_>) -> Truth {
    let value = match *end {
        End::Doubt | End::Nowhere => return Indeterminate,
        End::Absent if op == "exists" => return truth(operand == Some(&Tree::Bool(false))),
        End::Absent => return False,
        End::Value(value) => value,
    };
    if op == "exists" {
        return truth(operand != Some(&Tree::Bool(false)));
    }
    let operand = operand.expect("an operand");
    if !all_exact(value) {
        return Indeterminate;
    }
    holds(op, operand, value).map_or(Indeterminate, truth)
}

/// None where the operator cannot judge the value.
fn holds(op: &str, operand: &Tree, value: &Tree) -> Option<bool> {
    Some(match op {
        "eq" | "neq" if kind(value) == kind(operand) => equal(value, operand) == (op == "eq"),
        "lt" | "lte" | "gt" | "gte" => {
            let order = Decimal::exact(value)?.cmp(&Decimal::exact(operand)?);
            match op {
                "lt" => order.is_lt(),
                "lte" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }
        }
        "in" | "not_in" => {
            let members = operand.elements();
            let judged = members.iter().any(|member| kind(member) == kind(value));
            judged.then(|| members.iter().any(|member| equal(value, member)) == (op == "in"))?
        }
        "contains" | "not_contains" => {
            let found = match (value, operand) {
                (Tree::Array(elements), _) => elements.iter().any(|one| equal(one, operand)),
                (Tree::Text(text), Tree::Text(part)) => text.contains(&**part),
                _ => return None,
            };
            found == (op == "contains")
        }
        "regex" | "not_regex" => place::matches(operand.text()?, value.text()?) == (op == "regex"),
        "path_in" => {
            let path = value.text()?;
            let directories = operand.elements().iter().filter_map(Tree::text);
            directories
                .into_iter()
                .any(|directory| place::path_in(path, directory))
        }
        "url_in" => {
            let url = value.text()?;
            let places = operand.elements().iter().filter_map(Tree::text);
            places.into_iter().any(|place| place::url_in(url, place))
        }
        _ => return None,
    })
}

fn truth(holds: bool) -> Truth {
    if holds { True } else { False }
}

fn kind(value: &Tree) -> u8 {
    match value {
        Tree::Array(_) => 0,
        Tree::Bool(_) => 1,
        Tree::Null => 2,
        Tree::Number(_) => 3,
        Tree::Object(_) => 4,
        Tree::Text(_) => 5,
    }
}

fn equal(one: &Tree, two: &Tree) -> bool {
    match (one, two) {
        (Tree::Number(_), Tree::Number(_)) => {
            let (one, two) = (Decimal::exact(one), Decimal::exact(two));
            one.is_some() && one == two
        }
        (Tree::Array(one), Tree::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| equal(one, two))
        }
        (Tree::Object(members), Tree::Object(others)) => {
            let same = |(key, value): &(String, Tree)| {
                two.get(key).is_some_and(|other| equal(value, other))
            };
            members.len() == others.len() && members.iter().all(same)
        }
        _ => one == two,
    }
}

fn all_exact(value: &Tree) -> bool {
    match value {
        Tree::Array(elements) => elements.iter().all(all_exact),
        Tree::Bool(_) | Tree::Null | Tree::Text(_) => true,
        Tree::Number(_) => Decimal::exact(value).is_some(),
        Tree::Object(members) => members.iter().all(|(_, member)| all_exact(member)),
    }
}
