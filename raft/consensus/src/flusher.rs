//! One flusher: it takes all that waits, syncs once, and tells each in order. So writes that come
//! together share a sync, and no completion overtakes an earlier one.

use std::io;
use std::sync::Arc;

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use tollbook_state::planted::{self, Bug};
use tollbook_storage::Engine;

use crate::fatal::Fatal;
use crate::limits::FLUSH_REQUESTS_LIMIT;
use crate::stats::Counters;
use crate::types::TypeConfig;

/// A write that is in the engine and waits for its sync.
pub(crate) enum FlushRequest {
    /// Entries up to `last`.
    Append {
        last: u64,
        done: IOFlushed<TypeConfig>,
    },
    /// A vote.
    Vote {
        done: oneshot::Sender<io::Result<()>>,
    },
}

impl FlushRequest {
    fn finish(self, result: &io::Result<()>) {
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        match self {
            Self::Append { last: _, done } => done.io_completed(result),
            // Who waited may be gone with the node.
            Self::Vote { done } => drop(done.send(result)),
        }
    }
}

pub(crate) fn channel() -> (mpsc::Sender<FlushRequest>, mpsc::Receiver<FlushRequest>) {
    mpsc::channel(FLUSH_REQUESTS_LIMIT)
}

/// Runs until all writers are gone: on a thread of its own where a sync blocks, as a task in the
/// simulator.
pub(crate) async fn run<E: Engine>(
    engine: Arc<E>,
    mut requests: mpsc::Receiver<FlushRequest>,
    fatal: Fatal,
    counters: Arc<Counters>,
) {
    let mut group = Vec::new();
    while requests.recv_many(&mut group, FLUSH_REQUESTS_LIMIT).await > 0 {
        let begin = Instant::now();
        if planted::is(Bug::ReplyBeforeDurable) {
            for request in group.drain(..) {
                request.finish(&Ok(()));
            }
        }
        let takes = engine.sync_takes();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let result = match fatal.check() {
            Ok(()) if planted::is(Bug::SkipSync) => Ok(()),
            Ok(()) => engine.sync().map_err(|error| fatal.fail(error)),
            Err(error) => Err(error),
        };
        if result.is_ok() {
            counters.synced(group.len(), begin.elapsed(), last_index(&group));
        }
        for request in group.drain(..) {
            request.finish(&result);
        }
    }
}

fn last_index(group: &[FlushRequest]) -> Option<u64> {
    group.iter().rev().find_map(|request| match request {
        FlushRequest::Append { last, done: _ } => Some(*last),
        FlushRequest::Vote { done: _ } => None,
    })
}
