//! A filtered scan gives what the filter gives over all rows.

use arrow::array::{Decimal128Array, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimeUnit;
use datafusion::config::ConfigOptions;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Row {
    i: Option<i32>,
    s: Option<String>,
    d: Option<i128>,
    ts: Option<i64>,
    f: Option<f64>,
}

fn row() -> impl Strategy<Value = Row> {
    // Longer than bounds are, with neighbours that differ past the cut.
    let text = prop_oneof![
        "[ab]{0,2}",
        "[ab]{0,1}".prop_map(|s| format!("aaaaaaaaaaaaaaaa{s}")),
        Just("\u{10ffff}\u{10ffff}".to_owned()),
        Just("é".repeat(17)),
    ];
    let float = prop_oneof![
        4 => (-3i8..3).prop_map(|v| f64::from(v) / 2.0),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
    ];
    (
        prop::option::weighted(0.8, -3i32..4),
        prop::option::weighted(0.8, text),
        prop::option::weighted(0.8, -300i128..300),
        prop::option::weighted(0.8, (-3i64..3).prop_map(|h| h * 43_200_000_000 + 1)),
        prop::option::weighted(0.8, float),
    )
        .prop_map(|(i, s, d, ts, f)| Row { i, s, d, ts, f })
}

fn filter() -> impl Strategy<Value = String> {
    let op = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]);
    let text = prop::sample::select(vec!["", "a", "ab", "aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaab"]);
    let float = prop::sample::select(vec!["0.0", "-0.0", "1.0", "-1.5", "'NaN'", "'Infinity'"]);
    let leaf = prop_oneof![
        (op.clone(), -3i32..4).prop_map(|(op, v)| format!("i {op} {v}")),
        (op.clone(), -3i64..4).prop_map(|(op, v)| format!("-i {op} {v}")),
        (op.clone(), -3i64..4).prop_map(|(op, v)| format!("CAST(i AS BIGINT) * 2 {op} {v}")),
        (op.clone(), text.clone()).prop_map(|(op, v)| format!("s {op} '{v}'")),
        text.clone().prop_map(|v| format!("s LIKE '{v}%'")),
        text.clone().prop_map(|v| format!("s NOT LIKE '{v}%'")),
        (text.clone(), text).prop_map(|(a, b)| format!("s IN ('{a}', '{b}')")),
        (op.clone(), -300i32..300).prop_map(|(op, v)| format!("d {op} {}.{:02}", v / 100, v.abs() % 100)),
        (op.clone(), 28u32..32).prop_map(|(op, v)| format!("ts {op} '1969-12-{v:02} 12:00:00Z'")),
        (op.clone(), 30u32..32).prop_map(|(op, v)| format!("CAST(ts AS DATE) {op} '1969-12-{v}'")),
        op.clone().prop_map(|op| format!("CAST(ts AS TIME) {op} '12:00:00.000001'")),
        op.clone().prop_map(|op| format!("date_trunc('day', ts) {op} '1970-01-01T00:00:00Z'")),
        (op.clone(), float).prop_map(|(op, v)| format!("f {op} {v}::double")),
        (op, -2i32..3).prop_map(|(op, v)| format!("CAST(CAST(i AS BOOLEAN) AS INT) {op} {v}")),
        (-3i32..4).prop_map(|v| format!("CAST(i AS VARCHAR) > '{v}'")),
        prop::sample::select(vec!["i", "s", "d", "ts", "f"]).prop_map(|c| format!("{c} IS NULL")),
        prop::sample::select(vec!["i", "s", "d", "ts", "f"]).prop_map(|c| format!("{c} IS NOT NULL")),
        (-3i32..4, -3i32..4).prop_map(|(a, b)| format!("i NOT IN ({a}, {b})")),
        (-3i32..4, -3i32..4).prop_map(|(a, b)| format!("i IN ({a}, {b}, NULL)")),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) OR ({b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn rows_of(rows: &[Row]) -> RecordBatch {
    let ts = rows.iter().map(|r| r.ts).collect::<TimestampMicrosecondArray>();
    let d = rows.iter().map(|r| r.d).collect::<Decimal128Array>();
    batch(vec![
        ("i", Arc::new(rows.iter().map(|r| r.i).collect::<Int32Array>()) as ArrayRef),
        ("s", Arc::new(rows.iter().map(|r| r.s.clone()).collect::<StringArray>())),
        ("d", Arc::new(d.with_precision_and_scale(9, 2).unwrap())),
        ("ts", Arc::new(ts.with_timezone("UTC"))),
        ("f", Arc::new(rows.iter().map(|r| r.f).collect::<Float64Array>())),
    ])
}

fn layouts() -> Vec<Vec<(&'static str, Transform)>> {
    vec![
        vec![],
        vec![("i", Transform::Identity)],
        vec![("i", Transform::Truncate(2)), ("ts", Transform::Day)],
        vec![("s", Transform::Truncate(1)), ("d", Transform::Truncate(50))],
        vec![("s", Transform::Bucket(4)), ("ts", Transform::Hour)],
        vec![("ts", Transform::Month), ("i", Transform::Bucket(3))],
        vec![("ts", Transform::Year), ("d", Transform::Bucket(5))],
    ]
}

async fn check(files: &[Vec<Row>], layout: &[(&str, Transform)], filters: &[String]) {
    let fixture = Fixture::new().await;
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("i", DataType::Int32),
        ("s", DataType::Utf8),
        ("d", DataType::Decimal128(9, 2)),
        ("ts", zone),
        ("f", DataType::Float64),
    ];
    let table = fixture.create(partitioned(definition(&columns), layout)).await;
    let batches: Vec<RecordBatch> = files.iter().map(|rows| rows_of(rows)).collect();
    let table = append(&table, &batches).await;
    // Without pushdown of its own, so that the oracle cannot share a mistake.
    let memory = in_memory(&batches);
    for pushdown in [false, true] {
        let mut options = ConfigOptions::new();
        options.execution.parquet.pushdown_filters = pushdown;
        options.execution.parquet.reorder_filters = pushdown;
        ingot_semantics::exact_options(&mut options);
        let config = SessionConfig::from(options).with_target_partitions(2);
        let ours = configured(&table, ScanOptions::default(), config).await;
        for filter in filters {
            let sql = format!("SELECT * FROM t WHERE {filter}");
            let (got, wanted) = (lines(&ours, &sql).await, lines(&memory, &sql).await);
            assert_eq!(got, wanted, "{filter}, pushdown {pushdown}");
        }
        for sql in [
            "SELECT count(*), count(i), count(s), count(ts), count(f) FROM t",
            "SELECT min(i), max(i), min(s), max(s), min(d), max(d), min(ts), max(ts) FROM t",
            // Zeros are equal, so either may be among the first.
            "SELECT f + 0.0 FROM (SELECT f FROM t ORDER BY f DESC NULLS LAST LIMIT 2)",
            "SELECT i FROM t ORDER BY i LIMIT 3",
            "SELECT a.i, a.f FROM t a JOIN t b ON a.f = b.f AND a.i = b.i",
            "SELECT a.i, b.s FROM t a JOIN t b ON a.i IS NOT DISTINCT FROM b.i",
        ] {
            assert_eq!(lines(&ours, sql).await, lines(&memory, sql).await, "{sql}");
        }
        // Where keys are neither NULL nor float, filters from joins are exact.
        let mut options = ConfigOptions::new();
        options.execution.parquet.pushdown_filters = pushdown;
        let config = SessionConfig::from(options).with_target_partitions(2);
        let ours = configured(&table, ScanOptions::default(), config).await;
        let join = "SELECT a.i, b.s FROM t a JOIN t b ON a.i = b.i AND a.s = b.s";
        assert_eq!(lines(&ours, join).await, lines(&memory, join).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pruning_loses_no_row(
        files in prop::collection::vec(prop::collection::vec(row(), 1..5), 1..5),
        layout in prop::sample::select(layouts()),
        filters in prop::collection::vec(filter(), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&files, &layout, &filters));
    }
}

#[tokio::test]
async fn row_groups_with_nan_survive_a_range() {
    // One file, so that only Parquet's own statistics could skip it.
    let rows: Vec<Row> =
        [1.0, f64::NAN].iter().map(|f| Row { i: Some(1), s: None, d: None, ts: None, f: Some(*f) }).collect();
    check(&[rows], &[], &["f > 5.0".to_owned(), "f = 'NaN'::double".to_owned()]).await;
}
