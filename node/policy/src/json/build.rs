//! Making a tape, node by node in document order.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use thiserror::Error;

use super::letters::Letters;
use super::{Json, Kind, Node};

/// Takes the nodes of one document in document order: an object's members as key, value, key,
/// value. [`Builder::finish`] checks that they fit the text, so a mistake of the caller's walk
/// becomes an error and never a wrong reading.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    /// Arrays and objects that are not closed yet.
    open: Vec<u32>,
    depth: u32,
    fault: Option<BuildError>,
}

/// The nodes do not fit together, or not this text. An error of the caller's, not of the text's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("tape does not fit its text at byte {at}: {kind}")]
pub struct BuildError {
    /// Byte offset.
    pub at: usize,
    /// What does not fit.
    pub kind: BuildErrorKind,
}

/// See [`BuildError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BuildErrorKind {
    /// Something other than white space, a comma or a colon lies between two nodes.
    #[error("text between the nodes")]
    Between,
    /// A node's first or last byte is not what its kind begins or ends with.
    #[error("a node that is not of its kind")]
    Delimiter,
    /// An array or object is closed that was not open, or left open, or closed as the other.
    #[error("brackets do not match")]
    Nesting,
    /// An object's key is not a string, or has no value; or there is not exactly one root.
    #[error("members do not match")]
    Shape,
    /// A span runs backwards, past the end, or beyond 32 bits.
    #[error("a span out of order")]
    Span,
    /// A string with a quote or control character inside, or one whose mark about escapes is wrong.
    #[error("a string that does not end where it says")]
    String,
}

impl Default for Builder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Builder {
    /// An empty tape with room for `nodes` nodes.
    pub fn with_capacity(nodes: usize) -> Self {
        Self {
            nodes: Vec::with_capacity(nodes),
            open: Vec::new(),
            depth: 0,
            fault: None,
        }
    }

    /// Nodes so far.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes yet.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Arrays and objects that are open now.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The innermost open array or object.
    pub fn container(&self) -> Option<Kind> {
        let open = *self.open.last()?;
        self.nodes.get(open as usize).map(|node| node.kind)
    }

    /// `null` at `span`.
    pub fn null(&mut self, span: Range<usize>) {
        self.push(Kind::Null, &span, false);
    }

    /// `true` or `false` at `span`.
    pub fn bool(&mut self, span: Range<usize>) {
        self.push(Kind::Bool, &span, false);
    }

    /// A number at `span`.
    pub fn number(&mut self, span: Range<usize>) {
        self.push(Kind::Number, &span, false);
    }

    /// A string or key at `span`, quotes included; `escaped` if a backslash is in it.
    pub fn string(&mut self, span: Range<usize>, escaped: bool) {
        self.push(Kind::String, &span, escaped);
    }

    /// Opens an array whose bracket is at `at`.
    pub fn open_array(&mut self, at: usize) {
        self.open(Kind::Array, at);
    }

    /// Opens an object whose brace is at `at`.
    pub fn open_object(&mut self, at: usize) {
        self.open(Kind::Object, at);
    }

    /// Closes the innermost array or object, whose closing bracket or brace ends before `end`.
    pub fn close(&mut self, end: usize) {
        let next = self.nodes.len();
        let Some(node) = self
            .open
            .pop()
            .and_then(|open| self.nodes.get_mut(open as usize))
        else {
            self.fail(end, BuildErrorKind::Nesting);
            return;
        };
        if node.kind == Kind::Object {
            if node.count % 2 != 0 {
                self.fail(end, BuildErrorKind::Shape);
                return;
            }
            node.count /= 2;
        }
        let (Ok(end32), Ok(next)) = (u32::try_from(end), u32::try_from(next)) else {
            self.fail(end, BuildErrorKind::Span);
            return;
        };
        node.end = end32;
        node.next = next;
    }

    fn open(&mut self, kind: Kind, at: usize) {
        let index = self.nodes.len();
        self.push(kind, &(at..at.saturating_add(1)), false);
        if let Ok(index) = u32::try_from(index) {
            self.open.push(index);
            self.depth = self
                .depth
                .max(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        }
    }

    fn push(&mut self, kind: Kind, span: &Range<usize>, escaped: bool) {
        let index = self.nodes.len();
        let (Ok(start), Ok(end), Ok(next)) = (
            u32::try_from(span.start),
            u32::try_from(span.end),
            u32::try_from(index + 1),
        ) else {
            self.fail(span.start, BuildErrorKind::Span);
            return;
        };
        match self
            .open
            .last()
            .and_then(|open| self.nodes.get_mut(*open as usize))
        {
            Some(parent) => {
                let is_key = parent.kind == Kind::Object && parent.count % 2 == 0;
                parent.count += 1;
                if is_key && kind != Kind::String {
                    self.fail(span.start, BuildErrorKind::Shape);
                }
            }
            None if index > 0 => self.fail(span.start, BuildErrorKind::Shape),
            None => {}
        }
        self.nodes.push(Node {
            start,
            end,
            next,
            count: 0,
            kind,
            escaped,
            simple: false,
        });
    }

    /// Keeps the first fault.
    fn fail(&mut self, at: usize, kind: BuildErrorKind) {
        self.fault.get_or_insert(BuildError { at, kind });
    }

    /// The document, if the nodes account for every byte of `text`.
    pub fn finish(mut self, text: String) -> Result<Json, BuildError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let fail = |at, kind| Err(BuildError { at, kind });
        if !self.open.is_empty() {
            return fail(text.len(), BuildErrorKind::Nesting);
        }
        if self.nodes.is_empty() {
            return fail(0, BuildErrorKind::Shape);
        }
        let mut walk = Walk {
            text: text.as_bytes(),
            at: 0,
            open: Vec::new(),
        };
        for (index, node) in self.nodes.iter_mut().enumerate() {
            walk.node(index, node)?;
        }
        walk.close_until(self.nodes.len())?;
        walk.between(text.len())?;
        Ok(Json {
            text,
            nodes: self.nodes,
            depth: self.depth,
        })
    }
}

/// Goes through text and tape side by side.
struct Walk<'t> {
    text: &'t [u8],
    at: usize,
    /// Of each open array or object: the node after it, where it ends, its closing byte.
    open: Vec<(usize, usize, u8)>,
}

impl Walk<'_> {
    fn node(&mut self, index: usize, node: &mut Node) -> Result<(), BuildError> {
        self.close_until(index)?;
        let (start, end) = (node.start as usize, node.end as usize);
        let fail = |kind| Err(BuildError { at: start, kind });
        self.between(start)?;
        let Some(bytes) = self.text.get(start..end) else {
            return fail(BuildErrorKind::Span);
        };
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return fail(BuildErrorKind::Span);
        };
        let fits = match node.kind {
            Kind::Null => bytes == b"null",
            Kind::Bool => bytes == b"true" || bytes == b"false",
            Kind::Number => bytes
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')),
            Kind::String => bytes.len() >= 2 && *first == b'"' && *last == b'"',
            Kind::Array => bytes.len() >= 2 && *first == b'[',
            Kind::Object => bytes.len() >= 2 && *first == b'{',
        };
        if !fits {
            return fail(BuildErrorKind::Delimiter);
        }
        match node.kind {
            Kind::Null | Kind::Bool | Kind::Number => self.at = end,
            Kind::String => {
                let inner = bytes.get(1..bytes.len() - 1).unwrap_or_default();
                let letters = Letters::of(inner);
                if letters.has_control() || !ends_at_its_end(inner, letters, node.escaped) {
                    return fail(BuildErrorKind::String);
                }
                node.simple = !letters.has_special() && !letters.has_beyond();
                self.at = end;
            }
            Kind::Array => self.enter(node, b']'),
            Kind::Object => self.enter(node, b'}'),
        }
        Ok(())
    }

    fn enter(&mut self, node: &Node, close: u8) {
        self.open
            .push((node.next as usize, node.end as usize, close));
        self.at = node.start as usize + 1;
    }

    /// Leaves what ends before node `index`.
    fn close_until(&mut self, index: usize) -> Result<(), BuildError> {
        while let Some((next, end, close)) = self.open.last().copied()
            && next == index
        {
            let bracket = end - 1;
            self.between(bracket)?;
            if self.text.get(bracket) != Some(&close) {
                return Err(BuildError {
                    at: bracket,
                    kind: BuildErrorKind::Delimiter,
                });
            }
            self.at = end;
            self.open.pop();
        }
        Ok(())
    }

    /// From here to `end` there is nothing that could be a value.
    fn between(&mut self, end: usize) -> Result<(), BuildError> {
        let Some(gap) = self.text.get(self.at..end) else {
            return Err(BuildError {
                at: self.at,
                kind: BuildErrorKind::Span,
            });
        };
        let other = gap
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':'));
        match other {
            Some(offset) => Err(BuildError {
                at: self.at + offset,
                kind: BuildErrorKind::Between,
            }),
            None => Ok(()),
        }
    }
}

/// Whether no quote stands in it that no backslash hides, and its end is not hidden.
fn ends_at_its_end(inner: &[u8], letters: Letters, escaped: bool) -> bool {
    if !letters.has_special() || !escaped {
        return !letters.has_special() && !escaped;
    }
    let mut bytes = inner.iter();
    let mut seen = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return false,
            b'\\' if bytes.next().is_none() => return false,
            b'\\' => seen = true,
            _ => {}
        }
    }
    seen
}
