//! Builds a log from tables of users, posts and a feed.
//!
//! Invariant: a liked view is a `like`, any other a `skip`, and both are judged. A like row that repeats a liked view
//! is dropped; any other is a `like` that is not judged. Posts without a view are items, too.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::rows::{About, Act, Log, LogBuilder, LogRow};
use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::items::Embedding;
use crate::domain::time::Millis;
use crate::tables::{Action, FeedRows, Tables};

/// A row of a feed as an interaction.
pub struct FeedInteraction {
    /// Number of the row in the feed, from 0.
    pub row: usize,
    /// Kind of the interaction.
    pub kind: Kind,
    /// True where a labelled protocol predicts the row's label.
    pub is_judged: bool,
    /// Instant of the like row that repeats this view.
    pub liked_at: Option<Millis>,
}

/// The rows of a feed as interactions, in the order of the feed.
pub fn interactions(feed: &FeedRows) -> impl Iterator<Item = FeedInteraction> + '_ {
    let (repeated, repeats) = likes_of_views(feed);
    (0..feed.at.len()).filter_map(move |row| {
        let (kind, is_judged) = match (feed.action[row], feed.target[row]) {
            (Action::View, true) => (Kind::Like, true),
            (Action::View, false) => (Kind::Skip, true),
            (Action::Like, _) if repeats[row] => return None,
            (Action::Like, _) => (Kind::Like, false),
        };
        Some(FeedInteraction { row, kind, is_judged, liked_at: repeated.get(&row).copied() })
    })
}

/// Instants of likes by the row of their liked view, and for each row whether it is such a like. A like belongs to the
/// oldest liked view of its user and post without a like.
fn likes_of_views(feed: &FeedRows) -> (HashMap<usize, Millis>, Vec<bool>) {
    let mut waiting: HashMap<(u32, u32), VecDeque<usize>> = HashMap::new();
    let (mut repeated, mut repeats) = (HashMap::new(), vec![false; feed.at.len()]);
    let mut counted = 0;
    for (row, repeats_a_view) in repeats.iter_mut().enumerate() {
        if row == counted {
            // Views count before the likes of their instant, in any order of the rows.
            counted += feed.at[row..].iter().take_while(|at| **at == feed.at[row]).count();
            for view in (row..counted).filter(|at| feed.action[*at] == Action::View && feed.target[*at]) {
                waiting.entry((feed.person[view], feed.post[view])).or_default().push_back(view);
            }
        }
        if feed.action[row] == Action::Like {
            let view = waiting.get_mut(&(feed.person[row], feed.post[row])).and_then(VecDeque::pop_front);
            repeated.extend(view.map(|view| (view, feed.at[row])));
            *repeats_a_view = view.is_some();
        }
    }
    (repeated, repeats)
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
    for FeedInteraction { row, kind, is_judged, .. } in interactions(feed) {
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
