//! `tollbook-sim`: runs seeds and says which of them break what must hold.

use std::env;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tollbook_sim::{Fault, Outcome, Setting, run};

const USAGE: &str = "tollbook-sim --seeds A..B | --seed N [--trace]
    [--nodes N] [--faults clocks,crashes,disks,members,network,pauses]
tollbook-sim --planted (built with the feature `planted`)";

/// What was asked for.
struct Asked {
    seeds: Range<u64>,
    setting: Setting,
    trace: bool,
    /// The part of the command that says more than the seed.
    more: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    #[cfg(feature = "planted")]
    if arguments == ["--planted"] {
        return planted();
    }
    let Some(asked) = parse(&arguments) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let sink: Option<fn(&str)> = asked.trace.then_some(say);
    let count = asked.seeds.end.saturating_sub(asked.seeds.start);
    let (mut failed, mut records, mut attempts, mut us) = (0_u64, 0, 0, 0);
    for (done, seed) in asked.seeds.clone().enumerate() {
        let outcome = run(seed, &asked.setting, sink);
        records += outcome.records;
        attempts += outcome.attempts;
        us += outcome.us;
        if outcome.violation.is_some() {
            failed += 1;
            report(seed, &asked, &outcome);
        }
        if (done + 1) % 50 == 0 {
            say(&format!("{} of {count} seeds, {failed} failed", done + 1));
        }
    }
    let simulated = Duration::from_micros(us).as_secs();
    say(&format!(
        "{count} seeds, {simulated} s simulated, {attempts} commands, {records} records, \
         {failed} failed"
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says of each planted bug what found it.
#[cfg(feature = "planted")]
fn planted() -> ExitCode {
    say(&format!(
        "{:<20} {:<13} {:>5}  what was found",
        "bug", "invariant", "seeds"
    ));
    let mut missed = 0;
    for tollbook_sim::Found { bug, found } in tollbook_sim::find() {
        let bug = format!("{bug:?}");
        match found {
            Some((violation, seeds)) => say(&format!(
                "{bug:<20} {:<13} {seeds:>5}  {}",
                violation.invariant, violation.what
            )),
            None => {
                missed += 1;
                say(&format!(
                    "{bug:<20} not found in {} seeds",
                    tollbook_sim::SEEDS_LIMIT
                ));
            }
        }
    }
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says what was found, and keeps it as a file that the tests run.
fn report(seed: u64, asked: &Asked, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else {
        return;
    };
    let command = format!("cargo run -p tollbook-sim -- --seed {seed}{}", asked.more);
    say(&format!("seed {seed}: {violation}\n    {command} --trace"));
    if asked.trace {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("seeds/{seed}.txt"));
    let text = format!("{seed}{}\n{violation}\n", asked.more);
    if let Err(error) = fs::File::create(&file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
    {
        say(&format!(
            "    `{}` cannot be written: {error}",
            file.display()
        ));
    }
}

fn parse(arguments: &[String]) -> Option<Asked> {
    let mut asked = Asked {
        seeds: 0..0,
        setting: Setting::default(),
        trace: false,
        more: String::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--trace" => asked.trace = true,
            "--seed" => {
                let seed: u64 = arguments.next()?.parse().ok()?;
                asked.seeds = seed..seed + 1;
            }
            "--seeds" => {
                let (begin, end) = arguments.next()?.split_once("..")?;
                asked.seeds = begin.parse().ok()?..end.parse().ok()?;
            }
            "--nodes" => {
                let nodes = arguments.next()?;
                asked.setting.nodes = Some(nodes.parse().ok()?);
                asked.more = format!("{} --nodes {nodes}", asked.more);
            }
            "--faults" => {
                let faults = arguments.next()?;
                let named = |name| Fault::ALL.into_iter().find(|fault| fault.name() == name);
                asked.setting.faults = faults.split(',').map(named).collect::<Option<_>>()?;
                asked.more = format!("{} --faults {faults}", asked.more);
            }
            _ => return None,
        }
    }
    (!asked.seeds.is_empty()).then_some(asked)
}

#[expect(clippy::print_stderr, reason = "a program's one way to say something")]
fn say(line: &str) {
    eprintln!("{line}");
}
