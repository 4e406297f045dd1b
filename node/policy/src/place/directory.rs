//! `path_in`: paths at or below listed directories.

use alloc::boxed::Box;
use alloc::vec::Vec;

use thiserror::Error;

use super::disguise::{is_blank, is_disguised};
use crate::limits::PLACE_TEXT_BYTES;

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
    #[error("white space at an end, a control character or a backslash")]
    Character,
    #[error("an encoded or disguised dot or slash")]
    Disguised,
    #[error("empty; the relative root is `.`")]
    Empty,
    #[error("`..`")]
    Parent,
    #[error("a beginning of `~`, `//`, a drive letter or a scheme")]
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
    if text.is_empty() {
        return Err(DirectoryFault::Empty);
    }
    if text.len() > PLACE_TEXT_BYTES {
        return Err(DirectoryFault::TooLong);
    }
    // A server that trims would read ` /etc` from the root.
    if text.contains('\\')
        || text.contains(char::is_control)
        || text.starts_with(is_blank)
        || text.ends_with(is_blank)
    {
        return Err(DirectoryFault::Character);
    }
    if text.starts_with('~') || text.starts_with("//") || begins_elsewhere(text) {
        return Err(DirectoryFault::Start);
    }
    if is_disguised(text) {
        return Err(DirectoryFault::Disguised);
    }
    Ok(())
}

/// Whether it begins with a drive of Windows or a scheme, also once dots are resolved: `x/../C:/y`
/// is `C:/y` to who normalises before he looks.
fn begins_elsewhere(text: &str) -> bool {
    let mut depth = 0_usize;
    for segment in segments(text) {
        if segment == ".." {
            depth = depth.saturating_sub(1);
            continue;
        }
        let drive = segment.chars().nth(1) == Some(':');
        if depth == 0 && (drive || segment.ends_with(':')) {
            return true;
        }
        depth += 1;
    }
    false
}
