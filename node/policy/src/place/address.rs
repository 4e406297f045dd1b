//! `url_in`: addresses at or below listed ones.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;
use url::{Host, Url};

use super::disguise::is_disguised;
use crate::limits::PLACE_TEXT_BYTES;

/// The list of a `url_in`.
#[derive(Debug)]
pub(crate) struct Places(Box<[Place]>);

#[derive(Debug)]
struct Place {
    scheme: Box<str>,
    host: HostRule,
    port: Option<u16>,
    /// Begins with `/`, ends without, so that `/` itself is empty.
    path: Box<str>,
    /// The same to servers that merge slashes.
    path_merged: Box<str>,
}

#[derive(Debug)]
enum HostRule {
    Is(Host<String>),
    /// A dot and the domain that hosts must be below.
    Below(Box<str>),
}

/// An address that ordinary parsers read alike, without query and fragment, its dots resolved.
struct Address {
    url: Url,
    /// Where a server that merges slashes and drops parameters finds it, if that may differ.
    merged: Option<Url>,
}

/// What a server makes of slashes that stand together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slashes {
    Kept,
    Merged,
}

/// Why a text names no place that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PlaceFault {
    #[error("white space, a control character or a backslash")]
    Character,
    #[error("an encoded or disguised dot or slash in the path")]
    Disguised,
    #[error("a fragment or query, which is not judged")]
    Extra,
    #[error(
        "a host that parsers read differently: write it in ASCII (`xn--…`), an IP address in its \
         usual form"
    )]
    Host,
    #[error("no absolute address such as `https://docs.example.com/`")]
    NotAbsolute,
    #[error("a scheme other than http, https, ws, wss or ftp")]
    Scheme,
    #[error("`*` elsewhere than as `*.` before the host's name")]
    Star,
    #[error("a user name or password")]
    User,
}

impl Places {
    /// Reads a list; a fault comes with the index of its member.
    pub(crate) fn of<'t>(list: impl Iterator<Item = &'t str>) -> Result<Self, (usize, PlaceFault)> {
        let places: Result<Vec<_>, _> = list
            .enumerate()
            .map(|(index, text)| Place::parse(text).map_err(|fault| (index, fault)))
            .collect();
        Ok(Self(places?.into()))
    }

    /// Whether the text is an address at or below one of them.
    pub(crate) fn have(&self, text: &str) -> bool {
        let Ok(address) = read_address(text) else {
            return false;
        };
        self.0.iter().any(|place| place.has(&address))
    }
}

impl Place {
    fn parse(text: &str) -> Result<Self, PlaceFault> {
        let (scheme, rest) = text.split_once("://").ok_or(PlaceFault::NotAbsolute)?;
        let below = rest.strip_prefix("*.");
        let text = format!("{scheme}://{}", below.unwrap_or(rest));
        if text.contains('*') {
            return Err(PlaceFault::Star);
        }
        let Address { url, merged } = read_address(&text)?;
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss" | "ftp") {
            return Err(PlaceFault::Scheme);
        }
        if text.contains(['?', '#']) {
            return Err(PlaceFault::Extra);
        }
        let host = match (below, url.host()) {
            (_, None) => return Err(PlaceFault::NotAbsolute),
            (None, Some(host)) => HostRule::Is(host.to_owned()),
            (Some(_), Some(Host::Domain(name))) => HostRule::Below(format!(".{name}").into()),
            (Some(_), Some(Host::Ipv4(_) | Host::Ipv6(_))) => return Err(PlaceFault::Star),
        };
        Ok(Self {
            scheme: url.scheme().into(),
            host,
            port: url.port_or_known_default(),
            path: without_last_slash(url.path()).into(),
            path_merged: without_last_slash(merged.as_ref().unwrap_or(&url).path()).into(),
        })
    }

    fn has(&self, address: &Address) -> bool {
        let Address { url, merged } = address;
        let host = match (&self.host, url.host()) {
            (HostRule::Is(own), Some(other)) => *own == other.to_owned(),
            (HostRule::Below(suffix), Some(Host::Domain(name))) => {
                name.len() > suffix.len() && name.ends_with(&**suffix)
            }
            (HostRule::Below(_), Some(Host::Ipv4(_) | Host::Ipv6(_))) => false,
            (HostRule::Is(_) | HostRule::Below(_), None) => false,
        };
        host && *self.scheme == *url.scheme()
            && self.port == url.port_or_known_default()
            && is_below(url.path(), &self.path)
            && merged
                .as_ref()
                .is_none_or(|merged| is_below(merged.path(), &self.path_merged))
    }
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn is_below(path: &str, own: &str) -> bool {
    path.strip_prefix(own)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Reads an absolute address that no two parsers take for different ones.
fn read_address(text: &str) -> Result<Address, PlaceFault> {
    if text.len() > PLACE_TEXT_BYTES {
        return Err(PlaceFault::NotAbsolute);
    }
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == '\\')
    {
        return Err(PlaceFault::Character);
    }
    let (scheme, rest) = text.split_once("://").ok_or(PlaceFault::NotAbsolute)?;
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(PlaceFault::NotAbsolute);
    }
    // Parsers of old end the authority at the first slash only, not at `?` and `#`.
    if rest.split('/').next().unwrap_or_default().contains('@') {
        return Err(PlaceFault::User);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at_checked(end).ok_or(PlaceFault::NotAbsolute)?;
    let path = after.split(['?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(PlaceFault::NotAbsolute);
    }
    if is_disguised(path) || !is_well_escaped(path) {
        return Err(PlaceFault::Disguised);
    }
    let read = |slashes| {
        let text = format!("{scheme}://{authority}{}", resolve(path, slashes));
        Url::parse(&text).map_err(|_| PlaceFault::NotAbsolute)
    };
    let url = read(Slashes::Kept)?;
    if !is_plain_host(authority, &url) {
        return Err(PlaceFault::Host);
    }
    let may_differ = path.contains("//") || path.contains(';');
    let merged = may_differ.then(|| read(Slashes::Merged)).transpose()?;
    Ok(Address { url, merged })
}

/// Whether the host is written as it is read: nothing is mapped (full-width letters, other dots,
/// soft hyphens), decoded, or computed (`0x7f000001`, `127.1`), which parsers do differently.
fn is_plain_host(authority: &str, url: &Url) -> bool {
    let host = match authority.strip_prefix('[') {
        // Of IPv6 addresses there are many spellings and one reading.
        Some(_) => return matches!(url.host(), Some(Host::Ipv6(_))),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_name = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let labels = host.strip_suffix('.').unwrap_or(host);
    labels.split('.').all(is_name)
        && url
            .host_str()
            .is_some_and(|read| read.eq_ignore_ascii_case(host))
}

/// Whether each `%` begins an escape: where it does not, some parsers refuse and others repair.
fn is_well_escaped(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The path with its dots resolved, as WHATWG does it: an empty segment is one to go up from. To
/// a server that merges slashes and drops `;` parameters first it is none: `/a//../b` is `/b`.
///
/// Not left to `url`: it keeps what looks like a drive of Windows (`/a/C:/../..`) below any scheme.
fn resolve(path: &str, slashes: Slashes) -> String {
    let mut names = Vec::new();
    for segment in path.split('/').skip(1) {
        let name = match slashes {
            Slashes::Kept => segment,
            Slashes::Merged => segment.split(';').next().unwrap_or_default(),
        };
        match name {
            "." => {}
            ".." => {
                names.pop();
            }
            "" if slashes == Slashes::Merged => {}
            name => names.push(name),
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for name in names {
        resolved.push('/');
        resolved.push_str(name);
    }
    resolved
}
