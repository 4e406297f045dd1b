//! A book that begins with a snapshot's head, and how the rest comes into it.

mod crashes;

use std::collections::BTreeMap;

use tollbook_storage::{
    Engine, EngineError, Extent, Incoming, Misfit, Missing, TakeError, Unfit, Wrote,
};

use super::Machine;
use super::frames::Frames;

/// Segments of 3, 1, 4 and 4 frames.
fn frames() -> Frames {
    Frames::with_cuts(12, 300, &[3, 4, 8])
}

/// Frames of the head's state.
const HEAD: usize = 10;

fn book<E: Engine>(engine: &E) -> BTreeMap<u64, Vec<u8>> {
    let read = |segment| engine.read_segment(segment, 0, 1 << 30).unwrap();
    let held = engine.segments().into_iter();
    held.map(|held| (held.segment, read(held.segment)))
        .collect()
}

/// In chunks that end where no frame does.
fn bring<E: Engine>(engine: &E, mut incoming: Incoming, bytes: &[u8]) -> Result<(), TakeError> {
    for chunk in bytes.chunks(129) {
        engine.take_in(&mut incoming, chunk)?;
    }
    engine.put_in(incoming)
}

fn bring_head<E: Engine>(engine: &E, frames: &Frames) -> Result<(), TakeError> {
    let head = frames.head(HEAD);
    let incoming = Incoming::head(head.segment, head.bytes, frames.place(HEAD));
    bring(engine, incoming, &frames.book(HEAD)[&head.segment])
}

fn begin_at_head<E: Engine>(engine: &E, frames: &Frames) {
    bring_head(engine, frames).unwrap();
    engine.adopt_head().unwrap();
}

fn newest_hole<E: Engine>(engine: &E) -> Option<Missing> {
    engine.missing().last().copied()
}

/// What a peer holds below a hole.
fn segment_below<'a>(whole: &'a BTreeMap<u64, Vec<u8>>, hole: &Missing) -> (u64, &'a [u8]) {
    let below = whole.range(..hole.until.records);
    let (segment, bytes) = below.last().unwrap();
    (*segment, bytes)
}

fn fill_all<E: Engine>(engine: &E, frames: &Frames) -> Result<(), TakeError> {
    let whole = frames.book(12);
    while let Some(hole) = newest_hole(engine) {
        let (segment, bytes) = segment_below(&whole, &hole);
        bring(engine, Incoming::segment(segment, &hole), bytes)?;
    }
    Ok(())
}

pub(crate) fn a_head_behind_the_book_leaves_a_hole<M: Machine>(machine: &M) {
    let frames = frames();
    let engine = machine.open();
    engine.append_frame(frames.get(0)).unwrap();
    assert_eq!(engine.missing(), []);
    bring_head(&engine, &frames).unwrap();
    // Nothing is changed before the state is.
    assert_eq!(engine.segment_tail().unwrap().frame_no, 0);
    assert_eq!(engine.staged_head().unwrap(), Some(frames.head(HEAD)));
    drop(engine);
    let engine = machine.open();
    assert_eq!(engine.staged_head().unwrap(), Some(frames.head(HEAD)));
    engine.adopt_head().unwrap();
    assert_eq!(engine.staged_head().unwrap(), None);
    drop(engine);
    for _ in 0..2 {
        let engine = machine.open();
        assert_eq!(engine.segment_tail().unwrap().frame_no, 9);
        let hole = Missing {
            below: Some(0),
            until: frames.place(8),
        };
        assert_eq!(engine.missing(), [hole]);
        let held = engine.segments();
        let extents: Vec<_> = held
            .iter()
            .map(|held| (held.segment, held.extent))
            .collect();
        assert_eq!(extents, [(0, Extent::Partial), (8, Extent::Growing)]);
    }
    let engine = machine.open();
    assert_eq!(engine.append_frame(frames.get(9)).unwrap(), Wrote::Compared);
    assert_eq!(engine.append_frame(frames.get(10)).unwrap(), Wrote::Written);
    assert_eq!(engine.append_frame(frames.get(0)).unwrap(), Wrote::Compared);
    let refused = engine.append_frame(frames.get(1)).unwrap_err();
    assert!(matches!(
        refused,
        EngineError::FrameGap { last: Some(10), .. }
    ));
}

pub(crate) fn a_hole_is_filled_from_its_end_down<M: Machine>(machine: &M) {
    let frames = frames();
    let engine = machine.open();
    engine.append_frame(frames.get(0)).unwrap();
    engine.append_frame(frames.get(1)).unwrap();
    begin_at_head(&engine, &frames);
    let whole = frames.book(HEAD);
    let mut filled = Vec::new();
    while let Some(hole) = newest_hole(&engine) {
        let (segment, bytes) = segment_below(&whole, &hole);
        bring(&engine, Incoming::segment(segment, &hole), bytes).unwrap();
        filled.push(segment);
    }
    assert_eq!(filled, [4, 3, 0]);
    engine.append_frame(frames.get(10)).unwrap();
    assert_eq!(book(&engine), frames.book(11));
    drop(engine);
    let engine = machine.open();
    assert_eq!(engine.missing(), []);
    engine.append_frame(frames.get(11)).unwrap();
    assert_eq!(book(&engine), frames.book(12));
    let extents: Vec<_> = engine.segments().iter().map(|held| held.extent).collect();
    let [whole, growing] = [Extent::Whole, Extent::Growing];
    assert_eq!(extents, [whole, whole, whole, growing]);
}

pub(crate) fn a_head_that_the_book_holds_already_changes_nothing<M: Machine>(machine: &M) {
    let frames = frames();
    let engine = machine.open();
    for frame in frames.iter().take(11) {
        engine.append_frame(frame).unwrap();
    }
    begin_at_head(&engine, &frames);
    assert_eq!(engine.staged_head().unwrap(), None);
    assert_eq!(book(&engine), frames.book(11));
    assert_eq!(engine.append_frame(frames.get(11)).unwrap(), Wrote::Written);
}

/// What a peer sends that lies, is damaged, or holds another book.
fn lies(frames: &Frames) -> Vec<(Vec<u8>, Misfit)> {
    let segment = frames.book(12)[&4].clone();
    let length = frames.get(4).bytes.len();
    let frame = |n: usize| frames.get(n).bytes;
    let mut flipped = segment.clone();
    flipped[length + 200] ^= 1;
    let mut no_frame = segment.clone();
    no_frame[length] ^= 1;
    let other_log = Frames::with_cuts(12, 301, &[3, 4, 8]).book(12)[&4].clone();
    let mut remade = segment.clone();
    // A frame whose own hash fits, with another record in it.
    remade[length + 200] ^= 1;
    let hashed = 2 * length - 32;
    let hash = blake3_of(&remade[length..hashed]);
    remade[hashed..2 * length].copy_from_slice(&hash);
    let hash_differs = Misfit::Frame(tollbook_audit::FrameError::HashDiffers);
    vec![
        (flipped, hash_differs),
        (no_frame, Misfit::Frame(tollbook_audit::FrameError::Magic)),
        (remade, Misfit::Chain),
        (segment[..3 * length].to_vec(), Misfit::Short),
        (segment[..3 * length + 50].to_vec(), Misfit::Short),
        (Vec::new(), Misfit::Short),
        ([&segment[..], frame(8)].concat(), Misfit::TooLong),
        ([&segment[..], &[0; 9]].concat(), Misfit::TooLong),
        (
            [frame(4), frame(6), frame(5), frame(7)].concat(),
            Misfit::Order,
        ),
        ([frame(4), frame(4)].concat(), Misfit::Order),
        (frames.book(12)[&0].clone(), Misfit::Order),
        // Two segments as one: a whole chain, cut in another place.
        (segment[length..].to_vec(), Misfit::Order),
        (other_log, Misfit::OtherLog),
    ]
}

fn blake3_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(tollbook_audit::frame::FRAME_CONTEXT)
        .update(bytes)
        .finalize()
        .as_bytes()
}

pub(crate) fn bytes_that_do_not_fit_are_refused_and_change_nothing<M: Machine>(machine: &M) {
    let frames = frames();
    let engine = machine.open();
    begin_at_head(&engine, &frames);
    let before = book(&engine);
    let hole = newest_hole(&engine).unwrap();
    for (at, (lie, expected)) in lies(&frames).into_iter().enumerate() {
        let refused = bring(&engine, Incoming::segment(4, &hole), &lie).unwrap_err();
        let misfit = match refused {
            TakeError::Unfit(unfit) => Some(unfit.misfit),
            TakeError::Engine(_) => None,
        };
        assert_eq!(misfit, Some(expected), "{at}");
        assert_eq!(book(&engine), before, "{at}");
        assert_eq!(engine.missing(), [hole], "{at}");
    }
    // Segments 3 and 4 as one.
    let joined = [&frames.book(12)[&3][..], &frames.book(12)[&4]].concat();
    let refused = bring(&engine, Incoming::segment(3, &hole), &joined).unwrap_err();
    assert!(matches!(
        refused,
        TakeError::Unfit(Unfit {
            misfit: Misfit::TooLong,
            ..
        })
    ));
    fill_all(&engine, &frames).unwrap();
}

pub(crate) fn another_frame_of_ours_is_never_replaced<M: Machine>(machine: &M) {
    let frames = frames();
    let ours = Frames::with_cuts(2, 301, &[]);
    let engine = machine.open();
    for frame in ours.iter() {
        engine.append_frame(frame).unwrap();
    }
    begin_at_head(&engine, &frames);
    let refused = fill_all(&engine, &frames).unwrap_err();
    assert!(matches!(
        refused,
        TakeError::Engine(EngineError::FrameDiffers {
            segment: 0,
            frame_no: 0
        })
    ));
    assert_eq!(book(&engine)[&0], ours.book(2)[&0]);
    drop(engine);
    assert_eq!(book(&machine.open())[&0], ours.book(2)[&0]);
}

pub(crate) fn a_damaged_end_of_ours_is_replaced_by_checked_bytes<M: Machine>(machine: &M) {
    let frames = frames();
    let engine = machine.open();
    for frame in frames.iter().take(3) {
        engine.append_frame(frame).unwrap();
    }
    begin_at_head(&engine, &frames);
    fill_all(&engine, &frames).unwrap();
    drop(engine);
    // In the hash that ends segment 0, and in the first header of segment 4.
    machine.damage(0, frames.book(12)[&0].len() - 1);
    machine.damage(4, 0);
    let engine = machine.open();
    let holes: Vec<_> = engine.missing().iter().map(|hole| hole.below).collect();
    assert_eq!(holes, [Some(0), Some(3)]);
    fill_all(&engine, &frames).unwrap();
    assert_eq!(book(&engine), frames.book(HEAD));
}

pub(crate) fn a_second_incoming_ends_the_first<M: Machine>(machine: &M) {
    let frames = frames();
    let engine = machine.open();
    begin_at_head(&engine, &frames);
    let hole = newest_hole(&engine).unwrap();
    let bytes = &frames.book(12)[&4];
    let mut first = Incoming::segment(4, &hole);
    engine.take_in(&mut first, &bytes[..500]).unwrap();
    let mut second = Incoming::segment(4, &hole);
    engine.take_in(&mut second, &bytes[..700]).unwrap();
    let refused = engine.take_in(&mut first, &bytes[500..]).unwrap_err();
    assert!(matches!(
        refused,
        TakeError::Unfit(Unfit {
            misfit: Misfit::Superseded,
            ..
        })
    ));
    engine.take_in(&mut second, &bytes[700..]).unwrap();
    engine.put_in(second).unwrap();
    assert_eq!(book(&engine)[&4], *bytes);
}

pub(crate) fn what_came_in_part_is_gone_at_the_next_open<M: Machine>(machine: &M) {
    let frames = frames();
    let engine = machine.open();
    let head = frames.head(HEAD);
    let mut incoming = Incoming::head(head.segment, head.bytes, frames.place(HEAD));
    let bytes = &frames.book(HEAD)[&head.segment];
    engine.take_in(&mut incoming, &bytes[..400]).unwrap();
    drop(engine);
    let engine = machine.open();
    let refused = engine.take_in(&mut incoming, &bytes[400..]).unwrap_err();
    assert!(matches!(
        refused,
        TakeError::Unfit(Unfit {
            misfit: Misfit::Superseded,
            ..
        })
    ));
    assert_eq!(engine.staged_head().unwrap(), None);
    assert_eq!(engine.segments(), []);
    bring_head(&engine, &frames).unwrap();
    engine.discard_head().unwrap();
    assert_eq!(engine.staged_head().unwrap(), None);
    engine.append_frame(frames.get(0)).unwrap();
}
