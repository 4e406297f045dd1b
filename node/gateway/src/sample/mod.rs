//! The sample server: a real MCP server over HTTP with the tools of the published stories, which
//! touches nothing. `tollbook dev` and the load tests stand a gate before it.
//!
//! It speaks both eras at `/mcp`, answers in JSON but for `slow_report`, and counts each call that
//! reaches it, so that a test can say how often a call was really sent (`GET /counters`).

mod answers;
mod catalogue;
mod protocol;
mod sessions;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::answers::{Body, code};
use self::catalogue::Catalogue;
use self::sessions::Sessions;

/// Bytes of one request.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Clients at once.
const CONNECTIONS_MAX: usize = 8192;
/// For a request's head, and for the next one to begin.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// After the machine refused to accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);
/// A legacy client's session.
const SESSION_ID: &str = "mcp-session-id";

/// Which rules a request is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Era {
    /// Handshake and session.
    Legacy,
    /// 2026-07-28: each request stands alone.
    Modern,
}

/// A legacy protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    March2025,
    June2025,
    November2025,
}

/// A running sample server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sample {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    catalogue: Catalogue,
    sessions: Sessions,
    stop: CancellationToken,
    /// A page in a browser on this machine may not reach in by a name of its own.
    loopback_only: bool,
}

/// The connection is closed without a reply.
#[derive(Debug, thiserror::Error)]
#[error("the sample server closes this connection")]
struct Crash;

impl Sample {
    /// Serves on `listener` until [`Sample::stop`]; `tasks` does not end before that.
    pub fn start(listener: TcpListener, tasks: &TaskTracker) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            catalogue: Catalogue::new(),
            sessions: Sessions::default(),
            stop: CancellationToken::new(),
            loopback_only: address.ip().is_loopback(),
        });
        let serve = accept(listener, Arc::clone(&shared), tasks.clone());
        tasks.spawn(serve);
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for `tollbook server add`.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// How many calls of this tool have come in, answered or not.
    pub fn calls(&self, tool: &str) -> u64 {
        self.shared.catalogue.calls(tool)
    }

    /// How many calls have come in, of unknown tools too.
    pub fn total(&self) -> u64 {
        self.shared.catalogue.total()
    }

    /// Accepts no more, ends hanging calls, and lets the others finish. Safe to call twice.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("total", &self.catalogue.total())
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Some((place, Ok((stream, _peer)))) => {
                tasks.spawn(serve(stream, Arc::clone(&shared), place));
            }
            // Out of file descriptors, most likely: others will close theirs.
            Some((_place, Err(_refused))) => tokio::time::sleep(ACCEPT_AGAIN).await,
            None => return,
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, _place: OwnedSemaphorePermit) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the sample server ended");
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Crash> {
    let path = request.uri().path().trim_end_matches('/');
    if !is_near(request.headers(), shared.loopback_only) {
        return Ok(answers::empty(StatusCode::FORBIDDEN));
    }
    match (path, request.method()) {
        ("/counters", &Method::GET) => Ok(answers::message(
            StatusCode::OK,
            &shared.catalogue.counters(),
        )),
        ("/mcp", &Method::POST) => post(&shared, request).await,
        ("/mcp", &Method::DELETE) if !is_modern(request.headers()) => {
            Ok(end_session(&shared, request.headers()))
        }
        // A GET stream is optional in the old era, and there is none in the new one.
        ("/mcp", _) => {
            let mut response = answers::empty(StatusCode::METHOD_NOT_ALLOWED);
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("POST, DELETE"));
            Ok(response)
        }
        _ => Ok(answers::empty(StatusCode::NOT_FOUND)),
    }
}

async fn post(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Crash> {
    let (parts, body) = request.into_parts();
    let json = parts.headers.get(CONTENT_TYPE).is_some_and(is_json);
    if !json || parts.headers.contains_key(CONTENT_ENCODING) {
        return Ok(answers::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(answers::empty(StatusCode::PAYLOAD_TOO_LARGE));
    };
    match serde_json::from_slice::<Value>(&body.to_bytes()) {
        Ok(value) => protocol::answer(shared, &parts.headers, value).await,
        Err(error) => {
            let error = answers::error(&Value::Null, code::PARSE, &error.to_string(), None);
            Ok(answers::message(StatusCode::BAD_REQUEST, &error))
        }
    }
}

fn end_session(shared: &Shared, headers: &HeaderMap) -> Response<Body> {
    let id = headers.get(SESSION_ID).map(session_id);
    answers::empty(match id {
        None => StatusCode::BAD_REQUEST,
        Some(Some(id)) if shared.sessions.end(&id) => StatusCode::NO_CONTENT,
        Some(_) => StatusCode::NOT_FOUND,
    })
}

fn is_modern(headers: &HeaderMap) -> bool {
    headers
        .get(protocol::VERSION)
        .is_some_and(|version| version == protocol::MODERN)
}

fn session_id(value: &HeaderValue) -> Option<Uuid> {
    Uuid::parse_str(value.to_str().ok()?).ok()
}

fn is_json(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// Whether Host and Origin name this machine, as far as they must.
fn is_near(headers: &HeaderMap, loopback_only: bool) -> bool {
    let is_loopback = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                name
            } else {
                host
            }
        });
        ["localhost", "127.0.0.1", "[::1]"].contains(&name)
    };
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let origin = headers
        .get(ORIGIN)
        .map(|value| value.to_str().unwrap_or_default());
    let host_is_near = !loopback_only || host.is_some_and(is_loopback);
    host_is_near
        && origin.is_none_or(|origin| {
            origin
                .split_once("://")
                .is_some_and(|(_scheme, host)| is_loopback(host))
        })
}
