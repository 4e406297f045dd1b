//! The strict reader of records: accepts what the encoder can write and nothing else. A field out
//! of order, twice, missing, unknown or of another type is refused, as is a second spelling of a
//! number or a character, or a byte after the end.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use crate::encode::{is_escaped, plain_prefix};
use crate::limits::{ARGUMENTS_MAX, INTEGER_MAX, MEMBERS_MAX, RECORD_BYTES_MAX, RESERVATIONS_MAX};
use crate::record::Micros;

/// The value of `k`. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `admin`
    Admin,
    /// `clock`
    Clock,
    /// `config`
    Config,
    /// `deny_auth`
    DenyAuth,
    /// `genesis`
    Genesis,
    /// `intent`
    Intent,
    /// `key`
    Key,
    /// `list`
    List,
    /// `node`
    Node,
    /// `outcome`
    Outcome,
    /// `refused`
    Refused,
    /// `seal`
    Seal,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::Admin,
        Self::Clock,
        Self::Config,
        Self::DenyAuth,
        Self::Genesis,
        Self::Intent,
        Self::Key,
        Self::List,
        Self::Node,
        Self::Outcome,
        Self::Refused,
        Self::Seal,
    ];

    /// As records spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Clock => "clock",
            Self::Config => "config",
            Self::DenyAuth => "deny_auth",
            Self::Genesis => "genesis",
            Self::Intent => "intent",
            Self::Key => "key",
            Self::List => "list",
            Self::Node => "node",
            Self::Outcome => "outcome",
            Self::Refused => "refused",
            Self::Seal => "seal",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A string of a record, still escaped. One text has one spelling, so equal texts are equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// As it stands in the record, without quotes.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.0
    }

    /// What it says.
    #[must_use]
    pub fn decode(self) -> Cow<'a, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(self.0);
        }
        let mut out = String::with_capacity(self.0.len());
        let mut rest = self.0;
        while let Some(at) = rest.find('\\') {
            let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, ""));
            out.push_str(plain);
            let (c, length) = unescape(escape).unwrap_or(('\u{fffd}', escape.len()));
            out.push(c);
            rest = escape.get(length..).unwrap_or("");
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.decode() == other
    }
}

/// What an intent decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// `allow`
    Allow,
    /// `deny`
    Deny,
}

/// The fields of a record that its checks need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// `k`
    pub kind: Kind,
    /// `call`
    pub call: Option<Text<'a>>,
    /// `t`
    pub t: Micros,
    /// `node`
    pub node: u32,
    /// `gs`
    pub gs: Option<u64>,
    /// `grant`
    pub grant: Option<Text<'a>>,
    /// `verdict`
    pub verdict: Option<Decided>,
    /// `status` of an outcome.
    pub status: Option<Text<'a>>,
    /// `late` of an outcome.
    pub late: bool,
    /// `epoch` of a record that begins one.
    pub epoch: Option<u32>,
    /// `term` of a `node` record that says who leads.
    pub term: Option<u64>,
    /// The fields of a genesis record.
    pub genesis: Option<GenesisView<'a>>,
    /// The fields of a `key` record.
    pub key: Option<KeyView<'a>>,
    /// The fields of a seal.
    pub seal: Option<SealView<'a>>,
}

/// What the verifier needs of a genesis record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenesisView<'a> {
    /// `origin`
    pub origin: Text<'a>,
    /// `log_key`
    pub log_key: Text<'a>,
    /// `prior`
    pub prior: Option<Text<'a>>,
}

/// What the verifier needs of a `key` record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyView<'a> {
    /// `former`
    pub former: Text<'a>,
    /// `log_key`
    pub log_key: Text<'a>,
}

/// What the verifier needs of a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealView<'a> {
    /// `chain`
    pub chain: Text<'a>,
    /// `index`
    pub index: u64,
    /// `frame`
    pub frame: u64,
    /// `term`
    pub term: u64,
    /// `log_index`
    pub log_index: u64,
    /// `config_epoch`
    pub config_epoch: u32,
    /// `previous`
    pub previous: Option<Text<'a>>,
}

/// Why bytes are not a record. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// This field is missing, of another type, or something else stands in its place.
    Field {
        /// The field that should be read.
        name: &'static str,
        /// Byte of the record.
        at: usize,
    },
    /// A kind that this reader does not know.
    Kind,
    /// Not UTF-8, too long, or not the beginning of a record.
    Syntax,
    /// Something follows the last field.
    Trailing {
        /// Byte of the record.
        at: usize,
    },
    /// A version that this reader does not know.
    Version,
}

impl RecordError {
    /// Whether a newer program may have written it.
    #[must_use]
    pub const fn is_unsupported(self) -> bool {
        match self {
            Self::Kind | Self::Version => true,
            Self::Field { .. } | Self::Syntax | Self::Trailing { .. } => false,
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { name, at } => {
                write!(f, "field `{name}` missing or not of its type at byte {at}")
            }
            Self::Kind => f.write_str("a kind that this version does not know"),
            Self::Syntax => f.write_str("not a record"),
            Self::Trailing { at } => write!(f, "something follows the last field at byte {at}"),
            Self::Version => f.write_str("a record version that this version does not know"),
        }
    }
}

impl core::error::Error for RecordError {}

impl<'a> View<'a> {
    /// Reads one record.
    pub fn parse(record: &'a [u8]) -> Result<Self, RecordError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(RecordError::Syntax);
        }
        let text = core::str::from_utf8(record).map_err(|_| RecordError::Syntax)?;
        let mut c = Cursor {
            rest: text,
            length: text.len(),
        };
        let kind = kind(&mut c)?;
        let mut view = Self::common(kind, &mut c)?;
        match kind {
            Kind::Admin => admin(&mut c)?,
            Kind::Clock => clock(&mut c)?,
            Kind::Config => config(&mut c, &mut view)?,
            Kind::DenyAuth => deny_auth(&mut c, &mut view)?,
            Kind::Genesis => genesis(&mut c, &mut view)?,
            Kind::Intent => intent(&mut c, &mut view)?,
            Kind::Key => key(&mut c, &mut view)?,
            Kind::List => list(&mut c, &mut view)?,
            Kind::Node => node(&mut c, &mut view)?,
            Kind::Outcome => outcome(&mut c, &mut view)?,
            Kind::Refused => refused(&mut c, &mut view)?,
            Kind::Seal => seal(&mut c, &mut view)?,
        }
        if c.rest == "}" {
            Ok(view)
        } else {
            Err(RecordError::Trailing { at: c.at() })
        }
    }

    fn common(kind: Kind, c: &mut Cursor<'a>) -> Result<Self, RecordError> {
        Ok(Self {
            kind,
            call: c.optional("call")?,
            t: Micros(c.integer("t")?),
            node: c.small("node")?,
            gs: None,
            grant: None,
            verdict: None,
            status: None,
            late: false,
            epoch: None,
            term: None,
            genesis: None,
            key: None,
            seal: None,
        })
    }
}

fn kind(c: &mut Cursor<'_>) -> Result<Kind, RecordError> {
    if !c.literal("{\"v\":") {
        return Err(RecordError::Syntax);
    }
    if !c.literal("1,\"k\":") {
        return Err(RecordError::Version);
    }
    let name = c.value_text().ok_or(RecordError::Syntax)?;
    Kind::parse(name.raw()).ok_or(RecordError::Kind)
}

fn admin(c: &mut Cursor<'_>) -> Result<(), RecordError> {
    c.text("actor")?;
    c.text("action")?;
    c.text("target")?;
    c.text("name")?;
    c.integer("revision")?;
    c.optional("before")?;
    c.optional("after")?;
    Ok(())
}

fn clock(c: &mut Cursor<'_>) -> Result<(), RecordError> {
    c.integer("stamp")?;
    c.boolean("accepted")?;
    Ok(())
}

fn config(c: &mut Cursor<'_>, view: &mut View<'_>) -> Result<(), RecordError> {
    view.epoch = Some(c.small("epoch")?);
    members(c, |c| {
        c.value_text()?;
        c.token(",")?;
        c.value_text().map(|_| ())
    })
}

fn deny_auth<'a>(c: &mut Cursor<'a>, view: &mut View<'a>) -> Result<(), RecordError> {
    c.text("source")?;
    c.text("reason")?;
    view.grant = c.optional("grant")?;
    c.integer("count")?;
    Ok(())
}

fn genesis<'a>(c: &mut Cursor<'a>, view: &mut View<'a>) -> Result<(), RecordError> {
    let origin = c.text("origin")?;
    let log_key = c.text("log_key")?;
    members(c, |c| c.value_text().map(|_| ()))?;
    c.text("software")?;
    let prior = c.optional("prior")?;
    view.genesis = Some(GenesisView {
        origin,
        log_key,
        prior,
    });
    Ok(())
}

fn key<'a>(c: &mut Cursor<'a>, view: &mut View<'a>) -> Result<(), RecordError> {
    view.epoch = Some(c.small("epoch")?);
    c.text("actor")?;
    view.key = Some(KeyView {
        former: c.text("former")?,
        log_key: c.text("log_key")?,
    });
    Ok(())
}

fn intent<'a>(c: &mut Cursor<'a>, view: &mut View<'a>) -> Result<(), RecordError> {
    view.gs = Some(c.integer("gs")?);
    view.grant = Some(c.text("grant")?);
    c.text("label")?;
    c.optional("owner")?;
    c.text("client")?;
    c.optional("session")?;
    c.text("server")?;
    c.text("server_name")?;
    c.text("method")?;
    c.optional("tool")?;
    c.optional("tool_definition")?;
    view.verdict = Some(verdict(c)?);
    policy(c)?;
    c.integer("grant_revision")?;
    c.integer("server_revision")?;
    reservations(c, "reservations", "reservations_more")?;
    c.array("argument_keys", ARGUMENTS_MAX, |c| {
        c.value_text().map(|_| ())
    })?;
    c.more("argument_keys_more")?;
    c.array("commitments", ARGUMENTS_MAX, |c| {
        c.token("[")?;
        c.value_text()?;
        c.token(",")?;
        c.value_text()?;
        c.token("]")
    })?;
    c.more("commitments_more")?;
    c.optional("traceparent")?;
    c.optional("rpc_id")?;
    Ok(())
}

fn verdict(c: &mut Cursor<'_>) -> Result<Decided, RecordError> {
    let before = c.at();
    match c.text("verdict")?.raw() {
        "allow" => Ok(Decided::Allow),
        "deny" => {
            c.text("rule")?;
            c.optional("pointer")?;
            c.optional("reason")?;
            c.optional("message")?;
            Ok(Decided::Deny)
        }
        _ => Err(RecordError::Field {
            name: "verdict",
            at: before,
        }),
    }
}

fn list<'a>(c: &mut Cursor<'a>, view: &mut View<'a>) -> Result<(), RecordError> {
    view.gs = Some(c.integer("gs")?);
    view.grant = Some(c.text("grant")?);
    c.text("server")?;
    c.small("offered")?;
    c.small("shown")?;
    c.text("offered_hash")?;
    c.text("shown_hash")?;
    policy(c)
}

fn node(c: &mut Cursor<'_>, view: &mut View<'_>) -> Result<(), RecordError> {
    match c.text("event")?.raw() {
        "lead" => view.term = Some(c.integer("term")?),
        "recovered" => {
            c.text("boot")?;
            view.epoch = Some(c.small("epoch")?);
        }
        "refused" | "start" => {
            c.text("boot")?;
            c.text("software")?;
            c.integer("start")?;
        }
        _ => {
            c.text("boot")?;
            c.text("software")?;
        }
    }
    Ok(())
}

fn outcome<'a>(c: &mut Cursor<'a>, view: &mut View<'a>) -> Result<(), RecordError> {
    view.gs = Some(c.integer("gs")?);
    view.grant = Some(c.text("grant")?);
    view.status = Some(c.text("status")?);
    c.optional("cause")?;
    c.integer("bytes")?;
    c.integer("duration_us")?;
    reservations(c, "refunds", "refunds_more")?;
    view.late = c.literal(",\"late\":true");
    c.optional("result_commitment")?;
    Ok(())
}

fn refused<'a>(c: &mut Cursor<'a>, view: &mut View<'a>) -> Result<(), RecordError> {
    view.gs = Some(c.integer("gs")?);
    view.grant = Some(c.text("grant")?);
    c.text("reason")?;
    c.integer("count")?;
    Ok(())
}

fn seal<'a>(c: &mut Cursor<'a>, view: &mut View<'a>) -> Result<(), RecordError> {
    view.seal = Some(SealView {
        chain: c.text("chain")?,
        index: c.integer("index")?,
        frame: c.integer("frame")?,
        term: c.integer("term")?,
        log_index: c.integer("log_index")?,
        config_epoch: c.small("config_epoch")?,
        previous: c.optional("previous")?,
    });
    c.optional("beacon")?;
    Ok(())
}

fn policy(c: &mut Cursor<'_>) -> Result<(), RecordError> {
    if !c.literal(",\"policy\":{\"name\":") {
        return Ok(());
    }
    c.expect("policy", Cursor::value_text)?;
    c.integer("revision")?;
    c.text("digest")?;
    c.expect("policy", |c| c.token("}"))
}

fn members(
    c: &mut Cursor<'_>,
    texts: fn(&mut Cursor<'_>) -> Option<()>,
) -> Result<(), RecordError> {
    c.array("members", MEMBERS_MAX, |c| {
        c.token("[")?;
        u32::try_from(c.value_integer()?).ok()?;
        c.token(",")?;
        texts(c)?;
        c.token("]")
    })?;
    c.more("members_more")
}

fn reservations(
    c: &mut Cursor<'_>,
    name: &'static str,
    more: &'static str,
) -> Result<(), RecordError> {
    c.array(name, RESERVATIONS_MAX, |c| {
        c.token("{\"counter\":")?;
        c.value_text()?;
        c.text("window").ok()?;
        c.text("scope").ok()?;
        c.integer("window_start").ok()?;
        c.integer("amount").ok()?;
        c.token("}")
    })?;
    c.more(more)
}

struct Cursor<'a> {
    rest: &'a str,
    length: usize,
}

/// Inlined where a name is passed, so that names are compared as constants.
impl<'a> Cursor<'a> {
    const fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    #[inline(always)]
    fn literal(&mut self, literal: &str) -> bool {
        let rest = self.rest.strip_prefix(literal);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    #[inline(always)]
    fn token(&mut self, token: &str) -> Option<()> {
        self.literal(token).then_some(())
    }

    /// `,"name":`
    #[inline(always)]
    fn key(&mut self, name: &str) -> bool {
        let rest = self
            .rest
            .strip_prefix(",\"")
            .and_then(|rest| rest.strip_prefix(name));
        let rest = rest.and_then(|rest| rest.strip_prefix("\":"));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    #[inline(always)]
    fn expect<T>(
        &mut self,
        name: &'static str,
        value: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, RecordError> {
        let at = self.at();
        value(self).ok_or(RecordError::Field { name, at })
    }

    #[inline(always)]
    fn field<T>(
        &mut self,
        name: &'static str,
        value: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, RecordError> {
        self.expect(name, |c| if c.key(name) { value(c) } else { None })
    }

    #[inline(always)]
    fn text(&mut self, name: &'static str) -> Result<Text<'a>, RecordError> {
        self.field(name, Self::value_text)
    }

    #[inline(always)]
    fn optional(&mut self, name: &'static str) -> Result<Option<Text<'a>>, RecordError> {
        if self.key(name) {
            self.expect(name, Self::value_text).map(Some)
        } else {
            Ok(None)
        }
    }

    #[inline(always)]
    fn integer(&mut self, name: &'static str) -> Result<u64, RecordError> {
        self.field(name, Self::value_integer)
    }

    #[inline(always)]
    fn small(&mut self, name: &'static str) -> Result<u32, RecordError> {
        self.field(name, |c| u32::try_from(c.value_integer()?).ok())
    }

    fn boolean(&mut self, name: &'static str) -> Result<bool, RecordError> {
        self.field(name, |c| {
            let value = c.literal("true");
            (value || c.literal("false")).then_some(value)
        })
    }

    /// A count that is written when it is not zero.
    fn more(&mut self, name: &'static str) -> Result<(), RecordError> {
        if !self.key(name) {
            return Ok(());
        }
        self.expect(name, |c| (c.value_integer()? > 0).then_some(()))
    }

    /// A list that is written when it is not empty.
    fn array(
        &mut self,
        name: &'static str,
        limit: usize,
        item: impl Fn(&mut Self) -> Option<()>,
    ) -> Result<(), RecordError> {
        if !self.key(name) {
            return Ok(());
        }
        self.expect(name, |c| {
            c.token("[")?;
            for _ in 0..limit {
                item(c)?;
                if c.literal("]") {
                    return Some(());
                }
                c.token(",")?;
            }
            None
        })
    }

    /// Digits up to `INTEGER_MAX`; a larger one as a string of digits.
    fn value_integer(&mut self) -> Option<u64> {
        let quoted = self.literal("\"");
        let mut value = 0_u64;
        let mut length = 0;
        for byte in self.rest.bytes().take_while(u8::is_ascii_digit) {
            value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            length += 1;
        }
        let (digits, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        if quoted {
            self.token("\"")?;
        }
        let one_spelling = length == 1 || (length > 1 && !digits.starts_with('0'));
        (one_spelling && quoted == (value > INTEGER_MAX)).then_some(value)
    }

    fn value_text(&mut self) -> Option<Text<'a>> {
        let rest = self.rest.strip_prefix('"')?;
        let bytes = rest.as_bytes();
        let mut at = 0;
        let mut ascii = true;
        loop {
            at += plain_prefix(bytes.get(at..)?);
            match *bytes.get(at)? {
                b'"' => break,
                b'\\' => at += unescape(rest.get(at..)?)?.1,
                0..0x20 | 0x7f => return None,
                byte => {
                    ascii &= byte.is_ascii();
                    at += 1;
                }
            }
        }
        let raw = rest.get(..at)?;
        if !ascii && raw.chars().any(is_escaped) {
            return None;
        }
        self.rest = rest.get(at + 1..)?;
        Some(Text(raw))
    }
}

/// The character of the escape that `text` begins with, and the escape's length. Only what the
/// encoder escapes, as it escapes it.
fn unescape(text: &str) -> Option<(char, usize)> {
    let escape = text.strip_prefix('\\')?;
    if escape.starts_with(['"', '\\']) {
        return Some((escape.chars().next()?, 2));
    }
    let hex = escape.strip_prefix('u')?.get(..4)?;
    let lower = hex
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    let c = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
    (lower && is_escaped(c)).then_some((c, 6))
}
