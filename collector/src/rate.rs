//! Budgets: how much one key or address may send, as a rate with a burst.
//!
//! Apart because the server keeps its meters in memory and the edge in a Durable Object, and both must count alike. It is
//! the generic cell rate algorithm: a meter is one number, the time at which the budget will be whole again. It must not
//! know the clock (the time is an argument), whose budget it is, or where meters are kept.
//!
//! What a request costs is only known after its body was read, so a budget can be overdrawn by what is under way:
//! [`Rate::check`] asks whether anything is left, [`Rate::charge`] takes the cost whatever is left, and a debt is paid off
//! by time before the next request passes. So a single body larger than the whole burst can pass too.
//!
//! ```
//! use std::time::Duration;
//! use collector::rate::{Meter, Rate};
//!
//! let rate = Rate::new(10, 20); // ten a second, twenty at once
//! let now = Duration::from_secs(1_000);
//! let meter = rate.charge(Meter::default(), now, 25);
//! assert!(rate.check(meter, now).is_err());
//! assert!(rate.check(meter, now + Duration::from_secs(1)).is_ok());
//! ```

use std::time::Duration;

/// Longest time for which a budget can be overdrawn; a greater debt is forgiven. So a mistake (a very large body under a
/// very low rate) shuts nobody out for hours.
pub const DEBT_MAX: Duration = Duration::from_secs(60);

const NANOS_PER_S: u64 = 1_000_000_000;

/// Units that may be spent, of whatever is counted: events, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_s: u32,
    burst: u32,
}

/// What of a budget is spent. A new one is whole. Copy it to wherever it is kept; [`Meter::nanos`] is all there is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meter {
    whole_at_nanos: u64,
}

/// A budget is spent; so long until there is some again, at least one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Seconds, rounded up.
    pub seconds: u32,
}

impl Rate {
    /// So many units a second, and so many at once. A `per_s` of 0 is no limit; a burst is at least one unit.
    #[must_use]
    pub fn new(per_s: u32, burst: u32) -> Self {
        Self { per_s, burst: burst.max(1) }
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.per_s == 0
    }

    /// Whether a request may pass at `now`: at least one unit is left.
    ///
    /// `now` counts from any fixed point that all users of a meter share. A clock that goes back makes nothing worse than
    /// the time it went back by.
    ///
    /// # Errors
    /// With how long it takes until a unit is left.
    pub fn check(&self, meter: Meter, now: Duration) -> Result<(), Wait> {
        if self.is_unlimited() || self.left(meter, now) > 0 {
            return Ok(());
        }
        let room = self.nanos(u64::from(self.burst) - 1);
        let wait = meter.whole_at_nanos.saturating_sub(nanos_of(now)).saturating_sub(room);
        Err(Wait { seconds: u32::try_from(wait.div_ceil(NANOS_PER_S)).unwrap_or(u32::MAX).max(1) })
    }

    /// The meter after `units` are spent at `now`, whether they are left or not.
    #[must_use]
    pub fn charge(&self, meter: Meter, now: Duration, units: u64) -> Meter {
        if self.is_unlimited() {
            return meter;
        }
        let now = nanos_of(now);
        let debt_max = self.nanos(u64::from(self.burst)).saturating_add(nanos_of(DEBT_MAX));
        let whole_at = meter.whole_at_nanos.max(now).saturating_add(self.nanos(units));
        Meter { whole_at_nanos: whole_at.min(now.saturating_add(debt_max)) }
    }

    /// Units that are left at `now`; [`u64::MAX`] without a limit.
    #[must_use]
    pub fn left(&self, meter: Meter, now: Duration) -> u64 {
        if self.is_unlimited() {
            return u64::MAX;
        }
        let spent = meter.whole_at_nanos.saturating_sub(nanos_of(now));
        let room = self.nanos(u64::from(self.burst)).saturating_sub(spent);
        let units = u128::from(room) * u128::from(self.per_s) / u128::from(NANOS_PER_S);
        u64::try_from(units).unwrap_or(u64::MAX).min(u64::from(self.burst))
    }

    /// Takes up to `wanted` units of what is left, never more: for who spends them elsewhere and later.
    ///
    /// Gives the meter and the units taken.
    #[must_use]
    pub fn lease(&self, meter: Meter, now: Duration, wanted: u64) -> (Meter, u64) {
        let units = self.left(meter, now).min(wanted);
        (self.charge(meter, now, units), units)
    }

    /// The time in which so many units come back.
    fn nanos(&self, units: u64) -> u64 {
        let nanos = (u128::from(units) * u128::from(NANOS_PER_S)).div_ceil(u128::from(self.per_s.max(1)));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

impl Meter {
    /// The meter that [`Meter::nanos`] gave.
    #[must_use]
    pub fn from_nanos(nanos: u64) -> Self {
        Self { whole_at_nanos: nanos }
    }

    /// When the budget is whole again, in nanoseconds since the point that `now` counts from. A time in the past is the same
    /// as a new meter, so such a meter can be forgotten.
    #[must_use]
    pub fn nanos(self) -> u64 {
        self.whole_at_nanos
    }
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(1_000_000 + ms)
    }

    #[test]
    fn a_budget_is_spent_and_comes_back_with_time() {
        // Rate and burst, then (time in ms, units charged if it passes, expected wait in s or pass).
        for (rate, story) in [
            (
                Rate::new(10, 20),
                vec![(0, 20, None), (0, 1, Some(1)), (100, 1, None), (150, 1, Some(1)), (2_200, 20, None)],
            ),
            // A body larger than the burst passes once and is paid off.
            (Rate::new(10, 20), vec![(0, 50, None), (0, 1, Some(4)), (3_000, 1, Some(1)), (3_100, 1, None)]),
            // No debt beyond a minute.
            (Rate::new(1, 1), vec![(0, 1_000_000, None), (0, 1, Some(61)), (61_000, 1, None)]),
            (Rate::new(0, 0), vec![(0, u64::MAX, None), (0, u64::MAX, None)]),
            (Rate::new(u32::MAX, u32::MAX), vec![(0, u64::MAX, None), (0, 1, Some(60))]),
            (Rate::new(5, 0), vec![(0, 1, None), (1, 1, Some(1)), (200, 1, None)]),
        ] {
            let mut meter = Meter::default();
            for (ms, units, expected) in story {
                let found = rate.check(meter, at(ms)).err().map(|wait| wait.seconds);
                assert_eq!(found, expected, "{rate:?} at {ms} ms");
                if found.is_none() {
                    meter = rate.charge(meter, at(ms), units);
                }
            }
        }
    }

    #[test]
    fn a_lease_takes_what_is_left_and_no_more() {
        let rate = Rate::new(10, 20);
        let (meter, first) = rate.lease(Meter::default(), at(0), 15);
        let (meter, second) = rate.lease(meter, at(0), 15);
        let (meter, third) = rate.lease(meter, at(0), 15);
        assert_eq!((first, second, third), (15, 5, 0));
        assert_eq!(rate.lease(meter, at(1_000), 15).1, 10);
        assert_eq!(Meter::from_nanos(meter.nanos()), meter);
    }

    proptest! {
        /// Whoever sends whenever it is let never gets more than burst + rate × time + what one request overdraws.
        #[test]
        fn over_any_time_no_more_passes_than_rate_and_burst(
            per_s in 1_u32..10_000, burst in 1_u32..10_000,
            requests in prop::collection::vec((0_u64..2_000, 1_u64..500), 1..200),
        ) {
            let rate = Rate::new(per_s, burst);
            let (mut meter, mut ms, mut spent, mut last) = (Meter::default(), 0, 0, 0);
            for (pause_ms, units) in requests {
                ms += pause_ms;
                if rate.check(meter, at(ms)).is_ok() {
                    meter = rate.charge(meter, at(ms), units);
                    (spent, last) = (spent + units, units);
                }
            }
            let allowed = u64::from(burst) + u64::from(per_s) * ms / 1_000 + last;
            prop_assert!(spent <= allowed, "{spent} of {allowed}");
        }

        /// Who waits as told is let in.
        #[test]
        fn the_wait_is_long_enough(per_s in 1_u32..10_000, burst in 1_u32..10_000, units in 1_u64..100_000) {
            let rate = Rate::new(per_s, burst);
            let meter = rate.charge(Meter::default(), at(0), units);
            if let Err(wait) = rate.check(meter, at(0)) {
                prop_assert!(rate.check(meter, at(u64::from(wait.seconds) * 1_000)).is_ok(), "{wait:?}");
            }
        }
    }
}
