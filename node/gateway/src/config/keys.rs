//! Every key of `tollbook.toml`: its section, its kind, where its value lives.

use std::fmt;
use std::time::Duration;

use super::{Address, Config, Given, LogFormat, read_duration, read_size};
use super::{write_duration, write_size};

/// One key.
#[derive(Debug)]
pub struct Key {
    /// `[section]`.
    pub section: &'static str,
    /// Its name within the section.
    pub name: &'static str,
    pub(super) value: Value,
}

/// The kind of a key's value, and its place in a [`Config`].
#[derive(Debug)]
pub(super) enum Value {
    Address(fn(&mut Config) -> &mut Address),
    Count(fn(&mut Config) -> &mut usize),
    Count32(fn(&mut Config) -> &mut u32),
    Format(fn(&mut Config) -> &mut LogFormat),
    List(fn(&mut Config) -> &mut Vec<String>, Words),
    OptionAddress(fn(&mut Config) -> &mut Option<Address>),
    OptionBytes(fn(&mut Config) -> &mut Option<u64>),
    OptionText(fn(&mut Config) -> &mut Option<String>, Words),
    Size(fn(&mut Config) -> &mut usize),
    Text(fn(&mut Config) -> &mut String, Words),
    Time(fn(&mut Config) -> &mut Duration),
}

/// What a text may be.
#[derive(Debug)]
pub(super) struct Words {
    good: fn(&str) -> bool,
    wanted: &'static str,
}

const SIZE_MAX: usize = 1 << 30;
const COUNT_MAX: usize = 1 << 20;
const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

const HOST: Words = Words {
    good: is_host,
    wanted: "names without a port, like `gate.example` or `::1`",
};
const LEVEL: Words = Words {
    good: |text| !text.is_empty(),
    wanted: "a level such as `info`",
};
const NAME: Words = Words {
    good: is_name,
    wanted: "1 to 64 letters, digits, `.`, `-` or `_`, such as `node-1`",
};
const ORIGIN: Words = Words {
    good: is_origin,
    wanted: "origins like `https://app.example`",
};
const LOG_ORIGIN: Words = Words {
    good: is_log_origin,
    wanted: "a name without spaces or `+`, such as `acme.example/tollbook/<uuid>`",
};
const PUBLIC_URL: Words = Words {
    good: is_origin,
    wanted: "an URL without a path, such as `https://gate.example`",
};

/// All keys, a section's together.
pub const KEYS: &[Key] = &[
    key("listen", "data", Value::Address(|c| &mut c.listen.data)),
    key("listen", "admin", Value::Address(|c| &mut c.listen.admin)),
    key("listen", "peer", Value::Address(|c| &mut c.listen.peer)),
    key(
        "listen",
        "advertise_peer",
        Value::OptionAddress(|c| &mut c.listen.advertise_peer),
    ),
    key("node", "id", Value::Count32(|c| &mut c.node.id)),
    key("node", "name", Value::Text(|c| &mut c.node.name, NAME)),
    key(
        "cluster",
        "origin",
        Value::Text(|c| &mut c.cluster.origin, LOG_ORIGIN),
    ),
    key(
        "http",
        "allowed_hosts",
        Value::List(|c| &mut c.http.allowed_hosts, HOST),
    ),
    key(
        "http",
        "allowed_origins",
        Value::List(|c| &mut c.http.allowed_origins, ORIGIN),
    ),
    key(
        "http",
        "public_url",
        Value::OptionText(|c| &mut c.http.public_url, PUBLIC_URL),
    ),
    key("log", "level", Value::Text(|c| &mut c.log.level, LEVEL)),
    key("log", "format", Value::Format(|c| &mut c.log.format)),
    key(
        "limits",
        "body_bytes",
        Value::Size(|c| &mut c.limits.body_bytes),
    ),
    key(
        "limits",
        "reply_bytes",
        Value::Size(|c| &mut c.limits.reply_bytes),
    ),
    key(
        "limits",
        "event_bytes",
        Value::Size(|c| &mut c.limits.event_bytes),
    ),
    key(
        "limits",
        "head_bytes",
        Value::Size(|c| &mut c.limits.head_bytes),
    ),
    key("limits", "headers", Value::Count(|c| &mut c.limits.headers)),
    key("limits", "calls", Value::Count(|c| &mut c.limits.calls)),
    key(
        "limits",
        "connections",
        Value::Count(|c| &mut c.limits.connections),
    ),
    key(
        "limits",
        "upstream_connections",
        Value::Count(|c| &mut c.limits.upstream_connections),
    ),
    key(
        "limits",
        "policy_bytes",
        Value::Size(|c| &mut c.limits.policy_bytes),
    ),
    key(
        "limits",
        "refusals_per_second",
        Value::Count32(|c| &mut c.limits.refusals_per_second),
    ),
    key(
        "limits",
        "refusals_burst",
        Value::Count32(|c| &mut c.limits.refusals_burst),
    ),
    key("limits", "sources", Value::Count(|c| &mut c.limits.sources)),
    key(
        "limits",
        "decisions",
        Value::Count32(|c| &mut c.limits.decisions),
    ),
    key(
        "limits",
        "disk_reserve",
        Value::OptionBytes(|c| &mut c.limits.disk_reserve),
    ),
    key(
        "deadlines",
        "admit",
        Value::Time(|c| &mut c.deadlines.admit),
    ),
    key("deadlines", "call", Value::Time(|c| &mut c.deadlines.call)),
    key(
        "deadlines",
        "outcome",
        Value::Time(|c| &mut c.deadlines.outcome),
    ),
    key(
        "deadlines",
        "settle",
        Value::Time(|c| &mut c.deadlines.settle),
    ),
    key(
        "deadlines",
        "drain",
        Value::Time(|c| &mut c.deadlines.drain),
    ),
    key("deadlines", "head", Value::Time(|c| &mut c.deadlines.head)),
    key("deadlines", "body", Value::Time(|c| &mut c.deadlines.body)),
    key(
        "deadlines",
        "connect",
        Value::Time(|c| &mut c.deadlines.connect),
    ),
];

const fn key(section: &'static str, name: &'static str, value: Value) -> Key {
    Key {
        section,
        name,
        value,
    }
}

impl Key {
    /// The environment variable that overrides it.
    pub fn variable(&self) -> String {
        format!("TOLLBOOK_{}_{}", self.section, self.name).to_ascii_uppercase()
    }

    /// Its value as TOML; none where an optional one is not set.
    pub(super) fn written(&self, config: &mut Config) -> Option<String> {
        match &self.value {
            Value::Address(slot) => Some(quoted(&slot(config).to_string())),
            Value::Count(slot) => Some(slot(config).to_string()),
            Value::Count32(slot) => Some(slot(config).to_string()),
            Value::Format(slot) => Some(quoted(slot(config).name())),
            Value::List(slot, _) => {
                let items: Vec<String> = slot(config).iter().map(|item| quoted(item)).collect();
                Some(format!("[{}]", items.join(", ")))
            }
            Value::OptionAddress(slot) => slot(config).as_ref().map(|a| quoted(&a.to_string())),
            Value::OptionBytes(slot) => slot(config).map(|bytes| quoted(&write_size(bytes))),
            Value::OptionText(slot, _) => slot(config).as_deref().map(quoted),
            Value::Size(slot) => Some(quoted(&write_size(
                u64::try_from(*slot(config)).unwrap_or(u64::MAX),
            ))),
            Value::Text(slot, _) => Some(quoted(slot(config))),
            Value::Time(slot) => Some(quoted(&write_duration(*slot(config)))),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section, self.name)
    }
}

impl Config {
    /// Sets `key`. The error says what the key wants.
    pub(super) fn set(&mut self, key: &Key, given: &Given<'_>) -> Result<(), &'static str> {
        match &key.value {
            Value::Address(slot) => *slot(self) = address(given)?,
            Value::Count(slot) => *slot(self) = count(given)?,
            Value::Count32(slot) => {
                *slot(self) = u32::try_from(count(given)?).map_err(|_| WANTED_COUNT)?;
            }
            Value::Format(slot) => {
                *slot(self) = text(given)
                    .and_then(LogFormat::named)
                    .ok_or("`text` or `json`")?;
            }
            Value::List(slot, words) => *slot(self) = list(given, words)?,
            Value::OptionAddress(slot) => *slot(self) = Some(address(given)?),
            Value::OptionBytes(slot) => {
                *slot(self) = Some(bytes(given).ok_or(WANTED_SIZE)?);
            }
            Value::OptionText(slot, words) => *slot(self) = Some(word(given, words)?),
            Value::Size(slot) => {
                *slot(self) = bytes(given)
                    .and_then(|bytes| usize::try_from(bytes).ok())
                    .filter(|bytes| (1..=SIZE_MAX).contains(bytes))
                    .ok_or(WANTED_SIZE)?;
            }
            Value::Text(slot, words) => *slot(self) = word(given, words)?,
            Value::Time(slot) => {
                // No wait may be nothing: every call would be past its deadline.
                *slot(self) = text(given)
                    .and_then(read_duration)
                    .filter(|time| !time.is_zero() && *time <= TIME_MAX)
                    .ok_or("a time from 1ms to 7d, such as `30s`")?;
            }
        }
        Ok(())
    }
}

impl LogFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }

    fn named(text: &str) -> Option<Self> {
        [Self::Json, Self::Text]
            .into_iter()
            .find(|format| format.name() == text)
    }
}

/// Whether a section of this name exists.
pub(super) fn section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section == name)
}

/// All sections, in the table's order.
pub(super) fn sections() -> Vec<&'static str> {
    let mut all: Vec<&'static str> = KEYS.iter().map(|key| key.section).collect();
    all.dedup();
    all
}

/// The keys of a section.
pub(super) fn names(section: &str) -> Vec<&'static str> {
    KEYS.iter()
        .filter(|key| key.section == section)
        .map(|key| key.name)
        .collect()
}

pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.section == section && key.name == name)
}

const WANTED_COUNT: &str = "a whole number from 1 to 1048576";
const WANTED_SIZE: &str = "a size from 1B to 1GiB, such as `4MiB`";

fn address(given: &Given<'_>) -> Result<Address, &'static str> {
    text(given)
        .and_then(Address::parse)
        .ok_or("HOST:PORT, such as `127.0.0.1:7300`")
}

fn bytes(given: &Given<'_>) -> Option<u64> {
    match given {
        Given::Text(text) | Given::Whole(text) => read_size(text),
        Given::List(_) | Given::Odd => None,
    }
}

fn count(given: &Given<'_>) -> Result<usize, &'static str> {
    let number = match given {
        Given::Whole(text) => text.parse().ok(),
        Given::List(_) | Given::Odd | Given::Text(_) => None,
    };
    number
        .filter(|count| (1..=COUNT_MAX).contains(count))
        .ok_or(WANTED_COUNT)
}

fn list(given: &Given<'_>, words: &Words) -> Result<Vec<String>, &'static str> {
    match given {
        Given::List(items) if items.iter().all(|item| (words.good)(item)) => {
            Ok(items.iter().map(|item| (*item).to_owned()).collect())
        }
        Given::List(_) | Given::Odd | Given::Text(_) | Given::Whole(_) => Err(words.wanted),
    }
}

fn text<'a>(given: &Given<'a>) -> Option<&'a str> {
    match given {
        Given::Text(text) => Some(text),
        Given::List(_) | Given::Odd | Given::Whole(_) => None,
    }
}

fn word(given: &Given<'_>, words: &Words) -> Result<String, &'static str> {
    text(given)
        .filter(|text| (words.good)(text))
        .map(str::to_owned)
        .ok_or(words.wanted)
}

fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = !text.is_empty() && text.chars().all(plain);
    name || text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Whether `text` may name a node, a server, a grant or a policy.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn is_origin(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    // With a port or without: `Address` wants one.
    rest.is_some_and(|rest| {
        Address::parse(rest)
            .or_else(|| Address::parse(&format!("{rest}:80")))
            .is_some()
    })
}

/// C2SP names are non-empty and hold neither white space nor `+`.
pub fn is_log_origin(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'+' && byte != b'"' && byte != b'\\';
    (1..=200).contains(&text.len()) && text.bytes().all(plain)
}

/// A TOML basic string. No value that gets here holds a quote, a backslash or a control character,
/// but a log filter may: those are escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
