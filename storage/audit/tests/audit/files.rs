//! A log as files: what a directory may look like, and the program that verifies it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tollbook_audit::dir::{self, Options, Records, RecordsError};
use tollbook_audit::layout::{note_name, parse_note_name, parse_segment_name, segment_name};
use tollbook_audit::report::{Report, Strictness, Verdict};
use tollbook_audit::trust::single_signer_text;

use crate::book::{Book, call_id, key, outcome_of};

/// A node's directory that is gone when dropped.
struct Folder {
    root: PathBuf,
}

impl Folder {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        fs::create_dir_all(root.join("log/seg")).unwrap();
        fs::create_dir_all(root.join("log/checkpoints")).unwrap();
        let folder = Self { root };
        folder.put(
            "trust.policy",
            single_signer_text(&key().verifier()).as_bytes(),
        );
        folder
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::File::create(self.root.join(name))
            .unwrap()
            .write_all(bytes)
            .unwrap();
    }

    fn of(name: &str, book: &Book) -> Self {
        let folder = Self::new(name);
        folder.write(book);
        folder
    }

    fn write(&self, book: &Book) {
        for (first_index, bytes) in &book.segments {
            self.put(&format!("log/seg/{}", segment_name(*first_index)), bytes);
        }
        for (size, bytes) in &book.notes {
            self.put(&format!("log/checkpoints/{}", note_name(*size)), bytes);
        }
        if let Some((_, newest)) = book.notes.last_key_value() {
            self.put("log/checkpoint", newest);
        }
    }

    fn verify(&self) -> Report {
        dir::verify(&self.root, &Options::default())
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollbook-verify"));
        command.arg(&self.root).args(args).output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).ok();
    }
}

#[test]
fn a_node_directory_and_its_log_directory_verify_alike() {
    let folder = Folder::of("alike", &Book::sample());
    let outer = folder.verify();
    assert_eq!(outcome_of(&outer), (Verdict::Valid, ""), "{outer}");
    let inner = dir::verify(&folder.root.join("log"), &Options::default());
    assert_eq!(outer.to_json(), inner.to_json());
    assert!(outer.to_string().contains("single signer"), "{outer}");
    assert!(
        outer.to_string().contains("it lay beside the log"),
        "{outer}"
    );
}

#[test]
fn a_segment_longer_than_one_read_verifies() {
    let mut book = Book::new();
    for round in 0..700 {
        for number in 0..4 {
            book.call(round * 10 + number);
        }
    }
    book.checkpoint();
    assert!(book.segments[&0].len() > 2 * 1024 * 1024);
    let report = Folder::of("long", &book).verify();
    assert_eq!(outcome_of(&report), (Verdict::Valid, ""), "{report}");
    assert_eq!(report.records, book.head.size());
}

#[test]
fn the_newest_checkpoint_file_counts_on_its_own() {
    let mut book = Book::sample();
    let folder = Folder::of("newest", &book);
    // The list of notes is cut together with the log, the newest file is forgotten.
    book.segments.pop_last();
    let (size, _) = book.notes.pop_last().unwrap();
    fs::remove_file(folder.root.join("log/checkpoints").join(note_name(size))).unwrap();
    let last = folder.root.join("log/seg").join(segment_name(105));
    assert_eq!(
        dir::segments(&folder.root).unwrap().last(),
        Some(&105),
        "the sample's last"
    );
    fs::remove_file(last).unwrap();
    let report = folder.verify();
    assert_eq!(
        outcome_of(&report),
        (Verdict::Tampered, "short"),
        "{report}"
    );
}

#[test]
fn what_is_missing_or_not_to_be_read_is_unreadable_and_named() {
    let folder = Folder::of("missing", &Book::sample());
    let gone = folder.root.join("nowhere");
    let report = dir::verify(&gone, &Options::default());
    assert_eq!(
        outcome_of(&report),
        (Verdict::Unreadable, "read"),
        "{report}"
    );
    assert!(report.finding.unwrap().file.contains("nowhere"));
    let options = Options {
        trust: Some(gone.clone()),
        ..Options::default()
    };
    let report = dir::verify(&folder.root, &options);
    assert_eq!(
        outcome_of(&report),
        (Verdict::Unreadable, "read"),
        "{report}"
    );
    let options = Options {
        known: Some(gone),
        ..Options::default()
    };
    let report = dir::verify(&folder.root, &options);
    assert_eq!(
        outcome_of(&report),
        (Verdict::Unreadable, "read"),
        "{report}"
    );
    folder.put("trust.policy", b"log nonsense\nquorum none\n");
    let report = folder.verify();
    assert_eq!(
        outcome_of(&report),
        (Verdict::Unreadable, "trust"),
        "{report}"
    );
    assert!(report.to_string().contains("line 1"), "{report}");
    let empty = Folder::new("empty");
    let report = empty.verify();
    assert_eq!(
        outcome_of(&report),
        (Verdict::Incomplete, "no_checkpoint"),
        "{report}"
    );
}

#[test]
fn other_files_beside_the_log_are_not_its_business() {
    let folder = Folder::of("others", &Book::sample());
    folder.put("log/seg/README", b"x");
    folder.put("log/seg/5.tbs", b"x");
    folder.put("log/checkpoints/105.note.tmp", b"x");
    folder.put("log/checkpoints/0105.note", b"x");
    assert_eq!(outcome_of(&folder.verify()), (Verdict::Valid, ""));
}

#[test]
fn names_of_files_have_one_spelling() {
    assert_eq!(segment_name(7), "00000000000000000007.tbs");
    assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
    assert_eq!(parse_note_name(&note_name(0)), Some(0));
    for bad in [
        "7.tbs",
        "+0000000000000000007.tbs",
        "00000000000000000007.tbs.tmp",
        "",
    ] {
        assert_eq!(parse_segment_name(bad), None, "{bad}");
    }
    for bad in [
        "07.note",
        "+7.note",
        "7",
        ".note",
        "18446744073709551616.note",
    ] {
        assert_eq!(parse_note_name(bad), None, "{bad}");
    }
}

#[test]
fn the_program_says_it_with_its_exit_code() {
    let mut book = Book::sample();
    let folder = Folder::of("program", &book);
    let sound = folder.run(&["--strict", "--json"]);
    assert_eq!(sound.status.code(), Some(0));
    let json = String::from_utf8(sound.stdout).unwrap();
    assert!(
        json.starts_with("{\"format\":1,\"verdict\":\"valid\","),
        "{json}"
    );
    assert!(json.ends_with("}\n"), "{json}");
    let newest = folder.root.join("log/checkpoint");
    let known = folder.root.join("kept.note");
    fs::copy(newest, &known).unwrap();
    let trust = folder.root.join("trust.policy");
    let named = [
        "--known",
        known.to_str().unwrap(),
        "--trust",
        trust.to_str().unwrap(),
    ];
    let output = folder.run(&named);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("valid\n"), "{text}");
    assert!(!text.contains("--known"), "{text}");
    assert!(!text.contains("beside the log"), "{text}");
    book.intent(&call_id(999));
    folder.write(&book);
    assert_eq!(folder.run(&[]).status.code(), Some(0));
    assert_eq!(folder.run(&["--strict"]).status.code(), Some(4));
    book.segments.get_mut(&0).unwrap()[200] ^= 1;
    folder.write(&book);
    let output = folder.run(&["--json"]);
    assert_eq!(output.status.code(), Some(3));
    let json = String::from_utf8(output.stdout).unwrap();
    let place = "\"finding\":{\"check\":\"frame\",\"file\":\"seg/00000000000000000000.tbs\",\
        \"frame\":0,\"record\":0,";
    assert!(json.contains(place), "{json}");
    assert_eq!(folder.run(&["--chain"]).status.code(), Some(3));
    fs::remove_file(folder.root.join("trust.policy")).unwrap();
    assert_eq!(folder.run(&[]).status.code(), Some(4));
}

#[test]
fn a_wrong_command_line_is_usage_and_help_is_not() {
    let folder = Folder::new("usage");
    for bad in [
        &["--nonsense"][..],
        &["--known"],
        &["--trust", "a", "--trust", "b"],
        &["another"],
    ] {
        let output = folder.run(bad);
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("--help"), "{text}");
    }
    let bare = Command::new(env!("CARGO_BIN_EXE_tollbook-verify"))
        .output()
        .unwrap();
    assert_eq!(bare.status.code(), Some(2));
    for (flag, text) in [
        ("--help", "Usage: tollbook-verify DIR"),
        ("-V", "tollbook-verify 0"),
    ] {
        let output = folder.run(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(text));
    }
}

#[test]
fn records_are_read_from_any_index_and_followed_as_they_come() {
    let mut book = Book::sample();
    let folder = Folder::of("records", &book);
    let size = book.head.size();
    for from in [0, 1, 35, 36, 70, size - 1, size, size + 5] {
        let records = Records::open(&folder.root, from).unwrap();
        let indices: Vec<u64> = records.map(|record| record.unwrap().0).collect();
        assert_eq!(indices, (from..size).collect::<Vec<_>>(), "from {from}");
    }
    let mut follower = Records::open(&folder.root.join("log"), size).unwrap();
    assert!(follower.next().is_none());
    let last = *book.segments.last_key_value().unwrap().0;
    book.started();
    let whole = book.segments[&last].clone();
    // Half a frame is not there yet.
    folder.put(
        &format!("log/seg/{}", segment_name(last)),
        &whole[..whole.len() - 40],
    );
    assert!(follower.next().is_none());
    folder.write(&book);
    assert_eq!(follower.next().unwrap().unwrap().0, size);
    assert!(follower.next().is_none());
    book.meta.config_epoch += 1;
    book.call(5);
    assert!(
        *book.segments.last_key_value().unwrap().0 > last,
        "a new segment"
    );
    folder.write(&book);
    let indices: Vec<u64> = follower.by_ref().map(|record| record.unwrap().0).collect();
    assert_eq!(indices, [size + 1, size + 2]);
    assert!(follower.next().is_none());
}

#[test]
fn records_stop_at_a_broken_frame() {
    let mut book = Book::new();
    book.call(1);
    let at = book.segments[&0].len();
    book.call(2);
    book.segments.get_mut(&0).unwrap()[at + 140] ^= 1;
    let folder = Folder::of("broken", &book);
    let mut records = Records::open(&folder.root, 0).unwrap();
    let read: Vec<u64> = records
        .by_ref()
        .take(3)
        .map(|record| record.unwrap().0)
        .collect();
    assert_eq!(read, [0, 1, 2]);
    assert!(matches!(
        records.next(),
        Some(Err(RecordsError::Frame { record: 3, .. }))
    ));
    assert!(records.next().is_none());
}

#[test]
fn a_report_of_the_same_log_is_the_same_text() {
    let folder = Folder::of("same", &Book::sample());
    let (one, two) = (folder.verify(), folder.verify());
    assert_eq!(one.to_string(), two.to_string());
    assert_eq!(one.to_json(), two.to_json());
    assert_eq!(one.exit_code(Strictness::Strict), 0);
}
