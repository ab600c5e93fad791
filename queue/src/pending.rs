//! The bounded queue between those who append and the one thread that writes, and the promise each of them gets.
//!
//! It decides which appends share a group. It knows no disk. A mutex and a condition variable rather than a channel,
//! because a group is bounded by bytes and appends as well as by time, and because `Condvar` keeps the time itself.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use protocol::Offset;
use tokio::sync::oneshot;

use crate::error::AppendError;

/// One append that waits for the writer.
pub(crate) struct Job {
    /// At least one record, each with its length.
    pub(crate) records: Vec<(u32, Vec<u8>)>,
    /// Bytes they take in a segment.
    pub(crate) bytes: u64,
    /// Tells the one who appended.
    pub(crate) done: oneshot::Sender<Result<Offset, AppendError>>,
}

/// The answer to an append: a future, or [`Appending::wait`] for those without a runtime.
///
/// Resolves to the offset of the append's last record when all its records are synced, never before. The offsets of
/// the others are the ones right before it. Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "the records are durable only when this has resolved"]
pub struct Appending(Answer);

#[derive(Debug)]
enum Answer {
    Refused(AppendError),
    Waiting(oneshot::Receiver<Result<Offset, AppendError>>),
}

impl Appending {
    pub(crate) fn refused(error: AppendError) -> Self {
        Self(Answer::Refused(error))
    }

    pub(crate) fn waiting(receiver: oneshot::Receiver<Result<Offset, AppendError>>) -> Self {
        Self(Answer::Waiting(receiver))
    }

    /// Blocks until it has resolved. Must not be called on a thread that runs async tasks: it panics there.
    ///
    /// # Errors
    /// Why the records were not acknowledged.
    pub fn wait(self) -> Result<Offset, AppendError> {
        match self.0 {
            Answer::Refused(error) => Err(error),
            Answer::Waiting(receiver) => receiver.blocking_recv().unwrap_or_else(|_| Err(writer_gone())),
        }
    }
}

impl Future for Appending {
    type Output = Result<Offset, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Answer::Refused(error) => Poll::Ready(Err(error.clone())),
            Answer::Waiting(receiver) => {
                Pin::new(receiver).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(writer_gone())))
            }
        }
    }
}

fn writer_gone() -> AppendError {
    AppendError::Failed { reason: "the writer thread has ended".into() }
}

/// When a group is complete.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// How long the first append may wait for others.
    pub(crate) linger: Duration,
    /// Appends that are worth no more waiting.
    pub(crate) appends: usize,
    /// Bytes that are worth no more waiting.
    pub(crate) bytes: u64,
    /// Bytes at which a group ends, whatever waits.
    pub(crate) bytes_max: u64,
    /// How long to wait for a first append; none waits for ever.
    pub(crate) idle: Option<Duration>,
}

/// What the writer is to do.
pub(crate) enum Taken {
    /// Write these, at least one.
    Group(Vec<Job>),
    /// Nothing came within the idle time.
    Idle,
    /// Nothing will come any more.
    Closed,
}

/// What waits, for metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waiting {
    /// Records that wait.
    pub(crate) records: u64,
    /// Bytes that wait.
    pub(crate) bytes: u64,
    /// Why nothing is taken any more.
    pub(crate) failure: Option<Arc<str>>,
}

/// The queue.
pub(crate) struct Pending {
    inner: Mutex<Inner>,
    wake: Condvar,
    records_max: u64,
    bytes_max: u64,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    waiting: Waiting,
    closed: bool,
    /// Set while the writer lingers: it need not be woken for less.
    wish: Option<Wish>,
}

impl Inner {
    fn satisfies(&self, wish: &Wish) -> bool {
        self.closed || self.jobs.len() >= wish.appends || self.waiting.bytes >= wish.bytes
    }
}

impl Pending {
    pub(crate) fn new(records_max: u64, bytes_max: u64) -> Self {
        Self { inner: Mutex::default(), wake: Condvar::new(), records_max, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an append, or says why not.
    pub(crate) fn push(&self, job: Job) -> Result<(), AppendError> {
        let records = job.records.len() as u64;
        let mut inner = self.lock();
        if let Some(reason) = &inner.waiting.failure {
            return Err(AppendError::Failed { reason: Arc::clone(reason) });
        }
        if inner.closed {
            return Err(AppendError::Closed);
        }
        if inner.waiting.records + records > self.records_max || inner.waiting.bytes + job.bytes > self.bytes_max {
            return Err(AppendError::Busy {
                waiting_records: inner.waiting.records,
                waiting_bytes: inner.waiting.bytes,
            });
        }
        inner.waiting.records += records;
        inner.waiting.bytes += job.bytes;
        inner.jobs.push_back(job);
        let wakes = inner.wish.is_none_or(|wish| inner.satisfies(&wish));
        drop(inner);
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for a group.
    pub(crate) fn take(&self, wish: &Wish) -> Taken {
        let mut inner = self.lock();
        let empty = |inner: &mut Inner| inner.jobs.is_empty() && !inner.closed;
        inner = match wish.idle {
            None => self.wake.wait_while(inner, empty).unwrap_or_else(PoisonError::into_inner),
            Some(idle) => self.wake.wait_timeout_while(inner, idle, empty).unwrap_or_else(PoisonError::into_inner).0,
        };
        if inner.jobs.is_empty() {
            return if inner.closed { Taken::Closed } else { Taken::Idle };
        }
        if !wish.linger.is_zero() {
            inner.wish = Some(*wish);
            let incomplete = |inner: &mut Inner| !inner.satisfies(wish);
            let waited = self.wake.wait_timeout_while(inner, wish.linger, incomplete);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            inner.wish = None;
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < wish.bytes_max
            && let Some(job) = inner.jobs.pop_front()
        {
            inner.waiting.records -= job.records.len() as u64;
            inner.waiting.bytes -= job.bytes;
            bytes += job.bytes;
            group.push(job);
        }
        Taken::Group(group)
    }

    /// Takes nothing more; what waits is still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// True when it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Refuses what waits and all that comes.
    pub(crate) fn fail(&self, reason: &Arc<str>) {
        let mut inner = self.lock();
        let reason = Arc::clone(inner.waiting.failure.get_or_insert_with(|| Arc::clone(reason)));
        inner.waiting.records = 0;
        inner.waiting.bytes = 0;
        let jobs = std::mem::take(&mut inner.jobs);
        drop(inner);
        for job in jobs {
            // The one who appended may have gone.
            let _ = job.done.send(Err(AppendError::Failed { reason: Arc::clone(&reason) }));
        }
    }

    /// What waits now.
    pub(crate) fn waiting(&self) -> Waiting {
        self.lock().waiting.clone()
    }
}
