//! Tells agents of programs from those of people, so that events of robots can be tagged.
//!
//! Most robots say so in a word that no browser has; the others are in a list made from public data (`bots/`). It looks
//! at the header's text alone and must not know of addresses or of what is done with a robot's events. Who hides behind a
//! browser's agent is not found here.

mod patterns;

use patterns::{PARTS, STARTS};

/// Longer agents are looked at up to here; browsers' have some 150 bytes.
const AGENT_BYTES_MAX: usize = 1024;

/// Whether this `User-Agent` is a program's. An empty one is: browsers always send one.
///
/// Costs under a microsecond for a browser's.
///
/// ```
/// use collector::bots::is_bot;
///
/// assert!(is_bot("curl/8.5.0"));
/// assert!(!is_bot("Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"));
/// ```
#[must_use]
pub fn is_bot(user_agent: &str) -> bool {
    let bytes = user_agent.as_bytes();
    let bytes = bytes.get(..AGENT_BYTES_MAX).unwrap_or(bytes);
    if bytes.is_empty() || STARTS.iter().any(|start| bytes.starts_with(start.as_bytes())) {
        return true;
    }
    (0..bytes.len()).any(|at| {
        let rest = bytes.get(at..).unwrap_or_default();
        let [one, two, three, ..] = *rest else { return false };
        (is_word(one, two, three) && has_word(bytes, at)) || (is_head(one, two, three) && begins_with_a_part(rest))
    })
}

/// Whether one of the general words may begin so, in any case.
const fn is_word(one: u8, two: u8, three: u8) -> bool {
    matches!(
        (one | 0x20, two | 0x20, three | 0x20),
        (b'b', b'o', b't') | (b'c', b'r', b'a') | (b's', b'p', b'i') | (b'h', b't', b't')
    )
}

/// Whether a general word stands at `at`: what no browser has in its agent.
fn has_word(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let begins = |word: &[u8]| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    // Cubot makes phones.
    let is_phone =
        || at.checked_sub(2).and_then(|from| bytes.get(from..at)).is_some_and(|cu| cu.eq_ignore_ascii_case(b"cu"));
    (begins(b"bot") && !is_phone())
        || begins(b"crawl")
        || begins(b"spider")
        || begins(b"http://")
        || begins(b"https://")
}

/// Whether one of the sorted parts begins `rest`. As none begins another, it can only be the last that isn't greater.
fn begins_with_a_part(rest: &[u8]) -> bool {
    let after = PARTS.partition_point(|part| part.as_bytes() <= rest);
    after.checked_sub(1).and_then(|at| PARTS.get(at)).is_some_and(|part| rest.starts_with(part.as_bytes()))
}

/// Bits of [`HEADS`]; a part's first three bytes set one of them.
const HEAD_BITS: usize = 16_384;

/// Which first three bytes the parts have; one place in twenty is taken.
static HEADS: [u64; HEAD_BITS / 64] = heads();

#[allow(clippy::indexing_slicing, reason = "const evaluation: out of bounds would not compile, and get is not const")]
const fn heads() -> [u64; HEAD_BITS / 64] {
    let mut heads = [0; HEAD_BITS / 64];
    let mut at = 0;
    while at < PARTS.len() {
        let part = PARTS[at].as_bytes();
        let bit = head_bit(part[0], part[1], part[2]);
        heads[bit / 64] |= 1 << (bit % 64);
        at += 1;
    }
    heads
}

const fn head_bit(one: u8, two: u8, three: u8) -> usize {
    let mixed = (one as u32).wrapping_mul(0x9e37)
        ^ (two as u32).wrapping_mul(0x85eb_ca6b)
        ^ (three as u32).wrapping_mul(0xc2b2_ae35);
    ((mixed >> 13) as usize ^ mixed as usize) % HEAD_BITS
}

fn is_head(one: u8, two: u8, three: u8) -> bool {
    let bit = head_bit(one, two, three);
    HEADS.get(bit / 64).is_some_and(|bits| bits >> (bit % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_sorted_and_none_holds_another() {
        assert!(PARTS.is_sorted());
        for part in PARTS {
            assert!(!PARTS.iter().any(|other| *other != part && part.contains(other)), "{part}");
            assert!(is_bot(&format!("Mozilla/5.0 {part} x")), "{part}");
        }
    }

    #[test]
    fn every_agent_and_pattern_of_the_public_list_is_a_robots() {
        let agents = include_str!("../tests/bots/agents.txt").lines().skip(1);
        let missed: Vec<_> = agents.clone().filter(|agent| !is_bot(agent)).collect();
        assert!(agents.count() > 2_000);
        assert!(missed.is_empty(), "{}: {missed:#?}", missed.len());
    }

    #[test]
    fn browsers_are_people() {
        let agents = include_str!("../tests/bots/browsers.txt").lines().skip(1);
        let wrong: Vec<_> = agents.clone().filter(|agent| is_bot(agent)).collect();
        assert!(agents.count() >= 40);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn odd_agents_are_taken() {
        for (agent, is) in [
            ("", true),
            ("b", false),
            ("bo", false),
            ("BOT", true),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT NOTE 20) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36",
                false,
            ),
            ("MyCubot crawler", true),
            ("\u{e9}\u{e9}\u{e9}", false),
        ] {
            assert_eq!(is_bot(agent), is, "{agent:?}");
        }
        assert!(!is_bot(&"a".repeat(5_000)));
    }
}
