//! Ids as records spell them.

use alloc::string::String;

use crate::command::{CallId, GrantId, JoinTokenId, ServerId};
use tollbook_audit::hex;

/// A UUID in its usual spelling.
pub(crate) fn uuid(bytes: &[u8; 16]) -> String {
    let plain = hex(bytes);
    let mut text = String::with_capacity(36);
    for (at, digit) in plain.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// A grant's public handle.
pub(crate) fn grant(id: &GrantId) -> String {
    handle(&id.0)
}

/// A join token's public id.
pub(crate) fn join_token(id: &JoinTokenId) -> String {
    handle(&id.0)
}

/// Bytes outside base62 cannot be a handle and show as hex.
fn handle(id: &[u8; 12]) -> String {
    if id.iter().all(u8::is_ascii_alphanumeric) {
        id.iter().map(|byte| char::from(*byte)).collect()
    } else {
        hex(id)
    }
}

/// A hash, where there is one.
pub(crate) fn hex_option<const N: usize>(bytes: Option<&[u8; N]>) -> Option<String> {
    bytes.map(|bytes| hex(bytes))
}

pub(crate) fn server(id: &ServerId) -> String {
    uuid(&id.0)
}

pub(crate) fn call(id: &CallId) -> String {
    uuid(&id.0)
}

#[cfg(test)]
mod tests {
    use super::{grant, uuid};
    use crate::command::GrantId;

    #[test]
    fn ids_are_spelt_as_people_spell_them() {
        let id = core::array::from_fn(|at| u8::try_from(at * 16 + at).unwrap());
        assert_eq!(uuid(&id), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(grant(&GrantId(*b"abcDEF012345")), "abcDEF012345");
        assert_eq!(grant(&GrantId([b'"'; 12])), "222222222222222222222222");
    }
}
