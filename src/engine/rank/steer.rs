//! Steering of one ranking by its request: filters, exclusions, boosts, and factors for the experts.
//!
//! Invariant: steering reads the catalogue only and changes no learned state. A boost adds to the log-odds, so it multiplies
//! the odds. Unavailable items are never candidates.
//! Deliberately absent: keys and limits of a request, which the gateway checks.

use roaring::RoaringBitmap;
use serde_json::Value;

use crate::domain::feeds::Expert;
use crate::domain::ids::{ItemId, TopicId, UserId};
use crate::domain::time::Millis;
use crate::engine::catalogue::block::{BLOCK, Block, Marks, place};
use crate::engine::world::World;

/// Factors of the experts' weights, in the order of `Expert::ALL`; 1 leaves an expert as it is.
pub type Factors = [f32; Expert::ALL.len()];

/// What a request asks of a ranking beside its person.
#[derive(Clone, Debug, PartialEq)]
pub struct Steering {
    /// Conditions that each item has to meet.
    pub required: Vec<Target>,
    /// Earliest creation time of an item.
    pub created_after: Option<Millis>,
    /// Latest creation time of an item.
    pub created_before: Option<Millis>,
    /// The instant at which an item has to be available; the instant of the ranking when absent.
    pub available_at: Option<Millis>,
    /// Items that are left out.
    pub excluded: Vec<ItemId>,
    /// Additions to the scores of some items.
    pub boosts: Vec<Boost>,
    /// Factors of the experts in the `model` ranking.
    pub factors: Factors,
}

impl Default for Steering {
    fn default() -> Self {
        Steering {
            required: Vec::new(),
            created_after: None,
            created_before: None,
            available_at: None,
            excluded: Vec::new(),
            boosts: Vec::new(),
            factors: [1.0; Expert::ALL.len()],
        }
    }
}

/// A group of items.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Items of this topic, main or further.
    Topic(TopicId),
    /// Items of this author.
    Author(UserId),
    /// Items whose attribute has this value, or a list with this value.
    Attribute(String, Value),
    /// The item of this id.
    Item(ItemId),
    /// No item: the name in the request is unknown.
    Nothing,
}

/// A boost of a group of items.
#[derive(Clone, Debug, PartialEq)]
pub struct Boost {
    /// The boosted items.
    pub target: Target,
    /// The addition to their log-odds: the logarithm of the factor of the odds.
    pub log_odds: f32,
}

impl Target {
    /// Marks the rows of a block that are in the group.
    fn mark(&self, block: &Block, marks: &mut Marks) {
        let columns = block.columns();
        match self {
            Target::Topic(topic) => {
                for (mark, (main, further)) in marks.iter_mut().zip(columns.topic.iter().zip(&columns.further)) {
                    *mark |= main == topic || further.iter().fold(false, |has, one| has | (one == topic));
                }
                for (mark, (row, _)) in
                    marks.iter_mut().zip(columns.more_topics.iter().enumerate()).filter(|one| *one.1.1)
                {
                    *mark |= block.items().get(row).is_some_and(|item| item.topics.contains(topic));
                }
            }
            Target::Author(author) => {
                for (mark, one) in marks.iter_mut().zip(&columns.author) {
                    *mark |= *one == author.0;
                }
            }
            Target::Attribute(name, value) => {
                let text = |row: usize| block.items().get(row).and_then(|item| item.attributes.as_deref());
                block.attributes.mark(name, value, text, marks);
            }
            Target::Item(wanted) => {
                let (_, row) = place(*wanted);
                marks[row] |= block.items().get(row).is_some_and(|item| item.id == *wanted);
            }
            Target::Nothing => {}
        }
    }

    /// The marks of the rows of a block that are in the group.
    fn marks(&self, block: &Block) -> Marks {
        let mut marks = [false; BLOCK];
        self.mark(block, &mut marks);
        marks
    }
}

impl Steering {
    /// Whether the ranking needs log-odds: there are boosts, or factors other than 1.
    #[must_use]
    pub fn needs_log_odds(&self) -> bool {
        !self.boosts.is_empty() || self.factors != Steering::default().factors
    }

    /// Items that may be ranked at `now`: available, not excluded, and with all that is required.
    #[must_use]
    pub fn candidates(&self, world: &World, now: Millis) -> RoaringBitmap {
        let mut open = (*world.open_at(self.available_at.unwrap_or(now))).clone();
        for item in &self.excluded {
            open.remove(item.0);
        }
        if self.required.is_empty() && self.created_after.is_none() && self.created_before.is_none() {
            return open;
        }
        let (earliest, latest) =
            (self.created_after.unwrap_or(Millis::MIN), self.created_before.unwrap_or(Millis::MAX));
        open &= members(world, &self.required, |created| (earliest..=latest).contains(&created));
        open
    }

    /// The sum of the boosts of each item, by id; empty without boosts.
    pub(super) fn additions(&self, world: &World) -> Vec<f32> {
        if self.boosts.is_empty() {
            return Vec::new();
        }
        let mut all = vec![0.0; world.blocks().len() * BLOCK];
        for ((_, block), all) in blocks(world).zip(all.as_chunks_mut::<BLOCK>().0) {
            for boost in &self.boosts {
                for (sum, has) in all.iter_mut().zip(boost.target.marks(block)) {
                    *sum += if has { boost.log_odds } else { 0.0 };
                }
            }
        }
        all
    }

    /// The boosts of an item: the place of each in the request, and its addition to the score.
    #[must_use]
    pub fn boosts_of(&self, world: &World, item: ItemId) -> Vec<(usize, f32)> {
        let (index, row) = place(item);
        let Some(block) = world.blocks().get(index) else { return Vec::new() };
        let boosts = self.boosts.iter().enumerate().filter(|(_, boost)| boost.target.marks(block)[row]);
        boosts.map(|(place, boost)| (place, boost.log_odds)).collect()
    }
}

/// Ids of the items that are in all groups and available at an instant, if one is given. Deleted items may be among them.
#[must_use]
pub fn admitted(world: &World, required: &[Target], available_at: Option<Millis>) -> RoaringBitmap {
    let members = members(world, required, |_| true);
    available_at.map_or_else(|| members.clone(), |at| &members & &*world.open_at(at))
}

/// Ids of the items that are in all groups and whose creation time passes.
fn members(world: &World, required: &[Target], passes: impl Fn(Millis) -> bool) -> RoaringBitmap {
    let mut ids = Vec::new();
    for (first, block) in blocks(world) {
        let mut marks = [false; BLOCK];
        for (mark, created) in marks.iter_mut().zip(&block.columns().created) {
            *mark = passes(*created);
        }
        for target in required {
            for (mark, has) in marks.iter_mut().zip(target.marks(block)) {
                *mark &= has;
            }
        }
        ids.extend((first..).zip(marks).filter(|(_, mark)| *mark).map(|(id, _)| id));
    }
    // Ids ascend, so the set is built without a search.
    RoaringBitmap::from_sorted_iter(ids).unwrap_or_default()
}

/// Blocks with the id of their first item.
fn blocks(world: &World) -> impl Iterator<Item = (u32, &Block)> {
    world.blocks().iter().enumerate().map(|(index, block)| ((index * BLOCK) as u32, block.as_ref()))
}
