//! The machine stops at every single step of a snapshot's arrival and of the filling behind it.

use tollbook_storage::{Crash, Disk, Engine, HeadPlace, Memory, TakeError};

use super::super::frames::Frames;
use super::{HEAD, book, bring_head, fill_all, frames};

/// An old node with a part of the first segment, and an empty one.
const BEFORE: [usize; 3] = [0, 2, 6];

fn old_node(frames: &Frames, count: usize) -> Disk {
    let disk = Disk::new();
    let engine = Memory::open(&disk).unwrap();
    for frame in frames.iter().take(count) {
        engine.append_frame(frame).unwrap();
    }
    engine.apply(count as u64, b"", &[]).unwrap();
    engine.flush().unwrap();
    disk
}

/// Takes the snapshot, then goes on where the old log would have ended, then fills.
fn arrive(engine: &Memory, frames: &Frames) -> Result<(), TakeError> {
    if engine.applied()?.unwrap().index < HEAD as u64 {
        bring_head(engine, frames)?;
        engine.replace_state(HEAD as u64, b"", &[])?;
    }
    settle(engine, frames)?;
    for frame in frames.iter().skip(HEAD) {
        engine.append_frame(frame)?;
    }
    fill_all(engine, frames)?;
    engine.sync_segments()?;
    Ok(())
}

/// What a start does before anything else.
fn settle(engine: &Memory, frames: &Frames) -> Result<(), TakeError> {
    if engine.applied()?.unwrap().index == HEAD as u64 {
        engine.adopt_head()?;
        assert!(holds(engine, frames.head(HEAD)));
    } else {
        engine.discard_head()?;
    }
    Ok(())
}

fn holds(engine: &Memory, head: HeadPlace) -> bool {
    let at = head.bytes - 32;
    engine.read_segment(head.segment, at, 32).unwrap() == head.hash
}

/// Every segment is ours or theirs, from its beginning on, in whole frames.
fn check(engine: &Memory, frames: &Frames, before: usize) {
    let whole = frames.book(12);
    let ours = frames.book(before);
    let held = engine.segments();
    for (at, held) in held.iter().enumerate() {
        let bytes = engine.read_segment(held.segment, 0, 1 << 30).unwrap();
        assert!(whole[&held.segment].starts_with(&bytes));
        let newest = at + 1 == engine.segments().len();
        let kept = ours.get(&held.segment) == Some(&bytes);
        assert!(newest || kept || bytes == whole[&held.segment]);
    }
}

#[test]
fn a_power_loss_at_any_step_leaves_all_or_nothing_of_each_segment() {
    let frames = frames();
    for before in BEFORE {
        let disk = old_node(&frames, before);
        let begin = disk.steps();
        arrive(&Memory::open(&disk).unwrap(), &frames).unwrap();
        let steps = disk.steps() - begin;
        assert!(steps > 30, "{steps}");
        for step in 1..=steps {
            for crash in [Crash::Process, Crash::Power { seed: step }] {
                let disk = old_node(&frames, before);
                disk.fail_at(step);
                let engine = Memory::open(&disk).unwrap();
                assert!(arrive(&engine, &frames).is_err());
                assert!(disk.is_dead());
                disk.crash(crash);
                let engine = Memory::open(&disk).unwrap();
                check(&engine, &frames, before);
                settle(&engine, &frames).unwrap();
                arrive(&engine, &frames).unwrap();
                assert_eq!(book(&engine), frames.book(12));
                assert_eq!(engine.missing(), []);
            }
        }
    }
}

/// A second snapshot comes before the holes of the first are filled.
#[test]
fn holes_of_several_snapshots_are_filled_one_after_another() {
    let frames = Frames::with_cuts(40, 300, &[3, 4, 8, 15, 17, 22, 30]);
    let disk = old_node(&frames, 1);
    let engine = Memory::open(&disk).unwrap();
    for count in [6, 18, 19, 33, 40] {
        let head = frames.head(count);
        let place = frames.place(count);
        let incoming = tollbook_storage::Incoming::head(head.segment, head.bytes, place);
        super::bring(&engine, incoming, &frames.book(count)[&head.segment]).unwrap();
        engine.adopt_head().unwrap();
        assert!(holds(&engine, head));
    }
    let ends: Vec<_> = engine
        .missing()
        .iter()
        .map(|hole| (hole.below, hole.until.records))
        .collect();
    let expected = [(Some(0), 4), (Some(4), 17), (Some(17), 30)];
    assert_eq!(ends, expected);
    let whole = frames.book(40);
    while let Some(hole) = super::newest_hole(&engine) {
        let (segment, bytes) = super::segment_below(&whole, &hole);
        let incoming = tollbook_storage::Incoming::segment(segment, &hole);
        super::bring(&engine, incoming, bytes).unwrap();
    }
    assert_eq!(book(&engine), whole);
}
