//! Calls to decide on.

use crate::policy::CALLED;

/// What the judged arguments say.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// `args.url`
    pub url: &'static str,
    /// `args.method`
    pub method: &'static str,
    /// `args.body_bytes`
    pub body_bytes: u64,
    /// `args.class`
    pub class: &'static str,
    /// `args.meta.region`
    pub region: &'static str,
}

/// A call that the policy allows.
pub const ALLOWED: Said = Said {
    url: "https://api.acme.com/v1/reports",
    method: "POST",
    body_bytes: 2048,
    class: "internal",
    region: "eu",
};

/// Calls that one condition each denies.
pub const DENIED: [Said; 6] = [
    Said {
        url: "https://evil.example/v1/reports",
        ..ALLOWED
    },
    Said {
        url: "https://api.acme.com/?to=pastebin.com",
        ..ALLOWED
    },
    Said {
        method: "DELETE",
        ..ALLOWED
    },
    Said {
        body_bytes: 1_048_577,
        ..ALLOWED
    },
    Said {
        class: "secret",
        ..ALLOWED
    },
    Said {
        region: "us",
        ..ALLOWED
    },
];

/// The smallest body that [`call`] makes.
pub const BYTES_MIN: usize = 414;

/// Text of an item, with escapes and letters beyond ASCII.
const NOTE: &str = r#"left at the \"Größe\" dock, signed for by the night shift\n"#;

/// A `tools/call` of exactly `bytes` bytes, from [`BYTES_MIN`] on: nested items with escapes and
/// text beyond ASCII, and a last text that fills it up.
pub fn call(said: &Said, bytes: usize) -> Vec<u8> {
    with_notes(said, bytes, NOTE)
}

/// The same with items that have almost no text: more than twice the tokens.
pub fn dense_call(said: &Said, bytes: usize) -> Vec<u8> {
    with_notes(said, bytes, r#"a \"b\" ü\n"#)
}

fn with_notes(said: &Said, bytes: usize, note: &str) -> Vec<u8> {
    let Said {
        url,
        method,
        body_bytes,
        class,
        region,
    } = said;
    let mut text = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{CALLED}",
"arguments":{{"url":"{url}","method":"{method}","body_bytes":{body_bytes},"class":"{class}",
"meta":{{"region":"{region}","tags":["daily","größe"]}},"items":["#
    )
    .replace('\n', "");
    let end = r#"],"more":""}}}"#;
    for at in 0_u32.. {
        let comma = if at > 0 { "," } else { "" };
        let item = format!(
            r#"{comma}{{"sku":"A-{at:05}","qty":{},"note":"{note}"}}"#,
            at % 17
        );
        if text.len() + item.len() + end.len() > bytes {
            break;
        }
        text += &item;
    }
    let fill = bytes.saturating_sub(text.len() + end.len());
    (text + r#"],"more":""# + &"x".repeat(fill) + r#""}}}"#).into_bytes()
}
