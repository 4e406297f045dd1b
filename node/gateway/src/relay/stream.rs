//! A reply that comes as events: all pass as they come, byte for byte, but the server's requests
//! that the policy does not let through, and the final event, which waits for the outcome.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;

use tollbook_mcp::Era;
use tollbook_mcp::inspect::{Class, Seen, inspect};
use tollbook_mcp::sse::{Event, Splitter, one_reading};

use super::exchange::Exchange;
use crate::refusal::Refusal;
use crate::reply::{Answer, Reply};
use crate::upstream::ReplyBody;

/// How a reply ended.
pub(super) enum Ending {
    /// The stream broke off, or became unreadable, before the final event.
    Broken,
    /// The client hung up, which cancels a modern call.
    Cancelled,
    /// The node stops, and the drain is over.
    Cut,
    /// The message that answers the call: a body, or an event's raw bytes.
    Final { class: Class, raw: Vec<u8> },
    /// The call deadline passed.
    Late,
    /// The stream ended after an event id: the server may deliver the rest elsewhere.
    Resumable,
    /// The answer asks something of the client that the policy does not allow.
    Withheld { reply: Reply },
}

/// A stream that was followed to its end.
pub(super) struct Followed {
    pub(super) ending: Ending,
    /// Bytes of the stream.
    pub(super) bytes: usize,
}

/// A stream that was read whole.
pub(super) struct Gathered {
    /// What came before the final event, without the server's requests.
    pub(super) before: Vec<u8>,
    /// The final event.
    pub(super) last: Event,
}

/// What to do with one event.
enum Step {
    Pass(Vec<u8>),
    Drop,
    End(Event, Class),
}

/// Passes events to the client until the final one, which it holds back.
pub(super) async fn follow(
    exchange: &Exchange<'_>,
    mut body: ReplyBody,
    answer: &Answer,
) -> Followed {
    let mut splitter = Splitter::new(exchange.node.limits.event_bytes);
    let mut followed = Followed {
        ending: Ending::Broken,
        bytes: 0,
    };
    let mut resumable = false;
    loop {
        let data = match next(exchange, &mut body, answer).await {
            Ok(Some(data)) => data,
            Ok(None) => {
                followed.ending = if resumable {
                    Ending::Resumable
                } else {
                    Ending::Broken
                };
                return followed;
            }
            Err(ending) => {
                followed.ending = ending;
                return followed;
            }
        };
        followed.bytes = followed.bytes.saturating_add(data.len());
        let Ok(events) = splitter.push(&data) else {
            return followed;
        };
        for event in events {
            resumable |= event.id.as_ref().is_some_and(|id| !id.is_empty());
            match judge(exchange, event, true) {
                Step::Pass(raw) => {
                    // A client that is gone stops nothing in the legacy era; the modern one is
                    // seen to in `next`. One that takes nothing holds its call no longer than
                    // its server may.
                    let passed = answer.chunk(raw.into());
                    if tokio::time::timeout(left(exchange), passed).await.is_err() {
                        followed.ending = Ending::Late;
                        return followed;
                    }
                }
                Step::Drop => {}
                Step::End(event, class) => {
                    followed.ending = exchange.end(class, event.raw);
                    return followed;
                }
            }
        }
    }
}

/// Reads a stream whole, for replies that are looked into before anything passes. No request of
/// the server can be answered meanwhile, so all are denied.
pub(super) async fn gather(
    exchange: &Exchange<'_>,
    mut body: ReplyBody,
) -> Result<Gathered, Refusal> {
    let (nobody, _pending) = Answer::pair();
    let mut splitter = Splitter::new(exchange.node.limits.event_bytes);
    let mut before: Vec<u8> = Vec::new();
    while let Ok(Some(data)) = next(exchange, &mut body, &nobody).await {
        let Ok(events) = splitter.push(&data) else {
            break;
        };
        for event in events {
            match judge(exchange, event, false) {
                Step::Pass(raw) => before.extend_from_slice(&raw),
                Step::Drop => {}
                // Nothing that is read whole may ask anything of the client.
                Step::End(_, Class::InputRequired { .. }) => return Err(Refusal::ListUnreadable),
                Step::End(last, Class::Ok | Class::RpcError | Class::ToolError) => {
                    return Ok(Gathered { before, last });
                }
            }
        }
        if before.len() > exchange.node.limits.reply_bytes {
            break;
        }
    }
    Err(Refusal::ListUnreadable)
}

/// The next bytes; `None` at the end.
async fn next(
    exchange: &Exchange<'_>,
    body: &mut ReplyBody,
    answer: &Answer,
) -> Result<Option<Bytes>, Ending> {
    loop {
        let frame = tokio::select! {
            frame = tokio::time::timeout(left(exchange), body.frame()) => frame,
            () = answer.gone(), if exchange.era() == Era::Modern => return Err(Ending::Cancelled),
            () = exchange.node.cut.cancelled() => return Err(Ending::Cut),
        };
        match frame {
            Err(_late) => return Err(Ending::Late),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_broken))) => return Err(Ending::Broken),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn left(exchange: &Exchange<'_>) -> Duration {
    exchange.deadline.left(exchange.node.clock.moment())
}

fn judge(exchange: &Exchange<'_>, mut event: Event, may_ask: bool) -> Step {
    event.raw = one_reading(event.raw);
    let Some(data) = &event.data else {
        return Step::Pass(event.raw);
    };
    // A priming event has an id and no message.
    if data.is_empty() {
        return Step::Pass(event.raw);
    }
    match inspect(data) {
        Seen::Notification { .. } => Step::Pass(event.raw),
        Seen::Request { id, method } => {
            if may_ask && exchange.lets_through(&method) && exchange.remember(&id) {
                Step::Pass(event.raw)
            } else {
                exchange.answer_server(&id, &method);
                Step::Drop
            }
        }
        Seen::Response(response) if exchange.answers(&response) => Step::End(event, response.class),
        // An answer to somebody else, or nothing that can be read in one way: not for this client.
        Seen::Response(_) | Seen::Rubbish(_) => Step::Drop,
    }
}
