//! The log's limits, as they stand in the configuration file.
//!
//! Each says what happens when it is reached. The defaults run on a laptop. Nothing here touches the disk.

use serde::Deserialize;

use crate::error::LogError;
use crate::frame::RECORD_BYTES_MAX;

/// How large, how long, how many.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Bytes of one segment file. When the next group would not fit, a new segment is begun; a group that is larger
    /// alone still goes into one. Default 128 MiB. Smaller means that space is given back sooner and that there are
    /// more files.
    pub segment_bytes_max: u64,
    /// Milliseconds that the first append of a group may wait for others to share its fsync. It waits only while fewer
    /// appends have come than were in the group before, so a single sender never waits. Default 5; 0 never waits.
    pub linger_ms: u64,
    /// Bytes at which a group waits no longer. What came while the group before was synced goes along, up to four times
    /// this. Default 1 MiB.
    pub batch_bytes_max: u64,
    /// Records that may wait for the writer. More are refused as [`Busy`](crate::AppendError::Busy). Default 65,536.
    pub queue_records_max: u64,
    /// Bytes that may wait for the writer, with 24 for each record. More are refused as
    /// [`Busy`](crate::AppendError::Busy). Default 48 MiB: the memory that waiting appends can take.
    pub queue_bytes_max: u64,
    /// Bytes of one record. Longer ones are refused as [`TooLarge`](crate::AppendError::TooLarge). Default 16 MiB, at
    /// most 64 MiB.
    pub record_bytes_max: u64,
    /// Bytes of the disk that appends leave free, so that clean-up works on a full one. Below it, appends are refused
    /// as [`Full`](crate::AppendError::Full). Default 256 MiB.
    pub reserve_bytes: u64,
    /// Bytes of all segments together. Above it, appends are refused as [`Full`](crate::AppendError::Full) until
    /// consumers have read and [`trim`](crate::Log::trim) has run. Default none: the disk is the limit.
    pub log_bytes_max: Option<u64>,
    /// Bytes of the newest segments that [`trim`](crate::Log::trim) leaves although every consumer has passed them, so
    /// that they can be read again. Default 0.
    pub retain_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_max: 128 << 20,
            linger_ms: 5,
            batch_bytes_max: 1 << 20,
            queue_records_max: 65_536,
            queue_bytes_max: 48 << 20,
            record_bytes_max: 16 << 20,
            reserve_bytes: 256 << 20,
            log_bytes_max: None,
            retain_bytes: 0,
        }
    }
}

impl Options {
    /// Refuses values with which the log could not work.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let bounds = [
            ("segment_bytes_max", self.segment_bytes_max, 1, u64::MAX),
            ("linger_ms", self.linger_ms, 0, 60_000),
            ("batch_bytes_max", self.batch_bytes_max, 1, u64::MAX),
            ("queue_records_max", self.queue_records_max, 1, u64::MAX),
            ("queue_bytes_max", self.queue_bytes_max, self.record_bytes_max.saturating_add(24), u64::MAX),
            ("record_bytes_max", self.record_bytes_max, 1, u64::from(RECORD_BYTES_MAX)),
        ];
        for (option, value, min, max) in bounds {
            if value < min || value > max {
                return Err(LogError::Option { option, value, min, max });
            }
        }
        Ok(())
    }
}
