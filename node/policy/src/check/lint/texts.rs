//! What is read off texts: messages that promise too much, and parts of patterns.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use core::ops::Range;

use super::Entry;
use crate::finding::{Findings, code};
use crate::json::Value;

/// What templates of other languages look like.
const TEMPLATES: [&str; 12] = [
    "{{", "${", "{args", "{arg", "{value", "{tool", "{path", "{0}", "{}", "$args", "%s", "%v",
];

/// Messages that seem to promise that something is filled in.
pub(super) fn lint<'d>(findings: &mut Findings<'d>, entry: &Entry<'d>) {
    let rules = entry.require.iter().chain(&entry.deny_if);
    let values = rules.map(|rule| rule.value);
    let limits = entry.limits.iter().map(|limit| limit.value);
    let messages = values
        .chain(limits)
        .filter_map(|value| value.get("on_deny"));
    for message in messages.chain(entry.value.get("deny")) {
        promised(findings, message);
    }
}

fn promised<'d>(findings: &mut Findings<'d>, message: Value<'d>) {
    let Some(text) = message.as_str() else {
        return;
    };
    if let Some(mark) = TEMPLATES.into_iter().find(|mark| text.contains(mark)) {
        let message_text =
            format!("nothing is filled in here: the agent reads `{mark}` as it stands");
        let help = "say what is allowed; what a call gave is never repeated to the agent";
        findings.warning(code::WARN_TEMPLATE, message, message_text, help);
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn and(names: &[String]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// Where `.*`, `.+`, `.{` or a bare `.` first stands in a pattern, outside of classes.
pub(super) fn find_open(pattern: &str) -> Option<Range<usize>> {
    let mut single = None;
    for (at, token) in tokens(pattern) {
        let rest = pattern.get(at..)?;
        if token == "." {
            let repeated = rest.chars().nth(1);
            if matches!(repeated, Some('*' | '+' | '{')) {
                return Some(at..at + 2);
            }
            single = single.or(Some(at..at + 1));
        }
    }
    single
}

/// Escapes and names of classes that mean ASCII, each once.
pub(super) fn escapes(pattern: &str) -> BTreeSet<&str> {
    let known = ["\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "\\b", "\\B"];
    let mut found: BTreeSet<&str> = tokens(pattern)
        .map(|(_, token)| token)
        .filter(|token| known.contains(token))
        .collect();
    for name in [
        "[:digit:]",
        "[:word:]",
        "[:space:]",
        "[:alpha:]",
        "[:alnum:]",
    ] {
        if let Some(at) = pattern.find(name) {
            found.extend(pattern.get(at..at + name.len()));
        }
    }
    found
}

/// The characters and escapes of a pattern with their places; a class without escapes is passed
/// over, and so is what stands between `\Q` and `\E`.
fn tokens(pattern: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let mut in_class = false;
    core::iter::from_fn(move || {
        loop {
            let rest = pattern.get(at..)?;
            let start = at;
            let first = rest.chars().next()?;
            if rest.starts_with("\\Q") {
                let end = rest.find("\\E").map_or(rest.len(), |end| end + 2);
                at += end;
                continue;
            }
            let length = if first == '\\' {
                1 + rest.chars().nth(1).map_or(0, char::len_utf8)
            } else {
                first.len_utf8()
            };
            at += length;
            match first {
                '[' if !in_class => {
                    in_class = true;
                    // A `]` that comes first is one of the class.
                    let negated = usize::from(pattern.get(at..)?.starts_with('^'));
                    at += negated;
                    at += usize::from(pattern.get(at..)?.starts_with(']'));
                }
                ']' if in_class => in_class = false,
                '\\' => return Some((start, pattern.get(start..at)?)),
                _ if in_class => {}
                _ => return Some((start, pattern.get(start..at)?)),
            }
        }
    })
}
