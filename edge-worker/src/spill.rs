//! Keeps records in a bucket while the Queue or the server can't take them, and hands them over later.
//!
//! Apart because it is the only other durable place the edge has, used by requests and by the Queue's consumer. A record
//! in it may have reached the server even so; the server counts events once. It must not know what records hold.

use worker::{Bucket, Env, Error, Object, Result, console_error, console_log};

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
    let bucket = env.bucket(SPILL)?;
    let mut name = format!("{PREFIX}{:013}-", web::now().millis());
    name.extend(web::random()?.iter().map(|byte| format!("{byte:02x}")));
    let writing = async { bucket.put(name, records.join(&b'\n')).execute().await };
    web::within(BUCKET_MS_MAX, "the bucket", writing).await?;
    Ok(())
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
    let Ok(bucket) = env.bucket(SPILL) else { return Ok(0) };
    let listing = async { bucket.list().prefix(PREFIX).limit(DRAIN_OBJECTS_MAX).execute().await };
    let listed = web::within(BUCKET_MS_MAX, "the bucket", listing).await?;
    let mut done = 0;
    for object in listed.objects() {
        hand_over(env, &bucket, &object).await?;
        done += 1;
    }
    Ok(done)
}

async fn hand_over(env: &Env, bucket: &Bucket, object: &Object) -> Result<()> {
    let name = object.key();
    let reading = async {
        let found = bucket.get(&name).execute().await?;
        match found.as_ref().and_then(Object::body) {
            Some(body) => body.text().await.map(Some),
            // Another drain was faster.
            None => Ok(None),
        }
    };
    let Some(text) = web::within(BUCKET_MS_MAX, "the bucket", reading).await? else { return Ok(()) };
    let records: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    if !records.is_empty() {
        for result in courier::hand_over(env, &records).await {
            result.map_err(|error| Error::RustError(format!("{name}: {error}")))?;
        }
    }
    web::within(BUCKET_MS_MAX, "the bucket", bucket.delete(name)).await
}
