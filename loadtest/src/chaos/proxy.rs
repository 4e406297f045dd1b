//! The weather between nodes: each advertises a socket of ours, so every datagram passes here.
//!
//! One socket a node. What node `a` sends to `b` arrives at the socket of `b` and leaves by the
//! socket of `a`, so that each node sees the others at the addresses they advertise.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::NODES;
use super::seed::Seed;

/// Datagrams on their way; more are lost, as on a full link.
const QUEUE_MAX: usize = 16_384;
/// How soon a thread sees that the run is over.
const LOOK: Duration = Duration::from_millis(100);
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// What befalls datagrams of one direction between two nodes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) cut: bool,
    /// Percent that are lost.
    pub(super) loss: u64,
    /// Percent that come twice.
    pub(super) duplicate: u64,
    /// Percent that are held for up to 50 ms, so that later ones overtake them.
    pub(super) reorder: u64,
    pub(super) delay_us: u64,
}

/// What the proxy did.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) datagrams: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// A datagram and when it is due; the number keeps the order of those due at once.
type Waiting = Reverse<(Instant, u64, usize, usize, Vec<u8>)>;

struct Shared {
    sockets: Vec<UdpSocket>,
    /// Ports at which the nodes themselves listen.
    nodes: [u16; NODES],
    links: Mutex<[[Link; NODES]; NODES]>,
    waiting: Mutex<(u64, BinaryHeap<Waiting>)>,
    more: Condvar,
    stop: AtomicBool,
    passed: Passed,
}

/// The proxy; its threads end with it.
pub(super) struct Proxy(Arc<Shared>);

impl Proxy {
    /// Before the nodes whose peer ports are `nodes`.
    pub(super) fn start(nodes: [u16; NODES], seed: u64) -> std::io::Result<Self> {
        let mut sockets = Vec::with_capacity(NODES);
        for _ in 0..NODES {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(LOOK))?;
            sockets.push(socket);
        }
        let shared = Arc::new(Shared {
            sockets,
            nodes,
            links: Mutex::default(),
            waiting: Mutex::default(),
            more: Condvar::new(),
            stop: AtomicBool::new(false),
            passed: Passed::default(),
        });
        for to in 0..NODES {
            let shared = Arc::clone(&shared);
            let seed = Seed::stream(seed, 100 + u64::try_from(to).unwrap_or_default());
            std::thread::spawn(move || shared.receive(to, seed));
        }
        let sender = Arc::clone(&shared);
        std::thread::spawn(move || sender.send());
        Ok(Self(shared))
    }

    /// What node `node` is to advertise.
    pub(super) fn advertised(&self, node: usize) -> std::io::Result<String> {
        let socket = self.0.sockets.get(node);
        let socket = socket.ok_or(std::io::ErrorKind::NotFound)?;
        Ok(socket.local_addr()?.to_string())
    }

    /// Changes the direction from one node to another.
    pub(super) fn set(&self, from: usize, to: usize, link: Link) {
        let mut links = locked(&self.0.links);
        if let Some(at) = links.get_mut(from).and_then(|row| row.get_mut(to)) {
            *at = link;
        }
    }

    /// Everything passes again.
    pub(super) fn heal(&self) {
        *locked(&self.0.links) = Default::default();
    }

    pub(super) fn passed(&self) -> &Passed {
        &self.0.passed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
        self.0.more.notify_all();
    }
}

impl Shared {
    fn receive(&self, to: usize, mut seed: Seed) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let Some(socket) = self.sockets.get(to) else {
            return;
        };
        while !self.stop.load(Ordering::Relaxed) {
            // A port where nobody listens shows as an error here: a node that is down.
            let Ok((length, source)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let from = self.nodes.iter().position(|port| *port == source.port());
            if let (Some(from), Some(bytes)) = (from, buffer.get(..length)) {
                self.pass(from, to, bytes, &mut seed);
            }
        }
    }

    fn pass(&self, from: usize, to: usize, bytes: &[u8], seed: &mut Seed) {
        self.passed.datagrams.fetch_add(1, Ordering::Relaxed);
        let link = locked(&self.links)
            .get(from)
            .and_then(|row| row.get(to).copied())
            .unwrap_or_default();
        let lost = seed.chance(link.loss);
        let copies = if seed.chance(link.duplicate) { 2 } else { 1 };
        if link.cut || lost {
            self.passed.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        for _ in 0..copies {
            let held = if seed.chance(link.reorder) {
                seed.between(1_000, 50_000)
            } else {
                0
            };
            let due = Instant::now() + Duration::from_micros(link.delay_us + held);
            let mut waiting = locked(&self.waiting);
            let (number, queue) = &mut *waiting;
            if queue.len() >= QUEUE_MAX {
                self.passed.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            *number += 1;
            queue.push(Reverse((due, *number, from, to, bytes.to_vec())));
            drop(waiting);
            self.more.notify_one();
        }
    }

    fn send(&self) {
        let mut waiting = locked(&self.waiting);
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let due = waiting.1.peek().map(|Reverse(first)| first.0);
            match due {
                Some(due) if due <= now => {
                    let Some(Reverse((_, _, from, to, bytes))) = waiting.1.pop() else {
                        continue;
                    };
                    drop(waiting);
                    if let (Some(socket), Some(port)) = (self.sockets.get(from), self.nodes.get(to))
                    {
                        // A node that is down refuses; its datagram is lost, as it should be.
                        drop(socket.send_to(&bytes, ("127.0.0.1", *port)));
                    }
                    waiting = locked(&self.waiting);
                }
                due => {
                    let rest = due.map_or(LOOK, |due| due - now).min(LOOK);
                    let woken = self.more.wait_timeout(waiting, rest);
                    waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
