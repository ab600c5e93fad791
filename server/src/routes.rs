//! The table of routes: which path goes to which part and what it needs of its caller, and what operators ask: `/live`, `/ready`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any, get_service};
use collector::Reply;
use protocol::Permit;

use crate::body::discard;
use crate::http::{Server, respond};
use crate::{append, balance, chart, delete, ingest, inspect, jsonp, kept, keys, projects, query, resolve};

/// What a route needs of its caller. The test of the whole table (`tests/tests/api_matrix.rs`) tries every route with every
/// kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: operators' routes and discovery.
    Nothing,
    /// A key with this permit; the master key has all.
    Permit(Permit),
    /// The master key.
    Master,
    /// A signature of the edge.
    Signature,
    /// The key of an organization; for a list of projects a master key does too.
    Organization,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Live,
    Ready,
    Metrics,
    Append,
    Resolve,
    Versions,
    Resources,
    Projects,
    CreateProject,
    Project,
    Analyses,
    Settings,
    Keys,
    Ingest,
    Collections,
    Collection,
    Property,
    DeleteCollection,
    DeleteProperty,
    Balance,
    Quarantine,
    Quarantined,
    Replay,
    ReplayAll,
    DeadLetters,
    Query,
    Chart,
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// One method; `GET` answers `HEAD` too.
    pub method: &'static str,
    /// The path, with axum's names in braces.
    pub path: &'static str,
    /// What the caller needs.
    pub needs: Needs,
    /// The parameter that must be there for this row to be the one that counts, where two share method and path.
    pub parameter: Option<&'static str>,
    to: To,
}

const fn route(method: &'static str, path: &'static str, needs: Needs, to: To) -> Route {
    Route { method, path, needs, parameter: None, to }
}

impl Route {
    /// The same route, for requests with this parameter only.
    const fn with(self, parameter: &'static str) -> Self {
        Self { parameter: Some(parameter), ..self }
    }
}

/// Every route of the server. The router is made of this table, so a route that is not here does not exist.
pub const ROUTES: &[Route] = &[
    route("GET", "/live", Needs::Nothing, To::Live),
    route("GET", "/ready", Needs::Nothing, To::Ready),
    route("GET", "/metrics", Needs::Nothing, To::Metrics),
    route("POST", "/3.0/internal/append", Needs::Signature, To::Append),
    route("POST", "/3.0/internal/quarantine", Needs::Signature, To::DeadLetters),
    route("POST", "/3.0/internal/resolve", Needs::Signature, To::Resolve),
    // Where no web folder is served.
    route("GET", "/", Needs::Nothing, To::Versions),
    route("GET", "/3.0", Needs::Nothing, To::Resources),
    route("GET", "/3.0/projects", Needs::Master, To::Projects),
    route("POST", "/3.0/organizations/{organization}/projects", Needs::Organization, To::CreateProject),
    route("GET", "/3.0/projects/{project}", Needs::Master, To::Project),
    route("GET", "/3.0/projects/{project}/queries", Needs::Permit(Permit::Queries), To::Analyses),
    route("GET", "/3.0/projects/{project}/settings", Needs::Master, To::Settings),
    route("PUT", "/3.0/projects/{project}/settings", Needs::Master, To::Settings),
    route("GET", "/3.0/projects/{project}/keys", Needs::Master, To::Keys),
    route("POST", "/3.0/projects/{project}/keys", Needs::Master, To::Keys),
    route("GET", "/3.0/projects/{project}/keys/{key}", Needs::Master, To::Keys),
    route("POST", "/3.0/projects/{project}/keys/{key}", Needs::Master, To::Keys),
    route("DELETE", "/3.0/projects/{project}/keys/{key}", Needs::Master, To::Keys),
    route("POST", "/3.0/projects/{project}/keys/{key}/revoke", Needs::Master, To::Keys),
    route("POST", "/3.0/projects/{project}/keys/{key}/unrevoke", Needs::Master, To::Keys),
    route("POST", "/3.0/projects/{project}/events", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/3.0/projects/{project}/events/{collection}", Needs::Permit(Permit::Writes), To::Ingest),
    route("GET", "/3.0/projects/{project}/events/{collection}", Needs::Permit(Permit::Writes), To::Collection)
        .with("data"),
    route("GET", "/3.0/projects/{project}/events", Needs::Permit(Permit::Schema), To::Collections),
    route("GET", "/3.0/projects/{project}/events/{collection}", Needs::Permit(Permit::Schema), To::Collection),
    route(
        "GET",
        "/3.0/projects/{project}/events/{collection}/properties/{property}",
        Needs::Permit(Permit::Schema),
        To::Property,
    ),
    route("POST", "/3.0/projects/{project}/batches", Needs::Permit(Permit::Writes), To::Ingest),
    // Segment's API: the key alone says which project it is.
    route("POST", "/v1/track", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/page", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/screen", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/identify", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/group", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/alias", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/batch", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/import", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/t", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/p", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/s", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/i", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/g", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/a", Needs::Permit(Permit::Writes), To::Ingest),
    route("POST", "/v1/b", Needs::Permit(Permit::Writes), To::Ingest),
    route("DELETE", "/3.0/projects/{project}/events/{collection}", Needs::Master, To::DeleteCollection),
    route(
        "DELETE",
        "/3.0/projects/{project}/events/{collection}/properties/{property}",
        Needs::Master,
        To::DeleteProperty,
    ),
    route("GET", "/3.0/projects/{project}/balance", Needs::Master, To::Balance),
    route("GET", "/3.0/projects/{project}/quarantine", Needs::Master, To::Quarantine),
    route("POST", "/3.0/projects/{project}/quarantine/replay", Needs::Master, To::ReplayAll),
    route("GET", "/3.0/projects/{project}/quarantine/{number}", Needs::Master, To::Quarantined),
    route("POST", "/3.0/projects/{project}/quarantine/{number}/replay", Needs::Master, To::Replay),
    route("GET", "/3.0/projects/{project}/queries/{analysis}", Needs::Permit(Permit::Queries), To::Query),
    route("POST", "/3.0/projects/{project}/queries/{analysis}", Needs::Permit(Permit::Queries), To::Query),
    route("GET", "/3.0/projects/{project}/charts/{picture}", Needs::Permit(Permit::Queries), To::Chart),
];

/// The whole HTTP interface of `server`.
pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    let mut paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
    paths.sort_unstable();
    paths.dedup();
    // The folder has a page of its own there.
    for path in paths.into_iter().filter(|path| *path != "/" || server.config.web.is_none()) {
        router = router.route(path, methods(path));
    }
    // What the collector refuses with Keen's envelope: paths that do not exist.
    router = router
        .route("/3.0/", any(ingest::ingest))
        .route("/3.0/{*rest}", any(ingest::ingest))
        .route("/v1/{*rest}", any(ingest::ingest));
    router = match &server.config.web {
        // A page that is missing is the folder's 404; what isn't asked by GET is meant for the API.
        Some(folder) => {
            let pages = get_service(tower_http::services::ServeDir::new(folder)).fallback(ingest::ingest);
            router.fallback_service(pages.with_state(Arc::clone(&server)))
        }
        None => router.fallback(ingest::ingest),
    };
    router.layer(axum::middleware::from_fn(jsonp::jsonp)).with_state(server)
}

/// The methods of one path; `OPTIONS` is a preflight on every path of the API, and other methods get 405 in Keen's envelope.
fn methods(path: &'static str) -> MethodRouter<Arc<Server>> {
    let mut router = MethodRouter::new();
    let mut allowed = Vec::new();
    for route in ROUTES.iter().filter(|route| route.path == path) {
        // Two rows that differ in a parameter have one handler, which looks for it.
        if allowed.contains(&route.method) {
            continue;
        }
        allowed.push(route.method);
        let Ok(filter) = MethodFilter::try_from(Method::from_bytes(route.method.as_bytes()).unwrap_or(Method::GET))
        else {
            continue;
        };
        router = match route.to {
            To::Live => router.on(filter, || async { text(StatusCode::OK, "live\n") }),
            To::Ready => router.on(filter, ready),
            To::Metrics => router.on(filter, metrics),
            To::Append => router.on(filter, append::append),
            To::Resolve => router.on(filter, resolve::resolve),
            To::Versions => router.on(filter, projects::versions),
            To::Resources => router.on(filter, projects::resources),
            To::Projects => router.on(filter, projects::list),
            To::CreateProject => router.on(filter, projects::create),
            To::Project => router.on(filter, projects::one),
            To::Analyses => router.on(filter, projects::analyses),
            To::Settings => router.on(filter, projects::settings),
            To::Keys => router.on(filter, keys::answer),
            To::Ingest => router.on(filter, ingest::ingest),
            To::Collections => router.on(filter, inspect::collections),
            To::Collection => router.on(filter, inspect::collection),
            To::Property => router.on(filter, inspect::property),
            To::Quarantine => router.on(filter, kept::list),
            To::Quarantined => router.on(filter, kept::show),
            To::Replay => router.on(filter, kept::replay),
            To::ReplayAll => router.on(filter, kept::replay_all),
            To::DeadLetters => router.on(filter, kept::dead_letters),
            To::DeleteCollection => router.on(filter, delete::collection),
            To::DeleteProperty => router.on(filter, delete::property),
            To::Balance => router.on(filter, balance::show),
            To::Query => router.on(filter, query::answer),
            To::Chart => router.on(filter, chart::picture),
        };
    }
    // In the order in which the collector names them.
    allowed.sort_by_key(|method| ["GET", "POST", "PUT", "DELETE"].iter().position(|known| known == method));
    let allowed = allowed.join(", ");
    router.options(preflight).fallback(move |request: Request| async move {
        discard(request.into_body()).await;
        respond(Reply::method_not_allowed(allowed))
    })
}

async fn preflight(headers: HeaderMap) -> Response {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok());
    respond(Reply::preflight(asked))
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
        balance::gauge(server);
    }
}

fn text(status: StatusCode, body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}
