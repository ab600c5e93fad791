//! An event's way from the log to the columns.
//!
//! One thread reads the log in order, lets crate `processor` decide what counts, and hands rows to the store together
//! with the place in the log they end at. After a restart it starts at the place the store has committed, with the
//! event ids the store holds, so nothing is lost and nothing counts twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use processor::{Dedupe, Processor, Quarantined};
use protocol::Offset;
use queue::Log;
use store::{Store, StoreError};

use crate::config::Config;
use crate::http::now;
use crate::telemetry::Telemetry;
use crate::upkeep::Upkeep;

/// Bytes of records taken from the log at once; bounds the memory of one step.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long to wait for news from the log before looking whether the tail has to be flushed.
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// What the thread works with.
pub struct Process {
    log: Arc<Log>,
    quarantine: Log,
    store: Arc<Store>,
    telemetry: Arc<Telemetry>,
    processor: Processor,
    next: Offset,
    upkeep: Upkeep,
}

impl Process {
    /// Rebuilds what was known before the restart and takes the place the store has committed.
    ///
    /// # Errors
    /// When the store's ids or the log's consumer can't be read.
    pub fn open(log: Arc<Log>, store: Arc<Store>, telemetry: Arc<Telemetry>, config: &Config) -> anyhow::Result<Self> {
        let processor = Processor::new(remembered(&store)?);
        let next = store.committed();
        let quarantine =
            crate::serve::open_log(&config.data.join("quarantine"), &queue::Options::default(), Offset(0))?;
        let upkeep = Upkeep::start(Arc::clone(&log), Arc::clone(&store), config.store.tail_rows_max)?;
        tracing::info!(offset = next.0, remembered = processor.remembered(), "processing from the store's place");
        Ok(Self { log, quarantine, store, telemetry, processor, next, upkeep })
    }

    /// Works until `stop` is set; then makes what is in memory durable.
    ///
    /// # Errors
    /// When rows can't be handed over. The log keeps everything from the committed place on.
    pub fn run(mut self, stop: &AtomicBool, runtime: &tokio::runtime::Handle) -> anyhow::Result<()> {
        let mut news = self.log.changed();
        while !stop.load(Ordering::Relaxed) {
            let worked = self.upkeep.has_room() && self.step()?;
            self.upkeep.flush_when_due()?;
            if !worked {
                // A closed channel means that the log is closing; the flag follows.
                let _ = runtime.block_on(async { tokio::time::timeout(IDLE_WAIT, news.changed()).await });
            }
        }
        self.upkeep.flush().context("the last flush failed; the log still holds these events")
    }

    /// Takes what the log has, up to a bounded amount; false when there was nothing.
    fn step(&mut self) -> anyhow::Result<bool> {
        let records = self.log.read(self.next, READ_BYTES_MAX).context("can't read the log")?;
        let Some((last, _)) = records.last() else { return Ok(false) };
        let after = last.next();
        let (mut rows, mut tallies) = (Vec::new(), Vec::new());
        for (offset, bytes) in &records {
            let processed = self.processor.process(bytes);
            for kept in &processed.quarantined {
                self.keep_aside(*offset, kept)?;
            }
            if let Some((project, tally)) = processed.tally {
                self.telemetry.stored.inc_by(tally.stored);
                self.telemetry.duplicates.inc_by(tally.duplicates);
                tallies.push((project, tally));
            }
            rows.extend(processed.rows);
        }
        self.store.append(rows, &tallies, after).context("the store refused rows")?;
        self.next = after;
        self.telemetry.position.set(after.0);
        Ok(true)
    }

    /// Makes what can't be stored durable in a log of its own: one line that says what it is, then its bytes. After a
    /// crash it may stand there twice, with the same offset.
    fn keep_aside(&self, offset: Offset, kept: &Quarantined) -> anyhow::Result<()> {
        tracing::warn!(%offset, event = kept.event, reason = kept.reason, "kept in quarantine");
        self.telemetry.quarantined.inc();
        let head = serde_json::json!({ "v": 1, "offset": offset, "event": kept.event, "reason": kept.reason });
        let mut record = head.to_string().into_bytes();
        record.push(b'\n');
        record.extend_from_slice(&kept.bytes);
        self.quarantine.append(vec![record]).wait().context("quarantine can't be written")?;
        Ok(())
    }
}

/// The event ids that the store holds. Ids in a damaged segment are left out: its rows can't be read either, so an event
/// of it that is sent again is better stored than dropped.
fn remembered(store: &Store) -> anyhow::Result<Dedupe> {
    let mut dedupe = Dedupe::default();
    let read = store.recent_ids(Dedupe::since(now()), &mut |project, id, created_at| {
        dedupe.insert(project, id, created_at);
    });
    match read {
        Err(error @ StoreError::Damaged { .. }) => tracing::error!(%error, "some event ids can't be read"),
        read => read.context("can't read the event ids of the store")?,
    }
    Ok(dedupe)
}
