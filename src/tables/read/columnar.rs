//! Tables as Parquet.
//!
//! Invariant: at most [`BATCH`] rows of each column are in memory, beside the pages that they are in. Columns that are not
//! wanted and that we cannot read are passed over; a wanted one of such a kind is an error.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, Int96};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::TablesError;
use super::build::Shape;
use super::record::{Record, Value};
use crate::domain::time::Millis;
use crate::files::table::{Column, Columns};
use crate::files::{FormatError, Wrong};

/// Rows that are decoded together.
const BATCH: usize = 4_096;

/// What the numbers of a column mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    Integer,
    Unsigned,
    /// So many units are a millisecond; below 0: so many milliseconds are a unit.
    Time {
        per_ms: i64,
    },
    Julian,
    Real,
    Text,
    Reals,
}

/// A column of the file that is read.
struct Leaf {
    /// Among the leaves of the file.
    index: usize,
    name: String,
    kind: Kind,
    /// Definition level of a value that is there.
    present: i16,
}

/// What a batch holds of one column.
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
    /// Of the current row: first value, number of values; none where it is null.
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
    // Only to see that all that is needed is there.
    super::places(&place, &roots, columns, wanted)?;
    let mut leaves: Vec<Leaf> = Vec::new();
    for (index, leaf) in schema.columns().iter().enumerate() {
        let name = leaf.path().parts().first().cloned().unwrap_or_default();
        let is_wanted = wanted.iter().any(|column| columns.name(column.role) == name);
        if !is_wanted && !shape.keeps_others {
            continue;
        }
        match kind(leaf) {
            Some(kind) => leaves.push(Leaf { index, name, kind, present: leaf.max_def_level() }),
            None if !is_wanted => {}
            None => {
                let wrong = Wrong::Csv(format!("holds {}, which is not for this column", leaf.physical_type()));
                return Err(TablesError::Row { place, row: 0, column: name, wrong: Box::new(wrong) });
            }
        }
    }
    let places: Vec<Option<usize>> =
        wanted.iter().map(|column| leaves.iter().position(|leaf| leaf.name == columns.name(column.role))).collect();
    let mut row =
        ParquetRow { place: &place, columns, wanted, leaves: &leaves, places: &places, batches: Vec::new(), number: 0 };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(broken)?;
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
                    if leaf.kind == Kind::Text && batch.is_not_utf8() {
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

/// The library trusts what a file says of itself, and panics where that is damaged: for us an error like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let caught = std::panic::catch_unwind(AssertUnwindSafe(work));
    // Whatever it left half done is not used again.
    caught.unwrap_or_else(|_| Err(ParquetError::General("it is damaged: take another copy".into())))
}

/// What a column of the file holds; `None` where we do not read such.
fn kind(leaf: &ColumnDescriptor) -> Option<Kind> {
    let is_list = leaf.max_rep_level() == 1;
    if leaf.max_rep_level() > 1 || (!is_list && leaf.path().parts().len() > 1) {
        return None;
    }
    let found = match (leaf.physical_type(), leaf.logical_type_ref()) {
        (Physical::BOOLEAN, _) => Kind::Flag,
        (Physical::INT64, Some(LogicalType::Timestamp(time))) => match time.unit {
            TimeUnit::MILLIS => Kind::Time { per_ms: 1 },
            TimeUnit::MICROS => Kind::Time { per_ms: 1_000 },
            TimeUnit::NANOS => Kind::Time { per_ms: 1_000_000 },
        },
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Integer(int))) => {
            if int.is_signed {
                Kind::Integer
            } else {
                Kind::Unsigned
            }
        }
        (Physical::INT32 | Physical::INT64, None) => match leaf.converted_type() {
            ConvertedType::TIMESTAMP_MILLIS => Kind::Time { per_ms: 1 },
            ConvertedType::TIMESTAMP_MICROS => Kind::Time { per_ms: 1_000 },
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64 => {
                Kind::Unsigned
            }
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64 => Kind::Integer,
            _ => return None,
        },
        (Physical::INT96, _) => Kind::Julian,
        (Physical::FLOAT | Physical::DOUBLE, _) => Kind::Real,
        (Physical::BYTE_ARRAY, None | Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)) => {
            match leaf.converted_type() {
                ConvertedType::DECIMAL => return None,
                _ => Kind::Text,
            }
        }
        _ => return None,
    };
    match (is_list, found) {
        (false, kind) => Some(kind),
        (true, Kind::Real) => Some(Kind::Reals),
        (true, _) => None,
    }
}

impl Batch {
    /// Reads up to `count` rows and says how many there were.
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
            ColumnReader::FixedLenByteArrayColumnReader(_) => Ok(0),
        }
    }

    /// Moves on to the next row.
    fn advance(&mut self, leaf: &Leaf) {
        self.at = self.next_value;
        self.count = 0;
        if leaf.kind == Kind::Reals {
            loop {
                let there = self.levels.get(self.next_level).is_none_or(|level| *level == leaf.present);
                self.count += usize::from(there);
                self.next_level += 1;
                // A row goes on while its values repeat.
                if self.repeats.get(self.next_level).is_none_or(|repeat| *repeat == 0) {
                    break;
                }
            }
        } else {
            self.count = usize::from(self.levels.get(self.next_level).is_none_or(|level| *level == leaf.present));
            self.next_level += 1;
        }
        self.next_value += self.count;
        if leaf.kind == Kind::Reals && self.singles.is_empty() && !self.reals.is_empty() {
            self.singles = self.reals.iter().map(|number| *number as f32).collect();
        }
    }

    fn is_not_utf8(&self) -> bool {
        self.count > 0 && self.texts.get(self.at).is_some_and(|text| std::str::from_utf8(text.data()).is_err())
    }

    fn value(&self, kind: Kind) -> Option<Value<'_>> {
        if self.count == 0 {
            return None;
        }
        let integer =
            || self.integers.get(self.at).copied().or_else(|| self.narrow.get(self.at).map(|n| i64::from(*n)));
        Some(match kind {
            Kind::Flag => Value::Flag(*self.flags.get(self.at)?),
            Kind::Integer => Value::Integer(integer()?),
            Kind::Unsigned => match (self.integers.get(self.at), self.narrow.get(self.at)) {
                (Some(number), _) if *number < 0 => Value::Real(*number as u64 as f64),
                (Some(number), _) => Value::Integer(*number),
                (None, number) => Value::Integer(i64::from(*number? as u32)),
            },
            Kind::Time { per_ms } => Value::Time(Millis(integer()?.div_euclid(per_ms))),
            Kind::Julian => Value::Time(Millis(self.julian.get(self.at)?.to_millis())),
            Kind::Real => Value::Real(match self.reals.get(self.at) {
                Some(number) => *number,
                None => f64::from(*self.singles.get(self.at)?),
            }),
            Kind::Text => {
                let text = std::str::from_utf8(self.texts.get(self.at)?.data()).ok()?.trim();
                if text.is_empty() { Value::Absent } else { Value::Text(text) }
            }
            Kind::Reals => Value::List(self.singles.get(self.at..self.at + self.count)?),
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
        place.and_then(|place| self.batches[place].value(self.leaves[place].kind)).unwrap_or(Value::Absent)
    }

    fn others(&self, each: &mut dyn FnMut(&str, Value<'_>)) {
        for (at, (leaf, batch)) in self.leaves.iter().zip(&self.batches).enumerate() {
            if let Some(value) = batch.value(leaf.kind).filter(|_| !self.places.contains(&Some(at))) {
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
