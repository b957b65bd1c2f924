//! The experts of the blend. An expert's file has the names and first weights of its features. It computes its features of one
//! item, and its share of the scores of a block.
//!
//! Invariant: an expert's block form gives the bits of its row form. It sums its terms in the order of the features and
//! may leave out terms that are 0. The shares of an item are added in the order of [`Expert::ALL`] in both forms.
//! Deliberately absent: the list of experts (`domain::feeds::for_each_expert`), choosing and ordering (`rank`).

pub(crate) mod expertise;

use crate::domain::feeds::{Expert, for_each_expert};
use expertise::{Apart, BlockRows, Context, Expertise, ItemRow, Lane};

macro_rules! experts {
    ($( $(#[cfg($only:meta)])? $Expert:ident $name:ident $doc:literal; )*) => {
        $( $(#[cfg($only)])? pub mod $name; )*

        /// Names of the features of each expert, in the order of [`Expert::ALL`].
        pub const NAMES: [&[&str]; Expert::ALL.len()] = [$( $(#[cfg($only)])? &$name::$Expert::NAMES, )*];

        /// Weights with which each expert ranks alone.
        pub(crate) const ALONE: Features = joined([$( $(#[cfg($only)])? &$name::$Expert::ALONE, )*]);

        /// All experts, prepared for one person at one instant.
        pub(crate) struct Experts<'a> {
            $( $(#[cfg($only)])? pub $name: $name::$Expert<'a>, )*
        }

        impl<'a> Experts<'a> {
            /// Prepares to describe single items.
            pub fn of(context: Context<'a>) -> Experts<'a> {
                Experts { $( $(#[cfg($only)])? $name: Expertise::of(context), )* }
            }

            /// Prepares to score whole blocks under the weights of items that are new to the person.
            pub fn prepare(&mut self, weights: &Features) {
                $( $(#[cfg($only)])? {
                    let begin = const { range(Expert::$Expert).0 };
                    if let Some(weights) = weights[begin..].first_chunk() {
                        self.$name.prepare(weights);
                    }
                } )*
            }

            /// Writes the features of one item into `out`, which holds zeros.
            #[inline]
            pub fn row(&self, item: &ItemRow<'_>, out: &mut Features) {
                $( $(#[cfg($only)])? {
                    let begin = const { range(Expert::$Expert).0 };
                    if let Some(out) = out[begin..].first_chunk_mut() {
                        self.$name.row(item, out);
                    }
                } )*
            }

            /// Marks the items of a block that some expert cannot score by block.
            #[inline]
            pub(crate) fn mark_apart(&self, block: &BlockRows<'_>, apart: &mut Apart) {
                $( $(#[cfg($only)])? self.$name.mark_apart(block, apart); )*
            }

            /// Adds the shares of all experts to the scores of a block, in their order. `after` sees the scores after each.
            #[inline(always)]
            pub(crate) fn add_block(
                &self,
                block: &BlockRows<'_>,
                weights: &Features,
                scores: &mut Lane,
                mut after: impl FnMut(Expert, &mut Lane),
            ) {
                $( $(#[cfg($only)])? {
                    let begin = const { range(Expert::$Expert).0 };
                    if let Some(weights) = weights[begin..].first_chunk() {
                        self.$name.add_block(block, weights, scores);
                    }
                    after(Expert::$Expert, scores);
                } )*
            }
        }

        /// Weights with which the blend starts, by the amount of each expert.
        pub(crate) fn first_weights(amounts: &[f32; Expert::ALL.len()]) -> Features {
            let weights: [&[f32]; Expert::ALL.len()] =
                [$( $(#[cfg($only)])? &$name::$Expert::first_weights(amounts[Expert::$Expert as usize]), )*];
            joined(weights)
        }
    };
}
for_each_expert!(experts);

/// Number of features.
pub(crate) const FEATURES: usize = range(Expert::ALL[Expert::ALL.len() - 1]).1;

/// One number per feature, `(FEATURES,)`.
pub type Features = [f32; FEATURES];

/// The range of an expert's features in the vector: first place, and the place after the last.
#[must_use]
pub const fn range(expert: Expert) -> (usize, usize) {
    let (mut begin, mut before) = (0, 0);
    while before < expert as usize {
        begin += NAMES[before].len();
        before += 1;
    }
    (begin, begin + NAMES[before].len())
}

/// The features of all experts, one after the other.
const fn joined(parts: [&[f32]; Expert::ALL.len()]) -> Features {
    let mut all = [0.0; FEATURES];
    let (mut expert, mut place) = (0, 0);
    while expert < parts.len() {
        let mut at = 0;
        while at < parts[expert].len() {
            all[place] = parts[expert][at];
            place += 1;
            at += 1;
        }
        expert += 1;
    }
    all
}
