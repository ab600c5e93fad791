//! Which path goes to which part, and what operators ask: `/live`, `/ready`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get};

use crate::http::Server;
use crate::{append, chart, ingest, query};

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
