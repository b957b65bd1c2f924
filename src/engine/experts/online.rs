//! Online: the log-odds of the person's accepted/rejected model on the centred embedding of the item.
//!
//! Invariant: the feature is finite and within [`ONLINE_MAX`]; 0 before the person's first label. The rough log-odds of the
//! scan differ from the exact ones by at most [`Quantised::error`] times the item's scale.
//! Deliberately absent: learning (`learners::person::online`).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::ids::TopicId;
use crate::domain::journal::CentreRef;
use crate::engine::catalogue::block::Columns;
use crate::engine::catalogue::vectors::Vectors;
use crate::engine::learners::person::quadratic::Form;
use crate::engine::numeric::kernels::{dot, weight_max};

use super::expertise::{BlockRows, Context, Expertise, ItemRow, Lane, add_weighted};

/// Bound on the log-odds of the online model in the blend, so that one expert cannot outweigh all others.
pub(crate) const ONLINE_MAX: f32 = 8.0;

/// Prepared for one person at one instant.
pub struct Online<'a> {
    context: Context<'a>,
    /// Quadratic forms of the person by centre.
    forms: &'a [(CentreRef, Form)],
    /// `w . m` by main topic, 0 for a topic without a centre; empty before [`Expertise::prepare`].
    centre_dots: Vec<f32>,
    /// The last product that was computed outside of `centre_dots`, behind the id of its topic: a few items often share their
    /// topic. One number holds both, so that two threads of a scan never read a topic with the product of another.
    last_dot: AtomicU64,
}

impl<'a> Expertise<'a, 1> for Online<'a> {
    const NAMES: [&'static str; 1] = ["online"];
    const ALONE: [f32; 1] = [1.0];
    /// The model gives log-odds already.
    const FIRST_AMOUNT: f32 = 1.0;

    fn of(context: Context<'a>) -> Self {
        Online { context, forms: &context.profile.forms, centre_dots: Vec::new(), last_dot: AtomicU64::new(u64::MAX) }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 1]) {
        out[0] = item.online;
    }

    fn prepare(&mut self, _: &[f32; 1]) {
        self.centre_dots = (0..self.context.store.topics_len()).map(|topic| self.centre_dot(TopicId(topic))).collect();
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 1], scores: &mut Lane) {
        add_weighted(weights[0], block.online, scores);
    }
}

impl Online<'_> {
    /// `w . (x - m) / ||x - m||` of an item, from `w . x`, plus the person's quadratic form for its centre.
    #[inline(always)]
    pub fn log_odds(&self, w_x: f32, columns: &Columns, row: usize) -> f32 {
        let inverse_norm = columns.inverse_norm[row];
        // An item that is its own centre has no direction: the model has no say.
        if inverse_norm <= 0.0 {
            return 0.0;
        }
        let mut log_odds = (w_x - self.centre_dot(columns.topic[row])) * inverse_norm;
        let centre = columns.centre[row];
        if let Some((_, form)) = self.forms.iter().find(|(known, _)| *known == centre) {
            log_odds += form.value(&columns.coordinates[row]);
        }
        log_odds.clamp(-ONLINE_MAX, ONLINE_MAX)
    }

    #[inline]
    fn centre_dot(&self, topic: TopicId) -> f32 {
        if let Some(dot) = self.centre_dots.get(topic.0 as usize) {
            return *dot;
        }
        let last = self.last_dot.load(Ordering::Relaxed);
        if last >> 32 == u64::from(topic.0) {
            return f32::from_bits(last as u32);
        }
        let Context { store, profile, .. } = self.context;
        let centre = store.centre_of(topic);
        let dot = profile.weights.and_then(|w| store.centre(centre).map(|m| dot(w, m.mean()))).unwrap_or(0.0);
        self.last_dot.store(u64::from(topic.0) << 32 | u64::from(dot.to_bits()), Ordering::Relaxed);
        dot
    }
}

/// Weights of the online model in 16 bits, for the scan over 8-bit codes.
pub(crate) struct Quantised {
    /// `(dim,)`, `w_i = weight_i * scale` up to half a scale.
    pub weights: Vec<i16>,
    /// The value of one step of a weight.
    pub scale: f32,
    /// `C`: with codes `c` of a row and its scale `s`, `|w . x - s scale weights . c| <= s C`. From `|x_i - s c_i| <= s/2`
    /// and `|w_i - scale weight_i| <= scale/2`: `C = ||w||_1 / 2 + 127 dim scale / 2`.
    pub error: f32,
}

impl Quantised {
    /// Rounds `(dim,)` weights.
    pub fn of(w: &[f32]) -> Quantised {
        let largest = w.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
        let scale = (largest / f32::from(weight_max(w.len()))).max(f32::MIN_POSITIVE);
        let weights = w.iter().map(|w| (w / scale).round() as i16).collect();
        let error = 0.5 * w.iter().map(|w| w.abs()).sum::<f32>() + 0.5 * 127.0 * w.len() as f32 * scale;
        // Half a step is exact arithmetic; rounding in f32 adds a few parts in a million.
        Quantised { weights, scale, error: error * 1.0001 }
    }
}
