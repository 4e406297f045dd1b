//! Each corpus in `vectors/` and its one runner.
#![expect(
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic as the tests do"
)]

use serde_json::Value;

use tollbook_mcp::inspect::{Class, Rubbish, Seen, inspect};
use tollbook_mcp::list::{ListError, ListReply, filter, filter_event};
use tollbook_mcp::sse::{Event, Splitter, SseError};
use tollbook_mcp::{Era, Head, Headers, Id, Limits, Message, Parser, Reader, check_method, reply};

fn rows(corpus: &str) -> Vec<Value> {
    let rows: Vec<Value> = corpus
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row is JSON"))
        .collect();
    assert!(!rows.is_empty());
    rows
}

fn text<'r>(row: &'r Value, key: &str) -> Option<&'r str> {
    row.get(key).and_then(Value::as_str)
}

fn body(row: &Value) -> Vec<u8> {
    match (text(row, "body"), text(row, "hex")) {
        (Some(body), None) => body.as_bytes().to_vec(),
        (None, Some(hex)) => (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect(),
        _ => panic!("a row has `body` or `hex`: {row}"),
    }
}

fn read(body: &[u8]) -> Message {
    Reader::new(Limits::DEFAULT)
        .read(body.to_vec())
        .expect("the row's body is readable")
}

fn id(token: &str) -> Id {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{token},"method":"ping"}}"#);
    read(body.as_bytes()).id().unwrap().clone()
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_the_rest_is_kept_byte_for_byte() {
    // One reader for all: what a message leaves behind must not change the next.
    let mut reader = Reader::new(Limits::DEFAULT);
    for row in rows(include_str!("vectors/smuggling.jsonl")) {
        let body = body(&row);
        match (reader.read(body.clone()), text(&row, "head")) {
            (Err(refused), None) => {
                let malformed = refused.malformed;
                assert_eq!(
                    Some(malformed.kind.label()),
                    text(&row, "label"),
                    "{row}\n{malformed}"
                );
                assert_eq!(i64::from(malformed.code()), row["code"], "{row}");
                assert_eq!(u64::from(malformed.status()), row["status"], "{row}");
                assert_eq!(
                    refused.id.as_ref().map(Id::token),
                    text(&row, "answers_to"),
                    "{row}"
                );
                assert!(malformed.at <= body.len(), "{row}");
            }
            (Ok(message), Some(head)) => {
                let seen = match message.head() {
                    Head::Notification { .. } => "notification",
                    Head::Request { .. } => "request",
                    Head::Response { .. } => "response",
                };
                assert_eq!(seen, head, "{row}");
                assert_eq!(message.id().map(Id::token), text(&row, "id"), "{row}");
                assert_eq!(message.method(), text(&row, "method"), "{row}");
                let tool = message.tool_call().map(|call| call.name.into_owned());
                assert_eq!(tool.as_deref(), text(&row, "tool"), "{row}");
                assert_eq!(message.into_body(), body, "{row}");
            }
            (Ok(_), None) => panic!("accepted: {row}"),
            (Err(refused), Some(_)) => panic!("refused ({refused}): {row}"),
        }
    }
}

fn headers(row: &Value) -> Vec<(&str, &[u8])> {
    let pairs = row["headers"].as_array().unwrap();
    pairs
        .iter()
        .map(|p| (p[0].as_str().unwrap(), p[1].as_str().unwrap().as_bytes()))
        .collect()
}

#[test]
fn headers_that_do_not_fit_the_body_are_refused_as_the_specification_says() {
    for row in rows(include_str!("vectors/headers.jsonl")) {
        let message = read(&body(&row));
        let headers = Headers::collect(headers(&row));
        let checked = headers
            .check(&message)
            .and_then(|wire| check_method(wire, &message).map(|()| wire));
        match (checked, text(&row, "era")) {
            (Ok(wire), Some(era)) => {
                assert_eq!(era == "modern", wire.era == Era::Modern, "{row}");
                assert_eq!(
                    wire.version.map(|v| v.name()),
                    text(&row, "version"),
                    "{row}"
                );
            }
            (Err(fault), None) => {
                assert_eq!(Some(fault.label()), text(&row, "label"), "{row}\n{fault}");
                assert_eq!(u64::from(fault.status()), row["status"], "{row}");
                assert_eq!(i64::from(fault.code()), row["code"], "{row}");
                let reply = reply::header_fault(message.id(), &fault);
                let answer: Value = serde_json::from_slice(&reply.body).unwrap();
                assert_eq!(answer["error"]["code"], row["code"], "{row}");
                let sent: Value = serde_json::from_slice(&body(&row)).unwrap();
                assert_eq!(answer["id"], sent["id"], "{row}");
                if let Some(requested) = text(&row, "requested") {
                    let data = &answer["error"]["data"];
                    assert_eq!(data["requested"], requested, "{row}");
                    assert_eq!(
                        data["supported"],
                        serde_json::json!(["2026-07-28"]),
                        "{row}"
                    );
                }
            }
            (Ok(wire), None) => panic!("accepted as {wire:?}: {row}"),
            (Err(fault), Some(_)) => panic!("refused ({fault}): {row}"),
        }
    }
}

#[test]
fn only_plain_json_in_utf8_is_read() {
    for row in rows(include_str!("vectors/content.jsonl")) {
        let checked = Headers::collect(headers(&row)).check_content();
        assert_eq!(Value::Bool(checked.is_ok()), row["accepted"], "{row}");
        if let Err(fault) = checked {
            assert_eq!(fault.status(), 415);
        }
    }
}

fn split(stream: &[u8], chunk_len: usize) -> (Vec<Event>, Vec<u8>) {
    let mut splitter = Splitter::new(1 << 20);
    let mut events = Vec::new();
    for chunk in stream.chunks(chunk_len) {
        events.extend(splitter.push(chunk).unwrap());
    }
    (events, splitter.finish())
}

#[test]
fn streams_are_cut_into_the_events_that_a_client_sees() {
    for row in rows(include_str!("vectors/sse.jsonl")) {
        let stream = text(&row, "stream").unwrap();
        if text(&row, "error").is_some() {
            let refused = Splitter::new(1 << 20).push(stream.as_bytes());
            assert_eq!(refused, Err(SseError::ByteOrderMark), "{row}");
            continue;
        }
        let (events, tail) = split(stream.as_bytes(), stream.len());
        let seen: Vec<Value> = events
            .iter()
            .map(|event| {
                let mut seen = serde_json::Map::new();
                let fields = [
                    ("data", &event.data),
                    ("name", &event.name),
                    ("id", &event.id),
                ];
                for (key, value) in fields {
                    if let Some(value) = value {
                        let value = String::from_utf8(value.clone()).unwrap();
                        seen.insert(key.to_owned(), Value::String(value));
                    }
                }
                Value::Object(seen)
            })
            .collect();
        assert_eq!(Value::Array(seen), row["events"], "{row}");
        let raw: Vec<u8> = events
            .iter()
            .flat_map(|event| event.raw.clone())
            .chain(tail)
            .collect();
        let passed = text(&row, "passed").unwrap_or(stream);
        assert_eq!(raw, passed.as_bytes(), "{row}");
    }
}

fn error_name(error: ListError) -> &'static str {
    match error {
        ListError::NoData => "no_data",
        ListError::NotAList => "not_a_list",
        ListError::NotTheAnswer => "not_the_answer",
        ListError::Unreadable(_) => "unreadable",
    }
}

#[test]
fn hidden_tools_are_taken_out_and_what_cannot_be_judged_is_never_shown() {
    let mut parser = Parser::new(Limits::DEFAULT.json);
    let id = id("1");
    let shows = |name: &str| !name.starts_with("hidden");
    for row in rows(include_str!("vectors/lists.jsonl")) {
        let era = if text(&row, "era") == Some("modern") {
            Era::Modern
        } else {
            Era::Legacy
        };
        let upstream = body(&row);
        let filtered = filter(&mut parser, upstream.clone(), &id, era, shows);
        match (
            &filtered,
            text(&row, "out"),
            row.get("passes"),
            text(&row, "error"),
        ) {
            (Ok(ListReply::Tools(page)), Some(out), None, None) => {
                assert_eq!(String::from_utf8_lossy(&page.bytes), out, "{row}");
                assert_eq!(u64::from(page.offered_count), row["offered"], "{row}");
                assert_eq!(serde_json::json!(page.shown_names), row["shown"], "{row}");
                assert_eq!(page.shown_count as usize, page.shown_names.len(), "{row}");
                assert!(out.contains(&page.shown), "{row}");
                assert!(
                    upstream
                        .windows(page.offered.len())
                        .any(|w| w == page.offered.as_bytes())
                );
                let next = row.get("next").is_some_and(|next| next == true);
                assert_eq!(page.has_next, next, "{row}");
            }
            (Ok(ListReply::Error { bytes }), None, Some(_), None) => {
                assert_eq!(*bytes, upstream, "{row}");
            }
            (Err(error), None, None, Some(name)) => assert_eq!(error_name(*error), name, "{row}"),
            (other, ..) => panic!("{other:?}: {row}"),
        }
        in_an_event_it_is_the_same(&upstream, &id, era, &filtered, &row);
    }
}

/// Splits the body over `data` lines wherever white space allows, and filters the event.
fn in_an_event_it_is_the_same(
    upstream: &[u8],
    id: &Id,
    era: Era,
    filtered: &Result<ListReply, ListError>,
    row: &Value,
) {
    let mut parser = Parser::new(Limits::DEFAULT.json);
    let shows = |name: &str| !name.starts_with("hidden");
    for end in ["\n", "\r\n", "\r"] {
        let data = String::from_utf8(upstream.to_vec()).unwrap();
        let lines = data.split('\n').map(|line| format!("data:{line}{end}"));
        let lines: String = lines.collect();
        let stream = format!("id: 5{end}{lines}event: message{end}retry: 1{end}{end}");
        let (events, tail) = split(stream.as_bytes(), stream.len());
        assert!(tail.is_empty());
        let event = events.last().unwrap();
        match (filter_event(&mut parser, event, id, era, shows), filtered) {
            (Ok(ListReply::Tools(got)), Ok(ListReply::Tools(page))) => {
                let (again, tail) = split(&got.bytes, got.bytes.len());
                assert!(tail.is_empty());
                let [again] = again.as_slice() else {
                    panic!("{again:?}: {row}")
                };
                let seen: Value = serde_json::from_slice(again.data.as_ref().unwrap()).unwrap();
                let want: Value = serde_json::from_slice(&page.bytes).unwrap();
                assert_eq!(seen, want, "{row}");
                assert_eq!(again.id.as_deref(), Some(&b"5"[..]));
                assert_eq!(again.name.as_deref(), Some(&b"message"[..]));
                assert!(got.bytes.windows(9).any(|window| window == b"retry: 1\n"));
            }
            (Ok(ListReply::Error { bytes }), Ok(ListReply::Error { .. })) => {
                assert_eq!(bytes, event.raw);
            }
            (Err(got), Err(want)) => assert_eq!(error_name(got), error_name(*want), "{row}"),
            (got, want) => panic!("{got:?} for {want:?}: {row}"),
        }
    }
}

#[test]
fn an_upstreams_message_is_what_every_client_would_take_it_for_or_rubbish() {
    for row in rows(include_str!("vectors/replies.jsonl")) {
        match inspect(&body(&row)) {
            Seen::Notification { method } => assert_eq!(Some(&*method), text(&row, "notification")),
            Seen::Request { id: seen, method } => {
                assert_eq!(Some(&*method), text(&row, "request"), "{row}");
                assert_eq!(Some(seen), text(&row, "id").map(id), "{row}");
            }
            Seen::Response(answer) => {
                let class = match &answer.class {
                    Class::InputRequired { methods } => {
                        assert_eq!(serde_json::json!(methods), row["methods"], "{row}");
                        "input_required"
                    }
                    Class::Ok => "ok",
                    Class::RpcError => "rpc_error",
                    Class::ToolError => "tool_error",
                };
                assert_eq!(Some(class), text(&row, "response"), "{row}");
                let want = text(&row, "id").map(id);
                assert!(want.as_ref().is_none_or(|id| answer.is_for(id)), "{row}");
                assert!(!answer.is_for(&id("77")), "{row}");
                assert_eq!(answer.id, want, "{row}");
            }
            Seen::Rubbish(why) => {
                let name = match why {
                    Rubbish::Crowded => "crowded",
                    Rubbish::DuplicateKey => "duplicate_key",
                    Rubbish::MistakableKey(_) => "mistakable_key",
                    Rubbish::NotAMessage => "not_a_message",
                    Rubbish::NotAnObject => "not_an_object",
                };
                assert_eq!(Some(name), text(&row, "rubbish"), "{row}");
            }
        }
    }
}
