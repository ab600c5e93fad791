//! A disk in memory that fails as told: short writes, errors, full, failed syncs, killed processes and power cuts.
//!
//! Public, so that other crates can test what they do when the log's disk breaks. It is strict where real disks are
//! lenient: after a power cut nothing unsynced is owed to anybody, and after a failed sync the lost bytes can still be
//! read but no later sync writes them, as on Linux. What survives is decided by a seed, so a failure can be repeated.

mod model;

mod script;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, FolderLock};
use crate::scan::usize_of;
use model::Medium;

pub use script::{Counts, Effect, Fault, Op, Survivors};

/// One machine's view of the disk. Clones share it. After [`FaultDisk::kill`] or [`FaultDisk::power_cut`] every call
/// through the old views fails, and the new view is where life goes on.
#[derive(Clone)]
pub struct FaultDisk {
    world: Arc<World>,
    life: u64,
}

#[derive(Default)]
struct World {
    state: Mutex<State>,
    /// Wakes held syncs, and those who wait for syncs to be held.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    medium: Medium,
    life: u64,
    locks: BTreeSet<PathBuf>,
    faults: Vec<Fault>,
    capacity_bytes: Option<u64>,
    counts: Counts,
    hold_syncs: bool,
    held: usize,
    nonces: u32,
}

impl Default for FaultDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultDisk {
    /// An empty disk without faults and without end.
    #[must_use]
    pub fn new() -> Self {
        Self { world: Arc::default(), life: 0 }
    }

    /// Adds to the script. Of several faults that fit a call, the first added hits.
    pub fn script(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Forgets the script.
    pub fn clear(&self) {
        self.state().faults.clear();
    }

    /// Gives the disk an end: all files together hold at most so many bytes. None: no end.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// The process dies. What it wrote is still in the operating system's memory, so all can be read, but unsynced
    /// bytes are still unsynced.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.next_life(|_| {})
    }

    /// The power goes and comes back.
    #[must_use]
    pub fn power_cut(&self, survivors: Survivors) -> Self {
        self.next_life(|medium| medium.power_cut(survivors))
    }

    /// Holds all file syncs until the answer is dropped.
    #[must_use]
    pub fn hold_syncs(&self) -> Held {
        self.state().hold_syncs = true;
        Held(self.clone())
    }

    /// Calls so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Bytes of a file as a reader sees them; none when there is no such file.
    #[must_use]
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        self.state().medium.contents(path)
    }

    /// Puts a file on the disk, synced: to damage one or to plant one.
    pub fn plant(&self, path: &Path, bytes: Vec<u8>) {
        self.state().medium.plant(path, bytes);
    }

    /// Paths of all files, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().medium.paths()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.world.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_life(&self, happens: impl FnOnce(&mut Medium)) -> Self {
        let mut state = self.state();
        happens(&mut state.medium);
        state.life += 1;
        state.locks.clear();
        state.faults.clear();
        state.hold_syncs = false;
        self.world.changed.notify_all();
        Self { world: Arc::clone(&self.world), life: state.life }
    }

    /// The state for one call, with how many bytes it may move, unless the script or death forbids it.
    fn begin(&self, op: Op, path: &Path) -> io::Result<(MutexGuard<'_, State>, usize)> {
        let mut state = self.state();
        self.check_alive(&state)?;
        let text = path.to_string_lossy();
        for fault in &mut state.faults {
            if fault.op != op || fault.times == 0 || !text.contains(&fault.path_part) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            let code = match fault.effect {
                Effect::Short(bytes) => return Ok((state, bytes)),
                Effect::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
                // Numbers of Linux and the BSDs.
                Effect::Broken => 5,
                Effect::Full => 28,
            };
            if op == Op::Sync {
                state.medium.lose_unsynced(path);
            }
            return Err(io::Error::from_raw_os_error(code));
        }
        Ok((state, usize::MAX))
    }

    fn check_alive(&self, state: &State) -> io::Result<()> {
        if state.life == self.life { Ok(()) } else { Err(io::Error::other("this process is dead")) }
    }
}

/// Holds file syncs; see [`FaultDisk::hold_syncs`].
pub struct Held(FaultDisk);

impl Held {
    /// Blocks until so many syncs are held.
    pub fn wait_for(&self, syncs: usize) {
        let fewer = |state: &mut State| state.held < syncs;
        let waited = self.0.world.changed.wait_while(self.0.state(), fewer);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state().hold_syncs = false;
        self.0.world.changed.notify_all();
    }
}

impl Disk for FaultDisk {
    /// Folders are always there.
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.check_alive(&self.state())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let (state, _) = self.begin(Op::List, dir)?;
        let in_dir = state.medium.paths().into_iter().filter(|path| path.parent() == Some(dir));
        Ok(in_dir.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (mut state, _) = self.begin(Op::Create, path)?;
        let file = state.medium.create(path)?;
        Ok(Box::new(FaultFile { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (state, _) = self.begin(Op::Open, path)?;
        let file = state.medium.find(path)?;
        Ok(Box::new(FaultFile { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.begin(Op::Rename, from)?.0.medium.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.begin(Op::Remove, path)?.0.medium.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.state().counts.dir_syncs += 1;
        self.begin(Op::SyncDir, dir)?.0.medium.sync_dir(dir);
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let state = self.state();
        self.check_alive(&state)?;
        Ok(state.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.medium.used_bytes())))
    }

    fn lock(&self, path: &Path) -> io::Result<FolderLock> {
        let (mut state, _) = self.begin(Op::Lock, path)?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Locked { disk: self.clone(), path: path.to_owned() }))
    }

    /// Not a secret here: tests must repeat.
    fn nonce(&self) -> u32 {
        let mut state = self.state();
        state.nonces += 1;
        state.nonces.wrapping_mul(0x9e37_79b9)
    }
}

struct Locked {
    disk: FaultDisk,
    path: PathBuf,
}

impl Drop for Locked {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.disk.life {
            state.locks.remove(&self.path);
        }
    }
}

struct FaultFile {
    disk: FaultDisk,
    path: PathBuf,
    file: usize,
}

impl DiskFile for FaultFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.disk.state();
        self.disk.check_alive(&state)?;
        Ok(state.medium.size(self.file))
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let (state, limit) = self.disk.begin(Op::Read, &self.path)?;
        let wanted = into.len().min(limit);
        Ok(state.medium.read(self.file, usize_of(at), into.get_mut(..wanted).unwrap_or_default()))
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.disk.state().counts.writes += 1;
        let (mut state, limit) = self.disk.begin(Op::Write, &self.path)?;
        let mut fits = bytes.len().min(limit);
        if let Some(capacity) = state.capacity_bytes {
            let free = capacity.saturating_sub(state.medium.used_bytes());
            // Bytes over existing ones take no room.
            let up_to = state.medium.size(self.file) + free;
            fits = fits.min(usize_of(up_to.saturating_sub(at)));
        }
        if fits == 0 && limit > 0 && !bytes.is_empty() {
            return Err(io::Error::from_raw_os_error(28));
        }
        state.medium.write(self.file, usize_of(at), bytes.get(..fits).unwrap_or_default());
        Ok(fits)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.disk.begin(Op::Truncate, &self.path)?.0.medium.truncate(self.file, usize_of(size));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.counts.syncs += 1;
        state.held += 1;
        self.disk.world.changed.notify_all();
        let held = |state: &mut State| state.hold_syncs && state.life == self.disk.life;
        state = self.disk.world.changed.wait_while(state, held).unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
        drop(state);
        self.disk.begin(Op::Sync, &self.path)?.0.medium.sync(self.file);
        Ok(())
    }
}
