//! Reads numeric columns of a CSV file, and an optional column of labels.
//!
//! Invariant: every number is finite, and every row has one for each column. Empty cells are errors, even a whole
//! record of them: a row that is skipped silently would be missing from every count.

use std::path::PathBuf;

use crate::files::cells::unexpected;
use crate::files::error::{FormatError, Wrong, shortened};
use crate::files::source::{Files, Watch};
use crate::files::table::{Bounded, csv_wrong, named_twice};

/// Numeric columns with labels and lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// One vector per wanted column, `(rows,)` each.
    pub columns: Vec<Vec<f64>>,
    /// Labels, `(rows,)`; empty without a label column.
    pub labels: Vec<String>,
    /// Line on which each row begins, from 1.
    pub lines: Vec<u64>,
}

/// Reads columns by their names in the header. `.gz` and `.zst` are decompressed on the fly.
///
/// # Errors
/// [`FormatError`] names file, line and column, and lists the existing columns where a wanted one is missing.
pub fn read(
    path: PathBuf,
    columns: &[String],
    labels: Option<&str>,
    watch: Option<Watch>,
) -> Result<Numbers, FormatError> {
    let mut files = Files::new(&[path], &[".csv"], watch)?;
    let mut numbers = Numbers { columns: vec![Vec::new(); columns.len()], ..Numbers::default() };
    while let Some(source) = files.open_next() {
        let source = source?;
        let compression = source.compression();
        let path = source.path;
        let mut reader = csv::Reader::from_reader(Bounded::new(source.reader));
        let failed = |error: csv::Error| failed(&path, compression, error);
        let header = reader.headers().map_err(failed)?.clone();
        if let Some(name) = named_twice(header.iter()) {
            return Err(FormatError::at(&path, 1, Some(&shortened(name)), Wrong::Twice));
        }
        let place = |name: &str, flag: &str| place(&header, name, flag).map_err(|w| FormatError::at(&path, 1, None, w));
        let places = columns.iter().map(|name| place(name, "--columns")).collect::<Result<Vec<_>, _>>()?;
        let label = labels.map(|name| place(name, "--truth").map(|place| (name, place))).transpose()?;
        let mut record = csv::StringRecord::new();
        loop {
            reader.get_mut().begin_record();
            if !reader.read_record(&mut record).map_err(failed)? {
                break;
            }
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |place: usize| record.get(place).map_or("", str::trim);
            for ((name, place), column) in columns.iter().zip(&places).zip(&mut numbers.columns) {
                let found = cell(*place);
                let value = found.parse().ok().filter(|value: &f64| value.is_finite());
                let expected = "a finite number: fill it in, or leave the row out";
                let wrong = || FormatError::at(&path, line, Some(name), unexpected(found, expected));
                column.push(value.ok_or_else(wrong)?);
            }
            if let Some((name, place)) = label {
                let found = cell(place);
                if found.is_empty() {
                    return Err(FormatError::at(&path, line, Some(name), unexpected(found, "a label: fill it in")));
                }
                numbers.labels.push(found.to_owned());
            }
            numbers.lines.push(line);
            files.tell(false);
        }
        files.tell(true);
    }
    Ok(numbers)
}

fn place(header: &csv::StringRecord, name: &str, flag: &str) -> Result<usize, Wrong> {
    let there = header.iter().map(str::trim).collect::<Vec<_>>().join(",");
    let absent = || Wrong::Csv(format!("there is no column `{name}` for {flag}: the header has {}", shortened(&there)));
    header.iter().position(|found| found.trim() == name).ok_or_else(absent)
}

fn failed(path: &std::path::Path, compression: Option<&'static str>, error: csv::Error) -> FormatError {
    let line = error.position().map(csv::Position::line);
    let wrong = csv_wrong(compression, error);
    match line {
        Some(line) => FormatError::at(path, line, None, wrong),
        None => FormatError::in_file(path, wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, columns: &[&str], labels: Option<&str>) -> Result<Numbers, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.csv");
        std::fs::write(&path, text).unwrap();
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let shorter = |error: FormatError| error.to_string().split("people.csv").nth(1).unwrap().to_owned();
        read(path, &columns, labels, None).map_err(shorter)
    }

    #[test]
    fn columns_are_read_by_name() {
        let found = read_text("\u{feff}a, b ,c\n1,2.5,x\n-3e2, 4 ,y\n", &["b", "a"], Some("c")).unwrap();
        assert_eq!(found.columns, [[2.5, 4.0], [1.0, -300.0]]);
        assert_eq!(found.labels, ["x", "y"]);
        assert_eq!(found.lines, [2, 3]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("a,b\n1,2\n", ": there is no column `c` for --truth: the header has a,b"),
            ("a,c\n1,2\n", ": there is no column `b` for --columns: the header has a,c"),
            ("a,b,c,a\n", ", line 1, column a: the column is in the header twice"),
            ("a,b,c,x,x\n", ", line 1, column x: the column is in the header twice"),
            ("a,b,c\n1,2,x\n1,,x\n", ", line 3, column b: `` is not a finite number"),
            ("a,b,c\n1,NaN,x\n", ", line 2, column b: `NaN` is not a finite number"),
            ("a,b,c\n1,inf,x\n", ", line 2, column b: `inf` is not a finite number"),
            ("a,b,c\n1,2,\n", ", line 2, column c: `` is not a label"),
            ("a,b,c\n1,2\n", ", line 2: has 2 cells where the header has 3"),
        ] {
            let error = read_text(text, &["a", "b"], Some("c")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
