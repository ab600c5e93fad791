//! Writes rows of several blocks or segments of one collection as new segments: what a flush and a compaction share.
//!
//! It decides where one file ends and the next begins. Rows are picked in order of time and gathered one column at a
//! time, so memory is bounded by the largest column.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::block::Block;
use crate::column::{Column, Name, Pick, code, gather, index};
use crate::error::StoreError;
use crate::files::Files;
use crate::schema::Owner;
use crate::segment::{Entry, Segment, day_of, write};

/// Where rows are: in memory or in a file, with the same columns.
#[derive(Clone)]
pub(crate) enum Source {
    /// Part of the hot tail.
    Block(Arc<Block>),
    /// A committed file.
    Segment(Arc<Segment>),
}

impl Source {
    /// How many rows.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Block(block) => block.rows,
            Self::Segment(segment) => usize::try_from(segment.entry.rows).unwrap_or(usize::MAX),
        }
    }

    /// First and last `keen.timestamp`, in milliseconds.
    pub(crate) fn span_ms(&self) -> (i64, i64) {
        match self {
            Self::Block(block) => block.span_ms,
            Self::Segment(segment) => (segment.entry.min_ms, segment.entry.max_ms),
        }
    }

    /// A column; none when no row has a value in it.
    pub(crate) fn column(&self, name: &Name) -> Result<Option<Arc<Column>>, StoreError> {
        match self {
            Self::Block(block) => Ok(block.column(name)),
            Self::Segment(segment) => segment.column(name),
        }
    }

    /// The residual column taken apart.
    pub(crate) fn residual(&self) -> Result<Option<Arc<Column>>, StoreError> {
        match self {
            Self::Block(block) => block.residual().map_err(|error| StoreError::Internal(error.to_string())),
            Self::Segment(segment) => segment.residual(),
        }
    }

    /// A column, not kept for queries.
    pub(crate) fn column_uncached(&self, name: &Name) -> Result<Option<Arc<Column>>, StoreError> {
        match self {
            Self::Block(block) => Ok(block.column(name)),
            Self::Segment(segment) => segment.column_uncached(name),
        }
    }

    /// The names of its columns.
    pub(crate) fn names(&self) -> Result<Vec<Name>, StoreError> {
        match self {
            Self::Block(block) => Ok(block.names().cloned().collect()),
            Self::Segment(segment) => segment.names(),
        }
    }
}

/// Where and how large new segments are.
pub(crate) struct Target<'a> {
    /// The disk.
    pub(crate) files: &'a dyn Files,
    /// The folder of the segments.
    pub(crate) dir: PathBuf,
    /// Gives numbers.
    pub(crate) numbers: &'a AtomicU64,
    /// Rows of one file.
    pub(crate) rows_max: usize,
    /// Files that days may spread over; with more days, neighbours share a file.
    pub(crate) days_max: usize,
}

/// Writes all rows of the sources as segments of `level`; the folder isn't synced. On failure the files written so far
/// are removed again, as nothing names them.
pub(crate) fn merge(
    target: &Target<'_>,
    owner: &Owner,
    sources: &[Source],
    level: u8,
) -> Result<Vec<Entry>, StoreError> {
    let mut picks: Vec<(i64, Pick)> = Vec::new();
    let mut names = BTreeSet::new();
    for (part, source) in sources.iter().enumerate() {
        names.extend(source.names()?);
        let times = source.column_uncached(&Name::Timestamp)?;
        let times = times.as_deref().map(Column::times).unwrap_or_default();
        picks.extend(times.iter().enumerate().map(|(row, at)| (*at, (code(part), code(row)))));
    }
    picks.sort_unstable();
    let times: Vec<i64> = picks.iter().map(|(at, _)| *at).collect();
    let picks: Vec<Pick> = picks.into_iter().map(|(_, pick)| pick).collect();
    let names: Vec<Name> = names.into_iter().collect();
    let mut entries = Vec::new();
    for range in cuts(&times, target.rows_max, target.days_max) {
        let (Some(times), Some(picks)) = (times.get(range.clone()), picks.get(range)) else { continue };
        match write_one(target, owner, sources, &names, picks, times) {
            Ok(entry) => entries.push(Entry { level, ..entry }),
            Err(error) => {
                remove(target, &entries);
                return Err(error);
            }
        }
    }
    Ok(entries)
}

/// Makes the names of new files durable, which must come before a manifest that names them. On failure the files are
/// removed again.
pub(crate) fn sync(target: &Target<'_>, entries: Vec<Entry>) -> Result<Vec<Entry>, StoreError> {
    match target.files.sync_dir(&target.dir) {
        Ok(()) => Ok(entries),
        Err(source) => {
            remove(target, &entries);
            Err(StoreError::io("sync", &target.dir)(source))
        }
    }
}

/// Removes files that no manifest names. What can't be removed is an orphan, which the next start moves aside.
pub(crate) fn remove(target: &Target<'_>, entries: &[Entry]) {
    for entry in entries {
        let _ = target.files.remove(&target.dir.join(Entry::file_name(entry.number)));
    }
}

fn write_one(
    target: &Target<'_>,
    owner: &Owner,
    sources: &[Source],
    names: &[Name],
    picks: &[Pick],
    times: &[i64],
) -> Result<Entry, StoreError> {
    let used: BTreeSet<usize> = picks.iter().map(|(part, _)| index(*part)).collect();
    write_columns(target, owner, names, times, &mut |name| {
        let mut parts = Vec::with_capacity(sources.len());
        for (part, source) in sources.iter().enumerate() {
            parts.push(if used.contains(&part) { source.column_uncached(name)? } else { None });
        }
        Ok(gather(name, &parts, picks))
    })
}

/// Writes one segment of rows at these times; `column` is asked for each of its columns once.
pub(crate) fn write_columns(
    target: &Target<'_>,
    owner: &Owner,
    names: &[Name],
    times: &[i64],
    column: &mut dyn FnMut(&Name) -> Result<Column, StoreError>,
) -> Result<Entry, StoreError> {
    let number = target.numbers.fetch_add(1, Ordering::Relaxed);
    let path = target.dir.join(Entry::file_name(number));
    let mut created_ms = (0, 0);
    let mut column = |name: &Name| -> Result<Column, StoreError> {
        let column = column(name)?;
        if *name == Name::CreatedAt {
            let (first, last) = (column.times().iter().min(), column.times().iter().max());
            created_ms = (first.copied().unwrap_or(0), last.copied().unwrap_or(0));
        }
        Ok(column)
    };
    let written = write(target.files, &path, (&owner.0, &owner.1), names, &mut column);
    let (size_bytes, crc32) = written.inspect_err(|_| {
        let _ = target.files.remove(&path);
    })?;
    Ok(Entry {
        number,
        project: owner.0.clone(),
        collection: owner.1.clone(),
        level: 0,
        rows: u64::try_from(times.len()).unwrap_or(u64::MAX),
        min_ms: times.first().copied().unwrap_or(0),
        max_ms: times.last().copied().unwrap_or(0),
        min_created_ms: created_ms.0,
        max_created_ms: created_ms.1,
        size_bytes,
        crc32,
    })
}

/// Cuts rows in order of time into files: one a day, or, when there are more than `days_max` days, at the ends of
/// days such that there are about as many files; and never more than `rows_max` rows in one.
fn cuts(times: &[i64], rows_max: usize, days_max: usize) -> Vec<Range<usize>> {
    let changes = times.iter().zip(times.iter().skip(1)).filter(|(left, right)| day_of(**left) != day_of(**right));
    let days = changes.count() + 1;
    let rows_min = if days <= days_max { 1 } else { times.len().div_ceil(days_max.max(1)) };
    let mut ranges = Vec::new();
    let mut start = 0;
    for (next, (left, right)) in times.iter().zip(times.iter().skip(1)).enumerate() {
        let next = next + 1;
        let rows = next - start;
        if rows >= rows_max.max(1) || (rows >= rows_min && day_of(*left) != day_of(*right)) {
            ranges.push(start..next);
            start = next;
        }
    }
    if start < times.len() {
        ranges.push(start..times.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_end_with_the_day_unless_days_are_too_many() {
        const DAY: i64 = 86_400_000;
        for (times, rows_max, days_max, expected) in [
            (vec![], 10, 2, vec![]),
            (vec![0, 1, 2], 10, 2, vec![3]),
            (vec![-1, 0, DAY - 1, DAY], 10, 3, vec![1, 3, 4]),
            (vec![0, 1, 2, 3, 4], 2, 3, vec![2, 4, 5]),
            (vec![0, DAY, 2 * DAY, 3 * DAY], 10, 2, vec![2, 4]),
        ] {
            let ends: Vec<usize> = cuts(&times, rows_max, days_max).into_iter().map(|range| range.end).collect();
            assert_eq!(ends, expected, "{times:?}");
        }
    }
}
