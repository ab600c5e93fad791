//! Gets accepted events out of the worker: into the Queue, and what the Queue does not take into a bucket.
//!
//! Apart because it is the promise of this crate: what [`send`] does not name as lost is in durable hands. It must not
//! know what the events are.

use std::cell::Cell;
use std::ops::Range;

use collector::split::{Part, split};
use js_sys::{Array, Uint8Array};
use protocol::limits::EDGE_MESSAGE_BYTES_MAX;
use wasm_bindgen::JsValue;
use worker::{Env, Error, Result, console_error};

use crate::{courier, spill, web};

/// The producer's binding.
const EVENTS: &str = "EVENTS";
/// Milliseconds to wait for the Queue, which usually answers in less than 100.
const SEND_MS_MAX: i64 = 3_000;
/// Milliseconds for which this isolate doesn't ask a Queue that hung: else each request would wait [`SEND_MS_MAX`] while
/// it hangs. The bucket takes all events meanwhile. A Queue that refuses at once costs nothing to ask.
const REST_MS: i64 = 5_000;
/// Messages in one call: a call carries 256,000 bytes, so two of the largest.
const MESSAGES_PER_CALL: usize = 2;

thread_local! {
    /// When the Queue is asked again after it hung.
    static ASK_AGAIN_MS: Cell<i64> = const { Cell::new(0) };
}

/// Makes a record of so many events durable, and gives the places of those events for which it failed.
///
/// What failed may arrive even so (a Queue that answers late); events that bring their own id are counted once however
/// often they come.
pub(crate) async fn send(env: &Env, record: Vec<u8>, events: u64) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let (small, large): (Vec<_>, Vec<_>) = split(record, events, EDGE_MESSAGE_BYTES_MAX)
        .into_iter()
        .partition(|part| part.record.len() <= EDGE_MESSAGE_BYTES_MAX);
    // A single event that is larger than a message. When the server is away, it is not asked again for the others.
    for part in large {
        if !left.is_empty() {
            left.push(part);
        } else if let Err(error) = courier::append_now(env, &part.record).await {
            console_error!("an event larger than a message was not handed over: {error}");
            left.push(part);
        }
    }
    for call in small.chunks(MESSAGES_PER_CALL) {
        if let Err(error) = enqueue(env, call).await {
            console_error!("{} messages not queued: {error}", call.len());
            left.extend_from_slice(call);
        }
    }
    if left.is_empty() {
        return Vec::new();
    }
    let lines: Vec<&[u8]> = left.iter().map(|part| &*part.record).collect();
    match spill::put(env, &lines).await {
        Ok(()) => Vec::new(),
        Err(error) => {
            console_error!("{} records not spilled: {error}", lines.len());
            let mut lost: Vec<Range<u64>> = Vec::with_capacity(left.len());
            for Part { events, .. } in left {
                // In order; a few ranges, for which the library's sorts are too much code.
                lost.insert(lost.partition_point(|known| known.start < events.start), events);
            }
            lost
        }
    }
}

async fn enqueue(env: &Env, parts: &[Part]) -> Result<()> {
    let started_ms = web::now().millis();
    if started_ms < ASK_AGAIN_MS.get() {
        return Err(Error::RustError("the queue hung a moment ago".to_owned()));
    }
    let sent = web::within(SEND_MS_MAX.unsigned_abs(), "the queue", deliver(env, parts)).await;
    let now_ms = web::now().millis();
    if sent.is_err() && now_ms.saturating_sub(started_ms) >= SEND_MS_MAX {
        ASK_AGAIN_MS.set(now_ms.saturating_add(REST_MS));
    }
    sent
}

/// Bytes and not text: the runtime would make a JavaScript string of it and bytes of that again.
async fn deliver(env: &Env, parts: &[Part]) -> Result<()> {
    let queue = web::member(env, EVENTS);
    let kind = || ("contentType", JsValue::from_str("bytes"));
    let bytes = |part: &Part| JsValue::from(Uint8Array::from(&*part.record));
    if let [only] = parts {
        web::call(&queue, "send", &[bytes(only), web::object([kind()])]).await?;
    } else {
        let messages: Array = parts.iter().map(|part| web::object([("body", bytes(part)), kind()])).collect();
        web::call(&queue, "sendBatch", &[messages.into()]).await?;
    }
    Ok(())
}
