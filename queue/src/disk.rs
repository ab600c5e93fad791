//! The few things the log asks of a disk, and the real one.
//!
//! The trait is this small so that a model of a disk ([`crate::fault`]) can be exact about what a power cut takes:
//! bytes that were not synced, and names whose folder was not synced. It knows nothing of segments or frames.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Held while a folder is locked; dropping it unlocks.
pub type FolderLock = Box<dyn Send + Sync>;

/// Files and folders, as far as the log needs them.
///
/// Nothing is durable before it was synced: contents by [`DiskFile::sync`], names (after create, rename, remove) by
/// [`Disk::sync_dir`]. After a failed sync the caller must take what it covered as lost.
pub trait Disk: Send + Sync + 'static {
    /// Makes a folder and its missing parents, durably. No error when it exists.
    ///
    /// # Errors
    /// The operating system's.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Names of the files in a folder, in no order. Names that are not UTF-8 are left out: none of ours are.
    ///
    /// # Errors
    /// The operating system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a new, empty file.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one; else the operating system's.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none; else the operating system's.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, replacing the file that had it, at once.
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Those who have it open can still read it.
    ///
    /// # Errors
    /// The operating system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that this process may still write to the disk that holds `dir`.
    ///
    /// # Errors
    /// The operating system's.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// Takes an exclusive lock on the file at `path`, which is made when missing. A killed process loses its lock.
    ///
    /// # Errors
    /// `WouldBlock` when another holds it, be it in this process; else the operating system's.
    fn lock(&self, path: &Path) -> io::Result<FolderLock>;

    /// A number that nobody outside can guess; it marks the frames of one segment.
    fn nonce(&self) -> u32;
}

/// One open file. All positions are bytes from its start; there is no cursor, so readers don't disturb each other.
pub trait DiskFile: Send + Sync + 'static {
    /// Its size in bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn size(&self) -> io::Result<u64>;

    /// Reads some bytes at `at`; 0 only at or behind the end.
    ///
    /// # Errors
    /// The operating system's.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `bytes` at `at` and says how many.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded` when there is no room; else the operating system's.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts or extends it (with zeros) to `size` bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Makes contents and size durable (`fdatasync`).
    ///
    /// # Errors
    /// The operating system's. What it covered may be lost even if a later sync succeeds.
    fn sync(&self) -> io::Result<()>;
}

/// Writes all of `bytes` at `at`.
pub(crate) fn write_all_at(file: &dyn DiskFile, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(at, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                at += count as u64;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads at `at` until `into` is full or the file ends; says how many bytes it got.
pub(crate) fn read_full_at(file: &dyn DiskFile, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(at + filled as u64, rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// True when a write failed for want of room, which passes, rather than for a broken disk, which doesn't.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The operating system's disk. Unix only: it needs reads at a position and a sync of folders.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        match fs::create_dir(dir) {
            Ok(()) => {}
            // Its name may still be unsynced: it may have been made right before a kill.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir(parent.ok_or(error)?)?;
                fs::create_dir(dir)?;
            }
            Err(error) => return Err(error),
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
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

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        // `f_bavail`, not `f_bfree`: what is left to root only is not ours to count on.
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<FolderLock> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn nonce(&self) -> u32 {
        // The standard library seeds its hash maps from the operating system's randomness.
        let [a, b, c, d, ..] = RandomState::new().hash_one(0_u8).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, into, at)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::write_at(self, bytes, at)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
