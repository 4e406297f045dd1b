//! A request as it arrived, with everything checked that needs neither a grant nor its body.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use http::request::Parts;
use http::{Method, Request, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use uuid::Uuid;

use tollbook_mcp::HeaderFault;
use tollbook_state::command::ServerId;

use crate::clock::Moment;
use crate::refusal::Refusal;

/// `Mcp-Session-Id`.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Headers that decide who asks and for which host: two of one kind would let two readers choose
/// differently. Those about the message are checked with it (`tollbook_mcp::headers`).
const ONCE: [(&HeaderName, &str); 3] = [
    (&AUTHORIZATION, "Authorization"),
    (&HOST, "Host"),
    (&ORIGIN, "Origin"),
];

/// What the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `/mcp/<uuid>` or `/mcp/<uuid>/`.
    Server(ServerId),
    /// `/mcp/…` that names no server.
    NoServer,
    /// `/.well-known/oauth-*`.
    OAuth,
    /// Anything else.
    Unknown,
}

/// One request of a client.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// POST or DELETE; everything else was refused.
    pub(crate) method: Method,
    /// Which server the path names; `None`: none that can exist.
    pub(crate) server: Option<ServerId>,
    /// The request's headers.
    pub(crate) headers: HeaderMap,
    /// Where it came from.
    pub(crate) source: IpAddr,
    /// When its head was read.
    pub(crate) received: Moment,
    body: Incoming,
}

/// Which hosts and origins are ours.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Host names, without port, in lower case.
    pub(crate) hosts: Vec<String>,
    /// Whole origins, as browsers write them.
    pub(crate) origins: Vec<String>,
}

impl Path {
    /// Reads a request's path.
    pub(crate) fn parse(path: &str) -> Self {
        if path.starts_with("/.well-known/oauth-") {
            return Self::OAuth;
        }
        let Some(rest) = path.strip_prefix("/mcp/") else {
            return Self::Unknown;
        };
        let name = rest.strip_suffix('/').unwrap_or(rest);
        // Only the hyphenated form in lower case: one server, one path.
        match Uuid::try_parse(name) {
            Ok(uuid) if uuid.hyphenated().to_string() == name => {
                Self::Server(ServerId(uuid.into_bytes()))
            }
            Ok(_) | Err(_) => Self::NoServer,
        }
    }
}

impl Names {
    /// Whether `host` (a `Host` header) is one of ours, whatever the port.
    fn knows_host(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
        };
        self.hosts
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(name))
    }

    fn knows_origin(&self, origin: &str) -> bool {
        if self.origins.iter().any(|ours| ours == origin) {
            return true;
        }
        // A page served from this machine is as near as the client itself.
        let host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| {
            let after = |name| host.strip_prefix(name);
            ["localhost", "127.0.0.1", "[::1]"]
                .into_iter()
                .filter_map(after)
                .any(|port| port.is_empty() || port.starts_with(':'))
        })
    }
}

impl Inbound {
    /// Checks what can be checked before anyone is known.
    pub(crate) fn accept(
        request: Request<Incoming>,
        source: IpAddr,
        received: Moment,
        names: &Names,
    ) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        check_head(&parts, names)?;
        let server = match Path::parse(parts.uri.path()) {
            Path::Server(server) => Some(server),
            Path::NoServer => None,
            Path::OAuth | Path::Unknown => return Err(Refusal::PathUnknown),
        };
        if parts.method != Method::POST && parts.method != Method::DELETE {
            return Err(Refusal::MethodNotAllowed);
        }
        Ok(Self {
            method: parts.method,
            server,
            headers: parts.headers,
            source,
            received,
            body,
        })
    }

    /// A header's text, where it is visible ASCII.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reads the body, at most `bytes_max` of it, within `time`.
    pub(crate) async fn take_body(
        &mut self,
        bytes_max: usize,
        time: Duration,
    ) -> Result<Bytes, Refusal> {
        let declared = self
            .header(&CONTENT_LENGTH)
            .and_then(|text| text.parse::<usize>().ok());
        if declared.is_some_and(|bytes| bytes > bytes_max) {
            return Err(Refusal::BodyTooLarge);
        }
        let mut body = BytesMut::with_capacity(declared.unwrap_or(0));
        let read = async {
            while let Some(frame) = self.body.frame().await {
                // A body that breaks off is a client that left: nobody reads the answer.
                let Ok(data) = frame.map_err(|_broken| Refusal::BodyLate)?.into_data() else {
                    continue;
                };
                if body.len().saturating_add(data.len()) > bytes_max {
                    return Err(Refusal::BodyTooLarge);
                }
                body.extend_from_slice(&data);
            }
            Ok(())
        };
        tokio::time::timeout(time, read)
            .await
            .map_err(|_late| Refusal::BodyLate)??;
        Ok(body.freeze())
    }
}

/// Whether a `Connection` header lists anything but what HTTP/1.1 itself puts there.
fn lists_more(value: &HeaderValue) -> bool {
    const KNOWN: [&str; 5] = ["close", "http2-settings", "keep-alive", "te", "upgrade"];
    let Ok(text) = value.to_str() else {
        return true;
    };
    let mut names = text.split(',').map(str::trim);
    names.any(|name| !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

fn check_head(parts: &Parts, names: &Names) -> Result<(), Refusal> {
    // HTTP/1.0 has no chunked bodies and no required Host: two ways to be misread.
    if parts.version != Version::HTTP_11 {
        return Err(Refusal::VersionUnsupported);
    }
    for (header, name) in ONCE {
        if parts.headers.get_all(header).iter().nth(1).is_some() {
            return Err(Refusal::HeaderRepeated { name });
        }
    }
    // A header that `Connection` lists is for one hop: it would be checked and then not sent.
    if parts.headers.get_all(CONNECTION).iter().any(lists_more) {
        return Err(Refusal::HeaderFault(HeaderFault::Unreadable {
            header: "Connection",
        }));
    }
    // A rebinding web page reaches us under its own name.
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| names.knows_host(host)) {
        return Err(Refusal::HostUnknown);
    }
    // With an absolute request target, hyper leaves a Host header that says something else.
    if parts.uri.host().is_some_and(|host| !names.knows_host(host)) {
        return Err(Refusal::HostUnknown);
    }
    let origin = parts
        .headers
        .get(ORIGIN)
        .map(|origin| origin.to_str().unwrap_or("null"));
    if origin.is_some_and(|origin| !names.knows_origin(origin)) {
        return Err(Refusal::OriginForbidden);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_path_with_or_without_the_last_slash() {
        let uuid = "0192f0c1-2b3a-7cde-8f01-23456789abcd";
        let server = Path::Server(ServerId(Uuid::try_parse(uuid).unwrap().into_bytes()));
        assert_eq!(Path::parse(&format!("/mcp/{uuid}")), server);
        assert_eq!(Path::parse(&format!("/mcp/{uuid}/")), server);
        for other in [
            format!("/mcp/{}", uuid.to_uppercase()),
            format!("/mcp/{}", uuid.replace('-', "")),
            format!("/mcp/{uuid}//"),
            format!("/mcp/{uuid}/x"),
            "/mcp/".to_owned(),
        ] {
            assert_eq!(Path::parse(&other), Path::NoServer, "{other}");
        }
        assert_eq!(
            Path::parse("/.well-known/oauth-protected-resource/mcp"),
            Path::OAuth
        );
        assert_eq!(Path::parse("/mcp"), Path::Unknown);
        assert_eq!(Path::parse("/"), Path::Unknown);
    }

    #[test]
    fn only_our_hosts_are_known_whatever_the_port() {
        let names = Names {
            hosts: vec![
                "localhost".to_owned(),
                "127.0.0.1".to_owned(),
                "::1".to_owned(),
            ],
            origins: vec!["https://console.acme.example".to_owned()],
        };
        for ours in [
            "localhost",
            "LOCALHOST:7300",
            "127.0.0.1:1",
            "[::1]:7300",
            "[::1]",
        ] {
            assert!(names.knows_host(ours), "{ours}");
        }
        for other in [
            "",
            "evil.example",
            "evil.example:7300",
            "localhost.evil.example",
            "[::2]",
        ] {
            assert!(!names.knows_host(other), "{other}");
        }
        for ours in [
            "https://console.acme.example",
            "http://localhost:3000",
            "http://[::1]",
            "http://[::1]:80",
        ] {
            assert!(names.knows_origin(ours), "{ours}");
        }
        for other in [
            "null",
            "http://evil.example",
            "http://localhost.evil.example",
            "",
        ] {
            assert!(!names.knows_origin(other), "{other}");
        }
    }
}
