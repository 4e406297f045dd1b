//! Body bytes to one JSON document of the strict profile, in the body's own memory.

use tollbook_policy::json::{self, Json, ProfileErrorKind, ProfileLimits, Spare};

use crate::limits::SCRATCH_KEPT_BYTES;
use crate::malformed::{Malformed, MalformedKind};

/// A parser and its memory. One a thread: it is cheap to use again and not to share.
#[derive(Debug)]
pub struct Parser {
    limits: ProfileLimits,
    /// Memory of documents that were given back.
    spare: Spare,
}

impl Parser {
    /// A parser that refuses what exceeds `limits`.
    pub fn new(limits: ProfileLimits) -> Self {
        Self {
            limits,
            spare: Spare::default(),
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
        json::read(text, &self.limits, &mut self.spare).map_err(|text| self.explain(text))
    }

    /// Takes the memory of a document that is done with, for the next one; gives its text back.
    pub fn recycle(&mut self, json: Json) -> String {
        let text = self.spare.recycle(json);
        if self.spare.size_bytes() > SCRATCH_KEPT_BYTES {
            self.spare = Spare::default();
        }
        text
    }

    /// The scalar parser names the place and the reason. It cannot make the text valid again: if
    /// the two disagree, the text has two readings.
    #[cold]
    fn explain(&self, text: String) -> Malformed {
        match json::parse(text, &self.limits) {
            Err(error) => {
                let kind = MalformedKind::of_parse_error(error.kind);
                let many = matches!(kind, MalformedKind::Profile(ProfileErrorKind::Nodes { .. }));
                // It is the whole document that has too many.
                kind.at(if many { 0 } else { error.at })
            }
            Ok(_) => MalformedKind::Disagreement.at(0),
        }
    }
}
