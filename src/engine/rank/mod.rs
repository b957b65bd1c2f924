//! Ranking: candidates are scored and the best are selected ([`Candidates`], then scored, then [`FeedItem`]s). The `model` feed
//! then passes the list stage ([`stage`]), which may reorder its best items.
//!
//! Invariant: a feed holds open items that are not hidden, each at most once, and leaves out only items beyond the limit.
//! Equal scores are ordered newest first, then by item id, so a feed never flickers. The contributions of an item, added in the
//! order of `Expert::ALL`, are bit-equal to its score. The scan reads 8-bit codes and scores again in f32 whatever the known
//! error leaves undecided, so the order is that of f32.
//! Deliberately absent: a standing pool of candidates. Each ranking scores all open items, which 10,000 items allow.

mod types;
pub mod explore;
pub mod list;
mod scorer;
mod scan;
pub mod similar;
pub mod steer;
pub mod stage;

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use crate::domain::feeds::{Contribution, Expert, FeedItem, Ranking};
use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::catalogue::block::BLOCK;
use crate::engine::evidence::user_profile::UserProfile;
use crate::engine::features::{Features, Row, Shares, at};
use crate::engine::world::World;
use scorer::Scorer;
use steer::Steering;
use types::{Candidates, Scored};

pub use types::{RankRequest, Ranked, Viewport};

/// Least number of newest items that the topic feed re-sorts.
pub(crate) const FLAT_SPAN: usize = 500;

/// A request for at least the catalogue divided by this number is scored by whole blocks, which is faster and gives
/// equal bits.
const PART_OF_ALL: usize = 2;

/// Ranks the best `request.limit` items of `open` for this person at `now`.
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
            let weight_of =
                |item| if request.ranking == Ranking::Topics { scorer.experts.topic.strongest_of(item) } else { 0.0 };
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
            // The order is by time, so no score keeps an item out.
            Ranked { items: items.collect(), entry_threshold: f32::NEG_INFINITY }
        }
    }
}

/// Ranks the best `request.limit` items that the steering admits, with its boosts in their scores. Contributions of experts
/// and [`Steering::boosts_of`] add up to a score. The `flat` and `topics` rankings take no boosts and no factors.
#[must_use]
pub fn steered(
    world: &World,
    profile: &UserProfile<'_>,
    now: Millis,
    request: RankRequest,
    steering: &Steering,
) -> Vec<FeedItem> {
    let open = steering.candidates(world, now);
    if !request.ranking.is_log_odds() || !steering.needs_log_odds() {
        return rank(world, &open, profile, now, request, Viewport::default()).items;
    }
    let candidates = Candidates(&open - profile.hidden);
    let additions = steering.additions(world);
    let boosted = |id: u32, score: f32| additions.get(id as usize).map_or(score, |addition| score + addition);
    if request.ranking == Ranking::Tower {
        let everything = RankRequest { limit: usize::MAX, ..request };
        let all = by_tower(world, profile, &candidates, now, everything).items;
        let mut all: Vec<FeedItem> =
            all.into_iter().map(|one| FeedItem { score: boosted(one.item.0, one.score), ..one }).collect();
        // A stable sort: equal scores keep their order.
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all.truncate(request.limit);
        return all;
    }
    let scorer = Scorer::with_factors(world, profile, now, &steering.factors);
    let reach = world.settings().rank.reach(request.limit);
    let best = select(scorer.adjusted_contenders(&candidates, reach, boosted), reach, by_score);
    let mut items = stage::stage(world, profile, Viewport::default(), best, request.limit).items;
    if request.explain {
        for one in &mut items {
            one.why = contributions(scorer.shares(one.item));
        }
    }
    items
}

/// Ranks by the two-tower model alone, with one scan over its vectors. Without a model the newest items come first.
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

/// The feature rows of these items, in their order. The features of an unknown item are 0.
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
pub(crate) fn topics_score(features: &Features) -> f32 {
    features[at::TOPIC] + features[at::FRESHNESS]
}

/// Score of the `model` or `tower` ranking for one item alone, bit-equal to its score in a feed. It reads only the parts of the
/// profile that concern this item.
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

/// Orders by score, then newest first, then by id. Freshness favours the newer item while f32 can separate two ages. An order
/// by id alone would flip once both ages round to one number.
fn by_score(a: &Scored, b: &Scored) -> Ordering {
    b.score.total_cmp(&a.score).then(b.created.cmp(&a.created)).then(a.item.cmp(&b.item))
}

fn by_time(a: &Scored, b: &Scored) -> Ordering {
    b.created.cmp(&a.created).then(a.item.cmp(&b.item))
}

/// The first `limit` in order, by a partial sort: a feed is short, a catalogue is long.
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

#[cfg(test)]
mod tests;
