//! An event written by GET: the `data` parameter of an image, a script or a link.
//!
//! Apart because the event travels in the target, in three dialects of base64, and is answered by something else than
//! JSON. It must not know the rules for events.

use std::borrow::Cow;

use protocol::{ErrorCode, Refusal};

use crate::origin::is_redirect_allowed;
use crate::reply::{Reply, envelope};
use crate::target::Target;

/// A transparent GIF of one pixel. Keen's clients take the call for failed unless the image decodes.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;";
/// Characters of a JSONP function's name.
const CALLBACK_CHARS_MAX: usize = 128;

/// An event in a target, and how to answer it.
#[derive(Debug)]
pub(crate) struct Written {
    data: String,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    /// An image.
    Pixel,
    /// A script that calls this function.
    Script(String),
    /// A redirect to this address.
    Redirect(String),
}

impl Written {
    /// What the target writes; none when it has no `data`.
    pub(crate) fn from_target(target: &Target<'_>) -> Result<Option<Self>, Refusal> {
        if !target.has("data") {
            return Ok(None);
        }
        // Nothing, or what does not decode, is no event.
        let data = target.parameter("data").unwrap_or_default();
        let answer = match (callback(target), target.parameter("redirect")) {
            (Some(name), _) if is_callback(&name) => Answer::Script(name.into_owned()),
            (Some(_), _) => {
                let message = format!("jsonp is a name of at most {CALLBACK_CHARS_MAX} letters, digits, '_', '$', '.'");
                return Err(Refusal::new(ErrorCode::InvalidParameter, message));
            }
            (None, Some(address)) if is_web_address(&address) => Answer::Redirect(address.into_owned()),
            (None, Some(_)) => {
                return Err(Refusal::new(ErrorCode::InvalidParameter, "redirect is not an http or https address"));
            }
            (None, None) => Answer::Pixel,
        };
        Ok(Some(Self { data: data.into_owned(), answer }))
    }

    /// Refuses a redirect to a host that the project's list lacks; an empty list allows all.
    pub(crate) fn check_redirect(&self, hosts: &[String]) -> Result<(), Refusal> {
        match &self.answer {
            Answer::Redirect(address) if !is_redirect_allowed(hosts, address) => {
                Err(Refusal::new(ErrorCode::InvalidParameter, "redirect is not to a host that the project allows"))
            }
            _ => Ok(()),
        }
    }

    /// The bytes of the event.
    pub(crate) fn event(&self) -> Result<Vec<u8>, Refusal> {
        decode_base64(&self.data).ok_or_else(|| Refusal::new(ErrorCode::InvalidEvent, "data is not base64"))
    }

    /// The reply to an event that was accepted.
    pub(crate) fn accepted(&self) -> Reply {
        match &self.answer {
            Answer::Pixel => {
                let mut reply = Reply::typed(200, "image/gif", GIF.to_vec());
                reply.headers.push(("Cache-Control", Cow::Borrowed("no-store")));
                reply
            }
            Answer::Script(name) => script(name, br#"{"created":true}"#),
            Answer::Redirect(address) => {
                let mut reply = Reply::json(302, br#"{"created":true}"#.to_vec());
                reply.headers.push(("Location", Cow::Owned(address.clone())));
                reply.headers.push(("Cache-Control", Cow::Borrowed("no-store")));
                reply
            }
        }
    }

    /// The reply to a refusal. A script carries no status, so it gets 200 and the envelope.
    pub(crate) fn refused(&self, refusal: &Refusal) -> Reply {
        match &self.answer {
            Answer::Script(name) => script(name, &envelope(refusal)),
            Answer::Pixel | Answer::Redirect(_) => Reply::refusal(refusal),
        }
    }
}

fn callback<'a>(target: &Target<'a>) -> Option<Cow<'a, str>> {
    target.parameter("jsonp").or_else(|| target.parameter("callback"))
}

/// The reply as a script, when `GET` asks for one (`jsonp=name`) and it is JSON: of status 200 even when it refuses, because
/// a page learns nothing of a script that failed.
pub(crate) fn scripted(method: &str, target: &Target<'_>, reply: Reply) -> Reply {
    let is_json = reply.header("Content-Type").is_some_and(|kind| kind.starts_with("application/json"));
    let name = callback(target).filter(|name| method == "GET" && is_json && is_callback(name));
    let Some(name) = name else { return reply };
    let Reply { headers, body, .. } = reply;
    let mut scripted = script(&name, &body);
    for (name, value) in headers {
        if scripted.header(name).is_none() {
            scripted.headers.push((name, value));
        }
    }
    scripted
}

fn script(name: &str, json: &[u8]) -> Reply {
    let body = [name.as_bytes(), b"(", json, b")"].concat();
    let mut reply = Reply::typed(200, "application/javascript; charset=utf-8", body);
    reply.headers.push(("X-Content-Type-Options", Cow::Borrowed("nosniff")));
    reply.headers.push(("Cache-Control", Cow::Borrowed("no-store")));
    reply
}

fn is_callback(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$');
    name.len() <= CALLBACK_CHARS_MAX
        && name.bytes().next().is_some_and(is_first)
        && name.bytes().all(|byte| is_first(byte) || byte.is_ascii_digit() || byte == b'.')
}

/// Whether a browser may be sent there: a web address in printable ASCII, so that it is one header line.
fn is_web_address(text: &str) -> bool {
    let is_web = ["http://", "https://"].iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    is_web && text.bytes().all(|byte| matches!(byte, b'!'..=b'~'))
}

/// Decodes base64 of the standard or the URL-safe alphabet, with or without padding. A space is a `+` that a form
/// decoder ate: PyPI's client doesn't encode it.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' | b' ' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_decodes_in_all_dialects() {
        for (text, expected) in [
            ("eyJhIjoxfQ==", Some(&b"{\"a\":1}"[..])),
            ("eyJhIjoxfQ", Some(b"{\"a\":1}")),
            ("+/+/", Some(b"\xfb\xff\xbf")),
            ("-_-_", Some(b"\xfb\xff\xbf")),
            (" / /", Some(b"\xfb\xff\xbf")), // `+` after a form decoder
            ("", Some(b"")),
            ("a", None),
            ("a===", None),
            ("ab=c", None),
            ("ab\n", None),
        ] {
            assert_eq!(decode_base64(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn only_names_are_called_and_only_web_addresses_are_gone_to() {
        for (query, allowed) in [
            ("jsonp=keenJSONP_12.cb$", true),
            ("callback=f", true),
            ("jsonp=alert(1)", false),
            ("jsonp=1a", false),
            (&format!("jsonp={}", "a".repeat(129)), false),
            ("redirect=https%3A%2F%2Fexample.test%2F%3Fa%3D1", true),
            ("redirect=javascript:alert(1)", false),
            ("redirect=//example.test", false),
            ("redirect=https://a%0d%0aSet-Cookie:b", false),
        ] {
            let target = format!("/x?data=e30&{query}");
            assert_eq!(Written::from_target(&Target::new(&target)).is_ok(), allowed, "{query}");
        }
    }
}
