//! Commits a second on `RocksDB`, at 1, 16 and 256 at once: `cargo run --example commits [DIR]`.
#![expect(clippy::print_stdout, reason = "a measurement prints")]
#![expect(clippy::disallowed_methods, reason = "a measurement takes the time")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Builder;

use tollbook_raft::{Cluster, Options};
use tollbook_state::command::{Command, Genesis, Micros};
use tollbook_storage::{Paths, Rocks};

const SECONDS: u64 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("tollbook-commits-{}", std::process::id()));
    let result = Builder::new_current_thread()
        .enable_time()
        .build()?
        .block_on(measure(&directory));
    std::fs::remove_dir_all(&directory)?;
    result
}

async fn measure(directory: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let paths = Paths {
        database: directory.join("db"),
        segments: directory.join("log/seg"),
    };
    let clock = Arc::new(|| {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Micros(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
    });
    let cluster = Cluster::start(Options::new(1, 1, clock), Rocks::open(&paths)?).await?;
    let genesis = Genesis {
        origin: "test/tollbook/1".into(),
        log_key: "key".into(),
        members: vec![(1, "node-key".into())],
        software: "measure".into(),
        prior: None,
    };
    cluster.commit(&Command::Genesis(genesis)).await?;
    for at_once in [1, 16, 256, 1024] {
        run(&cluster, at_once).await?;
    }
    cluster.shutdown().await;
    Ok(())
}

async fn run(cluster: &Cluster, at_once: usize) -> Result<(), Box<dyn Error>> {
    let one = || async {
        let begin = Instant::now();
        let software = "a record of about the size that an intent has".repeat(2);
        cluster
            .commit(&Command::NodeStop { software })
            .await
            .map(|_| begin.elapsed())
    };
    let before = cluster.stats();
    let begin = Instant::now();
    let mut times = Vec::new();
    let mut under_way: FuturesUnordered<_> = (0..at_once).map(|_| one()).collect();
    while let Some(took) = under_way.next().await {
        times.push(took?);
        if begin.elapsed() < Duration::from_secs(SECONDS) {
            under_way.push(one());
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 1000)
            .copied()
            .unwrap_or_default()
    };
    let after = cluster.stats();
    let syncs = after.syncs - before.syncs;
    println!(
        "{at_once:5} at once: {:8.0} commits/s  p50 {:?}  p99 {:?}  p99.9 {:?}  \
         {:.1} commands/entry  sync mean {} us  flushes {}",
        times.len() as f64 / seconds,
        at(500),
        at(990),
        at(999),
        (after.commands - before.commands) as f64 / (after.batches - before.batches).max(1) as f64,
        (after.sync_micros_sum - before.sync_micros_sum) / syncs.max(1),
        after.state_flushes - before.state_flushes,
    );
    Ok(())
}
