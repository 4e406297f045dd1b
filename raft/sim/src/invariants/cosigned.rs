//! Signed roots never fork: of one size there is one root, at all nodes and for ever, and it is
//! the one of the book. Source: AUDIT.md, "Signing safely".

use std::collections::BTreeMap;

use tollbook_state::Sealed;

use super::{Evidence, Witness};

/// What was offered for signing, and by whom first.
#[derive(Debug, Default)]
pub(super) struct Roots(BTreeMap<u64, (u64, [u8; 32])>);

impl Roots {
    pub(super) fn offered(&mut self, node: u64, sealed: &Sealed) -> Result<(), String> {
        let Sealed { size, root, .. } = sealed;
        let (first, known) = self.0.entry(*size).or_insert((node, *root));
        if known == root {
            Ok(())
        } else {
            Err(format!(
                "node {first} and node {node} would sign different roots of {size} records"
            ))
        }
    }
}

pub(super) fn check(evidence: &Evidence<'_>, witness: &Witness) -> Result<(), String> {
    let roots = evidence.book.roots();
    for (size, (node, root)) in &witness.lock().roots.0 {
        if roots.get(size) != Some(root) {
            return Err(format!(
                "node {node} would sign a root of {size} records that is not the book's"
            ));
        }
    }
    Ok(())
}
