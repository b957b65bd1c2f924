//! Scores of the two-tower model against an independent forward pass, on both stores.
//!
//! Invariant under test: the server, `replay --tower` and `two_tower/reference.py` compute one function. The script knows the
//! formulas of docs/two-tower.md alone, computes in double precision and imports nothing of this program. Its tables have
//! numeric columns, categories, unknown and missing values, and histories.

use crate::postgres;
use crate::support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use eddyline::domain::time::Millis;
use eddyline::domain::timestamps;
use eddyline::tower::layout::Shapes;
use eddyline::tower::schema::{Components, Schema};
use eddyline::tower::{Checkpoint, Similarity, Sizes, Summary};
use serde::Deserialize;
use serde_json::Value;
use support::{Server, store};
use tempfile::TempDir;

/// Output of `two_tower/reference.py`.
const REFERENCE: &str = include_str!("two_tower/reference.json");

/// Numbers of an embedding in the tables of the script.
const VARIABLES: [(&str, &str); 1] = [("EDDYLINE_DIM", "8")];

/// Bound on the error of single precision against double precision, relative to the larger of 1 and the number.
const CLOSE: f64 = 1e-6;

#[derive(Deserialize)]
struct Reference {
    schema: Schema,
    sizes: Sizes,
    people: Vec<BTreeMap<String, Value>>,
    posts: Vec<BTreeMap<String, Value>>,
    feed: Vec<BTreeMap<String, Value>>,
    test_from: i64,
    at: i64,
    dot: Expected,
    cosine: Expected,
}

#[derive(Deserialize)]
struct Expected {
    /// Log-odds by user and post, at [`Reference::at`].
    served: BTreeMap<String, BTreeMap<String, f64>>,
    replayed: Replayed,
    vectors: Vectors,
}

/// Figures of the views from [`Reference::test_from`] on.
#[derive(Deserialize)]
struct Replayed {
    views: u64,
    likes: u64,
    log_loss: f64,
    roc_auc: f64,
}

/// The first four numbers of vectors, by key.
#[derive(Deserialize)]
struct Vectors {
    items: BTreeMap<String, Vec<f64>>,
}

fn is_close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= CLOSE * expected.abs().max(1.0)
}

/// The linear congruential generator of the script.
struct Generator(u32);

impl Generator {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((self.0 >> 16) % 257) as f32 - 128.0) / 128.0
    }

    /// A tensor of `rows` by `columns` under the rule of the script; exact in single precision.
    fn tensor(&mut self, name: &str, rows: usize, columns: usize) -> Vec<f32> {
        let bound = match rows {
            1 => 0.125,
            _ => 2.0_f64.powf(1.0 - ((columns as f64).log2() / 2.0).round_ties_even()) as f32,
        };
        let middle = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
        (0..rows * columns).map(|_| middle + bound * self.next()).collect()
    }
}

/// The model of the script.
fn checkpoint(reference: &Reference, similarity: Similarity) -> Checkpoint {
    let schema = Schema { similarity, ..reference.schema.clone() };
    let mut random = Generator(3);
    let reduction = schema.item.embedding.unwrap();
    let mean = random.tensor("item.embedding.mean", 1, reduction.from);
    let components =
        Components { mean, rows: random.tensor("item.embedding.components", reduction.to, reduction.from) };
    let mut weights = Vec::new();
    for shape in Shapes::new(&schema, &reference.sizes).all {
        match (shape.name.as_str(), similarity) {
            ("output", Similarity::Dot) => weights.extend([0.125, -0.5]),
            ("output", Similarity::Cosine) => weights.extend([4.0, -0.5]),
            (name, _) => weights.extend(random.tensor(name, shape.rows, shape.columns)),
        }
    }
    Checkpoint::new(schema, reference.sizes, Summary::default(), components, weights)
}

/// Writes a table of the script as CSV.
fn write(folder: &Path, name: &str, columns: &[&str], rows: &[BTreeMap<String, Value>]) {
    let mut out = csv::Writer::from_path(folder.join(name)).unwrap();
    out.write_record(columns).unwrap();
    for row in rows {
        let cell = |column: &&str| match &row[*column] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        out.write_record(columns.iter().map(cell)).unwrap();
    }
    out.flush().unwrap();
}

fn tables(reference: &Reference, folder: &Path) {
    write(folder, "user_data.csv", &["user_id", "country", "gender", "age", "shoe"], &reference.people);
    let posts = ["post_id", "text", "topic", "length", "price", "embedding"];
    write(folder, "post_text_df.csv", &posts, &reference.posts);
    write(folder, "feed_data.csv", &["timestamp", "user_id", "post_id", "action", "target"], &reference.feed);
}

/// Runs `eddyline` to its end, with embeddings of the size in the tables.
fn run(arguments: &[&str]) -> String {
    let output = Command::new(support::program()).args(arguments).envs(VARIABLES).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// Imports the tables into a store, publishes both models in turn, and compares each served score with the script's.
fn compare_served(reference: &Reference, folder: &Path, directory: TempDir, store: &str) {
    run(&["import", "--format", "tables", "--store", store, folder.to_str().unwrap()]);
    let server = Server::start_on_with(directory, store.to_owned(), &VARIABLES);
    let rest = server.rest();
    for (similarity, expected) in [(Similarity::Dot, &reference.dot), (Similarity::Cosine, &reference.cosine)] {
        let bytes = checkpoint(reference, similarity).to_bytes().unwrap();
        let published = rest.post_bytes("/v1/models?publish=true", &bytes).success("publish a model").json();
        let mut worst = 0.0_f64;
        for (user, odds) in &expected.served {
            let path = format!("/post/recommendations?id={user}&ranking=tower&limit=100&time={}", reference.at);
            let answer = rest.get(&path).success("recommendations").json();
            assert_eq!(answer["model_version"], published["version"]);
            let found = answer["recommendations"].as_array().unwrap();
            assert_eq!(found.len(), odds.len(), "{user} gets all posts: {answer}");
            for row in found {
                let (score, expected) = (row["score"].as_f64().unwrap(), odds[row["item"].as_str().unwrap()]);
                worst = worst.max((score - expected).abs());
                assert!(is_close(score, expected), "{similarity:?}, {user}: {row} must have {expected}");
            }
        }
        println!("{similarity:?}: the largest difference is {worst:e}");
        let path = format!("/v1/models/{}/embeddings?of=items&format=ndjson", published["version"]);
        let answer = rest.get(&path).success("vectors of items");
        let rows: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), expected.vectors.items.len());
        for row in &rows {
            for (place, number) in expected.vectors.items[row["id"].as_str().unwrap()].iter().enumerate() {
                assert!(is_close(row["vector"][place].as_f64().unwrap(), *number), "{similarity:?}: {row}");
            }
        }
    }
}

#[test]
fn served_scores_are_those_of_the_independent_forward_pass() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tables(&reference, folder.path());
    let directory = tempfile::tempdir().unwrap();
    let embedded = store(directory.path());
    compare_served(&reference, folder.path(), directory, &embedded);
    if postgres::skipped() {
        return println!("Postgres is skipped: EDDYLINE_TEST_POSTGRES=skip");
    }
    let cluster = postgres::shared();
    let url = cluster.url(&cluster.database());
    compare_served(&reference, folder.path(), tempfile::tempdir().unwrap(), &url);
}

#[test]
fn replayed_predictions_are_those_of_the_independent_forward_pass() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tables(&reference, folder.path());
    let test_from = timestamps::text(Millis(reference.test_from));
    for (similarity, expected) in
        [(Similarity::Dot, &reference.dot.replayed), (Similarity::Cosine, &reference.cosine.replayed)]
    {
        let file = folder.path().join("model.safetensors");
        std::fs::write(&file, checkpoint(&reference, similarity).to_bytes().unwrap()).unwrap();
        let json = folder.path().join("report.json");
        let (tower, report) = (file.to_str().unwrap(), json.to_str().unwrap());
        let tables = folder.path().to_str().unwrap();
        let flags = ["replay", "--format", "tables", "--test-from", &test_from, "--tower", tower, "--json", report];
        run(&[&flags[..], &[tables]].concat());
        let likes: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let likes = &likes["likes"];
        assert_eq!((&likes["views"], &likes["likes"]), (&expected.views.into(), &expected.likes.into()), "{likes}");
        let found = &likes["contenders"]["tower"];
        let (loss, auc) = (&found["calibration"]["log_loss"], &found["roc_auc"]["value"]);
        assert!(is_close(loss.as_f64().unwrap(), expected.log_loss), "{similarity:?}: {loss} {}", expected.log_loss);
        assert!(is_close(auc.as_f64().unwrap(), expected.roc_auc), "{similarity:?}: {auc} {}", expected.roc_auc);
    }
}
