//! The decision on one call: what an auditor reads.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::compile::{LimitPlan, OnlyPlan, Plan, Policy, RulePlan};
use crate::json::{Kind, Value};
use crate::model::{Amount, Condition, DefaultAction, Test};
use crate::number::Reading;
use crate::path::{Found, Path, Step, read, read_step, root};
use crate::{constant, limits};

/// What the policy says of one call.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// It may be forwarded once its charges are reserved.
    Allow(Permit),
    /// It is never forwarded.
    Deny(Cause),
}

/// Leave to forward one call, if the counters have room. Only this crate makes one, and it cannot
/// be copied: one permit, one call.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    charges: Vec<Charge>,
}

impl Permit {
    /// For what is charged to nothing.
    pub(crate) fn without_charges() -> Self {
        Self {
            charges: Vec::new(),
        }
    }

    /// What to reserve, in the order in which a limit that is spent denies.
    pub fn charges(&self) -> &[Charge] {
        &self.charges
    }
}

/// Charges `amount` to the limit of row `limit` of [`Policy::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Row of [`Policy::limits`].
    pub limit: u32,
    /// None: the amount could not be read, so the call is denied in this limit's place.
    pub amount: Option<u64>,
}

/// Why a policy denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `default: deny` and the tool is not listed; or a tool named `*`.
    Default,
    /// The tool is in `hide`.
    Hidden,
    /// A method other than `tools/call`.
    Method {
        /// `methods.deny` names it; else it is `default` that denies.
        listed: bool,
    },
    /// The grant has no policy.
    NoPolicy,
    /// A rule of the policy.
    Rule {
        /// Row of [`Policy::rules`].
        rule: u32,
        /// It denies because servers could differ over what the call says.
        indeterminate: bool,
    },
}

/// What a condition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Servers could differ over what it is asked of.
    Indeterminate,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl Policy {
    /// Decides one call of a tool. The arguments are those that will be forwarded, and their
    /// document keeps to the strict profile ([`crate::json::read`]); None if the call has none.
    pub fn decide(&self, tool: &str, arguments: Option<Value<'_>>) -> Verdict {
        // No tool's own entry is `*`: that one is for all of them.
        if tool == "*" {
            return Verdict::Deny(Cause::Default);
        }
        if self.hides(tool) {
            return Verdict::Deny(Cause::Hidden);
        }
        let own = self.plan(tool);
        if own.is_none() && self.default == DefaultAction::Deny {
            return Verdict::Deny(Cause::Default);
        }
        if let Some(cause) = own.and_then(|plan| refused_outright(plan, arguments)) {
            return Verdict::Deny(cause);
        }
        let plans = [own, Some(&self.star)];
        for plan in plans.into_iter().flatten() {
            if let Some(cause) = first_unmet(&plan.require, arguments) {
                return Verdict::Deny(cause);
            }
        }
        for plan in plans.into_iter().flatten() {
            if let Some(cause) = first_matching(&plan.deny_if, arguments) {
                return Verdict::Deny(cause);
            }
        }
        let limits = plans.into_iter().flatten().flat_map(|plan| &plan.limits);
        let charges = limits.map(|limit| charge(limit, arguments)).collect();
        Verdict::Allow(Permit { charges })
    }

    /// Whether `tools/list` shows the tool.
    pub fn shows(&self, tool: &str) -> bool {
        let listed = self.default == DefaultAction::Allow || self.plan(tool).is_some();
        tool != "*" && listed && !self.hides(tool)
    }
}

/// A tool's `deny`, then its `only`.
fn refused_outright(plan: &Plan, arguments: Option<Value<'_>>) -> Option<Cause> {
    if let Some(rule) = plan.deny {
        return Some(Cause::Rule {
            rule,
            indeterminate: false,
        });
    }
    let only = plan.only.as_ref()?;
    stranger(only, arguments?).map(|_| Cause::Rule {
        rule: only.row,
        indeterminate: false,
    })
}

/// The first argument that an `only` does not list.
pub(crate) fn stranger<'d>(only: &OnlyPlan, arguments: Value<'d>) -> Option<Value<'d>> {
    let mut keys = arguments.entries().map(|(key, _)| key);
    keys.find(|key| !only.keys.iter().any(|allowed| key.is_str(allowed)))
}

/// The first condition of `require` that does not hold.
fn first_unmet(rules: &[RulePlan], arguments: Option<Value<'_>>) -> Option<Cause> {
    for rule in rules {
        for (row, condition) in (rule.row..).zip(&rule.conditions) {
            if !holds_throughout(condition, arguments) {
                return Some(Cause::Rule {
                    rule: row,
                    indeterminate: false,
                });
            }
        }
    }
    None
}

/// The first rule of `deny_if` that matches, or may.
fn first_matching(rules: &[RulePlan], arguments: Option<Value<'_>>) -> Option<Cause> {
    rules.iter().find_map(|rule| {
        let mut doubtful = None;
        for (row, condition) in (rule.row..).zip(&rule.conditions) {
            match holds_somewhere(condition, arguments) {
                Truth::True => {}
                Truth::False => return None,
                Truth::Indeterminate => {
                    doubtful.get_or_insert(row);
                }
            }
        }
        let (rule, indeterminate) = doubtful.map_or((rule.row, false), |row| (row, true));
        Some(Cause::Rule {
            rule,
            indeterminate,
        })
    })
}

pub(crate) fn charge(limit: &LimitPlan, arguments: Option<Value<'_>>) -> Charge {
    let amount = match &limit.amount {
        Amount::Fixed(amount) => Some(*amount),
        Amount::From(path) => match read(arguments, &path.steps) {
            Found::Value(value) => {
                constant::number(value).and_then(crate::number::Decimal::as_whole)
            }
            Found::Absent | Found::Indeterminate => None,
        },
    };
    Charge {
        limit: limit.row,
        amount,
    }
}

/// For `require`: true for every element that the path goes through, and there are some.
fn holds_throughout(condition: &Condition, arguments: Option<Value<'_>>) -> bool {
    let Condition {
        path: Path { steps, .. },
        test,
        ..
    } = condition;
    if !condition.path.has_every() {
        return judge(test, read(arguments, steps)) == Truth::True;
    }
    let all_true = for_each(root(arguments), steps, &mut |end| match end {
        End::NoElements => ControlFlow::Break(()),
        End::At(found) if judge(test, found) == Truth::True => ControlFlow::Continue(()),
        End::At(_) => ControlFlow::Break(()),
    });
    all_true.is_continue()
}

/// For `deny_if`: true for any element, and else in doubt if it is for any.
fn holds_somewhere(condition: &Condition, arguments: Option<Value<'_>>) -> Truth {
    let Condition {
        path: Path { steps, .. },
        test,
        ..
    } = condition;
    if !condition.path.has_every() {
        return judge(test, read(arguments, steps));
    }
    let mut truth = Truth::False;
    let all_not_true = for_each(root(arguments), steps, &mut |end| {
        let End::At(found) = end else {
            return ControlFlow::Continue(());
        };
        match judge(test, found) {
            Truth::True => return ControlFlow::Break(()),
            Truth::Indeterminate => truth = Truth::Indeterminate,
            Truth::False => {}
        }
        ControlFlow::Continue(())
    });
    if all_not_true.is_break() {
        Truth::True
    } else {
        truth
    }
}

/// Where one of a path's readings ends.
pub(crate) enum End<'d> {
    At(Found<'d>),
    /// At a `[*]` of an empty array.
    NoElements,
}

/// Shows the end of each reading of a path, in the order of the call, until told to break.
pub(crate) fn for_each<'d>(
    mut found: Found<'d>,
    mut steps: &[Step],
    show: &mut dyn FnMut(End<'d>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    while let (Found::Value(value), Some((step, rest))) = (found, steps.split_first()) {
        if matches!(step, Step::Every) && value.kind() == Kind::Array {
            if value.is_empty() {
                return show(End::NoElements);
            }
            // One level of the stack for each `[*]`: the path's length bounds it.
            return value
                .elements()
                .try_for_each(|element| for_each(root(Some(element)), rest, show));
        }
        found = read_step(value, step);
        steps = rest;
    }
    show(End::At(found))
}

/// What a test says of what was found.
pub(crate) fn judge(test: &Test, found: Found<'_>) -> Truth {
    match (test, found) {
        (_, Found::Indeterminate) => Truth::Indeterminate,
        (Test::Exists(wanted), Found::Absent) => Truth::from(!wanted),
        (Test::Exists(wanted), Found::Value(_)) => Truth::from(*wanted),
        (_, Found::Absent) => Truth::False,
        (_, Found::Value(value)) => {
            judge_value(test, value).map_or(Truth::Indeterminate, Truth::from)
        }
    }
}

/// What a test says of a value; None if it cannot judge it.
pub(crate) fn judge_value(test: &Test, value: Value<'_>) -> Option<bool> {
    match test {
        Test::Not(test) => judge_value(test, value).map(|holds| !holds),
        Test::Equals(constant) => {
            let same_type = constant.kind() == value.kind();
            (same_type && is_read_alike(value)).then(|| constant.equals(value))
        }
        Test::Greater(bound) => constant::number(value).map(|number| number > *bound),
        Test::Less(bound) => constant::number(value).map(|number| number < *bound),
        Test::MemberOf(members) => members.has(value),
        Test::Contains(constant) => contains(constant, value),
        Test::Matches(regex) => {
            let text = value.as_str()?;
            let searched = text.len() <= limits::REGEX_TEXT_BYTES;
            searched.then(|| regex.is_match(&text)).flatten()
        }
        // Too long to read: padding must not take a text out of a `deny_if`.
        Test::UrlIn(places) => {
            let text = value.as_str()?;
            (text.len() <= limits::PLACE_TEXT_BYTES).then(|| places.have(&text))
        }
        Test::PathIn(directories) => {
            let text = value.as_str()?;
            (text.len() <= limits::PLACE_TEXT_BYTES).then(|| directories.have(&text))
        }
        Test::Exists(_) => None,
    }
}

fn contains(wanted: &constant::Constant, value: Value<'_>) -> Option<bool> {
    match (wanted, value.kind()) {
        (constant::Constant::Text(wanted), Kind::String) => {
            Some(value.as_str()?.contains(&**wanted))
        }
        (_, Kind::Array) => {
            is_read_alike(value).then(|| value.elements().any(|element| wanted.equals(element)))
        }
        (_, Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Object) => None,
    }
}

/// Whether every server reads all numbers in it alike.
fn is_read_alike(value: Value<'_>) -> bool {
    value
        .numbers()
        .all(|text| matches!(Reading::of(text), Reading::Exact(_)))
}
