//! Admission, in the order of its steps.

use crate::world::{
    DIGEST, GRANT, HOUR, SECOND, SERVER, START, World, allow, call, charge, deny, grant_put,
    intent, limit, policy_put, server_put,
};
use tollbook_state::command::{
    Cause, Charge, Command, GrantId, GrantPut, List, Micros, PolicyDigest, Scope, ServerId,
    ServerPut, Window,
};
use tollbook_state::{
    Bound, CommandResult, Denial, DeniedBy, ElementResult, Rejection, Unauthorised, limits,
};

fn ask(world: &mut World, call: u8, charges: Vec<Charge>) -> CommandResult {
    world.one(Command::Intent(intent(vec![allow(call, charges)])))
}

fn denial(result: CommandResult) -> Denial {
    let CommandResult::Denied(mut elements) = result else {
        panic!("not denied: {result:?}");
    };
    assert_eq!(elements.len(), 1);
    match elements.remove(0) {
        ElementResult::Denied(denial) => denial,
        ElementResult::NotRun(call) => panic!("not run: {call:?}"),
    }
}

#[test]
fn an_admitted_call_says_where_it_is_recorded() {
    let mut world = World::hourly(2);
    let CommandResult::Admitted(calls) = ask(&mut world, 1, vec![charge(0, 2)]) else {
        panic!("admitted");
    };
    let frame = world.frames.last().unwrap();
    assert_eq!(calls[0].frame, frame.hash);
    assert_eq!(calls[0].index, frame.first_index);
    assert_eq!(calls[0].t, world.state.now());
    let record = world.last();
    assert_eq!(record["k"], "intent");
    assert_eq!(record["call"], "01010101-0101-0101-0101-010101010101");
    assert_eq!(record["grant"], "grant0000001");
    assert_eq!(record["label"], "ci-bot");
    assert_eq!(record["owner"], "ann");
    assert_eq!(record["server_name"], "chat");
    assert_eq!(record["verdict"], "allow");
    assert_eq!(record["policy"]["name"], "p");
    assert_eq!(record["policy"]["revision"], 1);
    let held = &record["reservations"][0];
    assert_eq!(
        (
            &held["counter"],
            &held["window"],
            &held["scope"],
            &held["amount"]
        ),
        (&"calls".into(), &"hour".into(), &"grant".into(), &2.into())
    );
    assert_eq!(held["window_start"], START);
    let open = world.state.open_call(&call(1)).unwrap();
    assert_eq!((open.node, open.boot, open.index), (1, 100, calls[0].index));
}

#[test]
fn a_dead_grant_gets_401_and_one_deny_auth_never_an_intent() {
    type Make = fn(&mut World);
    let cases: [(&str, Unauthorised, Make); 3] = [
        ("revoked", Unauthorised::Revoked, |world| {
            world.one(Command::GrantRevoke {
                actor: "admin".into(),
                grant: GRANT,
                expected: None,
            });
        }),
        ("expired", Unauthorised::Expired, |world| {
            let expires = Some(Micros(world.clock + SECOND));
            let put = GrantPut {
                expires,
                expected: 1,
                ..grant_put()
            };
            world.one(Command::GrantPut(put));
            world.wait(SECOND);
        }),
        ("not_yet_valid", Unauthorised::NotYetValid, |world| {
            let not_before = Some(Micros(world.clock + HOUR));
            let put = GrantPut {
                not_before,
                expected: 1,
                ..grant_put()
            };
            world.one(Command::GrantPut(put));
        }),
    ];
    for (reason, why, make) in cases {
        let mut world = World::hourly(9);
        make(&mut world);
        let before = world.records().len();
        // Before its revisions are looked at: these are stale as well.
        assert_eq!(
            ask(&mut world, 1, vec![charge(0, 1)]),
            CommandResult::Unauthorised(why)
        );
        assert_eq!(world.records().len(), before + 1);
        let record = world.last();
        assert_eq!(record["k"], "deny_auth");
        assert_eq!(
            (&record["reason"], &record["count"]),
            (&reason.into(), &1.into())
        );
        assert_eq!(record["grant"], "grant0000001");
        assert_eq!(record["source"], "admission");
        assert_eq!((world.used(), world.state.open_count()), (0, 0));
    }
}

#[test]
fn a_grant_expires_at_the_microsecond() {
    let mut world = World::hourly(9);
    let end = Micros(START + SECOND);
    world.one(Command::GrantPut(GrantPut {
        expires: Some(end),
        expected: 1,
        ..grant_put()
    }));
    let mut intent = intent(vec![allow(1, vec![])]);
    intent.grant_revision = 2;
    world.clock = START + SECOND - 2;
    let result = world.one(Command::Intent(intent.clone()));
    assert!(matches!(result, CommandResult::Admitted(_)), "{result:?}");
    intent.elements[0].call = call(2);
    let result = world.one(Command::Intent(intent));
    assert_eq!(world.state.now(), end);
    assert_eq!(result, CommandResult::Unauthorised(Unauthorised::Expired));
}

#[test]
fn an_unknown_grant_is_not_named_in_the_log() {
    let mut world = World::hourly(9);
    let mut intent = intent(vec![allow(1, vec![])]);
    intent.grant = GrantId(*b"nobody000000");
    let result = world.one(Command::Intent(intent));
    assert_eq!(result, CommandResult::Unauthorised(Unauthorised::Unknown));
    assert!(world.last().get("grant").is_none());
}

#[test]
fn one_revision_that_differs_makes_a_call_stale_without_record_or_charge() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 4] = [
        ("grant", |world| {
            let put = GrantPut {
                label: "other".into(),
                expected: 1,
                ..grant_put()
            };
            world.one(Command::GrantPut(put));
        }),
        ("server", |world| {
            let put = ServerPut {
                name: "other".into(),
                expected: 1,
                ..server_put()
            };
            world.one(Command::ServerPut(put));
        }),
        ("policy", |world| {
            let limits = vec![limit("calls", Window::Hour, Scope::Grant, 9)];
            world.one(Command::PolicyPut(policy_put(
                PolicyDigest([2; 32]),
                limits,
            )));
        }),
        ("grant's policy", |world| {
            let put = GrantPut {
                policy: None,
                expected: 1,
                ..grant_put()
            };
            world.one(Command::GrantPut(put));
        }),
    ];
    for (what, change) in cases {
        let mut world = World::hourly(9);
        change(&mut world);
        let before = world.records().len();
        assert_eq!(
            ask(&mut world, 1, vec![charge(0, 1)]),
            CommandResult::Stale,
            "{what}"
        );
        assert_eq!((world.records().len(), world.used()), (before, 0), "{what}");
        assert_eq!(world.state.gs(&GRANT), 0, "{what}");
    }
}

#[test]
fn a_call_to_a_server_that_the_grant_is_not_for_is_stale() {
    let mut world = World::hourly(9);
    let other = ServerId([8; 16]);
    let put = ServerPut {
        server: other,
        name: "other".into(),
        ..server_put()
    };
    world.one(Command::ServerPut(put));
    let mut intent = intent(vec![allow(1, vec![])]);
    intent.server = other;
    assert_eq!(world.one(Command::Intent(intent)), CommandResult::Stale);
}

#[test]
fn changes_of_other_objects_disturb_no_call() {
    let mut world = World::hourly(9);
    let grant = GrantId(*b"grant0000002");
    world.run(vec![
        Command::ServerPut(ServerPut {
            server: ServerId([8; 16]),
            name: "other".into(),
            ..server_put()
        }),
        Command::PolicyPut({
            let mut put = policy_put(PolicyDigest([2; 32]), vec![]);
            put.name = "q".into();
            put
        }),
        Command::GrantPut(GrantPut {
            grant,
            ..grant_put()
        }),
        Command::GrantRevoke {
            actor: "admin".into(),
            grant,
            expected: None,
        },
    ]);
    world.admit(1, vec![charge(0, 1)]);
}

#[test]
fn the_call_that_would_pass_the_max_is_denied_and_costs_nothing() {
    let mut world = World::hourly(3);
    world.admit(1, vec![charge(0, 2)]);
    let denial = denial(ask(&mut world, 2, vec![charge(0, 2)]));
    assert_eq!(denial.by, DeniedBy::Limit(0));
    assert_eq!(denial.rule, "/tools/post/limits/calls");
    assert_eq!(denial.pointer.as_deref(), Some("/tools/post/limits/0"));
    assert_eq!(denial.reason, Some("limit"));
    assert_eq!(denial.message.as_deref(), Some("calls are spent"));
    assert_eq!(denial.frame, world.frames.last().unwrap().hash);
    let record = world.last();
    assert_eq!(
        (&record["k"], &record["verdict"]),
        (&"intent".into(), &"deny".into())
    );
    assert_eq!(record["rule"], "/tools/post/limits/calls");
    assert_eq!(record["reason"], "limit");
    assert!(record.get("reservations").is_none());
    assert_eq!((world.used(), world.state.open_count()), (2, 1));
    world.admit(3, vec![charge(0, 1)]);
}

#[test]
fn the_first_limit_in_order_denies_and_nothing_is_charged() {
    let rows = vec![
        limit("a", Window::Hour, Scope::Grant, 10),
        limit("b", Window::Day, Scope::Owner, 1),
        limit("c", Window::Month, Scope::Server, 0),
    ];
    let mut world = World::with_limits(rows);
    let charges = |order: [u32; 3]| order.map(|limit| charge(limit, 2)).to_vec();
    assert_eq!(
        denial(ask(&mut world, 1, charges([0, 1, 2]))).by,
        DeniedBy::Limit(1)
    );
    assert_eq!(
        denial(ask(&mut world, 2, charges([0, 2, 1]))).by,
        DeniedBy::Limit(2)
    );
    assert_eq!(world.state.counters().count(), 0);
}

#[test]
fn an_amount_that_cannot_be_charged_fails_in_its_limits_place() {
    let rows = vec![
        limit("a", Window::Hour, Scope::Grant, 1),
        limit("b", Window::Hour, Scope::Grant, limits::AMOUNT_MAX),
    ];
    for amount in [None, Some(limits::AMOUNT_MAX + 1), Some(u64::MAX)] {
        let mut world = World::with_limits(rows.clone());
        let unreadable = Charge { limit: 1, amount };
        let found = denial(ask(&mut world, 1, vec![charge(0, 1), unreadable]));
        assert_eq!(
            (found.by, found.reason),
            (DeniedBy::Limit(1), Some("amount"))
        );
        // The limit before it denies first.
        let found = denial(ask(&mut world, 2, vec![charge(0, 2), unreadable]));
        assert_eq!(
            (found.by, found.reason),
            (DeniedBy::Limit(0), Some("limit"))
        );
        assert_eq!(world.used(), 0);
    }
}

#[test]
fn the_largest_amounts_do_not_overflow_a_counter() {
    let row = limit("a", Window::Hour, Scope::Grant, limits::AMOUNT_MAX);
    let mut world = World::with_limits(vec![row]);
    world.admit(1, vec![charge(0, limits::AMOUNT_MAX)]);
    assert_eq!(
        denial(ask(&mut world, 2, vec![charge(0, 1)])).reason,
        Some("limit")
    );
    let most = denial(ask(&mut world, 3, vec![charge(0, limits::AMOUNT_MAX)]));
    assert_eq!(most.reason, Some("limit"));
    assert_eq!(world.used(), limits::AMOUNT_MAX);
}

#[test]
fn a_counter_charged_twice_by_one_call_counts_both() {
    let mut world = World::hourly(3);
    let twice = vec![charge(0, 2), charge(0, 2)];
    assert_eq!(denial(ask(&mut world, 1, twice)).reason, Some("limit"));
    world.admit(2, vec![charge(0, 1), charge(0, 2)]);
    assert_eq!(world.used(), 3);
}

#[test]
fn scopes_share_a_counter_with_exactly_those_they_name() {
    // Two grants of one owner, one of another, one without, and one whose owner is spelt like it.
    let id = |n: u8| {
        GrantId([
            b"grant000000"[0],
            b'0' + n,
            b'x',
            b'x',
            b'x',
            b'x',
            b'x',
            b'x',
            b'x',
            b'x',
            b'x',
            b'x',
        ])
    };
    let text = |n: u8| String::from_utf8(id(n).0.to_vec()).unwrap();
    let owners = [
        Some("ann".into()),
        Some("ann".into()),
        Some("bob".into()),
        None,
        Some(text(3)),
    ];
    let scopes = [
        (Scope::Grant, [true, true, true, true, true]),
        (Scope::Owner, [true, false, true, true, true]),
        (Scope::Policy, [true, false, false, false, false]),
        (Scope::Server, [true, false, false, false, false]),
    ];
    for (scope, admitted) in scopes {
        let mut world = World::with_limits(vec![limit("n", Window::Day, scope, 1)]);
        for (n, owner) in (0..).zip(owners.clone()) {
            let put = GrantPut {
                grant: id(n),
                label: format!("agent {n}"),
                owner,
                ..grant_put()
            };
            world.one(Command::GrantPut(put));
        }
        for (n, admitted) in (0..).zip(admitted) {
            let mut intent = intent(vec![allow(n, vec![charge(0, 1)])]);
            intent.grant = id(n);
            let result = world.one(Command::Intent(intent));
            let was = matches!(result, CommandResult::Admitted(_));
            assert_eq!(was, admitted, "{scope:?} {n}: {result:?}");
        }
    }
}

#[test]
fn a_new_window_begins_at_zero_and_an_edit_resets_nothing() {
    let mut world = World::hourly(1);
    world.admit(1, vec![charge(0, 1)]);
    let rows = vec![
        limit("other", Window::Day, Scope::Grant, 5),
        limit("calls", Window::Hour, Scope::Grant, 1),
    ];
    world.one(Command::PolicyPut(policy_put(PolicyDigest([2; 32]), rows)));
    let mut again = intent(vec![allow(2, vec![charge(1, 1)])]);
    again.policy = Some(PolicyDigest([2; 32]));
    assert_eq!(
        denial(world.one(Command::Intent(again.clone()))).reason,
        Some("limit")
    );
    world.clock = START + HOUR - 2;
    assert_eq!(
        denial(world.one(Command::Intent(again.clone()))).reason,
        Some("limit")
    );
    let result = world.one(Command::Intent(again));
    assert_eq!(world.state.now(), Micros(START + HOUR));
    assert!(matches!(result, CommandResult::Admitted(_)), "{result:?}");
}

#[test]
fn a_lowered_max_denies_even_what_costs_nothing() {
    let mut world = World::hourly(5);
    world.admit(1, vec![charge(0, 5)]);
    let rows = vec![limit("calls", Window::Hour, Scope::Grant, 4)];
    world.one(Command::PolicyPut(policy_put(PolicyDigest([2; 32]), rows)));
    let mut free = intent(vec![allow(2, vec![charge(0, 0)])]);
    free.policy = Some(PolicyDigest([2; 32]));
    assert_eq!(
        denial(world.one(Command::Intent(free))).reason,
        Some("limit")
    );
}

#[test]
fn a_policys_own_denial_is_recorded_in_its_words() {
    let cases = [
        (Cause::Default, "/default", Some("/default"), None, None),
        (Cause::Hidden, "/hide/post", Some("/hide"), None, None),
        (
            Cause::Method { listed: true },
            "/methods/deny",
            Some("/methods/deny"),
            None,
            None,
        ),
        (
            Cause::Method { listed: false },
            "/default",
            Some("/default"),
            None,
            None,
        ),
        (
            Cause::Rule {
                rule: 0,
                indeterminate: false,
            },
            "/tools/post/require/args.channel-in",
            Some("/tools/post/require/0/conditions/0"),
            None,
            Some("only bot channels"),
        ),
        (
            Cause::Rule {
                rule: 0,
                indeterminate: true,
            },
            "/tools/post/require/args.channel-in",
            Some("/tools/post/require/0/conditions/0"),
            Some("indeterminate"),
            Some("only bot channels"),
        ),
    ];
    for (cause, rule, pointer, reason, message) in cases {
        let mut world = World::hourly(9);
        let found = denial(world.one(Command::Intent(intent(vec![deny(1, cause)]))));
        assert_eq!(found.by, DeniedBy::Policy(cause));
        assert_eq!(
            (found.rule.as_str(), found.pointer.as_deref()),
            (rule, pointer)
        );
        assert_eq!((found.reason, found.message.as_deref()), (reason, message));
        let record = world.last();
        assert_eq!(
            (&record["verdict"], &record["rule"]),
            (&"deny".into(), &rule.into())
        );
        assert_eq!(record["pointer"].as_str(), pointer);
        assert_eq!(record["reason"].as_str(), reason);
        assert_eq!(record["message"].as_str(), message);
        assert_eq!(world.state.open_count(), 0, "a denial has no outcome");
    }
}

#[test]
fn a_grant_without_policy_is_denied_whatever_its_node_says() {
    let mut world = World::hourly(9);
    world.one(Command::GrantPut(GrantPut {
        policy: None,
        expected: 1,
        ..grant_put()
    }));
    let ask = |element| {
        let mut intent = intent(vec![element]);
        (intent.grant_revision, intent.policy) = (2, None);
        Command::Intent(intent)
    };
    let found = denial(world.one(ask(deny(1, Cause::NoPolicy))));
    assert_eq!(
        (found.rule.as_str(), found.reason),
        ("/default", Some("no_policy"))
    );
    assert_eq!(found.pointer, None);
    assert!(world.last().get("policy").is_none());
    let rejected = CommandResult::Rejected(Rejection::Decision);
    assert_eq!(world.one(ask(allow(2, vec![]))), rejected);
    assert_eq!(world.one(ask(deny(3, Cause::Default))), rejected);
}

#[test]
fn rows_that_the_tables_do_not_have_are_rejected() {
    let mut world = World::hourly(9);
    let before = world.records().len();
    let row = Rejection::Row { row: 1 };
    let beyond = Cause::Rule {
        rule: 1,
        indeterminate: false,
    };
    let elements = [deny(1, beyond), allow(1, vec![charge(1, 1)])];
    for element in elements {
        let result = world.one(Command::Intent(intent(vec![element])));
        assert_eq!(result, CommandResult::Rejected(row));
    }
    assert_eq!((world.records().len(), world.used()), (before, 0));
}

#[test]
fn call_ids_are_unique_among_open_and_settled_calls() {
    let mut world = World::hourly(9);
    world.admit(1, vec![]);
    let rejected = CommandResult::Rejected(Rejection::DuplicateCall);
    assert_eq!(ask(&mut world, 1, vec![charge(0, 1)]), rejected);
    let twice = intent(vec![allow(2, vec![]), allow(2, vec![])]);
    assert_eq!(world.one(Command::Intent(twice)), rejected);
    world.one(Command::Settle {
        before: Micros(u64::MAX),
    });
    assert_eq!(ask(&mut world, 1, vec![]), rejected);
    assert_eq!(world.used(), 0);
}

#[test]
fn a_batch_with_a_denial_runs_nothing_and_costs_nothing() {
    let mut world = World::hourly(9);
    let elements = vec![
        allow(1, vec![charge(0, 4)]),
        deny(2, Cause::Default),
        allow(3, vec![charge(0, 9)]),
        allow(4, vec![charge(0, 5)]),
    ];
    let before = world.records().len();
    let CommandResult::Denied(results) = world.one(Command::Intent(intent(elements))) else {
        panic!("denied");
    };
    let told: Vec<_> = results
        .iter()
        .map(|result| match result {
            ElementResult::Denied(denial) => (denial.call, Some(denial.by)),
            ElementResult::NotRun(call) => (*call, None),
        })
        .collect();
    // The third is judged on top of the first: together they would pass the max.
    assert_eq!(
        told,
        [
            (call(1), None),
            (call(2), Some(DeniedBy::Policy(Cause::Default))),
            (call(3), Some(DeniedBy::Limit(0))),
            (call(4), None),
        ]
    );
    assert_eq!(
        world.records().len(),
        before + 2,
        "only the denied ones are recorded"
    );
    assert_eq!((world.used(), world.state.open_count()), (0, 0));
}

#[test]
fn a_batch_reserves_for_all_its_elements_together() {
    let mut world = World::hourly(3);
    let pair = |a, b| {
        intent(vec![
            allow(a, vec![charge(0, 2)]),
            allow(b, vec![charge(0, 1)]),
        ])
    };
    let CommandResult::Admitted(calls) = world.one(Command::Intent(pair(1, 2))) else {
        panic!("admitted");
    };
    assert_eq!(
        calls
            .iter()
            .map(|admitted| admitted.call)
            .collect::<Vec<_>>(),
        [call(1), call(2)]
    );
    assert_eq!(calls[1].index, calls[0].index + 1);
    assert_eq!(world.used(), 3);
}

#[test]
fn open_calls_of_a_grant_have_a_bound() {
    let mut world = World::hourly(9);
    let full = limits::OPEN_PER_GRANT;
    let id = |n: usize| {
        let mut element = allow(0, vec![]);
        element.call.0[..2].copy_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
        element
    };
    let batch = limits::ELEMENTS;
    for from in (0..full - batch + 1).step_by(batch) {
        let elements = (from..(from + batch).min(full - 1)).map(id).collect();
        let result = world.one(Command::Intent(intent(elements)));
        assert!(matches!(result, CommandResult::Admitted(_)), "{result:?}");
    }
    assert_eq!(world.state.open_count_of(&GRANT), full - 1);
    let before = world.records().len();
    let mut charged = id(full);
    charged.decision = tollbook_state::command::Decision::Allow {
        charges: vec![charge(0, 1)],
    };
    let two = intent(vec![charged, id(full + 1)]);
    assert_eq!(
        world.one(Command::Intent(two)),
        CommandResult::Full(Bound::OpenPerGrant)
    );
    assert_eq!((world.records().len(), world.used()), (before, 0));
    let last = world.one(Command::Intent(intent(vec![id(full)])));
    assert!(matches!(last, CommandResult::Admitted(_)));
    // A denial opens nothing, so it passes.
    let denied = world.one(Command::Intent(intent(vec![deny(200, Cause::Default)])));
    assert!(matches!(denied, CommandResult::Denied(_)), "{denied:?}");
}

#[test]
fn an_intent_of_nothing_or_of_too_much_is_rejected() {
    let mut world = World::hourly(9);
    let reject = |world: &mut World, elements| world.one(Command::Intent(intent(elements)));
    let empty = CommandResult::Rejected(Rejection::Empty);
    assert_eq!(reject(&mut world, vec![]), empty);
    let too = |what, limit| CommandResult::Rejected(Rejection::TooLarge { what, limit });
    let many = (0..=limits::ELEMENTS)
        .map(|n| allow(u8::try_from(n).unwrap(), vec![]))
        .collect();
    assert_eq!(reject(&mut world, many), too("elements", limits::ELEMENTS));
    let charges = vec![charge(0, 0); limits::CHARGES + 1];
    assert_eq!(
        reject(&mut world, vec![allow(1, charges)]),
        too("charges", limits::CHARGES)
    );
}

#[test]
fn argument_keys_beyond_the_limits_are_counted() {
    let mut world = World::hourly(9);
    let mut element = allow(1, vec![]);
    element.argument_keys = (0..70).map(|n| format!("key{n}")).collect();
    element.argument_keys[0] = "x".repeat(65);
    element.argument_keys_more = 5;
    world.one(Command::Intent(intent(vec![element])));
    let record = world.last();
    let keys = record["argument_keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]), (64, &"key1".into()));
    assert_eq!(record["argument_keys_more"], 11);
}

#[test]
fn a_list_passes_the_same_gates_and_is_counted_by_the_grant() {
    let mut world = World::hourly(9);
    let list = List {
        grant: GRANT,
        grant_revision: 1,
        server: SERVER,
        server_revision: 1,
        policy: Some(DIGEST),
        offered: 5,
        shown: 2,
        offered_hash: [1; 32],
        shown_hash: [2; 32],
    };
    let result = world.one(Command::List(list.clone()));
    assert!(matches!(result, CommandResult::Recorded { count: 1, .. }));
    let record = world.last();
    assert_eq!((&record["k"], &record["gs"]), (&"list".into(), &1.into()));
    assert_eq!(
        (&record["offered"], &record["shown"]),
        (&5.into(), &2.into())
    );
    let mut stale = list.clone();
    stale.policy = None;
    assert_eq!(world.one(Command::List(stale)), CommandResult::Stale);
    world.one(Command::GrantRevoke {
        actor: "admin".into(),
        grant: GRANT,
        expected: None,
    });
    let result = world.one(Command::List(list));
    assert_eq!(result, CommandResult::Unauthorised(Unauthorised::Revoked));
}
