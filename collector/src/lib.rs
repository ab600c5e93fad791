//! Decides what becomes of a request that brings events: which reply it gets and which record goes to the log.
//!
//! It is kept apart so that the server, the worker at the edge and the tests run the same rules. It does no I/O,
//! reads no clock and draws no random numbers; times and random bytes are arguments. It must not know what a log, a
//! queue or a key store is.
//!
//! How a shell uses it, in this order:
//!
//! 1. [`route`] looks at method, target and a few headers. [`Routed::Reply`] is final.
//! 2. For [`Routed::Ask`] the shell looks up what project and key are ([`protocol::access::Access`]). It looks the
//!    project up even when there is no key, so that an unknown project answers 404 and not 401.
//! 3. [`Asked::admit`] says whether to read the body at all. The shell reads up to [`Asked::body_bytes_max`]; beyond
//!    it the answer is [`Asked::too_large`].
//! 4. [`Asked::decide`] gives a [`Decision`]. When it holds a record, the shell makes it durable before it sends the
//!    reply, and answers [`Reply::unavailable`] when it can't.
//!
//! ```
//! use collector::{Caller, Head, Headers, Moment, Routed, route};
//! use protocol::access::Access;
//! use protocol::limits::Limits;
//! use protocol::{Key, KeyKind, KeyRecord, Timestamp};
//!
//! let key = Key::from_random(KeyKind::Write, [7; 28]);
//! let limits = Limits::default();
//! let headers = Headers { authorization: Some(key.reveal()), ..Headers::default() };
//! let head = Head { method: "POST", target: "/3.0/projects/p/events/signups", headers };
//! let Routed::Ask(asked) = route(&head, &limits) else { return Ok(()) };
//!
//! let access = Access::known(KeyRecord::new("p".parse()?, KeyKind::Write));
//! let moment = Moment { now: Timestamp::from_millis(1_577_836_800_000), random: [0; 10] };
//! let decision = asked.decide(&access, br#"{"plan":"pro"}"#, &moment, &Caller { headers, ..Caller::default() }, &limits);
//! assert_eq!((decision.reply.status, decision.counts.events_accepted), (201, 1));
//! assert!(decision.record.is_some());
//! # Ok::<(), protocol::id::IdError>(())
//! ```

mod route;
mod target;

mod body;
mod decide;
mod forms;
mod scan;
mod segment;
mod steps;

mod addons;
mod agent;
mod caller;
mod origin;
mod patch;

mod pixel;
mod reply;

mod partial;

pub mod append;
pub mod bots;
pub mod rate;
pub mod scrub;
pub mod split;

pub use caller::Caller;
pub use decide::{Counts, Decision, Moment};
pub use reply::Reply;
pub use route::{
    Asked, Head, Headers, PresentedKey, Routed, SCOPED_KEY_CHARS_MAX, SCOPED_KEY_CHARS_MIN, ScopedKey, presented_key,
    route, scripted,
};
pub use steps::{STEP_NAMES, check_autofill};
pub use target::decode_segment;

#[cfg(test)]
mod tests;
