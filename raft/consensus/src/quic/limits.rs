//! Times and sizes of the transport, each with its reason.

use std::time::Duration;

/// A connection without a packet for this long is broken: two and a half of the longest election
/// times, so that a dead peer is told from one that is busy.
pub(super) const IDLE_TIME: Duration = Duration::from_millis(1500);
/// An idle connection sends a packet this often: every second heartbeat.
pub(super) const KEEP_ALIVE: Duration = Duration::from_millis(200);
/// The round trip that is assumed until one was measured. From it follows when a lost first
/// packet is sent again: with QUIC's own third of a second, a second after, which is an election.
pub(super) const FIRST_RTT: Duration = Duration::from_millis(10);

/// From an address to a peer that has greeted, all its addresses together.
pub(super) const DIAL_TIME: Duration = Duration::from_secs(1);
/// Addresses of one name that are tried.
pub(super) const DIAL_ADDRESSES_LIMIT: usize = 4;
/// How long a peer that was not reached is left alone at first. Doubles with each failure.
pub(super) const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
/// How long it is left alone at most: below the longest election time, so that a peer that comes
/// back is heard before it stands for election.
pub(super) const BACK_OFF_MOST: Duration = Duration::from_millis(500);
/// Peers that a node remembers how to reach. Above the members of a cluster, so that those who
/// left do not crowd out those who came.
pub(super) const LINKS_LIMIT: usize = 128;

/// Streams of one connection at a time, and calls that run for it.
pub(super) const STREAMS_LIMIT: u32 = 1024;
/// Bytes of a stream that its reader has not taken: 40 ms of a gigabit.
pub(super) const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes of a connection that are not taken or not acknowledged. Sixteen streams that nobody
/// reads fill it: below that, none holds up another.
pub(super) const CONNECTION_WINDOW: u32 = 64 << 20;

/// Bytes of a vote or a heartbeat. They have a header and a few numbers.
pub(super) const URGENT_BYTES_LIMIT: usize = 64 << 10;
/// Bytes of a message with entries: twice the largest command, for what goes along with it.
pub(super) const USUAL_BYTES_LIMIT: usize = 64 << 20;
/// Bytes of a piece of a snapshot or a segment. Small enough that many are on their way.
pub(super) const BULK_BYTES_LIMIT: usize = 8 << 20;
/// Bytes of messages that have arrived, wholly or in part, and are not answered, beyond
/// [`MESSAGE_BYTES_FREE`] of each stream. Of all peers together.
pub(super) const INBOUND_BYTES_LIMIT: usize = 256 << 20;
/// Bytes of a message that are not counted, so that small ones cost no counting. Also the unit
/// in which the others are counted.
pub(super) const MESSAGE_BYTES_FREE: usize = 64 << 10;
/// Chunks that are read from a stream at a time. A chunk is what one packet held.
pub(super) const READ_CHUNKS: usize = 16;
/// Messages that are written to a stream at a time.
pub(super) const WRITE_MESSAGES: usize = 32;

/// How long a stream may take to say what it is.
pub(super) const OPENING_TIME: Duration = Duration::from_secs(5);
/// How long a call's message may take to arrive: the largest, at two megabytes a second.
pub(super) const MESSAGE_TIME: Duration = Duration::from_secs(32);

/// How long a stranger may take for a handshake. A slow one holds a slot and nothing else.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(2);
/// Handshakes at a time. Each costs about a millisecond of one core.
pub(super) const HANDSHAKES_LIMIT: usize = 64;
/// Handshakes at a time from one address, so that one stranger does not take all slots.
pub(super) const HANDSHAKES_PER_ADDRESS_LIMIT: usize = 16;
/// Handshakes at a time from which on a dialer must show that its address is its own, which costs
/// it a round trip and the listener no memory.
pub(super) const HANDSHAKES_UNPROVED_LIMIT: usize = 8;
/// First packets that wait to be looked at.
pub(super) const INCOMING_LIMIT: usize = 256;
/// Bytes that are kept for each of them.
pub(super) const INCOMING_BYTES_LIMIT: u64 = 16 << 10;

/// Connections of one peer. It needs one; others are left from before a restart.
pub(super) const CONNECTIONS_PER_PEER_LIMIT: usize = 4;
/// How often the certificate of a connection that stays is looked at again.
pub(super) const RECHECK: Duration = Duration::from_secs(600);

/// Joins at a time. Whoever asks has shown nothing yet.
pub(super) const JOINS_LIMIT: usize = 8;
/// Bytes of a request to join: a token, a key, addresses.
pub(super) const JOIN_REQUEST_BYTES_LIMIT: usize = 64 << 10;
/// Bytes of the answer: a certificate, authorities, members.
pub(super) const JOIN_ANSWER_BYTES_LIMIT: usize = 4 << 20;
/// How long a join may take: a commit, and a forward to the leader.
pub(super) const JOIN_TIME: Duration = Duration::from_secs(30);

/// How long an orderly end waits until peers know of it.
pub(super) const CLOSE_TIME: Duration = Duration::from_millis(500);
/// Bytes of a library's reason in a message of ours.
pub(super) const REASON_CHARS_LIMIT: usize = 256;
