//! Says what a request asks for, from its method, target and a few headers, before anything of its body is read.
//!
//! Apart because a shell must know which project and key to look up, and how much body to take, before it spends
//! memory on a stranger. It must not know what the body holds.

use protocol::limits::{Limits, TARGET_CHARS_MAX};
use protocol::{ErrorCode, Key, KeyHash, ProjectId, Refusal};

use crate::body::Encoding;
use crate::pixel::{self, Written};
use crate::reply::Reply;
use crate::segment;
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
    /// `Content-Encoding`: nothing, `identity`, `gzip`, or `zstd` where it is built in.
    pub content_encoding: Option<&'a str>,
    /// `Content-Length`, so that a body beyond the limit is refused before it is read.
    pub content_length: Option<&'a str>,
    /// `Access-Control-Request-Headers`: what a preflight asks for. Needed only when the method is `OPTIONS`.
    pub requested: Option<&'a str>,
    /// `Origin`: the page that sends, when a browser does.
    pub origin: Option<&'a str>,
    /// `Referer`, for pixels, which bring no origin.
    pub referer: Option<&'a str>,
    /// `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// `Sec-GPC`: `1` when the visitor asks not to be followed.
    pub gpc: Option<&'a str>,
}

impl<'a> Headers<'a> {
    /// Reads them through the look-up of any HTTP library; names are given in lower case.
    pub fn read(mut get: impl FnMut(&'static str) -> Option<&'a str>) -> Self {
        Self {
            authorization: get("authorization"),
            content_encoding: get("content-encoding"),
            content_length: get("content-length"),
            requested: get("access-control-request-headers"),
            origin: get("origin"),
            referer: get("referer"),
            user_agent: get("user-agent"),
            gpc: get("sec-gpc"),
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
    /// The project it names. Look it up even when there is no key: an unknown project answers 404. None at the compatible
    /// doors, where the key alone says which project it is.
    pub project: Option<ProjectId>,
    /// Its key.
    pub key: PresentedKey,
    /// Bytes of body to read at most, as they come from the network; beyond that answer [`Asked::too_large`]. 0 when
    /// the body is not looked at.
    pub body_bytes_max: usize,
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
    /// The body was searched for a key.
    pub(crate) is_key_sought: bool,
    /// The page that sends it: `Origin`, or `Referer` where a browser brings no origin.
    pub(crate) origin: Option<Box<str>>,
}

/// The key that a request presents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PresentedKey {
    /// None, or one that can't be a key.
    #[default]
    None,
    /// One of ours, to be looked up by its hash.
    Ours(KeyHash),
    /// One that may be a legacy scoped key: hex, of even length, [`SCOPED_KEY_CHARS_MIN`] to [`SCOPED_KEY_CHARS_MAX`]
    /// characters. Only who has the project's master key can open it.
    Scoped(ScopedKey),
}

/// The text of what may be a legacy scoped key. Hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ScopedKey(Box<str>);

impl ScopedKey {
    /// The hex digits; say why when you call it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ScopedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScopedKey(…)")
    }
}

/// Characters of a legacy scoped key at least: its first block and one more, in hex.
pub const SCOPED_KEY_CHARS_MIN: usize = 64;
/// Characters of a legacy scoped key at most; longer ones are no key.
pub const SCOPED_KEY_CHARS_MAX: usize = 8_192;

impl PresentedKey {
    /// Reads the text of a header or parameter, with or without `Bearer`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let bare = match text.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start(),
            _ => text,
        };
        if let Ok(key) = bare.parse::<Key>() {
            return Self::Ours(key.hash());
        }
        let is_hex = bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && bare.len() % 2 == 0 && (SCOPED_KEY_CHARS_MIN..=SCOPED_KEY_CHARS_MAX).contains(&bare.len()) {
            return Self::Scoped(ScopedKey(bare.into()));
        }
        Self::None
    }

    /// The hash of a key of ours.
    #[must_use]
    pub const fn hash(&self) -> Option<&KeyHash> {
        match self {
            Self::Ours(hash) => Some(hash),
            Self::None | Self::Scoped(_) => None,
        }
    }
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
    /// `POST /v1/…`: Segment's API.
    Segment(segment::Call),
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
    match ask(head, limits) {
        Ok(asked) => Routed::Ask(asked),
        Err(reply) => Routed::Reply(scripted(head, reply)),
    }
}

/// The reply as a script, when a `GET` asks for one (`jsonp=name` or `callback=name`) and the reply is JSON. For what is
/// answered beside the collector, too.
#[must_use]
pub fn scripted(head: &Head<'_>, reply: Reply) -> Reply {
    pixel::scripted(head.method, &Target::new(head.target), reply)
}

fn ask(head: &Head<'_>, limits: &Limits) -> Result<Asked, Reply> {
    if head.target.len() > TARGET_CHARS_MAX {
        let message = format!("target is {} characters, the limit is {TARGET_CHARS_MAX}", head.target.len());
        return Err(Reply::refusal(&Refusal::new(ErrorCode::EventTooLarge, message)));
    }
    let target = Target::new(head.target);
    if let Some(asked) = segment::ask(head, &target, limits) {
        return asked.and_then(|asked| admit_body(asked, head));
    }
    let (project, place) = place(&target)?;
    let form = form(head.method, place, &target)?;
    let body_bytes_max = match form {
        Form::Single { .. } | Form::Bulk => limits.body_bytes_max,
        Form::Batch | Form::Segment(_) => limits.batch_bytes_max,
        Form::Written { .. } => 0,
    };
    let origin = head.headers.origin.or(head.headers.referer).map(Into::into);
    let key = key(head, &target);
    let asked = Asked {
        project: Some(project),
        key,
        body_bytes_max,
        form,
        encoding: Encoding::Plain,
        is_key_sought: false,
        origin,
    };
    if body_bytes_max == 0 { Ok(asked) } else { admit_body(asked, head) }
}

/// Refuses a body that is declared too large or packed in a way that is not read here.
fn admit_body(asked: Asked, head: &Head<'_>) -> Result<Asked, Reply> {
    let declared = head.headers.content_length.and_then(|length| length.trim().parse::<u64>().ok());
    if declared.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > asked.body_bytes_max)) {
        return Err(asked.too_large());
    }
    match Encoding::parse(head.headers.content_encoding) {
        Ok(encoding) => Ok(Asked { encoding, ..asked }),
        Err(refusal) => Err(asked.refused(&refusal)),
    }
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
                None => Err(Reply::refusal(&not_here())),
            }
        }
        ("GET" | "HEAD", Place::Events) | ("HEAD" | "DELETE", Place::Collection(_)) => Err(Reply::refusal(&not_here())),
        // What the API allows there, whoever answers it.
        (_, Place::Collection(_)) => Err(Reply::method_not_allowed("GET, POST, DELETE")),
        (_, Place::Events) => Err(Reply::method_not_allowed("GET, POST")),
        (_, Place::Batches) => Err(Reply::method_not_allowed("POST")),
    }
}

/// The server answers inspection and deletion before it asks the collector, so only the edge says this.
fn not_here() -> Refusal {
    Refusal::new(
        ErrorCode::ResourceNotFound,
        "only writes are answered here: inspect and delete at the server's own address",
    )
}

/// The key that a request presents, for routes beside the collector's.
#[must_use]
pub fn presented_key(head: &Head<'_>) -> PresentedKey {
    key(head, &Target::new(head.target))
}

/// The key that is presented: the header's before the parameter's.
fn key(head: &Head<'_>, target: &Target<'_>) -> PresentedKey {
    let header = head.headers.authorization.map(str::trim).filter(|text| !text.is_empty());
    let parameter = if header.is_none() { target.parameter("api_key") } else { None };
    header.or(parameter.as_deref()).map_or(PresentedKey::None, PresentedKey::parse)
}
