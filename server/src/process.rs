//! An event's way from the log to the columns.
//!
//! One thread reads the log in order, lets crate `processor` decide what counts, and hands rows to the store together
//! with the place in the log they end at. After a restart it starts at the place the store has committed, with the
//! event ids the store holds, so nothing is lost and nothing counts twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use processor::Processor;
use protocol::row::{Row, Tally};
use protocol::{Offset, ProjectId};
use queue::Log;
use store::Store;

use crate::config::Config;
use crate::ledger::{Ledger, Worth};
use crate::quarantine::{self, Quarantine};
use crate::remember::{Rooms, latest_believed, remembered};
use crate::telemetry::Telemetry;
use crate::upkeep::Upkeep;

/// Bytes of records taken from the log at once; bounds the memory of one step.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long to wait for news from the log before looking whether the tail has to be flushed.
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// What the thread works with.
pub struct Process {
    log: Arc<Log>,
    quarantine: Arc<Quarantine>,
    store: Arc<Store>,
    telemetry: Arc<Telemetry>,
    processor: Processor,
    rooms: Rooms,
    next: Offset,
    upkeep: Upkeep,
}

impl Process {
    /// Rebuilds what was known before the restart and takes the place the store has committed.
    ///
    /// # Errors
    /// When the store's ids or the log's consumer can't be read.
    pub fn open(
        (log, store, quarantine, telemetry): (Arc<Log>, Arc<Store>, Arc<Quarantine>, Arc<Telemetry>),
        ledger: (Arc<Ledger>, queue::Consumer),
        config: &Config,
    ) -> anyhow::Result<Self> {
        let collections = Rooms::collections(&store, config.limits.collections_max);
        let processor = Processor::new(remembered(&store)?).with_collections(collections);
        let next = store.committed();
        let upkeep = Upkeep::start(Arc::clone(&log), Arc::clone(&store), ledger, &config.store)?;
        tracing::info!(offset = next.0, remembered = processor.remembered(), "processing from the store's place");
        let rooms = Rooms::default();
        Ok(Self { log, quarantine, store, telemetry, processor, rooms, next, upkeep })
    }

    /// Works until `stop` is set; then makes what is in memory durable.
    ///
    /// # Errors
    /// When rows can't be handed over. The log keeps everything from the committed place on.
    pub fn run(mut self, stop: &AtomicBool, runtime: &tokio::runtime::Handle) -> anyhow::Result<()> {
        let mut news = self.log.changed();
        while !stop.load(Ordering::Relaxed) {
            let worked = self.upkeep.has_room() && self.step(stop)?;
            self.upkeep.flush_when_due()?;
            if !worked {
                // A closed channel means that the log is closing; the flag follows.
                let _ = runtime.block_on(async { tokio::time::timeout(IDLE_WAIT, news.changed()).await });
            }
        }
        self.upkeep.flush().context("the last flush failed; the log still holds these events")
    }

    /// Takes what the log has, up to a bounded amount; false when there was nothing.
    fn step(&mut self, stop: &AtomicBool) -> anyhow::Result<bool> {
        let records = self.log.read(self.next, READ_BYTES_MAX).context("can't read the log")?;
        let Some((last, _)) = records.last() else { return Ok(false) };
        let after = last.next();
        self.processor.believe_until(latest_believed());
        self.rooms.look(self.processor.collections(), &self.store);
        let (mut rows, mut tallies, mut aside) = (Vec::new(), Vec::new(), Vec::new());
        let mut expected = self.next;
        for (offset, bytes) in &records {
            if *offset > expected {
                tracing::error!(from = %expected, to = %offset, "records of the log are damaged or missing");
            }
            expected = offset.next();
            let (processed, tally) = self.process(*offset, bytes, &mut aside);
            if let Some((project, tally)) = tally {
                self.telemetry.stored.inc_by(tally.stored);
                self.telemetry.duplicates.inc_by(tally.duplicates);
                tallies.push((project, tally));
            }
            rows.extend(processed);
        }
        if !aside.is_empty() {
            self.telemetry.quarantined.inc_by(u64::try_from(aside.len()).unwrap_or(u64::MAX));
            self.quarantine.keep(aside, stop)?;
        }
        self.store.append(rows, &tallies, after).context("the store refused rows")?;
        self.next = after;
        self.telemetry.position.set(after.0);
        Ok(true)
    }
}

/// What became of a record's events; none when nobody can say whose they are.
type Tallied = Option<(ProjectId, Tally)>;

impl Process {
    /// Turns one record into rows; what can't be stored is added to `aside`.
    fn process(&mut self, offset: Offset, record: &[u8], aside: &mut Vec<Vec<u8>>) -> (Vec<Row>, Tallied) {
        let quarantined = |(project, events)| (project, Tally { quarantined: events, ..Tally::default() });
        if let Some((kept, counted)) = quarantine::dead_letter(offset, record) {
            aside.push(kept);
            return (Vec::new(), counted.map(quarantined));
        }
        let processed = self.processor.process(record);
        self.telemetry.addons_ignored.inc_by(processed.addons_ignored);
        aside.extend(processed.quarantined.iter().map(|kept| quarantine::record(offset, record, kept)));
        // A record that could not be read by its version may still say whose it is and how many events it holds.
        let tally = processed.tally.or_else(|| {
            let worth = Worth::of(record)?;
            Some(quarantined((worth.project()?, worth.events())))
        });
        (processed.rows, tally)
    }
}
