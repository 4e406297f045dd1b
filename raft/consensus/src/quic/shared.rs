//! What the tasks of one transport have in common.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use quinn::{Connection, Endpoint, ServerConfig, VarInt};
use rustls_pki_types::CertificateDer;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::JoinHook;
use super::codes::Code;
use super::limits::{
    CONNECTIONS_PER_PEER_LIMIT, HANDSHAKES_LIMIT, HANDSHAKES_PER_ADDRESS_LIMIT,
    INBOUND_BYTES_LIMIT, JOINS_LIMIT, MESSAGE_BYTES_FREE, RECHECK,
};
use super::links::Links;
use super::tls::Tls;
use crate::certs::Role;
use crate::options::Clock;
use crate::types::NodeId;

/// How often what has happened since the transport was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuicStats {
    /// Connections to peers that came to be.
    pub dialled: u64,
    /// Attempts at one that failed.
    pub dials_failed: u64,
    /// Connections from peers that came to be.
    pub accepted: u64,
    /// Connections from peers or strangers that were refused or did not come to be.
    pub refused: u64,
    /// First packets that were turned away because a limit was reached.
    pub turned_away: u64,
    /// Streams of peers that were ended because of what they held, or of a limit.
    pub streams_refused: u64,
    /// Connections that were closed because they were silent when an answer was due.
    pub silent: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) dialled: AtomicU64,
    pub(super) dials_failed: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) streams_refused: AtomicU64,
    pub(super) silent: AtomicU64,
}

pub(super) fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Where the transport runs, from when it serves.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) endpoint: Endpoint,
    pub(super) handle: Handle,
}

pub(super) struct Shared {
    /// Connections watch it, to see whether they may stay.
    pub(super) tls: watch::Sender<Arc<Tls>>,
    pub(super) clock: Clock,
    pub(super) on_join: Option<JoinHook>,
    pub(super) running: OnceLock<Running>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) counts: Counts,
    pub(super) links: Links,
    pub(super) budget: Arc<Semaphore>,
    pub(super) joins: Arc<Semaphore>,
    pub(super) slots: Arc<Slots>,
    pub(super) peers: Peers,
    /// Keeps the key of retry tokens when the identity changes.
    listens: Mutex<ServerConfig>,
}

impl Shared {
    pub(super) fn new(
        tls: Tls,
        listens: ServerConfig,
        clock: Clock,
        on_join: Option<JoinHook>,
    ) -> Self {
        Self {
            tls: watch::Sender::new(Arc::new(tls)),
            clock,
            on_join,
            running: OnceLock::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            counts: Counts::default(),
            links: Links::default(),
            budget: Arc::new(Semaphore::new(INBOUND_BYTES_LIMIT / MESSAGE_BYTES_FREE)),
            joins: Arc::new(Semaphore::new(JOINS_LIMIT)),
            slots: Arc::new(Slots::default()),
            peers: Peers::default(),
            listens: Mutex::new(listens),
        }
    }

    pub(super) fn current(&self) -> Arc<Tls> {
        Arc::clone(&self.tls.borrow())
    }

    pub(super) fn listens(&self) -> ServerConfig {
        self.listens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Handshakes use another identity from here on.
    pub(super) fn replace(&self, tls: Tls) {
        let mut listens = self.listens.lock().unwrap_or_else(PoisonError::into_inner);
        listens.crypto = Arc::<quinn::crypto::rustls::QuicServerConfig>::clone(&tls.listen);
        if let Some(running) = self.running.get() {
            running.endpoint.set_server_config(Some(listens.clone()));
        }
        drop(listens);
        self.tls.send_replace(Arc::new(tls));
    }

    /// Runs a task where the transport runs. Nothing when it does not.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(running) = self.running.get() {
            drop(self.tasks.spawn_on(task, &running.handle));
        }
    }

    pub(super) fn refused_stream(&self, code: Code) {
        add(&self.counts.streams_refused);
        warn!(?code, "a peer's stream is ended for what it holds");
    }

    pub(super) fn refused(&self, address: IpAddr, why: &str) {
        add(&self.counts.refused);
        // A stranger can cause as many of these as it likes.
        debug!(%address, why, "a connection is refused");
    }

    pub(super) fn stats(&self) -> QuicStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        QuicStats {
            dialled: read(&self.counts.dialled),
            dials_failed: read(&self.counts.dials_failed),
            accepted: read(&self.counts.accepted),
            refused: read(&self.counts.refused),
            turned_away: read(&self.counts.turned_away),
            streams_refused: read(&self.counts.streams_refused),
            silent: read(&self.counts.silent),
        }
    }
}

pub(super) fn close(connection: &Connection, code: Code) {
    connection.close(code.wire(), b"");
}

/// Ends a connection when its peer's certificate lapses (at its end, or when the authority that
/// signed it is no longer trusted), and when nobody uses it who once could: that is when the
/// channel's senders are gone. Without one, the dialer says when it ends.
pub(super) async fn guard(
    shared: Arc<Shared>,
    connection: Connection,
    node: NodeId,
    certificate: CertificateDer<'static>,
    role: Role,
    mut users: Option<mpsc::Receiver<()>>,
) {
    let mut identities = shared.tls.subscribe();
    loop {
        // Ahead of the first wait, too: the identity may have changed since the handshake.
        if !shared.current().still_trusts(&certificate, role) {
            warn!(
                node,
                ?role,
                "a connection is ended: its certificate is no longer good"
            );
            return close(&connection, Code::LapsedCertificate);
        }
        tokio::select! {
            reason = connection.closed() => {
                info!(node, ?role, %reason, "a connection has ended");
                return;
            }
            () = unused(&mut users) => return close(&connection, Code::Done),
            () = shared.stop.cancelled() => return,
            _ = identities.changed() => {}
            () = sleep(RECHECK) => {}
        }
    }
}

async fn unused(users: &mut Option<mpsc::Receiver<()>>) {
    match users {
        // Nothing is ever sent: it comes back when all senders are gone.
        Some(users) => while users.recv().await.is_some() {},
        None => std::future::pending().await,
    }
}

/// The connections that peers have dialled.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<HashMap<NodeId, VecDeque<Connection>>>);

impl Peers {
    /// Takes one more. The oldest goes when there are too many: it is likely the one that is dead.
    pub(super) fn add(&self, node: NodeId, connection: Connection) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = peers.entry(node).or_default();
        own.retain(|other| other.close_reason().is_none());
        own.push_back(connection);
        if own.len() > CONNECTIONS_PER_PEER_LIMIT
            && let Some(oldest) = own.pop_front()
        {
            close(&oldest, Code::Replaced);
        }
    }

    /// Forgets one that has ended.
    pub(super) fn remove(&self, node: NodeId, connection: &Connection) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = peers.get_mut(&node) {
            own.retain(|other| other.stable_id() != connection.stable_id());
            if own.is_empty() {
                peers.remove(&node);
            }
        }
    }
}

/// The handshakes that are under way, by where they come from.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<IpAddr, usize>>);

/// Whether a handshake may begin.
#[derive(Debug)]
pub(super) enum Slot {
    Free(Taken),
    /// Once the dialer has shown that its address is its own.
    Prove,
    Full,
}

impl Slots {
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, proved: bool) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = slots.values().sum();
        let same = slots.get(&address).copied().unwrap_or_default();
        if all >= HANDSHAKES_LIMIT || same >= HANDSHAKES_PER_ADDRESS_LIMIT {
            return Slot::Full;
        }
        if all >= super::limits::HANDSHAKES_UNPROVED_LIMIT && !proved {
            return Slot::Prove;
        }
        slots.insert(address, same + 1);
        Slot::Free(Taken {
            slots: Arc::clone(self),
            address,
        })
    }
}

/// A handshake's place, given back on drop.
#[derive(Debug)]
pub(super) struct Taken {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut slots = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = slots.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                slots.remove(&self.address);
            }
        }
    }
}

/// The code of an orderly end, for the endpoint as a whole.
pub(super) const CLOSING: VarInt = Code::Closing.wire();

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_does_not_take_all_slots() {
        let slots = Arc::new(Slots::default());
        let mut taken = Vec::new();
        while let Slot::Free(slot) = slots.take(address(1), true) {
            taken.push(slot);
        }
        assert_eq!(taken.len(), HANDSHAKES_PER_ADDRESS_LIMIT);
        assert!(matches!(slots.take(address(2), true), Slot::Free(_)));
        taken.clear();
        assert!(slots.0.lock().unwrap().is_empty());
    }

    #[test]
    fn all_addresses_together_do_not_take_more_than_there_are() {
        let slots = Arc::new(Slots::default());
        let mut taken = Vec::new();
        for last in 0..=u8::MAX {
            if let Slot::Free(slot) = slots.take(address(last), true) {
                taken.push(slot);
            }
        }
        assert_eq!(taken.len(), HANDSHAKES_LIMIT);
    }

    #[test]
    fn beyond_a_few_an_address_must_be_proved() {
        let slots = Arc::new(Slots::default());
        let mut taken = Vec::new();
        while let Slot::Free(slot) = slots.take(address(1), false) {
            taken.push(slot);
        }
        assert_eq!(taken.len(), super::super::limits::HANDSHAKES_UNPROVED_LIMIT);
        assert!(matches!(slots.take(address(2), false), Slot::Prove));
        assert!(matches!(slots.take(address(2), true), Slot::Free(_)));
    }
}
