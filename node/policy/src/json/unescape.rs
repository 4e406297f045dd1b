//! What a JSON string means: its characters once the escapes are resolved.

use core::str::Chars;

/// Characters of a string's inner text. An escape that means no character (a lone surrogate, a
/// malformed one) yields U+FFFD; the parser and the profile refuse those before anyone reads.
#[derive(Clone, Debug)]
pub struct Unescaped<'d> {
    rest: Chars<'d>,
}

impl<'d> Unescaped<'d> {
    pub(super) fn new(inner: &'d str) -> Self {
        Self {
            rest: inner.chars(),
        }
    }

    /// Bytes of the source that were not read yet, escapes as written.
    pub(crate) fn source_left(&self) -> usize {
        self.rest.as_str().len()
    }
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self.rest.next()? {
            '\\' => Some(escape(&mut self.rest).unwrap_or(char::REPLACEMENT_CHARACTER)),
            plain => Some(plain),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.rest.size_hint().1)
    }
}

/// The character of the escape whose backslash was just read.
fn escape(rest: &mut Chars<'_>) -> Result<char, EscapeFault> {
    match rest.next() {
        Some(same @ ('"' | '\\' | '/')) => Ok(same),
        Some('b') => Ok('\u{8}'),
        Some('f') => Ok('\u{c}'),
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('u') => {
            let first = hex4(rest)?;
            if !(0xD800..=0xDBFF).contains(&first) {
                return char::from_u32(first).ok_or(EscapeFault::LoneSurrogate);
            }
            let mut ahead = rest.clone();
            if (ahead.next(), ahead.next()) != (Some('\\'), Some('u')) {
                return Err(EscapeFault::LoneSurrogate);
            }
            let second = hex4(&mut ahead)?;
            if !(0xDC00..=0xDFFF).contains(&second) {
                return Err(EscapeFault::LoneSurrogate);
            }
            *rest = ahead;
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            char::from_u32(code).ok_or(EscapeFault::LoneSurrogate)
        }
        Some(_) | None => Err(EscapeFault::Malformed),
    }
}

fn hex4(rest: &mut Chars<'_>) -> Result<u32, EscapeFault> {
    let mut code = 0;
    for _ in 0..4 {
        let digit = rest
            .next()
            .and_then(|c| c.to_digit(16))
            .ok_or(EscapeFault::Malformed)?;
        code = code << 4 | digit;
    }
    Ok(code)
}

/// Why an escape means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EscapeFault {
    LoneSurrogate,
    Malformed,
}

/// Bytes of the escape that `text` begins with, if it means a character.
#[inline]
pub(super) fn escape_len(text: &str) -> Option<u32> {
    match text.as_bytes().get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let mut rest = text.get(1..)?.chars();
            escape(&mut rest).ok()?;
            u32::try_from(text.len() - rest.as_str().len()).ok()
        }
        _ => None,
    }
}

/// Looks for an escape of `inner` that means no character; the offset is its backslash's.
pub(super) fn escape_fault(inner: &str) -> Option<(usize, EscapeFault)> {
    let mut rest = inner;
    while let Some((_, after)) = rest.split_once('\\') {
        let at = inner.len() - after.len() - 1;
        let mut chars = after.chars();
        if let Err(fault) = escape(&mut chars) {
            return Some((at, fault));
        }
        rest = chars.as_str();
    }
    None
}
