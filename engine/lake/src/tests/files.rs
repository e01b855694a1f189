//! Data files: values, partitions, bounds, durability.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int32Array, StringViewArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Fields, TimestampMicrosecondType};
use bytes::Bytes;
use iceberg::spec::{Datum, Literal, PrimitiveLiteral};
use ingot_model::{PartitionBy, SortBy, Transform};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::*;
use crate::LakeError;
use crate::table::schema::arrow_schema;
use crate::write::bounds::{file_metrics, round_bytes_up, round_string_up};
use crate::write::parquet_schema::parquet_schema;

#[tokio::test]
async fn values_are_brought_to_the_tables_types() {
    let (_folder, lake) = lake().await;
    let definition = Definition {
        columns: vec![
            column("ts", utc()),
            column("big", DataType::Int64),
            column("s", DataType::Utf8),
            column("small", DataType::Int32),
        ],
        ..Definition::default()
    };
    let table = create(&lake, "t", definition).await;
    let ns = TimestampNanosecondArray::from(vec![-1, 1_999]).with_timezone("+00:00");
    let odd = |big: Vec<u64>| {
        batch(vec![
            ("small", Arc::new(arrow::array::Int16Array::from(vec![1; 2])) as ArrayRef),
            ("s", Arc::new(StringViewArray::from(vec!["a", "a string longer than twelve bytes"]))),
            ("big", Arc::new(UInt64Array::from(big))),
            ("ts", Arc::new(ns.clone())),
        ])
    };
    let files = write(&table, &odd(vec![1, i64::MAX as u64])).await;
    let back = &read(files[0].file_path())[0];
    let names: Vec<_> = back.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["ts", "big", "s", "small"]);
    // Floored, not cut towards 1970.
    assert_eq!(back.column(0).as_primitive::<TimestampMicrosecondType>().values(), &[-1, 1]);
    assert_eq!(back.column(2).data_type(), &DataType::Utf8);
    let mut writer = Writer::new(&table, None).unwrap();
    let error = writer.write(&odd(vec![1, u64::MAX])).await.unwrap_err();
    assert!(matches!(&error, LakeError::Value { column, .. } if column == "big"), "{error}");
    for wrong in [
        // Lossy or ambiguous: not ours to decide.
        ("small", Arc::new(Float64Array::from(vec![1.5])) as ArrayRef),
        ("small", Arc::new(Int64Array::from(vec![1]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![1]))),
    ] {
        let mut columns: BTreeMap<&str, ArrayRef> = BTreeMap::from([
            ("ts", Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")) as _),
            ("big", Arc::new(Int64Array::from(vec![1])) as _),
            ("s", Arc::new(StringArray::from(vec!["a"])) as _),
            ("small", Arc::new(Int32Array::from(vec![1])) as _),
        ]);
        columns.insert(wrong.0, wrong.1);
        let error = writer.write(&batch(columns.into_iter().collect())).await.unwrap_err();
        assert!(error.to_string().contains(wrong.0), "{error}");
    }
    assert!(writer.write(&rows(&[1])).await.is_err());
}

/// The partition values of a column under a transform, with the rows that went there.
async fn partitions(lake: &Lake, values: ArrayRef, transform: Transform) -> HashMap<Option<Literal>, Vec<usize>> {
    let name = format!("t{}", Uuid::new_v4().simple());
    let definition = Definition {
        columns: vec![column("row", DataType::Int64), column("v", values.data_type().clone())],
        partition: vec![PartitionBy { column: "v".into(), transform }],
        ..Definition::default()
    };
    let table = create(lake, &name, definition).await;
    let numbers = Int64Array::from_iter_values(0..values.len() as i64);
    let rows = batch(vec![("row", Arc::new(numbers) as ArrayRef), ("v", values)]);
    let files = write(&table, &rows).await;
    let table = lake.commit(&table, appending(files), &retry).await.unwrap();
    let mut found = HashMap::new();
    for entry in entries(&table).await {
        assert!(!entry.file_path().contains('='), "{}", entry.file_path());
        let mut rows = Vec::new();
        for batch in read(entry.file_path()) {
            let numbers = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
            rows.extend(numbers.values().iter().map(|row| *row as usize));
        }
        let value = entry.data_file().partition().fields()[0].clone();
        assert!(found.insert(value, rows).is_none());
    }
    found
}

#[tokio::test]
async fn rows_go_to_the_partitions_that_iceberg_says() {
    let (_folder, lake) = lake().await;
    let hour = 3_600_000_000_i64;
    let times = || {
        let micros = vec![Some(0), Some(-1), Some(25 * hour), None, Some(-25 * hour)];
        Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")) as ArrayRef
    };
    let int = |value: i32| Some(Literal::int(value));
    let by_hour = partitions(&lake, times(), Transform::Hour).await;
    assert_eq!(by_hour[&int(-1)], [1]);
    assert_eq!(by_hour[&int(25)], [2]);
    assert_eq!(by_hour[&int(-25)], [4]);
    assert_eq!(by_hour[&None], [3]);
    let by_day = partitions(&lake, times(), Transform::Day).await;
    assert_eq!(by_day[&Some(Literal::date(-1))], [1]);
    assert_eq!(by_day[&Some(Literal::date(-2))], [4]);
    let by_month = partitions(&lake, times(), Transform::Month).await;
    assert_eq!(by_month[&int(-1)], [1, 4]);
    assert_eq!(by_month[&int(0)], [0, 2]);
    let by_year = partitions(&lake, times(), Transform::Year).await;
    assert_eq!(by_year[&int(-1)], [1, 4]);
    let dates = Arc::new(Date32Array::from(vec![Some(-1), Some(364), None])) as ArrayRef;
    let by_year = partitions(&lake, dates, Transform::Year).await;
    assert_eq!((&by_year[&int(-1)][..], &by_year[&int(0)][..]), (&[0][..], &[1][..]));
    let amounts = Decimal128Array::from(vec![Some(-105), Some(1065), None, Some(1001)]);
    let amounts = Arc::new(amounts.with_precision_and_scale(9, 2).unwrap()) as ArrayRef;
    let truncated = partitions(&lake, Arc::clone(&amounts), Transform::Truncate(50)).await;
    assert_eq!(truncated[&Some(Literal::decimal(-150))], [0]);
    assert_eq!(truncated[&Some(Literal::decimal(1050))], [1]);
    assert_eq!(truncated[&Some(Literal::decimal(1000))], [3]);
    assert_eq!(partitions(&lake, amounts, Transform::Identity).await.len(), 4);
    let names = StringArray::from(vec![Some("ünïcödé"), Some("ünx"), None, Some("a/b=c%20é")]);
    let by_name = partitions(&lake, Arc::new(names), Transform::Truncate(2)).await;
    assert_eq!(by_name[&Some(Literal::string("ün"))], [0, 1]);
    assert_eq!(by_name[&None], [2]);
    // The bucket test values of the Iceberg specification, appendix B.
    let bucket = 1 << 30;
    let hashed = |hash: i64| Some(Literal::int((hash & i64::from(i32::MAX)) as i32 % bucket));
    let text = Arc::new(StringArray::from(vec!["iceberg"])) as ArrayRef;
    let of_text = partitions(&lake, text, Transform::Bucket(bucket as u32)).await;
    assert!(of_text.contains_key(&hashed(1_210_000_089)), "{of_text:?}");
    let uuid = uuid::uuid!("f79c3e09-677c-4bbd-a479-3f349cb785e7");
    let uuids =
        FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(uuid.as_bytes().to_vec()), None].into_iter(), 16)
            .unwrap();
    let of_uuid = partitions(&lake, Arc::new(uuids.clone()), Transform::Bucket(bucket as u32)).await;
    assert!(of_uuid.contains_key(&hashed(1_488_055_340)), "{of_uuid:?}");
    assert_eq!(of_uuid[&None], [1]);
    let flags = Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)])) as ArrayRef;
    assert_eq!(partitions(&lake, flags, Transform::Identity).await.len(), 2);
    let bytes = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff"), None])) as ArrayRef;
    assert_eq!(partitions(&lake, bytes, Transform::Identity).await.len(), 2);
    let time = Arc::new(Time64MicrosecondArray::from(vec![Some(1), None])) as ArrayRef;
    assert_eq!(partitions(&lake, time, Transform::Identity).await.len(), 2);
}

#[tokio::test]
async fn many_partitions_hold_few_files_open() {
    let (_folder, lake) = lake().await;
    let definition =
        Definition { partition: vec![PartitionBy { column: "id".into(), transform: Transform::Identity }], ..plain() };
    let table = create(&lake, "t", definition).await;
    let mut writer = Writer::new(&table, None).unwrap();
    let all: Vec<i64> = (0..450).collect();
    writer.write(&rows(&all)).await.unwrap();
    let files = writer.close().await.unwrap();
    assert_eq!(files.iter().map(|file| file.record_count()).sum::<u64>(), 450);
    assert_eq!(files.len(), 450);
    let table = lake.commit(&table, appending(files), &retry).await.unwrap();
    assert_eq!(ids(&table).await, all);
}

#[tokio::test]
async fn files_are_sorted_where_the_definition_says() {
    let (_folder, lake) = lake().await;
    let by = |column: &str, descending| SortBy { column: column.into(), descending, nulls_first: false };
    let definition = Definition { sort: vec![by("name", false), by("id", true)], ..plain() };
    let table = create(&lake, "t", definition).await;
    let mut writer = Writer::new(&table, None).unwrap();
    for (ids, names) in [(vec![1, 2], vec![Some("b"), None]), (vec![3, 4], vec![Some("a"), Some("b")])] {
        writer
            .write(&batch(vec![
                ("id", Arc::new(Int64Array::from(ids)) as ArrayRef),
                ("name", Arc::new(StringArray::from(names))),
            ]))
            .await
            .unwrap();
    }
    assert!(writer.bytes_buffered() > 0);
    let files = writer.close().await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].sort_order_id(), Some(1));
    let back = &read(files[0].file_path())[0];
    let ids = back.column(0).as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(ids.values(), &[3, 4, 1, 2]);
}

#[tokio::test]
async fn nested_columns_have_ids_and_sound_counts() {
    let (_folder, lake) = lake().await;
    let pair = Fields::from(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("tags", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true),
    ]);
    let definition = Definition {
        columns: vec![column("p", DataType::Struct(pair.clone())), column("u", DataType::FixedSizeBinary(16))],
        ..Definition::default()
    };
    let table = create(&lake, "t", definition).await;
    let tags = arrow::array::ListArray::new(
        Arc::new(Field::new("item", DataType::Utf8, true)),
        arrow::buffer::OffsetBuffer::from_lengths([2, 0, 0]),
        Arc::new(StringArray::from(vec![Some("a"), None])),
        None,
    );
    let points = StructArray::new(
        pair,
        vec![Arc::new(Float64Array::from(vec![f64::NAN, f64::NAN, 3.0])), Arc::new(tags)],
        // The second NaN stands under NULL and is no value.
        Some(vec![true, false, true].into()),
    );
    let uuids = FixedSizeBinaryArray::try_from_iter([[1u8; 16]; 3].iter()).unwrap();
    let files = write(&table, &batch(vec![("p", Arc::new(points) as ArrayRef), ("u", Arc::new(uuids))])).await;
    let file = &files[0];
    // p 1, u 2, x 3, tags 4, its element 5.
    assert_eq!(file.nan_value_counts()[&3], 1);
    assert_eq!(file.null_value_counts()[&3], 1);
    assert_eq!(file.lower_bounds()[&3], Datum::double(3.0));
    assert!(!file.lower_bounds().contains_key(&5));
    assert!(!file.lower_bounds().contains_key(&2));
    let footer = std::fs::File::open(file.file_path().strip_prefix("file://").unwrap()).unwrap();
    let footer = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&footer).unwrap();
    let schema = footer.file_metadata().schema_descr_ptr();
    let leaves: Vec<_> = schema.columns().iter().map(|c| c.self_type().get_basic_info().id()).collect();
    assert_eq!(leaves, [3, 5, 2]);
    let uuid = schema.column(2);
    assert_eq!(uuid.logical_type_ref(), Some(&parquet::basic::LogicalType::Uuid));
    let table = lake.commit(&table, appending(files), &retry).await.unwrap();
    assert_eq!(entries(&table).await.len(), 1);
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_no_temporary_file() {
    let (folder, lake) = lake().await;
    let table = create(&lake, "t", plain()).await;
    let mut writer = Writer::new(&table, None).unwrap();
    writer.write(&rows(&[1])).await.unwrap();
    drop(writer);
    let mut left = Vec::new();
    for shard in std::fs::read_dir(folder.path().join("bronze/t/data")).unwrap() {
        left.extend(std::fs::read_dir(shard.unwrap().path()).unwrap().map(|f| f.unwrap().path()));
    }
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn locations_are_taken_literally() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = format!("file://{}/a%20b é", folder.path().display());
    let config = crate::LakeConfig {
        catalog_name: "ingot".into(),
        catalog_uri: Some(format!("sqlite:///{}/c.db", folder.path().display())),
        warehouse,
        s3: crate::S3Config::default(),
    };
    let lake = Lake::open(config).await.unwrap();
    let table = append(&create(&lake, "t", plain()).await, &[1]).await;
    assert!(folder.path().join("a%20b é/bronze/t/metadata").is_dir());
    assert!(folder.path().join("c.db").exists());
    assert_eq!(ids(&table).await, [1]);
    let path = lake.object_path(entries(&table).await[0].file_path()).unwrap();
    assert!(lake.object_store().get_opts(&path, Default::default()).await.is_ok());
    assert!(lake.object_path("s3://other/x").is_err());
    assert!(lake.object_path("file:///a/../b").is_err());
}

/// Writes one column in small row groups and gives its metrics.
fn metrics_of(data_type: DataType, column_of: &ArrayRef) -> crate::write::bounds::FileMetrics {
    let of = crate::table::schema::to_iceberg(
        &data_type,
        "v",
        crate::table::schema::Role::Public,
        &mut crate::table::schema::Ids::after(1),
    )
    .unwrap();
    let fields = vec![Arc::new(iceberg::spec::NestedField::optional(1, "v", of))];
    let arrow = Arc::new(arrow_schema(&fields, true).unwrap());
    let options = parquet::arrow::arrow_writer::ArrowWriterOptions::new()
        .with_parquet_schema(parquet_schema(&arrow, &fields).unwrap())
        .with_properties(WriterProperties::builder().set_max_row_group_row_count(Some(3)).build());
    let mut buffer = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut buffer, Arc::clone(&arrow), options).unwrap();
    writer.write(&RecordBatch::try_new(arrow, vec![Arc::clone(column_of)]).unwrap()).unwrap();
    writer.close().unwrap();
    let footer = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(buffer)).unwrap();
    let mut nans = HashMap::new();
    crate::write::bounds::count_nans(&fields[0], column_of, &mut nans);
    file_metrics(&footer, &fields, nans)
}

#[test]
fn bounds_are_rounded_up_or_left_out() {
    assert_eq!(round_string_up("short").as_deref(), Some("short"));
    assert_eq!(round_string_up(&"a".repeat(16)), Some("a".repeat(16)));
    assert_eq!(round_string_up(&"a".repeat(17)), Some(format!("{}b", "a".repeat(15))));
    assert_eq!(round_string_up(&"é".repeat(17)), Some(format!("{}ê", "é".repeat(15))));
    assert_eq!(round_string_up(&"\u{d7ff}".repeat(17)).unwrap().chars().last(), Some('\u{e000}'));
    let top = format!("b{}", "\u{10ffff}".repeat(20));
    assert_eq!(round_string_up(&top).as_deref(), Some("c"));
    assert_eq!(round_string_up(&"\u{10ffff}".repeat(17)), None);
    assert_eq!(round_bytes_up(&[0xff; 17]), None);
    assert_eq!(round_bytes_up(&[1; 17]).map(|b| b.len()), Some(16));
    let nans: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN; 4]));
    let metrics = metrics_of(DataType::Float64, &nans);
    assert_eq!(metrics.nan_value_counts[&1], 4);
    assert!(metrics.lower_bounds.is_empty() && metrics.upper_bounds.is_empty());
    let none: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 4]));
    let metrics = metrics_of(DataType::Utf8, &none);
    assert_eq!((metrics.value_counts[&1], metrics.null_value_counts[&1]), (4, 4));
    assert!(metrics.lower_bounds.is_empty());
    // A row group of NULLs takes nothing away from the others.
    let some: ArrayRef = Arc::new(StringArray::from(vec![None, None, None, Some("x")]));
    assert_eq!(metrics_of(DataType::Utf8, &some).lower_bounds[&1], Datum::string("x"));
    // One of NaNs does: it has values and no statistics.
    let mixed: ArrayRef = Arc::new(Float32Array::from(vec![f32::NAN, f32::NAN, f32::NAN, 1.0]));
    let metrics = metrics_of(DataType::Float32, &mixed);
    assert!(metrics.lower_bounds.is_empty());
    assert_eq!(metrics.nan_value_counts[&1], 3);
    let zero: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0]));
    let metrics = metrics_of(DataType::Float64, &zero);
    let PrimitiveLiteral::Double(low) = metrics.lower_bounds[&1].literal() else { panic!() };
    assert!(low.0.is_sign_negative());
    let wide = Decimal128Array::from(vec![-(10_i128.pow(37)), 10_i128.pow(37), 1]);
    let wide: ArrayRef = Arc::new(wide.with_precision_and_scale(38, 10).unwrap());
    let metrics = metrics_of(DataType::Decimal128(38, 10), &wide);
    let PrimitiveLiteral::Int128(low) = metrics.lower_bounds[&1].literal() else { panic!() };
    assert_eq!(*low, -(10_i128.pow(37)));
    let small = Decimal128Array::from(vec![440, -5]).with_precision_and_scale(9, 2).unwrap();
    let metrics = metrics_of(DataType::Decimal128(9, 2), &(Arc::new(small) as ArrayRef));
    let PrimitiveLiteral::Int128(high) = metrics.upper_bounds[&1].literal() else { panic!() };
    assert_eq!(*high, 440);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn string_bounds_contain_every_value(
        values in prop::collection::vec(prop::option::of("[a-z\u{7f}é\u{d7ff}\u{ffff}\u{10ffff}]{0,40}"), 1..12)
    ) {
        let array: ArrayRef = Arc::new(StringArray::from(values.clone()));
        let metrics = metrics_of(DataType::Utf8, &array);
        for value in values.iter().flatten() {
            let value = Datum::string(value);
            prop_assert!(metrics.lower_bounds.get(&1).is_none_or(|low| *low <= value));
            prop_assert!(metrics.upper_bounds.get(&1).is_none_or(|high| *high >= value));
        }
        prop_assert_eq!(metrics.null_value_counts[&1], values.iter().filter(|v| v.is_none()).count() as u64);
    }

    #[test]
    fn binary_bounds_contain_every_value(
        values in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0xffu8), any::<u8>()], 0..90), 1..10)
    ) {
        let array: ArrayRef = Arc::new(BinaryArray::from_iter_values(values.iter()));
        let metrics = metrics_of(DataType::Binary, &array);
        for value in &values {
            let value = Datum::binary(value.iter().copied());
            prop_assert!(metrics.lower_bounds.get(&1).is_none_or(|low| *low <= value));
            prop_assert!(metrics.upper_bounds.get(&1).is_none_or(|high| *high >= value));
        }
    }

    #[test]
    fn float_bounds_contain_every_number(
        values in prop::collection::vec(prop::option::of(prop_oneof![
            4 => prop::num::f64::ANY, 1 => Just(f64::NAN), 1 => Just(0.0), 1 => Just(-0.0)
        ]), 1..12)
    ) {
        let array: ArrayRef = Arc::new(Float64Array::from(values.clone()));
        let metrics = metrics_of(DataType::Float64, &array);
        let nans = values.iter().flatten().filter(|v| v.is_nan()).count() as u64;
        prop_assert_eq!(metrics.nan_value_counts[&1], nans);
        for value in values.iter().flatten().filter(|v| !v.is_nan()) {
            for (bound, below) in [(&metrics.lower_bounds, true), (&metrics.upper_bounds, false)] {
                if let Some(bound) = bound.get(&1) {
                    let PrimitiveLiteral::Double(bound) = bound.literal() else { panic!() };
                    prop_assert!(!bound.0.is_nan());
                    let order = bound.0.total_cmp(value);
                    let holds = if below { order.is_le() } else { order.is_ge() };
                    prop_assert!(holds);
                }
            }
        }
    }

    #[test]
    fn decimal_bounds_contain_every_value(
        values in prop::collection::vec(-(10_i128.pow(20))..10_i128.pow(20), 1..10)
    ) {
        let array = Decimal128Array::from(values.clone()).with_precision_and_scale(25, 3).unwrap();
        let metrics = metrics_of(DataType::Decimal128(25, 3), &(Arc::new(array) as ArrayRef));
        let bound = |bounds: &HashMap<i32, Datum>| match bounds[&1].literal() {
            PrimitiveLiteral::Int128(value) => *value,
            _ => panic!(),
        };
        prop_assert_eq!(Some(bound(&metrics.lower_bounds)), values.iter().copied().min());
        prop_assert_eq!(Some(bound(&metrics.upper_bounds)), values.iter().copied().max());
    }
}
