//! Makes a wasm module of one of our crates: compiled, bound to JavaScript, and made small.
//!
//! Cargo knows by itself when Rust must be compiled again; the steps after it are skipped by fingerprint. Which crates
//! become modules, and what is made of them, is decided by the callers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::fingerprint::Fingerprint;
use crate::process::{must, output, program};
use crate::screen::Screen;
use crate::tools::{WASM_TARGET, cargo_build, cargo_with_progress};
use crate::work::Work;

/// What every module is freed of; a wasm file is published, its names are not.
const STRIP: [&str; 3] = ["--strip-debug", "--strip-producers", "--strip-target-features"];

/// A crate that becomes a module.
pub(crate) struct Module {
    /// The folder below `target` that the bindings go to.
    pub(crate) name: &'static str,
    /// The crate.
    pub(crate) crate_name: &'static str,
    /// The crate's library name: the stem of the files.
    pub(crate) stem: &'static str,
    /// The kind of bindings, as `xtask-bindgen` names it.
    pub(crate) target: &'static str,
    /// How `wasm-opt` makes it small or fast, and what it must know of the module.
    pub(crate) optimize: &'static [&'static str],
}

/// Leaves `STEM.js` and `STEM_bg.wasm` in the module's folder.
pub(crate) fn build(work: &Work, screen: &Screen, slot: &'static str, module: &Module) -> Result<()> {
    let mut cargo = cargo_with_progress(work);
    // Each crate alone, so that one module's features do not grow the other.
    cargo
        .args(["build", "--lib", "--profile", "wasm", "--target", WASM_TARGET, "--package", module.crate_name])
        .env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(work));
    cargo_build(screen, slot, &mut cargo)?;
    let wasm = work.target.join(WASM_TARGET).join("wasm").join(format!("{}.wasm", module.stem));
    if !wasm.is_file() {
        bail!("{} was not built: is `cdylib` among the crate types of {}?", work.show(&wasm), module.crate_name);
    }
    let out = work.target.join(module.name);
    let stamp = work.target.join(format!("{}.stamp", module.name));
    let inputs = Fingerprint::default()
        .text(&module.optimize.join(" "))
        .text(module.target)
        .path(&wasm, &[])?
        .path(&work.root.join("package-lock.json"), &[])?
        .path(&work.root.join("xtask/bindgen"), &[])?;
    let small = out.join(format!("{}_bg.wasm", module.stem));
    if inputs.is_kept(&stamp) && small.is_file() {
        return Ok(());
    }
    bind(work, screen, slot, module, &wasm, &out)?;
    screen.set(slot, "wasm-opt");
    optimize(work, &small, module.optimize)?;
    inputs.keep(&stamp)
}

/// Writes the bindings.
fn bind(work: &Work, screen: &Screen, slot: &'static str, module: &Module, wasm: &Path, out: &Path) -> Result<()> {
    let mut tool = cargo_with_progress(work);
    cargo_build(screen, slot, tool.args(["build", "--package", "xtask-bindgen"]))?;
    screen.set(slot, "wasm-bindgen");
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("emptying {}", out.display()))?;
    }
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    let binary = work.target.join("debug/xtask-bindgen");
    must(program(&binary, &work.root).arg(wasm).arg(out).args([module.stem, module.target]))?;
    Ok(())
}

/// Runs `wasm-opt` over a module in place and takes names and producers out of it.
fn optimize(work: &Work, module: &Path, flags: &[&str]) -> Result<()> {
    let small = module.with_extension("small.wasm");
    let tool = work.root.join("node_modules/binaryen/bin/wasm-opt");
    must(program("node", &work.root).arg(&tool).args(flags).args(STRIP).arg(module).arg("-o").arg(&small))?;
    fs::rename(&small, module).with_context(|| format!("replacing {}", module.display()))
}

/// Panic messages carry source paths into the module: without this a build would publish the builder's folders and
/// differ from machine to machine.
fn remapped_paths(work: &Work) -> String {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_else(|| PathBuf::from("/nonexistent"));
    let mut pairs = vec![(home.clone(), "/cargo"), (work.root.clone(), "/rivulet")];
    // Below it, the folder of a registry is named after the address it was fetched from.
    let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    pairs.extend(registries.map(|entry| (entry.path(), "/cargo")));
    // Where the component `rust-src` is installed, the standard library's paths are local ones, too.
    if let Ok(sysroot) = output(program("rustc", &work.root).args(["--print", "sysroot"])) {
        pairs.push((Path::new(&sysroot).join("lib/rustlib/src/rust"), "/rust"));
    }
    let flags = pairs.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    flags.collect::<Vec<_>>().join("\u{1f}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::remapped_paths;
    use crate::work::Work;

    #[test]
    fn the_builder_s_folders_do_not_reach_the_module() {
        let work = Work { root: PathBuf::from("/somewhere/rivulet"), target: PathBuf::from("/t") };
        let flags = remapped_paths(&work);
        let flags: Vec<&str> = flags.split('\u{1f}').collect();
        assert!(flags.contains(&"--remap-path-prefix=/somewhere/rivulet=/rivulet"), "{flags:?}");
        assert!(flags.iter().any(|flag| flag.ends_with("=/cargo")), "{flags:?}");
    }
}
