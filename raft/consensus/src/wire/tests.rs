//! Each kind of message: reads back, byte for byte the same as before, and no change of a byte
//! goes unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, TransferLeaderError, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use proptest::prelude::*;

use super::{Answer, Change, ChangeError, Forwarded, Header, Refused, Request, unreadable};
use crate::codec::CodecError;
use crate::types::{
    Entry, EntryPayload, LeaderId, LogId, Membership, Peer, Proposal, SnapshotMeta,
    StoredMembership, Vote,
};

const WRITE: &str = "TOLLBOOK_WRITE_GOLDEN";

fn header() -> Header {
    Header {
        cluster: *b"0123456789abcdef",
        from: 3,
        start: 7,
        boot: 0x0102_0304_0506_0708,
        wall: 1_700_000_000_000_000,
    }
}

fn log_id(index: u64) -> LogId {
    let leader_id = LeaderId {
        term: 5,
        node_id: 2,
    };
    LogId { leader_id, index }
}

fn vote() -> Vote {
    Vote {
        leader_id: log_id(0).leader_id,
        committed: true,
    }
}

fn peer() -> Peer {
    Peer {
        name: "node-b".into(),
        data_address: "10.0.0.2:7300".into(),
        peer_address: "10.0.0.2:7302".into(),
        verifier_key: "node-b.01+02+key".into(),
        certificate: [9; 32],
    }
}

fn membership() -> Membership {
    let nodes = BTreeMap::from([(2, peer()), (3, Peer::default())]);
    Membership::new(vec![BTreeSet::from([2])], nodes).unwrap()
}

fn append() -> AppendEntriesRequest<crate::types::TypeConfig> {
    let entry = |index, payload| Entry {
        log_id: log_id(index),
        payload,
    };
    let batch = Proposal {
        stamp: 1_700_000_000_000_001,
        batch: Bytes::from_static(b"a batch"),
    };
    AppendEntriesRequest {
        vote: vote(),
        prev_log_id: Some(log_id(40)),
        entries: vec![
            entry(41, EntryPayload::Blank),
            entry(42, EntryPayload::Normal(batch)),
            entry(43, EntryPayload::Membership(membership())),
        ],
        leader_commit: Some(log_id(39)),
    }
}

fn requests() -> Vec<(&'static str, Request)> {
    let heartbeat = AppendEntriesRequest {
        entries: Vec::new(),
        prev_log_id: None,
        ..append()
    };
    let mut request = VoteRequest::new(vote(), Some(log_id(41)));
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(41)),
        last_membership: StoredMembership::new(Some(log_id(1)), membership()),
    };
    let node = 4;
    let learner = Change::AddLearner { node, peer: peer() };
    let wanted = request.clone();
    request.leadership_transfer = true;
    let snapshot = Request::Snapshot {
        vote: vote(),
        meta,
        bytes: 1 << 33,
    };
    let bytes = Bytes::from_static(b"some bytes");
    vec![
        ("append", Request::Append(append())),
        ("heartbeat", Request::Append(heartbeat)),
        ("ask", Request::Ask(bytes.clone())),
        ("add learner", Request::Change(learner)),
        ("promote", Request::Change(Change::Promote { node })),
        ("remove", Request::Change(Change::Remove { node })),
        ("hand over", Request::Change(Change::Transfer { node })),
        ("forward", Request::Forward(bytes.clone())),
        ("pre-vote", Request::PreVote(wanted)),
        ("read index", Request::ReadIndex),
        ("segments", Request::Segments(bytes.clone())),
        ("snapshot", snapshot),
        ("snapshot piece", Request::SnapshotPiece(bytes)),
        (
            "transfer",
            Request::Transfer(TransferLeaderRequest::new(vote(), 3, Some(log_id(41)))),
        ),
        ("vote", Request::Vote(request)),
    ]
}

fn answers() -> Vec<(String, Answer)> {
    let bytes = Bytes::from_static(b"some bytes");
    let impossible = ChangeError::Impossible {
        reason: "no".into(),
    };
    let leader = Some(2);
    let changed = TransferLeaderError::VoteChanged {
        expected: vote(),
        actual: vote(),
    };
    let flushed = TransferLeaderError::LogNotFlushed {
        expected: Some(log_id(2)),
        actual: None,
    };
    let mut answers = vec![
        Answer::Appended(Ok(Some(log_id(41)))),
        Answer::Appended(Err(StreamAppendError::Conflict(log_id(41)))),
        Answer::Appended(Err(StreamAppendError::HigherVote(vote()))),
        Answer::Asked(bytes.clone()),
        Answer::Changed(Ok(())),
        Answer::Changed(Err(impossible)),
        Answer::Changed(Err(ChangeError::Busy)),
        Answer::Changed(Err(ChangeError::NoLeader)),
        Answer::Changed(Err(ChangeError::NotLeader { leader })),
        Answer::Forwarded(Forwarded::Done),
        Answer::Forwarded(Forwarded::NotLeader { leader: None }),
        Answer::Forwarded(Forwarded::Unknown),
        Answer::ReadIndex(Some(41)),
        Answer::Segments(bytes),
        Answer::Snapshot(vote()),
        Answer::Piece,
        Answer::Transfer(Ok(())),
        Answer::Transfer(Err(changed)),
        Answer::Transfer(Err(flushed)),
        Answer::Vote(VoteResponse::new(vote(), Some(log_id(41)), true)),
    ];
    let refusals = [
        Refused::Malformed,
        Refused::Version { version: 9 },
        Refused::OtherCluster,
        Refused::OtherNode,
        Refused::Removed,
        Refused::RolledBack,
        Refused::Stopping,
        Refused::Stranger,
    ];
    answers.extend(refusals.map(Answer::Refused));
    let named = answers.into_iter().enumerate();
    named
        .map(|(at, answer)| (format!("answer {at}"), answer))
        .collect()
}

fn messages() -> Vec<(String, Bytes)> {
    let header = header();
    let asked = requests()
        .into_iter()
        .map(|(name, request)| (name.to_owned(), request.encode(&header)));
    let answered = answers()
        .into_iter()
        .map(|(name, answer)| (name, answer.encode(&header)));
    asked.chain(answered).collect()
}

/// Writes what was read again: the only equality that counts on a wire.
fn again(name: &str, message: &Bytes) -> Result<Bytes, CodecError> {
    if name.starts_with("answer") {
        Answer::decode(message).map(|(header, answer)| answer.encode(&header))
    } else {
        Request::decode(message).map(|(header, request)| request.encode(&header))
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a golden file needs no durability"
)]
fn messages_are_what_they_were() {
    let lines: String = messages()
        .iter()
        .map(|(name, message)| format!("{name}: {}\n", tollbook_audit::hex(message)))
        .collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire.txt");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &lines).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(lines, stored, "the wire changed; set {WRITE}=1 to write it");
}

#[test]
fn messages_read_back() {
    for (name, message) in messages() {
        assert_eq!(again(&name, &message).as_ref(), Ok(&message), "{name}");
    }
}

#[test]
fn a_changed_byte_and_a_cut_are_seen() {
    for (name, message) in messages() {
        for at in 0..message.len() {
            let mut changed = BytesMut::from(message.as_ref());
            changed[at] ^= 0x41;
            assert!(again(&name, &changed.freeze()).is_err(), "{name} at {at}");
            assert!(
                again(&name, &message.slice(..at)).is_err(),
                "{name} to {at}"
            );
        }
    }
}

/// With its check made right again a changed message may be another one, but never a crash.
#[test]
fn a_changed_byte_under_a_right_check_reads_as_itself_or_not_at_all() {
    for (name, message) in messages() {
        for at in 0..message.len() - 4 {
            for flip in [1, 0x80, 0xff] {
                let mut changed = BytesMut::from(&message[..message.len() - 4]);
                changed[at] ^= flip;
                let check = crc32fast::hash(&changed);
                changed.put_u32(check);
                let changed = changed.freeze();
                if let Ok(read) = again(&name, &changed) {
                    assert_eq!(read, changed, "{name} at {at}");
                }
            }
        }
    }
}

#[test]
fn another_version_is_told_apart() {
    let message = Request::ReadIndex.encode(&header());
    let mut other = BytesMut::from(&message[..message.len() - 4]);
    other[0] = 2;
    let check = crc32fast::hash(&other);
    other.put_u32(check);
    let error = Request::decode(&other.freeze()).map(drop).unwrap_err();
    assert_eq!(unreadable(error), Refused::Version { version: 2 });
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut message = BytesMut::from(bytes.as_slice());
        if let Some(first) = message.first_mut() {
            *first = super::WIRE;
        }
        let check = crc32fast::hash(&message);
        message.put_u32(check);
        let message = message.freeze();
        drop(Request::decode(&message));
        drop(Answer::decode(&message));
    }
}
