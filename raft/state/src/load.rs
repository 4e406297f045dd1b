//! Rows back to a state, a state to rows, and the digest over them.

use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::State;
use crate::codec::{self, CodecError};
use crate::rows::{
    self, Cluster, Counter, Grant, GsRow, JoinToken, MetaRow, OpenCall, Origin, Policy, Row, Seen,
    Server, SettledCall, Start,
};
use tollbook_audit::Head;
use tollbook_audit::head::HeadError;

/// Why stored rows are not a state. The node must not serve.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The audit head does not decode.
    #[error("the stored audit head does not decode")]
    Head(#[source] HeadError),
    /// A row stands under a key that is not its own.
    #[error("the row under key {key:02x?} belongs under another key")]
    Key {
        /// The key.
        key: Vec<u8>,
    },
    /// There are rows, but not the one that every entry writes.
    #[error("the stored rows have no meta row")]
    Meta,
    /// A key that no row has.
    #[error("no row has the key {key:02x?}")]
    UnknownRow {
        /// The key.
        key: Vec<u8>,
    },
    /// A row does not decode.
    #[error("the row under key {key:02x?} does not decode")]
    Value {
        /// The key.
        key: Vec<u8>,
        /// Why.
        source: CodecError,
    },
}

impl State {
    /// Restores exactly the state that wrote these rows, in whatever order they come. No rows at
    /// all are the state before the first entry.
    pub fn load(rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Self, LoadError> {
        let mut state = Self::new();
        let mut any = false;
        let mut meta = false;
        for (key, value) in rows {
            let row = state.load_row(&key, &value)?;
            if row.key() != key {
                return Err(LoadError::Key { key });
            }
            any = true;
            meta |= row == Row::Meta;
        }
        if any && !meta {
            return Err(LoadError::Meta);
        }
        Ok(state)
    }

    /// SHA-256 over all rows. It walks the whole state: for tests, snapshots and comparison
    /// between nodes, not for every entry.
    ///
    /// # Panics
    /// Never: it asks for rows that it has just listed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for row in self.rows() {
            let value = self.value(&row).expect("a row that is listed is there");
            for part in [row.key(), value] {
                let length = u64::try_from(part.len()).expect("a length fits 64 bits");
                hash.update(length.to_be_bytes());
                hash.update(part);
            }
        }
        hash.finalize().into()
    }

    /// Every row as it is stored: what a snapshot holds.
    ///
    /// # Panics
    /// Never: it asks for rows that it has just listed.
    pub fn stored(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        self.rows().map(|row| {
            let value = self.value(&row).expect("a row that is listed is there");
            (row.key(), value)
        })
    }

    /// The stored value of a row, none where there is no such row.
    pub(crate) fn value(&self, row: &Row) -> Option<Vec<u8>> {
        match row {
            Row::Cluster => encoded(self.stored_cluster()),
            Row::Counter(key) => self.counters.get(key).map(|used| {
                codec::encode(&Counter {
                    key: key.clone(),
                    used: *used,
                })
            }),
            Row::Grant(id) => encoded(self.grants.get(id)),
            Row::Gs(id) => self.gs.get(id).map(|gs| {
                codec::encode(&GsRow {
                    grant: *id,
                    gs: *gs,
                })
            }),
            Row::JoinToken(id) => encoded(self.join_tokens.get(id)),
            Row::Meta => self.meta.applied.map(|_| {
                let head = self.head.as_ref().map(Head::to_bytes);
                codec::encode(&MetaRow {
                    meta: self.meta.clone(),
                    head,
                })
            }),
            Row::Open(call) => encoded(self.open.get(call)),
            Row::Origin => encoded(self.origin.as_ref()),
            Row::Policy(name) => encoded(self.policies.get(name)),
            Row::Seen(node, boot) => encoded(self.seen.get(&(*node, *boot))),
            Row::Server(id) => encoded(self.servers.get(id)),
            Row::Settled(call) => encoded(self.settled.get(call)),
            Row::Start(node) => encoded(self.starts.get(node)),
        }
    }

    /// SHA-256 of the stored row, as `admin` records name it.
    pub(crate) fn row_digest(&self, row: &Row) -> Option<[u8; 32]> {
        self.value(row).map(|value| Sha256::digest(value).into())
    }

    /// None while it is as it was before the first entry, when nothing has written its row.
    fn stored_cluster(&self) -> Option<&Cluster> {
        Some(&self.cluster).filter(|cluster| **cluster != Cluster::default())
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        let cluster = self.stored_cluster().map(|_| Row::Cluster);
        let meta = self.meta.applied.map(|_| Row::Meta);
        let origin = self.origin.as_ref().map(|_| Row::Origin);
        self.counters
            .keys()
            .cloned()
            .map(Row::Counter)
            .chain(self.grants.keys().copied().map(Row::Grant))
            .chain(self.gs.keys().copied().map(Row::Gs))
            .chain(cluster)
            .chain(self.join_tokens.keys().copied().map(Row::JoinToken))
            .chain(meta)
            .chain(self.open.keys().copied().map(Row::Open))
            .chain(origin)
            .chain(self.policies.keys().cloned().map(Row::Policy))
            .chain(self.seen.keys().map(|(node, boot)| Row::Seen(*node, *boot)))
            .chain(self.servers.keys().copied().map(Row::Server))
            .chain(self.settled.keys().copied().map(Row::Settled))
            .chain(self.starts.keys().copied().map(Row::Start))
    }

    /// Takes one row in and says which one it is.
    fn load_row(&mut self, key: &[u8], value: &[u8]) -> Result<Row, LoadError> {
        let row = Stored { key, value };
        let kind = key.first().copied();
        Ok(match kind {
            Some(rows::COUNTER) => {
                let Counter { key, used } = row.decode()?;
                self.counters.insert(key.clone(), used);
                Row::Counter(key)
            }
            Some(rows::GRANT) => {
                let grant: Grant = row.decode()?;
                let id = grant.id;
                if grant.revoked_at.is_none() {
                    self.grant_labels.insert(grant.label.clone(), id);
                }
                self.grants.insert(id, grant);
                Row::Grant(id)
            }
            Some(rows::GS) => {
                let GsRow { grant, gs } = row.decode()?;
                self.gs.insert(grant, gs);
                Row::Gs(grant)
            }
            Some(rows::META) => {
                let MetaRow { meta, head } = row.decode()?;
                self.meta = meta;
                self.head = head
                    .map(|bytes| Head::from_bytes(&bytes).map_err(LoadError::Head))
                    .transpose()?;
                Row::Meta
            }
            Some(rows::OPEN) => {
                let open: OpenCall = row.decode()?;
                let call = open.call;
                if self.open.contains_key(&call) {
                    return Err(LoadError::Key { key: key.to_vec() });
                }
                self.open_insert(open);
                Row::Open(call)
            }
            Some(rows::ORIGIN) => {
                let origin: Origin = row.decode()?;
                self.origin = Some(origin);
                Row::Origin
            }
            Some(rows::POLICY) => {
                let policy: Policy = row.decode()?;
                let name = policy.name.clone();
                self.policies.insert(name.clone(), policy);
                Row::Policy(name)
            }
            Some(rows::SEEN) => {
                let seen: Seen = row.decode()?;
                self.seen.insert((seen.node, seen.boot), seen);
                Row::Seen(seen.node, seen.boot)
            }
            Some(rows::SERVER) => {
                let server: Server = row.decode()?;
                let id = server.id;
                self.server_names.insert(server.name.clone(), id);
                self.servers.insert(id, server);
                Row::Server(id)
            }
            Some(rows::SETTLED) => {
                let settled: SettledCall = row.decode()?;
                self.settled_order.insert(settled.order, settled.call);
                self.settled.insert(settled.call, settled);
                Row::Settled(settled.call)
            }
            Some(_) | None => return self.load_cluster_row(&row),
        })
    }

    /// As `load_row`, for what is known of nodes.
    fn load_cluster_row(&mut self, row: &Stored<'_>) -> Result<Row, LoadError> {
        Ok(match row.key.first().copied() {
            Some(rows::CLUSTER) => {
                self.cluster = row.decode()?;
                Row::Cluster
            }
            Some(rows::JOIN_TOKEN) => {
                let token: JoinToken = row.decode()?;
                let id = token.id;
                self.join_tokens.insert(id, token);
                Row::JoinToken(id)
            }
            Some(rows::START) => {
                let start: Start = row.decode()?;
                let node = start.node;
                self.starts.insert(node, start);
                Row::Start(node)
            }
            Some(_) | None => {
                let key = row.key.to_vec();
                return Err(LoadError::UnknownRow { key });
            }
        })
    }
}

struct Stored<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

impl Stored<'_> {
    fn decode<T: DeserializeOwned>(&self) -> Result<T, LoadError> {
        codec::decode(self.value).map_err(|source| LoadError::Value {
            key: self.key.to_vec(),
            source,
        })
    }
}

fn encoded<T: Serialize>(value: Option<&T>) -> Option<Vec<u8>> {
    value.map(codec::encode)
}
