//! Makes one connection: look-up, address check, TCP, TLS. One look-up, and the address that was
//! checked is the one that is dialled.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::gate::{Gate, Gated};
use super::target::Origin;
use super::{ConnectFailure, within};
use crate::clock::{Clock, Moment};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// How servers prove who they are.
#[derive(Clone, Debug)]
pub struct Trust {
    /// For [`super::Pool::new`].
    pub config: Arc<ClientConfig>,
    /// How many roots this machine has. With none, every `https` server is refused.
    pub roots: usize,
}

/// Reads this machine's certificate roots. Made once, at start: it reads files.
///
/// # Panics
/// Never: ring's own default versions are versions that it supports.
pub fn trust() -> Trust {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate root could not be read");
    }
    let (roots, unreadable) = store.add_parsable_certificates(found.certs);
    tracing::debug!(roots, unreadable, "certificate roots read");
    Trust {
        config: tls_config(store),
        roots,
    }
}

pub(super) fn tls_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports its own default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A connection that HTTP is spoken on.
pub(super) enum Wire {
    Plain(Gated),
    Tls(Box<TlsStream<Gated>>),
}

/// Connects by `deadline`.
pub(super) async fn connect(
    origin: &Origin,
    config: &Arc<ClientConfig>,
    gate: Arc<Gate>,
    clock: Clock,
    deadline: Moment,
) -> Result<Wire, Late<ConnectFailure>> {
    let work = async {
        let addresses = addresses(origin).await?;
        let socket = dial(&addresses, clock, deadline).await?;
        // Calls are small and wait for each other's answers: never hold a segment back.
        socket
            .set_nodelay(true)
            .map_err(ConnectFailure::Unreachable)?;
        let gated = Gated::new(socket, gate, origin.tls);
        if !origin.tls {
            return Ok(Wire::Plain(gated));
        }
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(server_name(origin)?, gated).await;
        Ok(Wire::Tls(Box::new(stream.map_err(ConnectFailure::Tls)?)))
    };
    match within(clock, deadline, work).await {
        Ok(Ok(wire)) => Ok(wire),
        Ok(Err(failure)) => Err(Late::No(failure)),
        Err(_passed) => Err(Late::Yes),
    }
}

/// Whether it failed by being late. Only the caller knows which deadline that was.
pub(super) enum Late<E> {
    No(E),
    Yes,
}

async fn addresses(origin: &Origin) -> Result<Vec<SocketAddr>, ConnectFailure> {
    let found: Vec<SocketAddr> = match &origin.host {
        Host::Ipv4(address) => vec![SocketAddr::from((*address, origin.port))],
        Host::Ipv6(address) => vec![SocketAddr::from((*address, origin.port))],
        Host::Domain(name) => {
            let found = tokio::net::lookup_host((name.as_str(), origin.port)).await;
            found
                .map_err(ConnectFailure::Unresolved)?
                .take(ADDRESSES_MAX)
                .collect()
        }
    };
    // One forbidden address spoils the name: whoever serves it is playing.
    match found.iter().find(|address| is_forbidden(address.ip())) {
        Some(address) => Err(ConnectFailure::AddressForbidden {
            address: address.ip(),
        }),
        None => Ok(found),
    }
}

/// Tries each address in turn, each with its share of the time that is left, so that one black
/// hole does not hide the others.
async fn dial(
    addresses: &[SocketAddr],
    clock: Clock,
    deadline: Moment,
) -> Result<TcpStream, ConnectFailure> {
    let mut failure = ConnectFailure::NoAddress;
    for (address, remaining) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let now = clock.moment();
        let shares = u32::try_from(remaining).unwrap_or(u32::MAX);
        let share = deadline.left(now).checked_div(shares).unwrap_or_default();
        let attempt = TcpStream::connect(address);
        let attempt = match remaining {
            // The last one has all the time there is; the caller holds that deadline.
            1 => Ok(attempt.await),
            _ => within(clock, now.after(share), attempt).await,
        };
        match attempt {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => failure = ConnectFailure::Unreachable(error),
            Err(_passed) => {
                failure = ConnectFailure::Unreachable(io::ErrorKind::TimedOut.into());
            }
        }
    }
    Err(failure)
}

fn server_name(origin: &Origin) -> Result<ServerName<'static>, ConnectFailure> {
    match &origin.host {
        Host::Ipv4(address) => Ok(ServerName::from(IpAddr::V4(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(IpAddr::V6(*address))),
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|error| {
            ConnectFailure::Tls(io::Error::new(io::ErrorKind::InvalidInput, error))
        }),
    }
}

/// Addresses that no server has: a name that leads there asks the machine's own cloud metadata, or
/// many machines at once. Private networks are allowed: that is where servers are.
fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_forbidden_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(address) => is_forbidden_v4(address),
            None => {
                address.is_unspecified()
                    || address.is_multicast()
                    || address.is_unicast_link_local()
                    || address == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)
            }
        },
    }
}

fn is_forbidden_v4(address: Ipv4Addr) -> bool {
    address.is_unspecified()
        || address.is_multicast()
        || address.is_link_local()
        || address.is_broadcast()
}

/// The IPv4 address inside an IPv4-mapped, 6to4 or NAT64 one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(from(high, low)),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, _, _, _, _, _] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_multicast_are_forbidden_in_every_spelling() {
        let cases = [
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("2002:a9fe:a9fe::1", true),
            ("fd00:ec2::254", true),
            ("fe80::1", true),
            ("0.0.0.0", true),
            ("::", true),
            ("255.255.255.255", true),
            ("224.0.0.1", true),
            ("ff02::1", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("10.0.0.7", false),
            ("192.168.1.1", false),
            ("fd00::1", false),
            ("93.184.216.34", false),
            ("::ffff:10.0.0.7", false),
        ];
        for (text, forbidden) in cases {
            let address: IpAddr = text.parse().expect(text);
            assert_eq!(is_forbidden(address), forbidden, "{text}");
        }
    }
}
