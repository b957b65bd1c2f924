//! From the engine's feeds to the wire's, and to bytes.
//!
//! Invariant: what is encoded here is a `ServerMessage`; a frame is encoded once and shared by all sessions that get it.

use bytestring::ByteString;

use crate::domain::feeds::{Cause, Feed, FeedItem, Ranking};
use crate::domain::ids::{FeedVersion, ItemId, ModelVersion};
use crate::domain::time::Millis;
use crate::engine::rank::diff::{Step, diff};
use crate::engine::rank::refresh::moved;
use crate::engine::world::World;
use crate::protocol::server::{FeedMessage, Op, Patch, ServerMessage, Timing, Why, WireItem};

/// Scores that moved less than this are not worth an `update`.
const SCORE_STEP: f32 = 0.01;
/// Probabilities that moved less than this are not, either: half of what a page shows of them.
const LIKELY_STEP: f32 = 0.005;

/// A feed as it was shown: the engine's, and how clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// What was ranked.
    pub feed: Feed,
    /// Who scores below this does not enter it.
    pub floor: f32,
    /// What is sent; same order.
    pub items: Vec<WireItem>,
    /// What made it.
    pub cause: Cause,
    /// When it was ranked.
    pub made: Millis,
    /// The version that names its noise: its own, or that of the feed that it refreshed.
    pub noise: FeedVersion,
    /// What was on the screen when it was ranked, from the top.
    pub drawn: Vec<ItemId>,
}

impl Shown {
    /// Is there news beside scores, reasons and expected ends: an entry, the order, or the face of an item?
    #[must_use]
    pub fn differs_from(&self, before: &Shown) -> bool {
        let faces = || self.items.iter().zip(&before.items).any(|(new, old)| has_another_face(old, new));
        moved(&before.feed.items, &self.feed.items) || faces()
    }
}

/// The items of a feed as clients see them at `now`, with the probability of a yes to each where `likely` has one.
#[must_use]
pub fn wire_items(world: &World, feed: &[FeedItem], likely: &[f32], now: Millis) -> Vec<WireItem> {
    feed.iter()
        .enumerate()
        .filter_map(|(position, one)| {
            let item = world.item(one.item)?;
            let window = item.windows.at(now);
            Some(WireItem {
                item: item.key.clone(),
                author: item.author.as_ref().map(|author| author.key.clone()),
                topic: item.topics.first().and_then(|topic| world.topic(*topic)).cloned(),
                text: item.text.clone(),
                at: item.created,
                available_until: window.and_then(|window| window.stop),
                expected_until: window.and_then(|_| world.expected_ends().of(one.item)).filter(|until| *until > now),
                live: window.is_some(),
                score: one.score,
                likely: likely.get(position).copied(),
                position: position as u32,
                why: one.why.iter().map(|line| Why { expert: line.expert, amount: line.amount }).collect(),
            })
        })
        .collect()
}

/// The two-tower model that has a say in feeds of this ranking, in this world.
#[must_use]
pub fn model_of(world: &World, ranking: Ranking) -> Option<ModelVersion> {
    world.tower().filter(|_| ranking.asks_the_tower()).map(|tower| tower.version())
}

/// The whole feed as a frame.
#[must_use]
pub fn feed_frame(shown: &Shown, timing: Option<Timing>) -> ByteString {
    encode(&ServerMessage::Feed(FeedMessage {
        version: shown.feed.version,
        epoch: shown.feed.epoch,
        ranking: shown.feed.ranking,
        model_version: shown.feed.model,
        cause: Some(shown.cause.clone()),
        timing,
        items: shown.items.clone(),
    }))
}

/// What changed since `base` as a frame.
#[must_use]
pub fn patch_frame(base: &Shown, shown: &Shown, timing: Option<Timing>) -> ByteString {
    encode(&ServerMessage::Patch(Patch {
        version: shown.feed.version,
        base: base.feed.version,
        epoch: shown.feed.epoch,
        model_version: shown.feed.model,
        cause: Some(shown.cause.clone()),
        timing,
        ops: ops(base, shown),
    }))
}

fn ops(base: &Shown, shown: &Shown) -> Vec<Op> {
    let ids = |shown: &Shown| shown.feed.items.iter().map(|one| one.item).collect::<Vec<ItemId>>();
    let changed = |id: &ItemId| match (find(base, id), find(shown, id)) {
        (Some(old), Some(new)) => another_number(old, new) || has_another_face(old, new),
        _ => false,
    };
    let find = |shown, id: &ItemId| find(shown, id).cloned();
    diff(&ids(base), &ids(shown), changed)
        .into_iter()
        .filter_map(|step| match step {
            Step::Remove { item } => find(base, &item).map(|one| Op::Remove { item: one.item }),
            Step::Move { item, position } => find(shown, &item).map(|one| Op::Move { item: one.item, position }),
            Step::Insert { item, .. } => find(shown, &item).map(|item| Op::Insert { item }),
            Step::Update { item } => find(shown, &item).map(|item| Op::Update { item }),
        })
        .collect()
}

fn find<'a>(shown: &'a Shown, id: &ItemId) -> Option<&'a WireItem> {
    shown.feed.items.iter().position(|one| one.item == *id).and_then(|at| shown.items.get(at))
}

/// Did the score move by a step, or the probability beside it?
fn another_number(old: &WireItem, new: &WireItem) -> bool {
    let likely = match (old.likely, new.likely) {
        (Some(old), Some(new)) => (old - new).abs() >= LIKELY_STEP,
        (old, new) => old.is_some() != new.is_some(),
    };
    likely || (old.score - new.score).abs() >= SCORE_STEP
}

/// Is anything different but score, place and reasons, and when it is expected to end? That moves with every second, and
/// says as much as it did.
fn has_another_face(old: &WireItem, new: &WireItem) -> bool {
    let WireItem {
        item,
        author,
        topic,
        text,
        at,
        available_until,
        expected_until: _,
        live,
        score: _,
        likely: _,
        position: _,
        why: _,
    } = old;
    (item, author, topic, text, at, available_until, live)
        != (&new.item, &new.author, &new.topic, &new.text, &new.at, &new.available_until, &new.live)
}

/// A message as a frame.
#[must_use]
pub fn encode(message: &ServerMessage) -> ByteString {
    // Plain data with string keys has no way to fail in JSON; an empty frame would be refused by every client.
    serde_json::to_string(message).map(ByteString::from).unwrap_or_default()
}
