//! The digest names what a policy means. FORMAT.md says how; here is its second reader.

use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use sha2::{Digest as _, Sha256};

use tollbook_policy::check;
use tollbook_policy::json::{Kind, Value};

use crate::common::{document, load};
use crate::strategies;

#[test]
fn texts_that_mean_the_same_have_one_digest() {
    let digest = |text: &str| load(text).digest();
    let plain = r#"{"version":"1","default":"deny","tools":{"a":{},"t":{"require":[{"conditions":
        [{"path":"args.x","op":"eq","value":{"k":100,"l":["é",true]}}],"on_deny":"no"}],
        "limits":[{"counter":"c","window":"day","scope":"grant","max":5}]}}}"#;
    let spelt_otherwise = "\n{ \"tools\" : {\"t\":{\"limits\":[{\"max\":5.0,\"scope\":\"grant\",
        \"window\":\"day\",\"c\\u006funter\":\"c\"}],\"require\":[{\"on_deny\":\"no\",
        \"conditions\":[{\"value\":{\"l\":[\"\\u00e9\",true],\"k\":1e2},\"op\":\"eq\",
        \"path\":\"args.x\"}]}]}, \"a\":{}},\"default\":\"deny\",\"version\":\"1\" }\n";
    assert_eq!(digest(plain), digest(spelt_otherwise));
    assert_eq!(load(plain).rules(), load(spelt_otherwise).rules());
    assert_eq!(load(plain).limits(), load(spelt_otherwise).limits());
}

#[test]
fn every_change_changes_the_digest() {
    let texts = [
        r#"{"version":"1"}"#,
        r#"{"version":"1","default":"deny"}"#,
        r#"{"version":"1","default":"allow"}"#,
        r#"{"version":"1","description":""}"#,
        r#"{"version":"1","description":"d"}"#,
        r#"{"version":"1","hide":["a","b"]}"#,
        r#"{"version":"1","hide":["b","a"]}"#,
        r#"{"version":"1","hide":["ab"]}"#,
        r#"{"version":"1","tools":{}}"#,
        r#"{"version":"1","tools":{"a":{},"b":{}}}"#,
        r#"{"version":"1","tools":{"ab":{}}}"#,
        r#"{"version":"1","tools":{"a":{"deny":"x"}}}"#,
        r#"{"version":"1","tools":{"a":{"deny":"y"}}}"#,
        r#"{"version":"1","tools":{"a":{"deny":"1"}}}"#,
    ];
    let condition = |path: &str, value: &str| {
        format!(
            r#"{{"version":"1","tools":{{"t":{{"require":[{{"conditions":
            [{{"path":"{path}","op":"eq","value":{value}}}]}}]}}}}}}"#
        )
    };
    let values = [
        "1",
        "-1",
        "10",
        "0.1",
        "\"1\"",
        "true",
        "false",
        "[1]",
        "[1,1]",
        "[[1],1]",
        "[[1,1]]",
        "{}",
        "{\"a\":1}",
        "{\"b\":1}",
        "\"\"",
        "\"+\"",
        "{\"a\":{\"b\":1}}",
        "{\"a\":{},\"b\":1}",
    ];
    let mut digests = BTreeMap::new();
    let all = texts.iter().map(|text| (*text).to_owned());
    let conditions = values.iter().map(|value| condition("args.x", value));
    // The same place, but the pointer that people read is another.
    let spelt = std::iter::once(condition(r#"args[\"x\"]"#, "1"));
    for text in all.chain(conditions).chain(spelt) {
        let other = digests.insert(load(&text).digest(), text.clone());
        assert_eq!(other, None, "{text}");
    }
}

#[test]
fn a_published_policy_keeps_its_digest() {
    let text = include_str!("../../../../deploy/policies/refund-over-100.json");
    assert_eq!(
        hex(&load(text).digest()),
        "dc7fc10f4949599b4cad9b69cc355d0d65d717968454da1ee08b0b81d2dc8953"
    );
}

/// A document, with numbers as sign, digits without zeros at the ends, and exponent.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Null,
    Bool(bool),
    Number(bool, u64, i64),
    Text(String),
    Array(Vec<Self>),
    /// Sorted by key.
    Object(BTreeMap<String, Self>),
}

impl Tree {
    fn of(value: Value<'_>) -> Self {
        match value.kind() {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool(value.as_bool().expect("a boolean")),
            Kind::Number => Self::number(value.number_text().expect("a number")),
            Kind::String => Self::Text(value.as_str().expect("a string").into()),
            Kind::Array => Self::Array(value.elements().map(Self::of).collect()),
            Kind::Object => Self::Object(
                value
                    .entries()
                    .map(|(key, value)| (key.as_str().expect("a key").into(), Self::of(value)))
                    .collect(),
            ),
        }
    }

    /// By moving the point and dropping zeros, as one does on paper.
    fn number(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let (mantissa, power) = lower.split_once('e').unwrap_or((&lower, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
        let significant = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - significant.len()).expect("short");
        let places = i64::try_from(fraction.len()).expect("short");
        match significant.trim_start_matches('0') {
            "" => Self::Number(false, 0, 0),
            size => Self::Number(
                whole.starts_with('-'),
                size.parse().expect("at most 17 digits"),
                power.parse::<i64>().expect("an exponent") + zeros - places,
            ),
        }
    }

    /// As FORMAT.md says.
    fn write(&self, bytes: &mut Vec<u8>) {
        let counted = |bytes: &mut Vec<u8>, tag, count: usize| {
            bytes.push(tag);
            bytes.extend(u64::try_from(count).expect("a count").to_be_bytes());
        };
        match self {
            Self::Null => bytes.push(b'z'),
            Self::Bool(value) => bytes.push(if *value { b't' } else { b'f' }),
            Self::Number(negative, coefficient, exponent) => {
                bytes.push(if *negative { b'-' } else { b'+' });
                bytes.extend(coefficient.to_be_bytes());
                bytes.extend(exponent.to_be_bytes());
            }
            Self::Text(text) => {
                counted(bytes, b's', text.len());
                bytes.extend(text.as_bytes());
            }
            Self::Array(elements) => {
                counted(bytes, b'a', elements.len());
                elements.iter().for_each(|element| element.write(bytes));
            }
            Self::Object(members) => {
                counted(bytes, b'o', members.len());
                for (key, member) in members {
                    Self::Text(key.clone()).write(bytes);
                    member.write(bytes);
                }
            }
        }
    }

    /// Reads back what [`Tree::write`] wrote.
    fn read(bytes: &mut &[u8]) -> Self {
        fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
            let (taken, rest) = bytes.split_first_chunk::<N>().expect("enough bytes");
            *bytes = rest;
            *taken
        }
        fn count(bytes: &mut &[u8]) -> usize {
            usize::try_from(u64::from_be_bytes(take(bytes))).expect("a count")
        }
        let [tag] = take(bytes);
        match tag {
            b'z' => Self::Null,
            b't' | b'f' => Self::Bool(tag == b't'),
            b'+' | b'-' => Self::Number(
                tag == b'-',
                u64::from_be_bytes(take(bytes)),
                i64::from_be_bytes(take(bytes)),
            ),
            b's' => {
                let length = count(bytes);
                let (text, rest) = bytes.split_at(length);
                *bytes = rest;
                Self::Text(String::from_utf8(text.to_vec()).expect("UTF-8"))
            }
            b'a' => {
                let count = count(bytes);
                Self::Array((0..count).map(|_| Self::read(bytes)).collect())
            }
            b'o' => {
                let count = count(bytes);
                let member = |bytes: &mut &[u8]| {
                    let Self::Text(key) = Self::read(bytes) else {
                        panic!("a key is a string");
                    };
                    (key, Self::read(bytes))
                };
                Self::Object((0..count).map(|_| member(bytes)).collect())
            }
            tag => panic!("no tag: {tag}"),
        }
    }

    /// The text of this document, spelt one of many ways: order of members, white space, escapes
    /// and exponents follow `ways`.
    fn spell(&self, ways: &mut impl Iterator<Item = u8>, text: &mut String) {
        let way = ways.next().unwrap_or_default();
        let space = ["", " ", "\n\t", "\r\n  "][usize::from(way % 4)];
        text.push_str(space);
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(_, 0, _) => {
                text.push_str(["0", "-0", "0.0", "-0e7"][usize::from(way / 4 % 4)]);
            }
            Self::Number(negative, coefficient, exponent) => {
                text.push_str(if *negative { "-" } else { "" });
                let shift = i64::from(way / 4 % 3);
                let zeros = usize::try_from(shift).expect("small");
                let power = exponent - shift;
                text.push_str(&format!("{coefficient}{}", "0".repeat(zeros)));
                match (way / 16 % 2, power) {
                    (0, 0) => {}
                    (0, _) => text.push_str(&format!("e{power}")),
                    (_, _) => text.push_str(&format!(".00E{power:+}")),
                }
            }
            Self::Text(value) => spell_text(value, ways, text),
            Self::Array(elements) => {
                text.push('[');
                for (index, element) in elements.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    element.spell(ways, text);
                }
                text.push_str(space);
                text.push(']');
            }
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                let turn = usize::from(way) % members.len().max(1);
                members.rotate_left(turn);
                if way % 2 == 1 {
                    members.reverse();
                }
                text.push('{');
                for (index, (key, member)) in members.into_iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    text.push_str(space);
                    spell_text(key, ways, text);
                    text.push_str(space);
                    text.push(':');
                    member.spell(ways, text);
                }
                text.push('}');
            }
        }
        text.push_str(space);
    }

    /// This document with one place changed: every change of every place, one at a time.
    fn changes(&self) -> Vec<Self> {
        let mut changed = match self {
            Self::Null => vec![],
            Self::Bool(value) => vec![Self::Bool(!value)],
            Self::Number(negative, coefficient, exponent) => {
                let sign = if *negative { "" } else { "-" };
                vec![
                    Self::number(&format!("{sign}{coefficient}e{exponent}")),
                    Self::number(&format!("{}e{exponent}", coefficient + 1)),
                    Self::number(&format!("{coefficient}e{}", exponent + 1)),
                    Self::Text(format!("{coefficient}")),
                ]
            }
            Self::Text(value) => {
                let but_last: String = value.chars().skip(1).collect();
                [
                    &format!("{value}x"),
                    &format!("x{value}"),
                    &but_last,
                    "*",
                    "1",
                ]
                .map(|other| Self::Text(other.to_owned()))
                .to_vec()
            }
            Self::Array(elements) => changes_of_array(elements),
            Self::Object(members) => changes_of_object(members),
        };
        changed.extend([
            Self::Array(vec![self.clone()]),
            Self::Object(BTreeMap::new()),
        ]);
        changed.extend([Self::Text(String::new()), Self::Bool(true)]);
        changed.extend([Self::Number(false, 1, 0), Self::Array(Vec::new())]);
        changed.retain(|other| other != self);
        changed
    }
}

fn changes_of_array(elements: &[Tree]) -> Vec<Tree> {
    let mut changed = Vec::new();
    for index in 0..elements.len() {
        let mut fewer = elements.to_vec();
        let taken = fewer.remove(index);
        changed.push(Tree::Array(fewer.clone()));
        fewer.push(taken.clone());
        changed.push(Tree::Array(fewer));
        let mut twice = elements.to_vec();
        twice.insert(index, taken);
        changed.push(Tree::Array(twice));
        for other in elements[index].changes() {
            let mut elements = elements.to_vec();
            elements[index] = other;
            changed.push(Tree::Array(elements));
        }
    }
    changed
}

fn changes_of_object(members: &BTreeMap<String, Tree>) -> Vec<Tree> {
    let mut changed = Vec::new();
    for (key, member) in members {
        let mut fewer = members.clone();
        fewer.remove(key);
        changed.push(Tree::Object(fewer.clone()));
        for other in ["increment", "description", "value", "not", "t", "*"] {
            let mut renamed = fewer.clone();
            renamed.insert(other.to_owned(), member.clone());
            changed.push(Tree::Object(renamed));
        }
        let mut more = members.clone();
        more.insert(format!("{key}x"), member.clone());
        changed.push(Tree::Object(more));
        for other in member.changes() {
            let mut members = members.clone();
            members.insert(key.clone(), other);
            changed.push(Tree::Object(members));
        }
    }
    changed
}

fn spell_text(value: &str, ways: &mut impl Iterator<Item = u8>, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        let way = ways.next().unwrap_or_default() % 4;
        match c {
            '"' | '\\' if way > 0 => text.push_str(&format!("\\{c}")),
            '/' if way == 1 => text.push_str("\\/"),
            _ if way > 1 || c.is_control() || matches!(c, '"' | '\\') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let digits = if way == 2 {
                        format!("{unit:04x}")
                    } else {
                        format!("{unit:04X}")
                    };
                    text.push_str(&format!("\\u{digits}"));
                }
            }
            _ => text.push(c),
        }
    }
    text.push('"');
}

fn canonical(tree: &Tree) -> Vec<u8> {
    let mut bytes = b"tollbook policy canonical form 1\0".to_vec();
    tree.write(&mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spelt(tree: &Tree, ways: &[u8]) -> String {
    let mut text = String::new();
    tree.spell(&mut ways.iter().copied().cycle().take(1 << 20), &mut text);
    text
}

#[test]
fn the_example_of_the_page_is_as_it_says() {
    let page = include_str!("../../FORMAT.md");
    let fence = |tag: &str| {
        let begins = format!("```{tag}\n");
        let (_, after) = page.split_once(&begins).expect("a fence");
        after.split_once("```").expect("its end").0
    };
    let bytes: String = fence("hex")
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let policy = load(fence("json"));
    let tree = Tree::of(document(fence("json").trim()).root());
    assert_eq!(hex(&canonical(&tree)), bytes);
    assert_eq!(Sha256::digest(canonical(&tree))[..], policy.digest());
    let says = format!("SHA-256 `{}`", hex(&policy.digest()));
    assert!(page.contains(&says), "{says}");
}

const SEEDS: [&str; 5] = [
    include_str!("../corpus/rows.json"),
    include_str!("../corpus/everything.json"),
    include_str!("../../../../deploy/policies/kubernetes-namespaces.json"),
    include_str!("../../../../deploy/policies/refund-strict.json"),
    include_str!("../../../../deploy/policies/slack-channels-strict.json"),
];

#[test]
fn any_change_of_any_place_that_still_loads_has_a_digest_of_its_own() {
    // Digest to canonical form: two forms under one digest would be found here.
    let mut forms: BTreeMap<[u8; 32], Vec<u8>> = BTreeMap::new();
    let mut loaded = 0;
    for seed in SEEDS {
        let tree = Tree::of(document(seed).root());
        let own = load(seed).digest();
        assert_eq!(Sha256::digest(canonical(&tree))[..], own);
        for changed in tree.changes() {
            let Ok(policy) = check(&spelt(&changed, &[0])) else {
                continue;
            };
            loaded += 1;
            assert_ne!(policy.digest(), own, "{changed:?}");
            let form = canonical(&changed);
            let before = forms.insert(policy.digest(), form.clone());
            assert!(before.is_none_or(|before| before == form), "{changed:?}");
        }
    }
    assert!(loaded > 900, "{loaded}");
}

fn ways() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_spelling_of_any_policy_has_the_digest_of_the_page(
        text in strategies::policy(), one in ways(), two in ways()
    ) {
        let tree = Tree::of(document(&text).root());
        let digest = load(&text).digest();
        assert_eq!(Sha256::digest(canonical(&tree))[..], digest);
        for ways in [one, two] {
            let again = spelt(&tree, &ways);
            assert_eq!(Tree::of(document(&again).root()), tree, "{again}");
            assert_eq!(load(&again).digest(), digest, "{again}");
        }
    }

    #[test]
    fn canonical_bytes_are_read_back_to_the_one_document(text in strategies::policy()) {
        let tree = Tree::of(document(&text).root());
        let bytes = canonical(&tree);
        let mut rest = &bytes[33..];
        assert_eq!(Tree::read(&mut rest), tree);
        assert!(rest.is_empty());
    }

}

proptest! {
    // Few: each makes every change of its policy.
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn a_changed_policy_has_another_digest(
        text in strategies::policy(), at in any::<prop::sample::Index>()
    ) {
        let tree = Tree::of(document(&text).root());
        let changes = tree.changes();
        let changed = at.get(&changes);
        if let Ok(policy) = check(&spelt(changed, &[0])) {
            assert_ne!(policy.digest(), load(&text).digest(), "{changed:?}");
            assert_eq!(Sha256::digest(canonical(changed))[..], policy.digest());
        }
    }
}
