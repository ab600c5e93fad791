//! Keeps the store tidy beside the flow of events: flushes the tail, lets the log drop what is in columns, merges small
//! segments.
//!
//! Apart from `process.rs` because none of it decides what an event becomes. Merging has a thread of its own: it may
//! take seconds, and an acknowledged event must be visible within one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use queue::{Consumer, Log};
use store::{Store, StoreError};

use crate::http::now;
use crate::ledger::Ledger;

/// The consumer whose position keeps segments of the log from being trimmed.
const CONSUMER: &str = "store";
/// How long to wait after a flush that failed (a full disk, say) before the next try.
const RETRY_WAIT: Duration = Duration::from_secs(5);
/// How many times the usual tail may grow in memory while flushes fail.
const TAIL_OVERFLOW: usize = 4;

/// Flushes, trims and merges.
pub struct Upkeep {
    log: Arc<Log>,
    store: Arc<Store>,
    consumer: Consumer,
    ledger: Arc<Ledger>,
    /// The ledger's place in the log.
    place: Consumer,
    /// Set after a flush that failed; until then none is tried.
    retry_at: Option<Instant>,
    /// Rows and bytes in memory beyond which no more are taken while the store can't write.
    tail_rows_max: usize,
    tail_bytes_max: usize,
    merger: Merger,
}

impl Upkeep {
    /// Starts the merging thread and takes the log's consumer.
    ///
    /// # Errors
    /// When the consumer can't be read or the thread can't be started.
    pub fn start(
        log: Arc<Log>,
        store: Arc<Store>,
        (ledger, place): (Arc<Ledger>, Consumer),
        options: &store::Options,
    ) -> anyhow::Result<Self> {
        let consumer = log.consumer(CONSUMER).context("can't open the log's consumer")?;
        let merger = Merger::start(Arc::clone(&store)).context("can't start the merging thread")?;
        let tail_rows_max = options.tail_rows_max.saturating_mul(TAIL_OVERFLOW);
        let tail_bytes_max = options.tail_bytes_max.saturating_mul(TAIL_OVERFLOW);
        Ok(Self { log, store, consumer, ledger, place, retry_at: None, tail_rows_max, tail_bytes_max, merger })
    }

    /// Whether more rows may be taken into memory; not while the disk refuses them and the tail is full. The log keeps
    /// what waits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let tail = self.store.tail();
        self.retry_at.is_none() || (tail.rows < self.tail_rows_max && tail.bytes < self.tail_bytes_max)
    }

    /// Flushes if the tail is large or old. A disk that is full for a while is waited for.
    ///
    /// # Errors
    /// When the store must be opened again to go on.
    pub fn flush_when_due(&mut self) -> anyhow::Result<()> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) || !self.store.flush_due(now()) {
            return Ok(());
        }
        match self.flush() {
            Ok(()) => {
                self.retry_at = None;
                self.merger.wake();
            }
            Err(error) if matches!(error.downcast_ref(), Some(StoreError::CommitUnknown)) => return Err(error),
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY_WAIT);
                tracing::error!(error = format!("{error:#}"), "rows not committed; the log keeps them");
            }
        }
        Ok(())
    }

    /// Makes what is in memory durable and notes the place in the log.
    ///
    /// # Errors
    /// When the disk refuses; the log still holds those events.
    pub fn flush(&self) -> anyhow::Result<()> {
        let committed = self.store.flush()?;
        self.consumer.commit(committed)?;
        self.ledger.save(&self.place)?;
        self.log.trim()?;
        tracing::debug!(offset = committed.0, "rows committed");
        Ok(())
    }
}

/// A thread that merges small segments whenever it is woken.
struct Merger {
    wake: Option<SyncSender<()>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Merger {
    fn start(store: Arc<Store>) -> std::io::Result<Self> {
        // One place: a wake-up while one waits already says nothing new.
        let (wake, woken) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let merge = move || merge(&store, &woken, &stopped);
        let thread = std::thread::Builder::new().name("merge".to_owned()).spawn(merge)?;
        Ok(Self { wake: Some(wake), stop, thread: Some(thread) })
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Merges until nothing is left, at each wake-up. A failure leaves everything as it was and is tried at the next one.
fn merge(store: &Store, woken: &Receiver<()>, stop: &AtomicBool) {
    while woken.recv().is_ok() {
        while !stop.load(Ordering::Relaxed) {
            match store.compact() {
                Ok(done) if done.merged == 0 => break,
                Ok(done) => tracing::debug!(?done, "segments merged"),
                Err(error) => {
                    tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "segments not merged");
                    break;
                }
            }
        }
    }
}
