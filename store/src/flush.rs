//! Makes the tail durable: blocks become segments, then the manifest commits them with the tallies and the offset.
//!
//! Appends and queries go on meanwhile. If anything fails before the manifest is replaced, the rows are back in the
//! tail and the next flush tries again with new files; nothing is synced twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::row::Tally;
use protocol::{Offset, ProjectId};

use crate::block::Block;
use crate::error::StoreError;
use crate::manifest::{Manifest, NotReplaced};
use crate::merge::{Source, Target, merge, remove, sync};
use crate::schema::Owner;
use crate::segment::{Entry, Segment};
use crate::tail::{State, TailState};
use crate::{Store, lock};

/// What one flush writes.
struct Taken {
    blocks: Vec<(Owner, Vec<Arc<Block>>)>,
    next: Offset,
    tallies: BTreeMap<ProjectId, Tally>,
    fill: TailState,
}

impl Store {
    /// Writes the tail to segments and commits them together with the offset and the tallies. Gives the offset that
    /// is committed now; does nothing when nothing was appended since the last one.
    ///
    /// # Errors
    /// The disk's: the tail is as before and a later call may succeed. [`StoreError::CommitUnknown`]: the store must
    /// be opened again.
    pub fn flush(&self) -> Result<Offset, StoreError> {
        let _one = lock(&self.flushing);
        self.refuse_unknown()?;
        let Some(taken) = self.take() else { return Ok(self.committed()) };
        let target = self.target(self.options.flush_days_max);
        let written = write_all(&target, &taken.blocks).and_then(|entries| {
            self.commit(
                |manifest| {
                    manifest.committed = taken.next;
                    manifest.tallies.clone_from(&taken.tallies);
                    manifest.segments.extend(entries.iter().cloned());
                },
                |state| {
                    let mut segments = state.segments.as_ref().clone();
                    segments.extend(entries.iter().map(|entry| self.written(entry)));
                    state.segments = Arc::new(segments);
                    state.tails.retain(|_, tail| {
                        tail.flushing.clear();
                        !tail.is_empty()
                    });
                },
            )
            .inspect_err(|error| {
                if !matches!(error, StoreError::CommitUnknown) {
                    remove(&target, &entries);
                }
            })
        });
        if let Err(error) = written {
            self.put_back(&taken);
            return Err(error);
        }
        Ok(taken.next)
    }

    /// Freezes what is in the tail now; none when nothing was appended.
    fn take(&self) -> Option<Taken> {
        let _appending = lock(&self.appending);
        let owners: Vec<Owner> = lock(&self.state).tails.keys().cloned().collect();
        for owner in &owners {
            self.seal(owner);
        }
        let mut state = lock(&self.state);
        if !state.dirty {
            return None;
        }
        state.dirty = false;
        state.waiting_since = None;
        let mut blocks = Vec::new();
        for (owner, tail) in &mut state.tails {
            tail.flushing = std::mem::take(&mut tail.blocks);
            blocks.push((owner.clone(), tail.flushing.clone()));
        }
        blocks.sort_by(|(left, _), (right, _)| left.cmp(right));
        let fill = std::mem::take(&mut state.fill);
        Some(Taken { blocks, next: state.next, tallies: state.tallies.clone(), fill })
    }

    /// Undoes [`Store::take`].
    fn put_back(&self, taken: &Taken) {
        let mut state = lock(&self.state);
        for tail in state.tails.values_mut() {
            let newer = std::mem::replace(&mut tail.blocks, std::mem::take(&mut tail.flushing));
            tail.blocks.extend(newer);
        }
        state.dirty = true;
        state.fill.rows += taken.fill.rows;
        state.fill.bytes += taken.fill.bytes;
        let oldest = [state.fill.oldest_ms, taken.fill.oldest_ms];
        state.fill.oldest_ms = oldest.into_iter().flatten().min();
    }

    /// Replaces the manifest by an edited one, and what queries see in the same step.
    pub(crate) fn commit(
        &self,
        edit: impl FnOnce(&mut Manifest),
        show: impl FnOnce(&mut State),
    ) -> Result<(), StoreError> {
        let mut current = lock(&self.manifest);
        self.refuse_unknown()?;
        let mut next = current.clone();
        next.next_segment = self.numbers.load(Ordering::Relaxed);
        next.collections = lock(&self.state).schemas.save();
        edit(&mut next);
        match next.replace(self.files.as_ref(), &self.dir) {
            Ok(()) => {}
            Err(NotReplaced::Kept(error)) => return Err(error),
            Err(NotReplaced::Unknown(_)) => {
                self.commit_unknown.store(true, Ordering::Release);
                return Err(StoreError::CommitUnknown);
            }
        }
        *current = next;
        show(&mut lock(&self.state));
        Ok(())
    }

    pub(crate) fn refuse_unknown(&self) -> Result<(), StoreError> {
        if self.commit_unknown.load(Ordering::Acquire) { Err(StoreError::CommitUnknown) } else { Ok(()) }
    }

    /// A segment that this process has just written.
    pub(crate) fn written(&self, entry: &Entry) -> Arc<Segment> {
        let segment = Segment::new(&self.segments_dir(), entry.clone(), self.files.clone(), self.cache.clone());
        segment.trust();
        Arc::new(segment)
    }

    pub(crate) fn target(&self, days_max: usize) -> Target<'_> {
        Target {
            files: self.files.as_ref(),
            dir: self.segments_dir(),
            numbers: &self.numbers,
            rows_max: self.options.segment_rows_max,
            days_max,
        }
    }
}

fn write_all(target: &Target<'_>, blocks: &[(Owner, Vec<Arc<Block>>)]) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for (owner, blocks) in blocks {
        let sources: Vec<Source> = blocks.iter().cloned().map(Source::Block).collect();
        match merge(target, owner, &sources, 0) {
            Ok(more) => entries.extend(more),
            Err(error) => {
                remove(target, &entries);
                return Err(error);
            }
        }
    }
    sync(target, entries)
}
