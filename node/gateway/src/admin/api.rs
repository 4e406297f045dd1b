//! The JSON of the admin API, as both sides of it know it.

use serde::{Deserialize, Serialize};

/// An upstream server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// UUID; also in the endpoint.
    pub id: String,
    /// What people call it; no two servers share one.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What clients are configured with.
    pub endpoint: String,
    /// Sent with every request.
    pub headers: Vec<Header>,
    /// 1 for a new one; every change adds 1.
    pub revision: u64,
    /// When it was made.
    pub created: String,
    /// What works but wants a look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A header by reference; never a secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// `file:PATH`, `env:VAR` or `cred:NAME`.
    pub from: String,
}

/// Asks for a new server, or for another definition of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerNew {
    /// What to call it.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Sent with every request.
    #[serde(default)]
    pub headers: Vec<Header>,
}

/// A grant, without its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Public handle.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Name of its server.
    pub server: String,
    /// Name of its policy; none denies all.
    pub policy: Option<String>,
    /// The person it belongs to.
    pub owner: Option<String>,
    /// Not valid from this on.
    pub expires: Option<String>,
    /// What clients are configured with.
    pub endpoint: String,
    /// UUID of its server.
    pub server_id: String,
    /// Whether it is valid now.
    pub status: GrantStatus,
    /// When it was made.
    pub created: String,
    /// When it was revoked.
    pub revoked: Option<String>,
    /// Until when the token before the last rotation is valid too; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_until: Option<String>,
    /// 1 for a new one; every change adds 1.
    pub revision: u64,
}

/// Whether a grant is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantStatus {
    /// Its time is over.
    Expired,
    /// It is valid.
    Live,
    /// Its time has not begun.
    NotYet,
    /// It was taken back for good.
    Revoked,
}

/// Asks for a new grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantNew {
    /// What to call it.
    pub name: String,
    /// Name or id of its server.
    pub server: String,
    /// Name of its policy; none denies all.
    #[serde(default)]
    pub policy: Option<String>,
    /// The person it belongs to.
    #[serde(default)]
    pub owner: Option<String>,
    /// A time from now (`90d`) or an RFC 3339 time; none: 90 days.
    #[serde(default)]
    pub expires: Option<String>,
}

/// A new grant with its token, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantMade {
    /// Public handle.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Name of its server.
    pub server: String,
    /// Name of its policy.
    pub policy: Option<String>,
    /// The person it belongs to.
    pub owner: Option<String>,
    /// Not valid from this on.
    pub expires: Option<String>,
    /// The secret.
    pub token: String,
    /// What clients are configured with.
    pub endpoint: String,
}

/// Asks for a new token for a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantTurn {
    /// How long the former token stays valid, as `1h`; at most 30 days; none: an hour.
    #[serde(default)]
    pub overlap: Option<String>,
}

/// A grant's new token, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRotated {
    /// Public handle, as before.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The secret.
    pub token: String,
    /// Not valid from this on: the former token. None: it is over.
    pub former_until: Option<String>,
    /// Not valid from this on: the grant.
    pub expires: Option<String>,
    /// What clients are configured with.
    pub endpoint: String,
    /// Of the grant; every change adds 1.
    pub revision: u64,
}

/// A policy in its revision in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What grants point at.
    pub name: String,
    /// 1 for a new one; every change adds 1.
    pub revision: u64,
    /// Hex digest of its canonical form.
    pub digest: String,
    /// When this revision was applied.
    pub applied: String,
    /// The document as it was applied; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Former revisions, oldest first; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PolicyRevision>,
}

/// A revision of a policy. Of a former one the document is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRevision {
    /// Its number.
    pub revision: u64,
    /// Hex digest of its canonical form.
    pub digest: String,
    /// When it was applied.
    pub applied: String,
}

/// What applying a policy came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyApplied {
    /// What grants point at.
    pub name: String,
    /// The revision in force now.
    pub revision: u64,
    /// Hex digest of its canonical form.
    pub digest: String,
    /// False: this digest was in force before.
    pub changed: bool,
    /// What someone should look at, though it is in force.
    #[serde(default)]
    pub warnings: Vec<Finding>,
}

/// One thing to look at in a policy's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable.
    pub code: String,
    /// `error` or `warning`.
    pub severity: Severity,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Line of the character after the last that it is about; 0 from a node that does not say.
    #[serde(default)]
    pub end_line: u32,
    /// Column of that character.
    #[serde(default)]
    pub end_column: u32,
    /// RFC 6901, of the value or member that it is about.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Whether a policy is refused for a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is.
    Error,
    /// It is not.
    Warning,
}

/// How the node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The log's origin; none before the first entry.
    pub origin: Option<String>,
    /// Version of the program.
    pub version: String,
    /// The newest entry that was applied: its index and term in the Raft log.
    pub applied: u64,
    /// See `applied`.
    pub term: u64,
    /// Records in the book.
    pub records: u64,
    /// The log's time.
    pub now: String,
    /// Servers, policies, and grants, revoked ones included.
    pub servers: usize,
    /// See `servers`.
    pub policies: usize,
    /// See `servers`.
    pub grants: usize,
    /// Calls that were admitted and have no outcome yet.
    pub open_calls: usize,
    /// Why the node should get no calls; none: it should.
    pub not_ready: Vec<String>,
}

/// The cluster, as the node that was asked sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The log's origin, which no other cluster has; none before the first entry.
    pub cluster: Option<String>,
    /// Who leads; none: nobody is known to.
    pub leader: Option<u64>,
    /// The newest term.
    pub term: u64,
    /// Commands up to this version are let in: all members know them.
    pub version: u16,
    /// All members, by id.
    pub nodes: Vec<ClusterNode>,
}

/// A member. What only the node itself can say is missing where it does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    /// Never another node's.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// What it is to the others.
    pub role: ClusterRole,
    /// Whether it answered within a second.
    pub up: bool,
    /// Where clients reach it.
    pub data: String,
    /// Where its peers reach it.
    pub peer: String,
    /// Index of the newest entry that it has applied; of one that is not up the last that the
    /// leader knows it to have.
    pub applied: Option<u64>,
    /// Entries of the leader's log that it lacks.
    pub lag: Option<u64>,
    /// Version of its program.
    pub version: Option<String>,
    /// How often its directory was started.
    pub starts: Option<u64>,
    /// How long ago the node that was asked heard it; none of itself.
    pub heard_ms: Option<u64>,
    /// Its clock ahead of that of the node that was asked, a message's way included; none of
    /// itself.
    pub clock_ahead_us: Option<i64>,
    /// How long syncs of its log take; none before the first.
    pub sync: Option<SyncTimes>,
    /// How far down its book reaches.
    pub book: Option<Book>,
    /// When the certificate ends that it shows its peers.
    pub certificate_expires: Option<String>,
    /// Calls on their way through it.
    pub calls: Option<usize>,
    /// Why it should get no calls.
    pub not_ready: Vec<String>,
}

/// What a member is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterRole {
    /// Gets entries, has no vote.
    Learner,
    /// Orders entries; a voter too.
    Leader,
    /// Has a vote.
    Voter,
}

/// How long syncs of a log took since the node's start: powers of two that bound them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncTimes {
    /// Half of them took less.
    pub p50_us: u64,
    /// 99 of 100 took less.
    pub p99_us: u64,
}

/// How far down a node's book reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// All of it is there, and checked.
    pub whole: bool,
    /// Index of the first record from which on nothing is missing.
    pub from: u64,
    /// What must still come; none: nobody has said so yet.
    pub bytes_missing: Option<u64>,
}

/// A join token, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinTokenMade {
    /// Public handle.
    pub id: String,
    /// The secret, with the fingerprint of the cluster's authority.
    pub token: String,
    /// Not valid from this on.
    pub expires: String,
    /// Where the node that made it is reached by peers.
    pub peer: String,
}

/// A member that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberChanged {
    /// Which.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// What it is; none: no member.
    pub role: Option<ClusterRole>,
}

/// Asks for another leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferTo {
    /// Id or name of a voter; none: the one that has come furthest.
    #[serde(default)]
    pub to: Option<String>,
}

/// Leadership that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred {
    /// Who led.
    pub from: Option<u64>,
    /// Who leads.
    pub leader: u64,
}

/// A node that takes no new calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Which.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// Who leads; itself only if no other voter answers.
    pub leader: Option<u64>,
    /// Calls that are still on their way through it.
    pub calls: usize,
}

/// An error of the admin API, RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Always `about:blank`: the code says which.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable.
    pub code: String,
    /// What happened and what to do.
    pub detail: String,
    /// Of a policy that is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl From<&tollbook_policy::Finding> for Finding {
    fn from(finding: &tollbook_policy::Finding) -> Self {
        Self {
            code: finding.code.to_owned(),
            severity: match finding.severity {
                tollbook_policy::Severity::Error => Severity::Error,
                tollbook_policy::Severity::Warning => Severity::Warning,
            },
            line: finding.line,
            column: finding.column,
            end_line: finding.end_line,
            end_column: finding.end_column,
            pointer: finding.pointer.clone(),
            message: finding.message.clone(),
            help: finding.help.clone(),
        }
    }
}
