//! How many of many are found: recall at least 99 % for each shape, false hits at most 0.5 %.

#[path = "scrub/generator.rs"]
#[allow(
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "test code; clippy knows that only of functions marked as tests"
)]
mod generator;

use std::collections::BTreeMap;

use collector::scrub::scrub;
use generator::{Chance, around, harmless, secret};

const SEED: u64 = 20_200_101;
const SECRETS: usize = 20_000;
const HARMLESS: usize = 40_000;

#[test]
fn at_least_99_of_100_secrets_of_each_shape_are_found() {
    let mut chance = Chance(SEED);
    let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut missed = BTreeMap::<&str, Vec<String>>::new();
    for _ in 0..SECRETS {
        let (mark, secret) = secret(&mut chance);
        let text = around(&mut chance, &secret);
        let scrubbed = scrub(&text).unwrap_or_else(|| text.clone());
        // Nothing of it may be left: its end is what a half match leaves behind.
        let ends = [secret.replace('+', "%2B").replace(' ', "%20"), secret.clone()].map(|written| last(&written));
        let is_gone = scrubbed.contains(mark)
            && ends
                .iter()
                .all(|end| text.matches(end).count() == 0 || scrubbed.matches(end).count() < text.matches(end).count());
        let count = found.entry(mark).or_default();
        count.0 += usize::from(is_gone);
        count.1 += 1;
        if !is_gone {
            missed.entry(mark).or_default().push(format!("{text} -> {scrubbed}"));
        }
    }
    println!("found of all: {found:?}");
    for (mark, (hits, all)) in &found {
        let examples: Vec<_> = missed.get(mark).into_iter().flatten().take(40).collect();
        assert!(hits * 100 >= all * 99, "{mark}: {hits} of {all}: {examples:#?}");
    }
    assert_eq!(found.len(), 5);
}

/// The last eight characters.
fn last(text: &str) -> String {
    text.chars().skip(text.chars().count().saturating_sub(8)).collect()
}

#[test]
fn at_most_5_of_1000_harmless_texts_are_changed() {
    let mut chance = Chance(SEED ^ 1);
    let changed: Vec<_> = (0..HARMLESS)
        .filter_map(|_| {
            let text = harmless(&mut chance);
            scrub(&text).map(|scrubbed| format!("{text} -> {scrubbed}"))
        })
        .collect();
    println!("changed: {} of {HARMLESS}", changed.len());
    assert!(changed.len() * 1000 <= HARMLESS * 5, "{}: {:#?}", changed.len(), &changed[..changed.len().min(60)]);
}
