//! Budgets of keys and addresses: meters in memory, bounded, for the rates of `collector::rate`.
//!
//! Apart because it alone decides which meters are kept. The table has a fixed size. A place that is needed is taken from
//! the meter that is nearest to being whole, because forgetting a whole one changes nothing; so memory is bounded whatever
//! addresses a stranger makes up, and those who overdraw are remembered longest.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use collector::PresentedKey;
use collector::rate::{Meter, Rate, Wait};
use protocol::settings::ProjectRates;
use serde::Deserialize;

/// What one key and one address may send. A rate of 0 is no limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateSettings {
    /// Events a second of one key.
    pub key_events_per_s: u32,
    /// Bytes of bodies a second of one key, as they come from the network.
    pub key_bytes_per_s: u32,
    /// Events a second of one address (IPv4) or network of 64 bits (IPv6).
    pub address_events_per_s: u32,
    /// Bytes of bodies a second of one address.
    pub address_bytes_per_s: u32,
    /// Seconds of a rate that may come at once.
    pub burst_s: u32,
    /// Keys and addresses that are remembered, 24 bytes each.
    pub meters_max: usize,
    /// Whether this machine's own addresses (127.0.0.0/8, ::1) have a budget too. Behind a proxy on the same machine that is
    /// not among the trusted ones, all callers would share it.
    pub limit_loopback: bool,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            key_events_per_s: 500_000,
            key_bytes_per_s: 200_000_000,
            address_events_per_s: 50_000,
            address_bytes_per_s: 50_000_000,
            burst_s: 5,
            meters_max: 131_072,
            limit_loopback: false,
        }
    }
}

/// Whose budget was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spender {
    /// The key's.
    Key,
    /// The address's.
    Address,
}

/// Meters side by side under one lock; a key or address has its place in one set.
const SET: usize = 8;

/// All budgets of a server.
pub struct Budgets {
    settings: RateSettings,
    sets: Vec<Mutex<[Slot; SET]>>,
    hasher: RandomState,
    born: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// The hash of whose meters these are; 0: nobody's.
    whose: u64,
    events: Meter,
    bytes: Meter,
}

/// The rates of one spender.
#[derive(Debug, Clone, Copy)]
struct Account {
    whose: u64,
    events: Rate,
    bytes: Rate,
}

/// Whom a request is charged to, what it is not yet charged for.
#[derive(Debug)]
pub struct Ticket {
    key: Account,
    address: Option<Account>,
    bytes: u64,
}

impl Budgets {
    /// Budgets that are all whole.
    #[must_use]
    pub fn new(settings: RateSettings) -> Self {
        let sets = settings.meters_max.div_ceil(SET).max(1);
        let sets = std::iter::repeat_with(|| Mutex::new([Slot::default(); SET])).take(sets).collect();
        Self { settings, sets, hasher: RandomState::new(), born: Instant::now() }
    }

    /// Lets a request pass if its key and address have something left, and charges one event and the declared bytes; the rest
    /// is charged by [`Budgets::settle`].
    ///
    /// # Errors
    /// With whose budget is spent and how long to wait; nothing is charged then.
    pub fn open(
        &self,
        rates: &ProjectRates,
        key: &PresentedKey,
        address: Option<IpAddr>,
        bytes: u64,
    ) -> Result<Ticket, (Spender, Wait)> {
        self.open_at(self.born.elapsed(), rates, key, address, bytes)
    }

    /// Charges what the request turned out to be: `events` in all, and body bytes beyond the declared ones.
    pub fn settle(&self, ticket: &Ticket, events: u64, bytes: u64) {
        self.settle_at(self.born.elapsed(), ticket, events, bytes);
    }

    fn open_at(
        &self,
        now: Duration,
        rates: &ProjectRates,
        key: &PresentedKey,
        address: Option<IpAddr>,
        bytes: u64,
    ) -> Result<Ticket, (Spender, Wait)> {
        let key = self.key(rates, key);
        let address = address.and_then(|address| self.address(rates, address));
        self.check(&key, now).map_err(|wait| (Spender::Key, wait))?;
        if let Some(address) = &address {
            self.check(address, now).map_err(|wait| (Spender::Address, wait))?;
        }
        let ticket = Ticket { key, address, bytes };
        self.charge(&ticket, now, 1, bytes);
        Ok(ticket)
    }

    fn settle_at(&self, now: Duration, ticket: &Ticket, events: u64, bytes: u64) {
        self.charge(ticket, now, events.saturating_sub(1), bytes.saturating_sub(ticket.bytes));
    }

    fn charge(&self, ticket: &Ticket, now: Duration, events: u64, bytes: u64) {
        if (events, bytes) == (0, 0) {
            return;
        }
        for account in std::iter::once(&ticket.key).chain(&ticket.address) {
            if account.events.is_unlimited() && account.bytes.is_unlimited() {
                continue;
            }
            self.with(account.whose, |slot| {
                slot.events = account.events.charge(slot.events, now, events);
                slot.bytes = account.bytes.charge(slot.bytes, now, bytes);
            });
        }
    }

    fn check(&self, account: &Account, now: Duration) -> Result<(), Wait> {
        if account.events.is_unlimited() && account.bytes.is_unlimited() {
            return Ok(());
        }
        let (events, bytes) = self.with(account.whose, |slot| (slot.events, slot.bytes));
        account.events.check(events, now)?;
        account.bytes.check(bytes, now)
    }

    /// Gives the meters of `whose` to `then`; new ones take the place of those nearest to being whole.
    fn with<T>(&self, whose: u64, then: impl FnOnce(&mut Slot) -> T) -> T {
        let sets = u64::try_from(self.sets.len()).unwrap_or(u64::MAX);
        let at = usize::try_from(whose % sets).unwrap_or_default();
        let Some(set) = self.sets.get(at) else { return then(&mut Slot::default()) };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = set.iter_mut().find(|slot| slot.whose == whose) {
            return then(slot);
        }
        let least = set.iter_mut().min_by_key(|slot| slot.events.nanos().max(slot.bytes.nanos()));
        let Some(slot) = least else { return then(&mut Slot::default()) };
        *slot = Slot { whose, ..Slot::default() };
        then(slot)
    }

    fn key(&self, rates: &ProjectRates, key: &PresentedKey) -> Account {
        let whose = match key {
            PresentedKey::Ours(hash) => self.hash(("ours", hash)),
            PresentedKey::Scoped(text) => self.hash(("scoped", text.reveal())),
            PresentedKey::None => self.hash("none"),
        };
        Account {
            whose,
            events: self.rate(rates.key_events_per_s.unwrap_or(self.settings.key_events_per_s)),
            bytes: self.rate(rates.key_bytes_per_s.unwrap_or(self.settings.key_bytes_per_s)),
        }
    }

    fn address(&self, rates: &ProjectRates, address: IpAddr) -> Option<Account> {
        let address = address.to_canonical();
        if address.is_loopback() && !self.settings.limit_loopback {
            return None;
        }
        let whose = match address {
            IpAddr::V4(address) => self.hash(("v4", address)),
            IpAddr::V6(address) => self.hash(("v6", address.to_bits() >> 64)),
        };
        Some(Account {
            whose,
            events: self.rate(rates.address_events_per_s.unwrap_or(self.settings.address_events_per_s)),
            bytes: self.rate(self.settings.address_bytes_per_s),
        })
    }

    fn rate(&self, per_s: u32) -> Rate {
        Rate::new(per_s, per_s.saturating_mul(self.settings.burst_s))
    }

    fn hash(&self, whose: impl Hash) -> u64 {
        self.hasher.hash_one(whose).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Key, KeyKind};

    const BURST_S: u32 = 2;

    fn budgets(meters_max: usize) -> Budgets {
        Budgets::new(RateSettings {
            key_events_per_s: 100,
            key_bytes_per_s: 1_000,
            address_events_per_s: 10,
            address_bytes_per_s: 500,
            burst_s: BURST_S,
            meters_max,
            limit_loopback: false,
        })
    }

    fn key(seed: u8) -> PresentedKey {
        PresentedKey::parse(Key::from_random(KeyKind::Write, [seed; 28]).reveal())
    }

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn whoever_spends_too_much_is_named_and_others_are_not_touched() {
        let none = ProjectRates::default();
        for (said, rates, address, events, bytes, expected) in [
            ("within all", none, "192.0.2.1", 19, 10, None),
            ("events of the address", none, "192.0.2.1", 20, 10, Some((Spender::Address, 1))),
            ("events of the key", none, "127.0.0.1", 200, 10, Some((Spender::Key, 1))),
            ("this machine has no address budget", none, "127.0.0.1", 199, 10, None),
            ("bytes of the address", none, "192.0.2.1", 1, 1_500, Some((Spender::Address, 2))),
            ("bytes of the key", none, "::1", 1, 4_000, Some((Spender::Key, 3))),
            (
                "the project's own",
                ProjectRates { key_events_per_s: Some(5), ..none },
                "::1",
                30,
                1,
                Some((Spender::Key, 5)),
            ),
            ("no limit", ProjectRates { address_events_per_s: Some(0), ..none }, "192.0.2.1", 150, 1, None),
        ] {
            let budgets = budgets(64);
            let address: IpAddr = address.parse().unwrap();
            let ticket = budgets.open_at(at(100), &rates, &key(1), Some(address), 1).unwrap();
            budgets.settle_at(at(100), &ticket, events, bytes);
            let again = budgets.open_at(at(100), &rates, &key(1), Some(address), 1);
            assert_eq!(again.err().map(|(who, wait)| (who, wait.seconds)), expected, "{said}");
            let other = budgets.open_at(at(100), &rates, &key(2), Some("192.0.2.2".parse().unwrap()), 1);
            assert!(other.is_ok(), "{said}: another key from another address");
        }
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let budgets = budgets(64);
        let rates = ProjectRates::default();
        let first = Some("2001:db8:0:1::1".parse().unwrap());
        let ticket = budgets.open_at(at(1), &rates, &key(1), first, 1).unwrap();
        budgets.settle_at(at(1), &ticket, 100, 1);
        for (address, passes) in [("2001:db8:0:1:ffff::2", false), ("2001:db8:0:2::1", true)] {
            let address = Some(address.parse().unwrap());
            assert_eq!(budgets.open_at(at(1), &rates, &key(2), address, 1).is_ok(), passes, "{address:?}");
        }
    }

    #[test]
    fn made_up_addresses_do_not_wash_a_debt_away() {
        let budgets = budgets(SET);
        let rates = ProjectRates::default();
        let debtor = Some("192.0.2.1".parse().unwrap());
        let ticket = budgets.open_at(at(1), &rates, &key(1), debtor, 1).unwrap();
        budgets.settle_at(at(1), &ticket, 199, 1);
        for made_up in 0..10_000_u32 {
            let address = Some(IpAddr::from((0x0b00_0000 + made_up).to_be_bytes()));
            let _ = budgets.open_at(at(1), &rates, &PresentedKey::None, address, 1);
        }
        assert!(budgets.open_at(at(1), &rates, &key(2), debtor, 1).is_err());
    }
}
