//! The record encoder: golden bytes per kind, hostile strings, the longest records, and the strict
//! reader over all of it.

use tollbook_audit::limits::{INTEGER_MAX, RECORD_BYTES_MAX};
use tollbook_audit::read::{Decided, Kind, RecordError, View};
use tollbook_audit::record::{
    Admin, Clock, Config, DenyAuth, Genesis, Intent, Key, List, Member, Node, Outcome, PolicyRef,
    Refused, Reservation, Seal, Verdict,
};
use tollbook_audit::{Common, Micros, Record};

const GOLDEN: &str = include_str!("golden/records.jsonl");
const CALL: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn common(call: Option<&str>) -> Common<'_> {
    Common {
        call,
        t: Micros(1_780_000_000_123_456),
        node: 3,
    }
}

fn encode(call: Option<&str>, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    record.encode(&common(call), &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

const POLICY: PolicyRef<'_> = PolicyRef {
    name: "shop",
    revision: 4,
    digest: "aa11",
};
const RESERVATION: Reservation<'_> = Reservation {
    counter: "refunds",
    window: "day",
    scope: "grant",
    window_start: Micros(1_779_926_400_000_000),
    amount: 250,
};

fn full_intent() -> Intent<'static> {
    Intent {
        gs: 7,
        grant: "Gr4nt0000001",
        label: "ci-bot",
        owner: Some("ops@acme.example"),
        client: "agent \"x\" 1.0",
        session: Some("00ff"),
        server: "9b2f1c1e-0000-4000-8000-0000000000aa",
        server_name: "shop",
        method: "tools/call",
        tool: Some("refund"),
        tool_definition: Some("bb22"),
        verdict: Verdict::Deny {
            rule: "/tools/refund/deny_if/args.amount-gt",
            pointer: Some("/tools/refund/deny_if/0"),
            reason: Some("indeterminate"),
            message: Some("Rückfrage\nnötig"),
        },
        policy: Some(POLICY),
        grant_revision: 2,
        server_revision: 1,
        reservations: &[RESERVATION, RESERVATION],
        argument_keys: &["amount", "order\u{202e}"],
        argument_keys_more: 3,
        commitments: &[("/amount", "cc33")],
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        rpc_id: Some("dd44"),
    }
}

const OUTCOME: Outcome<'_> = Outcome {
    gs: 8,
    grant: "Gr4nt0000001",
    status: "not_sent",
    cause: Some("settle"),
    bytes: INTEGER_MAX,
    duration_us: INTEGER_MAX + 1,
    refunds: &[RESERVATION],
    late: true,
    result_commitment: Some("ee55"),
};

const ADMIN: Admin<'_> = Admin {
    actor: "init",
    action: "grant_put",
    target: "Gr4nt0000001",
    name: "ci-bot",
    revision: 1,
    before: Some("01"),
    after: Some("02"),
};

const DENY_AUTH: DenyAuth<'_> = DenyAuth {
    source: "192.0.2.0/24",
    reason: "revoked",
    grant: Some("Gr4nt0000001"),
    count: 3,
};

const GENESIS: Genesis<'_> = Genesis {
    origin: "acme.example/tollbook/1",
    log_key: "acme.example/tollbook/1+c74f20a3+AQ==",
    members: &[(1, "n1+00000000+BA=="), (2, "n2+00000000+BA==")],
    software: "0.1.0",
    prior: Some("old\n12\nroot\n"),
};

const LIST: List<'_> = List {
    gs: 9,
    grant: "Gr4nt0000001",
    server: "9b2f1c1e-0000-4000-8000-0000000000aa",
    offered: 12,
    shown: 4,
    offered_hash: "0f",
    shown_hash: "1f",
    policy: Some(POLICY),
};

const NODE: Node<'_> = Node {
    event: "start",
    boot: Some(0xfedc_ba98_7654_3210),
    software: Some("0.1.0"),
    start: Some(4),
    term: None,
    epoch: None,
};

const KEY: Key<'_> = Key {
    epoch: 3,
    actor: "0perat0r0001",
    former: "acme.example/tollbook/1+c74f20a3+AQ==",
    log_key: "acme.example/tollbook/1+11111111+AQ==",
};

const REFUSED: Refused<'_> = Refused {
    gs: 10,
    grant: "Gr4nt0000001",
    reason: "malformed",
    count: 51,
};

const SEAL: Seal<'_> = Seal {
    chain: "ab",
    index: 10,
    frame: 9,
    term: 2,
    log_index: 40,
    config_epoch: 1,
    previous: Some("cd"),
    beacon: Some("ef"),
};

fn short_intent() -> Intent<'static> {
    Intent {
        owner: None,
        session: None,
        tool: None,
        tool_definition: None,
        verdict: Verdict::Allow,
        policy: None,
        reservations: &[],
        argument_keys: &[],
        argument_keys_more: 0,
        commitments: &[],
        traceparent: None,
        rpc_id: None,
        ..full_intent()
    }
}

/// One of each kind, each with all of its fields, and the shortest of those that can be shorter.
fn samples() -> Vec<String> {
    let short_outcome = Outcome {
        status: "ok",
        cause: None,
        refunds: &[],
        late: false,
        result_commitment: None,
        ..OUTCOME
    };
    let clock = Clock {
        stamp: Micros(5),
        accepted: true,
    };
    let member = |node, role| Member {
        node,
        role,
        key: "n+00000000+BA==",
    };
    let members = &[member(1, "voter"), member(7, "learner")];
    let stop = Node {
        event: "stop",
        start: None,
        ..NODE
    };
    let lead = Node {
        event: "lead",
        term: Some(5),
        ..Node::default()
    };
    let recovered = Node {
        event: "recovered",
        boot: NODE.boot,
        epoch: Some(8),
        ..Node::default()
    };
    let config = Config { epoch: 2, members };
    vec![
        encode(None, &Record::Admin(ADMIN)),
        encode(None, &Record::Clock(clock)),
        encode(None, &Record::Config(config)),
        encode(None, &Record::DenyAuth(DENY_AUTH)),
        encode(None, &Record::Genesis(GENESIS)),
        encode(Some(CALL), &Record::Intent(full_intent())),
        encode(Some(CALL), &Record::Intent(short_intent())),
        encode(None, &Record::Key(KEY)),
        encode(None, &Record::List(LIST)),
        encode(None, &Record::Node(NODE)),
        encode(None, &Record::Node(stop)),
        encode(None, &Record::Node(lead)),
        encode(None, &Record::Node(recovered)),
        encode(Some(CALL), &Record::Outcome(OUTCOME)),
        encode(Some(CALL), &Record::Outcome(short_outcome)),
        encode(None, &Record::Refused(REFUSED)),
        encode(None, &Record::Seal(SEAL)),
    ]
}

#[test]
fn every_kind_has_its_golden_bytes() {
    let golden: Vec<&str> = GOLDEN.lines().collect();
    assert_eq!(
        samples(),
        golden,
        "a change of these bytes forks every log that exists"
    );
}

#[test]
fn every_kind_is_among_the_golden_and_is_read_back() {
    let mut seen = Vec::new();
    for line in GOLDEN.lines() {
        let view = View::parse(line.as_bytes()).expect(line);
        assert_eq!(view.t, Micros(1_780_000_000_123_456));
        assert_eq!(view.node, 3);
        seen.push(view.kind);
    }
    seen.dedup();
    assert_eq!(seen, Kind::ALL);
}

#[test]
fn the_fields_that_matter_are_read_as_they_were_written() {
    let lines: Vec<&str> = GOLDEN.lines().collect();
    let intent = View::parse(lines[5].as_bytes()).expect("an intent");
    assert_eq!(intent.call.map(|text| text.raw()), Some(CALL));
    assert_eq!(intent.gs, Some(7));
    assert_eq!(intent.verdict, Some(Decided::Deny));
    let outcome = View::parse(lines[13].as_bytes()).expect("an outcome");
    assert!(outcome.late);
    assert_eq!(outcome.status.map(|text| text.raw()), Some("not_sent"));
    let genesis = View::parse(lines[4].as_bytes())
        .expect("genesis")
        .genesis
        .expect("its fields");
    assert_eq!(
        genesis.prior.map(|text| text.decode().into_owned()),
        Some("old\n12\nroot\n".into())
    );
    let seal = View::parse(lines[16].as_bytes())
        .expect("a seal")
        .seal
        .expect("its fields");
    assert_eq!(
        (seal.index, seal.frame, seal.term, seal.log_index),
        (10, 9, 2, 40)
    );
    let begun: Vec<_> = lines
        .iter()
        .filter_map(|line| View::parse(line.as_bytes()).unwrap().epoch)
        .collect();
    assert_eq!(begun, [2, 3, 8], "config, key, recovered");
    let lead = View::parse(lines[11].as_bytes()).expect("who leads");
    assert_eq!(lead.term, Some(5));
    let key = View::parse(lines[7].as_bytes()).expect("a key").key;
    let key = key.expect("its fields");
    assert_eq!(
        (key.former.raw(), key.log_key.raw()),
        (KEY.former, KEY.log_key)
    );
}

#[test]
fn what_befell_a_node_has_the_fields_of_its_event() {
    let node = |event, node: Node<'_>| encode(None, &Record::Node(Node { event, ..node }));
    let bare = Node::default();
    let (lead, recovered) = ("lead", "recovered");
    for (text, name) in [
        (
            node(
                "start",
                Node {
                    start: None,
                    ..NODE
                },
            ),
            "start",
        ),
        (
            node(
                "refused",
                Node {
                    start: None,
                    ..NODE
                },
            ),
            "start",
        ),
        (node("stop", bare), "boot"),
        (node(lead, bare), "term"),
        (
            node(
                lead,
                Node {
                    boot: Some(1),
                    term: Some(1),
                    ..bare
                },
            ),
            "term",
        ),
        (node(recovered, bare), "boot"),
        (
            node(
                recovered,
                Node {
                    boot: Some(1),
                    ..bare
                },
            ),
            "epoch",
        ),
    ] {
        let error = View::parse(text.as_bytes()).expect_err("a field is missing");
        assert!(
            matches!(error, RecordError::Field { name: found, .. } if found == name),
            "{text}"
        );
    }
    let text = node("stop", NODE);
    let error = View::parse(text.as_bytes()).expect_err("one more field");
    assert!(matches!(error, RecordError::Trailing { .. }), "{error}");
}

#[test]
fn a_cut_record_is_never_read() {
    for line in GOLDEN.lines() {
        for length in 0..line.len() {
            assert!(
                View::parse(&line.as_bytes()[..length]).is_err(),
                "{length} of {line}"
            );
        }
    }
}

#[test]
fn no_byte_outside_the_texts_of_a_record_can_be_dropped_or_doubled() {
    for line in GOLDEN.lines() {
        let good = line.as_bytes();
        let texts = quoted_parts(line);
        for at in 0..good.len() {
            // Within a text, or a number, it is another text or number; only the hash tells.
            let inside = texts.iter().any(|(from, to)| *from < at && at < *to);
            if inside || good[at].is_ascii_digit() {
                continue;
            }
            let mut dropped = good.to_vec();
            dropped.remove(at);
            assert!(View::parse(&dropped).is_err(), "dropped {at} of {line}");
            let mut doubled = good.to_vec();
            doubled.insert(at, good[at]);
            assert!(View::parse(&doubled).is_err(), "doubled {at} of {line}");
        }
        assert!(View::parse(&[good, b" "].concat()).is_err());
    }
}

/// Where the strings of a line are.
fn quoted_parts(line: &str) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut open = None;
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        if open.is_some() && byte == b'\\' && !escaped {
            escaped = true;
            continue;
        }
        if byte == b'"' && !escaped {
            open = open.map_or(Some(at), |from| {
                parts.push((from, at));
                None
            });
        }
        escaped = false;
    }
    parts
}

#[test]
fn what_the_encoder_cannot_have_written_is_refused() {
    let seal = GOLDEN.lines().last().expect("the seal");
    let field = |name| Err(name);
    let refused = |text: &str| match View::parse(text.as_bytes()) {
        Err(RecordError::Field { name, .. }) => field(name),
        other => other.map(|_| ()).map_err(|_| "another error"),
    };
    for (from, to, name) in [
        ("\"index\":10", "\"index\":10,\"index\":10", "frame"),
        ("\"index\":10", "\"index\":010", "index"),
        ("\"index\":10", "\"index\":1e1", "frame"),
        ("\"index\":10", "\"index\":-10", "index"),
        ("\"index\":10", "\"index\":\"10\"", "index"),
        ("\"index\":10", "\"index\":9007199254740992", "index"),
        ("\"index\":10", "\"index\":99999999999999999999", "index"),
        ("\"index\":10", "\"index\":null", "index"),
        (
            "\"config_epoch\":1",
            "\"config_epoch\":4294967296",
            "config_epoch",
        ),
        ("\"node\":3", "\"node\":4294967296", "node"),
        ("\"chain\":\"ab\"", "\"chain\":7", "chain"),
        ("\"chain\":\"ab\"", "\"chain\":\"a\\u0062\"", "chain"),
        ("\"chain\":\"ab\"", "\"chain\":\"a\\n\"", "chain"),
        ("\"chain\":\"ab\"", "\"chain\":\"a\\u000A\"", "chain"),
        ("\"chain\":\"ab\"", "\"chain\":\"a\\ud800\"", "chain"),
        ("\"chain\":\"ab\"", "\"chain\":\"a\u{202e}\"", "chain"),
        ("\"chain\":\"ab\"", "\"chain\":\"a\nb\"", "chain"),
        ("\"chain\":\"ab\",", "", "chain"),
        ("\"t\":", "\"T\":", "t"),
    ] {
        assert!(seal.contains(from));
        assert_eq!(refused(&seal.replace(from, to)), Err(name), "{to}");
    }
    for (from, to, error) in [
        ("\"v\":1", "\"v\":2", RecordError::Version),
        ("\"k\":\"seal\"", "\"k\":\"sael\"", RecordError::Kind),
        ("{\"v\"", "[\"v\"", RecordError::Syntax),
    ] {
        assert_eq!(View::parse(seal.replace(from, to).as_bytes()), Err(error));
    }
    assert_eq!(
        View::parse(b"{\"v\":1,\"k\":\"\xff\""),
        Err(RecordError::Syntax)
    );
    let long = vec![b' '; RECORD_BYTES_MAX + 1];
    assert_eq!(View::parse(&long), Err(RecordError::Syntax));
}

#[test]
fn controls_and_line_tricks_are_escaped_and_all_else_is_raw() {
    let hostile = "a\0\u{1b}[31m\u{7f}\u{85}\u{2028}\u{202e}\u{2066}\u{feff}\"\\/é日\u{1f600}";
    let node = Record::Node(Node {
        event: hostile,
        boot: Some(0),
        software: Some(""),
        ..Node::default()
    });
    let text = encode(None, &node);
    let expected =
        "a\\u0000\\u001b[31m\\u007f\\u0085\\u2028\\u202e\\u2066\\ufeff\\\"\\\\/é日\u{1f600}";
    assert!(
        text.contains(&format!("\"event\":\"{expected}\",")),
        "{text}"
    );
    assert!(View::parse(text.as_bytes()).is_ok());
}

#[test]
fn a_text_at_its_limit_is_whole_and_one_byte_more_is_cut_at_a_character() {
    let event = |text: &str| {
        let encoded = encode(
            None,
            &Record::Node(Node {
                event: text,
                boot: Some(0),
                software: Some(""),
                ..Node::default()
            }),
        );
        let (_, rest) = encoded.split_once("\"event\":\"").expect("the field");
        rest.split_once("\",\"boot\"")
            .expect("the next field")
            .0
            .to_owned()
    };
    let whole = "é".repeat(64);
    assert_eq!(event(&whole), whole);
    assert_eq!(event(&format!("{whole}x")), format!("{}…", "é".repeat(62)));
    // Escapes count as they are written, and are never cut in two.
    let escapes = "\n".repeat(21);
    assert_eq!(
        event(&format!("{escapes}xx")),
        format!("{}xx", "\\u000a".repeat(21))
    );
    assert_eq!(
        event(&format!("{escapes}xxx")),
        format!("{}…", "\\u000a".repeat(20))
    );
    assert_eq!(
        event(&"\n".repeat(100_000)),
        format!("{}…", "\\u000a".repeat(20))
    );
}

#[test]
fn the_longest_records_stay_under_the_limit_and_are_read_back() {
    for filler in ["x", "\n", "\"", "日", "\u{1f600}"] {
        let long = filler.repeat(5_000);
        for text in longest_lists(&long).into_iter().chain(longest_plain(&long)) {
            assert!(
                text.len() <= RECORD_BYTES_MAX,
                "{} bytes of {text}",
                text.len()
            );
            assert!(View::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }
}

/// The records that hold lists or many texts, all too long.
fn longest_lists(long: &str) -> [String; 3] {
    let reservation = Reservation {
        counter: long,
        window: long,
        scope: long,
        window_start: Micros(u64::MAX),
        amount: u64::MAX,
    };
    let reservations = vec![reservation; 1_000];
    let some = Some(long);
    let intent = Record::Intent(Intent {
        gs: u64::MAX,
        grant: long,
        label: long,
        owner: some,
        client: long,
        session: some,
        server: long,
        server_name: long,
        method: long,
        tool: some,
        tool_definition: some,
        verdict: Verdict::Deny {
            rule: long,
            pointer: some,
            reason: some,
            message: some,
        },
        policy: Some(PolicyRef {
            name: long,
            revision: u64::MAX,
            digest: long,
        }),
        grant_revision: u64::MAX,
        server_revision: u64::MAX,
        reservations: &reservations,
        argument_keys: &vec![long; 1_000],
        argument_keys_more: u32::MAX,
        commitments: &vec![(long, long); 1_000],
        traceparent: some,
        rpc_id: some,
    });
    let outcome = Record::Outcome(Outcome {
        gs: u64::MAX,
        grant: long,
        status: long,
        cause: some,
        bytes: u64::MAX,
        duration_us: u64::MAX,
        refunds: &reservations,
        late: true,
        result_commitment: some,
    });
    let genesis = Record::Genesis(Genesis {
        origin: long,
        log_key: long,
        members: &vec![(u32::MAX, long); 1_000],
        software: long,
        prior: some,
    });
    [intent, outcome, genesis].map(|record| encode(some, &record))
}

/// The others, all too long.
fn longest_plain(long: &str) -> [String; 6] {
    let (some, count) = (Some(long), u64::MAX);
    let admin = Record::Admin(Admin {
        actor: long,
        action: long,
        target: long,
        name: long,
        revision: u64::MAX,
        before: some,
        after: some,
    });
    let deny_auth = DenyAuth {
        source: long,
        reason: long,
        grant: some,
        count,
    };
    let list = Record::List(List {
        gs: u64::MAX,
        grant: long,
        server: long,
        offered: u32::MAX,
        shown: u32::MAX,
        offered_hash: long,
        shown_hash: long,
        policy: Some(PolicyRef {
            name: long,
            revision: u64::MAX,
            digest: long,
        }),
    });
    let member = Member {
        node: u32::MAX,
        role: long,
        key: long,
    };
    let members = vec![member; 1_000];
    let config = Record::Config(Config {
        epoch: u32::MAX,
        members: &members,
    });
    let node = Record::Node(Node {
        event: long,
        boot: Some(u64::MAX),
        software: Some(long),
        ..Node::default()
    });
    let key = Record::Key(Key {
        epoch: u32::MAX,
        actor: long,
        former: long,
        log_key: long,
    });
    [admin, Record::DenyAuth(deny_auth), list, config, key, node]
        .map(|record| encode(some, &record))
}
