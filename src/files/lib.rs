//! Readers of files: decompression, lines, CSV records, checked cells, and errors with their place in the file.
//!
//! Invariant: files are read as streams in bounded memory. `.gz` and `.zst` are decompressed. An error names the file, and the
//! line and column where they exist. Absent on purpose: the meaning of cells, which each format defines.

use eddyline_core::domain;

pub mod error;
pub mod cells;
pub mod source;
pub mod lines;
pub mod time;
pub mod table;

pub use error::{FormatError, Wrong};
pub use source::{Progress, Watch};
pub use table::{Columns, ColumnsError};
