//! The log as its users see it: open, append, read, consumers, trim, state.
//!
//! Appends go to the writer's thread through the queue; reads, positions and
//! trimming happen on the caller's thread and never wait for a sync of the writer's.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use protocol::Offset;
use tokio::sync::watch;

use crate::consumer::{Consumer, Positions, check_name, file_path};
use crate::disk::Disk;
use crate::error::{LogError, Tried};
use crate::options::Options;
use crate::pending::{Appending, Pending};
use crate::recover::{Damage, Recovery, recover};
use crate::shared::{Damaged, Shared};
use crate::writer::Writer;

/// A durable log in one folder. Dropping it closes it.
pub struct Log {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What an operator and `/ready` want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Segment files.
    pub segments: u64,
    /// Their synced bytes.
    pub bytes: u64,
    /// The first offset that can still be read, if its record is not damaged.
    pub oldest: Offset,
    /// The first offset not yet synced.
    pub next: Offset,
    /// Each consumer's position; none where its file is damaged.
    pub consumers: Vec<(String, Option<Offset>)>,
    /// Records that wait for the writer.
    pub waiting_records: u64,
    /// Bytes that wait for the writer.
    pub waiting_bytes: u64,
    /// Groups that were synced since it was opened: acknowledged appends over this is how many share an fsync.
    pub groups: u64,
    /// Records that are missing in [`Log::damaged`].
    pub damaged_records: u64,
    /// True while the last append found no room. It becomes false within a second of room coming back.
    pub full: bool,
    /// Set when a write or sync has failed: why. Only opening it again helps.
    pub failure: Option<Arc<str>>,
}

impl Log {
    /// Opens the log in `dir`, which is made when missing, and checks every record in it (about a second for each
    /// gigabyte, if the disk is that fast).
    ///
    /// # Errors
    /// When another has it open, when the disk fails, when a file is of an unknown version or misnamed, or when an
    /// option is out of bounds.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Self, Recovery), LogError> {
        Self::open_at_least(disk, dir, options, Offset(0))
    }

    /// Like [`Log::open`], and gives out no offset below `floor` nor below any consumer's position.
    ///
    /// For readers that keep their own position elsewhere: should the disk have lost acknowledged records, new ones must
    /// not get the lost ones' offsets, or such a reader would take them for read. What is missing is reported as damage.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_at_least(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        floor: Offset,
    ) -> Result<(Self, Recovery), LogError> {
        options.check()?;
        disk.create_dir(dir).tried("create the folder", dir)?;
        let lock_path = dir.join("lock");
        let lock = disk.lock(&lock_path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => LogError::Locked { dir: dir.to_owned() },
            _ => LogError::Io { action: "lock", path: lock_path, source },
        })?;
        let positions = Positions::load(&*disk, dir)?;
        let floor = positions.known.values().copied().flatten().fold(floor, Offset::max);
        let recovered = recover(&*disk, dir, floor)?;
        let mut damage = Damaged::default();
        for place in &recovered.report.damaged {
            damage.note(place.clone());
        }
        let shared = Arc::new(Shared {
            disk,
            dir: dir.to_owned(),
            pending: Pending::new(options.queue_records_max, options.queue_bytes_max),
            options,
            synced: watch::Sender::new(recovered.report.next),
            full: AtomicBool::new(false),
            groups: AtomicU64::new(0),
            positions: Mutex::new(positions),
            damage: Mutex::new(damage),
            lock: Mutex::new(Some(lock)),
            segments: RwLock::new(recovered.segments),
        });
        let log = Self { shared, writer: Mutex::new(None) };
        if let Some(active) = log.shared.segments().last() {
            let writer = Writer::new(Arc::clone(&log.shared), Arc::clone(active), recovered.file);
            let thread = thread::Builder::new().name("log-writer".to_owned());
            let handle = thread.spawn(|| writer.run()).map_err(|source| LogError::Thread { source })?;
            *log.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        }
        Ok((log, recovered.report))
    }

    /// Appends records; they get consecutive offsets. Never blocks: when too much waits, the answer is
    /// [`Busy`](AppendError::Busy).
    ///
    /// The answer comes after an fsync that covers all of them. Until then any of them may survive a crash, from the
    /// first on or, after a power cut, even a later one without an earlier one.
    pub fn append(&self, records: Vec<Vec<u8>>) -> Appending {
        match self.shared.job(records) {
            Err(error) => Appending::refused(error),
            Ok((job, answer)) => match self.shared.pending.push(job) {
                Err(error) => Appending::refused(error),
                Ok(()) => Appending::waiting(answer),
            },
        }
    }

    /// Records from offset `from` on, in order, until they reach `bytes_max` bytes: at least one, if there is one.
    ///
    /// Only synced records. Damaged ones are left out, so offsets may jump; so they do from an offset that was trimmed
    /// to the oldest that is left. Empty when `from` is [`Log::next_offset`] or beyond.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(&self, from: Offset, bytes_max: usize) -> Result<Vec<(Offset, Vec<u8>)>, LogError> {
        let until = self.next_offset();
        let (mut from, mut bytes, mut records) = (from, 0, Vec::new());
        while from < until && bytes < bytes_max.max(1) {
            let Some(segment) = self.shared.segment_at(from) else { break };
            self.shared.read_segment(&segment, from, &mut |offset, record| {
                bytes += record.len();
                records.push((offset, record.to_vec()));
                bytes < bytes_max
            })?;
            // The segment that is written to may have grown in between; its records are then read by the next call.
            from = if bytes < bytes_max { segment.end().max(from.next()) } else { until };
        }
        Ok(records)
    }

    /// The first offset not yet synced: what the next record to become readable will have.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.shared.next_offset()
    }

    /// Changes whenever [`Log::next_offset`] does; wakes readers.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Offset> {
        self.shared.synced.subscribe()
    }

    /// The consumer of that name. A new one begins at the oldest record and is durable on return.
    ///
    /// # Errors
    /// When the name is not one, when its position is damaged (then see [`Log::reset_consumer`]), or when the disk
    /// fails.
    pub fn consumer(&self, name: &str) -> Result<Consumer, LogError> {
        check_name(name)?;
        let mut positions = self.shared.positions();
        match positions.known.get(name) {
            Some(Some(_)) => {}
            Some(None) => {
                let path = file_path(&self.shared.dir, name);
                return Err(LogError::ConsumerDamaged { name: name.to_owned(), path });
            }
            None if positions.closed => return Err(LogError::Closed),
            None => positions.keep(&*self.shared.disk, &self.shared.dir, name, self.shared.oldest())?,
        }
        Ok(Consumer { shared: Arc::clone(&self.shared), name: name.to_owned() })
    }

    /// Sets a consumer's position to any place, be it to read again or because its file is damaged.
    ///
    /// # Errors
    /// When the name is not one, when the position is beyond the end, or when the disk fails.
    pub fn reset_consumer(&self, name: &str, position: Offset) -> Result<Consumer, LogError> {
        check_name(name)?;
        let mut positions = self.shared.positions();
        if positions.closed {
            return Err(LogError::Closed);
        }
        let next = self.next_offset();
        if position > next {
            return Err(LogError::PositionAhead { position, next });
        }
        positions.keep(&*self.shared.disk, &self.shared.dir, name, position)?;
        Ok(Consumer { shared: Arc::clone(&self.shared), name: name.to_owned() })
    }

    /// Removes the oldest segments that every consumer has passed, as far as `retain_bytes` allows; gives their number.
    ///
    /// Never removes the segment that is written to, and nothing at all while there is no consumer or one whose position
    /// is damaged.
    ///
    /// # Errors
    /// When the disk fails; what was removed before stays removed.
    pub fn trim(&self) -> Result<u64, LogError> {
        let mut positions = self.shared.positions();
        if positions.closed {
            return Err(LogError::Closed);
        }
        let Some(passed) = positions.passed() else { return Ok(0) };
        let mut removed = 0;
        loop {
            // One by one: neither a power cut nor an error may leave an older segment without the one after it.
            if positions.removal_unsynced {
                self.shared.disk.sync_dir(&self.shared.dir).tried("sync the folder", &self.shared.dir)?;
                positions.removal_unsynced = false;
            }
            let Some(segment) = self.shared.oldest_unneeded(passed) else { break };
            self.shared.disk.remove(&segment.path).tried("remove", &segment.path)?;
            positions.removal_unsynced = true;
            self.shared.forget_oldest();
            removed += 1;
        }
        Ok(removed)
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        let waiting = self.shared.pending.waiting();
        let consumers = self.shared.positions().known.iter().map(|(name, at)| (name.clone(), *at)).collect();
        let segments = self.shared.segments();
        State {
            segments: segments.len() as u64,
            bytes: segments.iter().map(|segment| segment.bytes()).sum(),
            oldest: self.shared.oldest(),
            next: self.next_offset(),
            consumers,
            waiting_records: waiting.records,
            waiting_bytes: waiting.bytes,
            groups: self.shared.groups.load(Ordering::Relaxed),
            damaged_records: self.shared.damage().0.values().map(|damage| damage.records).sum(),
            full: self.shared.full.load(Ordering::Relaxed),
            failure: waiting.failure,
        }
    }

    /// The damage that is known: found when the log was opened, or by a reader since. At most 10,000 places.
    #[must_use]
    pub fn damaged(&self) -> Vec<Damage> {
        self.shared.damage().0.values().cloned().collect()
    }

    /// Writes and answers what waits, ends the writer's thread and unlocks the folder. Further appends are refused as
    /// [`Closed`](AppendError::Closed). Done twice, it does nothing the second time.
    pub fn close(&self) {
        self.shared.pending.close();
        // Held while joining: a second caller must not unlock the folder under a writer that still writes.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // An error means that the writer panicked; everybody who waited was told then.
        let _ = writer.take().map(JoinHandle::join);
        self.shared.positions().closed = true;
        self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}
