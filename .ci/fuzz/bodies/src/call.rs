//! Bytes as the body of a request.

use std::sync::LazyLock;

use tollbook_mcp::{Limits, Message, Parser, Reader, ToolCall};
use tollbook_policy::json::{Json, Kind, ProfileLimits, Value, parse};
use tollbook_policy::{Policy, check};

use crate::outcome::Outcome;
use crate::tree::{Spelling, Tree};

const JSON: ProfileLimits = Limits::DEFAULT.json;

/// A policy that uses all of the language.
static RICH: LazyLock<Policy> =
    LazyLock::new(|| check(include_str!("rich.policy.json")).expect("it loads"));

/// The vector reader, the scalar one and `serde_json` with the profile's words accept the same
/// bodies and read the same at every path; an accepted call is decided alike however it is spelt.
///
/// # Panics
/// If that does not hold.
pub fn call(data: &[u8]) {
    let text = std::str::from_utf8(data).ok();
    let fast = Parser::new(JSON).parse(data.to_vec()).ok();
    let slow = text.and_then(|text| parse(text.to_owned(), &JSON).ok());
    let tree = text.and_then(|text| Tree::read(text, JSON.depth));
    // What is too large for a document of these many bytes is for other tests.
    let tree = tree.filter(|tree| tree.is_unambiguous());
    assert_eq!(fast.is_some(), slow.is_some(), "vector and scalar");
    assert_eq!(slow.is_some(), tree.is_some(), "scalar and serde_json");
    let mut reader = Reader::new(Limits::DEFAULT);
    let message = reader.read(data.to_vec());
    let (Some(fast), Some(slow), Some(tree)) = (fast, slow, tree) else {
        assert!(message.is_err());
        return;
    };
    assert_eq!(fast.text().as_bytes(), data);
    assert_eq!(spans(&fast), spans(&slow));
    assert_eq!(Tree::of_ours(fast.root()), tree);
    assert_eq!(Tree::of_ours(slow.root()), tree);
    if let Ok(message) = message {
        decided(&message, &tree, &mut reader);
        assert_eq!(message.into_body(), data);
    }
}

fn decided(message: &Message, tree: &Tree, reader: &mut Reader) {
    assert_eq!(tree.get("jsonrpc").and_then(Tree::text), Some("2.0"));
    assert_eq!(tree.get("method").and_then(Tree::text), message.method());
    let Some(ToolCall { name, arguments }) = message.tool_call() else {
        return;
    };
    let params = tree.get("params").expect("a call has them");
    assert_eq!(params.get("name").and_then(Tree::text), Some(&*name));
    assert_eq!(params.get("arguments").is_some(), arguments.is_some());
    let outcome = Outcome::of(&RICH, &name, arguments);
    assert_eq!(Outcome::of(&RICH, &name, arguments), outcome);
    for spelling in [Spelling::Odd, Spelling::Plain] {
        let text = tree.write(spelling);
        // Escapes are longer: a name or id may now be over its limit.
        if let Ok(again) = reader.read(text.into_bytes()) {
            let call = again.tool_call().expect("still a call");
            assert_eq!(call.name, name);
            assert_eq!(Outcome::of(&RICH, &name, call.arguments), outcome);
        }
    }
}

/// Kind and place of every value and key, in the order of the text.
fn spans(json: &Json) -> Vec<(Kind, std::ops::Range<usize>)> {
    let mut spans = Vec::new();
    add_spans(json.root(), &mut spans);
    spans
}

fn add_spans(value: Value<'_>, spans: &mut Vec<(Kind, std::ops::Range<usize>)>) {
    spans.push((value.kind(), value.span()));
    for (key, member) in value.entries() {
        spans.push((key.kind(), key.span()));
        add_spans(member, spans);
    }
    for element in value.elements() {
        add_spans(element, spans);
    }
}
