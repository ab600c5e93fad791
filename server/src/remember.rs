//! The processor's memory of event ids, made again from the store after a restart.
//!
//! Apart from `process.rs` because it decides nothing about events that come; it is the only place where a clock meets the
//! window in which repeats are recognised.

use anyhow::Context;
use processor::Dedupe;
use protocol::Timestamp;
use store::{Store, StoreError};

use crate::http::now;

/// The latest time of receipt that is believed: clocks of edge and server may differ by a day at most.
#[must_use]
pub fn latest_believed() -> Timestamp {
    now().plus_millis(86_400_000)
}

/// The event ids that the store holds. Ids in a damaged segment are left out: its rows can't be read either, so an event
/// of it that is sent again is better stored than dropped.
///
/// # Errors
/// When the store can't be read.
pub fn remembered(store: &Store) -> anyhow::Result<Dedupe> {
    let mut dedupe = Dedupe::default();
    dedupe.believe_until(latest_believed());
    // By the newest row and not by the clock: what was remembered before the restart must be remembered after it, even
    // if the log holds records from long ago.
    let Some(newest) = store.newest_created_at() else { return Ok(dedupe) };
    let newest = newest.min(latest_believed());
    let read = store.recent_ids(Dedupe::since(newest), &mut |project, id, created_at| {
        dedupe.recall(project, id, created_at, newest);
    });
    match read {
        Err(error @ StoreError::Damaged { .. }) => tracing::error!(%error, "some event ids can't be read"),
        read => read.context("can't read the event ids of the store")?,
    }
    Ok(dedupe)
}
