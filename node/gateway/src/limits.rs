//! Every bound of the gateway, by name. Reaching one is a refusal, never a silent wait.
//! `tollbook.toml` sets them in `[limits]` and `[deadlines]`; README has the table.

use std::time::Duration;

/// Sizes and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request body on the data plane.
    pub body_bytes: usize,
    /// Bytes of one upstream reply that is held whole (JSON replies, lists, final events).
    pub reply_bytes: usize,
    /// Bytes of one SSE event.
    pub event_bytes: usize,
    /// Bytes of a request's head: request line and headers.
    pub head_bytes: usize,
    /// Headers of one request.
    pub headers: usize,
    /// Calls on their way at once, in all.
    pub calls: usize,
    /// Connections of clients at once, in all.
    pub connections: usize,
    /// Connections to one upstream, busy and idle.
    pub upstream_connections: usize,
    /// Bytes of one policy document.
    pub policy_bytes: usize,
    /// Refusals (denied, malformed) of one grant that are evaluated and recorded in a second.
    pub refusals_per_second: u32,
    /// How many refusals may come at once before that rate holds.
    pub refusals_burst: u32,
    /// Sources of failed authentications that are told apart within a second.
    pub sources: usize,
    /// Decisions made again because a revision changed under the call.
    pub decisions: u32,
    /// Free bytes on the data directory's disk below which no intent is taken. `None`: the smaller
    /// of 5 % and 1 GiB.
    pub disk_reserve: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            reply_bytes: 16 << 20,
            event_bytes: 4 << 20,
            head_bytes: 64 << 10,
            headers: 100,
            calls: 4096,
            connections: 8192,
            upstream_connections: 256,
            policy_bytes: 1 << 20,
            refusals_per_second: 50,
            refusals_burst: 500,
            sources: 64,
            decisions: 4,
            disk_reserve: None,
        }
    }
}

/// How long each wait may last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From proposing the intent to the first byte sent upstream.
    pub admit: Duration,
    /// From sending to the end of the upstream's reply.
    pub call: Duration,
    /// For the outcome to be on a quorum before the result is released.
    pub outcome: Duration,
    /// Beyond `call`: then an open intent is closed as `unknown`.
    pub settle: Duration,
    /// At an orderly stop: for calls on their way.
    pub drain: Duration,
    /// For a client to send a request's head, counted from when the connection is ready for one:
    /// so this is also how long an idle connection is kept.
    pub head: Duration,
    /// For a client to send a request's body, and to take the end of a streamed reply.
    pub body: Duration,
    /// For a connection to an upstream, TLS included.
    pub connect: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            admit: Duration::from_secs(3),
            call: Duration::from_secs(300),
            outcome: Duration::from_secs(10),
            settle: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            connect: Duration::from_secs(3),
        }
    }
}
