//! Measures what the collector does with texts: nanoseconds a byte for the scrubber, nanoseconds an agent for robots.
//!
//! `cargo run --release -p collector --example bench_text`. With the path of a file of agents it prints those that are
//! taken for robots instead.

use std::hint::black_box;
use std::time::Instant;

use collector::bots::is_bot;
use collector::scrub::scrub;

const ROUNDS: usize = 400;
const RUNS: u32 = 500;

fn main() {
    if let Some(path) = std::env::args().nth(1) {
        let agents = std::fs::read_to_string(&path).unwrap_or_default();
        for agent in agents.lines().filter(|agent| is_bot(agent)) {
            println!("{agent}");
        }
        return;
    }
    let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
    measure("is_bot, a browser", agent.len(), || usize::from(is_bot(black_box(agent))));
    for (name, text) in [
        ("a word", "add-to-cart"),
        ("a title", "Trail shoes for the spring sale outdoor collection"),
        ("a page", "https://search.example.test/?q=shoes&page=2"),
        ("a page with an id", "https://shop.example.test/products/trail-shoes-12345678/reviews?page=2"),
        ("an agent", agent),
        ("an id of 32 hex digits", "0123456789abcdef0123456789abcdef"),
        ("an e-mail", "please write to jane.doe@example.com about it"),
        ("a phone number", "please call +1 (415) 555-2671 about it"),
    ] {
        measure(name, text.len(), || scrub(black_box(text)).map_or(0, |scrubbed| scrubbed.len()));
    }
}

fn measure(name: &str, bytes: usize, run: impl Fn() -> usize) {
    let mut rounds_ns: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let total: usize = (0..RUNS).map(|_| run()).sum();
            black_box(total);
            start.elapsed().as_secs_f64() * 1e9 / f64::from(RUNS)
        })
        .collect();
    rounds_ns.sort_by(f64::total_cmp);
    let best = rounds_ns.first().copied().unwrap_or_default();
    let each = best / f64::from(u32::try_from(bytes).unwrap_or(1));
    println!("{name:24} {bytes:4} bytes: best {best:7.1} ns, {each:5.2} ns a byte");
}
