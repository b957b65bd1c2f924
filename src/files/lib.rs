//! Foreign files: opened, decompressed and split into checked cells, with the place of every error.
//!
//! Invariant: readers are streams in bounded memory, with `.gz` and `.zst` decompressed on the fly. An error names the
//! file, and the line and column where they are known. Absent on purpose: the meaning of cells, which each format
//! defines.

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
