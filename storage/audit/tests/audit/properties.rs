//! No bytes make the reader, the verifier or a parser panic, and what is written is read.

use proptest::prelude::*;

use tollbook_audit::frame::{FRAME_CONTEXT, HEADER_BYTES, Header, next_frame};
use tollbook_audit::note::{Checkpoint, LogKey, Note, VerifierKey};
use tollbook_audit::read::{Kind, View};
use tollbook_audit::record::{Node, Outcome, Reservation};
use tollbook_audit::report::Verdict;
use tollbook_audit::trust::Trust;
use tollbook_audit::{Common, Head, Micros, Record};

use crate::book::Book;

const GOLDEN: &str = include_str!("golden/records.jsonl");

proptest! {
    #[test]
    fn any_texts_and_numbers_are_read_back_as_they_were(
        event in ".{0,20}", software in "\\PC{0,20}", boot in any::<u64>(),
        t in any::<u64>(), node in any::<u32>(), call in prop::option::of(".{0,20}"),
    ) {
        let record = Record::Node(Node {
            event: &event,
            boot: Some(boot),
            software: Some(&software),
            ..Node::default()
        });
        let mut out = Vec::new();
        record.encode(&Common { call: call.as_deref(), t: Micros(t), node }, &mut out);
        let view = View::parse(&out).expect("our own record");
        prop_assert_eq!(view.kind, Kind::Node);
        prop_assert_eq!((view.t, view.node), (Micros(t), node));
        let read = view.call.map(|text| text.decode().into_owned());
        prop_assert_eq!(read, call);
    }

    #[test]
    fn any_outcome_is_read_back(
        gs in any::<u64>(), grant in ".{0,12}", status in ".{0,12}", late in any::<bool>(),
        cause in prop::option::of(".{0,12}"), bytes in any::<u64>(), count in 0..40_usize,
    ) {
        let refund = Reservation {
            counter: &status, window: "day", scope: &grant,
            window_start: Micros(bytes), amount: gs,
        };
        let refunds = vec![refund; count];
        let record = Record::Outcome(Outcome {
            gs, grant: &grant, status: &status, cause: cause.as_deref(), bytes,
            duration_us: gs, refunds: &refunds, late, result_commitment: None,
        });
        let mut out = Vec::new();
        record.encode(&Common { call: None, t: Micros(0), node: 0 }, &mut out);
        let view = View::parse(&out).expect("our own record");
        prop_assert_eq!(view.gs, Some(gs));
        prop_assert_eq!(view.late, late);
        prop_assert!(view.status.expect("an outcome has one") == *status);
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(View::parse(&bytes).is_err());
        prop_assert!(Head::from_bytes(&bytes).is_err());
        prop_assert!(!matches!(Header::parse(&bytes), Ok(Some(_))));
        prop_assert!(!matches!(next_frame(&bytes), Ok(Some(_))));
        prop_assert!(Trust::parse(&bytes).is_err());
        prop_assert!(Note::parse(&bytes).is_err());
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(VerifierKey::parse(&text).is_err());
        prop_assert!(LogKey::parse(&text).is_err());
        prop_assert!(Checkpoint::parse(&text).is_err());
    }

    #[test]
    fn no_bytes_behind_a_frame_header_make_the_verifier_panic(
        body in prop::collection::vec(any::<u8>(), 0..300), count in any::<u32>(),
        header in prop::collection::vec(any::<u8>(), 96),
    ) {
        let mut book = Book::new();
        let mut frame = b"TBF1\x01\0\0\0".to_vec();
        frame.extend_from_slice(&u32::try_from(body.len()).expect("short").to_le_bytes());
        frame.extend_from_slice(&(count % 40).to_le_bytes());
        frame.extend_from_slice(&header);
        frame.resize(HEADER_BYTES, 0);
        frame.extend_from_slice(&body);
        let hash = blake3::derive_key(FRAME_CONTEXT, &frame);
        frame.extend_from_slice(&hash);
        book.segments.insert(0, frame);
        prop_assert_ne!(book.verify().verdict, Verdict::Valid);
    }

    #[test]
    fn no_mutation_of_a_log_passes_or_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut book = Book::new();
        book.call(1);
        book.call(2);
        book.checkpoint();
        let good = book.segments[&0].clone();
        let mut bytes = good.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(good.len()));
        }
        prop_assume!(bytes != good);
        book.segments.insert(0, bytes);
        prop_assert_eq!(book.verify().verdict, Verdict::Tampered);
    }

    #[test]
    fn no_mutation_of_a_record_makes_the_reader_panic_or_gives_two_spellings(
        line in prop::sample::select(GOLDEN.lines().collect::<Vec<_>>()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = line.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(view) = View::parse(&bytes) {
            for text in [view.call, view.grant, view.status].into_iter().flatten() {
                // Written again it is the same text: nothing was spelt another way.
                let node = Node { event: &text.decode(), boot: Some(0), ..Node::default() };
                let mut out = Vec::new();
                let common = Common { call: None, t: Micros(0), node: 0 };
                Record::Node(node).encode(&common, &mut out);
                let again = String::from_utf8(out).expect("JSON is UTF-8");
                let field = format!("\"event\":\"{}\"", text.raw());
                prop_assert!(again.contains(&field), "{} in {}", field, again);
            }
        }
    }
}
