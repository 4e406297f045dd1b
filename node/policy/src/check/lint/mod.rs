//! Warnings: what loads and means something, but perhaps not what was meant.
//!
//! They look at a document without errors, beside the text that it came from. What a warning says
//! that a text or value does was tried on the rules themselves.

mod domain;
mod guard;
mod limits;
mod pattern;
mod rules;
mod subject;
mod texts;
mod whole;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use self::pattern::Patterns;
use crate::finding::{Findings, Severity, code};
use crate::json::Value;
use crate::model::{Document, Limit, Rule, Tool};

/// A rule, and the text that it was read from.
struct Placed<'d, T> {
    value: Value<'d>,
    read: &'d T,
}

impl<T> Clone for Placed<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Placed<'_, T> {}

/// A tool, its rules and limits with their places.
struct Entry<'d> {
    /// The key.
    name: Value<'d>,
    value: Value<'d>,
    tool: &'d Tool,
    require: Vec<Placed<'d, Rule>>,
    deny_if: Vec<Placed<'d, Rule>>,
    limits: Vec<Placed<'d, Limit>>,
}

impl<'d> Entry<'d> {
    fn of((name, value): (Value<'d>, Value<'d>), tool: &'d Tool) -> Self {
        Self {
            name,
            value,
            tool,
            require: placed(value, "require", &tool.require),
            deny_if: placed(value, "deny_if", &tool.deny_if),
            limits: placed(value, "limits", &tool.limits),
        }
    }

    fn is_star(&self) -> bool {
        *self.tool.name == *"*"
    }

    /// How many conditions its rules have.
    fn conditions(&self) -> usize {
        let rules = self.tool.require.iter().chain(&self.tool.deny_if);
        rules.map(|rule| rule.conditions.len()).sum()
    }

    /// Its rules decide calls.
    fn is_reached(&self, hidden: &BTreeSet<&str>) -> bool {
        self.tool.deny.is_none() && !hidden.contains(&*self.tool.name)
    }
}

/// A document without errors has as many of each as its text.
fn placed<'d, T>(tool: Value<'d>, list: &str, read: &'d [T]) -> Vec<Placed<'d, T>> {
    let values = tool.get(list).into_iter().flat_map(Value::elements);
    values
        .zip(read)
        .map(|(value, read)| Placed { value, read })
        .collect()
}

/// Conditions of a rule with their places.
fn conditions<'d>(
    rule: Placed<'d, Rule>,
) -> impl Iterator<Item = Placed<'d, crate::model::Condition>> {
    let values = rule.value.get("conditions").into_iter();
    values
        .flat_map(Value::elements)
        .zip(&rule.read.conditions)
        .map(|(value, read)| Placed { value, read })
}

/// Looks over a document in which nothing is wrong.
pub(super) fn lint<'d>(findings: &mut Findings<'d>, root: Value<'d>, document: &'d Document) {
    let hidden: BTreeSet<&str> = document.hide.iter().map(Box::as_ref).collect();
    let tools = root.get("tools").into_iter().flat_map(Value::entries);
    let entries: Vec<Entry<'d>> = tools
        .zip(&document.tools)
        .map(|(entry, tool)| Entry::of(entry, tool))
        .collect();
    whole::lint(findings, root, document, &entries, &hidden);
    limits::lint(findings, &entries, &hidden);
    let mut patterns = Patterns::of(&entries);
    let star = entries.iter().find(|entry| entry.is_star());
    let mut comparisons = rules::Comparisons::default();
    for entry in &entries {
        if findings.is_full(Severity::Warning) {
            return;
        }
        if hidden.contains(&*entry.tool.name) {
            let message = "this tool is hidden, so what stands here is never reached";
            let help = "take it out of `hide` or out of `tools`";
            findings.warning(code::WARN_UNREACHED, entry.name, message, help);
        } else if entry.tool.deny.is_some() {
            rules::beside_deny(findings, entry);
        }
        texts::lint(findings, entry);
        if entry.is_reached(&hidden) {
            let star = star.filter(|_| !entry.is_star());
            patterns.lint(findings, entry);
            rules::lint(findings, entry, star, &mut comparisons);
        }
    }
}
