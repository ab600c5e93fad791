//! Walks the JSON of one event, holds it to the rules for JSON (depth, names, strings, numbers) and notes which string
//! values are to be replaced.
//!
//! The text is known to be well-formed JSON (it was split off by a parser), so this is one pass over its bytes that
//! copies nothing; strings with escapes and unusual numbers are handed to serde_json, so that what passes here is what
//! the processor can read. What is replaced is noted as ranges of bytes, so that everything else stays the bytes that
//! came. It must not know what the properties mean, nor what stands behind a placeholder.
//!
//! The written rules, the same on server and edge:
//!
//! | in an event | answer |
//! |---|---|
//! | a name twice in one object, in whatever spelling | `InvalidPropertyNameError` |
//! | NUL, or half of a surrogate pair, in a string or name | `InvalidPropertyValueError` |
//! | a whole number that fits 64 bits with sign | kept exact |
//! | a larger whole number | kept if a double prints it the same digits (as JavaScript does), else `InvalidPropertyValueError` |
//! | any other number | must be a finite double |
//! | `__proto__` | a plain name |

use std::borrow::Cow;
use std::ops::Range;

use protocol::event::check_property_name;
use protocol::limits::Limits;
use protocol::{ErrorCode, Refusal};

use crate::forms::repeated;
use crate::scrub::scrub;

/// No configuration allows deeper events: the processor's parser stops at 128.
const DEPTH_MAX: usize = 100;
/// Whole numbers of this many characters always fit 64 bits.
const SHORT_INTEGER_CHARS: usize = 18;
/// Up to so many names of one object are compared each with each, which is faster than to sort them.
const PAIRWISE_NAMES_MAX: usize = 24;
/// Decimal numbers of this many characters, without exponent, always are finite doubles.
const SHORT_DECIMAL_CHARS: usize = 300;

/// The string values that stand for something of the caller.
const ADDRESS: &str = "${keen.ip}";
const USER_AGENT: &str = "${keen.user_agent}";

/// What was found in an event that keeps the rules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned<'a> {
    /// Its root property `keen`, as JSON text.
    pub keen: Option<&'a str>,
    /// The values to be replaced, in order; they don't overlap.
    pub edits: Vec<Edit>,
}

/// A value that is to be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Its bytes in the event.
    pub range: Range<usize>,
    /// What takes its place.
    pub with: With,
}

/// What takes the place of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum With {
    /// The caller's address.
    Address,
    /// The caller's user agent.
    UserAgent,
    /// This text, not yet as JSON.
    Text(String),
}

/// Whether a string value stands for the caller's address.
pub(crate) fn is_address_placeholder(text: &str) -> bool {
    text == ADDRESS
}

/// Checks an event; with `is_scrubbed`, string values that tell who somebody is are noted to be replaced.
pub(crate) fn scan<'a>(event: &'a str, limits: &Limits, is_scrubbed: bool) -> Result<Scanned<'a>, Refusal> {
    let mut scan = Scan {
        text: event,
        at: 0,
        limits,
        is_scrubbed,
        is_kept: false,
        names: Vec::new(),
        names_seen: 0,
        found: Scanned::default(),
    };
    scan.value(0)?;
    Ok(scan.found)
}

/// Refuses an event of more names than it may have, in one quick look. The text is JSON, so a colon outside of strings
/// stands behind a name.
pub(crate) fn check_names(event: &str, names_max: usize) -> Result<(), Refusal> {
    let (mut rest, mut names) = (event.as_bytes(), 0);
    while let Some(byte) = rest.first() {
        rest = rest.get(1..).unwrap_or_default();
        names += usize::from(*byte == b':');
        while *byte == b'"'
            && let Some(found) = quote_or_escape(rest)
        {
            let is_end = rest.get(found) == Some(&b'"');
            rest = rest.get(found + if is_end { 1 } else { 2 }..).unwrap_or_default();
            if is_end {
                break;
            }
        }
    }
    if names > names_max { Err(too_many_names(names_max)) } else { Ok(()) }
}

struct Scan<'a, 'l> {
    text: &'a str,
    at: usize,
    limits: &'l Limits,
    is_scrubbed: bool,
    /// Inside what the collector and the processor read themselves (`keen.timestamp`, `keen.addons`): nothing is replaced.
    is_kept: bool,
    /// Names of the open objects; each object's are at the end while it is open, and are taken off when it closes.
    names: Vec<Cow<'a, str>>,
    names_seen: usize,
    found: Scanned<'a>,
}

impl<'a> Scan<'a, '_> {
    /// One value, inside `depth` levels of objects and lists.
    fn value(&mut self, depth: usize) -> Result<(), Refusal> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'"') => {
                let start = self.at;
                let text = self.string()?;
                self.check_length(&text)?;
                self.note(start, &text);
                Ok(())
            }
            _ => {
                let word = self.word();
                if matches!(word, "true" | "false" | "null") { Ok(()) } else { check_number(word) }
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Refusal> {
        self.enter(depth)?;
        if self.takes(b'}') {
            return Ok(());
        }
        let first = self.names.len();
        loop {
            self.skip_space();
            let name = self.string()?;
            self.check_name(&name)?;
            let is_keen = depth == 1 && name == "keen";
            // The last name of level 1 is that of the object this one is in.
            let is_read = depth == 2
                && matches!(&*name, "timestamp" | "addons")
                && first.checked_sub(1).and_then(|at| self.names.get(at)).is_some_and(|parent| parent == "keen");
            self.names.push(name);
            if !self.takes(b':') {
                return Err(broken());
            }
            self.skip_space();
            let start = self.at;
            self.is_kept |= is_read;
            self.value(depth)?;
            self.is_kept &= !is_read;
            if is_keen {
                self.found.keen = self.text.get(start..self.at);
            }
            if !self.takes(b',') {
                break;
            }
        }
        self.check_unique(first)?;
        if self.takes(b'}') { Ok(()) } else { Err(broken()) }
    }

    fn list(&mut self, depth: usize) -> Result<(), Refusal> {
        self.enter(depth)?;
        if self.takes(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if !self.takes(b',') {
                break;
            }
        }
        if self.takes(b']') { Ok(()) } else { Err(broken()) }
    }

    /// Steps over the bracket that opens the level `depth`.
    fn enter(&mut self, depth: usize) -> Result<(), Refusal> {
        let limit = self.limits.depth_max.min(DEPTH_MAX);
        if depth > limit {
            return Err(value_refusal(format!("event is nested deeper than the limit of {limit} levels")));
        }
        self.at += 1;
        Ok(())
    }

    /// A string or name, decoded; copied only when it has escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, Refusal> {
        let start = self.at;
        let mut end = start + 1;
        let mut is_escaped = false;
        loop {
            let rest = self.text.as_bytes().get(end..).ok_or_else(broken)?;
            let found = quote_or_escape(rest).ok_or_else(broken)?;
            end += found;
            if rest.get(found) == Some(&b'"') {
                break;
            }
            is_escaped = true;
            end += 2;
        }
        self.at = end + 1;
        if !is_escaped {
            return self.text.get(start + 1..end).map(Cow::Borrowed).ok_or_else(broken);
        }
        let quoted = self.text.get(start..self.at).ok_or_else(broken)?;
        let decoded: String =
            serde_json::from_str(quoted).map_err(|_| value_refusal("a string holds half of a surrogate pair"))?;
        if decoded.contains('\0') {
            return Err(value_refusal("a string holds NUL"));
        }
        Ok(Cow::Owned(decoded))
    }

    /// Notes whether the string value `text`, which began at `start`, is to be replaced.
    fn note(&mut self, start: usize, text: &str) {
        if self.is_kept {
            return;
        }
        let with = match text {
            ADDRESS => Some(With::Address),
            USER_AGENT => Some(With::UserAgent),
            _ if self.is_scrubbed => scrub(text).map(With::Text),
            _ => None,
        };
        if let Some(with) = with {
            self.found.edits.push(Edit { range: start..self.at, with });
        }
    }

    /// A number or literal: everything up to the next separator.
    fn word(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_end = |byte: u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
        let length = rest.bytes().position(is_end).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn check_length(&self, text: &str) -> Result<(), Refusal> {
        let limit = self.limits.string_chars_max;
        if text.len() > limit && text.chars().count() > limit {
            return Err(value_refusal(format!("a string is longer than the limit of {limit} characters")));
        }
        Ok(())
    }

    fn check_name(&mut self, name: &str) -> Result<(), Refusal> {
        self.names_seen += 1;
        if self.names_seen > self.limits.names_max {
            return Err(too_many_names(self.limits.names_max));
        }
        check_property_name(name).map_err(|error| name_refusal(error.to_string()))
    }

    /// Closes the object whose names begin at `first`.
    fn check_unique(&mut self, first: usize) -> Result<(), Refusal> {
        let names = self.names.get(first..).unwrap_or_default();
        let repeated = if names.len() <= PAIRWISE_NAMES_MAX {
            (1..names.len()).find_map(|at| {
                let (before, rest) = names.split_at(at);
                rest.first().filter(|name| before.contains(name)).map(AsRef::as_ref)
            })
        } else {
            repeated(names.iter().map(AsRef::as_ref).collect())
        };
        if let Some(name) = repeated {
            return Err(name_refusal(format!("property {name:?} is named twice")));
        }
        self.names.truncate(first);
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it is next after white space.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Where the first quote or backslash is; eight bytes at a time, because most bytes of events are in strings.
fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // Sets the top bit of the first byte that is zero; what it sets above that one may be wrong and is not looked at.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let hits = zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c));
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|found| at + found)
}

fn check_number(text: &str) -> Result<(), Refusal> {
    let is_decimal = text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let fits = if is_decimal {
        let has_exponent = text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
        (!has_exponent && text.len() <= SHORT_DECIMAL_CHARS) || double(text).is_some()
    } else {
        text.len() <= SHORT_INTEGER_CHARS
            || text.parse::<i64>().is_ok()
            || double(text).is_some_and(|value| value.to_string() == text)
    };
    match (fits, is_decimal) {
        (true, _) => Ok(()),
        (false, true) => Err(value_refusal("a number is larger than a double can be")),
        (false, false) => {
            Err(value_refusal("a whole number beyond 64 bits has digits that no double keeps: send it as a text"))
        }
    }
}

/// The double that the processor will read.
fn double(text: &str) -> Option<f64> {
    serde_json::from_str::<f64>(text).ok().filter(|value| value.is_finite())
}

fn value_refusal(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidPropertyValue, message)
}

fn name_refusal(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidPropertyName, message)
}

pub(crate) fn too_many_names(names_max: usize) -> Refusal {
    name_refusal(format!("event has more names than the limit of {names_max}"))
}

/// Not reached for text that a JSON parser took.
fn broken() -> Refusal {
    Refusal::new(ErrorCode::InvalidEvent, "event is not JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(event: &str, expected: Option<ErrorCode>) {
        let limits = Limits { depth_max: 4, names_max: 6, string_chars_max: 8, ..Limits::default() };
        assert_eq!(scan(event, &limits, true).err().map(|refusal| refusal.code), expected, "{event}");
    }

    #[test]
    fn the_rules_for_json_hold() {
        use ErrorCode::{InvalidPropertyName as Name, InvalidPropertyValue as Value};
        for (event, expected) in [
            ("{}", None),
            (" { } ", None),
            (r#"{"a":1,"b":[1,{"c":null}],"d":{"a":true}}"#, None),
            (r#"{"a":{"b":{"c":{}}}}"#, None),
            (r#"{"a":{"b":{"c":{"d":{}}}}}"#, Some(Value)),
            (r#"{"a":[[[[]]]]}"#, Some(Value)),
            (r#"{"a":1,"a":2}"#, Some(Name)),
            (r#"{"a":1,"\u0061":2}"#, Some(Name)),
            (r#"{"a":{"b":1},"b":{"b":1}}"#, None),
            (r#"{"x":[{"b":1},{"b":1,"b":2}]}"#, Some(Name)),
            (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}"#, None),
            (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":[{"g":1}]}"#, Some(Name)),
            (r#"{"a.b":1}"#, Some(Name)),
            (r#"{"$a":1}"#, Some(Name)),
            (r#"{"":1}"#, Some(Name)),
            (r#"{"__proto__":1}"#, None),
            (r#"{"a":"12345678"}"#, None),
            (r#"{"a":"üüüüüüüü"}"#, None),
            (r#"{"a":"123456789"}"#, Some(Value)),
            (r#"{"a":"\u0031\u0031\u0031"}"#, None),
            (r#"{"a":"\"\\\n"}"#, None),
            (r#"{"a":"\u0000"}"#, Some(Value)),
            (r#"{"a\u0000":1}"#, Some(Value)),
            (r#"{"a":"\ud83d\ude00"}"#, None),
            (r#"{"a":"\ud83d"}"#, Some(Value)),
            (r#"{"a":"\ude00\ud83d"}"#, Some(Value)),
            (r#"{"\ud83d":1}"#, Some(Value)),
        ] {
            check(event, expected);
        }
    }

    #[test]
    fn numbers_are_kept_exact_or_refused() {
        for (number, fits) in [
            ("0", true),
            ("-0", true),
            ("1.5", true),
            ("9007199254740993", true),
            ("9223372036854775807", true),
            ("-9223372036854775808", true),
            ("9223372036854775808", false), // a double prints ...775807 or ...776000, not this
            ("18446744073709551615", false),
            ("18446744073709552000", true), // what JavaScript prints for 2^64
            ("100000000000000000000", true),
            ("100000000000000000001", false),
            ("1e308", true),
            ("1e309", false),
            ("-1E+400", false),
            ("1e-400", true), // rounds to 0, as everywhere
            (&format!("0.{}", "1".repeat(400)), true),
            (&format!("{}.0", "9".repeat(400)), false),
            (&"9".repeat(400), false),
        ] {
            check(&format!("{{\"a\":{number}}}"), (!fits).then_some(ErrorCode::InvalidPropertyValue));
        }
    }

    #[test]
    fn only_the_root_property_keen_is_found() {
        for (event, keen) in [
            (r#"{"keen":{"timestamp":"x"} ,"a":1}"#, Some(r#"{"timestamp":"x"}"#)),
            (r#"{"k\u0065en": 7}"#, Some("7")),
            (r#"{"a":{"keen":1}}"#, None),
            (r#"{"a":[{"keen":1}]}"#, None),
        ] {
            let found = scan(event, &Limits::default(), true).map(|found| found.keen);
            assert_eq!(found, Ok(keen), "{event}");
        }
    }

    #[test]
    fn placeholders_are_noted_where_they_are_whole_values() {
        let address = r#""${keen.ip}""#;
        for (event, expected) in [
            (r#"{"a":"${keen.ip}","b":[1,"${keen.user_agent}"]}"#, &[address, r#""${keen.user_agent}""#] as &[&str]),
            (r#"{"a": "\u0024{keen.ip}" }"#, &[r#""\u0024{keen.ip}""#]),
            (r#"{"keen":{"location":{"ip":"${keen.ip}"}}}"#, &[address]),
            (r#"{"a":"from ${keen.ip}"}"#, &[]),
            // Read by the collector and the processor themselves.
            (r#"{"keen":{"addons":[{"name":"${keen.ip}"}],"timestamp":"${keen.ip}"}}"#, &[]),
            (r#"{"b":1,"a":{"keen":{"addons":"${keen.ip}"}}}"#, &[address]),
            (r#"{"keen":{"addons":[]},"a":{"addons":"${keen.ip}"}}"#, &[address]),
        ] {
            let found = scan(event, &Limits::default(), true).unwrap();
            let noted: Vec<_> = found.edits.iter().map(|edit| &event[edit.range.clone()]).collect();
            assert_eq!(noted, expected, "{event}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e300..1e300_f64).prop_map(Value::from),
            "[^\0]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[^\0.$]{1,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_serde_json_prints_passes(value in json(), is_pretty in any::<bool>()) {
            let text = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            prop_assert_eq!(scan(&text.unwrap(), &Limits::default(), true).err(), None);
        }

        #[test]
        fn the_end_of_a_string_is_found_wherever_it_is(text in "[a\"\\\\!#\\[\\]ÿ]{0,30}") {
            let expected = text.bytes().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(quote_or_escape(text.as_bytes()), expected);
        }

        #[test]
        fn a_name_that_stands_twice_is_found_among_few_and_many(count in 1_usize..60, twice in any::<prop::sample::Index>()) {
            let mut names: Vec<_> = (0..count).map(|name| format!("\"n{name}\":1")).collect();
            let once = format!("{{{}}}", names.join(","));
            prop_assert!(scan(&once, &Limits::default(), true).is_ok());
            names.insert(twice.index(count), format!("\"n{}\":1", count - 1));
            let repeated = format!("{{{}}}", names.join(","));
            prop_assert!(scan(&repeated, &Limits::default(), true).is_err());
        }

        #[test]
        fn text_that_is_not_json_does_no_harm(text in "[\\[\\]{}:,\"\\\\a1 .eu-]{0,40}") {
            let _ = scan(&text, &Limits::default(), true);
        }
    }
}
