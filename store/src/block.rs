//! Rows of one collection as columns in memory: what the hot tail is made of, and what segments are written from.
//!
//! A block is made once from rows and never changes, so readers share it without locks. Its rows are in order of
//! `keen.timestamp`, as a segment's are. Any block gives back its rows exactly.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ahash::AHashMap;
use protocol::row::{Cell, Row};
use protocol::{CollectionName, EventId, ProjectId, PropertyPath, Timestamp};

use crate::column::{ABSENT, Coded, Column, Dictionary, Kind, Name, Numbers, code, index};
use crate::residual::{self, Residual};

/// A property that fewer than one in so many rows have goes to the residual column, so that memory and files grow
/// with what rows hold and not with the number of their names.
const SPARSE: usize = 100;
/// Blocks below this size keep sparse properties in columns: there is nothing to gain.
const SPARSE_ROWS_MIN: usize = 1_000;

/// Rows of one collection as columns.
#[derive(Debug)]
pub(crate) struct Block {
    /// How many.
    pub(crate) rows: usize,
    /// First and last `keen.timestamp`, in milliseconds.
    pub(crate) span_ms: (i64, i64),
    columns: BTreeMap<Name, Arc<Column>>,
    residual: OnceLock<Arc<Column>>,
}

impl Block {
    /// Makes a block of rows, which are put in order of time. `may_have_column` says which properties are within the
    /// collection's cap.
    pub(crate) fn from_rows(mut rows: Vec<&Row>, may_have_column: &dyn Fn(&PropertyPath) -> bool) -> Self {
        rows.sort_by_key(|row| row.timestamp);
        let mut builder = Builder::new(&rows, may_have_column);
        for (number, row) in rows.iter().enumerate() {
            builder.push(number, row);
        }
        let times: Vec<i64> = rows.iter().map(|row| row.timestamp.millis()).collect();
        let span_ms = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
        let mut columns = builder.finish(rows.len());
        columns.insert(Name::Id, Column::Ids(rows.iter().map(|row| *row.id.as_bytes()).collect()).into());
        columns.insert(Name::Timestamp, Column::Times(times).into());
        let created = rows.iter().map(|row| row.created_at.millis()).collect();
        columns.insert(Name::CreatedAt, Column::Times(created).into());
        Self { rows: rows.len(), span_ms, columns, residual: OnceLock::new() }
    }

    /// The names of its columns, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.columns.keys()
    }

    /// A column, if some row has a value in it.
    pub(crate) fn column(&self, name: &Name) -> Option<Arc<Column>> {
        self.columns.get(name).cloned()
    }

    /// The residual column taken apart, made at the first call.
    pub(crate) fn residual(&self) -> Result<Option<Arc<Column>>, serde_json::Error> {
        let Some(Column::Coded(coded)) = self.columns.get(&Name::Residual).map(Arc::as_ref) else { return Ok(None) };
        if let Some(known) = self.residual.get() {
            return Ok(Some(known.clone()));
        }
        let made = Arc::new(Column::Residual(Residual::new(coded)?));
        Ok(Some(self.residual.get_or_init(|| made).clone()))
    }
}

/// One property's columns while rows are added: an index into the builder's columns for each kind.
#[derive(Default, Clone, Copy)]
struct Places {
    in_residual: bool,
    columns: [Option<u32>; Kind::ALL.len()],
}

/// Collects rows into columns.
struct Builder<'rows> {
    places: AHashMap<&'rows PropertyPath, Places>,
    columns: Vec<(Name, Growing)>,
    shapes: AHashMap<Vec<u32>, u32>,
    shape_codes: Vec<u32>,
    residuals: Dictionary,
    residual_codes: Vec<u32>,
}

/// In a row's shape: the property is in the residual column.
const RESIDUAL: u32 = u32::MAX;

/// The name of [`RESIDUAL`] in the text of a shape; no column is called so.
pub(crate) const RESIDUAL_MARK: &str = "*";

impl<'rows> Builder<'rows> {
    fn new(rows: &[&'rows Row], may_have_column: &dyn Fn(&PropertyPath) -> bool) -> Self {
        let mut counts: AHashMap<&PropertyPath, usize> = AHashMap::new();
        for (path, _) in rows.iter().flat_map(|row| &row.cells) {
            *counts.entry(path).or_default() += 1;
        }
        let sparse = |count: usize| rows.len() >= SPARSE_ROWS_MIN && count * SPARSE < rows.len();
        let place = |path: &PropertyPath, count: usize| Places {
            in_residual: sparse(count) || !may_have_column(path),
            columns: Default::default(),
        };
        Self {
            places: counts.into_iter().map(|(path, count)| (path, place(path, count))).collect(),
            columns: Vec::new(),
            shapes: AHashMap::new(),
            shape_codes: Vec::with_capacity(rows.len()),
            residuals: Dictionary::default(),
            residual_codes: Vec::new(),
        }
    }

    fn push(&mut self, number: usize, row: &'rows Row) {
        let mut shape = Vec::with_capacity(row.cells.len());
        let mut rest = String::new();
        for (path, cell) in &row.cells {
            let places = self.places.entry(path).or_default();
            if places.in_residual && residual::fits(cell) {
                residual::push(&mut rest, path, cell);
                shape.push(RESIDUAL);
                continue;
            }
            let kind = Kind::of(cell);
            let Some(place) = places.columns.get_mut(kind as usize) else { continue };
            let fresh = code(self.columns.len());
            let at = *place.get_or_insert(fresh);
            if at == fresh {
                self.columns.push((Name::Property(path.clone(), kind), Growing::new(kind)));
            }
            // A path that comes twice in a row breaks Row's own rule; the first value is the row's.
            if let Some((_, column)) = self.columns.get_mut(index(at))
                && column.push(number, cell)
            {
                shape.push(at);
            }
        }
        let fresh = code(self.shapes.len());
        let shape = *self.shapes.entry(shape).or_insert(fresh);
        self.shape_codes.push(shape);
        if !rest.is_empty() {
            rest.push('}');
            self.residual_codes.resize(number, ABSENT);
            let rest = self.residuals.code(&Cell::Text(rest));
            self.residual_codes.push(rest);
        }
    }

    fn finish(mut self, rows: usize) -> BTreeMap<Name, Arc<Column>> {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.to_string()).collect();
        let mut shapes: Vec<(u32, Cell)> =
            self.shapes.into_iter().map(|(shape, code)| (code, Cell::Text(shape_text(&shape, &names)))).collect();
        shapes.sort_by_key(|(code, _)| *code);
        let entries = shapes.into_iter().map(|(_, text)| text).collect();
        let shape = Column::Coded(Coded { codes: self.shape_codes, entries });
        let mut columns: BTreeMap<Name, Arc<Column>> =
            self.columns.into_iter().map(|(name, column)| (name, column.finish(rows).into())).collect();
        columns.insert(Name::Shape, shape.into());
        if self.residuals.len() > 0 {
            self.residual_codes.resize(rows, ABSENT);
            let residual = Coded { codes: self.residual_codes, entries: self.residuals.into_entries() };
            columns.insert(Name::Residual, Column::Coded(residual).into());
        }
        columns
    }
}

/// A column while rows are added.
enum Growing {
    Ints(Vec<Option<i64>>),
    Floats(Vec<Option<f64>>),
    Coded(Vec<u32>, Box<Dictionary>),
}

impl Growing {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Int => Self::Ints(Vec::new()),
            Kind::Num => Self::Floats(Vec::new()),
            Kind::Str | Kind::Bool | Kind::List | Kind::Null => Self::Coded(Vec::new(), Box::default()),
        }
    }

    /// Adds the value of row `number`; false if the row has one already.
    fn push(&mut self, number: usize, cell: &Cell) -> bool {
        let length = match self {
            Self::Ints(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Coded(codes, _) => codes.len(),
        };
        if length > number {
            return false;
        }
        match (self, cell) {
            (Self::Ints(values), Cell::Int(value)) => {
                values.resize(number, None);
                values.push(Some(*value));
            }
            (Self::Floats(values), Cell::Float(value)) => {
                values.resize(number, None);
                values.push(Some(*value));
            }
            (Self::Coded(codes, dictionary), cell) => {
                codes.resize(number, ABSENT);
                codes.push(dictionary.code(cell));
            }
            _ => return false,
        }
        true
    }

    fn finish(self, rows: usize) -> Column {
        match self {
            Self::Ints(mut values) => {
                values.resize(rows, None);
                Column::Ints(Numbers::collect(values.into_iter(), 0))
            }
            Self::Floats(mut values) => {
                values.resize(rows, None);
                Column::Floats(Numbers::collect(values.into_iter(), 0.0))
            }
            Self::Coded(mut codes, dictionary) => {
                codes.resize(rows, ABSENT);
                Column::Coded(Coded { codes, entries: dictionary.into_entries() })
            }
        }
    }
}

/// A shape as it is stored: a JSON list of the names of columns.
fn shape_text(shape: &[u32], names: &[String]) -> String {
    let name = |at: &u32| match *at {
        RESIDUAL => RESIDUAL_MARK,
        at => names.get(index(at)).map_or("", String::as_str),
    };
    serde_json::Value::from(shape.iter().map(name).collect::<Vec<_>>()).to_string()
}

/// Finds a column by name; none when no row has a value in it.
type Fetch<'a, E> = dyn Fn(&Name) -> Result<Option<Arc<Column>>, E> + 'a;

/// Turns columns back into rows. Columns are asked for by name, once each, when the first row needs them.
pub(crate) struct Rows<'source, E> {
    project: &'source ProjectId,
    collection: &'source CollectionName,
    fetch: &'source Fetch<'source, E>,
    ids: Arc<Column>,
    times: Arc<Column>,
    created: Arc<Column>,
    shape: Arc<Column>,
    residual: Option<Arc<Column>>,
    shapes: AHashMap<u32, Vec<Option<Property>>>,
    columns: AHashMap<Name, Arc<Column>>,
}

/// One place in a row's shape: the property and its column; in a list, none stands for the residual column.
type Property = (PropertyPath, Arc<Column>);

impl<'source, E> Rows<'source, E> {
    /// Prepares; none when a column that every row needs is missing.
    pub(crate) fn new(
        project: &'source ProjectId,
        collection: &'source CollectionName,
        fetch: &'source Fetch<'source, E>,
    ) -> Result<Option<Self>, E> {
        let (Some(ids), Some(times), Some(created), Some(shape)) =
            (fetch(&Name::Id)?, fetch(&Name::Timestamp)?, fetch(&Name::CreatedAt)?, fetch(&Name::Shape)?)
        else {
            return Ok(None);
        };
        let residual = fetch(&Name::Residual)?;
        let (shapes, columns) = Default::default();
        Ok(Some(Self { project, collection, fetch, ids, times, created, shape, residual, shapes, columns }))
    }

    /// The row with this number; none when there is none, or its columns don't fit together.
    pub(crate) fn row(&mut self, number: usize) -> Result<Option<Row>, E> {
        let Column::Coded(shapes) = self.shape.as_ref() else { return Ok(None) };
        let (Some(shape), Some(Cell::Text(text))) = (shapes.codes.get(number).copied(), shapes.get(number)) else {
            return Ok(None);
        };
        if !self.shapes.contains_key(&shape) {
            let Some(properties) = resolve(text, self.fetch, &mut self.columns)? else { return Ok(None) };
            self.shapes.insert(shape, properties);
        }
        let rest = self.residual.as_deref().and_then(|column| column.cell(number));
        let mut rest = match rest {
            Some(Cell::Text(text)) => residual::parse(&text).unwrap_or_default(),
            _ => Vec::new(),
        }
        .into_iter();
        let mut cells = Vec::new();
        for property in self.shapes.get(&shape).into_iter().flatten() {
            let cell = match property {
                Some((path, column)) => column.cell(number).map(|cell| (path.clone(), cell)),
                None => rest.next(),
            };
            let Some(cell) = cell else { return Ok(None) };
            cells.push(cell);
        }
        let (Some(id), Some(timestamp), Some(created_at)) =
            (self.ids.ids().get(number), self.times.times().get(number), self.created.times().get(number))
        else {
            return Ok(None);
        };
        Ok(Some(Row {
            project: self.project.clone(),
            collection: self.collection.clone(),
            id: EventId::from_bytes(*id),
            timestamp: Timestamp::from_millis(*timestamp),
            created_at: Timestamp::from_millis(*created_at),
            cells,
        }))
    }
}

/// The columns that a shape names; none when one is missing.
fn resolve<E>(
    text: &str,
    fetch: &Fetch<'_, E>,
    columns: &mut AHashMap<Name, Arc<Column>>,
) -> Result<Option<Vec<Option<Property>>>, E> {
    let Ok(names) = serde_json::from_str::<Vec<String>>(text) else { return Ok(None) };
    let mut properties = Vec::with_capacity(names.len());
    for name in names {
        if name == RESIDUAL_MARK {
            properties.push(None);
            continue;
        }
        let Some(name @ Name::Property(..)) = Name::parse(&name) else { return Ok(None) };
        if !columns.contains_key(&name) {
            let Some(column) = fetch(&name)? else { return Ok(None) };
            columns.insert(name.clone(), column);
        }
        let (Some(column), Name::Property(path, _)) = (columns.get(&name).cloned(), name) else { return Ok(None) };
        properties.push(Some((path, column)));
    }
    Ok(Some(properties))
}
