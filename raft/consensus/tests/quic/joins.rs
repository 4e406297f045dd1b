//! Nodes that ask to join.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use tollbook_raft::{Authority, CERTIFICATE_LIFE, Fingerprint, JoinError, JoinHook, ask_to_join};

use crate::common::{
    CLUSTER, LONG, Node, Raw, Serving, Time, authority, closed_with, identity, identity_of,
};

/// A node that answers requests to join with the request, and counts them.
fn asking(by: &Authority, time: &Time) -> (Node, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let hook: JoinHook = Arc::new({
        let count = Arc::clone(&count);
        move |address, request| {
            assert!(address.ip().is_loopback());
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { [b"welcome, ", &request[..]].concat().into() })
        }
    });
    let node = Node::with(identity(by, 7), Serving::echo(), time, 0, Some(hook));
    (node, count)
}

async fn ask(node: &Node, fingerprint: Fingerprint) -> Result<tollbook_raft::Joined, JoinError> {
    let address = node.quic.local_address().to_string();
    let request = Bytes::from_static(b"me");
    ask_to_join(&address, fingerprint, request, &Time::new().clock(), LONG).await
}

fn unasked(error: JoinError) -> String {
    let JoinError::Unreachable { reason, .. } = error else {
        panic!("asked, perhaps: {error}");
    };
    reason
}

#[tokio::test]
async fn a_node_that_knows_the_fingerprint_is_answered() {
    let authority = authority();
    let (node, count) = asking(&authority, &Time::new());
    let fingerprint = authority.certificate().fingerprint();
    let joined = ask(&node, fingerprint).await.unwrap();
    assert_eq!(joined.answer, "welcome, me");
    assert_eq!(&joined.authority, authority.certificate());
    assert_eq!((joined.cluster, joined.node), (CLUSTER, 7));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!((node.calls(), node.quic.stats().accepted), (0, 0));
}

#[tokio::test]
async fn nothing_is_sent_to_who_is_not_of_the_fingerprints_authority() {
    let (ours, theirs) = (authority(), authority());
    let (node, count) = asking(&theirs, &Time::new());
    let reason = unasked(
        ask(&node, ours.certificate().fingerprint())
            .await
            .unwrap_err(),
    );
    assert!(reason.contains("UnknownIssuer"), "{reason}");
    // Not to one either that shows the right authority beside a certificate of another.
    let hook: JoinHook = Arc::new(|_, _| Box::pin(async { Bytes::new() }));
    let shows = identity_of(&theirs, 7, &[&theirs, &ours]);
    let node = Node::with(shows, Serving::echo(), &Time::new(), 0, Some(hook));
    let reason = unasked(
        ask(&node, ours.certificate().fingerprint())
            .await
            .unwrap_err(),
    );
    assert!(reason.contains("UnknownIssuer"), "{reason}");
    ask(&node, theirs.certificate().fingerprint())
        .await
        .unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn nothing_is_sent_to_who_shows_an_expired_certificate() {
    let authority = authority();
    let time = Time::new();
    let (node, count) = asking(&authority, &time);
    let address = node.quic.local_address().to_string();
    time.forward(CERTIFICATE_LIFE + Duration::from_secs(1));
    let fingerprint = authority.certificate().fingerprint();
    let asked = ask_to_join(&address, fingerprint, Bytes::new(), &time.clock(), LONG).await;
    let reason = unasked(asked.unwrap_err());
    assert!(reason.contains("xpired"), "{reason}");
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_node_that_takes_no_joins_says_so() {
    let authority = authority();
    let node = Node::new(identity(&authority, 7));
    let reason = unasked(
        ask(&node, authority.certificate().fingerprint())
            .await
            .unwrap_err(),
    );
    assert_eq!(reason, "it does not speak this protocol");
}

#[tokio::test]
async fn a_peer_is_none_over_the_protocol_of_joins_and_a_joiner_none_over_that_of_peers() {
    let authority = authority();
    let (node, count) = asking(&authority, &Time::new());
    let member = identity(&authority, 1);
    // A member's certificate opens nothing here.
    let raw = Raw::showing(&authority, &member, "tollbook-join/1");
    let connection = raw.connect(&node.target()).await;
    assert_eq!(closed_with(&connection).await, 5);
    // Nor does a peer's stream from a joiner: it is a request to join, and a bad one.
    let raw = Raw::new(&authority, None, "tollbook-join/1");
    let connection = raw.connect(&node.target()).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(b"\x01\x02\0\0\0\x05hello").await.unwrap();
    send.finish().unwrap();
    assert_eq!(closed_with(&connection).await, 10);
    // Who knows neither protocol does not get as far.
    let raw = Raw::showing(&authority, &member, "h3");
    let refused = raw.connecting(&node.target()).await.unwrap_err();
    assert!(matches!(
        refused,
        quinn::ConnectionError::ConnectionClosed(_)
    ));
    assert_eq!(count.load(Ordering::Relaxed), 0);
    assert_eq!((node.calls(), node.quic.stats().accepted), (0, 0));
}

#[tokio::test]
async fn joins_at_a_time_are_few() {
    let authority = authority();
    let go = Arc::new(Notify::new());
    let (began, mut begun) = mpsc::channel(16);
    let hook: JoinHook = Arc::new({
        let go = Arc::clone(&go);
        move |_, _| {
            let (go, began) = (Arc::clone(&go), began.clone());
            Box::pin(async move {
                began.send(()).await.unwrap();
                go.notified().await;
                Bytes::from_static(b"in")
            })
        }
    });
    let shows = identity(&authority, 7);
    let node = Arc::new(Node::with(
        shows,
        Serving::echo(),
        &Time::new(),
        0,
        Some(hook),
    ));
    let fingerprint = authority.certificate().fingerprint();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let node = Arc::clone(&node);
        asking.spawn(async move { ask(&node, fingerprint).await });
        begun.recv().await.unwrap();
    }
    let reason = ask(&node, fingerprint).await.unwrap_err().to_string();
    assert!(reason.contains("it has reached a limit"), "{reason}");
    go.notify_waiters();
    while let Some(joined) = asking.join_next().await {
        assert_eq!(joined.unwrap().unwrap().answer, "in");
    }
}

#[tokio::test]
async fn a_request_above_the_limit_is_not_sent() {
    let authority = authority();
    let fingerprint = authority.certificate().fingerprint();
    let request = Bytes::from(vec![0; (64 << 10) + 1]);
    let clock = Time::new().clock();
    let asked = ask_to_join("127.0.0.1:1", fingerprint, request, &clock, LONG).await;
    assert!(matches!(
        asked,
        Err(JoinError::TooLong { limit: 65_536, .. })
    ));
    let request = Bytes::new();
    let asked = ask_to_join("no-such-host.invalid:1", fingerprint, request, &clock, LONG).await;
    assert!(matches!(asked, Err(JoinError::Address { .. })));
}
