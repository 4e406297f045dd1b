//! What a verification found, for people and as JSON. The same log and the same trust file give
//! the same report, so two auditors can compare theirs.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::check::Check;
use crate::encode::quote;
use crate::frame::Header;
use crate::hex;
use crate::limits::OPEN_NAMED_MAX;
use crate::note::Checkpoint;
use crate::read::{Kind, RecordError};
use crate::record::Micros;
use crate::trust::Trust;
use crate::verify::{Depth, Stop};

/// The one word that a verification ends in. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Contradicts a checkpoint that the auditor holds.
    Diverged,
    /// Sound, with something to look at: open intents, an unsealed tail, a clock that was held.
    Exceptions,
    /// Nothing vouches for the records, or not enough.
    Incomplete,
    /// Changed after it was written.
    Tampered,
    /// Cannot be read, or not by this program.
    Unreadable,
    /// Sound.
    Valid,
}

impl Verdict {
    /// As reports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Diverged => "diverged",
            Self::Exceptions => "exceptions",
            Self::Incomplete => "incomplete",
            Self::Tampered => "tampered",
            Self::Unreadable => "unreadable",
            Self::Valid => "valid",
        }
    }
}

/// Whether exceptions are good enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Exit 0 for `valid` and `exceptions`.
    #[default]
    Lenient,
    /// Exit 4 for `exceptions`.
    Strict,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, as the log directory names it; empty for the log as a whole.
    pub file: String,
    /// Number of the frame.
    pub frame: Option<u64>,
    /// Index of the record; the first of its frame where the frame as a whole is wrong.
    pub record: Option<u64>,
    /// The check that failed.
    pub check: Check,
    /// The words of the operating system, for a file that cannot be read.
    pub detail: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", shown(&self.file))?;
        }
        if let Some(frame) = self.frame {
            write!(f, "frame {frame}: ")?;
        }
        if let Some(record) = self.record {
            write!(f, "record {record}: ")?;
        }
        write!(f, "{}", self.check)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {}", shown(detail))?;
        }
        write!(f, " (check `{}`)", self.check.name())
    }
}

/// How far signed checkpoints vouch for the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// There are checkpoints, none with the cosignatures that the trust file asks for.
    NoQuorum,
    /// There is no checkpoint.
    Nothing,
    /// The first `size` records, by a checkpoint with this root.
    To {
        /// The newest checkpoint's size.
        size: u64,
        /// Its root.
        root: [u8; 32],
    },
}

/// Number of records of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds([u64; Kind::ALL.len()]);

impl Kinds {
    pub(crate) fn add(&mut self, kind: Kind) {
        for (count, of) in self.0.iter_mut().zip(Kind::ALL) {
            *count += u64::from(of == kind);
        }
    }

    /// Each kind and how many there are.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.0)
    }
}

/// The trust file that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustSource {
    /// Its path.
    pub file: String,
    /// Hex SHA-256 of its bytes.
    pub sha256: String,
    /// Whether it was named, or found beside the log.
    pub origin: TrustOrigin,
}

/// Where a trust file came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustOrigin {
    /// It lay beside the log, so who can change the log can change it.
    BesideLog,
    /// The auditor named it.
    Given,
}

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The one word.
    pub verdict: Verdict,
    /// What ended the verification; nothing for `valid` and `exceptions`.
    pub finding: Option<Finding>,
    /// How much was checked.
    pub depth: Depth,
    /// The trust file.
    pub trust: Option<TrustSource>,
    /// Verifier keys of the logs and witnesses that were relied on.
    pub keys: Vec<String>,
    /// Whether the log's own key is all that vouches for it.
    pub single_signer: bool,
    /// Whether the auditor brought a checkpoint along.
    pub known: bool,
    /// The log's origin, from its genesis record.
    pub origin: Option<String>,
    /// Body of the last checkpoint of the log that this one continues.
    pub continues: Option<String>,
    /// Segments read.
    pub segments: u64,
    /// Frames checked.
    pub frames: u64,
    /// Records checked.
    pub records: u64,
    /// Bytes in these frames.
    pub bytes: u64,
    /// Bytes at the very end that are no whole frame, above every checkpoint.
    pub torn_bytes: u64,
    /// Time of the first frame.
    pub first_us: Micros,
    /// Time of the last frame.
    pub last_us: Micros,
    /// Checkpoints of the directory that were verified.
    pub notes: u64,
    /// How far they vouch for the records.
    pub covered: Covered,
    /// Records of each kind.
    pub kinds: Kinds,
    /// Times that the log's clock was held or a jump was accepted.
    pub clock_records: u64,
    /// Admitted calls without an outcome: the first of them and where their intents are.
    pub open: Vec<(String, u64)>,
    /// How many there are.
    pub open_count: u64,
    /// The first record that only a newer program can read.
    pub unsupported: Option<(u64, RecordError)>,
}

impl Report {
    /// The keys that count for this log: those of the logs of its name, and the witnesses'.
    pub(crate) fn rely_on(&mut self, trust: &Trust, origin: Option<&str>) {
        let logs = trust.logs().iter();
        let logs = logs.filter(|log| origin.is_none_or(|origin| origin == log.name()));
        self.keys = logs
            .chain(trust.witnesses())
            .map(ToString::to_string)
            .collect();
        self.single_signer = trust.is_single_signer();
    }

    pub(crate) fn empty(depth: Depth) -> Self {
        Self {
            verdict: Verdict::Incomplete,
            finding: None,
            depth,
            trust: None,
            keys: Vec::new(),
            single_signer: false,
            known: false,
            origin: None,
            continues: None,
            segments: 0,
            frames: 0,
            records: 0,
            bytes: 0,
            torn_bytes: 0,
            first_us: Micros(0),
            last_us: Micros(0),
            notes: 0,
            covered: Covered::Nothing,
            kinds: Kinds::default(),
            clock_records: 0,
            open: Vec::new(),
            open_count: 0,
            unsupported: None,
        }
    }

    /// The report of a log of which nothing could be checked.
    #[must_use]
    pub fn of_stop(depth: Depth, stop: Stop) -> Self {
        let mut report = Self::empty(depth);
        report.stop(stop);
        report
    }

    pub(crate) const fn begin_at(&mut self, header: &Header) {
        self.first_us = header.wall_us;
        self.last_us = header.wall_us;
    }

    pub(crate) const fn cover(&mut self, checkpoint: &Checkpoint, quorate: bool) {
        if quorate {
            self.covered = Covered::To {
                size: checkpoint.size,
                root: checkpoint.root,
            };
        } else if matches!(self.covered, Covered::Nothing) {
            self.covered = Covered::NoQuorum;
        }
    }

    pub(crate) fn stop(&mut self, stop: Stop) {
        let (verdict, finding) = *stop.0;
        self.verdict = verdict;
        self.finding = Some(finding);
    }

    pub(crate) fn settle(&mut self, open: impl ExactSizeIterator<Item = (String, u64)>) {
        self.open_count = u64::try_from(open.len()).unwrap_or(u64::MAX);
        self.open = open.take(OPEN_NAMED_MAX).collect();
        let clean = self.exceptions().is_empty();
        self.verdict = if clean {
            Verdict::Valid
        } else {
            Verdict::Exceptions
        };
    }

    /// Records above the newest checkpoint: there, but nothing vouches for them.
    #[must_use]
    pub const fn unsealed(&self) -> u64 {
        match self.covered {
            Covered::NoQuorum | Covered::Nothing => self.records,
            Covered::To { size, .. } => self.records.saturating_sub(size),
        }
    }

    /// Process exit code: 0 sound, 3 tampered or diverged, 4 not enough or not readable.
    #[must_use]
    pub const fn exit_code(&self, strictness: Strictness) -> u8 {
        match (self.verdict, strictness) {
            (Verdict::Valid, _) | (Verdict::Exceptions, Strictness::Lenient) => 0,
            (Verdict::Diverged | Verdict::Tampered, _) => 3,
            (Verdict::Exceptions, Strictness::Strict)
            | (Verdict::Incomplete | Verdict::Unreadable, _) => 4,
        }
    }

    /// What is sound but wants a look, one line each; nothing of a log that is not sound.
    #[must_use]
    pub fn exceptions(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.finding.is_some() {
            return lines;
        }
        if self.open_count > 0 {
            lines.push(format!(
                "{} admitted calls without an outcome",
                self.open_count
            ));
        }
        if self.unsealed() > 0 {
            lines.push(format!(
                "{} records above the newest checkpoint",
                self.unsealed()
            ));
        }
        if self.torn_bytes > 0 {
            lines.push(format!(
                "{} bytes of an unfinished frame at the end",
                self.torn_bytes
            ));
        }
        if self.clock_records > 0 {
            lines.push(format!(
                "the clock was held or set {} times",
                self.clock_records
            ));
        }
        if self.continues.is_some() {
            lines.push("continues an older log after a restore".to_owned());
        }
        lines
    }

    /// What the verdict does not rest on, one line each.
    #[must_use]
    pub fn not_checked(&self) -> Vec<&'static str> {
        let mut lines = Vec::new();
        if self.depth == Depth::Chain {
            lines.push("records, tree, roots and seals: only the chain was asked for");
        }
        if self.single_signer {
            lines.push(
                "single signer: who holds the log key can rewrite what no note kept apart covers",
            );
        }
        if !self.known {
            lines.push("earlier checkpoints: none was given with --known");
        }
        if self
            .trust
            .as_ref()
            .is_some_and(|trust| trust.origin == TrustOrigin::BesideLog)
        {
            lines.push("the trust file itself: it lay beside the log; keep your own, use --trust");
        }
        lines.push("verdicts: policies are not evaluated again");
        lines
    }

    /// One JSON object, a line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = Json::default();
        json.integer("format", 1);
        json.text("verdict", self.verdict.name());
        if let Some(finding) = &self.finding {
            json.raw("finding", &finding_json(finding));
        }
        let exceptions = self.exceptions();
        json.list("exceptions", exceptions.iter().map(String::as_str));
        json.list("not_checked", self.not_checked().into_iter());
        json.text(
            "checked",
            match self.depth {
                Depth::Chain => "chain",
                Depth::Full => "full",
            },
        );
        json.optional("origin", self.origin.as_deref());
        json.optional("continues", self.continues.as_deref());
        if let Some(trust) = &self.trust {
            json.text("trust_file", &trust.file);
            json.text("trust_sha256", &trust.sha256);
        }
        json.list("keys", self.keys.iter().map(String::as_str));
        json.raw(
            "single_signer",
            if self.single_signer { "true" } else { "false" },
        );
        json.integer("segments", self.segments);
        json.integer("frames", self.frames);
        json.integer("records", self.records);
        json.integer("bytes", self.bytes);
        json.integer("torn_bytes", self.torn_bytes);
        json.integer("first_us", self.first_us.0);
        json.integer("last_us", self.last_us.0);
        json.integer("checkpoints", self.notes);
        if let Covered::To { size, root } = self.covered {
            json.integer("checkpoint_size", size);
            json.text("checkpoint_root", &hex(&root));
        }
        if self.finding.is_none() {
            json.integer("unsealed", self.unsealed());
        }
        let mut kinds = Json::default();
        for (kind, count) in self.kinds.iter() {
            kinds.integer(kind.name(), count);
        }
        json.raw("kinds", &kinds.finish());
        json.integer("clock_records", self.clock_records);
        json.integer("open_count", self.open_count);
        let open = self.open.iter().map(|(call, index)| {
            let mut item = Json::default();
            // A call is as its record spells it, so already escaped.
            item.raw("call", &format!("\"{call}\""));
            item.integer("record", *index);
            item.finish()
        });
        json.raw("open", &format!("[{}]", open.collect::<Vec<_>>().join(",")));
        json.finish()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict.name())?;
        if let Some(finding) = &self.finding {
            writeln!(f, "  {finding}")?;
        }
        for line in self.exceptions() {
            writeln!(f, "  exception: {line}")?;
        }
        for (call, index) in &self.open {
            writeln!(f, "  open: call {call}, record {index}")?;
        }
        if let Some(origin) = &self.origin {
            writeln!(f, "  origin: {}", shown(origin))?;
        }
        let (records, frames, segments) = (self.records, self.frames, self.segments);
        writeln!(
            f,
            "  checked: {records} records in {frames} frames, {segments} segments"
        )?;
        let kinds = self.kinds.iter().filter(|(_, count)| *count > 0);
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {}", kind.name()))
            .collect();
        if !kinds.is_empty() {
            writeln!(f, "  kinds: {}", kinds.join(", "))?;
        }
        if let Covered::To { size, root } = self.covered {
            writeln!(f, "  checkpoint: {size} records, root {}", hex(&root))?;
        }
        for key in &self.keys {
            writeln!(f, "  key: {}", shown(key))?;
        }
        if let Some(trust) = &self.trust {
            writeln!(
                f,
                "  trust file: {}, sha256 {}",
                shown(&trust.file),
                trust.sha256
            )?;
        }
        for line in self.not_checked() {
            writeln!(f, "  not checked: {line}")?;
        }
        Ok(())
    }
}

fn finding_json(finding: &Finding) -> String {
    let mut json = Json::default();
    json.text("check", finding.check.name());
    json.text("file", &finding.file);
    if let Some(frame) = finding.frame {
        json.integer("frame", frame);
    }
    if let Some(record) = finding.record {
        json.integer("record", record);
    }
    json.text("message", &finding.check.to_string());
    json.optional("detail", finding.detail.as_deref());
    json.finish()
}

/// A text from outside, safe to print: what records escape is escaped.
fn shown(text: &str) -> String {
    let quoted = quoted(text);
    let inside = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or(&quoted).to_owned()
}

fn quoted(text: &str) -> String {
    String::from_utf8(quote(text)).unwrap_or_default()
}

#[derive(Default)]
struct Json {
    out: String,
}

impl Json {
    fn raw(&mut self, name: &str, value: &str) {
        self.out.push(if self.out.is_empty() { '{' } else { ',' });
        self.out.push_str(&quoted(name));
        self.out.push(':');
        self.out.push_str(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &quoted(value));
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn integer(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    fn list<'a>(&mut self, name: &str, items: impl Iterator<Item = &'a str>) {
        let items: Vec<String> = items.map(quoted).collect();
        self.raw(name, &format!("[{}]", items.join(",")));
    }

    fn finish(self) -> String {
        if self.out.is_empty() {
            "{}".to_owned()
        } else {
            self.out + "}"
        }
    }
}
