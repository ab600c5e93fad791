//! Rewrites the names in a JSON text that break our rules, so that an event that was good for Segment is not lost here.
//!
//! Apart because it is one pass over text that is known to be JSON, which copies everything but such names as it is. What it
//! can't mend it leaves, and the usual steps refuse it with the usual words.

use std::borrow::Cow;
use std::collections::BTreeSet;

use protocol::event::check_property_name;
use protocol::limits::PROPERTY_NAME_CHARS_MAX;
use serde_json::value::RawValue;

use crate::forms;

/// How often a rewritten name that is taken already gets one more `_`; after that it stays as it is and is refused.
const ATTEMPTS_MAX: usize = 8;

/// The names of one object, old and new.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    seen: BTreeSet<Cow<'a, str>>,
    written: BTreeSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// A name that keeps the rules and is new in this object. A name that comes twice stays twice, and is refused later.
    pub(crate) fn legal(&mut self, name: Cow<'a, str>) -> Cow<'a, str> {
        let wanted = rewritten(&name);
        self.legal_as(name, wanted)
    }

    /// The same, for a name that is to become another.
    pub(crate) fn legal_as(&mut self, name: Cow<'a, str>, wanted: Cow<'static, str>) -> Cow<'a, str> {
        if !self.seen.insert(name.clone()) || name.contains('\0') {
            return name;
        }
        let mut legal = wanted;
        for _ in 0..ATTEMPTS_MAX {
            if self.written.insert(legal.clone()) {
                return legal;
            }
            let mut longer = legal.into_owned();
            longer.push('_');
            legal = Cow::Owned(longer);
        }
        name
    }

    /// Says that the object has a member of this name.
    pub(crate) fn name(&mut self, name: &'a str) {
        self.seen.insert(Cow::Borrowed(name));
    }

    /// Whether the object has a member of this name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.seen.contains(name)
    }

    /// Keeps a name for a member that is written otherwise.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.written.insert(Cow::Owned(name.to_owned()));
    }
}

/// `.` and a leading `$` become `_`, nothing becomes `_`, and what is too long is cut.
fn rewritten(name: &str) -> Cow<'static, str> {
    if check_property_name(name).is_ok() {
        return Cow::Owned(name.to_owned());
    }
    let mut legal = name.replace('.', "_");
    if legal.starts_with('$') {
        legal.replace_range(..1, "_");
    }
    if legal.is_empty() {
        legal.push('_');
    }
    // Room for a few more `_`.
    if legal.chars().count() > PROPERTY_NAME_CHARS_MAX {
        legal = legal.chars().take(PROPERTY_NAME_CHARS_MAX - ATTEMPTS_MAX).collect();
    }
    Cow::Owned(legal)
}

/// Appends `value`, its names rewritten, `depth_max` levels deep; below, it is copied as it is.
pub(crate) fn push(out: &mut String, value: &RawValue, depth_max: usize) {
    let text = value.get();
    let mut copy = Copy { text, at: 0, done: 0, depth_max, out };
    // It is JSON, so nothing stops early; if it did, the rest would be copied all the same.
    let _ = copy.value(0);
    let rest = text.get(copy.done..).unwrap_or_default();
    copy.out.push_str(rest);
}

struct Copy<'a, 'o> {
    text: &'a str,
    at: usize,
    /// Up to here it is copied.
    done: usize,
    depth_max: usize,
    out: &'o mut String,
}

impl<'a> Copy<'a, '_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.next_token()? {
            b'{' => self.object(depth + 1),
            b'[' => self.list(depth + 1),
            b'"' => self.string().map(|_| ()),
            _ => {
                let rest = self.text.get(self.at..)?;
                let is_end = |byte: u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                self.at += rest.bytes().position(is_end).unwrap_or(rest.len());
                Some(())
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        if depth > self.depth_max {
            return None;
        }
        self.at += 1;
        let mut names = Names::default();
        while self.next_token()? != b'}' {
            let start = self.at;
            let quoted = self.string()?;
            let raw: &RawValue = serde_json::from_str(quoted).ok()?;
            let name = forms::string(raw)?;
            let legal = names.legal(name.clone());
            if legal != name {
                self.out.push_str(self.text.get(self.done..start)?);
                super::push_text(self.out, &legal);
                self.done = self.at;
            }
            (self.next_token()? == b':').then_some(())?;
            self.at += 1;
            self.value(depth)?;
            if self.next_token()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(())
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        if depth > self.depth_max {
            return None;
        }
        self.at += 1;
        while self.next_token()? != b']' {
            self.value(depth)?;
            if self.next_token()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(())
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut end = start + 1;
        loop {
            let rest = self.text.as_bytes().get(end..)?;
            let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            end += found + 1;
            if rest.get(found) == Some(&b'"') {
                break;
            }
            end += 1;
        }
        self.at = end;
        self.text.get(start..end)
    }

    /// The first byte of what comes after white space.
    fn next_token(&mut self) -> Option<u8> {
        loop {
            let byte = self.text.as_bytes().get(self.at).copied()?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pushed(text: &str) -> String {
        let mut out = String::new();
        push(&mut out, serde_json::from_str(text).unwrap(), 8);
        out
    }

    #[test]
    fn only_names_that_break_the_rules_change() {
        for (text, expected) in [
            (r#"{ "a" : 1 }"#, r#"{ "a" : 1 }"#),
            (r#"{"a.b":{"$c":[{"d.e.f":"g.h"}]}}"#, r#"{"a_b":{"_c":[{"d_e_f":"g.h"}]}}"#),
            (r#"{"a.b":1,"a_b":2}"#, r#"{"a_b":1,"a_b_":2}"#),
            (r#"{"a_b":1,"a.b":2}"#, r#"{"a_b":1,"a_b_":2}"#),
            (r#"{"":1,"$":2}"#, r#"{"_":1,"__":2}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#), // refused later, as everywhere
            (r#"{"a\u002eb\"":1}"#, r#"{"a_b\"":1}"#),
            (r#"[{"a.b":[]}, {}, "x.y", -1.5e3, null]"#, r#"[{"a_b":[]}, {}, "x.y", -1.5e3, null]"#),
            (r#"{"a.b":"\\\"$c\":"}"#, r#"{"a_b":"\\\"$c\":"}"#),
            (r#""a.b""#, r#""a.b""#),
        ] {
            assert_eq!(pushed(text), expected, "{text}");
        }
        let long = format!("{{\"{}\":1,\"{}\":2}}", "x".repeat(300), "x".repeat(301));
        assert!(pushed(&long).contains(&format!("\"{}_\":2", "x".repeat(247))));
    }

    #[test]
    fn what_is_too_deep_is_copied_as_it_is() {
        let text = format!("{}1{}", "{\"a.b\":".repeat(9), "}".repeat(9));
        let expected = format!("{}{{\"a.b\":1{}", "{\"a_b\":".repeat(8), "}".repeat(9));
        assert_eq!(pushed(&text), expected);
    }

    proptest! {
        #[test]
        fn no_value_is_lost_and_every_name_is_legal(
            names in prop::collection::btree_set("[a-c.$_\u{e4}]{0,3}", 0..6),
            leaf in "[^\0]{0,6}",
        ) {
            let inner: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), leaf.clone().into())).collect();
            let value = serde_json::json!({ "p": inner, "l": [inner.clone()] });
            let read: serde_json::Value = serde_json::from_str(&pushed(&value.to_string())).unwrap();
            for object in [&read["p"], &read["l"][0]] {
                let object = object.as_object().unwrap();
                prop_assert_eq!(object.len(), names.len());
                prop_assert!(object.values().all(|found| found == leaf.as_str()));
                prop_assert!(object.keys().all(|name| check_property_name(name).is_ok()), "{:?}", object);
            }
        }
    }
}
