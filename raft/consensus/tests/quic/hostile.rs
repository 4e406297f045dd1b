//! Peers and strangers that break the rules: each is told, and the listener lives on.

use bytes::Bytes;
use futures_util::future::join_all;
use quinn::{Connection, ReadError, VarInt};

use tollbook_raft::Transport;

use crate::common::{Node, Raw, authority, closed_with, identity, loopback};

const TOO_LONG: u32 = 9;
const MALFORMED: u32 = 10;

/// Sends bytes as a stream, ends it if told to, and says how the listener ends its own.
async fn said(connection: &Connection, bytes: &[u8], end: bool) -> Result<Vec<u8>, u32> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    if end {
        // Its failure is that the listener has stopped reading, which is read below.
        drop(send.finish());
    }
    let mut answer = Vec::new();
    loop {
        match receive.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk.bytes),
            Ok(None) => return Ok(answer),
            Err(ReadError::Reset(code)) => return Err(u32::try_from(code.into_inner()).unwrap()),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn the_bytes_of_a_call_are_these() {
    let authority = authority();
    let two = Node::new(identity(&authority, 2));
    let raw = Raw::showing(&authority, &identity(&authority, 1), "tollbook-peer/1");
    let connection = raw.connect(&two.target()).await;
    let answer = said(&connection, b"\x01\x02\0\0\0\x05hello", true).await;
    assert_eq!(answer.unwrap(), b"\0\0\0\x071:hello");
    // A channel: taken, then one message for each.
    let bytes = b"\x02\x03\0\0\0\x02hi\0\0\0\0";
    let answer = said(&connection, bytes, true).await;
    assert_eq!(answer.unwrap(), b"\x01\0\0\0\x02hi\0\0\0\0");
}

#[tokio::test]
async fn streams_that_are_none_of_ours_end_alone() {
    let authority = authority();
    let two = Node::new(identity(&authority, 2));
    let raw = Raw::showing(&authority, &identity(&authority, 1), "tollbook-peer/1");
    let connection = raw.connect(&two.target()).await;
    let cases: [(&[u8], bool, u32); 12] = [
        // Kinds and urgencies that are none; half an opening; nothing.
        (b"\0\x02\0\0\0\0", true, MALFORMED),
        (b"\x03\x02\0\0\0\0", true, MALFORMED),
        (b"\x01\0\0\0\0\0", true, MALFORMED),
        (b"\x01\x04\0\0\0\0", false, MALFORMED),
        (b"\x01", true, MALFORMED),
        (b"", true, MALFORMED),
        // A message that ends early, none, and one with something behind it.
        (b"\x01\x02\0\0\0\x64only ten", true, MALFORMED),
        (b"\x01\x02\0\0", true, MALFORMED),
        (b"\x01\x02\0\0\0\x01ab", true, MALFORMED),
        (b"\x01\x02\0\0\0\x01a\0\0\0\x01b", true, MALFORMED),
        // Lengths above the limits: refused before more comes.
        (b"\x01\x03\0\x01\0\x01", false, TOO_LONG),
        (b"\x01\x02\xff\xff\xff\xff", false, TOO_LONG),
    ];
    for (bytes, end, code) in cases {
        assert_eq!(said(&connection, bytes, end).await, Err(code), "{bytes:?}");
    }
    assert_eq!(two.calls(), 0);
    assert_eq!(two.quic.stats().streams_refused, 12);
    let answer = said(&connection, b"\x01\x02\0\0\0\x05hello", true).await;
    assert_eq!(answer.unwrap(), b"\0\0\0\x071:hello");
}

#[tokio::test]
async fn garbage_within_a_channel_ends_it_alone() {
    let authority = authority();
    let two = Node::new(identity(&authority, 2));
    let raw = Raw::showing(&authority, &identity(&authority, 1), "tollbook-peer/1");
    let connection = raw.connect(&two.target()).await;
    for (bytes, code) in [
        (&b"\x02\x02\0\0\0\x02hi\xff\xff\xff\xff"[..], TOO_LONG),
        (b"\x02\x02\0\0\0\x02hi\0\0\0\x09cut", MALFORMED),
    ] {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        if code == MALFORMED {
            send.finish().unwrap();
        }
        // What came before is answered, then the echo ends its side.
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"\x01\0\0\0\x02hi");
        if code == TOO_LONG {
            let stopped = send.stopped().await.unwrap();
            assert_eq!(stopped, Some(VarInt::from_u32(code)));
        }
    }
    assert_eq!(two.quic.stats().streams_refused, 2);
    let answer = said(&connection, b"\x01\x02\0\0\0\x05hello", true).await;
    assert_eq!(answer.unwrap(), b"\0\0\0\x071:hello");
}

#[tokio::test]
async fn garbage_datagrams_change_nothing() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    assert_eq!(one.call(&two.target(), "a").await.unwrap(), "1:a");
    let stranger = std::net::UdpSocket::bind(loopback(0)).unwrap();
    let mut noise = blake3::Hasher::new().finalize_xof();
    for at in 0..2000_usize {
        let mut datagram = vec![0; at % 1453];
        noise.fill(&mut datagram);
        // A third as noise, a third like first packets, a third like packets of a connection.
        if let Some(first) = datagram.first_mut() {
            match at % 3 {
                0 => {}
                1 => *first = 0xc3,
                _ => *first = 0x40,
            }
        }
        if at % 3 == 1 && at % 1453 > 5 {
            datagram[1..5].copy_from_slice(&[0, 0, 0, 1]);
            datagram[5] = 8;
        }
        stranger
            .send_to(&datagram, two.quic.local_address())
            .unwrap();
    }
    assert_eq!(one.call(&two.target(), "b").await.unwrap(), "1:b");
    assert_eq!(one.quic.stats().dialled, 1);
    let three = Node::new(identity(&authority, 3));
    assert_eq!(three.call(&two.target(), "c").await.unwrap(), "3:c");
    assert_eq!(two.quic.stats().accepted, 2);
}

#[tokio::test]
async fn strangers_at_the_door_do_not_keep_peers_out() {
    let authority = authority();
    let two = Node::new(identity(&authority, 2));
    let raw = Raw::new(&authority, None, "tollbook-peer/1");
    let to = two.target();
    let strangers = (0..200).map(|_| async {
        match raw.connecting(&to).await {
            // All the way: it is told what it lacks.
            Ok(connection) => assert_eq!(closed_with(&connection).await, 2),
            // Turned away.
            Err(error) => assert!(
                matches!(
                    error,
                    quinn::ConnectionError::ConnectionClosed(_)
                        | quinn::ConnectionError::ApplicationClosed(_)
                ),
                "{error}"
            ),
        }
    });
    join_all(strangers).await;
    let stats = two.quic.stats();
    assert_eq!(stats.accepted, 0);
    assert!(stats.refused > 0);
    let one = Node::new(identity(&authority, 1));
    assert_eq!(one.call(&to, "a").await.unwrap(), "1:a");
}

#[tokio::test]
async fn of_too_many_connections_of_one_node_the_oldest_goes() {
    let authority = authority();
    let two = Node::new(identity(&authority, 2));
    let raw = Raw::showing(&authority, &identity(&authority, 1), "tollbook-peer/1");
    let mut connections = Vec::new();
    for _ in 0..5 {
        let connection = raw.connect(&two.target()).await;
        drop(connection.accept_uni().await.unwrap());
        // Served, so it is known.
        said(&connection, b"\x01\x02\0\0\0\0", true).await.unwrap();
        connections.push(connection);
    }
    assert_eq!(closed_with(&connections[0]).await, 7);
    for connection in &connections[1..] {
        said(connection, b"\x01\x02\0\0\0\0", true).await.unwrap();
    }
}

#[tokio::test]
async fn who_opens_other_streams_than_a_dialer_may_gets_none() {
    let authority = authority();
    let two = Node::new(identity(&authority, 2));
    let raw = Raw::showing(&authority, &identity(&authority, 1), "tollbook-peer/1");
    let connection = raw.connect(&two.target()).await;
    drop(connection.accept_uni().await.unwrap());
    assert_eq!(connection.max_datagram_size(), None);
    let opened = tokio::select! {
        biased;
        _ = connection.open_uni() => true,
        answer = said(&connection, b"\x01\x02\0\0\0\0", true) => {
            answer.unwrap();
            false
        }
    };
    assert!(!opened);
    two.quic.close().await;
    let closed = connection.open_uni().await;
    assert!(closed.is_err(), "{:?}", closed.map(|_| Bytes::new()));
}
