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
use crate::actors::server::{Boost, ItemDraft, ItemWrite, RankRequest, RecommendRequest, Steering, Target, UserEvent};
use crate::domain::activities::FeedName;
use crate::domain::feeds::Ranking;
use crate::domain::ids::{ItemId, Key, UserId};
use crate::domain::interactions::{Interaction, Kind};
use crate::domain::items::Item;
use crate::domain::journal::Undo;
use crate::domain::time::Millis;
use crate::store::activities::{ActivityChange, ItemState, Mirror};

use super::super::apps::StreamApp;
use super::super::event_ids;
use super::super::rest::undo::id_of_undo;
use super::activity::{Fields, fields_of, text_of};
use super::caller::StreamRequest;
use super::feeds;
use super::reply::StreamError;

/// Activities among which a personalised order chooses.
const RANKED: usize = 100;
/// Addition to the log-odds of the activities of a feed, above all other items.
const FIRST: f32 = 1_000.0;
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

/// The newest activities of a feed in the order that suits a person best; activities that are no items follow by time.
///
/// # Errors
/// No user is named, or the server is busy.
pub(crate) async fn ranked(
    request: &StreamRequest,
    feed: &FeedName,
    limit: usize,
    offset: usize,
) -> Result<(Vec<Fields>, bool), StreamError> {
    if let Some(vars) = request.param("rankingVars").or_else(|| request.param("ranking_vars"))
        && !matches!(serde_json::from_str(vars), Ok(Value::Object(_)))
    {
        return Err(StreamError::field("rankingVars", "must be a JSON object"));
    }
    let app = &request.app;
    let edges = ((i64::MAX, i64::MAX), (i64::MIN, i64::MIN));
    let found = feeds::entries(app, feed, edges.0, edges.1, RANKED).await?;
    let mut page: Vec<Fields> = found.into_iter().map(|(fields, _)| fields).collect();
    let user = request.caller.user().or_else(|| request.param("user_id")).unwrap_or_else(|| feed.id());
    let order = order(app, user, &page).await?;
    let place = |fields: &Fields| {
        let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
        order.iter().position(|one| one.as_str() == id).unwrap_or(usize::MAX)
    };
    page.sort_by_key(place);
    let more = page.len() > offset + limit;
    Ok((page.into_iter().skip(offset).take(limit).collect(), more))
}

/// The keys of the items among activities, best first for a person.
async fn order(app: &StreamApp, user: &str, page: &[Fields]) -> Result<Vec<Key>, StreamError> {
    let world = app.server.world();
    let id = |fields: &Fields| world.find_item(fields.get("id")?.as_str()?);
    let items: Vec<ItemId> = page.iter().filter_map(id).collect();
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let created = items.iter().filter_map(|item| Some(world.item(*item)?.created)).min();
    let boosts = items.iter().map(|item| Boost { target: Target::Item(*item), log_odds: FIRST }).collect();
    let ask = RecommendRequest {
        user: app.server.people().find(user),
        interactions: Vec::new(),
        ask: RankRequest { ranking: Ranking::Model, limit: items.len(), explain: false },
        steering: Steering { created_after: created, boosts, ..Steering::default() },
    };
    let ranked = app.server.recommend(None, ask).await?;
    Ok(ranked.items.into_iter().map(|(item, _)| item.item).collect())
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
