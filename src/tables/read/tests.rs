//! Small tables of every kind, whole and broken.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{
    BrotliLevel, Compression, ConvertedType, GzipLevel, LogicalType, Repetition, TimeUnit as ParquetUnit,
    Type as Physical, ZstdLevel,
};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType,
    Int32Type, Int64Type, Int96, Int96Type,
};
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
    fill: impl FnMut(usize, &mut SerializedColumnWriter<'_>) -> Result<(), parquet::errors::ParquetError>,
) {
    write_by(Compression::UNCOMPRESSED, path, fields, fill);
}

fn write_by(
    compression: Compression,
    path: &Path,
    fields: Vec<Type>,
    mut fill: impl FnMut(usize, &mut SerializedColumnWriter<'_>) -> Result<(), parquet::errors::ParquetError>,
) {
    let fields = fields.into_iter().map(Arc::new).collect();
    let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build().unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
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

/// Five values of a kind of column, the extremes among them.
fn five<T: DataType>(column: &mut SerializedColumnWriter<'_>, values: [T::T; 5], levels: Option<&Levels>) {
    let written = match levels {
        Some((present, repeats)) => column.typed::<T>().write_batch(&values, Some(present), Some(repeats)),
        None => column.typed::<T>().write_batch(&values, None, None),
    };
    written.unwrap();
}

type Levels = (Vec<i16>, Vec<i16>);

fn fixed<const N: usize>(bytes: [&[u8; N]; 5]) -> [FixedLenByteArray; 5] {
    bytes.map(|bytes| ByteArray::from(bytes.to_vec()).into())
}

/// Writes five values into a column of a physical type with `length` bytes.
fn fill_five(column: &mut SerializedColumnWriter<'_>, physical: Physical, length: i32, levels: Option<&Levels>) {
    match physical {
        Physical::BOOLEAN => five::<BoolType>(column, [true, false, true, true, false], levels),
        Physical::INT32 => five::<Int32Type>(column, [i32::MIN, -1, 0, 1, i32::MAX], levels),
        Physical::INT64 => five::<Int64Type>(column, [i64::MIN, -1, 0, 1, i64::MAX], levels),
        Physical::INT96 => {
            let day = |nanos: u64, day: u32| {
                let mut value = Int96::new();
                value.set_data(nanos as u32, (nanos >> 32) as u32, day);
                value
            };
            let days = [day(0, 0), day(u64::MAX, u32::MAX), day(0, 2_440_588), day(1, 2_460_000), day(7, 5)];
            five::<Int96Type>(column, days, levels);
        }
        Physical::FLOAT => {
            five::<FloatType>(column, [f32::NAN, f32::NEG_INFINITY, 1.5, 16_777_218.0, f32::MIN_POSITIVE], levels);
        }
        Physical::DOUBLE => five::<DoubleType>(column, [f64::NAN, f64::INFINITY, 2.0, 1e300, -0.0], levels),
        Physical::BYTE_ARRAY => {
            let texts = [&b""[..], b"a", "\u{1f30a} ".as_bytes(), b"1.0", &[0x7f, 0x01]];
            five::<ByteArrayType>(column, texts.map(|text| ByteArray::from(text.to_vec())), levels);
        }
        Physical::FIXED_LEN_BYTE_ARRAY => {
            let of = |byte: u8| FixedLenByteArray::from(ByteArray::from(vec![byte; length as usize]));
            five::<FixedLenByteArrayType>(column, [of(0), of(1), of(0x7f), of(0x80), of(0xff)], levels);
        }
    }
}

/// Every kind of column that Parquet has, alone and as a list, in every place: rows, or an error that names the file.
#[test]
fn any_kind_of_column_gives_rows_or_an_error() {
    let logical = |found| (Some(found), ConvertedType::NONE);
    let decimal = |scale, precision| logical(LogicalType::decimal(scale, precision));
    let integer = |bits, signed| logical(LogicalType::integer(bits, signed));
    let bare = (None, ConvertedType::NONE);
    let time = |unit| logical(LogicalType::time(true, unit));
    let at = |unit| logical(LogicalType::timestamp(true, unit));
    let mut kinds = vec![
        (Physical::BOOLEAN, 0, bare.clone()),
        (Physical::INT32, 0, bare.clone()),
        (Physical::INT64, 0, bare.clone()),
        (Physical::INT96, 0, bare.clone()),
        (Physical::FLOAT, 0, bare.clone()),
        (Physical::DOUBLE, 0, bare.clone()),
        (Physical::BYTE_ARRAY, 0, bare.clone()),
        (Physical::FIXED_LEN_BYTE_ARRAY, 7, bare),
        (Physical::INT32, 0, logical(LogicalType::Date)),
        (Physical::INT32, 0, time(ParquetUnit::MILLIS)),
        (Physical::INT64, 0, time(ParquetUnit::NANOS)),
        (Physical::BYTE_ARRAY, 0, logical(LogicalType::String)),
        (Physical::BYTE_ARRAY, 0, logical(LogicalType::Enum)),
        (Physical::BYTE_ARRAY, 0, logical(LogicalType::Json)),
        (Physical::BYTE_ARRAY, 0, logical(LogicalType::Bson)),
        (Physical::FIXED_LEN_BYTE_ARRAY, 16, logical(LogicalType::Uuid)),
        (Physical::FIXED_LEN_BYTE_ARRAY, 2, logical(LogicalType::Float16)),
        (Physical::FIXED_LEN_BYTE_ARRAY, 12, (None, ConvertedType::INTERVAL)),
        (Physical::INT32, 0, decimal(2, 9)),
        (Physical::INT64, 0, decimal(0, 18)),
        (Physical::FIXED_LEN_BYTE_ARRAY, 16, decimal(3, 38)),
        (Physical::FIXED_LEN_BYTE_ARRAY, 32, decimal(0, 76)),
        (Physical::BYTE_ARRAY, 0, decimal(1, 30)),
    ];
    kinds.extend(
        [8, 16, 32]
            .into_iter()
            .flat_map(|bits| [true, false].map(|signed| (Physical::INT32, 0, integer(bits, signed)))),
    );
    kinds.extend([true, false].map(|signed| (Physical::INT64, 0, integer(64, signed))));
    let units = [ParquetUnit::MILLIS, ParquetUnit::MICROS, ParquetUnit::NANOS];
    kinds.extend(units.map(|unit| (Physical::INT64, 0, at(unit))));
    let mut read_whole = 0;
    for (physical, length, (logical, converted)) in &kinds {
        for is_list in [false, true] {
            for (table, odd) in [
                ("user_data", "user_id"),
                ("user_data", "city"),
                ("post_text_df", "post_id"),
                ("post_text_df", "text"),
                ("post_text_df", "topic"),
                ("post_text_df", "embedding"),
                ("feed_data", "timestamp"),
                ("feed_data", "user_id"),
                ("feed_data", "action"),
                ("feed_data", "target"),
            ] {
                let folder = TempDir::new().unwrap();
                put(folder.path(), "post_text_df.csv", POSTS_CSV.as_bytes());
                put(folder.path(), "feed_data.csv", FEED_CSV.as_bytes());
                let _ = std::fs::remove_file(folder.path().join(format!("{table}.csv")));
                let columns = match table {
                    "user_data" => &["user_id", "city"][..],
                    "post_text_df" => &["post_id", "text", "topic", "embedding"],
                    _ => &["timestamp", "user_id", "post_id", "action", "target"],
                };
                let named = |name: &str, repetition| {
                    let is_odd = name == odd || (is_list && name == "element");
                    let built = Type::primitive_type_builder(name, if is_odd { *physical } else { Physical::INT32 });
                    let built = built.with_repetition(repetition);
                    if !is_odd {
                        return built.build();
                    }
                    let (scale, precision) = match logical {
                        Some(LogicalType::Decimal(found)) => (found.scale, found.precision),
                        _ => (-1, -1),
                    };
                    let built = built.with_logical_type(logical.clone()).with_converted_type(*converted);
                    built.with_length(*length).with_scale(scale).with_precision(precision).build()
                };
                let fields = columns.iter().map(|name| {
                    if !(is_list && *name == odd) {
                        return named(name, Repetition::REQUIRED).unwrap();
                    }
                    let element = named("element", Repetition::OPTIONAL).unwrap();
                    let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
                    let list = Arc::new(list.with_fields(vec![Arc::new(element)]).build().unwrap());
                    let built = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL);
                    built.with_logical_type(Some(LogicalType::List)).with_fields(vec![list]).build().unwrap()
                });
                // Two values, none, an empty list, a missing element, three values.
                let levels: Levels = (vec![3, 3, 0, 1, 2, 3, 3, 3], vec![0, 1, 0, 0, 0, 0, 1, 1]);
                write(&folder.path().join(format!("{table}.parquet")), fields.collect(), |index, column| {
                    let (physical, length) =
                        if columns[index] == odd { (*physical, *length) } else { (Physical::INT32, 0) };
                    fill_five(column, physical, length, Some(&levels).filter(|_| is_list && columns[index] == odd));
                    Ok(())
                });
                match read_in(folder.path()) {
                    Ok(_) => read_whole += 1,
                    Err(said) => assert!(said.contains(table), "{physical} {logical:?} as {odd}: {said}"),
                }
            }
        }
    }
    assert!(read_whole > kinds.len(), "{read_whole} were read");
}

/// Ids of people in a feed that a Parquet file holds in this way.
fn people_of(
    physical: Physical,
    length: i32,
    logical: Option<LogicalType>,
    mut fill: impl FnMut(&mut SerializedColumnWriter<'_>),
) -> Result<Vec<String>, String> {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "feed_data.csv", FEED_CSV.split('\n').next().unwrap().as_bytes());
    put(folder.path(), "posts.csv", POSTS_CSV.as_bytes());
    let (scale, precision) = match &logical {
        Some(LogicalType::Decimal(found)) => (found.scale, found.precision),
        _ => (-1, -1),
    };
    let field = Type::primitive_type_builder("user_id", physical).with_repetition(Repetition::REQUIRED);
    let field = field.with_logical_type(logical).with_length(length).with_scale(scale).with_precision(precision);
    write(&folder.path().join("user_data.parquet"), vec![field.build().unwrap()], |_, column| {
        fill(column);
        Ok(())
    });
    Ok(read_in(folder.path())?.people.iter().map(|person| person.key.as_str().to_owned()).collect())
}

#[test]
fn ids_of_any_width_are_exact_and_rounded_ones_are_refused_by_row() {
    let numbers = [1_u64, (1 << 63) + 1, (1 << 63) + 2, (1 << 63) + 3, u64::MAX];
    let expected = numbers.map(|number| number.to_string());
    let unsigned = Some(LogicalType::integer(64, false));
    let found = people_of(Physical::INT64, 0, unsigned, |column| {
        five::<Int64Type>(column, numbers.map(|number| number as i64), None);
    });
    assert_eq!(found.unwrap(), expected);
    let narrow = [0_u32, 1, 1 << 31, (1 << 31) + 1, u32::MAX];
    let found = people_of(Physical::INT32, 0, Some(LogicalType::integer(32, false)), |column| {
        five::<Int32Type>(column, narrow.map(|number| number as i32), None);
    });
    assert_eq!(found.unwrap(), narrow.map(|number| number.to_string()));
    let wide = [i128::MAX / 2, -5, (1 << 63) + 1, 10_i128.pow(37), 10_i128.pow(37) + 1];
    for (scale, expected) in [(0, wide.map(|number| number.to_string())), (2, wide.map(in_hundredths))] {
        let found = people_of(Physical::FIXED_LEN_BYTE_ARRAY, 16, Some(LogicalType::decimal(scale, 38)), |column| {
            let bytes = wide.map(|number| number.to_be_bytes());
            five::<FixedLenByteArrayType>(column, fixed(bytes.each_ref()), None);
        });
        assert_eq!(found.unwrap(), expected);
    }
    let found = people_of(Physical::FIXED_LEN_BYTE_ARRAY, 16, Some(LogicalType::Uuid), |column| {
        let bytes = [1_u128, 2, 3, 4, u128::MAX].map(u128::to_be_bytes);
        five::<FixedLenByteArrayType>(column, fixed(bytes.each_ref()), None);
    });
    assert_eq!(found.unwrap()[4], "ffffffff-ffff-ffff-ffff-ffffffffffff");
    let whole = people_of(Physical::DOUBLE, 0, None, |column| {
        five::<DoubleType>(column, [1.0, 2.0, 9_007_199_254_740_992.0, -3.0, 4.0], None);
    });
    assert_eq!(whole.unwrap(), ["1", "2", "9007199254740992", "-3", "4"]);
    for (name, said) in [
        (
            "doubles",
            people_of(Physical::DOUBLE, 0, None, |column| {
                five::<DoubleType>(column, [1.0, 9.223_372_036_854_776e18, 2.0, 3.0, 4.0], None);
            }),
        ),
        (
            "singles",
            people_of(Physical::FLOAT, 0, None, |column| {
                five::<FloatType>(column, [1.0, 16_777_218.0, 2.0, 3.0, 4.0], None);
            }),
        ),
    ] {
        let said = said.unwrap_err();
        assert!(
            said.contains("row 2, column user_id") && said.contains("store it as integers or as text"),
            "{name}: {said}"
        );
    }
    // Text is exact already; what a program rounded before it wrote text is refused there, too.
    let folder = TempDir::new().unwrap();
    put(folder.path(), "posts.csv", POSTS_CSV.as_bytes());
    let feed = |id: &str| format!("timestamp,user_id,post_id,action,target\n2026-01-05 00:00:10,{id},7,view,1\n");
    put(folder.path(), "feed_data.csv", feed("18446744073709551617").as_bytes());
    assert_eq!(read_in(folder.path()).unwrap().people[0].key.as_str(), "18446744073709551617");
    put(folder.path(), "feed_data.csv", feed("9.223372036854776e+18").as_bytes());
    let said = read_in(folder.path()).unwrap_err();
    assert!(said.contains("line 2, column user_id") && said.contains("rounded"), "{said}");
}

/// A whole number as so many hundredths.
fn in_hundredths(number: i128) -> String {
    let (sign, number) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    format!("{sign}{}.{:02}", number / 100, number % 100)
}

/// Every codec that programs write by default or by choice.
#[test]
fn parquet_is_read_in_every_compression() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), "posts.csv", POSTS_CSV.as_bytes());
        put(folder.path(), "feed_data.csv", b"timestamp,user_id,post_id,action,target\n");
        let field = Type::primitive_type_builder("user_id", Physical::INT64).with_repetition(Repetition::REQUIRED);
        write_by(compression, &folder.path().join("user_data.parquet"), vec![field.build().unwrap()], |_, column| {
            let ids: Vec<i64> = (0..5_000).collect();
            column.typed::<Int64Type>().write_batch(&ids, None, None).map(|_| ())
        });
        let tables = read_in(folder.path()).unwrap_or_else(|said| panic!("{compression:?}: {said}"));
        assert_eq!((tables.people.len(), tables.people[4_999].key.as_str()), (5_000, "4999"), "{compression:?}");
    }
}

#[test]
fn lists_and_wide_numbers_of_people_are_attributes() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "posts.csv", POSTS_CSV.as_bytes());
    put(folder.path(), "feed_data.csv", b"timestamp,user_id,post_id,action,target\n");
    let optional = |name: &'static str, physical| {
        Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL)
    };
    let element = Arc::new(
        optional("element", Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build().unwrap(),
    );
    let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED).with_fields(vec![element]);
    let list = Arc::new(list.build().unwrap());
    let tags = Type::group_type_builder("tags").with_repetition(Repetition::OPTIONAL);
    let tags = tags.with_logical_type(Some(LogicalType::List)).with_fields(vec![list]).build().unwrap();
    let unsigned = optional("serial", Physical::INT64).with_logical_type(Some(LogicalType::integer(64, false)));
    let born = optional("born", Physical::INT32).with_logical_type(Some(LogicalType::Date));
    let fields = vec![
        optional("user_id", Physical::INT32).build().unwrap(),
        tags,
        unsigned.build().unwrap(),
        born.build().unwrap(),
    ];
    write(&folder.path().join("user_data.parquet"), fields, |index, column| match index {
        0 => column.typed::<Int32Type>().write_batch(&[1, 2], Some(&[1, 1]), None).map(|_| ()),
        1 => {
            let texts = [ByteArray::from("tea"), ByteArray::from("boats")];
            column.typed::<ByteArrayType>().write_batch(&texts, Some(&[3, 3, 0]), Some(&[0, 1, 0])).map(|_| ())
        }
        2 => column.typed::<Int64Type>().write_batch(&[-1], Some(&[1, 0]), None).map(|_| ()),
        _ => column.typed::<Int32Type>().write_batch(&[-1], Some(&[0, 1]), None).map(|_| ()),
    });
    let people = read_in(folder.path()).unwrap().people;
    assert_eq!(people[0].attributes.as_deref(), Some(r#"{"serial":18446744073709551615,"tags":["tea","boats"]}"#));
    assert_eq!(people[1].attributes.as_deref(), Some(r#"{"born":"1969-12-31"}"#));
    // A number that JSON would round stays text.
    let csv = TempDir::new().unwrap();
    put(csv.path(), "posts.csv", POSTS_CSV.as_bytes());
    put(csv.path(), "feed_data.csv", b"timestamp,user_id,post_id,action,target\n");
    put(csv.path(), "user_data.csv", b"user_id,serial,share\n1,184467440737095516170,0.25\n");
    let people = read_in(csv.path()).unwrap().people;
    assert_eq!(people[0].attributes.as_deref(), Some(r#"{"serial":"184467440737095516170","share":0.25}"#));
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
    let folder = TempDir::new().unwrap();
    put(folder.path(), "posts.csv", POSTS_CSV.as_bytes());
    put(folder.path(), "feed_data.csv", FEED_CSV.as_bytes());
    let field =
        |name: &'static str| Type::primitive_type_builder(name, Physical::INT32).with_repetition(Repetition::REQUIRED);
    let fields = ["user_id", "age", "age"].map(|name| field(name).build().unwrap()).to_vec();
    write(&folder.path().join("user_data.parquet"), fields, |_, column| {
        column.typed::<Int32Type>().write_batch(&[1], None, None).map(|_| ())
    });
    let said = read_in(folder.path()).unwrap_err();
    assert!(said.contains("user_data.parquet, column age: the column is there twice"), "{said}");
}

/// A catalogue in which some bring an embedding and some a text alone: one length, or an error at the row.
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
        let options = Options { dim_of_texts: Some(4), ..Options::default() };
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
