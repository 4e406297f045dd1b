//! Signed notes: other people's vectors, our own round trips, and every single bit.

use sha2::{Digest, Sha256};

use tollbook_audit::hex;
use tollbook_audit::note::{
    Checkpoint, KeyKind, LogKey, NodeKey, Note, NoteError, VerifierKey, join_signatures,
};

use crate::book::{ORIGIN, key};

/// The example of Go's `sumdb/note`, which C2SP's signed note comes from.
const GO_PRIVATE: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb\
    6KE6RyyBwJnAM=\n";

/// A cosigner's key of another implementation (transparency-dev/formats, its tests).
const THEIR_COSIGNER: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

/// Made with Python's `hashlib` and `cryptography` by the text of C2SP `tlog-cosignature`: key id
/// SHA-256(name, LF, 0x04, key), first four bytes; line `— `, name, space, base64 of key id, `u64`
/// big-endian time and the Ed25519 signature over `cosignature/v1`, LF, `time`, space, the time in
/// decimal, LF, the three lines. Seed 32 times 3, time 1,780,000,000, the checkpoint below.
const NODE_PRIVATE: &str = "PRIVATE+KEY+acme.example/tollbook/6f0c2d9e-0000-4000-8000-000000000001\
    /n3+066ea23f+BAMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD";
const NODE_PUBLIC: &str = "acme.example/tollbook/6f0c2d9e-0000-4000-8000-000000000001\
    /n3+066ea23f+BO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR";
const NODE_TIME: u64 = 1_780_000_000;
const NODE_LINE: &str = "— acme.example/tollbook/6f0c2d9e-0000-4000-8000-000000000001/n3 \
    Bm6iPwAAAABqGKUAT1Qk+r+Vsh/jDQewMj7nglSGOysAXM5qxgL6u03AdUYzqA3kVt6L1foOn745m04sOWCluaad1vF7\
    4eVFAz+gBA==\n";

fn node(number: u8) -> NodeKey {
    NodeKey::from_seed(&format!("{ORIGIN}/n{number}"), &[number; 32]).expect("a name")
}

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
fn no_private_key_prints_its_secret() {
    for shown in [format!("{:?}", key()), format!("{:?}", node(7))] {
        assert!(shown.contains(ORIGIN), "{shown}");
        assert!(!shown.contains("7, 7"), "{shown}");
        assert!(!shown.contains("BwcHBw"), "{shown}");
    }
}

#[test]
fn cosigner_keys_of_others_are_read() {
    let theirs = VerifierKey::parse(THEIR_COSIGNER).expect("a key");
    assert_eq!(theirs.kind(), KeyKind::Cosigner);
    assert_eq!(theirs.to_string(), THEIR_COSIGNER);
}

#[test]
fn a_node_key_and_its_cosignature_are_those_of_the_specification() {
    let key = NodeKey::parse(NODE_PRIVATE).expect("a key");
    assert_eq!(*key.to_secret_text(), format!("{NODE_PRIVATE}\n"));
    assert_eq!(key.verifier().to_string(), NODE_PUBLIC);
    assert_eq!(node(3).verifier(), key.verifier());
    assert_eq!(key.cosign(&checkpoint(), NODE_TIME), NODE_LINE);
    let verifier = VerifierKey::parse(NODE_PUBLIC).expect("a key");
    assert_eq!(
        verifier.check_cosignature(&checkpoint(), NODE_LINE),
        Ok(NODE_TIME)
    );
}

#[test]
fn log_and_node_keys_do_not_pass_for_each_other() {
    let log = key().to_secret_text();
    assert_eq!(NodeKey::parse(&log).err(), Some(NoteError::Key));
    let node_text = node(1).to_secret_text();
    assert_eq!(LogKey::parse(&node_text).err(), Some(NoteError::Key));
    assert_eq!(
        NodeKey::from_seed("a b", &[1; 32]).err(),
        Some(NoteError::KeyName)
    );
    // The log's key has cosigned nothing, even where name and seed are the cosigner's.
    let line = NodeKey::from_seed(ORIGIN, &crate::book::SEED)
        .expect("a name")
        .cosign(&checkpoint(), 5);
    let checked = key().verifier().check_cosignature(&checkpoint(), &line);
    assert_eq!(checked, Err(NoteError::Unsigned));
}

#[test]
fn a_cosignature_holds_for_its_key_its_checkpoint_and_its_bytes() {
    let line = node(1).cosign(&checkpoint(), 5);
    let verifier = node(1).verifier();
    assert_eq!(verifier.check_cosignature(&checkpoint(), &line), Ok(5));
    let other_root = Checkpoint {
        root: [8; 32],
        ..checkpoint()
    };
    let other_size = Checkpoint {
        size: 20_852_164,
        ..checkpoint()
    };
    for other in [other_root, other_size] {
        assert_eq!(
            verifier.check_cosignature(&other, &line),
            Err(NoteError::Signature)
        );
    }
    assert_eq!(
        node(2).verifier().check_cosignature(&checkpoint(), &line),
        Err(NoteError::Unsigned)
    );
    let log_line = key().sign(&checkpoint());
    let log_line = log_line.split_once("\n\n").expect("a note").1;
    assert_eq!(
        verifier.check_cosignature(&checkpoint(), log_line),
        Err(NoteError::Unsigned)
    );
    for bad in ["", "\n", line.trim_end(), &format!("{line}{line}")] {
        assert_eq!(
            verifier.check_cosignature(&checkpoint(), bad),
            Err(NoteError::Syntax),
            "{bad:?}"
        );
    }
    let bytes = line.into_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = str::from_utf8(&changed) {
            let checked = verifier.check_cosignature(&checkpoint(), changed);
            assert!(checked.is_err(), "bit {bit}");
        }
    }
}

#[test]
fn no_time_is_past_the_specifications_last() {
    use base64ct::{Base64, Encoding};
    use ed25519_dalek::{Signer, SigningKey};
    let verifier = node(1).verifier();
    let last = (1 << 63) - 1;
    let line = node(1).cosign(&checkpoint(), u64::MAX);
    assert_eq!(verifier.check_cosignature(&checkpoint(), &line), Ok(last));
    let message = format!("cosignature/v1\ntime {}\n{}", last + 1, checkpoint().body());
    let signature = SigningKey::from_bytes(&[1; 32]).sign(message.as_bytes());
    let time = (last + 1).to_be_bytes();
    let bytes = [verifier.id().as_slice(), &time, &signature.to_bytes()].concat();
    let line = format!("— {ORIGIN}/n1 {}\n", Base64::encode_string(&bytes));
    assert_eq!(
        verifier.check_cosignature(&checkpoint(), &line),
        Err(NoteError::Signature)
    );
}

#[test]
fn signatures_are_joined_in_order_once_a_key_and_no_more_than_fit() {
    let signed = key().sign(&checkpoint());
    let one = node(1).cosign(&checkpoint(), 5);
    let later = node(1).cosign(&checkpoint(), 6);
    let two = node(2).cosign(&checkpoint(), 5);
    let lines = [&one, &later, &two, &one].map(String::as_str);
    let joined = join_signatures(&signed, lines).expect("joined");
    assert_eq!(joined, format!("{signed}{one}{two}"));
    // Again changes nothing, and the log's own line is no second one either.
    let own = signed.split_once("\n\n").expect("a note").1;
    assert_eq!(
        join_signatures(&joined, [two.as_str(), own]).as_ref(),
        Ok(&joined)
    );
    let note = Note::parse(joined.as_bytes()).expect("a note");
    assert_eq!(note.open(&key().verifier()), Ok(checkpoint()));
    assert_eq!(note.is_cosigned(&node(2).verifier()), Ok(true));
    assert_eq!(note.is_cosigned(&node(3).verifier()), Ok(false));

    let many: Vec<String> = (1..=64)
        .map(|number| node(number).cosign(&checkpoint(), 5))
        .collect();
    let lines = || many.iter().map(String::as_str);
    let full = join_signatures(&signed, lines().take(63)).expect("64 lines");
    assert!(Note::parse(full.as_bytes()).is_ok());
    assert_eq!(join_signatures(&signed, lines()), Err(NoteError::Full));
    for bad in ["", "x\n", &format!("{one}{two}"), one.trim_end()] {
        let joined = join_signatures(&signed, [bad]);
        assert_eq!(joined, Err(NoteError::Syntax), "{bad:?}");
    }
    assert_eq!(join_signatures("", []), Err(NoteError::Syntax));
}
