//! What peers' messages come to. A message that cannot be read, or whose sender must not be
//! listened to, is answered with the reason and changes nothing.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::entry::RaftEntry;
use openraft::errors::RaftError;
use openraft::raft::AppendEntriesRequest;
use tokio::sync::mpsc;

use tollbook_state::codec::decode_place;
use tollbook_storage::Engine;

use crate::backfill::{Backfill, FetchError, Ways};
use crate::change;
use crate::fatal::Fatal;
use crate::forward;
use crate::limits::{SNAPSHOT_BYTES_LIMIT, SNAPSHOT_PIECE_BYTES};
use crate::members::read_index;
use crate::options::{AskHook, Clock};
use crate::peers::Peers;
use crate::snapshot::{self, Image};
use crate::transport::{Channel, Service};
use crate::types::{Node, NodeId, Snapshot, SnapshotMeta, TypeConfig, Vote};
use crate::wire::{self, Answer, Header, Refused, Request};

/// Answers peers for one node. Clones are the same.
pub(crate) struct Served<E: Engine> {
    pub(crate) raft: Node<E>,
    pub(crate) peers: Peers,
    pub(crate) clock: Clock,
    pub(crate) on_ask: AskHook,
    pub(crate) backfill: Arc<Backfill<E>>,
    pub(crate) ways: Ways,
    pub(crate) fatal: Fatal,
}

impl<E: Engine> Clone for Served<E> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            peers: self.peers.clone(),
            clock: Arc::clone(&self.clock),
            on_ask: Arc::clone(&self.on_ask),
            backfill: Arc::clone(&self.backfill),
            ways: self.ways.clone(),
            fatal: self.fatal.clone(),
        }
    }
}

impl<E: Engine> Service for Served<E> {
    fn knows(&self, from: NodeId, key: &[u8; 32]) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let member = metrics.membership_config.membership().get_node(&from);
        // A node that lags may not know its newest peers; what they may say is less.
        !self.peers.is_removed(from) && member.is_none_or(|member| member.is_known_by(key))
    }

    fn call(&self, from: NodeId, message: Bytes) -> BoxFuture<'static, Bytes> {
        let served = self.clone();
        Box::pin(async move {
            let answer = match served.read(from, &message) {
                Ok(request) => served.answer(from, request).await,
                Err(refused) => Answer::Refused(refused),
            };
            answer.encode(&served.peers.header())
        })
    }

    fn open(&self, from: NodeId, channel: Channel) -> BoxFuture<'static, ()> {
        let served = self.clone();
        Box::pin(async move { served.stream(from, channel).await })
    }
}

impl<E: Engine> Served<E> {
    /// A message that may be acted on.
    fn read(&self, from: NodeId, message: &Bytes) -> Result<Request, Refused> {
        let (header, request): (Header, _) = Request::decode(message).map_err(wire::unreadable)?;
        let checked = self.peers.check(from, &header);
        checked.inspect_err(|refused| {
            tracing::warn!(from, %refused, "a peer's message was refused");
        })?;
        if request.is_for_members() && !self.is_member(from) {
            return Err(Refused::Stranger);
        }
        Ok(request)
    }

    fn is_member(&self, node: NodeId) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .membership_config
            .membership()
            .get_node(&node)
            .is_some()
    }

    async fn answer(&self, from: NodeId, request: Request) -> Answer {
        match request {
            Request::Append(append) => {
                let (prev, last) = (append.prev_log_id, last_log_id(&append));
                or_stopping(self.raft.append_entries(append).await, |response| {
                    Answer::Appended(response.into_stream_result(prev, last))
                })
            }
            Request::Ask(bytes) => Answer::Asked((self.on_ask)(from, bytes).await),
            Request::Change(change) => {
                Answer::Changed(change::apply(&self.raft, &self.peers, change).await)
            }
            Request::Forward(batch) => self.forwarded(from, batch).await,
            Request::PreVote(request) => {
                or_stopping(self.raft.pre_vote(request).await, Answer::Vote)
            }
            Request::Segments(message) => Answer::Segments(self.backfill.answer(&message)),
            Request::ReadIndex => Answer::ReadIndex(read_index(&self.raft).await),
            Request::Transfer(request) => self
                .raft
                .handle_transfer_leader(request)
                .await
                .map_or(Answer::Refused(Refused::Stopping), Answer::Transfer),
            Request::Vote(request) => or_stopping(self.raft.vote(request).await, Answer::Vote),
            // They come on streams.
            Request::Snapshot { .. } | Request::SnapshotPiece(_) => {
                Answer::Refused(Refused::Malformed)
            }
        }
    }

    /// Proposes a peer's batch, stamped by this node's clock, if this node leads.
    async fn forwarded(&self, from: NodeId, batch: Bytes) -> Answer {
        // Nobody proposes in another's name.
        if !decode_place(&batch).is_ok_and(|place| NodeId::from(place.node) == from) {
            return Answer::Refused(Refused::Malformed);
        }
        Answer::Forwarded(forward::propose(&self.raft, &self.clock, batch).await)
    }

    async fn stream(self, from: NodeId, channel: Channel) {
        let Channel { send, mut receive } = channel;
        let Some(first) = receive.recv().await else {
            return;
        };
        match self.read(from, &first) {
            Ok(Request::Append(append)) => self.appends(from, append, receive, send).await,
            Ok(Request::Snapshot { vote, meta, bytes }) => {
                let pieces = Channel {
                    send: send.clone(),
                    receive,
                };
                let taken = match self.gather(from, bytes, pieces).await {
                    Ok(image) => self.install(from, vote, meta, image).await,
                    Err(refused) => Err(refused),
                };
                let answer = taken.unwrap_or_else(Answer::Refused);
                drop(send.send(answer.encode(&self.peers.header())).await);
            }
            Ok(_) => self.refuse(&send, Refused::Malformed).await,
            Err(refused) => self.refuse(&send, refused).await,
        }
    }

    async fn refuse(&self, send: &mpsc::Sender<Bytes>, refused: Refused) {
        let answer = Answer::Refused(refused).encode(&self.peers.header());
        drop(send.send(answer).await);
    }

    async fn appends(
        &self,
        from: NodeId,
        first: AppendEntriesRequest<TypeConfig>,
        receive: mpsc::Receiver<Bytes>,
        send: mpsc::Sender<Bytes>,
    ) {
        let input = stream::iter([first]).chain(self.clone().later_appends(from, receive));
        let mut output = std::pin::pin!(self.raft.stream_append(input));
        while let Some(result) = output.next().await {
            let answer = result.map_or(Answer::Refused(Refused::Stopping), Answer::Appended);
            if send
                .send(answer.encode(&self.peers.header()))
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Until the peer ends the stream, or sends what it must not: then the stream ends here.
    fn later_appends(
        self,
        from: NodeId,
        receive: mpsc::Receiver<Bytes>,
    ) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> {
        stream::unfold((self, receive), move |(served, mut receive)| async move {
            let message = receive.recv().await?;
            match served.read(from, &message) {
                Ok(Request::Append(append)) => Some((append, (served, receive))),
                Ok(_) | Err(_) => None,
            }
        })
    }

    /// A snapshot's pieces, each acknowledged but the last, whose answer is the snapshot's.
    async fn gather(&self, from: NodeId, bytes: u64, pieces: Channel) -> Result<Bytes, Refused> {
        let Channel { send, mut receive } = pieces;
        if bytes == 0 || bytes > SNAPSHOT_BYTES_LIMIT {
            return Err(Refused::Malformed);
        }
        let mut image = BytesMut::new();
        while (image.len() as u64) < bytes {
            let taken = Answer::Piece.encode(&self.peers.header());
            send.send(taken).await.map_err(|_| Refused::Stopping)?;
            let message = receive.recv().await.ok_or(Refused::Malformed)?;
            let Request::SnapshotPiece(piece) = self.read(from, &message)? else {
                return Err(Refused::Malformed);
            };
            let left = bytes.saturating_sub(image.len() as u64);
            if piece.is_empty() || piece.len() > SNAPSHOT_PIECE_BYTES || piece.len() as u64 > left {
                return Err(Refused::Malformed);
            }
            image.extend_from_slice(&piece);
        }
        Ok(image.freeze())
    }

    async fn install(
        &self,
        from: NodeId,
        vote: Vote,
        meta: SnapshotMeta,
        image: Bytes,
    ) -> Result<Answer, Refused> {
        if !is_of_leader(&vote, &meta) {
            return Err(Refused::Malformed);
        }
        self.fetch_head(from, &meta, &image).await?;
        let snapshot = Snapshot {
            meta,
            snapshot: Image::Whole(image),
        };
        let installed = self.raft.install_full_snapshot(vote, snapshot).await;
        let response = installed.map_err(|_| Refused::Stopping)?;
        self.backfill.wake();
        Ok(Answer::Snapshot(response.vote))
    }

    /// The open segment's beginning, which the snapshot goes on from, comes first: a state is never
    /// durable without it.
    async fn fetch_head(
        &self,
        from: NodeId,
        meta: &SnapshotMeta,
        image: &Bytes,
    ) -> Result<(), Refused> {
        let applied = self.raft.metrics().borrow_watched().last_applied;
        if meta.last_log_id <= applied {
            return Ok(());
        }
        let head = snapshot::head(image).map_err(|_| Refused::Malformed)?;
        let Some(head) = head else { return Ok(()) };
        self.ways.offer(meta.last_membership.membership());
        match self.backfill.fetch_head(from, &head).await {
            Ok(()) => Ok(()),
            Err(FetchError::Engine(error)) => {
                drop(self.fatal.fail(error));
                Err(Refused::Stopping)
            }
            Err(error @ FetchError::Nobody { .. }) => {
                tracing::error!(from, %error, "a snapshot is not installed");
                Err(Refused::Stopping)
            }
        }
    }
}

/// openraft takes a snapshot that no leader of this vote can have made for a bug of its own.
fn is_of_leader(vote: &Vote, meta: &SnapshotMeta) -> bool {
    let last = meta.last_log_id.map(|last| last.leader_id);
    vote.committed && last.is_some_and(|last| last <= vote.leader_id)
}

fn last_log_id(append: &AppendEntriesRequest<TypeConfig>) -> Option<crate::types::LogId> {
    let last = append.entries.last().map(RaftEntry::log_id);
    last.or(append.prev_log_id)
}

fn or_stopping<T, A>(
    result: Result<T, RaftError<TypeConfig, A>>,
    answer: impl FnOnce(T) -> Answer,
) -> Answer
where
    A: std::fmt::Debug,
{
    result.map_or(Answer::Refused(Refused::Stopping), answer)
}
