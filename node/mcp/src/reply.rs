//! Answers that are our own, as bytes.
//!
//! What the agent sees is little: a denial says the policy's own words or the rule's pointer, a
//! hidden tool is an unknown one, and nothing else about the policy is revealed.

use std::borrow::Cow;

use crate::headers::{HeaderFault, INVALID_PARAMS, MODERN_VERSIONS};
use crate::id::Id;
use crate::malformed::Refused;
use crate::versions::Era;

/// The method is denied by policy.
pub const METHOD_DENIED: i32 = -31_001;
/// Nothing can be decided or recorded now.
pub const UNAVAILABLE: i32 = -31_003;
/// The grant's budget of refusals is spent.
pub const TOO_MANY_REFUSALS: i32 = -31_004;
/// The call may have run, but that is not on record.
pub const OUTCOME_UNKNOWN: i32 = -31_005;
/// The upstream's answer could not be read, or there is none.
pub const UPSTREAM: i32 = -31_006;

/// What an agent must know when an outcome is not on record.
pub const OUTCOME_UNKNOWN_TEXT: &str = "outcome unknown: the call may have run; do not repeat it";

/// An answer: status and JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds, where there is one.
    pub retry_after_s: Option<u32>,
    /// `application/json`.
    pub body: Vec<u8>,
}

/// A denied `tools/call`: a tool result, so that the agent can reason about it. `reason` is the
/// rule's `on_deny`, or its pointer where it has none.
pub fn denied_call(era: Era, id: &Id, reason: &str) -> Reply {
    tool_error(era, id, &format!("[POLICY DENIED] {reason}"))
}

/// A tool result that says what went wrong.
pub fn tool_error(era: Era, id: &Id, text: &str) -> Reply {
    let result_type = match era {
        Era::Legacy => "",
        Era::Modern => r#","resultType":"complete""#,
    };
    let (id, text) = (id.token(), quoted(text));
    let content = format!(r#"[{{"type":"text","text":{text}}}]"#);
    let result = format!(r#"{{"content":{content},"isError":true{result_type}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    Reply {
        status: 200,
        retry_after_s: None,
        body: body.into_bytes(),
    }
}

/// A tool that does not exist, or is hidden.
pub fn unknown_tool(id: &Id, name: &str) -> Reply {
    error(
        200,
        Some(id),
        INVALID_PARAMS,
        &format!("Unknown tool: {name}"),
        None,
    )
}

/// A method that the policy denies; towards a server, a request that the client will not see.
pub fn method_denied(id: &Id, method: &str) -> Reply {
    error(
        200,
        Some(id),
        METHOD_DENIED,
        &format!("denied by policy: {method}"),
        None,
    )
}

/// Nothing was forwarded, and trying again later may help. `why` is for people: no quorum, full
/// disk, draining, stale.
pub fn unavailable(id: Option<&Id>, why: &str, retry_after_s: u32) -> Reply {
    let reply = error(503, id, UNAVAILABLE, &format!("not forwarded: {why}"), None);
    Reply {
        retry_after_s: Some(retry_after_s),
        ..reply
    }
}

/// The grant's budget of refusals is spent; the request was not evaluated.
pub fn too_many_refusals(id: Option<&Id>, retry_after_s: u32) -> Reply {
    let text = "too many refused requests; not evaluated";
    let reply = error(429, id, TOO_MANY_REFUSALS, text, None);
    Reply {
        retry_after_s: Some(retry_after_s),
        ..reply
    }
}

/// The call may have run, and its outcome is not on record.
pub fn outcome_unknown(id: &Id) -> Reply {
    error(200, Some(id), OUTCOME_UNKNOWN, OUTCOME_UNKNOWN_TEXT, None)
}

/// The upstream did not answer, or not in a way that may be passed on. `why` is for people.
pub fn upstream_failed(status: u16, id: &Id, why: &str) -> Reply {
    error(status, Some(id), UPSTREAM, why, None)
}

/// A body that is not one readable message.
pub fn malformed(refused: &Refused) -> Reply {
    let malformed = &refused.malformed;
    let text = malformed.to_string();
    error(
        malformed.status(),
        refused.id.as_ref(),
        malformed.code(),
        &text,
        None,
    )
}

/// Headers that do not fit.
pub fn header_fault(id: Option<&Id>, fault: &HeaderFault) -> Reply {
    let data = match fault {
        HeaderFault::UnsupportedVersion { requested } => {
            let supported = MODERN_VERSIONS
                .map(|version| quoted(version.name()))
                .join(",");
            let requested = quoted(requested);
            Some(format!(
                r#"{{"supported":[{supported}],"requested":{requested}}}"#
            ))
        }
        HeaderFault::Absent { .. }
        | HeaderFault::ContentEncoding
        | HeaderFault::ContentType
        | HeaderFault::Meta { .. }
        | HeaderFault::MethodUnknown
        | HeaderFault::Mismatch { .. }
        | HeaderFault::Param { .. }
        | HeaderFault::Repeated { .. }
        | HeaderFault::Response
        | HeaderFault::Unreadable { .. }
        | HeaderFault::VersionUnknown => None,
    };
    error(
        fault.status(),
        id,
        fault.code(),
        &fault.to_string(),
        data.as_deref(),
    )
}

/// A JSON-RPC error. The id is the request's own, token by token; `data` is JSON text.
pub fn error(status: u16, id: Option<&Id>, code: i32, message: &str, data: Option<&str>) -> Reply {
    let id = id.map_or("null", Id::token);
    let data = data.map_or(Cow::Borrowed(""), |data| {
        Cow::Owned(format!(r#","data":{data}"#))
    });
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{}{data}}}}}"#,
        quoted(message),
    );
    Reply {
        status,
        retry_after_s: None,
        body: body.into_bytes(),
    }
}

/// A JSON string. U+2028 and U+2029 are escaped too, and so is what could end a line of an event.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
