//! Counters: reserved all together or not at all, never above a limit's `max`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::State;
use crate::book::Entry;
use crate::command::{Charge, LimitRow, Micros, Scope};
use crate::limits;
use crate::planted::{self, Bug};
use crate::rows::{Account, CounterKey, Grant, Hold, Row};
use crate::windows;

/// What one intent would reserve, on top of the counters as they are.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    counters: &'a BTreeMap<CounterKey, u64>,
    grant: &'a Grant,
    t: Micros,
    added: BTreeMap<CounterKey, u64>,
}

/// The first limit, in the policy's order, that a call does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) row: u32,
    pub(crate) why: Why,
}

/// What a limit does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// An amount that could not be read, or that is over `limits::AMOUNT_MAX`.
    Amount,
    /// It would take the counter over its `max`.
    Max,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(
        counters: &'a BTreeMap<CounterKey, u64>,
        grant: &'a Grant,
        t: Micros,
    ) -> Self {
        Self {
            counters,
            grant,
            t,
            added: BTreeMap::new(),
        }
    }

    /// Reserves all charges of one call, or none and says which one fails.
    pub(crate) fn reserve<'r>(
        &mut self,
        charges: impl Iterator<Item = (Charge, &'r LimitRow)>,
    ) -> Result<Vec<Hold>, Spent> {
        let mut held = Vec::new();
        for (charge, limit) in charges {
            match self.reserve_one(charge, limit) {
                Ok(hold) => held.push(hold),
                Err(why) => {
                    self.undo(&held);
                    return Err(Spent {
                        row: charge.limit,
                        why,
                    });
                }
            }
        }
        Ok(held)
    }

    fn reserve_one(&mut self, charge: Charge, limit: &LimitRow) -> Result<Hold, Why> {
        let amount = charge.amount.filter(|amount| *amount <= limits::AMOUNT_MAX);
        let amount = amount.ok_or(Why::Amount)?;
        let key = self.key(limit);
        let added = self.added.get(&key).copied().unwrap_or_default();
        let used = self.counters.get(&key).copied().unwrap_or_default();
        let total = used
            .checked_add(added)
            .and_then(|used| used.checked_add(amount));
        if total.is_none_or(|total| total > limit.max) {
            return Err(Why::Max);
        }
        let added = added.checked_add(amount).ok_or(Why::Max)?;
        self.added.insert(key.clone(), added);
        Ok(Hold { key, amount })
    }

    fn undo(&mut self, held: &[Hold]) {
        for hold in held {
            if let Some(added) = self.added.get_mut(&hold.key) {
                *added = added.saturating_sub(hold.amount);
            }
        }
    }

    fn key(&self, limit: &LimitRow) -> CounterKey {
        let account = match limit.scope {
            Scope::Grant => Account::Grant(self.grant.id),
            Scope::Policy => Account::Policy(self.grant.policy.clone().unwrap_or_default()),
            Scope::Server => Account::Server(self.grant.server),
            Scope::Owner => match &self.grant.owner {
                Some(owner) => Account::Owner(owner.clone()),
                None => Account::Ownerless(self.grant.id),
            },
        };
        let span = windows::span(limit.window, self.t);
        CounterKey {
            end: span.end,
            start: span.start,
            window: limit.window,
            account,
            counter: limit.counter.clone(),
        }
    }

    /// What to add to each counter. A counter that gets nothing is not made.
    pub(crate) fn into_added(self) -> impl Iterator<Item = (CounterKey, u64)> {
        self.added.into_iter().filter(|(_, amount)| *amount > 0)
    }

    /// How many counters it would make.
    pub(crate) fn new_counters(&self) -> usize {
        let new =
            |(key, amount): &(&CounterKey, &u64)| **amount > 0 && !self.counters.contains_key(key);
        self.added.iter().filter(new).count()
    }
}

impl State {
    /// Books what a tally reserved.
    pub(crate) fn charge(&mut self, entry: &mut Entry, added: Vec<(CounterKey, u64)>) {
        for (key, amount) in added {
            entry.touch(Row::Counter(key.clone()));
            let used = self.counters.entry(key).or_default();
            *used = used
                .checked_add(amount)
                .expect("the tally kept it within `max`");
        }
    }

    /// Gives back to the windows that were charged, never below zero. A window so long past that
    /// its counter is gone gets nothing. Returns what was given back.
    pub(crate) fn refund(&mut self, entry: &mut Entry, held: Vec<Hold>) -> Vec<Hold> {
        let mut refunds = Vec::new();
        for hold in held {
            let Some(used) = self.counters.get_mut(&hold.key) else {
                continue;
            };
            let amount = hold.amount.min(*used);
            *used = used.saturating_sub(amount);
            if planted::is(Bug::RefundTwice) {
                *used = used.saturating_sub(amount);
            }
            entry.touch(Row::Counter(hold.key.clone()));
            refunds.push(Hold {
                key: hold.key,
                amount,
            });
        }
        refunds
    }

    /// Removes counters whose window is long past, a bounded number at a time.
    pub(crate) fn prune_counters(&mut self, entry: &mut Entry) {
        for _ in 0..limits::PRUNE_COUNTERS {
            let Some(oldest) = self.counters.first_entry() else {
                return;
            };
            if oldest.key().end.0.saturating_add(limits::COUNTER_KEEP_US) > entry.t.0 {
                return;
            }
            entry.touch(Row::Counter(oldest.key().clone()));
            oldest.remove();
        }
    }
}
