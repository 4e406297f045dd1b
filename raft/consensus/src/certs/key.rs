//! A node's own key, and the proof that somebody holds one.

use std::fmt;

use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::{CertError, PEM_BYTES_LIMIT, TOKEN_ID_BYTES_LIMIT};

/// What a proof of possession signs ahead of the token's id and the key, so that no signature
/// made for anything else is one.
const PROOF_CONTEXT: &[u8] = b"tollbook join: proof of possession v1\n";

/// A node's Ed25519 key. Made on the node, and kept there.
pub struct NodeKey {
    // rcgen wipes it when told to, and `Zeroizing` tells it on drop.
    pair: Zeroizing<KeyPair>,
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").finish_non_exhaustive()
    }
}

impl NodeKey {
    /// A fresh key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, CertError> {
        let pair = Zeroizing::new(KeyPair::generate_for(&PKCS_ED25519)?);
        Ok(Self { pair })
    }

    /// Reads the first key of a text.
    ///
    /// # Errors
    /// When there is none, or none of Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, CertError> {
        bounded("keys and certificates", text.len(), PEM_BYTES_LIMIT)?;
        let wanted = "private key";
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| CertError::Pem { wanted })?;
        let der = Zeroizing::new(der);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)?;
        Ok(Self {
            pair: Zeroizing::new(pair),
        })
    }

    /// The key as text, for a file that only the node's user reads.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    /// The public half.
    ///
    /// # Panics
    /// Never: an Ed25519 key has 32 bytes.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        let bytes = self.pair.public_key_raw();
        bytes.try_into().expect("an Ed25519 key has 32 bytes")
    }

    /// Shows to an authority that this key is held by whoever holds the token with this id.
    ///
    /// # Errors
    /// When the id is too long.
    pub fn prove(&self, token_id: &[u8]) -> Result<Vec<u8>, CertError> {
        Ok(self.pair.sign(&proof_text(token_id, &self.public())?)?)
    }

    /// This key, for an authority on the same node: who holds it needs no proof.
    #[must_use]
    pub fn proved(&self) -> ProvedKey {
        ProvedKey {
            public: self.public(),
        }
    }

    pub(crate) fn signs(&self) -> &KeyPair {
        &self.pair
    }

    /// What TLS signs with.
    pub(crate) fn to_tls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.pair.serialize_der()))
    }

    /// A secret for another use, from which the key cannot be told.
    pub(crate) fn derive(&self, context: &'static str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.pair.serialized_der()))
    }

    pub(super) fn copied(&self) -> Result<Self, CertError> {
        Self::from_pem(&self.to_pem())
    }
}

/// A public key whose holder has shown to hold it.
#[derive(Debug)]
pub struct ProvedKey {
    public: [u8; 32],
}

impl ProvedKey {
    /// Checks what [`NodeKey::prove`] made.
    ///
    /// # Errors
    /// [`CertError::Proof`] when it was made for another token or key, or by another key.
    pub fn check(public: [u8; 32], token_id: &[u8], proof: &[u8]) -> Result<Self, CertError> {
        let text = proof_text(token_id, &public)?;
        webpki::ring::ED25519
            .verify_signature(&public, &text, proof)
            .map_err(|_| CertError::Proof)?;
        Ok(Self { public })
    }

    /// The key.
    #[must_use]
    pub const fn public(&self) -> [u8; 32] {
        self.public
    }
}

impl PublicKeyData for ProvedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// Context, length of the id, id, key: no two inputs give one text.
fn proof_text(token_id: &[u8], public: &[u8; 32]) -> Result<Vec<u8>, CertError> {
    bounded("token id", token_id.len(), TOKEN_ID_BYTES_LIMIT)?;
    let length = u32::try_from(token_id.len()).map_err(|_| CertError::Proof)?;
    Ok([PROOF_CONTEXT, &length.to_be_bytes(), token_id, public].concat())
}

pub(super) fn bounded(what: &'static str, bytes: usize, limit: usize) -> Result<(), CertError> {
    if bytes > limit {
        return Err(CertError::TooLong { what, bytes, limit });
    }
    Ok(())
}
