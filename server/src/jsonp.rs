//! Writes answers of `GET` as scripts where the caller asks for one (`jsonp=name`), for pages too old for anything else.
//!
//! Apart because it holds for every route alike. The collector writes its own answers so; this does it for all others. It
//! must not know what an answer says.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use collector::{Head, Headers, Reply, scripted};
use protocol::{ErrorCode, Refusal};

use crate::http::respond;

/// Bytes of an answer that is written as a script; a larger one is refused.
const SCRIPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Answers as the next does, as a script if one was asked for.
pub async fn jsonp(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_asked = request.method() == Method::GET && (query.contains("jsonp=") || query.contains("callback="));
    if !is_asked {
        return next.run(request).await;
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") || response.headers().contains_key(header::LOCATION) {
        return response;
    }
    let head = Head { method: "GET", target: &target, headers: Headers::default() };
    let probe = scripted(&head, Reply::json(200, Vec::new()));
    if probe.body.is_empty() {
        return response; // No name that may be called.
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, SCRIPT_BYTES_MAX).await else {
        let message = format!("the answer is larger than the limit of {SCRIPT_BYTES_MAX} bytes for scripts");
        return respond(scripted(&head, Reply::refusal(&Refusal::new(ErrorCode::InvalidParameter, message))));
    };
    let reply = scripted(&head, Reply::json(parts.status.as_u16(), body.to_vec()));
    let mut response = respond(reply);
    for (name, value) in parts.headers {
        let Some(name) = name else { continue };
        // The length is that of the answer before.
        if name != header::CONTENT_LENGTH && !response.headers().contains_key(&name) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
