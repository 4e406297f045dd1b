//! Records are identical on all nodes, byte for byte. Source: AUDIT.md, promise 3: every replica
//! writes the same bytes.

use std::collections::BTreeMap;

use tollbook_audit::frame::{Frame, next_frame};

use super::{Evidence, Witness};

/// The frames of each applied entry, as the first node made them.
#[derive(Debug, Default)]
pub(super) struct Frames(BTreeMap<u64, (u64, Vec<[u8; 32]>)>);

impl Frames {
    pub(super) fn applied(&mut self, node: u64, index: u64, made: &[Frame]) -> Result<(), String> {
        let hashes: Vec<[u8; 32]> = made.iter().map(|frame| frame.hash).collect();
        let (first, known) = self
            .0
            .entry(index)
            .or_insert_with(|| (node, hashes.clone()));
        if *known == hashes {
            Ok(())
        } else {
            Err(format!(
                "of entry {index} node {first} and node {node} made different frames"
            ))
        }
    }
}

pub(super) fn check(evidence: &Evidence<'_>, _witness: &Witness) -> Result<(), String> {
    let mut books = evidence.segments.iter();
    let Some((first, book)) = books.next() else {
        return Err("no book is left".into());
    };
    for (other, theirs) in books {
        for (name, bytes) in theirs {
            let Some(ours) = book.get(name) else { continue };
            let (ours, bytes) = (whole(ours), whole(bytes));
            let length = ours.len().min(bytes.len());
            if ours.get(..length) != bytes.get(..length) {
                return Err(format!(
                    "segment {name} of node {first} and of node {other} differ"
                ));
            }
        }
    }
    Ok(())
}

/// Without what a crash tore at the end: a machine that was turned off for good keeps that.
fn whole(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Ok(Some(frame)) = next_frame(rest) {
        rest = rest.get(frame.bytes.len()..).unwrap_or_default();
    }
    bytes.get(..bytes.len() - rest.len()).unwrap_or_default()
}
