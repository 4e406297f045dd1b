//! What is not seen from outside: when connections go.

use std::time::Duration;

use quinn::ConnectionError;
use tokio::time::{Instant, timeout};

use tollbook_audit::Micros;

use super::*;
use crate::certs::{Authority, CERTIFICATE_LIFE, NodeKey};
use crate::types::Peer;

const CLUSTER: [u8; 16] = [1; 16];
const NOW: Micros = Micros(1_790_000_000_000_000);
const LONG: Duration = Duration::from_secs(20);

struct Silent;

impl Service for Silent {
    fn knows(&self, _from: NodeId, _key: &[u8; 32]) -> bool {
        true
    }

    fn call(&self, _from: NodeId, message: Bytes) -> BoxFuture<'static, Bytes> {
        Box::pin(async { message })
    }

    fn open(&self, _from: NodeId, mut channel: Channel) -> BoxFuture<'static, ()> {
        Box::pin(async move { while channel.receive.recv().await.is_some() {} })
    }
}

fn node(authority: &Authority, node: NodeId) -> Arc<Quic> {
    let key = NodeKey::generate().unwrap();
    let certificate = authority.issue(node, &key.proved(), NOW, CERTIFICATE_LIFE);
    let trusted = vec![authority.certificate().clone()];
    let identity = Identity::new(CLUSTER, node, key, &certificate.unwrap(), trusted);
    let quic = Quic::bind(QuicSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        identity: identity.unwrap(),
        clock: Arc::new(|| NOW),
        on_join: None,
    })
    .unwrap();
    quic.serve(Arc::new(Silent));
    quic
}

#[tokio::test]
async fn a_connection_that_another_took_the_place_of_ends_with_its_last_stream() {
    let authority = Authority::generate(CLUSTER, NOW).unwrap();
    let (one, two) = (node(&authority, 1), node(&authority, 2));
    let to = Target {
        node: 2,
        peer: Peer {
            peer_address: two.local_address().to_string(),
            ..Peer::default()
        },
    };
    let deadline = || Instant::now() + LONG;
    let live = links::connection(&one.shared, &to, deadline()).await;
    let old = live.unwrap().connection;
    let channel = one.open(to.clone(), Urgency::Usual, LONG).await.unwrap();
    let text = one.identity().to_pem();
    let same = Identity::from_pem(CLUSTER, 1, &text).unwrap();
    one.set_identity(same).unwrap();
    let live = links::connection(&one.shared, &to, deadline()).await;
    let young = live.unwrap().connection;
    assert_ne!(old.stable_id(), young.stable_id());
    assert!(old.close_reason().is_none());
    assert!(!channel.send.is_closed());
    drop(channel);
    let closed = timeout(LONG, old.closed()).await.unwrap();
    assert!(matches!(closed, ConnectionError::LocallyClosed), "{closed}");
    let call = one.call(to, Bytes::from_static(b"a"), Urgency::Usual, LONG);
    assert_eq!(call.await.unwrap(), "a");
    assert!(young.close_reason().is_none());
}
