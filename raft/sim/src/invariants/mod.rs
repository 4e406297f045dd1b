//! What must hold whatever happens: one file each, which names where it is promised.

mod acknowledged;
mod calls;
mod cosigned;
mod heal;
mod identical;
mod policy;
mod quota;
mod revoke;
mod time;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tollbook_audit::frame::Frame;
use tollbook_state::Sealed;
use tollbook_storage::Disk;

use crate::book::Book;
use crate::history;

pub(crate) use self::heal::{Healing, verify};

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the invariant: its file.
    pub invariant: &'static str,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Looks on while the simulation runs. Clones are the same witness.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    frames: identical::Frames,
    roots: cosigned::Roots,
    violations: Vec<Violation>,
}

impl Witness {
    /// A node made these frames of the entry.
    pub(crate) fn applied(&self, node: u64, index: u64, frames: &[Frame]) {
        let mut seen = self.lock();
        if let Err(what) = seen.frames.applied(node, index, frames) {
            seen.violate("identical", what);
        }
    }

    /// A node may sign this, it says. Its disk is as it is now.
    pub(crate) fn offered(&self, node: u64, sealed: &Sealed, disk: &Disk) {
        let mut seen = self.lock();
        if let Err(what) = seen.roots.offered(node, sealed, disk) {
            seen.violate("cosigned", what);
        }
    }

    /// A node has promised to sign this.
    pub(crate) fn promised(&self, node: u64, size: u64, root: [u8; 32]) {
        let mut seen = self.lock();
        if let Err(what) = seen.roots.promised(node, size, root) {
            seen.violate("cosigned", what);
        }
    }

    /// Something went wrong that no fault excuses.
    pub(crate) fn violate(&self, invariant: &'static str, what: String) {
        self.lock().violate(invariant, what);
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.lock().violations.first().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn violate(&mut self, invariant: &'static str, what: String) {
        self.violations.push(Violation { invariant, what });
    }
}

/// What is left when the simulation is over.
pub(crate) struct Evidence<'a> {
    pub(crate) history: &'a history::Inner,
    /// The segments of each node whose disk nobody damaged.
    pub(crate) segments: &'a BTreeMap<u64, BTreeMap<u64, Vec<u8>>>,
    /// The longest of these books.
    pub(crate) book: &'a Book,
}

/// An invariant's name and its check of the end.
type Check = (
    &'static str,
    fn(&Evidence<'_>, &Witness) -> Result<(), String>,
);

/// Those that look at the end alone; the others are watched all along, or are [`Healing`].
const CHECKS: [Check; 8] = [
    ("revoke", revoke::check),
    ("acknowledged", acknowledged::check),
    ("calls", calls::check),
    ("cosigned", cosigned::check),
    ("identical", identical::check),
    ("policy", policy::check),
    ("quota", quota::check),
    ("time", time::check),
];

/// The first that does not hold.
pub(crate) fn check(evidence: &Evidence<'_>, witness: &Witness) -> Result<(), Violation> {
    for (invariant, check) in CHECKS {
        check(evidence, witness).map_err(|what| Violation { invariant, what })?;
    }
    Ok(())
}
