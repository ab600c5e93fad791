//! API scenarios: what is asked and what must come back, as text files in `tests/api`.
//!
//! Apart from the tests because both the server and the worker are held to it. It must not know how they are started.
//!
//! A scenario in a file:
//!
//! ```yaml
//! - name: a sentence that states a fact
//!   request:                 # all may be left out
//!     method: POST           # default
//!     path: /3.0/projects/{project}/events/{c}        # default
//!     key: write             # default; or read, master, other_write, unknown, none
//!     headers: { content-type: text/plain }
//!     body: '{"a":1}'        # or a list of texts, { repeat: x, times: 9 } and { bytes: [255] }
//!     gzip: true             # and `times: 2` to send it again
//!   expect:
//!     status: 201
//!     headers: { allow: POST }  # `code: …` is the error_code of the envelope
//!     exact: { created: true }  # the whole body as JSON
//!     json: { c: [{ success: true }] }  # what must be in it: objects may hold more
//!     text: '{"accepted":1}'    # the whole body as text
//!     stored: 1                 # events that can be counted in collection {c} afterwards
//!     counted: [{ collection: '{d}', count: 1, start: …, end: … }]
//! ```
//!
//! `{project} {unknown_project} {write_key} {read_key}`, `{basic_write_key}` (as Basic authorization writes it), `{c} {d}` (collections) and `{id1}` to `{id9}` are replaced.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Request;

use crate::server::{Project, Server, ask};

/// How long events may take until they can be counted: the edge's go through a queue first.
const COUNTED_MAX: Duration = Duration::from_secs(20);

/// One scenario of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A sentence.
    pub name: String,
    /// What is sent.
    #[serde(default)]
    pub request: Sent,
    /// What must come back.
    pub expect: Expected,
}

/// What is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sent {
    method: String,
    path: String,
    key: String,
    headers: BTreeMap<String, String>,
    body: Body,
    gzip: bool,
    times: u32,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            method: "POST".to_owned(),
            path: "/3.0/projects/{project}/events/{c}".to_owned(),
            key: "write".to_owned(),
            headers: BTreeMap::new(),
            body: Body::Parts(Vec::new()),
            gzip: false,
            times: 1,
        }
    }
}

/// A body, perhaps written shorter than it is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Body {
    Text(String),
    Parts(Vec<Part>),
    Part(Part),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Part {
    Text(String),
    Repeat { repeat: String, times: usize },
    Bytes { bytes: Vec<u8> },
}

impl Body {
    /// All of it, each text as `replace` gives it.
    pub(crate) fn bytes(&self, replace: impl Fn(&str) -> String) -> Vec<u8> {
        match self {
            Self::Text(text) => replace(text).into_bytes(),
            Self::Parts(parts) => parts.iter().flat_map(|part| part.bytes(&replace)).collect(),
            Self::Part(part) => part.bytes(&replace),
        }
    }
}

impl Part {
    fn bytes(&self, replace: impl Fn(&str) -> String) -> Vec<u8> {
        match self {
            Self::Text(text) => replace(text).into_bytes(),
            Self::Repeat { repeat, times } => repeat.repeat(*times).into_bytes(),
            Self::Bytes { bytes } => bytes.clone(),
        }
    }
}

/// What must come back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    code: Option<String>,
    exact: Option<Value>,
    json: Option<Value>,
    text: Option<String>,
    stored: Option<u64>,
    #[serde(default)]
    counted: Vec<Counted>,
}

/// Events to be counted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    collection: String,
    count: u64,
    #[serde(default = "long_ago")]
    start: String,
    #[serde(default = "far_ahead")]
    end: String,
}

fn long_ago() -> String {
    "1970-01-01T00:00:00.000Z".to_owned()
}

fn far_ahead() -> String {
    "2100-01-01T00:00:00.000Z".to_owned()
}

/// A reply as far as the contract fixes it, with placeholders in place of its collections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The scenario it belongs to.
    pub scenario: String,
    /// HTTP status.
    pub status: u16,
    /// The headers that the collector sets.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
}

/// The headers that must be the same.
const COMPARED_HEADERS: &[&str] = &[
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-max-age",
    "allow",
    "cache-control",
    "content-type",
    "location",
    "retry-after",
];

/// What scenarios run against.
#[derive(Debug)]
pub struct Target<'a> {
    /// Root address that takes the events.
    pub url: &'a str,
    /// Keeps its collections and ids apart from other targets'. All of one length, so that sizes in messages agree.
    pub tag: &'a str,
    /// The server whose charts show the events in the end.
    pub server: &'a Server,
    /// The project and its keys.
    pub project: &'a Project,
    /// Another project on the same server.
    pub other: &'a Project,
    /// A key of the right form that belongs to nobody.
    pub unknown_key: &'a str,
}

/// All scenarios of a folder, by file and order.
///
/// # Errors
/// When a file can't be read; the message names it and the place.
pub fn load(folder: &Path) -> anyhow::Result<Vec<Scenario>> {
    let mut files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    let mut scenarios: Vec<Scenario> = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
        let text = std::fs::read_to_string(file)?;
        let read: Vec<Scenario> = yaml_serde::from_str(&text).with_context(|| file.display().to_string())?;
        scenarios.extend(read);
    }
    Ok(scenarios)
}

/// Sends all scenarios to `target` and then counts what was stored. Gives the replies, and what was not as expected.
#[must_use]
pub fn run(target: &Target<'_>, scenarios: &[Scenario]) -> (Vec<Reply>, Vec<String>) {
    let client = client();
    let (mut replies, mut faults) = (Vec::new(), Vec::new());
    for (number, scenario) in scenarios.iter().enumerate() {
        let names = Names { target, number };
        for _ in 0..scenario.request.times {
            let sent = send(&client, &names, scenario).and_then(|reply| {
                let checked = check(&reply, &names, &scenario.expect);
                replies.push(Reply { body: names.give_back(&reply.body), ..reply });
                checked
            });
            if let Err(error) = sent {
                faults.push(format!("{}: {}: {error:#}", target.tag, scenario.name));
            }
        }
    }
    // What must be there is waited for; what must not be there is looked for last.
    let mut counts: Vec<_> =
        scenarios.iter().enumerate().flat_map(|(number, one)| counted(one, Names { target, number })).collect();
    counts.sort_by_key(|(_, counted)| counted.count == 0);
    for (name, counted) in counts {
        if let Err(error) = count(&client, target, &counted) {
            faults.push(format!("{}: {name}: {error:#}", target.tag));
        }
    }
    (replies, faults)
}

/// A client that hands over every status, redirects too.
fn client() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    config.max_redirects_will_error(false).timeout_global(Some(Duration::from_secs(60))).build().into()
}

fn counted<'a>(scenario: &'a Scenario, names: Names<'a>) -> Vec<(&'a str, Counted)> {
    let own = scenario.expect.stored.map(|count| Counted {
        collection: "{c}".to_owned(),
        count,
        start: long_ago(),
        end: far_ahead(),
    });
    own.into_iter()
        .chain(scenario.expect.counted.iter().cloned())
        .map(|one| (&*scenario.name, Counted { collection: names.replace(&one.collection), ..one }))
        .collect()
}

fn count(client: &ureq::Agent, target: &Target<'_>, counted: &Counted) -> anyhow::Result<()> {
    let params = json!({
        "event_collection": counted.collection,
        "timeframe": { "start": counted.start, "end": counted.end },
    });
    let start = Instant::now();
    loop {
        let found = ask(client, target.server, target.project, "count", &params)?;
        if found == json!(counted.count) {
            return Ok(());
        }
        if start.elapsed() > COUNTED_MAX || counted.count == 0 {
            bail!("{} events are in {:?}, not {}", found, counted.collection, counted.count);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The names of one scenario at one target.
#[derive(Clone, Copy)]
struct Names<'a> {
    target: &'a Target<'a>,
    number: usize,
}

impl Names<'_> {
    fn collections(&self) -> [(&'static str, String); 2] {
        let Self { target, number } = self;
        [("{c}", format!("{}-c{number}", target.tag)), ("{d}", format!("{}-d{number}", target.tag))]
    }

    fn replace(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let Project { id, write_key, read_key, .. } = self.target.project;
        let mut text = text
            .replace("{project}", id)
            .replace("{unknown_project}", "000000000000000000000000")
            .replace("{write_key}", write_key)
            .replace("{basic_write_key}", &base64(&format!("{write_key}:")))
            .replace("{read_key}", read_key);
        for (placeholder, name) in self.collections() {
            text = text.replace(placeholder, &name);
        }
        for index in 1..10 {
            let tag: u64 = self.target.tag.bytes().map(u64::from).sum();
            text = text.replace(&format!("{{id{index}}}"), &format!("{tag:016x}{:08x}{index:08x}", self.number));
        }
        text
    }

    /// Puts the placeholders back.
    fn give_back(&self, text: &str) -> String {
        let [(c, c_name), (d, d_name)] = self.collections();
        text.replace(&c_name, c).replace(&d_name, d)
    }

    fn key(&self, name: &str) -> anyhow::Result<Option<&str>> {
        let Target { project, other, unknown_key, .. } = self.target;
        Ok(match name {
            "write" => Some(&project.write_key),
            "read" => Some(&project.read_key),
            "master" => Some(&project.master_key),
            "other_write" => Some(&other.write_key),
            "unknown" => Some(unknown_key),
            "none" => None,
            _ => bail!("there is no key {name:?}"),
        })
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| -> String {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(bytes.get(at).copied().unwrap_or_default()));
        let digit = |at: usize| DIGITS.get(bits >> (18 - 6 * at) & 63).copied().map_or('=', char::from);
        (0..4).map(|at| if at <= bytes.len() { digit(at) } else { '=' }).collect()
    };
    text.as_bytes().chunks(3).map(group).collect()
}

fn body(sent: &Sent, names: &Names<'_>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = sent.body.bytes(|text| names.replace(text));
    if sent.gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes)?;
        bytes = encoder.finish()?;
    }
    Ok(bytes)
}

fn send(client: &ureq::Agent, names: &Names<'_>, scenario: &Scenario) -> anyhow::Result<Reply> {
    let sent = &scenario.request;
    let mut request =
        Request::builder().method(&*sent.method).uri(format!("{}{}", names.target.url, names.replace(&sent.path)));
    if let Some(key) = names.key(&sent.key)? {
        request = request.header("authorization", key);
    }
    for (name, value) in &sent.headers {
        request = request.header(name, names.replace(value));
    }
    let mut response = match &*sent.method {
        "POST" | "PUT" => client.run(request.body(body(sent, names)?)?)?,
        _ => client.run(request.body(())?)?,
    };
    let header = |name: &&str| Some(((*name).to_owned(), response.headers().get(*name)?.to_str().ok()?.to_owned()));
    let headers = COMPARED_HEADERS.iter().filter_map(header).collect();
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(1 << 26).read_to_vec()?;
    Ok(Reply { scenario: scenario.name.clone(), status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn check(reply: &Reply, names: &Names<'_>, expected: &Expected) -> anyhow::Result<()> {
    let shown: String = reply.body.chars().take(300).collect();
    ensure!(reply.status == expected.status, "status is {}, not {}: {shown}", reply.status, expected.status);
    let header = |name: &str| reply.headers.get(name).map(String::as_str);
    ensure!(header("access-control-allow-origin") == Some("*"), "another origin can't read it");
    for (name, value) in &expected.headers {
        ensure!(header(name) == Some(value), "{name} is {:?}, not {value:?}", header(name));
    }
    if let Some(text) = &expected.text {
        ensure!(reply.body == names.replace(text), "body is {shown}");
    }
    let body: Option<Value> = serde_json::from_str(&reply.body).ok();
    let field = |name: &str| body.as_ref().and_then(|body| body.get(name)).and_then(Value::as_str);
    if reply.status >= 400 {
        ensure!(field("error_code").is_some() && field("message").is_some(), "not the envelope: {shown}");
    } else {
        ensure!(field("error_code").is_none(), "a success with an error_code: {shown}");
    }
    if let Some(code) = &expected.code {
        ensure!(field("error_code") == Some(code), "error_code is not {code}: {shown}");
    }
    for (wanted, is_exact) in [(&expected.exact, true), (&expected.json, false)] {
        let Some(wanted) = wanted else { continue };
        let wanted: Value = serde_json::from_str(&names.replace(&wanted.to_string()))?;
        let found = body.as_ref().context("not JSON")?;
        ensure!(if is_exact { *found == wanted } else { holds(found, &wanted) }, "body is {shown}, not {wanted}");
    }
    Ok(())
}

/// Whether `found` has everything of `wanted`: objects may hold more, lists may not.
fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| found.get(name).is_some_and(|found| holds(found, wanted)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| holds(found, wanted))
        }
        _ => found == wanted,
    }
}
