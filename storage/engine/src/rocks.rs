//! `RocksDB` and plain files.
//!
//! Three families in one database. `log` and `meta` go through its write-ahead log, written by
//! hand and synced by [`Engine::sync`]. `state` skips it. A flush is atomic over all families, and
//! only ours happens: tables are sized so that `RocksDB` never flushes by itself, because a state
//! that is durable before its frames are would leave a hole in the book for good.

use std::fs::{self, File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction,
    FlushOptions, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use crate::directory::{Directory, DirectoryParts};
use crate::engine::{
    Applied, Engine, HeadPlace, HeldSegment, MetaKey, Missing, SegmentFrame, SegmentTail,
    StateWrite, Wrote,
};
use crate::error::{EngineError, TakeError};
use crate::incoming::Incoming;
use crate::limits::{FLUSH_POLLS_LIMIT, TABLE_BYTES_LIMIT, UNFLUSHED_BYTES_LIMIT};
use crate::parts::Parts;
use crate::segments::Segments;

/// Format of the directory that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

const LOG: &str = "log";
const META: &str = "meta";
const STATE: &str = "state";
const FAMILIES: [&str; 3] = [LOG, META, STATE];

/// Which Raft group a log row belongs to. There is one; the key has room for more.
const GROUP: u32 = 0;

/// Rows of the state family begin with one of these.
const MARK: u8 = 0;
const ROW: u8 = 1;

const FORMAT_KEY: &[u8] = b"format";

/// Where the parts of a node's directory are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The database: log and state.
    pub database: PathBuf,
    /// The book's segments.
    pub segments: PathBuf,
}

/// The real engine.
pub struct Rocks {
    db: DB,
    log: Mutex<LogEnds>,
    /// Held over a state write, and by a flush while it draws its line.
    gate: Mutex<Gate>,
    /// One flush at a time.
    flushing: Mutex<()>,
    segments: Mutex<Segments<Directory>>,
    /// Taken before `segments` where both are.
    parts: Mutex<Parts<DirectoryParts>>,
    /// Released by the operating system, however this process ends.
    _in_use: File,
}

#[derive(Clone, Copy, Debug)]
struct LogEnds {
    range: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Gate {
    applied: Option<u64>,
    unflushed_bytes: u64,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks")
            .field("path", &self.db.path())
            .finish_non_exhaustive()
    }
}

impl Rocks {
    /// Opens or makes the directories. Refused while another process has them open, and when a
    /// newer version wrote them.
    pub fn open(paths: &Paths) -> Result<Self, EngineError> {
        let path = &paths.database;
        fs::create_dir_all(path)
            .map_err(|source| io_error("make directory", path.clone(), source))?;
        let in_use = lock(path)?;
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, family_options()));
        let db = DB::open_cf_descriptors(&database_options(), path, families)
            .map_err(|source| store("open", source))?;
        let segments = Segments::open(Directory::open(paths.segments.clone())?)?;
        let rocks = Self {
            db,
            log: Mutex::new(LogEnds { range: None }),
            gate: Mutex::new(Gate {
                applied: None,
                unflushed_bytes: 0,
            }),
            flushing: Mutex::new(()),
            segments: Mutex::new(segments),
            parts: Mutex::new(Parts::new(DirectoryParts::new(paths.segments.clone()))),
            _in_use: in_use,
        };
        rocks.check_format()?;
        locked(&rocks.log).range = rocks.find_log_range()?;
        locked(&rocks.gate).applied = rocks.applied()?.map(|applied| applied.index);
        Ok(rocks)
    }

    fn check_format(&self) -> Result<(), EngineError> {
        let meta = self.family(META);
        let stamp = self
            .db
            .get_cf(&meta, FORMAT_KEY)
            .map_err(|source| store("read", source))?;
        match stamp.as_deref().map(<[u8; 4]>::try_from) {
            Some(Ok(stamp)) => {
                let found = u32::from_be_bytes(stamp);
                let known = FORMAT;
                if found > known {
                    return Err(EngineError::NewerFormat { found, known });
                }
                Ok(())
            }
            Some(Err(_)) => Err(malformed(META, stamp.unwrap_or_default().len())),
            None => {
                let mut batch = WriteBatch::default();
                batch.put_cf(&meta, FORMAT_KEY, FORMAT.to_be_bytes());
                self.write_log("stamp", batch)?;
                self.sync()
            }
        }
    }

    fn find_log_range(&self) -> Result<Option<(u64, u64)>, EngineError> {
        let log = self.family(LOG);
        let end = |mode| -> Result<Option<u64>, EngineError> {
            let Some(row) = self.db.iterator_cf(&log, mode).next() else {
                return Ok(None);
            };
            let (key, _) = row.map_err(|source| store("read the log", source))?;
            log_index(&key).map(Some)
        };
        Ok(end(IteratorMode::Start)?.zip(end(IteratorMode::End)?))
    }

    fn family(&self, name: &'static str) -> Arc<BoundColumnFamily<'_>> {
        self.db
            .cf_handle(name)
            .expect("all families are opened with the database")
    }

    /// A write through the write-ahead log, in order, not synced.
    fn write_log(&self, op: &'static str, batch: WriteBatch) -> Result<(), EngineError> {
        let bytes = batch.size_in_bytes() as u64;
        self.db.write(batch).map_err(|source| store(op, source))?;
        self.count_unflushed(bytes)
    }

    /// Keeps the memory tables away from the size at which `RocksDB` would flush them itself.
    fn count_unflushed(&self, bytes: u64) -> Result<(), EngineError> {
        let mut gate = locked(&self.gate);
        gate.unflushed_bytes = gate.unflushed_bytes.saturating_add(bytes);
        let over = gate.unflushed_bytes > UNFLUSHED_BYTES_LIMIT;
        drop(gate);
        if over {
            self.flush()?;
        }
        Ok(())
    }

    /// Waits for tables that a flush has set aside. `RocksDB` tells nobody when it is done.
    fn wait_flushed(&self) -> Result<(), EngineError> {
        for _ in 0..FLUSH_POLLS_LIMIT {
            let mut waiting = 0;
            for name in FAMILIES {
                let family = self.family(name);
                let count = |property: &str| {
                    self.db
                        .property_int_value_cf(&family, property)
                        .map(Option::unwrap_or_default)
                        .map_err(|source| store("flush", source))
                };
                if count("rocksdb.background-errors")? > 0 {
                    return Err(flush_failed("a background error"));
                }
                waiting += count("rocksdb.num-immutable-mem-table")?;
            }
            if waiting == 0 {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(flush_failed("no end in two minutes"))
    }

    fn book(&self) -> MutexGuard<'_, Segments<Directory>> {
        locked(&self.segments)
    }
}

impl Drop for Rocks {
    /// `RocksDB` writes its tables as it closes: the segments go first, as in every flush. Nothing
    /// depends on it: an orderly stop has flushed, and after any other the log is replayed.
    fn drop(&mut self) {
        if let Err(error) = self.book().sync() {
            tracing::error!(%error, "segments not synced at the end");
        }
    }
}

impl Engine for Rocks {
    fn append_log(&self, first: u64, entries: &[Bytes]) -> Result<(), EngineError> {
        let family = self.family(LOG);
        let mut ends = locked(&self.log);
        if let Some((_, last)) = ends.range
            && first != last + 1
        {
            return Err(EngineError::LogGap { last, found: first });
        }
        let mut batch = WriteBatch::default();
        let mut end = first;
        for entry in entries {
            batch.put_cf(&family, log_key(end), entry);
            end += 1;
        }
        if end == first {
            return Ok(());
        }
        let bytes = batch.size_in_bytes() as u64;
        self.db
            .write(batch)
            .map_err(|source| store("append to the log", source))?;
        // A crash here loses entries that nobody was told of.
        let begin = ends.range.map_or(first, |(begin, _)| begin);
        ends.range = Some((begin, end - 1));
        drop(ends);
        self.count_unflushed(bytes)
    }

    fn read_log(
        &self,
        range: Range<u64>,
        bytes_limit: usize,
    ) -> Result<Vec<(u64, Bytes)>, EngineError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        if range.start >= range.end {
            return Ok(found);
        }
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(log_key(range.end));
        let start = log_key(range.start);
        let mode = IteratorMode::From(&start, Direction::Forward);
        for row in self.db.iterator_cf_opt(&self.family(LOG), options, mode) {
            if bytes >= bytes_limit && !found.is_empty() {
                break;
            }
            let (key, entry) = row.map_err(|source| store("read the log", source))?;
            bytes += entry.len();
            found.push((log_index(&key)?, Bytes::from(entry)));
        }
        Ok(found)
    }

    fn log_range(&self) -> Option<(u64, u64)> {
        locked(&self.log).range
    }

    fn truncate_log(&self, from: u64) -> Result<(), EngineError> {
        let mut ends = locked(&self.log);
        let Some((first, last)) = ends.range.filter(|&(_, last)| from <= last) else {
            return Ok(());
        };
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(&self.family(LOG), log_key(from), log_key(last + 1));
        self.db
            .write(batch)
            .map_err(|source| store("truncate the log", source))?;
        ends.range = (from > first).then(|| (first, from - 1));
        Ok(())
    }

    fn purge_log(&self, upto: u64, purged: &[u8]) -> Result<(), EngineError> {
        let family = self.family(LOG);
        let mut ends = locked(&self.log);
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta_key(MetaKey::Purged), purged);
        let end = upto.saturating_add(1);
        batch.delete_range_cf(&family, log_key(0), log_key(end));
        self.db
            .write(batch)
            .map_err(|source| store("purge the log", source))?;
        ends.range = ends
            .range
            .and_then(|(first, last)| (last > upto).then(|| (first.max(end), last)));
        drop(ends);
        // Whole files of dead entries go at once. Losing this costs space only.
        self.db
            .delete_file_in_range_cf(&family, log_key(0), log_key(end))
            .map_err(|source| store("purge the log", source))
    }

    fn put_meta(&self, key: MetaKey, value: &[u8]) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta_key(key), value);
        self.write_log("write meta", batch)
    }

    fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, EngineError> {
        self.db
            .get_cf(&self.family(META), meta_key(key))
            .map_err(|source| store("read meta", source))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.db
            .flush_wal(true)
            .map_err(|source| store("sync the log", source))
    }

    fn apply(&self, index: u64, mark: &[u8], writes: &[StateWrite]) -> Result<(), EngineError> {
        let family = self.family(STATE);
        let mut batch = WriteBatch::default();
        let mut key = Vec::new();
        for (row, value) in writes {
            row_key(&mut key, row);
            match value {
                Some(value) => batch.put_cf(&family, &key, value),
                None => batch.delete_cf(&family, &key),
            }
        }
        batch.put_cf(&family, [MARK], mark_value(index, mark));
        let bytes = batch.size_in_bytes() as u64;
        let mut gate = locked(&self.gate);
        self.db
            .write_opt(batch, &without_log())
            .map_err(|source| store("write the state", source))?;
        // A crash here, or any time before a flush, loses whole entries; the log replays them.
        gate.applied = Some(index);
        drop(gate);
        self.count_unflushed(bytes)
    }

    fn replace_state(
        &self,
        index: u64,
        mark: &[u8],
        rows: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), EngineError> {
        let family = self.family(STATE);
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(&family, vec![MARK], vec![ROW + 1]);
        let mut key = Vec::new();
        for (row, value) in rows {
            row_key(&mut key, row);
            batch.put_cf(&family, &key, value);
        }
        batch.put_cf(&family, [MARK], mark_value(index, mark));
        let mut gate = locked(&self.gate);
        self.db
            .write_opt(batch, &without_log())
            .map_err(|source| store("replace the state", source))?;
        // A crash here leaves the old state and the old log.
        gate.applied = Some(index);
        drop(gate);
        self.flush().map(drop)
    }

    fn applied(&self) -> Result<Option<Applied>, EngineError> {
        let row = self
            .db
            .get_cf(&self.family(STATE), [MARK])
            .map_err(|source| store("read the state", source))?;
        let Some(row) = row else { return Ok(None) };
        let (index, mark) = row
            .split_first_chunk::<8>()
            .ok_or_else(|| malformed(STATE, row.len()))?;
        Ok(Some(Applied {
            index: u64::from_be_bytes(*index),
            mark: mark.to_vec(),
        }))
    }

    fn each_row(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), EngineError> {
        let mode = IteratorMode::From(&[ROW], Direction::Forward);
        for row in self.db.iterator_cf(&self.family(STATE), mode) {
            let (key, value) = row.map_err(|source| store("read the state", source))?;
            let (_, key) = key.split_first().ok_or_else(|| malformed(STATE, 0))?;
            show(key, &value);
        }
        Ok(())
    }

    fn flush(&self) -> Result<Option<u64>, EngineError> {
        let _one_at_a_time = locked(&self.flushing);
        // Once outside the gate, so that the second sync below finds little left to do.
        self.sync_segments()?;
        let mut options = FlushOptions::default();
        options.set_wait(false);
        let families = FAMILIES.map(|name| self.family(name));
        let families: Vec<_> = families.iter().collect();
        let mut gate = locked(&self.gate);
        self.book().sync()?;
        self.db
            .flush_cfs_opt(&families, &options)
            .map_err(|source| store("flush", source))?;
        // From here on state writes go to new tables; the old ones are on their way to disk.
        gate.unflushed_bytes = 0;
        let applied = gate.applied;
        drop(gate);
        self.wait_flushed()?;
        Ok(applied)
    }

    fn append_frame(&self, frame: SegmentFrame<'_>) -> Result<Wrote, EngineError> {
        self.book().append(frame)
    }

    /// Without the lock while the disk works: frames are appended meanwhile.
    fn sync_segments(&self) -> Result<(), EngineError> {
        let mut book = self.book();
        let Some((segment, end)) = book.unsynced() else {
            return Ok(());
        };
        let file = book.files().open_file(segment)?;
        drop(book);
        let result = file.sync_data();
        let mut book = self.book();
        result.map_err(|source| book.files().sync_failed(segment, source))?;
        book.synced(segment, end);
        Ok(())
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
        locked(&self.parts).take(&self.segments, incoming, bytes)
    }

    fn put_in(&self, incoming: Incoming) -> Result<(), TakeError> {
        locked(&self.parts).put(&self.segments, &incoming)
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

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A torn tail is an ordinary crash. Damage before it is refused: the default mode would
    // silently drop every acknowledged entry after it.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    // Recycled files are only safe with the default mode.
    options.set_recycle_log_file_num(0);
    options.set_manual_wal_flush(true);
    options.set_atomic_flush(true);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    options.set_max_open_files(256);
    // `db_write_buffer_size` stays off: it counts each family's arena and would flush by itself.
    options
}

fn family_options() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(TABLE_BYTES_LIMIT);
    options.set_max_write_buffer_number(4);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

fn without_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// The file that says "in use". `RocksDB` has one of its own, but tells of it in words only.
fn lock(path: &Path) -> Result<File, EngineError> {
    let file = path.join("IN_USE");
    let in_use = File::create(&file).map_err(|source| io_error("make", file.clone(), source))?;
    match in_use.try_lock() {
        Ok(()) => Ok(in_use),
        Err(TryLockError::WouldBlock) => Err(EngineError::InUse {
            path: path.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", file, source)),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log_key(index: u64) -> Vec<u8> {
    [&GROUP.to_be_bytes()[..], &index.to_be_bytes()].concat()
}

fn log_index(key: &[u8]) -> Result<u64, EngineError> {
    let index = key
        .split_first_chunk::<4>()
        .and_then(|(_, index)| index.try_into().ok());
    index
        .map(u64::from_be_bytes)
        .ok_or_else(|| malformed(LOG, key.len()))
}

const fn meta_key(key: MetaKey) -> &'static [u8] {
    match key {
        MetaKey::Committed => b"committed",
        MetaKey::Purged => b"purged",
        MetaKey::Vote => b"vote",
    }
}

fn row_key(out: &mut Vec<u8>, row: &[u8]) {
    out.clear();
    out.push(ROW);
    out.extend_from_slice(row);
}

fn mark_value(index: u64, mark: &[u8]) -> Vec<u8> {
    [&index.to_be_bytes()[..], mark].concat()
}

fn store(op: &'static str, source: rocksdb::Error) -> EngineError {
    EngineError::Store {
        op,
        source: Box::new(source),
    }
}

fn flush_failed(reason: &'static str) -> EngineError {
    EngineError::Store {
        op: "flush",
        source: reason.into(),
    }
}

const fn malformed(family: &'static str, length: usize) -> EngineError {
    EngineError::Malformed { family, length }
}

const fn io_error(op: &'static str, path: PathBuf, source: std::io::Error) -> EngineError {
    EngineError::Io { op, path, source }
}
