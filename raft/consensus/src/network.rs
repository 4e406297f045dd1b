//! openraft's network over a [`crate::Transport`]: appends pipelined on one ordered stream, a call
//! for each other message.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use crate::limits::SNAPSHOT_PIECE_BYTES;
use crate::peers::Peers;
use crate::snapshot::Image;
use crate::transport::{Channel, LinkError, Urgency};
use crate::types::{NodeId, Peer, Snapshot, TypeConfig, Vote};
use crate::wire::{self, Answer, Request};

/// For the answer to an append that was sent: a follower answers when its disk has it, so a slow
/// sync must not look like a dead peer.
const APPEND_ANSWER: Duration = Duration::from_secs(2);
/// For the answer to one piece of a snapshot, and to the last one, which installs it.
const PIECE_ANSWER: Duration = Duration::from_secs(10);
const INSTALL_ANSWER: Duration = Duration::from_secs(60);
/// After a failure, before a peer is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Makes the ways to peers.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) peers: Peers,
}

/// The way to one peer.
#[derive(Clone, Debug)]
pub(crate) struct PeerNetwork {
    peers: Peers,
    node: NodeId,
    peer: Peer,
    /// One message at a time, ahead of all others.
    heartbeat: bool,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: NodeId, node: &Peer) -> PeerNetwork {
        PeerNetwork {
            peers: self.peers.clone(),
            node: target,
            peer: node.clone(),
            heartbeat: false,
        }
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Peer) -> PeerNetwork {
        PeerNetwork {
            heartbeat: true,
            ..self.new_client(target, node).await
        }
    }
}

type Failed = RPCError<TypeConfig>;
type Appended = Result<StreamAppendResult<TypeConfig>, Failed>;

impl PeerNetwork {
    async fn ask(
        &self,
        request: Request,
        urgency: Urgency,
        within: Duration,
    ) -> Result<Answer, LinkError> {
        self.peers
            .call(self.node, self.peer.clone(), &request, urgency, within)
            .await
    }

    async fn append(
        &self,
        append: AppendEntriesRequest<TypeConfig>,
        within: Duration,
    ) -> Result<StreamAppendResult<TypeConfig>, LinkError> {
        let request = Request::Append(append);
        let Answer::Appended(result) = self.ask(request, Urgency::Urgent, within).await? else {
            return Err(unexpected(self.node));
        };
        Ok(result)
    }

    async fn vote_on(
        &self,
        request: Request,
        within: Duration,
    ) -> Result<VoteResponse<TypeConfig>, Failed> {
        match self.ask(request, Urgency::Urgent, within).await {
            Ok(Answer::Vote(response)) => Ok(response),
            Ok(_) => Err(failed(&unexpected(self.node))),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        within: Duration,
    ) -> Result<Vote, LinkError> {
        let Image::Whole(bytes) = snapshot.snapshot else {
            return Err(LinkError::Broken {
                node: self.node,
                reason: "the snapshot has no content".to_owned(),
            });
        };
        let begin = Request::Snapshot {
            vote,
            meta: snapshot.meta,
            bytes: bytes.len() as u64,
        };
        let channel = self
            .peers
            .open(self.node, self.peer.clone(), Urgency::Bulk, within)
            .await?;
        let Channel { send, mut receive } = channel;
        let pieces = pieces(&bytes).map(Request::SnapshotPiece);
        let mut requests = std::iter::once(begin).chain(pieces).peekable();
        while let Some(request) = requests.next() {
            let last = requests.peek().is_none();
            let sent = send.send(request.encode(&self.peers.header())).await;
            sent.map_err(|_| ended(self.node))?;
            let within = if last { INSTALL_ANSWER } else { PIECE_ANSWER };
            let answer = tokio::time::timeout(within, receive.recv()).await;
            let answer = answer.map_err(|_| LinkError::Late { node: self.node })?;
            let answer = answer.ok_or_else(|| ended(self.node))?;
            let answer = self.peers.read(self.node, &answer)?;
            if let Answer::Snapshot(vote) = answer {
                return Ok(vote);
            }
            let Answer::Piece = answer else { break };
        }
        Err(unexpected(self.node))
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = Image;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Failed> {
        let last = rpc
            .entries
            .last()
            .map(RaftEntry::log_id)
            .or(rpc.prev_log_id);
        let within = option.hard_ttl().max(APPEND_ANSWER);
        let appended = self
            .append(rpc, within)
            .await
            .map_err(|error| failed(&error))?;
        Ok(match appended {
            Ok(flushed) if flushed == last => AppendEntriesResponse::Success,
            Ok(flushed) => AppendEntriesResponse::PartialSuccess(flushed),
            Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
            Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Appended>, Failed>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            if self.heartbeat {
                let within = option.hard_ttl();
                let beat = stream::once(async move {
                    match input.next().await {
                        Some(append) => Some(
                            self.append(append, within)
                                .await
                                .map_err(|error| failed(&error)),
                        ),
                        None => None,
                    }
                });
                return Ok(beat.filter_map(std::future::ready).boxed());
            }
            let network: &'s Self = self;
            // A stream is opened for the first message: what comes before it waits as long as it
            // must after a failure, and a failure to open one that came earlier would not.
            let opened = stream::once(async move {
                let Some(first) = input.next().await else {
                    return stream::empty().boxed();
                };
                let opened = network
                    .peers
                    .open(
                        network.node,
                        network.peer.clone(),
                        Urgency::Usual,
                        APPEND_ANSWER,
                    )
                    .await;
                match opened {
                    Ok(opened) => pipelined(network, opened, stream::iter([first]).chain(input)),
                    Err(error) => stream::iter([Err(failed(&error))]).boxed(),
                }
            });
            Ok(opened.flatten().boxed())
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failed> {
        self.vote_on(Request::Vote(rpc), option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failed> {
        self.vote_on(Request::PreVote(rpc), option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot, PIECE_ANSWER) => match sent {
                Ok(vote) => Ok(wire::snapshot_response(vote)),
                Err(error) => Err(match failed(&error) {
                    RPCError::Unreachable(error) => StreamingError::Unreachable(error),
                    RPCError::Network(error) => StreamingError::Network(error),
                    RPCError::Timeout(error) => StreamingError::Timeout(error),
                    RPCError::RemoteError(error) => {
                        StreamingError::Network(NetworkError::new(&error))
                    }
                }),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Failed> {
        let request = Request::Transfer(req);
        match self.ask(request, Urgency::Urgent, option.hard_ttl()).await {
            Ok(Answer::Transfer(response)) => Ok(response),
            Ok(_) => Err(failed(&unexpected(self.node))),
            Err(error) => Err(failed(&error)),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(TRY_AGAIN)))
    }
}

/// Sends what `input` gives as it comes, and gives the answers, which come in the same order.
fn pipelined<'s, S>(network: &'s PeerNetwork, opened: Channel, input: S) -> BoxStream<'s, Appended>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
{
    let Channel { send, receive } = opened;
    // How many are sent and not answered: an answer is waited for only then, and not for ever.
    let (sent, unanswered) = tokio::sync::mpsc::channel(crate::transport::CHANNEL_MESSAGES);
    let peers = network.peers.clone();
    let pump = stream::once(async move {
        let mut input = input;
        while let Some(append) = input.next().await {
            let message = Request::Append(append).encode(&peers.header());
            if sent.send(()).await.is_err() || send.send(message).await.is_err() {
                break;
            }
        }
    });
    let answers = stream::unfold(Some((receive, unanswered)), move |state| async move {
        let (mut receive, mut unanswered) = state?;
        let () = unanswered.recv().await?;
        let answer = tokio::time::timeout(APPEND_ANSWER, receive.recv()).await;
        let node = network.node;
        let read = match answer {
            Err(_) => Err(LinkError::Late { node }),
            Ok(None) => Err(ended(node)),
            Ok(Some(answer)) => network.peers.read(node, &answer),
        };
        match read {
            Ok(Answer::Appended(result)) => Some((Ok(result), Some((receive, unanswered)))),
            Ok(_) => Some((Err(failed(&unexpected(node))), None)),
            Err(error) => Some((Err(failed(&error)), None)),
        }
    });
    stream::select(pump.map(|()| None), answers.map(Some))
        .filter_map(std::future::ready)
        .boxed()
}

fn pieces(image: &Bytes) -> impl Iterator<Item = Bytes> {
    let image = image.clone();
    let starts = (0..image.len()).step_by(SNAPSHOT_PIECE_BYTES);
    starts.map(move |at| image.slice(at..image.len().min(at + SNAPSHOT_PIECE_BYTES)))
}

fn ended(node: NodeId) -> LinkError {
    LinkError::Broken {
        node,
        reason: "it ended the stream".to_owned(),
    }
}

/// Of a peer that breaks the protocol.
pub(crate) fn unexpected(node: NodeId) -> LinkError {
    LinkError::Broken {
        node,
        reason: "it answered something else than it was asked".to_owned(),
    }
}

/// As openraft tells failures apart: one that cannot be reached is left alone for a while.
fn failed(error: &LinkError) -> Failed {
    match error {
        LinkError::Unreachable { .. } => RPCError::Unreachable(Unreachable::new(error)),
        LinkError::Broken { .. } | LinkError::Late { .. } => {
            RPCError::Network(NetworkError::new(error))
        }
    }
}
