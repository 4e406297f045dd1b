//! Dots, slashes and control characters that a path has only for some of its readers.

use alloc::string::String;
use alloc::vec::Vec;

/// How often a path may be encoded before it counts as disguised whatever is in it.
const ENCODINGS: usize = 4;

/// Whether some server finds a dot segment, a separator or a control character where this text
/// shows none: percent escapes, however often encoded, UTF-8 of too many bytes, letters that are
/// folded to a slash, and dots beside what is trimmed away (`.. `, `..;`, `...`).
pub(super) fn is_disguised(path: &str) -> bool {
    if shows_it(path) {
        return true;
    }
    if !path.contains('%') {
        return false;
    }
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..=ENCODINGS {
        if shows_it(&String::from_utf8_lossy(&bytes)) {
            return true;
        }
        match decode(&bytes) {
            None => return true,
            Some(decoded) if decoded == bytes => return false,
            Some(decoded) => bytes = decoded,
        }
    }
    true
}

fn shows_it(text: &str) -> bool {
    text.chars().any(is_slash_to_some) || text.split('/').any(is_dots_to_some)
}

/// Decodes percent escapes once; what is none stays. None if one stands for a dot, a separator, a
/// control character, or a byte that begins too long a form of one.
fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escape = (*first == b'%')
            .then(|| after.split_at_checked(2))
            .flatten();
        let value = escape.and_then(|(digits, beyond)| Some((hex(digits)?, beyond)));
        match value {
            Some((b'.' | b'/' | b'\\' | 0x00..=0x1f | 0x7f | 0xc0 | 0xc1, _)) => return None,
            Some((value, beyond)) => {
                decoded.push(value);
                rest = beyond;
            }
            // `%u002e`, which some servers of old decode too.
            None if *first == b'%' && is_wide_escape(after) => return None,
            None => decoded.push(*first),
        }
    }
    let too_long = decoded.windows(2).any(|pair| {
        matches!(
            pair,
            [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f] | [0xf8, 0x80..=0x87] | [0xfc, 0x80..=0x83]
        )
    });
    (!too_long).then_some(decoded)
}

fn is_wide_escape(after: &[u8]) -> bool {
    let (letter, digits) = (after.first(), after.get(1..5));
    matches!(letter, Some(b'u' | b'U'))
        && digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// The byte that two hexadecimal digits stand for.
fn hex(digits: &[u8]) -> Option<u8> {
    let text = core::str::from_utf8(digits).ok()?;
    let plain = digits.iter().all(u8::is_ascii_hexdigit);
    u8::from_str_radix(text, 16).ok().filter(|_| plain)
}

/// Slashes and backslashes to who normalises (NFKC) or narrows (Windows code pages) what he reads.
fn is_slash_to_some(c: char) -> bool {
    matches!(
        c,
        '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{fe68}' | '\u{ff0f}' | '\u{ff3c}'
    )
}

/// Whether a segment is `.` or `..` once parameters, white space, invisible characters or further
/// dots are taken away, but does not say so plainly.
fn is_dots_to_some(segment: &str) -> bool {
    if matches!(segment, "." | "..") {
        return false;
    }
    let name = segment.split(';').next().unwrap_or_default();
    let is_dot = |c| matches!(c, '.' | '\u{2024}'..='\u{2026}' | '\u{fe52}' | '\u{ff0e}');
    name.contains(is_dot) && name.chars().all(|c| is_dot(c) || is_blank(c))
}

/// Whether a reader may trim or skip it.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
        )
}
