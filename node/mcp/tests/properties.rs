//! What must hold of any bytes.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic as the tests do"
)]

use proptest::collection::vec;
use proptest::prelude::*;

use tollbook_mcp::inspect::inspect;
use tollbook_mcp::list::{ListReply, filter};
use tollbook_mcp::sse::{Event, Splitter, SseError, frame, with_data};
use tollbook_mcp::{Era, Limits, Parser, Reader};
use tollbook_policy::json::{Json, Kind, Value, parse};

/// Texts whose mutations are likely to be where parsers differ.
const SEEDS: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1]}}}"#,
    r#"{"a":"\ud83d\ude00\\\"\/\b\f\n\r\t\u0041","b":"é😀","":{}}"#,
    r#"[0,-0,1.5,-1.5e-3,1E+2,18446744073709551615,-9223372036854775808,1e308,5e-324,0.0e0]"#,
    r#"[1e309,1e-400,18446744073709551616,-9223372036854775809,123456789012345678901234.5,0e999]"#,
    r#"[0.30000000000000004,2.2250738585072011e-308,9007199254740993,179769313486231580793e289]"#,
    "[\n true ,\tfalse,\r null , [ ] , { } , [[[[{\"a\":[]}]]]] ]\n",
    r#"{"\u005f_proto__":1,"k":{"k":{"k":1}},"kk":2,"k\u0000":3}"#,
    r#"  "only a string with \" and \\"  "#,
    "-12.5e+7",
    r#"["\ud800","\udc00","\ud800\ud800","\uD83D\u0041","\u00"]"#,
    "[truefalse,nullx,tru,1true,\"a\"b,1 2,,:{]}",
];

/// Bytes that mean something to a parser, to put in places where they do not belong.
fn token() -> impl Strategy<Value = Vec<u8>> {
    let tokens: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\\\"",
        b"0",
        b"9",
        b"-",
        b"+",
        b".",
        b"e",
        b"E",
        b"e-",
        b"null",
        b"true",
        b"false",
        b"\\u",
        b"\\ud800",
        b"\\udc00",
        b"\\u0000",
        b" ",
        b"\n",
        b"\t",
        b"\r",
        b"\x0b",
        b"\x0c",
        b"\0",
        b"\x7f",
        b"\x80",
        b"\xc2\x85",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"/",
        b"/*",
        b"'",
        b"NaN",
        b"1e999",
        b"\"a\":1,",
        b"\x1f",
    ];
    prop_oneof![
        8 => proptest::sample::select(tokens).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 1..4),
    ]
}

/// A seed with a few places replaced, removed or filled, sometimes padded so that what follows
/// crosses a 64-byte block of the vector code.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..3_usize, token());
    (
        proptest::sample::select(SEEDS),
        vec(edit, 0..4),
        0..130_usize,
    )
        .prop_map(|(seed, edits, pad)| {
            let mut text = vec![b' '; pad];
            text.extend_from_slice(seed.as_bytes());
            for (at, remove, insert) in edits {
                let at = at.index(text.len() + 1);
                let end = (at + remove).min(text.len());
                text.splice(at..end, insert);
            }
            text
        })
}

/// Everything that a reader of the document can see.
fn seen(json: &Json) -> Vec<(Kind, std::ops::Range<usize>, Option<String>)> {
    fn walk(value: Value<'_>, out: &mut Vec<(Kind, std::ops::Range<usize>, Option<String>)>) {
        out.push((
            value.kind(),
            value.span(),
            value.as_str().map(|text| text.into_owned()),
        ));
        for (key, value) in value.entries() {
            walk(key, out);
            walk(value, out);
        }
        for element in value.elements() {
            walk(element, out);
        }
    }
    let mut out = Vec::new();
    walk(json.root(), &mut out);
    out
}

/// The vector path against the scalar parser, which shares nothing with it but the tape's type.
fn both_ways(bytes: &[u8]) -> Option<Json> {
    let limits = Limits::DEFAULT.json;
    let fast = Parser::new(limits).parse(bytes.to_vec());
    let slow = String::from_utf8(bytes.to_vec())
        .ok()
        .map(|text| parse(text, &limits));
    match (fast, slow) {
        (Ok(fast), Some(Ok(slow))) => {
            assert_eq!(seen(&fast), seen(&slow));
            assert_eq!(fast.text().as_bytes(), bytes);
            Some(fast)
        }
        (Err(_), Some(Err(_)) | None) => None,
        (Ok(_), other) => panic!("only the vector path accepts: {other:?}"),
        (Err(refused), Some(Ok(_))) => panic!("only the scalar parser accepts: {refused}"),
    }
}

fn equal(ours: Value<'_>, theirs: &serde_json::Value) -> bool {
    match (ours.kind(), theirs) {
        (Kind::Null, serde_json::Value::Null) => true,
        (Kind::Bool, serde_json::Value::Bool(b)) => ours.as_bool() == Some(*b),
        (Kind::String, serde_json::Value::String(s)) => ours.is_str(s),
        (Kind::Number, serde_json::Value::Number(number)) => {
            let text = ours.number_text().unwrap();
            match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => text.parse() == Ok(n),
                (None, Some(n)) => text.parse() == Ok(n),
                (None, None) => text.parse().ok() == number.as_f64(),
            }
        }
        (Kind::Array, serde_json::Value::Array(elements)) => {
            ours.len() == elements.len() && ours.elements().zip(elements).all(|(a, b)| equal(a, b))
        }
        (Kind::Object, serde_json::Value::Object(members)) => {
            ours.len() == members.len()
                && members
                    .iter()
                    .all(|(k, v)| ours.get(k).is_some_and(|a| equal(a, v)))
        }
        _ => false,
    }
}

fn split(stream: &[u8], cuts: &[prop::sample::Index]) -> Result<(Vec<Event>, Vec<u8>), SseError> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut splitter = Splitter::new(1 << 16);
    let mut events = Vec::new();
    let mut from = 0;
    for end in ends {
        events.extend(splitter.push(&stream[from..end])?);
        from = end;
    }
    Ok((events, splitter.finish()))
}

/// What a client is told: pieces without data tell it at most an id.
fn told(events: &[Event]) -> Vec<Event> {
    events
        .iter()
        .filter(|event| event.data.is_some() || event.id.is_some() || event.name.is_some())
        .map(|event| Event {
            raw: Vec::new(),
            ..event.clone()
        })
        .collect()
}

/// The specification's algorithm, over the whole stream at once.
fn naive_data(stream: &[u8]) -> Vec<Vec<u8>> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut bytes = stream.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                if bytes.peek() == Some(&&b'\n') {
                    bytes.next();
                }
                lines.push(Vec::new());
            }
            b'\n' => lines.push(Vec::new()),
            other => lines.last_mut().unwrap().push(*other),
        }
    }
    // The last line has no end.
    lines.pop();
    let mut events = Vec::new();
    let mut data: Option<Vec<u8>> = None;
    for line in lines {
        if line.is_empty() {
            events.extend(data.take());
        } else if line == b"data" || line.starts_with(b"data:") {
            let value = line.get(5..).unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut data {
                None => data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
    }
    events
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"data",
        b"data:",
        b"data: ",
        b"id:",
        b"id: 7",
        b"event: message",
        b":",
        b": c",
        b"retry: 1",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\r\r",
        b"x",
        b" ",
        b"{\"a\":1}",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\0",
    ];
    vec(proptest::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    // A finding becomes a case by name, in a corpus or a story, and not a seed in a file.
    #![proptest_config(ProptestConfig {
        cases: 4096,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn vector_and_scalar_parser_accept_the_same_texts_and_read_the_same(text in text()) {
        both_ways(&text);
    }

    #[test]
    fn what_is_accepted_means_the_same_to_serde_json(text in text()) {
        if let Some(json) = both_ways(&text) {
            let theirs: serde_json::Value = serde_json::from_slice(&text)
                .map_err(|error| TestCaseError::fail(format!("{error}: {}", json.text())))?;
            prop_assert!(equal(json.root(), &theirs), "{theirs}");
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic_and_no_accepted_byte_is_lost(
        texts in vec(prop_oneof![text(), vec(any::<u8>(), 0..200)], 1..4),
    ) {
        let mut reader = Reader::new(Limits::DEFAULT);
        for text in texts {
            if let Ok(message) = reader.read(text.clone()) {
                prop_assert_eq!(message.into_body(), text);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_reply_panic(text in text()) {
        let _seen = inspect(&text);
    }

    #[test]
    fn chunks_do_not_change_what_a_client_is_told(
        stream in stream(),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        match (split(&stream, &cuts), split(&stream, &[])) {
            (Err(cut), Err(whole)) => prop_assert_eq!(cut, whole),
            (Ok((cut, tail)), Ok((whole, _))) => {
                prop_assert_eq!(told(&cut), told(&whole));
                let raw: Vec<u8> = cut.iter().flat_map(|e| e.raw.clone()).chain(tail).collect();
                let without_mark = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&stream);
                // A line without an end keeps its mark: nobody is told of it.
                prop_assert!(raw == without_mark || (raw == stream && cut.is_empty()));
                let data: Vec<Vec<u8>> = cut.into_iter().filter_map(|event| event.data).collect();
                prop_assert_eq!(data, naive_data(&stream));
            }
            (cut, whole) => prop_assert!(false, "{cut:?} {whole:?}"),
        }
    }

    #[test]
    fn other_data_in_an_event_is_read_back_and_nothing_else_changes(
        stream in stream(),
        message in "[{}\" a-z\n]{0,20}",
    ) {
        let events = split(&stream, &[]).map(|(events, _)| events).unwrap_or_default();
        for event in events.iter().filter(|event| event.data.is_some()) {
            let (again, tail) = split(&with_data(event, message.as_bytes()), &[]).unwrap();
            prop_assert!(tail.is_empty());
            let again: Vec<&Event> = again.iter().filter(|e| e.data.is_some()).collect();
            prop_assert_eq!(again.len(), 1);
            prop_assert_eq!(again[0].data.as_deref(), Some(message.as_bytes()));
            prop_assert_eq!(&again[0].id, &event.id);
            prop_assert_eq!(&again[0].name, &event.name);
        }
        let (again, tail) = split(&frame(message.as_bytes()), &[]).unwrap();
        prop_assert!(tail.is_empty());
        prop_assert_eq!(again.len(), 1);
        prop_assert_eq!(again[0].data.as_deref(), Some(message.as_bytes()));
    }

    #[test]
    fn a_hidden_name_never_reaches_the_client_however_the_list_is_written(text in list()) {
        let mut reader = Reader::new(Limits::DEFAULT);
        let id = reader.read(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_vec());
        let id = id.unwrap().id().unwrap().clone();
        let mut parser = Parser::new(Limits::DEFAULT.json);
        let filtered = filter(&mut parser, text, &id, Era::Modern, |name| name != "hidden");
        if let Ok(ListReply::Tools(page)) = filtered {
            let seen: serde_json::Value = serde_json::from_slice(&page.bytes).unwrap();
            let tools = seen["result"]["tools"].as_array().unwrap();
            let names: Vec<&str> = tools.iter().map(|t| t["name"].as_str().unwrap()).collect();
            prop_assert!(!names.contains(&"hidden"));
            prop_assert_eq!(names, page.shown_names);
            prop_assert_eq!(&seen["result"]["cacheScope"], "private");
        }
    }
}

/// A list of tools with a hidden one, and an edit or two.
fn list() -> impl Strategy<Value = Vec<u8>> {
    let seed: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"hidden",
        "x":{"name":"a"}},{"name":"b"}],"ttlMs":1,"cacheScope":"public"}}"#;
    let words: &[&[u8]] = &[
        b"\"name\":\"hidden\",",
        b"\"Name\":\"hidden\",",
        b"\"tools\":[],",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"\"",
        b"\\u0068",
        b"{\"name\":\"h\\u0069dden\"},",
        b" ",
        b"null",
    ];
    let edit = (
        any::<prop::sample::Index>(),
        0..2_usize,
        proptest::sample::select(words),
    );
    vec(edit, 0..3).prop_map(move |edits| {
        let mut text = seed.to_vec();
        for (at, remove, insert) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.iter().copied());
        }
        text
    })
}

#[test]
fn the_seeds_and_their_prefixes_are_read_alike_at_every_alignment() {
    for seed in SEEDS {
        for pad in 0..66 {
            let text = [" ".repeat(pad).as_bytes(), seed.as_bytes()].concat();
            both_ways(&text);
        }
        for end in 0..seed.len() {
            both_ways(&seed.as_bytes()[..end]);
        }
    }
}

#[test]
fn a_number_at_the_end_of_the_text_is_read_alike() {
    for number in [
        "0", "-", "1.", "1e", "-0", "12", "1e5", "nul", "null", "true ", "fals", "1 ",
    ] {
        both_ways(number.as_bytes());
        both_ways(format!("[{number}").as_bytes());
        both_ways(format!("[{number}]").as_bytes());
    }
}

#[test]
fn depth_and_nodes_are_bounded_alike() {
    for depth in [63, 64, 65, 66, 1000] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(both_ways(text.as_bytes()).is_some(), depth <= 64, "{depth}");
        let text = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(both_ways(text.as_bytes()).is_some(), depth <= 64, "{depth}");
    }
    for elements in [199_998, 199_999, 200_000, 200_001] {
        let text = format!("[{}0]", "0,".repeat(elements - 1));
        assert_eq!(
            both_ways(text.as_bytes()).is_some(),
            elements < 200_000,
            "{elements}"
        );
    }
}
