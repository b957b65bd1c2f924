//! Tables end to end: simulated, stored as CSV, Parquet and in Postgres, imported, served and evaluated.
//!
//! Invariant under test: equal rows give equal results from every source, and the served data are the imported ones.

use crate::little_tower;
use crate::postgres;
use crate::support;

use std::path::Path;
use std::sync::Arc;

use eddyline::app;
use eddyline::commands::loader::Loader;
use eddyline::config::Config;
use eddyline::domain::ids::ModelVersion;
use eddyline::domain::time::Millis;
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::two_tower::{ItemFacts, Step, TOWER_DIM, TowerVector, TwoTower};
use eddyline::store::Store;
use eddyline::store::embedded::Embedded;
use eddyline_offline::import;
use eddyline_replay::evaluate::{self, EvaluateOptions, TestSpan};
use eddyline_replay::likes::{Estimate, Likes, Mode};
use eddyline_replay::log::WindowSource;
use eddyline_replay::log::tables::{Extras, log_of};
use eddyline_tables::read::{self, Place};
use eddyline_training::{TrainSettings, facts, train};
use little_tower::Little;
use serde_json::Value;
use support::{Server, run, store};

/// Writes small tables into a folder.
fn simulate(folder: &Path, format: &str, seed: &str) {
    let folder = folder.to_str().unwrap();
    let size = ["--people", "60", "--posts", "80", "--views", "3000", "--days", "6"];
    let mut all = vec!["simulate", "--tables", folder, "--format", format, "--seed", seed];
    all.extend(size);
    let (status, said) = run(&all);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("3000 views") && said.contains("ROC AUC"), "{said}");
}

/// The report of a replay, without wall times.
fn replay(from: &str, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let mut all = vec!["replay", "--format", "tables", "--json", json.to_str().unwrap()];
    all.extend(more);
    all.push(from);
    let (status, said) = run(&all);
    assert_eq!(status, Some(0), "{said}");
    let mut report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let fields = report.as_object_mut().unwrap();
    fields.remove("seconds").unwrap();
    fields.remove("throughput").unwrap();
    report
}

#[test]
fn same_seed_same_bytes_and_nothing_is_overwritten() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    simulate(one.path(), "csv", "1");
    simulate(two.path(), "csv", "1");
    for name in ["user_data.csv", "post_text_df.csv", "feed_data.csv", "truth.json"] {
        let bytes = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(bytes(one.path()) == bytes(two.path()), "{name} differs");
    }
    let (status, said) = run(&["simulate", "--tables", one.path().to_str().unwrap(), "--views", "10"]);
    assert!(status == Some(1) && said.contains("user_data.csv"), "{said}");
    let truth: Value = serde_json::from_slice(&std::fs::read(one.path().join("truth.json")).unwrap()).unwrap();
    assert!(truth["auc"]["latent"].as_f64().unwrap() > truth["auc"]["features"].as_f64().unwrap());
}

#[test]
fn likes_are_told_alike_from_csv_and_parquet_at_any_number_of_threads() {
    let (text, columns) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    simulate(text.path(), "csv-zst", "2");
    simulate(columns.path(), "parquet", "2");
    let one = replay(text.path().to_str().unwrap(), &["--threads", "1"]);
    let other = replay(columns.path().to_str().unwrap(), &["--threads", "4"]);
    assert_eq!(one, other);
    assert_eq!(one["protocol"], "likes");
    let likes = &one["likes"];
    assert!(likes["leak"].is_null() && likes["views"].as_u64().unwrap() > 300, "{likes}");
    for name in ["popularity", "item_rate", "topic_rate", "blend"] {
        let found = &likes["contenders"][name];
        for figure in ["roc_auc", "average_precision", "hr@5_all", "hr@5_available"] {
            let value = found[figure]["value"].as_f64().unwrap();
            let [low, high] = [0, 1].map(|end| found[figure]["interval"][end].as_f64().unwrap());
            assert!(low <= value && value <= high && (0.0..=1.0).contains(&value), "{name} {figure}: {found}");
        }
        assert_eq!(found["calibration"].is_null(), name == "popularity", "{name}");
    }
    assert!(likes["contenders"]["tower"].is_null(), "there is no model");
}

/// Predicted likes of small tables by this model.
fn told_with(tower: Arc<dyn TwoTower>) -> Likes {
    let folder = tempfile::tempdir().unwrap();
    simulate(folder.path(), "parquet", "6");
    let place = Place::in_folder(folder.path()).unwrap();
    let tables = read::read(&place, &read::TableOptions::default(), &mut |_| ()).unwrap();
    let log = log_of(&tables, 1_000).finish(WindowSource::FirstRow);
    let extras = Extras::of(&tables, &log);
    let options = EvaluateOptions {
        format: "tables".into(),
        windows: "first row".into(),
        test: TestSpan::LastFifth,
        test_only: false,
        seed: 1,
        threads: 2,
        rankers: Vec::new(),
    };
    let settings = Arc::new(LearnSettings::default());
    evaluate::likes(&log, &extras, Some(&tower), Mode::InTime, &settings, &options, &|_| ()).unwrap().likes.unwrap()
}

#[test]
fn a_model_is_judged_alone_and_in_the_blend() {
    let likes = told_with(Arc::new(Little::new(1)));
    let (blend, with) = (&likes.contenders["blend"], &likes.contenders["blend_tower"]);
    assert!(likes.contenders["tower"].calibration.is_some());
    assert!(blend.roc_auc_over_blend.is_none(), "nothing is gained over oneself");
    let gain = with.roc_auc_over_blend.unwrap();
    let value = |one: Estimate| one.value.unwrap();
    assert!((value(gain) - (value(with.roc_auc) - value(blend.roc_auc))).abs() < 1e-12);
    assert_ne!(with.calibration, blend.calibration, "the model has a say");
}

/// A model that predicts from posts of one topic alone. It checks its inputs: the user's attributes, the history in the
/// order of time, and the topics of posts.
#[derive(Debug)]
struct Probe;

impl TwoTower for Probe {
    fn version(&self) -> eddyline::domain::ids::ModelVersion {
        eddyline::domain::ids::ModelVersion(1)
    }

    fn history(&self) -> usize {
        5
    }

    fn lacking(&self, _: &ItemFacts<'_>) -> Vec<String> {
        Vec::new()
    }

    fn item(&self, facts: &ItemFacts<'_>) -> TowerVector {
        assert!(facts.topic.is_some() && !facts.text.is_empty());
        let mut vector = [0.0; TOWER_DIM];
        vector[0] = if facts.topic == Some("music") { 1.0 } else { -1.0 };
        vector
    }

    fn person(
        &self,
        attributes: Option<&str>,
        history: &[Step<'_>],
        now: eddyline::domain::time::Millis,
    ) -> TowerVector {
        assert!(attributes.is_some_and(|text| text.contains("\"age\"")), "{attributes:?}");
        assert!(history.len() <= 5 && history.is_sorted_by_key(|step| step.at));
        assert!(history.last().is_none_or(|step| step.at <= now), "the future");
        let mut vector = [0.0; TOWER_DIM];
        vector[0] = 1.0;
        vector
    }

    fn log_odds(&self, dot: f32) -> f32 {
        dot
    }
}

#[test]
fn a_model_is_handed_who_people_are_and_what_they_did_before() {
    let likes = told_with(Arc::new(Probe));
    // It predicts one value for one topic and another for all others: 0.5 plus the effect of that topic.
    let auc = likes.contenders["tower"].roc_auc.value.unwrap();
    assert!((0.3..0.7).contains(&auc), "{auc}");
}

#[test]
fn leaving_one_out_says_that_it_leaks() {
    let folder = tempfile::tempdir().unwrap();
    simulate(folder.path(), "csv", "3");
    let report = replay(folder.path().to_str().unwrap(), &["--protocol", "likes-last"]);
    let likes = &report["likes"];
    assert!(likes["leak"].as_str().unwrap().contains("had been learned"), "{likes}");
    assert!(likes["views"].as_u64().unwrap() <= 60, "at most one view of each person: {likes}");
}

#[test]
fn what_was_imported_is_served_and_is_there_once() {
    let (tables, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    simulate(tables.path(), "csv", "4");
    let store = store(place.path());
    let import = ["import", "--format", "tables", "--store", &store, tables.path().to_str().unwrap()];
    let (status, said) = run(&import);
    assert!(status == Some(0) && said.contains("80 items, 3000 events learned, 0 known before"), "{said}");
    let (status, said) = run(&import);
    assert!(status == Some(0) && said.contains(" 0 events learned, 3000 known before"), "{said}");
    let server = Server::start(place);
    let rest = server.rest();
    let person = rest.get("/user/200").success("a person").json();
    for attribute in ["gender", "age", "country", "city", "exp_group", "os", "source"] {
        assert!(!person["attributes"][attribute].is_null(), "{attribute}: {person}");
    }
    let post = rest.get("/post/1").success("a post").json();
    let texts = std::fs::read_to_string(tables.path().join("post_text_df.csv")).unwrap();
    assert!(texts.contains(post["text"].as_str().unwrap().get(..20).unwrap()), "{post}");
    let rows = std::fs::read_to_string(tables.path().join("feed_data.csv")).unwrap();
    let acted = rest.get("/user/200/feed?limit=1000&compat=list&expand=user,post").success("a feed").json();
    let acted = acted.as_array().unwrap();
    // Rows of the table are `timestamp,user_id,post_id,action,target`; the answer has the newest of them.
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let listed = acted.iter().map(|row| {
        let time = text(&row["timestamp"])[..19].replace('T', " ");
        [time, text(&row["post_id"]), text(&row["action"]), row["target"].to_string()]
    });
    let mut listed: Vec<[String; 4]> = listed.collect();
    assert!(listed.is_sorted_by(|newer, older| newer[0] >= older[0]), "newest first: {listed:?}");
    let oldest = listed.last().unwrap()[0].clone();
    let cells = |row: &str| row.split(',').map(str::to_owned).collect::<Vec<_>>();
    let written = rows.lines().map(cells).filter(|row| row[1] == "200" && row[0] > oldest);
    let mut written: Vec<[String; 4]> = written.map(|row| [0, 2, 3, 4].map(|cell| row[cell].clone())).collect();
    listed.retain(|row| row[0] > oldest);
    written.sort();
    listed.sort();
    assert_eq!(listed, written, "each view and each like is a row");
    let of_view = |row: &serde_json::Value| row["action"] == "view" && row["target"] == 1;
    let apart = |view: &serde_json::Value| {
        let is_like = |row: &&serde_json::Value| row["action"] == "like" && row["post_id"] == view["post_id"];
        acted.iter().find(is_like).is_some_and(|like| like["timestamp"].as_str() > view["timestamp"].as_str())
    };
    assert!(acted.iter().filter(|row| of_view(row)).any(apart), "a like has a time of its own");
    let row = &acted[0];
    assert_eq!((&row["user_id"], &row["user_detail"]["id"]), (&"200".into(), &"200".into()));
    assert!(row["post_detail"]["text"].is_string() && row["timestamp"].as_str().unwrap().ends_with('Z'), "{row}");
    assert_eq!(rest.get("/user/200/feed?expand=friends").status, 400);
    let feed = rest.get("/post/recommendations?id=200&limit=5").success("recommendations").json();
    assert!(feed.to_string().matches("\"text\"").count() == 5, "{feed}");
}

/// A table in a database gives the results of a file; missing columns are named.
#[test]
fn a_database_with_the_tables_is_read_like_a_folder() {
    if postgres::skipped() {
        return println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
    }
    let folder = tempfile::tempdir().unwrap();
    simulate(folder.path(), "csv", "5");
    let cluster = postgres::shared();
    let database = cluster.database();
    let url = cluster.url(&database);
    let refused = |why: &str| {
        let (status, said) = run(&["replay", "--format", "tables", &url]);
        assert!(status == Some(1) && said.contains(why) && !said.contains("not-to-be-shown"), "{said}");
    };
    refused("table post_text_df: is not on the search path");
    let create = "CREATE TABLE user_data (index bigint, user_id bigint, gender int, age int, country text, city text, \
                  exp_group int, os text, source text);
                  CREATE TABLE post_text_df (post_id int, text text, topic varchar);
                  CREATE TABLE feed_data (\"timestamp\" timestamp, user_id bigint, post_id int, action varchar);";
    cluster.sql(&database, create);
    refused("table feed_data: there is no column `target`");
    cluster.sql(&database, "ALTER TABLE feed_data ADD COLUMN target int; ALTER TABLE feed_data ADD COLUMN note text");
    for (table, columns) in [
        ("user_data", "user_id,gender,age,country,city,exp_group,os,source"),
        ("post_text_df", "post_id,text,topic"),
        ("feed_data", "\"timestamp\",user_id,post_id,action,target"),
    ] {
        let mut reader = csv::Reader::from_path(folder.path().join(format!("{table}.csv"))).unwrap();
        let values: Vec<String> = reader
            .records()
            .map(|record| {
                let quoted = |cell: &str| format!("'{}'", cell.replace('\'', "''"));
                format!("({})", record.unwrap().iter().map(quoted).collect::<Vec<_>>().join(","))
            })
            .collect();
        cluster.sql(&database, &format!("INSERT INTO {table} ({columns}) VALUES {}", values.join(",")));
    }
    assert_eq!(replay(&url, &[]), replay(folder.path().to_str().unwrap(), &[]));
    // A view adapts a table of another name; an invalid value is named with its row.
    cluster.sql(&database, "UPDATE feed_data SET target = 7 WHERE ctid = (SELECT min(ctid) FROM feed_data)");
    refused("column target: `7` is not 0 or 1");
    // A column of reals rounds large ids, so that several users would become one.
    let rounded = "UPDATE feed_data SET target = 0;
                   ALTER TABLE feed_data ALTER user_id TYPE float8 USING user_id + 9300000000000000000";
    cluster.sql(&database, rounded);
    refused("row 1, column user_id: `9.3e+18` is not an id, but a rounded number");
    let (status, said) = run(&["replay", "--format", "tables", "postgres://nobody:secret@127.0.0.1:1/x"]);
    assert!(status == Some(1) && !said.contains("secret"), "{said}");
}

#[test]
fn places_that_hold_no_tables_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (from, why) in [
        (folder.path().to_str().unwrap(), "post_text_df.csv"),
        ("nowhere", "is no folder"),
        ("posts=a.csv", "is not of the form"),
        ("postgres://", "the database: must be postgres://"),
    ] {
        let (status, said) = run(&["replay", "--format", "tables", from]);
        assert!(status == Some(1) && said.contains(why), "{from}: {said}");
    }
    let (status, said) = run(&["replay", "--format", "feed", "--tower", "no.safetensors", "nowhere.csv"]);
    assert!(status == Some(1) && said.contains("--tower"), "{said}");
}

#[test]
fn files_with_the_usual_names_of_columns_need_no_mapping() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("items.csv");
    std::fs::write(&file, "item,topic,text\na,music,about a\n").unwrap();
    let (status, said) = run(&["import", "--format", "items", "--store", &store(place.path()), file.to_str().unwrap()]);
    assert!(status == Some(0) && said.contains("1 items"), "{said}");
}

/// Posts with numeric columns have the item vectors that training computed: after an import, on a reopened store, bit by bit.
#[tokio::test]
async fn served_item_vectors_are_those_of_training_with_numeric_columns() {
    let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    simulate(folder.path(), "csv", "6");
    let path = folder.path().join("post_text_df.csv");
    let rows = std::fs::read_to_string(&path).unwrap();
    let mut numbered = csv::Writer::from_writer(Vec::new());
    for (line, record) in
        csv::ReaderBuilder::new().has_headers(false).from_reader(rows.as_bytes()).records().enumerate()
    {
        let mut record = record.unwrap();
        // Fractions that `f32` rounds, and a post without the number.
        let cells = match line {
            0 => ["price".to_owned(), "length".to_owned()],
            3 => [String::new(), "7".to_owned()],
            _ => [format!("{}", line as f64 * 0.1), format!("{}", line * line)],
        };
        cells.iter().for_each(|cell| record.push_field(cell));
        numbered.write_record(&record).unwrap();
    }
    std::fs::write(&path, numbered.into_inner().unwrap()).unwrap();
    let config = Config::default();
    let embedder = app::open_embedder(&config).unwrap();
    let source = Place::in_folder(folder.path()).unwrap();
    let mut tables = read::read(&source, &read::TableOptions::default(), &mut |_| ()).unwrap();
    let with_numbers = tables.posts.iter().filter(|post| post.numbers.len() == 2).count();
    assert_eq!(with_numbers, tables.posts.len() - 1, "the columns were read");
    for post in &mut tables.posts {
        post.embedding = Some(embedder.embed(&[&post.text]).unwrap().remove(0).to_vec());
    }
    let settings = TrainSettings { epochs: 1, threads: 2, ..TrainSettings::default() };
    let model: Arc<dyn TwoTower> = train(&tables, &settings, |_| ()).unwrap().into_model(ModelVersion(1));
    let store: Arc<dyn Store> = Arc::new(Embedded::open(&place.path().join("data")).unwrap());
    let now = Millis(1_800_000_000_000);
    let loader = Loader::open(store.clone(), embedder.clone(), &config, now).await.unwrap();
    import::tables(loader, &tables).await.unwrap();
    let mut loader = Loader::open(store, embedder, &config, now).await.unwrap();
    let world = loader.offline().world();
    let tower = world.tower_by(model.clone());
    for post in &tables.posts {
        let id = world.find_item(post.key.as_str()).unwrap();
        let numbers: Vec<(&str, f32)> = post.numbers.iter().map(|(name, number)| (name.as_str(), *number)).collect();
        let bits = |vector: &TowerVector| vector.map(f32::to_bits);
        let trained = model.item(&facts(post, &numbers));
        assert_eq!(bits(tower.item(id).unwrap()), bits(&trained), "post {}", post.key);
        assert_ne!(bits(&model.item(&facts(post, &[]))), bits(&trained), "the numbers have a say: post {}", post.key);
    }
    assert_eq!((tower.incomplete(), tower.lacked().iter().map(String::as_str).collect()), (1, vec!["price"]));
}
