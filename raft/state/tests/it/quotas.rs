//! Quotas over time: windows roll one by one, at their edges, and never back.

use crate::world::{
    DIGEST, HOUR, SECOND, START, World, allow, charge, grant_put, intent, limit, policy_put,
};
use tollbook_state::command::{
    Charge, Command, GrantPut, Micros, PolicyDigest, Scope, TokenHash, Window,
};
use tollbook_state::{CommandResult, DeniedBy, ElementResult};

const DAY: u64 = 24 * HOUR;
/// 2026-12-01T00:00:00Z, six days and fourteen hours after the start.
const DECEMBER: u64 = START + 14 * HOUR + 6 * DAY;

fn ask(world: &mut World, call: u8, charges: Vec<Charge>) -> CommandResult {
    world.one(Command::Intent(intent(vec![allow(call, charges)])))
}

#[track_caller]
fn denied_by(result: CommandResult) -> DeniedBy {
    let CommandResult::Denied(mut elements) = result else {
        panic!("not denied: {result:?}");
    };
    match elements.remove(0) {
        ElementResult::Denied(denial) => denial.by,
        ElementResult::NotRun(call) => panic!("not run: {call:?}"),
    }
}

/// The next entry is stamped with that time.
fn set_clock(world: &mut World, t: u64) {
    world.clock = t - 1;
}

#[test]
fn each_window_ends_at_its_edge_and_not_a_microsecond_before() {
    for (window, edge) in [
        (Window::Minute, START + 60 * SECOND),
        (Window::Hour, START + HOUR),
        (Window::Day, START + 14 * HOUR),
        (Window::Month, DECEMBER),
    ] {
        let mut world = World::with_limits(vec![limit("n", window, Scope::Grant, 1)]);
        world.admit(1, vec![charge(0, 1)]);
        set_clock(&mut world, edge - 1);
        let last = ask(&mut world, 2, vec![charge(0, 1)]);
        assert_eq!(world.state.now(), Micros(edge - 1));
        assert_eq!(denied_by(last), DeniedBy::Limit(0), "{window:?}");
        world.admit(3, vec![charge(0, 1)]);
        assert_eq!(world.state.now(), Micros(edge), "{window:?}");
        let next = ask(&mut world, 4, vec![charge(0, 1)]);
        assert_eq!(denied_by(next), DeniedBy::Limit(0), "{window:?}");
    }
}

#[test]
fn a_month_is_as_long_as_the_calendar_says_leap_years_too() {
    // December 2026 to March 2029.
    let year = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut leap_year = year;
    leap_year[1] = 29;
    let months = [&[31][..], &year, &leap_year, &[31, 28, 31]].concat();
    let mut world = World::with_limits(vec![limit("n", Window::Month, Scope::Owner, 1)]);
    let mut edge = DECEMBER;
    for (call, days) in (0..).zip(months) {
        set_clock(&mut world, edge);
        world.admit(call, vec![charge(0, 1)]);
        edge += days * DAY;
        set_clock(&mut world, edge - 1);
        let last = ask(&mut world, 100 + call, vec![charge(0, 1)]);
        assert_eq!(denied_by(last), DeniedBy::Limit(0), "{days}");
    }
}

#[test]
fn a_stamp_from_before_the_edge_counts_in_the_window_after_it() {
    let mut world = World::hourly(1);
    world.admit(1, vec![charge(0, 1)]);
    set_clock(&mut world, START + HOUR);
    world.admit(2, vec![charge(0, 1)]);
    // A leader whose clock is behind: neither the old window's room nor a fresh one.
    set_clock(&mut world, START + HOUR - 10 * SECOND);
    let back = ask(&mut world, 3, vec![charge(0, 1)]);
    assert_eq!(denied_by(back), DeniedBy::Limit(0));
    assert_eq!(world.state.now(), Micros(START + HOUR + 1));
}

#[test]
fn one_counter_in_two_windows_is_two_that_both_hold() {
    let rows = vec![
        limit("n", Window::Minute, Scope::Grant, 1),
        limit("n", Window::Month, Scope::Grant, 2),
    ];
    let mut world = World::with_limits(rows);
    let both = || vec![charge(0, 1), charge(1, 1)];
    world.admit(1, both());
    assert_eq!(denied_by(ask(&mut world, 2, both())), DeniedBy::Limit(0));
    world.wait(60 * SECOND);
    world.admit(3, both());
    world.wait(60 * SECOND);
    assert_eq!(denied_by(ask(&mut world, 4, both())), DeniedBy::Limit(1));
    // The minute had room, but nothing was charged to it.
    world.admit(5, vec![charge(0, 1)]);
    set_clock(&mut world, DECEMBER);
    world.admit(6, both());
}

#[test]
fn a_new_token_and_a_new_policy_of_that_name_reset_nothing() {
    let mut world = World::hourly(1);
    world.admit(1, vec![charge(0, 1)]);
    let rotated = GrantPut {
        token: TokenHash([8; 32]),
        label: "renamed".into(),
        expected: 1,
        ..grant_put()
    };
    world.one(Command::GrantPut(rotated));
    let mut again = intent(vec![allow(2, vec![charge(0, 1)])]);
    again.grant_revision = 2;
    let result = world.one(Command::Intent(again.clone()));
    assert_eq!(denied_by(result), DeniedBy::Limit(0));
    let rows = vec![limit("calls", Window::Hour, Scope::Grant, 1)];
    world.one(Command::PolicyPut(policy_put(PolicyDigest([2; 32]), rows)));
    assert_ne!(DIGEST, PolicyDigest([2; 32]));
    again.policy = Some(PolicyDigest([2; 32]));
    let result = world.one(Command::Intent(again));
    assert_eq!(denied_by(result), DeniedBy::Limit(0));
}
