//! Reading a finished document.

use alloc::borrow::Cow;
use core::ops::Range;

use super::{Node, Unescaped};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, whose text [`Value::number_text`] gives.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The word that people use for it, with its article.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// A value inside a document: a view, free to copy.
#[derive(Clone, Copy)]
pub struct Value<'d> {
    text: &'d str,
    nodes: &'d [Node],
    node: &'d Node,
    index: u32,
}

impl core::fmt::Debug for Value<'_> {
    /// Kind and place only: what a value says is not for logs.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{:?}@{}..{}",
            self.node.kind, self.node.start, self.node.end
        )
    }
}

impl<'d> Value<'d> {
    #[inline]
    pub(super) fn at(text: &'d str, nodes: &'d [Node], index: u32) -> Self {
        let node = nodes
            .get(index as usize)
            .expect("a finished tape links only to its own nodes");
        Self {
            text,
            nodes,
            node,
            index,
        }
    }

    /// What it is.
    #[inline]
    pub fn kind(self) -> Kind {
        self.node.kind
    }

    /// Where it stands in the text; a string's span has its quotes.
    #[inline]
    pub fn span(self) -> Range<usize> {
        self.node.start as usize..self.node.end as usize
    }

    /// Byte offset of its first character.
    #[inline]
    pub fn offset(self) -> usize {
        self.node.start as usize
    }

    /// The exact source slice; a string with its quotes and escapes.
    #[inline]
    pub fn raw(self) -> &'d str {
        self.slice()
    }

    #[inline]
    fn slice(self) -> &'d str {
        self.text
            .get(self.span())
            .expect("a finished tape's spans lie on character boundaries")
    }

    /// Whether it is `null`.
    #[inline]
    pub fn is_null(self) -> bool {
        self.node.kind == Kind::Null
    }

    /// The boolean, if it is one.
    #[inline]
    pub fn as_bool(self) -> Option<bool> {
        (self.node.kind == Kind::Bool).then(|| self.raw() == "true")
    }

    /// The string without its escapes, if it is a string. Borrowed when it has none.
    #[inline]
    pub fn as_str(self) -> Option<Cow<'d, str>> {
        let inner = self.string_text()?;
        Some(if self.node.escaped {
            Cow::Owned(Unescaped::new(inner).collect())
        } else {
            Cow::Borrowed(inner)
        })
    }

    /// The string, if it is one and has no escapes.
    #[inline]
    pub fn as_plain_str(self) -> Option<&'d str> {
        self.string_text().filter(|_| !self.node.escaped)
    }

    /// The characters of the string without its escapes, if it is one.
    #[inline]
    pub fn chars(self) -> Option<Unescaped<'d>> {
        self.string_text().map(Unescaped::new)
    }

    /// Whether it is the string `wanted`, once its escapes are resolved.
    #[inline]
    pub fn is_str(self, wanted: &str) -> bool {
        if self.node.escaped {
            return self.chars().is_some_and(|chars| chars.eq(wanted.chars()));
        }
        // By bytes, lengths first: this is asked of every key of a call.
        self.node.kind == Kind::String
            && self.span().len() == wanted.len() + 2
            && self
                .text
                .as_bytes()
                .get(self.node.start as usize + 1..self.node.end as usize - 1)
                == Some(wanted.as_bytes())
    }

    /// A string of printable ASCII without escapes.
    #[inline]
    pub(crate) fn is_simple(self) -> bool {
        self.node.simple
    }

    /// What stands between the quotes of a string, escapes as written.
    #[inline]
    pub(crate) fn string_text(self) -> Option<&'d str> {
        if self.node.kind != Kind::String {
            return None;
        }
        self.text
            .get(self.node.start as usize + 1..self.node.end as usize - 1)
    }

    /// A string with escapes, whose text differs from what it means.
    #[inline]
    pub(crate) fn is_escaped(self) -> bool {
        self.node.escaped
    }

    /// The number as it is written, if it is one.
    #[inline]
    pub fn number_text(self) -> Option<&'d str> {
        (self.node.kind == Kind::Number).then(|| self.raw())
    }

    /// Elements of an array or members of an object; 0 of anything else.
    #[inline]
    pub fn len(self) -> usize {
        self.node.count as usize
    }

    /// Whether it has no elements or members.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.node.count == 0
    }

    /// The elements of an array, in order; none of anything else.
    #[inline]
    pub fn elements(self) -> Elements<'d> {
        let left = if self.node.kind == Kind::Array {
            self.node.count
        } else {
            0
        };
        Elements {
            text: self.text,
            nodes: self.nodes,
            at: self.index + 1,
            left,
        }
    }

    /// The members of an object, in order, key and value; none of anything else.
    #[inline]
    pub fn entries(self) -> Entries<'d> {
        let left = if self.node.kind == Kind::Object {
            self.node.count
        } else {
            0
        };
        Entries {
            text: self.text,
            nodes: self.nodes,
            at: self.index + 1,
            left,
        }
    }

    /// The members of an object, without those whose keys are simple and of neither length.
    #[inline]
    pub(crate) fn entries_of_length(
        self,
        [one, two]: [usize; 2],
    ) -> impl Iterator<Item = (Self, Self)> {
        let mut entries = self.entries();
        // With their quotes.
        let (one, two) = (one.saturating_add(2), two.saturating_add(2));
        core::iter::from_fn(move || {
            while entries.left > 0 {
                // A key is one node, and what follows it is its value.
                let at = entries.at as usize;
                let [key, value] = entries.nodes.get(at..)?.first_chunk()?;
                let length = (key.end - key.start) as usize;
                if !key.simple || length == one || length == two {
                    return entries.next();
                }
                entries.left -= 1;
                entries.at = value.next;
            }
            None
        })
    }

    /// The value under exactly this key (once its escapes are resolved), if it is an object and
    /// has it. The first one: the profile has refused duplicates.
    #[inline]
    pub fn get(self, key: &str) -> Option<Self> {
        self.entries()
            .find(|(name, _)| name.is_str(key))
            .map(|(_, value)| value)
    }

    /// The text of every number that it is or holds, at any depth.
    #[inline]
    pub(crate) fn numbers(self) -> impl Iterator<Item = &'d str> {
        let nodes = self.nodes.get(self.index as usize..self.node.next as usize);
        let numbers = nodes
            .unwrap_or_default()
            .iter()
            .filter(|node| node.kind == Kind::Number);
        numbers.filter_map(move |node| self.text.get(node.start as usize..node.end as usize))
    }

    /// What an RFC 6901 pointer points at from here, if anything.
    pub fn pointed(self, pointer: &str) -> Option<Self> {
        pointer.split('/').skip(1).try_fold(self, |value, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match value.kind() {
                Kind::Array => value.element(token.parse().ok()?),
                Kind::Object => value.get(&token),
                Kind::Null | Kind::Bool | Kind::Number | Kind::String => None,
            }
        })
    }

    /// The element at `index`, if it is an array that long.
    #[inline]
    pub fn element(self, index: usize) -> Option<Self> {
        self.elements().nth(index)
    }
}

/// See [`Value::elements`].
#[derive(Clone)]
pub struct Elements<'d> {
    text: &'d str,
    nodes: &'d [Node],
    at: u32,
    left: u32,
}

impl core::fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Elements({} left)", self.left)
    }
}

impl<'d> Iterator for Elements<'d> {
    type Item = Value<'d>;

    #[inline]
    fn next(&mut self) -> Option<Value<'d>> {
        self.left = self.left.checked_sub(1)?;
        let value = Value::at(self.text, self.nodes, self.at);
        self.at = value.node.next;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

/// See [`Value::entries`].
#[derive(Clone)]
pub struct Entries<'d> {
    text: &'d str,
    nodes: &'d [Node],
    at: u32,
    left: u32,
}

impl core::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Entries({} left)", self.left)
    }
}

impl<'d> Iterator for Entries<'d> {
    type Item = (Value<'d>, Value<'d>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = Value::at(self.text, self.nodes, self.at);
        let value = Value::at(self.text, self.nodes, key.node.next);
        self.at = value.node.next;
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}
