//! The way to the members that have segments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::peers::Peers;
use crate::transport::Urgency;
use crate::types::{Membership, Metrics, NodeId, Peer};
use crate::wire::{Answer, Request};

use super::limits::ANSWER_WAIT;
use super::{Fetch, Sources};

/// Members as this node knows them. Clones are the same.
#[derive(Clone)]
pub(crate) struct Ways {
    me: NodeId,
    peers: Peers,
    metrics: Metrics,
    /// Of the newest snapshot that was offered: all that a node knows before its first one.
    offered: Arc<Mutex<BTreeMap<NodeId, Peer>>>,
}

impl Ways {
    pub(crate) fn new(me: NodeId, peers: Peers, metrics: Metrics) -> Self {
        Self {
            me,
            peers,
            metrics,
            offered: Arc::default(),
        }
    }

    /// A snapshot names these members.
    pub(crate) fn offer(&self, members: &Membership) {
        let members = members.nodes().map(|(node, peer)| (*node, peer.clone()));
        *self.lock() = members.collect();
    }

    /// Messages are sent by tasks of the runtime that this is called on, whose connections they
    /// use; who waits for their answers may be another's.
    pub(crate) fn fetch(&self, tasks: TaskTracker) -> Fetch {
        let ways = self.clone();
        let runtime = Handle::current();
        Arc::new(move |node, message| {
            let sent = ways.send(node, message);
            let sent = tasks.spawn_on(sent, &runtime);
            Box::pin(async move { sent.await.ok().flatten() })
        })
    }

    /// The leader, then the others.
    pub(crate) fn sources(&self) -> Sources {
        let ways = self.clone();
        Arc::new(move || {
            let leader = ways.metrics.borrow_watched().current_leader;
            let mut nodes: Vec<NodeId> = ways.members().into_keys().collect();
            nodes.retain(|&node| node != ways.me);
            nodes.sort_by_key(|&node| (Some(node) != leader, node));
            nodes
        })
    }

    fn send(&self, node: NodeId, message: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let Some(peer) = self.members().remove(&node) else {
            return Box::pin(std::future::ready(None));
        };
        let request = Request::Segments(message);
        let answer = self
            .peers
            .call(node, peer, &request, Urgency::Bulk, ANSWER_WAIT);
        Box::pin(async move {
            match answer.await {
                Ok(Answer::Segments(answer)) => Some(answer),
                Ok(_) => None,
                Err(error) => {
                    tracing::debug!(node, %error, "no answer about segments");
                    None
                }
            }
        })
    }

    fn members(&self) -> BTreeMap<NodeId, Peer> {
        let mut members = self.lock().clone();
        let metrics = self.metrics.borrow_watched();
        let known = metrics.membership_config.membership().nodes();
        members.extend(known.map(|(node, peer)| (*node, peer.clone())));
        members
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Peer>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
