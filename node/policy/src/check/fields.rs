//! Reading members of objects: what is unknown, missing, `null` or of another type.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::finding::{Findings, code, nearest};
use crate::goregex::{self, GoRegex};
use crate::json::{Json, Kind, Value};
use crate::limits;

/// Goes through one document and gathers what is wrong.
pub(super) struct Checker<'d> {
    pub(super) findings: Findings<'d>,
    pub(super) rules: usize,
    pub(super) conditions: usize,
    /// Compiles all patterns, and knows what they cost so far.
    pub(super) regexes: goregex::Compiler,
    /// A pattern that stands in many rules is compiled once.
    pub(super) patterns: BTreeMap<String, Arc<GoRegex>>,
}

impl<'d> Checker<'d> {
    pub(super) fn new(json: &'d Json) -> Self {
        let findings = Findings::new(json.text(), json.root());
        Self {
            findings,
            rules: 0,
            conditions: 0,
            regexes: goregex::Compiler::new(goregex::Limits::default()),
            patterns: BTreeMap::new(),
        }
    }

    /// The members of an object by their known names; all others are errors. Not an object: an
    /// error, and no members. A member that is `null` is an error and reads as absent.
    pub(super) fn fields<const N: usize>(
        &mut self,
        object: Value<'d>,
        what: &str,
        known: [&'static str; N],
    ) -> Option<[Option<Value<'d>>; N]> {
        if object.kind() != Kind::Object {
            self.wrong_type(object, what, "an object");
            return None;
        }
        let mut found = [None; N];
        for (key, value) in object.entries() {
            let place = known.iter().position(|name| key.is_str(name));
            let Some(slot) = place.and_then(|place| found.get_mut(place)) else {
                self.unknown(key, what, &known);
                continue;
            };
            if value.is_null() {
                self.null(value);
            } else if slot.is_none() {
                *slot = Some(value);
            }
        }
        Some(found)
    }

    fn unknown(&mut self, key: Value<'d>, what: &str, known: &[&'static str]) {
        // A name that no policy can have is found already.
        if self.findings.has(code::PROFILE, key) {
            return;
        }
        let name = key.as_str().unwrap_or_default();
        let message = format!("{what} has no field `{}`", shortened(&name));
        let help = match nearest(&name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match field_alias(&name).filter(|alias| known.contains(alias)) {
                Some(alias) => format!("did you mean `{alias}`?"),
                None => format!("its fields are {}", list(known)),
            },
        };
        self.findings
            .error_with_help(code::UNKNOWN_FIELD, key, message, help);
    }

    pub(super) fn null(&mut self, value: Value<'d>) {
        let help = "leave the member out instead".into();
        let message = "`null` means nothing here".into();
        self.findings
            .error_with_help(code::NULL, value, message, help);
    }

    pub(super) fn missing(&mut self, object: Value<'d>, what: &str, name: &str) {
        let message = format!("{what} needs a field `{name}`");
        let help = match name {
            "version" => "add `\"version\": \"1\"`",
            "conditions" => "add `\"conditions\": [ {\"path\": …, \"op\": …, \"value\": …} ]`",
            "path" => "add what it looks at, such as `\"path\": \"args.amount\"`",
            "op" => "add how it compares, such as `\"op\": \"lte\"`",
            "counter" => "add a name for what is counted, such as `\"counter\": \"posts\"`",
            "window" => "add `\"window\"`: `minute`, `hour`, `day` or `month`",
            "scope" => "add `\"scope\"`: `grant`, `policy`, `server` or `owner`",
            "max" => "add what the counter may never pass, such as `\"max\": 20`",
            "level" => "add `\"level\"`: `keys`, `commit` or `sealed`",
            _ => "add it",
        };
        self.findings
            .error_with_help(code::MISSING_FIELD, object, message, help.into());
    }

    pub(super) fn wrong_type(&mut self, value: Value<'d>, what: &str, wanted: &str) {
        if value.is_null() {
            return self.null(value);
        }
        let message = format!("{what} must be {wanted}, not {}", value.kind().name());
        self.findings.error(code::TYPE, value, message);
    }

    /// A string.
    pub(super) fn text(&mut self, value: Value<'d>, what: &str) -> Option<Cow<'d, str>> {
        let text = value.as_str();
        if text.is_none() {
            self.wrong_type(value, what, "a string");
        }
        text
    }

    /// What the agent reads when it is denied.
    pub(super) fn message(&mut self, value: Value<'d>, what: &str) -> Option<Box<str>> {
        let text = self.text(value, what)?;
        self.within(
            text.len(),
            limits::MESSAGE_BYTES,
            code::MESSAGE_LIMIT,
            value,
            what,
        );
        Some(text.into())
    }

    /// A name, or a key that is one: not empty, not too long.
    pub(super) fn name(
        &mut self,
        value: Value<'d>,
        what: &str,
        limit: usize,
    ) -> Option<Cow<'d, str>> {
        let name = self.text(value, what)?;
        if name.is_empty() {
            self.findings
                .error(code::EMPTY_NAME, value, format!("{what} must not be empty"));
            return None;
        }
        self.within(name.len(), limit, code::NAME_LIMIT, value, what)
            .then_some(name)
    }

    /// The elements of an array that is not empty.
    pub(super) fn list(&mut self, value: Value<'d>, what: &str) -> Vec<Value<'d>> {
        if value.kind() != Kind::Array {
            self.wrong_type(value, what, "an array");
            return Vec::new();
        }
        if value.is_empty() {
            self.findings
                .error(code::EMPTY_LIST, value, format!("{what} must not be empty"));
        }
        value.elements().collect()
    }

    /// A list of names, none of them twice.
    pub(super) fn names(&mut self, value: Value<'d>, what: &str) -> Vec<(Value<'d>, Box<str>)> {
        let mut names: Vec<(Value<'d>, Box<str>)> = Vec::new();
        for element in self.list(value, what) {
            let item = format!("a name in {what}");
            if let Some(name) = self.name(element, &item, limits::NAME_BYTES) {
                names.push((element, name.into()));
            }
        }
        let mut sorted: Vec<&(Value<'d>, Box<str>)> = names.iter().collect();
        sorted.sort_by(|(_, one), (_, two)| one.cmp(two));
        let twice = sorted
            .array_windows()
            .filter(|[(_, one), (_, two)]| one == two);
        for [_, (again, name)] in twice {
            let message = format!("`{}` is in {what} twice", shortened(name));
            self.findings.error(code::TWICE, *again, message);
        }
        names
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        value: Value<'d>,
        what: &str,
        code: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let given = self.text(value, what)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
            return Some(*meaning);
        }
        let names: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("{what} is {}, not `{}`", list_or(&names), shortened(&given));
        let near = nearest(&given, &names).or_else(|| word_alias(&given));
        match near.filter(|near| names.contains(near)) {
            Some(near) => {
                let help = format!("did you mean `{near}`?");
                self.findings.error_with_help(code, value, message, help);
            }
            None => self.findings.error(code, value, message),
        }
        None
    }

    /// Whether `size` is within a limit; else an error that names it.
    pub(super) fn within(
        &mut self,
        size: usize,
        limit: usize,
        code: &'static str,
        value: Value<'d>,
        what: &str,
    ) -> bool {
        if size > limit {
            let message = format!("{what} is over its limit of {limit} bytes");
            self.findings.error(code, value, message);
        }
        size <= limit
    }
}

/// The field that other policy languages call so.
fn field_alias(name: &str) -> Option<&'static str> {
    Some(match name {
        "allow_if" | "must" | "when" | "allow" | "if" => "require",
        "block_if" | "forbid" | "deny_when" | "block" => "deny_if",
        "field" | "arg" | "argument" | "key" | "selector" => "path",
        "operator" | "operation" | "comparison" | "matcher" => "op",
        "values" | "pattern" | "equals" | "expected" => "value",
        "message" | "reason" | "error" => "on_deny",
        "condition" | "all" | "where" | "match" => "conditions",
        "period" | "per" | "interval" => "window",
        "limit" | "count" | "maximum" | "quota" => "max",
        "rate_limit" | "rate_limits" | "quotas" => "limits",
        "name" => "counter",
        "hidden" | "exclude" => "hide",
        _ => return None,
    })
}

/// The word that other policy languages call so.
fn word_alias(word: &str) -> Option<&'static str> {
    Some(match word {
        "permit" | "accept" | "pass" | "yes" => "allow",
        "block" | "reject" | "refuse" | "forbid" | "drop" | "no" => "deny",
        "1m" | "60s" | "min" | "minutely" => "minute",
        "1h" | "60m" | "hourly" => "hour",
        "1d" | "24h" | "daily" => "day",
        "30d" | "monthly" => "month",
        "user" | "person" | "agent" | "account" => "owner",
        "token" | "session" | "client" => "grant",
        "global" | "upstream" => "server",
        "none" | "names" => "keys",
        "hash" | "hashed" | "digest" => "commit",
        "encrypted" | "full" | "values" => "sealed",
        _ => return None,
    })
}

/// What someone gave, short enough for a message and safe for a terminal.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown = String::new();
    for c in text.chars().take(SHOWN) {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// What someone gave, in backticks.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

pub(super) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn list_or(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or `{last}`", list(rest)),
        Some(_) | None => list(names),
    }
}
