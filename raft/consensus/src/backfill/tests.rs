//! A node that begins with a snapshot, on the real state machine: it stops at every step, and
//! each time it goes on behind the snapshot's head.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use tokio_util::sync::CancellationToken;

use tollbook_audit::frame::next_frame;
use tollbook_state::command::{Command, Genesis, Micros};
use tollbook_storage::{Crash, Disk, Memory, MetaKey};

use super::*;
use crate::cluster::Cluster;
use crate::options::{Options, Replay};
use crate::recovery;
use crate::tests::{runtime, stores};
use crate::types::Snapshot;

/// Half an hour an entry: segments last three entries.
const TICK_US: u64 = 1_500_000_000;

const FAST: u64 = u64::MAX;

fn between(source: Memory, target: Memory) -> Backfill<Memory> {
    let fetch: Fetch = Arc::new(move |_, message| {
        let answer = answer(&source, &message);
        Box::pin(async { Some(answer) })
    });
    Backfill::new(Arc::new(target), fetch, Arc::new(|| vec![1]), FAST)
}

pub(crate) async fn fetch_head(
    source: Memory,
    target: Memory,
    head: &Head,
) -> Result<(), FetchError> {
    between(source, target).fetch_head(1, head).await
}

/// A lone voter, which commits a few commands.
struct Node {
    disk: Disk,
    clock: Arc<AtomicU64>,
    boot: u64,
}

impl Node {
    fn new() -> Self {
        Self {
            disk: Disk::new(),
            clock: Arc::new(AtomicU64::new(1_700_000_000_000_000)),
            boot: 0,
        }
    }

    fn open(&self) -> Memory {
        Memory::open(&self.disk).unwrap()
    }

    /// False when the disk failed.
    fn live(&mut self) -> bool {
        self.boot += 1;
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || Micros(clock.fetch_add(TICK_US, Ordering::Relaxed)));
        let mut options = Options::new(1, self.boot, clock);
        options.replay = Replay {
            bytes: u64::MAX,
            entries: 5,
            keep: 2,
        };
        options.on_failure = Arc::new(|_| {});
        let runtime = runtime();
        runtime.block_on(async {
            let started = Cluster::start_here(options, self.open()).await;
            let (cluster, node) = match started {
                Ok(started) => started,
                Err(error) if self.disk.is_dead() => {
                    drop(error);
                    return false;
                }
                Err(error) => panic!("{error:?}"),
            };
            let node = runtime.spawn(node);
            if cluster.read(|state| state.head().is_none()) {
                self.commit(&cluster, &Command::Genesis(genesis())).await;
            }
            for round in 0..12 {
                let software = format!("{}-{round}", self.boot);
                self.commit(&cluster, &Command::NodeStop { software }).await;
                self.commit(&cluster, &Command::Seal).await;
            }
            cluster.shutdown().await;
            node.await.unwrap();
            !self.disk.is_dead()
        })
    }

    async fn commit(&self, cluster: &Cluster, command: &Command) {
        if let Err(error) = cluster.commit(command).await {
            assert!(self.disk.is_dead(), "{error}");
        }
    }

    fn snapshot(&self) -> Snapshot {
        runtime().block_on(async {
            let (_log, mut machine) = stores(self.open());
            let mut builder = machine.get_snapshot_builder().await;
            builder.build_snapshot().await.unwrap();
            machine.get_current_snapshot().await.unwrap().unwrap()
        })
    }

    fn head(&self) -> Option<Head> {
        runtime().block_on(async {
            let (_log, machine) = stores(self.open());
            let state = machine.state();
            let state = state.read().unwrap();
            state.head().cloned()
        })
    }

    /// Takes the snapshot of another.
    fn install(&self, source: &Self, snapshot: &Snapshot) -> Result<(), String> {
        let head = source.head().unwrap();
        runtime().block_on(async {
            // A start removes a head that waits for a state that did not come.
            let (_log, mut machine) = stores(self.open());
            let fetched = fetch_head(source.open(), self.open(), &head).await;
            fetched.map_err(|error| error.to_string())?;
            let image = snapshot.snapshot.clone();
            let installed = machine.install_snapshot(&snapshot.meta, image).await;
            installed.map_err(|error| error.to_string())
        })
    }

    /// What holds whenever the node is started: the log begins at or before where the durable
    /// state ends, and the book holds all that the state counts.
    fn check(&self) {
        runtime().block_on(async {
            let (_log, machine) = stores(self.open());
            let engine = self.open();
            let applied = engine.applied().unwrap().map_or(0, |applied| applied.index);
            if let Some((first, _)) = engine.log_range() {
                assert!(first <= applied + 1, "{first} {applied}");
            }
            let state = machine.state();
            recovery::check_loaded(&engine, &state.read().unwrap(), None).unwrap();
        });
    }

    /// Gets the rest of the book from a node that has it.
    fn fill(&self, source: &Self) {
        let backfill = between(source.open(), self.open());
        runtime().block_on(async {
            let mut reach = backfill.reach();
            tokio::select! {
                end = backfill.run(CancellationToken::new()) => panic!("{end:?}"),
                whole = reach.wait_for(|reach| reach.whole) => drop(whole.unwrap()),
            }
        });
    }

    /// The book's frames are one chain up to the state's head.
    fn check_book(&self) {
        let head = self.head().unwrap();
        let (mut chain, mut records) = ([0; 32], 0);
        for (segment, bytes) in self.disk.segments() {
            assert_eq!(segment, records);
            let mut rest = bytes.as_slice();
            while let Some(frame) = next_frame(rest).unwrap() {
                assert_eq!(frame.header.prev_frame_hash, chain);
                chain = frame.hash;
                records += u64::from(frame.header.count);
                rest = &rest[frame.bytes.len()..];
            }
            assert!(rest.is_empty());
        }
        assert_eq!((records, chain), (head.size(), head.chain()));
    }
}

fn genesis() -> Genesis {
    Genesis {
        origin: "test/tollbook/1".into(),
        log_key: "key".into(),
        members: vec![(1, "node-key".into())],
        software: "genesis".into(),
        prior: None,
    }
}

/// A node with a book, and its snapshot.
fn source() -> (Node, Snapshot) {
    let mut source = Node::new();
    assert!(source.live());
    assert!(source.disk.segments().len() > 4);
    let snapshot = source.snapshot();
    (source, snapshot)
}

/// One that lags: with the beginning of the same log, or nothing.
fn behind(source: &Node, frames: u64) -> Node {
    let node = Node::new();
    let engine = node.open();
    let mut frame_no = 0;
    for (segment, bytes) in source.disk.segments() {
        let mut offset = 0;
        while let Some(frame) = next_frame(&bytes[offset..]).unwrap() {
            if frame_no < frames {
                let frame = tollbook_storage::SegmentFrame {
                    segment,
                    offset: offset as u64,
                    frame_no,
                    bytes: frame.bytes,
                };
                engine.append_frame(frame).unwrap();
            }
            offset += frame.bytes.len();
            frame_no += 1;
        }
    }
    engine.flush().unwrap();
    node
}

#[test]
fn a_power_loss_while_a_snapshot_is_installed_leaves_the_old_or_the_new() {
    let (source, snapshot) = source();
    let whole = behind(&source, 0);
    whole.install(&source, &snapshot).unwrap();
    let steps = whole.disk.steps();
    assert!(steps > 5, "{steps}");
    for frames in [0, 5] {
        let (mut old, mut new) = (0, 0);
        for step in 1..=steps {
            for crash in [Crash::Process, Crash::Power { seed: step }] {
                let node = behind(&source, frames);
                node.disk.fail_at(step);
                let failed = node.install(&source, &snapshot).is_err();
                assert_eq!(failed, node.disk.is_dead());
                node.disk.crash(crash);
                node.check();
                match node.head() {
                    None => old += 1,
                    Some(head) => {
                        new += 1;
                        assert_eq!(Some(head), source.head());
                    }
                }
                node.install(&source, &snapshot).unwrap();
                node.check();
                assert_eq!(node.open().staged_head().unwrap(), None);
                node.fill(&source);
                assert!(node.disk.segments() == source.disk.segments());
            }
        }
        assert!(old > 3 && new > 1, "{old} {new}");
    }
}

/// It serves with holes in its book, and its log is purged no further than state and book reach.
#[test]
fn a_node_with_holes_purges_what_state_and_book_no_longer_need() {
    let (source, snapshot) = source();
    let vote = source.open().meta(MetaKey::Vote).unwrap().unwrap();
    let joined = || {
        let mut node = behind(&source, 0);
        node.boot = source.boot;
        let now = source.clock.load(Ordering::Relaxed);
        node.clock.store(now, Ordering::Relaxed);
        node.install(&source, &snapshot).unwrap();
        let engine = node.open();
        engine.put_meta(MetaKey::Vote, &vote).unwrap();
        engine.sync().unwrap();
        node
    };
    let mut node = joined();
    let begin = node.disk.steps();
    let applied = node.open().applied().unwrap().unwrap().index;
    assert!(node.live());
    let steps = node.disk.steps() - begin;
    let (first, _) = node.open().log_range().unwrap();
    assert!(first > applied + 5, "it was purged");
    assert!(!node.open().missing().is_empty());
    for step in (1..=steps).step_by(3) {
        let mut node = joined();
        node.disk.fail_at(step);
        assert!(!node.live());
        node.disk.crash(Crash::Power { seed: step });
        node.check();
        assert!(node.live());
        node.check();
        node.fill(&source);
        node.check_book();
    }
}
