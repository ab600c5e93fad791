//! Tests through the public door: a request's text in, a plan, an output or an answer out.

mod forced;
mod intervals;
mod meanings;
mod parse;
mod shapes;
mod sums;
mod timeframes;

use protocol::limits::QueryLimits;
use protocol::query::{Analysis, Filter};
use protocol::row::{Cell, Row};
use protocol::{EventId, Refusal, Timestamp};
use serde_json::{Value, json};

use crate::plan::Plan;

/// A Wednesday.
const NOW: &str = "2026-03-18T14:25:36.789Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The plan of a count with these parameters, asked at `now`.
fn counted(params: &Value, now: &str) -> Result<Plan, Refusal> {
    planned(Analysis::Count, params, &[], now)
}

fn planned(analysis: Analysis, params: &Value, forced: &[Filter], now: &str) -> Result<Plan, Refusal> {
    let mut params = params.clone();
    params.as_object_mut().unwrap().entry("event_collection").or_insert(json!("clicks"));
    let params = crate::params_from_json(params.to_string().as_bytes())?;
    crate::plan(&"p".parse().unwrap(), analysis, &params, forced, at(now), &QueryLimits::default())
}

/// The buckets of a plan as texts, without the milliseconds when there are none.
fn spans(plan: &Plan) -> Vec<(String, String)> {
    let short = |time: Timestamp| time.to_string().replace(":00.000Z", "Z").replace(".000Z", "Z");
    plan.buckets.iter().map(|span| (short(span.start), short(span.end))).collect()
}

/// A click at a time with properties; its cells are made the obvious way.
fn row(time: &str, properties: &Value) -> Row {
    let mut cells = Vec::new();
    flatten(&mut cells, "", properties);
    Row {
        project: "p".parse().unwrap(),
        collection: "clicks".parse().unwrap(),
        id: EventId::from_parts(at(time), [7; 10]),
        timestamp: at(time),
        created_at: at(time).plus_millis(5),
        cells,
    }
}

fn flatten(cells: &mut Vec<(protocol::PropertyPath, Cell)>, prefix: &str, properties: &Value) {
    for (name, value) in properties.as_object().unwrap() {
        let path = format!("{prefix}{name}");
        match crate::value::from_json(value) {
            Some(cell) => cells.push((path.parse().unwrap(), cell)),
            None => flatten(cells, &format!("{path}."), value),
        }
    }
}

/// The result of a query over rows, as JSON.
#[track_caller]
fn asked(analysis: Analysis, params: &Value, rows: &[Row]) -> Value {
    let plan = planned(analysis, params, &[], NOW).unwrap();
    let output = crate::naive::run(&plan, rows).unwrap();
    serde_json::to_value(crate::answer(&plan, &output)).unwrap()["result"].take()
}
