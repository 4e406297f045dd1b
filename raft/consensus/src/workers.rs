//! Where blocking work runs: on threads of its own, or as tasks where nothing blocks.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::runtime::Builder;
use tokio_util::task::TaskTracker;

use crate::error::StartError;
use crate::fatal::{Failure, Fatal};

/// The node's workers.
pub(crate) struct Workers {
    tasks: TaskTracker,
    threads: Option<Vec<thread::JoinHandle<()>>>,
}

impl Workers {
    /// For simulations, where the engine never blocks.
    pub(crate) fn as_tasks() -> Self {
        Self {
            tasks: TaskTracker::new(),
            threads: None,
        }
    }

    pub(crate) fn on_threads() -> Self {
        Self {
            tasks: TaskTracker::new(),
            threads: Some(Vec::new()),
        }
    }

    /// Where tasks are spawned that an orderly stop waits for.
    pub(crate) fn tasks(&self) -> TaskTracker {
        self.tasks.clone()
    }

    /// Runs `work` to its end. A panic in it is the end of the node: others wait for its answers.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        fatal: &Fatal,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StartError> {
        let Some(threads) = &mut self.threads else {
            drop(self.tasks.spawn(work));
            return Ok(());
        };
        let fatal = fatal.clone();
        threads.push(spawn(name, move || {
            let run = || {
                Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .map(|on| on.block_on(work))
            };
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => drop(fatal.fail(Failure::Thread { name })),
            }
        })?);
        Ok(())
    }

    /// Waits for the threads.
    pub(crate) fn join(self) {
        for thread in self.threads.into_iter().flatten() {
            if thread.join().is_err() {
                tracing::error!("a storage thread panicked");
            }
        }
    }
}

pub(crate) fn spawn(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, StartError> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|source| StartError::Thread { source })
}
