//! Takes a body apart into events without looking into them.
//!
//! Apart because of one promise: a bad event never fails the others. So a body is only split here, each event staying
//! the bytes that came (`RawValue`, which nesting can't exhaust); what an event must keep is decided later, for each
//! alone. Only a body that is not JSON, or has not the form's shape, is refused as a whole.

use std::borrow::Cow;
use std::collections::BinaryHeap;
use std::fmt;

use protocol::batch::Dropped;
use protocol::limits::BATCH_ID_CHARS_MAX;
use protocol::{ErrorCode, Refusal};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// One collection of Keen's bulk form: its name as it was written, and its events.
#[derive(Debug)]
pub(crate) struct Collection<'a> {
    /// The name as JSON text, to be repeated in the answer exactly.
    pub raw_name: &'a RawValue,
    /// The name; none when it holds half of a surrogate pair.
    pub name: Option<Cow<'a, str>>,
    /// Its events in order.
    pub events: Vec<&'a RawValue>,
}

/// The one event of a body.
pub(crate) fn single(text: &str) -> Result<&RawValue, Refusal> {
    serde_json::from_str(text).map_err(|error| not_json(ErrorCode::InvalidEvent, text, &error))
}

/// Keen's bulk form: an object of lists of events.
pub(crate) fn bulk(text: &str, events_max: usize) -> Result<Vec<Collection<'_>>, Refusal> {
    let mut room = Room { left: events_max, is_exceeded: false };
    let mut reader = serde_json::Deserializer::from_str(text);
    let collections =
        Bulk(&mut room).deserialize(&mut reader).and_then(|collections| reader.end().map(|()| collections));
    let collections = collections.map_err(|error| malformed(&room, events_max, text, &error))?;
    let names = collections.iter().map(|one| one.name.as_deref().unwrap_or_else(|| one.raw_name.get()));
    if repeated(names.collect()).is_some() {
        // The answer is read by the collection's name, so a repeated one has no answer.
        return Err(Refusal::new(ErrorCode::InvalidBatch, "a collection is named twice"));
    }
    Ok(collections)
}

/// A name that stands twice. From a heap, because the code of the library's sorts is six times that.
pub(crate) fn repeated(names: Vec<&str>) -> Option<&str> {
    let mut names = BinaryHeap::from(names);
    while let Some(name) = names.pop() {
        if names.peek() == Some(&name) {
            return Some(name);
        }
    }
    None
}

/// Our own batch form, its events not yet looked into.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// Its own id.
    pub batch_id: Option<Cow<'a, str>>,
    /// When it was sent, by the sender's clock.
    pub sent_at: i64,
    /// The events in order.
    pub events: Vec<&'a RawValue>,
    /// What the sender dropped.
    pub dropped: Vec<Dropped>,
}

/// Our own form: see [`protocol::batch::Batch`].
pub(crate) fn batch(text: &str, events_max: usize) -> Result<Batch<'_>, Refusal> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(default, borrow)]
        batch_id: Option<Cow<'a, str>>,
        sent_at: i64,
        #[serde(borrow)]
        events: &'a RawValue,
        #[serde(default)]
        dropped: Vec<Dropped>,
    }
    // A list would be read as a batch too, its elements in order.
    if text.trim_ascii_start().starts_with('[') {
        return Err(Refusal::new(ErrorCode::InvalidBatch, "body is not an object with sent_at and events"));
    }
    let shape: Shape<'_> =
        serde_json::from_str(text).map_err(|error| not_json(ErrorCode::InvalidBatch, text, &error))?;
    let events = event_list(shape.events.get(), events_max)?;
    if shape.batch_id.as_deref().is_some_and(|id| !is_batch_id(id)) {
        let message = format!("batch_id is not 1 to {BATCH_ID_CHARS_MAX} letters, digits, '-' or '_'");
        return Err(Refusal::new(ErrorCode::InvalidBatch, message));
    }
    Ok(Batch { batch_id: shape.batch_id, sent_at: shape.sent_at, events, dropped: shape.dropped })
}

/// The events of a list.
pub(crate) fn event_list(list: &str, events_max: usize) -> Result<Vec<&RawValue>, Refusal> {
    let mut room = Room { left: events_max, is_exceeded: false };
    let events = List(&mut room).deserialize(&mut serde_json::Deserializer::from_str(list));
    events.map_err(|error| malformed(&room, events_max, list, &error))
}

fn is_batch_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=BATCH_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// One member of an object.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    /// The name as JSON text.
    pub raw_name: &'a str,
    /// The name.
    pub name: Cow<'a, str>,
    /// The value, not looked into.
    pub value: &'a RawValue,
}

/// The members of an object in order, names decoded; none when the text is not an object or a name does not decode.
pub(crate) fn members(text: &str) -> Option<Vec<Member<'_>>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(&'de RawValue, &'de RawValue)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let members = serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(text), Members).ok()?;
    members
        .into_iter()
        .map(|(raw_name, value)| Some(Member { raw_name: raw_name.get(), name: string(raw_name)?, value }))
        .collect()
}

/// The values of a list in order; none when the text is not a list.
pub(crate) fn list(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

/// The string that a JSON text writes; none when it is no string or holds half of a surrogate pair.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// How many more entries one request may hold; a counter across nested lists.
struct Room {
    left: usize,
    is_exceeded: bool,
}

impl Room {
    fn take<E: Error>(&mut self) -> Result<(), E> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.is_exceeded = true;
                Err(E::custom("too many events"))
            }
        }
    }
}

struct Bulk<'r>(&'r mut Room);

impl<'de> DeserializeSeed<'de> for Bulk<'_> {
    type Value = Vec<Collection<'de>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Bulk<'_> {
    type Value = Vec<Collection<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of lists of events")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut collections = Vec::new();
        while let Some(raw_name) = map.next_key::<&'de RawValue>()? {
            // An empty list takes memory for its answer too, so each list counts as one more event.
            self.0.take()?;
            let events: Vec<_> = map.next_value_seed(List(self.0))?;
            if !events.is_empty() {
                self.0.left += 1;
            }
            collections.push(Collection { raw_name, name: string(raw_name), events });
        }
        Ok(collections)
    }
}

struct List<'r>(&'r mut Room);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = seq.next_element()? {
            self.0.take()?;
            events.push(event);
        }
        Ok(events)
    }
}

fn malformed(room: &Room, events_max: usize, text: &str, error: &serde_json::Error) -> Refusal {
    if room.is_exceeded {
        return Refusal::new(ErrorCode::EventTooLarge, format!("more events than the limit of {events_max} a request"));
    }
    not_json(ErrorCode::InvalidBatch, text, error)
}

fn not_json(code: ErrorCode, text: &str, error: &serde_json::Error) -> Refusal {
    if text.trim_ascii().is_empty() {
        return Refusal::new(code, "body is empty");
    }
    // The parser's own words name the place; those about shape name what was expected.
    let what = if error.is_data() { "body has another form" } else { "body is not JSON" };
    Refusal::new(code, format!("{what}: {error}"))
}
