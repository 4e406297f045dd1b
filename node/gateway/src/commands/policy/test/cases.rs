//! Reading a file of cases strictly: whatever nobody would judge is an error with its place.

use std::borrow::Cow;

use tollbook_policy::json::{Json, Kind, ProfileLimits, Value, line_and_column, parse};
use tollbook_policy::pointer_of;

use crate::admin::api::{Finding, Severity};
use crate::commands::findings::shown;
use crate::commands::policy::FILE_BYTES_MAX;
use crate::commands::policy::call::{ALLOW, Call, DENY, MALFORMED, Malformed};
use crate::near::nearest;

/// Findings of one file that are listed.
const FINDINGS_MAX: usize = 200;
/// Deep enough for a call as deep as one may be, inside a case.
const DEPTH: u32 = 72;
const NODES: usize = 2_000_000;

/// One file's cases.
#[derive(Debug)]
pub(super) struct Cases {
    /// As it is written; relative to the file.
    pub(super) policy: String,
    /// Where that is written.
    pub(super) policy_at: usize,
    pub(super) cases: Vec<Case>,
}

/// Calls to which counters add up, beginning at zero.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) line: u32,
    pub(super) steps: Vec<Step>,
}

/// One call and what is expected of it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) call: Result<Call, Malformed>,
    pub(super) line: u32,
    pub(super) expect: Expect,
}

/// What is not given is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expect {
    pub(super) verdict: &'static str,
    pub(super) rule: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

/// A finding about a place of a text that is JSON.
pub(super) fn finding(
    text: &str,
    root: Option<Value<'_>>,
    at: usize,
    (code, message, help): (&str, String, Option<String>),
) -> Finding {
    let (line, column) = line_and_column(text, at);
    let length = token_length(text.get(at..).unwrap_or_default());
    let (end_line, end_column) = line_and_column(text, at + length);
    Finding {
        code: code.to_owned(),
        severity: Severity::Error,
        line,
        column,
        end_line,
        end_column,
        pointer: root.map(|root| pointer_of(root, at)).unwrap_or_default(),
        message,
        help,
    }
}

/// Bytes of the string, number or word at the beginning; of anything else one character.
fn token_length(rest: &str) -> usize {
    let mut chars = rest.char_indices();
    let first = chars.next().map_or(0, |(_, first)| first.len_utf8());
    if !rest.starts_with('"') {
        let ends = |c: char| c.is_whitespace() || ",:\"[]{}".contains(c);
        return rest.find(ends).unwrap_or(rest.len()).max(first);
    }
    let mut escaped = false;
    for (at, c) in chars {
        match c {
            '"' if !escaped => return at + 1,
            '\n' => return at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Reads a file's text, or says all that is wrong with it.
pub(super) fn read(text: &str) -> Result<Cases, Vec<Finding>> {
    let limits = ProfileLimits {
        // One byte less than is read of a file, so that a longer one is seen to be.
        document_bytes: usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX) - 1,
        depth: DEPTH,
        nodes: NODES,
        ..ProfileLimits::CALL
    };
    let json = parse(text.to_owned(), &limits).map_err(|error| {
        let what = ("TB-TEST-JSON", error.to_string(), None);
        vec![finding(text, None, error.at, what)]
    })?;
    let mut reader = Reader {
        json: &json,
        found: Vec::new(),
    };
    let cases = reader.file(json.root());
    let mut found = reader.found;
    match cases {
        Some(cases) if found.is_empty() => Ok(cases),
        Some(_) | None => {
            found.sort_by_key(|finding| (finding.line, finding.column));
            Err(found)
        }
    }
}

struct Reader<'d> {
    json: &'d Json,
    found: Vec<Finding>,
}

impl<'d> Reader<'d> {
    fn error(&mut self, code: &str, value: Value<'d>, message: String, help: Option<String>) {
        if self.found.len() < FINDINGS_MAX {
            let (text, root) = (self.json.text(), Some(self.json.root()));
            let what = (code, message, help);
            self.found.push(finding(text, root, value.offset(), what));
        }
    }

    /// The members of an object by their known names, the needed ones first.
    fn fields<const N: usize>(
        &mut self,
        object: Value<'d>,
        what: &str,
        known: [&'static str; N],
        needed: usize,
    ) -> Option<[Option<Value<'d>>; N]> {
        if object.kind() != Kind::Object {
            self.wrong_type(object, what, "an object");
            return None;
        }
        for (key, _) in object.entries() {
            let name = key.as_str().unwrap_or_default();
            if !known.contains(&&*name) {
                let help = nearest(&name, known.into_iter()).map_or_else(
                    || format!("its fields are `{}`", known.join("`, `")),
                    |near| format!("did you mean `{near}`?"),
                );
                let message = format!("{what} has no field `{}`", shown(&name, 60));
                self.error("TB-TEST-FIELD", key, message, Some(help));
            }
        }
        let found = known.map(|name| object.get(name));
        for (name, value) in known.iter().zip(&found).take(needed) {
            if value.is_none() {
                let message = format!("{what} needs a field `{name}`");
                self.error("TB-TEST-FIELD", object, message, None);
            }
        }
        Some(found)
    }

    fn wrong_type(&mut self, value: Value<'d>, what: &str, wanted: &str) {
        let message = format!("{what} must be {wanted}, not {}", value.kind().name());
        self.error("TB-TEST-VALUE", value, message, None);
    }

    fn text(&mut self, value: Value<'d>, what: &str) -> Option<Cow<'d, str>> {
        let text = value.as_str();
        if text.is_none() {
            self.wrong_type(value, what, "a string");
        }
        text
    }

    fn list(&mut self, value: Value<'d>, what: &str) -> Vec<Value<'d>> {
        if value.kind() != Kind::Array {
            self.wrong_type(value, what, "an array");
        } else if value.is_empty() {
            let message = format!("{what} must not be empty");
            self.error("TB-TEST-VALUE", value, message, None);
        }
        value.elements().collect()
    }

    fn file(&mut self, root: Value<'d>) -> Option<Cases> {
        let known = ["policy", "cases", "description"];
        let [policy, cases, description] = self.fields(root, "a file of cases", known, 2)?;
        if let Some(description) = description {
            self.text(description, "`description`")?;
        }
        let name = policy.and_then(|policy| self.text(policy, "`policy`"));
        if let (Some(policy), Some("")) = (policy, name.as_deref()) {
            let message = "`policy` must name a file".to_owned();
            self.error("TB-TEST-VALUE", policy, message, None);
        }
        let cases = cases.map(|cases| self.list(cases, "`cases`"));
        let cases = cases.unwrap_or_default();
        let cases = cases
            .into_iter()
            .filter_map(|case| self.case(case))
            .collect();
        Some(Cases {
            policy: name?.into_owned(),
            policy_at: policy?.offset(),
            cases,
        })
    }

    fn case(&mut self, value: Value<'d>) -> Option<Case> {
        let grouped = value.get("calls").is_some();
        let what = "a case";
        let (name, steps) = if grouped {
            let [name, calls] = self.fields(value, what, ["name", "calls"], 2)?;
            let calls = calls.map(|calls| self.list(calls, "`calls`"));
            let steps = calls.unwrap_or_default().into_iter().map(|step| {
                let known = ["call", "expect", "rule", "reason", "message"];
                let fields = self.fields(step, "a step of `calls`", known, 2)?;
                self.step(step, fields)
            });
            // All of them are read before the first that is wrong ends it, so that all is found.
            let steps: Vec<Option<Step>> = steps.collect();
            (name, steps.into_iter().collect::<Option<_>>())
        } else {
            let known = ["name", "call", "expect", "rule", "reason", "message"];
            let [name, call, expect, rule, reason, message] = self.fields(value, what, known, 3)?;
            let step = self.step(value, [call, expect, rule, reason, message]);
            (name, step.map(|step| vec![step]))
        };
        let name = name.and_then(|name| self.text(name, "`name`"));
        Some(Case {
            name: name?.into_owned(),
            line: self.line(value),
            steps: steps?,
        })
    }

    fn line(&self, value: Value<'d>) -> u32 {
        line_and_column(self.json.text(), value.offset()).0
    }

    fn step(&mut self, value: Value<'d>, fields: [Option<Value<'d>>; 5]) -> Option<Step> {
        let [call, expect, rule, reason, message] = fields;
        let call = call.and_then(|call| self.call(call));
        let verdict = expect.and_then(|expect| self.verdict(expect));
        let mut given = |value: Option<Value<'d>>, what| match value {
            Some(value) => self.text(value, what).map(|text| Some(text.into_owned())),
            None => Some(None),
        };
        let texts = (
            given(rule, "`rule`"),
            given(reason, "`reason`"),
            given(message, "`message`"),
        );
        let (Some(rule), Some(reason), Some(message)) = texts else {
            return None;
        };
        Some(Step {
            call: call?,
            line: self.line(value),
            expect: Expect {
                verdict: verdict?,
                rule,
                reason,
                message,
            },
        })
    }

    fn verdict(&mut self, value: Value<'d>) -> Option<&'static str> {
        let words = [ALLOW, DENY, MALFORMED];
        let given = self.text(value, "`expect`")?;
        let word = words.into_iter().find(|word| *word == given);
        if word.is_none() {
            let help =
                nearest(&given, words.into_iter()).map(|near| format!("did you mean `{near}`?"));
            let message = format!(
                "`expect` is `allow`, `deny` or `malformed`, not `{}`",
                shown(&given, 60)
            );
            self.error("TB-TEST-VALUE", value, message, help);
        }
        word
    }

    /// A call as an object, read strictly; or as the text that came, which may be no call.
    fn call(&mut self, value: Value<'d>) -> Option<Result<Call, Malformed>> {
        if let Some(text) = value.as_str() {
            return Some(Call::read(text.into_owned().into_bytes()));
        }
        if value.kind() != Kind::Object {
            let wanted = "an object, or the text of a call in a string";
            self.wrong_type(value, "`call`", wanted);
            return None;
        }
        let before = self.found.len();
        self.fields(value, "a call", ["tool", "arguments"], 1)?;
        if self.found.len() > before {
            return None;
        }
        let call = Call::read(value.raw().as_bytes().to_vec());
        if let Err(fault) = &call {
            let message = fault.line().message.unwrap_or_default();
            let help = "to expect `malformed`, give the call's text in a string".to_owned();
            self.error("TB-TEST-VALUE", value, message, Some(help));
            return None;
        }
        Some(call)
    }
}
