//! C2SP signed notes, and the three-line checkpoints in them. Ed25519 only: type 0x01 signs for the
//! log, type 0x04 is a witness's timestamped cosignature.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::limits::{NOTE_BYTES_MAX, ORIGIN_BYTES_MAX, SIGNATURES_MAX};
use crate::tree::Hash;

const SIGNATURE_LINE: &str = "— ";
const PRIVATE_KEY: &str = "PRIVATE+KEY+";
/// Latest time of a cosignature; C2SP forbids more.
const COSIGNED_SECONDS_MAX: u64 = (1 << 63) - 1;

/// What is wrong with a key, a note or a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// The three lines are not origin, size and root.
    Checkpoint,
    /// More signatures than a note holds.
    Full,
    /// Not a key: `<name>+<8 hex digits>+<base64>`, the digits those of name and key.
    Key,
    /// Not a key name or origin: empty, too long, a space, a control character or `+` in it.
    KeyName,
    /// A signature by this very key does not verify.
    Signature,
    /// Not a signed note: text, an empty line, signature lines.
    Syntax,
    /// No signature by a key that is asked for.
    Unsigned,
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "its text is not three lines of origin, size and root",
            Self::Full => "more signatures than a note holds",
            Self::Key => "not a key of the form `<name>+<hash>+<base64>`",
            Self::KeyName => "a key name is 1 to 255 bytes without spaces, controls or `+`",
            Self::Signature => "a signature by a trusted key does not verify",
            Self::Syntax => "not a signed note",
            Self::Unsigned => "no signature by a trusted key",
        })
    }
}

impl core::error::Error for NoteError {}

/// Whether a text can be a key's name, and with it a log's origin.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= ORIGIN_BYTES_MAX;
    fits && !name
        .chars()
        .any(|c| c == '+' || c.is_whitespace() || c.is_control())
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// 0x01: the note's text.
    Log,
    /// 0x04: the note's text under a header with a time.
    Cosigner,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Cosigner => 4,
        }
    }
}

/// A public key with its name: C2SP vkey. `Display` writes what [`VerifierKey::parse`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Reads `<name>+<hash>+<base64>`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let (name, rest) = text.split_once('+').ok_or(NoteError::Key)?;
        let (id, encoded) = rest.split_once('+').ok_or(NoteError::Key)?;
        if !is_key_name(name) {
            return Err(NoteError::KeyName);
        }
        let (kind, bytes) = decode_key(encoded)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NoteError::Key)?;
        let parsed = Self {
            name: name.into(),
            kind,
            key,
        };
        if key.is_weak() || id != crate::hex(&parsed.id()) {
            return Err(NoteError::Key);
        }
        Ok(parsed)
    }

    /// The public half of a key given by its 32 secret bytes.
    pub fn of_seed(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::KeyName);
        }
        let key = SigningKey::from_bytes(seed).verifying_key();
        Ok(Self {
            name: name.into(),
            kind,
            key,
        })
    }

    /// The key's name; for a log's key this is its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The bare public key.
    #[must_use]
    pub fn public_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// First four bytes of SHA-256 over name, line feed, type and key.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.kind.byte()])
            .chain_update(self.key.as_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    }

    /// Checks one cosignature line, with its line feed, over a checkpoint: the seconds since the
    /// epoch at which this key says that it cosigned. A line of another key is `Unsigned`.
    pub fn check_cosignature(&self, checkpoint: &Checkpoint, line: &str) -> Result<u64, NoteError> {
        let parsed = signature_line(line.strip_suffix('\n').ok_or(NoteError::Syntax)?)?;
        if self.kind != KeyKind::Cosigner || parsed.name != self.name || parsed.id != self.id() {
            return Err(NoteError::Unsigned);
        }
        self.verify_cosignature(&checkpoint.body(), &parsed.signature)
    }

    fn verify_cosignature(&self, text: &str, timestamped: &[u8]) -> Result<u64, NoteError> {
        let (time, signature) = timestamped
            .split_first_chunk()
            .ok_or(NoteError::Signature)?;
        let time = u64::from_be_bytes(*time);
        if time > COSIGNED_SECONDS_MAX {
            return Err(NoteError::Signature);
        }
        self.verify(&cosigned_message(time, text), signature)?;
        Ok(time)
    }

    fn verify(&self, message: &str, signature: &[u8]) -> Result<(), NoteError> {
        let signature = Signature::from_slice(signature).map_err(|_| NoteError::Signature)?;
        self.key
            .verify_strict(message.as_bytes(), &signature)
            .map_err(|_| NoteError::Signature)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = encode_key(self.kind, self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, crate::hex(&self.id()), *encoded)
    }
}

/// The log's private key with its name. Wiped when dropped; never printed.
#[derive(Debug)]
pub struct LogKey(SecretKey);

impl LogKey {
    /// The key of these 32 random bytes, which the caller wipes.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        SecretKey::from_seed(name, KeyKind::Log, seed).map(Self)
    }

    /// Reads `PRIVATE+KEY+<name>+<hash>+<base64>`, the text of a key file.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        SecretKey::parse(text, KeyKind::Log).map(Self)
    }

    /// What [`LogKey::parse`] reads, with a line feed. For a file of mode 0600 and nothing else.
    #[must_use]
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        self.0.to_secret_text()
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.0.verifier()
    }

    /// The signed note of a checkpoint. Signing the same one again gives the same bytes. Whether it
    /// may be signed at all is the caller's to know.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let body = checkpoint.body();
        let signature = self.0.key.sign(body.as_bytes());
        let line = self.0.line(&[], &signature);
        format!("{body}\n{line}")
    }
}

/// A cosigner's private key with its name: what one node of a cluster vouches with. Wiped when
/// dropped; never printed.
#[derive(Debug)]
pub struct NodeKey(SecretKey);

impl NodeKey {
    /// The key of these 32 random bytes, which the caller wipes. They are of no other key: a
    /// cosignature does not name who made it.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        SecretKey::from_seed(name, KeyKind::Cosigner, seed).map(Self)
    }

    /// Reads `PRIVATE+KEY+<name>+<hash>+<base64>`, the text of a key file.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        SecretKey::parse(text, KeyKind::Cosigner).map(Self)
    }

    /// What [`NodeKey::parse`] reads, with a line feed. For a file of mode 0600 and nothing else.
    #[must_use]
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        self.0.to_secret_text()
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.0.verifier()
    }

    /// The line, with its line feed, that says: at `time`, in seconds since the epoch, this was
    /// the largest checkpoint of its log that I had seen, and none contradicts it. Whether that
    /// is so, and may be said, is the caller's to know.
    #[must_use]
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> String {
        // The specification's bound; no clock that is not broken comes near it.
        let time = time.min(COSIGNED_SECONDS_MAX);
        let message = cosigned_message(time, &checkpoint.body());
        let signature = self.0.key.sign(message.as_bytes());
        self.0.line(&time.to_be_bytes(), &signature)
    }
}

/// An Ed25519 key, its name and its kind.
struct SecretKey {
    name: String,
    kind: KeyKind,
    key: SigningKey,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl SecretKey {
    fn from_seed(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::KeyName);
        }
        Ok(Self {
            name: name.into(),
            kind,
            key: SigningKey::from_bytes(seed),
        })
    }

    fn parse(text: &str, kind: KeyKind) -> Result<Self, NoteError> {
        let rest = text
            .trim_end()
            .strip_prefix(PRIVATE_KEY)
            .ok_or(NoteError::Key)?;
        let (name, rest) = rest.split_once('+').ok_or(NoteError::Key)?;
        let (id, encoded) = rest.split_once('+').ok_or(NoteError::Key)?;
        let (found, mut seed) = decode_key(encoded)?;
        let parsed = Self::from_seed(name, kind, &seed);
        seed.zeroize();
        let parsed = parsed?;
        if found != kind || id != crate::hex(&parsed.verifier().id()) {
            return Err(NoteError::Key);
        }
        Ok(parsed)
    }

    fn to_secret_text(&self) -> Zeroizing<String> {
        let encoded = encode_key(self.kind, self.key.as_bytes());
        let id = crate::hex(&self.verifier().id());
        // In one piece: a text that grows leaves copies behind.
        let length = PRIVATE_KEY.len() + self.name.len() + id.len() + encoded.len() + 3;
        let mut text = Zeroizing::new(String::with_capacity(length));
        for part in [PRIVATE_KEY, &self.name, "+", &id, "+", &encoded, "\n"] {
            text.push_str(part);
        }
        text
    }

    fn verifier(&self) -> VerifierKey {
        VerifierKey {
            name: self.name.clone(),
            kind: self.kind,
            key: self.key.verifying_key(),
        }
    }

    /// The signature line: key id, what stands ahead of the signature, the signature.
    fn line(&self, ahead: &[u8], signature: &Signature) -> String {
        let mut bytes = self.verifier().id().to_vec();
        bytes.extend_from_slice(ahead);
        bytes.extend_from_slice(&signature.to_bytes());
        let encoded = Base64::encode_string(&bytes);
        format!("{SIGNATURE_LINE}{} {encoded}\n", self.name)
    }
}

/// What a cosigner's key signs, as C2SP `tlog-cosignature` has it: a header, the time in decimal,
/// the note's text.
fn cosigned_message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

fn encode_key(kind: KeyKind, key: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 33]);
    let kind = kind.byte();
    let whole = core::iter::once(&kind).chain(key);
    bytes
        .iter_mut()
        .zip(whole)
        .for_each(|(to, from)| *to = *from);
    Zeroizing::new(Base64::encode_string(&*bytes))
}

fn decode_key(encoded: &str) -> Result<(KeyKind, [u8; 32]), NoteError> {
    let mut buffer = Zeroizing::new([0; 33]);
    let bytes = Base64::decode(encoded, &mut *buffer).map_err(|_| NoteError::Key)?;
    let (kind, rest) = match bytes {
        [1, rest @ ..] => (KeyKind::Log, rest),
        [4, rest @ ..] => (KeyKind::Cosigner, rest),
        _ => return Err(NoteError::Key),
    };
    Ok((kind, rest.try_into().map_err(|_| NoteError::Key)?))
}

/// What a checkpoint says: the first `size` records of the log `origin` have this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: exactly three lines.
    #[must_use]
    pub fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            Base64::encode_string(&self.root)
        )
    }

    /// Reads what [`Checkpoint::body`] writes and nothing else: no extension lines, no other way
    /// to write a number.
    pub fn parse(body: &str) -> Result<Self, NoteError> {
        let mut lines = body.split('\n');
        let parts = [lines.next(), lines.next(), lines.next()];
        let [Some(origin), Some(size), Some(root)] = parts else {
            return Err(NoteError::Checkpoint);
        };
        let size = size.parse().map_err(|_| NoteError::Checkpoint)?;
        let mut hash = [0; 32];
        Base64::decode(root, &mut hash).map_err(|_| NoteError::Checkpoint)?;
        let parsed = Self {
            origin: origin.into(),
            size,
            root: hash,
        };
        // Written again and compared: the one check that leaves no second spelling.
        if !is_key_name(origin) || parsed.body() != body {
            return Err(NoteError::Checkpoint);
        }
        Ok(parsed)
    }
}

/// A note taken apart. Nothing in it is believed before a key has verified it.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<SignatureLine<'a>>,
}

#[derive(Clone, Debug)]
struct SignatureLine<'a> {
    name: &'a str,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Takes a note's bytes apart.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Syntax);
        }
        let whole = core::str::from_utf8(bytes).map_err(|_| NoteError::Syntax)?;
        if whole.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Syntax);
        }
        let split = whole.rfind("\n\n").ok_or(NoteError::Syntax)?;
        let (text, rest) = whole.split_at_checked(split + 1).ok_or(NoteError::Syntax)?;
        let lines = rest
            .strip_prefix('\n')
            .and_then(|rest| rest.strip_suffix('\n'));
        let mut signatures = Vec::new();
        for line in lines.ok_or(NoteError::Syntax)?.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::Syntax);
            }
            signatures.push(signature_line(line)?);
        }
        Ok(Self { text, signatures })
    }

    /// The checkpoint, if it is signed by `key` and is one of the log that `key` is named after.
    pub fn open(&self, key: &VerifierKey) -> Result<Checkpoint, NoteError> {
        let mut signed = false;
        for line in self.by(key) {
            key.verify(self.text, &line.signature)?;
            signed = true;
        }
        if !signed || key.kind != KeyKind::Log {
            return Err(NoteError::Unsigned);
        }
        let checkpoint = Checkpoint::parse(self.text)?;
        if checkpoint.origin != key.name {
            return Err(NoteError::Checkpoint);
        }
        Ok(checkpoint)
    }

    /// Whether `key` has cosigned the note. A cosignature by that key that does not verify is an
    /// error.
    pub fn is_cosigned(&self, key: &VerifierKey) -> Result<bool, NoteError> {
        let mut cosigned = false;
        for line in self.by(key) {
            key.verify_cosignature(self.text, &line.signature)?;
            cosigned = true;
        }
        Ok(cosigned && key.kind == KeyKind::Cosigner)
    }

    /// The text, which nobody has vouched for yet.
    #[must_use]
    pub const fn unverified_text(&self) -> &'a str {
        self.text
    }

    fn by<'n>(&'n self, key: &VerifierKey) -> impl Iterator<Item = &'n SignatureLine<'a>> {
        let (name, id) = (key.name.to_string(), key.id());
        self.signatures
            .iter()
            .filter(move |line| line.name == name && line.id == id)
    }
}

/// A note with more signature lines, each with its line feed, after those that it has. A line of a
/// key that the note has a line of already is left out, whatever it signs: one key counts once.
/// Nothing is verified here.
pub fn join_signatures<'a>(
    note: &str,
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<String, NoteError> {
    let parsed = Note::parse(note.as_bytes())?;
    let keys = parsed.signatures.iter().map(|line| (line.name, line.id));
    let mut keys: Vec<(&str, [u8; 4])> = keys.collect();
    let mut joined = note.to_owned();
    for line in lines {
        let added = signature_line(line.strip_suffix('\n').ok_or(NoteError::Syntax)?)?;
        let key = (added.name, added.id);
        if keys.contains(&key) {
            continue;
        }
        if keys.len() >= SIGNATURES_MAX || joined.len() + line.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Full);
        }
        keys.push(key);
        joined.push_str(line);
    }
    Ok(joined)
}

fn signature_line(line: &str) -> Result<SignatureLine<'_>, NoteError> {
    let rest = line.strip_prefix(SIGNATURE_LINE).ok_or(NoteError::Syntax)?;
    let (name, encoded) = rest.split_once(' ').ok_or(NoteError::Syntax)?;
    if !is_key_name(name) {
        return Err(NoteError::Syntax);
    }
    let bytes = Base64::decode_vec(encoded).map_err(|_| NoteError::Syntax)?;
    let (id, signature) = bytes.split_first_chunk().ok_or(NoteError::Syntax)?;
    Ok(SignatureLine {
        name,
        id: *id,
        signature: signature.to_vec(),
    })
}
