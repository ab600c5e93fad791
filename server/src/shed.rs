//! Sends writes away that would find no place, before a route is looked for, a span begun or a header read: under overload
//! that is what most requests cost, and what it costs is taken from those that are served.
//!
//! Apart from `door.rs`, which decides the same for every form of a write but later. Only the two forms that make up floods
//! are known here, by their paths.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use collector::{Head, Headers, Routed};
use hyper::Request;
use hyper::body::Incoming;
use protocol::ProjectId;

use crate::body::{discard_little, is_unsent};
use crate::http::{Server, respond};

/// Decides for one server.
pub struct Shed {
    server: Arc<Server>,
    batches: Refusal,
    events: Refusal,
}

/// An answer made once; the collector's own, so that it is the same as that of `door.rs`.
struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What a write is, as far as its path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Our batch form.
    Batches,
    /// Keen's forms.
    Events,
}

impl Shed {
    /// For the requests of `server`.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        let refusal = |target| Refusal::of(target, &server);
        let (batches, events) = (refusal("/3.0/projects/p/batches"), refusal("/3.0/projects/p/events"));
        Self { server, batches, events }
    }

    /// Whether to send this request away, and as what; none when it may go on to the router.
    #[must_use]
    pub fn turns_away<B>(&self, request: &Request<B>) -> Option<Form> {
        // Mostly there are places, and then nothing is to be known of a request.
        if !self.server.door.is_tight() || request.method() != Method::POST {
            return None;
        }
        let (project, form) = form(request.uri().path())?;
        self.server.door.is_shut(&project).then_some(form)
    }

    /// The answer, once the body is out of the way.
    pub async fn answer(&self, form: Form, request: Request<Incoming>) -> Response {
        let (parts, body) = request.into_parts();
        if !is_unsent(&parts) {
            discard_little(body).await;
        }
        let refusal = match form {
            Form::Batches => &self.batches,
            Form::Events => &self.events,
        };
        self.server.door.count_full(refusal.status.as_u16(), &self.server.telemetry);
        let mut response = Response::new(Body::from(refusal.body.clone()));
        *response.status_mut() = refusal.status;
        *response.headers_mut() = refusal.headers.clone();
        response
    }
}

impl Refusal {
    fn of(target: &str, server: &Server) -> Self {
        let head = Head { method: "POST", target, headers: Headers::default() };
        let reply = match collector::route(&head, &server.config.limits) {
            Routed::Ask(asked) => asked.slow_down(server.door.retry_after_s()),
            Routed::Reply(reply) => reply,
        };
        let (status, body) = (reply.status, Bytes::from(reply.body.clone()));
        let (parts, _) = respond(reply).into_parts();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Self { status, headers: parts.headers, body }
    }
}

/// The project and form of a path, if it is one of those known here.
fn form(path: &str) -> Option<(ProjectId, Form)> {
    let (project, rest) = path.strip_prefix("/3.0/projects/")?.split_once('/')?;
    let form = match rest.split_once('/').map_or(rest, |(first, _)| first) {
        "batches" => Form::Batches,
        "events" => Form::Events,
        _ => return None,
    };
    Some((project.parse().ok()?, form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_writes_are_known() {
        for (path, expected) in [
            ("/3.0/projects/p/batches", Some(Form::Batches)),
            ("/3.0/projects/p/events", Some(Form::Events)),
            ("/3.0/projects/p/events/clicks", Some(Form::Events)),
            ("/3.0/projects/p/queries/count", None),
            ("/3.0/projects/p", None),
            ("/3.0/projects//events", None),
            ("/v1/track", None),
            ("/live", None),
        ] {
            assert_eq!(form(path).map(|(_, form)| form), expected, "{path}");
        }
    }
}
