//! The twin: the same promises as the real engine and not one more. What was not synced is gone
//! after [`Disk::crash`], a torn tail stays where one can, and any write can be the last.
//!
//! Deterministic: no thread, no clock, no randomness but the seed.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::engine::{
    Applied, Engine, HeadPlace, HeldSegment, MetaKey, Missing, SegmentFrame, SegmentTail,
    StateWrite, Wrote,
};
use crate::error::{EngineError, TakeError};
use crate::incoming::{Incoming, Part};
use crate::parts::{PartFiles, Parts};
use crate::segments::{Files, Segments};

/// How a machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies; files stay as they were written.
    Process,
    /// The power goes. Of what was not synced a part survives that the seed picks: some of the
    /// log's last writes, some bytes of the newest segment, perhaps not the ones written.
    Power {
        /// Picks what survives.
        seed: u64,
    },
}

/// What outlives a [`Memory`]: a simulated disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    platter: Arc<Mutex<Platter>>,
}

#[derive(Debug, Default)]
struct Platter {
    /// Writes and syncs since the beginning.
    steps: u64,
    /// The step that finds no power.
    fail_at: Option<u64>,
    dead: bool,
    /// Which start of the machine this is; engines of earlier ones are dead.
    boot: u64,
    /// Writes find no room.
    full: bool,
    /// The next sync fails.
    sync_fails: bool,
    syncs: Syncs,
    /// Log and meta as a reader sees them.
    live: Log,
    /// As they are on disk, before `wal`.
    flushed: Log,
    wal: Vec<LogWrite>,
    /// How many of `wal` are synced.
    synced: usize,
    state: State,
    state_flushed: State,
    files: BTreeMap<u64, File>,
    /// What stands beside the segments.
    asides: BTreeMap<Aside, File>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Aside {
    /// On its way in.
    Part(Part),
    /// A head's beginning that waits.
    Staged,
}

/// How long syncs take.
#[derive(Debug, Default)]
struct Syncs {
    /// At most, usually.
    usual_us: u64,
    /// The next one alone, beside that.
    stall_us: u64,
    picks: Picks,
}

/// What a step does to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Sync,
    Write,
}

#[derive(Clone, Debug, Default)]
struct Log {
    entries: BTreeMap<u64, Bytes>,
    meta: BTreeMap<MetaKey, Vec<u8>>,
}

#[derive(Clone, Debug)]
enum LogWrite {
    Append { first: u64, entries: Vec<Bytes> },
    Meta { key: MetaKey, value: Vec<u8> },
    Purge { upto: u64, purged: Vec<u8> },
    Truncate { from: u64 },
}

#[derive(Clone, Debug, Default)]
struct State {
    applied: Option<Applied>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
}

impl Log {
    fn write(&mut self, write: &LogWrite) {
        match write {
            LogWrite::Append { first, entries } => {
                self.entries.extend((*first..).zip(entries.iter().cloned()));
            }
            LogWrite::Meta { key, value } => {
                self.meta.insert(*key, value.clone());
            }
            LogWrite::Purge { upto, purged } => {
                self.entries = self.entries.split_off(&upto.saturating_add(1));
                self.meta.insert(MetaKey::Purged, purged.clone());
            }
            LogWrite::Truncate { from } => {
                self.entries.split_off(from);
            }
        }
    }

    fn last(&self) -> Option<u64> {
        self.entries.last_key_value().map(|(&index, _)| index)
    }
}

impl Platter {
    /// One write or sync. With no power left it does nothing, and nothing after it does.
    fn step(&mut self, boot: u64, step: Step) -> Result<(), EngineError> {
        self.power(boot)?;
        self.steps += 1;
        if self.fail_at.is_some_and(|step| self.steps >= step) {
            self.dead = true;
        }
        self.power(boot)?;
        match step {
            Step::Sync if std::mem::take(&mut self.sync_fails) => {
                Err(failed("sync", io::ErrorKind::Other))
            }
            Step::Write if self.full => Err(failed("write", io::ErrorKind::StorageFull)),
            Step::Sync | Step::Write => Ok(()),
        }
    }

    fn power(&self, boot: u64) -> Result<(), EngineError> {
        if self.dead || self.boot != boot {
            Err(EngineError::PowerLost)
        } else {
            Ok(())
        }
    }

    fn write(&mut self, write: LogWrite) {
        self.live.write(&write);
        self.wal.push(write);
    }

    /// All that was written to the log so far is on disk.
    fn settle_log(&mut self) {
        self.flushed = self.live.clone();
        self.wal.clear();
        self.synced = 0;
    }

    fn crash(&mut self, crash: Crash) {
        let mut picks = match crash {
            Crash::Process => None,
            Crash::Power { seed } => Some(Picks(seed)),
        };
        let unsynced = self.wal.len() - self.synced;
        let kept = self.synced + picks.as_mut().map_or(0, |picks| picks.below(unsynced + 1));
        for write in self.wal.drain(..).take(kept) {
            self.flushed.write(&write);
        }
        self.live = self.flushed.clone();
        self.synced = 0;
        self.state = self.state_flushed.clone();
        for file in self.files.values_mut().chain(self.asides.values_mut()) {
            if let Some(picks) = picks.as_mut() {
                file.lose(picks);
            }
        }
        self.boot += 1;
        self.dead = false;
        self.fail_at = None;
        self.sync_fails = false;
        self.syncs.stall_us = 0;
    }
}

impl File {
    fn read_at(&self, offset: u64, length: usize) -> Vec<u8> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(offset..).unwrap_or_default();
        rest.get(..length).unwrap_or(rest).to_vec()
    }

    fn lose(&mut self, picks: &mut Picks) {
        let unsynced = self.bytes.len() - self.synced;
        let kept = picks.below(unsynced + 1);
        self.bytes.truncate(self.synced + kept);
        // The length may reach the disk before the bytes do.
        if kept > 0 && picks.below(2) == 0 {
            let zeros = picks.below(kept + 1);
            let from = self.bytes.len() - zeros;
            self.bytes.iter_mut().skip(from).for_each(|byte| *byte = 0);
        }
        // Or arrive as others.
        if kept > 0
            && picks.below(4) == 0
            && let Some(byte) = self.bytes.get_mut(self.synced + picks.below(kept))
        {
            *byte ^= 1 << picks.below(8);
        }
        self.synced = self.bytes.len();
    }
}

/// A small generator: what a seed survives must be the same on every run.
#[derive(Debug, Default)]
struct Picks(u64);

impl Picks {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(mixed % bound).unwrap_or(0)
    }
}

impl Disk {
    /// A new, empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The power goes at the `step`-th write or sync from now on, which is not done.
    pub fn fail_at(&self, step: u64) {
        let mut platter = self.lock();
        platter.fail_at = Some(platter.steps.saturating_add(step));
    }

    /// The process ends here: nothing that it still does reaches the disk.
    pub fn stop(&self) {
        self.lock().dead = true;
    }

    /// Writes find no room, or find it again. Outlives a crash.
    pub fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    /// Whether writes find no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lock().full
    }

    /// The next sync fails, and what it was to make durable is not.
    pub fn fail_sync(&self) {
        self.lock().sync_fails = true;
    }

    /// Syncs take up to `usual_us` from here on, of which the seed picks.
    pub fn slow_down(&self, usual_us: u64, seed: u64) {
        let mut platter = self.lock();
        platter.syncs.usual_us = usual_us;
        platter.syncs.picks = Picks(seed);
    }

    /// The next sync takes so much longer.
    pub fn stall(&self, us: u64) {
        self.lock().syncs.stall_us = us;
    }

    /// Ends all faults that are still to strike, but not a power loss that has struck.
    pub fn mend(&self) {
        let mut platter = self.lock();
        platter.full = false;
        platter.sync_fails = false;
        platter.fail_at = None;
        platter.syncs.stall_us = 0;
    }

    /// How many writes and syncs there were so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Whether a write found no power.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Stops the machine and turns it on again: engines on this disk are dead from now on, and a
    /// new one finds what survived.
    pub fn crash(&self, crash: Crash) {
        self.lock().crash(crash);
    }

    /// The segments as they are now, by the index of their first record.
    #[must_use]
    pub fn segments(&self) -> BTreeMap<u64, Vec<u8>> {
        self.lock()
            .files
            .iter()
            .map(|(&name, file)| (name, file.bytes.clone()))
            .collect()
    }

    /// Turns one durable bit of log or book, if there is any. The machine must be off.
    pub fn rot(&self, seed: u64) {
        let mut picks = Picks(seed);
        let platter = &mut *self.lock();
        let logged = picks.below(2) == 0;
        let at = picks.below(platter.flushed.entries.len());
        if logged && let Some(entry) = platter.flushed.entries.values_mut().nth(at) {
            let mut bytes = entry.to_vec();
            turn(&mut bytes, &mut picks);
            *entry = bytes.into();
            platter.live = platter.flushed.clone();
            return;
        }
        let at = picks.below(platter.files.len());
        if let Some(file) = platter.files.values_mut().nth(at) {
            turn(&mut file.bytes, &mut picks);
        }
    }

    /// Index of the last log entry that the power may go after.
    #[must_use]
    pub fn durable_log(&self) -> Option<u64> {
        let platter = self.lock();
        let mut log = platter.flushed.clone();
        platter
            .wal
            .iter()
            .take(platter.synced)
            .for_each(|write| log.write(write));
        log.last()
    }

    /// What the power may go after of each segment.
    #[must_use]
    pub fn durable_segments(&self) -> BTreeMap<u64, Vec<u8>> {
        let platter = self.lock();
        let synced = |file: &File| file.bytes.iter().take(file.synced).copied().collect();
        platter
            .files
            .iter()
            .map(|(&name, file)| (name, synced(file)))
            .collect()
    }

    /// Changes the segments behind the engine's back, and durably.
    pub fn edit_segments(&self, edit: impl FnOnce(&mut BTreeMap<u64, Vec<u8>>)) {
        let mut segments = self.segments();
        edit(&mut segments);
        let file = |(name, bytes): (u64, Vec<u8>)| {
            let synced = bytes.len();
            (name, File { bytes, synced })
        };
        self.lock().files = segments.into_iter().map(file).collect();
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The twin of the real engine, on a [`Disk`].
#[derive(Debug)]
pub struct Memory {
    disk: Disk,
    boot: u64,
    segments: Mutex<Segments<DiskFiles>>,
    parts: Mutex<Parts<DiskFiles>>,
}

impl Memory {
    /// Opens what the disk holds.
    pub fn open(disk: &Disk) -> Result<Self, EngineError> {
        let mut platter = disk.lock();
        let boot = platter.boot;
        platter.asides.retain(|&aside, _| aside == Aside::Staged);
        drop(platter);
        let files = || DiskFiles {
            disk: disk.clone(),
            boot,
        };
        Ok(Self {
            disk: disk.clone(),
            boot,
            segments: Mutex::new(Segments::open(files())?),
            parts: Mutex::new(Parts::new(files())),
        })
    }

    fn read(&self) -> Result<MutexGuard<'_, Platter>, EngineError> {
        let platter = self.disk.lock();
        platter.power(self.boot)?;
        Ok(platter)
    }

    fn step(&self, step: Step) -> Result<MutexGuard<'_, Platter>, EngineError> {
        let mut platter = self.disk.lock();
        platter.step(self.boot, step)?;
        Ok(platter)
    }

    fn book(&self) -> MutexGuard<'_, Segments<DiskFiles>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> MutexGuard<'_, Parts<DiskFiles>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn append_log(&self, first: u64, entries: &[Bytes]) -> Result<(), EngineError> {
        let mut platter = self.step(Step::Write)?;
        if let Some(last) = platter.live.last()
            && first != last + 1
        {
            return Err(EngineError::LogGap { last, found: first });
        }
        platter.write(LogWrite::Append {
            first,
            entries: entries.to_vec(),
        });
        Ok(())
    }

    fn read_log(
        &self,
        range: Range<u64>,
        bytes_limit: usize,
    ) -> Result<Vec<(u64, Bytes)>, EngineError> {
        let platter = self.read()?;
        let mut found = Vec::new();
        let mut bytes = 0;
        if range.start < range.end {
            for (&index, entry) in platter.live.entries.range(range) {
                if bytes >= bytes_limit && !found.is_empty() {
                    break;
                }
                bytes += entry.len();
                found.push((index, entry.clone()));
            }
        }
        Ok(found)
    }

    fn log_range(&self) -> Option<(u64, u64)> {
        let platter = self.disk.lock();
        let (&first, _) = platter.live.entries.first_key_value()?;
        Some((first, platter.live.last()?))
    }

    fn truncate_log(&self, from: u64) -> Result<(), EngineError> {
        self.step(Step::Write)?.write(LogWrite::Truncate { from });
        Ok(())
    }

    fn purge_log(&self, upto: u64, purged: &[u8]) -> Result<(), EngineError> {
        self.step(Step::Write)?.write(LogWrite::Purge {
            upto,
            purged: purged.to_vec(),
        });
        Ok(())
    }

    fn put_meta(&self, key: MetaKey, value: &[u8]) -> Result<(), EngineError> {
        self.step(Step::Write)?.write(LogWrite::Meta {
            key,
            value: value.to_vec(),
        });
        Ok(())
    }

    fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.read()?.live.meta.get(&key).cloned())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut platter = self.step(Step::Sync)?;
        platter.synced = platter.wal.len();
        Ok(())
    }

    fn sync_takes(&self) -> Duration {
        let syncs = &mut self.disk.lock().syncs;
        let usual = usize::try_from(syncs.usual_us).unwrap_or(usize::MAX);
        let usual = syncs.picks.below(usual.saturating_add(1)) as u64;
        Duration::from_micros(usual + std::mem::take(&mut syncs.stall_us))
    }

    fn apply(&self, index: u64, mark: &[u8], writes: &[StateWrite]) -> Result<(), EngineError> {
        let mut platter = self.step(Step::Write)?;
        for (key, value) in writes {
            match value {
                Some(value) => platter.state.rows.insert(key.clone(), value.clone()),
                None => platter.state.rows.remove(key),
            };
        }
        platter.state.applied = Some(Applied {
            index,
            mark: mark.to_vec(),
        });
        Ok(())
    }

    fn replace_state(
        &self,
        index: u64,
        mark: &[u8],
        rows: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), EngineError> {
        let mut platter = self.step(Step::Write)?;
        platter.state.rows = rows.iter().cloned().collect();
        platter.state.applied = Some(Applied {
            index,
            mark: mark.to_vec(),
        });
        platter.state_flushed = platter.state.clone();
        Ok(())
    }

    fn applied(&self) -> Result<Option<Applied>, EngineError> {
        Ok(self.read()?.state.applied.clone())
    }

    fn each_row(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), EngineError> {
        let rows = self.read()?.state.rows.clone();
        rows.iter().for_each(|(key, value)| show(key, value));
        Ok(())
    }

    fn flush(&self) -> Result<Option<u64>, EngineError> {
        self.book().sync()?;
        let mut platter = self.step(Step::Write)?;
        // One table file of each family, log included, becomes durable at once.
        platter.state_flushed = platter.state.clone();
        platter.settle_log();
        Ok(platter.state.applied.as_ref().map(|applied| applied.index))
    }

    fn append_frame(&self, frame: SegmentFrame<'_>) -> Result<Wrote, EngineError> {
        drop(self.read()?);
        self.book().append(frame)
    }

    fn sync_segments(&self) -> Result<(), EngineError> {
        drop(self.read()?);
        self.book().sync()
    }

    fn segment_tail(&self) -> Option<SegmentTail> {
        self.book().tail()
    }

    fn read_segment(
        &self,
        segment: u64,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, EngineError> {
        self.book().read(segment, offset, length)
    }

    fn segments(&self) -> Vec<HeldSegment> {
        self.book().segments()
    }

    fn missing(&self) -> Vec<Missing> {
        self.book().missing()
    }

    fn take_in(&self, incoming: &mut Incoming, bytes: &[u8]) -> Result<(), TakeError> {
        self.incoming().take(&self.segments, incoming, bytes)
    }

    fn put_in(&self, incoming: Incoming) -> Result<(), TakeError> {
        self.incoming().put(&self.segments, &incoming)
    }

    fn staged_head(&self) -> Result<Option<HeadPlace>, EngineError> {
        self.book().staged()
    }

    fn adopt_head(&self) -> Result<(), EngineError> {
        self.book().adopt()
    }

    fn discard_head(&self) -> Result<(), EngineError> {
        self.book().discard()
    }
}

#[derive(Debug)]
struct DiskFiles {
    disk: Disk,
    boot: u64,
}

impl DiskFiles {
    fn change(
        &self,
        segment: u64,
        step: Step,
        change: impl FnOnce(&mut File),
    ) -> Result<(), EngineError> {
        let mut platter = self.disk.lock();
        platter.step(self.boot, step)?;
        change(platter.files.entry(segment).or_default());
        Ok(())
    }
}

impl Files for DiskFiles {
    fn list(&self) -> Result<BTreeMap<u64, u64>, EngineError> {
        let platter = self.disk.lock();
        Ok(platter
            .files
            .iter()
            .map(|(&name, file)| (name, file.bytes.len() as u64))
            .collect())
    }

    fn read_at(&self, segment: u64, offset: u64, length: usize) -> Result<Vec<u8>, EngineError> {
        let platter = self.disk.lock();
        platter.power(self.boot)?;
        Ok(platter
            .files
            .get(&segment)
            .map_or_else(Vec::new, |file| file.read_at(offset, length)))
    }

    fn create(&mut self, segment: u64) -> Result<(), EngineError> {
        self.change(segment, Step::Write, |_| {})
    }

    fn append(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> Result<(), EngineError> {
        let mut platter = self.disk.lock();
        let powered = platter.power(self.boot).is_ok();
        let step = platter.step(self.boot, Step::Write);
        let file = platter.files.entry(segment).or_default();
        if step.is_ok() {
            assert_eq!(
                file.bytes.len() as u64,
                offset,
                "a segment grows at its end"
            );
            file.bytes.extend_from_slice(bytes);
        } else if powered {
            // The write that found no power may have reached the disk in part.
            file.bytes
                .extend_from_slice(bytes.get(..bytes.len() / 2).unwrap_or_default());
        }
        step
    }

    fn cut(&mut self, segment: u64, length: u64) -> Result<(), EngineError> {
        self.change(segment, Step::Write, |file| {
            file.bytes
                .truncate(usize::try_from(length).unwrap_or(usize::MAX));
            file.synced = file.bytes.len();
        })
    }

    fn sync(&mut self, segment: u64) -> Result<(), EngineError> {
        self.change(segment, Step::Sync, |file| file.synced = file.bytes.len())
    }

    fn place(&mut self, part: Part, segment: u64) -> Result<(), EngineError> {
        match part {
            Part::Head => self.rename(Aside::Part(part), |platter, file| {
                platter.asides.insert(Aside::Staged, file);
            }),
            Part::Segment => self.rename(Aside::Part(part), |platter, file| {
                platter.files.insert(segment, file);
            }),
        }
    }

    fn staged(&self) -> Result<Option<u64>, EngineError> {
        let staged = |file: &File| file.bytes.len() as u64;
        Ok(self.disk.lock().asides.get(&Aside::Staged).map(staged))
    }

    fn read_staged(&self, offset: u64, length: usize) -> Result<Vec<u8>, EngineError> {
        let platter = self.disk.lock();
        platter.power(self.boot)?;
        Ok(platter
            .asides
            .get(&Aside::Staged)
            .map_or_else(Vec::new, |file| file.read_at(offset, length)))
    }

    fn adopt(&mut self, segment: u64) -> Result<(), EngineError> {
        self.rename(Aside::Staged, |platter, file| {
            platter.files.insert(segment, file);
        })
    }

    fn discard(&mut self) -> Result<(), EngineError> {
        let mut platter = self.disk.lock();
        platter.step(self.boot, Step::Write)?;
        platter.asides.remove(&Aside::Staged);
        Ok(())
    }
}

impl DiskFiles {
    /// Two steps: with no power for the first nothing is renamed; for the second, the sync of the
    /// names, it is.
    fn rename(&self, from: Aside, to: impl FnOnce(&mut Platter, File)) -> Result<(), EngineError> {
        let mut platter = self.disk.lock();
        platter.step(self.boot, Step::Write)?;
        if let Some(file) = platter.asides.remove(&from) {
            to(&mut platter, file);
        }
        platter.step(self.boot, Step::Sync)
    }

    fn change_part(
        &self,
        part: Part,
        step: Step,
        change: impl FnOnce(&mut File),
    ) -> Result<(), EngineError> {
        let mut platter = self.disk.lock();
        platter.step(self.boot, step)?;
        change(platter.asides.entry(Aside::Part(part)).or_default());
        Ok(())
    }
}

impl PartFiles for DiskFiles {
    fn begin(&mut self, part: Part) -> Result<(), EngineError> {
        self.change_part(part, Step::Write, |file| *file = File::default())
    }

    fn append(&mut self, part: Part, bytes: &[u8]) -> Result<(), EngineError> {
        self.change_part(part, Step::Write, |file| {
            file.bytes.extend_from_slice(bytes);
        })
    }

    fn sync(&mut self, part: Part) -> Result<(), EngineError> {
        self.change_part(part, Step::Sync, |file| file.synced = file.bytes.len())
    }
}

/// Turns one bit.
fn turn(bytes: &mut [u8], picks: &mut Picks) {
    let at = picks.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << picks.below(8);
    }
}

fn failed(op: &'static str, kind: io::ErrorKind) -> EngineError {
    EngineError::Io {
        op,
        path: "the simulated disk".into(),
        source: kind.into(),
    }
}
