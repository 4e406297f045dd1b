//! What a node's book says, read from its files as any auditor would.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use tollbook_audit::dir::Records;

use super::client::traceparent;
use crate::peers::PeerError;

/// Records by their index, as they are written.
pub(super) type Pages = BTreeMap<u64, Vec<u8>>;

/// The decision on one call.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) index: u64,
    pub(super) label: String,
    pub(super) allowed: bool,
    pub(super) at_us: u64,
    /// `status` of its outcome, and whether that gave the charge back.
    pub(super) outcome: Option<(String, bool)>,
}

/// What the invariants ask of a book.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By the caller's number of the call.
    pub(super) intents: HashMap<u64, Intent>,
    /// Index of the record that revoked which grant.
    pub(super) revoked: HashMap<String, u64>,
    /// Calls with a second intent.
    pub(super) twice: Vec<u64>,
}

/// All records in a node's directory.
pub(super) fn read(dir: &Path) -> Result<Pages, PeerError> {
    let records = Records::open(dir, 0)?;
    let failed = |error: tollbook_audit::dir::RecordsError| PeerError::new(error.to_string());
    records.map(|record| record.map_err(failed)).collect()
}

impl Book {
    pub(super) fn of(pages: &Pages) -> Self {
        let mut book = Self::default();
        let mut open = HashMap::new();
        for (index, bytes) in pages {
            let record: Value = serde_json::from_slice(bytes).unwrap_or_default();
            let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
            match text("k") {
                "intent" => {
                    let Some(number) = number(text("traceparent")) else {
                        continue;
                    };
                    open.insert(text("call").to_owned(), number);
                    let intent = Intent {
                        index: *index,
                        label: text("label").to_owned(),
                        allowed: text("verdict") == "allow",
                        at_us: record.get("t").and_then(Value::as_u64).unwrap_or_default(),
                        outcome: None,
                    };
                    if book.intents.insert(number, intent).is_some() {
                        book.twice.push(number);
                    }
                }
                "outcome" => {
                    let number = open.get(text("call"));
                    let intent = number.and_then(|number| book.intents.get_mut(number));
                    if let Some(intent) = intent {
                        let refunds = record.get("refunds").and_then(Value::as_array);
                        let refunded = refunds.is_some_and(|refunds| !refunds.is_empty());
                        let before = intent.outcome.as_ref().is_some_and(|outcome| outcome.1);
                        intent.outcome = Some((text("status").to_owned(), refunded || before));
                    }
                }
                "admin" if text("action") == "grant_revoke" => {
                    book.revoked.insert(text("name").to_owned(), *index);
                }
                _ => {}
            }
        }
        book
    }

    /// Calls that a grant was charged for and that were not given back.
    pub(super) fn charged(&self, label: &str) -> u64 {
        let charged = self.intents.values().filter(|intent| {
            let given_back = intent.outcome.as_ref().is_some_and(|outcome| outcome.1);
            intent.label == label && intent.allowed && !given_back
        });
        u64::try_from(charged.count()).unwrap_or(u64::MAX)
    }
}

/// The caller's number in what it sent as its trace.
fn number(text: &str) -> Option<u64> {
    let hex = text.split('-').nth(1)?;
    let number = u64::from_str_radix(hex, 16).ok()?;
    (traceparent(number) == text).then_some(number)
}
