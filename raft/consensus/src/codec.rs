//! What this crate writes to disk: our own bytes, never the library's types.
//!
//! Every value is `version ‖ body ‖ CRC-32 of all before`. Its length is the row's. Integers are
//! big endian, texts and lists carry their length. `FORMAT` below is the version of all of them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes};

use crate::limits::{MEMBERS_LIMIT, PEER_TEXT_BYTES_LIMIT};
use crate::types::{
    Entry, EntryPayload, LeaderId, LogId, Membership, Peer, Proposal, StoredMembership, Vote,
};

const FORMAT: u8 = 1;
const CHECK_BYTES: usize = 4;

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Why stored bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// The check at the end does not fit the bytes.
    #[error("stored bytes are damaged")]
    Damaged,
    /// The bytes are whole, but not what belongs there.
    #[error("stored bytes are malformed")]
    Malformed,
    /// Written by a newer version.
    #[error("stored bytes have version {version}, this program knows {known}")]
    Version {
        /// The first byte.
        version: u8,
        /// What it must be.
        known: u8,
    },
    /// The entry is of another place in the log.
    #[error("entry {found} stands in the place of {wanted}")]
    WrongPlace {
        /// Where it was read.
        wanted: u64,
        /// Where it says that it belongs.
        found: u64,
    },
}

/// How far the state machine has come, as stored with the state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    pub(crate) applied: LogId,
    pub(crate) membership: StoredMembership,
}

/// About how many bytes an entry's content has.
pub(crate) fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.batch.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

pub(crate) fn encode_entry(entry: &Entry) -> Bytes {
    let mut out = begin(64 + payload_bytes(entry));
    put_log_id(&mut out, &entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => out.put_u8(BLANK),
        EntryPayload::Normal(proposal) => {
            out.put_u8(BATCH);
            out.put_u64(proposal.stamp);
            out.put_slice(&proposal.batch);
        }
        EntryPayload::Membership(membership) => {
            out.put_u8(MEMBERSHIP);
            put_membership(&mut out, membership);
        }
    }
    end(out)
}

/// Reads the entry at `index`. A batch shares the row's memory.
pub(crate) fn decode_entry(index: u64, row: &Bytes) -> Result<Entry, CodecError> {
    let mut cursor = Cursor::open(row)?;
    let log_id = cursor.log_id()?;
    if log_id.index != index {
        return Err(CodecError::WrongPlace {
            wanted: index,
            found: log_id.index,
        });
    }
    let payload = match cursor.u8()? {
        BLANK => EntryPayload::Blank,
        BATCH => {
            let stamp = cursor.u64()?;
            let batch = row.slice_ref(cursor.rest());
            EntryPayload::Normal(Proposal { stamp, batch })
        }
        MEMBERSHIP => EntryPayload::Membership(cursor.membership()?),
        _ => return Err(CodecError::Malformed),
    };
    cursor.close()?;
    Ok(Entry { log_id, payload })
}

pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = begin(32);
    out.put_u64(vote.leader_id.term);
    out.put_u64(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
    end(out)
}

pub(crate) fn decode_vote(row: &[u8]) -> Result<Vote, CodecError> {
    let mut cursor = Cursor::open(row)?;
    let leader_id = cursor.leader_id()?;
    let committed = cursor.bool()?;
    cursor.close()?;
    Ok(Vote {
        leader_id,
        committed,
    })
}

pub(crate) fn encode_log_id(log_id: Option<&LogId>) -> Bytes {
    let mut out = begin(32);
    put_option(&mut out, log_id);
    end(out)
}

pub(crate) fn decode_log_id(row: &[u8]) -> Result<Option<LogId>, CodecError> {
    let mut cursor = Cursor::open(row)?;
    let log_id = cursor.option()?;
    cursor.close()?;
    Ok(log_id)
}

pub(crate) fn encode_mark(mark: &Mark) -> Bytes {
    let mut out = begin(256);
    put_log_id(&mut out, &mark.applied);
    put_option(&mut out, mark.membership.log_id().as_ref());
    put_membership(&mut out, mark.membership.membership());
    end(out)
}

pub(crate) fn decode_mark(row: &[u8]) -> Result<Mark, CodecError> {
    let mut cursor = Cursor::open(row)?;
    let applied = cursor.log_id()?;
    let log_id = cursor.option()?;
    let membership = cursor.membership()?;
    cursor.close()?;
    Ok(Mark {
        applied,
        membership: StoredMembership::new(log_id, membership),
    })
}

/// A whole state: its mark, then its rows in the order of keys.
pub(crate) fn encode_image(mark: &Mark, rows: &[(Vec<u8>, Vec<u8>)]) -> Bytes {
    let room = rows
        .iter()
        .map(|(key, value)| key.len() + value.len() + 8)
        .sum::<usize>();
    let mut out = begin(512 + room);
    put_bytes(&mut out, &encode_mark(mark));
    out.put_u64(rows.len() as u64);
    for (key, value) in rows {
        put_bytes(&mut out, key);
        put_bytes(&mut out, value);
    }
    end(out)
}

pub(crate) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn decode_image(image: &[u8]) -> Result<(Mark, Rows), CodecError> {
    let mut cursor = Cursor::open(image)?;
    let mark = decode_mark(cursor.bytes()?)?;
    let count = cursor.u64()?;
    let mut rows = Vec::new();
    for _ in 0..count {
        let key = cursor.bytes()?.to_vec();
        rows.push((key, cursor.bytes()?.to_vec()));
    }
    cursor.close()?;
    Ok((mark, rows))
}

fn begin(room: usize) -> Vec<u8> {
    begin_as(FORMAT, room)
}

pub(crate) fn begin_as(version: u8, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(room);
    out.put_u8(version);
    out
}

pub(crate) fn end(mut out: Vec<u8>) -> Bytes {
    let check = crc32fast::hash(&out);
    out.put_u32(check);
    out.into()
}

pub(crate) fn put_log_id(out: &mut Vec<u8>, log_id: &LogId) {
    out.put_u64(log_id.leader_id.term);
    out.put_u64(log_id.leader_id.node_id);
    out.put_u64(log_id.index);
}

pub(crate) fn put_option(out: &mut Vec<u8>, log_id: Option<&LogId>) {
    out.put_u8(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        put_log_id(out, log_id);
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).expect("texts, rows and marks are far below 4 GiB"));
    out.put_slice(bytes);
}

pub(crate) fn put_membership(out: &mut Vec<u8>, membership: &Membership) {
    let configs = membership.get_joint_config();
    out.put_u64(configs.len() as u64);
    for config in configs {
        out.put_u64(config.len() as u64);
        config.iter().for_each(|id| out.put_u64(*id));
    }
    out.put_u64(membership.nodes().count() as u64);
    for (id, peer) in membership.nodes() {
        out.put_u64(*id);
        put_peer(out, peer);
    }
}

pub(crate) fn put_peer(out: &mut Vec<u8>, peer: &Peer) {
    put_bytes(out, peer.name.as_bytes());
    put_bytes(out, peer.data_address.as_bytes());
    put_bytes(out, peer.peer_address.as_bytes());
    put_bytes(out, peer.verifier_key.as_bytes());
    out.put_slice(&peer.certificate);
}

/// Reads bytes whose check was right.
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn open(row: &'a [u8]) -> Result<Self, CodecError> {
        Self::open_as(FORMAT, row)
    }

    pub(crate) fn open_as(known: u8, row: &'a [u8]) -> Result<Self, CodecError> {
        let (body, check) = row
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or(CodecError::Damaged)?;
        if crc32fast::hash(body) != u32::from_be_bytes(*check) {
            return Err(CodecError::Damaged);
        }
        match body.split_first() {
            Some((&version, rest)) if version == known => Ok(Self(rest)),
            Some((&version, _)) => Err(CodecError::Version { version, known }),
            None => Err(CodecError::Malformed),
        }
    }

    pub(crate) fn close(&self) -> Result<(), CodecError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(CodecError::Malformed)
        }
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CodecError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        self.take().map(|[byte]| byte)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Malformed),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = u32::from_be_bytes(self.take()?);
        let length = usize::try_from(length).map_err(|_| CodecError::Malformed)?;
        let (bytes, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(CodecError::Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<String, CodecError> {
        let bytes = self.bytes()?;
        if bytes.len() > PEER_TEXT_BYTES_LIMIT {
            return Err(CodecError::Malformed);
        }
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| CodecError::Malformed)
    }

    pub(crate) fn leader_id(&mut self) -> Result<LeaderId, CodecError> {
        let term = self.u64()?;
        Ok(LeaderId {
            term,
            node_id: self.node_id()?,
        })
    }

    pub(crate) fn log_id(&mut self) -> Result<LogId, CodecError> {
        let leader_id = self.leader_id()?;
        Ok(LogId {
            leader_id,
            index: self.u64()?,
        })
    }

    pub(crate) fn option(&mut self) -> Result<Option<LogId>, CodecError> {
        if self.bool()? {
            self.log_id().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Frames and records hold 32 bits of it.
    pub(crate) fn node_id(&mut self) -> Result<u64, CodecError> {
        let id = self.u64()?;
        u32::try_from(id)
            .map(u64::from)
            .map_err(|_| CodecError::Malformed)
    }

    fn count(&mut self) -> Result<usize, CodecError> {
        let count = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        if count > MEMBERS_LIMIT {
            Err(CodecError::Malformed)
        } else {
            Ok(count)
        }
    }

    /// Ids ascend: the same membership has one encoding.
    pub(crate) fn membership(&mut self) -> Result<Membership, CodecError> {
        let mut configs = Vec::new();
        for _ in 0..self.count()? {
            let mut config = BTreeSet::new();
            for _ in 0..self.count()? {
                let id = self.node_id()?;
                ascending(config.last(), id)?;
                config.insert(id);
            }
            configs.push(config);
        }
        let mut nodes = BTreeMap::new();
        for _ in 0..self.count()? {
            let id = self.node_id()?;
            ascending(nodes.last_key_value().map(|(last, _)| last), id)?;
            nodes.insert(id, self.peer()?);
        }
        Membership::new(configs, nodes).map_err(|_| CodecError::Malformed)
    }

    pub(crate) fn peer(&mut self) -> Result<Peer, CodecError> {
        Ok(Peer {
            name: self.text()?,
            data_address: self.text()?,
            peer_address: self.text()?,
            verifier_key: self.text()?,
            certificate: self.take()?,
        })
    }
}

fn ascending(last: Option<&u64>, next: u64) -> Result<(), CodecError> {
    if last.is_none_or(|last| *last < next) {
        Ok(())
    } else {
        Err(CodecError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log_id() -> impl Strategy<Value = LogId> {
        (any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(term, node, index)| LogId {
            leader_id: LeaderId {
                term,
                node_id: u64::from(node),
            },
            index,
        })
    }

    fn peer() -> impl Strategy<Value = Peer> {
        (".{0,8}", ".{0,20}", any::<[u8; 32]>()).prop_map(|(name, address, certificate)| Peer {
            name,
            data_address: address.clone(),
            peer_address: address,
            verifier_key: String::new(),
            certificate,
        })
    }

    fn membership() -> impl Strategy<Value = Membership> {
        let nodes = prop::collection::btree_map(any::<u32>().prop_map(u64::from), peer(), 1..6);
        (nodes, any::<bool>()).prop_map(|(nodes, joint)| {
            let voters: BTreeSet<u64> = nodes.keys().copied().take(3).collect();
            let before: BTreeSet<u64> = nodes.keys().copied().take(1).collect();
            let configs = if joint {
                vec![before, voters]
            } else {
                vec![voters]
            };
            Membership::new(configs, nodes).unwrap()
        })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let batch = (any::<u64>(), prop::collection::vec(any::<u8>(), 0..200));
        let payload = prop_oneof![
            Just(EntryPayload::Blank),
            batch.prop_map(|(stamp, batch)| EntryPayload::Normal(Proposal {
                stamp,
                batch: batch.into(),
            })),
            membership().prop_map(EntryPayload::Membership),
        ];
        (log_id(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
    }

    proptest! {
        #[test]
        fn an_entry_is_read_back_as_it_was(entry in entry()) {
            let row = encode_entry(&entry);
            prop_assert_eq!(decode_entry(entry.log_id.index, &row), Ok(entry));
        }

        #[test]
        fn a_changed_or_cut_row_is_refused(
            entry in entry(),
            at: prop::sample::Index,
            flip in 1u8..,
        ) {
            let row = encode_entry(&entry);
            let at = at.index(row.len());
            let mut changed = row.to_vec();
            changed[at] ^= flip;
            prop_assert!(decode_entry(entry.log_id.index, &changed.into()).is_err());
            prop_assert!(decode_entry(entry.log_id.index, &row.slice(..at)).is_err());
        }

        /// Bytes with a right check that nobody of ours wrote are refused, or mean what these
        /// bytes and no others mean.
        #[test]
        fn forged_rows_are_refused_or_read_in_one_way(
            entry in entry(),
            mark in (log_id(), prop::option::of(log_id()), membership()),
            at: prop::sample::Index,
            with: u8,
        ) {
            let (applied, log_id, membership) = mark;
            let mark = Mark { applied, membership: StoredMembership::new(log_id, membership) };
            let forge = |row: &Bytes| {
                let mut body = row[..row.len() - CHECK_BYTES].to_vec();
                let at = at.index(body.len());
                body[at] = with;
                end(body)
            };
            let row = forge(&encode_entry(&entry));
            let place = Cursor::open(&row).and_then(|mut cursor| cursor.log_id());
            if let Ok(read) = decode_entry(place.map_or(0, |place| place.index), &row) {
                prop_assert_eq!(encode_entry(&read), row);
            }
            let row = forge(&encode_mark(&mark));
            if let Ok(read) = decode_mark(&row) {
                prop_assert_eq!(encode_mark(&read), row);
            }
            let row = forge(&encode_log_id(log_id.as_ref()));
            if let Ok(read) = decode_log_id(&row) {
                prop_assert_eq!(encode_log_id(read.as_ref()), row);
            }
            let row = forge(&encode_image(&mark, &[(vec![1], vec![2; 9])]));
            if let Ok((mark, rows)) = decode_image(&row) {
                prop_assert_eq!(encode_image(&mark, &rows), row);
            }
        }

        #[test]
        fn mark_and_image_are_read_back_as_they_were(
            applied in log_id(),
            log_id in prop::option::of(log_id()),
            membership in membership(),
            rows in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..5),
        ) {
            let mark = Mark { applied, membership: StoredMembership::new(log_id, membership) };
            prop_assert_eq!(decode_image(&encode_image(&mark, &rows)), Ok((mark, rows)));
            prop_assert_eq!(decode_log_id(&encode_log_id(log_id.as_ref())), Ok(log_id));
        }
    }

    /// The bytes of version 1. A directory that was written with them must stay readable.
    #[test]
    fn version_1_is_as_it_always_was() {
        let leader_id = LeaderId {
            term: 3,
            node_id: 7,
        };
        let entry = Entry {
            log_id: LogId {
                leader_id,
                index: 9,
            },
            payload: EntryPayload::Normal(Proposal {
                stamp: 5,
                batch: Bytes::from_static(b"ab"),
            }),
        };
        let numbers = [3, 7, 9].map(u64::to_be_bytes).concat();
        let golden = [&[1], &numbers[..], &[1], &5u64.to_be_bytes(), b"ab"].concat();
        let check = crc32fast::hash(&golden).to_be_bytes();
        assert_eq!(encode_entry(&entry), [&golden[..], &check].concat());
        let vote = Vote {
            leader_id,
            committed: true,
        };
        let golden = [&[1], &[3, 7].map(u64::to_be_bytes).concat()[..], &[1]].concat();
        let check = crc32fast::hash(&golden).to_be_bytes();
        assert_eq!(encode_vote(&vote), [&golden[..], &check].concat());
    }

    #[test]
    fn another_version_and_another_place_are_named() {
        let blank = Entry {
            log_id: LogId {
                leader_id: LeaderId {
                    term: 1,
                    node_id: 1,
                },
                index: 4,
            },
            payload: EntryPayload::Blank,
        };
        let row = encode_entry(&blank);
        let wrong = CodecError::WrongPlace {
            wanted: 5,
            found: 4,
        };
        assert_eq!(decode_entry(5, &row), Err(wrong));
        let newer = end(vec![2, 0, 0]);
        assert_eq!(
            decode_entry(5, &newer),
            Err(CodecError::Version {
                version: 2,
                known: FORMAT,
            })
        );
    }
}
