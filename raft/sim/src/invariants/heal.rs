//! After all faults the cluster heals within a bounded time, serves the whole remaining quota and
//! not one more, and each node's book verifies. Source: CONVENTIONS.md, 44; DESIGN.md, 5 (exact
//! quotas); AUDIT.md, promise 4.

use std::collections::BTreeMap;

use tollbook_audit::note::VerifierKey;
use tollbook_audit::report::{Report, Verdict};
use tollbook_audit::trust::{Trust, single_signer_text};
use tollbook_audit::verify::{Depth, NoteFile, Stop, Verifier};

use crate::book::{Book, grant_text};
use crate::workload::{LAST_GRANT, LAST_QUOTA};

/// What came of serving when all faults were over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Healing {
    /// Calls of the last grant that were admitted.
    pub(crate) admitted: u64,
    /// Those of which nobody knows.
    pub(crate) unknown: u64,
}

impl Healing {
    /// The quota was used up and not exceeded.
    pub(crate) fn check(self, book: &Book) -> Result<(), String> {
        let last = grant_text(LAST_GRANT);
        let admitted = book
            .entries
            .iter()
            .filter(|entry| entry.is_admission() && entry.text("grant") == last)
            .count() as u64;
        if admitted != LAST_QUOTA {
            return Err(format!(
                "{admitted} of a quota of {LAST_QUOTA} are in the book; clients were told of {}, \
                 and not told of {}",
                self.admitted, self.unknown
            ));
        }
        Ok(())
    }
}

/// The verifier's word on one node's book.
pub(crate) fn verify(
    key: &VerifierKey,
    segments: &BTreeMap<u64, Vec<u8>>,
    notes: &BTreeMap<u64, String>,
) -> Result<(), String> {
    let trust = Trust::parse(single_signer_text(key).as_bytes())
        .map_err(|error| format!("the trust file: {error}"))?;
    let report = report(&trust, segments, notes);
    match (report.verdict, report.finding) {
        (Verdict::Valid | Verdict::Exceptions, _) => Ok(()),
        (verdict, Some(finding)) => Err(format!("{}: {finding}", verdict.name())),
        (verdict, None) => Err(format!("{} with {} notes", verdict.name(), notes.len())),
    }
}

fn report(
    trust: &Trust,
    segments: &BTreeMap<u64, Vec<u8>>,
    notes: &BTreeMap<u64, String>,
) -> Report {
    let files = notes.iter().map(|(size, note)| {
        Ok(NoteFile {
            file: format!("{size}.note"),
            size: Some(*size),
            bytes: note.clone().into_bytes(),
        })
    });
    let signed_to = notes.last_key_value().map_or(0, |(size, _)| *size);
    let verifier = Verifier::new(trust, Depth::Full, Vec::new(), files, signed_to);
    let mut verifier = match verifier {
        Ok(verifier) => verifier,
        Err(stop) => return Report::of_stop(Depth::Full, stop),
    };
    match feed(&mut verifier, segments) {
        Ok(()) => verifier.finish(),
        Err(stop) => verifier.stopped(stop),
    }
}

fn feed<N: Iterator<Item = Result<NoteFile, Stop>>>(
    verifier: &mut Verifier<'_, N>,
    segments: &BTreeMap<u64, Vec<u8>>,
) -> Result<(), Stop> {
    let last = segments.last_key_value().map(|(first, _)| *first);
    for (first, bytes) in segments {
        verifier.begin_segment(&format!("{first}.tbs"), *first)?;
        let taken = verifier.feed(bytes)?;
        let rest = bytes.get(taken..).unwrap_or_default();
        verifier.end_segment(rest, Some(*first) == last)?;
    }
    Ok(())
}
