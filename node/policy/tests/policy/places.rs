//! What `url_in` and `path_in` accept, read a second time by plain readers: the generic syntax of
//! RFC 3986, and lexical normalisation as POSIX systems do it. Neither is what the crate does.

use std::cell::Cell;

use proptest::prelude::{ProptestConfig, Strategy, any, prop};
use proptest::test_runner::TestRunner;

use tollbook_policy::{Policy, Verdict};

use crate::common::{document, load};

const ADDRESSES: &[&str] = &[
    "https://docs.acme.com/a/b?x=1#y",
    "https://docs.acme.com:443/a",
    "https://docs.acme.com",
    "https://github.com/acme/repo/x",
    "https://github.com/x/../acme/y",
    "https://github.com/acme/a/../b",
    "https://github.com/acme//x/../y",
    "https://github.com/acme/C:/x/",
    "https://a.b.wild.example/x",
];

const PATHS: &[&str] = &[
    "/srv/data/a/b",
    "/srv/data",
    "/srv/x/../data/a",
    "/srv/data/a/../../data/b",
    "docs/a/b.md",
    "./docs/a/../b",
    "x/../docs/a",
];

const PIECES: &[&str] = &[
    "..",
    "../",
    "/..",
    "/../",
    "//",
    "/",
    "./",
    "/./",
    "\\",
    "@",
    "#",
    "?",
    ":",
    "%",
    ";",
    "%2e",
    "%2f",
    "%5c",
    "%252e",
    "%00",
    "%20",
    "%41",
    "%c3%a9",
    "%c0%ae",
    "..;",
    "/;/",
    "\t",
    "\n",
    " ",
    "\u{a0}",
    "\u{200b}",
    "\u{ad}",
    "\u{feff}",
    "\u{3002}",
    "\u{ff0e}",
    "\u{ff0f}",
    "\u{2215}",
    "é",
    "ß",
    "а",
    "A",
    "1",
    "-",
    "_",
    ".",
    "...",
    "[",
    "]",
    "[::1]",
    "127.0.0.1",
    "0x7f",
    "evil.example",
    "@evil.example",
    ":80",
    ":443",
    "xn--",
    "*",
    "~",
    "C:",
    "C|",
    "x|/",
    "/acme/",
    "docs",
    "\0",
    "%u002e",
    "?@",
    "#@",
    "file:",
];

/// A base with a few stretches replaced by pieces.
fn mutant(bases: &'static [&'static str]) -> impl Strategy<Value = String> {
    let change = (
        any::<prop::sample::Index>(),
        prop::sample::select(&[0_usize, 0, 0, 1, 1, 2, 4]),
        prop::sample::select(PIECES),
    );
    let changes = prop::collection::vec(change, 0..4);
    (prop::sample::select(bases), changes).prop_map(|(base, changes)| {
        changes
            .into_iter()
            .fold(base.to_owned(), |text, (at, length, piece)| {
                let mut letters: Vec<char> = text.chars().collect();
                let from = at.index(letters.len() + 1);
                let to = (from + length).min(letters.len());
                letters.splice(from..to, piece.chars());
                letters.into_iter().collect()
            })
    })
}

fn requires(operator: &str, value: &str) -> Policy {
    load(&format!(
        r#"{{"version":"1","tools":{{"t":{{"require":[{{"conditions":
        [{{"path":"args.a","op":"{operator}","value":{value}}}]}}]}}}}}}"#
    ))
}

/// Shows `hold` what the policy accepts of many mutants; there must be enough of that.
fn for_accepted(policy: &Policy, bases: &'static [&'static str], hold: impl Fn(&str)) {
    let accepted = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(20_000));
    let ran = runner.run(&mutant(bases), |text| {
        let args = document(&serde_json::json!({ "a": text }).to_string());
        if let Verdict::Allow(_) = policy.decide("t", Some(args.root())) {
            accepted.set(accepted.get() + 1);
            hold(&text);
        }
        Ok(())
    });
    assert!(ran.is_ok(), "{ran:?}");
    assert!(accepted.get() > 1_000, "{accepted:?}");
}

/// Decodes escapes once, as a server does before it looks at a path.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits: String = rest.clone().take(2).map(char::from).collect();
        match u8::from_str_radix(&digits, 16) {
            Ok(value) if byte == b'%' && digits.len() == 2 && !digits.starts_with('+') => {
                bytes.push(value);
                rest.nth(1);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Slashes merged, dots resolved; `..` at a root stays there.
fn normalised(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name != ".." {
            names.push(name);
        } else if names.last().is_some_and(|last| *last != "..") {
            names.pop();
        } else if !absolute {
            names.push("..");
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, names.join("/"))
}

/// RFC 3986, 5.2.4, word for word.
fn without_dot_segments(path: &str) -> String {
    let (mut input, mut output) = (path, String::new());
    while !input.is_empty() {
        let relative = input
            .strip_prefix("../")
            .or_else(|| input.strip_prefix("./"));
        if let Some(rest) = relative {
            input = rest;
        } else if input.starts_with("/./") {
            input = input.split_at(2).1;
        } else if input == "/." {
            input = "/";
        } else if input.starts_with("/../") || input == "/.." {
            input = if input == "/.." {
                "/"
            } else {
                input.split_at(3).1
            };
            output.truncate(output.rfind('/').unwrap_or(0));
        } else if input == "." || input == ".." {
            input = "";
        } else {
            let after = input.char_indices().skip(1).find(|(_, c)| *c == '/');
            let (segment, rest) = input.split_at(after.map_or(input.len(), |(at, _)| at));
            output.push_str(segment);
            input = rest;
        }
    }
    output
}

fn is_below(path: &str, directory: &str) -> bool {
    path == directory || path.starts_with(&format!("{}/", directory.trim_end_matches('/')))
}

/// Whether a generic reader finds the address at one of the listed places.
fn is_listed(text: &str) -> bool {
    let (scheme, rest) = text.split_once("://").expect("an absolute address");
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let path = rest.split(['?', '#']).next().expect("a path");
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let host = host
        .rsplit('@')
        .next()
        .expect("a host")
        .to_ascii_lowercase();
    let port: u32 = if port.is_empty() {
        443
    } else {
        port.parse().expect("a port")
    };
    let below = match host.as_str() {
        "docs.acme.com" => "/",
        "github.com" => "/acme",
        _ if host.ends_with(".wild.example") => "/",
        _ => return false,
    };
    let path = format!("/{}", path.trim_start_matches('/'));
    let readings = [
        normalised(&path),
        normalised(&decoded(&path)),
        without_dot_segments(&path),
    ];
    scheme.eq_ignore_ascii_case("https")
        && port == 443
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && readings.iter().all(|reading| is_below(reading, below))
}

#[test]
fn an_accepted_address_is_the_same_to_a_generic_reader() {
    let places =
        r#"["https://docs.acme.com/","https://github.com/acme/","https://*.wild.example/"]"#;
    for_accepted(&requires("url_in", places), ADDRESSES, |text| {
        assert!(is_listed(text), "{text:?}");
    });
}

#[test]
fn an_accepted_path_is_below_for_whoever_normalises_or_decodes() {
    let policy = requires("path_in", r#"["/srv/data","docs/"]"#);
    for_accepted(&policy, PATHS, |text| {
        for reading in [
            normalised(text),
            normalised(&decoded(text)),
            normalised(text.trim()),
        ] {
            let below = is_below(&reading, "/srv/data") || is_below(&reading, "docs");
            assert!(below, "{text:?}: {reading}");
        }
        assert!(!text.contains(['\\', '\0']), "{text:?}");
    });
}
