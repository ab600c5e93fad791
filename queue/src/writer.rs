//! The one thread that writes: takes a group, writes it, syncs it once, and only then acknowledges it.
//!
//! Everything that may go wrong on the way ends in one of two ways, [`Halt`]: no room, which passes and leaves nothing
//! behind, or a broken disk, after which nothing is acknowledged until the log is opened again. A failed sync is never
//! tried again: the operating system may have dropped the bytes and would call the second one a success.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::Offset;

use crate::disk::{DiskFile, is_full, write_all_at};
use crate::error::{AppendError, LogError, Tried};
use crate::frame::{Frame, HEADER_BYTES};
use crate::pending::{Job, Taken, Wish};
use crate::scan::usize_of;
use crate::segment::{CreateError, Segment};
use crate::shared::Shared;

/// While the log is full, how often it looks for room so that its state says so before the next append: well within
/// the 5 seconds in which writing must go on.
const FULL_LOOK: Duration = Duration::from_secs(1);

/// How many times `batch_bytes_max` a group may be, of what came while the one before was synced. Most of a sync's time
/// does not depend on its bytes, so what waits goes along rather than wait for one more.
const GROUP_FACTOR: u64 = 4;

/// Why a group was not written.
enum Halt {
    /// No room. Nothing of the group is on disk.
    Full,
    /// The disk is broken. Any part of the group may be on disk.
    Broken(LogError),
}

/// The writer's own state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    segment: Arc<Segment>,
    mark: u32,
    file: Box<dyn DiskFile>,
    at: u64,
    next: Offset,
    /// The group's bytes, and where its records begin.
    buffer: Vec<u8>,
    starts: Vec<(Offset, u64)>,
    /// Appends in the group before: as many as can be expected again.
    appends: usize,
    /// Bytes of the group that last found no room.
    refused_bytes: u64,
}

impl Writer {
    /// Goes on behind the end of `segment`, whose file is `file`.
    pub(crate) fn new(shared: Arc<Shared>, segment: Arc<Segment>, file: Box<dyn DiskFile>) -> Self {
        let (at, next, mark) = (segment.bytes(), segment.end(), segment.mark.unwrap_or(0));
        Self {
            shared,
            segment,
            mark,
            file,
            at,
            next,
            buffer: Vec::new(),
            starts: Vec::new(),
            appends: 1,
            refused_bytes: 0,
        }
    }

    /// Writes until the log is closed or broken.
    pub(crate) fn run(mut self) {
        let ended = FailAtEnd(Arc::clone(&self.shared));
        loop {
            let wish = Wish {
                linger: Duration::from_millis(self.shared.options.linger_ms),
                appends: self.appends,
                bytes: self.shared.options.batch_bytes_max,
                bytes_max: self.shared.options.batch_bytes_max.saturating_mul(GROUP_FACTOR),
                idle: self.shared.full.load(Ordering::Relaxed).then_some(FULL_LOOK),
            };
            match self.shared.pending.take(&wish) {
                Taken::Group(jobs) => {
                    if let Err(error) = self.commit(jobs) {
                        self.shared.pending.fail(&error.to_string().into());
                        break;
                    }
                }
                Taken::Idle => {
                    let full = !self.shared.has_room(self.refused_bytes);
                    self.shared.full.store(full, Ordering::Relaxed);
                }
                Taken::Closed => break,
            }
        }
        drop(ended);
    }

    /// Writes and syncs one group and answers it.
    fn commit(&mut self, jobs: Vec<Job>) -> Result<(), LogError> {
        self.appends = jobs.len();
        let bytes = jobs.iter().map(|job| job.bytes).sum();
        let mut last = self.next;
        match self.write(&jobs, bytes) {
            Ok(()) => {
                self.shared.full.store(false, Ordering::Relaxed);
                self.shared.synced.send_replace(self.next);
                for job in jobs {
                    last.0 += job.records.len() as u64;
                    // The one who appended may have gone.
                    let _ = job.done.send(Ok(Offset(last.0 - 1)));
                }
                Ok(())
            }
            Err(Halt::Full) => {
                self.refused_bytes = bytes;
                self.shared.full.store(true, Ordering::Relaxed);
                for job in jobs {
                    let _ = job.done.send(Err(AppendError::Full { bytes }));
                }
                Ok(())
            }
            Err(Halt::Broken(error)) => {
                let reason: Arc<str> = error.to_string().into();
                // Those who append now must not be taken for waiting while these are told.
                self.shared.pending.fail(&reason);
                for job in jobs {
                    let _ = job.done.send(Err(AppendError::Failed { reason: Arc::clone(&reason) }));
                }
                Err(error)
            }
        }
    }

    fn write(&mut self, jobs: &[Job], bytes: u64) -> Result<(), Halt> {
        if !self.shared.has_room(bytes) {
            return Err(Halt::Full);
        }
        if self.at > HEADER_BYTES && self.at.saturating_add(bytes) > self.shared.options.segment_bytes_max {
            self.roll()?;
        }
        let next = self.encode(jobs);
        if let Err(source) = write_all_at(&*self.file, self.at, &self.buffer) {
            let full = is_full(&source);
            let error = LogError::Io { action: "write", path: self.segment.path.clone(), source };
            return Err(if full { self.take_back()? } else { Halt::Broken(error) });
        }
        self.sync()?;
        self.at += self.buffer.len() as u64;
        self.next = next;
        self.segment.grow(self.at, next, &self.starts);
        self.shared.groups.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Lays the group out in the buffer; gives the offset behind it.
    fn encode(&mut self, jobs: &[Job]) -> Offset {
        self.buffer.clear();
        // One huge group must not hold its memory for ever.
        self.buffer.shrink_to(usize_of(self.shared.options.batch_bytes_max.saturating_mul(GROUP_FACTOR)));
        self.starts.clear();
        let mut offset = self.next;
        for (place, (length, record)) in (0..).zip(jobs.iter().flat_map(|job| &job.records)) {
            self.starts.push((offset, self.at + self.buffer.len() as u64));
            Frame::encode(&mut self.buffer, self.mark, place, offset, *length, record);
            offset = offset.next();
        }
        offset
    }

    /// Begins a new segment. The old one is synced to its end: every group was, and what was taken back too.
    fn roll(&mut self) -> Result<(), Halt> {
        let created = Segment::create(&*self.shared.disk, &self.shared.dir, self.next);
        let (segment, file) = created.map_err(|error| match error {
            CreateError::Full(_) => Halt::Full,
            CreateError::Broken(error) => Halt::Broken(error),
        })?;
        self.segment = Arc::new(segment);
        self.mark = self.segment.mark.unwrap_or(0);
        self.file = file;
        self.at = HEADER_BYTES;
        self.shared.add_segment(Arc::clone(&self.segment));
        Ok(())
    }

    /// Removes what a full disk took of a group. Synced, so that no crash can bring it back under a later record.
    fn take_back(&mut self) -> Result<Halt, Halt> {
        self.file.truncate(self.at).tried("take back a group from", &self.segment.path).map_err(Halt::Broken)?;
        self.sync()?;
        Ok(Halt::Full)
    }

    fn sync(&mut self) -> Result<(), Halt> {
        self.file.sync().tried("sync", &self.segment.path).map_err(Halt::Broken)
    }
}

/// Sees to it that nobody waits for a writer that has ended, however it ended.
struct FailAtEnd(Arc<Shared>);

impl Drop for FailAtEnd {
    fn drop(&mut self) {
        if !self.0.pending.is_closed() || self.0.pending.waiting().records > 0 {
            self.0.pending.fail(&"the writer thread has ended".into());
        }
    }
}
