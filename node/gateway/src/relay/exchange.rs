//! One request to the server, and how its reply begins.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use tollbook_mcp::inspect::{self, Class};
use tollbook_mcp::{Era, Id, reply};
use tollbook_policy::{MethodVerdict, Policy};
use tollbook_state::command::Status;

use super::stream::Ending;
use crate::call::Call;
use crate::clock::Moment;
use crate::grants::Grant;
use crate::inbound::SESSION_ID;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::reply::{Answer, Reply};
use crate::session::Session;
use crate::upstream::{Broken, NotSent, Outgoing, ReplyBody, headers};

/// One request on its way, with what its answer must be held against.
pub(super) struct Exchange<'a> {
    pub(super) node: &'a Arc<Node>,
    grant: &'a Grant,
    id: Option<Id>,
    era: Era,
    session: Option<Session>,
    /// Decides which requests of the server reach the client. None: none do.
    policy: Option<Arc<Policy>>,
    pub(super) deadline: Moment,
}

/// How a reply begins.
pub(super) struct Head {
    /// Status and headers for the client; no body yet.
    pub(super) reply: Reply,
    /// The session that the server opened.
    pub(super) session: Option<String>,
}

/// What came.
pub(super) enum Came {
    /// A body that was read to its end.
    Whole { head: Head, body: Bytes },
    /// Events, as they will come.
    Stream { head: Head, body: ReplyBody },
}

/// Nothing came that can be used.
pub(super) struct Fault {
    pub(super) status: Status,
    /// No byte was sent.
    pub(super) never_reached: bool,
    pub(super) refusal: Refusal,
}

impl<'a> Exchange<'a> {
    /// An exchange for one call.
    pub(super) async fn new(node: &'a Arc<Node>, grant: &'a Grant, call: &Call) -> Self {
        // Without a policy that compiles, no request of the server reaches the client.
        let policy = node.policies.in_force(node, grant).await.ok().flatten();
        Self {
            node,
            grant,
            id: call.asker().id,
            era: call.wire().era,
            session: call.session().cloned(),
            policy: policy.map(|(_, policy)| policy),
            deadline: node.clock.moment().after(node.deadlines.call),
        }
    }

    pub(super) fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    pub(super) fn era(&self) -> Era {
        self.era
    }

    /// Whether a response is the answer to our request. An error without id answers a request
    /// that the server could not read: there is no other request on this exchange.
    pub(super) fn answers(&self, response: &inspect::Answer) -> bool {
        match (&response.id, &self.id) {
            (None, _) => true,
            (Some(_), Some(ours)) => response.is_for(ours),
            (Some(_), None) => false,
        }
    }

    /// The end of the exchange, by the class of its answer. A result that asks something of the
    /// client which the policy does not allow is withheld.
    pub(super) fn end(&self, class: Class, raw: Vec<u8>) -> Ending {
        if let Class::InputRequired { methods } = &class
            && let Some(denied) = methods.iter().find(|method| !self.lets_through(method))
            && let Some(id) = &self.id
        {
            return Ending::Withheld {
                reply: reply::method_denied(id, denied).into(),
            };
        }
        Ending::Final { class, raw }
    }

    /// Whether a request of the server may reach the client.
    pub(super) fn lets_through(&self, method: &str) -> bool {
        self.policy
            .as_ref()
            .is_some_and(|policy| matches!(policy.server_request(method), MethodVerdict::Allow(_)))
    }

    /// Remembers a request of the server that goes to the client. False: it cannot be answered,
    /// since no session ties an answer to it.
    pub(super) fn remember(&self, id: &Id) -> bool {
        match &self.session {
            Some(session) => {
                self.node.asked.put(self.grant.id, session, id);
                true
            }
            None => false,
        }
    }

    /// Sends the call, its first byte before `send_by` or not at all, and waits for its reply. In
    /// the modern era a client that hangs up cancels it.
    pub(super) async fn send(
        &self,
        call: Call,
        send_by: Moment,
        answer: &Answer,
    ) -> Result<Came, Fault> {
        let headers = call.headers().clone();
        let (method, body) = call.into_body(&self.node.readers);
        let exchange = self.round_trip(method, headers, body.into(), send_by);
        let fault = |status| {
            Err(Fault {
                status,
                never_reached: false,
                refusal: Refusal::Unsettled,
            })
        };
        tokio::select! {
            came = exchange => came,
            () = answer.gone(), if self.era == Era::Modern => fault(Status::Cancelled),
            // The stop's drain is over: nobody can say how it ends.
            () = self.node.cut.cancelled() => fault(Status::Unknown),
        }
    }

    async fn round_trip(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        send_by: Moment,
    ) -> Result<Came, Fault> {
        let route = self.node.routes.of(self.grant).map_err(|error| {
            tracing::error!(%error, server = self.server(), "a server cannot be called");
            unreached(Status::NotSent, Refusal::UpstreamDown)
        })?;
        let mut headers = headers;
        if let Some(session) = &self.session
            && let Ok(id) = HeaderValue::try_from(&session.upstream_id)
        {
            headers.insert(SESSION_ID, id);
        }
        route
            .add_fixed(&mut headers, &self.node.secrets)
            .map_err(|error| {
                tracing::error!(%error, server = self.server(), "a server's credential is missing");
                unreached(Status::NotSent, Refusal::UpstreamDown)
            })?;
        let outgoing = Outgoing {
            method,
            headers,
            body,
        };
        let sent = self.node.pool.send(&route.target, outgoing, send_by).await;
        let sent = sent.map_err(|reason| self.not_sent(&reason))?;
        let response = sent
            .response(self.deadline)
            .await
            .map_err(|broken| self.broken(&broken))?;
        let (parts, body) = response.into_parts();
        let shown = headers::returned(&parts.headers);
        // Not followed. What redirects a call may have run it.
        if parts.status.is_redirection() {
            tracing::warn!(status = %parts.status, server = self.server(), "a server redirects");
            return Err(rubbish());
        }
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&parts.status) {
            // The gate's own credential or configuration is wrong: nothing for a client to act on.
            tracing::warn!(status = %parts.status, server = self.server(), "a server refused us");
            return Err(Fault {
                status: Status::RpcError,
                never_reached: false,
                refusal: Refusal::UpstreamRefused {
                    status: parts.status.as_u16(),
                },
            });
        }
        let encoding = parts.headers.get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(rubbish());
        }
        let session = parts
            .headers
            .get(SESSION_ID)
            .and_then(|id| id.to_str().ok());
        let session = session.map(str::to_owned);
        let reply = Reply {
            status: parts.status,
            headers: shown,
            body: Bytes::new(),
        };
        let head = Head { reply, session };
        let kind = parts.headers.get(CONTENT_TYPE);
        if kind.is_some_and(is_event_stream) && parts.status.is_success() {
            return Ok(Came::Stream { head, body });
        }
        let whole = body
            .whole(self.node.limits.reply_bytes, self.deadline)
            .await;
        let body = whole.map_err(|broken| self.broken(&broken))?;
        Ok(Came::Whole { head, body })
    }

    /// Answers a request of the server that will not reach the client, so that its tool does not
    /// hang: a ping as the gate's own, all others with an error. Nobody waits for it.
    pub(super) fn answer_server(&self, id: &Id, method: &str) {
        let Ok(route) = self.node.routes.of(self.grant) else {
            return;
        };
        let body = match method {
            "ping" => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.token()).into(),
            _ => reply::method_denied(id, method).body.into(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, crate::reply::JSON);
        headers.insert(http::header::ACCEPT, ACCEPT_BOTH);
        if let Some(session) = &self.session {
            if let Ok(id) = HeaderValue::try_from(&session.upstream_id) {
                headers.insert(SESSION_ID, id);
            }
            if let Ok(protocol) = HeaderValue::try_from(&session.protocol) {
                headers.insert("mcp-protocol-version", protocol);
            }
        }
        if route.add_fixed(&mut headers, &self.node.secrets).is_err() {
            return;
        }
        let Ok(place) = Arc::clone(&self.node.answers).try_acquire_owned() else {
            // A server that asks faster than it takes answers gets fewer of them.
            return;
        };
        let node = Arc::clone(self.node);
        self.node.tasks.spawn(async move {
            let _place = place;
            let send_by = node.clock.moment().after(node.deadlines.admit);
            let outgoing = Outgoing {
                method: Method::POST,
                headers,
                body,
            };
            if let Ok(sent) = node.pool.send(&route.target, outgoing, send_by).await {
                let answered = sent.response(send_by).await;
                tracing::debug!(ok = answered.is_ok(), "answered a server's own request");
            }
        });
    }

    /// The server's id, for the log.
    pub(super) fn server(&self) -> String {
        uuid::Uuid::from_bytes(self.grant.server.0).to_string()
    }

    fn not_sent(&self, reason: &NotSent) -> Fault {
        tracing::info!(reason = %chain(reason), server = self.server(), "a call was not sent");
        match reason {
            NotSent::Closed => unreached(Status::NotSent, Refusal::Draining),
            NotSent::DeadlinePassed => unreached(Status::NotSent, Refusal::PastAdmit),
            NotSent::PoolFull { .. } | NotSent::TooManyOrigins { .. } => {
                unreached(Status::NotSent, Refusal::Busy)
            }
            NotSent::Connect(_) => unreached(Status::UpstreamDown, Refusal::UpstreamDown),
            NotSent::HandedBack { .. } => unreached(Status::NotSent, Refusal::UpstreamDown),
        }
    }

    fn broken(&self, broken: &Broken) -> Fault {
        tracing::info!(reason = %chain(broken), server = self.server(), "no whole reply");
        let status = match broken {
            Broken::TimedOut => Status::Timeout,
            Broken::Closed(_) | Broken::Connection(_) => Status::UpstreamDown,
            Broken::Malformed(_) | Broken::TooLarge { .. } | Broken::Upgraded => Status::RpcError,
        };
        Fault {
            status,
            never_reached: false,
            refusal: Refusal::Unsettled,
        }
    }
}

const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// The protocol version that a server's answer to `initialize` settles on.
pub(super) fn negotiated(answer: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    Some(
        answer
            .get("result")?
            .get("protocolVersion")?
            .as_str()?
            .to_owned(),
    )
}

fn unreached(status: Status, refusal: Refusal) -> Fault {
    Fault {
        status,
        never_reached: true,
        refusal,
    }
}

/// The server answered, and what it said cannot be read: the call may have run.
fn rubbish() -> Fault {
    Fault {
        status: Status::RpcError,
        never_reached: false,
        refusal: Refusal::Unsettled,
    }
}

fn is_event_stream(kind: &HeaderValue) -> bool {
    let kind = String::from_utf8_lossy(kind.as_bytes());
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/event-stream")
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
