//! What the log, its writer and its consumers have in common: the segments, the positions, the damage, the room left.
//!
//! Apart from `log.rs` so that the writer and the consumers depend on this and not on the whole log. It starts no thread
//! and makes no promise of its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use protocol::Offset;
use tokio::sync::{oneshot, watch};

use crate::consumer::Positions;
use crate::disk::{Disk, FolderLock};
use crate::error::{AppendError, LogError, Tried};
use crate::frame::FRAME_BYTES;
use crate::options::Options;
use crate::pending::{Job, Pending};
use crate::recover::Damage;
use crate::scan::{Found, Scan};
use crate::segment::Segment;

/// Places of damage that are remembered; further ones are skipped like these but neither listed nor counted.
const DAMAGE_PLACES_MAX: usize = 10_000;

/// What the log, its writer and its consumers share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) pending: Pending,
    /// The first offset not yet synced.
    pub(crate) synced: watch::Sender<Offset>,
    pub(crate) full: AtomicBool,
    pub(crate) groups: AtomicU64,
    pub(crate) segments: RwLock<Vec<Arc<Segment>>>,
    pub(crate) positions: Mutex<Positions>,
    pub(crate) damage: Mutex<Damaged>,
    pub(crate) lock: Mutex<Option<FolderLock>>,
}

/// The damage that is known, by segment and byte, so that reading it twice doesn't count it twice.
#[derive(Default)]
pub(crate) struct Damaged(pub(crate) BTreeMap<(String, u64), Damage>);

impl Damaged {
    /// Takes note of it, once.
    pub(crate) fn note(&mut self, damage: Damage) {
        let full = self.0.len() >= DAMAGE_PLACES_MAX;
        match self.0.entry((damage.segment.clone(), damage.at_byte)) {
            // It may have grown.
            Entry::Occupied(mut known) if known.get().records < damage.records => {
                known.insert(damage);
            }
            Entry::Vacant(place) if !full => {
                place.insert(damage);
            }
            Entry::Occupied(_) | Entry::Vacant(_) => {}
        }
    }
}

impl Shared {
    pub(crate) fn next_offset(&self) -> Offset {
        *self.synced.borrow()
    }

    /// All positions; held while one is written, so that trimming sees what is durable.
    pub(crate) fn positions(&self) -> MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when `bytes` more leave the disk its reserve and the log its limit.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let log_bytes: u64 = self.segments().iter().map(|segment| segment.bytes()).sum();
        if self.options.log_bytes_max.is_some_and(|max| log_bytes.saturating_add(bytes) > max) {
            return false;
        }
        // A disk that can't say is asked by writing to it.
        self.disk.free_bytes(&self.dir).map_or(true, |free| free >= bytes.saturating_add(self.options.reserve_bytes))
    }

    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(segment);
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn damage(&self) -> MutexGuard<'_, Damaged> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn oldest(&self) -> Offset {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.first().map_or_else(Offset::default, |segment| segment.base)
    }

    /// The first segment that ends behind `offset`.
    pub(crate) fn segment_at(&self, offset: Offset) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let place = segments.partition_point(|segment| segment.end() <= offset);
        segments.get(place).cloned()
    }

    /// The oldest segment, when nobody needs it any more.
    pub(crate) fn oldest_unneeded(&self, passed: Offset) -> Option<Arc<Segment>> {
        let segments = self.segments();
        let left_bytes: u64 = segments.iter().skip(1).map(|segment| segment.bytes()).sum();
        let retained = self.options.retain_bytes > 0 && left_bytes < self.options.retain_bytes;
        let oldest = segments.first().filter(|oldest| oldest.end() <= passed)?;
        (segments.len() > 1 && !retained).then(|| Arc::clone(oldest))
    }

    /// Takes the oldest segment off the list.
    pub(crate) fn forget_oldest(&self) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(0);
    }

    /// Checks the limits of one append.
    #[allow(clippy::type_complexity, reason = "a job and the end of its channel, used once")]
    pub(crate) fn job(
        &self,
        records: Vec<Vec<u8>>,
    ) -> Result<(Job, oneshot::Receiver<Result<Offset, AppendError>>), AppendError> {
        let count = records.len() as u64;
        if count == 0 {
            return Err(AppendError::Empty);
        }
        if count > self.options.queue_records_max {
            return Err(AppendError::TooMany { records: count, limit_records: self.options.queue_records_max });
        }
        let limit_bytes = self.options.record_bytes_max;
        let mut bytes = count * FRAME_BYTES;
        let mut measured = Vec::with_capacity(records.len());
        for record in records {
            let too_large = AppendError::TooLarge { bytes: record.len() as u64, limit_bytes };
            let length = u32::try_from(record.len()).ok().filter(|length| u64::from(*length) <= limit_bytes);
            measured.push((length.ok_or(too_large)?, record));
        }
        bytes += measured.iter().map(|(length, _)| u64::from(*length)).sum::<u64>();
        if bytes > self.options.queue_bytes_max {
            return Err(AppendError::TooLarge { bytes, limit_bytes: self.options.queue_bytes_max });
        }
        let (done, answer) = oneshot::channel();
        Ok((Job { records: measured, bytes, done }, answer))
    }

    /// Gives the records of one segment from `from` on to `take`, until it answers false.
    pub(crate) fn read_segment(
        &self,
        segment: &Segment,
        from: Offset,
        take: &mut dyn FnMut(Offset, &[u8]) -> bool,
    ) -> Result<(), LogError> {
        let Some(mark) = segment.mark else { return Ok(()) };
        let file = match self.disk.open(&segment.path) {
            Ok(file) => file,
            // It was trimmed in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(LogError::Io { action: "open", path: segment.path.clone(), source }),
        };
        let (first, at, end_byte, end) = segment.start(from);
        let mut scan = Scan::new(&*file, mark, at, end_byte, first);
        while scan.expected() < end {
            match scan.next().tried("read", &segment.path)? {
                Found::Record { offset, .. } if offset >= end => break,
                Found::Record { offset, .. } => {
                    if offset >= from && !take(offset, scan.record().tried("read", &segment.path)?) {
                        break;
                    }
                }
                Found::Damage { at, bytes, first, next } => self.note_damage(segment, at, bytes, first, next),
                Found::Rest { at, bytes } => {
                    self.note_damage(segment, at, bytes, scan.expected(), end);
                    break;
                }
            }
        }
        Ok(())
    }

    fn note_damage(&self, segment: &Segment, at_byte: u64, bytes: u64, first: Offset, next: Offset) {
        let records = next.0.saturating_sub(first.0);
        let segment = segment.file_name();
        self.damage().note(Damage { segment, at_byte, bytes, first, records, unacked_possible: false });
    }
}
