//! Nodes that join when the log of the first has long been purged: a snapshot, the open segment's
//! beginning, and then the whole book, byte for byte.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests may panic, and the test's runtime has no node's tasks"
)]

mod wires;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use tollbook_raft::{Change, ChangeError, Cluster, Options, Peer, Replay};
use tollbook_state::command::{Command, Genesis, Micros};
use tollbook_storage::{Crash, Disk, Memory};

use self::wires::Wires;

#[derive(Default)]
struct Nodes {
    wires: Wires,
    nodes: BTreeMap<u32, (Cluster, JoinHandle<()>)>,
    disks: BTreeMap<u32, Disk>,
    clock: Arc<AtomicU64>,
    starts: u64,
    /// A node's disk failed. A real node's process would end there.
    failed: Arc<Notify>,
}

/// Half an hour an entry: segments last three entries.
const TICK_US: u64 = 1_500_000_000;

fn peer(node: u32) -> Peer {
    Peer {
        name: format!("node-{node}"),
        peer_address: format!("peer-{node}"),
        ..Peer::default()
    }
}

impl Nodes {
    /// A node with a book of many segments and the end of a log.
    async fn one() -> Self {
        let mut nodes = Self::default();
        nodes.start(1).await;
        let genesis = Command::Genesis(Genesis {
            origin: "test/tollbook/1".into(),
            log_key: "key".into(),
            members: vec![(1, "node-key".into())],
            software: "test".into(),
            prior: None,
        });
        nodes.at(1).commit(&genesis).await.unwrap();
        nodes.work(1, 60).await;
        assert!(nodes.disks[&1].segments().len() > 15);
        nodes
    }

    async fn start(&mut self, node: u32) {
        self.starts += 1;
        let disk = self.disks.entry(node).or_default();
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || Micros(clock.fetch_add(TICK_US, Ordering::Relaxed)));
        let mut options = Options::new(node, self.starts, clock);
        options.start = self.starts;
        options.cluster = "test/tollbook/1".into();
        options.begins = node == 1;
        options.peer = peer(node);
        options.replay = Replay {
            bytes: u64::MAX,
            entries: 5,
            keep: 2,
        };
        options.transport = self.wires.at(node.into());
        let (mine, failed) = (disk.clone(), Arc::clone(&self.failed));
        options.on_failure = Arc::new(move |failure| {
            assert!(mine.is_dead(), "node {node}: {failure:?}");
            failed.notify_one();
        });
        let memory = Memory::open(disk).unwrap();
        let (cluster, run) = Cluster::start_here(options, memory).await.unwrap();
        self.nodes.insert(node, (cluster, tokio::spawn(run)));
    }

    async fn stop(&mut self, node: u32) {
        let (cluster, run) = self.nodes.remove(&node).unwrap();
        cluster.shutdown().await;
        run.await.unwrap();
    }

    fn at(&self, node: u32) -> &Cluster {
        &self.nodes[&node].0
    }

    async fn work(&self, node: u32, commands: usize) {
        for command in 0..commands {
            let actor = format!("{node}: {command} of {}", self.starts);
            let command = Command::ClockAccept { actor };
            self.at(node).commit(&command).await.unwrap();
        }
    }

    fn learn(&self, node: u32) -> impl Future<Output = Result<(), ChangeError>> + use<> {
        let leader = self.at(1).clone();
        let peer = peer(node);
        let node = node.into();
        async move { leader.change(Change::AddLearner { node, peer }).await }
    }

    /// A vote is for a node that has the state.
    async fn promote(&self, node: u32) {
        self.caught_up(node).await;
        let promote = Change::Promote { node: node.into() };
        self.at(1).change(promote).await.unwrap();
    }

    async fn caught_up(&self, node: u32) {
        let index = self.at(1).status().applied.unwrap();
        let mut applied = self.at(node).applied();
        applied
            .wait_for(|progress| progress.index >= index)
            .await
            .unwrap();
    }

    async fn whole(&self, node: u32) {
        let mut reach = self.at(node).reach();
        reach.wait_for(|reach| reach.whole).await.unwrap();
    }

    async fn agree(&self) {
        for (cluster, _) in self.nodes.values() {
            cluster.catch_up().await.unwrap();
        }
        let book = self.disks[&1].segments();
        for (node, disk) in &self.disks {
            assert!(disk.segments() == book, "node {node}");
        }
    }
}

fn on_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(600), work).await.unwrap() })
}

#[test]
fn a_node_that_joins_late_gets_state_and_book() {
    on_time(async {
        let mut nodes = Nodes::one().await;
        for node in [2, 3] {
            nodes.start(node).await;
            nodes.learn(node).await.unwrap();
            // It goes on while the book is fetched.
            nodes.work(1, 10).await;
            nodes.promote(node).await;
            nodes.work(node, 3).await;
            nodes.whole(node).await;
        }
        nodes.agree().await;
        // What a node was given it gives: the first is gone when the fourth comes.
        nodes
            .at(1)
            .change(Change::Transfer { node: 2 })
            .await
            .unwrap();
        nodes.work(3, 10).await;
        nodes.agree().await;
        nodes.start(4).await;
        nodes.learn(4).await.unwrap();
        nodes.caught_up(4).await;
        nodes.stop(1).await;
        nodes.whole(4).await;
        assert_eq!(nodes.at(4).status().members.len(), 4);
        nodes.work(2, 3).await;
        nodes.start(1).await;
        nodes.work(1, 1).await;
        nodes.agree().await;
    });
}

#[test]
fn a_node_that_was_away_gets_what_it_lacks() {
    on_time(async {
        let mut nodes = Nodes::one().await;
        for node in [2, 3] {
            nodes.start(node).await;
            nodes.learn(node).await.unwrap();
            nodes.promote(node).await;
            nodes.whole(node).await;
        }
        nodes.stop(3).await;
        nodes.work(1, 40).await;
        nodes.start(3).await;
        nodes.caught_up(3).await;
        assert_eq!(nodes.at(3).stats().frames_compared, 0);
        nodes.whole(3).await;
        nodes.agree().await;
    });
}

/// The joining node's disk fails at a step of its first life, and it starts again.
#[test]
fn a_node_that_dies_while_it_joins_goes_on_where_it_was() {
    let mut died = 0;
    for step in 1..80 {
        died += u32::from(on_time(async {
            let mut nodes = Nodes::one().await;
            let disk = Disk::new();
            nodes.disks.insert(2, disk.clone());
            nodes.start(2).await;
            disk.fail_at(step);
            let learned = tokio::spawn(nodes.learn(2));
            tokio::select! {
                biased;
                () = nodes.failed.notified() => {}
                () = async { nodes.caught_up(2).await; nodes.whole(2).await } => {}
            }
            let died = disk.is_dead();
            if died {
                nodes.stop(2).await;
                disk.crash(Crash::Power { seed: step });
                nodes.start(2).await;
            }
            learned.await.unwrap().unwrap();
            nodes.work(1, 5).await;
            nodes.caught_up(2).await;
            nodes.whole(2).await;
            nodes.agree().await;
            died
        }));
    }
    assert!(died > 40, "{died}");
}
