//! The protocol's revisions and its two eras on the wire.

/// How a conversation works: with a handshake and sessions, or stateless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize`, sessions, requests from server to client.
    Legacy,
    /// 2026-07-28: every request stands alone, and headers mirror the body.
    Modern,
}

impl Era {
    /// Whether `Mcp-Method`, `Mcp-Name` and `Mcp-Param-*` mean something. Where they do not,
    /// nobody has compared them with the body, so they must not be forwarded.
    pub fn mirrors_headers(self) -> bool {
        match self {
            Self::Legacy => false,
            Self::Modern => true,
        }
    }
}

/// A published revision of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP with a separate event stream.
    V2024_11_05,
    /// The first streamable HTTP, and the only one with batches.
    V2025_03_26,
    /// Brought the version header.
    V2025_06_18,
    /// Brought resumable polling and tasks.
    V2025_11_25,
    /// Stateless.
    V2026_07_28,
}

impl Version {
    /// All revisions, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// What a request without a version header speaks, by the specification.
    pub const WITHOUT_HEADER: Self = Self::V2025_03_26;

    /// The revision of exactly this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era it belongs to.
    pub fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => {
                Era::Legacy
            }
            Self::V2026_07_28 => Era::Modern,
        }
    }

    /// Whether a JSON-RPC batch may be sent on a session of this revision.
    pub fn carries_batches(self) -> bool {
        match self {
            Self::V2025_03_26 => true,
            Self::V2024_11_05 | Self::V2025_06_18 | Self::V2025_11_25 | Self::V2026_07_28 => false,
        }
    }
}

/// Whether a version header names the modern era: a date from 2026-07-28 on, also one that nobody
/// knows yet, so that a future version gets the modern answer (which names what is supported).
pub fn names_modern_era(version: &str) -> bool {
    let is_date = version.len() == 10
        && version.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date && version >= Version::V2026_07_28.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_found_by_its_own_name() {
        for version in Version::ALL {
            assert_eq!(Version::of(version.name()), Some(version));
            assert_eq!(
                names_modern_era(version.name()),
                version.era() == Era::Modern
            );
        }
        assert_eq!(Version::of("2025-11-25 "), None);
    }

    #[test]
    fn only_dates_from_the_modern_revision_on_are_modern() {
        for modern in ["2026-07-28", "2026-12-01", "9999-12-31"] {
            assert!(names_modern_era(modern), "{modern}");
        }
        for other in [
            "",
            "2026-07-27",
            "1900-01-01",
            "DRAFT-2026-v1",
            "2026-07-281",
            "9",
            "zzzz",
        ] {
            assert!(!names_modern_era(other), "{other}");
        }
    }

    #[test]
    fn batches_are_for_one_revision_only() {
        let with: Vec<_> = Version::ALL
            .into_iter()
            .filter(|v| v.carries_batches())
            .collect();
        assert_eq!(with, [Version::V2025_03_26]);
    }
}
