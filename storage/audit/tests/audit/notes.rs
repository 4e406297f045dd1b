//! Signed notes: other people's vectors, our own round trips, and every single bit.

use sha2::{Digest, Sha256};

use tollbook_audit::hex;
use tollbook_audit::note::{Checkpoint, KeyKind, LogKey, Note, NoteError, VerifierKey};

use crate::book::{ORIGIN, key};

/// The example of Go's `sumdb/note`, which C2SP's signed note comes from.
const GO_PRIVATE: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb\
    6KE6RyyBwJnAM=\n";

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: 20_852_163,
        root: [9; 32],
    }
}

#[test]
fn go_keys_are_read_as_go_reads_them() {
    let private = LogKey::parse(GO_PRIVATE).expect("a key");
    assert_eq!(private.verifier().to_string(), GO_PUBLIC);
    assert_eq!(
        VerifierKey::parse(GO_PUBLIC).expect("a key"),
        private.verifier()
    );
    assert_eq!(*private.to_secret_text(), format!("{GO_PRIVATE}\n"));
}

#[test]
fn go_signature_verifies_and_its_text_is_no_checkpoint() {
    let public = VerifierKey::parse(GO_PUBLIC).expect("a key");
    let note = Note::parse(GO_NOTE.as_bytes()).expect("a note");
    // Past the signature, at the text: it verified.
    assert_eq!(note.open(&public), Err(NoteError::Checkpoint));
    let changed = GO_NOTE.replace("answer", "Answer");
    let note = Note::parse(changed.as_bytes()).expect("a note");
    assert_eq!(note.open(&public), Err(NoteError::Signature));
}

#[test]
fn a_signed_checkpoint_opens_with_its_key_and_no_other() {
    let text = key().sign(&checkpoint());
    let note = Note::parse(text.as_bytes()).expect("a note");
    assert_eq!(note.open(&key().verifier()), Ok(checkpoint()));
    let other = LogKey::from_seed(ORIGIN, &[8; 32])
        .expect("a name")
        .verifier();
    assert_eq!(note.open(&other), Err(NoteError::Unsigned));
    let renamed = LogKey::from_seed("another.example", &crate::book::SEED).expect("a name");
    assert_eq!(note.open(&renamed.verifier()), Err(NoteError::Unsigned));
}

#[test]
fn signing_twice_gives_the_same_bytes() {
    assert_eq!(key().sign(&checkpoint()), key().sign(&checkpoint()));
}

#[test]
fn no_single_bit_of_a_note_can_change() {
    let good = key().sign(&checkpoint()).into_bytes();
    let verifier = key().verifier();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let opened = Note::parse(&bytes).and_then(|note| note.open(&verifier));
        assert!(opened.is_err(), "bit {bit}");
    }
}

#[test]
fn a_checkpoint_has_exactly_one_spelling() {
    let body = checkpoint().body();
    assert_eq!(Checkpoint::parse(&body), Ok(checkpoint()));
    let root = body.lines().nth(2).expect("three lines").to_owned();
    for bad in [
        body.trim_end().to_owned(),
        format!("{body}extension\n"),
        body.replace("20852163", "020852163"),
        body.replace("20852163", "+20852163"),
        body.replace("20852163", ""),
        body.replace(ORIGIN, ""),
        body.replace(ORIGIN, "a b"),
        body.replace(&root, root.trim_start_matches(char::is_alphanumeric)),
        body.replace('=', ""),
        format!("{body}\n"),
    ] {
        assert_eq!(
            Checkpoint::parse(&bad),
            Err(NoteError::Checkpoint),
            "{bad:?}"
        );
    }
}

#[test]
fn broken_notes_and_keys_are_refused_with_their_reason() {
    let good = key().sign(&checkpoint());
    for bad in [
        good.trim_end(),
        &good.replace("\n\n", "\n"),
        &good.replace("— ", "- "),
        &format!("{good}x"),
        &good.replace(ORIGIN, "tab\there"),
        &good.replace("— acme", "—  acme"),
        "",
        "\n\n",
    ] {
        assert_eq!(
            Note::parse(bad.as_bytes()).err(),
            Some(NoteError::Syntax),
            "{bad:?}"
        );
    }
    let public = key().verifier().to_string();
    let hash = hex(&key().verifier().id());
    let (hash, name) = (hash.as_str(), ORIGIN);
    for (bad, error) in [
        (public.replace(name, "x"), NoteError::Key),
        (public.replace(hash, "00000000"), NoteError::Key),
        (public.replace(hash, &hash.to_uppercase()), NoteError::Key),
        (public.replace(name, ""), NoteError::KeyName),
        (public.replace(name, "a b"), NoteError::KeyName),
        (format!("{public}A"), NoteError::Key),
        (String::new(), NoteError::Key),
    ] {
        let parsed = VerifierKey::parse(&bad);
        // A hash without letters has no other spelling.
        if bad != public {
            assert_eq!(parsed, Err(error), "{bad}");
        }
    }
}

#[test]
fn a_weak_key_is_refused() {
    use base64ct::{Base64, Encoding};
    // The identity point: under a laxer check it verifies one signature over anything.
    let mut identity = [0; 33];
    identity[0] = 1;
    identity[1] = 1;
    let id = Sha256::digest([b"w\n".as_slice(), &identity].concat());
    let text = format!("w+{}+{}", hex(&id[..4]), Base64::encode_string(&identity));
    assert_eq!(VerifierKey::parse(&text), Err(NoteError::Key));
}

#[test]
fn a_cosigners_key_is_no_log_key() {
    let cosigner = VerifierKey::of_seed(ORIGIN, KeyKind::Cosigner, &crate::book::SEED);
    let cosigner = cosigner.expect("a name");
    assert_ne!(cosigner.id(), key().verifier().id());
    assert_eq!(
        VerifierKey::parse(&cosigner.to_string()),
        Ok(cosigner.clone())
    );
    let text = key().sign(&checkpoint());
    let note = Note::parse(text.as_bytes()).expect("a note");
    assert_eq!(note.open(&cosigner), Err(NoteError::Unsigned));
}

#[test]
fn a_log_key_never_prints_its_secret() {
    let shown = format!("{:?}", key());
    assert!(shown.contains(ORIGIN), "{shown}");
    assert!(!shown.contains("7, 7"), "{shown}");
    assert!(!shown.contains("BwcHBw"), "{shown}");
}
