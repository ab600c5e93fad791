//! One segment: an immutable Parquet file with rows of one collection, sorted by time, and its line in the manifest.
//!
//! `write.rs` makes the file, `read.rs` checks and decodes it column by column. Nothing outside this module knows
//! Parquet. The file stays as long as any reader holds its [`Segment`], also when a compaction replaced it.

mod read;
mod write;

pub(crate) use read::{Footer, Segment};
pub(crate) use write::write;

use protocol::{CollectionName, ProjectId};
use serde::{Deserialize, Serialize};

use crate::column::Name;

/// What the manifest says of a segment: enough to leave it out of a query without opening it, and to know whether its
/// bytes are those that were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Names the file; never used twice in one folder's life unless a crash kept it from the manifest.
    pub(crate) number: u64,
    /// Whose rows.
    pub(crate) project: ProjectId,
    /// Of which collection.
    pub(crate) collection: CollectionName,
    /// How often its rows were compacted.
    pub(crate) level: u8,
    /// How many rows.
    pub(crate) rows: u64,
    /// First `keen.timestamp`, in milliseconds.
    pub(crate) min_ms: i64,
    /// Last `keen.timestamp`.
    pub(crate) max_ms: i64,
    /// First `keen.created_at`.
    pub(crate) min_created_ms: i64,
    /// Last `keen.created_at`.
    pub(crate) max_created_ms: i64,
    /// Size of the file.
    pub(crate) size_bytes: u64,
    /// CRC-32 of the file.
    pub(crate) crc32: u32,
}

impl Entry {
    /// The file's name.
    pub(crate) fn file_name(number: u64) -> String {
        format!("{number:012}.parquet")
    }

    /// The day it holds; none when it holds several.
    pub(crate) fn day(&self) -> Option<i64> {
        let (first, last) = (day_of(self.min_ms), day_of(self.max_ms));
        (first == last).then_some(first)
    }
}

/// Days since 1970, UTC.
pub(crate) const fn day_of(ms: i64) -> i64 {
    ms.div_euclid(86_400_000)
}

/// The Arrow type of a column in a file.
fn data_type(name: &Name) -> arrow_schema::DataType {
    use arrow_schema::{DataType, TimeUnit};

    use crate::column::Kind;
    match name {
        Name::Id => DataType::FixedSizeBinary(16),
        Name::Timestamp | Name::CreatedAt => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        Name::Property(_, Kind::Int) => DataType::Int64,
        Name::Property(_, Kind::Num) => DataType::Float64,
        Name::Property(_, Kind::Bool | Kind::Null) => DataType::Boolean,
        // Offsets of 64 bits, because the texts of a column together may be longer than 2 GiB.
        Name::Shape | Name::Residual | Name::Property(_, Kind::Str | Kind::List) => {
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8))
        }
    }
}
