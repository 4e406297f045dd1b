//! Counters of one grant at one moment, for trying a policy out. The node's own are in its state.

use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::compile::{LimitRow, Policy};
use crate::decide::Permit;
use crate::explain::LimitCause;
use crate::model::{Scope, Window};

/// What the calls so far have used. One grant, one server, one owner, one moment.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    used: BTreeMap<(Scope, Window, String), u64>,
}

impl Counters {
    /// All counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the counter of a limit has used.
    pub fn used(&self, row: &LimitRow) -> u64 {
        let key = (row.scope, row.window, row.counter.clone());
        self.used.get(&key).copied().unwrap_or(0)
    }

    /// What the counter of a limit would have used once `amount` is charged, or why it denies.
    pub(crate) fn with(&self, row: &LimitRow, amount: Option<u64>) -> Result<u64, LimitCause> {
        let amount = amount.ok_or(LimitCause::Amount)?;
        let total = self.used(row).checked_add(amount);
        total
            .filter(|total| *total <= row.max)
            .ok_or(LimitCause::Spent)
    }

    /// Charges all that the permit names, or nothing: then it says which limit denies and why.
    ///
    /// # Panics
    /// If the permit is of another policy.
    pub fn charge(&mut self, policy: &Policy, permit: &Permit) -> Result<(), (u32, LimitCause)> {
        // No two charges of one call meet in one counter: such a policy does not load.
        let mut totals = BTreeMap::new();
        for charge in permit.charges() {
            let index = charge.limit as usize;
            let row = policy
                .limits()
                .get(index)
                .expect("a permit is used with its own policy");
            let total = self.with(row, charge.amount);
            let key = (row.scope, row.window, row.counter.clone());
            totals.insert(key, total.map_err(|cause| (charge.limit, cause))?);
        }
        self.used.append(&mut totals);
        Ok(())
    }
}
