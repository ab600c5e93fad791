//! The door for Segment's HTTP API: libraries made for Segment or RudderStack can be pointed here.
//!
//! Apart because nothing else knows Segment's words. A body is turned into events of our batch form ([`translate`]), which then
//! go through the same steps as all others; how their members are named afterwards stands in `docs/reference/segment.md`.
//! Here is what such a request looks like from outside: its path, its key, its answer.

mod names;
mod translate;

use std::borrow::Cow;
use std::fmt::Write as _;

use protocol::batch::Refused;
use protocol::limits::Limits;
use protocol::{ErrorCode, Refusal};
use serde::Serialize;

use crate::body::Encoding;
use crate::forms;
use crate::pixel::decode_base64;
use crate::reply::Reply;
use crate::route::{Asked, Form, Head, PresentedKey};
use crate::target::Target;

pub(crate) use translate::{Kept, translate};

/// Bytes of a body that is read before the key is known, because the key stands in it. Browser libraries send a single event
/// so; larger bodies bring the key as a header or parameter.
const KEYLESS_BODY_BYTES_MAX: usize = 64 * 1024;
/// The door's name in ids made of `messageId`.
const DOOR: &str = "segment";

/// One of Segment's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Somebody did something.
    Track,
    /// Somebody saw a page.
    Page,
    /// Somebody saw a screen of an app.
    Screen,
    /// Who somebody is.
    Identify,
    /// To which group somebody belongs.
    Group,
    /// Two ids are one person's.
    Alias,
    /// Many calls, each naming its type.
    Batch,
}

/// Long and short names of the calls.
const CALLS: &[(&str, &str, Call)] = &[
    ("track", "t", Call::Track),
    ("page", "p", Call::Page),
    ("screen", "s", Call::Screen),
    ("identify", "i", Call::Identify),
    ("group", "g", Call::Group),
    ("alias", "a", Call::Alias),
    ("batch", "b", Call::Batch),
    ("import", "import", Call::Batch),
];

impl Call {
    /// The call that a path below `/v1/` names.
    fn of_path(name: &str) -> Option<Self> {
        CALLS.iter().find(|(long, short, _)| name == *long || name == *short).map(|(_, _, call)| *call)
    }

    /// The call that an event of a batch names as its type.
    fn of_type(name: &str) -> Option<Self> {
        let call = CALLS.iter().find(|(long, ..)| name == *long).map(|(_, _, call)| *call);
        call.filter(|call| *call != Self::Batch)
    }

    /// Its name as an event's type.
    fn name(self) -> &'static str {
        CALLS.iter().find(|(_, _, call)| *call == self).map_or("", |(long, ..)| long)
    }

    /// The collection of its events; of a track, when its event's name can't be one.
    const fn collection(self) -> &'static str {
        match self {
            Self::Track | Self::Batch => "tracks",
            Self::Page => "pages",
            Self::Screen => "screens",
            Self::Identify => "identifies",
            Self::Group => "groups",
            Self::Alias => "aliases",
        }
    }
}

/// What a request to `/v1/` asks for; none when the path is not Segment's.
pub(crate) fn ask(head: &Head<'_>, target: &Target<'_>, limits: &Limits) -> Option<Result<Asked, Reply>> {
    let mut segments = target.segments();
    if segments.next() != Some("v1") {
        return None;
    }
    let call = segments.next().and_then(Call::of_path);
    // Some libraries end the path with a slash.
    let (Some(call), None | Some(""), None) = (call, segments.next(), segments.next()) else {
        return Some(Err(refused(&Refusal::new(ErrorCode::ResourceNotFound, "there is no such path"))));
    };
    if head.method != "POST" {
        return Some(Err(Reply::method_not_allowed("POST")));
    }
    let key = key(head, target);
    let is_keyless = key == PresentedKey::None;
    let body_bytes_max =
        if is_keyless { KEYLESS_BODY_BYTES_MAX.min(limits.batch_bytes_max) } else { limits.batch_bytes_max };
    let origin = head.headers.origin.or(head.headers.referer).map(Into::into);
    Some(Ok(Asked {
        project: None,
        key,
        body_bytes_max,
        form: Form::Segment(call),
        encoding: Encoding::Plain,
        is_key_sought: false,
        origin,
    }))
}

/// The key: the user of Basic authorization, a key as Keen's clients write it, or `writeKey` in the address.
fn key(head: &Head<'_>, target: &Target<'_>) -> PresentedKey {
    let header = head.headers.authorization.map(str::trim).filter(|text| !text.is_empty());
    let Some(header) = header else {
        let parameter = target.parameter("writeKey").or_else(|| target.parameter("api_key"));
        return parameter.as_deref().map_or(PresentedKey::None, PresentedKey::parse);
    };
    match header.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
            let decoded = decode_base64(rest.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
            let user = decoded.as_deref().map(|text| text.split_once(':').map_or(text, |(user, _)| user));
            user.map_or(PresentedKey::None, PresentedKey::parse)
        }
        _ => PresentedKey::parse(header),
    }
}

/// The key that a body names as `writeKey`.
pub(crate) fn key_in_body(body: &[u8]) -> PresentedKey {
    let members = std::str::from_utf8(body).ok().and_then(forms::members).unwrap_or_default();
    let named = members.iter().find(|member| member.name == "writeKey").and_then(|member| forms::string(member.value));
    named.as_deref().map_or(PresentedKey::None, PresentedKey::parse)
}

/// What Segment's libraries look for, and what ours and people may want to know besides.
#[derive(Debug, Serialize)]
struct Answer {
    success: bool,
    /// Only when some were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refused>,
}

/// The reply to a request of which some events were accepted, or that had none.
pub(crate) fn answered(accepted: u64, refused: Vec<Refused>) -> Result<Reply, Refusal> {
    let accepted = (!refused.is_empty()).then_some(accepted);
    let answer = Answer { success: true, accepted, refused };
    let body = serde_json::to_vec(&answer)
        .map_err(|_| Refusal::new(ErrorCode::Internal, "the answer could not be written"))?;
    Ok(Reply::json(200, body))
}

/// The reply to a request of which nothing was kept: Keen's envelope, and the word that Segment's libraries look for.
pub(crate) fn refused(refusal: &Refusal) -> Reply {
    let mut reply = Reply::refusal(refusal);
    if let Some(rest) = reply.body.strip_prefix(b"{") {
        reply.body = [br#"{"success":false,"#, rest].concat();
    }
    reply
}

/// Writes a text as JSON.
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Writing to a String does not fail.
            c if u32::from(c) < 0x20 => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The text of a member, when it is a string with something in it.
fn text_of<'a>(members: &'a [translate::Member<'a>], name: &str) -> Option<Cow<'a, str>> {
    let (_, value) = members.iter().find(|(known, _)| known == name)?;
    forms::string(value).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
