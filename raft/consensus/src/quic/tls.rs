//! TLS 1.3 as the cluster uses it: both ends show a certificate, nothing is resumed, so every
//! connection proves anew who is there, and nothing is sent ahead of the proof.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::crypto::rustls::{HandshakeData, NoInitialCipherSuite, QuicClientConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{Connection, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, UnixTime};
use zeroize::Zeroizing;

use super::codes::Code;
use super::limits::{
    CONNECTION_WINDOW, FIRST_RTT, IDLE_TIME, KEEP_ALIVE, STREAM_WINDOW, STREAMS_LIMIT,
};
use crate::certs::{CertError, Identity, NodeKey, Role, check, key_of, node_of};
use crate::options::Clock;
use crate::transport::Target;
use crate::types::NodeId;

/// What peers speak.
pub(super) const PEER: &[u8] = b"tollbook-peer/1";
/// What a node that joins speaks.
pub(super) const JOIN: &[u8] = b"tollbook-join/1";

/// Why TLS cannot be set up from an identity.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error(transparent)]
    Certificate(#[from] CertError),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    #[error(transparent)]
    Suite(#[from] NoInitialCipherSuite),
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
}

/// What handshakes use from when an identity is set until it is replaced.
pub(super) struct Tls {
    pub(super) identity: Arc<Identity>,
    pub(super) dial: quinn::ClientConfig,
    pub(super) listen: Arc<QuicServerConfig>,
    clock: Clock,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Who is at the other end of a connection that was dialled to here.
#[derive(Debug)]
pub(super) enum Who {
    /// A node that wants to join: it has shown nothing.
    Joins,
    /// A node of this cluster.
    Peer(NodeId, CertificateDer<'static>),
}

impl Tls {
    pub(super) fn new(
        identity: Arc<Identity>,
        clock: &Clock,
        joins: bool,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        for trusted in identity.trusted() {
            roots.add(CertificateDer::from(trusted.der()))?;
        }
        let roots = Arc::new(roots);
        let chain = identity.chain();
        let key = identity.key();

        let verifier = Arc::clone(&roots);
        let verifier = WebPkiServerVerifier::builder_with_provider(verifier, Arc::clone(&provider));
        let own: Vec<_> = chain.iter().take(1).cloned().collect();
        let mut dial = client(&provider, clock)?
            .with_webpki_verifier(verifier.build()?)
            .with_client_auth_cert(own, key.to_tls())?;
        dial.alpn_protocols = vec![PEER.to_vec()];
        dial.resumption = Resumption::disabled();
        let dial = QuicClientConfig::try_from(dial)?;
        let mut dial = quinn::ClientConfig::new(Arc::new(dial));
        dial.transport_config(Arc::new(dialer_transport()));

        // TLS asks for a certificate before it knows which protocol it will be; whether one must
        // be there is checked when it does, before anything is read.
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let mut listen = ServerConfig::builder_with_details(provider, time(clock))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key.to_tls())?;
        listen.alpn_protocols = vec![PEER.to_vec()];
        if joins {
            listen.alpn_protocols.push(JOIN.to_vec());
        }
        listen.session_storage = Arc::new(NoServerSessionStorage {});
        listen.send_tls13_tickets = 0;
        Ok(Self {
            identity,
            dial,
            listen: Arc::new(QuicServerConfig::try_from(listen)?),
            clock: Arc::clone(clock),
        })
    }

    /// Who has dialled. TLS has checked a certificate if there is one.
    pub(super) fn dialer(&self, connection: &Connection) -> Result<Who, Code> {
        let certificate = certificate(connection);
        match (protocol(connection).as_deref(), certificate) {
            (Some(PEER), None) => Err(Code::NoCertificate),
            (Some(PEER), Some(certificate)) => match node_of(&certificate) {
                Ok((cluster, node)) if cluster == self.identity.cluster() => {
                    Ok(Who::Peer(node, certificate))
                }
                Ok(_) | Err(_) => Err(Code::ForeignCertificate),
            },
            (Some(JOIN), None) => Ok(Who::Joins),
            (Some(_) | None, Some(_) | None) => Err(Code::WrongProtocol),
        }
    }

    /// Whether a connection has reached `node`. TLS has checked the name that was asked for; this
    /// holds its certificate to the one form, as the listener does, and to the key that the member
    /// is known by.
    pub(super) fn listener(
        &self,
        connection: &Connection,
        to: &Target,
    ) -> Result<CertificateDer<'static>, Code> {
        if protocol(connection).as_deref() != Some(PEER) {
            return Err(Code::WrongProtocol);
        }
        let certificate = certificate(connection).ok_or(Code::NoCertificate)?;
        let (named, key) = (node_of(&certificate), key_of(&certificate));
        match (named, key) {
            (Ok(named), Ok(key))
                if named == (self.identity.cluster(), to.node) && to.peer.is_known_by(&key) =>
            {
                Ok(certificate)
            }
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(Code::ForeignCertificate),
        }
    }

    /// Whether a certificate that was good once still is.
    pub(super) fn still_trusts(&self, certificate: &CertificateDer<'_>, role: Role) -> bool {
        let now = Duration::from_micros((self.clock)().0);
        let now = UnixTime::since_unix_epoch(now);
        check(self.identity.trusted(), certificate, role, now).is_ok()
    }
}

type WantsVerifier = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

pub(super) fn client(
    provider: &Arc<CryptoProvider>,
    clock: &Clock,
) -> Result<WantsVerifier, rustls::Error> {
    ClientConfig::builder_with_details(Arc::clone(provider), time(clock))
        .with_protocol_versions(&[&TLS13])
}

/// The protocol that was agreed on.
fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast::<HandshakeData>().ok()?.protocol
}

/// What the other end has shown, its own certificate first.
pub(super) fn chain(connection: &Connection) -> Vec<CertificateDer<'static>> {
    connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .map_or_else(Vec::new, |chain| *chain)
}

fn certificate(connection: &Connection) -> Option<CertificateDer<'static>> {
    chain(connection).into_iter().next()
}

/// The node's clock, for rustls.
struct NodeTime(Clock);

impl fmt::Debug for NodeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeTime")
    }
}

impl TimeProvider for NodeTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = Duration::from_micros((self.0)().0);
        Some(UnixTime::since_unix_epoch(now))
    }
}

fn time(clock: &Clock) -> Arc<dyn TimeProvider> {
    Arc::new(NodeTime(Arc::clone(clock)))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = u32::try_from(IDLE_TIME.as_millis()).unwrap_or(u32::MAX);
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(FIRST_RTT)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        // Nothing here fits in a packet for sure, and nothing may be lost.
        .datagram_receive_buffer_size(None);
    transport
}

/// A listener opens one stream, to greet.
pub(super) fn dialer_transport() -> TransportConfig {
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(1));
    transport
}

/// A dialer opens all others.
pub(super) fn listener_transport() -> TransportConfig {
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_LIMIT))
        .max_concurrent_uni_streams(VarInt::from_u32(0));
    transport
}

/// What makes a node that has restarted tell its peers so: it knows its old connections' ids, and
/// signs the resets that peers have been told to believe, with keys that it had before.
pub(super) fn endpoint(key: &NodeKey) -> EndpointConfig {
    let ids = key.derive("tollbook peer connection ids v1");
    let (ids, _) = ids.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    let ids = u64::from_be_bytes(*ids);
    let resets = ResetKey(key.derive("tollbook peer stateless reset v1"));
    let mut config = EndpointConfig::new(Arc::new(resets));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

struct ResetKey(Zeroizing<[u8; 32]>);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        blake3::Hasher::new_keyed(&self.0)
            .update(data)
            .finalize_xof()
            .fill(signature_out);
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let found: [u8; 32] = signature.try_into().map_err(|_| CryptoError)?;
        // Of blake3's own kind, whose comparison takes the same time for all.
        if blake3::keyed_hash(&self.0, data) == blake3::Hash::from_bytes(found) {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_signed_alike_after_a_restart_and_by_no_other_node() {
        let key = NodeKey::generate().unwrap();
        let context = "tollbook peer stateless reset v1";
        let (before, after) = (ResetKey(key.derive(context)), ResetKey(key.derive(context)));
        let mut signature = [0; blake3::OUT_LEN];
        before.sign(b"id", &mut signature);
        after.verify(b"id", &signature).unwrap();
        assert!(after.verify(b"ie", &signature).is_err());
        assert!(after.verify(b"id", b"").is_err());
        let other = ResetKey(NodeKey::generate().unwrap().derive(context));
        assert!(other.verify(b"id", &signature).is_err());
    }
}
