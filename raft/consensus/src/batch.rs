//! Commands in, entries out: what waits is packed into one entry while the ones before are on
//! their way, so that all who wait share a sync.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use tollbook_state::codec::encode_batch_of;
use tollbook_state::command::Command;
use tollbook_state::{CommandResult, codec};
use tollbook_storage::Engine;

use crate::error::CommitError;
use crate::forward::Way;
use crate::limits::{
    BATCH_BYTES_LIMIT, BATCH_COMMANDS_LIMIT, BATCHES_IN_FLIGHT_LIMIT, BATCHES_TOLD_APART,
    COMMAND_BYTES_LIMIT, QUEUED_COMMANDS_LIMIT,
};
use crate::stats::{Counters, add};
use crate::waiters::{Answer, Waiters, fail};

/// A command on its way to a batch.
#[derive(Debug)]
pub(crate) struct Queued {
    command: Vec<u8>,
    answer: Answer,
}

/// Where commands are put.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    queue: mpsc::Sender<Queued>,
    counters: Arc<Counters>,
}

/// A command that is being committed. Dropped, the command may be committed all the same.
#[derive(Debug)]
#[must_use = "what the command came to is known only to who awaits it"]
pub struct Committing {
    answer: Result<oneshot::Receiver<Result<CommandResult, CommitError>>, CommitError>,
}

impl Future for Committing {
    type Output = Result<CommandResult, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.answer {
            Err(refused) => Poll::Ready(Err(*refused)),
            // An answer that was dropped is one of a node that ended with the batch on its way.
            Ok(answer) => Pin::new(answer)
                .poll(context)
                .map(|answer| answer.unwrap_or(Err(CommitError::Unknown))),
        }
    }
}

impl Queue {
    pub(crate) fn new(counters: Arc<Counters>) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, queued) = mpsc::channel(QUEUED_COMMANDS_LIMIT);
        (Self { queue, counters }, queued)
    }

    /// Encodes the command on the caller's thread and queues it, or refuses.
    pub(crate) fn commit(&self, command: &Command) -> Committing {
        let (answer, answered) = oneshot::channel();
        let command = codec::encode_command(command);
        let bytes = command.len();
        if bytes > COMMAND_BYTES_LIMIT {
            let refused = CommitError::TooLarge {
                bytes,
                limit: COMMAND_BYTES_LIMIT,
            };
            return Committing {
                answer: Err(refused),
            };
        }
        let refused = match self.queue.try_send(Queued { command, answer }) {
            Ok(()) => {
                return Committing {
                    answer: Ok(answered),
                };
            }
            Err(mpsc::error::TrySendError::Full(_)) => CommitError::QueueFull,
            Err(mpsc::error::TrySendError::Closed(_)) => CommitError::Stopping,
        };
        add(&self.counters.refused, 1);
        Committing {
            answer: Err(refused),
        }
    }
}

/// Packs and proposes until `stop` is called and all that was queued is done.
pub(crate) struct Proposer<E: Engine> {
    pub(crate) way: Way<E>,
    pub(crate) queued: mpsc::Receiver<Queued>,
    pub(crate) waiters: Waiters,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: CancellationToken,
}

/// A proposed batch, until it is settled or given up.
type InFlight = FuturesUnordered<BoxFuture<'static, (u64, Result<(), CommitError>)>>;

/// The next batch. Holds one command more when that did not fit.
#[derive(Debug, Default)]
struct Gathering {
    commands: Vec<Queued>,
    bytes: usize,
    next: Option<Queued>,
}

impl Gathering {
    fn push(&mut self, queued: Queued) {
        assert!(!self.is_full(), "a full batch takes no more");
        let bytes = self.bytes + queued.command.len();
        if self.commands.is_empty() || bytes <= BATCH_BYTES_LIMIT {
            self.bytes = bytes;
            self.commands.push(queued);
        } else {
            self.next = Some(queued);
        }
    }

    fn is_full(&self) -> bool {
        self.next.is_some() || self.commands.len() >= BATCH_COMMANDS_LIMIT
    }

    fn take(&mut self) -> Vec<Queued> {
        let next = self.next.take();
        self.bytes = 0;
        let batch = std::mem::take(&mut self.commands);
        next.into_iter().for_each(|next| self.push(next));
        batch
    }
}

impl<E: Engine> Proposer<E> {
    /// One batch is on its way while the next gathers. Only full ones go beside it: more, smaller
    /// entries would wait for more syncs.
    pub(crate) async fn run(mut self) {
        let mut in_flight = InFlight::new();
        let mut unsettled = BTreeSet::new();
        let mut gathering = Gathering::default();
        let mut sequence: u64 = 0;
        let mut open = true;
        while open || !in_flight.is_empty() || !gathering.commands.is_empty() {
            while !gathering.is_full()
                && let Ok(next) = self.queued.try_recv()
            {
                gathering.push(next);
            }
            let room = if gathering.is_full() {
                BATCHES_IN_FLIGHT_LIMIT
            } else {
                1
            };
            let oldest = unsettled.first().copied().unwrap_or(sequence);
            let told_apart = sequence.saturating_sub(oldest) + 1 < BATCHES_TOLD_APART;
            if !gathering.commands.is_empty() && in_flight.len() < room && told_apart {
                sequence += 1;
                unsettled.insert(sequence);
                in_flight.push(self.propose(sequence, gathering.take()));
                continue;
            }
            tokio::select! {
                biased;
                Some((sequence, result)) = in_flight.next() => {
                    unsettled.remove(&sequence);
                    if let Err(error) = result {
                        self.waiters.fail(sequence, error);
                    }
                }
                () = self.stop.cancelled(), if open && !self.queued.is_closed() => {
                    self.queued.close();
                }
                next = self.queued.recv(), if open && !gathering.is_full() => match next {
                    Some(next) => gathering.push(next),
                    None => open = false,
                },
            }
        }
    }

    fn propose(
        &self,
        sequence: u64,
        batch: Vec<Queued>,
    ) -> BoxFuture<'static, (u64, Result<(), CommitError>)> {
        let (commands, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|queued| (queued.command, queued.answer))
            .unzip();
        add(&self.counters.commands, commands.len() as u64);
        add(&self.counters.batches, 1);
        let batch = encode_batch_of(self.waiters.place(sequence), &commands).into();
        let settled = self.waiters.wait(sequence, answers);
        let driven = self.way.clone().drive(batch, settled, self.stop.clone());
        Box::pin(async move { (sequence, driven.await) })
    }
}

impl<E: Engine> Drop for Proposer<E> {
    /// Dropped with its runtime: who still waits learns it from the closed channels, as from any
    /// end of the process. Those queued were never proposed.
    fn drop(&mut self) {
        self.queued.close();
        while let Ok(queued) = self.queued.try_recv() {
            fail(queued.answer, CommitError::Stopping);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queued(bytes: usize) -> Queued {
        Queued {
            command: vec![0; bytes],
            answer: oneshot::channel().0,
        }
    }

    proptest! {
        /// All commands leave, in order, in batches within both limits, but for one alone.
        #[test]
        fn batches_keep_to_their_limits_and_the_order(
            sizes in prop::collection::vec(
                prop_oneof![9 => 1usize..500, 1 => 1usize..BATCH_BYTES_LIMIT * 2],
                1..900,
            ),
        ) {
            let mut gathering = Gathering::default();
            let mut batches: Vec<Vec<usize>> = Vec::new();
            let mut waiting = sizes.iter().copied().map(queued);
            loop {
                while !gathering.is_full() && let Some(next) = waiting.next() {
                    gathering.push(next);
                }
                let batch = gathering.take();
                if batch.is_empty() {
                    break;
                }
                batches.push(batch.iter().map(|queued| queued.command.len()).collect());
            }
            for batch in &batches {
                let bytes: usize = batch.iter().sum();
                prop_assert!(batch.len() <= BATCH_COMMANDS_LIMIT);
                prop_assert!(bytes <= BATCH_BYTES_LIMIT || batch.len() == 1);
            }
            // No batch could have taken the first of the next.
            for pair in batches.windows(2) {
                let bytes = pair[0].iter().sum::<usize>() + pair[1][0];
                prop_assert!(pair[0].len() == BATCH_COMMANDS_LIMIT || bytes > BATCH_BYTES_LIMIT);
            }
            prop_assert_eq!(batches.concat(), sizes);
        }
    }
}
