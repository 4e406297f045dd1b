//! The auditor's trust file: its grammar, and what a quorum means.

use ed25519_dalek::{Signer, SigningKey};

use tollbook_audit::note::{Checkpoint, KeyKind, Note, NoteError, VerifierKey};
use tollbook_audit::report::Verdict;
use tollbook_audit::trust::{Trust, TrustError, TrustFault, single_signer_text};
use tollbook_audit::verify::Depth;

use crate::book::{Book, ORIGIN, key, outcome_of};

fn witness(number: u8) -> VerifierKey {
    let name = format!("witness.example/w{number}");
    VerifierKey::of_seed(&name, KeyKind::Cosigner, &[number; 32]).expect("a good name")
}

/// A cosignature line as C2SP `tlog-cosignature` makes it.
fn cosignature(number: u8, checkpoint: &Checkpoint, time: u64) -> String {
    use base64ct::{Base64, Encoding};
    let message = format!("cosignature/v1\ntime {time}\n{}", checkpoint.body());
    let signature = SigningKey::from_bytes(&[number; 32])
        .sign(message.as_bytes())
        .to_bytes();
    let key = witness(number);
    let bytes = [key.id().as_slice(), &time.to_be_bytes(), &signature].concat();
    format!("— {} {}\n", key.name(), Base64::encode_string(&bytes))
}

fn cosigned(numbers: &[u8], checkpoint: &Checkpoint) -> String {
    let mut note = key().sign(checkpoint);
    for number in numbers {
        note.push_str(&cosignature(*number, checkpoint, 1_780_000_000));
    }
    note
}

fn text(quorum: &str) -> String {
    let mut text = format!("log {}\n", key().verifier());
    for number in 1..=4 {
        text += &format!("witness w{number} {}\n", witness(number));
    }
    text + quorum
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: 3,
        root: [1; 32],
    }
}

#[test]
fn the_text_for_a_single_signer_says_that_nobody_else_vouches() {
    let trust = Trust::parse(single_signer_text(&key().verifier()).as_bytes()).expect("good");
    assert!(trust.is_single_signer());
    assert_eq!(trust.logs(), [key().verifier()]);
    assert_eq!(trust.witnesses().count(), 0);
}

#[test]
fn quorums_count_groups_as_the_specification_says() {
    let two_of_three = "group a 2 w1 w2 w3\nquorum a\n";
    let nested = "group a 2 w1 w2 w3\ngroup b any w4\ngroup both all a b\nquorum both\n";
    for (quorum, signers, met) in [
        ("quorum none\n", &[][..], true),
        ("quorum w2\n", &[2], true),
        ("quorum w2\n", &[1, 3, 4], false),
        (two_of_three, &[1], false),
        (two_of_three, &[1, 1], false),
        (two_of_three, &[1, 3], true),
        (two_of_three, &[1, 4], false),
        ("group a all w1 w2\nquorum a\n", &[1], false),
        ("group a all w1 w2\nquorum a\n", &[2, 1], true),
        ("group a any w1 w2\nquorum a\n", &[2], true),
        (nested, &[1, 2], false),
        (nested, &[1, 4], false),
        (nested, &[1, 2, 4], true),
    ] {
        let trust = Trust::parse(text(quorum).as_bytes()).expect(quorum);
        let note = cosigned(signers, &checkpoint());
        let note = Note::parse(note.as_bytes()).expect("a note");
        assert_eq!(trust.is_quorate(&note), Ok(met), "{quorum} by {signers:?}");
    }
}

#[test]
fn a_cosignature_that_does_not_verify_spoils_the_note() {
    let trust = Trust::parse(text("quorum w1\n").as_bytes()).expect("good");
    let other = Checkpoint {
        size: 4,
        ..checkpoint()
    };
    let note = cosigned(&[1], &checkpoint()) + &cosignature(2, &other, 5);
    let note = Note::parse(note.as_bytes()).expect("a note");
    assert_eq!(trust.is_quorate(&note), Err(NoteError::Signature));
    // One by somebody unknown is ignored.
    let note = cosigned(&[1], &checkpoint()) + &cosignature(9, &other, 5);
    let note = Note::parse(note.as_bytes()).expect("a note");
    assert_eq!(trust.is_quorate(&note), Ok(true));
}

#[test]
fn a_log_without_its_quorum_is_incomplete_and_with_it_valid() {
    let trust = Trust::parse(text("quorum w1\n").as_bytes()).expect("good");
    let mut book = Book::new();
    let checkpoint = book.checkpoint();
    let report = book.verify_with(&trust, None, Depth::Full);
    assert_eq!(outcome_of(&report), (Verdict::Incomplete, "no_quorum"));
    book.notes
        .insert(checkpoint.size, cosigned(&[1], &checkpoint).into_bytes());
    let report = book.verify_with(&trust, None, Depth::Full);
    assert_eq!(outcome_of(&report), (Verdict::Valid, ""));
    // A newer checkpoint that lacks it covers nothing.
    book.started();
    book.checkpoint();
    let report = book.verify_with(&trust, None, Depth::Full);
    assert_eq!(outcome_of(&report), (Verdict::Exceptions, ""));
    assert_eq!(report.unsealed(), 2);
}

#[test]
fn comments_blank_lines_tabs_urls_and_high_characters_are_fine() {
    let text = format!(
        "# Prüfer\n\n \t# indented\n\tlog  {}\thttps://log.example/  \n  \nwitness zeugé {}\n\
         quorum zeugé",
        key().verifier(),
        witness(1),
    );
    let trust = Trust::parse(text.as_bytes()).expect("good");
    assert!(!trust.is_single_signer());
}

#[test]
fn every_wrong_line_is_named_with_its_fault() {
    let log = format!("log {}\n", key().verifier());
    let w1 = format!("witness w1 {}\n", witness(1));
    let again = format!("witness w2 {}\n", witness(1));
    let cosigner_as_log = format!("log {}\n", witness(1));
    let log_as_witness = format!("witness w1 {}\n", key().verifier());
    let many: String = (0..65).map(|_| "#\n").chain(["quorum none\n"]).collect();
    let cases: Vec<(String, usize, TrustFault)> = vec![
        (String::new(), 1, TrustFault::NoQuorum),
        (log.clone(), 2, TrustFault::NoQuorum),
        ("quorum none\n".to_owned(), 2, TrustFault::NoLog),
        (many, 67, TrustFault::NoLog),
        (format!("{log}{log}quorum none\n"), 2, TrustFault::Duplicate),
        (format!("{log}{w1}{again}"), 3, TrustFault::Duplicate),
        (format!("{w1}group w1 any w1\n"), 2, TrustFault::Duplicate),
        (format!("{w1}group a any w1 w1\n"), 2, TrustFault::Duplicate),
        (
            format!("{w1}group a any w1\ngroup b any w1\n"),
            3,
            TrustFault::Duplicate,
        ),
        (
            "quorum none\nquorum none\n".to_owned(),
            2,
            TrustFault::Duplicate,
        ),
        (w1.replace("w1 ", "none "), 1, TrustFault::Duplicate),
        (cosigner_as_log, 1, TrustFault::Key),
        (log_as_witness, 1, TrustFault::Key),
        ("log x\n".to_owned(), 1, TrustFault::Key),
        ("quorum w9\n".to_owned(), 1, TrustFault::UnknownName),
        ("group a any none\n".to_owned(), 1, TrustFault::UnknownName),
        (format!("{w1}group a any a\n"), 2, TrustFault::UnknownName),
        (format!("{w1}group a 0 w1\n"), 2, TrustFault::Threshold),
        (format!("{w1}group a 2 w1\n"), 2, TrustFault::Threshold),
        (format!("{w1}group a all\n"), 2, TrustFault::Threshold),
        (format!("{w1}group a most w1\n"), 2, TrustFault::Syntax),
        ("quorum\n".to_owned(), 1, TrustFault::Syntax),
        ("quorum none none\n".to_owned(), 1, TrustFault::Syntax),
        ("LOG x\n".to_owned(), 1, TrustFault::Syntax),
        ("# \r\n".to_owned(), 1, TrustFault::Syntax),
        ("\u{a0}quorum none\n".to_owned(), 1, TrustFault::Syntax),
    ];
    for (text, line, fault) in cases {
        assert_eq!(
            Trust::parse(text.as_bytes()),
            Err(TrustError { line, fault }),
            "{text}"
        );
    }
    let long = vec![b'#'; 300 * 1024];
    let error = TrustError {
        line: 1,
        fault: TrustFault::TooLong,
    };
    assert_eq!(Trust::parse(&long), Err(error));
}
