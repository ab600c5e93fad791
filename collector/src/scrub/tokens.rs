//! What unlocks something: JSON web tokens, keys with known beginnings, long random strings.
//!
//! A random string is known by what words never do: letters and digits, large and small, in no order ([`looks_random`]). A
//! hash looks the same as a secret, so its common lengths count only after a word such as `token=`. It must not know of
//! the other shapes.

use protocol::Key;
use protocol::key::KEY_CHARS;

use super::{Kind, Span, opens_word};

/// Random strings without a word before them: 32 characters of base64 are 192 bits.
const RANDOM_CHARS_MIN: usize = 32;
/// After a word such as `token=`.
const NAMED_CHARS_MIN: usize = super::TOKEN_CHARS_MIN;
/// How far before a string a word is looked for.
const LOOK_BACK_BYTES: usize = 24;
/// Hex digits of MD5 and trace ids, SHA-1, SHA-256: with no word before them they are not taken for secrets.
const HASHES: [usize; 3] = [32, 40, 64];

/// Beginnings of keys, and how many characters follow at least. Facts from the issuers' own pages.
const PREFIXES: &[(&str, usize)] = &[
    ("AIza", 35),
    ("AKIA", 16),
    ("ASIA", 16),
    ("ATATT3", 40),
    ("EAACEdEose0cBA", 20),
    ("GOCSPX-", 24),
    ("SG.", 40),
    ("dapi", 32),
    ("dckr_pat_", 20),
    ("doo_v1_", 40),
    ("dop_v1_", 40),
    ("figd_", 30),
    ("gho_", 30),
    ("ghp_", 30),
    ("ghr_", 30),
    ("ghs_", 30),
    ("ghu_", 30),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("hf_", 30),
    ("hvs.", 24),
    ("key-", 32),
    ("lin_api_", 30),
    ("npm_", 36),
    ("pk_live_", 20),
    ("pypi-AgE", 30),
    ("rk_live_", 20),
    ("rk_test_", 20),
    ("shpat_", 32),
    ("shpca_", 32),
    ("shppa_", 32),
    ("shpss_", 32),
    ("sk-", 32),
    ("sk_live_", 20),
    ("sk_test_", 20),
    ("sq0atp-", 20),
    ("sq0csp-", 30),
    ("whsec_", 24),
    ("xoxa-", 20),
    ("xoxb-", 20),
    ("xoxe.", 20),
    ("xoxp-", 20),
    ("xoxr-", 20),
    ("xoxs-", 20),
    ("ya29.", 30),
];
/// With which bytes [`PREFIXES`] begin.
const PREFIX_LETTERS: [bool; 128] = {
    let mut letters = [false; 128];
    let mut at = 0;
    while at < PREFIXES.len() {
        // A constant's own index can't be out of bounds: the compiler would say so.
        #[allow(clippy::indexing_slicing, reason = "const evaluation; get is not const")]
        {
            letters[PREFIXES[at].0.as_bytes()[0] as usize] = true;
        }
        at += 1;
    }
    letters
};
/// In a name before `=` or `:`, say that a secret follows.
const NAMES: &[&str] = &[
    "token",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "accesskey",
    "passw",
    "signature",
    "sess",
    "bearer",
    "authorization",
    "oauth",
    "jwt",
    "credential",
    "private_key",
    "auth_key",
];
/// The same as whole names.
const WHOLE_NAMES: &[&str] = &["auth", "sig", "sid", "hmac", "otp"];

/// Appends the tokens of `text`.
pub(super) fn find(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let skipped = rest.iter().take_while(|byte| !is_run(**byte)).count();
        let mut start = at + skipped;
        let mut length = run_length(rest.get(skipped..).unwrap_or_default());
        at = start + length;
        if length > 2 && skipped > 0 && rest.get(skipped - 1) == Some(&b'%') {
            // The two digits of a percent-encoded character.
            (start, length) = (start + 2, length - 2);
        }
        if length < super::TOKEN_CHARS_MIN && !has_short_head(text, start) {
            continue;
        }
        if let Some(end) = whole(text, start, at) {
            spans.push(Span { start, end, kind: Kind::Token });
            at = at.max(end);
        } else {
            parts(text, start, at, spans);
        }
    }
}

fn is_run(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/')
}

/// Length of the run at the start of `rest`; a plus and a slash may be percent-encoded in it.
fn run_length(rest: &[u8]) -> usize {
    let mut length = 0;
    while let Some(next) = rest.get(length..) {
        match next {
            [byte, ..] if is_run(*byte) => length += 1,
            [b'%', b'2', b'B' | b'b' | b'F' | b'f', ..] => length += 3,
            _ => break,
        }
    }
    length
}

/// Whether a short run may be the head of a token with dots in it.
fn has_short_head(text: &str, start: usize) -> bool {
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    matches!(rest, [b'S', b'G', b'.', ..] | [b'h', b'v', b's', b'.', ..] | [b'y', b'a', b'2', b'9', ..])
        || matches!(rest, [b'x', b'o', b'x', b'e', ..] | [b'e', b'y', b'J', ..])
}

/// Where the token ends that the run from `start` to `end` is or begins.
fn whole(text: &str, start: usize, end: usize) -> Option<usize> {
    let run = text.get(start..end)?;
    if let Some(end) = web_token(text, start).or_else(|| prefixed(text, start)) {
        return Some(end);
    }
    // What stands before costs more to read than the run, and most runs are words.
    let is_named = is_secret_after_a_name(run);
    let is_bare = (!run.contains('/') || parts_are_short(run)) && is_bare_secret(run);
    if !is_named && !is_bare {
        return None;
    }
    match Context::before(text, start) {
        Context::Harmless => None,
        Context::Secret if is_named => Some(with_tail(text, end)),
        _ => is_bare.then(|| with_padding(text, end)),
    }
}

/// Looks at each part of a path by itself.
fn parts(text: &str, start: usize, end: usize, spans: &mut Vec<Span>) {
    let run = text.get(start..end).unwrap_or_default();
    if !run.contains('/') {
        return;
    }
    let (mut at, first) = (start, spans.len());
    for part in run.split('/') {
        let place = at;
        at += part.len() + 1;
        let end = place + part.len();
        let found = prefixed(text, place).map(|found| found.min(end)).or_else(|| is_bare_secret(part).then_some(end));
        if let Some(end) = found.filter(|end| *end > place) {
            spans.push(Span { start: place, end, kind: Kind::Token });
        }
    }
    if spans.len() > first && Context::before(text, start) == Context::Harmless {
        spans.truncate(first);
    }
}

fn parts_are_short(run: &str) -> bool {
    !run.starts_with('/') && run.split('/').all(|part| part.len() < RANDOM_CHARS_MIN) && run.len() >= RANDOM_CHARS_MIN
}

/// Three to five parts of base64url with dots between, the first a JSON object: RFC 7519, RFC 7516.
fn web_token(text: &str, start: usize) -> Option<usize> {
    let rest = text.as_bytes().get(start..)?;
    if !rest.starts_with(b"eyJ") || !opens_word(text.as_bytes(), start) {
        return None;
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=');
    let (mut length, mut dots) = (0, 0);
    loop {
        let part = rest.get(length..)?.iter().take_while(|byte| is_part(byte)).count();
        if dots == 0 && part < 10 {
            return None;
        }
        length += part;
        if dots == 4 || rest.get(length) != Some(&b'.') {
            break;
        }
        dots += 1;
        length += 1;
    }
    // A full stop after the last part ends the sentence, unless it stands for an empty signature.
    (dots >= 2 && length >= 24).then_some(start + length)
}

fn prefixed(text: &str, start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let first = *rest.as_bytes().first()?;
    if !(first == b'r' || PREFIX_LETTERS.get(usize::from(first)).is_some_and(|is| *is))
        || !opens_word(text.as_bytes(), start)
    {
        return None;
    }
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let ours = rest.get(..KEY_CHARS).filter(|_| rest.starts_with("rv"));
    if ours.is_some_and(|key| key.parse::<Key>().is_ok()) {
        return Some(start + KEY_CHARS);
    }
    PREFIXES.iter().filter(|(prefix, _)| prefix.as_bytes().first() == Some(&first)).find_map(|(prefix, least)| {
        let key = rest.strip_prefix(prefix)?;
        let has_dots = prefix.ends_with('.');
        let length = key.bytes().take_while(|byte| is_key(*byte) || (has_dots && *byte == b'.')).count();
        let key = key.get(..length)?;
        let is_plain = key.bytes().all(|byte| byte.is_ascii_lowercase() || !byte.is_ascii_alphanumeric());
        (length >= *least && !is_plain && !is_words(key)).then_some(start + prefix.len() + length)
    })
}

/// What stands before a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    /// A name such as `token=`.
    Secret,
    /// Something that says what it is and that it's no secret: a digest, an image, the id of a click.
    Harmless,
    /// Nothing.
    None,
}

impl Context {
    fn before(text: &str, start: usize) -> Self {
        let from = (start.saturating_sub(LOOK_BACK_BYTES)..=start).find(|from| text.is_char_boundary(*from));
        let before = text.get(from.unwrap_or(start)..start).unwrap_or_default();
        let lower = before.to_ascii_lowercase().replace("%20", " ");
        let Some(delimiter) = lower.chars().next_back() else { return Self::None };
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        let head = lower.trim_end_matches(|letter: char| !is_name(letter));
        let name = head.rsplit(|letter: char| !is_name(letter)).next().unwrap_or_default();
        if name == "base64"
            || matches!(name, "sha1" | "sha256" | "sha384" | "sha512")
            || name.ends_with("clid")
            || name.ends_with("braid")
            || matches!(name, "etag" | "integrity" | "commit" | "revision" | "checksum" | "digest")
        {
            return Self::Harmless;
        }
        // `%3D` and `%3A` are `=` and `:`.
        let name = name.strip_suffix("3d").or_else(|| name.strip_suffix("3a")).unwrap_or(name);
        let is_secret = NAMES.iter().any(|part| name.contains(part)) || WHOLE_NAMES.contains(&name);
        let says_so = matches!(delimiter, '=' | ':' | '"' | '\'' | 'd' | 'a')
            || (delimiter == ' ' && (head.len() + 2 >= lower.len() || matches!(name, "bearer" | "basic")));
        if (is_secret || name == "basic") && says_so && (delimiter != ' ' || is_label(&lower, name)) {
            return Self::Secret;
        }
        Self::None
    }
}

/// Whether the name is followed by a delimiter, or is the word of an `Authorization` header.
fn is_label(lower: &str, name: &str) -> bool {
    matches!(name, "bearer" | "basic" | "token") || lower.trim_end().ends_with([':', '='])
}

/// After a name, letters and digits suffice.
fn is_secret_after_a_name(run: &str) -> bool {
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let letters = run.bytes().filter(u8::is_ascii_alphabetic).count();
    let large = run.bytes().filter(u8::is_ascii_uppercase).count();
    let is_mixed = (digits >= 1 && letters >= 1) || (large >= 3 && letters - large >= 3);
    run.len() >= NAMED_CHARS_MIN && is_mixed && !is_words(run)
}

/// Whether it is made of words, which have few digits and those at an end.
fn is_words(run: &str) -> bool {
    run.as_bytes()
        .split(|byte| matches!(byte, b'-' | b'_' | b'/' | b'+'))
        .all(|word| word.iter().all(u8::is_ascii_lowercase) || word.iter().all(u8::is_ascii_digit))
}

/// Whether a string by itself looks like nothing but a secret.
fn is_bare_secret(run: &str) -> bool {
    let run = run.trim_start_matches(['-', '_', '/', '+']);
    if run.len() < RANDOM_CHARS_MIN
        || run.starts_with("sha256-")
        || run.starts_with("sha384-")
        || run.starts_with("sha512-")
    {
        return false;
    }
    if run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let letters = run.bytes().filter(u8::is_ascii_alphabetic).count();
        return !HASHES.contains(&run.len()) && letters > 0 && letters < run.len();
    }
    looks_random(run)
}

/// What the neighbours in a random string are, against those in words and in names made of words: tenths of bits of
/// evidence for a pair of small and large letters and digits.
const EVIDENCE: [[i32; 3]; 3] = [
    // small, large, digit after: a small letter
    [-15, 6, 18],
    // a large letter
    [5, 16, 19],
    // a digit
    [18, 19, -4],
];
/// So much evidence is enough.
const EVIDENCE_MIN: i32 = 10;

fn looks_random(run: &str) -> bool {
    let class = |byte: u8| match byte {
        b'a'..=b'z' => Some(0_usize),
        b'A'..=b'Z' => Some(1),
        b'0'..=b'9' => Some(2),
        _ => None,
    };
    let mut counts = [0_usize; 3];
    let (mut evidence, mut mixed_pairs, mut gaps) = (0, 0, 0);
    let mut last = None;
    for byte in run.bytes() {
        let class = class(byte);
        if let Some(count) = class.and_then(|class| counts.get_mut(class)) {
            *count += 1;
        }
        gaps += usize::from(class.is_none());
        if let (Some(last), Some(next)) = (last, class) {
            evidence += EVIDENCE.get::<usize>(last).and_then(|row| row.get(next)).copied().unwrap_or_default();
            mixed_pairs += usize::from((last == 2) != (next == 2));
        }
        last = class;
    }
    let [small, large, digits] = counts;
    let letters = small + large;
    if small.min(large) * 7 >= letters && digits > 0 {
        return evidence >= EVIDENCE_MIN;
    }
    // One case only: base32 and base36. Identifiers made of parts have gaps, and words keep their digits together.
    small.min(large) == 0 && gaps == 0 && digits >= 4 && letters > digits && mixed_pairs * 4 >= run.len()
}

/// The end of a secret after a name: what else of base64, or of a token with dots, follows.
fn with_tail(text: &str, end: usize) -> usize {
    let is_tail = |byte: &u8| is_run(*byte) || matches!(byte, b'.' | b'=' | b'~' | b'%');
    let rest = text.as_bytes().get(end..).unwrap_or_default();
    let tail = rest.get(..rest.iter().take_while(|byte| is_tail(byte)).count()).unwrap_or_default();
    let dots = tail.iter().rev().take_while(|byte| **byte == b'.').count();
    end + tail.len() - dots
}

/// The end of base64 with the padding that follows, plain or percent-encoded.
fn with_padding(text: &str, end: usize) -> usize {
    let mut end = end;
    for _ in 0..2 {
        let rest = text.as_bytes().get(end..).unwrap_or_default();
        if rest.starts_with(b"=") {
            end += 1;
        } else if rest.starts_with(b"%3D") || rest.starts_with(b"%3d") {
            end += 3;
        }
    }
    end
}
