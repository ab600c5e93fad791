//! The collector at the edge: joins it to Workers KV and to a Queue, and hands the Queue's batches to the server.
//!
//! A request goes: route, look up, read, decide, send, reply. The reply leaves only after the Queue has taken the
//! events. Apart from the server because only this crate knows `worker`; it holds no rule about events. Bindings and
//! variables are described in `wrangler.toml` beside it.
//!
//! Whatever fails here (KV, Queue, server) answers 503 in Keen's envelope: the events stay with the sender, who sends
//! them again. No fault may end in the runtime's own error page, which a page of another origin could not even read.

mod courier;
mod forward;
mod keys;
mod outgoing;
mod place;
mod rates;
mod salt;
mod sorted;
mod spill;
mod web;

pub use rates::lease;

use collector::{Caller, Head, Reply, Routed, route};
use protocol::access::Access;
use protocol::limits::Limits;
use protocol::settings::VisitorPolicy;
use wasm_bindgen::JsValue;
use worker::{
    Context, Env, MessageBatch, Request, Response, Result, ScheduleContext, ScheduledEvent, console_error, event,
};

/// Seconds after which a sender should try again when something here is out of order.
const RETRY_AFTER_S: u32 = 5;

/// Answers one request.
///
/// # Errors
/// Only when the runtime can't build a response.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let reply = answer(request, &env, &context).await.unwrap_or_else(|error| {
        console_error!("request failed: {error}");
        Reply::unavailable(RETRY_AFTER_S)
    });
    web::response(reply)
}

/// Hands a batch of the Queue to the server and acknowledges what the server has made durable. The Queue delivers the
/// rest again, and after its retries puts it into the dead-letter queue.
///
/// # Errors
/// Never: each message is acknowledged or marked for a retry.
#[event(queue)]
async fn queue(batch: MessageBatch<JsValue>, env: Env, _context: Context) -> Result<()> {
    forward::forward(&batch, &env).await;
    Ok(())
}

/// Hands over what waits in the bucket, every minute.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    spill::drain(&env).await;
}

/// The walk of one request.
async fn answer(mut request: Request, env: &Env, context: &Context) -> Result<Reply> {
    let limits = Limits::default();
    let read = web::read_head(&request)?;
    let head = Head { method: &read.method, target: &read.target, headers: read.headers() };
    let mut asked = match route(&head, &limits) {
        Routed::Reply(reply) => return web::discard_body(&mut request, reply).await,
        Routed::Ask(asked) => asked,
    };
    // Of a body without a key before it not much is read, and nothing of it unpacked.
    let mut early = None;
    if asked.awaits_key() {
        let Some(body) = web::read_body(&mut request, &read, asked.body_bytes_max).await? else {
            return Ok(asked.too_large());
        };
        asked.find_key(&body);
        early = Some(body);
    }
    let access = keys::look_up(env, asked.project.as_ref(), &asked.key).await?;
    if let Err(reply) = asked.admit(&access) {
        return web::discard_body(&mut request, reply).await;
    }
    let Access::Known(grant) = &access else { return Ok(Reply::unavailable(RETRY_AFTER_S)) };
    let passed = match rates::admit(env, context, grant, &asked.key, &read).await {
        Ok(passed) => passed,
        Err(wait_s) => return web::discard_body(&mut request, asked.slow_down(wait_s)).await,
    };
    let body = match early {
        Some(body) => Some(body),
        None => web::read_body(&mut request, &read, asked.body_bytes_max).await?,
    };
    let Some(body) = body else { return Ok(asked.too_large()) };
    let is_visit = grant.settings.privacy.visitor == VisitorPolicy::Daily && read.is_from_page();
    let salt = if is_visit { salt::today(env).await } else { None };
    // Nothing is known here of other addresses.
    let locate = |address| (Some(address) == read.address()).then(place::of_caller).flatten();
    let caller =
        Caller { headers: read.headers(), address: read.address(), locate: Some(&locate), salt: salt.as_ref() };
    let moment = web::moment()?;
    let decision = place::with_request(&request, || asked.decide(&access, &body, &moment, &caller, &limits));
    passed.charge_events(decision.counts.events_accepted);
    let Some(record) = decision.record else { return Ok(decision.reply) };
    let lost = outgoing::send(env, record, decision.counts.events_accepted).await;
    Ok(asked.partly(decision.reply, &lost, RETRY_AFTER_S))
}
