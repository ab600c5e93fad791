//! A disk that fails or loses its power at a given step.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::files::{Files, Output, RealFiles};
use crate::lock;

/// What happens at the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The step fails, once; later ones work.
    Error,
    /// The process ends: the step is done by half, nothing after it, and what was written stays.
    Kill,
    /// The machine ends: as `Kill`, and what was not synced is lost, names as well as bytes.
    PowerCut,
}

/// Counts steps that change the disk, and breaks at one of them.
#[derive(Clone)]
pub(super) struct FaultFiles(Arc<Mutex<Disk>>);

struct Disk {
    fault: Fault,
    steps_left: u64,
    ended: bool,
    struck: bool,
    /// Bytes written to files that were not synced; a power cut leaves half of them.
    unsynced: BTreeMap<PathBuf, u64>,
    /// Undoes changes of names since the folder was synced, newest last.
    names: Vec<(PathBuf, Undo)>,
}

enum Undo {
    Created(PathBuf),
    Renamed { from: PathBuf, to: PathBuf, before: Option<Vec<u8>> },
}

impl FaultFiles {
    /// Breaks at the step after `steps` others.
    pub(super) fn new(fault: Fault, steps: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            fault,
            steps_left: steps,
            ended: false,
            struck: false,
            unsynced: BTreeMap::new(),
            names: Vec::new(),
        })))
    }

    /// Whether the step was reached.
    pub(super) fn struck(&self) -> bool {
        lock(&self.0).struck
    }

    /// Takes a step; true when it is the one that fails.
    fn step(&self) -> io::Result<bool> {
        let mut disk = lock(&self.0);
        if disk.ended {
            return Err(io::Error::other("the process has ended"));
        }
        if disk.struck || disk.steps_left > 0 {
            disk.steps_left = disk.steps_left.saturating_sub(1);
            return Ok(false);
        }
        disk.struck = true;
        disk.ended = disk.fault != Fault::Error;
        Ok(true)
    }

    /// The step that fails; after a power cut the disk is what it would be.
    fn strike(&self) -> io::Error {
        let mut disk = lock(&self.0);
        if disk.fault == Fault::PowerCut {
            for (path, written) in std::mem::take(&mut disk.unsynced) {
                if let Ok(file) = File::options().write(true).open(&path) {
                    file.set_len(written / 2).unwrap();
                }
            }
            for (_, undo) in std::mem::take(&mut disk.names).into_iter().rev() {
                match undo {
                    Undo::Created(path) => drop(fs::remove_file(path)),
                    Undo::Renamed { from, to, before } => {
                        let _ = fs::rename(&to, &from);
                        if let Some(bytes) = before {
                            fs::write(&to, bytes).unwrap();
                        }
                    }
                }
            }
        }
        io::Error::other("injected")
    }

    fn check(&self) -> io::Result<()> {
        if self.step()? { Err(self.strike()) } else { Ok(()) }
    }
}

impl Files for FaultFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        self.check()?;
        let file = File::create(path)?;
        let mut disk = lock(&self.0);
        disk.unsynced.insert(path.to_path_buf(), 0);
        disk.names.push((path.parent().unwrap().to_path_buf(), Undo::Created(path.to_path_buf())));
        Ok(Box::new(FaultOutput { files: self.clone(), file, path: path.to_path_buf(), size_bytes: 0 }))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        RealFiles.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        let before = fs::read(to).ok();
        fs::rename(from, to)?;
        let undo = Undo::Renamed { from: from.to_path_buf(), to: to.to_path_buf(), before };
        let mut disk = lock(&self.0);
        if let Some(written) = disk.unsynced.remove(from) {
            disk.unsynced.insert(to.to_path_buf(), written);
        }
        disk.names.push((to.parent().unwrap().to_path_buf(), undo));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        RealFiles.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check()?;
        lock(&self.0).names.retain(|(of, _)| of != dir);
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealFiles.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealFiles.list(dir)
    }
}

struct FaultOutput {
    files: FaultFiles,
    file: File,
    path: PathBuf,
    size_bytes: u64,
}

impl Write for FaultOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.files.step()? {
            let _ = self.file.write(&bytes[..bytes.len() / 2]);
            return Err(self.files.strike());
        }
        self.file.write_all(bytes)?;
        self.size_bytes += u64::try_from(bytes.len()).unwrap();
        lock(&self.files.0).unsynced.insert(self.path.clone(), self.size_bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for FaultOutput {
    fn sync(&mut self) -> io::Result<()> {
        self.files.check()?;
        lock(&self.files.0).unsynced.remove(&self.path);
        Ok(())
    }
}
