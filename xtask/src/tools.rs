//! Finds the tools that a build needs, installs what may be installed without asking, and says the rest in a sentence.
//!
//! Node packages are installed only when their lock file changed since the last time; the proof is a copy of the lock
//! file inside `node_modules`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process::{cargo, must, output, program};
use crate::screen::Screen;
use crate::work::Work;

/// The oldest Node that the build scripts run on.
const NODE_MAJOR_MIN: u32 = 20;
/// The oldest Node that workerd's driver runs on.
const WORKERD_NODE_MAJOR_MIN: u32 = 22;
/// The target of the browser and edge builds.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Checks Node and npm; says what to install when they are missing or too old.
pub(crate) fn check_node(work: &Work) -> Result<String> {
    let advice = format!("install Node.js {NODE_MAJOR_MIN} or newer, which brings npm, and start again");
    let Ok(version) = output(program("node", &work.root).arg("--version")) else {
        bail!("Node.js is not installed: {advice}");
    };
    if node_major(&version).is_none_or(|major| major < NODE_MAJOR_MIN) {
        bail!("Node.js {version} is too old: {advice}");
    }
    if output(program("npm", &work.root).arg("--version")).is_err() {
        bail!("npm is not installed: {advice}");
    }
    Ok(version)
}

fn node_major(version: &str) -> Option<u32> {
    version.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}

/// Makes sure that rustc can build for the browser.
pub(crate) fn ensure_wasm_target(work: &Work) -> Result<()> {
    // With rustup, `rust-toolchain.toml` has already brought the target; this is for other installations.
    let lib_dir = output(program("rustc", &work.root).args(["--print", "target-libdir", "--target", WASM_TARGET]))?;
    if Path::new(&lib_dir).is_dir() {
        return Ok(());
    }
    if must(program("rustup", &work.root).args(["target", "add", WASM_TARGET])).is_err() {
        bail!("rustc cannot build for {WASM_TARGET}: run `rustup target add {WASM_TARGET}` or install that package");
    }
    Ok(())
}

/// Installs the packages of `dir` from its lock file when that changed. `true` if it had to.
pub(crate) fn npm_ci(screen: &Screen, slot: &'static str, dir: &Path) -> Result<bool> {
    let wanted = fs::read(dir.join("package-lock.json"))
        .with_context(|| format!("reading {}", dir.join("package-lock.json").display()))?;
    let proof = dir.join("node_modules/.installed-from.json");
    if fs::read(&proof).is_ok_and(|installed| installed == wanted) {
        return Ok(false);
    }
    screen.set(slot, "npm ci");
    must(program("npm", dir).args(["ci", "--no-audit", "--no-fund"])).context("installing npm packages")?;
    fs::write(&proof, wanted).with_context(|| format!("writing {}", proof.display()))?;
    Ok(true)
}

/// A cargo command that shows its own bar to us, so that we can show it to people.
pub(crate) fn cargo_with_progress(work: &Work) -> Command {
    let mut command = cargo(&work.root);
    command
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "120")
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TARGET_DIR", &work.target);
    command
}

/// Runs a cargo build with its progress in `slot`.
pub(crate) fn cargo_build(screen: &Screen, slot: &'static str, command: &mut Command) -> Result<()> {
    screen.set(slot, "starting");
    let ran = crate::process::run(command, &|line| screen.see_cargo(slot, line))?;
    screen.set(slot, "");
    if !ran.ok {
        bail!("building the {slot} failed:\n{}", ran.tail());
    }
    Ok(())
}

/// The browser for the tests: one that is there, or Chromium from apt where we may install it.
pub(crate) fn ensure_chromium(work: &Work, screen: &Screen) -> Result<PathBuf> {
    if let Some(found) = find_chromium() {
        return Ok(found);
    }
    // Fonts too: without any, charts have no text to measure.
    apt_install(work, screen, &["chromium", "fonts-dejavu-core"])
        .context("Chromium is not installed: install it, or set RIVULET_CHROMIUM")?;
    find_chromium().context("apt-get installed Chromium, but it is not in /usr/bin")
}

/// Programs that tests run beside Node and the browser: how each is asked whether it is there, and Debian's name of it.
const TEST_PROGRAMS: [(&str, &[&str], &str); 3] = [
    // Keen's Python client.
    ("python3", &["-m", "pip", "--version"], "python3-pip"),
    // Scoped keys as somebody else's program makes them.
    ("openssl", &["version"], "openssl"),
    // libFuzzer.
    ("c++", &["--version"], "g++"),
];

/// The programs that tests run: those that are missing come from apt where we may install them.
pub(crate) fn ensure_test_programs(work: &Work, screen: &Screen) -> Result<()> {
    let is_there = |name: &str, words: &[&str]| output(program(name, &work.root).args(words)).is_ok();
    let missing: Vec<&str> = TEST_PROGRAMS
        .iter()
        .filter(|(name, words, _)| !is_there(name, words))
        .map(|(_, _, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    apt_install(work, screen, &missing).context("the tests need programs that are not installed")
}

/// Installs Debian packages, if we are root and there is apt; else the error says what to install.
fn apt_install(work: &Work, screen: &Screen, packages: &[&str]) -> Result<()> {
    let is_root = output(program("id", &work.root).arg("-u")).is_ok_and(|id| id == "0");
    let has_apt = output(program("apt-get", &work.root).arg("--version")).is_ok();
    if !is_root || !has_apt {
        bail!("on Debian: sudo apt-get install {}", packages.join(" "));
    }
    screen.set("packages", "apt-get install");
    let apt =
        |words: &[&str]| must(program("apt-get", &work.root).args(words).env("DEBIAN_FRONTEND", "noninteractive"));
    apt(&["update", "--quiet"])?;
    apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"], packages].concat())?;
    screen.set("packages", "");
    Ok(())
}

fn find_chromium() -> Option<PathBuf> {
    let named = std::env::var_os("RIVULET_CHROMIUM").map(PathBuf::from);
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| path.is_file())
}

/// A Node that workerd's driver runs on: the one that the tests' package `node` brings, or a new enough one that is
/// installed. `None` when neither is there.
pub(crate) fn node_for_workerd(work: &Work) -> Option<PathBuf> {
    let brought = work.root.join("tests/node_modules/node/bin/node");
    if brought.is_file() {
        return Some(brought);
    }
    let version = output(program("node", &work.root).arg("--version")).ok()?;
    (node_major(&version)? >= WORKERD_NODE_MAJOR_MIN).then(|| PathBuf::from("node"))
}

/// Says so when the disk is too full to go on.
pub(crate) fn check_space(dir: &Path, needed_mib: u64) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let Ok(table) = output(program("df", dir).args(["-Pk", "."])) else { return Ok(()) };
    if let Some(free_mib) = free_mib(&table)
        && free_mib < needed_mib
    {
        bail!("the disk of {} has {free_mib} MiB free, but {needed_mib} MiB are needed", dir.display());
    }
    Ok(())
}

/// The fourth column of the second line of `df -Pk`, in MiB.
fn free_mib(table: &str) -> Option<u64> {
    let kib: u64 = table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::{free_mib, node_major};

    #[test]
    fn node_versions_are_read() {
        for (text, major) in [("v20.20.2", Some(20)), ("v8.1.0\n", Some(8)), ("zsh: no", None)] {
            assert_eq!(node_major(text), major, "{text}");
        }
    }

    #[test]
    fn free_space_is_read_from_df() {
        let table = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 100 50 2097152 50% /\n";
        assert_eq!(free_mib(table), Some(2048));
        assert_eq!(free_mib("df: no such file"), None);
    }
}
