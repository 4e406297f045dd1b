//! Which connections are kept, for how long, and how many.

use std::sync::Mutex;

use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, oneshot};

use super::*;

/// Answers each request with `reply`, for as long as the client asks.
async fn answer_all(mut stream: TcpStream, seen: Arc<Seen>, reply: &'static [u8]) {
    while read_request(&mut stream, &seen).await.is_some() {
        if stream.write_all(reply).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn five_hundred_requests_share_one_connection() {
    let bench = Bench::new();
    let (target, seen) = bench
        .server(|_, stream, seen| answer_all(stream, seen, OK))
        .await;
    for _ in 0..500 {
        assert_eq!(bench.exchange(&target).await.expect("a reply"), "ok");
    }
    assert_eq!(seen.requests(), 500);
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn replies_of_every_framing_are_whole_and_keep_what_can_be_kept() {
    let cases: [(&[u8], &str, usize); 7] = [
        (OK, "ok", 1),
        (b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", "", 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "", 1),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\na b\r\n1\r\nc\r\n0\r\n\r\n",
            "a bc",
            1,
        ),
        (
            b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "ok",
            1,
        ),
        (
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            "ok",
            3,
        ),
        (
            b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok",
            "ok",
            3,
        ),
    ];
    for (reply, body, connections) in cases {
        let bench = Bench::new();
        let (target, seen) = bench
            .server(move |_, stream, seen| answer_all(stream, seen, reply))
            .await;
        let shown = String::from_utf8_lossy(reply);
        for _ in 0..3 {
            assert_eq!(
                bench.exchange(&target).await.expect("a reply"),
                body,
                "{shown}"
            );
        }
        assert_eq!(seen.connections(), connections, "{shown}");
        assert_eq!(seen.requests(), 3, "{shown}");
    }
}

#[tokio::test]
async fn the_request_on_the_wire_is_framed_by_us_alone() {
    let bench = Bench::new();
    let (tell, told) = oneshot::channel();
    let tell = Mutex::new(Some(tell));
    let (target, _seen) = bench
        .server(move |_, mut stream, seen| {
            let tell = tell.lock().expect("no panic").take();
            async move {
                let request = read_request(&mut stream, &seen).await.expect("a request");
                tell.expect("one connection")
                    .send(request)
                    .expect("the test waits");
                stream.write_all(OK).await.expect("written");
            }
        })
        .await;
    let mut outgoing = post("{\"a\":1}");
    for (name, value) in [
        ("connection", "close, x-a"),
        ("content-length", "3"),
        ("expect", "100-continue"),
        ("host", "elsewhere.example"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-a", "kept"),
    ] {
        outgoing
            .headers
            .append(name, value.parse().expect("a value"));
    }
    let sent = bench
        .pool
        .send(&target, outgoing, soon(LONG))
        .await
        .expect("sent");
    sent.response(soon(LONG)).await.expect("a reply");
    let request = told.await.expect("the server tells");
    let mut lines: Vec<&str> = request.split("\r\n").collect();
    let host = format!("host: {}", target.host_header().to_str().expect("ascii"));
    lines[1..].sort_unstable();
    let mut expected = [
        "content-type: application/json",
        "x-a: kept",
        "content-length: 7",
        &host,
        "",
        "{\"a\":1}",
    ];
    expected.sort_unstable();
    assert_eq!(lines[0], "POST /mcp HTTP/1.1");
    assert_eq!(lines[1..], expected);
}

/// Node closes idle connections after 5 s; here at once. The close is known to have happened, so
/// the next request must notice it and take another connection, and lose nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_closed_idle_costs_no_request() {
    for reset in [false, true] {
        let bench = Bench::new();
        let (close, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (asked, done) = (Arc::clone(&close), Arc::clone(&closed));
        let (target, seen) = bench
            .server(move |_, mut stream, seen| {
                let (asked, done) = (Arc::clone(&asked), Arc::clone(&done));
                async move {
                    read_request(&mut stream, &seen).await.expect("a request");
                    stream.write_all(OK).await.expect("written");
                    asked.notified().await;
                    if reset {
                        stream.set_zero_linger().expect("linger");
                    }
                    drop(stream);
                    done.notify_one();
                }
            })
            .await;
        for _ in 0..50 {
            assert_eq!(bench.exchange(&target).await.expect("a reply"), "ok");
            close.notify_one();
            closed.notified().await;
        }
        assert_eq!(seen.requests(), 50);
        assert_eq!(seen.connections(), 50);
    }
}

/// As proxies do that tire of waiting. Taken for the next request's reply, it would be a lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_unasked_is_nobodys_reply() {
    let bench = Bench::new();
    let (say, said) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asked, done) = (Arc::clone(&say), Arc::clone(&said));
    let (target, seen) = bench
        .server(move |_, mut stream, seen| {
            let (asked, done) = (Arc::clone(&asked), Arc::clone(&done));
            async move {
                read_request(&mut stream, &seen).await.expect("a request");
                stream.write_all(OK).await.expect("written");
                asked.notified().await;
                let timeout = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(timeout).await.expect("written");
                done.notify_one();
                drain(&mut stream, &seen).await;
            }
        })
        .await;
    for _ in 0..50 {
        assert_eq!(bench.exchange(&target).await.expect("its own reply"), "ok");
        say.notify_one();
        said.notified().await;
    }
    assert_eq!(seen.requests(), 50);
    assert_eq!(seen.connections(), 50);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let bench = Bench::with(PoolLimits {
        idle: SHORT,
        ..PoolLimits::default()
    });
    let (target, seen) = bench
        .server(|_, stream, seen| answer_all(stream, seen, OK))
        .await;
    bench.exchange(&target).await.expect("a reply");
    seen.none_open().await;
    bench.exchange(&target).await.expect("a reply");
    assert_eq!(seen.connections(), 2);
}

#[tokio::test]
async fn a_body_dropped_before_its_end_costs_its_connection() {
    let bench = Bench::new();
    let reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\na b\r\n";
    let (target, seen) = bench
        .server(|_, stream, seen| answer_all(stream, seen, reply))
        .await;
    for connections in 1..4 {
        let sent = bench.send(&target).await.expect("sent");
        let response = sent.response(soon(LONG)).await.expect("a head");
        let mut body = response.into_body();
        let first = body.frame().await.expect("a frame").expect("readable");
        assert_eq!(first.into_data().expect("data"), "a b");
        drop(body);
        assert_eq!(seen.connections(), connections);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_never_exceed_the_limit() {
    let bench = Bench::with(PoolLimits {
        connections: 4,
        ..PoolLimits::default()
    });
    let bench = Arc::new(bench);
    let (target, seen) = bench
        .server(|_, stream, seen| answer_all(stream, seen, OK))
        .await;
    let clients = TaskTracker::new();
    for _ in 0..64 {
        let (bench, target) = (Arc::clone(&bench), target.clone());
        clients.spawn(async move {
            for _ in 0..20 {
                bench.exchange(&target).await.expect("a reply");
            }
        });
    }
    clients.close();
    clients.wait().await;
    assert_eq!(seen.requests(), 64 * 20);
    assert!(seen.open_max.load(Ordering::SeqCst) <= 4, "{seen:?}");
    assert!(seen.connections() <= 4, "{seen:?}");
}

#[tokio::test]
async fn a_full_pool_refuses_at_the_deadline_and_serves_again_when_freed() {
    let bench = Bench::with(PoolLimits {
        connections: 1,
        ..PoolLimits::default()
    });
    let (target, seen) = bench
        .server(|_, stream, seen| answer_all(stream, seen, OK))
        .await;
    let held = bench.send(&target).await.expect("sent");
    let result = bench.pool.send(&target, post("x"), soon(SHORT)).await;
    assert!(
        matches!(result, Err(NotSent::PoolFull { connections: 1 })),
        "{result:?}"
    );
    let response = held.response(soon(LONG)).await.expect("a reply");
    response
        .into_body()
        .whole(2, soon(LONG))
        .await
        .expect("whole");
    bench.exchange(&target).await.expect("a reply");
    assert_eq!(seen.requests(), 2);
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn too_many_origins_are_refused_until_one_has_no_connection_left() {
    let limits = PoolLimits {
        origins: 1,
        idle: SHORT,
        ..PoolLimits::default()
    };
    let bench = Bench::with(limits);
    let (first, seen) = bench
        .server(|_, stream, seen| answer_all(stream, seen, OK))
        .await;
    let (second, _) = bench
        .server(|_, stream, seen| answer_all(stream, seen, OK))
        .await;
    bench.exchange(&first).await.expect("a reply");
    let result = bench.send(&second).await;
    assert!(
        matches!(result, Err(NotSent::TooManyOrigins { origins: 1 })),
        "{result:?}"
    );
    seen.none_open().await;
    bench.exchange(&second).await.expect("a reply");
}

#[tokio::test]
async fn a_closed_pool_finishes_what_is_on_its_way_and_ends_its_tasks() {
    let tasks = TaskTracker::new();
    let tls = tls_config(rustls::RootCertStore::empty());
    let pool = Pool::new(PoolLimits::default(), tls, tasks.clone(), Clock::default());
    let bench = Bench::new();
    let (target, _seen) = bench
        .server(|_, stream, seen| answer_all(stream, seen, OK))
        .await;
    let idle = pool
        .send(&target, post("x"), soon(LONG))
        .await
        .expect("sent");
    let busy = pool
        .send(&target, post("x"), soon(LONG))
        .await
        .expect("sent");
    let reply = idle.response(soon(LONG)).await.expect("a reply");
    reply.into_body().whole(2, soon(LONG)).await.expect("whole");
    pool.close();
    let result = pool.send(&target, post("x"), soon(LONG)).await;
    assert!(matches!(result, Err(NotSent::Closed)), "{result:?}");
    let reply = busy.response(soon(LONG)).await.expect("a reply");
    assert_eq!(
        reply.into_body().whole(2, soon(LONG)).await.expect("whole"),
        "ok"
    );
    tasks.close();
    tokio::time::timeout(LONG, tasks.wait())
        .await
        .expect("all drivers end");
}
