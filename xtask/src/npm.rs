//! Builds the two npm packages: a wasm module each, bundled by the package's own `build.mjs`.
//!
//! Steps whose inputs did not change are skipped. What is inside the packages is decided in `npm/`, how a module is
//! made in [`crate::wasm`].

use std::process::Command;

use anyhow::{Result, bail};

use crate::fingerprint::{Fingerprint, files_below};
use crate::process::{must, output, program, run};
use crate::screen::Screen;
use crate::tools;
use crate::wasm::{self, Module};
use crate::work::Work;

/// The slot of the status line.
const SLOT: &str = "browser packages";
/// `z` because every byte travels to every visitor; `--converge` until nothing more is gained.
const SMALL: &[&str] = &["-Oz", "--converge"];
/// The wasm modules; each is the heart of the package of the same name.
const PACKAGES: [Module; 2] = [
    Module { name: "npm/sdk", crate_name: "sdk-wasm", stem: "sdk_wasm", target: "web", optimize: SMALL },
    Module { name: "npm/charts", crate_name: "charts", stem: "charts", target: "web", optimize: SMALL },
];

/// `cargo xtask npm`
pub(crate) fn command(work: &Work) -> Result<bool> {
    report(work, "--write")
}

/// `cargo xtask size`
pub(crate) fn size_command(work: &Work) -> Result<bool> {
    report(work, "--print")
}

fn report(work: &Work, mode: &str) -> Result<bool> {
    tools::check_node(work)?;
    tools::ensure_wasm_target(work)?;
    let screen = Screen::new(1);
    screen.step("Building the npm packages");
    screen.watch(|| build(work, &screen))?;
    println!("{}", sizes(work, mode)?);
    Ok(true)
}

/// Raw, gzip and brotli sizes of what is published. `mode` is `--print`, `--write` (into `npm/sizes.txt`) or `--check`
/// (fails when the file in the tree does not describe the build).
pub(crate) fn sizes(work: &Work, mode: &str) -> Result<String> {
    let ran = run(node(work).arg("npm/sizes.mjs").arg(mode), &|_| {})?;
    if !ran.ok {
        bail!("{}", ran.tail());
    }
    Ok(ran.lines.join("\n"))
}

/// Builds both packages as far as something changed.
pub(crate) fn build(work: &Work, screen: &Screen) -> Result<()> {
    tools::npm_ci(screen, SLOT, &work.root)?;
    for package in &PACKAGES {
        wasm::build(work, screen, SLOT, package)?;
        bundle(work, screen, package)?;
    }
    screen.set(SLOT, "");
    Ok(())
}

/// Lets a package bundle itself.
fn bundle(work: &Work, screen: &Screen, package: &Module) -> Result<()> {
    let source = work.root.join(package.name);
    let (wasm_dir, dist) = (work.target.join(package.name), source.join("dist"));
    let stamp = work.target.join(format!("{}.dist.stamp", package.name));
    let inputs = Fingerprint::default()
        .path(&work.root.join("package-lock.json"), &[])?
        .path(&work.root.join("xtask/bundle.mjs"), &[])?
        .path(&wasm_dir, &[])?
        .path(&source, &["dist", "node_modules"])?;
    if inputs.is_kept(&stamp) && !files_below(&dist, &[])?.is_empty() {
        return Ok(());
    }
    screen.set(SLOT, "esbuild");
    let script = source.join("build.mjs");
    must(node(work).arg("xtask/bundle.mjs").arg(script).arg(&wasm_dir).arg(&dist))?;
    inputs.keep(&stamp)
}

fn node(work: &Work) -> Command {
    program("node", &work.root)
}

/// The version of Node, for reports.
pub(crate) fn node_version(work: &Work) -> Result<String> {
    output(node(work).arg("--version"))
}
