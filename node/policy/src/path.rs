//! Paths into a call's arguments: how they are written, and what reading one comes to.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use crate::fold::{folded, folds_to};
use crate::json::{Kind, ProfileLimits, Value, parse_syntax};
use crate::limits::PATH_STEPS;

/// A path, ready to be read.
#[derive(Debug)]
pub(crate) struct Path {
    /// As it was written: pointers show it so.
    pub(crate) text: Box<str>,
    pub(crate) steps: Box<[Step]>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The member under exactly `exact`, unless another key folds to `folded`.
    Key { exact: Box<str>, folded: Box<str> },
    /// One element.
    Index(usize),
    /// `[*]`
    Every,
}

/// What stands at the end of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'d> {
    /// Nothing, or `null`.
    Absent,
    /// Servers may differ over what stands there.
    Indeterminate,
    Value(Value<'d>),
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PathFault {
    #[error("an empty key")]
    EmptyKey,
    #[error("an index that is no whole number without leading zeros")]
    Index,
    #[error("a quoted key that is no JSON string")]
    Quoted,
    #[error("does not begin with `args`")]
    Root,
    #[error("`.` or `[` must follow here")]
    Separator,
    #[error("more than {PATH_STEPS} steps")]
    Steps,
    #[error("a `[` without its `]`")]
    Unclosed,
    #[error("white space or a quote in a bare key")]
    WhiteSpace,
}

impl Path {
    /// Reads a path; a fault comes with its byte offset in `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, PathFault)> {
        let mut rest = text.strip_prefix("args").ok_or((0, PathFault::Root))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            if steps.len() == PATH_STEPS {
                return Err((at, PathFault::Steps));
            }
            let (step, after) = step(rest).map_err(|fault| {
                let fault = if steps.is_empty() && fault == PathFault::Separator {
                    PathFault::Root
                } else {
                    fault
                };
                (at, fault)
            })?;
            steps.push(step);
            rest = after;
        }
        Ok(Self {
            text: text.into(),
            steps: steps.into(),
        })
    }

    pub(crate) fn has_every(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Every))
    }
}

fn step(rest: &str) -> Result<(Step, &str), PathFault> {
    if let Some(bare) = rest.strip_prefix('.') {
        let end = bare
            .find(|c: char| matches!(c, '.' | '[' | ']' | '"') || c.is_whitespace())
            .unwrap_or(bare.len());
        let (key, after) = bare.split_at_checked(end).ok_or(PathFault::EmptyKey)?;
        return match after.chars().next() {
            None | Some('.' | '[') if key.is_empty() => Err(PathFault::EmptyKey),
            None | Some('.' | '[') => Ok((key_step(key), after)),
            Some(_) => Err(PathFault::WhiteSpace),
        };
    }
    let inner = rest.strip_prefix('[').ok_or(PathFault::Separator)?;
    if inner.starts_with('"') {
        let length = quoted_length(inner).ok_or(PathFault::Unclosed)?;
        let (quoted, after) = inner.split_at_checked(length).ok_or(PathFault::Quoted)?;
        let key = unquote(quoted).ok_or(PathFault::Quoted)?;
        let after = after.strip_prefix(']').ok_or(PathFault::Unclosed)?;
        return Ok((key_step(&key), after));
    }
    let (index, after) = inner.split_once(']').ok_or(PathFault::Unclosed)?;
    if index == "*" {
        return Ok((Step::Every, after));
    }
    let plain = index.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (index.len() > 1 && index.starts_with('0')) {
        return Err(PathFault::Index);
    }
    let index: u32 = index.parse().map_err(|_| PathFault::Index)?;
    Ok((Step::Index(index as usize), after))
}

fn key_step(key: &str) -> Step {
    Step::Key {
        exact: key.into(),
        folded: folded(key).into(),
    }
}

/// Bytes of the quoted string that `text` begins with, quotes included.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn unquote(quoted: &str) -> Option<String> {
    let json = parse_syntax(quoted.to_owned(), &ProfileLimits::CALL).ok()?;
    json.root().as_str().map(alloc::borrow::Cow::into_owned)
}

/// Reads the steps of a path that has no `[*]`, starting at `here`.
pub(crate) fn read<'d>(here: Option<Value<'d>>, steps: &[Step]) -> Found<'d> {
    let mut found = root(here);
    for step in steps {
        let Found::Value(value) = found else {
            return found;
        };
        found = read_step(value, step);
    }
    found
}

/// The arguments themselves.
pub(crate) fn root(arguments: Option<Value<'_>>) -> Found<'_> {
    match arguments {
        Some(value) if !value.is_null() => Found::Value(value),
        Some(_) | None => Found::Absent,
    }
}

/// One step that is not `[*]`; of that it can only tell that there is no array.
pub(crate) fn read_step<'d>(value: Value<'d>, step: &Step) -> Found<'d> {
    match step {
        Step::Key { exact, folded } if value.kind() == Kind::Object => {
            read_key(value, exact, folded)
        }
        Step::Index(index) if value.kind() == Kind::Array => root(value.element(*index)),
        Step::Key { .. } | Step::Index(_) | Step::Every => Found::Indeterminate,
    }
}

fn read_key<'d>(object: Value<'d>, exact: &str, folded: &str) -> Found<'d> {
    let mut found = Found::Absent;
    // Letters of ASCII fold one to one: a simple key of another length is neither.
    for (key, value) in object.entries_of_length([exact.len(), folded.len()]) {
        if key.is_str(exact) {
            found = root(Some(value));
        } else if folds_to(key, folded) {
            return Found::Indeterminate;
        }
    }
    found
}
