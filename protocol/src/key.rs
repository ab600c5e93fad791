//! Keys: who may do what in a project.
//!
//! A key carries its kind and a checksum in its text, so a malformed one is turned away without a look-up and a
//! leaked one can be found by a scanner. What a key may do is not here but in [`crate::KeyRecord`]; what is kept of
//! a key to find that record is its [`KeyHash`].

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Base62 digits in order of value.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of the kind.
const PREFIX_CHARS: usize = 3;
/// Characters of the random part: 62^28 is 166 bits.
const RANDOM_CHARS: usize = 28;
/// Characters of the checksum: 62^6 is more than 2^32.
const CHECKSUM_CHARS: usize = 6;
/// Length of a key's text.
pub const KEY_CHARS: usize = PREFIX_CHARS + RANDOM_CHARS + CHECKSUM_CHARS;

/// What a key was made for. What it may do in detail is said by its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Everything in its project.
    Master,
    /// Asks, and nothing else.
    Read,
    /// Appends events, and nothing else; may stand in a public page.
    Write,
    /// An access key: its own permits and forced filters.
    Access,
    /// Makes projects of one organization, and opens none.
    Organization,
}

impl KeyKind {
    /// The three characters every key of this kind begins with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Master => "rvm",
            Self::Read => "rvr",
            Self::Write => "rvw",
            Self::Access => "rva",
            Self::Organization => "rvo",
        }
    }
}

/// One key, well formed.
///
/// Wire form: kind (`rvm`, `rvr`, `rvw`, `rva`, `rvo`), 28 base62 digits (166 random bits), 6 base62 digits of CRC-32 over
/// all before it; 37 characters, letters and digits only because one of Keen's clients allows nothing else. There is
/// no `Display`, and `Debug` hides the digits, so a key can't reach a log by accident: [`Key::reveal`] says what it
/// does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; KEY_CHARS]);

/// The text is not a key of ours: wrong length, kind, characters or checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key: keys are {KEY_CHARS} letters and digits with a checksum")]
pub struct KeyError;

impl Key {
    /// Makes a key from 28 random bytes.
    ///
    /// A byte modulo 62 favours 8 of the digits by a quarter; the random part still holds more than 165 bits.
    #[must_use]
    pub fn from_random(kind: KeyKind, random: [u8; RANDOM_CHARS]) -> Self {
        let mut text = [0_u8; KEY_CHARS];
        let body = kind.prefix().bytes().chain(random.iter().map(|byte| digit(u64::from(*byte))));
        for (to, from) in text.iter_mut().zip(body) {
            *to = from;
        }
        let (body, sum) = text.split_at_mut(KEY_CHARS - CHECKSUM_CHARS);
        sum.copy_from_slice(&checksum(body));
        Self(text)
    }

    /// The kind, from the first three characters.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match &self.0 {
            [b'r', b'v', b'm', ..] => KeyKind::Master,
            [b'r', b'v', b'r', ..] => KeyKind::Read,
            [b'r', b'v', b'w', ..] => KeyKind::Write,
            [b'r', b'v', b'o', ..] => KeyKind::Organization,
            _ => KeyKind::Access,
        }
    }

    /// The key itself, for the one answer that hands it to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What the key is found by.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0).into())
    }

    /// The last four characters, which may be shown so that an owner knows which key is meant.
    #[must_use]
    pub fn last4(&self) -> &str {
        self.reveal().get(KEY_CHARS - 4..).unwrap_or_default()
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes: [u8; KEY_CHARS] = text.as_bytes().try_into().map_err(|_| KeyError)?;
        let (body, sum) = bytes.split_at(KEY_CHARS - CHECKSUM_CHARS);
        let known = matches!(body, [b'r', b'v', b'm' | b'r' | b'w' | b'a' | b'o', ..]);
        if !known || !body.iter().all(u8::is_ascii_alphanumeric) || sum != checksum(body) {
            return Err(KeyError);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}…)", self.kind().prefix())
    }
}

/// SHA-256 of a key's text: what stores and caches know a key by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of any text that was presented as a key, ours or not.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Its 64 lower-case hex digits: the name of the record in SQLite and in Workers KV.
    #[must_use]
    pub fn to_hex(&self) -> String {
        let mut text = String::with_capacity(64);
        crate::id::push_hex(&mut text, &self.0);
        text
    }
}

impl FromStr for KeyHash {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return Err(KeyError);
        }
        let mut digits = text.bytes().map(digit);
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let pair = (digits.next().flatten(), digits.next().flatten());
            let (Some(high), Some(low)) = pair else { return Err(KeyError) };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.to_hex();
        write!(f, "KeyHash({}…)", hex.get(..8).unwrap_or_default())
    }
}

/// CRC-32 of `body` as six base62 digits, most significant first.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let mut rest = u64::from(crc32(body));
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= 62;
    }
    digits
}

/// Bit by bit, because a key is short and the tables of a faster one are a tenth of the worker at the edge.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// The base62 digit of `value` modulo 62.
fn digit(value: u64) -> u8 {
    usize::try_from(value % 62).ok().and_then(|index| DIGITS.get(index)).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_whole_key_with_its_checksum_parses() {
        let key = Key::from_random(KeyKind::Write, [7; 28]);
        let text = key.reveal().to_owned();
        assert_eq!(text.len(), 37);
        let (body, sum) = text.split_at(31);
        for (text, parses) in [
            (text.clone(), true),
            (text.replacen("rvw", "rvr", 1), false), // the checksum covers the kind
            (format!("{sum}{body}"), false),
            (format!("{body}AAAAAA"), false),
            (text.to_lowercase(), text.to_lowercase() == text),
            (format!("{text}0"), false),
            (String::new(), false),
            ("ü".repeat(18) + "a", false),
        ] {
            assert_eq!(text.parse::<Key>().is_ok(), parses, "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_digit_of_a_key() {
        let key = Key::from_random(KeyKind::Master, [9; 28]);
        assert_eq!(format!("{key:?}"), "Key(rvm…)");
    }

    proptest! {
        #[test]
        fn every_key_parses_back(random in any::<[u8; 28]>(), kind in 0_usize..5) {
            let kinds = [KeyKind::Master, KeyKind::Read, KeyKind::Write, KeyKind::Access, KeyKind::Organization];
            let kind = kinds[kind];
            let key = Key::from_random(kind, random);
            prop_assert_eq!(key.kind(), kind);
            prop_assert_eq!(key.reveal().parse::<Key>(), Ok(key));
            prop_assert_eq!(key.hash(), KeyHash::of(key.reveal()));
            prop_assert_eq!(key.hash().to_hex().parse::<KeyHash>(), Ok(key.hash()));
            prop_assert!(key.hash().to_hex().to_uppercase().parse::<KeyHash>().is_err() || !key.hash().to_hex().contains(|c: char| c.is_ascii_lowercase()));
        }

        #[test]
        fn one_wrong_character_is_noticed(random in any::<[u8; 28]>(), place in 3_usize..37, other in 0_usize..62) {
            let key = Key::from_random(KeyKind::Write, random);
            let mut bytes = key.reveal().as_bytes().to_vec();
            prop_assume!(bytes[place] != DIGITS[other]);
            bytes[place] = DIGITS[other];
            prop_assert!(String::from_utf8(bytes).unwrap().parse::<Key>().is_err());
        }
    }
}
