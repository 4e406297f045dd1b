//! Which part of a path or pattern a fault is about.

use core::ops::Range;

use crate::goregex::{GoRegexError, GoRegexErrorKind};
use crate::path::PathFault;

/// The bytes of a path that a fault is about; `at` is where its step begins.
pub(super) fn of_path(text: &str, at: usize, fault: PathFault) -> Range<usize> {
    let rest = text.get(at..).unwrap_or_default();
    let all = at..text.len();
    match fault {
        // The dot, and what stands where a key must.
        PathFault::EmptyKey => at..(at + 2).min(text.len()),
        PathFault::Index => {
            let end = rest.find(']').unwrap_or(rest.len());
            at + 1..at + end
        }
        PathFault::WhiteSpace => {
            let bad = |c: char| matches!(c, ']' | '"') || c.is_whitespace();
            let start = rest.find(bad).unwrap_or_default();
            at + start..at + start + first_char(rest, start)
        }
        PathFault::Root => {
            let end = text.find(['.', '[']).unwrap_or(text.len());
            0..end
        }
        PathFault::Separator => at..at + first_char(rest, 0),
        PathFault::Quoted | PathFault::Steps | PathFault::Unclosed => all,
    }
}

/// The bytes of a pattern that were refused.
pub(super) fn of_pattern(pattern: &str, error: &GoRegexError) -> Range<usize> {
    let at = error.at.min(pattern.len());
    let rest = pattern.get(at..).unwrap_or_default();
    let through = |end: &str| rest.find(end).map_or(rest.len(), |found| found + end.len());
    let chars = |count: usize| rest.chars().take(count).map(char::len_utf8).sum::<usize>();
    let length = match error.kind {
        GoRegexErrorKind::CaptureName if is_look(rest) => chars(4),
        GoRegexErrorKind::CaptureName => through(">"),
        GoRegexErrorKind::ClassNameUnknown => through(":]"),
        GoRegexErrorKind::ClassRange => range(rest),
        GoRegexErrorKind::EscapeUnknown => chars(2),
        GoRegexErrorKind::GroupSyntax if rest.starts_with("(?<") => chars(4),
        GoRegexErrorKind::GroupSyntax => chars(3),
        GoRegexErrorKind::RepeatCount { .. } if rest.starts_with('{') => through("}"),
        GoRegexErrorKind::RepeatRepeated => {
            let first = operator(rest);
            first + operator(rest.get(first..).unwrap_or_default())
        }
        GoRegexErrorKind::RepeatNothing => operator(rest),
        GoRegexErrorKind::UnicodeClassUnknown if chars(3) > 2 && rest.get(2..3) == Some("{") => {
            through("}")
        }
        GoRegexErrorKind::UnicodeClassUnknown => chars(3),
        GoRegexErrorKind::SurrogateAlone if rest.starts_with("\\x{") => through("}"),
        GoRegexErrorKind::SurrogateAlone => chars(1),
        GoRegexErrorKind::DepthLimit { .. }
        | GoRegexErrorKind::NestingDepth { .. }
        | GoRegexErrorKind::PatternTooLong { .. }
        | GoRegexErrorKind::SizeLimit { .. } => return 0..pattern.len(),
        GoRegexErrorKind::ClassUnclosed
        | GoRegexErrorKind::ParenUnclosed
        | GoRegexErrorKind::ParenUnexpected
        | GoRegexErrorKind::RepeatCount { .. }
        | GoRegexErrorKind::TrailingBackslash => chars(1),
    };
    at..(at + length).min(pattern.len())
}

/// Whether a look-ahead or look-behind stands here.
pub(super) fn is_look(part: &str) -> bool {
    let all = ["(?=", "(?!", "(?<=", "(?<!"];
    all.iter().any(|look| part.starts_with(look))
}

/// What to write instead, for what other engines have.
pub(super) fn help_for(part: &str) -> Option<&'static str> {
    if is_look(part) {
        return Some("say it with a second condition on the same path: `regex` or `not_regex`");
    }
    let mut chars = part.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some('Z')) => Some("the end of the text is `\\z`, or `$`"),
        (Some('\\'), Some('1'..='9')) => Some("there are no back-references: write both parts out"),
        (Some('\\'), Some('k')) => Some("there are no back-references: write both parts out"),
        (Some('\\'), Some('u')) => Some("a character by its number is `\\x{e9}`"),
        (Some('\\'), Some('C')) => Some("any character is `(?s:.)`"),
        (Some('('), Some('?')) => Some("groups are `(…)`, `(?:…)`, `(?P<name>…)` and `(?i:…)`"),
        (Some(_) | None, _) => None,
    }
}

fn first_char(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.chars().next().map_or(0, char::len_utf8)
}

/// Bytes of the repetition that the text begins with, a `?` behind it included.
fn operator(text: &str) -> usize {
    let length = if text.starts_with('{') {
        text.find('}').map_or(1, |end| end + 1)
    } else {
        first_char(text, 0)
    };
    let lazy = text.get(length..).is_some_and(|rest| rest.starts_with('?'));
    length + usize::from(lazy)
}

/// Bytes of `z-a` with its escapes.
fn range(text: &str) -> usize {
    let one = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        let length = first_char(rest, 0);
        match rest.starts_with('\\') {
            true => length + first_char(rest, length),
            false => length,
        }
    };
    let hyphen = one(0) + 1;
    hyphen + one(hyphen)
}
