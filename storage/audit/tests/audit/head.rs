//! What the head promises to the replicated state: the same frames from the same entries.

use tollbook_audit::frame::{FRAME_CONTEXT, FrameError, HEADER_BYTES, next_frame};
use tollbook_audit::head::{HeadError, log_id};
use tollbook_audit::limits::{RECORD_BYTES_MAX, SEGMENT_SPAN_US_MAX};
use tollbook_audit::{Head, hex};

use crate::book::{Book, ORIGIN};

const GOLDEN: &str = include_str!("golden/frames.hex");

#[test]
fn the_first_frames_of_a_log_have_their_golden_bytes() {
    let mut book = Book::new();
    book.started();
    book.checkpoint();
    let frames: Vec<String> = book.frames.iter().map(|frame| hex(&frame.bytes)).collect();
    let golden: Vec<&str> = GOLDEN.lines().collect();
    assert_eq!(
        frames, golden,
        "a change of these bytes forks every log that exists"
    );
}

#[test]
fn a_frame_is_laid_out_as_the_format_says() {
    let mut book = Book::new();
    book.started();
    let (first, second) = (&book.frames[0], &book.frames[1].bytes);
    let at = |from: usize, to: usize| second[from..to].to_vec();
    let body_len = second.len() - HEADER_BYTES - 32;
    assert_eq!(at(0, 8), b"TBF1\x01\0\0\0");
    assert_eq!(at(8, 12), u32::try_from(body_len).unwrap().to_le_bytes());
    assert_eq!(at(12, 16), 1_u32.to_le_bytes());
    assert_eq!(at(16, 24), 1_u64.to_le_bytes());
    assert_eq!(at(24, 32), 1_u64.to_le_bytes());
    assert_eq!(at(32, 40), book.meta.term.to_le_bytes());
    assert_eq!(at(40, 48), book.meta.log_index.to_le_bytes());
    assert_eq!(at(48, 52), book.meta.config_epoch.to_le_bytes());
    assert_eq!(at(52, 56), book.meta.node.to_le_bytes());
    assert_eq!(at(56, 64), book.meta.wall_us.0.to_le_bytes());
    let genesis = next_frame(&first.bytes)
        .unwrap()
        .unwrap()
        .records()
        .next()
        .unwrap();
    assert_eq!(at(64, 80), log_id(ORIGIN, genesis));
    assert_eq!(at(80, 112), first.hash);
    assert_eq!(at(112, 128), [0; 16]);
    assert_eq!(
        at(128, 130),
        u16::try_from(body_len - 2).unwrap().to_be_bytes()
    );
    let hash = blake3::derive_key(FRAME_CONTEXT, &second[..HEADER_BYTES + body_len]);
    assert_eq!(at(second.len() - 32, second.len()), hash);
}

#[test]
fn a_log_continues_from_stored_bytes_as_from_memory() {
    let mut live = Book::sample();
    let mut stored = live.clone();
    stored.head = Head::from_bytes(&live.head.to_bytes()).expect("our own bytes");
    assert_eq!(stored.head, live.head);
    for book in [&mut live, &mut stored] {
        book.call(900);
        book.checkpoint();
    }
    assert_eq!(live.frames, stored.frames);
    assert_eq!(live.head, stored.head);
}

#[test]
fn a_cut_or_foreign_head_is_refused() {
    let bytes = Book::sample().head.to_bytes();
    let fixed = bytes.len() - ORIGIN.len();
    for length in 0..fixed {
        assert_eq!(
            Head::from_bytes(&bytes[..length]),
            Err(HeadError::Malformed),
            "{length}"
        );
    }
    let mut newer = bytes.clone();
    newer[0] = 2;
    assert_eq!(
        Head::from_bytes(&newer),
        Err(HeadError::Version { version: 2 })
    );
    let latin = [&bytes[..fixed], b"\xe9".as_slice()].concat();
    assert_eq!(Head::from_bytes(&latin), Err(HeadError::Malformed));
}

#[test]
fn a_frame_is_full_at_65_536_bytes_and_not_before() {
    let record = vec![b'x'; RECORD_BYTES_MAX];
    let mut book = Book::new();
    book.tick();
    book.raw_entry(&[record.clone(), vec![b'y'; RECORD_BYTES_MAX - 4]]);
    assert_eq!(book.frames.len(), 2, "65,536 bytes are one frame");
    assert_eq!(book.frames[1].count, 2);
    book.tick();
    book.raw_entry(&[record, vec![b'y'; RECORD_BYTES_MAX - 3]]);
    assert_eq!(book.frames.len(), 4, "65,537 bytes are two");
    book.tick();
    book.raw_entry(&[]);
    assert_eq!(book.frames.len(), 4, "no records, no frame");
    let numbers: Vec<u64> = book.frames.iter().map(|frame| frame.frame_no).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    let firsts: Vec<u64> = book.frames.iter().map(|frame| frame.first_index).collect();
    assert_eq!(firsts, [0, 1, 3, 4]);
}

#[test]
fn a_seal_is_due_only_after_another_record() {
    let mut book = Book::new();
    assert!(book.head.seal_is_due());
    let first = book.checkpoint();
    assert_eq!((first.size, book.head.sealed_size()), (2, 2));
    assert!(!book.head.seal_is_due());
    // An idle hour: asked every second, it adds nothing.
    for _ in 0..3_600 {
        book.meta.wall_us.0 += 1_000_000;
        book.meta.log_index += 1;
        assert_eq!(book.head.seal(&book.meta, None), None);
    }
    assert_eq!(book.head.size(), 2);
    book.started();
    assert_eq!(book.checkpoint().size, 4);
}

#[test]
fn a_segment_ends_at_an_hour_and_at_a_membership_change() {
    let mut book = Book::new();
    book.meta.wall_us.0 += SEGMENT_SPAN_US_MAX - 1_001;
    book.started();
    assert_eq!(book.segments.len(), 1, "a microsecond short of the hour");
    book.started();
    assert_eq!(book.segments.keys().copied().collect::<Vec<_>>(), [0, 2]);
    book.started();
    assert_eq!(book.segments.len(), 2, "the hour counts anew");
    book.membership();
    assert_eq!(book.segments.keys().copied().collect::<Vec<_>>(), [0, 2, 4]);
    book.checkpoint();
    assert_eq!(
        book.verify()
            .exit_code(tollbook_audit::report::Strictness::Strict),
        0
    );
}

#[test]
fn a_segment_ends_before_the_frame_that_would_pass_256_mib() {
    let mut book = Book::new();
    book.started();
    let length = book.frames[1].bytes.len() as u64;
    let (segment, filled) = book.head.segment();
    assert_eq!(segment, 0);
    // A head whose open segment has room for one more such frame, and one with a byte less.
    for (room, offset) in [(length, 256 * 1024 * 1024 - length), (length - 1, 0)] {
        let mut bytes = book.head.to_bytes();
        let full = 256 * 1024 * 1024 - room;
        let at = bytes
            .windows(8)
            .position(|part| part == filled.to_le_bytes())
            .unwrap();
        bytes[at..at + 8].copy_from_slice(&full.to_le_bytes());
        let mut near = book.clone();
        near.head = Head::from_bytes(&bytes).unwrap();
        assert_eq!(near.head.segment(), (0, full));
        near.tick();
        let record = book.frames[1].bytes[130..][..usize::try_from(length).unwrap() - 162].to_vec();
        let frame = near.head.append(&near.meta, &[record]).remove(0);
        assert_eq!(frame.bytes.len() as u64, length);
        assert_eq!(frame.segment_offset, offset);
        assert_eq!(frame.segment_first_index, if offset == 0 { 2 } else { 0 });
    }
}

#[test]
fn a_frame_that_is_not_whole_is_nothing_yet_and_a_wrong_one_is_an_error() {
    let book = Book::new();
    let bytes = &book.frames[0].bytes;
    for length in 0..bytes.len() {
        assert!(matches!(next_frame(&bytes[..length]), Ok(None)), "{length}");
    }
    let two = [bytes.as_slice(), bytes].concat();
    assert_eq!(next_frame(&two).unwrap().unwrap().bytes, bytes);
    for (at, error) in [
        (0, FrameError::Magic),
        (4, FrameError::Version { version: 0 }),
        (6, FrameError::Reserved),
        (
            10,
            FrameError::BodyTooLong {
                body_len: 0x1_0000 | body_len(bytes),
            },
        ),
        (16, FrameError::HashDiffers),
        (112, FrameError::Reserved),
        (127, FrameError::Reserved),
        (200, FrameError::HashDiffers),
        (bytes.len() - 1, FrameError::HashDiffers),
    ] {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert_eq!(next_frame(&bad).err(), Some(error), "byte {at}");
    }
}

fn body_len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len() - HEADER_BYTES - 32).unwrap()
}

#[test]
fn record_lengths_must_fill_the_body_exactly() {
    let good = &Book::new().frames[0].bytes;
    let length = good.len() - HEADER_BYTES - 32 - 2;
    let forged = |count: u32, body_cut: usize, length: usize| {
        let mut bytes = good[..good.len() - 32 - body_cut].to_vec();
        let body_len = u32::try_from(bytes.len() - HEADER_BYTES).unwrap();
        bytes[8..12].copy_from_slice(&body_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&count.to_le_bytes());
        bytes[128..130].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        let hash = blake3::derive_key(FRAME_CONTEXT, &bytes);
        next_frame(&[bytes, hash.to_vec()].concat()).map(|_| ())
    };
    assert_eq!(forged(1, 0, length), Ok(()));
    for (count, cut, length, record) in [
        (0, 0, length, 0),
        (2, 0, length, 1),
        (u32::MAX, 0, length, 1),
        (1, 0, length + 1, 0),
        (1, 0, length - 1, 1),
        (1, 1, length, 0),
        (1, 0, 0, 0),
    ] {
        assert_eq!(
            forged(count, cut, length),
            Err(FrameError::RecordLength { record })
        );
    }
}
