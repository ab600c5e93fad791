//! How many writes are under way at once, and whose: the whole machine for one project while others sleep, a fair share
//! as soon as they don't.
//!
//! Apart because it is the one place that decides who is sent away when there is too much. Requests beyond the limit would
//! not be served sooner, only later together; so they are answered at once, before their bodies are read, and come again.
//!
//! Each project has a share of the places by its weight. It may take more as long as enough stay free for what the others
//! took lately, up to their shares; and [`NEWCOMERS`] of the places are never lent, so that who wakes up finds one at once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::ProjectId;
use serde::Deserialize;

/// How many writes are under way at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateSettings {
    /// Writes at once, from the key's look-up to the reply; one more is told to come again. Higher: more are served in one
    /// sync of the log; lower: less waiting under overload.
    pub writes_max: u32,
    /// Milliseconds that a body may take before its request gives its place back until the body is there. A sender on a slow
    /// line must not hold one.
    pub body_grace_ms: u64,
    /// Seconds after which one who was sent away may come again.
    pub retry_after_s: u32,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self { writes_max: 256, body_grace_ms: 50, retry_after_s: 2 }
    }
}

/// One in so many places is kept for projects that took none lately.
pub const NEWCOMERS: u32 = 20;
/// The weight of a project that has none set.
pub const WEIGHT: u32 = 100;
/// Projects whose shares are counted; those beyond share one.
const PROJECTS_MAX: usize = 16_384;
/// How often it is looked which projects still take places.
const TICK: Duration = Duration::from_millis(250);

/// The places, and who has them.
pub struct Gate {
    places: u32,
    hasher: RandomState,
    state: Mutex<State>,
    /// Whether a look at the state may find somebody shut out; written under its lock.
    is_tight: AtomicBool,
}

struct State {
    taken: u32,
    /// Places that are kept for projects below their shares, together.
    kept: u32,
    weights: u64,
    shares: HashMap<u64, Share, RandomState>,
    ticked: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Share {
    taken: u32,
    weight: u32,
    /// The most that were taken lately; decays.
    lately: u32,
    /// Of [`State::kept`].
    kept: u32,
}

/// A place that is taken; dropping it gives it back.
pub struct Place {
    gate: Arc<Gate>,
    whose: u64,
    is_held: bool,
}

impl Gate {
    /// A gate with so many places, all free.
    #[must_use]
    pub fn new(places: u32) -> Arc<Self> {
        let state = State { taken: 0, kept: 0, weights: 0, shares: HashMap::default(), ticked: Instant::now() };
        Arc::new(Self {
            places: places.max(1),
            hasher: RandomState::new(),
            state: Mutex::new(state),
            is_tight: AtomicBool::new(false),
        })
    }

    /// Whether any request would be sent away now; false when there certainly are places for all.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.is_tight.load(Ordering::Relaxed)
    }

    /// Notes whether it is, after every change.
    fn weigh(&self, state: &State) {
        let free = self.places.saturating_sub(state.taken);
        self.is_tight.store(free <= self.places / NEWCOMERS + state.kept, Ordering::Relaxed);
    }

    /// Whether a request to this project would be sent away now, by what is known without a look-up.
    #[must_use]
    pub fn is_shut(&self, project: &ProjectId) -> bool {
        let state = self.state();
        match state.shares.get(&self.hasher.hash_one(project)) {
            Some(share) => !state.lets_in(share, self.places),
            None => state.taken >= self.places,
        }
    }

    /// A place for a write to this project, unless there is none for it.
    #[must_use]
    pub fn enter(self: &Arc<Self>, project: &ProjectId, weight: Option<u32>) -> Option<Place> {
        self.enter_at(Instant::now(), self.hasher.hash_one(project), weight.unwrap_or(WEIGHT).max(1))
    }

    /// The place again, for who gave it back while its body came: it was let in once and is not sent away with its whole body
    /// read. So there can be more than the places; what bounds those is the room for bodies.
    fn reenter(&self, place: &mut Place) {
        let mut state = self.state();
        let mut share = state.shares.get(&place.whose).copied().unwrap_or_default();
        share.taken = share.taken.saturating_add(1);
        state.taken = state.taken.saturating_add(1);
        state.keep(place.whose, share, self.places);
        self.weigh(&state);
        place.is_held = true;
    }

    fn enter_at(self: &Arc<Self>, now: Instant, project: u64, weight: u32) -> Option<Place> {
        let mut state = self.state();
        if now.saturating_duration_since(state.ticked) >= TICK {
            state.tick(now, self.places);
        }
        let is_known = state.shares.len() < PROJECTS_MAX || state.shares.contains_key(&project);
        let whose = if is_known { project } else { 0 };
        let mut share = state.shares.get(&whose).copied().unwrap_or_default();
        state.weights = state.weights.saturating_sub(u64::from(share.weight)).saturating_add(u64::from(weight));
        share.weight = weight;
        let lets_in = state.lets_in(&share, self.places);
        share.lately = share.lately.max(share.taken.saturating_add(1));
        if lets_in {
            share.taken += 1;
            state.taken += 1;
        }
        state.keep(whose, share, self.places);
        self.weigh(&state);
        drop(state);
        lets_in.then(|| Place { gate: Arc::clone(self), whose, is_held: true })
    }

    fn leave(&self, whose: u64) {
        let mut state = self.state();
        state.taken = state.taken.saturating_sub(1);
        if let Some(mut share) = state.shares.get(&whose).copied() {
            share.taken = share.taken.saturating_sub(1);
            state.keep(whose, share, self.places);
        }
        self.weigh(&state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lets_in(&self, share: &Share, places: u32) -> bool {
        let free = places.saturating_sub(self.taken);
        let newcomers = places / NEWCOMERS;
        // Who has none yet may have the last one; nobody else goes below what is kept for newcomers.
        if free == 0 || (share.taken > 0 && free <= newcomers) {
            return false;
        }
        share.taken < self.fair(share, places) || free > newcomers + self.kept.saturating_sub(share.kept)
    }

    /// The places that are a project's when all want theirs.
    fn fair(&self, share: &Share, places: u32) -> u32 {
        let fair = u64::from(places) * u64::from(share.weight) / self.weights.max(u64::from(share.weight)).max(1);
        u32::try_from(fair).unwrap_or(places).max(1)
    }

    /// Writes a share down, with the places that are kept for it: twice what it took lately, within its share.
    fn keep(&mut self, whose: u64, mut share: Share, places: u32) {
        let wanted = self.fair(&share, places).min(share.lately.saturating_mul(2));
        self.kept = self.kept.saturating_sub(share.kept);
        share.kept = wanted.saturating_sub(share.taken);
        self.kept = self.kept.saturating_add(share.kept);
        self.shares.insert(whose, share);
    }

    /// Lets what was taken lately fade, and forgets who has taken nothing for some seconds.
    fn tick(&mut self, now: Instant, places: u32) {
        self.ticked = now;
        self.shares.retain(|_, share| {
            share.lately = share.taken.max(share.lately - share.lately.div_ceil(4));
            share.lately > 0
        });
        self.weights = self.shares.values().map(|share| u64::from(share.weight)).sum();
        self.kept = 0;
        let all: Vec<(u64, Share)> =
            self.shares.iter().map(|(whose, share)| (*whose, Share { kept: 0, ..*share })).collect();
        for (whose, share) in all {
            self.keep(whose, share, places);
        }
    }
}

impl Place {
    /// Gives the place back for a while.
    pub fn pause(&mut self) {
        if std::mem::take(&mut self.is_held) {
            self.gate.leave(self.whose);
        }
    }

    /// Takes it again.
    pub fn resume(&mut self) {
        let gate = Arc::clone(&self.gate);
        gate.reenter(self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: u32 = 100;

    struct Played {
        gate: Arc<Gate>,
        now: Instant,
        held: HashMap<u64, Vec<Place>>,
    }

    impl Played {
        fn new() -> Self {
            Self { gate: Gate::new(PLACES), now: Instant::now(), held: HashMap::new() }
        }

        /// Tries to take `wanted` places; gives how many were found.
        fn take(&mut self, project: u64, weight: u32, wanted: u32) -> usize {
            let held = self.held.entry(project).or_default();
            let before = held.len();
            for _ in 0..wanted {
                held.extend(self.gate.enter_at(self.now, project, weight));
            }
            held.len() - before
        }

        fn give_back(&mut self, project: u64, places: usize) {
            let held = self.held.entry(project).or_default();
            held.truncate(held.len().saturating_sub(places));
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }
    }

    #[test]
    fn one_alone_takes_all_but_what_is_kept_for_newcomers() {
        let mut played = Played::new();
        assert_eq!(played.take(1, WEIGHT, 1_000), 95);
        assert_eq!(played.take(2, WEIGHT, 1), 1, "a newcomer finds a place at once");
    }

    #[test]
    fn places_that_come_back_go_to_who_is_below_his_share() {
        for (weight, share) in [(100, 50), (300, 75)] {
            let mut played = Played::new();
            played.take(1, WEIGHT, 1_000);
            for _ in 0..200 {
                played.give_back(1, 5);
                played.take(2, weight, 5);
                played.take(1, WEIGHT, 1_000);
                played.pass(Duration::from_millis(10));
            }
            let (one, two) = (played.held[&1].len(), played.held[&2].len());
            assert!((share - 10..=share).contains(&two), "{one} and {two} at weight {weight}");
            assert!(one + two >= 90, "{one} and {two}");
        }
    }

    #[test]
    fn who_takes_little_is_kept_little_and_who_sleeps_nothing() {
        let mut played = Played::new();
        for _ in 0..100 {
            assert_eq!(played.take(2, WEIGHT, 3), 3, "never sent away below the share");
            played.take(1, WEIGHT, 1_000);
            played.give_back(2, 3);
            played.give_back(1, 5);
            played.pass(Duration::from_millis(10));
        }
        let taken = played.held[&1].len() + played.take(1, WEIGHT, 1_000);
        assert!((85..=92).contains(&taken), "{taken}: all but twice three and the newcomers'");
        for _ in 0..40 {
            played.pass(TICK);
            played.give_back(1, 1);
            played.take(1, WEIGHT, 1);
        }
        let taken = played.held[&1].len() + played.take(1, WEIGHT, 1_000);
        assert_eq!(taken, 95, "all but the newcomers'");
        assert_eq!(played.gate.state().shares.len(), 1);
    }

    #[test]
    fn nothing_is_left_behind() {
        let mut played = Played::new();
        for project in 0..50 {
            played.take(project, 1 + u32::try_from(project).unwrap(), 10);
        }
        played.held.clear();
        for _ in 0..40 {
            played.pass(TICK);
            drop(played.gate.enter_at(played.now, 99, WEIGHT));
        }
        played.pass(TICK);
        let mut state = played.gate.state();
        let now = played.now;
        state.tick(now, PLACES);
        state.tick(now, PLACES);
        assert_eq!((state.taken, state.kept, state.weights, state.shares.len()), (0, 0, 0, 0));
    }
}
