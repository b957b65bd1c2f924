//! Followed: the person follows the author, or people whom they follow were at the item last.
//!
//! Invariant: both features are 0 for a person who follows no one.
//! Deliberately absent: the last places of friends (`evidence::item_evidence` collects them).

use crate::domain::ids::UserId;
use crate::engine::catalogue::block::NOBODY;

use super::expertise::{Apart, AuthorFilter, BlockRows, Context, Expertise, ItemRow, Lane};

/// Prepared for one person at one instant.
pub struct Followed<'a> {
    context: Context<'a>,
    /// Lets the authors pass whom the person follows; empty before [`Expertise::prepare`].
    authors: AuthorFilter,
}

impl<'a> Expertise<'a, 2> for Followed<'a> {
    const NAMES: [&'static str; 2] = ["followed", "friends"];
    const ALONE: [f32; 2] = [1.0, 0.5];
    const FIRST_AMOUNT: f32 = 0.5;

    fn of(context: Context<'a>) -> Self {
        Followed { context, authors: AuthorFilter::default() }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 2]) {
        out[0] = f32::from(u8::from(self.is_followed(item.columns.author[item.row])));
        // Most items have no friends, and logarithms cost.
        if item.slot.friends > 0.0 {
            out[1] = 0.5 * (1.0 + item.slot.friends).ln();
        }
    }

    fn prepare(&mut self, _: &[f32; 2]) {
        self.authors = AuthorFilter::of(self.context.profile.follows.iter().copied());
    }

    fn mark_apart(&self, block: &BlockRows<'_>, apart: &mut Apart) {
        apart.mark_evidence(block);
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 2], scores: &mut Lane) {
        for (row, author) in self.authors.candidates(block.columns) {
            if self.is_followed(author) {
                scores[row] += weights[0];
            }
        }
    }
}

impl Followed<'_> {
    /// Whether the person follows this author.
    #[inline]
    pub(crate) fn is_followed(&self, author: u32) -> bool {
        author != NOBODY && self.context.profile.follows.binary_search(&UserId(author)).is_ok()
    }
}
