//! Methods other than `tools/call`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::decide::{Cause, Permit};
use crate::model::DefaultAction;

/// What clients may always ask with a valid grant.
const PASSING: [&str; 5] = [
    "initialize",
    "logging/setLevel",
    "ping",
    "server/discover",
    "tools/list",
];

/// The notifications that the specification names for clients, in any of its versions.
const CLIENT_NOTIFICATIONS: [&str; 5] = [
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
];

/// What clients ask by way of `default` and `methods`, in any version of the specification.
const GOVERNED: [&str; 14] = [
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
];

/// What servers ask of clients.
const FROM_SERVERS: [&str; 3] = ["elicitation/create", "roots/list", "sampling/createMessage"];

/// The first parts of [`GOVERNED`] and [`FROM_SERVERS`], as patterns.
const PREFIXES: [&str; 8] = [
    "completion/*",
    "elicitation/*",
    "prompts/*",
    "resources/*",
    "roots/*",
    "sampling/*",
    "subscriptions/*",
    "tasks/*",
];

/// Every method that `methods` can decide, and their prefixes.
pub(crate) fn known() -> Vec<&'static str> {
    let all = GOVERNED.iter().chain(&FROM_SERVERS).chain(&PREFIXES);
    all.copied().collect()
}

/// What becomes of a message of a client that is no `tools/call`.
#[derive(Debug)]
pub enum MethodVerdict {
    /// It may be forwarded, once recorded.
    Allow(Permit),
    /// A `tools/call`: [`crate::Policy::decide`] says.
    Call,
    /// It is refused.
    Deny(Cause),
    /// A notification that nobody knows: it goes nowhere and has no answer.
    Drop,
    /// It passes unconditionally and unrecorded (but for the record of `tools/list`).
    Pass,
}

/// What a grant without a policy may do: what passes unconditionally, and nothing else.
pub fn method_without_policy(name: &str) -> MethodVerdict {
    unconditional(name).unwrap_or(MethodVerdict::Deny(Cause::NoPolicy))
}

fn unconditional(name: &str) -> Option<MethodVerdict> {
    if PASSING.contains(&name) || CLIENT_NOTIFICATIONS.contains(&name) {
        return Some(MethodVerdict::Pass);
    }
    if name.starts_with("notifications/") {
        return Some(MethodVerdict::Drop);
    }
    (name == "tools/call").then_some(MethodVerdict::Call)
}

/// The section `methods`.
#[derive(Debug, Default)]
pub(crate) struct Methods {
    pub(crate) allow: Vec<Pattern>,
    pub(crate) deny: Vec<Pattern>,
}

/// A method, or all below a prefix.
#[derive(Debug)]
pub(crate) enum Pattern {
    Exact(Box<str>),
    /// With its slash.
    Prefix(Box<str>),
}

/// What a pattern cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatternFault {
    /// Neither a name nor a prefix and `/*`.
    Form,
    /// It names what passes unconditionally, or a tool's call.
    Passes,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternFault> {
        let prefix = text.strip_suffix('*');
        let name = prefix.unwrap_or(text);
        let is_form = !name.is_empty()
            && !name.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control())
            && prefix.is_none_or(|prefix| prefix.len() > 1 && prefix.ends_with('/'));
        if !is_form {
            return Err(PatternFault::Form);
        }
        let pattern = match prefix {
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Exact(text.into()),
        };
        let always = PASSING
            .iter()
            .chain(&CLIENT_NOTIFICATIONS)
            .chain(&["tools/call"]);
        if name.starts_with("notifications/") || always.into_iter().any(|name| pattern.has(name)) {
            return Err(PatternFault::Passes);
        }
        Ok(pattern)
    }

    /// Whether it means any method that the specification names.
    pub(crate) fn is_known(&self) -> bool {
        GOVERNED
            .iter()
            .chain(&FROM_SERVERS)
            .any(|name| self.has(name))
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Exact(own) => **own == *name,
            Self::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }
}

impl Methods {
    /// The verdict on a client's message.
    pub(crate) fn of_client(&self, name: &str, default: DefaultAction) -> MethodVerdict {
        if let Some(verdict) = unconditional(name) {
            return verdict;
        }
        let listed = self.listed(name);
        match (listed, default) {
            (Some(DefaultAction::Deny), _) => MethodVerdict::Deny(Cause::Method { listed: true }),
            // What nobody knows is denied whoever names it: it could mean anything to a server.
            (_, _) if !GOVERNED.contains(&name) => {
                MethodVerdict::Deny(Cause::Method { listed: false })
            }
            (Some(DefaultAction::Allow), _) | (None, DefaultAction::Allow) => {
                MethodVerdict::Allow(Permit::without_charges())
            }
            (None, DefaultAction::Deny) => MethodVerdict::Deny(Cause::Method { listed: false }),
        }
    }

    /// The verdict on a server's request to the client: `default` does not speak for those.
    pub(crate) fn of_server(&self, name: &str) -> MethodVerdict {
        match self.listed(name) {
            Some(DefaultAction::Allow) if FROM_SERVERS.contains(&name) => {
                MethodVerdict::Allow(Permit::without_charges())
            }
            Some(DefaultAction::Deny) => MethodVerdict::Deny(Cause::Method { listed: true }),
            Some(DefaultAction::Allow) | None => {
                MethodVerdict::Deny(Cause::Method { listed: false })
            }
        }
    }

    /// What the section says of it, deny first.
    fn listed(&self, name: &str) -> Option<DefaultAction> {
        if self.deny.iter().any(|pattern| pattern.has(name)) {
            return Some(DefaultAction::Deny);
        }
        let allowed = self.allow.iter().any(|pattern| pattern.has(name));
        allowed.then_some(DefaultAction::Allow)
    }
}
