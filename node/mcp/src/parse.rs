//! Body bytes to one JSON document of the strict profile, by way of simd-json's tape.
//!
//! simd-json reads a padded copy, since it unescapes in place; the body itself stays as it came
//! and is what will be forwarded. Its tape has neither number texts nor places, but the structural
//! indexes of its first stage have every value's offset: both are walked in step, and their nodes
//! go into the policy crate's own tape over the original text. What simd-json decided about a
//! string or number is used for nothing but a check: texts are read from the original.

use std::mem;

use simd_json::{Buffers, INPUT_PADDING, Node, StaticNode, Tape, fill_tape_padded};

use tollbook_policy::json::{self, Builder, Json, ProfileErrorKind, ProfileLimits, check_profile};

use crate::limits::SCRATCH_KEPT_BYTES;
use crate::malformed::{Malformed, MalformedKind};

/// A parser and its scratch memory. One a thread: it is cheap to use again and not to share.
pub struct Parser {
    limits: ProfileLimits,
    /// The body's copy and its padding.
    scratch: Vec<u8>,
    buffers: Buffers,
    /// Empty between calls; kept for its memory.
    tape: Tape<'static>,
}

impl std::fmt::Debug for Parser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parser")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Parser {
    /// A parser that refuses what exceeds `limits`.
    pub fn new(limits: ProfileLimits) -> Self {
        let depth = usize::try_from(limits.depth).unwrap_or(usize::MAX);
        Self {
            limits,
            scratch: Vec::new(),
            buffers: Buffers::with_max_depth(0, depth),
            tape: Tape(Vec::new()),
        }
    }

    /// Reads one document and holds it to the strict profile. The text of the result is `body`,
    /// byte for byte.
    pub fn parse(&mut self, body: Vec<u8>) -> Result<Json, Malformed> {
        let limit = self.limits.document_bytes.min(u32::MAX as usize);
        if body.len() > limit {
            return Err(MalformedKind::BodyTooLarge { limit }.at(limit));
        }
        let text = match String::from_utf8(body) {
            Ok(text) => text,
            Err(error) => {
                return Err(MalformedKind::NotUtf8.at(error.utf8_error().valid_up_to()));
            }
        };
        let json = self.build(text)?;
        check_profile(&json, &self.limits)
            .map_err(|error| MalformedKind::Profile(error.kind).at(error.at))?;
        Ok(json)
    }

    fn build(&mut self, text: String) -> Result<Json, Malformed> {
        self.scratch.clear();
        self.scratch.extend_from_slice(text.as_bytes());
        self.scratch.resize(text.len() + INPUT_PADDING, b' ');
        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let read = fill_tape_padded(&mut self.scratch, text.len(), &mut self.buffers, &mut tape);
        let built = match &read {
            Ok(()) if tape.0.len() > self.limits.nodes => {
                let kind = ProfileErrorKind::Nodes {
                    limit: self.limits.nodes,
                };
                Err(Some(MalformedKind::Profile(kind).at(0)))
            }
            Ok(()) => walk(&text, &tape.0, self.buffers.structural_indexes()).ok_or(None),
            Err(_) => Err(None),
        };
        let reported_at = read.err().map_or(0, |error| error.index());
        self.tape = tape.reset();
        if self.scratch.len() > SCRATCH_KEPT_BYTES {
            *self = Self::new(self.limits);
        }
        let builder = match built {
            Ok(builder) => builder,
            Err(Some(malformed)) => return Err(malformed),
            Err(None) => return Err(self.explain(text, reported_at)),
        };
        // Fails only where the two walks disagree, and then nobody knows what the text says.
        builder
            .finish(text)
            .map_err(|error| MalformedKind::Disagreement.at(error.at))
    }

    /// The scalar parser names the place and the reason, which simd-json does only roughly. It
    /// cannot make the text valid again: if the two disagree, the text has two readings.
    fn explain(&self, text: String, reported_at: usize) -> Malformed {
        match json::parse(text, &self.limits) {
            Err(error) => MalformedKind::of_parse_error(error.kind).at(error.at),
            Ok(_) => MalformedKind::Disagreement.at(reported_at),
        }
    }
}

/// Text, tape and structural indexes in step. None where they disagree.
fn walk(text: &str, tape: &[Node<'_>], indexes: &[u32]) -> Option<Builder> {
    let bytes = text.as_bytes();
    let mut builder = Builder::with_capacity(tape.len());
    let mut tape = tape.iter();
    let mut indexes = indexes.iter().map(|index| *index as usize).peekable();
    while let Some(start) = indexes.next() {
        let byte = *bytes.get(start)?;
        match byte {
            b',' | b':' => continue,
            b'}' | b']' => {
                builder.close(start + 1);
                continue;
            }
            _ => {}
        }
        let next = indexes.peek().copied().unwrap_or(bytes.len());
        let end = start + token_len(bytes.get(start..next)?);
        match (tape.next()?, byte) {
            (Node::Object { .. }, b'{') => builder.open_object(start),
            (Node::Array { .. }, b'[') => builder.open_array(start),
            // An escape is always longer than what it means.
            (Node::String(meaning), b'"') => {
                builder.string(start..end, meaning.len() + 2 != end - start);
            }
            (Node::Static(StaticNode::Null), b'n') => builder.null(start..end),
            (Node::Static(StaticNode::Bool(true)), b't')
            | (Node::Static(StaticNode::Bool(false)), b'f') => builder.bool(start..end),
            (
                Node::Static(StaticNode::I64(_) | StaticNode::U64(_) | StaticNode::F64(_)),
                b'-' | b'0'..=b'9',
            ) => builder.number(start..end),
            (Node::Object { .. } | Node::Array { .. } | Node::String(_) | Node::Static(_), _) => {
                return None;
            }
        }
    }
    tape.next().is_none().then_some(builder)
}

/// Bytes of a token, given all up to the next one: without the white space after it.
fn token_len(up_to_next: &[u8]) -> usize {
    let space = up_to_next
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        .count();
    up_to_next.len() - space
}
