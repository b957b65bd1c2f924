//! Options of reading tables: column names, time units, dimensions of embeddings.
//!
//! Invariant: the defaults read tables with the standard column names.

use crate::files::table::Columns;
use crate::files::time::{TimeUnit, Times};

/// Roles that `columns` may map to names in the three tables.
pub const ROLES: [&str; 8] = ["timestamp", "user_id", "post_id", "action", "target", "text", "topic", "embedding"];

/// How the columns of the tables are found and interpreted.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Names of columns for the [`ROLES`].
    pub columns: Columns,
    /// Unit of numeric times.
    pub times: Times,
    /// Dimension of given embeddings; `None` takes it from the first one.
    pub dim: Option<usize>,
    /// Dimension of embeddings computed from texts later; given ones must match it where such texts exist.
    pub dim_of_texts: Option<usize>,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        let times = Times::by_size().or_own(TimeUnit::SECONDS);
        TableOptions { columns: Columns::default(), times, dim: None, dim_of_texts: None }
    }
}
