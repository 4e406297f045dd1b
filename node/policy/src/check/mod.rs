//! From a policy's text to a document in which nothing can be wrong, or to all that is wrong.

mod condition;
mod document;
mod fields;
mod lint;
mod part;
mod rule;
mod syntax;

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use self::fields::Checker;
pub(crate) use self::fields::shortened;
use crate::compile::{Policy, compile};
use crate::digest::digest;
use crate::finding::{Finding, Severity, code};
use crate::json::{
    Json, ProfileErrorKind, ProfileLimits, Value, line_and_column, parse_syntax, visit_faults,
};
use crate::limits;

const LIMITS: ProfileLimits = ProfileLimits {
    document_bytes: limits::POLICY_BYTES,
    depth: limits::POLICY_DEPTH,
    nodes: limits::POLICY_NODES,
    ..ProfileLimits::CALL
};

/// Reads and compiles a policy, or says all that is wrong with it, in the order of the text.
/// Warnings alone do not refuse it: [`Policy::warnings`] has them then.
pub fn check(text: &str) -> Result<Policy, Vec<Finding>> {
    read(text, Lints::Wanted)
}

/// The same for a text that was checked before: nobody waits for its warnings.
pub fn load(text: &str) -> Result<Policy, Vec<Finding>> {
    read(text, Lints::Unwanted)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lints {
    Wanted,
    Unwanted,
}

fn read(text: &str, lints: Lints) -> Result<Policy, Vec<Finding>> {
    let json = parse_syntax(text.to_owned(), &LIMITS)
        .map_err(|error| vec![syntax::finding(text, error)])?;
    let mut checker = Checker::new(&json);
    profile(&json, &mut checker);
    let document = checker.document(json.root());
    if checker.findings.has_errors() {
        return Err(checker.findings.into_sorted());
    }
    if lints == Lints::Wanted {
        lint::lint(&mut checker.findings, json.root(), &document);
    }
    let findings = checker.findings.into_sorted();
    Ok(compile(document, digest(json.root()), findings))
}

fn profile<'d>(json: &'d Json, checker: &mut Checker<'d>) {
    let outcome = visit_faults(json, &LIMITS, &mut |fault, value| {
        let value = value.unwrap_or_else(|| json.root());
        let message = fault.kind.to_string();
        if fault.kind == ProfileErrorKind::DuplicateKey {
            let full = checker.findings.is_full(Severity::Error);
            let first = (!full).then(|| first_of(json.root(), value)).flatten();
            let mut help = match first {
                Some(first) => {
                    let (line, _) = line_and_column(json.text(), first.offset());
                    format!("the first is on line {line}; ")
                }
                None => String::new(),
            };
            help += "remove one of the two: servers differ over which one counts";
            let code = code::DUPLICATE_KEY;
            checker.findings.error_with_help(code, value, message, help);
        } else {
            checker
                .findings
                .error(profile_code(fault.kind), value, message);
        }
        ControlFlow::Continue(())
    });
    assert!(outcome.is_continue(), "the visitor never breaks");
}

/// The first member of the object around `key` that has the same key; None in a large object,
/// where there is no end of looking.
fn first_of<'d>(root: Value<'d>, key: Value<'d>) -> Option<Value<'d>> {
    const MEMBERS_MAX: usize = 256;
    let name = key.as_str()?;
    let mut here = root;
    loop {
        if here.len() > MEMBERS_MAX {
            return None;
        }
        let within = |value: &Value<'d>| value.span().contains(&key.offset());
        if here.entries().any(|(own, _)| own.offset() == key.offset()) {
            let mut keys = here.entries().map(|(own, _)| own);
            return keys.find(|own| own.is_str(&name));
        }
        let members = here.entries().map(|(_, value)| value);
        here = members.chain(here.elements()).find(within)?;
    }
}

fn profile_code(kind: ProfileErrorKind) -> &'static str {
    match kind {
        ProfileErrorKind::Depth { .. } => code::DEPTH,
        ProfileErrorKind::DocumentBytes { .. } => code::DOCUMENT_BYTES,
        ProfileErrorKind::DuplicateKey => code::DUPLICATE_KEY,
        ProfileErrorKind::Nodes { .. } => code::NODES,
        ProfileErrorKind::ControlInKey
        | ProfileErrorKind::Escape
        | ProfileErrorKind::IntegerRange
        | ProfileErrorKind::KeyBytes { .. }
        | ProfileErrorKind::LoneSurrogate
        | ProfileErrorKind::NumberBytes { .. }
        | ProfileErrorKind::NumberRange
        | ProfileErrorKind::ObjectKeys { .. }
        | ProfileErrorKind::Proto => code::PROFILE,
    }
}
