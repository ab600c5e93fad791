//! Any text as a time, key, id or name: what parses prints back to something that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{CollectionName, EventId, Key, ProjectId, PropertyPath, Timestamp};

fuzz_target!(|text: &str| {
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.reveal(), text);
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = text.parse::<ProjectId>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(name) = text.parse::<CollectionName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(path) = text.parse::<PropertyPath>() {
        assert_eq!(path.as_str(), text);
    }
});
