//! Keeps records in a bucket while the Queue or the server can't take them, and hands them over later.
//!
//! Apart because it is the only other durable place the edge has, used by requests and by the Queue's consumer. A record
//! in it may have reached the server even so; the server counts events once. It must not know what records hold.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use worker::{Env, Error, Result, console_error, console_log};

use crate::{courier, web};

/// The bucket's binding.
const SPILL: &str = "SPILL";
/// What the names of spilled objects begin with. Then comes the time, so that the oldest is first.
const PREFIX: &str = "spill/";
/// Milliseconds to wait for the bucket.
const BUCKET_MS_MAX: u64 = 5_000;
/// Objects that one drain hands over at most; the next minute goes on.
const DRAIN_OBJECTS_MAX: u32 = 500;

/// Puts records into one object.
///
/// # Errors
/// When the bucket does not say in time that it has them, or there is none.
pub(crate) async fn put(env: &Env, records: &[&[u8]]) -> Result<()> {
    let mut name = format!("{PREFIX}{:013}-", web::now().millis());
    name.extend(web::random()?.iter().map(|byte| format!("{byte:02x}")));
    let text = Uint8Array::from(&*records.join(&b'\n'));
    bucket(env, "put", &[name.into(), text.into()]).await?;
    Ok(())
}

/// Calls a method of the bucket.
async fn bucket(env: &Env, method: &str, values: &[JsValue]) -> Result<JsValue> {
    web::within(BUCKET_MS_MAX, "the bucket", web::call(&web::member(env, SPILL), method, values)).await
}

/// Hands over what lies in the bucket, oldest first, until it is empty or the server does not take more. An object goes
/// when the server has all of it.
pub(crate) async fn drain(env: &Env) {
    match hand_over_all(env).await {
        Ok(0) => {}
        Ok(objects) => console_log!("{objects} spilled objects handed over"),
        Err(error) => console_error!("spilled objects stay where they are: {error}"),
    }
}

async fn hand_over_all(env: &Env) -> Result<u32> {
    let wanted = web::object([("prefix", PREFIX.into()), ("limit", DRAIN_OBJECTS_MAX.into())]);
    let listed = bucket(env, "list", &[wanted]).await?;
    let objects: Array = web::member(&listed, "objects").into();
    let mut done = 0;
    for object in objects.iter() {
        let Some(name) = web::member(&object, "key").as_string() else { continue };
        hand_over(env, &name).await?;
        done += 1;
    }
    Ok(done)
}

async fn hand_over(env: &Env, name: &str) -> Result<()> {
    let object = bucket(env, "get", &[name.into()]).await?;
    if object.is_null() {
        // Another drain was faster.
        return Ok(());
    }
    let reading = web::call(&object, "text", &[]);
    let text = web::within(BUCKET_MS_MAX, "the bucket", reading).await?.as_string().unwrap_or_default();
    let records: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    if !records.is_empty() {
        for result in courier::hand_over(env, &records).await {
            result.map_err(|error| Error::RustError(format!("{name}: {error}")))?;
        }
    }
    bucket(env, "delete", &[name.into()]).await?;
    Ok(())
}
