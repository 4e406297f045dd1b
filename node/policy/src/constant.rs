//! What a policy compares with: values of its own, owned and exact.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::json::{Kind, Value};
use crate::number::{Decimal, Reading};

/// A value of the policy. There is no `null`, and no number that servers read differently.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Bool(bool),
    Number(Decimal),
    Text(Box<str>),
    Array(Box<[Self]>),
    /// Sorted by key.
    Object(Box<[(Box<str>, Self)]>),
}

impl Constant {
    /// Takes over a value that was checked: without `null` and ambiguous numbers. Those would
    /// come to None.
    pub(crate) fn of(value: Value<'_>) -> Option<Self> {
        Some(match value.kind() {
            Kind::Null => return None,
            Kind::Bool => Self::Bool(value.as_bool()?),
            Kind::Number => Self::Number(Reading::of(value.number_text()?).exact()?),
            Kind::String => Self::Text(value.as_str()?.into()),
            Kind::Array => Self::Array(value.elements().map(Self::of).collect::<Option<_>>()?),
            Kind::Object => {
                let mut members = value
                    .entries()
                    .map(|(key, member)| Some((key.as_str()?.into(), Self::of(member)?)))
                    .collect::<Option<Vec<(Box<str>, Self)>>>()?;
                members.sort_by(|(one, _), (two, _)| one.cmp(two));
                Self::Object(members.into())
            }
        })
    }

    /// The kind of JSON value that it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::String,
            Self::Array(_) => Kind::Array,
            Self::Object(_) => Kind::Object,
        }
    }

    /// Whether a call's value is this one. The value must have no duplicate keys.
    pub(crate) fn equals(&self, value: Value<'_>) -> bool {
        match self {
            Self::Bool(own) => value.as_bool() == Some(*own),
            Self::Number(own) => number(value) == Some(*own),
            Self::Text(own) => value.is_str(own),
            Self::Array(own) => {
                value.kind() == Kind::Array
                    && value.len() == own.len()
                    && own
                        .iter()
                        .zip(value.elements())
                        .all(|(own, other)| own.equals(other))
            }
            Self::Object(own) => {
                value.kind() == Kind::Object
                    && value.len() == own.len()
                    && value.entries().all(|(key, other)| {
                        let at = own.binary_search_by(|(name, _)| compare_key(name, key));
                        at.ok()
                            .and_then(|at| own.get(at))
                            .is_some_and(|(_, own)| own.equals(other))
                    })
            }
        }
    }
}

/// The number, if it is one that servers read alike.
pub(crate) fn number(value: Value<'_>) -> Option<Decimal> {
    Reading::of(value.number_text()?).exact()
}

/// Order of a name and a string of the call, as `str` has it.
fn compare_key(name: &str, key: Value<'_>) -> Ordering {
    match key.as_plain_str() {
        Some(plain) => name.cmp(plain),
        None => match key.chars() {
            // By characters is by bytes: UTF-8 keeps the order.
            Some(chars) => name.chars().cmp(chars),
            None => Ordering::Greater,
        },
    }
}

/// The members of an `in`: scalars, sorted by type.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Sorted.
    texts: Box<[Box<str>]>,
    /// Sorted.
    numbers: Box<[Decimal]>,
    has_true: bool,
    has_false: bool,
}

impl Members {
    /// Takes the scalars of a list; arrays and objects were refused before.
    pub(crate) fn of(list: Value<'_>) -> Self {
        let mut texts: Vec<Box<str>> = Vec::new();
        let mut numbers = Vec::new();
        let mut members = Self::default();
        for member in list.elements() {
            texts.extend(member.as_str().map(Into::into));
            numbers.extend(number(member));
            members.has_true |= member.as_bool() == Some(true);
            members.has_false |= member.as_bool() == Some(false);
        }
        texts.sort_unstable();
        numbers.sort_unstable();
        members.texts = texts.into();
        members.numbers = numbers.into();
        members
    }

    /// Whether the value is a member; None if no member is of its type, or servers differ over it.
    pub(crate) fn has(&self, value: Value<'_>) -> Option<bool> {
        match value.kind() {
            Kind::String if !self.texts.is_empty() => Some(
                self.texts
                    .binary_search_by(|text| compare_key(text, value))
                    .is_ok(),
            ),
            Kind::Number if !self.numbers.is_empty() => {
                let number = number(value)?;
                Some(self.numbers.binary_search(&number).is_ok())
            }
            Kind::Bool if self.has_true || self.has_false => {
                let value = value.as_bool()?;
                Some(if value { self.has_true } else { self.has_false })
            }
            Kind::String | Kind::Number | Kind::Bool => None,
            Kind::Null | Kind::Array | Kind::Object => None,
        }
    }
}
