//! The methods that the specification names, by revision era and direction.

use crate::versions::Era;

/// The method that runs a tool.
pub const TOOLS_CALL: &str = "tools/call";
/// The method whose result is filtered.
pub const TOOLS_LIST: &str = "tools/list";

/// What the names of all notifications begin with.
pub(crate) const NOTIFICATIONS_PREFIX: &str = "notifications/";

/// In which eras a request exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eras {
    Both,
    LegacyOnly,
    ModernOnly,
}

/// Requests from client to server, those of the tasks extension included.
const REQUESTS: &[(&str, Eras)] = &[
    ("completion/complete", Eras::Both),
    ("initialize", Eras::LegacyOnly),
    ("logging/setLevel", Eras::LegacyOnly),
    ("ping", Eras::LegacyOnly),
    ("prompts/get", Eras::Both),
    ("prompts/list", Eras::Both),
    ("resources/list", Eras::Both),
    ("resources/read", Eras::Both),
    ("resources/subscribe", Eras::LegacyOnly),
    ("resources/templates/list", Eras::Both),
    ("resources/unsubscribe", Eras::LegacyOnly),
    ("server/discover", Eras::ModernOnly),
    ("subscriptions/listen", Eras::ModernOnly),
    ("tasks/cancel", Eras::Both),
    ("tasks/get", Eras::Both),
    ("tasks/list", Eras::LegacyOnly),
    ("tasks/result", Eras::LegacyOnly),
    ("tasks/update", Eras::ModernOnly),
    (TOOLS_CALL, Eras::Both),
    (TOOLS_LIST, Eras::Both),
];

/// Notifications from client to server.
const NOTIFICATIONS: &[&str] = &[
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
];

/// Whether the specification names this request in this era.
pub fn is_known_request(method: &str, era: Era) -> bool {
    REQUESTS.iter().any(|(name, eras)| {
        *name == method
            && match eras {
                Eras::Both => true,
                Eras::LegacyOnly => era == Era::Legacy,
                Eras::ModernOnly => era == Era::Modern,
            }
    })
}

/// Whether the specification names this request in any era.
pub(crate) fn is_request_name(method: &str) -> bool {
    REQUESTS.iter().any(|(name, _)| *name == method)
}

/// Whether the specification names this notification for clients. Others are to be dropped: they
/// would be an unrecorded way out.
pub fn is_known_notification(method: &str) -> bool {
    NOTIFICATIONS.contains(&method)
}

/// The member of `params` that `Mcp-Name` mirrors, for the methods that have one.
pub fn mirrored_param(method: &str) -> Option<&'static str> {
    match method {
        "prompts/get" | TOOLS_CALL => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/cancel" | "tasks/get" | "tasks/update" => Some("taskId"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_tell_handshake_and_stateless_methods_apart() {
        for (method, legacy, modern) in [
            ("initialize", true, false),
            ("server/discover", false, true),
            ("tools/call", true, true),
            ("Tools/call", false, false),
            ("sampling/createMessage", false, false),
            ("notifications/initialized", false, false),
        ] {
            assert_eq!(is_known_request(method, Era::Legacy), legacy, "{method}");
            assert_eq!(is_known_request(method, Era::Modern), modern, "{method}");
        }
        assert!(is_known_notification("notifications/cancelled"));
        assert!(!is_known_notification("notifications/message"));
    }
}
