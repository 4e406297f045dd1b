//! What one entry comes to: rows, frames, and what each command is told.

use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use crate::codec::CodecError;
use crate::command::{CallId, Cause, GrantId, Micros, Place, ServerId};
use tollbook_audit::frame::Frame;

/// A row to write, or to delete where there is no value.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// Everything that one entry changes outside the state itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// The entry's time by the log.
    pub t: Micros,
    /// All rows that changed, ordered by row, always with the meta row: written together they are
    /// one atomic step.
    pub writes: Vec<Write>,
    /// Frames for the audit log, in order.
    pub frames: Vec<Frame>,
    /// For the proposer. None for entries that carry no batch, that were applied before, or whose
    /// place cannot be read.
    pub receipts: Option<Receipts>,
    /// The entry's batch could not be read, or not be applied. On `UnknownVersion` the node must
    /// stop: a newer one has applied what this one skipped.
    pub rejected: Option<Rejection>,
    /// What may be signed once it is durable.
    pub sealed: Option<Sealed>,
    /// Objects that changed.
    pub changed: Changed,
}

/// What a batch came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipts {
    /// Which batch.
    pub place: Place,
    /// One for each command, in order.
    pub results: Vec<CommandResult>,
}

/// What one command came to.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandResult {
    /// All elements of the intent may be forwarded.
    Admitted(Vec<AdmittedCall>),
    /// The object stands at another revision than the change was made on (0: it does not exist),
    /// or is a grant that was revoked.
    Conflict {
        /// The object's revision.
        revision: u64,
    },
    /// At least one element is denied, so none may be forwarded.
    Denied(Vec<ElementResult>),
    /// A bound is reached. Nothing was recorded or charged.
    Full(Bound),
    /// A server that grants point at is not removed.
    InUse {
        /// The first grant that points at it.
        grant: GrantId,
        /// How many do.
        count: u64,
    },
    /// The node may not join.
    JoinRefused(JoinRefusal),
    /// The node may join under this id.
    Joined {
        /// Its id, which no node had before.
        node: u32,
    },
    /// Another grant that is not revoked has this label.
    LabelTaken {
        /// That grant.
        grant: GrantId,
    },
    /// Another server has this name.
    NameTaken {
        /// That server.
        server: ServerId,
    },
    /// What the command names does not exist.
    NotFound,
    /// No such call is open, nor awaited late.
    NotOpen,
    /// A member's program does not know commands of that version.
    NotSpoken {
        /// The first such member.
        node: u32,
        /// The highest version that it knows; 0 where it never started.
        speaks: u16,
    },
    /// Nothing but seals since the last seal, so there is nothing to seal.
    NothingToSeal,
    /// The object stands at this revision now.
    Put {
        /// Its revision.
        revision: u64,
        /// False: it was so before, and no record was made.
        changed: bool,
    },
    /// Done, with `count` records from index `first` on.
    Recorded {
        /// Index of the first record.
        first: u64,
        /// How many.
        count: u64,
    },
    /// The command is not what a sound proposer sends. Nothing was recorded or charged.
    Rejected(Rejection),
    /// The log is sealed.
    Sealed(Sealed),
    /// Open calls were closed as `unknown`.
    Settled {
        /// How many.
        closed: u64,
        /// More of them wait for another `Settle`.
        more: bool,
    },
    /// The node is known to have started as often or more: its disk was set back, or copied. It
    /// must not serve.
    StartRefused {
        /// The newest start that is known.
        start: u64,
        /// Its boot.
        boot: u64,
    },
    /// Decided under revisions that are no longer in force. Nothing was recorded or charged.
    Stale,
    /// The grant is not live.
    Unauthorised(Unauthorised),
}

/// A call that may be forwarded once, within its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittedCall {
    /// Its id.
    pub call: CallId,
    /// When, by the log.
    pub t: Micros,
    /// Index of its intent record.
    pub index: u64,
    /// Hash of the frame that holds the record.
    pub frame: [u8; 32],
}

/// What became of one element of a denied intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementResult {
    /// Denied itself.
    Denied(Denial),
    /// Not denied, and not run because another element was.
    NotRun(CallId),
}

/// All that an answer to a denied call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Its id.
    pub call: CallId,
    /// When, by the log.
    pub t: Micros,
    /// Index of its intent record.
    pub index: u64,
    /// Hash of the frame that holds the record.
    pub frame: [u8; 32],
    /// What decided.
    pub by: DeniedBy,
    /// The pointer that people read.
    pub rule: String,
    /// RFC 6901 pointer into the policy, where a place in it decided.
    pub pointer: Option<String>,
    /// `amount`, `indeterminate`, `limit`, `no_policy`; none for a plain match.
    pub reason: Option<&'static str>,
    /// The policy's `on_deny`.
    pub message: Option<String>,
}

/// Who denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedBy {
    /// This row of the policy's limits.
    Limit(u32),
    /// The policy itself.
    Policy(Cause),
}

/// Why a grant may not call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unauthorised {
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYetValid,
    /// It was revoked.
    Revoked,
    /// There is none.
    Unknown,
}

impl Unauthorised {
    /// As records spell it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a node may not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefusal {
    /// The token's time is over.
    Expired,
    /// Another node has this verifier key.
    KeyTaken {
        /// That node.
        node: u32,
    },
    /// Another node has this name.
    NameTaken {
        /// That node.
        node: u32,
    },
    /// There is no such token, or it expired long ago.
    Unknown,
    /// Another node joined with the token, or this one did and was removed since.
    Used {
        /// That node.
        node: u32,
    },
    /// A token of this id, but not this one.
    WrongHash,
}

/// Which bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `limits::COUNTERS`.
    Counters,
    /// `limits::GRANTS`.
    Grants,
    /// `limits::JOIN_TOKENS`.
    JoinTokens,
    /// `limits::STARTS`, or no node id is left.
    Nodes,
    /// `limits::OPEN`.
    Open,
    /// `limits::OPEN_PER_GRANT`.
    OpenPerGrant,
    /// `limits::POLICIES`.
    Policies,
    /// `limits::SERVERS`.
    Servers,
}

/// What is wrong with a batch or a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// A decision that its policy cannot have made: an allow without policy, `no_policy` with one.
    #[error("the decision does not fit the policy it names")]
    Decision,
    /// A call id that is in use.
    #[error("the call id is in use")]
    DuplicateCall,
    /// An intent of no elements.
    #[error("the intent has no elements")]
    Empty,
    /// A token that expires at once, or too late.
    #[error("the time at which it ends is past, or over its limit")]
    Expires,
    /// The log has begun.
    #[error("the log has its genesis already")]
    Genesis,
    /// A text that must be one line is empty or holds a control character.
    #[error("a text that must be one line is not")]
    Line,
    /// A limit's `max` that no counter may reach.
    #[error("a limit's max is over {}", crate::limits::AMOUNT_MAX)]
    Max,
    /// The log has not begun.
    #[error("the log has no genesis yet")]
    NoGenesis,
    /// A row that the policy's tables do not have.
    #[error("row {row} is not in the policy's tables")]
    Row {
        /// Its number.
        row: u32,
    },
    /// Sequence numbers begin at 1.
    #[error("sequence number 0")]
    Sequence,
    /// A program that knows less than what the cluster's commands are.
    #[error("the cluster is at version {cluster}, which the program does not know")]
    Speaks {
        /// The cluster's version.
        cluster: u16,
    },
    /// Starts are counted from 1.
    #[error("start number 0")]
    Start,
    /// More or longer than a named limit allows.
    #[error("`{what}` is over its limit of {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The batch does not decode.
    #[error("the batch does not decode")]
    Undecodable(#[source] CodecError),
    /// A command that not every member knows. The whole batch is passed over: a member that does
    /// not know the command cannot read any of it.
    #[error("a command of version {command} in a cluster of version {cluster}")]
    Version {
        /// The command's version.
        command: u16,
        /// The cluster's.
        cluster: u16,
    },
}

/// A size of the log and the root of its tree there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Records, the seal included.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: [u8; 32],
    /// The three lines that are signed.
    pub body: Vec<u8>,
}

/// Objects that an entry changed, each named once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Made, changed, or revoked.
    pub grants: Vec<GrantId>,
    /// A new revision is in force.
    pub policies: Vec<String>,
    /// Made, changed, or removed.
    pub servers: Vec<ServerId>,
    /// The log's key changed.
    pub log_key: bool,
    /// The membership changed.
    pub members: bool,
}

impl Changed {
    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
            && self.policies.is_empty()
            && self.servers.is_empty()
            && !self.members
            && !self.log_key
    }
}
