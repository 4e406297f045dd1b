//! What is read from a message, and what our own answers say.

use serde_json::{Value, json};

use tollbook_mcp::inspect::{Class, Seen, inspect};
use tollbook_mcp::limits::{ARGUMENT_KEY_BYTES, ARGUMENT_KEYS_MAX, CLIENT_LABEL_BYTES};
use tollbook_mcp::sse::{Splitter, SseError, with_data};
use tollbook_mcp::{Era, Id, Limits, Message, Reader, Reply, reply};

fn read(body: &str) -> Message {
    Reader::new(Limits::DEFAULT)
        .read(body.as_bytes().to_vec())
        .expect("a readable body")
}

fn call(params: &str) -> Message {
    read(&format!(
        r#"{{"jsonrpc":"2.0","id":"c\u00311","method":"tools/call","params":{params}}}"#
    ))
}

fn id() -> Id {
    call(r#"{"name":"a"}"#)
        .id()
        .expect("a request has an id")
        .clone()
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("our own answers are JSON")
}

#[test]
fn a_call_shows_its_tool_and_arguments_once_escapes_are_resolved() {
    let message = call(r#"{"name":"r\u0065ad","arguments":{"pa\u0074h":"a\/b","n":1.50}}"#);
    let call = message.tool_call().unwrap();
    assert_eq!(call.name, "read");
    let arguments = call.arguments.unwrap();
    assert!(arguments.get("path").unwrap().is_str("a/b"));
    assert_eq!(arguments.get("n").unwrap().number_text(), Some("1.50"));
    assert!(
        read(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)
            .tool_call()
            .is_none()
    );
}

#[test]
fn argument_keys_are_named_up_to_the_limits_and_the_rest_counted() {
    let members: Vec<String> = (0..70).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let long = "x".repeat(ARGUMENT_KEY_BYTES + 1);
    let message = call(&format!(
        r#"{{"name":"a","arguments":{{"{long}":1,{}}}}}"#,
        members.join(",")
    ));
    let keys = message.argument_keys();
    assert_eq!(keys.named.len(), ARGUMENT_KEYS_MAX);
    assert_eq!(keys.named[0], "k0");
    assert_eq!(keys.more, 7);
    assert_eq!(call(r#"{"name":"a"}"#).argument_keys().more, 0);
}

#[test]
fn the_clients_name_is_found_in_both_eras_and_made_harmless() {
    let info = r#"{"name":"x\ny","version":"1"}"#;
    let meta = format!(r#"{{"io.modelcontextprotocol/clientInfo":{info}}}"#);
    let modern = call(&format!(r#"{{"name":"a","_meta":{meta}}}"#));
    assert_eq!(modern.client_label().as_deref(), Some("x?y/1"));
    let legacy = |info: &str| {
        let params = format!(r#"{{"protocolVersion":"2025-11-25","clientInfo":{info}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{params}}}"#);
        read(&body)
    };
    assert_eq!(
        legacy(r#"{"name":"cursor"}"#).client_label().as_deref(),
        Some("cursor")
    );
    assert_eq!(legacy("{}").client_label(), None);
    assert_eq!(
        legacy("{}").initialize_version().as_deref(),
        Some("2025-11-25")
    );
    let long = legacy(&format!(
        r#"{{"name":"{}"}}"#,
        "é".repeat(CLIENT_LABEL_BYTES)
    ));
    assert_eq!(long.client_label().unwrap().len(), CLIENT_LABEL_BYTES);
    // Only `initialize` may introduce a client outside `_meta`.
    assert_eq!(
        call(r#"{"name":"a","clientInfo":{"name":"evil"}}"#).client_label(),
        None
    );
}

#[test]
fn a_trace_parent_is_believed_only_when_it_is_well_formed() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let with = |text: &str| {
        call(&format!(
            r#"{{"name":"a","_meta":{{"traceparent":"{text}","progressToken":7}}}}"#
        ))
    };
    assert_eq!(with(good).traceparent(), Some(good));
    assert_eq!(with(good).progress_token(), Some("7"));
    let no_trace = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    let no_parent = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
    for bad in [
        "",
        "00",
        no_trace,
        no_parent,
        &good.to_uppercase(),
        &good.replacen("00", "ff", 1),
        &format!("{good}-x"),
        &good.replace('-', ""),
    ] {
        assert_eq!(with(bad).traceparent(), None, "{bad}");
    }
}

#[test]
fn a_denied_call_is_a_tool_result_of_its_era_with_the_requests_own_id() {
    let legacy = reply::denied_call(Era::Legacy, &id(), "Posting is \"limited\".\n\u{2028}");
    assert_eq!(legacy.status, 200);
    assert_eq!(
        String::from_utf8_lossy(&legacy.body),
        "{\"jsonrpc\":\"2.0\",\"id\":\"c\\u00311\",\"result\":{\"content\":[{\"type\":\"text\",\
         \"text\":\"[POLICY DENIED] Posting is \\\"limited\\\".\\n\\u2028\"}],\"isError\":true}}"
    );
    let modern = json_of(&reply::denied_call(Era::Modern, &id(), "/default"));
    assert_eq!(
        modern["result"],
        json!({
            "content": [{"type": "text", "text": "[POLICY DENIED] /default"}],
            "isError": true,
            "resultType": "complete",
        })
    );
}

#[test]
fn every_other_answer_has_the_status_and_code_of_its_case() {
    let id = id();
    let cases = [
        (
            reply::unknown_tool(&id, "a\"\u{1}"),
            200,
            -32602,
            "Unknown tool: a\"\u{1}",
        ),
        (
            reply::method_denied(&id, "x/y"),
            200,
            -31001,
            "denied by policy: x/y",
        ),
        (
            reply::unavailable(Some(&id), "no quorum", 2),
            503,
            -31003,
            "not forwarded: no quorum",
        ),
        (
            reply::too_many_refusals(Some(&id), 1),
            429,
            -31004,
            "too many refused requests; not evaluated",
        ),
        (
            reply::outcome_unknown(&id),
            200,
            -31005,
            "outcome unknown: the call may have run; do not repeat it",
        ),
    ];
    for (reply, status, code, message) in &cases {
        let body = json_of(reply);
        assert_eq!(reply.status, *status, "{message}");
        assert_eq!(
            reply.retry_after_s.is_some(),
            matches!(status, 503 | 429),
            "{message}"
        );
        let want = json!({"jsonrpc": "2.0", "id": "c11",
            "error": {"code": code, "message": message}});
        assert_eq!(body, want);
    }
    let nobody = json_of(&reply::unavailable(None, "draining", 1));
    assert_eq!(nobody["id"], Value::Null);
}

#[test]
fn a_refusal_says_where_and_what_and_never_what_the_body_said() {
    let mut reader = Reader::new(Limits::DEFAULT);
    let body = br#"{"jsonrpc":"2.0","id":5,"method":"ping","METHOD":"hunter2"}"#;
    let refused = reader.read(body.to_vec()).unwrap_err();
    let body = json_of(&reply::malformed(&refused));
    assert_eq!(body["id"], 5);
    let text = body["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("`method`") && text.contains("at byte 40"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_body_above_the_limit_is_413_and_the_next_one_is_read() {
    let mut limits = Limits::DEFAULT;
    limits.json.document_bytes = 40;
    let mut reader = Reader::new(limits);
    let small = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(small.len(), 40);
    let refused = reader.read(format!("{small} ").into_bytes()).unwrap_err();
    assert_eq!(refused.malformed.status(), 413);
    assert!(reader.read(small.as_bytes().to_vec()).is_ok());
}

#[test]
fn a_large_body_does_not_stay_in_the_parsers_memory_and_is_read_whole() {
    let mut reader = Reader::new(Limits::DEFAULT);
    let text = "y".repeat(1 << 20);
    let params = format!(r#"{{"name":"a","arguments":{{"t":"{text}"}}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    for body in [
        body.as_str(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        &body,
    ] {
        assert_eq!(
            reader.read(body.as_bytes().to_vec()).unwrap().into_body(),
            body.as_bytes()
        );
    }
}

#[test]
fn a_result_however_deep_is_looked_at_without_recursion() {
    let deep = format!("{}{}", "[".repeat(1 << 18), "]".repeat(1 << 18));
    let reply = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":{deep}}}}}"#);
    let Seen::Response(answer) = inspect(reply.as_bytes()) else {
        panic!("a result is a response");
    };
    assert_eq!(answer.class, Class::Ok);
}

#[test]
fn an_event_that_does_not_end_is_given_up_at_the_limit() {
    let mut splitter = Splitter::new(16);
    assert_eq!(splitter.push(b"data: 1\n\n").unwrap().len(), 1);
    assert_eq!(splitter.push(b"data: 2\n").unwrap().len(), 0);
    assert_eq!(splitter.push(b"data: 34").unwrap().len(), 0);
    assert_eq!(
        splitter.push(b"5"),
        Err(SseError::EventTooLarge { limit: 16 })
    );
}

#[test]
fn a_carriage_return_at_the_end_of_a_chunk_ends_its_line_at_once() {
    let mut splitter = Splitter::new(64);
    let first = splitter.push(b"data: 1\r\n\r").unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].data.as_deref(), Some(&b"1"[..]));
    // The line feed that belongs to it is passed on as it comes, not with the next event.
    let rest = splitter.push(b"\n").unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(
        (rest[0].raw.as_slice(), rest[0].data.as_deref()),
        (&b"\n"[..], None)
    );
    assert!(splitter.finish().is_empty());
}

#[test]
fn other_data_leaves_no_two_line_ends_that_become_one() {
    for stream in ["data: 1\rdata: 2\n\n", "data: 1\nid: 7\rdata: 2\n\n"] {
        let events = Splitter::new(64).push(stream.as_bytes()).unwrap();
        let raw = with_data(&events[0], b"3");
        let again = Splitter::new(64).push(&raw).unwrap();
        assert_eq!(again.len(), 1, "{raw:?}");
        assert_eq!(again[0].data.as_deref(), Some(&b"3"[..]));
    }
}
