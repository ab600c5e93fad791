//! Names of things that are made once and never change: projects, events, places in the log.
//!
//! Each has one spelling. A text that is not in that spelling is refused, never normalised, so equal bytes mean
//! equal ids everywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// Names one project.
///
/// Wire form: 1 to 64 letters, digits, `-` or `_`. Ids that Rivulet makes are 24 hex digits, as Keen's were.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectId(Box<str>);

impl ProjectId {
    /// Makes a new id from 12 random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 12]) -> Self {
        let mut text = String::with_capacity(24);
        push_hex(&mut text, &random);
        Self(text.into_boxed_str())
    }

    /// The wire form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// First byte of ids made of uniqueness tokens. Ids that carry a time begin so only after the year 10,000.
pub const TOKEN_MARK: u8 = 0xff;
/// First byte of ids made of foreign ids.
pub const FOREIGN_MARK: u8 = 0xfe;

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A project id has other characters or another length.
    #[error("a project id is 1 to {} letters, digits, '-' or '_'", limits::PROJECT_ID_CHARS_MAX)]
    Project,
    /// An event id has other characters or another length.
    #[error("an event id is 32 lower-case hex digits")]
    Event,
}

impl FromStr for ProjectId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > limits::PROJECT_ID_CHARS_MAX || !text.bytes().all(allowed) {
            return Err(IdError::Project);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one event within its project; what "counted once" is decided by.
///
/// Wire form: 32 lower-case hex digits (16 bytes). The SDK makes it when the event is captured; the collector makes
/// it when the sender gave none. The first 6 bytes are the milliseconds since 1970, big-endian, so that ids made
/// close in time are close in order; the other 10 are random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId([u8; 16]);

impl EventId {
    /// Makes an id for an event at `at` from 10 random bytes.
    #[must_use]
    pub fn from_parts(at: crate::Timestamp, random: [u8; 10]) -> Self {
        let [_, _, a, b, c, d, e, f] = at.millis().to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        Self([a, b, c, d, e, f, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9])
    }

    /// The id of the `index`-th event of a request whose first event has this id.
    ///
    /// Adds `index` to the last 8 bytes (wrapping), so that one draw of random bytes serves a whole request.
    #[must_use]
    pub fn nth(self, index: u64) -> Self {
        let value = u128::from_be_bytes(self.0);
        let low_mask = u128::from(u64::MAX);
        let low = value.wrapping_add(u128::from(index)) & low_mask;
        Self(((value & !low_mask) | low).to_be_bytes())
    }

    /// Derives the id of the event that carries a Keen `uniqueness_token` in a collection: the first 16 bytes of
    /// SHA-256 over collection, NUL and token, the first of them [`TOKEN_MARK`]. Equal tokens give equal ids, so the usual
    /// dedupe does the rest, for [`limits::TOKEN_WINDOW_DAYS`].
    #[must_use]
    pub fn from_token(collection: &crate::CollectionName, token: &str) -> Self {
        Self::hashed(TOKEN_MARK, collection.as_str(), token)
    }

    /// Derives the id of an event that brings a foreign one (`messageId` of Segment's libraries) from the door it came
    /// through and that id. Equal ids give equal ids.
    #[must_use]
    pub fn from_foreign(door: &str, id: &str) -> Self {
        Self::hashed(FOREIGN_MARK, door, id)
    }

    /// Whether it was made by [`EventId::from_token`], and so is remembered longer.
    #[must_use]
    pub const fn is_token(&self) -> bool {
        let [first, ..] = self.0;
        first == TOKEN_MARK
    }

    fn hashed(mark: u8, space: &str, text: &str) -> Self {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(space.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        let mut bytes = [0_u8; 16];
        for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        let [first, ..] = &mut bytes;
        *first = mark;
        Self(bytes)
    }

    /// From its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 32 {
            return Err(IdError::Event);
        }
        let mut bytes = [0_u8; 16];
        let mut digits = text.bytes();
        for byte in &mut bytes {
            let (Some(high), Some(low)) = (digits.next().and_then(hex_value), digits.next().and_then(hex_value)) else {
                return Err(IdError::Event);
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(32);
        push_hex(&mut text, &self.0);
        f.write_str(&text)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

/// A place in the log: the number of records before it. The first record has offset 0, the next 1, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The place after this record.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Serde through the wire form, for types whose only way in is `FromStr`.
macro_rules! serde_by_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_by_text;

serde_by_text!(ProjectId);
serde_by_text!(EventId);

/// Appends `bytes` as lower-case hex digits.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
}

/// The value of one lower-case hex digit.
fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn an_event_id_has_one_spelling() {
        for (text, parses) in [
            ("0123456789abcdef0123456789abcdef", true),
            ("0123456789ABCDEF0123456789abcdef", false), // upper case
            ("0123456789abcdef0123456789abcde", false),  // short
            ("0123456789abcdef0123456789abcdef0", false),
            ("0123456789abcdef0123456789abcdeg", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<EventId>().is_ok(), parses, "{text:?}");
            if parses {
                assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn a_project_id_allows_letters_digits_dash_and_underscore() {
        for (text, parses) in [
            ("5f0c", true),
            ("my-project_1", true),
            ("", false),
            ("a/b", false),
            ("a b", false),
            ("ä", false),
            (&"a".repeat(64), true),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(text.parse::<ProjectId>().is_ok(), parses, "{text:?}");
        }
    }

    #[test]
    fn ids_of_one_request_differ_and_keep_their_time() {
        let first = EventId::from_parts(Timestamp::from_millis(0x0123_4567_89ab), [0xff; 10]);
        assert_eq!(first.to_string(), "0123456789abffffffffffffffffffff");
        assert_eq!(first.nth(0), first);
        assert_eq!(first.nth(1).to_string(), "0123456789abffff0000000000000000");
        assert_ne!(first.nth(1), first.nth(2));
    }

    #[test]
    fn equal_tokens_in_one_collection_give_equal_ids() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(EventId::from_token(&a, "t"), EventId::from_token(&a, "t"));
        assert_ne!(EventId::from_token(&a, "t"), EventId::from_token(&a, "u"));
        assert_ne!(EventId::from_token(&a, "t"), EventId::from_token(&b, "t"));
        assert_ne!(EventId::from_token(&a, "t"), EventId::from_foreign("a", "t"));
        assert!(EventId::from_token(&a, "t").is_token() && !EventId::from_foreign("a", "t").is_token());
    }
}
