//! The cells of one event while something is still added to them.
//!
//! Apart because what an event is on its way to a row has rules of its own: an object that is to be filled takes the place of
//! an empty one, and never that of a value. It must not know who adds what.

use protocol::PropertyPath;
use protocol::row::Cell;

/// Names in a path that is added to; the collector allows 32 in an event.
const NAMES_MAX: usize = 32;

/// The cells of one event.
#[derive(Debug)]
pub(crate) struct Cells(Vec<(PropertyPath, Cell)>);

impl Cells {
    pub(crate) fn new(cells: Vec<(PropertyPath, Cell)>) -> Self {
        Self(cells)
    }

    pub(crate) fn into_inner(self) -> Vec<(PropertyPath, Cell)> {
        self.0
    }

    /// The value of a property.
    pub(crate) fn get(&self, path: &str) -> Option<&Cell> {
        self.0.iter().find(|(own, _)| own.as_str() == path).map(|(_, cell)| cell)
    }

    /// Whether something stands at `path` or below, an empty object aside.
    pub(crate) fn holds(&self, path: &str) -> bool {
        self.0.iter().any(|(own, cell)| is_at_or_below(own, path) && !is_empty_object(cell))
    }

    /// Takes away what stands at `path` and below.
    pub(crate) fn remove(&mut self, path: &str) {
        self.0.retain(|(own, _)| !is_at_or_below(own, path));
    }

    /// Adds a cell where nothing stands.
    pub(crate) fn push(&mut self, path: &str, cell: Cell) {
        self.0.retain(|(own, empty)| !(is_empty_object(empty) && is_at_or_below_text(path, own.as_str())));
        self.0.push((PropertyPath::from_checked(path), cell));
    }

    /// Puts a field into the object at `object`, in place of a former value. False, and nothing is done, where a value
    /// stands in the object's way or an object in the field's.
    pub(crate) fn put(&mut self, object: &str, field: &str, cell: Cell) -> bool {
        let path = format!("{object}.{field}");
        let is_path = path.split('.').count() <= NAMES_MAX && path.parse::<PropertyPath>().is_ok();
        let is_blocked = self.0.iter().any(|(own, value)| {
            let is_value = !is_empty_object(value) && !matches!(value, Cell::Null);
            let is_above = own.as_str() != path && is_at_or_below_text(&path, own.as_str());
            let is_below = own.as_str() != path && is_at_or_below(own, &path);
            (is_above && is_value) || is_below
        });
        if !is_path || is_blocked {
            return false;
        }
        if let Some((_, value)) = self.0.iter_mut().find(|(own, _)| own.as_str() == path) {
            *value = cell;
            return true;
        }
        self.0.retain(|(own, _)| !is_at_or_below_text(&path, own.as_str()));
        self.0.push((PropertyPath::from_checked(&path), cell));
        true
    }
}

fn is_at_or_below(own: &PropertyPath, path: &str) -> bool {
    is_at_or_below_text(own.as_str(), path)
}

fn is_at_or_below_text(own: &str, path: &str) -> bool {
    own.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_empty_object(cell: &Cell) -> bool {
    matches!(cell, Cell::List(text) if text == "{}")
}
