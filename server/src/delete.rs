//! Deletion of collections, of events that filters choose, and of properties.
//!
//! What was acknowledged before the request is gone from every answer once the 204 is sent, and stays gone: the
//! processor must have passed the log's end first, and the store commits the deletion before it returns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use collector::Reply;
use protocol::query::{Analysis, Params};
use protocol::{CollectionName, ErrorCode, Offset, ProjectId, PropertyPath, Refusal};
use query::plan::Plan;
use store::{Deleted, Deletion, Store};

use crate::body::discard;
use crate::http::{Server, fault, now, refuse, respond};
use crate::{guard, query as ask};

/// How long the processor may need to pass the end of the log; with a longer backlog the caller is told to come again.
const PROCESSED_WAIT: Duration = Duration::from_secs(60);
/// How long between two looks.
const PROCESSED_PAUSE: Duration = Duration::from_millis(5);
/// Properties that every row has; they go with the row only.
const OWN: [&str; 3] = ["keen.id", "keen.timestamp", "keen.created_at"];
/// Parameters that clients send with every request and that choose nothing.
const PASSED_OVER: [&str; 6] = ["api_key", "jsonp", "callback", "modified", "c", "_"];

/// `DELETE /3.0/projects/{project}/events/{collection}`: all of it, or the events that `filters`, `timeframe` and
/// `timezone` choose.
pub async fn collection(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    discard(body).await;
    let asked = named(&server, &parts).and_then(|(project, name)| {
        let plan = chosen(&server, &parts, &project, &name)?;
        Ok((project, name, plan))
    });
    match asked {
        Ok((project, name, plan)) => {
            answer(&server, project, name, move |store, project, name| {
                known(store, project, name, None)?;
                let what = plan.as_ref().map_or(Deletion::Collection, Deletion::Matching);
                Ok(store.delete(project, name, what, now())?)
            })
            .await
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// `DELETE /3.0/projects/{project}/events/{collection}/properties/{property}`: the property and, if it is an object,
/// everything in it.
pub async fn property(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    discard(body).await;
    let asked = named(&server, &parts).and_then(|(project, name)| {
        let path = guard::segments(&parts).get(4).and_then(|text| text.parse::<PropertyPath>().ok());
        let path = path.ok_or_else(|| Refusal::new(ErrorCode::ResourceNotFound, "there is no such property"))?;
        if OWN.contains(&path.as_str()) || path.as_str() == "keen" {
            let message = format!("'{path}' can't be deleted: every event has it");
            return Err(Refusal::new(ErrorCode::InvalidParameter, message));
        }
        Ok((project, name, path))
    });
    match asked {
        Ok((project, name, path)) => {
            answer(&server, project, name, move |store, project, name| {
                known(store, project, name, Some(&path))?;
                Ok(store.delete(project, name, Deletion::Property(&path), now())?)
            })
            .await
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// Why nothing was deleted.
enum NotDeleted {
    Refused(Refusal),
    Failed(anyhow::Error),
}

impl From<Refusal> for NotDeleted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<store::StoreError> for NotDeleted {
    fn from(error: store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Waits for the processor, deletes on a thread of its own and answers. A caller that hangs up stops nothing.
async fn answer(
    server: &Arc<Server>,
    project: ProjectId,
    name: CollectionName,
    delete: impl FnOnce(&Store, &ProjectId, &CollectionName) -> Result<Deleted, NotDeleted> + Send + 'static,
) -> Response {
    let (Some(store), Some(log)) = (server.store.clone(), server.log.clone()) else {
        let message = "this process does not collect and answer queries";
        return refuse(&Refusal::new(ErrorCode::ResourceNotFound, message));
    };
    let end = log.next_offset();
    // One deletion at a time: they rewrite files, and events and queries come first.
    let one = Arc::clone(&server.deleting).lock_owned().await;
    if !processed(&store, end).await {
        let message = "events are waiting to be processed, ask again when they are";
        return refuse(&Refusal::new(ErrorCode::Unavailable, message));
    }
    let deleting = tokio::task::spawn_blocking(move || {
        let _one = one;
        let deleted = delete(&store, &project, &name)?;
        tracing::info!(%project, rows = deleted.rows, segments = deleted.segments, "deleted");
        Ok(())
    });
    match deleting.await {
        Ok(Ok(())) => {
            let mut reply = Reply::json(204, Vec::new());
            reply.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            respond(reply)
        }
        Ok(Err(NotDeleted::Refused(refusal))) => refuse(&refusal),
        Ok(Err(NotDeleted::Failed(error))) => fault("the deletion", error),
        Err(error) => fault("the deletion", error),
    }
}

/// Waits until everything before `end` is visible; false when that takes too long.
async fn processed(store: &Store, end: Offset) -> bool {
    let start = Instant::now();
    while store.next() < end {
        if start.elapsed() > PROCESSED_WAIT {
            return false;
        }
        tokio::time::sleep(PROCESSED_PAUSE).await;
    }
    true
}

/// The project and collection that the path names, for the master key.
fn named(server: &Server, parts: &Parts) -> Result<(ProjectId, CollectionName), Refusal> {
    let (project, _) = guard::mastered(server, parts)?;
    let segments = guard::segments(parts);
    let name = segments.get(2).and_then(|text| text.parse::<CollectionName>().ok());
    Ok((project, name.ok_or_else(no_collection)?))
}

fn no_collection() -> Refusal {
    Refusal::new(ErrorCode::ResourceNotFound, "there is no such collection")
}

/// Refuses what isn't there.
fn known(
    store: &Store,
    project: &ProjectId,
    name: &CollectionName,
    property: Option<&PropertyPath>,
) -> Result<(), Refusal> {
    let collections = store.collections(project);
    let (_, properties) = collections.iter().find(|(known, _)| known == name).ok_or_else(no_collection)?;
    let Some(path) = property else { return Ok(()) };
    let within = |known: &PropertyPath| {
        known.as_str().strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if properties.iter().any(|(known, _)| within(known)) {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::ResourceNotFound, "there is no such property"))
}

/// The plan of what is chosen; none when nothing is said and all is meant.
fn chosen(server: &Server, parts: &Parts, project: &ProjectId, name: &CollectionName) -> Result<Option<Plan>, Refusal> {
    let pairs = ask::pairs(parts.uri.query());
    let given = query::params_from_query(&pairs)?;
    check_chosen(&pairs, &given)?;
    if given.filters.is_none() && given.timeframe.is_none() {
        return Ok(None);
    }
    // Nothing but these says what goes; an interval or a group of a query that was copied must not narrow it.
    let params = Params {
        event_collection: Some(name.as_str().to_owned()),
        filters: given.filters,
        timeframe: given.timeframe,
        timezone: given.timezone,
        ..Params::default()
    };
    query::plan(project, Analysis::Count, &params, &[], now(), &server.config.query.limits).map(Some)
}

/// Refuses what chooses nothing although it was said, or is misspelt: it must never mean everything.
fn check_chosen(pairs: &[(String, String)], given: &Params) -> Result<(), Refusal> {
    let refused = |message: String| Err(Refusal::new(ErrorCode::InvalidParameter, message));
    for (name, _) in pairs {
        let chooses = match name.as_str() {
            "filters" => given.filters.as_ref().is_some_and(|filters| !filters.is_empty()),
            "timeframe" => given.timeframe.is_some(),
            "timezone" => given.timezone.is_some() && (given.filters.is_some() || given.timeframe.is_some()),
            other if PASSED_OVER.contains(&other) => true,
            other => {
                return refused(format!(
                    "a deletion has no parameter '{other}': give 'filters', 'timeframe' and 'timezone', or none of them"
                ));
            }
        };
        if !chooses {
            return refused(format!("'{name}' chooses no events; leave it out to delete the whole collection"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chooses_nothing_never_means_everything() {
        for (asked, may_delete) in [
            ("", true),
            ("api_key=k&jsonp=f&callback=f&modified=1&c=f&_=7", true),
            ("timeframe=this_7_days", true),
            ("timeframe=this_7_days&timezone=UTC", true),
            (r#"filters=[{"property_name":"a","operator":"eq","property_value":1}]"#, true),
            ("filters=", false),
            ("filters=%20", false),
            ("filters=null", false),
            ("filters=%22null%22", false),
            ("filters=[]", false),
            ("filters=%22[]%22", false),
            ("filters=[]&timeframe=this_7_days", false),
            ("timeframe=", false),
            ("timeframe=null", false),
            ("timezone=UTC", false),
            ("timezone=", false),
            ("timezone=null&timeframe=this_7_days", false),
            ("filter=x", false),
            ("Filters=x", false),
            ("timeframe=this_7_days&interval=daily", false),
            ("all", false),
        ] {
            let pairs = ask::pairs(Some(asked));
            let checked = query::params_from_query(&pairs).and_then(|given| check_chosen(&pairs, &given));
            let code = checked.err().map(|refusal| refusal.code);
            assert_eq!(code.is_none(), may_delete, "{asked}: {code:?}");
            assert!(matches!(code, None | Some(ErrorCode::InvalidParameter)), "{asked}");
        }
    }
}
