//! Which headers pass, by name, in both directions. What is not named here does not pass.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, COOKIE, EXPECT, FORWARDED, HOST, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::secret::{FixedHeader, SecretError, Secrets};

/// The upstream's session id. Not on either list: the caller opens and seals it.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One for each argument that a tool's schema mirrors.
const MCP_PARAM: &str = "mcp-param-";

/// Client to server, one value each: which of two would the server believe?
const FORWARDED_ONCE: [HeaderName; 7] = [
    CONTENT_TYPE,
    LAST_EVENT_ID,
    MCP_METHOD,
    MCP_NAME,
    MCP_PROTOCOL_VERSION,
    TRACEPARENT,
    USER_AGENT,
];
/// Client to server, lists.
const FORWARDED_LISTS: [HeaderName; 3] = [ACCEPT, BAGGAGE, TRACESTATE];
/// Server to client.
const RETURNED: [HeaderName; 5] = [
    ALLOW,
    CACHE_CONTROL,
    CONTENT_TYPE,
    RETRY_AFTER,
    X_ACCEL_BUFFERING,
];

/// A header that may stand once stands twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header `{name}` stands more than once; send it once")]
pub struct Repeated {
    /// The header.
    pub name: HeaderName,
}

/// What of a client's headers its server is told; ask before anything is decided. The caller adds
/// [`SESSION_ID`].
pub fn forwarded(inbound: &HeaderMap) -> Result<HeaderMap, Repeated> {
    let mut out = HeaderMap::with_capacity(12);
    for name in FORWARDED_ONCE {
        copy_once(inbound, &name, &mut out)?;
    }
    for name in FORWARDED_LISTS {
        for value in inbound.get_all(&name) {
            out.append(&name, value.clone());
        }
    }
    for name in inbound
        .keys()
        .filter(|name| name.as_str().starts_with(MCP_PARAM))
    {
        copy_once(inbound, name, &mut out)?;
    }
    strip_connection_listed(inbound, &mut out);
    // A compressed reply could be neither inspected nor committed to.
    out.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(out)
}

/// What of a server's headers its client is told. Of a repeated one the first value, which is the
/// one that the gate itself goes by.
pub fn returned(upstream: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(RETURNED.len());
    for name in RETURNED {
        if let Some(value) = upstream.get(&name) {
            out.insert(name, value.clone());
        }
    }
    strip_connection_listed(upstream, &mut out);
    out
}

/// Adds a server's fixed headers, over what the client sent under the same names.
pub fn add_fixed(
    headers: &mut HeaderMap,
    fixed: &[FixedHeader],
    secrets: &Secrets,
) -> Result<(), SecretError> {
    for header in fixed {
        headers.insert(header.name().clone(), secrets.value(header.reference())?);
    }
    Ok(())
}

/// Headers that no server's definition may set: framing, hops, and what the protocol mirrors from
/// the body that was decided.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 13] = [
        ACCEPT,
        ACCEPT_ENCODING,
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        EXPECT,
        FORWARDED,
        HOST,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    let text = name.as_str();
    OURS.contains(name)
        || *name == COOKIE
        || *name == LAST_EVENT_ID
        || text.starts_with("mcp-")
        || text.starts_with("proxy-")
        || text == "keep-alive"
}

fn copy_once(inbound: &HeaderMap, name: &HeaderName, out: &mut HeaderMap) -> Result<(), Repeated> {
    let mut values = inbound.get_all(name).iter();
    if let Some(value) = values.next() {
        if values.next().is_some() {
            return Err(Repeated { name: name.clone() });
        }
        out.insert(name.clone(), value.clone());
    }
    Ok(())
}

/// Headers that `Connection` lists are for one hop only.
fn strip_connection_listed(from: &HeaderMap, out: &mut HeaderMap) {
    for value in from.get_all(CONNECTION) {
        for name in value.as_bytes().split(|byte| *byte == b',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) {
                out.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> HeaderMap {
        let lines = text.lines().filter_map(|line| line.trim().split_once(": "));
        lines
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                (name, HeaderValue::from_str(value).expect("a value"))
            })
            .collect()
    }

    #[test]
    fn only_named_request_headers_pass() {
        let inbound = map("
            Accept: application/json
            Accept: text/event-stream
            Authorization: Bearer tbg_x
            Baggage: a=b
            Content-Length: 7
            Content-Type: application/json
            Cookie: a=b
            Forwarded: for=1.2.3.4
            Host: gate.example
            Last-Event-ID: 4
            MCP-Method: tools/call
            MCP-Name: echo
            Mcp-Param-Region: us-west1
            MCP-Protocol-Version: 2026-07-28
            Mcp-Session-Id: sealed
            Origin: https://gate.example
            Proxy-Authorization: Basic eA==
            TE: trailers
            Traceparent: 00-1-2-01
            Tracestate: k=v
            Transfer-Encoding: chunked
            User-Agent: a/1
            X-Forwarded-For: 1.2.3.4
            X-Tollbook-Internal: 1
        ");
        let expected = map("
            accept: application/json
            accept: text/event-stream
            accept-encoding: identity
            baggage: a=b
            content-type: application/json
            last-event-id: 4
            mcp-method: tools/call
            mcp-name: echo
            mcp-param-region: us-west1
            mcp-protocol-version: 2026-07-28
            traceparent: 00-1-2-01
            tracestate: k=v
            user-agent: a/1
        ");
        assert_eq!(forwarded(&inbound), Ok(expected));
    }

    #[test]
    fn a_repeated_header_is_refused_rather_than_chosen_from() {
        for name in [
            "mcp-name",
            "content-type",
            "mcp-protocol-version",
            "mcp-param-x",
        ] {
            let inbound = map(&format!("{name}: a\n{name}: a"));
            let name = HeaderName::from_static(name);
            assert_eq!(forwarded(&inbound), Err(Repeated { name }));
        }
    }

    #[test]
    fn headers_listed_by_connection_stay_behind() {
        let inbound = map("
            Connection: close, Mcp-Param-A
            Connection: ,, TRACEPARENT ,@
            Mcp-Param-A: 1
            Mcp-Param-B: 2
            Traceparent: 00-1-2-01
        ");
        let expected = map("mcp-param-b: 2\naccept-encoding: identity");
        assert_eq!(forwarded(&inbound), Ok(expected));
    }

    #[test]
    fn only_named_response_headers_return() {
        let upstream = map("
            Access-Control-Allow-Origin: *
            Allow: POST
            Cache-Control: no-store
            Connection: keep-alive, Retry-After
            Content-Encoding: gzip
            Content-Length: 3
            Content-Type: application/json
            Content-Type: text/event-stream
            Location: https://elsewhere.example/
            Mcp-Session-Id: 17
            Retry-After: 3
            Server: x
            Set-Cookie: a=b
            WWW-Authenticate: Bearer resource_metadata=\"https://evil.example/\"
            X-Accel-Buffering: no
        ");
        let expected = map("
            allow: POST
            cache-control: no-store
            content-type: application/json
            x-accel-buffering: no
        ");
        assert_eq!(returned(&upstream), expected);
    }
}
