//! Carries records and questions to the server, signed.
//!
//! Apart because the Queue's consumer, the bucket's drain and the look-up of keys all go the same way. It must not know
//! what records hold, nor where they wait meanwhile.

use collector::append::{Purpose, REASON_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, sign_for};
use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, Error, Result};

use crate::web;

/// The variable with the server's root address.
const SERVER: &str = "RIVULET_SERVER";
/// The secrets that sign, in the order in which they are tried. The second is there only during a rotation.
const SECRETS: [&str; 2] = ["RIVULET_APPEND_SECRET", "RIVULET_APPEND_SECRET_OLD"];
/// Milliseconds to wait for the server, which answers after its disk has the records.
const SERVER_MS_MAX: u64 = 20_000;
/// The same while somebody waits for a reply.
const SERVER_NOW_MS_MAX: u64 = 5_000;

/// What the server answered.
pub(crate) struct Answered {
    pub(crate) status: u16,
    response: JsValue,
}

impl Answered {
    /// The body as text.
    pub(crate) async fn text(self) -> Result<String> {
        let text =
            web::within(SERVER_NOW_MS_MAX, "the server's answer", web::call(&self.response, "text", &[])).await?;
        Ok(text.as_string().unwrap_or_default())
    }
}

/// What became of a body of records.
enum Taken {
    /// The server has it on disk.
    Yes,
    /// It understood and will never take it: a fault of one of its records.
    Never(u16),
}

/// Hands records over until each is in the server's log or in its quarantine. Gives one result per record, in order.
pub(crate) async fn hand_over(env: &Env, records: &[&str]) -> Vec<Result<()>> {
    let again = |error: &Error| Error::RustError(error.to_string());
    match append(env, records.join("\n").as_bytes(), SERVER_MS_MAX).await {
        Ok(Taken::Yes) => records.iter().map(|_| Ok(())).collect(),
        Err(error) => records.iter().map(|_| Err(again(&error))).collect(),
        // One of them is bad, so each goes alone; until the server is away, then the rest need not be tried.
        Ok(Taken::Never(_)) => {
            let mut results = Vec::with_capacity(records.len());
            let mut away = None;
            for record in records {
                let result = match &away {
                    Some(error) => Err(again(error)),
                    None => hand_over_one(env, record).await,
                };
                if let (None, Err(error)) = (&away, &result) {
                    away = Some(again(error));
                }
                results.push(result);
            }
            results
        }
    }
}

async fn hand_over_one(env: &Env, record: &str) -> Result<()> {
    match append(env, record.as_bytes(), SERVER_MS_MAX).await? {
        Taken::Yes => Ok(()),
        Taken::Never(status) => quarantine(env, record, &format!("append answered {status}")).await,
    }
}

/// Puts a record into the log while somebody waits for it.
///
/// # Errors
/// When the server does not say in time that it is durable.
pub(crate) async fn append_now(env: &Env, record: &[u8]) -> Result<()> {
    match append(env, record, SERVER_NOW_MS_MAX).await? {
        Taken::Yes => Ok(()),
        Taken::Never(status) => Err(Error::RustError(format!("the server refused it with {status}"))),
    }
}

/// Puts what the log will never take where a person looks at it.
///
/// # Errors
/// When the server does not say in time that it is durable.
pub(crate) async fn quarantine(env: &Env, record: &str, reason: &str) -> Result<()> {
    let answered = post(env, Purpose::Quarantine, record.as_bytes(), Some(reason), SERVER_MS_MAX).await?;
    match answered.status {
        200..=299 => Ok(()),
        status => Err(Error::RustError(format!("the server's quarantine answered {status}"))),
    }
}

async fn append(env: &Env, body: &[u8], ms_max: u64) -> Result<Taken> {
    match post(env, Purpose::Append, body, None, ms_max).await?.status {
        200..=299 => Ok(Taken::Yes),
        status @ (400 | 413) => Ok(Taken::Never(status)),
        status => Err(Error::RustError(format!("the server answered {status}"))),
    }
}

/// Asks the server something, with the second secret when it does not know the first.
///
/// # Errors
/// When there is no answer in time.
pub(crate) async fn post(
    env: &Env,
    purpose: Purpose,
    body: &[u8],
    reason: Option<&str>,
    ms_max: u64,
) -> Result<Answered> {
    let mut answered = None;
    for name in SECRETS {
        let Some(secret) = web::member(env, name).as_string() else { continue };
        let secret: Secret = secret.parse().map_err(|error| Error::RustError(format!("{name}: {error}")))?;
        let asking = request(env, purpose, body, reason, &secret);
        let response = web::within(ms_max, "the server", asking).await?;
        let status = response.unchecked_ref::<web_sys::Response>().status();
        answered = Some(Answered { status, response });
        if status != 401 {
            break;
        }
    }
    answered.ok_or_else(|| Error::RustError("there is no secret to sign with".to_owned()))
}

/// Asks the server while somebody waits for it.
///
/// # Errors
/// When there is no answer in time.
pub(crate) async fn ask_now(env: &Env, purpose: Purpose, body: &[u8]) -> Result<Answered> {
    post(env, purpose, body, None, SERVER_NOW_MS_MAX).await
}

async fn request(env: &Env, purpose: Purpose, body: &[u8], reason: Option<&str>, secret: &Secret) -> Result<JsValue> {
    let server =
        web::member(env, SERVER).as_string().ok_or_else(|| Error::RustError(format!("there is no {SERVER}")))?;
    let signed = sign_for(purpose, secret, web::now(), body);
    let headers = Object::new();
    let reason = reason.map(|reason| (REASON_HEADER, reason));
    let signed = [(TIMESTAMP_HEADER, &*signed.timestamp), (SIGNATURE_HEADER, &*signed.signature)];
    for (name, value) in signed.into_iter().chain(reason) {
        Reflect::set(&headers, &name.into(), &value.into())?;
    }
    let init = web::object([
        ("method", "POST".into()),
        ("headers", headers.into()),
        ("redirect", "manual".into()),
        ("body", Uint8Array::from(body).into()),
    ]);
    let address = format!("{}{}", server.trim_end_matches('/'), purpose.path());
    web::call(&js_sys::global(), "fetch", &[address.into(), init]).await
}
