//! Every limit of what may be sent and asked, with its source.
//!
//! Constants that no operator changes stand alone; those that a project may change are fields of [`Limits`], whose
//! default is the documented one. What happens beyond a limit is said at each.

/// Characters of a project id; a longer one is an unknown project.
pub const PROJECT_ID_CHARS_MAX: usize = 64;
/// Characters of a collection name (Keen's SDKs say 64 or 256); a longer one is refused per event.
pub const COLLECTION_CHARS_MAX: usize = 255;
/// Characters of one property name; a longer one is refused per event.
pub const PROPERTY_NAME_CHARS_MAX: usize = 255;
/// Characters of a `keen.uniqueness_token` (Keen's documentation); a longer one is refused per event.
pub const UNIQUENESS_TOKEN_CHARS_MAX: usize = 64;
/// Characters of a request target (path and query); keen-tracking sends pixels of up to 16,000.
pub const TARGET_CHARS_MAX: usize = 20_000;
/// Characters of a batch id; a longer one is refused with the batch.
pub const BATCH_ID_CHARS_MAX: usize = 64;
/// Days for which a `keen.uniqueness_token` is remembered (Keen's documentation).
pub const TOKEN_WINDOW_DAYS: u32 = 31;
/// Days for which an event id is remembered, so that a repeat is recognised.
pub const DEDUPE_WINDOW_DAYS: u32 = 7;
/// Days for which an event with a `keen.uniqueness_token` is remembered, as Keen did.
pub const DEDUPE_TOKEN_WINDOW_DAYS: u32 = 31;
/// Bytes of one record in the log: a body at its limit and its envelope.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one Cloudflare Queues message; larger batches are split.
pub const EDGE_MESSAGE_BYTES_MAX: usize = 120_000;
/// Seconds that a signed append from the edge stays valid; older ones are refused so that they can't be replayed
/// for long. Repeats within the window are harmless: event ids are assigned before signing.
pub const APPEND_SIGNATURE_AGE_S_MAX: i64 = 300;

/// What one request may hold. A breach is refused with the number in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a body on Keen's endpoints, after decompression. Keen's documentation: 10 MB.
    pub body_bytes_max: usize,
    /// Bytes of one event on Keen's endpoints. Keen's documentation: 900 KB; ours is a superset.
    pub event_bytes_max: usize,
    /// Bytes of a body of our own batch form, after decompression.
    pub batch_bytes_max: usize,
    /// Bytes of one event of our own batch form.
    pub batch_event_bytes_max: usize,
    /// Events in one request. The .NET client splits at 1,000; Keen's took at least 5,000.
    pub events_max: usize,
    /// Levels of objects and lists in one event, the event itself being level 1.
    pub depth_max: usize,
    /// Names in one event, over all levels.
    pub names_max: usize,
    /// Characters of one string value.
    pub string_chars_max: usize,
    /// Collections of one project; an event of one more goes to quarantine. Each is a file in every flush.
    pub collections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 10_000_000,
            event_bytes_max: 1_000_000,
            batch_bytes_max: 1024 * 1024,
            batch_event_bytes_max: 64 * 1024,
            events_max: 10_000,
            depth_max: 32,
            names_max: 512,
            string_chars_max: 10_000,
            collections_max: 1_000,
        }
    }
}

/// What one query may cost. A breach is refused or stops the query, with the number in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryLimits {
    /// Buckets of an interval. Keen's were 31, later 2,500.
    pub buckets_max: usize,
    /// Groups over all buckets.
    pub groups_max: usize,
    /// Rows of one answer: groups times buckets. It lowers `groups_max` for a query with an interval.
    pub rows_max: usize,
    /// Distinct values counted exactly by one count_unique.
    pub unique_values_max: usize,
    /// Filters in one query, counted through all and/or groups.
    pub filters_max: usize,
    /// Levels of and/or groups.
    pub filter_depth_max: usize,
    /// Properties in one group_by.
    pub group_by_max: usize,
    /// Milliseconds that one query may run.
    pub run_ms_max: u64,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            buckets_max: 10_000,
            groups_max: 100_000,
            rows_max: 250_000,
            unique_values_max: 1_000_000,
            filters_max: 100,
            filter_depth_max: 8,
            group_by_max: 8,
            run_ms_max: 300_000,
        }
    }
}
