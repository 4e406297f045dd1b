//! How bytes reach a peer: the seam between consensus and QUIC, which a simulator takes the place
//! of. A transport knows who a peer is; what the bytes mean, `wire` knows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::types::{NodeId, Peer};

/// Sends messages to peers, and hands what peers send to a [`Service`].
///
/// A message that fails may have arrived all the same. None is ever delivered twice by one call,
/// and none to another node than the one that was meant: a transport proves who it speaks to.
pub trait Transport: Send + Sync + 'static {
    /// From now on, hands messages and streams of peers to `service`, until it is called again or
    /// dropped with the transport. Called once, from the runtime that the node runs on.
    fn serve(&self, service: Arc<dyn Service>);

    /// One message, and its answer. Fails after `within` at the latest.
    fn call(
        &self,
        to: Target,
        message: Bytes,
        urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>>;

    /// A stream to a peer: messages arrive in order, each is answered, answers come in order.
    /// Fails after `within` if none can be had.
    fn open(
        &self,
        to: Target,
        urgency: Urgency,
        within: Duration,
    ) -> BoxFuture<'static, Result<Channel, LinkError>>;

    /// Ends connections and stops listening. Returns when peers have been told, or soon after.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// Takes what peers send.
pub trait Service: Send + Sync + 'static {
    /// Whether a node may be listened to that has proved to hold `key`. The authority's word is not
    /// enough: a node that was removed has had the authority's key.
    fn knows(&self, from: NodeId, key: &[u8; 32]) -> bool;

    /// Answers a message of the peer that the transport has proved to be `from`.
    fn call(&self, from: NodeId, message: Bytes) -> BoxFuture<'static, Bytes>;

    /// Answers a stream's messages, in order, until either side ends it.
    fn open(&self, from: NodeId, channel: Channel) -> BoxFuture<'static, ()>;
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its number, which its certificate must name.
    pub node: NodeId,
    /// Where it is.
    pub peer: Peer,
}

/// What goes before what on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Snapshots and segments.
    Bulk,
    /// Entries, and commands for the leader.
    Usual,
    /// Votes and heartbeats: late ones cost an election.
    Urgent,
}

/// One end of a stream. Dropping `send` ends one's own side; a closed `receive` is the other's end
/// or a broken connection.
#[derive(Debug)]
pub struct Channel {
    /// To the peer. Full while the peer does not read.
    pub send: mpsc::Sender<Bytes>,
    /// From the peer.
    pub receive: mpsc::Receiver<Bytes>,
}

/// Messages of a stream that wait in a [`Channel`].
pub const CHANNEL_MESSAGES: usize = 64;

/// Why a message has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The node does not answer there, or another one does. The message was not delivered.
    #[error("node {node} cannot be reached at `{address}`: {reason}")]
    Unreachable {
        /// Which.
        node: NodeId,
        /// Where.
        address: String,
        /// What the transport says.
        reason: String,
    },
    /// The connection broke while the message was on its way. It may have arrived.
    #[error("the connection to node {node} broke: {reason}")]
    Broken {
        /// Which.
        node: NodeId,
        /// What the transport says.
        reason: String,
    },
    /// No answer in time. The message may have arrived.
    #[error("node {node} did not answer in time")]
    Late {
        /// Which.
        node: NodeId,
    },
}

/// No peers: every message is unreachable, and said to be. For a cluster of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Transport for NoPeers {
    fn serve(&self, _service: Arc<dyn Service>) {}

    fn call(
        &self,
        to: Target,
        _message: Bytes,
        _urgency: Urgency,
        _within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        Box::pin(async move { Err(unconfigured(to)) })
    }

    fn open(
        &self,
        to: Target,
        _urgency: Urgency,
        _within: Duration,
    ) -> BoxFuture<'static, Result<Channel, LinkError>> {
        Box::pin(async move { Err(unconfigured(to)) })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

fn unconfigured(to: Target) -> LinkError {
    LinkError::Unreachable {
        node: to.node,
        address: to.peer.peer_address,
        reason: "no way to peers is configured".to_owned(),
    }
}
