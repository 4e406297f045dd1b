//! Records on their way into frames. Everything that one entry gathers before it is done.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::State;
use crate::apply::EntryMeta;
use crate::command::{CallId, Micros, Place, PolicyDigest};
use crate::effects::{Changed, CommandResult, ElementResult, Receipts, Rejection, Sealed};
use crate::rows::{Policy, Row};
use crate::text;
use tollbook_audit::{self as audit, Common, Frame, Head, Record};

/// One entry while it is applied.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) meta: EntryMeta,
    pub(crate) t: Micros,
    /// Rows to write when the entry is done.
    pub(crate) dirty: BTreeSet<Row>,
    /// Records that have no frame yet.
    pending: Vec<Vec<u8>>,
    frames: Vec<Frame>,
    pub(crate) receipts: Option<Receipts>,
    pub(crate) rejected: Option<Rejection>,
    pub(crate) sealed: Option<Sealed>,
    pub(crate) changed: Changed,
}

/// The commands of one batch see it: the entry and who proposed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposer {
    pub(crate) node: u32,
    pub(crate) boot: u64,
}

impl From<Place> for Proposer {
    fn from(place: Place) -> Self {
        Self {
            node: place.node,
            boot: place.boot,
        }
    }
}

impl Entry {
    pub(crate) fn new(meta: EntryMeta, t: Micros) -> Self {
        Self {
            meta,
            t,
            dirty: BTreeSet::new(),
            pending: Vec::new(),
            frames: Vec::new(),
            receipts: None,
            rejected: None,
            sealed: None,
            changed: Changed::default(),
        }
    }

    /// Marks a row as changed.
    pub(crate) fn touch(&mut self, row: Row) {
        self.dirty.insert(row);
    }

    /// Hands the frames over, each result told which frame holds its records.
    pub(crate) fn take_frames(&mut self) -> Vec<Frame> {
        let frames = core::mem::take(&mut self.frames);
        if let Some(receipts) = &mut self.receipts {
            for result in &mut receipts.results {
                point_at_frames(result, &frames);
            }
        }
        frames
    }
}

impl State {
    /// Adds one record to the entry and says which index it has in the log.
    pub(crate) fn write(
        &self,
        entry: &mut Entry,
        call: Option<&CallId>,
        record: &Record<'_>,
    ) -> u64 {
        let index = self.next_index(entry);
        let call = call.map(text::call);
        let common = Common {
            call: call.as_deref(),
            t: entry.t,
            node: entry.meta.node,
        };
        let mut bytes = Vec::with_capacity(640);
        record.encode(&common, &mut bytes);
        entry.pending.push(bytes);
        index
    }

    /// Index that the next record will have.
    pub(crate) fn next_index(&self, entry: &Entry) -> u64 {
        let pending = u64::try_from(entry.pending.len()).expect("a length fits 64 bits");
        self.head
            .as_ref()
            .map_or(0, Head::size)
            .saturating_add(pending)
    }

    /// Puts what is pending into frames. The first records of all begin the log.
    pub(crate) fn close_frames(&mut self, entry: &mut Entry) {
        let records = core::mem::take(&mut entry.pending);
        if records.is_empty() {
            return;
        }
        let meta = self.frame_meta(entry);
        if let Some(head) = &mut self.head {
            entry.frames.extend(head.append(&meta, &records));
            return;
        }
        let origin = self
            .origin
            .as_ref()
            .expect("no record is made before the genesis record");
        let (head, frames) = Head::begin(&origin.origin, &meta, &records);
        self.head = Some(head);
        entry.frames.extend(frames);
    }

    /// Seals the log, once in an entry: what is signed next names the note before it, so two
    /// seals in one entry would leave the first without a note.
    pub(crate) fn seal(&mut self, entry: &mut Entry) -> CommandResult {
        self.close_frames(entry);
        let meta = self.frame_meta(entry);
        if entry.sealed.is_some() {
            return CommandResult::NothingToSeal;
        }
        let Some(done) = self.head.as_mut().and_then(|head| head.seal(&meta, None)) else {
            return CommandResult::NothingToSeal;
        };
        entry.frames.push(done.frame);
        let sealed = Sealed {
            size: done.checkpoint.size,
            root: done.checkpoint.root,
            body: done.checkpoint.body().into(),
        };
        entry.sealed = Some(sealed.clone());
        CommandResult::Sealed(sealed)
    }

    fn frame_meta(&self, entry: &Entry) -> audit::EntryMeta {
        audit::EntryMeta {
            term: entry.meta.term,
            log_index: entry.meta.log_index,
            config_epoch: self.meta.epoch,
            node: entry.meta.node,
            wall_us: entry.t,
        }
    }
}

/// A policy as records name it, with the texts that the reference borrows.
pub(crate) struct PolicyName {
    name: alloc::string::String,
    revision: u64,
    digest: alloc::string::String,
}

impl PolicyName {
    pub(crate) fn of(policy: &Policy) -> Self {
        let PolicyDigest(digest) = policy.digest;
        Self {
            name: policy.name.clone(),
            revision: policy.revision,
            digest: audit::hex(&digest),
        }
    }

    pub(crate) fn as_ref(&self) -> audit::record::PolicyRef<'_> {
        audit::record::PolicyRef {
            name: &self.name,
            revision: self.revision,
            digest: &self.digest,
        }
    }
}

fn point_at_frames(result: &mut CommandResult, frames: &[Frame]) {
    match result {
        CommandResult::Admitted(calls) => {
            for call in calls {
                call.frame = frame_of(call.index, frames);
            }
        }
        CommandResult::Denied(elements) => {
            for element in elements {
                match element {
                    ElementResult::Denied(denial) => denial.frame = frame_of(denial.index, frames),
                    ElementResult::NotRun(_) => {}
                }
            }
        }
        CommandResult::Conflict { .. }
        | CommandResult::Full(_)
        | CommandResult::InUse { .. }
        | CommandResult::JoinRefused(_)
        | CommandResult::Joined { .. }
        | CommandResult::LabelTaken { .. }
        | CommandResult::NameTaken { .. }
        | CommandResult::NotFound
        | CommandResult::NotOpen
        | CommandResult::NotSpoken { .. }
        | CommandResult::NothingToSeal
        | CommandResult::Put { .. }
        | CommandResult::Recorded { .. }
        | CommandResult::Rejected(_)
        | CommandResult::Sealed(_)
        | CommandResult::Settled { .. }
        | CommandResult::StartRefused { .. }
        | CommandResult::Stale
        | CommandResult::Unauthorised(_) => {}
    }
}

fn frame_of(index: u64, frames: &[Frame]) -> [u8; 32] {
    let after = frames.partition_point(|frame| frame.first_index <= index);
    let at = after
        .checked_sub(1)
        .expect("the entry's first frame begins at or before its records");
    frames
        .get(at)
        .expect("one of the entry's frames holds its record")
        .hash
}
