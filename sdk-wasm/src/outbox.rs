//! Decides when captured events leave the page.
//!
//! The browser may end a page at any moment and gives requests that outlive it a small budget, so *when* to send and
//! *how* is the hard part of the SDK. It is kept here as a state machine without clock, network and `web-sys`:
//! [`Outbox::capture`] and [`Outbox::handle`] take what happened, [`Outbox::poll`] says what to do next. `web.rs`
//! turns that into timers and requests; the tests turn it into a list.
//!
//! An event that was taken stays until the collector answers for it. A beacon has no answer, so it is no delivery:
//! its events stay queued and, if the page lives on, go again under the same ids; the server counts an id once.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
pub mod words;

use crate::retry::Retry;
use crate::wire::ENVELOPE_BYTES_MAX;

pub use words::{Answer, Batch, DropReason, Drops, Event, Flushed, How, Input, Millis, Output};

/// Events kept at most (trust notes §4); a further one is dropped and counted.
pub const QUEUE_EVENTS_MAX: usize = 1_000;
/// Bytes of events kept at most (trust notes §4); an event beyond is dropped and counted.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one event, as `protocol::limits::Limits::batch_event_bytes_max`; a larger one is dropped and counted.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes in flight that may outlive the page. Browsers allow 64 KiB for all requests of a page together.
pub const KEEPALIVE_BYTES_MAX: usize = 60 * 1024;
/// Bytes of one ordinary request that may outlive the page: half, so that a page that hides has the other half.
pub const KEEPALIVE_BATCH_BYTES_MAX: usize = KEEPALIVE_BYTES_MAX / 2;
/// Bytes of one request that empties a backlog; such a one dies with the page.
pub const BACKLOG_BATCH_BYTES_MAX: usize = 256 * 1024;
/// Events of one request at most.
pub const BATCH_EVENTS_MAX: usize = 500;
/// Events that are sent without waiting for more.
pub const BATCH_EVENTS_READY: usize = 50;
/// How long an event waits for company.
pub const LINGER_MS: u64 = 1_000;
/// How long a page that was hidden counts as about to end. After it, it has evidently survived.
pub const LEAVING_MS: u64 = 5_000;
/// How long an answer is waited for; later ones are ignored and the batch goes again.
pub const ANSWER_MS_MAX: u64 = 60_000;

/// The queue of captured events and what is known of their way.
#[derive(Debug)]
pub struct Outbox {
    queue: Vec<Queued>,
    queue_bytes: usize,
    /// Events ever taken, and events ever answered for. Their difference is the length of the queue.
    taken: u64,
    answered: u64,
    flush_up_to: u64,
    /// At most one request waits for its answer; it holds the first events of the queue.
    flight: Option<Flight>,
    leaving: Option<Leaving>,
    retry: Retry,
    batch_events_max: usize,
    last_number: u32,
    drops: Drops,
    drops_reported: Drops,
}

#[derive(Debug)]
struct Queued {
    event: Event,
    at: Millis,
    /// The beacon that took it while the page is leaving; 0 for none.
    beacon: u32,
}

#[derive(Debug)]
struct Flight {
    number: u32,
    how: How,
    events: usize,
    bytes: usize,
    until: Millis,
    drops: Drops,
}

#[derive(Debug)]
struct Leaving {
    until: Millis,
    beacon_bytes: usize,
    beacon_refused: bool,
}

impl Outbox {
    /// An empty outbox. `seed` spreads the retries of different pages.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            queue: Vec::new(),
            queue_bytes: 0,
            taken: 0,
            answered: 0,
            flush_up_to: 0,
            flight: None,
            leaving: None,
            retry: Retry::new(seed),
            batch_events_max: BATCH_EVENTS_MAX,
            last_number: 0,
            drops: Drops::default(),
            drops_reported: Drops::default(),
        }
    }

    /// Takes an event captured at `now`, or counts it as dropped and says why.
    ///
    /// The newest event is the one that is dropped: what was taken once is never thrown away to make room.
    ///
    /// # Errors
    /// When the event or the queue would be larger than its limit.
    pub fn capture(&mut self, now: Millis, event: Event) -> Result<(), DropReason> {
        let bytes = event.json.len();
        let reason = if bytes > EVENT_BYTES_MAX {
            DropReason::EventTooLarge
        } else if self.queue.len() >= QUEUE_EVENTS_MAX || self.queue_bytes + bytes > QUEUE_BYTES_MAX {
            DropReason::QueueFull
        } else {
            self.queue_bytes += bytes;
            self.taken += 1;
            self.queue.push(Queued { event, at: now, beacon: 0 });
            return Ok(());
        };
        self.drops.add(reason, 1);
        Err(reason)
    }

    /// Counts events that were dropped before they could be captured.
    pub fn count_drops(&mut self, reason: DropReason, count: u32) {
        self.drops.add(reason, count);
    }

    /// Takes note of `input`, which happened at `now`.
    pub fn handle(&mut self, now: Millis, input: Input) {
        match input {
            Input::Hidden => {
                let until = now.plus(LEAVING_MS);
                match &mut self.leaving {
                    Some(leaving) => leaving.until = until,
                    None => self.leaving = Some(Leaving { until, beacon_bytes: 0, beacon_refused: false }),
                }
            }
            Input::Shown => self.stays(),
            Input::Online => self.retry.network_back(now),
            Input::Flush => self.flush_up_to = self.taken,
            Input::BeaconRefused(number) => self.beacon_refused(number),
            Input::Answered(number, answer) => self.answered(now, number, answer),
        }
    }

    /// Says what to do at `now`. Call it after every input and at the time it named, until it stops returning
    /// [`Output::Send`].
    pub fn poll(&mut self, now: Millis) -> Output {
        if let Some(flight) = self.flight.as_ref().filter(|flight| flight.until <= now) {
            self.answered(now, flight.number, Answer::Failed { retry_after_ms: None });
        }
        if self.leaving.as_ref().is_some_and(|leaving| leaving.until <= now) {
            self.stays();
        }
        if !self.retry.silenced(now)
            && let Some(batch) = self.beacon()
        {
            return Output::Send(batch);
        }
        match self.due() {
            Some(due) if due > now => Output::Wait(due),
            Some(_) => Output::Send(self.fetch(now)),
            None => Output::Idle,
        }
    }

    /// What became of the first `mark` events, [`Outbox::taken`] at the time of the flush.
    #[must_use]
    pub fn flushed(&self, mark: u64) -> Flushed {
        if self.answered >= mark {
            Flushed::All
        } else if self.flight.is_none() && self.retry.until().is_some() {
            Flushed::Later
        } else {
            Flushed::Pending
        }
    }

    /// Events ever taken.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Events that the collector has not answered for.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Events dropped so far.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    /// When something has to be done next, apart from beacons.
    fn due(&self) -> Option<Millis> {
        if let Some(flight) = &self.flight {
            return Some(flight.until);
        }
        let first = self.queue.first()?;
        let next = match self.retry.until() {
            Some(until) => until,
            None if self.waits_for_nothing() => first.at,
            None => first.at.plus(LINGER_MS),
        };
        match &self.leaving {
            // Beacons took what they could; the rest waits until it is known whether the page survives.
            Some(leaving) if !leaving.beacon_refused => Some(next.max(leaving.until)),
            _ => Some(next),
        }
    }

    /// Whether the first events of the queue should go without waiting for more.
    fn waits_for_nothing(&self) -> bool {
        self.queue.len() >= BATCH_EVENTS_READY
            || self.queue_bytes >= KEEPALIVE_BATCH_BYTES_MAX - ENVELOPE_BYTES_MAX
            || self.answered < self.flush_up_to
            || self.leaving.as_ref().is_some_and(|leaving| leaving.beacon_refused)
    }

    /// Puts the first events of the queue in flight.
    fn fetch(&mut self, now: Millis) -> Batch {
        let leaving = self.leaving.as_ref();
        let room = leaving.map_or(KEEPALIVE_BATCH_BYTES_MAX, |it| KEEPALIVE_BYTES_MAX.saturating_sub(it.beacon_bytes));
        let backlog = leaving.is_none() && self.queue_bytes + self.queue.len() + ENVELOPE_BYTES_MAX > room;
        let bytes_max = if backlog { BACKLOG_BATCH_BYTES_MAX } else { room };
        let mut bytes = ENVELOPE_BYTES_MAX;
        let mut events = Vec::new();
        for queued in self.queue.iter().take(self.batch_events_max) {
            let event_bytes = queued.event.json.len() + 1;
            if bytes + event_bytes > bytes_max && !events.is_empty() {
                break;
            }
            bytes += event_bytes;
            events.push(queued.event.clone());
        }
        let how = if bytes > room { How::Fetch } else { How::Keepalive };
        let number = self.next_number();
        let drops = self.drops.since(&self.drops_reported);
        let until = now.plus(ANSWER_MS_MAX);
        self.flight = Some(Flight { number, how, events: events.len(), bytes, until, drops: self.drops });
        Batch { number, how, events, drops }
    }

    /// While the page is leaving: what is not yet on a way that outlives the page, as far as the browser takes it.
    fn beacon(&mut self) -> Option<Batch> {
        let number = self.last_number.wrapping_add(1);
        let leaving = self.leaving.as_mut().filter(|leaving| !leaving.beacon_refused)?;
        let (safe, flying_bytes) = match &self.flight {
            Some(flight) if flight.how == How::Keepalive => (flight.events, flight.bytes),
            _ => (0, 0),
        };
        let room = KEEPALIVE_BYTES_MAX.saturating_sub(flying_bytes + leaving.beacon_bytes);
        let mut bytes = ENVELOPE_BYTES_MAX;
        let mut events = Vec::new();
        for queued in self.queue.iter_mut().skip(safe).filter(|queued| queued.beacon == 0) {
            let event_bytes = queued.event.json.len() + 1;
            // One that does not fit is passed over: what fits shall not be lost with it.
            if bytes + event_bytes <= room {
                bytes += event_bytes;
                queued.beacon = number;
                events.push(queued.event.clone());
            }
        }
        if events.is_empty() {
            return None;
        }
        leaving.beacon_bytes += bytes;
        let number = self.next_number();
        Some(Batch { number, how: How::Beacon, events, drops: Drops::default() })
    }

    fn beacon_refused(&mut self, number: u32) {
        for queued in self.queue.iter_mut().filter(|queued| queued.beacon == number) {
            queued.beacon = 0;
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.beacon_refused = true;
        }
    }

    /// The page was not left: what only beacons took goes again.
    fn stays(&mut self) {
        self.leaving = None;
        for queued in &mut self.queue {
            queued.beacon = 0;
        }
    }

    fn answered(&mut self, now: Millis, number: u32, answer: Answer) {
        let Some(flight) = self.flight.take_if(|flight| flight.number == number) else { return };
        match answer {
            Answer::Stored { refused } => {
                self.drops_reported = flight.drops;
                self.retry.succeeded();
                self.batch_events_max = (self.batch_events_max * 2).min(BATCH_EVENTS_MAX);
                self.forget(flight.events, refused.min(u32::try_from(flight.events).unwrap_or(u32::MAX)));
            }
            // Halving finds the one event that is at fault, or a size that a proxy on the way lets through.
            Answer::Rejected if flight.events > 1 => {
                self.batch_events_max = flight.events / 2;
                self.retry.failed(now, None);
            }
            Answer::Rejected => {
                self.forget(1, 1);
                self.retry.failed(now, None);
            }
            Answer::Failed { retry_after_ms } => self.retry.failed(now, retry_after_ms),
        }
    }

    /// Lets go of the first `count` events, of which the collector refused `refused`.
    fn forget(&mut self, count: usize, refused: u32) {
        for queued in self.queue.drain(..count.min(self.queue.len())) {
            self.queue_bytes -= queued.event.json.len();
            self.answered += 1;
        }
        self.drops.add(DropReason::Refused, refused);
    }

    fn next_number(&mut self) -> u32 {
        // 0 means "none" in `Queued::beacon`.
        self.last_number = self.last_number.wrapping_add(1).max(1);
        self.last_number
    }
}
