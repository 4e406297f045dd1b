//! Requests of servers to clients that the policy let through and that wait for their response. A
//! client's response passes for one of these, once, and for nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tollbook_mcp::Id;
use tollbook_state::command::GrantId;

use crate::session::Session;

/// Requests that wait at once; the oldest is forgotten first, and its response is then refused.
const OPEN_MAX: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_age: BTreeMap<u64, Key>,
    ages: BTreeMap<Key, u64>,
}

/// Servers choose session ids, and bad ones choose the same for all: the grant is part of the key.
type Key = (GrantId, [u8; 16], String);

impl Asked {
    /// Remembers a request that goes to the client.
    pub(crate) fn put(&self, grant: GrantId, session: &Session, id: &Id) {
        let key = (grant, session.hash(), id.token().to_owned());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let age = open.next;
        open.next = age.wrapping_add(1);
        if let Some(before) = open.ages.insert(key.clone(), age) {
            open.by_age.remove(&before);
        }
        open.by_age.insert(age, key);
        if open.by_age.len() > OPEN_MAX
            && let Some((_, oldest)) = open.by_age.pop_first()
        {
            open.ages.remove(&oldest);
        }
    }

    /// Whether `id` answers a request of this grant's session that waits; it waits no longer.
    pub(crate) fn take(&self, grant: GrantId, session: Option<&Session>, id: &Id) -> bool {
        let Some(session) = session else {
            return false;
        };
        let key = (grant, session.hash(), id.token().to_owned());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.ages.remove(&key) {
            Some(age) => open.by_age.remove(&age).is_some(),
            None => false,
        }
    }
}
