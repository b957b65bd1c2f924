//! Columns of the feature matrix for clustering, by their names in `cluster.columns`.

use crate::domain::ids::Key;
use crate::engine::metrics::measured::{Declarations, Series};
use crate::engine::metrics::normal::Prior;

/// One column of the feature matrix for clustering.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// The running mean of a series, and the prior of its metric.
    Metric(Series, Prior),
    /// The decayed weight of a topic.
    Topic(Key),
}

impl Column {
    /// Parses a name from `cluster.columns`; `None` for an undeclared metric or type, or an invalid topic key.
    #[must_use]
    pub fn of(name: &str, declared: &Declarations) -> Option<Column> {
        let series = |metric: &str, kind: Option<&str>| {
            let named = declared.series(metric, kind)?;
            Some(Column::Metric(named.series, named.declaration.prior))
        };
        match name.split_once('.') {
            None => series(name, None),
            Some(("topic", topic)) => Key::new(topic).ok().map(Column::Topic),
            Some((metric, kind)) => series(metric, Some(kind)),
        }
    }
}
