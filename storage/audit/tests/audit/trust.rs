//! The auditor's trust file: its grammar, and what a quorum means.

use ed25519_dalek::{Signer, SigningKey};

use tollbook_audit::note::{
    Checkpoint, KeyKind, NodeKey, Note, NoteError, VerifierKey, join_signatures,
};
use tollbook_audit::report::Verdict;
use tollbook_audit::trust::{Trust, TrustError, TrustFault, cluster_text, single_signer_text};
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

fn node(number: u8) -> NodeKey {
    NodeKey::from_seed(&format!("{ORIGIN}/n{number}"), &[number; 32]).expect("a good name")
}

fn cluster(numbers: impl IntoIterator<Item = u8>) -> Vec<(String, VerifierKey)> {
    let nodes = numbers.into_iter();
    nodes
        .map(|number| (format!("n{number}"), node(number).verifier()))
        .collect()
}

/// The note of a checkpoint, cosigned by these nodes' keys.
fn noted(numbers: &[u8], checkpoint: &Checkpoint) -> String {
    let lines: Vec<String> = numbers
        .iter()
        .map(|number| node(*number).cosign(checkpoint, 1_780_000_000))
        .collect();
    join_signatures(&key().sign(checkpoint), lines.iter().map(String::as_str)).expect("joined")
}

#[test]
fn a_clusters_text_asks_for_so_many_of_its_nodes() {
    let log = key().verifier();
    for (nodes, count) in [(1, 1), (3, 2), (5, 3)] {
        let text = cluster_text(std::slice::from_ref(&log), &cluster(1..=nodes), count);
        let text = text.expect("good");
        let trust = Trust::parse(text.as_bytes()).expect("our own text");
        assert!(!trust.is_single_signer());
        assert_eq!(trust.logs(), std::slice::from_ref(&log));
        assert_eq!(trust.witnesses().count(), usize::from(nodes));
        let all: Vec<u8> = (1..=nodes).collect();
        let quorate = |signers: &[u8]| {
            let note = noted(signers, &checkpoint());
            trust.is_quorate(&Note::parse(note.as_bytes()).expect("a note"))
        };
        for some in 0..=all.len() {
            assert_eq!(
                quorate(&all[..some]),
                Ok(some >= count),
                "{some} of {nodes}"
            );
        }
        // A key that the file does not name stands for nobody.
        let mut strangers = all[..count - 1].to_vec();
        strangers.extend([11, 12, 13]);
        assert_eq!(quorate(&strangers), Ok(false));
        // One key that signs often, at several times, is one.
        let mut note = key().sign(&checkpoint());
        for time in 1..=5 {
            note += &node(1).cosign(&checkpoint(), time);
        }
        let note = Note::parse(note.as_bytes()).expect("a note");
        assert_eq!(trust.is_quorate(&note), Ok(count == 1));
        assert_eq!(trust.open(&note), Ok(checkpoint()));
    }
}

#[test]
fn a_clusters_log_is_valid_with_its_majority_and_incomplete_without() {
    let text = cluster_text(&[key().verifier()], &cluster(1..=3), 2).expect("good");
    let trust = Trust::parse(text.as_bytes()).expect("our own text");
    let mut book = Book::new();
    let checkpoint = book.checkpoint();
    for (signers, outcome) in [
        (&[][..], (Verdict::Incomplete, "no_quorum")),
        (&[2], (Verdict::Incomplete, "no_quorum")),
        (&[2, 9], (Verdict::Incomplete, "no_quorum")),
        (&[2, 3], (Verdict::Valid, "")),
        (&[1, 2, 3], (Verdict::Valid, "")),
    ] {
        let note = noted(signers, &checkpoint);
        book.notes.insert(checkpoint.size, note.into_bytes());
        let report = book.verify_with(&trust, None, Depth::Full);
        assert_eq!(outcome_of(&report), outcome, "{signers:?}");
    }
    // Who trusts the log's key alone can read it too.
    let single = Trust::parse(single_signer_text(&key().verifier()).as_bytes()).expect("good");
    let report = book.verify_with(&single, None, Depth::Full);
    assert_eq!(outcome_of(&report), (Verdict::Valid, ""));
}

#[test]
fn no_clusters_text_says_what_it_should_not() {
    let log = [key().verifier()];
    let three = cluster(1..=3);
    let named = |name: &str| vec![(name.to_owned(), node(1).verifier())];
    let injected = format!("n2 {}\nwitness n3", node(2).verifier());
    for (nodes, count, line, fault) in [
        (three.clone(), 0, 12, TrustFault::Threshold),
        (three.clone(), 4, 12, TrustFault::Threshold),
        (Vec::new(), 1, 9, TrustFault::Threshold),
        (cluster([1, 2, 2]), 2, 11, TrustFault::Duplicate),
        (named("none"), 1, 9, TrustFault::Duplicate),
        (named("1-of-1"), 1, 10, TrustFault::Duplicate),
        (named(""), 1, 9, TrustFault::Syntax),
        (named("a b"), 1, 9, TrustFault::Syntax),
        (named(&injected), 1, 9, TrustFault::Syntax),
        (
            vec![("n1".to_owned(), key().verifier())],
            1,
            9,
            TrustFault::Key,
        ),
        (cluster(1..=65), 33, 73, TrustFault::TooLong),
    ] {
        let text = cluster_text(&log, &nodes, count);
        assert_eq!(text, Err(TrustError { line, fault }), "{nodes:?}");
    }
    let text = cluster_text(&[], &three, 2);
    assert_eq!(text.map_err(|error| error.fault), Err(TrustFault::NoLog));
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
