//! Checks a segment's file and decodes its columns into the form that queries work on.
//!
//! A file's bytes are compared with the manifest's size and CRC-32 once before anything in them is believed, so
//! damage shows as [`StoreError::Damaged`] and not as a wrong answer. What was decoded goes to the shared cache.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ahash::AHashMap;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, DictionaryArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use protocol::row::Cell;

use super::Entry;
use crate::cache::{Cache, Cached, Of};
use crate::column::{ABSENT, Coded, Column, Dictionary, Kind, Name, Numbers, index};
use crate::error::StoreError;
use crate::files::Files;
use crate::numbers::Numbered;
use crate::open::Damage;
use crate::residual::Residual;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 32_768;

/// A committed segment. Its file is removed when it was replaced and the last reader lets go.
pub(crate) struct Segment {
    /// The manifest's line.
    pub(crate) entry: Entry,
    path: PathBuf,
    files: Arc<dyn Files>,
    cache: Arc<Cache>,
    checked: OnceLock<Result<(), String>>,
    replaced: AtomicBool,
}

/// What the end of the file says of its columns.
pub(crate) struct Footer {
    metadata: ArrowReaderMetadata,
    places: AHashMap<Name, usize>,
}

impl Footer {
    /// Memory it takes, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        self.metadata.metadata().memory_size() + self.places.len() * 96
    }
}

impl Segment {
    /// Takes note of a segment; nothing is read.
    pub(crate) fn new(dir: &Path, entry: Entry, files: Arc<dyn Files>, cache: Arc<Cache>) -> Self {
        let path = dir.join(Entry::file_name(entry.number));
        Self { entry, path, files, cache, checked: OnceLock::new(), replaced: AtomicBool::new(false) }
    }

    /// The file is no longer in the manifest: it goes when the last reader has gone.
    pub(crate) fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// Compares the file's bytes with the manifest; only the first call reads them.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when they differ, [`StoreError::Io`] when they can't be read now.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let checked = match self.checked.get() {
            Some(checked) => checked,
            None => {
                // A file that can't be opened or read now may be readable later, so only the comparison is kept.
                let compared = self.compare().map_err(StoreError::io("read", &self.path))?;
                self.checked.get_or_init(|| compared)
            }
        };
        checked.clone().map_err(|why| self.damaged(why))
    }

    /// Takes the bytes as right because this process wrote them just now.
    pub(crate) fn trust(&self) {
        let _ = self.checked.set(Ok(()));
    }

    fn compare(&self) -> io::Result<Result<(), String>> {
        let mut file = match self.files.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err("the file is missing".to_owned())),
            opened => opened?,
        };
        let mut hash = crc32fast::Hasher::new();
        let mut size_bytes = 0_u64;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            hash.update(bytes);
            size_bytes += u64::try_from(read).unwrap_or(u64::MAX);
        }
        let crc32 = hash.finalize();
        if (size_bytes, crc32) == (self.entry.size_bytes, self.entry.crc32) {
            return Ok(Ok(()));
        }
        let (size, crc) = (self.entry.size_bytes, self.entry.crc32);
        Ok(Err(format!("{size_bytes} bytes with CRC {crc32:08x}, written were {size} bytes with CRC {crc:08x}")))
    }

    /// What an earlier check found wrong.
    pub(crate) fn known_damage(&self) -> Option<Damage> {
        let why = self.checked.get()?.clone().err()?;
        Some(Damage { path: self.path.clone(), rows: self.entry.rows, why })
    }

    /// The error that this segment is damaged.
    pub(crate) fn damaged(&self, why: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), rows: self.entry.rows, why: why.to_string() }
    }

    /// The names of its columns, in no order.
    pub(crate) fn names(&self) -> Result<Vec<Name>, StoreError> {
        Ok(self.footer()?.places.keys().cloned().collect())
    }

    /// A column, from the cache or the file; none when the segment lacks it.
    pub(crate) fn column(&self, name: &Name) -> Result<Option<Arc<Column>>, StoreError> {
        let footer = self.footer()?;
        let Some(place) = footer.places.get(name) else { return Ok(None) };
        let key = (self.entry.number, Of::Column(*place));
        if let Some(Cached::Column(column)) = self.cache.get(key) {
            return Ok(Some(column));
        }
        let column = Arc::new(self.decode(&footer, name, *place)?);
        self.cache.put(key, Cached::Column(column.clone()));
        Ok(Some(column))
    }

    /// A column straight from the file, for readers that go through everything once.
    pub(crate) fn column_uncached(&self, name: &Name) -> Result<Option<Arc<Column>>, StoreError> {
        let footer = self.footer()?;
        let Some(place) = footer.places.get(name) else { return Ok(None) };
        Ok(Some(Arc::new(self.decode(&footer, name, *place)?)))
    }

    /// The residual column taken apart, if there is one.
    pub(crate) fn residual(&self) -> Result<Option<Arc<Column>>, StoreError> {
        let footer = self.footer()?;
        let Some(place) = footer.places.get(&Name::Residual) else { return Ok(None) };
        let key = (self.entry.number, Of::Residual);
        if let Some(Cached::Column(column)) = self.cache.get(key) {
            return Ok(Some(column));
        }
        let Column::Coded(coded) = self.decode(&footer, &Name::Residual, *place)? else { return Ok(None) };
        let residual = Residual::new(&coded).map_err(|error| self.damaged(error))?;
        let column = Arc::new(Column::Residual(residual));
        self.cache.put(key, Cached::Column(column.clone()));
        Ok(Some(column))
    }

    /// What a column's entries have for numbers in a numbering; `lists` tells the two uses of numbers apart.
    pub(crate) fn numbers(
        &self,
        name: &Name,
        numbering: u64,
        lists: bool,
        entries: usize,
    ) -> Result<Arc<Numbered>, StoreError> {
        let footer = self.footer()?;
        let Some(place) = footer.places.get(name) else { return Ok(Arc::new(Numbered::new(entries))) };
        let key = (self.entry.number, Of::Numbers(*place, numbering, lists));
        if let Some(Cached::Numbers(numbers)) = self.cache.get(key) {
            return Ok(numbers);
        }
        let numbers = Arc::new(Numbered::new(entries));
        self.cache.put(key, Cached::Numbers(numbers.clone()));
        Ok(numbers)
    }

    fn footer(&self) -> Result<Arc<Footer>, StoreError> {
        self.check()?;
        let key = (self.entry.number, Of::Footer);
        if let Some(Cached::Footer(footer)) = self.cache.get(key) {
            return Ok(footer);
        }
        let file = self.files.open(&self.path).map_err(StoreError::io("open", &self.path))?;
        let metadata =
            ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|error| self.damaged(error))?;
        let fields = metadata.schema().fields().iter().enumerate();
        let places = fields.filter_map(|(place, field)| Some((Name::parse(field.name())?, place))).collect();
        let footer = Arc::new(Footer { metadata, places });
        self.cache.put(key, Cached::Footer(footer.clone()));
        Ok(footer)
    }

    fn decode(&self, footer: &Footer, name: &Name, place: usize) -> Result<Column, StoreError> {
        let file = self.files.open(&self.path).map_err(StoreError::io("open", &self.path))?;
        let mask = ProjectionMask::leaves(footer.metadata.parquet_schema(), [place]);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer.metadata.clone())
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| self.damaged(error))?;
        let mut column = Decoding::new(name);
        for batch in reader {
            let batch = batch.map_err(|error| self.damaged(error))?;
            if !batch.columns().first().is_some_and(|array| column.push(array)) {
                return Err(self.damaged(format!("column {name} has another type")));
            }
        }
        Ok(column.finish())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if *self.replaced.get_mut() {
            self.cache.forget(self.entry.number);
            // If it fails the file is an orphan, which the next start moves aside.
            let _ = self.files.remove(&self.path);
        }
    }
}

/// A column while its batches arrive.
enum Decoding {
    Ids(Vec<[u8; 16]>),
    Times(Vec<i64>),
    Ints(Vec<Option<i64>>),
    Floats(Vec<Option<f64>>),
    Booleans { codes: Vec<u32>, kind: Kind },
    Texts { codes: Vec<u32>, dictionary: Box<Dictionary>, kind: Kind, last: Option<(ArrayRef, Vec<u32>)> },
}

impl Decoding {
    fn new(name: &Name) -> Self {
        match name {
            Name::Id => Self::Ids(Vec::new()),
            Name::Timestamp | Name::CreatedAt => Self::Times(Vec::new()),
            Name::Property(_, Kind::Int) => Self::Ints(Vec::new()),
            Name::Property(_, Kind::Num) => Self::Floats(Vec::new()),
            Name::Property(_, kind @ (Kind::Bool | Kind::Null)) => Self::Booleans { codes: Vec::new(), kind: *kind },
            Name::Shape | Name::Residual => Self::texts(Kind::Str),
            Name::Property(_, kind @ (Kind::Str | Kind::List)) => Self::texts(*kind),
        }
    }

    fn texts(kind: Kind) -> Self {
        Self::Texts { codes: Vec::new(), dictionary: Box::default(), kind, last: None }
    }

    /// Adds a batch; false when it is of another type.
    fn push(&mut self, array: &ArrayRef) -> bool {
        match self {
            Self::Ids(ids) => {
                let Some(array) = array.as_fixed_size_binary_opt() else { return false };
                let id = |id: Option<&[u8]>| -> [u8; 16] { id.and_then(|id| id.try_into().ok()).unwrap_or_default() };
                ids.extend(array.iter().map(id));
            }
            Self::Times(times) => {
                let Some(array) = array.as_primitive_opt::<TimestampMillisecondType>() else { return false };
                times.extend_from_slice(array.values());
            }
            Self::Ints(values) => {
                let Some(array) = array.as_primitive_opt::<Int64Type>() else { return false };
                values.extend(array.iter());
            }
            Self::Floats(values) => {
                let Some(array) = array.as_primitive_opt::<Float64Type>() else { return false };
                values.extend(array.iter());
            }
            Self::Booleans { codes, kind } => {
                let Some(array) = array.as_boolean_opt() else { return false };
                push_booleans(codes, array, *kind);
            }
            Self::Texts { codes, dictionary, kind, last } => {
                let Some(array) = array.as_dictionary_opt::<Int32Type>() else { return false };
                return push_texts(codes, dictionary, *kind, last, array);
            }
        }
        true
    }

    fn finish(self) -> Column {
        match self {
            Self::Ids(ids) => Column::Ids(ids),
            Self::Times(times) => Column::Times(times),
            Self::Ints(values) => Column::Ints(Numbers::collect(values.into_iter(), 0)),
            Self::Floats(values) => Column::Floats(Numbers::collect(values.into_iter(), 0.0)),
            Self::Booleans { codes, kind: Kind::Null } => Column::Coded(Coded { codes, entries: vec![Cell::Null] }),
            Self::Booleans { codes, .. } => {
                Column::Coded(Coded { codes, entries: vec![Cell::Bool(false), Cell::Bool(true)] })
            }
            Self::Texts { codes, dictionary, .. } => Column::Coded(Coded { codes, entries: dictionary.into_entries() }),
        }
    }
}

fn push_booleans(codes: &mut Vec<u32>, array: &BooleanArray, kind: Kind) {
    codes.extend(array.iter().map(|value| match value {
        None => ABSENT,
        Some(value) => u32::from(value && kind == Kind::Bool),
    }));
}

/// Adds a batch of texts. Batches of one dictionary page share their dictionary, which is then looked up once.
fn push_texts(
    codes: &mut Vec<u32>,
    dictionary: &mut Dictionary,
    kind: Kind,
    last: &mut Option<(ArrayRef, Vec<u32>)>,
    array: &DictionaryArray<Int32Type>,
) -> bool {
    let same = last.as_ref().is_some_and(|(values, _)| values.to_data().ptr_eq(&array.values().to_data()));
    if !same {
        let Some(values) = array.values().as_string_opt::<i64>() else { return false };
        let cell = |text: &str| match kind {
            Kind::List => Cell::List(text.to_owned()),
            _ => Cell::Text(text.to_owned()),
        };
        let known = values.iter().map(|text| dictionary.code(&cell(text.unwrap_or_default()))).collect();
        *last = Some((array.values().clone(), known));
    }
    let Some((_, known)) = last else { return false };
    let code = |key: Option<i32>| match key {
        None => ABSENT,
        Some(key) => known.get(index(key.cast_unsigned())).copied().unwrap_or(ABSENT),
    };
    codes.extend(array.keys().iter().map(code));
    true
}
