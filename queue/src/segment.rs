//! One segment file: its name, its making, how far it is synced, and a sparse index into it.
//!
//! The index says where to begin reading for an offset; it is never on disk, because building it is a by-product of the
//! check at opening.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use protocol::Offset;

use crate::disk::{Disk, DiskFile, is_full, write_all_at};
use crate::error::{LogError, Tried};
use crate::frame::{HEADER_BYTES, Header};

/// Bytes between two entries of the index: what a reader walks over in vain, on average half of it.
const INDEX_STEP_BYTES: u64 = 64 << 10;

/// A segment as readers see it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The offset of its first record.
    pub(crate) base: Offset,
    /// Its file.
    pub(crate) path: PathBuf,
    /// The mark of its frames; none when header and first frame are both damaged, so that nothing can be read.
    pub(crate) mark: Option<u32>,
    extent: Mutex<Extent>,
}

/// How far a segment may be read.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    /// Bytes of the file that hold synced records.
    pub(crate) bytes: u64,
    /// The offset behind the last record.
    pub(crate) end: Offset,
    /// Where some of the records begin, in order.
    pub(crate) index: Index,
}

/// Where some of the records begin, at least [`INDEX_STEP_BYTES`] apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index(Vec<(Offset, u64)>);

impl Index {
    /// Takes note that the frame of `offset` begins at `at`; offsets come in order.
    pub(crate) fn note(&mut self, offset: Offset, at: u64) {
        if self.0.last().is_none_or(|(_, last)| at - last >= INDEX_STEP_BYTES) {
            self.0.push((offset, at));
        }
    }

    /// The last entry that is not behind `offset`.
    fn floor(&self, offset: Offset) -> Option<(Offset, u64)> {
        let behind = self.0.partition_point(|(entry, _)| *entry <= offset);
        self.0.get(behind.checked_sub(1)?).copied()
    }
}

/// Why a segment could not be made.
pub(crate) enum CreateError {
    /// There was no room; nothing is left of it.
    Full(LogError),
    /// The disk failed.
    Broken(LogError),
}

impl Segment {
    /// A segment that is on disk.
    pub(crate) fn new(base: Offset, path: PathBuf, mark: Option<u32>, extent: Extent) -> Self {
        Self { base, path, mark, extent: Mutex::new(extent) }
    }

    /// The file name of the segment that begins at `base`: 20 digits, so that names sort as offsets do.
    pub(crate) fn name(base: Offset) -> String {
        format!("{:020}.log", base.0)
    }

    /// The offset in a file name, when it is a segment's.
    pub(crate) fn parse_name(name: &str) -> Option<Offset> {
        let digits = name.strip_suffix(".log")?;
        let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if all_digits { digits.parse().ok().map(Offset) } else { None }
    }

    /// Makes an empty segment, durably: header, then its name in the folder.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<(Self, Box<dyn DiskFile>), CreateError> {
        let path = dir.join(Self::name(base));
        // The mark is never 0, so that zeros, which a power cut leaves, never look like one.
        let mark = disk.nonce().max(1);
        let written = disk.create(&path).and_then(|file| {
            let header = Header::encode(mark, base);
            write_all_at(&*file, 0, &header).map(|()| file)
        });
        let file = match written {
            Ok(file) => file,
            Err(source) if is_full(&source) => {
                let full = LogError::Io { action: "create", path: path.clone(), source };
                return Err(match remove_partial(disk, dir, &path) {
                    Ok(()) => CreateError::Full(full),
                    Err(error) => CreateError::Broken(error),
                });
            }
            Err(source) => return Err(CreateError::Broken(LogError::Io { action: "create", path, source })),
        };
        file.sync().tried("sync", &path).map_err(CreateError::Broken)?;
        disk.sync_dir(dir).tried("sync the folder", dir).map_err(CreateError::Broken)?;
        let extent = Extent { bytes: HEADER_BYTES, end: base, index: Index::default() };
        Ok((Self::new(base, path, Some(mark), extent), file))
    }

    /// Its file name, for reports.
    pub(crate) fn file_name(&self) -> String {
        Self::name(self.base)
    }

    /// The offset behind its last synced record.
    pub(crate) fn end(&self) -> Offset {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner).end
    }

    /// Its synced bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Where to begin reading for `offset`: an offset, its byte, and the byte and offset at which to stop.
    pub(crate) fn start(&self, offset: Offset) -> (Offset, u64, u64, Offset) {
        let extent = self.extent.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, at) = extent.index.floor(offset).unwrap_or((self.base, HEADER_BYTES));
        (first, at, extent.bytes, extent.end)
    }

    /// Takes note that a group was synced; `starts` are its records' offsets and bytes.
    pub(crate) fn grow(&self, bytes: u64, end: Offset, starts: &[(Offset, u64)]) {
        let mut extent = self.extent.lock().unwrap_or_else(PoisonError::into_inner);
        for (offset, at) in starts {
            extent.index.note(*offset, *at);
        }
        extent.bytes = bytes;
        extent.end = end;
    }
}

/// Removes what a full disk left of a new file, so that it can be made again later.
fn remove_partial(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<(), LogError> {
    match disk.remove(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => {
            removed.tried("remove", path)?;
            disk.sync_dir(dir).tried("sync the folder", dir)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twenty_digits_name_a_segment() {
        for (name, base) in [
            ("00000000000000000042.log", Some(42)),
            ("18446744073709551615.log", Some(u64::MAX)),
            ("18446744073709551616.log", None), // more than an offset holds
            ("0000000000000000042.log", None),
            ("+0000000000000000042.log", None),
            ("00000000000000000042.log.new", None),
            ("lock", None),
        ] {
            assert_eq!(Segment::parse_name(name), base.map(Offset), "{name:?}");
        }
        assert_eq!(Segment::parse_name(&Segment::name(Offset(7))), Some(Offset(7)));
    }

    #[test]
    fn the_index_gives_the_nearest_start_that_is_not_behind() {
        let mut index = Index::default();
        for (offset, at) in [(5, 32), (6, 100), (7, 32 + INDEX_STEP_BYTES), (8, 40 + INDEX_STEP_BYTES)] {
            index.note(Offset(offset), at);
        }
        for (offset, floor) in [(4, None), (5, Some(5)), (6, Some(5)), (7, Some(7)), (99, Some(7))] {
            assert_eq!(index.floor(Offset(offset)).map(|(first, _)| first.0), floor, "{offset}");
        }
    }
}
