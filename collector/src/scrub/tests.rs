//! Shapes one by one; how many of many are found is measured in `tests/scrub.rs`.

use proptest::prelude::*;

use super::scrub;

/// `expected` is the whole text afterwards.
#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(scrub(text).as_deref().unwrap_or(text), expected, "{text:?}");
}

#[test]
fn the_hand_written_corpus_holds() {
    let lines =
        include_str!("../../tests/scrub/hand.tsv").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut count = 0;
    let mut wrong = Vec::new();
    for line in lines {
        let (text, expected) = line.split_once('\t').unwrap_or((line, line));
        let found = scrub(text).unwrap_or_else(|| text.to_owned());
        if found != expected {
            wrong.push(format!("{text:?}\n    is      {found:?}\n    must be {expected:?}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 150, "{count}");
}

#[test]
fn what_is_percent_encoded_is_read_as_what_it_stands_for() {
    for (text, expected) in [
        ("jane3%40example%2Ecom", "[email]"),
        ("%6Aane4%40%65xample.com", "[email]"),
        ("%34111111111111111", "[card]"),
        ("/a?x=%34111111111111111&y=1", "/a?x=[card]&y=1"),
        ("/a?m=jane%2540example%252Ecom&y=1", "/a?m=[email]&y=1"),
        ("j%C3%A4ne@b%C3%BCcher.example", "[email]"),
        ("/?m=jane%40example%2Ecom&t=%66oo", "/?m=[email]&t=%66oo"),
        (
            "https://x.test/?next=https%3A%2F%2Fx.test%2F%3Fa%3Db",
            "https://x.test/?next=https%3A%2F%2Fx.test%2F%3Fa%3Db",
        ),
        ("100%", "100%"),
        ("100% of %zz and %4", "100% of %zz and %4"),
        ("%FF%40%FE", "%FF%40%FE"),
    ] {
        check(text, expected);
    }
}

#[test]
fn our_own_keys_are_known_by_their_checksum() {
    let key = protocol::Key::from_random(protocol::KeyKind::Write, [5; 28]);
    check(&format!("/x?api={}&y", key.reveal()), "/x?api=[token]&y");
    check("rvwProductPageView2024RelatedItemsAB1", "rvwProductPageView2024RelatedItemsAB1");
}

#[test]
fn a_long_text_costs_no_more_than_its_length() {
    // Each would be quadratic with an unbounded look back or ahead.
    for text in [
        "%40",
        "%2540",
        "%61",
        "%C3",
        "%",
        "a@",
        "@a.",
        "1 ",
        "12-34 ",
        "eyJ.",
        "token=",
        "DE89 ",
        "+1",
        "a/",
        "\"@",
        "(",
        "phone 1234567 ",
    ] {
        let text = text.repeat(200_000 / text.len());
        let _ = scrub(&text);
    }
}

proptest! {
    #[test]
    fn any_text_is_taken(text in "\\PC{0,80}") {
        let _ = scrub(&text);
    }

    #[test]
    fn texts_of_the_characters_that_matter_are_taken_and_settle(
        text in "([0-9a-zA-Z]{1,6}|[@.%+ ()/=:-]|%40|%2B|\u{a0}|\u{e9}|eyJ|token=|0049|DE89|4111){0,24}"
    ) {
        let mut text = text;
        for _ in 0..8 {
            let Some(next) = scrub(&text) else { return Ok(()) };
            prop_assert!(next.len() <= text.len() + 2 * text.matches(['@', '%']).count() + 8, "{:?} {:?}", text, next);
            text = next;
        }
        prop_assert!(false, "does not settle: {text:?}");
    }
}
