//! Every bound of the state, by name. Reaching one is a refusal with its own variant.

/// Commands that share one entry.
pub const BATCH_COMMANDS: usize = 256;

/// Largest amount and largest `max`: beyond it readers of JSON disagree.
pub const AMOUNT_MAX: u64 = (1 << 53) - 1;

/// A stamp that lies further behind the log's time than this is worth a `clock` record.
pub const CLOCK_CLAMP_US: u64 = 1_000_000;

/// Latest time that the log can count to (year 2255): what a record can hold.
pub const TIME_US_MAX: u64 = AMOUNT_MAX;

/// Boots of one node whose sequence numbers are remembered.
pub const BOOTS_PER_NODE: usize = 8;
/// Boots remembered in all.
pub const BOOTS: usize = 1024;

/// Open intents of one grant.
pub const OPEN_PER_GRANT: usize = 4096;
/// Open intents in all. It also bounds what one `NodeStart` closes.
pub const OPEN: usize = 32_768;
/// Calls closed as `unknown` whose late outcome is still awaited; the oldest is forgotten first.
pub const SETTLED: usize = 32_768;
/// Intents that one `Settle` closes; it says whether more wait.
pub const SETTLE_CALLS: usize = 1024;

/// Grants, revoked ones included.
pub const GRANTS: usize = 262_144;
/// Policies.
pub const POLICIES: usize = 4096;
/// Servers.
pub const SERVERS: usize = 4096;
/// Counters of all windows together.
pub const COUNTERS: usize = 1_048_576;
/// Former revisions of a policy that are remembered by digest.
pub const POLICY_HISTORY: usize = 64;

/// How long a counter outlives its window, so that a refund finds the window that was charged.
pub const COUNTER_KEEP_US: u64 = 3_600_000_000;
/// Counters of past windows that one entry removes.
pub const PRUNE_COUNTERS: usize = 512;

/// Elements of one intent.
pub const ELEMENTS: usize = 128;
/// Limits that one call is charged to: as many as its record can name.
pub const CHARGES: usize = tollbook_audit::limits::RESERVATIONS_MAX;
/// Argument commitments of one call: as many as its record can name.
pub const COMMITMENTS: usize = tollbook_audit::limits::ARGUMENTS_MAX;
/// Bytes of a commitment's path.
pub const COMMITMENT_PATH_BYTES: usize = 128;
/// Argument keys that an intent record names; the rest is counted.
pub const ARGUMENT_KEYS: usize = 64;
/// Bytes of one argument key; a longer one is only counted.
pub const ARGUMENT_KEY_BYTES: usize = 64;
/// Rows of one `Refused`.
pub const REFUSED_ROWS: usize = 4096;
/// Nodes whose newest start is remembered: all members, and some that are none yet.
pub const STARTS: usize = 1024;
/// Node ids that were members and are remembered one by one; below them all count as such.
pub const REMOVED: usize = 1024;

/// Join tokens, used and expired ones included; the first to expire makes room when it has.
pub const JOIN_TOKENS: usize = 64;
/// How far ahead a join token may expire.
pub const JOIN_TOKEN_US: u64 = 86_400_000_000;
/// How long a join token is remembered when its time is over, so that a node whose answer was lost
/// is told again, and one that comes late is told so.
pub const JOIN_TOKEN_KEEP_US: u64 = 86_400_000_000;
/// Refused uses of one used token that are recorded.
pub const JOIN_REFUSALS: u32 = 8;

/// How long a grant's former token may stay valid.
pub const TOKEN_OVERLAP_US: u64 = 30 * 86_400_000_000;

/// Bytes of a policy's text.
pub const POLICY_BYTES: usize = 4 << 20;
/// Rules and limits of one policy.
pub const POLICY_ROWS: usize = 65_536;
/// Bytes of a rule's name, pointer or message in a policy's tables.
pub const POLICY_TEXT_BYTES: usize = 8192;
/// Bytes of a counter's name.
pub const COUNTER_BYTES: usize = 128;

/// Bytes of a name: of a grant, owner, policy, server, or actor.
pub const NAME_BYTES: usize = 128;
/// Bytes of a node's address.
pub const ADDRESS_BYTES: usize = 256;
/// Bytes of an upstream's address.
pub const URL_BYTES: usize = 4096;
/// Headers of an upstream.
pub const HEADERS: usize = 32;
/// Bytes of a header's name or reference.
pub const HEADER_BYTES: usize = 1024;
/// Members that the genesis names: as many as its record can.
pub const GENESIS_MEMBERS: usize = tollbook_audit::limits::MEMBERS_MAX;
/// Bytes of the origin line.
pub const ORIGIN_BYTES: usize = tollbook_audit::limits::ORIGIN_BYTES_MAX;
/// Bytes of any other text of the genesis, and of any verifier key. Records must hold them whole.
pub const GENESIS_TEXT_BYTES: usize = 340;
