//! The store's only door to the disk, so that tests can make it fail at any step.
//!
//! It knows files and folders, not what is in them. Files are written once, from start to end, and never changed;
//! a file that takes another's place does so by rename. Reading goes through `std::fs::File` because that is what the
//! Parquet reader takes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What the store asks of a disk.
pub trait Files: Send + Sync + 'static {
    /// Makes a new file, or empties one of that name, for writing.
    ///
    /// # Errors
    /// Those of the disk; so for all methods.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>>;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// Gives a file another name, in place of the file that had it.
    ///
    /// # Errors
    /// Those of the disk.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// Those of the disk.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes a folder and those above it, if missing.
    ///
    /// # Errors
    /// Those of the disk.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names of the files in a folder, in no order.
    ///
    /// # Errors
    /// Those of the disk.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
}

/// A file that is being written.
pub trait Output: Write + Send {
    /// Makes all that was written durable.
    ///
    /// # Errors
    /// Those of the disk; the file must then be given up, because the kernel may have dropped what it held.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

impl Files for RealFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(File::create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }
}

impl Output for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Counts and sums up what goes through to a file, for the manifest.
pub(crate) struct Summed {
    inner: Box<dyn Output>,
    hash: crc32fast::Hasher,
    size_bytes: u64,
    unsynced_bytes: u64,
}

/// Bytes after which a file is synced while it is still written. A sync of the log has to wait for those of other files that
/// the system has begun; a merged segment at once would be a second of it.
const SYNC_EVERY_BYTES: u64 = 4 << 20;

impl Summed {
    pub(crate) fn new(inner: Box<dyn Output>) -> Self {
        Self { inner, hash: crc32fast::Hasher::new(), size_bytes: 0, unsynced_bytes: 0 }
    }

    /// Syncs; gives the number of bytes written and their CRC-32.
    pub(crate) fn finish(mut self) -> io::Result<(u64, u32)> {
        self.inner.flush()?;
        self.inner.sync()?;
        Ok((self.size_bytes, self.hash.finalize()))
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        let more = u64::try_from(written).unwrap_or(u64::MAX);
        self.size_bytes += more;
        self.unsynced_bytes += more;
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.unsynced_bytes = 0;
            self.inner.sync()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
