//! Changes members of a JSON object by their paths, leaving everything else the bytes that came.
//!
//! Apart because two very different rules need it: what a key fills into every event, and what an add-on puts into one.
//! Only objects on the way to a change are taken apart; what lies beside is copied as it is, so no tree is built. It must
//! not know why something is changed.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::forms::{self, Member};

/// What to do to one member.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Patch {
    /// Take it out.
    Remove,
    /// Put this JSON text in its place, or add it.
    Set(String),
    /// It is an object afterwards, with these members changed; what was no object is replaced.
    Into(Members),
}

/// Changes of the members of one object, in the order of their names; a name stands once. Ordered, because an event has
/// hundreds of members and a key may fill in hundreds.
pub(crate) type Members = Vec<(String, Patch)>;

/// Sets every member of `map`, and merges objects deeply.
pub(crate) fn deep(map: &Map<String, Value>) -> Members {
    let change = |value: &Value| match value {
        Value::Object(inner) => Patch::Into(deep(inner)),
        other => Patch::Set(other.to_string()),
    };
    let mut members = Members::with_capacity(map.len());
    for (name, value) in map {
        add(&mut members, std::iter::empty(), name, change(value));
    }
    members
}

/// Where the change of a member is, or belongs.
fn find(changes: &[(String, Patch)], name: &str) -> Result<usize, usize> {
    changes.binary_search_by(|(known, _)| known.as_str().cmp(name))
}

/// Adds a change of the member that `path` names. A later one of the same member wins, but keeps the changes inside it.
pub(crate) fn add<'a>(members: &mut Members, mut path: impl Iterator<Item = &'a str>, last: &'a str, patch: Patch) {
    let Some(name) = path.next() else {
        match find(members, last) {
            Err(at) => members.insert(at, (last.to_owned(), patch)),
            Ok(at) => match (members.get_mut(at), patch) {
                (Some((_, Patch::Into(inner))), Patch::Into(more)) => {
                    for (name, patch) in more {
                        add(inner, std::iter::empty(), &name, patch);
                    }
                }
                (Some((_, known)), patch) => *known = patch,
                (None, _) => {}
            },
        }
        return;
    };
    let at = find(members, name).unwrap_or_else(|at| {
        members.insert(at, (name.to_owned(), Patch::Into(Vec::new())));
        at
    });
    let Some((_, inside)) = members.get_mut(at) else { return };
    if !matches!(inside, Patch::Into(_)) {
        *inside = Patch::Into(Vec::new());
    }
    if let Patch::Into(inside) = inside {
        // Boxed, because each level would be a type of its own.
        let rest: Box<dyn Iterator<Item = &'a str>> = Box::new(path);
        add(inside, rest, last, patch);
    }
}

/// Whether `path` is that of a change, or lies above or below one.
pub(crate) fn touches<'p>(changes: &[(String, Patch)], path: impl Iterator<Item = &'p str>) -> bool {
    let mut inside = changes;
    for name in path {
        match find(inside, name).ok().and_then(|at| inside.get(at)) {
            Some((_, Patch::Into(deeper))) => inside = deeper,
            found => return found.is_some(),
        }
    }
    true
}

/// Writes `object` with the changes; false, and nothing written, when it is no object whose names decode.
pub(crate) fn apply(out: &mut Vec<u8>, object: &str, changes: &[(String, Patch)]) -> bool {
    let Some(members) = forms::members(object) else { return false };
    let mut is_done = vec![false; changes.len()];
    let mut first = true;
    out.push(b'{');
    for member in &members {
        let at = find(changes, &member.name).ok();
        let Some((at, (_, patch))) = at.and_then(|at| Some((at, changes.get(at)?))) else {
            comma(out, &mut first);
            out.extend_from_slice(member.raw_name.as_bytes());
            out.push(b':');
            out.extend_from_slice(member.value.get().as_bytes());
            continue;
        };
        // A name that stands twice is changed once and else left out: the first change is all there is of it.
        if matches!(patch, Patch::Remove) || is_done.get(at) == Some(&true) {
            continue;
        }
        if let Some(is_done) = is_done.get_mut(at) {
            *is_done = true;
        }
        comma(out, &mut first);
        out.extend_from_slice(member.raw_name.as_bytes());
        out.push(b':');
        write(out, Some(member.value), patch);
    }
    for ((name, patch), is_done) in changes.iter().zip(is_done) {
        if !is_done && !matches!(patch, Patch::Remove) {
            comma(out, &mut first);
            push_text(out, name);
            out.push(b':');
            write(out, None, patch);
        }
    }
    out.push(b'}');
    true
}

fn write(out: &mut Vec<u8>, found: Option<&RawValue>, patch: &Patch) {
    match patch {
        Patch::Remove => {}
        Patch::Set(json) => out.extend_from_slice(json.as_bytes()),
        Patch::Into(changes) => {
            let object = found.map(RawValue::get).filter(|text| text.starts_with('{')).unwrap_or("{}");
            if !apply(out, object, changes) {
                apply(out, "{}", changes);
            }
        }
    }
}

fn comma(out: &mut Vec<u8>, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

/// Writes a text as JSON.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    // A string always serialises into memory.
    let _ = serde_json::to_writer(out, text);
}

/// The value at a path of names below these members; none when there is none.
pub(crate) fn look_up<'a, 'p>(members: &[Member<'a>], mut path: impl Iterator<Item = &'p str>) -> Option<&'a RawValue> {
    let mut value = member(members, path.next()?)?;
    for name in path {
        value = member(&inside(value)?, name)?;
    }
    Some(value)
}

/// The value of one member.
pub(crate) fn member<'a>(members: &[Member<'a>], name: &str) -> Option<&'a RawValue> {
    members.iter().find(|member| member.name == name).map(|member| member.value)
}

/// The members of a value; none when it is no object.
pub(crate) fn inside(value: &RawValue) -> Option<Vec<Member<'_>>> {
    value.get().starts_with('{').then(|| forms::members(value.get())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn applied(object: &str, changes: &Members) -> String {
        let mut out = Vec::new();
        assert!(apply(&mut out, object, changes), "{object}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_filled_in_wins_and_the_rest_stays_as_it_is() {
        for (object, fill, expected) in [
            (r#"{"a": 1.50}"#, json!({}), r#"{"a":1.50}"#),
            ("{}", json!({"t": 1}), r#"{"t":1}"#),
            (r#"{"t":2,"b":[1, 2]}"#, json!({"t": 1}), r#"{"t":1,"b":[1, 2]}"#),
            (r#"{"t":{"x":1,"y":2}}"#, json!({"t": {"y": 3, "z": null}}), r#"{"t":{"x":1,"y":3,"z":null}}"#),
            (r#"{"t":"forged"}"#, json!({"t": {"y": 3}}), r#"{"t":{"y":3}}"#),
            (r#"{"t":{"y":1}}"#, json!({"t": "ours"}), r#"{"t":"ours"}"#),
            // In whatever spelling, and however often.
            (r#"{"\u0074":2}"#, json!({"t": 1}), r#"{"\u0074":1}"#),
            (r#"{"t":2,"\u0074":3}"#, json!({"t": 1}), r#"{"t":1}"#),
            ("{}", json!({"a\"b": {}}), r#"{"a\"b":{}}"#),
        ] {
            assert_eq!(applied(object, &deep(fill.as_object().unwrap())), expected, "{object} {fill}");
        }
    }

    #[test]
    fn members_go_and_come_by_path() {
        let mut changes = Members::new();
        add(&mut changes, ["a", "b"].into_iter(), "c", Patch::Set("1".into()));
        add(&mut changes, ["a"].into_iter(), "x", Patch::Remove);
        add(&mut changes, std::iter::empty(), "a", Patch::Into(vec![("d".into(), Patch::Set("2".into()))]));
        add(&mut changes, std::iter::empty(), "gone", Patch::Remove);
        for (object, expected) in [
            ("{}", r#"{"a":{"b":{"c":1},"d":2}}"#),
            (r#"{"gone":1,"a":{"x":1,"b":{"y":0}}}"#, r#"{"a":{"b":{"y":0,"c":1},"d":2}}"#),
        ] {
            assert_eq!(applied(object, &changes), expected, "{object}");
        }
        assert!(!apply(&mut Vec::new(), "[]", &changes));
    }

    #[test]
    fn values_are_found_by_path() {
        let object = forms::members(r#" {"a":{"b":{"c":1}},"d":2}"#).unwrap();
        for (path, found) in [("a.b.c", Some("1")), ("d", Some("2")), ("a.b.x", None), ("d.e", None), ("x", None)] {
            assert_eq!(look_up(&object, path.split('.')).map(RawValue::get), found, "{path}");
        }
    }

    /// What a merge of trees gives.
    fn merged(into: &mut Value, fill: &Value) {
        match (into, fill) {
            (Value::Object(into), Value::Object(fill)) => {
                for (name, value) in fill {
                    merged(into.entry(name).or_insert(Value::Null), value);
                }
            }
            (into, fill) => {
                // An object that takes the place of another value begins empty.
                *into = fill.clone();
            }
        }
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i32>().prop_map(Value::from), "[a-c\"\\\\]{0,3}".prop_map(Value::from)];
        let tree = leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"]{1,2}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        });
        prop::collection::btree_map("[a-c\"]{1,2}", tree, 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn filling_in_text_is_merging_trees(into in object(), fill in object()) {
            let text = applied(&serde_json::to_string_pretty(&into).unwrap(), &deep(fill.as_object().unwrap()));
            let mut expected = into;
            merged(&mut expected, &fill);
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
    }
}
