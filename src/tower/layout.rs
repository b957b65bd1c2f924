//! Which tensors a model consists of: their names, shapes and places.
//!
//! Invariant: names and shapes follow from the feature schema and the sizes alone, in a fixed order, so that training,
//! inference and the file agree without asking each other. Matrices are `(out, in)`, row by row, as PyTorch keeps them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::engine::tower::TOWER_DIM;
use crate::tower::history::{GAP_FEATURES, SUMMARY};
use crate::tower::schema::{Schema, TIME_FEATURES};

/// Heads of attention, at most.
pub const HEADS_MAX: usize = 8;

/// Hidden units of a perceptron, at most.
pub const HIDDEN_MAX: usize = 1_024;

/// Sizes of a network that its schema does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Steps of the history that it looks at, 0 to 100; 0 makes a tower of static features and time alone.
    pub history: usize,
    /// Attention heads: 1, 2, 4 or 8.
    pub heads: usize,
    /// Hidden units of each perceptron, at most [`HIDDEN_MAX`].
    pub hidden: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { history: 32, heads: 4, hidden: 128 }
    }
}

/// A tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Its name in the file.
    pub name: String,
    /// Rows; 1 for a vector.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Is it a vector in the file, of `columns` numbers?
    pub vector: bool,
}

impl TensorShape {
    /// How many numbers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// Never: a tensor has numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape in the file.
    #[must_use]
    pub fn dims(&self) -> Vec<usize> {
        if self.vector { vec![self.columns] } else { vec![self.rows, self.columns] }
    }

    /// A table of embeddings?
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.name == ITEM_TOPIC || self.name.starts_with(PERSON_CATEGORY)
    }
}

/// Name of the table of topics.
pub const ITEM_TOPIC: &str = "item.topic";
/// Names of the tables of attributes begin so; a number follows.
pub const PERSON_CATEGORY: &str = "person.category.";

/// The tensors after the tables of people's categories, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// Table of topics.
    ItemTopic,
    /// Item tower, first layer.
    ItemHidden,
    /// Its bias.
    ItemHiddenBias,
    /// Item tower, second layer.
    ItemOut,
    /// Its bias.
    ItemOutBias,
    /// An item's vector to a step: 64 rows for each sign (negative, neutral, positive).
    Step,
    /// Its bias.
    StepBias,
    /// Static features and time to the token of the present.
    Now,
    /// Its bias.
    NowBias,
    /// Layer norm before attention: scale.
    AttentionNorm,
    /// Shift.
    AttentionNormBias,
    /// Queries, keys, values.
    AttentionIn,
    /// Their bias.
    AttentionInBias,
    /// Back from the heads.
    AttentionOut,
    /// Its bias.
    AttentionOutBias,
    /// What time does to a head's scores.
    AttentionGap,
    /// Layer norm before the perceptron: scale.
    ForwardNorm,
    /// Shift.
    ForwardNormBias,
    /// Perceptron, first layer.
    ForwardHidden,
    /// Its bias.
    ForwardHiddenBias,
    /// Perceptron, second layer.
    ForwardOut,
    /// Its bias.
    ForwardOutBias,
    /// Fusion, first layer: what attention made, a summary of the history, static features, time.
    FuseHidden,
    /// Its bias.
    FuseHiddenBias,
    /// Fusion, second layer.
    FuseOut,
    /// Its bias.
    FuseOutBias,
    /// Scale of the dot product, then the bias of the log-odds.
    Output,
}

/// All tensors of a model.
#[derive(Clone, Debug)]
pub struct Shapes {
    /// In their order.
    pub all: Vec<TensorShape>,
    places: Vec<Range<usize>>,
    categories: usize,
}

impl Shapes {
    /// Those of a schema and sizes.
    #[must_use]
    pub fn new(schema: &Schema, sizes: &Sizes) -> Shapes {
        let (width, hidden) = (TOWER_DIM, sizes.hidden);
        let fixed = schema.person.width() + TIME_FEATURES;
        let mut all = Vec::new();
        for (place, category) in schema.person.categories.iter().enumerate() {
            let name = format!("{PERSON_CATEGORY}{place}");
            all.push(TensorShape { name, rows: category.values.len() + 1, columns: category.dim, vector: false });
        }
        let categories = all.len();
        let (topics, topic_dim) = (schema.item.topics.len() + 1, schema.item.topic_dim);
        all.push(TensorShape { name: ITEM_TOPIC.to_owned(), rows: topics, columns: topic_dim, vector: false });
        let vector = |name: &str, columns: usize| TensorShape { name: name.to_owned(), rows: 1, columns, vector: true };
        let linear = |all: &mut Vec<TensorShape>, name: &str, rows: usize, columns: usize| {
            all.push(TensorShape { name: format!("{name}.weight"), rows, columns, vector: false });
            all.push(vector(&format!("{name}.bias"), rows));
        };
        linear(&mut all, "item.hidden", hidden, topic_dim + schema.item.dense());
        linear(&mut all, "item.out", width, hidden);
        linear(&mut all, "step", 3 * width, width);
        linear(&mut all, "now", width, fixed);
        all.extend([vector("attention.norm.weight", width), vector("attention.norm.bias", width)]);
        linear(&mut all, "attention.in", 3 * width, width);
        linear(&mut all, "attention.out", width, width);
        let (rows, columns) = (sizes.heads, GAP_FEATURES);
        all.push(TensorShape { name: "attention.gap.weight".to_owned(), rows, columns, vector: false });
        all.extend([vector("forward.norm.weight", width), vector("forward.norm.bias", width)]);
        linear(&mut all, "forward.hidden", hidden, width);
        linear(&mut all, "forward.out", width, hidden);
        linear(&mut all, "fuse.hidden", hidden, width + SUMMARY + fixed);
        linear(&mut all, "fuse.out", width, hidden);
        all.push(vector("output", 2));
        let mut from = 0;
        let places = all
            .iter()
            .map(|shape| {
                let place = from..from + shape.len();
                from = place.end;
                place
            })
            .collect();
        Shapes { all, places, categories }
    }

    /// Numbers in all of them.
    #[must_use]
    pub fn total(&self) -> usize {
        self.places.last().map_or(0, |place| place.end)
    }

    /// Where a tensor's numbers are among all, by its place in [`Shapes::all`].
    #[must_use]
    pub fn place(&self, index: usize) -> Range<usize> {
        self.places[index].clone()
    }

    /// Place of a part in [`Shapes::all`].
    #[must_use]
    pub fn index(&self, part: Part) -> usize {
        self.categories + part as usize
    }

    /// Where a part's numbers are among all.
    #[must_use]
    pub fn part(&self, part: Part) -> Range<usize> {
        self.place(self.index(part))
    }
}
