//! `/healthz`, `/readyz`, `/metrics`, `/api/v1/status`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::problem::Refused;
use super::{Plane, api, respond};

const PLAIN: &str = "text/plain; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process runs. Says nothing of whether it should get calls.
pub(super) async fn alive() -> Response {
    respond::text(StatusCode::OK, PLAIN, "ok\n".to_owned())
}

/// Whether the node should get calls, and if not, why.
pub(super) async fn ready(State(plane): State<Arc<Plane>>) -> Result<Response, Refused> {
    let reasons = plane.node.unready();
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    respond::object(status, &json!({ "ready": ready, "reasons": reasons }), None)
}

pub(super) async fn metrics(State(plane): State<Arc<Plane>>) -> Response {
    respond::text(StatusCode::OK, METRICS, plane.node.metrics_text())
}

pub(super) async fn status(State(plane): State<Arc<Plane>>) -> Result<Response, Refused> {
    let not_ready = plane
        .node
        .unready()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let status = plane.node.cluster.read(|book| {
        let applied = book.applied();
        api::Status {
            origin: book.genesis().map(|genesis| genesis.origin.clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            applied: applied.map_or(0, |applied| applied.log_index),
            term: applied.map_or(0, |applied| applied.term),
            records: book.head().map_or(0, tollbook_audit::Head::size),
            now: respond::time(book.now()),
            servers: book.servers().count(),
            policies: book.policies().count(),
            grants: book.grants().count(),
            open_calls: book.open_count(),
            not_ready,
        }
    });
    respond::object(StatusCode::OK, &status, None)
}
