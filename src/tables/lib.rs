//! Tables of people, posts and views, as they exist in the field: what a two-tower model is trained on, and what is imported.
//!
//! Invariant: rows of the feed are sorted by time, ties in the order of the file; every row names a person and a post by
//! their place in the tables. Absent on purpose: learning, and where the tables are stored.

extern crate self as tables;
use eddyline_core::domain;
use eddyline_files as files;

pub mod read;
pub mod write;

pub use read::read;

use crate::domain::ids::Key;
use crate::domain::time::Millis;

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// `user_data`.
    pub people: Vec<PersonRow>,
    /// `post_text_df`.
    pub posts: Vec<PostRow>,
    /// `feed_data`.
    pub feed: FeedRows,
}

/// A person.
#[derive(Clone, Debug)]
pub struct PersonRow {
    /// Their id in the table.
    pub key: Key,
    /// The other columns as a JSON object; `None` where there is no such table.
    pub attributes: Option<String>,
}

/// A post.
#[derive(Clone, Debug)]
pub struct PostRow {
    /// Its id in the table.
    pub key: Key,
    /// Its text; empty where the table has none.
    pub text: String,
    /// Its topic.
    pub topic: Option<Key>,
    /// Numeric columns, by name.
    pub numbers: Vec<(String, f32)>,
    /// `(dim,)` of its text; `None` where there is no text.
    pub embedding: Option<Vec<f32>>,
}

/// Views and likes, in columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct FeedRows {
    /// When.
    pub at: Vec<Millis>,
    /// Place in [`Tables::people`].
    pub person: Vec<u32>,
    /// Place in [`Tables::posts`].
    pub post: Vec<u32>,
    /// What they did.
    pub action: Vec<Action>,
    /// Of a view: was it liked right after?
    pub target: Vec<bool>,
}

/// What a row of the feed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The post was seen.
    View,
    /// The post was liked; follows a view of it.
    Like,
}
