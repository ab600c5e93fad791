//! Looks up what a project and a key are, in Workers KV, with a small cache in front.
//!
//! Apart because the cache is the only thing that outlives a request. It decides nothing: what was found goes to the
//! collector. The names in KV: `key:<SHA-256 of the key, hex>` holds a [`KeyRecord`] as JSON, `project:<id>` exists
//! for every project.

use std::cell::RefCell;

use collector::PresentedKey;
use protocol::access::Access;
use protocol::{KeyRecord, ProjectId};
use worker::{Env, Error, Result};

use crate::web;

/// The KV binding.
const KEYS: &str = "KEYS";
/// Milliseconds for which a found entry is believed. A revoked key stops within this and KV's own delay (60 s).
const FOUND_MS: i64 = 20_000;
/// Milliseconds for which a name is believed to be absent; short, so that a new key works at once.
const ABSENT_MS: i64 = 2_000;
/// Entries that are remembered. Beyond it the cache starts empty again.
const ENTRIES_MAX: usize = 1_000;
/// Milliseconds to wait for KV.
const KV_MS_MAX: u64 = 5_000;

/// One remembered answer of KV.
struct Entry {
    name: String,
    text: Option<String>,
    until_ms: i64,
}

thread_local! {
    /// Lives as long as the isolate. Never borrowed across an await.
    static CACHE: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// What is known of a project and a key.
pub(crate) async fn look_up(env: &Env, project: Option<&ProjectId>, key: &PresentedKey) -> Result<Access> {
    if let Some(hash) = key.hash()
        && let Some(text) = get(env, format!("key:{}", hash.to_hex())).await?
    {
        let record: KeyRecord = serde_json::from_str(&text).map_err(|error| Error::RustError(error.to_string()))?;
        if project.is_none_or(|named| *named == record.project) {
            return Ok(Access::known(record));
        }
    }
    let Some(project) = project else { return Ok(Access::UnknownKey) };
    let exists = get(env, format!("project:{project}")).await?.is_some();
    Ok(if exists { Access::UnknownKey } else { Access::UnknownProject })
}

async fn get(env: &Env, name: String) -> Result<Option<String>> {
    let now_ms = web::now().millis();
    let cached = CACHE.with_borrow(|entries| {
        let fresh = entries.iter().find(|entry| entry.name == name && entry.until_ms > now_ms);
        fresh.map(|entry| entry.text.clone())
    });
    if let Some(text) = cached {
        return Ok(text);
    }
    let reading = async { env.kv(KEYS)?.get(&name).text().await.map_err(Error::from) };
    let text = web::within(KV_MS_MAX, "reading KV", reading).await?;
    let until_ms = now_ms + if text.is_some() { FOUND_MS } else { ABSENT_MS };
    CACHE.with_borrow_mut(|entries| {
        entries.retain(|entry| entry.name != name && entry.until_ms > now_ms);
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.push(Entry { name, text: text.clone(), until_ms });
    });
    Ok(text)
}
