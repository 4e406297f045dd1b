//! Single messages and their answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Notify;

use tollbook_raft::{LinkError, Quic, QuicSettings, Transport, Urgency};

use crate::common::{
    LONG, Node, Serving, Time, authority, identity, loopback, target, unreachable,
};

#[tokio::test]
async fn calls_are_answered_both_ways_and_say_who_asks() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    assert_eq!(one.call(&two.target(), "a").await.unwrap(), "1:a");
    assert_eq!(two.call(&one.target(), "b").await.unwrap(), "2:b");
    assert_eq!(one.call(&one.target(), "c").await.unwrap(), "1:c");
    assert_eq!(one.call(&two.target(), "").await.unwrap(), "1:");
}

#[tokio::test]
async fn many_calls_at_once_share_one_connection() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    let to = two.target();
    // More than streams that may be open at a time.
    let messages: Vec<_> = (0..3000).map(|at| at.to_string()).collect();
    let calls = messages.iter().map(|message| one.call(&to, message));
    for (message, answer) in messages.iter().zip(join_all(calls).await) {
        assert_eq!(answer.unwrap(), format!("1:{message}"));
    }
    assert_eq!(one.quic.stats().dialled, 1);
    assert_eq!(two.quic.stats().accepted, 1);
    assert_eq!(two.calls(), 3000);
}

#[tokio::test]
async fn a_large_message_arrives_whole() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::serving(
        identity(&authority, 2),
        Serving::calling(|_, message| async move {
            Bytes::copy_from_slice(blake3::hash(&message).as_bytes())
        }),
    );
    let message: Bytes = (0..64_u32 << 20)
        .map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    let hash = blake3::hash(&message);
    let answer = one.quic.call(two.target(), message, Urgency::Usual, LONG);
    assert_eq!(answer.await.unwrap(), &hash.as_bytes()[..]);
}

#[tokio::test]
async fn a_message_above_the_limit_of_its_urgency_is_not_sent() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    for (urgency, limit) in [
        (Urgency::Urgent, 64 << 10),
        (Urgency::Bulk, 8 << 20),
        (Urgency::Usual, 64 << 20),
    ] {
        let message = Bytes::from(vec![0; limit + 1]);
        let refused = one.quic.call(two.target(), message, urgency, LONG).await;
        let reason = unreachable(refused.unwrap_err());
        assert_eq!(
            reason,
            format!("the message has {} bytes; at most {limit}", limit + 1)
        );
    }
    assert_eq!(two.calls(), 0);
    assert_eq!(one.quic.stats().dialled, 0);
}

#[tokio::test]
async fn an_answer_above_the_limit_is_none_and_the_connection_stays() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::serving(
        identity(&authority, 2),
        Serving::calling(|_, _| async { Bytes::from(vec![0; (64 << 10) + 1]) }),
    );
    let message = Bytes::from_static(b"a");
    let call = |urgency| one.quic.call(two.target(), message.clone(), urgency, LONG);
    let found = call(Urgency::Urgent).await;
    assert!(matches!(found, Err(LinkError::Broken { node: 2, .. })));
    assert_eq!(call(Urgency::Usual).await.unwrap().len(), (64 << 10) + 1);
    assert_eq!(one.quic.stats().dialled, 1);
    assert_eq!(two.quic.stats().streams_refused, 1);
}

#[tokio::test]
async fn a_slow_answer_is_late_and_costs_no_connection() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let go = Arc::new(Notify::new());
    let two = Node::serving(
        identity(&authority, 2),
        Serving::calling({
            let go = Arc::clone(&go);
            move |_, message| {
                let go = Arc::clone(&go);
                async move {
                    if message == "slow" {
                        go.notified().await;
                    }
                    message
                }
            }
        }),
    );
    let slow = Bytes::from_static(b"slow");
    let within = Duration::from_millis(700);
    let late = one
        .quic
        .call(two.target(), slow, Urgency::Usual, within)
        .await;
    assert_eq!(late, Err(LinkError::Late { node: 2 }));
    assert_eq!(one.call(&two.target(), "quick").await.unwrap(), "quick");
    go.notify_one();
    let stats = one.quic.stats();
    assert_eq!((stats.dialled, stats.silent), (1, 0));
}

/// A node on a thread of its own, whose calls block the thread: it is as good as dead.
#[tokio::test]
async fn a_silent_peer_is_dialled_anew() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = identity(&authority, 2);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let (tell, told) = tokio::sync::oneshot::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let serving = Serving::calling(move |_, message| {
                let released = Arc::clone(&released);
                async move {
                    if message == "block" {
                        released.lock().unwrap().recv().unwrap();
                    }
                    message
                }
            });
            let two = Node::serving(two, serving);
            tell.send(two.target()).unwrap();
            ended.await.unwrap();
        });
    });
    let to = told.await.unwrap();
    assert_eq!(one.call(&to, "a").await.unwrap(), "a");
    let block = Bytes::from_static(b"block");
    let within = Duration::from_millis(200);
    let blocked = || {
        one.quic
            .call(to.clone(), block.clone(), Urgency::Usual, within)
    };
    assert_eq!(blocked().await, Err(LinkError::Late { node: 2 }));
    if one.quic.stats().silent == 0 {
        // The packet with the first was acknowledged before its call began to block. None after.
        assert_eq!(blocked().await, Err(LinkError::Late { node: 2 }));
    }
    assert_eq!(one.quic.stats().silent, 1);
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!(one.call(&to, "b").await.unwrap(), "b");
    assert_eq!(one.quic.stats().dialled, 2);
    end.send(()).unwrap();
    thread.join().unwrap();
}

#[tokio::test]
async fn a_dead_peer_costs_one_attempt_for_all_who_ask() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    // Takes packets and does not answer.
    let dead = std::net::UdpSocket::bind(loopback(0)).unwrap();
    let to = target(2, dead.local_addr().unwrap());
    let calls = (0..100).map(|_| one.call(&to, "a"));
    for answer in join_all(calls).await {
        let reason = unreachable(answer.unwrap_err());
        assert_eq!(reason, "nothing is heard from it");
    }
    // And for who asks soon after.
    unreachable(one.call(&to, "a").await.unwrap_err());
    assert_eq!(one.quic.stats().dials_failed, 1);
}

#[tokio::test]
async fn who_has_less_time_than_a_dial_takes_is_told_that_nothing_was_sent() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let dead = std::net::UdpSocket::bind(loopback(0)).unwrap();
    let to = target(2, dead.local_addr().unwrap());
    let within = Duration::from_millis(20);
    let found = one
        .quic
        .call(to.clone(), Bytes::new(), Urgency::Urgent, within);
    let reason = unreachable(found.await.unwrap_err());
    assert_eq!(reason, "no connection came to be in time");
    let opened = one.quic.open(to, Urgency::Usual, within).await;
    unreachable(opened.unwrap_err());
}

#[tokio::test]
async fn a_peer_that_moved_is_dialled_where_it_is() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let says = |word: &'static str| Serving::calling(move |_, _| async move { word.into() });
    let before = Node::serving(identity(&authority, 2), says("before"));
    let after = Node::serving(identity(&authority, 2), says("after"));
    assert_eq!(one.call(&before.target(), "a").await.unwrap(), "before");
    assert_eq!(one.call(&after.target(), "a").await.unwrap(), "after");
    assert_eq!(one.call(&after.target(), "a").await.unwrap(), "after");
    assert_eq!(one.quic.stats().dialled, 2);
}

#[tokio::test]
async fn an_address_may_be_a_name() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    let mut to = two.target();
    to.peer.peer_address = format!("localhost:{}", two.quic.local_address().port());
    assert_eq!(one.call(&to, "a").await.unwrap(), "1:a");
    let mut to = two.target();
    to.peer.peer_address = "no-such-host.invalid:1".to_owned();
    let reason = unreachable(one.call(&to, "a").await.unwrap_err());
    assert!(reason.starts_with("its address is not found"), "{reason}");
}

#[tokio::test]
async fn an_end_in_order_is_told_to_peers() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let began = Arc::new(Notify::new());
    let two = Node::serving(
        identity(&authority, 2),
        Serving::calling({
            let began = Arc::clone(&began);
            move |_, _| {
                let began = Arc::clone(&began);
                async move {
                    began.notify_one();
                    std::future::pending().await
                }
            }
        }),
    );
    let to = two.target();
    let call = one.call(&to, "a");
    let close = async {
        began.notified().await;
        two.quic.close().await;
    };
    let (answer, ()) = tokio::join!(call, close);
    let reason = "it is stopping".to_owned();
    assert_eq!(answer, Err(LinkError::Broken { node: 2, reason }));
    let found = two.call(&one.target(), "a").await;
    let reason = unreachable(found.unwrap_err());
    assert_eq!(reason, "this node's transport does not run");
    unreachable(one.call(&to, "a").await.unwrap_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_and_one_that_does_not_serve_reaches_nobody() {
    let authority = authority();
    let settings = |port| QuicSettings {
        listen: loopback(port),
        identity: identity(&authority, 1),
        clock: Time::new().clock(),
        on_join: None,
    };
    let one = Quic::bind(settings(0)).unwrap();
    let again = Quic::bind(settings(one.local_address().port())).unwrap_err();
    assert!(again.to_string().contains("127.0.0.1"), "{again}");
    let to = target(2, loopback(1));
    let found = one.call(to, Bytes::new(), Urgency::Usual, LONG).await;
    unreachable(found.unwrap_err());
    one.close().await;
}
