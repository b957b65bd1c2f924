//! Memory layout of a model's tensors: names, shapes and ranges within one weight vector.
//!
//! Invariant: layout follows from the feature schema and the sizes alone, in a fixed order, so training, serving and
//! the file agree. Matrices are `(out, in)`, row by row, as in PyTorch.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::engine::two_tower::TOWER_DIM;
use crate::tower::history::{GAP_FEATURES, SUMMARY};
use crate::tower::schema::{Schema, TIME_FEATURES};

/// Limit on the number of attention heads.
pub const HEADS_MAX: usize = 8;

/// Limit on the hidden units of a perceptron.
pub const HIDDEN_MAX: usize = 1_024;

/// Constant that layer norm adds to the variance before the root.
pub const NORM_EPSILON: f32 = 1e-5;

/// Sizes of a network that its schema does not determine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Number of history steps that the user tower reads, 0 to 100; 0 leaves static features and time.
    pub history: usize,
    /// Number of attention heads: 1, 2, 4 or 8.
    pub heads: usize,
    /// Number of hidden units of each perceptron, at most [`HIDDEN_MAX`].
    pub hidden: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { history: 32, heads: 4, hidden: 128 }
    }
}

/// Name and shape of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Name of the tensor in the file.
    pub name: String,
    /// Number of rows; 1 for a vector.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// True for a tensor that the file stores as a vector of `columns` numbers.
    pub vector: bool,
}

impl TensorShape {
    /// Number of elements: rows times columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// Always false: every tensor has elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimensions as stored in the file.
    #[must_use]
    pub fn dims(&self) -> Vec<usize> {
        if self.vector { vec![self.columns] } else { vec![self.rows, self.columns] }
    }

    /// True for an embedding table, whose rows belong to categories or topics.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.name == ITEM_TOPIC || self.name.starts_with(PERSON_CATEGORY)
    }
}

/// File name of the topic embedding table.
pub const ITEM_TOPIC: &str = "item.topic";
/// Prefix of the file names of category embedding tables; the index of the category follows.
pub const PERSON_CATEGORY: &str = "person.category.";

/// The tensors after the category tables, in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// Topic embedding table.
    ItemTopic,
    /// Item tower, first layer: weights.
    ItemHidden,
    /// Item tower, first layer: bias.
    ItemHiddenBias,
    /// Item tower, second layer: weights.
    ItemOut,
    /// Item tower, second layer: bias.
    ItemOutBias,
    /// Item vector to history step: 64 rows for each sign (negative, neutral, positive).
    Step,
    /// Item vector to history step: bias.
    StepBias,
    /// Static features and time to the token of the present: weights.
    Now,
    /// Static features and time to the token of the present: bias.
    NowBias,
    /// Layer norm before attention: scale.
    AttentionNorm,
    /// Layer norm before attention: shift.
    AttentionNormBias,
    /// Projections of attention to queries, keys and values: weights.
    AttentionIn,
    /// Projections of attention to queries, keys and values: bias.
    AttentionInBias,
    /// Output projection of attention: weights.
    AttentionOut,
    /// Output projection of attention: bias.
    AttentionOutBias,
    /// Attention bias per head from the age features of a step.
    AttentionGap,
    /// Layer norm before the perceptron: scale.
    ForwardNorm,
    /// Layer norm before the perceptron: shift.
    ForwardNormBias,
    /// Perceptron, first layer: weights.
    ForwardHidden,
    /// Perceptron, first layer: bias.
    ForwardHiddenBias,
    /// Perceptron, second layer: weights.
    ForwardOut,
    /// Perceptron, second layer: bias.
    ForwardOutBias,
    /// Fusion of token, history summary, static features and time, first layer: weights.
    FuseHidden,
    /// Fusion, first layer: bias.
    FuseHiddenBias,
    /// Fusion, second layer: weights.
    FuseOut,
    /// Fusion, second layer: bias.
    FuseOutBias,
    /// Scale of the dot product, then the bias of the log-odds.
    Output,
}

/// Names, shapes and ranges of all tensors of a model.
#[derive(Clone, Debug)]
pub struct Shapes {
    /// All tensors in file order.
    pub all: Vec<TensorShape>,
    places: Vec<Range<usize>>,
    categories: usize,
}

impl Shapes {
    /// Derives the layout from a schema and sizes.
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

    /// Number of weights over all tensors.
    #[must_use]
    pub fn total(&self) -> usize {
        self.places.last().map_or(0, |place| place.end)
    }

    /// Range of a tensor within the weight vector, by its index in [`Shapes::all`].
    #[must_use]
    pub fn place(&self, index: usize) -> Range<usize> {
        self.places[index].clone()
    }

    /// Index of a part in [`Shapes::all`].
    #[must_use]
    pub fn index(&self, part: Part) -> usize {
        self.categories + part as usize
    }

    /// Range of a part within the weight vector.
    #[must_use]
    pub fn part(&self, part: Part) -> Range<usize> {
        self.place(self.index(part))
    }
}
