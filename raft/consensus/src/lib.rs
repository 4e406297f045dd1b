//! Orders commands: `commit(command)` comes back when the command's entry is on a quorum's disks
//! and applied. Knows no policy, no MCP and no HTTP, and not what a command means.
//!
//! The only user of openraft (and of the peer transport, when there are peers). The library's
//! types end at this crate's walls: what goes to disk is encoded in `codec`, and callers see
//! [`Cluster`] alone.

pub mod backfill;
mod batch;
mod certs;
mod change;
mod cluster;
mod codec;
mod cosign;
mod error;
mod fatal;
mod flusher;
mod forward;
mod keeper;
mod log_store;
mod members;
mod network;
mod options;
mod peers;
mod quic;
mod recovery;
mod runtime;
mod serve;
mod snapshot;
mod state_machine;
mod stats;
#[cfg(test)]
mod tests;
mod transport;
mod types;
mod waiters;
mod wire;
mod workers;

pub use self::batch::Committing;
pub use self::certs::{
    AUTHORITIES_LIMIT, AUTHORITY_LIFE, Authority, CERTIFICATE_LIFE, CaCertificate, CertError,
    Fingerprint, Identity, NodeKey, ProvedKey,
};
pub use self::cluster::{Cluster, Progress, cluster_id};
pub use self::cosign::{
    Ask, CosignError, CosignOptions, Cosigner, DivergedHook, Divergence, Failed, Notebook,
    PromiseError, Root, View, cosigner,
};
pub use self::error::{CommitError, StartError};
pub use self::fatal::Failure;
pub use self::members::{Member, Status};
pub use self::options::{AskHook, Clock, FrameHook, MaxSigned, Options, Replay, Timing};
pub use self::peers::Heard;
pub use self::quic::{
    FrameReader, FrameTooLong, JoinError, JoinHook, Joined, Quic, QuicError, QuicSettings,
    QuicStats, ask_to_join,
};
pub use self::runtime::seed_chance;
pub use self::stats::{MICROS_BUCKETS, Stats};
pub use self::transport::{
    CHANNEL_MESSAGES, Channel, LinkError, NoPeers, Service, Target, Transport, Urgency,
};
pub use self::types::{NodeId, Peer};
pub use self::wire::{Change, ChangeError};

/// Named limits of this crate.
pub mod limits {
    use std::time::Duration;

    /// Commands that wait for their batch. More are refused.
    pub const QUEUED_COMMANDS_LIMIT: usize = 16_384;
    /// Commands in one entry.
    pub const BATCH_COMMANDS_LIMIT: usize = tollbook_state::limits::BATCH_COMMANDS;
    /// Bytes of commands in one entry, but for a larger command, which goes alone.
    pub const BATCH_BYTES_LIMIT: usize = 48 * 1024;
    /// Bytes of one command: a policy and its tables.
    pub const COMMAND_BYTES_LIMIT: usize = 32 << 20;
    /// Full entries of this node that are on their way while the next gathers; of those that are
    /// not full, one. Within the 64 that the state tells apart.
    pub const BATCHES_IN_FLIGHT_LIMIT: usize = 4;
    /// How far sequence numbers of batches on their way may be apart: the state tells 64 apart.
    pub const BATCHES_TOLD_APART: u64 = 64;
    /// How long a batch is tried to be brought to a leader, or its end waited for.
    pub const COMMIT_WITHIN: Duration = Duration::from_secs(15);
    /// The same once the node is stopping.
    pub const COMMIT_WITHIN_STOP: Duration = Duration::from_secs(3);

    /// Bytes of one piece of a snapshot.
    pub const SNAPSHOT_PIECE_BYTES: usize = 1 << 20;
    /// Bytes of a whole snapshot.
    pub const SNAPSHOT_BYTES_LIMIT: u64 = 4 << 30;

    /// Writes that wait for one sync.
    pub const FLUSH_REQUESTS_LIMIT: usize = 1024;

    /// Bytes of the log's end that stay in memory, so that apply reads no disk.
    pub const TAIL_BYTES_LIMIT: usize = 8 << 20;
    /// Bytes of log read at a time.
    pub const READ_BYTES_LIMIT: usize = 1 << 20;

    /// Bytes of log, state and frames after which the state is flushed, so that a replay takes
    /// seconds. Well below the engine's own limit.
    pub const FLUSH_STATE_BYTES: u64 = 32 << 20;
    /// Entries after which the state is flushed.
    pub const FLUSH_STATE_ENTRIES: u64 = 100_000;
    /// Bytes of frames after which the segments are synced.
    pub const SYNC_SEGMENTS_BYTES: u64 = 4 << 20;
    /// Entries before the flushed one that the log keeps.
    pub const LOG_KEEP_ENTRIES: u64 = 1024;

    /// Members of a cluster.
    pub const MEMBERS_LIMIT: usize = 64;
    /// Bytes of one text of a member.
    pub const PEER_TEXT_BYTES_LIMIT: usize = 4096;

    /// Sealed sizes whose roots a cosigner remembers.
    pub const SEALS_REMEMBERED_LIMIT: usize = 16;
    /// Peers' questions that wait for the cosigner. More are answered as if it lagged.
    pub const COSIGN_REQUESTS_LIMIT: usize = 64;
    /// Questions for a cosignature that wait until the book reaches their size; the oldest goes.
    pub const COSIGN_WAITING_LIMIT: usize = 16;
    /// Notes that wait until the book reaches their size; the oldest goes.
    pub const NOTES_WAITING_LIMIT: usize = 4;
    /// Notes on their way to members. What would be more is not sent: a later note covers it.
    pub const COSIGN_SENDS_LIMIT: usize = 4 * MEMBERS_LIMIT;
    /// Bytes of one cosignature line.
    pub const COSIGNATURE_BYTES_LIMIT: usize = 1024;
}
