//! The end. After a failed write or sync nobody knows what the disk holds, so nothing is retried:
//! the first failure is told to the program, which stops, and all later writes are refused.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tollbook_storage::EngineError;

use crate::codec::CodecError;
use crate::types::NodeId;

/// Why this node can write no more.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A bug of ours struck while an entry was applied: the state in memory is not to be trusted.
    #[error("entry {index} cannot be applied")]
    Apply {
        /// Its index.
        index: u64,
    },
    /// The consensus core ended unasked.
    #[error("the consensus core ended")]
    Core,
    /// The storage failed, or contradicts what is written to it.
    #[error("storage failed")]
    Engine(#[from] EngineError),
    /// An entry was made by a newer version of the program: others have applied what this one
    /// would skip.
    #[error("entry {index} needs a newer version of the program")]
    Newer {
        /// Its index.
        index: u64,
    },
    /// A peer has seen a later start of this directory.
    #[error(
        "node {by} has seen a later start of this directory: its disk was rolled back, or is a copy"
    )]
    RolledBack {
        /// The peer.
        by: NodeId,
    },
    /// What the cluster has committed is not what this node has in its book, or has signed.
    #[error("this node's past is not the cluster's: {reason}")]
    Rewound {
        /// What differs.
        reason: String,
    },
    /// Stored bytes are not what was written.
    #[error("stored bytes cannot be read: {reason}")]
    Stored {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// A bug of ours ended a thread.
    #[error("thread `{name}` ended")]
    Thread {
        /// Its name.
        name: &'static str,
    },
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        let reason = match error {
            CodecError::Damaged => "the check does not fit",
            CodecError::Malformed => "malformed",
            CodecError::Version { .. } => "a newer version wrote them",
            CodecError::WrongPlace { .. } => "an entry stands in another's place",
        };
        Self::Stored { reason }
    }
}

/// Told of the failure, once. It is meant to end the process.
pub(crate) type FailureHook = Arc<dyn Fn(&Failure) + Send + Sync>;

/// Shared by all that write.
#[derive(Clone)]
pub(crate) struct Fatal {
    state: Arc<Mutex<FatalState>>,
    hook: FailureHook,
}

#[derive(Debug)]
enum FatalState {
    /// Not serving yet: who starts the node learns of it instead.
    Starting(Option<Failure>),
    Serving,
    Failed,
}

impl std::fmt::Debug for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fatal")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Fatal {
    pub(crate) fn new(hook: FailureHook) -> Self {
        Self {
            state: Arc::new(Mutex::new(FatalState::Starting(None))),
            hook,
        }
    }

    /// Notes the failure, and makes of it what openraft stops for.
    pub(crate) fn fail(&self, failure: impl Into<Failure>) -> io::Error {
        let failure = failure.into();
        tracing::error!(
            error = &failure as &dyn std::error::Error,
            "this node writes no more"
        );
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            FatalState::Starting(first) => {
                first.get_or_insert(failure);
            }
            FatalState::Serving => {
                *state = FatalState::Failed;
                drop(state);
                (self.hook)(&failure);
            }
            FatalState::Failed => {}
        }
        io::Error::other("storage failed")
    }

    /// Refuses when something failed before.
    pub(crate) fn check(&self) -> io::Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            FatalState::Starting(None) | FatalState::Serving => Ok(()),
            FatalState::Starting(Some(_)) | FatalState::Failed => {
                Err(io::Error::other("storage failed before"))
            }
        }
    }

    /// The node does not start, and writes no more. Gives the failure that caused it, if one did.
    pub(crate) fn refuse(&self) -> Option<Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, FatalState::Failed) {
            FatalState::Starting(first) => first,
            FatalState::Serving | FatalState::Failed => None,
        }
    }

    /// From here on a failure goes to the hook. Refused when one came before.
    pub(crate) fn serve(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let FatalState::Starting(Some(_)) = &*state
            && let FatalState::Starting(Some(failure)) =
                std::mem::replace(&mut *state, FatalState::Failed)
        {
            return Err(failure);
        }
        *state = FatalState::Serving;
        Ok(())
    }
}
