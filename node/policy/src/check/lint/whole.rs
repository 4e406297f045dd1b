//! What the policy as a whole lets through: tools and arguments that it does not speak of, and
//! names that are easily taken for one another.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Entry;
use crate::check::fields::{quoted, shortened};
use crate::finding::{Findings, Severity, code, nearest};
use crate::fold::folded;
use crate::json::Value;
use crate::model::{DefaultAction, Document};
use crate::path::Step;

/// Tools among which a misspelt name is looked for.
const NAMES_MAX: usize = 64;

pub(super) fn lint<'d>(
    findings: &mut Findings<'d>,
    root: Value<'d>,
    document: &Document,
    entries: &[Entry<'d>],
    hidden: &BTreeSet<&str>,
) {
    if document.default == DefaultAction::Allow {
        default_allow(findings, root, entries);
    }
    unseen_arguments(findings, entries, hidden);
    names(findings, root);
}

/// Said once a policy.
fn default_allow<'d>(findings: &mut Findings<'d>, root: Value<'d>, entries: &[Entry<'d>]) {
    let star = entries.iter().find(|entry| entry.is_star());
    if star.is_some_and(|star| !star.require.is_empty()) {
        return;
    }
    let place = root.get("default").unwrap_or(root);
    let asks = |entry: &Entry<'d>| {
        !entry.require.is_empty() || entry.tool.deny.is_some() || entry.tool.only.is_some()
    };
    let denies = entries.iter().any(|entry| !entry.deny_if.is_empty());
    if denies && !entries.iter().any(asks) {
        let message = "nothing is required of any call: what no `deny_if` happens to match passes";
        let help = "say under `require` what calls may do, and write `\"default\": \"deny\"`";
        findings.warning(code::WARN_NOTHING_REQUIRED, place, message, help);
        return;
    }
    let message = "a tool that is not listed here passes without rules, also one that the server \
                   adds later";
    let help = "list the tools that are meant, `{}` for those without rules, and write \
                `\"default\": \"deny\"`";
    findings.warning(code::WARN_DEFAULT_ALLOW, place, message, help);
}

/// What many servers take beside an argument, or for it.
fn beside(argument: &str) -> Option<&'static str> {
    Some(match argument {
        "amount" => "currency",
        "channel" => "channel_id",
        "command" => "cwd",
        "file" => "path",
        "namespace" => "all_namespaces",
        "path" => "paths",
        "project" => "project_id",
        "recipient" | "to" => "bcc",
        "repo" => "repository",
        "url" => "redirect_url",
        "user" => "user_id",
        _ => return None,
    })
}

/// Said once a policy: a checked argument has neighbours that no rule looks at.
fn unseen_arguments<'d>(
    findings: &mut Findings<'d>,
    entries: &[Entry<'d>],
    hidden: &BTreeSet<&str>,
) {
    let open = entries
        .iter()
        .filter(|entry| entry.tool.only.is_none() && entry.is_reached(hidden) && !entry.is_star());
    let mut found = open.filter_map(|entry| {
        let conditions = entry.require.iter().flat_map(|rule| &rule.read.conditions);
        let mut keys = conditions.filter_map(|one| match one.path.steps.first() {
            Some(Step::Key { exact, .. }) => Some(&**exact),
            Some(Step::Index(_) | Step::Every) | None => None,
        });
        keys.find_map(|key| Some((entry, key, beside(key)?)))
    });
    let Some((entry, key, neighbour)) = found.next() else {
        return;
    };
    let more = match found.count() {
        0 => String::new(),
        1 => " (one more tool is like it)".into(),
        count => format!(" ({count} more tools are like it)"),
    };
    let message = format!(
        "{} checks `{key}` and lets arguments pass that no rule looks at, such as \
         `{neighbour}`{more}",
        quoted(&entry.tool.name)
    );
    let help = format!("list all that a call may have: `\"only\": [\"{key}\", …]`");
    findings.warning(code::WARN_UNSEEN_ARGUMENTS, entry.name, message, help);
}

/// Names of tools, hidden ones too, that look like one another or are not what they look like.
fn names<'d>(findings: &mut Findings<'d>, root: Value<'d>) {
    let listed = root.get("tools").into_iter().flat_map(Value::entries);
    let hidden = root.get("hide").into_iter().flat_map(Value::elements);
    let mut seen: BTreeMap<String, (Cow<'d, str>, Value<'d>)> = BTreeMap::new();
    for place in listed.map(|(key, _)| key).chain(hidden) {
        if findings.is_full(Severity::Warning) {
            return;
        }
        let Some(name) = place.as_str() else {
            continue;
        };
        if let Some(oddity) = odd(&name) {
            let message = format!("the name {} {oddity}", quoted(&name));
            let help = "names of tools are compared exactly; copy it from `tools/list`";
            findings.warning(code::WARN_ALIKE, place, message, help);
        }
        match seen.get(&skeleton(&name)) {
            Some((other, first)) if *other != name => {
                let line = findings.line_of(*first);
                let (name, other) = (quoted(&name), quoted(other));
                let message = format!("{name} looks like {other} of line {line}, which is another");
                let help = "names of tools are compared exactly; if one is misspelt, mend it";
                findings.warning(code::WARN_ALIKE, place, message, help);
            }
            Some(_) => {}
            None => {
                seen.insert(skeleton(&name), (name, place));
            }
        }
    }
    misspelt(findings, root);
}

/// Tools of `audit` that no rule knows, though one with nearly that name has rules.
fn misspelt<'d>(findings: &mut Findings<'d>, root: Value<'d>) {
    let tools = root.get("tools");
    let names: Vec<Cow<'d, str>> = tools
        .into_iter()
        .flat_map(Value::entries)
        .filter_map(|(key, _)| key.as_str())
        .collect();
    let known: Vec<&str> = names.iter().map(Cow::as_ref).collect();
    let audit = root.get("audit").and_then(|audit| audit.get("tools"));
    let Some(audit) = audit.filter(|audit| audit.len() + known.len() <= NAMES_MAX) else {
        return;
    };
    for (place, _) in audit.entries() {
        let name = place.as_str().unwrap_or_default();
        let long = name.chars().count() > 4;
        if long
            && !known.contains(&&*name)
            && let Some(near) = nearest(&name, &known)
        {
            let message = format!("no tool here is called {}", quoted(&name));
            let help = format!("did you mean `{}`?", shortened(near));
            findings.warning(code::WARN_ALIKE, place, message, help);
        }
    }
}

/// What the eye keeps of a name.
fn skeleton(name: &str) -> String {
    folded(name)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect()
}

/// What nobody sees in a name.
fn odd(name: &str) -> Option<&'static str> {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if name.trim() != name {
        return Some("begins or ends with white space");
    }
    if name.contains(unseen) {
        return Some("has a character that nobody sees");
    }
    let ascii = name.chars().any(|c| c.is_ascii_alphabetic());
    let other = name.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
    (ascii && other).then_some("mixes letters that look alike in several scripts")
}
