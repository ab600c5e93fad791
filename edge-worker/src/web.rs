//! Translates between the runtime's requests and responses and the collector's.
//!
//! Apart because each look at a JavaScript object is a crossing that costs, so they are all here, counted and few. It
//! must not know routes, keys or events.

use std::net::IpAddr;
use std::time::Duration;

use collector::{Headers, Moment, Reply};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use js_sys::futures::JsFuture;
use js_sys::{Array, Function, Object, Promise, Reflect};
use protocol::Timestamp;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Delay, Env, Error, Request, Response, ResponseBuilder, Result};

/// Bytes of a refused body that are taken off the connection. A sender of more may find it closed before it has read
/// the reply.
const DISCARD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the collector looks at, owned, because the runtime hands out copies.
pub(crate) struct ReadHead {
    pub(crate) method: String,
    pub(crate) target: String,
    authorization: Option<String>,
    content_encoding: Option<String>,
    content_length: Option<String>,
    requested: Option<String>,
    origin: Option<String>,
    referer: Option<String>,
    user_agent: Option<String>,
    gpc: Option<String>,
    connecting: Option<String>,
}

impl ReadHead {
    /// The headers as the collector takes them.
    pub(crate) fn headers(&self) -> Headers<'_> {
        Headers {
            authorization: self.authorization.as_deref(),
            content_encoding: self.content_encoding.as_deref(),
            content_length: self.content_length.as_deref(),
            requested: self.requested.as_deref(),
            origin: self.origin.as_deref(),
            referer: self.referer.as_deref(),
            user_agent: self.user_agent.as_deref(),
            gpc: self.gpc.as_deref(),
        }
    }
}

impl ReadHead {
    /// The caller's address, which Cloudflare puts there and a caller can't.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.connecting.as_deref().and_then(|text| text.trim().parse().ok())
    }

    /// Bytes of the body, as far as they are declared.
    pub(crate) fn declared_bytes(&self) -> u64 {
        self.content_length.as_deref().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Whether a page sends it that may be told apart from others of the same day.
    pub(crate) fn is_from_page(&self) -> bool {
        self.gpc.as_deref().is_none_or(|gpc| gpc.trim() != "1") && (self.origin.is_some() || self.referer.is_some())
    }
}

/// Where the shim puts what [`read_head`] reads.
const HEAD: &str = "rivuletHead";

/// Reads method, address and the few headers: the shim has put them into one text, a line for each, because each look at
/// a header is a crossing, and ten of them were a tenth of a request's time. No header can hold a line break.
pub(crate) fn read_head(request: &Request) -> Result<ReadHead> {
    let text = member(request.inner(), HEAD).as_string();
    let text = text.ok_or_else(|| Error::RustError("the shim has not read the head".to_owned()))?;
    let mut lines = text.split('\n').map(|line| Some(line.to_owned()).filter(|line| !line.is_empty()));
    let mut next = || lines.next().flatten();
    Ok(ReadHead {
        method: next().unwrap_or_default(),
        target: next().unwrap_or_default(),
        authorization: next(),
        content_encoding: next(),
        content_length: next(),
        requested: next(),
        origin: next(),
        referer: next(),
        user_agent: next(),
        gpc: next(),
        connecting: next(),
    })
}

/// Reads the body; none when it is longer than `bytes_max`.
///
/// The runtime holds a body to its declared length, which the collector has checked, so only an undeclared one is
/// read piece by piece. What is too long is read to its end, too, but not kept.
pub(crate) async fn read_body(request: &mut Request, head: &ReadHead, bytes_max: usize) -> Result<Option<Vec<u8>>> {
    if bytes_max == 0 || request.inner().body().is_none() {
        return Ok(Some(Vec::new()));
    }
    if head.content_length.is_some() {
        return request.bytes().await.map(|body| (body.len() <= bytes_max).then_some(body));
    }
    let mut pieces = request.stream()?;
    let mut body = Vec::new();
    let mut read_bytes = 0_usize;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        read_bytes = read_bytes.saturating_add(piece.len());
        if read_bytes <= bytes_max {
            body.extend_from_slice(&piece);
        } else if read_bytes > DISCARD_BYTES_MAX {
            break;
        }
    }
    Ok((read_bytes <= bytes_max).then_some(body))
}

/// Takes the body off the connection without keeping it, and gives the reply. A connection that is closed on a sender
/// who still writes loses him the reply, and his next request on it.
pub(crate) async fn discard_body(request: &mut Request, reply: Reply) -> Result<Reply> {
    if request.inner().body().is_some() && !request.inner().body_used() {
        let mut pieces = request.stream()?;
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    }
    Ok(reply)
}

/// The runtime's response to a reply.
pub(crate) fn response(reply: Reply) -> Result<Response> {
    let mut builder = ResponseBuilder::new().with_status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.with_header(name, value)?;
    }
    Ok(if reply.body.is_empty() { builder.empty() } else { builder.fixed(reply.body) })
}

/// The runtime's clock.
pub(crate) fn now() -> Timestamp {
    // Whole milliseconds, far below what a double holds exactly; no `as`, so they go through whole nanoseconds.
    let time = Duration::try_from_secs_f64(js_sys::Date::now() / 1_000.0).unwrap_or_default();
    let ms = time.saturating_add(Duration::from_micros(500)).as_millis();
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// Clock and random bytes for one request. The runtime has neither before a request comes.
pub(crate) fn moment() -> Result<Moment> {
    Ok(Moment { now: now(), random: random()? })
}

/// Random bytes.
pub(crate) fn random() -> Result<[u8; 10]> {
    let mut random = [0; 10];
    let global: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    global.crypto()?.get_random_values_with_u8_array(&mut random)?;
    Ok(random)
}

/// Calls a method of a binding and waits for what it promises.
///
/// All bindings are called through this: the types of crate `worker` for them would make the module a fifth larger, and
/// each brings crossings of its own.
pub(crate) async fn call(object: &JsValue, method: &str, values: &[JsValue]) -> Result<JsValue> {
    let function: Function = member(object, method)
        .dyn_into()
        .map_err(|_| Error::RustError(format!("the binding has no method {method}: is it in wrangler.toml?")))?;
    let promised = Reflect::apply(&function, object, &values.iter().collect::<Array>())?;
    Ok(JsFuture::from(Promise::resolve(&promised)).await?)
}

/// A member of an object; undefined where there is none.
pub(crate) fn member(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

/// An object with these members.
pub(crate) fn object<const N: usize>(members: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in members {
        // A plain object takes every member.
        let _ = Reflect::set(&object, &JsValue::from_str(name), &value);
    }
    object.into()
}

/// Asks a Durable Object, by its binding and its name, and gives what it answers.
pub(crate) async fn ask_object(env: &Env, binding: &str, name: &str, question: &str) -> Result<String> {
    let namespace = member(env, binding);
    let stub = call(&namespace, "getByName", &[name.into()]).await?;
    let init = object([("method", "POST".into()), ("body", question.into())]);
    let answer = call(&stub, "fetch", &["https://object.invalid/".into(), init]).await?;
    let text = call(&answer, "text", &[]).await?;
    text.as_string().ok_or_else(|| Error::RustError(format!("the object of {binding} answered nothing")))
}

/// Waits for `work`, at most `limit_ms`.
pub(crate) async fn within<T>(limit_ms: u64, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match select(std::pin::pin!(work), Delay::from(Duration::from_millis(limit_ms))).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => Err(Error::RustError(format!("{what} took longer than {limit_ms} ms"))),
    }
}
