//! Reads MCP on the wire, and writes it. Knows no socket, HTTP server, clock, thread or rule.
//!
//! From a client: [`Reader`] makes one [`Message`] of a body, [`Headers`] are held against it.
//! From an upstream: [`sse::Splitter`] cuts a stream into events, [`inspect::inspect`] says what a
//! message is, [`list::filter`] takes hidden tools out of a list. Our own answers: [`reply`].

pub mod headers;
pub mod inspect;
pub mod limits;
pub mod list;
pub mod methods;
pub mod reply;
pub mod sse;
pub mod versions;

mod fold;
mod id;
mod malformed;
mod message;
mod parse;

pub use crate::headers::{HeaderFault, Headers, Wire, check_method};
pub use crate::id::Id;
pub use crate::limits::Limits;
pub use crate::malformed::{INVALID_REQUEST, Malformed, MalformedKind, PARSE_ERROR, Refused};
pub use crate::message::{ArgumentKeys, Head, Message, Reader, ToolCall, is_traceparent};
pub use crate::parse::Parser;
pub use crate::reply::Reply;
pub use crate::versions::{Era, Version};
