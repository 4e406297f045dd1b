//! Why a body is not one MCP message that can be read in exactly one way.

use thiserror::Error;

use tollbook_policy::json::{Kind, ParseErrorKind, ProfileErrorKind};

use crate::id::Id;

/// JSON-RPC: the body is not JSON.
pub const PARSE_ERROR: i32 = -32_700;
/// JSON-RPC: the body is JSON, but not a request that can be read in exactly one way.
pub const INVALID_REQUEST: i32 = -32_600;

/// A refused body, with the id that the refusal is to be addressed to, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{malformed}")]
pub struct Refused {
    /// What is wrong.
    pub malformed: Malformed,
    /// The request's own id, if that much could be read.
    pub id: Option<Id>,
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        Self {
            malformed,
            id: None,
        }
    }
}

/// What is wrong with a body, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind} (at byte {at})")]
pub struct Malformed {
    /// Byte offset in the body.
    pub at: usize,
    /// What is wrong there.
    pub kind: MalformedKind,
}

impl Malformed {
    /// HTTP status of the answer.
    pub fn status(&self) -> u16 {
        if self.kind.exceeds_size() { 413 } else { 400 }
    }

    /// JSON-RPC code of the answer.
    pub fn code(&self) -> i32 {
        match self.kind {
            MalformedKind::NotUtf8 | MalformedKind::Syntax(_) => PARSE_ERROR,
            MalformedKind::ArgumentsKind(_)
            | MalformedKind::Batch
            | MalformedKind::BodyTooLarge { .. }
            | MalformedKind::Disagreement
            | MalformedKind::IdKind
            | MalformedKind::IdTooLong { .. }
            | MalformedKind::JsonRpcVersion
            | MalformedKind::MessageKind(_)
            | MalformedKind::MetaKind(_)
            | MalformedKind::MethodKind
            | MalformedKind::MethodTooLong { .. }
            | MalformedKind::MistakableKey(_)
            | MalformedKind::MixedMessage
            | MalformedKind::NameTooLong { .. }
            | MalformedKind::NotificationWithId
            | MalformedKind::ParamsKind(_)
            | MalformedKind::Profile(_)
            | MalformedKind::RequestWithoutId
            | MalformedKind::ResponseShape
            | MalformedKind::ToolName => INVALID_REQUEST,
        }
    }
}

/// See [`Malformed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MalformedKind {
    /// `arguments` of a tool call is there, but is no object.
    #[error("`arguments` must be an object, not {}", .0.name())]
    ArgumentsKind(Kind),
    /// An array where one message must stand.
    #[error("a batch; send each message by itself")]
    Batch,
    /// The body exceeds the limit on bytes.
    #[error("the body has more than {limit} bytes")]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// Two parsers read the text differently.
    #[error("JSON that parsers read differently")]
    Disagreement,
    /// The id is no string and no whole number.
    #[error("`id` must be a string or a whole number without fraction or exponent")]
    IdKind,
    /// The id exceeds its limit.
    #[error("`id` has more than {limit} bytes")]
    IdTooLong {
        /// The limit.
        limit: usize,
    },
    /// `jsonrpc` is absent or is not the string `2.0`.
    #[error("`jsonrpc` must be the string \"2.0\"")]
    JsonRpcVersion,
    /// The document is no object.
    #[error("a message must be an object, not {}", .0.name())]
    MessageKind(Kind),
    /// `_meta` is there, but is no object.
    #[error("`_meta` must be an object, not {}", .0.name())]
    MetaKind(Kind),
    /// `method` is no string, or empty.
    #[error("`method` must be a string that is not empty")]
    MethodKind,
    /// The method's name exceeds its limit.
    #[error("`method` has more than {limit} bytes")]
    MethodTooLong {
        /// The limit.
        limit: usize,
    },
    /// A key that some readers take for a key of the protocol.
    #[error("a key that some servers would read as `{0}`; spell it exactly or leave it out")]
    MistakableKey(&'static str),
    /// A request and a response at once, or neither.
    #[error("a message has either `method`, or `id` with one of `result` and `error`")]
    MixedMessage,
    /// A name exceeds its limit.
    #[error("`name` has more than {limit} bytes")]
    NameTooLong {
        /// The limit.
        limit: usize,
    },
    /// A notification that asks for an answer.
    #[error("a notification with an `id`")]
    NotificationWithId,
    /// The body is not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// `params` is there, but is no object.
    #[error("`params` must be an object, not {}", .0.name())]
    ParamsKind(Kind),
    /// JSON, but against the strict profile.
    #[error("{0}")]
    Profile(ProfileErrorKind),
    /// A request that asks for no answer.
    #[error("a request without an `id`")]
    RequestWithoutId,
    /// A response's `error` is no object.
    #[error("`error` must be an object")]
    ResponseShape,
    /// Not JSON.
    #[error("{0}")]
    Syntax(ParseErrorKind),
    /// A tool call whose `name` is absent, empty or no string.
    #[error("`params.name` of `tools/call` must be a string that is not empty")]
    ToolName,
}

impl MalformedKind {
    /// At this byte of the body.
    pub fn at(self, at: usize) -> Malformed {
        Malformed { at, kind: self }
    }

    pub(crate) fn of_parse_error(kind: ParseErrorKind) -> Self {
        match kind {
            ParseErrorKind::Profile(ProfileErrorKind::DocumentBytes { limit }) => {
                Self::BodyTooLarge { limit }
            }
            ParseErrorKind::Profile(kind) => Self::Profile(kind),
            ParseErrorKind::ByteOrderMark
            | ParseErrorKind::ControlInString
            | ParseErrorKind::End
            | ParseErrorKind::Escape
            | ParseErrorKind::Expected(_)
            | ParseErrorKind::Number
            | ParseErrorKind::Trailing => Self::Syntax(kind),
        }
    }

    fn exceeds_size(self) -> bool {
        matches!(
            self,
            Self::BodyTooLarge { .. } | Self::Profile(ProfileErrorKind::DocumentBytes { .. })
        )
    }

    /// A stable word for metrics and for the log's count of refusals.
    pub fn label(self) -> &'static str {
        match self {
            Self::ArgumentsKind(_) => "arguments_kind",
            Self::Batch => "batch",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::Disagreement => "disagreement",
            Self::IdKind => "id_kind",
            Self::IdTooLong { .. } => "id_too_long",
            Self::JsonRpcVersion => "jsonrpc_version",
            Self::MessageKind(_) => "message_kind",
            Self::MetaKind(_) => "meta_kind",
            Self::MethodKind => "method_kind",
            Self::MethodTooLong { .. } => "method_too_long",
            Self::MistakableKey(_) => "mistakable_key",
            Self::MixedMessage => "mixed_message",
            Self::NameTooLong { .. } => "name_too_long",
            Self::NotUtf8 => "not_utf8",
            Self::NotificationWithId => "notification_with_id",
            Self::ParamsKind(_) => "params_kind",
            Self::Profile(ProfileErrorKind::DuplicateKey) => "duplicate_key",
            Self::Profile(_) => "profile",
            Self::RequestWithoutId => "request_without_id",
            Self::ResponseShape => "response_shape",
            Self::Syntax(_) => "syntax",
            Self::ToolName => "tool_name",
        }
    }
}
