//! A document as `serde_json` reads it, with the text of every number and every member in place.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use tollbook_policy::json::{Kind, Value};

/// A value of a document. Shares no code with the readers that it is held against.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// Elements in order.
    Array(Vec<Self>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
    /// A number as it is written.
    Number(String),
    /// Members in order, the same key as often as it is there.
    Object(Vec<(String, Self)>),
    /// A string without its escapes.
    Text(String),
}

/// How to write a document anew, so that nothing but its meaning stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Every character of strings and keys escaped, members backwards, white space everywhere.
    Odd,
    /// As little as JSON allows.
    Plain,
}

impl Tree {
    /// Reads a document whose arrays and objects lie at most `depth` inside one another.
    pub fn read(text: &str, depth: u32) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        Self::of(raw.get(), depth)
    }

    fn of(text: &str, depth: u32) -> Option<Self> {
        Some(match text.bytes().next()? {
            b'{' => {
                let depth = depth.checked_sub(1)?;
                let members: Members<'_> = serde_json::from_str(text).ok()?;
                let members = members.0.into_iter();
                let read = members.map(|(key, value)| Some((key, Self::of(value.get(), depth)?)));
                Self::Object(read.collect::<Option<_>>()?)
            }
            b'[' => {
                let depth = depth.checked_sub(1)?;
                let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let read = elements
                    .into_iter()
                    .map(|value| Self::of(value.get(), depth));
                Self::Array(read.collect::<Option<_>>()?)
            }
            b'"' => Self::Text(serde_json::from_str(text).ok()?),
            b't' | b'f' => Self::Bool(serde_json::from_str(text).ok()?),
            b'n' => Self::Null,
            _ => Self::Number(text.to_owned()),
        })
    }

    /// A document as our own reader sees it.
    ///
    /// # Panics
    /// If the reader gives no text where it says that there is one.
    pub fn of_ours(value: Value<'_>) -> Self {
        let text = |value: Value<'_>| value.as_str().expect("a string").into_owned();
        match value.kind() {
            Kind::Array => Self::Array(value.elements().map(Self::of_ours).collect()),
            Kind::Bool => Self::Bool(value.as_bool().expect("a boolean")),
            Kind::Null => Self::Null,
            Kind::Number => Self::Number(value.number_text().expect("a number").to_owned()),
            Kind::Object => {
                let members = value.entries();
                let read = members.map(|(key, value)| (text(key), Self::of_ours(value)));
                Self::Object(read.collect())
            }
            Kind::String => Self::Text(text(value)),
        }
    }

    /// The member of this name: the last one, as most servers read it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        let named = |member: &&(String, Self)| member.0 == key;
        members.iter().rev().find(named).map(|(_, value)| value)
    }

    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Array(_) | Self::Bool(_) | Self::Null | Self::Number(_) | Self::Object(_) => None,
        }
    }

    /// Elements of an array; none of anything else.
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::Array(elements) => elements,
            Self::Bool(_) | Self::Null | Self::Number(_) | Self::Object(_) | Self::Text(_) => &[],
        }
    }

    /// Members of an object; none of anything else.
    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            Self::Array(_) | Self::Bool(_) | Self::Null | Self::Number(_) | Self::Text(_) => &[],
        }
    }

    /// What an RFC 6901 pointer names.
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |value, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            let element = || value.elements().get(token.parse::<usize>().ok()?);
            value.get(&token).or_else(element)
        })
    }

    /// Whether the strict profile has nothing against it, but for what only size can break.
    pub fn is_unambiguous(&self) -> bool {
        match self {
            Self::Array(elements) => elements.iter().all(Self::is_unambiguous),
            Self::Bool(_) | Self::Null | Self::Text(_) => true,
            Self::Number(text) => every_server_holds(text),
            Self::Object(members) => {
                let keys: BTreeSet<&str> = members.iter().map(|(key, _)| &**key).collect();
                keys.len() == members.len()
                    && !keys.contains("__proto__")
                    && !keys.iter().any(|key| key.contains(char::is_control))
                    && members.iter().all(|(_, value)| value.is_unambiguous())
            }
        }
    }

    /// Writes it anew.
    pub fn write(&self, spelling: Spelling) -> String {
        let mut into = String::new();
        self.write_into(&mut into, spelling);
        into
    }

    fn write_into(&self, into: &mut String, spelling: Spelling) {
        let odd = spelling == Spelling::Odd;
        let space = if odd { "\n\t" } else { "" };
        match self {
            Self::Array(elements) => {
                into.push('[');
                for (index, element) in elements.iter().enumerate() {
                    into.push_str(if index == 0 { space } else { "," });
                    element.write_into(into, spelling);
                }
                into.push(']');
            }
            Self::Bool(true) => into.push_str("true"),
            Self::Bool(false) => into.push_str("false"),
            Self::Null => into.push_str("null"),
            Self::Number(text) => into.push_str(text),
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if odd {
                    members.reverse();
                }
                into.push('{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    into.push_str(if index == 0 { space } else { "," });
                    write_text(key, into, odd);
                    into.push_str(space);
                    into.push(':');
                    value.write_into(into, spelling);
                    into.push_str(space);
                }
                into.push('}');
            }
            Self::Text(text) => write_text(text, into, odd),
        }
    }
}

fn write_text(text: &str, into: &mut String, odd: bool) {
    into.push('"');
    for c in text.chars() {
        if odd || matches!(c, '"' | '\\' | '\0'..='\u{1f}') {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                into.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            into.push(c);
        }
    }
    into.push('"');
}

/// Integers in 64 bits; others in binary64, neither infinite nor zero without being it.
fn every_server_holds(text: &str) -> bool {
    if text.len() > 1_024 {
        return false;
    }
    if !text.contains(['.', 'e', 'E']) {
        return text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok();
    }
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !digits.contains(|c: char| ('1'..='9').contains(&c));
    let binary: f64 = text
        .parse()
        .expect("JSON writes numbers as Rust reads them");
    binary.is_finite() && (binary == 0.0) == is_zero
}

/// Members of one object, none lost.
struct Members<'d>(Vec<(String, &'d RawValue)>);

impl<'d> Deserialize<'d> for Members<'d> {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'d> Visitor<'d> for InOrder {
    type Value = Members<'d>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
