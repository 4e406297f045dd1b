//! `tollbook policy …`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use tollbook_policy::limits::POLICY_BYTES;

use super::{Exit, Failure, Form, Node, Output, findings, note, out};
use crate::admin::api::{self, Finding, PolicyApplied, PolicyRevision};
use crate::client::ClientError;

mod call;
mod check;
mod diff;
mod eval;
mod fmt;
mod schema;
mod test;
mod trace;

/// Bytes of a file that is read as calls, one of them at a time.
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
    Check(check::Check),
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

/// What is printed of a policy that was applied.
#[derive(Serialize)]
struct Applied {
    name: String,
    revision: u64,
    digest: String,
}

/// `asked` is the form of the command line, `form` what it is where it says nothing.
pub(super) fn run(policy: Policy, form: Form, asked: Option<Form>) -> Result<Exit, Failure> {
    match policy {
        Policy::Apply(apply) => self::apply(apply, form.plain()?),
        Policy::List(List { node }) => {
            let output = form.plain()?;
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
            let output = form.plain()?;
            let policy: api::Policy = node.client()?.get(&["policies", &name])?;
            match output {
                Output::Table => out::line(policy.text.as_deref().unwrap_or_default().trim_end())?,
                Output::Json | Output::Jsonl => out::json(&policy)?,
            }
            Ok(Exit::Done)
        }
        Policy::History(Show { name, node }) => {
            let output = form.plain()?;
            let policy: api::Policy = node.client()?.get(&["policies", &name])?;
            history(policy, output)?;
            Ok(Exit::Done)
        }
        Policy::Check(check) => check::run(&check, form),
        Policy::Eval(eval) => eval::run(&eval, asked.map(Form::plain).transpose()?),
        Policy::Test(test) => test::run(&test, form.plain()?),
        Policy::Diff(diff) => diff::run(&diff, form.plain()?),
        Policy::Fmt(fmt) => fmt::run(&fmt),
        Policy::Schema(_) => schema::run(form.plain()?),
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
    // The node would say no more than that it does not read so far.
    if text.len() > POLICY_BYTES
        && let Err(found) = tollbook_policy::check(&text)
    {
        api_all(&found).iter().for_each(shown);
        return Ok(Exit::Negative);
    }
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

fn api_all(findings: &[tollbook_policy::Finding]) -> Vec<Finding> {
    findings.iter().map(Finding::from).collect()
}

/// Reads a policy; of one that is too large only so much that reading it says so.
fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let source = io::Error::new(io::ErrorKind::InvalidData, format!("no UTF-8 at byte {at}"));
        Failure::File {
            path: path.to_owned(),
            source,
        }
    })
}

/// What [`read_text`] makes a text of. A character is cut in no place but behind the limit.
fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    // The longest character, and one byte over.
    let most = POLICY_BYTES + 5;
    let file = File::open(path).map_err(failed)?;
    file.take(most as u64)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() == most {
        let valid = match std::str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        if valid > POLICY_BYTES {
            bytes.truncate(valid);
        }
    }
    Ok(bytes)
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
