//! The largest checkpoint that this node has signed, so that no crash, restore or copied disk makes
//! it sign two histories. Stands outside snapshots and backups of state.
//!
//! Four lines: `tollbook max_signed 1`, the size, the root in hex, CRC32 of what is before in hex.

use std::io;
use std::path::PathBuf;

use futures_util::future::BoxFuture;

use tollbook_audit::hex;
use tollbook_raft::{Divergence, Failed, Notebook, PromiseError, Root};

use super::{DIVERGED, Dir, DirError, MAX_SIGNED, io_error, read_secret, unhex, write_whole};

const FIRST_LINE: &str = "tollbook max_signed 1";

/// A size of the log and its root there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxSigned {
    /// Number of records.
    pub size: u64,
    /// Root of the tree over them.
    pub root: [u8; 32],
}

impl Dir {
    /// The largest checkpoint that was signed; none before the first.
    pub fn max_signed(&self) -> Result<Option<MaxSigned>, DirError> {
        let path = self.path(MAX_SIGNED);
        match read_secret(&path) {
            Ok(text) => MaxSigned::parse(&text).map(Some).ok_or(DirError::Damaged {
                path,
                what: "not a size and a root",
            }),
            Err(DirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Durably notes that this checkpoint is going to be signed: only after this returns may the
    /// signature leave the process. Refuses a smaller size, and another root at the same size.
    /// Blocks.
    pub fn promise_signed(&self, size: u64, root: &[u8; 32]) -> Result<(), DirError> {
        let next = MaxSigned { size, root: *root };
        if let Some(signed) = self.max_signed()? {
            if next.size < signed.size {
                return Err(DirError::SignedSmaller {
                    size: next.size,
                    signed: signed.size,
                });
            }
            if next.size == signed.size {
                let same = next.root == signed.root;
                return if same {
                    Ok(())
                } else {
                    Err(DirError::SignedOther { size: next.size })
                };
            }
        }
        // A crash after this leaves a size that was never signed: signing it later, with the same
        // root, is allowed.
        write_whole(&self.path(MAX_SIGNED), next.write().as_bytes(), 0o600)
    }

    /// Keeps two roots of one size, and the note that one of them came in, for people to look at.
    /// Blocks.
    pub fn keep_divergence(&self, divergence: &Divergence) -> Result<(), DirError> {
        let Divergence {
            size,
            own,
            other,
            node,
            note,
        } = divergence;
        let text = format!(
            "size {size}\nown root {}\nother root {}\nas node {node} says\n\n{}",
            hex(own),
            hex(other),
            note.as_deref().unwrap_or_default()
        );
        write_whole(&self.divergence(), text.as_bytes(), 0o600)
    }

    /// The file in which two roots of one size stand, if any do.
    pub fn divergence(&self) -> PathBuf {
        self.path(DIVERGED)
    }

    /// Refuses a directory whose book was found to be another than the cluster's.
    pub fn check_undiverged(&self) -> Result<(), DirError> {
        let path = self.divergence();
        match path.try_exists() {
            Ok(false) => Ok(()),
            Ok(true) => Err(DirError::Diverged { path }),
            Err(source) => Err(io_error("read", &path, source)),
        }
    }

    fn promise(&self, size: u64, root: &Root) -> Result<(), PromiseError> {
        let failed = |error: DirError| PromiseError::Failed(error.into());
        match self.promise_signed(size, root) {
            Ok(()) => Ok(()),
            Err(DirError::SignedSmaller { signed, .. }) => {
                Err(PromiseError::Smaller { promised: signed })
            }
            Err(error @ DirError::SignedOther { .. }) => match self.max_signed().map_err(failed)? {
                Some(MaxSigned { root, .. }) => Err(PromiseError::OtherRoot { promised: root }),
                None => Err(failed(error)),
            },
            Err(error) => Err(failed(error)),
        }
    }
}

/// Files, written off the runtime's threads. Who drops a future drops the wait and not the write.
impl Notebook for Dir {
    fn promise(&self, size: u64, root: Root) -> BoxFuture<'static, Result<(), PromiseError>> {
        let dir = self.clone();
        let written = tokio::task::spawn_blocking(move || dir.promise(size, &root));
        Box::pin(async move {
            let written = written.await;
            written.unwrap_or_else(|error| Err(PromiseError::Failed(error.into())))
        })
    }

    fn keep(&self, size: u64, note: String) -> BoxFuture<'static, Result<(), Failed>> {
        let dir = self.clone();
        write(move || dir.keep_note(size, &note))
    }

    fn diverged(&self, divergence: Divergence) -> BoxFuture<'static, Result<(), Failed>> {
        let dir = self.clone();
        write(move || dir.keep_divergence(&divergence))
    }
}

fn write(
    write: impl FnOnce() -> Result<(), DirError> + Send + 'static,
) -> BoxFuture<'static, Result<(), Failed>> {
    let written = tokio::task::spawn_blocking(write);
    Box::pin(async move { Ok(written.await??) })
}

impl MaxSigned {
    fn write(&self) -> String {
        let body = format!("{FIRST_LINE}\n{}\n{}\n", self.size, hex(&self.root));
        let check = crc32fast::hash(body.as_bytes());
        format!("{body}{check:08x}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let first = lines.next()?;
        let parsed = Self {
            size: lines.next()?.parse().ok()?,
            root: unhex(lines.next()?)?,
        };
        // Written again and compared, so that the check and every byte count.
        (first == FIRST_LINE && parsed.write() == text).then_some(parsed)
    }
}
