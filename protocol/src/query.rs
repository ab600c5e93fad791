//! A query as it is asked on the wire, in Keen's words; what it means is decided by crate `query`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The analyses that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Analysis {
    /// Number of events.
    Count,
    /// Number of distinct values of the target property.
    CountUnique,
    /// Sum of the target property's numbers.
    Sum,
    /// Arithmetic mean of the target property's numbers.
    Average,
    /// Smallest.
    Minimum,
    /// Largest.
    Maximum,
}

impl Analysis {
    /// All of them with their names in paths.
    pub const ALL: &[(Self, &str)] = &[
        (Self::Count, "count"),
        (Self::CountUnique, "count_unique"),
        (Self::Sum, "sum"),
        (Self::Average, "average"),
        (Self::Minimum, "minimum"),
        (Self::Maximum, "maximum"),
    ];

    /// The analysis with this name in a path.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(analysis, _)| *analysis)
    }

    /// Its name in a path.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }
}

/// One filter of a query or of a key: a test on a property, or a group of filters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Filter {
    /// `{"operator": "or" | "and", "operands": [filter, …]}`.
    Group {
        /// `or` or `and`.
        operator: GroupOperator,
        /// What is combined.
        operands: Vec<Filter>,
    },
    /// `{"operator": "not", "operand": filter}`.
    Not {
        /// `not`.
        operator: NotOperator,
        /// What is negated.
        operand: Box<Filter>,
    },
    /// `{"property_name": "a.b", "operator": "eq", "property_value": …}`.
    Test {
        /// Dotted path of the property.
        property_name: String,
        /// Name of the test: `eq`, `ne`, `lt`, `lte`, `gt`, `gte`, `exists`, `in`, `contains`, `not_contains`, ….
        operator: String,
        /// What the value is compared with.
        property_value: Value,
    },
}

/// How operands are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupOperator {
    /// At least one holds.
    Or,
    /// All hold.
    And,
}

/// The one operator with a single operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotOperator {
    /// The operand doesn't hold.
    Not,
}

/// A query's parameters, of the kinds JSON gives them; a GET's text parameters are turned into these by `query`.
/// Parameters that are not ours are ignored, as Keen did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Params {
    /// The collection asked about.
    pub event_collection: Option<String>,
    /// The property that is counted, summed, ….
    pub target_property: Option<String>,
    /// Relative (`"this_7_days"`) or absolute (`{"start", "end"}`).
    pub timeframe: Option<Value>,
    /// Seconds east of UTC (number or text) or the name of a zone.
    pub timezone: Option<Value>,
    /// `"daily"`, `"every_2_hours"`, ….
    pub interval: Option<String>,
    /// A name or a list of names.
    pub group_by: Option<Value>,
    /// All must hold.
    pub filters: Option<Vec<Filter>>,
    /// One or several of `{"property_name", "direction"}`, or a bare name.
    pub order_by: Option<Value>,
    /// Rows kept after ordering.
    pub limit: Option<Value>,
}
