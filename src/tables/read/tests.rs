//! Reading small tables of every source, valid and broken.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::time::Millis;
use crate::files::table::Columns;
use crate::tables::Action;
use crate::tables::write::{Cell, ColumnKind, FileFormat, TableWriter};

pub(super) const POSTS_CSV: &str = "post_id,text,topic\n7,\"a text, with a comma\",music\n9,,\n";
pub(super) const FEED_CSV: &str = "timestamp,user_id,post_id,action,target\n2026-01-05 00:00:10,3,7,view,1\n\
                        2026-01-05 00:00:20,3,7,like,0\n2026-01-05 00:00:05,4,9,view,0\n";

pub(super) fn put(folder: &Path, name: &str, content: &[u8]) {
    let mut file = File::create(folder.join(name)).unwrap();
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("gz") => {
            let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            out.write_all(content).unwrap();
            out.finish().unwrap();
        }
        Some("zst") => file.write_all(&zstd::encode_all(content, 1).unwrap()).unwrap(),
        _ => file.write_all(content).unwrap(),
    }
}

fn read_with(folder: &Path, options: &TableOptions) -> Result<Tables, String> {
    let place = Place::in_folder(folder).map_err(|error| error.to_string())?;
    read(&place, options, &mut |_| ()).map_err(|error| error.to_string())
}

pub(super) fn read_in(folder: &Path) -> Result<Tables, String> {
    read_with(folder, &TableOptions::default())
}

/// All tables as text, for comparison.
fn shown(tables: &Tables) -> String {
    format!("{tables:?}")
}

#[test]
fn rows_are_sorted_by_time_and_name_people_and_posts_by_their_places() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "user_data.csv", b"user_id,gender,age,city\n3,1,27,\"Oslo\"\n5,0,007,\n");
    put(folder.path(), "post_text_df.csv", POSTS_CSV.as_bytes());
    put(folder.path(), "feed_data.csv", FEED_CSV.as_bytes());
    let tables = read_in(folder.path()).unwrap();
    let people: Vec<(&str, Option<&str>)> =
        tables.people.iter().map(|person| (person.key.as_str(), person.attributes.as_deref())).collect();
    // A JSON number stays one, and an empty cell is no attribute. A user that only the feed names has no attributes.
    let expected = [
        ("3", Some(r#"{"age":27,"city":"Oslo","gender":1}"#)),
        ("5", Some(r#"{"age":"007","gender":0}"#)),
        ("4", None),
    ];
    assert_eq!(people, expected);
    assert_eq!(tables.posts[0].text, "a text, with a comma");
    assert_eq!(tables.posts[0].topic.as_ref().unwrap().as_str(), "music");
    assert!(tables.posts[1].text.is_empty() && tables.posts[1].topic.is_none());
    let feed = &tables.feed;
    assert_eq!(feed.at.iter().map(|at| at.0 % 60_000).collect::<Vec<_>>(), [5_000, 10_000, 20_000]);
    assert_eq!((&feed.person[..], &feed.post[..]), (&[2, 0, 0][..], &[1, 0, 0][..]));
    assert_eq!(feed.action, [Action::View, Action::View, Action::Like]);
    assert_eq!(feed.target, [false, true, false]);
}

#[test]
fn compression_columns_and_units_make_no_difference() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "post_text_df.csv", POSTS_CSV.as_bytes());
    put(folder.path(), "feed_data.csv", FEED_CSV.as_bytes());
    let plain = shown(&read_in(folder.path()).unwrap());
    let packed = TempDir::new().unwrap();
    put(packed.path(), "post_text_df.csv.gz", POSTS_CSV.as_bytes());
    put(packed.path(), "feed_data.csv.zst", FEED_CSV.as_bytes());
    assert_eq!(shown(&read_in(packed.path()).unwrap()), plain);
    let renamed = TempDir::new().unwrap();
    let feed = "when,who,post_id,action,target,further\n1767571210,3,7,view,1,x\n1767571220,3,7,like,0,x\n1767571205,4,9,view,0,x\n";
    put(renamed.path(), "posts.csv", POSTS_CSV.replacen("text", "body", 1).as_bytes());
    put(renamed.path(), "feed.csv", feed.as_bytes());
    let columns = Columns::parse("timestamp=when,user_id=who,text=body", &ROLES).unwrap();
    let options = TableOptions { columns, ..TableOptions::default() };
    assert_eq!(shown(&read_with(renamed.path(), &options).unwrap()), plain);
}

#[test]
fn numeric_columns_of_posts_are_kept_and_given_embeddings_too() {
    let folder = TempDir::new().unwrap();
    let posts = "index,post_id,topic,tfidf_mean,note,embedding\n0,1,0.25,1.5,new,\"[1, 0.5]\"\n1,2,0.25,,old,0.5 1\n2,3,,nan,,\"{1,2}\"\n";
    put(folder.path(), "post_features.csv", posts.as_bytes());
    put(folder.path(), "feed.csv", b"timestamp,user_id,post_id,action,target\n5,1,1,view,0\n");
    let tables = read_in(folder.path()).unwrap();
    assert_eq!(tables.posts[0].numbers, [("tfidf_mean".to_owned(), 1.5)]);
    assert!(tables.posts[1].numbers.is_empty() && tables.posts[2].numbers.is_empty());
    let vectors: Vec<Option<&[f32]>> = tables.posts.iter().map(|post| post.embedding.as_deref()).collect();
    assert_eq!(vectors, [Some(&[1.0, 0.5][..]), Some(&[0.5, 1.0]), Some(&[1.0, 2.0])]);
    assert_eq!(tables.feed.at, [Millis(5_000)]);
}

#[test]
fn a_column_that_is_there_twice_is_refused_by_name() {
    for (table, content, column) in [
        ("user_data", "user_id,age,age\n1,20,99\n", "age"),
        ("user_data", "user_id,user_id\n1,2\n", "user_id"),
        ("post_text_df", "post_id,text, text\n1,a,b\n", "text"),
        ("feed_data", "timestamp,user_id,post_id,action,target,x,x\n", "x"),
    ] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), "post_text_df.csv", POSTS_CSV.as_bytes());
        put(folder.path(), "feed_data.csv", FEED_CSV.as_bytes());
        put(folder.path(), &format!("{table}.csv"), content.as_bytes());
        let said = read_in(folder.path()).unwrap_err();
        assert!(
            said.contains(&format!("{table}.csv, line 1, column {column}: the column is in the header twice")),
            "{said}"
        );
    }
}

/// Some posts bring an embedding and some only a text: one dimension, or an error at the row.
#[test]
fn embeddings_beside_texts_have_the_length_that_texts_get() {
    for (posts, expected) in [
        (
            "post_id,text,embedding\n1,boats,\"[1,0,0]\"\n2,bread,\n",
            Some("post_text_df.csv, line 3, column embedding: is missing"),
        ),
        (
            "post_id,text,embedding\n2,bread,\n1,boats,\"[1,0,0]\"\n",
            Some("line 3, column embedding: must have 4 numbers, has 3"),
        ),
        ("post_id,text,embedding\n1,boats,\"[1,0,0,0]\"\n2,bread,\n", None),
        ("post_id,text,embedding\n1,boats,\"[1,0,0]\"\n2,,\n", None),
        ("post_id,text,embedding\n1,boats,\"[1,0,0]\"\n2,bread,\"[0,1,0]\"\n", None),
    ] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), "post_text_df.csv", posts.as_bytes());
        put(folder.path(), "feed_data.csv", FEED_CSV.as_bytes());
        let options = TableOptions { dim_of_texts: Some(4), ..TableOptions::default() };
        let said = read_with(folder.path(), &options).err();
        assert_eq!(said.is_some(), expected.is_some(), "{posts}: {said:?}");
        assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{posts}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let feed = |rows: &str| format!("timestamp,user_id,post_id,action,target\n{rows}");
    let posts = POSTS_CSV.to_owned();
    for (name, posts, feed, place, why) in [
        (
            "no such column",
            posts.clone(),
            "timestamp,user_id,action,target\n".into(),
            "feed_data.csv, line 1",
            "`post_id`",
        ),
        ("no time", posts.clone(), feed("x,3,7,view,1\n"), "feed_data.csv, line 2, column timestamp", "such as"),
        ("no action", posts.clone(), feed("5,3,7,,1\n"), "line 2, column action", "view or like"),
        ("another action", posts.clone(), feed("5,3,7,view,0\n5,3,7,hide,1\n"), "line 3, column action", "`hide`"),
        ("no target", posts.clone(), feed("5,3,7,view,\n"), "line 2, column target", "0 or 1"),
        ("a target of two", posts.clone(), feed("5,3,7,view,2\n"), "line 2, column target", "0 or 1"),
        ("nobody", posts.clone(), feed("5,,7,view,1\n"), "line 2, column user_id", "fill it in"),
        ("no post", posts.clone(), feed("5,3,,view,1\n"), "line 2, column post_id", "fill it in"),
        ("a long id", posts.clone(), feed(&format!("5,3,{},view,1\n", "x".repeat(300))), "column post_id", "255 bytes"),
        ("a cell too few", posts.clone(), feed("5,3,7,view\n"), "feed_data.csv, line", "4 cells"),
        ("a post twice", "post_id\n1\n1\n".into(), feed(""), "post_text_df.csv, line 3, column post_id", "same id"),
        (
            "a long text",
            format!("post_id,text\n1,{}\n", "x".repeat(40_000)),
            feed(""),
            "line 2, column text",
            "at most",
        ),
        ("no vector", "post_id,embedding\n1,[1\n".into(), feed(""), "line 2, column embedding", "an embedding"),
        ("vectors of two lengths", "post_id,embedding\n1,1 2\n2,1\n".into(), feed(""), "line 3, column embedding", "2"),
        ("a vector of nothing", "post_id,embedding\n1,0 0\n".into(), feed(""), "column embedding", "zeros"),
        ("a quote that never ends", posts.clone(), feed("5,3,\"7,view,1\n"), "feed_data.csv, line", ""),
    ] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), "post_text_df.csv", posts.as_bytes());
        put(folder.path(), "feed_data.csv", feed.as_bytes());
        let said = read_in(folder.path()).expect_err(name);
        assert!(said.contains(place) && said.contains(why), "{name}: {said}");
    }
}

#[test]
fn files_that_are_not_what_they_seem_are_refused() {
    for (name, content, why) in [
        ("feed_data.parquet", &b"PAR1 but not really PAR1"[..], "cannot be read"),
        ("feed_data.parquet", b"", "cannot be read"),
        ("feed_data.csv", b"timestamp,user_id,post_id,action,target\n5,\xff,1,view,0\n", "UTF-8"),
        ("feed_data.csv.gz", b"not packed again", ""),
    ] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), "posts.csv", POSTS_CSV.as_bytes());
        if name.ends_with(".gz") {
            std::fs::write(folder.path().join(name), content).unwrap();
        } else {
            put(folder.path(), name, content);
        }
        let said = read_in(folder.path()).expect_err(name);
        assert!(said.contains(name) && said.contains(why), "{name}: {said}");
    }
}

#[test]
fn a_folder_says_what_it_lacks_and_what_it_has_twice() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let refused = |text: &str| Place::parse(text).unwrap_err().to_string();
    assert!(refused(&path).contains("has no post_text_df.csv"), "{}", refused(&path));
    put(folder.path(), "posts.csv", b"");
    assert!(refused(&path).contains("has no feed_data.csv"));
    put(folder.path(), "feed_data.csv.gz", b"");
    assert_eq!(Place::parse(&path).unwrap().people, None, "people may be missing");
    put(folder.path(), "feed_data.parquet", b"");
    assert!(refused(&path).contains("are both there"));
    assert!(refused("nowhere at all").contains("is no folder"));
    let given = Place::parse("posts=p.csv,feed=f.parquet,people=u.csv").unwrap();
    assert_eq!((given.posts.to_str(), given.people.unwrap().to_str()), (Some("p.csv"), Some("u.csv")));
    for wrong in ["posts=p.csv", "posts=,feed=f", "posts=p,feed=f,feed=g", "posts=p,feed=f,items=i", "posts=p,f"] {
        assert!(refused(wrong).contains("is not of the form"), "{wrong}");
    }
}

type Written = (Vec<(i64, String, u8)>, Vec<(i64, String)>, Vec<(u32, u8, u8, Option<bool>)>);

pub(super) fn store(folder: &Path, format: FileFormat, (people, posts, feed): &Written) {
    let columns = [("user_id", ColumnKind::Integer), ("city", ColumnKind::Text), ("age", ColumnKind::Integer)];
    let mut out = TableWriter::create(folder, "user_data", format, &columns).unwrap();
    for (id, city, age) in people {
        out.row(&[Cell::Integer(*id), Cell::Text(city), Cell::Integer(i64::from(*age))]).unwrap();
    }
    out.finish().unwrap();
    let columns = [("post_id", ColumnKind::Integer), ("text", ColumnKind::Text)];
    let mut out = TableWriter::create(folder, "post_text_df", format, &columns).unwrap();
    for (id, text) in posts {
        out.row(&[Cell::Integer(*id), Cell::Text(text)]).unwrap();
    }
    out.finish().unwrap();
    let columns = [
        ("timestamp", ColumnKind::Time),
        ("user_id", ColumnKind::Integer),
        ("post_id", ColumnKind::Integer),
        ("action", ColumnKind::Text),
        ("target", ColumnKind::Integer),
    ];
    let mut out = TableWriter::create(folder, "feed_data", format, &columns).unwrap();
    for (at, person, post, liked) in feed {
        let (action, target) = liked.map_or(("like", 0), |liked| ("view", i64::from(liked)));
        let (person, post) = (Cell::Integer(i64::from(*person)), Cell::Integer(i64::from(*post)));
        out.row(&[Cell::Time(Millis(i64::from(*at) * 250)), person, post, Cell::Text(action), Cell::Integer(target)])
            .unwrap();
    }
    out.finish().unwrap();
}

fn written() -> impl Strategy<Value = Written> {
    let text = "[a-zé,\"\\n' ;0-9]{0,20}";
    let people = proptest::collection::btree_map(any::<u8>(), (text, any::<u8>()), 0..20);
    let posts = proptest::collection::btree_map(any::<i64>(), text, 0..20);
    let feed = proptest::collection::vec((any::<u32>(), any::<u8>(), any::<u8>(), any::<Option<bool>>()), 0..60);
    (people, posts, feed).prop_map(|(people, posts, feed)| {
        let people = people.into_iter().map(|(id, (city, age))| (i64::from(id), city, age)).collect();
        (people, posts.into_iter().collect(), feed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Writing and reading again gives equal tables from every format, sorted by time.
    #[test]
    fn every_kind_of_file_says_the_same(rows in written()) {
        let mut said = Vec::new();
        for format in [FileFormat::Csv, FileFormat::CsvZst, FileFormat::Parquet] {
            let folder = TempDir::new().unwrap();
            store(folder.path(), format, &rows);
            let tables = read_in(folder.path()).unwrap();
            prop_assert!(tables.feed.at.is_sorted());
            prop_assert_eq!(tables.feed.at.len(), rows.2.len());
            for ((id, text), post) in rows.1.iter().zip(&tables.posts) {
                prop_assert_eq!(id.to_string(), post.key.as_str());
                prop_assert_eq!(text.trim(), post.text.as_str());
            }
            said.push(shown(&tables));
        }
        prop_assert_eq!(&said[0], &said[1]);
        prop_assert_eq!(&said[0], &said[2]);
    }
}

/// Attributes are bounded as over REST, also those of very many narrow columns; the message names the column at which they
/// become too long.
#[test]
fn attributes_of_too_many_columns_are_refused_with_their_place() {
    for (table, id, file) in
        [("user_data", "user_id", "user_data.csv"), ("post_text_df", "post_id", "post_text_df.csv")]
    {
        for (columns, is_good) in [(900, true), (3_000, false)] {
            let names: Vec<String> = (0..columns).map(|n| format!("column_{n:04}")).collect();
            let cells = vec!["0.5"; columns].join(",");
            let wide = format!("{id},{}\n1,{cells}\n", names.join(","));
            let folder = TempDir::new().unwrap();
            put(folder.path(), "post_text_df.csv", b"post_id\n1\n");
            put(folder.path(), "feed_data.csv", b"timestamp,user_id,post_id,action,target\n5,1,1,view,1\n");
            put(folder.path(), &format!("{table}.csv"), wide.as_bytes());
            match (read_in(folder.path()), is_good) {
                (Ok(_), true) => {}
                (Err(said), false) => {
                    let place = format!("{file}, line 2, column column_0");
                    assert!(said.contains(&place) && said.contains("16384 bytes of attributes"), "{table}: {said}");
                }
                (found, _) => panic!("{table} of {columns} columns: {:?}", found.err()),
            }
        }
    }
}
