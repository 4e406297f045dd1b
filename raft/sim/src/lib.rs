//! Simulates a cluster: real consensus, state and book on a network, disks, clocks and a nemesis
//! that follow one seed. Knows no socket, file or thread, and nothing that ships uses it.
//!
//! Everything runs on one thread. A process is a runtime of its own, with a clock that stands
//! still until the world moves it; dropping the runtime is its death, at whatever await its tasks
//! stand. The same seed gives the same trace, event for event.

mod book;
mod gateway;
mod history;
mod invariants;
mod members;
mod nemesis;
mod net;
mod plan;
#[cfg(feature = "planted")]
mod planted;
mod process;
mod rng;
mod signer;
mod trace;
mod workload;
mod world;

pub use self::invariants::Violation;
pub use self::plan::{Fault, Setting};
#[cfg(feature = "planted")]
pub use self::planted::{Found, SEEDS_LIMIT, find};

use self::nemesis::Nemesis;
use self::plan::Plan;
use self::rng::Rng;
use self::trace::Trace;
use self::world::World;

#[cfg(not(any(tokio_unstable, doc, doctest)))]
compile_error!("a seeded tokio needs `--cfg tokio_unstable`: build inside the repository");

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What does not hold, if anything.
    pub violation: Option<Violation>,
    /// Hash of the full trace of events.
    pub trace: [u8; 32],
    /// Events in it.
    pub events: u64,
    /// Records in the book at the end.
    pub records: usize,
    /// Commands that clients asked for.
    pub attempts: usize,
    /// Nodes at the beginning.
    pub nodes: u64,
    /// How long it was, by the simulation's time, in microseconds.
    pub us: u64,
}

/// Runs one seed. `sink` sees each event as a line.
#[must_use]
pub fn run(seed: u64, setting: &Setting, sink: Option<fn(&str)>) -> Outcome {
    let trace = Trace::new(sink);
    let mut rng = Rng::new(seed);
    let plan = Plan::draw(setting, &mut rng);
    trace.note(0, format_args!("seed {seed}: {plan:?}"));
    let nodes = plan.nodes;
    let mut world = World::new(seed, plan, trace.clone());
    let result = live(&mut world);
    let (violation, records) = match result {
        Ok(records) => (None, records),
        Err(violation) => (Some(violation), 0),
    };
    if let Some(violation) = &violation {
        trace.note(0, format_args!("violated: {violation}"));
    }
    let (events, digest) = trace.digest();
    Outcome {
        violation,
        trace: digest,
        events,
        records,
        attempts: world.attempts(),
        nodes,
        us: world.now_us,
    }
}

fn live(world: &mut World) -> Result<usize, Violation> {
    let mut nemesis = Nemesis::new();
    world.net.weather(world.plan.weather);
    while world.now_us < world.plan.faults_us {
        nemesis.strike(world);
        world.slice();
        if let Some(violation) = world.violation() {
            return Err(violation);
        }
    }
    world.end_faults();
    let healing = world.serve_the_rest(&mut nemesis.members)?;
    world.judge(healing)
}
