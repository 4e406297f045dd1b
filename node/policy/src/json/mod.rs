//! A JSON document as its own text plus a flat tape of nodes that point into it.
//!
//! The tape never holds a copy of what the text says: numbers keep every digit, strings their
//! escapes, and [`Value::raw`] is the exact slice that would be forwarded.

mod build;
mod fast;
mod letters;
mod parse;
mod profile;
mod unescape;
mod value;

use alloc::string::String;
use alloc::vec::Vec;

pub use self::build::{BuildError, BuildErrorKind, Builder};
pub use self::fast::{Spare, read};
pub use self::parse::{Expected, ParseError, ParseErrorKind, parse};
pub use self::profile::{ProfileError, ProfileErrorKind, check_profile};
pub use self::unescape::Unescaped;
pub use self::value::{Elements, Entries, Kind, Value};

pub(crate) use self::parse::parse_syntax;
pub(crate) use self::profile::visit_faults;

/// What a document may be at most. Each has an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileLimits {
    /// Bytes of the whole text. Never more than `u32::MAX`.
    pub document_bytes: usize,
    /// Arrays and objects inside one another; the outermost is 1.
    pub depth: u32,
    /// Values and keys, all together.
    pub nodes: usize,
    /// Keys of one object.
    pub object_keys: usize,
    /// Bytes of one key as it is written, without its quotes.
    pub key_bytes: usize,
    /// Bytes of one number as it is written.
    pub number_bytes: usize,
}

impl ProfileLimits {
    /// What a call may be unless the node's configuration says otherwise.
    pub const CALL: Self = Self {
        document_bytes: 4 << 20,
        depth: 64,
        nodes: 200_000,
        object_keys: 10_000,
        key_bytes: 4_096,
        number_bytes: 1_024,
    };
}

impl Default for ProfileLimits {
    fn default() -> Self {
        Self::CALL
    }
}

/// One value or key of a document.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// First byte in the text; of a string its opening quote.
    start: u32,
    /// Byte after the last.
    end: u32,
    /// Index of the node after this one and all that is in it.
    next: u32,
    /// Elements of an array, members of an object; else 0.
    count: u32,
    kind: Kind,
    /// A string with at least one escape.
    escaped: bool,
    /// A string of printable ASCII without escapes: almost every key is one, and nothing about it
    /// can be doubtful.
    simple: bool,
}

impl Node {
    /// Without what is in it, and its place on the tape left open.
    fn new(kind: Kind, start: u32, end: u32) -> Self {
        Self {
            start,
            end,
            next: 0,
            count: 0,
            kind,
            escaped: false,
            simple: false,
        }
    }
}

/// An owned document: the text and its tape. Made by [`parse`] or a [`Builder`], always complete.
#[derive(Clone)]
pub struct Json {
    text: String,
    /// Document order; an object's members are its keys and values in turn. Never empty.
    nodes: Vec<Node>,
    /// Deepest nesting of arrays and objects.
    depth: u32,
}

impl core::fmt::Debug for Json {
    /// Sizes only: what a document says is not for logs.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Json({} bytes, {} nodes)",
            self.text.len(),
            self.nodes.len()
        )
    }
}

impl Json {
    /// The exact text that was read.
    #[inline]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Gives the text back, for forwarding it.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The document's one value.
    #[inline]
    pub fn root(&self) -> Value<'_> {
        Value::at(&self.text, &self.nodes, 0)
    }
}

/// Line and column of a byte offset, both from 1; the column counts characters.
pub fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX - 1) + 1;
    (number(line), number(column))
}
