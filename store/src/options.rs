//! What an operator may set of the store.

use serde::Deserialize;

/// The store's settings; the defaults are for a laptop.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Rows in the tail at which a flush is due. More make larger segments and take memory (about 1 KB a row).
    pub tail_rows_max: usize,
    /// Bytes in the tail at which a flush is due.
    pub tail_bytes_max: usize,
    /// Milliseconds after which a flush of a smaller tail is due. It bounds how much of the log is read again after
    /// a crash, not what queries see: they see the tail.
    pub flush_after_ms: u64,
    /// Rows of one segment; compaction stops there.
    pub segment_rows_max: usize,
    /// Bytes of segments that are merged into one.
    pub segment_bytes_max: u64,
    /// Files that the days of one collection may spread over in one flush; with more days neighbours share a file.
    pub flush_days_max: usize,
    /// Segments of one day and level at which a compaction merges them.
    pub compact_segments_min: usize,
    /// Properties of one collection that may have columns; others go to the residual column.
    pub columns_max: usize,
    /// Bytes of decoded columns kept for queries.
    pub cache_bytes_max: usize,
    /// Bytes of values that queries grouped by or counted as distinct, kept so that they need not be compared again.
    pub numbers_bytes_max: usize,
    /// Bytes of segments that are compared with their checksums at start, newest first. The others are compared when
    /// first read.
    pub verify_bytes_max: u64,
    /// Whether queries leave out damaged segments. By default a query that needs one fails, because an answer
    /// without it would be wrong and nobody would notice.
    pub skip_damaged: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tail_rows_max: 65_536,
            tail_bytes_max: 48 * 1024 * 1024,
            flush_after_ms: 10_000,
            segment_rows_max: 1_000_000,
            segment_bytes_max: 256 * 1024 * 1024,
            flush_days_max: 8,
            compact_segments_min: 8,
            columns_max: 2_000,
            cache_bytes_max: 64 * 1024 * 1024,
            numbers_bytes_max: 32 * 1024 * 1024,
            verify_bytes_max: 2 * 1024 * 1024 * 1024,
            skip_damaged: false,
        }
    }
}
