//! Signed checkpoints: the leader seals what is new in the book, and the cosigner signs it with a
//! majority of the voters. How they agree, and what a crash leaves, `tollbook_raft::cosigner` says;
//! here are its files, its way to the others, and who is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use tollbook_audit::head::Head;
use tollbook_audit::note::VerifierKey;
use tollbook_audit::trust;
use tollbook_raft::{CosignOptions, LinkError, NodeId, View, cosigner};
use tollbook_state::command::Command;
use tollbook_state::{CommandResult, Role, Sealed, State};

use crate::asks::{self, Asks};
use crate::dir::DirError;
use crate::node::Node;

/// At most one checkpoint so often, but for a change of leader or members.
const EVERY: Duration = Duration::from_secs(1);
/// How often the leader looks whether it has become one, and whether members have changed.
const LOOK: Duration = Duration::from_millis(100);
/// How long a start or a stop waits for its checkpoint.
const KEPT: Duration = Duration::from_secs(10);

/// While this node leads, seals once a second where there is something new, and at once when it
/// has begun to lead or the members have changed. Until the node stops.
pub(crate) async fn seal_regularly(node: Arc<Node>) {
    let mut waited = Duration::ZERO;
    let mut before = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => waited = waited.saturating_add(LOOK),
            () = node.stopping.cancelled() => return,
        }
        let status = node.cluster.status();
        let led = (status.leads).then(|| (status.term, node.cluster.read(State::config_epoch)));
        if waited >= EVERY || led != before {
            waited = Duration::ZERO;
            before = led;
            seal(&node).await;
        }
    }
}

/// Starts the cosigner: it signs until the node has ended.
pub(crate) fn cosign(
    node: &Arc<Node>,
    asks: &Asks,
    background: &TaskTracker,
) -> Result<(), DirError> {
    let (offer, sealed) = watch::channel(None);
    let (seen, failing) = (Arc::clone(&node.cluster), Arc::clone(node));
    let clock = node.clock;
    let diverged = node.dir.divergence();
    let (cosigner, run) = cosigner(CosignOptions {
        node: NodeId::from(node.config.node.id),
        log_key: Arc::clone(&node.log_key),
        node_key: Arc::new(node.dir.node_key()?),
        notebook: Arc::new(node.dir.clone()),
        clock: Arc::new(move || clock.wall()),
        sealed,
        view: Arc::new(move || View::of(&seen.status())),
        ask: way(node),
        kept: node.dir.newest_note()?,
        // A node that has diverged does not start.
        diverged: false,
        on_diverged: Arc::new(move |_| {
            let path = diverged.clone();
            failing.fail(&DirError::Diverged { path });
        }),
    });
    let kept = cosigner.kept();
    let answer = move |from, message| cosigner.answer(from, &message);
    asks.bind(asks::COSIGNER, Arc::new(answer));
    background.spawn(offer_when_whole(Arc::clone(node), offer));
    background.spawn(tell_kept(Arc::clone(node), kept));
    let node = Arc::clone(node);
    background.spawn(async move {
        // A node that cannot keep its promise must not make another.
        if let Err(error) = run.await {
            node.fail(&error);
        }
    });
    Ok(())
}

/// The way to the other nodes' cosigners.
fn way(node: &Node) -> tollbook_raft::Ask {
    let cluster = Arc::clone(&node.cluster);
    Arc::new(move |to, message, within| {
        let cluster = Arc::clone(&cluster);
        Box::pin(async move {
            let marked = asks::marked(asks::COSIGNER, &message);
            let answer = cluster.ask(to, marked, within).await?;
            if answer.is_empty() {
                let reason = "it does not cosign yet".to_owned();
                return Err(LinkError::Broken { node: to, reason });
            }
            Ok(answer)
        })
    })
}

/// Hands on what may be signed, until the node has ended. A node whose book has holes has computed
/// its roots from a snapshot that another made: until the holes are filled and checked, it vouches
/// for nothing.
async fn offer_when_whole(node: Arc<Node>, offer: watch::Sender<Option<Sealed>>) {
    let (mut reach, mut sealed) = (node.cluster.reach(), node.cluster.sealed());
    loop {
        let whole = reach.borrow_and_update().whole;
        let newest = sealed.borrow_and_update().clone();
        if whole && newest.is_some() {
            offer.send_replace(newest);
        }
        tokio::select! {
            changed = sealed.changed() => if changed.is_err() { return },
            // Its end is the cluster's, as that of the other is.
            changed = reach.changed() => if changed.is_err() { return },
            () = node.ended.cancelled() => return,
        }
    }
}

/// Tells the node of each note that is kept, until the cosigner has ended.
async fn tell_kept(node: Arc<Node>, mut kept: watch::Receiver<u64>) {
    loop {
        let size = *kept.borrow_and_update();
        node.signed.send_replace(size);
        node.metrics.records_signed.set(size);
        if kept.changed().await.is_err() {
            return;
        }
    }
}

/// Seals what is new, where this node leads, and waits until the checkpoint is kept: at a start,
/// and at an orderly stop.
pub(crate) async fn make(node: &Node) {
    let Some(size) = seal(node).await else {
        return;
    };
    let mut signed = node.signed.subscribe();
    let kept = signed.wait_for(|signed| *signed >= size);
    if tokio::time::timeout(KEPT, kept).await.is_err() {
        tracing::warn!(
            size,
            "a checkpoint was not signed in time; the next one covers it"
        );
    }
}

async fn seal(node: &Node) -> Option<u64> {
    if !node.cluster.status().leads {
        return None;
    }
    let due = node
        .cluster
        .read(|state| state.head().is_some_and(Head::seal_is_due));
    if !due {
        return None;
    }
    match node.cluster.commit(&Command::Seal).await {
        Ok(CommandResult::Sealed(sealed)) => Some(sealed.size),
        Ok(CommandResult::NothingToSeal) => None,
        Ok(other) => {
            tracing::error!(?other, "a seal came to what no seal comes to");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the book was not sealed");
            None
        }
    }
}

/// Keeps the node's own copy of the trust file that of the members, until the node stops.
pub(crate) async fn name_voters(node: Arc<Node>) {
    let mut applied = node.cluster.applied();
    let mut changes = None;
    loop {
        let seen = applied.borrow_and_update().changes;
        if changes != Some(seen) {
            changes = Some(seen);
            if let Some(text) = trust_text(&node) {
                let dir = node.dir.clone();
                let written = tokio::task::spawn_blocking(move || dir.write_trust(&text)).await;
                if let Ok(Err(error)) = written {
                    tracing::warn!(%error, "the trust file does not name the members");
                }
            }
        }
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            () = node.stopping.cancelled() => return,
        }
    }
}

/// None while a voter's key is not known: a file that leaves one out asks for too few.
fn trust_text(node: &Node) -> Option<String> {
    let voters: Option<Vec<(String, VerifierKey)>> = node.cluster.read(|state| {
        let members = state.members().nodes.iter();
        members
            .filter(|member| member.role == Role::Voter)
            .map(|member| {
                let key = VerifierKey::parse(&member.key).ok()?;
                Some((format!("n{}", member.node), key))
            })
            .collect()
    });
    let (voters, log) = (voters?, node.log_key.verifier());
    match voters.len() {
        0 => None,
        // Its two keys are on one machine, and an auditor's report is to say so.
        1 => Some(trust::single_signer_text(&log)),
        of => trust::cluster_text(&[log], &voters, of / 2 + 1)
            .inspect_err(|error| tracing::error!(%error, "the voters make no trust file"))
            .ok(),
    }
}
