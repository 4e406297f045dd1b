//! JSON-RPC answers of the sample, as bytes.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use serde_json::{Value, json};

use super::Era;

/// A reply that is held whole, or a stream of events.
pub(super) type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

/// JSON-RPC codes in use.
pub(super) mod code {
    pub(in crate::sample) const HEADER_MISMATCH: i64 = -32020;
    pub(in crate::sample) const INVALID_PARAMS: i64 = -32602;
    pub(in crate::sample) const INVALID_REQUEST: i64 = -32600;
    pub(in crate::sample) const METHOD_NOT_FOUND: i64 = -32601;
    pub(in crate::sample) const PARSE: i64 = -32700;
    pub(in crate::sample) const SERVER: i64 = -32000;
    pub(in crate::sample) const SESSION_UNKNOWN: i64 = -32001;
    pub(in crate::sample) const VERSION_UNSUPPORTED: i64 = -32022;
}

/// The server as it names itself.
pub(super) fn server_info() -> Value {
    json!({ "name": "tollbook-sample", "version": env!("CARGO_PKG_VERSION") })
}

/// A result, with what its era adds.
pub(super) fn result(id: &Value, mut result: Value, era: Era) -> Value {
    if era == Era::Modern
        && let Some(object) = result.as_object_mut()
    {
        object.insert("resultType".to_owned(), "complete".into());
        let meta = json!({ "io.modelcontextprotocol/serverInfo": server_info() });
        object.insert("_meta".to_owned(), meta);
    }
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// A tool's result.
pub(super) fn tool_result(id: &Value, text: &str, is_error: bool, era: Era) -> Value {
    let content = json!([{ "type": "text", "text": text }]);
    result(id, json!({ "content": content, "isError": is_error }), era)
}

/// An error.
pub(super) fn error(id: &Value, code: i64, message: &str, data: Option<Value>) -> Value {
    let mut error = json!({ "code": code, "message": message });
    if let (Some(object), Some(data)) = (error.as_object_mut(), data) {
        object.insert("data".to_owned(), data);
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

/// A message as a response.
pub(super) fn message(status: StatusCode, message: &Value) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(message.to_string()))));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A response without body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::new())));
    *response.status_mut() = status;
    response
}

/// A stream of `steps` events, each after `delay`, and then `last`. Dropping it ends it, which is
/// how a modern client cancels.
pub(super) fn events(
    steps: u64,
    delay: Duration,
    token: Option<Value>,
    last: &Value,
) -> Response<Body> {
    let last = format!("event: message\ndata: {last}\n\n");
    let frames = stream::unfold((1, Some(last)), move |(step, mut last)| {
        let token = token.clone();
        async move {
            if step > steps {
                let last = last.take()?;
                return Some((Ok(Frame::data(Bytes::from(last))), (step, None)));
            }
            tokio::time::sleep(delay).await;
            let event = match token {
                Some(token) => progress(&token, step, steps),
                // Nothing may be sent that was not asked for but a comment.
                None => format!(": step {step} of {steps}\n\n"),
            };
            Some((
                Ok(Frame::data(Bytes::from(event))),
                (step.saturating_add(1), last),
            ))
        }
    });
    let body = StreamBody::new(frames).boxed_unsync();
    let mut response = Response::new(Either::Right(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    headers.insert(unbuffered, HeaderValue::from_static("no"));
    response
}

fn progress(token: &Value, step: u64, steps: u64) -> String {
    let params = json!({
        "progressToken": token,
        "progress": step,
        "total": steps,
        "message": format!("step {step} of {steps}"),
    });
    let message = json!({
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": params,
    });
    format!("event: message\ndata: {message}\n\n")
}
