//! What is called while nodes fail: two limited grants at every node, and grants that come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::{Answer, Calls, Holder};
use super::nodes::Node;
use super::now_us;
use super::seed::Seed;

/// Between two calls of a caller that is to leave something of its limit for the end.
const STEADY: Duration = Duration::from_millis(400);
/// Between two calls of one that runs into its limit.
const GREEDY: Duration = Duration::from_millis(20);
/// After a call that was not carried out: a refusal must not become a flood.
const AFTER_REFUSAL: Duration = Duration::from_millis(150);
/// Calls of a grant at each node once its revocation was acknowledged.
const CALLS_AFTER_REVOKE: usize = 5;
/// For a revocation to be acknowledged: longer than any fault lasts.
const REVOKED_WITHIN: Duration = Duration::from_secs(40);

/// When the revocation of which grant was acknowledged, in microseconds of the machine's clock.
pub(super) type Revoked = Mutex<BTreeMap<String, u64>>;

/// Calls with `holder` at one node until `stop`.
pub(super) fn limited(
    calls: &Calls,
    node: &Node,
    holder: &Holder,
    steady: bool,
    stop: &AtomicBool,
) {
    let mut caller = calls.at(&node.data);
    while !stop.load(Ordering::Relaxed) {
        let pause = match caller.call(holder) {
            Answer::Done if steady => STEADY,
            Answer::Done => GREEDY,
            Answer::Denied | Answer::Nothing | Answer::Refused(_) | Answer::Unsettled => {
                AFTER_REFUSAL
            }
        };
        std::thread::sleep(pause);
    }
}

/// Makes a grant, calls with it at all nodes, revokes it meanwhile, calls on; until `stop`.
pub(super) fn come_and_go(
    calls: &Calls,
    nodes: &[Node],
    revoked: &Revoked,
    mut seed: Seed,
    stop: &AtomicBool,
) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let Some(node) = nodes.get(seed.below(nodes.len())) else {
            return;
        };
        // A node that cannot make one at present is not the matter; the next may.
        let Ok(holder) = node.grant(&format!("guest-{number}"), "free") else {
            continue;
        };
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for node in nodes {
                scope.spawn(|| limited(calls, node, &holder, false, &enough));
            }
            std::thread::sleep(Duration::from_millis(seed.between(50, 1_000)));
            if let Some(at) = revoke(nodes, &holder.label, &mut seed) {
                let mut revoked = revoked.lock().unwrap_or_else(PoisonError::into_inner);
                revoked.insert(holder.label.clone(), at);
                drop(revoked);
                for node in nodes {
                    let mut caller = calls.at(&node.data);
                    for _ in 0..CALLS_AFTER_REVOKE {
                        caller.call(&holder);
                    }
                }
            }
            enough.store(true, Ordering::Relaxed);
        });
    }
}

/// Revokes a grant at one node or another; when that was acknowledged.
fn revoke(nodes: &[Node], label: &str, seed: &mut Seed) -> Option<u64> {
    let end = Instant::now() + REVOKED_WITHIN;
    while Instant::now() < end {
        let node = nodes.get(seed.below(nodes.len()))?;
        if node.command(&["grant", "revoke", label]).is_ok() {
            return Some(now_us());
        }
    }
    None
}
