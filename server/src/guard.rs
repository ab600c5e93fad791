//! Who may use a route beside the collector's: the one place where a project and a key are looked up for them.
//!
//! Apart so that every such route refuses in the same order and words, and foreign and missing objects answer the same.
//! What a route needs stands in the table of `routes.rs`.

use axum::http::request::Parts;
use collector::{Head, Headers, PresentedKey};
use protocol::access::{Access, Grant};
use protocol::{ErrorCode, Permit, ProjectId, Refusal};

use crate::http::Server;

/// The project that the path names and what the presented key may do there, if it has this permit.
///
/// # Errors
/// 404 for an unknown project whatever the key, 401 for an unknown key, 403 for one without the permit.
pub fn permitted(server: &Server, parts: &Parts, permit: Permit) -> Result<(ProjectId, Grant), Refusal> {
    let (project, grant) = known(server, parts)?;
    if grant.key.may(permit) {
        return Ok((project, grant));
    }
    let message = match permit {
        Permit::Queries => "the key may not ask queries",
        Permit::Schema => "the key may not see the schema",
        Permit::Writes => "the key may not write events",
        _ => "the key may not do this",
    };
    Err(Refusal::new(ErrorCode::KeyNotPermitted, message))
}

/// The project that the path names, if the presented key is its master key.
///
/// # Errors
/// 404 for an unknown project whatever the key, 401 for an unknown key, 403 for any but the master key.
pub fn mastered(server: &Server, parts: &Parts) -> Result<(ProjectId, Grant), Refusal> {
    let (project, grant) = known(server, parts)?;
    if grant.key.kind == protocol::KeyKind::Master && grant.key.is_active {
        return Ok((project, grant));
    }
    Err(Refusal::new(ErrorCode::AdminOnlyEndpoint, "only the master key may do this"))
}

/// The decoded segments of a path below `/3.0/projects/`; the first is the project. A segment that does not decode is empty.
#[must_use]
pub fn segments(parts: &Parts) -> Vec<String> {
    let below = parts.uri.path().strip_prefix("/3.0/projects/").unwrap_or_default();
    below.split('/').map(|raw| collector::decode_segment(raw).unwrap_or_default()).collect()
}

/// The key that a request presents.
#[must_use]
pub fn presented(parts: &Parts) -> PresentedKey {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let value = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    collector::presented_key(&Head { method: parts.method.as_str(), target, headers: Headers::read(value) })
}

/// The project of a master key, for routes that name no project.
///
/// # Errors
/// 401 for an unknown key, 403 for any but a master key.
pub fn mastered_any(server: &Server, key: &PresentedKey) -> Result<(ProjectId, Grant), Refusal> {
    let grant = look_up(server, None, key)?;
    if grant.key.kind == protocol::KeyKind::Master {
        return Ok((grant.key.project.clone(), grant));
    }
    Err(Refusal::new(ErrorCode::AdminOnlyEndpoint, "only the master key may do this"))
}

fn known(server: &Server, parts: &Parts) -> Result<(ProjectId, Grant), Refusal> {
    let named = segments(parts);
    let project: ProjectId =
        named.first().map(String::as_str).unwrap_or_default().parse().map_err(|_| unknown_project())?;
    let grant = look_up(server, Some(&project), &presented(parts))?;
    Ok((project, grant))
}

fn unknown_project() -> Refusal {
    Refusal::new(ErrorCode::ResourceNotFound, "there is no such project")
}

fn look_up(server: &Server, project: Option<&ProjectId>, key: &PresentedKey) -> Result<Grant, Refusal> {
    let access = server.metadata.access(project, key).map_err(|error| {
        tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "the look-up of the key failed");
        Refusal::new(ErrorCode::Internal, "the look-up of the key failed; the operator's log says why")
    })?;
    match access {
        Access::UnknownProject => Err(unknown_project()),
        Access::UnknownKey => Err(Refusal::new(ErrorCode::InvalidApiKey, "the key is missing, unknown or revoked")),
        Access::Known(grant) => Ok(grant),
    }
}
