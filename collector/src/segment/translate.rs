//! Turns Segment's events into events of our batch form: id, collection, time and properties.
//!
//! Apart because every rule of the mapping is here. It decides nothing about what it makes: each event goes through the
//! steps of all events afterwards, where names, values and sizes are held to the rules.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use protocol::limits::Limits;
use protocol::settings::{AddressPolicy, Privacy, UserAgentPolicy};
use protocol::{CollectionName, ErrorCode, EventId, Refusal, Timestamp};
use serde_json::value::RawValue;

use super::names::{self, Names};
use super::{Call, DOOR, push_text, text_of};
use crate::caller::{KEPT_BITS_V6, truncated};
use crate::{agent, forms};

/// A member of an object.
pub(super) type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// Members of an event that are its envelope here, or a secret, and so no properties.
const TAKEN: &[&str] = &["type", "writeKey", "sentAt", "timestamp", "originalTimestamp", "receivedAt"];
/// Members of an event that are named as Segment's warehouses name them.
const RENAMED: &[(&str, &str)] = &[
    ("userId", "user_id"),
    ("anonymousId", "anonymous_id"),
    ("groupId", "group_id"),
    ("previousId", "previous_id"),
    ("messageId", "message_id"),
];

/// What the project lets be kept of a caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// Of `context.ip`.
    pub address: AddressPolicy,
    /// Of `context.userAgent`; none: nothing.
    pub user_agent: Option<UserAgentPolicy>,
}

impl Kept {
    /// By the project's settings; nothing of somebody who asks not to be followed, when they honour that.
    pub(crate) fn of(privacy: &Privacy, gpc: Option<&str>) -> Self {
        if privacy.honour_gpc && gpc.is_some_and(|gpc| gpc.trim() == "1") {
            return Self { address: AddressPolicy::Drop, user_agent: None };
        }
        Self { address: privacy.address, user_agent: Some(privacy.user_agent) }
    }
}

fn members_of(object: &RawValue) -> Option<Vec<Member<'_>>> {
    let members = forms::members(object.get())?;
    Some(members.into_iter().map(|member| (member.name, member.value)).collect())
}

/// The events of a body, in order.
#[derive(Debug)]
pub(crate) struct Translated {
    text: String,
    events: Vec<Result<(Range<usize>, i64), Refusal>>,
}

impl Translated {
    /// Each as an event of our batch form and its skew, or why it is none.
    pub(crate) fn events(&self) -> impl Iterator<Item = Result<(&RawValue, i64), Refusal>> {
        self.events.iter().map(|event| {
            let (range, skew_ms) = event.clone()?;
            let text = self.text.get(range).unwrap_or_default();
            let raw = serde_json::from_str(text)
                .map_err(|_| Refusal::new(ErrorCode::Internal, "the event could not be written"))?;
            Ok((raw, skew_ms))
        })
    }
}

/// Reads the body of a `call`. Events without `messageId` get the ids after `first_id`.
pub(crate) fn translate(
    call: Call,
    text: &str,
    kept: Kept,
    received_at: Timestamp,
    first_id: EventId,
    limits: &Limits,
) -> Result<Translated, Refusal> {
    let not_an_object = || Refusal::new(ErrorCode::InvalidEvent, "body is not an object");
    let members = members_of(forms::single(text)?).ok_or_else(not_an_object)?;
    let mut translator = Translator {
        kept,
        received_at,
        limits,
        sent_at: time(&members, "sentAt"),
        context: None,
        made: Translated { text: String::with_capacity(text.len() + text.len() / 4), events: Vec::new() },
    };
    if call != Call::Batch {
        translator.event(Some(call), members, first_id);
        return Ok(translator.made);
    }
    let list = members.iter().find(|(name, _)| name == "batch").map(|(_, list)| list.get());
    let list = list.ok_or_else(|| Refusal::new(ErrorCode::InvalidBatch, "body has no list named batch"))?;
    translator.context =
        members.iter().find(|(name, _)| name == "context").and_then(|(_, context)| members_of(context));
    for (index, event) in (0..).zip(forms::event_list(list, limits.events_max)?) {
        match members_of(event) {
            Some(members) => translator.event(None, members, first_id.nth(index)),
            None => {
                let refusal = Refusal::new(ErrorCode::InvalidEvent, "event is not an object");
                translator.made.events.push(Err(refusal));
            }
        }
    }
    Ok(translator.made)
}

struct Translator<'a> {
    kept: Kept,
    received_at: Timestamp,
    limits: &'a Limits,
    /// When the whole body was sent.
    sent_at: Option<Timestamp>,
    /// What a batch says of all its events.
    context: Option<Vec<Member<'a>>>,
    made: Translated,
}

impl<'a> Translator<'a> {
    fn event(&mut self, call: Option<Call>, members: Vec<Member<'a>>, id: EventId) {
        let start = self.made.text.len();
        let event = self.write(call, &members, id).map(|skew_ms| (start..self.made.text.len(), skew_ms));
        self.made.events.push(event);
    }

    /// Writes one event and gives its skew.
    fn write(&mut self, call: Option<Call>, members: &[Member<'a>], id: EventId) -> Result<i64, Refusal> {
        let call = call.or_else(|| text_of(members, "type").and_then(|name| Call::of_type(&name)));
        let unknown = "type is none of track, page, screen, identify, group and alias";
        let call = call.ok_or_else(|| Refusal::new(ErrorCode::InvalidEvent, unknown))?;
        let id = text_of(members, "messageId").map_or(id, |message| EventId::from_foreign(DOOR, &message));
        let name = text_of(members, "event").filter(|_| call == Call::Track);
        let name = name.filter(|name| name.parse::<CollectionName>().is_ok());
        let timestamp = self.timestamp(members)?;
        let sent_at = time(members, "sentAt").or(self.sent_at).unwrap_or(self.received_at);

        let out = &mut self.made.text;
        // Writing to a String does not fail.
        let _ = write!(out, "{{\"id\":\"{id}\",\"collection\":");
        push_text(out, name.as_deref().unwrap_or(call.collection()));
        let _ = write!(
            out,
            ",\"timestamp\":{},\"properties\":{{\"type\":\"{}\"",
            timestamp.unwrap_or(sent_at).millis(),
            call.name()
        );
        self.properties(members);
        self.made.text.push_str("}}");
        Ok(self.received_at.millis().saturating_sub(sent_at.millis()))
    }

    /// When it happened, by the sender's clock.
    fn timestamp(&self, members: &[Member<'a>]) -> Result<Option<Timestamp>, Refusal> {
        for name in ["timestamp", "originalTimestamp"] {
            let Some((_, raw)) = members.iter().find(|(known, _)| known == name) else { continue };
            if raw.get() == "null" {
                continue;
            }
            let wrong = || Refusal::new(ErrorCode::InvalidPropertyValue, format!("{name} is not an ISO 8601 time"));
            return time(members, name).map(Some).ok_or_else(wrong);
        }
        Ok(None)
    }

    fn properties(&mut self, members: &[Member<'a>]) {
        let mut names = Names::default();
        for (theirs, ours) in RENAMED {
            // An event's own `user_id` beside its `userId` gives way.
            if members.iter().any(|(name, _)| name == theirs) {
                names.reserve(ours);
            }
        }
        let mut has_context = false;
        for (name, value) in members {
            if TAKEN.contains(&name.as_ref()) {
                continue;
            }
            self.made.text.push(',');
            let renamed = RENAMED.iter().find(|(theirs, _)| name == theirs).map(|(_, ours)| Cow::Borrowed(*ours));
            let name_here = match (renamed, name.as_ref()) {
                (Some(ours), _) => ours,
                // Not Keen's namespace, in which nothing is free.
                (None, "keen") => names.legal_as(Cow::Borrowed("keen"), Cow::Borrowed("_keen")),
                (None, _) => names.legal(Cow::Borrowed(name)),
            };
            push_text(&mut self.made.text, &name_here);
            self.made.text.push(':');
            let inside = members_of(value).filter(|_| name == "context");
            has_context |= inside.is_some();
            match inside {
                Some(inside) => self.write_context(&inside),
                None => names::push(&mut self.made.text, value, self.limits.depth_max),
            }
        }
        if !has_context && self.context.is_some() && !members.iter().any(|(name, _)| name == "context") {
            self.made.text.push_str(",\"context\":");
            self.write_context(&[]);
        }
    }

    /// The event's context, and what the batch says beside it.
    fn write_context(&mut self, own: &[Member<'_>]) {
        let shared = self.context.take();
        let is_new = |name: &str| !own.iter().any(|(known, _)| known == name);
        let added = shared.iter().flatten().filter(|(name, _)| is_new(name));
        let mut names = Names::default();
        let mut separator = '{';
        for (name, value) in own.iter().chain(added) {
            let coarse = match name.as_ref() {
                "ip" => Some(self.address(value)),
                "userAgent" => Some(self.agent(value)),
                _ => None,
            };
            if coarse == Some(None) {
                continue;
            }
            self.made.text.push(separator);
            separator = ',';
            push_text(&mut self.made.text, &names.legal(Cow::Borrowed(name)));
            self.made.text.push(':');
            match coarse.flatten() {
                Some(text) => push_text(&mut self.made.text, &text),
                None => names::push(&mut self.made.text, value, self.limits.depth_max),
            }
        }
        self.made.text.push_str(if separator == '{' { "{}" } else { "}" });
        self.context = shared;
    }

    /// What is kept of an address; nothing of what is no address.
    fn address(&self, value: &RawValue) -> Option<String> {
        let address: core::net::IpAddr = forms::string(value)?.parse().ok()?;
        match self.kept.address {
            AddressPolicy::Drop => None,
            AddressPolicy::Keep => Some(address.to_string()),
            AddressPolicy::Truncate => Some(truncated(address, KEPT_BITS_V6).to_string()),
        }
    }

    /// What is kept of an agent; nothing of what is no text.
    fn agent(&self, value: &RawValue) -> Option<String> {
        let text = forms::string(value)?;
        match self.kept.user_agent? {
            UserAgentPolicy::Full => Some(text.into_owned()),
            UserAgentPolicy::Reduced => Some(agent::reduced(&text)),
        }
    }
}

/// A time as ISO 8601 text or as milliseconds since 1970.
fn time(members: &[Member<'_>], name: &str) -> Option<Timestamp> {
    let (_, raw) = members.iter().find(|(known, _)| known == name)?;
    match forms::string(raw) {
        Some(text) => text.parse().ok(),
        None => raw.get().parse().ok().map(Timestamp::from_millis),
    }
}
