//! From a policy's text to a document in which nothing can be wrong, or to all that is wrong.

mod condition;
mod document;
mod fields;
mod lint;
mod rule;

use alloc::borrow::ToOwned as _;
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
    Json, ParseError, ParseErrorKind, ProfileErrorKind, ProfileLimits, line_and_column,
    parse_syntax, visit_faults,
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
    let json = parse_syntax(text.to_owned(), &LIMITS)
        .map_err(|error| vec![syntax_finding(text, error)])?;
    let mut checker = Checker::new(&json);
    profile(&json, &mut checker);
    let document = checker.document(json.root());
    checker.lint(json.root());
    let has_errors = checker.findings.has_errors();
    let findings = checker.findings.into_sorted();
    if has_errors {
        return Err(findings);
    }
    Ok(compile(document, digest(json.root()), findings))
}

/// What stops the reading, so that there is nothing else to say.
fn syntax_finding(text: &str, error: ParseError) -> Finding {
    let (code, help) = match error.kind {
        ParseErrorKind::Profile(kind) => (profile_code(kind), None),
        ParseErrorKind::Expected(_) => (
            code::SYNTAX,
            Some("a policy is JSON, without comments and trailing commas"),
        ),
        ParseErrorKind::ByteOrderMark
        | ParseErrorKind::ControlInString
        | ParseErrorKind::End
        | ParseErrorKind::Escape
        | ParseErrorKind::Number
        | ParseErrorKind::Trailing => (code::SYNTAX, None),
    };
    let (line, column) = line_and_column(text, error.at);
    Finding {
        code,
        severity: Severity::Error,
        line,
        column,
        pointer: String::new(),
        message: error.to_string(),
        help: help.map(String::from),
    }
}

fn profile<'d>(json: &'d Json, checker: &mut Checker<'d>) {
    let outcome = visit_faults(json, &LIMITS, &mut |fault, value| {
        let value = value.unwrap_or_else(|| json.root());
        let message = fault.kind.to_string();
        if fault.kind == ProfileErrorKind::DuplicateKey {
            let help = "remove one of the two: servers differ over which one counts";
            let code = code::DUPLICATE_KEY;
            checker
                .findings
                .error_with_help(code, value, message, help.into());
        } else {
            checker
                .findings
                .error(profile_code(fault.kind), value, message);
        }
        ControlFlow::Continue(())
    });
    assert!(outcome.is_continue(), "the visitor never breaks");
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
