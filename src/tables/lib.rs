//! Tables of users, posts and a feed, in the form that data sets have: input of training, evaluation and import.
//!
//! Invariant: rows of the feed are sorted by time, ties in the order of the file; each row names a user and a post by
//! index.
//! Absent on purpose: learning, and storage of the tables.

extern crate self as tables;
use eddyline_core::domain;
use eddyline_files as files;

mod rows;
pub mod read;
pub mod write;

pub use read::read;
pub use rows::{Action, FeedRows, PersonRow, PostRow, Tables};
