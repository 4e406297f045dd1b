//! Servers, policies, grants, and counted refusals.

use crate::world::{
    DIGEST, GRANT, SERVER, World, allow, grant_put, intent, limit, policy_put, server_put,
};
use tollbook_state::command::{
    Command, GrantId, GrantPut, Micros, PolicyDigest, Refused, Scope, ServerId, ServerPut, Window,
};
use tollbook_state::{CommandResult, Rejection, limits};

const fn put(revision: u64, changed: bool) -> CommandResult {
    CommandResult::Put { revision, changed }
}

fn remove(server: ServerId) -> Command {
    Command::ServerRemove {
        actor: "admin".into(),
        server,
        expected: None,
    }
}

fn revoke(grant: GrantId) -> Command {
    Command::GrantRevoke {
        actor: "admin".into(),
        grant,
        expected: None,
    }
}

#[test]
fn a_change_made_on_an_old_revision_conflicts() {
    let mut world = World::hourly(9);
    let conflict = CommandResult::Conflict { revision: 1 };
    assert_eq!(world.one(Command::ServerPut(server_put())), conflict);
    assert_eq!(world.one(Command::GrantPut(grant_put())), conflict);
    let fresh = ServerPut {
        server: ServerId([8; 16]),
        expected: 3,
        ..server_put()
    };
    let none = CommandResult::Conflict { revision: 0 };
    assert_eq!(world.one(Command::ServerPut(fresh)), none);
    let renamed = ServerPut {
        name: "talk".into(),
        expected: 1,
        ..server_put()
    };
    assert_eq!(world.one(Command::ServerPut(renamed)), put(2, true));
    assert!(world.state.server_by_name("chat").is_none());
    assert_eq!(world.state.server_by_name("talk").unwrap().id, SERVER);
}

#[test]
fn what_changes_nothing_is_not_recorded() {
    let mut world = World::hourly(9);
    let before = world.records().len();
    let same = ServerPut {
        expected: 1,
        ..server_put()
    };
    assert_eq!(world.one(Command::ServerPut(same)), put(1, false));
    let same = GrantPut {
        expected: 1,
        ..grant_put()
    };
    assert_eq!(world.one(Command::GrantPut(same)), put(1, false));
    assert_eq!(
        world.one(Command::PolicyPut(policy_put(DIGEST, vec![]))),
        put(1, false)
    );
    assert_eq!(world.records().len(), before);
    assert_eq!(
        world.state.policy("p").unwrap().limits.len(),
        1,
        "the first one's tables"
    );
}

#[test]
fn each_change_is_recorded_with_actor_and_digests_that_chain() {
    let mut world = World::hourly(9);
    world.one(Command::GrantPut(GrantPut {
        label: "b".into(),
        expected: 1,
        ..grant_put()
    }));
    world.one(revoke(GRANT));
    let admin = world.of_kind("admin");
    let grants: Vec<_> = admin
        .iter()
        .filter(|record| record["target"] == "grant0000001")
        .collect();
    let [made, changed, revoked] = grants.as_slice() else {
        panic!("three changes")
    };
    assert_eq!(made["actor"], "admin");
    assert!(made.get("before").is_none());
    assert_eq!(made["after"], changed["before"]);
    assert_eq!(changed["after"], revoked["before"]);
    assert_ne!(revoked["before"], revoked["after"]);
    assert_eq!(
        (&revoked["action"], &revoked["revision"]),
        (&"grant_revoke".into(), &3.into())
    );
    assert_eq!(
        (&changed["action"], &changed["name"]),
        (&"grant_put".into(), &"b".into())
    );
    let actions: Vec<&str> = admin
        .iter()
        .map(|r| r["action"].as_str().unwrap())
        .collect();
    let all = [
        "server_put",
        "policy_put",
        "grant_put",
        "grant_put",
        "grant_revoke",
    ];
    assert_eq!(actions, all);
}

#[test]
fn revocation_is_final_and_safe_to_repeat() {
    let mut world = World::hourly(9);
    assert_eq!(world.one(revoke(GRANT)), put(2, true));
    let at = world.state.grant(&GRANT).unwrap().revoked_at;
    assert_eq!(at, Some(Micros(world.clock)));
    assert_eq!(world.one(revoke(GRANT)), put(2, false));
    assert_eq!(world.state.grant(&GRANT).unwrap().revoked_at, at);
    let revive = GrantPut {
        expected: 2,
        ..grant_put()
    };
    let conflict = CommandResult::Conflict { revision: 2 };
    assert_eq!(world.one(Command::GrantPut(revive)), conflict);
    assert_eq!(
        world.one(revoke(GrantId(*b"nobody000000"))),
        CommandResult::NotFound
    );
}

#[test]
fn a_grant_points_at_what_is_there() {
    let mut world = World::hourly(9);
    let grant = GrantId(*b"grant0000002");
    let nowhere = GrantPut {
        grant,
        server: ServerId([8; 16]),
        ..grant_put()
    };
    assert_eq!(
        world.one(Command::GrantPut(nowhere)),
        CommandResult::NotFound
    );
    let unruled = GrantPut {
        grant,
        policy: Some("q".into()),
        ..grant_put()
    };
    assert_eq!(
        world.one(Command::GrantPut(unruled)),
        CommandResult::NotFound
    );
    let denied = GrantPut {
        grant,
        label: "bare".into(),
        policy: None,
        ..grant_put()
    };
    assert_eq!(world.one(Command::GrantPut(denied)), put(1, true));
}

#[test]
fn a_server_in_use_is_not_removed() {
    let mut world = World::hourly(9);
    let second = GrantId(*b"grant0000002");
    world.one(Command::GrantPut(GrantPut {
        grant: second,
        label: "second".into(),
        ..grant_put()
    }));
    let used = CommandResult::InUse {
        grant: GRANT,
        count: 2,
    };
    assert_eq!(world.one(remove(SERVER)), used);
    world.run(vec![revoke(GRANT), revoke(second)]);
    assert_eq!(world.one(remove(SERVER)), put(1, true));
    assert!(world.state.server(&SERVER).is_none());
    assert!(world.state.server_by_name("chat").is_none());
    assert!(world.last().get("after").is_none());
    assert_eq!(world.one(remove(SERVER)), CommandResult::NotFound);
    assert_eq!(world.one(Command::ServerPut(server_put())), put(1, true));
}

#[test]
fn no_two_servers_share_a_name() {
    let mut world = World::hourly(9);
    let other = ServerPut {
        server: ServerId([8; 16]),
        ..server_put()
    };
    let taken = CommandResult::NameTaken { server: SERVER };
    assert_eq!(world.one(Command::ServerPut(other)), taken);
}

#[test]
fn a_policy_remembers_its_former_revisions_up_to_a_bound() {
    let mut world = World::hourly(9);
    let digest = |n: u8| PolicyDigest([n; 32]);
    for n in 2..=80 {
        let result = world.one(Command::PolicyPut(policy_put(digest(n), vec![])));
        assert_eq!(result, put(u64::from(n), true));
    }
    let policy = world.state.policy("p").unwrap();
    assert_eq!((policy.revision, policy.digest), (80, digest(80)));
    assert_eq!(policy.past.len(), limits::POLICY_HISTORY);
    let newest = policy.past.last().unwrap();
    assert_eq!((newest.revision, newest.digest), (79, digest(79)));
    assert_eq!(policy.past[0].revision, 16);
    let again = world.one(Command::PolicyPut(policy_put(digest(5), vec![])));
    assert_eq!(again, put(81, true), "going back is a change too");
}

#[test]
fn texts_and_tables_over_their_limits_are_rejected() {
    let mut world = World::hourly(9);
    let too = |what, limit| CommandResult::Rejected(Rejection::TooLarge { what, limit });
    let long = "x".repeat(129);
    let grant = GrantPut {
        label: long.clone(),
        expected: 1,
        ..grant_put()
    };
    assert_eq!(world.one(Command::GrantPut(grant)), too("label", 128));
    let server = ServerPut {
        name: long.clone(),
        expected: 1,
        ..server_put()
    };
    assert_eq!(world.one(Command::ServerPut(server)), too("name", 128));
    let counter = vec![limit(&long, Window::Hour, Scope::Grant, 1)];
    let policy = policy_put(PolicyDigest([2; 32]), counter);
    assert_eq!(world.one(Command::PolicyPut(policy)), too("counter", 128));
    let max = vec![limit(
        "n",
        Window::Hour,
        Scope::Grant,
        limits::AMOUNT_MAX + 1,
    )];
    let policy = policy_put(PolicyDigest([2; 32]), max);
    assert_eq!(
        world.one(Command::PolicyPut(policy)),
        CommandResult::Rejected(Rejection::Max)
    );
}

#[test]
fn what_changed_is_named_once() {
    let mut world = World::hourly(9);
    let place = world.next_place();
    let commands = vec![
        Command::GrantPut(GrantPut {
            label: "b".into(),
            expected: 1,
            ..grant_put()
        }),
        revoke(GRANT),
        Command::ServerPut(ServerPut {
            name: "talk".into(),
            expected: 1,
            ..server_put()
        }),
        Command::PolicyPut(policy_put(PolicyDigest([2; 32]), vec![])),
        Command::Intent(intent(vec![allow(1, vec![])])),
    ];
    let batch = tollbook_state::command::Batch { place, commands };
    let changed = world
        .batch(&tollbook_state::codec::encode_batch(&batch))
        .changed;
    assert_eq!(changed.grants, [GRANT]);
    assert_eq!(changed.servers, [SERVER]);
    assert_eq!(changed.policies, ["p"]);
    let quiet = world.entry(None, tollbook_state::Payload::Blank).changed;
    assert!(quiet.is_empty());
}

#[test]
fn counted_refusals_become_one_record_each() {
    let mut world = World::hourly(9);
    let stranger = GrantId(*b"nobody000000");
    let result = world.one(Command::Refused(Refused {
        grants: vec![(GRANT, "denied".into(), 40), (stranger, "denied".into(), 2)],
        strangers: vec![
            ("192.0.2.0/24".into(), "revoked".into(), Some(GRANT), 3),
            ("other".into(), "unknown".into(), Some(stranger), 9),
            ("192.0.3.0/24".into(), "unknown".into(), None, 0),
        ],
    }));
    assert!(matches!(result, CommandResult::Recorded { count: 4, .. }));
    let records = world.records();
    let [.., own, lost, named, unnamed] = records.as_slice() else {
        panic!("four records")
    };
    assert_eq!(
        (&own["k"], &own["gs"], &own["count"]),
        (&"refused".into(), &1.into(), &40.into())
    );
    assert_eq!(
        (&lost["k"], &lost["source"]),
        (&"deny_auth".into(), &"unknown".into())
    );
    assert_eq!(
        (&named["grant"], &named["count"]),
        (&"grant0000001".into(), &3.into())
    );
    assert!(unnamed.get("grant").is_none());
}
