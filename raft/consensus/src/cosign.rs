//! Cosigning: a checkpoint counts when a majority of the voters has computed its root, each for
//! itself, and signed. Knows no socket and no file: the node lends both.
//!
//! The leader signs the newest sealed size with the log's key and asks all voters at once. A voter
//! that has the same root there promises it and cosigns. With a majority the leader keeps the note
//! and sends it to all members, who check it and keep it. Leaders may change in the middle, two may
//! ask at once, and messages may come twice or late: what no node ever does is sign two roots of
//! one size, or a size below one that it has promised, because the promise is durable first.
//!
//! Everything that signs or writes happens in the one future that [`cosigner`] returns, one thing
//! after the other. So whoever drops a question that is being answered cuts no promise in two.

mod round;
mod seals;
mod signer;
mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use tollbook_audit::note::{LogKey, NodeKey, NoteError, VerifierKey};
use tollbook_state::Sealed;

use self::signer::Signer;
use self::wire::{Answer, Message};
use crate::limits::COSIGN_REQUESTS_LIMIT;
use crate::members::Status;
use crate::options::Clock;
use crate::transport::LinkError;
use crate::types::NodeId;

/// How long a node that is asked waits for its own book to reach the size.
const REACHED_WITHIN: Duration = Duration::from_secs(2);
/// How long a question waits for its answer: longer than who is asked may wait.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// A newest size without a note is tried again so often, so that a quiet cluster's last records
/// get theirs once enough voters are back.
const AGAIN: Duration = Duration::from_secs(5);

/// Root of a tree.
pub type Root = [u8; 32];

/// What a node writes down about its signatures. All of it is durable when the future says so, and
/// outlives snapshots, backups and restarts. The calls come one after the other.
pub trait Notebook: Send + Sync + 'static {
    /// Promises to sign no smaller size than this, and no other root at it. The same size and root
    /// may be promised again. Signed is only what has been promised.
    fn promise(&self, size: u64, root: Root) -> BoxFuture<'static, Result<(), PromiseError>>;

    /// Keeps a note that counts, as the newest: sizes ascend.
    fn keep(&self, size: u64, note: String) -> BoxFuture<'static, Result<(), Failed>>;

    /// Keeps what stands against what. A node that finds one at its start is not to cosign:
    /// [`CosignOptions::diverged`].
    fn diverged(&self, divergence: Divergence) -> BoxFuture<'static, Result<(), Failed>>;
}

/// Why a notebook did not write.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Why a promise was not made.
#[derive(Debug, thiserror::Error)]
pub enum PromiseError {
    /// The notebook cannot be read or written. Whether it holds the promise is not known.
    #[error("a promise could not be written down")]
    Failed(#[source] Failed),
    /// Another root at this size has been promised.
    #[error("another root of this size has been promised")]
    OtherRoot {
        /// That one.
        promised: Root,
    },
    /// A larger size has been promised.
    #[error("the larger size {promised} has been promised")]
    Smaller {
        /// That one.
        promised: u64,
    },
}

/// Why cosigning came to its end before the node did.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// A node that cannot write down what it signs must not sign.
    #[error("what this node signs cannot be written down")]
    Notebook(#[source] Failed),
}

/// Two roots of one size. One of them is of a book that is not the cluster's, and nobody can tell
/// which from here: the node signs no more, and an operator looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The size.
    pub size: u64,
    /// What this node's book has there.
    pub own: Root,
    /// What stands against it.
    pub other: Root,
    /// Who says so; this node itself where it contradicts its own promise or its own book.
    pub node: NodeId,
    /// The note that says so, signed with the log's key, where there is one.
    pub note: Option<String>,
}

/// The cluster as this node sees it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Whether this node leads.
    pub leads: bool,
    /// The voters' cosigning keys. While a membership changes: those of both.
    pub voters: BTreeMap<NodeId, VerifierKey>,
    /// All members, voters or not.
    pub members: Vec<NodeId>,
}

impl View {
    /// What a node's status says. If one voter's key cannot be read there are no voters, by whom
    /// nothing is signed: without that one alone, too few would be a majority.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        let voters = status.members.iter().filter(|(_, member)| member.voter);
        let keys: Result<BTreeMap<NodeId, VerifierKey>, NoteError> = voters
            .map(|(node, member)| Ok((*node, VerifierKey::parse(&member.peer.verifier_key)?)))
            .collect();
        Self {
            leads: status.leads,
            voters: keys.unwrap_or_default(),
            members: status.members.keys().copied().collect(),
        }
    }
}

/// Carries a question to a node, and brings its answer within the time or not at all: for which
/// reason does not matter here, for what did not come is no signature.
pub type Ask = Arc<
    dyn Fn(NodeId, Bytes, Duration) -> BoxFuture<'static, Result<Bytes, LinkError>> + Send + Sync,
>;

/// Told once that this node has diverged, after that is written down.
pub type DivergedHook = Arc<dyn Fn(&Divergence) + Send + Sync>;

/// What a cosigner needs.
#[derive(Clone)]
pub struct CosignOptions {
    /// This node.
    pub node: NodeId,
    /// The log's key, which all voters hold.
    pub log_key: Arc<LogKey>,
    /// This node's own.
    pub node_key: Arc<NodeKey>,
    /// Where promises and notes are kept.
    pub notebook: Arc<dyn Notebook>,
    /// Stamps cosignatures.
    pub clock: Clock,
    /// What this node may sign: committed, applied, and covered by its own syncs.
    pub sealed: watch::Receiver<Option<Sealed>>,
    /// The cluster as it is when called. Must not block.
    pub view: Arc<dyn Fn() -> View + Send + Sync>,
    /// The way to the others' [`Cosigner::answer`].
    pub ask: Ask,
    /// Size of the newest note kept before this start; 0 for none.
    pub kept: u64,
    /// Whether the notebook holds a divergence. Then this node signs nothing.
    pub diverged: bool,
    /// Told of a divergence.
    pub on_diverged: DivergedHook,
}

impl std::fmt::Debug for CosignOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CosignOptions")
            .field("node", &self.node)
            .field("kept", &self.kept)
            .field("diverged", &self.diverged)
            .finish_non_exhaustive()
    }
}

/// The side of a cosigner that its peers ask. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Cosigner {
    requests: mpsc::Sender<Request>,
    kept: watch::Receiver<u64>,
}

/// A peer's message and the way back.
#[derive(Debug)]
struct Request {
    from: NodeId,
    message: Message,
    reply: oneshot::Sender<Answer>,
}

/// A cosigner, and the future that does its work: until the feed of sealed sizes ends, or the
/// notebook fails. Nothing is signed after it is dropped.
pub fn cosigner(
    options: CosignOptions,
) -> (
    Cosigner,
    impl Future<Output = Result<(), CosignError>> + Send + use<>,
) {
    let (sender, requests) = mpsc::channel(COSIGN_REQUESTS_LIMIT);
    let (kept_sender, kept) = watch::channel(options.kept);
    let cosigner = Cosigner {
        requests: sender,
        kept,
    };
    let signer = Signer::new(options, requests, kept_sender);
    (cosigner, signer.run())
}

impl Cosigner {
    /// Answers what the peer `from` asked. Whatever the bytes are, there is an answer, and within
    /// seconds; dropping the future undoes nothing.
    #[must_use]
    pub fn answer(&self, from: NodeId, message: &Bytes) -> BoxFuture<'static, Bytes> {
        let asked = Message::decode(message).map(|message| {
            let (reply, replied) = oneshot::channel();
            let request = Request {
                from,
                message,
                reply,
            };
            (self.requests.try_send(request), replied)
        });
        Box::pin(async move {
            let answer = match asked {
                Err(error) => {
                    tracing::warn!(from, %error, "a cosigning message cannot be read");
                    Answer::Refused
                }
                Ok((Err(mpsc::error::TrySendError::Full(_)), _)) => Answer::Behind,
                Ok((Err(mpsc::error::TrySendError::Closed(_)), _)) => Answer::Stopped,
                Ok((Ok(()), replied)) => {
                    match tokio::time::timeout(REACHED_WITHIN, replied).await {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(_)) => Answer::Stopped,
                        Err(_) => Answer::Behind,
                    }
                }
            };
            answer.encode()
        })
    }

    /// Size of the newest note that is kept here, and when that changes.
    #[must_use]
    pub fn kept(&self) -> watch::Receiver<u64> {
        self.kept.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Member;
    use crate::types::Peer;

    fn member(node: u8, voter: bool) -> Member {
        let key = NodeKey::from_seed(&format!("o.example/n{node}"), &[node; 32]).unwrap();
        Member {
            peer: Peer {
                verifier_key: key.verifier().to_string(),
                ..Peer::default()
            },
            voter,
            matched: None,
            heard: None,
        }
    }

    #[test]
    fn a_voter_without_a_key_leaves_nobody_to_sign_by() {
        let members = BTreeMap::from([
            (1, member(1, true)),
            (2, member(2, true)),
            (3, member(3, false)),
        ]);
        let mut status = Status {
            node: 1,
            term: 1,
            leader: Some(1),
            leads: true,
            last_log: None,
            applied: None,
            quorum: None,
            members,
        };
        let view = View::of(&status);
        assert!(view.leads);
        assert_eq!(view.voters.keys().collect::<Vec<_>>(), [&1, &2]);
        assert_eq!(view.members, [1, 2, 3]);
        let broken = |status: &mut Status, node| {
            let member = status.members.get_mut(&node).unwrap();
            member.peer.verifier_key.clear();
        };
        // A learner signs nothing, so it needs no key.
        broken(&mut status, 3);
        assert_eq!(View::of(&status).voters.len(), 2);
        broken(&mut status, 2);
        assert!(View::of(&status).voters.is_empty());
    }
}
