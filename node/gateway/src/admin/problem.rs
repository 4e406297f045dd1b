//! Why an admin request is refused, and how that is told: RFC 9457 with a stable code.

use std::error::Error;
use std::fmt::Write as _;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use thiserror::Error;

use tollbook_raft::{ChangeError, CommitError, NodeId};
use tollbook_state::{Bound, CommandResult, Rejection};

use super::api::{Finding, Problem};
use crate::dir::DirError;
use crate::routes::RouteError;
use crate::token::TokenError;

/// Why an admin request is refused.
#[derive(Debug, Error)]
pub(super) enum Refused {
    #[error("the body did not come in time")]
    BodyLate,
    #[error("the body is over the limit of {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("nobody can say that the change was made; look, then try again")]
    Commit(#[from] CommitError),
    #[error(
        "it stands at revision {revision}, not at the one that the change was made on; look again"
    )]
    Conflict { revision: u64 },
    #[error(
        "`expires` cannot be `{found}`; give a time to come within ten years, as `90d` or \
         `2027-01-31T00:00:00Z`"
    )]
    Expires { found: String },
    #[error("{}", summary(.0))]
    Findings(Vec<Finding>),
    #[error("the cluster holds as many {} as it may; remove some", bound(*.0))]
    Full(Bound),
    #[error("`{name}` is revoked for good; create another grant")]
    GrantRevoked { name: String },
    #[error("a live grant is named `{name}`; revoke it first, or choose another name")]
    GrantNameTaken { name: String },
    #[error("no grant is named `{name}`; see `tollbook grant list`")]
    GrantUnknown { name: String },
    #[error("this listener has another name; use that, or add it to `[http] allowed_hosts`")]
    HostUnknown,
    #[error("the change came to what no change comes to; look at the node's log")]
    Internal,
    #[error("the body is not what this path takes")]
    Json(#[source] serde_json::Error),
    #[error("the book cannot be read on this node; run `tollbook audit verify` on its directory")]
    Log,
    #[error("this path does not know that method")]
    MethodUnknown,
    #[error("`{name}` cannot name a {what}; use 1 to 64 letters, digits, `.`, `-`, `_`")]
    Name { what: &'static str, name: String },
    #[error("web pages may not use the admin plane; see `[http] allowed_origins`")]
    OriginForbidden,
    #[error("`overlap` cannot be `{found}`; give a time of at most 30 days, as `1h`, or `0s`")]
    Overlap { found: String },
    #[error("this node cannot let others in; put `keys/` back as it was")]
    NoAuthority(#[source] DirError),
    #[error("no node is named `{name}`; see `tollbook cluster status`")]
    NodeUnknown { name: String },
    #[error("no other voter answers that could lead; see `tollbook cluster status`")]
    NoOtherVoter,
    #[error("node {node} was asked to lead and does not yet; see `tollbook cluster status`")]
    NotHandedOver { node: NodeId },
    #[error("an owner has 1 to 128 bytes and no control characters")]
    Owner,
    #[error("no such path")]
    PathUnknown,
    #[error("no policy is named `{name}`; see `tollbook policy list`")]
    PolicyUnknown { name: String },
    #[error("`If-Match` is not `\"<revision>\"`; it is what `ETag` was")]
    PreconditionInvalid,
    #[error("it stands at revision {revision}, not at the one in `If-Match`; look again")]
    PreconditionFailed { revision: u64 },
    #[error("the query is not what this path takes: {reason}")]
    Query { reason: String },
    #[error("too many read the book at once; try again")]
    ReadersBusy,
    #[error("the change is refused")]
    Rejected(#[source] Rejection),
    #[error("{count} grants point at the server, the first is `{first}`; revoke them first")]
    ServerInUse { count: u64, first: String },
    #[error("the server's definition cannot be used")]
    ServerInvalid(#[source] RouteError),
    #[error("another server is named `{name}`; choose another name")]
    ServerNameTaken { name: String },
    #[error("no server is named `{name}`; see `tollbook server list`")]
    ServerUnknown { name: String },
    #[error("the system gives no random bytes; try again")]
    Random,
    #[error("no admin token; send `Authorization: Bearer tba_…`")]
    TokenMissing,
    #[error("not an admin token of this node")]
    TokenUnknown,
    #[error("not an admin token of this node")]
    TokenWrong(#[source] TokenError),
    #[error("the body must be `application/json` in UTF-8, without an encoding")]
    TypeUnsupported,
    #[error("the body is not UTF-8; save it as UTF-8")]
    Utf8,
}

pub(super) async fn path_unknown() -> Refused {
    Refused::PathUnknown
}

pub(super) async fn method_unknown() -> Refused {
    Refused::MethodUnknown
}

/// The revision that a change made, and whether it changed anything; else why it was refused.
/// `name` is what was asked for, `unknown` what is said if there is no such thing.
pub(super) fn put(
    result: CommandResult,
    name: &str,
    unknown: fn(String) -> Refused,
) -> Result<(u64, bool), Refused> {
    match result {
        CommandResult::Put { revision, changed } => Ok((revision, changed)),
        CommandResult::Conflict { revision } => Err(Refused::Conflict { revision }),
        CommandResult::Full(bound) => Err(Refused::Full(bound)),
        CommandResult::InUse { grant, count } => {
            let first = grant.0.iter().copied().map(char::from).collect();
            Err(Refused::ServerInUse { count, first })
        }
        CommandResult::NameTaken { .. } => Err(Refused::ServerNameTaken {
            name: name.to_owned(),
        }),
        CommandResult::NotFound => Err(unknown(name.to_owned())),
        CommandResult::Rejected(rejection) => Err(Refused::Rejected(rejection)),
        other @ (CommandResult::Admitted(_)
        | CommandResult::Denied(_)
        | CommandResult::JoinRefused(_)
        | CommandResult::Joined { .. }
        | CommandResult::LabelTaken { .. }
        | CommandResult::NotOpen
        | CommandResult::NotSpoken { .. }
        | CommandResult::NothingToSeal
        | CommandResult::Recorded { .. }
        | CommandResult::Sealed(_)
        | CommandResult::Settled { .. }
        | CommandResult::Stale
        | CommandResult::StartRefused { .. }
        | CommandResult::Unauthorised(_)) => {
            tracing::error!(?other, "a change came to what no change comes to");
            Err(Refused::Internal)
        }
    }
}

impl Refused {
    /// The same, where the revision that another change came before was one of `If-Match`.
    pub(super) fn held(self, wanted: Option<u64>) -> Self {
        if let (Self::Conflict { revision }, Some(_)) = (&self, wanted) {
            let revision = *revision;
            return Self::PreconditionFailed { revision };
        }
        self
    }

    fn code_and_status(&self) -> (&'static str, StatusCode) {
        use StatusCode as S;
        match self {
            Self::BodyLate => ("TB-ADMIN-BODY-LATE", S::REQUEST_TIMEOUT),
            Self::BodyTooLarge { .. } => ("TB-ADMIN-BODY-TOO-LARGE", S::PAYLOAD_TOO_LARGE),
            Self::Change(error) => change(error),
            Self::Commit(error) => commit(error),
            Self::Conflict { .. } => ("TB-ADMIN-CONFLICT", S::CONFLICT),
            Self::Expires { .. } => ("TB-ADMIN-EXPIRES", S::BAD_REQUEST),
            Self::Findings(_) => ("TB-ADMIN-POLICY", S::UNPROCESSABLE_ENTITY),
            Self::Full(_) => ("TB-ADMIN-FULL", S::INSUFFICIENT_STORAGE),
            Self::GrantNameTaken { .. } => ("TB-ADMIN-GRANT-TAKEN", S::CONFLICT),
            Self::GrantRevoked { .. } => ("TB-ADMIN-GRANT-REVOKED", S::CONFLICT),
            Self::GrantUnknown { .. } => ("TB-ADMIN-GRANT-UNKNOWN", S::NOT_FOUND),
            Self::HostUnknown => ("TB-ADMIN-HOST", S::FORBIDDEN),
            Self::Internal => ("TB-ADMIN-INTERNAL", S::INTERNAL_SERVER_ERROR),
            Self::Json(_) => ("TB-ADMIN-JSON", S::BAD_REQUEST),
            Self::Log => ("TB-ADMIN-LOG", S::INTERNAL_SERVER_ERROR),
            Self::MethodUnknown => ("TB-ADMIN-METHOD", S::METHOD_NOT_ALLOWED),
            Self::Name { .. } => ("TB-ADMIN-NAME", S::BAD_REQUEST),
            Self::OriginForbidden => ("TB-ADMIN-ORIGIN", S::FORBIDDEN),
            Self::NoAuthority(_) => ("TB-CLUSTER-NO-AUTHORITY", S::INTERNAL_SERVER_ERROR),
            Self::NodeUnknown { .. } => ("TB-CLUSTER-NODE-UNKNOWN", S::NOT_FOUND),
            Self::NoOtherVoter => ("TB-CLUSTER-NO-VOTER", S::CONFLICT),
            Self::NotHandedOver { .. } => ("TB-CLUSTER-NOT-HANDED-OVER", S::SERVICE_UNAVAILABLE),
            Self::Overlap { .. } => ("TB-ADMIN-OVERLAP", S::BAD_REQUEST),
            Self::Owner => ("TB-ADMIN-OWNER", S::BAD_REQUEST),
            Self::PathUnknown => ("TB-ADMIN-PATH", S::NOT_FOUND),
            Self::PolicyUnknown { .. } => ("TB-ADMIN-POLICY-UNKNOWN", S::NOT_FOUND),
            Self::PreconditionInvalid => ("TB-ADMIN-IF-MATCH", S::BAD_REQUEST),
            Self::PreconditionFailed { .. } => ("TB-ADMIN-REVISION", S::PRECONDITION_FAILED),
            Self::Query { .. } => ("TB-ADMIN-QUERY", S::BAD_REQUEST),
            Self::ReadersBusy => ("TB-ADMIN-READERS", S::SERVICE_UNAVAILABLE),
            Self::Rejected(_) => ("TB-ADMIN-REJECTED", S::BAD_REQUEST),
            Self::ServerInUse { .. } => ("TB-ADMIN-SERVER-IN-USE", S::CONFLICT),
            Self::ServerInvalid(_) => ("TB-ADMIN-SERVER", S::BAD_REQUEST),
            Self::ServerNameTaken { .. } => ("TB-ADMIN-SERVER-TAKEN", S::CONFLICT),
            Self::ServerUnknown { .. } => ("TB-ADMIN-SERVER-UNKNOWN", S::NOT_FOUND),
            Self::Random => ("TB-ADMIN-RANDOM", S::SERVICE_UNAVAILABLE),
            Self::TokenMissing | Self::TokenUnknown | Self::TokenWrong(_) => {
                ("TB-ADMIN-TOKEN", S::UNAUTHORIZED)
            }
            Self::TypeUnsupported => ("TB-ADMIN-TYPE", S::UNSUPPORTED_MEDIA_TYPE),
            Self::Utf8 => ("TB-ADMIN-UTF8", S::BAD_REQUEST),
        }
    }

    /// What happened, why, and what to do: a person reads it, who holds an admin token.
    fn detail(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // Writing into a `String` cannot fail.
            write!(text, ": {error}").unwrap_or_default();
            cause = error.source();
        }
        text
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (code, status) = self.code_and_status();
        let detail = self.detail();
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail,
            findings: if let Self::Findings(findings) = self {
                findings
            } else {
                Vec::new()
            },
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn commit(error: &CommitError) -> (&'static str, StatusCode) {
    match error {
        CommitError::NoLeader => ("TB-ADMIN-NOT-LEADER", StatusCode::SERVICE_UNAVAILABLE),
        CommitError::QueueFull => ("TB-ADMIN-QUEUE", StatusCode::SERVICE_UNAVAILABLE),
        CommitError::Stopping => ("TB-ADMIN-STOPPING", StatusCode::SERVICE_UNAVAILABLE),
        CommitError::TooLarge { .. } => ("TB-ADMIN-TOO-LARGE", StatusCode::PAYLOAD_TOO_LARGE),
        CommitError::Unknown => ("TB-ADMIN-UNKNOWN", StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn change(error: &ChangeError) -> (&'static str, StatusCode) {
    match error {
        ChangeError::Impossible { .. } => ("TB-CLUSTER-IMPOSSIBLE", StatusCode::CONFLICT),
        ChangeError::Busy => ("TB-CLUSTER-BUSY", StatusCode::SERVICE_UNAVAILABLE),
        ChangeError::NoLeader | ChangeError::NotLeader { .. } => {
            ("TB-CLUSTER-NO-LEADER", StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

fn bound(bound: Bound) -> &'static str {
    match bound {
        Bound::Counters => "counters",
        Bound::Grants => "grants",
        Bound::JoinTokens => "join tokens",
        Bound::Nodes => "nodes",
        Bound::Open | Bound::OpenPerGrant => "open calls",
        Bound::Policies => "policies",
        Bound::Servers => "servers",
    }
}

fn summary(findings: &[Finding]) -> String {
    let first = findings.first().map(|first| {
        format!(
            ", the first at line {}, column {}: {}",
            first.line, first.column, first.message
        )
    });
    format!(
        "the policy has errors{}; see `tollbook policy check`",
        first.unwrap_or_default()
    )
}
