//! What the feeds API shares with the rest of the server: posts are items, follows of timelines are follows, reactions are
//! interactions.
//!
//! Invariant: an activity with a text in a feed of the group `user` is an item of its actor. The id of the activity is its key. A
//! follow of `user:B` by `timeline:A` is the follow of B by A. Both are noted as owed in the transaction of the feeds and carried
//! out after it; [`recover`] carries out what a crash left. Deliberately absent: answers to clients.

use std::sync::Arc;

use serde_json::Value;

use crate::actors::Server;
use crate::actors::errors::RequestError;
use crate::actors::server::{ItemDraft, ItemWrite, UserEvent};
use crate::domain::activities::FeedName;
use crate::domain::ids::{Key, UserId};
use crate::domain::interactions::{Interaction, Kind};
use crate::domain::items::Item;
use crate::domain::journal::Undo;
use crate::domain::time::Millis;
use crate::store::activities::{ActivityChange, ItemState, Mirror};

use super::super::apps::StreamApp;
use super::super::event_ids;
use super::super::rest::undo::id_of_undo;
use super::activity::{Fields, fields_of, text_of};
use super::reply::StreamError;

/// Owed items or follows that are carried out together after a crash.
const OWED: i64 = 256;

/// Whether an activity in its first feed has to become an item.
pub(crate) fn state(app: &StreamApp, home: Option<&FeedName>, fields: &Fields) -> ItemState {
    let is_post = home.is_some_and(|feed| feed.group() == "user") && text(app, fields).is_some();
    if is_post { ItemState::Owed } else { ItemState::None }
}

/// The text of a post.
fn text(app: &StreamApp, fields: &Fields) -> Option<String> {
    let text =
        app.settings.text_fields().find_map(|name| fields.get(name)?.as_str().filter(|text| !text.trim().is_empty()));
    text.map(|text| {
        let end = (0..=Item::TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text[..end.unwrap_or(0)].to_owned()
    })
}

/// The topics of a post.
fn topics(app: &StreamApp, fields: &Fields) -> Vec<Key> {
    let found = app.settings.topic_fields().find_map(|name| fields.get(name).filter(|value| !value.is_null()));
    let list: Vec<&str> = match found {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut topics: Vec<Key> = Vec::new();
    for key in list.into_iter().filter_map(|text| Key::new(text.trim()).ok()) {
        if !topics.contains(&key) && topics.len() < Item::TOPICS_MAX {
            topics.push(key);
        }
    }
    topics
}

/// The user whom an actor names.
fn actor(fields: &Fields) -> Option<Key> {
    let actor = text_of(fields.get("actor"))?;
    Key::new(actor.strip_prefix("SU:").unwrap_or(&actor)).ok()
}

/// The person with this key, who is created where there is none.
async fn person(server: &Server, key: &Key) -> Result<UserId, RequestError> {
    if let Some(id) = server.people().find(key.as_str()) {
        return Ok(id);
    }
    server.put_person(key.clone(), None, None).await?;
    let unknown = || crate::actors::errors::Busy::KeyBeingErased;
    Ok(server.people().find(key.as_str()).ok_or_else(unknown)?)
}

/// Writes the items of activities that owe one.
///
/// # Errors
/// The server is busy; the items stay owed.
pub(crate) async fn settle(app: &StreamApp, ids: &[String]) -> Result<(), StreamError> {
    if ids.is_empty() {
        return Ok(());
    }
    let rows = app.reads().activities(ids).await?;
    let mut settled = Vec::new();
    for row in rows.into_iter().flatten().filter(|row| row.item == ItemState::Owed) {
        let fields = fields_of(&row);
        let state = match (text(app, &fields), actor(&fields)) {
            (Some(text), Some(author)) => {
                write_item(app, &row.id, author, text, topics(app, &fields), row.time.millis()).await?;
                ItemState::Written
            }
            _ => {
                delete(app, &row.id).await?;
                ItemState::None
            }
        };
        settled.push(ActivityChange::SettleItem(row.id, state));
    }
    Ok(app.change(settled).await?)
}

async fn write_item(
    app: &StreamApp,
    id: &str,
    author: Key,
    text: String,
    topics: Vec<Key>,
    created: Millis,
) -> Result<(), StreamError> {
    let server = &app.server;
    let author = person(server, &author).await?;
    let key = Key::new(id).map_err(|error| StreamError::field("id", error.to_string()))?;
    let is_there = server.world().find_item(id).is_some();
    let now = server.clock().now();
    let draft = ItemDraft {
        key: Some(key.clone()),
        author: Some(author),
        topics: Some(topics),
        text: Some(text),
        created: Some(created.min(now)),
        ..ItemDraft::default()
    };
    if is_there {
        for written in server.write_items(vec![draft], ItemWrite::Change).await {
            written?;
        }
    } else {
        server.post(author, key, draft).await?;
    }
    Ok(())
}

/// Deletes the item of an activity, if it has one.
///
/// # Errors
/// The server is busy.
pub(crate) async fn delete(app: &StreamApp, id: &str) -> Result<(), StreamError> {
    let item = app.server.world().find_item(id);
    match item {
        Some(item) => Ok(app.server.delete_item(item).await?),
        None => Ok(()),
    }
}

/// The two people of a follow between a timeline and a feed of posts.
fn people_of(source: &FeedName, target: &FeedName) -> Option<(Key, Key)> {
    let is_personal = source.group() == "timeline" && target.group() == "user" && source.id() != target.id();
    Key::new(source.id()).ok().zip(Key::new(target.id()).ok()).filter(|_| is_personal)
}

/// Whether a follow between feeds owes a native follow.
pub(crate) fn mirror(_: &StreamApp, source: &FeedName, target: &FeedName) -> Mirror {
    if people_of(source, target).is_some() { Mirror::Owed } else { Mirror::None }
}

/// Writes the native follows of follows between feeds.
///
/// # Errors
/// The server is busy; the follows stay owed.
pub(crate) async fn mirror_follows(app: &StreamApp, pairs: &[(FeedName, FeedName)]) -> Result<(), StreamError> {
    let mut settled = Vec::with_capacity(pairs.len());
    for (source, target) in pairs {
        let Some((follower, followed)) = people_of(source, target) else { continue };
        let (id, user) = (person(&app.server, &follower).await?, person(&app.server, &followed).await?);
        let event = UserEvent::Followed { id: event_ids::fresh(), user, at: app.server.clock().now() };
        app.server.act(id, event).await?;
        settled.push(ActivityChange::SettleFollow(source.clone(), target.clone(), Mirror::Written));
    }
    Ok(app.change(settled).await?)
}

/// Deletes the native follows of follows that have ended. `pairs` say whether the follow keeps what it showed.
///
/// # Errors
/// The server is busy; the follows stay owed.
pub(crate) async fn unmirror_follows(app: &StreamApp, pairs: &[(FeedName, FeedName, bool)]) -> Result<(), StreamError> {
    let mut settled = Vec::with_capacity(pairs.len());
    for (source, target, keep) in pairs {
        let Some((follower, followed)) = people_of(source, target) else { continue };
        let people = app.server.people();
        if let Some((id, user)) = people.find(follower.as_str()).zip(people.find(followed.as_str())) {
            let event = UserEvent::Unfollowed { id: event_ids::fresh(), user, at: app.server.clock().now() };
            app.server.act(id, event).await?;
        }
        settled.push(match keep {
            true => ActivityChange::SettleFollow(source.clone(), target.clone(), Mirror::Written),
            false => ActivityChange::DeleteFollow(source.clone(), target.clone()),
        });
    }
    Ok(app.change(settled).await?)
}

/// The feeds of the people whom the person of a timeline follows; `None` for other feeds.
///
/// # Errors
/// The store cannot answer.
pub(crate) async fn native_follows(app: &StreamApp, feed: &FeedName) -> Result<Option<Vec<FeedName>>, StreamError> {
    if feed.group() != "timeline" {
        return Ok(None);
    }
    let people = app.server.people();
    let Some(id) = people.find(feed.id()) else { return Ok(Some(Vec::new())) };
    let followed = app.server.follows(id).await?;
    let feeds = followed.into_iter().filter_map(|id| FeedName::new("user", people.get(id)?.key.as_str()).ok());
    Ok(Some(feeds.collect()))
}

/// Learns a reaction on a post as an interaction of its user.
///
/// # Errors
/// The server is busy.
pub(crate) async fn react(
    app: &StreamApp,
    id: &str,
    user: &str,
    activity: &str,
    kind: &str,
) -> Result<(), StreamError> {
    let Some(kind) = app.settings.kind(kind) else { return Ok(()) };
    interact(app, id, user, activity, kind, Millis::ON_ARRIVAL).await.map(drop)
}

/// Learns an interaction of a user with a post; `false` where the post is no item.
///
/// # Errors
/// The server is busy.
pub(crate) async fn interact(
    app: &StreamApp,
    id: &str,
    user: &str,
    activity: &str,
    kind: Kind,
    at: Millis,
) -> Result<bool, StreamError> {
    let item = app.server.world().find_item(activity);
    let (Some(item), Ok(user), Ok(id)) = (item, Key::new(user), Key::new(id)) else { return Ok(false) };
    let person = person(&app.server, &user).await?;
    let event = Interaction { id, item, kind, dwell_ms: None, at, shown: None, passed: Vec::new() };
    app.server.act(person, UserEvent::Interacted(event)).await?;
    Ok(true)
}

/// Takes back the interaction of a reaction.
///
/// # Errors
/// The server is busy.
pub(crate) async fn unreact(app: &StreamApp, id: &str, user: &str) -> Result<(), StreamError> {
    let (Some(person), Ok(event)) = (app.server.people().find(user), Key::new(id)) else { return Ok(()) };
    let id = id_of_undo(&event)?;
    let undone = UserEvent::Undone { id, of: Undo::Event(event), cancels: Vec::new(), at: app.server.clock().now() };
    match app.server.act(person, undone).await {
        // The reaction was on an activity that is no item, or of a kind without a meaning here.
        Err(RequestError::Refused(_)) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Carries out what a crash left owed: items of posts, and native follows.
///
/// # Errors
/// The server is busy.
pub(crate) async fn recover(app: &Arc<StreamApp>) -> Result<(), StreamError> {
    let mut after = String::new();
    loop {
        let owed = app.reads().owed_items(&after, OWED).await?;
        let Some(last) = owed.last() else { break };
        after.clone_from(&last.id);
        let ids: Vec<String> = owed.into_iter().map(|row| row.id).collect();
        settle(app, &ids).await?;
    }
    loop {
        let owed = app.reads().owed_follows(OWED).await?;
        if owed.is_empty() {
            return Ok(());
        }
        let (mut made, mut ended) = (Vec::new(), Vec::new());
        for one in owed {
            let Ok((source, target)) =
                FeedName::parse(&one.source).and_then(|source| Ok((source, FeedName::parse(&one.target)?)))
            else {
                continue;
            };
            match one.mirror {
                Mirror::Ending => ended.push((source, target, one.keeps)),
                _ => made.push((source, target)),
            }
        }
        mirror_follows(app, &made).await?;
        unmirror_follows(app, &ended).await?;
    }
}
