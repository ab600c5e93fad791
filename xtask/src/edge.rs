//! Builds the edge worker and starts it in front of the demo.
//!
//! How the worker is put together is decided in `edge-worker/build.mjs`, how it is run on this machine in
//! `tests/edge/run.mjs`; this only calls them with what they need.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::fingerprint::Fingerprint;
use crate::process::{must, output, program};
use crate::running::Running;
use crate::screen::Screen;
use crate::tools;
use crate::wasm::{self, Module};
use crate::web::Demo;
use crate::work::Work;

/// The slot of the status line.
const SLOT: &str = "edge worker";
const MODULE: Module = Module {
    name: "edge-bindings",
    crate_name: "edge-worker",
    stem: "edge_worker",
    target: "worker",
    // Fast before small: it is loaded once and runs for every request. The bindings catch the module's end (a panic)
    // by wasm exceptions, which rustc does not announce.
    optimize: &["-O3", "--enable-exception-handling"],
};

/// `cargo xtask edge`
pub(crate) fn command(work: &Work) -> Result<bool> {
    tools::check_node(work)?;
    tools::ensure_wasm_target(work)?;
    let screen = Screen::new(1);
    screen.step("Building the edge worker");
    screen.watch(|| build(work, &screen))?;
    screen.say(&format!("      it is in {}", work.show(&work.target.join("edge"))));
    Ok(true)
}

/// Builds it into `target/edge` as far as something changed.
pub(crate) fn build(work: &Work, screen: &Screen) -> Result<()> {
    tools::npm_ci(screen, SLOT, &work.root)?;
    wasm::build(work, screen, SLOT, &MODULE)?;
    let (source, bindings) = (work.root.join("edge-worker"), work.target.join(MODULE.name));
    let (out, stamp) = (work.target.join("edge"), work.target.join("edge.stamp"));
    let inputs = Fingerprint::default()
        .path(&work.root.join("package-lock.json"), &[])?
        .path(&work.root.join("xtask/bundle.mjs"), &[])?
        .path(&bindings, &[])?
        .path(&source, &["src"])?;
    if inputs.is_kept(&stamp) && out.join("index.js").is_file() {
        return Ok(());
    }
    screen.set(SLOT, "esbuild");
    let mut node = program("node", &work.root);
    must(node.arg("xtask/bundle.mjs").arg(source.join("build.mjs")).arg(&bindings).arg(&out))?;
    screen.set(SLOT, "");
    inputs.keep(&stamp)
}

/// A secret that server and worker share for this one run.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0_u8; 24];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("reading /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the worker in front of a server must know.
pub(crate) struct Front<'a> {
    /// The port it listens on.
    pub(crate) port: u16,
    /// Where it hands batches to.
    pub(crate) server_url: &'a str,
    /// Signs them.
    pub(crate) secret: &'a str,
    /// The project it takes events for.
    pub(crate) demo: &'a Demo,
    /// The server's folder, which knows the keys.
    pub(crate) data: &'a Path,
    /// The program `rivulet`.
    pub(crate) binary: &'a Path,
}

/// Starts it under workerd on this machine.
pub(crate) fn start(work: &Work, front: &Front<'_>, log: &Path) -> Result<Running> {
    let Some(node) = tools::node_for_workerd(work) else {
        bail!("workerd's driver needs Node 22 or newer, and the package `node` in tests/node_modules is not complete");
    };
    let settings = json!({
        "worker": work.target.join("edge"),
        "server": front.server_url,
        "secret": front.secret,
        "port": front.port,
        "keys": names(work, front)?,
    });
    let mut run = program(node, &work.root);
    // It ends when its standard input does, so that it cannot be left behind.
    run.arg("tests/edge/run.mjs").arg(settings.to_string()).stdin(Stdio::piped());
    Running::start(&mut run, log).context("starting the edge worker")
}

/// What the worker looks up: every key of the project, and that the project exists.
fn names(work: &Work, front: &Front<'_>) -> Result<Map<String, Value>> {
    let mut list = program(front.binary, &work.root);
    let list = list.args(["key", "list", "--json", "--project", &front.demo.project, "--data"]).arg(front.data);
    let mut names = Map::new();
    for line in output(list)?.lines() {
        let key: Value = serde_json::from_str(line).context("`rivulet key list` did not print JSON")?;
        if let (Some(hash), Some(record)) = (key.get("hash").and_then(Value::as_str), key.get("record")) {
            names.insert(format!("key:{hash}"), record.clone());
        }
    }
    names.insert(format!("project:{}", front.demo.project), json!({}));
    Ok(names)
}
