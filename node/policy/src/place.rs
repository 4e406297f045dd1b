//! Addresses and directories: what `url_in` and `path_in` mean.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;
use url::{Host, Url};

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
}

#[derive(Debug)]
enum HostRule {
    Is(Host<String>),
    /// A dot and the domain that hosts must be below.
    Below(Box<str>),
}

/// Why a text names no place that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PlaceFault {
    #[error("white space, a control character or a backslash")]
    Character,
    #[error("a fragment or query, which is not judged")]
    Extra,
    #[error("no absolute address such as `https://docs.example.com/`")]
    NotAbsolute,
    #[error("an encoded dot or slash in the path")]
    Encoded,
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
        let Ok(url) = read_address(text) else {
            return false;
        };
        self.0.iter().any(|place| place.has(&url))
    }
}

impl Place {
    fn parse(text: &str) -> Result<Self, PlaceFault> {
        let url = read_address(text)?;
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss" | "ftp") {
            return Err(PlaceFault::Scheme);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(PlaceFault::Extra);
        }
        let below = match url.host() {
            Some(Host::Domain(domain)) => domain.strip_prefix('*'),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => None,
        };
        let host = match below {
            Some(below) if below.len() > 1 && below.starts_with('.') && !below.contains('*') => {
                HostRule::Below(below.into())
            }
            Some(_) => return Err(PlaceFault::Star),
            None => HostRule::Is(url.host().ok_or(PlaceFault::NotAbsolute)?.to_owned()),
        };
        let outside_host = matches!(&host, HostRule::Is(Host::Domain(name)) if name.contains('*'));
        if outside_host || url.path().contains('*') {
            return Err(PlaceFault::Star);
        }
        let path = url.path().strip_suffix('/').unwrap_or_else(|| url.path());
        Ok(Self {
            scheme: url.scheme().into(),
            host,
            port: url.port_or_known_default(),
            path: path.into(),
        })
    }

    fn has(&self, url: &Url) -> bool {
        let host = match (&self.host, url.host()) {
            (HostRule::Is(own), Some(other)) => *own == other.to_owned(),
            (HostRule::Below(suffix), Some(Host::Domain(name))) => {
                name.len() > suffix.len() && name.ends_with(&**suffix) && !name.contains('*')
            }
            (HostRule::Below(_), Some(Host::Ipv4(_) | Host::Ipv6(_))) => false,
            (HostRule::Is(_) | HostRule::Below(_), None) => false,
        };
        let below = url.path().strip_prefix(&*self.path);
        host && *self.scheme == *url.scheme()
            && self.port == url.port_or_known_default()
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Reads an absolute address that no two parsers take for different ones.
fn read_address(text: &str) -> Result<Url, PlaceFault> {
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
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at_checked(end).ok_or(PlaceFault::NotAbsolute)?;
    if authority.is_empty() {
        return Err(PlaceFault::NotAbsolute);
    }
    if authority.contains('@') {
        return Err(PlaceFault::User);
    }
    let path = after
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if ["%2e", "%2f", "%5c"]
        .iter()
        .any(|encoded| path.contains(encoded))
    {
        return Err(PlaceFault::Encoded);
    }
    let url = Url::parse(text).map_err(|_| PlaceFault::NotAbsolute)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(PlaceFault::NotAbsolute);
    }
    Ok(url)
}

/// The list of a `path_in`.
#[derive(Debug)]
pub(crate) struct Directories(Box<[Directory]>);

#[derive(Debug)]
struct Directory {
    absolute: bool,
    segments: Box<[Box<str>]>,
}

/// Why a text names no directory that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum DirectoryFault {
    #[error("NUL or a backslash")]
    Character,
    #[error("empty; the relative root is `.`")]
    Empty,
    #[error("`..`")]
    Parent,
    #[error("a beginning of `~`, `//` or a drive letter")]
    Start,
    #[error("longer than a path can be")]
    TooLong,
}

impl Directories {
    /// Reads a list; a fault comes with the index of its member.
    pub(crate) fn of<'t>(
        list: impl Iterator<Item = &'t str>,
    ) -> Result<Self, (usize, DirectoryFault)> {
        let directories: Result<Vec<_>, _> = list
            .enumerate()
            .map(|(index, text)| Directory::parse(text).map_err(|fault| (index, fault)))
            .collect();
        Ok(Self(directories?.into()))
    }

    /// Whether the text names one of them or something below one.
    pub(crate) fn have(&self, text: &str) -> bool {
        read_path(text).is_ok() && self.0.iter().any(|directory| directory.has(text))
    }
}

impl Directory {
    fn parse(text: &str) -> Result<Self, DirectoryFault> {
        read_path(text)?;
        let segments: Vec<Box<str>> = segments(text).map(Into::into).collect();
        if segments.iter().any(|segment| **segment == *"..") {
            return Err(DirectoryFault::Parent);
        }
        Ok(Self {
            absolute: text.starts_with('/'),
            segments: segments.into(),
        })
    }

    /// Walks the path as the server will, so that one which only comes back in is seen to leave.
    fn has(&self, text: &str) -> bool {
        if text.starts_with('/') != self.absolute {
            return false;
        }
        let own = self.segments.len();
        let mut here: Vec<&str> = Vec::new();
        let mut inside = own == 0;
        for segment in segments(text) {
            if segment == ".." {
                if here.pop().is_none() || (inside && here.len() < own) {
                    return false;
                }
                continue;
            }
            here.push(segment);
            if here.len() == own {
                inside = here
                    .iter()
                    .zip(&self.segments)
                    .all(|(one, other)| **one == **other);
            }
        }
        inside && here.len() >= own
    }
}

/// What stands between slashes, without what means nothing.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    text.split('/')
        .filter(|segment| !matches!(*segment, "" | "."))
}

/// Refuses texts that servers take for different paths.
fn read_path(text: &str) -> Result<(), DirectoryFault> {
    let mut first = text.chars();
    let drive = first.next().is_some_and(|c| c.is_ascii_alphabetic()) && first.next() == Some(':');
    if text.is_empty() {
        return Err(DirectoryFault::Empty);
    }
    if text.contains(['\0', '\\']) {
        return Err(DirectoryFault::Character);
    }
    if text.starts_with('~') || text.starts_with("//") || drive {
        return Err(DirectoryFault::Start);
    }
    if text.len() > PLACE_TEXT_BYTES {
        return Err(DirectoryFault::TooLong);
    }
    Ok(())
}
