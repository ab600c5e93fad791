//! Gets accepted events out of the worker: into the Queue, or straight to the server what no message can hold.
//!
//! Apart because it is the promise of this crate: when [`send`] returns without an error, every event is in durable
//! hands. It must not know what the events are.

use collector::split::split;
use protocol::limits::EDGE_MESSAGE_BYTES_MAX;
use wasm_bindgen::JsValue;
use worker::{BatchMessageBuilder, Env, Error, QueueContentType, RawMessageBuilder, Result, SendMessage};

use crate::{forward, web};

/// The producer's binding.
const EVENTS: &str = "EVENTS";
/// Milliseconds to wait for the Queue. A sender that gets no answer for longer gives up by itself.
const SEND_MS_MAX: u64 = 5_000;
/// Messages in one call: a call carries 256,000 bytes, so two of the largest.
const MESSAGES_PER_CALL: usize = 2;

/// Makes a record durable.
///
/// # Errors
/// When the Queue or the server does not take all of it in time. The sender then sends all of it again; events that
/// bring their own id are counted once even so.
pub(crate) async fn send(env: &Env, record: Vec<u8>) -> Result<()> {
    let (small, large): (Vec<_>, Vec<_>) =
        split(record, EDGE_MESSAGE_BYTES_MAX).into_iter().partition(|part| part.len() <= EDGE_MESSAGE_BYTES_MAX);
    // A single event that is larger than a message. It goes first: when the server is away nothing was sent yet.
    for part in large {
        forward::append(env, &part).await?;
    }
    let queue = env.queue(EVENTS)?;
    let messages = small.into_iter().map(message).collect::<Result<Vec<_>>>()?;
    let mut messages = messages.into_iter().peekable();
    while messages.peek().is_some() {
        let call = messages.by_ref().take(MESSAGES_PER_CALL);
        let mut call: Vec<_> = call.collect();
        let sending = async {
            match (call.pop(), call.is_empty()) {
                (Some(only), true) => queue.send_raw(only).await,
                (Some(last), false) => {
                    call.push(last);
                    queue.send_raw_batch(BatchMessageBuilder::new().messages(call).build()).await
                }
                (None, _) => Ok(()),
            }
        };
        web::within(SEND_MS_MAX, "the queue", sending).await?;
    }
    Ok(())
}

fn message(record: Vec<u8>) -> Result<SendMessage<JsValue>> {
    let text = String::from_utf8(record).map_err(|error| Error::RustError(error.to_string()))?;
    Ok(RawMessageBuilder::new(JsValue::from_str(&text)).build_with_content_type(QueueContentType::Text))
}
