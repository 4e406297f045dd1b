//! What only a node itself knows of itself, and how the others ask for it.
//!
//! A question is the byte [`ASK`] and a JSON object, its answer a JSON object. Both say their
//! version; fields that a reader does not know are passed over, so that nodes of neighbouring
//! versions understand each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use tollbook_raft::{AskHook, NodeId, Stats};

use crate::admin::api::{Book, SyncTimes};
use crate::admin::respond::time;
use crate::joining::Late;
use crate::node::{Node, SOFTWARE};

/// First byte of these questions among all that nodes' programs ask each other.
pub(crate) const ASK: u8 = 2;
const VERSION: u32 = 1;
/// For a node's word on itself.
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// For the others to apply what was just committed.
const APPLIED_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    v: u32,
    #[serde(flatten)]
    question: Question,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
enum Question {
    /// How far it has applied, once that is as far as `index`, or [`APPLIED_WITHIN`] has passed.
    Applied { index: u64 },
    /// All of [`Told`].
    Status,
}

#[derive(Debug, Serialize, Deserialize)]
struct AppliedTo {
    v: u32,
    applied: u64,
}

/// What a node says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    v: u32,
    /// Index of the newest entry that it has applied.
    pub(crate) applied: u64,
    /// Index of the last entry of its log.
    pub(crate) last_log: u64,
    /// By the leader alone: index of the last entry that each member has.
    #[serde(default)]
    pub(crate) matched: BTreeMap<NodeId, u64>,
    /// Version of the program.
    pub(crate) software: String,
    /// URL of its data plane.
    pub(crate) data: String,
    /// How long syncs of its log take; none before the first.
    #[serde(default)]
    pub(crate) sync: Option<SyncTimes>,
    /// How far down its book reaches.
    pub(crate) book: Book,
    /// When the certificate ends that it shows its peers.
    pub(crate) certificate_expires: String,
    /// Calls on their way.
    pub(crate) calls: usize,
    /// Why it should get no calls.
    #[serde(default)]
    pub(crate) not_ready: Vec<String>,
}

impl Told {
    /// What this node says of itself.
    pub(crate) fn of(node: &Node) -> Self {
        let status = node.cluster.status();
        let matched = status
            .members
            .iter()
            .filter_map(|(id, member)| Some((*id, member.matched?)));
        let reach = *node.cluster.reach().borrow();
        Self {
            v: VERSION,
            applied: status.applied.unwrap_or(0),
            last_log: status.last_log.unwrap_or(0),
            matched: matched.collect(),
            software: SOFTWARE.to_owned(),
            data: node.base_url().to_owned(),
            sync: sync_times(&node.cluster.stats()),
            book: Book {
                whole: reach.whole,
                from: reach.from,
                bytes_missing: reach.bytes_missing,
            },
            certificate_expires: time(node.quic.expires()),
            calls: node.calls(),
            not_ready: node.unready().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// Answers other nodes: [`ASK`] questions, and all others with nothing.
pub(crate) fn hook(late: Late) -> AskHook {
    Arc::new(move |_from, message| {
        let node = late.get().and_then(Weak::upgrade);
        Box::pin(async move {
            match node {
                Some(node) => answer(&node, &message).await,
                None => Bytes::new(),
            }
        })
    })
}

/// Answers a question, without its first byte. What cannot be read gets an answer that cannot.
pub(crate) async fn answer(node: &Node, question: &[u8]) -> Bytes {
    let written = match serde_json::from_slice(question) {
        Ok(Message {
            v: VERSION,
            question,
        }) => match question {
            Question::Applied { index } => serde_json::to_vec(&AppliedTo {
                v: VERSION,
                applied: applied(node, index).await,
            }),
            Question::Status => serde_json::to_vec(&Told::of(node)),
        },
        Ok(_) | Err(_) => Ok(Vec::new()),
    };
    written.unwrap_or_default().into()
}

async fn applied(node: &Node, index: u64) -> u64 {
    let mut progress = node.cluster.applied();
    let reached = progress.wait_for(|progress| progress.index >= index);
    // Late or stopping: it says how far it came.
    drop(tokio::time::timeout(APPLIED_WITHIN, reached).await);
    progress.borrow().index
}

/// What each member that answers in time says of itself; this one always does.
pub(crate) async fn ask_all(node: &Node) -> BTreeMap<NodeId, Told> {
    let question = encode(Question::Status);
    let asked = others(node).into_iter().map(|id| {
        let asked = node.cluster.ask(id, question.clone(), STATUS_WITHIN);
        async move {
            let told: Told = serde_json::from_slice(&asked.await.ok()?).ok()?;
            Some((id, told))
        }
    });
    let mut told: BTreeMap<NodeId, Told> = join_all(asked).await.into_iter().flatten().collect();
    // Last: to have asked the others may be what makes this one ready.
    told.insert(node.cluster.status().node, Told::of(node));
    told
}

/// Waits until all members that can be reached have applied what this one has, at most
/// [`APPLIED_WITHIN`]: so that nobody is handed a token that the next node does not know yet.
pub(crate) async fn wait_until_applied(node: &Node) {
    let index = node.cluster.applied().borrow().index;
    let question = encode(Question::Applied { index });
    let asked = others(node)
        .into_iter()
        .map(|id| node.cluster.ask(id, question.clone(), APPLIED_WITHIN));
    // Who does not answer is down or slow, and applies it when it is back.
    drop(join_all(asked).await);
}

/// How far the leader has applied; none where this node leads, or the leader does not answer.
pub(crate) async fn ask_leader(node: &Node) -> Option<u64> {
    let status = node.cluster.status();
    let leader = status.leader.filter(|leader| *leader != status.node)?;
    let question = encode(Question::Applied { index: 0 });
    let answer = node.cluster.ask(leader, question, APPLIED_WITHIN).await;
    let to: AppliedTo = serde_json::from_slice(&answer.ok()?).ok()?;
    Some(to.applied)
}

fn others(node: &Node) -> Vec<NodeId> {
    let status = node.cluster.status();
    let me = status.node;
    let others = status.members.into_keys().filter(|id| *id != me);
    others.collect()
}

fn encode(question: Question) -> Bytes {
    let mut bytes = vec![ASK];
    let v = VERSION;
    let json = serde_json::to_vec(&Message { v, question });
    bytes.extend(json.expect("two numbers and a word always encode"));
    bytes.into()
}

/// The bounds under which half, and 99 of 100, of the syncs stay.
fn sync_times(stats: &Stats) -> Option<SyncTimes> {
    let all: u64 = stats.sync_micros.iter().sum();
    let under = |wanted: u64| {
        let mut seen: u64 = 0;
        let bucket = stats.sync_micros.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= wanted
        });
        let power = u32::try_from(bucket?).ok()?;
        1_u64.checked_shl(power)
    };
    if all == 0 {
        return None;
    }
    Some(SyncTimes {
        p50_us: under(all.div_ceil(2))?,
        p99_us: under(all.saturating_sub(all / 100))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_what_other_versions_read() {
        let wanted = [
            (Question::Status, &br#"{"v":1,"ask":"status"}"#[..]),
            (
                Question::Applied { index: 7 },
                br#"{"v":1,"ask":"applied","index":7}"#,
            ),
        ];
        for (question, json) in wanted {
            let bytes = encode(question);
            assert_eq!(bytes.split_first(), Some((&ASK, json)));
        }
        let later = br#"{"v":1,"ask":"applied","index":7,"more":true}"#;
        let read: Message = serde_json::from_slice(later).unwrap();
        assert!(matches!(read.question, Question::Applied { index: 7 }));
    }

    #[test]
    fn sync_times_are_bounds_of_the_buckets_that_hold_them() {
        let mut stats = Stats::default();
        assert_eq!(sync_times(&stats), None);
        stats.sync_micros[7] = 99;
        stats.sync_micros[12] = 1;
        let bounds = |p50_us, p99_us| Some(SyncTimes { p50_us, p99_us });
        assert_eq!(sync_times(&stats), bounds(128, 128));
        stats.sync_micros[12] = 2;
        assert_eq!(sync_times(&stats), bounds(128, 4096));
        stats.sync_micros[7] = 1;
        assert_eq!(sync_times(&stats), bounds(4096, 4096));
    }
}
