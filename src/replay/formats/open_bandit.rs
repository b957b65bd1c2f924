//! Reads logged impressions with propensities in the form of the Open Bandit data set: one folder per campaign and
//! policy.
//!
//! Invariant: every impression has an item, a position, a propensity in (0, 1] and a click label. Features become one
//! index per distinct combination: of users in order of first appearance, of items by the item's number. Memory holds
//! the whole log, about 40 bytes per impression.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::time::Millis;
use crate::files::cells::{flag, unexpected};
use crate::files::error::{FormatError, Wrong};
use crate::files::source::{Watch, plain_name};
use crate::files::table::{Column, Columns, Table, TableRow, needed, optional};
use crate::files::time::Times;

const CONTEXT_FILE: &str = "item_context.csv";

const IMPRESSION: &[Column] = &[
    needed("timestamp"),
    needed("item_id"),
    needed("position"),
    needed("click"),
    needed("propensity_score"),
    optional("user_feature_0"),
    optional("user_feature_1"),
    optional("user_feature_2"),
    optional("user_feature_3"),
];

const ITEM: &[Column] = &[
    needed("item_id"),
    optional("item_feature_0"),
    optional("item_feature_1"),
    optional("item_feature_2"),
    optional("item_feature_3"),
];

/// An item shown at a position, with its outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impression {
    /// Time of the impression.
    pub at: Millis,
    /// Index of the user's features in [`OpenBandit::contexts`].
    pub context: usize,
    /// Number of the item in the log.
    pub item: usize,
    /// Number of the position in the log.
    pub position: usize,
    /// Probability with which the logging policy chose the item.
    pub propensity: f64,
    /// Label: true for a click.
    pub clicked: bool,
}

/// A log of impressions with features of users and items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenBandit {
    /// Impressions sorted by time.
    pub impressions: Vec<Impression>,
    /// Distinct combinations of user features.
    pub contexts: Vec<Vec<String>>,
    /// Features by item number; empty without an `item_context.csv`.
    pub item_features: BTreeMap<usize, Vec<String>>,
    /// Upper bound of item numbers, exclusive.
    pub items: usize,
    /// Upper bound of position numbers, exclusive.
    pub positions: usize,
}

/// Limit on item and position numbers, because they index arrays.
const NUMBER_MAX: usize = 100_000;

impl OpenBandit {
    /// Reads a folder: every CSV file except `item_context.csv` is a log of impressions.
    ///
    /// # Errors
    /// [`FormatError`] names file, line and column.
    pub fn read(folder: &Path, watch: Option<Watch>) -> Result<OpenBandit, FormatError> {
        let (mut logs, mut item_files) = (Vec::new(), Vec::new());
        let unreadable = |error| FormatError::in_file(folder, Wrong::Read(error));
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            match plain_name(&file) {
                Some(CONTEXT_FILE) => item_files.push(file),
                Some(name) if name.ends_with(".csv") => logs.push(file),
                Some(_) | None => {}
            }
        }
        if logs.is_empty() {
            return Err(FormatError::in_file(folder, Wrong::NoFile("the folder has no CSV file of impressions")));
        }
        logs.sort();
        let mut found = OpenBandit::default();
        found.read_impressions(&logs, watch)?;
        if !item_files.is_empty() {
            found.read_items(&item_files)?;
        }
        Ok(found)
    }

    fn read_impressions(&mut self, files: &[PathBuf], watch: Option<Watch>) -> Result<(), FormatError> {
        let mut table = Table::new(files, Columns::default(), IMPRESSION, watch)?;
        let times = Times::by_size();
        let mut known: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        let read = |row: &TableRow<'_>| {
            let clicked = flag(row.cell("click").unwrap_or_default()).map_err(|wrong| row.error("click", wrong))?;
            let propensity = row.cell("propensity_score").unwrap_or_default();
            let parsed: Option<f64> = propensity.parse().ok().filter(|p| *p > 0.0 && *p <= 1.0);
            let parsed = parsed.ok_or_else(|| {
                row.error("propensity_score", unexpected(propensity, "a probability above 0 and at most 1"))
            })?;
            let impression = Impression {
                at: row.time("timestamp", &times)?,
                context: 0,
                item: number(row, "item_id")?,
                position: number(row, "position")?,
                propensity: parsed,
                clicked,
            };
            Ok((impression, features(row, &IMPRESSION[5..])))
        };
        while let Some(next) = table.next(read) {
            let (mut impression, features) = next?;
            let new = known.len();
            impression.context = *known.entry(features).or_insert(new);
            self.items = self.items.max(impression.item + 1);
            self.positions = self.positions.max(impression.position + 1);
            self.impressions.push(impression);
        }
        self.impressions.sort_by_key(|impression| impression.at);
        let mut contexts: Vec<(usize, Vec<String>)> = known.into_iter().map(|(features, at)| (at, features)).collect();
        contexts.sort();
        self.contexts = contexts.into_iter().map(|(_, features)| features).collect();
        Ok(())
    }

    fn read_items(&mut self, files: &[PathBuf]) -> Result<(), FormatError> {
        let mut table = Table::new(files, Columns::default(), ITEM, None)?;
        while let Some(next) = table.next(|row| Ok((number(row, "item_id")?, features(row, &ITEM[1..])))) {
            let (item, features) = next?;
            self.item_features.insert(item, features);
            self.items = self.items.max(item + 1);
        }
        Ok(())
    }
}

fn number(row: &TableRow<'_>, role: &str) -> Result<usize, FormatError> {
    let cell = row.cell(role).unwrap_or_default();
    let parsed = cell.parse().ok().filter(|number| *number < NUMBER_MAX);
    parsed.ok_or_else(|| row.error(role, unexpected(cell, "a number from 0 to 99999")))
}

fn features(row: &TableRow<'_>, columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| row.cell(column.role).unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0\n";

    fn read(files: &[(&str, &str)]) -> Result<OpenBandit, FormatError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        OpenBandit::read(folder.path(), None)
    }

    #[test]
    fn impressions_and_items_are_read() {
        let log = format!(
            "{HEADER}0,2019-11-24 00:00:02.5+00:00,3,1,1,0.25,b,0.0\n1,2019-11-24 00:00:01+00:00,0,2,0,0.5,a,1.0\n2,2019-11-24 00:00:03+00:00,0,2,0,0.5,b,0.0\n"
        );
        let items = ",item_id,item_feature_0,item_feature_1\n0,0,-0.5,x\n1,4,0.5,y\n";
        let found = read(&[("men.csv", &log), ("item_context.csv", items), ("notes.txt", "no")]).unwrap();
        assert_eq!((found.items, found.positions, found.impressions.len()), (5, 3, 3));
        let first = found.impressions[0];
        assert_eq!((first.item, first.position, first.clicked, first.propensity), (0, 2, false, 0.5));
        assert_eq!(first.at.0 % 60_000, 1_000);
        assert_eq!(found.impressions[1].context, found.impressions[2].context, "the same features");
        assert_eq!(found.contexts[first.context][0], "a");
        assert_eq!(found.item_features[&4][..2], ["0.5", "y"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (row, blamed) in [
            ("0,2019-11-24 00:00:01+00:00,3,1,2,0.25,b,0", "click"),
            ("0,2019-11-24 00:00:01+00:00,3,1,0,0,b,0", "propensity_score"),
            ("0,2019-11-24 00:00:01+00:00,3,1,0,1.5,b,0", "propensity_score"),
            ("0,2019-11-24 00:00:01+00:00,three,1,0,0.5,b,0", "item_id"),
            ("0,soon,3,1,0,0.5,b,0", "timestamp"),
        ] {
            let error = read(&[("men.csv", &format!("{HEADER}{row}\n"))]).unwrap_err().to_string();
            assert!(error.contains(blamed) && error.contains("line 2"), "{error}");
        }
        assert!(read(&[("item_context.csv", ",item_id\n")]).unwrap_err().to_string().contains("no CSV file"));
    }
}
