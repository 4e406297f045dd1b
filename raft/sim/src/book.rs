//! A node's book, read back from its disk.

use std::collections::BTreeMap;

use serde_json::Value;

use tollbook_audit::next_frame;
use tollbook_audit::tree::{Tree, leaf_hash};
use tollbook_state::command::{CallId, GrantId, ServerId};

/// A record and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) log_index: u64,
    /// Time of its frame.
    pub(crate) wall_us: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) value: Value,
}

/// Records in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
}

impl Book {
    /// Reads whole frames; what a crash tore at the end is left out.
    pub(crate) fn read(segments: &BTreeMap<u64, Vec<u8>>) -> Result<Self, String> {
        let mut entries = Vec::new();
        for bytes in segments.values() {
            let mut rest = bytes.as_slice();
            while let Ok(Some(frame)) = next_frame(rest) {
                for record in frame.records() {
                    let value = serde_json::from_slice(record)
                        .map_err(|error| format!("record {}: {error}", entries.len()))?;
                    entries.push(Entry {
                        log_index: frame.header.log_index,
                        wall_us: frame.header.wall_us.0,
                        bytes: record.to_vec(),
                        value,
                    });
                }
                rest = rest.get(frame.bytes.len()..).unwrap_or_default();
            }
        }
        Ok(Self { entries })
    }

    /// The tree's root over the first `size` records.
    pub(crate) fn roots(&self) -> BTreeMap<u64, [u8; 32]> {
        let mut tree = Tree::new();
        let mut roots = BTreeMap::new();
        for entry in &self.entries {
            tree.push(leaf_hash(&entry.bytes));
            if entry.kind() == "seal" {
                roots.insert(tree.size(), tree.root());
            }
        }
        roots
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(index).ok()?)
    }
}

impl Entry {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.value.get(field).and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        self.value.get(field).and_then(Value::as_u64).unwrap_or(0)
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("k")
    }

    pub(crate) fn list(&self, field: &str) -> &[Value] {
        self.value
            .get(field)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// An intent that was allowed.
    pub(crate) fn is_admission(&self) -> bool {
        self.kind() == "intent" && self.text("verdict") == "allow"
    }
}

/// As records spell it.
pub(crate) fn call_text(call: CallId) -> String {
    uuid(&call.0)
}

/// As records spell it.
pub(crate) fn server_text(server: ServerId) -> String {
    uuid(&server.0)
}

/// As records spell it.
pub(crate) fn grant_text(grant: GrantId) -> String {
    String::from_utf8_lossy(&grant.0).into_owned()
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = tollbook_audit::hex(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}
