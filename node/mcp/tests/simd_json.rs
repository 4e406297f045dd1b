//! What is accepted means the same to simd-json, whose vector code shares nothing with ours.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic as the tests do"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use simd_json::prelude::*;
use simd_json::{BorrowedValue, to_borrowed_value};

use tollbook_mcp::{Limits, Parser};
use tollbook_policy::json::{Kind, Value};

const CALL: &str = r#" {"jsonrpc": "2.0","id":7,"method":"tools\/call","params":{"name":"a.b",
"arguments":{"url":"https://x/é","n":[1.50e+3,18446744073709551615,-3,true,false,null],"":{},
"note":"a \"b\" \ud83d\ude00\n","k\u0065y":[[],[{}]],"0123456789":"12345678","01234567":"x"}}} "#;

fn equal(ours: Value<'_>, theirs: &BorrowedValue<'_>) -> bool {
    match ours.kind() {
        Kind::Null => theirs.is_null(),
        Kind::Bool => theirs.as_bool() == ours.as_bool(),
        Kind::String => theirs.as_str().is_some_and(|text| ours.is_str(text)),
        Kind::Number => {
            let text = ours.number_text().unwrap();
            match (theirs.as_u64(), theirs.as_i64()) {
                (Some(number), _) => text.parse() == Ok(number) || text == "-0",
                (None, Some(number)) => text.parse() == Ok(number),
                (None, None) => text.parse().ok() == theirs.as_f64(),
            }
        }
        Kind::Array => theirs.as_array().is_some_and(|theirs| {
            let mut pairs = ours.elements().zip(theirs);
            ours.len() == theirs.len() && pairs.all(|(ours, theirs)| equal(ours, theirs))
        }),
        Kind::Object => theirs.as_object().is_some_and(|theirs| {
            let mut members = theirs.iter();
            let alike = |(key, theirs): (_, &BorrowedValue<'_>)| {
                let key: &std::borrow::Cow<'_, str> = key;
                ours.get(key).is_some_and(|ours| equal(ours, theirs))
            };
            ours.len() == theirs.len() && members.all(alike)
        }),
    }
}

fn agree(text: &str) -> bool {
    let read = Parser::new(Limits::DEFAULT.json).parse(text.as_bytes().to_vec());
    let mut bytes = text.as_bytes().to_vec();
    if let Ok(ours) = &read {
        let theirs = to_borrowed_value(&mut bytes).unwrap();
        assert!(equal(ours.root(), &theirs), "{text}");
    }
    read.is_ok()
}

proptest! {
    // A finding becomes a case by name.
    #![proptest_config(ProptestConfig {
        cases: 4096,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_call_with_bytes_changed_is_read_alike_where_it_is_accepted(
        edits in vec((0..CALL.len(), 0..2_usize, "[\"\\\\{}\\[\\],: 0e.u-]{0,2}"), 0..3),
        pad in 0..70_usize,
    ) {
        let mut text = CALL.to_owned();
        for (at, remove, insert) in edits {
            let end = (at + remove).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &insert);
            }
        }
        // So that what follows lies otherwise in the blocks of the vector code.
        agree(&format!("{}{text}", " ".repeat(pad)));
    }
}

#[test]
fn the_call_itself_is_accepted() {
    assert!(agree(CALL));
}
