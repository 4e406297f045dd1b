//! `tollbook.toml`: one table of keys, which the file and the environment are both read by.
//!
//! Precedence: flag, then environment (`TOLLBOOK_<SECTION>_<KEY>`), then file, then default. A key
//! that nobody knows is refused, with the nearest one that exists.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::limits::{Deadlines, Limits};
use crate::near::nearest;

mod keys;
mod units;

pub use keys::{KEYS, Key, is_log_origin, is_name};
pub use units::{read_duration, read_size, write_duration, write_size};

/// What a node is told: by its file, the environment, and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[listen]`.
    pub listen: Listen,
    /// `[node]`.
    pub node: NodeNames,
    /// `[cluster]`.
    pub cluster: ClusterNames,
    /// `[http]`.
    pub http: Http,
    /// `[log]`.
    pub log: Log,
    /// `[limits]`.
    pub limits: Limits,
    /// `[deadlines]`.
    pub deadlines: Deadlines,
}

/// Where the node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Clients' calls.
    pub data: Address,
    /// The admin API.
    pub admin: Address,
    /// Other nodes.
    pub peer: Address,
    /// What other nodes are told to reach this one by; none: `peer`.
    pub advertise_peer: Option<Address>,
}

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNames {
    /// Number of the node within its cluster; never used again for another.
    pub id: u32,
    /// What people call it.
    pub name: String,
}

/// Which cluster, and so which log, this node belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNames {
    /// The log's C2SP origin line, `<name>/tollbook/<cluster uuid>`.
    pub origin: String,
}

/// What the HTTP listeners accept beside their own names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Values of `Host` (with or without port) that are taken, beside loopback names and the
    /// listeners' own addresses.
    pub allowed_hosts: Vec<String>,
    /// Values of `Origin` that are taken. A request without `Origin` is no browser's.
    pub allowed_origins: Vec<String>,
    /// How clients reach the data plane, where that is not its listening address.
    pub public_url: Option<String>,
}

/// What the program says about itself on stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level or filter, as `info` or `warn,tollbook_node=debug`.
    pub level: String,
    /// One line a message for people, or one JSON object.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `HOST:PORT`; the host a name, an IPv4 address or an IPv6 address in brackets. Port 0 is any
/// free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file and the environment together make no sense.
    #[error("{place}: `{key}` is the same address as `{other}`; give each listener its own port")]
    AddressTwice {
        /// File, or where both came from.
        place: Place,
        /// The later key.
        key: &'static str,
        /// The earlier key.
        other: &'static str,
    },
    /// A required key is neither in the file nor in the environment.
    #[error("{place}: `{key}` is missing; `tollbook init` writes it")]
    Missing {
        /// The file.
        place: Place,
        /// The key with its section.
        key: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read `{path}`; check that it exists and that this user may read it")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{place}: not valid TOML: {message}; correct that line")]
    Syntax {
        /// File and line.
        place: Place,
        /// The parser's words.
        message: String,
    },
    /// A key or section that nobody knows.
    #[error("{place}: unknown {what} `{found}`; {advice}")]
    Unknown {
        /// File and line.
        place: Place,
        /// `section` or `key`.
        what: &'static str,
        /// As it is written.
        found: String,
        /// The nearest that exists, or all that do.
        advice: String,
    },
    /// A key is known, its value is not of its kind.
    #[error("{place}: `{key}` cannot be `{found}`; give {wanted}")]
    Value {
        /// File and line, or the variable.
        place: Place,
        /// The key with its section.
        key: String,
        /// As it is written.
        found: String,
        /// What it may be, with an example.
        wanted: &'static str,
    },
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, and the line within it where one is to blame.
    File {
        /// As the user named it.
        path: String,
        /// From 1.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
}

/// What a key's value is, wherever it was written.
enum Given<'a> {
    Text(&'a str),
    Whole(&'a str),
    List(Vec<&'a str>),
    /// A kind that no key has.
    Odd,
}

impl Config {
    /// Reads `path`, then lets the environment (by `variable`) override it.
    pub fn load(
        path: &Path,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: name.clone(),
            source,
        })?;
        Self::read(&name, &text, variable)
    }

    /// As [`Config::load`], of the text of a file called `name`.
    pub fn read(
        name: &str,
        text: &str,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let place = |at: usize| Place::File {
            path: name.to_owned(),
            line: Some(line(text, at)),
        };
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: place(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        for (section, body) in table.get_ref() {
            let at = place(section.span().start);
            let Some(body) = body
                .get_ref()
                .as_table()
                .filter(|_| keys::section(section.get_ref()))
            else {
                return Err(unknown(at, "section", section.get_ref(), &keys::sections()));
            };
            config.section(section.get_ref(), body, &place)?;
        }
        config.environment(variable)?;
        config.sensible(name)
    }

    fn section(
        &mut self,
        section: &str,
        body: &DeTable<'_>,
        place: &dyn Fn(usize) -> Place,
    ) -> Result<(), ConfigError> {
        for (name, value) in body {
            let Some(key) = keys::find(section, name.get_ref()) else {
                let at = place(name.span().start);
                return Err(unknown(at, "key", name.get_ref(), &keys::names(section)));
            };
            self.set(key, &given(value.get_ref()))
                .map_err(|wanted| ConfigError::Value {
                    place: place(value.span().start),
                    key: key.to_string(),
                    found: shown(value),
                    wanted,
                })?;
        }
        Ok(())
    }

    fn environment(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), ConfigError> {
        for key in KEYS {
            let name = key.variable();
            let Some(value) = variable(&name) else {
                continue;
            };
            let text = value.to_string_lossy();
            let given = match key.value {
                keys::Value::Count(_) | keys::Value::Count32(_) => Given::Whole(&text),
                keys::Value::List(..) => Given::List(
                    text.split(',')
                        .map(str::trim)
                        .filter(|s| !s.is_empty())
                        .collect(),
                ),
                keys::Value::Address(_)
                | keys::Value::Format(_)
                | keys::Value::OptionAddress(_)
                | keys::Value::OptionBytes(_)
                | keys::Value::OptionText(..)
                | keys::Value::Size(_)
                | keys::Value::Text(..)
                | keys::Value::Time(_) => Given::Text(&text),
            };
            self.set(key, &given).map_err(|wanted| ConfigError::Value {
                place: Place::Variable(name),
                key: key.to_string(),
                found: text.clone().into_owned(),
                wanted,
            })?;
        }
        Ok(())
    }

    /// What no single key can be blamed for.
    fn sensible(self, name: &str) -> Result<Self, ConfigError> {
        let place = || Place::File {
            path: name.to_owned(),
            line: None,
        };
        if self.node.id == 0 {
            return Err(ConfigError::Missing {
                place: place(),
                key: "node.id",
            });
        }
        if self.cluster.origin.is_empty() {
            return Err(ConfigError::Missing {
                place: place(),
                key: "cluster.origin",
            });
        }
        if self.listen.data == self.listen.admin && self.listen.data.port != 0 {
            let (key, other) = ("listen.admin", "listen.data");
            return Err(ConfigError::AddressTwice {
                place: place(),
                key,
                other,
            });
        }
        Ok(self)
    }

    /// The text of a new node's file. Reading it back gives `self`.
    pub fn write(&self) -> String {
        let defaults = Self::default();
        let mut text = String::from(
            "# A node's configuration. Sections [limits], [deadlines], [http] and [log] may be\n\
             # added; each key may also be set as TOLLBOOK_<SECTION>_<KEY>.\n",
        );
        let mut open = "";
        for key in KEYS {
            let (mut now, mut usual) = (self.clone(), defaults.clone());
            let value = key.written(&mut now);
            let always = matches!(key.section, "listen" | "node" | "cluster");
            let Some(value) =
                value.filter(|v| always || Some(v) != key.written(&mut usual).as_ref())
            else {
                continue;
            };
            if open != key.section {
                open = key.section;
                text = text + "\n[" + open + "]\n";
            }
            text = text + key.name + " = " + &value + "\n";
        }
        text
    }
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| Address {
            host: "127.0.0.1".to_owned(),
            port,
        };
        Self {
            listen: Listen {
                data: local(7300),
                admin: local(7301),
                peer: local(7302),
                advertise_peer: None,
            },
            node: NodeNames {
                id: 0,
                name: "node".to_owned(),
            },
            cluster: ClusterNames {
                origin: String::new(),
            },
            http: Http::default(),
            // Below a warning, openraft tells of its own inner life.
            log: Log {
                level: "info,openraft=warn".to_owned(),
                format: LogFormat::Text,
            },
            limits: Limits::default(),
            deadlines: Deadlines::default(),
        }
    }
}

impl Address {
    /// Reads `HOST:PORT`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        // `u16::from_str` takes a sign.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let port = port.parse().ok()?;
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let good = match bare {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                !host.is_empty() && host.len() <= 253 && host.chars().all(letter)
            }
        };
        good.then(|| Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The host as it was written; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 asks for any free one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let ip = bare.parse::<std::net::IpAddr>();
        bare.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl ConfigError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AddressTwice { .. } => "TB-CONFIG-ADDRESS",
            Self::Missing { .. } => "TB-CONFIG-MISSING",
            Self::Read { .. } => "TB-CONFIG-READ",
            Self::Syntax { .. } => "TB-CONFIG-SYNTAX",
            Self::Unknown { .. } => "TB-CONFIG-UNKNOWN",
            Self::Value { .. } => "TB-CONFIG-VALUE",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{path}:{line}"),
            Self::File { path, line: None } => f.write_str(path),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// The line of byte `at`, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn unknown(place: Place, what: &'static str, found: &str, known: &[&str]) -> ConfigError {
    let advice = match nearest(found, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    ConfigError::Unknown {
        place,
        what,
        found: found.to_owned(),
        advice,
    }
}

fn given<'a>(value: &'a DeValue<'_>) -> Given<'a> {
    match value {
        DeValue::Array(items) => {
            let texts: Option<Vec<&str>> =
                items.iter().map(|item| item.get_ref().as_str()).collect();
            texts.map_or(Given::Odd, Given::List)
        }
        DeValue::Integer(whole) if whole.radix() == 10 => Given::Whole(whole.as_str()),
        DeValue::String(text) => Given::Text(text),
        DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Float(_)
        | DeValue::Integer(_)
        | DeValue::Table(_) => Given::Odd,
    }
}

fn shown(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(whole) => whole.as_str().to_owned(),
        DeValue::Float(float) => float.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests;
