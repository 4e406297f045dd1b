//! `tollbook policy eval`: what a policy does with calls, all by one grant at one moment.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::call::{ALLOW, Call, Line, Malformed, Trial, each_line, whole};
use super::trace;
use crate::commands::{Exit, Failure, Output, findings, out};

/// Prints the verdict on each call as one line of JSON, or with `--output table` for people.
/// Counters start at zero and add up over the lines. Exit 0 if all are allowed, 3 if any is denied
/// or malformed.
#[derive(Args, Debug)]
#[command(
    after_help = "Each call is one line of JSON; with --output table it is shown for people.\n\
                  Exit 0 if all are allowed, 3 if any is denied or malformed.\n\n\
                  Example:\n  echo '{\"tool\":\"create_refund\",\"arguments\":{\"amount\":\
                        500000}}' |\n    tollbook policy eval --policy refunds.json --call - \
                        --trace --output table"
)]
pub(in crate::commands) struct Eval {
    /// The policy, JSON
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The call, `{"tool": …, "arguments": {…}}`; `-` reads standard input
    #[arg(long, value_name = "FILE|-")]
    call: PathBuf,
    /// One call a line
    #[arg(long)]
    jsonl: bool,
    /// Show each step, condition and limit, what came of it, and the types of what was found
    #[arg(long)]
    trace: bool,
    /// Show the values that were found too, shortened. Arguments may hold secrets: keep the output
    /// as you would keep the call
    #[arg(long, requires = "trace")]
    show_values: bool,
}

/// What is printed of one call.
#[derive(Serialize)]
struct Traced<'t> {
    #[serde(flatten)]
    line: &'t Line,
    trace: trace::Shown,
}

pub(in crate::commands) fn run(eval: &Eval, asked: Option<Output>) -> Result<Exit, Failure> {
    let Some(mut trial) = Trial::open(&eval.policy)? else {
        return Ok(Exit::Negative);
    };
    let people = asked == Some(Output::Table);
    let mut exit = Exit::Done;
    let mut print = |bytes| {
        let (line, text) = judge(&mut trial, bytes, eval, people)?;
        if line.verdict != ALLOW {
            exit = Exit::Negative;
        }
        out::text(&text)
    };
    let printed = if eval.jsonl {
        each_line(&eval.call, |_, bytes| print(bytes))
    } else {
        whole(&eval.call).and_then(&mut print)
    };
    out::verdict(exit, printed)
}

/// Judges one call, and writes down what came of it.
fn judge(
    trial: &mut Trial,
    bytes: Vec<u8>,
    eval: &Eval,
    people: bool,
) -> Result<(Line, String), Failure> {
    let call = match Call::read(bytes) {
        Ok(call) => call,
        Err(fault) => return malformed(fault, eval.trace, people),
    };
    let (tool, arguments) = (call.tool(), call.arguments());
    let trace = eval.trace.then(|| {
        let trace = trial.policy.trace(&tool, arguments, &trial.counters);
        trace::Shown::of(&trace, eval.show_values)
    });
    let line = trial.judge(&tool, arguments);
    let text = match (people, trace) {
        (true, trace) => {
            let head = headline(&line, &findings::shown(&tool, 60));
            head + &trace.map_or_else(String::new, |trace| trace.tree(&trial.text))
        }
        (false, None) => out::json_line(&line)?,
        (false, Some(trace)) => out::json_line(&Traced { line: &line, trace })?,
    };
    Ok((line, text))
}

fn malformed(fault: Malformed, traced: bool, people: bool) -> Result<(Line, String), Failure> {
    let line = fault.line();
    let text = if people {
        headline(&line, "-")
    } else if traced {
        let trace = trace::Shown::default();
        out::json_line(&Traced { line: &line, trace })?
    } else {
        out::json_line(&line)?
    };
    Ok((line, text))
}

/// Verdict, tool, rule and reason on one line; the message, if any, on the next.
fn headline(line: &Line, tool: &str) -> String {
    let Line {
        verdict,
        rule,
        pointer: _,
        reason,
        message,
    } = line;
    let mut text = format!("{verdict}  {tool}");
    if let Some(rule) = rule {
        text = text + "  " + &findings::shown(rule, 400);
    }
    if let Some(reason) = reason {
        text = text + "  (" + reason + ")";
    }
    text.push('\n');
    match message {
        Some(message) => text + "  message: " + &findings::shown(message, 1024) + "\n",
        None => text,
    }
}
