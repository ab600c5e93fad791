//! A program in the background: started aside, watched until it is ready, stopped in order.
//!
//! It knows nothing of what the program is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::{must, program};

/// A start after a crash replays at most what was not yet in segments; a minute is far more than that takes.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A clean stop writes the hot tail to disk.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Lines of the log that are shown when the program ends by itself.
const TAIL_LINES: usize = 20;

/// The program. Dropping it stops it, so that an error does not leave it behind.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it in a process group of its own, so that Ctrl-C reaches only us and we stop it in order.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let err = out.try_clone()?;
        let child = command.stdout(out).stderr(err).process_group(0).spawn()?;
        Ok(Self { child, log: log.to_path_buf() })
    }

    /// Fails with the log's last lines when the program has ended by itself.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n");
            bail!("it ended by itself ({status}); the end of {}:\n{tail}", self.log.display());
        }
        Ok(())
    }

    /// Waits until `is_ready` says so; stops waiting when `stop` is set.
    pub(crate) fn wait_until(&mut self, is_ready: impl Fn() -> bool, stop: &AtomicBool) -> Result<()> {
        let started = Instant::now();
        while !is_ready() {
            self.must_run()?;
            if stop.load(Ordering::Acquire) {
                bail!("stopped while starting");
            }
            if started.elapsed() > READY_WITHIN {
                bail!("it was not ready within {} s; see {}", READY_WITHIN.as_secs(), self.log.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Asks it to end, waits, and kills it only when it does not.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let id = self.child.id().to_string();
        must(program("kill", Path::new(".")).args(["-TERM", &id]))?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > STOP_WITHIN {
                self.child.kill()?;
                self.child.wait()?;
                bail!("it did not stop within {} s and was killed; see {}", STOP_WITHIN.as_secs(), self.log.display());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use super::Running;
    use crate::process::program;

    fn script(text: &str) -> (Running, std::path::PathBuf) {
        let log = std::env::temp_dir().join(format!("xtask-running-{}-{}.log", std::process::id(), text.len()));
        (Running::start(program("sh", Path::new(".")).args(["-c", text]), &log).unwrap(), log)
    }

    #[test]
    fn the_last_words_of_a_program_that_ends_are_shown() {
        let (mut running, log) = script("echo the disk is full >&2; exit 4");
        let error = running.wait_until(|| false, &AtomicBool::new(false)).unwrap_err().to_string();
        assert!(error.contains("the disk is full") && error.contains("4"), "{error}");
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_stop_is_a_request_that_the_program_can_answer() {
        let (mut running, log) = script("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        let is_up = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("up"));
        running.wait_until(is_up, &AtomicBool::new(false)).unwrap();
        running.stop().unwrap();
        assert!(std::fs::read_to_string(&log).unwrap().contains("bye"));
        std::fs::remove_file(log).unwrap();
    }
}
