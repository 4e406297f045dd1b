//! `tollbook policy …`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use tollbook_audit::hex;
use tollbook_policy::check;

use super::{Exit, Failure, Node, Output, findings, note, out};
use crate::admin::api::{self, Finding, PolicyApplied, PolicyRevision, Severity};
use crate::client::ClientError;

mod call;
mod diff;
mod eval;
mod fmt;
mod schema;
mod test;
mod trace;

/// Bytes of a file that is read as a policy or as one call: more than either may have, so that
/// the reader says what is wrong.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Put a policy in force for all grants that name it
    Apply(Apply),
    /// List all policies
    List(List),
    /// Print a policy as it was applied
    Show(Show),
    /// List the revisions of a policy
    History(Show),
    /// Look for errors and warnings in policy files; needs no node
    Check(Check),
    /// Say what a policy does with calls; needs no node
    Eval(eval::Eval),
    /// Hold a policy to what its author expects of calls; needs no node
    Test(test::Test),
    /// Say what one policy means that another does not; needs no node
    Diff(diff::Diff),
    /// Lay policy files out in the one way; needs no node
    Fmt(fmt::Fmt),
    /// Print the JSON Schema of policies, for editors; needs no node
    Schema(schema::Schema),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tollbook policy check refunds.json && \
                        tollbook policy apply refunds refunds.json")]
pub(super) struct Apply {
    /// What grants name it by
    name: String,
    /// The policy, JSON
    file: PathBuf,
    #[command(flatten)]
    node: Node,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    node: Node,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// Its name
    name: String,
    #[command(flatten)]
    node: Node,
}

/// Exit 3 if a file has errors, else 0.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tollbook policy check --deny-warnings policies/*.json")]
pub(super) struct Check {
    /// Policies, JSON
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Exit 3 for warnings too
    #[arg(long)]
    deny_warnings: bool,
}

/// What is printed of a policy that was applied.
#[derive(Serialize)]
struct Applied {
    name: String,
    revision: u64,
    digest: String,
}

/// Findings of one file, as JSON.
#[derive(Serialize)]
struct Checked {
    file: String,
    digest: Option<String>,
    findings: Vec<Finding>,
}

/// `asked` is the form of the command line, `output` what it is where it says nothing.
pub(super) fn run(policy: Policy, output: Output, asked: Option<Output>) -> Result<Exit, Failure> {
    match policy {
        Policy::Apply(apply) => self::apply(apply, output),
        Policy::List(List { node }) => {
            let policies: Vec<api::Policy> = node.client()?.get(&["policies"])?;
            out::list(
                output,
                &policies,
                &["name", "revision", "digest", "applied"],
                |policy| {
                    vec![
                        policy.name.clone(),
                        policy.revision.to_string(),
                        policy.digest.clone(),
                        policy.applied.clone(),
                    ]
                },
            )?;
            Ok(Exit::Done)
        }
        Policy::Show(Show { name, node }) => {
            let policy: api::Policy = node.client()?.get(&["policies", &name])?;
            match output {
                Output::Table => out::line(policy.text.as_deref().unwrap_or_default().trim_end())?,
                Output::Json | Output::Jsonl => out::json(&policy)?,
            }
            Ok(Exit::Done)
        }
        Policy::History(Show { name, node }) => {
            let policy: api::Policy = node.client()?.get(&["policies", &name])?;
            history(policy, output)?;
            Ok(Exit::Done)
        }
        Policy::Check(check) => check_files(&check, output),
        Policy::Eval(eval) => eval::run(&eval, asked),
        Policy::Test(test) => test::run(&test, output),
        Policy::Diff(diff) => diff::run(&diff, output),
        Policy::Fmt(fmt) => fmt::run(&fmt),
        Policy::Schema(_) => schema::run(output),
    }
}

/// The one in force is the last.
fn history(policy: api::Policy, output: Output) -> Result<(), Failure> {
    let api::Policy {
        name: _,
        revision,
        digest,
        applied,
        text: _,
        mut past,
    } = policy;
    past.push(PolicyRevision {
        revision,
        digest,
        applied,
    });
    out::list(output, &past, &["revision", "digest", "applied"], |one| {
        vec![
            one.revision.to_string(),
            one.digest.clone(),
            one.applied.clone(),
        ]
    })
}

fn apply(apply: Apply, output: Output) -> Result<Exit, Failure> {
    let text = read_text(&apply.file)?;
    let client = apply.node.client()?;
    let file = apply.file.display().to_string();
    let shown = |finding: &Finding| note(findings::render(&file, &text, finding).trim_end());
    let applied = client.put_text::<PolicyApplied>(&["policies", &apply.name], text.clone());
    if let Err(ClientError::Problem(problem)) = &applied {
        problem.findings.iter().for_each(shown);
    }
    let PolicyApplied {
        name,
        revision,
        digest,
        changed,
        warnings,
    } = applied?;
    warnings.iter().for_each(shown);
    match output {
        Output::Table => {
            let what = if changed { "applied" } else { "unchanged:" };
            out::line(&format!(
                "{what} {name} revision {revision} digest {digest}"
            ))?;
        }
        Output::Json | Output::Jsonl => {
            out::json(&Applied {
                name,
                revision,
                digest,
            })?;
        }
    }
    Ok(Exit::Done)
}

fn check_files(asked: &Check, output: Output) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    let mut shown = String::new();
    for path in &asked.files {
        let text = read_text(path)?;
        let file = path.display().to_string();
        let (digest, findings) = match check(&text) {
            Ok(policy) => (Some(hex(&policy.digest())), api_all(policy.warnings())),
            Err(found) => (None, api_all(&found)),
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
    let printed = match output {
        Output::Table => out::text(&shown),
        Output::Json => out::json(&all),
        Output::Jsonl => all.iter().try_for_each(out::json),
    };
    note(&format!(
        "{files} files, {errors} errors, {warnings} warnings"
    ));
    out::verdict(if bad { Exit::Negative } else { Exit::Done }, printed)
}

fn api_all(findings: &[tollbook_policy::Finding]) -> Vec<Finding> {
    findings.iter().map(Finding::from).collect()
}

/// Reads a UTF-8 file of bounded size; more than that no policy may have, and `check` says so.
fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| failed(io::ErrorKind::InvalidData.into()))
}

/// Standard input for `-`, else a file.
fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path);
    let file = file.map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(Box::new(BufReader::new(file)))
}
