//! Executes plans: the same kernels over the blocks of the tail and the columns of segments.
//!
//! A source (block or segment) outside the timeframe is left out unread. In each other one the timeframe is a range of
//! rows, because rows are in order of time; the range is gone through in batches: the filter makes a mask
//! (`filter.rs`), rows become slots, one for each bucket and group (`group.rs`), and the target's values go into the
//! slots' totals (`total.rs`, `unique.rs`). Dictionaries make each of these one look-up a row. What the answers must
//! be is said by `query::naive`, which the tests compare with.

mod filter;
mod group;
mod total;
mod unique;
mod view;

use std::ops::Range;
use std::sync::Arc;

use protocol::PropertyPath;
use protocol::query::Analysis;
use query::plan::{Line, Output, Plan, Span};

use crate::Store;
use crate::column::{Column, Name};
use crate::error::StoreError;
use crate::merge::Source;
use crate::numbers::Numbering;
use filter::Filter;
use group::{Groups, NO_SLOT, Slots};
use total::Totals;
use view::View;

/// Rows between two looks at whether to stop, and the length of the scratch vectors: small enough for the nearest
/// caches.
const BATCH_ROWS: usize = 8_192;

impl Store {
    /// Executes a plan over tail and segments as they are when it is called. `stop` is asked every few thousand rows.
    ///
    /// Sums of floats are compensated (Neumaier), so they differ from the exact sum by about one unit in the last
    /// place however rows are ordered; sums of integers are exact.
    ///
    /// # Errors
    /// [`StoreError::Stopped`], [`StoreError::TooManyGroups`], [`StoreError::TooManyValues`], a damaged segment that
    /// the query needs, or the disk's.
    pub fn execute(&self, plan: &Plan, stop: &dyn Fn() -> bool) -> Result<Output, StoreError> {
        let owner = (plan.project.clone(), plan.collection.clone());
        let mut run = Run::new(plan, &|path| self.numberings.of(&owner, path));
        for source in self.sources(&owner) {
            match run.source(&source, stop) {
                Err(StoreError::Damaged { .. }) if self.options.skip_damaged => {}
                other => other?,
            }
        }
        Ok(run.finish())
    }
}

/// Which rows of a source a plan's timeframe and filter choose.
pub(crate) fn matching(plan: &Plan, source: &Source) -> Result<Vec<bool>, StoreError> {
    let mut chosen = vec![false; source.rows()];
    let filter = Filter::new(&plan.filter, source)?;
    if filter.never() {
        return Ok(chosen);
    }
    let times = source.column(&Name::Timestamp)?;
    let times = times.as_deref().map(Column::times).unwrap_or_default();
    for span in &plan.buckets {
        let first = times.partition_point(|at| *at < span.start.millis());
        let end = times.partition_point(|at| *at < span.end.millis());
        chosen.get_mut(first..end).into_iter().flatten().for_each(|chosen| *chosen = true);
    }
    let mut mask = Vec::new();
    for start in (0..source.rows()).step_by(BATCH_ROWS) {
        let batch = start..source.rows().min(start + BATCH_ROWS);
        if filter.mask(&batch, &mut mask) {
            let rows = chosen.get_mut(batch).into_iter().flatten();
            rows.zip(&mask).for_each(|(chosen, holds)| *chosen &= *holds);
        }
    }
    Ok(chosen)
}

/// One execution.
struct Run<'plan> {
    plan: &'plan Plan,
    start_ms: i64,
    end_ms: i64,
    groups: Groups,
    totals: Totals,
    events_scanned: u64,
    mask: Vec<bool>,
    slots: Vec<u32>,
}

impl<'plan> Run<'plan> {
    fn new(plan: &'plan Plan, numbering: &dyn Fn(&PropertyPath) -> Arc<Numbering>) -> Self {
        Self {
            plan,
            start_ms: plan.buckets.first().map_or(0, |span| span.start.millis()),
            end_ms: plan.buckets.last().map_or(0, |span| span.end.millis()),
            groups: Groups::new(plan.group_by.iter().map(numbering).collect(), plan.groups_max),
            totals: Totals::new(plan, numbering),
            events_scanned: 0,
            mask: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// Takes in one source. Everything that can fail for its bytes comes before the first row counts, so a source is
    /// taken in as a whole or not at all.
    fn source(&mut self, source: &Source, stop: &dyn Fn() -> bool) -> Result<(), StoreError> {
        if stop() {
            return Err(StoreError::Stopped);
        }
        let (first, last) = source.span_ms();
        if last < self.start_ms || first >= self.end_ms || source.rows() == 0 {
            return Ok(());
        }
        let pieces = self.pieces(source)?;
        let Some(rows) = pieces.first().zip(pieces.last()).map(|((_, first), (_, last))| first.start..last.end) else {
            return Ok(());
        };
        let scanned = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let filter = Filter::new(&self.plan.filter, source)?;
        if filter.never() {
            self.events_scanned += scanned;
            return Ok(());
        }
        let mut views = Vec::with_capacity(self.plan.group_by.len());
        for path in &self.plan.group_by {
            views.push(View::new(source, path)?.into_coded());
        }
        let mut slots = Slots::new(views, source, &self.groups)?;
        let target = match (&self.plan.target, self.plan.analysis) {
            (None, _) | (_, Analysis::Count) => View::default(),
            (Some(path), _) => View::new(source, path)?,
        };
        let mut target = self.totals.bind(source, target)?;
        let mut pieces = pieces.into_iter();
        let mut piece = pieces.next();
        let mut at = rows.start;
        while at < rows.end {
            if stop() {
                return Err(StoreError::Stopped);
            }
            let batch = at..rows.end.min(at + BATCH_ROWS);
            at = batch.end;
            let masked = filter.mask(&batch, &mut self.mask);
            let mask = masked.then_some(self.mask.as_slice());
            self.slots.clear();
            self.slots.resize(batch.len(), NO_SLOT);
            while let Some((bucket, rows)) = &piece {
                let here = rows.start.max(batch.start)..rows.end.min(batch.end);
                if !here.is_empty() {
                    let offset = here.start - batch.start;
                    let cut = offset..offset + here.len();
                    let mask = mask.and_then(|mask| mask.get(cut.clone()));
                    if let Some(out) = self.slots.get_mut(cut) {
                        slots.fill(&mut self.groups, *bucket, here, mask, out)?;
                    }
                }
                if rows.end > batch.end {
                    break;
                }
                piece = pieces.next();
            }
            self.totals.add(&mut target, &batch, &self.slots, self.groups.slots())?;
        }
        self.events_scanned += scanned;
        Ok(())
    }

    /// The rows of each bucket, in order; they touch. Times are read only if the source lies in several buckets.
    fn pieces(&self, source: &Source) -> Result<Vec<(usize, Range<usize>)>, StoreError> {
        let (first_ms, last_ms) = source.span_ms();
        let buckets = &self.plan.buckets;
        let first = buckets.partition_point(|span| span.end.millis() <= first_ms);
        let within = |span: &Span| span.start.millis() <= first_ms && last_ms < span.end.millis();
        if buckets.get(first).is_some_and(within) {
            return Ok(vec![(first, 0..source.rows())]);
        }
        let times: Option<Arc<Column>> = source.column(&Name::Timestamp)?;
        let times = times.as_deref().map(Column::times).unwrap_or_default();
        let mut pieces = Vec::new();
        let mut at = times.partition_point(|time| *time < self.start_ms);
        for (bucket, span) in buckets.iter().enumerate().skip(first) {
            let rest = times.get(at..).unwrap_or_default();
            if rest.is_empty() || span.start.millis() > last_ms {
                break;
            }
            let rows = rest.partition_point(|time| *time < span.end.millis());
            if rows > 0 {
                pieces.push((bucket, at..at + rows));
                at += rows;
            }
        }
        Ok(pieces)
    }

    fn finish(self) -> Output {
        let lines = self.groups.lines();
        let mut output = Output { lines: Vec::with_capacity(lines.len()), events_scanned: self.events_scanned };
        for (slot, (bucket, group)) in lines.into_iter().enumerate() {
            output.lines.push(Line { bucket, group, value: self.totals.value(slot) });
        }
        output
    }
}
