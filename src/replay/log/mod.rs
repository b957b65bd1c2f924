//! Logs for evaluation: compact rows in memory, the availability of items, and their construction from files and
//! tables.
//!
//! Invariant: rows are sorted by time whatever their order in the files. Absent on purpose: ranking and learning.

pub mod availability;
mod rows;
pub mod read;
pub mod tables;

pub use rows::{About, Act, Log, LogBuilder, LogRow, Names, WindowSource};
