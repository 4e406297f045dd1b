//! What a pattern is about: an address, a file, a command, or any text.

use crate::path::{Path, Step};

/// What the texts of a path mean to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Address,
    Command,
    File,
    Text,
}

impl Subject {
    /// By what the pattern says first, else by the name of the argument.
    pub(super) fn of(path: &Path, pattern: &str) -> Self {
        let bare = pattern.trim_start_matches(['^', '(', '?', ':']);
        if pattern.contains("://") || bare.starts_with("http") {
            return Self::Address;
        }
        if bare.starts_with(['/', '~']) || bare.starts_with("\\./") {
            return Self::File;
        }
        let keys = path.steps.iter().rev().filter_map(|step| match step {
            Step::Key { folded, .. } => Some(&**folded),
            Step::Index(_) | Step::Every => None,
        });
        let Some(key) = keys.into_iter().next() else {
            return Self::Text;
        };
        match key {
            "href" | "link" | "endpoint" | "webhook" | "callback" => Self::Address,
            "cmd" | "command" | "commandline" | "command_line" | "exec" | "script" | "shell" => {
                Self::Command
            }
            "cwd" | "filename" | "folder" => Self::File,
            key if ["url", "uri"].iter().any(|end| key.ends_with(end)) => Self::Address,
            key if ["path", "file", "dir", "directory"]
                .iter()
                .any(|end| key.ends_with(end)) =>
            {
                Self::File
            }
            _ => Self::Text,
        }
    }

    /// What somebody who may write more at the end would write there.
    pub(super) fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Address => &["@attacker.example/", ".attacker.example/", "../x"],
            Self::Command => &["; id", " > /tmp/x", " --output=/tmp/x", "\nid"],
            Self::File => &["../../etc/passwd", "\n/etc/passwd"],
            Self::Text => &["../x", " or anything else", "\nanything else"],
        }
    }

    /// What somebody who may write more at the beginning would write there.
    pub(super) fn beginnings(self) -> &'static [&'static str] {
        match self {
            Self::Address => &["https://attacker.example/?", "https://attacker.example/\n"],
            Self::Command => &["id; ", "id > ", "id\n"],
            Self::File => &["../", "/etc/passwd\n"],
            Self::Text => &["anything before ", "anything\n"],
        }
    }

    /// What somebody would write where a pattern takes any characters.
    pub(super) fn fillings(self) -> &'static [&'static str] {
        match self {
            Self::Address => &[
                "attacker.example/?",
                "attacker.example?",
                "x@attacker.example/",
            ],
            Self::Command => &[
                "; id",
                "$(id)",
                "`id`",
                "| sh",
                "&& id",
                "> /tmp/x",
                "--output=/tmp/x",
                "/root/.ssh",
            ],
            Self::File => &["../../etc/passwd", "/../../etc/passwd"],
            Self::Text => &[],
        }
    }
}
