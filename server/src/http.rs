//! What every request needs: the parts of the server, the clock, and how a reply is written.
//!
//! No rule about events or queries is here. Keen's clients need CORS headers and Keen's error envelope on every reply,
//! so every reply leaves through [`respond`]. Which path leads where stands in `routes.rs`, how bodies are read in
//! `body.rs`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use collector::Reply;
use protocol::{ErrorCode, Refusal, Timestamp};
use tokio::sync::Semaphore;

use crate::caller::Callers;
use crate::config::Config;
use crate::door::Door;
use crate::ledger::Ledger;
use crate::metadata::Metadata;
use crate::quarantine::Quarantine;
use crate::telemetry::Telemetry;

/// Seconds a caller is told to wait when the log or a query can't be served now.
pub const RETRY_AFTER_S: u32 = 2;

/// Everything a request may need. Parts that this process doesn't run are absent.
pub struct Server {
    /// The settings.
    pub config: Config,
    /// Projects and keys.
    pub metadata: Metadata,
    /// The log; with role `collect`.
    pub log: Option<Arc<queue::Log>>,
    /// Counts what the log has taken.
    pub ledger: Arc<Ledger>,
    /// What could not be stored; with role `process`.
    pub quarantine: Option<Arc<Quarantine>>,
    /// Held while records of quarantine are put into the log again.
    pub replaying: tokio::sync::Mutex<()>,
    /// Held while something is deleted.
    pub deleting: Arc<tokio::sync::Mutex<()>>,
    /// The columns; with role `query`.
    pub store: Option<Arc<store::Store>>,
    /// Secrets of which one must have signed what the edge appends.
    pub append_secrets: Vec<collector::append::Secret>,
    /// What is known of callers.
    pub callers: Callers,
    /// The counters.
    pub telemetry: Arc<Telemetry>,
    /// The limits of writes.
    pub door: Door,
    /// Room for bodies in memory.
    pub bodies: Arc<Semaphore>,
    /// Room for running queries.
    pub queries: Arc<Semaphore>,
    /// Queries that wait for room.
    pub queries_waiting: AtomicUsize,
}

/// Writes a reply that a core decided.
pub fn respond(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.as_ref())) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Writes a refusal in Keen's envelope; one that may pass later says when to come again.
pub fn refuse(refusal: &Refusal) -> Response {
    let mut response = respond(Reply::refusal(refusal));
    if refusal.code.retry() == protocol::Retry::Later {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        let exposed = HeaderValue::from_static("Retry-After");
        response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

/// Says that a fault of ours ended the request; `detail` goes to the log, never to the caller.
pub fn fault(what: &'static str, detail: impl Into<anyhow::Error>) -> Response {
    tracing::error!(what, detail = format!("{:#}", detail.into()), "request failed");
    refuse(&Refusal::new(ErrorCode::Internal, format!("{what} failed; the operator's log says why")))
}

/// The time by the system's clock; the one place of the server that reads it for events.
#[must_use]
pub fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// Compares a page of the reference with what the code says; `RIVULET_WRITE_DOCS=1` writes it instead.
#[cfg(test)]
#[track_caller]
pub(crate) fn check_page(name: &str, expected: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    if std::env::var_os("RIVULET_WRITE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "docs/reference/{name} is not what the code says: run RIVULET_WRITE_DOCS=1 cargo test -p server"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_of_errors_is_the_table() {
        let mut page = String::from(
            "# Errors\n\nEvery answer under `/3.0` that is not a success is JSON with `error_code` and `message`.\nThe names never change.\nAn answer that says *later* can be sent again as it is; any other fails again.\n\n| error_code | status | again | meaning |\n|---|---|---|---|\n",
        );
        for code in ErrorCode::ALL {
            let again = if code.retry() == protocol::Retry::Later { "later" } else { "never" };
            let (name, status, meaning) = (code.code(), code.http_status(), code.meaning().trim());
            page.push_str(&format!("| `{name}` | {status} | {again} | {meaning} |\n"));
        }
        check_page("errors.md", &page);
    }
}
