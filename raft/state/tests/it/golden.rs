//! The encodings of today, byte for byte: what a later version must still read.
//!
//! A command or row without its file fails and says how to write it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::world::{
    DIGEST, GRANT, HOUR, SERVER, World, allow, call, charge, deny, genesis, grant_put, intent,
    join, join_token, limit, members, node_start, outcome, policy_put, server_put,
};
use tollbook_state::codec::{decode_batch, encode_batch};
use tollbook_state::command::{
    Batch, Cause, Command, GrantRotate, List, Micros, Place, Refused, Scope, Status, TokenHash,
    Window,
};
use tollbook_state::{Payload, State};

const WRITE: &str = "TOLLBOOK_WRITE_GOLDEN";

fn golden(name: &str, bytes: &[u8]) -> String {
    let mut hex = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(hex, "{byte:02x}").expect("a string takes all");
        }
        hex.push('\n');
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.hex"));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &hex).expect("the golden directory is there");
    }
    let stored = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; set {WRITE}=1 to write it", path.display()));
    assert_eq!(hex, stored, "the encoding of `{name}` changed");
    stored
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let text = |pair: &[u8]| String::from_utf8(pair.to_vec()).unwrap();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&text(pair), 16).unwrap())
        .collect()
}

fn commands() -> Vec<(&'static str, Command)> {
    let (actor, server, grant) = (String::from("admin"), SERVER, GRANT);
    let software = String::from("tollbook 0.1.0");
    let before = Micros(1_795_514_400_000_000);
    let mut element = allow(3, vec![charge(0, 1), charge(1, 300)]);
    element.commitments = vec![("args.channel".into(), [4; 32])];
    element.traceparent = Some("00-0-0-00".into());
    let (rule, indeterminate) = (0, true);
    let denied = vec![
        deny(
            4,
            Cause::Rule {
                rule,
                indeterminate,
            },
        ),
        deny(5, Cause::Hidden),
    ];
    let limits = vec![limit("posts", Window::Month, Scope::Owner, 20)];
    let mut put = grant_put();
    put.not_before = Some(Micros(1));
    put.expires = Some(Micros(1 << 50));
    let refused = Refused {
        grants: vec![(GRANT, "denied".into(), 40)],
        strangers: vec![("192.0.2.0/24".into(), "unknown".into(), Some(GRANT), 3)],
    };
    vec![
        ("genesis", Command::Genesis(genesis())),
        ("server_put", Command::ServerPut(server_put())),
        (
            "server_remove",
            Command::ServerRemove {
                actor: actor.clone(),
                server,
                expected: Some(3),
            },
        ),
        ("policy_put", Command::PolicyPut(policy_put(DIGEST, limits))),
        ("grant_put", Command::GrantPut(put)),
        (
            "grant_revoke",
            Command::GrantRevoke {
                actor: actor.clone(),
                grant,
                expected: None,
            },
        ),
        ("intent_allow", Command::Intent(intent(vec![element]))),
        ("intent_deny", Command::Intent(intent(denied))),
        ("outcome", outcome(call(3), Status::UpstreamDown, true)),
        ("list", Command::List(list())),
        ("refused", Command::Refused(refused)),
        (
            "node_start",
            Command::NodeStart {
                software: software.clone(),
                start: 300,
                speaks: 2,
            },
        ),
        ("node_stop", Command::NodeStop { software }),
        ("settle", Command::Settle { before }),
        ("seal", Command::Seal),
    ]
    .into_iter()
    .chain(cluster_commands(actor))
    .collect()
}

fn cluster_commands(actor: String) -> [(&'static str, Command); 7] {
    let reason = "the others burnt".into();
    let log_key = "example.com/tollbook/0+11111111+AAAA".into();
    [
        (
            "grant_rotate",
            Command::GrantRotate(GrantRotate {
                actor: actor.clone(),
                grant: GRANT,
                token: TokenHash([8; 32]),
                overlap_until: Micros(1_795_514_400_000_000),
                expected: Some(2),
            }),
        ),
        (
            "clock_accept",
            Command::ClockAccept {
                actor: actor.clone(),
            },
        ),
        ("join_token_put", Command::JoinTokenPut(join_token(1))),
        ("join", Command::Join(join(1, "n7"))),
        ("version", Command::Version { version: 2 }),
        (
            "recover",
            Command::Recover {
                actor: actor.clone(),
                reason,
            },
        ),
        ("key_change", Command::KeyChange { actor, log_key }),
    ]
}

fn list() -> List {
    List {
        grant: GRANT,
        grant_revision: 1,
        server: SERVER,
        server_revision: 300,
        policy: None,
        offered: 5,
        shown: 2,
        offered_hash: [1; 32],
        shown_hash: [2; 32],
    }
}

#[test]
fn every_command_is_read_as_it_was_written() {
    for (name, command) in commands() {
        // No wildcard: a new command must be put in the list above.
        match command {
            Command::Genesis(_)
            | Command::ServerPut(_)
            | Command::ServerRemove { .. }
            | Command::PolicyPut(_)
            | Command::GrantPut(_)
            | Command::GrantRevoke { .. }
            | Command::Intent(_)
            | Command::Outcome(_)
            | Command::List(_)
            | Command::Refused(_)
            | Command::NodeStart { .. }
            | Command::NodeStop { .. }
            | Command::Settle { .. }
            | Command::Seal
            | Command::ClockAccept { .. }
            | Command::GrantRotate(_)
            | Command::JoinTokenPut(_)
            | Command::Join(_)
            | Command::Version { .. }
            | Command::Recover { .. }
            | Command::KeyChange { .. } => {}
        }
        let place = Place {
            node: 1,
            boot: 2,
            sequence: 3,
        };
        let batch = Batch {
            place,
            commands: vec![command],
        };
        let stored = golden(&format!("command_{name}"), &encode_batch(&batch));
        assert_eq!(decode_batch(&bytes_of(&stored)), Ok(batch));
    }
}

/// One row of each kind, but for the audit head inside the meta row, whose bytes are not ours.
fn rows() -> BTreeMap<&'static str, (Vec<u8>, Vec<u8>)> {
    let names = BTreeMap::from([
        (b'c', "counter"),
        (b'g', "origin"),
        (b'i', "open_call"),
        (b'j', "join_token"),
        (b'k', "cluster"),
        (b'l', "start"),
        (b'n', "gs"),
        (b'o', "seen"),
        (b'p', "policy"),
        (b's', "server"),
        (b't', "grant"),
        (b'u', "settled_call"),
    ]);
    let mut world = World::hourly(9);
    world.one(Command::JoinTokenPut(join_token(1)));
    world.one(Command::Join(join(1, "n7")));
    world.membership(&members(&[1, 2]));
    world.membership(&members(&[1]));
    world.entry(None, Payload::Blank);
    world.one(node_start(2));
    world.boot += 1;
    world.one(node_start(1));
    let unknown = world.admit(1, vec![]);
    world.one(outcome(unknown, Status::Unknown, false));
    world.wait(HOUR);
    world.admit(3, vec![charge(0, 7)]);
    let overlap_until = Micros(world.clock + HOUR);
    world.one(Command::GrantRotate(GrantRotate {
        actor: "admin".into(),
        grant: GRANT,
        token: TokenHash([8; 32]),
        overlap_until,
        expected: None,
    }));
    let mut rows = BTreeMap::new();
    for (key, value) in &world.rows {
        if let Some(name) = names.get(&key[0]) {
            rows.insert(*name, (key.clone(), value.clone()));
        } else {
            assert_eq!(key[0], b'm', "a row of a new kind needs a golden file");
        }
    }
    assert_eq!(rows.len(), names.len());
    let mut world = World::empty();
    world.membership(&members(&[1, 2]));
    world.entry(Some(Micros(1_795_514_400_000_000)), Payload::Blank);
    let meta = world.rows.pop_last().expect("the meta row");
    rows.insert("meta", meta);
    rows
}

#[test]
fn every_row_is_read_as_it_was_written() {
    let mut stored = BTreeMap::new();
    for (name, (key, value)) in rows() {
        let length = u8::try_from(key.len()).unwrap();
        let bytes = bytes_of(&golden(
            &format!("row_{name}"),
            &[&[length], &key[..], &value].concat(),
        ));
        let (length, rest) = bytes.split_first().unwrap();
        let (key, value) = rest.split_at(usize::from(*length));
        stored.insert(key.to_vec(), value.to_vec());
    }
    let state = State::load(stored.clone().into_iter()).expect("rows of this version");
    assert_eq!(state.stored().collect::<BTreeMap<_, _>>(), stored);
}
