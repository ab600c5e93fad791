//! Makes a segment's file, one column at a time, so that memory is bounded by the largest column and not by the file.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array,
    LargeStringArray, TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::compute_leaves;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use protocol::row::Cell;
use protocol::{CollectionName, ProjectId};

use super::data_type;
use crate::column::{ABSENT, Coded, Column, Name, Numbers, index};
use crate::error::StoreError;
use crate::files::{Files, Summed};

/// Rows of a page: what other tools that read the file skip by.
const PAGE_ROWS: usize = 32_768;
/// Bytes of a dictionary; a column whose distinct values take more is stored plain from there on.
const DICTIONARY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Version of the naming and meaning of columns.
const FORMAT: &str = "1";

/// Writes a segment and syncs it: `rows` places of the columns `names`, each of which is asked for once. Gives size
/// and CRC-32. The folder isn't synced.
pub(crate) fn write(
    files: &dyn Files,
    path: &Path,
    of: (&ProjectId, &CollectionName),
    names: &[Name],
    column: &mut dyn FnMut(&Name) -> Result<Column, StoreError>,
) -> Result<(u64, u32), StoreError> {
    let output = files.create(path).map_err(StoreError::io("create", path))?;
    let broken = |error: ParquetError| StoreError::Io {
        doing: "write",
        path: path.to_path_buf(),
        source: std::io::Error::other(error),
    };
    let fields: Vec<Field> =
        names.iter().map(|name| Field::new(name.to_string(), data_type(name), nullable(name))).collect();
    let schema = Arc::new(Schema::new(fields));
    let writer =
        ArrowWriter::try_new(Summed::new(output), schema.clone(), Some(properties(of, names))).map_err(broken)?;
    let (mut file, factory) = writer.into_serialized_writer().map_err(broken)?;
    let writers = factory.create_column_writers(0).map_err(broken)?;
    let mut group = file.next_row_group().map_err(broken)?;
    for ((name, field), mut writer) in names.iter().zip(schema.fields()).zip(writers) {
        let array = to_arrow(name, &column(name)?);
        for leaf in compute_leaves(field, &array).map_err(broken)? {
            writer.write(&leaf).map_err(broken)?;
        }
        let chunk = writer.close().map_err(broken)?;
        chunk.append_to_row_group(&mut group).map_err(broken)?;
    }
    group.close().map_err(broken)?;
    let summed = file.into_inner().map_err(broken)?;
    summed.finish().map_err(StoreError::io("sync", path))
}

/// Whether a row may lack the column.
const fn nullable(name: &Name) -> bool {
    matches!(name, Name::Residual | Name::Property(..))
}

fn properties(of: (&ProjectId, &CollectionName), names: &[Name]) -> WriterProperties {
    let pair = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let mut properties = WriterProperties::builder()
        .set_created_by("rivulet".to_owned())
        .set_compression(ZstdLevel::try_new(1).map_or(Compression::UNCOMPRESSED, Compression::ZSTD))
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(vec![
            pair("rivulet.format", FORMAT),
            pair("rivulet.project", of.0.as_str()),
            pair("rivulet.collection", of.1.as_str()),
        ]));
    for name in names {
        let path = ColumnPath::new(vec![name.to_string()]);
        properties = match name {
            Name::Timestamp | Name::CreatedAt => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            Name::Id => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            Name::Shape | Name::Residual => properties.set_column_statistics_enabled(path, EnabledStatistics::None),
            Name::Property(..) => properties,
        };
    }
    properties.build()
}

/// A column as the Arrow array of its name's type.
fn to_arrow(name: &Name, column: &Column) -> ArrayRef {
    match column {
        Column::Ids(ids) => {
            let bytes: Vec<u8> = ids.iter().flatten().copied().collect();
            Arc::new(FixedSizeBinaryArray::new(16, Buffer::from_vec(bytes), None))
        }
        Column::Times(times) => Arc::new(TimestampMillisecondArray::from(times.clone()).with_timezone("UTC")),
        Column::Ints(numbers) => Arc::new(Int64Array::new(numbers.values.clone().into(), nulls(numbers))),
        Column::Floats(numbers) => Arc::new(Float64Array::new(numbers.values.clone().into(), nulls(numbers))),
        Column::Coded(coded) => match data_type(name) {
            arrow_schema::DataType::Boolean => Arc::new(booleans(coded)),
            _ => Arc::new(texts(coded)),
        },
        // Made from the residual column when read; never written.
        Column::Residual(_) => Arc::new(BooleanArray::new_null(0)),
    }
}

fn nulls<T>(numbers: &Numbers<T>) -> Option<NullBuffer> {
    numbers.present.as_ref().map(|present| NullBuffer::from(present.as_slice()))
}

/// Nulls, sent as such, are true in their own column.
fn booleans(coded: &Coded) -> BooleanArray {
    let value = |code: &u32| coded.entries.get(index(*code)).is_some_and(|cell| *cell != Cell::Bool(false));
    let values: BooleanBuffer = coded.codes.iter().map(value).collect();
    BooleanArray::new(values, code_nulls(&coded.codes))
}

fn texts(coded: &Coded) -> DictionaryArray<Int32Type> {
    let text = |cell: &Cell| match cell {
        Cell::Text(text) | Cell::List(text) => text.clone(),
        _ => String::new(),
    };
    let values = LargeStringArray::from_iter_values(coded.entries.iter().map(text));
    let key = |code: &u32| if *code == ABSENT { 0 } else { code.cast_signed() };
    let keys = Int32Array::new(coded.codes.iter().map(key).collect::<Vec<_>>().into(), code_nulls(&coded.codes));
    DictionaryArray::new(keys, Arc::new(values))
}

fn code_nulls(codes: &[u32]) -> Option<NullBuffer> {
    let present: BooleanBuffer = codes.iter().map(|code| *code != ABSENT).collect();
    (present.count_set_bits() < codes.len()).then(|| NullBuffer::new(present))
}
