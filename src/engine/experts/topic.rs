//! Topic: the person's weight of the item's topics, and the approval of its main topic by all people and by the person.
//!
//! Invariant: without a topic weight or an opinion all features are 0.
//! Deliberately absent: the decay of topic weights (`learners::person::topics`).

use crate::domain::ids::{ItemId, TopicId};
use crate::domain::items::Item;

use super::expertise::{BlockRows, Context, Expertise, ItemRow, Lane, add_shares, look_up};
use crate::engine::catalogue::block::BLOCK;

/// Prepared for one person at one instant.
pub struct Topic<'a> {
    context: Context<'a>,
    /// The person's weights by topic; empty before [`Expertise::prepare`].
    weights: Vec<f32>,
    /// Shares by main topic of items that have no other topic; empty before [`Expertise::prepare`].
    shares: Vec<f32>,
}

impl<'a> Expertise<'a, 3> for Topic<'a> {
    const NAMES: [&'static str; 3] = ["topic", "topic_approval", "own_topic_approval"];
    const ALONE: [f32; 3] = [1.0, 0.5, 0.5];
    /// A full interest outweighs a day of age and an undecided online model.
    const FIRST_AMOUNT: f32 = 1.5;

    fn of(context: Context<'a>) -> Self {
        Topic { context, weights: Vec::new(), shares: Vec::new() }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 3]) {
        let topic = item.columns.topic[item.row];
        let all = if item.columns.more_topics[item.row] { item.block.items().get(item.row) } else { None };
        let (received, own) = self.approvals(topic);
        *out = [all.map_or_else(|| self.weight_of(topic), |item| self.strongest(item)), received, own];
    }

    fn prepare(&mut self, weights: &[f32; 3]) {
        let topics = (0..self.context.store.topics_len()).map(TopicId);
        self.weights = topics.clone().map(|topic| self.weight_of(topic)).collect();
        self.shares = topics.map(|topic| self.share(weights, topic, self.weight_of(topic))).collect();
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 3], scores: &mut Lane) {
        let mut shares = [0.0; BLOCK];
        for (share, topic) in shares.iter_mut().zip(&block.columns.topic) {
            *share = self.shares.get(topic.0 as usize).copied().unwrap_or_default();
        }
        for row in places(&block.columns.more_topics) {
            shares[row] = self.share(weights, block.columns.topic[row], self.strongest(&block.block.items()[row]));
        }
        add_shares(&shares, scores);
    }
}

impl Topic<'_> {
    /// The person's greatest weight among the topics of an item; 0 for an unknown item.
    pub(crate) fn strongest_of(&self, item: ItemId) -> f32 {
        self.context.store.item(item).map_or(0.0, |item| self.strongest(item))
    }

    fn strongest(&self, item: &Item) -> f32 {
        item.topics.iter().map(|topic| self.weight_of(*topic)).fold(0.0, f32::max)
    }

    fn weight_of(&self, topic: TopicId) -> f32 {
        if let Some(weight) = self.weights.get(topic.0 as usize) {
            return *weight;
        }
        look_up(&self.context.profile.topics, topic)
    }

    /// Log-odds of the topic's approval over all people, and of the person's approval over that.
    fn approvals(&self, topic: TopicId) -> (f32, f32) {
        (self.context.store.popularity().topic_approval(topic), look_up(&self.context.profile.opinions, topic))
    }

    fn share(&self, w: &[f32; 3], main: TopicId, weight: f32) -> f32 {
        let (received, own) = self.approvals(main);
        w[0] * weight + w[1] * received + w[2] * own
    }
}

/// The places of marks. Most often there is none, which one pass over all marks finds out.
fn places(marks: &[bool]) -> impl Iterator<Item = usize> + '_ {
    let any = marks.iter().fold(false, |any, mark| any | mark);
    let marks = if any { marks } else { &[] };
    marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(place, _)| place)
}
