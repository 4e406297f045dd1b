//! Calls as files hold them, and what a policy makes of them: all by one grant at one moment.

use std::borrow::Cow;
use std::io::{self, BufRead as _, Read as _};
use std::path::Path;

use serde::Serialize;

use tollbook_policy::json::{Json, Kind, ParseError, ProfileLimits, Value, parse};
use tollbook_policy::{Counters, Explanation, Policy, Verdict, check};

use super::{FILE_BYTES_MAX, api_all, open};
use crate::commands::{Failure, findings, note};

pub(super) const ALLOW: &str = "allow";
pub(super) const DENY: &str = "deny";
pub(super) const MALFORMED: &str = "malformed";
/// As on the wire.
const TOOL_BYTES_MAX: usize = 1024;

/// What becomes of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) verdict: &'static str,
    pub(super) rule: Option<String>,
    pub(super) pointer: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

/// Why a text is no call that could be judged.
#[derive(Clone, Copy, Debug)]
pub(super) enum Malformed {
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

/// A policy's text, what it means, and what the calls so far have used.
pub(super) struct Trial {
    pub(super) text: String,
    pub(super) policy: Policy,
    pub(super) counters: Counters,
}

/// A call that can be judged.
#[derive(Debug)]
pub(super) struct Call {
    json: Json,
}

impl Trial {
    pub(super) fn new(text: String, policy: Policy) -> Self {
        Self {
            text,
            policy,
            counters: Counters::new(),
        }
    }

    /// Reads a policy's file. None: it has errors, which the person has been told.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let text = text_of(path)?;
        match check(&text) {
            Ok(policy) => Ok(Some(Self::new(text, policy))),
            Err(found) => {
                let file = path.display().to_string();
                for finding in api_all(&found) {
                    note(findings::render(&file, &text, &finding).trim_end());
                }
                Ok(None)
            }
        }
    }

    /// Decides a call and charges it.
    pub(super) fn judge(&mut self, tool: &str, arguments: Option<Value<'_>>) -> Line {
        let denied = match self.policy.decide(tool, arguments) {
            Verdict::Allow(permit) => match self.counters.charge(&self.policy, &permit) {
                Ok(()) => return Line::allow(),
                Err((limit, cause)) => self.policy.explain_limit(limit, cause),
            },
            Verdict::Deny(cause) => self.policy.explain(cause, tool),
        };
        Line::deny(denied)
    }
}

impl Line {
    pub(super) fn allow() -> Self {
        Self {
            verdict: ALLOW,
            ..Self::default()
        }
    }

    pub(super) fn deny(denied: Explanation) -> Self {
        let Explanation {
            rule,
            pointer,
            reason,
            message,
        } = denied;
        Self {
            verdict: DENY,
            rule: Some(rule),
            pointer,
            reason: reason.map(str::to_owned),
            message,
        }
    }
}

impl Malformed {
    pub(super) fn line(&self) -> Line {
        let (reason, message) = match self {
            Self::Arguments => ("arguments", "`arguments` is not an object".to_owned()),
            Self::Json(error) => ("json", format!("{error} (at byte {})", error.at)),
            Self::Object => ("object", "a call is an object".to_owned()),
            Self::Tool => ("tool", "`tool` is not the name of a tool".to_owned()),
            Self::Utf8 => ("utf8", "not UTF-8".to_owned()),
        };
        Line {
            verdict: MALFORMED,
            reason: Some(reason.to_owned()),
            message: Some(message),
            ..Line::default()
        }
    }
}

impl Call {
    /// A call under the strict profile that the gate holds its calls to.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, Malformed> {
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
            Some(_) | None => Ok(Self { json }),
        }
    }

    pub(super) fn tool(&self) -> Cow<'_, str> {
        tool(self.json.root()).expect("a call that was read has the name of a tool")
    }

    pub(super) fn arguments(&self) -> Option<Value<'_>> {
        self.json.root().get("arguments")
    }
}

fn tool(root: Value<'_>) -> Option<Cow<'_, str>> {
    let name = root.get("tool")?.as_str()?;
    (1..=TOOL_BYTES_MAX).contains(&name.len()).then_some(name)
}

/// All of a file, but no more than any call may be.
pub(super) fn whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// All of a file as text, or so much that whoever reads it sees that it is too long.
pub(super) fn text_of(path: &Path) -> Result<String, Failure> {
    let bytes = whole(path)?;
    let is_cut = u64::try_from(bytes.len()) == Ok(FILE_BYTES_MAX);
    String::from_utf8(bytes).or_else(|error| {
        let what = error.utf8_error();
        let good = what.valid_up_to();
        if is_cut && what.error_len().is_none() {
            // Only the character that the bound has cut is missing.
            let mut bytes = error.into_bytes();
            bytes.truncate(good);
            return Ok(String::from_utf8(bytes).unwrap_or_default());
        }
        let what = format!("not UTF-8 at byte {good}");
        Err(Failure::File {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, what),
        })
    })
}

/// Shows each line of a file that is not blank, with its number from 1.
pub(super) fn each_line(
    path: &Path,
    mut show: impl FnMut(u64, Vec<u8>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |source| Failure::File {
        path: path.to_owned(),
        source,
    };
    let mut reader = open(path)?;
    for number in 1.. {
        let mut bytes = Vec::new();
        let read = (&mut reader)
            .take(FILE_BYTES_MAX)
            .read_until(b'\n', &mut bytes);
        if read.map_err(failed)? == 0 {
            break;
        }
        if bytes.last() != Some(&b'\n') {
            // Longer than any call may be: it is judged as what it is, and is one line still.
            reader.skip_until(b'\n').map_err(failed)?;
        }
        if !bytes.trim_ascii().is_empty() {
            show(number, bytes)?;
        }
    }
    Ok(())
}
