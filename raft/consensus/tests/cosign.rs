//! Cosigning by 1, 3 and 5 nodes: who signs what, who keeps what, and what nobody ever signs.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests may panic"
)]

mod cosigners;

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use tollbook_audit::note::{Note, join_signatures};
use tollbook_audit::trust::{Trust, single_signer_text};
use tollbook_raft::{CosignError, Divergence, NodeId};

use self::cosigners::{
    BEHIND, COSIGN, Chance, DIFFERS, KEEP, KEPT, LATER, ORIGIN, PASSED, REFUSED, SIGNED, STOPPED,
    World, checkpoint, log_key, message, node_key, root, wrong_root,
};

/// Longer than a round, and than the pause before the next try.
const LONG: Duration = Duration::from_secs(20);

fn kind(answer: &Bytes) -> [u8; 2] {
    [answer[0], answer[1]]
}

fn signed_note(size: u64) -> String {
    log_key().sign(&checkpoint(size, root(size)))
}

fn cosigned_note(size: u64, nodes: impl IntoIterator<Item = NodeId>) -> String {
    let checkpoint = checkpoint(size, root(size));
    let lines: Vec<String> = nodes
        .into_iter()
        .map(|node| node_key(node).cosign(&checkpoint, 5))
        .collect();
    join_signatures(
        &log_key().sign(&checkpoint),
        lines.iter().map(String::as_str),
    )
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lone_voter_signs_and_cosigns_by_itself() {
    let world = World::new(1, 1);
    world.seal_all(5);
    world.kept(1, 5).await;
    let notes = world.notes(1);
    let note = Note::parse(notes[&5].as_bytes()).unwrap();
    // For an auditor who asks for no node, and for one who asks for this one.
    let single = single_signer_text(&log_key().verifier());
    let single = Trust::parse(single.as_bytes()).unwrap();
    assert_eq!(single.open(&note), Ok(checkpoint(5, root(5))));
    assert_eq!(single.is_quorate(&note), Ok(true));
    assert_eq!(world.rule().is_quorate(&note), Ok(true));
    assert!(world.sent().is_empty());
    world.check();
}

#[tokio::test(start_paused = true)]
async fn every_member_keeps_the_note_of_a_majority() {
    for voters in [3, 5] {
        let mut world = World::new(voters, 2);
        world.learner(voters + 1);
        for size in [5, 9, 12] {
            world.seal_all(size);
            for node in 1..=voters + 1 {
                world.kept(node, size).await;
            }
        }
        let notes = world.notes(1);
        for node in 1..=voters + 1 {
            assert_eq!(world.notes(node), notes, "node {node}");
        }
        // The log's signature first, then those of a majority, the leader's among them.
        let names: Vec<&str> = notes[&12]
            .lines()
            .filter_map(|line| line.strip_prefix("— "))
            .map(|line| line.split_once(' ').unwrap().0)
            .collect();
        assert_eq!(names[0], ORIGIN);
        assert_eq!(names[1], format!("{ORIGIN}/n1"));
        assert_eq!(names.len(), 2 + usize::try_from(voters).unwrap() / 2);
        // The learner is asked for nothing, and signs nothing.
        assert!(world.disks[&(voters + 1)].look().promises.is_empty());
        world.check();
    }
}

#[tokio::test(start_paused = true)]
async fn two_of_three_are_enough_and_the_third_comes_in_later() {
    let world = World::new(3, 3);
    world.down([3]);
    world.seal_all(5);
    world.kept(1, 5).await;
    world.kept(2, 5).await;
    assert!(world.notes(3).is_empty());
    world.down([]);
    world.seal_all(7);
    world.kept(3, 7).await;
    world.check();
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_nothing_is_kept_and_a_later_size_covers_it() {
    let world = World::new(3, 4);
    world.down([2, 3]);
    world.seal_all(5);
    tokio::time::sleep(LONG).await;
    assert!(world.notes(1).is_empty());
    world.down([]);
    world.seal_all(9);
    for node in 1..=3 {
        world.kept(node, 9).await;
        assert_eq!(world.notes(node).keys().collect::<Vec<_>>(), [&9]);
    }
    world.check();
}

#[tokio::test(start_paused = true)]
async fn the_last_size_of_a_quiet_cluster_gets_its_note_when_voters_are_back() {
    let world = World::new(3, 5);
    world.down([2, 3]);
    world.seal_all(5);
    tokio::time::sleep(LONG).await;
    world.down([3]);
    world.kept(2, 5).await;
    // It is done: nothing is asked any more.
    let sent = world.sent().len();
    tokio::time::sleep(LONG).await;
    assert_eq!(world.sent().len(), sent);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_node_with_another_root_signs_no_more_and_the_others_go_on() {
    let mut world = World::new(3, 6);
    world.seal_all(5);
    world.kept(3, 5).await;
    world.seal(3, 9, wrong_root(9));
    world.seal(2, 9, root(9));
    world.seal(1, 9, root(9));
    world.kept(2, 9).await;
    tokio::time::sleep(LONG).await;
    let divergence = Divergence {
        size: 9,
        own: wrong_root(9),
        other: root(9),
        node: 1,
        note: Some(signed_note(9)),
    };
    assert_eq!(world.told(3), std::slice::from_ref(&divergence));
    assert_eq!(world.disks[&3].look().divergence, Some(divergence));
    assert!(world.told(1).is_empty() && world.told(2).is_empty());

    // Not even what it would agree with, and not after a restart.
    for restarted in [false, true] {
        if restarted {
            world.crash(3);
            world.start(3);
        }
        world.seal_all(12 + u64::from(restarted));
        let size = 12 + u64::from(restarted);
        world.kept(2, size).await;
        for kind_of in [COSIGN, KEEP] {
            let answer = world.answer(1, 3, message(kind_of, &signed_note(size)));
            assert_eq!(kind(&answer.await), STOPPED);
        }
    }
    assert_eq!(world.disks[&3].look().promises, [(5, root(5))]);
    assert_eq!(world.notes(3).keys().collect::<Vec<_>>(), [&5]);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_the_majority_contradicts_signs_no_more() {
    let world = World::new(5, 7);
    for node in 1..=5 {
        world.seal(node, 5, if node <= 2 { wrong_root(5) } else { root(5) });
    }
    tokio::time::sleep(LONG).await;
    let told = world.told(1);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].own, told[0].other), (wrong_root(5), root(5)));
    for node in 1..=5 {
        assert!(world.notes(node).is_empty(), "node {node}");
    }
    world.seal(1, 6, root(6));
    tokio::time::sleep(LONG).await;
    assert_eq!(world.disks[&1].look().promises, [(5, wrong_root(5))]);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_note_that_contradicts_what_a_node_has_is_kept_as_evidence() {
    let world = World::new(3, 8);
    world.seal(2, 5, wrong_root(5));
    let note = cosigned_note(5, [1, 3]);
    let answer = world.answer(1, 2, message(KEEP, &note)).await;
    assert_eq!(kind(&answer), DIFFERS);
    assert_eq!(&answer[2..], wrong_root(5));
    assert_eq!(world.told(2)[0].note.as_ref(), Some(&note));
    assert!(world.notes(2).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_book_changes_under_it_signs_no_more() {
    let world = World::new(1, 9);
    world.seal(1, 5, root(5));
    world.kept(1, 5).await;
    world.seal(1, 5, wrong_root(5));
    world.seal(1, 9, root(9));
    world.seal(1, 5, wrong_root(5));
    tokio::time::sleep(LONG).await;
    let told = world.told(1);
    assert_eq!((told[0].size, told[0].node), (5, 1));
    assert_eq!((told[0].own, told[0].other), (wrong_root(5), root(5)));
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lags_signs_when_its_book_gets_there() {
    let world = World::new(3, 10);
    world.down([3]);
    world.seal(1, 5, root(5));
    let asked = world.answer(1, 2, message(COSIGN, &signed_note(5)));
    let seal = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.seal(2, 5, root(5));
    };
    let (answer, ()) = tokio::join!(asked, seal);
    assert_eq!(kind(&answer), SIGNED);
    world.kept(2, 5).await;

    // Not for ever, and a size that it passed over is not one that it can vouch for.
    let asked = tokio::time::Instant::now();
    let answer = world.answer(1, 2, message(COSIGN, &signed_note(9)));
    assert_eq!(kind(&answer.await), BEHIND);
    assert!(asked.elapsed() < Duration::from_millis(2_500));
    let asked = world.answer(1, 2, message(COSIGN, &signed_note(12)));
    let seal = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.seal(2, 15, root(15));
    };
    let (answer, ()) = tokio::join!(asked, seal);
    assert_eq!(kind(&answer), PASSED);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_note_that_comes_early_is_kept_once_the_book_gets_there() {
    let world = World::new(3, 11);
    world.seal(1, 5, root(5));
    world.seal(2, 5, root(5));
    world.kept(1, 5).await;
    tokio::time::sleep(LONG).await;
    assert!(world.notes(3).is_empty());
    world.seal(3, 5, root(5));
    world.kept(3, 5).await;

    // Only so many wait; the oldest makes room.
    for size in [20, 21, 22, 23, 24] {
        let answer = world.answer(1, 3, message(KEEP, &cosigned_note(size, [1, 2])));
        assert_eq!(kind(&answer.await), LATER);
    }
    world.seal(3, 20, root(20));
    tokio::time::sleep(LONG).await;
    assert_eq!(world.notes(3).keys().collect::<Vec<_>>(), [&5]);
    world.seal(3, 21, root(21));
    world.kept(3, 21).await;
    // One that did not count is looked at then, and not kept.
    let answer = world.answer(1, 3, message(KEEP, &cosigned_note(30, [1])));
    assert_eq!(kind(&answer.await), LATER);
    world.seal(3, 30, root(30));
    tokio::time::sleep(LONG).await;
    assert_eq!(world.notes(3).keys().collect::<Vec<_>>(), [&5, &21]);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_notebook_alone_holds_the_promise() {
    let mut world = World::new(3, 12);
    world.seal_all(20);
    world.kept(2, 20).await;
    world.kept(3, 20).await;
    for node in [2, 3] {
        // The leader may have had its majority before it heard of this one.
        let answer = world.answer(1, node, message(COSIGN, &signed_note(20)));
        assert_eq!(kind(&answer.await), SIGNED);
        world.crash(node);
        world.start(node);
    }
    // The log replays: an older size comes again, and then the same.
    world.seal(2, 10, root(10));
    let answer = world.answer(1, 2, message(COSIGN, &signed_note(10))).await;
    assert_eq!(kind(&answer), PASSED);
    world.seal(2, 20, root(20));
    let answer = world.answer(1, 2, message(COSIGN, &signed_note(20))).await;
    assert_eq!(kind(&answer), SIGNED);
    // The other's disk gives another book back.
    world.seal(3, 20, wrong_root(20));
    let note = log_key().sign(&checkpoint(20, wrong_root(20)));
    let answer = world.answer(1, 3, message(COSIGN, &note)).await;
    assert_eq!(kind(&answer), STOPPED);
    let told = world.told(3);
    assert_eq!((told[0].size, told[0].node), (20, 3));
    assert_eq!((told[0].own, told[0].other), (wrong_root(20), root(20)));
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_restarted_leader_signs_nothing_that_it_has_promised_past() {
    let mut world = World::new(1, 13);
    world.seal_all(20);
    world.kept(1, 20).await;
    let disk = world.disks[&1].look().promises.clone();
    world.disks[&1].look().notes.clear();
    world.crash(1);
    world.start(1);
    world.seal_all(10);
    tokio::time::sleep(LONG).await;
    assert_eq!(world.disks[&1].look().promises, disk);
    assert!(world.notes(1).is_empty());
    // The note that a crash lost is made again.
    world.seal_all(20);
    world.kept(1, 20).await;
    world.check();
}

#[tokio::test(start_paused = true)]
async fn old_questions_and_notes_again_change_nothing() {
    let world = World::new(3, 14);
    for size in [5, 9] {
        world.seal_all(size);
        for node in 1..=3 {
            world.kept(node, size).await;
        }
    }
    let before = world.notes(2);
    let sent = world.sent();
    for old in sent.iter().filter(|sent| sent.to == 2) {
        let answer = world.answer(old.from, 2, old.message.clone()).await;
        let note = str::from_utf8(&old.message[2..]).unwrap();
        let size = Note::parse(note.as_bytes()).unwrap();
        let size = size.open(&log_key().verifier()).unwrap().size;
        let expected = match (old.message.starts_with(&COSIGN), size) {
            (false, _) => KEPT,
            (true, 5) => PASSED,
            // The same size and root may be signed as often as somebody asks.
            (true, _) => SIGNED,
        };
        assert_eq!(kind(&answer), expected, "{note}");
    }
    assert_eq!(world.notes(2), before);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn what_is_forged_is_refused_and_not_kept() {
    let world = World::new(3, 15);
    world.down([1]);
    world.seal_all(5);
    let good = checkpoint(5, root(5));
    let stranger = tollbook_audit::note::LogKey::from_seed(ORIGIN, &[99; 32]).unwrap();
    let elsewhere = tollbook_audit::note::LogKey::from_seed("x.example", &[200; 32]).unwrap();
    let other_log = tollbook_audit::note::Checkpoint {
        origin: "x.example".to_owned(),
        ..good.clone()
    };
    let twice = {
        let line = |time| node_key(1).cosign(&good, time);
        signed_note(5) + &line(5) + &line(6)
    };
    let of_another_size = {
        let line = node_key(1).cosign(&checkpoint(6, root(5)), 5);
        cosigned_note(5, [3]) + &line
    };
    for (kind_of, note) in [
        (COSIGN, stranger.sign(&good)),
        (COSIGN, elsewhere.sign(&other_log)),
        (COSIGN, good.body()),
        (COSIGN, String::new()),
        (COSIGN, signed_note(5).replace('5', "6")),
        (KEEP, stranger.sign(&good)),
        (KEEP, signed_note(5)),
        (KEEP, cosigned_note(5, [1])),
        (KEEP, cosigned_note(5, [8, 9])),
        (KEEP, twice),
        (KEEP, of_another_size),
        ([1, 3], signed_note(5)),
        ([2, 1], signed_note(5)),
    ] {
        let message = message(kind_of, &note);
        let answer = world.nodes[&2].cosigner.answer(1, &message).await;
        assert_eq!(kind(&answer), REFUSED, "{note}");
    }
    for bytes in [&b""[..], b"\x01", b"\x01\x01\xff\xfe", &[0; 70_000]] {
        let bytes = Bytes::copy_from_slice(bytes);
        let answer = world.nodes[&2].cosigner.answer(1, &bytes).await;
        assert_eq!(kind(&answer), REFUSED);
    }
    assert!(world.notes(2).is_empty());
    assert!(world.disks[&2].look().promises.is_empty());
    // What counts is kept, whoever brings it.
    let note = message(KEEP, &cosigned_note(5, [1, 3]));
    let answer = world.nodes[&2].cosigner.answer(1, &note).await;
    assert_eq!(kind(&answer), KEPT);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_leader_change_midway_forks_nothing() {
    let mut world = World::new(3, 16);
    world.network(400, 0);
    world.seal_all(5);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The leader is gone with its round half way, and the next one seals a larger size.
    world.crash(1);
    world.lead([2]);
    world.seal_all(8);
    world.kept(2, 8).await;
    world.kept(3, 8).await;
    // The old one comes back, believes that it leads still, and does harm to nobody.
    world.start(1);
    world.lead([1, 2]);
    world.seal(1, 5, root(5));
    tokio::time::sleep(LONG).await;
    assert!(!world.notes(1).contains_key(&5));
    world.seal(1, 8, root(8));
    world.kept(1, 8).await;
    world.lead([3]);
    world.seal_all(9);
    for node in 1..=3 {
        world.kept(node, 9).await;
        assert!(world.told(node).is_empty());
    }
    world.check();
}

#[tokio::test(start_paused = true)]
async fn two_leaders_that_ask_at_once_do_no_harm() {
    let world = World::new(5, 17);
    world.lead([1, 2]);
    for size in [5, 6, 9] {
        world.seal_all(size);
        for node in 1..=5 {
            world.kept(node, size).await;
        }
    }
    let asked = world.sent();
    assert!(asked.iter().any(|sent| sent.from == 1));
    assert!(asked.iter().any(|sent| sent.from == 2));
    world.check();
}

#[tokio::test(start_paused = true)]
async fn while_a_round_runs_only_the_newest_size_waits() {
    let world = World::new(3, 18);
    world.network(500, 0);
    world.seal_all(5);
    tokio::time::sleep(Duration::from_millis(1)).await;
    for size in 6..=9 {
        world.seal_all(size);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.kept(1, 9).await;
    assert_eq!(world.notes(1).keys().collect::<Vec<_>>(), [&5, &9]);
    world.check();
}

#[tokio::test(start_paused = true)]
async fn a_note_from_another_leader_ends_the_round_and_the_newer_size_goes_next() {
    let world = World::new(3, 21);
    // The others' books have reached neither, so the round waits for them.
    world.seal(1, 5, root(5));
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.seal(1, 9, root(9));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = world.sent();
    let note = message(KEEP, &cosigned_note(5, [2, 3]));
    assert_eq!(kind(&world.answer(2, 1, note).await), KEPT);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked_since = world.sent().split_off(asked.len());
    assert_eq!(asked_since.len(), 2);
    for sent in asked_since {
        assert_eq!(sent.message, message(COSIGN, &signed_note(9)));
    }
    world.check();
}

#[tokio::test(start_paused = true)]
async fn nobody_is_promised_for_who_no_longer_waits() {
    let world = World::new(3, 22);
    world.down([1]);
    let question = message(COSIGN, &signed_note(5));
    let asked = world.nodes[&2].cosigner.answer(1, &question);
    let waited = tokio::time::timeout(Duration::from_secs(1), asked).await;
    assert!(waited.is_err());
    world.seal(2, 5, root(5));
    tokio::time::sleep(LONG).await;
    assert!(world.disks[&2].look().promises.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_notebook_that_fails_ends_all_signing() {
    let mut world = World::new(3, 19);
    world.disks[&2].look().fails = true;
    world.seal_all(5);
    let ended = world.nodes.get_mut(&2).unwrap().ended().await;
    assert!(matches!(ended, Err(CosignError::Notebook(_))), "{ended:?}");
    let answer = world.answer(1, 2, message(COSIGN, &signed_note(5))).await;
    assert_eq!(kind(&answer), STOPPED);
    // The others are two of three.
    world.kept(3, 5).await;
    world.check();
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_feed_of_sealed_sizes() {
    let mut world = World::new(1, 20);
    world.seal_all(5);
    world.kept(1, 5).await;
    let mut node = world.nodes.remove(&1).unwrap();
    drop(std::mem::replace(
        &mut node.sealed,
        tokio::sync::watch::channel(None).0,
    ));
    assert!(node.ended().await.is_ok());
}

/// What a node's book is like, in a schedule.
#[derive(Clone, Copy, Debug, Default)]
struct Book {
    /// Sizes of the cluster's that it has sealed.
    sealed: usize,
    /// The first size from which on it has other roots.
    wrong_from: Option<u64>,
}

/// One seed's schedule. Whether books may be wrong says whether all must be well at its end.
async fn schedule(seed: u64, wrong: bool) {
    let mut chance = Chance(seed);
    let voters = if chance.one_in(2) { 3 } else { 5 };
    let mut world = World::new(voters, chance.below(u64::MAX));
    world.network(chance.below(800), 2 + chance.below(20));
    let mut sizes = vec![3];
    let mut books = vec![Book::default(); usize::try_from(voters).unwrap() + 1];
    for disk in world.disks.values() {
        disk.look().slow_ms = chance.below(300);
    }
    for _ in 0..40 {
        let node = 1 + chance.below(voters);
        let book = &mut books[usize::try_from(node).unwrap()];
        match chance.below(10) {
            0 | 1 => sizes.push(sizes[sizes.len() - 1] + 1 + chance.below(5)),
            2..=5 => {
                // The node's book moves on, or jumps; a seal in between is not seen.
                let left = sizes.len() - book.sealed;
                book.sealed += usize::try_from(chance.below(1 + left as u64)).unwrap();
                seal(&world, node, book, &sizes);
            }
            6 => world.lead((0..chance.below(3)).map(|_| 1 + chance.below(voters))),
            7 => world.down((0..chance.below(3)).map(|_| 1 + chance.below(voters))),
            8 => {
                world.crash(node);
                world.start(node);
                // What is replayed may begin earlier, and may be another book.
                book.sealed -= usize::try_from(chance.below(1 + book.sealed as u64)).unwrap();
                if wrong {
                    let from = sizes[usize::try_from(chance.below(sizes.len() as u64)).unwrap()];
                    book.wrong_from = chance.one_in(2).then_some(from);
                }
                seal(&world, node, book, &sizes);
            }
            _ => {
                let sent = world.sent();
                if !sent.is_empty() {
                    let old = &sent[usize::try_from(chance.below(sent.len() as u64)).unwrap()];
                    let (from, to, message) = (old.from, old.to, old.message.clone());
                    let cosigner = world.nodes[&to].cosigner.clone();
                    cosigner.answer(from, &message).await;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(chance.below(1_500))).await;
        world.check();
    }
    if !wrong {
        // All faults gone: it heals.
        world.network(20, 0);
        world.down([]);
        world.lead([1 + chance.below(voters)]);
        let last = sizes[sizes.len() - 1] + 1;
        world.seal_all(last);
        for node in 1..=voters {
            world.kept(node, last).await;
            assert!(world.told(node).is_empty());
        }
    }
    world.check();
}

fn seal(world: &World, node: NodeId, book: &Book, sizes: &[u64]) {
    if let Some(size) = book.sealed.checked_sub(1).map(|at| sizes[at]) {
        let is_wrong = book.wrong_from.is_some_and(|from| size >= from);
        let root = if is_wrong {
            wrong_root(size)
        } else {
            root(size)
        };
        world.seal(node, size, root);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn no_schedule_makes_a_node_sign_two_roots_or_below_its_promise(
        seed in any::<u64>(),
        wrong in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(schedule(seed, wrong));
    }
}
