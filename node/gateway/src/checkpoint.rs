//! Signed checkpoints: seal when something new is in the book, sign what is synced, keep the note.
//!
//! Order, and what a crash leaves after each step:
//! 1. `Seal` is committed and applied: a sealed size without a note; the next start signs it, or
//!    a later one.
//! 2. `max_signed` is on disk: a promise without a note; the same size and root may be signed.
//! 3. `checkpoints/<size>.note`, then `checkpoint`: whole files or none, by rename.

use std::sync::Arc;
use std::time::Duration;

use tollbook_audit::head::Head;
use tollbook_audit::note::{Checkpoint, LogKey};
use tollbook_state::command::Command;
use tollbook_state::{CommandResult, Sealed};

use crate::dir::{Dir, DirError};
use crate::node::Node;

/// At most one checkpoint so often.
const EVERY: Duration = Duration::from_secs(1);
/// How long a start or a stop waits for its checkpoint.
const KEPT: Duration = Duration::from_secs(10);

/// Seals once a second, where there is something new, until the node stops.
pub(crate) async fn seal_regularly(node: Arc<Node>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = node.stopping.cancelled() => return,
        }
        seal(&node).await;
    }
}

/// Signs each size that may be signed, as it comes, until the node has ended.
pub(crate) async fn sign_as_synced(node: Arc<Node>) {
    let mut sealed = node.cluster.sealed();
    let mut signed = node.signed.borrow().to_owned();
    loop {
        let newest = sealed.borrow_and_update().clone();
        // A replay after a crash offers older sizes again.
        if let Some(newest) = newest.filter(|newest| newest.size > signed) {
            let size = newest.size;
            let (dir, key) = (node.dir.clone(), Arc::clone(&node.log_key));
            let done = tokio::task::spawn_blocking(move || sign(&dir, &key, &newest)).await;
            match done {
                Ok(Ok(())) => {
                    signed = size;
                    node.signed.send_replace(size);
                    node.metrics.records_signed.set(size);
                }
                // A node that cannot keep its promise must not make another.
                Ok(Err(error)) => return node.fail(&error),
                Err(error) => return node.fail(&error),
            }
        }
        tokio::select! {
            changed = sealed.changed() => if changed.is_err() { return },
            () = node.ended.cancelled() => return,
        }
    }
}

/// Seals what is new and waits until its checkpoint is kept: at a start, which is a leader change,
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

fn sign(dir: &Dir, key: &LogKey, sealed: &Sealed) -> Result<(), DirError> {
    dir.promise_signed(sealed.size, &sealed.root)?;
    let origin = key.verifier().name().to_owned();
    let checkpoint = Checkpoint {
        origin,
        size: sealed.size,
        root: sealed.root,
    };
    // What is signed is what the state sealed, line by line.
    assert_eq!(
        checkpoint.body().as_bytes(),
        sealed.body,
        "our key is the sealed log's own"
    );
    dir.keep_note(sealed.size, &key.sign(&checkpoint))
}
