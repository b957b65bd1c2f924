//! The report as one HTML file: tables, and plots as inline SVG.
//!
//! Invariant: the file needs no external resource and no script. Every plot has a title, a description and a table
//! with its numbers. All text is escaped. Equal reports give equal bytes.
//! Absent on purpose: wall times, which differ from run to run; the terminal and the JSON have them.

mod plot;
pub mod decay;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::metrics::{Bin, Figures, shown, shown_interval};
use super::report::{LabelledBaseline, Moment, RankerReport, Report, StepReport};
use crate::engine::settings::LearnSettings;
pub use plot::{Axis, Plot, Series, escape, table};

/// The whole file; `order` gives the order of rankers and labellers, `settings` the decay of topic weights.
#[must_use]
pub fn page(report: &Report, order: &[&str], settings: &LearnSettings) -> String {
    let mut body = String::new();
    let title = format!("Replay: {}, {}", report.format, report.protocol);
    let _ = write!(body, "<h1>{}</h1>", escape(&title));
    facts(&mut body, report);
    if !report.rankers.is_empty() {
        section(&mut body, "Ranking", &ranking(&report.rankers, order));
        if let Some(leak) = &report.leak {
            let share = shown(leak.later_rows_share.map(|share| 100.0 * share), 1);
            let said = format!("<p>These figures look ahead: {} ({share} % of it).</p>", escape(&leak.what));
            section(&mut body, "The same targets without the leak", &(said + &ranking(&leak.without, order)));
        }
        over_time(&mut body, &report.rankers, order);
        rewards(&mut body, &report.rankers, order);
        per_step(&mut body, &report.rankers, order);
    }
    labels(&mut body, report, order);
    calibration(&mut body, report);
    if let Some(regret) = &report.regret {
        let points = regret.points.iter().map(|point| (point.from_ms as f64, point.value)).collect();
        let plot = Plot {
            title: "Regret over time".to_owned(),
            about: regret.what.clone(),
            x: Axis::time("time"),
            y: Axis::new("regret"),
            series: vec![Series::new("model", points)],
        };
        section(&mut body, "Regret", &plot.figure());
    }
    section(&mut body, "How topic weights decay", &decay::figures(settings));
    document(&title, &body)
}

/// A whole HTML file with the style of reports; `body` is HTML.
#[must_use]
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{}</title><style>{STYLE}</style></head>\n<body>{body}\
         </body></html>\n",
        escape(title)
    )
}

/// Style sheet of a report: colours for light and dark, tables, figures, and eight classes of lines.
pub const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--line:#d0d7de;--paper:#fff;--s0:#0550ae;--s1:#a40e26;\
--s2:#116329;--s3:#8250df;--s4:#953800;--s5:#57606a;--s6:#9e1a7a;--s7:#0b6e75;--s8:#6e5a00}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--paper:#0d1117;--s0:#79c0ff;\
--s1:#ff9492;--s2:#7ee787;--s3:#d2a8ff;--s4:#ffa657;--s5:#b1bac4;--s6:#ff9bce;--s7:#76e3ea;--s8:#e3c84f}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;\
padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.5rem}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}\
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line)}th:first-child,td:first-child\
{text-align:left}caption{text-align:left;color:var(--soft);padding:1rem 0 .3rem}figure{margin:1rem 0}\
figcaption{color:var(--soft);font-size:.9rem}svg{width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}\
.grid{stroke:var(--line);stroke-width:1}.line{fill:none;stroke-width:2}.dot{stroke:none}\
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}\
.s5{stroke:var(--s5)}.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}.s8{stroke:var(--s8)}.even{stroke:var(--soft);stroke-dasharray:2 4}summary{cursor:pointer;color:var(--soft)}\
dl{display:grid;grid-template-columns:max-content auto;gap:.1rem 1rem}dt{color:var(--soft)}dd{margin:0}";

/// Selects the figures of one split.
type OfSplit = fn(&RankerReport) -> &Figures;

/// Selects one figure over time.
type OfMoment = fn(&Moment) -> Option<f64>;

/// Selects one figure of a time unit.
type OfStep = fn(&StepReport) -> Option<f64>;

fn section(body: &mut String, title: &str, content: &str) {
    if !content.is_empty() {
        let _ = write!(body, "<section><h2>{}</h2>{content}</section>", escape(title));
    }
}

fn facts(body: &mut String, report: &Report) {
    let mut facts = vec![
        ("rows", report.events.to_string()),
        ("rows that are scored", report.test_events.to_string()),
        ("seed", report.seed.to_string()),
    ];
    if let Some(log) = &report.log {
        if let Some(viewing) = &log.viewing {
            facts.push(("streams", viewing.streams.to_string()));
            facts.push(("steps", viewing.steps.to_string()));
            facts.push(("watch hours", format!("{:.1}", viewing.watch_hours)));
        }
        facts.push(("people", log.people.to_string()));
        facts.push(("items", log.items.to_string()));
        facts.push(("time units", format!("{} of {} s", log.units, log.unit_ms as f64 / 1e3)));
        facts.push(("time units of the test", log.test_units.to_string()));
        facts.push(("windows", log.windows.clone()));
        facts.push(("available on average", shown(log.available_mean, 1)));
        facts.push(("not ranked, as not available", log.unavailable_events.to_string()));
    }
    let list = facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(value)));
    let _ = write!(body, "<dl>{}</dl>", list.collect::<String>());
}

fn ranking(rankers: &BTreeMap<String, RankerReport>, order: &[&str]) -> String {
    let mut out = String::new();
    let splits: [(&str, OfSplit); 3] = [
        ("All targets", |ranker| &ranker.splits.all),
        ("New: this person was never there before", |ranker| &ranker.splits.new),
        ("Repeat: they were", |ranker| &ranker.splits.repeat),
    ];
    for (caption, figures) in splits {
        let listed = || order.iter().filter_map(|name| rankers.get_key_value(*name));
        let n = listed().next().map_or(0, |(_, ranker)| figures(ranker).n);
        let rows = listed().map(|(name, ranker)| {
            let f = figures(ranker);
            let interval = f.intervals.and_then(|intervals| intervals.ndcg_10);
            let mut cells = vec![name.clone()];
            cells.extend([f.hr_1, f.hr_5, f.hr_10, f.ndcg_10, f.mrr, f.auc].map(|figure| shown(figure, 3)));
            cells.push(shown_interval(interval, 3, " to "));
            cells
        });
        let head = ["ranker", "HR@1", "HR@5", "HR@10", "NDCG@10", "MRR", "AUC", "NDCG@10, 95 %"];
        out += &plot::table(&format!("{caption} ({n})"), &head, rows);
    }
    out
}

fn over_time(body: &mut String, rankers: &BTreeMap<String, RankerReport>, order: &[&str]) {
    let plots: [(&str, &str, OfMoment); 2] = [
        ("AUC over time", "share of the other available items that came after the target", |moment| moment.auc),
        ("HR@10 over time", "share of targets among the first ten", |moment| moment.hr_10),
    ];
    for (title, about, figure) in plots {
        let series = order.iter().filter_map(|name| rankers.get_key_value(*name)).map(|(name, ranker)| {
            let moments = ranker.over_time.iter();
            let points = moments.filter_map(|moment| Some((moment.from_ms as f64, figure(moment)?)));
            Series::new(name, points.collect())
        });
        let plot = Plot {
            title: title.to_owned(),
            about: about.to_owned(),
            x: Axis::time("time"),
            y: Axis::unit(title),
            series: series.collect(),
        };
        section(body, title, &plot.figure());
    }
}

fn rewards(body: &mut String, rankers: &BTreeMap<String, RankerReport>, order: &[&str]) {
    let rows = order.iter().filter_map(|name| rankers.get_key_value(*name)).filter_map(|(name, ranker)| {
        let reward = ranker.reward?;
        let figures = [reward.mean, reward.best_possible, reward.mean_of_present, reward.best_possible_of_present];
        Some(std::iter::once(name.clone()).chain(figures.map(|figure| shown(figure, 5))).collect())
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        let head = ["ranker", "mean over all users", "upper bound", "mean over users present", "upper bound"];
        let caption = "One channel for each person and time unit; 1 when that is where they are in the next one";
        section(body, "Reward", &plot::table(caption, &head, rows.into_iter()));
    }
}

fn per_step(body: &mut String, rankers: &BTreeMap<String, RankerReport>, order: &[&str]) {
    let plots: [(&str, &str, Axis, OfStep); 2] = [
        (
            "Reward per step",
            "share of the users present in the next step who are then at the channel that they got",
            Axis::unit("reward"),
            |step| step.reward_of_present,
        ),
        (
            "Loss per step",
            "log loss in nats of the softmax over the available channels, mean over the visits that begin in the step",
            Axis::new("log loss"),
            |step| step.log_loss,
        ),
    ];
    for (title, about, y, figure) in plots {
        let listed = order.iter().filter_map(|name| rankers.get_key_value(*name));
        let series: Vec<Series> = listed
            .map(|(name, ranker)| {
                let points = ranker.steps.iter().filter_map(|step| Some((step.from_ms as f64, figure(step)?)));
                (name, points.collect::<Vec<_>>())
            })
            .filter(|(_, points)| !points.is_empty())
            .map(|(name, points)| Series::new(name, points))
            .collect();
        let plot = Plot { title: title.to_owned(), about: about.to_owned(), x: Axis::time("time"), y, series };
        section(body, title, &plot.figure());
    }
}

fn labels(body: &mut String, report: &Report, order: &[&str]) {
    if report.labellers.is_empty() {
        if let Some(labelled) = &report.labelled {
            let baselines = &labelled.baselines;
            let row = |name: &str, model: Option<f64>, of: &dyn Fn(&LabelledBaseline) -> Option<f64>| {
                let figures = std::iter::once(model).chain(baselines.values().map(of));
                std::iter::once(name.to_owned()).chain(figures.map(|auc| shown(auc, 4))).collect()
            };
            let of_file = |file: &str| {
                let file = file.to_owned();
                move |one: &LabelledBaseline| one.per_file.get(&file).copied().flatten()
            };
            let mut rows: Vec<Vec<String>> =
                labelled.per_file.iter().map(|(file, auc)| row(file, *auc, &of_file(file))).collect();
            rows.push(row("mean", labelled.auc_mean, &|one| one.auc_mean));
            rows.push(row("pooled", labelled.auc_pooled, &|one| one.auc_pooled));
            let mut head = vec!["file", "ROC AUC"];
            head.extend(baselines.keys().map(String::as_str));
            let (loss, error) = (shown(labelled.log_loss, 4), shown(labelled.ece, 4));
            let caption = format!("log loss {loss}, calibration error {error}");
            section(body, "Labels", &plot::table(&caption, &head, rows.into_iter()));
        }
        return;
    }
    let listed = || order.iter().filter_map(|name| report.labellers.get_key_value(*name));
    let rows = listed().map(|(name, found)| {
        vec![
            name.clone(),
            shown(found.auc_pooled, 4),
            shown(found.auc_mean, 4),
            shown_interval(found.auc_mean_interval, 3, " to "),
            shown(found.log_loss, 4),
            shown(found.ece, 4),
        ]
    });
    let head = ["predictor", "ROC AUC", "mean per person", "95 %", "log loss", "calibration error"];
    let caption = format!("{} labels, each predicted before it was learned", report.test_events);
    section(body, "Labels", &plot::table(&caption, &head, rows));
    let series = listed().map(|(name, found)| {
        let parts = found.over_time.iter().filter_map(|part| Some((part.from_ms as f64, part.auc?)));
        Series::new(name, parts.collect())
    });
    let plot = Plot {
        title: "ROC AUC over time".to_owned(),
        about: "over parts with equally many rows".to_owned(),
        x: Axis::time("time"),
        y: Axis::unit("ROC AUC"),
        series: series.collect(),
    };
    section(body, "ROC AUC over time", &plot.figure());
}

fn calibration(body: &mut String, report: &Report) {
    let ranked = report.rankers.get("model").and_then(|model| model.softmax.as_ref()).map(|found| &found.bins);
    let labelled = report.labellers.get("model").map(|found| &found.bins);
    let Some(bins) = ranked.or(labelled) else { return };
    let about = match ranked {
        Some(_) => "probability that the model promises the first in its ranking, and how often it was the target",
        None => "probability that the model promises a label, and how often it came true",
    };
    let points = bins.iter().filter_map(|bin| bin.promised.zip(bin.came_true)).collect();
    let plot = Plot {
        title: "Calibration".to_owned(),
        about: about.to_owned(),
        x: Axis::unit("promised"),
        y: Axis::unit("came true"),
        series: vec![Series::even(), Series::new("model", points)],
    };
    let rows = bins.iter().enumerate().map(|(tenth, bin): (usize, &Bin)| {
        let range = format!("{:.1} to {:.1}", tenth as f64 / 10.0, (tenth + 1) as f64 / 10.0);
        vec![range, bin.n.to_string(), shown(bin.promised, 3), shown(bin.came_true, 3)]
    });
    let table = plot::table("By tenths", &["promised", "predictions", "mean promise", "came true"], rows);
    section(body, "Calibration", &(plot.figure() + &table));
}
