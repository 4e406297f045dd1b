//! Sessions of legacy clients.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::Version;

/// Sessions at once. Beyond it the oldest ends: many clients never end theirs.
const SESSIONS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    versions: HashMap<Uuid, Version>,
    order: VecDeque<Uuid>,
}

impl Sessions {
    pub(super) fn start(&self, version: Version) -> Uuid {
        let id = Uuid::new_v4();
        let mut open = self.lock();
        open.versions.insert(id, version);
        open.order.push_back(id);
        if open.order.len() > SESSIONS_MAX
            && let Some(oldest) = open.order.pop_front()
        {
            open.versions.remove(&oldest);
        }
        id
    }

    pub(super) fn version(&self, id: &Uuid) -> Option<Version> {
        self.lock().versions.get(id).copied()
    }

    /// Whether there was one.
    pub(super) fn end(&self, id: &Uuid) -> bool {
        // Its place in the order stays until its turn comes.
        self.lock().versions.remove(id).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
