//! Account numbers by ISO 13616: country, length, and a remainder of one.
//!
//! The check digits and the country's length leave one chance in some ten thousand that a harmless word is taken for one.
//! It must not know of the other shapes.

use super::{Kind, Span, closes_word, glyph, opens_word};

/// The countries of the IBAN registry and the length of their numbers.
const LENGTHS: &[(&[u8; 2], u8)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// Appends the account numbers of a text.
pub(super) fn find(bytes: &[u8], spans: &mut Vec<Span>) {
    let mut floor = 0;
    for (at, four) in bytes.windows(4).enumerate() {
        let [one, two, three, four] = four else { continue };
        let is_head =
            three.is_ascii_digit() && four.is_ascii_digit() && one.is_ascii_alphabetic() && two.is_ascii_alphabetic();
        if is_head
            && at >= floor
            && opens_word(bytes, at)
            && let Some(end) = number(bytes, at)
        {
            spans.push(Span { start: at, end, kind: Kind::Iban });
            floor = end;
        }
    }
}

/// Where the account number that begins at `start` ends.
fn number(bytes: &[u8], start: usize) -> Option<usize> {
    let [first, second, tens, ones] = *bytes.get(start..start + 4)? else { return None };
    let country = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
    if !(tens.is_ascii_digit() && ones.is_ascii_digit()) {
        return None;
    }
    let length = LENGTHS.iter().find(|(code, _)| **code == country).map(|(_, length)| usize::from(*length))?;
    let mut at = start + 4;
    let mut taken = 4;
    // The first four count after all others.
    let mut remainder = 0;
    while taken < length {
        let (byte, size) = glyph(bytes, at)?;
        if matches!(byte, b' ' | b'-' | b'+') && taken % 4 == 0 {
            at += size;
            let (next, _) = glyph(bytes, at)?;
            if !next.is_ascii_alphanumeric() {
                return None;
            }
            continue;
        }
        remainder = appended(remainder, byte)?;
        at += size;
        taken += 1;
    }
    let remainder = [first, second, tens, ones].into_iter().try_fold(remainder, appended)?;
    (remainder == 1 && closes_word(bytes, at)).then_some(at)
}

/// The remainder by 97 after one more digit, or letter as the two digits it stands for.
fn appended(remainder: u32, byte: u8) -> Option<u32> {
    let value = char::from(byte).to_digit(36)?;
    Some((remainder * if value < 10 { 10 } else { 100 } + value) % 97)
}
