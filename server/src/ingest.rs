//! An event's way in: request, look-up, decision, log, reply.
//!
//! What is accepted is decided by crate `collector`; this file only fetches what the decision needs and keeps the one
//! promise that a pure core can't: the reply leaves after the log has synced the record. If the caller hangs up
//! meanwhile the record stays, and the caller's repeat is recognised by its event ids.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use collector::{Asked, Caller, Head, Headers, Moment, Reply, Routed};
use protocol::{ErrorCode, ProjectId, Refusal};
use queue::AppendError;

use crate::body::{BodyError, discard, is_unsent, read_body};
use crate::door::send_away;
use crate::http::{RETRY_AFTER_S, Server, fault, now, refuse, respond};
use crate::ledger::Entry;
use crate::metadata;
use crate::telemetry::ByStatus;

/// Answers every request under `/3.0` and `/v1` that brings events, and those that lead nowhere.
pub async fn ingest(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    accept(&server, &parts, body).await.unwrap_or_else(|refused| refused)
}

/// The walk of one request. Whoever is turned away leaves by an error.
async fn accept(server: &Server, parts: &Parts, body: Body) -> Result<Response, Response> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let value = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let head = Head { method: parts.method.as_str(), target, headers: Headers::read(value) };

    let mut asked = match collector::route(&head, &server.config.limits) {
        Routed::Reply(reply) => return Err(respond_unread(reply, parts, body).await),
        Routed::Ask(asked) => asked,
    };
    let Some(log) = &server.log else {
        return Err(refuse(&Refusal::new(ErrorCode::ResourceNotFound, "this process does not collect")));
    };
    let look_up = |asked: &Asked| server.metadata.access(asked.project.as_ref(), &asked.key);
    let body = find_key(server, &mut asked, body).await?;
    if let Err(reply) = server.door.knock(&asked, &server.telemetry) {
        return Err(send_away(reply, parts, body).await);
    }
    let access = look_up(&asked).map_err(|error| fault("the look-up of the key", error))?;
    // A caller without a right to write has no right to make us read a body either.
    if let Err(reply) = asked.admit(&access) {
        server.telemetry.denied.get_or_create(&ByStatus(reply.status)).inc();
        return Err(respond_unread(reply, parts, body).await);
    }
    let address = server.callers.address(parts);
    let mut pass = match server.door.admit(&asked, &access, parts, address, &server.telemetry) {
        Ok(pass) => pass,
        Err(reply) => return Err(send_away(reply, parts, body).await),
    };
    let mut body = pass.read(body, asked.body_bytes_max, server).await.map_err(|error| unread(&asked, error))?;
    let room = body.reserve_unpacked(server, parts, asked.body_bytes_max);
    room.map_err(|error| unread(&asked, error))?;
    // Again, because a body may take its time and a revoked key must stop at once.
    let access = look_up(&asked).map_err(|error| fault("the look-up of the key", error))?;
    let random = metadata::random().map_err(|error| fault("the source of random bytes", error))?;

    let moment = Moment { now: now(), random };
    let locate = |address| server.callers.places.locate(address);
    let salt = server.metadata.salt(moment.now);
    let caller = Caller { headers: head.headers, address, locate: Some(&locate), salt: salt.as_ref() };
    let decision = asked.decide(&access, &body.bytes, &moment, &caller, &server.config.limits);
    pass.settle(&decision, body.bytes.len());
    server.telemetry.count_refused(&decision.counts);
    let Some(record) = decision.record else { return Ok(respond(decision.reply)) };
    // The record waits for the disk, which is longer than it took to make.
    body.reserve(server, record.len()).map_err(|error| unread(&asked, error))?;

    let events = decision.counts.events_accepted;
    let entry = match decision.project.clone() {
        Some(project) => Entry::known(record, project, events),
        None => Entry::read(record),
    };
    if let Err(error) = server.ledger.append(log, vec![entry]).await {
        tracing::warn!(project = decision.project.as_ref().map(ProjectId::as_str), %error, "events not made durable");
        server.telemetry.unavailable.inc_by(events);
        return Err(match error {
            // Only with limits that an operator has set apart: sending it again would not help.
            AppendError::TooLarge { .. } => respond(asked.too_large()),
            _ => respond(Reply::unavailable(RETRY_AFTER_S)),
        });
    }
    server.telemetry.accepted.inc_by(events);
    Ok(respond(decision.reply))
}

/// The body as it was, after a look for the key where it may stand there: not much is read then, and nothing unpacked.
async fn find_key(server: &Server, asked: &mut Asked, body: Body) -> Result<Body, Response> {
    if !asked.awaits_key() {
        return Ok(body);
    }
    let read = read_body(body, asked.body_bytes_max, server).await.map_err(|error| unread(asked, error))?;
    asked.find_key(&read.bytes);
    Ok(Body::from(read.bytes))
}

/// The answer to a body that was not read.
fn unread(asked: &Asked, error: BodyError) -> Response {
    match error {
        BodyError::TooLarge => respond(asked.too_large()),
        error => refuse(&error.refusal(asked.body_bytes_max)),
    }
}

/// Replies to a request whose body nobody wants. A caller that waits for `100 Continue` has not sent it and is spared.
async fn respond_unread(reply: Reply, parts: &Parts, body: Body) -> Response {
    if !is_unsent(parts) {
        discard(body).await;
    }
    respond(reply)
}
