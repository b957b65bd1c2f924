//! Items that are available at an instant, their windows, and their likely audience.
//!
//! Invariant: `limit` bounds the size of an answer, and the answer counts the omitted items. Deliberately absent:
//! changes of windows (`items`).

use std::collections::BTreeSet;

use serde_json::json;

use crate::actors::audience::ASKED_MAX;
use crate::domain::ids::{ItemId, UserId};
use crate::domain::time::Millis;
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::cursor::{self, CursorList, RankedPlace};
use super::super::errors::HttpResult;
use super::super::query::Query;
use super::super::request::AuthedRequest;
use super::list::{LIST_DEFAULT, LIST_MAX, fields, found, listed};

/// `GET /v1/availability?at=&live=&limit=&after=`: items available at an instant, by default now; `live=true` leaves
/// out items without windows. With `from=&to=`, the windows of that span instead, by start; `after` is then a cursor.
///
/// # Errors
/// A refusal with the name of the parameter.
pub async fn availability(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["at", "live", "limit", "after", "from", "to"])?;
    if let Some(from) = query.time("from")? {
        return timeline(&request, &query, from).await;
    }
    if query.time("to")?.is_some() {
        return Err(Refusal::field(Code::BadField, "from", "missing: a span has two ends").into());
    }
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)? as usize;
    let after = query.number("after")?.map(ItemId);
    let live = query.flag("live")?;
    let (asked, now) = (query.time("at")?, request.server().clock().now());
    let at = asked.unwrap_or(now);
    let world = request.server().world();
    let there = world.clone();
    let (page, more, total) =
        request.scan(move || open_page(&there, at, &AvailabilityPage { after, live, limit })).await?;
    let next = page.last().copied().filter(|_| more);
    let beside = fields([("at", json!(at)), ("total", json!(total)), ("next", json!(next))]);
    let write = move |id| {
        let item = world.item(id)?;
        let until = item.windows.at(at).and_then(|window| window.stop);
        let topic = item.topics.first().and_then(|topic| world.topic(*topic));
        let expected =
            world.expected_ends().of(item.id).filter(|expected| asked.is_none() && until.is_none() && *expected > now);
        let live = !item.windows.is_always();
        serde_json::to_vec(&json!({
            "item": item.key, "text": item.text, "topic": topic, "live": live, "available_until": until,
            "expected_until": expected,
        }))
        .ok()
    };
    listed(&request, "items", page.into_iter(), |_| 0, write, beside).await
}

/// The requested page of available items.
struct AvailabilityPage {
    after: Option<ItemId>,
    /// Leaves out items that are always available.
    live: bool,
    limit: usize,
}

/// A page of available items at an instant, whether more follow, and their number in all.
fn open_page(
    world: &World,
    at: Millis,
    &AvailabilityPage { after, live, limit }: &AvailabilityPage,
) -> (Vec<ItemId>, bool, u64) {
    let open = world.open_at(at);
    // One item beyond the page tells whether a next page exists.
    let from = after.map_or(0, |after| after.0.saturating_add(1));
    let mut page: Vec<ItemId> = open
        .range(from..)
        .filter_map(|id| world.item(ItemId(id)))
        .filter(|item| item.is_available(at) && !(live && item.windows.is_always()))
        .map(|item| item.id)
        .take(limit + 1)
        .collect();
    let more = page.len() > limit;
    page.truncate(limit);
    (page, more, open.len())
}

/// The windows that share an instant with `[from, to)`: a page of them by start, and their number.
async fn timeline(request: &AuthedRequest, query: &Query, from: Millis) -> HttpResult {
    for other in ["at", "live"] {
        if query.text(other).is_some() {
            return Err(Refusal::field(Code::BadField, other, "does not go with `from` and `to`").into());
        }
    }
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)? as usize;
    let missing = || Refusal::field(Code::BadField, "to", "missing: a span has two ends");
    let to = query.time("to")?.ok_or_else(missing)?;
    if to <= from {
        return Err(Refusal::field(Code::OutOfRange, "to", "must be after `from`").into());
    }
    let list = CursorList::of("windows", "", query, &["from", "to"]);
    let after = list.read(query)?.map(|[start, item, has_stop, stop]| {
        (Millis(start as i64), ItemId(item as u32), (has_stop > 0).then_some(Millis(stop as i64)))
    });
    let world = request.server().world();
    let there = world.clone();
    // One window beyond the page tells whether a next page exists.
    let (first, total) = request.scan(move || windows_between(&there, (from, to), after, limit + 1)).await?;
    let mut first: Vec<Placed> = first.into_iter().collect();
    let next = cursor::cut(&mut first, limit, |(start, item, stop)| {
        list.write([start.0 as u64, item.0.into(), stop.is_some().into(), stop.map_or(0, |stop| stop.0 as u64)])
    });
    let write = move |(start, id, stop)| {
        let item = world.item(id)?;
        let topic = item.topics.first().and_then(|topic| world.topic(*topic));
        let author = item.author.as_ref().map(|author| &author.key);
        serde_json::to_vec(&json!({
            "item": item.key, "text": item.text, "author": author, "topic": topic, "start": start, "stop": stop,
        }))
        .ok()
    };
    let mut beside = fields([("from", json!(from)), ("to", json!(to)), ("total", json!(total))]);
    beside.extend(cursor::next_field(next));
    listed(request, "windows", first.into_iter(), |_| 0, write, beside).await
}

/// A window by its start: its item, and its stop if it has one.
type Placed = (Millis, ItemId, Option<Millis>);

/// The first windows of a span by start behind the place `after`, and the number of all windows of the span.
fn windows_between(
    world: &World,
    (from, to): (Millis, Millis),
    after: Option<Placed>,
    limit: usize,
) -> (BTreeSet<Placed>, u64) {
    let (mut first, mut total) = (BTreeSet::new(), 0_u64);
    for (block, columns) in world.blocks().iter().map(|block| (block, block.columns())) {
        let windowed =
            block.items().iter().zip(&columns.windowed).filter(|(item, windowed)| **windowed && !item.deleted);
        for (item, _) in windowed {
            let windows = item.windows.as_slice();
            let begin = windows.partition_point(|window| window.stop.is_some_and(|stop| stop <= from));
            let end = windows.partition_point(|window| window.start < to);
            total += end.saturating_sub(begin) as u64;
            for window in windows.get(begin..end).unwrap_or_default() {
                // Windows of one item are sorted by start, so no later one is among the first either.
                let place = (window.start, item.id, window.stop);
                if after.is_some_and(|after| place <= after) {
                    continue;
                }
                if first.len() >= limit && first.last().is_some_and(|last| *last < place) {
                    break;
                }
                first.insert(place);
                if first.len() > limit {
                    first.pop_last();
                }
            }
        }
    }
    (first, total)
}

/// `GET /v1/items/{id}/audience?limit=&after=`: the active users with the highest scores for the item now.
///
/// # Errors
/// `unknown_item`, busy, or a refusal with the name of the parameter.
pub async fn audience(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["limit", "after"])?;
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)? as usize;
    let (key, id) = (request.key("id")?, request.item("id")?);
    let list = CursorList::new("audience", &[key.as_str()]);
    let after = RankedPlace::read(list, &query)?;
    let depth = if after.is_some() { ASKED_MAX } else { limit + 1 };
    let mut audience = request.server().audience(id, depth).await?;
    let place = |(user, score): &(UserId, f32)| RankedPlace::new(*score, user.0);
    if let Some(after) = after {
        after.keep_behind(&mut audience.people, place);
    }
    let next = cursor::cut(&mut audience.people, limit, |one| place(one).write(list));
    let people: Vec<_> = audience
        .people
        .iter()
        .filter_map(|(user, score)| Some(json!({"user": request.server().people().get(*user)?.key, "score": score})))
        .collect();
    let mut body = json!({"item": key, "people": people, "active": audience.active, "scored": audience.scored});
    if let Some(next) = next {
        body["next"] = json!(next);
    }
    found(&body)
}
