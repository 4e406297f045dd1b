//! Interleaved rounds, by the thread's own CPU time: on a machine that others use, the clock on
//! the wall counts them too.

use std::fmt;
use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// Rounds of each way.
pub const ROUNDS: usize = 15;
/// Nanoseconds that one round should take.
const ROUND_NS: u64 = 20_000_000;

/// Whether a call with this body may pass.
pub type Decide<'w> = Box<dyn FnMut(&[u8]) -> bool + 'w>;

/// One way to decide.
pub struct Way<'w> {
    /// As tables show it.
    pub name: &'static str,
    /// How it decides.
    pub allows: Decide<'w>,
}

impl<'w> Way<'w> {
    /// This way by this name.
    pub fn new(name: &'static str, allows: impl FnMut(&[u8]) -> bool + 'w) -> Self {
        Self {
            name,
            allows: Box::new(allows),
        }
    }
}

impl fmt::Debug for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Way").field(&self.name).finish()
    }
}

/// CPU nanoseconds that the thread has had.
pub fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// CPU nanoseconds of `work`, `times` times.
fn time(times: u64, mut work: impl FnMut()) -> u64 {
    let start = thread_ns();
    for _ in 0..times {
        work();
    }
    thread_ns() - start
}

/// CPU nanoseconds of each work once: the median of interleaved rounds.
pub fn interleaved(works: &mut [&mut dyn FnMut()]) -> Vec<u64> {
    let times: Vec<u64> = works
        .iter_mut()
        .map(|work| {
            let once = time(8, &mut *work) / 8;
            (ROUND_NS / once.max(1)).max(4)
        })
        .collect();
    let mut rounds: Vec<Vec<u64>> = vec![Vec::new(); works.len()];
    for _ in 0..ROUNDS {
        for ((work, times), figures) in works.iter_mut().zip(&times).zip(&mut rounds) {
            figures.push(time(*times, &mut *work));
        }
    }
    rounds
        .into_iter()
        .zip(times)
        .map(|(figures, times)| median(figures) / times)
        .collect()
}

/// CPU nanoseconds that each way takes for one decision on `body`.
pub fn decisions(ways: &mut [Way<'_>], body: &[u8]) -> Vec<u64> {
    let mut works: Vec<_> = ways
        .iter_mut()
        .map(|way| {
            || {
                black_box((way.allows)(black_box(body)));
            }
        })
        .collect();
    let mut works: Vec<&mut dyn FnMut()> = works
        .iter_mut()
        .map(|work| work as &mut dyn FnMut())
        .collect();
    interleaved(&mut works)
}

fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
