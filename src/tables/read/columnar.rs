//! Reads a table from Parquet.
//!
//! Invariant: memory holds at most [`BATCH`] rows of each column, beside their pages. Integers of any width are exact.
//! An unwanted column of an unsupported type is skipped with a warning; a wanted one is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use num_bigint::BigInt;
use parquet::basic::{Compression, ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray, Int96};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::build::Shape;
use super::columns::places;
use super::error::TablesError;
use super::record::{Record, Value};
use crate::domain::time::{DAY_MS, Millis};
use crate::domain::timestamps;
use crate::files::table::{Column, Columns};
use crate::files::{FormatError, Wrong};

#[cfg(test)]
#[allow(clippy::type_complexity, reason = "columns in tests are tuples of vectors")]
mod tests;

/// Number of rows that are decoded together.
const BATCH: usize = 4_096;

/// Type of a column's values after decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeafKind {
    Flag,
    Integer,
    Unsigned,
    /// Units per millisecond; a negative number gives milliseconds per unit.
    Time {
        per_ms: i64,
    },
    Julian,
    Real,
    Text,
    /// An integer of any width, with `scale` digits after the decimal point.
    Decimal {
        scale: usize,
    },
    /// Days since 1970-01-01.
    Date,
    /// A UUID of 16 bytes.
    Uuid,
}

/// A leaf column of the file that is read.
struct Leaf {
    /// Index among the leaves of the file.
    index: usize,
    name: String,
    kind: LeafKind,
    is_list: bool,
    /// True for a wanted list of numbers.
    is_vector: bool,
    /// Definition level of a value that is not null.
    present: i16,
}

/// Decoded values of one column for up to [`BATCH`] rows.
#[derive(Default)]
struct Batch {
    levels: Vec<i16>,
    repeats: Vec<i16>,
    flags: Vec<bool>,
    narrow: Vec<i32>,
    integers: Vec<i64>,
    julian: Vec<Int96>,
    singles: Vec<f32>,
    reals: Vec<f64>,
    texts: Vec<ByteArray>,
    fixed: Vec<FixedLenByteArray>,
    /// Values as text, for types without a form of their own.
    written: Vec<String>,
    /// Value of the current row, for a list that is no vector.
    array: serde_json::Value,
    /// Index of the current row's first value, and its number of values; 0 for null.
    at: usize,
    count: usize,
    next_level: usize,
    next_value: usize,
}

pub(super) fn each(
    path: &Path,
    columns: &Columns,
    shape: Shape,
    read: &mut dyn FnMut(&dyn Record) -> Result<(), TablesError>,
) -> Result<(), TablesError> {
    let place = path.display().to_string();
    let broken = |error: ParquetError| TablesError::Broken { place: place.clone(), why: error.to_string() };
    let file = File::open(path).map_err(|error| TablesError::File(FormatError::in_file(path, Wrong::Read(error))))?;
    let reader = guarded(|| SerializedFileReader::new(file)).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let roots: Vec<String> = schema.root_schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    let wanted = shape.columns;
    // Checks only that all needed columns exist.
    places(&place, &roots, columns, wanted)?;
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut passed_over = BTreeSet::new();
    let mut parts: BTreeMap<&str, usize> = BTreeMap::new();
    for leaf in schema.columns() {
        *parts.entry(leaf.path().parts().first().map_or("", String::as_str)).or_default() += 1;
    }
    // Structs and maps have several leaves.
    let leaves_of = |name: &str| parts.get(name).copied().unwrap_or_default();
    for (index, leaf) in schema.columns().iter().enumerate() {
        let name = leaf.path().parts().first().cloned().unwrap_or_default();
        let is_wanted = wanted.iter().any(|column| columns.name(column.role) == name);
        if !is_wanted && !shape.keeps_others {
            continue;
        }
        let is_list = leaf.max_rep_level() == 1;
        let is_vector = is_list && is_wanted;
        let found = kind(leaf, is_list).filter(|kind| !is_vector || matches!(kind, LeafKind::Real | LeafKind::Integer));
        match found.filter(|_| leaves_of(&name) == 1) {
            Some(kind) => {
                leaves.push(Leaf { index, name, kind, is_list, is_vector, present: leaf.max_def_level() });
            }
            None if !is_wanted => {
                passed_over.insert(name);
            }
            None => {
                let nested = if leaf.path().parts().len() > 1 { "nested values of " } else { "" };
                let holds = format!("holds {nested}{}, which is not for this column", leaf.physical_type());
                let wrong = Box::new(Wrong::Csv(holds));
                return Err(TablesError::Row { place, row: 0, column: name, wrong });
            }
        }
    }
    if !passed_over.is_empty() {
        let names: Vec<String> = passed_over.into_iter().collect();
        tracing::warn!("{place}: columns of unsupported types are skipped: {}", names.join(", "));
    }
    let places: Vec<Option<usize>> =
        wanted.iter().map(|column| leaves.iter().position(|leaf| leaf.name == columns.name(column.role))).collect();
    let mut row =
        ParquetRow { place: &place, columns, wanted, leaves: &leaves, places: &places, batches: Vec::new(), number: 0 };
    for group in 0..reader.num_row_groups() {
        let group = guarded(|| reader.get_row_group(group)).map_err(broken)?;
        if group.metadata().columns().iter().any(|column| column.compression() == Compression::LZO) {
            let why = "it is compressed by LZO: write it with zstd, snappy or gzip".to_owned();
            return Err(TablesError::Broken { place: place.clone(), why });
        }
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let readers = || leaves.iter().map(|leaf| group.get_column_reader(leaf.index)).collect::<Result<Vec<_>, _>>();
        let mut readers = guarded(readers).map_err(broken)?;
        let mut left = rows;
        while left > 0 {
            let count = left.min(BATCH);
            left -= count;
            row.batches.clear();
            for (reader, leaf) in readers.iter_mut().zip(&leaves) {
                let mut batch = Batch::default();
                let found = guarded(|| batch.fill(reader, count)).map_err(broken)?;
                batch.write(leaf);
                if found != count {
                    let why = format!("column {} ends after {found} of {count} rows", leaf.name);
                    return Err(TablesError::Broken { place: place.clone(), why });
                }
                row.batches.push(batch);
            }
            for _ in 0..count {
                row.number += 1;
                for (batch, leaf) in row.batches.iter_mut().zip(&leaves) {
                    batch.advance(leaf);
                    if leaf.kind == LeafKind::Text && !batch.is_utf8() {
                        let (column, wrong) = (leaf.name.clone(), Box::new(Wrong::Encoding));
                        return Err(TablesError::Row { place: place.clone(), row: row.number, column, wrong });
                    }
                }
                read(&row)?;
            }
        }
    }
    Ok(())
}

/// Turns a panic of the Parquet library into an error: it trusts the metadata of a file, and panics where that is
/// damaged.
fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let caught = std::panic::catch_unwind(AssertUnwindSafe(work));
    // After a panic the reader is dropped, so no half-changed state is used.
    caught.unwrap_or_else(|_| Err(ParquetError::General("it is damaged: take another copy".into())))
}

/// Type of a column, or of the elements of its lists; `None` for an unsupported one.
fn kind(leaf: &ColumnDescriptor, is_list: bool) -> Option<LeafKind> {
    /// More digits after the point than a decimal of 256 bits has.
    const SCALE_MAX: i32 = 80;
    if leaf.max_rep_level() > 1 || (!is_list && leaf.path().parts().len() > 1) {
        return None;
    }
    // A list is `name.list.element`; deeper leaves are fields of its elements.
    if is_list && leaf.path().parts().len() > 3 {
        return None;
    }
    let decimal = |scale: i32| {
        (0..=SCALE_MAX)
            .contains(&scale)
            .then(|| LeafKind::Decimal { scale: usize::try_from(scale).unwrap_or_default() })
    };
    let physical = leaf.physical_type();
    match (physical, leaf.logical_type_ref()) {
        (
            Physical::INT32 | Physical::INT64 | Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY,
            Some(LogicalType::Decimal(found)),
        ) => decimal(found.scale),
        (Physical::INT32 | Physical::INT64 | Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY, _)
            if leaf.converted_type() == ConvertedType::DECIMAL =>
        {
            decimal(leaf.type_scale())
        }
        (Physical::BOOLEAN, _) => Some(LeafKind::Flag),
        (Physical::INT32, Some(LogicalType::Date)) => Some(LeafKind::Date),
        (Physical::INT64, Some(LogicalType::Timestamp(time))) => Some(match time.unit {
            TimeUnit::MILLIS => LeafKind::Time { per_ms: 1 },
            TimeUnit::MICROS => LeafKind::Time { per_ms: 1_000 },
            TimeUnit::NANOS => LeafKind::Time { per_ms: 1_000_000 },
        }),
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Integer(int))) => {
            Some(if int.is_signed { LeafKind::Integer } else { LeafKind::Unsigned })
        }
        (Physical::INT32 | Physical::INT64, None) => match leaf.converted_type() {
            ConvertedType::DATE => Some(LeafKind::Date),
            ConvertedType::TIMESTAMP_MILLIS => Some(LeafKind::Time { per_ms: 1 }),
            ConvertedType::TIMESTAMP_MICROS => Some(LeafKind::Time { per_ms: 1_000 }),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64 => {
                Some(LeafKind::Unsigned)
            }
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64 => Some(LeafKind::Integer),
            _ => None,
        },
        (Physical::INT96, _) => Some(LeafKind::Julian),
        (Physical::FLOAT | Physical::DOUBLE, _) => Some(LeafKind::Real),
        (Physical::BYTE_ARRAY, None | Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)) => {
            Some(LeafKind::Text)
        }
        (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid)) => Some(LeafKind::Uuid),
        _ => None,
    }
}

/// Inserts a decimal point before the last `scale` digits of an integer.
fn decimal(whole: &str, scale: usize) -> String {
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    if scale == 0 {
        return whole.to_owned();
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (before, behind) = digits.split_at(digits.len() - scale);
    format!("{sign}{before}.{behind}")
}

/// Formats 16 bytes as `6ba7b810-9dad-11d1-80b4-00c04fd430c8`.
fn uuid(bytes: &[u8]) -> String {
    bytes.iter().enumerate().fold(String::new(), |mut text, (at, byte)| {
        let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        // Writing to a string never fails.
        let _ = write!(text, "{dash}{byte:02x}");
        text
    })
}

impl Batch {
    /// Decodes up to `count` rows and returns their number.
    fn fill(&mut self, reader: &mut ColumnReader, count: usize) -> Result<usize, ParquetError> {
        let (levels, repeats) = (&mut self.levels, &mut self.repeats);
        match reader {
            ColumnReader::BoolColumnReader(reader) => whole(reader, count, levels, repeats, &mut self.flags),
            ColumnReader::Int32ColumnReader(reader) => whole(reader, count, levels, repeats, &mut self.narrow),
            ColumnReader::Int64ColumnReader(reader) => whole(reader, count, levels, repeats, &mut self.integers),
            ColumnReader::Int96ColumnReader(reader) => whole(reader, count, levels, repeats, &mut self.julian),
            ColumnReader::FloatColumnReader(reader) => whole(reader, count, levels, repeats, &mut self.singles),
            ColumnReader::DoubleColumnReader(reader) => whole(reader, count, levels, repeats, &mut self.reals),
            ColumnReader::ByteArrayColumnReader(reader) => whole(reader, count, levels, repeats, &mut self.texts),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                whole(reader, count, levels, repeats, &mut self.fixed)
            }
        }
    }

    /// Converts values that are read as text, and numbers of vectors.
    fn write(&mut self, leaf: &Leaf) {
        let of_bytes = |bytes: &[u8], scale| decimal(&BigInt::from_signed_bytes_be(bytes).to_string(), scale);
        match leaf.kind {
            LeafKind::Decimal { scale } => {
                self.written.extend(self.narrow.iter().map(|number| decimal(&number.to_string(), scale)));
                self.written.extend(self.integers.iter().map(|number| decimal(&number.to_string(), scale)));
                self.written.extend(self.texts.iter().map(|bytes| of_bytes(bytes.data(), scale)));
                self.written.extend(self.fixed.iter().map(|bytes| of_bytes(bytes.data(), scale)));
            }
            LeafKind::Date => {
                let date = |days: &i32| match timestamps::civil(Millis(i64::from(*days) * DAY_MS)) {
                    Some(civil) => civil.date().to_string(),
                    None => format!("day {days}"),
                };
                self.written.extend(self.narrow.iter().map(date));
            }
            LeafKind::Uuid => self.written.extend(self.fixed.iter().map(|bytes| uuid(bytes.data()))),
            LeafKind::Real | LeafKind::Integer if leaf.is_vector && self.singles.is_empty() => {
                self.singles.extend(self.reals.iter().map(|number| *number as f32));
                self.singles.extend(self.integers.iter().map(|number| *number as f32));
                self.singles.extend(self.narrow.iter().map(|number| *number as f32));
            }
            _ => {}
        }
    }

    /// Moves on to the next row.
    fn advance(&mut self, leaf: &Leaf) {
        self.at = self.next_value;
        self.count = 0;
        if leaf.is_list {
            loop {
                let there = self.levels.get(self.next_level).is_none_or(|level| *level == leaf.present);
                self.count += usize::from(there);
                self.next_level += 1;
                // A row continues while the repetition level is above 0.
                if self.repeats.get(self.next_level).is_none_or(|repeat| *repeat == 0) {
                    break;
                }
            }
        } else {
            self.count = usize::from(self.levels.get(self.next_level).is_none_or(|level| *level == leaf.present));
            self.next_level += 1;
        }
        self.next_value += self.count;
        if leaf.is_list && !leaf.is_vector {
            self.array = (self.at..self.next_value).filter_map(|at| self.one(leaf.kind, at)?.json()).collect();
        }
    }

    /// True where the text, or all texts of the list, of the current row are UTF-8.
    fn is_utf8(&self) -> bool {
        let texts = self.texts.iter().skip(self.at).take(self.count);
        texts.into_iter().all(|text| std::str::from_utf8(text.data()).is_ok())
    }

    /// The value of the current row; `None` for null.
    fn value(&self, leaf: &Leaf) -> Option<Value<'_>> {
        match self.count {
            0 => None,
            _ if leaf.is_vector => Some(Value::List(self.singles.get(self.at..self.at + self.count)?)),
            _ if leaf.is_list => Some(Value::Array(&self.array)),
            _ => self.one(leaf.kind, self.at),
        }
    }

    /// The value at index `at` of the batch.
    fn one(&self, kind: LeafKind, at: usize) -> Option<Value<'_>> {
        /// Largest integers that are exact as f64 and f32.
        const EXACT_IN_DOUBLES: f64 = 9_007_199_254_740_992.0;
        const EXACT_IN_SINGLES: f64 = 16_777_216.0;
        let integer = || self.integers.get(at).copied().or_else(|| self.narrow.get(at).map(|n| i64::from(*n)));
        Some(match kind {
            LeafKind::Flag => Value::Flag(*self.flags.get(at)?),
            LeafKind::Integer => Value::Integer(integer()?),
            LeafKind::Unsigned => match (self.integers.get(at), self.narrow.get(at)) {
                // Unsigned integers keep their bits in a signed column.
                (Some(number), _) => Value::Unsigned(*number as u64),
                (None, number) => Value::Unsigned(u64::from(*number? as u32)),
            },
            LeafKind::Time { per_ms } => Value::Time(Millis(integer()?.div_euclid(per_ms))),
            LeafKind::Julian => Value::Time(Millis(self.julian.get(at)?.to_millis())),
            LeafKind::Real => match self.reals.get(at) {
                Some(number) => Value::Real { number: *number, exact: EXACT_IN_DOUBLES },
                None => Value::Real { number: f64::from(*self.singles.get(at)?), exact: EXACT_IN_SINGLES },
            },
            LeafKind::Text => {
                let text = std::str::from_utf8(self.texts.get(at)?.data()).ok()?.trim();
                if text.is_empty() { Value::Absent } else { Value::Text(text) }
            }
            LeafKind::Decimal { .. } => Value::Decimal(self.written.get(at)?),
            LeafKind::Date | LeafKind::Uuid => Value::Text(self.written.get(at)?),
        })
    }
}

fn whole<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    count: usize,
    levels: &mut Vec<i16>,
    repeats: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Result<usize, ParquetError> {
    let mut found = 0;
    while found < count {
        let (more, ..) = reader.read_records(count - found, Some(levels), Some(repeats), values)?;
        if more == 0 {
            break;
        }
        found += more;
    }
    Ok(found)
}

struct ParquetRow<'a> {
    place: &'a str,
    columns: &'a Columns,
    wanted: &'static [Column],
    leaves: &'a [Leaf],
    places: &'a [Option<usize>],
    batches: Vec<Batch>,
    number: u64,
}

impl Record for ParquetRow<'_> {
    fn value(&self, role: &str) -> Value<'_> {
        let column = self.wanted.iter().position(|column| column.role == role);
        let place = column.and_then(|column| self.places[column]);
        place.and_then(|place| self.batches[place].value(&self.leaves[place])).unwrap_or(Value::Absent)
    }

    fn others(&self, each: &mut dyn FnMut(&str, Value<'_>)) {
        for (at, (leaf, batch)) in self.leaves.iter().zip(&self.batches).enumerate() {
            if let Some(value) = batch.value(leaf).filter(|_| !self.places.contains(&Some(at))) {
                each(&leaf.name, value);
            }
        }
    }

    fn wrong(&self, role: &str, wrong: Wrong) -> TablesError {
        TablesError::Row {
            place: self.place.to_owned(),
            row: self.number,
            column: self.columns.name(role).to_owned(),
            wrong: Box::new(wrong),
        }
    }
}
