//! Names inside events: collections and properties, and the rules they keep.
//!
//! The rules come from Keen's SDKs (see `docs/reference/http-api.md`); what an event as a whole must keep is decided
//! by the collector.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// The stream an event goes to, as in Keen's API.
///
/// 1 to 255 ASCII characters without control characters and `$`, not starting with `_`. Spaces are allowed (`signed up`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionName(Box<str>);

/// A property, named by its path through nested objects: `purchase.amount`.
///
/// Names joined by dots; each 1 to 255 characters, not starting with `$`. A name can't hold a dot, so a path has one
/// reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyPath(Box<str>);

/// Why a name is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The collection's name breaks a rule.
    #[error(
        "a collection name is 1 to {} ASCII characters without '$', not starting with '_'",
        limits::COLLECTION_CHARS_MAX
    )]
    Collection,
    /// The property's name breaks a rule.
    #[error(
        "a property name is 1 to {} characters without '.' or NUL, not starting with '$'",
        limits::PROPERTY_NAME_CHARS_MAX
    )]
    Property,
}

impl CollectionName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CollectionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'$';
        if text.is_empty()
            || text.len() > limits::COLLECTION_CHARS_MAX
            || text.starts_with('_')
            || !text.bytes().all(allowed)
        {
            return Err(NameError::Collection);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PropertyPath {
    /// The dotted path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Joins names that were already checked with [`check_property_name`]; for the code that walks an event.
    #[must_use]
    pub fn from_checked(path: &str) -> Self {
        Self(path.into())
    }
}

/// Says whether one property name keeps the rules.
///
/// # Errors
/// [`NameError::Property`] when it doesn't.
pub fn check_property_name(name: &str) -> Result<(), NameError> {
    let long = name.len() > limits::PROPERTY_NAME_CHARS_MAX && name.chars().count() > limits::PROPERTY_NAME_CHARS_MAX;
    if name.is_empty() || long || name.starts_with('$') || name.bytes().any(|byte| byte == b'.' || byte == 0) {
        return Err(NameError::Property);
    }
    Ok(())
}

impl FromStr for PropertyPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        for name in text.split('.') {
            check_property_name(name)?;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PropertyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::id::serde_by_text!(CollectionName);
crate::id::serde_by_text!(PropertyPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collection_names_keep_keens_rules() {
        for (text, parses) in [
            ("purchases", true),
            ("User posts.new", true),
            ("infinite possibilities", true),
            ("a/b", true),
            ("", false),
            ("_hidden", false),
            ("a$b", false),
            ("caf\u{e9}", false),
            ("a\nb", false),
            (&"a".repeat(255), true),
            (&"a".repeat(256), false),
        ] {
            assert_eq!(text.parse::<CollectionName>().is_ok(), parses, "{text:?}");
        }
    }

    #[test]
    fn property_paths_keep_keens_rules() {
        for (text, parses) in [
            ("price", true),
            ("item.price", true),
            ("größe", true),
            ("a$b", true),
            ("__proto__", true), // a plain name
            ("", false),
            ("a..b", false),
            ("a.", false),
            ("$a", false),
            ("a.$b", false),
            ("a\0", false),
            (&"ü".repeat(255), true),
            (&"ü".repeat(256), false),
        ] {
            assert_eq!(text.parse::<PropertyPath>().is_ok(), parses, "{text:?}");
        }
    }
}
