//! The processor's memory of event ids and collections, made again from the store after a restart.
//!
//! Apart from `process.rs` because it decides nothing about events that come; it is the only place where a clock meets the
//! window in which repeats are recognised.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use processor::{Collections, Dedupe};
use protocol::{ProjectId, Timestamp};
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

/// How long between two looks whether a project with too many collections has fewer by now.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Lets projects whose collections were too many begin new ones after some were deleted.
#[derive(Debug, Default)]
pub struct Rooms {
    full: BTreeSet<ProjectId>,
    looked: Option<Instant>,
}

impl Rooms {
    /// The collections that the store holds, `max` of each project at most.
    #[must_use]
    pub fn collections(store: &Store, max: usize) -> Collections {
        let mut collections = Collections::new(max);
        for (project, _) in store.standings().1 {
            Self::know(&mut collections, store, project);
        }
        collections
    }

    /// Looks again at the projects that turned events away, seldom. Everything that was processed must be in the store.
    pub fn look(&mut self, collections: &mut Collections, store: &Store) {
        self.full.append(&mut collections.take_full());
        if self.full.is_empty() || self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        for project in std::mem::take(&mut self.full) {
            Self::know(collections, store, project);
        }
    }

    fn know(collections: &mut Collections, store: &Store, project: ProjectId) {
        let known = store.collections(&project).into_iter().map(|(name, _)| name);
        collections.know(project, known);
    }
}
