//! The program `rivulet`: reads the command line and the configuration, and hands both over.

use clap::Parser;

fn main() -> std::process::ExitCode {
    match server::cli::run(server::cli::Command::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rivulet: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
