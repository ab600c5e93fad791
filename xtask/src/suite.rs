//! `cargo xtask test`: installs what the tests need, builds everything once and runs all of them.
//!
//! The order goes from fast to slow, and one failing step does not stop the next. Nothing is left out silently: a test
//! that was skipped fails the run unless `--allow-skips` says otherwise. The last line counts everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::{program, run};
use crate::screen::{Screen, clock};
use crate::tally::Tally;
use crate::tidy::imports::{Metadata, TestTarget};
use crate::tools::{self, cargo_build, cargo_with_progress};
use crate::work::Work;
use crate::{edge, fuzz, npm, tidy, web};

/// Test targets of the package `tests` that start servers, browsers or workers, or take minutes. `--quick` leaves them
/// out.
const SLOW: [&str; 5] = ["api", "browser", "crash", "edge", "packaging"];
/// Free disk for objects of two profiles, npm packages and test data.
const NEEDED_MIB: u64 = 5_120;

/// What the command line said.
#[derive(Debug)]
pub(crate) struct Options {
    /// Only what needs no services.
    pub(crate) quick: bool,
    /// Whether a skipped test leaves the run green.
    pub(crate) allow_skips: bool,
    /// Only the step whose name contains this.
    pub(crate) only: Option<String>,
}

/// Everything a step may need.
struct Suite {
    work: Work,
    screen: Screen,
    targets: Vec<TestTarget>,
    scripts: Vec<(String, PathBuf)>,
}

/// One line of the summary.
struct Line {
    name: String,
    tally: Tally,
    time: Duration,
}

/// What a step does.
enum Step {
    Check(fn(&Suite) -> Result<Vec<String>>),
    Cargo(Vec<String>),
    Script(PathBuf),
    Fuzz(&'static [&'static str]),
}

/// `cargo xtask test`
pub(crate) fn run_all(work: &Work, options: &Options) -> Result<bool> {
    tools::check_space(&work.target, NEEDED_MIB)?;
    tools::check_node(work)?;
    tools::ensure_wasm_target(work)?;
    let targets = Metadata::read(work)?.integration_tests();
    let suite = Suite { work: work.clone(), screen: Screen::new(0), targets, scripts: scripts(work)? };
    let steps: Vec<(String, Step)> =
        suite.steps(options.quick).into_iter().filter(|(name, _)| is_wanted(name, options)).collect();
    let count = steps.len();
    let mut lines = Vec::new();
    for (number, (name, step)) in (1..).zip(steps) {
        suite.screen.say(&format!("[{number}/{count}] {name}"));
        lines.push(suite.line(name, &step));
    }
    if lines.is_empty() {
        bail!("no step is called like that");
    }
    Ok(summary(&lines, options))
}

/// Builds are needed by whatever step is asked for, so `--only` keeps them.
fn is_wanted(name: &str, options: &Options) -> bool {
    options.only.as_ref().is_none_or(|only| name.contains(only.as_str()) || name.starts_with("build"))
}

impl Suite {
    fn steps(&self, quick: bool) -> Vec<(String, Step)> {
        let check = |name: &str, check: fn(&Suite) -> Result<Vec<String>>| (name.to_owned(), Step::Check(check));
        let cargo = |name: &str, words: Vec<String>| (name.to_owned(), Step::Cargo(words));
        let tests = |slow: bool| -> Vec<String> {
            let chosen = self.targets.iter().filter(|target| target.is_among(&SLOW) == slow);
            chosen.flat_map(|target| ["--test".to_owned(), target.name.clone()]).collect()
        };
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut steps = vec![
            check("lock files", |suite| suite.cargo_check("metadata --locked --format-version 1")),
            check("format", |suite| suite.cargo_check("fmt --all --check")),
            check("tidy", |suite| Ok(tidy::failures(&suite.work)?.failures)),
            check("lints", |suite| suite.cargo_check("clippy --workspace --all-targets -- -D warnings")),
            check("build everything", Suite::build_rust),
            cargo("unit tests", words("--lib --bins")),
        ];
        if !tests(false).is_empty() {
            steps.push(cargo("integration tests", tests(false)));
        }
        if quick {
            return steps;
        }
        steps.push(cargo("documentation tests", words("--doc")));
        steps.push(check("build npm packages", Suite::build_npm));
        steps.push(check("package sizes", |suite| npm::sizes(&suite.work, "--check").map(|_| Vec::new())));
        steps.push(check("build edge worker", |suite| edge::build(&suite.work, &suite.screen).map(|()| Vec::new())));
        steps.push(check("build test tools", Suite::install));
        for pair in tests(true).chunks(2) {
            let name = pair.last().cloned().unwrap_or_default();
            steps.push(cargo(&format!("system test {name}"), pair.to_vec()));
        }
        for (name, path) in &self.scripts {
            steps.push((name.clone(), Step::Script(path.clone())));
        }
        for pair in fuzz::TESTED.chunks(2) {
            steps.push((format!("fuzz {}", pair.join(" and ")), Step::Fuzz(pair)));
        }
        steps
    }

    /// Does one step and says how it went.
    fn line(&self, name: String, step: &Step) -> Line {
        let started = Instant::now();
        let result = self.screen.watch(|| match step {
            Step::Check(check) => check(self).map(|found| (Tally::one(found.is_empty()), found)),
            Step::Cargo(words) => self.cargo_test(words),
            Step::Script(path) => self.script(path),
            Step::Fuzz(targets) => self.fuzz(targets),
        });
        let (tally, lines) = result.unwrap_or_else(|error| (Tally::one(false), vec![format!("{error:#}")]));
        let time = started.elapsed();
        self.screen.set(SLOT, "");
        if tally.failed > 0 {
            for line in lines.iter().filter(|line| !is_good_news(line)) {
                println!("      {line}");
            }
        }
        self.log(&name, &lines);
        self.screen.say(&format!("      {} in {}", tally.text(), clock(time).trim()));
        Line { name, tally, time }
    }

    /// The whole output of a step stays in `target/test` for whoever looks for the reason.
    fn log(&self, name: &str, lines: &[String]) {
        let dir = self.work.target.join("test");
        let path = dir.join(format!("{}.log", name.replace([' ', '/'], "-")));
        if fs::create_dir_all(&dir).and_then(|()| fs::write(&path, lines.join("\n"))).is_err() {
            println!("      (the log {} could not be written)", path.display());
        }
    }

    fn cargo_check(&self, words: &str) -> Result<Vec<String>> {
        let ran =
            run(cargo_with_progress(&self.work).args(words.split(' ')), &|line| self.screen.see_cargo(SLOT, line))?;
        Ok(if ran.ok { Vec::new() } else { vec![ran.tail()] })
    }

    /// One build of all libraries, programs and tests, so that every later step finds them made with the same features.
    fn build_rust(&self) -> Result<Vec<String>> {
        let mut cargo = cargo_with_progress(&self.work);
        cargo.args(["build", "--workspace", "--lib", "--bins", "--tests"]);
        cargo_build(&self.screen, SLOT, &mut cargo)?;
        Ok(Vec::new())
    }

    fn build_npm(&self) -> Result<Vec<String>> {
        npm::build(&self.work, &self.screen)?;
        web::assemble(&self.work, &self.web())?;
        Ok(Vec::new())
    }

    fn install(&self) -> Result<Vec<String>> {
        tools::npm_ci(&self.screen, SLOT, &self.work.root.join("tests"))?;
        tools::ensure_chromium(&self.work, &self.screen)?;
        tools::ensure_test_programs(&self.work, &self.screen)?;
        if tools::node_for_workerd(&self.work).is_none() {
            bail!("workerd's driver needs Node 22 or newer, and npm did not bring one: install Node 22 or newer");
        }
        Ok(Vec::new())
    }

    fn cargo_test(&self, words: &[String]) -> Result<(Tally, Vec<String>)> {
        let mut cargo = cargo_with_progress(&self.work);
        cargo.args(["test", "--workspace", "--no-fail-fast"]).args(words);
        self.counted(&mut cargo)
    }

    /// A script says itself what it checked.
    fn script(&self, path: &Path) -> Result<(Tally, Vec<String>)> {
        self.counted(program("node", &self.work.root).arg(path))
    }

    /// Runs fuzz targets side by side; each counts as a test.
    fn fuzz(&self, targets: &[&str]) -> Result<(Tally, Vec<String>)> {
        let built = fuzz::build(&self.work, &self.screen)?;
        self.screen.set(SLOT, &targets.join(" and "));
        let failures = fuzz::run_side_by_side(&self.work, &built, targets, fuzz::TESTED_S)?;
        let tally = (0..targets.len()).map(|at| Tally::one(at >= failures.len())).fold(Tally::default(), Tally::and);
        Ok((tally, failures))
    }

    /// Runs a test program with the addresses of everything that was built.
    fn counted(&self, command: &mut Command) -> Result<(Tally, Vec<String>)> {
        command
            .env("RIVULET_BIN", self.work.target.join("debug/rivulet"))
            .env("RIVULET_WORKER_DIR", self.work.target.join("edge"))
            .env("RIVULET_WEB", self.web());
        let ran = run(command, &|line| self.see_test(line))?;
        let tally = Tally::of_output(&ran.lines, ran.ok);
        Ok((tally, ran.lines))
    }

    /// The status line shows the test that ended last.
    fn see_test(&self, line: &str) {
        let line = line.trim();
        let is_news = ["Running ", "Doc-tests ", "test ", "ok ", "not ok "].iter().any(|word| line.starts_with(word));
        if is_news {
            self.screen.set(SLOT, &line.chars().take(70).collect::<String>());
        } else {
            self.screen.see_cargo(SLOT, line);
        }
    }

    fn web(&self) -> PathBuf {
        self.work.target.join("test/web")
    }
}

/// The slot of the status line.
const SLOT: &str = "now";

/// Lines that would only hide what failed.
fn is_good_news(line: &str) -> bool {
    let line = line.trim();
    let is_libtest = line.starts_with("running ") || line.starts_with("test result: ok") || line.ends_with(" ... ok");
    is_libtest || line.starts_with("ok - ") || line.starts_with("Running ") || line.starts_with("Compiling ")
}

/// The tests that node runs: those of each npm package (`test/run.mjs`: its types, and the code of its README), and the
/// browser tests, every `*.mjs` directly in `tests/browser`. What the latter share is below it.
fn scripts(work: &Work) -> Result<Vec<(String, PathBuf)>> {
    let packages = ["sdk", "charts"];
    let types = |package: &str| (format!("types of {package}"), work.root.join(format!("npm/{package}/test/run.mjs")));
    let mut found = packages.map(types).to_vec();
    for (folder, name) in [("tests/browser", "browser test"), ("tests/clients", "client test")] {
        let dir = work.root.join(folder);
        for entry in fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "mjs") {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                found.push((format!("{name} {stem}"), path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Prints the table and the last line; `true` when the run is green.
fn summary(lines: &[Line], options: &Options) -> bool {
    println!();
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    for Line { name, tally, time } in lines {
        let mark = if tally.failed > 0 { "FAILED" } else { "ok" };
        println!("  {mark:<6}  {name:<width$}  {}  {}", clock(*time), tally.text());
    }
    let total = lines.iter().map(|line| line.tally).fold(Tally::default(), Tally::and);
    let time: Duration = lines.iter().map(|line| line.time).sum();
    println!("  {:<6}  {:<width$}  {}", "", "together", clock(time));
    println!();
    if total.skipped > 0 {
        let verdict = if options.allow_skips { "allowed by --allow-skips" } else { "which fails the run" };
        println!("{} skipped, {verdict}", total.skipped);
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    total.failed == 0 && (total.skipped == 0 || options.allow_skips)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Line, Options, is_good_news, is_wanted, summary};
    use crate::tally::Tally;

    fn options(allow_skips: bool, only: Option<&str>) -> Options {
        Options { quick: false, allow_skips, only: only.map(str::to_owned) }
    }

    fn line(passed: u64, failed: u64, skipped: u64) -> Line {
        let tally = Tally { passed, failed, skipped };
        Line { name: "unit tests".to_owned(), tally, time: Duration::from_secs(1) }
    }

    #[test]
    fn a_skipped_test_fails_the_run_unless_it_is_allowed() {
        for (lines, allow_skips, green) in [
            (vec![line(3, 0, 0)], false, true),
            (vec![line(3, 0, 1)], false, false),
            (vec![line(3, 0, 1)], true, true),
            (vec![line(3, 0, 0), line(2, 1, 0)], true, false),
        ] {
            assert_eq!(summary(&lines, &options(allow_skips, None)), green, "{allow_skips}");
        }
    }

    #[test]
    fn what_failed_is_not_hidden_among_what_did_not() {
        for (line, hidden) in [
            ("test tests::a_fact ... ok", true),
            ("test tests::a_fact ... FAILED", false),
            ("ok - a click arrives (12 ms)", true),
            ("not ok - a click arrives", false),
            ("assertion failed: seen", false),
        ] {
            assert_eq!(is_good_news(line), hidden, "{line}");
        }
    }

    #[test]
    fn one_step_can_be_asked_for_and_builds_stay() {
        let options = options(false, Some("browser"));
        let wanted = ["build everything", "browser walk", "tidy"].map(|name| is_wanted(name, &options));
        assert_eq!(wanted, [true, true, false]);
    }
}
