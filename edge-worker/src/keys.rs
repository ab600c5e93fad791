//! Looks up what a project and a key are, in Workers KV, with a small cache in front.
//!
//! Apart because the cache outlives a request. It decides nothing: what was found goes to the collector. The names in KV:
//! `key:<SHA-256 of the key, hex>` holds a [`KeyRecord`] as JSON, `project:<id>` a project's [`ProjectSettings`]. A legacy
//! scoped key can only be opened with the project's master key, so the server is asked what it is.
//!
//! How long a revoked key goes on: an answer of KV is as old as [`KV_CACHE_S`] at most (Cloudflare's own cache at each of
//! its places, whose shortest time that is) and is believed for [`FOUND_MS`] more, together 50 s after the revocation was
//! published to KV.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use collector::append::Purpose;
use collector::{PresentedKey, ScopedKey};
use futures_util::future::try_join;
use protocol::access::{Access, Grant, KeyOptions, Permit, WriteOptions};
use protocol::settings::ProjectSettings;
use protocol::{KeyKind, KeyRecord, ProjectId};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use wasm_bindgen::JsValue;
use worker::{Env, Error, Result};

use crate::sorted::Sorted;
use crate::{courier, web};

/// The KV binding.
const KEYS: &str = "KEYS";
/// Seconds for which Cloudflare may answer from a cache near the caller; 30 is the least it takes.
const KV_CACHE_S: u32 = 30;
/// Milliseconds for which a found entry is believed.
const FOUND_MS: i64 = 20_000;
/// Milliseconds for which a name is believed to be absent; short, so that nothing of ours delays a new key.
const ABSENT_MS: i64 = 2_000;
/// Entries that are remembered. Beyond it the cache starts empty again.
const ENTRIES_MAX: usize = 1_000;
/// Milliseconds to wait for KV.
const KV_MS_MAX: u64 = 5_000;
/// Scoped keys about which the server is asked at once; beyond it the request is answered 503.
const RESOLVING_MAX: u32 = 16;

/// What stood in an entry.
#[derive(Clone)]
enum Found {
    Key(Arc<KeyRecord>),
    Project(Arc<ProjectSettings>),
    Nothing,
}

thread_local! {
    /// By name, and until when each is believed. Lives as long as the isolate. Never borrowed across an await.
    static CACHE: RefCell<Sorted<String, (i64, Found)>> = const { RefCell::new(Sorted::new()) };
    static RESOLVING: Cell<u32> = const { Cell::new(0) };
}

/// What is known of a project and a key.
pub(crate) async fn look_up(env: &Env, project: Option<&ProjectId>, key: &PresentedKey) -> Result<Access> {
    let found = match project {
        Some(project) => try_join(find_key(env, Some(project), key), find_project(env, project)).await?,
        None => match find_key(env, None, key).await? {
            Some(record) => {
                let settings = find_project(env, &record.project).await?;
                (Some(record), settings)
            }
            None => (None, None),
        },
    };
    Ok(match found {
        (Some(key), Some(settings)) if project.is_none_or(|named| *named == key.project) => {
            Access::Known(Grant { key, settings })
        }
        // Without its settings nobody knows what its owner wants kept of a caller.
        (_, None) if project.is_some() => Access::UnknownProject,
        _ => Access::UnknownKey,
    })
}

async fn find_key(env: &Env, project: Option<&ProjectId>, key: &PresentedKey) -> Result<Option<Arc<KeyRecord>>> {
    let found = match (key, project) {
        (PresentedKey::Ours(hash), _) => get(env, format!("key:{}", hash.to_hex()), read_key).await?,
        (PresentedKey::Scoped(scoped), Some(project)) => resolve(env, project, scoped).await?,
        _ => Found::Nothing,
    };
    Ok(if let Found::Key(record) = found { Some(record) } else { None })
}

async fn find_project(env: &Env, project: &ProjectId) -> Result<Option<Arc<ProjectSettings>>> {
    let found = get(env, format!("project:{project}"), |text| Ok(Found::Project(Arc::new(parse(text)?)))).await?;
    Ok(if let Found::Project(settings) = found { Some(settings) } else { None })
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::RustError(format!("what KV holds: {error}")))
}

/// A [`KeyRecord`] as far as writing goes: what narrows a key's questions is not read here, which saves a tenth of the
/// module.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriterRecord {
    project: ProjectId,
    kind: KeyKind,
    is_active: bool,
    permitted: Vec<Permit>,
    #[serde(default)]
    options: WriterOptions,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WriterOptions {
    writes: Option<WriteOptions>,
    #[serde(rename = "queries")]
    _queries: IgnoredAny,
    #[serde(rename = "saved_queries")]
    _saved_queries: IgnoredAny,
    #[serde(rename = "cached_queries")]
    _cached_queries: IgnoredAny,
    #[serde(rename = "datasets")]
    _datasets: IgnoredAny,
}

fn read_key(text: &str) -> Result<Found> {
    let WriterRecord { project, kind, is_active, permitted, options } = parse(text)?;
    let options = KeyOptions { writes: options.writes, ..KeyOptions::default() };
    Ok(Found::Key(Arc::new(KeyRecord { project, kind, is_active, permitted, options })))
}

async fn get(env: &Env, name: String, read: impl FnOnce(&str) -> Result<Found>) -> Result<Found> {
    if let Some(found) = remembered(&name) {
        return Ok(found);
    }
    let (keys, options) = (web::member(env, KEYS), web::object([("cacheTtl", KV_CACHE_S.into())]));
    let asked = [JsValue::from_str(&name), options];
    let text = web::within(KV_MS_MAX, "reading KV", web::call(&keys, "get", &asked)).await?.as_string();
    let found = text.as_deref().map_or(Ok(Found::Nothing), read)?;
    remember(name, found.clone());
    Ok(found)
}

/// Asks the server what a scoped key is.
async fn resolve(env: &Env, project: &ProjectId, scoped: &ScopedKey) -> Result<Found> {
    let name = format!("scoped:{project}:{}", scoped.reveal());
    if let Some(found) = remembered(&name) {
        return Ok(found);
    }
    let asking = RESOLVING.get();
    if asking >= RESOLVING_MAX {
        return Err(Error::RustError("too many scoped keys to be resolved at once".to_owned()));
    }
    RESOLVING.set(asking.saturating_add(1));
    let answered = ask(env, project, scoped).await;
    RESOLVING.set(RESOLVING.get().saturating_sub(1));
    let found = answered?;
    remember(name, found.clone());
    Ok(found)
}

async fn ask(env: &Env, project: &ProjectId, scoped: &ScopedKey) -> Result<Found> {
    let question = json!({ "project": project, "key": scoped.reveal() }).to_string();
    let answered = courier::ask_now(env, Purpose::Resolve, question.as_bytes()).await?;
    match answered.status {
        200 => read_key(&answered.text().await?),
        404 => Ok(Found::Nothing),
        status => Err(Error::RustError(format!("the server answered {status} about a scoped key"))),
    }
}

fn remembered(name: &str) -> Option<Found> {
    let now_ms = web::now().millis();
    CACHE.with_borrow(|entries| {
        entries.get(name).filter(|(until_ms, _)| *until_ms > now_ms).map(|(_, found)| found.clone())
    })
}

fn remember(name: String, found: Found) {
    let now_ms = web::now().millis();
    let until_ms = now_ms.saturating_add(if matches!(found, Found::Nothing) { ABSENT_MS } else { FOUND_MS });
    CACHE.with_borrow_mut(|entries| {
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|(until_ms, _)| *until_ms > now_ms);
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(name, (until_ms, found));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::access::QueryOptions;

    #[test]
    fn a_record_says_the_same_of_writing_as_the_server_reads_it() {
        let mut record = KeyRecord::new("p".parse().unwrap(), KeyKind::Access);
        record.permitted = vec![Permit::Writes, Permit::Queries];
        record.options.writes =
            Some(WriteOptions { collections: Some(vec!["c".to_owned()]), ..WriteOptions::default() });
        let Found::Key(read) = read_key(&serde_json::to_string(&record).unwrap()).unwrap() else { panic!("no key") };
        assert_eq!(*read, record);

        record.options.queries = Some(QueryOptions::default());
        let Found::Key(read) = read_key(&serde_json::to_string(&record).unwrap()).unwrap() else { panic!("no key") };
        assert_eq!((read.options.writes.clone(), read.options.queries.clone()), (record.options.writes, None));

        // A restriction of writing that nobody reads would be none.
        for unknown in [r#"{"writes":{"hours":[9]}}"#, r#"{"deletes":{}}"#] {
            let text =
                format!(r#"{{"project":"p","kind":"access","is_active":true,"permitted":[],"options":{unknown}}}"#);
            assert!(read_key(&text).is_err(), "{text}");
        }
    }
}
