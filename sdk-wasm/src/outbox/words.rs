//! The words that the outbox is spoken to in: what happened, what to do next, and the events themselves.
//!
//! Separate so that `outbox.rs` holds decisions only. Knows nothing of when anything is sent.

use std::rc::Rc;

/// Milliseconds on a clock that only runs forward, from any beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// The time `ms` later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// A captured event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What the server counts it once by; also part of `json`.
    pub id: [u8; 16],
    /// Its wire form: one JSON object.
    pub json: Rc<str>,
}

/// Why an event was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// [`QUEUE_EVENTS_MAX`](super::QUEUE_EVENTS_MAX) or [`QUEUE_BYTES_MAX`](super::QUEUE_BYTES_MAX) was reached.
    QueueFull,
    /// It is larger than [`EVENT_BYTES_MAX`](super::EVENT_BYTES_MAX).
    EventTooLarge,
    /// Its properties are no JSON object.
    NotJson,
    /// The collector refused it for good.
    Refused,
}

/// Counts of dropped events by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// See [`DropReason::QueueFull`].
    pub queue_full: u32,
    /// See [`DropReason::EventTooLarge`].
    pub event_too_large: u32,
    /// See [`DropReason::NotJson`].
    pub not_json: u32,
    /// See [`DropReason::Refused`].
    pub refused: u32,
}

impl Drops {
    /// What the collector can't know by itself: all but what it refused.
    #[must_use]
    pub const fn reportable(&self) -> u32 {
        self.queue_full.saturating_add(self.event_too_large).saturating_add(self.not_json)
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.reportable().saturating_add(self.refused)
    }

    pub(super) fn add(&mut self, reason: DropReason, count: u32) {
        let place = match reason {
            DropReason::QueueFull => &mut self.queue_full,
            DropReason::EventTooLarge => &mut self.event_too_large,
            DropReason::NotJson => &mut self.not_json,
            DropReason::Refused => &mut self.refused,
        };
        *place = place.saturating_add(count);
    }

    pub(super) const fn since(&self, earlier: &Self) -> Self {
        Self {
            queue_full: self.queue_full.saturating_sub(earlier.queue_full),
            event_too_large: self.event_too_large.saturating_sub(earlier.event_too_large),
            not_json: self.not_json.saturating_sub(earlier.not_json),
            refused: self.refused.saturating_sub(earlier.refused),
        }
    }
}

/// What happened, beside a capture. That a timer fired needs no word: [`poll`](super::Outbox::poll) is given the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The page was hidden or is being left.
    Hidden,
    /// The page is seen again, so it was not left.
    Shown,
    /// The browser says that the network is back.
    Online,
    /// The page asks to send now.
    Flush,
    /// The browser did not take the beacon with this number.
    BeaconRefused(u32),
    /// The request with this number has its answer.
    Answered(u32, Answer),
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The collector answered for every event; this many it refused for good.
    Stored {
        /// Events that are not stored and never will be.
        refused: u32,
    },
    /// The body was not accepted and never will be as it is.
    Rejected,
    /// No answer, or one that says "later".
    Failed {
        /// What `Retry-After` asked for.
        retry_after_ms: Option<u64>,
    },
}

/// How a batch leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By a request that ends with the page.
    Fetch,
    /// By a request that outlives the page.
    Keepalive,
    /// By `sendBeacon`: outlives the page, has no answer.
    Beacon,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Batch),
    /// Nothing until this time, or the next input.
    Wait(Millis),
    /// Nothing until the next input.
    Idle,
}

/// Events that leave in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What its answer is told by.
    pub number: u32,
    /// How it leaves.
    pub how: How,
    /// In order of capture; never empty.
    pub events: Vec<Event>,
    /// Drops that no stored batch has reported yet. A lost answer makes the next batch report them again.
    pub drops: Drops,
}

/// What became of the events captured up to a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// The collector answered for all of them.
    All,
    /// A request is on its way or about to be.
    Pending,
    /// Sending failed; they are kept and go later.
    Later,
}
