//! What is wrong with a policy, and where.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::json::{Value, line_and_column};
use crate::limits::FINDINGS;

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

/// The codes of findings. They never change meaning.
pub(crate) mod code {
    pub(crate) const SYNTAX: &str = "TB-POL-001";
    pub(crate) const DOCUMENT_BYTES: &str = "TB-POL-002";
    pub(crate) const DEPTH: &str = "TB-POL-003";
    pub(crate) const NODES: &str = "TB-POL-004";
    pub(crate) const DUPLICATE_KEY: &str = "TB-POL-005";
    pub(crate) const PROFILE: &str = "TB-POL-006";
    pub(crate) const UNKNOWN_FIELD: &str = "TB-POL-010";
    pub(crate) const MISSING_FIELD: &str = "TB-POL-011";
    pub(crate) const TYPE: &str = "TB-POL-012";
    pub(crate) const NULL: &str = "TB-POL-013";
    pub(crate) const EMPTY_LIST: &str = "TB-POL-014";
    pub(crate) const EMPTY_NAME: &str = "TB-POL-015";
    pub(crate) const TWICE: &str = "TB-POL-016";
    pub(crate) const VERSION: &str = "TB-POL-020";
    pub(crate) const DEFAULT: &str = "TB-POL-021";
    pub(crate) const STAR: &str = "TB-POL-022";
    pub(crate) const PATH: &str = "TB-POL-030";
    pub(crate) const OPERATOR: &str = "TB-POL-031";
    pub(crate) const VALUE_MISSING: &str = "TB-POL-032";
    pub(crate) const VALUE: &str = "TB-POL-033";
    pub(crate) const NUMBER: &str = "TB-POL-034";
    pub(crate) const PATTERN: &str = "TB-POL-035";
    pub(crate) const WHOLE_NUMBER: &str = "TB-POL-040";
    pub(crate) const WINDOW: &str = "TB-POL-041";
    pub(crate) const SCOPE: &str = "TB-POL-042";
    pub(crate) const TWO_INCREMENTS: &str = "TB-POL-043";
    pub(crate) const EVERY_IN_INCREMENT: &str = "TB-POL-044";
    pub(crate) const CHARGED_TWICE: &str = "TB-POL-045";
    pub(crate) const METHOD: &str = "TB-POL-050";
    pub(crate) const METHOD_PASSES: &str = "TB-POL-051";
    pub(crate) const AUDIT_LEVEL: &str = "TB-POL-060";
    pub(crate) const TOOLS_LIMIT: &str = "TB-POL-070";
    pub(crate) const RULES_LIMIT: &str = "TB-POL-071";
    pub(crate) const CONDITIONS_LIMIT: &str = "TB-POL-072";
    pub(crate) const LIMITS_LIMIT: &str = "TB-POL-073";
    pub(crate) const NAME_LIMIT: &str = "TB-POL-074";
    pub(crate) const MESSAGE_LIMIT: &str = "TB-POL-075";
    pub(crate) const PATH_LIMIT: &str = "TB-POL-076";
    pub(crate) const PATTERN_LIMIT: &str = "TB-POL-077";
    pub(crate) const AUTOMATON_LIMIT: &str = "TB-POL-078";
    pub(crate) const PATTERN_DEPTH_LIMIT: &str = "TB-POL-079";
    pub(crate) const FINDINGS_LIMIT: &str = "TB-POL-099";
    pub(crate) const WARN_UNREACHED: &str = "TB-POL-101";
    pub(crate) const WARN_METHOD: &str = "TB-POL-102";
    pub(crate) const WARN_OPEN_START: &str = "TB-POL-103";
    pub(crate) const WARN_OPEN_END: &str = "TB-POL-104";
    pub(crate) const WARN_ANYTHING: &str = "TB-POL-105";
    pub(crate) const WARN_STAR_KEY: &str = "TB-POL-106";
}

/// Findings of one document.
pub(crate) struct Findings<'d> {
    text: &'d str,
    root: Value<'d>,
    found: Vec<(usize, Finding)>,
    has_errors: bool,
}

impl<'d> Findings<'d> {
    pub(crate) fn new(text: &'d str, root: Value<'d>) -> Self {
        Self {
            text,
            root,
            found: Vec::new(),
            has_errors: false,
        }
    }

    /// An error about `value`, or the member whose key `value` is.
    pub(crate) fn error(&mut self, code: &'static str, value: Value<'d>, message: String) {
        self.add(Severity::Error, code, value, message, None);
    }

    /// An error, and what to do.
    pub(crate) fn error_with_help(
        &mut self,
        code: &'static str,
        value: Value<'d>,
        message: String,
        help: String,
    ) {
        self.add(Severity::Error, code, value, message, Some(help));
    }

    /// Something to look at, and what to do.
    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        value: Value<'d>,
        message: &str,
        help: &str,
    ) {
        self.add(
            Severity::Warning,
            code,
            value,
            message.into(),
            Some(help.into()),
        );
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        value: Value<'d>,
        message: String,
        help: Option<String>,
    ) {
        self.has_errors |= severity == Severity::Error;
        if self.found.len() > FINDINGS {
            return;
        }
        let at = value.offset();
        let full = self.found.len() == FINDINGS;
        let (line, column) = line_and_column(self.text, at);
        let pointer = pointer_of(self.root, at);
        let finding = if full {
            let message = format!("more than {FINDINGS} findings; the rest is not shown");
            let code = code::FINDINGS_LIMIT;
            Finding {
                code,
                severity: Severity::Error,
                line,
                column,
                pointer,
                message,
                help: None,
            }
        } else {
            Finding {
                code,
                severity,
                line,
                column,
                pointer,
                message,
                help,
            }
        };
        self.has_errors |= full;
        self.found.push((at, finding));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// All of them, in the order of the text.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|(at, _)| *at);
        self.found.into_iter().map(|(_, finding)| finding).collect()
    }
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
