//! Limits that let nothing pass, or that another one makes needless.

use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

use super::{Entry, Placed};
use crate::check::fields::quoted;
use crate::finding::{Findings, code};
use crate::model::{Amount, Limit, Scope, Window};

/// Tools that charge one counter and are looked at together.
const CHARGING_MAX: usize = 64;

/// What a counter is told from others by.
type Key<'d> = (&'d str, Scope, Window);

pub(super) fn lint<'d>(
    findings: &mut Findings<'d>,
    entries: &[Entry<'d>],
    hidden: &BTreeSet<&str>,
) {
    let star = entries.iter().find(|entry| entry.is_star());
    let star = star.map(|star| star.limits.as_slice()).unwrap_or_default();
    let reached: Vec<&Entry<'d>> = entries
        .iter()
        .filter(|entry| entry.is_reached(hidden))
        .collect();
    let mut charging: BTreeMap<Key<'d>, Vec<&[Placed<'d, Limit>]>> = BTreeMap::new();
    for entry in &reached {
        for limit in &entry.limits {
            let all = charging.entry(key(limit.read)).or_default();
            all.push(&entry.limits);
        }
    }
    for entry in &reached {
        for limit in &entry.limits {
            if !closed(findings, *limit) {
                idle(findings, *limit, &entry.limits, star, &charging);
            }
        }
    }
}

fn key(limit: &Limit) -> Key<'_> {
    (&limit.counter, limit.scope, limit.window)
}

/// A limit that is spent before it is used.
fn closed<'d>(findings: &mut Findings<'d>, limit: Placed<'d, Limit>) -> bool {
    let Placed { value, read } = limit;
    let max = read.max;
    let message = match read.amount {
        Amount::Fixed(_) if max == 0 => "a `max` of 0 lets no call pass".to_owned(),
        Amount::From(_) if max == 0 => {
            "a `max` of 0 lets only calls pass whose amount is 0".to_owned()
        }
        Amount::Fixed(amount) if amount > max => {
            format!("one call is charged {amount}, more than the `max` of {max}: none passes")
        }
        Amount::Fixed(_) | Amount::From(_) => return false,
    };
    let place = value.get(if max == 0 { "max" } else { "increment" });
    let help = "if no call is to pass, hide the tool or give it a `deny`";
    findings.warning(
        code::WARN_LIMIT_CLOSED,
        place.unwrap_or(value),
        message,
        help,
    );
    true
}

/// A limit of a shorter window that is never reached before that of a longer one. That is certain
/// where whoever charges the one charges the other the same.
fn idle<'d>(
    findings: &mut Findings<'d>,
    limit: Placed<'d, Limit>,
    own: &[Placed<'d, Limit>],
    star: &[Placed<'d, Limit>],
    charging: &BTreeMap<Key<'d>, Vec<&[Placed<'d, Limit>]>>,
) {
    let covers = |other: &&Placed<'d, Limit>| {
        let (one, other) = (limit.read, other.read);
        one.counter == other.counter
            && one.scope == other.scope
            && one.window < other.window
            && other.max <= one.max
    };
    let Some(longer) = own.iter().chain(star).find(covers) else {
        return;
    };
    let both = |limits: &&[Placed<'d, Limit>]| {
        let all = || limits.iter().chain(star);
        let mut short = all().filter(|one| key(one.read) == key(limit.read));
        let long = all().find(|one| key(one.read) == key(longer.read));
        short.all(|short| long.is_some_and(|long| is_same(&short.read.amount, &long.read.amount)))
    };
    let Some(all) = charging.get(&key(limit.read)) else {
        return;
    };
    if all.len() <= CHARGING_MAX && all.iter().all(both) {
        let message = format!(
            "this limit of counter {} is never reached before the one by {} on line {}, which is \
             no larger",
            quoted(&limit.read.counter),
            longer.read.window.name(),
            findings.line_of(longer.value)
        );
        let help = "make it smaller than that one, or take it out";
        findings.warning(code::WARN_LIMIT_IDLE, limit.value, message, help);
    }
}

fn is_same(one: &Amount, other: &Amount) -> bool {
    match (one, other) {
        (Amount::Fixed(one), Amount::Fixed(other)) => one == other,
        (Amount::From(one), Amount::From(other)) => one.steps == other.steps,
        (Amount::Fixed(_) | Amount::From(_), _) => false,
    }
}
