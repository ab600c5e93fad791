//! What every request gets: an id, a line in the access log, a limit of time, and an answer even when our code panics.
//!
//! Apart because it must hold for every route, those that are not written yet too. Nothing that a stranger sent is logged
//! here but the method and those words of the path that are ours: keys travel in queries and headers, and names of
//! collections and properties may say more than we want to keep.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use protocol::{ErrorCode, ProjectId, Refusal};
use tracing::Instrument;

use crate::http::refuse;

/// Carries the id of a request, there and back.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of an id that a caller may give.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// Bytes of a failure's body; a longer one is no envelope.
const FAILURE_BYTES_MAX: usize = 16 * 1024;

/// Words of paths that are ours, and so may be logged.
const WORDS: &[&str] = &[
    "",
    "3.0",
    "append",
    "batch",
    "batches",
    "balance",
    "charts",
    "events",
    "internal",
    "keys",
    "live",
    "metrics",
    "organizations",
    "projects",
    "properties",
    "quarantine",
    "queries",
    "ready",
    "replay",
    "resolve",
    "settings",
    "v1",
];

/// Traces all requests of one server.
#[derive(Debug)]
pub struct Tracer {
    request_max: Duration,
    /// Differs from start to start, so that ids do too.
    start: u32,
    next: AtomicU64,
}

/// What was noted of one request.
#[derive(Debug)]
pub struct Note {
    id: HeaderValue,
    /// For the access log, when it is on.
    line: Option<(Method, String, Instant)>,
    limit: Duration,
}

impl Tracer {
    /// A tracer that lets a request take so long.
    #[must_use]
    pub fn new(request_max: Duration) -> Self {
        let mut random = [0; 4];
        // Without random bytes ids repeat from start to start, which only a log's reader would notice.
        let _ = getrandom::fill(&mut random);
        Self { request_max, start: u32::from_le_bytes(random), next: AtomicU64::new(0) }
    }

    /// What is noted of a request before it is answered.
    #[must_use]
    pub fn note(&self, request: &Request<Incoming>) -> Note {
        let line = tracing::enabled!(target: "access", tracing::Level::DEBUG)
            .then(|| (request.method().clone(), words(request.uri().path()), Instant::now()));
        Note { id: self.id(request.headers().get(REQUEST_ID)), line, limit: self.request_max }
    }

    /// The caller's id if it is sane, else one of ours.
    fn id(&self, given: Option<&HeaderValue>) -> HeaderValue {
        let is_sane = |text: &str| {
            (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
                // A key does not belong into a log, even where somebody puts one here.
                && text.parse::<protocol::Key>().is_err()
        };
        if let Some(given) = given.filter(|given| given.to_str().is_ok_and(is_sane)) {
            return given.clone();
        }
        let id = format!("{:08x}-{:08x}", self.start, self.next.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

impl Note {
    /// Waits for the answer, under the request's id and within the time.
    ///
    /// # Errors
    /// Never.
    pub async fn answer<F>(self, answer: F) -> Result<Response, Infallible>
    where
        F: Future<Output = Result<Response, Infallible>>,
    {
        let span = tracing::error_span!("request", id = self.id.to_str().unwrap_or_default());
        self.within(answer).instrument(span).await
    }

    async fn within<F>(self, answer: F) -> Result<Response, Infallible>
    where
        F: Future<Output = Result<Response, Infallible>>,
    {
        let answered = match tokio::time::timeout(self.limit, AssertUnwindSafe(answer).catch_unwind()).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => {
                Ok(refuse(&Refusal::new(ErrorCode::Internal, "the request failed; the operator's log says why")))
            }
            Err(_) => {
                tracing::warn!(limit_ms = self.limit.as_millis(), "a request took too long");
                Ok(refuse(&Refusal::new(ErrorCode::Unavailable, "the request took too long")))
            }
        };
        let Ok(response) = answered;
        Ok(self.sign(response).await)
    }

    /// Puts the request's id into its answer, and a line into the access log.
    pub async fn sign(self, mut response: Response) -> Response {
        let Self { id, line, .. } = self;
        if response.status().is_server_error() {
            response = named(response, &id).await;
        }
        if let Some((method, path, begun)) = line {
            let (status, ms) = (response.status().as_u16(), begun.elapsed().as_secs_f64() * 1_000.0);
            tracing::debug!(target: "access", %method, path, status, ms, "answered");
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
}

/// Warnings about refused events in one second; the metrics count all of them, and a mistaken sender must not fill the disk.
const REFUSALS_LOGGED_PER_S: u64 = 10;

/// Says that events were refused: one line per batch, and few enough a second.
#[derive(Debug)]
pub struct Refusals {
    born: Instant,
    /// The second of the last line in the upper half, lines and batches passed over in it in the lower.
    second_and_lines: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { born: Instant::now(), second_and_lines: AtomicU64::new(0) }
    }
}

impl Refusals {
    /// Logs what of a batch was refused, by step and by code.
    pub fn log(&self, project: Option<&ProjectId>, counts: &collector::Counts) {
        if counts.refused.is_empty() && counts.request_refused.is_none() {
            return;
        }
        let Some(passed_over) = self.may_log(self.born.elapsed().as_secs()) else { return };
        let (project, refused) =
            (project.map(ProjectId::as_str), counts.refused.iter().map(|(_, events)| events).sum::<u64>());
        let code = counts.request_refused.or(counts.refused.first().map(|(code, _)| *code)).map(|code| code.code());
        let step = counts.refused_by_step.first().map(|(step, _)| *step);
        tracing::warn!(project, refused, code, step, passed_over, "events refused");
    }

    /// Whether one more line may be written in this second, and how many were not in the one before.
    fn may_log(&self, second: u64) -> Option<u64> {
        let mut passed_over = 0;
        let next = |seen: u64| {
            let (of, lines) = (seen >> 32, seen & u64::from(u32::MAX));
            let is_same = of == second & u64::from(u32::MAX);
            passed_over = if is_same { 0 } else { lines.saturating_sub(REFUSALS_LOGGED_PER_S) };
            Some(second << 32 | if is_same { (lines + 1).min(u64::from(u32::MAX)) } else { 1 })
        };
        let _ = self.second_and_lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let lines = self.second_and_lines.load(Ordering::Relaxed) & u64::from(u32::MAX);
        (lines <= REFUSALS_LOGGED_PER_S).then_some(passed_over)
    }
}

/// The same failure, with the request's id in Keen's envelope, where Keen's clients look for it.
async fn named(response: Response, id: &HeaderValue) -> Response {
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = http_body_util::Limited::new(body, FAILURE_BYTES_MAX).collect().await else {
        return Response::from_parts(parts, Body::empty());
    };
    let mut body = Vec::from(body.to_bytes());
    if body.first() == Some(&b'{') && body.pop_if(|last| *last == b'}').is_some() {
        let separator: &[u8] = if body.len() > 1 { b"," } else { b"" };
        body.extend([separator, b"\"unique_id\":\"", id.as_bytes(), b"\"}"].concat());
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// A path with every word that is not ours left out.
fn words(path: &str) -> String {
    let words: Vec<&str> = path.split('/').map(|word| if WORDS.contains(&word) { word } else { "*" }).collect();
    words.join("/")
}

/// Has a panic say where it happened and, unless it is a fixed text, not what: it may hold what a stranger sent.
pub fn hide_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(not shown)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, said, "a panic, which is a mistake in this program");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        let tracer = Tracer::new(Duration::ZERO);
        let key = protocol::Key::from_random(protocol::KeyKind::Write, [3; 28]);
        for (given, is_kept) in [
            ("3f2a-7_x.9", true),
            ("", false),
            (&"x".repeat(64), true),
            (&"x".repeat(65), false),
            ("a b", false),
            ("a@example.com", false),
            ("\"quoted\"", false),
            (key.reveal(), false),
        ] {
            let id = tracer.id(Some(&HeaderValue::from_str(given).unwrap()));
            assert_eq!(id == given, is_kept, "{given}");
        }
        assert_ne!(tracer.id(None), tracer.id(None));
    }

    #[test]
    fn only_our_words_of_a_path_are_logged() {
        for (path, logged) in [
            ("/3.0/projects/5f/events/jane@example.com", "/3.0/projects/*/events/*"),
            ("/live", "/live"),
            ("/../etc/passwd", "/*/*/*"),
        ] {
            assert_eq!(words(path), logged);
        }
    }

    #[test]
    fn few_refusals_a_second_are_logged_and_the_next_second_says_how_many_were_not() {
        let refusals = Refusals::default();
        let logged = (0..25).filter(|_| refusals.may_log(7).is_some()).count();
        assert_eq!(logged, 10);
        assert_eq!((refusals.may_log(8), refusals.may_log(8)), (Some(15), Some(0)));
    }

    #[tokio::test]
    async fn a_failure_names_the_request_in_the_envelope() {
        let refusal = Refusal::new(ErrorCode::Internal, "text");
        let response = named(refuse(&refusal), &HeaderValue::from_static("id-1")).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["unique_id"], "id-1");
        assert_eq!(body["error_code"], "InternalServerError");
    }
}
