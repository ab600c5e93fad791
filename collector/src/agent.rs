//! Reduces a user agent to what it is needed for: which browser and system, in which major version, on what kind of device.
//!
//! Apart because it knows the odd grammar of user agents and nothing of requests. Browsers do the same by themselves more
//! and more; this does it for the others. What it does not understand it leaves out rather than in.

/// Characters of an agent that are looked at; the rest is cut. Real ones have about 120.
pub(crate) const AGENT_CHARS_MAX: usize = 1_000;
/// Versions that browsers froze: they say nothing, and parsers look for them.
const FROZEN: &[&str] = &["537.36", "605.1.15", "604.1", "10_15_7", "10.15", "5.0", "15E148", "20100101"];
/// What may stand behind `Android 13;` without naming a model.
const NOT_MODELS: &[&str] = &["wv", "Mobile", "Tablet", "K"];

/// The agent without minor versions and without device models.
pub(crate) fn reduced(agent: &str) -> String {
    let mut out = String::with_capacity(agent.len().min(AGENT_CHARS_MAX));
    let mut rest = cut(agent);
    while let Some(at) = rest.find(['(', '[']) {
        let (before, inside) = rest.split_at(at);
        products(&mut out, before);
        let close = if inside.starts_with('(') { ')' } else { ']' };
        let end = end_of(inside, close);
        // Brackets hold what apps say of device and carrier.
        if close == ')' {
            out.push('(');
            comment(&mut out, inside.get(1..end).unwrap_or_default());
            out.push(')');
        }
        rest = inside.get(end + 1..).unwrap_or_default();
    }
    products(&mut out, rest);
    out.truncate(out.trim_end().len());
    out
}

/// The agent, at most [`AGENT_CHARS_MAX`] long.
pub(crate) fn cut(agent: &str) -> &str {
    agent.char_indices().nth(AGENT_CHARS_MAX).and_then(|(at, _)| agent.get(..at)).unwrap_or(agent)
}

/// Where the bracket that `text` begins with is closed, or the text's end.
fn end_of(text: &str, close: char) -> usize {
    let open = text.chars().next();
    let mut depth = 0_usize;
    for (at, one) in text.char_indices() {
        if Some(one) == open {
            depth += 1;
        } else if one == close {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    text.len()
}

/// Products with versions, separated by spaces.
fn products(out: &mut String, text: &str) {
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        push_version(out, word);
    }
}

/// The pieces of a comment, separated by `;`.
fn comment(out: &mut String, text: &str) {
    let (mut is_android, mut has_model, mut is_first) = (false, false, true);
    for piece in text.split(';').map(str::trim) {
        let mut kept = piece;
        if is_android && !NOT_MODELS.contains(&piece) && !piece.starts_with("rv:") {
            if has_model {
                continue;
            }
            kept = "K";
        } else if piece.contains(" Build/") {
            continue;
        }
        has_model |= kept == "K";
        is_android |= piece.starts_with("Android");
        if !is_first {
            out.push_str("; ");
        }
        is_first = false;
        // The minor number of Windows NT says which Windows it is.
        if kept.starts_with("Windows NT ") {
            out.push_str(kept);
            continue;
        }
        products(out, kept);
    }
}

/// A word whose version, if it has one, keeps only its first number: `Chrome/116.0.5845.96` becomes `Chrome/116.0.0.0`.
fn push_version(out: &mut String, word: &str) {
    let start = word.find(['/', ':']).filter(|_| !word.contains("//")).map_or(0, |at| at + 1);
    let (name, version) = word.split_at(start);
    out.push_str(name);
    if FROZEN.contains(&version) || !version.starts_with(|one: char| one.is_ascii_digit()) {
        // A model of the form `iPhone12,1` or `SM-G960F` tells one device among few.
        let is_model = version.contains(',') && version.contains(|one: char| one.is_ascii_digit());
        out.push_str(if is_model { "" } else { version });
        return;
    }
    let is_number = version.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_'));
    let first = version.find(|one: char| !one.is_ascii_digit()).unwrap_or(version.len());
    let (major, rest) = version.split_at(first);
    out.push_str(major);
    if is_number {
        for separator in rest.chars().filter(|one| !one.is_ascii_digit()) {
            out.push(separator);
            out.push('0');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn minor_versions_and_models_go() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Linux; Android 13; Pixel 7 Build/TQ3A.230805.001) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.5845.172 Mobile Safari/537.36",
                "Mozilla/5.0 (Linux; Android 13; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.0.0 Mobile Safari/537.36",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
            ),
            (
                "Mozilla/5.0 (Windows NT 6.1; rv:109.0) Gecko/20100101 Firefox/115.3",
                "Mozilla/5.0 (Windows NT 6.1; rv:109.0) Gecko/20100101 Firefox/115.0",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Mobile/15E148 Safari/604.1",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0.0 Mobile/15E148 Safari/604.1",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.1 Safari/605.1.15",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15",
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 4.0.3; ko-kr; LG-L160L Build/IML74K) AppleWebKit/534.30",
                "Mozilla/5.0 (Linux; U; Android 4.0.0; K) AppleWebKit/534.0",
            ),
            (
                "Mozilla/5.0 (Linux; Android 12; SM-G960F; wv) Chrome/99.1",
                "Mozilla/5.0 (Linux; Android 12; K; wv) Chrome/99.0",
            ),
            ("Mozilla/5.0 (iPhone) [FBAN/FBIOS;FBDV/iPhone12,1;FBLC/de_DE] X/1.2", "Mozilla/5.0 (iPhone)  X/1.0"),
            ("App/3.2.1 iPhone12,1", "App/3.0.0"),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "Mozilla/5.0 (compatible; Googlebot/2.0; +http://www.google.com/bot.html)",
            ),
            ("curl/8.5.0", "curl/8.0.0"),
            ("(((", "((()"),
            ("", ""),
        ] {
            assert_eq!(reduced(agent), expected);
        }
    }

    #[test]
    fn a_long_agent_is_cut() {
        assert_eq!(reduced(&"ü".repeat(5_000)).chars().count(), AGENT_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn any_text_does_no_harm(agent in "[()\\[\\];a/1._ Android ü]{0,60}") {
            let once = reduced(&agent);
            prop_assert!(once.len() <= agent.len() * 3 + 8);
        }
    }
}
