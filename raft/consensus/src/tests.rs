//! openraft's own suite for stores, on the twin and on the real engine.

use std::io;
use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use tollbook_storage::{Disk, Engine, Memory};

use crate::cluster::Progress;
use crate::fatal::Fatal;
use crate::flusher;
use crate::keeper::Wanted;
use crate::log_store::LogStore;
use crate::options::Replay;
use crate::state_machine::{Outlets, StateMachine};
use crate::stats::Counters;
use crate::types::TypeConfig;
use crate::waiters::Waiters;

/// Time passes when all wait, so the suite's pauses cost nothing.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

struct Build<G, F>(F, std::marker::PhantomData<fn() -> G>);

pub(crate) type Stores<E> = (LogStore<E>, StateMachine<E>);

pub(crate) fn stores<E: Engine>(engine: E) -> Stores<E> {
    let engine = Arc::new(engine);
    let fatal = Fatal::new(Arc::new(|failure| panic!("{failure}")));
    let counters = Arc::new(Counters::default());
    let (requests, queued) = flusher::channel();
    let flusher = flusher::run(
        Arc::clone(&engine),
        queued,
        fatal.clone(),
        Arc::clone(&counters),
    );
    drop(TaskTracker::new().spawn(flusher));
    let outlets = Outlets {
        waiters: Waiters::new(1, 1),
        progress: watch::channel(Progress::default()).0,
        wanted: watch::channel(Wanted::default()).0,
        on_frames: None,
        replay: Replay::default(),
        counters,
        fatal: fatal.clone(),
    };
    let machine = StateMachine::open(Arc::clone(&engine), outlets).unwrap();
    (LogStore::new(engine, requests, fatal), machine)
}

impl<E, G, F> StoreBuilder<TypeConfig, LogStore<E>, StateMachine<E>, G> for Build<G, F>
where
    E: Engine,
    G: Send + Sync + 'static,
    F: Fn() -> (G, E) + Send + Sync,
{
    async fn build(&self) -> Result<(G, LogStore<E>, StateMachine<E>), StorageError<TypeConfig>> {
        let (guard, engine) = self.0();
        let (log, machine) = stores(engine);
        Ok((guard, log, machine))
    }
}

#[test]
fn the_twin_passes_the_store_suite() {
    let build = Build(
        || ((), Memory::open(&Disk::new()).unwrap()),
        std::marker::PhantomData,
    );
    runtime().block_on(Suite::test_all(build)).unwrap();
}

#[cfg(feature = "rocksdb")]
#[test]
fn the_real_engine_passes_the_store_suite() {
    use tollbook_storage::{Paths, Rocks};

    let open = || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let paths = Paths {
            database: path.join("db"),
            segments: path.join("log/seg"),
        };
        let engine = Rocks::open(&paths).unwrap();
        (directory, engine)
    };
    runtime()
        .block_on(Suite::test_all(Build(open, std::marker::PhantomData)))
        .unwrap();
}

/// What was appended is read back after reopening, through our own bytes.
#[test]
fn votes_and_entries_survive_a_power_loss_after_their_flush() {
    use openraft::RaftLogReader;
    use openraft::entry::RaftEntry;
    use openraft::storage::{IOFlushed, RaftLogStorage};
    use openraft::type_config::TypeConfigExt;
    use tollbook_storage::Crash;

    use crate::types::{Entry, LeaderId, LogId, Vote};

    let disk = Disk::new();
    let vote = Vote {
        leader_id: LeaderId {
            term: 3,
            node_id: 7,
        },
        committed: true,
    };
    let log_id = |index| LogId {
        leader_id: vote.leader_id,
        index,
    };
    let flushed = runtime().block_on(async {
        let (mut log, _machine) = stores(Memory::open(&disk).unwrap());
        log.save_vote(&vote).await.unwrap();
        let (tx, rx) = TypeConfig::oneshot::<Result<(), io::Error>>();
        let entries: Vec<_> = (1..4)
            .map(|index| Entry::new_blank(log_id(index)))
            .collect();
        log.append(entries, IOFlushed::signal(tx)).await.unwrap();
        rx.await.unwrap()
    });
    flushed.unwrap();
    disk.crash(Crash::Power { seed: 1 });
    runtime().block_on(async {
        let (mut log, _machine) = stores(Memory::open(&disk).unwrap());
        assert_eq!(
            log.get_log_state().await.unwrap().last_log_id,
            Some(log_id(3))
        );
        let mut reader = log.get_log_reader().await;
        assert_eq!(reader.read_vote().await.unwrap(), Some(vote));
        assert_eq!(reader.try_get_log_entries(1..9).await.unwrap().len(), 3);
    });
}

/// Entries that begin a log and seal it.
fn first_entries() -> Vec<crate::types::Entry> {
    use openraft::entry::RaftEntry;
    use tollbook_state::codec::encode_batch;
    use tollbook_state::command::{Batch, Command, Genesis, Place};

    use crate::types::{Entry, LeaderId, LogId, Proposal};

    let entry = |index: u64, commands: Vec<Command>| {
        let place = Place {
            node: 1,
            boot: 1,
            sequence: index,
        };
        let batch = encode_batch(&Batch { place, commands }).into();
        let log_id = LogId {
            leader_id: LeaderId {
                term: 1,
                node_id: 1,
            },
            index,
        };
        Entry::new_normal(
            log_id,
            Proposal {
                stamp: index * 1000,
                batch,
            },
        )
    };
    let genesis = Genesis {
        origin: "test/tollbook/1".into(),
        log_key: "key".into(),
        members: vec![(1, "node-key".into())],
        software: "test".into(),
        prior: None,
    };
    let start = Command::NodeStart {
        software: "a".into(),
        start: 1,
        speaks: 1,
    };
    vec![
        entry(1, vec![Command::Genesis(genesis)]),
        entry(2, vec![start, Command::Seal]),
    ]
}

/// A node that is given a snapshot holds the state of the one that made it, also after reopening.
#[test]
fn an_installed_snapshot_is_the_state_it_was_made_of() {
    use futures_util::stream;
    use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
    use tollbook_storage::Crash;

    use crate::backfill::tests::fetch_head;
    use crate::snapshot::Image;

    let digest = |machine: &StateMachine<Memory>| machine.state().read().unwrap().digest();
    let (disk, from_disk) = (Disk::new(), Disk::new());
    runtime().block_on(async {
        let (_log, mut from) = stores(Memory::open(&from_disk).unwrap());
        let entries = first_entries().into_iter().map(|entry| Ok((entry, None)));
        from.apply(stream::iter(entries)).await.unwrap();
        from.get_snapshot_builder()
            .await
            .build_snapshot()
            .await
            .unwrap();
        let snapshot = from.get_current_snapshot().await.unwrap().unwrap();

        let (_log, mut to) = stores(Memory::open(&disk).unwrap());
        let before = digest(&to);
        let Image::Whole(mut bytes) = snapshot.snapshot.clone() else {
            panic!("no content")
        };
        bytes.truncate(bytes.len() - 1);
        to.install_snapshot(&snapshot.meta, Image::Whole(bytes))
            .await
            .unwrap_err();
        to.install_snapshot(&snapshot.meta, Image::Later)
            .await
            .unwrap_err();
        assert_eq!(digest(&to), before);

        // Nothing of the open segment has come.
        to.install_snapshot(&snapshot.meta, snapshot.snapshot.clone())
            .await
            .unwrap_err();
        assert_eq!(digest(&to), before);

        let head = from.state().read().unwrap().head().cloned().unwrap();
        let (source, target) = (Memory::open(&from_disk), Memory::open(&disk));
        let (source, target) = (source.unwrap(), target.unwrap());
        fetch_head(source, target, &head).await.unwrap();
        to.install_snapshot(&snapshot.meta, snapshot.snapshot)
            .await
            .unwrap();
        assert_eq!(digest(&to), digest(&from));
        disk.crash(Crash::Power { seed: 3 });
        let (_log, again) = stores(Memory::open(&disk).unwrap());
        assert_eq!(digest(&again), digest(&from));
    });
}
