//! `tollbook policy check`: all that is wrong with policy files, and what is worth a look.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use tollbook_audit::hex;
use tollbook_policy::check;

use super::{api_all, read_bytes};
use crate::admin::api::{Finding, Severity};
use crate::commands::{Exit, Failure, Form, findings, note, out};

mod sarif;

/// Warnings are looked for once there are no errors. Exit 3 if a file has errors, else 0.
/// `--output sarif` prints SARIF 2.1.0.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tollbook policy check --deny-warnings policies/*.json")]
pub(in crate::commands) struct Check {
    /// Policies, JSON
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Exit 3 for warnings too
    #[arg(long)]
    deny_warnings: bool,
}

/// Findings of one file, as JSON.
#[derive(Serialize)]
struct Checked {
    file: String,
    /// None of a policy that has errors.
    digest: Option<String>,
    findings: Vec<Finding>,
}

pub(super) fn run(asked: &Check, form: Form) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    let mut shown = String::new();
    for path in &asked.files {
        let bytes = read_bytes(path)?;
        let file = path.display().to_string();
        // What is no UTF-8 is shown with marks in its place.
        let text = String::from_utf8_lossy(&bytes);
        let (digest, findings) = match str::from_utf8(&bytes).map(check) {
            Ok(Ok(policy)) => (Some(hex(&policy.digest())), api_all(policy.warnings())),
            Ok(Err(found)) => (None, api_all(&found)),
            Err(error) => (None, vec![no_utf8(&bytes, error.valid_up_to())]),
        };
        for finding in &findings {
            shown = shown + &findings::render(&file, &text, finding) + "\n";
        }
        all.push(Checked {
            file,
            digest,
            findings,
        });
    }
    let found = all.iter().flat_map(|checked| &checked.findings);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        found.partition(|finding| finding.severity == Severity::Error);
    let (files, errors, warnings) = (all.len(), errors.len(), warnings.len());
    let bad = errors > 0 || (asked.deny_warnings && warnings > 0);
    let printed = match form {
        Form::Table => out::text(&shown),
        Form::Json => out::json(&all),
        Form::Jsonl => all.iter().try_for_each(out::json),
        Form::Sarif => out::json(&sarif::log(&all)),
    };
    note(&format!(
        "{files} files, {errors} errors, {warnings} warnings"
    ));
    out::verdict(if bad { Exit::Negative } else { Exit::Done }, printed)
}

/// A file whose bytes are no text, so that nobody could read it as a policy.
fn no_utf8(bytes: &[u8], at: usize) -> Finding {
    let before = String::from_utf8_lossy(bytes.get(..at).unwrap_or_default());
    let (line, column) = tollbook_policy::json::line_and_column(&before, before.len());
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let help = match utf16 {
        true => "the file looks like UTF-16; save it as UTF-8",
        false => "save the file as UTF-8",
    };
    Finding {
        code: "TB-POL-001".to_owned(),
        severity: Severity::Error,
        line,
        column,
        end_line: line,
        end_column: column + 1,
        pointer: String::new(),
        message: "a byte that is no UTF-8".to_owned(),
        help: Some(help.to_owned()),
    }
}
