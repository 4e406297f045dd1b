//! Keeps what apply leaves behind: syncs the book, flushes the state, offers seals for signing.
//! Off the path of commits; on a thread of its own where that blocks.

use std::sync::Arc;

use tokio::sync::watch;

use tollbook_state::Sealed;
use tollbook_state::planted::{self, Bug};
use tollbook_storage::Engine;

use crate::fatal::Fatal;
use crate::stats::{Counters, add};
use crate::types::Node;

/// A seal and the entry that made it.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    pub(crate) index: u64,
    pub(crate) sealed: Sealed,
}

/// What the state machine asks for. Counts, so that nothing is lost and nothing queues.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    flushes: u64,
    syncs: u64,
    seal: Option<Seal>,
}

impl Wanted {
    pub(crate) fn add(&mut self, flush: bool, sync: bool, seal: Option<Seal>) {
        self.flushes += u64::from(flush);
        self.syncs += u64::from(sync);
        if seal.is_some() {
            self.seal = seal;
        }
    }

    fn seal_index(&self) -> Option<u64> {
        self.seal.as_ref().map(|seal| seal.index)
    }
}

/// Where the keeper reports to.
pub(crate) struct Keeper<E> {
    pub(crate) engine: Arc<E>,
    pub(crate) wanted: watch::Receiver<Wanted>,
    /// Seals that may be signed.
    pub(crate) sealed: watch::Sender<Option<Sealed>>,
    /// Index up to which state and book are durable.
    pub(crate) flushed: watch::Sender<u64>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) fatal: Fatal,
}

impl<E: Engine> Keeper<E> {
    /// Runs until the state machine is gone, then makes all durable a last time.
    pub(crate) async fn run(mut self) {
        let mut done = Wanted::default();
        while self.wanted.changed().await.is_ok() {
            let wanted = self.wanted.borrow_and_update().clone();
            if self.keep(&done, &wanted).is_err() {
                return;
            }
            done = wanted;
        }
        if self.fatal.check().is_ok() {
            // Nothing depends on it: the log has been synced for all that was told.
            if let Err(error) = self.flush() {
                tracing::error!(%error, "state not flushed at the end");
            }
        }
    }

    fn keep(&self, done: &Wanted, wanted: &Wanted) -> std::io::Result<()> {
        self.fatal.check()?;
        let new_seal = wanted
            .seal
            .as_ref()
            .filter(|_| wanted.seal_index() != done.seal_index());
        if wanted.flushes != done.flushes {
            self.flush()?;
        } else if planted::is(Bug::SignUnsynced) {
            // Nothing is synced for a signature.
        } else if wanted.syncs != done.syncs || new_seal.is_some() {
            self.engine
                .sync_segments()
                .map_err(|error| self.fatal.fail(error))?;
        }
        if let Some(seal) = new_seal {
            self.offer(seal)?;
        }
        Ok(())
    }

    /// Signed is only what a sync of our own log covers, whoever made it commit, and whose
    /// segments are on disk.
    fn offer(&self, seal: &Seal) -> std::io::Result<()> {
        // Whatever was synced before: a log that was cut and written anew has entries of the same
        // numbers that no sync covers.
        if !planted::is(Bug::SignUnsynced) {
            self.sync_log()?;
        }
        self.sealed.send_replace(Some(seal.sealed.clone()));
        Ok(())
    }

    fn sync_log(&self) -> std::io::Result<()> {
        self.engine.sync().map_err(|error| self.fatal.fail(error))
    }

    /// A node may apply what its peers have committed before its own log is synced; a durable state
    /// must not be ahead of a durable log.
    fn flush(&self) -> std::io::Result<()> {
        if planted::is(Bug::PurgeEarly) {
            self.flushed
                .send_replace(self.counters.snapshot().applied_index);
            return Ok(());
        }
        self.sync_log()?;
        let flushed = self
            .engine
            .flush()
            .map_err(|error| self.fatal.fail(error))?;
        add(&self.counters.state_flushes, 1);
        if let Some(index) = flushed {
            self.counters.flushed(index);
            self.flushed.send_replace(index);
        }
        Ok(())
    }
}

/// Lets the log go up to where neither state nor book needs it, after each flush. openraft purges
/// only below a snapshot, so it is asked for one first; ours costs nothing.
pub(crate) async fn purge<E: Engine>(raft: Node<E>, mut flushed: watch::Receiver<u64>, keep: u64) {
    while flushed.changed().await.is_ok() {
        let index = *flushed.borrow_and_update();
        let Some(upto) = index.checked_sub(keep) else {
            continue;
        };
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        let covered = raft
            .wait(None)
            .metrics(
                |m| m.snapshot.is_some_and(|s| s.index >= index),
                "a snapshot to purge below",
            )
            .await;
        if covered.is_err() || raft.trigger().purge_log(upto).await.is_err() {
            return;
        }
    }
}
