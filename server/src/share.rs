//! A query's share of the machine: a bounded number run, on threads of their own, a bounded number wait, and one whose
//! caller hangs up is stopped.
//!
//! Apart from `query.rs`, which knows what was asked. Queries never run on the threads that take events, and are never
//! repeated: an expensive one that failed would fail again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use protocol::answer::Answer;
use protocol::{ErrorCode, Refusal};
use query::plan::{Output, Plan};
use store::StoreError;

use crate::http::Server;

/// Runs `plan` on a thread of its own, until done, out of time, or nobody waits for it any more.
///
/// # Errors
/// When too many wait, when it ran too long, found too much, or the store failed.
pub async fn run(server: &Arc<Server>, plan: Plan) -> Result<Answer, Refusal> {
    let Some(store) = server.store.clone() else {
        return Err(Refusal::new(ErrorCode::ResourceNotFound, "this process does not answer queries"));
    };
    let run_ms_max = server.config.query.limits.run_ms_max;
    // Waiting counts: the caller's patience does not begin anew when a place is free.
    let deadline = Instant::now() + Duration::from_millis(run_ms_max);
    let busy = || Refusal::new(ErrorCode::Unavailable, "too many queries are waiting");
    let waiting = Waiting::enter(&server.queries_waiting, server.config.query.waiting_max).ok_or_else(busy)?;
    let room = Arc::clone(&server.queries).acquire_owned().await.map_err(|_| busy())?;
    drop(waiting);
    let hung_up = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let abandoned = Arc::clone(&hung_up.0);
    let running = tokio::task::spawn_blocking(move || -> Result<Answer, Refusal> {
        let _room = room;
        let stop = || abandoned.load(Ordering::Relaxed) || Instant::now() > deadline;
        let output: Output = store.execute(&plan, &stop).map_err(|error| refusal(error, run_ms_max))?;
        Ok(query::answer(&plan, &output))
    });
    let answer = running.await.map_err(|error| {
        tracing::error!(%error, "a query ended abnormally");
        Refusal::new(ErrorCode::Internal, "the query ended abnormally; the operator's log says why")
    })?;
    drop(hung_up);
    answer
}

/// What a caller is told of a query that failed; the cause itself goes to the log.
fn refusal(error: StoreError, run_ms_max: u64) -> Refusal {
    let code = error.code();
    let message = match (code, &error) {
        (ErrorCode::QueryTimeout, _) => format!("the query ran longer than the limit of {run_ms_max} ms"),
        (ErrorCode::TooManyGroups, error) => error.to_string(),
        _ => {
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "query failed");
            "the store failed; the operator's log says why".to_owned()
        }
    };
    Refusal::new(code, message)
}

/// Tells the running query to stop when the future that waits for it is dropped: the caller hung up.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts a query as waiting for as long as it lives.
#[derive(Debug)]
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    /// One more that waits, or none when `max` do already.
    fn enter(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let entered = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < max).then_some(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_queries_wait() {
        let waiting = AtomicUsize::new(0);
        let first = Waiting::enter(&waiting, 1);
        assert!(first.is_some() && Waiting::enter(&waiting, 1).is_none());
        drop(first);
        assert!(Waiting::enter(&waiting, 1).is_some());
    }
}
