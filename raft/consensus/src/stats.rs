//! What the node measures of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of [`Stats::sync_micros`]: bucket `n` counts syncs of less than `2^n` microseconds, the
/// last one all others.
pub const MICROS_BUCKETS: usize = 24;

/// A snapshot of the node's counters, all since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Index of the last entry of the log that is durable here.
    pub synced_index: u64,
    /// Index of the last applied entry.
    pub applied_index: u64,
    /// Index up to which the state is durable.
    pub flushed_index: u64,
    /// Entries applied.
    pub entries: u64,
    /// Commands that this node proposed.
    pub commands: u64,
    /// Entries that this node proposed.
    pub batches: u64,
    /// Commands refused because too many waited.
    pub refused: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Writes that those syncs covered. Over `syncs` it is the group size.
    pub synced_writes: u64,
    /// Time spent in those syncs.
    pub sync_micros_sum: u64,
    /// How long they took.
    pub sync_micros: [u64; MICROS_BUCKETS],
    /// Frames written to the book, and compared with it.
    pub frames_written: u64,
    /// Frames that the book held already.
    pub frames_compared: u64,
    /// Flushes of the state.
    pub state_flushes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    synced_index: AtomicU64,
    applied_index: AtomicU64,
    flushed_index: AtomicU64,
    entries: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) refused: AtomicU64,
    syncs: AtomicU64,
    synced_writes: AtomicU64,
    sync_micros_sum: AtomicU64,
    sync_micros: [AtomicU64; MICROS_BUCKETS],
    pub(crate) frames_written: AtomicU64,
    pub(crate) frames_compared: AtomicU64,
    pub(crate) state_flushes: AtomicU64,
}

impl Counters {
    pub(crate) fn synced(&self, writes: usize, took: Duration, last: Option<u64>) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bits = usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(MICROS_BUCKETS);
        add(&self.syncs, 1);
        add(&self.synced_writes, writes as u64);
        add(&self.sync_micros_sum, micros);
        if let Some(bucket) = self.sync_micros.get(bits.min(MICROS_BUCKETS - 1)) {
            add(bucket, 1);
        }
        if let Some(last) = last {
            self.synced_index.store(last, Ordering::Relaxed);
        }
    }

    pub(crate) fn applied(&self, index: u64) {
        self.applied_index.store(index, Ordering::Relaxed);
        add(&self.entries, 1);
    }

    pub(crate) fn flushed(&self, index: u64) {
        self.flushed_index.store(index, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            synced_index: get(&self.synced_index),
            applied_index: get(&self.applied_index),
            flushed_index: get(&self.flushed_index),
            entries: get(&self.entries),
            commands: get(&self.commands),
            batches: get(&self.batches),
            refused: get(&self.refused),
            syncs: get(&self.syncs),
            synced_writes: get(&self.synced_writes),
            sync_micros_sum: get(&self.sync_micros_sum),
            sync_micros: std::array::from_fn(|n| self.sync_micros.get(n).map_or(0, get)),
            frames_written: get(&self.frames_written),
            frames_compared: get(&self.frames_compared),
            state_flushes: get(&self.state_flushes),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
