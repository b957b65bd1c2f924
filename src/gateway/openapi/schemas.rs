//! The named schemas of the document: types of the code, and answers that handlers build from several sources.
//!
//! Invariant: a type of the code that serde reads or writes has its schema from its definition. [`WRITTEN`] holds only
//! shapes without such a type.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::actors::population::ClusterSettings;
use crate::domain::metrics::Declaration;
use crate::domain::stated_time::{StatedTime, StatedWindow};
use crate::protocol::problem::Code;
use crate::protocol::server::WireItem;

use super::super::rest::access::{KeyView, TokenInput, TokenView};
use super::super::rest::batch::Outcome;
use super::super::rest::bulk::{DeletionInput, FollowInput, UserInput};
use super::super::rest::clusterings::NameInput;
use super::super::rest::interactions::{InteractionInput, InteractionView};
use super::super::rest::items::{ItemInput, ItemView};
use super::super::rest::people::PersonInput;
use super::super::rest::popular::PopularItem;
use super::super::rest::recommend::RecommendInput;
use super::super::rest::scores::{LabelInput, TopicsInput};
use super::super::rest::search::FoundItem;
use super::super::rest::similar::{SimilarItem, SimilarPeopleAnswer};
use super::super::rest::undo::StandingView;
use super::notation;

/// Schemas by name, in the notation of [`notation`], for shapes without a type of their own.
const WRITTEN: &[(&str, &str)] = &[
    (
        "Problem",
        "{type: string, title: string, status: integer, detail: string, errors?: {field: string, message: string}[]}",
    ),
    ("Accepted", r#"{id: Key, status: "accepted", seq: integer, warnings?: string[]}"#),
    ("Written", "{item: Key, id: Key, revision: integer, warnings?: string[]}"),
    ("Results", "{results: PartResult[]}"),
    (
        "RecommendedItem",
        "{item: Key, author?: Key, topic?: Key, text: string, at: Time, available_until?: Time, expected_until?: Time, \
         live?: boolean, score: number, likely?: number, position: integer, why?: ScorePart[]}",
    ),
    ("ScorePart", "{amount: number, expert?: string, boost?: object}"),
    ("ClusterPlace", "{id: integer | null, nearest: integer, probability: number, outlier: number} | null"),
    (
        "User",
        "{user: Key, id: Key, name?: string, attributes?: object, created: Time, cluster: ClusterPlace, friends?: Key[]}",
    ),
    ("DecaySettings", r#"{curve: "exact" | "euler", rate: number, horizon_ms: integer}"#),
    ("AucByScore", "{online: number | null, topics: number | null, model: number | null}"),
    (
        "UserScore",
        "{user: Key, labelled: integer, auc: AucByScore, log_loss_model: number | null, positives: integer, \
         negatives: integer, log_loss: number | null, calibration_error: number | null}",
    ),
    (
        "ServerScore",
        "{labelled: integer, auc: AucByScore, log_loss: number | null, calibration_error: number | null, \
         positives?: integer, negatives?: integer}",
    ),
    (
        "ScoreWithCurves",
        "{labelled: integer, auc: AucByScore, log_loss: number | null, calibration_error: number | null, \
         positives: integer, negatives: integer, roc: RocCurves, user?: Key, log_loss_model?: number | null}",
    ),
    ("RocCurve", "[number(0..1), number(0..1)][](..513)"),
    ("RocCurves", "{online: RocCurve, topics: RocCurve, model: RocCurve}"),
    ("UserMean", "{name: string, type: string | null, count: integer, mean: number}"),
    (
        "UserModel",
        "{user: Key, labelled: integer, auc: AucByScore, log_loss_model: number | null, positives: integer, \
         negatives: integer, log_loss: number | null, calibration_error: number | null, topics: {*: number(0..1)}, \
         decay: DecaySettings, events: integer, weight_norm: number, uncertainty: number, experts: {*: number}, \
         drifts: integer, metrics: UserMean[], cluster: ClusterPlace, follows: Key[], seq: integer}",
    ),
    ("Prediction", "{accepted: number(0..1), rejected: number(0..1), deviation: number, seq?: integer}"),
    (
        "Judgement",
        "{accepted: number(0..1), rejected: number(0..1), deviation: number, auc: number | null, labelled: integer, \
         positives: integer, negatives: integer}",
    ),
    (
        "MetricDeclaration",
        r#"{name: string, kind: "value" | "duration" | "count" | "ratio", unit: string, range: [number, number],
            prior: MetricPrior, types: string[], attribute: string | null}"#,
    ),
    ("DeclaredMetric", "{name: string, declaration: MetricDeclaration, configured: boolean, stored: boolean}"),
    (
        "Measurement",
        "{metric: string, value?: number, type?: string, page_type?: string, user?: Key, id?: Key, at?: TimeInput, \
         *: number}",
    ),
    (
        "MetricFigures",
        "{name: string, type: string | null, people: integer, mean: number | null, precision: number | null, \
         mean_interval: [number, number] | null, deviation: number | null, posterior: MetricPrior}",
    ),
    (
        "UserMetric",
        "{name: string, type: string | null, unit: string, count: integer, value: number, people: integer, \
         mean: number, deviation: number | null, sigmas: number | null, z: number | null, \
         interval: [number, number] | null, atypical: boolean}",
    ),
    (
        "NamedCluster",
        "{id: integer, name: string | null, size: integer, weight: number, mean: number[], covariance: number[][], freedom?: number}",
    ),
    (
        "FitReport",
        "{epoch: integer | null, fitted_at: Time | null, columns: string[], people: integer, clusters: NamedCluster[], \
         outliers: integer, noise_weight?: number, lower_bound?: number, maximum_binds: boolean, \
         seconds: number | null, moved: integer}",
    ),
    ("FitPoint", "{user: Key, values: number[], cluster: integer | null, probability: number, outlier: number}"),
    (
        "Fit",
        "{epoch: integer | null, fitted_at: Time | null, columns: string[], people: integer, clusters: NamedCluster[], \
         outliers: integer, noise_weight?: number, lower_bound?: number, maximum_binds: boolean, \
         seconds: number | null, moved: integer, points: FitPoint[], \
         previous: {epoch: integer, clusters: NamedCluster[]} | null}",
    ),
    (
        "Clustering",
        "{name: string, settings: ClusterSettings, revision: integer, changed_at: Time | null, counter: integer, \
         threshold: integer, next: Time | null, requested: boolean, \
         under_way: {epoch: integer, began_at: Time, starts_done: integer, starts: integer} | null, \
         refused: string | null, epoch: integer | null, fitted_at: Time | null, clusters: integer | null, \
         people: integer | null, outliers: integer | null, seconds: number | null, maximum_binds: boolean | null, \
         fit?: Fit | null}",
    ),
    (
        "UserCluster",
        "{clustering: string, id: integer | null, name: string | null, nearest: integer, probability: number, outlier: number}",
    ),
    ("IncompleteItems", "{count: integer, columns: string[]}"),
    (
        "TowerModel",
        "{version: integer, created: Time, published?: Time, serves: boolean, bytes: integer, summary: any, \
         incomplete_items?: IncompleteItems}",
    ),
    ("WeightCurve", "{name: string, points: [number, number][]}"),
    (
        "AvailableItem",
        "{item: Key, text: string, topic: Key | null, live: boolean, available_until: Time | null, \
         expected_until: Time | null}",
    ),
    (
        "PlacedWindow",
        "{item: Key, text: string, author: Key | null, topic: Key | null, start: Time, stop: Time | null}",
    ),
    (
        "ListedInteraction",
        r#"{user: Key, seq: integer, id: Key, item: Key, kind: Kind, at: Time, received: Time, dwell_ms?: integer,
            shown?: Shown, liked_at?: Time, predicted: Predicted, user_detail?: User, post_detail?: Item}"#,
    ),
    (
        "InteractionRow",
        r#"{user_id: Key, post_id: Key, action: "like" | "view", target: integer(0..1), timestamp: string,
            user_detail?: User, post_detail?: Item}"#,
    ),
];

/// All named schemas. Faults go to `faults`.
pub(super) fn components(faults: &mut Vec<String>) -> Map<String, Value> {
    let mut found = Map::new();
    let mut read = generator();
    of::<ItemInput>(&mut read);
    of::<StatedWindow>(&mut read);
    of::<StatedTime>(&mut read);
    of::<InteractionInput>(&mut read);
    of::<PersonInput>(&mut read);
    of::<UserInput>(&mut read);
    of::<FollowInput>(&mut read);
    of::<DeletionInput>(&mut read);
    of::<TopicsInput>(&mut read);
    of::<RecommendInput>(&mut read);
    of::<LabelInput>(&mut read);
    of::<NameInput>(&mut read);
    of::<TokenInput>(&mut read);
    of::<Declaration>(&mut read);
    of::<ClusterSettings>(&mut read);
    let mut written = SchemaSettings::draft2020_12().for_serialize();
    written.definitions_path = "/components/schemas".into();
    let mut written = written.into_generator();
    of::<ItemView<'_>>(&mut written);
    of::<PopularItem<'_>>(&mut written);
    of::<SimilarItem<'_>>(&mut written);
    of::<InteractionView>(&mut written);
    of::<FoundItem<'_>>(&mut written);
    of::<SimilarPeopleAnswer>(&mut written);
    of::<StandingView>(&mut written);
    of::<Outcome>(&mut written);
    of::<TokenView<'_>>(&mut written);
    of::<KeyView>(&mut written);
    of::<WireItem>(&mut written);
    of::<Code>(&mut written);
    let typed = [read, written].into_iter().flat_map(|mut generator| generator.take_definitions(true));
    let noted = WRITTEN.iter().filter_map(|(name, text)| match notation::schema(text) {
        Ok(schema) => Some(((*name).to_owned(), schema)),
        Err(error) => {
            faults.push(format!("{name}: {error}"));
            None
        }
    });
    for (name, schema) in typed.chain(noted.collect::<Vec<_>>()) {
        let schema = bounded(schema);
        if found.get(&name).is_some_and(|other| *other != schema) {
            faults.push(format!("two schemas have the name {name}"));
        }
        found.insert(name, schema);
    }
    // The text of a header: keys that HTTP can carry.
    found.insert(
        "EventId".into(),
        json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}),
    );
    found
}

/// A schema with the bounds of its integers, of which the generator writes only the lower one of unsigned types.
fn bounded(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: Map<String, Value> =
                fields.into_iter().map(|(name, inner)| (name, bounded(inner))).collect();
            let most = match fields.get("format").and_then(Value::as_str) {
                Some("uint16") => Some(u16::MAX.into()),
                Some("uint32") => Some(u32::MAX.into()),
                Some("uint64" | "uint") => Some(u64::MAX),
                _ => None,
            };
            if let Some(most) = most {
                fields.entry("maximum").or_insert_with(|| most.into());
            }
            Value::Object(fields)
        }
        Value::Array(all) => all.into_iter().map(bounded).collect(),
        other => other,
    }
}

/// A generator of schemas for values that the server reads.
fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.into_generator()
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}
