//! The hot tail: rows that are in no segment yet, visible to queries as soon as they are appended.
//!
//! Rows first stay as they came; every few thousand become a block of columns. Readers take what there is by cloning
//! `Arc`s under a short lock and never wait for a flush or for each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ahash::AHashMap;
use protocol::row::{Cell, Row, Tally};
use protocol::{Offset, ProjectId, Timestamp};

use crate::block::Block;
use crate::error::StoreError;
use crate::manifest::Manifest;
use crate::merge::Source;
use crate::schema::{Owner, Schemas};
use crate::segment::Segment;
use crate::{Store, lock};

/// Rows of one collection that become a block.
const BLOCK_ROWS: usize = 8_192;

/// How full the tail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TailState {
    /// Rows that are in no segment yet.
    pub rows: usize,
    /// Memory they take, roughly.
    pub bytes: usize,
    /// The earliest `keen.created_at` among them, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
}

/// How a project stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// What became of its events.
    pub tally: Tally,
    /// Rows that are there, counted in segments and tail.
    pub rows: u64,
}

/// What queries see, and what the next flush takes.
pub(crate) struct State {
    /// Committed segments.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// The tails of collections that have one.
    pub(crate) tails: AHashMap<Owner, Tail>,
    /// The properties of all collections.
    pub(crate) schemas: Schemas,
    /// The first record of the log that was not appended.
    pub(crate) next: Offset,
    /// Tallies, the tail's included.
    pub(crate) tallies: BTreeMap<ProjectId, Tally>,
    /// How full the tail is.
    pub(crate) fill: TailState,
    /// Whether anything was appended that no flush has taken.
    pub(crate) dirty: bool,
    /// When the shell first asked about what is waiting now.
    pub(crate) waiting_since: Option<Timestamp>,
}

/// The tail of one collection.
#[derive(Default)]
pub(crate) struct Tail {
    /// Blocks that a flush is writing.
    pub(crate) flushing: Vec<Arc<Block>>,
    /// Blocks that no flush has taken.
    pub(crate) blocks: Vec<Arc<Block>>,
    open: Vec<Arc<Vec<Row>>>,
    open_rows: usize,
    /// The open rows as a block, for the number of batches it was made of.
    open_block: Arc<Mutex<OpenBlock>>,
}

/// For how many batches it was made, and the block.
type OpenBlock = Option<(usize, Arc<Block>)>;

impl Tail {
    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.flushing.is_empty() && self.blocks.is_empty() && self.open.is_empty()
    }

    /// The properties of rows that are in no block yet.
    pub(crate) fn open_paths(&self) -> impl Iterator<Item = &protocol::PropertyPath> {
        self.open.iter().flat_map(|batch| batch.iter()).flat_map(|row| row.cells.iter().map(|(path, _)| path))
    }
}

impl State {
    pub(crate) fn new(segments: Vec<Arc<Segment>>, schemas: Schemas, manifest: &Manifest) -> Self {
        Self {
            segments: Arc::new(segments),
            tails: AHashMap::new(),
            schemas,
            next: manifest.committed,
            tallies: manifest.tallies.clone(),
            fill: TailState::default(),
            dirty: false,
            waiting_since: None,
        }
    }
}

impl Store {
    /// Adds rows to the tail, where queries see them on return. `tallies` say what became of the records' events,
    /// and `next` is the first record of the log that is not taken in. Durable only after [`Store::flush`]; until
    /// then the log is.
    ///
    /// # Errors
    /// None today.
    pub fn append(&self, rows: Vec<Row>, tallies: &[(ProjectId, Tally)], next: Offset) -> Result<(), StoreError> {
        let appending = lock(&self.appending);
        let (count, bytes) = (rows.len(), rows.iter().map(row_bytes).sum::<usize>());
        let oldest_ms = rows.iter().map(|row| row.created_at.millis()).min();
        let batches = by_owner(rows);
        let mut full = Vec::new();
        {
            let mut state = lock(&self.state);
            for (owner, rows) in batches {
                state.schemas.learn(&owner, &rows, self.options.columns_max);
                let tail = state.tails.entry(owner.clone()).or_default();
                tail.open_rows += rows.len();
                tail.open.push(Arc::new(rows));
                if tail.open_rows >= BLOCK_ROWS {
                    full.push(owner);
                }
            }
            for (project, tally) in tallies {
                state.tallies.entry(project.clone()).or_default().add(*tally);
            }
            state.next = next;
            state.dirty = true;
            state.fill.rows += count;
            state.fill.bytes += bytes;
            state.fill.oldest_ms = match (state.fill.oldest_ms, oldest_ms) {
                (Some(left), Some(right)) => Some(left.min(right)),
                (left, right) => left.or(right),
            };
        }
        for owner in full {
            self.seal(&owner);
        }
        drop(appending);
        Ok(())
    }

    /// Makes the open rows of a collection a block. The caller holds `appending`.
    pub(crate) fn seal(&self, owner: &Owner) {
        let open = match lock(&self.state).tails.get(owner) {
            Some(tail) if tail.open_rows > 0 => tail.open.clone(),
            _ => return,
        };
        let block = Arc::new(self.block(owner, &open));
        let mut state = lock(&self.state);
        if let Some(tail) = state.tails.get_mut(owner) {
            tail.blocks.push(block);
            tail.open.clear();
            tail.open_rows = 0;
            tail.open_block = Arc::default();
        }
    }

    fn block(&self, owner: &Owner, batches: &[Arc<Vec<Row>>]) -> Block {
        let rows: Vec<&Row> = batches.iter().flat_map(|batch| batch.iter()).collect();
        // Whether a path has a column is asked once per path, so that the lock isn't held while columns are made.
        let mut within: AHashMap<&protocol::PropertyPath, bool> = AHashMap::new();
        for (path, _) in rows.iter().flat_map(|row| &row.cells) {
            within.entry(path).or_default();
        }
        {
            let state = lock(&self.state);
            let schema = state.schemas.get(owner);
            for (path, has) in &mut within {
                *has = schema.is_some_and(|schema| schema.has(path));
            }
        }
        Block::from_rows(rows.clone(), &|path| within.get(path).copied().unwrap_or(false))
    }

    /// Everything that holds rows of a collection, as it is now. Later appends, flushes and compactions don't change
    /// what the sources hold.
    pub(crate) fn sources(&self, owner: &Owner) -> Vec<Source> {
        let state = lock(&self.state);
        let segments = state.segments.clone();
        let (mut blocks, mut open, mut kept) = (Vec::new(), Vec::new(), None);
        if let Some(tail) = state.tails.get(owner) {
            blocks.extend(tail.flushing.iter().chain(&tail.blocks).cloned());
            open.clone_from(&tail.open);
            kept = Some(tail.open_block.clone());
        }
        drop(state);
        let of = |segment: &&Arc<Segment>| segment.entry.project == owner.0 && segment.entry.collection == owner.1;
        let mut sources: Vec<Source> = segments.iter().filter(of).cloned().map(Source::Segment).collect();
        sources.extend(blocks.into_iter().map(Source::Block));
        if let (false, Some(kept)) = (open.is_empty(), kept) {
            // Two queries at once make it once: the second waits for the first.
            let mut kept = lock(&kept);
            let block = match kept.as_ref() {
                Some((batches, block)) if *batches == open.len() => block.clone(),
                _ => {
                    let block = Arc::new(self.block(owner, &open));
                    *kept = Some((open.len(), block.clone()));
                    block
                }
            };
            sources.push(Source::Block(block));
        }
        sources
    }

    /// How full the tail is.
    #[must_use]
    pub fn tail(&self) -> TailState {
        lock(&self.state).fill
    }

    /// Whether the tail is so large, or has waited so long, that it should be flushed. The shell asks every now and
    /// then; waiting counts from the first time it asks.
    #[must_use]
    pub fn flush_due(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        if !state.dirty {
            return false;
        }
        if state.fill.rows >= self.options.tail_rows_max || state.fill.bytes >= self.options.tail_bytes_max {
            return true;
        }
        let since = *state.waiting_since.get_or_insert(now);
        let waited_ms = now.millis().saturating_sub(since.millis());
        u64::try_from(waited_ms).is_ok_and(|waited_ms| waited_ms >= self.options.flush_after_ms)
    }

    /// How every project stands that has rows or tallies, and the first record of the log that is not in it, all of one
    /// moment.
    #[must_use]
    pub fn standings(&self) -> (Offset, BTreeMap<ProjectId, Standing>) {
        let state = lock(&self.state);
        let mut standings: BTreeMap<ProjectId, Standing> = BTreeMap::new();
        for (project, tally) in &state.tallies {
            standings.entry(project.clone()).or_default().tally = *tally;
        }
        for segment in state.segments.iter() {
            standings.entry(segment.entry.project.clone()).or_default().rows += segment.entry.rows;
        }
        for ((project, _), tail) in &state.tails {
            let blocks = tail.flushing.iter().chain(&tail.blocks).map(|block| block.rows).sum::<usize>();
            let rows = u64::try_from(blocks + tail.open_rows).unwrap_or(u64::MAX);
            standings.entry(project.clone()).or_default().rows += rows;
        }
        (state.next, standings)
    }

    /// The first record of the log that was not appended: what is before it is visible to queries.
    #[must_use]
    pub fn next(&self) -> Offset {
        lock(&self.state).next
    }

    /// What became of a project's events, those in the tail included. It fits the records before the `next` of the
    /// last [`Store::append`].
    #[must_use]
    pub fn tally(&self, project: &ProjectId) -> Tally {
        lock(&self.state).tallies.get(project).copied().unwrap_or_default()
    }
}

/// Rows of one collection each, in the order in which collections first come.
fn by_owner(rows: Vec<Row>) -> Vec<(Owner, Vec<Row>)> {
    let mut batches: Vec<(Owner, Vec<Row>)> = Vec::new();
    let mut places: AHashMap<Owner, usize> = AHashMap::new();
    for row in rows {
        // Neighbours mostly belong together, so the last batch is tried before the names are copied.
        if let Some(((project, collection), batch)) = batches.last_mut()
            && *project == row.project
            && *collection == row.collection
        {
            batch.push(row);
            continue;
        }
        let owner = (row.project.clone(), row.collection.clone());
        let place = *places.entry(owner.clone()).or_insert(batches.len());
        match batches.get_mut(place) {
            Some((_, batch)) => batch.push(row),
            None => batches.push((owner, vec![row])),
        }
    }
    batches
}

fn row_bytes(row: &Row) -> usize {
    let cell = |(path, cell): &(protocol::PropertyPath, Cell)| {
        let text = match cell {
            Cell::Text(text) | Cell::List(text) => text.len(),
            _ => 0,
        };
        64 + path.as_str().len() + text
    };
    160 + row.cells.iter().map(cell).sum::<usize>()
}
