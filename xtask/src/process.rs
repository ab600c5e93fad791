//! Runs other programs and turns what can go wrong into one sentence.
//!
//! It reads both outputs line by line while the program runs, so that a caller can show how far it is. What a line
//! means is the caller's business.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};

/// How many of the last lines are shown when a program fails. Enough for a compiler error, less than a screen or two.
const TAIL_LINES_MAX: usize = 80;

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Whether it ended with code 0.
    pub(crate) ok: bool,
    /// Standard output and standard error, as they came.
    pub(crate) lines: Vec<String>,
}

impl Ran {
    /// The last lines as one text.
    pub(crate) fn tail(&self) -> String {
        let skip = self.lines.len().saturating_sub(TAIL_LINES_MAX);
        self.lines.iter().skip(skip).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// A command in a folder.
pub(crate) fn program(name: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(dir);
    command
}

/// Cargo itself, the one that started us where known.
pub(crate) fn cargo(dir: &Path) -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), dir);
    // What belongs to the compilation of xtask itself must not leak into what xtask starts.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// Runs to the end and shows each line to `see` as it comes. Fails only when the program cannot be started.
pub(crate) fn run(command: &mut Command, see: &(dyn Fn(&str) + Sync)) -> Result<Ran> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| not_started(command, &error))?;
    let lines = Mutex::new(Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let status = thread::scope(|scope| {
        scope.spawn(|| out.map(|pipe| read_lines(pipe, &lines, see)));
        scope.spawn(|| err.map(|pipe| read_lines(pipe, &lines, see)));
        child.wait()
    })
    .with_context(|| format!("waiting for {}", name(command)))?;
    Ok(Ran { ok: status.success(), lines: lines.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

/// Runs to the end. A program that fails is an error that carries its last lines.
pub(crate) fn must(command: &mut Command) -> Result<Ran> {
    let ran = run(command, &|_| {})?;
    if !ran.ok {
        bail!("{} failed:\n{}", name(command), ran.tail());
    }
    Ok(ran)
}

/// Standard output only, trimmed; an error when the program is missing or fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null());
    let out = command.output().map_err(|error| not_started(command, &error))?;
    if !out.status.success() {
        bail!("{} failed:\n{}", name(command), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn not_started(command: &Command, error: &std::io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::NotFound {
        let program = command.get_program().to_string_lossy().into_owned();
        return anyhow!("`{program}` is not installed or not on the PATH");
    }
    anyhow!("cannot start {}: {error}", name(command))
}

/// The program and its words, for messages.
fn name(command: &Command) -> String {
    let mut text = Path::new(command.get_program())
        .file_name()
        .map_or_else(|| "?".to_owned(), |name| name.to_string_lossy().into_owned());
    for word in command.get_args() {
        text.push(' ');
        text.push_str(&word.to_string_lossy());
    }
    format!("`{text}`")
}

/// Splits at line feeds and at the carriage returns that progress bars use.
fn read_lines(mut pipe: impl Read, lines: &Mutex<Vec<String>>, see: &(dyn Fn(&str) + Sync)) {
    let mut rest: Vec<u8> = Vec::new();
    let mut buffer = vec![0_u8; 8192];
    let keep = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        see(text);
        if !crate::screen::is_cargo_progress(text) {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
    };
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        rest.extend(buffer.iter().take(count));
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let line: Vec<u8> = rest.drain(..=end).collect();
            keep(&line);
        }
    }
    keep(&rest);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{must, program, run};

    #[test]
    fn a_missing_program_is_one_clear_sentence() {
        let error = must(&mut program("no-such-program-here", Path::new("."))).unwrap_err().to_string();
        assert_eq!(error, "`no-such-program-here` is not installed or not on the PATH");
    }

    #[test]
    fn both_outputs_are_read_and_a_failure_is_seen() {
        let script = "echo out; echo err >&2; exit 3";
        let ran = run(program("sh", Path::new(".")).args(["-c", script]), &|_| {}).unwrap();
        let mut lines = ran.lines.clone();
        lines.sort();
        assert_eq!((ran.ok, lines), (false, vec!["err".to_owned(), "out".to_owned()]));
    }
}
