//! A running node: what its tasks share, and its life from start to orderly stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use tollbook_audit::head::Head;
use tollbook_audit::note::LogKey;
use tollbook_raft::{Cluster, CommitError, FrameHook, Quic, QuicError, StartError, Transport};
use tollbook_state::command::{Command, Genesis, Micros, SPEAKS};
use tollbook_state::{CommandResult, Role};
use tollbook_storage::EngineError;

use crate::asked::Asked;
use crate::asks::Asks;
use crate::call::Readers;
use crate::clock::{Clock, Stamps};
use crate::config::Config;
use crate::dir::{Dir, DirError, Lock, Run};
use crate::grants::{Grant, Grants};
use crate::inbound::{Inbound, Names};
use crate::joining::Late;
use crate::ledger::Ledger;
use crate::limits::{Deadlines, Limits};
use crate::metrics::Metrics;
use crate::policies::Policies;
use crate::refusal::Refusal;
use crate::routes::Routes;
use crate::session::SessionKey;
use crate::upstream::secret::Secrets;
use crate::upstream::{Pool, PoolLimits, trust};
use crate::{admin, checkpoint, listen, membership, node_status, watchers};

mod parts;

use self::parts::{bind_peers, names, open_cluster, options};

/// Version of the program, as records tell it.
pub(crate) const SOFTWARE: &str = concat!("tollbook ", env!("CARGO_PKG_VERSION"));

/// Answers to servers' own requests on their way at once.
const SERVER_ANSWERS: usize = 64;
/// For calls that a stop has cut, and for connections that end with it, to finish.
const LAST: Duration = Duration::from_secs(5);
/// Between two words on what a start waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a quorum's last word counts.
const QUORUM_HEARD: Duration = Duration::from_secs(5);
/// Entries that a node may lack of what the leader has applied, and still get calls.
const LAG: u64 = 1_000;

/// What a node is to its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Gets entries and has no vote, or is not heard of yet.
    Learner,
    /// Was a member and is none.
    Removed,
    /// Has a vote.
    Voter,
}

/// What a running node's tasks share.
#[derive(Debug)]
pub struct Node {
    /// Grants, servers, policies, counters, the book.
    pub cluster: Arc<Cluster>,
    /// The way to peers.
    pub(crate) quic: Arc<Quic>,
    /// Its directory.
    pub dir: Dir,
    /// How it was configured.
    pub(crate) config: Config,
    /// Sizes and counts.
    pub(crate) limits: Limits,
    /// How long each wait may last.
    pub(crate) deadlines: Deadlines,
    /// Its time.
    pub clock: Clock,
    /// Hosts and origins that are ours.
    pub(crate) names: Names,
    /// Finds grants by token.
    pub(crate) grants: Grants,
    /// Compiled policies.
    pub(crate) policies: Policies,
    /// Reads messages.
    pub(crate) readers: Readers,
    /// Reserves, records, counts refusals.
    pub(crate) ledger: Ledger,
    /// Where servers are.
    pub(crate) routes: Routes,
    /// Values of fixed headers, by reference.
    pub(crate) secrets: Secrets,
    /// Connections to servers.
    pub(crate) pool: Pool,
    /// Requests of servers that clients may answer.
    pub(crate) asked: Asked,
    /// Seals session ids.
    pub(crate) session_key: SessionKey,
    /// Signs checkpoints.
    pub(crate) log_key: Arc<LogKey>,
    /// Size of the newest checkpoint that is kept.
    pub(crate) signed: watch::Sender<u64>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Calls and connections; shutdown waits for them.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when an orderly stop begins.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when a stop no longer waits for calls on their way.
    pub(crate) cut: CancellationToken,
    /// Places for answers to servers' own requests.
    pub(crate) answers: Arc<Semaphore>,
    /// Cancelled when nothing more will be committed.
    pub(crate) ended: CancellationToken,
    stamps: Arc<Stamps>,
    slots: Arc<Semaphore>,
    disk_low: AtomicBool,
    failed: AtomicBool,
    drained: AtomicBool,
    /// How far the leader had applied when it was last asked; 0 where this node leads.
    leader_applied: AtomicU64,
    base_url: String,
    /// Counts the starts of the directory.
    started: u64,
}

/// What a node is put together from.
struct Parts {
    cluster: Arc<Cluster>,
    quic: Arc<Quic>,
    dir: Dir,
    config: Config,
    stamps: Arc<Stamps>,
    clock: Clock,
    data: SocketAddr,
    started: u64,
}

/// How a node is started, beside its directory.
#[derive(Clone, Default)]
pub struct Start {
    /// Its time.
    pub clock: Clock,
    /// Told of the frames of each entry at apply.
    pub on_frames: Option<FrameHook>,
    /// Goes on though the machine's clock is far from the log's.
    pub accept_clock: bool,
}

/// Why a node does not start. Nothing was served.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A listener's address cannot be had.
    #[error("cannot listen on `{address}`; another process has it, or it is not this machine's")]
    Bind {
        /// Which.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The machine's clock is far from the log's.
    #[error(
        "this machine's clock is {days} days past the log's time; if it is right, start once \
         with --accept-clock"
    )]
    Clock {
        /// How far.
        days: u64,
    },
    /// The directory.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The storage.
    #[error("the node's storage does not open")]
    Engine(#[from] EngineError),
    /// The log was begun with another signing key.
    #[error("`keys/log.key` is `{ours}`, but the log was begun with `{log}`; put that key back")]
    LogKey {
        /// Verifier key in the log.
        log: String,
        /// Verifier key of the file.
        ours: String,
    },
    /// The log begins with another name than the configuration has.
    #[error("`{dir}` holds the log `{log}`, but its configuration says `{configured}`")]
    Origin {
        /// The directory.
        dir: String,
        /// Origin of the log.
        log: String,
        /// Origin in the configuration.
        configured: String,
    },
    /// The first entries were not committed.
    #[error("the node's first entry was not committed: {reason}")]
    Begin {
        /// What came instead.
        reason: String,
    },
    /// The way to peers.
    #[error(transparent)]
    Peers(#[from] QuicError),
    /// Consensus.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A node that serves. Stop it with [`Running::stop`].
#[derive(Debug)]
pub struct Running {
    /// What its tasks share.
    pub node: Arc<Node>,
    /// The data plane's address.
    pub data: SocketAddr,
    /// The admin plane's address.
    pub admin: SocketAddr,
    /// Where peers reach it, over UDP.
    pub peer: SocketAddr,
    background: TaskTracker,
    _lock: Lock,
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start")
            .field("accept_clock", &self.accept_clock)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Starts the node of a directory, and returns when it serves.
    pub async fn start(dir: Dir, config: Config, start: Start) -> Result<Self, NodeError> {
        let lock = dir.lock()?;
        // Before anything is replayed or written: a port that is taken should cost nothing.
        let data = bind(&config.listen.data.to_string()).await?;
        let admin = bind(&config.listen.admin.to_string()).await?;
        let (data_at, admin_at) = (address(&data)?, address(&admin)?);
        dir.check_undiverged()?;
        dir.check_not_rolled_back()?;
        let stamps = Arc::new(Stamps::new(start.clock));
        let asks = Arc::new(Asks::default());
        let late = Late::default();
        asks.bind(node_status::ASK, node_status::hook(Arc::clone(&late)));
        let quic = bind_peers(&dir, &config, &start, Arc::clone(&late)).await?;
        let peer_at = quic.local_address();
        let started = dir.next_start()?;
        let mut options = options(&dir, &config, &start, &stamps)?;
        options.start = started;
        options.peer = membership::peer(&dir, &config, peer_at)?;
        options.on_ask = asks.hook();
        options.transport = Arc::clone(&quic) as Arc<dyn Transport>;
        let cluster = Arc::new(open_cluster(&dir, options).await?);
        let parts = Parts {
            cluster: Arc::clone(&cluster),
            quic,
            dir,
            config,
            stamps,
            clock: start.clock,
            data: data_at,
            started,
        };
        let node = match Node::new(parts) {
            Ok(node) => Arc::new(node),
            Err(error) => {
                // It runs on threads of its own and holds the directory.
                cluster.shutdown().await;
                return Err(error);
            }
        };
        late.get_or_init(|| Arc::downgrade(&node));
        let background = TaskTracker::new();
        background.spawn(admin::run(Arc::clone(&node), admin));
        // Signing begins after: a log that is begun with another key gets no note by this one.
        let begun = node.begin(&start).await.and_then(|()| {
            let cosigns = checkpoint::cosign(&node, &asks, &background);
            cosigns.map_err(NodeError::from)
        });
        if let Err(error) = begun {
            node.stopping.cancel();
            node.ended.cancel();
            cluster.shutdown().await;
            return Err(error);
        }
        background.spawn(listen::run(Arc::clone(&node), data));
        look_after(&node, &background, peer_at);
        checkpoint::make(&node).await;
        let run = Run {
            data: node.base_url.clone(),
            admin: format!("http://{admin_at}"),
            peer: Some(peer_at.to_string()),
            pid: std::process::id(),
        };
        node.dir.write_run(&run)?;
        Ok(Self {
            node,
            data: data_at,
            admin: admin_at,
            peer: peer_at,
            background,
            _lock: lock,
        })
    }

    /// Stops in good order: takes nothing new, lets calls end within the drain deadline, closes
    /// the rest as `unknown`, seals and signs the book, flushes.
    pub async fn stop(self) {
        let Self {
            node, background, ..
        } = self;
        node.stopping.cancel();
        // First, so that the others need not find out by themselves that their leader is gone.
        membership::resign(&node).await;
        let all = u32::try_from(node.limits.calls).unwrap_or(u32::MAX);
        let drained = tokio::time::timeout(node.deadlines.drain, node.slots.acquire_many(all));
        if drained.await.is_err() {
            tracing::warn!("calls were still on their way; they are recorded as unknown");
            node.cut.cancel();
            // Each has its outcome on record by then, or is closed by the stop's own record.
            drop(tokio::time::timeout(LAST, node.slots.acquire_many(all)).await);
        }
        node.pool.close();
        node.tasks.close();
        // The ends of answers that clients are still taking.
        drop(tokio::time::timeout(LAST, node.tasks.wait()).await);
        node.ledger.flush_refusals().await;
        let stop = Command::NodeStop {
            software: SOFTWARE.to_owned(),
        };
        match tokio::time::timeout(LAST, node.cluster.commit(&stop)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the stop was not recorded"),
            Err(_late) => tracing::warn!("the stop was not recorded: no quorum"),
        }
        checkpoint::make(&node).await;
        node.ended.cancel();
        node.cluster.shutdown().await;
        background.close();
        background.wait().await;
        if let Err(error) = node.dir.remove_run() {
            tracing::warn!(%error, "the file that says where the node serves is left behind");
        }
    }
}

impl Node {
    fn new(parts: Parts) -> Result<Self, NodeError> {
        let Parts {
            cluster,
            quic,
            dir,
            config,
            stamps,
            clock,
            data,
            started,
        } = parts;
        let (limits, deadlines) = (config.limits.clone(), config.deadlines.clone());
        let tasks = TaskTracker::new();
        let tls = trust().config;
        let pool_limits = PoolLimits {
            connect: deadlines.connect,
            connections: limits.upstream_connections,
            ..PoolLimits::default()
        };
        let signed = dir.newest_note()?;
        let base_url = config
            .http
            .public_url
            .clone()
            .unwrap_or_else(|| format!("http://{data}"));
        Ok(Self {
            ledger: Ledger::new(
                Arc::clone(&cluster),
                clock,
                &limits,
                &deadlines,
                tasks.clone(),
            ),
            cluster,
            quic,
            names: names(&config, data),
            grants: Grants,
            policies: Policies::default(),
            readers: Readers::new(&limits),
            routes: Routes::default(),
            secrets: Secrets::new(clock, dir.root()),
            pool: Pool::new(pool_limits, tls, tasks.clone(), clock),
            asked: Asked::default(),
            session_key: SessionKey::new(&*dir.session_key()?),
            log_key: Arc::new(dir.log_key()?),
            signed: watch::Sender::new(signed),
            metrics: Metrics::new(),
            tasks,
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
            answers: Arc::new(Semaphore::new(SERVER_ANSWERS)),
            ended: CancellationToken::new(),
            stamps,
            slots: Arc::new(Semaphore::new(limits.calls)),
            disk_low: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            leader_applied: AtomicU64::new(0),
            base_url,
            started,
            dir,
            config,
            limits,
            deadlines,
            clock,
        })
    }

    /// Begins the log where there is none, and records this start. Closes what earlier boots of
    /// this node left open. A member of a larger cluster waits here until the others can be heard.
    async fn begin(&self, start: &Start) -> Result<(), NodeError> {
        // Alone, all that the log holds is applied by this time; with peers it may not be.
        if !membership::begins(&self.config) || self.cluster.status().members.len() > 1 {
            self.await_log().await?;
        }
        let (known, now) = self.cluster.read(|state| {
            (
                state
                    .genesis()
                    .map(|genesis| (genesis.origin.clone(), genesis.log_key.clone())),
                state.now(),
            )
        });
        let configured = self.config.cluster.origin.clone();
        if let Some((log, key)) = known {
            // Another key would sign what no auditor's trust file accepts.
            let ours = self.log_key.verifier().to_string();
            if log == configured && key != ours {
                return Err(NodeError::LogKey { log: key, ours });
            }
            if log != configured {
                let dir = self.dir.root().display().to_string();
                return Err(NodeError::Origin {
                    dir,
                    log,
                    configured,
                });
            }
            self.check_clock(now, start.accept_clock)?;
        } else {
            let node_key = self.dir.node_key()?.verifier().to_string();
            let genesis = Genesis {
                origin: configured,
                members: vec![(self.config.node.id, node_key)],
                log_key: self.log_key.verifier().to_string(),
                software: SOFTWARE.to_owned(),
                prior: None,
            };
            self.first(Command::Genesis(genesis)).await?;
        }
        if start.accept_clock {
            self.first(Command::ClockAccept {
                actor: "start".to_owned(),
            })
            .await?;
        }
        self.first(Command::NodeStart {
            software: SOFTWARE.to_owned(),
            start: self.started,
            speaks: SPEAKS,
        })
        .await
    }

    /// Until the others have sent the log's beginning.
    async fn await_log(&self) -> Result<(), NodeError> {
        let mut applied = self.cluster.applied();
        while self.cluster.read(|state| state.genesis().is_none()) {
            tokio::select! {
                changed = applied.changed() => if changed.is_err() {
                    return Err(NodeError::Begin {
                        reason: "the node ended".to_owned(),
                    });
                },
                () = tokio::time::sleep(PATIENCE) => {
                    tracing::warn!("nothing is heard from the cluster yet; waiting");
                }
            }
        }
        Ok(())
    }

    /// Commits one of the first entries, for as long as it takes to find a quorum.
    async fn first(&self, command: Command) -> Result<(), NodeError> {
        loop {
            let reason = match self.cluster.commit(&command).await {
                Ok(CommandResult::Recorded { .. }) => return Ok(()),
                // A start that was recorded, whose receipt was lost, is not recorded twice.
                Err(error @ (CommitError::NoLeader | CommitError::Unknown)) => {
                    tracing::warn!(%error, "the cluster has no quorum yet; waiting");
                    continue;
                }
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            };
            return Err(NodeError::Begin { reason });
        }
    }

    /// One entry stamped far in the future would freeze every window and expire every grant for
    /// good, so a clock that ran away between two starts needs a person's word.
    fn check_clock(&self, log: Micros, accepted: bool) -> Result<(), NodeError> {
        const DAY_US: u64 = 86_400_000_000;
        let days = self.clock.wall().0.saturating_sub(log.0) / DAY_US;
        if days > 90 && !accepted {
            Err(NodeError::Clock { days })
        } else {
            Ok(())
        }
    }

    /// A place for one call, where the node takes calls, has a vote, and not all of `limits.calls`
    /// are on their way.
    pub(crate) fn take_slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        // First: while the node stops, the stop itself waits for all places, so none is free.
        let slot = self.check_open().and_then(|()| {
            if self.part() != Part::Voter {
                return Err(Refusal::NoQuorum);
            }
            Arc::clone(&self.slots)
                .try_acquire_owned()
                .map_err(|_none_free| Refusal::Busy)
        });
        slot.inspect_err(|refusal| self.metrics.refused(refusal))
    }

    /// Counts a refusal: in the metrics, against the grant's budget, and for the book.
    pub(crate) fn note_refusal(&self, grant: &Grant, refusal: &Refusal) {
        self.metrics.refused(refusal);
        self.ledger.note_refusal(grant, refusal);
    }

    /// Counts a refusal of somebody who is no grant's: in the metrics and for the book.
    pub(crate) fn note_stranger(&self, inbound: &Inbound, refusal: &Refusal) {
        self.metrics.refused(refusal);
        self.ledger.note_stranger(inbound, refusal);
    }

    /// Refuses what is new while the node stops, or once it is drained.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        if self.stopping.is_cancelled() || self.drained.load(Ordering::Relaxed) {
            Err(Refusal::Draining)
        } else {
            Ok(())
        }
    }

    /// Refuses what would be recorded while the node stops, while the disk is nearly full, or while
    /// the machine's clock stands far from where the log's stamps went on.
    pub(crate) fn check_writable(&self) -> Result<(), Refusal> {
        self.check_open()?;
        if self.disk_low.load(Ordering::Relaxed) {
            return Err(Refusal::DiskFull);
        }
        if self.stamps.has_jumped() {
            Err(Refusal::ClockJumped)
        } else {
            Ok(())
        }
    }

    /// Refuses what passes unrecorded where this node has not heard from a quorum lately.
    pub(crate) fn check_quorum(&self) -> Result<(), Refusal> {
        let status = self.cluster.status();
        let mut voters = status.members.iter().filter(|(_, member)| member.voter);
        // Nobody else's word counts, so nobody's is waited for.
        let alone = voters.all(|(node, _)| *node == status.node) && status.leads;
        if alone || status.quorum.is_some_and(|ago| ago < QUORUM_HEARD) {
            Ok(())
        } else {
            Err(Refusal::NoQuorum)
        }
    }

    /// What this node is to its cluster, as far as it has applied.
    fn part(&self) -> Part {
        let me = self.config.node.id;
        self.cluster.read(|state| {
            let member = state.members().nodes.iter().find(|m| m.node == me);
            match member.map(|member| member.role) {
                Some(Role::Voter) => Part::Voter,
                None if state.is_removed(me) => Part::Removed,
                Some(Role::Learner) | None => Part::Learner,
            }
        })
    }

    /// Takes no new calls until the node is started again.
    pub(crate) fn drain(&self) {
        self.drained.store(true, Ordering::Relaxed);
    }

    /// Notes how far the leader has applied; 0: this node leads, or nobody says so.
    pub(crate) fn set_leader_applied(&self, index: u64) {
        self.leader_applied.store(index, Ordering::Relaxed);
    }

    /// Calls on their way.
    pub(crate) fn calls(&self) -> usize {
        self.limits
            .calls
            .saturating_sub(self.slots.available_permits())
    }

    /// Notes whether the disk is nearly full.
    pub(crate) fn set_disk_low(&self, low: bool) {
        if self.disk_low.swap(low, Ordering::Relaxed) != low {
            tracing::warn!(low, "the disk's reserve changed sides");
        }
    }

    /// Stops serving after an error that must not be gone on with.
    pub(crate) fn fail(&self, error: &dyn std::error::Error) {
        tracing::error!(%error, "the node stops serving");
        self.failed.store(true, Ordering::Relaxed);
        self.stopping.cancel();
    }

    /// Why this node should get no calls; empty where it should.
    pub fn unready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.failed.load(Ordering::Relaxed) {
            reasons.push("failed");
        }
        if self.check_open().is_err() {
            reasons.push("draining");
        }
        if self.disk_low.load(Ordering::Relaxed) {
            reasons.push("disk_full");
        }
        if self.stamps.has_jumped() {
            reasons.push("clock");
        }
        if self.policies.is_broken() {
            reasons.push("policy");
        }
        if self.check_quorum().is_err() {
            reasons.push("no_quorum");
        }
        match self.part() {
            Part::Learner => reasons.push("learner"),
            Part::Removed => reasons.push("removed"),
            Part::Voter => {}
        }
        let applied = self.cluster.applied().borrow().index;
        if applied.saturating_add(LAG) < self.leader_applied.load(Ordering::Relaxed) {
            reasons.push("catching_up");
        }
        if !self.cluster.reach().borrow().whole {
            reasons.push("backfill");
        }
        reasons
    }

    /// Whether the node stopped itself after an error.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// The text of `/metrics`.
    pub(crate) fn metrics_text(&self) -> String {
        self.metrics
            .calls
            .set(i64::try_from(self.calls()).unwrap_or(i64::MAX));
        let records = self
            .cluster
            .read(|state| state.head().map_or(0, Head::size));
        self.metrics.records.set(records);
        self.metrics.text()
    }

    /// The time that an entry proposed now would get: the wall clock, but for its jumps.
    pub(crate) fn now(&self) -> Micros {
        self.stamps.stamp()
    }

    /// URL of the data plane, as clients reach it.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }
}

/// What a node does beside its calls, until it stops.
fn look_after(node: &Arc<Node>, background: &TaskTracker, peer: SocketAddr) {
    background.spawn(checkpoint::seal_regularly(Arc::clone(node)));
    background.spawn(checkpoint::name_voters(Arc::clone(node)));
    background.spawn(watchers::compile_policies(Arc::clone(node)));
    background.spawn(watchers::count_refusals(Arc::clone(node)));
    background.spawn(watchers::settle(Arc::clone(node)));
    background.spawn(watchers::watch_disk(Arc::clone(node)));
    background.spawn(watchers::watch_leader(Arc::clone(node)));
    background.spawn(membership::keep_address(Arc::clone(node), peer));
    background.spawn(membership::renew_certificate(Arc::clone(node)));
}

async fn bind(address: &str) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| NodeError::Bind {
            address: address.to_owned(),
            source,
        })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, NodeError> {
    listener.local_addr().map_err(|source| NodeError::Bind {
        address: "its own address".to_owned(),
        source,
    })
}

/// How often a watcher looks.
pub(crate) const WATCH: Duration = Duration::from_secs(1);
