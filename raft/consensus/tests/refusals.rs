//! Nodes that must not serve, each with its own reason.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may panic"
)]
#![expect(dead_code, reason = "the other runner uses the rest of the machine")]

mod common;

use std::sync::{Arc, Mutex};

use tollbook_raft::{Cluster, CommitError, Failure, MaxSigned, Options, StartError};
use tollbook_state::command::{Command, Genesis, Micros};
use tollbook_storage::{Crash, Disk, EngineError, Memory};

use self::common::{Machine, Outcome};

#[test]
fn another_log_s_book_under_a_flushed_state_is_refused() {
    let mut machine = Machine::new();
    assert_eq!(machine.live(), Outcome::Orderly);
    let mut other = Machine::at(5);
    assert_eq!(other.live(), Outcome::Orderly);
    machine.take_book_of(&other);
    let refused = machine.start_error(machine.signed());
    assert!(
        matches!(refused, StartError::BookDiffers { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_frame_that_the_replay_makes_otherwise_is_refused() {
    // So early that no state is flushed: the replay makes every frame again.
    let step = 20;
    let mut machine = Machine::new();
    assert_eq!(machine.live_until(step), Outcome::Died);
    machine.crash(Crash::Process);
    let mut other = Machine::at(5);
    assert_eq!(other.live_until(step), Outcome::Died);
    machine.take_book_of(&other);
    let refused = machine.start_error(None);
    let StartError::Failure(Failure::Engine(EngineError::FrameDiffers {
        segment: 0,
        frame_no: 0,
    })) = refused
    else {
        panic!("{refused:?}");
    };
}

#[test]
fn a_book_longer_than_its_log_is_refused() {
    let mut machine = Machine::new();
    let mut longer = Machine::new();
    assert_eq!(machine.live(), Outcome::Orderly);
    assert_eq!(longer.live(), Outcome::Orderly);
    assert_eq!(longer.live(), Outcome::Orderly);
    let before = machine.frames();
    machine.take_book_of(&longer);
    let refused = machine.start_error(machine.signed());
    let StartError::BookAhead { book, log } = refused else {
        panic!("{refused:?}")
    };
    // One frame more than before: the next leader's.
    assert_eq!((book, log), (longer.frames(), before + 1));
}

#[test]
fn a_log_that_ends_before_what_was_signed_is_refused() {
    let mut machine = Machine::new();
    assert_eq!(machine.live(), Outcome::Orderly);
    let MaxSigned { size, root } = machine.signed().unwrap();
    let refused = machine.start_error(Some(MaxSigned {
        size: size + 5,
        root,
    }));
    let StartError::SignedAhead { signed, records } = refused else {
        panic!("{refused:?}")
    };
    // One record more than was signed: the next leader's.
    assert_eq!((signed, records), (size + 5, size + 1));
}

#[test]
fn a_log_of_other_records_than_were_signed_is_refused() {
    let mut machine = Machine::new();
    assert_eq!(machine.live(), Outcome::Orderly);
    let MaxSigned { size, mut root } = machine.signed().unwrap();
    root[0] ^= 1;
    let refused = machine.start_error(Some(MaxSigned { size, root }));
    let StartError::SignedDiffers { size: refused } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refused, size);
    // What it did sign, it starts with.
    assert_eq!(machine.live(), Outcome::Orderly);
}

/// With its log gone a node would begin anew under its old number, or vote for what it forgot.
#[test]
fn a_disk_that_lost_its_log_is_refused() {
    let mut machine = Machine::new();
    assert_eq!(machine.live(), Outcome::Orderly);
    let signed = machine.signed().unwrap();
    let refused = Machine::new().start_error(Some(signed));
    let StartError::SignedAhead {
        signed: size,
        records: 0,
    } = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(size, signed.size);
}

/// A bug of ours while an entry is applied: the program is told, and nobody waits for ever.
#[test]
fn a_panic_in_apply_ends_the_node_and_lets_all_go() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut options = Options::new(1, 1, Arc::new(|| Micros(1_700_000_000_000_000)));
    let tell = Arc::clone(&told);
    options.on_failure = Arc::new(move |failure| tell.lock().unwrap().push(failure.to_string()));
    options.on_frames = Some(Arc::new(|_, _| panic!("a bug")));
    let genesis = Genesis {
        origin: "test/tollbook/1".into(),
        log_key: "key".into(),
        members: vec![(1, "node-key".into())],
        software: "test".into(),
        prior: None,
    };
    let runtime = common::runtime();
    runtime.block_on(async {
        let memory = Memory::open(&Disk::new()).unwrap();
        let (cluster, node) = Cluster::start_here(options, memory).await.unwrap();
        let node = runtime.spawn(node);
        let genesis = Command::Genesis(genesis);
        let waiting = [cluster.commit(&genesis), cluster.commit(&Command::Seal)];
        for result in futures_util::future::join_all(waiting).await {
            assert_eq!(result, Err(CommitError::Unknown));
        }
        cluster.ended().await;
        node.await.unwrap();
        assert_eq!(cluster.commit(&genesis).await, Err(CommitError::Stopping));
    });
    // Blank and membership before it: the genesis is the first entry with a frame.
    assert_eq!(*told.lock().unwrap(), ["entry 2 cannot be applied"]);
}
