//! Reading whole rows back, and what is known without reading them.

use std::ops::Range;

use protocol::row::Row;
use protocol::{CollectionName, EventId, ProjectId, PropertyPath, Timestamp};

use crate::block::Rows;
use crate::column::{Column, Name};
use crate::error::StoreError;
use crate::merge::Source;
use crate::{Store, lock};

/// A collection with its properties and their types in Keen's words.
pub type Described = (CollectionName, Vec<(PropertyPath, &'static str)>);

impl Store {
    /// The newest `keen.created_at` in segments, that of deleted rows among them; none while there is none.
    #[must_use]
    pub fn newest_created_at(&self) -> Option<Timestamp> {
        let segments = lock(&self.state).segments.clone();
        let graves = lock(&self.manifest).graves.iter().map(|entry| entry.max_created_ms).max();
        let newest = segments.iter().map(|segment| segment.entry.max_created_ms).max();
        newest.max(graves).map(Timestamp::from_millis)
    }

    /// Calls `f` with project, id and `keen.created_at` of every row that was created at or after `since`, in no
    /// order: what the processor's memory of ids is made of again after a restart. Reads two columns of the segments
    /// that are young enough.
    ///
    /// # Errors
    /// The disk's, or the first damaged segment's after all others were read.
    pub fn recent_ids(
        &self,
        since: Timestamp,
        f: &mut dyn FnMut(&ProjectId, EventId, Timestamp),
    ) -> Result<(), StoreError> {
        let (segments, owners) = {
            let state = lock(&self.state);
            (state.segments.clone(), state.tails.keys().cloned().collect::<Vec<_>>())
        };
        let mut damaged = None;
        let mut give = |project: &ProjectId, ids: &Column, created: &Column| {
            for (id, at) in ids.ids().iter().zip(created.times()).filter(|(_, at)| **at >= since.millis()) {
                f(project, EventId::from_bytes(*id), Timestamp::from_millis(*at));
            }
        };
        for segment in segments.iter().filter(|segment| segment.entry.max_created_ms >= since.millis()) {
            let read = || Ok((segment.column_uncached(&Name::Id)?, segment.column_uncached(&Name::CreatedAt)?));
            match read() {
                Ok((Some(ids), Some(created))) => give(&segment.entry.project, &ids, &created),
                Ok(_) => damaged = damaged.or_else(|| Some(segment.damaged("it has no ids"))),
                Err(error @ StoreError::Damaged { .. }) => damaged = damaged.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let graves = lock(&self.manifest).graves.clone();
        for entry in graves.iter().filter(|entry| entry.max_created_ms >= since.millis()) {
            let grave = self.opened(entry);
            match (grave.column_uncached(&Name::Id), grave.column_uncached(&Name::CreatedAt)) {
                (Ok(Some(ids)), Ok(Some(created))) => give(&entry.project, &ids, &created),
                (Err(error @ StoreError::Io { .. }), _) => return Err(error),
                _ => damaged = damaged.or_else(|| Some(grave.damaged("it has no ids"))),
            }
        }
        for owner in owners {
            for source in self.sources(&owner) {
                // A segment here is one of the above, or a flush that came between wrote it.
                let known = |number| segments.iter().any(|segment| segment.entry.number == number);
                if matches!(&source, Source::Segment(segment) if known(segment.entry.number)) {
                    continue;
                }
                if let (Some(ids), Some(created)) = (source.column(&Name::Id)?, source.column(&Name::CreatedAt)?) {
                    give(&owner.0, &ids, &created);
                }
            }
        }
        match damaged {
            Some(error) if !self.options.skip_damaged => Err(error),
            _ => Ok(()),
        }
    }

    /// Calls `f` with every row of a collection whose `keen.timestamp` is in `span` (in milliseconds, end exclusive),
    /// exactly as it was appended; in order of time within each segment only.
    ///
    /// # Errors
    /// The disk's, or a damaged segment's.
    pub fn rows(
        &self,
        project: &ProjectId,
        collection: &CollectionName,
        span: Range<Timestamp>,
        f: &mut dyn FnMut(Row),
    ) -> Result<(), StoreError> {
        let (start, end) = (span.start.millis(), span.end.millis());
        for source in self.sources(&(project.clone(), collection.clone())) {
            let (first, last) = source.span_ms();
            if last < start || first >= end {
                continue;
            }
            let times = source.column(&Name::Timestamp)?;
            let times = times.as_deref().map(Column::times).unwrap_or_default();
            let range = times.partition_point(|at| *at < start)..times.partition_point(|at| *at < end);
            let fetch = |name: &Name| source.column(name);
            let broken = || match &source {
                Source::Segment(segment) => segment.damaged("its columns don't fit together"),
                Source::Block(_) => StoreError::Internal("a block's columns don't fit together".to_owned()),
            };
            let mut rows = Rows::new(project, collection, &fetch)?.ok_or_else(broken)?;
            for number in range {
                f(rows.row(number)?.ok_or_else(broken)?);
            }
        }
        Ok(())
    }

    /// The collections of a project in order of name, each with its properties and their types (`num`, `string`,
    /// `bool`, `datetime`, `array`, `geo`, `null`): the row's own first, then in the order in which they were first
    /// seen. A property with several types has that of its first value.
    #[must_use]
    pub fn collections(&self, project: &ProjectId) -> Vec<Described> {
        lock(&self.state).schemas.of_project(project)
    }

    /// Bytes of decoded columns that are kept for queries.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.cache.size_bytes()
    }

    /// Committed segments: how many, and their bytes.
    #[must_use]
    pub fn segments(&self) -> (usize, u64) {
        let segments = lock(&self.state).segments.clone();
        (segments.len(), segments.iter().map(|segment| segment.entry.size_bytes).sum())
    }
}
