//! `cargo xtask`: every chore of the repository as one small program.
//!
//! It is compiled before anything can be shown on the screen, so it has three small dependencies and imports nothing
//! of ours. What needs heavy libraries (`wasm-bindgen-cli-support`) is the separate program `xtask/bindgen`. There is
//! no shell logic elsewhere: `.ci/run` and the README call only this.

mod bench;
mod calendar;

mod edge;
mod fingerprint;
mod fuzz;
mod http;
mod npm;
mod process;
mod random;
mod running;
mod sample;
mod screen;
mod suite;
mod tally;
mod tidy;
mod tools;
mod up;
mod wasm;
mod web;
mod work;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::work::Work;

const HELP: &str = "\
cargo xtask COMMAND

  up [--port N] [--edge] [--exit-after-ready]
            build, start a server with a demo project and sample events, and print the addresses to open
  test [--quick] [--allow-skips] [--only NAME]
            install what the tests need and run all of them; --quick leaves out browsers, services and crashes
  ci        what the continuous integration runs: the same as `test`
  tidy      check imports, headers, lengths and purity
  npm       build the npm packages and write npm/sizes.txt
  edge      build the edge worker into target/edge
  size      print the raw, gzip and brotli size of every published file
  fuzz [--target NAME] [--seconds N]
            run the fuzz targets that `test` runs, or one of fuzz/, for N seconds each (60)
  bench [--only NAME]
            run the benches and write bench/results/<date>-<commit>.txt";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command. `false` means that it ran and found something wrong, which it has already said.
fn dispatch(words: &[String]) -> Result<bool> {
    let Some((command, rest)) = words.split_first() else {
        println!("{HELP}");
        return Ok(true);
    };
    let mut flags = Flags::new(rest);
    let work = Work::find()?;
    match command.as_str() {
        "up" => {
            let options = up::Options {
                port: flags.number("--port")?.unwrap_or(8080),
                edge: flags.has("--edge"),
                exit_after_ready: flags.has("--exit-after-ready"),
            };
            flags.finish()?;
            up::up(&work, &options)
        }
        "test" | "ci" => {
            let options = suite::Options {
                quick: flags.has("--quick"),
                allow_skips: flags.has("--allow-skips"),
                only: flags.value("--only")?,
            };
            flags.finish()?;
            suite::run_all(&work, &options)
        }
        "tidy" => flags.finish().and_then(|()| tidy::command(&work)),
        "npm" => flags.finish().and_then(|()| npm::command(&work)),
        "edge" => flags.finish().and_then(|()| edge::command(&work)),
        "size" => flags.finish().and_then(|()| npm::size_command(&work)),
        "bench" => {
            let only = flags.value("--only")?.or_else(|| flags.word());
            flags.finish()?;
            bench::command(&work, only.as_deref())
        }
        "fuzz" => {
            let (target, seconds) = (flags.value("--target")?, flags.number("--seconds")?);
            flags.finish()?;
            fuzz::command(&work, target, seconds.unwrap_or(fuzz::TESTED_S))
        }
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(true)
        }
        other => bail!("there is no command `{other}`; `cargo xtask help` lists them"),
    }
}

/// The words after the command, taken out one by one so that a mistyped flag is noticed.
struct Flags {
    words: Vec<String>,
}

impl Flags {
    fn new(words: &[String]) -> Self {
        Self { words: words.to_vec() }
    }

    fn has(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    fn value(&mut self, name: &str) -> Result<Option<String>> {
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        self.words.remove(at);
        if at >= self.words.len() {
            bail!("`{name}` needs a value");
        }
        Ok(Some(self.words.remove(at)))
    }

    fn number(&mut self, name: &str) -> Result<Option<u16>> {
        match self.value(name)? {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => bail!("`{name} {text}` is not a number from 0 to 65535"),
            },
        }
    }

    /// The first word that is no flag.
    fn word(&mut self) -> Option<String> {
        let at = self.words.iter().position(|word| !word.starts_with("--"))?;
        Some(self.words.remove(at))
    }

    fn finish(self) -> Result<()> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => bail!("`{word}` is not understood here; `cargo xtask help` lists the flags"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    fn flags(line: &str) -> Flags {
        Flags { words: line.split_whitespace().map(str::to_owned).collect() }
    }

    #[test]
    fn flags_are_taken_in_any_order() {
        let mut flags = flags("--edge --port 9000");
        assert_eq!(flags.number("--port").unwrap(), Some(9000));
        assert!(flags.has("--edge"));
        flags.finish().unwrap();
    }

    #[test]
    fn a_word_is_no_flag() {
        let mut flags = flags("--edge ingest");
        assert_eq!((flags.word().as_deref(), flags.word()), (Some("ingest"), None));
        assert!(flags.has("--edge"));
    }

    #[test]
    fn a_mistyped_flag_is_named() {
        let error = flags("--prot 1").finish().unwrap_err().to_string();
        assert!(error.contains("--prot"), "{error}");
    }

    #[test]
    fn a_port_must_be_a_number() {
        for line in ["--port", "--port x", "--port 70000"] {
            assert!(flags(line).number("--port").is_err(), "{line}");
        }
    }
}
