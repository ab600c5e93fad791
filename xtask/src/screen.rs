//! Says on the screen what is being done and how far it is.
//!
//! Several builds run side by side, each with a slot; a painter joins the slots into one status line. On a terminal
//! that line is rewritten in place, elsewhere (a CI log) it is printed now and then. Nothing here starts programs.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the line is rewritten on a terminal: often enough to look alive.
const REPAINT: Duration = Duration::from_millis(250);
/// How often it is printed into a log, where every line stays.
const RELOG: Duration = Duration::from_secs(20);
/// A status line is cut to this many characters: with the clock it fits into 80 columns, so that it never wraps.
const LINE_CHARS_MAX: usize = 73;

/// The screen, with the time since the start.
#[derive(Debug)]
pub(crate) struct Screen {
    started: Instant,
    steps: usize,
    step: AtomicUsize,
    slots: Mutex<Vec<(&'static str, String)>>,
    terminal: bool,
}

impl Screen {
    /// A screen for `steps` steps; 0 when they are not counted.
    pub(crate) fn new(steps: usize) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { started: Instant::now(), steps, step: AtomicUsize::new(0), slots: Mutex::default(), terminal }
    }

    /// Time since the command was started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Begins the next step and says so.
    pub(crate) fn step(&self, text: &str) {
        let number = self.step.fetch_add(1, Ordering::Relaxed) + 1;
        self.say(&format!("[{number}/{}] {text}", self.steps));
    }

    /// One line that stays, with the time in front.
    pub(crate) fn say(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        println!("{clear}{} {text}", clock(self.elapsed()));
        std::io::stdout().flush().ok();
    }

    /// Sets what the slot `name` shows; an empty text removes it.
    pub(crate) fn set(&self, name: &'static str, text: &str) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.iter_mut().find(|(slot, _)| *slot == name) {
            Some(_) if text.is_empty() => slots.retain(|(slot, _)| *slot != name),
            Some((_, old)) => text.clone_into(old),
            None if text.is_empty() => {}
            None => slots.push((name, text.to_owned())),
        }
    }

    /// Shows in the slot `name` how far a cargo command is, given one line of its output.
    pub(crate) fn see_cargo(&self, name: &'static str, line: &str) {
        if let Some(progress) = cargo_progress(line) {
            self.set(name, &progress);
        } else if let Some(text) = ["Downloading", "Downloaded", "Updating", "Blocking"]
            .iter()
            .find_map(|word| line.trim_start().strip_prefix(word).map(|rest| format!("{word}{rest}")))
        {
            self.set(name, &text);
        }
    }

    /// Does `work` while the slots are shown.
    pub(crate) fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| self.paint_until(&done));
            let _stop = SetOnDrop(&done);
            work()
        })
    }

    fn paint_until(&self, done: &AtomicBool) {
        let (mut last, mut shown) = (Instant::now(), String::new());
        while !done.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(50));
            let wait = if self.terminal { REPAINT } else { RELOG };
            if last.elapsed() < wait {
                continue;
            }
            last = Instant::now();
            let line = self.status();
            if self.terminal {
                print!("\r\x1b[2K{} {line}", clock(self.elapsed()));
                std::io::stdout().flush().ok();
            } else if line != shown && !line.is_empty() {
                println!("{}   … {line}", clock(self.elapsed()));
                shown = line;
            }
        }
        if self.terminal {
            print!("\r\x1b[2K");
            std::io::stdout().flush().ok();
        }
    }

    fn status(&self) -> String {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<String> = slots.iter().map(|(name, text)| format!("{name}: {text}")).collect();
        parts.join(" | ").chars().take(LINE_CHARS_MAX).collect()
    }
}

/// Stops the painter even when the work panics, so that the panic is seen instead of a hang.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Minutes and seconds.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:>2}:{:02}", seconds / 60, seconds % 60)
}

/// Whether a line is cargo's progress bar, which is worth nothing in a log.
pub(crate) fn is_cargo_progress(line: &str) -> bool {
    cargo_progress(line).is_some()
}

/// `    Building [====>    ] 12/60: serde, syn` becomes `12/60 serde, syn`.
fn cargo_progress(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("Building [")?;
    let (_, rest) = rest.split_once("] ")?;
    let (count, names) = rest.split_once(':').unwrap_or((rest, ""));
    if !count.contains('/') {
        return None;
    }
    let text = format!("{} {}", count.trim(), names.trim());
    Some(text.trim().chars().take(32).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Screen, cargo_progress, clock};

    #[test]
    fn cargo_s_own_bar_is_read() {
        for (line, progress) in [
            ("    Building [=====>       ] 12/60: serde, syn(build.rs)", Some("12/60 serde, syn(build.rs)")),
            ("    Building [=====>       ] 0/60", Some("0/60")),
            ("   Compiling serde v1.0.0", None),
            ("error[E0308]: Building [x] it failed", None),
        ] {
            assert_eq!(cargo_progress(line).as_deref(), progress, "{line}");
        }
    }

    #[test]
    fn slots_are_joined_and_can_be_removed() {
        let screen = Screen::new(1);
        screen.set("server", "1/2");
        screen.set("browser", "npm ci");
        screen.set("server", "2/2");
        assert_eq!(screen.status(), "server: 2/2 | browser: npm ci");
        screen.set("server", "");
        assert_eq!(screen.status(), "browser: npm ci");
    }

    #[test]
    fn the_clock_counts_minutes_over_an_hour() {
        assert_eq!(clock(Duration::from_secs(3_725)), "62:05");
    }
}
