//! Opens what is on disk: checks every record, cuts the torn tail, and says exactly what it found.
//!
//! Two things look alike and must not be confused. A *torn tail* is bytes at the end of the last segment behind which no
//! whole record stands: what a crash leaves of a group that was never synced. It is cut off, because the next record
//! goes there, and first saved to a side file. *Damage* has whole records behind it, or a later segment: what stood
//! there may have been acknowledged. It is left where it is, skipped, counted and reported. Nothing else is changed.
//!
//! A record that is whole in the last group may be in the operating system's memory only (the process was killed, or a
//! sync failed and was forgotten). Before it is shown to readers, the last group is written again over itself and
//! synced: a sync alone would not do, because after a failed sync the system takes the lost bytes for written.

use std::io;
use std::path::Path;
use std::sync::Arc;

use protocol::Offset;

use crate::disk::{Disk, DiskFile, read_full_at, write_all_at};
use crate::error::{LogError, Tried};
use crate::frame::{FRAME_BYTES, Frame, HEADER_BYTES, Header};
use crate::scan::{Found, Scan, usize_of};
use crate::segment::{CreateError, Extent, Index, Segment};

/// Side files of cut tails that are kept. When there are so many, a tail is cut without being saved.
const CUT_FILES_MAX: usize = 64;
/// Bytes copied at once.
const COPY_BYTES: u64 = 1 << 20;

/// What opening a log found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segment files, with the one that is written to.
    pub segments: u64,
    /// Whole records in them.
    pub records: u64,
    /// The torn tail that was cut off, if there was one.
    pub cut: Option<Cut>,
    /// Damage, in order. It is reported at every opening until the segment is trimmed.
    pub damaged: Vec<Damage>,
    /// The offset that the next record gets.
    pub next: Offset,
}

/// A torn tail that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// File name of the segment.
    pub segment: String,
    /// Where the tail began.
    pub at_byte: u64,
    /// Its length.
    pub bytes: u64,
    /// File name, in the log's folder, under which its bytes were kept. None when all were zero, when there was no
    /// room, or when 64 such files are there already.
    pub saved: Option<String>,
}

/// A place where records are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// File name of the segment.
    pub segment: String,
    /// Where the damaged bytes begin.
    pub at_byte: u64,
    /// How many there are; 0 when the file is too short or a following file is gone.
    pub bytes: u64,
    /// The first offset that is missing.
    pub first: Offset,
    /// How many offsets are missing from there: exact, but for a last segment of which nothing can be read, where it is
    /// the most there can have been.
    pub records: u64,
    /// True when it lies in the last group that was written. A power cut during its sync leaves the same, and then
    /// none of these records was acknowledged.
    pub unacked_possible: bool,
}

/// An opened log's parts.
pub(crate) struct Recovered {
    /// All segments in order; the last is written to.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The last segment's file.
    pub(crate) file: Box<dyn DiskFile>,
    /// What is told to the operator.
    pub(crate) report: Recovery,
}

/// What a walk over one segment found.
struct Walked {
    damaged: Vec<Damage>,
    records: u64,
    /// Offset behind the last whole record.
    end: Offset,
    /// Where the last whole record ends, and the bytes from there.
    rest_at: u64,
    rest_bytes: u64,
    /// First offset of the last group, and where its first whole record begins.
    group: Option<(Offset, u64)>,
    index: Index,
}

/// Opens the segments in `dir`. Offsets below `floor` are never given out again, be their records there or not.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path, floor: Offset) -> Result<Recovered, LogError> {
    let mut bases: Vec<Offset> =
        disk.list(dir).tried("list", dir)?.iter().filter_map(|name| Segment::parse_name(name)).collect();
    bases.sort_unstable();
    let mut report = Recovery { next: floor, ..Recovery::default() };
    let mut segments = Vec::new();
    let mut active = None;
    for (place, base) in bases.iter().enumerate() {
        let path = dir.join(Segment::name(*base));
        let file = disk.open(&path).tried("open", &path)?;
        let size = file.size().tried("read", &path)?;
        let mark = read_mark(&*file, &path, size, *base)?;
        let segment = match (bases.get(place + 1), mark) {
            (Some(limit), mark) => check_closed(&*file, &path, (*base, *limit), size, mark, &mut report)?,
            (None, None) if size > HEADER_BYTES => unreadable(&path, *base, size, &mut report),
            (None, mark) => {
                let segment = open_last(disk, dir, &*file, *base, size, mark, &mut report)?;
                active = Some(file);
                segment
            }
        };
        segments.push(Arc::new(segment));
    }
    if let Some(last) = segments.last() {
        let end = last.end();
        report.next = end.max(floor);
        if end < floor {
            report.damaged.push(Damage {
                segment: last.file_name(),
                at_byte: last.bytes(),
                bytes: 0,
                first: end,
                records: floor.0 - end.0,
                unacked_possible: false,
            });
            active = None;
        }
    }
    let file = match active {
        Some(file) => file,
        None => {
            let (segment, file) = Segment::create(disk, dir, report.next).map_err(|error| match error {
                CreateError::Full(error) | CreateError::Broken(error) => error,
            })?;
            segments.push(Arc::new(segment));
            file
        }
    };
    report.segments = segments.len() as u64;
    Ok(Recovered { segments, file, report })
}

/// The mark of a segment's frames: from its header or, when that is damaged, from its first frame.
fn read_mark(file: &dyn DiskFile, path: &Path, size: u64, base: Offset) -> Result<Option<u32>, LogError> {
    let mut head = vec![0; usize_of(size.min(HEADER_BYTES + FRAME_BYTES))];
    read_full_at(file, 0, &mut head).tried("read", path)?;
    let (header, frame) = head.split_at_checked(usize_of(HEADER_BYTES)).unwrap_or((&head, &[]));
    match Header::decode(header) {
        Header::Version(found) => Err(LogError::Version { path: path.to_owned(), found }),
        Header::Whole { base: found, .. } if found != base => Err(LogError::Misnamed { path: path.to_owned(), found }),
        Header::Whole { mark, .. } => Ok(Some(mark)),
        Header::Damaged => {
            let Some(frame) = Frame::decode(frame) else { return Ok(None) };
            let first = Scan::new(file, frame.mark, HEADER_BYTES, size, base).next().tried("read", path)?;
            Ok(matches!(first, Found::Record { at: HEADER_BYTES, .. }).then_some(frame.mark))
        }
    }
}

/// Checks every record of one segment up to the offset `limit`.
fn walk(
    file: &dyn DiskFile,
    path: &Path,
    size: u64,
    mark: u32,
    base: Offset,
    limit: Offset,
) -> Result<Walked, LogError> {
    let mut scan = Scan::new(file, mark, HEADER_BYTES, size, base);
    let mut walked = Walked {
        damaged: Vec::new(),
        records: 0,
        end: base,
        rest_at: HEADER_BYTES,
        rest_bytes: 0,
        group: None,
        index: Index::default(),
    };
    loop {
        match scan.next().tried("read", path)? {
            Found::Record { at, offset, .. } if offset >= limit => {
                (walked.rest_at, walked.rest_bytes) = (at, size - at);
                return Ok(walked);
            }
            Found::Record { at, offset, group } => {
                walked.records += 1;
                walked.index.note(offset, at);
                walked.end = offset.next();
                if walked.group.is_none_or(|(last, _)| last < group) {
                    walked.group = Some((group, at));
                }
            }
            Found::Damage { at, bytes, first, next } => walked.damaged.push(Damage {
                segment: Segment::name(base),
                at_byte: at,
                bytes,
                first,
                records: next.0 - first.0,
                unacked_possible: false,
            }),
            Found::Rest { at, bytes } => {
                (walked.rest_at, walked.rest_bytes) = (at, bytes);
                return Ok(walked);
            }
        }
    }
}

/// Checks a segment that another follows: it was synced to its end, so whatever is missing is damage.
fn check_closed(
    file: &dyn DiskFile,
    path: &Path,
    (base, limit): (Offset, Offset),
    size: u64,
    mark: Option<u32>,
    report: &mut Recovery,
) -> Result<Segment, LogError> {
    let mut index = Index::default();
    let (mut missing, mut at_byte, mut bytes) = (base, 0, size);
    if let Some(mark) = mark {
        let walked = walk(file, path, size, mark, base, limit)?;
        report.records += walked.records;
        report.damaged.extend(walked.damaged);
        index = walked.index;
        (missing, at_byte, bytes) = (walked.end, walked.rest_at, walked.rest_bytes);
    }
    if missing < limit {
        let records = limit.0 - missing.0;
        let segment = Segment::name(base);
        report.damaged.push(Damage { segment, at_byte, bytes, first: missing, records, unacked_possible: false });
    }
    Ok(Segment::new(base, path.to_owned(), mark, Extent { bytes: size, end: limit, index }))
}

/// A last segment whose header and first frame are both damaged. How many records it had can't be known, so the log goes
/// on behind the highest offset they can have had; nothing is cut.
fn unreadable(path: &Path, base: Offset, size: u64, report: &mut Recovery) -> Segment {
    let records = (size - HEADER_BYTES).div_ceil(FRAME_BYTES);
    let segment = Segment::name(base);
    report.damaged.push(Damage { segment, at_byte: 0, bytes: size, first: base, records, unacked_possible: true });
    let end = Offset(base.0.saturating_add(records));
    Segment::new(base, path.to_owned(), None, Extent { bytes: size, end, index: Index::default() })
}

/// Opens the segment that is written to: cuts its torn tail and makes the rest durable.
fn open_last(
    disk: &dyn Disk,
    dir: &Path,
    file: &dyn DiskFile,
    base: Offset,
    size: u64,
    mark: Option<u32>,
    report: &mut Recovery,
) -> Result<Segment, LogError> {
    let path = dir.join(Segment::name(base));
    // Without a mark it was being made when the power went: a header is synced before the first frame is written.
    let (mark, whole) = match mark {
        Some(mark) => (mark, Some(walk(file, &path, size, mark, base, Offset(u64::MAX))?)),
        None => (disk.nonce().max(1), None),
    };
    let keep = whole.as_ref().map_or(0, |walked| walked.rest_at);
    if size > keep {
        let saved = save(disk, dir, file, base, keep, size - keep);
        file.truncate(keep).tried("cut the torn tail of", &path)?;
        report.cut = Some(Cut { segment: Segment::name(base), at_byte: keep, bytes: size - keep, saved });
    }
    write_all_at(file, 0, &Header::encode(mark, base)).tried("write", &path)?;
    let Some(walked) = whole else {
        file.sync().tried("sync", &path)?;
        disk.sync_dir(dir).tried("sync the folder", dir)?;
        let extent = Extent { bytes: HEADER_BYTES, end: base, index: Index::default() };
        return Ok(Segment::new(base, path, Some(mark), extent));
    };
    if let Some((_, at)) = walked.group {
        copy(file, at, file, at, keep - at).tried("write again the last group of", &path)?;
    }
    file.sync().tried("sync", &path)?;
    disk.sync_dir(dir).tried("sync the folder", dir)?;
    report.records += walked.records;
    report.damaged.extend(walked.damaged.into_iter().map(|mut damage| {
        damage.unacked_possible = walked.group.is_some_and(|(group, _)| group <= damage.first);
        damage
    }));
    Ok(Segment::new(base, path, Some(mark), Extent { bytes: keep, end: walked.end, index: walked.index }))
}

/// Keeps the bytes of a torn tail in a side file and gives its name. Best effort: the tail is cut in any case, so that
/// a full disk doesn't keep the log from opening.
fn save(disk: &dyn Disk, dir: &Path, file: &dyn DiskFile, base: Offset, at: u64, bytes: u64) -> Option<String> {
    let kept = disk.list(dir).ok()?.iter().filter(|name| name.starts_with("cut-")).count();
    if kept >= CUT_FILES_MAX || is_zero(file, at, bytes).ok()? {
        return None;
    }
    let name = (0..=kept)
        .map(|number| format!("cut-{:020}-{at}-{number}", base.0))
        .find(|name| matches!(disk.open(&dir.join(name)), Err(error) if error.kind() == io::ErrorKind::NotFound))?;
    let side = disk.create(&dir.join(&name)).ok()?;
    copy(file, at, &*side, 0, bytes).and_then(|()| side.sync()).and_then(|()| disk.sync_dir(dir)).ok()?;
    Some(name)
}

fn copy(from: &dyn DiskFile, from_at: u64, to: &dyn DiskFile, to_at: u64, bytes: u64) -> io::Result<()> {
    let mut done = 0;
    each_chunk(from, from_at, bytes, &mut |chunk| {
        write_all_at(to, to_at + done, chunk)?;
        done += chunk.len() as u64;
        Ok(())
    })
}

fn is_zero(file: &dyn DiskFile, at: u64, bytes: u64) -> io::Result<bool> {
    let mut zero = true;
    each_chunk(file, at, bytes, &mut |chunk| {
        zero &= chunk.iter().all(|byte| *byte == 0);
        Ok(())
    })?;
    Ok(zero)
}

fn each_chunk(
    file: &dyn DiskFile,
    at: u64,
    bytes: u64,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; usize_of(bytes.min(COPY_BYTES))];
    let mut done = 0;
    while done < bytes {
        let size = usize_of((bytes - done).min(COPY_BYTES));
        let count = read_full_at(file, at + done, buffer.get_mut(..size).unwrap_or_default())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take(buffer.get(..count).unwrap_or_default())?;
        done += count as u64;
    }
    Ok(())
}
