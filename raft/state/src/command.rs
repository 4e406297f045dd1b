//! The closed list of commands. A command carries facts; the state decides and makes the record.
//!
//! Encoded with postcard behind a version byte (`codec.rs`). The order of variants and fields is
//! the format: append variants, never reorder; a changed variant is a new one.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, as the log counts them.
pub use tollbook_audit::Micros;

/// A command's place: which node proposed it, in which of its boots, as which of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The proposer.
    pub node: u32,
    /// Random per start of the program.
    pub boot: u64,
    /// 1, 2, 3, … within the boot.
    pub sequence: u64,
}

/// What a node proposes: commands that share one Raft entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Which batch this is.
    pub place: Place,
    /// At most `limits::BATCH_COMMANDS`, applied in order.
    pub commands: Vec<Command>,
}

/// Public handle of a grant: the 12 base62 characters of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GrantId(pub [u8; 12]);

/// UUID of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerId(pub [u8; 16]);

/// `UUIDv7` of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub [u8; 16]);

/// Digest of a policy's canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyDigest(pub [u8; 32]);

/// Domain-separated SHA-256 of a whole grant token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub [u8; 32]);

/// Public id of a join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JoinTokenId(pub [u8; 12]);

/// The highest version of commands that this program knows: what it says in its `NodeStart`. A
/// state whose `version` is above it was changed in ways that this program cannot follow.
pub const SPEAKS: u16 = 1;

/// Everything that can change the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Begins the log; the first command that is applied.
    Genesis(Genesis),
    /// Makes or changes a server.
    ServerPut(ServerPut),
    /// Removes a server that no grant needs.
    ServerRemove {
        /// Who: the public id of the admin token.
        actor: String,
        /// Which server.
        server: ServerId,
        /// The revision that it was decided on; none: whatever it is.
        expected: Option<u64>,
    },
    /// Puts a revision of a policy in force.
    PolicyPut(PolicyPut),
    /// Makes or changes a grant.
    GrantPut(GrantPut),
    /// Ends a grant for good. Safe to repeat.
    GrantRevoke {
        /// Who: the public id of the admin token.
        actor: String,
        /// Which grant.
        grant: GrantId,
        /// The revision that it was decided on; none: whatever it is.
        expected: Option<u64>,
    },
    /// Asks for admission of a decided call.
    Intent(Intent),
    /// Ends an admitted call.
    Outcome(Outcome),
    /// Records a filtered `tools/list`.
    List(List),
    /// Records counted refusals.
    Refused(Refused),
    /// The proposer started; closes what its earlier boots left open. Refused where the node is
    /// known to have started as often or more: its disk was set back, or copied.
    NodeStart {
        /// Version of the program.
        software: String,
        /// Which start of its directory it is: 1, 2, 3, …
        start: u64,
        /// Highest version of commands that the program knows.
        speaks: u16,
    },
    /// The proposer stops; closes what it still has open.
    NodeStop {
        /// Version of the program.
        software: String,
    },
    /// Closes intents that were admitted before `before` as `unknown`.
    Settle {
        /// By the log's time.
        #[serde(with = "crate::codec::micros")]
        before: Micros,
    },
    /// Ends a checkpoint, where anything but a seal follows the last one.
    Seal,
    /// An operator accepts a jump of the leader's clock.
    ClockAccept {
        /// Who: the public id of the admin token.
        actor: String,
    },
    /// Gives a grant a new token.
    GrantRotate(GrantRotate),
    /// Makes a token that one node may join with, once.
    JoinTokenPut(JoinTokenPut),
    /// A node joins: uses up a token and is given an id. Safe to repeat.
    Join(Join),
    /// Lets commands up to this version in, once every member knows them. Never lowers it.
    Version {
        /// The version.
        version: u16,
    },
    /// A lone survivor was made the cluster.
    Recover {
        /// Who did it.
        actor: String,
        /// Why, in a line.
        reason: String,
    },
    /// The log is signed by another key from here on.
    KeyChange {
        /// Who: the public id of the admin token.
        actor: String,
        /// C2SP verifier key of the new log key.
        log_key: String,
    },
}

impl Command {
    /// The cluster's version from which on this command is applied. Members below it cannot read
    /// it, nor the batch that it stands in.
    #[must_use]
    pub fn version(&self) -> u16 {
        match self {
            Self::Genesis(_)
            | Self::ServerPut(_)
            | Self::ServerRemove { .. }
            | Self::PolicyPut(_)
            | Self::GrantPut(_)
            | Self::GrantRevoke { .. }
            | Self::Intent(_)
            | Self::Outcome(_)
            | Self::List(_)
            | Self::Refused(_)
            | Self::NodeStart { .. }
            | Self::NodeStop { .. }
            | Self::Settle { .. }
            | Self::Seal
            | Self::ClockAccept { .. }
            | Self::GrantRotate(_)
            | Self::JoinTokenPut(_)
            | Self::Join(_)
            | Self::Version { .. }
            | Self::Recover { .. }
            | Self::KeyChange { .. } => 1,
        }
    }
}

/// First command of a cluster. A second one is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Genesis {
    /// C2SP origin line.
    pub origin: String,
    /// C2SP verifier key of the log.
    pub log_key: String,
    /// (node, C2SP verifier key of its cosigning key).
    pub members: Vec<(u32, String)>,
    /// Version of the program.
    pub software: String,
    /// Body of the last note of the log that this one continues.
    pub prior: Option<String>,
}

/// Makes or changes a server. `expected` guards against lost updates: the revision that the
/// change was made on, 0 for a new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerPut {
    /// Who: the public id of the admin token.
    pub actor: String,
    /// Which server.
    pub server: ServerId,
    /// What people call it; no two servers share one.
    pub name: String,
    /// How it is reached.
    pub upstream: Upstream,
    /// The revision that the change was made on.
    pub expected: u64,
}

/// How a server is reached. Stdio servers will be a variant of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upstream {
    /// Streamable HTTP.
    Http {
        /// Its address.
        url: String,
        /// (header name, reference such as `file:PATH` or `env:VAR`); never a secret itself.
        headers: Vec<(String, String)>,
    },
}

/// A new revision of a policy. The same digest again changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyPut {
    /// Who: the public id of the admin token.
    pub actor: String,
    /// What grants point at.
    pub name: String,
    /// Digest of the canonical form. The tables below are a function of that form.
    pub digest: PolicyDigest,
    /// The document as it was applied.
    pub text: String,
    /// What denials name.
    pub rules: Vec<RuleRow>,
    /// What charges name.
    pub limits: Vec<LimitRow>,
    /// The revision that it was written on, 0 for a new one; none: whatever it is.
    pub expected: Option<u64>,
}

/// One condition's place in the policy, which a denial names by row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRow {
    /// The pointer that people read.
    pub rule: String,
    /// RFC 6901 pointer.
    pub pointer: String,
    /// The policy's `on_deny`.
    pub message: Option<String>,
}

/// One limit as plain data: all that the state knows of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRow {
    /// The pointer that people read.
    pub rule: String,
    /// RFC 6901 pointer.
    pub pointer: String,
    /// The policy's `on_deny`.
    pub message: Option<String>,
    /// What is counted.
    pub counter: String,
    /// Over which time.
    pub window: Window,
    /// Over whose calls.
    pub scope: Scope,
    /// No sum goes over it. At most 2^53 - 1.
    pub max: u64,
}

/// Calendar-aligned, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From its first midnight to the next one's.
    Month,
}

/// Whose calls share a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// One grant.
    Grant,
    /// All grants under one policy name.
    Policy,
    /// All grants of one server.
    Server,
    /// All grants of one person; a grant without owner is its own.
    Owner,
}

/// Makes or changes a grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrantPut {
    /// Who: the public id of the admin token.
    pub actor: String,
    /// Which grant.
    pub grant: GrantId,
    /// What people call it.
    pub label: String,
    /// The person it belongs to.
    pub owner: Option<String>,
    /// The one server it is for.
    pub server: ServerId,
    /// Name of a policy; none denies all.
    pub policy: Option<String>,
    /// Hash of its token.
    pub token: TokenHash,
    /// Not valid before this.
    #[serde(with = "crate::codec::micros_option")]
    pub not_before: Option<Micros>,
    /// Not valid from this on.
    #[serde(with = "crate::codec::micros_option")]
    pub expires: Option<Micros>,
    /// The revision that the change was made on, 0 for a new grant.
    pub expected: u64,
}

/// Gives a grant a new token; the former one stays valid for a while. The same token again changes
/// nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrantRotate {
    /// Who: the public id of the admin token.
    pub actor: String,
    /// Which grant.
    pub grant: GrantId,
    /// Hash of the new token.
    pub token: TokenHash,
    /// The former token is valid before this, by the log's time; a time that is past ends it at
    /// once. At most `limits::TOKEN_OVERLAP_US` ahead.
    #[serde(with = "crate::codec::micros")]
    pub overlap_until: Micros,
    /// The revision that it was decided on; none: whatever it is.
    pub expected: Option<u64>,
}

/// A token that one node may join with, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinTokenPut {
    /// Who: the public id of the admin token.
    pub actor: String,
    /// Public id of the token.
    pub id: JoinTokenId,
    /// Hash of the token.
    pub hash: TokenHash,
    /// Not valid from this on, by the log's time. At most `limits::JOIN_TOKEN_US` ahead.
    #[serde(with = "crate::codec::micros")]
    pub expires: Micros,
}

/// What a node says of itself to join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// Public id of its token.
    pub id: JoinTokenId,
    /// Hash of its token.
    pub hash: TokenHash,
    /// What people call it; no two members share one.
    pub name: String,
    /// Where its peers reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub data_address: String,
    /// C2SP verifier key of its cosigning key; no two members share one.
    pub verifier_key: String,
    /// What its certificate is known by.
    pub certificate: [u8; 32],
}

/// A decided call, or several that stand or fall together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Under which grant.
    pub grant: GrantId,
    /// Of which server.
    pub server: ServerId,
    /// The revisions that it was decided under.
    pub grant_revision: u64,
    /// As `grant_revision`.
    pub server_revision: u64,
    /// Digest of the grant's policy; none where it has none.
    pub policy: Option<PolicyDigest>,
    /// What the client calls itself; a label, never believed.
    pub client: String,
    /// Hash of the upstream session id.
    pub session: Option<[u8; 16]>,
    /// At most `limits::ELEMENTS`; one but for batches.
    pub elements: Vec<Element>,
}

/// One call of an intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// Unique among open calls.
    pub call: CallId,
    /// JSON-RPC method.
    pub method: String,
    /// The tool of a `tools/call`.
    pub tool: Option<String>,
    /// Hash of the pinned tool definition.
    pub tool_definition: Option<[u8; 32]>,
    /// The policy's verdict.
    pub decision: Decision,
    /// Top-level keys of the arguments.
    pub argument_keys: Vec<String>,
    /// How many are not named above.
    pub argument_keys_more: u32,
    /// (path, commitment); empty until commitments are made.
    pub commitments: Vec<(String, [u8; 32])>,
    /// The request's `traceparent`.
    pub traceparent: Option<String>,
    /// Hash of the JSON-RPC id token.
    pub rpc_id: Option<[u8; 32]>,
}

/// What the policy said, in rows of the tables that `PolicyPut` brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Allowed, if all charges can be reserved.
    Allow {
        /// In the policy's order, at most `limits::CHARGES`.
        charges: Vec<Charge>,
    },
    /// Denied by the policy itself.
    Deny(Cause),
}

/// Charges `amount` to the limit of row `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Row of the policy's limits.
    pub limit: u32,
    /// None: the amount could not be read, so the call is denied in this limit's place.
    pub amount: Option<u64>,
}

/// Why a policy denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// `default: deny` and the tool is not listed. Pointer `/default`.
    Default,
    /// Pointer `/hide/<tool>`.
    Hidden,
    /// A method other than `tools/call`. Pointer `/methods/deny` or `/default`.
    Method {
        /// `methods.deny` names it.
        listed: bool,
    },
    /// The grant has no policy. Pointer `/default`, reason `no_policy`.
    NoPolicy,
    /// Row `rule` of the policy's rules.
    Rule {
        /// The row.
        rule: u32,
        /// The rule could not judge the arguments.
        indeterminate: bool,
    },
}

/// How an admitted call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which call.
    pub call: CallId,
    /// How it ended.
    pub status: Status,
    /// The upstream provably never heard of it: gives the reservations back.
    pub never_reached: bool,
    /// Bytes of the reply's body.
    pub bytes: u64,
    /// From admission to the end.
    pub duration_us: u64,
    /// Commitment to the result.
    pub result_commitment: Option<[u8; 32]>,
}

/// The ways in which a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// A result.
    Ok,
    /// A result with `isError`.
    ToolError,
    /// A JSON-RPC error.
    RpcError,
    /// No reply within the call deadline.
    Timeout,
    /// The connection failed or broke.
    UpstreamDown,
    /// Never sent.
    NotSent,
    /// The client closed the stream.
    Cancelled,
    /// The stream ended without its final event and may be resumed.
    Detached,
    /// It may have run.
    Unknown,
}

/// A filtered `tools/list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Whose list.
    pub grant: GrantId,
    /// The revisions that it was filtered under.
    pub grant_revision: u64,
    /// Of which server.
    pub server: ServerId,
    /// As `grant_revision`.
    pub server_revision: u64,
    /// Digest of the grant's policy; none where it has none.
    pub policy: Option<PolicyDigest>,
    /// Tools that the upstream named.
    pub offered: u32,
    /// Tools that the grant was shown.
    pub shown: u32,
    /// SHA-256 of the offered list.
    pub offered_hash: [u8; 32],
    /// SHA-256 of the shown list.
    pub shown_hash: [u8; 32],
}

/// Counted refusals of one second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// (grant, reason, count).
    pub grants: Vec<(GrantId, String, u64)>,
    /// (source, reason, grant if the token named one, count).
    pub strangers: Vec<(String, String, Option<GrantId>, u64)>,
}
