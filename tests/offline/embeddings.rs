//! `eddyline model export-embeddings`: from a store and from a server, as Parquet and as CSV.
//!
//! Invariant under test: all ways give equal vectors, bit for bit, and no file is overwritten or left in part.

use crate::support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use support::{Server, run, store};
use tempfile::TempDir;

type Vectors = BTreeMap<String, Vec<u32>>;

fn of_csv(path: &Path) -> Vectors {
    let mut reader = csv::Reader::from_path(path).unwrap();
    assert_eq!(reader.headers().unwrap().len(), 65);
    let bits = |cell: &str| cell.parse::<f32>().unwrap().to_bits();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        (row[0].to_owned(), row.iter().skip(1).map(bits).collect())
    });
    rows.collect()
}

fn of_parquet(path: &Path) -> Vectors {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        let mut cells = row.get_column_iter();
        let Some((name, Field::Str(id))) = cells.next() else { panic!("no id: {row}") };
        assert_eq!(name, "id");
        let vector = cells.map(|(_, cell)| match cell {
            Field::Float(number) => number.to_bits(),
            other => panic!("no number: {other}"),
        });
        (id.clone(), vector.collect())
    });
    rows.collect()
}

#[test]
fn exported_vectors_are_equal_from_a_store_and_a_server_and_in_both_formats() {
    let (folder, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let url = store(directory.path());
    let done = |arguments: &[&str]| {
        let (status, said) = run(arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {said}");
        said
    };
    let (tables, model) = (text("tables"), text("m.safetensors"));
    done(&["simulate", "--tables", &tables, "--people", "40", "--posts", "50", "--views", "1500"]);
    done(&["import", "--format", "tables", "--store", &url, &tables]);
    let export = |more: &[&str]| run(&[&["model", "export-embeddings"], more].concat());
    let (status, said) = export(&["--users", "--store", &url, "--out", &text("u.csv")]);
    assert!(status == Some(1) && said.contains("no two-tower model serves"), "{said}");
    assert!(!path("u.csv").exists(), "no file without a model");
    let small = ["--epochs", "1", "--history", "4", "--hidden", "16", "--publish", "--store", &url];
    done(&[&["train", "--tables", &tables, "--out", &model][..], &small].concat());

    for (of, count) in [("--users", 40), ("--posts", 50)] {
        let [csv, parquet] = ["csv", "parquet"].map(|ending| format!("store{of}.{ending}"));
        for file in [&csv, &parquet] {
            let (status, said) = export(&[of, "--store", &url, "--out", &text(file)]);
            assert_eq!((status, said), (Some(0), format!("{count} vectors of model 1\n")));
        }
        let vectors = of_csv(&path(&csv));
        assert_eq!(vectors.len(), count);
        assert_eq!(vectors, of_parquet(&path(&parquet)), "{of}");
        let different: std::collections::BTreeSet<_> = vectors.values().collect();
        assert!(different.len() > count / 2, "{of}: vectors differ");
    }
    let (status, said) = export(&["--posts", "--store", &url, "--out", &text("store--posts.csv")]);
    assert!(status == Some(1) && said.contains("exists"), "{said}");
    for (arguments, named) in [
        (vec!["--posts", "--out", "x.txt"], ".parquet"),
        (vec!["--posts", "--version", "9", "--out", "x.csv", "--store", &url], "there is no model 9"),
        (vec!["--out", "x.csv"], "--users"),
        (vec!["--posts", "--users", "--out", "x.csv"], "--users"),
    ] {
        let (status, said) = export(&arguments);
        assert!(status != Some(0) && said.contains(named), "{arguments:?}: {said}");
    }

    let server = Server::start(directory);
    let base = format!("http://{}", server.address());
    for of in ["--users", "--posts"] {
        let file = format!("server{of}.parquet");
        let (status, said) = export(&[of, "--url", &base, "--version", "1", "--out", &text(&file)]);
        assert_eq!(status, Some(0), "{said}");
        let (served, stored) = (of_parquet(&path(&file)), of_csv(&path(&format!("store{of}.csv"))));
        assert_eq!(served.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>(), "{of}");
        // User vectors depend on the time of day, which passes between two exports.
        if of == "--posts" {
            assert_eq!(served, stored);
        }
    }
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
    let (status, said) = run(&["help", "model", "export-embeddings"]);
    assert!(
        status == Some(0) && said.contains("--users") && said.contains("eddyline model export-embeddings"),
        "{said}"
    );
}
