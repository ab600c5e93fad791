//! `kill -9` under load, again and again: no event that was acknowledged is lost, none is counted twice.
//!
//! Writers send batches of their own form and Keen's, and send a batch again under the same ids when the answer did
//! not come. After each kill the server is started on the same folder and every event ever acknowledged is asked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::server::{Folder, Project, Server, ask, client, create_project, post};

/// Kills of one run; `RIVULET_KILLS` changes it for a longer or a shorter one.
const KILLS: u64 = 50;
/// Threads that send.
const WRITERS: u64 = 4;
/// Every so many batches a writer sends an old one again.
const REPEAT_EVERY: u64 = 5;
/// Events in one batch.
const BATCH: u64 = 20;
/// How long an acknowledged event may take to be seen by a query.
const VISIBLE_MAX: Duration = Duration::from_secs(20);
/// Groups are asked for one by one, so the usual limits are too low; and small segments make for more of them.
const SETTINGS: &[(&str, &str)] = &[
    ("RIVULET_QUERY_LIMITS_GROUPS_MAX", "10000000"),
    ("RIVULET_QUERY_LIMITS_ROWS_MAX", "10000000"),
    ("RIVULET_QUEUE_SEGMENT_BYTES_MAX", "262144"),
    ("RIVULET_STORE_TAIL_ROWS_MAX", "2000"),
];

/// What the writers know to be acknowledged.
#[derive(Default)]
struct Acked {
    /// Numbers that events carry as property `n`.
    numbers: Mutex<BTreeSet<u64>>,
    next: AtomicU64,
}

/// An event id from its number: the same number always gives the same id, as a sender's repeat must.
fn id(number: u64) -> String {
    format!("{:016x}{number:016x}", 0x00c0_ffee_u64)
}

fn batch(numbers: &[u64]) -> Vec<u8> {
    let events: Vec<_> = numbers
        .iter()
        .map(|n| json!({ "id": id(*n), "collection": "crash", "timestamp": 1_700_000_000_000_u64 + n, "properties": { "n": n } }))
        .collect();
    json!({ "sent_at": 1_700_000_000_000_u64, "events": events }).to_string().into_bytes()
}

fn bulk(numbers: &[u64]) -> Vec<u8> {
    let events: Vec<_> =
        numbers.iter().map(|n| json!({ "n": n, "keen": { "uniqueness_token": format!("t{n}") } })).collect();
    json!({ "crash": events }).to_string().into_bytes()
}

/// Sends until told to stop. A batch without a complete answer goes to `unsure`, to be sent again after the restart.
fn write(url: &str, project: &Project, acked: &Acked, unsure: &Mutex<Vec<Vec<u64>>>, stop: &AtomicBool) {
    let client = client();
    for turn in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let again = unsure.lock().unwrap().pop();
        let numbers = again.unwrap_or_else(|| {
            let old = acked.next.load(Ordering::Relaxed) / BATCH;
            let first = if turn.is_multiple_of(REPEAT_EVERY) && old > 0 {
                // A sender whose answer was lost long ago: most of these are in columns by now, from before a kill.
                turn.wrapping_mul(7_919) % old * BATCH
            } else {
                acked.next.fetch_add(BATCH, Ordering::Relaxed)
            };
            (first..first + BATCH).collect()
        });
        if !send(&client, url, project, &numbers, acked) {
            unsure.lock().unwrap().push(numbers);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Sends one batch; true when it was acknowledged. Even hundreds go in our form, odd ones in Keen's.
fn send(client: &ureq::Agent, url: &str, project: &Project, numbers: &[u64], acked: &Acked) -> bool {
    let root = format!("{url}/3.0/projects/{}", project.id);
    let own_form = (numbers[0] / BATCH).is_multiple_of(2);
    let answer = if own_form {
        post(client, &format!("{root}/batches"), &project.write_key, &batch(numbers))
    } else {
        post(client, &format!("{root}/events"), &project.write_key, &bulk(numbers))
    };
    match answer {
        Ok((200, body)) => {
            let body: Value = serde_json::from_slice(&body).unwrap();
            let whole = if own_form {
                body == json!({ "accepted": BATCH })
            } else {
                body["crash"].as_array().unwrap().iter().all(|result| result["success"] == true)
            };
            assert!(whole, "an event was refused: {body}");
            acked.numbers.lock().unwrap().extend(numbers);
            true
        }
        Ok((503, _)) | Err(_) => false,
        Ok((status, body)) => panic!("{status}: {}", String::from_utf8_lossy(&body)),
    }
}

/// How often each number is stored.
fn stored(server: &Server, project: &Project) -> BTreeMap<u64, u64> {
    let params = json!({ "event_collection": "crash", "group_by": "n" });
    let rows = ask(&client(), server, project, "count", &params).unwrap();
    rows.as_array().unwrap().iter().map(|row| (row["n"].as_u64().unwrap(), row["result"].as_u64().unwrap())).collect()
}

/// Waits until everything acknowledged is visible, and checks that nothing is there twice.
#[track_caller]
fn check(server: &Server, project: &Project, acked: &BTreeSet<u64>, kill: u64) {
    let start = Instant::now();
    loop {
        let stored = stored(server, project);
        let twice: Vec<_> = stored.iter().filter(|(_, count)| **count != 1).take(10).collect();
        assert!(twice.is_empty(), "after kill {kill}: counted more than once: {twice:?}");
        let lost: Vec<_> = acked.iter().filter(|n| !stored.contains_key(n)).collect();
        if lost.is_empty() {
            check_balance(server, project, u64::try_from(stored.len()).unwrap());
            return;
        }
        let some: Vec<_> = lost.iter().take(10).collect();
        assert!(
            start.elapsed() < VISIBLE_MAX,
            "after kill {kill}: {} of {} acknowledged events are not stored, as {some:?}",
            lost.len(),
            acked.len()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Everything that was ever acknowledged is accounted for, to the unit. `stored` were seen before.
#[track_caller]
fn check_balance(server: &Server, project: &Project, stored: u64) {
    let url = format!("{}/3.0/projects/{}/balance", server.url, project.id);
    let mut answer = client().get(url).header("Authorization", &project.master_key).call().unwrap();
    let balance: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!(balance["difference"], 0, "{balance}");
    assert!(balance["stored"].as_u64().unwrap() >= stored, "{stored} were there before: {balance}");
    assert!(balance["acked"].as_u64().unwrap() >= stored, "{balance}");
}

#[test]
fn fifty_kills_under_load_lose_nothing_and_double_nothing() {
    let kills = std::env::var("RIVULET_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let folder = Folder::new("crash").unwrap();
    let project = create_project(folder.path()).unwrap();
    let (acked, unsure) = (Arc::new(Acked::default()), Arc::new(Mutex::new(Vec::new())));
    let mut server = Server::start(folder.path(), SETTINGS).unwrap();
    for kill in 1..=kills {
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (url, project) = (server.url.clone(), project.clone());
                let (acked, unsure, stop) = (Arc::clone(&acked), Arc::clone(&unsure), Arc::clone(&stop));
                std::thread::spawn(move || write(&url, &project, &acked, &unsure, &stop))
            })
            .collect();
        // Kills fall at different places of group commits, flushes and compactions: 40 to 440 ms into the load.
        std::thread::sleep(Duration::from_millis(20 + kill * 97 % 400));
        check_balance(&server, &project, 0);
        std::thread::sleep(Duration::from_millis(20));
        server.kill().unwrap();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap();
        }
        server = Server::start(folder.path(), SETTINGS).unwrap();
        let known = acked.numbers.lock().unwrap().clone();
        check(&server, &project, &known, kill);
    }
    // What had no answer is sent again under its ids; then everything is there, once.
    let client = client();
    for numbers in unsure.lock().unwrap().drain(..) {
        assert!(send(&client, &server.url, &project, &numbers, &acked));
    }
    let known = acked.numbers.lock().unwrap().clone();
    check(&server, &project, &known, kills);
    let next = acked.next.load(Ordering::Relaxed);
    assert_eq!(u64::try_from(known.len()).unwrap(), next, "every number was acknowledged in the end");
    assert!(next > kills * BATCH, "the load was too thin to show anything: {next} events");
    println!("{kills} kills, {} events acknowledged, 0 lost, 0 counted twice", known.len());
}
