//! The handle, and the life of a node from start to orderly stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use tollbook_state::command::Command;
use tollbook_state::{Sealed, State};
use tollbook_storage::Engine;

use crate::backfill::{self, Backfill, Reach, Ways};
use crate::batch::{Committing, Proposer, Queue};
use crate::error::{CommitError, StartError};
use crate::fatal::{Failure, Fatal};
use crate::flusher;
use crate::forward::Way;
use crate::keeper::{self, Keeper, Wanted};
use crate::log_store::LogStore;
use crate::members::{Members, Status};
use crate::network::Network;
use crate::options::Options;
use crate::peers::{Identity, Peers};
use crate::recovery;
use crate::serve::Served;
use crate::state_machine::{Outlets, SharedState, StateMachine};
use crate::stats::{Counters, Stats};
use crate::transport::{LinkError, Transport};
use crate::types::{Node, NodeId};
use crate::waiters::Waiters;
use crate::wire::{Change, ChangeError};
use crate::workers::{self, Workers};

/// For what the leader names to be applied here.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How far this node has applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Index of the newest applied entry.
    pub index: u64,
    /// Counts entries that changed a grant, policy, server or the membership.
    pub changes: u64,
}

/// A node of the cluster. Clones are the same node; it runs until [`Cluster::shutdown`], whether
/// handles are dropped or not.
#[derive(Clone)]
pub struct Cluster {
    queue: Queue,
    state: SharedState,
    progress: watch::Receiver<Progress>,
    sealed: watch::Receiver<Option<Sealed>>,
    reach: watch::Receiver<Reach>,
    counters: Arc<Counters>,
    members: Members,
    stop: CancellationToken,
    ended: watch::Receiver<bool>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("progress", &*self.progress.borrow())
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts a node on threads of its own and returns when it has replayed its log: a lone voter
    /// leads by then. The engine is released when the node has shut down, or did not start.
    pub async fn start<E: Engine>(options: Options, engine: E) -> Result<Self, StartError> {
        let (started, start) = oneshot::channel();
        let (ended_sender, ended) = watch::channel(false);
        let raft = move || {
            // The core, batching and apply share one thread: less waking up on few cores.
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(source) => return drop(started.send(Err(StartError::Thread { source }))),
            };
            let mut workers = Workers::on_threads();
            let refused = runtime.block_on(async {
                match launch(options, engine, &mut workers, ended).await {
                    Ok((cluster, node)) => {
                        drop(started.send(Ok(cluster)));
                        node.run().await;
                        None
                    }
                    Err(error) => Some((started, error)),
                }
            });
            // Tasks hold the engine until their runtime is gone, and threads until they end.
            drop(runtime);
            workers.join();
            if let Some((started, error)) = refused {
                drop(started.send(Err(error)));
            }
            ended_sender.send_replace(true);
        };
        workers::spawn("raft", raft)?;
        let ended = || StartError::Consensus {
            source: "the consensus thread ended".into(),
        };
        start.await.map_err(|_| ended())?
    }

    /// Starts a node on the caller's runtime, which must be a single thread: for simulations.
    /// Drive the returned future; it ends after [`Cluster::shutdown`].
    pub async fn start_here<E: Engine>(
        options: Options,
        engine: E,
    ) -> Result<(Self, impl Future<Output = ()> + Send), StartError> {
        let (ended_sender, ended) = watch::channel(false);
        let mut workers = Workers::as_tasks();
        let (cluster, node) = launch(options, engine, &mut workers, ended).await?;
        let run = async move {
            node.run().await;
            ended_sender.send_replace(true);
        };
        Ok((cluster, run))
    }

    /// Commits a command: the result comes when its entry is on a quorum's disks and applied here.
    /// Refusals are errors of the future; see [`crate::CommitError`] for which of them are certain.
    pub fn commit(&self, command: &Command) -> Committing {
        self.queue.commit(command)
    }

    /// Looks at the state. Apply waits meanwhile: copy what you need and return.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look_at(&self.state, look)
    }

    /// How far this node has applied, and when that changes.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// The newest seal that may be signed: committed, applied, covered by a sync of this node's
    /// own log, its segments on disk. A replay after a crash may offer older ones again.
    #[must_use]
    pub fn sealed(&self) -> watch::Receiver<Option<Sealed>> {
        self.sealed.clone()
    }

    /// How far down this node's book reaches: one that joined late gets what is below from the
    /// others, and neither cosigns nor serves the book before it is whole.
    #[must_use]
    pub fn reach(&self) -> watch::Receiver<Reach> {
        self.reach.clone()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// This node's place in the cluster.
    #[must_use]
    pub fn status(&self) -> Status {
        self.members.status()
    }

    /// Changes the members, at whoever leads. Returns when the change is committed; a hand-over of
    /// leadership, when it has begun. A change that is repeated does nothing more.
    pub async fn change(&self, change: Change) -> Result<(), ChangeError> {
        self.members.change(change).await
    }

    /// Asks a member's program (its [`Options::on_ask`]). An error: it may have been asked.
    pub async fn ask(
        &self,
        node: NodeId,
        message: Bytes,
        within: Duration,
    ) -> Result<Bytes, LinkError> {
        self.members.ask(node, message, within).await
    }

    /// Waits until this node has applied all that was committed anywhere before the call, so that
    /// [`Cluster::read`] after it misses nothing. Needs a leader that hears a quorum.
    pub async fn catch_up(&self) -> Result<(), CommitError> {
        let index = self.members.read_index().await?;
        let mut progress = self.progress.clone();
        let applied = progress.wait_for(|progress| progress.index >= index);
        match tokio::time::timeout(CATCH_UP, applied).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(CommitError::Stopping),
            // Cut off since the leader was asked.
            Err(_) => Err(CommitError::NoLeader),
        }
    }

    /// Stops the node: refuses new commands, finishes those it has, flushes state and book, and
    /// releases the engine. Returns when that is done. Safe to call twice.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        // An error means that the thread is gone, which is what is waited for.
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }

    /// Resolves when the node has ended, orderly or not.
    pub async fn ended(&self) {
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }
}

/// A running node.
struct Running<E: Engine> {
    raft: Node<E>,
    tasks: TaskTracker,
    proposer: Proposer<E>,
    transport: Arc<dyn Transport>,
    stop: CancellationToken,
    fatal: Fatal,
}

impl<E: Engine> Running<E> {
    /// Until shutdown is asked for, or openraft gives up.
    async fn run(self) {
        let Self {
            raft,
            tasks,
            proposer,
            transport,
            stop,
            fatal,
        } = self;
        let metrics = raft.wait(None);
        let failed = metrics.metrics(|m| m.running_state.is_err(), "a failure");
        tokio::select! {
            // Ends when it is asked to and all that was queued is answered.
            () = proposer.run() => {}
            // All who wait are let go by the drop of the proposer.
            _ = failed => drop(fatal.fail(Failure::Core)),
        }
        stop.cancel();
        transport.close().await;
        if let Err(error) = raft.shutdown().await {
            tracing::error!(%error, "the consensus core did not end in order");
        }
        // The last handle. The log store and the state machine went with the core; the flusher
        // and the keeper follow, and the keeper flushes.
        drop(raft);
        tasks.close();
        tasks.wait().await;
    }
}

/// What all parts of a node share.
struct Shared<E> {
    engine: Arc<E>,
    fatal: Fatal,
    counters: Arc<Counters>,
    waiters: Waiters,
}

/// What the parts tell the outside.
struct Feeds<E> {
    backfill: Arc<Backfill<E>>,
    progress: watch::Receiver<Progress>,
    sealed: watch::Receiver<Option<Sealed>>,
    flushed: watch::Receiver<u64>,
}

async fn launch<E: Engine>(
    options: Options,
    engine: E,
    workers: &mut Workers,
    ended: watch::Receiver<bool>,
) -> Result<(Cluster, Running<E>), StartError> {
    let shared = Shared {
        engine: Arc::new(engine),
        fatal: Fatal::new(Arc::clone(&options.on_failure)),
        counters: Arc::default(),
        waiters: Waiters::new(options.node, options.boot),
    };
    let me = identity(&options);
    let transport = Arc::clone(&options.transport);
    let peers = Peers::new(me, Arc::clone(&options.clock), Arc::clone(&transport));
    let started = start_parts(&options, &shared, &peers, workers).await;
    let (raft, state, feeds) = match started {
        Ok(started) => started,
        // What made it fail says more than that it failed; and who is refused writes no more.
        Err(error) => {
            transport.close().await;
            return Err(shared.fatal.refuse().map_or(error, StartError::Failure));
        }
    };
    shared.fatal.serve().map_err(StartError::Failure)?;

    let tasks = workers.tasks();
    tasks.spawn(keeper::purge(
        raft.clone(),
        feeds.flushed,
        options.replay.keep,
    ));
    let stop = CancellationToken::new();
    start_filling(&feeds.backfill, &stop, &shared.fatal, workers)?;
    let (queue, queued) = Queue::new(Arc::clone(&shared.counters));
    let proposer = Proposer {
        way: Way {
            me: me.node,
            raft: raft.clone(),
            peers: peers.clone(),
            clock: Arc::clone(&options.clock),
        },
        queued,
        waiters: shared.waiters,
        counters: Arc::clone(&shared.counters),
        stop: stop.clone(),
    };
    let members = Members {
        metrics: raft.metrics(),
        peers,
        control: Arc::new(raft.clone()),
    };
    let cluster = Cluster {
        queue,
        state,
        progress: feeds.progress,
        sealed: feeds.sealed,
        reach: feeds.backfill.reach(),
        counters: shared.counters,
        members,
        stop: stop.clone(),
        ended,
    };
    Ok((
        cluster,
        Running {
            raft,
            tasks,
            proposer,
            transport,
            stop,
            fatal: shared.fatal,
        },
    ))
}

fn identity(options: &Options) -> Identity {
    Identity {
        cluster: cluster_id(&options.cluster),
        node: NodeId::from(options.node),
        start: options.start,
        boot: options.boot,
    }
}

/// Tells clusters apart, on the wire and in certificates: no two share an origin.
#[must_use]
pub fn cluster_id(origin: &str) -> [u8; 16] {
    let hash = blake3::derive_key("tollbook 1 cluster id", origin.as_bytes());
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = hash;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

async fn start_parts<E: Engine>(
    options: &Options,
    shared: &Shared<E>,
    peers: &Peers,
    workers: &mut Workers,
) -> Result<(Node<E>, SharedState, Feeds<E>), StartError> {
    let Shared {
        engine,
        fatal,
        counters,
        waiters,
    } = shared;
    let (progress_sender, progress) = watch::channel(Progress::default());
    let (wanted_sender, wanted) = watch::channel(Wanted::default());
    let (sealed_sender, sealed) = watch::channel(None);
    let (flushed_sender, flushed) = watch::channel(0);
    let outlets = Outlets {
        waiters: waiters.clone(),
        progress: progress_sender,
        wanted: wanted_sender,
        on_frames: options.on_frames.clone(),
        replay: options.replay,
        counters: Arc::clone(counters),
        fatal: fatal.clone(),
    };
    let machine = StateMachine::open(Arc::clone(engine), outlets)?;
    let state = machine.state();
    let signed = options.max_signed;
    look_at(&state, |s| recovery::check_loaded(&**engine, s, signed))?;
    peers.know(&state, fatal);

    let (requests, queued) = flusher::channel();
    let (fatal, counters) = (fatal.clone(), Arc::clone(counters));
    let (disk, counted) = (Arc::clone(engine), Arc::clone(&counters));
    let flusher = flusher::run(disk, queued, fatal.clone(), counted);
    workers.run("raft-sync", &fatal, flusher)?;
    let log = LogStore::new(Arc::clone(engine), requests, fatal.clone());
    let keeper = Keeper {
        engine: Arc::clone(engine),
        wanted,
        sealed: sealed_sender,
        flushed: flushed_sender,
        counters,
        fatal: fatal.clone(),
    };
    workers.run("raft-keep", &fatal, keeper.run())?;

    let tasks = workers.tasks();
    let (raft, backfill) = start_raft(options, peers, shared, tasks, log, machine).await?;
    let check = recovery::Replayed {
        engine: Arc::clone(engine),
        state: Arc::clone(&state),
        signed: options.max_signed,
    };
    if is_lone_voter(&raft) {
        raft.wait_for_recovery(None).await.map_err(refused)?;
        check.check()?;
    } else {
        // What the others committed is heard from them, which may take as long as it takes.
        workers
            .tasks()
            .spawn(check.when_recovered(raft.clone(), fatal));
    }
    Ok((
        raft,
        state,
        Feeds {
            backfill,
            progress,
            sealed,
            flushed,
        },
    ))
}

fn look_at<T>(state: &SharedState, look: impl FnOnce(&State) -> T) -> T {
    look(&state.read().unwrap_or_else(PoisonError::into_inner))
}

/// Starts openraft and listens to peers. A new directory begins its cluster, a lone voter elects
/// itself at once.
async fn start_raft<E: Engine>(
    options: &Options,
    peers: &Peers,
    shared: &Shared<E>,
    tasks: TaskTracker,
    log: LogStore<E>,
    machine: StateMachine<E>,
) -> Result<(Node<E>, Arc<Backfill<E>>), StartError> {
    // Who has signed has had a log. Empty, its disk is lost, and it would vote for what it forgot.
    if is_empty(&*shared.engine)?
        && let Some(signed) = options.max_signed
    {
        return Err(StartError::SignedAhead {
            signed: signed.size,
            records: 0,
        });
    }
    let me = NodeId::from(options.node);
    let config = Arc::new(options.config().map_err(refused)?);
    let network = Network {
        peers: peers.clone(),
    };
    let raft = Node::new(me, config, network, log, machine)
        .await
        .map_err(refused)?;
    if options.begins {
        let members = BTreeMap::from([(me, options.peer.clone())]);
        match raft.initialize(members).await {
            // The directory is not new.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let members = metrics.membership_config.membership();
        let has_members = members.nodes().next().is_some();
        if has_members && members.get_node(&me).is_none() {
            return Err(StartError::NotMember { node: options.node });
        }
    }
    let ways = Ways::new(me, peers.clone(), raft.metrics());
    let backfill = Arc::new(Backfill::new(
        Arc::clone(&shared.engine),
        ways.fetch(tasks),
        ways.sources(),
        backfill::limits::BYTES_PER_SECOND,
    ));
    // The others may be waiting for this node's answers to get on at all.
    peers.transport().serve(Arc::new(Served {
        raft: raft.clone(),
        peers: peers.clone(),
        clock: Arc::clone(&options.clock),
        on_ask: Arc::clone(&options.on_ask),
        backfill: Arc::clone(&backfill),
        ways,
        fatal: shared.fatal.clone(),
    }));
    if options.begins && is_lone_voter(&raft) {
        raft.trigger().elect(true).await.map_err(refused)?;
    }
    Ok((raft, backfill))
}

/// Fetches what this node's book lacks. A contradiction ends the node.
fn start_filling<E: Engine>(
    backfill: &Arc<Backfill<E>>,
    stop: &CancellationToken,
    fatal: &Fatal,
    workers: &mut Workers,
) -> Result<(), StartError> {
    let (backfill, stop, failed) = (Arc::clone(backfill), stop.clone(), fatal.clone());
    let fill = async move {
        if let Err(error) = backfill.run(stop).await {
            drop(failed.fail(error));
        }
    };
    workers.run("raft-fill", fatal, fill)
}

/// Whether the engine holds neither log nor state.
fn is_empty<E: Engine>(engine: &E) -> Result<bool, StartError> {
    let applied = engine.applied().map_err(Failure::from)?;
    Ok(applied.is_none() && engine.log_range().is_none())
}

fn is_lone_voter<E: Engine>(raft: &Node<E>) -> bool {
    let mut voters = raft.voter_ids();
    voters.next() == Some(*raft.node_id()) && voters.next().is_none()
}

fn refused(source: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::Consensus {
        source: Box::new(source),
    }
}
