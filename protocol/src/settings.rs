//! What a project's owner may set about how its events are collected.
//!
//! Kept as JSON: by the server in its metadata, at the edge as the value of `project:<id>` in KV. Every default is the
//! private one. A reader passes over members it doesn't know, so that an older edge goes on with a newer server's settings;
//! who writes settings checks them with [`ProjectSettings::parse`], which refuses them.

use serde::{Deserialize, Serialize};

/// The settings of one project.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSettings {
    /// What is kept of a visitor.
    pub privacy: Privacy,
    /// Hosts that a GET write may redirect to; empty: every http and https address.
    pub redirect_hosts: Vec<String>,
    /// What its keys and callers may send; a member that is unset is the server's.
    pub rates: ProjectRates,
    /// Whether Keen's legacy scoped keys made with its master key open it. Nothing in one shows that it was not changed.
    pub legacy_scoped_keys: bool,
}

/// What is kept of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Privacy {
    /// What becomes of the caller's address where an event asks for it (`${keen.ip}`).
    pub address: AddressPolicy,
    /// What becomes of the caller's agent where an event asks for it (`${keen.user_agent}`).
    pub user_agent: UserAgentPolicy,
    /// Whether `Sec-GPC: 1` makes a request anonymous: nothing of its address or agent is used, whatever stands here.
    pub honour_gpc: bool,
    /// Whether e-mail addresses, card, account and phone numbers and tokens in string values are replaced.
    pub scrub: bool,
    /// Whether events from pages get `keen.visitor`.
    pub visitor: VisitorPolicy,
    /// How much of the caller's place is kept as `keen.location`.
    pub location: LocationPolicy,
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            address: AddressPolicy::Drop,
            user_agent: UserAgentPolicy::Reduced,
            honour_gpc: true,
            scrub: true,
            visitor: VisitorPolicy::Daily,
            location: LocationPolicy::None,
        }
    }
}

/// What becomes of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressPolicy {
    /// It is used to find the place, if the event asks for that, and then replaced by null.
    Drop,
    /// Its network is kept: /24 of IPv4, /48 of IPv6, the rest zero.
    Truncate,
    /// It is kept.
    Keep,
}

/// What becomes of a user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserAgentPolicy {
    /// Minor versions and device models are left out, as browsers themselves do it more and more.
    Reduced,
    /// It is kept.
    Full,
}

/// Whether visitors are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitorPolicy {
    /// They are not.
    None,
    /// Within a day, by a hash whose salt is destroyed within 48 hours; no cookie.
    Daily,
}

/// How much of a place is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationPolicy {
    /// Nothing, unless an event asks for `keen:ip_to_geo`.
    None,
    /// Continent and country.
    Country,
    /// All that is known.
    City,
}

/// Rates of one project, over those of the server. Units a second; bursts are what may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectRates {
    /// Events a second of one key.
    pub key_events_per_s: Option<u32>,
    /// Bytes of bodies a second of one key.
    pub key_bytes_per_s: Option<u32>,
    /// Events a second of one address.
    pub address_events_per_s: Option<u32>,
    /// The project's part of the machine under overload, against others' (100 when unset).
    pub weight: Option<u32>,
}

impl ProjectSettings {
    /// Reads settings that somebody wrote, and refuses members and values that nobody reads.
    ///
    /// # Errors
    /// With the path of the member, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A list would be read as settings too, its elements in order.
        if !text.trim_ascii_start().starts_with('{') {
            return Err("settings are a JSON object".to_owned());
        }
        let settings: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let (asked, read) = (serde_json::from_str(text), serde_json::to_value(&settings));
        if let (Ok(asked), Ok(read)) = (asked, read)
            && let Some(path) = stray(&asked, &read)
        {
            return Err(format!("there is no setting {path:?}"));
        }
        Ok(settings)
    }
}

/// The path of the first member of `asked` that `read` lacks.
fn stray(asked: &serde_json::Value, read: &serde_json::Value) -> Option<String> {
    let (Some(asked), Some(read)) = (asked.as_object(), read.as_object()) else { return None };
    asked.iter().find_map(|(name, value)| match read.get(name) {
        None => Some(name.clone()),
        Some(known) => stray(value, known).map(|path| format!("{name}.{path}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_whole_or_refused_with_the_place() {
        for (text, refused) in [
            ("{}", None),
            (r#"{"privacy":{"address":"keep","scrub":false}}"#, None),
            (r#"{"rates":{"weight":300},"redirect_hosts":["a.example"]}"#, None),
            (r#"{"privacy":{"adress":"keep"}}"#, Some("privacy.adress")),
            (r#"{"privacy":{"address":"some"}}"#, Some("some")),
            (r#"{"colour":1}"#, Some("colour")),
            ("[]", Some("")),
        ] {
            let error = ProjectSettings::parse(text).err();
            assert_eq!(error.is_some(), refused.is_some(), "{text}: {error:?}");
            assert!(refused.is_none_or(|part| error.is_some_and(|error| error.contains(part))), "{text}");
        }
    }

    #[test]
    fn settings_of_a_newer_server_are_passed_over_and_the_defaults_are_private() {
        let settings: ProjectSettings = serde_json::from_str(r#"{"newer":1,"privacy":{"newer":2}}"#).unwrap();
        assert_eq!(settings, ProjectSettings::default());
        assert!(settings.privacy.scrub && settings.privacy.honour_gpc);
        assert_eq!(settings.privacy.address, AddressPolicy::Drop);
        assert!(!settings.legacy_scoped_keys);
    }
}
