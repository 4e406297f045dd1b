//! The machine stops at every single write of a workload, and each time comes back with all that
//! anybody was told.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may panic"
)]
#![expect(dead_code, reason = "the other runner uses the rest of the machine")]

mod common;

use proptest::prelude::*;

use tollbook_storage::Crash;

use self::common::{Exercised, Machine, Outcome};

/// Each step of a short life, process death and power loss alike.
#[test]
fn nothing_acknowledged_is_lost_whichever_write_is_the_last() {
    let steps = Machine::new().steps_of_a_life();
    assert!(steps > 60, "the workload writes: {steps}");
    let mut exercised = Exercised::default();
    for step in 1..=steps {
        let power = (0..4).map(|n| Crash::Power { seed: step * 4 + n });
        for crash in [Crash::Process].into_iter().chain(power) {
            let mut machine = Machine::new();
            let first = machine.live_until(step);
            machine.crash(crash);
            // The second life replays, compares, goes on, and ends in order.
            let second = machine.live();
            assert_eq!(
                second,
                Outcome::Orderly,
                "step {step}, {crash:?}, after {first:?}"
            );
            machine.check_book();
            let Exercised {
                state_flushes,
                frames_compared,
                torn_tails,
                purged_logs,
            } = machine.exercised();
            exercised.state_flushes += state_flushes;
            exercised.frames_compared += frames_compared;
            exercised.torn_tails += torn_tails;
            exercised.purged_logs += purged_logs;
        }
    }
    assert!(exercised.state_flushes > 0);
    assert!(exercised.frames_compared > 0);
    assert!(exercised.torn_tails > 0);
    assert!(exercised.purged_logs > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Several crashes in a row, also while recovering from the one before.
    #[test]
    fn a_machine_that_stops_again_and_again_loses_nothing(
        stops in prop::collection::vec((1u64..160, any::<Option<u64>>()), 1..6),
    ) {
        let mut machine = Machine::new();
        for (step, power) in stops {
            machine.live_until(step);
            machine.crash(power.map_or(Crash::Process, |seed| Crash::Power { seed }));
        }
        prop_assert_eq!(machine.live(), Outcome::Orderly);
        machine.check_book();
    }
}

/// More than the queue holds, before the node could take any: the rest is refused by name, and
/// what was taken is committed, each once.
#[test]
fn a_full_queue_refuses_and_serves_what_it_took() {
    let mut machine = Machine::new();
    assert_eq!(machine.flood(), Outcome::Orderly);
    machine.check_book();
}
