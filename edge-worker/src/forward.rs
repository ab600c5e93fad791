//! Hands the Queue's messages to the server.
//!
//! Apart because it is the other end of the Queue: it runs long after the request and acknowledges a message only when
//! it is durable somewhere else. It must not know what the records hold.

use collector::append::BODY_BYTES_MAX;
use js_sys::{ArrayBuffer, JSON, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, Error, MessageBatch, MessageExt, RawMessage, Result, console_error};

use crate::{courier, spill};

/// The end of the name of a dead-letter queue.
const DEAD: &str = "-dead";

/// Hands all messages over, in as few requests as fit. What the server's log refuses for good lies in its quarantine
/// then; what it can't take now is delivered again, and what was delivered too often comes from the dead-letter queue and
/// waits in the bucket.
pub(crate) async fn forward(batch: &MessageBatch<JsValue>, env: &Env) {
    let is_last = batch.queue().ends_with(DEAD);
    let mut held: Vec<(RawMessage, String)> = Vec::new();
    let mut held_bytes = 0_usize;
    for message in batch.raw_iter() {
        let Some(record) = text(&message.body()) else {
            settle(&message, foreign(env, &message).await);
            continue;
        };
        if !held.is_empty() && held_bytes.saturating_add(record.len()) >= BODY_BYTES_MAX {
            hand_over(env, std::mem::take(&mut held), is_last).await;
            held_bytes = 0;
        }
        held_bytes = held_bytes.saturating_add(record.len()).saturating_add(1);
        held.push((message, record));
    }
    if !held.is_empty() {
        hand_over(env, held, is_last).await;
    }
}

/// The record in a message. The Queue gives back the bytes of [`crate::outgoing`] as an `ArrayBuffer`.
fn text(body: &JsValue) -> Option<String> {
    match body.dyn_ref::<ArrayBuffer>() {
        Some(bytes) => String::from_utf8(Uint8Array::new(bytes).to_vec()).ok(),
        None => body.as_string(),
    }
}

async fn hand_over(env: &Env, held: Vec<(RawMessage, String)>, is_last: bool) {
    let records: Vec<&str> = held.iter().map(|(_, record)| record.as_str()).collect();
    let mut results = courier::hand_over(env, &records).await;
    if is_last {
        let left: Vec<&[u8]> = results
            .iter()
            .zip(&records)
            .filter(|(result, _)| result.is_err())
            .map(|(_, record)| record.as_bytes())
            .collect();
        // Nobody delivers them again after this.
        if !left.is_empty() && spill::put(env, &left).await.is_ok() {
            results = records.iter().map(|_| Ok(())).collect();
        }
    }
    for ((message, _), result) in held.iter().zip(results) {
        settle(message, result);
    }
}

/// Hands over a message that no collector made, as JSON, for a person to look at.
async fn foreign(env: &Env, message: &RawMessage) -> Result<()> {
    let text = JSON::stringify(&message.body()).map_err(Error::from)?;
    courier::quarantine(env, &String::from(text), "the message is no record").await
}

fn settle(message: &RawMessage, handed: Result<()>) {
    match handed {
        Ok(()) => message.ack(),
        Err(error) => {
            console_error!("message {} not handed over: {error}", message.id());
            message.retry();
        }
    }
}
