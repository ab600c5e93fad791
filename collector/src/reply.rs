//! Replies: status, headers and body of everything the collector answers.
//!
//! Apart so that no answer can leave without the headers that let a page of another origin read it, and no failure
//! without Keen's envelope: clients take a failure without one for a success. It must not know why something is
//! refused.

use std::borrow::Cow;

use protocol::{ErrorCode, Refusal};

/// Seconds a browser may remember a preflight. Without it Chromium asks again after five seconds.
const PREFLIGHT_AGE_S: &str = "86400";
/// Longest list of asked headers that is echoed; a longer one gets [`PREFLIGHT_HEADERS`].
const ASKED_HEADERS_CHARS_MAX: usize = 1_000;
/// What a preflight allows when it asks for nothing in particular.
const PREFLIGHT_HEADERS: &str = "Authorization, Content-Type, Content-Encoding, Keen-Sdk";
/// What a preflight allows of methods: all of Keen's API, not only what the collector answers.
const PREFLIGHT_METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";

/// An answer, ready to be written by any HTTP server. `Content-Length` is left to that server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header names in the usual spelling, and values.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON body with this status.
    #[must_use]
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self::typed(status, "application/json; charset=utf-8", body)
    }

    /// A refusal in Keen's envelope, with the status of its code.
    #[must_use]
    pub fn refusal(refusal: &Refusal) -> Self {
        Self::json(refusal.code.http_status(), envelope(refusal))
    }

    /// Nothing was kept; the caller should send the same again after `retry_after_s` seconds.
    #[must_use]
    pub fn unavailable(retry_after_s: u32) -> Self {
        let refusal = Refusal::new(ErrorCode::Unavailable, "events can't be stored now, send them again later");
        Self::refusal(&refusal).after(retry_after_s)
    }

    /// The same reply, with the seconds after which the caller should come again.
    #[must_use]
    pub fn after(mut self, retry_after_s: u32) -> Self {
        self.headers.push(("Retry-After", Cow::Owned(retry_after_s.to_string())));
        // A page may read only what is exposed, and the SDK obeys this one.
        self.headers.push(("Access-Control-Expose-Headers", Cow::Borrowed("Retry-After")));
        self
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }

    /// A body of a media type with this status, readable from any origin.
    #[must_use]
    pub fn typed(status: u16, media_type: &'static str, body: Vec<u8>) -> Self {
        let headers =
            vec![("Access-Control-Allow-Origin", Cow::Borrowed("*")), ("Content-Type", Cow::Borrowed(media_type))];
        Self { status, headers, body }
    }

    /// Allows a browser to send the request it asks about. `asked` is `Access-Control-Request-Headers`.
    #[must_use]
    pub fn preflight(asked: Option<&str>) -> Self {
        let headers = vec![
            ("Access-Control-Allow-Origin", Cow::Borrowed("*")),
            ("Access-Control-Allow-Methods", Cow::Borrowed(PREFLIGHT_METHODS)),
            ("Access-Control-Allow-Headers", allowed_headers(asked)),
            ("Access-Control-Max-Age", Cow::Borrowed(PREFLIGHT_AGE_S)),
        ];
        Self { status: 204, headers, body: Vec::new() }
    }

    /// 405, with the methods that are allowed (`GET, POST`).
    #[must_use]
    pub fn method_not_allowed(allowed: impl Into<Cow<'static, str>>) -> Self {
        let allowed = allowed.into();
        let message = format!("only {} is allowed here", allowed.replace(", ", " or "));
        let mut reply = Self::refusal(&Refusal::new(ErrorCode::MethodNotAllowed, message));
        reply.headers.push(("Allow", allowed));
        reply
    }
}

/// Keen's envelope as bytes.
pub(crate) fn envelope(refusal: &Refusal) -> Vec<u8> {
    // Two strings always serialise; an empty body would still carry its status.
    serde_json::to_vec(&refusal.body()).unwrap_or_default()
}

/// The asked headers when they are a plain list of names, else the usual ones.
fn allowed_headers(asked: Option<&str>) -> Cow<'static, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b',' | b' ');
    match asked {
        Some(asked) if !asked.is_empty() && asked.len() <= ASKED_HEADERS_CHARS_MAX && asked.bytes().all(plain) => {
            Cow::Owned(asked.to_owned())
        }
        _ => Cow::Borrowed(PREFLIGHT_HEADERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preflight_echoes_plain_names_and_nothing_else() {
        for (asked, allowed) in [
            (Some("authorization,content-type,keen-sdk"), "authorization,content-type,keen-sdk"),
            (Some("x-a, x_b"), "x-a, x_b"),
            (Some("a\r\nSet-Cookie: b"), PREFLIGHT_HEADERS),
            (Some("*"), PREFLIGHT_HEADERS),
            (Some(""), PREFLIGHT_HEADERS),
            (None, PREFLIGHT_HEADERS),
        ] {
            let reply = Reply::preflight(asked);
            assert_eq!(reply.header("access-control-allow-headers"), Some(allowed), "{asked:?}");
            assert_eq!((reply.status, reply.header("access-control-max-age")), (204, Some("86400")));
        }
    }

    #[test]
    fn unavailable_says_when_to_come_back_and_lets_a_page_read_it() {
        let reply = Reply::unavailable(5);
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
}
