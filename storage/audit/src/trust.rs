//! The auditor's trust file, in C2SP `tlog-policy` syntax: which log keys count, and whose
//! cosignatures a checkpoint needs. The verifier takes keys and origin from here only.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::limits::{TRUST_BYTES_MAX, TRUST_ENTRIES_MAX};
use crate::note::{Checkpoint, KeyKind, Note, NoteError, VerifierKey, is_key_name};

/// A trust file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Witness {
    name: String,
    key: VerifierKey,
    grouped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    threshold: usize,
    members: Vec<Member>,
    grouped: bool,
}

/// Position in `witnesses` or `groups`. A group names earlier lines only, so following members
/// comes to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Group(usize),
    Witness(usize),
}

/// What is wrong with a trust file, and in which line (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustError {
    /// The line; the number after the last for what is missing.
    pub line: usize,
    /// What is wrong there.
    pub fault: TrustFault,
}

/// What is wrong with a line of a trust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustFault {
    /// A key, a name or a membership that was there before.
    Duplicate,
    /// The key cannot be read or is not of the type that the line asks for.
    Key,
    /// No `log` line, and this program verifies no log without one.
    NoLog,
    /// No `quorum` line.
    NoQuorum,
    /// Not a line of this format, or a character that is not allowed.
    Syntax,
    /// Not between 1 and the number of members.
    Threshold,
    /// More than `TRUST_ENTRIES_MAX` of a kind, or the file is longer than `TRUST_BYTES_MAX`.
    TooLong,
    /// A name that no earlier line defines.
    UnknownName,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            TrustFault::Duplicate => "a key, name or member for the second time",
            TrustFault::Key => "a key that cannot be read or is of another type",
            TrustFault::NoLog => "no `log` line",
            TrustFault::NoQuorum => "no `quorum` line; `quorum none` asks for no witness",
            TrustFault::Syntax => "not a `log`, `witness`, `group` or `quorum` line",
            TrustFault::Threshold => "a threshold that is not between 1 and the members",
            TrustFault::TooLong => "too long",
            TrustFault::UnknownName => "a name that no earlier line defines",
        };
        write!(f, "line {}: {fault}", self.line)
    }
}

impl core::error::Error for TrustError {}

/// The trust file of a log that one key vouches for.
#[must_use]
pub fn single_signer_text(log: &VerifierKey) -> String {
    format!(
        "# Whom an auditor of this log trusts. Keep a copy where the log's operator cannot change\n\
         # it, and give it to the verifier with --trust.\n\
         log {log}\n\
         quorum none\n"
    )
}

/// The trust file of a log that `count` of these nodes vouch for, besides the log's own key. Each
/// node has a name of the file's own and its cosigner's key. The text is read again before it is
/// given out, so what [`Trust::parse`] would refuse is refused here, a `count` of 0 among it.
pub fn cluster_text(
    logs: &[VerifierKey],
    nodes: &[(String, VerifierKey)],
    count: usize,
) -> Result<String, TrustError> {
    let of = nodes.len();
    let mut text = format!(
        "# Whom an auditor of this log trusts. Keep a copy where the log's operator cannot change\n\
         # it, and give it to the verifier with --trust. That copy decides: a node writes its own\n\
         # anew when the members change.\n\
         #\n\
         # A checkpoint counts when the log's key has signed it and nodes have cosigned it, at\n\
         # least {count} of {of}. A node computes the book by itself before it cosigns, and never\n\
         # cosigns two roots of one size.\n"
    );
    for log in logs {
        text += &format!("log {log}\n");
    }
    // No node is likely to be called so, and one that is makes the text a refused one.
    let group = format!("{count}-of-{of}");
    let mut members = String::new();
    for (name, key) in nodes {
        // A space or line feed in a name would write lines of its own.
        if !is_key_name(name) {
            let line = text.split('\n').count();
            return Err(TrustError {
                line,
                fault: TrustFault::Syntax,
            });
        }
        text += &format!("witness {name} {key}\n");
        members += &format!(" {name}");
    }
    text += &format!("group {group} {count}{members}\nquorum {group}\n");
    Trust::parse(text.as_bytes())?;
    Ok(text)
}

impl Trust {
    /// Reads a trust file.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let failed = |line, fault| TrustError { line, fault };
        if bytes.len() > TRUST_BYTES_MAX {
            return Err(failed(1, TrustFault::TooLong));
        }
        // The format treats bytes above ASCII as opaque; we want UTF-8, as it recommends.
        let text = core::str::from_utf8(bytes).map_err(|_| failed(1, TrustFault::Syntax))?;
        let mut parser = Parser::default();
        let mut lines = 0;
        for (at, line) in text.split('\n').enumerate() {
            lines = at + 1;
            parser.line(line).map_err(|fault| failed(at + 1, fault))?;
        }
        let quorum = parser
            .quorum
            .ok_or_else(|| failed(lines, TrustFault::NoQuorum))?;
        if parser.logs.is_empty() {
            return Err(failed(lines, TrustFault::NoLog));
        }
        let Parser {
            logs,
            witnesses,
            groups,
            ..
        } = parser;
        Ok(Self {
            logs,
            witnesses,
            groups,
            quorum,
        })
    }

    /// The keys of the logs that count.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// The keys of the witnesses that count.
    pub fn witnesses(&self) -> impl Iterator<Item = &VerifierKey> {
        self.witnesses.iter().map(|witness| &witness.key)
    }

    /// Whether the log's own key is all that a checkpoint needs.
    #[must_use]
    pub const fn is_single_signer(&self) -> bool {
        self.quorum.is_none()
    }

    /// The checkpoint in a note that one of the logs has signed.
    pub fn open(&self, note: &Note<'_>) -> Result<Checkpoint, NoteError> {
        for key in &self.logs {
            match note.open(key) {
                Err(NoteError::Unsigned) => {}
                opened => return opened,
            }
        }
        Err(NoteError::Unsigned)
    }

    /// Whether the cosignatures of a note meet the quorum. One by a known witness that does not
    /// verify spoils the whole note.
    pub fn is_quorate(&self, note: &Note<'_>) -> Result<bool, NoteError> {
        let mut cosigned = Vec::with_capacity(self.witnesses.len());
        for witness in &self.witnesses {
            cosigned.push(note.is_cosigned(&witness.key)?);
        }
        let mut met: Vec<bool> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let members = group.members.iter();
            let count = members
                .filter(|member| member.holds(&cosigned, &met))
                .count();
            met.push(count >= group.threshold);
        }
        Ok(self
            .quorum
            .is_none_or(|quorum| quorum.holds(&cosigned, &met)))
    }
}

impl Member {
    fn holds(self, cosigned: &[bool], met: &[bool]) -> bool {
        match self {
            Self::Group(at) => met.get(at) == Some(&true),
            Self::Witness(at) => cosigned.get(at) == Some(&true),
        }
    }
}

#[derive(Default)]
struct Parser {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// The line, once there; in it `None` for `none`.
    quorum: Option<Option<Member>>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), TrustFault> {
        if line.chars().any(|c| c != '\t' && c.is_ascii_control()) {
            return Err(TrustFault::Syntax);
        }
        let words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] | ["log", key, _] => self.log(key),
            ["witness", name, key] | ["witness", name, key, _] => self.witness(name, key),
            ["group", name, threshold, members @ ..] => self.group(name, threshold, members),
            ["quorum", name] => self.quorum(name),
            _ => Err(TrustFault::Syntax),
        }
    }

    fn log(&mut self, key: &str) -> Result<(), TrustFault> {
        let key = parse_key(key, KeyKind::Log)?;
        if self
            .logs
            .iter()
            .any(|log| log.public_bytes() == key.public_bytes())
        {
            return Err(TrustFault::Duplicate);
        }
        push(&mut self.logs, key)
    }

    fn witness(&mut self, name: &str, key: &str) -> Result<(), TrustFault> {
        let key = parse_key(key, KeyKind::Cosigner)?;
        let same = |witness: &Witness| witness.key.public_bytes() == key.public_bytes();
        if self.witnesses.iter().any(same) {
            return Err(TrustFault::Duplicate);
        }
        self.free_name(name)?;
        push(
            &mut self.witnesses,
            Witness {
                name: name.to_owned(),
                key,
                grouped: false,
            },
        )
    }

    fn group(&mut self, name: &str, threshold: &str, names: &[&str]) -> Result<(), TrustFault> {
        self.free_name(name)?;
        let threshold = match threshold {
            "all" => names.len(),
            "any" => 1,
            number => number.parse().map_err(|_| TrustFault::Syntax)?,
        };
        if threshold < 1 || threshold > names.len() {
            return Err(TrustFault::Threshold);
        }
        let mut members = Vec::new();
        for name in names {
            let member = self.member(name)?;
            let grouped = match member {
                Member::Group(at) => self.groups.get_mut(at).map(|group| &mut group.grouped),
                Member::Witness(at) => self.witnesses.get_mut(at).map(|one| &mut one.grouped),
            };
            let grouped = grouped.ok_or(TrustFault::UnknownName)?;
            if core::mem::replace(grouped, true) {
                return Err(TrustFault::Duplicate);
            }
            members.push(member);
        }
        push(
            &mut self.groups,
            Group {
                name: name.to_owned(),
                threshold,
                members,
                grouped: false,
            },
        )
    }

    fn quorum(&mut self, name: &str) -> Result<(), TrustFault> {
        let quorum = if name == "none" {
            None
        } else {
            Some(self.member(name)?)
        };
        if self.quorum.replace(quorum).is_some() {
            return Err(TrustFault::Duplicate);
        }
        Ok(())
    }

    fn free_name(&self, name: &str) -> Result<(), TrustFault> {
        let taken = name == "none" || self.member(name).is_ok();
        if taken {
            Err(TrustFault::Duplicate)
        } else {
            Ok(())
        }
    }

    fn member(&self, name: &str) -> Result<Member, TrustFault> {
        let witness = self
            .witnesses
            .iter()
            .position(|witness| witness.name == name);
        let group = self.groups.iter().position(|group| group.name == name);
        witness
            .map(Member::Witness)
            .or_else(|| group.map(Member::Group))
            .ok_or(TrustFault::UnknownName)
    }
}

fn parse_key(text: &str, kind: KeyKind) -> Result<VerifierKey, TrustFault> {
    let key = VerifierKey::parse(text).map_err(|_| TrustFault::Key)?;
    if key.kind() == kind {
        Ok(key)
    } else {
        Err(TrustFault::Key)
    }
}

fn push<T>(list: &mut Vec<T>, entry: T) -> Result<(), TrustFault> {
    if list.len() == TRUST_ENTRIES_MAX {
        return Err(TrustFault::TooLong);
    }
    list.push(entry);
    Ok(())
}
