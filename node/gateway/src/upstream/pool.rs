//! Kept connections: taken for one request, returned when its response was read to the end.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::connect::{Late, Wire, connect};
use super::gate::{Gate, Shut};
use super::reply::ReplyBody;
use super::target::{Origin, Target};
use super::{Broken, ConnectFailure, NotSent, within};
use crate::clock::{Clock, Moment};

/// Connections that are tried for one request: a kept one, then new ones only.
const CONNECTIONS_TRIED_MAX: u32 = 3;
/// How long a returned connection may take to finish writing its last request.
const READY_WAIT: Duration = Duration::from_millis(50);

/// The pool's bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// For one connection, TLS included.
    pub connect: Duration,
    /// Connections to one server, busy and idle. A stream holds its own until it ends.
    pub connections: usize,
    /// Bytes of a response's head. At least 8192.
    pub head_bytes: usize,
    /// A kept connection is closed after so long. Common servers close after 5 s, and a request
    /// that crosses their closing may have run for all we know: be earlier. A server that names
    /// its own time (`Keep-Alive: timeout=…`) is left a second before that.
    pub idle: Duration,
    /// Servers with connections at once.
    pub origins: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            connections: 256,
            head_bytes: 64 << 10,
            idle: Duration::from_secs(4),
            origins: 4096,
        }
    }
}

/// One request. `Host`, framing and hop-by-hop headers are the pool's and are replaced.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// `POST`, `GET` or `DELETE`.
    pub method: Method,
    /// What the server is told beside the body.
    pub headers: HeaderMap,
    /// Sent as it is, with its length.
    pub body: Bytes,
}

/// Connections to all servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: PoolLimits,
    tls: Arc<ClientConfig>,
    tasks: TaskTracker,
    clock: Clock,
    lanes: Mutex<Lanes>,
}

#[derive(Debug)]
enum Lanes {
    Open(HashMap<Origin, Arc<Lane>>),
    Closed,
}

/// The connections to one server.
#[derive(Debug)]
pub(super) struct Lane {
    clock: Clock,
    idle_limit: Duration,
    /// One permit a busy connection. A new one is made only by a permit's holder who finds none
    /// idle, so busy and idle together never exceed the limit.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until: Moment,
}

/// One connection; dropping it closes it.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    gate: Arc<Gate>,
}

/// A connection in use. Returning it is [`Lease::finish`]; dropping it closes it.
#[derive(Debug)]
pub(super) struct Lease {
    lane: Arc<Lane>,
    connection: Connection,
    permit: OwnedSemaphorePermit,
}

type Exchange = Pin<
    Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>> + Send>,
>;

/// A request whose first byte is gone. Dropping it closes the connection; the request may have run.
pub struct Sent {
    answer: Answer,
    lease: Lease,
    clock: Clock,
}

enum Answer {
    Awaited(Exchange),
    Here(Result<Response<Incoming>, hyper::Error>),
}

impl Pool {
    /// A pool without connections. Each connection's driver runs on `tasks`.
    pub fn new(
        limits: PoolLimits,
        tls: Arc<ClientConfig>,
        tasks: TaskTracker,
        clock: Clock,
    ) -> Self {
        let lanes = Mutex::new(Lanes::Open(HashMap::new()));
        Self {
            shared: Arc::new(Shared {
                limits,
                tls,
                tasks,
                clock,
                lanes,
            }),
        }
    }

    /// Sends a request, its first byte before `admit` or not at all.
    ///
    /// A request that a connection hands back with no byte sent takes another one; nothing else is
    /// ever sent twice. Dropping this future on its way leaves open whether it was sent: run it in
    /// a task.
    pub async fn send(
        &self,
        target: &Target,
        outgoing: Outgoing,
        admit: Moment,
    ) -> Result<Sent, NotSent> {
        let shared = &*self.shared;
        if shared.clock.moment() >= admit {
            return Err(NotSent::DeadlinePassed);
        }
        let request = writable(target, outgoing);
        let lane = shared.lane(target.origin())?;
        let mut permit = lane.permit(shared, admit).await?;
        for tried in 0..CONNECTIONS_TRIED_MAX {
            let kept = if tried == 0 {
                lane.take_idle(admit).await
            } else {
                None
            };
            let connection = match kept {
                Some(connection) => connection,
                // Boxed: TLS makes it large, and it is the rare case.
                None => Box::pin(shared.dial(target, &lane, admit)).await?,
            };
            let lease = Lease {
                lane: Arc::clone(&lane),
                connection,
                permit,
            };
            match offer(lease, request.clone(), shared.clock, admit).await {
                Offered::Sent(sent) => return Ok(sent),
                Offered::Late => return Err(NotSent::DeadlinePassed),
                Offered::Unsent(lease) => permit = lease.permit,
            }
            if shared.clock.moment() >= admit {
                return Err(NotSent::DeadlinePassed);
            }
        }
        Err(NotSent::HandedBack {
            connections: CONNECTIONS_TRIED_MAX,
        })
    }

    /// Closes idle connections and opens no new ones; requests on their way go on, and their
    /// connections close after them.
    pub fn close(&self) {
        let lanes = std::mem::replace(&mut *self.shared.lanes(), Lanes::Closed);
        if let Lanes::Open(lanes) = lanes {
            for lane in lanes.values() {
                lane.permits.close();
                lane.idle().clear();
            }
        }
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, origin: &Origin) -> Result<Arc<Lane>, NotSent> {
        let mut lanes = self.lanes();
        let Lanes::Open(lanes) = &mut *lanes else {
            return Err(NotSent::Closed);
        };
        if let Some(lane) = lanes.get(origin) {
            return Ok(Arc::clone(lane));
        }
        if lanes.len() >= self.limits.origins {
            // Only lanes that nobody holds and that keep no connection.
            lanes.retain(|_origin, lane| Arc::strong_count(lane) > 1 || !lane.idle().is_empty());
        }
        if lanes.len() >= self.limits.origins {
            return Err(NotSent::TooManyOrigins {
                origins: self.limits.origins,
            });
        }
        let lane = Arc::new(Lane {
            clock: self.clock,
            idle_limit: self.limits.idle,
            permits: Arc::new(Semaphore::new(self.limits.connections)),
            idle: Mutex::new(Vec::new()),
        });
        lanes.insert(origin.clone(), Arc::clone(&lane));
        Ok(lane)
    }

    async fn dial(
        &self,
        target: &Target,
        lane: &Arc<Lane>,
        admit: Moment,
    ) -> Result<Connection, NotSent> {
        let deadline = admit.min(self.clock.moment().after(self.limits.connect));
        let gate = Gate::new(self.clock);
        let wire = connect(
            target.origin(),
            &self.tls,
            Arc::clone(&gate),
            self.clock,
            deadline,
        );
        let sender = match wire.await {
            Ok(Wire::Plain(wire)) => self.drive(TokioIo::new(wire), lane).await,
            Ok(Wire::Tls(wire)) => self.drive(TokioIo::new(wire), lane).await,
            Err(Late::No(failure)) => return Err(NotSent::Connect(failure)),
            Err(Late::Yes) if deadline == admit => return Err(NotSent::DeadlinePassed),
            Err(Late::Yes) => {
                let after = self.limits.connect;
                return Err(NotSent::Connect(ConnectFailure::TimedOut { after }));
            }
        };
        match sender {
            Ok(sender) => Ok(Connection { sender, gate }),
            Err(_never_polled) => Err(NotSent::HandedBack { connections: 1 }),
        }
    }

    async fn drive<W>(
        &self,
        wire: W,
        lane: &Arc<Lane>,
    ) -> Result<SendRequest<Full<Bytes>>, hyper::Error>
    where
        W: Read + Write + Unpin + Send + 'static,
    {
        let mut builder = Builder::new();
        builder.max_buf_size(self.limits.head_bytes);
        let (sender, connection) = builder.handshake(wire).await?;
        // Not kept alive by its drivers, or a lane would outlive the pool.
        let lane = Arc::downgrade(lane);
        let period = self.limits.idle;
        self.tasks.spawn(async move {
            let mut connection = pin!(connection);
            loop {
                match tokio::time::timeout(period, connection.as_mut()).await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "an upstream connection ended");
                        return;
                    }
                    // Every driver looks after the whole lane: there is no reaper to stop.
                    Err(_elapsed) => reap(&lane),
                }
            }
        });
        Ok(sender)
    }
}

impl Lane {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn permit(
        &self,
        shared: &Shared,
        admit: Moment,
    ) -> Result<OwnedSemaphorePermit, NotSent> {
        let permits = Arc::clone(&self.permits);
        match within(shared.clock, admit, permits.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(NotSent::Closed),
            Err(_passed) => Err(NotSent::PoolFull {
                connections: shared.limits.connections,
            }),
        }
    }

    /// The connection used last that still stands, ready for a request.
    async fn take_idle(&self, admit: Moment) -> Option<Connection> {
        loop {
            let mut idle = self.idle().pop()?;
            let now = self.clock.moment();
            if idle.until <= now || idle.connection.sender.is_closed() {
                continue;
            }
            if idle.connection.sender.is_ready() {
                return Some(idle.connection);
            }
            // Just returned, and its driver has a last step to go. One that answered before it
            // had read its request may never come so far.
            let wait = now.after(READY_WAIT).min(admit);
            if let Ok(Ok(())) = within(self.clock, wait, idle.connection.sender.ready()).await {
                return Some(idle.connection);
            }
        }
    }
}

fn reap(lane: &Weak<Lane>) {
    if let Some(lane) = lane.upgrade() {
        let now = lane.clock.moment();
        lane.idle()
            .retain(|idle| idle.until > now && !idle.connection.sender.is_closed());
    }
}

impl Lease {
    /// Returns the connection: the response was read to its end.
    pub(super) fn finish(self, server_limit: Option<Duration>) {
        let Self {
            lane,
            connection,
            permit,
        } = self;
        let keep = server_limit.map_or(lane.idle_limit, |limit| limit.min(lane.idle_limit));
        if keep.is_zero() || connection.sender.is_closed() || lane.permits.is_closed() {
            return;
        }
        connection.gate.disarm();
        let until = lane.clock.moment().after(keep);
        lane.idle().push(Idle { connection, until });
        // Closed in between: the list was cleared, and this one would be left behind.
        if lane.permits.is_closed() {
            lane.idle().clear();
        }
        // After the push, or its next holder would find none idle and open one too many.
        drop(permit);
    }
}

enum Offered {
    Late,
    Sent(Sent),
    Unsent(Lease),
}

/// Hands the request to one connection and waits until its first byte is gone, or certainly not.
async fn offer(
    mut lease: Lease,
    request: Request<Full<Bytes>>,
    clock: Clock,
    admit: Moment,
) -> Offered {
    lease.connection.gate.arm(admit);
    let mut exchange: Exchange = Box::pin(lease.connection.sender.try_send_request(request));
    let mut answer = None;
    let decided = poll_fn(|cx| {
        // The answer may come in the same turn as the first byte; it is polled at most to its end.
        if let Poll::Ready(result) = exchange.as_mut().poll(cx) {
            answer = Some(result);
            return Poll::Ready(());
        }
        // A request that crossed the end of its connection can lie in the queue between the two,
        // where nobody drops it before the sender goes: tokio's channel promises no more. The end
        // itself is seen here, and the gate says for certain whether a byte is gone.
        if let Poll::Ready(Err(_ended)) = lease.connection.sender.poll_ready(cx) {
            return Poll::Ready(());
        }
        lease.connection.gate.poll_decided(cx)
    });
    let late = within(clock, admit, decided).await.is_err();
    if poll_fn(|cx| lease.connection.gate.poll_shut(cx)).await == Shut::Sent {
        let answer = match answer {
            Some(result) => Answer::Here(result.map_err(TrySendError::into_error)),
            None => Answer::Awaited(exchange),
        };
        return Offered::Sent(Sent {
            answer,
            lease,
            clock,
        });
    }
    if late || clock.moment() >= admit {
        Offered::Late
    } else {
        Offered::Unsent(lease)
    }
}

/// The request as it is written: framing, `Host` and hop-by-hop headers are ours alone.
fn writable(target: &Target, outgoing: Outgoing) -> Request<Full<Bytes>> {
    let Outgoing {
        method,
        mut headers,
        body,
    } = outgoing;
    for name in [
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.insert(HOST, target.host_header().clone());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target.path().clone());
    *request.headers_mut() = headers;
    request
}

impl Sent {
    /// The response's head, by `deadline`. After it the connection is dropped.
    pub async fn response(self, deadline: Moment) -> Result<Response<ReplyBody>, Broken> {
        let Self {
            answer,
            lease,
            clock,
        } = self;
        let response = match answer {
            Answer::Here(result) => result?,
            Answer::Awaited(exchange) => match within(clock, deadline, exchange).await {
                Ok(result) => result.map_err(TrySendError::into_error)?,
                Err(_passed) => return Err(Broken::TimedOut),
            },
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Broken::Upgraded);
        }
        let server_limit = server_idle_limit(response.headers());
        Ok(response.map(|body| ReplyBody::new(body, lease, server_limit, clock)))
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// A second before the server's own time, as it names it in `Keep-Alive: timeout=5`.
fn server_idle_limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let seconds = text.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let named = name.trim().eq_ignore_ascii_case("timeout");
        named.then(|| value.trim().parse::<u32>().ok()).flatten()
    })?;
    Some(Duration::from_secs(u64::from(seconds.saturating_sub(1))))
}
