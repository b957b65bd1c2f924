//! The decay of topic weights as plots: `logistic`, `derivative`, `timedecay`, `exampledecay`, and the weights of a user.
//!
//! Invariant: the plots call the functions that learning uses, under the settings that they are given.

use super::plot::{Axis, Plot, Series};
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};
use crate::engine::learners::person::topics::{EULER_FLOOR, logistic, slope};
use crate::engine::learners::person::weight_history::{self, Changes, Curve};
use crate::engine::settings::{Decay, LearnSettings};

/// Points per line.
const STEPS: u32 = 120;
/// Largest number of topics in the plot of a user.
const TOPICS_MAX: usize = 8;

/// The plots of the settings as HTML.
pub(super) fn figures(settings: &LearnSettings) -> String {
    plots(settings).iter().map(|(_, plot)| plot.figure()).collect()
}

/// The plots of the settings as SVG files: name without extension, and content.
#[must_use]
pub fn files(settings: &LearnSettings) -> Vec<(&'static str, String)> {
    plots(settings).into_iter().map(|(name, plot)| (name, plot.file())).collect()
}

/// Topic weights of a user from their first change up to `end`, as an SVG file. Of more than eight topics, those with the
/// highest weights are drawn. Empty without a change.
#[must_use]
pub fn weights_file(user: &str, topics: &[(String, Changes)], end: i64, settings: &LearnSettings) -> String {
    let Some(begin) = topics.iter().filter_map(|(_, changes)| Some(changes.first()?.0)).min() else {
        return String::new();
    };
    let (unit, unit_ms) = unit_of((end - begin).max(SECOND_MS) as f64);
    let peak = |changes: &Changes| changes.iter().map(|change| change.1).fold(0.0, f64::max);
    let mut chosen: Vec<&(String, Changes)> = topics.iter().collect();
    chosen.sort_by(|left, right| peak(&right.1).total_cmp(&peak(&left.1)).then_with(|| left.0.cmp(&right.0)));
    chosen.truncate(TOPICS_MAX);
    let series = chosen.iter().map(|(topic, changes)| {
        let points = weight_history::points(changes, end, settings.topic_decay());
        let points = points.into_iter().map(|(at, weight)| ((at - begin as f64) / unit_ms, weight)).collect();
        Series::new(topic, points)
    });
    let plot = Plot {
        title: format!("Topic weights of {user}"),
        about: format!("each weight from its changes in the journal on, {}", words(settings)),
        x: Axis::new(&format!("{unit} since the first change")),
        y: Axis::unit("weight"),
        series: series.collect(),
    };
    plot.file()
}

/// Name and length of the largest unit of which a span has at least two.
fn unit_of(span_ms: f64) -> (&'static str, f64) {
    let units = [("days", DAY_MS), ("hours", HOUR_MS), ("minutes", MINUTE_MS)];
    let found = units.into_iter().find(|(_, unit)| span_ms >= 2.0 * *unit as f64);
    let (name, unit) = found.unwrap_or(("seconds", SECOND_MS));
    (name, unit as f64)
}

fn words(settings: &LearnSettings) -> String {
    let horizon = settings.decay_horizon_ms as f64;
    let (unit, unit_ms) = unit_of(horizon);
    let curve = match settings.decay {
        Decay::Exact => "exact",
        Decay::Euler => "euler",
    };
    format!("curve {curve}, rate {}, horizon {} {unit}", settings.decay_rate, horizon / unit_ms)
}

fn plots(settings: &LearnSettings) -> [(&'static str, Plot); 4] {
    let rate = settings.decay_rate;
    let (unit, unit_ms) = unit_of(settings.decay_horizon_ms as f64);
    let horizon = settings.decay_horizon_ms as f64 / unit_ms;
    let said = words(settings);
    let line = |name: &str, end: f64, value: &dyn Fn(f64) -> f64| {
        let points = (0..=STEPS).map(|step| {
            let x = end * f64::from(step) / f64::from(STEPS);
            (x, value(x))
        });
        Series::new(name, points.collect())
    };
    let curves = |curves: Vec<Curve>| curves.into_iter().map(|(name, points)| Series::new(&name, points)).collect();
    [
        (
            "logistic",
            Plot {
                title: "logistic".to_owned(),
                about: format!("f(x) = 2 / (1 + exp(5 r x)), whose derivative drives the decay; {said}"),
                x: Axis::new("x"),
                y: Axis::unit("f(x)"),
                series: vec![line("f", 1.0, &|x| logistic(x, rate))],
            },
        ),
        (
            "derivative",
            Plot {
                title: "derivative".to_owned(),
                about: format!("f'(s), the change per horizon of a topic weight s; {said}"),
                x: Axis::unit("weight"),
                y: Axis::between("change per horizon", slope(0.0, rate), 0.0),
                series: vec![line("f'", 1.0, &|s| slope(s, rate))],
            },
        ),
        (
            "timedecay",
            Plot {
                title: "timedecay".to_owned(),
                about: format!(
                    "a topic weight against {unit} since the last interaction: the exact flow, and one Euler step with its \
                     floor of {EULER_FLOOR}; this server uses {said}"
                ),
                x: Axis::new(&format!("{unit} since the last interaction")),
                y: Axis::unit("weight"),
                series: curves(weight_history::timedecay(horizon, rate)),
            },
        ),
        (
            "exampledecay",
            Plot {
                title: "exampledecay".to_owned(),
                about: format!(
                    "a topic weight through a made-up sequence of interactions, each of which takes it half-way to 1: the exact \
                     flow, and one Euler step from interaction to interaction; this server uses {said}"
                ),
                x: Axis::new(unit),
                y: Axis::unit("weight"),
                series: curves(weight_history::exampledecay(horizon, rate)),
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_follow_the_settings() {
        let usual = LearnSettings::default();
        let hours =
            LearnSettings { decay: Decay::Euler, decay_rate: 0.5, decay_horizon_ms: 6 * HOUR_MS, ..usual.clone() };
        let (first, second) = (files(&usual), files(&hours));
        let names: Vec<&str> = first.iter().map(|file| file.0).collect();
        assert_eq!(names, ["logistic", "derivative", "timedecay", "exampledecay"]);
        for ((name, one), (_, other)) in first.iter().zip(&second) {
            assert!(one.starts_with("<svg xmlns") && one.contains("<style>") && !one.contains("NaN"), "{name}");
            assert!(one != other, "{name}");
            assert!(one.contains("curve exact, rate 1, horizon 7 days"), "{name}");
            assert!(other.contains("curve euler, rate 0.5, horizon 6 hours"), "{name}");
        }
        assert_eq!(first, files(&usual));
    }

    #[test]
    fn weights_of_a_user_are_drawn_from_their_changes() {
        let settings = LearnSettings::default();
        let topics: Vec<(String, Changes)> =
            (0..12).map(|n| (format!("t<{n}"), vec![(0, 0.01 * f64::from(n))])).collect();
        let drawn = weights_file("ada", &topics, 3 * DAY_MS, &settings);
        assert_eq!(drawn.matches("<path class=\"line s").count(), TOPICS_MAX);
        assert!(
            drawn.contains("t&lt;11") && !drawn.contains("t&lt;3<") && drawn.contains("days since the first change")
        );
        assert_eq!(weights_file("ada", &[], 5, &settings), "");
    }
}
