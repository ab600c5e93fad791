//! E-mail addresses: around each `@`, as much as can belong to one.
//!
//! Narrower than RFC 5322 where an address stands inside a page's address (`=`, `&`, `/` end it) and wider where people
//! are (letters of any script). It must not know of the other shapes.

use super::{Kind, Span, glyph, percent};

/// RFC 5321 4.5.3.1: more can't be delivered. Bounds the look back from each `@`.
const LOCAL_BYTES_MAX: usize = 64;
/// The same for the look ahead.
const DOMAIN_BYTES_MAX: usize = 255;
/// Where a top-level domain would stand, these are endings of files: `logo@2x.png`.
const FILES: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico", "css", "js", "mjs", "cjs", "ts", "tsx", "jsx", "json",
    "map", "html", "htm", "txt", "tgz", "woff", "woff2", "wasm",
];
/// Not a person but an account of a program: `git@github.com:a/b.git`.
const PROGRAMS: &[&str] = &["git", "hg", "svn"];

/// Appends the addresses of `text`.
pub(super) fn find(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut floor = 0;
    while let Some((byte, length)) = glyph(bytes, at) {
        if byte == b'@'
            && let Some(start) = local(text, floor, at)
            && let Some(end) = domain(text, at + length)
        {
            spans.push(Span { start, end, kind: Kind::Email });
            (floor, at) = (end, end);
        } else {
            at += length;
        }
    }
}

/// Where the part before the `@` at `at` begins, not before `floor`.
fn local(text: &str, floor: usize, at: usize) -> Option<usize> {
    let floor = floor.max(at.saturating_sub(LOCAL_BYTES_MAX));
    let before = text.as_bytes().get(floor..at)?;
    let start = if before.last() == Some(&b'"') {
        // A quoted one: to the quote before.
        let open = before.iter().rev().skip(1).position(|byte| *byte == b'"')?;
        at.checked_sub(open + 2)?
    } else {
        let taken = before.iter().rev().take_while(|byte| is_local(**byte)).count();
        at - taken
    };
    // Not in the middle of a letter, and not with a dot in front.
    let start =
        (start..at).find(|start| text.is_char_boundary(*start) && text.as_bytes().get(*start) != Some(&b'.'))?;
    // `u%3Djane` is `u=jane`: what no address holds ends it here too.
    let before = text.as_bytes().get(start..at)?;
    let ends =
        |three: &[u8]| matches!(three, [b'%', high, low] if percent(*high, *low).is_some_and(|byte| !is_local(byte)));
    let start = before.windows(3).rposition(ends).map_or(start, |place| start + place + 3);
    let local = text.get(start..at)?;
    (!local.is_empty() && !PROGRAMS.contains(&local)).then_some(start)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'' | b'!' | b'~')
}

/// Where the part after the `@`, which begins at `start`, ends.
fn domain(text: &str, start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    if let Some(literal) = rest.strip_prefix('[') {
        let length = literal.bytes().take(DOMAIN_BYTES_MAX).position(|byte| byte == b']')?;
        let is_address =
            literal.get(..length)?.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'));
        return (is_address && length > 2).then_some(start + length + 2);
    }
    let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || matches!(byte, b'-' | b'.');
    let taken = rest.bytes().take(DOMAIN_BYTES_MAX).take_while(is_label).count();
    let taken = (0..=taken).rev().find(|taken| rest.is_char_boundary(*taken))?;
    // A full stop or a dash after an address belongs to the sentence.
    let mut name = rest.get(..taken)?.trim_end_matches(['.', '-']);
    if let Some(two_dots) = name.find("..") {
        name = name.get(..two_dots)?;
    }
    is_domain(name).then_some(start + name.len())
}

fn is_domain(name: &str) -> bool {
    let Some((hosts, top)) = name.rsplit_once('.') else { return false };
    let is_top = top.starts_with("xn--") || (top.chars().count() >= 2 && top.chars().all(char::is_alphabetic));
    let is_file = FILES.iter().any(|file| top.eq_ignore_ascii_case(file));
    // `vue@3.4.0-beta.rc`: two numbers in front are a version.
    let mut labels = hosts.split('.');
    let is_number = |label: Option<&str>| label.is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    let is_version = is_number(labels.next()) && is_number(labels.next());
    is_top && !is_file && !is_version && hosts.split('.').all(|label| !label.is_empty() && !label.starts_with('-'))
}
