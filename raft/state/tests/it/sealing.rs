//! Seals, frames and membership.

use crate::world::{World, allow, charge, deny, intent, members, outcome};
use tollbook_state::command::{Cause, Command, Micros, Status};
use tollbook_state::{CommandResult, Payload, Role};

#[test]
fn a_seal_is_alone_in_its_frame_and_names_what_to_sign() {
    let mut world = World::hourly(9);
    let results = world.run(vec![
        Command::Intent(intent(vec![allow(1, vec![])])),
        Command::Seal,
        outcome(crate::world::call(1), Status::Ok, false),
    ]);
    let CommandResult::Sealed(sealed) = &results[1] else {
        panic!("sealed")
    };
    let frames = &world.frames[world.frames.len() - 3..];
    assert_eq!(
        frames.iter().map(|frame| frame.count).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    let records = world.records();
    let [.., _, seal, outcome] = records.as_slice() else {
        panic!("three records")
    };
    assert_eq!(
        (&seal["k"], &outcome["k"]),
        (&"seal".into(), &"outcome".into())
    );
    assert_eq!(sealed.size, frames[1].first_index + 1);
    let body = String::from_utf8(sealed.body.clone()).unwrap();
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "example.com/tollbook/0"));
    assert_eq!(lines[1], sealed.size.to_string());
    // Each command is pointed at the frame that holds its own record.
    let CommandResult::Admitted(calls) = &results[0] else {
        panic!("admitted")
    };
    assert_eq!(calls[0].frame, frames[0].hash);
}

#[test]
fn an_idle_log_is_not_sealed_again() {
    let mut world = World::hourly(9);
    assert!(matches!(world.one(Command::Seal), CommandResult::Sealed(_)));
    let before = world.records().len();
    assert_eq!(world.one(Command::Seal), CommandResult::NothingToSeal);
    world.entry(None, Payload::Blank);
    assert_eq!(world.one(Command::Seal), CommandResult::NothingToSeal);
    assert_eq!(world.records().len(), before);
    world.one(Command::Intent(intent(vec![deny(1, Cause::Default)])));
    let effects_sealed = world.one(Command::Seal);
    assert!(matches!(effects_sealed, CommandResult::Sealed(_)));
    let seals = world.of_kind("seal");
    assert!(seals[0].get("previous").is_none());
    assert!(seals[1]["previous"].is_string());
}

#[test]
fn an_idle_hour_adds_no_record() {
    let mut world = World::hourly(9);
    assert!(matches!(world.one(Command::Seal), CommandResult::Sealed(_)));
    let before = world.records().len();
    for _second in 0..3_600 {
        world.wait(1_000_000);
        assert_eq!(world.one(Command::Seal), CommandResult::NothingToSeal);
    }
    assert_eq!(world.records().len(), before);
}

#[test]
fn an_entry_is_sealed_once() {
    let mut world = World::hourly(9);
    let results = world.run(vec![
        Command::Seal,
        Command::Intent(intent(vec![deny(1, Cause::Default)])),
        Command::Seal,
    ]);
    assert!(matches!(results[0], CommandResult::Sealed(_)));
    assert_eq!(results[2], CommandResult::NothingToSeal);
    assert!(matches!(world.one(Command::Seal), CommandResult::Sealed(_)));
}

#[test]
fn a_full_entrys_results_point_at_the_right_one_of_its_frames() {
    let mut world = World::hourly(9);
    let elements: Vec<_> = (0..100)
        .map(|n| {
            let mut element = allow(n, vec![charge(0, 0)]);
            element.argument_keys = (0..64)
                .map(|key| format!("{key:02}{}", "k".repeat(60)))
                .collect();
            element
        })
        .collect();
    let before = world.frames.len();
    let CommandResult::Admitted(calls) = world.one(Command::Intent(intent(elements))) else {
        panic!("admitted");
    };
    assert!(world.frames.len() > before + 2, "more than one frame");
    for call in calls {
        let holds = |frame: &&tollbook_audit::Frame| {
            (frame.first_index..frame.first_index + u64::from(frame.count)).contains(&call.index)
        };
        assert_eq!(world.frames.iter().find(holds).unwrap().hash, call.frame);
    }
}

#[test]
fn an_entry_without_records_writes_no_frame() {
    let mut world = World::hourly(9);
    let effects = world.entry(Some(Micros(world.clock + 5)), Payload::Blank);
    assert!(effects.frames.is_empty());
    assert_eq!(effects.writes.len(), 1, "the meta row");
}

#[test]
fn a_change_of_membership_is_recorded_under_its_new_epoch() {
    let mut world = World::empty();
    let one = members(&[1]);
    let mut two = members(&[1, 2]);
    two.nodes[1].role = Role::Learner;
    assert!(world.membership(&one).changed.members);
    assert_eq!(
        world.state.config_epoch(),
        0,
        "before genesis nothing is counted"
    );
    world.one(Command::Genesis(crate::world::genesis()));
    assert!(world.of_kind("config").is_empty());
    assert!(!world.membership(&one).changed.members);
    assert!(
        world.of_kind("config").is_empty(),
        "the same members again change nothing"
    );
    world.membership(&two);
    let record = world.last();
    assert_eq!(
        (&record["k"], &record["epoch"]),
        (&"config".into(), &1.into())
    );
    assert_eq!(
        record["members"],
        serde_json::json!([
            [1, "voter", "n1+00000000+AAAA"],
            [2, "learner", "n2+00000000+AAAA"]
        ])
    );
    assert_eq!(world.state.config_epoch(), 1);
    assert_eq!(*world.state.members(), two);
    assert_eq!(
        world.frames.last().unwrap().segment_offset,
        0,
        "it begins a segment"
    );
}
