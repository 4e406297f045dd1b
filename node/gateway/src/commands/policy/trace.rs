//! A trace as it is shown: as JSON, and as a tree for people.

use serde::Serialize;

use tollbook_policy::json::{Json, Kind, ProfileLimits, Value, parse};
use tollbook_policy::{
    LimitCause, Seen, Trace, TracedCondition, TracedLimit, TracedRule, TracedStep, Truth, Why,
};

use crate::commands::findings::shown;

/// Characters of a value or an operand that are shown.
const VALUE_CHARS: usize = 80;

/// All steps of a decision.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(super) struct Shown {
    steps: Vec<ShownStep>,
}

#[derive(Serialize)]
struct ShownStep {
    step: &'static str,
    result: &'static str,
    decides: bool,
    /// Name of the first argument that an `only` does not list.
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<ShownRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<ShownLimit>,
}

#[derive(Serialize)]
struct ShownRule {
    pointer: String,
    result: &'static str,
    decides: bool,
    conditions: Vec<ShownCondition>,
}

#[derive(Serialize)]
struct ShownCondition {
    rule: String,
    pointer: String,
    path: String,
    op: &'static str,
    result: &'static str,
    found: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip)]
    why_text: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elements: Option<usize>,
    /// The path with its indexes.
    #[serde(skip_serializing_if = "Option::is_none")]
    deciding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    decides: bool,
}

#[derive(Serialize)]
struct ShownLimit {
    rule: String,
    pointer: String,
    counter: String,
    window: &'static str,
    scope: &'static str,
    amount: Option<u64>,
    used: u64,
    max: u64,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    decides: bool,
}

fn result(denies: bool) -> &'static str {
    if denies { "deny" } else { "pass" }
}

impl Shown {
    pub(super) fn of(trace: &Trace<'_, '_>, with_values: bool) -> Self {
        let steps = trace.steps.iter();
        Self {
            steps: steps.map(|step| ShownStep::of(step, with_values)).collect(),
        }
    }

    /// For people. What conditions compare with is taken from the policy's text.
    pub(super) fn tree(&self, policy: &str) -> String {
        let policy = parse(policy.to_owned(), &ProfileLimits::CALL).ok();
        let mut text = String::new();
        for step in &self.steps {
            let ShownStep {
                step: name,
                result,
                decides,
                argument,
                rules,
                limits,
            } = step;
            text += &format!("  {name:<8} {}\n", verb(result, *decides));
            if let Some(argument) = argument {
                text += &format!("      `{argument}` is not listed\n");
            }
            for rule in rules {
                let told = verb(rule.result, rule.decides);
                text += &format!("    {} {told}\n", shown(&rule.pointer, 400));
                for condition in &rule.conditions {
                    text +=
                        &condition.line(operand(policy.as_ref(), &condition.pointer).as_deref());
                }
            }
            for limit in limits {
                text += &limit.line();
            }
        }
        text
    }

    /// The lines of the conditions and limits that the verdict names, or that `rule` does.
    pub(super) fn lines_about(&self, rule: Option<&str>, policy: &str) -> Vec<String> {
        let policy = parse(policy.to_owned(), &ProfileLimits::CALL).ok();
        let mut lines = Vec::new();
        for step in &self.steps {
            let conditions = step.rules.iter().flat_map(|rule| &rule.conditions);
            for one in conditions.filter(|one| one.decides || rule == Some(&*one.rule)) {
                lines.push(one.line(operand(policy.as_ref(), &one.pointer).as_deref()));
            }
            let limits = step.limits.iter();
            for one in limits.filter(|one| one.decides || rule == Some(&*one.rule)) {
                lines.push(one.line());
            }
        }
        let bare = |line: String| line.trim_start_matches([' ', '>']).trim_end().to_owned();
        lines.into_iter().map(bare).collect()
    }
}

/// What the condition at a pointer compares with.
fn operand(policy: Option<&Json>, pointer: &str) -> Option<String> {
    let condition = policy?.root().pointed(pointer)?;
    let value = condition.get("value")?;
    Some(shown(value.raw(), VALUE_CHARS))
}

fn verb(result: &str, decides: bool) -> &'static str {
    match (result == "deny", decides) {
        (true, true) => "denies",
        (true, false) => "would deny too",
        (false, _) => "passes",
    }
}

/// In front of what decides.
fn mark(decides: bool) -> &'static str {
    if decides { "    > " } else { "      " }
}

impl ShownStep {
    fn of(step: &TracedStep<'_, '_>, with_values: bool) -> Self {
        let TracedStep {
            step,
            denies,
            decides,
            stranger,
            rules,
            limits,
        } = step;
        Self {
            step: step.name(),
            result: result(*denies),
            decides: *decides,
            // A name, as the book keeps it too.
            argument: stranger.and_then(|key| Some(shown(&key.as_str()?, VALUE_CHARS))),
            rules: rules
                .iter()
                .map(|rule| ShownRule::of(rule, with_values))
                .collect(),
            limits: limits.iter().map(ShownLimit::of).collect(),
        }
    }
}

impl ShownRule {
    fn of(rule: &TracedRule<'_, '_>, with_values: bool) -> Self {
        let TracedRule {
            pointer,
            denies,
            decides,
            conditions,
        } = rule;
        Self {
            pointer: (*pointer).to_owned(),
            result: result(*denies),
            decides: *decides,
            conditions: conditions
                .iter()
                .map(|condition| ShownCondition::of(condition, with_values))
                .collect(),
        }
    }
}

impl ShownCondition {
    fn of(condition: &TracedCondition<'_, '_>, with_values: bool) -> Self {
        let TracedCondition {
            row,
            path,
            operator,
            truth,
            seen,
            why,
            elements,
            decides,
        } = condition;
        let value = match seen {
            Seen::Value(value) if with_values => Some(shown(value.raw(), VALUE_CHARS)),
            Seen::Value(_) | Seen::Absent | Seen::Indeterminate | Seen::NoElements => None,
        };
        Self {
            rule: row.rule.clone(),
            pointer: row.pointer.clone(),
            path: (*path).to_owned(),
            op: operator,
            result: match truth {
                Truth::True => "true",
                Truth::False => "false",
                Truth::Indeterminate => "indeterminate",
            },
            found: found(*seen),
            why: why.map(Why::name),
            why_text: why.map(Why::text),
            elements: elements.as_ref().map(|all| all.count),
            deciding: elements.as_ref().and_then(|all| all.deciding.clone()),
            value,
            decides: *decides,
        }
    }

    fn line(&self, operand: Option<&str>) -> String {
        let asked = operand
            .map(|operand| format!(" {operand}"))
            .unwrap_or_default();
        // Why a reading is indeterminate says that it is.
        let plain = self.found != "indeterminate" || self.why_text.is_none();
        let mut told = Vec::new();
        told.extend(plain.then(|| self.found.replace('_', " ")));
        told.extend(self.value.clone());
        told.extend(self.why_text.map(str::to_owned));
        if let Some(count) = self.elements {
            told.push(match &self.deciding {
                Some(place) => format!("{}, of {count} read", shown(place, 200)),
                None => format!("{count} read"),
            });
        }
        format!(
            "{}{} {}{asked}: {} ({})\n",
            mark(self.decides),
            shown(&self.path, 200),
            self.op,
            self.result,
            told.join(", ")
        )
    }
}

/// A word for what was found.
fn found(seen: Seen<'_>) -> &'static str {
    match seen {
        Seen::Absent => "absent",
        Seen::Indeterminate => "indeterminate",
        Seen::NoElements => "no_elements",
        Seen::Value(value) => kind(value),
    }
}

fn kind(value: Value<'_>) -> &'static str {
    match value.kind() {
        Kind::Null => "null",
        Kind::Bool => "boolean",
        Kind::Number => "number",
        Kind::String => "string",
        Kind::Array => "array",
        Kind::Object => "object",
    }
}

impl ShownLimit {
    fn of(limit: &TracedLimit<'_>) -> Self {
        let TracedLimit {
            row,
            amount,
            used,
            denies,
            decides,
        } = limit;
        Self {
            rule: row.rule.clone(),
            pointer: row.pointer.clone(),
            counter: row.counter.clone(),
            window: row.window.name(),
            scope: row.scope.name(),
            amount: *amount,
            used: *used,
            max: row.max,
            result: result(denies.is_some()),
            reason: denies.map(|cause| match cause {
                LimitCause::Amount => "amount",
                LimitCause::Spent => "limit",
            }),
            decides: *decides,
        }
    }

    fn line(&self) -> String {
        let Self {
            counter,
            window,
            scope,
            amount,
            used,
            max,
            decides,
            ..
        } = self;
        let amount = amount.map_or_else(
            || "an amount that cannot be read".to_owned(),
            |amount| format!("{amount} more"),
        );
        let counter = shown(counter, 128);
        let told = verb(self.result, *decides);
        let mark = mark(*decides);
        format!(
            "{mark}{counter} a {window}, by {scope}: {used} used, {amount}, at most {max}: {told}\n"
        )
    }
}
