//! A query's answer on the wire, in Keen's shapes.
//!
//! | asked with | result |
//! |---|---|
//! | nothing more | `7` |
//! | group_by `c` | `[{"c":"US","result":3}]` |
//! | interval | `[{"value":1,"timeframe":{"start":…,"end":…}}]` |
//! | both | `[{"value":[{"c":"US","result":1}],"timeframe":{…}}]` |

use serde::Serialize;
use serde_json::Value;

use crate::Timestamp;

/// The body of a 200 to a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// In one of the four shapes.
    pub result: QueryResult,
}

/// The four shapes of a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum QueryResult {
    /// One value.
    Value(Value),
    /// One row per group: the grouped properties by their literal names, and `result`.
    Groups(Vec<serde_json::Map<String, Value>>),
    /// One entry per bucket of time, in order, none left out.
    Buckets(Vec<Bucket>),
}

/// One bucket of time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bucket {
    /// A value, or rows as in [`QueryResult::Groups`].
    pub value: Value,
    /// Which time it covers.
    pub timeframe: Timeframe,
}

/// A span of time: start inclusive, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timeframe {
    /// First instant.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
}
