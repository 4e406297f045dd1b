//! Why a command did not do what it was asked, and what the program exits with.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use http::StatusCode;
use thiserror::Error;

use super::note;
use crate::client::ClientError;
use crate::config::ConfigError;
use crate::dir::DirError;

/// What the program exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, allowed, valid.
    Done,
    /// It could not be done.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// Denied, lint errors, tampered.
    Negative,
    /// Incomplete, unreadable.
    Inconclusive,
    /// Not permitted.
    NotPermitted,
    /// Not found, or in conflict.
    NotFound,
    /// No quorum, draining: try again.
    Temporary,
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// An argument that the command line's grammar cannot judge.
    #[error("`{name}` cannot be `{found}`; give {wanted}")]
    Argument {
        /// Which.
        name: &'static str,
        /// As it was given.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// Asking the node.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Whoever read stdout has gone away. Nothing is reported.
    #[error("nobody reads the output")]
    Closed,
    /// The node's directory.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// A file that was named.
    #[error("cannot read `{path}`; check that it exists and that this user may read it")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A policy that was laid out anew would mean something else: a bug of ours.
    #[error(
        "laid out anew `{path}` would mean something else, so it is as it was; please report it"
    )]
    Layout {
        /// Which.
        path: PathBuf,
    },
    /// The node itself could not start, or stopped on an error.
    #[error("{source}")]
    Node {
        /// The stable code.
        code: &'static str,
        /// What the program exits with.
        exit: Exit,
        /// What happened and what to do.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Stdout.
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
    /// A file that was to be written.
    #[error("cannot write `{path}`; it is as it was")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Exit {
    /// As DESIGN.md lists them.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Negative => 3,
            Self::Inconclusive => 4,
            Self::NotPermitted => 5,
            Self::NotFound => 6,
            Self::Temporary => 75,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Failure {
    /// Tells the person at the terminal, and says what to exit with.
    pub fn report(&self) -> ExitCode {
        if matches!(self, Self::Closed) {
            return Exit::Done.into();
        }
        note(&format!("error[{}]: {self}", self.code()));
        // A transparent error's own text stands above already.
        let mut cause = self.cause();
        while let Some(error) = cause {
            note(&format!("  cause: {error}"));
            cause = error.source();
        }
        self.exit().into()
    }

    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Node { source, .. } => source.source(),
            Self::Argument { .. }
            | Self::Client(_)
            | Self::Closed
            | Self::Dir(_)
            | Self::File { .. }
            | Self::Layout { .. }
            | Self::Stdout(_)
            | Self::Write { .. } => self.source(),
        }
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Argument { .. } => "TB-USAGE",
            Self::Client(error) => error.code(),
            Self::Closed | Self::Stdout(_) => "TB-STDOUT",
            Self::Dir(error) => error.code(),
            Self::File { .. } => "TB-FILE-READ",
            Self::Layout { .. } => "TB-FMT-MEANING",
            Self::Node { code, .. } => code,
            Self::Write { .. } => "TB-FILE-WRITE",
        }
    }

    /// What the program exits with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Argument { .. } => Exit::Usage,
            Self::Client(error) => of_client(error),
            Self::Closed => Exit::Done,
            Self::Dir(error) => of_dir(error),
            Self::File { .. } | Self::Layout { .. } | Self::Stdout(_) | Self::Write { .. } => {
                Exit::Failed
            }
            Self::Node { exit, .. } => *exit,
        }
    }
}

fn of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::Address { .. } | ClientError::NoNode | ClientError::NoToken => Exit::Usage,
        ClientError::Answer { .. } | ClientError::Broken { .. } | ClientError::Runtime(_) => {
            Exit::Failed
        }
        ClientError::Connect { .. }
        | ClientError::NotRunning { .. }
        | ClientError::Timeout { .. } => Exit::Failed,
        ClientError::Dir(error) => of_dir(error),
        ClientError::Problem(problem) => {
            of_status(StatusCode::from_u16(problem.status).unwrap_or_default())
        }
    }
}

fn of_status(status: StatusCode) -> Exit {
    match status {
        // What a policy says of itself is a verdict; every other bad request is a usage error.
        StatusCode::UNPROCESSABLE_ENTITY => Exit::Negative,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotPermitted,
        StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
            Exit::NotFound
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Exit::Temporary,
        status if status.is_client_error() => Exit::Usage,
        _ => Exit::Failed,
    }
}

pub(super) fn of_dir(error: &DirError) -> Exit {
    match error {
        DirError::Config(
            ConfigError::AddressTwice { .. }
            | ConfigError::Missing { .. }
            | ConfigError::Read { .. }
            | ConfigError::Syntax { .. }
            | ConfigError::Unknown { .. }
            | ConfigError::Value { .. },
        )
        | DirError::Missing { .. }
        | DirError::Mode { .. }
        | DirError::NotEmpty { .. }
        | DirError::Origin { .. }
        | DirError::Token { .. } => Exit::Usage,
        DirError::Damaged { .. }
        | DirError::Diverged { .. }
        | DirError::RolledBack { .. }
        | DirError::InUse { .. }
        | DirError::Io { .. }
        | DirError::Random(_)
        | DirError::SignedOther { .. }
        | DirError::SignedSmaller { .. } => Exit::Failed,
    }
}
