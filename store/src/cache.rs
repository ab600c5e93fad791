//! Decoded columns and footers of segments, kept within a budget of bytes; the least recently used go first.
//!
//! Segments never change, so an entry never becomes wrong: it is dropped for room or because its segment went.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;

use crate::column::Column;
use crate::numbers::Numbered;
use crate::segment::Footer;

/// The segment's number, and what of it.
pub(crate) type Key = (u64, Of);

/// What of a segment; columns by their place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// The end of the file.
    Footer,
    /// A column.
    Column(usize),
    /// The residual column taken apart.
    Residual,
    /// The numbers of a column's entries: in which numbering, and for which use.
    Numbers(usize, u64, bool),
}

/// What is kept.
#[derive(Clone)]
pub(crate) enum Cached {
    /// A decoded column.
    Column(Arc<Column>),
    /// The end of a file.
    Footer(Arc<Footer>),
    /// The numbers of a column's entries.
    Numbers(Arc<Numbered>),
}

/// Shared by all segments of a store.
pub(crate) struct Cache {
    budget_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: AHashMap<Key, Kept>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    size_bytes: usize,
}

struct Kept {
    value: Cached,
    size_bytes: usize,
    last_use: u64,
}

impl Cache {
    /// An empty cache that holds at most `budget_bytes`.
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, inner: Mutex::default() }
    }

    /// A kept entry, which becomes the most recently used.
    pub(crate) fn get(&self, key: Key) -> Option<Cached> {
        let mut inner = self.lock();
        let Inner { entries, by_use, uses, .. } = &mut *inner;
        let kept = entries.get_mut(&key)?;
        by_use.remove(&kept.last_use);
        *uses += 1;
        kept.last_use = *uses;
        by_use.insert(*uses, key);
        Some(kept.value.clone())
    }

    /// Keeps an entry, unless it is larger than the whole budget.
    pub(crate) fn put(&self, key: Key, value: Cached) {
        let size_bytes = match &value {
            Cached::Column(column) => column.size_bytes(),
            Cached::Footer(footer) => footer.size_bytes(),
            Cached::Numbers(numbers) => numbers.size_bytes(),
        };
        if size_bytes > self.budget_bytes {
            return;
        }
        let mut inner = self.lock();
        inner.remove(key);
        inner.uses += 1;
        let last_use = inner.uses;
        inner.by_use.insert(last_use, key);
        inner.entries.insert(key, Kept { value, size_bytes, last_use });
        inner.size_bytes += size_bytes;
        while inner.size_bytes > self.budget_bytes {
            let Some(oldest) = inner.by_use.first_key_value().map(|(_, key)| *key) else { break };
            inner.remove(oldest);
        }
    }

    /// Drops what is kept of a segment.
    pub(crate) fn forget(&self, segment: u64) {
        let mut inner = self.lock();
        let keys: Vec<Key> = inner.entries.keys().filter(|key| key.0 == segment).copied().collect();
        for key in keys {
            inner.remove(key);
        }
    }

    /// Bytes in use.
    pub(crate) fn size_bytes(&self) -> usize {
        self.lock().size_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, key: Key) {
        if let Some(kept) = self.entries.remove(&key) {
            self.by_use.remove(&kept.last_use);
            self.size_bytes -= kept.size_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_first_and_the_budget_holds() {
        let cache = Cache::new(100);
        let column = |times: usize| Cached::Column(Arc::new(Column::Times(vec![0; times])));
        cache.put((1, Of::Footer), column(5)); // 40 bytes
        cache.put((2, Of::Footer), column(5));
        assert!(cache.get((1, Of::Footer)).is_some());
        cache.put((3, Of::Footer), column(5));
        assert!(cache.get((2, Of::Footer)).is_none(), "2 was used least recently");
        assert!(cache.get((1, Of::Footer)).is_some());
        cache.put((4, Of::Footer), column(50));
        assert!(cache.get((4, Of::Footer)).is_none(), "larger than the budget");
        cache.forget(1);
        assert_eq!(cache.size_bytes(), 40);
    }
}
