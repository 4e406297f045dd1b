//! What a node shows its peers, and how often its directory has started.
//!
//! `keys/ca.pem`: the cluster's own authority, which every member holds, so that any of them can
//! let a node in or renew a certificate. `keys/peer.pem`: the node's own key and certificate; the
//! key never leaves the machine. `keys/node.key`: what the node cosigns checkpoints with.
//! `keys/starts`: a number.

use std::io;

use zeroize::Zeroizing;

use tollbook_audit::hex;
use tollbook_audit::note;
use tollbook_raft::{Authority, CERTIFICATE_LIFE, Identity, NodeKey, cluster_id};
use tollbook_state::command::Micros;

use super::{Dir, DirError, read_secret, write_whole};
use crate::config::Config;

const AUTHORITY: &str = "keys/ca.pem";
const IDENTITY: &str = "keys/peer.pem";
const NODE_KEY: &str = "keys/node.key";
const ROLLED_BACK: &str = "keys/rolled_back";
const STARTS: &str = "keys/starts";

impl Dir {
    /// The cluster's authority.
    pub fn authority(&self, origin: &str) -> Result<Authority, DirError> {
        let path = self.path(AUTHORITY);
        let text = read_secret(&path)?;
        Authority::from_pem(cluster_id(origin), &text).map_err(|_| DirError::Damaged {
            path,
            what: "not this cluster's authority",
        })
    }

    /// What this node shows its peers.
    pub fn peer_identity(&self, config: &Config) -> Result<Identity, DirError> {
        let path = self.path(IDENTITY);
        let text = read_secret(&path)?;
        let cluster = cluster_id(&config.cluster.origin);
        Identity::from_pem(cluster, config.node.id.into(), &text).map_err(|_| DirError::Damaged {
            path,
            what: "not this node's key and certificate",
        })
    }

    /// Replaces what this node shows its peers. Durable on return. Blocks.
    pub fn keep_identity(&self, identity: &Identity) -> Result<(), DirError> {
        write_whole(&self.path(IDENTITY), identity.to_pem().as_bytes(), 0o600)
    }

    /// Keeps the cluster's authority. Durable on return. Blocks.
    pub(crate) fn keep_authority(&self, text: &str) -> Result<(), DirError> {
        write_whole(&self.path(AUTHORITY), text.as_bytes(), 0o600)
    }

    /// Makes an authority and this node's first certificate, where there is neither: for the node
    /// that begins a cluster, and for one that was made before nodes had peers. One without the
    /// other is a directory that has lost a file: to make both anew would be another cluster.
    pub fn make_peer_keys(&self, config: &Config, now: Micros) -> Result<(), DirError> {
        let (authority, identity) = (self.path(AUTHORITY), self.path(IDENTITY));
        match (authority.exists(), identity.exists()) {
            (true, true) => return Ok(()),
            (false, false) if config.node.id == 1 => {}
            (true, false) => return Err(DirError::Missing { path: identity }),
            (false, _) => return Err(DirError::Missing { path: authority }),
        }
        let made = || {
            let cluster = cluster_id(&config.cluster.origin);
            let authority = Authority::generate(cluster, now)?;
            let key = NodeKey::generate()?;
            let node = config.node.id.into();
            let certificate = authority.issue(node, &key.proved(), now, CERTIFICATE_LIFE)?;
            let trusted = vec![authority.certificate().clone()];
            let identity = Identity::new(cluster, node, key, &certificate, trusted)?;
            Ok::<_, tollbook_raft::CertError>((authority, identity))
        };
        let (authority, identity) = made().map_err(|error| DirError::Io {
            action: "make",
            path: self.path(IDENTITY),
            source: io::Error::other(error),
        })?;
        // A crash between the two leaves a certificate without its authority, which the next start
        // names; nobody else has seen either.
        self.keep_identity(&identity)?;
        self.keep_authority(&authority.to_pem())
    }

    /// The key that this node cosigns checkpoints with.
    pub fn node_key(&self) -> Result<note::NodeKey, DirError> {
        let path = self.path(NODE_KEY);
        let text = read_secret(&path)?;
        note::NodeKey::parse(&text).map_err(|_| DirError::Damaged {
            path,
            what: "not a node's cosigning key",
        })
    }

    /// Makes that key, where the directory has no keys for peers at all: one that has lost it would
    /// sign as somebody else. Its name begins with the node's and ends in what no other key has, so
    /// that two nodes of one name are told apart for good.
    pub fn make_node_key(&self, node: &str) -> Result<(), DirError> {
        let path = self.path(NODE_KEY);
        if path.exists() {
            return Ok(());
        }
        if self.path(IDENTITY).exists() {
            return Err(DirError::Missing { path });
        }
        let mut seed = Zeroizing::new([0u8; 32]);
        let mut tail = [0u8; 4];
        getrandom::fill(&mut *seed).map_err(DirError::Random)?;
        getrandom::fill(&mut tail).map_err(DirError::Random)?;
        let name = format!("{node}.{}", hex(&tail));
        let key = note::NodeKey::from_seed(&name, &seed).map_err(|_| DirError::Damaged {
            path: path.clone(),
            what: "the node's name cannot name a key",
        })?;
        write_whole(&path, key.to_secret_text().as_bytes(), 0o600)
    }

    /// Notes that a peer has seen a later start of this directory. It is not started again: with
    /// one start more it would look newer than what it has forgotten. Blocks.
    pub fn mark_rolled_back(&self, why: &str) -> Result<(), DirError> {
        write_whole(
            &self.path(ROLLED_BACK),
            format!("{why}\n").as_bytes(),
            0o600,
        )
    }

    /// Refuses a directory that was found to be older than it was.
    pub fn check_not_rolled_back(&self) -> Result<(), DirError> {
        let path = self.path(ROLLED_BACK);
        match path.try_exists() {
            Ok(false) => Ok(()),
            // Who cannot look cannot know.
            Ok(true) | Err(_) => Err(DirError::RolledBack { path }),
        }
    }

    /// Counts a start of this directory: one more than any before it, durable on return. Peers that
    /// have seen a higher number know that the disk was rolled back, or copied. Blocks.
    pub fn next_start(&self) -> Result<u64, DirError> {
        let path = self.path(STARTS);
        let last = match read_secret(&path) {
            Ok(text) => text.trim_end().parse().map_err(|_| DirError::Damaged {
                path: path.clone(),
                what: "not a number of starts",
            })?,
            Err(DirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let next: u64 = u64::saturating_add(last, 1);
        write_whole(&path, format!("{next}\n").as_bytes(), 0o600)?;
        Ok(next)
    }
}
