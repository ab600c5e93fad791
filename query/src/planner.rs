//! A query to a plan: every word resolved, every limit checked, the asking key's filters inside.
//!
//! This is where a key's filters enter a query, as predicates beside the caller's and never as text; there is no other
//! way to a [`Plan`]. What single parameters mean is decided in the modules it calls.

use protocol::limits::QueryLimits;
use protocol::query::{Analysis, Filter, Params};
use protocol::{CollectionName, ErrorCode, ProjectId, PropertyPath, Refusal, Timestamp};
use serde_json::Value;

use crate::plan::{Order, OrderBy, Plan, Predicate, Shape, Span};
use crate::zone::Zone;
use crate::{filters, interval, invalid, shown, timeframe};

/// What rows of an answer call the computed value.
pub(crate) const RESULT: &str = "result";

/// The plan of a query, asked at `now` with a key whose filters are `forced`.
///
/// Forced filters come first and all of them must hold, whatever the caller's say; if one can't be understood the
/// query is refused.
///
/// # Errors
/// `InvalidParameter` names the parameter and what was given; `TooManyBuckets` the limit; `KeyNotPermitted` when the
/// key's own filters are not valid.
pub fn plan(
    project: &ProjectId,
    analysis: Analysis,
    params: &Params,
    forced: &[Filter],
    now: Timestamp,
    limits: &QueryLimits,
) -> Result<Plan, Refusal> {
    // What is wrong with them is the key owner's to know, not the caller's: they may name what the caller can't see.
    let forced = filters::predicates(forced, limits).map_err(|_| {
        Refusal::new(ErrorCode::KeyNotPermitted, "the filters of this key are not valid; make a new key")
    })?;
    let asked = filters::predicates(params.filters.as_deref().unwrap_or_default(), limits)?;
    let group_by = group_by(params, limits)?;
    let buckets = buckets(params, now, limits)?;
    let groups_max = groups_max(&group_by, buckets.len(), limits);
    Ok(Plan {
        project: project.clone(),
        collection: collection(params)?,
        filter: Predicate::All(forced.into_iter().chain(asked).collect()),
        shape: Shape {
            by_interval: params.interval.is_some(),
            order_by: order_by(params, &group_by)?,
            limit: limit(params)?,
        },
        buckets,
        group_by,
        analysis,
        target: target(params, analysis)?,
        groups_max,
        unique_values_max: limits.unique_values_max,
    })
}

fn collection(params: &Params) -> Result<CollectionName, Refusal> {
    let name = params.event_collection.as_deref().ok_or_else(|| invalid("'event_collection' is missing"))?;
    name.parse().map_err(|error| invalid(format!("event_collection '{}': {error}", shown(name))))
}

fn target(params: &Params, analysis: Analysis) -> Result<Option<PropertyPath>, Refusal> {
    if analysis == Analysis::Count {
        return Ok(None);
    }
    let name = params
        .target_property
        .as_deref()
        .ok_or_else(|| invalid(format!("'target_property' is missing; {} needs it", analysis.name())))?;
    path("target_property", name).map(Some)
}

fn path(parameter: &str, name: &str) -> Result<PropertyPath, Refusal> {
    name.parse().map_err(|error| invalid(format!("{parameter} '{}': {error}", shown(name))))
}

fn buckets(params: &Params, now: Timestamp, limits: &QueryLimits) -> Result<Vec<Span>, Refusal> {
    let zone = Zone::parse(params.timezone.as_ref())?;
    let span = params.timeframe.as_ref().map(|given| timeframe::span(given, &zone, now)).transpose()?;
    match (&params.interval, span) {
        (Some(text), Some(span)) => interval::buckets(text, span, &zone, limits),
        (Some(_), None) => Err(invalid("'interval' needs a 'timeframe'")),
        (None, Some(span)) => Ok(vec![span]),
        (None, None) => Ok(vec![Span { start: Timestamp::MIN, end: Timestamp::MAX }]),
    }
}

fn group_by(params: &Params, limits: &QueryLimits) -> Result<Vec<PropertyPath>, Refusal> {
    let names = match &params.group_by {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(names)) => names.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    if names.len() > limits.group_by_max {
        return Err(invalid(format!("group_by has {} properties, the limit is {}", names.len(), limits.group_by_max)));
    }
    let mut paths: Vec<PropertyPath> = Vec::new();
    for name in names {
        let name = match name {
            Value::String(name) => name,
            Value::Object(_) => return Err(invalid("group_by with buckets or ranges is not answered yet")),
            other => {
                let other = shown(&other.to_string());
                return Err(invalid(format!("group_by must be a property's name or a list of names, got {other}")));
            }
        };
        if name == RESULT {
            return Err(invalid("a property named 'result' can't be grouped by: rows hold the computed value there"));
        }
        let path = path("group_by", name)?;
        // A row has one value per name, so a repeated name adds nothing.
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Every group is answered in every bucket, so the rows of an answer are limited through the groups.
fn groups_max(group_by: &[PropertyPath], buckets: usize, limits: &QueryLimits) -> usize {
    if group_by.is_empty() {
        limits.groups_max
    } else {
        limits.groups_max.min((limits.rows_max / buckets.max(1)).max(1))
    }
}

fn order_by(params: &Params, group_by: &[PropertyPath]) -> Result<Vec<Order>, Refusal> {
    match &params.order_by {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(orders)) => orders.iter().map(|one| order(one, group_by)).collect(),
        Some(one) => order(one, group_by).map(|order| vec![order]),
    }
}

fn order(given: &Value, group_by: &[PropertyPath]) -> Result<Order, Refusal> {
    let wrong = || {
        let given = shown(&given.to_string());
        invalid(format!("order_by must have a 'property_name' and may have a 'direction' ASC or DESC, got {given}"))
    };
    let name = given.as_str().or_else(|| given.get("property_name")?.as_str()).ok_or_else(wrong)?;
    let descending = match given.get("direction") {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) if text.eq_ignore_ascii_case("asc") => false,
        Some(Value::String(text)) if text.eq_ignore_ascii_case("desc") => true,
        Some(_) => return Err(wrong()),
    };
    let by = if name == RESULT {
        OrderBy::Result
    } else {
        let index = group_by.iter().position(|path| path.as_str() == name).ok_or_else(|| {
            invalid(format!("order_by '{}' is neither 'result' nor a property of group_by", shown(name)))
        })?;
        OrderBy::Group(index)
    };
    Ok(Order { by, descending })
}

fn limit(params: &Params) -> Result<Option<usize>, Refusal> {
    let given = match &params.limit {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(other) => other.to_string(),
    };
    match given.parse::<usize>() {
        Ok(limit) if limit > 0 => Ok(Some(limit)),
        _ => Err(invalid(format!("limit must be a whole number of at least 1, got {}", shown(&given)))),
    }
}
