//! Reading a document of the strict profile in one pass: the way of calls.
//!
//! Grammar, escapes, numbers, keys and limits are checked while the tape is made, and a document
//! that is not right in every respect is refused without a word: [`super::parse`] says what is
//! wrong and where, and is the other opinion that tests hold this one against. Eight bytes of a
//! string are looked at together.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::letters::{self, mark};
use super::profile::number_fault;
use super::unescape::{Unescaped, escape_len};
use super::{Json, Kind, Node, ProfileLimits};

/// Keys of one object that are compared with each other as they come; when there are more, all
/// are sorted at its end.
const COMPARED_KEYS_MAX: usize = 16;
/// The key that JavaScript takes for something else.
const PROTO: &str = "__proto__";
/// Stands around the root as what would close it: no byte that a token begins with.
const NOTHING_CLOSES: u8 = 0;

/// Memory of documents that are done with, for the next one.
#[derive(Default)]
pub struct Spare {
    nodes: Vec<Node>,
    open: Vec<Open>,
    keys: Vec<Key>,
}

impl core::fmt::Debug for Spare {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Spare({} nodes)", self.nodes.capacity())
    }
}

impl Spare {
    /// Takes a document's memory over and gives its text back.
    pub fn recycle(&mut self, json: Json) -> String {
        if self.nodes.capacity() < json.nodes.capacity() {
            self.nodes = json.nodes;
        }
        json.text
    }

    /// Bytes that are kept.
    pub fn size_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.open.capacity() * size_of::<Open>()
            + self.keys.capacity() * size_of::<Key>()
    }
}

/// Reads one document and holds it to the strict profile. Gives the text back if it is refused.
pub fn read(text: String, limits: &ProfileLimits, spare: &mut Spare) -> Result<Json, String> {
    if text.len() > limits.document_bytes.min(u32::MAX as usize) {
        return Err(text);
    }
    let mut tape = Tape {
        nodes: mem::take(&mut spare.nodes),
        open: mem::take(&mut spare.open),
        keys: mem::take(&mut spare.keys),
        count: 0,
        here: Open::ROOT,
        depth: 0,
    };
    tape.nodes.clear();
    tape.open.clear();
    tape.keys.clear();
    let read = document(&text, limits, &mut tape);
    let Tape {
        nodes,
        open,
        keys,
        depth,
        here: _,
        count: _,
    } = tape;
    spare.open = open;
    spare.keys = keys;
    if read.is_none() {
        spare.nodes = nodes;
        return Err(text);
    }
    Ok(Json { text, nodes, depth })
}

/// An array or object that is not closed yet, or what is around the root.
#[derive(Clone, Copy)]
struct Open {
    /// Its closing byte.
    close: u8,
    /// A key of it has an escape.
    has_escaped_key: bool,
    node: u32,
    /// Elements, or members.
    count: u32,
    /// Where its keys begin among all that are remembered.
    keys_from: usize,
}

impl Open {
    const ROOT: Self = Self {
        close: NOTHING_CLOSES,
        has_escaped_key: false,
        node: 0,
        count: 0,
        keys_from: 0,
    };
}

/// A key of an object that is not closed yet.
#[derive(Clone, Copy)]
struct Key {
    mark: u64,
    node: u32,
}

/// Reads all there is. Here and below, None is the refusal.
fn document(text: &str, limits: &ProfileLimits, tape: &mut Tape) -> Option<()> {
    let mut cursor = Cursor { text, at: 0 };
    let mut first = cursor.peek()?;
    loop {
        // A member or element begins here, or the root.
        if tape.here.close == b'}' {
            first = key(first, &mut cursor, tape, limits)?;
        }
        if tape.count as usize >= limits.nodes {
            return None;
        }
        let start = cursor.at;
        match first {
            b'"' => {
                let string = cursor.string()?;
                tape.push(string.node(start));
            }
            b'{' => {
                tape.enter(Kind::Object, b'}', start, limits)?;
                cursor.at += 1;
                first = cursor.peek()?;
                if first != b'}' {
                    continue;
                }
                cursor.at += 1;
                tape.leave(cursor, limits)?;
            }
            b'[' => {
                tape.enter(Kind::Array, b']', start, limits)?;
                cursor.at += 1;
                first = cursor.peek()?;
                if first != b']' {
                    continue;
                }
                cursor.at += 1;
                tape.leave(cursor, limits)?;
            }
            b'-' | b'0'..=b'9' => {
                cursor.number(limits)?;
                tape.push(Node::new(Kind::Number, start, cursor.at));
            }
            _ => {
                let kind = cursor.word()?;
                tape.push(Node::new(kind, start, cursor.at));
            }
        }
        // A value ended here, and with it all that it is the last of.
        loop {
            tape.here.count += 1;
            if tape.here.close == NOTHING_CLOSES {
                return cursor.peek().is_none().then_some(());
            }
            first = cursor.peek()?;
            if first != tape.here.close {
                break;
            }
            cursor.at += 1;
            tape.leave(cursor, limits)?;
        }
        if first != b',' {
            return None;
        }
        cursor.at += 1;
        first = cursor.peek()?;
    }
}

/// Takes a key and its colon, and gives the first byte of the value.
#[inline(always)]
fn key(first: u8, cursor: &mut Cursor<'_>, tape: &mut Tape, limits: &ProfileLimits) -> Option<u8> {
    if first != b'"' {
        return None;
    }
    let start = cursor.at;
    let string = cursor.string()?;
    let len = (string.end - start) as usize - 2;
    if !string.plain || len > limits.key_bytes || len == PROTO.len() {
        is_allowed_key(cursor.text, start, len, limits).then_some(())?;
        tape.here.has_escaped_key |= string.escaped;
    }
    let own = Key {
        mark: mark(cursor.text.as_bytes().get(start as usize + 1..)?, len)?,
        node: tape.count,
    };
    let siblings = tape.keys.get(tape.here.keys_from..)?;
    if siblings.len() < COMPARED_KEYS_MAX {
        for other in siblings {
            if other.mark == own.mark {
                let other = tape.nodes.get(other.node as usize)?;
                is_another(cursor.text, start, string.end, other).then_some(())?;
            }
        }
    }
    tape.keys.push(own);
    tape.push(string.node(start));
    if cursor.peek()? != b':' {
        return None;
    }
    cursor.at += 1;
    cursor.peek()
}

/// Of a key that is long, or not all plain printable letters, or as long as [`PROTO`].
#[cold]
fn is_allowed_key(text: &str, start: u32, len: usize, limits: &ProfileLimits) -> bool {
    let inner = start as usize + 1;
    let inner = text.get(inner..inner + len).unwrap_or_default();
    len <= limits.key_bytes
        && !Unescaped::new(inner).any(char::is_control)
        && !Unescaped::new(inner).eq(PROTO.chars())
}

/// Whether two keys with one mark are written differently.
#[cold]
fn is_another(text: &str, start: u32, end: u32, other: &Node) -> bool {
    text.get(start as usize..end as usize) != text.get(other.start as usize..other.end as usize)
}

/// A place in the text. Small and free to copy, so that it need not be in memory.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    text: &'t str,
    at: u32,
}

/// A string that was read.
#[derive(Clone, Copy)]
struct Text {
    /// After its closing quote.
    end: u32,
    /// Printable ASCII without escapes.
    plain: bool,
    escaped: bool,
}

impl Text {
    #[inline(always)]
    fn node(self, start: u32) -> Node {
        Node {
            escaped: self.escaped,
            simple: self.plain,
            ..Node::new(Kind::String, start, self.end)
        }
    }
}

impl<'t> Cursor<'t> {
    /// The first byte that is not white space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        let byte = self.byte()?;
        if byte > b' ' {
            return Some(byte);
        }
        self.at = self.after_space();
        self.byte()
    }

    #[inline(always)]
    fn byte(self) -> Option<u8> {
        self.text.as_bytes().get(self.at as usize).copied()
    }

    #[inline(never)]
    fn after_space(mut self) -> u32 {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.at
    }

    /// The bytes from here on.
    #[inline(always)]
    fn rest(self) -> Option<&'t [u8]> {
        self.text.as_bytes().get(self.at as usize..)
    }

    /// A string, from its first quote to the first one that no backslash hides.
    #[inline(always)]
    fn string(&mut self) -> Option<Text> {
        self.at += 1;
        self.at += letters::count_plain(self.rest()?);
        let plain = self.byte()? == b'"';
        let mut escaped = false;
        if !plain {
            (self.at, escaped) = self.rest_of_string()?;
        }
        self.at += 1;
        Some(Text {
            end: self.at,
            plain,
            escaped,
        })
    }

    /// Where the string ends that has gone up to a letter that is not plain, and whether it has
    /// escapes.
    #[inline(never)]
    fn rest_of_string(mut self) -> Option<(u32, bool)> {
        let mut escaped = false;
        loop {
            self.at += letters::count_unescaped(self.rest()?);
            match self.byte()? {
                b'"' => return Some((self.at, escaped)),
                b'\\' => {
                    escaped = true;
                    self.at += escape_len(self.text.get(self.at as usize..)?)?;
                }
                _ => return None,
            }
        }
    }

    /// Goes behind a number; what follows it decides whether it was whole.
    #[inline(always)]
    fn number(&mut self, limits: &ProfileLimits) -> Option<()> {
        let start = self.at;
        let mut has_exponent = false;
        self.at += u32::from(self.byte()? == b'-');
        if self.byte()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            has_exponent = true;
            self.at += 1;
            self.at += u32::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        // Up to 18 characters without an exponent fit every type of number.
        let len = (self.at - start) as usize;
        if has_exponent || len > 18 || len > limits.number_bytes {
            let text = self.text.get(start as usize..self.at as usize)?;
            return is_allowed_number(text, limits).then_some(());
        }
        Some(())
    }

    /// One digit or more.
    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        let first = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > first).then_some(())
    }

    /// Goes behind `null`, `true` or `false`; what follows it decides whether it was whole.
    fn word(&mut self) -> Option<Kind> {
        let (kind, len) = match self.rest()? {
            [b'n', b'u', b'l', b'l', ..] => (Kind::Null, 4),
            [b't', b'r', b'u', b'e', ..] => (Kind::Bool, 4),
            [b'f', b'a', b'l', b's', b'e', ..] => (Kind::Bool, 5),
            _ => return None,
        };
        self.at += len;
        Some(kind)
    }
}

#[cold]
fn is_allowed_number(text: &str, limits: &ProfileLimits) -> bool {
    text.len() <= limits.number_bytes && number_fault(text).is_none()
}

/// The nodes so far, and what is not closed yet.
struct Tape {
    nodes: Vec<Node>,
    /// How many those are.
    count: u32,
    /// The innermost array or object.
    here: Open,
    /// Those around it.
    open: Vec<Open>,
    keys: Vec<Key>,
    depth: u32,
}

impl Tape {
    #[inline(always)]
    fn push(&mut self, node: Node) {
        self.count += 1;
        let next = self.count;
        self.nodes.push(Node { next, ..node });
    }

    #[inline(always)]
    fn enter(&mut self, kind: Kind, close: u8, start: u32, limits: &ProfileLimits) -> Option<()> {
        let node = self.count;
        self.push(Node::new(kind, start, start));
        self.open.push(self.here);
        self.here = Open {
            close,
            has_escaped_key: false,
            node,
            count: 0,
            keys_from: self.keys.len(),
        };
        let depth = u32::try_from(self.open.len()).ok()?;
        self.depth = self.depth.max(depth);
        (depth <= limits.depth).then_some(())
    }

    /// Leaves what ends where `cursor` is.
    #[inline(always)]
    fn leave(&mut self, cursor: Cursor<'_>, limits: &ProfileLimits) -> Option<()> {
        let left = mem::replace(&mut self.here, self.open.pop()?);
        if left.close == b'}' {
            let count = left.count as usize;
            if count > limits.object_keys {
                return None;
            }
            if count > COMPARED_KEYS_MAX || left.has_escaped_key {
                self.has_each_once(cursor.text, left.keys_from)
                    .then_some(())?;
            }
            self.keys.truncate(left.keys_from);
        }
        let node = self.nodes.get_mut(left.node as usize)?;
        node.end = cursor.at;
        node.next = self.count;
        node.count = left.count;
        Some(())
    }

    /// Whether no key stands twice once escapes are resolved.
    #[cold]
    fn has_each_once(&self, text: &str, keys_from: usize) -> bool {
        let keys = self.keys.get(keys_from..).unwrap_or_default();
        // Each is unescaped once, however often it is compared.
        let names = keys.iter().map(|key| {
            let node = self.nodes.get(key.node as usize)?;
            Some(meaning(text, node))
        });
        let Some(mut names) = names.collect::<Option<Vec<Cow<'_, str>>>>() else {
            return false;
        };
        names.sort_unstable();
        names.array_windows().all(|[one, two]| one != two)
    }
}

/// What a string means.
fn meaning<'t>(text: &'t str, node: &Node) -> Cow<'t, str> {
    let written = inner_text(text, node);
    if node.escaped {
        Cow::Owned(Unescaped::new(written).collect())
    } else {
        Cow::Borrowed(written)
    }
}

/// What stands between a string's quotes.
fn inner_text<'t>(text: &'t str, node: &Node) -> &'t str {
    let inner = node.start as usize + 1..node.end as usize - 1;
    text.get(inner).unwrap_or_default()
}
