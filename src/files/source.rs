//! Opens files: finds them in folders, decompresses them, and counts the bytes read.
//!
//! Invariant: progress counts bytes on disk, compressed or not, so `read` reaches `total`. A byte order mark at the
//! start of a file is no part of its text.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{FormatError, Wrong};

/// Progress over all files of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read from disk so far.
    pub bytes_read: u64,
    /// Size of all files on disk, in bytes.
    pub bytes_total: u64,
}

/// Callback for progress, run once per 256 KiB and at the end of each file.
pub type Watch = Box<dyn FnMut(Progress) + Send>;

/// Number of bytes between two calls of a [`Watch`].
const STEP_BYTES: u64 = 256 * 1024;

/// The files of one call, opened one after the other.
pub struct Files {
    waiting: std::vec::IntoIter<PathBuf>,
    read: Arc<AtomicU64>,
    total: u64,
    told: u64,
    watch: Option<Watch>,
}

impl Files {
    /// Lists the files: a folder stands for its files with one of these extensions (before `.gz` or `.zst`), by name.
    pub fn new(paths: &[PathBuf], endings: &[&str], watch: Option<Watch>) -> Result<Files, FormatError> {
        let mut files = Vec::new();
        for path in paths {
            let unreadable = |error| FormatError::in_file(path, Wrong::Read(error));
            if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
                files.push(path.clone());
                continue;
            }
            let mut found = Vec::new();
            for entry in std::fs::read_dir(path).map_err(unreadable)? {
                let file = entry.map_err(unreadable)?.path();
                if file.is_file() && plain_name(&file).is_some_and(|name| endings.iter().any(|end| name.ends_with(end)))
                {
                    found.push(file);
                }
            }
            if found.is_empty() {
                return Err(FormatError::in_file(path, Wrong::NoFile("the folder has no file of this format")));
            }
            found.sort();
            files.extend(found);
        }
        if files.is_empty() {
            return Err(FormatError::in_file(Path::new("(no path)"), Wrong::NoFile("give at least one path")));
        }
        let mut total = 0;
        for file in &files {
            let size = std::fs::metadata(file).map_err(|error| FormatError::in_file(file, Wrong::Read(error)))?;
            total += size.len();
        }
        Ok(Files { waiting: files.into_iter(), read: Arc::default(), total, told: 0, watch })
    }

    /// Opens the next file, decompressed.
    pub fn open_next(&mut self) -> Option<Result<Source, FormatError>> {
        let path = self.waiting.next()?;
        Some(Source::open(path, self.read.clone()))
    }

    /// Calls the watch where enough was read since the last call, or `always`.
    pub fn tell(&mut self, always: bool) {
        let Some(watch) = &mut self.watch else { return };
        let read = self.read.load(Ordering::Relaxed);
        if always || read >= self.told + STEP_BYTES {
            self.told = read;
            // A file may have grown since its size was read.
            watch(Progress { bytes_read: read.min(self.total), bytes_total: self.total });
        }
    }
}

/// One open file, decompressed.
pub struct Source {
    /// Path as the caller gave it, or as a folder listed it.
    pub path: PathBuf,
    /// The decompressed bytes.
    pub reader: Box<dyn BufRead + Send>,
    compression: Option<&'static str>,
}

impl Source {
    fn open(path: PathBuf, read: Arc<AtomicU64>) -> Result<Source, FormatError> {
        const BUFFER_BYTES: usize = 64 * 1024;
        let file = File::open(&path).map_err(|error| FormatError::in_file(&path, Wrong::Read(error)))?;
        let file = BufReader::with_capacity(BUFFER_BYTES, Counted { inner: file, read });
        let compression = compression(&path);
        let reader: Box<dyn BufRead + Send> = match compression {
            Some("gzip") => {
                Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(file)))
            }
            Some(_) => {
                let decoder = zstd::stream::read::Decoder::with_buffer(file);
                let decoder = decoder.map_err(|error| FormatError::in_file(&path, Wrong::Read(error)))?;
                Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
            }
            None => Box::new(file),
        };
        let mut source = Source { path, reader, compression };
        source.skip_mark().map_err(|wrong| FormatError::in_file(&source.path, wrong))?;
        Ok(source)
    }

    /// Skips a byte order mark of UTF-8, and refuses one of UTF-16.
    fn skip_mark(&mut self) -> Result<(), Wrong> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let mut start = Vec::with_capacity(MARK.len());
        // A decoder's first read may be shorter than a mark.
        while start.len() < MARK.len() {
            let read = self.reader.fill_buf().map_err(|error| broken(self.compression, error))?;
            let Some(byte) = read.first() else { break };
            if start.is_empty() && read.len() >= MARK.len() {
                let (is_marked, is_utf_16) = (read.starts_with(MARK), begins_as_utf_16(read));
                self.reader.consume(if is_marked { MARK.len() } else { 0 });
                return if is_utf_16 { Err(Wrong::Encoding) } else { Ok(()) };
            }
            start.push(*byte);
            self.reader.consume(1);
        }
        if begins_as_utf_16(&start) {
            return Err(Wrong::Encoding);
        }
        if start != MARK {
            let reader = std::mem::replace(&mut self.reader, Box::new(io::empty()));
            self.reader = Box::new(io::Cursor::new(start).chain(reader));
        }
        Ok(())
    }

    /// Classifies a failed read of this file.
    pub fn broken(&self, error: io::Error) -> Wrong {
        broken(self.compression, error)
    }

    /// Name of the compression, for [`broken`] after the reader was moved out.
    pub fn compression(&self) -> Option<&'static str> {
        self.compression
    }
}

/// A read error, worded for a compressed file where the file is one.
pub fn broken(compression: Option<&'static str>, error: io::Error) -> Wrong {
    match compression {
        // Errors of decoders have no operating system code.
        Some(name) if error.raw_os_error().is_none() => Wrong::Compression(name, error),
        _ => Wrong::Read(error),
    }
}

/// True for a byte order mark of UTF-16.
fn begins_as_utf_16(start: &[u8]) -> bool {
    start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff])
}

fn compression(path: &Path) -> Option<&'static str> {
    let ending = path.extension()?.to_str()?;
    if ending.eq_ignore_ascii_case("gz") {
        Some("gzip")
    } else if ending.eq_ignore_ascii_case("zst") {
        Some("zstd")
    } else {
        None
    }
}

/// File name without folder and without `.gz` or `.zst`.
pub fn plain_name(path: &Path) -> Option<&str> {
    let name = if compression(path).is_some() { path.file_stem() } else { path.file_name() };
    name?.to_str()
}

struct Counted {
    inner: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
