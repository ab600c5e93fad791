//! Decides on a request whose key is known and whose body is read: the reply, the record for the log, the counts.
//!
//! Apart because this is the one door through which events come in, whatever their form. It must not know how the
//! record is made durable; the shell does that before it sends the reply.

use std::borrow::Cow;
use std::cell::OnceCell;

use protocol::access::{Access, Grant, WriteOptions};
use protocol::batch::{BatchAnswer, DropReason, EventResult, Refused};
use protocol::limits::{Limits, RECORD_BYTES_MAX};
use protocol::writer::RecordWriter;
use protocol::{ErrorCode, EventId, Permit, ProjectId, Refusal, Timestamp};
use serde_json::value::RawValue;

use crate::body::{self, Encoding};
use crate::caller::{Caller, Visible};
use crate::forms;
use crate::origin;
use crate::patch;
use crate::reply::Reply;
use crate::route::{Asked, Form, PresentedKey};
use crate::segment::{self, Kept};
use crate::steps::{Accepted, Draft, Rules, Source, check, not_listed};

/// Bytes of a record beside the properties, per event: id, time, names of the envelope.
const ENVELOPE_BYTES: usize = 160;
/// Bytes of the same at most: with the longest name of a collection.
const ENVELOPE_BYTES_MAX: usize = 500;

/// When a request came, and what chance gives it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The receiver's clock: `keen.created_at` of its events.
    pub now: Timestamp,
    /// Random bytes for the ids of events that bring none; drawn once per request.
    pub random: [u8; 10],
}

/// What is to be done about a request.
#[derive(Debug)]
pub struct Decision {
    /// The project whose events the record holds; none when the request was refused before it was known.
    pub project: Option<ProjectId>,
    /// The answer, to be sent only after [`Decision::record`] is durable.
    pub reply: Reply,
    /// The accepted events as one line of [`Record`]: no line break in it. None when there is none.
    pub record: Option<Vec<u8>>,
    /// What to count.
    pub counts: Counts,
}

/// Events by what became of them. Received = accepted + refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Events in the record.
    pub events_accepted: u64,
    /// Refused events by reason.
    pub refused: Vec<(ErrorCode, u64)>,
    /// Refused events by the step that refused them ([`crate::STEP_NAMES`]).
    pub refused_by_step: Vec<(&'static str, u64)>,
    /// Events that the sender says it had to drop before it could send them, by reason. A batch that is sent again says it
    /// again, so this may be too high, never too low.
    pub dropped_by_sender: Vec<(DropReason, u64)>,
    /// Why the request was refused as a whole, its events unseen.
    pub request_refused: Option<ErrorCode>,
}

impl Counts {
    /// Events that the request held, as far as it was understood.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events_accepted + self.refused.iter().map(|(_, events)| events).sum::<u64>()
    }
}

impl Asked {
    /// Says whether to read the body, from what the look-up found.
    ///
    /// # Errors
    /// The reply when project, key or permit are not there.
    pub fn admit(&self, access: &Access) -> Result<(), Reply> {
        self.permit(access).map(|_| ()).map_err(|refusal| self.refused(&refusal))
    }

    /// Whether the key may stand in the body, for the one form that may bring it there and has brought it nowhere else: read
    /// that body (small, not compressed) and call [`Asked::find_key`] before anything is looked up.
    #[must_use]
    pub fn awaits_key(&self) -> bool {
        let is_bare = self.key == PresentedKey::None && self.encoding == Encoding::Plain;
        is_bare && !self.is_key_sought && matches!(self.form, Form::Segment(_))
    }

    /// Finds the key in a body.
    pub fn find_key(&mut self, body: &[u8]) {
        if self.awaits_key() && body.len() <= self.body_bytes_max {
            self.key = segment::key_in_body(body);
        }
        self.is_key_sought = true;
    }

    /// The reply to a body of more than [`Asked::body_bytes_max`].
    #[must_use]
    pub fn too_large(&self) -> Reply {
        self.refused(&body::too_large(self.body_bytes_max))
    }

    /// The reply to a caller who sends more than the budget of his key or address, or more than we can take now.
    ///
    /// Keen's clients drop what is answered 429, so on their forms it is a 503, which they send again.
    #[must_use]
    pub fn slow_down(&self, retry_after_s: u32) -> Reply {
        let code = match self.form {
            Form::Batch | Form::Segment(_) => ErrorCode::TooManyRequests,
            Form::Single { .. } | Form::Bulk | Form::Written { .. } => ErrorCode::Unavailable,
        };
        let refusal = Refusal::new(code, format!("too many events for now, send them again in {retry_after_s} s"));
        self.refused(&refusal).after(retry_after_s)
    }

    /// Decides on the request. `body` is as it came from the network.
    ///
    /// Costs about 4 ns a byte natively (`examples/bench_decide.rs`); copies the properties once, into the record.
    #[must_use]
    pub fn decide(
        &self,
        access: &Access,
        body: &[u8],
        moment: &Moment,
        caller: &Caller<'_>,
        limits: &Limits,
    ) -> Decision {
        self.settle(access, body, moment, caller, limits).unwrap_or_else(|refusal| {
            let counts = Counts { request_refused: Some(refusal.code), ..Counts::default() };
            Decision { project: self.project.clone(), reply: self.refused(&refusal), record: None, counts }
        })
    }

    fn settle(
        &self,
        access: &Access,
        body: &[u8],
        moment: &Moment,
        caller: &Caller<'_>,
        limits: &Limits,
    ) -> Result<Decision, Refusal> {
        let grant = self.permit(access)?;
        let decoded;
        let text = match &self.form {
            Form::Written { written, .. } => {
                decoded = written.event()?;
                body::text(&decoded, Encoding::Plain, limits.event_bytes_max, ErrorCode::InvalidEvent)?
            }
            Form::Single { .. } | Form::Segment(_) => {
                body::text(body, self.encoding, self.body_bytes_max, ErrorCode::InvalidEvent)?
            }
            Form::Bulk | Form::Batch => body::text(body, self.encoding, self.body_bytes_max, ErrorCode::InvalidBatch)?,
        };
        let visible = Visible::new(caller, &grant.settings.privacy);
        let options = grant.key.options.writes.as_ref();
        let rules = Rules {
            limits,
            visible: &visible,
            collections: options.and_then(|options| options.collections.as_deref()),
            autofill: options.and_then(|options| options.autofill.as_ref()).map(patch::deep).unwrap_or_default(),
        };
        let mut sieve = Sieve::new(moment, &rules, &grant.key.project, text.len());
        let reply = match &self.form {
            Form::Single { collection } | Form::Written { collection, .. } => {
                let source = Source::Keen { collection: collection.as_deref().map(Cow::Borrowed) };
                match sieve.take(forms::single(&text)?, source)? {
                    Ok(()) => self.created(),
                    Err(refusal) => self.refused(&refusal),
                }
            }
            Form::Bulk => bulk(&text, &mut sieve)?,
            Form::Batch => batch(&text, &mut sieve)?,
            Form::Segment(call) => {
                let kept = Kept::of(&grant.settings.privacy, caller.headers.gpc);
                segmented(*call, &text, kept, &mut sieve)?
            }
        };
        let (record, counts) = (sieve.record.map(RecordWriter::finish), sieve.counts);
        Ok(Decision { project: Some(grant.key.project.clone()), reply, record, counts })
    }

    fn permit<'a>(&self, access: &'a Access) -> Result<&'a Grant, Refusal> {
        match access {
            Access::UnknownProject => Err(Refusal::new(ErrorCode::ResourceNotFound, "there is no such project")),
            Access::Known(grant) if grant.key.is_active && self.names(&grant.key.project) => {
                if !grant.key.may(Permit::Writes) {
                    return Err(Refusal::new(ErrorCode::KeyNotPermitted, "this key may not write events"));
                }
                self.narrow(grant).map(|()| grant)
            }
            Access::Known(_) | Access::UnknownKey => {
                let message = if self.key == PresentedKey::None {
                    "the key is missing or malformed: send it as the Authorization header or as api_key"
                } else {
                    "the key is unknown or revoked"
                };
                Err(Refusal::new(ErrorCode::InvalidApiKey, message))
            }
        }
    }

    /// Holds the request, as far as it is known without its body, to what narrows the key and to the project's settings.
    fn narrow(&self, grant: &Grant) -> Result<(), Refusal> {
        if let Some(WriteOptions { collections, origins, .. }) = &grant.key.options.writes {
            if origins.as_ref().is_some_and(|listed| !origin::is_listed(listed, self.origin.as_deref())) {
                let message = "this key may not be used from this origin";
                return Err(Refusal::new(ErrorCode::OriginNotAllowed, message));
            }
            if let (Form::Single { collection } | Form::Written { collection, .. }, Some(listed)) =
                (&self.form, collections)
                && let Some(collection) = collection
                && !listed.contains(collection)
            {
                return Err(not_listed(collection));
            }
        }
        match &self.form {
            Form::Written { written, .. } => written.check_redirect(&grant.settings.redirect_hosts),
            _ => Ok(()),
        }
    }

    /// Whether a request to this project is what was asked; every one is when it names none.
    fn names(&self, project: &ProjectId) -> bool {
        self.project.as_ref().is_none_or(|named| named == project)
    }

    fn created(&self) -> Reply {
        match &self.form {
            Form::Written { written, .. } => written.accepted(),
            _ => Reply::json(201, br#"{"created":true}"#.to_vec()),
        }
    }

    pub(crate) fn refused(&self, refusal: &Refusal) -> Reply {
        match &self.form {
            Form::Segment(_) => segment::refused(refusal),
            Form::Written { written, .. } => written.refused(refusal),
            _ => Reply::refusal(refusal),
        }
    }
}

/// Lets the good events of one request through into the record and counts the others.
struct Sieve<'a> {
    rules: &'a Rules<'a>,
    project: &'a ProjectId,
    received_at: Timestamp,
    first_id: EventId,
    text_bytes: usize,
    /// Bytes of the events that the key filled in.
    filled_bytes: usize,
    /// Begun with the first event that passes.
    record: Option<RecordWriter>,
    counts: Counts,
}

impl<'a> Sieve<'a> {
    fn new(moment: &Moment, rules: &'a Rules<'a>, project: &'a ProjectId, text_bytes: usize) -> Self {
        let first_id = EventId::from_parts(moment.now, moment.random);
        let received_at = moment.now;
        Self {
            rules,
            project,
            received_at,
            first_id,
            text_bytes,
            filled_bytes: 0,
            record: None,
            counts: Counts::default(),
        }
    }

    /// Keeps one event, or says why not.
    ///
    /// # Errors
    /// The outer one ends the request: nothing is wrong with the event, and nothing of the request is kept.
    fn take(&mut self, event: &RawValue, source: Source<'_>) -> Result<Result<(), Refusal>, Refusal> {
        let id = self.first_id.nth(self.counts.events_accepted);
        let filled = OnceCell::new();
        let checked = check(Draft::new(event, source, self.rules, self.received_at, id, &filled));
        // Of what is refused, too: it cost as much to fill in.
        self.filled_bytes = self.filled_bytes.saturating_add(filled.get().map_or(0, String::len));
        if self.filled_bytes > self.room() {
            return Err(self.no_room());
        }
        match checked {
            Ok(accepted) => {
                self.keep(&accepted)?;
                self.counts.events_accepted += 1;
                Ok(Ok(()))
            }
            Err((step, refusal)) => Ok(Err(self.refuse(step, refusal))),
        }
    }

    /// Writes an event into the record.
    fn keep(&mut self, event: &Accepted<'_>) -> Result<(), Refusal> {
        let visible = self.rules.visible;
        let room = self.room();
        let fault = |_| Refusal::new(ErrorCode::Internal, "the record could not be written");
        let record = match &mut self.record {
            Some(record) => record,
            none => {
                let capacity = self.text_bytes + 2 * ENVELOPE_BYTES;
                let context = visible.context(self.project);
                let begun = RecordWriter::new(self.project.clone(), self.received_at, context, capacity);
                none.insert(begun.map_err(fault)?)
            }
        };
        if record.size_bytes().saturating_add(event.size_bytes(visible)) > room {
            return Err(self.no_room());
        }
        record.push(&event.id, &event.collection, event.timestamp, |out| event.write(out, visible)).map_err(fault)
    }

    /// What is filled in could make many bytes of few; what came never exceeds this.
    fn room(&self) -> usize {
        let events = usize::try_from(self.counts.events_accepted).unwrap_or(usize::MAX).saturating_add(1);
        self.text_bytes.saturating_add(events.saturating_mul(ENVELOPE_BYTES_MAX)).max(RECORD_BYTES_MAX)
    }

    fn no_room(&self) -> Refusal {
        let room = self.room();
        let message = format!("the request is larger than {room} bytes with what is filled in: send fewer events");
        Refusal::new(ErrorCode::EventTooLarge, message)
    }

    fn refuse(&mut self, step: &'static str, refusal: Refusal) -> Refusal {
        add(&mut self.counts.refused, refusal.code, 1);
        add(&mut self.counts.refused_by_step, step, 1);
        refusal
    }
}

/// Keen's bulk form: per collection a list of results in the order of its events.
fn bulk(text: &str, sieve: &mut Sieve<'_>) -> Result<Reply, Refusal> {
    let collections = forms::bulk(text, sieve.rules.limits.events_max)?;
    let mut answer = vec![b'{'];
    for collection in collections {
        if answer.len() > 1 {
            answer.push(b',');
        }
        answer.extend_from_slice(collection.raw_name.get().as_bytes());
        answer.extend_from_slice(b":[");
        for (index, event) in collection.events.into_iter().enumerate() {
            if index > 0 {
                answer.push(b',');
            }
            let result = match sieve.take(event, Source::Keen { collection: collection.name.clone() })? {
                Ok(()) => EventResult::stored(),
                Err(refusal) => EventResult::refused(&in_bulk(refusal)),
            };
            serde_json::to_writer(&mut answer, &result)
                .map_err(|_| Refusal::new(ErrorCode::Internal, "the answer could not be written"))?;
        }
        answer.push(b']');
    }
    answer.push(b'}');
    Ok(Reply::json(200, answer))
}

/// A refusal as a bulk answer names it. Keen's mobile clients drop an event for three names and send it again for any
/// other, for ever; so faults that are not Keen's own take one of the three.
fn in_bulk(refusal: Refusal) -> Refusal {
    match refusal.code {
        ErrorCode::EventTooLarge | ErrorCode::InvalidEvent => {
            Refusal { code: ErrorCode::InvalidPropertyValue, ..refusal }
        }
        ErrorCode::KeyNotPermitted => Refusal { code: ErrorCode::InvalidCollectionName, ..refusal },
        _ => refusal,
    }
}

/// Our batch form: the answer names only the events that were refused.
fn batch(text: &str, sieve: &mut Sieve<'_>) -> Result<Reply, Refusal> {
    let batch = forms::batch(text, sieve.rules.limits.events_max)?;
    let skew_ms = sieve.received_at.millis().saturating_sub(batch.sent_at);
    let batch_id = batch.batch_id.map(Cow::into_owned);
    let mut answer = BatchAnswer { batch_id, ..BatchAnswer::default() };
    for (index, event) in (0..).zip(batch.events) {
        if let Err(Refusal { code, message }) = sieve.take(event, Source::Batch { skew_ms })? {
            answer.refused.push(Refused { index, code: code.code().into(), message });
        }
    }
    answer.accepted = sieve.counts.events_accepted;
    for dropped in batch.dropped {
        add(&mut sieve.counts.dropped_by_sender, dropped.reason, u64::from(dropped.count));
    }
    let body = serde_json::to_vec(&answer)
        .map_err(|_| Refusal::new(ErrorCode::Internal, "the answer could not be written"))?;
    Ok(Reply::json(200, body))
}

/// Segment's form: a body of which nothing is kept is refused as a whole, otherwise the answer names what was refused.
fn segmented(call: segment::Call, text: &str, kept: Kept, sieve: &mut Sieve<'_>) -> Result<Reply, Refusal> {
    let (first_id, limits) = (sieve.first_id, sieve.rules.limits);
    let (mut translator, events) = segment::translate(call, text, kept, sieve.received_at, limits)?;
    let mut refused = Vec::new();
    let mut first = None;
    for (index, event) in (0..).zip(events) {
        let taken = match translator.event(event, first_id.nth(index))? {
            Ok((event, skew_ms)) => sieve.take(event, Source::Batch { skew_ms })?,
            Err(refusal) => Err(sieve.refuse("envelope", refusal)),
        };
        if let Err(refusal) = taken {
            let Refusal { code, message } = refusal.clone();
            refused.push(Refused { index, code: code.code().into(), message });
            first.get_or_insert(refusal);
        }
    }
    match first {
        Some(refusal) if sieve.counts.events_accepted == 0 => Ok(segment::refused(&refusal)),
        _ => segment::answered(sieve.counts.events_accepted, refused),
    }
}

/// Adds `more` to the count of `key`.
fn add<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K, more: u64) {
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, count)) => *count += more,
        None => counts.push((key, more)),
    }
}
