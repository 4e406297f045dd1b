//! Streams of messages.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use tollbook_raft::{CHANNEL_MESSAGES, Channel, LinkError, Transport, Urgency};

use crate::common::{LONG, Node, Serving, authority, identity};

fn numbered(at: u32, bytes: usize) -> Bytes {
    let mut message = vec![0; bytes.max(4)];
    message[..4].copy_from_slice(&at.to_be_bytes());
    message.into()
}

#[tokio::test]
async fn ten_thousand_messages_keep_their_order_both_ways() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    let Channel { send, mut receive } = one.open(&two.target(), Urgency::Usual).await;
    let sending = async move {
        for at in 0..10_000 {
            // Of all sizes from four bytes to some packets' worth.
            let message = numbered(at, usize::try_from(at % 4099).unwrap());
            send.send(message).await.unwrap();
        }
    };
    let receiving = async move {
        for at in 0..10_000 {
            let message = receive.recv().await.unwrap();
            assert_eq!(message, numbered(at, usize::try_from(at % 4099).unwrap()));
        }
        assert_eq!(receive.recv().await, None);
    };
    timeout(LONG, async { tokio::join!(sending, receiving) })
        .await
        .unwrap();
}

#[tokio::test]
async fn empty_and_large_messages_pass() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    let mut channel = one.open(&two.target(), Urgency::Bulk).await;
    for bytes in [0, 1, 8 << 20, 0, 65_536, 1_000_000] {
        let message = Bytes::from(vec![7; bytes]);
        channel.send.send(message.clone()).await.unwrap();
        assert_eq!(channel.receive.recv().await, Some(message));
    }
}

#[tokio::test]
async fn a_peer_that_stops_reading_holds_up_the_sender_and_nobody_else() {
    const MESSAGE: usize = 64 << 10;
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let go = Arc::new(Notify::new());
    let (count, counted) = oneshot::channel();
    let count = std::sync::Mutex::new(Some(count));
    let serving = Serving::opening({
        let go = Arc::clone(&go);
        move |_, mut channel| {
            let go = Arc::clone(&go);
            let count = count.lock().unwrap().take().unwrap();
            async move {
                go.notified().await;
                let mut next = 0;
                while let Some(message) = channel.receive.recv().await {
                    assert_eq!(message, numbered(next, MESSAGE));
                    next += 1;
                }
                count.send(next).unwrap();
            }
        }
    });
    let two = Node::serving(identity(&authority, 2), serving);
    let channel = one.open(&two.target(), Urgency::Bulk).await;
    let mut sent = 0;
    // Half a second in which nothing moves is a standstill: a message takes microseconds.
    let still = Duration::from_millis(500);
    while let Ok(done) = timeout(still, channel.send.send(numbered(sent, MESSAGE))).await {
        done.unwrap();
        sent += 1;
        assert!(sent < 1000, "nothing holds the sender up");
    }
    // The window of the stream, and the messages that either channel holds, or a pump.
    let most = (4 << 20) / MESSAGE + 4 * CHANNEL_MESSAGES;
    assert!(usize::try_from(sent).unwrap() <= most, "{sent}");
    assert_eq!(one.call(&two.target(), "a").await.unwrap(), "1:a");
    go.notify_one();
    channel.send.send(numbered(sent, MESSAGE)).await.unwrap();
    drop(channel.send);
    assert_eq!(counted.await.unwrap(), sent + 1);
}

#[tokio::test]
async fn the_end_of_one_side_leaves_the_other_open() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let serving = Serving::opening(|_, mut channel| async move {
        let mut count = 0_u32;
        while channel.receive.recv().await.is_some() {
            count += 1;
        }
        // Their side has ended; ours has not.
        channel.send.send(numbered(count, 4)).await.unwrap();
    });
    let two = Node::serving(identity(&authority, 2), serving);
    let Channel { send, mut receive } = one.open(&two.target(), Urgency::Usual).await;
    for at in 0..100 {
        send.send(numbered(at, 4)).await.unwrap();
    }
    drop(send);
    assert_eq!(receive.recv().await, Some(numbered(100, 4)));
    assert_eq!(receive.recv().await, None);
}

#[tokio::test]
async fn who_no_longer_reads_is_seen_by_who_writes() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let (gone, seen) = mpsc::channel(1);
    let serving = Serving::opening(move |from, channel| {
        let gone = gone.clone();
        async move {
            let Channel { send, receive } = channel;
            if from == 1 {
                send.closed().await;
                gone.send(()).await.unwrap();
            }
            drop(receive);
        }
    });
    let two = Node::serving(identity(&authority, 2), serving);
    // The dialer drops its receiver: the listener sees it.
    let Channel { send, receive } = one.open(&two.target(), Urgency::Usual).await;
    drop(receive);
    let mut seen = seen;
    timeout(LONG, seen.recv()).await.unwrap().unwrap();
    // The listener has let go of its own: the dialer sees it.
    timeout(LONG, send.closed()).await.unwrap();
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_channel_and_not_the_connection() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    let mut channel = one.open(&two.target(), Urgency::Urgent).await;
    channel
        .send
        .send(Bytes::from(vec![0; 64 << 10]))
        .await
        .unwrap();
    assert_eq!(channel.receive.recv().await.unwrap().len(), 64 << 10);
    let long = Bytes::from(vec![0; (64 << 10) + 1]);
    channel.send.send(long).await.unwrap();
    timeout(LONG, channel.send.closed()).await.unwrap();
    assert_eq!(channel.receive.recv().await, None);
    assert_eq!(one.call(&two.target(), "a").await.unwrap(), "1:a");
    assert_eq!(one.quic.stats().dialled, 1);
}

#[tokio::test]
async fn channels_end_with_the_transport() {
    let authority = authority();
    let one = Node::new(identity(&authority, 1));
    let two = Node::new(identity(&authority, 2));
    let mut channel = one.open(&two.target(), Urgency::Usual).await;
    two.quic.close().await;
    assert_eq!(channel.receive.recv().await, None);
    timeout(LONG, channel.send.closed()).await.unwrap();
    let opened = one.quic.open(two.target(), Urgency::Usual, LONG).await;
    assert!(matches!(
        opened,
        Err(LinkError::Unreachable { node: 2, .. })
    ));
}
