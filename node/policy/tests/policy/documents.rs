//! Reading JSON: against `serde_json`, at its limits, and from a tape of someone else's making.

use proptest::prelude::{Strategy as _, any, prop, prop_oneof, proptest};

use tollbook_policy::json::{
    BuildErrorKind, Builder, Json, Kind, ParseErrorKind, ProfileErrorKind, ProfileLimits, Value,
    parse,
};

fn read(text: &str) -> Result<Json, ParseErrorKind> {
    parse(text.to_owned(), &ProfileLimits::CALL).map_err(|error| error.kind)
}

fn profile(text: &str) -> ProfileErrorKind {
    match read(text) {
        Err(ParseErrorKind::Profile(kind)) => kind,
        other => panic!("{other:?}: {text}"),
    }
}

/// What `serde_json` makes of the same text.
fn same(ours: Value<'_>, theirs: &serde_json::Value) -> bool {
    match theirs {
        serde_json::Value::Null => ours.is_null(),
        serde_json::Value::Bool(theirs) => ours.as_bool() == Some(*theirs),
        serde_json::Value::Number(theirs) => {
            let binary = ours.number_text().and_then(|text| text.parse::<f64>().ok());
            let theirs = theirs.as_f64().expect("a number");
            // serde_json may be off by the last bits.
            binary.is_some_and(|ours| (ours - theirs).abs() <= theirs.abs() * 1e-12)
        }
        serde_json::Value::String(theirs) => {
            ours.is_str(theirs) && ours.as_str().is_some_and(|ours| ours == *theirs)
        }
        serde_json::Value::Array(theirs) => {
            ours.kind() == Kind::Array
                && ours.len() == theirs.len()
                && ours
                    .elements()
                    .zip(theirs)
                    .all(|(ours, theirs)| same(ours, theirs))
        }
        serde_json::Value::Object(theirs) => {
            ours.kind() == Kind::Object
                && ours.len() == theirs.len()
                && theirs
                    .iter()
                    .all(|(key, theirs)| ours.get(key).is_some_and(|ours| same(ours, theirs)))
        }
    }
}

#[track_caller]
fn compare(text: &str) {
    let theirs = serde_json::from_str::<serde_json::Value>(text);
    match (read(text), theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert!(same(ours.root(), &theirs), "{text}");
            assert_eq!(
                ours.root().raw(),
                text.trim_matches([' ', '\n', '\r', '\t'])
            );
            assert_eq!(ours.text(), text);
        }
        // Stricter than serde_json on purpose, never laxer.
        (Err(ParseErrorKind::Profile(_)), _) | (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) => panic!("only we refuse: {error:?}: {text}"),
        (Ok(_), Err(error)) => panic!("only serde_json refuses: {error}: {text}"),
    }
}

/// One text a line, with names for what a line cannot hold.
fn lines(file: &str) -> Vec<String> {
    let unescape = |line: &str| {
        line.replace("<LF>", "\n")
            .replace("<TAB>", "\t")
            .replace("<CR>", "\r")
            .replace("<NUL>", "\0")
            .replace("<VT>", "\u{b}")
            .replace("<BOM>", "\u{feff}")
            .replace("<NBSP>", "\u{a0}")
    };
    file.lines().map(unescape).collect()
}

#[test]
fn texts_that_are_no_json_are_refused_as_serde_json_does() {
    for text in lines(include_str!("../corpus/not-json.txt")) {
        assert!(read(&text).is_err(), "{text}");
        compare(&text);
    }
}

#[test]
fn texts_that_are_json_are_read_as_serde_json_does() {
    for text in lines(include_str!("../corpus/json.txt")) {
        assert!(read(&text).is_ok(), "{text}");
        compare(&text);
    }
}

#[test]
fn what_servers_could_read_differently_is_refused() {
    use ProfileErrorKind as Kind;
    for (text, kind) in [
        (r#"{"a":1,"a":1}"#, Kind::DuplicateKey),
        (r#"{"a":1,"\u0061":2}"#, Kind::DuplicateKey),
        (r#"{"x":[{"k":{"a":1,"b":2,"a":3}}]}"#, Kind::DuplicateKey),
        (r#"{"":1,"":2}"#, Kind::DuplicateKey),
        (r#"{"name\u0000":1}"#, Kind::ControlInKey),
        ("{\"na\u{7f}me\":1}", Kind::ControlInKey),
        ("{\"na\u{85}me\":1}", Kind::ControlInKey),
        (r#"{"__proto__":1}"#, Kind::Proto),
        (r#"{"a":[{"__pr\u006fto__":1}]}"#, Kind::Proto),
        ("18446744073709551616", Kind::IntegerRange),
        ("-9223372036854775809", Kind::IntegerRange),
        ("[1e400]", Kind::NumberRange),
        ("-1e309", Kind::NumberRange),
        ("1e-400", Kind::NumberRange),
        (r#""\ud800""#, Kind::LoneSurrogate),
        (r#"{"\udfff":1}"#, Kind::LoneSurrogate),
    ] {
        assert_eq!(profile(text), kind, "{text}");
    }
    for text in [
        r#"{"a":{"a":1},"b":{"a":1}}"#,
        r#"{"A":1,"a":1}"#,
        r#"{"__proto":1,"constructor":2}"#,
        r#"{"a":"__proto__\u0000"}"#,
        "0e400",
        "0.0e-400",
        "18446744073709551615",
        "-9223372036854775808",
        "18446744073709551616.0",
    ] {
        assert!(read(text).is_ok(), "{text}");
    }
}

#[test]
fn duplicates_are_found_among_few_keys_and_many() {
    for count in [2, 15, 16, 17, 18, 200] {
        for (first, second) in [(0, count - 1), ((count - 1) / 2, count - 1), (0, 1)] {
            let mut keys: Vec<String> = (0..count).map(|index| format!("\"k{index}\"")).collect();
            let all = keys
                .iter()
                .map(|key| format!("{key}:0"))
                .collect::<Vec<_>>()
                .join(",");
            assert!(read(&format!("{{{all}}}")).is_ok());
            for spelling in [format!("\"k{first}\""), format!("\"\\u006b{first}\"")] {
                keys[second] = spelling;
                let all = keys
                    .iter()
                    .map(|key| format!("{key}:0"))
                    .collect::<Vec<_>>()
                    .join(",");
                let text = format!("{{{all}}}");
                let error = parse(text.clone(), &ProfileLimits::CALL).expect_err("a duplicate");
                let kind = ParseErrorKind::Profile(ProfileErrorKind::DuplicateKey);
                assert_eq!(error.kind, kind, "{text}");
                assert!(
                    text.get(error.at..)
                        .is_some_and(|rest| rest.starts_with(&keys[second])),
                    "{text} {}",
                    error.at
                );
            }
        }
    }
}

#[test]
fn each_limit_of_a_document_has_its_own_error() {
    let limits = ProfileLimits {
        document_bytes: 60,
        depth: 3,
        nodes: 12,
        object_keys: 3,
        key_bytes: 4,
        number_bytes: 6,
    };
    let outcome = |text: &str| {
        parse(text.to_owned(), &limits)
            .err()
            .map(|error| error.kind)
    };
    for (within, beyond, kind) in [
        (
            " ".repeat(59) + "1",
            " ".repeat(60) + "1",
            ProfileErrorKind::DocumentBytes { limit: 60 },
        ),
        (
            "[[[1]]]".to_owned(),
            "[[[[1]]]]".to_owned(),
            ProfileErrorKind::Depth { limit: 3 },
        ),
        (
            "[{\"a\":[]}]".to_owned(),
            "[{\"a\":[{}]}]".to_owned(),
            ProfileErrorKind::Depth { limit: 3 },
        ),
        (
            "[1,1,1,1,1,1,1,1,1,1,1]".to_owned(),
            "[1,1,1,1,1,1,1,1,1,1,1,1]".to_owned(),
            ProfileErrorKind::Nodes { limit: 12 },
        ),
        (
            r#"{"a":1,"b":1,"c":1}"#.to_owned(),
            r#"{"a":1,"b":1,"c":1,"d":1}"#.to_owned(),
            ProfileErrorKind::ObjectKeys { limit: 3 },
        ),
        (
            r#"{"abcd":1}"#.to_owned(),
            r#"{"abcde":1}"#.to_owned(),
            ProfileErrorKind::KeyBytes { limit: 4 },
        ),
        (
            "123456".to_owned(),
            "123.456".to_owned(),
            ProfileErrorKind::NumberBytes { limit: 6 },
        ),
    ] {
        assert_eq!(outcome(&within), None, "{within}");
        assert_eq!(
            outcome(&beyond),
            Some(ParseErrorKind::Profile(kind)),
            "{beyond}"
        );
    }
    let deep = "[".repeat(200_000);
    assert!(matches!(
        read(&deep),
        Err(ParseErrorKind::Profile(ProfileErrorKind::Depth { .. }))
    ));
}

fn build(text: &str, fill: &dyn Fn(&mut Builder)) -> Result<Json, BuildErrorKind> {
    let mut builder = Builder::default();
    fill(&mut builder);
    builder.finish(text.to_owned()).map_err(|error| error.kind)
}

#[test]
fn a_tape_that_fits_its_text_is_a_document() {
    let whole = build(" {\"a\": [1, \"b\\n\"]} ", &|tape| {
        tape.open_object(1);
        tape.string(2..5, false);
        tape.open_array(7);
        tape.number(8..9);
        tape.string(11..16, true);
        tape.close(17);
        tape.close(18);
    });
    let whole = whole.expect("it fits");
    assert_eq!(whole.root().raw(), "{\"a\": [1, \"b\\n\"]}");
    let text = whole
        .root()
        .get("a")
        .and_then(|a| a.element(1))
        .and_then(Value::as_str);
    assert_eq!(text.as_deref(), Some("b\n"));
}

/// A step of a builder: a kind's letter and its span, or one end of it.
fn steps(tape: &mut Builder, steps: &[(char, usize, usize)]) {
    for (kind, start, end) in steps.iter().copied() {
        match kind {
            '[' => tape.open_array(start),
            '{' => tape.open_object(start),
            '<' => tape.close(end),
            'n' => tape.number(start..end),
            'z' => tape.null(start..end),
            's' => tape.string(start..end, false),
            'e' => tape.string(start..end, true),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_tape_that_does_not_fit_its_text_is_no_document() {
    use BuildErrorKind as Wrong;
    for (text, nodes, wrong) in [
        ("1", &[][..], Wrong::Shape),
        ("12", &[('n', 0, 1)], Wrong::Between),
        ("1", &[('n', 0, 2)], Wrong::Span),
        ("1", &[('n', 0, 0)], Wrong::Span),
        ("x", &[('n', 0, 1)], Wrong::Delimiter),
        ("true", &[('z', 0, 4)], Wrong::Delimiter),
        ("[", &[('[', 0, 1)], Wrong::Nesting),
        ("1]", &[('n', 0, 1), ('<', 1, 2)], Wrong::Nesting),
        ("1 2", &[('n', 0, 1), ('n', 2, 3)], Wrong::Shape),
        (
            "{1:2}",
            &[('{', 0, 1), ('n', 1, 2), ('n', 3, 4), ('<', 4, 5)],
            Wrong::Shape,
        ),
        (
            "{\"a\"}",
            &[('{', 0, 1), ('s', 1, 4), ('<', 4, 5)],
            Wrong::Shape,
        ),
        // A string that would swallow the next: the quotes inside give it away.
        (
            "[\"a\",\"b\"]",
            &[('[', 0, 1), ('s', 1, 8), ('<', 8, 9)],
            Wrong::String,
        ),
        // One that is left out.
        (
            "[\"a\",\"b\"]",
            &[('[', 0, 1), ('s', 1, 4), ('<', 8, 9)],
            Wrong::Between,
        ),
        ("\"a\\n\"", &[('s', 0, 5)], Wrong::String),
        ("\"an\"", &[('e', 0, 4)], Wrong::String),
        ("\"a\\\"", &[('e', 0, 4)], Wrong::String),
        (
            "[1}",
            &[('[', 0, 1), ('n', 1, 2), ('<', 2, 3)],
            Wrong::Delimiter,
        ),
        (
            "[[1],2]",
            &[
                ('[', 0, 1),
                ('[', 1, 2),
                ('n', 2, 3),
                ('n', 5, 6),
                ('<', 0, 7),
                ('<', 0, 4),
            ],
            Wrong::Between,
        ),
    ] {
        let built = build(text, &|tape| steps(tape, nodes));
        assert_eq!(built.err(), Some(wrong), "{text} {nodes:?}");
    }
}

/// Documents and near misses, in the letters that matter.
fn json_like() -> impl proptest::strategy::Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\\u",
            "d83d",
            "\\ude00",
            "null",
            "true",
            "false",
            "-",
            "0",
            "1",
            "9",
            ".",
            "e",
            "E",
            "+",
            " ",
            "\n",
            "\"a\"",
            "\"b\":",
            "\"a\":",
            "18446744073709551615",
            "é",
            "\u{7f}",
            "\u{feff}",
            "[]",
            "{}",
            "1e5",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn document() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        proptest::strategy::Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        proptest::num::f64::NORMAL.prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-z\"\\\\é]{0,4}", inner, 0..6)
                .prop_map(|members| { serde_json::Value::Object(members.into_iter().collect()) }),
        ]
    })
}

proptest! {
    #[test]
    fn near_misses_are_read_as_serde_json_reads_them(text in json_like()) {
        compare(&text);
    }

    #[test]
    fn documents_are_read_as_serde_json_reads_them(value in document()) {
        let text = serde_json::to_string_pretty(&value).expect("a document");
        assert!(read(&text).is_ok(), "{text}");
        compare(&text);
        compare(&serde_json::to_string(&value).expect("a document"));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        assert!(read(&text).is_err() || serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}
