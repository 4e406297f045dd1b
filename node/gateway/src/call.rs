//! One message of a client, read and held to the protocol: what the policy judges and what is
//! forwarded, byte for byte.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderName, Method};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use tollbook_mcp::methods::TOOLS_LIST;
use tollbook_mcp::{
    Head, HeaderFault, Headers, Id, Limits as MessageLimits, Message, Parser, Reader, ToolCall,
    Wire, check_method, is_traceparent,
};
use tollbook_policy::{MethodVerdict, method_without_policy};
use tollbook_state::command::{CallId, Decision, Element};

use crate::clock::Moment;
use crate::grants::Grant;
use crate::inbound::{Inbound, SESSION_ID};
use crate::limits::Limits;
use crate::node::Node;
use crate::refusal::{Asker, Refusal};
use crate::reply::Reply;
use crate::session::Session;
use crate::upstream;

/// Readers that are kept for the next message; each has scratch memory worth keeping.
const READERS_MAX: usize = 64;

/// How the names of notifications begin.
const NOTIFICATIONS: &str = "notifications/";

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A notification that nobody knows: not forwarded.
    Dropped,
    /// Decided by policy, recorded, forwarded, its outcome recorded.
    Judged,
    /// `tools/list`: forwarded, filtered, recorded.
    List,
    /// Passes unrecorded (CALLS.md, "What is recorded, what passes").
    Passing,
}

/// One message, and what its headers say. Only [`Call::read`] makes it.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    content: Content,
    kind: Kind,
    wire: Wire,
    headers: HeaderMap,
    session: Option<Session>,
    received: Moment,
}

#[derive(Debug)]
enum Content {
    /// A POST's message.
    Message(Box<Message>),
    /// A DELETE, which ends a session and has no body.
    EndSession,
}

/// A message that was refused before it was a [`Call`].
#[derive(Debug)]
pub(crate) struct Unread {
    /// Why.
    pub(crate) refusal: Refusal,
    asker: Asker,
}

/// Readers for messages, one a message at a time.
#[derive(Debug)]
pub(crate) struct Readers {
    limits: MessageLimits,
    reply_bytes: usize,
    free: Mutex<Vec<Reader>>,
}

impl Unread {
    /// What the client gets.
    pub(crate) fn reply(&self) -> Reply {
        self.refusal.reply(&self.asker)
    }
}

impl From<Refusal> for Unread {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            asker: Asker::UNREAD,
        }
    }
}

impl Readers {
    /// Readers for bodies of clients and replies of servers, within `limits`.
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut message = MessageLimits::DEFAULT;
        message.json.document_bytes = limits.body_bytes;
        Self {
            limits: message,
            reply_bytes: limits.reply_bytes,
            free: Mutex::default(),
        }
    }

    /// Lends a parser for a server's reply.
    pub(crate) fn with_parser<T>(&self, work: impl FnOnce(&mut Parser) -> T) -> T {
        let mut limits = self.limits.json;
        limits.document_bytes = self.reply_bytes;
        let mut parser = Parser::new(limits);
        work(&mut parser)
    }

    fn read(&self, body: Vec<u8>) -> Result<Message, tollbook_mcp::Refused> {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut reader = free.unwrap_or_else(|| Reader::new(self.limits));
        let message = reader.read(body);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < READERS_MAX {
            free.push(reader);
        }
        message
    }

    /// Takes a message's memory over for the next one, and gives its bytes back.
    fn recycle(&self, message: Message) -> Vec<u8> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match free.last_mut() {
            Some(reader) => reader.recycle(message),
            None => message.into_body(),
        }
    }
}

impl Call {
    /// Reads the one message of a request, in full, and checks all that needs no policy.
    pub(crate) async fn read(
        node: &Node,
        grant: &Grant,
        inbound: &mut Inbound,
    ) -> Result<Self, Unread> {
        node.check_open()?;
        node.ledger.check_budget(grant.id)?;
        if inbound.method == Method::DELETE {
            return Self::end_session(node, grant, inbound);
        }
        collect(&inbound.headers)
            .check_content()
            .map_err(Refusal::HeaderFault)?;
        let body = inbound
            .take_body(node.limits.body_bytes, node.deadlines.body)
            .await?;
        let message = node.readers.read(body.into()).map_err(|refused| Unread {
            refusal: Refusal::Malformed(refused.malformed),
            asker: Asker {
                id: refused.id,
                ..Asker::UNREAD
            },
        })?;
        let headers = collect(&inbound.headers);
        let checked = headers.check(&message).and_then(|wire| {
            check_method(wire, &message)?;
            Ok(wire)
        });
        let wire = checked.map_err(|fault| Unread {
            refusal: Refusal::HeaderFault(fault),
            asker: Asker {
                id: request_id(&message),
                ..Asker::UNREAD
            },
        })?;
        let asker = Asker {
            id: request_id(&message),
            era: wire.era,
        };
        let session = session_of(node, grant, inbound, wire).map_err(|refusal| Unread {
            refusal,
            asker: asker.clone(),
        })?;
        let kind = kind_of(&message);
        let headers = forwardable(inbound, wire).map_err(|refusal| Unread {
            refusal,
            asker: asker.clone(),
        })?;
        if let Head::Response { id } = message.head() {
            // A response answers a request that we let through, or it is a way out unrecorded.
            if !node.asked.take(grant.id, session.as_ref(), id) {
                return Err(Unread {
                    refusal: Refusal::ResponseUnasked,
                    asker,
                });
            }
        }
        let content = Content::Message(Box::new(message));
        let received = inbound.received;
        Ok(Self {
            id: new_id(),
            content,
            kind,
            wire,
            headers,
            session,
            received,
        })
    }

    fn end_session(node: &Node, grant: &Grant, inbound: &mut Inbound) -> Result<Self, Unread> {
        let wire = Wire {
            era: tollbook_mcp::Era::Legacy,
            version: None,
        };
        let session = session_of(node, grant, inbound, wire)?;
        if session.is_none() {
            return Err(Refusal::SessionUnknown.into());
        }
        Ok(Self {
            id: new_id(),
            content: Content::EndSession,
            kind: Kind::Passing,
            wire,
            headers: forwardable(inbound, wire)?,
            session,
            received: inbound.received,
        })
    }

    /// What happens to it.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whom an answer is for.
    pub(crate) fn asker(&self) -> Asker {
        let id = self.message().and_then(request_id);
        Asker {
            id,
            era: self.wire.era,
        }
    }

    /// Era and version.
    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }

    /// The message; none for a DELETE.
    pub(crate) fn message(&self) -> Option<&Message> {
        match &self.content {
            Content::Message(message) => Some(message),
            Content::EndSession => None,
        }
    }

    /// The method of a request or notification; empty for others.
    pub(crate) fn method(&self) -> &str {
        self.message().and_then(Message::method).unwrap_or_default()
    }

    /// Tool and arguments of a `tools/call`.
    pub(crate) fn tool(&self) -> Option<ToolCall<'_>> {
        self.message()?.tool_call()
    }

    /// The session that it belongs to.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Hash of the session id, for the record.
    pub(crate) fn session_hash(&self) -> Option<[u8; 16]> {
        self.session.as_ref().map(Session::hash)
    }

    /// What the client calls itself: by `_meta` in the modern era, by its user agent before.
    pub(crate) fn client(&self) -> Cow<'_, str> {
        let label = self.message().and_then(Message::client_label);
        let agent = || self.headers.get(http::header::USER_AGENT)?.to_str().ok();
        match label {
            Some(label) => Cow::Owned(label),
            None => Cow::Borrowed(agent().unwrap_or("unknown")),
        }
    }

    /// When the request's head was read.
    pub(crate) fn received(&self) -> Moment {
        self.received
    }

    /// What of the client's headers the server is told.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The call as its intent tells of it.
    pub(crate) fn element(&self, decision: Decision) -> Element {
        let keys = self
            .message()
            .map(Message::argument_keys)
            .unwrap_or_default();
        let header = || {
            let text = self.headers.get("traceparent")?.to_str().ok()?;
            is_traceparent(text).then_some(text)
        };
        let traceparent = self
            .message()
            .and_then(Message::traceparent)
            .or_else(header);
        let rpc_id = self.message().and_then(Message::id).map(|id| {
            let hash = Sha256::new()
                .chain_update(b"tollbook json-rpc id v1\0")
                .chain_update(id.token().as_bytes());
            hash.finalize().into()
        });
        Element {
            call: self.id,
            method: self.method().to_owned(),
            tool: self.tool().map(|tool| tool.name.into_owned()),
            tool_definition: None,
            decision,
            argument_keys: keys.named,
            argument_keys_more: keys.more,
            commitments: Vec::new(),
            traceparent: traceparent.map(str::to_owned),
            rpc_id,
        }
    }

    /// HTTP method and body as they go upstream: the bytes that were judged, unchanged.
    pub(crate) fn into_body(self, readers: &Readers) -> (Method, Vec<u8>) {
        match self.content {
            Content::Message(message) => (Method::POST, readers.recycle(*message)),
            Content::EndSession => (Method::DELETE, Vec::new()),
        }
    }
}

fn kind_of(message: &Message) -> Kind {
    let (method, is_request) = match message.head() {
        Head::Response { .. } => return Kind::Passing,
        Head::Notification { method } => (method, false),
        Head::Request { method, .. } => (method, true),
    };
    match (method_without_policy(method), is_request) {
        (MethodVerdict::Pass, true) if method == TOOLS_LIST => Kind::List,
        (MethodVerdict::Pass, true) if !method.starts_with(NOTIFICATIONS) => Kind::Passing,
        (MethodVerdict::Pass, false) if method.starts_with(NOTIFICATIONS) => Kind::Passing,
        // An unknown notification would be an unrecorded way out.
        (_, false) => Kind::Dropped,
        (_, true) => Kind::Judged,
    }
}

/// The id that an error answers. A response has an id too, but of the server's own.
fn request_id(message: &Message) -> Option<Id> {
    match message.head() {
        Head::Request { id, .. } => Some(id.clone()),
        Head::Notification { .. } | Head::Response { .. } => None,
    }
}

fn collect(headers: &HeaderMap) -> Headers<'_> {
    Headers::collect(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes())),
    )
}

/// What of the client's headers the server is told. In the legacy era nobody has compared the
/// mirroring ones with the body, so they stay here.
fn forwardable(inbound: &Inbound, wire: Wire) -> Result<HeaderMap, Refusal> {
    let mut headers = upstream::headers::forwarded(&inbound.headers).map_err(|repeated| {
        let header = repeated.name.to_string();
        Refusal::HeaderFault(HeaderFault::Repeated {
            header,
            era: wire.era,
        })
    })?;
    if !wire.era.mirrors_headers() {
        let mirrors = |name: &HeaderName| {
            let name = name.as_str();
            ["mcp-method", "mcp-name"].contains(&name) || name.starts_with("mcp-param-")
        };
        let mirrored: Vec<_> = headers
            .keys()
            .filter(|name| mirrors(name))
            .cloned()
            .collect();
        for name in mirrored {
            headers.remove(name);
        }
    }
    Ok(headers)
}

fn session_of(
    node: &Node,
    grant: &Grant,
    inbound: &Inbound,
    wire: Wire,
) -> Result<Option<Session>, Refusal> {
    // The modern era has no sessions; the header is ignored there.
    if wire.era.mirrors_headers() || !inbound.headers.contains_key(SESSION_ID) {
        return Ok(None);
    }
    let text = inbound.header(&SESSION_ID).unwrap_or_default();
    let session = node.session_key.open(text, grant.id, grant.server);
    session.map(Some).ok_or(Refusal::SessionUnknown)
}

/// UUIDv7: ordered by time, unique across nodes.
fn new_id() -> CallId {
    CallId(Uuid::now_v7().into_bytes())
}
