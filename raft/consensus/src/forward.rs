//! A batch's way to the node that leads, which may be this one. It is tried again at whoever leads
//! until it is settled: the state counts a batch once, however often it is proposed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use tollbook_storage::Engine;

use crate::error::CommitError;
use crate::limits::{COMMIT_WITHIN, COMMIT_WITHIN_STOP};
use crate::options::Clock;
use crate::peers::Peers;
use crate::transport::Urgency;
use crate::types::{Node, NodeId, Peer, Proposal, TypeConfig};
use crate::wire::{Answer, Forwarded, Request};

/// For the leader's word on a batch.
const FORWARD_ANSWER: Duration = Duration::from_secs(5);
/// After a failure, before the batch is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Where batches go.
pub(crate) struct Way<E: Engine> {
    pub(crate) me: NodeId,
    pub(crate) raft: Node<E>,
    pub(crate) peers: Peers,
    pub(crate) clock: Clock,
}

impl<E: Engine> Clone for Way<E> {
    fn clone(&self) -> Self {
        Self {
            me: self.me,
            raft: self.raft.clone(),
            peers: self.peers.clone(),
            clock: Arc::clone(&self.clock),
        }
    }
}

impl<E: Engine> Way<E> {
    /// Until the batch is settled here, by apply, or its time is over. Certain is only what was
    /// never proposed anywhere.
    pub(crate) async fn drive(
        self,
        batch: Bytes,
        mut settled: oneshot::Receiver<()>,
        stop: CancellationToken,
    ) -> Result<(), CommitError> {
        let mut perhaps_proposed = false;
        let tries = async {
            loop {
                if self.try_once(&batch, &mut perhaps_proposed).await {
                    return;
                }
            }
        };
        let over = async {
            let end = Instant::now() + COMMIT_WITHIN;
            if timeout_at(end, stop.cancelled()).await.is_ok() {
                sleep(COMMIT_WITHIN_STOP).await;
            }
        };
        let ended = {
            let tries = std::pin::pin!(tries);
            let over = std::pin::pin!(over);
            tokio::select! {
                biased;
                // An error: the sender is dropped, which is how it tells.
                _ = &mut settled => true,
                () = async {
                    // Applied at the leader; it is settled when it is applied here as well.
                    tries.await;
                    std::future::pending::<()>().await;
                } => true,
                () = over => false,
            }
        };
        if ended {
            Ok(())
        } else if perhaps_proposed {
            Err(CommitError::Unknown)
        } else {
            Err(CommitError::NoLeader)
        }
    }

    /// Proposes the batch at whoever leads, and says whether it is applied there. If not it may be
    /// tried again at once: the pause is over.
    async fn try_once(&self, batch: &Bytes, perhaps: &mut bool) -> bool {
        let Some((leader, peer)) = self.leader() else {
            self.leader_change().await;
            return false;
        };
        let before = *perhaps;
        // From here on an answer may be lost.
        *perhaps = true;
        let forwarded = if leader == self.me {
            propose(&self.raft, &self.clock, batch.clone()).await
        } else {
            self.forward(leader, peer, batch).await
        };
        match forwarded {
            Forwarded::Done => return true,
            Forwarded::NotLeader { .. } => *perhaps = before,
            Forwarded::Unknown => {}
        }
        sleep(TRY_AGAIN).await;
        false
    }

    async fn forward(&self, leader: NodeId, peer: Peer, batch: &Bytes) -> Forwarded {
        let request = Request::Forward(batch.clone());
        let answer = self
            .peers
            .call(leader, peer, &request, Urgency::Usual, FORWARD_ANSWER)
            .await;
        match answer {
            Ok(Answer::Forwarded(forwarded)) => forwarded,
            Ok(_) => Forwarded::Unknown,
            Err(error) => {
                tracing::debug!(%error, "a batch did not reach the leader, or its answer was lost");
                Forwarded::Unknown
            }
        }
    }

    fn leader(&self) -> Option<(NodeId, Peer)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let peer = metrics.membership_config.membership().get_node(&leader)?;
        Some((leader, peer.clone()))
    }

    /// Until a leader is known and where it is, or for a moment. A node that joins hears of a
    /// leader before it has the entry that says who the members are.
    async fn leader_change(&self) {
        let is_known = |metrics: &openraft::RaftMetrics<TypeConfig>| {
            let members = metrics.membership_config.membership();
            metrics
                .current_leader
                .is_some_and(|leader| members.get_node(&leader).is_some())
        };
        let known = self
            .raft
            .wait(Some(TRY_AGAIN * 5))
            .metrics(is_known, "a leader")
            .await;
        if known.is_err() {
            // Late, or a core that has ended and lets nobody wait.
            sleep(TRY_AGAIN).await;
        }
    }
}

/// Proposes a batch here, stamped by this node's clock.
pub(crate) async fn propose<E: Engine>(raft: &Node<E>, clock: &Clock, batch: Bytes) -> Forwarded {
    let proposal = Proposal {
        stamp: clock().0,
        batch,
    };
    let (responder, done) = ProgressResponder::complete_only();
    let sent = raft.client_write_ff(proposal, Some(responder)).await;
    if sent.is_err() {
        return Forwarded::Unknown;
    }
    match done.await {
        Ok(Ok(_)) => Forwarded::Done,
        // Only a refusal before the entry was appended is certain.
        Ok(Err(ClientWriteError::ForwardToLeader(forward))) => Forwarded::NotLeader {
            leader: forward.leader_id,
        },
        Ok(Err(
            ClientWriteError::LogEntryDiscarded(_)
            | ClientWriteError::ChangeMembershipError(_)
            | ClientWriteError::PreconditionFailed(_),
        ))
        | Err(_) => Forwarded::Unknown,
    }
}
