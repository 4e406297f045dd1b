//! On `RocksDB` and real files: a child process is killed again and again, and what it said was
//! committed is there each time.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may panic"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use tollbook_audit::frame::next_frame;
use tollbook_raft::{Cluster, CommitError, Options, Replay, StartError};
use tollbook_state::CommandResult;
use tollbook_state::command::{Command, Genesis, Micros};
use tollbook_storage::{EngineError, Paths, Rocks};

/// Set for the child: the directory that it works in.
const CHILD: &str = "TOLLBOOK_TEST_CHILD";

fn paths(directory: &Path) -> Paths {
    Paths {
        database: directory.join("db"),
        segments: directory.join("log/seg"),
    }
}

fn options(boot: u64) -> Options {
    let start = std::sync::atomic::AtomicU64::new(1_700_000_000_000_000 + boot * 1_000_000_000);
    let tick = move || Micros(start.fetch_add(1000, std::sync::atomic::Ordering::Relaxed));
    let mut options = Options::new(1, boot, Arc::new(tick));
    options.replay = Replay {
        bytes: u64::MAX,
        entries: 150,
        keep: 10,
    };
    options
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

async fn open(directory: &Path, boot: u64) -> Cluster {
    let engine = Rocks::open(&paths(directory)).unwrap();
    let cluster = Cluster::start(options(boot), engine).await.unwrap();
    if cluster.read(|state| state.head().is_none()) {
        let genesis = Genesis {
            origin: "test/tollbook/1".into(),
            log_key: "key".into(),
            members: vec![(1, "node-key".into())],
            software: "genesis".into(),
            prior: None,
        };
        cluster.commit(&Command::Genesis(genesis)).await.unwrap();
    }
    cluster
}

async fn record(cluster: &Cluster, software: &str) -> u64 {
    let command = Command::NodeStop {
        software: software.into(),
    };
    let result = cluster.commit(&command).await.unwrap();
    let CommandResult::Recorded { first, count: 1 } = result else {
        panic!("{result:?}");
    };
    first
}

fn records(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(paths(directory).segments).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut records = Vec::new();
    let mut chain = [0; 32];
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let mut rest = bytes.as_slice();
        while let Some(frame) = next_frame(rest).unwrap() {
            assert_eq!(frame.header.prev_frame_hash, chain);
            assert_eq!(frame.header.first_index, records.len() as u64);
            records.extend(
                frame
                    .records()
                    .map(|r| String::from_utf8(r.to_vec()).unwrap()),
            );
            chain = frame.hash;
            rest = &rest[frame.bytes.len()..];
        }
        assert_eq!(rest, [0u8; 0]);
    }
    records
}

/// Not a test of its own: what the killed process does. It says what was committed, line by line.
#[test]
fn child_commits_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD) else {
        return;
    };
    let boot = u64::from(std::process::id());
    runtime().block_on(async {
        let cluster = open(Path::new(&directory), boot).await;
        for round in 0.. {
            let names: Vec<_> = (0..8).map(|n| format!("{boot}-{round}-{n}")).collect();
            let indexes =
                futures_util::future::join_all(names.iter().map(|name| record(&cluster, name)));
            for (index, name) in indexes.await.into_iter().zip(&names) {
                println!("committed {index} {name}");
            }
            std::io::stdout().flush().unwrap();
        }
    });
}

fn spawn_child(directory: &Path) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn what_a_killed_process_said_was_committed_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut said = BTreeMap::new();
    // Each line count ends a child at another place between flushes, purges and syncs.
    for lines in [1, 9, 500, 2000, 2600, 77] {
        let mut child = spawn_child(directory.path());
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut committed = output
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("committed ").map(str::to_owned));
        let mut keep = |line: String| {
            let (index, name) = line.split_once(' ').unwrap();
            let before = said.insert(index.parse::<u64>().unwrap(), name.to_owned());
            assert_eq!(before, None);
        };
        committed.by_ref().take(lines).for_each(&mut keep);
        child.kill().unwrap();
        child.wait().unwrap();
        // What was still in the pipe was said as well; the last line may be cut short.
        let mut left: Vec<_> = committed.collect();
        left.pop();
        left.into_iter().for_each(&mut keep);
    }
    let boot = 1;
    runtime().block_on(async {
        let cluster = open(directory.path(), boot).await;
        let size = cluster.read(|state| state.head().unwrap().size());
        assert!(said.last_key_value().unwrap().0 < &size);
        cluster.shutdown().await;
    });
    let records = records(directory.path());
    assert!(said.len() > 5000);
    for (index, name) in said {
        assert!(
            records[usize::try_from(index).unwrap()].contains(&name),
            "{index}: {name}"
        );
    }
}

#[test]
fn a_node_that_was_shut_down_releases_its_directory_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        for boot in 1..4 {
            let cluster = open(directory.path(), boot).await;
            let refused = Rocks::open(&paths(directory.path())).unwrap_err();
            assert!(matches!(refused, EngineError::InUse { .. }));
            // Each start but the first has a leader of its own on record.
            assert_eq!(record(&cluster, "x").await, 2 * boot - 1);
            let replayed = cluster.stats();
            assert_eq!(
                replayed.frames_compared, 0,
                "an orderly stop leaves nothing to replay"
            );
            let status = cluster.status();
            assert_eq!((status.leader, status.leads), (Some(1), true));
            cluster.shutdown().await;
            let command = Command::Seal;
            assert_eq!(cluster.commit(&command).await, Err(CommitError::Stopping));
        }
    });
}

#[test]
fn a_book_that_lost_its_end_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let segment = paths(directory.path())
        .segments
        .join("00000000000000000000.tbs");
    runtime().block_on(async {
        let cluster = open(directory.path(), 1).await;
        for _ in 0..5 {
            record(&cluster, "x").await;
        }
        cluster.shutdown().await;
        let file = std::fs::File::options().write(true).open(&segment).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - 1).unwrap();
        let engine = Rocks::open(&paths(directory.path())).unwrap();
        let refused = Cluster::start(options(2), engine).await.unwrap_err();
        assert!(matches!(
            refused,
            StartError::BookBehind { book: 5, state: 6 }
        ));
        assert_eq!(file.metadata().unwrap().len(), length - 1);
    });
}
