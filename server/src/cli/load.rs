//! `rivulet load`: sends a file of events, one JSON object a line, through the collector like any sender.
//!
//! Each event's id is made from project, collection, line number and line, so sending a line again (after an
//! interruption, or by loading the same file twice) is recognised as a repeat. Beside the file a small note says how
//! far the server has acknowledged, so that the next run goes on there.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use protocol::batch::{Batch, BatchAnswer, BatchEvent};
use protocol::{CollectionName, EventId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{Remote, client, message, print, read_answer};
use crate::http::now;

/// Events in one request; at a few hundred bytes each they fill a good part of the body's limit.
const BATCH_EVENTS: usize = 2_000;
/// Bytes of one line; a longer one is refused, as the collector refuses such an event.
const LINE_BYTES_MAX: usize = 1_000_000;
/// Bytes that an event takes in a request beside its properties and its collection's name, which may be escaped.
const ENVELOPE_BYTES: usize = 128;
/// Bytes of one request that its events may fill.
const BATCH_BYTES: usize = 700 * 1024;
/// Tries of one request before giving up; with the waits between them about two minutes.
const TRIES_MAX: u32 = 12;
/// The longest wait between tries.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Refused lines that are printed; all are counted.
const REFUSED_SHOWN: u64 = 10;

/// Flags of `rivulet load`.
#[derive(Debug, Args)]
pub struct Load {
    /// The file: one JSON object a line; gzip when its name ends in .gz. `keen.timestamp` gives an event's time.
    file: PathBuf,
    /// The collection the events go to.
    #[arg(long)]
    collection: CollectionName,
    #[command(flatten)]
    remote: Remote,
}

/// How far a file has been acknowledged; kept beside it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    project: String,
    collection: String,
    lines: u64,
    /// Hex of SHA-256 over the lines so far: a file that was changed since is noticed.
    sha256: String,
    stored: u64,
    refused: u64,
}

/// Counts what is read of the file itself, so that progress is right for compressed files too.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        Ok(read)
    }
}

/// One event to send.
struct Line {
    number: u64,
    id: EventId,
    timestamp: Timestamp,
    text: Box<RawValue>,
}

/// What a line of the file is.
enum Item {
    Blank,
    Event(Line),
    /// Not an event, and why: counted as refused, as the collector would, so that it holds nothing up.
    Bad {
        number: u64,
        reason: String,
    },
}

/// Sends the file.
pub(super) fn run(load: &Load) -> anyhow::Result<()> {
    let file = File::open(&load.file).with_context(|| format!("can't open {}", load.file.display()))?;
    let size = file.metadata()?.len();
    let bytes = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: file, bytes: Arc::clone(&bytes) };
    let compressed = load.file.extension().is_some_and(|extension| extension == "gz");
    let lines: Box<dyn BufRead> = if compressed {
        Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(counted)))
    } else {
        Box::new(BufReader::new(counted))
    };
    let mut sender = Sender::open(load, bar(size)?, bytes)?;
    sender.send_all(lines)?;
    sender.bar.finish_and_clear();
    let Checkpoint { lines, stored, refused, .. } = &sender.checkpoint;
    print(&format!("{}: {lines} lines, {stored} accepted, {refused} refused\n", load.file.display()))?;
    anyhow::ensure!(*refused == 0, "{refused} lines were refused and are not stored");
    Ok(())
}

fn bar(size: u64) -> anyhow::Result<ProgressBar> {
    let style = "{bar:40} {percent:>3}%  {msg}  {elapsed} (about {eta} left)";
    Ok(ProgressBar::new(size).with_style(ProgressStyle::with_template(style)?))
}

struct Sender<'a> {
    load: &'a Load,
    bar: ProgressBar,
    bytes: Arc<AtomicU64>,
    url: String,
    client: ureq::Agent,
    note: PathBuf,
    checkpoint: Checkpoint,
    hash: Sha256,
}

impl<'a> Sender<'a> {
    fn open(load: &'a Load, bar: ProgressBar, bytes: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let url = format!("{}?api_key={}", load.remote.url("batches")?, load.remote.key()?);
        let mut note = load.file.clone().into_os_string();
        note.push(".rivulet-load");
        let note = PathBuf::from(note);
        let mine = || Checkpoint {
            project: load.remote.project.to_string(),
            collection: load.collection.to_string(),
            ..Checkpoint::default()
        };
        let checkpoint = match std::fs::read(&note) {
            Ok(bytes) => {
                let found: Checkpoint = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is not a note of how far a load came; remove it", note.display()))?;
                let same = found.project == mine().project && found.collection == mine().collection;
                if same { found } else { mine() }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => mine(),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", note.display())),
        };
        Ok(Self { load, bar, bytes, url, client: client(), note, checkpoint, hash: Sha256::new() })
    }

    fn send_all(&mut self, mut input: Box<dyn BufRead>) -> anyhow::Result<()> {
        // Before anything is sent: where the note can't be written, nothing could be resumed.
        write_note(&self.note, &self.checkpoint)?;
        let (mut batch, mut batch_bytes, mut number) = (Vec::new(), 0, 0);
        let skip = self.checkpoint.lines;
        let envelope = ENVELOPE_BYTES + self.load.collection.as_str().len() * 2;
        let mut line = Vec::new();
        loop {
            let before = self.hash.clone();
            let Some(bytes) = self.next_line(&mut input, &mut line).context("can't read the file")? else { break };
            number += 1;
            if number <= skip {
                let known = number < skip || hex(&self.hash) == self.checkpoint.sha256;
                anyhow::ensure!(known, "the file changed since its last load; remove {}", self.note.display());
                continue;
            }
            if batch.len() == BATCH_EVENTS || batch_bytes + line.len() + envelope > BATCH_BYTES {
                self.send(std::mem::take(&mut batch), &before)?;
                batch_bytes = 0;
            }
            batch_bytes += line.len() + envelope;
            batch.push(self.item(number, &line, bytes));
        }
        anyhow::ensure!(number >= skip, "the file became shorter since its last load; remove {}", self.note.display());
        let end = self.hash.clone();
        self.send(batch, &end)
    }

    /// Reads one line of any length into `line`, keeping at most [`LINE_BYTES_MAX`] of it; gives its whole length, or none
    /// at the end of the file.
    fn next_line(&mut self, input: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<Option<usize>> {
        line.clear();
        let mut bytes = 0;
        loop {
            let buffer = input.fill_buf()?;
            let (part, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (buffer.get(..=at).unwrap_or_default(), true),
                None => (buffer, buffer.is_empty()),
            };
            let room = LINE_BYTES_MAX.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
            // Without the line's end, so that a last line without one is the same line when more follows.
            self.hash.update(part.strip_suffix(b"\n").unwrap_or(part));
            let read = part.len();
            input.consume(read);
            bytes += read;
            if is_end {
                if bytes == 0 {
                    return Ok(None);
                }
                self.hash.update(b"\n");
                return Ok(Some(bytes));
            }
        }
    }

    fn item(&self, number: u64, line: &[u8], bytes: usize) -> Item {
        let bad = |reason: String| Item::Bad { number, reason };
        if bytes > LINE_BYTES_MAX {
            return bad(format!("the line is {bytes} bytes, the limit is {LINE_BYTES_MAX}"));
        }
        let Ok(text) = std::str::from_utf8(line) else { return bad("the line is not UTF-8".to_owned()) };
        // Some editors begin a file with a byte order mark, which is no part of the first event.
        let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text }.trim();
        if text.is_empty() {
            return Item::Blank;
        }
        let text = match RawValue::from_string(text.to_owned()) {
            Ok(text) => text,
            Err(error) => return bad(format!("the line is not JSON: {error}")),
        };
        let mut hash = Sha256::new();
        for part in [self.checkpoint.project.as_bytes(), self.checkpoint.collection.as_bytes(), &number.to_be_bytes()] {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(text.get().as_bytes());
        let mut id = [0; 16];
        id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        let timestamp = own_time(text.get()).unwrap_or_else(now);
        Item::Event(Line { number, id: EventId::from_bytes(id), timestamp, text })
    }

    fn refuse(&mut self, number: u64, reason: &str) {
        self.checkpoint.refused += 1;
        if self.checkpoint.refused <= REFUSED_SHOWN {
            self.bar.suspend(|| eprintln!("line {number}: {reason}"));
        }
    }

    /// Sends one batch until the server has acknowledged it, and notes that. `end` is the hash of the file up to it.
    fn send(&mut self, batch: Vec<Item>, end: &Sha256) -> anyhow::Result<()> {
        self.checkpoint.lines += u64::try_from(batch.len())?;
        let mut lines = Vec::new();
        for item in batch {
            match item {
                Item::Blank => {}
                Item::Event(line) => lines.push(line),
                Item::Bad { number, reason } => self.refuse(number, &reason),
            }
        }
        if !lines.is_empty() {
            let answer = self.post(&lines)?;
            self.checkpoint.stored += answer.accepted;
            for refused in &answer.refused {
                let line = usize::try_from(refused.index).ok().and_then(|index| lines.get(index));
                self.refuse(line.map_or(0, |line| line.number), &format!("{}: {}", refused.code, refused.message));
            }
        }
        self.checkpoint.sha256 = hex(end);
        write_note(&self.note, &self.checkpoint)?;
        self.bar.set_position(self.bytes.load(Ordering::Relaxed));
        self.bar.set_message(format!("{} events", self.checkpoint.stored));
        Ok(())
    }

    fn post(&self, lines: &[Line]) -> anyhow::Result<BatchAnswer> {
        let mut wait = Duration::from_millis(100);
        for attempt in 1..=TRIES_MAX {
            let sent = self
                .client
                .post(&self.url)
                .header("Content-Type", "text/plain")
                .send(body(lines, &self.load.collection)?);
            let trouble = match sent.map_err(anyhow::Error::from).and_then(read_answer) {
                Ok((200, body)) => {
                    return serde_json::from_slice(&body).context("the server's answer is not understood");
                }
                Ok((429 | 500..=599, body)) => message(&body),
                Ok((_, body)) => anyhow::bail!("{}", message(&body)),
                Err(error) if matches!(error.downcast_ref(), Some(ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                    return Err(error.context(format!("{} is not an address", self.load.remote.server)));
                }
                Err(error) => format!("can't reach {}: {error}", self.load.remote.server),
            };
            if attempt == TRIES_MAX {
                anyhow::bail!("{trouble}; run the same command again to go on");
            }
            self.bar.suspend(|| eprintln!("{trouble}; try {attempt} of {TRIES_MAX}"));
            std::thread::sleep(wait);
            wait = (wait * 2).min(WAIT_MAX);
        }
        anyhow::bail!("not sent")
    }
}

fn body(lines: &[Line], collection: &CollectionName) -> anyhow::Result<Vec<u8>> {
    let events = lines
        .iter()
        .map(|line| BatchEvent {
            id: line.id.to_string().into(),
            collection: collection.as_str().into(),
            timestamp: line.timestamp.millis(),
            properties: &line.text,
        })
        .collect();
    Ok(serde_json::to_vec(&Batch { batch_id: None, sent_at: now().millis(), events, dropped: Vec::new() })?)
}

/// The `keen.timestamp` of an event, when it has one that can be read; the collector judges the rest.
fn own_time(event: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Event {
        keen: Keen,
    }
    #[derive(Deserialize)]
    struct Keen {
        timestamp: Timestamp,
    }
    serde_json::from_str::<Event>(event).ok().map(|event| event.keen.timestamp)
}

fn hex(hash: &Sha256) -> String {
    hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces the note in one step, so that an interruption leaves the old one or the new one.
fn write_note(note: &Path, checkpoint: &Checkpoint) -> anyhow::Result<()> {
    let mut new = note.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, serde_json::to_vec(checkpoint)?)
        .and_then(|()| std::fs::rename(&new, note))
        .with_context(|| format!("can't write {}", note.display()))
}
