//! A server's fixed headers, whose values stand elsewhere: `file:PATH`, `env:VAR`, `cred:NAME`.
//! The values are read when they are used, and never shown.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::headers::is_ours;
use crate::clock::{Clock, Moment};

/// Bytes of one secret.
const SECRET_BYTES_MAX: u64 = 16 << 10;
/// How long a file that was read is believed unchanged. Then it is read again, whatever its times
/// and size say: two changes within one tick look alike.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Files whose contents are remembered. Beyond it they are read at each use.
const FILES_MAX: usize = 1024;
/// Where systemd puts a unit's credentials.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Where a value stands. Shown freely: it is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `cred:NAME`: a systemd credential.
    Credential(String),
    /// `env:VAR`: an environment variable.
    Environment(String),
    /// `file:PATH`, absolute.
    File(PathBuf),
}

/// A header that is sent to a server with each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    name: HeaderName,
    reference: Reference,
}

/// Why a header's definition is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// `cred:` with a path or nothing.
    #[error("`cred:{name}` is no credential's name; give the name alone, without a path")]
    Credential {
        /// What was given.
        name: String,
    },
    /// `env:` with nothing, `=` or NUL.
    #[error("`env:{name}` is no environment variable's name")]
    Environment {
        /// What was given.
        name: String,
    },
    /// Not a header's name.
    #[error("`{name}` is no header's name")]
    Name {
        /// What was given.
        name: String,
    },
    /// A header that Tollbook or the protocol sets.
    #[error("header `{name}` is set by Tollbook itself; choose another one")]
    Ours {
        /// The header.
        name: HeaderName,
    },
    /// A relative path: it would depend on where the node was started.
    #[error("`file:{}` is not an absolute path", path.display())]
    Relative {
        /// What was given.
        path: PathBuf,
    },
    /// No colon in `Name: reference`.
    #[error("a header is given as `Name: file:PATH` or `Name: env:VAR`")]
    Shape,
    /// Most likely the secret itself. It is not repeated here.
    #[error("a header's value is given as `file:PATH`, `env:VAR` or `cred:NAME`, not as itself")]
    Unreferenced,
}

/// Why a value could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Empty, once the line's end is taken off.
    #[error("{reference} is empty")]
    Empty {
        /// Where it should stand.
        reference: Reference,
    },
    /// No such variable, or not UTF-8.
    #[error("{reference} is not set")]
    NotSet {
        /// Where it should stand.
        reference: Reference,
    },
    /// Any user of the machine can read it.
    #[error("{reference} can be read by every user of this machine; run `chmod o-rwx` on it")]
    Open {
        /// The file.
        reference: Reference,
    },
    /// A file of the node's own: a key, a token, the log.
    #[error("{reference} is a file of the node's own directory; keep credentials elsewhere")]
    Private {
        /// The file.
        reference: Reference,
    },
    /// More than a header's value.
    #[error("{reference} has more than {SECRET_BYTES_MAX} bytes")]
    TooLong {
        /// Where it stands.
        reference: Reference,
    },
    /// Line breaks or control characters inside.
    #[error("{reference} holds a line break or control character inside")]
    Unprintable {
        /// Where it stands.
        reference: Reference,
    },
    /// The file cannot be read.
    #[error("{reference} cannot be read")]
    Unreadable {
        /// The file.
        reference: Reference,
        /// Why.
        source: io::Error,
    },
}

impl Reference {
    /// Reads `file:PATH`, `env:VAR` or `cred:NAME`. Does not look whether it exists.
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        if let Some(path) = text.strip_prefix("file:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::File(path))
            } else {
                Err(HeaderError::Relative { path })
            };
        }
        if let Some(name) = text.strip_prefix("env:") {
            let name = name.to_owned();
            return if name.is_empty() || name.contains(['=', '\0']) {
                Err(HeaderError::Environment { name })
            } else {
                Ok(Self::Environment(name))
            };
        }
        if let Some(name) = text.strip_prefix("cred:") {
            let name = name.to_owned();
            let mut parts = Path::new(&name).components();
            let plain = matches!(parts.next(), Some(Component::Normal(part)) if part == &*name);
            return if plain && parts.next().is_none() {
                Ok(Self::Credential(name))
            } else {
                Err(HeaderError::Credential { name })
            };
        }
        Err(HeaderError::Unreferenced)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "`cred:{name}`"),
            Self::Environment(name) => write!(f, "`env:{name}`"),
            Self::File(path) => write!(f, "`file:{}`", path.display()),
        }
    }
}

impl FixedHeader {
    /// A header from its name and its reference, as the log keeps them.
    pub fn new(name: &str, reference: &str) -> Result<Self, HeaderError> {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_invalid| HeaderError::Name {
                name: name.to_owned(),
            })?;
        if is_ours(&name) {
            return Err(HeaderError::Ours { name });
        }
        Ok(Self {
            name,
            reference: Reference::parse(reference)?,
        })
    }

    /// A header as the command line gives it: `Authorization: file:/etc/tollbook/stripe.token`.
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        let (name, reference) = text.split_once(':').ok_or(HeaderError::Shape)?;
        Self::new(name.trim(), reference.trim())
    }

    /// The header's name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Where its value stands.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

/// Reads values by reference. A changed file is seen within a second. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Secrets {
    clock: Clock,
    /// The node's own directory, resolved: its keys are no server's credentials, whatever a
    /// server's definition says.
    private: PathBuf,
    files: Arc<Mutex<HashMap<PathBuf, Kept>>>,
}

/// What a file held. `HeaderValue` shows no value that is marked sensitive.
#[derive(Clone, Debug)]
struct Kept {
    value: HeaderValue,
    believed_until: Moment,
}

impl Secrets {
    /// Remembers nothing yet. Files below `private` are refused.
    pub fn new(clock: Clock, private: &Path) -> Self {
        let private = private
            .canonicalize()
            .unwrap_or_else(|_| private.to_owned());
        Self {
            clock,
            private,
            files: Arc::default(),
        }
    }

    /// The value, marked sensitive. Reads a small file now and then: it blocks as long as that.
    pub fn value(&self, reference: &Reference) -> Result<HeaderValue, SecretError> {
        match reference {
            Reference::Environment(name) => match std::env::var(name) {
                Ok(text) => secret(text.as_bytes(), reference),
                Err(_absent) => Err(SecretError::NotSet {
                    reference: reference.clone(),
                }),
            },
            Reference::Credential(name) => match std::env::var_os(CREDENTIALS_DIRECTORY) {
                Some(directory) => self.file(&Path::new(&directory).join(name), reference),
                None => Err(SecretError::NotSet {
                    reference: reference.clone(),
                }),
            },
            Reference::File(path) => self.file(path, reference),
        }
    }

    fn file(&self, path: &Path, reference: &Reference) -> Result<HeaderValue, SecretError> {
        let unreadable = |source| SecretError::Unreadable {
            reference: reference.clone(),
            source,
        };
        let now = self.clock.moment();
        if let Some(kept) = self.lock().get(path)
            && now < kept.believed_until
        {
            return Ok(kept.value.clone());
        }
        let real = path.canonicalize().map_err(unreadable)?;
        if real.starts_with(&self.private) {
            return Err(SecretError::Private {
                reference: reference.clone(),
            });
        }
        let file = File::open(real).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::ErrorKind::InvalidInput.into()));
        }
        if metadata.mode() & 0o007 != 0 {
            return Err(SecretError::Open {
                reference: reference.clone(),
            });
        }
        let mut bytes = Vec::new();
        let most = SECRET_BYTES_MAX.saturating_add(1);
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let value = secret(&bytes, reference)?;
        let mut files = self.lock();
        if files.len() < FILES_MAX || files.contains_key(path) {
            let believed_until = now.after(LOOK_AGAIN);
            files.insert(
                path.to_owned(),
                Kept {
                    value: value.clone(),
                    believed_until,
                },
            );
        }
        Ok(value)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Kept>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value without the line's end that editors leave, marked so that nothing prints it.
fn secret(bytes: &[u8], reference: &Reference) -> Result<HeaderValue, SecretError> {
    let reference = || reference.clone();
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > SECRET_BYTES_MAX {
        return Err(SecretError::TooLong {
            reference: reference(),
        });
    }
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return Err(SecretError::Empty {
            reference: reference(),
        });
    }
    match HeaderValue::from_bytes(bytes) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok(value)
        }
        Err(_invalid) => Err(SecretError::Unprintable {
            reference: reference(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(Clock::default(), Path::new("/nowhere"))
    }

    fn put(path: &Path, bytes: &[u8], mode: u32) {
        let mut file = File::create(path).expect("created");
        file.write_all(bytes).expect("written");
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .expect("permitted");
    }

    /// As if the moment in which a file is believed had passed.
    fn forget(secrets: &Secrets, path: &Path) {
        let now = secrets.clock.moment();
        secrets.lock().get_mut(path).expect("kept").believed_until = now;
    }

    #[test]
    fn definitions_are_references_and_name_no_header_of_ours() {
        use HeaderError::{Credential, Environment, Name, Ours, Relative, Shape, Unreferenced};

        let ours = |name: &'static str| Ours {
            name: HeaderName::from_static(name),
        };
        let name = |text: &str| text.to_owned();
        let cases = [
            ("Authorization: file:/etc/t/token", Ok(())),
            ("Authorization:env:TOKEN", Ok(())),
            ("X-Api-Key: cred:stripe", Ok(())),
            ("Authorization", Err(Shape)),
            ("Authorization: Bearer sk_live_1", Err(Unreferenced)),
            ("Authorization: FILE:/x", Err(Unreferenced)),
            (
                "Authorization: file:token",
                Err(Relative {
                    path: PathBuf::from("token"),
                }),
            ),
            (
                "Authorization: file:",
                Err(Relative {
                    path: PathBuf::new(),
                }),
            ),
            ("Authorization: env:", Err(Environment { name: name("") })),
            (
                "Authorization: env:A=B",
                Err(Environment { name: name("A=B") }),
            ),
            (
                "Authorization: cred:../shadow",
                Err(Credential {
                    name: name("../shadow"),
                }),
            ),
            (
                "Authorization: cred:a/b",
                Err(Credential { name: name("a/b") }),
            ),
            (
                "Authorization: cred:..",
                Err(Credential { name: name("..") }),
            ),
            ("Authorization: cred:", Err(Credential { name: name("") })),
            (
                "Auth orization: env:A",
                Err(Name {
                    name: name("Auth orization"),
                }),
            ),
            (": env:A", Err(Name { name: name("") })),
            ("Host: env:A", Err(ours("host"))),
            ("content-length: env:A", Err(ours("content-length"))),
            ("Mcp-Name: env:A", Err(ours("mcp-name"))),
            ("Mcp-Session-Id: env:A", Err(ours("mcp-session-id"))),
            (
                "Proxy-Authorization: env:A",
                Err(ours("proxy-authorization")),
            ),
            ("Connection: env:A", Err(ours("connection"))),
        ];
        for (text, expected) in cases {
            assert_eq!(FixedHeader::parse(text).map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_given_as_itself_is_not_repeated() {
        let error = FixedHeader::parse("Authorization: sk_live_1").expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("sk_live_1"));
    }

    #[test]
    fn a_value_is_read_without_its_line_end_and_never_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        put(&path, b"Bearer sk_live_1\r\n", 0o600);
        let secrets = secrets();
        let value = secrets.value(&Reference::File(path)).expect("readable");
        assert_eq!(value.as_bytes(), b"Bearer sk_live_1");
        assert!(value.is_sensitive());
        assert!(!format!("{value:?} {secrets:?}").contains("sk_live_1"));
    }

    #[test]
    fn unfit_files_are_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let most = usize::try_from(SECRET_BYTES_MAX).expect("fits");
        let long = vec![b'x'; most + 1];
        let cases: [(&[u8], u32, &str); 9] = [
            (b"x", 0o640, "ok"),
            (b"x", 0o604, "Open"),
            (b"x", 0o602, "Open"),
            (b"", 0o600, "Empty"),
            (b" \n", 0o600, "Empty"),
            (b"a\nb", 0o600, "Unprintable"),
            (b"a\0b", 0o600, "Unprintable"),
            (&long, 0o600, "TooLong"),
            (&long[..most], 0o600, "ok"),
        ];
        for (bytes, mode, expected) in cases {
            put(&path, bytes, mode);
            let got = match secrets().value(&Reference::File(path.clone())) {
                Ok(_) => "ok",
                Err(SecretError::Empty { .. }) => "Empty",
                Err(SecretError::NotSet { .. }) => "NotSet",
                Err(SecretError::Open { .. }) => "Open",
                Err(SecretError::Private { .. }) => "Private",
                Err(SecretError::TooLong { .. }) => "TooLong",
                Err(SecretError::Unprintable { .. }) => "Unprintable",
                Err(SecretError::Unreadable { .. }) => "Unreadable",
            };
            assert_eq!(got, expected, "{} bytes, mode {mode:o}", bytes.len());
        }
        let absent = Reference::File(directory.path().join("absent"));
        let absent = secrets().value(&absent);
        assert!(
            matches!(absent, Err(SecretError::Unreadable { .. })),
            "{absent:?}"
        );
        let directory = Reference::File(directory.path().to_owned());
        let directory = secrets().value(&directory);
        assert!(
            matches!(directory, Err(SecretError::Unreadable { .. })),
            "{directory:?}"
        );
    }

    #[test]
    fn a_file_of_the_nodes_own_directory_is_no_credential() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = directory.path().join("node/keys");
        std::fs::create_dir_all(&keys).expect("a directory");
        let key = keys.join("log.key");
        put(&key, b"secret", 0o600);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&key, &link).expect("a link");
        let secrets = Secrets::new(Clock::default(), &directory.path().join("node"));
        for path in [keys.join("../keys/log.key"), link, key] {
            let refused = secrets.value(&Reference::File(path));
            assert!(
                matches!(refused, Err(SecretError::Private { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_file_is_believed_for_a_moment_and_then_looked_at_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let reference = Reference::File(path.clone());
        let secrets = secrets();
        put(&path, b"first", 0o600);
        assert_eq!(secrets.value(&reference).expect("readable"), "first");
        put(&path, b"second", 0o600);
        assert_eq!(secrets.value(&reference).expect("remembered"), "first");
        forget(&secrets, &path);
        assert_eq!(secrets.value(&reference).expect("read again"), "second");
        put(&path, b"third", 0o644);
        forget(&secrets, &path);
        let result = secrets.value(&reference);
        assert!(
            matches!(result, Err(SecretError::Open { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn a_variable_is_read_and_a_missing_one_named() {
        let value = secrets().value(&Reference::Environment("PATH".to_owned()));
        assert!(value.expect("set wherever tests run").is_sensitive());
        let absent = Reference::Environment("TOLLBOOK_TEST_UNSET".to_owned());
        let error = secrets().value(&absent).expect_err("not set");
        assert_eq!(error.to_string(), "`env:TOLLBOOK_TEST_UNSET` is not set");
    }
}
