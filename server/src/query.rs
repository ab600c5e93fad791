//! A query's way: request, key, plan, run, answer.
//!
//! What a query means is decided by crate `query`, what it finds by `store`, and how much of the machine it gets by
//! `share.rs`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use collector::Reply;
use protocol::answer::Answer;
use protocol::query::{Analysis, Params};
use protocol::{ErrorCode, KeyRecord, Permit, ProjectId, Refusal};

use crate::body::read_body;
use crate::http::{Server, now, refuse, respond};
use crate::telemetry::ByCode;
use crate::{guard, share};

/// Bytes of a query's body; filters beyond that are a mistake.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// `GET` and `POST /3.0/projects/{project}/queries/{analysis}`.
pub async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    match ask(&server, request).await.and_then(|(_, answer)| {
        serde_json::to_vec(&answer).map_err(|error| Refusal::new(ErrorCode::Internal, error.to_string()))
    }) {
        Ok(body) => {
            server.telemetry.answered.inc();
            respond(Reply::json(200, body))
        }
        Err(refusal) => {
            server.telemetry.queries_refused.get_or_create(&ByCode(refusal.code)).inc();
            refuse(&refusal)
        }
    }
}

/// Runs the query of `request`; the path's last segment may carry a suffix such as `.svg`. Gives the plain parameters
/// of the URL too, for callers that read more of them.
///
/// # Errors
/// What the caller did wrong, or that the query could not run.
pub async fn ask(server: &Arc<Server>, request: Request) -> Result<(Vec<(String, String)>, Answer), Refusal> {
    let (parts, body) = request.into_parts();
    let pairs = pairs(parts.uri.query());
    let (project, grant) = guard::permitted(server, &parts, Permit::Queries)?;
    let segments = guard::segments(&parts);
    let name = segments.get(2).and_then(|name| name.split('.').next()).unwrap_or_default();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());

    let analysis =
        Analysis::from_name(name).ok_or_else(|| Refusal::new(ErrorCode::ResourceNotFound, no_analysis(name)))?;
    let params = if parts.method == Method::POST {
        if header("content-encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(Refusal::new(
                ErrorCode::UnsupportedEncoding,
                "a query's body is sent without content encoding",
            ));
        }
        let body = read_body(body, BODY_BYTES_MAX, server).await;
        query::params_from_json(&body.map_err(|error| error.refusal(BODY_BYTES_MAX))?.bytes)?
    } else if matches!(parts.method, Method::GET | Method::HEAD) {
        query::params_from_query(&pairs)?
    } else {
        return Err(Refusal::new(ErrorCode::MethodNotAllowed, "queries are asked by GET or POST"));
    };
    let answer = plan_and_run(server, &project, &grant.key, analysis, &params).await?;
    Ok((pairs, answer))
}

fn no_analysis(name: &str) -> String {
    let known: Vec<_> = Analysis::ALL.iter().map(|(_, name)| *name).collect();
    format!("there is no analysis {name:?}; there are {}", known.join(", "))
}

/// The parameters of a URL, decoded as forms are (`+` is a space).
#[must_use]
pub fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect()
}

async fn plan_and_run(
    server: &Arc<Server>,
    project: &ProjectId,
    key: &KeyRecord,
    analysis: Analysis,
    params: &Params,
) -> Result<Answer, Refusal> {
    let limits = &server.config.query.limits;
    let plan = query::plan(project, analysis, params, key.query_filters(), now(), limits)?;
    share::run(server, plan).await
}
