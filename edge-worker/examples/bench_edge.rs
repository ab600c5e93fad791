//! Measures the built worker under bare workerd beside the yardstick in plain JavaScript: processor time for a batch of 50
//! events and 20 KB.
//!
//! `cargo xtask edge`, `npm ci` in tests/, then `cargo run --release --package edge-worker --example bench_edge`. The time is
//! what the kernel counts for the process, all threads, over thousands of requests. The two take turns, and the best
//! round of each counts, because a shared machine is only ever slower than itself. Fails when a goal is missed.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use protocol::{EventId, Key, KeyKind};

const EVENTS: u64 = 50;
const ROUNDS: usize = 7;
const REQUESTS_PER_ROUND: u32 = 2_000;
const WARM_UP_REQUESTS: u32 = 3_000;
const CONNECTIONS: usize = 4;
/// Ticks of a second in /proc: a constant of Linux's interface.
const TICKS_PER_S: f64 = 100.0;
/// The goals.
const CPU_MS_MAX: f64 = 1.0;
const RATIO_MAX: f64 = 1.15;
const START_MAX: Duration = Duration::from_secs(20);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let built = std::env::var_os("RIVULET_WORKER_DIR").map_or_else(|| target.join("edge"), PathBuf::from);
    if !built.join("index.js").is_file() {
        return Err(format!("there is no worker in {}: run `cargo xtask edge`", built.display()).into());
    }
    let dir = target.join("bench-edge");
    fs::create_dir_all(&dir)?;
    for (folder, name) in [(&built, "index.js"), (&built, "index_bg.wasm")] {
        fs::copy(folder.join(name), dir.join(name))?;
    }
    for name in ["yardstick.mjs", "yardstick_exact.mjs", "yardstick_scrub.mjs", "standin.mjs"] {
        fs::copy(root.join("tests/edge").join(name), dir.join(name))?;
    }
    let request = request()?;
    println!("{} bytes a request, {EVENTS} events", request.len());
    let worker = Running::start(root, &dir, "worker")?;
    let yardstick = Running::start(root, &dir, "yardstick")?;
    for one in [&worker, &yardstick] {
        one.load(&request, WARM_UP_REQUESTS)?;
    }
    let (mut of_worker, mut of_yardstick) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_worker.push(worker.cpu_ms(&request)?);
        of_yardstick.push(yardstick.cpu_ms(&request)?);
    }
    let (best_of_worker, best_of_yardstick) = (report("worker", of_worker), report("yardstick", of_yardstick));
    let ratio = best_of_worker / best_of_yardstick;
    println!("ratio      {ratio:.2}, the goal is {RATIO_MAX}; the goal for the worker is {CPU_MS_MAX} ms");
    if best_of_worker > CPU_MS_MAX || ratio > RATIO_MAX {
        return Err("a goal is missed".into());
    }
    Ok(())
}

fn report(name: &str, mut rounds_ms: Vec<f64>) -> f64 {
    rounds_ms.sort_by(f64::total_cmp);
    let best = rounds_ms.first().copied().unwrap_or(f64::NAN);
    let median = rounds_ms.get(rounds_ms.len() / 2).copied().unwrap_or(f64::NAN);
    println!("{name:<10} {best:.3} ms of processor time a batch (best of {ROUNDS}), {median:.3} ms (median)");
    best
}

/// The same batch as in the collector's own bench.
fn request() -> Result<Vec<u8>> {
    let event = |index: u64| {
        let properties = format!(
            r#"{{"page":"/products/{index}","referrer":"https://search.example.test/?q=shoes","title":"Trail shoes {index}","device":{{"kind":"phone","width":390,"height":844}},"country":"DE","price":{index}.95,"quantity":2,"returning":true,"tags":["spring","sale","outdoor"],"visitor":"{:032x}"}}"#,
            index * 7_919
        );
        let id = EventId::from_bytes([7; 16]).nth(index);
        format!(r#"{{"id":"{id}","collection":"pageviews","timestamp":1577836800000,"properties":{properties}}}"#)
    };
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    let body = format!(r#"{{"sent_at":1577836800000,"events":[{}]}}"#, events.join(","));
    let key = Key::from_random(KeyKind::Write, [7; 28]);
    let head = format!(
        "POST /3.0/projects/p/batches HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        key.reveal(),
        body.len()
    );
    Ok([head.into_bytes(), body.into_bytes()].concat())
}

/// A workerd of its own, so that its time is its own.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(root: &Path, dir: &Path, worker: &str) -> Result<Self> {
        // Taken for a moment, to find one that is free.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let text = fs::read_to_string(root.join("tests/edge/bench.capnp"))?;
        let config = dir.join(format!("{worker}.capnp"));
        fs::write(&config, text.replace("WORKER", worker).replace("PORT", &port.to_string()))?;
        let binary = root.join("tests/node_modules/@cloudflare/workerd-linux-64/bin/workerd");
        if !binary.is_file() {
            return Err(format!("there is no {}: run `npm ci` in tests/", binary.display()).into());
        }
        let child = Command::new(binary).arg("serve").arg(&config).spawn()?;
        let running = Self { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > START_MAX {
                return Err("workerd does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(running)
    }

    fn cpu_ms(&self, request: &[u8]) -> Result<f64> {
        let before = self.ticks()?;
        self.load(request, REQUESTS_PER_ROUND)?;
        Ok((self.ticks()? - before) / TICKS_PER_S * 1_000.0 / f64::from(REQUESTS_PER_ROUND))
    }

    /// User and system time of the process until now.
    fn ticks(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = text.rsplit_once(')').ok_or("an unknown form of stat")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut next = || -> Result<f64> { Ok(fields.next().ok_or("stat is short")?.parse::<f64>()?) };
        Ok(next()? + next()?)
    }

    /// Sends so many requests, over a few connections at once.
    fn load(&self, request: &[u8], requests: u32) -> Result<()> {
        let each = requests / u32::try_from(CONNECTIONS)?;
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..CONNECTIONS)
                .map(|_| scope.spawn(|| send(self.port, request, each).map_err(|error| error.to_string())))
                .collect();
            for one in all {
                one.join().map_err(|_| "a sender ended")??;
            }
            Ok(())
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(port: u16, request: &[u8], requests: u32) -> Result<()> {
    let expected = format!(r#"{{"accepted":{EVENTS}}}"#);
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4_096];
    for _ in 0..requests {
        stream.write_all(request)?;
        let mut answer = String::new();
        while !answer.ends_with(&expected) {
            let bytes = stream.read(&mut buffer)?;
            if bytes == 0 || answer.len() > buffer.len() {
                return Err(format!("the answer is another one: {answer}").into());
            }
            answer.push_str(&String::from_utf8_lossy(buffer.get(..bytes).unwrap_or_default()));
        }
    }
    Ok(())
}
