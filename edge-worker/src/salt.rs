//! The day's salt, by which visitors are told apart for a day.
//!
//! Apart because all isolates must use the same one: a Durable Object keeps it (`objects.mjs`), and each isolate remembers
//! it until the day ends. It must not know what is hashed. Without a salt visitors are not told apart, and nothing else
//! changes.

use std::cell::Cell;

use serde::Deserialize;
use worker::{Env, Error, Result, console_error};

use crate::web;

/// The object's binding.
const SALT: &str = "SALT";
/// The one object.
const NAME: &str = "salt";
/// Milliseconds to wait for it.
const OBJECT_MS_MAX: u64 = 1_000;
/// Milliseconds after a failure for which it is not asked, so that not every request waits.
const REST_MS: i64 = 5_000;
const DAY_MS: i64 = 86_400_000;

#[derive(Deserialize)]
struct Answer {
    day: i64,
    salt: String,
}

thread_local! {
    /// The day, in days since 1970, and its salt.
    static KNOWN: Cell<Option<(i64, [u8; 32])>> = const { Cell::new(None) };
    static ASK_AGAIN_MS: Cell<i64> = const { Cell::new(0) };
}

/// The salt of today, in UTC.
pub(crate) async fn today(env: &Env) -> Option<[u8; 32]> {
    let now_ms = web::now().millis();
    let day = now_ms.div_euclid(DAY_MS);
    if let Some((known_day, salt)) = KNOWN.get()
        && known_day == day
    {
        return Some(salt);
    }
    if now_ms < ASK_AGAIN_MS.get() {
        return None;
    }
    match web::within(OBJECT_MS_MAX, "the object of the salt", ask(env)).await {
        Ok(found) => {
            KNOWN.set(Some(found));
            Some(found.1)
        }
        Err(error) => {
            console_error!("visitors are not told apart: {error}");
            ASK_AGAIN_MS.set(now_ms.saturating_add(REST_MS));
            None
        }
    }
}

async fn ask(env: &Env) -> Result<(i64, [u8; 32])> {
    let text = web::ask_object(env, SALT, NAME, "").await?;
    parse(&text).ok_or_else(|| Error::RustError("the object of the salt answered something else".to_owned()))
}

fn parse(text: &str) -> Option<(i64, [u8; 32])> {
    let Answer { day, salt } = serde_json::from_str(text).ok()?;
    let mut digits = salt.chars().map(|digit| digit.to_digit(16));
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        *byte = u8::try_from(digits.next()?? << 4 | digits.next()??).ok()?;
    }
    digits.next().is_none().then_some((day, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_64_hex_digits() {
        let digits = "0f".repeat(32);
        for (salt, found) in [
            (digits.clone(), Some((7, [15; 32]))),
            (digits[1..].to_owned(), None),
            (format!("{digits}0"), None),
            (digits.replace('f', "g"), None),
        ] {
            assert_eq!(parse(&format!(r#"{{"day":7,"salt":"{salt}"}}"#)), found, "{salt}");
        }
    }
}
