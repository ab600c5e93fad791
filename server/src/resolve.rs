//! Tells the edge what a key is that it can't know from its own store: a legacy scoped key, which only who has the
//! project's secret can open.
//!
//! Signed as what the edge appends, for another purpose. The answer is the record of the key, or 404.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use collector::append::{self as signed, Purpose};
use collector::{PresentedKey, Reply};
use protocol::access::Access;
use protocol::{ErrorCode, ProjectId, Refusal};
use serde::Deserialize;

use crate::body::{discard, read_body};
use crate::http::{Server, now, refuse, respond};
use crate::keys::{blocking, failed};

/// Bytes of a question: a key of the longest, and a project.
const BODY_BYTES_MAX: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    project: ProjectId,
    key: String,
}

/// `POST /3.0/internal/resolve` with `{"project":…,"key":…}`.
pub async fn resolve(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let (time, signature) = (header(signed::TIMESTAMP_HEADER), header(signed::SIGNATURE_HEADER));
    if server.append_secrets.is_empty() || signed::plausible(time, signature, now()).is_err() {
        discard(body).await;
        return respond(signed::refused());
    }
    let body = match read_body(body, BODY_BYTES_MAX, &server).await {
        Ok(body) => body.bytes,
        Err(error) => return refuse(&error.refusal(BODY_BYTES_MAX)),
    };
    let verified = signed::verify_for(Purpose::Resolve, &server.append_secrets, time, signature, &body, now());
    if let Err(error) = verified {
        tracing::warn!(%error, "a question of the edge was refused");
        return respond(signed::refused());
    }
    let Ok(question) = serde_json::from_slice::<Question>(&body) else {
        return refuse(&Refusal::new(ErrorCode::InvalidParameter, "the body is not {\"project\":…,\"key\":…}"));
    };
    let found = blocking(&server, move |server| {
        let access = server.metadata.access(Some(&question.project), &PresentedKey::parse(&question.key));
        match access.map_err(failed)? {
            Access::Known(grant) => {
                serde_json::to_vec(&*grant.key).map_err(|error| Refusal::new(ErrorCode::Internal, error.to_string()))
            }
            _ => Err(Refusal::new(ErrorCode::ResourceNotFound, "there is no such project or key")),
        }
    });
    found.await.map_or_else(|refusal| refuse(&refusal), |record| respond(Reply::json(200, record)))
}
