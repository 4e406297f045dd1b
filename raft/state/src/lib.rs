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
pub mod limits;
mod load;
mod once;
mod outcome;
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
    Receipts, Rejection, Sealed, Unauthorised, Write,
};
pub use load::LoadError;
pub use rows::{
    Account, Applied, Counter, CounterKey, Grant, Hold, Members, OpenCall, Origin, PastRevision,
    Policy, Role, Server, SettledCall,
};

use command::{CallId, GrantId, ServerId};
use rows::{Meta, Seen};

/// All that the replicas agree on. Equal states have equal digests and the other way round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    meta: Meta,
    origin: Option<Origin>,
    /// None until the entry of the genesis is done.
    head: Option<Head>,
    servers: BTreeMap<ServerId, Server>,
    /// Made from `servers`.
    server_names: BTreeMap<String, ServerId>,
    policies: BTreeMap<String, Policy>,
    grants: BTreeMap<GrantId, Grant>,
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
        &self.meta.members
    }

    /// Counts changes of membership since genesis.
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
