//! A node that joins: it knows an address and an authority's fingerprint, and has shown nothing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::{debug, info};

use super::codes::{Code, Lost};
use super::limits::{
    CLOSE_TIME, DIAL_ADDRESSES_LIMIT, HANDSHAKE_TIME, JOIN_ANSWER_BYTES_LIMIT,
    JOIN_REQUEST_BYTES_LIMIT, JOIN_TIME,
};
use super::shared::{CLOSING, Shared, close};
use super::streams::{Reader, Writer, say};
use super::tls::{JOIN, TlsError, chain, client, dialer_transport};
use crate::certs::{CaCertificate, CertError, Fingerprint, Role, check, node_of};
use crate::options::Clock;
use crate::transport::Urgency;
use crate::types::NodeId;

/// The name that a joining node asks for. No certificate carries it: which node answers is not
/// known ahead, that it is one of the cluster's the fingerprint says.
const ANY_NODE: &str = "join.tollbook.internal";

/// Why a node could not ask to join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The name has no address, or not in time.
    #[error("the address `{address}` is not found; give `host:port` of a node of the cluster")]
    Address {
        /// What was given.
        address: String,
    },
    /// The connection broke after the request was on its way: it may have been carried out.
    #[error("the connection to `{address}` broke: {reason}")]
    Broken {
        /// Where.
        address: String,
        /// What the transport says.
        reason: String,
    },
    /// No answer in time. The request may have been carried out.
    #[error("no answer from `{address}` in time")]
    Late {
        /// Where.
        address: String,
    },
    /// This end cannot be set up.
    #[error("a socket for joining cannot be made: {reason}")]
    Local {
        /// What the system or the library says.
        reason: String,
    },
    /// The request is longer than a node takes.
    #[error("a request of {bytes} bytes; at most {limit}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Nobody was sent anything: nobody answers, who answers is not of the cluster with this
    /// fingerprint, or takes no joins.
    #[error("no node of the cluster answers at `{address}`: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the transport says.
        reason: String,
    },
}

/// What came of asking.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The answer, whatever it says.
    pub answer: Bytes,
    /// The authority that the fingerprint was of.
    pub authority: CaCertificate,
    /// The cluster of the node that answered.
    pub cluster: [u8; 16],
    /// The node that answered.
    pub node: NodeId,
}

/// Asks a node of a cluster to be let in, from a socket of its own. Sends nothing before the
/// other end has shown a certificate of the authority with this fingerprint. Must be polled on a
/// tokio runtime.
///
/// # Errors
/// [`JoinError`]; only after `Broken` and `Late` may the request have been carried out.
pub async fn ask_to_join(
    address: &str,
    fingerprint: Fingerprint,
    request: Bytes,
    clock: &Clock,
    within: Duration,
) -> Result<Joined, JoinError> {
    if request.len() > JOIN_REQUEST_BYTES_LIMIT {
        let (bytes, limit) = (request.len(), JOIN_REQUEST_BYTES_LIMIT);
        return Err(JoinError::TooLong { bytes, limit });
    }
    let local = |reason: String| JoinError::Local { reason };
    let config = config(fingerprint, clock).map_err(|error| local(error.to_string()))?;
    let not_found = || JoinError::Address {
        address: address.to_owned(),
    };
    let found = timeout(within.min(HANDSHAKE_TIME), lookup_host(address)).await;
    let found = found.map_err(|_| not_found())?.map_err(|_| not_found())?;
    let mut last = not_found();
    for at in found.take(DIAL_ADDRESSES_LIMIT) {
        let any: SocketAddr = match at {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let endpoint = Endpoint::client(any).map_err(|error| local(error.to_string()))?;
        let asked = async {
            let connection = connect(&endpoint, config.clone(), at)
                .await
                .map_err(|reason| {
                    let address = address.to_owned();
                    JoinError::Unreachable { address, reason }
                })?;
            ask(&connection, address, fingerprint, request.clone()).await
        };
        let asked = timeout(within, asked).await;
        endpoint.close(CLOSING, b"");
        drop(timeout(CLOSE_TIME, endpoint.wait_idle()).await);
        last = match asked {
            Ok(Err(error @ JoinError::Unreachable { .. })) => error,
            Ok(done) => return done,
            Err(_) => {
                return Err(JoinError::Late {
                    address: address.to_owned(),
                });
            }
        };
    }
    Err(last)
}

async fn connect(
    endpoint: &Endpoint,
    config: quinn::ClientConfig,
    at: SocketAddr,
) -> Result<Connection, String> {
    let connecting = endpoint
        .connect_with(config, at, ANY_NODE)
        .map_err(|error| error.to_string())?;
    match timeout(HANDSHAKE_TIME, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(super::codes::reason(&error)),
        Err(_) => Err("nothing is heard from it".to_owned()),
    }
}

async fn ask(
    connection: &Connection,
    address: &str,
    fingerprint: Fingerprint,
    request: Bytes,
) -> Result<Joined, JoinError> {
    let broken = |lost: Lost| {
        let (address, reason) = (address.to_owned(), lost.reason);
        if lost.undelivered {
            JoinError::Unreachable { address, reason }
        } else {
            JoinError::Broken { address, reason }
        }
    };
    let shown = chain(connection);
    let (authority, (cluster, node)) = shown
        .split_first()
        .and_then(|(own, others)| Some((find(others, fingerprint)?, node_of(own).ok()?)))
        .ok_or_else(|| broken(Lost::new("its certificate cannot be read")))?;
    let opened = connection.open_bi().await.map_err(Lost::from);
    let (send, receive) = opened.map_err(broken)?;
    let mut writer = Writer::new(send, Urgency::Usual);
    say(&mut writer, &[], request).await.map_err(broken)?;
    let budget = tokio::sync::Semaphore::new(JOIN_ANSWER_BYTES_LIMIT);
    let mut reader = Reader::new(receive, &Arc::new(budget));
    let answer = reader.only(JOIN_ANSWER_BYTES_LIMIT).await;
    Ok(Joined {
        answer: answer.map_err(|failure| broken(failure.into()))?,
        authority,
        cluster,
        node,
    })
}

fn config(fingerprint: Fingerprint, clock: &Clock) -> Result<quinn::ClientConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let verifier = Arc::new(ByFingerprint {
        fingerprint,
        provider: Arc::clone(&provider),
    });
    let mut config = client(&provider, clock)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![JOIN.to_vec()];
    config.resumption = Resumption::disabled();
    let config = QuicClientConfig::try_from(config)?;
    let mut config = quinn::ClientConfig::new(Arc::new(config));
    config.transport_config(Arc::new(dialer_transport()));
    Ok(config)
}

fn find(shown: &[CertificateDer<'_>], fingerprint: Fingerprint) -> Option<CaCertificate> {
    shown
        .iter()
        .filter_map(|der| CaCertificate::from_der(der).ok())
        .find(|authority| authority.fingerprint() == fingerprint)
}

/// Trusts the authority that a token's fingerprint is of, and whom it has signed as a node.
#[derive(Debug)]
struct ByFingerprint {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = |error| rustls::Error::InvalidCertificate(error);
        let authority = find(intermediates, self.fingerprint)
            .ok_or_else(|| refused(CertificateError::UnknownIssuer))?;
        node_of(end_entity).map_err(|_| refused(CertificateError::NotValidForName))?;
        if let Err(error) = check(&[authority], end_entity, Role::Listener, now) {
            let expired = matches!(
                error,
                CertError::Untrusted(webpki::Error::CertExpired { .. })
            );
            return Err(refused(if expired {
                CertificateError::Expired
            } else {
                CertificateError::UnknownIssuer
            }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The node's end: one request, one answer.
pub(super) async fn answer(shared: &Arc<Shared>, connection: &Connection) {
    let address = connection.remote_address();
    let Some(hook) = &shared.on_join else {
        return close(connection, Code::WrongProtocol);
    };
    let Ok(permit) = Arc::clone(&shared.joins).try_acquire_owned() else {
        shared.refused(address.ip(), "too many nodes ask to join");
        return close(connection, Code::Busy);
    };
    info!(%address, "a node asks to join");
    let answered = async {
        let accepted = connection.accept_bi().await;
        let (send, receive) = accepted.map_err(Lost::from)?;
        let mut writer = Writer::new(send, Urgency::Usual);
        let mut reader = Reader::new(receive, &shared.budget);
        let request = reader.only(JOIN_REQUEST_BYTES_LIMIT).await?;
        let answer = hook(address, request);
        // In a task: a token that is being used up must not stay half used when time runs out.
        let answer = shared.tasks.spawn(async move {
            let answer = answer.await;
            drop(permit);
            answer
        });
        let answer = answer.await.map_err(|_| Lost::new("the answer failed"))?;
        let answer = Some(answer).filter(|answer| answer.len() <= JOIN_ANSWER_BYTES_LIMIT);
        let answer = answer.ok_or_else(|| Lost::new("the answer is too long"))?;
        say(&mut writer, &[], answer).await?;
        // The joining node closes when it has the answer.
        connection.closed().await;
        Ok::<_, Lost>(())
    };
    match timeout(JOIN_TIME, answered).await {
        Ok(Ok(())) => {}
        Ok(Err(lost)) => {
            shared.refused(address.ip(), &lost.reason);
            close(connection, Code::Malformed);
        }
        Err(_) => {
            debug!(%address, "a join takes too long");
            close(connection, Code::Silent);
        }
    }
}
