//! The one encoding of each record: compact JSON, fields in the order of the code below.
//!
//! Nothing here can fail. A string over its limit is cut at a character and ends in `…`; a list
//! over its limit is cut and the number of what is missing follows as `<name>_more`. Both count
//! encoded bytes, so the longest record is known beforehand and stays under `RECORD_BYTES_MAX`.

use alloc::vec::Vec;

use crate::hex;
use crate::limits::{
    ARGUMENT_KEY_BYTES_MAX, ARGUMENTS_MAX, ID_BYTES_MAX, INTEGER_MAX, MEMBERS_MAX, NAME_BYTES_MAX,
    POINTER_BYTES_MAX, RECORD_BYTES_MAX, RESERVATIONS_MAX, TEXT_BYTES_MAX, WINDOW_BYTES_MAX,
};
use crate::record::{
    Admin, Clock, Common, Config, DenyAuth, Genesis, Intent, Key, List, Member, Node, Outcome,
    PolicyRef, Record, Refused, Reservation, Seal, Verdict,
};

/// Ends a string that was cut.
pub(crate) const CUT: &str = "…";

/// Whether a character is written as `\u` and four hex digits: the C0 and C1 controls, and what
/// breaks or reorders a line, so that a record can be shown on a terminal as it is.
pub(crate) const fn is_escaped(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// How many bytes from the beginning are surely plain ASCII, written as they are. Looks at eight at
/// a time, since this is where most of the time of writing and reading a record goes; what is left
/// when it returns may be plain too.
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let mut length = 0;
    for eight in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*eight);
        let is = |byte: u8| {
            let zero = word ^ (ONES * u64::from(byte));
            zero.wrapping_sub(ONES) & !zero
        };
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = (is(b'"') | is(b'\\') | is(0x7f) | control | word) & HIGH;
        if marks != 0 {
            // A borrow can mark bytes above the first that is special, never below it.
            return length + usize::try_from(marks.trailing_zeros() / 8).unwrap_or(0);
        }
        length += 8;
    }
    length
}

impl Record<'_> {
    /// Appends the record's bytes to `out`: the same bytes on every replica, at most
    /// `RECORD_BYTES_MAX` of them, whatever the record holds.
    ///
    /// # Panics
    /// Never: the limits of the fields add up to less, which the tests show for every kind.
    pub fn encode(&self, common: &Common<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let mut writer = Writer { out };
        writer.begin(self.kind(), common);
        match self {
            Self::Admin(record) => admin(&mut writer, record),
            Self::Clock(record) => clock(&mut writer, *record),
            Self::Config(record) => config(&mut writer, record),
            Self::DenyAuth(record) => deny_auth(&mut writer, record),
            Self::Genesis(record) => genesis(&mut writer, record),
            Self::Intent(record) => intent(&mut writer, record),
            Self::Key(record) => key(&mut writer, record),
            Self::List(record) => list(&mut writer, record),
            Self::Node(record) => node(&mut writer, record),
            Self::Outcome(record) => outcome(&mut writer, record),
            Self::Refused(record) => refused(&mut writer, record),
            Self::Seal(record) => seal(&mut writer, record),
        }
        writer.out.push(b'}');
        assert!(
            out.len() - start <= RECORD_BYTES_MAX,
            "field limits add up to less"
        );
    }

    /// The value of `k`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Admin(_) => "admin",
            Self::Clock(_) => "clock",
            Self::Config(_) => "config",
            Self::DenyAuth(_) => "deny_auth",
            Self::Genesis(_) => "genesis",
            Self::Intent(_) => "intent",
            Self::Key(_) => "key",
            Self::List(_) => "list",
            Self::Node(_) => "node",
            Self::Outcome(_) => "outcome",
            Self::Refused(_) => "refused",
            Self::Seal(_) => "seal",
        }
    }
}

fn is_plain(text: &str) -> bool {
    let mut rest = text.bytes().skip(plain_prefix(text.as_bytes()));
    rest.all(|byte| matches!(byte, 0x20..0x7f) && byte != b'"' && byte != b'\\')
}

/// `text` as a JSON string, escaped as in a record but never cut.
pub(crate) fn quote(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    Writer { out: &mut out }.value_text(text, usize::MAX);
    out
}

fn admin(w: &mut Writer<'_>, record: &Admin<'_>) {
    w.text("actor", record.actor, NAME_BYTES_MAX);
    w.text("action", record.action, ID_BYTES_MAX);
    w.text("target", record.target, NAME_BYTES_MAX);
    w.text("name", record.name, NAME_BYTES_MAX);
    w.integer("revision", record.revision);
    w.optional("before", record.before, ID_BYTES_MAX);
    w.optional("after", record.after, ID_BYTES_MAX);
}

fn clock(w: &mut Writer<'_>, record: Clock) {
    w.integer("stamp", record.stamp.0);
    w.boolean("accepted", record.accepted);
}

fn config(w: &mut Writer<'_>, record: &Config<'_>) {
    w.integer("epoch", u64::from(record.epoch));
    w.array("members", record.members, MEMBERS_MAX, |w, member| {
        let Member { node, role, key } = *member;
        w.out.push(b'[');
        w.value_integer(u64::from(node));
        w.out.push(b',');
        w.value_text(role, WINDOW_BYTES_MAX);
        w.out.push(b',');
        w.value_text(key, NAME_BYTES_MAX * 2);
        w.out.push(b']');
    });
    w.more("members_more", excess(record.members.len(), MEMBERS_MAX));
}

fn deny_auth(w: &mut Writer<'_>, record: &DenyAuth<'_>) {
    w.text("source", record.source, ID_BYTES_MAX);
    w.text("reason", record.reason, ID_BYTES_MAX);
    w.optional("grant", record.grant, ID_BYTES_MAX);
    w.integer("count", record.count);
}

fn genesis(w: &mut Writer<'_>, record: &Genesis<'_>) {
    w.text("origin", record.origin, TEXT_BYTES_MAX);
    w.text("log_key", record.log_key, TEXT_BYTES_MAX);
    members(w, record.members);
    w.text("software", record.software, NAME_BYTES_MAX);
    w.optional("prior", record.prior, TEXT_BYTES_MAX);
}

fn intent(w: &mut Writer<'_>, record: &Intent<'_>) {
    w.integer("gs", record.gs);
    w.text("grant", record.grant, ID_BYTES_MAX);
    w.text("label", record.label, NAME_BYTES_MAX);
    w.optional("owner", record.owner, NAME_BYTES_MAX);
    w.text("client", record.client, NAME_BYTES_MAX);
    w.optional("session", record.session, ID_BYTES_MAX);
    w.text("server", record.server, ID_BYTES_MAX);
    w.text("server_name", record.server_name, NAME_BYTES_MAX);
    w.text("method", record.method, NAME_BYTES_MAX);
    w.optional("tool", record.tool, NAME_BYTES_MAX);
    w.optional("tool_definition", record.tool_definition, ID_BYTES_MAX);
    match record.verdict {
        Verdict::Allow => w.text("verdict", "allow", ID_BYTES_MAX),
        Verdict::Deny {
            rule,
            pointer,
            reason,
            message,
        } => {
            w.text("verdict", "deny", ID_BYTES_MAX);
            w.text("rule", rule, POINTER_BYTES_MAX);
            w.optional("pointer", pointer, POINTER_BYTES_MAX);
            w.optional("reason", reason, ID_BYTES_MAX);
            w.optional("message", message, TEXT_BYTES_MAX);
        }
    }
    policy(w, record.policy);
    w.integer("grant_revision", record.grant_revision);
    w.integer("server_revision", record.server_revision);
    reservations(w, "reservations", "reservations_more", record.reservations);
    let keys = record.argument_keys;
    w.array("argument_keys", keys, ARGUMENTS_MAX, |w, key| {
        w.value_text(key, ARGUMENT_KEY_BYTES_MAX);
    });
    let named = u64::from(record.argument_keys_more);
    w.more(
        "argument_keys_more",
        named.saturating_add(excess(keys.len(), ARGUMENTS_MAX)),
    );
    let commitments = record.commitments;
    w.array(
        "commitments",
        commitments,
        ARGUMENTS_MAX,
        |w, (path, commitment)| {
            w.out.push(b'[');
            w.value_text(path, ARGUMENT_KEY_BYTES_MAX);
            w.out.push(b',');
            w.value_text(commitment, ARGUMENT_KEY_BYTES_MAX);
            w.out.push(b']');
        },
    );
    w.more("commitments_more", excess(commitments.len(), ARGUMENTS_MAX));
    w.optional("traceparent", record.traceparent, ID_BYTES_MAX);
    w.optional("rpc_id", record.rpc_id, ID_BYTES_MAX);
}

fn key(w: &mut Writer<'_>, record: &Key<'_>) {
    w.integer("epoch", u64::from(record.epoch));
    w.text("actor", record.actor, NAME_BYTES_MAX);
    w.text("former", record.former, TEXT_BYTES_MAX);
    w.text("log_key", record.log_key, TEXT_BYTES_MAX);
}

fn list(w: &mut Writer<'_>, record: &List<'_>) {
    w.integer("gs", record.gs);
    w.text("grant", record.grant, ID_BYTES_MAX);
    w.text("server", record.server, ID_BYTES_MAX);
    w.integer("offered", u64::from(record.offered));
    w.integer("shown", u64::from(record.shown));
    w.text("offered_hash", record.offered_hash, ID_BYTES_MAX);
    w.text("shown_hash", record.shown_hash, ID_BYTES_MAX);
    policy(w, record.policy);
}

fn node(w: &mut Writer<'_>, record: &Node<'_>) {
    w.text("event", record.event, ID_BYTES_MAX);
    if let Some(boot) = record.boot {
        // A 64-bit id, not a quantity: always a string, so that no reader rounds it.
        w.text("boot", &hex(&boot.to_be_bytes()), ID_BYTES_MAX);
    }
    w.optional("software", record.software, NAME_BYTES_MAX);
    for (name, number) in [
        ("start", record.start),
        ("term", record.term),
        ("epoch", record.epoch.map(u64::from)),
    ] {
        if let Some(number) = number {
            w.integer(name, number);
        }
    }
}

fn outcome(w: &mut Writer<'_>, record: &Outcome<'_>) {
    w.integer("gs", record.gs);
    w.text("grant", record.grant, ID_BYTES_MAX);
    w.text("status", record.status, ID_BYTES_MAX);
    w.optional("cause", record.cause, ID_BYTES_MAX);
    w.integer("bytes", record.bytes);
    w.integer("duration_us", record.duration_us);
    reservations(w, "refunds", "refunds_more", record.refunds);
    if record.late {
        w.boolean("late", true);
    }
    w.optional("result_commitment", record.result_commitment, ID_BYTES_MAX);
}

fn refused(w: &mut Writer<'_>, record: &Refused<'_>) {
    w.integer("gs", record.gs);
    w.text("grant", record.grant, ID_BYTES_MAX);
    w.text("reason", record.reason, ID_BYTES_MAX);
    w.integer("count", record.count);
}

fn seal(w: &mut Writer<'_>, record: &Seal<'_>) {
    w.text("chain", record.chain, ID_BYTES_MAX);
    w.integer("index", record.index);
    w.integer("frame", record.frame);
    w.integer("term", record.term);
    w.integer("log_index", record.log_index);
    w.integer("config_epoch", u64::from(record.config_epoch));
    w.optional("previous", record.previous, ID_BYTES_MAX);
    w.optional("beacon", record.beacon, ID_BYTES_MAX);
}

fn policy(w: &mut Writer<'_>, policy: Option<PolicyRef<'_>>) {
    let Some(policy) = policy else { return };
    w.key("policy");
    w.out.extend_from_slice(b"{\"name\":");
    w.value_text(policy.name, NAME_BYTES_MAX);
    w.integer("revision", policy.revision);
    w.text("digest", policy.digest, ID_BYTES_MAX);
    w.out.push(b'}');
}

fn members(w: &mut Writer<'_>, members: &[(u32, &str)]) {
    w.array("members", members, MEMBERS_MAX, |w, (node, text)| {
        w.out.push(b'[');
        w.value_integer(u64::from(*node));
        w.out.push(b',');
        w.value_text(text, NAME_BYTES_MAX * 2);
        w.out.push(b']');
    });
    w.more("members_more", excess(members.len(), MEMBERS_MAX));
}

fn reservations(w: &mut Writer<'_>, name: &str, more: &str, items: &[Reservation<'_>]) {
    w.array(name, items, RESERVATIONS_MAX, |w, item| {
        w.out.extend_from_slice(b"{\"counter\":");
        w.value_text(item.counter, ID_BYTES_MAX);
        w.text("window", item.window, WINDOW_BYTES_MAX);
        w.text("scope", item.scope, WINDOW_BYTES_MAX);
        w.integer("window_start", item.window_start.0);
        w.integer("amount", item.amount);
        w.out.push(b'}');
    });
    w.more(more, excess(items.len(), RESERVATIONS_MAX));
}

fn excess(count: usize, limit: usize) -> u64 {
    u64::try_from(count.saturating_sub(limit)).unwrap_or(u64::MAX)
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl Writer<'_> {
    fn begin(&mut self, kind: &str, common: &Common<'_>) {
        self.out.extend_from_slice(b"{\"v\":1,\"k\":\"");
        self.out.extend_from_slice(kind.as_bytes());
        self.out.push(b'"');
        self.optional("call", common.call, ID_BYTES_MAX);
        self.integer("t", common.t.0);
        self.integer("node", u64::from(common.node));
    }

    fn key(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn boolean(&mut self, name: &str, value: bool) {
        self.key(name);
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn integer(&mut self, name: &str, value: u64) {
        self.key(name);
        self.value_integer(value);
    }

    fn text(&mut self, name: &str, value: &str, limit: usize) {
        self.key(name);
        self.value_text(value, limit);
    }

    fn optional(&mut self, name: &str, value: Option<&str>, limit: usize) {
        if let Some(value) = value {
            self.text(name, value, limit);
        }
    }

    /// How many items a list does not name; nothing when it names all.
    fn more(&mut self, name: &str, count: u64) {
        if count > 0 {
            self.integer(name, count);
        }
    }

    /// The first `limit` items; nothing when there are none.
    fn array<T>(&mut self, name: &str, items: &[T], limit: usize, item: fn(&mut Self, &T)) {
        if items.is_empty() {
            return;
        }
        self.key(name);
        for (at, value) in items.iter().take(limit).enumerate() {
            self.out.push(if at == 0 { b'[' } else { b',' });
            item(self, value);
        }
        self.out.push(b']');
    }

    fn value_integer(&mut self, value: u64) {
        let quoted = value > INTEGER_MAX;
        if quoted {
            self.out.push(b'"');
        }
        let mut digits = [0; 20];
        let mut rest = value;
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        self.out.extend(digits.iter().skip(digits.len() - used));
        if quoted {
            self.out.push(b'"');
        }
    }

    /// `limit` counts the bytes between the quotes.
    fn value_text(&mut self, value: &str, limit: usize) {
        self.out.push(b'"');
        if value.len() <= limit && is_plain(value) {
            self.out.extend_from_slice(value.as_bytes());
            self.out.push(b'"');
            return;
        }
        let start = self.out.len();
        let mut fits = start;
        for c in value.chars() {
            if self.out.len() - start <= limit.saturating_sub(CUT.len()) {
                fits = self.out.len();
            }
            self.put_char(c);
            if self.out.len() - start > limit {
                self.out.truncate(fits);
                self.out.extend_from_slice(CUT.as_bytes());
                break;
            }
        }
        self.out.push(b'"');
    }

    fn put_char(&mut self, c: char) {
        if c == '"' || c == '\\' {
            self.out.push(b'\\');
            self.out.push(if c == '"' { b'"' } else { b'\\' });
        } else if is_escaped(c) {
            self.out.extend_from_slice(b"\\u");
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                self.out
                    .extend_from_slice(hex(&unit.to_be_bytes()).as_bytes());
            }
        } else {
            self.out
                .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
