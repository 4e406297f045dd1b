//! The same over TLS. The certificate is for `localhost`, from a root made for these tests alone,
//! valid until 2126.

use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::upstream::ConnectFailure;

const ROOT: &[u8] = include_bytes!("certificates/root.crt.der");
const LEAF: &[u8] = include_bytes!("certificates/localhost.crt.der");
const KEY: &[u8] = include_bytes!("certificates/localhost.key.der");

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KEY));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring's versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(LEAF)], key)
        .expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

fn trusting(limits: PoolLimits) -> Bench {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ROOT)).expect("a root");
    let tasks = TaskTracker::new();
    Bench {
        pool: Pool::new(limits, tls_config(roots), tasks.clone(), Clock::default()),
        tasks,
    }
}

/// A TLS server that answers up to `requests` on each connection and then closes it.
async fn server(bench: &Bench, requests: usize) -> (Target, Arc<Seen>) {
    let acceptor = acceptor();
    let (target, seen) = bench
        .server(move |_, stream, seen| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                for _ in 0..requests {
                    if read_request(&mut stream, &seen).await.is_none() {
                        return;
                    }
                    stream.write_all(OK).await.expect("written");
                    stream.flush().await.expect("flushed");
                }
                // The client may be gone first.
                drop(stream.shutdown().await);
            }
        })
        .await;
    (at("localhost", &target), seen)
}

fn at(host: &str, target: &Target) -> Target {
    let url = format!("https://{host}:{}/mcp", target.port());
    Target::parse(&url).expect("a url")
}

#[tokio::test]
async fn a_trusted_server_is_reached_and_kept() {
    let bench = trusting(PoolLimits::default());
    let (target, seen) = server(&bench, usize::MAX).await;
    for _ in 0..50 {
        assert_eq!(bench.exchange(&target).await.expect("a reply"), "ok");
    }
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn an_untrusted_server_gets_no_byte_of_the_request() {
    let bench = Bench::new();
    let (target, seen) = server(&bench, 1).await;
    let result = bench.send(&target).await;
    assert!(
        matches!(result, Err(NotSent::Connect(ConnectFailure::Tls(_)))),
        "{result:?}"
    );
    assert_eq!(seen.bytes(), 0);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let bench = trusting(PoolLimits::default());
    let (target, seen) = server(&bench, 1).await;
    let result = bench.send(&at("127.0.0.1", &target)).await;
    assert!(
        matches!(result, Err(NotSent::Connect(ConnectFailure::Tls(_)))),
        "{result:?}"
    );
    assert_eq!(seen.bytes(), 0);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_apart() {
    let bench = trusting(PoolLimits::default());
    let (target, _seen) = bench
        .server(|_, mut stream, seen| async move {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .expect("written");
            drain(&mut stream, &seen).await;
        })
        .await;
    let result = bench.send(&at("localhost", &target)).await;
    assert!(
        matches!(result, Err(NotSent::Connect(ConnectFailure::Tls(_)))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_silent_handshake_ends_at_the_admit_deadline() {
    let bench = trusting(PoolLimits::default());
    let (target, _seen) = bench
        .server(|_, mut stream, seen| async move { drain(&mut stream, &seen).await })
        .await;
    let result = bench
        .pool
        .send(&at("localhost", &target), post("x"), soon(SHORT))
        .await;
    assert!(matches!(result, Err(NotSent::DeadlinePassed)), "{result:?}");
}

/// After the farewell of TLS a request would go into the void.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_said_farewell_costs_no_request() {
    let bench = trusting(PoolLimits::default());
    let acceptor = acceptor();
    let (tell, mut told) = mpsc::channel(1);
    let (target, seen) = bench
        .server(move |_, stream, seen| {
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            async move {
                let mut stream = acceptor.accept(stream).await.expect("a handshake");
                read_request(&mut stream, &seen).await.expect("a request");
                stream.write_all(OK).await.expect("written");
                stream.shutdown().await.expect("farewell");
                tell.send(()).await.expect("the test waits");
            }
        })
        .await;
    let target = at("localhost", &target);
    for _ in 0..50 {
        assert_eq!(bench.exchange(&target).await.expect("a reply"), "ok");
        told.recv().await.expect("the server is done");
    }
    assert_eq!(seen.requests(), 50);
    assert_eq!(seen.connections(), 50);
}
