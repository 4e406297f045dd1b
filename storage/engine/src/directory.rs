//! Segments as files of a directory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::EngineError;
use crate::segments::Files;

const SUFFIX: &str = ".tbs";
const DIGITS: usize = 20;

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
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.file_error("read", segment, source)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
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
