//! Starts the built edge worker under workerd on this machine.
//!
//! It is a process of its own (`tests/edge/run.mjs`), as the server is. Nothing here decides whether a test passes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use protocol::{Key, KeyKind, KeyRecord};
use serde_json::{Map, Value, json};

use crate::server::{Project, Server};

/// The secret that worker and server share in tests.
pub const APPEND_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running worker. It ends with this value.
#[derive(Debug)]
pub struct Edge {
    child: Child,
    /// Base address, as `http://127.0.0.1:40123`.
    pub url: String,
}

/// What a worker is started with.
#[derive(Debug)]
pub struct Setup {
    /// Where it hands batches to.
    pub server_url: String,
    /// What stands in its KV.
    pub keys: Map<String, Value>,
    /// Whether requests may ask for faults (`tests/edge/faulty.mjs`).
    pub faults: bool,
    /// Its default limits; none: no limits.
    pub rates: Option<Value>,
    /// What Cloudflare would know of a caller.
    pub cf: Option<Value>,
}

impl Setup {
    /// In front of the server at this address, for these projects, without faults and limits.
    ///
    /// # Errors
    /// When a project's keys are none.
    pub fn new(server_url: &str, projects: &[&Project]) -> anyhow::Result<Self> {
        Ok(Self { server_url: server_url.to_owned(), keys: keys(projects)?, faults: false, rates: None, cf: None })
    }
}

impl Edge {
    /// Starts the worker on a free port, in front of `server`, with the keys of `projects` in its KV.
    ///
    /// The worker is taken from `RIVULET_WORKER_DIR`, or from where `cargo xtask edge` puts it.
    ///
    /// # Errors
    /// When it, or what it needs, was not built or installed; the message says how.
    pub fn start(server: &Server, projects: &[&Project]) -> anyhow::Result<Self> {
        Self::start_with(&Setup::new(&server.url, projects)?)
    }

    /// Starts the worker on a free port.
    ///
    /// # Errors
    /// As [`Edge::start`].
    pub fn start_with(setup: &Setup) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
        let worker = std::env::var_os("RIVULET_WORKER_DIR").map_or_else(|| root.join("target/edge"), PathBuf::from);
        ensure!(
            worker.join("index.js").is_file(),
            "there is no worker in {}: run `cargo xtask edge`",
            worker.display()
        );
        let node = root.join("tests/node_modules/node/bin/node");
        ensure!(node.is_file(), "there is no {}: run `npm ci` in tests/", node.display());
        let mut settings = json!({
            "worker": worker, "server": setup.server_url, "secret": APPEND_SECRET, "port": 0, "keys": setup.keys,
            "faults": setup.faults,
        });
        if let Some(settings) = settings.as_object_mut() {
            settings.extend(setup.rates.clone().map(|rates| ("rates".to_owned(), rates)));
            settings.extend(setup.cf.clone().map(|cf| ("cf".to_owned(), cf)));
        }
        let mut child = Command::new(node)
            .arg(root.join("tests/edge/run.mjs"))
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut edge = Self { child, url: String::new() };
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let ready = lines.find_map(|line| line.strip_prefix("READY ").map(str::to_owned));
        edge.url = ready.context("the worker ended before it was ready")?;
        // What it logs is read to its end, else it would die of a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(edge)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // The end of its input tells it to stop, and it takes workerd with it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What the server would publish to KV.
fn keys(projects: &[&Project]) -> anyhow::Result<Map<String, Value>> {
    let mut names = Map::new();
    for project in projects {
        names.insert(format!("project:{}", project.id), json!({}));
        for (text, kind) in [
            (&project.master_key, KeyKind::Master),
            (&project.read_key, KeyKind::Read),
            (&project.write_key, KeyKind::Write),
        ] {
            let key: Key = text.parse()?;
            let record = KeyRecord::new(project.id.parse()?, kind);
            names.insert(format!("key:{}", key.hash().to_hex()), serde_json::to_value(record)?);
        }
    }
    Ok(names)
}
