//! Rows as written: partitions, statistics, hidden columns, positions, changes.

use arrow::array::{BinaryArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, TimeUnit};
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Struct};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};

use super::*;
use crate::deletes::file::{DELETE_PATH_FIELD_ID, DELETE_POS_FIELD_ID, DeleteFile, FileDeletes};
use crate::read::changelog::{changelog, live_files};
use crate::read::key_ranges::prune_files;
use datafusion::common::ScalarValue;
use ingot_model::KeyRange;

fn ids(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    batch(vec![("id", Arc::new(values.into_iter().collect::<Int64Array>()) as ArrayRef)])
}

#[tokio::test]
async fn rows_with_null_partitions_are_read_and_pruned() {
    let fixture = Fixture::new().await;
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [("kind", DataType::Utf8), ("ts", zone), ("n", DataType::Int32)];
    let by = [("kind", Transform::Identity), ("ts", Transform::Day)];
    let table = fixture.create(partitioned(definition(&columns), &by)).await;
    let day = 86_400_000_000i64;
    let ts = vec![Some(day), Some(5 * day), None, None, Some(-3 * day + 1)];
    let rows = batch(vec![
        ("kind", Arc::new(StringArray::from(vec![Some("a"), None, Some("b"), None, Some("a")]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(ts).with_timezone("UTC"))),
        ("n", Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5]))),
    ]);
    let table = append(&table, std::slice::from_ref(&rows)).await;
    let log = ScanLog::default();
    let options = ScanOptions { log: Some(Arc::clone(&log)), ..ScanOptions::default() };
    let (ours, memory) = (context(&table, options).await, in_memory(&[rows]));
    let cases = [
        ("true", 5),
        ("kind IS NULL", 2),
        ("kind = 'a'", 2),
        ("kind <> 'a'", 1),
        ("kind IS NOT DISTINCT FROM NULL", 2),
        ("ts IS NULL", 2),
        ("ts IS NOT NULL", 3),
        ("ts >= '1970-01-04'", 1),
        ("ts < '1970-01-01'", 1),
        ("kind IS NULL AND ts IS NULL", 1),
        ("CAST(ts AS TIME) >= '00:00:00'", 3),
        ("n > 4", 1),
    ];
    for (filter, files) in cases {
        let sql = format!("SELECT * FROM t WHERE {filter}");
        assert_eq!(lines(&ours, &sql).await, lines(&memory, &sql).await, "{filter}");
        let read = taken(&log);
        if filter.starts_with("CAST") {
            assert!(read >= files, "{filter}: {read} files");
        } else {
            assert_eq!(read, files, "{filter}");
        }
    }
}

#[tokio::test]
async fn output_has_the_types_of_the_table() {
    let fixture = Fixture::new().await;
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("b", DataType::Boolean),
        ("d", DataType::Decimal128(10, 2)),
        ("day", DataType::Date32),
        ("time", DataType::Time64(TimeUnit::Microsecond)),
        ("ts", zone),
        ("naive", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("u", DataType::FixedSizeBinary(16)),
        ("bin", DataType::Binary),
        ("s", DataType::Utf8),
        ("list", DataType::List(Arc::new(Field::new("element", DataType::Int32, true)))),
    ];
    let table = fixture.create(definition(&columns)).await;
    let rows = RecordBatch::new_empty(table.schema());
    let nulls: Vec<ArrayRef> =
        rows.schema().fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), 2)).collect();
    let rows = RecordBatch::try_new(rows.schema(), nulls).unwrap();
    let table = append(&table, std::slice::from_ref(&rows)).await;
    let ours = context(&table, ScanOptions::default()).await;
    let read = ours.sql("SELECT * FROM t").await.unwrap().collect().await.unwrap();
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    assert_eq!(read[0].schema().fields(), table.schema().fields());
}

#[tokio::test]
async fn counts_and_extremes_come_from_manifests() {
    let fixture = Fixture::new().await;
    let columns = [("id", DataType::Int64), ("f", DataType::Float64), ("s", DataType::Utf8)];
    let table = fixture.create(definition(&columns)).await;
    let rows = |from: i64| {
        batch(vec![
            ("id", Arc::new(Int64Array::from(vec![Some(from), None, Some(from + 7)])) as ArrayRef),
            ("f", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1.0), None]))),
            ("s", Arc::new(StringArray::from(vec!["a very long string that is cut", "b", "c"]))),
        ])
    };
    let batches = [rows(10), rows(-3)];
    let table = append(&table, &batches).await;
    let (ours, memory) = (context(&table, ScanOptions::default()).await, in_memory(&batches));
    for (sql, opens) in [
        ("SELECT count(*) FROM t", false),
        ("SELECT count(id) FROM t", false),
        ("SELECT min(id), max(id) FROM t", false),
        ("SELECT count(f), min(f), max(f) FROM t", true),
        ("SELECT min(s), max(s) FROM t", true),
        ("SELECT count(*) FROM t WHERE id > 0", true),
        ("SELECT count(*) FROM (SELECT * FROM t LIMIT 4)", false),
    ] {
        assert_eq!(lines(&ours, sql).await, lines(&memory, sql).await, "{sql}");
        let (text, _) = plan(&ours, sql).await;
        assert_eq!(text.contains("DataSourceExec: file_groups"), opens, "{sql}\n{text}");
    }
}

#[tokio::test]
async fn an_empty_table_has_no_rows() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let ours = context(&table, ScanOptions::default()).await;
    assert_eq!(lines(&ours, "SELECT count(*) FROM t").await, ["0"]);
    assert!(lines(&ours, "SELECT * FROM t").await.is_empty());
}

#[tokio::test]
async fn small_files_are_spread_over_the_partitions() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let batches: Vec<RecordBatch> = (0..200).map(|i| ids([i])).collect();
    let table = append(&table, &batches).await;
    let log = ScanLog::default();
    let options = ScanOptions { log: Some(Arc::clone(&log)), ..ScanOptions::default() };
    let ours = context(&table, options).await;
    let (_, scan) = plan(&ours, "SELECT id FROM t").await;
    assert_eq!(scan.properties().output_partitioning().partition_count(), 3);
    assert_eq!(taken(&log), 200);
    assert_eq!(lines(&ours, "SELECT count(*), sum(id + 0) FROM t").await, ["200,19900"]);
    log.lock().unwrap().clear();
    assert_eq!(lines(&ours, "SELECT id FROM t LIMIT 5").await.len(), 5);
    assert_eq!(taken(&log), 5);
    assert_eq!(lines(&ours, "SELECT id FROM t WHERE id IN (7, 8)").await, ["7", "8"]);
    assert_eq!(taken(&log), 2);
}

#[tokio::test]
async fn hidden_columns_come_when_asked_for() {
    let fixture = Fixture::new().await;
    let mut with_state = definition(&[("id", DataType::Int64)]);
    with_state.state_columns = vec![("_ingot_s0".to_owned(), DataType::Binary)];
    let table = fixture.create(with_state).await;
    let marked = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("_ingot_s0", Arc::new(BinaryArray::from_vec(vec![b"x", b"y"]))),
    ]);
    let table = append(&table, &[marked, ids([3])]).await;
    let public = context(&table, ScanOptions::default()).await;
    assert_eq!(lines(&public, "SELECT * FROM t").await, ["1", "2", "3"]);
    let options = ScanOptions { with_state: true, ..ScanOptions::default() };
    let state = context(&table, options).await;
    assert_eq!(lines(&state, "SELECT * FROM t").await, ["1,78", "2,79", "3,"]);
    let mut marks: Vec<bool> =
        live_files(&table, table.head().unwrap()).await.unwrap().iter().map(|f| f.has_state).collect();
    marks.sort_unstable();
    assert_eq!(marks, [false, true]);
}

#[tokio::test]
async fn positions_count_the_rows_of_each_file() {
    let fixture = Fixture::new().await;
    let columns = [("id", DataType::Int64), ("n", DataType::Int64)];
    let table = fixture.create(definition(&columns)).await;
    let rows = |from: i64, count: i64| {
        batch(vec![
            ("id", Arc::new((from..from + count).collect::<Int64Array>()) as ArrayRef),
            ("n", Arc::new((0..count).collect::<Int64Array>())),
        ])
    };
    let table = append(&table, &[rows(0, 20_000), rows(50_000, 3)]).await;
    let options = ScanOptions { with_positions: true, with_state: true, ..ScanOptions::default() };
    let ours = context(&table, options).await;
    let wrong = "SELECT count(*) FROM t WHERE _ingot_pos <> n";
    assert_eq!(lines(&ours, wrong).await, ["0"]);
    let files = "SELECT count(*), min(_ingot_pos), max(_ingot_pos), min(id) FROM t GROUP BY _ingot_file";
    assert_eq!(lines(&ours, files).await, ["20000,0,19999,0", "3,0,2,50000"]);
    // A filter leaves positions as they are.
    let one = "SELECT _ingot_pos, id FROM t WHERE id = 12345";
    assert_eq!(lines(&ours, one).await, ["12345,12345"]);
    let names: Vec<String> = lines(&ours, "SELECT DISTINCT _ingot_file FROM t").await;
    let mut live: Vec<String> =
        live_files(&table, table.head().unwrap()).await.unwrap().iter().map(|f| f.path.clone()).collect();
    live.sort();
    assert_eq!(names, live);
    assert_eq!(lines(&ours, "SELECT count(*) FROM t").await, ["20003"]);
}

#[tokio::test]
async fn position_deletes_take_rows_away() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let table = append(&table, &[ids(0..10), ids(100..110)]).await;
    let mut files = live_files(&table, table.head().unwrap()).await.unwrap();
    let field = |name: &str, of: DataType, id: i32| {
        Field::new(name, of, false)
            .with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())].into_iter().collect())
    };
    let schema = Arc::new(Schema::new(vec![
        field("file_path", DataType::Utf8, DELETE_PATH_FIELD_ID),
        field("pos", DataType::Int64, DELETE_POS_FIELD_ID),
    ]));
    let path = files[0].path.clone();
    let deletes = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(StringArray::from(vec![path.as_str(), path.as_str(), "elsewhere"])),
            Arc::new(Int64Array::from(vec![0, 9, 3])),
        ],
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
    writer.write(&deletes).unwrap();
    writer.close().unwrap();
    let target = format!("{}/deletes.parquet", table.metadata().location());
    let size = bytes.len() as u64;
    table.lake().file_io().new_output(&target).unwrap().write(bytes.into()).await.unwrap();
    let listed = DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(target)
        .file_format(DataFileFormat::Parquet)
        .record_count(3)
        .file_size_in_bytes(size)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .build()
        .unwrap();
    let delete = Arc::new(DeleteFile::listed(table.name(), shared(listed), 9, 0).unwrap());
    files[0].deletes = FileDeletes { positions: vec![delete], ..FileDeletes::default() };
    let first = files[0].data_file.lower_bounds()[&1].to_string();
    let options = ScanOptions { files: Some(files), ..ScanOptions::default() };
    let ours = context(&table, options.clone()).await;
    assert_eq!(lines(&ours, "SELECT count(*) FROM t").await, ["18"]);
    assert_eq!(lines(&ours, "SELECT id FROM t LIMIT 18").await.len(), 18);
    let low = first.parse::<i64>().unwrap();
    let gone = format!("SELECT id FROM t WHERE id IN ({low}, {})", low + 9);
    assert!(lines(&ours, &gone).await.is_empty());
    let kept = format!("SELECT id FROM t WHERE id = {}", low + 1);
    assert_eq!(lines(&ours, &kept).await, [(low + 1).to_string()]);
    let with_positions = ScanOptions { with_positions: true, ..options };
    let ours = context(&table, with_positions).await;
    let shifted = "SELECT count(*) FROM t WHERE _ingot_pos <> (id % 100)";
    assert_eq!(lines(&ours, shifted).await, ["0"]);
    assert_eq!(lines(&ours, "SELECT count(*) FROM t").await, ["18"]);
}

#[tokio::test]
async fn changes_are_exact_in_both_directions() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let one = append(&table, &[ids([1]), ids([2])]).await;
    let two = append(&one, &[ids([3])]).await;
    let first = one.head().unwrap();
    let second = two.head().unwrap();
    let victim = live_files(&two, first).await.unwrap()[0].path.clone();
    let change = Commit { operation: Operation::Delete, remove: vec![victim.clone()], ..Commit::default() };
    let three = commit(&two, change).await;
    let third = three.head().unwrap();
    let all = live_files(&three, second).await.unwrap().len();
    assert_eq!((all, live_files(&three, third).await.unwrap().len()), (3, 2));

    let count = |c: &crate::FileChange| (c.added.len(), c.removed.len());
    let whole = changelog(&three, None, third).await.unwrap();
    assert_eq!(count(&whole), (2, 0));
    let step = changelog(&three, Some(first), second).await.unwrap();
    assert_eq!(count(&step), (1, 0));
    let both = changelog(&three, Some(first), third).await.unwrap();
    assert_eq!(count(&both), (1, 1));
    assert_eq!(both.removed[0].path, victim);
    // A rollback is a change like another.
    let back = changelog(&three, Some(third), first).await.unwrap();
    assert_eq!(count(&back), (1, 1));
    assert_eq!(back.added[0].path, victim);
    assert_eq!(count(&changelog(&three, Some(third), third).await.unwrap()), (0, 0));
    let gone = changelog(&three, Some(42), third).await.unwrap_err();
    assert!(matches!(gone, LakeError::SnapshotGone { snapshot: 42, .. }), "{gone}");

    let old = ScanOptions { snapshot: Some(first), ..ScanOptions::default() };
    let ours = context(&three, old).await;
    assert_eq!(lines(&ours, "SELECT * FROM t").await, ["1", "2"]);
    let some = ScanOptions { files: Some(both.added), ..ScanOptions::default() };
    let ours = context(&three, some).await;
    assert_eq!(lines(&ours, "SELECT * FROM t").await, ["3"]);
}

#[tokio::test]
async fn files_without_candidate_keys_are_left_out() {
    let fixture = Fixture::new().await;
    let columns = [("id", DataType::Int64), ("f", DataType::Float64), ("b", DataType::Utf8)];
    let of = partitioned(definition(&columns), &[("b", Transform::Bucket(8))]);
    let table = fixture.create(of).await;
    let row = |id: Option<i64>, b: Option<&str>| {
        batch(vec![
            ("id", Arc::new(Int64Array::from(vec![id])) as ArrayRef),
            ("f", Arc::new(Float64Array::from(vec![1.0]))),
            ("b", Arc::new(StringArray::from(vec![b]))),
        ])
    };
    let rows = [row(Some(1), Some("x")), row(Some(5), Some("y")), row(None, None)];
    let table = append(&table, &rows).await;
    let files = live_files(&table, table.head().unwrap()).await.unwrap();
    let left = |column: &str, min: ScalarValue, max: ScalarValue, has_null: bool| {
        let range = KeyRange { column: column.to_owned(), min, max, has_null };
        prune_files(&table, files.clone(), &[range]).len()
    };
    let int = |v: i64| ScalarValue::Int64(Some(v));
    assert_eq!(left("id", int(2), int(9), false), 1);
    assert_eq!(left("id", int(2), int(9), true), 2);
    assert_eq!(left("id", int(1), int(5), false), 2);
    assert_eq!(left("id", int(2), int(4), false), 0);
    assert_eq!(left("id", ScalarValue::Int64(None), ScalarValue::Int64(None), true), 1);
    assert_eq!(left("f", ScalarValue::from(8.0), ScalarValue::from(9.0), false), 3);
    assert_eq!(left("no such column", int(2), int(4), false), 3);
    assert_eq!(left("b", ScalarValue::from("x"), ScalarValue::from("x"), false), 1);
    assert_eq!(left("b", ScalarValue::Utf8View(Some("x".into())), ScalarValue::from("x"), true), 2);
    assert_eq!(prune_files(&table, files.clone(), &[]).len(), 3);
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_a_damaged_one() {
    let fixture = Fixture::new().await;
    let table = fixture.create(definition(&[("id", DataType::Int64)])).await;
    let table = append(&table, &[ids(0..10)]).await;
    let file = live_files(&table, table.head().unwrap()).await.unwrap().remove(0);
    let path = file.path.strip_prefix("file://").unwrap();
    let fails = async || {
        let frame = context(&table, ScanOptions::default()).await.sql("SELECT sum(id) FROM t").await.unwrap();
        frame.collect().await.unwrap_err()
    };
    let whole = std::fs::read(path).unwrap();
    std::fs::write(path, vec![b'x'; whole.len()]).unwrap();
    let damaged = fails().await;
    assert!(ingot_semantics::find::<object_store::Error>(&damaged).is_none(), "{damaged}");
    assert!(ingot_semantics::find::<parquet::errors::ParquetError>(&damaged).is_some(), "{damaged}");
    std::fs::remove_file(path).unwrap();
    let gone = fails().await;
    let cause = ingot_semantics::find::<object_store::Error>(&gone);
    assert!(matches!(cause, Some(object_store::Error::NotFound { .. })), "{gone}");
}

/// A file as a manifest would list it.
fn shared(file: iceberg::spec::DataFile) -> crate::SharedFile {
    let entry = iceberg::spec::ManifestEntry::builder().status(iceberg::spec::ManifestStatus::Added).data_file(file);
    Arc::new(entry.build()).into()
}
