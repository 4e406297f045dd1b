//! `tollbook serve`: the node of a directory, until it is told to stop.

use std::fs::File;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::dir::{Dir, DirError};
use crate::node::{NodeError, Running, Start};

/// What `tollbook serve` was asked for, beside the directory.
#[derive(Clone, Debug, Default)]
pub struct Serve {
    /// Go on though the machine's clock is far from the log's.
    pub accept_clock: bool,
    /// Write a line for each frame to this file or FIFO as it is applied.
    pub frames_to: Option<PathBuf>,
}

/// Why a node ended other than in good order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The directory.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The file for frames.
    #[error("cannot open `{path}` for the hashes of frames")]
    FramesTo {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It stopped itself; the log line before says why.
    #[error("the node stopped itself after an error")]
    Failed,
    /// It did not start.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// No signal handler.
    #[error("cannot listen for signals")]
    Signal(#[source] std::io::Error),
}

/// Serves until SIGTERM or SIGINT, then stops in good order.
pub async fn run(dir: &Path, serve: Serve) -> Result<(), ServeError> {
    let dir = Dir::open(dir)?;
    let config = dir.config()?;
    log_to_stderr(&config);
    keep_memory_private();
    let mut stop = StopSignal::new().map_err(ServeError::Signal)?;
    let mut start = Start {
        clock: Clock::default(),
        accept_clock: serve.accept_clock,
        on_frames: None,
    };
    if let Some(path) = serve.frames_to {
        start.on_frames = Some(report_frames(&path)?);
    }
    let running = tokio::select! {
        running = Running::start(dir, config, start) => running?,
        // Nothing was served yet; what was replayed is replayed again at the next start.
        () = stop.wait() => return Ok(()),
    };
    let node = Arc::clone(&running.node);
    say(&format!(
        "ready data={} admin=http://{} peer={}",
        node.base_url(),
        running.admin,
        running.peer
    ));
    tokio::select! {
        () = stop.wait() => say("stopping: no new calls; those on their way may end"),
        // It failed, or consensus ended.
        () = node.stopping.cancelled() => {}
        () = node.cluster.ended() => {}
    }
    running.stop().await;
    if node.has_failed() {
        Err(ServeError::Failed)
    } else {
        Ok(())
    }
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// From now on these signals ask for an orderly stop.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Until one comes.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A line for each frame: number, first record, hash. For comparing the book with what was applied
/// from outside; a reader that stops reading stops the node.
fn report_frames(path: &Path) -> Result<tollbook_raft::FrameHook, ServeError> {
    let file = File::options().append(true).create(true).open(path);
    let file = file.map_err(|source| ServeError::FramesTo {
        path: path.display().to_string(),
        source,
    })?;
    let file = Mutex::new(file);
    Ok(Arc::new(move |_entry, frames| {
        let mut lines = String::new();
        for frame in frames {
            let hash = tollbook_audit::hex(&frame.hash);
            lines.push_str(&format!(
                "{} {} {hash}\n",
                frame.frame_no, frame.first_index
            ));
        }
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(lines.as_bytes()) {
            tracing::warn!(%error, "the hash of a frame was not written");
        }
    }))
}

fn log_to_stderr(config: &Config) {
    let filter = EnvFilter::try_new(&config.log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let writer = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let set = match config.log.format {
        LogFormat::Json => writer.json().try_init(),
        LogFormat::Text => writer.try_init(),
    };
    if set.is_err() {
        say("a log writer was set before; it goes on");
    }
}

/// No core dump and no debugger of another user: the process holds tokens and keys.
fn keep_memory_private() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, none);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if limited.is_err() || hidden.is_err() {
        tracing::warn!("core dumps could not be switched off");
    }
}

#[expect(
    clippy::print_stderr,
    reason = "what `serve` promises on stderr, log or no log"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
