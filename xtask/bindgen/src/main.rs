//! Writes the JavaScript bindings of one wasm file.
//!
//! It stands alone, apart from `xtask`, because `wasm-bindgen-cli-support` takes half a minute to compile and
//! `cargo xtask` must answer at once. It links the library at the version of the lock file, so that no separately
//! installed command can disagree with the `wasm-bindgen` inside the module. It knows nothing of our packages.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

/// `xtask-bindgen IN.wasm OUT_DIR OUT_NAME TARGET`, where the target is `web` (a browser loads the module) or `worker` (workerd
/// does, and `edge-worker/shim.mjs` starts it anew after a panic).
fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(input), Some(out_dir), Some(name), Some(target)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        bail!("usage: xtask-bindgen IN.wasm OUT_DIR OUT_NAME web|worker");
    };
    let mut bindgen = Bindgen::new();
    match target.as_str() {
        "web" => bindgen.web(true)?,
        "worker" => bindgen.module(true)?.reset_state_function(true).force_enable_abort_handler(true),
        other => bail!("unknown target {other}: web or worker"),
    };
    bindgen.input_path(PathBuf::from(&input)).out_name(&name).typescript(false).omit_default_module_path(true);
    bindgen.generate(PathBuf::from(&out_dir)).with_context(|| format!("writing the bindings of {input}"))?;
    Ok(())
}
