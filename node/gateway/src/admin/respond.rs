//! Reading bodies and preconditions, writing objects and times.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use tollbook_raft::CommitError;
use tollbook_state::command::{Micros, ServerId};

use super::Plane;
use super::problem::Refused;
use crate::config::is_name;

/// Bytes of a body that asks for a server or a grant.
const OBJECT_BYTES_MAX: usize = 64 << 10;
/// For a leader to be there that hears a quorum.
const LEADER_WITHIN: Duration = Duration::from_secs(5);
/// Before it is looked for again.
const LEADER_AGAIN: Duration = Duration::from_millis(100);

/// An object as JSON; with its revision as `ETag`.
pub(super) fn object(
    status: StatusCode,
    object: &impl Serialize,
    revision: Option<u64>,
) -> Result<Response, Refused> {
    let body = serde_json::to_vec(object).map_err(|_| Refused::Internal)?;
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(tag) = revision.and_then(|rev| HeaderValue::try_from(format!("\"{rev}\"")).ok()) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}

/// An object that was made, and where it is.
pub(super) fn made(
    path: &str,
    object: &impl Serialize,
    revision: u64,
) -> Result<Response, Refused> {
    let mut response = self::object(StatusCode::CREATED, object, Some(revision))?;
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/{path}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Reads a body that must be an object.
pub(super) async fn json<T: DeserializeOwned>(
    plane: &Plane,
    request: Request,
) -> Result<T, Refused> {
    let bytes = body(request, OBJECT_BYTES_MAX, plane.node.deadlines.body).await?;
    serde_json::from_slice(&bytes).map_err(Refused::Json)
}

/// Reads a body of JSON, at most `limit` bytes of it, within `time`.
pub(super) async fn body(request: Request, limit: usize, time: Duration) -> Result<Bytes, Refused> {
    let headers = request.headers();
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let kind = kind.to_ascii_lowercase().replace([' ', '"'], "");
    let plain = matches!(
        kind.as_str(),
        "application/json" | "application/json;charset=utf-8"
    );
    if !plain || headers.contains_key(CONTENT_ENCODING) {
        return Err(Refused::TypeUnsupported);
    }
    let whole = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(time, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused::BodyTooLarge { limit }),
        Ok(Err(_)) | Err(_) => Err(Refused::BodyLate),
    }
}

/// Until this node has applied all that was committed anywhere so far: what a change is decided on
/// must not be older than what its author was told. Outlasts an election.
pub(super) async fn catch_up(plane: &Plane) -> Result<(), Refused> {
    let clock = plane.node.clock;
    let end = clock.moment().after(LEADER_WITHIN);
    loop {
        let caught_up = plane.node.cluster.catch_up().await;
        let again = matches!(caught_up, Err(CommitError::NoLeader));
        if !again || end.left(clock.moment()).is_zero() {
            return Ok(caught_up?);
        }
        tokio::time::sleep(LEADER_AGAIN).await;
    }
}

/// The revision that a change wants to replace; none: any.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| Refused::PreconditionInvalid)?;
    if text == "*" {
        return Ok(None);
    }
    let digits = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let revision = digits.and_then(|digits| digits.parse().ok());
    revision.map(Some).ok_or(Refused::PreconditionInvalid)
}

/// Refuses a change of another revision than the one that is there.
pub(super) fn check_revision(wanted: Option<u64>, revision: u64) -> Result<(), Refused> {
    match wanted {
        Some(wanted) if wanted != revision => Err(Refused::PreconditionFailed { revision }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a name that could be taken for an id, or that a path or a terminal would mangle.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), Refused> {
    let good = is_name(name) && Uuid::try_parse(name).is_err();
    if good {
        Ok(())
    } else {
        Err(Refused::Name {
            what,
            name: shortened(name),
        })
    }
}

/// What clients of a server are configured with.
pub(super) fn endpoint(plane: &Plane, server: ServerId) -> String {
    let base = plane.node.base_url().trim_end_matches('/');
    format!("{base}/mcp/{}/", Uuid::from_bytes(server.0))
}

/// RFC 3339, UTC.
pub(crate) fn time(micros: Micros) -> String {
    let stamp = i64::try_from(micros.0)
        .ok()
        .and_then(|us| Timestamp::from_microsecond(us).ok());
    stamp.map_or_else(|| micros.0.to_string(), |stamp| format!("{stamp:.6}"))
}

/// An empty body with a status.
pub(super) fn text(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut response = (status, Body::from(text)).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// What somebody sent, safe to repeat.
fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
