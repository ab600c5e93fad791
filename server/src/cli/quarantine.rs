//! `rivulet quarantine`: what could not be stored, over HTTP with the master key or in the folder of a stopped server.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use protocol::{Offset, ProjectId};

use super::{client, message, print, read_answer};
use crate::kept::{listed, whole};
use crate::ledger::{Entry, Ledger, Saved};
use crate::quarantine::{Kept, Quarantine};
use crate::{balance, logs};

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Print what is in quarantine, one JSON object a line.
    List(Where),
    /// Print one record with its bytes.
    Show {
        /// Its number in the list.
        number: u64,
        #[command(flatten)]
        place: Where,
    },
    /// Put one record, or all that were not yet, into the log again.
    Replay {
        /// Its number in the list; without it, all of the project.
        number: Option<u64>,
        #[command(flatten)]
        place: Where,
    },
}

/// A running server, or the folder of a stopped one.
#[derive(Debug, Args)]
pub struct Where {
    /// Base address of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The project's id; with --data it may be left out and all are meant.
    #[arg(long, required_unless_present = "data")]
    project: Option<ProjectId>,
    /// The master key; better given as RIVULET_KEY, which other users of the machine can't see.
    #[arg(long)]
    key: Option<String>,
    /// The data folder of a stopped server, instead of asking a running one.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "key"])]
    data: Option<PathBuf>,
}

/// Entries asked for at once.
const PAGE: usize = 1_000;

/// Does what was asked.
///
/// # Errors
/// With one sentence for the person who asked.
pub(super) fn quarantine(command: &QuarantineCommand) -> anyhow::Result<()> {
    match command {
        QuarantineCommand::List(place) => list(place),
        QuarantineCommand::Show { number, place } => show(place, *number),
        QuarantineCommand::Replay { number, place } => replay(place, *number),
    }
}

fn list(place: &Where) -> anyhow::Result<()> {
    let mut from = Offset(0);
    loop {
        let page = match &place.data {
            Some(data) => listed(&open(data)?.list(place.project.as_ref(), from, PAGE)?),
            None => place.ask("GET", &format!("quarantine?limit={PAGE}&from={from}"))?,
        };
        for entry in page.get("quarantine").and_then(serde_json::Value::as_array).into_iter().flatten() {
            print(&format!("{entry}\n"))?;
        }
        match page.get("next").and_then(serde_json::Value::as_u64) {
            Some(next) => from = Offset(next),
            None => return Ok(()),
        }
    }
}

fn show(place: &Where, number: u64) -> anyhow::Result<()> {
    let entry = match &place.data {
        Some(data) => whole(&one(&open(data)?, place, number)?),
        None => place.ask("GET", &format!("quarantine/{number}"))?,
    };
    print(&format!("{entry}\n"))
}

fn replay(place: &Where, number: Option<u64>) -> anyhow::Result<()> {
    let Some(data) = &place.data else {
        let path = number.map_or("quarantine/replay".to_owned(), |number| format!("quarantine/{number}/replay"));
        return print(&format!("{}\n", place.ask("POST", &path)?));
    };
    let quarantine = open(data)?;
    let options = queue::Options::default();
    let saved = Saved::read(data)?;
    let store = store::Store::open(&data.join("store"), store::Options::default())?;
    let log = logs::open_log(&data.join("log"), &options, store.committed().max(saved.counted()))?;
    let (ledger, consumer) = Ledger::open(data, &log, saved, balance::known(&store))?;
    let ledger = std::sync::Arc::new(ledger);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let (mut events, mut from) = (0, Some(Offset(number.unwrap_or(0))));
    while let Some(at) = from {
        let page = match number {
            Some(number) => (vec![one(&quarantine, place, number)?], None),
            None => {
                let page = quarantine.list(place.project.as_ref(), at, PAGE)?;
                (page.kept, page.next)
            }
        };
        from = page.1;
        let again = page.0.iter().filter(|kept| !kept.is_replayed).filter_map(|kept| Some((kept, kept.again()?)));
        let (kept, entries): (Vec<&Kept>, Vec<Entry>) = again.map(|(kept, bytes)| (kept, Entry::read(bytes))).unzip();
        if !entries.is_empty() {
            runtime.block_on(ledger.append(&log, entries)).context("the log can't take them")?;
            quarantine.mark(&kept.iter().map(|kept| kept.number.0).collect::<Vec<_>>())?;
            events += kept.iter().map(|kept| kept.head.events).sum::<u64>();
        }
    }
    ledger.save(&consumer)?;
    print(&format!("{}\n", serde_json::json!({ "replayed": events })))
}

fn open(data: &std::path::Path) -> anyhow::Result<Quarantine> {
    anyhow::ensure!(data.is_dir(), "there is no data folder {}", data.display());
    Quarantine::open(data, &queue::Options::default())
}

fn one(quarantine: &Quarantine, place: &Where, number: u64) -> anyhow::Result<Kept> {
    let of = |kept: &Kept| place.project.is_none() || kept.head.project == place.project;
    quarantine.get(Offset(number))?.filter(of).with_context(|| format!("there is nothing with number {number}"))
}

impl Where {
    fn ask(&self, method: &str, path: &str) -> anyhow::Result<serde_json::Value> {
        let project = self.project.clone().context("no project: give --project")?;
        let remote = super::Remote { server: self.server.clone(), project, key: self.key.clone() };
        let url = remote.url(path)?;
        let request = ureq::http::Request::builder().method(method).uri(&url).header("Authorization", remote.key()?);
        let response = client().run(request.body(())?).with_context(|| format!("can't reach {}", self.server))?;
        let (status, body) = read_answer(response)?;
        anyhow::ensure!(status == 200, "{}", message(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}
