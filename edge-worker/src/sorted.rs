//! A small map: entries in order of their names, found by halving.
//!
//! Apart because three modules remember a few thousand things, and each map of the library for another kind of them is 6 KB
//! of the module. It must not hold more than a few thousand: to add one moves those after it.

use std::borrow::Borrow;

/// Entries by name.
pub(crate) struct Sorted<K, V>(Vec<(K, V)>);

impl<K: Ord, V> Sorted<K, V> {
    /// Nothing.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What stands under a name.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, name: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.place(name).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, name: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.place(name).ok().and_then(|at| self.0.get_mut(at)).map(|(_, value)| value)
    }

    /// Puts a value under a name, in place of what stood there.
    pub(crate) fn insert(&mut self, name: K, value: V) {
        match self.place(&name) {
            Ok(at) => {
                if let Some((_, known)) = self.0.get_mut(at) {
                    *known = value;
                }
            }
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Keeps those that `is_kept` says.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&V) -> bool) {
        self.0.retain(|(_, value)| is_kept(value));
    }

    /// Forgets the last one.
    pub(crate) fn drop_last(&mut self) {
        self.0.pop();
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn place<Q: Ord + ?Sized>(&self, name: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Sorted;

    #[test]
    fn a_name_holds_what_was_put_there_last() {
        let mut map = Sorted::new();
        for (name, value) in [("b", 1), ("a", 2), ("c", 3), ("b", 4)] {
            map.insert(name.to_owned(), value);
        }
        assert_eq!((map.get("a"), map.get("b"), map.get("c"), map.get("d")), (Some(&2), Some(&4), Some(&3), None));
        if let Some(value) = map.get_mut("a") {
            *value = 5;
        }
        map.retain(|value| *value != 4);
        assert_eq!((map.len(), map.get("a"), map.get("b")), (2, Some(&5), None));
        map.drop_last();
        assert_eq!((map.get("a"), map.get("c")), (Some(&5), None));
        map.clear();
        assert_eq!(map.len(), 0);
    }
}
