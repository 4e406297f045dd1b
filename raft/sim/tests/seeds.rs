//! A few seeds in each run of the tests, every seed that ever failed, and that a seed repeats.

use std::fs;
use std::path::Path;

use tollbook_sim::{Fault, Outcome, Setting, run};

/// CI runs more: `make sim`.
const SEEDS: u64 = 40;

fn holds(seed: u64, setting: &Setting) -> Outcome {
    let outcome = run(seed, setting, None);
    let command = format!("cargo run -p tollbook-sim -- --seed {seed} --trace");
    assert_eq!(outcome.violation, None, "{command}");
    outcome
}

#[test]
fn what_must_hold_holds_over_a_few_seeds() {
    let mut records = 0;
    for seed in 0..SEEDS {
        records += holds(seed, &Setting::default()).records;
    }
    // A simulation in which nothing happens holds anything.
    assert!(records > 100 * usize::try_from(SEEDS).unwrap());
}

#[test]
fn a_cluster_of_one_holds_as_well() {
    let setting = Setting {
        nodes: Some(1),
        ..Setting::default()
    };
    for seed in 0..10 {
        assert_eq!(holds(seed, &setting).nodes, 1);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..6 {
        let first = run(seed, &Setting::default(), None);
        let again = run(seed, &Setting::default(), None);
        assert!(first.events > 1000);
        assert_eq!(first, again);
        let other = run(seed + 100, &Setting::default(), None);
        assert_ne!(first.trace, other.trace);
    }
}

/// The first line of each file in `seeds/` is a seed and the arguments that it failed with.
#[test]
fn seeds_that_failed_once_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "txt"))
        .collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut words = text.lines().next().unwrap().split(' ');
        let seed = words.next().unwrap().parse().unwrap();
        let mut setting = Setting::default();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                "--nodes" => setting.nodes = Some(value.parse().unwrap()),
                "--faults" => setting.faults = value.split(',').map(fault).collect(),
                _ => panic!("{name} of {}", file.display()),
            }
        }
        holds(seed, &setting);
    }
}

fn fault(name: &str) -> Fault {
    let named = Fault::ALL.into_iter().find(|fault| fault.name() == name);
    named.expect("a fault's name")
}
