//! The temporary files beside the book. They have a lock of their own, so that frames go to the
//! book while a peer's segment is written.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{EngineError, TakeError};
use crate::incoming::{Incoming, Misfit, Part};
use crate::limits::SYNC_INCOMING_BYTES;
use crate::segments::{Files, Segments};

/// One temporary file of each kind.
pub(crate) trait PartFiles {
    /// Makes it anew, empty. Not durable.
    fn begin(&mut self, part: Part) -> Result<(), EngineError>;
    /// Writes at its end. Not durable.
    fn append(&mut self, part: Part, bytes: &[u8]) -> Result<(), EngineError>;
    /// Makes its bytes durable.
    fn sync(&mut self, part: Part) -> Result<(), EngineError>;
}

/// Who writes which.
#[derive(Debug)]
pub(crate) struct Parts<P> {
    files: P,
    tickets: u64,
    writers: BTreeMap<Part, Writer>,
}

#[derive(Clone, Copy, Debug)]
struct Writer {
    ticket: u64,
    unsynced_bytes: u64,
}

impl<P: PartFiles> Parts<P> {
    pub(crate) const fn new(files: P) -> Self {
        Self {
            files,
            tickets: 0,
            writers: BTreeMap::new(),
        }
    }

    /// Checks bytes, then writes them.
    pub(crate) fn take<F: Files>(
        &mut self,
        book: &Mutex<Segments<F>>,
        incoming: &mut Incoming,
        bytes: &[u8],
    ) -> Result<(), TakeError> {
        let at = incoming.bytes();
        incoming.check(bytes)?;
        let mut writer = match incoming.ticket {
            Some(ticket) => self.writer(incoming, ticket)?,
            None => self.begin(incoming)?,
        };
        if incoming.differs_at.is_none() {
            let held = locked(book).read(incoming.segment, at, bytes.len())?;
            let same = held.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            incoming.differs_at = (same < held.len()).then_some(at.saturating_add(same as u64));
        }
        self.files.append(incoming.part, bytes)?;
        // A crash here, or any time before it is whole, leaves a temporary file: removed at open.
        writer.unsynced_bytes = writer.unsynced_bytes.saturating_add(bytes.len() as u64);
        if writer.unsynced_bytes >= SYNC_INCOMING_BYTES {
            self.files.sync(incoming.part)?;
            writer.unsynced_bytes = 0;
        }
        self.writers.insert(incoming.part, writer);
        Ok(())
    }

    /// Puts it where it belongs.
    pub(crate) fn put<F: Files>(
        &mut self,
        book: &Mutex<Segments<F>>,
        incoming: &Incoming,
    ) -> Result<(), TakeError> {
        incoming.check_whole()?;
        let ticket = incoming.ticket.unwrap_or_default();
        self.writer(incoming, ticket)?;
        self.files.sync(incoming.part)?;
        self.writers.remove(&incoming.part);
        Ok(locked(book).put(incoming)?)
    }

    fn writer(&self, incoming: &Incoming, ticket: u64) -> Result<Writer, TakeError> {
        let writer = self.writers.get(&incoming.part);
        let writer = writer.filter(|writer| writer.ticket == ticket).copied();
        Ok(writer.ok_or_else(|| incoming.unfit(Misfit::Superseded))?)
    }

    fn begin(&mut self, incoming: &mut Incoming) -> Result<Writer, EngineError> {
        self.tickets += 1;
        incoming.ticket = Some(self.tickets);
        self.files.begin(incoming.part)?;
        Ok(Writer {
            ticket: self.tickets,
            unsynced_bytes: 0,
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
