//! The answers that tell a client why there is no result, in full.

use serde_json::{Value, json};

use crate::client::Response;

/// What an agent must know of a call that may have run.
pub(crate) const UNKNOWN: &str = "outcome unknown: the call may have run; do not repeat it";

/// 503 with `Retry-After`: nothing was forwarded, and later may be better.
pub(crate) fn assert_unavailable(response: &Response, id: &Value, why: &str) {
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.header("retry-after"), Some("1"));
    let error = json!({ "code": -31003, "message": format!("not forwarded: {why}") });
    assert_eq!(
        response.json(),
        json!({ "jsonrpc": "2.0", "id": id, "error": error })
    );
}

/// 200 with -31005: it may have run, and nobody may repeat it.
pub(crate) fn assert_unsettled(response: &Response) {
    assert_eq!(response.status, 200, "{}", response.text());
    let error = json!({ "code": -31005, "message": UNKNOWN });
    assert_eq!(
        response.json(),
        json!({ "jsonrpc": "2.0", "id": 1, "error": error })
    );
}

/// 502 with -31006: the server's fault, and nothing ran.
pub(crate) fn assert_upstream(response: &Response, why: &str) {
    assert_eq!(response.status, 502, "{}", response.text());
    let error = json!({ "code": -31006, "message": format!("the server: {why}") });
    assert_eq!(
        response.json(),
        json!({ "jsonrpc": "2.0", "id": 1, "error": error })
    );
}
