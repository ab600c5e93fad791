//! `cargo xtask bench`: runs every bench and keeps what it printed.
//!
//! A number without its machine and command is a rumour, so each file of `bench/results` begins with the date, the
//! commit, the machine and the tools. The benches are the crates' examples whose name begins
//! with `bench`; what they measure and how is their business.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::process::{output, program, run};
use crate::screen::Screen;
use crate::tidy::imports::Metadata;
use crate::tools::cargo_with_progress;
use crate::work::Work;
use crate::{calendar, npm};

/// The slot of the status line.
const SLOT: &str = "bench";

/// How to repeat one bench by hand.
fn command_line(package: &str, example: &str) -> String {
    format!("cargo run --release --package {package} --example {example}")
}

/// `cargo xtask bench`: runs the benches whose `package/name` contains `only`, and writes the report.
pub(crate) fn command(work: &Work, only: Option<&str>) -> Result<bool> {
    let benches: Vec<(String, String)> = Metadata::read(work)?
        .benches()
        .into_iter()
        .filter(|(package, name)| only.is_none_or(|only| format!("{package}/{name}").contains(only)))
        .collect();
    if benches.is_empty() {
        bail!("there is no bench called like that");
    }
    let screen = Screen::new(benches.len());
    let mut report = head(work);
    let mut all_ok = true;
    if benches.iter().any(|(package, _)| package == "tests") {
        // They start the program itself.
        let mut cargo = cargo_with_progress(work);
        cargo.args(["build", "--release", "--package", "server"]);
        if !screen.watch(|| run(&mut cargo, &|line| screen.see_cargo(SLOT, line)))?.ok {
            bail!("the server can't be built: cargo build --release --package server says why");
        }
    }
    for (package, example) in &benches {
        screen.step(&format!("{package}/{example}"));
        let line = command_line(package, example);
        let mut cargo = cargo_with_progress(work);
        cargo.args(["run", "--release", "--package", package, "--example", example]);
        let ran = screen.watch(|| run(&mut cargo, &|line| screen.see_cargo(SLOT, line)))?;
        screen.set(SLOT, "");
        let printed: Vec<&str> = ran.lines.iter().map(String::as_str).filter(|line| !is_from_cargo(line)).collect();
        let printed = printed.join("\n");
        println!("{printed}");
        report.push_str(&format!("\n$ {line}\n{printed}\n"));
        if !ran.ok {
            report.push_str("(failed)\n");
            all_ok = false;
        }
    }
    let path = write(work, &report)?;
    println!("written to {path}");
    Ok(all_ok)
}

/// Lines about compiling say nothing about speed.
fn is_from_cargo(line: &str) -> bool {
    let words = ["Compiling ", "Finished ", "Running ", "Downloading ", "Downloaded ", "Updating ", "Blocking "];
    words.iter().any(|word| line.trim_start().starts_with(word))
}

fn head(work: &Work) -> String {
    let ask = |name: &str, words: &[&str]| {
        output(program(name, &work.root).args(words)).unwrap_or_else(|_| "unknown".to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            line.split_once(": ").map(|(_, name)| name.to_owned())
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    format!(
        "date     {}\ncommit   {}\nmachine  {cpu}, {cores} cores, {} of memory, {}\nrustc    {}\nnode     {}\n",
        calendar::rfc3339(calendar::now_ms()),
        commit(work),
        memory(),
        ask("uname", &["-srm"]),
        ask("rustc", &["--version"]),
        npm::node_version(work).unwrap_or_else(|_| "none".to_owned()),
    )
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: Option<u64> = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kib.map_or_else(|| "unknown size".to_owned(), |kib| format!("{} GiB", kib.div_ceil(1 << 20)))
}

/// The short name of the commit; `+` when the tree differs from it.
fn commit(work: &Work) -> String {
    let git = |words: &[&str]| output(program("git", &work.root).args(words));
    let Ok(name) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "none".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_ok_and(|text| !text.is_empty());
    if changed { format!("{name}+") } else { name }
}

fn write(work: &Work, report: &str) -> Result<String> {
    let dir = work.root.join("bench/results");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let name = format!("{}-{}.txt", calendar::date(calendar::now_ms()), commit(work));
    let path = dir.join(Path::new(&name));
    fs::write(&path, report).with_context(|| format!("writing {}", path.display()))?;
    Ok(work.show(&path))
}

#[cfg(test)]
mod tests {
    use super::{command_line, is_from_cargo};

    #[test]
    fn the_report_keeps_results_and_drops_compiling() {
        for (line, dropped) in [
            ("   Compiling queue v0.1.0", true),
            ("    Finished `release` profile in 3s", true),
            ("append 1 KiB: 120000 records/s", false),
        ] {
            assert_eq!(is_from_cargo(line), dropped, "{line}");
        }
    }

    #[test]
    fn the_report_names_a_command_that_can_be_repeated() {
        assert_eq!(command_line("queue", "bench"), "cargo run --release --package queue --example bench");
    }
}
