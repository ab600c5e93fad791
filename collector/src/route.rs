//! Says what a request asks for, from its method, target and a few headers, before anything of its body is read.
//!
//! Apart because a shell must know which project and key to look up, and how much body to take, before it spends
//! memory on a stranger. It must not know what the body holds.

use protocol::limits::{Limits, TARGET_CHARS_MAX};
use protocol::{ErrorCode, Key, KeyHash, ProjectId, Refusal};

use crate::pixel::Written;
use crate::reply::Reply;
use crate::target::{Target, decode};

/// What is known of a request before its body.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// Path and query as they came, still percent-encoded.
    pub target: &'a str,
    /// The headers that are looked at.
    pub headers: Headers<'a>,
}

/// The few headers that the collector looks at. Reading one costs a crossing at the edge, so there are no more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// `Authorization`: the bare key, or `Bearer` and the key.
    pub authorization: Option<&'a str>,
    /// `Content-Encoding`: nothing, `identity` or `gzip`.
    pub content_encoding: Option<&'a str>,
    /// `Content-Length`, so that a body beyond the limit is refused before it is read.
    pub content_length: Option<&'a str>,
    /// `Access-Control-Request-Headers`: what a preflight asks for. Needed only when the method is `OPTIONS`.
    pub requested: Option<&'a str>,
}

impl<'a> Headers<'a> {
    /// Reads them through the look-up of any HTTP library; names are given in lower case.
    pub fn read(mut get: impl FnMut(&'static str) -> Option<&'a str>) -> Self {
        Self {
            authorization: get("authorization"),
            content_encoding: get("content-encoding"),
            content_length: get("content-length"),
            requested: get("access-control-request-headers"),
        }
    }
}

/// What to do after [`route`].
#[derive(Debug)]
pub enum Routed {
    /// Answer this; there is nothing to look up.
    Reply(Reply),
    /// Look up project and key, read the body, then [`Asked::decide`].
    Ask(Asked),
}

/// A request that may be accepted, once its key is known and its body read.
#[derive(Debug)]
pub struct Asked {
    /// The project it names. Look it up even when there is no key: an unknown project answers 404.
    pub project: ProjectId,
    /// The hash of its key; none when it has none or one that is not of our form.
    pub key: Option<KeyHash>,
    /// Bytes of body to read at most, as they come from the network; beyond that answer [`Asked::too_large`]. 0 when
    /// the body is not looked at.
    pub body_bytes_max: usize,
    pub(crate) form: Form,
    pub(crate) is_gzip: bool,
}

/// In which of the forms the events come.
#[derive(Debug)]
pub(crate) enum Form {
    /// `POST …/events/{collection}`: one event. None when the segment does not decode.
    Single { collection: Option<String> },
    /// `POST …/events`: Keen's bulk form.
    Bulk,
    /// `POST …/batches`: our own form.
    Batch,
    /// `GET …/events/{collection}?data=`: one event in the target.
    Written { collection: Option<String>, written: Written },
}

/// Says what a request asks for.
///
/// Preflights, unknown paths, wrong methods, bodies that are declared too large and unknown encodings are answered
/// here.
#[must_use]
pub fn route(head: &Head<'_>, limits: &Limits) -> Routed {
    if head.method == "OPTIONS" {
        return Routed::Reply(Reply::preflight(head.headers.requested));
    }
    ask(head, limits).map_or_else(Routed::Reply, Routed::Ask)
}

fn ask(head: &Head<'_>, limits: &Limits) -> Result<Asked, Reply> {
    if head.target.len() > TARGET_CHARS_MAX {
        let message = format!("target is {} characters, the limit is {TARGET_CHARS_MAX}", head.target.len());
        return Err(Reply::refusal(&Refusal::new(ErrorCode::EventTooLarge, message)));
    }
    let target = Target::new(head.target);
    let (project, place) = place(&target)?;
    let form = form(head.method, place, &target)?;
    let body_bytes_max = match form {
        Form::Single { .. } | Form::Bulk => limits.body_bytes_max,
        Form::Batch => limits.batch_bytes_max,
        Form::Written { .. } => 0,
    };
    let asked = Asked { project, key: key(head, &target), body_bytes_max, form, is_gzip: false };
    if body_bytes_max == 0 {
        return Ok(asked);
    }
    let declared = head.headers.content_length.and_then(|length| length.trim().parse::<u64>().ok());
    if declared.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > body_bytes_max)) {
        return Err(asked.too_large());
    }
    let is_gzip = is_gzip(head.headers.content_encoding).map_err(|refusal| Reply::refusal(&refusal))?;
    Ok(Asked { is_gzip, ..asked })
}

/// The paths that the collector answers, below a project.
enum Place {
    Events,
    Collection(Option<String>),
    Batches,
}

fn place(target: &Target<'_>) -> Result<(ProjectId, Place), Reply> {
    let not_found = |message: &str| {
        Reply::refusal(&Refusal::new(ErrorCode::ResourceNotFound, format!("there is no such {message}")))
    };
    let mut segments = target.segments();
    if (segments.next(), segments.next()) != (Some("3.0"), Some("projects")) {
        return Err(not_found("path"));
    }
    let project = segments.next().and_then(decode).and_then(|text| text.parse::<ProjectId>().ok());
    let place = match (segments.next(), segments.next(), segments.next()) {
        (Some("events"), None, None) => Place::Events,
        (Some("events"), Some(collection), None) if !collection.is_empty() => {
            Place::Collection(decode(collection).map(std::borrow::Cow::into_owned))
        }
        (Some("batches"), None, None) => Place::Batches,
        _ => return Err(not_found("path")),
    };
    project.map(|project| (project, place)).ok_or_else(|| not_found("project"))
}

fn form(method: &str, place: Place, target: &Target<'_>) -> Result<Form, Reply> {
    match (method, place) {
        ("POST", Place::Events) => Ok(Form::Bulk),
        ("POST", Place::Batches) => Ok(Form::Batch),
        ("POST", Place::Collection(collection)) => Ok(Form::Single { collection }),
        ("GET", Place::Collection(collection)) => {
            let written = Written::from_target(target).map_err(|refusal| Reply::refusal(&refusal))?;
            match written {
                Some(written) => Ok(Form::Written { collection, written }),
                None => Err(Reply::method_not_allowed("POST", "only POST, or GET with data, is allowed here")),
            }
        }
        (_, Place::Collection(_)) => Err(Reply::method_not_allowed("GET, POST", "only GET and POST are allowed here")),
        _ => Err(Reply::method_not_allowed("POST", "only POST is allowed here")),
    }
}

/// The hash of the key that a request presents, for routes beside the collector's; none when it presents none or one that
/// is not of our form.
#[must_use]
pub fn presented_key(head: &Head<'_>) -> Option<KeyHash> {
    key(head, &Target::new(head.target))
}

/// The key that is presented: the header's before the parameter's.
fn key(head: &Head<'_>, target: &Target<'_>) -> Option<KeyHash> {
    let header = head.headers.authorization.map(str::trim).filter(|text| !text.is_empty());
    let parameter = if header.is_none() { target.parameter("api_key") } else { None };
    let text = header.or(parameter.as_deref())?;
    let bare = match text.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start(),
        _ => text,
    };
    bare.parse::<Key>().ok().map(|key| key.hash())
}

fn is_gzip(encoding: Option<&str>) -> Result<bool, Refusal> {
    match encoding.map(str::trim) {
        None | Some("") => Ok(false),
        Some(name) if name.eq_ignore_ascii_case("identity") => Ok(false),
        Some(name) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Ok(true),
        Some(_) => Err(Refusal::new(ErrorCode::UnsupportedEncoding, "content encoding is neither gzip nor identity")),
    }
}
