//! Import of tables of people, posts and views.
//!
//! Invariant: importing is idempotent: the id of an event is derived from all fields of its row.

use anyhow::Context as _;

use eddyline::commands::loader::{Brought, Loader, event_key};
use eddyline::commands::progress;
use eddyline::domain::ids::ItemId;
use eddyline::domain::interactions::Interaction;
use eddyline::domain::items::Embedding;
use eddyline::domain::time::Millis;
use eddyline::engine::coordinator::Draft;
use eddyline::engine::user::UserEvent;
use eddyline_replay::log::tables::{FeedInteraction, interactions};
use eddyline_tables::Tables;

/// Imports people with their attributes, posts as items, and views and likes as interactions. A liked view is a `like`,
/// any other view a `skip`. A post is available from its first view on.
///
/// # Errors
/// The embedder or the store fails.
pub async fn tables(mut loader: Loader, tables: &Tables) -> anyhow::Result<Brought> {
    loader.offline().of_views();
    let declared = loader.offline().world().settings().metrics.clone();
    let bar = progress::steps("people", tables.people.len() as u64);
    let mut people = Vec::with_capacity(tables.people.len());
    for person in &tables.people {
        let user = loader.describe(&person.key, person.attributes.as_deref()).await?;
        for measured in person.attributes.as_deref().map_or_else(Vec::new, |text| declared.of_attributes(text)) {
            let value = measured.millionths.to_string();
            let id = event_key(&["attribute", person.key.as_str(), measured.metric.as_str(), &value])?;
            loader.act(user, UserEvent::Measured { id, measured, at: Millis::ON_ARRIVAL }).await?;
        }
        people.push(user);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let feed = &tables.feed;
    let mut first_seen: Vec<Option<Millis>> = vec![None; tables.posts.len()];
    for (post, at) in feed.post.iter().zip(&feed.at) {
        first_seen[*post as usize].get_or_insert(*at);
    }
    let bar = progress::steps("posts", tables.posts.len() as u64);
    for (post, seen) in tables.posts.iter().zip(first_seen) {
        let embedding = post.embedding.as_ref().map(|vector| Embedding::new(vector.clone(), vector.len()));
        let draft = Draft {
            key: post.key.clone(),
            author: None,
            topics: Some(post.topic.iter().cloned().collect()),
            text: Some(post.text.as_str().into()),
            attributes: post.attributes().map(Into::into),
            embedding: embedding.transpose().with_context(|| format!("post {}", post.key))?,
            created: seen.or(feed.at.first().copied()),
            windows: None,
        };
        loader.item(draft).await?;
        bar.inc(1);
    }
    loader.recentre().await?;
    bar.finish_and_clear();
    let world = loader.offline().world();
    let items: Vec<Option<ItemId>> = tables.posts.iter().map(|post| world.find_item(post.key.as_str())).collect();
    let bar = progress::steps("views and likes", feed.at.len() as u64);
    for FeedInteraction { row, kind, liked_at, .. } in interactions(feed) {
        let (person, post) = (feed.person[row] as usize, feed.post[row] as usize);
        let (at, item) = (feed.at[row], items[post].context("an item that was just written is not there")?);
        let (who, what) = (&tables.people[person].key, &tables.posts[post].key);
        let id = event_key(&[who.as_str(), what.as_str(), &at.0.to_string(), kind.name()])?;
        let interaction = Interaction { id, item, kind, dwell_ms: None, at, shown: None, passed: Vec::new() };
        loader.advance(at);
        loader.act_liked(people[person], UserEvent::Interacted(interaction), liked_at).await?;
        bar.set_position(row as u64 + 1);
    }
    bar.finish_and_clear();
    loader.finish().await
}
