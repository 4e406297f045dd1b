//! Who is let in, who is not, and what it is told.

use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;

use tollbook_raft::{Authority, CERTIFICATE_LIFE, Identity, Quic, QuicError, Transport, Urgency};

use crate::common::{
    CLUSTER, LONG, Node, Raw, Serving, Time, authority, certificates, closed_with, copy, identity,
    identity_of, target, unreachable,
};

#[tokio::test]
async fn another_clusters_nodes_do_not_reach_each_other() {
    let (ours, theirs) = (authority(), authority());
    let one = Node::new(identity(&ours, 1));
    let two = Node::new(identity(&theirs, 2));
    let reason = unreachable(one.call(&two.target(), "a").await.unwrap_err());
    let wanted = "its certificate or handshake is refused here: invalid peer certificate: \
                  UnknownIssuer";
    assert_eq!(reason, wanted);
    // One that would believe them is not believed.
    let three = Node::new(identity_of(&ours, 3, &[&ours, &theirs]));
    let reason = unreachable(three.call(&two.target(), "a").await.unwrap_err());
    let wanted = "it refuses our certificate: its authority is not trusted there";
    assert_eq!(reason, wanted);
    assert_eq!((two.calls(), two.quic.stats().accepted), (0, 0));
    assert_eq!(two.quic.stats().refused, 2);
}

#[tokio::test]
async fn another_node_at_the_address_is_not_taken_for_the_one_that_is_meant() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    let to = target(3, two.quic.local_address());
    let reason = unreachable(one.call(&to, "a").await.unwrap_err());
    assert!(
        reason.starts_with("its certificate or handshake is refused here"),
        "{reason}"
    );
    assert!(reason.contains("not valid for name"), "{reason}");
    assert_eq!(two.calls(), 0);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_either_side_by_its_name() {
    let authority = authority();
    let (early, late) = (Time::new(), Time::new());
    late.forward(CERTIFICATE_LIFE + Duration::from_secs(1));
    let node = |id, time| Node::with(identity(&authority, id), Serving::echo(), time, 0, None);
    // To a clock that is past its end, the other's certificate has expired: the listener's to
    // the dialer, or the dialer's to the listener.
    let (here, there) = (node(1, &early), node(2, &late));
    let reason = unreachable(here.call(&there.target(), "a").await.unwrap_err());
    assert_eq!(reason, "it refuses our certificate: it has expired");
    let reason = unreachable(there.call(&here.target(), "a").await.unwrap_err());
    assert!(reason.contains("certificate expired"), "{reason}");
    assert_eq!((here.calls(), there.calls()), (0, 0));
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_told_so() {
    let authority = authority();
    let two = Node::new(identity(&authority, 2));
    let raw = Raw::new(&authority, None, "tollbook-peer/1");
    let connection = raw.connect(&two.target()).await;
    assert_eq!(closed_with(&connection).await, 2);
    assert_eq!(two.quic.stats().accepted, 0);
}

/// A certificate that the authority would never issue, of a key that it has.
fn forged(
    by: &Authority,
    names: &[&str],
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let signer = KeyPair::from_pem_and_sign_algo(&by.to_pem(), &PKCS_ED25519).unwrap();
    let hash = blake3::hash(signer.public_key_raw()).to_hex();
    let short: String = hash.chars().take(16).collect();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "c1".repeat(16));
    subject.push(DnType::CommonName, format!("tollbook authority {short}"));
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = Issuer::new(params, signer);
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    (vec![certificate.into()], key.into())
}

#[tokio::test]
async fn a_certificate_that_names_no_node_or_two_or_another_clusters_is_refused() {
    let authority = authority();
    let two = Node::new(identity(&authority, 2));
    let name =
        |node: u64, cluster: &str| format!("node-{node}.{}.tollbook.internal", cluster.repeat(16));
    let (one, three, other) = (name(1, "c1"), name(3, "c1"), name(1, "c2"));
    let (one, three, other) = (one.as_str(), three.as_str(), other.as_str());
    let bad: [&[&str]; 4] = [&[], &[one, three], &[other], &["join.tollbook.internal"]];
    for names in bad {
        let raw = Raw::new(
            &authority,
            Some(forged(&authority, names)),
            "tollbook-peer/1",
        );
        let connection = raw.connect(&two.target()).await;
        assert_eq!(closed_with(&connection).await, 3, "{names:?}");
    }
    assert_eq!(two.quic.stats().accepted, 0);
    // The same hand makes one that is taken: it is the names that are refused.
    let raw = Raw::new(
        &authority,
        Some(forged(&authority, &[one])),
        "tollbook-peer/1",
    );
    let connection = raw.connect(&two.target()).await;
    let mut greeting = connection.accept_uni().await.unwrap();
    assert_eq!(greeting.read_to_end(8).await.unwrap(), [1]);
}

/// `identity` with a certificate of `by`, trusting `trusted`.
fn renewed(identity: &Identity, by: &Authority, trusted: &[&Authority]) -> Identity {
    let key = identity.key().proved();
    let now = Time::new().now();
    let certificate = by
        .issue(identity.node(), &key, now, CERTIFICATE_LIFE)
        .unwrap();
    identity
        .renewed(&certificate, certificates(trusted))
        .unwrap()
}

#[tokio::test]
async fn authorities_follow_one_another_without_a_restart() {
    let (old, young) = (authority(), authority());
    let one = Node::new(identity(&old, 1));
    let two = Node::new(identity(&old, 2));
    assert_eq!(one.call(&two.target(), "a").await.unwrap(), "1:a");
    let set = |node: &Node, by, trusted: &[&Authority]| {
        let identity = renewed(&node.quic.identity(), by, trusted);
        node.quic.set_identity(identity).unwrap();
    };
    // One node after the other trusts both, then shows a certificate of the new one, then trusts
    // the new one alone. At each step, each reaches the other.
    let both = [&old, &young];
    for (by, trusted) in [(&old, &both[..]), (&young, &both[..]), (&young, &both[1..])] {
        for node in [&one, &two] {
            set(node, by, trusted);
            assert_eq!(one.call(&two.target(), "b").await.unwrap(), "1:b");
            assert_eq!(two.call(&one.target(), "c").await.unwrap(), "2:c");
        }
    }
    // The old one is done for.
    let three = Node::new(identity_of(&old, 3, &both));
    let reason = unreachable(three.call(&two.target(), "a").await.unwrap_err());
    let wanted = "it refuses our certificate: its authority is not trusted there";
    assert_eq!(reason, wanted);
    let reason = unreachable(two.call(&three.target(), "a").await.unwrap_err());
    assert!(reason.contains("UnknownIssuer"), "{reason}");
}

#[tokio::test]
async fn the_next_handshake_uses_the_identity_that_was_set() {
    let (old, young) = (authority(), authority());
    let one = Node::new(identity(&old, 1));
    let two = Node::new(identity_of(&young, 2, &[&young]));
    unreachable(one.call(&two.target(), "a").await.unwrap_err());
    let fresh = renewed(&one.quic.identity(), &young, &[&young]);
    let expires = fresh.expires();
    one.quic.set_identity(fresh).unwrap();
    assert_eq!(one.quic.expires(), expires);
    // At once: what failed under another identity is no reason to wait.
    assert_eq!(one.call(&two.target(), "a").await.unwrap(), "1:a");
}

#[tokio::test]
async fn a_connection_ends_when_its_certificate_is_no_longer_trusted() {
    let (old, young) = (authority(), authority());
    let one = Node::new(identity_of(&old, 1, &[&old, &young]));
    let two = Node::new(identity_of(&young, 2, &[&old, &young]));
    let mut channel = one
        .quic
        .open(two.target(), Urgency::Usual, LONG)
        .await
        .unwrap();
    // Renewal alone breaks nothing.
    let renewal = renewed(&two.quic.identity(), &young, &[&old, &young]);
    two.quic.set_identity(renewal).unwrap();
    channel.send.send("a".into()).await.unwrap();
    assert_eq!(channel.receive.recv().await.unwrap(), "a");
    let drops_old = renewed(&two.quic.identity(), &young, &[&young]);
    two.quic.set_identity(drops_old).unwrap();
    assert_eq!(timeout(LONG, channel.receive.recv()).await.unwrap(), None);
    let reason = unreachable(one.call(&two.target(), "a").await.unwrap_err());
    let wanted = "it refuses our certificate: its authority is not trusted there";
    assert_eq!(reason, wanted);
}

#[tokio::test]
async fn a_connection_ends_when_its_certificate_expires() {
    let authority = authority();
    let time = Time::new();
    let one = Node::new(identity(&authority, 1));
    let two = Node::with(identity(&authority, 2), Serving::echo(), &time, 0, None);
    let mut channel = one
        .quic
        .open(two.target(), Urgency::Usual, LONG)
        .await
        .unwrap();
    time.forward(CERTIFICATE_LIFE + Duration::from_secs(1));
    // The same again: what matters is that connections are looked at.
    two.quic.set_identity(copy(&two.quic.identity())).unwrap();
    assert_eq!(timeout(LONG, channel.receive.recv()).await.unwrap(), None);
    let reason = unreachable(one.call(&two.target(), "a").await.unwrap_err());
    assert_eq!(reason, "it refuses our certificate: it has expired");
}

#[tokio::test]
async fn an_identity_of_another_node_is_not_set() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let set = one.quic.set_identity(identity(&authority, 2));
    assert!(matches!(
        set,
        Err(QuicError::AnotherNode { node: 1, given: 2 })
    ));
    let quic: &Quic = &one.quic;
    assert_eq!(
        (quic.identity().node(), quic.identity().cluster()),
        (1, CLUSTER)
    );
}

/// Every member holds the authority's key, and a removed one has held it: it can make a certificate
/// in anybody's name, but not for anybody's key.
#[tokio::test]
async fn a_members_name_on_another_key_is_refused_at_both_ends() {
    let authority = authority();
    let (two, forged) = (identity(&authority, 2), identity(&authority, 2));
    let serving = Serving::for_keys(&[two.key().public()]);
    let one = Node::serving(identity(&authority, 1), serving);
    let known_by = two.key().public();
    let (two, forged) = (Node::new(two), Node::new(forged));

    let refused = forged.call(&one.target(), "let me").await.unwrap_err();
    let reason = unreachable(refused);
    assert!(reason.contains("names no node of its cluster"), "{reason}");
    assert_eq!(one.calls(), 0);
    assert_eq!(two.call(&one.target(), "hello").await.unwrap(), "2:hello");

    let mut there = forged.target();
    there.peer.certificate = known_by;
    let reason = unreachable(one.call(&there, "secret").await.unwrap_err());
    assert!(reason.contains("another key"), "{reason}");
    assert_eq!(forged.calls(), 0);
    let mut there = two.target();
    there.peer.certificate = known_by;
    assert_eq!(one.call(&there, "hello").await.unwrap(), "1:hello");
}
