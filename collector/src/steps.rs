//! What every event goes through, in order, and what is found out about it on the way.
//!
//! Kept as a named list so that metrics, reference and tests speak of the same steps. It decides on one event alone;
//! it must not know of the others of the request nor how they are answered. An event is held once, as the bytes that
//! came: what is to be changed is noted on the way and done while it is written into the record.

use std::borrow::Cow;
use std::cell::OnceCell;

use protocol::batch::BatchEvent;
use protocol::limits::{Limits, UNIQUENESS_TOKEN_CHARS_MAX};
use protocol::settings::Privacy;
use protocol::{CollectionName, ErrorCode, EventId, Refusal, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::addons;
use crate::caller::{Caller, Visible};
use crate::forms;
use crate::patch::{self, Members};
use crate::scan::{Edit, With, check_names, scan};

type Step = fn(&mut Draft<'_>) -> Result<(), Refusal>;

/// What every event goes through, in order. Metrics are labelled with the step's name.
const STEPS: &[(&str, Step)] = &[
    ("size", size),
    ("envelope", envelope),
    ("collection", collection),
    ("autofill", autofill),
    ("json", json),
    ("keen", keen),
    ("timestamp", timestamp),
    ("id", id),
    ("addons", addons),
];

/// The names of the steps, in order: the labels of the metric of refused events.
pub const STEP_NAMES: &[&str] =
    &["size", "envelope", "collection", "autofill", "json", "keen", "timestamp", "id", "addons"];

/// What holds for every event of one request.
pub(crate) struct Rules<'a> {
    pub limits: &'a Limits,
    /// As much of the caller as events may hold.
    pub visible: &'a Visible<'a>,
    /// Collections that the key may write to; none: all.
    pub collections: Option<&'a [String]>,
    /// What the key fills in; empty: nothing.
    pub autofill: Members,
}

/// Bytes, levels and names of what a key fills into each event: beyond, a few bytes sent would be much work.
const AUTOFILL_BYTES_MAX: usize = 16 * 1024;
const AUTOFILL_DEPTH_MAX: usize = 8;
const AUTOFILL_NAMES_MAX: usize = 256;

/// Refuses what a key may not fill in: what is too much, and what would make each event of the key a bad one.
///
/// # Errors
/// The refusal that an event of it would get.
pub fn check_autofill(fill: &Map<String, Value>) -> Result<(), Refusal> {
    let text = serde_json::to_string(fill).and_then(RawValue::from_string);
    let text = text.map_err(|_| Refusal::new(ErrorCode::Internal, "it could not be written"))?;
    let limits = Limits {
        event_bytes_max: AUTOFILL_BYTES_MAX,
        depth_max: AUTOFILL_DEPTH_MAX,
        names_max: AUTOFILL_NAMES_MAX,
        ..Limits::default()
    };
    let (caller, privacy) = (Caller::default(), Privacy::default());
    let rules = Rules {
        limits: &limits,
        visible: &Visible::new(&caller, &privacy),
        collections: None,
        autofill: Members::new(),
    };
    let source = Source::Keen { collection: Some(Cow::Borrowed("c")) };
    let filled = OnceCell::new();
    let draft = Draft::new(&text, source, &rules, Timestamp::from_millis(0), EventId::from_bytes([0; 16]), &filled);
    check(draft).map(|_| ()).map_err(|(_, refusal)| refusal)
}

/// Where an event comes from, which is what its envelope is.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// Keen's forms: the collection stands in the target or in the bulk object. None when it does not decode.
    Keen { collection: Option<Cow<'a, str>> },
    /// Our batch form: the event names its collection, id and time. `skew_ms` is added to its time.
    Batch { skew_ms: i64 },
}

/// An event on its way through [`STEPS`].
pub(crate) struct Draft<'a> {
    /// The event as it was sent.
    text: &'a RawValue,
    /// Some for an event of our batch form.
    skew_ms: Option<i64>,
    event_bytes_max: usize,
    rules: &'a Rules<'a>,
    collection: Cow<'a, str>,
    /// The text of its properties: as it came, or as the key filled it in.
    properties: &'a str,
    /// Where the filled in text is kept.
    filled: &'a OnceCell<String>,
    timestamp: Timestamp,
    id: EventId,
    /// Its root property `keen`, as JSON text.
    keen: Option<&'a str>,
    /// `keen.timestamp`, `keen.uniqueness_token` and `keen.addons`, as JSON text.
    keen_timestamp: Option<&'a RawValue>,
    keen_token: Option<&'a RawValue>,
    keen_addons: Option<&'a RawValue>,
    /// Values that are replaced while it is written, and what an add-on changes after that.
    edits: Vec<Edit>,
    changes: Members,
}

/// An event that passed all steps.
pub(crate) struct Accepted<'a> {
    pub id: EventId,
    pub collection: Cow<'a, str>,
    pub timestamp: Timestamp,
    properties: &'a str,
    edits: Vec<Edit>,
    changes: Members,
}

impl<'a> Draft<'a> {
    /// An event that was received at `received_at`; `id` and that time are its own unless it brings others. `filled` is
    /// where its text is kept if the key fills it in.
    pub(crate) fn new(
        text: &'a RawValue,
        source: Source<'a>,
        rules: &'a Rules<'a>,
        received_at: Timestamp,
        id: EventId,
        filled: &'a OnceCell<String>,
    ) -> Self {
        let (collection, skew_ms, event_bytes_max) = match source {
            Source::Keen { collection } => (collection.unwrap_or_default(), None, rules.limits.event_bytes_max),
            Source::Batch { skew_ms } => (Cow::Borrowed(""), Some(skew_ms), rules.limits.batch_event_bytes_max),
        };
        Self {
            text,
            skew_ms,
            event_bytes_max,
            rules,
            collection,
            properties: text.get(),
            filled,
            timestamp: received_at,
            id,
            keen: None,
            keen_timestamp: None,
            keen_token: None,
            keen_addons: None,
            edits: Vec::new(),
            changes: Members::new(),
        }
    }
}

/// Runs [`STEPS`] and stops at the first refusal, which is given with the step's name.
pub(crate) fn check(mut draft: Draft<'_>) -> Result<Accepted<'_>, (&'static str, Refusal)> {
    for (name, step) in STEPS {
        step(&mut draft).map_err(|refusal| (*name, refusal))?;
    }
    let Draft { id, collection, timestamp, properties, edits, changes, .. } = draft;
    // The very last instant is no start of a span, so no query could see an event there.
    let timestamp = timestamp.min(Timestamp::MAX.plus_millis(-1));
    Ok(Accepted { id, collection, timestamp, properties, edits, changes })
}

impl Accepted<'_> {
    /// Writes its properties with everything that is changed in them.
    pub(crate) fn write(&self, out: &mut Vec<u8>, visible: &Visible<'_>) {
        if self.changes.is_empty() {
            self.write_edited(out, visible);
            return;
        }
        let mut edited = Vec::with_capacity(self.properties.len());
        self.write_edited(&mut edited, visible);
        let is_written = std::str::from_utf8(&edited).is_ok_and(|text| patch::apply(out, text, &self.changes));
        if !is_written {
            // Not reached: the text was checked and an edit puts JSON in the place of JSON.
            out.extend_from_slice(&edited);
        }
    }

    fn write_edited(&self, out: &mut Vec<u8>, visible: &Visible<'_>) {
        let mut from = 0;
        for Edit { range, with } in &self.edits {
            out.extend_from_slice(self.properties.as_bytes().get(from..range.start).unwrap_or_default());
            match with {
                With::Address => out.extend_from_slice(visible.address_json().as_bytes()),
                With::UserAgent => out.extend_from_slice(visible.agent_json().as_bytes()),
                With::Text(text) => patch::push_text(out, text),
            }
            from = range.end;
        }
        out.extend_from_slice(self.properties.as_bytes().get(from..).unwrap_or_default());
    }

    /// Bytes of its properties as they will be written, but for what an add-on adds.
    pub(crate) fn size_bytes(&self, visible: &Visible<'_>) -> usize {
        size_bytes(self.properties, &self.edits, visible)
    }
}

/// Bytes of `properties` when these edits are done.
fn size_bytes(properties: &str, edits: &[Edit], visible: &Visible<'_>) -> usize {
    let added = edits.iter().map(|edit| match &edit.with {
        // The longest address in quotes.
        With::Address => 48,
        With::UserAgent => visible.agent_json().len(),
        With::Text(text) => text.len() + 2,
    });
    properties.len().saturating_add(added.sum())
}

fn size(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let (size_bytes, limit_bytes) = (draft.text.get().len(), draft.event_bytes_max);
    if size_bytes > limit_bytes {
        let message = format!("event is {size_bytes} bytes, the limit is {limit_bytes} bytes");
        return Err(Refusal::new(ErrorCode::EventTooLarge, message));
    }
    Ok(())
}

/// The event as it will be kept holds to the limit too, so that a few bytes can't become many.
fn size_filled(draft: &Draft<'_>, size_bytes: usize) -> Result<(), Refusal> {
    // One that barely fits is not to be refused for what we put in.
    let limit_bytes = draft.event_bytes_max.saturating_mul(2);
    if size_bytes > limit_bytes {
        let message = format!("event is {size_bytes} bytes with what is filled in, the limit is {limit_bytes} bytes");
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
        draft.properties = event.properties.get();
    }
    if !draft.properties.starts_with('{') {
        return Err(Refusal::new(ErrorCode::InvalidEvent, "event is not an object"));
    }
    Ok(())
}

fn collection(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let name = collection_name(&draft.collection)?;
    match draft.rules.collections {
        Some(listed) if !listed.iter().any(|one| one == name.as_str()) => Err(not_listed(name.as_str())),
        _ => Ok(()),
    }
}

/// The refusal of a collection that the key's list lacks.
pub(crate) fn not_listed(collection: &str) -> Refusal {
    Refusal::new(ErrorCode::KeyNotPermitted, format!("this key may not write to the collection {collection}"))
}

fn autofill(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.rules.autofill.is_empty() {
        return Ok(());
    }
    // Before its members are looked up among what is filled in.
    check_names(draft.properties, draft.rules.limits.names_max)?;
    let mut text = Vec::with_capacity(draft.properties.len() * 2);
    // An event whose names do not decode is left as it is: the next step says what is wrong with it.
    if patch::apply(&mut text, draft.properties, &draft.rules.autofill)
        && let Ok(text) = String::from_utf8(text)
    {
        draft.properties = draft.filled.get_or_init(|| text);
        size_filled(draft, draft.properties.len())?;
    }
    Ok(())
}

fn json(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let visible = draft.rules.visible;
    let found = scan(draft.properties, draft.rules.limits, visible.is_scrubbed())?;
    (draft.keen, draft.edits) = (found.keen, found.edits);
    if !draft.edits.is_empty() {
        size_filled(draft, size_bytes(draft.properties, &draft.edits, visible))?;
    }
    Ok(())
}

fn keen(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let Some(text) = draft.keen else { return Ok(()) };
    let members =
        forms::members(text).ok_or_else(|| Refusal::new(ErrorCode::NamespaceType, "property keen is not an object"))?;
    for forms::Member { name, value, .. } in members {
        match name.as_ref() {
            "timestamp" => draft.keen_timestamp = Some(value),
            "uniqueness_token" => draft.keen_token = Some(value),
            "addons" => draft.keen_addons = Some(value),
            "location" => {}
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

fn addons(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let Some(raw) = draft.keen_addons else { return Ok(()) };
    draft.changes = addons::changes(draft.properties, raw, draft.rules.visible, &draft.rules.autofill)?;
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
