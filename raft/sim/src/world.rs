//! The world: machines, the network, the faults between them, and time.
//!
//! A run has three parts. Faults strike while clients work; then all faults end and the cluster
//! has a bounded time to heal and to serve; then what is left is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollbook_audit::note::LogKey;
use tollbook_raft::{Clock, Options, Peer, Replay, seed_chance};
use tollbook_state::command::Command;
use tollbook_storage::{Crash, Disk, Memory};

use crate::book::Book;
use crate::gateway::{Gateway, Numbers};
use crate::history::History;
use crate::invariants::{self, Evidence, Healing, Violation, Witness};
use crate::members::Members;
use crate::net::{Net, SLICE_US};
use crate::plan::Plan;
use crate::process::{Clocks, Process, Stage, Watch};
use crate::rng::Rng;
use crate::signer::{Desk, Signatures, node_key};
use crate::trace::Trace;
use crate::workload::{self, LAST_QUOTA};

/// Name of the simulated log.
const ORIGIN: &str = "sim.example/tollbook/1";
/// Where wall clocks begin: 2026-11-24T10:00:00Z.
const EPOCH_US: i64 = 1_795_514_400_000_000;
/// After the faults, by when the cluster must serve again and have served all that is left.
const HEAL_US: u64 = 60_000_000;

/// A machine of the cluster.
pub(crate) struct Machine {
    pub(crate) disk: Disk,
    pub(crate) clocks: Clocks,
    signatures: Signatures,
    boots: u64,
    pub(crate) process: Option<Process>,
    /// When it is started again, if it is down.
    pub(crate) starts_us: Option<u64>,
    /// Until when it stands still.
    pub(crate) stands_until_us: Option<u64>,
    /// A disk fault struck since its last start, so that its end is no surprise.
    pub(crate) excused: bool,
    /// Somebody damaged what was durable: it is not to be trusted again.
    pub(crate) damaged: bool,
    pub(crate) standing: Standing,
}

/// A machine's place in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A member, or on the way to be one.
    In,
    /// Somebody asked for its removal.
    Leaving,
    /// Removed, and off for good.
    Out,
}

/// Everything.
pub(crate) struct World {
    pub(crate) now_us: u64,
    pub(crate) rng: Rng,
    pub(crate) trace: Trace,
    pub(crate) net: Net,
    pub(crate) machines: BTreeMap<u64, Machine>,
    pub(crate) plan: Plan,
    history: History,
    witness: Witness,
    numbers: Numbers,
    key: Arc<LogKey>,
    /// Clients go on working.
    working: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, trace: Trace) -> Self {
        seed_chance(seed);
        let mut rng = Rng::new(seed);
        let net = Net::new(rng.fork(), trace.clone());
        let key = LogKey::from_seed(ORIGIN, &[7; 32]).expect("the name is a key's");
        let mut world = Self {
            now_us: 0,
            rng,
            trace,
            net,
            machines: BTreeMap::new(),
            plan,
            history: History::default(),
            witness: Witness::default(),
            numbers: Numbers::default(),
            key: Arc::new(key),
            working: true,
        };
        for node in 1..=world.plan.nodes {
            world.add_machine(node);
        }
        world
    }

    /// A machine with an empty disk, which starts at once.
    pub(crate) fn add_machine(&mut self, node: u64) {
        let Plan {
            drift_ppm, skew_us, ..
        } = self.plan;
        let signed = |us| i64::try_from(us).unwrap_or(0);
        let drift = signed(self.rng.below(2 * drift_ppm + 1)) - signed(drift_ppm);
        let wall = EPOCH_US + signed(self.rng.below(skew_us + 1));
        let disk = Disk::new();
        disk.slow_down(self.plan.sync_us, self.rng.next());
        let machine = Machine {
            disk,
            clocks: Clocks::new(wall, drift),
            signatures: Signatures::new(node, self.witness.clone()),
            boots: 0,
            process: None,
            starts_us: Some(self.now_us),
            stands_until_us: None,
            excused: false,
            damaged: false,
            standing: Standing::In,
        };
        self.machines.insert(node, machine);
    }

    /// The machine is no member any more, and is turned off for good.
    pub(crate) fn retire(&mut self, node: u64) {
        let known = self
            .machines
            .get(&node)
            .is_some_and(|m| m.standing == Standing::Out);
        if !known {
            self.trace.note(node, format_args!("is removed"));
            self.bury(node, Crash::Process, None);
            if let Some(machine) = self.machines.get_mut(&node) {
                machine.standing = Standing::Out;
                machine.starts_us = None;
            }
        }
    }

    /// Runs something in a process.
    pub(crate) fn spawn(&self, node: u64, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(process) = self.machines.get(&node).and_then(|m| m.process.as_ref()) {
            process.spawn(task);
        }
    }

    /// One slice of time for everybody, in an order of chance.
    pub(crate) fn slice(&mut self) {
        let until = self.now_us + SLICE_US;
        self.trace.at(self.now_us);
        self.net.advance(self.now_us);
        let mut order: Vec<u64> = self.machines.keys().copied().collect();
        self.rng.shuffle(&mut order);
        for node in order {
            self.run_machine(node, until);
        }
        self.now_us = until;
    }

    fn run_machine(&mut self, node: u64, until: u64) {
        let now_us = self.now_us;
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        if machine.starts_us.is_some_and(|at| at <= now_us) {
            machine.starts_us = None;
            self.start(node);
            return self.run_machine(node, until);
        }
        let Some(process) = &machine.process else {
            return;
        };
        match machine.stands_until_us {
            Some(at) if at > now_us => return,
            Some(_) => {
                machine.stands_until_us = None;
                process.wake_at(now_us);
            }
            None => {}
        }
        process.run_until(now_us, until);
        let why = match process.watch.stage() {
            Stage::Starting | Stage::Serving(_) => return,
            Stage::Refused(why) => format!("does not start: {why}"),
            Stage::Failed(why) => format!("ends itself: {why}"),
            Stage::Stopped => return self.bury(node, Crash::Process, None),
        };
        self.trace.note(node, format_args!("{why}"));
        self.surprise(node, &why);
        self.bury(node, Crash::Process, None);
    }

    /// A process ended by itself. Only faults of its disk excuse that.
    fn surprise(&mut self, node: u64, why: &str) {
        if let Some(machine) = self.machines.get(&node)
            && !machine.excused
            && !machine.damaged
            && machine.standing == Standing::In
        {
            self.witness.violate("heal", format!("node {node} {why}"));
        }
    }

    fn start(&mut self, node: u64) {
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        machine.boots += 1;
        machine.excused = machine.disk.is_full();
        self.trace
            .note(node, format_args!("starts for the {}. time", machine.boots));
        let watch = Watch::new();
        let desk = Desk::default();
        let options = {
            let boot = self.rng.next();
            let mut options = Options::new(
                u32::try_from(node).unwrap_or(0),
                boot,
                machine.clocks.wall(),
            );
            options.start = machine.boots;
            options.cluster = ORIGIN.into();
            options.peer = peer(node);
            options.begins = node == 1;
            options.transport = self.net.transport(node);
            options.on_ask = desk.answers();
            options.max_signed = machine.signatures.promised();
            options.replay = Replay {
                bytes: u64::MAX,
                entries: self.plan.flush_entries,
                keep: self.plan.keep_entries,
            };
            let witness = self.witness.clone();
            options.on_frames = Some(Arc::new(move |index, frames| {
                witness.applied(node, index, frames);
            }));
            let (disk, failed) = (machine.disk.clone(), watch.clone());
            options.on_failure = Arc::new(move |failure| {
                // The process is gone by the time that anything else would happen.
                disk.stop();
                failed.set(Stage::Failed(chain(failure)));
            });
            options
        };
        let mut rng = self.rng.fork();
        let parts = Parts {
            node,
            start: machine.boots,
            clients: if self.working { self.plan.clients } else { 0 },
            disk: machine.disk.clone(),
            history: self.history.clone(),
            trace: self.trace.clone(),
            witness: self.witness.clone(),
            numbers: self.numbers.clone(),
            signatures: machine.signatures.clone(),
            key: Arc::clone(&self.key),
            founds: (node == 1).then(|| {
                let key = self.key.verifier().to_string();
                workload::genesis(ORIGIN, key, vec![(1, peer(1).verifier_key)])
            }),
            nodes: self.plan.nodes,
            desk,
            clock: machine.clocks.wall(),
            rng: rng.fork(),
        };
        let main = live(options, parts, watch.clone());
        let process = Process::start(self.now_us, machine.clocks.clone(), &mut rng, watch, main);
        machine.process = Some(process);
    }

    /// The process is gone, and starts again after a while.
    pub(crate) fn bury(&mut self, node: u64, crash: Crash, starts_us: Option<u64>) {
        let after = self.rng.between(10_000, 2_000_000);
        let now_us = self.now_us;
        if let Some(machine) = self.machines.get_mut(&node) {
            drop(machine.process.take());
            machine.disk.crash(crash);
            machine.stands_until_us = None;
            machine.starts_us = Some(starts_us.unwrap_or(now_us + after));
        }
        self.net.died(node);
    }

    /// Kills the process after so many polls of its tasks.
    pub(crate) fn kill(&mut self, node: u64, crash: Crash, away_us: u64) {
        let polls = self.rng.below(60);
        let now_us = self.now_us;
        if let Some(process) = self
            .machines
            .get_mut(&node)
            .and_then(|machine| machine.process.take())
        {
            process.die_after(now_us, polls);
            self.bury(node, crash, Some(now_us + away_us));
        }
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.witness.violation()
    }

    /// All faults are over: everything runs, and nothing else goes wrong.
    pub(crate) fn end_faults(&mut self) {
        self.trace.note(0, format_args!("all faults are over"));
        self.net.mend();
        self.net.weather(crate::net::Weather::FAIR);
        let now_us = self.now_us;
        for machine in self.machines.values_mut() {
            machine.disk.mend();
            machine.stands_until_us = None;
            if machine.process.is_none() && machine.standing != Standing::Out {
                machine.starts_us = Some(now_us);
            }
        }
    }

    /// Uses up the last grant's quota through whatever nodes serve. Returns when it is denied, or
    /// too late.
    pub(crate) fn serve_the_rest(&mut self, members: &mut Members) -> Result<Healing, Violation> {
        let healing = Arc::new(std::sync::Mutex::new((Healing::default(), false)));
        let deadline = self.now_us + HEAL_US;
        let mut busy: BTreeMap<u64, u64> = BTreeMap::new();
        while self.now_us < deadline {
            for (node, machine) in &self.machines {
                let Some(process) = &machine.process else {
                    continue;
                };
                let Some(gateway) = process.watch.gateway() else {
                    continue;
                };
                if busy.get(node).is_some_and(|until| *until > self.now_us) {
                    continue;
                }
                busy.insert(*node, self.now_us + 100_000);
                let healing = Arc::clone(&healing);
                process.spawn(async move { gateway.use_up(&healing).await });
            }
            members.tend(self);
            self.slice();
            if let Some(violation) = self.violation() {
                return Err(violation);
            }
            let (result, done) = *healing.lock().expect("nobody panics with it");
            if done && members.settled() && self.all_serve() {
                return Ok(result);
            }
        }
        let down: Vec<u64> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.counts() && !machine.serves())
            .map(|(node, _)| *node)
            .collect();
        let (result, _) = *healing.lock().expect("nobody panics with it");
        Err(Violation {
            invariant: "heal",
            what: format!(
                "{} s after all faults {} of {LAST_QUOTA} calls were admitted, nodes {down:?} \
                 do not serve, or lack some of the book or a note",
                HEAL_US / 1_000_000,
                result.admitted
            ),
        })
    }

    /// All run, have applied the same, and have the whole book and a note that vouches for it.
    fn all_serve(&self) -> bool {
        let counts = self.machines.values().filter(|machine| machine.counts());
        // A damaged one that still runs may have told its clients of what the others lack yet.
        let applied: Vec<u64> = self
            .machines
            .values()
            .filter_map(|machine| machine.process.as_ref()?.watch.gateway())
            .map(|gateway| gateway.cluster.applied().borrow().index)
            .collect();
        let same = applied.windows(2).all(|pair| pair.first() == pair.last());
        let mut counts = counts.peekable();
        same && counts.peek().is_some() && counts.all(Machine::serves)
    }

    /// Looks at what is left.
    pub(crate) fn judge(&self, healing: Healing) -> Result<usize, Violation> {
        let whole = self.machines.iter().filter(|(_, machine)| !machine.damaged);
        let segments: BTreeMap<u64, _> = whole
            .map(|(node, machine)| (*node, machine.disk.segments()))
            .collect();
        let violation = |invariant, what| Violation { invariant, what };
        let mut book = Book::default();
        for (node, segments) in &segments {
            let read = Book::read(segments)
                .map_err(|what| violation("identical", format!("node {node}: {what}")))?;
            if read.entries.len() > book.entries.len() {
                book = read;
            }
        }
        let history = self.history.lock();
        let evidence = Evidence {
            history: &history,
            segments: &segments,
            book: &book,
        };
        invariants::check(&evidence, &self.witness)?;
        healing
            .check(&book)
            .map_err(|what| violation("heal", what))?;
        let key = self.key.verifier();
        for (node, machine) in self.machines.iter().filter(|(_, m)| m.counts()) {
            let notes = machine.signatures.notes();
            invariants::verify(&key, &machine.disk.segments(), &notes)
                .map_err(|what| violation("heal", format!("book of node {node}: {what}")))?;
        }
        Ok(book.entries.len())
    }

    pub(crate) fn attempts(&self) -> usize {
        self.history.lock().attempts.len()
    }
}

impl Machine {
    /// It is a member whose disk nobody damaged.
    fn counts(&self) -> bool {
        !self.damaged && self.standing != Standing::Out
    }

    fn serves(&self) -> bool {
        let gateway = self
            .process
            .as_ref()
            .and_then(|process| process.watch.gateway());
        gateway.is_some_and(|gateway| {
            gateway.cluster.reach().borrow().whole && !gateway.signatures.notes().is_empty()
        })
    }
}

/// What a process is made of.
struct Parts {
    node: u64,
    start: u64,
    clients: u64,
    disk: Disk,
    history: History,
    trace: Trace,
    witness: Witness,
    numbers: Numbers,
    signatures: Signatures,
    key: Arc<LogKey>,
    founds: Option<Command>,
    nodes: u64,
    desk: Desk,
    clock: Clock,
    rng: Rng,
}

/// A process from its start to its end.
async fn live(options: Options, parts: Parts, watch: Watch) {
    let engine = match Memory::open(&parts.disk) {
        Ok(engine) => engine,
        Err(error) => return watch.set(Stage::Refused(chain(&error))),
    };
    let (cluster, node) = match tollbook_raft::Cluster::start_here(options, engine).await {
        Ok(started) => started,
        Err(error) => return watch.set(Stage::Refused(chain(&error))),
    };
    let Parts {
        node: number,
        start,
        clients,
        disk,
        history,
        trace,
        witness,
        numbers,
        signatures,
        key,
        founds,
        nodes,
        desk,
        clock,
        mut rng,
    } = parts;
    let gateway = Gateway {
        node: number,
        start,
        cluster,
        disk,
        history,
        trace,
        witness,
        numbers,
        signatures,
        key,
    };
    if let Some(genesis) = founds {
        let founding = gateway.clone().found(genesis, nodes, rng.fork());
        drop(tokio::runtime::Handle::current().spawn(founding));
    }
    gateway.run(clients, desk, clock, &mut rng);
    watch.set(Stage::Serving(Box::new(gateway)));
    node.await;
    watch.set(Stage::Stopped);
}

/// What is known of a node.
pub(crate) fn peer(node: u64) -> Peer {
    Peer {
        name: format!("n{node}"),
        peer_address: format!("n{node}"),
        verifier_key: node_key(node).verifier().to_string(),
        ..Peer::default()
    }
}

/// The error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
