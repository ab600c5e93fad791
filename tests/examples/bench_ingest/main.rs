//! How many batches a server makes durable a second on the machine that also makes the load, how long they wait, and what
//! happens when far more are offered or one project wants everything.
//!
//! The yardstick in the same run is nginx with a fixed reply to the same requests. `BENCH_S` is the seconds of each part (10
//! without), `BENCH_OVERLOAD_S` those of the overload (60), `NGINX` the program. The parts do not depend on each other's
//! absolute numbers but on their ratios, because machines and their neighbours differ.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers for people")]

mod load;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use load::{EVENTS, Outcome, Pace, Request, run, run_apart};
use tests::server::{Folder, Project, Server, create_project};

/// Connections that keep the server busy.
const CONNECTIONS: usize = 64;
/// Connections that offer too much.
const CONNECTIONS_OVERLOAD: usize = 1_024;
/// How many times the peak is offered.
const OVERLOAD: f64 = 10.0;

fn seconds(name: &str, otherwise: f64) -> f64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(bench())
}

async fn bench() -> Result<()> {
    let part_s = seconds("BENCH_S", 10.0);
    let path = |project: &Project| format!("/3.0/projects/{}/batches", project.id);
    let nginx = Nginx::start()?;
    let plain = Request::new("/3.0/projects/p/batches", &"k".repeat(37), 1);
    println!("request: {EVENTS} events, {} bytes with its head", plain.bytes());
    if let Some(nginx) = &nginx {
        report("nginx, fixed reply", &run(&nginx.address, &plain, CONNECTIONS, Pace::Closed, part_s).await?);
    }
    let mut peaks = Vec::new();
    for (name, roles) in [("all roles", r#"["collect","process","query"]"#), ("collect alone", r#"["collect"]"#)] {
        let folder = Folder::new("bench-ingest")?;
        let project = create_project(folder.path())?;
        let server = Server::start(folder.path(), &[("RIVULET_ROLES", roles)])?;
        let address = server.url.trim_start_matches("http://").to_owned();
        let request = Request::new(&path(&project), &project.write_key, 2);
        run(&address, &request, CONNECTIONS, Pace::Closed, part_s / 5.0).await?;
        let before = cpu_s(server.id());
        let peak = run(&address, &request, CONNECTIONS, Pace::Closed, part_s).await?;
        let cpu_us = (cpu_s(server.id()) - before) * 1e6 / peak.accepted_us.len().max(1) as f64;
        report(&format!("{name}, closed loop"), &peak);
        println!(
            "    {cpu_us:.0} us of the server's time a batch, {} MiB resident, {} MiB at most",
            memory(server.id(), "VmRSS:"),
            memory(server.id(), "VmHWM:")
        );
        for share in [0.5, 0.8] {
            let rate = Pace::Rate(peak.per_s() * share);
            report(
                &format!("{name}, {:.0} % of that", share * 100.0),
                &run(&address, &request, 256, rate, part_s).await?,
            );
        }
        if roles == r#"["collect"]"# {
            overload(&server, &address, &request, &peak, cpu_us).await?;
        }
        peaks.push((name, peak.per_s()));
    }
    neighbours(part_s, &path).await?;
    if let Some(nginx) = &nginx {
        let again = run(&nginx.address, &plain, CONNECTIONS, Pace::Closed, part_s).await?;
        report("nginx again", &again);
        for (name, peak) in peaks {
            println!("{name}: {:.0} % of nginx in the same run", peak * 100.0 / again.per_s());
        }
    }
    Ok(())
}

/// Ten times the peak, and how soon all is well again.
async fn overload(server: &Server, address: &str, request: &Request, peak: &Outcome, cpu_us: f64) -> Result<()> {
    let overload_s = seconds("BENCH_OVERLOAD_S", 60.0);
    let calm = Pace::Rate(peak.per_s() * 0.8);
    let before = run(address, request, 256, calm, 5.0).await?;
    let cpu_before = cpu_s(server.id());
    let much = Pace::Flood(peak.per_s() * OVERLOAD);
    let over = run(address, request, CONNECTIONS_OVERLOAD, much, overload_s).await?;
    let cpu = (cpu_s(server.id()) - cpu_before) * 1e6;
    report(&format!("{OVERLOAD:.0} times the peak for {overload_s:.0} s"), &over);
    let shed_us = (cpu - cpu_us * over.accepted_us.len() as f64) / over.refused.max(1) as f64;
    println!(
        "    offered {:.1} times the peak, goodput {:.0} % of it, p99 {:.1} times that at 80 %, {shed_us:.0} us of the server's time per refusal, {} MiB at most",
        over.offered_per_s() / peak.per_s(),
        over.per_s() * 100.0 / peak.per_s(),
        over.ms(0.99) / before.ms(0.99),
        memory(server.id(), "VmHWM:"),
    );
    let after = run(address, request, 256, calm, 10.0).await?;
    report("80 % right after", &after);
    let well = (0..10).find(|second| after.ms_in_second(*second, 0.99) < 1.5 * before.ms(0.99));
    println!("    normal again after {} s", well.map_or("more than 10".to_owned(), |second| (second + 1).to_string()));
    Ok(())
}

/// A quiet project beside one that takes what it gets.
async fn neighbours(part_s: f64, path: &impl Fn(&Project) -> String) -> Result<()> {
    let folder = Folder::new("bench-neighbours")?;
    let (quiet, noisy) = (create_project(folder.path())?, create_project(folder.path())?);
    let server = Server::start(folder.path(), &[("RIVULET_ROLES", r#"["collect"]"#)])?;
    let address = server.url.trim_start_matches("http://").to_owned();
    let (small, large) =
        (Request::new(&path(&quiet), &quiet.write_key, 3), Request::new(&path(&noisy), &noisy.write_key, 4));
    const QUIET: Pace = Pace::Rate(50.0);
    let peak = run(&address, &large, CONNECTIONS, Pace::Closed, part_s / 2.0).await?;
    // What is compared: a machine that is as busy as it may be, and one that is asked for far more.
    for (name, connections, pace) in [
        ("beside nobody", 1, Pace::Rate(0.1)),
        ("beside 80 % of the peak", 256, Pace::Rate(peak.per_s() * 0.8)),
        ("beside 100 times its rate and no end", CONNECTIONS_OVERLOAD, Pace::Flood((peak.per_s() * 2.0).max(5_000.0))),
    ] {
        let (own, other) = tokio::join!(
            run_apart(&address, &small, 16, QUIET, part_s),
            run(&address, &large, connections, pace, part_s)
        );
        let (own, other) = (own?, other?);
        report(&format!("a quiet project {name}"), &own);
        println!("    the other: {:.0} accepted/s of {:.0} offered/s", other.per_s(), other.offered_per_s());
    }
    Ok(())
}

fn report(name: &str, outcome: &Outcome) {
    println!(
        "{name}: {:.0} batches/s ({:.0} events/s), p50 {:.1} ms, p99 {:.1} ms, {} refused, {} failed",
        outcome.per_s(),
        outcome.per_s() * EVENTS as f64,
        outcome.ms(0.5),
        outcome.ms(0.99),
        outcome.refused,
        outcome.failed,
    );
}

/// MiB of a process, as the kernel counts them.
fn memory(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix(name)?.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// Seconds of processor time that a process has used; the kernel counts hundredths.
fn cpu_s(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// nginx with a fixed reply, in a folder of its own.
struct Nginx {
    child: Child,
    address: String,
    _folder: Folder,
}

impl Nginx {
    fn start() -> Result<Option<Self>> {
        let program = std::env::var("NGINX").unwrap_or_else(|_| "nginx".to_owned());
        if Command::new(&program).arg("-v").stderr(Stdio::null()).status().is_err() {
            println!("there is no nginx (apt-get install nginx, or NGINX=path): no yardstick in this run");
            return Ok(None);
        }
        let folder = Folder::new("bench-nginx")?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        std::fs::write(folder.path().join("nginx.conf"), nginx_conf(folder.path(), &address))?;
        let conf = folder.path().join("nginx.conf");
        let child =
            Command::new(&program).arg("-p").arg(folder.path()).arg("-c").arg(conf).stderr(Stdio::null()).spawn()?;
        let started = Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            anyhow::ensure!(started.elapsed() < Duration::from_secs(10), "nginx does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(Self { child, address, _folder: folder }))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends the workers when it is asked; a killed one would leave them.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().context("kill");
        let _ = self.child.wait();
    }
}

fn nginx_conf(dir: &Path, address: &str) -> String {
    let dir = dir.display();
    format!(
        "daemon off; worker_processes 2; pid {dir}/pid; error_log {dir}/error.log crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; client_body_buffer_size 64k; client_max_body_size 10m;\n\
         client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;\n\
         server {{ listen {address} reuseport; location / {{ default_type application/json; return 200 '{{\"accepted\":{EVENTS}}}'; }} }} }}\n"
    )
}
