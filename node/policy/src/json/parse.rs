//! A strict scalar parser of RFC 8259, for policies and tests. Calls come through the mcp crate.

use alloc::string::String;

use thiserror::Error;

use super::{
    Builder, Json, Kind, ProfileError, ProfileErrorKind, ProfileLimits, check_profile,
    unescape::{EscapeFault, escape_fault},
};

/// Why a text is not one JSON value of the strict profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct ParseError {
    /// Byte offset.
    pub at: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// See [`ParseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseErrorKind {
    /// The text begins with a byte order mark.
    #[error("the text begins with a byte order mark; save it as UTF-8 without one")]
    ByteOrderMark,
    /// A control character stands in a string as itself.
    #[error("a control character in a string; write it as an escape")]
    ControlInString,
    /// The text ends before the value does.
    #[error("the text ends before the value does")]
    End,
    /// A backslash that begins no escape of JSON.
    #[error("a backslash that begins no escape of JSON; a backslash itself is `\\\\`")]
    Escape,
    /// Something other than what must stand here.
    #[error("expected {0}")]
    Expected(Expected),
    /// A number that JSON does not write this way.
    #[error("not a number as JSON writes it")]
    Number,
    /// One value, but against the strict profile.
    #[error("{0}")]
    Profile(ProfileErrorKind),
    /// Something follows the value.
    #[error("something follows the value; a document is one value")]
    Trailing,
}

/// What must stand at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Expected {
    /// After a key.
    #[error("`:` after the key")]
    Colon,
    /// After an element.
    #[error("`,` or `]` after the element")]
    CommaOrBracket,
    /// After a member.
    #[error("`,` or `}}` after the member")]
    CommaOrBrace,
    /// At the start of a member.
    #[error("a key in double quotes")]
    Key,
    /// Anywhere else.
    #[error("a value")]
    Value,
}

impl From<ProfileError> for ParseError {
    fn from(error: ProfileError) -> Self {
        Self {
            at: error.at,
            kind: ParseErrorKind::Profile(error.kind),
        }
    }
}

/// Reads one document and holds it to the strict profile.
pub fn parse(text: String, limits: &ProfileLimits) -> Result<Json, ParseError> {
    let json = parse_syntax(text, limits)?;
    check_profile(&json, limits)?;
    Ok(json)
}

/// Reads one document of RFC 8259 within the limits on size, depth and nodes; what else the
/// profile refuses is still in it.
pub(crate) fn parse_syntax(text: String, limits: &ProfileLimits) -> Result<Json, ParseError> {
    let too_large = limits.document_bytes.min(u32::MAX as usize);
    if text.len() > too_large {
        let kind = ProfileErrorKind::DocumentBytes { limit: too_large };
        return Err(ParseError {
            at: too_large,
            kind: ParseErrorKind::Profile(kind),
        });
    }
    if text.starts_with('\u{feff}') {
        return Err(ParseError {
            at: 0,
            kind: ParseErrorKind::ByteOrderMark,
        });
    }
    let mut parser = Parser {
        text: &text,
        at: 0,
        builder: Builder::default(),
        limits,
    };
    parser.document()?;
    let builder = parser.builder;
    Ok(builder
        .finish(text)
        .expect("the parser pushes each node where it has just read it"))
}

/// What comes next inside the innermost array or object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A value, or the end of the array or object that was just opened.
    FirstOrClose,
    /// A value after a comma, or the root.
    Item,
    /// A comma or the end.
    CommaOrClose,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    builder: Builder,
    limits: &'t ProfileLimits,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), ParseError> {
        let mut next = Next::Item;
        loop {
            self.skip_space();
            let container = self.builder.container();
            next = match next {
                Next::CommaOrClose => match container {
                    None => break,
                    Some(container) => self.comma_or_close(container)?,
                },
                Next::FirstOrClose if self.closes(container) => {
                    self.at += 1;
                    self.builder.close(self.at);
                    Next::CommaOrClose
                }
                Next::FirstOrClose | Next::Item => {
                    if container == Some(Kind::Object) {
                        self.key()?;
                    }
                    self.value()?
                }
            };
        }
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fail(ParseErrorKind::Trailing)),
        }
    }

    fn closes(&self, container: Option<Kind>) -> bool {
        match self.peek() {
            Some(b']') => container == Some(Kind::Array),
            Some(b'}') => container == Some(Kind::Object),
            Some(_) | None => false,
        }
    }

    fn comma_or_close(&mut self, container: Kind) -> Result<Next, ParseError> {
        if self.peek() == Some(b',') {
            self.at += 1;
            return Ok(Next::Item);
        }
        if self.closes(Some(container)) {
            self.at += 1;
            self.builder.close(self.at);
            return Ok(Next::CommaOrClose);
        }
        Err(self.expected(if container == Kind::Object {
            Expected::CommaOrBrace
        } else {
            Expected::CommaOrBracket
        }))
    }

    fn key(&mut self) -> Result<(), ParseError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected(Expected::Key));
        }
        self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.expected(Expected::Colon));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn value(&mut self) -> Result<Next, ParseError> {
        let start = self.at;
        match self.peek() {
            Some(b'{') => {
                self.deeper()?;
                self.builder.open_object(start);
                self.at += 1;
                return Ok(Next::FirstOrClose);
            }
            Some(b'[') => {
                self.deeper()?;
                self.builder.open_array(start);
                self.at += 1;
                return Ok(Next::FirstOrClose);
            }
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) if self.word("null") => self.builder.null(start..self.at),
            Some(_) if self.word("true") || self.word("false") => {
                self.builder.bool(start..self.at);
            }
            Some(_) | None => return Err(self.expected(Expected::Value)),
        }
        self.bounded(start)?;
        Ok(Next::CommaOrClose)
    }

    /// Before another array or object is opened: the limit on nesting, so that it bounds the work.
    fn deeper(&self) -> Result<(), ParseError> {
        let limit = self.limits.depth;
        if self.builder.depth() >= limit as usize {
            return Err(self.profile(self.at, ProfileErrorKind::Depth { limit }));
        }
        self.bounded(self.at)
    }

    fn bounded(&self, at: usize) -> Result<(), ParseError> {
        let limit = self.limits.nodes;
        if self.builder.len() > limit {
            return Err(self.profile(at, ProfileErrorKind::Nodes { limit }));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let mut at = start + 1;
        let mut escaped = false;
        loop {
            match self.text.as_bytes().get(at) {
                None => {
                    return Err(ParseError {
                        at,
                        kind: ParseErrorKind::End,
                    });
                }
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(0..=0x1f) => {
                    return Err(ParseError {
                        at,
                        kind: ParseErrorKind::ControlInString,
                    });
                }
                Some(_) => at += 1,
            }
        }
        let inner = self.text.get(start + 1..at).unwrap_or_default();
        if escaped && let Some((offset, fault)) = escape_fault(inner) {
            let at = start + 1 + offset;
            return Err(match fault {
                EscapeFault::Malformed => ParseError {
                    at,
                    kind: ParseErrorKind::Escape,
                },
                EscapeFault::LoneSurrogate => self.profile(at, ProfileErrorKind::LoneSurrogate),
            });
        }
        self.at = at + 1;
        self.builder.string(start..self.at, escaped);
        Ok(())
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits(start)?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits(start)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits(start)?;
        }
        if matches!(
            self.peek(),
            Some(b'0'..=b'9' | b'.' | b'a'..=b'z' | b'A'..=b'Z' | b'_')
        ) {
            return Err(ParseError {
                at: start,
                kind: ParseErrorKind::Number,
            });
        }
        self.builder.number(start..self.at);
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self, start: usize) -> Result<(), ParseError> {
        let first = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == first {
            return Err(ParseError {
                at: start,
                kind: ParseErrorKind::Number,
            });
        }
        Ok(())
    }

    /// Takes `word` if it stands here whole.
    fn word(&mut self, word: &str) -> bool {
        let Some(rest) = self
            .text
            .get(self.at..)
            .and_then(|rest| rest.strip_prefix(word))
        else {
            return false;
        };
        if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return false;
        }
        self.at += word.len();
        true
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail(&self, kind: ParseErrorKind) -> ParseError {
        ParseError { at: self.at, kind }
    }

    fn expected(&self, expected: Expected) -> ParseError {
        self.fail(match self.peek() {
            Some(_) => ParseErrorKind::Expected(expected),
            None => ParseErrorKind::End,
        })
    }

    fn profile(&self, at: usize, kind: ProfileErrorKind) -> ParseError {
        ParseError {
            at,
            kind: ParseErrorKind::Profile(kind),
        }
    }
}
