//! Reading Parquet with every type of column, valid and damaged.

use std::fs::File;
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

use crate::domain::time::Millis;
use crate::tables::read::tests::{FEED_CSV, POSTS_CSV, put, read_in, store};
use crate::tables::write::FileFormat;

/// Parquet as data frames write it: integers as reals where values are missing, instants in nanoseconds, nulls, lists.
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

/// Writes five values of one type, its extremes included.
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

/// Every column type of Parquet, alone and as a list, in every role: rows, or an error that names the file.
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

/// Ids of the users in a Parquet file with this type of column.
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
    // Text is exact; an id that a program rounded before it wrote text is refused, too.
    let folder = TempDir::new().unwrap();
    put(folder.path(), "posts.csv", POSTS_CSV.as_bytes());
    let feed = |id: &str| format!("timestamp,user_id,post_id,action,target\n2026-01-05 00:00:10,{id},7,view,1\n");
    put(folder.path(), "feed_data.csv", feed("18446744073709551617").as_bytes());
    assert_eq!(read_in(folder.path()).unwrap().people[0].key.as_str(), "18446744073709551617");
    put(folder.path(), "feed_data.csv", feed("9.223372036854776e+18").as_bytes());
    let said = read_in(folder.path()).unwrap_err();
    assert!(said.contains("line 2, column user_id") && said.contains("rounded"), "{said}");
}

/// Formats an integer as hundredths.
fn in_hundredths(number: i128) -> String {
    let (sign, number) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    format!("{sign}{}.{:02}", number / 100, number % 100)
}

/// Every codec that common programs write.
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
    // An integer that JSON would round stays text.
    let csv = TempDir::new().unwrap();
    put(csv.path(), "posts.csv", POSTS_CSV.as_bytes());
    put(csv.path(), "feed_data.csv", b"timestamp,user_id,post_id,action,target\n");
    put(csv.path(), "user_data.csv", b"user_id,serial,share\n1,184467440737095516170,0.25\n");
    let people = read_in(csv.path()).unwrap().people;
    assert_eq!(people[0].attributes.as_deref(), Some(r#"{"serial":"184467440737095516170","share":0.25}"#));
}

#[test]
fn a_column_that_parquet_has_twice_is_refused_by_name() {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A damaged Parquet file gives rows or an error, and never ends the program.
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
