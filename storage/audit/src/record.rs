//! The kinds of record, their fields, and the one encoding of each: compact JSON, one line, fixed
//! field order. `FORMAT.md` is the normative page.
//!
//! Records are made by the replicated state at apply and nowhere else, so that every replica
//! writes the same bytes.

/// Microseconds since the Unix epoch, UTC. On the log's own clock, which never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

/// What every record carries.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// The call that this record is about, as UUID text; absent on records about no call.
    pub call: Option<&'a str>,
    /// The entry's time; equals `wall_us` of the frame.
    pub t: Micros,
    /// The node that proposed the entry; equals `node` of the frame.
    pub node: u32,
}

/// One record, before encoding. The maker may pass any string and any list: what is over its
/// limit (`limits`) is cut by the encoder, visibly, so that no content can make a record fail.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives for one call of `encode`, on the stack"
)]
pub enum Record<'a> {
    /// `admin`
    Admin(Admin<'a>),
    /// `clock`
    Clock(Clock),
    /// `config`
    Config(Config<'a>),
    /// `deny_auth`
    DenyAuth(DenyAuth<'a>),
    /// `genesis`
    Genesis(Genesis<'a>),
    /// `intent`
    Intent(Intent<'a>),
    /// `key`
    Key(Key<'a>),
    /// `list`
    List(List<'a>),
    /// `node`
    Node(Node<'a>),
    /// `outcome`
    Outcome(Outcome<'a>),
    /// `refused`
    Refused(Refused<'a>),
    /// `seal`; made by [`crate::Head::seal`] and nobody else.
    Seal(Seal<'a>),
}

/// Leaf 0: which log this is.
#[derive(Clone, Debug)]
pub struct Genesis<'a> {
    /// C2SP origin line, `<name>/tollbook/<cluster uuid>`.
    pub origin: &'a str,
    /// C2SP verifier key of the log key (`name+hash+base64`).
    pub log_key: &'a str,
    /// (node id, C2SP verifier key of that node's cosigning key).
    pub members: &'a [(u32, &'a str)],
    /// Version of the program that made it.
    pub software: &'a str,
    /// Three-line body of the last note of the log that this one continues, after a restore.
    pub prior: Option<&'a str>,
}

/// The decision on one call, made before the upstream hears of it (allow) or in its stead (deny).
#[derive(Clone, Debug)]
pub struct Intent<'a> {
    /// The grant's own gapless counter over its `intent`, `outcome`, `list` and `refused` records:
    /// 1, 2, 3, …
    pub gs: u64,
    /// Public id of the grant.
    pub grant: &'a str,
    /// The grant's label.
    pub label: &'a str,
    /// Whom the grant belongs to.
    pub owner: Option<&'a str>,
    /// What the client calls itself; a label, never believed.
    pub client: &'a str,
    /// Hash of the upstream session id, if there is one.
    pub session: Option<&'a str>,
    /// UUID of the server.
    pub server: &'a str,
    /// The server's name at that time.
    pub server_name: &'a str,
    /// JSON-RPC method.
    pub method: &'a str,
    /// The tool of a `tools/call`; absent for other methods.
    pub tool: Option<&'a str>,
    /// Hash of the pinned tool definition, where one is pinned.
    pub tool_definition: Option<&'a str>,
    /// Allow, or deny and why.
    pub verdict: Verdict<'a>,
    /// Absent: the grant has no policy.
    pub policy: Option<PolicyRef<'a>>,
    /// Revision of the grant that it was decided under.
    pub grant_revision: u64,
    /// Revision of the server that it was decided under.
    pub server_revision: u64,
    /// Quota held for the call, in the policy's order.
    pub reservations: &'a [Reservation<'a>],
    /// At most 64 top-level argument keys of at most 64 bytes each.
    pub argument_keys: &'a [&'a str],
    /// How many argument keys are not named above.
    pub argument_keys_more: u32,
    /// (path, commitment) pairs; empty until commitments are made.
    pub commitments: &'a [(&'a str, &'a str)],
    /// W3C trace context, where the client sent one.
    pub traceparent: Option<&'a str>,
    /// Hash of the JSON-RPC id token.
    pub rpc_id: Option<&'a str>,
}

/// Which revision of which policy decided.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRef<'a> {
    /// The policy's name.
    pub name: &'a str,
    /// Its revision.
    pub revision: u64,
    /// Hex of the policy digest.
    pub digest: &'a str,
}

/// Allow, or deny with the rule that says so.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// Forwarded, once the intent is committed.
    Allow,
    /// Never forwarded; no outcome follows.
    Deny {
        /// The pointer that people read: `/tools/x/deny_if/args.amount-gt`, `/default`, `/hide/x`.
        rule: &'a str,
        /// RFC 6901 pointer into the policy document; absent where no place in it decided.
        pointer: Option<&'a str>,
        /// `indeterminate`, `limit`, …; absent for a plain match.
        reason: Option<&'a str>,
        /// The policy's `on_deny`.
        message: Option<&'a str>,
    },
}

/// Quota held for one call.
#[derive(Clone, Copy, Debug)]
pub struct Reservation<'a> {
    /// The policy's counter.
    pub counter: &'a str,
    /// `minute`, `hour`, `day` or `month`.
    pub window: &'a str,
    /// `grant`, `policy`, `server` or `owner`.
    pub scope: &'a str,
    /// Begin of the window that was charged.
    pub window_start: Micros,
    /// How much.
    pub amount: u64,
}

/// How an admitted call ended.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// As in [`Intent`].
    pub gs: u64,
    /// The grant of the intent.
    pub grant: &'a str,
    /// One of the statuses of CALLS.md: `ok`, `tool_error`, `rpc_error`, `timeout`,
    /// `upstream_down`, `not_sent`, `cancelled`, `detached`, `unknown`.
    pub status: &'a str,
    /// Why, where the status alone does not say: `node_start`, `shutdown`, `settle`.
    pub cause: Option<&'a str>,
    /// Bytes of the reply's body.
    pub bytes: u64,
    /// From forwarding to the end, by the node's own clock.
    pub duration_us: u64,
    /// What was given back.
    pub refunds: &'a [Reservation<'a>],
    /// A real outcome that came after `unknown`.
    pub late: bool,
    /// Commitment to the result; absent until commitments are made.
    pub result_commitment: Option<&'a str>,
}

/// A `tools/list` reply that was filtered.
#[derive(Clone, Debug)]
pub struct List<'a> {
    /// As in [`Intent`].
    pub gs: u64,
    /// Public id of the grant.
    pub grant: &'a str,
    /// UUID of the server.
    pub server: &'a str,
    /// Tools that the upstream named.
    pub offered: u32,
    /// How many of them the grant was shown.
    pub shown: u32,
    /// SHA-256 (hex) of the offered list.
    pub offered_hash: &'a str,
    /// SHA-256 (hex) of the shown list.
    pub shown_hash: &'a str,
    /// The policy that filtered it; absent: the grant has none.
    pub policy: Option<PolicyRef<'a>>,
}

/// Refusals of one grant and reason within one second, counted.
#[derive(Clone, Debug)]
pub struct Refused<'a> {
    /// As in [`Intent`].
    pub gs: u64,
    /// Public id of the grant.
    pub grant: &'a str,
    /// Why they were refused.
    pub reason: &'a str,
    /// How many.
    pub count: u64,
}

/// Failed authentications of one source and reason within one second, counted.
#[derive(Clone, Debug)]
pub struct DenyAuth<'a> {
    /// `/24` or `/48` of the peer, or `other`.
    pub source: &'a str,
    /// Why they failed.
    pub reason: &'a str,
    /// Public id of the grant, where the token named one that exists.
    pub grant: Option<&'a str>,
    /// How many.
    pub count: u64,
}

/// A change of a grant, policy, server or join token, or an administrator's act.
#[derive(Clone, Debug)]
pub struct Admin<'a> {
    /// Who: the public id of the admin token, or `init`.
    pub actor: &'a str,
    /// `grant_put`, `grant_revoke`, `grant_rotate`, `join`, `policy_put`, `server_put`, …
    pub action: &'a str,
    /// Id of what was changed.
    pub target: &'a str,
    /// Its name or label.
    pub name: &'a str,
    /// Its revision after the change.
    pub revision: u64,
    /// Hex digest of the object before; absent where it did not exist.
    pub before: Option<&'a str>,
    /// Hex digest of the object after; absent where it is gone.
    pub after: Option<&'a str>,
}

/// Raft membership.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// `config_epoch` of the frames from this one on.
    pub epoch: u32,
    /// The members from here on.
    pub members: &'a [Member<'a>],
}

/// One member as a `config` record names it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its id.
    pub node: u32,
    /// `voter` or `learner`.
    pub role: &'a str,
    /// C2SP verifier key of its cosigning key.
    pub key: &'a str,
}

/// The log's key changed. Notes above this record are signed by the other key.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// `config_epoch` of the frames from this one on.
    pub epoch: u32,
    /// Who: the public id of the admin token.
    pub actor: &'a str,
    /// C2SP verifier key of the log key until here.
    pub former: &'a str,
    /// C2SP verifier key of the log key from here on.
    pub log_key: &'a str,
}

/// What befell a node. Which fields stand beside the event, `FORMAT.md` says for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node<'a> {
    /// `start`, `stop`, `refused`, `lead` or `recovered`.
    pub event: &'a str,
    /// Random per start of the program; written as 16 hex digits.
    pub boot: Option<u64>,
    /// Version of the program.
    pub software: Option<&'a str>,
    /// Which start of the node's directory it is: 1, 2, 3, …
    pub start: Option<u64>,
    /// The term that the node leads.
    pub term: Option<u64>,
    /// `config_epoch` of the frames from this one on.
    pub epoch: Option<u32>,
}

/// The log's clock was held above a stamp that lay more than a second behind it, or a jump was
/// accepted by an operator.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the proposer's or leader's clock said.
    pub stamp: Micros,
    /// An operator accepted the jump; else the clock was held.
    pub accepted: bool,
}

/// The last leaf of a checkpoint, alone in its frame. It puts the frame headers before it under
/// the signed root.
#[derive(Clone, Debug)]
pub struct Seal<'a> {
    /// Hex of the chain head before this frame (its own `prev_frame_hash`).
    pub chain: &'a str,
    /// Its own index, which is `first_index`.
    pub index: u64,
    /// `frame_no`
    pub frame: u64,
    /// `term`
    pub term: u64,
    /// `log_index`
    pub log_index: u64,
    /// `config_epoch`
    pub config_epoch: u32,
    /// Hex SHA-256 of the three-line body of the previous note; absent for the first.
    pub previous: Option<&'a str>,
    /// Hash of the newest note cosigned from outside.
    pub beacon: Option<&'a str>,
}
