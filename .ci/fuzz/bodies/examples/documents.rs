//! Prints generated documents that the gate accepts, and what it reads in them, for the readers of
//! other languages in `.ci/peers`. No JSON: what is held against a reader must not go through it.
//!
//! A document is a line `doc` and its bytes in hexadecimal, then a line for every scalar and every
//! empty array or object: kind, path, and what is there. A step of a path is `k` and the bytes of
//! the key, or `i` and the index. Of a number there are the bits of its binary64 (zero without its
//! sign) and, of an integer token, its digits; of one that the policy language calls ambiguous,
//! `?`, since there readers may differ.

use std::io::{self, BufWriter, Write};

use tollbook_fuzz::{Tree, document};
use tollbook_policy::json::{ProfileLimits, parse};
use tollbook_policy::{Policy, Verdict, check};

fn main() -> io::Result<()> {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let mut out = BufWriter::new(io::stdout().lock());
    for seed in 0..count.unwrap_or(30_000) {
        let bytes = document(seed);
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let Ok(json) = parse(text, &ProfileLimits::CALL) else {
            continue;
        };
        writeln!(out, "doc {}", hex(json.text().as_bytes()))?;
        print(&Tree::of_ours(json.root()), "-", &mut out)?;
    }
    out.flush()
}

fn print(tree: &Tree, path: &str, out: &mut impl Write) -> io::Result<()> {
    match tree {
        Tree::Array(elements) if elements.is_empty() => writeln!(out, "a {path}"),
        Tree::Array(elements) => {
            let mut elements = elements.iter().enumerate();
            elements.try_for_each(|(index, one)| print(one, &format!("{path}/i{index}"), out))
        }
        Tree::Bool(value) => writeln!(out, "b {path} {value}"),
        Tree::Null => writeln!(out, "z {path}"),
        Tree::Number(text) => {
            let binary: f64 = text.parse().unwrap_or(f64::NAN);
            let bits = (binary + 0.0).to_bits();
            let integer = text
                .bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_digit());
            let digits = if binary == 0.0 { "0" } else { text };
            let digits = if integer { digits } else { "-" };
            match is_ambiguous(text) {
                true => writeln!(out, "n {path} ? ?"),
                false => writeln!(out, "n {path} {bits:016x} {digits}"),
            }
        }
        Tree::Object(members) if members.is_empty() => writeln!(out, "o {path}"),
        Tree::Object(members) => members.iter().try_for_each(|(key, one)| {
            print(one, &format!("{path}/k{}", hex(key.as_bytes())), out)
        }),
        Tree::Text(text) => writeln!(out, "s {path} {}", hex(text.as_bytes())),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asks the policy language itself: what it cannot compare, it denies.
fn is_ambiguous(number: &str) -> bool {
    let rules = r#"{"deny_if":[{"conditions":[{"path":"args.n","op":"lt","value":0}]},
        {"conditions":[{"path":"args.n","op":"gte","value":0}]}]}"#;
    let text = format!(r#"{{"version":"1","tools":{{"t":{rules}}}}}"#);
    thread_local! {
        static POLICY: std::cell::OnceCell<Policy> = const { std::cell::OnceCell::new() };
    }
    POLICY.with(|policy| {
        let policy = policy.get_or_init(|| check(&text).expect("it loads"));
        let args = parse(format!("{{\"n\":{number}}}"), &ProfileLimits::CALL).expect("it was read");
        match policy.decide("t", Some(args.root())) {
            Verdict::Allow(_) => false,
            Verdict::Deny(cause) => policy.explain(cause, "t").reason == Some("indeterminate"),
        }
    })
}
