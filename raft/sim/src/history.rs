//! The oracle's memory: what clients asked for, when, and what they were told. It knows the third
//! answer: nobody knows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tollbook_raft::CommitError;
use tollbook_state::CommandResult;
use tollbook_state::command::{CallId, Command};

/// One command of a client, from asking to its end.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Which node it was given to.
    pub(crate) node: u64,
    pub(crate) command: Command,
    /// When it was asked for. By the simulation's time, like all times here.
    pub(crate) asked_us: u64,
    /// None: the node died, or the client left, before there was an answer.
    pub(crate) end: Option<End>,
}

/// What the client was told.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) at_us: u64,
    pub(crate) result: Result<CommandResult, CommitError>,
}

/// Everything that clients saw. Clones are the same history.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) attempts: Vec<Attempt>,
    /// Calls that were sent to their server, and when.
    pub(crate) sent: BTreeMap<CallId, u64>,
}

/// Names an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(usize);

impl History {
    pub(crate) fn ask(&self, node: u64, command: &Command, now_us: u64) -> Ticket {
        let mut inner = self.lock();
        inner.attempts.push(Attempt {
            node,
            command: command.clone(),
            asked_us: now_us,
            end: None,
        });
        Ticket(inner.attempts.len() - 1)
    }

    pub(crate) fn tell(
        &self,
        ticket: Ticket,
        now_us: u64,
        result: &Result<CommandResult, CommitError>,
    ) {
        if let Some(attempt) = self.lock().attempts.get_mut(ticket.0) {
            let result = result.clone();
            attempt.end = Some(End {
                at_us: now_us,
                result,
            });
        }
    }

    pub(crate) fn sent(&self, call: CallId, now_us: u64) {
        self.lock().sent.insert(call, now_us);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the answer proves that the command was not committed and never will be.
pub(crate) const fn is_certain(error: CommitError) -> bool {
    match error {
        CommitError::NoLeader
        | CommitError::QueueFull
        | CommitError::Stopping
        | CommitError::TooLarge { .. } => true,
        CommitError::Unknown => false,
    }
}

impl Attempt {
    /// The result that was told, if one was.
    pub(crate) const fn result(&self) -> Option<&CommandResult> {
        match &self.end {
            Some(End {
                at_us: _,
                result: Ok(result),
            }) => Some(result),
            Some(_) | None => None,
        }
    }

    /// When a result was told.
    pub(crate) const fn told_us(&self) -> Option<u64> {
        match &self.end {
            Some(End {
                at_us,
                result: Ok(_),
            }) => Some(*at_us),
            Some(_) | None => None,
        }
    }
}
