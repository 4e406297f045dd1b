//! Signed roots never fork: of one size there is one root, at all nodes and for ever, and it is
//! the one of the book. Source: AUDIT.md, "Signing safely".

use std::collections::BTreeMap;

use tollbook_audit::next_frame;
use tollbook_state::Sealed;
use tollbook_storage::Disk;

use super::{Evidence, Witness};

/// What was offered for signing, and by whom first.
#[derive(Debug, Default)]
pub(super) struct Roots(BTreeMap<u64, (u64, [u8; 32])>);

impl Roots {
    pub(super) fn offered(
        &mut self,
        node: u64,
        sealed: &Sealed,
        disk: &Disk,
    ) -> Result<(), String> {
        let Sealed { size, root, .. } = sealed;
        is_durable(*size, disk).map_err(|what| format!("node {node} may sign {size}: {what}"))?;
        self.promised(node, *size, *root)
    }

    pub(super) fn promised(&mut self, node: u64, size: u64, root: [u8; 32]) -> Result<(), String> {
        let (first, known) = self.0.entry(size).or_insert((node, root));
        if *known == root {
            Ok(())
        } else {
            Err(format!(
                "node {first} and node {node} would sign different roots of {size} records"
            ))
        }
    }
}

/// Signed is only what outlives a loss of power: the segments, and the log that makes them.
fn is_durable(size: u64, disk: &Disk) -> Result<(), String> {
    let mut newest = (0, 0);
    for bytes in disk.durable_segments().values() {
        let mut rest = bytes.as_slice();
        while let Ok(Some(frame)) = next_frame(rest) {
            let next = frame.header.first_index + u64::from(frame.header.count);
            if newest.0 < size {
                newest = (next, frame.header.log_index);
            }
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
        }
    }
    if newest.0 < size {
        return Err(format!("{} records are durable", newest.0));
    }
    match disk.durable_log() {
        // The log behind a durable state may be gone.
        None => Ok(()),
        Some(last) if last >= newest.1 => Ok(()),
        Some(last) => Err(format!(
            "it is of entry {}, and the durable log ends at {last}",
            newest.1
        )),
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
