//! Refusals, counted: a looping agent or a stranger must not fill the disk with them.
//!
//! A grant has a budget of refusals; above it its calls are refused unevaluated and counted. What
//! has no record of its own is counted per second and committed as one command.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tollbook_state::command::{GrantId, Refused};

use crate::clock::Moment;
use crate::limits::Limits;
use crate::refusal::{Refusal, Unauthenticated};

/// Grants whose budgets are kept; beyond it the fullest are forgotten, which only forgives.
const BUDGETS_MAX: usize = 65_536;
/// (grant, reason) pairs told apart within a second.
const GRANTS_MAX: usize = 2_048;

/// See the module.
#[derive(Debug)]
pub(crate) struct Refusals {
    per_second: u32,
    burst: u32,
    sources_max: usize,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    budgets: BTreeMap<GrantId, Budget>,
    grants: BTreeMap<(GrantId, &'static str), u64>,
    strangers: BTreeMap<(String, &'static str), u64>,
}

/// A token bucket in thousandths of a refusal.
#[derive(Clone, Copy, Debug)]
struct Budget {
    milli: u64,
    since: Moment,
}

impl Refusals {
    /// With the bounds of `limits`.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            per_second: limits.refusals_per_second,
            burst: limits.refusals_burst,
            sources_max: limits.sources,
            counted: Mutex::default(),
        }
    }

    /// Refuses where the grant's budget is spent, and counts that.
    pub(crate) fn check(&self, grant: GrantId, now: Moment) -> Result<(), Refusal> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(budget) = counted.budgets.get(&grant).copied() else {
            return Ok(());
        };
        if self.filled(budget, now) >= 1_000 {
            return Ok(());
        }
        count(
            &mut counted.grants,
            (grant, Refusal::OverBudget.label()),
            GRANTS_MAX,
        );
        Err(Refusal::OverBudget)
    }

    /// Takes a refusal from the grant's budget; a malformed message is counted too, since no
    /// record of its own tells of it.
    pub(crate) fn note(&self, grant: GrantId, refusal: &Refusal, now: Moment) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if refusal.is_malformed() {
            count(&mut counted.grants, (grant, refusal.label()), GRANTS_MAX);
        }
        if !refusal.is_charged() {
            return;
        }
        if counted.budgets.len() >= BUDGETS_MAX {
            let full = u64::from(self.burst).saturating_mul(1_000);
            counted
                .budgets
                .retain(|_, budget| self.filled(*budget, now) < full);
        }
        let full = Budget {
            milli: u64::from(self.burst).saturating_mul(1_000),
            since: now,
        };
        let budget = counted.budgets.get(&grant).copied().unwrap_or(full);
        let milli = self.filled(budget, now).saturating_sub(1_000);
        counted.budgets.insert(grant, Budget { milli, since: now });
    }

    /// Counts a failed authentication of `source`.
    pub(crate) fn note_stranger(&self, source: IpAddr, reason: Unauthenticated) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (network(source), reason.reason());
        let known = counted.strangers.contains_key(&key);
        // The rest go into one bucket.
        let key = if known || counted.strangers.len() < self.sources_max {
            key
        } else {
            ("other".to_owned(), reason.reason())
        };
        let sum = counted.strangers.entry(key).or_insert(0);
        *sum = sum.saturating_add(1);
    }

    /// What was counted since the last time, if anything.
    pub(crate) fn take(&self) -> Option<Refused> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let grants = std::mem::take(&mut counted.grants);
        let strangers = std::mem::take(&mut counted.strangers);
        drop(counted);
        if grants.is_empty() && strangers.is_empty() {
            return None;
        }
        let grant =
            |((grant, reason), sum): ((GrantId, &str), u64)| (grant, reason.to_owned(), sum);
        let stranger =
            |((source, reason), sum): ((String, &str), u64)| (source, reason.to_owned(), None, sum);
        Some(Refused {
            grants: grants.into_iter().map(grant).collect(),
            strangers: strangers.into_iter().map(stranger).collect(),
        })
    }

    fn filled(&self, budget: Budget, now: Moment) -> u64 {
        let passed_ms = now.micros_since(budget.since) / 1_000;
        let more = passed_ms.saturating_mul(u64::from(self.per_second));
        budget
            .milli
            .saturating_add(more)
            .min(u64::from(self.burst).saturating_mul(1_000))
    }
}

fn count(
    counts: &mut BTreeMap<(GrantId, &'static str), u64>,
    key: (GrantId, &'static str),
    keys_max: usize,
) {
    if counts.len() < keys_max || counts.contains_key(&key) {
        let sum = counts.entry(key).or_insert(0);
        *sum = sum.saturating_add(1);
    }
}

/// The /24 or /48 that an address belongs to.
fn network(source: IpAddr) -> String {
    match source.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

/// How often counted refusals are committed.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn refusals() -> (Refusals, Moment) {
        let limits = Limits {
            refusals_burst: 3,
            refusals_per_second: 2,
            ..Limits::default()
        };
        (Refusals::new(&limits), Clock::default().moment())
    }

    const GRANT: GrantId = GrantId(*b"abcdefghijkl");

    fn denied() -> Refusal {
        Refusal::Denied {
            message: "no".to_owned(),
        }
    }

    #[test]
    fn a_spent_budget_refuses_until_it_has_refilled() {
        let (refusals, start) = refusals();
        for _ in 0..3 {
            assert_eq!(refusals.check(GRANT, start), Ok(()));
            refusals.note(GRANT, &denied(), start);
        }
        assert_eq!(refusals.check(GRANT, start), Err(Refusal::OverBudget));
        let later = start.after(Duration::from_millis(500));
        assert_eq!(refusals.check(GRANT, later), Ok(()));
        assert_eq!(refusals.check(GrantId([b'x'; 12]), start), Ok(()));
    }

    #[test]
    fn allowed_calls_and_outages_cost_no_budget() {
        let (refusals, start) = refusals();
        for _ in 0..10 {
            refusals.note(GRANT, &Refusal::NoQuorum, start);
            refusals.note(GRANT, &Refusal::UpstreamDown, start);
        }
        assert_eq!(refusals.check(GRANT, start), Ok(()));
        assert_eq!(refusals.take(), None);
    }

    #[test]
    fn refusals_over_budget_are_one_row_with_a_count() {
        let (refusals, start) = refusals();
        for _ in 0..3 {
            refusals.note(GRANT, &denied(), start);
        }
        for _ in 0..7 {
            assert!(refusals.check(GRANT, start).is_err());
        }
        let taken = refusals.take().unwrap();
        assert_eq!(taken.grants, [(GRANT, "over_budget".to_owned(), 7)]);
        assert_eq!(refusals.take(), None);
    }

    #[test]
    fn strangers_beyond_the_bound_share_a_bucket() {
        let limits = Limits {
            sources: 2,
            ..Limits::default()
        };
        let refusals = Refusals::new(&limits);
        for last in 0..5_u8 {
            let source = IpAddr::from([10, 0, last, 1]);
            refusals.note_stranger(source, Unauthenticated::Unknown);
        }
        let taken = refusals.take().unwrap();
        let rows: Vec<_> = taken
            .strangers
            .iter()
            .map(|(source, _, _, sum)| (source.as_str(), *sum))
            .collect();
        assert_eq!(rows, [("10.0.0.0/24", 1), ("10.0.1.0/24", 1), ("other", 3)]);
        assert_eq!(
            network("2001:db8:1:2::3".parse().unwrap()),
            "2001:db8:1::/48"
        );
    }
}
