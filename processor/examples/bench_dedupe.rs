//! Measures what one remembered event costs: memory of the process before and after, and time.
//!
//! `cargo run --release -p processor --example bench_dedupe -- 5000000`

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::time::Instant;

use processor::Dedupe;
use protocol::{EventId, ProjectId, Timestamp};

/// Bytes in memory of this process, as Linux says.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4_096
}

fn main() {
    let events: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let Ok(project) = "p".parse::<ProjectId>() else { return };
    let (before, start) = (resident_bytes(), Instant::now());
    let mut dedupe = Dedupe::default();
    for number in 0..events {
        let mixed = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let id = EventId::from_bytes((mixed >> 8).to_be_bytes());
        dedupe.insert(&project, id, Timestamp::from_millis(1_700_000_000_000));
    }
    let (bytes, seconds) = (resident_bytes().saturating_sub(before), start.elapsed().as_secs_f64());
    println!(
        "{events} events: {:.1} bytes and {:.0} ns each",
        bytes as f64 / events as f64,
        seconds / events as f64 * 1e9
    );
}
