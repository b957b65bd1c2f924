//! What the blend weighs of an item for one person, and the score that comes of it.
//!
//! Invariant: the same item, person, world and instant give the same row wherever they are asked for.
//! Absent on purpose: choosing and ordering (the module above), and the whole catalogue at once (`scan`).

use std::cell::Cell;

use crate::domain::ids::{ItemId, TopicId, UserId};
use crate::domain::items::Item;
use crate::domain::time::{MINUTE_MS, Millis};
use crate::engine::learn::cluster_popularity::ClusterLifts;
use crate::engine::learn::features::{Features, Row, Segment, Shares, at, range, shares};
use crate::engine::learn::repeat::Clock;
use crate::engine::learn::visitors::PHASES;
use crate::engine::simd::{dot, ln_of};
use crate::engine::tower::{Tower, TowerVector};
use crate::engine::world::{BLOCK, Columns, NOBODY, Vectors, World};

use super::item_evidence::ItemEvidence;
use super::{ONLINE_MAX, TOWER_MAX, UserProfile};

/// "Just opened" fades by half within this.
const OPENING_HALF_MS: f32 = 2.0 * MINUTE_MS as f32;

/// After this nothing of it is left.
pub const OPENING_LASTS_MS: i64 = 60 * MINUTE_MS;

/// One over the company that counts as much as none at all.
pub const CO_AUDIENCE_UNIT: f32 = 100.0;

/// What is left of an opening so many milliseconds ago.
pub fn just_opened(age: f32) -> f32 {
    (-age / OPENING_HALF_MS).exp2()
}

/// The score: the shares in the order of `Expert::ALL`.
pub fn sum(shares: Shares) -> f32 {
    shares.into_iter().fold(0.0, |a, b| a + b)
}

/// Scores items for one person at one instant.
pub struct Scorer<'a> {
    pub(super) world: &'a World,
    pub(super) profile: &'a UserProfile<'a>,
    pub(super) now: Millis,
    clock: Clock,
    /// Of the clock.
    pub(super) phases: [f32; PHASES],
    pub(super) evidence: ItemEvidence,
    /// By topic id.
    topic_weights: Vec<f32>,
    /// `w . m` by main topic; 0 where the topic has no centre.
    centre_dots: Vec<f32>,
    /// The last one that was asked for and does not stand there: a few items are often about the same.
    last_dot: Cell<Option<(TopicId, f32)>>,
    pub(super) freshness_half: f32,
    pub(super) novelty: f32,
    pub(super) session_depth: f32,
    pub(super) tower: Option<(&'a Tower, &'a TowerVector)>,
    /// What their group goes to.
    pub(super) cluster: Option<&'a ClusterLifts>,
    /// By [`Segment::index`].
    pub(super) weights: [Features; 2],
}

impl<'a> Scorer<'a> {
    /// For these items, and no others: looks up what they need. Their rows are those that [`Scorer::of_many`] gives them.
    pub fn of_these(items: &[ItemId], world: &'a World, profile: &'a UserProfile<'a>, now: Millis) -> Self {
        Scorer::with(ItemEvidence::of_these(items, world, profile, now), world, profile, now)
    }

    fn with(evidence: ItemEvidence, world: &'a World, profile: &'a UserProfile<'a>, now: Millis) -> Self {
        let clock = Clock::at(now);
        let served = |segment| world.blend().served(segment, profile.offset);
        Scorer {
            world,
            profile,
            now,
            clock,
            phases: clock.phases(),
            evidence,
            topic_weights: Vec::new(),
            centre_dots: Vec::new(),
            last_dot: Cell::new(None),
            freshness_half: world.settings().freshness_half_ms as f32,
            novelty: profile.visits.novelty(),
            tower: world.tower().map(AsRef::as_ref).zip(profile.tower.as_ref()),
            session_depth: 0.3 * (1.0 + profile.session as f32).ln(),
            cluster: profile.group.and_then(|group| world.cluster_popularity().of(group)),
            weights: [served(Segment::New), served(Segment::Seen)],
        }
    }

    /// For the whole catalogue: what depends on the topic alone is computed once.
    pub fn of_many(world: &'a World, profile: &'a UserProfile<'a>, now: Millis) -> Self {
        let few = Scorer::with(ItemEvidence::gather(world, profile, now), world, profile, now);
        let topics = (0..world.topics_len()).map(TopicId);
        let topic_weights = topics.clone().map(|topic| few.weight_of(topic)).collect();
        let centre_dots = topics.map(|topic| few.centre_dot(topic)).collect();
        Scorer { topic_weights, centre_dots, ..few }
    }

    pub(super) fn weight_of(&self, topic: TopicId) -> f32 {
        if let Some(weight) = self.topic_weights.get(topic.0 as usize) {
            return *weight;
        }
        look_up(&self.profile.topics, topic)
    }

    fn centre_dot(&self, topic: TopicId) -> f32 {
        if let Some(dot) = self.centre_dots.get(topic.0 as usize) {
            return *dot;
        }
        if let Some((_, dot)) = self.last_dot.get().filter(|(last, _)| *last == topic) {
            return dot;
        }
        let centre = self.world.centre_of(topic);
        let dot = self.profile.weights.and_then(|w| self.world.centre(centre).map(|m| dot(w, m.mean()))).unwrap_or(0.0);
        self.last_dot.set(Some((topic, dot)));
        dot
    }

    /// The strongest weight among an item's topics.
    pub fn topic_weight(&self, item: ItemId) -> f32 {
        self.world.item(item).map_or(0.0, |item| self.strongest(item))
    }

    /// The same of an item at hand.
    pub(super) fn strongest(&self, item: &Item) -> f32 {
        item.topics.iter().map(|topic| self.weight_of(*topic)).fold(0.0, f32::max)
    }

    /// How a topic is received by everybody, and by this person over that.
    pub(super) fn topic_approvals(&self, topic: TopicId) -> (f32, f32) {
        (self.world.popularity().topic_approval(topic), look_up(&self.profile.opinions, topic))
    }

    /// Is an author followed, and how often did the person come for them: the features, 0 of a stranger.
    pub(super) fn author(&self, author: u32) -> (f32, f32) {
        let visits = look_up(&self.profile.authors, UserId(author));
        (f32::from(u8::from(self.is_followed(author))), 0.5 * visits.ln_1p())
    }

    fn freshness(&self, created: Millis) -> f32 {
        self.freshness_half / (self.freshness_half + self.now.since(created) as f32)
    }

    pub(super) fn is_followed(&self, author: u32) -> bool {
        author != NOBODY && self.profile.follows.binary_search(&UserId(author)).is_ok()
    }

    /// `w . (x - m) / ||x - m||`, from `w . x`, and what the person's quadratic form for that centre adds.
    pub(super) fn online(&self, w_x: f32, columns: &Columns, row: usize) -> f32 {
        let inverse_norm = columns.inverse_norm[row];
        // An item that is its own centre lies nowhere, and nothing is said of it.
        if inverse_norm <= 0.0 {
            return 0.0;
        }
        let mut online = (w_x - self.centre_dot(columns.topic[row])) * inverse_norm;
        let centre = columns.centre[row];
        if let Some((_, form)) = self.profile.forms.iter().find(|(known, _)| *known == centre) {
            online += form.value(&columns.coordinates[row]);
        }
        online.clamp(-ONLINE_MAX, ONLINE_MAX)
    }

    /// What the blend weighs of an item, into `out`, which is all zeros and stays so for one that this world does not know.
    pub fn describe(&self, id: ItemId, out: &mut Row) {
        let (index, row) = (id.0 as usize / BLOCK, id.0 as usize % BLOCK);
        let Some(block) = self.world.blocks().get(index).filter(|block| row < block.items().len()) else {
            return;
        };
        let columns = block.columns();
        let online = self.profile.weights.map_or(0.0, |w| self.online(dot(w, block.embedding(row)), columns, row));
        out.segment = self.with_online(id, columns, row, online, &mut out.features);
    }

    pub(super) fn with_online(
        &self,
        id: ItemId,
        columns: &Columns,
        row: usize,
        online: f32,
        out: &mut Features,
    ) -> Segment {
        let topic = columns.topic[row];
        out[at::ONLINE] = online;
        out[at::TOPIC] = if columns.more_topics[row] { self.topic_weight(id) } else { self.weight_of(topic) };
        (out[at::TOPIC_APPROVAL], out[at::OWN_TOPIC_APPROVAL]) = self.topic_approvals(topic);
        out[at::FRESHNESS] = self.freshness(columns.created[row]);
        let author = columns.author[row];
        if author != NOBODY {
            (out[at::FOLLOWED], out[at::AUTHOR_VISITS]) = self.author(author);
        }
        self.world.popularity().describe(id, out);
        self.world.popularity().visitors().describe(id, &self.phases, out);
        if let Some(cluster) = self.cluster {
            out[at::POPULARITY_CLUSTER] = cluster.popularity(id, out[at::POPULARITY_1D]);
        }
        if let Some((tower, person)) = self.tower {
            out[at::TOWER] = tower.log_odds(person, id).clamp(-TOWER_MAX, TOWER_MAX);
        }
        out[at::OWN_APPROVAL] = self.profile.approval;
        out[at::SESSION_DEPTH] = self.session_depth;
        let window =
            if columns.windowed[row] { self.world.item(id).and_then(|item| item.windows.at(self.now)) } else { None };
        let opened = window.map(|window| window.start);
        if !columns.windowed[row] {
            // What has no windows opened when it was made.
            let age = self.now.since(columns.created[row]);
            if age < OPENING_LASTS_MS {
                out[at::JUST_OPENED] = just_opened(age as f32);
            }
        }
        if let Some(window) = window {
            let until = window.stop.or_else(|| self.world.expected_ends().of(id));
            if let Some(until) = until {
                let rest = until.since(self.now) as f32 / MINUTE_MS as f32;
                out[at::REMAINING] = 0.3 * (1.0 + rest / 10.0).ln();
            }
            let opened = window.start;
            let age = self.now.since(opened) as f32;
            out[at::SINCE_OPENING] = 0.3 * (1.0 + age / (10.0 * MINUTE_MS as f32)).ln();
            out[at::JUST_OPENED] = just_opened(age);
        }
        let slot = self.evidence.of(id);
        // Most have none of these, and logarithms cost.
        if slot.friends > 0.0 {
            out[at::FRIENDS] = 0.5 * (1.0 + slot.friends).ln();
        }
        if slot.next > 0.0 {
            out[at::CO_VISIT] = 0.3 * (1.0 + slot.next / 0.003).ln();
        }
        let co_audience = self.evidence.co_audience(id);
        if co_audience > 0.0 {
            out[at::CO_AUDIENCE] = 0.5 * ln_of(1.0 + co_audience * CO_AUDIENCE_UNIT);
        }
        let segment = match slot.visit.checked_sub(1).map(usize::from) {
            Some(rank) => {
                self.profile.visits.describe(rank, self.now, opened, &self.clock, out);
                out[at::NOVELTY] = -self.novelty;
                out[at::AT_THIS_HOUR] = 0.5 * (slot.hours.hour + 0.05).ln();
                out[at::LATELY_AT_THIS_HOUR] = 0.5 * (slot.hours.lately + 0.05).ln();
                out[at::AT_THIS_WEEKDAY] = 0.5 * (slot.hours.weekday + 0.05).ln();
                // Most have none of it, and logarithms cost.
                if slot.hours.next > 0.0 {
                    out[at::OWN_NEXT] = 0.5 * (1.0 + slot.hours.next / 0.1).ln();
                }
                Segment::Seen
            }
            None => {
                out[at::NOVELTY] = self.novelty;
                out[at::NEWCOMERS] = self.world.popularity().visitors().newcomers(id);
                Segment::New
            }
        };
        for expert in &self.world.settings().without {
            let (begin, end) = range(*expert);
            out[begin..end].fill(0.0);
        }
        segment
    }

    /// The shares of the experts in an item's score.
    pub fn shares(&self, item: ItemId) -> Shares {
        let mut row = Row::NOTHING;
        self.describe(item, &mut row);
        shares(&self.weights[row.segment.index()], &row.features)
    }

    /// An item's score.
    pub fn score(&self, item: ItemId) -> f32 {
        sum(self.shares(item))
    }
}

/// The value of a key in a list that is sorted by key; 0 where it is not.
fn look_up<K: Ord + Copy>(sorted: &[(K, f32)], key: K) -> f32 {
    sorted.binary_search_by_key(&key, |(key, _)| *key).map_or(0.0, |index| sorted[index].1)
}
