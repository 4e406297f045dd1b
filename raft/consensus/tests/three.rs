//! Three nodes on twins for disks, joined by a network that delivers all, and can be cut.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests may panic, and a test's tasks end with its runtime"
)]

mod wires;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use tollbook_audit::Head;
use tollbook_raft::{Change, Cluster, CommitError, Options, Peer};
use tollbook_state::CommandResult;
use tollbook_state::command::{Command, Genesis, Micros};
use tollbook_storage::{Disk, Memory};

use self::wires::Wires;

struct Nodes {
    wires: Wires,
    nodes: BTreeMap<u32, (Cluster, JoinHandle<()>)>,
    disks: BTreeMap<u32, Disk>,
    starts: u64,
    failures: Arc<Mutex<Vec<String>>>,
}

fn peer(node: u32) -> Peer {
    Peer {
        name: format!("node-{node}"),
        peer_address: format!("peer-{node}"),
        ..Peer::default()
    }
}

impl Nodes {
    /// Node 1 begins, 2 and 3 join and are promoted.
    async fn three() -> Self {
        let mut nodes = Self {
            wires: Wires::default(),
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            starts: 0,
            failures: Arc::default(),
        };
        nodes.start(1).await;
        let genesis = Command::Genesis(Genesis {
            origin: "test/tollbook/1".into(),
            log_key: "key".into(),
            members: vec![(1, "node-key".into())],
            software: "test".into(),
            prior: None,
        });
        nodes.at(1).commit(&genesis).await.unwrap();
        for node in [2, 3] {
            nodes.start(node).await;
            let learner = Change::AddLearner {
                node: node.into(),
                peer: peer(node),
            };
            // The node that is asked does not lead, but for the first time.
            nodes.at(node - 1).change(learner).await.unwrap();
            let promote = Change::Promote { node: node.into() };
            nodes.at(1).change(promote).await.unwrap();
        }
        nodes
    }

    async fn start(&mut self, node: u32) {
        self.starts += 1;
        let disk = self.disks.entry(node).or_default();
        let clock = Arc::new(|| Micros(1_700_000_000_000_000));
        let mut options = Options::new(node, self.starts, clock);
        options.start = self.starts;
        options.cluster = "test/tollbook/1".into();
        options.begins = node == 1;
        options.peer = peer(node);
        options.transport = self.wires.at(node.into());
        let failures = Arc::clone(&self.failures);
        options.on_failure = Arc::new(move |failure| {
            failures
                .lock()
                .unwrap()
                .push(format!("node {node}: {failure}"));
        });
        options.on_ask = Arc::new(move |from, asked| {
            let answer = [asked.as_ref(), format!(" {from}>{node}").as_bytes()].concat();
            Box::pin(std::future::ready(Bytes::from(answer)))
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

    async fn leader(&self, among: &[u32]) -> u32 {
        loop {
            for node in among {
                if self.at(*node).status().leads {
                    return *node;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn agree(&self) {
        assert_eq!(*self.failures.lock().unwrap(), Vec::<String>::new());
        let mut heads = Vec::new();
        for (cluster, _) in self.nodes.values() {
            cluster.catch_up().await.unwrap();
        }
        for (cluster, _) in self.nodes.values() {
            heads.push(cluster.read(|state| state.head().map(Head::chain)));
        }
        assert!(heads.iter().all(|head| *head == heads[0] && head.is_some()));
    }
}

fn command(text: &str) -> Command {
    Command::ClockAccept { actor: text.into() }
}

fn on_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(120), work).await.unwrap() })
}

#[test]
fn commands_enter_at_any_node_and_all_hold_the_same() {
    on_time(async {
        let nodes = Nodes::three().await;
        for round in 0..20 {
            for node in 1..=3 {
                let result = nodes
                    .at(node)
                    .commit(&command(&format!("{node} {round}")))
                    .await;
                assert!(
                    matches!(result, Ok(CommandResult::Recorded { .. })),
                    "{result:?}"
                );
            }
        }
        nodes.agree().await;
        let status = nodes.at(2).status();
        assert_eq!(status.members.len(), 3);
        assert!(status.members.values().all(|member| member.voter));
        let answer = nodes
            .at(2)
            .ask(3, Bytes::from_static(b"hi"), Duration::from_secs(1));
        assert_eq!(answer.await.unwrap(), "hi 2>3");
    });
}

#[test]
fn a_leader_that_is_cut_off_commits_nothing_and_the_others_go_on() {
    on_time(async {
        let nodes = Nodes::three().await;
        let old = nodes.leader(&[1, 2, 3]).await;
        nodes.wires.cut.lock().unwrap().insert(old.into());
        let others: Vec<u32> = [1, 2, 3].into_iter().filter(|node| *node != old).collect();
        let stuck = tokio::spawn(nodes.at(old).commit(&command("cut off")));
        for (node, round) in others.iter().zip(0..) {
            let result = nodes
                .at(*node)
                .commit(&command(&format!("on {round}")))
                .await;
            assert!(
                matches!(result, Ok(CommandResult::Recorded { .. })),
                "{result:?}"
            );
        }
        assert_eq!(stuck.await.unwrap(), Err(CommitError::Unknown));
        nodes.wires.cut.lock().unwrap().clear();
        let back = nodes.at(old).commit(&command("back")).await;
        assert!(
            matches!(back, Ok(CommandResult::Recorded { .. })),
            "{back:?}"
        );
        nodes.agree().await;
    });
}

#[test]
fn leadership_is_handed_over_and_members_come_and_go() {
    on_time(async {
        let mut nodes = Nodes::three().await;
        let old = nodes.leader(&[1, 2, 3]).await;
        let next = if old == 1 { 2 } else { 1 };
        let transfer = Change::Transfer { node: next.into() };
        nodes.at(old).change(transfer).await.unwrap();
        assert_eq!(nodes.leader(&[next]).await, next);
        let gone = (1..=3).find(|node| ![old, next].contains(node)).unwrap();
        let remove = Change::Remove { node: gone.into() };
        nodes.at(old).change(remove).await.unwrap();
        nodes.stop(gone).await;
        nodes.at(old).commit(&command("two")).await.unwrap();
        // With one of two gone the other could not go on.
        nodes.stop(old).await;
        let refused = nodes
            .at(next)
            .change(Change::Remove { node: old.into() })
            .await;
        assert!(refused.is_err(), "{refused:?}");
        nodes.start(old).await;
        nodes.at(old).commit(&command("two again")).await.unwrap();
        nodes.agree().await;
    });
}

#[test]
fn a_directory_that_started_more_often_elsewhere_is_not_listened_to() {
    on_time(async {
        let mut nodes = Nodes::three().await;
        let follower = [1, 2, 3]
            .into_iter()
            .find(|node| !nodes.at(*node).status().leads);
        let follower = follower.unwrap();
        nodes.stop(follower).await;
        let starts = nodes.starts;
        nodes.starts = 0;
        nodes.start(follower).await;
        nodes.starts = starts;
        let result = timeout(
            Duration::from_secs(20),
            nodes.at(follower).commit(&command("old")),
        );
        assert!(result.await.unwrap().is_err());
        let failures = std::mem::take(&mut *nodes.failures.lock().unwrap());
        let told = format!("node {follower}: node ");
        assert!(
            matches!(failures.as_slice(), [one] if one.starts_with(&told)),
            "{failures:?}"
        );
        nodes.stop(follower).await;
        nodes.start(follower).await;
        nodes.at(follower).commit(&command("right")).await.unwrap();
        nodes.agree().await;
    });
}
