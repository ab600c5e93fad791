//! Keen's key endpoints: a project's access keys are made, listed, replaced, revoked and deleted by its master key.
//!
//! A key is named in a path by itself or by the hex of its SHA-256, which stands in its place in answers when the project
//! shows keys once. The keys a project begins with are not listed, but can be named. Its master keys can't be: nobody
//! should lock himself out by accident.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use collector::Reply;
use protocol::access::KeyOptions;
use protocol::limits::QueryLimits;
use protocol::{ErrorCode, Key, KeyHash, KeyKind, Permit, ProjectId, Refusal};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::body::{discard, read_body};
use crate::http::{Server, now, refuse, respond};
use crate::metadata::{KeyDraft, ListedKey, MetadataError};
use crate::{guard, query};

/// Bytes of a key's description.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Characters of a key's name.
const NAME_CHARS_MAX: usize = 256;
/// Collections or origins that a key lists, and names of saved queries.
const LIST_MAX: usize = 1_000;
/// What a key may do with datasets.
const OPERATIONS: [&str; 5] = ["read", "list", "retrieve", "create", "delete"];

/// What is asked of keys.
enum Asked {
    List(Option<String>),
    Create(KeyDraft),
    Show(KeyHash),
    Replace(KeyHash, KeyDraft),
    Activate(KeyHash, bool),
    Delete(KeyHash),
}

/// `…/projects/{project}/keys` and all below.
pub async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let project = match guard::mastered(&server, &parts) {
        Ok((project, _)) => project,
        Err(refusal) => {
            discard(body).await;
            return refuse(&refusal);
        }
    };
    let body = match read_body(body, BODY_BYTES_MAX, &server).await {
        Ok(body) => body.bytes,
        Err(error) => return refuse(&error.refusal(BODY_BYTES_MAX)),
    };
    let answered = match asked(&parts, &body, &server.config.query.limits) {
        Ok(asked) => blocking(&server, move |server| act(server, &project, asked)).await,
        Err(refusal) => Err(refusal),
    };
    answered.map_or_else(|refusal| refuse(&refusal), respond)
}

/// Runs `work`, which waits for the disk, where it holds up nobody.
///
/// # Errors
/// Those of `work`, and when it ended abnormally.
pub(crate) async fn blocking<T: Send + 'static>(
    server: &Arc<Server>,
    work: impl FnOnce(&Server) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let server = Arc::clone(server);
    let done = tokio::task::spawn_blocking(move || work(&server)).await;
    done.unwrap_or_else(|_| Err(Refusal::new(ErrorCode::Internal, "the work ended abnormally")))
}

/// What the caller is told of a failure of the metadata.
pub(crate) fn failed(error: MetadataError) -> Refusal {
    if matches!(error, MetadataError::TooManyKeys) {
        return Refusal::new(ErrorCode::InvalidParameter, error.to_string());
    }
    tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "the metadata can't be read or written");
    Refusal::new(ErrorCode::Internal, "the metadata can't be read or written; the operator's log says why")
}

fn unknown() -> Refusal {
    Refusal::new(ErrorCode::ResourceNotFound, "there is no such key")
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidParameter, message)
}

fn asked(parts: &Parts, body: &[u8], limits: &QueryLimits) -> Result<Asked, Refusal> {
    let segments = guard::segments(parts);
    let named = || {
        let text = segments.get(2).map(String::as_str).unwrap_or_default();
        text.parse::<Key>().map(|key| key.hash()).or_else(|_| text.parse::<KeyHash>()).map_err(|_| unknown())
    };
    let is_post = parts.method == Method::POST;
    match (segments.len(), segments.get(3).map(String::as_str)) {
        (2, None) if is_post => Ok(Asked::Create(draft(body, Whole::Defaults, limits)?)),
        (2, None) => {
            let mut pairs = query::pairs(parts.uri.query()).into_iter();
            Ok(Asked::List(pairs.find(|(name, _)| name == "name").map(|(_, value)| value)))
        }
        (3, None) if is_post => {
            let hash = named()?;
            Ok(Asked::Replace(hash, draft(body, Whole::Required, limits)?))
        }
        (3, None) if parts.method == Method::DELETE => Ok(Asked::Delete(named()?)),
        (3, None) => Ok(Asked::Show(named()?)),
        (4, Some("revoke")) => Ok(Asked::Activate(named()?, false)),
        (4, Some("unrevoke")) => Ok(Asked::Activate(named()?, true)),
        _ => Err(unknown()),
    }
}

fn act(server: &Server, project: &ProjectId, asked: Asked) -> Result<Reply, Refusal> {
    let metadata = &server.metadata;
    // Found first, so that a master key is none here.
    let find = |hash: &KeyHash| {
        let key = metadata.key(project, hash).map_err(failed)?;
        key.filter(|key| key.record.kind != KeyKind::Master).ok_or_else(unknown)
    };
    let shown = |key: Option<ListedKey>| Ok(reply(200, &object(&key.ok_or_else(unknown)?)));
    match asked {
        Asked::List(name) => {
            let keys = metadata.keys(project).map_err(failed)?;
            let listed = keys.iter().filter(|key| key.record.kind == KeyKind::Access);
            let named = listed.filter(|key| name.as_ref().is_none_or(|name| *name == key.name));
            Ok(reply(200, &Value::from(named.map(object).collect::<Vec<_>>())))
        }
        Asked::Create(draft) => {
            let made = metadata.create_key(project, KeyKind::Access, draft, now().millis()).map_err(failed)?;
            Ok(reply(201, &object(&made)))
        }
        Asked::Show(hash) => shown(Some(find(&hash)?)),
        Asked::Replace(hash, draft) => {
            find(&hash)?;
            shown(metadata.replace_key(project, &hash, &draft).map_err(failed)?)
        }
        Asked::Activate(hash, is_active) => {
            find(&hash)?;
            shown(metadata.set_active(project, &hash, is_active).map_err(failed)?)
        }
        Asked::Delete(hash) => {
            find(&hash)?;
            let found = metadata.drop_key(project, &hash, now().millis()).map_err(failed)?;
            if found { Ok(nothing()) } else { Err(unknown()) }
        }
    }
}

/// The key as Keen shows it.
fn object(key: &ListedKey) -> Value {
    let text = key.key.as_ref().map_or(key.hash.as_str(), Key::reveal);
    let mut object = json!({
        "key": text,
        "name": key.name,
        "is_active": key.record.is_active,
        "permitted": key.record.permitted,
        "project_id": key.record.project,
        "options": key.record.options,
    });
    if let (None, Some(members)) = (&key.key, object.as_object_mut()) {
        members.insert("show_once".to_owned(), true.into());
        members.insert("last4".to_owned(), key.last4.as_str().into());
    }
    object
}

pub(crate) fn reply(status: u16, value: &Value) -> Reply {
    Reply::json(status, value.to_string().into_bytes())
}

/// 204 without a body.
pub(crate) fn nothing() -> Reply {
    let mut reply = Reply::json(204, Vec::new());
    reply.headers.retain(|(name, _)| *name != "Content-Type");
    reply
}

/// Whether a description may leave something out. A replacement may not: what is left out would be given up, and that
/// should be said and not forgotten.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Defaults,
    Required,
}

/// Reads the description of a key. Members that are not of a description are passed over, as clients send back whole keys;
/// options that are not known are refused, because a restriction that nobody reads would be none.
fn draft(body: &[u8], whole: Whole, limits: &QueryLimits) -> Result<KeyDraft, Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| invalid(format!("the body is not JSON: {error}")))?;
    let members = body.as_object().ok_or_else(|| invalid("the body is not a JSON object"))?;
    if whole == Whole::Required
        && let Some(missing) =
            ["name", "is_active", "permitted", "options"].iter().find(|name| !members.contains_key(**name))
    {
        return Err(invalid(format!("a replacement has name, is_active, permitted and options; {missing} is missing")));
    }
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());
    let name = match given("name") {
        None => String::new(),
        Some(Value::String(name)) if name.chars().count() <= NAME_CHARS_MAX => name.clone(),
        Some(_) => return Err(invalid(format!("name is a text of at most {NAME_CHARS_MAX} characters"))),
    };
    let is_active = match given("is_active") {
        None => true,
        Some(Value::Bool(is_active)) => *is_active,
        Some(_) => return Err(invalid("is_active is true or false")),
    };
    let permitted = given("permitted").map_or_else(|| Ok(Vec::new()), permits)?;
    let options = match given("options") {
        None => KeyOptions::default(),
        Some(Value::Object(groups)) => options(groups, limits)?,
        Some(_) => return Err(invalid("options is an object")),
    };
    Ok(KeyDraft { name, is_active, permitted, options })
}

fn permits(value: &Value) -> Result<Vec<Permit>, Refusal> {
    let wrong =
        || invalid("permitted is a list of writes, queries, saved_queries, cached_queries, datasets, schema and reads");
    let mut permitted = Vec::new();
    for name in value.as_array().ok_or_else(wrong)? {
        let named = match name.as_str() {
            // In the README of Keen's Ruby client.
            Some("reads") => vec![Permit::Queries, Permit::SavedQueries, Permit::CachedQueries, Permit::Datasets],
            _ => vec![Permit::deserialize(name).map_err(|_| wrong())?],
        };
        for permit in named {
            if !permitted.contains(&permit) {
                permitted.push(permit);
            }
        }
    }
    Ok(permitted)
}

/// Reads the five groups; clients send back the nulls of groups and members that are unset.
fn options(groups: &Map<String, Value>, limits: &QueryLimits) -> Result<KeyOptions, Refusal> {
    let mut groups = groups.clone();
    groups.retain(|_, group| !group.is_null());
    for (name, group) in &mut groups {
        let Some(members) = group.as_object_mut() else { return Err(invalid(format!("options.{name} is an object"))) };
        members.retain(|_, member| !member.is_null());
        if let Some(filters) = members.get("filters") {
            let wrong = || {
                invalid(format!(
                    "options.{name}.filters is a list of filters, each with property_name, operator and property_value, \
                     or operator and operands, and nothing else"
                ))
            };
            let listed = filters.as_array().ok_or_else(wrong)?;
            let read = listed.iter().map(|said| crate::scoped::filter(said.clone()).ok_or_else(wrong));
            ::query::check_filters(&read.collect::<Result<Vec<_>, _>>()?, limits)?;
        }
    }
    let options =
        KeyOptions::deserialize(Value::Object(groups)).map_err(|error| invalid(format!("options: {error}")))?;
    check(&options)?;
    Ok(options)
}

/// Refuses what could never hold, rather than let every event or query of the key fail.
fn check(options: &KeyOptions) -> Result<(), Refusal> {
    if let Some(writes) = &options.writes {
        if let Some(fill) = &writes.autofill {
            let named = |refusal: Refusal| invalid(format!("options.writes.autofill: {refusal}"));
            collector::check_autofill(fill).map_err(named)?;
        }
        let collections = writes.collections.as_deref().unwrap_or_default();
        let origins = writes.origins.as_deref().unwrap_or_default();
        if collections.len().max(origins.len()) > LIST_MAX {
            return Err(invalid(format!("a key lists at most {LIST_MAX} collections and origins")));
        }
        if let Some(name) = collections.iter().find(|name| name.parse::<protocol::CollectionName>().is_err()) {
            return Err(invalid(format!("options.writes.collections: no collection can be called {name:?}")));
        }
        if let Some(origin) = origins.iter().find(|origin| !is_origin(origin)) {
            return Err(invalid(format!(
                "options.writes.origins: {origin:?} is not an origin as https://shop.example or https://*.shop.example"
            )));
        }
    }
    let operations = options.datasets.as_ref().and_then(|datasets| datasets.operations.as_deref()).unwrap_or_default();
    if let Some(operation) = operations.iter().find(|operation| !OPERATIONS.contains(&operation.as_str())) {
        return Err(invalid(format!(
            "options.datasets.operations: {operation:?} is none of {}",
            OPERATIONS.join(", ")
        )));
    }
    Ok(())
}

/// Scheme, host and perhaps a port, in lower case; the host may begin with `*.`.
fn is_origin(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let host = rest.strip_prefix("*.").unwrap_or(rest);
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, whole: Whole) -> Result<KeyDraft, String> {
        draft(body.as_bytes(), whole, &QueryLimits::default()).map_err(|refusal| refusal.message)
    }

    #[test]
    fn a_description_is_understood_whole_or_refused() {
        let filter = r#"{"property_name":"a","operator":"eq","property_value":1}"#;
        for (body, refused) in [
            ("{}".to_owned(), None),
            (r#"{"name":null,"options":null,"permitted":null,"is_active":null,"unknown":1}"#.to_owned(), None),
            (r#"{"options":{"writes":null,"queries":{"filters":null},"datasets":null}}"#.to_owned(), None),
            (format!(r#"{{"permitted":["reads"],"options":{{"queries":{{"filters":[{filter}]}}}}}}"#), None),
            (
                r#"{"options":{"writes":{"autofill":{"a":{"b":null}},"origins":["https://*.a.example"]}}}"#.to_owned(),
                None,
            ),
            (r#"{"options":{"writes":{"autofill":{"a.b":1}}}}"#.to_owned(), Some("options.writes.autofill")),
            (r#"{"options":{"writes":{"autofill":{"keen":{"id":1}}}}}"#.to_owned(), Some("keen.id")),
            ("[]".to_owned(), Some("object")),
            (String::new(), Some("JSON")),
            (r#"{"name":1}"#.to_owned(), Some("name")),
            (format!(r#"{{"name":"{}"}}"#, "a".repeat(257)), Some("256")),
            (r#"{"is_active":"yes"}"#.to_owned(), Some("is_active")),
            (r#"{"permitted":["everything"]}"#.to_owned(), Some("permitted")),
            (r#"{"permitted":"writes"}"#.to_owned(), Some("permitted")),
            (r#"{"options":[]}"#.to_owned(), Some("options")),
            (r#"{"options":{"colour":{}}}"#.to_owned(), Some("colour")),
            (r#"{"options":{"queries":{"filter":[]}}}"#.to_owned(), Some("filter")),
            (r#"{"options":{"queries":{"filters":[{"property_name":"a"}]}}}"#.to_owned(), Some("filters")),
            (r#"{"options":{"saved_queries":{"filters":{}}}}"#.to_owned(), Some("filters")),
            (
                format!(r#"{{"options":{{"queries":{{"filters":[{}]}}}}}}"#, filter.replace('}', r#","more":1}"#)),
                Some("nothing else"),
            ),
            (r#"{"options":{"writes":{"origins":["shop.example"]}}}"#.to_owned(), Some("origin")),
            (r#"{"options":{"writes":{"origins":["https://shop.example/"]}}}"#.to_owned(), Some("origin")),
            (r#"{"options":{"writes":{"collections":[""]}}}"#.to_owned(), Some("collection")),
            (r#"{"options":{"datasets":{"operations":["burn"]}}}"#.to_owned(), Some("burn")),
        ] {
            let found = read(&body, Whole::Defaults).err();
            assert_eq!(found.is_some(), refused.is_some(), "{body}: {found:?}");
            assert!(refused.is_none_or(|part| found.as_ref().is_some_and(|found| found.contains(part))), "{found:?}");
        }
        let reads = read(r#"{"permitted":["reads","queries"]}"#, Whole::Defaults).unwrap().permitted;
        assert_eq!(reads.len(), 4);
    }

    #[test]
    fn a_replacement_leaves_nothing_out() {
        let whole = r#"{"name":"a","is_active":false,"permitted":["writes"],"options":{}}"#;
        assert!(!read(whole, Whole::Required).unwrap().is_active);
        for name in ["name", "is_active", "permitted", "options"] {
            let mut members: Map<String, Value> = serde_json::from_str(whole).unwrap();
            members.remove(name);
            let error = read(&Value::Object(members).to_string(), Whole::Required).unwrap_err();
            assert!(error.contains(&format!("{name} is missing")), "{error}");
        }
    }
}
