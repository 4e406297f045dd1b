//! Bytes that nobody sound wrote: no panic, no effect on what they do not own.

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use crate::world::{
    GRANT, World, allow, charge, deny, genesis, grant_put, intent, join, join_token, members,
    node_start, policy_put,
};
use tollbook_state::codec::{decode_batch, encode_batch};
use tollbook_state::command::{Batch, Cause, Command, GrantRotate, Micros, Refused, TokenHash};
use tollbook_state::{LoadError, State};

fn sample(world: &mut World) -> Vec<u8> {
    let place = world.next_place();
    let commands = vec![
        Command::Intent(intent(vec![
            allow(1, vec![charge(0, 1)]),
            deny(2, Cause::Default),
        ])),
        Command::GrantPut(grant_put()),
        Command::PolicyPut(policy_put(crate::world::DIGEST, vec![])),
        Command::Genesis(genesis()),
        Command::Refused(Refused {
            grants: vec![(GRANT, "x".into(), 1)],
            strangers: vec![],
        }),
        Command::GrantRotate(GrantRotate {
            actor: "admin".into(),
            grant: GRANT,
            token: TokenHash([8; 32]),
            overlap_until: Micros(u64::MAX >> 12),
            expected: Some(1),
        }),
        Command::JoinTokenPut(join_token(1)),
        Command::Join(join(1, "n2")),
        node_start(2),
        Command::Version { version: 1 },
        Command::Recover {
            actor: "admin".into(),
            reason: "x".into(),
        },
        Command::KeyChange {
            actor: "admin".into(),
            log_key: "k".into(),
        },
        Command::Seal,
    ];
    encode_batch(&Batch { place, commands })
}

proptest! {
    #[test]
    fn no_bytes_make_apply_panic(bytes in vec(any::<u8>(), 0..200)) {
        let mut world = World::hourly(9);
        let records = world.records().len();
        let mut batch = vec![1];
        batch.extend(&bytes);
        for bytes in [bytes, batch] {
            let decodes = decode_batch(&bytes).is_ok();
            let effects = world.batch(&bytes);
            assert_eq!(effects.rejected.is_none(), decodes);
            if !decodes {
                assert_eq!(world.records().len(), records);
            }
        }
    }

    #[test]
    fn no_change_of_a_good_batch_makes_apply_panic(
        edits in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut world = World::hourly(9);
        let mut bytes = sample(&mut world);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        world.batch(&bytes);
        // As another boot: the edit may have used up the sequence numbers of this one.
        world.boot = u64::MAX;
        world.one(Command::Settle { before: Micros(u64::MAX) });
    }

    #[test]
    fn damaged_rows_load_as_an_error_or_as_a_state(
        row in any::<proptest::sample::Index>(), at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut world = World::hourly(9);
        world.membership(&members(&[1, 2]));
        world.one(Command::JoinTokenPut(join_token(1)));
        world.one(Command::Join(join(1, "n7")));
        world.one(node_start(1));
        world.admit(1, vec![charge(0, 1)]);
        let mut rows: Vec<_> = world.rows.clone().into_iter().collect();
        let value = &mut rows[row.index(world.rows.len())].1;
        let at = at.index(value.len());
        value[at] = byte;
        drop(State::load(rows.into_iter()));
    }
}

#[test]
fn rows_that_are_no_state_are_refused_by_name() {
    let mut world = World::hourly(9);
    world.admit(1, vec![charge(0, 1)]);
    let load = |rows: Vec<(Vec<u8>, Vec<u8>)>| State::load(rows.into_iter()).unwrap_err();
    let rows: Vec<_> = world.rows.clone().into_iter().collect();
    let without_meta = rows
        .iter()
        .filter(|(key, _)| key[0] != b'm')
        .cloned()
        .collect();
    assert_eq!(load(without_meta), LoadError::Meta);
    let strange = vec![(b"x".to_vec(), vec![1])];
    assert_eq!(load(strange), LoadError::UnknownRow { key: b"x".to_vec() });
    let (key, value) = rows
        .iter()
        .find(|(key, _)| key[0] == b't')
        .cloned()
        .unwrap();
    let mut moved = key.clone();
    moved[3] ^= 1;
    assert_eq!(
        load(vec![(moved.clone(), value.clone())]),
        LoadError::Key { key: moved }
    );
    let mut newer = value;
    newer[0] = 2;
    let source = tollbook_state::codec::CodecError::UnknownVersion { version: 2 };
    assert_eq!(
        load(vec![(key.clone(), newer)]),
        LoadError::Value { key, source }
    );
    let (open, value) = rows
        .iter()
        .find(|(key, _)| key[0] == b'i')
        .cloned()
        .unwrap();
    let twice = vec![(open.clone(), value.clone()), (open.clone(), value)];
    assert_eq!(load(twice), LoadError::Key { key: open });
}

#[test]
fn the_widest_records_stay_within_their_limit() {
    let mut world = World::hourly(9);
    let wild = |n: usize| "\u{1}\"\\".repeat(n);
    let mut element = allow(1, vec![charge(0, 0); tollbook_state::limits::CHARGES]);
    element.method = wild(3000);
    element.tool = Some(wild(3000));
    element.argument_keys = (0..64).map(|_| wild(20)).collect();
    element.commitments = (0..64).map(|_| (wild(40), [255; 32])).collect();
    element.traceparent = Some(wild(3000));
    let mut intent = intent(vec![element]);
    intent.client = wild(3000);
    // `records` asserts the limit on each.
    let results = world.run(vec![
        Command::Intent(intent),
        Command::NodeStop {
            software: wild(9000),
        },
        Command::ClockAccept { actor: wild(9000) },
        Command::Refused(Refused {
            grants: vec![(GRANT, wild(9000), u64::MAX)],
            strangers: vec![(wild(9000), wild(9000), None, u64::MAX)],
        }),
    ]);
    assert!(matches!(
        results[0],
        tollbook_state::CommandResult::Admitted(_)
    ));
    assert!(world.records().len() > 8);
}
