//! What somebody may do to a log afterwards, and what the verifier says to it.

use tollbook_audit::note::LogKey;
use tollbook_audit::record::{Genesis, Key, Node, Seal, Verdict as Decision};
use tollbook_audit::report::{Strictness, Verdict};
use tollbook_audit::trust::{Trust, single_signer_text};
use tollbook_audit::verify::Depth;
use tollbook_audit::{EntryMeta, Micros, Record, hex};

use crate::book::{
    Book, ORIGIN, START, call_id, encode, intent, key, outcome_of, trust, with_record,
};

#[track_caller]
fn assert_tampered(book: &Book, check: &str) {
    let report = book.verify();
    assert_eq!(outcome_of(&report), (Verdict::Tampered, check), "{report}");
    assert_eq!(report.exit_code(Strictness::Lenient), 3);
    assert!(report.exceptions().is_empty(), "{report}");
}

#[test]
fn a_log_closed_by_an_orderly_stop_is_valid() {
    let book = Book::sample();
    assert!(book.head.size() >= 100);
    assert_eq!(book.segments.len(), 4);
    let report = book.verify();
    assert_eq!(outcome_of(&report), (Verdict::Valid, ""), "{report}");
    assert_eq!(report.exit_code(Strictness::Strict), 0);
    assert_eq!(
        (report.records, report.notes, report.segments),
        (book.head.size(), 4, 4)
    );
    let kinds: u64 = report.kinds.iter().map(|(_, count)| count).sum();
    assert_eq!(kinds, book.head.size());
}

#[test]
fn every_flipped_bit_of_every_segment_is_found_in_its_frame() {
    let book = Book::sample();
    let last = *book.segments.last_key_value().unwrap().0;
    let trust = trust();
    let mut verifier = book.verifier(&trust);
    for (segment, good) in &book.segments {
        let name = format!("seg/{segment:020}.tbs");
        verifier.begin_segment(&name, *segment).unwrap();
        for frame in book
            .frames
            .iter()
            .filter(|frame| frame.segment_first_index == *segment)
        {
            let mut rest = good[usize::try_from(frame.segment_offset).unwrap()..].to_vec();
            for bit in 0..frame.bytes.len() * 8 {
                rest[bit / 8] ^= 1 << (bit % 8);
                // What was read before is the same for all: go on from there.
                let mut flipped = verifier.clone();
                let read = flipped.feed(&rest);
                let read = read.and_then(|at| flipped.end_segment(&rest[at..], *segment == last));
                let report = flipped.stopped(read.expect_err("a flipped bit"));
                rest[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(
                    report.verdict,
                    Verdict::Tampered,
                    "bit {bit} of {frame:?}: {report}"
                );
                assert_eq!(report.exit_code(Strictness::Lenient), 3);
                let finding = report.finding.unwrap();
                assert_eq!(finding.file, name);
                assert_eq!(finding.frame, Some(frame.frame_no));
                assert_eq!(finding.record, Some(frame.first_index));
            }
            verifier.feed(&frame.bytes).unwrap();
        }
    }
    assert_eq!(outcome_of(&verifier.finish()), (Verdict::Valid, ""));
}

#[test]
fn a_flipped_bit_in_each_byte_is_found_when_the_whole_log_is_read() {
    let mut book = Book::new();
    book.call(1);
    book.checkpoint();
    for at in 0..book.segments[&0].len() {
        flip(&mut book, 0, at, u8::try_from(at % 8).unwrap());
        assert_eq!(book.verify().verdict, Verdict::Tampered, "byte {at}");
        flip(&mut book, 0, at, u8::try_from(at % 8).unwrap());
    }
}

fn flip(book: &mut Book, segment: u64, at: usize, bit: u8) {
    book.segments.get_mut(&segment).unwrap()[at] ^= 1 << bit;
}

#[test]
fn removed_doubled_and_swapped_frames_are_found() {
    let book = Book::sample();
    let frames = book.raw_frames();
    for at in 0..frames.len() {
        let mut removed = frames.clone();
        removed.remove(at);
        let check = if at + 1 == frames.len() {
            "short"
        } else {
            "frame_number"
        };
        assert_tampered(&book.with_frames(&removed), check);
        let mut doubled = frames.clone();
        doubled.insert(at, frames[at].clone());
        assert_tampered(&book.with_frames(&doubled), "frame_number");
        if at > 0 {
            let mut swapped = frames.clone();
            swapped.swap(at - 1, at);
            assert_tampered(&book.with_frames(&swapped), "frame_number");
        }
    }
}

#[test]
fn removed_doubled_and_swapped_frames_are_found_when_chained_anew() {
    let book = Book::sample();
    let frames = book.raw_frames();
    for at in 1..frames.len() {
        let mut removed = frames.clone();
        removed.remove(at);
        let forged = book.rechained(&removed);
        assert_eq!(
            forged.verify().verdict,
            Verdict::Tampered,
            "frame {at} removed"
        );
        let mut doubled = frames.clone();
        doubled.insert(at, frames[at].clone());
        let forged = book.rechained(&doubled);
        assert_eq!(
            forged.verify().verdict,
            Verdict::Tampered,
            "frame {at} doubled"
        );
        if at > 1 {
            let mut swapped = frames.clone();
            swapped.swap(at - 1, at);
            let forged = book.rechained(&swapped);
            assert_eq!(
                forged.verify().verdict,
                Verdict::Tampered,
                "frame {at} swapped"
            );
        }
    }
}

#[test]
fn edited_records_and_headers_are_found_when_chained_anew() {
    let book = Book::sample();
    let frames = book.raw_frames();
    let edited = |at: usize, edit: &dyn Fn(&mut Vec<u8>)| {
        let mut edited = frames.clone();
        edit(&mut edited[at]);
        book.rechained(&edited)
    };
    // What no seal and no root sees, the frame's own record does.
    assert_tampered(&edited(5, &|frame| frame[52] ^= 2), "record_node");
    assert_tampered(&edited(5, &|frame| frame[56] ^= 1), "record_time");
    // What no record sees, the next seal does.
    assert_tampered(&edited(5, &|frame| frame[40] -= 1), "seal_header");
    assert_tampered(&edited(5, &|frame| frame[32] += 1), "term");
    assert_tampered(&edited(5, &|frame| frame[32] -= 1), "term");
    assert_tampered(&edited(5, &|frame| frame[48] -= 1), "config_epoch");
    assert_tampered(&edited(5, &|frame| frame[40] -= 5), "log_index");
    assert_tampered(&edited(5, &|frame| frame[64] ^= 1), "log_id");
    assert_tampered(&edited(5, &|frame| frame[57] -= 64), "wall");
    assert_tampered(
        &edited(5, &|frame| *frame = with_record(frame, "refund", "repaid")),
        "seal_header",
    );
}

#[test]
fn an_edit_that_repairs_the_seal_too_is_found_by_the_root() {
    let mut book = Book::new();
    book.call(1);
    book.checkpoint();
    let frames = book.raw_frames();
    let mut edited = frames.clone();
    edited[1] = with_record(&edited[1], "refund", "repaid");
    // The forger writes the seal's record again as well, so that it fits the new chain.
    let forged = book.rechained(&edited);
    let before = forged.segments[&0].len() - frames[3].len() - 32;
    let chain = hex(&forged.segments[&0][before..before + 32]);
    let old = hex(&book.frames[2].hash);
    edited[3] = with_record(&edited[3], &old, &chain);
    let forged = book.rechained(&edited);
    assert_tampered(&forged, "root");
    assert_eq!(forged.verify().finding.unwrap().file, "checkpoints/4.note");
}

#[test]
fn a_cut_tail_is_found_at_every_byte() {
    let mut book = Book::new();
    book.call(1);
    book.checkpoint();
    book.call(2);
    book.checkpoint();
    let whole = book.segments[&0].clone();
    let frames: Vec<u64> = book
        .frames
        .iter()
        .map(|frame| frame.segment_offset)
        .collect();
    for length in 0..whole.len() {
        let mut cut = book.clone();
        cut.segments.insert(0, whole[..length].to_vec());
        let check = if frames.contains(&(length as u64)) {
            "short"
        } else {
            "torn"
        };
        assert_tampered(&cut, check);
    }
}

#[test]
fn a_log_without_its_first_or_a_middle_segment_is_tampered_with() {
    let book = Book::sample();
    let segments: Vec<u64> = book.segments.keys().copied().collect();
    for segment in &segments {
        let mut cut = book.clone();
        cut.segments.remove(segment);
        let check = if Some(segment) == segments.last() {
            "short"
        } else {
            "segment_name"
        };
        assert_tampered(&cut, check);
    }
    let mut renamed = book;
    let last = renamed.segments.pop_last().unwrap();
    renamed.segments.insert(last.0 + 1, last.1);
    assert_tampered(&renamed, "segment_name");
}

#[test]
fn frames_of_another_log_are_found() {
    let book = Book::sample();
    let other_key = LogKey::from_seed("other.example/tollbook/2", &[9; 32]).unwrap();
    let mut other = Book::of("other.example/tollbook/2", &other_key);
    other.call(1);
    other.notes.clone_from(&book.notes);
    assert_tampered(&other, "origin");
    // The same origin and key, but another beginning: a second log that was made from a copy.
    let mut twin = Book::new();
    twin.raw_entry(&[]);
    let mut frames = book.raw_frames();
    let start = twin.meta.wall_us.0;
    let twin_genesis = with_record(&frames[0], "0.1.0", "0.1.1");
    frames[0] = twin_genesis;
    assert_eq!(start, START);
    assert_tampered(&book.rechained(&frames), "log_id");
}

#[test]
fn another_key_is_found() {
    let book = Book::sample();
    let other = LogKey::from_seed(ORIGIN, &[9; 32]).unwrap();
    let trust = Trust::parse(single_signer_text(&other.verifier()).as_bytes()).unwrap();
    let report = book.verify_with(&trust, None, Depth::Full);
    assert_eq!(outcome_of(&report), (Verdict::Tampered, "note"), "{report}");
}

#[test]
fn a_frame_appended_with_a_valid_chain_is_an_unsealed_tail() {
    let mut book = Book::sample();
    book.denied(&call_id(999));
    let report = book.verify();
    assert_eq!(outcome_of(&report), (Verdict::Exceptions, ""), "{report}");
    assert_eq!(report.unsealed(), 1);
    assert_eq!(report.exit_code(Strictness::Lenient), 0);
    assert_eq!(report.exit_code(Strictness::Strict), 4);
    assert!(
        report
            .to_string()
            .contains("1 records above the newest checkpoint"),
        "{report}"
    );
}

#[test]
fn a_tail_that_a_crash_left_is_an_exception_only_above_every_checkpoint() {
    let mut book = Book::sample();
    let last = *book.segments.last_key_value().unwrap().0;
    let sealed = book.segments[&last].len();
    book.denied(&call_id(999));
    let whole = book.segments[&last].clone();
    for length in sealed + 1..whole.len() {
        let mut torn = book.clone();
        torn.segments.insert(last, whole[..length].to_vec());
        let report = torn.verify();
        assert_eq!(outcome_of(&report), (Verdict::Exceptions, ""), "{report}");
        assert_eq!(report.torn_bytes, (length - sealed) as u64);
    }
    // A file that grew before its bytes were there.
    let mut torn = book.clone();
    torn.segments
        .insert(last, [&whole[..sealed], &[0; 5_000]].concat());
    assert_eq!(torn.verify().torn_bytes, 5_000);
    for kept in sealed + 40..whole.len() - 32 {
        torn.segments.insert(
            last,
            [&whole[..kept], &vec![0; whole.len() - kept]].concat(),
        );
        let report = torn.verify();
        assert_eq!(outcome_of(&report), (Verdict::Exceptions, ""), "{report}");
        assert_eq!(report.torn_bytes, (whole.len() - sealed) as u64);
    }
    // A segment that was only begun.
    let mut begun = book.clone();
    begun.segments.insert(book.head.size(), Vec::new());
    assert_eq!(begun.verify().unsealed(), 1);
    // Rubbish is not what a crash leaves, nor is a torn frame that others follow.
    let mut rubbish = book.clone();
    rubbish
        .segments
        .insert(last, [&whole[..sealed], b"\0\0\0\0rubbish"].concat());
    assert_tampered(&rubbish, "frame");
    let mut followed = book.clone();
    followed.segments.insert(last, whole[..sealed + 9].to_vec());
    followed.segments.insert(book.head.size() - 1, Vec::new());
    assert_tampered(&followed, "torn");
}

#[test]
fn an_old_head_replayed_contradicts_a_kept_checkpoint() {
    let book = Book::sample();
    let newest = book.notes.last_key_value().unwrap().1.clone();
    let mut old = book.clone();
    let (size, _) = old.notes.pop_last().unwrap();
    let (last, _) = old.segments.pop_last().unwrap();
    assert!(last < size);
    // On its own the old state is sound: only somebody who kept a newer note can tell.
    assert_eq!(outcome_of(&old.verify()), (Verdict::Valid, ""));
    let report = old.verify_with(&trust(), Some(&newest), Depth::Full);
    assert_eq!(
        outcome_of(&report),
        (Verdict::Diverged, "short"),
        "{report}"
    );
    assert_eq!(report.exit_code(Strictness::Lenient), 3);
    let report = book.verify_with(&trust(), Some(&newest), Depth::Full);
    assert_eq!(outcome_of(&report), (Verdict::Valid, ""), "{report}");
}

#[test]
fn who_holds_the_key_can_rewrite_only_what_nobody_kept_a_checkpoint_of() {
    let mut honest = Book::new();
    honest.call(1);
    let kept = honest.checkpoint();
    let kept = key().sign(&kept);
    let mut rewritten = Book::new();
    rewritten.call(2);
    rewritten.checkpoint();
    assert_eq!(outcome_of(&rewritten.verify()), (Verdict::Valid, ""));
    let report = rewritten.verify_with(&trust(), Some(kept.as_bytes()), Depth::Full);
    assert_eq!(outcome_of(&report), (Verdict::Diverged, "root"), "{report}");
}

#[test]
fn a_known_note_that_is_not_signed_proves_nothing() {
    let book = Book::sample();
    let other = LogKey::from_seed(ORIGIN, &[9; 32]).unwrap();
    let note = other.sign(&Book::new().checkpoint());
    let report = book.verify_with(&trust(), Some(note.as_bytes()), Depth::Full);
    assert_eq!(
        outcome_of(&report),
        (Verdict::Unreadable, "note"),
        "{report}"
    );
    assert_eq!(report.exit_code(Strictness::Lenient), 4);
}

#[test]
fn a_known_note_of_another_trusted_log_is_no_contradiction() {
    let other_key = LogKey::from_seed("other.example/tollbook/2", &[9; 32]).unwrap();
    let text = format!("log {}\n", other_key.verifier()) + &single_signer_text(&key().verifier());
    let trust = Trust::parse(text.as_bytes()).unwrap();
    let mut other = Book::of("other.example/tollbook/2", &other_key);
    let known = other_key.sign(&other.seal());
    let book = Book::sample();
    let report = book.verify_with(&trust, Some(known.as_bytes()), Depth::Full);
    assert_eq!(
        outcome_of(&report),
        (Verdict::Unreadable, "origin"),
        "{report}"
    );
    let report = book.verify_with(&trust, None, Depth::Full);
    assert_eq!(outcome_of(&report), (Verdict::Valid, ""), "{report}");
    assert_eq!(report.keys, [key().verifier().to_string()]);
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_found_and_names_its_file() {
    let mut book = Book::new();
    book.call(1);
    book.checkpoint();
    let good = book.notes[&4].clone();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        book.notes.insert(4, bytes);
        let report = book.verify();
        assert_eq!(
            outcome_of(&report),
            (Verdict::Tampered, "note"),
            "bit {bit}: {report}"
        );
        assert_eq!(report.finding.unwrap().file, "checkpoints/4.note");
    }
}

#[test]
fn checkpoints_under_other_names_or_sizes_are_found() {
    let book = Book::sample();
    let mut renamed = book;
    let (size, note) = renamed.notes.pop_first().unwrap();
    renamed.notes.insert(size + 1, note);
    assert_tampered(&renamed, "checkpoint_name");
    // Signed by the log's own key, but over records that end in no seal.
    let mut loose = Book::new();
    loose.call(1);
    let checkpoint = tollbook_audit::note::Checkpoint {
        origin: ORIGIN.to_owned(),
        size: loose.head.size(),
        root: loose.head.root(),
    };
    loose
        .notes
        .insert(checkpoint.size, key().sign(&checkpoint).into_bytes());
    assert_tampered(&loose, "checkpoint_seal");
    let empty = tollbook_audit::note::Checkpoint {
        size: 0,
        ..checkpoint
    };
    loose.notes = [(0, key().sign(&empty).into_bytes())].into();
    assert_tampered(&loose, "checkpoint_name");
}

#[test]
fn a_log_that_nothing_vouches_for_is_incomplete() {
    let mut book = Book::sample();
    book.notes.clear();
    let report = book.verify();
    assert_eq!(
        outcome_of(&report),
        (Verdict::Incomplete, "no_checkpoint"),
        "{report}"
    );
    assert_eq!(report.exit_code(Strictness::Lenient), 4);
    assert_eq!(report.unsealed(), book.head.size());
    // Older ones may be thinned out: the newest vouches for all.
    let mut thinned = Book::sample();
    thinned.notes = thinned.notes.into_iter().next_back().into_iter().collect();
    assert_eq!(outcome_of(&thinned.verify()), (Verdict::Valid, ""));
}

#[test]
fn open_calls_held_clocks_and_restores_are_exceptions() {
    let mut book = Book::new();
    book.intent(&call_id(1));
    book.intent(&call_id(2));
    book.outcome(&call_id(1), "ok", false);
    book.clamped();
    book.checkpoint();
    let report = book.verify();
    assert_eq!(outcome_of(&report), (Verdict::Exceptions, ""), "{report}");
    assert_eq!((report.open_count, report.clock_records), (1, 1));
    assert_eq!(report.open, [(call_id(2), 2)]);
    let meta = EntryMeta {
        term: 1,
        log_index: 1,
        config_epoch: 1,
        node: 1,
        wall_us: Micros(START),
    };
    let genesis = Record::Genesis(Genesis {
        origin: ORIGIN,
        log_key: "k",
        members: &[],
        software: "0.1.0",
        prior: Some("old.example\n9\nAA==\n"),
    });
    let mut restored = Book::new();
    let (head, frames) =
        tollbook_audit::Head::begin(ORIGIN, &meta, &[encode(&meta, None, &genesis)]);
    restored.head = head;
    restored.segments = [(0, frames[0].bytes.clone())].into();
    restored.frames = frames;
    restored.checkpoint();
    let report = restored.verify();
    assert_eq!(outcome_of(&report), (Verdict::Exceptions, ""), "{report}");
    assert_eq!(report.continues.as_deref(), Some("old.example\n9\nAA==\n"));
}

type Story = fn(&mut Book);

/// Each ends in the one record that makes no sense.
const OUTCOMES: [(&str, Story); 7] = [
    ("outcome_without_intent", |book| {
        book.outcome(&call_id(1), "ok", false);
    }),
    ("outcome_without_intent", |book| {
        book.call(1);
        book.outcome(&call_id(1), "ok", false);
    }),
    ("outcome_without_intent", |book| {
        book.denied(&call_id(1));
        book.outcome(&call_id(1), "ok", false);
    }),
    ("outcome_late", |book| {
        book.call(1);
        book.outcome(&call_id(1), "ok", true);
    }),
    ("outcome_late", |book| {
        book.intent(&call_id(1));
        book.outcome(&call_id(1), "ok", true);
    }),
    ("outcome_late", |book| {
        book.intent(&call_id(1));
        book.outcome(&call_id(1), "unknown", false);
        book.outcome(&call_id(1), "unknown", true);
    }),
    ("outcome_late", |book| {
        book.intent(&call_id(1));
        book.outcome(&call_id(1), "unknown", false);
        book.outcome(&call_id(1), "ok", true);
        book.outcome(&call_id(1), "ok", true);
    }),
];

fn led(book: &mut Book, term: u64) {
    let event = "lead";
    let node = Node {
        event,
        term: Some(term),
        ..Node::default()
    };
    book.entry(&[(None, Record::Node(node))]);
}

fn rekeyed(book: &mut Book, former: &str, log_key: &str) {
    book.meta.config_epoch += 1;
    let (epoch, actor) = (book.meta.config_epoch, "a");
    let key = Key {
        epoch,
        actor,
        former,
        log_key,
    };
    book.entry(&[(None, Record::Key(key))]);
}

/// What the log says of its own course: epochs, keys, leaders.
const COURSE: [(&str, Story); 8] = [
    ("config_epoch", |book| {
        book.meta.config_epoch += 1;
        book.membership();
    }),
    ("record_epoch", |book| {
        book.meta.config_epoch += 1;
        book.started();
    }),
    ("record_epoch", |book| {
        book.membership();
        book.meta.config_epoch -= 1;
        book.membership();
    }),
    ("record_epoch", |book| {
        book.meta.config_epoch += 1;
        let node = Node {
            event: "recovered",
            boot: Some(1),
            epoch: Some(9),
            ..Node::default()
        };
        book.entry(&[(None, Record::Node(node))]);
    }),
    ("key_former", |book| rekeyed(book, "another", "next")),
    ("record_term", |book| led(book, 2)),
    ("record_term", |book| {
        led(book, 1);
        led(book, 1);
    }),
    ("record_term", |book| {
        book.meta.node = 3;
        led(book, 1);
        book.meta.node = 2;
        led(book, 1);
    }),
];

#[test]
fn a_log_that_changes_hands_and_keys_in_order_is_valid() {
    let mut book = Book::new();
    led(&mut book, 1);
    book.membership();
    let first = key().verifier().to_string();
    rekeyed(&mut book, &first, "second");
    rekeyed(&mut book, "second", &first);
    book.meta.node = 2;
    led(&mut book, 1);
    book.meta.node = 1;
    book.meta.term = 4;
    led(&mut book, 4);
    book.checkpoint();
    let report = book.verify();
    assert_eq!(outcome_of(&report), (Verdict::Valid, ""), "{report}");
}

const OTHERS: [(&str, Story); 5] = [
    ("call_twice", |book| {
        book.intent(&call_id(1));
        book.intent(&call_id(1));
    }),
    ("call_missing", |book| {
        let record = Record::Intent(intent(1, Decision::Allow));
        book.entry(&[(None, record)]);
    }),
    ("grant_sequence", |book| {
        book.gs += 1;
        book.listed();
    }),
    ("grant_sequence", |book| {
        book.call(1);
        book.gs -= 1;
        book.listed();
    }),
    ("genesis", |book| {
        let record = Genesis {
            origin: ORIGIN,
            log_key: "",
            members: &[],
            software: "",
            prior: None,
        };
        book.entry(&[(None, Record::Genesis(record))]);
    }),
];

#[test]
fn what_records_say_together_must_make_sense() {
    for (check, story) in OUTCOMES.into_iter().chain(COURSE).chain(OTHERS) {
        let mut book = Book::new();
        story(&mut book);
        book.checkpoint();
        assert_tampered(&book, check);
        assert_eq!(
            book.verify().finding.unwrap().record,
            Some(book.head.size() - 2),
            "{check}"
        );
    }
    let mut late = Book::new();
    late.intent(&call_id(1));
    late.outcome(&call_id(1), "unknown", false);
    late.outcome(&call_id(1), "ok", true);
    late.listed();
    late.checkpoint();
    assert_eq!(outcome_of(&late.verify()), (Verdict::Valid, ""));
}

#[test]
fn a_false_seal_is_found() {
    let seal = |book: &Book, previous| {
        let mut meta = book.meta;
        meta.log_index += 1;
        let chain = hex(&book.head.chain());
        let seal = Record::Seal(Seal {
            chain: &chain,
            index: book.head.size(),
            frame: book.head.frames(),
            term: meta.term,
            log_index: meta.log_index,
            config_epoch: meta.config_epoch,
            previous,
            beacon: None,
        });
        (meta, encode(&meta, None, &seal))
    };
    let mut company = Book::new();
    let (meta, record) = seal(&company, None);
    company.meta = meta;
    company.raw_entry(&[record.clone(), record]);
    company.checkpoint();
    assert_tampered(&company, "seal_alone");
    for previous in [None, Some("00")] {
        let mut forgetful = Book::new();
        forgetful.checkpoint();
        let (meta, record) = seal(&forgetful, previous);
        forgetful.meta = meta;
        forgetful.raw_entry(&[record]);
        assert_tampered(&forgetful, "seal_previous");
    }
    let mut early = Book::new();
    let (meta, record) = seal(&early, None);
    early.meta = meta;
    early.meta.log_index += 1;
    early.raw_entry(&[record]);
    early.checkpoint();
    assert_tampered(&early, "seal_header");
}

#[test]
fn a_record_of_a_newer_program_is_unreadable_and_not_tampered_with() {
    let newer = |book: &mut Book| {
        book.tick();
        let t = book.meta.wall_us.0;
        let record = format!("{{\"v\":1,\"k\":\"erase\",\"t\":{t},\"node\":1}}");
        book.raw_entry(&[record.into_bytes()]);
    };
    let mut book = Book::new();
    newer(&mut book);
    book.call(1);
    book.checkpoint();
    let report = book.verify();
    assert_eq!(
        outcome_of(&report),
        (Verdict::Unreadable, "unsupported"),
        "{report}"
    );
    assert_eq!(report.finding.unwrap().record, Some(1));
    // In a log whose root is another one it is a forgery all the same.
    let mut forged = Book::new();
    forged.started();
    forged.checkpoint();
    let mut frames = forged.raw_frames();
    frames[1] = with_record(&frames[1], "\"k\":\"node\"", "\"k\":\"erase\"");
    assert_eq!(
        forged.rechained(&frames).verify().verdict,
        Verdict::Tampered
    );
}

#[test]
fn the_chain_alone_finds_what_is_not_chained_and_says_what_it_did_not_look_at() {
    let book = Book::sample();
    let chain = |book: &Book| book.verify_with(&trust(), None, Depth::Chain);
    let report = chain(&book);
    assert_eq!(outcome_of(&report), (Verdict::Valid, ""), "{report}");
    assert!(
        report.to_string().contains("only the chain was asked for"),
        "{report}"
    );
    assert_eq!(report.records, book.head.size());
    let mut flipped = book.clone();
    flip(&mut flipped, 0, 300, 0);
    assert_eq!(outcome_of(&chain(&flipped)), (Verdict::Tampered, "frame"));
    let mut frames = book.raw_frames();
    frames.pop();
    assert_eq!(
        outcome_of(&chain(&book.with_frames(&frames))),
        (Verdict::Tampered, "short")
    );
    // Chained anew it passes: that is what the tree is for.
    let mut frames = book.raw_frames();
    frames[5] = with_record(&frames[5], "refund", "repaid");
    assert_eq!(
        outcome_of(&chain(&book.rechained(&frames))),
        (Verdict::Valid, "")
    );
}
