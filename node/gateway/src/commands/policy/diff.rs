//! `tollbook policy diff`: what one policy means that another does not.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use tollbook_audit::hex;
use tollbook_policy::json::{ProfileLimits, parse};
use tollbook_policy::{Change, Direction};

use super::call::{ALLOW, Call, Line, Trial, each_line};
use crate::commands::{Exit, Failure, Output, findings, out};

#[derive(Args, Debug)]
#[command(
    after_help = "Each change is marked: `loosens` can only turn denials into permissions, \
                  `tightens` only\npermissions into denials, `changes` may do either, and no \
                  verdict depends on `neutral`.\n\n\
                  Exit 0; with --calls 3 if NEW permits a call that OLD denies; 2 if a policy has \
                  errors.\n\n\
                  Example:\n  tollbook policy diff refunds.json refunds.next.json --calls \
                  calls.jsonl"
)]
pub(in crate::commands) struct Diff {
    /// The policy as it is, JSON
    old: PathBuf,
    /// The policy as it would be, JSON
    new: PathBuf,
    /// Calls to judge by both, one `{"tool": …, "arguments": {…}}` a line; counters start at zero
    /// and add up, for each policy its own
    #[arg(long, value_name = "FILE|-")]
    calls: Option<PathBuf>,
}

/// All that is reported.
#[derive(Serialize)]
struct Report {
    old: Side,
    new: Side,
    /// Whether the digests are equal: no change of meaning.
    same: bool,
    changes: Vec<Shown>,
    calls: Option<Calls>,
}

#[derive(Serialize)]
struct Side {
    file: String,
    digest: String,
}

#[derive(Serialize)]
struct Shown {
    direction: &'static str,
    tool: Option<String>,
    old: Option<String>,
    new: Option<String>,
    text: String,
}

/// What became of the calls.
#[derive(Default, Serialize)]
struct Calls {
    total: u64,
    loosened: u64,
    tightened: u64,
    changed: Vec<Judged>,
}

/// A call that the two policies judge differently, or by another rule.
#[derive(Serialize)]
struct Judged {
    line: u64,
    tool: Option<String>,
    direction: &'static str,
    old: Line,
    new: Line,
}

pub(in crate::commands) fn run(diff: &Diff, output: Output) -> Result<Exit, Failure> {
    // Both, so that the person is told of the errors of both.
    let (old, new) = (Trial::open(&diff.old)?, Trial::open(&diff.new)?);
    let (Some(mut old), Some(mut new)) = (old, new) else {
        return Ok(Exit::Usage);
    };
    let calls = match &diff.calls {
        Some(path) => Some(judge(path, &mut old, &mut new)?),
        None => None,
    };
    let report = Report {
        same: old.policy.digest() == new.policy.digest(),
        changes: changes(&old, &new),
        old: side(&diff.old, &old),
        new: side(&diff.new, &new),
        calls,
    };
    let loosened = report
        .calls
        .as_ref()
        .is_some_and(|calls| calls.loosened > 0);
    let printed = match output {
        Output::Table => out::text(&text(&report)),
        Output::Json | Output::Jsonl => out::json(&report),
    };
    out::verdict(if loosened { Exit::Negative } else { Exit::Done }, printed)
}

fn side(path: &Path, trial: &Trial) -> Side {
    Side {
        file: path.display().to_string(),
        digest: hex(&trial.policy.digest()),
    }
}

fn changes(old: &Trial, new: &Trial) -> Vec<Shown> {
    let read = |trial: &Trial| {
        parse(trial.text.clone(), &ProfileLimits::CALL)
            .expect("a policy that loads is within the bounds of a call")
    };
    let (old, new) = (read(old), read(new));
    let changes = tollbook_policy::diff(old.root(), new.root()).into_iter();
    let shown = changes.map(|change| {
        let Change {
            direction,
            tool,
            old,
            new,
            text,
        } = change;
        Shown {
            direction: direction.name(),
            tool,
            old,
            new,
            text,
        }
    });
    shown.collect()
}

fn judge(path: &Path, old: &mut Trial, new: &mut Trial) -> Result<Calls, Failure> {
    let mut calls = Calls::default();
    each_line(path, |number, bytes| {
        calls.total += 1;
        // What is no call is none for either policy.
        let Ok(call) = Call::read(bytes) else {
            return Ok(());
        };
        let (tool, arguments) = (call.tool(), call.arguments());
        let (before, after) = (old.judge(&tool, arguments), new.judge(&tool, arguments));
        let direction = match (before.verdict == ALLOW, after.verdict == ALLOW) {
            (false, true) => {
                calls.loosened += 1;
                Direction::Loosens
            }
            (true, false) => {
                calls.tightened += 1;
                Direction::Tightens
            }
            (true, true) | (false, false) => Direction::Neutral,
        };
        if before.verdict != after.verdict || before.rule != after.rule {
            calls.changed.push(Judged {
                line: number,
                tool: Some(tool.into_owned()),
                direction: direction.name(),
                old: before,
                new: after,
            });
        }
        Ok(())
    })?;
    Ok(calls)
}

fn text(report: &Report) -> String {
    let Report {
        old,
        new,
        same,
        changes,
        calls,
    } = report;
    let mut text = String::new();
    if *same {
        text += &format!("same digest, no change of meaning: {}\n", old.digest);
    } else {
        text += &format!("old  {}  {}\n", old.digest, findings::shown(&old.file, 400));
        text += &format!("new  {}  {}\n", new.digest, findings::shown(&new.file, 400));
    }
    for Shown {
        direction,
        tool,
        old,
        new,
        text: what,
    } in changes
    {
        let tool = tool
            .as_deref()
            .map(|tool| findings::shown(tool, 256) + ": ");
        let (tool, what) = (tool.unwrap_or_default(), findings::shown(what, 1024));
        text += &format!("{direction:<8}  {tool}{what}\n");
        let place = |place: &Option<String>| {
            let place = place.as_deref().unwrap_or("-");
            findings::shown(place, 400)
        };
        text += &format!("          {} → {}\n", place(old), place(new));
    }
    text + &calls.as_ref().map_or_else(String::new, Calls::text)
}

impl Calls {
    fn text(&self) -> String {
        let Self {
            total,
            loosened,
            tightened,
            changed,
        } = self;
        let mut text = String::new();
        for Judged {
            line,
            tool,
            direction,
            old,
            new,
        } in changed
        {
            let tool = findings::shown(tool.as_deref().unwrap_or("-"), 60);
            text += &format!("{direction:<8}  call {line}: {tool}\n");
            for (name, verdict) in [("old", old), ("new", new)] {
                let rule = verdict
                    .rule
                    .as_deref()
                    .map(|rule| findings::shown(rule, 400));
                let line = format!("{name} {}  {}", verdict.verdict, rule.unwrap_or_default());
                text += &format!("          {}\n", line.trim_end());
            }
        }
        let others = changed
            .iter()
            .filter(|one| one.direction == Direction::Neutral.name())
            .count();
        text + &format!(
            "{total} calls: {loosened} newly allowed, {tightened} newly denied, \
             {others} by another rule\n"
        )
    }
}
