//! Topic: the person's weight of the item's topics, and the approval of its main topic by all people and by the person.
//!
//! Invariant: without a topic weight or an opinion all features are 0.
//! Deliberately absent: the decay of topic weights (`learners::person::topics`).

use crate::domain::ids::{ItemId, TopicId};
use crate::domain::items::Item;

use super::expertise::{BlockRows, Context, Expertise, ItemRow, Lane, add_shares, look_up};
use crate::engine::catalogue::block::{BLOCK, Block, NO_TOPIC};

/// Prepared for one person at one instant.
pub struct Topic<'a> {
    context: Context<'a>,
    /// The person's weights by topic; empty before [`Expertise::prepare`].
    weights: Vec<f32>,
    /// Shares by main topic of items that have no other topic; empty before [`Expertise::prepare`].
    shares: Vec<f32>,
    /// Weighted approvals by main topic: of all people, and of the person; empty before [`Expertise::prepare`].
    approvals: Vec<[f32; 2]>,
}

impl<'a> Expertise<'a, 3> for Topic<'a> {
    const NAMES: [&'static str; 3] = ["topic", "topic_approval", "own_topic_approval"];
    const ALONE: [f32; 3] = [1.0, 0.5, 0.5];
    /// A full interest outweighs a day of age and an undecided online model.
    const FIRST_AMOUNT: f32 = 1.5;

    fn of(context: Context<'a>) -> Self {
        Topic { context, weights: Vec::new(), shares: Vec::new(), approvals: Vec::new() }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 3]) {
        let topic = item.columns.topic[item.row];
        let (received, own) = self.approvals(topic);
        let has_others = item.columns.further[item.row][0] != NO_TOPIC;
        let weight = if has_others { self.strongest_in(item.block, item.row) } else { self.weight_of(topic) };
        *out = [weight, received, own];
    }

    fn prepare(&mut self, weights: &[f32; 3]) {
        let topics = (0..self.context.store.topics_len()).map(TopicId);
        self.weights = topics.clone().map(|topic| self.weight_of(topic)).collect();
        let approvals = |topic| {
            let (received, own) = self.approvals(topic);
            [weights[1] * received, weights[2] * own]
        };
        self.approvals = topics.clone().map(approvals).collect();
        self.shares = topics.map(|topic| self.share(weights, topic, self.weight_of(topic))).collect();
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 3], scores: &mut Lane) {
        let mut shares = [0.0; BLOCK];
        let topics = block.columns.topic.iter().zip(&block.columns.further).enumerate();
        for (share, (row, (topic, further))) in shares.iter_mut().zip(topics) {
            *share = match further[0] {
                NO_TOPIC => self.shares.get(topic.0 as usize).copied().unwrap_or_default(),
                _ => self.share(weights, *topic, self.strongest_in(block.block, row)),
            };
        }
        add_shares(&shares, scores);
    }
}

impl Topic<'_> {
    /// The person's greatest weight among the topics of an item; 0 for an unknown item.
    pub(crate) fn strongest_of(&self, item: ItemId) -> f32 {
        self.context.store.item(item).map_or(0.0, |item| self.strongest(item))
    }

    /// The person's greatest weight among the topics of a row, from the columns where they hold all of them.
    #[inline(always)]
    fn strongest_in(&self, block: &Block, row: usize) -> f32 {
        let columns = block.columns();
        if columns.more_topics[row] {
            return block.items().get(row).map_or(0.0, |item| self.strongest(item));
        }
        let further = columns.further[row].iter().take_while(|topic| **topic != NO_TOPIC);
        further.fold(self.weight_of(columns.topic[row]).max(0.0), |most, topic| most.max(self.weight_of(*topic)))
    }

    fn strongest(&self, item: &Item) -> f32 {
        item.topics.iter().map(|topic| self.weight_of(*topic)).fold(0.0, f32::max)
    }

    #[inline]
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

    /// The share of an item by its main topic, from the products of [`Expertise::prepare`].
    #[inline]
    fn share(&self, w: &[f32; 3], main: TopicId, weight: f32) -> f32 {
        let [received, own] = self.approvals.get(main.0 as usize).copied().unwrap_or_default();
        w[0] * weight + received + own
    }
}
