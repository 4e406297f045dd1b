//! Nodes that start, lead, go, and what all of them understand.

use crate::world::{HOUR, SECOND, World, charge, limit, members, node_start};
use tollbook_state::command::{Command, Micros, Scope, Window};
use tollbook_state::{Bound, CommandResult, Payload, Rejection, Role, limits};

fn at(world: &mut World, node: u32, boot: u64, command: Command) -> CommandResult {
    (world.node, world.boot) = (node, boot);
    world.one(command)
}

fn speaks(start: u64, speaks: u16) -> Command {
    Command::NodeStart {
        software: "x".into(),
        start,
        speaks,
    }
}

#[test]
fn a_start_that_is_not_the_newest_is_refused_and_recorded_once_a_boot() {
    let mut world = World::hourly(9);
    assert_eq!(world.state.starts(2), None);
    let first = at(&mut world, 2, 7, node_start(5));
    assert!(matches!(first, CommandResult::Recorded { count: 1, .. }));
    let record = world.last();
    assert_eq!(
        (&record["event"], &record["start"]),
        (&"start".into(), &5.into())
    );
    assert_eq!(world.state.starts(2), Some((5, 7)));
    let open = world.admit(1, vec![charge(0, 1)]);
    let records = world.records().len();
    let known = CommandResult::StartRefused { start: 5, boot: 7 };
    for (start, boot) in [(5, 8), (4, 9), (1, 9), (5, 8)] {
        assert_eq!(at(&mut world, 2, boot, node_start(start)), known);
    }
    let refused: Vec<_> = world.records().split_off(records);
    let told: Vec<_> = refused
        .iter()
        .map(|record| {
            (
                record["event"].as_str().unwrap(),
                record["boot"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("refused", "0000000000000008"),
            ("refused", "0000000000000009")
        ]
    );
    assert!(world.state.open_call(&open).is_some(), "its calls go on");
    assert_eq!(world.state.starts(2), Some((5, 7)));
    // The same start again is the same start.
    let again = at(&mut world, 2, 7, node_start(5));
    assert!(matches!(again, CommandResult::Recorded { count: 0, .. }));
    // Of the refused boots a bounded number is remembered.
    for boot in 100..140 {
        at(&mut world, 2, boot, node_start(1));
    }
    let start = world.state.started(2).unwrap();
    assert_eq!(start.refused.len(), limits::BOOTS_PER_NODE);
    let next = at(&mut world, 2, 10, node_start(6));
    assert!(
        matches!(next, CommandResult::Recorded { count: 2, .. }),
        "and one call closed"
    );
    assert_eq!(world.state.starts(2), Some((6, 10)));
    assert_eq!(
        at(&mut world, 3, 7, node_start(0)),
        CommandResult::Rejected(Rejection::Start)
    );
}

#[test]
fn starts_of_members_are_remembered_and_those_of_others_up_to_a_bound() {
    let mut world = World::hourly(9);
    world.membership(&members(&[1, 2]));
    at(&mut world, 1, 7, node_start(3));
    let strangers = u32::try_from(limits::STARTS).unwrap();
    for node in 10..10 + strangers {
        at(&mut world, node, 7, node_start(1));
    }
    assert_eq!(world.state.starts(1), Some((3, 7)));
    assert_eq!(world.state.starts(10), None, "the lowest id made room");
    assert_eq!(world.state.starts(11), Some((1, 7)));
    world.membership(&members(&[2]));
    assert_eq!(world.state.starts(1), None);
    let all: Vec<u32> = (11..12 + strangers).collect();
    world.membership(&members(&all));
    at(&mut world, 10 + strangers, 7, node_start(1));
    let full = at(&mut world, 2001, 7, node_start(1));
    let last = at(&mut world, 11, 8, node_start(2));
    assert_eq!(full, CommandResult::Full(Bound::Nodes));
    assert!(matches!(last, CommandResult::Recorded { count: 1, .. }));
}

#[test]
fn who_was_a_member_and_is_none_is_remembered() {
    let mut world = World::hourly(9);
    world.membership(&members(&[1, 2, 3]));
    assert!(
        ![0, 1, 2, 3, 4]
            .iter()
            .any(|node| world.state.is_removed(*node))
    );
    world.membership(&members(&[1, 3]));
    assert!(world.state.is_removed(2));
    assert!(!world.state.is_removed(4));
    world.membership(&members(&[1, 2, 3]));
    assert!(!world.state.is_removed(2), "what Raft says counts");
    let many = u32::try_from(limits::REMOVED).unwrap();
    for node in 10..10 + many {
        world.membership(&members(&[1, 3, node]));
    }
    world.membership(&members(&[1]));
    for node in [2, 3, 10, 11, 9 + many] {
        assert!(world.state.is_removed(node), "{node}");
    }
    assert!(
        !world.state.is_removed(1),
        "a member stays one however low its id"
    );
    assert!(!world.state.is_removed(10 + many), "the next id is free");
    let row = &world.rows[&b"k"[..]];
    assert!(row.len() < 4 * limits::REMOVED, "bounded");
}

#[test]
fn a_change_of_role_or_key_is_a_change_of_membership() {
    let mut world = World::hourly(9);
    let mut nodes = members(&[1, 2]);
    world.membership(&nodes);
    nodes.nodes[1].role = Role::Learner;
    assert!(world.membership(&nodes).changed.members);
    nodes.nodes[1].key = "n2+11111111+AAAA".into();
    assert!(world.membership(&nodes).changed.members);
    assert_eq!(world.state.config_epoch(), 3);
    let config = world.of_kind("config");
    let keys: Vec<_> = config.iter().map(|record| &record["members"][1]).collect();
    assert_eq!(
        *keys[0],
        serde_json::json!([2, "voter", "n2+00000000+AAAA"])
    );
    assert_eq!(
        *keys[1],
        serde_json::json!([2, "learner", "n2+00000000+AAAA"])
    );
    assert_eq!(
        *keys[2],
        serde_json::json!([2, "learner", "n2+11111111+AAAA"])
    );
}

#[test]
fn the_version_rises_when_every_member_speaks_it_and_never_falls() {
    let mut world = World::hourly(9);
    let raise = |version| Command::Version { version };
    let stays = CommandResult::Put {
        revision: 1,
        changed: false,
    };
    assert_eq!(world.state.version(), 1);
    assert_eq!(world.one(raise(2)), CommandResult::NotFound, "of nobody");
    world.membership(&members(&[1, 2]));
    assert_eq!(world.one(raise(1)), stays);
    let deaf = |node, speaks| CommandResult::NotSpoken { node, speaks };
    assert_eq!(world.one(raise(2)), deaf(1, 0));
    at(&mut world, 1, 100, speaks(1, 3));
    at(&mut world, 2, 7, speaks(1, 2));
    assert_eq!(world.one(raise(3)), deaf(2, 2));
    let records = world.records().len();
    let raised = CommandResult::Put {
        revision: 2,
        changed: true,
    };
    assert_eq!(world.one(raise(2)), raised);
    assert_eq!(world.state.version(), 2);
    let record = world.last();
    assert_eq!(world.records().len(), records + 1);
    let told = (&record["action"], &record["revision"], &record["actor"]);
    assert_eq!(told, (&"version".into(), &2.into(), &"node 2".into()));
    let stays = CommandResult::Put {
        revision: 2,
        changed: false,
    };
    assert_eq!(world.one(raise(1)), stays);
    assert_eq!(world.one(raise(2)), stays);
    // An older program on a member may not come back.
    let cluster = 2;
    let old = CommandResult::Rejected(Rejection::Speaks { cluster });
    assert_eq!(at(&mut world, 2, 8, speaks(2, 1)), old);
    assert_eq!(world.state.starts(2), Some((1, 7)));
}

#[test]
fn who_leads_is_recorded_when_that_changes() {
    let mut world = World::empty();
    world.entry(None, Payload::Blank);
    world.one(Command::Genesis(crate::world::genesis()));
    let mut led = |term, node| {
        (world.term, world.node) = (term, node);
        let before = world.records().len();
        world.entry(None, Payload::Blank);
        let records = world.records().split_off(before);
        let of = |record: &serde_json::Value| {
            assert!(record.get("boot").is_none());
            assert_eq!(
                (&record["k"], &record["event"]),
                (&"node".into(), &"lead".into())
            );
            (
                record["term"].as_u64().unwrap(),
                record["node"].as_u64().unwrap(),
            )
        };
        records.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(led(1, 1), [], "the genesis says who led first");
    assert_eq!(led(2, 1), [(2, 1)], "elected anew");
    assert_eq!(led(2, 1), []);
    assert_eq!(led(2, 3), [(2, 3)], "a later leader of the term");
    assert_eq!(led(2, 1), [], "not one that came before");
    assert_eq!(led(9, 2), [(9, 2)]);
}

#[test]
fn a_recovery_begins_an_epoch_and_says_who_and_why() {
    let mut world = World::hourly(9);
    let recover = |reason: &str| Command::Recover {
        actor: "operator".into(),
        reason: reason.into(),
    };
    let line = CommandResult::Rejected(Rejection::Line);
    assert_eq!(world.one(recover("two\nlines")), line);
    assert_eq!(world.one(recover("")), line);
    assert_eq!(world.state.config_epoch(), 0);
    let place = world.next_place();
    let commands = vec![Command::Seal, recover("the others burnt")];
    let batch = tollbook_state::command::Batch { place, commands };
    let effects = world.batch(&tollbook_state::codec::encode_batch(&batch));
    assert_eq!(world.state.config_epoch(), 1);
    let frame = effects.frames.last().unwrap();
    assert_eq!(frame.segment_offset, 0, "it begins a segment");
    let records = world.records();
    let [.., node, admin] = records.as_slice() else {
        panic!("two records")
    };
    assert_eq!(
        (&node["event"], &node["epoch"]),
        (&"recovered".into(), &1.into())
    );
    let told = (&admin["action"], &admin["actor"], &admin["name"]);
    assert_eq!(
        told,
        (
            &"recover".into(),
            &"operator".into(),
            &"the others burnt".into()
        )
    );
}

#[test]
fn a_change_of_the_log_key_is_a_record_and_begins_a_segment() {
    let mut world = World::hourly(9);
    let first = crate::world::genesis().log_key;
    assert_eq!(world.state.log_key(), Some(&*first));
    let change = |log_key: &str| Command::KeyChange {
        actor: "operator".into(),
        log_key: log_key.into(),
    };
    let same = world.one(change(&first));
    assert!(matches!(same, CommandResult::Recorded { count: 0, .. }));
    for wrong in ["", "a\nb"] {
        let line = CommandResult::Rejected(Rejection::Line);
        assert_eq!(world.one(change(wrong)), line);
    }
    let long = "x".repeat(limits::GENESIS_TEXT_BYTES + 1);
    let (what, limit) = ("log_key", limits::GENESIS_TEXT_BYTES);
    let too = CommandResult::Rejected(Rejection::TooLarge { what, limit });
    assert_eq!(world.one(change(&long)), too);
    assert_eq!(world.state.config_epoch(), 0);
    let changed = world.one(change("second"));
    assert!(matches!(changed, CommandResult::Recorded { count: 1, .. }));
    let record = world.last();
    assert_eq!((&record["k"], &record["epoch"]), (&"key".into(), &1.into()));
    assert_eq!(
        (&record["former"], &record["log_key"]),
        (&first.into(), &"second".into())
    );
    assert_eq!(world.state.log_key(), Some("second"));
    assert_eq!(world.frames.last().unwrap().segment_offset, 0);
    world.one(change("third"));
    assert_eq!(world.last()["former"], "second");
}

/// Leaders whose clocks disagree take turns: the log's time only grows, a window that is over
/// stays over, and nothing is counted twice.
#[test]
fn time_and_windows_never_go_back_across_leaders() {
    let minute = vec![limit("calls", Window::Minute, Scope::Grant, 2)];
    let mut world = World::with_limits(minute);
    let begin = world.state.now().0;
    // (term, leader, its clock ahead of the first's): each takes over within the minute before.
    let leaders = [
        (1, 1, 0),
        (2, 2, 90 * SECOND),
        (3, 3, 0),
        (4, 1, 30 * SECOND),
        (5, 2, 90 * SECOND),
        (6, 3, HOUR),
        (7, 1, 0),
    ];
    let (mut last, mut call, mut window) = (begin, 0, 0);
    let mut admitted = std::collections::BTreeMap::<u64, u64>::new();
    for (term, node, ahead) in leaders {
        (world.term, world.node) = (term, node);
        assert!(world.entry(None, Payload::Blank).t.0 > last);
        for step in 0..3 {
            world.clock = begin + ahead + step * SECOND;
            call += 1;
            let result = crate::world::intent(vec![crate::world::allow(call, vec![charge(0, 1)])]);
            let result = world.one(Command::Intent(result));
            let now = world.state.now().0;
            assert!(now > last);
            last = now;
            assert!(
                now / (60 * SECOND) >= window,
                "a window that is over stays over"
            );
            window = now / (60 * SECOND);
            if matches!(result, CommandResult::Admitted(_)) {
                *admitted.entry(window).or_default() += 1;
            }
        }
    }
    assert!(admitted.values().all(|count| *count == 2), "{admitted:?}");
    assert_eq!(
        admitted.len(),
        3,
        "now, 90 s on, an hour on: the slow ones opened none anew"
    );
    let times: Vec<u64> = world
        .records()
        .iter()
        .map(|r| r["t"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted());
    let leaders = world.of_kind("node").len();
    assert_eq!(leaders, 6);
    assert_eq!(world.entry(Some(Micros(0)), Payload::Blank).t.0, last + 1);
}
