//! The records of a log in order, for searching and following it. Checks each frame by itself, not
//! the log: that is the verifier's.

use core::fmt;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::vec;
use std::vec::Vec;

use super::{READ_BYTES, list, log_dir, read_some};
use crate::frame::{FrameError, next_frame};
use crate::layout::{SEGMENTS, parse_segment_name, segment_name};

/// First indices of the segments of a node's directory or a log directory, ascending.
pub fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    list(&log_dir(dir).join(SEGMENTS), parse_segment_name)
}

/// Records with their indices. `None` is the end for now: asked again, it looks for what has been
/// written since, also in a new segment. After an error there is nothing more to read.
#[derive(Debug)]
pub struct Records {
    folder: PathBuf,
    /// The segment that is read, by its first index.
    segment: Option<(u64, File)>,
    buffer: Vec<u8>,
    /// Of the buffer, from here to `filled` was read from the file and not taken yet.
    taken: usize,
    filled: usize,
    /// Index of the first record that was not read yet.
    next: u64,
    /// Index of the first record that is wanted.
    from: u64,
    ready: VecDeque<(u64, Vec<u8>)>,
    failed: bool,
}

/// Why no more records can be read.
#[derive(Debug)]
pub enum RecordsError {
    /// The frame before this record's cannot be read.
    Frame {
        /// Index of the first record that cannot be read.
        record: u64,
        /// What is wrong.
        error: FrameError,
    },
    /// The file.
    Io(io::Error),
    /// The frame holds other records than the ones that come next.
    Order {
        /// Index of the record that should come.
        record: u64,
    },
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { record, .. } => write!(f, "the frame of record {record} is broken"),
            Self::Io(_) => f.write_str("the log cannot be read"),
            Self::Order { record } => write!(f, "record {record} is missing"),
        }
    }
}

impl core::error::Error for RecordsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Frame { error, .. } => Some(error),
            Self::Io(error) => Some(error),
            Self::Order { .. } => None,
        }
    }
}

impl Records {
    /// Records from index `from` on, of a node's directory or a log directory.
    pub fn open(dir: &Path, from: u64) -> io::Result<Self> {
        let folder = log_dir(dir).join(SEGMENTS);
        let segments = list(&folder, parse_segment_name)?;
        let first = segments
            .iter()
            .rev()
            .find(|first_index| **first_index <= from);
        Ok(Self {
            folder,
            segment: None,
            buffer: vec![0; READ_BYTES],
            taken: 0,
            filled: 0,
            next: first.or_else(|| segments.first()).copied().unwrap_or(0),
            from,
            ready: VecDeque::new(),
            failed: false,
        })
    }

    /// Reads until a record is ready; `false` when there is none for now.
    fn advance(&mut self) -> Result<bool, RecordsError> {
        loop {
            self.take_frames()?;
            if !self.ready.is_empty() {
                return Ok(true);
            }
            let more = self
                .read()
                .and_then(|read| if read { Ok(true) } else { self.open_next() });
            if !more.map_err(RecordsError::Io)? {
                return Ok(false);
            }
        }
    }

    fn take_frames(&mut self) -> Result<(), RecordsError> {
        while self.ready.is_empty() {
            let rest = self.buffer.get(self.taken..self.filled).unwrap_or_default();
            let record = self.next;
            let frame = next_frame(rest).map_err(|error| RecordsError::Frame { record, error })?;
            let Some(frame) = frame else { break };
            if frame.header.first_index != record {
                return Err(RecordsError::Order { record });
            }
            for record in frame.records() {
                if self.next >= self.from {
                    self.ready.push_back((self.next, record.to_vec()));
                }
                self.next += 1;
            }
            self.taken += frame.bytes.len();
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<bool> {
        let Some((_, file)) = &mut self.segment else {
            return Ok(false);
        };
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        let space = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = read_some(file, space)?;
        self.filled += read;
        Ok(read > 0)
    }

    /// Goes on to the segment that is named by the next index, once it is there.
    fn open_next(&mut self) -> io::Result<bool> {
        if self
            .segment
            .as_ref()
            .is_some_and(|(first_index, _)| *first_index == self.next)
        {
            return Ok(false);
        }
        match File::open(self.folder.join(segment_name(self.next))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            opened => {
                // What is left of the one before was cut off there and is not part of the log.
                (self.taken, self.filled) = (0, 0);
                self.segment = Some((self.next, opened?));
                Ok(true)
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<(u64, Vec<u8>), RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.advance() {
            Ok(_) => self.ready.pop_front().map(Ok),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
