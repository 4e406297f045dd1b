//! `tollbook policy fmt`: lays policy files out in the one way.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::Builder;

use tollbook_policy::{check, layout};

use super::api_all;
use super::call::text_of;
use crate::commands::{Exit, Failure, findings, note, out};

#[derive(Args, Debug)]
#[command(
    after_help = "White space and the order of members change, nothing else: strings and numbers \
                  stay as they\nare written, and so does the digest. A file with errors is left \
                  alone.\n\n\
                  Exit 0; 3 if a file has errors, and with --check if one would change.\n\n\
                  Example:\n  tollbook policy fmt --check policies/*.json || \
                  tollbook policy fmt policies/*.json"
)]
pub(in crate::commands) struct Fmt {
    /// Policies, JSON, written anew in their place; `-` alone prints standard input laid out
    #[arg(required = true, value_name = "FILE|-")]
    files: Vec<PathBuf>,
    /// Write nothing; print the names of files that would change
    #[arg(long)]
    check: bool,
}

pub(in crate::commands) fn run(fmt: &Fmt) -> Result<Exit, Failure> {
    let stdin = Path::new("-");
    if fmt.files.len() > 1 && fmt.files.iter().any(|path| path == stdin) {
        return Err(Failure::Argument {
            name: "FILE",
            found: "-".to_owned(),
            wanted: "standard input alone, or files",
        });
    }
    let mut exit = Exit::Done;
    let (mut changed, mut unchanged) = (0_usize, 0_usize);
    for path in &fmt.files {
        let is_stdin = path == stdin;
        let text = text_of(path)?;
        let Some(laid) = laid(path, &text)? else {
            exit = Exit::Negative;
            continue;
        };
        if laid == text {
            unchanged += 1;
        } else {
            changed += 1;
        }
        if fmt.check {
            if laid != text {
                out::line(&path.display().to_string())?;
                exit = Exit::Negative;
            }
        } else if is_stdin {
            out::text(&laid)?;
        } else if laid != text {
            replace(path, &text, &laid).map_err(|source| Failure::Write {
                path: path.clone(),
                source,
            })?;
        }
    }
    if !fmt.check && fmt.files.iter().any(|path| path == stdin) {
        return Ok(exit);
    }
    let verb = if fmt.check { "would change" } else { "changed" };
    note(&format!("{changed} {verb}, {unchanged} laid out already"));
    Ok(exit)
}

/// The text laid out. None: it has errors, which the person has been told.
fn laid(path: &Path, text: &str) -> Result<Option<String>, Failure> {
    match layout(text) {
        Ok(laid) if means_the_same(text, &laid) => Ok(Some(laid)),
        Ok(_) => Err(Failure::Layout {
            path: path.to_owned(),
        }),
        Err(found) => {
            let file = path.display().to_string();
            for finding in api_all(&found) {
                note(findings::render(&file, text, &finding).trim_end());
            }
            Ok(None)
        }
    }
}

fn means_the_same(one: &str, two: &str) -> bool {
    let digest = |text| check(text).map(|policy| policy.digest()).ok();
    digest(one).is_some() && digest(one) == digest(two)
}

/// All of the new text or all of the old one, whatever happens. What somebody else wrote since the
/// old one was read stays.
fn replace(path: &Path, old: &str, new: &str) -> io::Result<()> {
    // What a link points at is replaced, not the link.
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let permissions = fs::metadata(&path)?.permissions();
    let mut file = Builder::new()
        .prefix(".tollbook-fmt-")
        .tempfile_in(folder)?;
    file.write_all(new.as_bytes())?;
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    if fs::read(&path)? != old.as_bytes() {
        return Err(io::Error::other("it has changed since it was read"));
    }
    // A crash up to here leaves the old file, and perhaps a temporary one beside it.
    file.persist(&path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        File::create(&path).unwrap().write_all(b"theirs").unwrap();
        replace(&path, "old", "ours").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        replace(&path, "theirs", "ours").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ours");
    }

    #[test]
    fn a_text_that_means_something_else_is_never_written() {
        let old = r#"{"version":"1","tools":{"a":{}}}"#;
        assert!(means_the_same(
            old,
            "{ \"tools\": { \"a\": {} }, \"version\": \"1\" }"
        ));
        assert!(!means_the_same(old, r#"{"version":"1","tools":{"b":{}}}"#));
        assert!(!means_the_same(old, "{"));
        assert!(!means_the_same("{", "{"));
    }
}
