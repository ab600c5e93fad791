//! The balance of a project: every event that was acknowledged is stored, a recognised repeat, in quarantine, or still
//! in the log.
//!
//! Both sides come from different places: what was acknowledged from the ledger, which counts at the door; what became
//! of it from the rows that are there and from what the processor says of the rest; what waits from the log itself. They
//! are brought to one offset before they are compared, so the difference is exact under load too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::extract::{Request, State};
use axum::response::Response;
use collector::Reply;
use protocol::{ErrorCode, Offset, ProjectId, Refusal};
use queue::Log;
use serde_json::json;
use store::{Standing, Store};

use crate::guard;
use crate::http::{Server, fault, refuse, respond};
use crate::ledger::{Count, Ledger, Worth};

/// How often it is tried again when the log was trimmed while it was counted.
const TRIES: u32 = 5;
/// How long notes of the ledger are waited for before the log is read in their place.
const NOTES_WAIT: Duration = Duration::from_millis(250);
/// How long between two looks at the ledger.
const NOTES_PAUSE: Duration = Duration::from_millis(1);
/// Bytes of records taken from the log at once.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records that may wait in the log for the difference to be measured with the metrics; a backlog of more is counted only
/// when somebody asks for a balance.
const GAUGE_RECORDS_MAX: u64 = 2_000;

/// How one project stands. Exactly, unless something went wrong: `acked` = `stored` + `duplicates` + `quarantined` +
/// `in_log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    /// What was counted at the door.
    pub count: Count,
    /// What the store says.
    pub standing: Standing,
    /// Events of records that are not processed yet.
    pub in_log: u64,
}

impl Balance {
    /// Events that became rows, also those that were deleted since.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.standing.rows + self.standing.tally.deleted
    }

    /// Events that are in quarantine now. One that was replayed twice, because the process ended in between, was taken
    /// out twice.
    #[must_use]
    pub fn quarantined(&self) -> i128 {
        i128::from(self.standing.tally.quarantined) - i128::from(self.count.replayed)
    }

    /// Acknowledged events of which nobody knows where they are; negative when there are more than were acknowledged.
    #[must_use]
    pub fn difference(&self) -> i128 {
        i128::from(self.count.acked)
            - i128::from(self.stored())
            - i128::from(self.standing.tally.duplicates)
            - self.quarantined()
            - i128::from(self.in_log)
    }
}

/// What the store says of the records before its offset, for a ledger that has no file yet.
#[must_use]
pub fn known(store: &Store) -> (Offset, BTreeMap<ProjectId, Count>) {
    let (next, standings) = store.standings();
    let count = |standing: Standing| Count {
        acked: standing.rows + standing.tally.deleted + standing.tally.duplicates + standing.tally.quarantined,
        replayed: 0,
    };
    (next, standings.into_iter().map(|(project, standing)| (project, count(standing))).collect())
}

/// The balances of all projects, at the offset that is given with them. Blocks while the log is read from the place of the
/// processor on.
///
/// # Errors
/// When the log can't be read, or was trimmed again and again meanwhile.
pub fn all(log: &Log, ledger: &Ledger, store: &Store) -> anyhow::Result<(Offset, BTreeMap<ProjectId, Balance>)> {
    for _ in 0..TRIES {
        let (processed, standings) = store.standings();
        wait_for_notes(log, ledger, processed)?;
        let (counted, counts) = ledger.counts();
        let Some(in_log) = waiting(log, processed, counted)? else { continue };
        let mut balances: BTreeMap<ProjectId, Balance> = BTreeMap::new();
        for (project, standing) in standings {
            balances.entry(project).or_default().standing = standing;
        }
        for (project, count) in counts {
            balances.entry(project).or_default().count = count;
        }
        for (project, events) in in_log {
            balances.entry(project).or_default().in_log = events;
        }
        return Ok((counted, balances));
    }
    anyhow::bail!("the log was trimmed {TRIES} times while it was counted")
}

/// The processor may have a record before its note was made.
fn wait_for_notes(log: &Log, ledger: &Ledger, processed: Offset) -> anyhow::Result<()> {
    let start = Instant::now();
    while ledger.counted() < processed {
        if start.elapsed() > NOTES_WAIT {
            return ledger.read_up_to(log, processed);
        }
        std::thread::sleep(NOTES_PAUSE);
    }
    Ok(())
}

/// Events in the records from `from` to `end`, by project; none when records of them were trimmed meanwhile.
fn waiting(log: &Log, from: Offset, end: Offset) -> anyhow::Result<Option<BTreeMap<ProjectId, u64>>> {
    let mut events: BTreeMap<ProjectId, u64> = BTreeMap::new();
    let mut at = from;
    while at < end {
        let records = log.read(at, READ_BYTES_MAX).context("can't read the log")?;
        for (_, record) in records.iter().filter(|(offset, _)| *offset < end) {
            let worth = Worth::of(record);
            if let Some((project, count)) = worth.and_then(|worth| Some((worth.project()?, worth.events()))) {
                *events.entry(project).or_default() += count;
            }
        }
        at = records.last().map_or(end, |(last, _)| last.next());
    }
    Ok((log.state().oldest <= from || from >= end).then_some(events))
}

/// `GET /3.0/projects/{project}/balance`.
pub async fn show(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let project = match guard::mastered(&server, &parts) {
        Ok((project, _)) => project,
        Err(refusal) => return refuse(&refusal),
    };
    let (Some(log), Some(store)) = (server.log.clone(), server.store.clone()) else {
        let message = "this process does not collect and answer queries";
        return refuse(&Refusal::new(ErrorCode::ResourceNotFound, message));
    };
    let ledger = Arc::clone(&server.ledger);
    match tokio::task::spawn_blocking(move || all(&log, &ledger, &store)).await {
        Ok(Ok((offset, balances))) => {
            let balance = balances.get(&project).copied().unwrap_or_default();
            let tally = balance.standing.tally;
            let body = json!({
                "project_id": project,
                "offset": offset,
                "acked": balance.count.acked,
                "stored": balance.stored(),
                "duplicates": tally.duplicates,
                "quarantined": i64::try_from(balance.quarantined()).unwrap_or(i64::MAX),
                "in_log": balance.in_log,
                "deleted": tally.deleted,
                "replayed": balance.count.replayed,
                "difference": i64::try_from(balance.difference()).unwrap_or(i64::MAX),
            });
            respond(Reply::json(200, body.to_string().into_bytes()))
        }
        Ok(Err(error)) => fault("the balance", error),
        Err(error) => fault("the balance", error),
    }
}

/// Measures the difference of all projects together for the metrics, unless there is a backlog.
pub fn gauge(server: &Server) {
    let (Some(log), Some(store)) = (&server.log, &server.store) else { return };
    if log.next_offset().0.saturating_sub(store.next().0) > GAUGE_RECORDS_MAX {
        return;
    }
    match all(log, &server.ledger, store) {
        Ok((_, balances)) => {
            for (project, balance) in balances.iter().filter(|(_, balance)| balance.difference() != 0) {
                tracing::error!(%project, ?balance, difference = balance.difference(), "the balance is not even");
            }
            let sum = |part: &dyn Fn(&Balance) -> u128| {
                u64::try_from(balances.values().map(part).sum::<u128>()).unwrap_or(u64::MAX)
            };
            server.telemetry.difference.set(sum(&|balance| balance.difference().unsigned_abs()));
            server.telemetry.in_log.set(sum(&|balance| u128::from(balance.in_log)));
        }
        Err(error) => tracing::error!(error = format!("{error:#}"), "the balance can't be measured"),
    }
}
