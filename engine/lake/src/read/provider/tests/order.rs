//! A scan of a sorted table gives its rows in order where it says so, and says so where it can.

use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray};
use iceberg::spec::{DataContentType, Datum};
use ingot_model::SortBy;
use proptest::prelude::*;

use super::deletes::parquet_file;
use super::*;
use crate::read::changelog::live_files;

fn by(column: &str, descending: bool, nulls_first: bool) -> SortBy {
    SortBy { column: column.to_owned(), descending, nulls_first }
}

fn sorted(columns: &[(&str, DataType)], sort: Vec<SortBy>) -> Definition {
    Definition { sort, ..definition(columns) }
}

fn numbers(values: impl IntoIterator<Item = Option<i32>>) -> RecordBatch {
    batch(vec![("i", Arc::new(values.into_iter().collect::<Int32Array>()) as ArrayRef)])
}

async fn session(table: &Table, partitions: usize) -> SessionContext {
    configured(table, ScanOptions::default(), SessionConfig::new().with_target_partitions(partitions)).await
}

/// The rows of a query as they come.
async fn in_order(context: &SessionContext, sql: &str) -> Vec<String> {
    let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
    let text = pretty_format_batches(&rows).unwrap().to_string();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    text.lines().filter(|line| line.starts_with('|')).skip(1).map(|line| cells(line).join(",")).collect()
}

async fn sorts(table: &Table, partitions: usize, sql: &str) -> bool {
    let (text, _) = plan(&session(table, partitions).await, sql).await;
    text.contains("SortExec")
}

const ALL: &str = "SELECT i FROM t ORDER BY i";

#[tokio::test]
async fn a_sorted_table_is_not_sorted_again() {
    let fixture = Fixture::new().await;
    let columns = [("i", DataType::Int32)];
    for (descending, sql) in [(false, ALL), (true, "SELECT i FROM t ORDER BY i DESC NULLS LAST")] {
        let mut table = fixture.create(sorted(&columns, vec![by("i", descending, false)])).await;
        // Of one range each, in no order of time.
        for first in [40, 0, 20, 60] {
            table = append(&table, &[numbers([7, 3, 9, 1].map(|i| Some(first + i)))]).await;
        }
        let mut wanted: Vec<i32> = [40, 0, 20, 60].iter().flat_map(|first| [1, 3, 7, 9].map(|i| first + i)).collect();
        wanted.sort_unstable();
        if descending {
            wanted.reverse();
        }
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        for partitions in [1, 2, 3, 4, 9] {
            let ours = session(&table, partitions).await;
            assert_eq!(in_order(&ours, sql).await, wanted, "{partitions}");
            assert_eq!(in_order(&ours, &format!("{sql} LIMIT 3")).await, wanted[..3], "{partitions}");
            assert!(!sorts(&table, partitions, sql).await, "{}", plan(&ours, sql).await.0);
        }
        // One chain needs no merge.
        let (text, _) = plan(&session(&table, 1).await, sql).await;
        assert!(!text.contains("Merge"), "{text}");
        // Overlapping files are merged, and one with NULL follows none.
        table = append(&table, &[numbers([Some(5), None, Some(45)])]).await;
        table = append(&table, &[numbers([Some(4), Some(70)])]).await;
        for partitions in [1, 2, 3] {
            assert!(!sorts(&table, partitions, sql).await);
            let rows = in_order(&session(&table, partitions).await, sql).await;
            assert_eq!((rows.len(), rows.last().map(String::as_str)), (21, Some("")), "{rows:?}");
            assert_eq!(rows, in_order(&as_read(&table).await, sql).await);
        }
        // Another order is none.
        for other in [
            "SELECT i FROM t ORDER BY i NULLS FIRST",
            "SELECT i FROM t ORDER BY -i",
            "SELECT -i AS i FROM t ORDER BY i",
        ] {
            // What is known to turn an order is as good.
            assert!(other.contains('-') || sorts(&table, 2, other).await, "{other}");
            assert_eq!(in_order(&session(&table, 2).await, other).await, in_order(&as_read(&table).await, other).await);
        }
        // Of many that overlap none is worth a stream of its own.
        for _ in 0..8 {
            table = append(&table, &[numbers([Some(2), Some(71)])]).await;
        }
        assert!(sorts(&table, 2, sql).await);
        assert_eq!(in_order(&session(&table, 2).await, sql).await, in_order(&as_read(&table).await, sql).await);
    }
}

/// The rows that a scan gives, in memory, where nothing is known of their order.
async fn as_read(table: &Table) -> SessionContext {
    let mut rows = session(table, 1).await.sql("SELECT * FROM t").await.unwrap().collect().await.unwrap();
    rows.push(RecordBatch::new_empty(table.schema()));
    in_memory(&rows)
}

#[tokio::test]
async fn an_order_is_taken_on_trust_of_nobody() {
    let fixture = Fixture::new().await;
    let columns = [("i", DataType::Int32), ("f", DataType::Float64)];
    let rows = |i: &[i32], f: &[f64]| {
        batch(vec![
            ("i", Arc::new(Int32Array::from(i.to_vec())) as ArrayRef),
            ("f", Arc::new(Float64Array::from(f.to_vec()))),
        ])
    };
    let first = rows(&[2, 1], &[0.0, -0.0]);
    let table = fixture.create(sorted(&columns, vec![by("i", false, false)])).await;
    let table = append(&table, std::slice::from_ref(&first)).await;
    assert!(!sorts(&table, 2, ALL).await);
    // Another writer's file that says it is sorted, and is not.
    let lying = rows(&[9, 5, 7], &[1.0, 2.0, 3.0]);
    let mut file = parquet_file(&table, &[1, 2], &lying).1;
    let order = i32::try_from(table.metadata().default_sort_order_id()).unwrap();
    file.content(DataContentType::Data).sort_order_id(order).null_value_counts([(1, 0)].into());
    file.lower_bounds([(1, Datum::int(5))].into()).upper_bounds([(1, Datum::int(9))].into());
    let foreign = Commit {
        commit_id: Uuid::new_v4(),
        operation: Operation::Append,
        add: vec![file.build().unwrap()],
        ..Commit::default()
    };
    let foreign = table.lake().commit(&table, foreign, &|_| Rebase::Retry).await.unwrap();
    assert!(sorts(&foreign, 2, ALL).await);
    assert_eq!(in_order(&session(&foreign, 2).await, ALL).await, ["1", "2", "5", "7", "9"]);

    // Files of two orders have none.
    let other = sorted(&columns, vec![by("i", true, false)]);
    let both = evolve(&foreign, other, &rows(&[3, 4], &[1.0, 2.0])).await;
    assert!(sorts(&both, 2, ALL).await);
    assert_eq!(in_order(&session(&both, 2).await, ALL).await, ["1", "2", "3", "4", "5", "7", "9"]);

    // Floats are equal whose bits are not: what comes after them is in no order.
    let floats = fixture.create(sorted(&columns, vec![by("f", false, false), by("i", false, false)])).await;
    let floats = append(&floats, &[rows(&[2, 1, 3], &[-0.0, 0.0, f64::NAN])]).await;
    assert!(sorts(&floats, 2, "SELECT i FROM t ORDER BY f, i").await);
    // A prefix is an order.
    let both = fixture.create(sorted(&columns, vec![by("i", false, false), by("f", false, false)])).await;
    let both = append(&both, &[rows(&[2, 1, 3], &[-0.0, 0.0, f64::NAN])]).await;
    assert!(!sorts(&both, 2, "SELECT i, f FROM t ORDER BY i").await);
}

#[derive(Clone, Debug)]
struct Row(Option<i32>, Option<String>, Option<i64>, Option<f64>);

fn row(first: i32) -> impl Strategy<Value = Row> {
    let text = prop_oneof!["[ab]{0,2}", "[ab]{0,1}".prop_map(|s| format!("aaaaaaaaaaaaaaaa{s}"))];
    // DataFusion is of two minds about the zeros.
    let float = prop_oneof![Just(-1.5), Just(0.0), Just(f64::NAN), Just(1.5)];
    (
        prop::option::weighted(0.9, first..first + 4),
        prop::option::weighted(0.9, text),
        prop::option::weighted(0.9, prop_oneof![3 => -2i64..3, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]),
        prop::option::weighted(0.8, float),
    )
        .prop_map(|(i, s, n, f)| Row(i, s, n, f))
}

fn columns(rows: &[Row]) -> RecordBatch {
    batch(vec![
        ("i", Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>()) as ArrayRef),
        ("s", Arc::new(rows.iter().map(|r| r.1.clone()).collect::<StringArray>())),
        ("n", Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>())),
        ("f", Arc::new(rows.iter().map(|r| r.3).collect::<Float64Array>())),
    ])
}

fn keys() -> impl Strategy<Value = Vec<SortBy>> {
    let order = Just(vec!["i", "s", "n", "f"]).prop_shuffle();
    (order, 1usize..4, prop::collection::vec((any::<bool>(), any::<bool>()), 4)).prop_map(|(order, count, ways)| {
        order
            .into_iter()
            .zip(ways)
            .take(count)
            .map(|(column, (descending, first))| by(column, descending, first))
            .collect()
    })
}

/// Columns, and an order by all of them: that of the table, a part of it or another.
fn asked(keys: &[SortBy], at: usize) -> (String, String) {
    let way = |key: &SortBy, turned: bool| {
        let (down, first) = (key.descending != turned, key.nulls_first != turned);
        let way = if down { "DESC" } else { "ASC" };
        (key.column.clone(), format!("{} {way} NULLS {}", key.column, if first { "FIRST" } else { "LAST" }))
    };
    let of_table = || keys.iter().map(|key| way(key, false));
    let list: Vec<(String, String)> = match at {
        0 => of_table().collect(),
        1 => of_table().take(1).collect(),
        2 => keys.iter().map(|key| way(key, true)).collect(),
        3 => of_table().rev().collect(),
        _ => of_table().chain([("n % 3 AS m".to_owned(), "m".to_owned())]).collect(),
    };
    let (columns, order): (Vec<String>, Vec<String>) = list.into_iter().unzip();
    (columns.join(", "), order.join(", "))
}

async fn check(files: &[Vec<Row>], keys: Vec<SortBy>, partition: bool, gone: &[usize]) {
    let fixture = Fixture::new().await;
    let types = [("i", DataType::Int32), ("s", DataType::Utf8), ("n", DataType::Int64), ("f", DataType::Float64)];
    let mut of = sorted(&types, keys.clone());
    if partition {
        of = partitioned(of, &[("n", Transform::Bucket(2))]);
    }
    let mut table = fixture.create(of).await;
    for rows in files {
        table = append(&table, &[columns(rows)]).await;
    }
    let live = live_files(&table, table.head().unwrap()).await.unwrap();
    let first = |at: &usize| live.get(*at).map(|file| (file.clone(), vec![0]));
    let rows: Vec<_> = gone.iter().filter_map(first).collect();
    if !rows.is_empty() {
        let deletes = crate::delete_rows(&table, &SessionContext::new().runtime_env(), &rows).await.unwrap();
        table = commit(&table, Commit { operation: Operation::Delete, deletes, ..Commit::default() }).await;
    }
    let plain = as_read(&table).await;
    let names = keys.iter().map(|key| key.column.clone()).collect::<Vec<_>>().join(", ");
    for partitions in [1, 3] {
        for joins_hash in [true, false] {
            let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(3);
            config.options_mut().optimizer.prefer_hash_join = joins_hash;
            ingot_semantics::exact_options(config.options_mut());
            let ours = configured(&table, ScanOptions::default(), config).await;
            for (columns, order) in (0..5).map(|at| asked(&keys, at)) {
                for filter in ["", "WHERE i > 2", "WHERE s IS NOT NULL OR n < 1"] {
                    for limit in ["", "LIMIT 3"] {
                        let sql = format!("SELECT {columns} FROM t {filter} ORDER BY {order} {limit}");
                        let (got, wanted) = (in_order(&ours, &sql).await, in_order(&plain, &sql).await);
                        assert!(got == wanted, "{sql}: {got:?} not {wanted:?}\n{}", plan(&ours, &sql).await.0);
                    }
                }
            }
            for sql in [
                format!("SELECT {names}, count(*), min(n) FROM t GROUP BY {names}"),
                "SELECT i, count(*), max(s) FROM t GROUP BY i".to_owned(),
                "SELECT DISTINCT s, i FROM t".to_owned(),
                "SELECT i, n, rank() OVER (PARTITION BY i ORDER BY n) FROM t".to_owned(),
                "SELECT i, sum(n % 3) OVER (ORDER BY i, n, s) FROM t".to_owned(),
                "SELECT a.i, a.s, b.n FROM t a JOIN t b ON a.i = b.i AND a.s = b.s".to_owned(),
                "SELECT a.i, b.n FROM t a LEFT JOIN t b ON a.i = b.i AND a.n = b.n".to_owned(),
                "SELECT i FROM t WHERE i NOT IN (SELECT n FROM t WHERE n IS NOT NULL)".to_owned(),
            ] {
                assert_eq!(lines(&ours, &sql).await, lines(&plain, &sql).await, "{sql}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_order_that_is_claimed_is_kept(
        files in prop::collection::vec((0i32..8).prop_flat_map(|at| prop::collection::vec(row(at * 4), 1..6)), 1..7),
        keys in keys(),
        partition in any::<bool>(),
        gone in prop::collection::vec(0usize..8, 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&files, keys, partition, &gone));
    }
}
