//! How calls end: one story for each way.

use crate::world::{
    HOUR, RECORDED, SECOND, World, allow, call, charge, intent, node_start, outcome,
};
use tollbook_state::command::{Command, Micros, Status};
use tollbook_state::{CommandResult, limits};

#[test]
fn an_outcome_keeps_the_quota_whatever_the_upstream_said() {
    let kept = [
        (Status::Ok, "ok"),
        (Status::ToolError, "tool_error"),
        (Status::RpcError, "rpc_error"),
        (Status::Timeout, "timeout"),
        (Status::Cancelled, "cancelled"),
        (Status::Detached, "detached"),
        (Status::Unknown, "unknown"),
        (Status::UpstreamDown, "upstream_down"),
    ];
    for (status, text) in kept {
        let mut world = World::hourly(1);
        let call = world.admit(1, vec![charge(0, 1)]);
        // The proposer's word alone gives nothing back: but for a connection that failed the
        // status must allow it too.
        let never_reached = status != Status::UpstreamDown;
        assert!(RECORDED(&world.one(outcome(call, status, never_reached))));
        assert_eq!(world.used(), 1, "{text}");
        assert_eq!(world.last()["status"], text);
        assert!(world.last().get("refunds").is_none());
        assert_eq!(world.state.open_count(), 0);
    }
}

#[test]
fn what_never_reached_the_upstream_gives_its_reservation_back() {
    for status in [Status::NotSent, Status::UpstreamDown] {
        let mut world = World::hourly(5);
        let call = world.admit(1, vec![charge(0, 5)]);
        assert_eq!(world.used(), 5);
        assert!(RECORDED(&world.one(outcome(call, status, true))));
        assert_eq!(world.used(), 0);
        let refund = &world.last()["refunds"][0];
        assert_eq!(refund["amount"], 5);
        assert_eq!(refund["window_start"], 1_795_514_400_000_000_u64);
        world.admit(2, vec![charge(0, 5)]);
    }
}

#[test]
fn not_sent_without_proof_keeps_the_quota() {
    let mut world = World::hourly(1);
    let call = world.admit(1, vec![charge(0, 1)]);
    world.one(outcome(call, Status::NotSent, false));
    assert_eq!(world.used(), 1);
}

#[test]
fn a_refund_goes_to_the_window_that_was_charged() {
    let mut world = World::hourly(3);
    let early = world.admit(1, vec![charge(0, 2)]);
    world.wait(HOUR);
    world.admit(2, vec![charge(0, 3)]);
    world.one(outcome(early, Status::NotSent, true));
    let used: Vec<u64> = world.state.counters().map(|(_, used)| used).collect();
    assert_eq!(used, [0, 3]);
}

#[test]
fn a_refund_to_a_window_long_past_finds_nothing_and_breaks_nothing() {
    let mut world = World::hourly(3);
    let early = world.admit(1, vec![charge(0, 2)]);
    world.wait(3 * HOUR);
    world.admit(2, vec![charge(0, 1)]);
    assert_eq!(
        world.state.counters().count(),
        1,
        "the old counter is pruned"
    );
    assert!(RECORDED(&world.one(outcome(early, Status::NotSent, true))));
    assert!(world.last().get("refunds").is_none());
    assert_eq!(world.used(), 1);
}

#[test]
fn a_call_has_one_outcome() {
    let mut world = World::hourly(9);
    let call = world.admit(1, vec![charge(0, 1)]);
    assert!(RECORDED(&world.one(outcome(call, Status::Ok, false))));
    assert_eq!(
        world.one(outcome(call, Status::Ok, false)),
        CommandResult::NotOpen
    );
    assert_eq!(
        world.one(outcome(call, Status::NotSent, true)),
        CommandResult::NotOpen
    );
    assert_eq!(world.used(), 1);
    assert_eq!(world.of_kind("outcome").len(), 1);
}

#[test]
fn an_outcome_of_a_call_nobody_admitted_is_refused() {
    let mut world = World::hourly(9);
    let before = world.records().len();
    assert_eq!(
        world.one(outcome(call(9), Status::Ok, false)),
        CommandResult::NotOpen
    );
    assert_eq!(world.records().len(), before);
}

#[test]
fn a_settled_call_takes_one_late_outcome_that_refunds_nothing() {
    let mut world = World::hourly(1);
    let call = world.admit(1, vec![charge(0, 1)]);
    world.wait(330 * SECOND);
    let before = Micros(world.clock);
    let settled = CommandResult::Settled {
        closed: 1,
        more: false,
    };
    assert_eq!(world.one(Command::Settle { before }), settled);
    let record = world.last();
    assert_eq!(
        (&record["status"], &record["cause"]),
        (&"unknown".into(), &"settle".into())
    );
    assert!(record["duration_us"].as_u64().unwrap() > 330 * SECOND - 10);

    assert!(RECORDED(&world.one(outcome(call, Status::NotSent, true))));
    let late = world.last();
    assert_eq!(
        (&late["status"], &late["late"]),
        (&"not_sent".into(), &true.into())
    );
    assert!(late.get("refunds").is_none());
    assert_eq!(world.used(), 1);
    assert_eq!(
        world.one(outcome(call, Status::Ok, false)),
        CommandResult::NotOpen
    );
}

#[test]
fn unknown_after_unknown_says_nothing() {
    let mut world = World::hourly(1);
    let call = world.admit(1, vec![]);
    world.one(outcome(call, Status::Unknown, false));
    assert_eq!(
        world.one(outcome(call, Status::Unknown, false)),
        CommandResult::NotOpen
    );
    assert!(RECORDED(&world.one(outcome(call, Status::Ok, false))));
    assert_eq!(world.last()["late"], true);
}

#[test]
fn settling_spares_what_was_admitted_at_its_edge() {
    let mut world = World::hourly(9);
    let old = world.admit(1, vec![]);
    let new = world.admit(2, vec![]);
    let before = world.state.now();
    let settled = CommandResult::Settled {
        closed: 1,
        more: false,
    };
    assert_eq!(world.one(Command::Settle { before }), settled);
    assert!(world.state.open_call(&old).is_none());
    assert!(world.state.open_call(&new).is_some());
}

#[test]
fn settling_goes_oldest_first_and_says_when_more_wait() {
    let mut world = World::hourly(9);
    let wide = limits::SETTLE_CALLS / 100 + 1;
    for round in 0..wide {
        let elements = (0..100)
            .map(|at| {
                let mut element = allow(0, vec![]);
                // Ids fall while time rises, so that order by id would be the wrong order.
                let id = u16::try_from(60_000 - (round * 100 + at)).unwrap();
                element.call.0[..2].copy_from_slice(&id.to_be_bytes());
                element
            })
            .collect();
        let result = world.one(Command::Intent(intent(elements)));
        assert!(matches!(result, CommandResult::Admitted(_)), "{result:?}");
    }
    let before = Micros(world.clock + 1);
    let first = CommandResult::Settled {
        closed: 1024,
        more: true,
    };
    assert_eq!(world.one(Command::Settle { before }), first);
    let calls: Vec<String> = world
        .of_kind("outcome")
        .iter()
        .map(|r| r["call"].as_str().unwrap().into())
        .collect();
    let intents: Vec<String> = world
        .of_kind("intent")
        .iter()
        .map(|r| r["call"].as_str().unwrap().into())
        .collect();
    assert_eq!(calls, intents[..1024]);
    let rest = CommandResult::Settled {
        closed: 76,
        more: false,
    };
    assert_eq!(world.one(Command::Settle { before }), rest);
}

#[test]
fn a_node_that_starts_again_closes_what_its_earlier_boots_left_open() {
    let mut world = World::hourly(9);
    let left = world.admit(1, vec![charge(0, 1)]);
    world.node = 2;
    let others = world.admit(2, vec![charge(0, 1)]);
    world.node = 1;
    world.boot = 101;
    let result = world.one(node_start(1));
    assert!(matches!(result, CommandResult::Recorded { count: 2, .. }));
    assert!(world.state.open_call(&left).is_none());
    assert!(world.state.open_call(&others).is_some());
    let end = world.last();
    assert_eq!(
        (&end["status"], &end["cause"]),
        (&"unknown".into(), &"node_start".into())
    );
    assert_eq!(world.of_kind("node")[0]["event"], "start");
    assert_eq!(world.used(), 2, "unknown keeps its quota");

    let mine = world.admit(3, vec![]);
    world.one(node_start(1));
    assert!(
        world.state.open_call(&mine).is_some(),
        "this boot's own calls go on"
    );
}

#[test]
fn a_node_that_stops_closes_the_rest_as_unknown() {
    let mut world = World::hourly(9);
    world.admit(1, vec![]);
    let result = world.one(Command::NodeStop {
        software: "tollbook 0.1.0".into(),
    });
    assert!(matches!(result, CommandResult::Recorded { count: 2, .. }));
    let records = world.records();
    let [.., end, stop] = records.as_slice() else {
        panic!("two records")
    };
    assert_eq!(
        (&end["status"], &end["cause"]),
        (&"unknown".into(), &"shutdown".into())
    );
    assert_eq!(
        (&stop["k"], &stop["event"]),
        (&"node".into(), &"stop".into())
    );
}

#[test]
fn a_revoked_grants_call_still_gets_its_outcome() {
    let mut world = World::hourly(9);
    let call = world.admit(1, vec![]);
    world.one(Command::GrantRevoke {
        actor: "admin".into(),
        grant: crate::world::GRANT,
        expected: None,
    });
    assert!(RECORDED(&world.one(outcome(call, Status::Ok, false))));
}

#[test]
fn the_grants_own_counter_has_no_gap() {
    let mut world = World::hourly(2);
    let first = world.admit(1, vec![charge(0, 1)]);
    world.admit(2, vec![charge(0, 1)]);
    world.one(Command::Intent(intent(vec![allow(3, vec![charge(0, 1)])])));
    world.one(outcome(first, Status::Ok, false));
    world.one(Command::Settle {
        before: Micros(world.clock),
    });
    let gs: Vec<u64> = world
        .records()
        .iter()
        .filter_map(|record| record["gs"].as_u64())
        .collect();
    assert_eq!(gs, [1, 2, 3, 4, 5]);
}

#[test]
fn two_commands_of_one_entry_see_each_other() {
    let mut world = World::hourly(1);
    let results = world.run(vec![
        Command::Intent(intent(vec![allow(1, vec![charge(0, 1)])])),
        Command::Intent(intent(vec![allow(2, vec![charge(0, 1)])])),
        outcome(call(1), Status::NotSent, true),
        Command::Intent(intent(vec![allow(3, vec![charge(0, 1)])])),
    ]);
    assert!(matches!(results[0], CommandResult::Admitted(_)));
    assert!(matches!(results[1], CommandResult::Denied(_)));
    assert!(RECORDED(&results[2]));
    assert!(matches!(results[3], CommandResult::Admitted(_)));
}
