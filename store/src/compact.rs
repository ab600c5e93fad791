//! Merges small segments into larger ones, so that a day ends as one file and queries open few.
//!
//! Segments of one collection, day and level are merged when there are enough of them; the result is one level up, so
//! a row is written again only a few times in its life. Segments of several days form their own class and are cut by
//! day again as far as it goes. The manifest replaces old by new in one step; old files go when their last reader has.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::StoreError;
use crate::merge::{Source, merge, remove, sync};
use crate::schema::Owner;
use crate::segment::{Entry, Segment};
use crate::{Store, lock};

/// Levels; at the top nothing is merged any more.
const LEVEL_MAX: u8 = 8;
/// Segments merged at once at most, because the times of all are in memory.
const MERGE_MAX: usize = 64;
/// Files that the days of a merge of many days may spread over.
const DAYS_MAX: usize = 16;

/// What one compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Segments that were merged; 0 when there was nothing to do.
    pub merged: usize,
    /// Segments that took their place.
    pub written: usize,
    /// Their rows.
    pub rows: u64,
}

impl Store {
    /// Merges one set of small segments, if there is one. The shell calls it until it merges nothing; between calls it
    /// may stop. Appends, flushes and queries go on meanwhile.
    ///
    /// # Errors
    /// The disk's, or a damaged segment's: everything is as before.
    pub fn compact(&self) -> Result<Compacted, StoreError> {
        let _one = lock(&self.compacting);
        self.refuse_unknown()?;
        let segments = lock(&self.state).segments.clone();
        let Some((owner, level, chosen)) = self.choose(&segments) else { return Ok(Compacted::default()) };
        let sources: Vec<Source> = chosen.iter().cloned().map(Source::Segment).collect();
        let target = self.target(DAYS_MAX);
        let entries = sync(&target, merge(&target, &owner, &sources, level + 1)?)?;
        let old = |number: u64| chosen.iter().any(|segment| segment.entry.number == number);
        let committed = self.commit(
            |manifest| {
                manifest.segments.retain(|entry| !old(entry.number));
                manifest.segments.extend(entries.iter().cloned());
            },
            |state| {
                let kept = state.segments.iter().filter(|segment| !old(segment.entry.number)).cloned();
                state.segments = Arc::new(kept.chain(entries.iter().map(|entry| self.written(entry))).collect());
            },
        );
        if let Err(error) = committed {
            if !matches!(error, StoreError::CommitUnknown) {
                remove(&target, &entries);
            }
            return Err(error);
        }
        for segment in &chosen {
            segment.replace();
        }
        Ok(Compacted {
            merged: chosen.len(),
            written: entries.len(),
            rows: entries.iter().map(|entry| entry.rows).sum(),
        })
    }

    /// The segments to merge next: the class with the most of them.
    fn choose(&self, segments: &[Arc<Segment>]) -> Option<(Owner, u8, Vec<Arc<Segment>>)> {
        let options = &self.options;
        let rows_max = u64::try_from(options.segment_rows_max).unwrap_or(u64::MAX);
        let mut classes: BTreeMap<(Owner, Option<i64>, u8), Vec<Arc<Segment>>> = BTreeMap::new();
        for segment in segments {
            let entry = &segment.entry;
            if entry.rows * 2 <= rows_max && entry.level < LEVEL_MAX && segment.known_damage().is_none() {
                let owner = (entry.project.clone(), entry.collection.clone());
                classes.entry((owner, entry.day(), entry.level)).or_default().push(segment.clone());
            }
        }
        let ((owner, _, level), mut class) = classes.into_iter().max_by_key(|(_, class)| class.len())?;
        if class.len() < options.compact_segments_min.max(2) {
            return None;
        }
        class.sort_by_key(|segment| (segment.entry.min_ms, segment.entry.number));
        let (mut rows, mut size_bytes) = (0, 0);
        let fits = |segment: &Arc<Segment>| {
            let Entry { rows: more_rows, size_bytes: more_bytes, .. } = segment.entry;
            rows += more_rows;
            size_bytes += more_bytes;
            rows <= rows_max && size_bytes <= options.segment_bytes_max
        };
        let mut chosen: Vec<Arc<Segment>> = class.iter().take(MERGE_MAX).cloned().take_while(fits).collect();
        if chosen.len() < 2 {
            // Two are always merged, or the class would stay as it is for ever.
            chosen = class.into_iter().take(2).collect();
        }
        Some((owner, level, chosen))
    }
}
