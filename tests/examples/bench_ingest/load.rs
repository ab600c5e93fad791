//! A load generator that takes little of the machine it shares with the server: requests are made before the clock starts,
//! only the ids in them change, and of a reply only status and length are read.
//!
//! It is ours because a shared machine must be loaded in a closed loop and at a rate by the same program, with bodies that
//! differ from request to request: repeated event ids would measure something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Events in a request, and about how many bytes they have together.
pub(crate) const EVENTS: usize = 50;
const EVENT_FILL: usize = 345;
/// What stands in a request where an id's digits go.
const ID_MARK: &[u8] = b"xxxxxxxxxxxxxxxx";
/// Bytes of a reply at most.
const REPLY_BYTES_MAX: usize = 16 * 1024;
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// One request, ready to be sent again with other ids.
#[derive(Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    ids: Vec<usize>,
}

impl Request {
    /// A batch of [`EVENTS`] events of a shop.
    pub(crate) fn new(path: &str, key: &str, seed: u64) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let events: Vec<String> = (0..EVENTS).map(|event| self::event(seed, event, now)).collect();
        let body = format!(r#"{{"sent_at":{now},"events":[{}]}}"#, events.join(","));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nAuthorization: {key}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), body.as_bytes()].concat();
        let ids =
            bytes.windows(ID_MARK.len()).enumerate().filter(|(_, part)| *part == ID_MARK).map(|(at, _)| at).collect();
        Self { bytes, ids }
    }

    fn renew(&mut self) {
        for at in &self.ids {
            let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
            for (digit, place) in self.bytes.iter_mut().skip(*at).take(16).enumerate() {
                let nibble = u8::try_from(id >> (60 - 4 * digit) & 15).unwrap_or_default();
                *place = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            }
        }
    }

    /// Bytes of head and body.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

fn event(seed: u64, event: usize, now: u128) -> String {
    let fill: String =
        "the quick brown fox jumps over the lazy dog ".chars().cycle().skip(event).take(EVENT_FILL - 140).collect();
    format!(
        r#"{{"id":"0000{seed:012x}xxxxxxxxxxxxxxxx","collection":"clicks","timestamp":{now},"properties":{{"page":"/shop/item/{event}","price":{event}.95,"user":{{"plan":"pro","seats":{seed}}},"ok":true,"note":"{fill}"}}}}"#
    )
}

/// What came of a run.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Microseconds from when a request was due (in a closed loop: sent) to its reply, of the accepted, sorted.
    pub(crate) accepted_us: Vec<u32>,
    /// The same, by second of the run.
    pub(crate) by_second: Vec<Vec<u32>>,
    /// Requests that were told to come again.
    pub(crate) refused: u64,
    /// Requests without an answer, or with another one.
    pub(crate) failed: u64,
    /// How long it ran.
    pub(crate) seconds: f64,
}

impl Outcome {
    /// Accepted requests a second.
    pub(crate) fn per_s(&self) -> f64 {
        self.accepted_us.len() as f64 / self.seconds
    }

    /// All requests a second, answered or not.
    pub(crate) fn offered_per_s(&self) -> f64 {
        (self.accepted_us.len() as u64 + self.refused + self.failed) as f64 / self.seconds
    }

    /// The time within which so much of the accepted were answered, in milliseconds.
    pub(crate) fn ms(&self, share: f64) -> f64 {
        quantile(&self.accepted_us, share)
    }

    /// The same within one second of the run.
    pub(crate) fn ms_in_second(&self, second: usize, share: f64) -> f64 {
        self.by_second.get(second).map_or(0.0, |found| quantile(found, share))
    }
}

fn quantile(sorted: &[u32], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).map_or(0.0, |us| f64::from(*us) / 1_000.0)
}

/// How requests follow one another.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection sends the next when it has the answer.
    Closed,
    /// So many a second together; a late one is late, and its time counts from when it was due.
    Rate(f64),
    /// As many a second as can be sent, up to so many; the time counts from when one was sent, because the load is not to be
    /// met.
    Flood(f64),
}

/// As [`run`], on a thread of its own, so that a flood beside it does not count as its delay.
pub(crate) async fn run_apart(
    address: &str,
    request: &Request,
    connections: usize,
    pace: Pace,
    seconds: f64,
) -> Result<Outcome> {
    let (address, request) = (address.to_owned(), request.clone());
    let running = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(&address, &request, connections, pace, seconds))
    });
    running.await?
}

/// Sends requests over `connections` for so long.
pub(crate) async fn run(
    address: &str,
    request: &Request,
    connections: usize,
    pace: Pace,
    seconds: f64,
) -> Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let mut senders = Vec::new();
    for sender in 0..connections {
        let (address, request, stop) = (address.to_owned(), request.clone(), Arc::clone(&stop));
        let every = match pace {
            Pace::Closed => None,
            Pace::Rate(rate) | Pace::Flood(rate) => Some(Duration::from_secs_f64(connections as f64 / rate)),
        };
        let first = begun + every.map_or(Duration::ZERO, |every| every.mul_f64(sender as f64 / connections as f64));
        let is_flood = matches!(pace, Pace::Flood(_));
        senders.push(tokio::spawn(send(address, request, stop, begun, first, every, is_flood)));
    }
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Outcome { seconds: begun.elapsed().as_secs_f64(), ..Outcome::default() };
    for sender in senders {
        let part = tokio::time::timeout(Duration::from_secs(30), sender).await.context("a sender hangs")???;
        all.refused += part.refused;
        all.failed += part.failed;
        for (second, us) in part.accepted {
            all.accepted_us.push(us);
            if all.by_second.len() <= second {
                all.by_second.resize_with(second + 1, Vec::new);
            }
            if let Some(found) = all.by_second.get_mut(second) {
                found.push(us);
            }
        }
    }
    all.accepted_us.sort_unstable();
    all.by_second.iter_mut().for_each(|second| second.sort_unstable());
    Ok(all)
}

#[derive(Default)]
struct Part {
    accepted: Vec<(usize, u32)>,
    refused: u64,
    failed: u64,
}

async fn send(
    address: String,
    mut request: Request,
    stop: Arc<AtomicBool>,
    begun: Instant,
    first: Instant,
    every: Option<Duration>,
    is_flood: bool,
) -> Result<Part> {
    let (mut part, mut due, mut buffer) = (Part::default(), first, vec![0; REPLY_BYTES_MAX]);
    let mut stream = None;
    loop {
        if every.is_some() {
            tokio::time::sleep_until(due.into()).await;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(part);
        }
        let since = if every.is_some() && !is_flood { due } else { Instant::now() };
        request.renew();
        match exchange(&address, &mut stream, &request.bytes, &mut buffer).await {
            Ok(200 | 201) => {
                let us = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
                part.accepted.push((usize::try_from(begun.elapsed().as_secs()).unwrap_or_default(), us));
            }
            Ok(429 | 503) => part.refused += 1,
            Ok(_) | Err(_) => {
                part.failed += 1;
                stream = None;
            }
        }
        if let Some(every) = every {
            due += every;
            // More than a second behind: what is over is not offered any more.
            let late = due.elapsed();
            if late > Duration::from_secs(1) {
                due += late;
            }
        }
    }
}

async fn exchange(address: &str, stream: &mut Option<TcpStream>, request: &[u8], buffer: &mut [u8]) -> Result<u16> {
    if stream.is_none() {
        let connected = TcpStream::connect(address).await?;
        connected.set_nodelay(true)?;
        *stream = Some(connected);
    }
    let Some(open) = stream.as_mut() else { bail!("no connection") };
    open.write_all(request).await?;
    let mut filled = 0;
    loop {
        let read = open.read(buffer.get_mut(filled..).context("a reply that is too long")?).await?;
        if read == 0 {
            bail!("closed");
        }
        filled += read;
        let reply = buffer.get(..filled).unwrap_or_default();
        if let Some((status, length, closes)) = parse(reply)
            && filled >= length
        {
            if closes {
                *stream = None;
            }
            return Ok(status);
        }
    }
}

/// Status, whole length, and whether the connection ends, when the head is there.
fn parse(reply: &[u8]) -> Option<(u16, usize, bool)> {
    let end = reply.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(reply.get(..end)?).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let value = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let length: usize = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    Some((status, end + length, value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))))
}
