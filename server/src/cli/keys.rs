//! `rivulet project` and `rivulet key`: work on the data folder itself, whether a server runs on it or not.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use protocol::access::{KeyOptions, QueryOptions};
use protocol::limits::QueryLimits;
use protocol::query::Filter;
use protocol::{KeyKind, ProjectId, ProjectSettings};

use super::print;
use crate::config::Config;
use crate::http::now;
use crate::metadata::{KeyDraft, Metadata, ProjectDraft};

/// `rivulet project …`.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Make a project and print its id and keys.
    Create {
        /// What it is called.
        name: String,
        /// Never show its keys again: nothing of them is kept but their hashes and last four characters.
        #[arg(long)]
        show_once: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// List the projects.
    List {
        #[command(flatten)]
        folder: Folder,
    },
    /// Print a project's settings, or set them first.
    Settings {
        /// The project.
        #[arg(long)]
        project: ProjectId,
        /// The new settings as JSON; what is left out is set to its default.
        #[arg(long, value_name = "JSON")]
        set: Option<String>,
        #[command(flatten)]
        folder: Folder,
    },
    /// Show the project's keys once from now on, and destroy what is kept of those that exist.
    ShowOnce {
        /// The project.
        #[arg(long)]
        project: ProjectId,
        #[command(flatten)]
        folder: Folder,
    },
    /// Let scoped keys that were made with a master key of Keen's open this project; the key is read from
    /// RIVULET_KEEN_MASTER_KEY.
    ImportMasterKey {
        /// The project.
        #[arg(long)]
        project: ProjectId,
        #[command(flatten)]
        folder: Folder,
    },
}

/// `rivulet organization …`.
#[derive(Debug, Subcommand)]
pub enum OrganizationCommand {
    /// Make an organization and print its key, with which projects can be made over HTTP; it is shown this once.
    Create {
        /// What it is called.
        name: String,
        #[command(flatten)]
        folder: Folder,
    },
}

/// `rivulet key …`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it.
    Create {
        /// The project it opens.
        #[arg(long)]
        project: ProjectId,
        /// What it may do.
        #[arg(long, value_enum)]
        kind: Kind,
        /// What it is called in lists.
        #[arg(long, default_value = "")]
        name: String,
        /// A filter forced into every query it asks, as JSON; may be repeated. For read keys.
        #[arg(long = "filter", value_name = "JSON")]
        filters: Vec<String>,
        #[command(flatten)]
        folder: Folder,
    },
    /// List a project's keys; never the keys themselves.
    List {
        /// The project.
        #[arg(long)]
        project: ProjectId,
        #[command(flatten)]
        folder: Folder,
    },
    /// Print what Workers KV must hold for the edge, for `wrangler kv bulk put`: settings and keys, revoked and deleted ones
    /// too.
    Publish {
        /// Write it to this file and not to the screen.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        folder: Folder,
    },
    /// Give up showing keys again that were sealed with a secret that is lost, so that new ones can be sealed.
    ForgetSealed {
        #[command(flatten)]
        folder: Folder,
    },
    /// Revoke a key; a running server refuses it within moments.
    Revoke {
        /// The beginning of the key's hash as the list shows it, or the key itself.
        key: String,
        /// The project.
        #[arg(long)]
        project: ProjectId,
        #[command(flatten)]
        folder: Folder,
    },
}

/// Which data folder.
#[derive(Debug, Args)]
pub struct Folder {
    /// The server's data folder [default: data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The server's configuration file, for where its folder and its sealing secret are.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Kinds that can be made. A second master key is for the time while the first is being replaced.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// Appends events.
    Write,
    /// Asks queries.
    Read,
    /// Does everything.
    Master,
}

/// Where a master key of Keen's is read from: other users of the machine can't see it there.
const KEEN_MASTER_KEY: &str = "RIVULET_KEEN_MASTER_KEY";
/// Digits of a hash that lists show and revocations need at least.
const HASH_DIGITS: usize = 12;

impl Folder {
    fn dir(&self) -> anyhow::Result<PathBuf> {
        self.data.clone().map_or_else(|| Ok(self.config()?.data), Ok)
    }

    /// Opens what is there. Only making a project may begin a folder: elsewhere a misspelt one would look empty.
    fn open(&self) -> anyhow::Result<Metadata> {
        let data = self.dir()?;
        let known = data.join(crate::metadata::FILE).is_file();
        anyhow::ensure!(
            known,
            "{} is not a data folder: `rivulet project create` or `serve` makes one",
            data.display()
        );
        self.metadata(&data)
    }

    fn open_or_make(&self) -> anyhow::Result<Metadata> {
        let data = self.dir()?;
        std::fs::create_dir_all(&data).with_context(|| format!("can't make the data folder {}", data.display()))?;
        self.metadata(&data)
    }

    fn metadata(&self, data: &std::path::Path) -> anyhow::Result<Metadata> {
        Ok(Metadata::open_with(data, &self.config()?.keys)?)
    }

    fn config(&self) -> anyhow::Result<Config> {
        Config::read(self.config.as_deref(), std::env::vars())
    }
}

/// Does what `command` asks.
pub(super) fn project(command: &ProjectCommand) -> anyhow::Result<()> {
    match command {
        ProjectCommand::Create { name, show_once, folder } => {
            anyhow::ensure!(!name.trim().is_empty(), "a project needs a name");
            let draft = ProjectDraft { name, show_once: *show_once, organization: None };
            let made = folder.open_or_make()?.make_project(&draft, now().millis())?;
            let fields = [
                ("project_id", made.id.as_str()),
                ("master_key", made.master.reveal()),
                ("read_key", made.read.reveal()),
                ("write_key", made.write.reveal()),
            ];
            print_fields(&fields, folder.json)
        }
        ProjectCommand::List { folder } => {
            let projects = folder.open()?.projects()?;
            if folder.json {
                let list: Vec<_> =
                    projects.iter().map(|one| serde_json::json!({ "project_id": one.id, "name": one.name })).collect();
                return print(&format!("{}\n", serde_json::Value::from(list)));
            }
            projects.iter().try_for_each(|one| print(&format!("{}  {}\n", one.id, one.name.escape_debug())))
        }
        ProjectCommand::Settings { project, set, folder } => {
            let metadata = folder.open()?;
            ensure_project(&metadata, project)?;
            if let Some(set) = set {
                let settings = ProjectSettings::parse(set).map_err(|error| anyhow::anyhow!("not settings: {error}"))?;
                metadata.put_settings(project, &settings)?;
            }
            let settings = metadata.settings(project)?.context("the project went away meanwhile")?;
            print(&format!("{}\n", serde_json::to_string_pretty(&*settings)?))
        }
        ProjectCommand::ShowOnce { project, folder } => {
            let metadata = folder.open()?;
            ensure_project(&metadata, project)?;
            Ok(metadata.show_once(project, true)?)
        }
        ProjectCommand::ImportMasterKey { project, folder } => {
            let metadata = folder.open()?;
            ensure_project(&metadata, project)?;
            let secret = std::env::var(KEEN_MASTER_KEY).with_context(|| format!("set {KEEN_MASTER_KEY}"))?;
            let fits = crate::scoped::is_secret(&secret);
            anyhow::ensure!(fits, "{KEEN_MASTER_KEY} is neither 64 hex digits nor a text of at most 32 characters");
            Ok(metadata.import_scope_secret(project, &secret)?)
        }
    }
}

/// Does what `command` asks.
pub(super) fn organization(command: &OrganizationCommand) -> anyhow::Result<()> {
    let OrganizationCommand::Create { name, folder } = command;
    anyhow::ensure!(!name.trim().is_empty(), "an organization needs a name");
    let (id, key) = folder.open_or_make()?.create_organization(name, now().millis())?;
    print_fields(&[("organization_id", &id), ("key", key.reveal())], folder.json)
}

fn publish(metadata: &Metadata, out: Option<&std::path::Path>) -> anyhow::Result<()> {
    let text = format!("{}\n", serde_json::to_string_pretty(&metadata.published()?)?);
    match out {
        Some(out) => std::fs::write(out, text).with_context(|| format!("can't write {}", out.display())),
        None => print(&text),
    }
}

/// Does what `command` asks.
pub(super) fn key(command: &KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create { project, kind, name, filters, folder } => {
            let filters = filters.iter().map(|text| filter(text.as_str())).collect::<anyhow::Result<Vec<Filter>>>()?;
            // A key whose filters can't be planned would be refused at every query.
            query::check_filters(&filters, &QueryLimits::default())?;
            let kind = match kind {
                Kind::Write | Kind::Master if !filters.is_empty() => {
                    anyhow::bail!(
                        "a filter holds for read keys only: a write key asks nothing, and a master key sees all"
                    )
                }
                Kind::Write => KeyKind::Write,
                Kind::Read => KeyKind::Read,
                Kind::Master => KeyKind::Master,
            };
            let metadata = folder.open()?;
            ensure_project(&metadata, project)?;
            let queries = (!filters.is_empty()).then_some(QueryOptions { filters });
            let draft = KeyDraft::of_kind(kind, name, KeyOptions { queries, ..KeyOptions::default() });
            let made = metadata.create_key(project, kind, draft, now().millis())?;
            let key = made.key.as_ref().map_or("", protocol::Key::reveal);
            print_fields(&[("key", key), ("hash", &made.hash)], folder.json)
        }
        KeyCommand::List { project, folder } => {
            let metadata = folder.open()?;
            ensure_project(&metadata, project)?;
            for key in metadata.keys(project)? {
                let kind = format!("{:?}", key.record.kind).to_lowercase();
                let state = if key.record.is_active { "active" } else { "revoked" };
                let hash = key.hash.get(..HASH_DIGITS).unwrap_or_default();
                print(&if folder.json {
                    let line = serde_json::json!({ "hash": key.hash, "name": key.name, "last4": key.last4, "record": key.record });
                    format!("{line}\n")
                } else {
                    format!("{hash}  {kind:<6}  …{}  {state:<7}  {}\n", key.last4, key.name.escape_debug())
                })?;
            }
            Ok(())
        }
        KeyCommand::Revoke { key, project, folder } => {
            let metadata = folder.open()?;
            ensure_project(&metadata, project)?;
            revoke(&metadata, project, key, folder.json)
        }
        KeyCommand::Publish { out, folder } => publish(&folder.open()?, out.as_deref()),
        KeyCommand::ForgetSealed { folder } => Ok(folder.open()?.forget_sealed()?),
    }
}

/// Reads a filter, and refuses one with fields that would be passed over: a forced filter must not mean less than it says.
fn filter(text: &str) -> anyhow::Result<Filter> {
    let needs = "a filter has property_name, operator and property_value, or operator and operands, and nothing else";
    let wrong = || anyhow::anyhow!("not a filter: {text}: {needs}");
    let said = serde_json::from_str(text).map_err(|_| wrong())?;
    crate::scoped::filter(said).ok_or_else(wrong)
}

fn revoke(metadata: &Metadata, project: &ProjectId, key: &str, json: bool) -> anyhow::Result<()> {
    let hash = key.parse::<protocol::Key>().map_or_else(|_| key.to_lowercase(), |key| key.hash().to_hex());
    anyhow::ensure!(hash.len() >= HASH_DIGITS, "give at least {HASH_DIGITS} digits of the hash");
    let found: Vec<_> = metadata.keys(project)?.into_iter().filter(|known| known.hash.starts_with(&hash)).collect();
    let [found] = found.as_slice() else {
        anyhow::bail!("{} keys of project {project} have that hash", found.len());
    };
    let hash = found.hash.parse()?;
    anyhow::ensure!(metadata.set_active(project, &hash, false)?.is_some(), "the key went away meanwhile");
    print_fields(&[("revoked", &found.hash)], json)
}

fn ensure_project(metadata: &Metadata, project: &ProjectId) -> anyhow::Result<()> {
    let known = metadata.project(project)?.is_some();
    anyhow::ensure!(known, "there is no project {project} in this folder");
    Ok(())
}

fn print_fields(fields: &[(&str, &str)], json: bool) -> anyhow::Result<()> {
    if json {
        let object: serde_json::Map<_, _> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        return print(&format!("{}\n", serde_json::Value::Object(object)));
    }
    fields.iter().try_for_each(|(name, value)| print(&format!("{name:<17}{value}\n")))
}
