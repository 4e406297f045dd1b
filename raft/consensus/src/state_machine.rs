//! Applies entries: state, then book, then database, then those who wait. One path, live and at
//! recovery.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftStateMachine};
use tokio::sync::watch;

use tollbook_audit::frame::Frame;
use tollbook_state::codec::{CodecError, decode_place};
use tollbook_state::command::{Micros, Place};
use tollbook_state::{Effects, EntryMeta, Member, Members, Payload, Rejection, Role, State};
use tollbook_storage::{Engine, SegmentFrame, Wrote};

use crate::backfill::{self, head_place};
use crate::cluster::Progress;
use crate::codec::{self, Mark};
use crate::error::StartError;
use crate::fatal::{Failure, Fatal};
use crate::keeper::{Seal, Wanted};
use crate::limits::SYNC_SEGMENTS_BYTES;
use crate::options::{FrameHook, Replay};
use crate::recovery;
use crate::snapshot::{self, Image, SnapshotBuilder};
use crate::stats::{Counters, add};
use crate::types::{
    Done, Entry, EntryPayload, LogId, Membership, Snapshot, SnapshotMeta, StoredMembership,
    TypeConfig,
};
use crate::waiters::Waiters;

/// The state that all read and one writes.
pub(crate) type SharedState = Arc<RwLock<State>>;

/// What the state machine tells, and to whom.
pub(crate) struct Outlets {
    pub(crate) waiters: Waiters,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) wanted: watch::Sender<Wanted>,
    pub(crate) on_frames: Option<FrameHook>,
    pub(crate) replay: Replay,
    pub(crate) counters: Arc<Counters>,
    pub(crate) fatal: Fatal,
}

/// The replicated state on an engine.
pub(crate) struct StateMachine<E> {
    engine: Arc<E>,
    state: SharedState,
    /// As stored with the state; none before the first entry.
    mark: Option<Mark>,
    /// Openraft asked for a snapshot, here or in an installed one.
    snapshot: bool,
    outlets: Outlets,
    unflushed: Unflushed,
}

/// Since the keeper was last asked.
#[derive(Default)]
struct Unflushed {
    bytes: u64,
    entries: u64,
    frame_bytes: u64,
}

impl<E: Engine> StateMachine<E> {
    /// Loads what the engine holds.
    pub(crate) fn open(engine: Arc<E>, outlets: Outlets) -> Result<Self, StartError> {
        let applied = engine.applied().map_err(Failure::from)?;
        let mark = applied
            .map(|applied| codec::decode_mark(&applied.mark))
            .transpose()
            .map_err(Failure::from)?;
        let mut rows = Vec::new();
        engine
            .each_row(&mut |key, value| rows.push((key.to_vec(), value.to_vec())))
            .map_err(Failure::from)?;
        let state = load(mark.as_ref(), rows)?;
        recovery::settle_head(&*engine, state.head()).map_err(Failure::from)?;
        if let Some(mark) = &mark {
            outlets.counters.flushed(mark.applied.index);
        }
        let state = Arc::new(RwLock::new(state));
        let unflushed = Unflushed::default();
        Ok(Self {
            engine,
            state,
            mark,
            snapshot: false,
            outlets,
            unflushed,
        })
    }

    pub(crate) fn state(&self) -> SharedState {
        Arc::clone(&self.state)
    }

    fn apply_entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.outlets.fatal.check()?;
        let place = place_of(&entry.payload);
        let index = entry.log_id.index;
        let effects = self.change_state(entry, place);
        if let Some(Rejection::Undecodable(CodecError::UnknownVersion { .. })) = effects.rejected {
            return Err(self.failed(Failure::Newer { index }));
        }
        // The book before the database: a state must never be durable ahead of its frames.
        let frame_bytes = self.write_frames(&effects.frames)?;
        // A crash here leaves frames ahead of the state; the replay finds them equal.
        let mark = codec::encode_mark(self.advance(entry));
        self.engine
            .apply(index, &mark, &effects.writes)
            .map_err(|error| self.failed(error))?;
        // A crash here, or before the next flush, loses the entry's rows; the log has it.
        self.count(entry, &effects, frame_bytes);
        self.tell(entry, place, effects);
        Ok(())
    }

    fn change_state(&self, entry: &Entry, place: Option<Place>) -> Effects {
        let leader = node_number(entry.log_id.leader_id.node_id);
        let node = place.map_or(leader, |place| place.node);
        let LogId { leader_id, index } = entry.log_id;
        let mut meta = EntryMeta {
            term: leader_id.term,
            log_index: index,
            node,
            stamp: None,
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match &entry.payload {
            EntryPayload::Blank => state.apply(meta, Payload::Blank),
            EntryPayload::Normal(proposal) => {
                meta.stamp = Some(Micros(proposal.stamp));
                state.apply(meta, Payload::Batch(&proposal.batch))
            }
            EntryPayload::Membership(membership) => {
                state.apply(meta, Payload::Membership(&members(membership)))
            }
        }
    }

    fn write_frames(&self, frames: &[Frame]) -> io::Result<u64> {
        let mut written = 0;
        for frame in frames {
            let wrote = self.engine.append_frame(SegmentFrame {
                segment: frame.segment_first_index,
                offset: frame.segment_offset,
                frame_no: frame.frame_no,
                bytes: &frame.bytes,
            });
            match wrote.map_err(|error| self.failed(error))? {
                Wrote::Compared => add(&self.outlets.counters.frames_compared, 1),
                Wrote::Written => {
                    add(&self.outlets.counters.frames_written, 1);
                    written += frame.bytes.len() as u64;
                }
            }
        }
        Ok(written)
    }

    fn advance(&mut self, entry: &Entry) -> &Mark {
        let applied = entry.log_id;
        let mark = self.mark.get_or_insert_with(|| Mark {
            applied,
            membership: StoredMembership::default(),
        });
        mark.applied = applied;
        if let EntryPayload::Membership(membership) = &entry.payload {
            mark.membership = StoredMembership::new(Some(applied), membership.clone());
        }
        mark
    }

    /// Asks the keeper for what is due.
    fn count(&mut self, entry: &Entry, effects: &Effects, frame_bytes: u64) {
        let index = entry.log_id.index;
        let rows = effects.writes.iter();
        let rows = rows.map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
        let logged = match &entry.payload {
            EntryPayload::Normal(proposal) => proposal.batch.len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        };
        let unflushed = &mut self.unflushed;
        unflushed.bytes += (rows.sum::<usize>() + logged) as u64 + frame_bytes;
        unflushed.entries += 1;
        unflushed.frame_bytes += frame_bytes;
        let replay = self.outlets.replay;
        let flush = unflushed.bytes > replay.bytes || unflushed.entries > replay.entries;
        let sync = unflushed.frame_bytes > SYNC_SEGMENTS_BYTES;
        let seal = effects.sealed.clone().map(|sealed| Seal { index, sealed });
        if flush {
            *unflushed = Unflushed::default();
        }
        if sync {
            unflushed.frame_bytes = 0;
        }
        if flush || sync || seal.is_some() {
            self.outlets
                .wanted
                .send_modify(|wanted| wanted.add(flush, sync, seal));
        }
    }

    fn tell(&self, entry: &Entry, place: Option<Place>, effects: Effects) {
        let Outlets {
            waiters,
            progress,
            on_frames,
            counters,
            ..
        } = &self.outlets;
        let index = entry.log_id.index;
        counters.applied(index);
        if let Some(on_frames) = on_frames
            && !effects.frames.is_empty()
        {
            on_frames(index, &effects.frames);
        }
        let changed = u64::from(!effects.changed.is_empty());
        progress.send_modify(|progress| {
            progress.index = index;
            progress.changes += changed;
        });
        match (effects.receipts, place) {
            (Some(receipts), _) => waiters.deliver(receipts),
            (None, Some(place)) => waiters.give_up(place),
            (None, None) => {}
        }
    }

    fn failed(&self, failure: impl Into<Failure>) -> io::Error {
        self.outlets.fatal.fail(failure)
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        self.mark
            .as_ref()
            .map_or_else(SnapshotMeta::default, |mark| SnapshotMeta {
                last_log_id: Some(mark.applied),
                last_membership: mark.membership.clone(),
            })
    }
}

impl<E: Engine> RaftStateMachine<TypeConfig> for StateMachine<E> {
    type SnapshotData = Image;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let SnapshotMeta {
            last_log_id,
            last_membership,
        } = self.snapshot_meta();
        Ok((last_log_id, last_membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            // A panic would leave openraft, and all who wait, without an answer.
            let applied = catch_unwind(AssertUnwindSafe(|| self.apply_entry(&entry)));
            let index = entry.log_id.index;
            applied.unwrap_or_else(|_| Err(self.failed(Failure::Apply { index })))?;
            // After the receipts: the proposer takes the end of its batch for the end of waiting.
            if let Some(responder) = responder {
                responder.send(Done);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.snapshot = true;
        SnapshotBuilder {
            meta: self.snapshot_meta(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        image: Image,
    ) -> Result<(), io::Error> {
        self.outlets.fatal.check()?;
        let (mark, rows) = snapshot::open(&image).map_err(io::Error::other)?;
        let state = load(Some(&mark), rows.clone()).map_err(io::Error::other)?;
        if meta.last_log_id != Some(mark.applied) {
            return Err(io::Error::other(
                "the snapshot is of another place than it says",
            ));
        }
        // Who hands over the snapshot has fetched it: nothing is changed for one that cannot go on.
        let here = state.head().map_or(Ok(true), |head| {
            backfill::is_here(&*self.engine, &head_place(head))
        });
        if !here.map_err(|error| self.failed(error))? {
            return Err(io::Error::other(
                "the open segment's beginning did not come before the snapshot",
            ));
        }
        self.engine
            .replace_state(mark.applied.index, &codec::encode_mark(&mark), &rows)
            .map_err(|error| self.failed(error))?;
        // A crash here leaves the new state, and the head's beginning beside the book: the next
        // start puts it in place. Openraft purges the log behind it then.
        recovery::settle_head(&*self.engine, state.head()).map_err(|error| self.failed(error))?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        self.outlets.counters.applied(mark.applied.index);
        self.outlets.progress.send_modify(|progress| {
            progress.index = mark.applied.index;
            progress.changes += 1;
        });
        self.mark = Some(mark);
        self.snapshot = true;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let Some(mark) = self.mark.as_ref().filter(|_| self.snapshot) else {
            return Ok(None);
        };
        let snapshot = snapshot::take(&self.engine, mark, &self.outlets.fatal)?;
        Ok(Some(Snapshot {
            meta: self.snapshot_meta(),
            snapshot,
        }))
    }
}

/// The state of these rows, which must be the one of the mark.
fn load(mark: Option<&Mark>, rows: codec::Rows) -> Result<State, StartError> {
    let state = State::load(rows.into_iter()).map_err(|source| StartError::Load {
        source: Box::new(source),
    })?;
    let of_state = state
        .applied()
        .map(|applied| (applied.term, applied.log_index));
    let of_mark = mark.map(|mark| (mark.applied.leader_id.term, mark.applied.index));
    if of_state == of_mark {
        Ok(state)
    } else {
        Err(StartError::Failure(Failure::Stored {
            reason: "state and mark are of two entries",
        }))
    }
}

fn place_of(payload: &EntryPayload) -> Option<Place> {
    match payload {
        EntryPayload::Normal(proposal) => decode_place(&proposal.batch).ok(),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    }
}

fn members(membership: &Membership) -> Members {
    let voters: std::collections::BTreeSet<u64> = membership.voter_ids().collect();
    let role = |id| {
        if voters.contains(id) {
            Role::Voter
        } else {
            Role::Learner
        }
    };
    Members {
        nodes: membership
            .nodes()
            .map(|(id, peer)| Member {
                node: node_number(*id),
                role: role(id),
                name: peer.name.clone(),
                key: peer.verifier_key.clone(),
            })
            .collect(),
    }
}

fn node_number(id: u64) -> u32 {
    u32::try_from(id).expect("options give 32 bits, and the codec reads no more")
}
