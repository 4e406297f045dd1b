//! Changes of the members, at the node that leads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::instant::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};

use tollbook_storage::Engine;

use crate::peers::Peers;
use crate::types::{Node, NodeId, TypeConfig};
use crate::wire::{Change, ChangeError};

/// Commits a change, if this node leads, and returns when it is applied here.
pub(crate) async fn apply<E: Engine>(
    raft: &Node<E>,
    peers: &Peers,
    change: Change,
) -> Result<(), ChangeError> {
    check(raft, &change)?;
    if let Change::AddLearner { node, .. } = change
        && peers.is_removed(node)
    {
        return Err(ChangeError::Impossible {
            reason: format!("node {node} was removed; ids are not given twice"),
        });
    }
    let members = match change {
        Change::AddLearner { node, peer } => {
            let known = is_member(raft, node);
            if known {
                ChangeMembers::SetNodes(BTreeMap::from([(node, peer)]))
            } else {
                ChangeMembers::AddNodes(BTreeMap::from([(node, peer)]))
            }
        }
        Change::Promote { node } => ChangeMembers::AddVoterIds(BTreeSet::from([node])),
        Change::Remove { node } => {
            let voter = raft.voter_ids().any(|voter| voter == node);
            if voter {
                let ids = ChangeMembers::RemoveVoters(BTreeSet::from([node]));
                commit(raft, ids).await?;
            }
            ChangeMembers::RemoveNodes(BTreeSet::from([node]))
        }
        // openraft would take no more proposals until another node leads: a lone one never does.
        Change::Transfer { node } if raft.metrics().borrow_watched().id == node => return Ok(()),
        Change::Transfer { node } => {
            let asked = raft.trigger().transfer_leader(node).await;
            return asked.map_err(|_| ChangeError::NoLeader);
        }
    };
    commit(raft, members).await
}

async fn commit<E: Engine>(
    raft: &Node<E>,
    members: ChangeMembers<NodeId, crate::types::Peer>,
) -> Result<(), ChangeError> {
    let changed = tokio::time::timeout(COMMIT, raft.change_membership(members, true));
    match changed.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(error))) => Err(refused(&error)),
        Ok(Err(RaftError::Fatal(_))) | Err(_) => Err(ChangeError::NoLeader),
    }
}

fn refused(error: &ClientWriteError<TypeConfig>) -> ChangeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => ChangeError::NotLeader {
            leader: forward.leader_id,
        },
        ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
            ChangeError::Busy
        }
        ClientWriteError::ChangeMembershipError(error) => ChangeError::Impossible {
            reason: error.to_string(),
        },
        ClientWriteError::LogEntryDiscarded(_) | ClientWriteError::PreconditionFailed(_) => {
            ChangeError::NoLeader
        }
    }
}

/// What would harm is refused before anything is proposed.
fn check<E: Engine>(raft: &Node<E>, change: &Change) -> Result<(), ChangeError> {
    if !raft.is_leader() {
        let leader = raft.metrics().borrow_watched().current_leader;
        return Err(ChangeError::NotLeader { leader });
    }
    let impossible = |reason: String| Err(ChangeError::Impossible { reason });
    let voters: BTreeSet<NodeId> = raft.voter_ids().collect();
    match *change {
        Change::AddLearner { .. } => Ok(()),
        Change::Promote { node } if !is_member(raft, node) => {
            impossible(format!("node {node} is no member"))
        }
        Change::Promote { node } if !is_caught_up(raft, node) => impossible(format!(
            "node {node} has not caught up; as a voter it would stop the cluster"
        )),
        Change::Promote { .. } => Ok(()),
        Change::Remove { node } if !is_member(raft, node) => {
            impossible(format!("node {node} is no member"))
        }
        Change::Remove { node } if voters == BTreeSet::from([node]) => {
            impossible(format!("node {node} is the only voter"))
        }
        Change::Remove { node } if !has_quorum_without(raft, &voters, node) => impossible(format!(
            "without node {node} the voters that answer are no majority"
        )),
        Change::Remove { .. } => Ok(()),
        Change::Transfer { node } if !voters.contains(&node) => {
            impossible(format!("node {node} is no voter"))
        }
        Change::Transfer { .. } => Ok(()),
    }
}

fn is_member<E: Engine>(raft: &Node<E>, node: NodeId) -> bool {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    membership.get_node(&node).is_some()
}

/// For one entry of a change. A leader that has lost its quorum would wait for ever.
const COMMIT: Duration = Duration::from_secs(4);
/// Entries that a learner may lack and be promoted.
const LAG: u64 = 1000;

fn is_caught_up<E: Engine>(raft: &Node<E>, node: NodeId) -> bool {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let matched = metrics
        .replication
        .as_ref()
        .and_then(|replication| replication.get(&node).copied().flatten());
    let last = metrics.last_log_index.unwrap_or(0);
    matched.is_some_and(|matched| matched.index.saturating_add(LAG) >= last)
}

/// The change itself needs a majority of all, what comes after it a majority of the rest.
fn has_quorum_without<E: Engine>(raft: &Node<E>, voters: &BTreeSet<NodeId>, node: NodeId) -> bool {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let answers = |voter: &NodeId| {
        *voter == metrics.id
            || metrics.heartbeat.as_ref().is_some_and(|beats| {
                let beat = beats.get(voter).copied().flatten();
                beat.is_some_and(|beat| beat.elapsed() < LATELY)
            })
    };
    let answering: BTreeSet<NodeId> = voters.iter().copied().filter(answers).collect();
    let rest = voters.iter().filter(|voter| **voter != node).count();
    let of_rest = answering.iter().filter(|voter| **voter != node).count();
    answering.len() > voters.len() / 2 && of_rest > rest / 2
}

/// Some heartbeats long.
const LATELY: Duration = Duration::from_secs(2);
