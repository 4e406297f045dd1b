//! Rules that never decide, that always do, or that a call walks past by leaving something out.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::domain::{Domain, asked, is_cheap};
use super::guard::all_conditions;
use super::{Entry, Placed, conditions};
use crate::check::fields::{quoted, shortened};
use crate::digest::digest;
use crate::finding::{Findings, code};
use crate::json::Value;
use crate::model::{Condition, Rule, Test};
use crate::path::{Path, Step};

/// Rules of one tool that are compared; a tool with more is not looked over.
const RULES_MAX: usize = 512;
/// Conditions of them, and of those under `*`.
const CONDITIONS_MAX: usize = 1_024;
/// Bytes of values that are compared with conditions, over all tools of a policy. What comes after
/// is checked without these warnings.
const COMPARED_BYTES_MAX: usize = 16 << 20;

/// What may still be compared.
pub(super) struct Comparisons(usize);

impl Default for Comparisons {
    fn default() -> Self {
        Self(COMPARED_BYTES_MAX)
    }
}

impl Comparisons {
    /// Whether there is enough left for the rules of a tool and those of `*`: each value that a
    /// condition names may meet all conditions on its path.
    fn take(&mut self, entry: &Entry<'_>, star: Option<&Entry<'_>>) -> bool {
        let rules = |entry: &Entry<'_>| entry.value.raw().len();
        let bytes = rules(entry) + star.map_or(0, rules);
        let mut on_path: BTreeMap<&str, usize> = BTreeMap::new();
        for part in star.into_iter().chain([entry]).flat_map(all_conditions) {
            *on_path.entry(&part.condition.read.path.text).or_default() += 1;
        }
        let most = on_path.into_values().max().unwrap_or(0);
        let left = self.0.checked_sub(bytes.saturating_mul(most + 1));
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Rules beside a tool's `deny`.
pub(super) fn beside_deny<'d>(findings: &mut Findings<'d>, entry: &Entry<'d>) {
    let members = entry.value.entries().filter(|(key, _)| !key.is_str("deny"));
    if let Some((key, _)) = members.into_iter().next() {
        let message = "every call of this tool is denied, so that this is never reached";
        let help = "take it out, or take `deny` out";
        findings.warning(code::WARN_DENIED_TOOL, key, message, help);
    }
}

/// Takes what it may compare from `left`.
pub(super) fn lint<'d>(
    findings: &mut Findings<'d>,
    entry: &Entry<'d>,
    star: Option<&Entry<'d>>,
    left: &mut Comparisons,
) {
    let rules = entry.require.len() + entry.deny_if.len();
    let conditions_all = entry.conditions() + star.map_or(0, Entry::conditions);
    if rules > RULES_MAX || conditions_all > CONDITIONS_MAX {
        return;
    }
    if !left.take(entry, star) {
        return;
    }
    let star_rules = star.map(|star| star.require.as_slice()).unwrap_or_default();
    let mut required: BTreeMap<&str, Vec<Placed<'d, Condition>>> = BTreeMap::new();
    for rule in star_rules.iter().chain(&entry.require) {
        for condition in conditions(*rule) {
            let path = &*condition.read.path.text;
            required.entry(path).or_default().push(condition);
        }
    }
    let domains: BTreeMap<&str, Domain<'d>> = required
        .into_iter()
        .filter_map(|(path, conditions)| Some((path, Domain::of(conditions)?)))
        .collect();
    impossible(findings, entry, &domains);
    let mut silent = same(findings, &entry.require, "asks for the same");
    silent.extend(same(findings, &entry.deny_if, "denies the same calls"));
    for rule in &entry.deny_if {
        if !silent.contains(&rule.value.offset()) && idle(findings, *rule, &domains) {
            silent.push(rule.value.offset());
        }
    }
    let heard = entry.deny_if.iter().copied();
    let heard = heard.filter(|rule| !silent.contains(&rule.value.offset()));
    if !entry.is_star() {
        unguarded(findings, heard, entry, star_rules);
    }
}

/// Paths of which no value passes: the tool might as well have a `deny`.
fn impossible<'d>(
    findings: &mut Findings<'d>,
    entry: &Entry<'d>,
    domains: &BTreeMap<&str, Domain<'d>>,
) {
    let whose = match entry.is_star() {
        true => "every call of every tool".to_owned(),
        false => format!("every call of {}", quoted(&entry.tool.name)),
    };
    for (path, domain) in domains {
        if let Some(last) = domain.emptied_by() {
            let path = shortened(path);
            let message = format!(
                "together with the other conditions on `{path}` this leaves no value: {whose} is \
                 denied"
            );
            let help = "all conditions of all rules of `require` must hold at once; what may be \
                        one or the other is one `in`, or one pattern with `|`";
            findings.warning(code::WARN_ALWAYS, place_of(last), message, help);
            continue;
        }
        if path.contains("[*]") {
            continue;
        }
        let Some(values) = domain.values().filter(|values| !values.is_empty()) else {
            continue;
        };
        let only_here = |rule: &&Placed<'d, Rule>| {
            let mut conditions = rule.read.conditions.iter();
            conditions.all(|one| *one.path.text == **path && is_cheap(&one.test))
        };
        let rules: Vec<&Placed<'d, Rule>> = entry.deny_if.iter().filter(only_here).collect();
        let denies = |rule: &&Placed<'d, Rule>, value: Value<'d>| {
            let mut conditions = rule.read.conditions.iter();
            conditions.all(|one| asked(&one.test, value) != Some(false))
        };
        let denied = |value: &Value<'d>| rules.iter().any(|rule| denies(rule, *value));
        if values.iter().all(denied)
            && let Some(last) = rules.last()
        {
            let message = format!(
                "`deny_if` denies every value of `{}` that `require` lets through: {whose} is \
                 denied",
                shortened(path)
            );
            let help = "take one of the two out, or hide the tool";
            findings.warning(code::WARN_ALWAYS, last.value, message, help);
        }
    }
}

/// Rules that an earlier one makes needless; says which.
fn same<'d>(findings: &mut Findings<'d>, rules: &[Placed<'d, Rule>], what: &str) -> Vec<usize> {
    let mut seen: BTreeMap<[u8; 32], Value<'d>> = BTreeMap::new();
    let mut alone: BTreeMap<[u8; 32], Value<'d>> = BTreeMap::new();
    let mut silent = Vec::new();
    for rule in rules {
        let Some(list) = rule.value.get("conditions") else {
            continue;
        };
        let whole = digest(list);
        let parts = || list.elements().map(digest);
        let narrower = || parts().find_map(|part| alone.get(&part).copied());
        let is_deny = what.starts_with("denies");
        let earlier = seen.get(&whole).copied();
        let earlier = earlier.or_else(|| is_deny.then(narrower).flatten());
        match earlier {
            Some(earlier) => {
                let line = findings.line_of(earlier);
                let message = format!("the rule never decides: the one on line {line} {what}");
                let help = "take it out, or mend what was to be different in it";
                findings.warning(code::WARN_NEVER, rule.value, message, help);
                silent.push(rule.value.offset());
            }
            None => {
                seen.insert(whole, rule.value);
                if list.len() == 1 {
                    alone.extend(parts().map(|part| (part, rule.value)));
                }
            }
        }
    }
    silent
}

/// A `deny_if` that no call can meet once it has passed `require`, or at all.
fn idle<'d>(
    findings: &mut Findings<'d>,
    rule: Placed<'d, Rule>,
    domains: &BTreeMap<&str, Domain<'d>>,
) -> bool {
    let ruled_out = conditions(rule).find(|condition| {
        let domain = domains.get(&*condition.read.path.text);
        domain.is_some_and(|domain| domain.rules_out(*condition))
    });
    if let Some(condition) = ruled_out {
        let path = shortened(&condition.read.path.text);
        let message = format!(
            "the rule never denies: `require` lets no value of `{path}` through that it looks for"
        );
        let help = "take it out, or make `require` as wide as it is meant to be";
        findings.warning(code::WARN_NEVER, place_of(condition), message, help);
        return true;
    }
    let mut by_path: BTreeMap<&str, Vec<Placed<'d, Condition>>> = BTreeMap::new();
    for condition in conditions(rule) {
        let path = &*condition.read.path.text;
        // Each condition may be true for another element.
        if !path.contains("[*]") {
            by_path.entry(path).or_default().push(condition);
        }
    }
    for (path, conditions) in by_path {
        let Some(last) = Domain::of(conditions).and_then(|domain| domain.emptied_by()) else {
            continue;
        };
        let message = format!(
            "no value of `{}` makes all conditions of the rule true: it denies at most what it \
             cannot judge",
            shortened(path)
        );
        let help = "all conditions of one rule must be true at once; make two rules of it where \
                    one is enough";
        findings.warning(code::WARN_NEVER, place_of(last), message, help);
        return true;
    }
    false
}

/// A `deny_if` on a path that a call may leave out: then it is not true, and the call passes.
fn unguarded<'d>(
    findings: &mut Findings<'d>,
    rules: impl Iterator<Item = Placed<'d, Rule>>,
    entry: &Entry<'d>,
    star: &[Placed<'d, Rule>],
) {
    let asked: Vec<&Path> = entry
        .require
        .iter()
        .chain(star)
        .flat_map(|rule| &rule.read.conditions)
        .filter(|one| !matches!(one.test, Test::Exists(false)))
        .map(|one| &one.path)
        .collect();
    // One that denies what is absent is a guard too.
    let denied: Vec<&Path> = entry
        .deny_if
        .iter()
        .filter(|rule| rule.read.conditions.len() == 1)
        .flat_map(|rule| &rule.read.conditions)
        .filter(|one| matches!(one.test, Test::Exists(false)))
        .map(|one| &one.path)
        .collect();
    let guarded = |path: &Path| {
        asked
            .iter()
            .chain(&denied)
            .any(|asked| reaches(asked, path))
    };
    let mut open: BTreeMap<&str, (Placed<'d, Condition>, usize)> = BTreeMap::new();
    for rule in rules {
        let mut own = conditions(rule).peekable();
        let Some(first) = own.peek().copied() else {
            continue;
        };
        let asks =
            own.any(|one| matches!(one.read.test, Test::Exists(_)) || guarded(&one.read.path));
        if !asks {
            let known = open.entry(&first.read.path.text).or_insert((first, 0));
            known.1 += 1;
        }
    }
    for (path, (condition, count)) in open {
        let path = shortened(path);
        let rules = match count {
            1 => "this rule".to_owned(),
            count => format!("this rule and {} more", count - 1),
        };
        let message = format!("a call without `{path}` passes {rules}");
        let help = instead(condition, &path);
        findings.warning(code::WARN_UNGUARDED, place_of(condition), message, help);
    }
}

/// The path of a condition: what it is about stands in one line there.
fn place_of<'d>(condition: Placed<'d, Condition>) -> Value<'d> {
    condition.value.get("path").unwrap_or(condition.value)
}

/// Whether a call that has `asked` has `path` too, down to its first `[*]`.
fn reaches(asked: &Path, path: &Path) -> bool {
    let until_every = path
        .steps
        .iter()
        .take_while(|step| !matches!(step, Step::Every));
    let wanted: Vec<&Step> = until_every.collect();
    let asked_steps = asked.steps.iter();
    wanted.len() <= asked.steps.len() && wanted.iter().zip(asked_steps).all(|(a, b)| **a == *b)
}

/// The condition the other way round, where it has another way round.
fn instead(condition: Placed<'_, Condition>, path: &str) -> String {
    use crate::model::Operator as Op;
    let opposite = match condition.read.operator {
        Op::Gt => Some("lte"),
        Op::Gte => Some("lt"),
        Op::Lt => Some("gte"),
        Op::Lte => Some("gt"),
        Op::Eq => Some("neq"),
        Op::Neq => Some("eq"),
        Op::In => Some("not_in"),
        Op::NotIn => Some("in"),
        Op::Contains => Some("not_contains"),
        Op::NotContains => Some("contains"),
        Op::Regex => Some("not_regex"),
        Op::NotRegex => Some("regex"),
        Op::Exists | Op::PathIn | Op::UrlIn => None,
    };
    let raw = condition.value.get("value").map(Value::raw);
    let short = raw.filter(|raw| raw.len() <= 40 && !raw.contains('\n'));
    let path = path.replace('"', "\\\"");
    match (opposite, short) {
        (Some(opposite), Some(raw)) => format!(
            "put it under `require`, where what is absent fails: {{\"path\": \"{path}\", \"op\": \
             \"{opposite}\", \"value\": {raw}}}"
        ),
        (Some(opposite), None) => {
            format!("put it under `require` with `{opposite}`, where what is absent fails")
        }
        (None, _) => format!("add a `require` with {{\"path\": \"{path}\", \"op\": \"exists\"}}"),
    }
}
