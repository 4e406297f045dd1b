//! Two books joined by a fetch in memory: one whole, one that begins with a snapshot's head.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may panic"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use tollbook_audit::head::{EntryMeta, Head};
use tollbook_audit::record::Micros;
use tollbook_audit::{Frame, next_frame};
use tollbook_raft::backfill::{Backfill, Fetch, FetchError, Reach, answer, limits};
use tollbook_storage::{Crash, Disk, Engine, EngineError, Memory, SegmentFrame};

/// `SplitMix64`.
struct Picks(u64);

impl Picks {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound as u64).unwrap()
    }
}

/// A log's frames, and the head behind each.
struct Log(Vec<(Frame, Head)>);

impl Log {
    fn new(seed: u64, segments: usize) -> Self {
        let mut picks = Picks(seed);
        let mut entry = EntryMeta {
            term: 1,
            log_index: 1,
            config_epoch: 0,
            node: 1,
            wall_us: Micros(1),
        };
        let (mut head, first) = Head::begin("test", &entry, &records(&mut picks));
        let mut frames: Vec<_> = first.into_iter().map(|f| (f, head.clone())).collect();
        for segment in 0..segments {
            for _ in 0..=picks.below(9) {
                entry.log_index += 1;
                for frame in head.append(&entry, &records(&mut picks)) {
                    frames.push((frame, head.clone()));
                }
            }
            // Both ways to close a segment before it is full.
            if segment % 2 == 0 {
                entry.config_epoch += 1;
            } else {
                entry.wall_us.0 += 3_600_000_000;
            }
        }
        Self(frames)
    }

    fn head(&self, frames: usize) -> &Head {
        &self.0[frames - 1].1
    }

    fn append(&self, engine: &Memory, frames: std::ops::Range<usize>) {
        for (frame, _) in &self.0[frames] {
            engine
                .append_frame(SegmentFrame {
                    segment: frame.segment_first_index,
                    offset: frame.segment_offset,
                    frame_no: frame.frame_no,
                    bytes: &frame.bytes,
                })
                .unwrap();
        }
    }

    fn whole(&self) -> Machine {
        let machine = Machine::new();
        self.append(&machine.engine, 0..self.0.len());
        machine
    }
}

/// Small enough that an entry's fit one frame.
fn records(picks: &mut Picks) -> Vec<Vec<u8>> {
    let count = 1 + picks.below(4);
    let record = |_| {
        let length = 1 + picks.below(3000);
        (0..length)
            .map(|_| u8::try_from(picks.below(256)).unwrap())
            .collect()
    };
    (0..count).map(record).collect()
}

struct Machine {
    disk: Disk,
    engine: Arc<Memory>,
}

impl Machine {
    fn new() -> Self {
        let disk = Disk::new();
        let engine = Arc::new(Memory::open(&disk).unwrap());
        Self { disk, engine }
    }

    fn restart(&mut self, crash: Crash) {
        self.disk.crash(crash);
        self.engine = Arc::new(Memory::open(&self.disk).unwrap());
    }
}

type Peer = Arc<dyn Fn(&[u8]) -> Option<Bytes> + Send + Sync>;

fn honest(machine: &Machine) -> Peer {
    let engine = Arc::clone(&machine.engine);
    Arc::new(move |message| Some(answer(&*engine, message)))
}

/// Peers by number, and what they answered.
#[derive(Clone, Default)]
struct Network {
    peers: BTreeMap<u64, Peer>,
    answered: Arc<Mutex<Vec<(u64, Bytes, usize)>>>,
}

impl Network {
    fn of(peers: impl IntoIterator<Item = Peer>) -> Self {
        Self {
            peers: (1..).zip(peers).collect(),
            answered: Arc::default(),
        }
    }

    fn backfill(&self, machine: &Machine, rate: u64) -> Backfill<Memory> {
        let Self { peers, answered } = self.clone();
        let nodes: Vec<u64> = peers.keys().copied().collect();
        let fetch: Fetch = Arc::new(move |node, message| {
            let answer = peers[&node](&message);
            let length = answer.as_ref().map_or(0, Bytes::len);
            answered.lock().unwrap().push((node, message, length));
            Box::pin(async { answer })
        });
        let sources = Arc::new(move || nodes.clone());
        Backfill::new(Arc::clone(&machine.engine), fetch, sources, rate)
    }

    /// Segments in the order in which they were read, and bytes of answers.
    fn read(&self) -> (Vec<u64>, usize) {
        let answered = self.answered.lock().unwrap();
        let reads = answered.iter().filter(|(_, message, _)| message[1] == 2);
        let segment = |message: &Bytes| u64::from_be_bytes(message[2..10].try_into().unwrap());
        let mut order: Vec<u64> = reads
            .clone()
            .map(|(_, message, _)| segment(message))
            .collect();
        order.dedup();
        (order, reads.map(|(_, _, length)| length).sum())
    }
}

const FAST: u64 = u64::MAX;

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// As a snapshot is installed.
async fn install(
    backfill: &Backfill<Memory>,
    engine: &Memory,
    head: &Head,
) -> Result<(), FetchError> {
    backfill.fetch_head(1, head).await?;
    let index = head.last().log_index;
    let adopt = engine
        .replace_state(index, b"", &[])
        .and_then(|()| engine.adopt_head());
    adopt.map_err(FetchError::Engine)?;
    backfill.wake();
    Ok(())
}

/// Until the book is whole, or a minute has passed.
async fn fill(backfill: &Backfill<Memory>) -> Result<Reach, EngineError> {
    let mut reach = backfill.reach();
    let stop = CancellationToken::new();
    tokio::select! {
        biased;
        end = backfill.run(stop) => end.map(|()| panic!("it ends when it is asked to")),
        _ = reach.wait_for(|reach| reach.whole) => Ok(*backfill.reach().borrow()),
        () = tokio::time::sleep(Duration::from_secs(60)) => Ok(*backfill.reach().borrow()),
    }
}

#[test]
fn two_hundred_segments_come_newest_first_and_byte_for_byte() {
    let log = Log::new(1, 200);
    let source = log.whole();
    let network = Network::of([honest(&source)]);
    let machine = Machine::new();
    let count = log.0.len();
    // Inside the open segment, which grows on meanwhile.
    let at = count - 2;
    runtime().block_on(async {
        let backfill = network.backfill(&machine, FAST);
        install(&backfill, &machine.engine, log.head(at))
            .await
            .unwrap();
        log.append(&machine.engine, at..count);
        let segment = log.head(count).segment().0;
        let before = *backfill.reach().borrow();
        assert!(!before.whole);
        assert_eq!((before.from, before.bytes_missing), (segment, None));
        let reach = fill(&backfill).await.unwrap();
        let whole = Reach {
            whole: true,
            from: 0,
            bytes_missing: Some(0),
        };
        assert_eq!(reach, whole);
    });
    assert!(source.disk.segments().len() >= 200);
    assert!(machine.disk.segments() == source.disk.segments());
    let (order, bytes) = network.read();
    assert!(order.is_sorted_by(|a, b| a > b));
    let held: usize = source.disk.segments().values().map(Vec::len).sum();
    assert!(bytes < held + 3 * order.len());
}

/// What a peer makes of the answer to a read of a segment's bytes.
type Lie = fn(&Machine, u64, Vec<u8>) -> Vec<u8>;

fn liar(machine: &Machine, lie: Lie) -> Peer {
    let honest = honest(machine);
    let liar = Machine {
        disk: machine.disk.clone(),
        engine: Arc::clone(&machine.engine),
    };
    Arc::new(move |message| {
        let true_answer = honest(message)?;
        if message[1] != 2 {
            return Some(true_answer);
        }
        let segment = u64::from_be_bytes(message[2..10].try_into().unwrap());
        let bytes = lie(&liar, segment, true_answer[2..].to_vec());
        Some([&true_answer[..2], &bytes].concat().into())
    })
}

const LIES: [(&str, Lie); 9] = [
    ("flip", |_, segment, mut bytes| {
        let at = usize::try_from(segment).unwrap() % bytes.len();
        bytes[at] ^= 1;
        bytes
    }),
    ("truncate", |_, _, mut bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes
    }),
    ("nothing", |_, _, _| Vec::new()),
    ("zeros", |_, _, bytes| vec![0; bytes.len()]),
    ("more", |_, _, mut bytes| {
        bytes.push(0);
        bytes
    }),
    ("another segment", |machine, segment, bytes| {
        let segments = machine.disk.segments();
        let other = segments.range(..segment).next_back();
        other.map_or(bytes, |(_, other)| other.clone())
    }),
    ("reordered", |_, _, bytes| {
        let mut frames = whole_frames(&bytes);
        frames.reverse();
        // One frame alone is in order.
        if frames.len() == 1 {
            frames.push(frames[0].clone());
        }
        frames.concat()
    }),
    ("a frame left out", |_, _, bytes| {
        let frames = whole_frames(&bytes);
        frames[1..].concat()
    }),
    ("two segments", |machine, segment, bytes| {
        let segments = machine.disk.segments();
        let next = segments.range(segment + 1..).next();
        [&bytes[..], next.map_or(&bytes, |(_, next)| next)].concat()
    }),
];

fn whole_frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Ok(Some(frame)) = next_frame(rest) {
        frames.push(frame.bytes.to_vec());
        rest = &rest[frame.bytes.len()..];
    }
    frames
}

#[test]
fn a_peer_that_lies_puts_nothing_into_the_book() {
    let log = Log::new(2, 12);
    let source = log.whole();
    let segments = source.disk.segments();
    let other_log = Log::new(3, 12).whole();
    let count = log.0.len();
    let lies = LIES.iter().map(|(name, lie)| (*name, liar(&source, *lie)));
    let lies = lies.chain([
        ("another log", honest(&other_log)),
        ("silence", Arc::new(|_: &[u8]| None) as Peer),
        (
            "garbage",
            Arc::new(|_: &[u8]| Some(Bytes::from_static(b"garbage"))),
        ),
    ]);
    for (name, lie) in lies {
        let machine = Machine::new();
        let alone = Network::of([Arc::clone(&lie)]);
        let refused = runtime().block_on(async {
            let backfill = alone.backfill(&machine, FAST);
            install(&backfill, &machine.engine, log.head(count)).await
        });
        assert!(matches!(refused, Err(FetchError::Nobody { .. })), "{name}");
        assert!(machine.disk.segments().is_empty(), "{name}");

        let with_honest = Network::of([lie, honest(&source)]);
        runtime().block_on(async {
            let backfill = with_honest.backfill(&machine, FAST);
            install(&backfill, &machine.engine, log.head(count))
                .await
                .unwrap();
            // The liar alone does not get any further.
            let alone = alone.backfill(&machine, FAST);
            let reach = fill(&alone).await.unwrap();
            assert!(!reach.whole, "{name}");
            let held = machine.disk.segments();
            assert!(
                held.iter()
                    .all(|(segment, bytes)| segments[segment] == *bytes)
            );
            assert!(fill(&backfill).await.unwrap().whole, "{name}");
        });
        assert!(machine.disk.segments() == segments, "{name}");
    }
}

#[test]
fn a_restart_goes_on_at_the_segment_that_it_was_at() {
    let log = Log::new(4, 12);
    let source = log.whole();
    let count = log.0.len();
    let arrive = |machine: &Machine, network: &Network| {
        runtime().block_on(async {
            let engine = &*machine.engine;
            let backfill = network.backfill(machine, FAST);
            let head = log.head(count);
            match engine.applied().map_err(FetchError::Engine)? {
                None => install(&backfill, engine, head).await?,
                // As a start does.
                Some(_) => engine.adopt_head().map_err(FetchError::Engine)?,
            }
            fill(&backfill).await.map_err(FetchError::Engine)
        })
    };
    let network = Network::of([honest(&source)]);
    let machine = Machine::new();
    assert!(arrive(&machine, &network).unwrap().whole);
    let steps = machine.disk.steps();
    let largest = source.disk.segments().values().map(Vec::len).max().unwrap();
    let (_, all) = network.read();
    assert!(steps > 60);
    for step in 1..=steps {
        for crash in [Crash::Process, Crash::Power { seed: step }] {
            let network = Network::of([honest(&source)]);
            let mut machine = Machine::new();
            machine.disk.fail_at(step);
            let failed = arrive(&machine, &network).unwrap_err();
            assert!(matches!(failed, FetchError::Engine(EngineError::PowerLost)));
            machine.restart(crash);
            for (segment, bytes) in machine.disk.segments() {
                assert!(source.disk.segments()[&segment] == bytes);
            }
            assert!(arrive(&machine, &network).unwrap().whole);
            assert!(machine.disk.segments() == source.disk.segments());
            let (order, bytes) = network.read();
            assert!(bytes <= all + largest + 2 * order.len(), "step {step}");
        }
    }
}

#[test]
fn a_frame_of_ours_that_differs_ends_the_node() {
    let log = Log::new(5, 12);
    let source = log.whole();
    let machine = Machine::new();
    let ours = Log::new(6, 12);
    ours.append(&machine.engine, 0..1);
    let before = machine.disk.segments();
    let network = Network::of([honest(&source)]);
    let failed = runtime().block_on(async {
        let backfill = network.backfill(&machine, FAST);
        install(&backfill, &machine.engine, log.head(log.0.len()))
            .await
            .unwrap();
        fill(&backfill).await.unwrap_err()
    });
    let frame_no = 0;
    assert!(matches!(
        failed,
        EngineError::FrameDiffers { segment: 0, frame_no: no } if no == frame_no
    ));
    assert!(machine.disk.segments()[&0] == before[&0]);
}

#[test]
fn a_head_that_differs_in_the_open_segment_is_refused_and_nothing_replaced() {
    let entry = |log_index| EntryMeta {
        term: 1,
        log_index,
        config_epoch: 0,
        node: 1,
        wall_us: Micros(1),
    };
    let log = |second: &[u8]| {
        let (mut head, mut frames) = Head::begin("test", &entry(1), &[b"genesis".to_vec()]);
        frames.extend(head.append(&entry(2), &[second.to_vec()]));
        Log(frames
            .into_iter()
            .map(|frame| (frame, head.clone()))
            .collect())
    };
    let (theirs, ours) = (log(b"theirs"), log(b"ours"));
    let source = theirs.whole();
    let machine = ours.whole();
    let network = Network::of([honest(&source)]);
    let refused = runtime().block_on(async {
        let backfill = network.backfill(&machine, FAST);
        backfill.fetch_head(1, theirs.head(2)).await.unwrap_err()
    });
    assert!(matches!(
        refused,
        FetchError::Engine(EngineError::FrameDiffers {
            segment: 0,
            frame_no: 1
        })
    ));
    assert!(machine.disk.segments() == ours.whole().disk.segments());
}

#[test]
fn a_node_that_lags_fetches_what_it_lacks_of_the_open_segment() {
    let log = Log::new(7, 1);
    let whole = log.whole();
    let count = log.0.len();
    let (segment, bytes) = log.head(count).segment();
    let first = log
        .0
        .iter()
        .position(|(f, _)| f.segment_first_index == segment);
    assert_eq!((segment, first), (0, Some(0)));
    let machine = Machine::new();
    log.append(&machine.engine, 0..count - 1);
    let network = Network::of([honest(&whole)]);
    runtime().block_on(async {
        let backfill = network.backfill(&machine, FAST);
        install(&backfill, &machine.engine, log.head(count))
            .await
            .unwrap();
        assert!(backfill.reach().borrow().whole);
    });
    assert!(machine.disk.segments() == whole.disk.segments());
    let (_, fetched) = network.read();
    let last = log.0[count - 1].0.bytes.len();
    assert_eq!(fetched, last + 2);
    assert!(u64::try_from(fetched).unwrap() < bytes);
}

#[test]
fn two_peers_with_holes_fill_one_book_and_nobody_is_blamed() {
    let log = Log::new(8, 30);
    let source = log.whole();
    let segments = source.disk.segments();
    // Each lacks every fourth segment, another one. What is below a hole may be a part, so it is
    // not offered.
    let holed = |lacks: usize| {
        let machine = Machine::new();
        machine.disk.edit_segments(|held| {
            *held = segments.clone();
            let mut at = 0;
            held.retain(|_, _| {
                at += 1;
                at % 4 != lacks || at == segments.len()
            });
        });
        Machine {
            engine: Arc::new(Memory::open(&machine.disk).unwrap()),
            disk: machine.disk,
        }
    };
    let (one, two) = (holed(0), holed(2));
    assert!(one.engine.missing().len() > 5);
    let network = Network::of([honest(&one), honest(&two)]);
    let machine = Machine::new();
    runtime().block_on(async {
        let backfill = network.backfill(&machine, FAST);
        let head = log.head(log.0.len());
        install(&backfill, &machine.engine, head).await.unwrap();
        let begin = Instant::now();
        assert!(fill(&backfill).await.unwrap().whole);
        assert!(begin.elapsed() < limits::RETRY_PAUSE);
    });
    assert!(machine.disk.segments() == segments);
    // Nothing was read twice: what a peer has not is not asked of it.
    let (order, _) = network.read();
    assert_eq!(order.len(), segments.len());
}

#[test]
fn closed_segments_come_no_faster_than_the_bound() {
    let log = Log::new(9, 40);
    let source = log.whole();
    let network = Network::of([honest(&source)]);
    let machine = Machine::new();
    let rate = 100_000;
    let taken = runtime().block_on(async {
        let backfill = network.backfill(&machine, rate);
        let head = log.head(log.0.len());
        install(&backfill, &machine.engine, head).await.unwrap();
        let begin = Instant::now();
        assert!(fill(&backfill).await.unwrap().whole);
        begin.elapsed()
    });
    let bytes: usize = source.disk.segments().values().map(Vec::len).sum();
    let open = source.disk.segments().last_key_value().unwrap().1.len();
    let closed = u64::try_from(bytes - open).unwrap();
    let expected = Duration::from_micros(closed * 1_000_000 / rate);
    // The last segment's time is not waited for.
    let longest = source.disk.segments().values().map(Vec::len).max().unwrap();
    let slack = Duration::from_micros(longest as u64 * 1_000_000 / rate);
    assert!(taken + slack >= expected, "{taken:?} {expected:?}");
    assert!(taken <= expected + slack, "{taken:?} {expected:?}");
}
