//! What is wrong with a policy, and where.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Write as _;
use core::ops::Range;

use crate::json::{Kind, Value, line_and_column};
use crate::limits::FINDINGS;

pub(crate) use crate::code;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy loads, but someone should look.
    Warning,
}

/// One thing to look at in a policy's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable: `TB-POL-` and three digits.
    pub code: &'static str,
    /// Whether the policy is refused for it.
    pub severity: Severity,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Line of the character after the last that it is about.
    pub end_line: u32,
    /// Column of that character: the same as `column` where something is missing.
    pub end_column: u32,
    /// RFC 6901, of the value or member that it is about.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do, where there is more to say than the message does.
    pub help: Option<String>,
}

impl core::fmt::Display for Finding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(
            f,
            "{}:{}: {severity} {}: {}",
            self.line, self.column, self.code, self.message
        )?;
        if !self.pointer.is_empty() {
            write!(f, " (at {})", self.pointer)?;
        }
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// Every code with what it means, in order: what the findings of any policy can have.
pub fn codes() -> &'static [(&'static str, &'static str)] {
    code::ALL
}

/// A place in a document: a value, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Spot<'d> {
    value: Value<'d>,
    span: Range<usize>,
}

impl<'d> From<Value<'d>> for Spot<'d> {
    /// All of the value; of an array or object over several lines only its bracket.
    fn from(value: Value<'d>) -> Self {
        let mut span = value.span();
        let container = matches!(value.kind(), Kind::Array | Kind::Object);
        if container && value.raw().contains('\n') {
            span.end = span.start + 1;
        }
        Self { value, span }
    }
}

impl<'d> Spot<'d> {
    /// Part of a string, in bytes of what the string means: its escapes are found again.
    pub(crate) fn within(string: Value<'d>, part: &Range<usize>) -> Self {
        let Some(mut chars) = string.chars() else {
            return string.into();
        };
        let inner_end = string.span().end.saturating_sub(1);
        let mut read = 0;
        let mut place = |wanted: usize| {
            while read < wanted {
                match chars.next() {
                    Some(c) => read += c.len_utf8(),
                    None => break,
                }
            }
            inner_end - chars.source_left()
        };
        let start = place(part.start);
        let end = place(part.end);
        Self {
            value: string,
            span: start..end,
        }
    }
}

/// Findings of one document.
pub(crate) struct Findings<'d> {
    text: &'d str,
    root: Value<'d>,
    found: Vec<(usize, Finding)>,
    errors: usize,
    warnings: usize,
}

impl<'d> Findings<'d> {
    pub(crate) fn new(text: &'d str, root: Value<'d>) -> Self {
        Self {
            text,
            root,
            found: Vec::new(),
            errors: 0,
            warnings: 0,
        }
    }

    /// An error about a value, a part of it, or the member whose key it is.
    pub(crate) fn error(&mut self, code: &'static str, at: impl Into<Spot<'d>>, message: String) {
        self.add(Severity::Error, code, &at.into(), message, None);
    }

    /// An error, and what to do.
    pub(crate) fn error_with_help(
        &mut self,
        code: &'static str,
        at: impl Into<Spot<'d>>,
        message: String,
        help: String,
    ) {
        self.add(Severity::Error, code, &at.into(), message, Some(help));
    }

    /// Something to look at, and what to do.
    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        at: impl Into<Spot<'d>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help = Some(help.into());
        self.add(Severity::Warning, code, &at.into(), message.into(), help);
    }

    /// Warnings are counted by themselves, so that they neither hide an error nor become one.
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: &Spot<'d>,
        message: String,
        help: Option<String>,
    ) {
        let (count, beyond) = match severity {
            Severity::Error => (&mut self.errors, code::FINDINGS_LIMIT),
            Severity::Warning => (&mut self.warnings, code::WARN_WARNINGS_LIMIT),
        };
        *count += 1;
        let (code, message, help) = match (*count).cmp(&(FINDINGS + 1)) {
            Ordering::Less => (code, message, help),
            Ordering::Equal => (beyond, beyond_message(severity), None),
            Ordering::Greater => return,
        };
        let (line, column) = line_and_column(self.text, at.span.start);
        let (end_line, end_column) = line_and_column(self.text, at.span.end);
        let order = if code == beyond {
            usize::MAX
        } else {
            at.span.start
        };
        let finding = Finding {
            code,
            severity,
            line,
            column,
            end_line,
            end_column,
            pointer: pointer_of(self.root, at.value.offset()),
            message,
            help,
        };
        self.found.push((order, finding));
    }

    /// The line that a value begins on, for a message.
    pub(crate) fn line_of(&self, value: Value<'d>) -> u32 {
        line_and_column(self.text, value.offset()).0
    }

    /// Whether more of this severity would not be listed, so that no work should go into it.
    pub(crate) fn is_full(&self, severity: Severity) -> bool {
        let count = match severity {
            Severity::Error => self.errors,
            Severity::Warning => self.warnings,
        };
        count > FINDINGS
    }

    /// Whether something with this code was found at the value.
    pub(crate) fn has(&self, code: &str, value: Value<'d>) -> bool {
        let here = |(at, finding): &(usize, Finding)| *at == value.offset() && finding.code == code;
        self.found.iter().any(here)
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All of them, in the order of the text.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|(at, _)| *at);
        self.found.into_iter().map(|(_, finding)| finding).collect()
    }
}

fn beyond_message(severity: Severity) -> String {
    let what = match severity {
        Severity::Error => "errors",
        Severity::Warning => "warnings",
    };
    format!("more than {FINDINGS} {what}; the rest is not shown")
}

/// RFC 6901 pointer of what begins at `offset`: a value, or the member whose key begins there.
pub fn pointer_of(root: Value<'_>, offset: usize) -> String {
    let mut pointer = String::new();
    let mut here = root;
    'deeper: while here.offset() < offset {
        for (key, value) in here.entries() {
            if value.span().end > offset {
                push_token(&mut pointer, &key.as_str().unwrap_or_default());
                if key.span().end > offset {
                    return pointer;
                }
                here = value;
                continue 'deeper;
            }
        }
        for (index, value) in here.elements().enumerate() {
            if value.span().end > offset {
                push_index(&mut pointer, index);
                here = value;
                continue 'deeper;
            }
        }
        break;
    }
    pointer
}

/// Appends one reference token, escaped.
pub(crate) fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// Appends an array index.
pub(crate) fn push_index(pointer: &mut String, index: usize) {
    write!(pointer, "/{index}").expect("writing to a `String` does not fail");
}

/// The name among `known` that `given` was probably meant to be.
pub(crate) fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let enough = if given.len() < 4 { 1 } else { 2 };
    known
        .iter()
        .map(|name| (distance(given, name, enough), *name))
        .filter(|(distance, _)| *distance <= enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits between two names, letters of either case being equal; `beyond + 1` if their lengths
/// differ too much to look.
fn distance(given: &str, name: &str, beyond: usize) -> usize {
    if given.len().abs_diff(name.len()) > beyond + 2 {
        return beyond + 1;
    }
    let mut row: Vec<usize> = (0..=name.chars().count()).collect();
    for (i, a) in given.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(name.chars()) {
            let substituted = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = *cell;
            left = substituted.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(beyond + 1)
}
