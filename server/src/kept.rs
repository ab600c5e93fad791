//! Quarantine over HTTP: a project's owner sees what could not be stored and has it put into the log again; the edge
//! hands over what it could not deliver.
//!
//! Apart from `quarantine.rs`, which knows how it is kept. Foreign and missing numbers answer the same.

use std::sync::Arc;

use anyhow::Context;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use collector::{Reply, append as signed};
use protocol::{ErrorCode, Offset, ProjectId, Refusal};
use serde_json::{Value, json};

use crate::body::{discard, read_body};
use crate::http::{RETRY_AFTER_S, Server, fault, now, refuse, respond};
use crate::ledger::Entry;
use crate::quarantine::{Kept, Page, Quarantine, marked};
use crate::{guard, query};

/// Entries of a page unless asked otherwise.
const PAGE: usize = 100;
/// Entries of a page at most.
const PAGE_MAX: usize = 1_000;
/// Entries put into the log again by one request at most.
const REPLAY_MAX: usize = 10_000;
/// Characters of a reason that the edge gives.
const REASON_CHARS_MAX: usize = 500;

/// `GET /3.0/projects/{project}/quarantine?from=&limit=`: what is there, without bytes.
pub async fn list(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let (project, quarantine) = match owned(&server, &parts) {
        Ok(owned) => owned,
        Err(refusal) => return refuse(&refusal),
    };
    let pairs = query::pairs(parts.uri.query());
    let number = |name: &str, default: u64| match pairs.iter().find(|(known, _)| known == name) {
        Some((_, text)) => text
            .parse::<u64>()
            .map_err(|_| Refusal::new(ErrorCode::InvalidParameter, format!("'{name}' must be a whole number"))),
        None => Ok(default),
    };
    let (from, limit) = match number("from", 0).and_then(|from| Ok((from, number("limit", PAGE as u64)?))) {
        Ok(asked) => asked,
        Err(refusal) => return refuse(&refusal),
    };
    let limit = usize::try_from(limit).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    match blocking(move || quarantine.list(Some(&project), Offset(from), limit)).await {
        Ok(page) => answer(200, &listed(&page)),
        Err(error) => fault("the quarantine", error),
    }
}

/// A page as JSON.
#[must_use]
pub fn listed(page: &Page) -> Value {
    json!({ "quarantine": page.kept.iter().map(shown).collect::<Vec<_>>(), "next": page.next })
}

/// What is known of one, without its bytes.
fn shown(kept: &Kept) -> Value {
    json!({
        "number": kept.number, "reason": kept.head.reason, "offset": kept.head.offset, "event": kept.head.event,
        "events": kept.head.events, "bytes": kept.bytes.len(), "replayed": kept.is_replayed,
    })
}

/// `GET /3.0/projects/{project}/quarantine/{number}`: one with its bytes.
pub async fn show(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match one(&server, &parts).await {
        Ok((_, kept)) => answer(200, &whole(&kept)),
        Err(Ended::Refused(refusal)) => refuse(&refusal),
        Err(Ended::Failed(error)) => fault("the quarantine", error),
    }
}

/// One with its bytes, as text where they are.
#[must_use]
pub fn whole(kept: &Kept) -> Value {
    let mut shown = shown(kept);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("record".to_owned(), Value::from(String::from_utf8_lossy(&kept.bytes)));
    }
    shown
}

/// `POST /3.0/projects/{project}/quarantine/{number}/replay`: puts one into the log again.
pub async fn replay(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    discard(body).await;
    let replayed = match one(&server, &parts).await {
        Ok((_, kept)) if kept.again().is_none() => {
            let message = "there is no record in it that could be read, so nothing can be replayed";
            Err(Ended::Refused(Refusal::new(ErrorCode::InvalidParameter, message)))
        }
        Ok((quarantine, kept)) => put_back(&server, &quarantine, vec![kept]).await,
        Err(ended) => Err(ended),
    };
    match replayed {
        Ok(events) => answer(200, &json!({ "replayed": events })),
        Err(Ended::Refused(refusal)) => refuse(&refusal),
        Err(Ended::Failed(error)) => fault("the replay", error),
    }
}

/// `POST /3.0/projects/{project}/quarantine/replay`: puts everything that wasn't yet into the log again. `next` says that
/// there is more, from which number on; send `?from=` to go on.
pub async fn replay_all(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    discard(body).await;
    let (project, quarantine) = match owned(&server, &parts) {
        Ok(owned) => owned,
        Err(refusal) => return refuse(&refusal),
    };
    let pairs = query::pairs(parts.uri.query());
    let from = pairs.iter().find(|(name, _)| name == "from").and_then(|(_, text)| text.parse().ok()).unwrap_or(0);
    let (mut events, mut next, mut seen) = (0, Some(Offset(from)), 0);
    while let Some(from) = next.filter(|_| seen < REPLAY_MAX) {
        let (reader, project) = (Arc::clone(&quarantine), project.clone());
        let page = match blocking(move || reader.list(Some(&project), from, PAGE)).await {
            Ok(page) => page,
            Err(error) => return fault("the quarantine", error),
        };
        seen += PAGE;
        next = page.next;
        match put_back(&server, &quarantine, page.kept).await {
            Ok(more) => events += more,
            Err(Ended::Refused(refusal)) => return refuse(&refusal),
            Err(Ended::Failed(error)) => return fault("the replay", error),
        }
    }
    answer(200, &json!({ "replayed": events, "next": next }))
}

/// `POST /3.0/internal/quarantine`: records that the edge could not deliver, one a line, signed. They go through the log,
/// so that they are counted as acknowledged, and end in quarantine.
pub async fn dead_letters(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(log) = server.log.clone() else {
        discard(body).await;
        return refuse(&Refusal::new(ErrorCode::ResourceNotFound, "this process does not collect"));
    };
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let (time, signature) = (header(signed::TIMESTAMP_HEADER), header(signed::SIGNATURE_HEADER));
    if server.append_secrets.is_empty() || signed::plausible(time, signature, now()).is_err() {
        discard(body).await;
        return respond(signed::refused());
    }
    let body = match read_body(body, signed::BODY_BYTES_MAX, &server).await {
        Ok(body) => body.bytes,
        Err(error) => return refuse(&error.refusal(signed::BODY_BYTES_MAX)),
    };
    let purpose = signed::Purpose::Quarantine;
    if let Err(error) = signed::verify_for(purpose, &server.append_secrets, time, signature, &body, now()) {
        tracing::warn!(%error, "dead letters refused");
        return respond(signed::refused());
    }
    let reason: String = header(signed::REASON_HEADER)
        .unwrap_or("the edge could not deliver it")
        .chars()
        .take(REASON_CHARS_MAX)
        .collect();
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entries: Vec<Entry> = lines.map(|line| Entry::read(marked(line, &reason))).collect();
    if entries.is_empty() {
        return refuse(&Refusal::new(ErrorCode::InvalidBatch, "the body holds no record"));
    }
    let records = entries.len();
    match server.ledger.append(&log, entries).await {
        Ok(_) => answer(200, &json!({ "quarantined": records })),
        Err(error) => {
            tracing::warn!(%error, "dead letters not made durable");
            respond(Reply::unavailable(RETRY_AFTER_S))
        }
    }
}

/// Why there is no answer.
enum Ended {
    Refused(Refusal),
    Failed(anyhow::Error),
}

/// Appends records of quarantine to the log, durable, and then notes that they were. Gives the number of events.
async fn put_back(server: &Server, quarantine: &Arc<Quarantine>, kept: Vec<Kept>) -> Result<u64, Ended> {
    let closed = || Ended::Refused(Refusal::new(ErrorCode::ResourceNotFound, "this process does not collect"));
    let log = server.log.as_ref().ok_or_else(closed)?;
    // One replay at a time, or two could take the same.
    let _one = server.replaying.lock().await;
    let numbers: Vec<Offset> = kept.iter().map(|kept| kept.number).collect();
    let reader = Arc::clone(quarantine);
    let fresh = blocking(move || {
        let read = numbers.into_iter().map(|number| reader.get(number));
        read.collect::<anyhow::Result<Vec<Option<Kept>>>>()
    });
    let fresh = fresh.await.map_err(Ended::Failed)?;
    let (mut events, mut done, mut entries) = (0, Vec::new(), Vec::new());
    for kept in fresh.into_iter().flatten().filter(|kept| !kept.is_replayed) {
        if let Some(record) = kept.again() {
            events += kept.head.events;
            done.push(kept.number.0);
            entries.push(Entry::read(record));
        }
    }
    if entries.is_empty() {
        return Ok(0);
    }
    let unavailable = |error: queue::AppendError| {
        tracing::warn!(%error, "replay not made durable");
        Ended::Refused(Refusal::new(ErrorCode::Unavailable, "the log can't take records now, come again later"))
    };
    server.ledger.append(log, entries).await.map_err(unavailable)?;
    let writer = Arc::clone(quarantine);
    blocking(move || writer.mark(&done)).await.map_err(Ended::Failed)?;
    Ok(events)
}

/// The project that the path names, if the key is its master key, and the quarantine.
fn owned(server: &Server, parts: &Parts) -> Result<(ProjectId, Arc<Quarantine>), Refusal> {
    let (project, _) = guard::mastered(server, parts)?;
    let closed = || Refusal::new(ErrorCode::ResourceNotFound, "this process does not process");
    Ok((project, server.quarantine.clone().ok_or_else(closed)?))
}

/// The record that the path names, if it is the project's.
async fn one(server: &Server, parts: &Parts) -> Result<(Arc<Quarantine>, Kept), Ended> {
    let (project, quarantine) = owned(server, parts).map_err(Ended::Refused)?;
    let missing = || Ended::Refused(Refusal::new(ErrorCode::ResourceNotFound, "there is nothing with this number"));
    let segments = guard::segments(parts);
    let number = segments.get(2).and_then(|text| text.parse::<u64>().ok()).ok_or_else(missing)?;
    let reader = Arc::clone(&quarantine);
    let kept = blocking(move || reader.get(Offset(number))).await.map_err(Ended::Failed)?;
    let kept = kept.filter(|kept| kept.head.project.as_ref() == Some(&project)).ok_or_else(missing)?;
    Ok((quarantine, kept))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("the work ended abnormally")?
}

fn answer(status: u16, body: &Value) -> Response {
    respond(Reply::json(status, body.to_string().into_bytes()))
}
