//! The node's only sources of time. Everything else asks these, so that tests own time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use tollbook_state::command::Micros;

/// Wall time and elapsed time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    ahead_us: u64,
    moved_us: Option<&'static AtomicU64>,
}

/// A moment on a clock that counts suspension: a deadline must not be stretched by a laptop that
/// slept (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Clock {
    /// The machine's clock, or one that is a few minutes ahead of it if an hour, and perhaps a day
    /// or month, is about to end.
    pub fn away_from_the_hour() -> Self {
        const HOUR_US: u64 = 3_600_000_000;
        const EDGE_US: u64 = HOUR_US / 12;
        let left = HOUR_US - Self::default().wall().0 % HOUR_US;
        let ahead_us = if left < EDGE_US {
            left.saturating_add(1_000_000)
        } else {
            0
        };
        Self {
            ahead_us,
            moved_us: None,
        }
    }

    /// The same clock, whose wall time is further ahead by what `moved_us` holds: a jump of the
    /// machine's clock, for tests.
    #[must_use]
    pub fn moved_by(self, moved_us: &'static AtomicU64) -> Self {
        Self {
            moved_us: Some(moved_us),
            ..self
        }
    }

    /// Microseconds since the Unix epoch, as this machine believes. May jump.
    pub fn wall(self) -> Micros {
        let moved_us = self
            .moved_us
            .map_or(0, |moved| moved.load(Ordering::Relaxed));
        let ahead_us = self.ahead_us.saturating_add(moved_us);
        Micros(micros(clock_gettime(ClockId::Realtime)).saturating_add(ahead_us))
    }

    /// Now, for deadlines and durations. Never goes back.
    pub fn moment(self) -> Moment {
        Moment(Duration::from_micros(micros(clock_gettime(
            ClockId::Boottime,
        ))))
    }
}

impl Moment {
    /// The moment `later` from this one.
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// How much of the time until `self` is left at `now`; zero once it has passed.
    pub fn left(self, now: Self) -> Duration {
        self.0.saturating_sub(now.0)
    }

    /// Microseconds from `earlier` to this moment.
    pub fn micros_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0).as_micros()).unwrap_or(u64::MAX)
    }
}

/// A negative time (a clock set before 1970) reads as zero: the log's own clock then holds it.
fn micros(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1_000)
}

/// How far the wall clock may move between two stamps beyond what has passed.
const JUMP_US: u64 = 10_000_000;

/// Stamps entries with the wall clock, but does not follow it through a jump: one entry from 2099
/// would freeze every window and expire every grant for good. After a jump it goes on by elapsed
/// time and says so, until the node is started again with the jump accepted.
#[derive(Debug)]
pub struct Stamps {
    clock: Clock,
    last: Mutex<(Micros, Moment)>,
    jumped: AtomicBool,
}

impl Stamps {
    /// Begins at the wall clock as it is.
    pub fn new(clock: Clock) -> Self {
        let last = Mutex::new((clock.wall(), clock.moment()));
        Self {
            clock,
            last,
            jumped: AtomicBool::new(false),
        }
    }

    /// The time of an entry that is proposed now.
    pub fn stamp(&self) -> Micros {
        let (wall, moment) = (self.clock.wall(), self.clock.moment());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = Micros(last.0.0.saturating_add(moment.micros_since(last.1)));
        let jumped = wall.0.abs_diff(expected.0) > JUMP_US;
        let stamp = if jumped { expected } else { wall };
        if self.jumped.swap(jumped, Ordering::Relaxed) != jumped {
            tracing::error!(jumped, "the machine's clock jumped against elapsed time");
        }
        *last = (stamp, moment);
        stamp
    }

    /// Whether the wall clock is elsewhere than where it was last followed to.
    pub fn has_jumped(&self) -> bool {
        // A clock that came back is seen though nothing is proposed meanwhile.
        self.stamp();
        self.jumped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_left_until_it_has_passed() {
        let now = Clock::default().moment();
        let deadline = now.after(Duration::from_secs(3));
        assert_eq!(deadline.left(now), Duration::from_secs(3));
        assert_eq!(now.left(deadline), Duration::ZERO);
        assert_eq!(deadline.micros_since(now), 3_000_000);
    }

    #[test]
    fn stamps_do_not_follow_a_clock_that_jumps() {
        let stamps = Stamps::new(Clock::default());
        let before = stamps.stamp();
        // As if the wall clock had been a day behind until now.
        stamps.last.lock().unwrap().0.0 -= 86_400_000_000;
        let after = stamps.stamp();
        assert!(stamps.has_jumped());
        assert!(after.0 < before.0 - 86_000_000_000);
    }
}
