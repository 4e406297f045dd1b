//! The verifier: takes a log's bytes piece by piece, in order, and says what is wrong with them.
//! Knows no file; `dir` feeds it. Its memory does not grow with the log but for what `calls` says.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::calls::Calls;
use crate::check::Check;
use crate::frame::{FrameError, FrameView, HASH_BYTES, Header, next_frame};
use crate::head;
use crate::hex;
use crate::note::{Checkpoint, Note};
use crate::read::{GenesisView, Kind, SealView, View};
use crate::report::{Covered, Finding, Report, Verdict};
use crate::tree::{self, Tree};
use crate::trust::Trust;

/// How much is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Chain and counts only; nothing ties the records to a signature.
    Chain,
    /// Everything.
    #[default]
    Full,
}

/// A signed checkpoint as a file, not opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteFile {
    /// Its name, for the report.
    pub file: String,
    /// The size in its name; `None` where the name says none.
    pub size: Option<u64>,
    /// The note.
    pub bytes: Vec<u8>,
}

/// Who holds a checkpoint, and so what a contradiction means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The auditor: a contradiction is `diverged`.
    Auditor,
    /// The directory: a contradiction is `tampered`.
    Directory,
}

/// A checkpoint whose signature was verified.
#[derive(Clone, Debug)]
pub struct Opened {
    file: String,
    checkpoint: Checkpoint,
    quorate: bool,
    holder: Holder,
}

impl Opened {
    /// Its size, if the directory holds it.
    #[must_use]
    pub fn size_in_directory(&self) -> Option<u64> {
        (self.holder == Holder::Directory).then_some(self.checkpoint.size)
    }
}

impl NoteFile {
    /// Verifies the signatures.
    pub fn open(&self, trust: &Trust, holder: Holder) -> Result<Opened, Stop> {
        let failed = |check| match holder {
            // What the auditor brings along proves nothing against the log when it is not signed.
            Holder::Auditor => Stop::at_file(Verdict::Unreadable, &self.file, check),
            Holder::Directory => Stop::at_file(Verdict::Tampered, &self.file, check),
        };
        let note = Note::parse(&self.bytes).map_err(|error| failed(Check::Note(error)))?;
        let checkpoint = trust
            .open(&note)
            .map_err(|error| failed(Check::Note(error)))?;
        let quorate = trust
            .is_quorate(&note)
            .map_err(|error| failed(Check::Note(error)))?;
        if self.size.is_some_and(|size| size != checkpoint.size) {
            return Err(failed(Check::CheckpointName {
                size: checkpoint.size,
            }));
        }
        Ok(Opened {
            file: self.file.clone(),
            checkpoint,
            quorate,
            holder,
        })
    }
}

/// The end of a verification that cannot go on.
#[derive(Clone, Debug)]
pub struct Stop(pub(crate) Box<(Verdict, Finding)>);

impl Stop {
    /// A finding about a file as a whole.
    #[must_use]
    pub fn at_file(verdict: Verdict, file: &str, check: Check) -> Self {
        let file = file.to_owned();
        let finding = Finding {
            file,
            frame: None,
            record: None,
            check,
            detail: None,
        };
        Self(Box::new((verdict, finding)))
    }
}

/// Verifies one log. Segments go in by [`Verifier::begin_segment`], [`Verifier::feed`] and
/// [`Verifier::end_segment`], in order; [`Verifier::finish`] gives the report. After a [`Stop`],
/// [`Verifier::stopped`] does.
#[derive(Clone, Debug)]
pub struct Verifier<'t, N> {
    trust: &'t Trust,
    depth: Depth,
    /// Checkpoints of the directory, by size, opened one at a time.
    notes: N,
    next_note: Option<Opened>,
    /// Size of the last one that was opened.
    note_size: u64,
    /// Checkpoints that are held from the beginning: few.
    held: Vec<Opened>,
    /// Size at which the next checkpoint is due.
    watch: u64,
    /// What is torn above this size may be what a crash left behind.
    signed_to: u64,
    origin: Option<String>,
    file: String,
    last: Option<Header>,
    chain: [u8; 32],
    tree: Tree,
    previous: Option<[u8; 32]>,
    calls: Calls,
    /// Verifier key of the log as records name it.
    log_key: String,
    /// Term and node of the newest record that says who leads.
    lead: Option<(u64, u32)>,
    last_is_seal: bool,
    torn: bool,
    report: Report,
}

impl<'t, N: Iterator<Item = Result<NoteFile, Stop>>> Verifier<'t, N> {
    /// Begins. `held`: checkpoints from elsewhere than `notes`. `notes`: the directory's, in order
    /// of size. `signed_to`: the largest size of any of the directory's.
    pub fn new(
        trust: &'t Trust,
        depth: Depth,
        held: Vec<Opened>,
        notes: N,
        signed_to: u64,
    ) -> Result<Self, Stop> {
        let mut verifier = Self {
            trust,
            depth,
            notes,
            next_note: None,
            note_size: 0,
            held,
            watch: 0,
            signed_to,
            origin: None,
            file: String::new(),
            last: None,
            chain: [0; 32],
            tree: Tree::new(),
            previous: None,
            calls: Calls::default(),
            log_key: String::new(),
            lead: None,
            last_is_seal: false,
            torn: false,
            report: Report::empty(depth),
        };
        verifier.load_note()?;
        verifier.agree_on_origin()?;
        verifier.watch = verifier.watch_after(0);
        Ok(verifier)
    }

    /// All checkpoints are of one log, the directory's; else the auditor's.
    fn agree_on_origin(&mut self) -> Result<(), Stop> {
        let first = self.held.iter().max_by_key(|held| held.holder);
        let first = first.map(|held| held.checkpoint.origin.clone());
        if self.origin.is_none() {
            self.origin = first;
        }
        for held in &self.held {
            if self.origin.as_ref() != Some(&held.checkpoint.origin) {
                let verdict = match held.holder {
                    Holder::Auditor => Verdict::Unreadable,
                    Holder::Directory => Verdict::Tampered,
                };
                return Err(Stop::at_file(verdict, &held.file, Check::Origin));
            }
        }
        Ok(())
    }

    /// The next segment. `file` is its name for the report, `first_index` what that name says.
    pub fn begin_segment(&mut self, file: &str, first_index: u64) -> Result<(), Stop> {
        self.file = file.to_owned();
        self.report.segments += 1;
        if first_index != self.report.records {
            return Err(self.tampered(Check::SegmentName));
        }
        Ok(())
    }

    /// Checks the whole frames at the beginning of `bytes` and says how many bytes they are. The
    /// rest comes again, with more behind it, or goes to [`Verifier::end_segment`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let mut rest = bytes;
        while !self.torn {
            match next_frame(rest) {
                Ok(Some(frame)) => {
                    self.frame(&frame)?;
                    rest = rest.get(frame.bytes.len()..).unwrap_or(&[]);
                }
                Ok(None) => return Ok(bytes.len() - rest.len()),
                Err(error) => {
                    let Some(at) = self.torn_from(error, rest) else {
                        return Err(self.tampered(Check::Frame(error)));
                    };
                    self.torn = true;
                    self.report.torn_bytes += count(at);
                    rest = rest.get(at..).unwrap_or(&[]);
                }
            }
        }
        if rest.iter().any(|byte| *byte != 0) {
            return Err(self.tampered(Check::Frame(FrameError::Magic)));
        }
        self.report.torn_bytes += count(rest.len());
        Ok(bytes.len())
    }

    /// The segment is over; `rest` is what [`Verifier::feed`] left. `is_last`: no other follows.
    pub fn end_segment(&mut self, rest: &[u8], is_last: bool) -> Result<(), Stop> {
        if rest.is_empty() && !self.torn {
            return Ok(());
        }
        if !is_last || !self.may_be_torn() {
            return Err(self.tampered(Check::Torn));
        }
        self.report.torn_bytes += count(rest.len());
        Ok(())
    }

    /// No segment follows.
    pub fn finish(mut self) -> Report {
        match self.conclude() {
            Ok(()) => {
                let open = self
                    .calls
                    .open()
                    .map(|(call, open)| (call.clone(), open.index));
                self.report.settle(open);
                self.report.rely_on(self.trust, self.origin.as_deref());
                self.report
            }
            Err(stop) => self.stopped(stop),
        }
    }

    /// The report of a verification that stopped.
    #[must_use]
    pub fn stopped(mut self, stop: Stop) -> Report {
        self.report.rely_on(self.trust, self.origin.as_deref());
        self.report.stop(stop);
        self.report
    }

    fn conclude(&mut self) -> Result<(), Stop> {
        let size = self.report.records;
        // The directory first: a log that contradicts itself is tampered with, whatever the auditor
        // holds.
        let above = self.held.iter().chain(&self.next_note);
        let above = above.filter(|held| held.checkpoint.size > size);
        if let Some(held) = above.max_by_key(|held| held.holder) {
            let stop = self.tampered(Check::Short {
                size: held.checkpoint.size,
            });
            return Err(match held.holder {
                Holder::Auditor => stop.with(Verdict::Diverged),
                Holder::Directory => stop,
            });
        }
        if let Some((record, _)) = self.report.unsupported {
            let mut stop = self.tampered(Check::Unsupported).with(Verdict::Unreadable);
            stop.0.1.record = Some(record);
            return Err(stop);
        }
        match self.report.covered {
            Covered::Nothing => Err(self.incomplete(Check::NoCheckpoint)),
            Covered::NoQuorum => Err(self.incomplete(Check::NoQuorum)),
            Covered::To { .. } => Ok(()),
        }
    }

    fn incomplete(&self, check: Check) -> Stop {
        Stop::at_file(Verdict::Incomplete, &self.file, check)
    }

    fn frame(&mut self, frame: &FrameView<'_>) -> Result<(), Stop> {
        self.header(&frame.header)
            .map_err(|check| self.tampered(check))?;
        match self.depth {
            Depth::Chain => {
                self.report.records += u64::from(frame.header.count);
                self.checkpoints_of_chain()?;
            }
            Depth::Full => {
                for record in frame.records() {
                    self.record(&frame.header, record)?;
                }
            }
        }
        self.chain = frame.hash;
        self.last = Some(frame.header);
        self.report.frames += 1;
        self.report.bytes += count(frame.bytes.len());
        Ok(())
    }

    fn header(&mut self, header: &Header) -> Result<(), Check> {
        if header.frame_no != self.report.frames {
            return Err(Check::FrameNumber);
        }
        if header.first_index != self.report.records {
            return Err(Check::FirstIndex);
        }
        if header.prev_frame_hash != self.chain {
            return Err(Check::Chain);
        }
        let Some(last) = self.last else {
            self.report.begin_at(header);
            return Ok(());
        };
        if header.log_id != last.log_id {
            return Err(Check::LogId);
        }
        if header.wall_us < last.wall_us {
            return Err(Check::Wall);
        }
        if header.term < last.term {
            return Err(Check::Term);
        }
        if header.log_index < last.log_index {
            return Err(Check::LogIndex);
        }
        if !matches!(
            header.config_epoch.checked_sub(last.config_epoch),
            Some(0 | 1)
        ) {
            return Err(Check::ConfigEpoch);
        }
        self.report.last_us = header.wall_us;
        Ok(())
    }

    fn record(&mut self, header: &Header, record: &[u8]) -> Result<(), Stop> {
        let index = self.report.records;
        self.tree.push(tree::leaf_hash(record));
        match View::parse(record) {
            Ok(view) => {
                let checked = self.view(header, record, &view);
                checked.map_err(|check| self.at_record(index, check))?;
                self.report.kinds.add(view.kind);
                self.last_is_seal = view.kind == Kind::Seal;
            }
            // Read on: if the tree is not the one that was signed, it is no newer program's work.
            Err(error) if error.is_unsupported() && index > 0 => {
                self.report.unsupported.get_or_insert((index, error));
                self.last_is_seal = false;
            }
            Err(error) => return Err(self.at_record(index, Check::Record(error))),
        }
        self.report.records += 1;
        self.checkpoints()
            .map_err(|stop| self.in_frame(index, stop))
    }

    fn view(&mut self, header: &Header, record: &[u8], view: &View<'_>) -> Result<(), Check> {
        if view.t != header.wall_us {
            return Err(Check::RecordTime);
        }
        if view.node != header.node {
            return Err(Check::RecordNode);
        }
        let is_first = self.report.records == 0;
        match view.genesis {
            Some(genesis) if is_first => self.genesis(header, record, &genesis)?,
            None if !is_first => {}
            Some(_) | None => return Err(Check::Genesis),
        }
        self.epoch(header, view)?;
        if let Some(term) = view.term {
            let lead = Some((term, view.node));
            if term != header.term || self.lead >= lead {
                return Err(Check::RecordTerm);
            }
            self.lead = lead;
        }
        if let Some(key) = &view.key {
            // What a newer program's records did with it nobody here can say.
            if self.report.unsupported.is_none() && key.former.decode() != self.log_key {
                return Err(Check::KeyFormer);
            }
            self.log_key = key.log_key.decode().into_owned();
        }
        if let Some(seal) = &view.seal {
            self.seal(header, seal)?;
        }
        if view.kind == Kind::Clock {
            self.report.clock_records += 1;
        }
        if self.report.unsupported.is_none() {
            self.calls.record(self.report.records, view)?;
        }
        Ok(())
    }

    /// Where the epoch goes on, the first record says why; such a record stands nowhere else.
    fn epoch(&self, header: &Header, view: &View<'_>) -> Result<(), Check> {
        let last = self.last.as_ref();
        let goes_on = last.is_some_and(|last| last.config_epoch != header.config_epoch);
        let is_first = self.report.records == header.first_index;
        let begun = (goes_on && is_first).then_some(header.config_epoch);
        if view.epoch == begun {
            Ok(())
        } else {
            Err(Check::RecordEpoch)
        }
    }

    fn genesis(
        &mut self,
        header: &Header,
        record: &[u8],
        genesis: &GenesisView<'_>,
    ) -> Result<(), Check> {
        let origin = genesis.origin.decode();
        let named = self.trust.logs().iter().any(|log| log.name() == origin);
        let expected = self
            .origin
            .as_ref()
            .is_none_or(|expected| *expected == origin);
        if !named || !expected {
            return Err(Check::Origin);
        }
        if head::log_id(&origin, record) != header.log_id {
            return Err(Check::LogId);
        }
        self.report.continues = genesis.prior.map(|prior| prior.decode().into_owned());
        self.report.origin = Some(origin.to_string());
        self.log_key = genesis.log_key.decode().into_owned();
        self.origin = Some(origin.into_owned());
        Ok(())
    }

    fn seal(&mut self, header: &Header, seal: &SealView<'_>) -> Result<(), Check> {
        if header.count != 1 {
            return Err(Check::SealAlone);
        }
        let agrees = seal.chain.raw() == hex(&header.prev_frame_hash)
            && seal.index == header.first_index
            && seal.frame == header.frame_no
            && seal.term == header.term
            && seal.log_index == header.log_index
            && seal.config_epoch == header.config_epoch;
        if !agrees {
            return Err(Check::SealHeader);
        }
        if seal.previous.map(|text| text.raw().to_owned()) != self.previous.map(|hash| hex(&hash)) {
            return Err(Check::SealPrevious);
        }
        // The tree holds the seal already: this is the checkpoint that it ends.
        let origin = self.origin.clone().unwrap_or_default();
        let (size, root) = (self.tree.size(), self.tree.root());
        let body = Checkpoint { origin, size, root }.body();
        self.previous = Some(Sha256::digest(body).into());
        Ok(())
    }

    /// Compares with every checkpoint of the size that was reached.
    fn checkpoints(&mut self) -> Result<(), Stop> {
        let size = self.report.records;
        if size != self.watch {
            return Ok(());
        }
        let root = self.tree.root();
        for held in self.due(size)? {
            if held.checkpoint.root != root {
                let verdict = match held.holder {
                    Holder::Auditor => Verdict::Diverged,
                    Holder::Directory => Verdict::Tampered,
                };
                return Err(Stop::at_file(verdict, &held.file, Check::Root { size }));
            }
            if !self.last_is_seal {
                return Err(Stop::at_file(
                    Verdict::Tampered,
                    &held.file,
                    Check::CheckpointSeal,
                ));
            }
            self.report.cover(&held.checkpoint, held.quorate);
        }
        self.watch = self.watch_after(size);
        Ok(())
    }

    /// Passes over the checkpoints that the chain alone has reached. Their signatures were
    /// verified; that the records are what was signed was not.
    fn checkpoints_of_chain(&mut self) -> Result<(), Stop> {
        while self.watch <= self.report.records {
            let size = self.watch;
            for held in self.due(size)? {
                self.report.cover(&held.checkpoint, held.quorate);
            }
            self.watch = self.watch_after(size);
        }
        Ok(())
    }

    /// The checkpoints of this size. The auditor's first: where both sides are signed, it is the
    /// log that has two faces.
    fn due(&mut self, size: u64) -> Result<Vec<Opened>, Stop> {
        let of_size = |held: &&Opened| held.checkpoint.size == size;
        let mut due: Vec<Opened> = self.held.iter().filter(of_size).cloned().collect();
        due.sort_by_key(|held| held.holder);
        if self
            .next_note
            .as_ref()
            .is_some_and(|note| note.checkpoint.size == size)
        {
            due.extend(self.next_note.take());
            self.load_note()?;
        }
        Ok(due)
    }

    fn load_note(&mut self) -> Result<(), Stop> {
        let Some(file) = self.notes.next().transpose()? else {
            return Ok(());
        };
        let opened = file.open(self.trust, Holder::Directory)?;
        let size = opened.checkpoint.size;
        if size <= self.note_size {
            let check = Check::CheckpointName { size };
            return Err(Stop::at_file(Verdict::Tampered, &file.file, check));
        }
        self.note_size = size;
        let origin = &opened.checkpoint.origin;
        if self.origin.get_or_insert_with(|| origin.clone()) != origin {
            return Err(Stop::at_file(Verdict::Tampered, &file.file, Check::Origin));
        }
        self.report.notes += 1;
        self.next_note = Some(opened);
        Ok(())
    }

    fn watch_after(&self, size: u64) -> u64 {
        let all = self
            .held
            .iter()
            .chain(&self.next_note)
            .map(|held| held.checkpoint.size);
        all.filter(|watched| *watched > size)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// A crash of the machine can leave a file longer than what was written to it. Where what is
    /// missing begins: at a frame's edge, or within a frame whose hash is missing with the rest.
    fn torn_from(&self, error: FrameError, rest: &[u8]) -> Option<usize> {
        if !self.may_be_torn() {
            return None;
        }
        let at = match error {
            FrameError::Magic => 0,
            FrameError::HashDiffers => Header::parse(rest).ok()??.hashed_len(),
            FrameError::BodyTooLong { .. }
            | FrameError::RecordLength { .. }
            | FrameError::Reserved
            | FrameError::Version { .. } => return None,
        };
        let mut missing = rest.get(at..)?.iter().take(HASH_BYTES);
        missing.all(|byte| *byte == 0).then_some(at)
    }

    const fn may_be_torn(&self) -> bool {
        self.report.records >= self.signed_to
    }

    fn tampered(&self, check: Check) -> Stop {
        let finding = Finding {
            file: self.file.clone(),
            frame: Some(self.report.frames),
            record: Some(self.report.records),
            check,
            detail: None,
        };
        Stop(Box::new((Verdict::Tampered, finding)))
    }

    fn at_record(&self, index: u64, check: Check) -> Stop {
        self.in_frame(index, self.tampered(check))
    }

    fn in_frame(&self, index: u64, mut stop: Stop) -> Stop {
        stop.0.1.frame = Some(self.report.frames);
        stop.0.1.record = Some(index);
        stop
    }
}

impl Stop {
    /// With the words of the operating system.
    #[must_use]
    pub fn because(mut self, detail: String) -> Self {
        self.0.1.detail = Some(detail);
        self
    }

    fn with(mut self, verdict: Verdict) -> Self {
        self.0.0 = verdict;
        self
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
