//! What happened, in order: a running hash that two runs of one seed must share, and, where
//! somebody looks, the lines.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex, PoisonError};

use blake3::Hasher;

/// The trace of one run. Clones are the same trace.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    hasher: Hasher,
    now_us: u64,
    events: u64,
    sink: Option<fn(&str)>,
}

impl Trace {
    pub(crate) fn new(sink: Option<fn(&str)>) -> Self {
        let inner = Inner {
            hasher: Hasher::new(),
            now_us: 0,
            events: 0,
            sink,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// The time that events bear from here on.
    pub(crate) fn at(&self, now_us: u64) {
        self.lock().now_us = now_us;
    }

    /// The simulation's time, by no node's clock.
    pub(crate) fn now_us(&self) -> u64 {
        self.lock().now_us
    }

    /// Notes an event of `node` (0: the simulation's own).
    pub(crate) fn note(&self, node: u64, what: Arguments<'_>) {
        let mut inner = self.lock();
        let line = format!("{:>9} n{node} {what}", inner.now_us / 1000);
        inner.hasher.update(line.as_bytes());
        inner.hasher.update(b"\n");
        inner.events += 1;
        if let Some(sink) = inner.sink {
            sink(&line);
        }
    }

    /// Bytes that went from one node to another: in the hash, not among the lines.
    pub(crate) fn delivered(&self, way: (u64, u64), bytes: &[u8]) {
        let mut inner = self.lock();
        let (now_us, length) = (inner.now_us, bytes.len() as u64);
        for number in [now_us, way.0, way.1, length] {
            inner.hasher.update(&number.to_le_bytes());
        }
        inner.hasher.update(bytes);
        inner.events += 1;
    }

    /// Events so far, and the hash of all of them.
    pub(crate) fn digest(&self) -> (u64, [u8; 32]) {
        let inner = self.lock();
        (inner.events, *inner.hasher.finalize().as_bytes())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
