//! The append route: how the edge hands records to the server, and how the server knows that it was the edge.
//!
//! Apart because here whole records come in, already decided on, so it stands on a signature and not on a project's
//! key. The signature covers time and body; a repeat within its life is harmless, because event ids were given before
//! signing. It must not know how records are stored.
//!
//! ```text
//! POST /3.0/internal/append
//! Rivulet-Timestamp: 1577836800            seconds since 1970, by the sender's clock
//! Rivulet-Signature: v1=<64 hex digits>    HMAC-SHA256 over "rivulet-append-v1", LF, the timestamp, LF, the body
//!
//! one record per line
//! ```
//!
//! The edge's other two errands are signed alike, each with words of its own ([`Purpose`]), so that a signature for one
//! is worth nothing for another.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use protocol::limits::{APPEND_SIGNATURE_AGE_S_MAX, RECORD_BYTES_MAX};
use protocol::record::Record;
use protocol::{ErrorCode, Refusal, Timestamp};
use sha2::Sha256;

use crate::reply::Reply;

/// The route, below the server's root.
pub const PATH: &str = "/3.0/internal/append";
/// The header with the time of signing.
pub const TIMESTAMP_HEADER: &str = "Rivulet-Timestamp";
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "Rivulet-Signature";
/// Bytes of a body; the same as of one record, so that every record can be sent.
pub const BODY_BYTES_MAX: usize = RECORD_BYTES_MAX;
/// Characters of a secret at least: 32 hex digits are 128 bits.
pub const SECRET_CHARS_MIN: usize = 32;

/// The header that says why the records of a [`Purpose::Quarantine`] are there. Not signed: it is for a person.
pub const REASON_HEADER: &str = "Rivulet-Reason";

/// The version that stands before the digits of a signature.
const SCHEME: &str = "v1=";

/// What the edge asks of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Put these records into the log.
    Append,
    /// Keep these records where a person looks at them: the log will never take them.
    Quarantine,
    /// Say what a legacy scoped key is: `{"project":…,"key":…}` in, the record of the key out.
    Resolve,
}

impl Purpose {
    /// The route, below the server's root.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Append => PATH,
            Self::Quarantine => "/3.0/internal/quarantine",
            Self::Resolve => "/3.0/internal/resolve",
        }
    }

    /// What a signature begins to cover, so that it means nothing in another place.
    const fn words(self) -> &'static str {
        match self {
            Self::Append => "rivulet-append-v1\n",
            Self::Quarantine => "rivulet-quarantine-v1\n",
            Self::Resolve => "rivulet-resolve-v1\n",
        }
    }
}

/// A secret that edge and server share. Hidden from `Debug`.
#[derive(Clone)]
pub struct Secret(Box<str>);

/// The text is too short for a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an append secret has at least {SECRET_CHARS_MIN} characters")]
pub struct SecretError;

impl std::str::FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        if text.len() < SECRET_CHARS_MIN { Err(SecretError) } else { Ok(Self(text.into())) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The values of the two headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Of [`TIMESTAMP_HEADER`].
    pub timestamp: String,
    /// Of [`SIGNATURE_HEADER`].
    pub signature: String,
}

/// Why an append is not believed. All answer 401; the server's log may say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is missing or not of its form.
    #[error("signature headers are missing or malformed")]
    Malformed,
    /// The clock at signing differs too much from ours.
    #[error("signature is {age_s} seconds old, the limit is {APPEND_SIGNATURE_AGE_S_MAX} either way")]
    Age {
        /// Our clock minus the sender's.
        age_s: i64,
    },
    /// No secret makes this signature.
    #[error("signature is of another secret or body")]
    Mismatch,
}

/// Signs a body of records to be appended.
#[must_use]
pub fn sign(secret: &Secret, now: Timestamp, body: &[u8]) -> Signed {
    sign_for(Purpose::Append, secret, now, body)
}

/// Signs a body for one purpose.
#[must_use]
pub fn sign_for(purpose: Purpose, secret: &Secret, now: Timestamp, body: &[u8]) -> Signed {
    let timestamp = now.millis().div_euclid(1_000).to_string();
    let mut signature = SCHEME.to_owned();
    if let Some(mac) = mac(purpose, secret, &timestamp, body) {
        for byte in mac.finalize().into_bytes() {
            signature.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
        }
    }
    Signed { timestamp, signature }
}

/// Says whether the headers could be those of a signature, before the body is read: their form and their age. Gives
/// timestamp and digest.
///
/// # Errors
/// Says what is wrong; the caller answers [`refused`].
pub fn plausible<'a>(
    timestamp: Option<&'a str>,
    signature: Option<&str>,
    now: Timestamp,
) -> Result<(&'a str, [u8; 32]), VerifyError> {
    let timestamp = timestamp.ok_or(VerifyError::Malformed)?;
    let signature = signature.and_then(parse_signature).ok_or(VerifyError::Malformed)?;
    let signed_s: i64 = timestamp.parse().map_err(|_| VerifyError::Malformed)?;
    let age_s = now.millis().div_euclid(1_000).saturating_sub(signed_s);
    if age_s.saturating_abs() > APPEND_SIGNATURE_AGE_S_MAX {
        return Err(VerifyError::Age { age_s });
    }
    Ok((timestamp, signature))
}

/// Verifies a body of records to be appended against each secret: two during a rotation, else one.
///
/// # Errors
/// Says what is wrong; the caller answers [`refused`].
pub fn verify(
    secrets: &[Secret],
    timestamp: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), VerifyError> {
    verify_for(Purpose::Append, secrets, timestamp, signature, body, now)
}

/// Verifies a body for one purpose.
///
/// Compares in constant time and always tries all secrets.
///
/// # Errors
/// Says what is wrong; the caller answers [`refused`].
pub fn verify_for(
    purpose: Purpose,
    secrets: &[Secret],
    timestamp: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), VerifyError> {
    let (timestamp, signature) = plausible(timestamp, signature, now)?;
    let is_signed = secrets.iter().fold(false, |found, secret| {
        let is_this = mac(purpose, secret, timestamp, body).is_some_and(|mac| mac.verify_slice(&signature).is_ok());
        found | is_this
    });
    if is_signed { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// The records in a verified body, each its own bytes, in order.
///
/// # Errors
/// When a line is no record: nothing of the body may be stored then.
pub fn records(body: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| match Record::parse(line) {
            Ok(_) => Ok(line.to_vec()),
            Err(error) => Err(Refusal::new(ErrorCode::InvalidBatch, error.to_string())),
        })
        .collect()
}

/// The reply to an append that is durable.
#[must_use]
pub fn appended(records: usize) -> Reply {
    Reply::json(200, format!("{{\"appended\":{records}}}").into_bytes())
}

/// The reply to an append that is not believed; it doesn't say why.
#[must_use]
pub fn refused() -> Reply {
    Reply::refusal(&Refusal::new(ErrorCode::InvalidApiKey, "the signature is not valid"))
}

fn mac(purpose: Purpose, secret: &Secret, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length, so this is always some.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.0.as_bytes()).ok()?;
    for part in [purpose.words().as_bytes(), timestamp.as_bytes(), b"\n", body] {
        mac.update(part);
    }
    Some(mac)
}

fn parse_signature(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(SCHEME)?;
    if digits.len() != 64 {
        return None;
    }
    let mut digits = digits.chars().map(|digit| digit.to_digit(16));
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        *byte = u8::try_from(digits.next()?? << 4 | digits.next()??).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_577_836_800_500);

    fn secret(letter: &str) -> Secret {
        letter.repeat(32).parse().unwrap()
    }

    #[test]
    fn a_signature_is_believed_for_its_secret_body_and_time_only() {
        let Signed { timestamp, signature } = sign(&secret("a"), NOW, b"body");
        assert_eq!(timestamp, "1577836800");
        let (a, b) = (secret("a"), secret("b"));
        let verify = |secrets: &[Secret], timestamp: &str, signature: &str, body: &[u8], later_ms: i64| {
            verify(secrets, Some(timestamp), Some(signature), body, NOW.plus_millis(later_ms))
        };
        let (old, young) = (VerifyError::Age { age_s: 301 }, VerifyError::Age { age_s: -301 });
        for (secrets, timestamp, signature, body, later_ms, expected) in [
            (&[a.clone()][..], &*timestamp, &*signature, "body", 0, Ok(())),
            (&[b.clone(), a.clone()], &timestamp, &signature, "body", 0, Ok(())), // during a rotation
            (std::slice::from_ref(&b), &timestamp, &signature, "body", 0, Err(VerifyError::Mismatch)),
            (&[], &timestamp, &signature, "body", 0, Err(VerifyError::Mismatch)),
            (std::slice::from_ref(&a), &timestamp, &signature, "bodz", 0, Err(VerifyError::Mismatch)),
            (std::slice::from_ref(&a), "1577836801", &signature, "body", 0, Err(VerifyError::Mismatch)),
            (std::slice::from_ref(&a), &timestamp, &signature, "body", 300_000, Ok(())),
            (std::slice::from_ref(&a), &timestamp, &signature, "body", 301_000, Err(old)),
            (std::slice::from_ref(&a), &timestamp, &signature, "body", -301_000, Err(young)),
            (std::slice::from_ref(&a), "soon", &signature, "body", 0, Err(VerifyError::Malformed)),
            (std::slice::from_ref(&a), &timestamp, "v1=00", "body", 0, Err(VerifyError::Malformed)),
            (std::slice::from_ref(&a), &timestamp, &signature[3..], "body", 0, Err(VerifyError::Malformed)),
        ] {
            let found = verify(secrets, timestamp, signature, body.as_bytes(), later_ms);
            assert_eq!(found, expected, "{timestamp} {signature} {body} {later_ms}");
        }
    }

    #[test]
    fn a_signature_for_one_purpose_is_worth_nothing_for_another() {
        let all = [Purpose::Append, Purpose::Quarantine, Purpose::Resolve];
        for signed_for in all {
            let Signed { timestamp, signature } = sign_for(signed_for, &secret("a"), NOW, b"body");
            for asked in all {
                let found = verify_for(asked, &[secret("a")], Some(&timestamp), Some(&signature), b"body", NOW);
                assert_eq!(found.is_ok(), signed_for == asked, "{signed_for:?} as {asked:?}");
            }
        }
    }

    #[test]
    fn the_signature_is_hmac_sha256_as_others_compute_it() {
        // printf 'rivulet-append-v1\n1577836800\nbody' | openssl dgst -sha256 -hmac aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        let signed = sign(&secret("a"), NOW, b"body");
        assert_eq!(signed.signature, "v1=d94a48e1d2ad4fa375da2967bddf7f84c4c6596b461db7c09fb1c922e424c3be");
    }

    #[test]
    fn a_body_is_taken_whole_or_not_at_all() {
        let record = br#"{"v":1,"project":"p","received_at":"2020-01-01T00:00:00.000Z","events":[]}"#;
        let body = [&record[..], b"\n", record, b"\n"].concat();
        assert_eq!(records(&body).unwrap(), vec![record.to_vec(), record.to_vec()]);
        assert_eq!(records(b"").unwrap().len(), 0);
        assert_eq!(records(&[&body[..], b"{}\n"].concat()).unwrap_err().code, ErrorCode::InvalidBatch);
    }

    #[test]
    fn a_secret_is_long_and_hidden() {
        assert!("short".parse::<Secret>().is_err());
        assert_eq!(format!("{:?}", secret("s")), "Secret(…)");
    }
}
