//! Turns records of the log into rows: each event once, flat, with its properties as typed cells.
//!
//! The log delivers at least once and senders repeat themselves; what is counted once is decided here and nowhere
//! else. The crate is pure: it is told what stands in the log and answers rows, so that the same records always give
//! the same rows, after a restart as before it. It knows nothing of files, stores or the network.

mod dedupe;
mod flatten;

mod addons;
mod cells;
mod collections;
mod context;

use protocol::record::{Record, RecordError, RecordEvent};
use protocol::row::{Row, Tally};
use protocol::{CollectionName, ProjectId};

use cells::Cells;
use flatten::{Flat, flatten_event};

pub use collections::Collections;
pub use dedupe::Dedupe;
pub use flatten::{FlattenError, flatten};

/// What one record became.
#[derive(Debug, Default, PartialEq)]
pub struct Processed {
    /// New events, in order.
    pub rows: Vec<Row>,
    /// What became of its events; the project is unknown when the record could not be read at all.
    pub tally: Option<(ProjectId, Tally)>,
    /// Add-ons that were asked for and not done: unknown by name, or not a request. Their events are stored.
    pub addons_ignored: u64,
    /// What can't be stored and must be kept aside with its reason.
    pub quarantined: Vec<Quarantined>,
}

/// Bytes that can't become rows, kept so that they can be replayed when they can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The whole record when `event` is none, else the properties of that event.
    pub bytes: Vec<u8>,
    /// Place of the event within its record.
    pub event: Option<usize>,
    /// Why, for a person.
    pub reason: String,
}

/// Reads records in the order of the log.
#[derive(Debug, Default)]
pub struct Processor {
    dedupe: Dedupe,
    collections: Collections,
}

impl Processor {
    /// One that has seen nothing but what `dedupe` remembers.
    #[must_use]
    pub fn new(dedupe: Dedupe) -> Self {
        Self { dedupe, collections: Collections::default() }
    }

    /// The same, with these collections known and their number limited.
    #[must_use]
    pub fn with_collections(self, collections: Collections) -> Self {
        Self { collections, ..self }
    }

    /// The collections that are known.
    pub const fn collections(&mut self) -> &mut Collections {
        &mut self.collections
    }

    /// Event ids that are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.dedupe.len()
    }

    /// Times of receipt beyond `latest` don't make older ids forgotten: they are taken for a wrong clock's.
    pub fn believe_until(&mut self, latest: protocol::Timestamp) {
        self.dedupe.believe_until(latest);
    }

    /// Turns one record into rows. Never fails: what can't be read comes back as [`Quarantined`].
    pub fn process(&mut self, record: &[u8]) -> Processed {
        match Record::parse(record) {
            Ok(record) => self.process_events(&record),
            Err(error) => Processed { quarantined: vec![whole(record, &error)], ..Processed::default() },
        }
    }

    fn process_events(&mut self, record: &Record<'_>) -> Processed {
        let mut processed = Processed::default();
        let mut tally = Tally::default();
        for (place, event) in record.events.iter().enumerate() {
            let flat = event.collection.parse::<CollectionName>().map_err(|error| error.to_string()).and_then(|name| {
                let flat = flatten_event(event.properties.get()).map_err(|error| error.to_string())?;
                self.collections.admit(&record.project, &name)?;
                Ok((name, flat))
            });
            match flat {
                // Only what is stored is remembered: a repeat of an event in quarantine must not vanish.
                Ok((collection, flat)) if self.dedupe.insert(&record.project, event.id, record.received_at) => {
                    tally.stored += 1;
                    let (row, ignored) = enriched(record, event, collection, flat);
                    processed.addons_ignored += ignored;
                    processed.rows.push(row);
                }
                Ok(_) => tally.duplicates += 1,
                Err(reason) => {
                    tally.quarantined += 1;
                    let bytes = event.properties.get().as_bytes().to_vec();
                    processed.quarantined.push(Quarantined { bytes, event: Some(place), reason });
                }
            }
        }
        processed.tally = Some((record.project.clone(), tally));
        processed
    }
}

/// The row of an event with what is known of its caller and what its add-ons found, and how many of those were not done.
fn enriched(record: &Record<'_>, event: &RecordEvent<'_>, collection: CollectionName, flat: Flat) -> (Row, u64) {
    let mut cells = Cells::new(flat.cells);
    context::add(&mut cells, record.context.as_ref());
    let times = addons::Times { timestamp: event.timestamp, created_at: record.received_at };
    let ignored = flat.addons.map_or(0, |requests| addons::run(&mut cells, &requests, &times));
    let row = Row {
        project: record.project.clone(),
        collection,
        id: event.id,
        timestamp: event.timestamp,
        created_at: record.received_at,
        cells: cells.into_inner(),
    };
    (row, ignored)
}

fn whole(bytes: &[u8], error: &RecordError) -> Quarantined {
    Quarantined { bytes: bytes.to_vec(), event: None, reason: error.to_string() }
}
