//! Parameters from a request: the JSON body of a POST, or the pairs of a GET's query string.
//!
//! Keen's clients write the same parameter in several ways (a timeframe as JSON text in quotes, a list as JSON text);
//! all of them become the same [`Params`] here, and nothing after this knows how they came. What values mean is not
//! decided here. Parameters that are not ours are ignored, as Keen did.

use protocol::Refusal;
use protocol::query::Params;
use serde_json::Value;

use crate::{filters, invalid, shown};

/// The parameters of a POST's body. An empty body has none.
///
/// # Errors
/// `InvalidParameter` when the body is not a JSON object or a parameter is not of its type.
pub fn params_from_json(body: &[u8]) -> Result<Params, Refusal> {
    if body.trim_ascii().is_empty() {
        return Ok(Params::default());
    }
    let json: Value =
        serde_json::from_slice(body).map_err(|error| invalid(format!("the query is not JSON: {error}")))?;
    let Value::Object(given) = json else { return Err(invalid("the query must be a JSON object")) };
    let mut params = Params::default();
    for (name, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
        set(&mut params, &name, value)?;
    }
    Ok(params)
}

/// The parameters of a GET: decoded names and values, in any order. Those without a value are absent.
///
/// # Errors
/// `InvalidParameter` when a parameter is not of its type or is given twice.
pub fn params_from_query(pairs: &[(String, String)]) -> Result<Params, Refusal> {
    let mut params = Params::default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, text) in pairs.iter().filter(|(_, text)| !text.trim().is_empty()) {
        // Which of two filters counts must never be a guess.
        if seen.contains(&name.as_str()) {
            return Err(invalid(format!("parameter '{name}' is given twice")));
        }
        if set(&mut params, name, Value::from(text.as_str()))? {
            seen.push(name);
        }
    }
    Ok(params)
}

/// Sets one parameter; says whether it is one of ours.
fn set(params: &mut Params, name: &str, value: Value) -> Result<bool, Refusal> {
    match name {
        // Names are taken as they are: quotes may belong to them.
        "event_collection" => params.event_collection = Some(text(name, value)?),
        "target_property" => params.target_property = Some(text(name, value)?),
        "interval" => params.interval = present(unquoted(value)).map(|value| text(name, value)).transpose()?,
        "timeframe" => params.timeframe = present(unquoted(value)),
        "timezone" => params.timezone = present(unquoted(value)),
        "group_by" => params.group_by = present(unquoted(value)),
        "order_by" => params.order_by = present(unquoted(value)),
        "limit" => params.limit = present(unquoted(value)),
        "filters" => params.filters = present(unquoted(value)).map(|value| filters::from_json(&value)).transpose()?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn text(name: &str, value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(invalid(format!("'{name}' must be a text, got {}", shown(&other.to_string())))),
    }
}

/// JSON `null` in quotes is as absent as `null`.
fn present(value: Value) -> Option<Value> {
    Some(value).filter(|value| !value.is_null())
}

/// The value itself, or what it holds if it is the JSON text of an object, a list, a text or null.
fn unquoted(value: Value) -> Value {
    let inner = value.as_str().map(str::trim).filter(|text| text.starts_with(['{', '[', '"']) || *text == "null");
    match inner.map(serde_json::from_str) {
        Some(Ok(inner)) => inner,
        _ => value,
    }
}
