//! What Cloudflare knows of the caller's place, as the collector names it.
//!
//! Apart because nothing of it is read unless an event or a project asks for it: each look costs a crossing. Whether it
//! may be kept is the collector's to decide.

use std::cell::RefCell;

use js_sys::{Array, Function, Reflect};
use protocol::record::Location;
use wasm_bindgen::{JsCast, JsValue};
use worker::Request;

use crate::web::{member, object};

thread_local! {
    /// The `cf` object of the request that is being decided on; a decision is never interrupted.
    static CF: RefCell<JsValue> = const { RefCell::new(JsValue::UNDEFINED) };
}

/// Does `work`, within which [`of_caller`] speaks of this request.
pub(crate) fn with_request<T>(request: &Request, work: impl FnOnce() -> T) -> T {
    CF.set(member(request.inner(), "cf"));
    let done = work();
    CF.set(JsValue::UNDEFINED);
    done
}

/// The place of the caller of this request.
pub(crate) fn of_caller() -> Option<Location> {
    CF.with_borrow(|cf| {
        let get = |name: &str| member(cf, name).as_string();
        if cf.is_object() {
            Some(place(get, |text| JsValue::from(text).unchecked_into_f64(), country_name))
        } else {
            None
        }
    })
}

/// `number` reads a text; Rust's own reader would be a twentieth of the module.
fn place(
    get: impl Fn(&str) -> Option<String>,
    number: impl Fn(&str) -> f64,
    country_name: impl Fn(&str) -> Option<String>,
) -> Location {
    let number = |name: &str| {
        let text = get(name).filter(|text| !text.trim().is_empty())?;
        Some(number(&text)).filter(|number| number.is_finite())
    };
    // T1 is Tor, XX is unknown: no countries.
    let code = get("country").filter(|code| code != "T1" && code != "XX");
    Location {
        city: get("city"),
        province: get("region"),
        country: code.as_deref().and_then(country_name),
        country_code: code,
        continent: get("continent").as_deref().and_then(continent_name).map(str::to_owned),
        postal_code: get("postalCode"),
        coordinates: number("longitude").zip(number("latitude")).map(|(longitude, latitude)| [longitude, latitude]),
    }
}

fn continent_name(code: &str) -> Option<&'static str> {
    Some(match code {
        "AF" => "Africa",
        "AN" => "Antarctica",
        "AS" => "Asia",
        "EU" => "Europe",
        "NA" => "North America",
        "OC" => "Oceania",
        "SA" => "South America",
        _ => return None,
    })
}

/// The English name, which the runtime knows.
fn country_name(code: &str) -> Option<String> {
    let names: Function = member(&member(&js_sys::global(), "Intl"), "DisplayNames").dyn_into().ok()?;
    let options = object([("type", "region".into())]);
    let names = Reflect::construct(&names, &Array::of2(&"en".into(), &options)).ok()?;
    let of: Function = member(&names, "of").dyn_into().ok()?;
    of.call1(&names, &code.into()).ok()?.as_string().filter(|name| name != code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cloudflare_knows_gets_the_names_of_the_collector() {
        let know = |known: &'static [(&'static str, &'static str)]| {
            let get =
                move |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
            place(get, |text| text.parse().unwrap(), |code| Some(format!("name of {code}")))
        };
        let found = know(&[
            ("city", "Warsaw"),
            ("region", "Mazovia"),
            ("country", "PL"),
            ("continent", "EU"),
            ("postalCode", "00-001"),
            ("longitude", "21.0"),
            ("latitude", "52.2"),
        ]);
        let text = |text: &str| Some(text.to_owned());
        let expected = Location {
            city: text("Warsaw"),
            province: text("Mazovia"),
            country: text("name of PL"),
            country_code: text("PL"),
            continent: text("Europe"),
            postal_code: text("00-001"),
            coordinates: Some([21.0, 52.2]),
        };
        assert_eq!(found, expected);
        for nothing in [&[][..], &[("country", "T1")], &[("country", "XX"), ("continent", "QQ")], &[("longitude", "1")]]
        {
            assert_eq!(know(nothing), Location::default(), "{nothing:?}");
        }
    }
}
