//! The one-pass reader against the scalar parser: what is accepted, and every node of it.
use proptest::collection::vec;
use proptest::prelude::*;

use tollbook_policy::json::{Json, Kind, ProfileLimits, Spare, Value, parse, read};

/// Everything that a reader of the document can see.
fn seen(json: &Json) -> Vec<(Kind, std::ops::Range<usize>, usize, Option<String>)> {
    fn walk(
        value: Value<'_>,
        out: &mut Vec<(Kind, std::ops::Range<usize>, usize, Option<String>)>,
    ) {
        let text = value.as_str().map(std::borrow::Cow::into_owned);
        out.push((value.kind(), value.span(), value.len(), text));
        for (key, value) in value.entries() {
            walk(key, out);
            walk(value, out);
        }
        value.elements().for_each(|element| walk(element, out));
    }
    let mut out = Vec::new();
    walk(json.root(), &mut out);
    out
}

fn fast(text: &str, limits: &ProfileLimits) -> Option<Json> {
    read(text.to_owned(), limits, &mut Spare::default()).ok()
}

/// Both ways accept the same, and see the same.
fn agree(text: &str, limits: &ProfileLimits) -> bool {
    let fast = fast(text, limits);
    let slow = parse(text.to_owned(), limits).ok();
    assert_eq!(fast.as_ref().map(seen), slow.as_ref().map(seen), "{text}");
    fast.is_some()
}

/// A document with the spaces that are asked for.
fn document() -> impl Strategy<Value = String> {
    let space = || proptest::sample::select(&["", "", "", " ", "\n", "\t \r\n"][..]);
    let string = || {
        let pieces = proptest::sample::select(
            &[
                "a",
                "bc",
                "amount",
                "é",
                "\u{7f}",
                "😀",
                "\\\"",
                "\\\\",
                "\\u0061",
                "\\ud83d\\ude00",
                "\\n",
                "/",
                " ",
                "12345678",
                "0123456789abcdef",
            ][..],
        );
        vec(pieces, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    };
    let scalar = prop_oneof![
        proptest::sample::select(
            &[
                "0",
                "-0",
                "1.5",
                "12e-3",
                "1E+2",
                "true",
                "false",
                "null",
                "18446744073709551615",
                "18446744073709551616",
                "1e400",
                "-9223372036854775808",
                "0.30000000000000004",
            ][..]
        )
        .prop_map(str::to_owned),
        string(),
    ];
    scalar.prop_recursive(5, 40, 20, move |inner| {
        let element = (space(), inner.clone(), space()).prop_map(|(a, b, c)| format!("{a}{b}{c}"));
        let member = (space(), string(), space(), inner, space())
            .prop_map(|(a, key, b, value, c)| format!("{a}{key}{b}:{b}{value}{c}"));
        prop_oneof![
            vec(element, 0..20).prop_map(|elements| format!("[{}]", elements.join(","))),
            vec(member, 0..20).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// Bytes that mean something to a parser.
const INSERTED: &str = "[\"\\\\{}\\[\\],: 0e.u-]{0,2}";

/// What a call may look like, with everything that the strict profile looks at.
const CALL: &str = r#" {"jsonrpc": "2.0","id":7,"method":"tools\/call","params":{"name":"a.b",
"arguments":{"url":"https://x/é","n":[-0,1.50e+3,18446744073709551615,true,false,null],"":{},
"note":"a \"b\" \ud83d\ude00\n","k\u0065y":[[],[{}]],"0123456789":"12345678","01234567":"x"}}} "#;

proptest! {
    // A finding becomes a case by name.
    #![proptest_config(ProptestConfig {
        cases: 2048,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn documents_are_read_alike(text in document()) {
        agree(&text, &ProfileLimits::CALL);
    }

    #[test]
    fn documents_with_bytes_changed_are_read_alike(
        text in document(),
        edits in vec((any::<prop::sample::Index>(), 0..2_usize, INSERTED), 1..4),
    ) {
        let mut text = text;
        for (at, remove, insert) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + remove).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &insert);
            }
        }
        agree(&text, &ProfileLimits::CALL);
    }

    #[test]
    fn memory_of_earlier_documents_changes_nothing(texts in vec(document(), 2..5)) {
        let mut spare = Spare::default();
        for text in texts {
            let used = read(text.clone(), &ProfileLimits::CALL, &mut spare);
            let fresh = fast(&text, &ProfileLimits::CALL);
            prop_assert_eq!(used.as_ref().ok().map(seen), fresh.as_ref().map(seen));
            if let Ok(json) = used {
                prop_assert_eq!(spare.recycle(json), text);
            }
        }
    }
}

#[test]
fn a_call_with_any_byte_replaced_removed_or_doubled_is_read_alike() {
    assert!(agree(CALL, &ProfileLimits::CALL));
    for (at, own) in CALL.char_indices() {
        let (before, from) = CALL.split_at(at);
        let after = from.strip_prefix(own).unwrap_or(from);
        agree(before, &ProfileLimits::CALL);
        agree(&format!("{before}{after}"), &ProfileLimits::CALL);
        agree(&format!("{before}{own}{own}{after}"), &ProfileLimits::CALL);
        for other in "\"\\{}[],: \n\u{1}\u{7f}é0-.e+tx".chars() {
            agree(&format!("{before}{other}{after}"), &ProfileLimits::CALL);
        }
    }
}

#[test]
fn letters_that_count_are_seen_at_every_place_of_a_word() {
    for len in 0..80 {
        for at in 0..=len {
            for odd in [
                "\\\"",
                "\\u0041",
                "\\ud83d\\ude00",
                "\\ud83d",
                "\\x",
                "é",
                "\u{1}",
                "\"",
            ] {
                let text = format!("{}{odd}{}", "a".repeat(at), "b".repeat(len - at));
                agree(&format!("[\"{text}\"]"), &ProfileLimits::CALL);
                agree(&format!("{{\"{text}\":1}}"), &ProfileLimits::CALL);
            }
        }
    }
}

#[test]
fn a_key_twice_is_found_however_many_there_are_and_however_it_is_spelt() {
    for keys in [2, 3, 15, 16, 17, 18, 40] {
        for long in ["", "longer than eight bytes "] {
            for (first, second) in [(0, keys - 1), (0, 1), (keys / 2, keys - 1)] {
                for again in ["key", "k\\u0065y", "kez"] {
                    let member = |index: usize| match index {
                        index if index == first => format!(r#""{long}key":1"#),
                        index if index == second => format!(r#""{long}{again}":1"#),
                        index => format!(r#""{long}{index}":{{"key":1}}"#),
                    };
                    let members: Vec<String> = (0..keys).map(member).collect();
                    let text = format!("{{{}}}", members.join(", "));
                    let accepted = agree(&text, &ProfileLimits::CALL);
                    assert_eq!(accepted, again == "kez" || first == second, "{text}");
                }
            }
        }
    }
}

#[test]
fn each_limit_holds_where_it_does_for_the_scalar_parser() {
    let text = r#"{"a":[1,22,333],"bb":{"ccc":{"d":1}},"e":"\n"}"#;
    let limits = ProfileLimits::CALL;
    for most in 0..30_u32 {
        let size = most as usize;
        agree(
            text,
            &ProfileLimits {
                depth: most,
                ..limits
            },
        );
        agree(
            text,
            &ProfileLimits {
                nodes: size,
                ..limits
            },
        );
        agree(
            text,
            &ProfileLimits {
                object_keys: size,
                ..limits
            },
        );
        agree(
            text,
            &ProfileLimits {
                key_bytes: size,
                ..limits
            },
        );
        agree(
            text,
            &ProfileLimits {
                number_bytes: size,
                ..limits
            },
        );
    }
    for depth in [1, 63, 64, 65, 500] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(agree(&text, &limits), depth <= 64);
        let text = format!("{}0{}", "{\"a\":[".repeat(depth), "]}".repeat(depth));
        assert_eq!(agree(&text, &limits), depth <= 32);
    }
}
