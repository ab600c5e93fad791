//! What is sent to the collector in one request: Keen's bulk form and ours, and their answers.
//!
//! Property values stay as the bytes that came (`RawValue`): they are checked by the collector and read by the
//! processor, and copying them into a tree in between would be most of the collector's work.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Refusal;

/// Our own batch form, sent by the SDK: `POST /3.0/projects/{id}/batches?api_key=…` as `text/plain`, so that a
/// browser asks no preflight.
///
/// Members that a reader doesn't know are passed over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch<'a> {
    /// Names the batch in logs and in the answer, so that both ends speak of the same one: up to
    /// [`crate::limits::BATCH_ID_CHARS_MAX`] letters, digits, `-` and `_`. Repeats are recognised by the events' ids, not by it.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<Cow<'a, str>>,
    /// When the sender sent it, in milliseconds since 1970 by the sender's clock. What the collector's clock differs
    /// is added to each event's time.
    pub sent_at: i64,
    /// The events, in order of capture.
    #[serde(borrow)]
    pub events: Vec<BatchEvent<'a>>,
    /// What the sender had to drop since its last stored batch, so that no loss stays unseen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
}

/// Events that a sender dropped before it could send them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Why.
    pub reason: DropReason,
    /// How many.
    pub count: u32,
}

/// Why a sender dropped an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// Its queue had no room.
    QueueFull,
    /// The event alone was too large.
    EventTooLarge,
    /// The properties could not be written as JSON.
    NotJson,
    /// A reason of a newer sender.
    #[serde(other)]
    Other,
}

impl DropReason {
    /// The name on the wire and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::EventTooLarge => "event_too_large",
            Self::NotJson => "not_json",
            Self::Other => "other",
        }
    }
}

/// One event of a [`Batch`].
#[derive(Debug, Serialize, Deserialize)]
pub struct BatchEvent<'a> {
    /// The id made at capture: 32 lower-case hex digits ([`crate::EventId`]).
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// The collection it goes to.
    #[serde(borrow)]
    pub collection: Cow<'a, str>,
    /// When it was captured, in milliseconds since 1970 by the sender's clock.
    pub timestamp: i64,
    /// Its properties: one JSON object.
    #[serde(borrow)]
    pub properties: &'a RawValue,
}

/// Answer to a [`Batch`]: names only the events that were not accepted.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAnswer {
    /// The batch's own id, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<String>,
    /// Events that are stored durably: all that are neither in `refused` nor in `retry`.
    pub accepted: u64,
    /// Events that were refused and never will be accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// Places of events that could not be stored now: send these again, and only these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<u64>,
}

/// One refused event of a [`BatchAnswer`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its place in the batch, from 0.
    pub index: u64,
    /// The stable name of the rule ([`crate::ErrorCode::code`]). Not called `error_code`: Keen's clients take a body
    /// with that name for a failure of the whole request.
    pub code: Cow<'static, str>,
    /// For a person.
    pub message: String,
}

/// Result of one event in Keen's bulk answer.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct EventResult {
    /// Whether it is stored.
    pub success: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<EventError>,
}

/// Why one event of a bulk request was refused, in Keen's words.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct EventError {
    /// The stable name ([`crate::ErrorCode::code`]).
    pub name: &'static str,
    /// For a person.
    pub description: String,
}

impl EventResult {
    /// Of an event that is stored.
    #[must_use]
    pub const fn stored() -> Self {
        Self { success: true, error: None }
    }

    /// Of an event that was refused.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        let error = EventError { name: refusal.code.code(), description: refusal.message.clone() };
        Self { success: false, error: Some(error) }
    }
}
