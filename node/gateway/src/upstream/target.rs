//! Where a server is, parsed once from its URL.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::PathAndQuery;
use url::{Host, Url};

/// Bytes of a server's URL.
const URL_BYTES_MAX: usize = 2048;

/// A server's address. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    origin: Arc<Origin>,
    path: PathAndQuery,
    host_header: HeaderValue,
}

/// What connections are shared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) host: Host<String>,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// Why a URL is no server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A space, control character or backslash: URL readers disagree on what they mean.
    #[error("the url holds {character:?}; write it percent-encoded")]
    Character {
        /// The first such character.
        character: char,
    },
    /// A `#…` part.
    #[error("the url has a fragment; leave out the part from `#`")]
    Fragment,
    /// Port 0.
    #[error("port 0 is no port; name the one that the server listens on")]
    Port,
    /// Not `http://` or `https://`.
    #[error("the url must start with `https://` or `http://`")]
    Scheme,
    /// Too long.
    #[error("the url has {bytes} bytes, and {URL_BYTES_MAX} is the limit")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not a URL.
    #[error("the url cannot be read; check host and port")]
    Unreadable(#[source] url::ParseError),
    /// A user name or password.
    #[error("the url holds a user name or password; give credentials by `--header`")]
    UserInfo,
}

impl Target {
    /// Reads an absolute `http` or `https` URL without user, password and fragment.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > URL_BYTES_MAX {
            return Err(TargetError::TooLong { bytes: text.len() });
        }
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|scheme| strip_prefix_ignoring_case(text, scheme))
            .ok_or(TargetError::Scheme)?;
        // `Url` repairs these silently, and other readers repair them otherwise.
        let odd = |c: &char| c.is_control() || c.is_whitespace() || *c == '\\';
        if let Some(character) = text.chars().find(odd) {
            return Err(TargetError::Character { character });
        }
        let url = Url::parse(text).map_err(TargetError::Unreadable)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        if authority.is_empty() {
            return Err(TargetError::Unreadable(url::ParseError::EmptyHost));
        }
        Self::from_url(&url)
    }

    fn from_url(url: &Url) -> Result<Self, TargetError> {
        let host = match url.host() {
            Some(host) => host.to_owned(),
            None => return Err(TargetError::Unreadable(url::ParseError::EmptyHost)),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or(TargetError::Port)?;
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let path = PathAndQuery::from_str(&path)
            .map_err(|_unreadable| TargetError::Unreadable(url::ParseError::IdnaError))?;
        let named = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let host_header = HeaderValue::from_str(&named)
            .map_err(|_unreadable| TargetError::Unreadable(url::ParseError::IdnaError))?;
        let tls = url.scheme() == "https";
        Ok(Self {
            origin: Arc::new(Origin { host, port, tls }),
            path,
            host_header,
        })
    }

    /// The host as it is looked up: lower case, and ASCII (`xn--…`) where it was not.
    pub fn host(&self) -> String {
        self.origin.host.to_string()
    }

    /// The port, named or the scheme's own.
    pub fn port(&self) -> u16 {
        self.origin.port
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.origin.tls
    }

    /// Path and query, as sent.
    pub fn path(&self) -> &PathAndQuery {
        &self.path
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }
}

/// The URL without its query, which may hold a key.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.origin.tls { "https" } else { "http" };
        let host = self.host_header.to_str().unwrap_or_default();
        write!(f, "{scheme}://{host}{}", self.path.path())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

fn strip_prefix_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_urls_become_what_is_dialled_and_sent() {
        let cases = [
            (
                "http://127.0.0.1:8080/mcp",
                "127.0.0.1",
                8080,
                false,
                "/mcp",
                "127.0.0.1:8080",
            ),
            (
                "https://Mcp.Example.com",
                "mcp.example.com",
                443,
                true,
                "/",
                "mcp.example.com",
            ),
            (
                "HTTPS://a.example:443/x?k=v",
                "a.example",
                443,
                true,
                "/x?k=v",
                "a.example",
            ),
            ("http://[::1]:9/", "[::1]", 9, false, "/", "[::1]:9"),
            (
                "https://bücher.example/é",
                "xn--bcher-kva.example",
                443,
                true,
                "/%C3%A9",
                "xn--bcher-kva.example",
            ),
            (
                "http://a.example/x/../y",
                "a.example",
                80,
                false,
                "/y",
                "a.example",
            ),
            ("http://0x7f.1/", "127.0.0.1", 80, false, "/", "127.0.0.1"),
        ];
        for (text, host, port, tls, path, header) in cases {
            let target = Target::parse(text).expect(text);
            assert_eq!(target.host(), host, "{text}");
            assert_eq!(target.port(), port, "{text}");
            assert_eq!(target.is_tls(), tls, "{text}");
            assert_eq!(target.path().as_str(), path, "{text}");
            assert_eq!(target.host_header(), header, "{text}");
        }
    }

    #[test]
    fn other_urls_are_refused_by_name() {
        use TargetError::{Character, Fragment, Port, Scheme, TooLong, Unreadable, UserInfo};

        let cases = [
            ("", Scheme),
            ("mcp.example.com/mcp", Scheme),
            ("ftp://a.example/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("http:/a.example", Scheme),
            ("http:a.example", Scheme),
            ("http://user@a.example/", UserInfo),
            ("http://user:secret@a.example/", UserInfo),
            ("http://@a.example/", UserInfo),
            ("http://a.example/#x", Fragment),
            ("http://a.example/#", Fragment),
            ("http://a.example:0/", Port),
            (
                "http://a.example:99999/",
                Unreadable(url::ParseError::InvalidPort),
            ),
            (
                "http://[::1/",
                Unreadable(url::ParseError::InvalidIpv6Address),
            ),
            ("http:///path", Unreadable(url::ParseError::EmptyHost)),
            ("http://", Unreadable(url::ParseError::EmptyHost)),
            ("http://a.example/a b", Character { character: ' ' }),
            (
                "http://a.example\\@b.example/",
                Character { character: '\\' },
            ),
            ("http://a.exa\nmple/", Character { character: '\n' }),
            (
                "http://a.example/\u{a0}",
                Character {
                    character: '\u{a0}',
                },
            ),
        ];
        for (text, error) in cases {
            assert_eq!(Target::parse(text), Err(error), "{text:?}");
        }
        let long = format!("http://a.example/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(Target::parse(&long), Err(TooLong { bytes: long.len() }));
    }

    #[test]
    fn a_key_in_the_query_is_not_shown() {
        let target = Target::parse("https://a.example/mcp?key=hush").expect("readable");
        assert!(!format!("{target} {target:?}").contains("hush"));
    }
}
