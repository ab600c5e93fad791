//! Reads `keen.addons`: refuses what could never work, and does the one add-on that needs the caller's address.
//!
//! The other add-ons are done by the processor, which finds the list in the record. `keen:ip_to_geo` is done here because
//! the address is known here only, and is gone from the event when the record is written. It must not know how a place is
//! found.

use core::net::IpAddr;
use std::borrow::Cow;

use protocol::record::Location;
use protocol::{ErrorCode, PropertyPath, Refusal};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::caller::Visible;
use crate::forms::{self, Member};
use crate::patch::{self, Members, Patch, inside, look_up, member};
use crate::scan::is_address_placeholder;
use crate::scrub::scrub;

/// Add-ons of one event; auto-tracking asks for six.
const ADDONS_MAX: usize = 32;
/// Levels of an output path; with what is put there an event stays within what the processor reads.
const OUTPUT_DEPTH_MAX: usize = 16;
/// The one that is done here.
const IP_TO_GEO: &str = "keen:ip_to_geo";
/// The others that somebody does, and their inputs. Any other name is passed over.
const OTHERS: &[(&str, &[&str])] = &[
    ("keen:ua_parser", &["ua_string"]),
    ("keen:url_parser", &["url"]),
    ("keen:referrer_parser", &["referrer_url", "page_url"]),
    ("keen:date_time_parser", &["date_time"]),
];
/// What is left of an add-on that nobody does: the processor counts it.
const NOBODYS: &str = "null";

/// One request for an add-on, as far as it is understood; what is not is as if it were not there.
#[derive(Deserialize)]
struct Addon<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// What is to be changed in `event`, whose `keen.addons` is `raw`. Empty when it asks for no place.
///
/// Of what the key fills in (`autofill`) nothing may be written or removed, unless the key fills in the add-ons, too.
pub(crate) fn changes(
    event: &str,
    raw: &RawValue,
    visible: &Visible<'_>,
    autofill: &Members,
) -> Result<Members, Refusal> {
    let wrong = |message: String| Refusal::new(ErrorCode::InvalidPropertyValue, message);
    let asked = forms::list(raw.get()).ok_or_else(|| wrong("keen.addons is not a list".to_owned()))?;
    if asked.len() > ADDONS_MAX {
        return Err(wrong(format!("keen.addons has more entries than the limit of {ADDONS_MAX}")));
    }
    let is_own = patch::touches(autofill, ["keen", "addons"].into_iter());
    let is_free = |path: &str| is_own || !patch::touches(autofill, path.split('.'));
    let event = forms::members(event).unwrap_or_default();
    let mut changes = Members::new();
    let mut left = Vec::new();
    for one in &asked {
        let addon: Option<Addon<'_>> =
            one.get().starts_with('{').then(|| serde_json::from_str(one.get()).ok()).flatten();
        let inputs = addon.as_ref().and_then(|addon| OTHERS.iter().find(|(name, _)| *name == addon.name));
        let Some(addon) = addon.filter(|addon| addon.name == IP_TO_GEO || inputs.is_some()) else {
            left.push(NOBODYS.to_owned());
            continue;
        };
        let output = addon.output.and_then(forms::string).filter(|path| !path.is_empty());
        let removed = if addon.name == IP_TO_GEO { addon.removed() } else { None };
        if let Some(path) = [output.as_deref(), removed.as_deref()].into_iter().flatten().find(|path| !is_free(path)) {
            return Err(wrong(format!("an add-on may not change {path}, which the key fills in")));
        }
        if let Some(output) = &output {
            check_output(&event, output)?;
        }
        if addon.name == IP_TO_GEO {
            place(&event, &addon, output.as_deref(), visible, &mut changes);
            let is_gone = |path: &&String| {
                look_up(&event, path.split('.')).and_then(forms::string).is_some_and(|text| is_address(&text))
            };
            if let Some(path) = removed.as_ref().filter(is_gone) {
                let (path, last) = split(path);
                patch::add(&mut changes, path, last, Patch::Remove);
            }
        } else if let (Some((name, inputs)), Some(output)) = (inputs, &output) {
            left.push(addon.rebuilt(name, inputs, output, visible));
        } else {
            left.push(NOBODYS.to_owned());
        }
    }
    if !asked.is_empty() {
        let rest = if left.is_empty() { Patch::Remove } else { Patch::Set(format!("[{}]", left.join(","))) };
        patch::add(&mut changes, ["keen"].into_iter(), "addons", rest);
    }
    Ok(changes)
}

/// An output is an object, or becomes one: of `keen` only the place may be written.
fn check_output(event: &[Member<'_>], output: &str) -> Result<(), Refusal> {
    let path: PropertyPath = output
        .parse()
        .map_err(|error: protocol::event::NameError| Refusal::new(ErrorCode::InvalidPropertyName, error.to_string()))?;
    let names: Vec<&str> = path.as_str().split('.').collect();
    if names.len() > OUTPUT_DEPTH_MAX {
        let message = format!("the output of an add-on is deeper than the limit of {OUTPUT_DEPTH_MAX} levels");
        return Err(Refusal::new(ErrorCode::InvalidPropertyName, message));
    }
    if names.first() == Some(&"keen") && names != ["keen", "location"] {
        let message = format!("an add-on may not write {output}, of keen only keen.location");
        return Err(Refusal::new(ErrorCode::InvalidKeenNamespaceProperty, message));
    }
    let mut names = names.into_iter();
    let mut found = names.next().and_then(|name| member(event, name));
    while let Some(value) = found.filter(|value| value.get() != "null") {
        let Some(members) = inside(value) else {
            let message = format!("the output {output} of an add-on lies on what is no object");
            return Err(Refusal::new(ErrorCode::NamespaceType, message));
        };
        found = names.next().and_then(|name| member(&members, name));
    }
    Ok(())
}

impl Addon<'_> {
    /// An input: none when it is no text.
    fn input(&self, name: &str) -> Option<Cow<'_, str>> {
        self.given(name).and_then(forms::string)
    }

    /// What is given by this name.
    fn given(&self, name: &str) -> Option<&RawValue> {
        let members = forms::members(self.input?.get())?;
        member(&members, name)
    }

    /// The request as it goes into the record: nothing of the sender's but paths. A path in which somebody is named is
    /// none.
    fn rebuilt(&self, name: &str, inputs: &[&str], output: &str, visible: &Visible<'_>) -> String {
        let is_path =
            |path: &str| path.parse::<PropertyPath>().is_ok() && !(visible.is_scrubbed() && scrub(path).is_some());
        if !is_path(output) {
            return NOBODYS.to_owned();
        }
        let mut out = format!("{{\"name\":\"{name}\",\"input\":").into_bytes();
        let mut separator = b'{';
        for input in inputs {
            if let Some(path) = self.input(input).filter(|path| is_path(path)) {
                out.push(separator);
                separator = b',';
                patch::push_text(&mut out, input);
                out.push(b':');
                patch::push_text(&mut out, &path);
            }
        }
        out.extend_from_slice(if separator == b'{' { b"{},\"output\":" } else { b"},\"output\":" });
        patch::push_text(&mut out, output);
        out.push(b'}');
        String::from_utf8(out).unwrap_or_else(|_| NOBODYS.to_owned())
    }

    /// The path of the address that is to be gone from the event.
    fn removed(&self) -> Option<String> {
        self.given("remove_ip_property").filter(|value| value.get() == "true")?;
        let path = self.input("ip").filter(|path| path != "keen" && !path.starts_with("keen."))?;
        Some(path.into_owned())
    }
}

/// Whether a text is an address, or stands for the caller's.
fn is_address(text: &str) -> bool {
    is_address_placeholder(text) || text.trim().parse::<IpAddr>().is_ok()
}

/// Puts the place of the address that the add-on names into its output. Without one, the output stays as it is.
fn place(event: &[Member<'_>], addon: &Addon<'_>, output: Option<&str>, visible: &Visible<'_>, changes: &mut Members) {
    let Some(found) = addon.input("ip").and_then(|path| look_up(event, path.split('.'))) else { return };
    let text = forms::string(found).unwrap_or_default();
    let of_another;
    let place = if is_address_placeholder(&text) {
        visible.place()
    } else {
        of_another = text.trim().parse::<IpAddr>().ok().and_then(|address| visible.place_of(address));
        of_another.as_ref()
    };
    if let (Some(place), Some(output)) = (place, output) {
        let (path, last) = split(output);
        patch::add(changes, path, last, Patch::Into(fields(place)));
    }
}

/// The names before the last one, and that.
fn split(path: &str) -> (impl Iterator<Item = &str>, &str) {
    let (before, last) = path.rsplit_once('.').map_or(("", path), |(before, last)| (before, last));
    (before.split('.').filter(|name| !name.is_empty()), last)
}

fn fields(place: &Location) -> Members {
    match serde_json::to_value(place) {
        Ok(Value::Object(fields)) => {
            fields.iter().map(|(name, value)| (name.clone(), Patch::Set(value.to_string()))).collect()
        }
        _ => Members::new(),
    }
}
