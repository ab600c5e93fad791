//! Reads a request target: path segments and query parameters, percent-decoded.
//!
//! Apart because Keen's clients differ in how they write one: an encoded `/` inside a collection name must not split
//! it, and base64 arrives with a raw `+`. It must not know which paths exist.

use std::borrow::Cow;

/// Path and query of a target, not yet decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    /// Splits at the first `?`. A target in absolute form (`http://host/path`), as proxies send it, loses its host.
    pub(crate) fn new(target: &'a str) -> Self {
        let target = match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            _ => target,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { path, query }
    }

    /// The segments between slashes, raw: decode each with [`decode`] after splitting, never before.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.path.strip_prefix('/').unwrap_or(self.path).split('/')
    }

    /// Whether there is a parameter of this name, be it empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.query.split('&').any(|pair| pair.split_once('=').map_or(pair, |(key, _)| key) == name)
    }

    /// The first parameter of this name, decoded; none when it is absent, empty or not UTF-8.
    ///
    /// `+` becomes a space, as in forms.
    pub(crate) fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })?;
        if raw.is_empty() {
            return None;
        }
        if raw.contains('+') {
            return decode(&raw.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()));
        }
        decode(raw)
    }
}

/// Percent-decodes one segment of a path; none when a `%` is not followed by two hex digits or the result is not UTF-8.
#[must_use]
pub fn decode_segment(raw: &str) -> Option<String> {
    decode(raw).map(Cow::into_owned)
}

/// Percent-decodes; none when a `%` is not followed by two hex digits or the result is not UTF-8.
pub(crate) fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The value of one hex digit of either case.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_slash_does_not_split() {
        for (target, expected) in [
            ("/a/b", &["a", "b"] as &[&str]),
            ("/a%2Fb/c?d=/e", &["a%2Fb", "c"]),
            ("/", &[""]),
            ("", &[""]),
            ("/a/", &["a", ""]),
            ("http://host:80/a/b", &["a", "b"]),
            ("http://host", &[""]),
            ("/a://b", &["a:", "", "b"]),
        ] {
            assert_eq!(Target::new(target).segments().collect::<Vec<_>>(), expected, "{target:?}");
        }
    }

    #[test]
    fn percent_decoding_is_strict() {
        for (raw, expected) in [
            ("a%20b%2Fc", Some("a b/c")),
            ("%C3%BC", Some("ü")),
            ("100", Some("100")),
            ("a+b", Some("a+b")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(raw).as_deref(), expected, "{raw:?}");
        }
    }

    #[test]
    fn parameters_survive_stray_pairs() {
        for (target, expected) in [
            ("/x?&api_key=K&", Some("K")),
            ("/x?api_key=K&api_key=L", Some("K")),
            ("/x?c=1&api_key=a%20b", Some("a b")),
            ("/x?api_key=a+b", Some("a b")),
            ("/x?api_key=", None),
            ("/x?api_key", None),
            ("/x?my_api_key=K", None),
            ("/x", None),
        ] {
            assert_eq!(Target::new(target).parameter("api_key").as_deref(), expected, "{target:?}");
        }
    }
}
