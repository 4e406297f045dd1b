//! Small tasks that look after the node until it stops.

use std::sync::Arc;

use tollbook_state::command::Command;
use tollbook_state::command::Micros;

use crate::node::{Node, WATCH};
use crate::node_status;
use crate::refusals;

/// One GiB: the disk reserve is never more, unless configured.
const RESERVE_MAX: u64 = 1 << 30;

/// Asks the leader once a second how far it has come.
pub(crate) async fn watch_leader(node: Arc<Node>) {
    loop {
        let applied = node_status::ask_leader(&node).await;
        node.set_leader_applied(applied.unwrap_or(0));
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            () = node.stopping.cancelled() => return,
        }
    }
}

/// Compiles each policy as it is applied, so that the next call need not wait.
pub(crate) async fn compile_policies(node: Arc<Node>) {
    let mut applied = node.cluster.applied();
    let mut changes = None;
    loop {
        let seen = applied.borrow_and_update().changes;
        if changes != Some(seen) {
            changes = Some(seen);
            // What does not compile denies its calls, and was logged.
            drop(node.policies.compile_all(&node).await);
        }
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            () = node.stopping.cancelled() => return,
        }
    }
}

/// Commits counted refusals once a second.
pub(crate) async fn count_refusals(node: Arc<Node>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(refusals::EVERY) => {}
            () = node.stopping.cancelled() => return,
        }
        node.ledger.flush_refusals().await;
    }
}

/// Closes intents whose outcome can no longer come as `unknown`.
pub(crate) async fn settle(node: Arc<Node>) {
    let deadline = node.deadlines.call.saturating_add(node.deadlines.settle);
    let deadline_us = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
    loop {
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            () = node.stopping.cancelled() => return,
        }
        // One clock decides what is overdue: that of the node which stamps the log.
        if !node.cluster.status().leads {
            continue;
        }
        let before = Micros(node.now().0.saturating_sub(deadline_us));
        let due = node
            .cluster
            .read(|state| state.open_calls().any(|call| call.admitted < before));
        if due && let Err(error) = node.cluster.commit(&Command::Settle { before }).await {
            tracing::warn!(%error, "open calls past their deadline were not closed");
        }
    }
}

/// Refuses new intents while less than the reserve is free.
pub(crate) async fn watch_disk(node: Arc<Node>) {
    loop {
        let dir = node.dir.root().to_owned();
        let looked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&dir)).await;
        match looked {
            Ok(Ok(disk)) => {
                let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
                let reserve = node
                    .limits
                    .disk_reserve
                    .unwrap_or_else(|| (bytes(disk.f_blocks) / 20).min(RESERVE_MAX));
                node.set_disk_low(bytes(disk.f_bavail) < reserve);
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot ask how full the disk is"),
            Err(error) => tracing::warn!(%error, "cannot ask how full the disk is"),
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            () = node.stopping.cancelled() => return,
        }
    }
}
