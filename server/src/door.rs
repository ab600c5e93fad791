//! What a write passes between its key and its body: the budgets of key and address, and the gate of what is under way.
//!
//! Apart from `ingest.rs` so that an event's way stays readable, and from `limits.rs` and `gate.rs`, which know nothing of
//! HTTP. Nothing here looks into a body.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use collector::{Asked, Decision, Reply};
use protocol::access::{Access, Grant};
use protocol::{ErrorCode, ProjectId};

use crate::body::{BodyError, Received, discard_little, is_unsent, read_body};
use crate::config::Config;
use crate::gate::{Gate, Place};
use crate::http::{Server, respond};
use crate::limits::{Budgets, Spender, Ticket};
use crate::telemetry::{ByCode, ByLimit, Telemetry};
use crate::trace::Refusals;

/// The limits of writes.
pub struct Door {
    budgets: Budgets,
    gate: Arc<Gate>,
    retry_after_s: u32,
    grace: Duration,
    refusals: Refusals,
}

/// A write that was let in, until it is answered.
pub struct Pass<'a> {
    door: &'a Door,
    place: Place,
    ticket: Ticket,
}

impl Door {
    /// The limits of `config`, nothing spent and nobody inside.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            budgets: Budgets::new(config.rates.clone()),
            gate: Gate::new(config.gate.writes_max),
            retry_after_s: config.gate.retry_after_s.max(1),
            grace: Duration::from_millis(config.gate.body_grace_ms),
            refusals: Refusals::default(),
        }
    }

    /// Sends a write away that would find no place, before anything is looked up for it: under overload this is what most
    /// requests cost.
    ///
    /// # Errors
    /// With the reply.
    pub fn knock(&self, asked: &Asked, telemetry: &Telemetry) -> Result<(), Reply> {
        match &asked.project {
            Some(project) if self.gate.is_shut(project) => Err(self.full(asked, telemetry)),
            _ => Ok(()),
        }
    }

    /// Lets a write in whose key is good, and charges one event and the declared bytes to its key and address.
    ///
    /// # Errors
    /// With the reply, when a budget is spent or there is no place.
    pub fn admit(
        &self,
        asked: &Asked,
        access: &Access,
        parts: &Parts,
        address: Option<IpAddr>,
        telemetry: &Telemetry,
    ) -> Result<Pass<'_>, Reply> {
        let Access::Known(Grant { key, settings }) = access else { return Err(self.full(asked, telemetry)) };
        let Some(place) = self.gate.enter(&key.project, settings.rates.weight) else {
            return Err(self.full(asked, telemetry));
        };
        match self.budgets.open(&settings.rates, &asked.key, address, declared_bytes(parts)) {
            Ok(ticket) => Ok(Pass { door: self, place, ticket }),
            Err((spender, wait)) => {
                let by = if spender == Spender::Key { ByLimit::Key } else { ByLimit::Address };
                Err(slow_down(asked, wait.seconds, by, telemetry))
            }
        }
    }

    /// Whether anybody at all would be sent away now; cheap enough to be asked for every request.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.gate.is_tight()
    }

    /// Whether a write to this project would be sent away now.
    #[must_use]
    pub fn is_shut(&self, project: &ProjectId) -> bool {
        self.gate.is_shut(project)
    }

    /// Seconds after which one who finds no place may come again.
    #[must_use]
    pub const fn retry_after_s(&self) -> u32 {
        self.retry_after_s
    }

    /// Counts a write that was sent away for want of a place.
    pub fn count_full(&self, status: u16, telemetry: &Telemetry) {
        count(status, ByLimit::Share, telemetry);
    }

    fn full(&self, asked: &Asked, telemetry: &Telemetry) -> Reply {
        slow_down(asked, self.retry_after_s, ByLimit::Share, telemetry)
    }
}

impl Pass<'_> {
    /// Reads the body. A sender who takes long gives his place back until the body is there.
    ///
    /// # Errors
    /// As [`read_body`].
    pub async fn read(&mut self, body: Body, bytes_max: usize, server: &Server) -> Result<Received, BodyError> {
        let mut reading = std::pin::pin!(read_body(body, bytes_max, server));
        if let Ok(read) = tokio::time::timeout(self.door.grace, &mut reading).await {
            return read;
        }
        self.place.pause();
        let read = reading.await;
        self.place.resume();
        read
    }

    /// Charges what the request turned out to hold, and warns of what of it was refused.
    pub fn settle(&self, decision: &Decision, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.door.budgets.settle(&self.ticket, decision.counts.events(), bytes);
        self.door.refusals.log(decision.project.as_ref(), &decision.counts);
    }
}

/// Answers one who is sent away, without reading much of what he brought.
pub async fn send_away(reply: Reply, parts: &Parts, body: Body) -> Response {
    if !is_unsent(parts) {
        discard_little(body).await;
    }
    respond(reply)
}

fn slow_down(asked: &Asked, seconds: u32, by: ByLimit, telemetry: &Telemetry) -> Reply {
    let reply = asked.slow_down(seconds);
    count(reply.status, by, telemetry);
    reply
}

fn count(status: u16, by: ByLimit, telemetry: &Telemetry) {
    telemetry.limited.get_or_create(&by).inc();
    let code = if status == 429 { ErrorCode::TooManyRequests } else { ErrorCode::Unavailable };
    telemetry.refused.get_or_create(&ByCode(code)).inc();
}

fn declared_bytes(parts: &Parts) -> u64 {
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.trim().parse().ok()).unwrap_or_default()
}
