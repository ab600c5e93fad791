//! The table of JSON inputs in `tests/json/corpus.yaml`, and the requests that carry one.
//!
//! Apart because collector, server, worker and SDK are all held to it. How a text must be answered is decided by the table.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::scenario::Body;

/// One input and how it is answered.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The text, as bytes; it stands as the value of a property.
    pub json: Vec<u8>,
    /// The code of the refusal of an event with it; none when it is stored.
    pub code: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    accepted: Vec<Body>,
    refused: Vec<Body>,
    pinned: Vec<Pinned>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    json: Body,
    answer: String,
    /// Read by `tests/browser/json.mjs`.
    #[serde(rename = "sdk", default)]
    _sdk: Option<String>,
}

/// Fewer inputs than in the public suite would be a table that lost some.
const ENTRIES_MIN: [usize; 3] = [95, 188, 35];

/// The whole table.
///
/// # Errors
/// When it can't be read or has become small.
pub fn load() -> anyhow::Result<Vec<Entry>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("json/corpus.yaml");
    let corpus: Corpus = yaml_serde::from_str(&std::fs::read_to_string(&path)?).context("corpus.yaml")?;
    let found = [corpus.accepted.len(), corpus.refused.len(), corpus.pinned.len()];
    ensure!(found.iter().zip(ENTRIES_MIN).all(|(found, least)| *found >= least), "only {found:?} inputs were found");
    let all = |bodies: Vec<Body>, code: Option<&str>| {
        let code = code.map(str::to_owned);
        bodies.into_iter().map(move |body| Entry { json: body.bytes(str::to_owned), code: code.clone() })
    };
    let pinned = corpus.pinned.into_iter().map(|one| Entry {
        json: one.json.bytes(str::to_owned),
        code: Some(one.answer).filter(|answer| answer != "stored"),
    });
    Ok(all(corpus.accepted, None).chain(all(corpus.refused, Some(NOT_JSON))).chain(pinned).collect())
}

/// The code of an event that is not JSON.
const NOT_JSON: &str = "InvalidEventError";

impl Entry {
    /// An event with it, as the body of a single write.
    #[must_use]
    pub fn single(&self) -> Vec<u8> {
        [br#"{"v":"#, &*self.json, b"}"].concat()
    }

    /// The same between two good events, as a batch; `number` makes the ids.
    #[must_use]
    pub fn batch(&self, collection: &str, number: usize) -> Vec<u8> {
        let good = |place: u8| event(collection, number, place, b"{}");
        let events = [good(0), event(collection, number, 1, &self.single()), good(2)].join(&b","[..]);
        [br#"{"sent_at":1577836800000,"events":["#, &*events, b"]}"].concat()
    }

    /// Whether the text can't even be split off, so that a batch with it is refused whole.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.code.as_deref() == Some(NOT_JSON)
    }

    /// It, or its beginning, for a message.
    #[must_use]
    pub fn shown(&self) -> String {
        let shown = self.json.get(..60).unwrap_or(&self.json);
        format!("{:?} -> {:?}", String::from_utf8_lossy(shown), self.code)
    }
}

fn event(collection: &str, number: usize, place: u8, properties: &[u8]) -> Vec<u8> {
    let head =
        format!(r#"{{"id":"{number:031x}{place}","collection":"{collection}","timestamp":1577836800000,"properties":"#);
    [head.as_bytes(), properties, b"}"].concat()
}
