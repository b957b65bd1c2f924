//! Builds a log from tables of users, posts and a feed.
//!
//! Invariant: a liked view is a `like`, any other a `skip`, and both are judged. A like row that repeats a liked view
//! is dropped; any other is a `like` that is not judged. Posts without a view are items, too.

use std::collections::HashMap;
use std::sync::Arc;

use super::rows::{About, Act, Log, LogBuilder, LogRow};
use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::items::Embedding;
use crate::tables::{Action, FeedRows, Tables};

/// The rows of a feed as interactions: number of the row, kind, whether it is judged.
pub fn interactions(feed: &FeedRows) -> impl Iterator<Item = (usize, Kind, bool)> + '_ {
    // By user and post: liked views that no like row has repeated yet.
    let mut told: HashMap<(u32, u32), u32> = HashMap::new();
    let mut counted = 0;
    (0..feed.at.len()).filter_map(move |row| {
        if row == counted {
            // Views count before the likes of their instant, in any order of the rows.
            counted += feed.at[row..].iter().take_while(|at| **at == feed.at[row]).count();
            for view in (row..counted).filter(|at| feed.action[*at] == Action::View && feed.target[*at]) {
                *told.entry((feed.person[view], feed.post[view])).or_default() += 1;
            }
        }
        match (feed.action[row], feed.target[row]) {
            (Action::View, true) => Some((row, Kind::Like, true)),
            (Action::View, false) => Some((row, Kind::Skip, true)),
            (Action::Like, _) => {
                let pending = told.get_mut(&(feed.person[row], feed.post[row])).filter(|pending| **pending > 0);
                let Some(pending) = pending else { return Some((row, Kind::Like, false)) };
                *pending -= 1;
                None
            }
        }
    })
}

/// A log of tables whose times are rounded down to `unit_ms`.
#[must_use]
pub fn log_of(tables: &Tables, unit_ms: i64) -> LogBuilder {
    let mut log = LogBuilder::new(unit_ms, false).of_views();
    let users: Vec<u32> = tables.people.iter().map(|person| log.user(&person.key)).collect();
    let items: Vec<u32> = tables.posts.iter().map(|post| log.item(&post.key)).collect();
    for (post, item) in tables.posts.iter().zip(&items) {
        // Reading checked a given embedding.
        let embedding = post.embedding.as_ref().and_then(|vector| Embedding::new(vector.clone(), vector.len()).ok());
        let about = About {
            topics: post.topic.iter().cloned().collect(),
            author: None,
            text: (!post.text.is_empty()).then(|| post.text.as_str().into()),
            attributes: post.attributes().map(Into::into),
            embedding,
        };
        log.describe(*item, about);
    }
    let feed = &tables.feed;
    for (row, kind, is_judged) in interactions(feed) {
        log.push(LogRow {
            at: feed.at[row],
            user: users[feed.person[row] as usize],
            item: items[feed.post[row] as usize],
            stay_ms: 0,
            act: Act::Interacted(kind),
            is_judged,
        });
    }
    log
}

/// Data of the tables that a log has no field for.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// By user of the log: attributes, a JSON object as text.
    pub attributes: Vec<Option<Arc<str>>>,
}

impl Extras {
    /// Collects the attributes and numeric columns of `tables` for the users and items of `log`, which was built from
    /// them.
    #[must_use]
    pub fn of(tables: &Tables, log: &Log) -> Extras {
        let people: HashMap<&Key, usize> = tables.people.iter().map(|person| &person.key).zip(0..).collect();
        let attributes = log.users.iter().map(|key| {
            let person = &tables.people[*people.get(key)?];
            person.attributes.as_deref().map(Into::into)
        });
        Extras { attributes: attributes.collect() }
    }
}
