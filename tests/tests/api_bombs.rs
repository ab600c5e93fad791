//! A body that becomes a thousand times what it was does not take the server's memory, and is not even looked at without a
//! good key.
//!
//! Measured from outside: the most memory that the process ever held, as Linux counts it, forgotten before each bomb.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use protocol::{Key, KeyKind};
use tests::server::{Folder, Project, Server, client, create_project};

/// What a bomb may take beside what the server held before.
const EXTRA_KIB_MAX: u64 = 2 * 1024;
/// What the bombs pretend to be.
const GZIP_BOMB_BYTES: usize = 100 << 20;
const ZSTD_BOMB_BYTES: usize = 1 << 30;

fn gzip(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let piece = vec![b' '; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&piece).unwrap();
    }
    encoder.finish().unwrap()
}

/// With its size in its head or without.
fn zstd(bytes: usize, says_size: bool) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(20).unwrap();
    if says_size {
        encoder.set_pledged_src_size(Some(bytes as u64)).unwrap();
    }
    encoder.include_contentsize(says_size).unwrap();
    let piece = vec![b' '; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&piece).unwrap();
    }
    encoder.finish().unwrap()
}

fn send(server: &Server, project: &Project, path: &str, key: &str, encoding: &str, body: &[u8]) -> (u16, Duration) {
    let url = format!("{}/3.0/projects/{}/{path}", server.url, project.id);
    let start = Instant::now();
    let request = client().post(url).header("authorization", key).header("content-encoding", encoding);
    (request.send(body).unwrap().status().as_u16(), start.elapsed())
}

/// A line of `/proc/<pid>/status` in KiB.
fn memory_kib(server: &Server, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let found = status.lines().find_map(|one| one.strip_prefix(line)).unwrap();
    found.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_bomb_is_stopped_with_little_memory_and_never_before_the_key_is_good() {
    let folder = Folder::new("bombs").unwrap();
    let project = create_project(folder.path()).unwrap();
    let server = Server::start(folder.path(), &[]).unwrap();
    let good = br#"{"c":[{"a":1}]}"#;
    let plain = zstd::bulk::compress(good, 3).unwrap();
    assert_eq!(send(&server, &project, "events", &project.write_key, "zstd", &plain).0, 200);

    let stranger = Key::from_random(KeyKind::Write, [1; 28]);
    let bombs = [
        ("gzip", gzip(GZIP_BOMB_BYTES)),
        ("zstd", zstd(ZSTD_BOMB_BYTES, true)),
        ("zstd", zstd(ZSTD_BOMB_BYTES, false)),
    ];
    for (encoding, bomb) in &bombs {
        for path in ["events", "batches", "events/c"] {
            // What any request of this size takes, and no more work than that for a stranger.
            for _ in 0..3 {
                let (status, _) = send(&server, &project, path, stranger.reveal(), encoding, bomb);
                assert_eq!(status, 401, "{encoding} {path}");
            }
            std::fs::write(format!("/proc/{}/clear_refs", server.id()), "5").unwrap();
            let before = memory_kib(&server, "VmRSS");
            let (status, took) = send(&server, &project, path, &project.write_key, encoding, bomb);
            let extra = memory_kib(&server, "VmHWM").saturating_sub(before);
            println!("{encoding} {} bytes to {path}: {status} in {took:?}, {extra} KiB more", bomb.len());
            assert_eq!(status, 413, "{encoding} {path}");
            assert!(extra < EXTRA_KIB_MAX, "{encoding} to {path} took {extra} KiB");
        }
    }
}
