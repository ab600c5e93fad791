//! Holds keys and addresses to their rates, with budgets lent by a Durable Object.
//!
//! Apart because a request must rarely wait for the object that all isolates share: each isolate spends a small budget
//! that was lent to it and asks for more in the background. Addresses are counted by each isolate alone, because a
//! caller's requests go to one place of Cloudflare's. The arithmetic is the collector's, which the server counts by, too;
//! the object keeps the meters and calls [`lease`] (`objects.mjs`). It must not know what is sent.
//!
//! When the object does not answer, requests pass: a limiter that fails must not lose events.

use std::cell::{OnceCell, RefCell};
use std::net::IpAddr;
use std::time::Duration;

use collector::PresentedKey;
use collector::rate::{Meter, Rate};
use protocol::ProjectId;
use protocol::access::Grant;
use protocol::settings::ProjectRates;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{Context, Env, Error, Result, console_error};

use crate::sorted::Sorted;
use crate::web::{self, ReadHead};

/// The object's binding. One object per project.
const LIMITS: &str = "LIMITS";
/// The variable with the rates of projects that set none, as JSON of [`ProjectRates`].
const RATES: &str = "RIVULET_RATES";
/// Seconds of a rate that may come at once.
const BURST_S: u32 = 2;
/// The part of a burst that is lent at once: an isolate that ends takes no more with it.
const LENT_PART: u32 = 8;
/// Seconds for which a lent budget may be spent.
const LENT_S: u32 = 10;
/// The same in milliseconds.
const LENT_MS: i64 = 10_000;
/// Milliseconds to wait for the object.
const OBJECT_MS_MAX: u64 = 1_000;
/// Keys, and addresses, that one isolate counts; beyond it one of them starts anew.
const COUNTED_MAX: usize = 2_000;

/// What is asked of the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Question {
    subject: String,
    /// Events and bytes: their rate, burst, what was spent beyond what was lent, and what is wanted.
    budgets: [Wanted; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Wanted {
    per_s: u32,
    burst: u32,
    spent: u32,
    wanted: u32,
}

/// What the object answers: what it lends of events and bytes, and seconds to wait when one of them is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Lent {
    lent: [u32; 2],
    wait_s: u32,
}

/// Units a second; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PerSecond(u32);

impl PerSecond {
    fn burst(self) -> u32 {
        self.0.saturating_mul(BURST_S).max(1)
    }

    /// What is lent at once, and what a key may spend before anybody knows it.
    fn lent(self) -> u32 {
        (self.burst() / LENT_PART).max(1)
    }

    fn rate(self) -> Rate {
        Rate::new(self.0, self.burst())
    }
}

/// What one isolate may still spend for one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Budget {
    /// Events and bytes; below zero when a request cost more than was left.
    left: [i64; 2],
    /// What is lent lapses then.
    until_ms: i64,
    /// Nothing passes before then.
    blocked_until_ms: i64,
    is_asking: bool,
}

/// What to do about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// Pass, and ask for more meanwhile.
    PassAndAsk,
    /// Ask first.
    Ask,
    /// Refuse, for so many seconds.
    Wait(u32),
}

impl Budget {
    fn verdict(&mut self, rates: [PerSecond; 2], now_ms: i64) -> Verdict {
        if self.blocked_until_ms > now_ms {
            let wait_ms = self.blocked_until_ms.saturating_sub(now_ms).unsigned_abs();
            return Verdict::Wait(u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX));
        }
        // A key that this isolate doesn't know, or did long ago, has a little credit, of which the object hears.
        let is_new = self.until_ms <= now_ms;
        if is_new {
            self.left = self.left.map(|left| left.min(0));
        }
        let parts = || rates.iter().zip(self.left).filter(|(rate, _)| rate.0 > 0);
        let credit = |rate: &PerSecond| if is_new { i64::from(rate.lent()) } else { 0 };
        if parts().any(|(rate, left)| left.saturating_add(credit(rate)) <= 0) {
            return Verdict::Ask;
        }
        let is_low = is_new || parts().any(|(rate, left)| left < i64::from(rate.lent() / 2));
        if is_low && !self.is_asking { Verdict::PassAndAsk } else { Verdict::Pass }
    }

    fn charge(&mut self, units: [u64; 2]) {
        for (left, units) in self.left.iter_mut().zip(units) {
            *left = left.saturating_sub(i64::try_from(units).unwrap_or(i64::MAX));
        }
    }

    /// What to ask for. What was overdrawn is told, and so no longer kept here.
    fn question(&mut self, subject: &str, rates: [PerSecond; 2]) -> Question {
        self.is_asking = true;
        let overdrawn = self.left.map(|left| u32::try_from(left.min(0).unsigned_abs()).unwrap_or(u32::MAX));
        self.left = self.left.map(|left| left.max(0));
        let [events, bytes] = rates;
        let [spent_events, spent_bytes] = overdrawn;
        let budgets = [(events, spent_events), (bytes, spent_bytes)].map(|(rate, spent)| Wanted {
            per_s: rate.0,
            burst: rate.burst(),
            spent,
            wanted: rate.lent(),
        });
        Question { subject: subject.to_owned(), budgets }
    }

    fn take(&mut self, lent: Lent, now_ms: i64) {
        self.is_asking = false;
        self.blocked_until_ms = now_ms.saturating_add(i64::from(lent.wait_s).saturating_mul(1_000));
        for (left, lent) in self.left.iter_mut().zip(lent.lent) {
            *left = left.saturating_add(i64::from(lent));
        }
        self.until_ms = now_ms.saturating_add(LENT_MS);
    }
}

struct Counted {
    keys: Sorted<String, Budget>,
    addresses: Sorted<IpAddr, Meter>,
}

thread_local! {
    /// Lives as long as the isolate. Never borrowed across an await.
    static COUNTED: RefCell<Counted> =
        const { RefCell::new(Counted { keys: Sorted::new(), addresses: Sorted::new() }) };
    static DEFAULTS: OnceCell<ProjectRates> = const { OnceCell::new() };
}

/// A request that passed; its events are charged when they are known.
pub(crate) struct Passed {
    subject: String,
    address: Option<(IpAddr, Rate)>,
}

impl Passed {
    /// Takes the events of the request from the budgets.
    pub(crate) fn charge_events(&self, events: u64) {
        COUNTED.with_borrow_mut(|counted| {
            if let Some(budget) = counted.keys.get_mut(&self.subject) {
                budget.charge([events, 0]);
            }
            if let Some((address, rate)) = &self.address {
                let meter = counted.addresses.get(address).copied().unwrap_or_default();
                let charged = rate.charge(meter, now(), events);
                if counted.addresses.get(address).is_none() {
                    make_room(&mut counted.addresses);
                }
                counted.addresses.insert(*address, charged);
            }
        });
    }
}

/// Lets a request of a known key pass, or says for how many seconds not. The bytes that it declares are taken at once.
pub(crate) async fn admit(
    env: &Env,
    context: &Context,
    grant: &Grant,
    key: &PresentedKey,
    head: &ReadHead,
) -> std::result::Result<Passed, u32> {
    let (of_project, of_all) = (grant.settings.rates, defaults(env));
    let per_s = |own: Option<u32>, general: Option<u32>| PerSecond(own.or(general).unwrap_or(0));
    let of_address = per_s(of_project.address_events_per_s, of_all.address_events_per_s);
    let address = head.address().filter(|_| of_address.0 > 0).map(|address| (address, of_address.rate()));
    if let Some((address, rate)) = &address {
        let meter = COUNTED.with_borrow(|counted| counted.addresses.get(address).copied().unwrap_or_default());
        rate.check(meter, now()).map_err(|wait| wait.seconds)?;
    }
    let rates = [
        per_s(of_project.key_events_per_s, of_all.key_events_per_s),
        per_s(of_project.key_bytes_per_s, of_all.key_bytes_per_s),
    ];
    // Scoped keys of a project share a budget: anybody who has the master key makes as many as he likes.
    let name = key.hash().map_or_else(|| "scoped".to_owned(), |hash| hash.to_hex());
    let passed = Passed { subject: format!("{}/{name}", grant.key.project), address };
    if rates.iter().all(|rate| rate.0 == 0) {
        return Ok(passed);
    }
    let verdict = judge(&passed.subject, rates);
    let verdict = if verdict == Verdict::Ask {
        ask(env, &grant.key.project, &passed.subject, rates).await;
        judge(&passed.subject, rates)
    } else {
        verdict
    };
    match verdict {
        Verdict::Wait(seconds) => return Err(seconds),
        Verdict::PassAndAsk => {
            let (env, project, subject) = (env.clone(), grant.key.project.clone(), passed.subject.clone());
            context.wait_until(async move { ask(&env, &project, &subject, rates).await });
        }
        // Asked and still nothing: the object lent less than was owed already, or did not answer.
        Verdict::Pass | Verdict::Ask => {}
    }
    with_budget(&passed.subject, |budget| budget.charge([0, head.declared_bytes()]));
    Ok(passed)
}

fn judge(subject: &str, rates: [PerSecond; 2]) -> Verdict {
    with_budget(subject, |budget| budget.verdict(rates, web::now().millis()))
}

fn with_budget<T>(subject: &str, act: impl FnOnce(&mut Budget) -> T) -> T {
    COUNTED.with_borrow_mut(|counted| {
        if let Some(budget) = counted.keys.get_mut(subject) {
            return act(budget);
        }
        make_room(&mut counted.keys);
        let mut budget = Budget::default();
        let done = act(&mut budget);
        counted.keys.insert(subject.to_owned(), budget);
        done
    })
}

fn make_room<K: Ord, V>(counted: &mut Sorted<K, V>) {
    if counted.len() >= COUNTED_MAX {
        counted.drop_last();
    }
}

/// Asks the object for more.
async fn ask(env: &Env, project: &ProjectId, subject: &str, rates: [PerSecond; 2]) {
    let question = with_budget(subject, |budget| budget.question(subject, rates));
    let asking = web::within(OBJECT_MS_MAX, "the object of limits", ask_object(env, project, &question));
    let lent = asking.await.unwrap_or_else(|error| {
        console_error!("rates are not held: {error}");
        // This isolate may spend the whole rate until it asks again, so that not every request waits for the object.
        Lent { lent: question.budgets.map(|budget| budget.per_s.saturating_mul(LENT_S).max(1)), wait_s: 0 }
    });
    with_budget(subject, |budget| budget.take(lent, web::now().millis()));
}

async fn ask_object(env: &Env, project: &ProjectId, question: &Question) -> Result<Lent> {
    let text = serde_json::to_string(question).map_err(|error| Error::RustError(error.to_string()))?;
    let answer = web::ask_object(env, LIMITS, &project.to_string(), &text).await?;
    serde_json::from_str(&answer).map_err(|error| Error::RustError(format!("the object of limits: {error}")))
}

fn defaults(env: &Env) -> ProjectRates {
    DEFAULTS.with(|defaults| {
        *defaults.get_or_init(|| {
            let Ok(text) = env.var(RATES) else { return ProjectRates::default() };
            serde_json::from_str(&text.to_string()).unwrap_or_else(|error| {
                console_error!("{RATES} is not read: {error}");
                ProjectRates::default()
            })
        })
    })
}

fn now() -> Duration {
    Duration::from_millis(web::now().millis().unsigned_abs())
}

/// The object's arithmetic: charges what was `spent`, lends up to `wanted`. Gives the meter after it, what is lent, and the
/// seconds until something is left when nothing is.
#[wasm_bindgen]
#[must_use]
pub fn lease(per_s: u32, burst: u32, meter_nanos: u64, now_ms: u64, spent: u32, wanted: u32) -> Vec<u64> {
    let (rate, now) = (Rate::new(per_s, burst), Duration::from_millis(now_ms));
    let meter = rate.charge(Meter::from_nanos(meter_nanos), now, u64::from(spent));
    let wait_s = rate.check(meter, now).err().map_or(0, |wait| u64::from(wait.seconds));
    let (meter, lent) = rate.lease(meter, now, u64::from(wanted));
    vec![meter.nanos(), lent.min(u64::from(wanted)), wait_s]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_asked_for_before_it_is_used_up_and_waits_when_nothing_is_lent() {
        // 80 events a second: a burst of 160, of which 20 are lent at once.
        let rates = [PerSecond(80), PerSecond(0)];
        let mut budget = Budget::default();
        assert_eq!(budget.verdict(rates, 0), Verdict::PassAndAsk);
        let question = budget.question("k", rates);
        let wanted = Wanted { per_s: 80, burst: 160, spent: 0, wanted: 20 };
        assert_eq!((question.budgets[0], budget.verdict(rates, 0)), (wanted, Verdict::Pass));
        budget.charge([7, 1_000_000]);
        budget.take(Lent { lent: [20, 1], wait_s: 0 }, 0);
        for (events, now_ms, expected) in [
            (0, 1, Verdict::Pass),
            (4, 2, Verdict::PassAndAsk), // 9 of 20 are left
            (9, 3, Verdict::Ask),
            (30, 4, Verdict::Ask),
            (0, LENT_MS, Verdict::Ask), // the debt outlives what was lent
        ] {
            budget.charge([events, 0]);
            assert_eq!(budget.verdict(rates, now_ms), expected, "{events} {now_ms} {budget:?}");
        }
        assert_eq!(budget.question("k", rates).budgets[0].spent, 30);
        budget.take(Lent { lent: [0, 1], wait_s: 2 }, 20_000);
        let after = [20_001, 21_001, 22_000].map(|now_ms| budget.verdict(rates, now_ms));
        assert_eq!(after, [Verdict::Wait(2), Verdict::Wait(1), Verdict::Ask]);
    }

    #[test]
    fn the_object_never_lends_more_than_the_rate_allows() {
        let (mut meter, mut lent) = (0, 0);
        for now_ms in (0..10_000_u64).step_by(100) {
            let answer = lease(50, 100, meter, 1_000_000 + now_ms, 3, 30);
            meter = answer[0];
            lent += answer[1] + 3;
        }
        // 10 s at 50 a second, a burst of 100, and what is overdrawn at most.
        assert!((500..=603).contains(&lent), "{lent}");
    }
}
