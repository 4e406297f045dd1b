//! Grants, servers, policies, quotas, open calls and the audit head: `apply(entry) -> effects`.
//! Knows no clock, randomness, file, socket, Raft library or policy language; every replica that
//! applies the same entries holds the same state and makes the same records.

#![no_std]
#![warn(clippy::arithmetic_side_effects)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod admit;
mod apply;
mod book;
pub mod codec;
pub mod command;
mod effects;
mod genesis;
mod grants;
mod joins;
pub mod limits;
mod load;
mod members;
mod nodes;
mod once;
mod outcome;
pub mod planted;
mod policies;
mod quota;
mod rows;
mod servers;
mod text;
pub mod windows;

use alloc::collections::BTreeMap;
use alloc::string::String;

use tollbook_audit::Head;

pub use apply::{EntryMeta, Payload};
pub use command::Micros;
pub use effects::{
    AdmittedCall, Bound, Changed, CommandResult, Denial, DeniedBy, Effects, ElementResult,
    JoinRefusal, Receipts, Rejection, Sealed, Unauthorised, Write,
};
pub use load::LoadError;
pub use rows::{
    Account, Applied, Counter, CounterKey, FormerToken, Grant, Hold, JoinToken, Joined, Member,
    Members, OpenCall, Origin, PastRevision, Policy, Role, Server, SettledCall, Start,
};

use command::{CallId, GrantId, JoinTokenId, ServerId};
use rows::{Cluster, Meta, Seen};

/// All that the replicas agree on. Equal states have equal digests and the other way round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    meta: Meta,
    cluster: Cluster,
    origin: Option<Origin>,
    /// None until the entry of the genesis is done.
    head: Option<Head>,
    servers: BTreeMap<ServerId, Server>,
    /// Made from `servers`.
    server_names: BTreeMap<String, ServerId>,
    policies: BTreeMap<String, Policy>,
    grants: BTreeMap<GrantId, Grant>,
    /// Made from `grants`: those that are not revoked.
    grant_labels: BTreeMap<String, GrantId>,
    /// The newest `gs` of each grant that has a record.
    gs: BTreeMap<GrantId, u64>,
    counters: BTreeMap<CounterKey, u64>,
    open: BTreeMap<CallId, OpenCall>,
    /// Made from `open`; no zeros.
    open_of: BTreeMap<GrantId, usize>,
    settled: BTreeMap<CallId, SettledCall>,
    /// Made from `settled`, by order.
    settled_order: BTreeMap<u64, CallId>,
    seen: BTreeMap<(u32, u64), Seen>,
    starts: BTreeMap<u32, Start>,
    join_tokens: BTreeMap<JoinTokenId, JoinToken>,
}

impl State {
    /// The state before the first entry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The newest entry that was applied; replay goes on behind it.
    #[must_use]
    pub fn applied(&self) -> Option<Applied> {
        self.meta.applied
    }

    /// The log's time: that of the newest entry.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.meta.now
    }

    /// The members, as the newest membership entry has them.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.cluster.members
    }

    /// Whether this id was a member's and is none's. An id is never given twice, so whoever has it
    /// is a stranger.
    #[must_use]
    pub fn is_removed(&self, node: u32) -> bool {
        let is_member = self.cluster.members.nodes.iter().any(|m| m.node == node);
        !is_member && (node < self.cluster.removed_below || self.cluster.removed.contains(&node))
    }

    /// The newest start of a node and its boot; none where it never started, or was removed.
    #[must_use]
    pub fn starts(&self, node: u32) -> Option<(u64, u64)> {
        self.started(node).map(|start| (start.start, start.boot))
    }

    /// The same with all that the node said of itself.
    #[must_use]
    pub fn started(&self, node: u32) -> Option<&Start> {
        self.starts.get(&node)
    }

    /// Commands up to this version are applied. A program that knows less must not go on.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.cluster.version
    }

    /// C2SP verifier key that the log is signed by; none before genesis.
    #[must_use]
    pub fn log_key(&self) -> Option<&str> {
        self.cluster.log_key.as_deref()
    }

    /// Join tokens, ordered by id; used and expired ones for a while too.
    pub fn join_tokens(&self) -> impl Iterator<Item = &JoinToken> {
        self.join_tokens.values()
    }

    /// Counts changes of membership and log key, and recoveries, since genesis.
    #[must_use]
    pub fn config_epoch(&self) -> u32 {
        self.meta.epoch
    }

    /// What the log says of itself; none before genesis.
    #[must_use]
    pub fn genesis(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The end of the audit log; none before genesis.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// A grant by its public handle, revoked and expired ones included.
    #[must_use]
    pub fn grant(&self, id: &GrantId) -> Option<&Grant> {
        self.grants.get(id)
    }

    /// The one grant of this label that is not revoked.
    #[must_use]
    pub fn grant_by_label(&self, label: &str) -> Option<&Grant> {
        self.grant_labels
            .get(label)
            .and_then(|id| self.grants.get(id))
    }

    /// All grants, ordered by id.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.values()
    }

    /// A server by id.
    #[must_use]
    pub fn server(&self, id: &ServerId) -> Option<&Server> {
        self.servers.get(id)
    }

    /// A server by name.
    #[must_use]
    pub fn server_by_name(&self, name: &str) -> Option<&Server> {
        self.server_names
            .get(name)
            .and_then(|id| self.servers.get(id))
    }

    /// All servers, ordered by id.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// A policy in its revision in force.
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.get(name)
    }

    /// All policies, ordered by name.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// An admitted call without outcome.
    #[must_use]
    pub fn open_call(&self, call: &CallId) -> Option<&OpenCall> {
        self.open.get(call)
    }

    /// All of them, ordered by id.
    pub fn open_calls(&self) -> impl Iterator<Item = &OpenCall> {
        self.open.values()
    }

    /// How many calls are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// How many calls of one grant are open.
    #[must_use]
    pub fn open_count_of(&self, grant: &GrantId) -> usize {
        self.open_of.get(grant).copied().unwrap_or_default()
    }

    /// Counters of current and recent windows and what is used of each, oldest window first.
    pub fn counters(&self) -> impl Iterator<Item = (&CounterKey, u64)> {
        self.counters.iter().map(|(key, used)| (key, *used))
    }

    /// What is used of one counter.
    #[must_use]
    pub fn used(&self, key: &CounterKey) -> u64 {
        self.counters.get(key).copied().unwrap_or_default()
    }

    /// The grant's gapless counter: `gs` of its newest record, 0 before the first.
    #[must_use]
    pub fn gs(&self, grant: &GrantId) -> u64 {
        self.gs.get(grant).copied().unwrap_or_default()
    }
}
