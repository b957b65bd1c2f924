//! The rows of the tables in memory: users and posts by index, the feed in columns.
//!
//! Invariant: the columns of [`FeedRows`] have equal length.

use crate::domain::ids::Key;
use crate::domain::time::Millis;

/// The three tables: users, posts and the feed.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Rows of `user_data`, then users that only the feed names.
    pub people: Vec<PersonRow>,
    /// Rows of `post_text_df`, then posts that only the feed names.
    pub posts: Vec<PostRow>,
    /// Rows of `feed_data`, sorted by time.
    pub feed: FeedRows,
}

/// A user with their attributes.
#[derive(Clone, Debug)]
pub struct PersonRow {
    /// Id of the user in the table.
    pub key: Key,
    /// The other columns as a JSON object; `None` for a user that only the feed names.
    pub attributes: Option<String>,
}

/// A post with its text, topic, numbers and embedding.
#[derive(Clone, Debug)]
pub struct PostRow {
    /// Id of the post in the table.
    pub key: Key,
    /// Text of the post; empty where the table has none.
    pub text: String,
    /// Topic of the post, if the table names one.
    pub topic: Option<Key>,
    /// Numeric columns, by name.
    pub numbers: Vec<(String, f32)>,
    /// Embedding of the text, `(dim,)`; `None` where there is no text.
    pub embedding: Option<Vec<f32>>,
}

impl PostRow {
    /// The numeric columns as attributes of an item: a JSON object as text; `None` without any. A number that JSON cannot
    /// write (NaN, infinity) is left out.
    #[must_use]
    pub fn attributes(&self) -> Option<String> {
        let numbers = self.numbers.iter().filter_map(|(name, number)| {
            Some((name.clone(), serde_json::Value::Number(serde_json::Number::from_f64(shortest(*number))?)))
        });
        let object: serde_json::Map<String, serde_json::Value> = numbers.collect();
        (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
    }
}

/// The `f64` whose shortest decimal is that of an `f32`, so that `0.1` stays `0.1`; NaN for a number that is not finite.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

/// Views and likes, in columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct FeedRows {
    /// Time of the row.
    pub at: Vec<Millis>,
    /// Index into [`Tables::people`].
    pub person: Vec<u32>,
    /// Index into [`Tables::posts`].
    pub post: Vec<u32>,
    /// View or like.
    pub action: Vec<Action>,
    /// Label of a view: true when a like followed.
    pub target: Vec<bool>,
}

/// Kind of a row in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A view of the post.
    View,
    /// A like of the post; its view stands before it.
    Like,
}
