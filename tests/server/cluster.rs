//! The command `eddyline cluster`: what it reads, prints and writes.
//!
//! Invariant under test: a file gives equal clusters in any number of threads, compressed or not. Errors name flag,
//! line and column.

use crate::support;

use std::io::Write as _;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use support::run;

/// Three clusters of 60 users on two metrics, 9 users far from all of them, and a column of names.
fn people() -> String {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut text = "name,minutes,visits,true group\n".to_owned();
    for row in 0..189 {
        let (group, x, y) = match row % 3 {
            _ if row >= 180 => (-1, random.random_range(-500.0..500.0), random.random_range(-500.0..500.0)),
            0 => (0, 0.0, 0.0),
            1 => (1, 10.0, 0.0),
            _ => (2, 0.0, 20.0),
        };
        let mut spread = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        text.push_str(&format!("p{row},{},{},{group}\n", x + spread(), y + spread()));
    }
    text
}

fn cluster(folder: &Path, file: &str, more: &[&str]) -> (Option<i32>, String) {
    let path = folder.join(file);
    let mut arguments = vec!["cluster", "--csv", path.to_str().unwrap()];
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn groups_are_found_written_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = people();
    std::fs::write(folder.join("people.csv"), &text).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    std::fs::write(folder.join("people.csv.gz"), gzip.finish().unwrap()).unwrap();

    let picture = folder.join("found.svg");
    let all = ["--truth", "true group", "--svg", picture.to_str().unwrap()];
    let columns = ["--columns", "minutes,visits", "--json"];
    let found = |file: &str, more: &[&str]| {
        let out = folder.join("found.json");
        let mut arguments = columns.to_vec();
        arguments.push(out.to_str().unwrap());
        arguments.extend(more);
        let (status, said) = cluster(folder, file, &arguments);
        assert_eq!(status, Some(0), "{said}");
        let mut found: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        assert!(found["seconds"].as_f64().is_some(), "{found}");
        found["seconds"] = Value::Null;
        (found, said)
    };
    let (report, said) = found("people.csv", &all);
    let clusters = report["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 3, "{said}");
    for (id, cluster) in clusters.iter().enumerate() {
        assert_eq!(cluster["id"], id);
        assert!((58..=62).contains(&cluster["size"].as_u64().unwrap()), "{cluster}");
        assert_eq!(
            (cluster["mean"].as_array().unwrap().len(), cluster["covariance"][1].as_array().unwrap().len()),
            (2, 2)
        );
        assert!((cluster["weight"].as_f64().unwrap() - 60.0 / 189.0).abs() < 0.03);
    }
    let assignment = report["assignment"].as_array().unwrap();
    assert_eq!(assignment.len(), 189);
    let outliers: Vec<usize> = (0..189).filter(|row| assignment[*row] == -1).collect();
    assert_eq!(report["outliers"], serde_json::json!(outliers));
    assert!(outliers.len() >= 7 && outliers.iter().filter(|row| **row < 180).count() <= 1, "{outliers:?}");
    assert!(report["ari"].as_f64().unwrap() > 0.97 && report["lower_bound"].as_f64().is_some());
    assert_eq!(report["restarts"], 15);
    assert!(said.contains("adjusted Rand index"), "{said}");
    let drawn = std::fs::read_to_string(picture).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("3 groups") && drawn.contains("visits"));

    for (file, more) in [
        ("people.csv.gz", &["--truth", "true group"][..]),
        ("people.csv", &["--truth", "true group", "--threads", "1"]),
        ("people.csv", &["--truth", "true group", "--threads", "7"]),
    ] {
        assert_eq!(found(file, more).0, report, "{file} {more:?}");
    }
    let (other, _) =
        found("people.csv", &["--kind", "student-t", "--restarts", "3", "--components", "5", "--seed", "9"]);
    assert_eq!((other["clusters"].as_array().unwrap().len(), &other["restarts"]), (3, &Value::from(3)));
    assert!(other["clusters"][0]["freedom"].as_f64().is_some() && other.get("ari").is_none());
}

/// Twelve clusters are found; with a lower limit, the report says that there are more. One cluster in both the file and
/// the truth has no adjusted Rand index.
#[test]
fn a_maximum_that_binds_and_an_undefined_index_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut spread = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let mut text = "x,y,true\n".to_owned();
    for row in 0..480 {
        let angle = std::f64::consts::TAU * f64::from(row % 12) / 12.0;
        text.push_str(&format!("{},{},{}\n", 20.0 * angle.cos() + spread(), 20.0 * angle.sin() + spread(), row % 12));
    }
    std::fs::write(folder.join("ring.csv"), text).unwrap();
    std::fs::write(folder.join("one.csv"), format!("x,y,true\n{}", "3,0,7\n".repeat(50))).unwrap();
    let found = |file: &str, more: &[&str]| {
        let out = folder.join("found.json");
        let fixed = ["--columns", "x,y", "--truth", "true", "--restarts", "5", "--json", out.to_str().unwrap()];
        let (status, said) = cluster(folder, file, &[&fixed[..], more].concat());
        assert_eq!(status, Some(0), "{said}");
        let found: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        (found["clusters"].as_array().unwrap().len(), found["maximum_binds"].as_bool(), found["ari"].as_f64(), said)
    };
    let (groups, binds, ari, said) = found("ring.csv", &[]);
    assert!((groups, binds) == (12, Some(false)) && ari.unwrap() > 0.99 && !said.contains("raise it"), "{said}");
    let (groups, binds, _, said) = found("ring.csv", &["--components", "8"]);
    assert!((groups, binds) == (8, Some(true)) && said.contains("more than 8 clusters"), "{said}");
    let (groups, _, ari, said) = found("one.csv", &[]);
    assert!(groups == 1 && ari.is_none() && said.contains("adjusted Rand index -,"), "{said}");
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("people.csv"), "a,b\n1,2\n3,x\n").unwrap();
    std::fs::write(folder.join("empty.csv"), "a,b\n").unwrap();
    for (file, more, expected) in [
        ("absent.csv", &["--columns", "a"][..], "absent.csv: cannot be read"),
        ("people.csv", &["--columns", "a,c"], "line 1: there is no column `c` for --columns: the header has a,b"),
        ("people.csv", &["--columns", "a", "--truth", "t"], "there is no column `t` for --truth"),
        ("people.csv", &["--columns", "a,b"], "line 3, column b: `x` is not a finite number"),
        ("people.csv", &["--columns", "a,a"], "--columns: `a` is named twice"),
        ("people.csv", &["--columns", "a", "--restarts", "0"], "--restarts: must be 1 to 10000, is 0"),
        ("people.csv", &["--columns", "a", "--components", "101"], "--components: must be 1 to 100, is 101"),
        ("people.csv", &["--columns", "a", "--svg", "x.svg"], "--svg: a picture needs two columns"),
        ("people.csv", &["--columns", "a", "--json", "no/such/folder"], "--json: cannot write no/such/folder"),
        ("empty.csv", &["--columns", "a,b"], "empty.csv: the file has no row below the header"),
    ] {
        let (status, said) = cluster(folder, file, more);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
