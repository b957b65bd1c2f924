//! Writes a table as CSV or Parquet, row by row.
//!
//! Invariant: rows keep their order, equal rows give equal bytes, and a file is complete once `finish` returns. Memory
//! holds one row group at most. An existing file is never overwritten.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::domain::time::Millis;
use crate::domain::timestamps;

/// Rows in one row group of Parquet.
const GROUP_ROWS: usize = 64 * 1024;

/// File format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// CSV with a header; times as `2026-01-05 12:00:00`, UTC.
    Csv,
    /// CSV with a header, compressed by zstd.
    CsvZst,
    /// Parquet, compressed by zstd.
    Parquet,
}

impl FileFormat {
    /// File name extension, with the dot.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            FileFormat::Csv => ".csv",
            FileFormat::CsvZst => ".csv.zst",
            FileFormat::Parquet => ".parquet",
        }
    }
}

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Integers of 64 bits.
    Integer,
    /// Text in UTF-8 of any length.
    Text,
    /// Instants in milliseconds.
    Time,
    /// Numbers of 32 bits; CSV has the shortest digits that give back the number.
    Real,
}

/// Value of one cell; its variant must match the column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Value of a [`ColumnKind::Integer`] column.
    Integer(i64),
    /// Value of a [`ColumnKind::Text`] column.
    Text(&'a str),
    /// Value of a [`ColumnKind::Time`] column.
    Time(Millis),
    /// Value of a [`ColumnKind::Real`] column.
    Real(f32),
}

/// A table could not be written to its file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {wrong}", file.display())]
pub struct WriteError {
    /// Path of the file.
    pub file: PathBuf,
    /// Cause of the failure.
    #[source]
    pub wrong: WriteWrong,
}

/// Cause of a failed write.
#[derive(Debug, thiserror::Error)]
pub enum WriteWrong {
    /// The operating system refused the write.
    #[error("cannot be written ({0}): remove an existing file of this name, or free space on the disk")]
    Io(#[from] std::io::Error),
    /// The CSV writer failed.
    #[error("cannot be written: {0}")]
    Csv(#[from] csv::Error),
    /// The Parquet writer failed.
    #[error("cannot be written: {0}")]
    Parquet(#[from] ParquetError),
    /// The cells of a row do not match the columns.
    #[error("the cells of a row do not match the columns: report this error, the program is wrong")]
    Row,
}

/// A table under construction in a file.
pub struct TableWriter {
    file: PathBuf,
    kinds: Vec<ColumnKind>,
    out: Out,
}

enum Out {
    Csv(Box<csv::Writer<BufWriter<File>>>),
    CsvZst(Box<csv::Writer<zstd::Encoder<'static, BufWriter<File>>>>),
    Parquet(Box<ParquetOut>),
}

struct ParquetOut {
    writer: SerializedFileWriter<BufWriter<File>>,
    columns: Vec<Values>,
    rows: usize,
}

enum Values {
    Numbers(Vec<i64>),
    Texts(Vec<ByteArray>),
    Reals(Vec<f32>),
}

impl TableWriter {
    /// Creates `folder/name` with the extension of the format.
    ///
    /// # Errors
    /// [`WriteError`] when the file exists or cannot be created.
    pub fn create(
        folder: &Path,
        name: &str,
        format: FileFormat,
        columns: &[(&str, ColumnKind)],
    ) -> Result<TableWriter, WriteError> {
        let file = folder.join(format!("{name}{}", format.ending()));
        let out = open(&file, format, columns).map_err(|wrong| WriteError { file: file.clone(), wrong })?;
        Ok(TableWriter { file, kinds: columns.iter().map(|(_, kind)| *kind).collect(), out })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`WriteError`] when the row does not match the columns, or cannot be written.
    pub fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), WriteError> {
        self.write(cells).map_err(|wrong| WriteError { file: self.file.clone(), wrong })
    }

    fn write(&mut self, cells: &[Cell<'_>]) -> Result<(), WriteWrong> {
        let fits = |(cell, kind): (&Cell<'_>, &ColumnKind)| {
            matches!(
                (cell, kind),
                (Cell::Integer(_), ColumnKind::Integer)
                    | (Cell::Text(_), ColumnKind::Text)
                    | (Cell::Time(_), ColumnKind::Time)
                    | (Cell::Real(_), ColumnKind::Real)
            )
        };
        if cells.len() != self.kinds.len() || !cells.iter().zip(&self.kinds).all(fits) {
            return Err(WriteWrong::Row);
        }
        match &mut self.out {
            Out::Csv(out) => record(out, cells),
            Out::CsvZst(out) => record(out, cells),
            Out::Parquet(out) => out.row(cells),
        }
    }

    /// Completes the file and returns its path.
    ///
    /// # Errors
    /// [`WriteError`] when buffered rows cannot be written.
    pub fn finish(self) -> Result<PathBuf, WriteError> {
        let TableWriter { file, out, .. } = self;
        let done = match out {
            Out::Csv(out) => whole(*out).and_then(|mut out| Ok(out.flush()?)),
            Out::CsvZst(out) => whole(*out).and_then(|out| Ok(out.finish()?.flush()?)),
            Out::Parquet(out) => out.finish(),
        };
        match done {
            Ok(()) => Ok(file),
            Err(wrong) => Err(WriteError { file, wrong }),
        }
    }
}

fn open(file: &Path, format: FileFormat, columns: &[(&str, ColumnKind)]) -> Result<Out, WriteWrong> {
    let out = BufWriter::new(File::create_new(file)?);
    let header = || columns.iter().map(|(name, _)| *name);
    Ok(match format {
        FileFormat::Csv => {
            let mut out = csv::Writer::from_writer(out);
            out.write_record(header())?;
            Out::Csv(Box::new(out))
        }
        FileFormat::CsvZst => {
            let mut out = csv::Writer::from_writer(zstd::Encoder::new(out, 3)?);
            out.write_record(header())?;
            Out::CsvZst(Box::new(out))
        }
        FileFormat::Parquet => Out::Parquet(Box::new(ParquetOut::new(out, columns)?)),
    })
}

fn record<W: Write>(out: &mut csv::Writer<W>, cells: &[Cell<'_>]) -> Result<(), WriteWrong> {
    for cell in cells {
        match cell {
            Cell::Integer(number) => out.write_field(number.to_string())?,
            Cell::Text(text) => out.write_field(text)?,
            Cell::Time(at) => out.write_field(civil(*at))?,
            Cell::Real(number) => out.write_field(number.to_string())?,
        }
    }
    Ok(out.write_record(None::<&[u8]>)?)
}

/// `2026-01-05 12:00:00`, with milliseconds where they are not zero.
fn civil(at: Millis) -> String {
    let Some(at) = timestamps::civil(at) else { return at.0.to_string() };
    let format = if at.subsec_nanosecond() == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.3f" };
    at.strftime(format).to_string()
}

fn whole<W: Write>(out: csv::Writer<W>) -> Result<W, WriteWrong> {
    out.into_inner().map_err(|error| WriteWrong::Io(error.into_error()))
}

impl ParquetOut {
    fn new(out: BufWriter<File>, columns: &[(&str, ColumnKind)]) -> Result<ParquetOut, ParquetError> {
        let fields = columns.iter().map(|(name, kind)| {
            let (physical, logical) = match kind {
                ColumnKind::Integer => (Physical::INT64, None),
                ColumnKind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                ColumnKind::Real => (Physical::FLOAT, None),
                ColumnKind::Time => {
                    let millis = LogicalType::timestamp(true, TimeUnit::MILLIS);
                    (Physical::INT64, Some(millis))
                }
            };
            let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
            Ok(Arc::new(field.with_logical_type(logical).build()?))
        });
        let fields: Vec<Arc<Type>> = fields.collect::<Result<_, ParquetError>>()?;
        let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build()?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_writer_version(WriterVersion::PARQUET_1_0);
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?;
        let columns = columns.iter().map(|(_, kind)| match kind {
            ColumnKind::Text => Values::Texts(Vec::new()),
            ColumnKind::Real => Values::Reals(Vec::new()),
            ColumnKind::Integer | ColumnKind::Time => Values::Numbers(Vec::new()),
        });
        Ok(ParquetOut { writer, columns: columns.collect(), rows: 0 })
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), WriteWrong> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            match (column, cell) {
                (Values::Numbers(numbers), Cell::Integer(number) | Cell::Time(Millis(number))) => {
                    numbers.push(*number);
                }
                (Values::Texts(texts), Cell::Text(text)) => texts.push(ByteArray::from(*text)),
                (Values::Reals(numbers), Cell::Real(number)) => numbers.push(*number),
                _ => return Err(WriteWrong::Row),
            }
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS { Ok(self.flush()?) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        self.rows = 0;
        let mut group = self.writer.next_row_group()?;
        for values in &mut self.columns {
            let Some(mut column) = group.next_column()? else { break };
            match values {
                Values::Numbers(numbers) => {
                    column.typed::<Int64Type>().write_batch(numbers, None, None)?;
                    numbers.clear();
                }
                Values::Texts(texts) => {
                    column.typed::<ByteArrayType>().write_batch(texts, None, None)?;
                    texts.clear();
                }
                Values::Reals(numbers) => {
                    column.typed::<FloatType>().write_batch(numbers, None, None)?;
                    numbers.clear();
                }
            }
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    fn finish(mut self) -> Result<(), WriteWrong> {
        if self.rows > 0 {
            self.flush()?;
        }
        let mut out = self.writer.into_inner()?;
        Ok(out.flush()?)
    }
}
