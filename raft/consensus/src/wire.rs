//! What nodes say to each other, as bytes: ours, never the library's types.
//!
//! A message is `version ‖ header ‖ kind ‖ body ‖ CRC-32 of all before`; its length is the
//! transport's. Integers are big endian, texts and lists carry their length. The header says whose
//! message it is, so that a node of another cluster, or one whose disk was rolled back, is told
//! apart before its message is looked at. `docs/peer-wire.md` is the page of it.

use bytes::{BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::codec::{self, CodecError, Cursor, put_bytes, put_membership, put_option};
use crate::types::{LogId, NodeId, Peer, SnapshotMeta, StoredMembership, TypeConfig, Vote};

/// Version of all messages. Nodes of two versions refuse each other's.
pub(crate) const WIRE: u8 = 1;

/// Entries of one append.
const ENTRIES_LIMIT: u64 = 65_536;

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which cluster's: the beginning of a hash of its origin.
    pub(crate) cluster: [u8; 16],
    /// Which node's.
    pub(crate) from: NodeId,
    /// Counts the starts of that node's directory.
    pub(crate) start: u64,
    /// Random per start.
    pub(crate) boot: u64,
    /// The node's wall clock, in microseconds since the Unix epoch.
    pub(crate) wall: u64,
}

/// What a node asks a peer.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// Entries, or none: a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    /// For the program above: consensus does not look into it.
    Ask(Bytes),
    /// A change of the members, for the leader.
    Change(Change),
    /// A batch for the leader to propose.
    Forward(Bytes),
    /// Would you vote for me?
    PreVote(VoteRequest<TypeConfig>),
    /// Up to where must I have applied, to have seen all that was done before I asked?
    ReadIndex,
    /// About segments of the book: `backfill` knows what it says.
    Segments(Bytes),
    /// Begins a snapshot, whose pieces follow.
    Snapshot {
        /// The leader's.
        vote: Vote,
        /// Its place.
        meta: SnapshotMeta,
        /// Length of all pieces.
        bytes: u64,
    },
    /// The next piece of a snapshot.
    SnapshotPiece(Bytes),
    /// Stand for election: the leader hands over.
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// Vote for me.
    Vote(VoteRequest<TypeConfig>),
}

/// A change of the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Takes a node in that gets entries and has no vote, or changes what is known of a member.
    AddLearner {
        /// Its number, never used before by another.
        node: NodeId,
        /// How it is reached.
        peer: Peer,
    },
    /// Gives a learner a vote.
    Promote {
        /// Which.
        node: NodeId,
    },
    /// Takes a node out for good.
    Remove {
        /// Which.
        node: NodeId,
    },
    /// Hands leadership to a voter.
    Transfer {
        /// To whom.
        node: NodeId,
    },
}

/// What a peer answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// How far the peer's log is flushed, or why it takes nothing.
    Appended(StreamAppendResult<TypeConfig>),
    /// From the program above.
    Asked(Bytes),
    /// The change is committed, or the leader has been asked to hand over.
    Changed(Result<(), ChangeError>),
    /// What became of a batch.
    Forwarded(Forwarded),
    /// Nothing was done.
    Refused(Refused),
    /// Apply up to here, if anywhere.
    ReadIndex(Option<u64>),
    /// About segments of the book.
    Segments(Bytes),
    /// Whether the peer has taken a snapshot.
    Snapshot(Vote),
    /// A piece of it arrived.
    Piece,
    /// Whether the peer stands for election.
    Transfer(TransferLeaderResponse<TypeConfig>),
    /// A vote, or a word on one.
    Vote(VoteResponse<TypeConfig>),
}

/// Why the members did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another change is not done yet. Nothing was done.
    #[error("another change of the members is not done yet; try again")]
    Busy,
    /// The change would do harm, or names nobody.
    #[error("the members cannot be changed so: {reason}")]
    Impossible {
        /// Why.
        reason: String,
    },
    /// No leader was found, or it does not answer. Nothing is known of the change.
    #[error("the cluster has no leader that answers; try again")]
    NoLeader,
    /// The node that was asked does not lead. Nothing was done.
    #[error("the node that was asked does not lead")]
    NotLeader {
        /// Who does, if it is known.
        leader: Option<NodeId>,
    },
}

/// What became of a forwarded batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// Its entry is applied at the leader.
    Done,
    /// Not proposed.
    NotLeader {
        /// Who leads, if it is known.
        leader: Option<NodeId>,
    },
    /// Proposed, and nobody knows whether it is committed.
    Unknown,
}

/// Why a node does not take a peer's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Not a message, or none that a peer of this version sends.
    #[error("the message cannot be read")]
    Malformed,
    /// It speaks another version.
    #[error("the peer speaks version {version} of the wire, this program {WIRE}")]
    Version {
        /// Which.
        version: u8,
    },
    /// Of another cluster.
    #[error("the peer belongs to another cluster")]
    OtherCluster,
    /// The header names another node than the transport has proved.
    #[error("the message names another sender than its certificate")]
    OtherNode,
    /// It was a member once.
    #[error("the peer was removed from the cluster")]
    Removed,
    /// A later start of this node was seen: its disk was rolled back, or copied.
    #[error("the peer's directory is older than one of its that was seen before")]
    RolledBack,
    /// The node is stopping, or failed.
    #[error("the peer is stopping")]
    Stopping,
    /// It is no member as far as this node knows, and asks for what only members get.
    #[error("the peer is no member")]
    Stranger,
}

impl Header {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_slice(&self.cluster);
        out.put_u64(self.from);
        out.put_u64(self.start);
        out.put_u64(self.boot);
        out.put_u64(self.wall);
    }

    fn take(cursor: &mut Cursor<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            cluster: cursor.take()?,
            from: cursor.node_id()?,
            start: cursor.u64()?,
            boot: cursor.u64()?,
            wall: cursor.u64()?,
        })
    }
}

impl Request {
    /// Whether a node must know the sender as a member. What makes a log the same everywhere must
    /// get through to one that lags and does not know its newest peers.
    pub(crate) const fn is_for_members(&self) -> bool {
        match self {
            Self::Ask(_)
            | Self::Change(_)
            | Self::Forward(_)
            | Self::ReadIndex
            | Self::Segments(_) => true,
            Self::Append(_)
            | Self::PreVote(_)
            | Self::Snapshot { .. }
            | Self::SnapshotPiece(_)
            | Self::Transfer(_)
            | Self::Vote(_) => false,
        }
    }

    pub(crate) fn encode(&self, header: &Header) -> Bytes {
        let mut out = codec::begin_as(WIRE, 96 + self.room());
        header.put(&mut out);
        match self {
            Self::Append(append) => {
                out.put_u8(0);
                put_append(&mut out, append);
            }
            Self::Ask(bytes) => {
                out.put_u8(1);
                out.put_slice(bytes);
            }
            Self::Change(change) => {
                out.put_u8(2);
                put_change(&mut out, change);
            }
            Self::Forward(batch) => {
                out.put_u8(3);
                out.put_slice(batch);
            }
            Self::PreVote(vote) => {
                out.put_u8(4);
                put_vote_request(&mut out, vote);
            }
            Self::ReadIndex => out.put_u8(5),
            Self::Snapshot { vote, meta, bytes } => {
                out.put_u8(6);
                put_vote(&mut out, vote);
                put_option(&mut out, meta.last_log_id.as_ref());
                put_option(&mut out, meta.last_membership.log_id().as_ref());
                put_membership(&mut out, meta.last_membership.membership());
                out.put_u64(*bytes);
            }
            Self::SnapshotPiece(piece) => {
                out.put_u8(7);
                out.put_slice(piece);
            }
            Self::Transfer(transfer) => {
                out.put_u8(8);
                put_vote(&mut out, transfer.from_leader());
                out.put_u64(*transfer.to_node_id());
                put_option(&mut out, transfer.last_log_id());
            }
            Self::Vote(vote) => {
                out.put_u8(9);
                put_vote_request(&mut out, vote);
            }
            Self::Segments(bytes) => {
                out.put_u8(10);
                out.put_slice(bytes);
            }
        }
        codec::end(out)
    }

    fn room(&self) -> usize {
        match self {
            Self::Append(append) => append
                .entries
                .iter()
                .map(|entry| 64 + codec::payload_bytes(entry))
                .sum(),
            Self::Ask(bytes)
            | Self::Forward(bytes)
            | Self::Segments(bytes)
            | Self::SnapshotPiece(bytes) => bytes.len(),
            Self::Change(_)
            | Self::PreVote(_)
            | Self::ReadIndex
            | Self::Snapshot { .. }
            | Self::Transfer(_)
            | Self::Vote(_) => 256,
        }
    }

    /// Reads a message. Batches and pieces share its memory.
    pub(crate) fn decode(message: &Bytes) -> Result<(Header, Self), CodecError> {
        let mut cursor = Cursor::open_as(WIRE, message)?;
        let header = Header::take(&mut cursor)?;
        let request = match cursor.u8()? {
            0 => Self::Append(append(message, &mut cursor)?),
            1 => Self::Ask(message.slice_ref(cursor.rest())),
            2 => Self::Change(change(&mut cursor)?),
            3 => Self::Forward(message.slice_ref(cursor.rest())),
            4 => Self::PreVote(vote_request(&mut cursor)?),
            5 => Self::ReadIndex,
            6 => Self::Snapshot {
                vote: vote(&mut cursor)?,
                meta: snapshot_meta(&mut cursor)?,
                bytes: cursor.u64()?,
            },
            7 => Self::SnapshotPiece(message.slice_ref(cursor.rest())),
            8 => {
                let from = vote(&mut cursor)?;
                let to = cursor.node_id()?;
                Self::Transfer(TransferLeaderRequest::new(from, to, cursor.option()?))
            }
            9 => Self::Vote(vote_request(&mut cursor)?),
            10 => Self::Segments(message.slice_ref(cursor.rest())),
            _ => return Err(CodecError::Malformed),
        };
        cursor.close()?;
        Ok((header, request))
    }
}

impl Answer {
    pub(crate) fn encode(&self, header: &Header) -> Bytes {
        let room = match self {
            Self::Asked(bytes) | Self::Segments(bytes) => bytes.len(),
            Self::Appended(_)
            | Self::Changed(_)
            | Self::Forwarded(_)
            | Self::Piece
            | Self::ReadIndex(_)
            | Self::Refused(_)
            | Self::Snapshot(_)
            | Self::Transfer(_)
            | Self::Vote(_) => 64,
        };
        let mut out = codec::begin_as(WIRE, 128 + room);
        header.put(&mut out);
        match self {
            Self::Appended(result) => put_appended(&mut out, result),
            Self::Asked(bytes) => {
                out.put_u8(3);
                out.put_slice(bytes);
            }
            Self::Changed(result) => put_changed(&mut out, result),
            Self::Forwarded(forwarded) => put_forwarded(&mut out, *forwarded),
            Self::Refused(refused) => put_refused(&mut out, *refused),
            Self::ReadIndex(index) => {
                out.put_u8(15);
                put_node(&mut out, *index);
            }
            Self::Snapshot(vote) => {
                out.put_u8(16);
                put_vote(&mut out, vote);
            }
            Self::Piece => out.put_u8(17),
            Self::Transfer(result) => put_transfer(&mut out, result),
            Self::Vote(response) => {
                out.put_u8(21);
                put_vote(&mut out, &response.vote);
                out.put_u8(u8::from(response.vote_granted));
                put_option(&mut out, response.last_log_id.as_ref());
            }
            Self::Segments(bytes) => {
                out.put_u8(22);
                out.put_slice(bytes);
            }
        }
        codec::end(out)
    }

    /// Reads an answer. What the program above said shares its memory.
    pub(crate) fn decode(message: &Bytes) -> Result<(Header, Self), CodecError> {
        let mut cursor = Cursor::open_as(WIRE, message)?;
        let header = Header::take(&mut cursor)?;
        let answer = match cursor.u8()? {
            0 => Self::Appended(Ok(cursor.option()?)),
            1 => Self::Appended(Err(StreamAppendError::Conflict(cursor.log_id()?))),
            2 => Self::Appended(Err(StreamAppendError::HigherVote(vote(&mut cursor)?))),
            3 => Self::Asked(message.slice_ref(cursor.rest())),
            4 => Self::Changed(Ok(())),
            5 => Self::Changed(Err(ChangeError::Impossible {
                reason: cursor.text()?,
            })),
            6 => Self::Changed(Err(ChangeError::NoLeader)),
            7 => Self::Changed(Err(ChangeError::NotLeader {
                leader: node(&mut cursor)?,
            })),
            11 => Self::Changed(Err(ChangeError::Busy)),
            8 => Self::Forwarded(Forwarded::Done),
            9 => Self::Forwarded(Forwarded::NotLeader {
                leader: node(&mut cursor)?,
            }),
            10 => Self::Forwarded(Forwarded::Unknown),
            14 => Self::Refused(refused(&mut cursor)?),
            15 => Self::ReadIndex(node(&mut cursor)?),
            16 => Self::Snapshot(vote(&mut cursor)?),
            17 => Self::Piece,
            18 => Self::Transfer(Ok(())),
            19 => Self::Transfer(Err(TransferLeaderError::VoteChanged {
                expected: vote(&mut cursor)?,
                actual: vote(&mut cursor)?,
            })),
            20 => Self::Transfer(Err(TransferLeaderError::LogNotFlushed {
                expected: cursor.option()?,
                actual: cursor.option()?,
            })),
            21 => {
                let vote = vote(&mut cursor)?;
                let granted = cursor.bool()?;
                Self::Vote(VoteResponse::new(vote, cursor.option()?, granted))
            }
            22 => Self::Segments(message.slice_ref(cursor.rest())),
            _ => return Err(CodecError::Malformed),
        };
        cursor.close()?;
        Ok((header, answer))
    }
}

fn put_append(out: &mut Vec<u8>, append: &AppendEntriesRequest<TypeConfig>) {
    put_vote(out, &append.vote);
    put_option(out, append.prev_log_id.as_ref());
    put_option(out, append.leader_commit.as_ref());
    out.put_u64(append.entries.len() as u64);
    for entry in &append.entries {
        put_bytes(out, &codec::encode_entry(entry));
    }
}

fn append(
    message: &Bytes,
    cursor: &mut Cursor<'_>,
) -> Result<AppendEntriesRequest<TypeConfig>, CodecError> {
    let vote = vote(cursor)?;
    let prev_log_id = cursor.option()?;
    let leader_commit = cursor.option()?;
    let count = cursor.u64()?;
    if count > ENTRIES_LIMIT {
        return Err(CodecError::Malformed);
    }
    let mut entries = Vec::new();
    let mut at = prev_log_id;
    for _ in 0..count {
        let index = at.map_or(0, |at: LogId| at.index.saturating_add(1));
        let row = message.slice_ref(cursor.bytes()?);
        let entry = codec::decode_entry(index, &row)?;
        // Raft's terms never go back along a log.
        if at.is_some_and(|at| entry.log_id <= at) {
            return Err(CodecError::Malformed);
        }
        at = Some(entry.log_id);
        entries.push(entry);
    }
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

fn put_appended(out: &mut Vec<u8>, result: &StreamAppendResult<TypeConfig>) {
    match result {
        Ok(flushed) => {
            out.put_u8(0);
            put_option(out, flushed.as_ref());
        }
        Err(StreamAppendError::Conflict(log_id)) => {
            out.put_u8(1);
            codec::put_log_id(out, log_id);
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            out.put_u8(2);
            put_vote(out, vote);
        }
    }
}

fn put_changed(out: &mut Vec<u8>, result: &Result<(), ChangeError>) {
    match result {
        Ok(()) => out.put_u8(4),
        Err(ChangeError::Impossible { reason }) => {
            out.put_u8(5);
            put_bytes(out, reason.as_bytes());
        }
        Err(ChangeError::Busy) => out.put_u8(11),
        Err(ChangeError::NoLeader) => out.put_u8(6),
        Err(ChangeError::NotLeader { leader }) => {
            out.put_u8(7);
            put_node(out, *leader);
        }
    }
}

fn put_forwarded(out: &mut Vec<u8>, forwarded: Forwarded) {
    match forwarded {
        Forwarded::Done => out.put_u8(8),
        Forwarded::NotLeader { leader } => {
            out.put_u8(9);
            put_node(out, leader);
        }
        Forwarded::Unknown => out.put_u8(10),
    }
}

fn put_refused(out: &mut Vec<u8>, refused: Refused) {
    out.put_u8(14);
    let (kind, version) = match refused {
        Refused::Malformed => (0, 0),
        Refused::Version { version } => (1, version),
        Refused::OtherCluster => (2, 0),
        Refused::OtherNode => (3, 0),
        Refused::Removed => (4, 0),
        Refused::RolledBack => (5, 0),
        Refused::Stopping => (6, 0),
        Refused::Stranger => (7, 0),
    };
    out.put_slice(&[kind, version]);
}

fn refused(cursor: &mut Cursor<'_>) -> Result<Refused, CodecError> {
    Ok(match cursor.take::<2>()? {
        [0, 0] => Refused::Malformed,
        [1, version] => Refused::Version { version },
        [2, 0] => Refused::OtherCluster,
        [3, 0] => Refused::OtherNode,
        [4, 0] => Refused::Removed,
        [5, 0] => Refused::RolledBack,
        [6, 0] => Refused::Stopping,
        [7, 0] => Refused::Stranger,
        _ => return Err(CodecError::Malformed),
    })
}

fn put_transfer(out: &mut Vec<u8>, result: &TransferLeaderResponse<TypeConfig>) {
    match result {
        Ok(()) => out.put_u8(18),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(19);
            put_vote(out, expected);
            put_vote(out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(20);
            put_option(out, expected.as_ref());
            put_option(out, actual.as_ref());
        }
    }
}

fn put_change(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::AddLearner { node, peer } => {
            out.put_u8(0);
            out.put_u64(*node);
            codec::put_peer(out, peer);
        }
        Change::Promote { node } => {
            out.put_u8(1);
            out.put_u64(*node);
        }
        Change::Remove { node } => {
            out.put_u8(2);
            out.put_u64(*node);
        }
        Change::Transfer { node } => {
            out.put_u8(3);
            out.put_u64(*node);
        }
    }
}

fn change(cursor: &mut Cursor<'_>) -> Result<Change, CodecError> {
    let kind = cursor.u8()?;
    let node = cursor.node_id()?;
    Ok(match kind {
        0 => Change::AddLearner {
            node,
            peer: cursor.peer()?,
        },
        1 => Change::Promote { node },
        2 => Change::Remove { node },
        3 => Change::Transfer { node },
        _ => return Err(CodecError::Malformed),
    })
}

fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    out.put_u64(vote.leader_id.term);
    out.put_u64(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
}

fn vote(cursor: &mut Cursor<'_>) -> Result<Vote, CodecError> {
    Ok(Vote {
        leader_id: cursor.leader_id()?,
        committed: cursor.bool()?,
    })
}

fn put_vote_request(out: &mut Vec<u8>, request: &VoteRequest<TypeConfig>) {
    put_vote(out, &request.vote);
    put_option(out, request.last_log_id.as_ref());
    out.put_u8(u8::from(request.leadership_transfer));
}

fn vote_request(cursor: &mut Cursor<'_>) -> Result<VoteRequest<TypeConfig>, CodecError> {
    let mut request = VoteRequest::new(vote(cursor)?, cursor.option()?);
    request.leadership_transfer = cursor.bool()?;
    Ok(request)
}

fn snapshot_meta(cursor: &mut Cursor<'_>) -> Result<SnapshotMeta, CodecError> {
    let last_log_id = cursor.option()?;
    let membership_log_id = cursor.option()?;
    Ok(SnapshotMeta {
        last_log_id,
        last_membership: StoredMembership::new(membership_log_id, cursor.membership()?),
    })
}

fn put_node(out: &mut Vec<u8>, node: Option<u64>) {
    out.put_u8(u8::from(node.is_some()));
    if let Some(node) = node {
        out.put_u64(node);
    }
}

fn node(cursor: &mut Cursor<'_>) -> Result<Option<u64>, CodecError> {
    if cursor.bool()? {
        cursor.u64().map(Some)
    } else {
        Ok(None)
    }
}

/// What a peer that sent this is told.
pub(crate) const fn unreadable(error: CodecError) -> Refused {
    match error {
        CodecError::Version { version, known: _ } => Refused::Version { version },
        CodecError::Damaged | CodecError::Malformed | CodecError::WrongPlace { .. } => {
            Refused::Malformed
        }
    }
}

/// A snapshot's answer, as the library has it.
pub(crate) const fn snapshot_response(vote: Vote) -> SnapshotResponse<TypeConfig> {
    SnapshotResponse { vote }
}

#[cfg(test)]
mod tests;
