//! Figures of the server: for Prometheus, and as JSON for the admin page.
//!
//! Invariant: only services get them, and they contain no data of a single user. Both forms come from one [`Figures`].
//! A series without a value is left out, never 0. docs/operations.md describes each series.

use actix_web::HttpResponse;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType, Summary};
use prometheus::{TEXT_FORMAT, TextEncoder};
use serde_json::{Value, json};

use crate::actors::figures::{Figures, LearnedFigures};
use crate::actors::population::{Clustering, ClusteringFigures};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::found;

/// Figures that the gateway counts.
struct GatewayFigures {
    sockets: usize,
    rate_limited: Vec<(&'static str, u64)>,
}

async fn gathered(request: &AuthedRequest) -> Result<(Figures, GatewayFigures), Refusal> {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let gateway = GatewayFigures { sockets: request.sockets(), rate_limited: request.rate_limited() };
    Ok((request.server().figures().await, gateway))
}

/// `GET /metrics`: the Prometheus text format.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn metrics(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let (figures, gateway) = gathered(&request).await?;
    let text = TextEncoder::new().encode_to_string(&families(&figures, &gateway)).map_err(|error| {
        tracing::error!(%error, "cannot encode the figures");
        Refusal::new(Code::Internal, "the figures could not be written; the server's log says more")
    })?;
    let headers = (("content-type", TEXT_FORMAT), ("cache-control", "no-store"));
    Ok(HttpResponse::Ok().insert_header(headers.0).insert_header(headers.1).body(text))
}

/// `GET /v1/figures`: the figures as JSON.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn figures(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let (figures, gateway) = gathered(&request).await?;
    found(&as_json(&figures, &gateway))
}

fn as_json(figures: &Figures, gateway: &GatewayFigures) -> Value {
    let Figures { journal, .. } = figures;
    let limited: serde_json::Map<_, _> =
        gateway.rate_limited.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    json!({
        "at": figures.at,
        "journal": {
            "queued": journal.queued,
            "queue_max": journal.queue_max,
            "commits": journal.counted.commits,
            "writes": journal.counted.writes,
            "retries": journal.counted.retries,
            "refused": journal.counted.refused,
            "seconds": journal.counted.seconds,
            "event_lookups": figures.event_lookups,
            "rebuilds": figures.rebuilds,
        },
        "people": {"known": figures.people, "active": figures.active},
        "sockets": gateway.sockets,
        "rate_limited": limited,
        "world": {
            "epoch": figures.epoch,
            "items": figures.items,
            "open": figures.open,
            "topics": figures.topics,
            "model_version": figures.model,
        },
        "clusterings": figures.clusterings.iter().map(clustering_json).collect::<Vec<_>>(),
        "memory_bytes": figures.memory,
        "slates": {"logged": figures.slates_logged, "dropped": figures.slates_dropped},
        "learned": figures.learned.as_ref().map(learned_json),
    })
}

fn clustering_json(ClusteringFigures { status, .. }: &ClusteringFigures) -> Value {
    let fit = status.published.fit.as_ref().map(|fit| &fit.summary);
    json!({
        "name": status.name,
        "counter": status.counter,
        "threshold": status.settings.threshold,
        "clusters": fit.map(|fit| fit.clusters.len()),
        "epoch": fit.map(|fit| fit.epoch),
        "fitted_at": fit.map(|fit| fit.fitted_at),
    })
}

fn learned_json(learned: &LearnedFigures) -> Value {
    let LearnedFigures { covers, score, hedge, bound, drifts } = learned;
    let by_name = |pairs: Vec<(&str, Value)>| -> serde_json::Map<String, Value> {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    json!({
        "covers": covers,
        "labelled": score.labelled,
        "auc": by_name(score.auc.iter().map(|(name, auc)| (*name, json!(auc))).collect()),
        "log_loss": score.log_loss,
        "calibration_error": score.calibration_error,
        "drifts": drifts,
        "hedge": {
            "rounds": hedge.rounds,
            "experts": by_name(hedge.experts.iter().map(|(expert, loss)| (expert.name(), json!(loss))).collect()),
            "blend_without_tower": hedge.without_tower,
            "blend": hedge.blend,
            "mixture": hedge.mixture,
            "served": hedge.served,
            "best": (hedge.rounds > 0).then(|| hedge.best.name()),
            "regret": hedge.regret,
            "bound": bound,
            "leader": hedge.leader.map(|leader| leader.name()),
        },
    })
}

/// All series, in the order of docs/operations.md.
fn families(figures: &Figures, gateway: &GatewayFigures) -> Vec<MetricFamily> {
    let mut all = MetricFamilies::default();
    let journal = &figures.journal;
    let counted = &journal.counted;
    all.gauge("eddyline_journal_queued", "Entries waiting to be stored.", journal.queued as f64);
    all.gauge("eddyline_journal_queue_max", "Entries that may wait at most.", journal.queue_max as f64);
    all.counter("eddyline_journal_writes_total", "Writes that became durable.", counted.writes as f64);
    all.counter("eddyline_journal_retries_total", "Commits tried again.", counted.retries as f64);
    all.counter("eddyline_journal_refused_total", "Times the queue was full.", counted.refused as f64);
    all.summary("eddyline_journal_commit_seconds", "Time of commits.", counted.commits, counted.seconds);
    all.counter("eddyline_event_lookups_total", "Questions for ids of events.", figures.event_lookups as f64);
    all.counter("eddyline_rebuilds_total", "People folded again from the journal.", figures.rebuilds as f64);
    all.gauge("eddyline_people", "People who are known.", figures.people as f64);
    all.gauge("eddyline_people_active", "People whose actors are in memory.", figures.active as f64);
    all.gauge("eddyline_sockets", "Open WebSockets.", gateway.sockets as f64);
    let limited = gateway.rate_limited.iter().map(|(bucket, count)| (*bucket, *count as f64)).collect();
    all.counters("eddyline_rate_limited_total", "Requests and messages refused as too many.", "bucket", limited);
    all.gauge("eddyline_world_epoch", "Version of the world that is served.", figures.epoch as f64);
    all.gauge("eddyline_items", "Items ever made, deleted ones too.", f64::from(figures.items));
    all.gauge("eddyline_items_open", "Items that can be shown.", figures.open as f64);
    all.gauge("eddyline_topics", "Topics that have a name.", f64::from(figures.topics));
    if let Some(model) = figures.model {
        all.gauge("eddyline_model_version", "The two-tower model that serves.", model.0 as f64);
        let help = "Items that lack a column which the serving two-tower model reads.";
        all.gauge("eddyline_model_incomplete_items", help, figures.incomplete_items as f64);
    }
    if let Some(bytes) = figures.memory {
        all.gauge("eddyline_memory_bytes", "Resident memory of the process.", bytes as f64);
    }
    all.counter("eddyline_slates_logged_total", "Drawn feeds that were logged.", figures.slates_logged as f64);
    all.counter("eddyline_slates_dropped_total", "Drawn feeds that found no room.", figures.slates_dropped as f64);
    all.clusterings(&figures.clusterings);
    if let Some(learned) = &figures.learned {
        all.learned(learned);
    }
    all.0
}

/// Metric families for the encoder.
#[derive(Default)]
struct MetricFamilies(Vec<MetricFamily>);

impl MetricFamilies {
    fn clusterings(&mut self, all: &[ClusteringFigures]) {
        let name = |one: &ClusteringFigures| one.status.name.clone();
        // Before the first fit both are 0.
        let of_fit = |value: fn(&Clustering) -> f64| -> Vec<(String, f64)> {
            let fit = |one: &ClusteringFigures| one.status.published.fit.as_ref().map_or(0.0, |fit| value(fit));
            all.iter().map(|one| (name(one), fit(one))).collect()
        };
        let counters: Vec<(String, f64)> = all.iter().map(|one| (name(one), one.status.counter as f64)).collect();
        let (seconds, clusters) = (of_fit(|fit| fit.summary.seconds), of_fit(|fit| fit.summary.clusters.len() as f64));
        let mut gauges = |series: &str, help: &str, values: &[(String, f64)]| {
            let values = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            self.gauges(series, help, "clustering", values);
        };
        gauges("eddyline_clustering_counter", "Points since the last fit of a clustering began.", &counters);
        gauges("eddyline_clustering_fit_seconds", "Duration of the last fit of a clustering.", &seconds);
        gauges("eddyline_clustering_clusters", "Clusters in the last fit of a clustering.", &clusters);
    }

    fn learned(&mut self, LearnedFigures { covers, score, hedge, bound, drifts }: &LearnedFigures) {
        let loss = "eddyline_hedge_loss_nats";
        self.gauge("eddyline_journal_position", "Last entry that was learned.", *covers as f64);
        self.gauge("eddyline_labelled", "Labelled events that were learned.", score.labelled as f64);
        let auc = score.auc.iter().filter_map(|(name, auc)| Some((*name, (*auc)?))).collect();
        self.gauges("eddyline_auc", "Progressive ROC AUC over all users.", "score", auc);
        if let Some(value) = score.log_loss {
            self.gauge("eddyline_log_loss_nats", "Progressive mean log loss of the online models.", value);
        }
        if let Some(value) = score.calibration_error {
            self.gauge("eddyline_calibration_error", "Expected calibration error of the online models.", value);
        }
        self.gauge("eddyline_lessons", "Lessons of the blend.", hedge.rounds as f64);
        let experts = hedge.experts.iter().map(|(expert, loss)| (expert.name(), *loss)).collect();
        self.gauges("eddyline_hedge_expert_loss_nats", "Cumulative log loss of each expert alone.", "expert", experts);
        let blends = [("blend", hedge.blend), ("blend_without_tower", hedge.without_tower)];
        let others = blends.into_iter().chain([("mixture", hedge.mixture), ("served", hedge.served)]).collect();
        self.gauges(loss, "Cumulative log loss of blend, mixture and what was served.", "of", others);
        // Before the first training example no expert is better than another.
        let compared = hedge.experts.iter().filter(|_| hedge.rounds > 0);
        let best = compared.map(|(expert, _)| (expert.name(), f64::from(*expert == hedge.best))).collect();
        self.gauges("eddyline_hedge_best", "1 for the best single expert so far.", "expert", best);
        let serves = |name: &str| f64::from(hedge.leader.map_or("blend", |leader| leader.name()) == name);
        let names = hedge.experts.iter().map(|(expert, _)| expert.name()).chain(["blend_without_tower", "blend"]);
        let serving = names.map(|name| (name, serves(name))).collect();
        self.gauges("eddyline_hedge_serving", "1 for what is served now.", "expert", serving);
        self.gauge("eddyline_hedge_regret_nats", "Loss of what was served over the best expert's.", hedge.regret);
        self.gauge("eddyline_hedge_bound_nats", "Most by which the mixture may exceed the best.", *bound);
        self.gauge(
            "eddyline_drift_alarms",
            "Alarms that the loss of the blend, or of the opinion, has drifted.",
            f64::from(*drifts),
        );
    }

    fn push(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        // The encoder refuses a family without values.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.push(name, help, MetricType::GAUGE, vec![gauge(Vec::new(), value)]);
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, values: Vec<(&str, f64)>) {
        let metrics = values.into_iter().map(|(word, value)| gauge(vec![labelled(label, word)], value)).collect();
        self.push(name, help, MetricType::GAUGE, metrics);
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.push(name, help, MetricType::COUNTER, vec![counter(Vec::new(), value)]);
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: Vec<(&str, f64)>) {
        let metrics = values.into_iter().map(|(word, value)| counter(vec![labelled(label, word)], value)).collect();
        self.push(name, help, MetricType::COUNTER, metrics);
    }

    fn summary(&mut self, name: &str, help: &str, count: u64, sum: f64) {
        let mut summary = Summary::default();
        summary.set_sample_count(count);
        summary.set_sample_sum(sum);
        let mut metric = Metric::default();
        metric.set_summary(summary);
        self.push(name, help, MetricType::SUMMARY, vec![metric]);
    }
}

fn labelled(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn gauge(labels: Vec<LabelPair>, value: f64) -> Metric {
    let (mut metric, mut gauge) = (Metric::from_label(labels), Gauge::default());
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

fn counter(labels: Vec<LabelPair>, value: f64) -> Metric {
    let (mut metric, mut counter) = (Metric::from_label(labels), Counter::default());
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::answers::{RocCurves, Score};
    use crate::actors::figures::JournalFigures;
    use crate::actors::journal::counts::Counted;
    use crate::actors::population::{ClusterSettings, ClusteringStatus, Published};
    use crate::domain::feeds::Expert;
    use crate::domain::ids::ModelVersion;
    use crate::domain::time::Millis;
    use crate::engine::blend::hedge::Hedge;

    /// A clustering before its first fit.
    fn clustering() -> ClusteringFigures {
        let status = ClusteringStatus {
            name: "default".into(),
            settings: ClusterSettings::default(),
            revision: 0,
            changed_at: None,
            counter: 7,
            under_way: None,
            requested: false,
            refused: None,
            published: Published::default(),
        };
        ClusteringFigures { status, next: None, starts: (0, 0) }
    }

    fn sample() -> (Figures, GatewayFigures) {
        let counted = Counted { commits: 4, writes: 11, retries: 1, refused: 2, seconds: 0.25 };
        let score = Score {
            labelled: 9,
            auc: vec![("online", Some(0.75)), ("topics", None), ("model", Some(0.5))],
            log_loss: Some(0.625),
            calibration_error: None,
            positives: 4,
            negatives: 5,
            roc: RocCurves::default(),
        };
        let learned = LearnedFigures { covers: 17, score, hedge: Hedge::default().figures(), bound: 3.5, drifts: 1 };
        let figures = Figures {
            at: Millis(1_000),
            journal: JournalFigures { queued: 3, queue_max: 16, counted },
            people: 7,
            active: 5,
            epoch: 12,
            items: 40,
            open: 38,
            topics: 6,
            model: Some(ModelVersion(4)),
            incomplete_items: 5,
            memory: Some(1 << 20),
            event_lookups: 13,
            rebuilds: 0,
            slates_logged: 2,
            slates_dropped: 1,
            clusterings: vec![clustering()],
            learned: Some(learned),
        };
        (figures, GatewayFigures { sockets: 8, rate_limited: vec![("address", 3), ("person", 0)] })
    }

    /// The sample after the first training example of the blend.
    fn after_a_lesson() -> (Figures, GatewayFigures) {
        let (mut figures, gateway) = sample();
        if let Some(learned) = &mut figures.learned {
            learned.hedge.rounds = 1;
        }
        (figures, gateway)
    }

    fn text(figures: &Figures, gateway: &GatewayFigures) -> String {
        TextEncoder::new().encode_to_string(&families(figures, gateway)).unwrap()
    }

    #[test]
    fn every_figure_is_a_series_and_unknown_ones_are_none() {
        let (figures, gateway) = sample();
        let said = text(&figures, &gateway);
        for line in [
            "eddyline_journal_queued 3",
            "eddyline_journal_writes_total 11",
            "eddyline_journal_commit_seconds_sum 0.25",
            "eddyline_journal_commit_seconds_count 4",
            "eddyline_event_lookups_total 13",
            "eddyline_rebuilds_total 0",
            "eddyline_rate_limited_total{bucket=\"address\"} 3",
            "eddyline_world_epoch 12",
            "eddyline_model_version 4",
            "eddyline_clustering_counter{clustering=\"default\"} 7",
            "eddyline_model_incomplete_items 5",
            "eddyline_memory_bytes 1048576",
            "eddyline_auc{score=\"online\"} 0.75",
            "eddyline_hedge_serving{expert=\"blend\"} 1",
            "eddyline_hedge_bound_nats 3.5",
            "eddyline_drift_alarms 1",
        ] {
            assert!(said.lines().any(|one| one == line), "{line} is not in:\n{said}");
        }
        assert!(!said.contains("topics\"}") && !said.contains("calibration"), "what is unknown is not 0:\n{said}");
        let silent = text(&Figures { learned: None, memory: None, ..figures }, &gateway);
        assert!(!silent.contains("hedge") && !silent.contains("memory_bytes") && silent.contains("eddyline_people 7"));
    }

    #[test]
    fn metrics_have_a_line_for_every_expert_of_the_list() {
        let (figures, doorway) = after_a_lesson();
        let said = text(&figures, &doorway);
        for expert in Expert::ALL {
            for metric in ["hedge_expert_loss_nats", "hedge_best", "hedge_serving"] {
                let line = format!("eddyline_{metric}{{expert=\"{}\"}} ", expert.name());
                assert!(said.contains(&line), "{line} is not in:\n{said}");
            }
        }
    }

    #[test]
    fn the_json_says_the_same() {
        let (figures, gateway) = sample();
        let said = as_json(&figures, &gateway);
        for (pointer, expected) in [
            ("/journal/writes", json!(11)),
            ("/people/active", json!(5)),
            ("/rate_limited/address", json!(3)),
            ("/world/model_version", json!(4)),
            ("/learned/auc/topics", Value::Null),
            ("/learned/log_loss", json!(0.625)),
            ("/learned/hedge/bound", json!(3.5)),
            ("/learned/hedge/leader", Value::Null),
        ] {
            assert_eq!(said.pointer(pointer), Some(&expected), "{pointer} in {said}");
        }
        assert_eq!(as_json(&Figures { learned: None, ..figures }, &gateway)["learned"], Value::Null);
    }

    #[test]
    fn before_the_first_lesson_no_expert_is_best() {
        let (figures, gateway) = sample();
        assert!(!text(&figures, &gateway).contains("hedge_best"), "no lesson was counted");
        assert_eq!(as_json(&figures, &gateway).pointer("/learned/hedge/best"), Some(&Value::Null));
        let (after, gateway) = after_a_lesson();
        assert!(text(&after, &gateway).contains("eddyline_hedge_best{expert="));
        assert!(as_json(&after, &gateway).pointer("/learned/hedge/best").is_some_and(Value::is_string));
    }

    #[test]
    fn every_series_is_in_the_manual_and_the_manual_names_no_other() {
        let (mut figures, gateway) = after_a_lesson();
        if let Some(learned) = &mut figures.learned {
            learned.score.calibration_error = Some(0.0);
        }
        let said: Vec<String> = families(&figures, &gateway).iter().map(|family| family.name().to_owned()).collect();
        let manual = include_str!("../../../docs/operations.md");
        let rows: Vec<&str> =
            manual.lines().filter_map(|line| line.strip_prefix("| `eddyline_")?.split(['`', '{']).next()).collect();
        let rows: Vec<String> = rows.into_iter().map(|row| format!("eddyline_{row}")).collect();
        assert_eq!(said, rows, "left: the series, right: docs/operations.md");
    }
}
