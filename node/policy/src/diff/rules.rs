//! Rules and limits of one tool, before and after.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Change, Direction};
use crate::check::shortened;
use crate::constant::number;
use crate::digest::digest;
use crate::json::{Kind, Value};
use crate::number::Reading;

/// A step whose rules have conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Require,
    DenyIf,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::DenyIf => "deny_if",
        }
    }

    /// What it does when a condition of its rules is true more often.
    fn grown(self) -> Direction {
        match self {
            Self::Require => Direction::Loosens,
            Self::DenyIf => Direction::Tightens,
        }
    }
}

type Pair<'o, 'n> = ((usize, Value<'o>), (usize, Value<'n>));

/// Elements of two lists: those that are alike in pairs, then what is left of each.
struct Paired<'o, 'n> {
    pairs: Vec<Pair<'o, 'n>>,
    old: Vec<(usize, Value<'o>)>,
    new: Vec<(usize, Value<'n>)>,
}

impl<'o, 'n> Paired<'o, 'n> {
    fn of(old: Option<Value<'o>>, new: Option<Value<'n>>) -> Self {
        let mut paired = Self {
            pairs: Vec::new(),
            old: old
                .into_iter()
                .flat_map(Value::elements)
                .enumerate()
                .collect(),
            new: new
                .into_iter()
                .flat_map(Value::elements)
                .enumerate()
                .collect(),
        };
        paired.pair(|value| vec![digest(value).to_vec()]);
        paired
    }

    /// Takes out of what is left the pairs that have a key in common, the earliest first.
    fn pair(&mut self, keys: impl Fn(Value<'_>) -> Vec<Vec<u8>>) {
        let mut by_key: BTreeMap<Vec<u8>, BTreeSet<usize>> = BTreeMap::new();
        for (place, (_, value)) in self.new.iter().enumerate() {
            for key in keys(*value) {
                by_key.entry(key).or_default().insert(place);
            }
        }
        let mut left = Vec::new();
        let mut taken = BTreeSet::new();
        for (index, one) in self.old.drain(..) {
            let all = keys(one);
            let first = all.iter().filter_map(|key| by_key.get(key)?.first());
            let Some(place) = first.min().copied() else {
                left.push((index, one));
                continue;
            };
            if let Some((other, two)) = self.new.get(place).copied() {
                for key in keys(two) {
                    by_key.entry(key).or_default().remove(&place);
                }
                taken.insert(place);
                self.pairs.push(((index, one), (other, two)));
            }
        }
        self.old = left;
        let mut place = 0_usize..;
        self.new
            .retain(|_| place.next().is_none_or(|place| !taken.contains(&place)));
    }

    fn is_in_order(&self) -> bool {
        self.pairs.is_sorted_by_key(|(_, (index, _))| *index)
    }
}

/// What changes in the rules of one step.
pub(super) fn compare_rules(
    step: Step,
    tool: &str,
    at: &str,
    old: Option<Value<'_>>,
    new: Option<Value<'_>>,
) -> Vec<Change> {
    let mut paired = Paired::of(old, new);
    let mut changes = Vec::new();
    let mut add = |direction, (old, new): (Option<usize>, Option<usize>), text| {
        let place = |index: Option<usize>| index.map(|index| format!("{at}/{index}"));
        changes.push(Change {
            direction,
            tool: Some(tool.into()),
            old: place(old),
            new: place(new),
            text,
        });
    };
    let name = step.name();
    let in_order = paired.is_in_order();
    paired.pairs.clear();
    paired.pair(asked);
    for ((old, one), (new, two)) in &paired.pairs {
        let (direction, text) = compare_rule(step, *one, *two);
        add(
            direction,
            (Some(*old), Some(*new)),
            format!("`{name}` changes: {text}"),
        );
    }
    for (index, rule) in &paired.old {
        // Without the rule, all that it denied may pass.
        let text = format!("`{name}` dropped: {}", rule_text(*rule));
        add(Direction::Loosens, (Some(*index), None), text);
    }
    for (index, rule) in &paired.new {
        let text = format!("`{name}` added: {}", rule_text(*rule));
        add(Direction::Tightens, (None, Some(*index)), text);
    }
    if !in_order {
        let text = format!("the order of `{name}` changes: another rule may be the one named");
        add(Direction::Neutral, (None, None), text);
    }
    changes
}

fn conditions_of(rule: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    rule.get("conditions").into_iter().flat_map(Value::elements)
}

/// What two rules have in common that resemble each other: a condition that asks the same, be it of
/// another value.
fn asked(rule: Value<'_>) -> Vec<Vec<u8>> {
    conditions_of(rule).flat_map(asks).collect()
}

fn asks(condition: Value<'_>) -> Vec<Vec<u8>> {
    vec![parts(condition, &["path", "op"])]
}

fn counted(limit: Value<'_>) -> Vec<Vec<u8>> {
    vec![parts(limit, &["counter", "window", "scope"])]
}

/// The canonical forms of some members.
fn parts(value: Value<'_>, names: &[&str]) -> Vec<u8> {
    let members = names.iter().filter_map(|name| value.get(name));
    members.flat_map(digest).collect()
}

/// What changes between two rules that resemble each other.
fn compare_rule(step: Step, one: Value<'_>, two: Value<'_>) -> (Direction, String) {
    let mut paired = Paired::of(one.get("conditions"), two.get("conditions"));
    let in_order = paired.is_in_order();
    paired.pairs.clear();
    paired.pair(asks);
    let mut direction = Direction::Neutral;
    let mut told = Vec::new();
    for ((_, one), (_, two)) in &paired.pairs {
        direction = direction.and(compare_value(step, *one, *two));
        told.push(format!(
            "{} becomes {}",
            condition_text(*one),
            condition_text(*two)
        ));
    }
    // With one condition fewer, the others together are true more often.
    for (_, condition) in &paired.old {
        direction = direction.and(step.grown());
        told.push(format!("without {}", condition_text(*condition)));
    }
    for (_, condition) in &paired.new {
        direction = direction.and(step.grown().reversed());
        told.push(format!("with {}", condition_text(*condition)));
    }
    if one.get("on_deny").map(digest) != two.get("on_deny").map(digest) {
        told.push("another message".into());
    }
    if !in_order {
        told.push("another order of conditions".into());
    }
    (direction, told.join("; "))
}

/// What a condition does that asks the same of another value.
fn compare_value(step: Step, one: Value<'_>, two: Value<'_>) -> Direction {
    let op = one.get("op").and_then(Value::as_str).unwrap_or_default();
    let (old, new) = (one.get("value"), two.get("value"));
    if &*op == "exists" {
        let wanted = |value: Option<Value<'_>>| value.and_then(Value::as_bool).unwrap_or(true);
        let same = wanted(old) == wanted(new);
        return if same {
            Direction::Neutral
        } else {
            Direction::Changes
        };
    }
    let (Some(old), Some(new)) = (old, new) else {
        return Direction::Changes;
    };
    let order = match &*op {
        "lt" | "lte" => compare_numbers(new, old),
        "gt" | "gte" => compare_numbers(old, new),
        "path_in" | "url_in" => compare_sets(new, old),
        // What is of no type in the list is indeterminate, so another type changes more than what
        // is a member.
        "in" | "not_in" if kinds(old) != kinds(new) => None,
        "in" => compare_sets(new, old),
        "not_in" => compare_sets(old, new),
        _ => None,
    };
    match order {
        Some(Ordering::Greater) => step.grown(),
        Some(Ordering::Less) => step.grown().reversed(),
        Some(Ordering::Equal) => Direction::Neutral,
        None => Direction::Changes,
    }
}

fn compare_numbers(one: Value<'_>, two: Value<'_>) -> Option<Ordering> {
    Some(number(one)?.cmp(&number(two)?))
}

/// By inclusion.
fn compare_sets(one: Value<'_>, two: Value<'_>) -> Option<Ordering> {
    let set = |list: Value<'_>| list.elements().map(digest).collect::<BTreeSet<_>>();
    let (one, two) = (set(one), set(two));
    match (one.is_subset(&two), two.is_subset(&one)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => None,
    }
}

fn kinds(list: Value<'_>) -> BTreeSet<Kind> {
    list.elements().map(Value::kind).collect()
}

/// What changes in a tool's limits. Two are the same limit if they charge the same counter.
pub(super) fn compare_limits(
    tool: &str,
    at: &str,
    old: Option<Value<'_>>,
    new: Option<Value<'_>>,
) -> Vec<Change> {
    let mut paired = Paired::of(old, new);
    let in_order = paired.is_in_order();
    paired.pairs.clear();
    paired.pair(counted);
    let mut changes = Vec::new();
    let mut add = |direction, (old, new): (Option<usize>, Option<usize>), text| {
        let place = |index: Option<usize>| index.map(|index| format!("{at}/{index}"));
        changes.push(Change {
            direction,
            tool: Some(tool.into()),
            old: place(old),
            new: place(new),
            text,
        });
    };
    for ((old, one), (new, two)) in &paired.pairs {
        let (direction, text) = compare_limit(*one, *two);
        let text = format!("limit {} changes: {text}", limit_text(*one));
        add(direction, (Some(*old), Some(*new)), text);
    }
    for (index, limit) in &paired.old {
        let text = format!("limit dropped: {}", limit_text(*limit));
        add(Direction::Loosens, (Some(*index), None), text);
    }
    for (index, limit) in &paired.new {
        let text = format!("limit added: {}", limit_text(*limit));
        add(Direction::Tightens, (None, Some(*index)), text);
    }
    if !in_order {
        let text = "the order of `limits` changes: another limit may be the one named".into();
        add(Direction::Neutral, (None, None), text);
    }
    changes
}

fn compare_limit(one: Value<'_>, two: Value<'_>) -> (Direction, String) {
    let mut direction = Direction::Neutral;
    let mut told = vec![];
    let both = |name| (one.get(name), two.get(name));
    if let (Some(old), Some(new)) = both("max")
        && let Some(order) = compare_numbers(new, old)
        && order != Ordering::Equal
    {
        let (word, towards) = if order == Ordering::Greater {
            ("raised", Direction::Loosens)
        } else {
            ("lowered", Direction::Tightens)
        };
        direction = direction.and(towards);
        told.push(format!("max {word} from {} to {}", old.raw(), new.raw()));
    }
    let (from, to) = both("increment_from");
    if from.map(digest) != to.map(digest) {
        direction = direction.and(Direction::Changes);
        let what = |path: Option<Value<'_>>| match path.and_then(Value::as_str) {
            Some(path) => format!("by `{}`", shortened(&path)),
            None => "by a fixed amount".into(),
        };
        told.push(format!("charged {}, not {}", what(to), what(from)));
    }
    let (old, new) = both("increment");
    let amount = |increment: Option<Value<'_>>| match increment {
        Some(increment) => number(increment),
        None => Reading::of("1").exact(),
    };
    if let (None, None, Some(before), Some(after)) = (from, to, amount(old), amount(new))
        && before != after
    {
        let more = after > before;
        direction = direction.and(if more {
            Direction::Tightens
        } else {
            Direction::Loosens
        });
        told.push(format!(
            "increment from {} to {}",
            old.map_or("1", Value::raw),
            new.map_or("1", Value::raw)
        ));
    }
    if one.get("on_deny").map(digest) != two.get("on_deny").map(digest) {
        told.push("another message".into());
    }
    if told.is_empty() {
        told.push("written otherwise".into());
    }
    (direction, told.join("; "))
}

fn limit_text(limit: Value<'_>) -> String {
    let text = |name| limit.get(name).and_then(Value::as_str).unwrap_or_default();
    let counter = shortened(&text("counter"));
    let max = limit.get("max").map_or("", Value::raw);
    format!(
        "`{counter}` a {}, by {}, at most {max}",
        text("window"),
        text("scope")
    )
}

fn rule_text(rule: Value<'_>) -> String {
    let conditions: Vec<String> = conditions_of(rule).map(condition_text).collect();
    conditions.join(" and ")
}

fn condition_text(condition: Value<'_>) -> String {
    let text = |name| {
        condition
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let asked = format!("{} {}", text("path"), text("op"));
    match condition.get("value") {
        Some(value) => format!("`{} {}`", shortened(&asked), shortened(value.raw())),
        None => format!("`{}`", shortened(&asked)),
    }
}
