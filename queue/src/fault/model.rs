//! What the disk of [`super::FaultDisk`] remembers: what a reader sees, and what would be left after a power cut.
//!
//! Each file has its bytes twice, each folder its names twice: as seen, and as durable. Syncing copies from the first to
//! the second; a power cut the other way. It knows nothing of scripts and lives.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Survivors;

/// Bytes that a disk writes whole, or tears.
const SECTOR_BYTES: usize = 512;

/// Files and names.
#[derive(Default)]
pub(super) struct Medium {
    files: Vec<File>,
    seen: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
}

/// One file's contents, with or without a name.
#[derive(Default, Clone)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that were written since they were last synced or lost.
    dirty: BTreeSet<usize>,
    /// Its size was changed since it was last synced.
    resized: bool,
}

impl Medium {
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.seen.keys().cloned().collect()
    }

    pub(super) fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        Some(self.files.get(*self.seen.get(path)?)?.seen.clone())
    }

    pub(super) fn plant(&mut self, path: &Path, bytes: Vec<u8>) {
        let file = self.files.len();
        self.files.push(File { seen: bytes.clone(), durable: bytes, ..File::default() });
        self.seen.insert(path.to_owned(), file);
        self.durable.insert(path.to_owned(), file);
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.seen.values().map(|file| self.size(*file)).sum()
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<usize> {
        if self.seen.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = self.files.len();
        self.files.push(File::default());
        self.seen.insert(path.to_owned(), file);
        Ok(file)
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<usize> {
        self.seen.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.find(from)?;
        self.seen.remove(from);
        self.seen.insert(to.to_owned(), file);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.seen.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        self.durable.retain(|path, _| path.parent() != Some(dir));
        let in_dir = self.seen.iter().filter(|(path, _)| path.parent() == Some(dir));
        self.durable.extend(in_dir.map(|(path, file)| (path.clone(), *file)));
    }

    pub(super) fn size(&self, file: usize) -> u64 {
        self.files.get(file).map_or(0, |file| file.seen.len() as u64)
    }

    pub(super) fn read(&self, file: usize, at: usize, into: &mut [u8]) -> usize {
        let from = self.files.get(file).and_then(|file| file.seen.get(at..)).unwrap_or_default();
        into.iter_mut().zip(from).map(|(to, from)| *to = *from).count()
    }

    pub(super) fn write(&mut self, file: usize, at: usize, bytes: &[u8]) {
        let Some(file) = self.files.get_mut(file) else { return };
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if file.seen.len() < end {
            file.seen.resize(end, 0);
            file.resized = true;
        }
        file.seen.splice(at..end, bytes.iter().copied());
        file.dirty.extend(at / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
    }

    pub(super) fn truncate(&mut self, file: usize, size: usize) {
        let Some(file) = self.files.get_mut(file) else { return };
        file.seen.resize(size, 0);
        file.dirty = file.dirty.split_off(&0).into_iter().filter(|sector| sector * SECTOR_BYTES < size).collect();
        // The rest of the last sector is zeros from now on, should the file grow again.
        file.dirty.extend((size > 0).then(|| (size - 1) / SECTOR_BYTES));
        file.resized = true;
    }

    pub(super) fn sync(&mut self, file: usize) {
        let Some(file) = self.files.get_mut(file) else { return };
        let size = if file.resized { file.seen.len() } else { file.durable.len() };
        // Sectors behind the end make it longer: a lost size comes back when its bytes are written again.
        let written = file.dirty.last().map_or(0, |sector| ((sector + 1) * SECTOR_BYTES).min(file.seen.len()));
        file.durable.resize(size.max(written), 0);
        for sector in std::mem::take(&mut file.dirty) {
            file.keep(sector, SECTOR_BYTES);
        }
        file.resized = false;
    }

    /// A failed sync: what was unsynced is taken for written but isn't. A cut is kept for later, a growth is not.
    pub(super) fn lose_unsynced(&mut self, path: &Path) {
        let Some(file) = self.seen.get(path).and_then(|file| self.files.get_mut(*file)) else { return };
        file.dirty.clear();
        file.resized &= file.seen.len() < file.durable.len();
    }

    pub(super) fn power_cut(&mut self, survivors: Survivors) {
        let mut dice = Dice(match survivors {
            Survivors::Some { seed } => seed,
            Survivors::Nothing | Survivors::Everything => 0,
        });
        let mut choose = |of: usize| match survivors {
            Survivors::Nothing => 0,
            Survivors::Everything => of - 1,
            Survivors::Some { .. } => dice.roll(of),
        };
        for file in &mut self.files {
            file.power_cut(&mut choose);
        }
        let paths: BTreeSet<PathBuf> = self.seen.keys().chain(self.durable.keys()).cloned().collect();
        for path in paths {
            let (seen, durable) = (self.seen.get(&path).copied(), self.durable.get(&path).copied());
            if seen != durable && choose(2) == 1 {
                match seen {
                    Some(file) => self.durable.insert(path, file),
                    None => self.durable.remove(&path),
                };
            }
        }
        self.seen.clone_from(&self.durable);
    }
}

impl File {
    /// Makes the first `bytes` of a sector durable, as far as both sizes reach.
    fn keep(&mut self, sector: usize, bytes: usize) {
        let from = self.seen.iter().skip(sector * SECTOR_BYTES);
        let to = self.durable.iter_mut().skip(sector * SECTOR_BYTES);
        to.zip(from).take(bytes).for_each(|(to, from)| *to = *from);
    }

    /// `choose(n)` gives 0 for nothing up to n-1 for everything.
    fn power_cut(&mut self, choose: &mut impl FnMut(usize) -> usize) {
        let (old, new) = (self.durable.len(), self.seen.len());
        let size = match choose(3) {
            0 => old,
            1 if new > old => old + choose(new - old + 1),
            _ if self.resized || new > old => new,
            _ => old,
        };
        self.durable.resize(size, 0);
        for sector in std::mem::take(&mut self.dirty) {
            match choose(4) {
                0 | 1 => {}
                2 => self.keep(sector, choose(SECTOR_BYTES)),
                _ => self.keep(sector, SECTOR_BYTES),
            }
        }
        self.seen.clone_from(&self.durable);
        self.resized = false;
    }
}

/// The generator `splitmix64`: any seed is good, and it needs no crate.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % sides.max(1) as u64).unwrap_or(0)
    }
}
