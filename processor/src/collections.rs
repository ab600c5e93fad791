//! Which collections a project has, and that they don't become too many.
//!
//! Each collection with new rows is a file of its own in every flush, so a sender who names one per event would stall all
//! projects. An event of one collection too many is kept in quarantine with the reason and can be replayed.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{CollectionName, ProjectId};

/// The collections of all projects, each project's at most as many as the limit, or as were there before it was lowered.
#[derive(Debug)]
pub struct Collections {
    max: usize,
    projects: BTreeMap<ProjectId, BTreeSet<CollectionName>>,
    /// Projects of which an event was turned away since [`Collections::take_full`].
    full: BTreeSet<ProjectId>,
}

impl Default for Collections {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Collections {
    /// None known, and at most `max` of a project.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max, projects: BTreeMap::new(), full: BTreeSet::new() }
    }

    /// Replaces what is known of a project by what its store holds.
    pub fn know(&mut self, project: ProjectId, names: impl Iterator<Item = CollectionName>) {
        self.projects.insert(project, names.collect());
    }

    /// The projects that have turned events away since the last call: some of their collections may be deleted by now.
    pub fn take_full(&mut self) -> BTreeSet<ProjectId> {
        std::mem::take(&mut self.full)
    }

    /// Notes a collection.
    ///
    /// # Errors
    /// When it is one too many, with the reason for a person.
    pub(crate) fn admit(&mut self, project: &ProjectId, name: &CollectionName) -> Result<(), String> {
        let names = match self.projects.get_mut(project) {
            Some(names) => names,
            None => self.projects.entry(project.clone()).or_default(),
        };
        if names.contains(name) {
            return Ok(());
        }
        if names.len() >= self.max {
            self.full.insert(project.clone());
            let max = self.max;
            return Err(format!("the project has {max} collections, which is the limit (limits.collections_max)"));
        }
        names.insert(name.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_collection_too_many_is_turned_away_until_another_is_gone() {
        let (p, q): (ProjectId, ProjectId) = ("p".parse().unwrap(), "q".parse().unwrap());
        let name = |text: &str| text.parse::<CollectionName>().unwrap();
        let mut collections = Collections::new(2);
        collections.know(p.clone(), [name("a")].into_iter());
        assert_eq!(collections.admit(&p, &name("a")), Ok(()));
        assert_eq!(collections.admit(&p, &name("b")), Ok(()));
        assert!(collections.take_full().is_empty());
        for _ in 0..2 {
            assert!(collections.admit(&p, &name("c")).unwrap_err().contains(" 2 collections"));
        }
        assert_eq!(collections.admit(&p, &name("b")), Ok(()), "a known one goes on");
        assert_eq!(collections.admit(&q, &name("c")), Ok(()), "another project has its own");
        assert_eq!(collections.take_full(), BTreeSet::from([p.clone()]));
        collections.know(p.clone(), [name("b")].into_iter());
        assert_eq!(collections.admit(&p, &name("c")), Ok(()));
    }
}
