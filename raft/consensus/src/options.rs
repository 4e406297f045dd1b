//! What a node is started with.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::{Config, ConfigError, SnapshotPolicy};

use tollbook_audit::frame::Frame;
use tollbook_state::command::Micros;

use crate::fatal::FailureHook;
use crate::limits::{FLUSH_STATE_BYTES, FLUSH_STATE_ENTRIES, LOG_KEEP_ENTRIES};
use crate::transport::{NoPeers, Transport};
use crate::types::{NodeId, Peer};

/// The node's wall clock.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// Told of the frames of each entry as it is applied, live and at replay: the entry's index, then
/// its frames. Called on the consensus thread; it must not block.
pub type FrameHook = Arc<dyn Fn(u64, &[Frame]) + Send + Sync>;

/// Answers a peer's message that consensus does not look into.
pub type AskHook = Arc<dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Bytes> + Send + Sync>;

/// The newest checkpoint that this node has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxSigned {
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: [u8; 32],
}

/// Raft's times. A follower stands for election when it has heard nothing for the lease (the
/// longest election time) and a random election time more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Shortest election time.
    pub election_min: Duration,
    /// Longest election time, and the leader's lease.
    pub election_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
        }
    }
}

/// How much a restart may have to do again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Bytes of log, state and frames after which the state is flushed.
    pub bytes: u64,
    /// Entries after which the state is flushed.
    pub entries: u64,
    /// Entries below the flushed one that the log keeps, for peers that lag.
    pub keep: u64,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            bytes: FLUSH_STATE_BYTES,
            entries: FLUSH_STATE_ENTRIES,
            keep: LOG_KEEP_ENTRIES,
        }
    }
}

/// What a node is started with.
#[derive(Clone)]
pub struct Options {
    /// This node.
    pub node: u32,
    /// Random per start of the program.
    pub boot: u64,
    /// Counts the starts of the node's directory: peers that have seen a higher one of this node
    /// do not listen, for its disk was rolled back or copied.
    pub start: u64,
    /// Name of the cluster, which no other has: its origin. Peers of another are refused.
    pub cluster: String,
    /// What the others know of this node. Becomes the first membership when the directory is new.
    pub peer: Peer,
    /// Whether an empty directory begins a cluster of one. Off for a node that joins another.
    pub begins: bool,
    /// The way to peers.
    pub transport: Arc<dyn Transport>,
    /// Answers what peers ask of the program.
    pub on_ask: AskHook,
    /// Stamps entries while this node leads.
    pub clock: Clock,
    /// Raft's times.
    pub timing: Timing,
    /// How much a restart may have to do again.
    pub replay: Replay,
    /// What this node has signed so far: a log that ends before it does not serve.
    pub max_signed: Option<MaxSigned>,
    /// Told of frames at apply.
    pub on_frames: Option<FrameHook>,
    /// Told once that the node can write no more. It should end the process.
    pub on_failure: FailureHook,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("node", &self.node)
            .field("boot", &self.boot)
            .field("start", &self.start)
            .field("cluster", &self.cluster)
            .field("begins", &self.begins)
            .field("timing", &self.timing)
            .field("replay", &self.replay)
            .field("max_signed", &self.max_signed)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Options of a node that begins a cluster, with usual times, no hooks, and an end of the
    /// process on failure.
    #[must_use]
    pub fn new(node: u32, boot: u64, clock: Clock) -> Self {
        Self {
            node,
            boot,
            start: 0,
            cluster: "tollbook".into(),
            peer: Peer::default(),
            begins: true,
            transport: Arc::new(NoPeers),
            on_ask: Arc::new(|_, _| Box::pin(std::future::ready(Bytes::new()))),
            clock,
            timing: Timing::default(),
            replay: Replay::default(),
            max_signed: None,
            on_frames: None,
            // At once, and without a backtrace: the log line that says why is written by then.
            on_failure: Arc::new(|_| std::process::abort()),
        }
    }

    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let Timing {
            heartbeat,
            election_min,
            election_max,
        } = self.timing;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Config {
            cluster_name: self.cluster.clone(),
            heartbeat_interval: millis(heartbeat),
            election_timeout_min: millis(election_min),
            election_timeout_max: millis(election_max),
            // A leader whose heartbeats reach a quorum that cannot answer lets go (#2080).
            quorum_loss_probe_interval: Some(millis(election_max).saturating_mul(2).max(1200)),
            enable_pre_vote: Some(true),
            // The default restores a leader without election and counts on applies being durable.
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            install_snapshot_timeout: 60_000,
            replication_lag_threshold: 500_000,
            // Purging is the keeper's: only it knows what state and book still need.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            ..Config::default()
        }
        .validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_keeps_what_safety_rests_on() {
        let clock: Clock = Arc::new(|| Micros(0));
        let config = Options::new(1, 1, clock).config().unwrap();
        assert_eq!(config.enable_leader_restore, Some(false));
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.allow_log_reversion, Some(false));
        assert_eq!(config.snapshot_policy, SnapshotPolicy::Never);
        assert_eq!(config.max_in_snapshot_log_to_keep, u64::MAX);
        assert!(config.quorum_loss_probe_interval.unwrap() >= 2 * config.election_timeout_max);
    }
}
