//! The decay curves of topic weights: `timedecay` and `exampledecay`.
//!
//! Invariant: the plots call the functions that learning uses.

use super::plot::{Axis, Plot, Series};
use crate::engine::learners::person::topics::{bump, decay_euler, decay_exact};

/// Default horizon, in days.
const HORIZON_DAYS: f64 = 7.0;

/// Invented days of interactions with a topic: a new interest, a pause, a relapse.
const EXAMPLE_DAYS: [f64; 7] = [0.0, 0.5, 1.0, 1.5, 6.0, 6.5, 12.0];

/// Days that the example shows.
const EXAMPLE_END: f64 = 21.0;

/// Both figures as HTML.
pub(super) fn figures() -> String {
    let rates = [0.25, 0.5, 1.0, 2.0];
    let by_rate = rates.map(|rate| {
        let points = (0..=60).map(|step| {
            let days = f64::from(step) * 0.5;
            (days, decay_exact(1.0, days / HORIZON_DAYS, rate))
        });
        Series::new(&format!("rate {rate}"), points.collect())
    });
    let time = Plot {
        title: "timedecay".to_owned(),
        about: "a topic weight of 1 against days since the last interaction, for several rates, horizon 7 days"
            .to_owned(),
        x: Axis::new("days since"),
        y: Axis::unit("weight"),
        series: by_rate.into(),
    };
    let example = Plot {
        title: "exampledecay".to_owned(),
        about: "a topic weight through a made-up sequence of interactions, each of which takes it half-way to 1: the \
                exact flow, and one Euler step from interaction to interaction with its floor of 0.01"
            .to_owned(),
        x: Axis::new("days"),
        y: Axis::unit("weight"),
        series: vec![
            Series::new("exact", example(|s, tau| decay_exact(s, tau, 1.0))),
            Series::new("Euler", example(|s, tau| if tau > 0.0 { decay_euler(s, tau, 1.0) } else { s })),
        ],
    };
    time.figure() + &example.figure()
}

/// The weight over the example: before and after each interaction, and in between.
fn example(decay: impl Fn(f64, f64) -> f64) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let mut s = 0.0;
    for (at, day) in EXAMPLE_DAYS.iter().enumerate() {
        s = bump(s);
        let next = EXAMPLE_DAYS.get(at + 1).copied().unwrap_or(EXAMPLE_END);
        let steps = 20;
        points.extend((0..=steps).map(|step| {
            let waited = (next - day) * f64::from(step) / f64::from(steps);
            (day + waited, decay(s, waited / HORIZON_DAYS))
        }));
        s = decay(s, (next - day) / HORIZON_DAYS);
    }
    points
}
