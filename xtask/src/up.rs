//! `cargo xtask up`: from a clean clone to a running demo.
//!
//! Everything it makes is below `target/up`: `data` (the server's folder), `web` (the site), `demo.json` (the project's
//! keys), `events` (generated, removed once loaded) and `server.log`. What is already there is not made again, so a
//! second start only starts the server. Deleting `target/up` starts over.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::edge::Front;
use crate::process::{output, program};
use crate::running::Running;
use crate::screen::{Screen, clock};
use crate::tools::{self, cargo_build, cargo_with_progress};
use crate::web::{self, Demo};
use crate::work::Work;
use crate::{calendar, edge, http, npm, sample};

/// Free disk that a first build needs: objects of the server (1.5 GiB), of the browser packages, npm packages, data.
const FIRST_BUILD_MIB: u64 = 4_096;
/// Free disk that a later start needs: the log keeps a reserve of 256 MiB.
const START_MIB: u64 = 768;

/// What the command line said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// The port of the server; the edge worker takes the next one.
    pub(crate) port: u16,
    /// Whether the real worker stands in front.
    pub(crate) edge: bool,
    /// Stop as soon as everything is loaded, for tests.
    pub(crate) exit_after_ready: bool,
}

/// `cargo xtask up`
pub(crate) fn up(work: &Work, options: &Options) -> Result<bool> {
    let screen = Screen::new(4);
    let site = Site::new(work, options);
    for port in [Some(site.port), options.edge.then_some(site.edge_port)].into_iter().flatten() {
        if !http::port_is_free(port) {
            bail!("port {port} is in use, perhaps by an earlier start: stop that, or choose another with --port");
        }
    }
    let is_first = !site.binary.is_file();
    tools::check_space(&site.dir, if is_first { FIRST_BUILD_MIB } else { START_MIB })?;
    let node = tools::check_node(work)?;
    tools::ensure_wasm_target(work)?;
    let patience = if is_first { "; the first time takes minutes" } else { "" };
    screen.step(&format!("Building the server and the browser packages (Node {node}{patience})"));
    build(work, &screen, options.edge)?;
    web::assemble(work, &site.web())?;

    screen.step("Making the demo project");
    let demo = project(&site)?;
    web::introduce(&site.web(), &demo, &site.url(), &site.collector_url())?;

    screen.step(&format!("Starting the server on {}", site.url()));
    let stop = stop_signal()?;
    let secret = edge::secret()?;
    let mut server = start(&site, &secret)?;
    server.wait_until(|| http::status(site.port, "/ready") == Some(200), &stop)?;
    let mut front = match options.edge {
        true => Some(start_front(&site, &demo, &secret)?),
        false => None,
    };
    if let Some(front) = &mut front {
        front.wait_until(|| http::status(site.edge_port, "/").is_some(), &stop)?;
    }

    screen.step("Loading the sample events");
    load(&site, &demo, &screen, &stop)?;
    if !stop.load(Ordering::Acquire) {
        announce(&screen, &site, &demo);
    }
    while !options.exit_after_ready && !stop.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(100));
        server.must_run()?;
    }
    println!("Stopping.");
    if let Some(front) = front {
        front.stop()?;
    }
    server.stop()?;
    Ok(true)
}

/// Where the demo is and what it listens on.
struct Site<'a> {
    work: &'a Work,
    dir: PathBuf,
    binary: PathBuf,
    port: u16,
    edge_port: u16,
    edge: bool,
}

impl<'a> Site<'a> {
    fn new(work: &'a Work, options: &Options) -> Self {
        Self {
            work,
            dir: work.target.join("up"),
            binary: work.target.join("release/rivulet"),
            port: options.port,
            edge_port: options.port.saturating_add(1),
            edge: options.edge,
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn web(&self) -> PathBuf {
        self.dir.join("web")
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the shop sends to.
    fn collector_url(&self) -> String {
        if self.edge { format!("http://127.0.0.1:{}", self.edge_port) } else { self.url() }
    }
}

/// Builds side by side: the server's long dependencies leave a core idle at times, and so do the small wasm builds.
fn build(work: &Work, screen: &Screen, with_edge: bool) -> Result<()> {
    screen.watch(|| {
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let mut cargo = cargo_with_progress(work);
                cargo.args(["build", "--release", "--package", "server", "--bin", "rivulet"]);
                cargo_build(screen, "server", &mut cargo)
            });
            let packages = npm::build(work, screen);
            let edge = if with_edge && packages.is_ok() { build_edge(work, screen) } else { Ok(()) };
            let server = server.join().unwrap_or_else(|_| bail!("the thread that builds the server panicked"));
            server.and(packages).and(edge)
        })
    })
}

/// The worker, and what runs it on this machine.
fn build_edge(work: &Work, screen: &Screen) -> Result<()> {
    tools::npm_ci(screen, "edge worker", &work.root.join("tests"))?;
    edge::build(work, screen)
}

/// The demo project: the one of last time, or a new one.
fn project(site: &Site<'_>) -> Result<Demo> {
    let (data, kept) = (site.data(), site.dir.join("demo.json"));
    if data.is_dir()
        && let Ok(text) = fs::read_to_string(&kept)
        && let Ok(demo) = Demo::from_json(&text)
    {
        return Ok(demo);
    }
    for stale in [&data, &site.dir.join("events")] {
        if stale.exists() {
            fs::remove_dir_all(stale).with_context(|| format!("removing {}", stale.display()))?;
        }
    }
    fs::create_dir_all(&data).with_context(|| format!("creating {}", data.display()))?;
    let mut create = program(&site.binary, &site.work.root);
    let text = output(create.args(["project", "create", "demo", "--json", "--data"]).arg(&data))?;
    let demo = Demo::from_json(&text)?;
    fs::write(&kept, text).with_context(|| format!("writing {}", kept.display()))?;
    Ok(demo)
}

fn start(site: &Site<'_>, secret: &str) -> Result<Running> {
    let mut serve = program(&site.binary, &site.work.root);
    serve.arg("serve").arg("--data").arg(site.data()).stdin(Stdio::null());
    serve.arg("--listen").arg(format!("127.0.0.1:{}", site.port)).arg("--web").arg(site.web());
    if site.edge {
        serve.env("RIVULET_EDGE_APPEND_SECRETS", format!("[\"{secret}\"]"));
    }
    Running::start(&mut serve, &site.dir.join("server.log")).context("starting the server")
}

fn start_front(site: &Site<'_>, demo: &Demo, secret: &str) -> Result<Running> {
    let front =
        Front { port: site.edge_port, server_url: &site.url(), secret, demo, data: &site.data(), binary: &site.binary };
    edge::start(site.work, &front, &site.dir.join("edge.log"))
}

/// A flag that Ctrl-C and a polite kill set.
fn stop_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("listening for Ctrl-C")?;
    }
    Ok(stop)
}

/// Generates the events once and loads what is not loaded yet. An interrupted load goes on where it stopped, because
/// the file stays until it is loaded whole.
fn load(site: &Site<'_>, demo: &Demo, screen: &Screen, stop: &AtomicBool) -> Result<()> {
    let events = site.dir.join("events");
    let marker = |collection: &str| events.join(format!("{collection}.loaded"));
    let file = |collection: &str| events.join(format!("{collection}.ndjson"));
    let open: Vec<&str> = sample::COLLECTIONS.into_iter().filter(|name| !marker(name).is_file()).collect();
    if open.is_empty() {
        screen.say("      already loaded");
        return Ok(());
    }
    if open.iter().any(|name| !file(name).is_file()) {
        let counts = generate(&events)?;
        screen.say(&format!("      made up {} events of the last 30 days", counts.iter().sum::<u64>()));
    }
    for name in open {
        let mut load = program(&site.binary, &site.work.root);
        load.arg("load").arg(file(name)).args(["--project", &demo.project, "--collection", name]);
        load.args(["--server", &site.url()]).env("RIVULET_KEY", &demo.write_key);
        let status = load.stdin(Stdio::null()).status().context("starting `rivulet load`")?;
        if stop.load(Ordering::Acquire) {
            return Ok(());
        }
        if !status.success() {
            bail!("`rivulet load` of {name} failed ({status}); start again to go on where it stopped");
        }
        fs::write(marker(name), "")?;
        // What is loaded is not needed any more, nor is the note about how far it came.
        fs::remove_file(file(name)).ok();
        fs::remove_file(events.join(format!("{name}.ndjson.rivulet-load"))).ok();
    }
    Ok(())
}

fn generate(dir: &Path) -> Result<[u64; 3]> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let part = |name: &str| dir.join(format!("{name}.part"));
    let open = |name: &str| -> Result<BufWriter<File>> {
        let path = part(name);
        Ok(BufWriter::new(File::create(&path).with_context(|| format!("creating {}", path.display()))?))
    };
    let [pageviews, clicks, purchases] = sample::COLLECTIONS;
    let mut files = sample::Files { pageviews: open(pageviews)?, clicks: open(clicks)?, purchases: open(purchases)? };
    let counts = sample::write(calendar::now_ms(), &mut files).context("writing the sample events")?;
    for writer in [files.pageviews, files.clicks, files.purchases] {
        writer.into_inner().context("writing the sample events")?;
    }
    for name in sample::COLLECTIONS {
        fs::rename(part(name), dir.join(format!("{name}.ndjson")))?;
    }
    Ok(counts)
}

fn announce(screen: &Screen, site: &Site<'_>, demo: &Demo) {
    let (url, time) = (site.url(), clock(screen.elapsed()));
    println!();
    println!("Rivulet is ready after {}. Open both side by side and click in the shop:", time.trim());
    println!();
    println!("  shop       {url}/shop/");
    println!("  dashboard  {url}/dashboard/");
    println!();
    if site.edge {
        println!("  collector  {} (the edge worker)", site.collector_url());
    }
    println!("  project    {}", demo.project);
    println!("  read key   {}", demo.read_key);
    println!("  write key  {}", demo.write_key);
    println!();
    println!("Ctrl-C stops it; the data stays for the next start.");
}
