//! The route through which a Cloudflare worker hands over batches that its queue delivered.
//!
//! A request is signed with a shared secret and holds records as the collector made them, so nothing is decided here.
//! The route is idempotent because the edge gave every event its id: a repeated delivery is a repeated event.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use collector::{Reply, append as signed};
use protocol::{ErrorCode, Refusal};
use queue::AppendError;

use crate::body::{discard, read_body};
use crate::http::{RETRY_AFTER_S, Server, now, refuse, respond};
use crate::ledger::Entry;

/// Puts the records of a signed request into the log and answers when they are durable.
pub async fn append(State(server): State<Arc<Server>>, request: Request) -> Response {
    let Some(log) = server.log.clone() else {
        return refuse(&Refusal::new(ErrorCode::ResourceNotFound, "this process does not collect"));
    };
    if request.method() != Method::POST {
        return refuse(&Refusal::new(ErrorCode::MethodNotAllowed, "only POST is allowed here"));
    }
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let (time, signature) = (header(signed::TIMESTAMP_HEADER), header(signed::SIGNATURE_HEADER));
    // Nobody makes us read a body without headers that could be signed.
    if server.append_secrets.is_empty() || signed::plausible(time, signature, now()).is_err() {
        discard(body).await;
        return respond(signed::refused());
    }
    let body = match read_body(body, signed::BODY_BYTES_MAX, &server).await {
        Ok(body) => body.bytes,
        Err(error) => return refuse(&error.refusal(signed::BODY_BYTES_MAX)),
    };
    if let Err(error) = signed::verify(&server.append_secrets, time, signature, &body, now()) {
        tracing::warn!(%error, "append refused");
        return respond(signed::refused());
    }
    let records = match signed::records(&body) {
        Ok(records) if !records.is_empty() => records,
        Ok(_) => return refuse(&Refusal::new(ErrorCode::InvalidBatch, "the body holds no record")),
        Err(refusal) => return refuse(&refusal),
    };
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    let entries = records.into_iter().map(Entry::read).collect();
    match server.ledger.append(&log, entries).await {
        Ok(_) => {
            server.telemetry.appended.inc_by(count);
            respond(Reply::json(200, br#"{"appended":true}"#.to_vec()))
        }
        Err(error @ (AppendError::TooLarge { .. } | AppendError::TooMany { .. })) => {
            refuse(&Refusal::new(ErrorCode::EventTooLarge, error.to_string()))
        }
        Err(error) => {
            tracing::warn!(%error, "append refused");
            respond(Reply::unavailable(RETRY_AFTER_S))
        }
    }
}
