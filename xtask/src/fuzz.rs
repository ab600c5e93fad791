//! `cargo xtask fuzz`: runs fuzz targets for a while, and fails with the input that broke one.
//!
//! Apart because fuzzing needs code that counts where it has been: everything is compiled anew, into a folder of its own. The
//! compiler that the repository pins does that without `cargo-fuzz` and without a nightly one; what those would add is the
//! address sanitizer, which has little to find where `unsafe` is forbidden.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::process::{Ran, cargo, output, program, run};
use crate::screen::Screen;
use crate::tools::cargo_build;
use crate::work::Work;

/// The targets that every full test runs: one for each parser that a stranger's bytes reach.
pub(crate) const TESTED: [&str; 4] = ["batch", "base64", "decompress", "key"];
/// How long each of them runs there.
pub(crate) const TESTED_S: u16 = 60;
/// Bytes of an input. Larger ones find little more and take longer.
const INPUT_BYTES_MAX: u32 = 16 * 1024;
/// Memory of one target, whose failure it would be to need more.
const MEMORY_MIB_MAX: u32 = 1_024;
/// Seconds that one input may take.
const INPUT_S_MAX: u32 = 10;

/// What cargo-fuzz would pass: a counter for every edge, and what is compared with what.
const FLAGS: [&str; 7] = [
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// `cargo xtask fuzz [--target NAME] [--seconds N]`
pub(crate) fn command(work: &Work, target: Option<String>, seconds: u16) -> Result<bool> {
    let screen = Screen::new(0);
    let targets = target.map_or_else(|| TESTED.map(str::to_owned).to_vec(), |target| vec![target]);
    let built = build(work, &screen)?;
    let mut is_good = true;
    for pair in targets.chunks(2) {
        let names: Vec<&str> = pair.iter().map(String::as_str).collect();
        let failures = run_side_by_side(work, &built, &names, seconds)?;
        is_good &= failures.is_empty();
        failures.iter().for_each(|failure| println!("{failure}"));
        println!("{} for {seconds} s: {} failed", names.join(" and "), failures.len());
    }
    Ok(is_good)
}

/// Builds all targets with counters and gives the folder of the programs.
pub(crate) fn build(work: &Work, screen: &Screen) -> Result<PathBuf> {
    if output(program("c++", &work.root).arg("--version")).is_err() {
        bail!("fuzzing needs a C++ compiler for libFuzzer, and there is no `c++`: install g++ or clang");
    }
    let folder = work.root.join("fuzz");
    let version = output(program("rustc", &folder).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    let target_dir = work.target.join("fuzz");
    let mut build = cargo(&folder);
    build.args(["build", "--locked", "--release", "--bins", "--target", host]);
    // Named, so that build scripts and macros are made without the counters.
    build.env("CARGO_TARGET_DIR", &target_dir).env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    cargo_build(screen, "fuzz", &mut build)?;
    Ok(target_dir.join(host).join("release"))
}

/// Runs targets at the same time and gives what failed.
pub(crate) fn run_side_by_side(work: &Work, built: &Path, targets: &[&str], seconds: u16) -> Result<Vec<String>> {
    let results: Vec<Result<Option<String>>> = thread::scope(|scope| {
        let started: Vec<_> =
            targets.iter().map(|target| scope.spawn(move || run_one(work, built, target, seconds))).collect();
        let ended = started.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.map(|result| result.unwrap_or_else(|_| bail!("the thread of a target panicked"))).collect()
    });
    let mut failures = Vec::new();
    for result in results {
        failures.extend(result?);
    }
    Ok(failures)
}

/// Runs one target; what it says when it fails, or when it did not run at all.
fn run_one(work: &Work, built: &Path, target: &str, seconds: u16) -> Result<Option<String>> {
    let (corpus, found) = (work.target.join("fuzz/corpus").join(target), work.target.join("fuzz/found"));
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let mut command = Command::new(built.join(target));
    command.current_dir(&work.root).arg(&corpus).args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        format!("-timeout={INPUT_S_MAX}"),
        format!("-artifact_prefix={}/{target}-", found.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    let ran = run(&mut command, &|_| {})?;
    Ok(failure(target, &ran))
}

/// Why a run is no good. A target that stopped early without a word, or never tried anything, is as bad as a finding.
fn failure(target: &str, ran: &Ran) -> Option<String> {
    let runs = ran.lines.iter().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let runs: u64 = runs.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    if !ran.ok {
        return Some(format!("{target} failed after {runs} inputs:\n{}", ran.tail()));
    }
    (runs < RUNS_MIN).then(|| format!("{target} tried only {runs} inputs"))
}

/// Inputs below which a target can't have run for its time.
const RUNS_MIN: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_tried_nothing_is_a_failure() {
        let stats = |runs: u32| vec![format!("stat::number_of_executed_units: {runs}")];
        for (ok, lines, is_good) in [
            (true, stats(5_000), true),
            (false, stats(5_000), false),
            (true, stats(3), false),
            (true, Vec::new(), false),
        ] {
            let ran = Ran { ok, lines };
            assert_eq!(failure("x", &ran).is_none(), is_good, "{ran:?}");
        }
    }

    #[test]
    fn every_tested_target_exists() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/fuzz_targets");
        for target in TESTED {
            assert!(PathBuf::from(folder).join(format!("{target}.rs")).is_file(), "{target}");
        }
    }
}
