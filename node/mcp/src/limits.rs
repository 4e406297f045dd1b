//! What a message may be at most. Reaching a limit is a refusal with a reason of its own.

use tollbook_policy::json::ProfileLimits;

/// Limits of one client message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size, depth, nodes, keys and numbers of the document.
    pub json: ProfileLimits,
    /// Bytes of a JSON-RPC id as it is written.
    pub id_bytes: usize,
    /// Bytes of a method's name. It stands in the log.
    pub method_bytes: usize,
    /// Bytes of a tool's or prompt's name. It stands in the log.
    pub name_bytes: usize,
}

impl Limits {
    /// What holds unless the node's configuration says otherwise.
    pub const DEFAULT: Self = Self {
        json: ProfileLimits::CALL,
        id_bytes: 1_024,
        method_bytes: 256,
        name_bytes: 1_024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Top-level argument keys that are named in the log; the rest are counted.
pub const ARGUMENT_KEYS_MAX: usize = 64;
/// Bytes of an argument key that is named in the log; a longer one is counted only.
pub const ARGUMENT_KEY_BYTES: usize = 64;
/// Bytes of what a client calls itself.
pub const CLIENT_LABEL_BYTES: usize = 128;
/// Bytes of one server-sent event as it is written, unless the configuration says otherwise.
pub const SSE_EVENT_BYTES: usize = 16 << 20;
/// The longest time that a filtered list may be kept by a client, in milliseconds.
pub const LIST_TTL_MS_MAX: u64 = 30_000;
/// Requests for input that one result may carry.
pub const INPUT_REQUESTS_MAX: usize = 64;
/// Members of an upstream's envelope or result that are looked at before it counts as unreadable.
pub const REPLY_MEMBERS_MAX: usize = 256;
/// Bytes of scratch that a parser keeps between messages; a larger message's are given back.
pub const SCRATCH_KEPT_BYTES: usize = 1 << 20;
