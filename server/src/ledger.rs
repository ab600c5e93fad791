//! Counts at the door what is durable in the log, per project, independently of everything that happens to it later.
//!
//! The balance compares it with what the store holds, so it must not learn from the processor. Every append goes through
//! [`Ledger::append`], which takes note of it when the log has synced it, also when nobody waits for the answer any
//! more. Notes may come out of order; [`Ledger::counted`] is the offset up to which none is missing, and the counts are
//! those of the records before it, exactly.
//!
//! The file `ledger` in the data folder holds the counts at some offset; what the log holds from there on is counted
//! again at start. A consumer of the log keeps it from being trimmed beyond that offset.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use anyhow::Context as _;
use protocol::{Offset, ProjectId};
use queue::{AppendError, Appending, Consumer, Log};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The file's name.
const FILE: &str = "ledger";
/// The name under which the next one is written.
const NEW_FILE: &str = "ledger.new";
/// Where a file that can't be read is kept for a look.
const DAMAGED_FILE: &str = "ledger.damaged";
/// The consumer whose position keeps records that are not in the file from being trimmed.
const CONSUMER: &str = "ledger";
/// First line of the file, with its version.
const TITLE: &str = "rivulet ledger 1";
/// Bytes of records taken from the log at once.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Events of one project that are in the log or were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Events that senders were told are kept.
    pub acked: u64,
    /// Events that were put into the log again from quarantine.
    pub replayed: u64,
}

impl Count {
    /// Adds another count to this one.
    pub const fn add(&mut self, other: Self) {
        self.acked += other.acked;
        self.replayed += other.replayed;
    }
}

/// What a record is worth to the ledger. The rest of it is not looked at.
#[derive(Debug, Deserialize)]
pub struct Worth<'a> {
    #[serde(borrow)]
    project: Cow<'a, str>,
    events: Vec<IgnoredAny>,
    /// Its place in quarantine, when it was put into the log again from there.
    #[serde(default)]
    replay: Option<u64>,
    /// Why it has to go to quarantine unseen: the edge could not deliver it.
    #[serde(default, borrow)]
    pub quarantine: Option<Cow<'a, str>>,
}

impl<'a> Worth<'a> {
    /// Of a record; none when it is not one.
    #[must_use]
    pub fn of(record: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(record).ok()
    }

    /// Its project; none when that is no project's id.
    #[must_use]
    pub fn project(&self) -> Option<ProjectId> {
        self.project.parse().ok()
    }

    /// How many events it holds.
    #[must_use]
    pub fn events(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap_or(u64::MAX)
    }

    fn counted(&self) -> Option<(ProjectId, Count)> {
        let events = self.events();
        let count = match self.replay {
            None => Count { acked: events, replayed: 0 },
            Some(_) => Count { acked: 0, replayed: events },
        };
        Some((self.project()?, count))
    }
}

/// One record and what it is worth.
#[derive(Debug)]
pub struct Entry {
    record: Vec<u8>,
    worth: Option<(ProjectId, Count)>,
}

impl Entry {
    /// A record whose project and events the caller knows.
    #[must_use]
    pub const fn known(record: Vec<u8>, project: ProjectId, acked: u64) -> Self {
        Self { record, worth: Some((project, Count { acked, replayed: 0 })) }
    }

    /// A record that is looked into.
    #[must_use]
    pub fn read(record: Vec<u8>) -> Self {
        let worth = Worth::of(&record).and_then(|worth| worth.counted());
        Self { record, worth }
    }
}

/// What is counted, and up to where.
#[derive(Debug, Default, PartialEq)]
struct Book {
    /// The first record that is not in `counts`.
    counted: Offset,
    counts: BTreeMap<ProjectId, Count>,
    /// Notes that came before that of `counted`; as many at most as appends that are under way.
    early: BTreeMap<Offset, Option<(ProjectId, Count)>>,
}

impl Book {
    fn note(&mut self, offset: Offset, worth: Option<(ProjectId, Count)>) {
        if offset < self.counted {
            return; // It was read from the log meanwhile.
        }
        self.early.insert(offset, worth);
        while let Some(worth) = self.early.remove(&self.counted) {
            self.counted = self.counted.next();
            if let Some((project, count)) = worth {
                self.counts.entry(project).or_default().add(count);
            }
        }
    }

    fn print(&self) -> String {
        let mut text = format!("{TITLE}\n{}\n", self.counted);
        for (project, count) in &self.counts {
            text.push_str(&format!("{project} {} {}\n", count.acked, count.replayed));
        }
        let crc = crc32(text.as_bytes());
        text.push_str(&format!("{crc:08x}\n"));
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().filter(|title| *title == TITLE)?;
        let mut book = Self { counted: Offset(lines.next()?.parse().ok()?), ..Self::default() };
        for line in lines {
            let mut words = line.split(' ');
            let (Some(project), Some(acked), Some(replayed)) = (words.next(), words.next(), words.next()) else {
                break;
            };
            let count = Count { acked: acked.parse().ok()?, replayed: replayed.parse().ok()? };
            book.counts.insert(project.parse().ok()?, count);
        }
        // One spelling only, so the checksum needs no reading of its own.
        (book.print() == text).then_some(book)
    }
}

/// The counts of all projects.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    book: Mutex<Book>,
}

/// What the file in a data folder says; it is read before the log is opened, which must not give out offsets again that
/// are counted already.
#[derive(Debug)]
pub struct Saved(Option<Book>);

impl Saved {
    /// Reads the file. One that is damaged is moved aside and counts as none.
    ///
    /// # Errors
    /// When it can't be read or moved.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self(None)),
            read => read.with_context(|| format!("can't read {}", path.display()))?,
        };
        let book = std::str::from_utf8(&text).ok().and_then(Book::parse);
        if book.is_none() {
            tracing::error!(path = %path.display(), "the ledger is damaged; counting begins anew from the store");
            std::fs::rename(&path, data.join(DAMAGED_FILE)).context("can't move the damaged ledger aside")?;
        }
        Ok(Self(book))
    }

    /// The first record that is not counted in it.
    #[must_use]
    pub fn counted(&self) -> Offset {
        self.0.as_ref().map_or(Offset(0), |book| book.counted)
    }
}

impl Ledger {
    /// Counts what the log holds since the file was written. Without a file the counts begin with `known`, what the store
    /// says of the records before its offset.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn open(
        data: &Path,
        log: &Log,
        saved: Saved,
        known: (Offset, BTreeMap<ProjectId, Count>),
    ) -> anyhow::Result<(Self, Consumer)> {
        let book = saved.0.unwrap_or_else(|| Book { counted: known.0, counts: known.1, ..Book::default() });
        let consumer = log.consumer(CONSUMER).context("can't open the ledger's place in the log")?;
        let ledger = Self { dir: data.to_path_buf(), book: Mutex::new(book) };
        let end = log.next_offset();
        ledger.read_up_to(log, end)?;
        Ok((ledger, consumer))
    }

    /// Appends to the log and takes note of it. Resolves to the offset of the last record when all are durable.
    ///
    /// A caller that hangs up changes nothing: what is under way is noted all the same.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub async fn append(self: &Arc<Self>, log: &Log, entries: Vec<Entry>) -> Result<Offset, AppendError> {
        let (records, worths): (Vec<_>, Vec<_>) = entries.into_iter().map(|entry| (entry.record, entry.worth)).unzip();
        Noting { appending: Some(log.append(records)), worths, ledger: Arc::clone(self) }.await
    }

    fn note(&self, last: Offset, worths: Vec<Option<(ProjectId, Count)>>) {
        let count = u64::try_from(worths.len()).unwrap_or(u64::MAX);
        let first = last.next().0.saturating_sub(count);
        let mut book = self.book();
        for (offset, worth) in (first..).zip(worths) {
            book.note(Offset(offset), worth);
        }
    }

    /// The first record that is not counted.
    #[must_use]
    pub fn counted(&self) -> Offset {
        self.book().counted
    }

    /// The counts of the records before the offset that is given with them.
    #[must_use]
    pub fn counts(&self) -> (Offset, BTreeMap<ProjectId, Count>) {
        let book = self.book();
        (book.counted, book.counts.clone())
    }

    /// Counts the records before `end` that nobody has noted by reading them from the log. Notes that come later change
    /// nothing.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn read_up_to(&self, log: &Log, end: Offset) -> anyhow::Result<()> {
        loop {
            let from = self.counted();
            if from >= end {
                return Ok(());
            }
            let records = log.read(from, READ_BYTES_MAX).context("can't read the log")?;
            let mut book = self.book();
            let after = records.last().map_or(end, |(last, _)| last.next());
            let mut records: BTreeMap<Offset, Vec<u8>> = records.into_iter().collect();
            // Damaged records are left out by the log, which says so; they have no project to be counted for.
            for offset in (from.0..after.0).map(Offset) {
                let record = records.remove(&offset);
                book.note(offset, record.and_then(|record| Entry::read(record).worth));
            }
        }
    }

    /// Makes the counts durable and lets the log be trimmed up to where they reach.
    ///
    /// # Errors
    /// When the disk refuses; the old file holds then.
    pub fn save(&self, consumer: &Consumer) -> anyhow::Result<()> {
        let (text, counted) = {
            let book = self.book();
            (book.print(), book.counted)
        };
        if counted <= consumer.position() && self.dir.join(FILE).is_file() {
            return Ok(());
        }
        let (new, path) = (self.dir.join(NEW_FILE), self.dir.join(FILE));
        let write = || -> io::Result<()> {
            let mut file = std::fs::File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            std::fs::File::open(&self.dir)?.sync_all()
        };
        write().with_context(|| format!("can't write {}", path.display()))?;
        if counted > consumer.position() {
            consumer.commit(counted).context("can't keep the ledger's place in the log")?;
        }
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An append that is noted when it is durable. Mostly by who waits for it, which costs nothing; only when that one is
/// dropped before does a task of its own wait on.
#[derive(Debug)]
struct Noting {
    /// None when it is done.
    appending: Option<Appending>,
    worths: Vec<Option<(ProjectId, Count)>>,
    ledger: Arc<Ledger>,
}

impl Future for Noting {
    type Output = Result<Offset, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(appending) = &mut self.appending else { return Poll::Ready(Err(AppendError::Closed)) };
        let appended = ready!(Pin::new(appending).poll(context));
        self.appending = None;
        if let Ok(last) = appended {
            let worths = std::mem::take(&mut self.worths);
            self.ledger.note(last, worths);
        }
        Poll::Ready(appended)
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        let Some(appending) = self.appending.take() else { return };
        // Without a runtime the process ends, and the next one reads the log.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (ledger, worths) = (Arc::clone(&self.ledger), std::mem::take(&mut self.worths));
        runtime.spawn(async move {
            if let Ok(last) = appending.await {
                ledger.note(last, worths);
            }
        });
    }
}

/// CRC-32 of the IEEE, bit by bit: a ledger has some hundred bytes and is written every few seconds.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(project: &str, acked: u64) -> Option<(ProjectId, Count)> {
        Some((project.parse().unwrap(), Count { acked, replayed: 0 }))
    }

    #[test]
    fn notes_out_of_order_count_when_none_is_missing_before_them() {
        let mut book = Book::default();
        let a = "a".parse::<ProjectId>().unwrap();
        book.note(Offset(1), worth("a", 20));
        book.note(Offset(3), worth("a", 4_000));
        assert_eq!((book.counted, book.counts.get(&a)), (Offset(0), None));
        book.note(Offset(0), worth("a", 1));
        assert_eq!((book.counted, book.counts.get(&a).unwrap().acked), (Offset(2), 21));
        book.note(Offset(0), worth("a", 1));
        book.note(Offset(2), None);
        assert_eq!((book.counted, book.counts.get(&a).unwrap().acked), (Offset(4), 4_021));
        assert!(book.early.is_empty());
    }

    #[test]
    fn a_book_reads_back_and_no_changed_bit_is_missed() {
        let mut book = Book::default();
        for (offset, project) in ["a", "b-1", "a"].into_iter().enumerate() {
            book.note(Offset(offset as u64), worth(project, 7));
        }
        let text = book.print();
        assert_eq!(Book::parse(&text), Some(book));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(std::str::from_utf8(&bytes).ok().and_then(Book::parse), None, "bit {bit}");
        }
        for length in 0..text.len() {
            assert_eq!(Book::parse(&text[..length]), None, "{length} bytes");
        }
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_record_is_worth_its_events() {
        let record = |rest: &str| format!(r#"{{"v":2,"project":"p"{rest},"events":[{{"id":"x"}},{{}}]}}"#);
        for (text, expected) in [
            (record(""), Some((2, 0))),
            (record(r#","replay":7"#), Some((0, 2))),
            (record(r#","quarantine":"why""#), Some((2, 0))),
            ("{}".to_owned(), None),
            (record("").replace("\"p\"", "\"no id!\""), None),
        ] {
            let found = Entry::read(text.clone().into_bytes()).worth.map(|(_, count)| (count.acked, count.replayed));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn the_counts_are_the_same_after_a_restart_at_any_place() {
        let dir = std::env::temp_dir().join(format!("rivulet-ledger-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let open = || {
            let saved = Saved::read(&dir).unwrap();
            let log = crate::logs::open_log(&dir.join("log"), &queue::Options::default(), saved.counted()).unwrap();
            let (ledger, consumer) = Ledger::open(&dir, &log, saved, Default::default()).unwrap();
            (log, Arc::new(ledger), consumer)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let record = || br#"{"v":2,"project":"p","events":[{},{},{}]}"#.to_vec();
        for turn in 1..=4_u64 {
            let (log, ledger, consumer) = open();
            let entries = vec![Entry::read(record()), Entry::known(record(), "p".parse().unwrap(), 3)];
            runtime.block_on(ledger.append(&log, entries)).unwrap();
            if turn % 2 == 0 {
                ledger.save(&consumer).unwrap();
            }
            // A record that nobody has noted, because the process ended before.
            log.append(vec![record()]).wait().unwrap();
            drop((log, consumer));
            let (counted, counts) = open().1.counts();
            assert_eq!((counted, counts.values().next().unwrap().acked), (Offset(3 * turn), 9 * turn));
        }
        std::fs::write(dir.join(FILE), "nonsense").unwrap();
        assert_eq!(open().1.counts().1.values().next().unwrap().acked, 36);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
