//! What a project holds, without its events: collections, their properties and the properties' types.
//!
//! Apart from `query.rs` because nothing is computed here: the store keeps the schema, and this writes it in Keen's
//! shapes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use collector::Reply;
use protocol::{CollectionName, ErrorCode, Permit, ProjectId, PropertyPath, Refusal};
use serde_json::{Map, Value, json};
use store::Described;

use crate::http::{Server, refuse, respond};
use crate::{guard, ingest, query};

/// The parameter whose presence makes a `GET` of a collection a write.
const DATA: &str = "data";

/// `GET /3.0/projects/{project}/events`: every collection with its properties.
pub async fn collections(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    written(described(&server, &parts).map(|(project, collections)| {
        let entry = |(name, properties): &Described| {
            let url = format!("/3.0/projects/{project}/events/{}", encoded(name.as_str()));
            json!({ "name": name, "properties": types(properties), "url": url })
        };
        Value::from(collections.iter().map(entry).collect::<Vec<_>>())
    }))
}

/// `GET /3.0/projects/{project}/events/{collection}`: its properties, or, with the parameter `data`, the write of one
/// event.
pub async fn collection(State(server): State<Arc<Server>>, request: Request) -> Response {
    if query::pairs(request.uri().query()).iter().any(|(name, _)| name == DATA) {
        return ingest::ingest(State(server), request).await;
    }
    let (parts, _) = request.into_parts();
    written(one(&server, &parts).map(|(_, (_, properties))| json!({ "properties": types(&properties) })))
}

/// `GET /3.0/projects/{project}/events/{collection}/properties/{property}`: its type.
pub async fn property(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let named = guard::segments(&parts).get(4).cloned().unwrap_or_default();
    written(one(&server, &parts).and_then(|(project, (collection, properties))| {
        let found = properties.iter().find(|(path, _)| path.as_str() == named);
        let (path, kind) =
            found.ok_or_else(|| Refusal::new(ErrorCode::ResourceNotFound, "there is no such property"))?;
        let (in_collection, in_path) = (encoded(collection.as_str()), encoded(path.as_str()));
        let url = format!("/3.0/projects/{project}/events/{in_collection}/properties/{in_path}");
        Ok(json!({ "property_name": path, "url": url, "type": kind }))
    }))
}

fn written(answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(answer) => respond(Reply::json(200, answer.to_string().into_bytes())),
        Err(refusal) => refuse(&refusal),
    }
}

fn described(server: &Server, parts: &Parts) -> Result<(ProjectId, Vec<Described>), Refusal> {
    let (project, _) = guard::permitted(server, parts, Permit::Schema)?;
    let store = server
        .store
        .as_ref()
        .ok_or_else(|| Refusal::new(ErrorCode::ResourceNotFound, "this process does not answer queries"))?;
    let collections = store.collections(&project);
    Ok((project, collections))
}

/// The collection that the path names.
fn one(server: &Server, parts: &Parts) -> Result<(ProjectId, Described), Refusal> {
    let (project, collections) = described(server, parts)?;
    let named = guard::segments(parts).get(2).cloned().unwrap_or_default();
    let found = collections.into_iter().find(|(name, _): &(CollectionName, _)| name.as_str() == named);
    let found = found.ok_or_else(|| Refusal::new(ErrorCode::ResourceNotFound, "there is no such collection"))?;
    Ok((project, found))
}

fn types(properties: &[(PropertyPath, &'static str)]) -> Value {
    let pairs: Map<String, Value> =
        properties.iter().map(|(path, kind)| (path.as_str().to_owned(), Value::from(*kind))).collect();
    Value::Object(pairs)
}

/// A segment of a path as a URL has it.
fn encoded(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_url() {
        for (name, expected) in [("a.b_c-d~9", "a.b_c-d~9"), ("a b/c?", "a%20b%2Fc%3F"), ("ä", "%C3%A4")] {
            assert_eq!(encoded(name), expected);
            assert_eq!(collector::decode_segment(expected).as_deref(), Some(name));
        }
    }
}
