//! Reads numbers written in groups of digits, and tells cards from phone numbers by their shape.
//!
//! Both are digits with gaps, so they are read by the same eye: from the start of a group a bounded window of groups. What
//! a card is stands here; phone numbers have rules of their own in `phone.rs`.

use super::{Kind, Span, closes_word, glyph, glyph_before, phone};

/// Groups of one number: `06 12 34 56 78` has five, with a country and a trunk zero in brackets seven.
const GROUPS_MAX: usize = 8;
/// Digits of one number: cards have up to 19.
const DIGITS_MAX: usize = 19;
/// Characters between two groups: `) - `.
const GAP_MAX: usize = 3;

/// Digits without a gap.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Group {
    /// How many digits.
    pub(super) digits: usize,
    /// Where it ends in the text.
    pub(super) end: usize,
    /// What stands before it, seen from the group before: the character that says most.
    pub(super) gap: u8,
    /// Whether nothing but that one character stands there.
    pub(super) is_tight: bool,
}

/// The groups from one place on.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Where the first group begins.
    pub(super) start: usize,
    groups: [Group; GROUPS_MAX],
    count: usize,
    digits: [u8; DIGITS_MAX],
}

impl Window {
    /// Reads the groups that begin at `start`, which is a digit's place. None when the first is too long.
    fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let mut window = Self { start, ..Self::default() };
        let (mut at, mut total) = (start, 0);
        let (mut gap, mut is_tight) = (0, true);
        while window.count < GROUPS_MAX {
            let length = bytes.get(at..)?.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 || total + length > DIGITS_MAX {
                break;
            }
            for (to, from) in window.digits.iter_mut().skip(total).zip(bytes.get(at..at + length)?) {
                *to = from - b'0';
            }
            total += length;
            at += length;
            let group = window.groups.get_mut(window.count)?;
            *group = Group { digits: length, end: at, gap, is_tight };
            window.count += 1;
            let Some(next) = skip_gap(bytes, at) else { break };
            (at, gap, is_tight) = next;
        }
        (window.count > 0).then_some(window)
    }

    /// All groups.
    pub(super) fn groups(&self) -> &[Group] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    /// The first digits, as many as the first `groups` have.
    pub(super) fn digits(&self, groups: usize) -> &[u8] {
        let total = self.groups().iter().take(groups).map(|group| group.digits).sum();
        self.digits.get(..total).unwrap_or_default()
    }
}

/// Steps over what may stand between two groups: where the next begins, the character that says most, whether it is
/// alone.
fn skip_gap(bytes: &[u8], mut at: usize) -> Option<(usize, u8, bool)> {
    let (mut gap, mut count) = (0, 0);
    loop {
        let (byte, size) = glyph(bytes, at)?;
        match byte {
            b'0'..=b'9' if count > 0 => return Some((at, gap, count == 1)),
            b' ' if gap == 0 => gap = b' ',
            b' ' => {}
            b'-' | b'.' | b'/' | b'(' | b')' | b'+' => gap = byte,
            _ => return None,
        }
        at += size;
        count += 1;
        if count > GAP_MAX {
            return None;
        }
    }
}

/// Appends the card and phone numbers of a text.
pub(super) fn find(bytes: &[u8], spans: &mut Vec<Span>) {
    let mut at = 0;
    while let Some((byte, size)) = glyph(bytes, at) {
        if size > 1 || !byte.is_ascii_digit() {
            let plain = bytes.get(at + size..).unwrap_or_default();
            at += size + plain.iter().take_while(|byte| !byte.is_ascii_digit() && **byte != b'%').count();
            continue;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // An extension may follow a phone number: `x12`, `ext. 12`.
        let goes_on =
            rest.get(digits).is_some_and(|byte| byte.is_ascii_alphanumeric() && !matches!(byte, b'x' | b'X' | b'e'));
        if goes_on || !super::opens_word(bytes, at) {
            // Inside a word nothing begins.
            at += rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        } else if let Some(span) = number(bytes, at) {
            at = span.end;
            spans.push(span);
        } else {
            at += digits;
        }
    }
}

fn number(bytes: &[u8], start: usize) -> Option<Span> {
    let window = Window::read(bytes, start)?;
    if let Some(end) = card(bytes, &window) {
        return Some(Span { start, end, kind: Kind::Card });
    }
    phone::find(bytes, &window).map(|(start, end)| Span { start, end, kind: Kind::Phone })
}

/// The ways in which the digits of a card are grouped.
const CARD_SHAPES: &[&[usize]] = &[&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3]];

/// Where the card number that the window begins with ends.
fn card(bytes: &[u8], window: &Window) -> Option<usize> {
    let first = window.groups().first()?;
    if first.digits >= 14 {
        let is_decimal = glyph_before(bytes, window.start).is_some_and(|(byte, _)| byte == b'.')
            || (bytes.get(first.end) == Some(&b'.') && bytes.get(first.end + 1).is_some_and(u8::is_ascii_digit));
        return (!is_decimal && is_card(window.digits(1)) && closes_word(bytes, first.end)).then_some(first.end);
    }
    // The longest shape first: a card of 19 digits begins like one of 16.
    CARD_SHAPES.iter().rev().find_map(|shape| {
        let groups = window.groups().get(..shape.len())?;
        let gap = groups.get(1)?.gap;
        let is_shape = groups.iter().zip(*shape).all(|(group, digits)| group.digits == *digits);
        let is_even = groups.iter().skip(1).all(|group| group.gap == gap && group.is_tight);
        let end = groups.last()?.end;
        (is_shape && is_even && is_card(window.digits(shape.len())) && closes_word(bytes, end)).then_some(end)
    })
}

/// Whether an issuer gives out such numbers and the check digit (Luhn) is right.
fn is_card(digits: &[u8]) -> bool {
    let head = |count: usize| digits.iter().take(count).fold(0_u32, |head, digit| head * 10 + u32::from(*digit));
    let issued = match digits.len() {
        14 => matches!(head(2), 36 | 38 | 39) || matches!(head(3), 300..=305 | 309),
        15 => matches!(head(2), 34 | 37),
        16 => {
            matches!(head(1), 4)
                || matches!(head(2), 50..=58 | 62 | 65 | 67 | 68 | 36 | 60)
                || matches!(head(4), 2221..=2720 | 3528..=3589 | 6304 | 6390 | 2200..=2204)
                || matches!(head(3), 644..=649)
        }
        19 => matches!(head(1), 4) || matches!(head(2), 50 | 56..=58 | 60 | 62 | 65 | 67),
        _ => false,
    };
    issued && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = u32::from(*digit) * if place % 2 == 1 { 2 } else { 1 };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}
