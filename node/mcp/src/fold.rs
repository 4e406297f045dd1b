//! Keys that a lax reader would take for a key of the protocol.
//!
//! Many servers match keys without regard to case (Go's `encoding/json`, some with Unicode
//! folding), stop at a NUL, or normalise. A key that such a reader takes for one of ours, though
//! it is spelt otherwise, would let it read what was not judged.

use tollbook_policy::folded;

/// Keys of the JSON-RPC envelope.
pub(crate) const ENVELOPE: &[&str] = &["error", "id", "jsonrpc", "method", "params", "result"];

/// Keys of `params` by which a gate or a server acts, of all methods together.
pub(crate) const PARAMS: &[&str] = &[
    "_meta",
    "argument",
    "arguments",
    "capabilities",
    "clientInfo",
    "context",
    "cursor",
    "inputResponses",
    "level",
    "name",
    "notifications",
    "progressToken",
    "protocolVersion",
    "ref",
    "requestId",
    "requestState",
    "task",
    "taskId",
    "uri",
];

/// Keys of `_meta`.
pub(crate) const META: &[&str] = &[
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    "io.modelcontextprotocol/logLevel",
    META_PROTOCOL_VERSION,
    "io.modelcontextprotocol/related-task",
    "io.modelcontextprotocol/subscriptionId",
    "baggage",
    "progressToken",
    "traceparent",
    "tracestate",
];

/// Required in the modern era.
pub(crate) const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// What the client calls itself.
pub(crate) const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Required in the modern era; marks a request as modern.
pub(crate) const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Keys of a result by which a gate or a client acts.
pub(crate) const RESULT: &[&str] = &[
    "_meta",
    "cacheScope",
    "inputRequests",
    "isError",
    "nextCursor",
    "requestState",
    "resultType",
    "tools",
    "ttlMs",
];

/// The key of `protocol` that `key` could be taken for without being it.
pub(crate) fn mistaken_for(key: &str, protocol: &[&'static str]) -> Option<&'static str> {
    if key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        let alike = protocol
            .iter()
            .find(|ours| ours.eq_ignore_ascii_case(key))?;
        return (*alike != key).then_some(*alike);
    }
    // The profile refuses control characters in a client's keys; an upstream's keys come here
    // without it, and a reader that stops at a NUL, or skips it, reads the rest.
    let skipped: String = folded(key).chars().filter(|c| !c.is_control()).collect();
    let until_nul = key.split('\0').next().map(folded);
    protocol
        .iter()
        .find(|ours| {
            let ours = folded(ours);
            ours == skipped || until_nul.as_ref() == Some(&ours)
        })
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_and_unrelated_keys_are_nobodys() {
        for key in [
            "method", "params", "vendor", "métho", "", "_meta", "method2",
        ] {
            assert_eq!(mistaken_for(key, ENVELOPE), None, "{key}");
        }
    }

    #[test]
    fn keys_that_lax_readers_confuse_are_found() {
        let cases = [
            ("METHOD", "method"),
            ("Id", "id"),
            ("param\u{17f}", "params"),
            ("\u{ff4d}ethod", "method"),
            ("method\0", "method"),
            ("method\0x", "method"),
            ("me\0thod", "method"),
            ("\u{2110}d", "id"),
            ("\u{24d8}d", "id"),
        ];
        for (key, ours) in cases {
            assert_eq!(mistaken_for(key, ENVELOPE), Some(ours), "{key:?}");
        }
        assert_eq!(mistaken_for("to\u{212a}en", &["token"]), Some("token"));
        assert!(mistaken_for("protocolver\u{17f}ion", &["protocolVersion"]).is_some());
        assert_eq!(mistaken_for("stra\u{df}e", &["strasse"]), Some("strasse"));
    }
}
