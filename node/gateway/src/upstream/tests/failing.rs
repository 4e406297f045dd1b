//! Each point at which a server can fail.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::upstream::ConnectFailure;
use crate::upstream::gate::{Gate, Gated, Shut};

#[tokio::test]
async fn a_passed_deadline_sends_nothing_and_opens_nothing() {
    let bench = Bench::new();
    let (target, seen) = bench.server(|_, _, _| async {}).await;
    let now = Clock::default().moment();
    let result = bench.pool.send(&target, post("x"), now).await;
    assert!(matches!(result, Err(NotSent::DeadlinePassed)), "{result:?}");
    assert_eq!(seen.connections(), 0);
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let target = target(listener.local_addr().expect("bound"));
    drop(listener);
    let result = bench.send(&target).await;
    let Err(NotSent::Connect(ConnectFailure::Unreachable(error))) = result else {
        panic!("{result:?}")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_name_without_address_is_unresolved() {
    let bench = Bench::new();
    let target = Target::parse("http://no-such-host.invalid/").expect("a url");
    let result = bench.send(&target).await;
    assert!(
        matches!(result, Err(NotSent::Connect(ConnectFailure::Unresolved(_)))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_metadata_address_is_forbidden() {
    let bench = Bench::new();
    let target = Target::parse("http://169.254.169.254/latest").expect("a url");
    let result = bench.send(&target).await;
    assert!(
        matches!(
            result,
            Err(NotSent::Connect(ConnectFailure::AddressForbidden { .. }))
        ),
        "{result:?}"
    );
}

/// A listener whose queue is full: the kernel drops what else knocks.
async fn deaf() -> (TcpListener, Vec<TcpStream>, Target) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("bound");
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        queued.push(stream);
    }
    (listener, queued, target(address))
}

#[tokio::test]
async fn the_admit_deadline_ends_a_connect() {
    let bench = Bench::new();
    let (_listener, _queued, target) = deaf().await;
    let result = bench.pool.send(&target, post("x"), soon(SHORT)).await;
    assert!(matches!(result, Err(NotSent::DeadlinePassed)), "{result:?}");
}

#[tokio::test]
async fn the_connect_deadline_ends_a_connect() {
    let bench = Bench::with(PoolLimits {
        connect: SHORT,
        ..PoolLimits::default()
    });
    let (_listener, _queued, target) = deaf().await;
    let result = bench.send(&target).await;
    assert!(
        matches!(
            result,
            Err(NotSent::Connect(ConnectFailure::TimedOut { after: SHORT }))
        ),
        "{result:?}"
    );
}

/// The server closes its half at once and counts what comes nevertheless: whatever the race comes
/// to, "not sent" is never said of a byte that came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_sent_is_never_said_of_a_byte_that_came() {
    for _ in 0..200 {
        let bench = Bench::new();
        let (done, mut drained) = mpsc::channel(8);
        let (target, seen) = bench
            .server(move |_, mut stream, seen| {
                let done = done.clone();
                async move {
                    if stream.shutdown().await.is_ok() {
                        drain(&mut stream, &seen).await;
                    }
                    done.send(()).await.expect("the test waits");
                }
            })
            .await;
        match bench.send(&target).await {
            Ok(sent) => {
                let result = sent.response(soon(LONG)).await;
                assert!(matches!(result, Err(Broken::Closed(_))), "{result:?}");
                while seen.bytes() == 0 {
                    drained.recv().await.expect("a connection ends");
                }
            }
            Err(NotSent::HandedBack { connections: 3 }) => {
                for _ in 0..3 {
                    drained.recv().await.expect("three connections end");
                }
                assert_eq!(seen.bytes(), 0);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Servers that take the request, or its beginning, and then end: sent, broken, never again.
#[tokio::test]
async fn a_request_that_began_is_never_sent_again() {
    #[derive(Clone, Copy, Debug)]
    enum Point {
        AfterTenBytes,
        AfterRequest,
        MidHead,
        MidBody,
        ResetAfterRequest,
    }
    use Point::{AfterRequest, AfterTenBytes, MidBody, MidHead, ResetAfterRequest};

    for point in [
        AfterTenBytes,
        AfterRequest,
        MidHead,
        MidBody,
        ResetAfterRequest,
    ] {
        let bench = Bench::new();
        let (target, seen) = bench
            .server(move |_, mut stream, seen| async move {
                if matches!(point, AfterTenBytes) {
                    stream.read_exact(&mut [0; 10]).await.expect("ten bytes");
                    seen.requests.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                read_request(&mut stream, &seen).await.expect("a request");
                let part: &[u8] = match point {
                    AfterTenBytes | AfterRequest => b"",
                    MidHead => b"HTTP/1.1 200 OK\r\ncontent-le",
                    MidBody => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive ",
                    ResetAfterRequest => {
                        stream.set_zero_linger().expect("linger");
                        return;
                    }
                };
                stream.write_all(part).await.expect("written");
            })
            .await;
        let result = bench.exchange(&target).await;
        assert!(
            matches!(result, Err(Broken::Closed(_) | Broken::Connection(_))),
            "{point:?}: {result:?}"
        );
        assert_eq!(seen.requests(), 1, "{point:?}");
        assert_eq!(seen.connections(), 1, "{point:?}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    let long_head = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'x'; 1 << 17]].concat();
    let many = "x: y\r\n".repeat(200);
    let many_headers = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
    for reply in [
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\na : b\r\n\r\n".to_vec(),
        long_head,
        many_headers.into_bytes(),
    ] {
        let bench = Bench::new();
        let shown = String::from_utf8_lossy(&reply[..20]).into_owned();
        let (target, seen) = bench
            .server(move |_, mut stream, seen| {
                let reply = reply.clone();
                async move {
                    read_request(&mut stream, &seen).await.expect("a request");
                    // The client may hang up in the middle of it.
                    drop(stream.write_all(&reply).await);
                    drain(&mut stream, &seen).await;
                }
            })
            .await;
        let result = bench.exchange(&target).await;
        assert!(
            matches!(result, Err(Broken::Malformed(_))),
            "{shown:?}: {result:?}"
        );
        assert_eq!(seen.requests(), 1);
    }
}

#[tokio::test]
async fn an_unasked_upgrade_is_no_reply() {
    let bench = Bench::new();
    let (target, _seen) = bench
        .server(|_, mut stream, seen| async move {
            read_request(&mut stream, &seen).await.expect("a request");
            let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\
                            connection: upgrade\r\n\r\n";
            stream.write_all(upgrade).await.expect("written");
            drain(&mut stream, &seen).await;
        })
        .await;
    let result = bench.exchange(&target).await;
    assert!(matches!(result, Err(Broken::Upgraded)), "{result:?}");
}

#[tokio::test]
async fn a_slow_head_times_out_and_its_connection_is_dropped() {
    let bench = Bench::new();
    let (dropped, dropping) = oneshot::channel();
    let dropped = std::sync::Mutex::new(Some(dropped));
    let (target, seen) = bench
        .server(move |_, mut stream, seen| {
            let dropped = dropped.lock().expect("no panic").take();
            async move {
                read_request(&mut stream, &seen).await.expect("a request");
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\n")
                    .await
                    .expect("written");
                drain(&mut stream, &seen).await;
                dropped
                    .expect("one connection")
                    .send(())
                    .expect("the test waits");
            }
        })
        .await;
    let sent = bench.send(&target).await.expect("sent");
    let result = sent.response(soon(SHORT)).await;
    assert!(matches!(result, Err(Broken::TimedOut)), "{result:?}");
    dropping.await.expect("the server sees its client go");
    assert_eq!(seen.requests(), 1);
}

#[tokio::test]
async fn a_body_that_never_ends_times_out() {
    let bench = Bench::new();
    let (target, _seen) = bench
        .server(|_, mut stream, seen| async move {
            read_request(&mut stream, &seen).await.expect("a request");
            let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive ";
            stream.write_all(begin).await.expect("written");
            drain(&mut stream, &seen).await;
        })
        .await;
    let sent = bench.send(&target).await.expect("sent");
    let response = sent.response(soon(LONG)).await.expect("a head");
    let result = response.into_body().whole(100, soon(SHORT)).await;
    assert!(matches!(result, Err(Broken::TimedOut)), "{result:?}");
}

#[tokio::test]
async fn a_reply_over_its_limit_is_refused_declared_or_not() {
    for head in ["content-length: 11\r\n\r\n", "connection: close\r\n\r\n"] {
        let bench = Bench::new();
        let (target, _seen) = bench
            .server(move |_, mut stream, seen| async move {
                read_request(&mut stream, &seen).await.expect("a request");
                let reply = format!("HTTP/1.1 200 OK\r\n{head}eleven byte");
                stream.write_all(reply.as_bytes()).await.expect("written");
            })
            .await;
        for (limit, fits) in [(11, true), (10, false)] {
            let sent = bench.send(&target).await.expect("sent");
            let response = sent.response(soon(LONG)).await.expect("a head");
            let result = response.into_body().whole(limit, soon(LONG)).await;
            match fits {
                true => assert_eq!(result.expect("whole"), "eleven byte"),
                false => assert!(matches!(result, Err(Broken::TooLarge { limit: 10 }))),
            }
        }
    }
}

async fn shut(gate: &Gate) -> Shut {
    std::future::poll_fn(|cx| gate.poll_shut(cx)).await
}

/// The moments between the last check and the kernel: a driver that comes late writes nothing.
#[tokio::test]
async fn the_gate_lets_no_first_byte_pass_after_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let near = TcpStream::connect(listener.local_addr().expect("bound"))
        .await
        .expect("connected");
    let (mut far, _peer) = listener.accept().await.expect("accepted");
    let gate = Gate::new(Clock::default());
    let mut gated = Gated::new(near, Arc::clone(&gate), false);

    gate.arm(soon(LONG));
    gated
        .write_all(b"first")
        .await
        .expect("before the deadline");
    assert_eq!(shut(&gate).await, Shut::Sent);
    gate.disarm();

    let admit = soon(Duration::from_millis(1));
    gate.arm(admit);
    while Clock::default().moment() < admit {
        std::hint::spin_loop();
    }
    let error = gated
        .write_all(b"late")
        .await
        .expect_err("after the deadline");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(shut(&gate).await, Shut::Unsent);
    gated.write_all(b"later").await.expect_err("for good");
    gated.shutdown().await.expect("closing is no byte");

    let mut received = Vec::new();
    far.read_to_end(&mut received)
        .await
        .expect("read to the end");
    assert_eq!(received, b"first");
}

#[tokio::test]
async fn a_shut_gate_stays_shut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let near = TcpStream::connect(listener.local_addr().expect("bound"))
        .await
        .expect("connected");
    let (mut far, _peer) = listener.accept().await.expect("accepted");
    let gate = Gate::new(Clock::default());
    let mut gated = Gated::new(near, Arc::clone(&gate), false);
    gate.arm(soon(LONG));
    assert_eq!(shut(&gate).await, Shut::Unsent);
    gated
        .write_all(b"no")
        .await
        .expect_err("shut before the first byte");
    gate.disarm();
    gated
        .write_all(b"no")
        .await
        .expect_err("disarming does not open it");
    drop(gated);
    let mut received = Vec::new();
    far.read_to_end(&mut received)
        .await
        .expect("read to the end");
    assert_eq!(received, b"");
}
