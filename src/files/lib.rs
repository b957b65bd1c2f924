//! Files that others wrote: opened, decompressed and taken apart into checked cells, with the place of whatever is wrong.
//!
//! Invariant: everything is a stream in bounded memory; `.gz` and `.zst` are read as they are; an error names the file, and as
//! far as there is one the line and the column. Absent on purpose: what the cells mean, which is each format's own business.

use eddyline_core::domain;

pub mod cells;
pub mod error;
pub mod lines;
pub mod source;
pub mod table;
pub mod time;

pub use error::{FormatError, Wrong};
pub use source::{Progress, Watch};
pub use table::{Columns, ColumnsError};
