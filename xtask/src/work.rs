//! Where things are: the root of the tree and the folder that everything built goes to.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The two folders that every command needs.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// `target`, or what `CARGO_TARGET_DIR` names.
    pub(crate) target: PathBuf,
}

impl Work {
    /// Finds the tree that this program was compiled in.
    pub(crate) fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("xtask has no parent folder")?.to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A path as it is shown to people: relative to the root where possible.
    pub(crate) fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}
