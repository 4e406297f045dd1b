//! This node as a member: what the others know of it, and what it does for the cluster's sake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tollbook_audit::note::VerifierKey;
use tollbook_raft::{CERTIFICATE_LIFE, Change, ChangeError, NodeId, Peer, Status};

use crate::config::Config;
use crate::dir::{Dir, DirError};
use crate::node::Node;
use crate::node_status;

/// How often a member looks whether it is still known by its right address.
const LOOK: Duration = Duration::from_secs(2);
/// How often a certificate's end is looked at.
const RENEWAL: Duration = Duration::from_secs(3600);
/// For another node to lead that was asked to.
const HAND_OVER: Duration = Duration::from_secs(5);
/// Between two looks at who leads.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether an empty directory of this node begins a cluster. Numbers are never given twice, and a
/// node that joins is given a higher one.
pub(crate) fn begins(config: &Config) -> bool {
    config.node.id == 1
}

/// What the others know of this node.
pub(crate) fn peer(dir: &Dir, config: &Config, bound: SocketAddr) -> Result<Peer, DirError> {
    let verifier: VerifierKey = dir.node_key()?.verifier();
    let identity = dir.peer_identity(config)?;
    Ok(Peer {
        name: config.node.name.clone(),
        data_address: config.listen.data.to_string(),
        peer_address: peer_address(config, bound),
        verifier_key: verifier.to_string(),
        certificate: identity.key().public(),
    })
}

/// Where peers reach this node: as it advertises itself, or as it listens.
fn peer_address(config: &Config, bound: SocketAddr) -> String {
    let listen = &config.listen;
    let address = listen.advertise_peer.as_ref().unwrap_or(&listen.peer);
    if address.port() == 0 {
        bound.to_string()
    } else {
        address.to_string()
    }
}

/// Tells the members where this node is reached, where that is not what they know.
pub(crate) async fn keep_address(node: Arc<Node>, bound: SocketAddr) {
    loop {
        let mine = peer(&node.dir, &node.config, bound);
        let Status {
            node: me, members, ..
        } = node.cluster.status();
        if let (Ok(mine), Some(known)) = (mine, members.get(&me))
            && mine != known.peer
        {
            let change = Change::AddLearner {
                node: me,
                peer: mine,
            };
            if let Err(error) = node.cluster.change(change).await {
                tracing::warn!(%error, "the members do not know this node's address yet");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = node.stopping.cancelled() => return,
        }
    }
}

/// Renews this node's certificate when a third of its life is left. Peers see the next one at their
/// next connection; nothing is restarted.
pub(crate) async fn renew_certificate(node: Arc<Node>) {
    loop {
        let left = node.quic.expires().0.saturating_sub(node.clock.wall().0);
        if Duration::from_micros(left) < CERTIFICATE_LIFE / 3
            && let Err(error) = renew(&node)
        {
            tracing::error!(%error, "the certificate was not renewed; peers will refuse it");
        }
        tokio::select! {
            () = tokio::time::sleep(RENEWAL) => {}
            () = node.stopping.cancelled() => return,
        }
    }
}

fn renew(node: &Node) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let identity = node.quic.identity();
    let authority = node.dir.authority(&node.config.cluster.origin)?;
    let key = identity.key().proved();
    let now = node.clock.wall();
    let certificate = authority.issue(identity.node(), &key, now, CERTIFICATE_LIFE)?;
    let renewed = identity.renewed(&certificate, identity.trusted().to_vec())?;
    // A crash here leaves the former certificate, which is renewed at the next start.
    node.dir.keep_identity(&renewed)?;
    node.quic.set_identity(renewed)?;
    Ok(())
}

/// Lets the voter lead that has most of the log, if this node leads and there is one. Best effort:
/// without it the others hold an election.
pub(crate) async fn resign(node: &Node) {
    if !node.cluster.status().leads {
        return;
    }
    let Some(next) = successor(node).await else {
        return;
    };
    match hand_over(node, next).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(next, "leadership was not taken over in time"),
        Err(error) => tracing::warn!(next, %error, "leadership was not handed over"),
    }
}

/// Asks a voter to lead, and says whether it does within [`HAND_OVER`].
pub(crate) async fn hand_over(node: &Node, to: NodeId) -> Result<bool, ChangeError> {
    if node.cluster.status().leader == Some(to) {
        return Ok(true);
    }
    node.cluster.change(Change::Transfer { node: to }).await?;
    let end = node.clock.moment().after(HAND_OVER);
    while node.cluster.status().leader != Some(to) {
        if end.left(node.clock.moment()).is_zero() {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(true)
}

/// The voter that answers, does not lead, and has most of the log; the lowest id of several.
pub(crate) async fn successor(node: &Node) -> Option<NodeId> {
    let told = node_status::ask_all(node).await;
    let status = node.cluster.status();
    let others = status
        .members
        .iter()
        .filter(|(id, member)| member.voter && status.leader != Some(**id))
        .filter_map(|(id, _)| Some((*id, told.get(id)?)))
        // Whoever takes no calls should not be asked to lead either.
        .filter(|(_, told)| !told.not_ready.iter().any(|reason| reason == "draining"));
    let best = others.max_by_key(|(id, told)| (told.last_log, std::cmp::Reverse(*id)));
    best.map(|(id, _)| id)
}
