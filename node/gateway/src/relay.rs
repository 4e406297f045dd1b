//! To the server and back: what was admitted is sent, byte for byte as it was judged, and what
//! comes back goes to the client, but for its end, which waits for the outcome's record.

mod exchange;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use tollbook_mcp::inspect::{Class, Seen, inspect};
use tollbook_mcp::list::{self, ListReply};
use tollbook_mcp::sse;
use tollbook_policy::Policy;
use tollbook_state::command::{PolicyDigest, Status};

use self::exchange::{Came, Exchange, Head};
use self::stream::Ending;
use crate::call::Call;
use crate::grants::Grant;
use crate::inbound::SESSION_ID;
use crate::ledger::{Admitted, Ended};
use crate::node::Node;
use crate::refusal::Refusal;
use crate::reply::{Answer, Reply};
use crate::session::Session;

/// How a forwarded call ended, and what the client gets once that is on record.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// For the book.
    pub(crate) outcome: Ended,
    /// For the client.
    pub(crate) reply: Result<Reply, Refusal>,
}

/// A filtered list of tools, for the book and for the client.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The policy that it was filtered by.
    pub(crate) policy: Option<PolicyDigest>,
    /// Tools that the server named.
    pub(crate) offered: u32,
    /// Tools that the client is shown.
    pub(crate) shown: u32,
    /// SHA-256 of the `tools` array as the server wrote it.
    pub(crate) offered_hash: [u8; 32],
    /// SHA-256 of the `tools` array as the client gets it.
    pub(crate) shown_hash: [u8; 32],
    /// What the client gets once the list is on record.
    pub(crate) reply: Reply,
}

/// Sends an admitted call once, and follows it to its end.
pub(crate) async fn forward(
    node: &Arc<Node>,
    grant: &Grant,
    admitted: &Admitted,
    call: Call,
    answer: &mut Answer,
) -> Forwarded {
    let began = node.clock.moment();
    node.metrics.admitted(began.micros_since(call.received()));
    let exchange = Exchange::new(node, grant, &call).await;
    let came = exchange.send(call, admitted.send_by(), answer).await;
    let (status, never_reached, bytes, reply) = match came {
        Err(fault) => (fault.status, fault.never_reached, 0, Err(fault.refusal)),
        Ok(Came::Whole { head, body }) => {
            let bytes = body.len();
            let (status, reply) = judge_whole(&exchange, head.reply, body);
            (status, false, bytes, reply)
        }
        Ok(Came::Stream { head, body }) => {
            answer.begin(head.reply);
            let followed = stream::follow(&exchange, body, answer).await;
            let (status, reply) = judge_ending(followed.ending);
            (status, false, followed.bytes, reply)
        }
    };
    let outcome = Ended {
        status,
        never_reached,
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        duration_us: node.clock.moment().micros_since(began),
    };
    node.metrics.ended(status, outcome.duration_us);
    Forwarded { outcome, reply }
}

/// Passes a message that is not recorded, and its answer.
pub(crate) async fn pass(
    node: &Arc<Node>,
    grant: &Grant,
    call: Call,
    answer: &mut Answer,
) -> Result<Reply, Refusal> {
    node.check_quorum()?;
    let send_by = node.clock.moment().after(node.deadlines.admit);
    let exchange = Exchange::new(node, grant, &call).await;
    let opens_session = call.method() == "initialize";
    match exchange.send(call, send_by, answer).await {
        Err(fault) => Err(unrecorded(fault.refusal)),
        Ok(Came::Whole { head, body }) => {
            let reply = if opens_session {
                seal(node, grant, head, &body)?
            } else {
                head.reply
            };
            // What asks for no answer gets none: clients would read whatever stands there.
            if exchange.id().is_none() && reply.status.is_success() {
                return Ok(reply);
            }
            let (_status, reply) = judge_whole(&exchange, reply, body);
            reply.map_err(unrecorded)
        }
        Ok(Came::Stream { head, body }) if opens_session => {
            let gathered = stream::gather(&exchange, body).await;
            let gathered = gathered.map_err(|_unreadable| Refusal::UpstreamBroken)?;
            let data = gathered.last.data.as_deref().unwrap_or_default();
            let reply = seal(node, grant, head, data)?;
            let mut whole = gathered.before;
            whole.extend_from_slice(&gathered.last.raw);
            Ok(reply.body(whole))
        }
        Ok(Came::Stream { head, body }) => {
            answer.begin(head.reply);
            match stream::follow(&exchange, body, answer).await.ending {
                Ending::Final { raw, .. } => Ok(Reply::empty(StatusCode::OK).body(raw)),
                Ending::Withheld { reply } => Ok(shape(answer, reply)),
                Ending::Cancelled => Ok(Reply::empty(StatusCode::OK)),
                Ending::Broken | Ending::Cut | Ending::Late | Ending::Resumable => {
                    Err(Refusal::UpstreamBroken)
                }
            }
        }
    }
}

/// Asks for the server's tools and takes out those that the grant is not shown.
pub(crate) async fn list(node: &Arc<Node>, grant: &Grant, call: Call) -> Result<Listed, Refusal> {
    node.check_quorum()?;
    let in_force = node.policies.in_force(node, grant).await?;
    let send_by = node.clock.moment().after(node.deadlines.admit);
    let exchange = Exchange::new(node, grant, &call).await;
    // A list is read whole, so no answer begins before it.
    let (unused, _pending) = Answer::pair();
    let came = exchange
        .send(call, send_by, &unused)
        .await
        .map_err(|fault| {
            // A list runs nothing, so nobody need be told that something may have run.
            let broken = fault.refusal == Refusal::Unsettled;
            if broken {
                Refusal::ListUnreadable
            } else {
                fault.refusal
            }
        })?;
    let policy = in_force.as_ref().map(|(_, policy)| policy.as_ref());
    let (head, before, filtered) = match came {
        Came::Whole { head, body } => {
            if !head.reply.status.is_success() {
                let digest = in_force.as_ref().map(|(digest, _)| *digest);
                return Ok(unlisted(digest, error_only(head.reply, body)));
            }
            (
                head.reply,
                Vec::new(),
                filter(node, &exchange, policy, Filtered::Body(body))?,
            )
        }
        Came::Stream { head, body } => {
            let gathered = stream::gather(&exchange, body).await?;
            let filtered = filter(node, &exchange, policy, Filtered::Event(gathered.last))?;
            (head.reply, gathered.before, filtered)
        }
    };
    let digest = in_force.map(|(digest, _)| digest);
    let with_body = |bytes: &[u8]| {
        let mut whole = before;
        whole.extend_from_slice(bytes);
        head.body(whole)
    };
    Ok(match filtered {
        ListReply::Error { bytes } => unlisted(digest, with_body(&bytes)),
        ListReply::Tools(page) => Listed {
            policy: digest,
            offered: page.offered_count,
            shown: page.shown_count,
            offered_hash: Sha256::digest(page.offered.as_bytes()).into(),
            shown_hash: Sha256::digest(page.shown.as_bytes()).into(),
            reply: with_body(&page.bytes),
        },
    })
}

/// What ran nothing and stands in no record leaves no outcome to be unsure of.
fn unrecorded(refusal: Refusal) -> Refusal {
    if refusal == Refusal::Unsettled {
        Refusal::UpstreamBroken
    } else {
        refusal
    }
}

/// A refusal's reply as the end of an answer: an event, where a stream has begun.
pub(crate) fn shape(answer: &Answer, reply: Reply) -> Reply {
    if !answer.begun() || reply.body.is_empty() {
        return reply;
    }
    let event = sse::frame(&reply.body);
    reply.body(event)
}

enum Filtered {
    Body(Bytes),
    Event(sse::Event),
}

fn filter(
    node: &Node,
    exchange: &Exchange<'_>,
    policy: Option<&Policy>,
    what: Filtered,
) -> Result<ListReply, Refusal> {
    let Some(id) = exchange.id() else {
        return Err(Refusal::ListUnreadable);
    };
    // No policy shows nothing.
    let shows = |tool: &str| policy.is_some_and(|policy| policy.shows(tool));
    let filtered = node.readers.with_parser(|parser| match what {
        Filtered::Body(body) => list::filter(parser, body.into(), id, exchange.era(), shows),
        Filtered::Event(event) => {
            let filtered = list::filter_event(parser, &event, id, exchange.era(), shows);
            filtered.map(|reply| match reply {
                ListReply::Error { bytes } => ListReply::Error {
                    bytes: sse::one_reading(bytes),
                },
                ListReply::Tools(page) => ListReply::Tools(list::Page {
                    bytes: sse::one_reading(page.bytes),
                    ..page
                }),
            })
        }
    });
    filtered.map_err(|error| {
        tracing::warn!(%error, server = exchange.server(), "a list of tools is not shown");
        Refusal::ListUnreadable
    })
}

/// The server answered a `tools/list` with an error: nothing is shown, which is on record too.
fn unlisted(policy: Option<PolicyDigest>, reply: Reply) -> Listed {
    let nothing = Sha256::digest(b"[]").into();
    Listed {
        policy,
        offered: 0,
        shown: 0,
        offered_hash: nothing,
        shown_hash: nothing,
        reply,
    }
}

/// The reply to a list that the server did not take. Its error passes, since a dual-era client
/// falls back on it; anything else could hold a list that nobody filtered.
fn error_only(head: Reply, body: Bytes) -> Reply {
    match inspect(&body) {
        Seen::Response(response) if response.class == Class::RpcError => head.body(body),
        Seen::Response(_) | Seen::Notification { .. } | Seen::Request { .. } | Seen::Rubbish(_) => {
            head
        }
    }
}

/// What a whole reply to a call means.
fn judge_whole(
    exchange: &Exchange<'_>,
    head: Reply,
    body: Bytes,
) -> (Status, Result<Reply, Refusal>) {
    if !head.status.is_success() {
        // What the server says of a request that it did not take: a dual-era client falls back on
        // such an answer, so it passes as it is.
        return (Status::RpcError, Ok(head.body(body)));
    }
    match inspect(&body) {
        Seen::Response(response) if exchange.answers(&response) => {
            let ending = exchange.end(response.class, body.to_vec());
            let (status, reply) = judge_ending(ending);
            (status, reply.map(|reply| head.body(reply.body)))
        }
        Seen::Response(_) | Seen::Notification { .. } | Seen::Request { .. } | Seen::Rubbish(_) => {
            (Status::RpcError, Err(Refusal::Unsettled))
        }
    }
}

/// What the end of a call means for the book and for the client.
fn judge_ending(ending: Ending) -> (Status, Result<Reply, Refusal>) {
    let nothing = || Ok(Reply::empty(StatusCode::OK));
    match ending {
        Ending::Final { class, raw } => {
            let status = match class {
                Class::Ok | Class::InputRequired { .. } => Status::Ok,
                Class::RpcError => Status::RpcError,
                Class::ToolError => Status::ToolError,
            };
            (status, Ok(Reply::empty(StatusCode::OK).body(raw)))
        }
        Ending::Withheld { reply } => (Status::Ok, Ok(reply)),
        Ending::Cancelled => (Status::Cancelled, nothing()),
        Ending::Cut => (Status::Unknown, Err(Refusal::Unsettled)),
        // What the server may still deliver, no client can fetch here: streams by GET are refused.
        Ending::Resumable => (Status::Detached, Err(Refusal::Unsettled)),
        Ending::Late => (Status::Timeout, Err(Refusal::Unsettled)),
        Ending::Broken => (Status::UpstreamDown, Err(Refusal::Unsettled)),
    }
}

/// The server's session id never reaches the client: it goes sealed, with what it is for.
fn seal(node: &Node, grant: &Grant, head: Head, answer: &[u8]) -> Result<Reply, Refusal> {
    let Some(upstream_id) = head.session else {
        return Ok(head.reply);
    };
    let protocol = exchange::negotiated(answer).unwrap_or_default();
    let session = Session {
        upstream_id,
        protocol,
    };
    let sealed = node.session_key.seal(&session, grant.id, grant.server);
    let value = sealed.and_then(|text| HeaderValue::try_from(text).ok());
    Ok(head
        .reply
        .with(SESSION_ID, value.ok_or(Refusal::UpstreamDown)?))
}
