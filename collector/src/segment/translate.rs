//! Turns Segment's events into events of our batch form: id, collection, time and properties.
//!
//! Apart because every rule of the mapping is here. It decides nothing about what it makes: each event goes through the
//! steps of all events afterwards, where names, values and sizes are held to the rules.

use std::borrow::Cow;
use std::fmt::Write as _;

use protocol::limits::Limits;
use protocol::settings::{AddressPolicy, Privacy, UserAgentPolicy};
use protocol::{CollectionName, ErrorCode, EventId, Refusal, Timestamp};
use serde_json::value::RawValue;

use super::names::{self, Names};
use super::{Call, DOOR, push_text, text_of};
use crate::caller::{KEPT_BITS_V6, truncated};
use crate::scan::too_many_names;
use crate::{agent, forms};

/// A member of an object.
pub(super) type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// What all events of a body together may become, in times of what it may be: what a batch says of all its events is in
/// each of them. Beyond, the body is refused whole.
const GROWTH_MAX: usize = 8;
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

/// Members of an event that tell of its caller, at any depth.
const OF_CALLERS: &[&str] = &["context", "options"];
/// In them, names of addresses.
const ADDRESSES: &[&str] = &["ip", "ipaddress", "ipv4", "ipv6", "clientip", "remoteip", "userip", "remoteaddr"];
/// What is kept of an agent in parts when it is reduced: what browsers tell everybody.
const AGENT_DATA: &[&str] = &["brands", "mobile", "platform"];

/// Whether a name is this one, in whatever spelling: `User Agent` and `user_agent` are `useragent`.
fn is(name: &str, known: &str) -> bool {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()).eq(known.bytes())
}

/// What becomes of a member.
enum Fate {
    /// It stays, and what is in it is looked at.
    Kept,
    /// It is left out.
    Gone,
    /// This text takes its place.
    Text(String),
    /// Only [`AGENT_DATA`] of it stays.
    Brief,
}

/// What the project lets be kept of a caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// Of addresses.
    pub address: AddressPolicy,
    /// Of agents; none: nothing, nor of the device.
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

/// Reads the body of a `call`: gives its events as they came, and what makes each one of ours.
pub(crate) fn translate<'a>(
    call: Call,
    text: &'a str,
    kept: Kept,
    received_at: Timestamp,
    limits: &'a Limits,
) -> Result<(Translator<'a>, Vec<&'a RawValue>), Refusal> {
    let not_an_object = || Refusal::new(ErrorCode::InvalidEvent, "body is not an object");
    let body = forms::single(text)?;
    let members = members_of(body).ok_or_else(not_an_object)?;
    let mut translator = Translator {
        call: Some(call).filter(|call| *call != Call::Batch),
        kept,
        received_at,
        limits,
        sent_at: time(&members, "sentAt"),
        context: None,
        text: String::new(),
        bytes_left: limits.batch_bytes_max.saturating_mul(GROWTH_MAX),
    };
    if call != Call::Batch {
        return Ok((translator, vec![body]));
    }
    let list = members.iter().find(|(name, _)| name == "batch").map(|(_, list)| list.get());
    let list = list.ok_or_else(|| Refusal::new(ErrorCode::InvalidBatch, "body has no list named batch"))?;
    let context = members.iter().find(|(name, _)| name == "context").and_then(|(_, context)| members_of(context));
    translator.context = context.map(|context| translator.shared(&context)).transpose()?;
    Ok((translator, forms::event_list(list, limits.events_max)?))
}

/// Makes events of our batch form, one at a time: what a batch says of all its events is copied into each, so all of them
/// together may be many times what came.
pub(crate) struct Translator<'a> {
    /// What the events are, unless each says so itself.
    call: Option<Call>,
    kept: Kept,
    received_at: Timestamp,
    limits: &'a Limits,
    /// When the whole body was sent.
    sent_at: Option<Timestamp>,
    /// What a batch says of all its events, as it is kept: names, and values as JSON text.
    context: Option<Vec<(String, String)>>,
    /// The event that is being written.
    text: String,
    /// What all events of the body together may still become.
    bytes_left: usize,
}

impl Translator<'_> {
    /// One event and its skew, or why it is none. `id` is its own unless it has a `messageId`.
    ///
    /// # Errors
    /// The outer one, when the whole body becomes more than anybody should send.
    pub(crate) fn event(
        &mut self,
        event: &RawValue,
        id: EventId,
    ) -> Result<Result<(&RawValue, i64), Refusal>, Refusal> {
        self.text.clear();
        let written = members_of(event)
            .ok_or_else(|| Refusal::new(ErrorCode::InvalidEvent, "event is not an object"))
            .and_then(|members| self.write(&members, id));
        let Some(left) = self.bytes_left.checked_sub(self.text.len()) else {
            let limit = self.limits.batch_bytes_max.saturating_mul(GROWTH_MAX);
            let message =
                format!("the batch is larger than {limit} bytes with its context in each event: send fewer events");
            return Err(Refusal::new(ErrorCode::EventTooLarge, message));
        };
        self.bytes_left = left;
        Ok(written.and_then(|skew_ms| {
            let raw = serde_json::from_str(&self.text)
                .map_err(|_| Refusal::new(ErrorCode::Internal, "the event could not be written"))?;
            Ok((raw, skew_ms))
        }))
    }

    /// Writes one event and gives its skew.
    fn write(&mut self, members: &[Member<'_>], id: EventId) -> Result<i64, Refusal> {
        let call = self.call.or_else(|| text_of(members, "type").and_then(|name| Call::of_type(&name)));
        let unknown = "type is none of track, page, screen, identify, group and alias";
        let call = call.ok_or_else(|| Refusal::new(ErrorCode::InvalidEvent, unknown))?;
        let id = text_of(members, "messageId").map_or(id, |message| EventId::from_foreign(DOOR, &message));
        let name = text_of(members, "event").filter(|_| call == Call::Track);
        let name = name.filter(|name| name.parse::<CollectionName>().is_ok());
        let timestamp = self.timestamp(members)?;
        let sent_at = time(members, "sentAt").or(self.sent_at).unwrap_or(self.received_at);

        let out = &mut self.text;
        // Writing to a String does not fail.
        let _ = write!(out, "{{\"id\":\"{id}\",\"collection\":");
        push_text(out, name.as_deref().unwrap_or(call.collection()));
        let _ = write!(
            out,
            ",\"timestamp\":{},\"properties\":{{\"type\":\"{}\"",
            timestamp.unwrap_or(sent_at).millis(),
            call.name()
        );
        self.properties(members)?;
        self.text.push_str("}}");
        Ok(self.received_at.millis().saturating_sub(sent_at.millis()))
    }

    /// When it happened, by the sender's clock.
    fn timestamp(&self, members: &[Member<'_>]) -> Result<Option<Timestamp>, Refusal> {
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

    fn properties(&mut self, members: &[Member<'_>]) -> Result<(), Refusal> {
        self.check_names(members.len())?;
        let mut names = Names::default();
        for (theirs, ours) in RENAMED {
            // An event's own `user_id` beside its `userId` gives way.
            if members.iter().any(|(name, _)| name == theirs) {
                names.reserve(ours);
            }
        }
        for (name, value) in members {
            if TAKEN.contains(&name.as_ref()) {
                continue;
            }
            let fate = self.fate(name, value);
            if matches!(fate, Fate::Gone) {
                continue;
            }
            self.text.push(',');
            let renamed = RENAMED.iter().find(|(theirs, _)| name == theirs).map(|(_, ours)| Cow::Borrowed(*ours));
            let name_here = match (renamed, name.as_ref()) {
                (Some(ours), _) => ours,
                // Not Keen's namespace, in which nothing is free.
                (None, "keen") => names.legal_as(Cow::Borrowed("keen"), Cow::Borrowed("_keen")),
                (None, _) => names.legal(Cow::Borrowed(name)),
            };
            push_text(&mut self.text, &name_here);
            self.text.push(':');
            let inside = members_of(value).filter(|_| name == "context");
            match (inside, fate) {
                (Some(inside), _) => self.write_context(&inside)?,
                (None, Fate::Kept) if OF_CALLERS.iter().any(|one| is(name, one)) => match value.get().as_bytes() {
                    [b'{', ..] => self.write_kept(value, 1)?,
                    _ => self.text.push_str("null"),
                },
                // What else it holds is the sender's own.
                (None, Fate::Kept) => self.push(value)?,
                (None, fate) => self.write_fate(value, fate, 1)?,
            }
        }
        if self.context.is_some() && !members.iter().any(|(name, _)| name == "context") {
            self.text.push_str(",\"context\":");
            self.write_context(&[])?;
        }
        Ok(())
    }

    /// Copies a value, unless the event would be too large with it.
    fn push(&mut self, value: &RawValue) -> Result<(), Refusal> {
        self.check_room(value.get().len())?;
        names::push(&mut self.text, value, self.limits.depth_max);
        Ok(())
    }

    fn check_room(&self, more_bytes: usize) -> Result<(), Refusal> {
        let limit = self.limits.batch_event_bytes_max;
        if self.text.len().saturating_add(more_bytes) > limit {
            let message = format!("event is larger than the limit of {limit} bytes with its context");
            return Err(Refusal::new(ErrorCode::EventTooLarge, message));
        }
        Ok(())
    }

    /// What has more names is refused in any case, and here before they are compared.
    fn check_names(&self, names: usize) -> Result<(), Refusal> {
        let limit = self.limits.names_max;
        if names > limit { Err(too_many_names(limit)) } else { Ok(()) }
    }

    /// What a batch says of all its events, as far as it is kept.
    fn shared(&mut self, members: &[Member<'_>]) -> Result<Vec<(String, String)>, Refusal> {
        self.check_names(members.len())?;
        let mut shared = Vec::new();
        for (name, value) in members {
            let fate = self.fate(name, value);
            if !matches!(fate, Fate::Gone) {
                self.text.clear();
                self.write_fate(value, fate, 2)?;
                shared.push((name.clone().into_owned(), self.text.clone()));
            }
        }
        Ok(shared)
    }

    /// The event's context, and what the batch says beside it.
    fn write_context(&mut self, own: &[Member<'_>]) -> Result<(), Refusal> {
        let shared = self.context.take();
        let written = self.write_both(own, shared.as_deref().unwrap_or_default());
        self.context = shared;
        written
    }

    fn write_both(&mut self, own: &[Member<'_>], shared: &[(String, String)]) -> Result<(), Refusal> {
        self.check_names(own.len())?;
        let mut names = Names::default();
        let mut separator = '{';
        self.write_members(own, &mut names, &mut separator, 2)?;
        let added: Vec<_> = shared.iter().filter(|(name, _)| !names.is_named(name)).collect();
        for (name, text) in added {
            self.check_room(text.len())?;
            self.name(&mut names, &mut separator, name);
            self.text.push_str(text);
        }
        self.text.push_str(if separator == '{' { "{}" } else { "}" });
        Ok(())
    }

    /// Writes a value of which only so much is kept of the caller as the project lets be, `depth` levels down.
    fn write_kept(&mut self, value: &RawValue, depth: usize) -> Result<(), Refusal> {
        let text = value.get();
        // What is deeper is refused; so is an object with a name that is none.
        if depth > self.limits.depth_max || !text.starts_with(['{', '[']) {
            return self.push(value);
        }
        if let Some(members) = members_of(value) {
            let mut separator = '{';
            self.write_members(&members, &mut Names::default(), &mut separator, depth)?;
            self.text.push_str(if separator == '{' { "{}" } else { "}" });
            return Ok(());
        }
        let Some(list) = forms::list(text).filter(|_| text.starts_with('[')) else { return self.push(value) };
        let mut separator = '[';
        for value in list {
            self.text.push(separator);
            separator = ',';
            self.write_kept(value, depth + 1)?;
        }
        self.text.push_str(if separator == '[' { "[]" } else { "]" });
        Ok(())
    }

    fn write_members<'n>(
        &mut self,
        members: &'n [Member<'n>],
        names: &mut Names<'n>,
        separator: &mut char,
        depth: usize,
    ) -> Result<(), Refusal> {
        for (name, value) in members {
            match self.fate(name, value) {
                Fate::Gone => names.name(name),
                fate => {
                    self.name(names, separator, name);
                    self.write_fate(value, fate, depth)?;
                }
            }
        }
        Ok(())
    }

    fn name<'n>(&mut self, names: &mut Names<'n>, separator: &mut char, name: &'n str) {
        self.text.push(*separator);
        *separator = ',';
        push_text(&mut self.text, &names.legal(Cow::Borrowed(name)));
        self.text.push(':');
    }

    fn write_fate(&mut self, value: &RawValue, fate: Fate, depth: usize) -> Result<(), Refusal> {
        match fate {
            Fate::Gone => {}
            Fate::Kept => self.write_kept(value, depth + 1)?,
            Fate::Text(text) => {
                self.check_room(text.len())?;
                push_text(&mut self.text, &text);
            }
            Fate::Brief => {
                let members = members_of(value).unwrap_or_default();
                let brief = members.iter().filter(|(name, _)| AGENT_DATA.iter().any(|one| is(name, one)));
                let (mut names, mut separator) = (Names::default(), '{');
                for (name, value) in brief {
                    self.name(&mut names, &mut separator, name);
                    self.push(value)?;
                }
                self.text.push_str(if separator == '{' { "{}" } else { "}" });
            }
        }
        Ok(())
    }

    /// What becomes of a member that may tell of the caller.
    fn fate(&self, name: &str, value: &RawValue) -> Fate {
        if ADDRESSES.iter().any(|one| is(name, one)) {
            return self.address(value).map_or(Fate::Gone, Fate::Text);
        }
        if is(name, "useragent") {
            return self.agent(value).map_or(Fate::Gone, Fate::Text);
        }
        match self.kept.user_agent {
            None if is(name, "useragentdata") || is(name, "device") => Fate::Gone,
            Some(UserAgentPolicy::Reduced) if is(name, "useragentdata") => Fate::Brief,
            _ => Fate::Kept,
        }
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
