//! The HTML report of a training: loss and AUC per epoch, ROC curve, calibration, accuracy.
//!
//! Invariant: the file needs no external resource; equal trainings give equal bytes but for the speed.

use std::fmt::Write as _;

use serde::Serialize;

use eddyline::engine::metrics::progressive::roc_curve;
use eddyline::tower::{Quality, Similarity};
use eddyline_replay::html::{self, Axis, Plot, Series};
use eddyline_replay::metrics::shown;
use eddyline_training::{CalibrationBin, calibration_bins};

/// Largest number of points of a ROC curve.
const POINTS_MAX: usize = 200;

/// ROC curve, calibration and accuracy of the predictions on one slice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curves {
    /// Slice of the log: `validation` or `test`.
    pub slice: &'static str,
    /// Share of views whose outcome lies on the predicted side of one half.
    pub accuracy: f64,
    /// False positive rate and true positive rate from (0, 0) to (1, 1).
    pub roc: Vec<(f64, f64)>,
    /// Mean predicted probability, observed rate and views of each bin that has views.
    pub calibration: Vec<(f64, f64, u64)>,
}

impl Curves {
    /// Curves of log-odds and outcomes; `None` where only one outcome occurs.
    #[must_use]
    pub fn of(slice: &'static str, log_odds: &[f32], liked: &[bool]) -> Option<Curves> {
        let roc = roc_curve(log_odds, liked);
        if roc.is_empty() {
            return None;
        }
        let every = roc.len().div_ceil(POINTS_MAX).max(1);
        let last = roc.len() - 1;
        let kept = roc.into_iter().enumerate().filter(|(at, _)| at % every == 0 || *at == last);
        let roc = kept.map(|(_, [across, up])| (f64::from(across), f64::from(up)));
        let right = log_odds.iter().zip(liked).filter(|(x, liked)| (**x >= 0.0) == **liked).count();
        let filled = calibration_bins(log_odds, liked).into_iter().filter(|bin| bin.views > 0);
        let means = filled.map(|CalibrationBin { predicted, liked, views }| {
            (predicted / views as f64, liked as f64 / views as f64, views)
        });
        Some(Curves {
            slice,
            accuracy: right as f64 / liked.len() as f64,
            roc: roc.collect(),
            calibration: means.collect(),
        })
    }
}

/// Metrics of a training; its JSON is the output of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Sizes, settings and course of the training.
    pub summary: eddyline::tower::Summary,
    /// Similarity of user vectors and item vectors.
    pub similarity: Similarity,
    /// Quality by predictor and slice.
    pub rows: Vec<Row>,
    /// The course of the training, epoch by epoch; those before a `--resume` are missing.
    pub epochs: Vec<Epoch>,
    /// ROC curve, calibration and accuracy of the model on the last slice; `None` where that slice has one outcome.
    pub curves: Option<Curves>,
    /// Training examples per second.
    pub rows_per_second: f64,
}

/// One epoch of the training.
#[derive(Clone, Debug, Serialize)]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Mean loss per view of the training slice, while it was learned.
    pub loss: f64,
    /// Quality on a sample of the training slice; only for a report.
    pub train: Option<Quality>,
    /// Quality on the validation slice, which decides when to stop.
    pub validation: Quality,
    /// Quality on a sample of the test slice; only for a report. The training never reads it.
    pub test: Option<Quality>,
}

/// Quality of one predictor on one slice of the log.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the predictor, such as `two towers`.
    pub name: String,
    /// Slice of the log: `train`, `validation` or `test`.
    pub slice: &'static str,
    /// Metrics of the predictor.
    #[serde(flatten)]
    pub quality: Quality,
}

impl Report {
    /// Formats the report as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:<20}{:<12}{:>9}{:>9}{:>9}{:>10}{:>12}",
            "", "slice", "views", "ROC AUC", "AP", "log loss", "calibration"
        );
        for row in &self.rows {
            let Quality { rows, roc_auc, average_precision, log_loss, calibration_error } = row.quality;
            let _ = writeln!(
                out,
                "{:<20}{:<12}{rows:>9}{:>9}{:>9}{:>10}{:>12}",
                row.name,
                row.slice,
                shown(roc_auc, 4),
                shown(average_precision, 4),
                shown(log_loss, 4),
                shown(calibration_error, 4)
            );
        }
        let _ = write!(
            out,
            "learned from {} views by {} similarity, best after epoch {}, {:.0} views a second",
            self.summary.learned_rows,
            self.similarity.name(),
            self.summary.epochs,
            self.rows_per_second
        );
        out
    }
}

/// Selects a figure of one epoch.
type OfEpoch = fn(&Epoch) -> Option<f64>;

/// Title, caption and lines of a plot over epochs.
type EpochPlot = (&'static str, &'static str, [(&'static str, OfEpoch); 3]);

/// The whole file.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut body = String::from("<h1>Training of a two-tower model</h1>");
    let summary = &report.summary;
    let mut facts = vec![
        ("views learned", summary.learned_rows.to_string()),
        ("people", summary.people.to_string()),
        ("items", summary.items.to_string()),
        ("similarity", report.similarity.name().to_owned()),
        ("loss", summary.loss.clone()),
        ("best epoch", summary.epochs.to_string()),
        ("seed", summary.seed.to_string()),
    ];
    if let Some(curves) = &report.curves {
        facts.push(("accuracy", format!("{:.4} on the {} slice", curves.accuracy, curves.slice)));
    }
    let list = facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", html::escape(value)));
    let _ = write!(body, "<dl>{}</dl>", list.collect::<String>());
    let head = ["predictor", "slice", "views", "ROC AUC", "average precision", "log loss", "calibration error"];
    let cells = report.rows.iter().map(|row| {
        let q = row.quality;
        let figures = [q.roc_auc, q.average_precision, q.log_loss, q.calibration_error].map(|figure| shown(figure, 4));
        let texts = [row.name.clone(), row.slice.to_owned(), q.rows.to_string()].into_iter().chain(figures);
        format!("<tr>{}</tr>", texts.map(|text| format!("<td>{}</td>", html::escape(&text))).collect::<String>())
    });
    let head: String = head.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let _ = write!(
        body,
        "<div class=\"wide\"><table><thead><tr>{head}</tr></thead><tbody>{}</tbody></table></div>",
        cells.collect::<String>()
    );
    let figures: [EpochPlot; 2] = [
        (
            "Log loss per epoch",
            "log loss per view, in nats",
            [
                ("train", |epoch| epoch.train.and_then(|quality| quality.log_loss)),
                ("validation", |epoch| epoch.validation.log_loss),
                ("test", |epoch| epoch.test.and_then(|quality| quality.log_loss)),
            ],
        ),
        (
            "ROC AUC per epoch",
            "area under the ROC curve",
            [
                ("train", |epoch| epoch.train.and_then(|quality| quality.roc_auc)),
                ("validation", |epoch| epoch.validation.roc_auc),
                ("test", |epoch| epoch.test.and_then(|quality| quality.roc_auc)),
            ],
        ),
    ];
    for (title, about, series) in figures {
        let series = series.map(|(name, figure)| {
            let points = report.epochs.iter().filter_map(|epoch| Some((f64::from(epoch.epoch), figure(epoch)?)));
            Series::new(name, points.collect())
        });
        let (x, y) = (Axis::new("epoch"), Axis::new(about));
        body += &Plot { title: title.into(), about: about.into(), x, y, series: series.into() }.figure();
    }
    if let Some(curves) = &report.curves {
        let about = format!("true against false positives on the {} slice", curves.slice);
        let (x, y) = (Axis::unit("false positive rate"), Axis::unit("true positive rate"));
        let series = vec![Series::even(), Series::new("two towers", curves.roc.clone())];
        body += &Plot { title: "ROC curve".into(), about, x, y, series }.figure();
        let about = format!("observed rate by predicted probability on the {} slice", curves.slice);
        let (x, y) = (Axis::unit("predicted probability"), Axis::unit("observed rate"));
        let points = curves.calibration.iter().map(|(predicted, observed, _)| (*predicted, *observed)).collect();
        let series = vec![Series::even(), Series::new("two towers", points)];
        body += &Plot { title: "Calibration".into(), about, x, y, series }.figure();
    }
    html::document("Training of a two-tower model", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Curves of four predictions, counted by hand.
    #[test]
    fn curves_are_those_that_a_hand_counts() {
        let curves = Curves::of("test", &[2.0, 1.0, -1.0, -2.0], &[true, false, true, false]).unwrap();
        assert_eq!(curves.roc, [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(curves.accuracy, 0.5);
        assert_eq!(curves.calibration.iter().map(|bin| bin.2).sum::<u64>(), 4);
        assert_eq!(Curves::of("test", &[1.0], &[true]), None);
    }
}
