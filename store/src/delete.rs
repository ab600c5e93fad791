//! Deletes rows, properties and collections: what is left is written anew, and one manifest commit takes the old files
//! away.
//!
//! Before that commit everything is as before, after it nothing shows what was deleted, whenever the process ends.
//! What a crash leaves of the old files is removed at the next start. The ids of deleted rows stay, in files of their own
//! (`graves` of the manifest), for as long as repeats are recognised: a late repeat must not bring an event back.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use protocol::limits::DEDUPE_TOKEN_WINDOW_DAYS;
use protocol::row::{Cell, Row};
use protocol::{CollectionName, EventId, ProjectId, PropertyPath, Timestamp};
use query::plan::Plan;

use crate::block::{Block, RESIDUAL_MARK};
use crate::column::{ABSENT, Coded, Column, Dictionary, Name, Pick, code, gather, index};
use crate::error::StoreError;
use crate::exec::matching;
use crate::merge::{Source, Target, merge, remove, sync, write_columns};
use crate::residual;
use crate::schema::Owner;
use crate::segment::{Entry, Segment};
use crate::tail::State;
use crate::{Store, lock};

/// Rows whose ids are put into one block.
const GRAVE_BLOCK_ROWS: usize = 65_536;
/// Files with ids of one collection that are merged into one by the next deletion.
const GRAVES_MAX: usize = 8;
const DAY_MS: i64 = 86_400_000;

/// What is deleted of a collection.
#[derive(Debug, Clone, Copy)]
pub enum Deletion<'a> {
    /// All of it.
    Collection,
    /// The rows that the filter and the buckets of this plan choose. Its properties stay known.
    Matching(&'a Plan),
    /// One property and, if it was an object, everything in it.
    Property(&'a PropertyPath),
}

/// What one deletion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Rows that are gone.
    pub rows: u64,
    /// Segments that were written anew or went.
    pub segments: usize,
}

/// What changes with the commit.
#[derive(Default)]
struct Change {
    old: Vec<Arc<Segment>>,
    entries: Vec<Entry>,
    /// Ids of deleted rows.
    graves: Vec<Arc<Block>>,
    rows: u64,
}

impl Store {
    /// Deletes what was appended before the call; rows that are appended meanwhile may stay. On return it is durable and
    /// no later query or description shows it. `now` says which ids need not be remembered any more.
    ///
    /// # Errors
    /// The disk's, or a damaged segment's: everything is as before. [`StoreError::CommitUnknown`]: the store must be opened
    /// again.
    pub fn delete(
        &self,
        project: &ProjectId,
        collection: &CollectionName,
        what: Deletion<'_>,
        now: Timestamp,
    ) -> Result<Deleted, StoreError> {
        // Compaction must not rewrite what is being deleted; flushes may add to it until the commit.
        let _compacting = lock(&self.compacting);
        self.flush()?;
        let owner = (project.clone(), collection.clone());
        let segments = lock(&self.state).segments.clone();
        let of = |segment: &&Arc<Segment>| segment.entry.project == owner.0 && segment.entry.collection == owner.1;
        let mine: Vec<Arc<Segment>> = segments.iter().filter(of).cloned().collect();
        let since_ms = now.millis().saturating_sub(i64::from(DEDUPE_TOKEN_WINDOW_DAYS + 1) * DAY_MS);
        let target = self.target(1);
        let mut change = Change::default();
        for segment in &mine {
            if let Err(error) = change.take(&target, &owner, segment, what, since_ms) {
                remove(&target, &change.entries);
                return Err(error);
            }
        }
        if change.old.is_empty() && matches!(what, Deletion::Matching(_)) {
            return Ok(Deleted::default());
        }
        self.commit_deletion(&owner, &mine, what, change, since_ms)
    }

    fn commit_deletion(
        &self,
        owner: &Owner,
        mine: &[Arc<Segment>],
        what: Deletion<'_>,
        change: Change,
        since_ms: i64,
    ) -> Result<Deleted, StoreError> {
        let target = self.target(1);
        let graves = self.graves(&target, owner, &change.graves, since_ms).inspect_err(|_| {
            remove(&target, &change.entries);
        })?;
        let all: Vec<Entry> = change.entries.iter().chain(&graves.new).cloned().collect();
        sync(&target, all.clone())?;
        let old = |number: u64| change.old.iter().any(|segment| segment.entry.number == number);
        let left = self.files.list(&self.segments_dir()).map_err(StoreError::io("list", &self.segments_dir()))?;
        let _flushing = lock(&self.flushing);
        let later = self.later(owner, mine)?;
        let deleted = Deleted { rows: change.rows, segments: change.old.len() };
        let committed = self.commit(
            |manifest| {
                manifest.segments.retain(|entry| !old(entry.number));
                manifest.segments.extend(change.entries.iter().cloned());
                manifest.graves.retain(|entry| !graves.old.contains(&entry.number));
                manifest.graves.extend(graves.new.iter().cloned());
                manifest.erased.retain(|number| left.contains(&Entry::file_name(*number)));
                manifest
                    .erased
                    .extend(change.old.iter().map(|segment| segment.entry.number).chain(graves.old.iter().copied()));
                manifest.tallies.entry(owner.0.clone()).or_default().deleted += change.rows;
                // What only the tail has is learnt again with it after a crash.
                let whole = matches!(what, Deletion::Collection) && later.is_empty();
                manifest.forget(owner, &|path| forgotten(what, path) && !later.contains(path), whole);
            },
            |state| {
                let kept = state.segments.iter().filter(|segment| !old(segment.entry.number)).cloned();
                state.segments = Arc::new(kept.chain(change.entries.iter().map(|entry| self.written(entry))).collect());
                state.tallies.entry(owner.0.clone()).or_default().deleted += change.rows;
                forget(state, owner, what, &later);
            },
        );
        if let Err(error) = committed {
            if !matches!(error, StoreError::CommitUnknown) {
                remove(&target, &all);
            }
            return Err(error);
        }
        for segment in &change.old {
            segment.replace();
        }
        for number in &graves.old {
            let _ = self.files.remove(&self.segments_dir().join(Entry::file_name(*number)));
        }
        Ok(deleted)
    }

    /// The properties of rows that came after the deletion began and are in segments. The caller holds `flushing`.
    fn later(&self, owner: &Owner, mine: &[Arc<Segment>]) -> Result<AHashSet<PropertyPath>, StoreError> {
        let segments = lock(&self.state).segments.clone();
        let known: BTreeSet<u64> = mine.iter().map(|segment| segment.entry.number).collect();
        let mut paths = AHashSet::new();
        for segment in segments.iter() {
            let Entry { number, project, collection, .. } = &segment.entry;
            if *project == owner.0 && *collection == owner.1 && !known.contains(number) {
                paths_of(&Source::Segment(segment.clone()), &mut paths)?;
            }
        }
        Ok(paths)
    }

    /// Writes the ids of deleted rows; gives the new files and those that they replace.
    fn graves(
        &self,
        target: &Target<'_>,
        owner: &Owner,
        blocks: &[Arc<Block>],
        since_ms: i64,
    ) -> Result<Graves, StoreError> {
        let known = lock(&self.manifest).graves.clone();
        let mut graves = Graves::default();
        graves.old.extend(known.iter().filter(|entry| entry.max_created_ms < since_ms).map(|entry| entry.number));
        let mut sources: Vec<Source> = blocks.iter().cloned().map(Source::Block).collect();
        let of = |entry: &&Entry| {
            entry.project == owner.0 && entry.collection == owner.1 && !graves.old.contains(&entry.number)
        };
        let of_owner: Vec<&Entry> = known.iter().filter(of).collect();
        if !sources.is_empty() && of_owner.len() >= GRAVES_MAX {
            graves.old.extend(of_owner.iter().map(|entry| entry.number));
            sources.extend(of_owner.into_iter().map(|entry| Source::Segment(self.opened(entry))));
        }
        if !sources.is_empty() {
            graves.new = merge(target, owner, &sources, 0)?;
        }
        Ok(graves)
    }

    /// A file with ids.
    pub(crate) fn opened(&self, entry: &Entry) -> Arc<Segment> {
        Arc::new(Segment::new(&self.segments_dir(), entry.clone(), self.files.clone(), self.cache.clone()))
    }
}

#[derive(Default)]
struct Graves {
    new: Vec<Entry>,
    old: Vec<u64>,
}

impl Change {
    /// Writes what is left of a segment, if something goes.
    fn take(
        &mut self,
        target: &Target<'_>,
        owner: &Owner,
        segment: &Arc<Segment>,
        what: Deletion<'_>,
        since_ms: i64,
    ) -> Result<(), StoreError> {
        let source = Source::Segment(segment.clone());
        if let Deletion::Property(path) = what {
            if let Some(entry) = without_property(target, owner, segment, &source, path)? {
                self.entries.push(entry);
                self.old.push(segment.clone());
            }
            return Ok(());
        }
        let gone = match what {
            Deletion::Matching(plan) => Some(matching(plan, &source)?),
            Deletion::Collection | Deletion::Property(_) => None,
        };
        let goes = |row: usize| gone.as_ref().is_none_or(|gone| gone.get(row).copied().unwrap_or(false));
        let count = (0..source.rows()).filter(|row| goes(*row)).count();
        if count == 0 {
            return Ok(());
        }
        match bury(owner, &source, &goes, since_ms) {
            Ok(blocks) => self.graves.extend(blocks),
            // A whole collection goes even if nobody can read it any more; its ids are lost with it.
            Err(StoreError::Damaged { .. }) if gone.is_none() => {}
            Err(error) => return Err(error),
        }
        if count < source.rows() {
            self.entries.push(without_rows(target, owner, segment, &source, &goes)?);
        }
        self.old.push(segment.clone());
        self.rows += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// The ids of the rows that go, if a repeat of them would be recognised.
fn bury(
    owner: &Owner,
    source: &Source,
    goes: &dyn Fn(usize) -> bool,
    since_ms: i64,
) -> Result<Vec<Arc<Block>>, StoreError> {
    let (ids, created) = (source.column_uncached(&Name::Id)?, source.column_uncached(&Name::CreatedAt)?);
    let ids = ids.as_deref().map(Column::ids).unwrap_or_default();
    let created = created.as_deref().map(Column::times).unwrap_or_default();
    let mut rows: Vec<Row> = Vec::new();
    for (number, (id, at)) in ids.iter().zip(created).enumerate() {
        if *at >= since_ms && goes(number) {
            let at = Timestamp::from_millis(*at);
            let (project, collection) = owner.clone();
            let id = EventId::from_bytes(*id);
            rows.push(Row { project, collection, id, timestamp: at, created_at: at, cells: Vec::new() });
        }
    }
    let block = |rows: &[Row]| Arc::new(Block::from_rows(rows.iter().collect(), &|_| false));
    Ok(rows.chunks(GRAVE_BLOCK_ROWS).map(block).collect())
}

/// Writes the rows of a segment that stay.
fn without_rows(
    target: &Target<'_>,
    owner: &Owner,
    segment: &Segment,
    source: &Source,
    goes: &dyn Fn(usize) -> bool,
) -> Result<Entry, StoreError> {
    let picks: Vec<Pick> = (0..source.rows()).filter(|row| !goes(*row)).map(|row| (0, code(row))).collect();
    let times = source.column_uncached(&Name::Timestamp)?;
    let times = times.as_deref().map(Column::times).unwrap_or_default();
    let times: Vec<i64> = picks.iter().filter_map(|(_, row)| times.get(index(*row)).copied()).collect();
    let mut names = source.names()?;
    names.sort();
    let entry = write_columns(target, owner, &names, &times, &mut |name| {
        Ok(gather(name, &[source.column_uncached(name)?], &picks))
    })?;
    Ok(Entry { level: segment.entry.level, ..entry })
}

/// Writes a segment without a property; none when it doesn't have it.
fn without_property(
    target: &Target<'_>,
    owner: &Owner,
    segment: &Segment,
    source: &Source,
    path: &PropertyPath,
) -> Result<Option<Entry>, StoreError> {
    let mut paths = AHashSet::new();
    paths_of(source, &mut paths)?;
    if !paths.iter().any(|known| is_within(known, path)) {
        return Ok(None);
    }
    let broken = || segment.damaged("its columns don't fit together");
    let shape = source.column_uncached(&Name::Shape)?;
    let Some(Column::Coded(shape)) = shape.as_deref() else { return Err(broken()) };
    let rest = source.column_uncached(&Name::Residual)?;
    let rest = match rest.as_deref() {
        Some(Column::Coded(rest)) => Some(rest),
        _ => None,
    };
    let (shape, rest) = trimmed(shape, rest, path).ok_or_else(broken)?;
    let has_rest = !rest.entries.is_empty();
    let stays = |name: &Name| match name {
        Name::Property(known, _) => !is_within(known, path),
        Name::Residual => has_rest,
        _ => true,
    };
    let mut names: Vec<Name> = source.names()?.into_iter().filter(stays).collect();
    names.sort();
    let times = source.column_uncached(&Name::Timestamp)?;
    let times = times.as_deref().map(Column::times).unwrap_or_default();
    let entry = write_columns(target, owner, &names, times, &mut |name| match name {
        Name::Shape => Ok(Column::Coded(shape.clone())),
        Name::Residual => Ok(Column::Coded(rest.clone())),
        _ => source.column_uncached(name)?.map(|column| column.as_ref().clone()).ok_or_else(broken),
    })?;
    Ok(Some(Entry { level: segment.entry.level, ..entry }))
}

/// The shape and residual columns without a property; none when they don't fit together. Each pair of entries is looked at
/// once, however many rows have it.
fn trimmed(shape: &Coded, rest: Option<&Coded>, path: &PropertyPath) -> Option<(Coded, Coded)> {
    let mut known: AHashMap<(u32, u32), (u32, u32)> = AHashMap::new();
    let (mut shapes, mut rests) = (Dictionary::default(), Dictionary::default());
    let (mut shape_codes, mut rest_codes) = (Vec::with_capacity(shape.codes.len()), Vec::new());
    for (row, shape_code) in shape.codes.iter().enumerate() {
        let rest_code = rest.and_then(|rest| rest.codes.get(row).copied()).unwrap_or(ABSENT);
        let codes = match known.get(&(*shape_code, rest_code)) {
            Some(codes) => *codes,
            None => {
                let Cell::Text(names) = shape.entries.get(index(*shape_code))? else { return None };
                let pairs = match rest.and_then(|rest| rest.entries.get(index(rest_code))) {
                    Some(Cell::Text(text)) => text.as_str(),
                    _ => "{}",
                };
                let (names, pairs) = trim(names, pairs, path)?;
                let pairs = if pairs.is_empty() { ABSENT } else { rests.code(&Cell::Text(pairs)) };
                let codes = (shapes.code(&Cell::Text(names)), pairs);
                known.insert((*shape_code, rest_code), codes);
                codes
            }
        };
        shape_codes.push(codes.0);
        rest_codes.push(codes.1);
    }
    let shape = Coded { codes: shape_codes, entries: shapes.into_entries() };
    Some((shape, Coded { codes: rest_codes, entries: rests.into_entries() }))
}

/// One row's shape and residual object without a property.
fn trim(names: &str, pairs: &str, path: &PropertyPath) -> Option<(String, String)> {
    let names: Vec<String> = serde_json::from_str(names).ok()?;
    let mut pairs = residual::parse(pairs).ok()?.into_iter();
    let (mut kept, mut rest) = (Vec::new(), String::new());
    for name in names {
        if name == RESIDUAL_MARK {
            let (known, cell) = pairs.next()?;
            if !is_within(&known, path) {
                residual::push(&mut rest, &known, &cell);
                kept.push(name);
            }
            continue;
        }
        let Name::Property(known, _) = Name::parse(&name)? else { return None };
        if !is_within(&known, path) {
            kept.push(name);
        }
    }
    if !rest.is_empty() {
        rest.push('}');
    }
    Some((serde_json::Value::from(kept).to_string(), rest))
}

/// Whether a property is `path` or in it.
pub(crate) fn is_within(known: &PropertyPath, path: &PropertyPath) -> bool {
    let rest = known.as_str().strip_prefix(path.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a property's name goes with the deletion.
fn forgotten(what: Deletion<'_>, path: &PropertyPath) -> bool {
    match what {
        Deletion::Collection => true,
        Deletion::Matching(_) => false,
        Deletion::Property(gone) => is_within(path, gone),
    }
}

/// Forgets names that no row has any more; rows that came meanwhile keep theirs.
fn forget(state: &mut State, owner: &Owner, what: Deletion<'_>, later: &AHashSet<PropertyPath>) {
    let mut paths = later.clone();
    if let Some(tail) = state.tails.get(owner) {
        for block in tail.flushing.iter().chain(&tail.blocks) {
            // A block in memory has a residual column that can be read.
            let _ = paths_of(&Source::Block(block.clone()), &mut paths);
        }
        paths.extend(tail.open_paths().cloned());
    }
    let is_empty = paths.is_empty() && state.tails.get(owner).is_none_or(crate::tail::Tail::is_empty);
    let whole = matches!(what, Deletion::Collection) && is_empty && later.is_empty();
    state.schemas.forget(owner, &|path| forgotten(what, path) && !paths.contains(path), whole);
}

/// Adds the properties that a source has.
fn paths_of(source: &Source, paths: &mut AHashSet<PropertyPath>) -> Result<(), StoreError> {
    for name in source.names()? {
        if let Name::Property(path, _) = name {
            paths.insert(path);
        }
    }
    if let Some(Column::Residual(residual)) = source.residual()?.as_deref() {
        paths.extend(residual.paths());
    }
    Ok(())
}
