//! Reads which page sends a request, and says whether a list of origins or hosts allows one.
//!
//! Apart because an address that is read in another way than browsers read it opens what a list was to close. It must
//! not know keys.

/// Scheme, host and port of an address or origin, all as they stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
}

/// Takes an address apart; none when it has no scheme or no host.
fn parts(address: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = address.split_once("://")?;
    // Browsers read a backslash as a slash.
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    let is_usual = (scheme.eq_ignore_ascii_case("https") && port == "443")
        || (scheme.eq_ignore_ascii_case("http") && port == "80");
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then_some(Parts { scheme, host, port: if is_usual { "" } else { port } })
}

/// The host of an address or origin, in lower case.
pub(crate) fn host(address: &str) -> Option<String> {
    parts(address).map(|parts| parts.host.to_ascii_lowercase())
}

/// Whether `listed` (`shop.example`, or `*.shop.example` for every host below it) is this host.
fn is_host(listed: &str, host: &str) -> bool {
    match listed.strip_prefix("*.") {
        Some(domain) => {
            let at = host.len().checked_sub(domain.len() + 1).filter(|at| *at > 0);
            at.and_then(|at| host.get(at..)).is_some_and(|end| {
                end.strip_prefix('.').is_some_and(|end| !domain.is_empty() && end.eq_ignore_ascii_case(domain))
            })
        }
        None => listed.eq_ignore_ascii_case(host),
    }
}

/// Whether one of the listed origins (`https://shop.example`, `https://*.shop.example`) is that of `address`.
pub(crate) fn is_listed(listed: &[String], address: Option<&str>) -> bool {
    let Some(asked) = address.and_then(parts) else { return false };
    listed.iter().filter_map(|one| parts(one)).any(|one| {
        one.scheme.eq_ignore_ascii_case(asked.scheme) && one.port == asked.port && is_host(one.host, asked.host)
    })
}

/// Whether a redirect may go to `address`: an empty list allows every one.
pub(crate) fn is_redirect_allowed(hosts: &[String], address: &str) -> bool {
    hosts.is_empty()
        || parts(address).is_some_and(|asked| hosts.iter().any(|one| is_host(one.trim_end_matches('.'), asked.host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_listed_by_scheme_host_and_port() {
        let listed = [
            "https://shop.example".to_owned(),
            "https://*.shop.example/".to_owned(),
            "http://localhost:3000".to_owned(),
        ];
        for (address, allowed) in [
            (Some("https://shop.example"), true),
            (Some("HTTPS://Shop.Example:443"), true),
            (Some("https://shop.example/path?a=https://evil.example"), true),
            (Some("https://www.shop.example"), true),
            (Some("https://a.b.shop.example"), true),
            (Some("http://localhost:3000"), true),
            (Some("http://localhost"), false),
            (Some("http://shop.example"), false),
            (Some("https://shop.example:8443"), false),
            (Some("https://myshop.example"), false),
            (Some("https://.shop.example"), false),
            (Some("https://shop.example.evil.example"), false),
            (Some("https://shop.example@evil.example"), false),
            (Some("https://evil.example\\@shop.example"), false),
            (Some("https://evil.example#@shop.example"), false),
            (Some("https:///shop.example"), false),
            (Some("null"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_listed(&listed, address), allowed, "{address:?}");
        }
    }

    #[test]
    fn a_redirect_goes_to_listed_hosts_only() {
        let hosts = ["go.example".to_owned(), "*.shop.example".to_owned()];
        for (address, allowed) in [
            ("https://go.example/x", true),
            ("http://go.example.:8080", true),
            ("https://www.shop.example", true),
            ("https://shop.example", false),
            ("https://go.example@evil.example/", false),
            ("https://evil.example\\.go.example", false),
            ("https:///go.example", false),
        ] {
            assert_eq!(is_redirect_allowed(&hosts, address), allowed, "{address}");
            assert!(is_redirect_allowed(&[], address));
        }
    }

    #[test]
    fn the_host_of_a_page_is_its_site() {
        for (address, expected) in [
            ("https://Shop.example/a", Some("shop.example")),
            ("http://[::1]:80/", Some("[::1]")),
            ("http://[::1]", Some("[::1]")),
            ("null", None),
        ] {
            assert_eq!(host(address).as_deref(), expected, "{address}");
        }
    }
}
