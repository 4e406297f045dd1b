//! The Raft log in the engine, as openraft wants it.
//!
//! `append` writes and returns; the flusher syncs and tells. Votes and entries go through the same
//! write-ahead log in the order in which they were written, so none is durable before an earlier
//! one. The log's end stays in memory, because openraft reads each entry back to apply it.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::{mpsc, oneshot};

use tollbook_storage::{Engine, EngineError, MetaKey};

use crate::codec::{self, CodecError};
use crate::fatal::{Failure, Fatal};
use crate::flusher::FlushRequest;
use crate::limits::{READ_BYTES_LIMIT, TAIL_BYTES_LIMIT};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Writes the log.
pub(crate) struct LogStore<E> {
    log: LogReader<E>,
    flusher: mpsc::Sender<FlushRequest>,
}

/// Reads the log. Clones see the same log.
pub(crate) struct LogReader<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    engine: Arc<E>,
    fatal: Fatal,
    tail: Mutex<Tail>,
}

/// The newest entries, without a gap up to the log's last.
#[derive(Default)]
struct Tail {
    entries: VecDeque<Entry>,
    sizes: VecDeque<usize>,
    bytes: usize,
}

impl<E: Engine> LogStore<E> {
    pub(crate) fn new(engine: Arc<E>, flusher: mpsc::Sender<FlushRequest>, fatal: Fatal) -> Self {
        let shared = Shared {
            engine,
            fatal,
            tail: Mutex::default(),
        };
        Self {
            log: LogReader {
                shared: Arc::new(shared),
            },
            flusher,
        }
    }

    async fn flush(&self, request: FlushRequest) -> io::Result<()> {
        self.flusher.send(request).await.map_err(|_| stopped())
    }

    /// A write that must not fail: what the engine says of it ends the node.
    fn write(&self, write: impl FnOnce(&E) -> Result<(), EngineError>) -> io::Result<()> {
        let Shared {
            engine,
            fatal,
            tail: _,
        } = &*self.log.shared;
        fatal.check()?;
        write(engine).map_err(|error| fatal.fail(error))
    }
}

impl<E> Clone for LogReader<E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<E: Engine> LogReader<E> {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.shared
            .tail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What cannot be read back ends the node as well: it would apply something else.
    fn failed(&self, failure: impl Into<Failure>) -> io::Error {
        self.shared.fatal.fail(failure)
    }

    /// Entries of the range from its start on, up to about `bytes_limit`.
    fn entries(&self, range: Range<u64>, bytes_limit: usize) -> io::Result<Vec<Entry>> {
        if let Some(entries) = self.tail().get(&range, bytes_limit) {
            return Ok(entries);
        }
        let rows = self.shared.engine.read_log(range, bytes_limit);
        let rows = rows.map_err(|error| self.failed(error))?;
        let entries: Result<Vec<_>, CodecError> = rows
            .iter()
            .map(|(index, row)| codec::decode_entry(*index, row))
            .collect();
        let entries = entries.map_err(|error| self.failed(error))?;
        let gapless = entries.windows(2).all(|pair| match pair {
            [before, after] => before.log_id.index + 1 == after.log_id.index,
            _ => true,
        });
        if gapless {
            Ok(entries)
        } else {
            Err(self.failed(Failure::Stored { reason: "a gap" }))
        }
    }

    fn meta(&self, key: MetaKey) -> io::Result<Option<Vec<u8>>> {
        self.shared
            .engine
            .meta(key)
            .map_err(|error| self.failed(error))
    }

    fn log_id(&self, key: MetaKey) -> io::Result<Option<LogId>> {
        let Some(row) = self.meta(key)? else {
            return Ok(None);
        };
        codec::decode_log_id(&row).map_err(|error| self.failed(error))
    }

    fn last_log_id(&self) -> io::Result<Option<LogId>> {
        if let Some(last) = self.tail().entries.back() {
            return Ok(Some(last.log_id));
        }
        let Some((_, last)) = self.shared.engine.log_range() else {
            return Ok(None);
        };
        let entries = self.entries(last..last + 1, READ_BYTES_LIMIT)?;
        Ok(entries.last().map(|entry| entry.log_id))
    }
}

impl Tail {
    /// Entries of the range, if its first is here.
    fn get(&self, range: &Range<u64>, bytes_limit: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.log_id.index;
        let skip = usize::try_from(range.start.checked_sub(first)?).ok()?;
        if skip >= self.entries.len() {
            return None;
        }
        let mut found = Vec::new();
        let mut bytes = 0;
        let from = self.entries.iter().zip(&self.sizes).skip(skip);
        for (entry, size) in from.take_while(|(entry, _)| entry.log_id.index < range.end) {
            if bytes >= bytes_limit && !found.is_empty() {
                break;
            }
            bytes += size;
            found.push(entry.clone());
        }
        Some(found)
    }

    fn push(&mut self, entry: Entry, size: usize) {
        let last = self.entries.back().map(|last| last.log_id.index);
        if last.is_some_and(|last| last + 1 != entry.log_id.index) {
            *self = Self::default();
        }
        self.entries.push_back(entry);
        self.sizes.push_back(size);
        self.bytes += size;
        while self.bytes > TAIL_BYTES_LIMIT && self.entries.len() > 1 {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        self.entries.pop_front();
        self.bytes -= self.sizes.pop_front().unwrap_or(0);
    }

    fn purge(&mut self, upto: u64) {
        while self
            .entries
            .front()
            .is_some_and(|first| first.log_id.index <= upto)
        {
            self.pop_front();
        }
    }

    fn truncate(&mut self, from: u64) {
        while self
            .entries
            .back()
            .is_some_and(|last| last.log_id.index >= from)
        {
            self.entries.pop_back();
            self.bytes -= self.sizes.pop_back().unwrap_or(0);
        }
    }
}

impl<E: Engine> RaftLogReader<TypeConfig> for LogReader<E> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.entries(half_open(&range), usize::MAX)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.entries(start..end, READ_BYTES_LIMIT)
    }

    /// Reads a bounded piece at a time: after a crash the range is the whole replay.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        pieces(self.clone(), half_open(&range))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let Some(row) = self.meta(MetaKey::Vote)? else {
            return Ok(None);
        };
        codec::decode_vote(&row)
            .map(Some)
            .map_err(|error| self.failed(error))
    }
}

/// The entries of `range`, and an end where the log has no more.
fn pieces<E: Engine>(
    log: LogReader<E>,
    range: Range<u64>,
) -> impl Stream<Item = Result<Entry, io::Error>> {
    let begin = (log, range, Vec::new().into_iter());
    stream::try_unfold(begin, |(log, mut range, mut piece)| async move {
        if let Some(entry) = piece.next() {
            return Ok(Some((entry, (log, range, piece))));
        }
        let mut piece = log.entries(range.clone(), READ_BYTES_LIMIT)?.into_iter();
        let last = piece
            .as_slice()
            .last()
            .map(|last: &Entry| last.log_id.index);
        range.start = last.map_or(range.end, |last| last + 1);
        Ok(piece.next().map(|entry| (entry, (log, range, piece))))
    })
}

impl<E: Engine> RaftLogStorage<TypeConfig> for LogStore<E> {
    type LogReader = LogReader<E>;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let last_purged_log_id = self.log.log_id(MetaKey::Purged)?;
        let last_log_id = self.log.last_log_id()?.or(last_purged_log_id);
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> LogReader<E> {
        self.log.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let row = codec::encode_vote(vote);
        self.write(|engine| engine.put_meta(MetaKey::Vote, &row))?;
        // A crash here may forget the vote; nobody was told of it.
        let (done, synced) = oneshot::channel();
        self.flush(FlushRequest::Vote { done }).await?;
        synced.await.map_err(|_| stopped())?
    }

    /// A hint: it lets a restart apply what it knows to be committed before it hears of anybody.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let row = codec::encode_log_id(committed.as_ref());
        self.write(|engine| engine.put_meta(MetaKey::Committed, &row))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.log.log_id(MetaKey::Committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let rows: Vec<Bytes> = entries.iter().map(codec::encode_entry).collect();
        let first = entries.first().map_or(0, |entry| entry.index());
        let last = entries.last().map_or(0, |entry| entry.index());
        self.write(|engine| engine.append_log(first, &rows))?;
        {
            let mut tail = self.log.tail();
            for (entry, row) in entries.into_iter().zip(&rows) {
                tail.push(entry, row.len());
            }
        }
        // A crash here may lose the entries; the callback that counts them has not been called.
        self.flush(FlushRequest::Append {
            last,
            done: callback,
        })
        .await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |last| last.index + 1);
        self.log.tail().truncate(from);
        self.write(|engine| engine.truncate_log(from))
    }

    /// Only what state and book need no more: the keeper triggers purges up to there, and an
    /// installed snapshot is durable before the log behind it goes.
    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let row = codec::encode_log_id(Some(&log_id));
        self.log.tail().purge(log_id.index);
        self.write(|engine| engine.purge_log(log_id.index, &row))
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the flusher has stopped")
}
