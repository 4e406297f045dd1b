//! A machine with a twin for a disk, that lives, dies, and remembers what it was told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};

use tollbook_audit::frame::{Frame, next_frame};
use tollbook_audit::tree::{Tree, leaf_hash};
use tollbook_raft::{Cluster, CommitError, MaxSigned, Options, Replay, StartError, limits};
use tollbook_state::command::{Command, Genesis, Micros, ServerId, ServerPut, Upstream};
use tollbook_state::{CommandResult, Sealed, State};
use tollbook_storage::{Crash, Disk, Engine, Memory};

/// How a life ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The disk failed.
    Died,
    /// It ended when it was asked to.
    Orderly,
}

pub(crate) struct Machine {
    disk: Disk,
    boot: u64,
    clock: Arc<AtomicU64>,
    /// Record index → a text that the record there holds, of all that was acknowledged.
    acknowledged: BTreeMap<u64, String>,
    /// The largest checkpoint that was offered for signing.
    signed: Option<MaxSigned>,
    /// Hashes of the frames of each entry, as they were first made.
    frames: Arc<Mutex<BTreeMap<u64, Vec<[u8; 32]>>>>,
    served: u64,
    exercised: Exercised,
}

/// What the lives so far came past. A sweep that misses one of these shows nothing about it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exercised {
    pub(crate) state_flushes: u64,
    pub(crate) frames_compared: u64,
    pub(crate) torn_tails: u64,
    pub(crate) purged_logs: u64,
}

/// Half an hour an entry: segments last three entries.
const TICK_US: u64 = 1_500_000_000;

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            disk: Disk::new(),
            boot: 0,
            clock: Arc::new(AtomicU64::new(1_700_000_000_000_000)),
            acknowledged: BTreeMap::new(),
            signed: None,
            frames: Arc::default(),
            served: 0,
            exercised: Exercised::default(),
        }
    }

    /// A machine whose clock is ahead: it makes other records.
    pub(crate) fn at(ahead: u64) -> Self {
        let machine = Self::new();
        machine.clock.fetch_add(ahead, Ordering::Relaxed);
        machine
    }

    pub(crate) fn signed(&self) -> Option<MaxSigned> {
        self.signed
    }

    /// Frames in the book.
    pub(crate) fn frames(&self) -> u64 {
        let tail = Memory::open(&self.disk).unwrap().segment_tail();
        tail.map_or(0, |tail| tail.frame_no + 1)
    }

    /// Somebody puts the other machine's segments in the place of this one's.
    pub(crate) fn take_book_of(&self, other: &Self) {
        let theirs = other.disk.segments();
        self.disk.edit_segments(|ours| *ours = theirs);
    }

    /// Why the machine does not start.
    pub(crate) fn start_error(&mut self, max_signed: Option<MaxSigned>) -> StartError {
        self.boot += 1;
        let mut options = self.options(&Arc::default());
        options.max_signed = max_signed;
        let runtime = runtime();
        runtime.block_on(async {
            let memory = Memory::open(&self.disk).unwrap();
            match Cluster::start_here(options, memory).await {
                Ok(_) => panic!("it serves"),
                Err(error) => error,
            }
        })
    }

    pub(crate) fn exercised(&self) -> Exercised {
        self.exercised
    }

    pub(crate) fn steps_of_a_life(mut self) -> u64 {
        assert_eq!(self.live(), Outcome::Orderly);
        self.check_book();
        self.disk.steps()
    }

    /// A life whose `step`-th write finds no power.
    pub(crate) fn live_until(&mut self, step: u64) -> Outcome {
        self.disk.fail_at(step);
        self.live()
    }

    pub(crate) fn crash(&mut self, crash: Crash) {
        self.disk.crash(crash);
    }

    pub(crate) fn live(&mut self) -> Outcome {
        self.live_with(false)
    }

    pub(crate) fn flood(&mut self) -> Outcome {
        self.live_with(true)
    }

    fn live_with(&mut self, flood: bool) -> Outcome {
        self.boot += 1;
        let died = Arc::new(AtomicBool::new(false));
        let options = self.options(&died);
        let runtime = runtime();
        runtime.block_on(async {
            let memory = Memory::open(&self.disk).expect("opening writes nothing");
            let purged = memory.log_range().is_some_and(|(first, _)| first > 0);
            self.exercised.purged_logs += u64::from(purged);
            self.exercised.torn_tails += u64::from(self.has_torn_tail());
            let (cluster, node) = match Cluster::start_here(options, memory).await {
                Ok(started) => started,
                Err(StartError::Failure(failure)) if self.disk.is_dead() => {
                    drop(failure);
                    return Outcome::Died;
                }
                Err(StartError::Consensus { .. }) if self.disk.is_dead() => return Outcome::Died,
                Err(error) => panic!("{error:?}"),
            };
            let node = runtime.spawn(node);
            self.check_records(&cluster);
            self.work(&cluster).await;
            if flood {
                self.fill_queue(&cluster).await;
            }
            self.note_signed(&cluster.sealed().borrow().clone());
            cluster.shutdown().await;
            node.await.unwrap();
            self.check_rows(&cluster);
            self.note_signed(&cluster.sealed().borrow().clone());
            let stats = cluster.stats();
            self.exercised.state_flushes += stats.state_flushes;
            self.exercised.frames_compared += stats.frames_compared;
            assert_eq!(died.load(Ordering::Relaxed), self.disk.is_dead());
            if self.disk.is_dead() {
                Outcome::Died
            } else {
                Outcome::Orderly
            }
        })
    }

    fn options(&self, died: &Arc<AtomicBool>) -> Options {
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || Micros(clock.fetch_add(TICK_US, Ordering::Relaxed)));
        let frames = Arc::clone(&self.frames);
        let died = Arc::clone(died);
        let mut options = Options::new(1, self.boot, clock);
        options.replay = Replay {
            bytes: u64::MAX,
            entries: 5,
            keep: 2,
        };
        options.max_signed = self.signed;
        options.on_failure = Arc::new(move |_| died.store(true, Ordering::Relaxed));
        options.on_frames = Some(Arc::new(move |index, made: &[Frame]| {
            let hashes: Vec<_> = made.iter().map(|frame| frame.hash).collect();
            let mut frames = frames.lock().unwrap();
            // An entry that was never acknowledged may give its index to another.
            frames.insert(index, hashes);
        }));
        options
    }

    /// A little of everything, some of it at once.
    async fn work(&mut self, cluster: &Cluster) {
        if cluster.read(|state| state.head().is_none()) {
            let genesis = Genesis {
                origin: "test/tollbook/1".into(),
                log_key: "key".into(),
                members: vec![(1, "node-key".into())],
                software: "genesis-1".into(),
                prior: None,
            };
            self.commit(
                cluster,
                vec![(Command::Genesis(genesis), "genesis-1".into())],
            )
            .await;
        }
        for round in 0..4 {
            let name = format!("life-{}-round-{round}", self.boot);
            self.commit(cluster, vec![start(format!("{name}-a"))]).await;
            let together = (0..3).map(|n| start(format!("{name}-{n}"))).collect();
            self.commit(cluster, together).await;
            self.commit(cluster, vec![server(&name)]).await;
            self.commit(cluster, vec![(Command::Seal, "\"seal\"".into())])
                .await;
            self.note_signed(&cluster.sealed().borrow().clone());
        }
    }

    async fn fill_queue(&mut self, cluster: &Cluster) {
        let names = (0..limits::QUEUED_COMMANDS_LIMIT + 10).map(|n| format!("flood-{n}-"));
        let commands: Vec<_> = names.map(start).collect();
        // Nothing else runs on this thread until the first await.
        let waiting: Vec<_> = commands
            .iter()
            .map(|(command, _)| cluster.commit(command))
            .collect();
        let mut refused = 0;
        for ((_, text), result) in commands.into_iter().zip(join_all(waiting).await) {
            match result {
                Ok(CommandResult::Recorded { first, count: 1 }) => self.acknowledge(first, text),
                Err(CommitError::QueueFull) => refused += 1,
                Ok(other) => panic!("{other:?}"),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, 10);
        assert_eq!(cluster.stats().refused, 10);
    }

    /// What the engine holds at the end of an orderly life is the state that the node had.
    fn check_rows(&self, cluster: &Cluster) {
        if self.disk.is_dead() {
            return;
        }
        let mut rows = Vec::new();
        let engine = Memory::open(&self.disk).unwrap();
        engine
            .each_row(&mut |key, value| rows.push((key.to_vec(), value.to_vec())))
            .unwrap();
        let stored = State::load(rows.into_iter()).unwrap();
        cluster.read(|state| assert_eq!(*state, stored));
    }

    async fn commit(&mut self, cluster: &Cluster, commands: Vec<(Command, String)>) {
        let waiting = commands.iter().map(|(command, _)| cluster.commit(command));
        let results = join_all(waiting).await;
        for ((command, text), result) in commands.into_iter().zip(results) {
            match result {
                Ok(CommandResult::Recorded { first, count }) => {
                    assert_eq!(count, 1, "{command:?}");
                    self.acknowledge(first, text);
                }
                Ok(CommandResult::Sealed(Sealed { size, .. })) => self.acknowledge(size - 1, text),
                Ok(CommandResult::Put { .. }) => {}
                Ok(other) => panic!("{command:?}: {other:?}"),
                Err(error) => assert!(self.disk.is_dead(), "{command:?}: {error}"),
            }
        }
    }

    fn acknowledge(&mut self, index: u64, text: String) {
        let before = self.acknowledged.insert(index, text);
        assert_eq!(before, None, "a record index is given once");
        self.served += 1;
    }

    /// What was offered is signed at once: the log must never again end before it.
    fn note_signed(&mut self, sealed: &Option<Sealed>) {
        let Some(Sealed { size, root, .. }) = *sealed else {
            return;
        };
        if self.signed.is_none_or(|signed| signed.size < size) {
            self.signed = Some(MaxSigned { size, root });
        }
    }

    /// Every acknowledged record is where it was said to be.
    fn check_records(&self, cluster: &Cluster) {
        let records = self.records();
        let size = cluster.read(|state| state.head().map_or(0, |head| head.size()));
        assert_eq!(records.len() as u64, size);
        for (index, text) in &self.acknowledged {
            let record = &records[at(*index)];
            assert!(
                record.contains(text.as_str()),
                "{index}: {text} in {record}"
            );
        }
    }

    /// The book is one chain without a gap, holds what was acknowledged, and is what was signed.
    pub(crate) fn check_book(&self) {
        let records = self.records();
        assert!(self.served > 0);
        for (index, text) in &self.acknowledged {
            assert!(
                records[at(*index)].contains(text.as_str()),
                "{index}: {text}"
            );
        }
        let signed = self.signed.unwrap();
        let mut tree = Tree::new();
        for record in records.iter().take(at(signed.size)) {
            tree.push(leaf_hash(record.as_bytes()));
        }
        assert_eq!((tree.size(), tree.root()), (signed.size, signed.root));
    }

    fn has_torn_tail(&self) -> bool {
        self.disk
            .segments()
            .last_key_value()
            .is_some_and(|(_, bytes)| {
                let mut rest = bytes.as_slice();
                while let Ok(Some(frame)) = next_frame(rest) {
                    rest = &rest[frame.bytes.len()..];
                }
                !rest.is_empty()
            })
    }

    /// All records, through a walk that checks the chain.
    fn records(&self) -> Vec<String> {
        let mut records = Vec::new();
        let mut chain = [0; 32];
        let mut frame_no = 0;
        let made = self.frames.lock().unwrap();
        for (first, bytes) in self.disk.segments() {
            assert_eq!(first, records.len() as u64, "segments follow each other");
            let mut rest = bytes.as_slice();
            while let Some(frame) = next_frame(rest).unwrap() {
                let header = frame.header;
                assert_eq!((header.frame_no, header.prev_frame_hash), (frame_no, chain));
                assert_eq!(header.first_index, records.len() as u64);
                assert!(made[&header.log_index].contains(&frame.hash));
                records.extend(
                    frame
                        .records()
                        .map(|r| String::from_utf8(r.to_vec()).unwrap()),
                );
                chain = frame.hash;
                frame_no += 1;
                rest = &rest[frame.bytes.len()..];
            }
            assert_eq!(rest, [0u8; 0], "no torn tail is left after a recovery");
        }
        records
    }
}

/// Time passes when all wait.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

fn at(index: u64) -> usize {
    usize::try_from(index).unwrap()
}

fn start(software: String) -> (Command, String) {
    (
        Command::NodeStop {
            software: software.clone(),
        },
        software,
    )
}

fn server(name: &str) -> (Command, String) {
    let mut id = [0; 16];
    id.iter_mut()
        .zip(name.bytes().rev())
        .for_each(|(to, from)| *to = from);
    let put = ServerPut {
        actor: "test".into(),
        server: ServerId(id),
        name: name.into(),
        upstream: Upstream::Http {
            url: "http://127.0.0.1:1/".into(),
            headers: Vec::new(),
        },
        expected: 0,
    };
    (Command::ServerPut(put), name.into())
}
