//! The rule that pure cores name no clock, randomness, file, socket, task or lock.
//!
//! Time and random bytes are arguments there, so that the same code runs at the edge, on a server and in a simulation,
//! and so that faults can be injected. A word is enough of a sign: whoever needs an exception needs a design.

use super::Finding;

/// Where the rule holds. A path that ends in `/` is a folder.
const PURE: [&str; 7] = [
    "collector/src/",
    "processor/src/",
    "protocol/src/",
    "query/src/",
    "sdk-wasm/src/outbox",
    "charts/src/scene/",
    "charts/src/scene.rs",
];

/// A word and what it is a sign of.
const WORDS: [(&str, &str); 28] = [
    ("time::Instant", "a clock"),
    ("Instant::now", "a clock"),
    ("SystemTime", "a clock"),
    ("Timestamp::now", "a clock"),
    ("Zoned::now", "a clock"),
    ("UNIX_EPOCH", "a clock"),
    ("rand", "randomness"),
    ("getrandom", "randomness"),
    ("thread_rng", "randomness"),
    ("OsRng", "randomness"),
    ("std::fs", "files"),
    ("File::open", "files"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("std::net", "sockets"),
    ("TcpStream", "sockets"),
    ("UdpSocket", "sockets"),
    ("tokio", "an async runtime"),
    ("async", "an async runtime"),
    (".await", "an async runtime"),
    ("std::thread", "threads"),
    ("thread::spawn", "threads"),
    ("Mutex", "locks"),
    ("RwLock", "locks"),
    ("println!", "the screen"),
    ("eprintln!", "the screen"),
    ("web_sys", "the browser"),
    ("js_sys", "the browser"),
];

/// Whether the file, named from the root, must be pure.
pub(super) fn is_pure(name: &str) -> bool {
    PURE.iter().any(|pure| name.starts_with(pure))
}

/// What a pure file names that it must not. Takes code without comments, texts and tests.
pub(super) fn check(code: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for (word, sign) in WORDS {
            if names(line, word) {
                found.push(Finding::new(number, format!("a pure file names {sign}: {word}")));
            }
        }
    }
    found
}

/// Whether `word` stands in the line by itself, not inside a longer name.
fn names(line: &str, word: &str) -> bool {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let begins = word.starts_with('.') || !before.is_some_and(is_name);
        begins && !after.is_some_and(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::{check, is_pure};

    #[test]
    fn clocks_randomness_files_sockets_and_tasks_are_found() {
        for line in [
            "let now = Instant::now();",
            "use std::time::SystemTime;",
            "let id = rand::random();",
            "std::fs::read(path)",
            "use std::net::TcpStream;",
            "pub async fn decide() {}",
            "store.append(rows).await",
            "use tokio::sync::watch;",
            "state: Mutex<State>,",
        ] {
            assert!(!check(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn words_inside_longer_names_are_fine() {
        for line in [
            "let random: [u8; 10] = moment.random;",
            "operand",
            "InstantMessage",
            "use jiff::Timestamp as Instant;",
            "core::net::IpAddr",
            "awaited",
        ] {
            assert!(check(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn the_rule_holds_for_the_pure_parts_only() {
        for (name, pure) in [
            ("collector/src/decide.rs", true),
            ("sdk-wasm/src/outbox.rs", true),
            ("sdk-wasm/src/outbox/backoff.rs", true),
            ("sdk-wasm/src/web.rs", false),
            ("charts/src/scene/ticks.rs", true),
            ("charts/src/native.rs", false),
            ("collector/tests/decide.rs", false),
        ] {
            assert_eq!(is_pure(name), pure, "{name}");
        }
    }
}
