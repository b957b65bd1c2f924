//! Recommendations, neighbours and lists without a user, in the form of Gorse.
//!
//! Invariant: available items only; the ranking of a user is the model's. A user without feedback gets the newest items.
//! Deliberately absent: scans on a web worker.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};

use actix_web::web;
use serde::Deserialize;

use crate::actors::audience::{AlikeBy, Likeness};
use crate::actors::server::{RankRequest, RecommendRequest, SimilarBy, Steering, Target, similar_items};
use crate::actors::session::SessionSettings;
use crate::domain::feeds::Ranking;
use crate::domain::ids::{ItemId, Key, TopicId, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::items::Item;
use crate::domain::time::{Millis, SECOND_MS};
use crate::engine::world::World;
use crate::protocol::LIMIT_MAX;
use crate::protocol::refusal::Refusal;

use super::super::busy;
use super::super::event_ids;
use super::events;
use super::feedback::{self, Feedback};
use super::reply::{GorseRequest, GorseResult, Page, Score, bad, found, no_item, or_null, patiently};

/// Items of a list that are scored before categories are filtered.
const DEPTH: usize = 1_000;
/// Feedback of a session that counts: the last one.
const SESSION_MAX: usize = 100;

/// One feedback of a session; its order counts and its instant does not.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SessionInput {
    #[serde(default, deserialize_with = "or_null")]
    feedback_type: String,
    item_id: Key,
}

/// `GET /api/recommend/{user}[/{category}]`: the model's ranking for a user, as ids; with `X-API-Version: 2`, with scores.
/// `write-back-type` records feedback of this type with all returned items, at once and whatever `write-back-delay` is.
///
/// # Errors
/// A parameter is wrong, or the server is busy.
pub async fn of_user(request: GorseRequest) -> GorseResult {
    let page = request.page()?;
    let key = request.key("user")?;
    let back = page.text("write-back-type").map(events::checked_type).transpose()?;
    if let Some(delay) = page.text("write-back-delay") {
        must_be_duration(delay)?;
    }
    if back.is_some() {
        request.may_change()?;
    }
    let scores = ranked(&request, &key, &page).await?;
    if let Some(feedback_type) = back {
        let one = |score: &Score| Feedback {
            feedback_type: feedback_type.clone(),
            user: key.clone(),
            item: score.id.clone(),
            value: 0.0,
            at: Millis::ON_ARRIVAL,
        };
        feedback::add(&request, scores.iter().map(one).collect()).await?;
    }
    let is_second = request.headers().get("x-api-version").is_some_and(|version| version == "2");
    match is_second {
        true => found(&scores),
        false => found(&scores.iter().map(|score| &score.id).collect::<Vec<_>>()),
    }
}

/// `GET /api/collaborative-filtering/{user}`: the model's ranking for a user, with scores.
///
/// # Errors
/// A parameter is wrong, or the server is busy.
pub async fn collaborative(request: GorseRequest) -> GorseResult {
    let (page, key) = (request.page()?, request.key("user")?);
    found(&ranked(&request, &key, &page).await?)
}

/// `POST /api/session/recommend[/{category}]`: the model's ranking for an unknown user after a list of feedback, which is not
/// stored.
///
/// # Errors
/// A feedback is not readable, or the server is busy.
pub async fn of_session(request: GorseRequest, payload: web::Payload) -> GorseResult {
    let page = request.page()?;
    let list: Vec<SessionInput> = request.list(payload).await?;
    let (world, now) = (request.server().world(), request.now());
    let one = |feedback: &SessionInput| {
        let item = world.find_item(feedback.item_id.as_str())?;
        let kind = request.gorse().kind(&feedback.feedback_type);
        Some(Interaction {
            id: event_ids::fresh(),
            item,
            kind,
            dwell_ms: None,
            at: now,
            shown: None,
            passed: Vec::new(),
        })
    };
    let newest = &list[list.len().saturating_sub(SESSION_MAX)..];
    let interactions: Vec<Interaction> = newest.iter().filter_map(one).collect();
    let excluded = interactions.iter().map(|interaction| interaction.item).collect();
    let filter = Filter::of(&request, &page, excluded)?;
    found(&steered(&request, None, interactions, &filter, &page).await?)
}

/// The model's ranking for a user, or for an unknown one, after these interactions, which are not stored.
async fn steered(
    request: &GorseRequest,
    user: Option<UserId>,
    interactions: Vec<Interaction>,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<Score>, Refusal> {
    let required = match &filter.topics {
        Some(topics) => topics.iter().map(|topic| Target::Topic(*topic)).collect(),
        None => vec![Target::Nothing],
    };
    let excluded = filter.excluded.iter().copied().collect();
    let steering = Steering { required, excluded, ..Steering::default() };
    let limit = page.offset.saturating_add(page.n).min(LIMIT_MAX as usize);
    let ask = RankRequest { ranking: Ranking::Model, limit, explain: false };
    let ask = RecommendRequest { user, interactions, ask, steering };
    let ranked = patiently(|| request.server().recommend(None, ask.clone())).await?;
    let page = ranked.items.into_iter().skip(page.offset).take(page.n);
    Ok(page.map(|(item, _)| Score { id: item.item, score: f64::from(item.score) }).collect())
}

/// `GET /api/item/{id}/neighbors[/{category}]`: the nearest items by embedding.
///
/// # Errors
/// The item is unknown, or the server is busy.
pub async fn neighbours(request: GorseRequest) -> GorseResult {
    similar(request, SimilarBy::Embedding).await
}

/// `GET /api/item-to-item/{name}/{id}`: similar items: by visits where the name is `users` or `visits`, by both where it is
/// `auto` or `both`, else by embedding.
///
/// # Errors
/// The item is unknown, or the server is busy.
pub async fn item_to_item(request: GorseRequest) -> GorseResult {
    let by = match request.key("name")?.as_str() {
        "users" | "visits" => SimilarBy::Visits,
        "auto" | "both" => SimilarBy::Both,
        _ => SimilarBy::Embedding,
    };
    similar(request, by).await
}

/// `GET /api/user/{id}/neighbors`, `GET /api/user-to-user/{name}/{id}`: active users by visits and topic weights.
///
/// # Errors
/// The user is unknown, or the server is busy.
pub async fn user_neighbours(request: GorseRequest) -> GorseResult {
    let (page, user) = (request.page()?, request.user("id")?);
    let wanted = page.offset.saturating_add(page.n).min(DEPTH);
    let nearest = patiently(|| request.server().similar_people(user, AlikeBy::Both, wanted)).await?;
    let people = request.server().people();
    let score = |(user, score, _): (UserId, f32, Likeness)| {
        Some(Score { id: people.get(user)?.key.clone(), score: score.into() })
    };
    found(&nearest.people.into_iter().skip(page.offset).take(page.n).filter_map(score).collect::<Vec<_>>())
}

/// `GET /api/latest[/{category}]`: the newest items; the score is the Unix time in seconds.
///
/// # Errors
/// A parameter is wrong, or the server is busy.
pub async fn latest(request: GorseRequest) -> GorseResult {
    without_user(request, newness).await
}

/// `GET /api/popular[/{category}]`: the most popular items.
///
/// # Errors
/// A parameter is wrong, or the server is busy.
pub async fn popular(request: GorseRequest) -> GorseResult {
    without_user(request, popularity).await
}

/// `GET /api/non-personalized/{name}`: the newest items where the name is `latest`, else the most popular ones.
///
/// # Errors
/// A parameter is wrong, or the server is busy.
pub async fn non_personalized(request: GorseRequest) -> GorseResult {
    let is_latest = request.key("name")?.as_str() == "latest";
    without_user(request, if is_latest { newness } else { popularity }).await
}

/// Score of an item in a list without a user.
type ItemScore = fn(&World, &Item) -> f64;

fn newness(_: &World, item: &Item) -> f64 {
    item.created.0.div_euclid(SECOND_MS) as f64
}

fn popularity(world: &World, item: &Item) -> f64 {
    f64::from(world.popularity().within_a_day(item.id))
}

/// The items that a list may hold.
struct Filter {
    /// Topics that each item has; `None` where one is unknown, so that no item has all.
    topics: Option<Vec<TopicId>>,
    excluded: BTreeSet<ItemId>,
}

impl Filter {
    /// The categories of path and query, and these excluded items.
    fn of(request: &GorseRequest, page: &Page, excluded: BTreeSet<ItemId>) -> Result<Filter, Refusal> {
        let in_path = request.has_segment("category").then(|| request.key("category")).transpose()?;
        let in_query =
            page.all("category").map(|text| Key::new(text).map_err(|error| bad("category", error.to_string())));
        let categories = in_path.into_iter().map(Ok).chain(in_query).collect::<Result<Vec<_>, _>>()?;
        let world = request.server().world();
        let topics = categories.iter().map(|category| world.find_topic(category.as_str())).collect();
        Ok(Filter { topics, excluded })
    }

    fn allows(&self, item: &Item) -> bool {
        let Some(topics) = &self.topics else { return false };
        topics.iter().all(|topic| item.topics.contains(topic)) && !self.excluded.contains(&item.id)
    }

    /// Whether it allows all items.
    fn is_open(&self) -> bool {
        self.topics.as_ref().is_some_and(Vec::is_empty) && self.excluded.is_empty()
    }
}

/// The ranking for a user: the model's, or the newest items where the user has no feedback.
async fn ranked(request: &GorseRequest, key: &Key, page: &Page) -> Result<Vec<Score>, Refusal> {
    let filter = Filter::of(request, page, BTreeSet::new())?;
    let server = request.server();
    let user = server.people().find(key.as_str());
    let acted = match user {
        Some(user) => !server.interactions_of_user(user, None, 1).await.map_err(busy::refusal)?.is_empty(),
        None => false,
    };
    let Some(user) = user.filter(|_| acted) else { return top(request, page, filter, newness).await };
    if !filter.is_open() {
        return steered(request, Some(user), Vec::new(), &filter, page).await;
    }
    // One size for all pages, so that the user's actor keeps one feed.
    let settings = SessionSettings { ranking: Ranking::Model, limit: LIMIT_MAX, explain: false, timing: false };
    let feed = server.feed(user, settings).await.map_err(busy::refusal)?;
    let world = server.world();
    let alive = |item: ItemId| world.item(item).is_some_and(|item| !item.deleted);
    let all = feed.items.iter().filter(|ranked| alive(ranked.item));
    Ok(scores(&world, all.map(|ranked| (f64::from(ranked.score), ranked.item)).collect(), page))
}

async fn without_user(request: GorseRequest, score: ItemScore) -> GorseResult {
    let page = request.page()?;
    let user = page.text("user-id").and_then(|user| request.server().people().find(user));
    let excluded = match user {
        Some(user) => feedback::items_of(&request, user).await?,
        None => BTreeSet::new(),
    };
    let filter = Filter::of(&request, &page, excluded)?;
    found(&top(&request, &page, filter, score).await?)
}

/// A page of the available items by descending score.
async fn top(request: &GorseRequest, page: &Page, filter: Filter, score: ItemScore) -> Result<Vec<Score>, Refusal> {
    let (world, now, wanted) = (request.server().world(), request.now(), page.offset.saturating_add(page.n).min(DEPTH));
    let there = world.clone();
    let scan = move || {
        let open = there.open_at(now);
        let items = open.iter().filter_map(|id| there.item(ItemId(id))).filter(|item| item.is_available(now));
        let scored = items.filter(|item| filter.allows(item)).map(|item| (score(&there, item), item.id));
        best(scored, wanted, |id: &ItemId| id.0.into())
    };
    Ok(scores(&world, request.scan(scan).await?, page))
}

async fn similar(request: GorseRequest, by: SimilarBy) -> GorseResult {
    let page = request.page()?;
    let key = request.key("id")?;
    let item = request.known_item("id")?;
    let filter = Filter::of(&request, &page, BTreeSet::new())?;
    let (world, now) = (request.server().world(), request.now());
    let depth = if filter.is_open() { page.offset.saturating_add(page.n).min(DEPTH) } else { DEPTH };
    let there = world.clone();
    let best = request.scan(move || {
        let all = similar_items(&there, item, by, depth, now).into_iter();
        let allowed = all.filter(|one| there.item(one.item).is_some_and(|item| filter.allows(item)));
        allowed.map(|one| (f64::from(one.score), one.item)).collect::<Vec<_>>()
    });
    let best = best.await?;
    world.item(item).filter(|item| !item.deleted).ok_or_else(|| no_item(&key))?;
    found(&scores(&world, best, &page))
}

/// A score in a heap whose greatest element is the worst: the lowest score, then the last id.
#[derive(PartialEq)]
struct Worst<T>(f64, Reverse<u64>, T);

impl<T: PartialEq> Eq for Worst<T> {}

impl<T: PartialEq> Ord for Worst<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0).then(other.1.cmp(&self.1))
    }
}

impl<T: PartialEq> PartialOrd for Worst<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The `limit` best of all scores, best first, then by id. Memory grows with `limit` alone.
fn best<T: PartialEq>(all: impl Iterator<Item = (f64, T)>, limit: usize, id: impl Fn(&T) -> u64) -> Vec<(f64, T)> {
    let mut heap = BinaryHeap::with_capacity(limit + 1);
    for (score, one) in all {
        heap.push(Worst(score, Reverse(id(&one)), one));
        if heap.len() > limit {
            heap.pop();
        }
    }
    heap.into_sorted_vec().into_iter().map(|Worst(score, _, one)| (score, one)).collect()
}

/// A page of scores with the ids of their items.
fn scores(world: &World, best: Vec<(f64, ItemId)>, page: &Page) -> Vec<Score> {
    let score = |(score, item): (f64, ItemId)| Some(Score { id: world.item(item)?.key.clone(), score });
    best.into_iter().skip(page.offset).take(page.n).filter_map(score).collect()
}

/// Refuses a text that is no duration of Go, such as `10m` or `1h30m`.
fn must_be_duration(text: &str) -> Result<(), Refusal> {
    let is_duration = |text: &str| {
        let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
        if rest == "0" {
            return true;
        }
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, unit) = rest.split_at(digits);
            let Some(unit) = ["ns", "us", "µs", "ms", "s", "m", "h"].into_iter().find(|one| unit.starts_with(one))
            else {
                return false;
            };
            if number.parse::<f64>().is_err() {
                return false;
            }
            rest = &rest[digits + unit.len()..];
            parts += 1;
        }
        parts > 0
    };
    if is_duration(text) { Ok(()) } else { Err(bad("write-back-delay", format!("must be as in 10m, is {text:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_scores_come_first_and_equal_ones_by_id() {
        let all = [(1.0, 4_u64), (3.0, 2), (2.0, 7), (3.0, 1), (-1.0, 0)];
        assert_eq!(best(all.into_iter(), 3, |id| *id), [(3.0, 1), (3.0, 2), (2.0, 7)]);
        assert_eq!(best(all.into_iter(), 9, |id| *id).len(), 5);
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, good) in
            [("10m", true), ("1h30m", true), ("1.5s", true), ("300ms", true), ("0", true), ("10", false), ("m", false)]
        {
            assert_eq!(must_be_duration(text).is_ok(), good, "{text}");
        }
    }
}
