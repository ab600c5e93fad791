//! Asking, without storing: what a Keen query means.
//!
//! A request becomes [`Params`](protocol::query::Params) ([`params_from_json`], [`params_from_query`]), these become a
//! [`plan::Plan`] ([`plan()`]) under the asking key's filters and the limits, a store turns the plan into
//! [`plan::Output`], and [`answer()`] gives it Keen's shape. [`holds`] is the one place that says what a filter's test
//! means; [`naive`] says the same of a whole plan, slowly, so that stores can be compared with it. The meanings as a
//! user reads them are in `docs/reference/queries.md`.
//!
//! ```
//! use protocol::limits::QueryLimits;
//! use protocol::query::Analysis;
//! use protocol::Timestamp;
//!
//! let body = br#"{"event_collection": "purchases", "timeframe": "today", "interval": "hourly"}"#;
//! let params = query::params_from_json(body)?;
//! let now: Timestamp = "2026-03-18T02:30:00Z".parse().expect("a time");
//! let project = "demo".parse().expect("an id");
//! let plan = query::plan(&project, Analysis::Count, &params, &[], now, &QueryLimits::default())?;
//! assert_eq!(plan.buckets.len(), 3);
//!
//! let output = query::naive::run(&plan, &[])?; // or a store's
//! let answer = serde_json::to_value(query::answer(&plan, &output)).expect("JSON");
//! assert_eq!(answer["result"][2]["value"], 0);
//! assert_eq!(answer["result"][2]["timeframe"]["end"], "2026-03-18T02:30:00.000Z");
//! # Ok::<(), protocol::Refusal>(())
//! ```
//!
//! The crate reads no clock (`now` is an argument), does no I/O and knows nothing of how rows are stored. The time
//! zone database is compiled in, so the same query means the same on every machine.

mod answer;
mod filters;
mod interval;
mod judge;
pub mod naive;
mod params;
pub mod plan;
mod planner;
mod timeframe;
mod value;
mod zone;

#[cfg(test)]
mod tests;

pub use answer::answer;
pub use filters::check_filters;
pub use judge::{holds, matches};
pub use params::{params_from_json, params_from_query};
pub use planner::plan;
pub use value::{canonical, instant_of};

use protocol::{ErrorCode, Refusal};

/// A refusal of one of the query's parameters.
fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidParameter, message)
}

/// The caller's text for a message, cut so that a message stays a message.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut cut: String = text.chars().take(CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
