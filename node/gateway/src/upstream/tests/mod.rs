//! The pool against raw TCP servers that fail at chosen points. Each server counts what reached it,
//! and that count is what the pool's answer is held to.

mod failing;
mod keeping;
mod storm;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::connect::tls_config;
use super::{Broken, NotSent, Outgoing, Pool, PoolLimits, Sent, Target};
use crate::clock::{Clock, Moment};

/// Long enough for anything that should happen.
const LONG: Duration = Duration::from_secs(20);
/// Long enough to see that something does not.
const SHORT: Duration = Duration::from_millis(60);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What reached a server.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    open_max: AtomicUsize,
    bytes: AtomicUsize,
    requests: AtomicUsize,
}

impl Seen {
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Waits until the clients have closed every connection.
    async fn none_open(&self) {
        let closed = async {
            while self.open.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, closed)
            .await
            .expect("every connection is closed in time");
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A pool, and the tasks of its drivers and of the servers.
struct Bench {
    pool: Pool,
    tasks: TaskTracker,
}

impl Bench {
    fn new() -> Self {
        Self::with(PoolLimits::default())
    }

    fn with(limits: PoolLimits) -> Self {
        let tasks = TaskTracker::new();
        let tls = tls_config(rustls::RootCertStore::empty());
        Self {
            pool: Pool::new(limits, tls, tasks.clone(), Clock::default()),
            tasks,
        }
    }

    /// A server that runs `script` for each connection, with the connection's number from 0.
    async fn server<F, W>(&self, script: F) -> (Target, Arc<Seen>)
    where
        F: Fn(usize, TcpStream, Arc<Seen>) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let target = target(listener.local_addr().expect("bound"));
        let seen = Arc::new(Seen::default());
        let (counted, tasks) = (Arc::clone(&seen), self.tasks.clone());
        self.tasks.spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let number = counted.connections.fetch_add(1, Ordering::SeqCst);
                let open = counted.open.fetch_add(1, Ordering::SeqCst) + 1;
                counted.open_max.fetch_max(open, Ordering::SeqCst);
                let work = script(number, stream, Arc::clone(&counted));
                let counted = Arc::clone(&counted);
                tasks.spawn(async move {
                    work.await;
                    counted.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        (target, seen)
    }

    async fn send(&self, target: &Target) -> Result<Sent, NotSent> {
        self.pool.send(target, post("hello"), soon(LONG)).await
    }

    /// Sends and reads the whole reply.
    async fn exchange(&self, target: &Target) -> Result<Bytes, Broken> {
        let sent = self.send(target).await.expect("sent");
        let response = sent.response(soon(LONG)).await?;
        response.into_body().whole(1 << 20, soon(LONG)).await
    }
}

fn target(address: SocketAddr) -> Target {
    Target::parse(&format!("http://{address}/mcp")).expect("a url")
}

fn soon(later: Duration) -> Moment {
    Clock::default().moment().after(later)
}

fn post(body: &str) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    Outgoing {
        method: Method::POST,
        headers,
        body: Bytes::from(body.to_owned()),
    }
}

/// Reads one request, head and body; `None` when the client ends before it does.
async fn read_request<R: AsyncRead + Unpin>(stream: &mut R, seen: &Seen) -> Option<String> {
    let mut bytes = Vec::new();
    let whole = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap_or("0").parse().expect("a length");
            if body.len() >= length {
                break text;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => {
                seen.bytes.fetch_add(count, Ordering::SeqCst);
                bytes.extend_from_slice(&chunk[..count]);
            }
            Ok(_) | Err(_) => return None,
        }
    };
    seen.requests.fetch_add(1, Ordering::SeqCst);
    Some(whole)
}

/// Reads until the client closes, and counts.
async fn drain(stream: &mut TcpStream, seen: &Seen) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        seen.bytes.fetch_add(count, Ordering::SeqCst);
    }
}
