//! Who has read how far: one small file for each named consumer.
//!
//! A position is replaced whole (write a new file, sync it, rename it, sync the folder) and carries a checksum, so it is
//! either the old or the new one. Kept as text, because an operator may have to read it at night.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::Offset;

use crate::disk::{Disk, read_full_at, write_all_at};
use crate::error::{LogError, Tried};
use crate::scan::usize_of;
use crate::shared::Shared;

/// First line of a consumer's file, with its version.
const TITLE: &str = "rivulet consumer 1";
/// What consumers' files begin with.
const PREFIX: &str = "consumer-";
/// Most characters of a name.
const NAME_CHARS_MAX: usize = 64;
/// Most bytes that are read of a consumer's file; a whole one has fewer than 60.
const FILE_BYTES_MAX: u64 = 256;

/// A named reader of the log and its durable position. Segments that a consumer has not passed are never trimmed.
///
/// Two handles of one name share the position. A handle outlives its log harmlessly: it then answers
/// [`LogError::Closed`].
pub struct Consumer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: String,
}

impl Consumer {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first offset that it has not committed: where to begin reading.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.shared.positions().known.get(&self.name).copied().flatten().unwrap_or_default()
    }

    /// Makes `position` (the offset behind the last record that was dealt with) durable; two fsyncs. Committing the
    /// present position again does nothing.
    ///
    /// # Errors
    /// When it is behind the log's end or before the present position, when the disk fails (the position is then the
    /// old one), or when the log is closed.
    pub fn commit(&self, position: Offset) -> Result<(), LogError> {
        let mut positions = self.shared.positions();
        if positions.closed {
            return Err(LogError::Closed);
        }
        let next = self.shared.next_offset();
        if position > next {
            return Err(LogError::PositionAhead { position, next });
        }
        let committed = positions.known.get(&self.name).copied().flatten().unwrap_or_default();
        if position < committed {
            return Err(LogError::PositionBack { position, committed });
        }
        if position > committed {
            positions.keep(&*self.shared.disk, &self.shared.dir, &self.name, position)?;
        }
        Ok(())
    }
}

/// All consumers' positions.
#[derive(Default)]
pub(crate) struct Positions {
    /// Position by name; none when its file is damaged.
    pub(crate) known: BTreeMap<String, Option<Offset>>,
    /// Set when the log is closed: another may have the folder.
    pub(crate) closed: bool,
    /// Set while a trimmed segment's name may come back with a power cut.
    pub(crate) removal_unsynced: bool,
}

impl Positions {
    /// Reads the consumers' files in `dir`.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Self, LogError> {
        let mut known = BTreeMap::new();
        for file_name in disk.list(dir).tried("list", dir)? {
            let Some(name) = file_name.strip_prefix(PREFIX).filter(|name| check_name(name).is_ok()) else { continue };
            let path = dir.join(&file_name);
            let file = disk.open(&path).tried("open", &path)?;
            let mut bytes = vec![0; usize_of(file.size().tried("read", &path)?.min(FILE_BYTES_MAX))];
            read_full_at(&*file, 0, &mut bytes).tried("read", &path)?;
            known.insert(name.to_owned(), parse(&bytes));
        }
        Ok(Self { known, ..Self::default() })
    }

    /// The position before which nobody needs anything: none when there is no consumer or a position is damaged.
    pub(crate) fn passed(&self) -> Option<Offset> {
        self.known.values().copied().min().flatten()
    }

    /// Makes one position durable, then takes note of it.
    pub(crate) fn keep(&mut self, disk: &dyn Disk, dir: &Path, name: &str, position: Offset) -> Result<(), LogError> {
        let path = file_path(dir, name);
        // The dot keeps it from being taken for a consumer: no name has one.
        let new = dir.join(format!("{PREFIX}{name}.new"));
        match disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).tried("remove", &new),
            _ => {}
        }
        let file = disk.create(&new).tried("create", &new)?;
        write_all_at(&*file, 0, print(position).as_bytes()).tried("write", &new)?;
        file.sync().tried("sync", &new)?;
        disk.rename(&new, &path).tried("rename", &new)?;
        disk.sync_dir(dir).tried("sync the folder", dir)?;
        self.known.insert(name.to_owned(), Some(position));
        Ok(())
    }
}

/// The file of a consumer.
pub(crate) fn file_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{PREFIX}{name}"))
}

/// Refuses names that could not be a part of a file name everywhere.
pub(crate) fn check_name(name: &str) -> Result<(), LogError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(allowed) {
        return Err(LogError::ConsumerName { name: name.to_owned() });
    }
    Ok(())
}

fn print(position: Offset) -> String {
    let covered = format!("{TITLE}\n{position}\n");
    let crc = crc32fast::hash(covered.as_bytes());
    format!("{covered}{crc:08x}\n")
}

/// Reads a position; one spelling only.
fn parse(bytes: &[u8]) -> Option<Offset> {
    let text = str::from_utf8(bytes).ok()?;
    let position = Offset(text.lines().nth(1)?.parse().ok()?);
    (print(position) == text).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_no_changed_bit_is_missed() {
        let whole = print(Offset(1_234_567)).into_bytes();
        assert_eq!(String::from_utf8_lossy(&whole), "rivulet consumer 1\n1234567\n4c76620d\n");
        assert_eq!(parse(&whole), Some(Offset(1_234_567)));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bytes), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_name_allows_letters_digits_dash_and_underscore() {
        for (name, allowed) in [
            ("process", true),
            ("Kafka-forward_2", true),
            ("", false),
            ("a.new", false),
            ("../a", false),
            ("ä", false),
            (&"a".repeat(64), true),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(check_name(name).is_ok(), allowed, "{name:?}");
        }
    }
}
