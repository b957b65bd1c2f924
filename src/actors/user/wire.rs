//! Renders feeds of the engine as messages of the protocol, and messages as frames.
//!
//! Invariant: each frame is one encoded `ServerMessage`.

use bytestring::ByteString;

use crate::actors::session::Frame;
use crate::domain::feeds::FeedItem;
use crate::domain::time::Millis;
use crate::engine::delivery::patch::Step;
use crate::engine::delivery::standing::{Face, StandingFeed};
use crate::engine::world::World;
use crate::protocol::server::{FeedMessage, Op, Patch, ServerMessage, Timing, Why, WireItem};

/// The items of a feed as clients see them at `now`. `likely` holds the probability of a yes to each item, or is empty.
#[must_use]
pub fn wire_items(world: &World, feed: &[FeedItem], likely: &[f32], now: Millis) -> Vec<WireItem> {
    let face =
        |(position, one): (usize, &FeedItem)| Some(wire_item(position, one, likely, &Face::of(world, one.item, now)?));
    feed.iter().enumerate().filter_map(face).collect()
}

/// The items of a feed whose faces are known.
#[must_use]
pub fn with_faces(feed: &[FeedItem], likely: &[f32], faces: &[Face]) -> Vec<WireItem> {
    let both = feed.iter().zip(faces).enumerate();
    both.map(|(position, (one, face))| wire_item(position, one, likely, face)).collect()
}

fn wire_item(position: usize, one: &FeedItem, likely: &[f32], face: &Face) -> WireItem {
    WireItem {
        item: face.key.clone(),
        author: face.author.clone(),
        topic: face.topic.clone(),
        text: face.text.clone(),
        at: face.created,
        available_until: face.available_until,
        expected_until: face.expected_until,
        live: face.is_live,
        score: one.score,
        likely: likely.get(position).copied(),
        position: position as u32,
        why: one.why.iter().map(|line| Why { expert: line.expert, amount: line.amount }).collect(),
    }
}

/// The text of a whole feed.
#[must_use]
pub(crate) fn feed_frame(standing: &StandingFeed, timing: Option<Timing>) -> ByteString {
    encoded(&ServerMessage::Feed(FeedMessage {
        version: standing.feed.version,
        epoch: standing.feed.epoch,
        ranking: standing.feed.ranking,
        model_version: standing.feed.model,
        cause: Some(standing.cause.clone()),
        timing,
        items: with_faces(&standing.feed.items, &standing.feed.likely, &standing.faces),
    }))
}

/// The text of the difference between `base` and a newer feed.
#[must_use]
pub(crate) fn patch_frame(base: &StandingFeed, standing: &StandingFeed, timing: Option<Timing>) -> ByteString {
    encoded(&ServerMessage::Patch(Patch {
        version: standing.feed.version,
        base: base.feed.version,
        epoch: standing.feed.epoch,
        model_version: standing.feed.model,
        cause: Some(standing.cause.clone()),
        timing,
        ops: ops(base, standing),
    }))
}

fn ops(base: &StandingFeed, standing: &StandingFeed) -> Vec<Op> {
    let item = |feed: &StandingFeed, id| {
        let position = feed.position(id)?;
        let (one, face) = (feed.feed.items.get(position)?, feed.faces.get(position)?);
        Some(wire_item(position, one, &feed.feed.likely, face))
    };
    let op = |step| match step {
        Step::Remove { item: id } => item(base, id).map(|one| Op::Remove { item: one.item }),
        Step::Move { item: id, position } => item(standing, id).map(|one| Op::Move { item: one.item, position }),
        Step::Insert { item: id, .. } => item(standing, id).map(|item| Op::Insert { item }),
        Step::Update { item: id } => item(standing, id).map(|item| Op::Update { item }),
    };
    standing.steps_from(base).into_iter().filter_map(op).collect()
}

/// The frame of a message that is neither a feed nor a patch.
#[must_use]
pub fn encode(message: &ServerMessage) -> Frame {
    Frame::Encoded(encoded(message))
}

fn encoded(message: &ServerMessage) -> ByteString {
    // Plain data with string keys always serialises to JSON. An empty frame would be refused by every client.
    serde_json::to_string(message).map(ByteString::from).unwrap_or_default()
}
