//! `keen:referrer_parser`: from what kind of place a visitor came, from which, and what was searched for there.
//!
//! The places are in `sites.rs`; here stands how a host is matched. It must not know of other add-ons.

use super::sites::{EMAIL, SEARCH, SOCIAL};
use super::url::Url;
use super::{Fields, text};

/// What the two addresses say; nothing without a referrer, or with a malformed one.
pub(super) fn fields(referrer_url: &str, page_url: &str) -> Fields {
    let Some(referrer) = Url::parse(referrer_url) else { return Fields::new() };
    let host = referrer.domain();
    if Url::parse(page_url).is_some_and(|page| is_same_site(&host, &page.domain())) {
        return vec![text("medium", "INTERNAL")];
    }
    // Mail first: `mail.google.com` is no search.
    if let Some((_, name)) = EMAIL.iter().find(|(site, _)| is_of(&host, site)) {
        return vec![text("medium", "EMAIL"), text("source", *name)];
    }
    if let Some((_, name)) = SOCIAL.iter().find(|(site, _)| is_of(&host, site)) {
        return vec![text("medium", "SOCIAL"), text("source", *name)];
    }
    if let Some((_, name, parameters)) = SEARCH.iter().find(|(site, _, _)| is_of(&host, site)) {
        let mut fields = vec![text("medium", "SEARCH"), text("source", *name)];
        let term = parameters.iter().find_map(|parameter| referrer.parameter(parameter));
        // Some write the words into the path: `/search/red shoes`.
        let term = term.or_else(|| {
            let words =
                parameters.iter().find_map(|parameter| referrer.path().strip_prefix(parameter.strip_prefix('/')?))?;
            Some(words.to_owned()).filter(|words| !words.is_empty())
        });
        fields.extend(term.map(|term| text("term", term)));
        return fields;
    }
    vec![text("medium", "UNKNOWN")]
}

fn is_same_site(one: &str, other: &str) -> bool {
    let bare = |host: &str| host.strip_prefix("www.").unwrap_or(host).to_owned();
    let (one, other) = (bare(one), bare(other));
    one == other || is_below(&one, &other) || is_below(&other, &one)
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|head| head.ends_with('.'))
}

/// Whether `host` is `site` or below it. A site that ends in `.*` has many top-level domains, of one or two short names:
/// `google.*` is `google.de` and `google.co.uk`.
fn is_of(host: &str, site: &str) -> bool {
    let Some(name) = site.strip_suffix(".*") else { return host == site || is_below(host, site) };
    let Some(at) = host
        .rfind(&format!("{name}."))
        .filter(|at| *at == 0 || host.get(..*at).is_some_and(|head| head.ends_with('.')))
    else {
        return false;
    };
    let top = host.get(at + name.len() + 1..).unwrap_or_default();
    let labels: Vec<_> = top.split('.').collect();
    match labels.as_slice() {
        [top] => (2..=6).contains(&top.len()),
        [second, top] => matches!(*second, "co" | "com" | "org" | "net") && top.len() == 2,
        _ => false,
    }
}
