//! Sealed session ids.
//!
//! A client never sees the upstream's session id: it sees that id sealed together with the protocol
//! version, the grant and the server under the cluster's session key. Any node can open it; a
//! forged one, or one that another grant presents, is an unknown session (404).
//!
//! Sealed form, base64url without padding: nonce (24 bytes) ‖ XChaCha20-Poly1305 of
//! version 1 (u8) ‖ owner node (u32 LE, 0: none) ‖ grant (12) ‖ server (16) ‖
//! protocol version (u8 length ‖ text) ‖ upstream session id.

use base64ct::{Base64UrlUnpadded, Encoding};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use tollbook_state::command::{GrantId, ServerId};

const CONTEXT: &[u8] = b"tollbook session v1";
const NONCE_BYTES: usize = 24;
/// Longest upstream session id that is sealed. Real ones have 32 to 64 bytes.
pub(crate) const ID_BYTES_MAX: usize = 1024;

/// The cluster's key for session ids.
pub(crate) struct SessionKey(XChaCha20Poly1305);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// A session with an upstream, as the gate knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The upstream's own id.
    pub(crate) upstream_id: String,
    /// The protocol version that client and upstream agreed on.
    pub(crate) protocol: String,
}

impl Session {
    /// What the log keeps of the id: enough to join records, nothing to take a session over with.
    pub(crate) fn hash(&self) -> [u8; 16] {
        let digest = Sha256::new()
            .chain_update(b"tollbook session id v1\0")
            .chain_update(self.upstream_id.as_bytes())
            .finalize();
        let mut hash = [0; 16];
        hash.copy_from_slice(digest.split_at(16).0);
        hash
    }
}

impl SessionKey {
    /// From the 32 bytes in `keys/session.key`.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals `session` for one grant and server. `None`: an id or version too long to be real.
    pub(crate) fn seal(
        &self,
        session: &Session,
        grant: GrantId,
        server: ServerId,
    ) -> Option<String> {
        let protocol_bytes = u8::try_from(session.protocol.len()).ok()?;
        if session.upstream_id.len() > ID_BYTES_MAX {
            return None;
        }
        let mut plain = vec![1, 0, 0, 0, 0];
        plain.extend_from_slice(&grant.0);
        plain.extend_from_slice(&server.0);
        plain.push(protocol_bytes);
        plain.extend_from_slice(session.protocol.as_bytes());
        plain.extend_from_slice(session.upstream_id.as_bytes());
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let payload = Payload {
            msg: &plain,
            aad: CONTEXT,
        };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).ok()?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Some(Base64UrlUnpadded::encode_string(&bytes))
    }

    /// Opens what a client sent. `None`: forged, or sealed for another grant or server.
    pub(crate) fn open(&self, text: &str, grant: GrantId, server: ServerId) -> Option<Session> {
        let bytes = Base64UrlUnpadded::decode_vec(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let payload = Payload {
            msg: sealed,
            aad: CONTEXT,
        };
        let plain = self.0.decrypt(&XNonce::from(nonce), payload).ok()?;
        let rest = plain.strip_prefix(&[1])?;
        let (_owner, rest) = rest.split_at_checked(4)?;
        let rest = rest.strip_prefix(&grant.0)?;
        let rest = rest.strip_prefix(&server.0)?;
        let (protocol_bytes, rest) = rest.split_first()?;
        let (protocol, id) = rest.split_at_checked(usize::from(*protocol_bytes))?;
        Some(Session {
            upstream_id: String::from_utf8(id.to_vec()).ok()?,
            protocol: String::from_utf8(protocol.to_vec()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: GrantId = GrantId(*b"abcdefghijkl");
    const SERVER: ServerId = ServerId([7; 16]);

    fn sealed() -> (SessionKey, Session, String) {
        let key = SessionKey::new(&[9; 32]);
        let session = Session {
            upstream_id: "21f4f0d0-9e06".to_owned(),
            protocol: "2025-11-25".to_owned(),
        };
        let text = key.seal(&session, GRANT, SERVER).unwrap();
        (key, session, text)
    }

    #[test]
    fn a_sealed_session_opens_for_its_grant_and_server_only() {
        let (key, session, text) = sealed();
        assert_eq!(key.open(&text, GRANT, SERVER), Some(session));
        assert_eq!(key.open(&text, GrantId(*b"abcdefghijkm"), SERVER), None);
        assert_eq!(key.open(&text, GRANT, ServerId([8; 16])), None);
        assert_eq!(SessionKey::new(&[8; 32]).open(&text, GRANT, SERVER), None);
    }

    #[test]
    fn every_changed_character_of_a_sealed_session_is_refused() {
        let (key, _session, text) = sealed();
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(key.open(&forged, GRANT, SERVER), None, "at {at}");
        }
        assert_eq!(key.open("", GRANT, SERVER), None);
        assert_eq!(key.open("21f4f0d0-9e06", GRANT, SERVER), None);
    }

    #[test]
    fn the_sealed_form_is_visible_ascii_and_hides_the_id() {
        let (_key, session, text) = sealed();
        assert!(text.bytes().all(|b| b.is_ascii_graphic()));
        assert!(!text.contains(&session.upstream_id));
    }
}
