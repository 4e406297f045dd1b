//! A log in memory, written as the state writes it, and the verifier over it.

use std::collections::BTreeMap;

use tollbook_audit::frame::{FRAME_CONTEXT, HASH_BYTES, HEADER_BYTES};
use tollbook_audit::note::{Checkpoint, LogKey};
use tollbook_audit::record::{
    Clock, Config, Genesis, Intent, List, Member, Node, Outcome, Reservation, Verdict as Decision,
};
use tollbook_audit::report::{Report, Verdict};
use tollbook_audit::trust::{Trust, single_signer_text};
use tollbook_audit::verify::{Depth, Holder, NoteFile, Stop, Verifier};
use tollbook_audit::{Common, EntryMeta, Frame, Head, Micros, Record, layout};

pub(crate) const ORIGIN: &str = "acme.example/tollbook/6f0c2d9e-0000-4000-8000-000000000001";
pub(crate) const SEED: [u8; 32] = [7; 32];
pub(crate) const START: u64 = 1_780_000_000_000_000;

pub(crate) fn key() -> LogKey {
    LogKey::from_seed(ORIGIN, &SEED).expect("a good name")
}

pub(crate) fn trust() -> Trust {
    Trust::parse(single_signer_text(&key().verifier()).as_bytes()).expect("our own text")
}

/// A log: its head, and what a directory would hold.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) head: Head,
    pub(crate) segments: BTreeMap<u64, Vec<u8>>,
    pub(crate) notes: BTreeMap<u64, Vec<u8>>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) meta: EntryMeta,
    pub(crate) gs: u64,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self::of(ORIGIN, &key())
    }

    pub(crate) fn of(origin: &str, key: &LogKey) -> Self {
        let meta = EntryMeta {
            term: 1,
            log_index: 1,
            config_epoch: 1,
            node: 1,
            wall_us: Micros(START),
        };
        let verifier = key.verifier().to_string();
        let genesis = Record::Genesis(Genesis {
            origin,
            log_key: &verifier,
            members: &[(1, "n1")],
            software: "0.1.0",
            prior: None,
        });
        let record = encode(&meta, None, &genesis);
        let (head, frames) = Head::begin(origin, &meta, &[record]);
        let (segments, notes) = (BTreeMap::new(), BTreeMap::new());
        let mut book = Self {
            head,
            segments,
            notes,
            frames: Vec::new(),
            meta,
            gs: 0,
        };
        book.write(frames);
        book
    }

    fn write(&mut self, frames: Vec<Frame>) {
        for frame in frames {
            let segment = self.segments.entry(frame.segment_first_index).or_default();
            assert_eq!(
                segment.len() as u64,
                frame.segment_offset,
                "offsets say where it goes"
            );
            segment.extend_from_slice(&frame.bytes);
            self.frames.push(frame);
        }
    }

    /// The next entry, a millisecond later.
    pub(crate) fn tick(&mut self) {
        self.meta.log_index += 1;
        self.meta.wall_us.0 += 1_000;
    }

    /// One entry with these records, as (call, record).
    pub(crate) fn entry(&mut self, records: &[(Option<&str>, Record<'_>)]) {
        self.tick();
        let records: Vec<Vec<u8>> = records
            .iter()
            .map(|(call, record)| encode(&self.meta, *call, record))
            .collect();
        self.raw_entry(&records);
    }

    pub(crate) fn raw_entry(&mut self, records: &[Vec<u8>]) {
        let frames = self.head.append(&self.meta, records);
        self.write(frames);
    }

    /// An allowed call and its outcome in an entry each.
    pub(crate) fn call(&mut self, number: u64) {
        let call = call_id(number);
        self.intent(&call);
        self.outcome(&call, "ok", false);
    }

    pub(crate) fn intent(&mut self, call: &str) {
        self.gs += 1;
        self.entry(&[(Some(call), Record::Intent(intent(self.gs, Decision::Allow)))]);
    }

    pub(crate) fn denied(&mut self, call: &str) {
        self.gs += 1;
        let deny = Decision::Deny {
            rule: "/default",
            pointer: Some("/default"),
            reason: None,
            message: Some("no"),
        };
        self.entry(&[(Some(call), Record::Intent(intent(self.gs, deny)))]);
    }

    pub(crate) fn outcome(&mut self, call: &str, status: &str, late: bool) {
        self.gs += 1;
        let outcome = Outcome {
            gs: self.gs,
            grant: "Gr4nt0000001",
            status,
            cause: None,
            bytes: 17,
            duration_us: 900,
            refunds: &[],
            late,
            result_commitment: None,
        };
        self.entry(&[(Some(call), Record::Outcome(outcome))]);
    }

    pub(crate) fn listed(&mut self) {
        self.gs += 1;
        let list = List {
            gs: self.gs,
            grant: "Gr4nt0000001",
            server: "s",
            offered: 2,
            shown: 1,
            offered_hash: "00",
            shown_hash: "01",
            policy: None,
        };
        self.entry(&[(None, Record::List(list))]);
    }

    pub(crate) fn started(&mut self) {
        let node = Node {
            event: "start",
            boot: Some(0xfeed_0000_0000_0001),
            software: Some("0.1.0"),
            start: Some(1),
            ..Node::default()
        };
        self.entry(&[(None, Record::Node(node))]);
    }

    /// A change of membership: the epoch goes on, and says so first.
    pub(crate) fn membership(&mut self) {
        self.meta.config_epoch += 1;
        let members = &[Member {
            node: 1,
            role: "voter",
            key: "n1+00000000+BA==",
        }];
        let epoch = self.meta.config_epoch;
        self.entry(&[(None, Record::Config(Config { epoch, members }))]);
    }

    pub(crate) fn clamped(&mut self) {
        let clock = Clock {
            stamp: Micros(START - 5),
            accepted: false,
        };
        self.entry(&[(None, Record::Clock(clock))]);
    }

    /// Seals and signs, as an orderly stop does.
    pub(crate) fn checkpoint(&mut self) -> Checkpoint {
        let checkpoint = self.seal();
        let note = key().sign(&checkpoint);
        self.notes.insert(checkpoint.size, note.into_bytes());
        checkpoint
    }

    /// Seals without a signature, as a crash right after leaves it.
    pub(crate) fn seal(&mut self) -> Checkpoint {
        self.tick();
        let sealed = self
            .head
            .seal(&self.meta, None)
            .expect("a record since the last seal");
        self.write(vec![sealed.frame]);
        sealed.checkpoint
    }

    /// About 100 records in three segments under four checkpoints.
    pub(crate) fn sample() -> Self {
        let mut book = Self::new();
        for round in 0..3 {
            for number in 0..16 {
                book.call(round * 100 + number);
            }
            book.denied(&call_id(round * 100 + 50));
            book.checkpoint();
            book.membership();
        }
        book.started();
        book.checkpoint();
        book
    }

    /// A verifier with all the notes, before the first segment.
    pub(crate) fn verifier<'b>(
        &'b self,
        trust: &'b Trust,
    ) -> Verifier<'b, impl Iterator<Item = Result<NoteFile, Stop>> + Clone + 'b> {
        let signed_to = self.notes.keys().copied().max().unwrap_or(0);
        Verifier::new(trust, Depth::Full, Vec::new(), self.note_files(), signed_to).expect("good")
    }

    fn note_files(&self) -> impl Iterator<Item = Result<NoteFile, Stop>> + Clone + '_ {
        self.notes.iter().map(|(size, bytes)| {
            let file = format!("checkpoints/{}", layout::note_name(*size));
            Ok(NoteFile {
                file,
                size: Some(*size),
                bytes: bytes.clone(),
            })
        })
    }

    pub(crate) fn verify(&self) -> Report {
        self.verify_with(&trust(), None, Depth::Full)
    }

    pub(crate) fn verify_with(&self, trust: &Trust, known: Option<&[u8]>, depth: Depth) -> Report {
        let mut held = Vec::new();
        if let Some(bytes) = known {
            let file = NoteFile {
                file: "known".to_owned(),
                size: None,
                bytes: bytes.to_vec(),
            };
            match file.open(trust, Holder::Auditor) {
                Ok(opened) => held.push(opened),
                Err(stop) => return Report::of_stop(depth, stop),
            }
        }
        let notes = self.note_files();
        let signed_to = self.notes.keys().copied().max().unwrap_or(0);
        let mut verifier = match Verifier::new(trust, depth, held, notes, signed_to) {
            Ok(verifier) => verifier,
            Err(stop) => return Report::of_stop(depth, stop),
        };
        match self.read(&mut verifier) {
            Ok(()) => verifier.finish(),
            Err(stop) => verifier.stopped(stop),
        }
    }

    fn read<N>(&self, verifier: &mut Verifier<'_, N>) -> Result<(), Stop>
    where
        N: Iterator<Item = Result<NoteFile, Stop>>,
    {
        for (at, (first_index, bytes)) in self.segments.iter().enumerate() {
            let file = format!("seg/{}", layout::segment_name(*first_index));
            verifier.begin_segment(&file, *first_index)?;
            let whole = verifier.feed(bytes)?;
            verifier.end_segment(&bytes[whole..], at + 1 == self.segments.len())?;
        }
        Ok(())
    }

    /// The frames as bytes.
    pub(crate) fn raw_frames(&self) -> Vec<Vec<u8>> {
        self.frames
            .iter()
            .map(|frame| frame.bytes.clone())
            .collect()
    }

    /// The same notes over these frames, in one segment.
    pub(crate) fn with_frames(&self, frames: &[Vec<u8>]) -> Self {
        let mut book = self.clone();
        book.segments = BTreeMap::from([(0, frames.concat())]);
        book
    }

    /// The same notes over these frames, numbered and chained anew: what a forger without the
    /// log's key can always do.
    pub(crate) fn rechained(&self, frames: &[Vec<u8>]) -> Self {
        let mut chain = [0; 32];
        let mut first_index = 0_u64;
        let mut forged = Vec::new();
        for (frame_no, old) in (0_u64..).zip(frames) {
            let mut frame = old[..old.len() - HASH_BYTES].to_vec();
            let body_len = u32::try_from(frame.len() - HEADER_BYTES).unwrap();
            frame[8..12].copy_from_slice(&body_len.to_le_bytes());
            frame[16..24].copy_from_slice(&first_index.to_le_bytes());
            frame[24..32].copy_from_slice(&frame_no.to_le_bytes());
            frame[80..112].copy_from_slice(&chain);
            chain = blake3::derive_key(FRAME_CONTEXT, &frame);
            frame.extend_from_slice(&chain);
            let count: [u8; 4] = frame[12..16].try_into().unwrap();
            first_index += u64::from(u32::from_le_bytes(count));
            forged.push(frame);
        }
        self.with_frames(&forged)
    }
}

/// Replaces text in the only record of a frame, its length with it.
pub(crate) fn with_record(frame: &[u8], from: &str, to: &str) -> Vec<u8> {
    let parsed = tollbook_audit::next_frame(frame).unwrap().unwrap();
    let record = String::from_utf8(parsed.records().next().unwrap().to_vec()).unwrap();
    assert!(record.contains(from), "{record}");
    let record = record.replace(from, to);
    let length = u16::try_from(record.len()).unwrap().to_be_bytes();
    [&frame[..HEADER_BYTES], &length, record.as_bytes(), &[0; 32]].concat()
}

pub(crate) fn call_id(number: u64) -> String {
    format!("01890a5d-ac96-774b-bcce-{number:012x}")
}

pub(crate) fn encode(meta: &EntryMeta, call: Option<&str>, record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(
        &Common {
            call,
            t: meta.wall_us,
            node: meta.node,
        },
        &mut out,
    );
    out
}

pub(crate) fn intent(gs: u64, verdict: Decision<'_>) -> Intent<'_> {
    Intent {
        gs,
        grant: "Gr4nt0000001",
        label: "ci-bot",
        owner: None,
        client: "",
        session: None,
        server: "s",
        server_name: "shop",
        method: "tools/call",
        tool: Some("refund"),
        tool_definition: None,
        verdict,
        policy: None,
        grant_revision: 1,
        server_revision: 1,
        reservations: const { &[] as &[Reservation<'_>] },
        argument_keys: &[],
        argument_keys_more: 0,
        commitments: &[],
        traceparent: None,
        rpc_id: None,
    }
}

/// The verdict and the failed check's name.
pub(crate) fn outcome_of(report: &Report) -> (Verdict, &'static str) {
    let check = report
        .finding
        .as_ref()
        .map_or("", |finding| finding.check.name());
    (report.verdict, check)
}
