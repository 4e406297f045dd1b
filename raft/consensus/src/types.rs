//! The one place where openraft's parameters are spelled.

use std::fmt;

use bytes::Bytes;
use openraft::{Raft, vote};

use crate::runtime::Runtime;
use crate::snapshot::Image;
use crate::state_machine::StateMachine;

/// A node's number. At most `u32::MAX`, which is what records and frames hold.
pub type NodeId = u64;

/// What the cluster knows of a member. All of it is public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// What people call it.
    pub name: String,
    /// Where clients reach it.
    pub data_address: String,
    /// Where its peers reach it.
    pub peer_address: String,
    /// C2SP verifier key of its cosigning key.
    pub verifier_key: String,
    /// The public key of its certificates; zeros of a node that was a member before it had any.
    pub certificate: [u8; 32],
}

impl Peer {
    /// Whether whoever has proved to hold `key` may be this member.
    pub(crate) fn is_known_by(&self, key: &[u8; 32]) -> bool {
        self.certificate == [0; 32] || self.certificate == *key
    }
}

/// What an entry of the log holds: the proposer's bytes, and the leader's time outside them, so
/// that forwarding re-encodes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// The leader's clock, in microseconds since the epoch.
    pub(crate) stamp: u64,
    /// A batch, as `tollbook-state` encodes it.
    pub(crate) batch: Bytes,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes at {}", self.batch.len(), self.stamp)
    }
}

/// What openraft hands back for an entry: that it is applied. Results travel through the receipts
/// of the apply stream, at every node alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done;

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("applied")
    }
}

openraft::declare_raft_types!(
    /// openraft's parameters.
    pub(crate) TypeConfig:
        D = Proposal,
        R = Done,
        NodeId = u64,
        Node = Peer,
        Term = u64,
        LeaderId = vote::leader_id_adv::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type EntryPayload = openraft::alias::PayloadOf<TypeConfig>;
pub(crate) type LeaderId = openraft::alias::LeaderIdOf<TypeConfig>;
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, Peer>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, Image>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type Metrics =
    openraft::alias::WatchReceiverOf<TypeConfig, openraft::RaftMetrics<TypeConfig>>;
pub(crate) type Node<E> = Raft<TypeConfig, StateMachine<E>>;
