//! `tollbook serve`, `dev`, `demo`: the commands that are a node.

use std::path::PathBuf;

use clap::Args;
use tokio::runtime::{Builder, Runtime};

use super::{Exit, Failure, out};
use crate::demo::{self, DemoError};
use crate::dev::{self, DevError};
use crate::node::NodeError;
use crate::serve::{self, ServeError};
use crate::trial::TrialError;

/// Serves until SIGTERM or SIGINT, then stops in good order.
#[derive(Args, Debug)]
#[command(after_help = "When it serves, one line on stderr says where: `ready data=… admin=…`")]
pub(super) struct Serve {
    /// The node's directory
    #[arg(long, value_name = "D", env = "TOLLBOOK_DIR")]
    dir: PathBuf,
    /// Go on though this machine's clock is far from the log's; recorded
    #[arg(long)]
    accept_clock: bool,
    /// Append number, first record and hash of each frame to this file or FIFO as it is applied
    #[arg(long, value_name = "FILE")]
    frames_to: Option<PathBuf>,
}

/// One node before the built-in sample MCP server, with a policy and a grant, ready to be tried.
#[derive(Args, Debug)]
pub(super) struct Dev {
    /// Keep the node here; without it, a temporary directory that is removed at the end
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Port of the data plane; 0 is any free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
}

/// An agent's calls through a gate, each with its verdict; then the book is verified.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// How many nodes: 1, or 3 as processes of their own
    #[arg(long, value_name = "N", default_value_t = 1)]
    nodes: u32,
}

pub(super) fn serve(serve: Serve) -> Result<Exit, Failure> {
    let Serve {
        dir,
        accept_clock,
        frames_to,
    } = serve;
    let asked = serve::Serve {
        accept_clock,
        frames_to,
    };
    match runtime()?.block_on(serve::run(&dir, asked)) {
        Ok(()) => Ok(Exit::Done),
        Err(ServeError::Dir(error) | ServeError::Node(NodeError::Dir(error))) => {
            Err(Failure::Dir(error))
        }
        Err(ServeError::Node(error)) => Err(of_node(error)),
        Err(error) => Err(failure("TB-SERVE", Exit::Failed, error)),
    }
}

pub(super) fn dev(dev: Dev) -> Result<Exit, Failure> {
    let mut printed = Ok(());
    let mut show = |text: &str| printed = out::text(text);
    match runtime()?.block_on(dev::run(dev.dir, dev.port, &mut show)) {
        Ok(()) => printed.map(|()| Exit::Done),
        Err(DevError::Trial(error)) => Err(of_trial(error)),
        Err(error) => Err(failure("TB-DEV", Exit::Failed, error)),
    }
}

pub(super) fn demo(demo: &Demo) -> Result<Exit, Failure> {
    let mut printed = Ok(());
    let mut show = |text: &str| {
        if printed.is_ok() {
            printed = out::line(text);
        }
    };
    match runtime()?.block_on(demo::run(demo.nodes, &mut show)) {
        Ok(()) => printed.map(|()| Exit::Done),
        Err(DemoError::Trial(error)) => Err(of_trial(error)),
        Err(error @ DemoError::Nodes) => Err(failure("TB-USAGE", Exit::Usage, error)),
        Err(error) => Err(failure("TB-DEMO", Exit::Failed, error)),
    }
}

fn of_trial(error: TrialError) -> Failure {
    match error {
        TrialError::Dir(error) | TrialError::Node(NodeError::Dir(error)) => Failure::Dir(error),
        TrialError::Node(error) => of_node(error),
        error @ (TrialError::Change { .. } | TrialError::Policy { .. } | TrialError::Sample(_)) => {
            failure("TB-TRIAL", Exit::Failed, error)
        }
    }
}

fn of_node(error: NodeError) -> Failure {
    let (code, exit) = match &error {
        NodeError::Bind { .. } => ("TB-NODE-BIND", Exit::Usage),
        NodeError::Clock { .. } => ("TB-NODE-CLOCK", Exit::Usage),
        NodeError::LogKey { .. } => ("TB-NODE-KEY", Exit::Usage),
        NodeError::Origin { .. } => ("TB-NODE-ORIGIN", Exit::Usage),
        NodeError::Peers(_) => ("TB-NODE-PEERS", Exit::Usage),
        NodeError::Engine(_) => ("TB-NODE-STORAGE", Exit::Failed),
        NodeError::Start(_) => ("TB-NODE-START", Exit::Failed),
        NodeError::Begin { .. } | NodeError::Dir(_) => ("TB-NODE-BEGIN", Exit::Failed),
    };
    failure(code, exit, error)
}

pub(super) fn failure(
    code: &'static str,
    exit: Exit,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Failure {
    Failure::Node {
        code,
        exit,
        source: Box::new(source),
    }
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failure("TB-RUNTIME", Exit::Failed, error))
}
