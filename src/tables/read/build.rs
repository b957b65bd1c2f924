//! Builds [`Tables`] from the rows of three tables.
//!
//! Invariant: an id stands for one user or one post. Rows of the feed end up sorted by time, ties in the order of
//! arrival. A user or post that only the feed names has an id and nothing else.

use std::collections::HashMap;

use super::error::TablesError;
use super::options::TableOptions;
use super::record::Record;
use crate::domain::ids::Key;
use crate::domain::items::Item;
use crate::domain::text::{ATTRIBUTES_BYTES_MAX, json_must_be_storable};
use crate::files::cells::{Dims, storable, unexpected};
use crate::files::table::{Column, needed, optional};
use crate::files::time::Times;
use crate::tables::rows::{Action, PersonRow, PostRow, Tables};

/// Columns of a table that are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) columns: &'static [Column],
    /// True where the other columns are read, too.
    pub(super) keeps_others: bool,
}

/// `user_data`: the other columns are attributes.
pub(super) const PEOPLE: Shape = Shape { columns: &[needed("user_id")], keeps_others: true };
/// `post_text_df`: the other numeric columns are kept.
pub(super) const POSTS: Shape = Shape {
    columns: &[needed("post_id"), optional("text"), optional("topic"), optional("embedding")],
    keeps_others: true,
};
/// `feed_data`: no other columns are read.
pub(super) const FEED: Shape = Shape {
    columns: &[needed("timestamp"), needed("user_id"), needed("post_id"), needed("action"), needed("target")],
    keeps_others: false,
};

/// Limit on rows of the feed: an index has 32 bits.
const ROWS_MAX: usize = u32::MAX as usize;

pub(super) struct Builder<'a> {
    times: Times,
    tables: Tables,
    people: HashMap<Key, u32>,
    posts: HashMap<Key, u32>,
    dims: Dims,
    rows: u64,
    text: String,
    watch: &'a mut dyn FnMut(u64),
}

impl<'a> Builder<'a> {
    pub(super) fn new(options: &TableOptions, watch: &'a mut dyn FnMut(u64)) -> Builder<'a> {
        Builder {
            times: options.times.clone(),
            tables: Tables::default(),
            people: HashMap::new(),
            posts: HashMap::new(),
            dims: Dims::of(options.dim).with_texts_of(options.dim_of_texts),
            rows: 0,
            text: String::new(),
            watch,
        }
    }

    fn tell(&mut self) {
        self.rows += 1;
        if self.rows.is_multiple_of(4_096) {
            (self.watch)(self.rows);
        }
    }

    /// Adds a row of `user_data`.
    pub(super) fn person(&mut self, row: &dyn Record) -> Result<(), TablesError> {
        let key = row.key("user_id", row.key_text("user_id", &mut self.text)?)?;
        let (mut attributes, mut size) = (serde_json::Map::new(), AttributeBytes::new());
        row.others(&mut |name, value| {
            if let Some(value) = value.json().filter(|_| !is_row_number(name) && size.has_room()) {
                size.add(name, &value.to_string());
                attributes.insert(name.to_owned(), value);
            }
        });
        size.check(row, &key, "user")?;
        let attributes = serde_json::Value::Object(attributes).to_string();
        let nul = json_must_be_storable(&attributes)
            .map_err(|_| unexpected(key.as_str(), "a user without the character NUL in their attributes"));
        nul.map_err(|wrong| row.wrong("user_id", wrong))?;
        let place = self.tables.people.len() as u32;
        if self.people.insert(key.clone(), place).is_some() {
            return Err(row.wrong("user_id", unexpected(key.as_str(), "new: an earlier row has the same id")));
        }
        self.tables.people.push(PersonRow { key, attributes: Some(attributes) });
        self.tell();
        Ok(())
    }

    /// Adds a row of `post_text_df`.
    pub(super) fn post(&mut self, row: &dyn Record) -> Result<(), TablesError> {
        let key = row.key("post_id", row.key_text("post_id", &mut self.text)?)?;
        let text = row.value("text").written();
        if text.len() > Item::TEXT_BYTES_MAX {
            let expected = format!("a text of at most {} bytes", Item::TEXT_BYTES_MAX);
            return Err(row.wrong("text", unexpected(&text, expected)));
        }
        storable(&text).map_err(|wrong| row.wrong("text", wrong))?;
        let topic = row.value("topic").written();
        let topic = if topic.is_empty() { None } else { Some(row.key("topic", &topic)?) };
        let embedding = row.vector("embedding", &mut self.dims)?;
        if embedding.is_none() && !text.is_empty() {
            self.dims.text().map_err(|wrong| row.wrong("embedding", wrong))?;
        }
        let (mut numbers, mut size) = (Vec::new(), AttributeBytes::new());
        row.others(&mut |name, value| {
            if let Some(number) = value.number().filter(|_| !is_row_number(name) && size.has_room()) {
                size.add(name, &(number as f32).to_string());
                numbers.push((name.to_owned(), number as f32));
            }
        });
        size.check(row, &key, "post")?;
        let place = self.tables.posts.len() as u32;
        if self.posts.insert(key.clone(), place).is_some() {
            return Err(row.wrong("post_id", unexpected(key.as_str(), "new: an earlier row has the same id")));
        }
        self.tables.posts.push(PostRow { key, text, topic, numbers, embedding });
        self.tell();
        Ok(())
    }

    /// Adds a row of `feed_data`.
    pub(super) fn row(&mut self, row: &dyn Record) -> Result<(), TablesError> {
        let at = row.time("timestamp", &self.times)?;
        self.text.clear();
        row.value("action").write(&mut self.text);
        let (action, target) = match self.text.as_str() {
            "view" => (Action::View, row.flag("target")?),
            "like" => (Action::Like, false),
            other => return Err(row.wrong("action", unexpected(other, "view or like"))),
        };
        if self.tables.feed.at.len() == ROWS_MAX {
            return Err(row.wrong("timestamp", crate::files::Wrong::TooMany { limit: ROWS_MAX }));
        }
        let text = row.key_text("user_id", &mut self.text)?;
        let person = match self.people.get(text) {
            Some(place) => *place,
            None => {
                let key = row.key("user_id", text)?;
                let place = self.tables.people.len() as u32;
                self.tables.people.push(PersonRow { key: key.clone(), attributes: None });
                self.people.insert(key, place);
                place
            }
        };
        let text = row.key_text("post_id", &mut self.text)?;
        let post = match self.posts.get(text) {
            Some(place) => *place,
            None => {
                let key = row.key("post_id", text)?;
                let place = self.tables.posts.len() as u32;
                let bare = PostRow {
                    key: key.clone(),
                    text: String::new(),
                    topic: None,
                    numbers: Vec::new(),
                    embedding: None,
                };
                self.tables.posts.push(bare);
                self.posts.insert(key, place);
                place
            }
        };
        let feed = &mut self.tables.feed;
        feed.at.push(at);
        feed.person.push(person);
        feed.post.push(post);
        feed.action.push(action);
        feed.target.push(target);
        self.tell();
        Ok(())
    }

    /// Sorts the feed by time and returns the tables.
    pub(super) fn finish(self) -> Tables {
        (self.watch)(self.rows);
        let mut tables = self.tables;
        let feed = &mut tables.feed;
        if !feed.at.is_sorted() {
            let mut order: Vec<u32> = (0..feed.at.len() as u32).collect();
            order.sort_by_key(|row| feed.at[*row as usize]);
            feed.at = in_order(&order, &feed.at);
            feed.person = in_order(&order, &feed.person);
            feed.post = in_order(&order, &feed.post);
            feed.action = in_order(&order, &feed.action);
            feed.target = in_order(&order, &feed.target);
        }
        tables
    }
}

/// Bytes of the attributes that the columns of a row make, as JSON. A user or an item has at most
/// [`ATTRIBUTES_BYTES_MAX`] over REST, too.
struct AttributeBytes {
    bytes: usize,
    /// The column with which the attributes became too long.
    over: Option<String>,
}

impl AttributeBytes {
    fn new() -> AttributeBytes {
        AttributeBytes { bytes: "{}".len(), over: None }
    }

    /// Whether all columns so far fit; further ones need not be kept otherwise.
    fn has_room(&self) -> bool {
        self.over.is_none()
    }

    fn add(&mut self, name: &str, value: &str) {
        let name_bytes = serde_json::Value::from(name).to_string().len();
        self.bytes += name_bytes + ":,".len() + value.len();
        if self.bytes > ATTRIBUTES_BYTES_MAX {
            self.over = Some(name.to_owned());
        }
    }

    fn check(self, row: &dyn Record, key: &Key, what: &str) -> Result<(), TablesError> {
        let Some(column) = self.over else { return Ok(()) };
        let expected = format!("a {what} with at most {ATTRIBUTES_BYTES_MAX} bytes of attributes, up to this column");
        Err(row.wrong(&column, unexpected(key.as_str(), expected)))
    }
}

fn in_order<T: Copy>(order: &[u32], values: &[T]) -> Vec<T> {
    order.iter().map(|row| values[*row as usize]).collect()
}

/// True for a column that counts rows, as data frames write it when they store their index.
fn is_row_number(name: &str) -> bool {
    name.is_empty() || name == "index" || name.starts_with("Unnamed: ") || name.starts_with("__index_level_")
}
