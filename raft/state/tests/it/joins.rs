//! Nodes that join, and those that should not.

use crate::world::{HOUR, START, World, join, join_token, members};
use tollbook_state::command::{Command, Genesis, Join, JoinTokenPut, Micros, TokenHash};
use tollbook_state::{Bound, CommandResult, JoinRefusal, Rejection, limits};

type Change = fn(&mut Join);

const PUT: CommandResult = CommandResult::Put {
    revision: 1,
    changed: true,
};

/// Node 1 is the cluster, and token 1 is there.
fn world() -> World {
    let mut world = World::hourly(9);
    world.membership(&members(&[1]));
    assert_eq!(world.one(Command::JoinTokenPut(join_token(1))), PUT);
    world
}

fn ask(world: &mut World, id: u8, name: &str) -> CommandResult {
    world.one(Command::Join(join(id, name)))
}

#[track_caller]
fn refused(result: &CommandResult) -> JoinRefusal {
    let CommandResult::JoinRefused(refusal) = result else {
        panic!("not refused: {result:?}");
    };
    *refusal
}

#[test]
fn a_token_opens_once_and_gives_the_next_id() {
    let mut world = world();
    assert_eq!(ask(&mut world, 1, "n2"), CommandResult::Joined { node: 2 });
    let record = world.last();
    let names = (&record["action"], &record["target"], &record["name"]);
    assert_eq!(names, (&"join".into(), &"node 2".into(), &"n2".into()));
    assert_ne!(record["before"], record["after"]);
    let admin = world.of_kind("admin");
    let made = &admin[admin.len() - 2];
    assert_eq!(made["action"], "join_token_put");
    assert_eq!(
        (&made["target"], &record["actor"]),
        (&"bbbbbbbbbbbb".into(), &made["target"])
    );
    assert_eq!(made["after"], record["before"]);
    let token = world.state.join_tokens().next().unwrap();
    let joined = token.joined.as_ref().unwrap();
    assert_eq!((joined.node, &*joined.name), (2, "n2"));
}

#[test]
fn the_same_join_again_gives_the_same_id_and_any_other_is_refused_and_recorded() {
    let mut world = world();
    ask(&mut world, 1, "n2");
    let records = world.records().len();
    assert_eq!(ask(&mut world, 1, "n2"), CommandResult::Joined { node: 2 });
    world.wait(HOUR);
    let late = ask(&mut world, 1, "n2");
    assert_eq!(
        late,
        CommandResult::Joined { node: 2 },
        "told again, though it expired"
    );
    assert_eq!(world.records().len(), records);
    let other = Join {
        certificate: [7; 32],
        ..join(1, "n2")
    };
    let used = JoinRefusal::Used { node: 2 };
    for at in 0..limits::JOIN_REFUSALS + 3 {
        assert_eq!(refused(&ask(&mut world, 1, "n3")), used);
        assert_eq!(refused(&world.one(Command::Join(other.clone()))), used);
        if at == 0 {
            assert_eq!(world.last()["action"], "join_refused");
            assert_eq!(world.last()["name"], "n2");
            assert_eq!(world.records().len(), records + 2);
        }
    }
    let bound = usize::try_from(limits::JOIN_REFUSALS).unwrap();
    assert_eq!(
        world.records().len(),
        records + bound,
        "but not without end"
    );
}

#[test]
fn each_refusal_has_its_reason() {
    let mut world = world();
    assert_eq!(refused(&ask(&mut world, 2, "n2")), JoinRefusal::Unknown);
    let forged = Join {
        hash: TokenHash([0; 32]),
        ..join(1, "n2")
    };
    assert_eq!(
        refused(&world.one(Command::Join(forged.clone()))),
        JoinRefusal::WrongHash
    );
    assert_eq!(
        refused(&ask(&mut world, 1, "n1")),
        JoinRefusal::NameTaken { node: 1 }
    );
    let key = Join {
        verifier_key: "n1+00000000+AAAA".into(),
        ..join(1, "n2")
    };
    assert_eq!(
        refused(&world.one(Command::Join(key))),
        JoinRefusal::KeyTaken { node: 1 }
    );
    world.clock = START + HOUR - 1;
    assert_eq!(refused(&ask(&mut world, 1, "n2")), JoinRefusal::Expired);
    assert_eq!(
        world.of_kind("admin").last().unwrap()["action"],
        "join_token_put"
    );
    // Long after, nobody knows it any more.
    world.wait(limits::JOIN_TOKEN_KEEP_US);
    assert_eq!(refused(&ask(&mut world, 1, "n2")), JoinRefusal::Unknown);
    assert_eq!(world.state.join_tokens().count(), 0);
    // A used one, too, is known to who holds it only.
    let mut world = self::world();
    ask(&mut world, 1, "n2");
    assert_eq!(
        refused(&world.one(Command::Join(forged))),
        JoinRefusal::WrongHash
    );
}

#[test]
fn texts_that_no_node_has_are_rejected() {
    let mut world = world();
    let with = |change: Change| {
        let mut join = join(1, "n2");
        change(&mut join);
        Command::Join(join)
    };
    let cases: [(Change, Rejection); 7] = [
        (|join| join.name.clear(), Rejection::Line),
        (|join| join.name = "a\nb".into(), Rejection::Line),
        (|join| join.peer_address = "\u{7f}".into(), Rejection::Line),
        (|join| join.data_address.clear(), Rejection::Line),
        (|join| join.verifier_key.push('\n'), Rejection::Line),
        (
            |join| join.name = "x".repeat(limits::NAME_BYTES + 1),
            Rejection::TooLarge {
                what: "name",
                limit: limits::NAME_BYTES,
            },
        ),
        (
            |join| join.peer_address = "x".repeat(limits::ADDRESS_BYTES + 1),
            Rejection::TooLarge {
                what: "peer_address",
                limit: limits::ADDRESS_BYTES,
            },
        ),
    ];
    for (change, rejection) in cases {
        assert_eq!(world.one(with(change)), CommandResult::Rejected(rejection));
    }
    assert_eq!(
        ask(&mut world, 1, "n2"),
        CommandResult::Joined { node: 2 },
        "still unused"
    );
}

#[test]
fn an_id_is_given_once_whoever_left() {
    let mut world = world();
    world.membership(&members(&[1, 2, 9]));
    world.membership(&members(&[1]));
    assert_eq!(ask(&mut world, 1, "n2"), CommandResult::Joined { node: 10 });
    world.one(Command::JoinTokenPut(join_token(2)));
    let second = ask(&mut world, 2, "n3");
    assert_eq!(
        second,
        CommandResult::Joined { node: 11 },
        "10 never came, and is gone"
    );
    let genesis = Genesis {
        members: vec![(7, "k".into())],
        ..crate::world::genesis()
    };
    let mut other = World::empty();
    other.one(Command::Genesis(genesis));
    other.one(Command::JoinTokenPut(join_token(1)));
    assert_eq!(ask(&mut other, 1, "n2"), CommandResult::Joined { node: 8 });
    other.membership(&members(&[8, u32::MAX]));
    other.one(Command::JoinTokenPut(join_token(2)));
    let none = CommandResult::Full(Bound::Nodes);
    assert_eq!(ask(&mut other, 2, "n3"), none);
}

#[test]
fn a_name_is_free_again_when_its_node_was_removed_or_never_came() {
    let mut world = world();
    ask(&mut world, 1, "n2");
    world.one(Command::JoinTokenPut(join_token(2)));
    let taken = JoinRefusal::NameTaken { node: 2 };
    assert_eq!(
        refused(&ask(&mut world, 2, "n2")),
        taken,
        "it may still come"
    );
    world.membership(&members(&[1, 2]));
    world.membership(&members(&[1]));
    let used = JoinRefusal::Used { node: 2 };
    assert_eq!(
        refused(&ask(&mut world, 1, "n2")),
        used,
        "removed is removed"
    );
    assert_eq!(ask(&mut world, 2, "n2"), CommandResult::Joined { node: 3 });
    world.wait(HOUR);
    world.one(Command::JoinTokenPut(JoinTokenPut {
        expires: Micros(world.clock + HOUR),
        ..join_token(3)
    }));
    assert_eq!(ask(&mut world, 3, "n2"), CommandResult::Joined { node: 4 });
}

#[test]
fn tokens_are_bounded_in_time_and_number() {
    let mut world = world();
    let same = CommandResult::Put {
        revision: 1,
        changed: false,
    };
    assert_eq!(world.one(Command::JoinTokenPut(join_token(1))), same);
    let at = |id, expires| {
        Command::JoinTokenPut(JoinTokenPut {
            expires: Micros(expires),
            ..join_token(id)
        })
    };
    let conflict = CommandResult::Conflict { revision: 1 };
    assert_eq!(world.one(at(1, START + HOUR + 1)), conflict);
    let expires = CommandResult::Rejected(Rejection::Expires);
    assert_eq!(world.one(at(2, START)), expires);
    assert_eq!(
        world.one(at(2, START + limits::JOIN_TOKEN_US + HOUR)),
        expires
    );
    let count = u8::try_from(limits::JOIN_TOKENS).unwrap();
    for id in 2..=count {
        assert_eq!(world.one(at(id, START + 2 * HOUR)), PUT);
    }
    let full = CommandResult::Full(Bound::JoinTokens);
    assert_eq!(world.one(at(99, START + 2 * HOUR)), full);
    world.wait(HOUR);
    assert_eq!(
        world.one(at(99, START + 2 * HOUR)),
        PUT,
        "the first is over"
    );
    assert_eq!(world.one(at(100, START + 2 * HOUR)), full);
    assert_eq!(refused(&ask(&mut world, 1, "n2")), JoinRefusal::Unknown);
}
