//! MCP as the sample speaks it: which era a message is under, and what each method answers.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::answers::{self, Body, code};
use super::catalogue::{Behaviour, Tool, number_or};
use super::{Crash, Era, SESSION_ID, Shared, Version, session_id};

pub(super) const MODERN: &str = "2026-07-28";
pub(super) const VERSION: &str = "mcp-protocol-version";
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// How long a client may keep the list of tools: it never changes.
const LIST_TTL_MS: u64 = 300_000;
/// Messages of one batch.
const BATCH_MAX: usize = 64;

/// One message, taken apart.
#[derive(Debug)]
struct Message {
    id: Value,
    method: String,
    params: Map<String, Value>,
}

/// What a body holds.
enum Kind {
    /// Asks for an answer.
    Request(Message),
    /// A notification, or the answer to a request that this server never makes.
    Silent(Map<String, Value>),
    /// Neither.
    Invalid,
}

/// What a request came to.
enum Done {
    /// The connection is closed.
    Crash,
    /// An answer.
    Reply(Value),
    /// An answer after so many steps.
    Stream {
        steps: u64,
        delay: Duration,
        token: Option<Value>,
        last: Value,
    },
}

impl Version {
    fn from_name(name: &str) -> Option<Self> {
        [Self::March2025, Self::June2025, Self::November2025]
            .into_iter()
            .find(|version| version.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::March2025 => "2025-03-26",
            Self::June2025 => "2025-06-18",
            Self::November2025 => "2025-11-25",
        }
    }
}

/// Answers one POST.
pub(super) async fn answer(
    shared: &Shared,
    headers: &HeaderMap,
    body: Value,
) -> Result<Response<Body>, Crash> {
    let header = text(headers, VERSION);
    let known = header.is_none_or(|name| Version::from_name(name).is_some());
    if known && let Value::Array(messages) = body {
        return batch(shared, headers, messages).await;
    }
    match Kind::of(body) {
        Kind::Request(message) if known && message.meta(META_VERSION).is_none() => {
            legacy(shared, headers, message).await
        }
        Kind::Request(message) => modern(shared, headers, message).await,
        Kind::Silent(object) => Ok(silent(shared, headers, &object)),
        Kind::Invalid => Ok(invalid("a JSON-RPC message is an object with a method")),
    }
}

impl Kind {
    fn of(body: Value) -> Self {
        let Value::Object(mut object) = body else {
            return Self::Invalid;
        };
        let is_two = object.get("jsonrpc").and_then(Value::as_str) == Some("2.0");
        let is_answer = object.contains_key("result") || object.contains_key("error");
        let method = match object.remove("method") {
            Some(Value::String(method)) => Some(method),
            Some(_) => return Self::Invalid,
            None => None,
        };
        match (method, object.remove("id")) {
            _ if !is_two => Self::Invalid,
            (None, Some(_)) if is_answer => Self::Silent(object),
            (None, _) => Self::Invalid,
            (Some(_), None) => Self::Silent(object),
            (Some(method), Some(id)) if id.is_string() || id.is_i64() || id.is_u64() => {
                match object.remove("params") {
                    None => Self::Request(Message {
                        id,
                        method,
                        params: Map::new(),
                    }),
                    Some(Value::Object(params)) => Self::Request(Message { id, method, params }),
                    Some(_) => Self::Invalid,
                }
            }
            (Some(_), Some(_)) => Self::Invalid,
        }
    }
}

impl Message {
    fn meta(&self, key: &str) -> Option<&Value> {
        self.params.get("_meta")?.get(key)
    }

    fn name(&self) -> &str {
        self.params
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

async fn legacy(
    shared: &Shared,
    headers: &HeaderMap,
    message: Message,
) -> Result<Response<Body>, Crash> {
    if message.method == "initialize" {
        return Ok(initialize(shared, &message));
    }
    match session(shared, headers) {
        Ok(_version) => respond(request(shared, message, Era::Legacy).await, headers),
        Err((status, error)) => Ok(answers::message(status, &error)),
    }
}

fn initialize(shared: &Shared, message: &Message) -> Response<Body> {
    let asked = message
        .params
        .get("protocolVersion")
        .and_then(Value::as_str);
    let version = asked
        .and_then(Version::from_name)
        .unwrap_or(Version::November2025);
    let result = json!({
        "protocolVersion": version.name(),
        "capabilities": { "tools": { "listChanged": false } },
        "serverInfo": answers::server_info(),
        "instructions": "Sample tools. None of them touches anything real.",
    });
    let result = answers::result(&message.id, result, Era::Legacy);
    let mut response = answers::message(StatusCode::OK, &result);
    let id = shared.sessions.start(version).to_string();
    if let Ok(id) = HeaderValue::try_from(id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(SESSION_ID), id);
    }
    response
}

fn session(shared: &Shared, headers: &HeaderMap) -> Result<Version, (StatusCode, Value)> {
    let error = |code, text| answers::error(&Value::Null, code, text, None);
    let Some(id) = headers.get(SESSION_ID) else {
        let text = "Bad Request: Mcp-Session-Id header is required";
        return Err((StatusCode::BAD_REQUEST, error(code::SERVER, text)));
    };
    session_id(id)
        .and_then(|id| shared.sessions.version(&id))
        .ok_or_else(|| {
            (
                StatusCode::NOT_FOUND,
                error(code::SESSION_UNKNOWN, "Session not found"),
            )
        })
}

async fn batch(
    shared: &Shared,
    headers: &HeaderMap,
    messages: Vec<Value>,
) -> Result<Response<Body>, Crash> {
    match session(shared, headers) {
        Err((status, error)) => return Ok(answers::message(status, &error)),
        Ok(Version::June2025 | Version::November2025) => {
            return Ok(invalid("batches were removed in 2025-06-18"));
        }
        Ok(Version::March2025) => {}
    }
    if messages.is_empty() || messages.len() > BATCH_MAX {
        return Ok(invalid("a batch has 1 to 64 messages"));
    }
    let mut replies = Vec::with_capacity(messages.len());
    for message in messages {
        match Kind::of(message) {
            Kind::Request(message) => match request(shared, message, Era::Legacy).await {
                Done::Reply(reply) => replies.push(reply),
                Done::Stream { last, .. } => replies.push(last),
                Done::Crash => return Err(Crash),
            },
            Kind::Silent(_) => {}
            Kind::Invalid => {
                let text = "a JSON-RPC message is an object with a method";
                replies.push(answers::error(
                    &Value::Null,
                    code::INVALID_REQUEST,
                    text,
                    None,
                ));
            }
        }
    }
    if replies.is_empty() {
        return Ok(answers::empty(StatusCode::ACCEPTED));
    }
    Ok(answers::message(StatusCode::OK, &Value::from(replies)))
}

fn silent(shared: &Shared, headers: &HeaderMap, object: &Map<String, Value>) -> Response<Body> {
    let in_meta = object
        .get("params")
        .and_then(|params| params.get("_meta")?.get(META_VERSION));
    if text(headers, VERSION) == Some(MODERN) || in_meta.is_some() {
        return answers::empty(StatusCode::ACCEPTED);
    }
    match session(shared, headers) {
        Ok(_version) => answers::empty(StatusCode::ACCEPTED),
        Err((status, error)) => answers::message(status, &error),
    }
}

async fn modern(
    shared: &Shared,
    headers: &HeaderMap,
    message: Message,
) -> Result<Response<Body>, Crash> {
    if let Some((code, text, data)) = objection(headers, &message) {
        let error = answers::error(&message.id, code, &text, data);
        return Ok(answers::message(StatusCode::BAD_REQUEST, &error));
    }
    if message.method == "server/discover" {
        let result = json!({
            "supportedVersions": [MODERN],
            "capabilities": { "tools": {} },
            "instructions": "Sample tools. None of them touches anything real.",
            "ttlMs": LIST_TTL_MS,
            "cacheScope": "public",
        });
        let result = answers::result(&message.id, result, Era::Modern);
        return Ok(answers::message(StatusCode::OK, &result));
    }
    if !["tools/call", "tools/list"].contains(&message.method.as_str()) {
        let error = unknown_method(&message);
        return Ok(answers::message(StatusCode::NOT_FOUND, &error));
    }
    respond(request(shared, message, Era::Modern).await, headers)
}

/// What is wrong with a modern request's `_meta` or mirrored headers.
fn objection(headers: &HeaderMap, message: &Message) -> Option<(i64, String, Option<Value>)> {
    let params = |text: &str| Some((code::INVALID_PARAMS, text.to_owned(), None));
    let Some(version) = message.meta(META_VERSION).and_then(Value::as_str) else {
        return params("_meta lacks io.modelcontextprotocol/protocolVersion");
    };
    let mut mirrored = vec![(VERSION, version), ("mcp-method", message.method.as_str())];
    if message.method == "tools/call" {
        mirrored.push(("mcp-name", message.name()));
    }
    for (header, value) in mirrored {
        if text(headers, header).and_then(decoded).as_deref() != Some(value) {
            let text = format!("header {header} is missing or differs from the body");
            return Some((code::HEADER_MISMATCH, text, None));
        }
    }
    if version != MODERN {
        let data = json!({ "supported": [MODERN], "requested": version });
        let text = "Unsupported protocol version".to_owned();
        return Some((code::VERSION_UNSUPPORTED, text, Some(data)));
    }
    if message
        .meta(META_CAPABILITIES)
        .and_then(Value::as_object)
        .is_none()
    {
        return params("_meta lacks io.modelcontextprotocol/clientCapabilities");
    }
    None
}

/// A mirrored header's value, which is encoded where it is not plain visible ASCII.
fn decoded(text: &str) -> Option<String> {
    let inside = text
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match inside {
        Some(inside) => String::from_utf8(Base64::decode_vec(inside).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

async fn request(shared: &Shared, message: Message, era: Era) -> Done {
    match message.method.as_str() {
        "ping" => Done::Reply(answers::result(&message.id, json!({}), era)),
        "tools/list" => {
            let mut result = json!({ "tools": shared.catalogue.listed() });
            if let (Era::Modern, Some(result)) = (era, result.as_object_mut()) {
                result.insert("ttlMs".to_owned(), LIST_TTL_MS.into());
                result.insert("cacheScope".to_owned(), "public".into());
            }
            Done::Reply(answers::result(&message.id, result, era))
        }
        "tools/call" => call(shared, message, era).await,
        _ => Done::Reply(unknown_method(&message)),
    }
}

async fn call(shared: &Shared, mut message: Message, era: Era) -> Done {
    let name = message.name().to_owned();
    let id = message.id;
    let Some(tool) = shared.catalogue.called(&name) else {
        let text = format!("Unknown tool: {name}");
        return Done::Reply(answers::error(&id, code::INVALID_PARAMS, &text, None));
    };
    let arguments = match message.params.remove("arguments") {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(_) => {
            let text = "arguments must be an object";
            return Done::Reply(answers::error(&id, code::INVALID_PARAMS, text, None));
        }
    };
    if let Some(complaint) = tool.complaint(&arguments) {
        return Done::Reply(answers::tool_result(&id, &complaint, true, era));
    }
    let token = message
        .params
        .get("_meta")
        .and_then(|meta| meta.get("progressToken"))
        .cloned();
    run(shared, tool, &arguments, |text, is_error| {
        answers::tool_result(&id, text, is_error, era)
    })
    .await
    .with_token(token)
}

async fn run(
    shared: &Shared,
    tool: &Tool,
    arguments: &Map<String, Value>,
    result: impl Fn(&str, bool) -> Value,
) -> Done {
    let text = tool.answer(arguments);
    match tool.behaviour {
        Behaviour::Answer => Done::Reply(result(&text, false)),
        Behaviour::Crash => Done::Crash,
        Behaviour::Fail => Done::Reply(result(&text, true)),
        Behaviour::Hang if arguments.contains_key("ms") => {
            tokio::time::sleep(Duration::from_millis(number_or(arguments, "ms", 0))).await;
            Done::Reply(result(&text, false))
        }
        Behaviour::Hang => {
            shared.stop.cancelled().await;
            Done::Crash
        }
        Behaviour::Stream => Done::Stream {
            steps: number_or(arguments, "steps", 3),
            delay: Duration::from_millis(number_or(arguments, "delay_ms", 100)),
            token: None,
            last: result(&text, false),
        },
    }
}

impl Done {
    fn with_token(self, given: Option<Value>) -> Self {
        match self {
            Self::Stream {
                steps,
                delay,
                token: _,
                last,
            } => Self::Stream {
                steps,
                delay,
                token: given,
                last,
            },
            Self::Crash | Self::Reply(_) => self,
        }
    }
}

fn respond(done: Done, headers: &HeaderMap) -> Result<Response<Body>, Crash> {
    match done {
        Done::Crash => Err(Crash),
        Done::Reply(reply) => Ok(answers::message(StatusCode::OK, &reply)),
        Done::Stream {
            steps,
            delay,
            token,
            last,
        } if takes_events(headers) => Ok(answers::events(steps, delay, token, &last)),
        // A client that takes no stream gets no progress.
        Done::Stream { last, .. } => Ok(answers::message(StatusCode::OK, &last)),
    }
}

fn takes_events(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(http::header::ACCEPT).iter();
    accepts
        .filter_map(|value| value.to_str().ok())
        .any(|text| text.contains("text/event-stream"))
}

fn unknown_method(message: &Message) -> Value {
    let text = format!("Method not found: {}", message.method);
    answers::error(&message.id, code::METHOD_NOT_FOUND, &text, None)
}

fn invalid(text: &str) -> Response<Body> {
    let error = answers::error(&Value::Null, code::INVALID_REQUEST, text, None);
    answers::message(StatusCode::BAD_REQUEST, &error)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
