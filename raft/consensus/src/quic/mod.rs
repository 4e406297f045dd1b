//! Peers over QUIC: the [`Transport`] of real clusters.
//!
//! Each node dials each peer that it has something for, and keeps the connection; so there are up
//! to two between two nodes, one a direction. TLS 1.3 proves who is at either end (`certs`), and
//! proves it anew for every connection: nothing is resumed, nothing goes ahead of the proof.
//!
//! Streams of a connection, all but the first opened by the dialer:
//!
//! * the listener's greeting, one byte on a stream of its own: the dialer's certificate is taken.
//!   Before it, nothing is sent; what fails before it has not arrived.
//! * a call: kind and urgency, one message, the end; back comes one message and the end.
//! * a channel: kind and urgency, then messages; back comes one byte (it is taken), then messages.
//!
//! A message is four bytes of length and as many bytes, on calls too: quinn ends a stream in
//! order when whoever writes it is dropped, and half a message must not pass for one.
//!
//! A joining node speaks another protocol on the same port, without a certificate (`join`). The
//! bytes are in `docs/peer-wire.md`.

mod codes;
mod frames;
mod join;
mod limits;
mod links;
mod listen;
mod shared;
mod streams;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::DropGuard;
use tracing::{error, info};

use tollbook_audit::Micros;

use self::limits::{CLOSE_TIME, INCOMING_BYTES_LIMIT, INCOMING_LIMIT};
use self::links::unreachable;
use self::shared::{CLOSING, Running, Shared, add, close};
use self::streams::CallFailure;
use self::tls::{Tls, TlsError};
use crate::certs::{CertError, Identity};
use crate::options::Clock;
use crate::transport::{Channel, LinkError, Service, Target, Transport, Urgency};
use crate::types::NodeId;

pub use self::frames::{FrameReader, FrameTooLong};
pub use self::join::{JoinError, Joined, ask_to_join};
pub use self::shared::QuicStats;

/// Answers a request to join. Whoever sends it has shown nothing; the address may not be its own
/// for long. Runs to its end, however long the asker waits.
pub type JoinHook = Arc<dyn Fn(SocketAddr, Bytes) -> BoxFuture<'static, Bytes> + Send + Sync>;

/// What the transport is made from.
pub struct QuicSettings {
    /// Where to listen, over UDP.
    pub listen: SocketAddr,
    /// What this node shows.
    pub identity: Identity,
    /// Against which certificates are held.
    pub clock: Clock,
    /// Takes requests to join. Without it, nobody is asked in.
    pub on_join: Option<JoinHook>,
}

impl fmt::Debug for QuicSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicSettings")
            .field("listen", &self.listen)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// The identity is of another node or cluster.
    #[error("the identity is of node {given}, or of another cluster; this is node {node}")]
    AnotherNode {
        /// This node.
        node: NodeId,
        /// Whose it is.
        given: NodeId,
    },
    /// The address is taken, not this machine's, or not allowed.
    #[error("cannot listen for peers on UDP `{address}`; is another node running there?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("the node's certificates cannot be used")]
    Certificate(#[from] CertError),
    /// TLS cannot be set up from the certificates.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// What the library says.
        reason: String,
    },
}

impl From<TlsError> for QuicError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Certificate(error) => Self::Certificate(error),
            TlsError::Rustls(_) | TlsError::Suite(_) | TlsError::Verifier(_) => Self::Tls {
                reason: error.to_string(),
            },
        }
    }
}

/// Peers over QUIC.
pub struct Quic {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// What [`Transport::serve`] takes.
    socket: Mutex<Option<(UdpSocket, EndpointConfig)>>,
    /// Stops the tasks with the transport.
    _stop: DropGuard,
}

impl fmt::Debug for Quic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quic")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Quic {
    /// Takes the port, and nothing from it until [`Transport::serve`]. Needs no runtime.
    ///
    /// # Errors
    /// When the port is not to be had, or the identity is none that TLS takes.
    pub fn bind(settings: QuicSettings) -> Result<Arc<Self>, QuicError> {
        let QuicSettings {
            listen,
            identity,
            clock,
            on_join,
        } = settings;
        let bind = |source| QuicError::Bind {
            address: listen,
            source,
        };
        let socket = UdpSocket::bind(listen).map_err(bind)?;
        let address = socket.local_addr().map_err(bind)?;
        let config = tls::endpoint(identity.key());
        let tls = Tls::new(Arc::new(identity), &clock, on_join.is_some())?;
        let crypto = Arc::<quinn::crypto::rustls::QuicServerConfig>::clone(&tls.listen);
        let mut listens = ServerConfig::with_crypto(crypto);
        listens
            .transport_config(Arc::new(tls::listener_transport()))
            // A node stays where it is, or is dialled anew.
            .migration(false)
            .max_incoming(INCOMING_LIMIT)
            .incoming_buffer_size(INCOMING_BYTES_LIMIT)
            .incoming_buffer_size_total(INCOMING_BYTES_LIMIT.saturating_mul(8));
        let shared = Arc::new(Shared::new(tls, listens, clock, on_join));
        let stop = shared.stop.clone().drop_guard();
        Ok(Arc::new(Self {
            shared,
            address,
            socket: Mutex::new(Some((socket, config))),
            _stop: stop,
        }))
    }

    /// Where it listens, with the port that the system has chosen.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Shows another certificate, or trusts other authorities, from the next handshake on. Calls
    /// dial anew; connections stay for what runs on them, unless they rest on a certificate that
    /// is no longer trusted. The keys by which peers know that this node has restarted stay those
    /// of the identity it was bound with.
    ///
    /// # Errors
    /// When it is another node's, or none that TLS takes: the one before stays.
    pub fn set_identity(&self, identity: Identity) -> Result<(), QuicError> {
        let before = self.shared.current();
        let node = before.identity.node();
        if identity.node() != node || identity.cluster() != before.identity.cluster() {
            let given = identity.node();
            return Err(QuicError::AnotherNode { node, given });
        }
        let joins = self.shared.on_join.is_some();
        let tls = Tls::new(Arc::new(identity), &self.shared.clock, joins)?;
        info!(
            expires = tls.identity.expires().0,
            "the node's certificate is replaced"
        );
        self.shared.replace(tls);
        Ok(())
    }

    /// What this node shows at present.
    #[must_use]
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.shared.current().identity)
    }

    /// When the certificate that this node shows ends.
    #[must_use]
    pub fn expires(&self) -> Micros {
        self.shared.current().identity.expires()
    }

    /// How often what has happened.
    #[must_use]
    pub fn stats(&self) -> QuicStats {
        self.shared.stats()
    }
}

impl Transport for Quic {
    fn serve(&self, service: Arc<dyn Service>) {
        let socket = self
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((socket, config)) = socket else {
            error!("the transport to peers serves already");
            return;
        };
        let runtime = Arc::new(TokioRuntime);
        let listens = Some(self.shared.listens());
        let endpoint = match Endpoint::new(config, listens, socket, runtime) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                error!(%error, "peers cannot be served; none is reached");
                return;
            }
        };
        let running = Running {
            endpoint: endpoint.clone(),
            handle: Handle::current(),
        };
        if self.shared.running.set(running).is_err() {
            error!("the transport to peers serves already");
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(listen::listen(shared, endpoint, service));
    }

    fn call(
        &self,
        to: Target,
        message: Bytes,
        urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { call(&shared, &to, message, urgency, within).await })
    }

    fn open(
        &self,
        to: Target,
        urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Channel, LinkError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { open(&shared, &to, urgency, within).await })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared.stop.cancel();
            shared.tasks.close();
            let Some(running) = shared.running.get() else {
                return;
            };
            running.endpoint.close(CLOSING, b"");
            let told = async {
                running.endpoint.wait_idle().await;
                shared.tasks.wait().await;
            };
            drop(timeout(CLOSE_TIME, told).await);
        })
    }
}

async fn call(
    shared: &Arc<Shared>,
    to: &Target,
    message: Bytes,
    urgency: Urgency,
    within: Duration,
) -> Result<Bytes, LinkError> {
    let (bytes, limit) = (message.len(), streams::limit(urgency));
    if bytes > limit {
        let reason = format!("the message has {bytes} bytes; at most {limit}");
        return Err(unreachable(to, &reason));
    }
    let deadline = Instant::now() + within;
    let live = links::connection(shared, to, deadline).await?;
    let heard = heard(&live.connection);
    let exchange = streams::call(&live.connection, &shared.budget, urgency, message);
    match timeout_at(deadline, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(CallFailure::Unsent(lost))) => Err(unreachable(to, &lost.reason)),
        Ok(Err(CallFailure::Sent(lost))) => Err(LinkError::Broken {
            node: to.node,
            reason: lost.reason,
        }),
        Err(_) => Err(late(shared, to, &live.connection, heard)),
    }
}

async fn open(
    shared: &Arc<Shared>,
    to: &Target,
    urgency: Urgency,
    within: Duration,
) -> Result<Channel, LinkError> {
    let deadline = Instant::now() + within;
    let live = links::connection(shared, to, deadline).await?;
    let heard = heard(&live.connection);
    match timeout_at(deadline, streams::open(shared, &live, urgency)).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(lost)) => Err(unreachable(to, &lost.reason)),
        Err(_) => Err(late(shared, to, &live.connection, heard)),
    }
}

fn heard(connection: &quinn::Connection) -> u64 {
    connection.stats().udp_rx.datagrams
}

/// An answer is late. From a peer that lives, packets came meanwhile, acknowledgements at the
/// least: then it is slow, and closing would break what else is on its way. If none came, the
/// connection is dead, and the next message dials anew instead of waiting for it to time out.
fn late(
    shared: &Shared,
    to: &Target,
    connection: &quinn::Connection,
    heard_before: u64,
) -> LinkError {
    if heard(connection) == heard_before {
        add(&shared.counts.silent);
        close(connection, codes::Code::Silent);
    }
    LinkError::Late { node: to.node }
}
