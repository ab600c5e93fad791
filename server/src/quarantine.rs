//! Keeps what can't be stored in a log of its own, so that nothing is lost and everything can be replayed.
//!
//! A record there is one line of JSON, its [`Head`], then the bytes of a record as the log had it, with the one event that
//! could not be stored or with all of them. Its number is its offset in that log. After a crash one may stand there
//! twice, with the same place in the log; replayed twice it is a recognised repeat. A head with `replayed` and no
//! bytes says which numbers were put into the log again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use processor::Quarantined;
use protocol::record::Record;
use protocol::{Offset, ProjectId};
use queue::Log;
use serde::{Deserialize, Serialize};

use crate::ledger::Worth;
use crate::logs::open_log;

/// How long to wait for room on a full disk before the next try.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// Bytes of records read at once.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records looked at for one page, so that a page of a project with few among many has an end.
const PAGE_SCAN_MAX: usize = 20_000;
/// Version of the head. 1 had only the properties of an event behind it, which can't be replayed.
const VERSION: u32 = 2;

/// What is known of a record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The version of this line.
    pub v: u32,
    /// Its place in the log it comes from.
    #[serde(default)]
    pub offset: Offset,
    /// Place of the event in its record; none when it is the whole record.
    #[serde(default)]
    pub event: Option<usize>,
    /// Why, for a person.
    #[serde(default)]
    pub reason: String,
    /// Whose it is; none when that can't be read.
    #[serde(default)]
    pub project: Option<ProjectId>,
    /// Events in it.
    #[serde(default)]
    pub events: u64,
    /// Not a record but a note: these numbers were put into the log again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replayed: Vec<u64>,
}

/// A record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Names it.
    pub number: Offset,
    /// What is known of it.
    pub head: Head,
    /// Whether it was put into the log again.
    pub is_replayed: bool,
    /// The record, or what stood in its place.
    pub bytes: Vec<u8>,
}

impl Kept {
    /// The record to put into the log again; none when there is none that could be read.
    #[must_use]
    pub fn again(&self) -> Option<Vec<u8>> {
        Record::parse(&self.bytes).ok()?;
        let rest = self.bytes.strip_prefix(b"{")?;
        Some([format!("{{\"replay\":{},", self.number).as_bytes(), rest].concat())
    }
}

/// A part of the list.
#[derive(Debug, Default)]
pub struct Page {
    /// In order of number.
    pub kept: Vec<Kept>,
    /// Where the next page begins; none when this is the last.
    pub next: Option<Offset>,
}

/// All that could not be stored.
pub struct Quarantine {
    log: Log,
    replayed: Mutex<BTreeSet<u64>>,
}

impl Quarantine {
    /// Opens the one of a data folder.
    ///
    /// # Errors
    /// When its log can't be opened or read.
    pub fn open(data: &Path, options: &queue::Options) -> anyhow::Result<Self> {
        // Its bytes come out of the log's own reserve: it must find room when the log finds none.
        let options = queue::Options { reserve_bytes: 0, ..options.clone() };
        let log = open_log(&data.join("quarantine"), &options, Offset(0))?;
        let quarantine = Self { log, replayed: Mutex::default() };
        let mut from = Offset(0);
        loop {
            let records = quarantine.log.read(from, READ_BYTES_MAX).context("can't read the quarantine")?;
            let Some((last, _)) = records.last() else { return Ok(quarantine) };
            from = last.next();
            let heads = records.iter().filter_map(|(_, record)| split(record));
            quarantine.replayed().extend(heads.flat_map(|(head, _)| head.replayed));
        }
    }

    /// Makes `records` durable. On a full disk it waits for room, because nothing may be passed over; the log keeps what
    /// comes meanwhile, and queries go on.
    ///
    /// # Errors
    /// When the log of the quarantine has failed, or `stop` was set while waiting.
    pub fn keep(&self, records: Vec<Vec<u8>>, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut is_told = false;
        loop {
            match self.log.append(records.clone()).wait() {
                Ok(_) => return Ok(()),
                Err(error) if error.passes() && !stop.load(Ordering::Relaxed) => {
                    if !is_told {
                        tracing::error!(%error, "quarantine can't be written now; processing waits");
                    }
                    is_told = true;
                    std::thread::sleep(RETRY_WAIT);
                }
                Err(error) => return Err(error).context("quarantine can't be written"),
            }
        }
    }

    /// What is kept of a project, or of all, from a number on; at most `limit`.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn list(&self, project: Option<&ProjectId>, from: Offset, limit: usize) -> anyhow::Result<Page> {
        let (mut page, mut at, mut scanned) = (Page::default(), from, 0);
        while page.kept.len() < limit && scanned < PAGE_SCAN_MAX {
            let records = self.log.read(at, READ_BYTES_MAX).context("can't read the quarantine")?;
            if records.is_empty() {
                return Ok(page);
            }
            for (number, record) in records {
                at = number.next();
                scanned += 1;
                let of = |kept: &Kept| project.is_none_or(|project| kept.head.project.as_ref() == Some(project));
                page.kept.extend(self.kept(number, &record).filter(of));
                if page.kept.len() >= limit || scanned >= PAGE_SCAN_MAX {
                    break;
                }
            }
        }
        page.next = (at < self.log.next_offset()).then_some(at);
        Ok(page)
    }

    /// The record with this number.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn get(&self, number: Offset) -> anyhow::Result<Option<Kept>> {
        let records = self.log.read(number, 1).context("can't read the quarantine")?;
        let found = records.into_iter().find(|(offset, _)| *offset == number);
        Ok(found.and_then(|(number, record)| self.kept(number, &record)))
    }

    /// Notes that these were put into the log again.
    ///
    /// # Errors
    /// When that can't be made durable now; they may then be replayed again, and recognised.
    pub fn mark(&self, numbers: &[u64]) -> anyhow::Result<()> {
        let head = Head { v: VERSION, replayed: numbers.to_vec(), ..head(Offset(0), None, "") };
        self.log.append(vec![line(&head, &[])]).wait().context("quarantine can't be written")?;
        self.replayed().extend(numbers);
        Ok(())
    }

    fn kept(&self, number: Offset, record: &[u8]) -> Option<Kept> {
        let (head, bytes) = split(record)?;
        if !head.replayed.is_empty() {
            return None;
        }
        let is_replayed = self.replayed().contains(&number.0);
        Some(Kept { number, head, is_replayed, bytes: bytes.to_vec() })
    }

    fn replayed(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.replayed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of `kept`, which comes from `record` at `offset` of the log.
#[must_use]
pub fn record(offset: Offset, record: &[u8], kept: &Quarantined) -> Vec<u8> {
    tracing::warn!(%offset, event = kept.event, reason = kept.reason, "kept in quarantine");
    let mut head = head(offset, kept.event, &kept.reason);
    if let Some((bytes, project)) = kept.event.and_then(|event| alone(record, event)) {
        head.project = Some(project);
        head.events = 1;
        return line(&head, &bytes);
    }
    whole(head, &kept.bytes)
}

/// Whose events they are, and how many; none when that can't be read.
pub type Counted = Option<(ProjectId, u64)>;

/// What is kept of a record that the edge could not deliver; none when it is not marked as such. Gives whose it is and how
/// many events it holds too.
#[must_use]
pub fn dead_letter(offset: Offset, record: &[u8]) -> Option<(Vec<u8>, Counted)> {
    if !record.starts_with(MARK.as_bytes()) {
        return None;
    }
    let worth = Worth::of(record)?;
    let reason = worth.quarantine.as_deref()?.to_owned();
    tracing::warn!(%offset, reason, "kept in quarantine for the edge");
    let counted = worth.project().map(|project| (project, worth.events()));
    Some((whole(head(offset, None, &reason), record), counted))
}

/// A record of the edge's that goes to quarantine through the log, so that it is counted as any other. What is no record
/// ends there in any case.
#[must_use]
pub fn marked(record: &[u8], reason: &str) -> Vec<u8> {
    match (Worth::of(record), unmarked(record).strip_prefix(b"{")) {
        (Some(_), Some(rest)) => {
            let reason = serde_json::Value::from(reason).to_string();
            [MARK.as_bytes(), reason.as_bytes(), b",", rest].concat()
        }
        _ => record.to_vec(),
    }
}

/// Begins a record that [`marked`] made.
const MARK: &str = "{\"quarantine\":";
/// Begins a record that [`Kept::again`] made.
const REPLAY: &str = "{\"replay\":";

/// The record without what [`marked`] or [`Kept::again`] put before it.
fn unmarked(record: &[u8]) -> Vec<u8> {
    for mark in [MARK, REPLAY] {
        let Some(rest) = record.strip_prefix(mark.as_bytes()) else { continue };
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
        if let Some(Ok(_)) = values.next()
            && let Some(rest) = rest.get(values.byte_offset()..).and_then(|rest| rest.strip_prefix(b","))
        {
            return [b"{", rest].concat();
        }
    }
    record.to_vec()
}

fn whole(mut head: Head, record: &[u8]) -> Vec<u8> {
    let worth = Worth::of(record);
    head.project = worth.as_ref().and_then(Worth::project);
    head.events = worth.map_or(0, |worth| worth.events());
    line(&head, &unmarked(record))
}

fn head(offset: Offset, event: Option<usize>, reason: &str) -> Head {
    let reason = reason.to_owned();
    Head { v: VERSION, offset, event, reason, project: None, events: 0, replayed: Vec::new() }
}

/// A record with one event of `record` alone, and its project.
fn alone(record: &[u8], event: usize) -> Option<(Vec<u8>, ProjectId)> {
    let mut record = Record::parse(record).ok()?;
    if event >= record.events.len() {
        return None;
    }
    record.events = vec![record.events.swap_remove(event)];
    Some((record.to_bytes().ok()?, record.project))
}

fn line(head: &Head, bytes: &[u8]) -> Vec<u8> {
    let mut record = serde_json::to_vec(head).unwrap_or_default();
    record.push(b'\n');
    record.extend_from_slice(bytes);
    record
}

fn split(record: &[u8]) -> Option<(Head, &[u8])> {
    let end = record.iter().position(|byte| *byte == b'\n')?;
    let head = serde_json::from_slice(record.get(..end)?).ok()?;
    Some((head, record.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(events: &str) -> Vec<u8> {
        format!(r#"{{"v":2,"project":"p","received_at":"2020-01-01T00:00:00.000Z","events":[{events}]}}"#).into_bytes()
    }

    fn event(n: u8) -> String {
        format!(
            r#"{{"id":"{n:032x}","collection":"c","timestamp":"2020-01-01T00:00:00.000Z","properties":{{"n": {n}}}}}"#
        )
    }

    #[test]
    fn one_event_is_kept_alone_as_a_record_and_comes_back_as_one() {
        let dir = std::env::temp_dir().join(format!("rivulet-quarantine-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let open = || Quarantine::open(&dir, &queue::Options::default()).unwrap();
        let (quarantine, stop) = (open(), AtomicBool::new(false));
        let whole = bytes(&[event(1), event(2)].join(","));
        let kept = |event| Quarantined { bytes: b"x".to_vec(), event, reason: "why".to_owned() };
        let records = vec![record(Offset(7), &whole, &kept(Some(1))), record(Offset(8), b"x", &kept(None))];
        quarantine.keep(records, &stop).unwrap();
        let first = quarantine.get(Offset(0)).unwrap().unwrap();
        assert_eq!(first.bytes, bytes(&event(2)));
        assert_eq!((first.head.offset, first.head.event, first.head.events), (Offset(7), Some(1), 1));
        let again = first.again().unwrap();
        assert!(again.starts_with(b"{\"replay\":0,\"v\":2") && Record::parse(&again).is_ok());
        assert_eq!(unmarked(&again), first.bytes);
        assert_eq!(quarantine.get(Offset(1)).unwrap().unwrap().again(), None, "it was never a record");
        let p: ProjectId = "p".parse().unwrap();
        assert_eq!(quarantine.list(Some(&p), Offset(0), 10).unwrap().kept, [first]);
        assert_eq!(quarantine.list(None, Offset(0), 1).unwrap().next, Some(Offset(1)));
        quarantine.mark(&[0]).unwrap();
        drop(quarantine);
        let page = open().list(None, Offset(0), 10).unwrap();
        let replayed: Vec<bool> = page.kept.iter().map(|kept| kept.is_replayed).collect();
        assert_eq!((replayed, page.next), (vec![true, false], None));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_dead_letter_is_marked_once_and_loses_its_mark_in_quarantine() {
        let whole = bytes(&event(1));
        let marked_once = marked(&whole, "the \"queue\" gave up");
        assert_eq!(marked(&marked_once, "the \"queue\" gave up"), marked_once);
        let (kept, counted) = dead_letter(Offset(3), &marked_once).unwrap();
        let (head, bytes) = split(&kept).unwrap();
        assert_eq!((head.reason.as_str(), bytes), ("the \"queue\" gave up", whole.as_slice()));
        assert_eq!(counted.unwrap().1, 1);
        assert!(dead_letter(Offset(3), &whole).is_none());
        assert_eq!(marked(b"no record", "x"), b"no record");
    }
}
