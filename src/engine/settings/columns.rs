//! Columns of the feature matrix for clustering, by their names in `cluster.columns`.

use crate::domain::ids::Key;
use crate::engine::metrics::measured::{Kinds, Series};

/// One column of the feature matrix for clustering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The running mean of a series.
    Metric(Series),
    /// The decayed weight of a topic.
    Topic(Key),
}

impl Column {
    /// Parses a name from `cluster.columns`; `None` for an undeclared metric or kind, or an invalid topic key.
    #[must_use]
    pub fn of(name: &str, kinds: &Kinds) -> Option<Column> {
        match name.split_once('.') {
            None => kinds.series(name, None).map(Column::Metric),
            Some(("topic", topic)) => Key::new(topic).ok().map(Column::Topic),
            Some((metric, kind)) => kinds.series(metric, Some(kind)).map(Column::Metric),
        }
    }
}
