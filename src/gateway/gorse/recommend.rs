//! Recommendations, neighbours and lists without a user, in the form of Gorse.
//!
//! Invariant: available items only; the ranking of a user is the model's. A user without feedback gets the newest items.
//! Deliberately absent: scans on a web worker.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use actix_web::web;
use serde::Deserialize;

use crate::actors::server::{SimilarBy, similar_items};
use crate::actors::session::SessionSettings;
use crate::domain::feeds::Ranking;
use crate::domain::ids::{ItemId, Key, TopicId, UserId};
use crate::domain::items::Item;
use crate::domain::time::{Millis, SECOND_MS};
use crate::engine::world::World;
use crate::protocol::LIMIT_MAX;
use crate::protocol::refusal::Refusal;

use super::super::busy;
use super::events;
use super::feedback::{self, Feedback};
use super::reply::{GorseRequest, GorseResult, Page, ROWS_MAX, Score, bad, found, no_item};

/// Items of a list that are scored before categories are filtered.
const DEPTH: usize = 1_000;
/// Items of a session that count: the last ones.
const SESSION_MAX: usize = 100;
/// Similar items of each item of a session.
const SIMILAR_EACH: usize = 200;

/// One feedback of a session; only its item counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SessionInput {
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

/// `POST /api/session/recommend[/{category}]`: items that resemble those of a list of feedback, which is not stored.
///
/// # Errors
/// A feedback is not readable, or the server is busy.
pub async fn of_session(request: GorseRequest, payload: web::Payload) -> GorseResult {
    let page = request.page()?;
    let list: Vec<SessionInput> = request.list(payload).await?;
    let world = request.server().world();
    let known = list.iter().rev().filter_map(|feedback| world.find_item(feedback.item_id.as_str()));
    let (mut items, mut seen) = (Vec::new(), BTreeSet::new());
    for item in known.filter(|item| seen.insert(*item)).take(SESSION_MAX) {
        items.push(item);
    }
    let filter = Filter::of(&request, &page, seen)?;
    let now = request.now();
    let there = world.clone();
    let best = request.scan(move || by_session(&there, &items, &filter, now)).await?;
    found(&scores(&world, best, &page))
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

/// `GET /api/user/{id}/neighbors`, `GET /api/user-to-user/{name}/{id}`: users of the user's cluster, surest members first.
///
/// # Errors
/// The user is unknown, or the server is busy.
pub async fn user_neighbours(request: GorseRequest) -> GorseResult {
    let (page, user) = (request.page()?, request.user("id")?);
    let clusters = request.server().clusters();
    let member = clusters.as_ref().and_then(|clusters| clusters.member(user)).filter(|member| !member.outlier);
    let Some((clusters, group)) = clusters.zip(member.map(|member| member.group)) else {
        return found(&Vec::<Score>::new());
    };
    let wanted = page.offset.saturating_add(page.n).min(DEPTH);
    let nearest = move || {
        let others = clusters.in_group(group).filter(|other| *other != user);
        let sure = others.filter_map(|other| Some((f64::from(clusters.member(other)?.probability), other)));
        best(sure, wanted, |user: &UserId| user.0.into())
    };
    let nearest = request.scan(nearest).await?;
    let people = request.server().people();
    let score = |(score, user): (f64, UserId)| Some(Score { id: people.get(user)?.key.clone(), score });
    found(&nearest.into_iter().skip(page.offset).take(page.n).filter_map(score).collect::<Vec<_>>())
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
        Some(user) => !server.interactions_of_user(user, 1).await.map_err(busy::refusal)?.is_empty(),
        None => false,
    };
    let Some(user) = user.filter(|_| acted) else { return top(request, page, filter, newness).await };
    // One size for all pages, so that the user's actor keeps one feed.
    let settings = SessionSettings { ranking: Ranking::Model, limit: LIMIT_MAX, explain: false, timing: false };
    let feed = server.feed(user, settings).await.map_err(busy::refusal)?;
    let world = server.world();
    let allowed = |item: ItemId| world.item(item).is_some_and(|item| !item.deleted && filter.allows(item));
    let all = feed.items.iter().filter(|ranked| allowed(ranked.item));
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

/// Available items by the sum of their similarities to the items of a session, the last one first.
fn by_session(world: &World, items: &[ItemId], filter: &Filter, now: Millis) -> Vec<(f64, ItemId)> {
    let mut sums: BTreeMap<ItemId, f64> = BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        // Later items count more: the weight halves with every fifth place.
        let weight = 0.5_f64.powf(place as f64 / 5.0);
        for one in similar_items(world, *item, SimilarBy::Both, SIMILAR_EACH, now) {
            *sums.entry(one.item).or_default() += weight * f64::from(one.score);
        }
    }
    let allowed = |item: &ItemId| world.item(*item).is_some_and(|item| filter.allows(item));
    let sums = sums.into_iter().filter(|(item, _)| allowed(item)).map(|(item, sum)| (sum, item));
    best(sums, ROWS_MAX, |id: &ItemId| id.0.into())
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
