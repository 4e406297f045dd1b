//! Segments as files of a directory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::EngineError;
use crate::incoming::Part;
use crate::parts::PartFiles;
use crate::segments::Files;

const SUFFIX: &str = ".tbs";
const DIGITS: usize = 20;

/// A head's beginning that waits to become the end of the book.
const STAGED: &str = "head.whole";

const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Head => "head.part",
        Part::Segment => "segment.part",
    }
}

/// The directory, with the file open that grows.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    growing: Option<(u64, Arc<File>)>,
}

impl Directory {
    /// Opens or makes it.
    pub(crate) fn open(path: PathBuf) -> Result<Self, EngineError> {
        let directory = Self {
            path,
            growing: None,
        };
        fs::create_dir_all(&directory.path)
            .map_err(|source| directory.error("make directory", source))?;
        for part in [Part::Head, Part::Segment] {
            let unfinished = directory.path.join(part_name(part));
            remove(&unfinished).map_err(|source| directory.error("tidy", source))?;
        }
        // Names that a process made just before it died may not have reached the disk: of the
        // segments, and of the directories down to them.
        directory.sync_names()?;
        for above in directory.path.ancestors().skip(1).take(2) {
            // The empty path is what stands above a relative one.
            if !above.as_os_str().is_empty() {
                sync(above).map_err(|source| directory.error("sync directories above", source))?;
            }
        }
        Ok(directory)
    }

    fn file(&self, segment: u64) -> PathBuf {
        self.path.join(format!("{segment:0DIGITS$}{SUFFIX}"))
    }

    fn sync_names(&self) -> Result<(), EngineError> {
        sync(&self.path).map_err(|source| self.error("sync directory", source))
    }

    fn staged_file(&self) -> PathBuf {
        self.path.join(STAGED)
    }

    /// Renames and makes the names durable.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), EngineError> {
        let renamed = fs::rename(from, to);
        renamed.map_err(|source| EngineError::Io {
            op: "rename",
            path: from.to_owned(),
            source,
        })?;
        // A power loss here leaves the one name or the other, each a whole file.
        self.sync_names()
    }

    fn growing(&mut self, segment: u64) -> Result<&Arc<File>, EngineError> {
        let opened = match self.growing.take() {
            Some((name, file)) if name == segment => file,
            Some(_) | None => OpenOptions::new()
                .read(true)
                .append(true)
                .open(self.file(segment))
                .map(Arc::new)
                .map_err(|source| self.file_error("open", segment, source))?,
        };
        Ok(&self.growing.insert((segment, opened)).1)
    }

    /// The file itself, to be synced while others go on.
    pub(crate) fn open_file(&mut self, segment: u64) -> Result<Arc<File>, EngineError> {
        self.growing(segment).map(Arc::clone)
    }

    pub(crate) fn sync_failed(&self, segment: u64, source: io::Error) -> EngineError {
        self.file_error("sync", segment, source)
    }

    fn error(&self, op: &'static str, source: io::Error) -> EngineError {
        EngineError::Io {
            op,
            path: self.path.clone(),
            source,
        }
    }

    fn file_error(&self, op: &'static str, segment: u64, source: io::Error) -> EngineError {
        EngineError::Io {
            op,
            path: self.file(segment),
            source,
        }
    }
}

impl Files for Directory {
    fn list(&self) -> Result<BTreeMap<u64, u64>, EngineError> {
        let mut segments = BTreeMap::new();
        let entries = fs::read_dir(&self.path).map_err(|source| self.error("list", source))?;
        for entry in entries {
            let entry = entry.map_err(|source| self.error("list", source))?;
            let name = entry.file_name();
            let Some(segment) = name.to_str().and_then(segment_named) else {
                continue;
            };
            let length = entry
                .metadata()
                .map_err(|source| self.file_error("look at", segment, source))?
                .len();
            segments.insert(segment, length);
        }
        Ok(segments)
    }

    fn read_at(&self, segment: u64, offset: u64, length: usize) -> Result<Vec<u8>, EngineError> {
        let opened;
        let file = match &self.growing {
            Some((name, file)) if *name == segment => file,
            Some(_) | None => {
                opened = File::open(self.file(segment))
                    .map_err(|source| self.file_error("open", segment, source))?;
                &opened
            }
        };
        read_at(file, offset, length).map_err(|source| self.file_error("read", segment, source))
    }

    fn create(&mut self, segment: u64) -> Result<(), EngineError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(self.file(segment))
            .map_err(|source| self.file_error("make", segment, source))?;
        self.sync_names()?;
        self.growing = Some((segment, Arc::new(file)));
        Ok(())
    }

    fn append(&mut self, segment: u64, _offset: u64, bytes: &[u8]) -> Result<(), EngineError> {
        let mut file: &File = self.growing(segment)?;
        let result = file.write_all(bytes);
        result.map_err(|source| self.file_error("append to", segment, source))
    }

    fn cut(&mut self, segment: u64, length: u64) -> Result<(), EngineError> {
        let file = self.growing(segment)?;
        let result = file.set_len(length).and_then(|()| file.sync_all());
        result.map_err(|source| self.file_error("cut", segment, source))
    }

    fn sync(&mut self, segment: u64) -> Result<(), EngineError> {
        let result = self.growing(segment)?.sync_data();
        result.map_err(|source| self.file_error("sync", segment, source))
    }

    fn place(&mut self, part: Part, segment: u64) -> Result<(), EngineError> {
        let to = match part {
            Part::Head => self.staged_file(),
            Part::Segment => self.file(segment),
        };
        self.rename(&self.path.join(part_name(part)), &to)
    }

    fn staged(&self) -> Result<Option<u64>, EngineError> {
        match fs::metadata(self.staged_file()) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.error("look into", source)),
        }
    }

    fn read_staged(&self, offset: u64, length: usize) -> Result<Vec<u8>, EngineError> {
        let file = File::open(self.staged_file());
        file.and_then(|file| read_at(&file, offset, length))
            .map_err(|source| self.error("read the head in", source))
    }

    fn adopt(&mut self, segment: u64) -> Result<(), EngineError> {
        // An open file of that name is the one that is replaced.
        self.growing = None;
        self.rename(&self.staged_file(), &self.file(segment))
    }

    fn discard(&mut self) -> Result<(), EngineError> {
        remove(&self.staged_file()).map_err(|source| self.error("tidy", source))
    }
}

/// The temporary files of a directory, written without its lock.
#[derive(Debug)]
pub(crate) struct DirectoryParts {
    path: PathBuf,
    open: BTreeMap<Part, File>,
}

impl DirectoryParts {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            open: BTreeMap::new(),
        }
    }

    fn on_file(
        &self,
        op: &'static str,
        part: Part,
        action: impl FnOnce(&mut &File) -> io::Result<()>,
    ) -> Result<(), EngineError> {
        let file = self
            .open
            .get(&part)
            .ok_or_else(|| io::ErrorKind::NotFound.into());
        file.and_then(|mut file| action(&mut file))
            .map_err(|source| EngineError::Io {
                op,
                path: self.path.join(part_name(part)),
                source,
            })
    }
}

impl PartFiles for DirectoryParts {
    fn begin(&mut self, part: Part) -> Result<(), EngineError> {
        let path = self.path.join(part_name(part));
        // Another file, never the old one emptied: that may have its name among the segments.
        let file = remove(&path).and_then(|()| File::create_new(&path));
        let file = file.map_err(|source| EngineError::Io {
            op: "make",
            path,
            source,
        })?;
        drop(self.open.insert(part, file));
        Ok(())
    }

    fn append(&mut self, part: Part, bytes: &[u8]) -> Result<(), EngineError> {
        self.on_file("append to", part, |file| file.write_all(bytes))
    }

    fn sync(&mut self, part: Part) -> Result<(), EngineError> {
        self.on_file("sync", part, |file| file.sync_all())
    }
}

fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Removes a file if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all())
}

/// The number in `00000000000000000042.tbs`; other files of the directory are not ours.
fn segment_named(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}
