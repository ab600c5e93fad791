//! Remembers which events were stored, for a window of days, so that a repeat is recognised.
//!
//! The window moves with the time at which records were received, never with a clock, so a replay of the log decides
//! as the first run did. The memory is rebuilt from the store's own ids after a restart; there is no second file that
//! could disagree with the rows.

use std::collections::HashMap;

use protocol::limits::DEDUPE_WINDOW_DAYS;
use protocol::{EventId, ProjectId, Timestamp};

/// The ids of the last [`DEDUPE_WINDOW_DAYS`] days. About 40 bytes an event.
#[derive(Debug, Default)]
pub struct Dedupe {
    /// Small numbers for projects, so that an entry doesn't hold a name.
    projects: HashMap<ProjectId, u32>,
    /// Day of receipt by project and id.
    days: HashMap<(u32, EventId), i32>,
    /// The newest day seen.
    newest_day: i32,
}

impl Dedupe {
    /// Notes an event that was received at `received_at`; false when its id is known already.
    pub fn insert(&mut self, project: &ProjectId, id: EventId, received_at: Timestamp) -> bool {
        let day = day(received_at);
        if day > self.newest_day {
            self.newest_day = day;
            self.forget();
        }
        let project = self.project_number(project);
        match self.days.entry((project, id)) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(day);
                true
            }
        }
    }

    /// Ids that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.days.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// Since when events are remembered once one was received at `newest`: what a store has to hand back after a restart,
    /// so that the memory is what it was before.
    #[must_use]
    pub fn since(newest: Timestamp) -> Timestamp {
        Timestamp::from_millis((newest.days() - i64::from(DEDUPE_WINDOW_DAYS)).saturating_mul(86_400_000))
    }

    /// Drops what is older than the window; runs once a day of received records.
    fn forget(&mut self) {
        let oldest = self.newest_day.saturating_sub(i32::try_from(DEDUPE_WINDOW_DAYS).unwrap_or(i32::MAX));
        self.days.retain(|_, day| *day >= oldest);
    }

    fn project_number(&mut self, project: &ProjectId) -> u32 {
        if let Some(number) = self.projects.get(project) {
            return *number;
        }
        let number = u32::try_from(self.projects.len()).unwrap_or(u32::MAX);
        self.projects.insert(project.clone(), number);
        number
    }
}

/// Days since 1970; times are within the years 0 to 9999, so it fits.
fn day(time: Timestamp) -> i32 {
    i32::try_from(time.days()).unwrap_or(i32::MAX)
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

    #[test]
    fn a_memory_rebuilt_from_what_since_names_decides_as_the_old_one() {
        let project = "a".parse().unwrap();
        let mut old = Dedupe::default();
        let events: Vec<_> =
            (0..30_u8).map(|n| (EventId::from_bytes([n; 16]), at(i64::from(n)).plus_millis(5))).collect();
        for (id, received) in &events {
            assert!(old.insert(&project, *id, *received));
        }
        let newest = events.last().unwrap().1;
        let mut new = Dedupe::default();
        for (id, received) in events.iter().filter(|(_, received)| *received >= Dedupe::since(newest)) {
            new.insert(&project, *id, *received);
        }
        for (id, _) in &events {
            assert_eq!(old.insert(&project, *id, newest), new.insert(&project, *id, newest), "{id}");
        }
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
