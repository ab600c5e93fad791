//! Keeps what can't be stored in a log of its own, so that nothing is lost and everything can be replayed.
//!
//! A record is one line of JSON that says what it is (`offset` in the log, place of the `event` in its record, `reason`),
//! then its bytes as they were. After a crash one may stand there twice, with the same offset.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use processor::Quarantined;
use protocol::Offset;
use queue::Log;

/// How long to wait for room on a full disk before the next try.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// What is kept of `kept`, which stood at `offset` of the log.
#[must_use]
pub fn record(offset: Offset, kept: &Quarantined) -> Vec<u8> {
    tracing::warn!(%offset, event = kept.event, reason = kept.reason, "kept in quarantine");
    let head = serde_json::json!({ "v": 1, "offset": offset, "event": kept.event, "reason": kept.reason });
    let mut record = head.to_string().into_bytes();
    record.push(b'\n');
    record.extend_from_slice(&kept.bytes);
    record
}

/// Makes `records` durable. On a full disk it waits for room, because nothing may be passed over; the log keeps what comes
/// meanwhile, and queries go on.
///
/// # Errors
/// When the log of the quarantine has failed, or `stop` was set while waiting.
pub fn keep(log: &Log, records: Vec<Vec<u8>>, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut is_told = false;
    loop {
        match log.append(records.clone()).wait() {
            Ok(_) => return Ok(()),
            Err(error) if error.passes() && !stop.load(Ordering::Relaxed) => {
                if !is_told {
                    tracing::error!(%error, "quarantine can't be written now; processing waits");
                }
                is_told = true;
                std::thread::sleep(RETRY_WAIT);
            }
            Err(error) => return Err(error).context("quarantine can't be written"),
        }
    }
}
