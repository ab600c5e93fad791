//! What the server counts and says about itself, and the table that documents it.
//!
//! Every metric stands in [`METRICS`] with its meaning; `docs/reference/metrics.md` is made from that table. Nothing
//! here may hold a key, an address or a property's value.

use std::sync::atomic::AtomicU64;

use collector::Counts;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use protocol::ErrorCode;
use protocol::batch::DropReason;

/// Name without `rivulet_` and without `_total`, kind, meaning without its full stop (the encoder adds one).
pub const METRICS: &[(&str, &str, &str)] = &[
    ("collect_events_accepted", "counter", "Events that were acknowledged after the log had synced them"),
    ("collect_events_refused", "counter", "Events, and whole requests whose key was good, that were refused, by code"),
    ("collect_events_stopped", "counter", "Events that were refused, by the step of the collector that refused them"),
    ("collect_requests_denied", "counter", "Requests whose project or key was not good, by HTTP status"),
    (
        "collect_requests_limited",
        "counter",
        "Writes that were told to come again, by whose limit it was: key, address or share",
    ),
    ("collect_events_unavailable", "counter", "Events that could not be made durable and were answered 503"),
    ("sdk_events_dropped", "counter", "Events that senders say they had to drop before sending, by reason"),
    ("append_records_accepted", "counter", "Records from the edge that were put in the log"),
    ("process_events_stored", "counter", "Events that became rows since this process started"),
    ("process_events_duplicate", "counter", "Events whose id was known, since this process started"),
    ("process_events_quarantined", "counter", "Events and records kept aside, since this process started"),
    ("process_addons_ignored", "counter", "Add-ons that events asked for and nobody knows, since this process started"),
    ("query_answered", "counter", "Queries that were answered"),
    ("query_refused", "counter", "Queries that were refused or stopped, by code"),
    ("queue_next_offset_records", "gauge", "Records the log has ever held"),
    ("queue_size_bytes", "gauge", "Bytes of the log on disk"),
    ("queue_damaged_records", "gauge", "Records of the log that can't be read, found at start or since"),
    ("process_position_records", "gauge", "Records of the log that are visible to queries"),
    ("process_committed_records", "gauge", "Records of the log whose rows are in segments"),
    ("store_tail_rows", "gauge", "Rows in memory that are not yet in a segment"),
    (
        "balance_difference_events",
        "gauge",
        "Acknowledged events that are neither stored, duplicates, in quarantine nor in the log, or the other way round; anything but 0 is an alarm",
    ),
    ("balance_in_log_events", "gauge", "Acknowledged events that are not processed yet"),
];

/// The label of metrics that count by error code.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct ByCode(pub ErrorCode);

impl EncodeLabelSet for ByCode {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("code", self.0.code())].as_slice().encode(encoder)
    }
}

/// The label of metrics that count by step ([`collector::STEP_NAMES`]).
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct ByStep(pub &'static str);

impl EncodeLabelSet for ByStep {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("step", self.0)].as_slice().encode(encoder)
    }
}

/// The label of metrics that count by HTTP status.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct ByStatus(pub u16);

impl EncodeLabelSet for ByStatus {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("status", u64::from(self.0))].as_slice().encode(encoder)
    }
}

/// The label of metrics that count by whose limit was reached.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum ByLimit {
    /// The budget of a key.
    Key,
    /// The budget of an address.
    Address,
    /// The project's share of what may be under way at once.
    Share,
}

impl EncodeLabelSet for ByLimit {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        let name = match self {
            Self::Key => "key",
            Self::Address => "address",
            Self::Share => "share",
        };
        [("limit", name)].as_slice().encode(encoder)
    }
}

/// The label of metrics that count by a sender's reason.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct ByReason(pub DropReason);

impl EncodeLabelSet for ByReason {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("reason", self.0.name())].as_slice().encode(encoder)
    }
}

/// All metrics of one server.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    /// `collect_events_accepted`.
    pub accepted: Counter,
    /// `collect_events_refused`.
    pub refused: Family<ByCode, Counter>,
    /// `collect_events_stopped`.
    pub stopped: Family<ByStep, Counter>,
    /// `collect_requests_denied`.
    pub denied: Family<ByStatus, Counter>,
    /// `collect_requests_limited`.
    pub limited: Family<ByLimit, Counter>,
    /// `collect_events_unavailable`.
    pub unavailable: Counter,
    /// `sdk_events_dropped`.
    pub dropped: Family<ByReason, Counter>,
    /// `append_records_accepted`.
    pub appended: Counter,
    /// `process_events_stored`.
    pub stored: Counter,
    /// `process_events_duplicate`.
    pub duplicates: Counter,
    /// `process_events_quarantined`.
    pub quarantined: Counter,
    /// `process_addons_ignored`.
    pub addons_ignored: Counter,
    /// `query_answered`.
    pub answered: Counter,
    /// `query_refused`.
    pub queries_refused: Family<ByCode, Counter>,
    /// `queue_next_offset_records`.
    pub next_offset: Gauge<u64, AtomicU64>,
    /// `queue_size_bytes`.
    pub queue_bytes: Gauge<u64, AtomicU64>,
    /// `queue_damaged_records`.
    pub damaged: Gauge<u64, AtomicU64>,
    /// `process_position_records`.
    pub position: Gauge<u64, AtomicU64>,
    /// `process_committed_records`.
    pub committed: Gauge<u64, AtomicU64>,
    /// `store_tail_rows`.
    pub tail_rows: Gauge<u64, AtomicU64>,
    /// `balance_difference_events`.
    pub difference: Gauge<u64, AtomicU64>,
    /// `balance_in_log_events`.
    pub in_log: Gauge<u64, AtomicU64>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut telemetry = Self {
            registry: Registry::default(),
            accepted: Counter::default(),
            refused: Family::default(),
            stopped: Family::default(),
            denied: Family::default(),
            limited: Family::default(),
            unavailable: Counter::default(),
            dropped: Family::default(),
            appended: Counter::default(),
            stored: Counter::default(),
            duplicates: Counter::default(),
            quarantined: Counter::default(),
            addons_ignored: Counter::default(),
            answered: Counter::default(),
            queries_refused: Family::default(),
            next_offset: Gauge::default(),
            queue_bytes: Gauge::default(),
            damaged: Gauge::default(),
            position: Gauge::default(),
            committed: Gauge::default(),
            tail_rows: Gauge::default(),
            difference: Gauge::default(),
            in_log: Gauge::default(),
        };
        telemetry.register();
        telemetry
    }
}

impl Telemetry {
    fn register(&mut self) {
        let mut registry = Registry::with_prefix("rivulet");
        for (name, _, meaning) in METRICS {
            match *name {
                "collect_events_accepted" => registry.register(*name, *meaning, self.accepted.clone()),
                "collect_events_refused" => registry.register(*name, *meaning, self.refused.clone()),
                "collect_requests_denied" => registry.register(*name, *meaning, self.denied.clone()),
                "collect_requests_limited" => registry.register(*name, *meaning, self.limited.clone()),
                "collect_events_stopped" => registry.register(*name, *meaning, self.stopped.clone()),
                "collect_events_unavailable" => registry.register(*name, *meaning, self.unavailable.clone()),
                "sdk_events_dropped" => registry.register(*name, *meaning, self.dropped.clone()),
                "append_records_accepted" => registry.register(*name, *meaning, self.appended.clone()),
                "process_events_stored" => registry.register(*name, *meaning, self.stored.clone()),
                "process_events_duplicate" => registry.register(*name, *meaning, self.duplicates.clone()),
                "process_events_quarantined" => registry.register(*name, *meaning, self.quarantined.clone()),
                "process_addons_ignored" => registry.register(*name, *meaning, self.addons_ignored.clone()),
                "query_answered" => registry.register(*name, *meaning, self.answered.clone()),
                "query_refused" => registry.register(*name, *meaning, self.queries_refused.clone()),
                "queue_next_offset_records" => registry.register(*name, *meaning, self.next_offset.clone()),
                "queue_size_bytes" => registry.register(*name, *meaning, self.queue_bytes.clone()),
                "queue_damaged_records" => registry.register(*name, *meaning, self.damaged.clone()),
                "process_position_records" => registry.register(*name, *meaning, self.position.clone()),
                "process_committed_records" => registry.register(*name, *meaning, self.committed.clone()),
                "store_tail_rows" => registry.register(*name, *meaning, self.tail_rows.clone()),
                "balance_difference_events" => registry.register(*name, *meaning, self.difference.clone()),
                "balance_in_log_events" => registry.register(*name, *meaning, self.in_log.clone()),
                _ => {}
            }
        }
        self.registry = registry;
    }

    /// Counts what the collector did not let through, and what senders say they dropped.
    pub fn count_refused(&self, counts: &Counts) {
        let whole = counts.request_refused.map(|code| (code, 1));
        for (code, events) in counts.refused.iter().copied().chain(whole) {
            self.refused.get_or_create(&ByCode(code)).inc_by(events);
        }
        for (step, events) in &counts.refused_by_step {
            self.stopped.get_or_create(&ByStep(step)).inc_by(*events);
        }
        for (reason, events) in &counts.dropped_by_sender {
            self.dropped.get_or_create(&ByReason(*reason)).inc_by(*events);
        }
    }

    /// The body of `GET /metrics`: OpenMetrics text, which Prometheus reads.
    ///
    /// # Errors
    /// Never: writing to a `String` does not fail; the encoder's signature.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Starts logging to standard error: `RIVULET_LOG` filters (`info` by default), `RIVULET_LOG_JSON=1` writes JSON lines.
pub fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("RIVULET_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // A second start in one process (tests) keeps the first.
    let _ = if std::env::var_os("RIVULET_LOG_JSON").is_some() { builder.json().try_init() } else { builder.try_init() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_metric_is_exposed() {
        let telemetry = Telemetry::default();
        telemetry.refused.get_or_create(&ByCode(ErrorCode::InvalidEvent)).inc();
        telemetry.queries_refused.get_or_create(&ByCode(ErrorCode::InvalidParameter)).inc();
        telemetry.denied.get_or_create(&ByStatus(401)).inc();
        telemetry.limited.get_or_create(&ByLimit::Key).inc();
        telemetry.stopped.get_or_create(&ByStep("size")).inc();
        telemetry.dropped.get_or_create(&ByReason(DropReason::QueueFull)).inc();
        let text = telemetry.text().unwrap();
        for (name, kind, _) in METRICS {
            assert!(text.contains(&format!("# TYPE rivulet_{name} {kind}")), "{name} in:\n{text}");
        }
        assert!(text.contains(r#"rivulet_collect_events_refused_total{code="InvalidEventError"} 1"#), "{text}");
        assert_eq!(text.matches("# TYPE").count(), METRICS.len());
    }

    #[test]
    fn the_reference_page_of_metrics_is_the_table() {
        let mut page = String::from(
            "# Metrics\n\n`GET /metrics` answers these in OpenMetrics text.\nCounters end in `_total` there.\n\n| name | kind | meaning |\n|---|---|---|\n",
        );
        for (name, kind, meaning) in METRICS {
            page.push_str(&format!("| `rivulet_{name}` | {kind} | {meaning}. |\n"));
        }
        crate::http::check_page("metrics.md", &page);
    }
}
