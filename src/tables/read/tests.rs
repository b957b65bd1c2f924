//! Small tables of every kind, whole and broken.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit as ParquetUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::time::Millis;
use crate::tables::Action;
use crate::tables::write::{Cell, FileFormat, Kind, TableWriter};

const POSTS_CSV: &str = "post_id,text,topic\n7,\"a text, with a comma\",music\n9,,\n";
const FEED_CSV: &str = "timestamp,user_id,post_id,action,target\n2026-01-05 00:00:10,3,7,view,1\n\
                        2026-01-05 00:00:20,3,7,like,0\n2026-01-05 00:00:05,4,9,view,0\n";

fn put(folder: &Path, name: &str, content: &[u8]) {
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

fn read_with(folder: &Path, options: &Options) -> Result<Tables, String> {
    let place = Place::in_folder(folder).map_err(|error| error.to_string())?;
    read(&place, options, &mut |_| ()).map_err(|error| error.to_string())
}

fn read_in(folder: &Path) -> Result<Tables, String> {
    read_with(folder, &Options::default())
}

/// All of it as text, to be compared.
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
    // A number that JSON has stays one; an empty cell is no attribute; who is only in the feed has none.
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
    let options = Options { columns, ..Options::default() };
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

/// What a data frame writes: whole numbers as reals where there are gaps, instants in nanoseconds, nulls, lists.
#[test]
fn parquet_of_other_programs_is_read() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "feed_data.csv", b"timestamp,user_id,post_id,action,target\n5,1,1,view,0\n");
    let optional = |name: &'static str, physical| {
        Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL)
    };
    let element = Arc::new(optional("element", Physical::FLOAT).build().unwrap());
    let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED).with_fields(vec![element]);
    let embedding = Type::group_type_builder("embedding")
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(list.build().unwrap())]);
    let fields = vec![
        optional("post_id", Physical::DOUBLE).build().unwrap(),
        optional("text", Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build().unwrap(),
        optional("words", Physical::INT32).build().unwrap(),
        embedding.build().unwrap(),
    ];
    write(&folder.path().join("post_text_df.parquet"), fields, |index, column| match index {
        0 => column.typed::<DoubleType>().write_batch(&[1.0, 2.0, 3.0], Some(&[1, 1, 1]), None).map(|_| ()),
        1 => {
            let texts = [ByteArray::from("one"), ByteArray::from("three")];
            column.typed::<ByteArrayType>().write_batch(&texts, Some(&[1, 0, 1]), None).map(|_| ())
        }
        2 => column.typed::<Int32Type>().write_batch(&[4, 5], Some(&[1, 1, 0]), None).map(|_| ()),
        _ => {
            let (levels, repeats) = ([3, 3, 0, 3, 3], [0, 1, 0, 0, 1]);
            column.typed::<FloatType>().write_batch(&[1.0, 2.0, 3.0, 4.0], Some(&levels), Some(&repeats)).map(|_| ())
        }
    });
    let tables = read_in(folder.path()).unwrap();
    let found: Vec<_> = tables
        .posts
        .iter()
        .map(|post| (post.key.as_str(), post.text.as_str(), &post.numbers[..], post.embedding.as_deref()))
        .collect();
    let words = |count| vec![("words".to_owned(), count)];
    let (four, five) = (words(4.0), words(5.0));
    let expected = [
        ("1", "one", &four[..], Some(&[1.0, 2.0][..])),
        ("2", "", &five[..], None),
        ("3", "three", &[], Some(&[3.0, 4.0])),
    ];
    assert_eq!(found, expected);
}

#[test]
fn instants_of_parquet_are_read_in_every_unit() {
    for (name, unit, value) in [
        ("milliseconds", ParquetUnit::MILLIS, 1_767_571_210_500),
        ("microseconds", ParquetUnit::MICROS, 1_767_571_210_500_000),
        ("nanoseconds", ParquetUnit::NANOS, 1_767_571_210_500_000_000_i64),
    ] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), "posts.csv", POSTS_CSV.as_bytes());
        let needed = |name: &'static str, physical| {
            Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED)
        };
        let fields = vec![
            needed("target", Physical::BOOLEAN).build().unwrap(),
            needed("action", Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build().unwrap(),
            needed("timestamp", Physical::INT64)
                .with_logical_type(Some(LogicalType::timestamp(false, unit)))
                .build()
                .unwrap(),
            needed("user_id", Physical::INT32).build().unwrap(),
            needed("post_id", Physical::INT64).build().unwrap(),
        ];
        write(&folder.path().join("feed.parquet"), fields, |index, column| match index {
            0 => column.typed::<BoolType>().write_batch(&[true], None, None).map(|_| ()),
            1 => column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("view")], None, None).map(|_| ()),
            2 => column.typed::<Int64Type>().write_batch(&[value], None, None).map(|_| ()),
            3 => column.typed::<Int32Type>().write_batch(&[3], None, None).map(|_| ()),
            _ => column.typed::<Int64Type>().write_batch(&[7], None, None).map(|_| ()),
        });
        let tables = read_in(folder.path()).unwrap();
        assert_eq!(tables.feed.at, [Millis(1_767_571_210_500)], "{name}");
        assert_eq!((tables.feed.target[0], tables.people[0].key.as_str()), (true, "3"), "{name}");
    }
}

fn write(
    path: &Path,
    fields: Vec<Type>,
    mut fill: impl FnMut(usize, &mut SerializedColumnWriter<'_>) -> Result<(), parquet::errors::ParquetError>,
) {
    let fields = fields.into_iter().map(Arc::new).collect();
    let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build().unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut index = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        fill(index, &mut column).unwrap();
        column.close().unwrap();
        index += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
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

fn store(folder: &Path, format: FileFormat, (people, posts, feed): &Written) {
    let columns = [("user_id", Kind::Integer), ("city", Kind::Text), ("age", Kind::Integer)];
    let mut out = TableWriter::create(folder, "user_data", format, &columns).unwrap();
    for (id, city, age) in people {
        out.row(&[Cell::Integer(*id), Cell::Text(city), Cell::Integer(i64::from(*age))]).unwrap();
    }
    out.finish().unwrap();
    let columns = [("post_id", Kind::Integer), ("text", Kind::Text)];
    let mut out = TableWriter::create(folder, "post_text_df", format, &columns).unwrap();
    for (id, text) in posts {
        out.row(&[Cell::Integer(*id), Cell::Text(text)]).unwrap();
    }
    out.finish().unwrap();
    let columns = [
        ("timestamp", Kind::Time),
        ("user_id", Kind::Integer),
        ("post_id", Kind::Integer),
        ("action", Kind::Text),
        ("target", Kind::Integer),
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

    /// What is written is read again, the same from every kind of file, in the order of times.
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

    /// A Parquet file that was damaged is refused or read, and never brings the program down.
    #[test]
    fn damaged_parquet_is_no_disaster(at in any::<prop::sample::Index>(), bits in 1_u8.., cut in any::<prop::sample::Index>()) {
        let folder = TempDir::new().unwrap();
        let feed = (0..300).map(|n| (n, 1, 2, Some(n % 3 == 0))).collect();
        store(folder.path(), FileFormat::Parquet, &(vec![(1, "x".into(), 1)], vec![(2, "y".into())], feed));
        let path = folder.path().join("feed_data.parquet");
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        let place = at.index(whole.len());
        damaged[place] ^= bits;
        std::fs::write(&path, &damaged).unwrap();
        let _ = read_in(folder.path());
        std::fs::write(&path, &whole[..cut.index(whole.len())]).unwrap();
        prop_assert!(read_in(folder.path()).is_err(), "cut off");
    }
}
