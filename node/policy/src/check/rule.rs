//! A tool's rules and limits.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::fields::{Checker, shortened};
use crate::finding::code;
use crate::json::Value;
use crate::limits;
use crate::model::{Amount, Limit, Rule, Scope, Tool, Window};
use crate::number::{INTEGER_MAX, Reading};

/// A tool's name, its rules, and where each of its limits stands.
pub(super) type Charged<'d> = (Box<str>, Value<'d>, Vec<Value<'d>>);

impl<'d> Checker<'d> {
    /// One entry of `tools`, its name left open, and where its limits stand.
    pub(super) fn tool(&mut self, value: Value<'d>, is_star: bool) -> (Tool, Vec<Value<'d>>) {
        let known = ["require", "deny_if", "limits", "deny", "only"];
        let Some([require, deny_if, limits, deny, only]) = self.fields(value, "a tool", known)
        else {
            return (Tool::default(), Vec::new());
        };
        for (member, name) in [(deny, "deny"), (only, "only")] {
            if let Some(member) = member.filter(|_| is_star) {
                let message = format!("`{name}` cannot stand under `*`");
                let help = "write it under each tool that it is for".into();
                self.findings
                    .error_with_help(code::STAR, member, message, help);
            }
        }
        let mut places = Vec::new();
        let tool = Tool {
            name: Box::default(),
            deny: deny.and_then(|deny| self.message(deny, "`deny`")),
            only: only.map(|only| {
                self.names(only, "`only`")
                    .into_iter()
                    .map(|(_, name)| name)
                    .collect()
            }),
            require: require
                .map(|list| self.rules(list, "`require`"))
                .unwrap_or_default(),
            deny_if: deny_if
                .map(|list| self.rules(list, "`deny_if`"))
                .unwrap_or_default(),
            limits: limits
                .map(|list| self.limits(list, &mut places))
                .unwrap_or_default(),
        };
        (tool, places)
    }

    fn rules(&mut self, value: Value<'d>, what: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        for element in self.list(value, what) {
            self.rules += 1;
            if self.rules == limits::RULES + 1 {
                let message = format!("a policy is over its limit of {} rules", limits::RULES);
                self.findings.error(code::RULES_LIMIT, element, message);
            }
            let what = "a rule";
            let known = ["conditions", "on_deny"];
            let Some([conditions, on_deny]) = self.fields(element, what, known) else {
                continue;
            };
            if element.get("conditions").is_none() {
                self.missing(element, what, "conditions");
            }
            let conditions = conditions.map(|list| self.list(list, "`conditions`"));
            let conditions = conditions.unwrap_or_default();
            rules.push(Rule {
                conditions: conditions
                    .into_iter()
                    .filter_map(|condition| self.condition(condition))
                    .collect(),
                on_deny: on_deny.and_then(|message| self.message(message, "`on_deny`")),
            });
        }
        rules
    }

    fn limits(&mut self, value: Value<'d>, places: &mut Vec<Value<'d>>) -> Vec<Limit> {
        let mut limits = Vec::new();
        for element in self.list(value, "`limits`") {
            if let Some(limit) = self.limit(element) {
                limits.push(limit);
                places.push(element);
            }
        }
        limits
    }

    fn limit(&mut self, value: Value<'d>) -> Option<Limit> {
        let what = "a limit";
        let known = [
            "counter",
            "window",
            "scope",
            "max",
            "increment",
            "increment_from",
            "on_deny",
        ];
        let [counter, window, scope, max, increment, from, on_deny] =
            self.fields(value, what, known)?;
        for name in ["counter", "window", "scope", "max"] {
            if value.get(name).is_none() {
                self.missing(value, what, name);
            }
        }
        let counter = counter
            .and_then(|counter| self.name(counter, "a counter's name", limits::COUNTER_BYTES));
        let windows = Window::ALL.map(|window| (window.name(), window));
        let window = window.and_then(|w| self.word(w, "`window`", code::WINDOW, &windows));
        let scopes = Scope::ALL.map(|scope| (scope.name(), scope));
        let scope = scope.and_then(|s| self.word(s, "`scope`", code::SCOPE, &scopes));
        let max = max.and_then(|max| self.whole(max, "`max`", 0));
        if let (Some(_), Some(from)) = (increment, from) {
            let message = "a limit has `increment` or `increment_from`, not both".into();
            self.findings.error(code::TWO_INCREMENTS, from, message);
        }
        let amount = match (increment, from) {
            (Some(increment), _) => self.whole(increment, "`increment`", 1).map(Amount::Fixed),
            (None, Some(from)) => self.amount_path(from),
            (None, None) => Some(Amount::Fixed(1)),
        };
        let on_deny = on_deny.and_then(|message| self.message(message, "`on_deny`"));
        Some(Limit {
            counter: counter?.into(),
            window: window?,
            scope: scope?,
            max: max?,
            amount: amount?,
            on_deny,
        })
    }

    fn amount_path(&mut self, value: Value<'d>) -> Option<Amount> {
        let path = self.path(value)?;
        if path.has_every() {
            let message = "`increment_from` reads one number, so it has no `[*]`".into();
            self.findings
                .error(code::EVERY_IN_INCREMENT, value, message);
            return None;
        }
        Some(Amount::From(path))
    }

    /// A whole number from `least` to 2^53−1.
    fn whole(&mut self, value: Value<'d>, what: &str, least: u64) -> Option<u64> {
        let Some(text) = value.number_text() else {
            self.wrong_type(value, what, "a whole number");
            return None;
        };
        let whole = Reading::of(text)
            .exact()
            .and_then(crate::number::Decimal::as_whole);
        let fits = whole.filter(|whole| *whole >= least);
        if fits.is_none() {
            let message = format!("{what} must be a whole number from {least} to {INTEGER_MAX}");
            self.findings.error(code::WHOLE_NUMBER, value, message);
        }
        fits
    }

    /// No call may meet one counter twice, nor more limits than a record can name.
    pub(super) fn charged_twice(&mut self, charged: &[Charged<'d>], tools: &[Tool]) {
        let of_star = charged
            .iter()
            .zip(tools)
            .find(|((name, ..), _)| **name == *"*");
        let star_limits = of_star
            .map(|(_, tool)| tool.limits.as_slice())
            .unwrap_or_default();
        for ((name, rules, places), tool) in charged.iter().zip(tools) {
            let is_star = **name == *"*";
            let inherited = if is_star { &[][..] } else { star_limits };
            if inherited.len() + tool.limits.len() > limits::LIMITS_PER_CALL {
                let most = limits::LIMITS_PER_CALL;
                let message = format!("a call would meet more than {most} limits");
                self.findings.error(code::LIMITS_LIMIT, *rules, message);
            }
            let mut seen: BTreeMap<(&str, Window, Scope), bool> = inherited
                .iter()
                .map(|limit| ((&*limit.counter, limit.window, limit.scope), true))
                .collect();
            for (limit, place) in tool.limits.iter().zip(places) {
                let key = (&*limit.counter, limit.window, limit.scope);
                let Some(by_star) = seen.insert(key, false) else {
                    continue;
                };
                let other = if by_star {
                    "a limit under `*`"
                } else {
                    "a limit above it"
                };
                let counter = shortened(&limit.counter);
                let message = format!(
                    "one call would charge counter `{counter}` twice: {other} has the same \
                     window and scope"
                );
                self.findings.error(code::CHARGED_TWICE, *place, message);
            }
        }
    }
}
