//! A cluster of cosigners: a network and disks in memory, and what every one of them has signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinSet;

use tollbook_audit::note::{Checkpoint, LogKey, NodeKey, Note, VerifierKey};
use tollbook_audit::trust::{Trust, cluster_text};
use tollbook_raft::{
    Ask, CosignError, CosignOptions, Cosigner, Divergence, Failed, LinkError, NodeId, Notebook,
    PromiseError, Root, View, cosigner,
};
use tollbook_state::Sealed;
use tollbook_state::command::Micros;

pub(crate) const ORIGIN: &str = "acme.example/tollbook/c1";

/// The wire's first two bytes, spelled again on purpose: `FORMAT.md` has them.
pub(crate) const COSIGN: [u8; 2] = [1, 1];
pub(crate) const KEEP: [u8; 2] = [1, 2];
pub(crate) const BEHIND: [u8; 2] = [1, 16];
pub(crate) const DIFFERS: [u8; 2] = [1, 17];
pub(crate) const KEPT: [u8; 2] = [1, 18];
pub(crate) const LATER: [u8; 2] = [1, 19];
pub(crate) const PASSED: [u8; 2] = [1, 20];
pub(crate) const REFUSED: [u8; 2] = [1, 21];
pub(crate) const SIGNED: [u8; 2] = [1, 22];
pub(crate) const STOPPED: [u8; 2] = [1, 23];

pub(crate) fn log_key() -> LogKey {
    LogKey::from_seed(ORIGIN, &[200; 32]).unwrap()
}

pub(crate) fn node_key(node: NodeId) -> NodeKey {
    let seed = [u8::try_from(node).unwrap(); 32];
    NodeKey::from_seed(&format!("{ORIGIN}/n{node}"), &seed).unwrap()
}

pub(crate) fn checkpoint(size: u64, root: Root) -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root,
    }
}

/// The root that the cluster's book has at a size.
pub(crate) fn root(size: u64) -> Root {
    let mut root = [0x11; 32];
    root[..8].copy_from_slice(&size.to_be_bytes());
    root
}

/// The root that a damaged book has there.
pub(crate) fn wrong_root(size: u64) -> Root {
    let mut root = root(size);
    root[31] = 0x22;
    root
}

pub(crate) fn message(kind: [u8; 2], note: &str) -> Bytes {
    Bytes::from([&kind, note.as_bytes()].concat())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap()
}

/// splitmix64: the same schedule for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What outlives a node's restart.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) promises: Vec<(u64, Root)>,
    pub(crate) notes: BTreeMap<u64, String>,
    pub(crate) divergence: Option<Divergence>,
    pub(crate) fails: bool,
    /// Milliseconds that a write takes, half of them before it is there.
    pub(crate) slow_ms: u64,
}

impl Disk {
    fn promise(&mut self, size: u64, root: Root) -> Result<(), PromiseError> {
        if self.fails {
            return Err(PromiseError::Failed("no disk".into()));
        }
        if let Some((promised, promised_root)) = self.promises.last().copied() {
            if size < promised {
                return Err(PromiseError::Smaller { promised });
            }
            if size == promised && root != promised_root {
                let promised = promised_root;
                return Err(PromiseError::OtherRoot { promised });
            }
        }
        self.promises.push((size, root));
        Ok(())
    }

    fn keep(&mut self, size: u64, note: String) -> Result<(), Failed> {
        let newest = self.notes.keys().next_back().copied().unwrap_or(0);
        assert!(size > newest, "{size} after {newest}");
        self.notes.insert(size, note);
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SharedDisk(Arc<Mutex<Disk>>);

impl SharedDisk {
    pub(crate) fn look(&self) -> MutexGuard<'_, Disk> {
        lock(&self.0)
    }

    /// A write in the middle of its time; who drops the future before has written nothing.
    fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Disk) -> T + Send + 'static,
    ) -> BoxFuture<'static, T> {
        let disk = self.clone();
        Box::pin(async move {
            let half = Duration::from_millis(disk.look().slow_ms / 2);
            tokio::time::sleep(half).await;
            let written = write(&mut disk.look());
            tokio::time::sleep(half).await;
            written
        })
    }
}

impl Notebook for SharedDisk {
    fn promise(&self, size: u64, root: Root) -> BoxFuture<'static, Result<(), PromiseError>> {
        self.write(move |disk| disk.promise(size, root))
    }

    fn keep(&self, size: u64, note: String) -> BoxFuture<'static, Result<(), Failed>> {
        self.write(move |disk| disk.keep(size, note))
    }

    fn diverged(&self, divergence: Divergence) -> BoxFuture<'static, Result<(), Failed>> {
        self.write(move |disk| {
            disk.divergence = Some(divergence);
            Ok(())
        })
    }
}

/// One message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: Bytes,
}

/// What all nodes share.
#[derive(Debug)]
struct Net {
    reachable: BTreeMap<NodeId, Cosigner>,
    down: BTreeSet<NodeId>,
    leaders: BTreeSet<NodeId>,
    voters: BTreeSet<NodeId>,
    members: BTreeSet<NodeId>,
    sent: Vec<Sent>,
    /// What left each node with a signature of its own on it, by node and size.
    signed: BTreeMap<(NodeId, u64), BTreeSet<Root>>,
    chance: Chance,
    /// Milliseconds that a message takes at most, and one of how many is lost; 0 for none.
    delay_ms: u64,
    lost_one_in: u64,
    seconds: u64,
}

impl Net {
    fn loses(&mut self) -> bool {
        self.lost_one_in != 0 && self.chance.one_in(self.lost_one_in)
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(self.chance.below(self.delay_ms + 1))
    }

    fn cut(&self, one: NodeId, other: NodeId) -> bool {
        self.down.contains(&one) || self.down.contains(&other)
    }

    fn has_signed(&mut self, node: NodeId, checkpoint: &Checkpoint) {
        let roots = self.signed.entry((node, checkpoint.size)).or_default();
        roots.insert(checkpoint.root);
    }
}

pub(crate) struct Running {
    pub(crate) sealed: watch::Sender<Option<Sealed>>,
    pub(crate) cosigner: Cosigner,
    pub(crate) told: Arc<Mutex<Vec<Divergence>>>,
    tasks: JoinSet<Result<(), CosignError>>,
}

impl Running {
    /// How its work ended.
    pub(crate) async fn ended(&mut self) -> Result<(), CosignError> {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.tasks.join_next());
        ended.await.expect("it ends").unwrap().unwrap()
    }
}

/// The cluster.
pub(crate) struct World {
    net: Arc<Mutex<Net>>,
    pub(crate) disks: BTreeMap<NodeId, SharedDisk>,
    pub(crate) nodes: BTreeMap<NodeId, Running>,
}

impl World {
    /// Voters 1 to `voters`, of which the first leads.
    pub(crate) fn new(voters: u64, seed: u64) -> Self {
        let voters: BTreeSet<NodeId> = (1..=voters).collect();
        let mut world = Self {
            net: Arc::new(Mutex::new(Net {
                reachable: BTreeMap::new(),
                down: BTreeSet::new(),
                leaders: BTreeSet::from([1]),
                members: voters.clone(),
                voters: voters.clone(),
                sent: Vec::new(),
                signed: BTreeMap::new(),
                chance: Chance(seed),
                delay_ms: 20,
                lost_one_in: 0,
                seconds: 1_780_000_000,
            })),
            disks: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        for node in voters {
            world.start(node);
        }
        world
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        lock(&self.net)
    }

    /// Starts a node, or starts it again: only its disk is what it was.
    pub(crate) fn start(&mut self, node: NodeId) {
        let disk = self.disks.entry(node).or_default().clone();
        let (sealed, feed) = watch::channel(None);
        let told = Arc::new(Mutex::new(Vec::new()));
        let (kept, diverged) = {
            let disk = disk.look();
            let kept = disk.notes.keys().next_back().copied().unwrap_or(0);
            (kept, disk.divergence.is_some())
        };
        let (net, telling) = (Arc::clone(&self.net), Arc::clone(&told));
        let clock = Arc::clone(&self.net);
        let (cosigner, run) = cosigner(CosignOptions {
            node,
            log_key: Arc::new(log_key()),
            node_key: Arc::new(node_key(node)),
            notebook: Arc::new(disk),
            clock: Arc::new(move || {
                let mut net = lock(&clock);
                net.seconds += 1;
                Micros(net.seconds * 1_000_000)
            }),
            sealed: feed,
            view: Arc::new(move || view(&lock(&net), node)),
            ask: ask(&self.net, node),
            kept,
            diverged,
            on_diverged: Arc::new(move |divergence| lock(&telling).push(divergence.clone())),
        });
        self.net().reachable.insert(node, cosigner.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(run);
        self.nodes.insert(
            node,
            Running {
                sealed,
                cosigner,
                told,
                tasks,
            },
        );
    }

    /// Ends a node's work wherever it is, as a crash does.
    pub(crate) fn crash(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.net().reachable.remove(&node);
    }

    pub(crate) fn learner(&mut self, node: NodeId) {
        self.net().members.insert(node);
        self.start(node);
    }

    pub(crate) fn lead(&self, leaders: impl IntoIterator<Item = NodeId>) {
        self.net().leaders = leaders.into_iter().collect();
    }

    pub(crate) fn down(&self, nodes: impl IntoIterator<Item = NodeId>) {
        self.net().down = nodes.into_iter().collect();
    }

    pub(crate) fn network(&self, delay_ms: u64, lost_one_in: u64) {
        let mut net = self.net();
        net.delay_ms = delay_ms;
        net.lost_one_in = lost_one_in;
    }

    /// A size of the node's book may be signed.
    pub(crate) fn seal(&self, node: NodeId, size: u64, root: Root) {
        self.nodes[&node].sealed.send_replace(Some(Sealed {
            size,
            root,
            body: checkpoint(size, root).body().into_bytes(),
        }));
    }

    pub(crate) fn seal_all(&self, size: u64) {
        for node in self.nodes.keys() {
            self.seal(*node, size, root(size));
        }
    }

    pub(crate) async fn answer(&self, from: NodeId, to: NodeId, message: Bytes) -> Bytes {
        deliver(&self.net, from, to, message).await.unwrap()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.net().sent.clone()
    }

    pub(crate) fn told(&self, node: NodeId) -> Vec<Divergence> {
        lock(&self.nodes[&node].told).clone()
    }

    pub(crate) fn notes(&self, node: NodeId) -> BTreeMap<u64, String> {
        self.disks[&node].look().notes.clone()
    }

    /// Waits until the node has a note of this size or a larger one.
    pub(crate) async fn kept(&self, node: NodeId, size: u64) {
        let mut kept = self.nodes[&node].cosigner.kept();
        let kept = kept.wait_for(|kept| *kept >= size);
        let waited = tokio::time::timeout(Duration::from_secs(60), kept).await;
        assert!(waited.is_ok(), "node {node} has no note of {size}");
    }

    pub(crate) fn rule(&self) -> Trust {
        rule(&self.net().voters)
    }

    /// What holds at any time, whatever happened.
    pub(crate) fn check(&self) {
        for ((node, size), roots) in &self.net().signed {
            assert_eq!(roots.len(), 1, "node {node} signed two roots of {size}");
            let disk = self.disks[node].look();
            let root = roots.first().unwrap();
            let promised = disk.promises.contains(&(*size, *root));
            assert!(promised, "node {node} signed {size} without a promise");
        }
        let rule = self.rule();
        for (node, disk) in &self.disks {
            let disk = disk.look();
            let sizes: Vec<u64> = disk.promises.iter().map(|(size, _)| *size).collect();
            assert!(sizes.is_sorted(), "node {node} promised {sizes:?}");
            for (size, text) in &disk.notes {
                let note = Note::parse(text.as_bytes()).unwrap();
                assert_eq!(rule.open(&note).unwrap().size, *size);
                assert_eq!(rule.is_quorate(&note), Ok(true), "{text}");
            }
        }
    }
}

pub(crate) fn rule(voters: &BTreeSet<NodeId>) -> Trust {
    let nodes: Vec<(String, VerifierKey)> = voters
        .iter()
        .map(|node| (format!("n{node}"), node_key(*node).verifier()))
        .collect();
    let text = cluster_text(&[log_key().verifier()], &nodes, voters.len() / 2 + 1).unwrap();
    Trust::parse(text.as_bytes()).unwrap()
}

fn view(net: &Net, node: NodeId) -> View {
    let voters = net.voters.iter();
    View {
        leads: net.leaders.contains(&node),
        voters: voters
            .map(|node| (*node, node_key(*node).verifier()))
            .collect(),
        members: net.members.iter().copied().collect(),
    }
}

fn ask(net: &Arc<Mutex<Net>>, from: NodeId) -> Ask {
    let net = Arc::clone(net);
    Arc::new(move |to, message, _within| {
        let net = Arc::clone(&net);
        Box::pin(async move {
            {
                let mut net = lock(&net);
                if let Some(asked) = claimed(&message).filter(|_| message.starts_with(&COSIGN)) {
                    net.has_signed(from, &asked);
                }
                let message = message.clone();
                net.sent.push(Sent { from, to, message });
            }
            let answer = deliver(&net, from, to, message).await;
            answer.ok_or(LinkError::Late { node: to })
        })
    })
}

/// The checkpoint in a message, if the log's key has signed it.
fn claimed(message: &[u8]) -> Option<Checkpoint> {
    let note = Note::parse(message.get(2..)?).ok()?;
    note.open(&log_key().verifier()).ok()
}

/// Carries a message there and its answer back, if nothing is lost on the way.
async fn deliver(net: &Mutex<Net>, from: NodeId, to: NodeId, message: Bytes) -> Option<Bytes> {
    let way = |net: &mut Net| (!net.cut(from, to) && !net.loses()).then(|| net.delay());
    let there = way(&mut lock(net))?;
    tokio::time::sleep(there).await;
    let cosigner = lock(net).reachable.get(&to).cloned()?;
    let answer = cosigner.answer(from, &message).await;
    let back = {
        let mut net = lock(net);
        if let Some(line) = answer.strip_prefix(&SIGNED) {
            let asked = claimed(&message).expect("signed is what was asked for");
            let line = str::from_utf8(line).unwrap();
            let checked = node_key(to).verifier().check_cosignature(&asked, line);
            assert!(checked.is_ok(), "{line}");
            net.has_signed(to, &asked);
        }
        way(&mut net)?
    };
    tokio::time::sleep(back).await;
    Some(answer)
}
