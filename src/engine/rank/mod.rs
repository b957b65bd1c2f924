//! Candidates -> score -> select, as types: [`Candidates`] become scored become [`FeedItem`]s. The `model` feed then
//! passes through the list stage ([`stage`]), which may put its best items into another order.
//!
//! Invariant: ranking reorders what is available and not hidden: nothing lost but what is beyond the limit, nothing
//! invented, nothing twice. Equal scores are ordered newest first, then by item id, so a feed never flickers.
//! Contributions of an item sum to its score exactly as they are added here: in the order of `Expert::ALL`. The scan
//! reads 8-bit codes; whatever its known error leaves open is scored again in f32, so the order is that of f32.
//! Absent on purpose: a standing pool; all that is available is scored each time, which 10,000 items allow.

pub mod explore;
mod neighbours;
mod item_evidence;
mod hours;
pub mod list;
mod scan;
mod scorer;
pub mod stage;

use std::cmp::Ordering;
use std::collections::VecDeque;

use roaring::RoaringBitmap;

use crate::domain::feeds::{Contribution, Expert, FeedItem, Ranking};
use crate::domain::ids::{FeedVersion, ItemId, TopicId, UserId};
use crate::domain::journal::CentreRef;
use crate::domain::time::Millis;
use crate::engine::learn::blend::UserOffset;
use crate::engine::learn::features::{Features, Row, Shares, at};
use crate::engine::learn::quadratic::Form;
use crate::engine::learn::repeat::Visits;
use crate::engine::tower::TowerVector;
use crate::engine::user::Past;
use crate::engine::world::{BLOCK, World};
use scorer::Scorer;

/// The flat feed reaches back over this many items; the topic feed re-sorts these.
pub const FLAT_SPAN: usize = 500;

/// Log-odds of the online model enter the blend within these bounds, so that one expert cannot silence the others.
pub const ONLINE_MAX: f32 = 8.0;

/// Items that are so large a part of all are scored by whole blocks: that takes less, and the scores are the same.
const PART_OF_ALL: usize = 2;

/// The same of the two-tower model.
pub const TOWER_MAX: f32 = 8.0;

/// What ranking reads of a person.
pub struct UserProfile<'a> {
    /// Mean weights of the online model, `(dim,)`; `None` before the first label.
    pub weights: Option<&'a [f32]>,
    /// How sure each of them is, `(dim,)`; `None` before the first label.
    pub precision: Option<&'a [f32]>,
    /// Topic shares of their history, for calibration; empty when nobody asks for it.
    pub shares: Vec<(u32, f64)>,
    /// What the online model adds for items of these centres.
    pub forms: Vec<(CentreRef, Form)>,
    /// Topic weights above 0, by topic.
    pub topics: Vec<(TopicId, f32)>,
    /// Whom they follow, sorted.
    pub follows: &'a [UserId],
    /// Themselves: their own posts count as followed in the flat feed.
    pub user: UserId,
    /// Never shown again.
    pub hidden: &'a RoaringBitmap,
    /// Where they have been.
    pub visits: &'a Visits,
    /// Their last interactions, oldest first.
    pub history: &'a VecDeque<Past>,
    /// Whose items they come back to: `(author, count)`, by author.
    pub authors: Vec<(UserId, f32)>,
    /// How they receive topics, over how everybody does: log-odds, by topic.
    pub opinions: Vec<(TopicId, f32)>,
    /// How easily they approve, over how everybody does: log-odds.
    pub approval: f32,
    /// What they did in this session before: interactions without a break.
    pub session: u32,
    /// Their own weights, beside the shared ones.
    pub offset: &'a UserOffset,
    /// The group of people that they are in.
    pub group: Option<u32>,
    /// Their vector by the world's two-tower model; `None` without one.
    pub tower: Option<TowerVector>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankRequest {
    /// How to rank.
    pub ranking: Ranking,
    /// At most so many items.
    pub limit: usize,
    /// Say why.
    pub explain: bool,
}

/// The feed that is being made, and what the client shows meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Viewport<'a> {
    /// Version of the feed that is being made: names its noise.
    pub version: FeedVersion,
    /// What the client has drawn, from the top; empty when that is not known.
    pub drawn: &'a [ItemId],
}

/// A feed, and what it takes to get into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Best first.
    pub items: Vec<FeedItem>,
    /// Who scores below this and is not in the feed would not enter it; minus infinity: anybody might.
    pub entry_threshold: f32,
}

/// Items that may be shown, by id.
pub struct Candidates(RoaringBitmap);

/// A candidate with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scored {
    item: ItemId,
    score: f32,
    /// For `flat`: newest first needs more than f32.
    created: Millis,
}

/// The best `request.limit` of `open` for this person at `now`.
#[must_use]
pub fn rank(
    world: &World,
    open: &RoaringBitmap,
    profile: &UserProfile<'_>,
    now: Millis,
    request: RankRequest,
    viewport: Viewport<'_>,
) -> Ranked {
    let candidates = Candidates(open - profile.hidden);
    match request.ranking {
        Ranking::Tower => by_tower(world, profile, &candidates, now, request),
        Ranking::Model => {
            let scorer = Scorer::of_many(world, profile, now);
            let reach = world.settings().rank.reach(request.limit);
            let best = select(scorer.contenders(&candidates, reach), reach, by_score);
            let mut ranked = stage::stage(world, profile, viewport, best, request.limit);
            if request.explain {
                for one in &mut ranked.items {
                    one.why = contributions(scorer.shares(one.item));
                }
            }
            ranked
        }
        Ranking::Flat | Ranking::Topics => {
            let scorer = Scorer::of_many(world, profile, now);
            let span = if request.ranking == Ranking::Flat { request.limit } else { request.limit.max(FLAT_SPAN) };
            let newest = select(scorer.flat_candidates(&candidates), span, by_time);
            let oldest_newest = (newest.last().map(|one| one.created), newest.first().map(|one| one.created));
            let weight_of = |item| if request.ranking == Ranking::Topics { scorer.topic_weight(item) } else { 0.0 };
            let scored = newest
                .into_iter()
                .map(|one| {
                    let fresh = span_freshness(one.created, oldest_newest);
                    (Scored { score: fresh + weight_of(one.item), ..one }, fresh)
                })
                .collect::<Vec<_>>();
            let explain = |one: &Scored, fresh: f32| match (request.explain, request.ranking) {
                (false, _) => Vec::new(),
                (true, Ranking::Flat) => vec![Contribution { expert: Expert::Freshness, amount: fresh }],
                (true, _) => vec![
                    Contribution { expert: Expert::Topic, amount: weight_of(one.item) },
                    Contribution { expert: Expert::Freshness, amount: fresh },
                ],
            };
            let mut scored: Vec<(Scored, f32)> = scored;
            if request.ranking == Ranking::Topics {
                scored.sort_by(|a, b| by_score(&a.0, &b.0));
            }
            let items = scored.into_iter().take(request.limit).map(|(one, fresh)| FeedItem {
                item: one.item,
                score: one.score,
                propensity: 1.0,
                why: explain(&one, fresh),
            });
            // Ordered by time: what enters is not a matter of scores.
            Ranked { items: items.collect(), entry_threshold: f32::NEG_INFINITY }
        }
    }
}

/// What the two-tower model alone likes best. One scan over its vectors; without a model the newest come first.
fn by_tower(
    world: &World,
    profile: &UserProfile<'_>,
    candidates: &Candidates,
    now: Millis,
    request: RankRequest,
) -> Ranked {
    let scored = candidates.0.iter().filter_map(|id| {
        let columns = world.blocks().get(id as usize / BLOCK)?.columns();
        let created = *columns.created.get(id as usize % BLOCK)?;
        let item = ItemId(id);
        (created <= now).then(|| Scored { item, score: tower_score(world, profile, item), created })
    });
    let best = select(scored.collect(), request.limit, by_score);
    let entry_threshold =
        if best.len() < request.limit { f32::NEG_INFINITY } else { best.last().map_or(0.0, |one| one.score) };
    let item = |one: Scored| {
        let why = request.explain.then_some(Contribution { expert: Expert::Tower, amount: one.score });
        FeedItem { item: one.item, score: one.score, propensity: 1.0, why: why.into_iter().collect() }
    };
    Ranked { items: best.into_iter().map(item).collect(), entry_threshold }
}

/// Score of the `tower` ranking for one item: log-odds, 0 without a model.
fn tower_score(world: &World, profile: &UserProfile<'_>, item: ItemId) -> f32 {
    world.tower().zip(profile.tower.as_ref()).map_or(0.0, |(tower, person)| tower.log_odds(person, item))
}

/// What the blend weighs of these items, in their order; unknown ones say nothing.
#[must_use]
pub fn rows(world: &World, profile: &UserProfile<'_>, items: &[ItemId], now: Millis) -> Vec<Row> {
    let scorer = Scorer::of_these(items, world, profile, now);
    let mut rows = vec![Row::NOTHING; items.len()];
    for (item, row) in items.iter().zip(&mut rows) {
        scorer.describe(*item, row);
    }
    rows
}

/// Scores of the `model` ranking for these items, in their order, into `out`.
pub fn scores(world: &World, profile: &UserProfile<'_>, items: &[ItemId], now: Millis, out: &mut Vec<f32>) {
    if items.len() * PART_OF_ALL >= world.len() as usize && items.len() > BLOCK {
        return Scorer::of_many(world, profile, now).all(items, out);
    }
    let scorer = Scorer::of_these(items, world, profile, now);
    out.clear();
    out.extend(items.iter().map(|item| scorer.score(*item)));
}

/// Score of the `topics` ranking for one item, with the whole catalogue's age as its span.
#[must_use]
pub fn topics_score(features: &Features) -> f32 {
    features[at::TOPIC] + features[at::FRESHNESS]
}

/// Score of the `model` or `tower` ranking for one item alone, bit by bit the one that a feed would give it. Of the profile it
/// reads what says something of this item.
#[must_use]
pub fn score_of(world: &World, profile: &UserProfile<'_>, item: ItemId, now: Millis, ranking: Ranking) -> f32 {
    match ranking {
        Ranking::Tower => tower_score(world, profile, item),
        _ => Scorer::of_these(&[item], world, profile, now).score(item),
    }
}

fn contributions(shares: Shares) -> Vec<Contribution> {
    Expert::ALL.into_iter().zip(shares).map(|(expert, amount)| Contribution { expert, amount }).collect()
}

/// An item's time scaled to [0, 1] over the feed's span; 1 where the feed has no span.
fn span_freshness(created: Millis, (oldest, newest): (Option<Millis>, Option<Millis>)) -> f32 {
    match (oldest, newest) {
        (Some(oldest), Some(newest)) if newest > oldest => {
            (created.since(oldest) as f64 / newest.since(oldest) as f64) as f32
        }
        _ => 1.0,
    }
}

/// Newer first among equals: freshness puts the newer one first as soon as f32 can tell them apart, so an order by id
/// alone would flip when they grow old enough to round to the same number.
fn by_score(a: &Scored, b: &Scored) -> Ordering {
    b.score.total_cmp(&a.score).then(b.created.cmp(&a.created)).then(a.item.cmp(&b.item))
}

fn by_time(a: &Scored, b: &Scored) -> Ordering {
    b.created.cmp(&a.created).then(a.item.cmp(&b.item))
}

/// The first `limit` in order: a partial sort, since a feed is short and the catalogue is not.
fn select(mut scored: Vec<Scored>, limit: usize, order: fn(&Scored, &Scored) -> Ordering) -> Vec<Scored> {
    if limit == 0 {
        return Vec::new();
    }
    if scored.len() > limit {
        scored.select_nth_unstable_by(limit - 1, order);
        scored.truncate(limit);
    }
    scored.sort_unstable_by(order);
    scored
}
