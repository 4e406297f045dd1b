//! `tollbook demo`: an agent's calls through a real gate on a fresh directory, each with its
//! verdict, its rule and what the agent saw; then the book is verified, and a copy with one byte
//! flipped is caught.

pub mod agent;
mod cluster;
mod script;

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use tollbook_audit::dir::{Options, Records, verify};
use tollbook_audit::report::Report;

use self::agent::{Agent, AgentError};
use self::script::{ACTS, Act};
use crate::clock::Clock;
use crate::node::Start;
use crate::trial::{Granted, Trial, TrialError};

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A call had no answer.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A file of the demo's own.
    #[error("a file of the demo's directory cannot be read or copied")]
    File(#[from] io::Error),
    /// The book of a demo is sound, and its broken copy is not.
    #[error("the verifier said `{0}`, which is not what it should say; please report this")]
    Verdict(&'static str),
    /// The gate.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// What is asked for does not exist yet.
    #[error("the demo shows 1 node or 3; give `--nodes 3`, or leave it out")]
    Nodes,
}

/// Runs the demo; `show` gets its lines.
pub async fn run(nodes: u32, show: &mut (dyn FnMut(&str) + Send)) -> Result<(), DemoError> {
    match nodes {
        1 => {}
        3 => return cluster::run(show).await,
        _ => return Err(DemoError::Nodes),
    }
    let home = TempDir::with_prefix("tollbook-demo-")?;
    let dir = home.path().join("node");
    // A policy that counts by the hour should not meet its end half way.
    let clock = Clock::away_from_the_hour();
    let trial = Trial::start(
        &dir,
        0,
        Start {
            clock,
            ..Start::default()
        },
    )
    .await?;
    show("A gate on a fresh directory, before the built-in sample MCP server.\n");
    let mut played = 0;
    for act in ACTS {
        played += play(&trial, &dir, act, show).await?;
    }
    played += revoked(&trial, show).await?;
    let reached = trial.sample.total();
    trial.stop().await;
    show(&format!(
        "\n{played} calls; {reached} reached the server, each with its intent and its outcome \
         in the book.\n"
    ));
    inspect(&dir, &home.path().join("copy"), show)
}

async fn play(
    trial: &Trial,
    dir: &Path,
    act: &Act,
    show: &mut dyn FnMut(&str),
) -> Result<u64, DemoError> {
    trial.apply(act.policy, act.text).await?;
    let grant = trial
        .grant(act.policy, trial.server, Some(act.policy))
        .await?;
    show(&format!("\n{}", act.title));
    let mut agent = Agent::connect(&grant).await?;
    let mut calls = 0;
    for (tool, arguments) in act.calls {
        let before = records(trial);
        let seen = agent.call(tool, arguments).await?;
        let (verdict, rule) = decided(dir, before)?;
        show(&format!("  {verdict:<5}  {tool} {arguments}"));
        if let Some(rule) = rule {
            show(&format!("         rule   {rule}"));
        }
        show(&format!("         agent  {seen}"));
        calls += 1;
    }
    Ok(calls)
}

/// A grant that works, until it is revoked.
async fn revoked(trial: &Trial, show: &mut dyn FnMut(&str)) -> Result<u64, DemoError> {
    show("\nA grant that is revoked between two calls");
    let grant: Granted = trial
        .grant("leaver", trial.server, Some("github-issues"))
        .await?;
    let mut agent = Agent::connect(&grant).await?;
    let (tool, arguments) = ("list_issues", r#"{"owner":"acme","repo":"site"}"#);
    let seen = agent.call(tool, arguments).await?;
    show(&format!(
        "  allow  {tool} {arguments}\n         agent  {seen}"
    ));
    trial.revoke(grant.id).await?;
    let seen = agent.call(tool, arguments).await?;
    show(&format!(
        "  401    {tool} {arguments}\n         agent  {seen}"
    ));
    Ok(2)
}

/// Verifies the book, then a copy with one byte flipped.
fn inspect(dir: &Path, copy: &Path, show: &mut dyn FnMut(&str)) -> Result<(), DemoError> {
    show("The book, verified offline:\n");
    let report = verify(dir, &Options::default());
    show(&indented(&report));
    if report.verdict.name() != "valid" {
        return Err(DemoError::Verdict(report.verdict.name()));
    }
    let (file, at) = flip_one_byte(&dir.join("log"), copy)?;
    show(&format!("A copy of it with byte {at} of {file} flipped:\n"));
    let trust = Some(dir.join("trust.policy"));
    let report = verify(
        copy,
        &Options {
            trust,
            ..Options::default()
        },
    );
    show(&indented(&report));
    match report.verdict.name() {
        "tampered" => Ok(()),
        other => Err(DemoError::Verdict(other)),
    }
}

fn indented(report: &Report) -> String {
    report
        .to_string()
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect()
}

/// Copies a log and flips one byte in the middle of its first segment.
fn flip_one_byte(log: &Path, copy: &Path) -> io::Result<(String, usize)> {
    copy_tree(log, copy)?;
    let segments = copy.join("seg");
    let mut names: Vec<_> = fs::read_dir(&segments)?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort();
    let name = names.first().ok_or(io::ErrorKind::NotFound)?;
    let path = segments.join(name);
    let mut bytes = fs::read(&path)?;
    let at = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    overwrite(&path, &bytes)?;
    Ok((format!("seg/{}", name.to_string_lossy()), at))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a copy that is thrown away needs no durability"
)]
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn records(trial: &Trial) -> u64 {
    let node = &trial.running.node;
    node.cluster
        .read(|state| state.head().map_or(0, tollbook_audit::Head::size))
}

/// Verdict and rule of the newest intent at or after record `from`, as the book has them.
fn decided(dir: &Path, from: u64) -> Result<(String, Option<String>), DemoError> {
    let mut found = ("?".to_owned(), None);
    for record in Records::open(dir, from)? {
        let (_index, bytes) = record.map_err(io::Error::other)?;
        let record: serde_json::Value = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        let text = |key: &str| record.get(key)?.as_str().map(str::to_owned);
        if text("k").as_deref() == Some("intent") {
            found = (text("verdict").unwrap_or_default(), text("rule"));
        }
    }
    Ok(found)
}
