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
use std::collections::BTreeMap;
use std::sync::Arc;

use collector::append::Purpose;
use collector::{PresentedKey, ScopedKey};
use futures_util::future::try_join;
use protocol::access::{Access, Grant};
use protocol::settings::ProjectSettings;
use protocol::{KeyRecord, ProjectId};
use serde_json::json;
use worker::{Env, Error, Result};

use crate::{courier, web};

/// The KV binding.
const KEYS: &str = "KEYS";
/// Seconds for which Cloudflare may answer from a cache near the caller; 30 is the least it takes.
const KV_CACHE_S: u64 = 30;
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
    static CACHE: RefCell<BTreeMap<String, (i64, Found)>> = const { RefCell::new(BTreeMap::new()) };
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
        (Some(key), settings) if project.is_none_or(|named| *named == key.project) => {
            Access::Known(Grant { key, settings: settings.unwrap_or_default() })
        }
        (_, None) if project.is_some() => Access::UnknownProject,
        _ => Access::UnknownKey,
    })
}

async fn find_key(env: &Env, project: Option<&ProjectId>, key: &PresentedKey) -> Result<Option<Arc<KeyRecord>>> {
    let found = match (key, project) {
        (PresentedKey::Ours(hash), _) => {
            get(env, format!("key:{}", hash.to_hex()), |text| parse(text).map(Found::Key)).await?
        }
        (PresentedKey::Scoped(scoped), Some(project)) => resolve(env, project, scoped).await?,
        _ => Found::Nothing,
    };
    Ok(if let Found::Key(record) = found { Some(record) } else { None })
}

async fn find_project(env: &Env, project: &ProjectId) -> Result<Option<Arc<ProjectSettings>>> {
    let found = get(env, format!("project:{project}"), |text| parse(text).map(Found::Project)).await?;
    Ok(if let Found::Project(settings) = found { Some(settings) } else { None })
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<Arc<T>> {
    serde_json::from_str(text).map(Arc::new).map_err(|error| Error::RustError(format!("what KV holds: {error}")))
}

async fn get(env: &Env, name: String, read: impl FnOnce(&str) -> Result<Found>) -> Result<Found> {
    if let Some(found) = remembered(&name) {
        return Ok(found);
    }
    let reading = async { env.kv(KEYS)?.get(&name).cache_ttl(KV_CACHE_S).text().await.map_err(Error::from) };
    let text = web::within(KV_MS_MAX, "reading KV", reading).await?;
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
        200 => parse(&answered.text().await?).map(Found::Key),
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
            entries.retain(|_, (until_ms, _)| *until_ms > now_ms);
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(name, (until_ms, found));
    });
}
