//! The cluster's own certificates: who is a node of which cluster, proved by a key that never
//! leaves the node. Knows no socket and no file: callers keep the texts.
//!
//! One Ed25519 [`Authority`] signs one certificate a node, for the name
//! `node-<id>.<cluster id in hex>.tollbook.internal`. A node trusts one authority, or two while
//! the cluster goes from one to the next ([`Identity`]). A certificate says who a peer is and
//! nothing about what it may do: membership is the log's.

mod authority;
mod identity;
mod key;
mod name;
#[cfg(test)]
mod tests;
mod trust;

use std::time::Duration;

pub use self::authority::Authority;
pub use self::identity::Identity;
pub use self::key::{NodeKey, ProvedKey};
pub(crate) use self::name::{name_of, node_of};
pub use self::trust::{CaCertificate, Fingerprint};
pub(crate) use self::trust::{Role, check, key_of};
use crate::types::NodeId;

/// How long a node's certificate is good for, unless a caller says otherwise. Renewed at two
/// thirds, ten days of a cluster without quorum pass before a node falls out.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long an authority is good for. Its successor must be trusted by all before that.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How far back certificates begin, so that a node whose clock is behind takes them too.
const BACKDATE: Duration = Duration::from_secs(3600);

/// Authorities that a node trusts at a time: the one in use, and the one before or after it.
pub const AUTHORITIES_LIMIT: usize = 2;

/// Bytes of a text with keys and certificates. Three certificates and a key take two kilobytes.
const PEM_BYTES_LIMIT: usize = 64 * 1024;

/// Bytes of the id of a join token in a proof of possession.
const TOKEN_ID_BYTES_LIMIT: usize = 256;

/// Why a certificate or a key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The certificate names another node or cluster than the identity it was given for.
    #[error("the certificate is for `{named}`, not for `{wanted}`")]
    AnotherNode {
        /// What it names.
        named: String,
        /// What it was to name.
        wanted: String,
    },
    /// A node must trust one authority or two.
    #[error("{count} trusted authorities; give one, or two while one follows the other")]
    Authorities {
        /// How many there were.
        count: usize,
    },
    /// The certificate is for another key.
    #[error("the certificate belongs to another key than the one beside it")]
    ForeignKey,
    /// The certificate carries no name of a node, or more than one name.
    #[error("the certificate does not name one node of a cluster")]
    Name,
    /// Node ids go from 1 to 4294967295.
    #[error("node {node} is not a number that a node can have")]
    NodeId {
        /// Which.
        node: NodeId,
    },
    /// The text holds no key or no certificate of the kind that is wanted.
    #[error("the text holds no {wanted} in PEM form")]
    Pem {
        /// What was looked for.
        wanted: &'static str,
    },
    /// The key's holder did not sign what it had to.
    #[error("the signature does not prove possession of the key")]
    Proof,
    /// The library refused.
    #[error("the key or certificate cannot be made")]
    Sign(#[from] rcgen::Error),
    /// The time lies outside what certificates can hold.
    #[error("a certificate cannot begin or end at that time")]
    Time,
    /// A text or an id is longer than it may be.
    #[error("{bytes} bytes of {what}; at most {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The certificate is none that a trusted authority has signed for this use.
    #[error("the certificate is not one to trust")]
    Untrusted(#[from] webpki::Error),
}
