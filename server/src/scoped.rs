//! Opens Keen's legacy scoped keys: options that a project's owner has encrypted himself.
//!
//! A scoped key is hex: 16 bytes of IV, then AES-256-CBC of JSON options. Nothing in it shows that it was not changed on its
//! way, which is how Keen made them, so whatever it says that is not understood in every member makes it no key at all.
//! Dropping leading blocks even leaves a text that decrypts, so a project opens to them only when its owner turns them on.
//! Access keys are better; this is for pages that have scoped keys already. Pure: no clock, no database.
//!
//! Keen's clients encrypt with a secret of 64 hex digits, or with a shorter text that they pad to 32 bytes. Our master keys
//! have 37 characters and fit neither, so [`secret_of`] derives 64 digits from one, and what was a project's master key at
//! Keen can be imported.

use aes::cipher::consts::U16;
use aes::cipher::{Array, BlockModeDecrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use protocol::access::{KeyOptions, QueryOptions, SavedQueryOptions};
use protocol::limits::QueryLimits;
use protocol::query::Filter;
use protocol::{KeyKind, KeyRecord, Permit, ProjectId};
use serde::Deserialize;
use sha2::Sha256;

use crate::sealing::{Sealing, hex, unhex};

/// What the secret of scoped keys is derived from a master key with.
const PURPOSE: &[u8] = b"rivulet-scoped-keys-v1";
/// Bytes of a block of AES, and of the IV.
const BLOCK_BYTES: usize = 16;
/// Bytes of the key of AES-256, and to which the old form pads.
const OLD_BLOCK_BYTES: usize = 32;
/// Characters of a secret that is its key in hex.
const HEX_SECRET_CHARS: usize = 64;

/// A secret of scoped keys as the metadata keep it.
#[derive(Debug)]
pub struct SealedSecret {
    place: String,
    sealed: Vec<u8>,
    is_master: bool,
}

impl SealedSecret {
    /// That of a master key, if the record is one that works and its key was kept.
    #[must_use]
    pub fn of_master(hash: &str, record: &KeyRecord, sealed: Option<Vec<u8>>) -> Option<Self> {
        let is_master = record.kind == KeyKind::Master && record.is_active;
        let sealed = sealed.filter(|_| is_master)?;
        Some(Self { place: hash.to_owned(), sealed, is_master })
    }

    /// One that was imported.
    #[must_use]
    pub fn imported(project: &ProjectId, sealed: Vec<u8>) -> Self {
        Self { place: place(project), sealed, is_master: false }
    }

    /// Whether it is derived from a master key of ours, and counts only where the project has turned scoped keys on.
    #[must_use]
    pub const fn is_derived(&self) -> bool {
        self.is_master
    }

    /// The secret itself.
    #[must_use]
    pub fn open(&self, sealing: &Sealing) -> Option<String> {
        let text = String::from_utf8(sealing.unseal(&self.place, &self.sealed)?).ok()?;
        Some(if self.is_master { secret_of(&text) } else { text })
    }
}

/// Where an imported secret is sealed for.
#[must_use]
pub fn place(project: &ProjectId) -> String {
    format!("scope secret {project}")
}

/// The secret with which the holder of a master key makes scoped keys: 64 hex digits.
#[must_use]
pub fn secret_of(master: &str) -> String {
    // HMAC takes keys of any length, so this is never empty.
    Hmac::<Sha256>::new_from_slice(master.as_bytes()).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(PURPOSE);
            hex(&mac.finalize().into_bytes())
        },
    )
}

/// What a scoped key may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    allowed_operations: Vec<Operation>,
    #[serde(default, deserialize_with = "listed")]
    filters: Option<Vec<serde_json::Value>>,
}

/// A list that is there; null is none.
fn listed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<serde_json::Value>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Read,
    Write,
}

/// What the scoped key `text` may do in `project`; none when `secret` doesn't open it or it says what is not understood.
///
/// One without `allowed_operations` may do nothing. One with filters may ask queries and saved ones, which are filtered, but
/// sees neither the schema nor datasets, which can't be. One made with a derived secret sees those only if it says that it
/// has no filters: a key whose first blocks were dropped must not see more than the whole one.
#[must_use]
pub fn record(project: &ProjectId, secret: &str, is_derived: bool, text: &str) -> Option<KeyRecord> {
    let plain = decrypt(secret, &unhex(text)?)?;
    // Keen's clients write no blanks before it.
    if is_derived && plain.first() != Some(&b'{') {
        return None;
    }
    let options: Options = serde_json::from_slice(&plain).ok()?;
    let says_filters = options.filters.is_some();
    let filters = options.filters.unwrap_or_default().into_iter().map(filter).collect::<Option<Vec<Filter>>>()?;
    query::check_filters(&filters, &QueryLimits::default()).ok()?;
    let mut permitted = Vec::new();
    if options.allowed_operations.contains(&Operation::Write) {
        permitted.push(Permit::Writes);
    }
    if options.allowed_operations.contains(&Operation::Read) {
        permitted.extend([Permit::Queries, Permit::SavedQueries, Permit::CachedQueries]);
        if filters.is_empty() && (says_filters || !is_derived) {
            permitted.extend([Permit::Datasets, Permit::Schema]);
        }
    }
    let mut options = KeyOptions::default();
    if !filters.is_empty() {
        let saved = SavedQueryOptions { filters: Some(filters.clone()), ..SavedQueryOptions::default() };
        options.saved_queries = Some(saved.clone());
        options.cached_queries = Some(saved);
        options.queries = Some(QueryOptions { filters });
    }
    Some(KeyRecord { project: project.clone(), kind: KeyKind::Access, is_active: true, permitted, options })
}

/// Reads a filter; none when it has members that would be passed over: a forced filter must not mean less than it says.
#[must_use]
pub fn filter(said: serde_json::Value) -> Option<Filter> {
    let filter = Filter::deserialize(&said).ok()?;
    (serde_json::to_value(&filter).ok()? == said).then_some(filter)
}

fn decrypt(secret: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let (key, block_bytes): ([u8; OLD_BLOCK_BYTES], usize) = if secret.len() == HEX_SECRET_CHARS {
        (unhex(secret)?.try_into().ok()?, BLOCK_BYTES)
    } else {
        (padded(secret)?, OLD_BLOCK_BYTES)
    };
    let (iv, text) = bytes.split_first_chunk::<BLOCK_BYTES>()?;
    let (blocks, rest) = Array::<u8, U16>::slice_as_chunks(text);
    if blocks.is_empty() || !rest.is_empty() {
        return None;
    }
    let mut blocks = blocks.to_vec();
    cbc::Decryptor::<aes::Aes256>::new(&key.into(), &(*iv).into()).decrypt_blocks(&mut blocks);
    let mut plain: Vec<u8> = blocks.into_iter().flatten().collect();
    // Keen's clients add no padding to what fills its blocks already, so what is no padding is text.
    if let Some(padding) = plain.last().copied().map(usize::from)
        && (1..=block_bytes).contains(&padding)
        && let Some(text_bytes) = plain.len().checked_sub(padding)
        && plain.iter().skip(text_bytes).all(|byte| usize::from(*byte) == padding)
    {
        plain.truncate(text_bytes);
    }
    Some(plain)
}

/// A short secret as the old form makes a key of it.
fn padded(secret: &str) -> Option<[u8; OLD_BLOCK_BYTES]> {
    let missing = OLD_BLOCK_BYTES.checked_sub(secret.len()).filter(|missing| *missing < OLD_BLOCK_BYTES)?;
    let padding = std::iter::repeat_n(u8::try_from(missing).ok()?, missing);
    secret.bytes().chain(padding).collect::<Vec<u8>>().try_into().ok()
}

/// Whether a text can be a secret of scoped keys: 64 hex digits, or 1 to 32 characters.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    if text.len() == HEX_SECRET_CHARS { unhex(text).is_some() } else { padded(text).is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9";
    const OLD: &str = "abcdefghijklmnopqrstuvwxyz012345";

    // All made with `keen.scoped_keys.encrypt` of PyPI keen 0.7.0. The options stand beside each.
    const READ: &str = "d99aa54b60e8ca92c8c34a6767cf53fad746cbd86097d82cd863646550664f529cfce6218f57688b09a6ab539e81f74e5be73f32dbcbb23d4b6c53f70d821270a80c85ad407221d0d62c687a78a9607369616dbc44e6a56e16caf0ee4d0427f53b703c81006e8513b8be3dd769e1e8ba106b60335270d8389ad3f095895a6de54e16077a2d2c3425f046138458653717";
    const WRITE: &str = "834072ae4c584d40610111a5defced48833b31bb6c9ea2f5845da812d01883505d0dfa1f3a5af7377db258f50e33e30dc9ca34ccc9148ed2c71ad58068601546";
    const BOTH: &str = "2276e56e370e15da655ba2945f42d650101facaf62cc865c46f7be9708dc5822c270b08a40fe78608f9f3bbed6e13dd60f649d8ae036783fdf6df80a9c56d96ee7bbddcd51a712439dc9f12955a0b272";
    const UNKNOWN_MEMBER: &str = "0b5ad457d3a3d68c37bb3e4e8012ab1cb061b5efe73b6bb2609ed36c5976bfa0d69acca07411ff6633d06f71e8c2d2d8a81ebfdad6a4db0bec5d745d685effdc";
    const EMPTY: &str = "cd67b3d941d7cb75f1eae2d4a6191beb382a55797e52b97fda08342674fa4cd6";
    const LIST: &str = "0287f739198698adb7de2f3bb7a878c055eb1f0d4d7338d080648f0670f8f5d3";
    const UNPADDED: &str = "db2c08731a078bc00a82096024cc866043f5f5ca5a54e8f2b206328c672bccb67ba4bfad33ab52d02b07348f241d02e28362d34a630e703209a39d0592fddd828a04d009fe16f61b11d66993af4540754c47bb748007ddc1d9262bf3535457e782c4203a6abff63c284a60020b1188e583b783166ef76b87b1a60ddb5cc990c6";
    const OLD_READ: &str = "dd061af2873719d8ece7e76b7f62eb3dbca5415855ee74590555cecedb37eb88907a236707f914d0b385923ab2efa54472b961d2a004d264c8e13d990fbae22cc5dc6813e3eb3131cdec39fbc286355266a0ddf2b4df17a7b4f376984f358c431c43085dadc2fa9d27a70062b03d5ba050b526bddbfb3903c0334f454f9abdcc8ed79ffd230b810be0f9c0c6884c76d8";
    const SHORT_WRITE: &str = "3592559dcf603f47c029542c4f2baf5bce19286949635cba8f9d5116c1e1a117e08e9bc104f438c08ae1ddc0900ab2915da664732ba863d7fd46849c85451a1092bbe1b6c13d240ffc178ea657bd6ffb";
    const OLD_UNPADDED: &str = "fa2aae02bd4d14d5a11cbb7017b37be665cc016bbd463670036ac335922d80e33d6b10973665fc9dc5e1460823217ad4762ff4ad2792e6b3b76c6b0ccf42315cf525f724814b4d49b5ea747c6cbe5fc67a9b0d4986b8be9112ba61fd37f18613ac211ec82b44e51addc00498e7201ee4876c435a0a148169ad90186200063549cb41f6930d87774cb5157379db0d7dfd";

    fn open(secret: &str, text: &str) -> Option<KeyRecord> {
        record(&"p".parse().unwrap(), secret, false, text)
    }

    #[test]
    fn what_keens_client_encrypts_says_what_it_may_do() {
        for (secret, text, writes, queries, filters, schema) in [
            (SECRET, READ, false, true, 1, false), // {"filters": [customer.id eq 42], "allowed_operations": ["read"]}
            (SECRET, WRITE, true, false, 0, false), // {"allowed_operations": ["write"]}
            (SECRET, BOTH, true, true, 0, true),   // {"allowed_operations": ["read", "write"], "filters": []}
            (SECRET, EMPTY, false, false, 0, false), // {}
            (SECRET, UNPADDED, false, true, 1, false), // 112 bytes, a filter on "xxx"
            (OLD, OLD_READ, false, true, 1, false),
            (OLD, OLD_UNPADDED, false, true, 1, false), // 128 bytes
            ("abcdefghij", SHORT_WRITE, true, false, 0, false),
        ] {
            let record = open(secret, text).unwrap_or_else(|| panic!("not opened: {text}"));
            assert_eq!(record.may(Permit::Writes), writes, "{text}");
            assert_eq!(record.may(Permit::Queries), queries, "{text}");
            assert_eq!(record.may(Permit::Schema), schema, "{text}");
            assert_eq!(record.query_filters().len(), filters, "{text}");
            assert_eq!(open(secret, &text.to_uppercase()), Some(record), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_whole_is_no_key() {
        for (secret, text) in [
            (SECRET, UNKNOWN_MEMBER), // {"allowed_operations": ["read"], "x": 1}
            (SECRET, LIST),
            (OLD, READ),
            (SECRET, OLD_READ),
            ("", WRITE),
            (&"a".repeat(33), WRITE),
            (SECRET, &WRITE[2..]),
            (SECRET, &WRITE[..32]),
            (SECRET, "zz"),
            (SECRET, ""),
        ] {
            assert_eq!(open(secret, text), None, "{text}");
        }
        // Any one bit of the IV changes the first block, which begins with a member's name.
        for place in 0..32 {
            let mut changed = WRITE.as_bytes().to_vec();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            assert_eq!(open(SECRET, &String::from_utf8(changed).unwrap()), None, "digit {place}");
        }
    }

    // Made with openssl. Without filters, with a blank before, and with null for filters.
    const READ_ONLY: &str = "101112131415161718191a1b1c1d1e1fcbd3c130a1073e1f5e875e951db8b1511030cb86dce8f327de6c13e3029f2796088d8eb3b283818a8bd0fefd81875deb";
    const BLANK: &str = "101112131415161718191a1b1c1d1e1f0fab7a8637abb2e95c0d4064825af2c5e49ba0ea4434e54dd742e9f53dc2560f3c1792d017a17904bcf203a26e7f72f4b226490619d75cf0678b3273e5d2fecc";
    const NULL: &str = "101112131415161718191a1b1c1d1e1fcbd3c130a1073e1f5e875e951db8b151d29eae899899ab11cf47d63ded10daa5e9d62af376da1a7f92dcfba75e80d1151d78a225bf82b58a844795a1ae88161d";

    #[test]
    fn with_a_derived_secret_a_text_that_may_have_lost_its_begin_opens_less() {
        let project: ProjectId = "p".parse().unwrap();
        for (text, is_derived, schema) in [
            (READ_ONLY, false, Some(true)),
            (READ_ONLY, true, Some(false)),
            (BOTH, true, Some(true)),
            (READ, true, Some(false)),
            (BLANK, false, Some(true)),
            (BLANK, true, None),
            (NULL, false, None),
            (NULL, true, None),
        ] {
            let record = record(&project, SECRET, is_derived, text);
            assert_eq!(record.as_ref().map(|record| record.may(Permit::Schema)), schema, "{is_derived}: {text}");
            assert_eq!(record.as_ref().map(|record| record.may(Permit::Datasets)), schema, "{is_derived}: {text}");
            assert!(record.is_none_or(|record| record.may(Permit::Queries)), "{is_derived}: {text}");
        }
    }

    #[test]
    fn a_master_key_gives_a_secret_that_fits_keens_clients() {
        let secret = secret_of("rvm0");
        // printf 'rivulet-scoped-keys-v1' | openssl dgst -sha256 -hmac rvm0
        assert_eq!(secret.len(), HEX_SECRET_CHARS);
        assert!(is_secret(&secret) && is_secret(OLD) && !is_secret("") && !is_secret(&"a".repeat(37)));
        assert_ne!(secret, secret_of("rvm1"));
    }
}
