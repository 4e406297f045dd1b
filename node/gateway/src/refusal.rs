//! Why we did not answer with the upstream's reply, and the only table of what a client is shown
//! for it. The log may say more than this table.

use http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use tollbook_mcp::headers::HeaderFault;
use tollbook_mcp::{Era, Id, Malformed, reply};

use crate::reply::Reply;

/// Seconds after which a refusal that time may heal is worth another try.
const RETRY_AFTER_S: u32 = 1;

/// Why a call was not carried out, or its result is not shown. One row each in `row`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The body did not come in time.
    BodyLate,
    /// The body is larger than `limits.body_bytes`.
    BodyTooLarge,
    /// `limits.calls` are on their way.
    Busy,
    /// The machine's clock jumped against elapsed time.
    ClockJumped,
    /// The policy, or a limit, denies this `tools/call`.
    Denied { message: String },
    /// Below the disk reserve.
    DiskFull,
    /// This node is stopping.
    Draining,
    /// The headers do not fit the message, or may not stand at all.
    HeaderFault(HeaderFault),
    /// A header that decides who asks, or for which host, stands twice.
    HeaderRepeated { name: &'static str },
    /// `Host` is not one of ours.
    HostUnknown,
    /// A tool that the policy hides.
    Hidden { tool: String },
    /// What the upstream sent as a list of tools cannot be filtered, so it is not shown.
    ListUnreadable,
    /// The strict profile or the protocol refuses the message.
    Malformed(Malformed),
    /// The policy denies this method.
    MethodDenied { method: String },
    /// Not a method of HTTP that this path knows.
    MethodNotAllowed,
    /// No quorum answered, or the ledger is full.
    NoQuorum,
    /// `Origin` is not one of ours.
    OriginForbidden,
    /// The grant's budget of refusals is spent.
    OverBudget,
    /// The intent was not committed, or could not be sent, within the admit deadline.
    PastAdmit,
    /// No such path.
    PathUnknown,
    /// A JSON-RPC response to a request that was not let through.
    ResponseUnasked,
    /// No such server, or not this grant's.
    ServerUnknown,
    /// No such session, or not this grant's.
    SessionUnknown,
    /// The revisions changed under the call too often.
    Stale,
    /// No, a bad, an expired or a revoked token.
    Unauthenticated(Unauthenticated),
    /// The call may have run and nobody can say how it ended.
    Unsettled,
    /// The upstream's answer to what is not recorded broke off, or is no answer.
    UpstreamBroken,
    /// The upstream was not reached; nothing was sent.
    UpstreamDown,
    /// The upstream refused the gate itself: its credential, or its address.
    UpstreamRefused { status: u16 },
    /// Not HTTP/1.1.
    VersionUnsupported,
}

/// Why a token is not accepted. The client is told none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Unauthenticated {
    /// Past its expiry.
    Expired,
    /// Not of the form of a grant token.
    Malformed,
    /// No `Authorization` header.
    Missing,
    /// Not valid yet.
    NotYet,
    /// Revoked.
    Revoked,
    /// No such grant, or not its secret.
    Unknown,
}

impl Unauthenticated {
    /// The word in the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::NotYet => "not_yet",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        }
    }
}

/// Whom an answer is for: what of the request could be read.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// The request's JSON-RPC id; none where it could not be read.
    pub(crate) id: Option<Id>,
    /// How the request was made.
    pub(crate) era: Era,
}

impl Asker {
    /// Nothing could be read.
    pub(crate) const UNREAD: Self = Self {
        id: None,
        era: Era::Legacy,
    };
}

impl Refusal {
    /// What the client gets.
    pub(crate) fn reply(&self, asker: &Asker) -> Reply {
        let id = asker.id.as_ref();
        let later = |why| reply::unavailable(id, why, RETRY_AFTER_S).into();
        let plain = Reply::empty;
        let invalid = |status, text| reply::error(status, id, -32_600, text, None).into();
        match self {
            Self::BodyLate => invalid(408, "the request's body did not arrive in time"),
            Self::BodyTooLarge => invalid(413, "the request's body is too large"),
            Self::Busy => later("too many calls are on their way"),
            Self::ClockJumped => later("this node's clock jumped; its operator must look"),
            Self::Denied { message } => match id {
                Some(id) => reply::denied_call(asker.era, id, message).into(),
                None => plain(StatusCode::FORBIDDEN),
            },
            Self::DiskFull => later("the disk of the audit log is full"),
            Self::Draining => later("this node is stopping"),
            Self::HeaderFault(fault) => reply::header_fault(id, fault).into(),
            Self::HeaderRepeated { name } => {
                invalid(400, &format!("the header `{name}` must stand only once"))
            }
            Self::Hidden { tool } => match id {
                Some(id) => reply::unknown_tool(id, tool).into(),
                None => plain(StatusCode::NOT_FOUND),
            },
            Self::HostUnknown | Self::OriginForbidden => plain(StatusCode::FORBIDDEN),
            Self::ListUnreadable => upstream(id, "its list of tools cannot be read, so not shown"),
            Self::Malformed(malformed) => reply::malformed(&tollbook_mcp::Refused {
                malformed: *malformed,
                id: asker.id.clone(),
            })
            .into(),
            Self::MethodDenied { method } => match id {
                Some(id) => reply::method_denied(id, method).into(),
                None => plain(StatusCode::ACCEPTED),
            },
            Self::MethodNotAllowed => plain(StatusCode::METHOD_NOT_ALLOWED)
                .with(ALLOW, HeaderValue::from_static("POST, DELETE")),
            Self::NoQuorum => later("the call could not be recorded"),
            Self::OverBudget => reply::too_many_refusals(id, RETRY_AFTER_S).into(),
            Self::PastAdmit => later("the call could not be admitted in time"),
            Self::PathUnknown | Self::ServerUnknown => plain(StatusCode::NOT_FOUND),
            Self::ResponseUnasked => invalid(400, "no request of the server with this id is open"),
            Self::SessionUnknown => invalid(404, "no such session; initialize a new one"),
            Self::Stale => later("grant, policy or server changed while the call was decided"),
            Self::Unauthenticated(_) => plain(StatusCode::UNAUTHORIZED)
                .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::Unsettled => match id {
                Some(id) => reply::outcome_unknown(id).into(),
                None => plain(StatusCode::GATEWAY_TIMEOUT),
            },
            Self::UpstreamBroken => upstream(id, "its answer broke off or cannot be read"),
            Self::UpstreamDown => upstream(id, "it cannot be reached; nothing was sent to it"),
            Self::UpstreamRefused { status } => upstream(
                id,
                &format!("it refused the gate (status {status}); tell its operator"),
            ),
            Self::VersionUnsupported => plain(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        }
    }

    /// The word for this refusal in metrics and in aggregated records.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::BodyLate => "body_late",
            Self::BodyTooLarge => "body_too_large",
            Self::Busy => "busy",
            Self::ClockJumped => "clock_jumped",
            Self::Denied { .. } => "denied",
            Self::DiskFull => "disk_full",
            Self::Draining => "draining",
            Self::HeaderFault(fault) => fault.label(),
            Self::HeaderRepeated { .. } => "header_repeated",
            Self::Hidden { .. } => "hidden",
            Self::HostUnknown => "host_unknown",
            Self::ListUnreadable => "list_unreadable",
            Self::Malformed(malformed) => malformed.kind.label(),
            Self::MethodDenied { .. } => "method_denied",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoQuorum => "no_quorum",
            Self::OriginForbidden => "origin_forbidden",
            Self::OverBudget => "over_budget",
            Self::PastAdmit => "past_admit",
            Self::PathUnknown => "path_unknown",
            Self::ResponseUnasked => "response_unasked",
            Self::ServerUnknown => "server_unknown",
            Self::SessionUnknown => "session_unknown",
            Self::Stale => "stale",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Unsettled => "unsettled",
            Self::UpstreamBroken => "upstream_broken",
            Self::UpstreamDown => "upstream_down",
            Self::UpstreamRefused { .. } => "upstream_refused",
            Self::VersionUnsupported => "version_unsupported",
        }
    }

    /// Whether this counts against the grant's budget of refusals.
    pub(crate) fn is_charged(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. } | Self::Hidden { .. } | Self::MethodDenied { .. }
        ) || self.is_malformed()
    }

    /// Whether it is the message itself that was refused: recorded as a count, not one by one.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(
            self,
            Self::BodyLate
                | Self::BodyTooLarge
                | Self::HeaderFault(_)
                | Self::HeaderRepeated { .. }
                | Self::Malformed(_)
                | Self::ResponseUnasked
        )
    }
}

/// The server's fault, and nothing ran.
fn upstream(id: Option<&Id>, why: &str) -> Reply {
    reply::error(
        502,
        id,
        reply::UPSTREAM,
        &format!("the server: {why}"),
        None,
    )
    .into()
}

impl From<reply::Reply> for Reply {
    fn from(made: reply::Reply) -> Self {
        let status = StatusCode::from_u16(made.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let shown = Self::json(status, made.body);
        match made.retry_after_s {
            Some(seconds) => shown.with(RETRY_AFTER, HeaderValue::from(seconds)),
            None => shown,
        }
    }
}

/// The JSON 404 of `/.well-known/oauth-*`: a client that finds OAuth there drops its static token.
pub(crate) fn no_oauth() -> Reply {
    Reply::json(StatusCode::NOT_FOUND, &br#"{"error":"not_found"}"#[..])
}

/// Headers of the answer to every request.
pub(crate) fn common_headers(headers: &mut HeaderMap) {
    headers.insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}
