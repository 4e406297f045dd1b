//! A grant's name and tokens, and changes that name the revision they were made on.

use crate::world::{DIGEST, GRANT, HOUR, SERVER, World, grant_put, policy_put, server_put};
use tollbook_state::command::{
    Command, GrantId, GrantPut, GrantRotate, Micros, PolicyDigest, PolicyPut, ServerPut, TokenHash,
};
use tollbook_state::{CommandResult, Rejection, limits};

const SECOND_GRANT: GrantId = GrantId(*b"grant0000002");

const fn put(revision: u64, changed: bool) -> CommandResult {
    CommandResult::Put { revision, changed }
}

fn rotate(token: u8, overlap_until: u64, expected: Option<u64>) -> Command {
    Command::GrantRotate(GrantRotate {
        actor: "admin".into(),
        grant: GRANT,
        token: TokenHash([token; 32]),
        overlap_until: Micros(overlap_until),
        expected,
    })
}

fn revoke(expected: Option<u64>) -> Command {
    Command::GrantRevoke {
        actor: "admin".into(),
        grant: GRANT,
        expected,
    }
}

/// The current token and the one that is valid beside it, by their bytes.
fn tokens(world: &World) -> (u8, Option<u8>) {
    let grant = world.state.grant(&GRANT).unwrap();
    let former = grant.former_at(world.state.now());
    (grant.token.0[0], former.map(|token| token.0[0]))
}

#[test]
fn a_change_made_on_another_revision_conflicts_and_changes_nothing() {
    let mut world = World::hourly(9);
    let records = world.records().len();
    let remove = |expected| Command::ServerRemove {
        actor: "admin".into(),
        server: SERVER,
        expected,
    };
    let policy = |expected| {
        Command::PolicyPut(PolicyPut {
            expected,
            ..policy_put(PolicyDigest([2; 32]), vec![])
        })
    };
    let conflict = CommandResult::Conflict { revision: 1 };
    for wrong in [Some(0), Some(2), Some(u64::MAX)] {
        let soon = world.clock + HOUR;
        for command in [
            remove(wrong),
            policy(wrong),
            revoke(wrong),
            rotate(1, soon, wrong),
        ] {
            assert_eq!(world.one(command), conflict);
        }
    }
    assert_eq!(world.records().len(), records);
    assert_eq!(world.one(policy(Some(1))), put(2, true));
    assert_eq!(world.one(revoke(Some(1))), put(2, true));
    assert_eq!(world.one(remove(Some(1))), put(1, true));
}

#[test]
fn a_policy_that_must_be_new_is_new() {
    let mut world = World::hourly(9);
    let named = |name: &str, expected| {
        Command::PolicyPut(PolicyPut {
            name: name.into(),
            expected,
            ..policy_put(PolicyDigest([2; 32]), vec![])
        })
    };
    let conflict = CommandResult::Conflict { revision: 0 };
    assert_eq!(world.one(named("q", Some(1))), conflict);
    assert_eq!(world.one(named("q", Some(0))), put(1, true));
}

#[test]
fn what_is_done_already_is_no_conflict() {
    let mut world = World::hourly(9);
    let same = PolicyPut {
        expected: Some(7),
        ..policy_put(DIGEST, vec![])
    };
    assert_eq!(world.one(Command::PolicyPut(same)), put(1, false));
    world.one(revoke(None));
    assert_eq!(world.one(revoke(Some(1))), put(2, false));
}

#[test]
fn no_two_grants_that_are_not_revoked_share_a_label() {
    let mut world = World::hourly(9);
    let second = |label: &str, expected| {
        Command::GrantPut(GrantPut {
            grant: SECOND_GRANT,
            label: label.into(),
            expected,
            ..grant_put()
        })
    };
    let taken = CommandResult::LabelTaken { grant: GRANT };
    assert_eq!(world.one(second("ci-bot", 0)), taken);
    assert_eq!(world.one(second("other", 0)), put(1, true));
    assert_eq!(world.one(second("ci-bot", 1)), taken);
    let renamed = GrantPut {
        label: "main".into(),
        expected: 1,
        ..grant_put()
    };
    assert_eq!(world.one(Command::GrantPut(renamed)), put(2, true));
    assert_eq!(world.one(second("ci-bot", 1)), put(2, true));
    assert_eq!(
        world.state.grant_by_label("ci-bot").unwrap().id,
        SECOND_GRANT
    );
    assert!(world.state.grant_by_label("other").is_none());
    // A revoked grant gives its label away; an expired one can be extended, so it keeps it.
    world.one(revoke(None));
    assert!(world.state.grant_by_label("main").is_none());
    assert_eq!(world.one(second("main", 2)), put(3, true));
    assert_eq!(world.state.grant(&GRANT).unwrap().label, "main");
}

#[test]
fn a_label_on_another_server_is_the_same_label() {
    let mut world = World::hourly(9);
    let server = tollbook_state::command::ServerId([8; 16]);
    world.one(Command::ServerPut(ServerPut {
        server,
        name: "mail".into(),
        ..server_put()
    }));
    let other = GrantPut {
        grant: SECOND_GRANT,
        server,
        ..grant_put()
    };
    let taken = CommandResult::LabelTaken { grant: GRANT };
    assert_eq!(world.one(Command::GrantPut(other)), taken);
}

#[test]
fn a_former_token_is_valid_until_its_time_by_the_log() {
    let mut world = World::hourly(9);
    let until = world.clock + HOUR;
    assert_eq!(world.one(rotate(1, until, Some(1))), put(2, true));
    assert_eq!(tokens(&world), (1, Some(9)));
    let last = world.last();
    assert_eq!(
        (&last["k"], &last["action"]),
        (&"admin".into(), &"grant_rotate".into())
    );
    assert_ne!(last["before"], last["after"]);
    let grant = world.state.grant(&GRANT).unwrap();
    assert_eq!(grant.former_at(Micros(until - 1)), Some(TokenHash([9; 32])));
    assert_eq!(grant.former_at(Micros(until)), None);
    world.wait(HOUR);
    world.one(Command::Seal);
    assert_eq!(tokens(&world), (1, None));
}

#[test]
fn a_second_rotation_ends_the_older_token_and_revocation_ends_all() {
    let mut world = World::hourly(9);
    let until = world.clock + HOUR;
    world.one(rotate(1, until, None));
    assert_eq!(world.one(rotate(2, until, None)), put(3, true));
    assert_eq!(tokens(&world), (2, Some(1)), "9 is over before its time");
    assert_eq!(
        world.one(rotate(2, until + 5, Some(2))),
        put(3, false),
        "it is done"
    );
    assert_eq!(tokens(&world), (2, Some(1)));
    assert_eq!(world.one(rotate(3, 0, None)), put(4, true));
    assert_eq!(tokens(&world), (3, None), "no overlap");
    world.one(rotate(4, until, None));
    world.one(revoke(None));
    assert!(world.state.grant(&GRANT).unwrap().former.is_none());
    let conflict = CommandResult::Conflict { revision: 6 };
    assert_eq!(world.one(rotate(4, until, None)), conflict);
    assert_eq!(world.one(rotate(5, until, None)), conflict);
}

#[test]
fn a_change_of_a_grant_keeps_its_tokens_and_a_put_token_is_the_only_one() {
    let mut world = World::hourly(9);
    let until = world.clock + HOUR;
    world.one(rotate(1, until, None));
    let change = |label: &str, token, expected| {
        Command::GrantPut(GrantPut {
            label: label.into(),
            token: TokenHash([token; 32]),
            expected,
            ..grant_put()
        })
    };
    world.one(change("b", 1, 2));
    assert_eq!(tokens(&world), (1, Some(9)));
    world.one(change("b", 5, 3));
    assert_eq!(tokens(&world), (5, None));
}

#[test]
fn a_rotation_is_bounded_and_of_a_grant_that_is_there() {
    let mut world = World::hourly(9);
    let far = world.clock + 1 + limits::TOKEN_OVERLAP_US;
    let expires = CommandResult::Rejected(Rejection::Expires);
    assert_eq!(world.one(rotate(1, far + 1, None)), expires);
    assert_eq!(
        world.one(rotate(1, far + 1, None)),
        put(2, true),
        "a microsecond later"
    );
    assert_eq!(world.one(rotate(2, u64::MAX, None)), expires);
    let nobody = GrantRotate {
        actor: "admin".into(),
        grant: GrantId(*b"nobody000000"),
        token: TokenHash([1; 32]),
        overlap_until: Micros(0),
        expected: None,
    };
    assert_eq!(
        world.one(Command::GrantRotate(nobody.clone())),
        CommandResult::NotFound
    );
    let long = GrantRotate {
        actor: "x".repeat(129),
        ..nobody
    };
    let (what, limit) = ("actor", 128);
    let too = CommandResult::Rejected(Rejection::TooLarge { what, limit });
    assert_eq!(world.one(Command::GrantRotate(long)), too);
}
