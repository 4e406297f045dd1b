//! How a node becomes a member: `tollbook join` asks, any node of the cluster answers.
//!
//! 1. The joiner has made its keys. It speaks to nobody whose certificate the invitation's
//!    fingerprint does not cover, then sends the token, its public keys and where it is reached.
//! 2. The node that is asked commits `Join`: the token is used up, and a number given, in one
//!    entry. Then the leader takes the number in as a learner.
//! 3. The answer holds a certificate, and the keys that all members share.
//!
//! A lost answer leaves a member that never comes: it is removed, and another token asked for,
//! since `tollbook join` makes other keys each time. The same request again gets the same number.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use tollbook_audit::hex;
use tollbook_audit::note::LogKey;
use tollbook_raft::{
    CERTIFICATE_LIFE, Change, JoinError, JoinHook, NodeId, NodeKey, Peer, ProvedKey, ask_to_join,
};
use tollbook_state::command::{Command, Join, JoinTokenId};
use tollbook_state::{CommandResult, JoinRefusal};

use crate::clock::Clock;
use crate::dir::{self, ClusterKeys};
use crate::join_token::Invitation;
use crate::node::Node;
use crate::token::{Class, Token};

/// Version of request and answer.
const VERSION: u8 = 1;
/// For all of it: two commits, an election among them.
const WITHIN: Duration = Duration::from_secs(30);

/// What a joiner sends.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    v: u8,
    token: String,
    name: String,
    data: String,
    peer: String,
    verifier_key: String,
    public: String,
    proof: String,
}

/// What it is sent.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Welcomed {
    v: u8,
    node: u32,
    origin: String,
    certificate: String,
    authority: String,
    log_key: String,
    session_key: String,
}

/// What it is sent otherwise.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    refused: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Welcomed(Box<Welcomed>),
    Refused(Refused),
}

/// What a new member starts from.
pub(crate) struct Welcome {
    /// Its number.
    pub(crate) node: u32,
    /// The log's name.
    pub(crate) origin: String,
    /// Its certificate, in DER.
    pub(crate) certificate: Vec<u8>,
    /// The cluster's authority, as a text that holds its key.
    pub(crate) authority: Zeroizing<String>,
    /// What all members hold.
    pub(crate) keys: ClusterKeys,
}

/// Who asks to join.
pub(crate) struct Joiner<'a> {
    /// What people will call it.
    pub(crate) name: &'a str,
    /// Where clients reach it.
    pub(crate) data: String,
    /// Where peers reach it.
    pub(crate) peer: String,
    /// Of its cosigning key.
    pub(crate) verifier_key: String,
    /// For its certificate.
    pub(crate) key: &'a NodeKey,
}

/// Why a node did not become a member.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoiningError {
    /// The cluster could not be asked, or no answer came.
    #[error(transparent)]
    Asking(#[from] JoinError),
    /// The answer is none of this version of the program.
    #[error("the node at `{address}` answers what this version of the program cannot read")]
    Answer {
        /// Where.
        address: String,
    },
    /// The node's own key does not sign.
    #[error("the node's key cannot be used")]
    Key(#[from] tollbook_raft::CertError),
    /// The cluster says no.
    #[error("the cluster refuses: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// Asks the node at `address` for membership.
pub(crate) async fn ask(
    address: &str,
    invitation: &Invitation,
    joiner: &Joiner<'_>,
) -> Result<Welcome, JoiningError> {
    let proof = joiner.key.prove(&invitation.token.id())?;
    let request = Request {
        v: VERSION,
        token: invitation.token.expose().to_owned(),
        name: joiner.name.to_owned(),
        data: joiner.data.clone(),
        peer: joiner.peer.clone(),
        verifier_key: joiner.verifier_key.clone(),
        public: hex(&joiner.key.public()),
        proof: hex(&proof),
    };
    let clock: tollbook_raft::Clock = Arc::new(|| Clock::default().wall());
    let asked = ask_to_join(
        address,
        invitation.authority,
        json_bytes(&request),
        &clock,
        WITHIN,
    );
    let answer = asked.await?.answer;
    let unreadable = || JoiningError::Answer {
        address: address.to_owned(),
    };
    let welcomed = match serde_json::from_slice(&answer).map_err(|_| unreadable())? {
        Answer::Refused(Refused { refused }) => {
            return Err(JoiningError::Refused { reason: refused });
        }
        Answer::Welcomed(welcomed) => *welcomed,
    };
    welcomed.read().ok_or_else(unreadable)
}

impl Welcomed {
    fn read(self) -> Option<Welcome> {
        let log = LogKey::parse(&Zeroizing::new(self.log_key)).ok()?;
        let session = Zeroizing::new(self.session_key);
        Some(Welcome {
            node: self.node,
            origin: self.origin,
            certificate: dir::unhex_all(&self.certificate)?,
            authority: Zeroizing::new(self.authority),
            keys: ClusterKeys {
                log,
                session: Zeroizing::new(dir::unhex(&session)?),
            },
        })
    }
}

/// Where the node will stand once it runs: the listener for joins is there before it.
pub(crate) type Late = Arc<OnceLock<Weak<Node>>>;

/// Answers requests to join.
pub(crate) fn hook(late: Late) -> JoinHook {
    Arc::new(move |from, request| {
        let node = late.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let answered = match node {
                Some(node) => let_in(&node, from, &request).await,
                None => Err("this node is starting; try again".to_owned()),
            };
            match answered {
                Ok(welcomed) => json_bytes(&welcomed),
                Err(refused) => {
                    tracing::warn!(%from, reason = refused, "a request to join was refused");
                    json_bytes(&json!({ "refused": refused }))
                }
            }
        })
    })
}

async fn let_in(node: &Node, from: SocketAddr, request: &[u8]) -> Result<Welcomed, String> {
    let request: Request =
        serde_json::from_slice(request).map_err(|_| "the request cannot be read".to_owned())?;
    if request.v != VERSION {
        return Err(format!("the request has version {}", request.v));
    }
    let text = Zeroizing::new(request.token);
    let token = Token::parse_as(Class::Join, &text).map_err(|error| error.to_string())?;
    let proved = prove(&request.public, &request.proof, &token)?;
    let join = Join {
        id: JoinTokenId(token.id()),
        hash: token.hash(),
        name: request.name.clone(),
        peer_address: request.peer.clone(),
        data_address: request.data.clone(),
        verifier_key: request.verifier_key.clone(),
        certificate: proved.public(),
    };
    let number = commit(node, join).await?;
    let peer = Peer {
        name: request.name,
        data_address: request.data,
        peer_address: request.peer,
        verifier_key: request.verifier_key,
        certificate: proved.public(),
    };
    let learner = Change::AddLearner {
        node: NodeId::from(number),
        peer,
    };
    node.cluster
        .change(learner)
        .await
        .map_err(|error| error.to_string())?;
    tracing::info!(node = number, %from, "a node joined as a learner");
    welcome(node, number, &proved).map_err(|error| error.to_string())
}

fn prove(public: &str, proof: &str, token: &Token) -> Result<ProvedKey, String> {
    let malformed = || "the request's key cannot be read".to_owned();
    let public = dir::unhex(public).ok_or_else(malformed)?;
    let proof = dir::unhex_all(proof).ok_or_else(malformed)?;
    ProvedKey::check(public, &token.id(), &proof)
        .map_err(|_| "the request is not signed by the key that it names".to_owned())
}

async fn commit(node: &Node, join: Join) -> Result<u32, String> {
    match node.cluster.commit(&Command::Join(join)).await {
        Ok(CommandResult::Joined { node }) => Ok(node),
        Ok(CommandResult::JoinRefused(refusal)) => Err(refused(refusal).to_owned()),
        Ok(other) => Err(format!("the request was not taken: {other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

const fn refused(refusal: JoinRefusal) -> &'static str {
    match refusal {
        JoinRefusal::Expired => "the join token has expired; make another with `cluster token`",
        JoinRefusal::KeyTaken { .. } => "another member has this cosigning key",
        JoinRefusal::NameTaken { .. } => "another member has this name; give one with `--name`",
        // Which of the two it is, only the book says.
        JoinRefusal::Unknown | JoinRefusal::WrongHash => "the join token is none of this cluster's",
        JoinRefusal::Used { .. } => "the join token was used; make another with `cluster token`",
    }
}

fn welcome(
    node: &Node,
    number: u32,
    key: &ProvedKey,
) -> Result<Welcomed, Box<dyn std::error::Error + Send + Sync>> {
    let origin = node.config.cluster.origin.clone();
    let authority = node.dir.authority(&origin)?;
    let now = node.clock.wall();
    let certificate = authority.issue(number.into(), key, now, CERTIFICATE_LIFE)?;
    Ok(Welcomed {
        v: VERSION,
        node: number,
        origin,
        certificate: hex(&certificate),
        authority: authority.to_pem().to_string(),
        log_key: node.log_key.to_secret_text().to_string(),
        session_key: hex(&*node.dir.session_key()?),
    })
}

fn json_bytes(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("texts and numbers are JSON")
        .into()
}
