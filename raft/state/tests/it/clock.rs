//! The log's time.

use crate::world::{GRANT, SECOND, World, allow, charge, genesis, intent, node_start};
use tollbook_state::command::{Command, Micros};
use tollbook_state::{CommandResult, Payload, Rejection, limits};

fn stamp(world: &mut World, t: u64) -> u64 {
    world.entry(Some(Micros(t)), Payload::Blank).t.0
}

#[test]
fn time_takes_the_stamp_but_never_goes_back() {
    let mut world = World::hourly(9);
    let now = world.state.now().0;
    assert_eq!(stamp(&mut world, now + 100), now + 100);
    assert_eq!(stamp(&mut world, now + 100), now + 101);
    assert_eq!(stamp(&mut world, now), now + 102);
    assert_eq!(world.entry(None, Payload::Blank).t.0, now + 103);
    assert_eq!(stamp(&mut world, 0), now + 104);
}

#[test]
fn a_clamp_of_more_than_a_second_is_recorded_once_where_it_begins() {
    let mut world = World::hourly(9);
    let now = world.state.now().0;
    let clocks = |world: &World| world.of_kind("clock").len();
    stamp(&mut world, now + 1 - SECOND);
    assert_eq!(clocks(&world), 0, "a second is no clamp to speak of");
    stamp(&mut world, now + 1 - SECOND);
    assert_eq!(clocks(&world), 1);
    assert_eq!(world.last()["stamp"], now + 1 - SECOND);
    assert_eq!(world.last()["accepted"], false);
    stamp(&mut world, now - 5 * SECOND);
    world.entry(None, Payload::Blank);
    stamp(&mut world, now - 9 * SECOND);
    assert_eq!(clocks(&world), 1, "still the same clamp");
    stamp(&mut world, now + SECOND);
    stamp(&mut world, now - SECOND);
    assert_eq!(clocks(&world), 2);
}

#[test]
fn an_accepted_jump_says_who_accepted_it() {
    let mut world = World::hourly(9);
    let result = world.one(Command::ClockAccept {
        actor: "operator".into(),
    });
    assert!(matches!(result, CommandResult::Recorded { count: 2, .. }));
    let records = world.records();
    let [.., clock, admin] = records.as_slice() else {
        panic!("two records")
    };
    assert_eq!(
        (&clock["k"], &clock["accepted"]),
        (&"clock".into(), &true.into())
    );
    assert_eq!(
        (&admin["action"], &admin["actor"]),
        (&"clock_accept".into(), &"operator".into())
    );
}

#[test]
fn a_stamp_that_no_record_can_hold_does_not_freeze_the_clock() {
    let mut world = World::hourly(9);
    let now = world.state.now().0;
    for far in [limits::TIME_US_MAX, limits::TIME_US_MAX + 1, u64::MAX] {
        let t = stamp(&mut world, far);
        assert!(t < now + 10, "{far} is no time");
    }
    world.admit(1, vec![charge(0, 1)]);
}

#[test]
fn nothing_but_genesis_is_applied_before_genesis() {
    let mut world = World::empty();
    let early = vec![
        Command::Seal,
        node_start(1),
        Command::Intent(intent(vec![allow(1, vec![])])),
        Command::GrantRevoke {
            actor: "admin".into(),
            grant: GRANT,
            expected: None,
        },
    ];
    for result in world.run(early) {
        assert_eq!(result, CommandResult::Rejected(Rejection::NoGenesis));
    }
    assert!(world.frames.is_empty());
    stamp(&mut world, 5);
    assert!(world.frames.is_empty(), "no clock record either");
    let results = world.run(vec![
        Command::Genesis(genesis()),
        Command::Genesis(genesis()),
    ]);
    assert_eq!(results[0], CommandResult::Recorded { first: 0, count: 1 });
    assert_eq!(results[1], CommandResult::Rejected(Rejection::Genesis));
    assert_eq!(world.records().len(), 1);
    assert_eq!(world.state.genesis().unwrap().origin, genesis().origin);
}

#[test]
fn a_genesis_whose_record_could_not_hold_it_whole_is_rejected() {
    let with = |change: fn(&mut tollbook_state::command::Genesis)| {
        let mut genesis = genesis();
        change(&mut genesis);
        World::empty().one(Command::Genesis(genesis))
    };
    let too = |what, limit| CommandResult::Rejected(Rejection::TooLarge { what, limit });
    let line = CommandResult::Rejected(Rejection::Line);
    assert_eq!(
        with(|g| g.origin = "x".repeat(256)),
        too("origin", limits::ORIGIN_BYTES)
    );
    assert_eq!(with(|g| g.origin = "a\nb".into()), line);
    assert_eq!(with(|g| g.origin = String::new()), line);
    assert_eq!(
        with(|g| g.log_key = "x".repeat(341)),
        too("text", limits::GENESIS_TEXT_BYTES)
    );
    let many = too("members", limits::GENESIS_MEMBERS);
    assert_eq!(
        with(|g| g.members = (0..33).map(|n| (n, "k".into())).collect()),
        many
    );
    let prior = "o\n1\nAAAA\n";
    let mut world = World::empty();
    let genesis = tollbook_state::command::Genesis {
        prior: Some(prior.into()),
        ..genesis()
    };
    world.one(Command::Genesis(genesis));
    assert_eq!(world.last()["prior"], prior);
}
