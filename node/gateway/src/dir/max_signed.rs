//! The largest checkpoint that this node has signed, so that no crash, restore or copied disk makes
//! it sign two histories. Stands outside snapshots and backups of state.
//!
//! Four lines: `tollbook max_signed 1`, the size, the root in hex, CRC32 of what is before in hex.

use std::io;

use tollbook_audit::hex;

use super::{Dir, DirError, MAX_SIGNED, read_secret, unhex, write_whole};

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
