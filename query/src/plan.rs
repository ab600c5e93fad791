//! What a store has to compute for a query, with every word of the caller resolved: no names of time zones, no
//! relative times, no defaults, and the asking key's filters already inside.
//!
//! This is the whole interface between asking and storing. A plan says what, never how.

use protocol::query::Analysis;
use protocol::row::Cell;
use protocol::{CollectionName, ProjectId, PropertyPath, Timestamp};

/// One query, ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The only project whose rows may be read.
    pub project: ProjectId,
    /// The collection.
    pub collection: CollectionName,
    /// Rows with `keen.timestamp` in `start..end` count. At least one bucket; they touch, are in order of time and
    /// never empty. A query without an interval has one bucket.
    pub buckets: Vec<Span>,
    /// Rows for which this holds count: the key's filters and the caller's, combined here and never by text.
    pub filter: Predicate,
    /// Properties whose values make the groups; empty means one group.
    pub group_by: Vec<PropertyPath>,
    /// What is computed in each bucket and group.
    pub analysis: Analysis,
    /// What it is computed from; none only for count.
    pub target: Option<PropertyPath>,
    /// Groups over all buckets; one more stops the query.
    pub groups_max: usize,
    /// Distinct values that one count_unique holds, added up over buckets and groups; one more stops the query.
    pub unique_values_max: usize,
    /// How the answer is shaped; stores don't read it.
    pub shape: Shape,
}

/// A span of time: start inclusive, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First instant.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
}

/// What is asked of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// All hold; holds when empty.
    All(Vec<Predicate>),
    /// At least one holds; doesn't hold when empty.
    Any(Vec<Predicate>),
    /// The other doesn't hold.
    Not(Box<Predicate>),
    /// A test on one property. A store may ask [`crate::holds`] once per distinct value.
    Test {
        /// The property. `keen.id`, `keen.timestamp` and `keen.created_at` are those of the row itself, as text.
        path: PropertyPath,
        /// The test.
        test: Test,
    },
}

/// A test on the value of one property; the table of meanings is in `docs/reference/queries.md`.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Equal, same type; a list is equal when one element is.
    Equals(Cell),
    /// Less than a number, a text (by code point) or a time.
    Less(Cell),
    /// Less or equal.
    LessOrEqual(Cell),
    /// Greater.
    Greater(Cell),
    /// Greater or equal.
    GreaterOrEqual(Cell),
    /// Present; null counts as present.
    Exists,
    /// Equal to one of these.
    In(Vec<Cell>),
    /// A text with this substring, or a list with this element.
    Contains(Cell),
}

/// How rows become Keen's JSON.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shape {
    /// One entry per bucket, rather than the value alone.
    pub by_interval: bool,
    /// Order of rows, most significant first; empty: ascending by group.
    pub order_by: Vec<Order>,
    /// Rows kept (in each bucket) after ordering.
    pub limit: Option<usize>,
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// What is compared.
    pub by: OrderBy,
    /// Largest first.
    pub descending: bool,
}

/// What rows are ordered by.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderBy {
    /// The computed value.
    Result,
    /// The group's value at this index of `group_by`.
    Group(usize),
}

/// What a store found: one line for each bucket and group that holds a row; the rest is empty by definition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// In any order.
    pub lines: Vec<Line>,
    /// Rows that were looked at, for metadata and prices.
    pub events_scanned: u64,
}

/// The value of one bucket and group.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Index into [`Plan::buckets`].
    pub bucket: usize,
    /// One value per [`Plan::group_by`]; none where the row lacks the property, which answers as null does, so a
    /// store gives `Null` for both. Numbers in their one spelling ([`crate::canonical`]), so that `1` and `1.0` are one
    /// group.
    pub group: Vec<Cell>,
    /// Count and count_unique: `Int`. Sum: `Int` while exact, else `Float`. Average: `Float`. Minimum and maximum:
    /// `Int`, `Float`, or `Text` for times. `Null` when no row had a usable value.
    pub value: Cell,
}
