//! A log as files: the one module that reads directories.

mod records;

use std::borrow::ToOwned;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::string::ToString;
use std::vec::Vec;
use std::{format, vec};

use sha2::{Digest, Sha256};

use crate::check::Check;
use crate::frame::FRAME_BYTES_MAX;
use crate::hex;
use crate::layout::{
    CHECKPOINT, CHECKPOINTS, SEGMENTS, TRUST, note_name, parse_note_name, parse_segment_name,
    segment_name,
};
use crate::limits::{NOTE_BYTES_MAX, TRUST_BYTES_MAX};
use crate::report::{Report, TrustOrigin, TrustSource, Verdict};
use crate::trust::Trust;
use crate::verify::{Depth, Holder, NoteFile, Opened, Stop, Verifier};

pub use records::{Records, RecordsError, segments};

/// Bytes that are read at once: more than the longest frame, so that each turn makes progress.
const READ_BYTES: usize = 1024 * 1024;
const _: () = assert!(READ_BYTES > FRAME_BYTES_MAX);

/// What to verify against, and how deep.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The trust file; `trust.policy` of the node's directory where none is named.
    pub trust: Option<PathBuf>,
    /// A signed checkpoint that the auditor kept.
    pub known: Option<PathBuf>,
    /// How much is checked.
    pub depth: Depth,
}

/// Verifies the log in `dir`: a node's directory or the log directory in it. A directory that a
/// node is writing to may be verified; what is above its newest checkpoint is then an exception.
#[must_use]
pub fn verify(dir: &Path, options: &Options) -> Report {
    match Sources::find(dir, options) {
        Ok(sources) => sources.verify(options),
        Err(stop) => Report::of_stop(options.depth, stop),
    }
}

/// Folder of the segments of a node's directory or a log directory.
#[must_use]
pub fn log_dir(dir: &Path) -> PathBuf {
    let inner = dir.join("log");
    if !dir.join(SEGMENTS).is_dir() && inner.join(SEGMENTS).is_dir() {
        inner
    } else {
        dir.into()
    }
}

/// All that is needed before the first segment is read.
struct Sources {
    log: PathBuf,
    trust: Trust,
    trust_source: TrustSource,
    held: Vec<Opened>,
    /// Sizes of the directory's checkpoints, ascending.
    sizes: Vec<u64>,
    signed_to: u64,
}

impl Sources {
    fn find(dir: &Path, options: &Options) -> Result<Self, Stop> {
        let log = log_dir(dir);
        // Reading the folder is the check: it must be there and be ours to read.
        let segments = log.join(SEGMENTS);
        fs::read_dir(&segments).map_err(|error| unreadable(&segments, &error))?;
        let (path, origin) = trust_path(dir, &log, options);
        let bytes = read_file(&path, TRUST_BYTES_MAX)?;
        let file = path.display().to_string();
        let trust = Trust::parse(&bytes)
            .map_err(|error| Stop::at_file(Verdict::Unreadable, &file, Check::Trust(error)))?;
        let sha256 = hex(&Sha256::digest(&bytes));
        let trust_source = TrustSource {
            file,
            sha256,
            origin,
        };
        let mut held = Vec::new();
        if let Some(known) = &options.known {
            let bytes = read_file(known, NOTE_BYTES_MAX)?;
            let file = NoteFile {
                file: known.display().to_string(),
                size: None,
                bytes,
            };
            held.push(file.open(&trust, Holder::Auditor)?);
        }
        // The newest checkpoint and the list of them before the segments: a node that goes on
        // writing meanwhile only makes the log longer than they say.
        let newest = log.join(CHECKPOINT);
        if newest.try_exists().unwrap_or(true) {
            let bytes = read_file(&newest, NOTE_BYTES_MAX)?;
            let file = NoteFile {
                file: CHECKPOINT.to_owned(),
                size: None,
                bytes,
            };
            held.push(file.open(&trust, Holder::Directory)?);
        }
        let sizes = names(&log.join(CHECKPOINTS), parse_note_name)?;
        let of_file = held.iter().filter_map(Opened::size_in_directory).max();
        let signed_to = sizes.last().copied().max(of_file).unwrap_or(0);
        Ok(Self {
            log,
            trust,
            trust_source,
            held,
            sizes,
            signed_to,
        })
    }

    fn verify(self, options: &Options) -> Report {
        let Self {
            log,
            trust,
            trust_source,
            held,
            sizes,
            signed_to,
        } = self;
        let folder = log.join(CHECKPOINTS);
        let notes = sizes.into_iter().map(|size| {
            let name = note_name(size);
            let bytes = read_file(&folder.join(&name), NOTE_BYTES_MAX)?;
            Ok(NoteFile {
                file: format!("{CHECKPOINTS}/{name}"),
                size: Some(size),
                bytes,
            })
        });
        let mut report = match Verifier::new(&trust, options.depth, held, notes, signed_to) {
            Err(stop) => Report::of_stop(options.depth, stop),
            Ok(mut verifier) => match read_segments(&log, &mut verifier) {
                Ok(()) => verifier.finish(),
                Err(stop) => verifier.stopped(stop),
            },
        };
        report.trust = Some(trust_source);
        report.known = options.known.is_some();
        report
    }
}

fn read_segments<N>(log: &Path, verifier: &mut Verifier<'_, N>) -> Result<(), Stop>
where
    N: Iterator<Item = Result<NoteFile, Stop>>,
{
    let folder = log.join(SEGMENTS);
    let segments = names(&folder, parse_segment_name)?;
    let mut buffer = vec![0; READ_BYTES];
    for (at, first_index) in segments.iter().enumerate() {
        let name = segment_name(*first_index);
        let path = folder.join(&name);
        verifier.begin_segment(&format!("{SEGMENTS}/{name}"), *first_index)?;
        let mut file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
        let mut filled = 0;
        loop {
            let space = buffer.get_mut(filled..).unwrap_or_default();
            let read = read_some(&mut file, space).map_err(|error| unreadable(&path, &error))?;
            if read == 0 {
                break;
            }
            filled += read;
            let whole = verifier.feed(buffer.get(..filled).unwrap_or_default())?;
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
        let is_last = at + 1 == segments.len();
        verifier.end_segment(buffer.get(..filled).unwrap_or_default(), is_last)?;
    }
    Ok(())
}

fn read_some(file: &mut File, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn trust_path(dir: &Path, log: &Path, options: &Options) -> (PathBuf, TrustOrigin) {
    if let Some(path) = &options.trust {
        return (path.clone(), TrustOrigin::Given);
    }
    let beside = dir.join(TRUST);
    let above = log.parent().map(|parent| parent.join(TRUST));
    let path = if beside.is_file() {
        beside
    } else {
        above.unwrap_or(beside)
    };
    (path, TrustOrigin::BesideLog)
}

/// The numbers in the names of a folder's files, ascending; other names are not ours. A folder that
/// is not there has none.
fn names(folder: &Path, parse: fn(&str) -> Option<u64>) -> Result<Vec<u64>, Stop> {
    list(folder, parse).map_err(|error| unreadable(folder, &error))
}

fn list(folder: &Path, parse: fn(&str) -> Option<u64>) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        numbers.extend(entry?.file_name().to_str().and_then(parse));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, Stop> {
    let read = || {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        // One more than the limit, so that what is too long is seen to be.
        File::open(path)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error: io::Error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Stop {
    let file = path.display().to_string();
    Stop::at_file(Verdict::Unreadable, &file, Check::Read).because(error.to_string())
}
