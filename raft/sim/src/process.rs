//! A simulated process: a runtime of its own, whose clock moves only when the world says so.
//!
//! A runtime per process, not one for all: dropping it ends every task of the process at whatever
//! await it stands, openraft's own included, as a `kill -9` does; nothing in the code under test
//! needs to know. [`Process::die_after`] stops it between two polls of any of its tasks.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, RngSeed, Runtime, UnhandledPanic};
use tokio::time::{Instant, sleep_until};

use tollbook_raft::Clock;
use tollbook_state::command::Micros;

use crate::gateway::Gateway;
use crate::rng::Rng;

/// How far a process has come. Shared by the process and the world.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Starting,
    /// It does not start, and says why.
    Refused(String),
    Serving(Box<Gateway>),
    /// It ended itself.
    Failed(String),
    /// It ended because it was asked to.
    Stopped,
}

/// What the world sees of a process. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    stage: Arc<Mutex<Stage>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            stage: Arc::new(Mutex::new(Stage::Starting)),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.lock().clone()
    }

    /// The first reason to end is the one that counts.
    pub(crate) fn set(&self, stage: Stage) {
        let mut now = self.lock();
        match &*now {
            Stage::Starting | Stage::Serving(_) => *now = stage,
            Stage::Refused(_) | Stage::Failed(_) | Stage::Stopped => {}
        }
    }

    /// The node, if it serves.
    pub(crate) fn gateway(&self) -> Option<Gateway> {
        match self.stage() {
            Stage::Serving(gateway) => Some(*gateway),
            Stage::Starting | Stage::Refused(_) | Stage::Failed(_) | Stage::Stopped => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A machine's clocks. They outlive its processes.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    /// Parts of a million by which they run fast.
    pub(crate) drift_ppm: i64,
    /// The wall clock, on top of the time since the simulation began.
    wall_us: Arc<AtomicI64>,
    /// The machine's time at the beginning of the slice.
    slice_us: Arc<AtomicU64>,
}

impl Clocks {
    pub(crate) fn new(wall_us: i64, drift_ppm: i64) -> Self {
        Self {
            drift_ppm,
            wall_us: Arc::new(AtomicI64::new(wall_us)),
            slice_us: Arc::default(),
        }
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump(&self, by_us: i64) {
        self.wall_us.fetch_add(by_us, Ordering::Relaxed);
    }

    /// The machine's time, when the simulation's is `world_us`.
    pub(crate) fn local_us(&self, world_us: u64) -> u64 {
        let world = i64::try_from(world_us).unwrap_or(i64::MAX);
        let local = world + world / 1000 * self.drift_ppm / 1000;
        u64::try_from(local).unwrap_or(0)
    }

    /// For [`tollbook_raft::Options`].
    pub(crate) fn wall(&self) -> Clock {
        let clocks = self.clone();
        Arc::new(move || {
            let slice = i64::try_from(clocks.slice_us.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            let wall = clocks.wall_us.load(Ordering::Relaxed).saturating_add(slice);
            Micros(u64::try_from(wall).unwrap_or(0))
        })
    }
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    runtime: Runtime,
    clocks: Clocks,
    /// The machine's time at which the process began, and what its runtime called that.
    began_us: u64,
    began: Instant,
    pub(crate) watch: Watch,
}

impl Process {
    /// Starts `main` at the simulation's time `world_us`.
    pub(crate) fn start(
        world_us: u64,
        clocks: Clocks,
        rng: &mut Rng,
        watch: Watch,
        main: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            // So that a process can be stopped between any two polls.
            .event_interval(1)
            // A panic ends a process; here it must not pass unseen.
            .unhandled_panic(UnhandledPanic::ShutdownRuntime)
            .rng_seed(RngSeed::from_bytes(&rng.next().to_le_bytes()))
            .build()
            .expect("a runtime without IO needs nothing of the system");
        let began = runtime.block_on(async { Instant::now() });
        drop(runtime.spawn(main));
        Self {
            runtime,
            began_us: clocks.local_us(world_us),
            clocks,
            began,
            watch,
        }
    }

    /// Runs until the simulation's time is `world_us`.
    pub(crate) fn run_until(&self, from_us: u64, world_us: u64) {
        self.set_slice(from_us);
        let until = self.instant(world_us);
        let ran = catch_unwind(AssertUnwindSafe(|| {
            self.runtime.block_on(async { sleep_until(until).await });
        }));
        if ran.is_err() {
            self.watch.set(Stage::Failed("a task panicked".into()));
        }
    }

    /// The machine stood still until `world_us`, and finds that its clock has moved.
    pub(crate) fn wake_at(&self, world_us: u64) {
        let until = self.instant(world_us);
        self.runtime.block_on(async {
            let now = Instant::now();
            tokio::time::advance(until.saturating_duration_since(now)).await;
        });
    }

    /// Runs for so many polls of its tasks and no longer.
    pub(crate) fn die_after(self, from_us: u64, polls: u64) {
        self.set_slice(from_us);
        let mut left = polls;
        let polls = poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        });
        // A panic is as good an end as any other.
        drop(catch_unwind(AssertUnwindSafe(|| {
            self.runtime.block_on(polls);
        })));
        drop(self);
    }

    /// Runs something in the process.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(task));
    }

    fn set_slice(&self, from_us: u64) {
        let local = self.clocks.local_us(from_us);
        self.clocks.slice_us.store(local, Ordering::Relaxed);
    }

    fn instant(&self, world_us: u64) -> Instant {
        let local = self.clocks.local_us(world_us);
        self.began + Duration::from_micros(local.saturating_sub(self.began_us))
    }
}
