//! `loadtest chaos`: three real nodes, a proxy between them that loses and delays, processes that
//! are killed and stopped, callers at every node, and promises that are checked from outside.
//!
//! The seed decides which faults come and when. What the nodes make of them depends on the
//! machine's own timing too, so a seed that fails fails again often, not always.

#![expect(
    clippy::disallowed_methods,
    reason = "callers and faults live by the machine's clock, and scratch files need no durability"
)]

mod book;
mod client;
mod faults;
mod http;
mod invariants;
mod load;
mod nodes;
mod proxy;
mod seed;
mod witness;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use tempfile::TempDir;

use self::book::Book;
use self::client::{Answer, Calls, Holder};
use self::faults::Tally;
use self::invariants::Run;
use self::load::Revoked;
use self::nodes::{Node, Ports};
use self::proxy::Proxy;
use self::seed::Seed;
use self::witness::Witness;
use crate::peers::{PeerError, program};

const NODES: usize = 3;
/// Between two looks at something that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// For a cluster whose faults are gone to serve at every node.
const HEALED_WITHIN: Duration = Duration::from_secs(60);
/// For the newest checkpoint to reach every node once nothing is written.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// The greedy grant meets its limit during the faults, the steady one only after them.
const LIMITED: [(&str, bool); 2] = [("greedy", false), ("steady", true)];
const FREE: &str = r#"{"version":"1","default":"deny","tools":{"count":{}}}"#;

/// Three nodes, a seed's faults, and what must hold of them
#[derive(Args)]
pub(crate) struct Chaos {
    /// What the faults are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds of faults
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Calls a day of each limited grant [default: 25 for each second, at least 1,000]
    #[arg(long)]
    limit: Option<u64>,
}

/// Runs it; a failure where a promise was broken.
pub(crate) fn run(chaos: &Chaos) -> Result<ExitCode, PeerError> {
    let home = TempDir::with_prefix("tollbook-chaos-")?;
    let by_time = chaos.seconds.saturating_mul(25).max(1_000);
    let limit = chaos.limit.unwrap_or(by_time);
    println!(
        "seed {}, {} s of faults, a limit of {limit} calls a day for each of two grants",
        chaos.seed, chaos.seconds
    );
    let outcome = play(chaos, limit, home.path());
    let violations = match outcome {
        Ok(violations) => violations,
        Err(error) => vec![format!("the run broke off: {error}")],
    };
    println!("violations {}", violations.len());
    if violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for line in violations {
        println!("  {line}");
    }
    println!("the nodes' directories are kept: {}", home.keep().display());
    println!(
        "again: loadtest chaos --seed {} --seconds {} --limit {limit}",
        chaos.seed, chaos.seconds
    );
    Ok(ExitCode::FAILURE)
}

/// All of a run; what was broken.
fn play(chaos: &Chaos, limit: u64, home: &Path) -> Result<Vec<String>, PeerError> {
    let witness = Witness::start()?;
    let ports = Ports::free()?;
    let proxy = Proxy::start(ports.each_ref().map(|ports| ports.peer), chaos.seed)?;
    let nodes = nodes::start(home, &ports, &proxy)?;
    let holders = set_up(&nodes, home, &witness, limit)?;
    let (calls, revoked) = (Calls::default(), Revoked::default());
    let mut broken = Vec::new();
    let tally = under_faults(chaos, &nodes, &proxy, &holders, (&calls, &revoked))?;
    broken.extend(nodes.iter().filter_map(Node::ended));
    for holder in &holders {
        broken.extend(use_up(&calls, &nodes, holder, limit));
    }
    broken.extend(settle(&nodes)?);
    for node in &nodes {
        node.signal("-TERM")?;
    }
    for node in &nodes {
        broken.extend(node.wait()?);
        broken.extend(verify(node)?);
    }
    let run = gather(&nodes, &calls, &witness, revoked)?;
    show(&run, &tally, &proxy);
    for holder in &holders {
        let label = &holder.label;
        broken.extend(invariants::no_more_than_the_limit(&run, label, limit));
        broken.extend(invariants::all_of_the_limit(&run, label, limit));
    }
    let promises = [
        invariants::an_intent_before_each_call,
        invariants::nothing_twice,
        invariants::no_call_after_a_revoke,
        invariants::every_answer_is_on_record,
        invariants::the_same_records,
        invariants::the_same_roots,
    ];
    for promise in promises {
        broken.extend(invariants::shortened(promise(&run)));
    }
    Ok(broken)
}

/// The server, two policies, and the two limited grants.
fn set_up(
    nodes: &[Node],
    home: &Path,
    witness: &Witness,
    limit: u64,
) -> Result<Vec<Holder>, PeerError> {
    let first = nodes
        .first()
        .ok_or_else(|| PeerError::new("no node".into()))?;
    first.command(&["server", "add", "witness", "--url", &witness.url])?;
    let limited = FREE.replace(
        "{}",
        &format!(
            r#"{{"limits":[{{"counter":"calls","window":"day","scope":"grant","max":{limit}}}]}}"#
        ),
    );
    for (name, text) in [("free", FREE), ("limited", &limited)] {
        let file = home.join(format!("{name}.json"));
        nodes::scratch(&file, text)?;
        first.command(&["policy", "apply", name, &file.to_string_lossy()])?;
    }
    let made = LIMITED
        .iter()
        .map(|(label, _)| first.grant(label, "limited"));
    made.collect()
}

/// Callers at all nodes while the seed's faults befall them.
fn under_faults(
    chaos: &Chaos,
    nodes: &[Node],
    proxy: &Proxy,
    holders: &[Holder],
    (calls, revoked): (&Calls, &Revoked),
) -> Result<Tally, PeerError> {
    let stop = AtomicBool::new(false);
    let end = Instant::now() + Duration::from_secs(chaos.seconds);
    let stream = |number| Seed::stream(chaos.seed, number);
    std::thread::scope(|scope| {
        for node in nodes {
            for (holder, (_, steady)) in holders.iter().zip(LIMITED) {
                let stop = &stop;
                scope.spawn(move || load::limited(calls, node, holder, steady, stop));
            }
        }
        scope.spawn(|| load::come_and_go(calls, nodes, revoked, stream(1), &stop));
        let weather = scope.spawn(|| faults::weather(proxy, stream(2), end));
        let befallen = faults::processes(nodes, stream(3), end);
        let weather = weather.join();
        proxy.heal();
        stop.store(true, Ordering::Relaxed);
        let mut tally = befallen?;
        tally.extend(weather.unwrap_or_default());
        Ok(tally)
    })
}

/// Calls at all nodes in turn until each denies: the rest of the limit, and not one call more.
fn use_up(calls: &Calls, nodes: &[Node], holder: &Holder, limit: u64) -> Option<String> {
    let mut callers: Vec<_> = nodes.iter().map(|node| calls.at(&node.data)).collect();
    let mut end = Instant::now() + HEALED_WITHIN;
    let mut denied = 0;
    let mut made = 0;
    while denied < NODES {
        denied = 0;
        for (caller, node) in callers.iter_mut().zip(nodes) {
            loop {
                match caller.call(holder) {
                    Answer::Done => {
                        made += 1;
                        end = Instant::now() + HEALED_WITHIN;
                    }
                    Answer::Denied => denied += 1,
                    Answer::Nothing | Answer::Refused(_) | Answer::Unsettled => {
                        if Instant::now() > end {
                            return Some(format!("{} does not serve after healing", node.name));
                        }
                        std::thread::sleep(LOOK_AGAIN);
                        continue;
                    }
                }
                break;
            }
        }
        if made > limit {
            return Some(format!("`{}` is never denied", holder.label));
        }
    }
    println!(
        "`{}`: {made} calls were left of its limit after healing",
        holder.label
    );
    None
}

/// Waits until all nodes hold the same newest checkpoint.
fn settle(nodes: &[Node]) -> Result<Option<String>, PeerError> {
    let end = Instant::now() + SETTLED_WITHIN;
    loop {
        let mut newest = Vec::new();
        for node in nodes {
            newest.push(notes(&node.dir)?.pop_last());
        }
        if newest
            .iter()
            .all(|note| note.is_some() && Some(note) == newest.first())
        {
            return Ok(None);
        }
        if Instant::now() > end {
            let sizes = newest.iter().map(|note| note.as_ref().map(|note| note.0));
            let sizes: Vec<_> = sizes.collect();
            return Ok(Some(format!(
                "the newest checkpoints differ: sizes {sizes:?}"
            )));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// What `tollbook audit verify` has against a node's book. An intent that nobody settled yet, a
/// clock that was held, and a stop record that no majority was left to sign are no findings.
fn verify(node: &Node) -> Result<Option<String>, PeerError> {
    let verify = ["audit", "verify", "--json"];
    let done = Command::new(program()?)
        .args(verify)
        .arg(&node.dir)
        .output()?;
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
    let verdict = report.get("verdict").and_then(serde_json::Value::as_str);
    let line = || format!("the book of {} does not verify: {report}", node.name);
    Ok((!matches!(verdict, Some("valid" | "exceptions"))).then(line))
}

/// The signed lines of a node's checkpoints, by size.
fn notes(dir: &Path) -> Result<BTreeMap<u64, String>, PeerError> {
    let mut notes = BTreeMap::new();
    for entry in std::fs::read_dir(dir.join("log/checkpoints"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "note") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let body: Vec<&str> = text.lines().take(3).collect();
        let size = body.get(1).and_then(|size| size.parse().ok());
        notes.insert(size.unwrap_or_default(), body.join("\n"));
    }
    Ok(notes)
}

fn gather(
    nodes: &[Node],
    calls: &Calls,
    witness: &Witness,
    revoked: Revoked,
) -> Result<Run, PeerError> {
    let mut pages = Vec::new();
    let mut all_notes = Vec::new();
    for node in nodes {
        pages.push((node.name.clone(), book::read(&node.dir)?));
        all_notes.push((node.name.clone(), notes(&node.dir)?));
    }
    let longest = pages
        .iter()
        .max_by_key(|(_, pages)| pages.last_key_value().map(|last| *last.0));
    let book = longest.map_or_else(Book::default, |(_, pages)| Book::of(pages));
    Ok(Run {
        made: calls.made(),
        seen: witness.seen(),
        revoked: revoked.into_inner().unwrap_or_else(PoisonError::into_inner),
        book,
        pages,
        notes: all_notes,
    })
}

fn show(run: &Run, tally: &Tally, proxy: &Proxy) {
    println!("faults");
    for (name, count) in tally {
        println!("  {count:>6}  {name}");
    }
    let passed = proxy.passed();
    let dropped = passed.dropped.load(Ordering::Relaxed);
    println!(
        "  {dropped:>6}  datagrams lost of {}",
        passed.datagrams.load(Ordering::Relaxed)
    );
    let count =
        |wanted: fn(&Answer) -> bool| run.made.iter().filter(|call| wanted(&call.answer)).count();
    println!(
        "calls {}, of which the server saw {}",
        run.made.len(),
        run.seen.len()
    );
    println!("  {:>6}  answered", count(|a| matches!(a, Answer::Done)));
    println!("  {:>6}  denied", count(|a| matches!(a, Answer::Denied)));
    println!(
        "  {:>6}  refused",
        count(|a| matches!(a, Answer::Refused(_)))
    );
    println!(
        "  {:>6}  unsettled",
        count(|a| matches!(a, Answer::Unsettled))
    );
    println!(
        "  {:>6}  without a reply",
        count(|a| matches!(a, Answer::Nothing))
    );
    println!("grants revoked {}", run.revoked.len());
    for (name, pages) in &run.pages {
        println!("{name}: {} records", pages.len());
    }
}

/// The machine's clock, microseconds since 1970.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}
