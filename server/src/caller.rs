//! Finds out who sends a request: the address behind trusted proxies, and its place.
//!
//! Apart because a header names any address somebody likes: only what a trusted proxy wrote counts. Addresses are used,
//! never kept or logged here; what of them may be kept is decided by crate `collector`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::Deserialize;

use crate::config::Config;
use crate::listen::Peer;
use crate::places::Places;

/// The header in which proxies write whom they ask for, each adding the address it was called from.
const FORWARDED: &str = "x-forwarded-for";
/// Proxies one behind the other that are looked at; beyond them the last one counts as the caller.
const HOPS_MAX: usize = 16;

/// A network of addresses, such as `10.0.0.0/8`; a single address is one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether the address is in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let kept = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                first.to_bits() & kept == address.to_bits() & kept
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let kept = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                first.to_bits() & kept == address.to_bits() & kept
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no network such as 10.0.0.0/8 or 2001:db8::/32");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits_max = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(bits_max), str::parse).map_err(|_| wrong())?;
        if bits > bits_max { Err(wrong()) } else { Ok(Self { first, bits }) }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What is known of callers.
pub struct Callers {
    proxies: Vec<Network>,
    /// The file of places.
    pub places: Places,
}

impl Callers {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When the file of places can't be read.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let places = Places::open(config.places.database.as_deref())?;
        Ok(Self { proxies: config.http.trusted_proxies.clone(), places })
    }

    /// Who sends this request: the peer, or whom the trusted proxies say they ask for. None when the peer is not known.
    #[must_use]
    pub fn address(&self, parts: &Parts) -> Option<IpAddr> {
        let peer = parts.extensions.get::<Peer>()?;
        Some(behind(&self.proxies, peer.0, &parts.headers))
    }
}

/// The rightmost address that is not a trusted proxy's: what stands further left may be anybody's invention.
fn behind(proxies: &[Network], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut caller = peer.to_canonical();
    let written = headers.get_all(FORWARDED).iter().rev();
    let hops = written.filter_map(|value| value.to_str().ok()).flat_map(|line| line.rsplit(','));
    for hop in hops.take(HOPS_MAX) {
        if !proxies.iter().any(|proxy| proxy.holds(caller)) {
            break;
        }
        let Some(next) = address(hop.trim()) else { break };
        caller = next;
    }
    caller
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        for (network, address, holds) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.holds(address.parse().unwrap()), holds, "{network} {address}");
        }
        for wrong in ["10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::/129", "local", ""] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_a_trusted_proxy_wrote_counts() {
        let proxies: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("203.0.113.9", &["198.51.100.1"] as &[&str], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.1", "198.51.100.1,10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["192.0.2.1, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append(FORWARDED, line.parse().unwrap());
            }
            let found = behind(&proxies, peer.parse().unwrap(), &headers);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }
}
