//! Follows between feeds.
//!
//! Invariant: a follow shows at most the copied number of older activities, and all that are added later. An unfollow takes effect
//! on the next read. A batch of follows is one transaction.

use std::collections::BTreeSet;

use actix_web::web;
use serde_json::{Map, Value, json};

use crate::domain::activities::FeedName;
use crate::store::activities::{ActivityChange, FollowFound, FollowRow, Mirror, Side};

use super::super::apps::StreamApp;
use super::super::stream_settings::Group;
use super::caller::StreamRequest;
use super::common::{PAGE, PAGE_MAX, must_be_short, zoned};
use super::posts;
use super::reply::{StreamError, StreamResult};

/// Older activities that a follow shows by default.
const COPY: i64 = 100;
/// Older activities that a follow shows at most.
const COPY_MAX: i64 = 1_000;
/// Follows of one batch at most.
const BATCH_MAX: usize = 2_500;
/// Follows that a list may skip.
const OFFSET_MAX: usize = 10_000;

/// A follow to be made.
struct Wish {
    source: FeedName,
    target: FeedName,
    copy: i64,
}

fn copy_limit(value: Option<&Value>) -> Result<Option<i64>, StreamError> {
    let wrong = || StreamError::field("activity_copy_limit", format!("must be 0 to {COPY_MAX}"));
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            number.as_i64().filter(|one| (0..=COPY_MAX).contains(one)).map(Some).ok_or_else(wrong)
        }
        Some(Value::String(text)) => {
            text.parse().ok().filter(|one| (0..=COPY_MAX).contains(one)).map(Some).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

fn wish(
    request: &StreamRequest,
    source: FeedName,
    body: &Map<String, Value>,
    copy: Option<i64>,
) -> Result<Wish, StreamError> {
    let target = request.named_feed("target", body.get("target").unwrap_or(&Value::Null))?;
    if source == target {
        return Err(StreamError::field("target", "a feed cannot follow itself"));
    }
    if request.group(&target)? != Group::Flat {
        return Err(StreamError::field("target", "only flat feeds can be followed"));
    }
    let copy = copy_limit(body.get("activity_copy_limit"))?.or(copy).unwrap_or(COPY);
    Ok(Wish { source, target, copy })
}

/// `POST feed/{slug}/{id}/follows`, `.../following`: follows a feed.
///
/// # Errors
/// The target is wrong, or the token has no right.
pub async fn follow(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let source = request.feed()?;
    request.require("follower", "write", Some(&source), |user| source.id() == user)?;
    let body = request.object(payload).await?;
    let wish = wish(&request, source, &body, None)?;
    make(&request.app, vec![wish]).await?;
    request.made(json!({}))
}

/// `POST follow_many`: makes many follows in one transaction.
///
/// # Errors
/// A follow is wrong; then none is made.
pub async fn follow_many(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("follower", "write", None, |_| false)?;
    let Value::Array(list) = request.json(payload).await? else {
        return Err(StreamError::field("body", "must be a list of follows"));
    };
    must_be_short("the list", list.len(), BATCH_MAX)?;
    let copy = copy_limit(request.param("activity_copy_limit").map(Value::from).as_ref())?;
    let mut wishes = Vec::with_capacity(list.len());
    for one in &list {
        let Value::Object(one) = one else { return Err(StreamError::field("body", "must be a list of objects")) };
        let source = request.named_feed("source", one.get("source").unwrap_or(&Value::Null))?;
        wishes.push(wish(&request, source, one, copy)?);
    }
    make(&request.app, wishes).await?;
    request.made(json!({}))
}

async fn make(app: &StreamApp, wishes: Vec<Wish>) -> Result<(), StreamError> {
    let names = wishes.iter().flat_map(|wish| [wish.source.as_str(), wish.target.as_str()]);
    let guards = app.lock(names).await;
    let pairs: Vec<(FeedName, FeedName)> =
        wishes.iter().map(|wish| (wish.source.clone(), wish.target.clone())).collect();
    let standing: BTreeSet<(String, String)> =
        app.reads().follows_between(&pairs).await?.into_iter().map(|found| (found.source, found.target)).collect();
    let (mut changes, mut mirrored, mut made) = (Vec::new(), Vec::new(), BTreeSet::new());
    for Wish { source, target, copy } in wishes {
        let pair = (source.as_str().to_owned(), target.as_str().to_owned());
        let mirror = posts::mirror(app, &source, &target);
        if !made.insert(pair.clone()) {
            continue;
        }
        if mirror == Mirror::Owed {
            mirrored.push((source.clone(), target.clone()));
        }
        if standing.contains(&pair) {
            // The native follow may have been taken back by other means.
            if mirror == Mirror::Owed {
                changes.push(ActivityChange::SettleFollow(source, target, mirror));
            }
            continue;
        }
        let lower = lower(app, &target, copy).await?;
        let (from_seq, created) = (app.last_seq(), app.now());
        changes.push(ActivityChange::Follow(FollowRow { source, target, from_seq, lower, created, mirror }));
    }
    app.change(changes).await?;
    posts::mirror_follows(app, &mirrored).await?;
    drop(guards);
    Ok(())
}

/// The place of the oldest activity that a follow copies.
async fn lower(app: &StreamApp, target: &FeedName, copy: i64) -> Result<(i64, i64), StreamError> {
    if copy == 0 {
        return Ok((i64::MAX, i64::MAX));
    }
    Ok(app.reads().nth(target, copy - 1).await?.unwrap_or((i64::MIN, i64::MIN)))
}

/// `DELETE feed/{slug}/{id}/follows/{target}`, `.../following/{target}`: unfollows a feed.
///
/// # Errors
/// The target is no feed, or the token has no right.
pub async fn unfollow(request: StreamRequest) -> StreamResult {
    let source = request.feed()?;
    request.require("follower", "delete", Some(&source), |user| source.id() == user)?;
    let target = request.named_feed("target", &request.segment("target")?.into())?;
    let keep = request.flag("keep_history");
    unmake(&request.app, vec![(source, target, keep)]).await?;
    request.found(json!({}))
}

/// `POST unfollow_many`: ends many follows in one transaction.
///
/// # Errors
/// An entry is wrong; then nothing changes.
pub async fn unfollow_many(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("follower", "delete", None, |_| false)?;
    let Value::Array(list) = request.json(payload).await? else {
        return Err(StreamError::field("body", "must be a list"));
    };
    must_be_short("the list", list.len(), BATCH_MAX)?;
    let read = |one: &Value| {
        let source = request.named_feed("source", &one["source"])?;
        let target = request.named_feed("target", &one["target"])?;
        Ok((source, target, one["keep_history"].as_bool().unwrap_or(false)))
    };
    let pairs = list.iter().map(read).collect::<Result<Vec<_>, StreamError>>()?;
    unmake(&request.app, pairs).await?;
    request.made(json!({}))
}

async fn unmake(app: &StreamApp, pairs: Vec<(FeedName, FeedName, bool)>) -> Result<(), StreamError> {
    let names = pairs.iter().flat_map(|(source, target, _)| [source.as_str(), target.as_str()]);
    let guards = app.lock(names).await;
    let (mut changes, mut mirrored) = (Vec::new(), Vec::new());
    for (source, target, keep) in pairs {
        let is_mirrored = posts::mirror(app, &source, &target) == Mirror::Owed;
        if keep {
            let newest = app.reads().nth(&target, 0).await?.map_or(i64::MIN, |(time, _)| time);
            changes.push(ActivityChange::EndFollow(
                source.clone(),
                target.clone(),
                (newest, app.last_seq()),
                app.now(),
            ));
        } else {
            changes.push(ActivityChange::DeleteFollow(source.clone(), target.clone()));
        }
        if is_mirrored {
            if !keep {
                // The row stands for the unfollow until the native follow is gone, too.
                let (now, lower) = (app.now(), (i64::MAX, i64::MAX));
                let row = FollowRow {
                    source: source.clone(),
                    target: target.clone(),
                    from_seq: i64::MAX,
                    lower,
                    created: now,
                    mirror: Mirror::Ending,
                };
                changes.push(ActivityChange::Follow(row));
            } else {
                changes.push(ActivityChange::SettleFollow(source.clone(), target.clone(), Mirror::Ending));
            }
            mirrored.push((source, target, keep));
        }
    }
    app.change(changes).await?;
    posts::unmirror_follows(app, &mirrored).await?;
    drop(guards);
    Ok(())
}

/// `GET feed/{slug}/{id}/follows`, `.../following`: the feeds that a feed follows.
///
/// # Errors
/// A parameter is wrong, or the token has no right.
pub async fn following(request: StreamRequest) -> StreamResult {
    list(request, Side::Following).await
}

/// `GET feed/{slug}/{id}/followers`: the feeds that follow a feed.
///
/// # Errors
/// A parameter is wrong, or the token has no right.
pub async fn followers(request: StreamRequest) -> StreamResult {
    list(request, Side::Followers).await
}

async fn list(request: StreamRequest, side: Side) -> StreamResult {
    let feed = request.feed()?;
    request.require("follower", "read", Some(&feed), |user| feed.id() == user)?;
    let limit = request.number("limit", PAGE, PAGE_MAX)?;
    let offset = request.number("offset", 0, OFFSET_MAX)?;
    let filter = request.list("filter");
    let reads = request.app.reads();
    let found = if filter.is_empty() {
        reads.follows(&feed, side, limit as i64, offset as i64).await?
    } else {
        must_be_short("filter", filter.len(), BATCH_MAX)?;
        let others = filter.iter().map(|one| request.named_feed("filter", &Value::from(one.as_str())));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<(FeedName, FeedName)> = others
            .into_iter()
            .map(|other| match side {
                Side::Following => (feed.clone(), other),
                Side::Followers => (other, feed.clone()),
            })
            .collect();
        let mut found = reads.follows_between(&pairs).await?;
        found.sort_by_key(|one| std::cmp::Reverse(one.created));
        found.into_iter().skip(offset).take(limit).collect()
    };
    let results: Vec<Value> = found.iter().map(view).collect();
    request.found(json!({ "results": results }))
}

fn view(found: &FollowFound) -> Value {
    json!({
        "feed_id": found.source,
        "target_id": found.target,
        "created_at": zoned(found.created),
        "updated_at": zoned(found.updated),
    })
}

/// `GET stats/follow`: numbers of followers and of followed feeds.
///
/// # Errors
/// A parameter is wrong, or the token has no right.
pub async fn stats(request: StreamRequest) -> StreamResult {
    request.require("follower", "read", None, |_| false)?;
    let mut results = Map::new();
    for (name, slugs, side) in
        [("followers", "followers_slugs", Side::Followers), ("following", "following_slugs", Side::Following)]
    {
        let Some(feed) = request.param(name) else { continue };
        let feed = request.named_feed(name, &feed.into())?;
        let groups = request.list(slugs);
        must_be_short(slugs, groups.len(), PAGE_MAX)?;
        let mut count = 0;
        match groups.is_empty() {
            true => count += request.app.reads().count_follows(&feed, side, None).await?,
            false => {
                for group in &groups {
                    count += request.app.reads().count_follows(&feed, side, Some(group)).await?;
                }
            }
        }
        results.insert(name.into(), json!({ "feed": feed.as_str(), "count": count }));
    }
    request.found(json!({ "results": results }))
}
