//! What this node knows of its peers, from the headers of their messages: when it heard of each,
//! how far their clocks are apart, and which of two starts of one directory is the newer one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::fatal::{Failure, Fatal};
use crate::options::Clock;
use crate::state_machine::SharedState;
use crate::transport::{Channel, LinkError, Target, Transport, Urgency};
use crate::types::{NodeId, Peer};
use crate::wire::{Answer, Header, Refused, Request};

/// Who this node is, to its peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) cluster: [u8; 16],
    pub(crate) node: NodeId,
    pub(crate) start: u64,
    pub(crate) boot: u64,
}

/// What is known of one peer.
#[derive(Clone, Copy, Debug)]
struct Known {
    start: u64,
    boot: u64,
    heard: Instant,
    /// Its wall clock ahead of ours, in microseconds, when it was heard.
    ahead_us: i64,
}

/// How a peer was last heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// How long ago.
    pub ago: Duration,
    /// Its wall clock ahead of ours, in microseconds; a message's way is in it.
    pub ahead_us: i64,
}

/// The way to peers, and what was heard of them. Clones are the same.
#[derive(Clone)]
pub(crate) struct Peers {
    me: Identity,
    clock: Clock,
    transport: Arc<dyn Transport>,
    /// Says who was removed, and how often each has started; and ends a node that is told that its
    /// disk was rolled back.
    state: Arc<OnceLock<(SharedState, Fatal)>>,
    known: Arc<Mutex<BTreeMap<NodeId, Known>>>,
}

impl Peers {
    pub(crate) fn new(me: Identity, clock: Clock, transport: Arc<dyn Transport>) -> Self {
        Self {
            me,
            clock,
            transport,
            state: Arc::default(),
            known: Arc::default(),
        }
    }

    /// From here on the state is asked as well.
    pub(crate) fn know(&self, state: &SharedState, fatal: &Fatal) {
        self.state
            .get_or_init(|| (Arc::clone(state), fatal.clone()));
    }

    /// An id that was a member's is given to nobody again.
    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        let (Some((state, _)), Ok(node)) = (self.state.get(), u32::try_from(node)) else {
            return false;
        };
        let state = state.read().unwrap_or_else(PoisonError::into_inner);
        state.is_removed(node)
    }

    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    pub(crate) fn header(&self) -> Header {
        let Identity {
            cluster,
            node,
            start,
            boot,
        } = self.me;
        Header {
            cluster,
            from: node,
            start,
            boot,
            wall: (self.clock)().0,
        }
    }

    /// Whether a message with this header, from the peer that the transport has proved, may be
    /// looked at.
    pub(crate) fn check(&self, from: NodeId, header: &Header) -> Result<(), Refused> {
        if header.cluster != self.me.cluster {
            return Err(Refused::OtherCluster);
        }
        if header.from != from {
            return Err(Refused::OtherNode);
        }
        self.check_state(header)?;
        let wall = (self.clock)().0;
        let mut known = self.lock();
        if let Some(before) = known.get(&from) {
            let older = header.start < before.start;
            if older || is_copy(header, before.start, before.boot) {
                return Err(Refused::RolledBack);
            }
        }
        let heard = Known {
            start: header.start,
            boot: header.boot,
            heard: Instant::now(),
            ahead_us: header.wall.cast_signed().wrapping_sub(wall.cast_signed()),
        };
        known.insert(from, heard);
        Ok(())
    }

    /// What the cluster has agreed on counts beside what this node has heard by itself.
    fn check_state(&self, header: &Header) -> Result<(), Refused> {
        let (Some((state, _)), Ok(node)) = (self.state.get(), u32::try_from(header.from)) else {
            return Ok(());
        };
        let state = state.read().unwrap_or_else(PoisonError::into_inner);
        if state.is_removed(node) {
            return Err(Refused::Removed);
        }
        match state.starts(node) {
            Some((start, boot)) if header.start < start || is_copy(header, start, boot) => {
                Err(Refused::RolledBack)
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn heard(&self) -> BTreeMap<NodeId, Heard> {
        let as_heard = |known: &Known| Heard {
            ago: known.heard.elapsed(),
            ahead_us: known.ahead_us,
        };
        self.lock()
            .iter()
            .map(|(node, known)| (*node, as_heard(known)))
            .collect()
    }

    /// Asks a peer; its answer is one that its header allows to look at.
    pub(crate) fn call(
        &self,
        node: NodeId,
        peer: Peer,
        request: &Request,
        urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Answer, LinkError>> {
        let message = request.encode(&self.header());
        let answer = self
            .transport
            .call(Target { node, peer }, message, urgency, within);
        let peers = self.clone();
        Box::pin(async move { peers.read(node, &answer.await?) })
    }

    pub(crate) fn open(
        &self,
        node: NodeId,
        peer: Peer,
        urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Channel, LinkError>> {
        self.transport.open(Target { node, peer }, urgency, within)
    }

    /// Reads an answer of `node`.
    pub(crate) fn read(&self, node: NodeId, answer: &Bytes) -> Result<Answer, LinkError> {
        let broken = |reason: String| LinkError::Broken { node, reason };
        let (header, answer) = Answer::decode(answer)
            .map_err(|error| broken(format!("its answer cannot be read: {error}")))?;
        self.check(node, &header)
            .map_err(|refused| broken(refused.to_string()))?;
        if let Answer::Refused(refused) = answer {
            if refused == Refused::RolledBack
                && let Some((_, fatal)) = self.state.get()
            {
                // What it would vote for, it may have forgotten. It must not try again.
                drop(fatal.fail(Failure::RolledBack { by: node }));
            }
            return Err(broken(format!("it refuses: {refused}")));
        }
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two programs that count the same start of one directory.
const fn is_copy(header: &Header, start: u64, boot: u64) -> bool {
    header.start == start && header.boot != boot
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("me", &self.me)
            .field("known", &*self.lock())
            .finish_non_exhaustive()
    }
}
