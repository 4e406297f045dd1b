//! Who waits for which batch. Results come from the apply stream and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use tollbook_state::command::Place;
use tollbook_state::{CommandResult, Receipts};

use crate::error::CommitError;

/// Where one command's result goes.
pub(crate) type Answer = oneshot::Sender<Result<CommandResult, CommitError>>;

/// Batches of this boot that are on their way. Bounded by
/// [`crate::limits::BATCHES_IN_FLIGHT_LIMIT`].
#[derive(Clone, Debug)]
pub(crate) struct Waiters {
    node: u32,
    boot: u64,
    batches: Arc<Mutex<BTreeMap<u64, Waiting>>>,
}

/// A batch that is on its way.
#[derive(Debug)]
struct Waiting {
    answers: Vec<Answer>,
    /// Dropped when the batch is settled, whatever it came to.
    _settled: oneshot::Sender<()>,
}

impl Waiters {
    pub(crate) fn new(node: u32, boot: u64) -> Self {
        Self {
            node,
            boot,
            batches: Arc::default(),
        }
    }

    pub(crate) fn place(&self, sequence: u64) -> Place {
        Place {
            node: self.node,
            boot: self.boot,
            sequence,
        }
    }

    /// Before the batch is proposed: it may be applied at once. What comes back is closed when the
    /// batch is settled.
    pub(crate) fn wait(&self, sequence: u64, answers: Vec<Answer>) -> oneshot::Receiver<()> {
        let (settled, is_settled) = oneshot::channel();
        let waiting = Waiting {
            answers,
            _settled: settled,
        };
        let before = self.lock().insert(sequence, waiting);
        assert!(before.is_none(), "a sequence number is used once");
        is_settled
    }

    /// Hands out what the batch's commands came to, if it is one of ours that still waits.
    pub(crate) fn deliver(&self, receipts: Receipts) {
        let Some(waiting) = self.take(receipts.place) else {
            return;
        };
        let mut results = receipts.results.into_iter().map(Ok);
        for answer in waiting.answers {
            let result = results.next().unwrap_or(Err(CommitError::Unknown));
            // Who asked may have left; the command is done all the same.
            drop(answer.send(result));
        }
    }

    /// The batch is done, and left no results: it was applied before, or could not be read.
    pub(crate) fn give_up(&self, place: Place) {
        let waiting = self.take(place);
        waiting
            .into_iter()
            .flat_map(|waiting| waiting.answers)
            .for_each(|answer| fail(answer, CommitError::Unknown));
    }

    /// The batch came to this before it was applied.
    pub(crate) fn fail(&self, sequence: u64, error: CommitError) {
        let waiting = self.lock().remove(&sequence);
        waiting
            .into_iter()
            .flat_map(|waiting| waiting.answers)
            .for_each(|answer| fail(answer, error));
    }

    fn take(&self, place: Place) -> Option<Waiting> {
        let ours = (place.node, place.boot) == (self.node, self.boot);
        if ours {
            self.lock().remove(&place.sequence)
        } else {
            None
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn fail(answer: Answer, error: CommitError) {
    drop(answer.send(Err(error)));
}
