//! What is known of a caller, and how much of it a project's settings let its events see.
//!
//! Apart because this is where privacy is decided: everything that is written of an address, an agent or a place comes out
//! of [`Visible`], so what it does not give can't be stored. It must not know events.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::cell::OnceCell;
use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use protocol::ProjectId;
use protocol::record::{Context, Location};
use protocol::settings::{AddressPolicy, LocationPolicy, Privacy, UserAgentPolicy, VisitorPolicy};
use sha2::Sha256;

use crate::agent;
use crate::bots::is_bot;
use crate::origin;
use crate::route::Headers;

/// Bytes of a visitor's hash that are kept.
const VISITOR_BYTES: usize = 16;
/// Bits of an IPv6 address that are kept of one that may be kept truncated.
pub(crate) const KEPT_BITS_V6: u32 = 48;

/// Who sent a request, as the shell knows it.
#[derive(Clone, Copy, Default)]
pub struct Caller<'a> {
    /// The request's headers, as they were given to [`crate::route`].
    pub headers: Headers<'a>,
    /// The caller's address: the peer's, or the one a trusted proxy names.
    pub address: Option<IpAddr>,
    /// Finds the place of an address; none where nothing is known of places.
    pub locate: Option<&'a (dyn Fn(IpAddr) -> Option<Location> + Sync)>,
    /// The day's salt for [`protocol::record::Context::visitor`]; none: visitors are not told apart.
    pub salt: Option<&'a [u8; 32]>,
}

impl std::fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the address, nor the salt.
        f.write_str("Caller(…)")
    }
}

/// As much of a caller as the settings let be seen.
pub(crate) struct Visible<'a> {
    caller: &'a Caller<'a>,
    privacy: &'a Privacy,
    /// The visitor asked not to be followed and the project honours that: nothing of him is seen.
    is_anonymous: bool,
    /// Found at most once a request.
    place: OnceCell<Option<Location>>,
    agent_json: OnceCell<String>,
}

impl<'a> Visible<'a> {
    pub(crate) fn new(caller: &'a Caller<'a>, privacy: &'a Privacy) -> Self {
        let asks_not_to_be_followed = caller.headers.gpc.is_some_and(|value| value.trim() == "1");
        Self {
            caller,
            privacy,
            is_anonymous: privacy.honour_gpc && asks_not_to_be_followed,
            place: OnceCell::new(),
            agent_json: OnceCell::new(),
        }
    }

    /// Whether string values are scrubbed.
    pub(crate) const fn is_scrubbed(&self) -> bool {
        self.privacy.scrub
    }

    /// What takes the place of `${keen.ip}`, as JSON.
    pub(crate) fn address_json(&self) -> String {
        let address = self.address().and_then(|address| match self.privacy.address {
            AddressPolicy::Drop => None,
            AddressPolicy::Truncate => Some(truncated(address, KEPT_BITS_V6)),
            AddressPolicy::Keep => Some(address),
        });
        address.map_or_else(|| "null".to_owned(), |address| format!("\"{address}\""))
    }

    /// What takes the place of `${keen.user_agent}`, as JSON.
    pub(crate) fn agent_json(&self) -> &str {
        self.agent_json.get_or_init(|| {
            let agent = self.caller.headers.user_agent.filter(|_| !self.is_anonymous);
            let shown = agent.map(|agent| match self.privacy.user_agent {
                UserAgentPolicy::Reduced => agent::reduced(agent),
                UserAgentPolicy::Full => agent::cut(agent).to_owned(),
            });
            // A text always serialises.
            serde_json::to_string(&shown).unwrap_or_else(|_| "null".to_owned())
        })
    }

    /// The place of the caller, for an event that asks for it.
    pub(crate) fn place(&self) -> Option<&Location> {
        self.place.get_or_init(|| self.place_of(self.address()?)).as_ref()
    }

    /// The place of any address, for an event that asks for it.
    pub(crate) fn place_of(&self, address: IpAddr) -> Option<Location> {
        if self.is_anonymous {
            return None;
        }
        self.caller.locate.and_then(|locate| locate(address))
    }

    /// What all events of the request are told of the caller; none when there is nothing.
    pub(crate) fn context(&self, project: &ProjectId) -> Option<Context<'static>> {
        if self.is_anonymous {
            return None;
        }
        let location = match self.privacy.location {
            LocationPolicy::None => None,
            LocationPolicy::City => self.place().cloned(),
            LocationPolicy::Country => self.place().map(|place| Location {
                country: place.country.clone(),
                country_code: place.country_code.clone(),
                continent: place.continent.clone(),
                ..Location::default()
            }),
        };
        let context = Context {
            bot: self.caller.headers.user_agent.is_some_and(is_bot),
            visitor: self.visitor(project).map(Into::into),
            location: location.filter(|location| *location != Location::default()),
        };
        (context != Context::default()).then_some(context)
    }

    /// A name for the visitor that means nothing tomorrow, on another site or in another project.
    fn visitor(&self, project: &ProjectId) -> Option<String> {
        if self.privacy.visitor == VisitorPolicy::None {
            return None;
        }
        let Headers { origin, referer, user_agent, .. } = self.caller.headers;
        let site = origin.and_then(origin::host).or_else(|| referer.and_then(origin::host))?;
        let network = truncated(self.address()?, 64).to_string();
        let mut hash = Hmac::<Sha256>::new_from_slice(self.caller.salt?).ok()?;
        for part in [project.as_str(), &site, &network, user_agent.unwrap_or_default()] {
            hash.update(part.as_bytes());
            // None of them holds a line break, so no two lists of parts are one text.
            hash.update(b"\n");
        }
        let mut text = String::with_capacity(VISITOR_BYTES * 2);
        for byte in hash.finalize().into_bytes().iter().take(VISITOR_BYTES) {
            let _ = write!(text, "{byte:02x}");
        }
        Some(text)
    }

    /// The address, for use only: whether it may be kept is decided by who writes it.
    fn address(&self) -> Option<IpAddr> {
        self.caller.address.filter(|_| !self.is_anonymous).map(|address| address.to_canonical())
    }
}

/// The network of an address: /24 of IPv4, `bits_v6` (at most 64) of IPv6, the rest zero.
pub(crate) fn truncated(address: IpAddr, bits_v6: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & 0xffff_ff00)),
        IpAddr::V6(address) => {
            let kept = u128::MAX.checked_shl(128_u32.saturating_sub(bits_v6)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "Mozilla/5.0 (Linux; Android 13; Pixel 7) Chrome/116.0.5845.172";

    fn caller<'a>(address: &str, headers: Headers<'a>) -> Caller<'a> {
        Caller { headers, address: Some(address.parse().unwrap()), salt: Some(&[1; 32]), ..Caller::default() }
    }

    fn page(gpc: Option<&'static str>) -> Headers<'static> {
        Headers { origin: Some("https://shop.example"), user_agent: Some(AGENT), gpc, ..Headers::default() }
    }

    #[test]
    fn an_address_is_seen_as_the_project_has_it() {
        for (policy, address, gpc, expected) in [
            (AddressPolicy::Drop, "203.0.113.9", None, "null"),
            (AddressPolicy::Truncate, "203.0.113.9", None, "\"203.0.113.0\""),
            (AddressPolicy::Truncate, "2001:db8:1:2:3::4", None, "\"2001:db8:1::\""),
            (AddressPolicy::Truncate, "::ffff:203.0.113.9", None, "\"203.0.113.0\""),
            (AddressPolicy::Keep, "203.0.113.9", None, "\"203.0.113.9\""),
            (AddressPolicy::Keep, "203.0.113.9", Some("1"), "null"),
            (AddressPolicy::Keep, "203.0.113.9", Some("0"), "\"203.0.113.9\""),
        ] {
            let privacy = Privacy { address: policy, ..Privacy::default() };
            let caller = caller(address, page(gpc));
            assert_eq!(Visible::new(&caller, &privacy).address_json(), expected, "{policy:?} {address} {gpc:?}");
        }
    }

    #[test]
    fn an_agent_is_seen_as_the_project_has_it() {
        for (policy, gpc, expected) in [
            (UserAgentPolicy::Reduced, None, "\"Mozilla/5.0 (Linux; Android 13; K) Chrome/116.0.0.0\""),
            (UserAgentPolicy::Full, None, "\"Mozilla/5.0 (Linux; Android 13; Pixel 7) Chrome/116.0.5845.172\""),
            (UserAgentPolicy::Full, Some("1"), "null"),
        ] {
            let privacy = Privacy { user_agent: policy, ..Privacy::default() };
            let caller = caller("203.0.113.9", page(gpc));
            assert_eq!(Visible::new(&caller, &privacy).agent_json(), expected, "{policy:?} {gpc:?}");
        }
    }

    #[test]
    fn a_visitor_is_one_within_a_day_a_site_a_network_an_agent_and_a_project() {
        let privacy = Privacy::default();
        let visitor = |caller: &Caller<'_>, project: &str| {
            let context = Visible::new(caller, &privacy).context(&project.parse().unwrap());
            context.and_then(|context| context.visitor).map(String::from)
        };
        let one = caller("203.0.113.9", page(None));
        let known = visitor(&one, "p");
        // printf 'p\nshop.example\n203.0.113.0\n<agent>\n' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101…
        assert_eq!(known.as_deref().map(str::len), Some(32));
        let referer = Headers { origin: Some("null"), referer: Some("https://shop.example/page"), ..page(None) };
        for (other, is_same) in [
            (caller("203.0.113.200", page(None)), true),
            (caller("203.0.113.9", referer), true),
            (caller("203.0.114.9", page(None)), false),
            (caller("203.0.113.9", Headers { origin: Some("https://other.example"), ..page(None) }), false),
            (caller("203.0.113.9", Headers { user_agent: Some("other"), ..page(None) }), false),
            (Caller { salt: Some(&[2; 32]), ..one }, false),
        ] {
            assert_eq!(visitor(&other, "p") == known, is_same);
        }
        assert_ne!(visitor(&one, "q"), known);
        for nobody in [
            caller("203.0.113.9", page(Some("1"))),
            caller("203.0.113.9", Headers { origin: None, ..page(None) }),
            Caller { salt: None, ..one },
            Caller { address: None, ..one },
        ] {
            assert_eq!(visitor(&nobody, "p"), None);
        }
        let off = Privacy { visitor: VisitorPolicy::None, ..privacy };
        assert_eq!(Visible::new(&one, &off).context(&"p".parse().unwrap()), None);
    }

    #[test]
    fn a_place_is_kept_as_far_as_the_project_has_it() {
        let locate = |address: IpAddr| {
            (address.to_string() == "203.0.113.9").then(|| Location {
                city: Some("Berlin".into()),
                country_code: Some("DE".into()),
                coordinates: Some([13.4, 52.5]),
                ..Location::default()
            })
        };
        let country = Location { country_code: Some("DE".into()), ..Location::default() };
        for (policy, address, gpc, expected) in [
            (LocationPolicy::None, "203.0.113.9", None, None),
            (LocationPolicy::Country, "203.0.113.9", None, Some(country)),
            (LocationPolicy::City, "::ffff:203.0.113.9", None, locate("203.0.113.9".parse().unwrap())),
            (LocationPolicy::City, "203.0.113.10", None, None),
            (LocationPolicy::City, "203.0.113.9", Some("1"), None),
        ] {
            let privacy = Privacy { location: policy, visitor: VisitorPolicy::None, ..Privacy::default() };
            let caller = Caller { locate: Some(&locate), ..caller(address, page(gpc)) };
            let context = Visible::new(&caller, &privacy).context(&"p".parse().unwrap());
            assert_eq!(context.and_then(|context| context.location), expected, "{policy:?} {address} {gpc:?}");
        }
    }

    #[test]
    fn nothing_of_a_caller_is_printed() {
        assert_eq!(format!("{:?}", caller("203.0.113.9", page(None))), "Caller(…)");
    }
}
