//! Who is in the cluster, who leads it, and what a member may ask of the one that does.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::ReadPolicy;
use openraft::async_runtime::instant::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep};

use tollbook_storage::Engine;

use crate::change;
use crate::error::CommitError;
use crate::network::unexpected;
use crate::peers::{Heard, Peers};
use crate::transport::{LinkError, Urgency};
use crate::types::{Metrics, Node, NodeId, Peer};
use crate::wire::{Answer, Change, ChangeError, Request};

/// How long a change of the members may look for the leader.
const CHANGE_WITHIN: Duration = Duration::from_secs(15);
/// For the leader's answer to it: both its entries are committed by then.
const CHANGE_ANSWER: Duration = Duration::from_secs(10);
/// For the leader's word on how far a read must have come.
const READ_INDEX_ANSWER: Duration = Duration::from_secs(3);
/// After a failure, before the leader is asked again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// A node's place in the cluster, as it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// The newest term.
    pub term: u64,
    /// Who leads, if it is known.
    pub leader: Option<NodeId>,
    /// Whether this node does.
    pub leads: bool,
    /// Index of the last entry of the log.
    pub last_log: Option<u64>,
    /// Index of the newest applied entry.
    pub applied: Option<u64>,
    /// How long ago a quorum was heard: by the leader from its voters, by another node from the
    /// leader. None: not since the start.
    pub quorum: Option<Duration>,
    /// All members.
    pub members: BTreeMap<NodeId, Member>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What is known of it.
    pub peer: Peer,
    /// Whether it has a vote.
    pub voter: bool,
    /// Index of the last entry that it has, as the leader knows; none elsewhere.
    pub matched: Option<u64>,
    /// When this node last heard it; none of itself, and of one that it never heard.
    pub heard: Option<Heard>,
}

/// What is asked of the consensus core itself.
pub(crate) trait Control: Send + Sync {
    fn change(&self, peers: &Peers, change: Change) -> BoxFuture<'static, Result<(), ChangeError>>;
    fn read_index(&self) -> BoxFuture<'static, Option<u64>>;
}

impl<E: Engine> Control for Node<E> {
    fn change(&self, peers: &Peers, change: Change) -> BoxFuture<'static, Result<(), ChangeError>> {
        let (raft, peers) = (self.clone(), peers.clone());
        Box::pin(async move { change::apply(&raft, &peers, change).await })
    }

    fn read_index(&self) -> BoxFuture<'static, Option<u64>> {
        let raft = self.clone();
        Box::pin(async move { read_index(&raft).await })
    }
}

/// Where one must have applied to have seen all that was done before now; none while this node
/// cannot say so for the cluster.
pub(crate) async fn read_index<E: Engine>(raft: &Node<E>) -> Option<u64> {
    let read = raft.get_read_log_id(ReadPolicy::ReadIndex).await;
    read.ok().map(|(read, _)| read.log_id().index)
}

/// The members as this node sees them, and the way to the leader.
#[derive(Clone)]
pub(crate) struct Members {
    pub(crate) metrics: Metrics,
    pub(crate) peers: Peers,
    pub(crate) control: std::sync::Arc<dyn Control>,
}

impl Members {
    pub(crate) fn status(&self) -> Status {
        let heard = self.peers.heard();
        let metrics = self.metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let leads = metrics.state.is_leader();
        let matched = |node: &NodeId| {
            let replication = metrics.replication.as_ref()?;
            replication.get(node).copied().flatten()
        };
        let members = membership.nodes().map(|(node, peer)| {
            let member = Member {
                peer: peer.clone(),
                voter: voters.contains(node),
                matched: matched(node).map(|log_id| log_id.index),
                heard: heard.get(node).copied(),
            };
            (*node, member)
        });
        let leader = metrics.current_leader;
        let quorum = if leads {
            metrics.last_quorum_acked.map(|acked| acked.elapsed())
        } else {
            leader
                .and_then(|leader| heard.get(&leader))
                .map(|heard| heard.ago)
        };
        Status {
            node: metrics.id,
            term: metrics.current_term,
            leader,
            leads,
            last_log: metrics.last_log_index,
            applied: metrics.last_applied.map(|log_id| log_id.index),
            quorum,
            members: members.collect(),
        }
    }

    fn peer(&self, node: NodeId) -> Option<Peer> {
        let metrics = self.metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        membership.get_node(&node).cloned()
    }

    fn leader(&self) -> Option<(NodeId, Peer)> {
        let leader = self.metrics.borrow_watched().current_leader?;
        self.peer(leader).map(|peer| (leader, peer))
    }

    fn me(&self) -> NodeId {
        self.metrics.borrow_watched().id
    }

    pub(crate) async fn ask(
        &self,
        node: NodeId,
        message: Bytes,
        within: Duration,
    ) -> Result<Bytes, LinkError> {
        let Some(peer) = self.peer(node) else {
            return Err(LinkError::Unreachable {
                node,
                address: String::new(),
                reason: "it is no member".to_owned(),
            });
        };
        let request = Request::Ask(message);
        let answer = self
            .peers
            .call(node, peer, &request, Urgency::Usual, within);
        let Answer::Asked(answer) = answer.await? else {
            return Err(unexpected(node));
        };
        Ok(answer)
    }

    /// At whoever leads, until one does or the time is over.
    pub(crate) async fn change(&self, change: Change) -> Result<(), ChangeError> {
        let end = Instant::now() + CHANGE_WITHIN;
        loop {
            let result = self.change_once(change.clone()).await;
            let again = matches!(
                result,
                Err(ChangeError::Busy | ChangeError::NotLeader { .. } | ChangeError::NoLeader)
            );
            if !again {
                return result;
            }
            if Instant::now() >= end {
                return result;
            }
            sleep(TRY_AGAIN).await;
        }
    }

    async fn change_once(&self, change: Change) -> Result<(), ChangeError> {
        let Some((leader, peer)) = self.leader() else {
            return Err(ChangeError::NoLeader);
        };
        if leader == self.me() {
            return self.control.change(&self.peers, change).await;
        }
        let request = Request::Change(change);
        let answer = self
            .peers
            .call(leader, peer, &request, Urgency::Usual, CHANGE_ANSWER)
            .await;
        match answer {
            Ok(Answer::Changed(result)) => result,
            // Changes name what shall be, so one that was done is done again harmlessly.
            Ok(_) | Err(_) => Err(ChangeError::NoLeader),
        }
    }

    /// The index that the leader names for a read that begins now.
    pub(crate) async fn read_index(&self) -> Result<u64, CommitError> {
        let Some((leader, peer)) = self.leader() else {
            return Err(CommitError::NoLeader);
        };
        if leader == self.me() {
            return self.control.read_index().await.ok_or(CommitError::NoLeader);
        }
        let answer = self
            .peers
            .call(
                leader,
                peer,
                &Request::ReadIndex,
                Urgency::Urgent,
                READ_INDEX_ANSWER,
            )
            .await;
        match answer {
            Ok(Answer::ReadIndex(Some(index))) => Ok(index),
            Ok(_) | Err(_) => Err(CommitError::NoLeader),
        }
    }
}
