//! Hands records to the server's append route, signed.
//!
//! Apart because it is the other end of the Queue: it runs long after the request and acknowledges a message only when
//! the server has it on disk. It must not know what the records hold.

use collector::append::{BODY_BYTES_MAX, PATH, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, sign};
use js_sys::Uint8Array;
use worker::{
    Env, Error, Fetch, Headers, MessageBatch, MessageExt, Method, RawMessage, Request, RequestInit, RequestRedirect,
    Result, console_error,
};

use crate::web;

/// The variable with the server's root address.
const SERVER: &str = "RIVULET_SERVER";
/// The secret that signs.
const SECRET: &str = "RIVULET_APPEND_SECRET";
/// Milliseconds to wait for the server, which answers after its disk has the records.
const SERVER_MS_MAX: u64 = 20_000;

/// Why the server did not take a body.
enum Failure {
    /// It understood and will never take it: a fault of one of its records.
    Refused(u16),
    /// It may take it later.
    Later(Error),
}

/// Hands all messages over, in as few requests as fit.
pub(crate) async fn forward(batch: &MessageBatch<String>, env: &Env) {
    let mut held: Vec<RawMessage> = Vec::new();
    let mut body = String::new();
    for message in batch.raw_iter() {
        let Some(record) = message.body().as_string() else {
            // Not ours. After its retries it lies in the dead-letter queue for somebody to look at.
            message.retry();
            continue;
        };
        if !held.is_empty() && body.len() + record.len() >= BODY_BYTES_MAX {
            hand_over(env, std::mem::take(&mut held), std::mem::take(&mut body)).await;
        }
        body.push_str(&record);
        body.push('\n');
        held.push(message);
    }
    if !held.is_empty() {
        hand_over(env, held, body).await;
    }
}

/// Hands over the records of `messages` in one request. If the server refuses one of them, each goes alone, so that
/// only the bad one ends in the dead-letter queue.
async fn hand_over(env: &Env, messages: Vec<RawMessage>, body: String) {
    match post(env, body.as_bytes()).await {
        Ok(()) => messages.iter().for_each(MessageExt::ack),
        Err(Failure::Refused(_)) if messages.len() > 1 => {
            for (message, record) in messages.iter().zip(body.lines()) {
                settle(message, post(env, record.as_bytes()).await);
            }
        }
        Err(failure) => {
            console_error!("{} messages not handed over: {failure}", messages.len());
            messages.iter().for_each(MessageExt::retry);
        }
    }
}

fn settle(message: &RawMessage, handed: std::result::Result<(), Failure>) {
    match handed {
        Ok(()) => message.ack(),
        Err(failure) => {
            console_error!("message {} not handed over: {failure}", message.id());
            message.retry();
        }
    }
}

/// Hands over one record now.
///
/// # Errors
/// When the server does not say that it is durable.
pub(crate) async fn append(env: &Env, record: &[u8]) -> Result<()> {
    post(env, record).await.map_err(|failure| Error::RustError(failure.to_string()))
}

async fn post(env: &Env, body: &[u8]) -> std::result::Result<(), Failure> {
    let status = web::within(SERVER_MS_MAX, "the server", request(env, body)).await.map_err(Failure::Later)?;
    match status {
        200..=299 => Ok(()),
        400 | 413 => Err(Failure::Refused(status)),
        _ => Err(Failure::Later(Error::RustError(format!("the server answered {status}")))),
    }
}

async fn request(env: &Env, body: &[u8]) -> Result<u16> {
    let server = env.var(SERVER)?.to_string();
    let secret: Secret =
        env.secret(SECRET)?.to_string().parse().map_err(|error| Error::RustError(format!("{SECRET}: {error}")))?;
    let signed = sign(&secret, web::now(), body);
    let headers = Headers::new();
    headers.set(TIMESTAMP_HEADER, &signed.timestamp)?;
    headers.set(SIGNATURE_HEADER, &signed.signature)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(Some(Uint8Array::from(body).into()));
    let address = format!("{}{PATH}", server.trim_end_matches('/'));
    let response = Fetch::Request(Request::new_with_init(&address, &init)?).send().await?;
    Ok(response.status_code())
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the server refused it with {status}"),
            Self::Later(error) => error.fmt(f),
        }
    }
}
