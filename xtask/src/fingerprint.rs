//! Tells whether the inputs of a build step changed since it last succeeded.
//!
//! A stamp file keeps one hash over all inputs. The hash guards against needless work, not against an attacker, so the
//! standard library's is enough. Cargo does this by itself; this is for the steps after cargo.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A hash over inputs, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Fingerprint(DefaultHasher);

impl Fingerprint {
    /// Adds a text: a flag, a version, the name of a step.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.write(text.as_bytes());
        self.0.write_u8(0xff);
        self
    }

    /// Adds a file, or every file below a folder, by relative path and content. What does not exist adds its absence.
    pub(crate) fn path(mut self, path: &Path, skip: &[&str]) -> Result<Self> {
        for file in files_below(path, skip)? {
            let relative = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
            self = self.text(&relative);
            let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            self.0.write_usize(bytes.len());
            self.0.write(&bytes);
        }
        Ok(self)
    }

    /// Whether `stamp` was written for the same inputs.
    pub(crate) fn is_kept(&self, stamp: &Path) -> bool {
        fs::read_to_string(stamp).is_ok_and(|kept| kept == self.hex())
    }

    /// Remembers these inputs as done.
    pub(crate) fn keep(&self, stamp: &Path) -> Result<()> {
        if let Some(dir) = stamp.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(stamp, self.hex()).with_context(|| format!("writing {}", stamp.display()))
    }

    fn hex(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// All files at or below `path`, sorted; folders whose name is in `skip` are left out.
pub(crate) fn files_below(path: &Path, skip: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(next) = open.pop() {
        if next.is_file() {
            found.push(next);
        } else if next.is_dir() {
            for entry in fs::read_dir(&next).with_context(|| format!("listing {}", next.display()))? {
                let entry = entry?;
                if !skip.iter().any(|name| entry.file_name() == *name) {
                    open.push(entry.path());
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Fingerprint;

    #[test]
    fn a_changed_file_is_noticed_and_a_skipped_folder_is_not() {
        let dir = std::env::temp_dir().join(format!("xtask-fingerprint-{}", std::process::id()));
        fs::create_dir_all(dir.join("dist")).unwrap();
        fs::write(dir.join("a.js"), "1").unwrap();
        let take = || Fingerprint::default().path(&dir, &["dist"]).unwrap();
        let stamp = dir.join("dist/stamp");
        take().keep(&stamp).unwrap();
        assert!(take().is_kept(&stamp));
        fs::write(dir.join("dist/out.js"), "x").unwrap();
        assert!(take().is_kept(&stamp));
        fs::write(dir.join("a.js"), "2").unwrap();
        assert!(!take().is_kept(&stamp));
        fs::remove_dir_all(&dir).unwrap();
    }
}
