//! The HTTP headers that say something about the message, held against the message.
//!
//! Decisions are made on the body alone. In the modern era the headers must agree with it, since
//! others on the way may route or decide by them; in the legacy era nobody compares `Mcp-Method`,
//! `Mcp-Name` and `Mcp-Param-*`, so they are not to be forwarded ([`Era::mirrors_headers`]).
//!
//! `Mcp-Param-*` mirror arguments that a tool's input schema marks. Which ones is known only with
//! the schema at hand, which this crate is not given: they are checked for repetition and pass.

use base64ct::{Base64, Encoding as _};
use thiserror::Error;

use tollbook_policy::json::Kind;

use crate::fold::{META_CLIENT_CAPABILITIES, META_PROTOCOL_VERSION};
use crate::malformed::INVALID_REQUEST;
use crate::message::{Head, Message};
use crate::methods::{is_known_request, mirrored_param};
use crate::versions::{Era, Version, names_modern_era};

/// JSON-RPC: the method does not exist.
pub const METHOD_NOT_FOUND: i32 = -32_601;
/// JSON-RPC: the parameters do not fit.
pub const INVALID_PARAMS: i32 = -32_602;
/// MCP: a header is absent, unreadable, or says something else than the body.
pub const HEADER_MISMATCH: i32 = -32_020;
/// MCP: a protocol version that is not supported.
pub const UNSUPPORTED_VERSION: i32 = -32_022;

/// What the modern era supports, as `data.supported` says it.
pub const MODERN_VERSIONS: [Version; 1] = [Version::V2026_07_28];

const VERSION: &str = "MCP-Protocol-Version";
const METHOD: &str = "Mcp-Method";
const NAME: &str = "Mcp-Name";
const CONTENT_ENCODING: &str = "Content-Encoding";
const CONTENT_TYPE: &str = "Content-Type";
const PARAM_PREFIX: &str = "mcp-param-";

/// Headers of which a second one makes the request ambiguous.
const SINGLE: &[&str] = &[
    CONTENT_ENCODING,
    CONTENT_TYPE,
    "Last-Event-ID",
    METHOD,
    NAME,
    VERSION,
    "Mcp-Session-Id",
];

/// The headers of one request that this crate looks at.
#[derive(Clone, Debug, Default)]
pub struct Headers<'h> {
    version: Option<&'h [u8]>,
    method: Option<&'h [u8]>,
    name: Option<&'h [u8]>,
    content_type: Option<&'h [u8]>,
    content_encoding: Option<&'h [u8]>,
    /// The first header that came twice.
    repeated: Option<&'h str>,
}

/// What the headers and the message together say about the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Which rules hold.
    pub era: Era,
    /// The revision that the header names; None where a legacy request has no header.
    pub version: Option<Version>,
}

/// Why the headers do not fit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderFault {
    /// A required header is absent.
    #[error("the header `{header}` is missing")]
    Absent {
        /// Its name.
        header: &'static str,
    },
    /// The body is compressed or otherwise encoded.
    #[error("`Content-Encoding` is not accepted; send the body as it is")]
    ContentEncoding,
    /// The body is not declared to be JSON in UTF-8.
    #[error("`Content-Type` must be `application/json`, in UTF-8")]
    ContentType,
    /// `_meta` lacks a required member, or it is of the wrong kind.
    #[error("`params._meta` needs `{field}`")]
    Meta {
        /// Its key.
        field: &'static str,
    },
    /// No method of the modern era.
    #[error("Method not found")]
    MethodUnknown,
    /// A header says something else than the body.
    #[error("the header `{header}` does not match the body")]
    Mismatch {
        /// Its name.
        header: &'static str,
    },
    /// The member that a header mirrors is absent or no string.
    #[error("`params.{field}` must be a string")]
    Param {
        /// Its key.
        field: &'static str,
    },
    /// A header came twice.
    #[error("the header `{header}` must stand only once")]
    Repeated {
        /// Its name, as it was written.
        header: String,
        /// Which rules hold.
        era: Era,
    },
    /// A response in an era that has no requests from the server.
    #[error("responses are not accepted in this protocol version")]
    Response,
    /// A header holds characters it must not, or base64 that is none.
    #[error("the header `{header}` cannot be read")]
    Unreadable {
        /// Its name.
        header: &'static str,
    },
    /// A modern version that is not supported.
    #[error("Unsupported protocol version")]
    UnsupportedVersion {
        /// What was asked for.
        requested: String,
    },
    /// A version header of the legacy era that names no version.
    #[error("the header `MCP-Protocol-Version` names no known version")]
    VersionUnknown,
}

impl HeaderFault {
    /// HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::ContentEncoding | Self::ContentType => 415,
            Self::MethodUnknown => 404,
            Self::Absent { .. }
            | Self::Meta { .. }
            | Self::Mismatch { .. }
            | Self::Param { .. }
            | Self::Repeated { .. }
            | Self::Response
            | Self::Unreadable { .. }
            | Self::UnsupportedVersion { .. }
            | Self::VersionUnknown => 400,
        }
    }

    /// JSON-RPC code of the answer.
    pub fn code(&self) -> i32 {
        match self {
            Self::Absent { .. } | Self::Mismatch { .. } | Self::Unreadable { .. } => {
                HEADER_MISMATCH
            }
            Self::Repeated { era, .. } => match era {
                Era::Legacy => INVALID_REQUEST,
                Era::Modern => HEADER_MISMATCH,
            },
            Self::ContentEncoding | Self::ContentType | Self::Response | Self::VersionUnknown => {
                INVALID_REQUEST
            }
            Self::Meta { .. } | Self::Param { .. } => INVALID_PARAMS,
            Self::MethodUnknown => METHOD_NOT_FOUND,
            Self::UnsupportedVersion { .. } => UNSUPPORTED_VERSION,
        }
    }

    /// A stable word for metrics and for the log's count of refusals.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "header_absent",
            Self::ContentEncoding => "content_encoding",
            Self::ContentType => "content_type",
            Self::Meta { .. } => "meta",
            Self::MethodUnknown => "method_unknown",
            Self::Mismatch { .. } => "header_mismatch",
            Self::Param { .. } => "param",
            Self::Repeated { .. } => "header_repeated",
            Self::Response => "response",
            Self::Unreadable { .. } => "header_unreadable",
            Self::UnsupportedVersion { .. } => "version_unsupported",
            Self::VersionUnknown => "version_unknown",
        }
    }
}

impl<'h> Headers<'h> {
    /// Picks what is looked at out of all headers of a request, each as often as it came.
    pub fn collect(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Self {
        let mut found = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let is_param = name
                .get(..PARAM_PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(PARAM_PREFIX));
            if !is_param && !SINGLE.iter().any(|single| is(single)) {
                continue;
            }
            if seen.iter().any(|other| is(other)) {
                found.repeated.get_or_insert(name);
                continue;
            }
            seen.push(name);
            let slot = if is(VERSION) {
                &mut found.version
            } else if is(METHOD) {
                &mut found.method
            } else if is(NAME) {
                &mut found.name
            } else if is(CONTENT_TYPE) {
                &mut found.content_type
            } else if is(CONTENT_ENCODING) {
                &mut found.content_encoding
            } else {
                continue;
            };
            *slot = Some(value);
        }
        found
    }

    /// Whether the body may be read at all: declared as JSON in UTF-8, and not encoded. To be asked
    /// before the body is parsed.
    pub fn check_content(&self) -> Result<(), HeaderFault> {
        let is = |other: &str| {
            self.repeated
                .is_some_and(|name| name.eq_ignore_ascii_case(other))
        };
        if self.content_encoding.is_some() {
            return Err(HeaderFault::ContentEncoding);
        }
        if is(CONTENT_TYPE) || !self.content_type.is_some_and(is_json_in_utf8) {
            return Err(HeaderFault::ContentType);
        }
        Ok(())
    }

    /// Holds the headers against the message.
    ///
    /// A request is modern if its version header names the modern era or its `_meta` has a
    /// protocol version; each without the other is refused, so that nobody switches the checks off
    /// by leaving one out.
    pub fn check(&self, message: &Message) -> Result<Wire, HeaderFault> {
        let version = match self.version {
            Some(bytes) => Some(visible(bytes).ok_or(HeaderFault::Unreadable { header: VERSION })?),
            None => None,
        };
        let in_meta = message
            .meta()
            .and_then(|meta| meta.get(META_PROTOCOL_VERSION));
        let era = if in_meta.is_some() || version.is_some_and(names_modern_era) {
            Era::Modern
        } else {
            Era::Legacy
        };
        if let Some(header) = self.repeated {
            return Err(HeaderFault::Repeated {
                header: header.to_owned(),
                era,
            });
        }
        let version = match era {
            Era::Legacy => version
                .map(|name| Version::of(name).ok_or(HeaderFault::VersionUnknown))
                .transpose()?,
            Era::Modern => Some(self.check_modern(message, version)?),
        };
        Ok(Wire { era, version })
    }

    fn check_modern(
        &self,
        message: &Message,
        version: Option<&str>,
    ) -> Result<Version, HeaderFault> {
        let is_request = match message.head() {
            Head::Response { .. } => return Err(HeaderFault::Response),
            Head::Notification { .. } => false,
            Head::Request { .. } => true,
        };
        let meta_member = |field| message.meta().and_then(|meta| meta.get(field));
        let in_meta = meta_member(META_PROTOCOL_VERSION);
        let in_meta = match in_meta.map(|value| value.as_str()) {
            Some(Some(text)) => Some(text),
            None if !is_request => None,
            Some(None) | None => {
                return Err(HeaderFault::Meta {
                    field: META_PROTOCOL_VERSION,
                });
            }
        };
        let capabilities = meta_member(META_CLIENT_CAPABILITIES);
        if is_request && capabilities.is_none_or(|value| value.kind() != Kind::Object) {
            return Err(HeaderFault::Meta {
                field: META_CLIENT_CAPABILITIES,
            });
        }
        let version = version.ok_or(HeaderFault::Absent { header: VERSION })?;
        if in_meta.is_some_and(|text| text != version) {
            return Err(HeaderFault::Mismatch { header: VERSION });
        }
        let supported = Version::of(version).filter(|known| MODERN_VERSIONS.contains(known));
        let Some(known) = supported else {
            return Err(HeaderFault::UnsupportedVersion {
                requested: version.to_owned(),
            });
        };
        self.check_mirrors(message, is_request)?;
        Ok(known)
    }

    fn check_mirrors(&self, message: &Message, is_request: bool) -> Result<(), HeaderFault> {
        let method = message.method().unwrap_or_default();
        match self.method {
            None if is_request => return Err(HeaderFault::Absent { header: METHOD }),
            None => {}
            Some(bytes) => {
                let text = visible(bytes).ok_or(HeaderFault::Unreadable { header: METHOD })?;
                if text != method {
                    return Err(HeaderFault::Mismatch { header: METHOD });
                }
            }
        }
        let Some(field) = mirrored_param(method).filter(|_| is_request) else {
            return Ok(());
        };
        let header = self.name.ok_or(HeaderFault::Absent { header: NAME })?;
        let header = decode(header).ok_or(HeaderFault::Unreadable { header: NAME })?;
        let param = message
            .params()
            .and_then(|params| params.get(field)?.as_str());
        match param {
            None => Err(HeaderFault::Param { field }),
            Some(param) if param == header => Ok(()),
            Some(_) => Err(HeaderFault::Mismatch { header: NAME }),
        }
    }
}

/// Refuses a request that the modern era does not have. The legacy era leaves that to the policy.
pub fn check_method(wire: Wire, message: &Message) -> Result<(), HeaderFault> {
    match (wire.era, message.head()) {
        (Era::Modern, Head::Request { method, .. }) if !is_known_request(method, Era::Modern) => {
            Err(HeaderFault::MethodUnknown)
        }
        (
            Era::Modern | Era::Legacy,
            Head::Request { .. } | Head::Notification { .. } | Head::Response { .. },
        ) => Ok(()),
    }
}

/// A header value of visible ASCII, with spaces inside at most.
fn visible(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (is_visible && text.trim() == text).then_some(text)
}

/// A mirrored value: as it stands, or `=?base64?…?=`, decoded once. The markers are exact: in any
/// other case the value is itself, and then it will not match a body that means something else.
fn decode(bytes: &[u8]) -> Option<String> {
    let text = visible(bytes)?;
    let encoded = text
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(text.to_owned()),
        Some(encoded) => String::from_utf8(Base64::decode_vec(encoded).ok()?).ok(),
    }
}

/// `application/json`, without parameters or with `charset=utf-8`.
fn is_json_in_utf8(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) => {
                let value = value.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
            }
            None => parameter.is_empty(),
        })
}
