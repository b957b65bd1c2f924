//! Repeat: the person's habits. Features are counts, recency, gaps and hours of their visits to the item, and their visits to its
//! author. Features of the person alone are their novelty seeking, approval rate and session depth.
//!
//! Invariant: for an item that the person never visited all features but those of its author and of the person are 0.
//! Deliberately absent: the memory of visits (`learners::person::visits`) and their hours (`evidence::hours`).

use crate::domain::ids::UserId;
use crate::engine::catalogue::block::{BLOCK, NOBODY};
use crate::engine::learners::person::visits::VISIT_FEATURES;

use super::expertise::{Apart, AuthorFilter, BlockRows, Context, Expertise, ItemRow, Lane, add_constant, add_shares, look_up, place};

/// Number of features.
const N: usize = 19;

/// Names of the features. The first ones stand in the order of `Visits::describe`.
const NAMES: [&str; N] = [
    "visits_1h",
    "visits_6h",
    "visits_1d",
    "visits_7d",
    "visits_28d",
    "recency_rank",
    "since_last_visit",
    "gap",
    "hour_of_day",
    "hour_of_week",
    "this_opening",
    "author_visits",
    "novelty",
    "own_approval",
    "session_depth",
    "at_this_hour",
    "at_this_weekday",
    "lately_at_this_hour",
    "own_next",
];

const ONE_DAY: usize = place(&NAMES, "visits_1d");
const AUTHOR_VISITS: usize = place(&NAMES, "author_visits");
const NOVELTY: usize = place(&NAMES, "novelty");
const OWN_APPROVAL: usize = place(&NAMES, "own_approval");
const SESSION_DEPTH: usize = place(&NAMES, "session_depth");
const AT_THIS_HOUR: usize = place(&NAMES, "at_this_hour");
const AT_THIS_WEEKDAY: usize = place(&NAMES, "at_this_weekday");
const LATELY_AT_THIS_HOUR: usize = place(&NAMES, "lately_at_this_hour");
const OWN_NEXT: usize = place(&NAMES, "own_next");

/// Prepared for one person at one instant.
pub struct Repeat<'a> {
    context: Context<'a>,
    /// Log-odds that the person's next visit is to a new item.
    novelty: f32,
    /// Logarithm of the number of interactions in the session, scaled.
    session_depth: f32,
    /// Lets the authors pass whose items the person visited; empty before [`Expertise::prepare`].
    authors: AuthorFilter,
}

impl<'a> Expertise<'a, N> for Repeat<'a> {
    const NAMES: [&'static str; N] = NAMES;

    /// Half of each logarithm of counts over 1, 7 and 28 days.
    const ALONE: [f32; N] = {
        let mut weights = [0.0; N];
        weights[ONE_DAY] = 0.5;
        weights[ONE_DAY + 1] = 0.5;
        weights[ONE_DAY + 2] = 0.5;
        weights
    };

    /// 0: the blend gives no weight to habits until choices teach it one.
    const FIRST_AMOUNT: f32 = 0.0;

    fn first_weights(amount: f32) -> [f32; N] {
        let mut weights = Self::ALONE.map(|weight| weight * amount);
        // A rate that is shrunk to that of all people: log-odds already.
        weights[OWN_APPROVAL] = 1.0;
        weights
    }

    fn of(context: Context<'a>) -> Self {
        let profile = context.profile;
        let session_depth = 0.3 * (1.0 + profile.session as f32).ln();
        Repeat { context, novelty: profile.visits.novelty(), session_depth, authors: AuthorFilter::default() }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; N]) {
        let author = item.columns.author[item.row];
        if author != NOBODY {
            out[AUTHOR_VISITS] = self.author_visits(author);
        }
        out[OWN_APPROVAL] = self.context.profile.approval;
        out[SESSION_DEPTH] = self.session_depth;
        let Some(rank) = item.visit() else {
            out[NOVELTY] = self.novelty;
            return;
        };
        out[NOVELTY] = -self.novelty;
        let Context { profile, now, clock, .. } = &self.context;
        let opened = item.window.map(|window| window.start);
        if let Some(out) = out.first_chunk_mut::<VISIT_FEATURES>() {
            profile.visits.describe(rank, *now, opened, clock, out);
        }
        let hours = &item.slot.hours;
        out[AT_THIS_HOUR] = 0.5 * (hours.hour + 0.05).ln();
        out[LATELY_AT_THIS_HOUR] = 0.5 * (hours.lately + 0.05).ln();
        out[AT_THIS_WEEKDAY] = 0.5 * (hours.weekday + 0.05).ln();
        // Most items have none of it, and logarithms cost.
        if hours.next > 0.0 {
            out[OWN_NEXT] = 0.5 * (1.0 + hours.next / 0.1).ln();
        }
    }

    fn prepare(&mut self, _: &[f32; N]) {
        self.authors = AuthorFilter::of(self.context.profile.authors.iter().map(|(author, _)| *author));
    }

    fn mark_apart(&self, block: &BlockRows<'_>, apart: &mut Apart) {
        apart.mark_evidence(block);
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; N], scores: &mut Lane) {
        let share = self.share(weights, 0.0);
        if self.authors.is_empty() {
            return add_constant(share, scores);
        }
        let mut shares = [share; BLOCK];
        for (row, author) in self.authors.candidates(block.columns) {
            shares[row] = self.share(weights, self.author_visits(author));
        }
        add_shares(&shares, scores);
    }
}

impl Repeat<'_> {
    /// Logarithm of the person's decayed visits to items of an author, scaled; 0 for an author whom they never visited.
    #[inline]
    fn author_visits(&self, author: u32) -> f32 {
        0.5 * look_up(&self.context.profile.authors, UserId(author)).ln_1p()
    }

    /// The share of an item that the person never visited.
    #[inline]
    fn share(&self, w: &[f32; N], author_visits: f32) -> f32 {
        w[AUTHOR_VISITS] * author_visits
            + w[NOVELTY] * self.novelty
            + w[OWN_APPROVAL] * self.context.profile.approval
            + w[SESSION_DEPTH] * self.session_depth
    }
}
