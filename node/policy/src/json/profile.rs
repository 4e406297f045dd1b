//! The strict profile: what could be read in more than one way is refused.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use thiserror::Error;

use super::{
    Json, Kind, ProfileLimits, Value,
    unescape::{EscapeFault, escape_fault},
};

/// Objects up to this many keys are compared pair by pair; larger ones are sorted.
const PAIRWISE_KEYS: usize = 16;

/// What is refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct ProfileError {
    /// Byte offset.
    pub at: usize,
    /// What is refused there.
    pub kind: ProfileErrorKind,
}

/// See [`ProfileError`]. The text never repeats what the document says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProfileErrorKind {
    /// A key with a control character, written plainly or as an escape.
    #[error("a key with a control character")]
    ControlInKey,
    /// Deeper than [`ProfileLimits::depth`].
    #[error("arrays and objects nested more than {limit} deep")]
    Depth {
        /// The limit.
        limit: u32,
    },
    /// Larger than [`ProfileLimits::document_bytes`].
    #[error("a document of more than {limit} bytes")]
    DocumentBytes {
        /// The limit.
        limit: usize,
    },
    /// The same key twice in one object, once escapes are resolved.
    #[error("a key that its object already has")]
    DuplicateKey,
    /// An escape that JSON does not know.
    #[error("a backslash that begins no escape of JSON")]
    Escape,
    /// An integer token outside −2^63…2^64−1.
    #[error("an integer that does not fit in 64 bits")]
    IntegerRange,
    /// A key longer than [`ProfileLimits::key_bytes`].
    #[error("a key of more than {limit} bytes")]
    KeyBytes {
        /// The limit.
        limit: usize,
    },
    /// Half of a surrogate pair.
    #[error("half of a surrogate pair, which is no character")]
    LoneSurrogate,
    /// More than [`ProfileLimits::nodes`].
    #[error("more than {limit} values and keys")]
    Nodes {
        /// The limit.
        limit: usize,
    },
    /// A number longer than [`ProfileLimits::number_bytes`].
    #[error("a number of more than {limit} characters")]
    NumberBytes {
        /// The limit.
        limit: usize,
    },
    /// A number whose binary64 is infinite, or zero though the number is not.
    #[error("a number that binary64 cannot hold")]
    NumberRange,
    /// More than [`ProfileLimits::object_keys`] keys in one object.
    #[error("an object with more than {limit} keys")]
    ObjectKeys {
        /// The limit.
        limit: usize,
    },
    /// The key `__proto__`.
    #[error("the key `__proto__`")]
    Proto,
}

/// Refuses what servers read in different ways. Stops at the first fault in document order of the
/// node that shows it.
pub fn check_profile(json: &Json, limits: &ProfileLimits) -> Result<(), ProfileError> {
    match visit_faults(json, limits, &mut |fault, _| ControlFlow::Break(fault)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(fault) => Err(fault),
    }
}

/// Takes each fault and the node that shows it; breaks to end the visit.
pub(crate) type Visit<'d, 'v> =
    dyn FnMut(ProfileError, Option<Value<'d>>) -> ControlFlow<ProfileError> + 'v;

/// Shows every fault to `visit` until it breaks.
pub(crate) fn visit_faults<'d>(
    json: &'d Json,
    limits: &ProfileLimits,
    visit: &mut Visit<'d, '_>,
) -> ControlFlow<ProfileError> {
    let whole = |at, kind| ProfileError { at, kind };
    if json.text.len() > limits.document_bytes {
        let kind = ProfileErrorKind::DocumentBytes {
            limit: limits.document_bytes,
        };
        visit(whole(limits.document_bytes, kind), None)?;
    }
    if json.nodes.len() > limits.nodes {
        visit(
            whole(
                0,
                ProfileErrorKind::Nodes {
                    limit: limits.nodes,
                },
            ),
            None,
        )?;
    }
    if json.depth > limits.depth {
        let at = first_too_deep(json, limits.depth);
        visit(
            whole(
                at,
                ProfileErrorKind::Depth {
                    limit: limits.depth,
                },
            ),
            None,
        )?;
    }
    for (index, node) in (0..).zip(&json.nodes) {
        match node.kind {
            Kind::Null | Kind::Bool | Kind::Array => {}
            Kind::Number => {
                let value = Value::at(&json.text, &json.nodes, index);
                number(value, limits, visit)?;
            }
            Kind::String if node.escaped => {
                let value = Value::at(&json.text, &json.nodes, index);
                string(value, visit)?;
            }
            Kind::String => {}
            Kind::Object => {
                let value = Value::at(&json.text, &json.nodes, index);
                object(value, limits, visit)?;
            }
        }
    }
    ControlFlow::Continue(())
}

fn first_too_deep(json: &Json, limit: u32) -> usize {
    let mut ends: Vec<u32> = Vec::new();
    for (index, node) in (0..).zip(&json.nodes) {
        ends.retain(|end| *end > index);
        if matches!(node.kind, Kind::Array | Kind::Object) {
            ends.push(node.next);
            if ends.len() > limit as usize {
                return node.start as usize;
            }
        }
    }
    0
}

fn string<'d>(value: Value<'d>, visit: &mut Visit<'d, '_>) -> ControlFlow<ProfileError> {
    let Some((offset, fault)) = escape_fault(value.string_text().unwrap_or_default()) else {
        return ControlFlow::Continue(());
    };
    let kind = match fault {
        EscapeFault::LoneSurrogate => ProfileErrorKind::LoneSurrogate,
        EscapeFault::Malformed => ProfileErrorKind::Escape,
    };
    visit(
        ProfileError {
            at: value.offset() + 1 + offset,
            kind,
        },
        Some(value),
    )
}

fn number<'d>(
    value: Value<'d>,
    limits: &ProfileLimits,
    visit: &mut Visit<'d, '_>,
) -> ControlFlow<ProfileError> {
    let text = value.raw();
    let kind = if text.len() > limits.number_bytes {
        ProfileErrorKind::NumberBytes {
            limit: limits.number_bytes,
        }
    } else {
        match number_fault(text) {
            None => return ControlFlow::Continue(()),
            Some(NumberFault::Integer) => ProfileErrorKind::IntegerRange,
            Some(NumberFault::Binary64) => ProfileErrorKind::NumberRange,
        }
    };
    visit(
        ProfileError {
            at: value.offset(),
            kind,
        },
        Some(value),
    )
}

/// Why a number is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    /// An integer token outside −2^63…2^64−1.
    Integer,
    /// Infinite in binary64, or zero though it is not.
    Binary64,
}

/// Judges a number of JSON by its text.
pub(super) fn number_fault(text: &str) -> Option<NumberFault> {
    // 18 characters without an exponent are within 64 bits, and far from binary64's ends.
    let exponent = text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    if text.len() <= 18 && !exponent {
        return None;
    }
    if !exponent && !text.contains('.') {
        let fits = if text.starts_with('-') {
            text.parse::<i64>().is_ok()
        } else {
            text.parse::<u64>().is_ok()
        };
        return (!fits).then_some(NumberFault::Integer);
    }
    let Ok(binary) = text.parse::<f64>() else {
        return Some(NumberFault::Binary64);
    };
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let faulty = binary.is_infinite() || (binary == 0.0 && !is_zero);
    faulty.then_some(NumberFault::Binary64)
}

fn object<'d>(
    value: Value<'d>,
    limits: &ProfileLimits,
    visit: &mut Visit<'d, '_>,
) -> ControlFlow<ProfileError> {
    if value.len() > limits.object_keys {
        let kind = ProfileErrorKind::ObjectKeys {
            limit: limits.object_keys,
        };
        visit(
            ProfileError {
                at: value.offset(),
                kind,
            },
            Some(value),
        )?;
    }
    let mut any_escaped = false;
    for (key, _) in value.entries() {
        any_escaped |= key.is_escaped();
        if let Some(kind) = key_fault(key, limits) {
            visit(
                ProfileError {
                    at: key.offset(),
                    kind,
                },
                Some(key),
            )?;
        }
    }
    if value.len() <= PAIRWISE_KEYS && !any_escaped {
        return few_plain_keys(value, visit);
    }
    let mut keys: Vec<(Cow<'_, str>, Value<'_>)> = value
        .entries()
        .map(|(key, _)| (key.as_str().unwrap_or_default(), key))
        .collect();
    keys.sort_unstable_by(|(a, a_at), (b, b_at)| {
        a.cmp(b).then_with(|| a_at.offset().cmp(&b_at.offset()))
    });
    let mut again: Vec<Value<'_>> = keys
        .array_windows()
        .filter(|[(one, _), (two, _)]| one == two)
        .map(|[_, (_, second)]| *second)
        .collect();
    again.sort_unstable_by_key(|key| key.offset());
    for key in again {
        let kind = ProfileErrorKind::DuplicateKey;
        visit(
            ProfileError {
                at: key.offset(),
                kind,
            },
            Some(key),
        )?;
    }
    ControlFlow::Continue(())
}

/// No allocation: this is what almost every call's objects are like.
fn few_plain_keys<'d>(value: Value<'d>, visit: &mut Visit<'d, '_>) -> ControlFlow<ProfileError> {
    let mut seen = [""; PAIRWISE_KEYS];
    for (count, (key, _)) in value.entries().enumerate() {
        let name = key.string_text().unwrap_or_default();
        let (before, here) = seen.split_at_mut(count);
        if before.contains(&name) {
            let kind = ProfileErrorKind::DuplicateKey;
            visit(
                ProfileError {
                    at: key.offset(),
                    kind,
                },
                Some(key),
            )?;
        }
        if let Some(slot) = here.first_mut() {
            *slot = name;
        }
    }
    ControlFlow::Continue(())
}

fn key_fault(key: Value<'_>, limits: &ProfileLimits) -> Option<ProfileErrorKind> {
    if key.span().len() > limits.key_bytes.saturating_add(2) {
        return Some(ProfileErrorKind::KeyBytes {
            limit: limits.key_bytes,
        });
    }
    if !key.is_simple()
        && key
            .chars()
            .is_some_and(|mut chars| chars.any(char::is_control))
    {
        return Some(ProfileErrorKind::ControlInKey);
    }
    key.is_str("__proto__").then_some(ProfileErrorKind::Proto)
}
