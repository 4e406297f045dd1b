//! The digest that names a policy's revision. `FORMAT.md` says what the bytes are.
//!
//! Canonical form: every value with a tag byte and, where it has parts, their count; members of
//! objects sorted by key; strings without escapes; numbers by value. The whole document goes in,
//! `description` too, and lists keep their order, also where it does not matter (`hide`): that no
//! change of meaning can keep the digest is worth more than a few digests that differ needlessly.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use crate::json::{Kind, Value};
use crate::number::Reading;

const DOMAIN: &[u8] = b"tollbook policy canonical form 1\0";

/// Digest of a checked document: no duplicate keys.
pub(crate) fn digest(root: Value<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    add(&mut hasher, root);
    hasher.finalize().into()
}

/// The depth of a document bounds the recursion.
fn add(hasher: &mut Sha256, value: Value<'_>) {
    match value.kind() {
        Kind::Null => hasher.update(b"z"),
        Kind::Bool if value.as_bool() == Some(true) => hasher.update(b"t"),
        Kind::Bool => hasher.update(b"f"),
        Kind::Number => {
            let text = value.number_text().unwrap_or_default();
            match Reading::of(text).exact() {
                Some(number) => {
                    let (negative, coefficient, exponent) = number.parts();
                    hasher.update(if negative { b"-" } else { b"+" });
                    hasher.update(coefficient.to_be_bytes());
                    hasher.update(exponent.to_be_bytes());
                }
                None => add_text(hasher, b'n', text),
            }
        }
        Kind::String => add_text(hasher, b's', &value.as_str().unwrap_or_default()),
        Kind::Array => {
            add_count(hasher, b'a', value.len());
            value.elements().for_each(|element| add(hasher, element));
        }
        Kind::Object => {
            add_count(hasher, b'o', value.len());
            let mut members: Vec<(Cow<'_, str>, Value<'_>)> = value
                .entries()
                .map(|(key, member)| (key.as_str().unwrap_or_default(), member))
                .collect();
            members.sort_by(|(one, _), (two, _)| one.cmp(two));
            for (key, member) in members {
                add_text(hasher, b's', &key);
                add(hasher, member);
            }
        }
    }
}

fn add_text(hasher: &mut Sha256, tag: u8, text: &str) {
    add_count(hasher, tag, text.len());
    hasher.update(text.as_bytes());
}

fn add_count(hasher: &mut Sha256, tag: u8, count: usize) {
    hasher.update([tag]);
    hasher.update((count as u64).to_be_bytes());
}
