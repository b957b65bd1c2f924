//! The interface of a ranker: it reads a log row by row and scores the available items.
//!
//! Invariant: scoring changes no later score; a ranker knows only the rows and edges that it received.

use crate::domain::time::Millis;
use crate::engine::blend::hedge::HedgeFigures;
use crate::replay::log::availability::Edge;

/// Scores available items for a user; higher scores rank first.
pub trait Ranker: Send {
    /// Name of the ranker in reports.
    fn name(&self) -> &'static str;

    /// True where scores are log-odds, whose softmax over the available items is a probability.
    fn is_log_odds(&self) -> bool {
        false
    }

    /// Begins a time unit; `edges` are the items that opened and closed since the last one.
    fn begin(&mut self, now: Millis, edges: &[Edge]);

    /// Scores of `candidates` for a user at `now`, in the order of `candidates`, into `out`.
    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>);

    /// Learns row `index` of the log.
    fn learn(&mut self, index: usize);

    /// Cumulative losses of its experts; `None` for rankers without experts.
    fn hedge(&self) -> Option<HedgeFigures> {
        None
    }
}
