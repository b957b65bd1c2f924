//! The activities of a feed as it is read: its own ones and those of the feeds that it follows, by time or in a person's order.
//!
//! Invariant: activities that were deleted meanwhile are left out. Deliberately absent: pages and enrichment.

use serde_json::Value;

use crate::actors::server::{Boost, RankRequest, RecommendRequest, Steering, Target};
use crate::domain::activities::FeedName;
use crate::domain::feeds::Ranking;
use crate::domain::ids::{ItemId, Key};
use crate::store::activities::{ActivityRow, FeedQuery, SeenEntry};

use super::super::apps::StreamApp;
use super::activity::{Fields, fields_of};
use super::caller::StreamRequest;
use super::posts;
use super::reply::StreamError;

/// Activities among which a personalised order chooses.
const RANKED: usize = 100;
/// Addition to the log-odds of the activities of a feed, above all other items.
const FIRST: f32 = 1_000.0;

/// Activities of a feed, newest first, with the followed feeds through which they came.
pub(crate) async fn entries(
    app: &StreamApp,
    feed: &FeedName,
    from: (i64, i64),
    to: (i64, i64),
    limit: usize,
) -> Result<Vec<(Fields, (i64, i64))>, StreamError> {
    let native = posts::native_follows(app, feed).await?;
    let seen = app.reads().feed(&FeedQuery { feed: feed.clone(), from, to, limit, native }).await?;
    let ids: Vec<String> = seen.iter().map(|entry| entry.activity.clone()).collect();
    let rows = app.reads().activities(&ids).await?;
    let render = |(entry, row): (SeenEntry, Option<ActivityRow>)| {
        let mut fields = fields_of(&row?);
        fields.insert("origin".into(), entry.origin.map_or(Value::Null, Value::String));
        Some((fields, entry.place))
    };
    Ok(seen.into_iter().zip(rows).filter_map(render).collect())
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
    let found = entries(app, feed, edges.0, edges.1, RANKED).await?;
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
