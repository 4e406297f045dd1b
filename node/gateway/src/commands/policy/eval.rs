//! `tollbook policy eval`: what a policy does with calls, all by one grant at one moment.

use std::borrow::Cow;
use std::io::{BufRead as _, Read as _};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use tollbook_policy::json::{Json, Kind, ParseError, ProfileLimits, Value, parse};
use tollbook_policy::{Counters, Explanation, Policy, Verdict, check};

use super::{FILE_BYTES_MAX, api_all, open, read_text};
use crate::commands::{Exit, Failure, findings, note, out};

/// Prints the verdict on each call as JSON. Counters start at zero and add up over the lines.
/// Exit 0 if all are allowed, 3 if any is denied or malformed.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  echo '{\"tool\":\"create_refund\",\"arguments\":{\"amount\":\
                        500000}}' |\n    tollbook policy eval --policy refunds.json --call -"
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
}

const ALLOW: &str = "allow";
/// As on the wire.
const TOOL_BYTES_MAX: usize = 1024;

/// What is printed of one call.
#[derive(Debug, Default, Serialize)]
struct Line {
    verdict: &'static str,
    rule: Option<String>,
    pointer: Option<String>,
    reason: Option<String>,
    message: Option<String>,
}

/// Why a text is no call that could be judged.
enum Malformed {
    /// `arguments` is not an object.
    Arguments,
    /// Not one JSON value that every server reads alike.
    Json(ParseError),
    /// Not an object.
    Object,
    /// No `tool`, or not a name.
    Tool,
    /// Not UTF-8.
    Utf8,
}

pub(in crate::commands) fn run(eval: &Eval) -> Result<Exit, Failure> {
    let text = read_text(&eval.policy)?;
    let policy = match check(&text) {
        Ok(policy) => policy,
        Err(found) => {
            let file = eval.policy.display().to_string();
            for finding in api_all(&found) {
                note(findings::render(&file, &text, &finding).trim_end());
            }
            return Ok(Exit::Negative);
        }
    };
    let counters = Counters::new();
    let mut trial = Trial {
        policy,
        counters,
        exit: Exit::Done,
    };
    let printed = trial.run(eval);
    out::verdict(trial.exit, printed)
}

/// A policy and what the calls so far have used.
struct Trial {
    policy: Policy,
    counters: Counters,
    exit: Exit,
}

impl Trial {
    fn run(&mut self, eval: &Eval) -> Result<(), Failure> {
        let failed = |source| Failure::File {
            path: eval.call.clone(),
            source,
        };
        let mut reader = open(&eval.call)?;
        if !eval.jsonl {
            let mut bytes = Vec::new();
            reader
                .take(FILE_BYTES_MAX)
                .read_to_end(&mut bytes)
                .map_err(failed)?;
            return self.print(bytes);
        }
        loop {
            let mut bytes = Vec::new();
            let read = (&mut reader)
                .take(FILE_BYTES_MAX)
                .read_until(b'\n', &mut bytes);
            if read.map_err(failed)? == 0 {
                return Ok(());
            }
            if bytes.last() != Some(&b'\n') {
                // Longer than any call may be: it is judged as what it is, and is one line still.
                reader.skip_until(b'\n').map_err(failed)?;
            }
            if !bytes.trim_ascii().is_empty() {
                self.print(bytes)?;
            }
        }
    }

    fn print(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        let line = match read_call(bytes) {
            Ok(json) => self.judge(&json),
            Err(fault) => fault.line(),
        };
        if line.verdict != ALLOW {
            self.exit = Exit::Negative;
        }
        out::json(&line)
    }

    fn judge(&mut self, json: &Json) -> Line {
        let Some(tool) = tool(json.root()) else {
            return Malformed::Tool.line();
        };
        let denied = match self.policy.decide(&tool, json.root().get("arguments")) {
            Verdict::Allow(permit) => match self.counters.charge(&self.policy, &permit) {
                Ok(()) => {
                    return Line {
                        verdict: ALLOW,
                        ..Line::default()
                    };
                }
                Err((limit, cause)) => self.policy.explain_limit(limit, cause),
            },
            Verdict::Deny(cause) => self.policy.explain(cause, &tool),
        };
        let Explanation {
            rule,
            pointer,
            reason,
            message,
        } = denied;
        let reason = reason.map(str::to_owned);
        Line {
            verdict: "deny",
            rule: Some(rule),
            pointer,
            reason,
            message,
        }
    }
}

impl Malformed {
    fn line(&self) -> Line {
        let (reason, message) = match self {
            Self::Arguments => ("arguments", "`arguments` is not an object".to_owned()),
            Self::Json(error) => ("json", format!("{error} (at byte {})", error.at)),
            Self::Object => ("object", "a call is an object".to_owned()),
            Self::Tool => ("tool", "`tool` is not the name of a tool".to_owned()),
            Self::Utf8 => ("utf8", "not UTF-8".to_owned()),
        };
        Line {
            verdict: "malformed",
            reason: Some(reason.to_owned()),
            message: Some(message),
            ..Line::default()
        }
    }
}

/// A call under the strict profile that the gate holds its calls to.
fn read_call(bytes: Vec<u8>) -> Result<Json, Malformed> {
    let text = String::from_utf8(bytes).map_err(|_| Malformed::Utf8)?;
    let json = parse(text, &ProfileLimits::CALL).map_err(Malformed::Json)?;
    let root = json.root();
    if root.kind() != Kind::Object {
        return Err(Malformed::Object);
    }
    if tool(root).is_none() {
        return Err(Malformed::Tool);
    }
    match root.get("arguments") {
        Some(arguments) if arguments.kind() != Kind::Object => Err(Malformed::Arguments),
        Some(_) | None => Ok(json),
    }
}

fn tool(root: Value<'_>) -> Option<Cow<'_, str>> {
    let name = root.get("tool")?.as_str()?;
    (1..=TOOL_BYTES_MAX).contains(&name.len()).then_some(name)
}
