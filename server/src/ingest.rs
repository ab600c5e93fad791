//! An event's way in: request, look-up, decision, log, reply.
//!
//! What is accepted is decided by crate `collector`; this file only fetches what the decision needs and keeps the one
//! promise that a pure core can't: the reply leaves after the log has synced the record. If the caller hangs up
//! meanwhile the record stays, and the caller's repeat is recognised by its event ids.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use collector::{Asked, Caller, Decision, Head, Headers, Moment, Reply, Routed};
use protocol::{ErrorCode, ProjectId, Refusal};
use queue::{AppendError, Log};

use crate::body::{BodyError, discard, read_body};
use crate::door::send_away;
use crate::http::{RETRY_AFTER_S, Server, fault, now, refuse, respond};
use crate::ledger::Entry;
use crate::metadata;
use crate::telemetry::{ByCode, ByReason, ByStatus, ByStep};

/// Answers every request under `/3.0` that is not a query.
pub async fn ingest(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let value = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let head = Head { method: parts.method.as_str(), target, headers: Headers::read(value) };

    let mut asked = match collector::route(&head, &server.config.limits) {
        Routed::Reply(reply) => return respond_unread(reply, &parts, body).await,
        Routed::Ask(asked) => asked,
    };
    let Some(log) = &server.log else {
        return refuse(&Refusal::new(ErrorCode::ResourceNotFound, "this process does not collect"));
    };
    // Of a body without a key before it not much is read, and nothing of it unpacked.
    let body = if asked.awaits_key() {
        match read_body(body, asked.body_bytes_max, &server).await {
            Ok(read) => {
                asked.find_key(&read.bytes);
                Body::from(read.bytes)
            }
            Err(BodyError::TooLarge) => return respond(asked.too_large()),
            Err(error) => return refuse(&error.refusal(asked.body_bytes_max)),
        }
    } else {
        body
    };
    if let Err(reply) = server.door.knock(&asked, &server.telemetry) {
        return send_away(reply, &parts, body).await;
    }
    let access = match server.metadata.access(asked.project.as_ref(), &asked.key) {
        Ok(access) => access,
        Err(error) => return fault("the look-up of the key", error),
    };
    // A caller without a right to write has no right to make us read a body either.
    if let Err(reply) = asked.admit(&access) {
        server.telemetry.denied.get_or_create(&ByStatus(reply.status)).inc();
        return respond_unread(reply, &parts, body).await;
    }
    let address = server.callers.address(&parts);
    let mut pass = match server.door.admit(&asked, &access, &parts, address, &server.telemetry) {
        Ok(pass) => pass,
        Err(reply) => return send_away(reply, &parts, body).await,
    };
    let body = match pass.read(body, asked.body_bytes_max, &server).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => return respond(asked.too_large()),
        Err(error) => return refuse(&error.refusal(asked.body_bytes_max)),
    };
    // Again, because a body may take its time and a revoked key must stop at once.
    let access = match server.metadata.access(asked.project.as_ref(), &asked.key) {
        Ok(access) => access,
        Err(error) => return fault("the look-up of the key", error),
    };
    let random = match metadata::random() {
        Ok(random) => random,
        Err(error) => return fault("the source of random bytes", error),
    };

    let moment = Moment { now: now(), random };
    let locate = |address| server.callers.places.locate(address);
    let salt = server.metadata.salt(moment.now);
    let caller = Caller { headers: head.headers, address, locate: Some(&locate), salt: salt.as_ref() };
    let decision = asked.decide(&access, &body.bytes, &moment, &caller, &server.config.limits);
    pass.settle(&decision, body.bytes.len());
    count(&server, &decision);
    keep(&server, log, &asked, decision).await
}

/// Counts what was refused, and what senders say they dropped.
fn count(server: &Server, decision: &Decision) {
    let whole = decision.counts.request_refused.map(|code| (code, 1));
    for (code, events) in decision.counts.refused.iter().copied().chain(whole) {
        server.telemetry.refused.get_or_create(&ByCode(code)).inc_by(events);
    }
    for (step, events) in &decision.counts.refused_by_step {
        server.telemetry.stopped.get_or_create(&ByStep(step)).inc_by(*events);
    }
    for (reason, events) in &decision.counts.dropped_by_sender {
        server.telemetry.dropped.get_or_create(&ByReason(*reason)).inc_by(*events);
    }
}

/// Makes what was accepted durable, and only then answers.
async fn keep(server: &Server, log: &Log, asked: &Asked, decision: Decision) -> Response {
    if let Some(record) = decision.record {
        let entry = match decision.project.clone() {
            Some(project) => Entry::known(record, project, decision.counts.events_accepted),
            None => Entry::read(record),
        };
        if let Err(error) = server.ledger.append(log, vec![entry]).await {
            tracing::warn!(project = decision.project.as_ref().map(ProjectId::as_str), %error, "events not made durable");
            server.telemetry.unavailable.inc_by(decision.counts.events_accepted);
            return match error {
                // Only with limits that an operator has set apart: sending it again would not help.
                AppendError::TooLarge { .. } => respond(asked.too_large()),
                _ => respond(Reply::unavailable(RETRY_AFTER_S)),
            };
        }
        server.telemetry.accepted.inc_by(decision.counts.events_accepted);
    }
    respond(decision.reply)
}

/// Replies to a request whose body nobody wants. A caller that waits for `100 Continue` has not sent it and is spared.
async fn respond_unread(reply: Reply, parts: &Parts, body: Body) -> Response {
    if !parts.headers.contains_key(header::EXPECT) {
        discard(body).await;
    }
    respond(reply)
}
