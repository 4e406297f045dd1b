//! What is stored, and under which key. Each row is a version byte and postcard; a key is made
//! from its value alone, so that `load` can check one against the other.
//!
//! | first byte | row | rest of the key |
//! |---|---|---|
//! | `c` | [`Counter`] | end of its window (8 bytes, big endian), postcard of the key |
//! | `g` | [`Origin`] of the log | |
//! | `i` | [`OpenCall`] | call id |
//! | `j` | [`JoinToken`] | token id |
//! | `k` | cluster: members, removed ids, version, leader, log key | |
//! | `l` | [`Start`] of a node | node (4 bytes, big endian) |
//! | `m` | meta: place in the Raft log, time, epoch, audit head | |
//! | `n` | a grant's gapless record counter `gs` | grant id |
//! | `o` | sequence numbers seen of one boot | node (4 bytes), boot (8 bytes), big endian |
//! | `p` | [`Policy`] | name |
//! | `s` | [`Server`] | server id |
//! | `t` | [`Grant`] | grant id |
//! | `u` | [`SettledCall`] | call id |

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::codec::{micros, micros_option};
use crate::command::{
    CallId, GrantId, JoinTokenId, LimitRow, Micros, PolicyDigest, RuleRow, Scope, ServerId,
    TokenHash, Upstream, Window,
};

/// The right of one agent to call one server under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Public handle.
    pub id: GrantId,
    /// What people call it.
    pub label: String,
    /// The person it belongs to; without one it is its own owner.
    pub owner: Option<String>,
    /// The one server it is for.
    pub server: ServerId,
    /// Name of its policy; none denies all.
    pub policy: Option<String>,
    /// Hash of its token.
    pub token: TokenHash,
    /// The token before, while it stays valid beside it.
    pub former: Option<FormerToken>,
    /// Not valid before this.
    #[serde(with = "micros_option")]
    pub not_before: Option<Micros>,
    /// Not valid from this on.
    #[serde(with = "micros_option")]
    pub expires: Option<Micros>,
    /// When it was made.
    #[serde(with = "micros")]
    pub created: Micros,
    /// When it was revoked. That is final.
    #[serde(with = "micros_option")]
    pub revoked_at: Option<Micros>,
    /// 1 for a new one; every change adds 1.
    pub revision: u64,
}

/// A token that another one took the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerToken {
    /// Its hash.
    pub token: TokenHash,
    /// Not valid from this on.
    #[serde(with = "micros")]
    pub until: Micros,
}

impl Grant {
    /// Hash of the former token, while that is valid. Whether the grant is live it does not say.
    #[must_use]
    pub fn former_at(&self, now: Micros) -> Option<TokenHash> {
        self.former
            .filter(|former| now < former.until)
            .map(|former| former.token)
    }
}

/// An upstream that grants may point at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its id, also in its endpoint.
    pub id: ServerId,
    /// What people call it; no two servers share one.
    pub name: String,
    /// How it is reached.
    pub upstream: Upstream,
    /// When it was made.
    #[serde(with = "micros")]
    pub created: Micros,
    /// 1 for a new one; every change adds 1.
    pub revision: u64,
}

/// A policy in its revision in force. Former ones are remembered by digest only: a call that was
/// decided under one of them is stale, so their tables are never asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What grants point at.
    pub name: String,
    /// 1 for a new one; every change adds 1.
    pub revision: u64,
    /// Digest of its canonical form.
    pub digest: PolicyDigest,
    /// The document as it was applied.
    pub text: String,
    /// What denials name.
    pub rules: Vec<RuleRow>,
    /// What charges name.
    pub limits: Vec<LimitRow>,
    /// When this revision was applied.
    #[serde(with = "micros")]
    pub applied: Micros,
    /// Former revisions, oldest first, at most `limits::POLICY_HISTORY`.
    pub past: Vec<PastRevision>,
}

/// A former revision of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRevision {
    /// Its number.
    pub revision: u64,
    /// Digest of its canonical form.
    pub digest: PolicyDigest,
    /// When it was applied.
    #[serde(with = "micros")]
    pub applied: Micros,
}

/// Whose calls a counter counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Account {
    /// One grant.
    Grant(GrantId),
    /// A policy by its name, so that an edit resets nothing.
    Policy(String),
    /// One server.
    Server(ServerId),
    /// A person across their grants.
    Owner(String),
    /// A grant without owner, as its own owner: no person's name can be spelt like it.
    Ownerless(GrantId),
}

impl Account {
    /// The scope that it is an account of.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Grant(_) => Scope::Grant,
            Self::Policy(_) => Scope::Policy,
            Self::Server(_) => Scope::Server,
            Self::Owner(_) | Self::Ownerless(_) => Scope::Owner,
        }
    }
}

/// Which counter, in which window. Ordered by the window's end, so that the past stands first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CounterKey {
    /// First microsecond after the window.
    #[serde(with = "micros")]
    pub end: Micros,
    /// First microsecond of the window.
    #[serde(with = "micros")]
    pub start: Micros,
    /// Kind of window.
    pub window: Window,
    /// Whose calls it counts.
    pub account: Account,
    /// Name that limits give it.
    pub counter: String,
}

/// A counter and what is reserved and spent of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Which one.
    pub key: CounterKey,
    /// Never above the `max` that it was charged under.
    pub used: u64,
}

/// What one call holds of one counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which one.
    pub key: CounterKey,
    /// How much.
    pub amount: u64,
}

/// An admitted call without outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    /// Its id.
    pub call: CallId,
    /// The grant it was made under.
    pub grant: GrantId,
    /// The node that forwards it.
    pub node: u32,
    /// That node's boot.
    pub boot: u64,
    /// When it was admitted.
    #[serde(with = "micros")]
    pub admitted: Micros,
    /// Index of its intent record.
    pub index: u64,
    /// What it holds.
    pub held: Vec<Hold>,
}

/// A call closed as `unknown`, whose late outcome would still be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledCall {
    /// Its id.
    pub call: CallId,
    /// The grant it was made under.
    pub grant: GrantId,
    /// Counts closings; the smallest is forgotten first.
    pub order: u64,
}

/// What the log says of itself in its first record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// C2SP origin line.
    pub origin: String,
    /// C2SP verifier key of the log.
    pub log_key: String,
    /// Members at genesis, each with its verifier key.
    pub members: Vec<(u32, String)>,
    /// Version of the program that made it.
    pub software: String,
    /// Last note of the log that this one continues.
    pub prior: Option<String>,
    /// When it was made.
    #[serde(with = "micros")]
    pub created: Micros,
}

/// Part of a Raft membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Catches up, does not vote.
    Learner,
    /// Votes.
    Voter,
}

/// Who belongs to the cluster, ordered by node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// A node in both halves of a joint configuration stands here once.
    pub nodes: Vec<Member>,
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub node: u32,
    /// Whether it votes.
    pub role: Role,
    /// What people call it.
    pub name: String,
    /// C2SP verifier key of its cosigning key.
    pub key: String,
}

/// The newest start of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Its id.
    pub node: u32,
    /// How often its directory was started.
    pub start: u64,
    /// The boot of that start.
    pub boot: u64,
    /// Version of the program.
    pub software: String,
    /// Highest version of commands that the program knows.
    pub speaks: u16,
    /// Boots whose start was refused, the newest last; at most `limits::BOOTS_PER_NODE`.
    pub refused: Vec<u64>,
}

/// A token that one node may join with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Its public id.
    pub id: JoinTokenId,
    /// Hash of the token.
    pub hash: TokenHash,
    /// Not valid from this on.
    #[serde(with = "micros")]
    pub expires: Micros,
    /// Who joined with it.
    pub joined: Option<Joined>,
    /// Uses that were refused since, as far as they were recorded.
    pub refusals: u32,
}

/// A node that joined with a token. Raft says whether it is a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The id that it was given.
    pub node: u32,
    /// What people call it.
    pub name: String,
    /// C2SP verifier key of its cosigning key.
    pub verifier_key: String,
    /// What its certificate is known by.
    pub certificate: [u8; 32],
}

/// The newest entry that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Its term.
    pub term: u64,
    /// Its index in the Raft log.
    pub log_index: u64,
}

/// The row that every entry writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// None before the first entry.
    pub(crate) applied: Option<Applied>,
    /// The log's time. Never goes back.
    #[serde(with = "micros")]
    pub(crate) now: Micros,
    /// The clamp in progress has its `clock` record already.
    pub(crate) clamped: bool,
    /// Counts changes of membership and log key, and recoveries, since genesis.
    pub(crate) epoch: u32,
    /// The `order` of the next settled call.
    pub(crate) settled: u64,
}

/// What changes with the cluster, not with each entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) members: Members,
    /// Were members and are none; none is below `removed_below`.
    pub(crate) removed: BTreeSet<u32>,
    /// Below it every id that is no member's counts as removed.
    pub(crate) removed_below: u32,
    /// Highest node id that was ever given or a member's.
    pub(crate) highest: u32,
    /// Commands up to this version are applied.
    pub(crate) version: u16,
    /// The newest leader whose first entry was applied.
    pub(crate) lead: Option<Lead>,
    /// C2SP verifier key of the log; none before genesis.
    pub(crate) log_key: Option<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            members: Members::default(),
            removed: BTreeSet::new(),
            removed_below: 0,
            highest: 0,
            version: 1,
            lead: None,
            log_key: None,
        }
    }
}

/// Who leads, since which term. A later leader compares greater, also within a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Lead {
    pub(crate) term: u64,
    pub(crate) node: u32,
}

/// Meta as it is stored: with the audit head, which has an encoding of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetaRow {
    pub(crate) meta: Meta,
    pub(crate) head: Option<Vec<u8>>,
}

/// A grant's gapless counter as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GsRow {
    pub(crate) grant: GrantId,
    /// Of its newest record.
    pub(crate) gs: u64,
}

/// Which sequence numbers of one boot were applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) node: u32,
    pub(crate) boot: u64,
    /// Raft index of the first entry of this boot: the order in which boots are forgotten.
    pub(crate) first: u64,
    pub(crate) highest: u64,
    /// Bit `i`: `highest - i` was applied.
    pub(crate) mask: u64,
}

/// Names one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Cluster,
    Counter(CounterKey),
    Grant(GrantId),
    Gs(GrantId),
    JoinToken(JoinTokenId),
    Meta,
    Open(CallId),
    Origin,
    Policy(String),
    Seen(u32, u64),
    Server(ServerId),
    Settled(CallId),
    Start(u32),
}

pub(crate) const COUNTER: u8 = b'c';
pub(crate) const ORIGIN: u8 = b'g';
pub(crate) const OPEN: u8 = b'i';
pub(crate) const JOIN_TOKEN: u8 = b'j';
pub(crate) const CLUSTER: u8 = b'k';
pub(crate) const START: u8 = b'l';
pub(crate) const META: u8 = b'm';
pub(crate) const GS: u8 = b'n';
pub(crate) const SEEN: u8 = b'o';
pub(crate) const POLICY: u8 = b'p';
pub(crate) const SERVER: u8 = b's';
pub(crate) const GRANT: u8 = b't';
pub(crate) const SETTLED: u8 = b'u';

impl Row {
    /// Its key in the state family.
    pub(crate) fn key(&self) -> Vec<u8> {
        match self {
            Self::Cluster => joined(CLUSTER, &[]),
            Self::Counter(key) => {
                let start = joined(COUNTER, &key.end.0.to_be_bytes());
                postcard::to_extend(key, start).expect("plain data of known length always encodes")
            }
            Self::Grant(id) => joined(GRANT, &id.0),
            Self::Gs(id) => joined(GS, &id.0),
            Self::JoinToken(id) => joined(JOIN_TOKEN, &id.0),
            Self::Meta => joined(META, &[]),
            Self::Open(call) => joined(OPEN, &call.0),
            Self::Origin => joined(ORIGIN, &[]),
            Self::Policy(name) => joined(POLICY, name.as_bytes()),
            Self::Seen(node, boot) => {
                let mut key = joined(SEEN, &node.to_be_bytes());
                key.extend_from_slice(&boot.to_be_bytes());
                key
            }
            Self::Server(id) => joined(SERVER, &id.0),
            Self::Settled(call) => joined(SETTLED, &call.0),
            Self::Start(node) => joined(START, &node.to_be_bytes()),
        }
    }
}

fn joined(prefix: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(rest.len().saturating_add(1));
    key.push(prefix);
    key.extend_from_slice(rest);
    key
}
