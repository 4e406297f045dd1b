//! The same promises, asked of the real engine and of its twin.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests may panic"
)]

mod frames;
mod holes;

use bytes::Bytes;

use tollbook_storage::{Applied, Engine, EngineError, MetaKey, StateWrite, Wrote};

use self::frames::Frames;
use self::holes::{
    a_damaged_end_of_ours_is_replaced_by_checked_bytes, a_head_behind_the_book_leaves_a_hole,
    a_head_that_the_book_holds_already_changes_nothing, a_hole_is_filled_from_its_end_down,
    a_second_incoming_ends_the_first, another_frame_of_ours_is_never_replaced,
    bytes_that_do_not_fit_are_refused_and_change_nothing,
    what_came_in_part_is_gone_at_the_next_open,
};

/// Something that can be opened again after the engine was closed in order.
trait Machine {
    type Engine: Engine;
    fn open(&self) -> Self::Engine;
    /// Changes a byte of a segment behind the closed engine's back.
    fn damage(&self, segment: u64, at: usize);
}

mod memory {
    use tollbook_storage::{Disk, Memory};

    #[derive(Default)]
    pub(crate) struct Twin(Disk);

    impl super::Machine for Twin {
        type Engine = Memory;

        fn open(&self) -> Memory {
            Memory::open(&self.0).unwrap()
        }

        fn damage(&self, segment: u64, at: usize) {
            self.0
                .edit_segments(|segments| segments.get_mut(&segment).unwrap()[at] ^= 1);
        }
    }
}

#[cfg(feature = "rocksdb")]
mod rocks {
    use tempfile::TempDir;
    use tollbook_storage::{Paths, Rocks};

    pub(crate) struct Real(pub(crate) TempDir);

    impl Default for Real {
        fn default() -> Self {
            Self(tempfile::tempdir().unwrap())
        }
    }

    impl Real {
        pub(crate) fn paths(&self) -> Paths {
            let path = self.0.path();
            Paths {
                database: path.join("db"),
                segments: path.join("log/seg"),
            }
        }
    }

    impl super::Machine for Real {
        type Engine = Rocks;

        fn open(&self) -> Rocks {
            Rocks::open(&self.paths()).unwrap()
        }

        fn damage(&self, segment: u64, at: usize) {
            let file = self.paths().segments.join(format!("{segment:020}.tbs"));
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[at] ^= 1;
            let mut file = std::fs::File::create(file).unwrap();
            std::io::Write::write_all(&mut file, &bytes).unwrap();
        }
    }
}

/// Runs each claim against both.
macro_rules! claims {
    ($($claim:ident),* $(,)?) => {
        mod on_memory {
            $(#[test] fn $claim() { super::$claim(&super::memory::Twin::default()); })*
        }
        #[cfg(feature = "rocksdb")]
        mod on_rocks {
            $(#[test] fn $claim() { super::$claim(&super::rocks::Real::default()); })*
        }
    };
}

claims!(
    appended_entries_are_read_back_in_order,
    a_gap_in_the_log_is_refused,
    a_read_stops_at_its_byte_limit_but_gives_one,
    a_truncated_log_ends_before_the_cut_and_goes_on,
    a_purged_log_begins_after_the_mark_and_may_go_on_beyond,
    meta_rows_are_overwritten_and_survive_reopening,
    state_rows_are_set_removed_and_shown_in_order,
    a_replaced_state_has_the_new_rows_alone,
    a_flush_says_up_to_where_the_state_is_durable,
    frames_are_written_once_and_compared_after,
    another_frame_in_the_same_place_is_refused,
    a_frame_out_of_turn_is_refused,
    a_new_segment_begins_at_its_first_frame,
    a_segment_is_read_up_to_its_last_whole_frame,
    a_head_behind_the_book_leaves_a_hole,
    a_hole_is_filled_from_its_end_down,
    a_head_that_the_book_holds_already_changes_nothing,
    bytes_that_do_not_fit_are_refused_and_change_nothing,
    another_frame_of_ours_is_never_replaced,
    a_damaged_end_of_ours_is_replaced_by_checked_bytes,
    a_second_incoming_ends_the_first,
    what_came_in_part_is_gone_at_the_next_open,
);

fn rows(count: u64, from: u64) -> Vec<Bytes> {
    (from..from + count)
        .map(|index| Bytes::from(format!("entry {index}")))
        .collect()
}

fn read_all<E: Engine>(engine: &E) -> Vec<u64> {
    engine
        .read_log(0..u64::MAX, usize::MAX)
        .unwrap()
        .into_iter()
        .map(|(index, _)| index)
        .collect()
}

fn appended_entries_are_read_back_in_order<M: Machine>(machine: &M) {
    let engine = machine.open();
    assert_eq!(engine.log_range(), None);
    engine.append_log(3, &rows(2, 3)).unwrap();
    engine.append_log(5, &rows(300, 5)).unwrap();
    engine.sync().unwrap();
    let found = engine.read_log(4..7, usize::MAX).unwrap();
    let expected: Vec<_> = (4..7).zip(rows(3, 4)).collect();
    assert_eq!(found, expected);
    assert_eq!(engine.read_log(7..7, usize::MAX).unwrap(), []);
    drop(engine);
    let engine = machine.open();
    assert_eq!(engine.log_range(), Some((3, 304)));
    assert_eq!(read_all(&engine), (3..305).collect::<Vec<_>>());
}

fn a_gap_in_the_log_is_refused<M: Machine>(machine: &M) {
    let engine = machine.open();
    engine.append_log(1, &rows(2, 1)).unwrap();
    for first in [1, 2, 4] {
        let refused = engine.append_log(first, &rows(1, first)).unwrap_err();
        assert!(matches!(refused, EngineError::LogGap { last: 2, found } if found == first));
    }
    assert_eq!(read_all(&engine), [1, 2]);
}

fn a_read_stops_at_its_byte_limit_but_gives_one<M: Machine>(machine: &M) {
    let engine = machine.open();
    let big = Bytes::from(vec![7; 1000]);
    engine
        .append_log(0, &[big.clone(), big.clone(), big])
        .unwrap();
    assert_eq!(engine.read_log(0..3, 1).unwrap().len(), 1);
    assert_eq!(engine.read_log(0..3, 1001).unwrap().len(), 2);
    assert_eq!(engine.read_log(0..3, usize::MAX).unwrap().len(), 3);
}

fn a_truncated_log_ends_before_the_cut_and_goes_on<M: Machine>(machine: &M) {
    let engine = machine.open();
    engine.append_log(1, &rows(9, 1)).unwrap();
    engine.truncate_log(20).unwrap();
    assert_eq!(engine.log_range(), Some((1, 9)));
    engine.truncate_log(5).unwrap();
    assert_eq!(engine.log_range(), Some((1, 4)));
    engine
        .append_log(5, &[Bytes::from_static(b"other")])
        .unwrap();
    engine.sync().unwrap();
    drop(engine);
    let engine = machine.open();
    assert_eq!(read_all(&engine), [1, 2, 3, 4, 5]);
    assert_eq!(
        engine.read_log(5..6, 1).unwrap(),
        [(5, Bytes::from_static(b"other"))]
    );
    engine.truncate_log(0).unwrap();
    assert_eq!(engine.log_range(), None);
    assert_eq!(read_all(&engine), []);
}

fn a_purged_log_begins_after_the_mark_and_may_go_on_beyond<M: Machine>(machine: &M) {
    let engine = machine.open();
    engine.append_log(1, &rows(9, 1)).unwrap();
    engine.purge_log(4, b"four").unwrap();
    assert_eq!(engine.log_range(), Some((5, 9)));
    assert_eq!(
        engine.meta(MetaKey::Purged).unwrap().as_deref(),
        Some(&b"four"[..])
    );
    engine.purge_log(20, b"twenty").unwrap();
    assert_eq!(engine.log_range(), None);
    engine.append_log(21, &rows(1, 21)).unwrap();
    engine.sync().unwrap();
    drop(engine);
    let engine = machine.open();
    assert_eq!(read_all(&engine), [21]);
    assert_eq!(
        engine.meta(MetaKey::Purged).unwrap().as_deref(),
        Some(&b"twenty"[..])
    );
}

fn meta_rows_are_overwritten_and_survive_reopening<M: Machine>(machine: &M) {
    let engine = machine.open();
    assert_eq!(engine.meta(MetaKey::Vote).unwrap(), None);
    engine.put_meta(MetaKey::Vote, b"one").unwrap();
    engine.put_meta(MetaKey::Committed, b"c").unwrap();
    engine.put_meta(MetaKey::Vote, b"two").unwrap();
    engine.sync().unwrap();
    drop(engine);
    let engine = machine.open();
    assert_eq!(
        engine.meta(MetaKey::Vote).unwrap().as_deref(),
        Some(&b"two"[..])
    );
    assert_eq!(
        engine.meta(MetaKey::Committed).unwrap().as_deref(),
        Some(&b"c"[..])
    );
    assert_eq!(engine.meta(MetaKey::Purged).unwrap(), None);
}

fn set(key: &[u8], value: &[u8]) -> StateWrite {
    (key.to_vec(), Some(value.to_vec()))
}

fn shown<E: Engine>(engine: &E) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    engine
        .each_row(&mut |key, value| rows.push((key.to_vec(), value.to_vec())))
        .unwrap();
    rows
}

fn state_rows_are_set_removed_and_shown_in_order<M: Machine>(machine: &M) {
    let engine = machine.open();
    assert_eq!(engine.applied().unwrap(), None);
    assert_eq!(shown(&engine), []);
    engine
        .apply(
            3,
            b"m3",
            &[set(b"b", b"1"), set(b"", b"empty"), set(b"\xff\xff", b"2")],
        )
        .unwrap();
    engine
        .apply(4, b"m4", &[set(b"a", b"3"), (b"b".to_vec(), None)])
        .unwrap();
    let rows = [(&b""[..], &b"empty"[..]), (b"a", b"3"), (b"\xff\xff", b"2")];
    assert_eq!(
        shown(&engine),
        rows.map(|(key, value)| (key.to_vec(), value.to_vec()))
    );
    engine.flush().unwrap();
    drop(engine);
    let engine = machine.open();
    assert_eq!(
        shown(&engine),
        rows.map(|(key, value)| (key.to_vec(), value.to_vec()))
    );
    assert_eq!(
        engine.applied().unwrap(),
        Some(Applied {
            index: 4,
            mark: b"m4".to_vec()
        })
    );
}

fn a_replaced_state_has_the_new_rows_alone<M: Machine>(machine: &M) {
    let engine = machine.open();
    engine
        .apply(3, b"m3", &[set(b"a", b"1"), set(b"\xff", b"2")])
        .unwrap();
    let rows = [(b"b".to_vec(), b"9".to_vec())];
    engine.replace_state(9, b"m9", &rows).unwrap();
    assert_eq!(shown(&engine), rows);
    drop(engine);
    let engine = machine.open();
    assert_eq!(shown(&engine), rows);
    assert_eq!(
        engine.applied().unwrap(),
        Some(Applied {
            index: 9,
            mark: b"m9".to_vec()
        })
    );
}

fn a_flush_says_up_to_where_the_state_is_durable<M: Machine>(machine: &M) {
    let engine = machine.open();
    assert_eq!(engine.flush().unwrap(), None);
    engine.apply(7, b"", &[set(b"k", b"v")]).unwrap();
    assert_eq!(engine.flush().unwrap(), Some(7));
    assert_eq!(engine.flush().unwrap(), Some(7));
    drop(engine);
    assert_eq!(machine.open().flush().unwrap(), Some(7));
}

fn frames_are_written_once_and_compared_after<M: Machine>(machine: &M) {
    let frames = Frames::new(5, 300);
    let engine = machine.open();
    assert_eq!(engine.segment_tail(), None);
    for frame in frames.iter() {
        assert_eq!(engine.append_frame(frame).unwrap(), Wrote::Written);
    }
    engine.sync_segments().unwrap();
    let tail = engine.segment_tail().unwrap();
    assert_eq!((tail.frame_no, tail.next_record), (4, 5));
    drop(engine);
    let engine = machine.open();
    assert_eq!(engine.segment_tail(), Some(tail));
    for frame in frames.iter().skip(2) {
        assert_eq!(engine.append_frame(frame).unwrap(), Wrote::Compared);
    }
    let longer = Frames::new(6, 300);
    assert_eq!(engine.append_frame(longer.get(5)).unwrap(), Wrote::Written);
}

fn another_frame_in_the_same_place_is_refused<M: Machine>(machine: &M) {
    let engine = machine.open();
    Frames::new(3, 300)
        .iter()
        .for_each(|frame| assert_eq!(engine.append_frame(frame).unwrap(), Wrote::Written));
    let others = Frames::new(3, 301);
    let refused = engine.append_frame(others.get(0)).unwrap_err();
    assert!(matches!(
        refused,
        EngineError::FrameDiffers {
            segment: 0,
            frame_no: 0
        }
    ));
}

fn a_frame_out_of_turn_is_refused<M: Machine>(machine: &M) {
    let frames = Frames::new(4, 300);
    let engine = machine.open();
    engine.append_frame(frames.get(0)).unwrap();
    for skipped in [2, 3] {
        let refused = engine.append_frame(frames.get(skipped)).unwrap_err();
        assert!(matches!(
            refused,
            EngineError::FrameGap { last: Some(0), .. }
        ));
    }
    let mut damaged = frames.get(1).bytes.to_vec();
    damaged[200] ^= 1;
    let damaged = tollbook_storage::SegmentFrame {
        bytes: &damaged,
        ..frames.get(1)
    };
    assert!(matches!(
        engine.append_frame(damaged),
        Err(EngineError::FrameGap { .. })
    ));
    engine.append_frame(frames.get(1)).unwrap();
}

fn a_new_segment_begins_at_its_first_frame<M: Machine>(machine: &M) {
    let frames = Frames::with_cuts(9, 300, &[3, 4, 8]);
    let engine = machine.open();
    frames
        .iter()
        .for_each(|frame| assert_eq!(engine.append_frame(frame).unwrap(), Wrote::Written));
    drop(engine);
    let engine = machine.open();
    assert_eq!(engine.segment_tail().unwrap().segment, 8);
    frames.iter().for_each(|frame| {
        assert_eq!(engine.append_frame(frame).unwrap(), Wrote::Compared);
    });
    let first = engine.read_segment(3, 0, 1 << 20).unwrap();
    assert_eq!(first, frames.get(3).bytes);
}

fn a_segment_is_read_up_to_its_last_whole_frame<M: Machine>(machine: &M) {
    let frames = Frames::new(2, 300);
    let engine = machine.open();
    frames
        .iter()
        .for_each(|frame| assert_eq!(engine.append_frame(frame).unwrap(), Wrote::Written));
    let all = engine.read_segment(0, 0, 1 << 20).unwrap();
    assert_eq!(all, [frames.get(0).bytes, frames.get(1).bytes].concat());
    let at = frames.get(1).offset;
    assert_eq!(engine.read_segment(0, at, 4).unwrap(), b"TBF1");
    assert_eq!(engine.read_segment(0, all.len() as u64, 4).unwrap(), []);
    assert_eq!(engine.read_segment(77, 0, 4).unwrap(), []);
}

#[cfg(feature = "rocksdb")]
mod directory {
    use tollbook_storage::{Engine, EngineError, Rocks, Wrote};

    use super::frames::Frames;
    use super::rocks::Real;
    use super::{Machine, set};

    #[test]
    fn a_directory_in_use_is_refused_by_name() {
        let real = Real::default();
        let first = real.open();
        let refused = Rocks::open(&real.paths()).unwrap_err();
        assert!(matches!(refused, EngineError::InUse { .. }));
        drop(first);
        drop(real.open());
    }

    #[test]
    fn a_torn_tail_is_cut_by_the_next_write_and_not_before() {
        let real = Real::default();
        let frames = Frames::new(3, 300);
        let engine = real.open();
        engine.append_frame(frames.get(0)).unwrap();
        drop(engine);
        let file = real.paths().segments.join("00000000000000000000.tbs");
        let whole = std::fs::read(&file).unwrap();
        let torn = [&whole[..], &frames.get(1).bytes[..77]].concat();
        {
            use std::io::Write;
            let mut open = std::fs::File::create(&file).unwrap();
            open.write_all(&torn).unwrap();
        }
        let engine = real.open();
        assert_eq!(engine.segment_tail().unwrap().frame_no, 0);
        assert_eq!(std::fs::read(&file).unwrap(), torn);
        assert_eq!(engine.append_frame(frames.get(0)).unwrap(), Wrote::Compared);
        assert_eq!(engine.append_frame(frames.get(1)).unwrap(), Wrote::Written);
        let bytes = [frames.get(0).bytes, frames.get(1).bytes].concat();
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
    }

    #[test]
    fn temporary_files_are_removed_at_open() {
        let real = Real::default();
        drop(real.open());
        let segments = real.paths().segments;
        for name in ["head.part", "segment.part", "notes.txt"] {
            drop(std::fs::File::create(segments.join(name)).unwrap());
        }
        drop(real.open());
        let names = std::fs::read_dir(segments).unwrap();
        let names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
        assert_eq!(names, ["notes.txt"]);
    }

    /// Many flushes while others write: no state may be durable before its frames.
    #[test]
    fn a_flush_beside_writes_covers_what_came_before() {
        let real = Real::default();
        let engine = real.open();
        let frames = Frames::new(200, 300);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10 {
                    engine.flush().unwrap();
                }
            });
            for frame in frames.iter() {
                engine.append_frame(frame).unwrap();
                let index = frame.frame_no;
                engine
                    .apply(index, b"", &[set(&index.to_be_bytes(), b"v")])
                    .unwrap();
            }
        });
        assert_eq!(engine.flush().unwrap(), Some(199));
        drop(engine);
        assert_eq!(real.open().applied().unwrap().unwrap().index, 199);
    }
}
