//! The command line: what can be asked of `rivulet`, and which file does it.

mod ask;
mod keys;
mod load;
mod quarantine;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser};
use protocol::ProjectId;

use crate::config::{Config, Role};

/// Open, self-hostable event analytics.
///
/// Settings come from --config FILE, then RIVULET_… variables, then flags.
#[derive(Debug, Parser)]
#[command(name = "rivulet", version, about, max_term_width = 100)]
pub enum Command {
    /// Collect events, turn them into columns and answer queries.
    Serve(Serve),
    /// Make, list and set up projects; works on a stopped and on a running server's folder.
    #[command(subcommand)]
    Project(keys::ProjectCommand),
    /// Make, list, revoke and publish keys; works on a stopped and on a running server's folder.
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// See what could not be stored, and put it into the log again.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Make organizations, whose keys make projects over HTTP.
    #[command(subcommand)]
    Organization(keys::OrganizationCommand),
    /// Send the events of a file, one JSON object a line, to a server; run again to go on after an interruption.
    Load(load::Load),
    /// Ask a server and print the answer.
    Query(ask::Query),
    /// Ask a server and write the answer as a picture.
    Chart(ask::Chart),
}

/// Flags of `rivulet serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Folder of the log, the columns and the metadata; made when missing [default: data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What this process does [default: all].
    #[arg(long, value_delimiter = ',', value_enum)]
    roles: Option<Vec<Role>>,
    /// Folder of static files to serve beside the API.
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,
}

/// Where a server is and which key opens it.
#[derive(Debug, Args)]
struct Remote {
    /// Base address of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The project's id.
    #[arg(long)]
    project: ProjectId,
    /// The key; better given as RIVULET_KEY, which other users of the machine can't see.
    #[arg(long)]
    key: Option<String>,
}

impl Remote {
    fn key(&self) -> anyhow::Result<String> {
        let from_environment = || std::env::var("RIVULET_KEY").ok();
        self.key.clone().or_else(from_environment).context("no key: give --key or set RIVULET_KEY")
    }

    /// The address of `path` under the project.
    fn url(&self, path: &str) -> anyhow::Result<String> {
        anyhow::ensure!(
            self.server.starts_with("http://"),
            "--server begins with http://: this command can't speak TLS yet, so run it beside the server"
        );
        Ok(format!("{}/3.0/projects/{}/{path}", self.server.trim_end_matches('/'), self.project))
    }
}

/// An HTTP client that hands over every status, so that the server's own words can be shown.
fn client() -> ureq::Agent {
    let timeout = std::time::Duration::from_secs(310);
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout)).build().into()
}

/// A body beyond this is no answer of ours.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Reads a whole answer.
fn read_answer(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<(u16, Vec<u8>)> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok((status, body))
}

/// The server's own words about a failure.
fn message(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let field = |name: &str| parsed.as_ref()?.get(name)?.as_str().map(str::to_owned);
    match (field("error_code"), field("message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => String::from_utf8_lossy(body.get(..200).unwrap_or(body)).into_owned(),
    }
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("can't write the output"),
        _ => Ok(()),
    }
}

/// The configuration with the flags laid over it.
fn configuration(serve: &Serve) -> anyhow::Result<Config> {
    let mut config = Config::read(serve.config.as_deref(), std::env::vars())?;
    if let Some(data) = &serve.data {
        config.data.clone_from(data);
    }
    if let Some(listen) = serve.listen {
        config.listen = listen;
    }
    if let Some(roles) = &serve.roles {
        config.roles.clone_from(roles);
    }
    if serve.web.is_some() {
        config.web.clone_from(&serve.web);
    }
    Ok(config)
}

/// Does what was asked.
///
/// # Errors
/// With one sentence for the person who asked.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(serve) => {
            crate::telemetry::start_logging();
            let config = configuration(&serve)?;
            tracing::info!(?config, "starting");
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(crate::serve::serve(config))
        }
        Command::Project(command) => keys::project(&command),
        Command::Key(command) => keys::key(&command),
        Command::Quarantine(command) => quarantine::quarantine(&command),
        Command::Organization(command) => keys::organization(&command),
        Command::Load(load) => load::run(&load),
        Command::Query(query) => ask::query(&query),
        Command::Chart(chart) => ask::chart(&chart),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn the_reference_page_of_commands_is_the_help() {
        let mut page = String::from("# Command line\n");
        let mut root = Command::command();
        root.build();
        write_help(&mut root, &mut page);
        crate::http::check_page("command-line.md", &page);
    }

    fn write_help(command: &mut clap::Command, page: &mut String) {
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        let help = command.render_long_help().to_string();
        page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.trim_end()));
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            write_help(sub, page);
        }
    }
}
