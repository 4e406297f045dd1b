//! What must hold before a node serves: log, state and book tell the same story, and it goes at
//! least as far as what this node has signed.

use std::sync::{Arc, PoisonError};

use tollbook_audit::Head;
use tollbook_state::State;
use tollbook_storage::{Engine, EngineError};

use crate::backfill::{head_place, is_held};
use crate::error::StartError;
use crate::fatal::{Failure, Fatal};
use crate::options::MaxSigned;
use crate::state_machine::SharedState;
use crate::types::Node;

/// After a snapshot's state, or at a start behind one: makes the head's beginning that waits beside
/// the book its end, if this state goes on from it. One that waits for another state came with a
/// snapshot that was not installed.
pub(crate) fn settle_head<E: Engine>(engine: &E, head: Option<&Head>) -> Result<(), EngineError> {
    let Some(staged) = engine.staged_head()? else {
        return Ok(());
    };
    match head.map(head_place) {
        Some(head) if head == staged && !is_held(engine, &head)? => engine.adopt_head(),
        Some(_) | None => engine.discard_head(),
    }
}

/// Before the replay: the book holds every frame that the durable state counts, but for those below
/// the snapshot that this node began with.
pub(crate) fn check_loaded<E: Engine>(
    engine: &E,
    state: &State,
    signed: Option<MaxSigned>,
) -> Result<(), StartError> {
    let Some(head) = state.head() else {
        return Ok(());
    };
    // Here too: the first entry of the next leader makes a record, so the replay ends behind it.
    if let Some(MaxSigned { size, root }) = signed
        && head.size() == size
        && head.root() != root
    {
        return Err(StartError::SignedDiffers { size });
    }
    let book = frames_in_book(engine);
    if book < head.frames() {
        return Err(StartError::BookBehind {
            book,
            state: head.frames(),
        });
    }
    if is_held(engine, &head_place(head)).map_err(Failure::from)? {
        Ok(())
    } else {
        Err(StartError::BookDiffers {
            frame_no: head.frames().saturating_sub(1),
        })
    }
}

/// After the replay of all that the log holds: the book holds nothing more, and this node has
/// signed nothing else.
pub(crate) fn check_replayed<E: Engine>(
    engine: &E,
    state: &State,
    signed: Option<MaxSigned>,
) -> Result<(), StartError> {
    let log = state.head().map_or(0, Head::frames);
    let book = frames_in_book(engine);
    if book > log {
        return Err(StartError::BookAhead { book, log });
    }
    assert_eq!(book, log, "apply writes each frame before it counts it");
    let Some(MaxSigned { size, root }) = signed else {
        return Ok(());
    };
    let records = state.head().map_or(0, Head::size);
    if records < size {
        return Err(StartError::SignedAhead {
            signed: size,
            records,
        });
    }
    match state.head() {
        Some(head) if records == size && head.root() != root => {
            Err(StartError::SignedDiffers { size })
        }
        Some(_) | None => Ok(()),
    }
}

/// The check after the replay, for whenever that is over.
pub(crate) struct Replayed<E> {
    pub(crate) engine: Arc<E>,
    pub(crate) state: SharedState,
    pub(crate) signed: Option<MaxSigned>,
}

impl<E: Engine> Replayed<E> {
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        check_replayed(&*self.engine, &state, self.signed)
    }

    /// Once all that the cluster has committed is applied here. A node with peers may have applied
    /// entries before its own log was synced, so a crash may have left its book ahead of its log;
    /// the leader sends those entries again, and the book must hold nothing else.
    pub(crate) async fn when_recovered(self, raft: Node<E>, fatal: Fatal) {
        if raft.wait_for_recovery(None).await.is_err() {
            return;
        }
        if let Err(error) = self.check() {
            drop(fatal.fail(Failure::Rewound {
                reason: error.to_string(),
            }));
        }
    }
}

fn frames_in_book<E: Engine>(engine: &E) -> u64 {
    engine
        .segment_tail()
        .map_or(0, |tail| tail.frame_no.saturating_add(1))
}
