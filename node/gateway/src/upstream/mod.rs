//! The way to the servers: HTTP/1.1 connections that are kept and reused, and say exactly whether a
//! byte of a request has left this process. Knows no call, grant or policy.
//!
//! What is certain and what is not:
//! - [`NotSent`]: no byte of the request was given to the kernel, and none will be.
//! - [`Sent`], and any [`Broken`] after it: the request may have run, whatever came back.
//!
//! hyper alone cannot tell: it takes a request, puts it into its buffer, and an error then may mean
//! either. The gate around each socket (`gate.rs`) sees the bytes themselves, and lets the first
//! one pass only before the admit deadline.

mod connect;
mod gate;
pub mod headers;
mod pool;
mod reply;
pub mod secret;
mod target;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

pub use connect::{Trust, trust};
pub use pool::{Outgoing, Pool, PoolLimits, Sent};
pub use reply::ReplyBody;
pub use target::{Target, TargetError};

use crate::clock::{Clock, Moment};

/// Why a request was not sent. Whatever the variant, no byte of it was.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// The pool is closed: this node is stopping.
    #[error("this node is stopping and opens no connection")]
    Closed,
    /// No connection was made.
    #[error("no connection to the server")]
    Connect(#[source] ConnectFailure),
    /// The admit deadline passed before the first byte.
    #[error("the admit deadline passed before the request was sent")]
    DeadlinePassed,
    /// The server closed each connection, new ones too, before the request was written.
    #[error("the server closed {connections} connections before the request was sent")]
    HandedBack {
        /// How many connections were tried.
        connections: u32,
    },
    /// All connections to this server stayed busy until the admit deadline.
    #[error("all {connections} connections to the server are busy")]
    PoolFull {
        /// `[limits] upstream_connections`.
        connections: usize,
    },
    /// Connections to too many different servers are open.
    #[error("connections to {origins} servers are open, which is the limit")]
    TooManyOrigins {
        /// The limit.
        origins: usize,
    },
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// The name leads to an address that no server is allowed to have.
    #[error(
        "the server's name leads to {address}, which is a link-local, metadata or multicast address"
    )]
    AddressForbidden {
        /// The address.
        address: IpAddr,
    },
    /// The name has no address.
    #[error("the server's name has no address")]
    NoAddress,
    /// No answer within the connect deadline, TLS included.
    #[error("no connection within {} ms", after.as_millis())]
    TimedOut {
        /// `[deadlines] connect`.
        after: Duration,
    },
    /// The TLS handshake failed: certificate, version, or not TLS at all.
    #[error("tls handshake failed")]
    Tls(#[source] io::Error),
    /// No address of the server took the connection.
    #[error("the server did not take the connection")]
    Unreachable(#[source] io::Error),
    /// The name could not be looked up.
    #[error("the server's name could not be looked up")]
    Unresolved(#[source] io::Error),
}

/// Why there is no whole response to a request that was sent. The request may have run.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection ended before the response did.
    #[error("the server closed the connection before its reply was whole")]
    Closed(#[source] hyper::Error),
    /// The connection failed.
    #[error("the connection to the server failed")]
    Connection(#[source] hyper::Error),
    /// What came is not HTTP/1.1, or its head is too large.
    #[error("the server's reply is not readable as http/1.1")]
    Malformed(#[source] hyper::Error),
    /// No reply within the deadline. The connection was dropped.
    #[error("no reply within the deadline")]
    TimedOut,
    /// The reply is larger than it may be.
    #[error("the server's reply is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The server switched to another protocol, which was not asked for.
    #[error("the server switched protocols unasked")]
    Upgraded,
}

impl From<hyper::Error> for Broken {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() || error.is_parse_too_large() {
            Self::Malformed(error)
        } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            Self::Closed(error)
        } else {
            Self::Connection(error)
        }
    }
}

/// A deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed;

/// Runs `work` until `deadline` at most; then drops it.
async fn within<T>(
    clock: Clock,
    deadline: Moment,
    work: impl Future<Output = T>,
) -> Result<T, Passed> {
    let left = deadline.left(clock.moment());
    tokio::time::timeout(left, work)
        .await
        .map_err(|_elapsed| Passed)
}
