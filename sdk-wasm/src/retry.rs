//! Decides how long to leave the collector alone after a failure.
//!
//! Full jitter between one second and a window that doubles up to five minutes; a collector that names a time
//! (`Retry-After`) is obeyed; and a budget keeps retries to a tenth of what got through. Separate from the outbox so
//! that the arithmetic can be read and tested alone. Knows no clock and no source of randomness: times are arguments
//! and the jitter comes from a seed given at the start.

use crate::outbox::Millis;

/// Shortest time between a failure and the retry, and the first window.
pub const DELAY_MS_MIN: u64 = 1_000;
/// Longest window of the jitter (trust notes §4: five minutes).
pub const DELAY_MS_MAX: u64 = 5 * 60 * 1_000;
/// A `Retry-After` beyond this is cut to it, so that one mistaken header doesn't silence a page for good.
pub const RETRY_AFTER_MS_MAX: u64 = 60 * 60 * 1_000;
/// What a retry costs of the budget; a batch that is stored earns 1, so that retries stay a tenth of what is sent.
const RETRY_COST: u32 = 10;
/// The budget at the start and at most: ten retries, about what the doubling needs to reach its longest window.
const BUDGET_MAX: u32 = 10 * RETRY_COST;

/// When the next request may leave, after failures.
#[derive(Debug)]
pub struct Retry {
    random: u64,
    failures: u32,
    budget: u32,
    pause: Option<Pause>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Millis,
    /// The collector named the time; nothing of ours may shorten it.
    ordered: bool,
}

impl Retry {
    /// No failure so far. `seed` makes the jitter; pages must not share it.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // The generator below never leaves 0.
        Self { random: seed | 1, failures: 0, budget: BUDGET_MAX, pause: None }
    }

    /// Takes note of a request that failed at `now`, and of the wait its answer asked for.
    pub fn failed(&mut self, now: Millis, retry_after_ms: Option<u64>) {
        self.failures = self.failures.saturating_add(1);
        let window = (DELAY_MS_MIN << self.failures.min(20)).min(DELAY_MS_MAX);
        let mut delay = retry_after_ms.unwrap_or(DELAY_MS_MIN).clamp(DELAY_MS_MIN, RETRY_AFTER_MS_MAX);
        if self.budget < RETRY_COST {
            delay = delay.max(DELAY_MS_MAX);
        } else {
            self.budget -= RETRY_COST;
            delay += self.below(window - DELAY_MS_MIN + 1);
        }
        self.pause = Some(Pause { until: now.plus(delay), ordered: retry_after_ms.is_some() });
    }

    /// Takes note of a batch that was stored.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.budget = (self.budget + 1).min(BUDGET_MAX);
        self.pause = None;
    }

    /// The network is back: a wait that was only our guess ends at `now`.
    pub fn network_back(&mut self, now: Millis) {
        if let Some(pause) = self.pause.as_mut().filter(|pause| !pause.ordered) {
            pause.until = pause.until.min(now);
        }
    }

    /// When the next request may leave; `None` if nothing failed since the last success.
    #[must_use]
    pub fn until(&self) -> Option<Millis> {
        self.pause.map(|pause| pause.until)
    }

    /// Whether the collector asked for silence that still lasts at `now`.
    #[must_use]
    pub fn silenced(&self, now: Millis) -> bool {
        self.pause.is_some_and(|pause| pause.ordered && pause.until > now)
    }

    /// A number below `limit` (which is not 0), by xorshift: good enough to spread retries.
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(retry: &mut Retry, failures: usize, retry_after_ms: Option<u64>) -> Vec<u64> {
        let mut delays = Vec::new();
        for _ in 0..failures {
            retry.failed(Millis(0), retry_after_ms);
            delays.push(retry.until().unwrap().0);
        }
        delays
    }

    #[test]
    fn the_wait_stays_in_its_doubling_window() {
        for seed in 1..500 {
            for (failure, delay) in (1_u32..).zip(delays(&mut Retry::new(seed), 10, None)) {
                let window = (1_000 << failure).min(300_000);
                assert!((1_000..=window).contains(&delay), "seed {seed}, failure {failure}: {delay}");
            }
        }
    }

    #[test]
    fn different_seeds_spread_over_the_whole_window() {
        let all: Vec<u64> = (1..1_000).map(|seed| delays(&mut Retry::new(seed << 17), 6, None)[5]).collect();
        for slice in 0..8 {
            let from = 1_000 + slice * 63_000 / 8;
            let hits = all.iter().filter(|delay| (from..from + 63_000 / 8).contains(*delay)).count();
            assert!(hits > 60, "{hits} of 1,000 in slice {slice}");
        }
    }

    #[test]
    fn retry_after_is_never_undercut_not_even_when_the_network_comes_back() {
        for (asked, least) in [(5_000, 5_000), (0, 1_000), (3_600_000, 3_600_000), (u64::MAX, RETRY_AFTER_MS_MAX)] {
            let mut retry = Retry::new(7);
            retry.failed(Millis(100), Some(asked));
            retry.network_back(Millis(200));
            assert!(retry.until().unwrap() >= Millis(100 + least), "asked {asked}");
            assert!(retry.silenced(Millis(100 + least - 1)), "asked {asked}");
        }
    }

    #[test]
    fn a_guessed_wait_ends_when_the_network_comes_back() {
        let mut retry = Retry::new(7);
        retry.failed(Millis(100), None);
        retry.network_back(Millis(200));
        assert_eq!(retry.until(), Some(Millis(200)));
    }

    #[test]
    fn beyond_the_budget_every_retry_waits_longest_and_ten_successes_buy_one() {
        let mut retry = Retry::new(3);
        delays(&mut retry, 10, None);
        assert_eq!(delays(&mut retry, 3, None), [DELAY_MS_MAX; 3]);
        for _ in 0..10 {
            retry.succeeded();
        }
        assert!(delays(&mut retry, 1, None)[0] <= 2_000);
        assert_eq!(delays(&mut retry, 1, None), [DELAY_MS_MAX]);
    }
}
