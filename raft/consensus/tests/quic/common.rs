//! A cluster's authority, nodes on loopback, and a dialer without manners.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint};
use rustls::crypto::ring::default_provider;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use tollbook_audit::Micros;
use tollbook_raft::{
    Authority, CERTIFICATE_LIFE, CaCertificate, Channel, Clock, Identity, JoinHook, LinkError,
    NodeId, NodeKey, Peer, Quic, QuicSettings, Service, Target, Transport, Urgency,
};

/// Above all that should happen, below what a test run is worth.
pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const CLUSTER: [u8; 16] = [0xc1; 16];
const NOW: u64 = 1_790_000_000_000_000;

/// A clock that tests move.
#[derive(Clone, Debug)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOW)))
    }

    pub(crate) fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn forward(&self, by: Duration) {
        let by = u64::try_from(by.as_micros()).unwrap();
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = self.clone();
        Arc::new(move || time.now())
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let now = Duration::from_micros(self.now().0);
        Some(UnixTime::since_unix_epoch(now))
    }
}

pub(crate) fn authority() -> Authority {
    Authority::generate(CLUSTER, Micros(NOW)).unwrap()
}

/// A node of `by`, which trusts `trusted`.
pub(crate) fn identity_of(by: &Authority, node: NodeId, trusted: &[&Authority]) -> Identity {
    let key = NodeKey::generate().unwrap();
    let certificate = by
        .issue(node, &key.proved(), Micros(NOW), CERTIFICATE_LIFE)
        .unwrap();
    Identity::new(CLUSTER, node, key, &certificate, certificates(trusted)).unwrap()
}

pub(crate) fn identity(by: &Authority, node: NodeId) -> Identity {
    identity_of(by, node, &[by])
}

/// The same identity once more.
pub(crate) fn copy(identity: &Identity) -> Identity {
    Identity::from_pem(identity.cluster(), identity.node(), &identity.to_pem()).unwrap()
}

pub(crate) fn certificates(authorities: &[&Authority]) -> Vec<CaCertificate> {
    authorities
        .iter()
        .map(|authority| authority.certificate().clone())
        .collect()
}

type Answers = Box<dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Bytes> + Send + Sync>;
type Opens = Box<dyn Fn(NodeId, Channel) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a node does with what it is sent.
pub(crate) struct Serving {
    pub(crate) call: Answers,
    pub(crate) open: Opens,
    pub(crate) calls: AtomicU64,
    /// The keys that are listened to; none: all.
    pub(crate) keys: Option<Vec<[u8; 32]>>,
}

impl Serving {
    /// Answers who asked and what, and gives channels' messages back.
    pub(crate) fn echo() -> Self {
        Self {
            call: Box::new(|from, message| {
                Box::pin(async move { [format!("{from}:").as_bytes(), &message].concat().into() })
            }),
            open: Box::new(|_, mut channel| {
                Box::pin(async move {
                    while let Some(message) = channel.receive.recv().await {
                        if channel.send.send(message).await.is_err() {
                            return;
                        }
                    }
                })
            }),
            calls: AtomicU64::new(0),
            keys: None,
        }
    }

    /// The same for holders of one of these keys.
    pub(crate) fn for_keys(keys: &[[u8; 32]]) -> Self {
        Self {
            keys: Some(keys.to_vec()),
            ..Self::echo()
        }
    }

    pub(crate) fn calling<F>(call: impl Fn(NodeId, Bytes) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Bytes> + Send + 'static,
    {
        Self {
            call: Box::new(move |from, message| Box::pin(call(from, message))),
            ..Self::echo()
        }
    }

    pub(crate) fn opening<F>(open: impl Fn(NodeId, Channel) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            open: Box::new(move |from, channel| Box::pin(open(from, channel))),
            ..Self::echo()
        }
    }
}

impl Service for Serving {
    fn knows(&self, _from: NodeId, key: &[u8; 32]) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }

    fn call(&self, from: NodeId, message: Bytes) -> BoxFuture<'static, Bytes> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        (self.call)(from, message)
    }

    fn open(&self, from: NodeId, channel: Channel) -> BoxFuture<'static, ()> {
        (self.open)(from, channel)
    }
}

/// A node that listens.
pub(crate) struct Node {
    pub(crate) quic: Arc<Quic>,
    pub(crate) serving: Arc<Serving>,
    node: NodeId,
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl Node {
    pub(crate) fn new(identity: Identity) -> Self {
        Self::serving(identity, Serving::echo())
    }

    pub(crate) fn serving(identity: Identity, serving: Serving) -> Self {
        Self::with(identity, serving, &Time::new(), 0, None)
    }

    pub(crate) fn with(
        identity: Identity,
        serving: Serving,
        time: &Time,
        port: u16,
        on_join: Option<JoinHook>,
    ) -> Self {
        let node = identity.node();
        let serving = Arc::new(serving);
        let quic = Quic::bind(QuicSettings {
            listen: loopback(port),
            identity,
            clock: time.clock(),
            on_join,
        })
        .unwrap();
        quic.serve(Arc::<Serving>::clone(&serving));
        Self {
            quic,
            serving,
            node,
        }
    }

    pub(crate) fn target(&self) -> Target {
        target(self.node, self.quic.local_address())
    }

    pub(crate) fn calls(&self) -> u64 {
        self.serving.calls.load(Ordering::Relaxed)
    }

    pub(crate) async fn call(&self, to: &Target, message: &str) -> Result<String, LinkError> {
        let message = Bytes::copy_from_slice(message.as_bytes());
        let answer = self.quic.call(to.clone(), message, Urgency::Usual, LONG);
        Ok(String::from_utf8(answer.await?.to_vec()).unwrap())
    }

    pub(crate) async fn open(&self, to: &Target, urgency: Urgency) -> Channel {
        self.quic.open(to.clone(), urgency, LONG).await.unwrap()
    }
}

pub(crate) fn target(node: NodeId, address: SocketAddr) -> Target {
    Target {
        node,
        peer: Peer {
            peer_address: address.to_string(),
            ..Peer::default()
        },
    }
}

/// The reason of an error that says that nothing was delivered.
pub(crate) fn unreachable(error: LinkError) -> String {
    let LinkError::Unreachable { reason, .. } = error else {
        panic!("delivered, perhaps: {error}");
    };
    reason
}

/// A dialer that trusts `authority`, shows `shown` and says what it likes.
pub(crate) struct Raw {
    pub(crate) endpoint: Endpoint,
    config: quinn::ClientConfig,
}

impl Raw {
    pub(crate) fn new(
        authority: &Authority,
        shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
        protocol: &str,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from(authority.certificate().der());
        roots.add(root).unwrap();
        let provider = Arc::new(default_provider());
        let config = ClientConfig::builder_with_details(provider, Arc::new(Time::new()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let config = QuicClientConfig::try_from(config).unwrap();
        Self {
            endpoint: Endpoint::client(loopback(0)).unwrap(),
            config: quinn::ClientConfig::new(Arc::new(config)),
        }
    }

    pub(crate) fn showing(authority: &Authority, identity: &Identity, protocol: &str) -> Self {
        let certificate = CertificateDer::from(identity.certificate().to_vec());
        let key = PrivateKeyDer::from_pem_slice(identity.to_pem().as_bytes()).unwrap();
        Self::new(authority, Some((vec![certificate], key)), protocol)
    }

    pub(crate) fn connecting(&self, to: &Target) -> quinn::Connecting {
        let name = format!("node-{}.{}.tollbook.internal", to.node, "c1".repeat(16));
        let address = to.peer.peer_address.parse().unwrap();
        self.endpoint
            .connect_with(self.config.clone(), address, &name)
            .unwrap()
    }

    pub(crate) async fn connect(&self, to: &Target) -> Connection {
        self.connecting(to).await.unwrap()
    }
}

/// The number that the other end has closed a connection with.
pub(crate) async fn closed_with(connection: &Connection) -> u64 {
    let closed = connection.closed().await;
    let quinn::ConnectionError::ApplicationClosed(close) = closed else {
        panic!("not closed by the other end: {closed}");
    };
    close.error_code.into_inner()
}
