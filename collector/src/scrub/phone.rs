//! Phone numbers: with a country code, in the spellings of countries that have one, or after a word that says so.
//!
//! Ten digits alone are an order number or a time more often than a phone number, so bare digits count only with a trunk
//! zero, a plus, or a word before them. It must not know of cards.

use super::numbers::{Group, Window};
use super::{glyph, glyph_before};

/// E.164: country code and number.
const DIGITS_MAX: usize = 15;
/// With a plus; fewer are a difference ("+1000000").
const PLUS_DIGITS_MIN: usize = 8;
/// How far before a number a word is looked for.
const LOOK_BACK_BYTES: usize = 28;
/// Words that say that a phone number follows.
const WORDS: &[&str] = &[
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "cellphone",
    "fax",
    "call",
    "sms",
    "text",
    "whatsapp",
    "msisdn",
    "telefon",
    "telefono",
    "handy",
    "wa.me",
    "ph",
    "mob",
    "phonenumber",
    "phone_number",
    "phone-number",
    "mobile_number",
    "contact_number",
    "rufnummer",
    "t\u{e9}l\u{e9}phone",
    "tel\u{e9}fono",
];
/// Words that may stand between.
const FILLERS: &[&str] = &["number", "no", "nr", "num", "is", "me", "at", "on", "us", "him", "her", "them", "to"];

/// Start and end of the phone number that the window begins with.
pub(super) fn find(bytes: &[u8], window: &Window) -> Option<(usize, usize)> {
    let groups = window.groups();
    if window.digits(groups.len()).len() < super::DIGITS_MIN {
        return None;
    }
    let before = Before::look(bytes, window.start);
    let count = if before.has_plus {
        international(window)
    } else if before.may_open {
        double_zero(window).or_else(|| american(window, &before)).or_else(|| trunk_zero(window)).or_else(|| {
            let strength = word_before(bytes, before.start)?;
            named(window, strength)
        })
    } else {
        word_before(bytes, before.start).and_then(|strength| named(window, strength))
    }?;
    let last = groups.get(count.checked_sub(1)?)?;
    let goes_on =
        groups.get(count).is_some_and(|next| next.is_tight && matches!(next.gap, b'-' | b'.') && !before.has_plus);
    (!goes_on && closes(bytes, last.end)).then_some((before.start, last.end))
}

/// What stands before a number.
struct Before {
    /// Where it begins, its plus and bracket included.
    start: usize,
    has_plus: bool,
    has_bracket: bool,
    /// Whether what stands before lets a number without a plus begin.
    may_open: bool,
}

impl Before {
    fn look(bytes: &[u8], start: usize) -> Self {
        let mut before = Self { start, has_plus: false, has_bracket: false, may_open: false };
        while let Some((byte, size)) = glyph_before(bytes, before.start) {
            match byte {
                b'(' if !before.has_bracket => before.has_bracket = true,
                b'+' if !before.has_plus => before.has_plus = true,
                _ => break,
            }
            before.start -= size;
        }
        let outside = glyph_before(bytes, before.start).map(|(byte, _)| byte);
        if before.has_plus && outside.is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            // `a+1234`, `2+1234`, and the plus that stands for a space in a page's address.
            before.has_plus = false;
        }
        before.may_open = match outside {
            None => true,
            Some(b':') => !glyph_before(bytes, before.start - 1).is_some_and(|(byte, _)| byte.is_ascii_digit()),
            Some(byte) => {
                !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'-' | b'.' | b'#' | b'/' | b'@' | b'$')
            }
        };
        before
    }
}

/// After a plus: as many groups as a number can have.
fn international(window: &Window) -> Option<usize> {
    let mut total = 0;
    let mut count = 0;
    for group in window.groups() {
        if total + group.digits > DIGITS_MAX || group.gap == b'+' {
            break;
        }
        total += group.digits;
        count += 1;
    }
    (total >= PLUS_DIGITS_MIN && *window.digits(1).first()? != 0).then_some(count)
}

/// `0049 30 123456`: the plus as it is dialled.
fn double_zero(window: &Window) -> Option<usize> {
    let [0, 0, 1..=9, ..] = window.digits(1) else { return None };
    let groups = window.groups();
    let first = groups.first()?;
    let total = window.digits(groups.len()).len();
    let is_bare = groups.len() == 1 && (12..=15).contains(&total);
    let is_grouped = groups.len() > 1 && first.digits <= 6 && (11..=17).contains(&total);
    (is_bare || is_grouped).then_some(groups.len())
}

/// `(415) 555-2671`, `1-415-555-2671`, `415.555.2671`.
fn american(window: &Window, before: &Before) -> Option<usize> {
    let has_country = window.digits(1) == [1];
    let skip = usize::from(has_country);
    let number = window.groups().get(skip..)?;
    let digits = window.digits(skip + 3).get(skip..)?;
    let starts = |place: usize| digits.get(place).is_some_and(|digit| *digit >= 2);
    let has_bracket = before.has_bracket || number.first()?.gap == b'(';
    let count = match number {
        [Group { digits: 3, .. }, Group { digits: 3, gap: one, .. }, Group { digits: 4, gap: two, .. }, ..]
            if *one != b'/' && *two != b'/' =>
        {
            3
        }
        [Group { digits: 3, .. }, Group { digits: 7, .. }, ..] if has_bracket => 2,
        _ => return None,
    };
    (starts(0) && starts(3)).then_some(skip + count)
}

/// `020 7946 0958`, `0171/2345678`, `06 12 34 56 78`, `07911123456`.
fn trunk_zero(window: &Window) -> Option<usize> {
    let [0, 1..=9, ..] = window.digits(1) else { return None };
    let groups = window.groups();
    let first = groups.first()?;
    if let [_, rest @ ..] = groups.get(..5).unwrap_or_default()
        && first.digits == 2
        && rest.iter().all(|group| group.digits == 2 && group.gap != b'/')
        && groups.get(5).is_none_or(|next| next.digits != 2)
    {
        return Some(5);
    }
    let second = groups.get(1);
    if second.is_none() {
        let is_mobile = matches!(window.digits(1), [0, 6 | 7, ..]);
        return (matches!(first.digits, 10 | 11) && (is_mobile || !is_isbn(window.digits(1)))).then_some(1);
    }
    if first.digits > 5 || (first.digits == 2 && second.is_some_and(|second| second.digits < 3)) || first.digits < 2 {
        return None;
    }
    let mut total = first.digits;
    let mut count = 1;
    for group in groups.iter().skip(1) {
        if total + group.digits > 12 || group.digits < 2 || matches!(group.gap, b'.' | b'+') {
            break;
        }
        total += group.digits;
        count += 1;
    }
    let is_spaced = groups.iter().take(count).skip(1).all(|group| group.gap == b' ');
    let least = if is_spaced { 9 } else { 10 };
    // `0100 0000 0000`-like counters are rarer than the numbers they look like.
    (count > 1 && total >= least).then_some(count)
}

/// Ten digits whose last checks the others, as on books.
fn is_isbn(digits: &[u8]) -> bool {
    let sum: u32 = (1..=10).rev().zip(digits).map(|(weight, digit)| weight * u32::from(*digit)).sum();
    digits.len() == 10 && sum.is_multiple_of(11)
}

/// How plainly a word says that a number follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    /// `phone: `, `tel=`.
    Labelled,
    /// `call `.
    Said,
}

/// A number after a word that names it.
fn named(window: &Window, strength: Strength) -> Option<usize> {
    let least = if strength == Strength::Labelled { 7 } else { 9 };
    let mut total = 0;
    let mut count = 0;
    for group in window.groups() {
        if total + group.digits > DIGITS_MAX {
            break;
        }
        total += group.digits;
        count += 1;
    }
    // Seconds and milliseconds since 1970.
    let is_time =
        strength == Strength::Said && count == 1 && matches!(total, 10 | 13) && window.digits(1).first() == Some(&1);
    (total >= least && !is_time).then_some(count)
}

fn word_before(bytes: &[u8], start: usize) -> Option<Strength> {
    let from = start.saturating_sub(LOOK_BACK_BYTES);
    // Most numbers follow a letter or a dash, and then no word is looked for.
    let is_apart = match bytes.get(from..start)? {
        [.., b'%', _, _] => true,
        [.., byte] => !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_'),
        [] => false,
    };
    if !is_apart {
        return None;
    }
    // The one letter beyond ASCII in the words; the tables of all letters are larger than this file.
    let text = String::from_utf8_lossy(bytes.get(from..start)?).to_ascii_lowercase().replace('\u{c9}', "\u{e9}");
    let mut rest = trim_gaps(&text);
    let says_so = text.get(rest.len()..).unwrap_or_default().contains([':', '=', '/', '.'])
        || text.ends_with("%3a")
        || text.ends_with("%3d");
    let strength = if says_so { Strength::Labelled } else { Strength::Said };
    if rest.len() == text.len() {
        return None;
    }
    for _ in 0..3 {
        let word =
            rest.rsplit(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '.' | '-')).next()?;
        if WORDS.contains(&word.trim_matches('.')) {
            return Some(strength);
        }
        if !FILLERS.contains(&word) {
            return None;
        }
        rest = trim_gaps(rest.get(..rest.len() - word.len())?);
    }
    None
}

/// Without what may stand between a word and its number, plain or percent-encoded.
fn trim_gaps(text: &str) -> &str {
    let is_gap =
        |letter: char| matches!(letter, ' ' | ':' | '=' | '.' | '#' | '"' | '\'' | '+' | '(' | '/' | '>' | '\u{a0}');
    let mut rest = text;
    loop {
        let trimmed = rest.trim_end_matches(is_gap);
        let encoded = ["%20", "%3a", "%3d", "%28", "%2b"].iter().find_map(|gap| trimmed.strip_suffix(gap));
        match encoded {
            Some(shorter) => rest = shorter,
            None => return trimmed,
        }
    }
}

/// Whether the number is over at `at`; an extension may follow.
fn closes(bytes: &[u8], at: usize) -> bool {
    let Some((byte, size)) = glyph(bytes, at) else { return true };
    let next = glyph(bytes, at + size).map(|(byte, _)| byte);
    match byte {
        b'x' | b'X' => next.is_some_and(|byte| byte.is_ascii_digit()),
        b'e' => next == Some(b'x'),
        b'_' => false,
        byte => !byte.is_ascii_alphanumeric(),
    }
}
