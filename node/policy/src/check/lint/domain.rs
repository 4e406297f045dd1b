//! What conditions on one path leave of its values: a model that knows single values, bounds of
//! numbers, and types. Where it does not know, it says so, and nothing is warned of.

use alloc::vec::Vec;

use super::Placed;
use crate::constant::Constant;
use crate::decide::judge_value;
use crate::json::{Kind, Value};
use crate::model::{Condition, Test};
use crate::number::Decimal;

/// Conditions on one path that are looked at together.
const TESTS_MAX: usize = 16;
/// Values that a condition names.
const VALUES_MAX: usize = 64;

/// Types of values: one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const ALL: Self = Self(0x3f);
    const NONE: Self = Self(0);

    fn one(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }

    fn of(values: impl Iterator<Item = Kind>) -> Self {
        values.fold(Self::NONE, |all, kind| Self(all.0 | Self::one(kind).0))
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// All conditions on one path that a value must make true.
pub(super) struct Domain<'d> {
    conditions: Vec<Placed<'d, Condition>>,
    /// The values that are left, if the conditions name them one by one.
    values: Option<Vec<Value<'d>>>,
}

impl<'d> Domain<'d> {
    /// None if they are more than can be looked at.
    pub(super) fn of(conditions: Vec<Placed<'d, Condition>>) -> Option<Self> {
        let cheap = conditions.iter().all(|one| is_cheap(&one.read.test));
        (cheap && conditions.len() <= TESTS_MAX).then(|| Self {
            values: values(&conditions),
            conditions,
        })
    }

    /// The condition by which nothing is left any more, if there is one.
    pub(super) fn emptied_by(&self) -> Option<Placed<'d, Condition>> {
        if !is_empty(&self.conditions) {
            return None;
        }
        (1..=self.conditions.len()).find_map(|count| {
            let conditions = self.conditions.get(..count)?;
            is_empty(conditions).then(|| conditions.last().copied())?
        })
    }

    /// The values that are left, if the conditions name them one by one.
    pub(super) fn values(&self) -> Option<&[Value<'d>]> {
        self.values.as_deref()
    }

    /// Whether a further condition is false, and can be judged, for every value that is left.
    pub(super) fn rules_out(&self, further: Placed<'d, Condition>) -> bool {
        if !is_cheap(&further.read.test) || self.conditions.is_empty() || is_empty(&self.conditions)
        {
            return false;
        }
        if let Some(values) = self.values() {
            let mut values = values.iter();
            return values.all(|value| asked(&further.read.test, *value) == Some(false));
        }
        let kinds = kinds(&self.conditions);
        let judged = judged_kinds(further);
        // A value of a type that it cannot judge would be denied as indeterminate.
        if kinds.and(judged) != kinds {
            return false;
        }
        let mut all = self.conditions.clone();
        all.push(further);
        match named(further) {
            Some(members) => {
                let left = |value: &Value<'d>| holds(&self.conditions, *value);
                members.len() <= VALUES_MAX && !members.iter().any(left)
            }
            None => crossed(&all),
        }
    }
}

/// Whether a warning may try it as often as it likes: a pattern without a table takes its time with
/// every text.
pub(super) fn is_cheap(test: &Test) -> bool {
    match test {
        Test::Matches(regex) => regex.has_dfa(),
        Test::Not(test) => is_cheap(test),
        Test::Contains(_)
        | Test::Equals(_)
        | Test::Exists(_)
        | Test::Greater(_)
        | Test::Less(_)
        | Test::MemberOf(_)
        | Test::PathIn(_)
        | Test::UrlIn(_) => true,
    }
}

fn holds(conditions: &[Placed<'_, Condition>], value: Value<'_>) -> bool {
    let mut tests = conditions.iter().map(|one| &one.read.test);
    tests.all(|test| asked(test, value) == Some(true))
}

/// What a test says of a value that is there; None if it cannot judge it.
pub(super) fn asked(test: &Test, value: Value<'_>) -> Option<bool> {
    if let Test::Exists(wanted) = test {
        return Some(*wanted);
    }
    judge_value(test, value)
}

/// Whether certainly no value makes all of them true.
fn is_empty(conditions: &[Placed<'_, Condition>]) -> bool {
    let absent = |one: &Placed<'_, Condition>| matches!(one.read.test, Test::Exists(false));
    if conditions.iter().any(absent) {
        // Every other condition is false for what is absent.
        return conditions.iter().any(|one| !absent(one));
    }
    match values(conditions) {
        Some(values) => values.is_empty(),
        None => kinds(conditions) == Kinds::NONE || crossed(conditions),
    }
}

/// The values that the first list or `eq` names and all the others hold for.
fn values<'d>(conditions: &[Placed<'d, Condition>]) -> Option<Vec<Value<'d>>> {
    let named = conditions.iter().copied().find_map(named)?;
    if named.len() > VALUES_MAX {
        return None;
    }
    let left = named.into_iter().filter(|value| holds(conditions, *value));
    Some(left.collect())
}

/// The values that a condition names, all that it is true for.
fn named<'d>(condition: Placed<'d, Condition>) -> Option<Vec<Value<'d>>> {
    let operand = condition.value.get("value")?;
    match &condition.read.test {
        Test::Equals(_) => Some([operand].into()),
        Test::MemberOf(_) => Some(operand.elements().collect()),
        Test::Contains(_)
        | Test::Exists(_)
        | Test::Greater(_)
        | Test::Less(_)
        | Test::Matches(_)
        | Test::Not(_)
        | Test::PathIn(_)
        | Test::UrlIn(_) => None,
    }
}

/// Types of values that all of them can be true for.
fn kinds(conditions: &[Placed<'_, Condition>]) -> Kinds {
    conditions
        .iter()
        .fold(Kinds::ALL, |kinds, one| kinds.and(judged_kinds(*one)))
}

/// Types of values that a condition can judge; a test and its opposite judge the same.
fn judged_kinds(condition: Placed<'_, Condition>) -> Kinds {
    let operand = condition.value.get("value");
    let mut test = &condition.read.test;
    if let Test::Not(inner) = test {
        test = inner;
    }
    match test {
        Test::Contains(Constant::Text(_)) => Kinds::of([Kind::String, Kind::Array].into_iter()),
        Test::Contains(_) => Kinds::one(Kind::Array),
        Test::Equals(constant) => Kinds::one(constant.kind()),
        Test::Exists(_) | Test::Not(_) => Kinds::ALL,
        Test::Greater(_) | Test::Less(_) => Kinds::one(Kind::Number),
        Test::Matches(_) | Test::PathIn(_) | Test::UrlIn(_) => Kinds::one(Kind::String),
        Test::MemberOf(_) => {
            let members = operand.into_iter().flat_map(Value::elements);
            Kinds::of(members.map(Value::kind))
        }
    }
}

/// A bound, and whether it is itself within.
type Bound = (Decimal, bool);

/// Whether a lower bound lies above an upper one.
fn crossed(conditions: &[Placed<'_, Condition>]) -> bool {
    let (mut lower, mut upper): (Option<Bound>, Option<Bound>) = (None, None);
    for condition in conditions {
        let (bound, is_lower) = match &condition.read.test {
            Test::Greater(bound) => ((*bound, false), true),
            Test::Less(bound) => ((*bound, false), false),
            Test::Not(test) => match &**test {
                Test::Less(bound) => ((*bound, true), true),
                Test::Greater(bound) => ((*bound, true), false),
                Test::Contains(_)
                | Test::Equals(_)
                | Test::Exists(_)
                | Test::Matches(_)
                | Test::MemberOf(_)
                | Test::Not(_)
                | Test::PathIn(_)
                | Test::UrlIn(_) => continue,
            },
            Test::Contains(_)
            | Test::Equals(_)
            | Test::Exists(_)
            | Test::Matches(_)
            | Test::MemberOf(_)
            | Test::PathIn(_)
            | Test::UrlIn(_) => continue,
        };
        let side = if is_lower { &mut lower } else { &mut upper };
        let tighter = side.is_none_or(|(own, within)| {
            let further = if is_lower {
                bound.0 > own
            } else {
                bound.0 < own
            };
            further || (bound.0 == own && within && !bound.1)
        });
        if tighter {
            *side = Some(bound);
        }
    }
    let (Some((low, low_within)), Some((high, high_within))) = (lower, upper) else {
        return false;
    };
    low > high || (low == high && !(low_within && high_within))
}
