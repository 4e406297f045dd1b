//! How a decision comes about: every step with all that it looks at, also past the one that
//! decides. What is read and judged is read and judged by the code that decides; this only keeps
//! what that code throws away.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::ops::ControlFlow;

use crate::compile::{LimitRow, Plan, Policy, RulePlan, RuleRow};
use crate::counters::Counters;
use crate::decide::{Cause, End, Truth, Verdict, charge, for_each, judge, stranger};
use crate::explain::{Explanation, LimitCause};
use crate::json::{Kind, Value};
use crate::model::{Condition, DefaultAction, Test};
use crate::path::{self, Found, read, read_step, root};

/// One call's way through a policy.
#[derive(Debug)]
pub struct Trace<'p, 'd> {
    /// Why the call is denied; none if it is allowed.
    pub denied: Option<Explanation>,
    /// All steps, in their order.
    pub steps: Vec<TracedStep<'p, 'd>>,
}

/// A step of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `hide`
    Hide,
    /// `default`, and the tool named `*`.
    Default,
    /// A tool's `deny`.
    Deny,
    /// A tool's `only`.
    Only,
    /// `require`
    Require,
    /// `deny_if`
    DenyIf,
    /// `limits`
    Limits,
}

impl Step {
    /// As policies write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hide => "hide",
            Self::Default => "default",
            Self::Deny => "deny",
            Self::Only => "only",
            Self::Require => "require",
            Self::DenyIf => "deny_if",
            Self::Limits => "limits",
        }
    }
}

/// What one step comes to.
#[derive(Debug)]
pub struct TracedStep<'p, 'd> {
    /// Which.
    pub step: Step,
    /// Whether it denies, or would if no step before it did.
    pub denies: bool,
    /// Whether it is the first that denies.
    pub decides: bool,
    /// For `only`: the first argument that the list does not have.
    pub stranger: Option<Value<'d>>,
    /// Rules of `require` or `deny_if`: the tool's own, then those of `*`.
    pub rules: Vec<TracedRule<'p, 'd>>,
    /// Limits: the tool's own, then those of `*`.
    pub limits: Vec<TracedLimit<'p>>,
}

/// What one rule comes to.
#[derive(Debug)]
pub struct TracedRule<'p, 'd> {
    /// RFC 6901, into the document.
    pub pointer: &'p str,
    /// Whether it denies, or would if nothing before it did.
    pub denies: bool,
    /// Whether it is the first that denies.
    pub decides: bool,
    /// In the order of the document.
    pub conditions: Vec<TracedCondition<'p, 'd>>,
}

/// What one condition comes to.
#[derive(Debug)]
pub struct TracedCondition<'p, 'd> {
    /// Its rule and pointer.
    pub row: &'p RuleRow,
    /// Its path as written.
    pub path: &'p str,
    /// Its operator as written.
    pub operator: &'static str,
    /// What it comes to, over all elements.
    pub truth: Truth,
    /// What was found; with several elements, what the deciding one is, else the first.
    pub seen: Seen<'d>,
    /// Why it is indeterminate, where it is.
    pub why: Option<Why>,
    /// For a path with `[*]`.
    pub elements: Option<Elements>,
    /// Whether the verdict names it.
    pub decides: bool,
}

/// What stands at the end of a path.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'d> {
    /// Nothing, or `null`.
    Absent,
    /// Servers could differ over what stands there.
    Indeterminate,
    /// A `[*]` of an array without elements.
    NoElements,
    /// This.
    Value(Value<'d>),
}

/// How many readings a path with `[*]` has, and which one decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements {
    /// All readings.
    pub count: usize,
    /// The path of the one that decides, with its indexes; none where none alone does.
    pub deciding: Option<String>,
}

/// Why something is indeterminate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A number that servers read differently.
    AmbiguousNumber,
    /// Another key of the object folds to the one asked for.
    KeyFolds,
    /// An index or `[*]` asked of what is no array.
    NotArray,
    /// A key asked of what is no object.
    NotObject,
    /// A text longer than a pattern searches.
    TextBytes,
    /// A value of a type that the operator does not judge.
    WrongType,
}

impl Why {
    /// A stable word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AmbiguousNumber => "ambiguous_number",
            Self::KeyFolds => "key_folds",
            Self::NotArray => "not_array",
            Self::NotObject => "not_object",
            Self::TextBytes => "text_bytes",
            Self::WrongType => "wrong_type",
        }
    }

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::AmbiguousNumber => "a number that servers read differently",
            Self::KeyFolds => "another key folds to the one asked for",
            Self::NotArray => "an index asked of what is no array",
            Self::NotObject => "a key asked of what is no object",
            Self::TextBytes => "a text longer than a pattern searches",
            Self::WrongType => "a type that the operator does not judge",
        }
    }
}

/// What one limit comes to.
#[derive(Debug)]
pub struct TracedLimit<'p> {
    /// The limit.
    pub row: &'p LimitRow,
    /// What the call is charged; none if that cannot be read.
    pub amount: Option<u64>,
    /// What the counter had used before the call.
    pub used: u64,
    /// Why it denies, or would if nothing before it did.
    pub denies: Option<LimitCause>,
    /// Whether it is the first that denies.
    pub decides: bool,
}

/// Over a path with several readings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// `require`: all must hold.
    All,
    /// `deny_if`: any is enough.
    Any,
}

impl Policy {
    /// Decides one call as [`Policy::decide`] and [`Counters::charge`] do, without charging it, and
    /// says how.
    pub fn trace<'p, 'd>(
        &'p self,
        tool: &str,
        arguments: Option<Value<'d>>,
        counters: &Counters,
    ) -> Trace<'p, 'd> {
        let (cause, limit) = match self.decide(tool, arguments) {
            Verdict::Deny(cause) => (Some(cause), None),
            Verdict::Allow(permit) => (None, counters.clone().charge(self, &permit).err()),
        };
        let denied = match (cause, limit) {
            (Some(cause), _) => Some(self.explain(cause, tool)),
            (None, Some((row, why))) => Some(self.explain_limit(row, why)),
            (None, None) => None,
        };
        let row = match cause {
            Some(Cause::Rule { rule, .. }) => Some(rule),
            Some(Cause::Default | Cause::Hidden | Cause::Method { .. } | Cause::NoPolicy)
            | None => None,
        };
        // A tool named `*` meets no rule: its name is the one of all tools' rules.
        let own = self.plan(tool);
        let plans = [own, (tool != "*").then_some(&self.star)];
        let hidden = self.hides(tool);
        let unlisted = tool == "*" || (own.is_none() && self.default == DefaultAction::Deny);
        let steps = alloc::vec![
            plain(Step::Hide, hidden, cause == Some(Cause::Hidden)),
            plain(Step::Default, unlisted, cause == Some(Cause::Default)),
            self.deny(own, row),
            self.only(own, arguments, row),
            self.rules_of(Step::Require, &plans, arguments, row),
            self.rules_of(Step::DenyIf, &plans, arguments, row),
            self.limits_of(&plans, arguments, counters, limit.map(|(row, _)| row)),
        ];
        Trace { denied, steps }
    }

    fn deny<'p, 'd>(&self, own: Option<&Plan>, decides: Option<u32>) -> TracedStep<'p, 'd> {
        let row = own.and_then(|plan| plan.deny);
        plain(Step::Deny, row.is_some(), row.is_some() && row == decides)
    }

    fn only<'p, 'd>(
        &self,
        own: Option<&Plan>,
        arguments: Option<Value<'d>>,
        decides: Option<u32>,
    ) -> TracedStep<'p, 'd> {
        let only = own.and_then(|plan| plan.only.as_ref());
        let stranger = only
            .zip(arguments)
            .and_then(|(only, arguments)| stranger(only, arguments));
        let row = only.filter(|_| stranger.is_some()).map(|only| only.row);
        TracedStep {
            stranger,
            ..plain(Step::Only, row.is_some(), row.is_some() && row == decides)
        }
    }

    fn rules_of<'p, 'd>(
        &'p self,
        step: Step,
        plans: &[Option<&'p Plan>],
        arguments: Option<Value<'d>>,
        decides: Option<u32>,
    ) -> TracedStep<'p, 'd> {
        let (over, of): (Over, fn(&Plan) -> &[RulePlan]) = if step == Step::Require {
            (Over::All, |plan| &plan.require)
        } else {
            (Over::Any, |plan| &plan.deny_if)
        };
        let plans = plans.iter().flatten();
        let rules: Vec<_> = plans
            .flat_map(|plan| of(plan))
            .map(|rule| self.rule(rule, over, arguments, decides))
            .collect();
        let denies = rules.iter().any(|rule| rule.denies);
        let decides = rules.iter().any(|rule| rule.decides);
        TracedStep {
            rules,
            ..plain(step, denies, decides)
        }
    }

    fn rule<'p, 'd>(
        &'p self,
        rule: &'p RulePlan,
        over: Over,
        arguments: Option<Value<'d>>,
        decides: Option<u32>,
    ) -> TracedRule<'p, 'd> {
        let conditions: Vec<_> = (rule.row..)
            .zip(&rule.conditions)
            .map(|(number, condition)| {
                let row = self
                    .rules()
                    .get(number as usize)
                    .expect("each condition has a row");
                look(row, condition, over, arguments, Some(number) == decides)
            })
            .collect();
        let denies = match over {
            Over::All => conditions.iter().any(|one| one.truth != Truth::True),
            Over::Any => conditions.iter().all(|one| one.truth != Truth::False),
        };
        let pointer = conditions.first().map_or("", |one| &*one.row.pointer);
        TracedRule {
            pointer: pointer
                .rsplit_once("/conditions/")
                .map_or(pointer, |(rule, _)| rule),
            denies,
            decides: conditions.iter().any(|one| one.decides),
            conditions,
        }
    }

    fn limits_of<'p, 'd>(
        &'p self,
        plans: &[Option<&'p Plan>],
        arguments: Option<Value<'d>>,
        counters: &Counters,
        decides: Option<u32>,
    ) -> TracedStep<'p, 'd> {
        let plans = plans.iter().flatten();
        let limits: Vec<_> = plans
            .flat_map(|plan| &plan.limits)
            .map(|limit| {
                let charge = charge(limit, arguments);
                let row = self
                    .limits()
                    .get(charge.limit as usize)
                    .expect("each limit has a row");
                TracedLimit {
                    row,
                    amount: charge.amount,
                    used: counters.used(row),
                    denies: counters.with(row, charge.amount).err(),
                    decides: Some(charge.limit) == decides,
                }
            })
            .collect();
        let denies = limits.iter().any(|limit| limit.denies.is_some());
        TracedStep {
            limits,
            ..plain(Step::Limits, denies, decides.is_some())
        }
    }
}

fn plain<'p, 'd>(step: Step, denies: bool, decides: bool) -> TracedStep<'p, 'd> {
    TracedStep {
        step,
        denies,
        decides,
        stranger: None,
        rules: Vec::new(),
        limits: Vec::new(),
    }
}

/// One reading of a path: its number, what it is and what it comes to.
#[derive(Clone, Copy)]
struct Reading<'d> {
    number: usize,
    seen: Seen<'d>,
    truth: Truth,
}

fn look<'p, 'd>(
    row: &'p RuleRow,
    condition: &'p Condition,
    over: Over,
    arguments: Option<Value<'d>>,
    decides: bool,
) -> TracedCondition<'p, 'd> {
    let path::Path { text, steps } = &condition.path;
    let (reading, elements) = if condition.path.has_every() {
        look_at_all(condition, over, arguments)
    } else {
        let found = read(arguments, steps);
        let reading = Reading {
            number: 0,
            seen: found.into(),
            truth: judge(&condition.test, found),
        };
        (reading, None)
    };
    let why = (reading.truth == Truth::Indeterminate).then(|| match reading.seen {
        Seen::Value(value) => why_not_judged(&condition.test, value),
        Seen::Absent | Seen::Indeterminate | Seen::NoElements => {
            let mut place = String::new();
            let mut left = reading.number;
            locate(root(arguments), steps, &mut left, &mut place)
                .flatten()
                .unwrap_or(Why::WrongType)
        }
    });
    TracedCondition {
        row,
        path: text,
        operator: condition.operator.name(),
        truth: reading.truth,
        seen: reading.seen,
        why,
        elements,
        decides,
    }
}

impl<'d> From<Found<'d>> for Seen<'d> {
    fn from(found: Found<'d>) -> Self {
        match found {
            Found::Absent => Self::Absent,
            Found::Indeterminate => Self::Indeterminate,
            Found::Value(value) => Self::Value(value),
        }
    }
}

/// All readings of a path with `[*]`, and the one that decides what they come to together.
fn look_at_all<'d>(
    condition: &Condition,
    over: Over,
    arguments: Option<Value<'d>>,
) -> (Reading<'d>, Option<Elements>) {
    let steps = &condition.path.steps;
    let mut count = 0;
    let mut first = None;
    let mut first_true = None;
    let mut first_doubtful = None;
    let mut first_not_true = None;
    let all = for_each(root(arguments), steps, &mut |end| {
        let (seen, truth) = match end {
            End::NoElements => (Seen::NoElements, Truth::False),
            End::At(found) => (found.into(), judge(&condition.test, found)),
        };
        let reading = Reading {
            number: count,
            seen,
            truth,
        };
        count += 1;
        first.get_or_insert(reading);
        match truth {
            Truth::True => first_true.get_or_insert(reading),
            Truth::False => first_not_true.get_or_insert(reading),
            Truth::Indeterminate => {
                first_doubtful.get_or_insert(reading);
                first_not_true.get_or_insert(reading)
            }
        };
        ControlFlow::Continue(())
    });
    assert!(all.is_continue(), "no reading breaks off");
    let deciding = match over {
        Over::All => first_not_true,
        Over::Any => first_true.or(first_doubtful),
    };
    let together = Reading {
        number: 0,
        seen: Seen::NoElements,
        truth: Truth::False,
    };
    let elements = Elements {
        count,
        deciding: deciding.map(|reading| {
            let mut place = "args".to_owned();
            let mut left = reading.number;
            // What it says of why is asked for where it is needed.
            let _: Option<Option<Why>> = locate(root(arguments), steps, &mut left, &mut place);
            place
        }),
    };
    (deciding.or(first).unwrap_or(together), Some(elements))
}

/// Walks to reading `left` of a path as [`for_each`] does, writes down where that is, and says why
/// it is indeterminate, if it is. None: it has fewer readings.
fn locate<'d>(
    mut found: Found<'d>,
    mut steps: &[path::Step],
    left: &mut usize,
    place: &mut String,
) -> Option<Option<Why>> {
    let mut why = None;
    while let (Found::Value(value), Some((step, rest))) = (found, steps.split_first()) {
        if matches!(step, path::Step::Every) && value.kind() == Kind::Array && !value.is_empty() {
            let before = place.len();
            // One level of the stack for each `[*]`: the path's length bounds it.
            return value.elements().enumerate().find_map(|(index, element)| {
                place.truncate(before);
                push_step(place, &path::Step::Index(index));
                locate(root(Some(element)), rest, left, place)
            });
        }
        push_step(place, step);
        if matches!(step, path::Step::Every) && value.kind() == Kind::Array {
            break;
        }
        found = read_step(value, step);
        if matches!(found, Found::Indeterminate) {
            why = Some(match (step, value.kind()) {
                (path::Step::Key { .. }, Kind::Object) => Why::KeyFolds,
                (path::Step::Key { .. }, _) => Why::NotObject,
                (path::Step::Index(_) | path::Step::Every, _) => Why::NotArray,
            });
        }
        steps = rest;
    }
    match left.checked_sub(1) {
        Some(fewer) => {
            *left = fewer;
            None
        }
        None => Some(why),
    }
}

fn push_step(place: &mut String, step: &path::Step) {
    let written = match step {
        path::Step::Every => write!(place, "[*]"),
        path::Step::Index(index) => write!(place, "[{index}]"),
        path::Step::Key { exact, .. } => {
            let bare = format!("args.{exact}");
            // Whatever the grammar takes for one bare key is one.
            let is_bare = path::Path::parse(&bare).is_ok_and(|path| path.steps.len() == 1);
            if is_bare {
                write!(place, ".{exact}")
            } else {
                let escaped = exact.replace('\\', "\\\\").replace('"', "\\\"");
                write!(place, "[\"{escaped}\"]")
            }
        }
    };
    written.expect("writing to a `String` does not fail");
}

/// Why a test cannot judge a value that it was found not to.
fn why_not_judged(test: &Test, value: Value<'_>) -> Why {
    match test {
        Test::Not(test) => why_not_judged(test, value),
        Test::Equals(constant) if constant.kind() == value.kind() => Why::AmbiguousNumber,
        Test::Greater(_) | Test::Less(_) | Test::MemberOf(_) if value.kind() == Kind::Number => {
            // A list without numbers does not judge one that all read alike either.
            if crate::constant::number(value).is_none() {
                Why::AmbiguousNumber
            } else {
                Why::WrongType
            }
        }
        Test::Contains(_) if value.kind() == Kind::Array => Why::AmbiguousNumber,
        Test::Matches(_) if value.kind() == Kind::String => Why::TextBytes,
        Test::Contains(_)
        | Test::Equals(_)
        | Test::Exists(_)
        | Test::Greater(_)
        | Test::Less(_)
        | Test::Matches(_)
        | Test::MemberOf(_)
        | Test::PathIn(_)
        | Test::UrlIn(_) => Why::WrongType,
    }
}
