//! Takes what names or unlocks a person out of texts: e-mail addresses, card, account and phone numbers, tokens.
//!
//! Apart from the rest of the collector because it knows nothing of events: a text in, a text out. It runs on every
//! string value before the first durable write, so it looks at ordinary texts once and cheaply ([`Signs`]) and only
//! then at shapes. Everything here is linear in the text: each look back or ahead has a named bound. There is no
//! regular expression, because an engine for them would be a third of the worker at the edge.
//!
//! What it can't know is what a number means. Where a shape is shared with harmless things (a bare national phone number
//! and an order number, a secret of 64 hex digits and a hash), `docs/reference/privacy.md` says on which side it errs.

mod iban;
mod mail;
mod numbers;
mod phone;
mod tokens;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nothing shorter holds anything: `a@b.co`.
const BYTES_MIN: usize = 6;
/// Fewer digits are no phone number, and so no card or account either.
const DIGITS_MIN: usize = 7;
/// Letters and digits without a gap that can be a token, given the right words before them.
const TOKEN_CHARS_MIN: usize = 16;

/// How often a text is percent-decoded: an address of a page within another's is encoded twice.
const DECODINGS_MAX: usize = 3;

/// What was found. Its text stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Email,
    Card,
    Iban,
    Phone,
    Token,
}

impl Kind {
    const fn text(self) -> &'static str {
        match self {
            Self::Email => "[email]",
            Self::Card => "[card]",
            Self::Iban => "[iban]",
            Self::Phone => "[phone]",
            Self::Token => "[token]",
        }
    }
}

/// A place in the text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    kind: Kind,
}

/// The text with `[email]`, `[card]`, `[iban]`, `[phone]` and `[token]` in place of what was found; none when nothing
/// was, which is the usual case and costs about a nanosecond a byte.
///
/// Linear in the text. What is percent-encoded is read as what it stands for, too, because addresses of pages hold such
/// things and add-ons decode them later.
///
/// ```
/// use collector::scrub::scrub;
///
/// assert_eq!(scrub("write to jane@example.com").as_deref(), Some("write to [email]"));
/// assert_eq!(scrub("/thanks?mail=jane%40example.com&ok=1").as_deref(), Some("/thanks?mail=[email]&ok=1"));
/// assert_eq!(scrub("order 4111-22"), None);
/// ```
#[must_use]
pub fn scrub(text: &str) -> Option<String> {
    if text.len() < BYTES_MIN {
        return None;
    }
    let mut spans = Vec::new();
    find(text, &mut spans);
    if text.contains('%') {
        find_encoded(text, &mut spans);
    }
    if spans.is_empty() { None } else { Some(replaced(text, spans)) }
}

/// Appends what stands in `text`.
fn find(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let signs = Signs::of(bytes);
    if signs.has_at {
        mail::find(text, spans);
    }
    if signs.digits >= DIGITS_MIN {
        numbers::find(bytes, spans);
        iban::find(bytes, spans);
    }
    if signs.run_chars >= TOKEN_CHARS_MIN && (signs.digits > 0 || signs.has_large) {
        tokens::find(text, spans);
    }
}

/// Appends what stands in `text` when it is percent-decoded, as often as it may be: any letter can be written so.
fn find_encoded(text: &str, spans: &mut Vec<Span>) {
    let mut decoded = Decoded { text: text.to_owned(), places: (0..=text.len()).collect() };
    for _ in 0..DECODINGS_MAX {
        let Some(next) = decoded.once() else { return };
        decoded = next;
        let mut found = Vec::new();
        find(&decoded.text, &mut found);
        let place = |at: usize| decoded.places.get(at).copied();
        spans.extend(
            found
                .iter()
                .filter_map(|span| Some(Span { start: place(span.start)?, end: place(span.end)?, kind: span.kind })),
        );
    }
}

/// A decoded text, and where each of its bytes, and its end, stands in the text that came.
struct Decoded {
    text: String,
    places: Vec<usize>,
}

impl Decoded {
    /// The same, decoded once more; none when nothing is encoded. What stands for no character stays.
    fn once(&self) -> Option<Self> {
        let mut next = Self { text: String::with_capacity(self.text.len()), places: Vec::new() };
        let (mut at, mut rest) = (0, self.text.as_str());
        while let Some(first) = rest.chars().next() {
            let decoded = if first == '%' { encoded(rest.as_bytes()) } else { None };
            let (character, taken) = decoded.unwrap_or((first, first.len_utf8()));
            // Each byte of a character that is encoded stands where the character begins.
            let place = |byte: usize| self.places.get(if decoded.is_some() { at } else { at + byte }).copied();
            next.places.extend((0..character.len_utf8()).filter_map(place));
            next.text.push(character);
            at += taken;
            rest = rest.get(taken..).unwrap_or_default();
        }
        next.places.extend(self.places.last());
        (next.text.len() < self.text.len()).then_some(next)
    }
}

/// The character whose bytes are percent-encoded at the beginning of `bytes`, and how many bytes it takes.
fn encoded(bytes: &[u8]) -> Option<(char, usize)> {
    let mut character = [0; 4];
    for index in 0..character.len() {
        match bytes.get(index * 3..index * 3 + 3)? {
            [b'%', high, low] => *character.get_mut(index)? = octet(*high, *low)?,
            _ => return None,
        }
        let text = character.get(..=index).and_then(|bytes| std::str::from_utf8(bytes).ok());
        if let Some(found) = text.and_then(|text| text.chars().next()) {
            return Some((found, index * 3 + 3));
        }
    }
    None
}

/// What a text must have before it is worth a closer look.
struct Signs {
    has_at: bool,
    has_large: bool,
    digits: usize,
    /// The longest run of characters of which tokens are made.
    run_chars: usize,
}

impl Signs {
    fn of(bytes: &[u8]) -> Self {
        let (mut seen, mut digits, mut run, mut run_chars) = (0_u8, 0_usize, 0_usize, 0_usize);
        for byte in bytes {
            let class = CLASSES.get(usize::from(*byte)).copied().unwrap_or_default();
            seen |= class;
            digits += usize::from(class & DIGIT);
            run = if class & RUN == 0 { 0 } else { run + 1 };
            run_chars = run_chars.max(run);
        }
        let has_at = seen & AT != 0 || (seen & PERCENT != 0 && bytes.windows(3).any(|three| three == b"%40"));
        Self { has_at, has_large: seen & LARGE != 0, digits, run_chars }
    }
}

const DIGIT: u8 = 1;
const RUN: u8 = 2;
const AT: u8 = 4;
const PERCENT: u8 = 8;
const LARGE: u8 = 16;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        let class = match byte {
            b'0'..=b'9' => DIGIT | RUN,
            b'A'..=b'Z' => LARGE | RUN,
            b'a'..=b'z' | b'_' | b'-' | b'+' | b'/' => RUN,
            b'@' => AT,
            b'%' => PERCENT,
            _ => 0,
        };
        // A constant's own index can't be out of bounds: the compiler would say so.
        #[allow(clippy::indexing_slicing, reason = "const evaluation; get_mut is not const")]
        {
            classes[byte as usize] = class;
        }
        byte += 1;
    }
    classes
};

/// The text with its spans replaced. Of spans that overlap the first stands, lengthened.
fn replaced(text: &str, spans: Vec<Span>) -> String {
    // First the earlier, the longer, the one that was found first. From a heap: the library's sorts are much code.
    let keys = spans.iter().zip(0_usize..).map(|(span, at)| Reverse((span.start, Reverse(span.end), at)));
    let mut order: BinaryHeap<_> = keys.collect();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    while let Some(Reverse((.., at))) = order.pop() {
        let Some(span) = spans.get(at).copied() else { continue };
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in merged {
        out.push_str(text.get(at..span.start).unwrap_or_default());
        out.push_str(span.kind.text());
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The character at `at` as it is meant, and how many bytes it takes: `%2B` is a plus of three bytes, a no-break space
/// is a space.
fn glyph(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    match bytes.get(at..)? {
        [b'%', high, low, ..] => Some(percent(*high, *low).map_or((b'%', 1), |byte| (byte, 3))),
        [0xc2, 0xa0, ..] => Some((b' ', 2)),
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

/// The character that ends before `at`, as [`glyph`] reads it.
fn glyph_before(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    match bytes.get(..at)? {
        [.., b'%', high, low] if percent(*high, *low).is_some() => Some((percent(*high, *low)?, 3)),
        [.., 0xc2, 0xa0] => Some((b' ', 2)),
        [.., byte] => Some((*byte, 1)),
        [] => None,
    }
}

/// What `%` and these two stand for, if that is ASCII.
fn percent(high: u8, low: u8) -> Option<u8> {
    octet(high, low).filter(u8::is_ascii)
}

/// What `%` and these two stand for.
fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

/// Whether nothing before `at` belongs to the same word.
fn opens_word(bytes: &[u8], at: usize) -> bool {
    glyph_before(bytes, at).is_none_or(|(byte, _)| !byte.is_ascii_alphanumeric())
}

/// Whether nothing from `at` on belongs to the same word.
fn closes_word(bytes: &[u8], at: usize) -> bool {
    glyph(bytes, at).is_none_or(|(byte, _)| !byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
