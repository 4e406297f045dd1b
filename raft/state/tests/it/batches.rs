//! Each batch once, whatever arrives.

use crate::world::{World, allow, charge, intent};
use tollbook_state::codec::{CodecError, encode_batch, encode_batch_of, encode_command};
use tollbook_state::command::{Batch, Command, Place};
use tollbook_state::{CommandResult, Rejection, limits};

fn batch(place: Place, call: u8) -> Vec<u8> {
    let command = Command::Intent(intent(vec![allow(call, vec![charge(0, 1)])]));
    encode_batch(&Batch {
        place,
        commands: vec![command],
    })
}

#[test]
fn a_batch_that_comes_twice_has_no_effects_the_second_time() {
    let mut world = World::hourly(9);
    let place = world.next_place();
    let bytes = batch(place, 1);
    assert!(world.batch(&bytes).receipts.is_some());
    let records = world.records().len();
    let again = world.batch(&bytes);
    assert_eq!((again.receipts, again.rejected), (None, None));
    assert!(again.frames.is_empty());
    assert_eq!((world.records().len(), world.used()), (records, 1));
}

#[test]
fn batches_of_one_boot_may_come_out_of_order() {
    let mut world = World::hourly(99);
    let at = |sequence| Place {
        node: 3,
        boot: 7,
        sequence,
    };
    for (sequence, new) in [
        (5, true),
        (3, true),
        (5, false),
        (3, false),
        (4, true),
        (70, true),
    ] {
        let call = u8::try_from(sequence).unwrap();
        let effects = world.batch(&batch(at(sequence), call));
        assert_eq!(effects.receipts.is_some(), new, "{sequence}");
    }
    // 6 was never seen, but is 64 behind: nobody can tell any more.
    assert!(world.batch(&batch(at(6), 6)).receipts.is_none());
    assert!(world.batch(&batch(at(7), 7)).receipts.is_some());
    let other_boot = Place { boot: 8, ..at(5) };
    assert!(world.batch(&batch(other_boot, 50)).receipts.is_some());
}

#[test]
fn boots_of_a_node_are_remembered_up_to_a_bound_the_oldest_forgotten_first() {
    let mut world = World::hourly(999);
    let keep = u64::try_from(limits::BOOTS_PER_NODE).unwrap();
    // Boot numbers are random: age is when they were first seen.
    let boot = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let place = |n| Place {
        node: 3,
        boot: boot(n),
        sequence: 1,
    };
    let empty = |place| {
        encode_batch(&Batch {
            place,
            commands: vec![],
        })
    };
    for n in 1..=keep + 1 {
        assert!(world.batch(&empty(place(n))).receipts.is_some());
    }
    for n in 2..=keep + 1 {
        assert!(
            world.batch(&empty(place(n))).receipts.is_none(),
            "{n} is remembered"
        );
    }
    let rows = world.rows.keys().filter(|key| key[0] == b'o').count();
    assert_eq!(rows, limits::BOOTS_PER_NODE + 1, "and the world's own boot");
}

#[test]
fn commands_encoded_one_by_one_make_the_same_batch() {
    let place = Place {
        node: 1,
        boot: u64::MAX,
        sequence: 300,
    };
    let commands: Vec<Command> = (0..200).map(|_| Command::Seal).collect();
    let encoded: Vec<Vec<u8>> = commands.iter().map(encode_command).collect();
    assert_eq!(
        encode_batch_of(place, &encoded),
        encode_batch(&Batch { place, commands })
    );
}

#[test]
fn a_batch_of_another_version_is_named_so_and_its_proposer_told() {
    let mut world = World::hourly(9);
    let place = world.next_place();
    let mut bytes = batch(place, 1);
    bytes[0] = 2;
    let effects = world.batch(&bytes);
    let error = Rejection::Undecodable(CodecError::UnknownVersion { version: 2 });
    assert_eq!((effects.rejected, effects.receipts), (Some(error), None));
}

#[test]
fn a_batch_that_does_not_decode_records_nothing_and_may_be_sent_again() {
    let mut world = World::hourly(9);
    let place = world.next_place();
    let good = batch(place, 1);
    let mut long = good.clone();
    long.push(0);
    let cases = [
        (&good[..good.len() - 1], CodecError::Malformed),
        (&long[..], CodecError::Trailing { count: 1 }),
    ];
    for (bytes, error) in cases {
        let effects = world.batch(bytes);
        let rejection = Rejection::Undecodable(error);
        assert_eq!(effects.rejected, Some(rejection));
        let receipts = effects.receipts.unwrap();
        assert_eq!(receipts.place, place);
        assert_eq!(receipts.results, [CommandResult::Rejected(rejection)]);
        assert!(effects.frames.is_empty());
    }
    let empty = Rejection::Undecodable(CodecError::Empty);
    assert_eq!(world.batch(&[]).rejected, Some(empty));
    assert!(matches!(
        world.batch(&good).receipts.unwrap().results[..],
        [CommandResult::Admitted(_)]
    ));
}

#[test]
fn a_batch_of_too_many_commands_or_of_no_number_is_rejected_whole() {
    let mut world = World::hourly(9);
    let place = world.next_place();
    let commands = vec![Command::Seal; limits::BATCH_COMMANDS + 1];
    let effects = world.batch(&encode_batch(&Batch { place, commands }));
    let limit = limits::BATCH_COMMANDS;
    assert_eq!(
        effects.rejected,
        Some(Rejection::TooLarge {
            what: "commands",
            limit
        })
    );
    let zero = Place {
        sequence: 0,
        ..place
    };
    assert_eq!(
        world.batch(&batch(zero, 1)).rejected,
        Some(Rejection::Sequence)
    );
    assert_eq!(world.state.open_count(), 0);
}
