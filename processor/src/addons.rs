//! Runs what an event asks for in `keen.addons`: reads some of its properties and fills an object with what they mean.
//!
//! It runs here and not at the door because nothing of it can refuse an event, and here it costs the sender no time. Only
//! `keen:ip_to_geo` is done at the door, where the address is known. In order of the list; a later one reads what an earlier
//! one found. A missing or malformed input leaves the output as it was.

mod agent;
mod date_time;
mod referrer;
mod sites;
mod url;

use std::collections::BTreeMap;

use protocol::Timestamp;
use protocol::row::Cell;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cells::Cells;

/// Requests of one event; auto-tracking sends nine. Further ones are ignored and counted.
const REQUESTS_MAX: usize = 32;
/// Properties that all add-ons of one event may add: its own are limited to 512. Further ones are left out.
const FIELDS_MAX: usize = 256;

/// What an add-on found: names below the output, with `.` between names of nested objects.
type Fields = Vec<(String, Cell)>;

/// The times of an event, which are no cells but may be inputs.
pub(crate) struct Times {
    pub(crate) timestamp: Timestamp,
    pub(crate) created_at: Timestamp,
}

#[derive(Deserialize)]
struct Request {
    name: String,
    #[serde(default)]
    input: BTreeMap<String, serde_json::Value>,
    output: String,
}

/// Runs the requests of the JSON list `requests`; gives the number of those that were not done because nobody knows them.
pub(crate) fn run(cells: &mut Cells, requests: &str, times: &Times) -> u64 {
    let Ok(requests) = serde_json::from_str::<Vec<&RawValue>>(requests) else { return 1 };
    let mut room = FIELDS_MAX;
    let mut ignored = u64::try_from(requests.len().saturating_sub(REQUESTS_MAX)).unwrap_or(u64::MAX);
    for request in requests.into_iter().take(REQUESTS_MAX) {
        let done = serde_json::from_str::<Request>(request.get()).ok().and_then(|request| {
            let inputs = Inputs { request: &request, cells, times };
            let fields = found(&request.name, &inputs)?;
            may_write(&request.output).then_some((request, fields))
        });
        let Some((request, fields)) = done else {
            ignored += 1;
            continue;
        };
        for (field, cell) in fields.into_iter().take(room) {
            room -= usize::from(cells.put(&request.output, &field, cell));
        }
    }
    ignored
}

/// What the add-on of this name finds; none when there is none.
fn found(name: &str, inputs: &Inputs<'_>) -> Option<Fields> {
    let text = |input| inputs.text(input).unwrap_or_default();
    Some(match name {
        "keen:ua_parser" => agent::fields(&text("ua_string")),
        "keen:url_parser" => url::fields(&text("url")),
        "keen:referrer_parser" => referrer::fields(&text("referrer_url"), &text("page_url")),
        "keen:date_time_parser" => date_time::fields(&text("date_time")),
        // Done at the door; what is left of it could not be done there.
        "keen:ip_to_geo" => Fields::new(),
        _ => return None,
    })
}

/// Whether an add-on may fill this object: of `keen` only the place.
fn may_write(output: &str) -> bool {
    let is_of = |object: &str| output.strip_prefix(object).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    !is_of("keen") || is_of("keen.location")
}

/// The values that a request names.
struct Inputs<'a> {
    request: &'a Request,
    cells: &'a Cells,
    times: &'a Times,
}

impl Inputs<'_> {
    /// The text of the property that the input `name` names.
    fn text(&self, name: &str) -> Option<String> {
        match self.request.input.get(name)?.as_str()? {
            "keen.timestamp" => Some(self.times.timestamp.to_string()),
            "keen.created_at" => Some(self.times.created_at.to_string()),
            path => match self.cells.get(path)? {
                Cell::Text(text) => Some(text.clone()),
                _ => None,
            },
        }
    }
}

fn text(name: &str, value: impl Into<String>) -> (String, Cell) {
    (name.to_owned(), Cell::Text(value.into()))
}

#[cfg(test)]
mod tests;
