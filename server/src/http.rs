//! HTTP: which path goes to which part, and how a reply is written.
//!
//! No rule about events or queries is here. Keen's clients need CORS headers and Keen's error envelope on every
//! reply, so every reply leaves through [`respond`].

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get};
use collector::Reply;
use http_body_util::BodyExt;
use protocol::{ErrorCode, Refusal, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::metadata::Metadata;
use crate::telemetry::Telemetry;
use crate::{append, chart, ingest, query};

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
    /// The columns; with role `query`.
    pub store: Option<Arc<store::Store>>,
    /// Secrets of which one must have signed what the edge appends.
    pub append_secrets: Vec<collector::append::Secret>,
    /// The counters.
    pub telemetry: Arc<Telemetry>,
    /// Room for bodies in memory.
    pub bodies: Arc<Semaphore>,
    /// Room for running queries.
    pub queries: Arc<Semaphore>,
    /// Queries that wait for room.
    pub queries_waiting: AtomicUsize,
}

/// The whole HTTP interface of `server`.
pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new()
        .route("/live", get(|| async { text(StatusCode::OK, "live\n") }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/3.0/internal/append", any(append::append))
        .route("/3.0/projects/{project}/queries/{analysis}", any(query::answer))
        .route("/3.0/projects/{project}/charts/{picture}", any(chart::picture))
        .route("/3.0", any(ingest::ingest))
        .route("/3.0/", any(ingest::ingest))
        .route("/3.0/{*rest}", any(ingest::ingest));
    router = match &server.config.web {
        Some(folder) => router.fallback_service(tower_http::services::ServeDir::new(folder)),
        None => router.fallback(ingest::ingest),
    };
    router.with_state(server)
}

/// Ready means: a durable acknowledgement is possible.
async fn ready(State(server): State<Arc<Server>>) -> Response {
    // The log's state can wait behind a sync, which must not hold up a thread that takes events.
    let state = tokio::task::spawn_blocking(move || server.log.as_ref().map(|log| log.state())).await;
    match state {
        Ok(Some(state)) if state.failure.is_some() => text(StatusCode::SERVICE_UNAVAILABLE, "the log has failed\n"),
        Ok(Some(state)) if state.full => text(StatusCode::SERVICE_UNAVAILABLE, "the log has no room\n"),
        Ok(_) => text(StatusCode::OK, "ready\n"),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the log's state can't be read\n"),
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let written = tokio::task::spawn_blocking(move || {
        gauges(&server);
        server.telemetry.text()
    });
    match written.await {
        Ok(Ok(body)) => {
            let mut response = Response::new(Body::from(body));
            let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        _ => text(StatusCode::INTERNAL_SERVER_ERROR, "metrics can't be written\n"),
    }
}

/// Sets the gauges to how things stand.
fn gauges(server: &Server) {
    if let Some(log) = &server.log {
        let state = log.state();
        server.telemetry.next_offset.set(state.next.0);
        server.telemetry.queue_bytes.set(state.bytes);
        server.telemetry.damaged.set(state.damaged_records);
    }
    if let Some(store) = &server.store {
        server.telemetry.committed.set(store.committed().0);
        server.telemetry.tail_rows.set(u64::try_from(store.tail().rows).unwrap_or(u64::MAX));
    }
}

fn text(status: StatusCode, body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
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

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than allowed.
    TooLarge,
    /// It did not arrive in time, or the sender hung up.
    Broken,
    /// Other bodies take all the memory there is for them.
    NoRoom,
}

/// Bodies beyond their limit are read on up to this many bytes, so that the sender sees the refusal and not a broken
/// connection.
const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A body and the room in memory that it takes, which is given back when it is dropped.
#[derive(Debug, Default)]
pub struct Received {
    /// The body.
    pub bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

/// Bytes of one permit of [`Server::bodies`].
const ROOM_BYTES: usize = 16 * 1024;

/// Permits for bodies of so many bytes together.
#[must_use]
pub fn room_for_bodies(bytes: usize) -> Semaphore {
    Semaphore::new((bytes / ROOM_BYTES).clamp(1, Semaphore::MAX_PERMITS))
}

/// Reads a body of at most `bytes_max` within the configured time, as long as all bodies together find room in memory.
///
/// # Errors
/// When it is larger, late or broken off, or there is no room.
pub async fn read_body(body: Body, bytes_max: usize, server: &Server) -> Result<Received, BodyError> {
    let reading = async {
        let (mut body, mut received) = (body, Received::default());
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(BodyError::Broken) };
            let Some(data) = frame.data_ref() else { continue };
            if received.bytes.len() + data.len() > bytes_max {
                drop(received);
                discard(body).await;
                return Err(BodyError::TooLarge);
            }
            if received.take_room(server, data.len()).is_none() {
                drop(received);
                discard(body).await;
                return Err(BodyError::NoRoom);
            }
            received.bytes.extend_from_slice(data);
        }
        Ok(received)
    };
    let limit = Duration::from_millis(server.config.http.body_ms_max);
    tokio::time::timeout(limit, reading).await.unwrap_or(Err(BodyError::Broken))
}

impl Received {
    /// Takes room for `more` bytes; none when there is none.
    fn take_room(&mut self, server: &Server, more: usize) -> Option<()> {
        let needed = (self.bytes.len() + more).div_ceil(ROOM_BYTES);
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(needed.saturating_sub(held)).ok()?;
        let taken = Arc::clone(&server.bodies).try_acquire_many_owned(missing).ok()?;
        match &mut self.room {
            Some(room) => room.merge(taken),
            None => self.room = Some(taken),
        }
        Some(())
    }
}

/// How long the rest of a body is thrown away for; after that the connection may break.
const DISCARD_MAX: Duration = Duration::from_secs(5);

/// Reads the body of a request that is refused unread and throws it away, so that a sender who is still writing gets the
/// reply and not a broken connection. Bounded in bytes and time.
pub async fn discard(body: Body) {
    let reading = async {
        let mut frames = http_body_util::Limited::new(body, DRAIN_BYTES_MAX);
        while let Some(Ok(_)) = frames.frame().await {}
    };
    let _ = tokio::time::timeout(DISCARD_MAX, reading).await;
}

impl BodyError {
    /// What the caller is told.
    #[must_use]
    pub fn refusal(self, bytes_max: usize) -> Refusal {
        match self {
            Self::TooLarge => Refusal::new(
                ErrorCode::EventTooLarge,
                format!("the body is larger than the limit of {bytes_max} bytes"),
            ),
            Self::Broken => Refusal::new(ErrorCode::RequestTimeout, "the body did not arrive whole in time"),
            Self::NoRoom => Refusal::new(ErrorCode::Unavailable, "too many bodies are on their way"),
        }
    }
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
