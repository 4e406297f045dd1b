//! JSON-RPC ids.

use std::mem;

use serde_json::value::RawValue;

use tollbook_policy::json::{Kind, Value};

/// An id: a string or a whole number, kept as it was written, since a number beyond 2^53 would not
/// survive any number type that every peer has.
#[derive(Clone, Debug)]
pub struct Id {
    token: String,
    /// What the string means; None for a number.
    text: Option<String>,
}

/// Memory of ids that are done with.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    token: String,
    text: String,
}

/// The text, in the memory that `spare` has.
pub(crate) fn refilled(spare: &mut String, text: &str) -> String {
    let mut filled = mem::take(spare);
    filled.clear();
    filled.push_str(text);
    filled
}

impl Id {
    /// The id as it was written: a JSON string with its quotes, or digits.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Reads an id of the strict parser's.
    pub(crate) fn of_value(value: Value<'_>) -> Option<Self> {
        Self::of_value_in(value, &mut Spare::default())
    }

    /// The same, in memory that is there already.
    pub(crate) fn of_value_in(value: Value<'_>, spare: &mut Spare) -> Option<Self> {
        let raw = value.raw();
        let text = match value.kind() {
            Kind::String => Some(value.as_str()?),
            Kind::Number if is_integer(raw) => None,
            Kind::Number | Kind::Null | Kind::Bool | Kind::Array | Kind::Object => return None,
        };
        let text = text.map(|text| refilled(&mut spare.text, &text));
        let token = refilled(&mut spare.token, raw);
        Some(Self { token, text })
    }

    /// Leaves its memory for the next one.
    pub(crate) fn recycle(self, spare: &mut Spare) {
        spare.token = self.token;
        if let Some(text) = self.text {
            spare.text = text;
        }
    }

    /// Reads an id of an upstream's message.
    pub(crate) fn of_raw(raw: &RawValue) -> Option<Self> {
        let token = raw.get().to_owned();
        if token.starts_with('"') {
            let text = serde_json::from_str(&token).ok()?;
            return Some(Self {
                token,
                text: Some(text),
            });
        }
        is_integer(&token).then_some(Self { token, text: None })
    }
}

/// By meaning: escapes resolved, the two zeros the same; a number is never a string.
impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        let number = |id: &Self| {
            if id.token == "-0" {
                "0".to_owned()
            } else {
                id.token.clone()
            }
        };
        match (&self.text, &other.text) {
            (Some(one), Some(two)) => one == two,
            (None, None) => number(self) == number(other),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for Id {}

fn is_integer(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(token: &str) -> Option<Id> {
        Id::of_raw(serde_json::from_str::<&RawValue>(token).unwrap())
    }

    #[test]
    fn ids_are_compared_by_meaning_and_kept_as_written() {
        assert_eq!(id(r#""\u0061""#), id(r#""a""#));
        assert_eq!(id("-0"), id("0"));
        assert_ne!(id("1"), id("\"1\""));
        assert_ne!(id("9007199254740993"), id("9007199254740992"));
        assert_eq!(id(r#""\u0061""#).unwrap().token(), r#""\u0061""#);
    }

    #[test]
    fn null_fractions_and_exponents_are_no_ids() {
        for token in ["null", "1.0", "1e3", "true", "[1]", "{}"] {
            assert_eq!(id(token), None, "{token}");
        }
    }
}
