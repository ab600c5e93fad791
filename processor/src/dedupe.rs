//! Remembers which events were stored, for a window of days, so that a repeat is recognised.
//!
//! The window moves with the time at which records were received, never with a clock, so a replay of the log decides
//! as the first run did. The memory is rebuilt from the store's own ids after a restart; there is no second file that
//! could disagree with the rows. Only a time that lies ahead of what the shell believes ([`Dedupe::believe_until`])
//! doesn't move it: one record with a wrong time must not make it forget all others.

use std::collections::HashMap;

use ahash::RandomState;
use protocol::limits::{DEDUPE_TOKEN_WINDOW_DAYS, DEDUPE_WINDOW_DAYS};
use protocol::{EventId, ProjectId, Timestamp};

/// The ids of the last [`DEDUPE_WINDOW_DAYS`] days, those of uniqueness tokens of [`DEDUPE_TOKEN_WINDOW_DAYS`]. An entry
/// takes 19 bytes, so an event 22 to 42 as the tables grow by doubling (`examples/bench_dedupe.rs`).
#[derive(Debug)]
pub struct Dedupe {
    /// Day of receipt by project and id. The ids are a stranger's, so the hash is keyed; it is the cheapest such one, because this is most of what an event
    /// costs here.
    projects: HashMap<ProjectId, HashMap<EventId, Day, RandomState>>,
    /// The newest day seen.
    newest_day: i64,
    /// Days beyond this one are taken for it.
    last_day: i64,
}

/// A day since 1970 in two bytes without alignment, because the memory is made of it; enough until the year 2149.
type Day = [u8; 2];

impl Default for Dedupe {
    fn default() -> Self {
        Self { projects: HashMap::new(), newest_day: 0, last_day: i64::MAX }
    }
}

impl Dedupe {
    /// Times of receipt beyond `latest` don't move the window any more.
    pub fn believe_until(&mut self, latest: Timestamp) {
        self.last_day = latest.days();
    }

    /// Notes an event that was received at `received_at`; false when its id is known already.
    pub fn insert(&mut self, project: &ProjectId, id: EventId, received_at: Timestamp) -> bool {
        let day = received_at.days().min(self.last_day);
        if day > self.newest_day {
            self.newest_day = day;
            self.forget();
        }
        let ids = match self.projects.get_mut(project) {
            Some(ids) => ids,
            None => self.projects.entry(project.clone()).or_default(),
        };
        match ids.entry(id) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(pack(day));
                true
            }
        }
    }

    /// Notes an id that a store hands back after a restart, unless it would be forgotten by now. `newest` is the time that
    /// went to [`Dedupe::since`].
    pub fn recall(&mut self, project: &ProjectId, id: EventId, received_at: Timestamp, newest: Timestamp) {
        self.newest_day = self.newest_day.max(newest.days().min(self.last_day));
        if received_at.days() >= self.newest_day - window_days(&id) {
            self.insert(project, id, received_at);
        }
    }

    /// Ids that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.projects.values().map(HashMap::len).sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Since when events are remembered once one was received at `newest`: what a store has to hand back after a restart,
    /// so that the memory is what it was before.
    #[must_use]
    pub fn since(newest: Timestamp) -> Timestamp {
        let days = DEDUPE_WINDOW_DAYS.max(DEDUPE_TOKEN_WINDOW_DAYS);
        Timestamp::from_millis((newest.days() - i64::from(days)).saturating_mul(86_400_000))
    }

    /// Drops what is older than its window; runs once a day of received records.
    fn forget(&mut self) {
        let newest = self.newest_day;
        for ids in self.projects.values_mut() {
            ids.retain(|id, day| unpack(*day) >= newest - window_days(id));
            // A quiet time after a busy one gives its memory back.
            if ids.capacity() > 4 * ids.len() {
                ids.shrink_to(2 * ids.len());
            }
        }
        self.projects.retain(|_, ids| !ids.is_empty());
    }
}

/// For how many days an id is remembered.
fn window_days(id: &EventId) -> i64 {
    i64::from(if id.is_token() { DEDUPE_TOKEN_WINDOW_DAYS } else { DEDUPE_WINDOW_DAYS })
}

fn pack(day: i64) -> Day {
    u16::try_from(day.max(0)).unwrap_or(u16::MAX).to_le_bytes()
}

fn unpack(day: Day) -> i64 {
    i64::from(u16::from_le_bytes(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_millis(day * DAY_MS)
    }

    #[test]
    fn an_id_is_new_once_per_project() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let id = EventId::from_bytes([1; 16]);
        let mut dedupe = Dedupe::default();
        assert!(dedupe.insert(&a, id, at(10)));
        assert!(!dedupe.insert(&a, id, at(10)));
        assert!(dedupe.insert(&b, id, at(10)));
        assert_eq!(dedupe.len(), 2);
    }

    #[test]
    fn ids_are_forgotten_after_the_window_and_not_before() {
        let project = "a".parse().unwrap();
        let (old, other) = (EventId::from_bytes([1; 16]), EventId::from_bytes([2; 16]));
        let window = i64::from(DEDUPE_WINDOW_DAYS);
        let mut dedupe = Dedupe::default();
        assert!(dedupe.insert(&project, old, at(10)));
        assert!(dedupe.insert(&project, other, at(10 + window)));
        assert!(!dedupe.insert(&project, old, at(10 + window)), "still within the window");
        assert!(dedupe.insert(&project, EventId::from_bytes([3; 16]), at(11 + window)));
        assert!(dedupe.insert(&project, old, at(11 + window)), "beyond the window");
    }

    fn token(n: u8) -> EventId {
        let mut bytes = [n; 16];
        bytes[0] = 0xff;
        EventId::from_bytes(bytes)
    }

    #[test]
    fn a_uniqueness_token_is_remembered_for_31_days() {
        let project = "a".parse().unwrap();
        let mut dedupe = Dedupe::default();
        assert!(token(1).is_token());
        assert!(dedupe.insert(&project, token(1), at(10)));
        for (day, is_new) in [(18, false), (41, false), (42, true)] {
            dedupe.insert(&project, EventId::from_bytes([day; 16]), at(i64::from(day)));
            assert_eq!(dedupe.insert(&project, token(1), at(i64::from(day))), is_new, "day {day}");
        }
    }

    #[test]
    fn a_time_far_ahead_makes_it_forget_nothing() {
        let project = "a".parse().unwrap();
        let (old, wrong) = (EventId::from_bytes([1; 16]), EventId::from_bytes([2; 16]));
        let mut dedupe = Dedupe::default();
        dedupe.believe_until(at(11));
        assert!(dedupe.insert(&project, old, at(10)));
        assert!(dedupe.insert(&project, wrong, at(4_000)));
        assert!(!dedupe.insert(&project, old, at(10)), "the window has not moved");
        assert!(!dedupe.insert(&project, wrong, at(4_000)));
        dedupe.believe_until(at(30));
        assert!(dedupe.insert(&project, token(1), at(30)));
        assert!(dedupe.insert(&project, wrong, at(30)), "it was remembered as of day 11");
    }

    #[test]
    fn a_memory_rebuilt_from_what_since_names_decides_as_the_old_one() {
        let project = "a".parse().unwrap();
        let mut old = Dedupe::default();
        let events: Vec<_> = (0..50_u8)
            .flat_map(|n| [EventId::from_bytes([n; 16]), token(n)].map(|id| (id, at(i64::from(n)).plus_millis(5))))
            .collect();
        for (id, received) in &events {
            assert!(old.insert(&project, *id, *received));
        }
        let newest = events.last().unwrap().1;
        let mut new = Dedupe::default();
        for (id, received) in events.iter().filter(|(_, received)| *received >= Dedupe::since(newest)) {
            new.recall(&project, *id, *received, newest);
        }
        assert_eq!(new.len(), old.len());
        for (id, _) in &events {
            assert_eq!(old.insert(&project, *id, newest), new.insert(&project, *id, newest), "{id}");
        }
    }

    #[test]
    fn an_entry_takes_no_more_than_it_says() {
        assert_eq!(size_of::<(EventId, Day)>(), 18);
    }

    #[test]
    fn a_record_that_comes_late_does_not_move_the_window_back() {
        let project = "a".parse().unwrap();
        let mut dedupe = Dedupe::default();
        assert!(dedupe.insert(&project, EventId::from_bytes([1; 16]), at(100)));
        assert!(dedupe.insert(&project, EventId::from_bytes([2; 16]), at(99)));
        assert!(!dedupe.insert(&project, EventId::from_bytes([2; 16]), at(100)));
    }
}
