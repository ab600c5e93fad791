//! What every event goes through, in order, and what is found out about it on the way.
//!
//! Kept as a named list so that metrics, reference and tests speak of the same steps. It decides on one event alone;
//! it must not know of the others of the request nor how they are answered.

use std::borrow::Cow;

use protocol::batch::BatchEvent;
use protocol::limits::{Limits, UNIQUENESS_TOKEN_CHARS_MAX};
use protocol::record::RecordEvent;
use protocol::{CollectionName, ErrorCode, EventId, Refusal, Timestamp};
use serde_json::value::RawValue;

use crate::forms;
use crate::scan::scan;

type Step = fn(&mut Draft<'_>) -> Result<(), Refusal>;

/// What every event goes through, in order. Metrics are labelled with the step's name.
const STEPS: &[(&str, Step)] = &[
    ("size", size),
    ("envelope", envelope),
    ("collection", collection),
    ("json", json),
    ("keen", keen),
    ("timestamp", timestamp),
    ("id", id),
];

/// The names of the steps, in order: the labels of the metric of refused events.
pub const STEP_NAMES: &[&str] = &["size", "envelope", "collection", "json", "keen", "timestamp", "id"];

/// Where an event comes from, which is what its envelope is.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// Keen's forms: the collection stands in the target or in the bulk object. None when it does not decode.
    Keen { collection: Option<Cow<'a, str>> },
    /// Our batch form: the event names its collection, id and time. `skew_ms` is added to its time.
    Batch { skew_ms: i64 },
}

/// An event on its way through [`STEPS`].
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    /// The event as it was sent.
    text: &'a RawValue,
    /// Some for an event of our batch form.
    skew_ms: Option<i64>,
    event_bytes_max: usize,
    limits: &'a Limits,
    collection: Cow<'a, str>,
    properties: &'a RawValue,
    timestamp: Timestamp,
    id: EventId,
    /// Its root property `keen`, as JSON text.
    keen: Option<&'a str>,
    /// `keen.timestamp` and `keen.uniqueness_token`, as JSON text.
    keen_timestamp: Option<&'a RawValue>,
    keen_token: Option<&'a RawValue>,
}

impl<'a> Draft<'a> {
    /// An event that was received at `received_at`; `id` and that time are its own unless it brings others.
    pub(crate) fn new(
        text: &'a RawValue,
        source: Source<'a>,
        limits: &'a Limits,
        received_at: Timestamp,
        id: EventId,
    ) -> Self {
        let (collection, skew_ms, event_bytes_max) = match source {
            Source::Keen { collection } => (collection.unwrap_or_default(), None, limits.event_bytes_max),
            Source::Batch { skew_ms } => (Cow::Borrowed(""), Some(skew_ms), limits.batch_event_bytes_max),
        };
        Self {
            text,
            skew_ms,
            event_bytes_max,
            limits,
            collection,
            properties: text,
            timestamp: received_at,
            id,
            keen: None,
            keen_timestamp: None,
            keen_token: None,
        }
    }
}

/// Runs [`STEPS`] and stops at the first refusal, which is given with the step's name.
pub(crate) fn check(mut draft: Draft<'_>) -> Result<RecordEvent<'_>, (&'static str, Refusal)> {
    for (name, step) in STEPS {
        step(&mut draft).map_err(|refusal| (*name, refusal))?;
    }
    let Draft { id, collection, timestamp, properties, .. } = draft;
    // The very last instant is no start of a span, so no query could see an event there.
    let timestamp = timestamp.min(Timestamp::MAX.plus_millis(-1));
    Ok(RecordEvent { id, collection, timestamp, properties })
}

fn size(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let (size_bytes, limit_bytes) = (draft.text.get().len(), draft.event_bytes_max);
    if size_bytes > limit_bytes {
        let message = format!("event is {size_bytes} bytes, the limit is {limit_bytes} bytes");
        return Err(Refusal::new(ErrorCode::EventTooLarge, message));
    }
    Ok(())
}

fn envelope(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if let Some(skew_ms) = draft.skew_ms {
        // A list would be read as one too, its elements in order.
        if !draft.text.get().starts_with('{') {
            return Err(Refusal::new(ErrorCode::InvalidEvent, "event is not an object"));
        }
        let event: BatchEvent<'_> = serde_json::from_str(draft.text.get())
            .map_err(|error| Refusal::new(ErrorCode::InvalidEvent, format!("event has another form: {error}")))?;
        draft.id = event.id.parse().map_err(|error: protocol::id::IdError| refusal(ErrorCode::InvalidEvent, &error))?;
        draft.timestamp = Timestamp::from_millis(event.timestamp.saturating_add(skew_ms));
        draft.collection = event.collection;
        draft.properties = event.properties;
    }
    if !draft.properties.get().starts_with('{') {
        return Err(Refusal::new(ErrorCode::InvalidEvent, "event is not an object"));
    }
    Ok(())
}

fn collection(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    collection_name(&draft.collection).map(|_| ())
}

fn json(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    draft.keen = scan(draft.properties.get(), draft.limits)?;
    Ok(())
}

fn keen(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let Some(text) = draft.keen else { return Ok(()) };
    let members =
        forms::members(text).ok_or_else(|| Refusal::new(ErrorCode::NamespaceType, "property keen is not an object"))?;
    for (name, value) in members {
        match name.as_ref() {
            "timestamp" => draft.keen_timestamp = Some(value),
            "uniqueness_token" => draft.keen_token = Some(value),
            "addons" | "location" => {}
            "id" | "created_at" => {
                let message = format!("keen.{name} is set by the server only");
                return Err(Refusal::new(ErrorCode::InvalidKeenNamespaceProperty, message));
            }
            _ => {
                let message = format!("keen.{name} is not known");
                return Err(Refusal::new(ErrorCode::InvalidKeenNamespaceProperty, message));
            }
        }
    }
    Ok(())
}

fn timestamp(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let Some(raw) = draft.keen_timestamp else { return Ok(()) };
    let wrong = || Refusal::new(ErrorCode::InvalidPropertyValue, "keen.timestamp is not an ISO 8601 time");
    draft.timestamp = forms::string(raw).and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
    Ok(())
}

fn id(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let Some(raw) = draft.keen_token else { return Ok(()) };
    let token = forms::string(raw)
        .filter(|token| !token.is_empty() && token.chars().count() <= UNIQUENESS_TOKEN_CHARS_MAX)
        .ok_or_else(|| {
            let message =
                format!("keen.uniqueness_token is not a string of 1 to {UNIQUENESS_TOKEN_CHARS_MAX} characters");
            Refusal::new(ErrorCode::InvalidPropertyValue, message)
        })?;
    draft.id = EventId::from_token(&collection_name(&draft.collection)?, &token);
    Ok(())
}

fn collection_name(text: &str) -> Result<CollectionName, Refusal> {
    text.parse().map_err(|error: protocol::event::NameError| refusal(ErrorCode::InvalidCollectionName, &error))
}

fn refusal(code: ErrorCode, error: &dyn std::error::Error) -> Refusal {
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_names_are_those_of_the_steps() {
        assert_eq!(STEPS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), STEP_NAMES);
    }
}
