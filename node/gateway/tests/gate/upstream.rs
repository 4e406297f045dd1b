//! Servers that misbehave, byte by byte, where the built-in sample server cannot: it is a correct
//! server, so it never closes half way, never garbles a reply and never asks the client anything.
//! Only the far side of the gate is played here; the gate is the real one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a server does with one request.
#[derive(Debug)]
pub(crate) enum Act {
    /// Closes the connection.
    Close,
    /// Sends what the test feeds it; closes when the test drops its end.
    Fed(mpsc::Receiver<Vec<u8>>),
    /// Never answers; waits until the gate hangs up.
    Mute,
    /// Answers and keeps the connection.
    Say(Vec<u8>),
    /// Answers, perhaps not whole, and closes.
    SayAndClose(Vec<u8>),
}

/// A request as the server got it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Request line and headers.
    pub(crate) head: String,
    /// Body.
    pub(crate) body: String,
}

/// A server that misbehaves. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    hung_up: AtomicU64,
}

type Script = dyn Fn(&Heard) -> Act + Send + Sync;

impl Heard {
    /// A header's value, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Fake {
    /// Begins to serve by `script`.
    pub(crate) async fn start(script: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (script, of_task): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&shared));
        let (stopped, more) = (stop.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let (script, shared) = (Arc::clone(&script), Arc::clone(&of_task));
                let stopped = stopped.clone();
                more.spawn(async move {
                    stopped
                        .run_until_cancelled(serve(stream, &*script, &shared))
                        .await
                });
            }
        });
        Self {
            address,
            shared,
            stop,
        }
    }

    /// A server that answers each request with the same bytes.
    pub(crate) async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_heard| Act::Say(answer.clone())).await
    }

    /// A server that answers its first request with what the test feeds it, and every other one
    /// with 202.
    pub(crate) async fn fed() -> (Self, mpsc::Sender<Vec<u8>>) {
        let (feed, fed) = mpsc::channel(16);
        let fed = Mutex::new(Some(fed));
        let take = move || fed.lock().expect("no panic under the lock").take();
        let script = move |_heard: &Heard| match take() {
            Some(fed) => Act::Fed(fed),
            None => Act::Say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec()),
        };
        (Self::start(script).await, feed)
    }

    /// What it has heard.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared
            .heard
            .lock()
            .expect("no panic under the lock")
            .clone()
    }

    /// How often the gate closed a connection on which an answer was due.
    pub(crate) fn hung_up(&self) -> u64 {
        self.shared.hung_up.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A whole JSON reply.
pub(crate) fn json(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         \r\n{body}"
    )
    .into_bytes()
}

/// The head of a stream of events.
pub(crate) fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec()
}

/// Bytes as one chunk of a body.
pub(crate) fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A stream that ends after these events.
pub(crate) fn events(events: &str) -> Vec<u8> {
    [stream_head(), chunk(events), LAST_CHUNK.to_vec()].concat()
}

async fn serve(mut stream: TcpStream, script: &Script, shared: &Shared) {
    let mut buffer = Vec::new();
    while let Some(heard) = request(&mut stream, &mut buffer).await {
        shared
            .heard
            .lock()
            .expect("no panic under the lock")
            .push(heard.clone());
        match script(&heard) {
            Act::Close => return,
            Act::Fed(fed) => return feed(stream, fed, shared).await,
            Act::Mute => {
                let mut byte = [0; 1];
                drop(stream.read(&mut byte).await);
                shared.hung_up.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Act::Say(bytes) => drop(stream.write_all(&bytes).await),
            Act::SayAndClose(bytes) => {
                drop(stream.write_all(&bytes).await);
                drop(stream.shutdown().await);
                return;
            }
        }
    }
}

async fn feed(mut stream: TcpStream, mut fed: mpsc::Receiver<Vec<u8>>, shared: &Shared) {
    let mut byte = [0; 1];
    loop {
        tokio::select! {
            bytes = fed.recv() => match bytes {
                Some(bytes) => drop(stream.write_all(&bytes).await),
                None => return drop(stream.shutdown().await),
            },
            _end = stream.read(&mut byte) => {
                shared.hung_up.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Heard> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let heard = Heard {
                head: head.to_owned(),
                body: String::new(),
            };
            let length = heard
                .header("content-length")
                .map_or(0, |n| n.parse().expect("a length"));
            if let Some(body) = rest.get(..length) {
                buffer.drain(..head.len() + 4 + length);
                return Some(Heard {
                    body: body.to_owned(),
                    ..heard
                });
            }
        }
        let read = stream.read_buf(buffer).await;
        read.ok().filter(|count| *count > 0)?;
    }
}
