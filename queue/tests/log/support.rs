//! Short hands for the tests: one folder, small limits, the whole log as a list.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use protocol::Offset;
use queue::fault::FaultDisk;
use queue::{Log, LogError, Options, Recovery};

/// The log's folder on every disk in memory.
pub(crate) const DIR: &str = "/log";

/// Small segments, no waiting, no reserve.
pub(crate) fn options() -> Options {
    Options { segment_bytes_max: 4 << 10, linger_ms: 0, reserve_bytes: 0, ..Options::default() }
}

pub(crate) fn try_open(disk: &FaultDisk, options: Options) -> Result<(Log, Recovery), LogError> {
    Log::open(Arc::new(disk.clone()), Path::new(DIR), options)
}

pub(crate) fn open(disk: &FaultDisk) -> (Log, Recovery) {
    try_open(disk, options()).unwrap()
}

/// The path of the segment that begins at `base`.
pub(crate) fn segment(base: u64) -> PathBuf {
    Path::new(DIR).join(format!("{base:020}.log"))
}

/// Appends one record and waits.
pub(crate) fn append(log: &Log, record: &[u8]) -> Result<u64, queue::AppendError> {
    log.append(vec![record.to_vec()]).wait().map(|offset| offset.0)
}

/// Every record of the log, read in small pieces.
pub(crate) fn all(log: &Log) -> Vec<(u64, Vec<u8>)> {
    let (mut from, mut records) = (Offset(0), Vec::new());
    loop {
        let read = log.read(from, 1_000).unwrap();
        let Some((last, _)) = read.last() else { return records };
        from = last.next();
        records.extend(read.into_iter().map(|(offset, record)| (offset.0, record)));
    }
}

/// The offsets of [`all`].
pub(crate) fn offsets(log: &Log) -> Vec<u64> {
    all(log).into_iter().map(|(offset, _)| offset).collect()
}

/// Runs a future without a runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
