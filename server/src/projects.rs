//! What there is and what is set: discovery of the API, projects, and a project's settings.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use collector::{PresentedKey, Reply};
use protocol::query::Analysis;
use protocol::{ErrorCode, Key, KeyKind, Permit, ProjectId, ProjectSettings, Refusal};
use serde_json::{Map, Value, json};

use crate::body::{discard, read_body};
use crate::guard;
use crate::http::{Server, now, refuse, respond};
use crate::keys::{blocking, failed, reply};
use crate::metadata::{ListedKey, ListedProject, ProjectDraft};

/// Bytes of settings, or of the description of a project.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Characters of a project's name.
const NAME_CHARS_MAX: usize = 256;

/// `GET /`: the versions of the API.
pub async fn versions() -> Response {
    respond(reply(200, &json!([{ "is_public": true, "url": "/3.0", "version": "3.0" }])))
}

/// `GET /3.0`: where the projects are.
pub async fn resources() -> Response {
    respond(reply(200, &json!({ "projects_resource_url": "/3.0/projects" })))
}

/// `GET …/projects/{project}/queries`: where each analysis is asked.
pub async fn analyses(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answered = guard::permitted(&server, &parts, Permit::Queries).map(|(project, _)| {
        let url = |name: &str| format!("/3.0/projects/{project}/queries/{name}");
        let all = Analysis::ALL.iter().map(|(_, name)| (format!("{name}_url"), Value::from(url(name))));
        reply(200, &Value::Object(all.collect()))
    });
    answer(answered)
}

/// `GET /3.0/projects`: the one project of a master key, or all of an organization's.
pub async fn list(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let listed = blocking(&server, move |server| {
        let key = guard::presented(&parts);
        if let Some(organization) = organization(server, &key)? {
            let projects = server.metadata.projects_of(&organization).map_err(failed)?;
            return Ok(projects.iter().map(|project| object(server, project, &[])).collect::<Vec<_>>());
        }
        let (project, _) = guard::mastered_any(server, &key)?;
        Ok(vec![described(server, &project)?])
    });
    answer(listed.await.map(|projects| reply(200, &Value::from(projects))))
}

/// `GET …/projects/{project}`.
pub async fn one(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let found = blocking(&server, move |server| {
        let (project, _) = guard::mastered(server, &parts)?;
        described(server, &project)
    });
    answer(found.await.map(|project| reply(200, &project)))
}

/// `POST /3.0/organizations/{organization}/projects`.
pub async fn create(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let organization = match blocking(&server, move |server| authorize(server, &parts)).await {
        Ok(organization) => organization,
        Err(refusal) => {
            discard(body).await;
            return refuse(&refusal);
        }
    };
    let body = match read_body(body, BODY_BYTES_MAX, &server).await {
        Ok(body) => body.bytes,
        Err(error) => return refuse(&error.refusal(BODY_BYTES_MAX)),
    };
    let made = blocking(&server, move |server| {
        let (name, show_once) = description(&body)?;
        let draft = ProjectDraft { name: &name, show_once, organization: Some(&organization) };
        let made = server.metadata.make_project(&draft, now().millis()).map_err(failed)?;
        let listed = server.metadata.project(&made.id).map_err(failed)?.ok_or_else(unknown)?;
        let mut project = object(server, &listed, &[]);
        // Here they are shown even if it is for the only time.
        if let Some(members) = project.as_object_mut() {
            insert_keys(members, [Some(&made.master), Some(&made.read), Some(&made.write)]);
        }
        Ok(reply(201, &project))
    });
    answer(made.await)
}

/// `GET` and `PUT …/projects/{project}/settings`. What is left out of a `PUT` is set to its default.
pub async fn settings(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let project = match guard::mastered(&server, &parts) {
        Ok((project, _)) => project,
        Err(refusal) => {
            discard(body).await;
            return refuse(&refusal);
        }
    };
    let is_put = parts.method == Method::PUT;
    let body = match read_body(body, BODY_BYTES_MAX, &server).await {
        Ok(body) => body.bytes,
        Err(error) => return refuse(&error.refusal(BODY_BYTES_MAX)),
    };
    let found = blocking(&server, move |server| {
        if is_put {
            let put = parse_settings(&body)?;
            server.metadata.put_settings(&project, &put).map_err(failed)?;
        }
        let settings = server.metadata.settings(&project).map_err(failed)?.ok_or_else(unknown)?;
        serde_json::to_vec(&*settings).map_err(|error| Refusal::new(ErrorCode::Internal, error.to_string()))
    });
    answer(found.await.map(|settings| Reply::json(200, settings)))
}

fn answer(answered: Result<Reply, Refusal>) -> Response {
    answered.map_or_else(|refusal| refuse(&refusal), respond)
}

fn unknown() -> Refusal {
    Refusal::new(ErrorCode::ResourceNotFound, "there is no such project")
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidParameter, message)
}

fn parse_settings(body: &[u8]) -> Result<ProjectSettings, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"))?;
    ProjectSettings::parse(text).map_err(invalid)
}

/// Name and whether keys are shown once. Other members, as Keen's `users`, are passed over.
fn description(body: &[u8]) -> Result<(String, bool), Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| invalid(format!("the body is not JSON: {error}")))?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default().trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(invalid(format!("name is a text of 1 to {NAME_CHARS_MAX} characters")));
    }
    match body.get("show_once") {
        None | Some(Value::Null) => Ok((name.to_owned(), false)),
        Some(Value::Bool(once)) => Ok((name.to_owned(), *once)),
        Some(_) => Err(invalid("show_once is true or false")),
    }
}

fn organization(server: &Server, key: &PresentedKey) -> Result<Option<String>, Refusal> {
    key.hash().map_or(Ok(None), |hash| server.metadata.organization(hash).map_err(failed))
}

/// The organization of the path, if the presented key is its own. Another one's answers like one that is not there.
fn authorize(server: &Server, parts: &Parts) -> Result<String, Refusal> {
    let named = parts.uri.path().strip_prefix("/3.0/organizations/").and_then(|rest| rest.split('/').next());
    let key = guard::presented(parts);
    match organization(server, &key)? {
        Some(own) if Some(own.as_str()) == named => Ok(own),
        Some(_) => Err(Refusal::new(ErrorCode::ResourceNotFound, "there is no such organization")),
        None => match guard::mastered_any(server, &key) {
            Err(refusal) if refusal.code == ErrorCode::InvalidApiKey => Err(refusal),
            _ => Err(Refusal::new(ErrorCode::KeyNotPermitted, "only an organization's key may make projects")),
        },
    }
}

/// The project with all its keys, for who has its master key.
fn described(server: &Server, id: &ProjectId) -> Result<Value, Refusal> {
    let project = server.metadata.project(id).map_err(failed)?.ok_or_else(unknown)?;
    let keys = server.metadata.keys(id).map_err(failed)?;
    Ok(object(server, &project, &keys))
}

/// The project as Keen shows it, with those of `keys` that it began with or that took their place.
fn object(server: &Server, project: &ListedProject, keys: &[ListedKey]) -> Value {
    let url = format!("/3.0/projects/{}", project.id);
    let collections = server.store.as_ref().map(|store| store.collections(&project.id)).unwrap_or_default();
    let event = |name: &str| json!({ "name": name, "url": format!("{url}/events/{}", encoded(name)) });
    let events: Vec<Value> = collections.iter().map(|(name, _)| event(name.as_str())).collect();
    let mut object = json!({
        "id": project.id, "name": project.name, "url": url, "events": events, "saved_queries": [],
        "organization_id": project.organization, "show_once": project.show_once,
    });
    if let Some(members) = object.as_object_mut() {
        for name in ["events", "queries", "keys", "settings"] {
            members.insert(format!("{name}_url"), format!("{url}/{name}").into());
        }
        let newest = |kind: KeyKind| {
            let mut keys = keys.iter().rev();
            keys.find(|key| key.record.kind == kind && key.record.is_active).and_then(|key| key.key.as_ref())
        };
        insert_keys(members, [newest(KeyKind::Master), newest(KeyKind::Read), newest(KeyKind::Write)]);
        let settings = server.metadata.settings(&project.id).ok().flatten();
        if settings.is_some_and(|settings| settings.legacy_scoped_keys)
            && let Some(master) = newest(KeyKind::Master)
        {
            members.insert("scoped_key_secret".to_owned(), crate::scoped::secret_of(master.reveal()).into());
        }
    }
    object
}

fn insert_keys(members: &mut Map<String, Value>, keys: [Option<&Key>; 3]) {
    for (name, key) in ["api_key", "read_key", "write_key"].into_iter().zip(keys) {
        if let Some(key) = key {
            members.insert(name.to_owned(), key.reveal().into());
        }
    }
}

/// A segment of a path.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(one).collect()
}
