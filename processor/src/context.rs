//! Puts what the collector found out about a caller into the event: `keen.bot`, `keen.visitor`, `keen.location`.
//!
//! Apart from flattening because it is ours and not the sender's. A robot's mark and a visitor's id can't be set by an
//! event, so that neither can be forged; a place can, because a sender may know better where something happened.

use protocol::record::{Context, Location};
use protocol::row::Cell;

use crate::cells::Cells;

/// Adds to `cells` what `context` knows. With or without one, an event's own `keen.bot` and `keen.visitor` go.
pub(crate) fn add(cells: &mut Cells, context: Option<&Context<'_>>) {
    cells.remove("keen.bot");
    cells.remove("keen.visitor");
    let Some(context) = context else { return };
    if context.bot {
        cells.push("keen.bot", Cell::Bool(true));
    }
    if let Some(visitor) = &context.visitor {
        cells.push("keen.visitor", Cell::Text(visitor.to_string()));
    }
    if let Some(location) = &context.location
        && !cells.holds("keen.location")
    {
        for (name, cell) in fields(location) {
            cells.push(&format!("keen.location.{name}"), cell);
        }
    }
}

fn fields(location: &Location) -> impl Iterator<Item = (&'static str, Cell)> {
    let texts = [
        ("city", &location.city),
        ("province", &location.province),
        ("country", &location.country),
        ("country_code", &location.country_code),
        ("continent", &location.continent),
        ("postal_code", &location.postal_code),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, Cell::Text(text.clone()?))));
    let coordinates = location
        .coordinates
        .and_then(|place| serde_json::to_string(&place).ok())
        .map(|text| ("coordinates", Cell::List(text)));
    texts.chain(coordinates).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use protocol::PropertyPath;

    use super::*;
    use crate::flatten::flatten_event;

    #[track_caller]
    fn check(event: &str, context: Option<&str>, expected: &str) {
        let context = context.map(|text| serde_json::from_str::<Context<'_>>(text).unwrap());
        let mut cells = Cells::new(flatten_event(event).unwrap().cells);
        add(&mut cells, context.as_ref());
        let mut expected = flatten_event(expected).unwrap().cells;
        let mut cells = cells.into_inner();
        let by_path = |one: &(PropertyPath, Cell), other: &(PropertyPath, Cell)| one.0.cmp(&other.0);
        cells.sort_by(by_path);
        expected.sort_by(by_path);
        assert_eq!(cells, expected, "{event} {context:?}");
    }

    #[test]
    fn what_is_known_of_the_caller_is_added() {
        check(r#"{"a":1}"#, None, r#"{"a":1}"#);
        check(r#"{"a":1}"#, Some("{}"), r#"{"a":1}"#);
        check(
            "{}",
            Some(r#"{"bot":true,"visitor":"0f","location":{"country_code":"PL","coordinates":[21.0,52.2]}}"#),
            r#"{"keen":{"bot":true,"visitor":"0f","location":{"country_code":"PL","coordinates":[21.0,52.2]}}}"#,
        );
    }

    #[test]
    fn an_event_may_say_where_it_happened_but_not_who_its_visitor_is() {
        check(
            r#"{"keen":{"bot":false,"visitor":"me","location":{"coordinates":[1,2]}}}"#,
            Some(r#"{"bot":true,"location":{"city":"Warsaw"}}"#),
            r#"{"keen":{"bot":true,"location":{"coordinates":[1,2]}}}"#,
        );
        check(r#"{"keen":{"visitor":{"a":1}},"b":2}"#, None, r#"{"b":2}"#);
        check(
            r#"{"keen":{"location":{}}}"#,
            Some(r#"{"location":{"city":"Warsaw"}}"#),
            r#"{"keen":{"location":{"city":"Warsaw"}}}"#,
        );
    }
}
