//! Reads measurements of users as CSV: `user,metric,value,time[,type]`, with names mapped by `--columns`.
//!
//! Invariant: a value is within the range of its declared metric. Rows keep the order of the file, which need not be by
//! time.

use std::path::PathBuf;

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::engine::metrics::measured::{Declarations, Ignored, millionths};
use crate::files::cells;
use crate::files::error::FormatError;
use crate::files::source::Watch;
use crate::files::table::{Column, Columns, Table, needed, optional};
use crate::files::time::Times;

/// Roles of columns that `--columns` may map.
pub const ROLES: [&str; 5] = ["user", "metric", "value", "time", "type"];

const COLUMNS: [Column; 5] = [needed("user"), needed("metric"), needed("value"), needed("time"), optional("type")];

/// A measurement of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasurementRow {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the user.
    pub user: Key,
    /// Name of the metric.
    pub metric: Key,
    /// Type of the measurement; `None` without one.
    pub kind: Option<Key>,
    /// Value in millionths of the metric's unit.
    pub millionths: i64,
    /// Time of the measurement.
    pub time: Millis,
    /// Whether metric and type are declared.
    pub is_declared: bool,
}

/// An iterator over the measurements of several files.
pub struct Measurements {
    table: Table,
    times: Times,
    declared: Declarations,
    passes_unknown: bool,
}

impl Measurements {
    /// Opens the files; `columns` maps [`ROLES`]. With `passes_unknown`, rows of undeclared metrics and types are no
    /// errors.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(
        paths: &[PathBuf],
        columns: Columns,
        times: impl Into<Times>,
        declared: Declarations,
        passes_unknown: bool,
        watch: Option<Watch>,
    ) -> Result<Measurements, FormatError> {
        let table = Table::new(paths, columns, &COLUMNS, watch)?;
        Ok(Measurements { table, times: times.into(), declared, passes_unknown })
    }
}

impl Iterator for Measurements {
    type Item = Result<MeasurementRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Measurements { table, times, declared, passes_unknown } = self;
        table.next(|row| {
            let metric = row.key("metric")?;
            let kind = row.maybe("type", cells::key)?;
            let number = row.maybe("value", |cell| {
                let number: Option<f64> = cell.parse().ok().filter(|number: &f64| number.is_finite());
                number.ok_or_else(|| cells::unexpected(cell, "a finite number"))
            })?;
            let value = number.ok_or_else(|| row.error("value", cells::unexpected("", "a finite number")))?;
            let fault = declared.accept(metric.as_str(), kind.as_ref().map(Key::as_str), value).err();
            let is_declared = !matches!(fault, Some(Ignored::Metric | Ignored::Kind));
            match fault {
                Some(Ignored::Value) => {
                    let (low, high) = declared.get(metric.as_str()).map_or((0.0, 0.0), |of| of.range());
                    let cell = row.cell("value").unwrap_or_default();
                    return Err(row.error("value", cells::unexpected(cell, format!("a number from {low} to {high}"))));
                }
                Some(Ignored::Metric) if !*passes_unknown => {
                    let names: Vec<&str> = declared.iter().map(|(name, _)| name).collect();
                    let expected = format!("a declared metric ({}), or --skip-unknown", names.join(", "));
                    return Err(row.error("metric", cells::unexpected(metric.as_str(), expected)));
                }
                Some(Ignored::Kind) if !*passes_unknown => {
                    let cell = row.cell("type").unwrap_or_default();
                    let expected = format!("a declared type of {metric}, or --skip-unknown");
                    return Err(row.error("type", cells::unexpected(cell, expected)));
                }
                Some(Ignored::Metric | Ignored::Kind) | None => {}
            }
            Ok(MeasurementRow {
                line: row.line,
                user: row.key("user")?,
                metric,
                kind,
                millionths: millionths(value),
                time: row.time("time", times)?,
                is_declared,
            })
        })
    }
}
