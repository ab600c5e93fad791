//! Makes a user agent coarse: which browser and system, not which build and device.
//!
//! Apart because it is the same for every library. It follows what browsers do themselves: versions below the first number
//! become 0, and the model of an Android device becomes `K`.

/// The agent without minor versions and device models.
pub(super) fn reduced(agent: &str) -> String {
    let mut out = String::with_capacity(agent.len());
    let mut rest = agent;
    let mut is_minor = false;
    // `10_15_7` is a version, `x86_64` is none.
    let mut is_word = false;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() {
            let length = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, after) = rest.split_at(length);
            out.push_str(if is_minor { "0" } else { digits });
            is_minor = after.starts_with('.') || (!is_word && after.starts_with('_'));
            if let (true, Some(dot)) = (is_minor, after.chars().next()) {
                out.push(dot);
                rest = after.get(1..).unwrap_or_default();
            } else {
                rest = after;
            }
            continue;
        }
        is_minor = false;
        is_word = c.is_alphabetic();
        if let Some(system) = rest.strip_prefix("Android ")
            && let Some((version, model)) = system.split_once("; ")
            && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && let Some(end) = model.find(')')
        {
            out.push_str("Android 10; K");
            rest = model.get(end..).unwrap_or_default();
            continue;
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::reduced;

    #[test]
    fn versions_and_models_are_coarse() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0.6478.127",
                "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0.0.0",
            ),
            ("(Macintosh; Intel Mac OS X 10_15_7) Firefox/127.3", "(Macintosh; Intel Mac OS X 10_0_0) Firefox/127.0"),
            ("(Linux; Android 13.1; Pixel 7 Pro) X/1.2b3", "(Linux; Android 10; K) X/1.0b3"),
            ("Android 9; no end", "Android 9; no end"),
            ("3.", "3."),
            ("ü 1.ü", "ü 1.ü"),
            ("", ""),
        ] {
            assert_eq!(reduced(agent), expected, "{agent}");
        }
    }
}
