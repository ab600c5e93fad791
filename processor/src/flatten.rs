//! Makes columns of an event: one typed cell per property path.
//!
//! It reads the JSON text once, without building a tree, and keeps every value: whole numbers exactly, lists and empty
//! objects as their text. The collector has checked the rules already; what breaks them all the same is an error
//! here, so that it ends in quarantine rather than in a wrong row.

use std::fmt;

use protocol::PropertyPath;
use protocol::event::check_property_name;
use protocol::row::Cell;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Properties of `keen` that the row itself carries.
const OWN: &[&str] = &["keen.id", "keen.timestamp", "keen.created_at"];

/// Where an event asks for add-ons.
const ADDONS: &str = "keen.addons";

/// An event, flat.
#[derive(Debug, PartialEq)]
pub(crate) struct Flat {
    /// Its properties.
    pub(crate) cells: Vec<(PropertyPath, Cell)>,
    /// The list `keen.addons`, as JSON text.
    pub(crate) addons: Option<String>,
}

/// Why an event has no row.
#[derive(Debug)]
pub struct FlattenError(serde_json::Error);

impl fmt::Display for FlattenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "properties can't be stored: {}", self.0)
    }
}

impl std::error::Error for FlattenError {}

/// The cells of one JSON object, in its order. `keen.id`, `keen.timestamp`, `keen.created_at` and `keen.addons` are
/// left out.
///
/// # Errors
/// When the text is not one JSON object with allowed property names.
pub fn flatten(properties: &str) -> Result<Vec<(PropertyPath, Cell)>, FlattenError> {
    flatten_event(properties).map(|flat| flat.cells)
}

/// The same, with the add-ons it asks for.
pub(crate) fn flatten_event(properties: &str) -> Result<Flat, FlattenError> {
    let mut flat = Flat { cells: Vec::new(), addons: None };
    let mut path = String::new();
    let mut reader = serde_json::Deserializer::from_str(properties);
    let root = ObjectWalk { path: &mut path, flat: &mut flat };
    reader.deserialize_map(root).and_then(|_| reader.end()).map_err(FlattenError)?;
    Ok(flat)
}

/// Walks the properties of one object; `path` names it, empty for the event itself. Gives the number of properties.
struct ObjectWalk<'a> {
    path: &'a mut String,
    flat: &'a mut Flat,
}

impl<'de> Visitor<'de> for ObjectWalk<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of properties")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<usize, M::Error> {
        let parent_len = self.path.len();
        let mut count = 0;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            check_property_name(&name).map_err(M::Error::custom)?;
            if parent_len > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            map.next_value_seed(ValueWalk { path: self.path, flat: self.flat })?;
            self.path.truncate(parent_len);
            count += 1;
        }
        Ok(count)
    }
}

/// Walks one value; `path` names its property.
struct ValueWalk<'a> {
    path: &'a mut String,
    flat: &'a mut Flat,
}

impl ValueWalk<'_> {
    fn put(self, cell: Cell) {
        // Add-ons are a list; whatever else stands there is no request and no value either.
        let is_addons = self.path.strip_prefix(ADDONS).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if !is_addons && !OWN.contains(&self.path.as_str()) {
            self.flat.cells.push((PropertyPath::from_checked(self.path), cell));
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueWalk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueWalk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(Cell::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(Cell::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.put(Cell::Int(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.put(i64::try_from(value).map_or_else(|_| beyond_i64(value), Cell::Int));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(E::custom("a number is not finite"));
        }
        self.put(Cell::Float(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.put(Cell::Text(value.to_owned()));
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        let mut text = String::from("[");
        while let Some(element) = list.next_element::<&'de RawValue>()? {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(element.get());
        }
        text.push(']');
        if self.path == ADDONS {
            self.flat.addons = Some(text);
            return Ok(());
        }
        self.put(Cell::List(text));
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<(), M::Error> {
        let count = ObjectWalk { path: &mut *self.path, flat: &mut *self.flat }.visit_map(map)?;
        if count == 0 {
            self.put(Cell::List("{}".to_owned()));
        }
        Ok(())
    }
}

/// A whole number too large for 64 bits with a sign. A sender that computes in doubles writes them so; where the digits
/// are those of a double it is one, and otherwise a float would be a silent loss, so the digits are kept as a text.
fn beyond_i64(value: u64) -> Cell {
    let digits = value.to_string();
    match digits.parse::<f64>() {
        Ok(float) if float.to_string() == digits => Cell::Float(float),
        _ => Cell::Text(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[track_caller]
    fn check(properties: &str, expected: &[(&str, Cell)]) {
        let expected: Vec<_> = expected.iter().map(|(path, cell)| (path.parse().unwrap(), cell.clone())).collect();
        assert_eq!(flatten(properties).unwrap(), expected, "{properties}");
    }

    fn text(value: &str) -> Cell {
        Cell::Text(value.to_owned())
    }

    #[test]
    fn every_type_has_its_cell() {
        check("{}", &[]);
        check(r#"{"a":null,"b":true}"#, &[("a", Cell::Null), ("b", Cell::Bool(true))]);
        check(
            r#"{"a":1,"b":-2,"c":1.5,"d":1.0}"#,
            &[("a", Cell::Int(1)), ("b", Cell::Int(-2)), ("c", Cell::Float(1.5)), ("d", Cell::Float(1.0))],
        );
        check(
            r#"{"a":"x\ny","b":[1, "2",{"c":3}],"e":[]}"#,
            &[
                ("a", text("x\ny")),
                ("b", Cell::List(r#"[1,"2",{"c":3}]"#.to_owned())),
                ("e", Cell::List("[]".to_owned())),
            ],
        );
    }

    #[test]
    fn objects_become_paths_and_empty_ones_are_kept() {
        check(
            r#"{"a":{"b":{"c":1},"d":2},"e":{}}"#,
            &[("a.b.c", Cell::Int(1)), ("a.d", Cell::Int(2)), ("e", Cell::List("{}".to_owned()))],
        );
        check(r#"{"__proto__":{"x":1}}"#, &[("__proto__.x", Cell::Int(1))]);
    }

    #[test]
    fn large_whole_numbers_stay_exact() {
        check(
            r#"{"a":9223372036854775807,"b":9007199254740993,"c":9223372036854775809,"d":18446744073709552000}"#,
            &[
                ("a", Cell::Int(i64::MAX)),
                ("b", Cell::Int(9_007_199_254_740_993)),
                ("c", text("9223372036854775809")),
                ("d", Cell::Float(18_446_744_073_709_552_000.0)),
            ],
        );
    }

    #[test]
    fn what_the_row_carries_itself_is_left_out() {
        check(
            r#"{"keen":{"timestamp":"x","id":"y","created_at":"z","addons":[{"name":"n"}],"location":{"coordinates":[1,2]}},"id":1}"#,
            &[("keen.location.coordinates", Cell::List("[1,2]".to_owned())), ("id", Cell::Int(1))],
        );
    }

    #[test]
    fn add_ons_are_taken_out_whatever_they_are() {
        for (event, addons) in [
            (r#"{"keen":{"addons":[{"name":"n"}, 1]}}"#, Some(r#"[{"name":"n"},1]"#)),
            (r#"{"keen":{"addons":{"name":"n","a":{}}}}"#, None),
            (r#"{"keen":{"addons":"n"}}"#, None),
        ] {
            let flat = flatten_event(event).unwrap();
            assert_eq!((flat.cells.as_slice(), flat.addons.as_deref()), (&[][..], addons), "{event}");
        }
        check(r#"{"keen":{"addons_":1},"addons":2}"#, &[("keen.addons_", Cell::Int(1)), ("addons", Cell::Int(2))]);
    }

    #[test]
    fn what_breaks_the_rules_is_an_error_and_not_a_row() {
        for properties in ["", "[]", "1", "{", r#"{"a.b":1}"#, r#"{"$a":1}"#, r#"{"":1}"#, r#"{"a":1}x"#] {
            assert!(flatten(properties).is_err(), "{properties}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-d]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Puts cells back into a tree.
    fn unflatten(cells: &[(PropertyPath, Cell)]) -> Value {
        let mut root = serde_json::json!({});
        for (path, cell) in cells {
            let mut at = &mut root;
            for name in path.as_str().split('.') {
                at = at.as_object_mut().unwrap().entry(name).or_insert_with(|| serde_json::json!({}));
            }
            *at = match cell {
                Cell::Null => Value::Null,
                Cell::Bool(value) => Value::from(*value),
                Cell::Int(value) => Value::from(*value),
                Cell::Float(value) => Value::from(*value),
                Cell::Text(value) => Value::from(value.clone()),
                Cell::List(value) => serde_json::from_str(value).unwrap(),
            };
        }
        root
    }

    proptest! {
        #[test]
        fn nothing_of_an_event_is_lost(map in proptest::collection::btree_map("[a-d]{1,2}", json(), 0..5)) {
            let event = Value::Object(map.into_iter().collect());
            let cells = flatten(&event.to_string()).unwrap();
            prop_assert_eq!(unflatten(&cells), event);
        }
    }
}
