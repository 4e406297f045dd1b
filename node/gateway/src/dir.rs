//! A node's directory: `tollbook.toml  admin.token  trust.policy  keys/  db/  log/`, and `run`
//! while it serves.
//!
//! Every file is written whole: to a temporary beside it, synced, renamed, the directory synced.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;
use zeroize::Zeroizing;

use tollbook_audit::note::{Checkpoint, LogKey, Note};
use tollbook_audit::{hex, layout, trust};
use tollbook_state::command::TokenHash;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::token::{Class, Token, TokenError};

mod max_signed;
mod peer_keys;

pub use max_signed::MaxSigned;

const CONFIG: &str = "tollbook.toml";
const ADMIN_TOKEN: &str = "admin.token";
const TRUST: &str = "trust.policy";
const RUN: &str = "run";
const KEYS: &str = "keys";
const LOG_KEY: &str = "keys/log.key";
const SESSION_KEY: &str = "keys/session.key";
const ADMIN_HASHES: &str = "keys/admin.hashes";
const MAX_SIGNED: &str = "keys/max_signed";
const DIVERGED: &str = "keys/diverged";
/// All that a node cannot start without.
const NEEDED: [&str; 5] = [CONFIG, TRUST, LOG_KEY, SESSION_KEY, ADMIN_HASHES];
/// All that nobody else may read.
const SECRET: [&str; 8] = [
    KEYS,
    ADMIN_TOKEN,
    LOG_KEY,
    SESSION_KEY,
    ADMIN_HASHES,
    "keys/ca.pem",
    "keys/node.key",
    "keys/peer.pem",
];
/// Files of ours are small; one that is not is no file of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;
const ADMINS_MAX: usize = 16;

/// A node's directory.
#[derive(Clone, Debug)]
pub struct Dir {
    root: PathBuf,
}

/// Holds the directory for one process, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

/// Where a serving node can be reached: its real addresses, also where port 0 was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// URL of the data plane.
    pub data: String,
    /// URL of the admin plane.
    pub admin: String,
    /// Address for other nodes; none while the node serves alone.
    pub peer: Option<String>,
    /// Process id.
    pub pid: u32,
}

/// What the node knows of the admin tokens: their public ids and hashes.
#[derive(Clone, Debug)]
pub struct AdminHashes(Vec<([u8; 12], TokenHash)>);

/// What is wrong with a node's directory.
#[derive(Debug, Error)]
pub enum DirError {
    /// Its `tollbook.toml` is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file is not what we wrote.
    #[error("`{path}` is damaged: {what}; restore it from a backup")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Its book has another root than the cluster's.
    #[error(
        "this node's book is not the one that others have signed (see `{path}`): it must not \
         serve; remove it from the cluster and join a new one, and keep this directory"
    )]
    Diverged {
        /// Where both roots stand.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("`{path}` is in use by another process; stop that node first")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot {action} `{path}`; check that it exists and that this user may do so")]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that `init` makes is not there.
    #[error(
        "`{path}` is missing, so this is not a whole node's directory; make one with \
         `tollbook init --dir D`, or restore a backup"
    )]
    Missing {
        /// What.
        path: PathBuf,
    },
    /// Others may read a secret.
    #[error("`{path}` may be read by others (mode {mode:04o}); run `chmod go= {path}`")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// `init` never overwrites.
    #[error(
        "`{path}` is not empty, and `init` changes nothing that exists; give a directory that \
         does not exist or is empty"
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The log's name cannot be a key's name.
    #[error("`{origin}` cannot name a log; give a name without spaces or `+`")]
    Origin {
        /// As it was given.
        origin: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes; try again")]
    Random(#[source] getrandom::Error),
    /// Its disk was rolled back, or it is a copy.
    #[error(
        "another node has seen a later start of this directory, as `{path}` says: its disk was \
         rolled back, or it is a copy; remove the node from the cluster and join a new one"
    )]
    RolledBack {
        /// The mark.
        path: PathBuf,
    },
    /// A checkpoint of this size was signed with another root.
    #[error(
        "this node has signed another root at size {size}; it must not sign: compare the log \
         with a backup, or see `tollbook audit verify`"
    )]
    SignedOther {
        /// The size.
        size: u64,
    },
    /// A larger checkpoint was signed.
    #[error(
        "this node has signed a checkpoint of size {signed}, and the log stands at {size}: \
         records are lost; see `backup restore`"
    )]
    SignedSmaller {
        /// What was to be signed.
        size: u64,
        /// What was signed.
        signed: u64,
    },
    /// `admin.token`, or a file given in its stead.
    #[error("`{path}` does not hold an admin token")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TokenError,
    },
}

impl Dir {
    /// Names a directory; looks at nothing.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes a node's directory: keys, admin token, trust policy, configuration. Refuses one that
    /// holds anything.
    pub fn init(root: &Path, config: &Config) -> Result<Self, DirError> {
        let making = Making::begin(root, &config.node.name)?;
        let keys = ClusterKeys::generate(&config.cluster.origin)?;
        making.dir.make_peer_keys(config, Clock::default().wall())?;
        making.finish(config, &keys)
    }

    /// A directory that a node can start from: all there, and no secret open to others.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DirError> {
        let dir = Self::at(root);
        for name in NEEDED {
            let path = dir.path(name);
            if !path
                .try_exists()
                .map_err(|source| io_error("read", &path, source))?
            {
                return Err(DirError::Missing { path });
            }
        }
        for name in SECRET {
            let path = dir.path(name);
            match fs::metadata(&path) {
                Ok(found) => private(&path, found.permissions().mode())?,
                // Who has put the admin token away has done well.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(io_error("read", &path, source)),
            }
        }
        Ok(dir)
    }

    /// Takes the directory for this process. A second node on it is refused.
    pub fn lock(&self) -> Result<Lock, DirError> {
        let held = File::open(&self.root).map_err(|e| io_error("open", &self.root, e))?;
        match flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _held: held }),
            Err(Errno::WOULDBLOCK) => Err(DirError::InUse {
                path: self.root.clone(),
            }),
            Err(errno) => Err(io_error("lock", &self.root, errno.into())),
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Of the database.
    pub fn db(&self) -> PathBuf {
        self.path("db")
    }

    /// Of the audit log: segments and checkpoints.
    pub fn log(&self) -> PathBuf {
        self.path("log")
    }

    /// The auditor's policy file.
    pub fn trust_policy(&self) -> PathBuf {
        self.path(TRUST)
    }

    /// The file that holds the admin token.
    pub fn admin_token_file(&self) -> PathBuf {
        self.path(ADMIN_TOKEN)
    }

    /// Reads `tollbook.toml` and the environment.
    pub fn config(&self) -> Result<Config, DirError> {
        Ok(Config::load(&self.path(CONFIG), |name| {
            std::env::var_os(name)
        })?)
    }

    /// The key that signs checkpoints.
    pub fn log_key(&self) -> Result<LogKey, DirError> {
        let path = self.path(LOG_KEY);
        let text = read_secret(&path)?;
        LogKey::parse(&text).map_err(|_| DirError::Damaged {
            path,
            what: "not a log key",
        })
    }

    /// The key that seals session ids.
    pub fn session_key(&self) -> Result<Zeroizing<[u8; 32]>, DirError> {
        let path = self.path(SESSION_KEY);
        let bytes = read_bytes(&path)?;
        let key: Result<[u8; 32], _> = bytes.as_slice().try_into();
        key.map(Zeroizing::new).map_err(|_| DirError::Damaged {
            path,
            what: "not 32 bytes",
        })
    }

    /// The admin tokens' hashes.
    pub fn admin_hashes(&self) -> Result<AdminHashes, DirError> {
        let path = self.path(ADMIN_HASHES);
        let text = read_secret(&path)?;
        AdminHashes::parse(&text).ok_or(DirError::Damaged {
            path,
            what: "not a list of admin tokens' hashes",
        })
    }

    /// Keeps the signed checkpoint of the log's first `size` records, and makes it the newest.
    /// Blocks.
    pub fn keep_note(&self, size: u64, note: &str) -> Result<(), DirError> {
        let folder = self.log().join(layout::CHECKPOINTS);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| io_error("make", &folder, source))?;
        write_whole(
            &folder.join(layout::note_name(size)),
            note.as_bytes(),
            0o644,
        )?;
        // A crash here leaves the note under its size only; the next one becomes the newest.
        write_whole(&self.log().join(layout::CHECKPOINT), note.as_bytes(), 0o644)
    }

    /// Size of the newest note that is kept; 0 where there is none.
    pub fn newest_note(&self) -> Result<u64, DirError> {
        let path = self.log().join(layout::CHECKPOINT);
        let bytes = match read_bytes(&path) {
            Err(DirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(0);
            }
            read => read?,
        };
        let note = Note::parse(&bytes).and_then(|note| Checkpoint::parse(note.unverified_text()));
        note.map(|checkpoint| checkpoint.size)
            .map_err(|_| DirError::Damaged {
                path,
                what: "not a checkpoint",
            })
    }

    /// Writes the node's own copy of the auditor's policy file, where it says something else.
    /// Blocks.
    pub fn write_trust(&self, text: &str) -> Result<(), DirError> {
        let path = self.path(TRUST);
        if read_secret(&path).is_ok_and(|found| *found == text) {
            return Ok(());
        }
        write_whole(&path, text.as_bytes(), 0o644)
    }

    /// Says where the node serves. Written once it does.
    pub fn write_run(&self, run: &Run) -> Result<(), DirError> {
        let text = serde_json::to_string(run)
            .map_err(|source| io_error("write", &self.path(RUN), source.into()))?;
        write_whole(&self.path(RUN), text.as_bytes(), 0o600)
    }

    /// Where the node serves, or served when it was killed; none where it stopped in order.
    pub fn run(&self) -> Result<Option<Run>, DirError> {
        let path = self.path(RUN);
        match read_secret(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| DirError::Damaged {
                    path,
                    what: "not what a node writes there",
                }),
            Err(DirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// At an orderly stop.
    pub fn remove_run(&self) -> Result<(), DirError> {
        let path = self.path(RUN);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &path, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// True if the root did not exist.
    fn make_root(&self) -> Result<bool, DirError> {
        let root = &self.root;
        let made = !root
            .try_exists()
            .map_err(|source| io_error("read", root, source))?;
        if made {
            let parent = root
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent {
                fs::create_dir_all(parent).map_err(|e| io_error("make", parent, e))?;
            }
            make_dir(root)?;
        }
        let mut entries = fs::read_dir(root).map_err(|source| io_error("read", root, source))?;
        if entries.next().is_some() {
            return Err(DirError::NotEmpty { path: root.clone() });
        }
        Ok(made)
    }
}

/// The keys that all members of a cluster hold.
pub struct ClusterKeys {
    /// Signs checkpoints.
    pub log: LogKey,
    /// Seals session ids.
    pub session: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterKeys").finish_non_exhaustive()
    }
}

impl ClusterKeys {
    fn generate(origin: &str) -> Result<Self, DirError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut *seed).map_err(DirError::Random)?;
        let log = LogKey::from_seed(origin, &seed).map_err(|_| DirError::Origin {
            origin: origin.to_owned(),
        })?;
        let mut session = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut *session).map_err(DirError::Random)?;
        Ok(Self { log, session })
    }
}

/// A directory that is being made. Dropped before it is finished, what was made is taken away; what
/// cannot be removed stays, and the next attempt names it.
///
/// A crash on the way leaves a directory without `tollbook.toml`, which is written last: `open`
/// says that it is not whole, `init` that it is not empty. Nothing was signed with its keys.
#[derive(Debug)]
pub struct Making {
    dir: Dir,
    made_root: bool,
    finished: bool,
}

impl Making {
    /// Makes the directory and the node's own cosigning key. Refuses one that holds anything.
    pub fn begin(root: &Path, name: &str) -> Result<Self, DirError> {
        let dir = Dir::at(root);
        let made_root = dir.make_root()?;
        let making = Self {
            dir,
            made_root,
            finished: false,
        };
        fs::set_permissions(root, fs::Permissions::from_mode(0o700))
            .map_err(|source| io_error("change", root, source))?;
        for folder in [KEYS, "db", "log"] {
            make_dir(&making.dir.path(folder))?;
        }
        making.dir.make_node_key(name)?;
        Ok(making)
    }

    /// The directory, not whole yet.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Writes the rest, the configuration last.
    pub fn finish(mut self, config: &Config, keys: &ClusterKeys) -> Result<Dir, DirError> {
        let dir = &self.dir;
        let log_key = keys.log.to_secret_text();
        write_whole(&dir.path(LOG_KEY), log_key.as_bytes(), 0o600)?;
        write_whole(&dir.path(SESSION_KEY), &*keys.session, 0o600)?;
        let admin = Token::generate(Class::Admin).map_err(DirError::Random)?;
        let hashes = AdminHashes(vec![(admin.id(), admin.hash())]);
        write_whole(&dir.path(ADMIN_HASHES), hashes.write().as_bytes(), 0o600)?;
        let text = Zeroizing::new(format!("{}\n", admin.expose()));
        write_whole(&dir.path(ADMIN_TOKEN), text.as_bytes(), 0o600)?;
        let trusted = trust::single_signer_text(&keys.log.verifier());
        write_whole(&dir.path(TRUST), trusted.as_bytes(), 0o644)?;
        write_whole(&dir.path(CONFIG), config.write().as_bytes(), 0o644)?;
        self.finished = true;
        Ok(self.dir.clone())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for name in [KEYS, "db", "log"] {
            drop(fs::remove_dir_all(self.dir.path(name)));
        }
        for name in [ADMIN_TOKEN, TRUST, CONFIG] {
            drop(fs::remove_file(self.dir.path(name)));
        }
        if self.made_root {
            drop(fs::remove_dir(&self.dir.root));
        }
    }
}

impl Run {
    /// Whether its process still is one, though perhaps another of the same number.
    pub fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // Another user's process may not be signalled, but it is there.
        let there = |pid| !matches!(test_kill_process(pid), Err(Errno::SRCH));
        pid.is_some_and(there)
    }
}

impl AdminHashes {
    /// Whether `token` is one of them. Takes the same time for an unknown id and a wrong secret.
    pub fn knows(&self, token: &Token) -> bool {
        let (id, hash) = (token.id(), token.hash());
        let mut known = Choice::from(0);
        for (known_id, known_hash) in &self.0 {
            known |= known_id.ct_eq(&id) & known_hash.0.ct_eq(&hash.0);
        }
        token.class() == Class::Admin && bool::from(known)
    }

    fn write(&self) -> String {
        let line = |(id, hash): &([u8; 12], TokenHash)| {
            let id: String = id.iter().copied().map(char::from).collect();
            format!("{id} {}\n", hex(&hash.0))
        };
        self.0.iter().map(line).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let hashes: Option<Vec<_>> = text.lines().map(admin_hash).collect();
        hashes
            .filter(|all| (1..=ADMINS_MAX).contains(&all.len()))
            .map(Self)
    }
}

/// Reads a file that holds one token of class `class` and perhaps a line feed.
pub fn read_token(path: &Path, class: Class) -> Result<Token, DirError> {
    let text = read_secret(path)?;
    let token = text.strip_suffix('\n').unwrap_or(&text);
    let token = token.strip_suffix('\r').unwrap_or(token);
    Token::parse_as(class, token).map_err(|source| DirError::Token {
        path: path.to_owned(),
        source,
    })
}

/// Reads a UTF-8 file of bounded size; what is read is wiped when dropped.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, DirError> {
    let mut bytes = read_bytes(path)?;
    let text = String::from_utf8(std::mem::take(&mut *bytes));
    text.map(Zeroizing::new).map_err(|_| DirError::Damaged {
        path: path.to_owned(),
        what: "not UTF-8",
    })
}

/// Writes a file so that it is there whole or not at all, and stays.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DirError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let failed = |source| io_error("write", path, source);
    // A crash here leaves the temporary, which the next write replaces.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .map_err(failed)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    // A crash here leaves the old file or the new one, whole.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(failed)
}

impl DirError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Damaged { .. } => "TB-DIR-DAMAGED",
            Self::Diverged { .. } => "TB-DIR-DIVERGED",
            Self::RolledBack { .. } => "TB-DIR-ROLLED-BACK",
            Self::InUse { .. } => "TB-DIR-IN-USE",
            Self::Io { .. } => "TB-DIR-IO",
            Self::Missing { .. } => "TB-DIR-MISSING",
            Self::Mode { .. } => "TB-DIR-MODE",
            Self::NotEmpty { .. } => "TB-DIR-NOT-EMPTY",
            Self::Origin { .. } => "TB-DIR-ORIGIN",
            Self::Random(_) => "TB-DIR-RANDOM",
            Self::SignedOther { .. } => "TB-DIR-SIGNED-OTHER",
            Self::SignedSmaller { .. } => "TB-DIR-SIGNED-SMALLER",
            Self::Token { .. } => "TB-DIR-TOKEN",
        }
    }
}

fn admin_hash(line: &str) -> Option<([u8; 12], TokenHash)> {
    let (id, hash) = line.split_once(' ')?;
    let id: [u8; 12] = id.as_bytes().try_into().ok()?;
    Some((id, TokenHash(unhex(hash)?)))
}

/// 64 hex digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    unhex_all(text)?.try_into().ok()
}

/// Any even number of hex digits.
pub(crate) fn unhex_all(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let pairs = digits.chunks(2);
    let byte = |pair: &[u8]| pair.iter().fold(0, |value, digit| value << 4 | digit);
    Some(pairs.map(byte).collect())
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> DirError {
    DirError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn make_dir(path: &Path) -> Result<(), DirError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|source| io_error("make", path, source))
}

fn private(path: &Path, mode: u32) -> Result<(), DirError> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(DirError::Mode {
        path: path.to_owned(),
        mode: mode & 0o7777,
    })
}

fn read_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, DirError> {
    let failed = |source| io_error("read", path, source);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(DirError::Damaged {
            path: path.to_owned(),
            what: "larger than 1 MiB",
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
